"""Training of a compiled network by SciKeras, on batches that are read one at a time."""

import contextlib

import keras
import numpy as np
from scikeras.wrappers import KerasClassifier
from sklearn.preprocessing import FunctionTransformer

from .architecture import CLINICAL_INPUT, STACK_INPUT, WEIGHT_INPUT
from .blocks import numbers_of_blocks


class BatchTrainer(KerasClassifier):
    """Train a compiled network by SciKeras' ``fit``, on batches drawn by :class:`PatientBatches`.

    ``fit`` of SciKeras collects the arguments of Keras' ``fit`` (number of epochs, callbacks, verbosity), runs it, and
    records the history of the loss. The methods below replace its checks and its handling of X: the classifier has
    checked X and y, and passes class codes. Shuffling by SciKeras and Keras would seed the global random states of
    Python, NumPy and TensorFlow; the batches draw their own row order instead.
    """

    @property
    def feature_encoder(self):
        """Leave X unchanged; the batches split it into the inputs of the network."""
        return FunctionTransformer().set_output(transform="default")

    def _validate_data(self, X=None, y=None, reset=False, y_numeric=False):  # noqa: ARG002
        # The classifier has validated X and y; a second pass over all pixels would take as long again.
        self.target_type_, self.y_dtype_, self.y_ndim_ = "binary", y.dtype, y.ndim
        self.n_features_in_ = X.shape[1]
        return X, y

    def _validate_sample_weight(self, X, y, sample_weight):
        return X, y, sample_weight

    def _fit_keras_model(self, X, y, sample_weight, *, spec, rows, validation_rows, **kwargs):
        # Called by SciKeras' fit. X and y reach Keras as batches, which contain targets and weights, so that y,
        # sample_weight and batch_size must be None.
        options = {"batch_size": self.batch_size, "spec": spec}
        training = {name: kwargs.pop(name) for name in ("rng", "augment", "seed", "steps_per_block")}
        with contextlib.ExitStack() as open_batches:
            blocks = PatientBatches(X, y, sample_weight, rows=rows, **options, **training)
            open_batches.enter_context(contextlib.closing(blocks))
            validation = None
            if validation_rows is not None:
                validation = PatientBatches(X, y, sample_weight, rows=validation_rows, **options)
                open_batches.enter_context(contextlib.closing(validation))
            arguments = {"sample_weight": None, "batch_size": None, "validation_data": validation}
            numbers = open_batches.enter_context(numbers_of_blocks(self.model_, blocks))
            super()._fit_keras_model(numbers, None, **arguments, **kwargs)


class PatientBatches(keras.utils.PyDataset):
    """Blocks of batches of patients, read from X one at a time; with `rng`, in a new random order in each epoch.

    Parameters
    ----------
    X : ndarray or memmap of shape (n_patients, n_features)
        Pixel columns, followed by clinical columns.
    y : ndarray of shape (n_patients, 1) or (n_patients,)
        Class codes, 0 or 1.
    sample_weight : ndarray of shape (n_patients,)
        Weights of the patients.
    rows : ndarray of int
        Rows of the patients to train on.
    batch_size : int
        Number of patients per batch.
    spec : NetworkSpec
        Specification of the network.
    rng : numpy.random.Generator, default=None
        Generator of the row order; None keeps the order of `rows`.
    augment : StackAugmenter, default=None
        Random transforms of the stacks, new ones in each epoch.
    seed : int, default=0
        Seed of these transforms.
    steps_per_block : int, default=1
        Number of batches per block.
    """

    def __init__(
        self, X, y, sample_weight, *, rows, batch_size, spec, rng=None, augment=None, seed=0, steps_per_block=1
    ):
        super().__init__()
        self.X, self.y, self.sample_weight = X, y, sample_weight
        self.rows, self.batch_size, self.spec, self.rng = rows, batch_size, spec, rng
        self.augment, self.seed, self.steps_per_block = augment, seed, steps_per_block
        self.epoch = 0
        self._draw_order()

    def __len__(self):
        # The number of blocks, rounded up: the last one may be smaller.
        return -(-len(self.rows) // (self.batch_size * self.steps_per_block))

    def __getitem__(self, index):
        n_rows = self.batch_size * self.steps_per_block
        rows = self.order[index * n_rows : (index + 1) * n_rows]
        targets = np.asarray(self.y)[rows].reshape(-1, 1).astype(self.X.dtype)
        weights = self.sample_weight[rows].astype(self.X.dtype)
        inputs = split_inputs(self.X[rows], self.spec)
        if self.augment is not None and STACK_INPUT in inputs:
            inputs[STACK_INPUT] = self._augmented(inputs[STACK_INPUT], index * self.steps_per_block)
        if self.spec.weighted:
            inputs[WEIGHT_INPUT] = weights.reshape(-1, 1)
        return inputs, targets, weights

    def close(self):
        """Forget the patients. TensorFlow keeps every dataset that was read from Python until the process ends."""
        self.X = self.y = self.sample_weight = None

    def on_epoch_end(self):
        """Draw the row order of the next epoch."""
        self.epoch += 1
        self._draw_order()

    def _draw_order(self):
        self.order = self.rows if self.rng is None else self.rng.permutation(self.rows)

    def _augmented(self, stacks, first_batch):
        """Return transformed stacks. The transforms depend on seed, epoch and batch, not on the size of the block."""
        augmented = np.empty_like(stacks)
        for batch, start in enumerate(range(0, len(stacks), self.batch_size), start=first_batch):
            rows = slice(start, start + self.batch_size)
            rng = np.random.default_rng([self.seed, self.epoch, batch])
            augmented[rows] = self.augment.augment(stacks[rows], rng)
        return augmented


def split_inputs(X, spec):
    """Split rows of X into the inputs of the network, without copying.

    Parameters
    ----------
    X : ndarray of shape (n_patients, n_features)
        Pixel columns, followed by clinical columns.
    spec : NetworkSpec
        Specification of the network.

    Returns
    -------
    dict of str to ndarray
        "stack" of shape (n_patients, n_images * n_slices, height, width), "clinical" of shape (n_patients, n_clinical),
        or both, as the network has image and clinical branches.
    """
    n_pixels = spec.n_pixels
    inputs = {}
    if spec.stack_shape is not None:
        inputs[STACK_INPUT] = X[:, :n_pixels].reshape(len(X), -1, *spec.stack_shape[1:])
    if spec.n_clinical:
        inputs[CLINICAL_INPUT] = X[:, n_pixels:]
    return inputs
