"""Keras callbacks of a fit: reports to scikit-learn, learning rates, and the end of a diverged fit."""

import keras
import numpy as np


class EpochTasks(keras.callbacks.Callback):
    """Report each epoch as a task of the fit, and stop the training if a scikit-learn callback requests it.

    Parameters
    ----------
    estimator : estimator
        The estimator that is being fitted.
    context : sklearn.callback.CallbackContext
        Context of its fit.
    training_data : dict
        "X", "y" and "metadata" of the fit, which callbacks receive.
    fitted_attributes : callable
        Function of the network and of its losses per epoch that returns, by name, the attributes that the estimator
        would have if training ended now.
    """

    def __init__(self, estimator, context, training_data, fitted_attributes):
        super().__init__()
        self.estimator, self.context = estimator, context
        self.training_data, self.fitted_attributes = training_data, fitted_attributes
        self.losses = {}

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
        """Begin the task of an epoch."""
        self.epoch_context = self.context.subcontext(task_name="epoch")
        self.epoch_context.call_on_fit_task_begin(estimator=self.estimator, **self.training_data)

    def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
        """End the task of an epoch. Scorers receive the metadata, so that losses are attributes of the estimator."""
        for name, loss in (logs or {}).items():
            self.losses.setdefault(name, []).append(float(loss))
        must_stop = self.epoch_context.call_on_fit_task_end(
            estimator=self.estimator,
            **self.training_data,
            reconstruction_attributes=lambda: self.fitted_attributes(
                self.model, {name: list(losses) for name, losses in self.losses.items()}
            ),
        )
        if must_stop:
            self.model.stop_training = True


class LearningRates(keras.callbacks.Callback):
    """Set the learning rate of each step, where Keras' own training function is used.

    Parameters
    ----------
    rates : ndarray of shape (n_steps,)
        Learning rates of all steps of the fit.
    """

    def __init__(self, rates):
        super().__init__()
        self.rates, self.step = rates, 0

    def on_train_batch_begin(self, batch, logs=None):  # noqa: ARG002
        """Set the rate of the step that begins."""
        self.model.optimizer.learning_rate = self.rates[self.step]
        self.step += 1


class StopWhenNotFinite(keras.callbacks.Callback):
    """End a fit whose loss is not finite; the caller raises the error."""

    def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
        """Stop if a loss of this epoch is NaN or infinite."""
        if not np.all(np.isfinite(list((logs or {}).values()))):
            self.model.stop_training = True


class StopWhenOver(keras.callbacks.Callback):
    """End a fit whose result nobody waits for any more.

    Parameters
    ----------
    is_over : threading.Event
        Set if the result is not needed.
    """

    def __init__(self, is_over):
        super().__init__()
        self.is_over = is_over

    def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
        """Stop after this epoch if the event is set."""
        if self.is_over.is_set():
            self.model.stop_training = True
