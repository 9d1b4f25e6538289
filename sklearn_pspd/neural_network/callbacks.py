"""Keras callback that reports epochs to scikit-learn's callbacks."""

import keras


class EpochTasks(keras.callbacks.Callback):
    """Report each epoch as a task of the fit, and stop the training if a scikit-learn callback requests it.

    Parameters
    ----------
    estimator : estimator
        The estimator that is being fitted.
    context : sklearn.callback.CallbackContext
        Context of its fit.
    fitted_attributes : callable
        Function of the network that returns, by name, the attributes that the estimator would have if training ended
        now.
    """

    def __init__(self, estimator, context, fitted_attributes):
        super().__init__()
        self.estimator, self.context, self.fitted_attributes = estimator, context, fitted_attributes

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
        """Begin the task of an epoch."""
        self.epoch_context = self.context.subcontext(task_name="epoch")
        self.epoch_context.call_on_fit_task_begin(estimator=self.estimator)

    def on_epoch_end(self, epoch, logs=None):
        """End the task of an epoch, with the loss as metadata."""
        must_stop = self.epoch_context.call_on_fit_task_end(
            estimator=self.estimator,
            metadata={"epoch": epoch, **(logs or {})},
            reconstruction_attributes=lambda: self.fitted_attributes(self.model),
        )
        if must_stop:
            self.model.stop_training = True
