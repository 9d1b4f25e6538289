"""scikit-learn's callback protocol for a training of epochs."""

import keras


class EpochTasks(keras.callbacks.Callback):
    """Report each epoch as a task of the fit, and stop where a scikit-learn callback asks for it.

    Parameters
    ----------
    estimator : estimator
        The one that is being fitted.
    context : sklearn.callback.CallbackContext
        That of its fit.
    fitted_attributes : callable
        Takes the network; returns what the estimator would have learned had it stopped there, by attribute name.
    """

    def __init__(self, estimator, context, fitted_attributes):
        super().__init__()
        self.estimator, self.context, self.fitted_attributes = estimator, context, fitted_attributes

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
        """Open the task of an epoch."""
        self.epoch_context = self.context.subcontext(task_name="epoch")
        self.epoch_context.call_on_fit_task_begin(estimator=self.estimator)

    def on_epoch_end(self, epoch, logs=None):
        """Close the task of an epoch; the loss is its metadata."""
        must_stop = self.epoch_context.call_on_fit_task_end(
            estimator=self.estimator,
            metadata={"epoch": epoch, **(logs or {})},
            reconstruction_attributes=lambda: self.fitted_attributes(self.model),
        )
        if must_stop:
            self.model.stop_training = True
