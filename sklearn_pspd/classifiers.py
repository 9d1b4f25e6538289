"""The CNN-LSTM as a scikit-learn classifier."""

from numbers import Integral, Real
from typing import ClassVar

import keras
import numpy as np
from scikeras.wrappers import KerasClassifier
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .networks import (
    CLINICAL_INPUT,
    NETWORK_POOL,
    STACK_INPUT,
    NetworkSpec,
    deterministic_ops,
    initial_weights,
    reset_network,
)


class CNNLSTMClassifier(ClassifierMixin, BaseEstimator):
    """Pseudoprogression from slice stacks and clinical features by a CNN-LSTM.

    One table row is one patient: the flattened slice stack first, then the clinical columns. With both it is the
    paper's model 1, with a stack alone its model 2. The layers are those of the released script unless a parameter says
    otherwise; :func:`~sklearn_pspd.pipelines.jang2018` holds both published readings.

    Parameters
    ----------
    stack_shape : tuple of int, default=(9, 256, 256)
        (n_slices, height, width) of one stack. None: every column is clinical.
    filters : tuple of int, default=(64, 128, 256)
        Filters of the convolution blocks [1]_; each block halves height and width.
    kernel_size : int, default=2
        Side of the convolution kernels in pixels [1]_.
    batch_norm : {"before", "after", "none"}, default="before"
        Place of batch normalisation in a block: before the convolution, as the released script, after its ReLU, as the
        paper's text, or nowhere.
    batch_norm_momentum : float, default=0.9
        Momentum of the moving statistics that prediction uses, in [0, 1). Keras' 0.99 still holds a tenth of its start
        values after the paper's 200 steps; 0.9 is ours.
    pooling : {"flatten", "average"}, default="flatten"
        "flatten" gives every pixel of the last maps its own LSTM weight (25.2 of 25.3 million weights at full size, as
        published); "average" averages each map first, which leaves well under a million. The latter is ours.
    lstm_units : int, default=24
        Memory cells [1]_.
    lstm_activation : {"tanh", "sigmoid"}, default="tanh"
        "sigmoid" is the released script's, with the hard-sigmoid gates of Keras 2.
    dense_units : tuple of int, default=(32, 32)
        Dense ReLU layers after the LSTM (released script; the paper's text has none).
    clinical_units : tuple of int, default=(4, 4)
        Dense ReLU layers of the clinical branch [1]_.
    dropout : float, default=0.0
        Share of the fused features dropped while training, in [0, 1).
    learning_rate : float, default=0.01
        Step size, the paper's value after tuning [1]_.
    momentum : float, default=0.0
        Momentum of "sgd", in [0, 1).
    optimizer : {"sgd", "adam"}, default="sgd"
        Rule of the weight updates [1]_.
    batch_size : int, default=8
        Patients per step [1]_.
    epochs : int, default=25
        Passes over the training rows [1]_; the most there can be with `early_stopping`.
    shuffle : bool, default=True
        Whether the rows are drawn in a new order at each epoch. The released script's final fit does not.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as in scikit-learn. "balanced" does what random oversampling does, without copies.
    early_stopping : bool, default=False
        Whether to hold out `validation_fraction` of the rows, stratified, and to keep the weights of the epoch with the
        lowest loss on them. Nothing is held out unless asked.
    validation_fraction : float, default=0.2
        Share held out by `early_stopping`, in (0, 1).
    n_iter_no_change : int, default=5
        Epochs without a lower validation loss after which `early_stopping` stops.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last fit.
    precision : {"float32", "float64", "mixed_bfloat16"}, default="float32"
        Arithmetic of the network. "mixed_bfloat16" computes in bfloat16 and keeps float32 weights.
    random_state : int, RandomState instance or None, default=None
        Initial weights, row order, dropout masks and the held-out rows. An int makes fits bit-identical on one machine.
    verbose : {0, 1, 2}, default=0
        Nothing, a progress bar, or one line an epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels; the second is the one whose probability the network gives.
    n_features_in_ : int
        Number of columns seen during :meth:`fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X had any.
    weights_ : list of ndarray
        The network's weights.
    history_ : dict of str to list of float
        "loss", and "val_loss" with `early_stopping`, one value an epoch of the last fit.
    n_iter_ : int
        Epochs of the last fit.

    Raises
    ------
    ValueError
        If X does not have the columns that `stack_shape` asks for, or y does not have two classes.

    Notes
    -----
    Compiled networks are shared by all classifiers of a process, so that only the first fit of an architecture pays for
    building it; a fitted classifier holds nothing but arrays. Fits and predictions of one process take turns; for
    parallel folds use processes (``n_jobs`` with joblib's default backend).

    Research software, not a medical device.

    References
    ----------
    .. [1] Jang BS, Jeon SH, Kim IH, Kim IA. Prediction of pseudoprogression versus progression using machine learning
       algorithm in glioblastoma. Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd import CNNLSTMClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.array([0, 1] * 6)
    >>> stacks = rng.normal(size=(12, 3 * 8 * 8)) + y[:, np.newaxis]
    >>> clinical = rng.random((12, 7))
    >>> X = np.hstack([stacks, clinical]).astype(np.float32)
    >>> model = CNNLSTMClassifier((3, 8, 8), filters=(2, 4), lstm_units=4, epochs=2, random_state=0)
    >>> model.fit(X, y).predict_proba(X).shape
    (12, 2)
    """

    _parameter_constraints: ClassVar[dict] = {
        "stack_shape": ["array-like", None],
        "filters": ["array-like"],
        "kernel_size": [Interval(Integral, 1, None, closed="left")],
        "batch_norm": [StrOptions({"before", "after", "none"})],
        "batch_norm_momentum": [Interval(Real, 0, 1, closed="left")],
        "pooling": [StrOptions({"flatten", "average"})],
        "lstm_units": [Interval(Integral, 1, None, closed="left")],
        "lstm_activation": [StrOptions({"tanh", "sigmoid"})],
        "dense_units": ["array-like"],
        "clinical_units": ["array-like"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "optimizer": [StrOptions({"sgd", "adam"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "precision": [StrOptions({"float32", "float64", "mixed_bfloat16"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        stack_shape=(9, 256, 256),
        *,
        filters=(64, 128, 256),
        kernel_size=2,
        batch_norm="before",
        batch_norm_momentum=0.9,
        pooling="flatten",
        lstm_units=24,
        lstm_activation="tanh",
        dense_units=(32, 32),
        clinical_units=(4, 4),
        dropout=0.0,
        learning_rate=0.01,
        momentum=0.0,
        optimizer="sgd",
        batch_size=8,
        epochs=25,
        shuffle=True,
        class_weight=None,
        early_stopping=False,
        validation_fraction=0.2,
        n_iter_no_change=5,
        warm_start=False,
        precision="float32",
        random_state=None,
        verbose=0,
    ):
        self.stack_shape = stack_shape
        self.filters = filters
        self.kernel_size = kernel_size
        self.batch_norm = batch_norm
        self.batch_norm_momentum = batch_norm_momentum
        self.pooling = pooling
        self.lstm_units = lstm_units
        self.lstm_activation = lstm_activation
        self.dense_units = dense_units
        self.clinical_units = clinical_units
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.epochs = epochs
        self.shuffle = shuffle
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_patients, n_features), float32
            Flattened slice stacks, then clinical columns; see `stack_shape`.
        y : array-like of shape (n_patients,)
            Two classes of any type, such as 0 and 1 or "PD" and "PsPD".
        sample_weight : array-like of shape (n_patients,), default=None
            Weights of the patients; one of weight zero takes no part.

        Returns
        -------
        CNNLSTMClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If the columns do not fit `stack_shape`, y does not have two classes, or a class is too small to hold out
            `validation_fraction` of it.
        """
        X, y = validate_data(self, X, y, dtype=self._dtype())
        check_classification_targets(y)
        sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not np.all(sample_weight > 0):
            X, y, sample_weight = (array[sample_weight > 0] for array in (X, y, sample_weight))
        classes, codes = np.unique(y, return_inverse=True)
        self._check_classes(y, classes)
        if self.class_weight is not None:
            sample_weight = sample_weight * compute_sample_weight(self.class_weight, y)
        weights_before = self._weights_to_go_on_from(classes)
        spec = self._spec(X.shape[1])

        rng = check_random_state(self.random_state)
        seed = int(rng.randint(0, 2**31 - 1))
        rows, validation_rows = self._split_rows(codes, seed)
        with NETWORK_POOL.borrow(spec) as network, deterministic_ops():
            start = initial_weights(network, seed) if weights_before is None else weights_before
            reset_network(network, start, learning_rate=self.learning_rate, seed=seed)
            trainer = self._trainer(network)
            trainer.fit(
                X,
                codes,
                sample_weight=sample_weight,
                spec=spec,
                rows=rows,
                validation_rows=validation_rows,
                rng=np.random.default_rng(seed) if self.shuffle else None,
            )
            weights = network.get_weights()
        self.classes_ = classes
        self.weights_ = weights
        self.history_ = {name: [float(value) for value in values] for name, values in trainer.history_.items()}
        self.n_iter_ = len(self.history_["loss"])
        self._fitted_spec = spec
        return self

    def predict_proba(self, X):
        """Estimate the probabilities of both classes.

        Parameters
        ----------
        X : array-like of shape (n_patients, n_features), float32
            Columns as in :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_patients, 2)
            In the order of `classes_`, each in [0, 1], rows summing to one.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=self._dtype(), reset=False)
        with NETWORK_POOL.borrow(self._fitted_spec) as network, deterministic_ops():
            network.set_weights(self.weights_)
            positive = np.concatenate(
                [
                    np.asarray(network.predict_on_batch(_split_inputs(X[rows], self._fitted_spec)))[:, 0]
                    for rows in _row_blocks(len(X), self.batch_size)
                ]
            )
        positive = positive.astype(np.float64)
        return np.column_stack([1.0 - positive, positive])

    def predict(self, X):
        """Name the more probable class of each patient.

        Parameters
        ----------
        X : array-like of shape (n_patients, n_features), float32
            Columns as in :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_patients,)
            Entries of `classes_`.
        """
        probabilities = self.predict_proba(X)
        return self.classes_[np.argmax(probabilities, axis=1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.non_deterministic = False
        return tags

    def _dtype(self):
        return np.float64 if self.precision == "float64" else np.float32

    def _check_classes(self, y, classes):
        if len(classes) > 2:
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {type_of_target(y)}: "
                f"{len(classes)} classes, {list(classes[:5])}."
            )
        if len(classes) < 2:
            raise ValueError(
                f"{type(self).__name__} needs rows of two classes; y (where its weight is not zero) has one class: "
                f"{list(classes)}"
            )

    def _weights_to_go_on_from(self, classes):
        if not (self.warm_start and hasattr(self, "weights_")):
            return None
        if not np.array_equal(classes, self.classes_):
            raise ValueError(f"warm_start: the last fit knew the classes {self.classes_}, now y has {classes}")
        return self.weights_

    def _spec(self, n_features):
        stack_shape = None if self.stack_shape is None else tuple(int(side) for side in self.stack_shape)
        n_pixels = 0 if stack_shape is None else int(np.prod(stack_shape))
        if stack_shape is not None and (len(stack_shape) != 3 or min(stack_shape) < 1):
            raise ValueError(f"stack_shape is (n_slices, height, width), three numbers above zero; got {stack_shape}")
        if n_features < n_pixels:
            raise ValueError(
                f"stack_shape={stack_shape} asks for {n_pixels} pixel columns, then clinical columns; "
                f"X has {n_features} columns in all"
            )
        return NetworkSpec(
            stack_shape=stack_shape,
            n_clinical=n_features - n_pixels,
            filters=tuple(self.filters),
            kernel_size=self.kernel_size,
            batch_norm=self.batch_norm,
            batch_norm_momentum=self.batch_norm_momentum,
            pooling=self.pooling,
            lstm_units=self.lstm_units,
            lstm_activation=self.lstm_activation,
            dense_units=tuple(self.dense_units),
            clinical_units=tuple(self.clinical_units),
            dropout=self.dropout,
            optimizer=self.optimizer,
            momentum=self.momentum,
            precision=self.precision,
        )

    def _split_rows(self, codes, seed):
        rows = np.arange(len(codes))
        if not self.early_stopping:
            return rows, None
        return train_test_split(rows, test_size=self.validation_fraction, stratify=codes, random_state=seed)

    def _trainer(self, network):
        callbacks = []
        if self.early_stopping:
            callbacks.append(keras.callbacks.EarlyStopping(patience=self.n_iter_no_change, restore_best_weights=True))
        return _BatchKerasClassifier(
            network,
            batch_size=self.batch_size,
            epochs=self.epochs,
            verbose=int(self.verbose),
            callbacks=callbacks,
            shuffle=False,
        )


class _BatchKerasClassifier(KerasClassifier):
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
            return _PatientBatches(X, y, sample_weight, rows=rows, batch_size=self.batch_size, spec=spec, rng=rng)

        super()._fit_keras_model(
            batches(rows, rng),
            None,
            sample_weight=None,
            batch_size=None,
            validation_data=None if validation_rows is None else batches(validation_rows),
            **kwargs,
        )


class _PatientBatches(keras.utils.PyDataset):
    """Batches of patients, read from X as they are needed, in a new order at each epoch where `rng` is given."""

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
        return _split_inputs(self.X[rows], self.spec), targets, weights

    def on_epoch_end(self):
        self._draw_order()

    def _draw_order(self):
        self.order = self.rows if self.rng is None else self.rng.permutation(self.rows)


def _split_inputs(X, spec):
    """Return the network's inputs, views of rows of X."""
    n_pixels = 0 if spec.stack_shape is None else int(np.prod(spec.stack_shape))
    inputs = {}
    if spec.stack_shape is not None:
        inputs[STACK_INPUT] = X[:, :n_pixels].reshape(len(X), *spec.stack_shape)
    if spec.n_clinical:
        inputs[CLINICAL_INPUT] = X[:, n_pixels:]
    return inputs


def _row_blocks(n_rows, block_size):
    return [slice(start, start + block_size) for start in range(0, n_rows, block_size)]
