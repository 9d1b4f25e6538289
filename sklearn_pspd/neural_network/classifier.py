"""The CNN-LSTM as a scikit-learn classifier."""

import contextlib
import copy
import dataclasses
from numbers import Integral, Real
from typing import ClassVar

import keras
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_pspd._sklearn import CallbackSupportMixin, Interval, StrOptions, _check_sample_weight, _fit_context
from sklearn_pspd.exceptions import InputError

from .architecture import NetworkSpec, build_cnn_lstm, initial_weights
from .batches import BatchTrainer, split_inputs
from .callbacks import EpochTasks
from .model_file import read_classifier, write_classifier
from .pool import NETWORK_POOL, deterministic_ops, has_native_bfloat16, optimizer_state, reset_network

VALIDATION_ATTRIBUTES = ("n_features_in_", "feature_names_in_")
LEARNED_ATTRIBUTES = ("classes_", "history_", "n_iter_", "precision_")


class CNNLSTMClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """Predict pseudoprogression from slice stacks and clinical features by a CNN-LSTM.

    Each row of X is one patient: the flattened slice stack, followed by the clinical columns. With both, the network is
    model 1 of the paper; with the stack alone, model 2. The default layers are those of the released script, except
    where a parameter is documented otherwise. :func:`~sklearn_pspd.pipelines.jang2018` returns the parameters of both
    published variants.

    Parameters
    ----------
    stack_shape : tuple of int, default=(9, 256, 256)
        (n_slices, height, width) of one stack. If None, all columns are clinical.
    filters : tuple of int, default=(64, 128, 256)
        Number of filters of each convolution block [1]_; each block halves height and width.
    kernel_size : int, default=2
        Side length of the convolution kernels in pixels [1]_.
    batch_norm : {"before", "after", "none"}, default="before"
        Position of batch normalisation in a block: before the convolution, as in the released script; after its ReLU,
        as in the text of the paper; or no batch normalisation.
    batch_norm_momentum : float, default=0.9
        Momentum of the moving averages of batch normalisation, which are used for prediction, in [0, 1). With the 0.99
        of Keras they would still contain a tenth of their initial values after the 200 steps of the paper; 0.9 is a
        choice of this library.
    pooling : {"flatten", "average"}, default="flatten"
        "flatten" connects every pixel of the last feature maps to the LSTM, as published (25.2 of the 25.3 million
        weights at full size). "average" averages each map first, which leaves well under a million weights; it is an
        addition of this library.
    lstm_units : int, default=24
        Number of memory cells of the LSTM [1]_.
    lstm_activation : {"tanh", "sigmoid"}, default="tanh"
        Activation of the LSTM. "sigmoid" is that of the released script, with the hard-sigmoid gates of Keras 2.
    dense_units : tuple of int, default=(32, 32)
        Units of the dense ReLU layers after the LSTM (released script; the text of the paper has none).
    clinical_units : tuple of int, default=(4, 4)
        Units of the dense ReLU layers of the clinical branch [1]_.
    dropout : float, default=0.0
        Fraction of the fused features that is dropped during training, in [0, 1).
    learning_rate : float, default=0.01
        Learning rate, by default the tuned value of the paper [1]_.
    momentum : float, default=0.0
        Momentum of "sgd", in [0, 1).
    optimizer : {"sgd", "adam"}, default="sgd"
        Optimiser; stochastic gradient descent as in [1]_.
    batch_size : int, default=8
        Number of patients per batch [1]_.
    epochs : int, default=25
        Number of passes over the training rows [1]_; with `early_stopping`, the largest number.
    shuffle : bool, default=True
        Whether the rows are drawn in a new random order in each epoch. The final fit of the released script does not
        shuffle.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as in scikit-learn. "balanced" has the effect of random oversampling, without copies of
        rows.
    early_stopping : bool, default=False
        Whether to hold out `validation_fraction` of the rows, stratified by class, and to keep the weights of the epoch
        with the lowest loss on them. If False, no rows are held out.
    validation_fraction : float, default=0.2
        Fraction of the rows held out by `early_stopping`, in (0, 1).
    n_iter_no_change : int, default=5
        Number of epochs without a lower validation loss after which `early_stopping` ends the fit.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the previous fit.
    precision : {"auto", "float32", "float64", "mixed_bfloat16"}, default="auto"
        Floating-point precision of the network. "mixed_bfloat16" computes in bfloat16 and keeps float32 weights. "auto"
        selects it on devices with bfloat16 instructions (processors with AVX512-BF16 or AMX, NVIDIA GPUs from Ampere
        on), and "float32" on others.
    n_devices : int, default=1
        Number of GPUs over which each batch is divided during training; without a GPU, of logical CPU devices. The
        statistics of batch normalisation are computed over all devices.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, row order, dropout masks and held-out rows. With an int, fits are bit-identical on one
        machine.
    verbose : {0, 1, 2}, default=0
        Print nothing, a progress bar, or one line per epoch. With scikit-learn 1.9 or later,
        ``set_callbacks(ProgressBar())`` is an alternative, with one task per epoch.
    callbacks : list of keras.callbacks.Callback, default=None
        Keras callbacks; each fit uses copies of them.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The class labels; the output of the network is the probability of the second.
    n_features_in_ : int
        Number of columns seen during :meth:`fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of these columns, if X had any.
    weights_ : list of ndarray
        Weights of the network.
    network_ : keras.Model
        A separate network with these weights, built at the first access.
    history_ : dict of str to list of float
        "loss" and, with `early_stopping`, "val_loss": one value per epoch of the last fit and of each later
        :meth:`partial_fit`.
    n_iter_ : int
        Number of these epochs.
    precision_ : {"float32", "float64", "mixed_bfloat16"}
        The precision that was used; differs from `precision` if that is "auto".

    Raises
    ------
    InputError
        If X does not have the columns that `stack_shape` requires, or y does not have two classes.

    Notes
    -----
    SciKeras runs the training: its ``fit`` starts Keras' training on the batches with the given number of epochs and
    callbacks, and records the loss of each epoch; input checks, network, initial weights, batches, prediction and saved
    files are implemented in this library.

    Compiled networks are shared by all classifiers of a process: only the first fit of an architecture builds one, and
    a fitted classifier stores arrays only. Fits and predictions within a process run one at a time; to run folds in
    parallel, use processes (``n_jobs`` with joblib's default backend).

    A patient with a weight of two counts twice in the loss and in the statistics of batch normalisation. This is
    equivalent to repeating the row if all rows are in one batch.

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
        "precision": [StrOptions({"auto", "float32", "float64", "mixed_bfloat16"})],
        "n_devices": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "callbacks": [list, tuple, None],
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
        precision="auto",
        n_devices=1,
        random_state=None,
        verbose=0,
        callbacks=None,
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
        self.n_devices = n_devices
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

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
            Weights of the patients; a patient with weight zero is not used.

        Returns
        -------
        CNNLSTMClassifier
            The fitted classifier.

        Raises
        ------
        InputError
            If the columns do not match `stack_shape`, or y does not have two classes.
        ValueError
            If X has missing or infinite values, or a class is too small to hold out `validation_fraction` of it.
        """
        with self._previous_fit_kept():
            # Check the input before a callback or the network sees it.
            X, y, sample_weight = self._check_rows(X, y, sample_weight)
            classes, rows = self._classes_of(y, sample_weight)
            start = self._warm_start_weights(classes)
            context = self._init_callback_context(max_subtasks=self.epochs)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y, metadata={"sample_weight": sample_weight})
            # Rows with weight zero take no part in the class weights either.
            if self.class_weight is not None:
                sample_weight[rows] *= compute_sample_weight(self.class_weight, y[rows])
            learned = self._train(
                X,
                np.searchsorted(classes, y),
                sample_weight,
                rows=rows,
                seed=int(check_random_state(self.random_state).randint(0, 2**31 - 1)),
                start=start,
                context=context,
                classes=classes,
            )
        # Only now replace the previous fit: network and optimiser state of an earlier fit no longer apply.
        vars(self).pop("_network", None)
        vars(self).pop("_optimizer_state", None)
        vars(self).update(learned)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one epoch on the given rows, continuing from the last call of `fit` or `partial_fit`.

        `epochs` and `warm_start` have no effect.

        Parameters
        ----------
        X : array-like of shape (n_patients, n_features), float32
            Columns as in :meth:`fit`.
        y : array-like of shape (n_patients,)
            Entries of `classes`.
        classes : array-like of shape (2,), default=None
            Both labels; required at the first call if y does not contain both.
        sample_weight : array-like of shape (n_patients,), default=None
            Weights of the patients.

        Returns
        -------
        CNNLSTMClassifier
            The fitted classifier.

        Raises
        ------
        InputError
            If the columns do not match `stack_shape`, y contains an unknown label, there are not two classes, or
            `class_weight` is "balanced" or `early_stopping` is True, which need all rows at once.
        ValueError
            If X has missing or infinite values, or other columns than in the previous call.
        """
        if self.class_weight == "balanced" or self.early_stopping:
            raise InputError(
                f"class_weight={self.class_weight!r} with early_stopping={self.early_stopping} needs all rows at once, "
                "which partial_fit does not have: give sample_weight instead, or use fit"
            )
        is_first = not hasattr(self, "weights_")
        with self._previous_fit_kept():
            # Check the input against the previous calls.
            X, y, sample_weight = self._check_rows(X, y, sample_weight, reset=is_first)
            classes, rows = self._classes_of_partial_fit(y, classes, sample_weight)
            if self.class_weight is not None:
                sample_weight[rows] *= compute_sample_weight(self.class_weight, y[rows])
            # One epoch from the current weights and optimiser state.
            seed = int(check_random_state(self.random_state).randint(0, 2**31 - 1))
            learned = self._train(
                X,
                np.searchsorted(classes, y),
                sample_weight,
                rows=rows,
                # Each call draws a new row order and new dropout masks.
                seed=seed if is_first else (seed + self.n_iter_) % 2**31,
                start=None if is_first else self.weights_,
                classes=classes,
                epochs=1,
                state=getattr(self, "_optimizer_state", None),
                keeps_state=True,
            )
        # Append to the history of the previous calls.
        if not is_first:
            learned["history_"] = {name: self.history_.get(name, []) + new for name, new in learned["history_"].items()}
            learned["n_iter_"] += self.n_iter_
        vars(self).pop("_network", None)
        vars(self).update(learned)
        return self

    def predict_proba(self, X):
        """Predict the probabilities of both classes.

        Parameters
        ----------
        X : array-like of shape (n_patients, n_features), float32
            Columns as in :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_patients, 2)
            Probabilities in the order of `classes_`; each row sums to one.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=self._dtype(), reset=False)
        with NETWORK_POOL.borrow(self._fitted_spec) as network, deterministic_ops():
            network.set_weights(self.weights_)
            positive = np.concatenate(
                [
                    np.asarray(network.predict_on_batch(split_inputs(X[rows], self._fitted_spec)))[:, 0]
                    for rows in _row_blocks(len(X), self.batch_size)
                ]
            )
        positive = positive.astype(np.float64)
        return np.column_stack([1.0 - positive, positive])

    def predict(self, X):
        """Predict the more probable class of each patient.

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

    @property
    def network_(self):
        """Separate network with the fitted weights, built at the first access."""
        check_is_fitted(self)
        if "_network" not in vars(self):
            self._network = build_cnn_lstm(self._fitted_spec)
            self._network.set_weights(self.weights_)
        return self._network

    def summary(self):
        """Tabulate the layers of the fitted network.

        Returns
        -------
        str
            Table of the layers, with their output shapes and numbers of weights.
        """
        lines = []
        self.network_.summary(print_fn=lambda line, **_: lines.append(line), line_length=100)
        return "\n".join(lines)

    def save(self, path):
        """Save the fitted classifier to one file, without pickle.

        Parameters
        ----------
        path : path-like
            The file to write: a zip archive of the network in the format of Keras (which
            :func:`keras.models.load_model` reads after this library has been imported) and a JSON file with everything
            else.

        Raises
        ------
        InputError
            If a parameter, such as `callbacks`, cannot be saved without pickle.
        """
        check_is_fitted(self)
        names = [name for name in (*LEARNED_ATTRIBUTES, *VALIDATION_ATTRIBUTES) if hasattr(self, name)]
        write_classifier(
            path,
            parameters=self.get_params(deep=False),
            learned={name: getattr(self, name) for name in names},
            spec=self._fitted_spec,
            weights=self.weights_,
        )

    @classmethod
    def load(cls, path):
        """Load a classifier from a file of :meth:`save`, without executing code from the file.

        Parameters
        ----------
        path : path-like
            The file.

        Returns
        -------
        CNNLSTMClassifier
            The fitted classifier, which predicts identical probabilities.

        Raises
        ------
        InputError
            If the file was not written by :meth:`save`, is damaged, or was written by an incompatible version.
        FileNotFoundError
            If the file does not exist.
        """
        parameters, learned, spec, weights = read_classifier(path)
        unknown = sorted(set(parameters) - set(cls().get_params())) + sorted(
            set(learned) - {*LEARNED_ATTRIBUTES, *VALIDATION_ATTRIBUTES}
        )
        if unknown:
            raise InputError(
                f"{path}: written by another version of sklearn_pspd, with entries unknown to this one: "
                f"{', '.join(unknown)}"
            )
        classifier = cls(**parameters)
        vars(classifier).update(learned, weights_=weights, _fitted_spec=spec)
        return classifier

    def __sklearn_is_fitted__(self):
        return hasattr(self, "weights_")

    def __getstate__(self):
        state = dict(super().__getstate__())
        # The separate network is rebuilt from the weights at the next access.
        state.pop("_network", None)
        return state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.non_deterministic = False
        return tags

    def _dtype(self):
        return np.float64 if self.precision == "float64" else np.float32

    @contextlib.contextmanager
    def _previous_fit_kept(self):
        """Restore the attributes set by input validation if fitting fails, so that the previous fit stays consistent.

        All other learned attributes are set only after training has succeeded.
        """
        before = {name: vars(self)[name] for name in VALIDATION_ATTRIBUTES if name in vars(self)}
        try:
            yield
        except BaseException:
            for name in VALIDATION_ATTRIBUTES:
                vars(self).pop(name, None)
            vars(self).update(before)
            raise

    def _check_rows(self, X, y, sample_weight, *, reset=True):
        X, y = validate_data(self, X, y, dtype=self._dtype(), reset=reset)
        check_classification_targets(y)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True, copy=True)
        # Newer versions of scikit-learn raise this error themselves, with the same message.
        if not np.any(weights):
            raise InputError("Sample weights must contain at least one non-zero number.")
        return X, y, weights

    def _classes_of(self, y, sample_weight):
        """Return the two classes and the rows with a weight above zero."""
        rows = np.flatnonzero(sample_weight > 0)
        classes = np.unique(y[rows])
        self._check_classes(y, classes)
        return classes, rows

    def _classes_of_partial_fit(self, y, classes, sample_weight):
        """Return the same for a part of the rows, with the classes of the previous call or of the argument."""
        if hasattr(self, "classes_"):
            if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
                raise InputError(
                    f"classes={np.asarray(classes).tolist()} differ from those of the previous call, "
                    f"{self.classes_.tolist()}"
                )
            classes = self.classes_
        elif classes is None:
            return self._classes_of(y, sample_weight)
        classes = np.unique(classes)
        self._check_classes(classes, classes)
        if unknown := np.setdiff1d(y, classes).tolist():
            raise InputError(f"y has the unknown labels {unknown[:5]}; the classes are {classes.tolist()}")
        return classes, np.flatnonzero(sample_weight > 0)

    def _train(
        self,
        X,
        codes,
        sample_weight,
        *,
        rows,
        seed,
        start,
        classes,
        context=None,
        epochs=None,
        state=None,
        keeps_state=False,
    ):
        """Train a borrowed network and return the learned attributes by name."""
        # Specify the network; two specifications that are equal share one compiled network.
        precision = self._resolve_precision()
        spec = self._spec(X.shape[1], precision)
        # Equal weights need no weighted batch statistics, which take longer to compute.
        is_weighted = spec.stack_shape is not None and spec.batch_norm != "none" and np.ptp(sample_weight[rows]) > 0
        if is_weighted and self.n_devices > 1:
            raise InputError(
                f"n_devices={self.n_devices}: batch normalisation over several devices cannot use the weights of "
                'patients; train on one device or with batch_norm="none"'
            )
        training_spec = dataclasses.replace(spec, weighted=is_weighted, n_devices=self.n_devices)
        rows, validation_rows = self._split_rows(rows, codes, seed)

        def learned(network):
            return {
                "classes_": classes,
                "weights_": network.get_weights(),
                "precision_": precision,
                "_fitted_spec": spec,
            }

        # Set the borrowed network to the start of this fit, train it, and copy its weights before it is returned.
        with NETWORK_POOL.borrow(training_spec) as network, deterministic_ops():
            start = initial_weights(network, seed) if start is None else start
            reset_network(network, start, learning_rate=self.learning_rate, seed=seed, state=state)
            tasks = [] if context is None else [EpochTasks(self, context, learned)]
            trainer = self._trainer(network, self.epochs if epochs is None else epochs, tasks)
            trainer.fit(
                X,
                codes,
                sample_weight=sample_weight,
                spec=training_spec,
                rows=rows,
                validation_rows=validation_rows,
                rng=np.random.default_rng(seed) if self.shuffle else None,
            )
            attributes = learned(network)
            if keeps_state:
                attributes["_optimizer_state"] = optimizer_state(network)
        history = {name: [float(value) for value in values] for name, values in trainer.history_.items()}
        return {**attributes, "history_": history, "n_iter_": len(history["loss"])}

    def _resolve_precision(self):
        if self.precision != "auto":
            return self.precision
        return "mixed_bfloat16" if has_native_bfloat16() else "float32"

    def _check_classes(self, y, classes):
        if len(classes) > 2:
            raise InputError(
                f"Only binary classification is supported. The type of the target is {type_of_target(y)}: "
                f"{len(classes)} classes, {classes[:5].tolist()}."
            )
        if len(classes) < 2:
            raise InputError(
                f"{type(self).__name__} needs two classes; y (rows with a weight above zero) has one class: "
                f"{classes.tolist()}"
            )

    def _warm_start_weights(self, classes):
        """Return the weights of the previous fit if `warm_start`, else None."""
        if not (self.warm_start and hasattr(self, "weights_")):
            return None
        if not np.array_equal(classes, self.classes_):
            raise InputError(
                f"warm_start=True needs the classes of the previous fit, {self.classes_.tolist()}; y has the classes "
                f"{classes.tolist()}"
            )
        return self.weights_

    def _spec(self, n_features, precision=None):
        """Return the specification of the network for X with `n_features` columns."""
        # The first columns are pixels, the others clinical.
        stack_shape = None if self.stack_shape is None else tuple(int(side) for side in self.stack_shape)
        n_pixels = 0 if stack_shape is None else int(np.prod(stack_shape))
        if stack_shape is not None and (len(stack_shape) != 3 or min(stack_shape) < 1):
            raise InputError(
                f"stack_shape must be (n_slices, height, width), three positive numbers; it is {stack_shape}"
            )
        if n_features < n_pixels:
            raise InputError(
                f"stack_shape={stack_shape} requires {n_pixels} pixel columns, followed by clinical columns; "
                f"X has {n_features} columns"
            )
        # Tuples instead of lists, so that the specification can be a key of the pool of networks.
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
            precision=self._resolve_precision() if precision is None else precision,
        )

    def _split_rows(self, rows, codes, seed):
        """Return training rows, and validation rows or None."""
        if not self.early_stopping:
            return rows, None
        return train_test_split(rows, test_size=self.validation_fraction, stratify=codes[rows], random_state=seed)

    def _trainer(self, network, epochs, callbacks):
        """Return SciKeras' trainer of a network; its `shuffle` is off because the batches draw the row order."""
        callbacks = [*callbacks, *copy.deepcopy(list(self.callbacks or []))]
        if self.early_stopping:
            callbacks.append(keras.callbacks.EarlyStopping(patience=self.n_iter_no_change, restore_best_weights=True))
        return BatchTrainer(
            network,
            batch_size=self.batch_size,
            epochs=epochs,
            verbose=int(self.verbose),
            callbacks=callbacks,
            shuffle=False,
        )


def _row_blocks(n_rows, block_size):
    return [slice(start, start + block_size) for start in range(0, n_rows, block_size)]
