"""Training of a compiled network by SciKeras, with batches of patients read as they are needed."""

import keras
import numpy as np
from scikeras.wrappers import KerasClassifier
from sklearn.preprocessing import FunctionTransformer

from .architecture import CLINICAL_INPUT, STACK_INPUT, WEIGHT_INPUT


class BatchTrainer(KerasClassifier):
    """SciKeras' training of a compiled network, with patients drawn in batches by a generator of our own.

    SciKeras and Keras would shuffle by seeding the global random state of Python, NumPy and TensorFlow.
    """

    @property
    def feature_encoder(self):
        """Pass X on as it is; the batches split it."""
        return FunctionTransformer()

    def _validate_data(self, X=None, y=None, reset=False, y_numeric=False):  # noqa: ARG002
        # The classifier has done it, and another scan of the pixels costs as much.
        self.target_type_, self.y_dtype_, self.y_ndim_ = "binary", y.dtype, y.ndim
        self.n_features_in_ = X.shape[1]
        return X, y

    def _validate_sample_weight(self, X, y, sample_weight):
        return X, y, sample_weight

    def _fit_keras_model(self, X, y, sample_weight, *, spec, rows, validation_rows, rng, **kwargs):
        def batches(rows, rng=None):
            return PatientBatches(X, y, sample_weight, rows=rows, batch_size=self.batch_size, spec=spec, rng=rng)

        super()._fit_keras_model(
            batches(rows, rng),
            None,
            sample_weight=None,
            batch_size=None,
            validation_data=None if validation_rows is None else batches(validation_rows),
            **kwargs,
        )


class PatientBatches(keras.utils.PyDataset):
    """Batches of patients, read from X as they are needed, in a new order at each epoch where `rng` is given.

    Parameters
    ----------
    X : ndarray or memmap of shape (n_patients, n_features)
        Pixel columns, then clinical ones.
    y : ndarray of shape (n_patients, 1) or (n_patients,)
        Codes 0 and 1.
    sample_weight : ndarray of shape (n_patients,)
        Weights of the patients.
    rows : ndarray of int
        The patients to draw from.
    batch_size : int
        Patients a batch.
    spec : NetworkSpec
        The network to feed.
    rng : numpy.random.Generator, default=None
        Draws the order; None keeps that of `rows`.
    """

    def __init__(self, X, y, sample_weight, *, rows, batch_size, spec, rng=None):
        super().__init__()
        self.X, self.y, self.sample_weight = X, y, sample_weight
        self.rows, self.batch_size, self.spec, self.rng = rows, batch_size, spec, rng
        self._draw_order()

    def __len__(self):
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        targets = np.asarray(self.y)[rows].reshape(-1, 1).astype(self.X.dtype)
        weights = self.sample_weight[rows].astype(self.X.dtype)
        inputs = split_inputs(self.X[rows], self.spec)
        if self.spec.weighted:
            inputs[WEIGHT_INPUT] = weights.reshape(-1, 1)
        return inputs, targets, weights

    def on_epoch_end(self):
        """Draw the order of the next epoch."""
        self._draw_order()

    def _draw_order(self):
        self.order = self.rows if self.rng is None else self.rng.permutation(self.rows)


def split_inputs(X, spec):
    """Return the network's inputs, views of rows of X.

    Parameters
    ----------
    X : ndarray of shape (n_patients, n_features)
        Pixel columns, then clinical ones.
    spec : NetworkSpec
        The network to feed.

    Returns
    -------
    dict of str to ndarray
        "stack" of shape (n_patients, n_slices, height, width) and "clinical" of shape (n_patients, n_clinical),
        whichever the network has.
    """
    n_pixels = 0 if spec.stack_shape is None else int(np.prod(spec.stack_shape))
    inputs = {}
    if spec.stack_shape is not None:
        inputs[STACK_INPUT] = X[:, :n_pixels].reshape(len(X), *spec.stack_shape)
    if spec.n_clinical:
        inputs[CLINICAL_INPUT] = X[:, n_pixels:]
    return inputs
