"""The CNN-LSTM as a scikit-learn classifier."""

import contextlib
import dataclasses
from numbers import Integral, Real
from typing import ClassVar

import keras
import numpy as np
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_pspd._sklearn import (
    CallbackSupportMixin,
    HasMethods,
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
)
from sklearn_pspd.exceptions import InputError

from .architecture import ATTENTION, build_cnn_lstm
from .batches import split_inputs
from .callbacks import EpochTasks
from .checks import as_plain_labels, check_classes, check_same, weigh_rows
from .devices import TURNS, check_precision, choose_precision
from .members import Start, TrainingPlan, member_seeds, train_members
from .model_file import read_classifier, write_classifier
from .pool import NETWORK_POOL
from .specification import make_spec

VALIDATION_ATTRIBUTES = ("n_features_in_", "feature_names_in_")
LEARNED_ATTRIBUTES = ("classes_", "history_", "n_iter_", "precision_")

# Fields of a network's specification that are parameters of the classifier under the same name.
SPEC_PARAMETERS = (
    "filters",
    "kernel_size",
    "batch_norm",
    "batch_norm_momentum",
    "pooling",
    "sequence",
    "lstm_units",
    "lstm_activation",
    "dense_units",
    "clinical_units",
    "dropout",
    "optimizer",
    "momentum",
)


class CNNLSTMClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """Predict pseudoprogression from slice stacks and clinical features by a CNN-LSTM.

    Each row of X is one patient: the flattened slice stack, followed by the clinical columns. With both, the network is
    model 1 of the paper; with the stack alone, model 2. The default layers are those of the released script, except
    where a parameter is documented otherwise. :func:`~sklearn_pspd.pipelines.jang2018` returns the parameters of both
    published variants.

    Parameters
    ----------
    stack_shape : tuple of int, default=(9, 256, 256)
        (n_slices, height, width) of the stack of one image. If None, all columns are clinical.
    n_images : int, default=1
        Number of images per patient, such as post-contrast T1 and FLAIR. Their pixels follow one another, each image as
        a stack of `stack_shape`, and are the input channels of the first convolution. One as in [1]_.
    n_clinical : int, default=None
        Number of clinical columns after the pixels. A table of another width is refused, so that the pixels of larger
        stacks cannot be read as clinical columns. If None, all columns after the pixels are clinical. The pipelines set
        it.
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
    batch_norm_statistics : {"moving", "training"}, default="moving"
        Means and variances that are used for prediction: the moving averages of the last batches, as published, or
        those of all training patients, computed after training from their untransformed stacks. The second are an
        addition of this library: the mean prediction of a network then depends less on its seed.
    pooling : {"flatten", "average"}, default="flatten"
        "flatten" connects every pixel of the last feature maps to the LSTM, as published (25.2 of the 25.3 million
        weights at full size). "average" averages each map first, which leaves well under a million weights; it is an
        addition of this library.
    sequence : {"lstm", "attention", "mean"}, default="lstm"
        How the vectors of the slices become one vector per patient: "lstm" reads them from feet to head, as published
        [1]_. "attention" is their mean, weighted by gated attention [2]_; :meth:`slice_attention` returns the weights.
        "mean" is their mean. The last two ignore the order of the slices; they are additions of this library.
    lstm_units : int, default=24
        Number of memory cells of the LSTM [1]_, or of units of the attention.
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
    schedule : {"constant", "cosine"}, default="constant"
        Course of the learning rate: constant, as published, or from `learning_rate` down to nearly zero over all steps
        of the fit, along half a period of a cosine. With `early_stopping` the steps are those of all `epochs`.
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
    augment : StackAugmenter, default=None
        Random transforms of the stacks in training (:class:`~sklearn_pspd.preprocessing.StackAugmenter`), new ones for
        each patient, epoch and member. Predictions and rows held out by `early_stopping` are not transformed.
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
    n_members : int, default=1
        Number of networks that are trained on the same patients from different seeds. The result of one training on
        few patients depends on its seed; the logits of the members are averaged (:meth:`predict_proba`).
    precision : {"auto", "float32", "float64", "mixed_bfloat16"}, default="auto"
        Floating-point precision of the network. "mixed_bfloat16" computes in bfloat16 and keeps float32 weights. "auto"
        selects it where it is faster: on devices with bfloat16 instructions (processors with AVX512-BF16 or AMX, NVIDIA
        GPUs from Ampere on), if a training step has at least 1 GFLOP. Otherwise it selects "float32".
    n_devices : int, default=1
        Number of GPUs over which each batch is divided during training; without a GPU, of logical CPU devices. The
        statistics of batch normalisation are computed over all devices.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, row order, dropout masks, random transforms and held-out rows. With an int, fits are
        bit-identical on one machine with the same numbers of threads and the same settings of TensorFlow
        (``TF_NUM_INTRAOP_THREADS``, ``TF_ENABLE_ONEDNN_OPTS``).
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
    member_weights_ : list of list of ndarray
        Weights of the network of each member, in the order of the network's ``weights``.
    weights_ : list of ndarray
        Those of the first member.
    networks_ : list of keras.Model
        Separate networks with these weights, built at the first access. They can be called, and differentiated with
        respect to weights and both inputs.
    network_ : keras.Model
        That of the first member.
    history_ : dict of str to list of float
        "loss" and, with `early_stopping`, "val_loss": one value per epoch of the last fit and of each later
        :meth:`partial_fit`; with several members, the mean of those that were still trained in the epoch.
    callbacks_ : list of keras.callbacks.Callback
        The copies of `callbacks` that recorded the last fit; with several members, those of the first member first.
    n_iter_ : int
        Number of these epochs.
    precision_ : {"float32", "float64", "mixed_bfloat16"}
        The precision that was used; differs from `precision` if that is "auto".

    Raises
    ------
    InputError
        If X does not have the columns that `stack_shape` and `n_clinical` require, y does not have two classes, or
        training diverges.

    Notes
    -----
    SciKeras runs the training: its ``fit`` starts Keras' training on the batches with the given number of epochs and
    callbacks, and records the loss of each epoch; input checks, network, initial weights, batches, prediction and saved
    files are implemented in this library.

    Compiled networks are shared by all classifiers of a process: only the first fit of an architecture builds one, and
    a fitted classifier stores arrays only. Fits and predictions within a process run one at a time; to run folds in
    parallel, use processes (``n_jobs`` with joblib's default backend). The members of one fit are trained in parallel,
    one per processor core, if the network is small; each is bit-identical to one that is trained alone.

    The seeds of the members are spawned from that of the fit (:class:`numpy.random.SeedSequence`). With one member, the
    seed of the fit is used itself.

    Callbacks of scikit-learn 1.9 or later (``set_callbacks``) receive, at the end of each epoch, X, y, the weights of
    the patients as metadata, and a fitted estimator with the weights and the ``history_`` up to then. So
    ``ScoringMonitor(scoring="roc_auc")`` records the AUC in the training patients after each epoch. With callbacks the
    members of an ensemble are trained one after another.

    A patient with a weight of two counts twice in the loss and in the statistics of batch normalisation. This is
    equivalent to repeating the row if all rows are in one batch.

    Research software, not a medical device.

    References
    ----------
    .. [1] Jang BS, Jeon SH, Kim IH, Kim IA. Prediction of pseudoprogression versus progression using machine learning
       algorithm in glioblastoma. Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.
    .. [2] Ilse M, Tomczak JM, Welling M. Attention-based deep multiple instance learning. ICML 2018, arXiv:1802.04712.

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
        "n_images": [Interval(Integral, 1, None, closed="left")],
        "n_clinical": [Interval(Integral, 0, None, closed="left"), None],
        "filters": ["array-like"],
        "kernel_size": [Interval(Integral, 1, None, closed="left")],
        "batch_norm": [StrOptions({"before", "after", "none"})],
        "batch_norm_momentum": [Interval(Real, 0, 1, closed="left")],
        "batch_norm_statistics": [StrOptions({"moving", "training"})],
        "pooling": [StrOptions({"flatten", "average"})],
        "sequence": [StrOptions({"lstm", "attention", "mean"})],
        "lstm_units": [Interval(Integral, 1, None, closed="left")],
        "lstm_activation": [StrOptions({"tanh", "sigmoid"})],
        "dense_units": ["array-like"],
        "clinical_units": ["array-like"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions({"constant", "cosine"})],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "optimizer": [StrOptions({"sgd", "adam"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "augment": [HasMethods("augment"), None],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "n_members": [Interval(Integral, 1, None, closed="left")],
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
        n_images=1,
        n_clinical=None,
        filters=(64, 128, 256),
        kernel_size=2,
        batch_norm="before",
        batch_norm_momentum=0.9,
        batch_norm_statistics="moving",
        pooling="flatten",
        sequence="lstm",
        lstm_units=24,
        lstm_activation="tanh",
        dense_units=(32, 32),
        clinical_units=(4, 4),
        dropout=0.0,
        learning_rate=0.01,
        schedule="constant",
        momentum=0.0,
        optimizer="sgd",
        batch_size=8,
        epochs=25,
        shuffle=True,
        augment=None,
        class_weight=None,
        early_stopping=False,
        validation_fraction=0.2,
        n_iter_no_change=5,
        warm_start=False,
        n_members=1,
        precision="auto",
        n_devices=1,
        random_state=None,
        verbose=0,
        callbacks=None,
    ):
        self.stack_shape = stack_shape
        self.n_images = n_images
        self.n_clinical = n_clinical
        self.filters = filters
        self.kernel_size = kernel_size
        self.batch_norm = batch_norm
        self.batch_norm_momentum = batch_norm_momentum
        self.batch_norm_statistics = batch_norm_statistics
        self.pooling = pooling
        self.sequence = sequence
        self.lstm_units = lstm_units
        self.lstm_activation = lstm_activation
        self.dense_units = dense_units
        self.clinical_units = clinical_units
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.momentum = momentum
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.epochs = epochs
        self.shuffle = shuffle
        self.augment = augment
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.n_members = n_members
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
            If the columns do not match `stack_shape` and `n_clinical`, y does not have two classes, `class_weight` is
            not a set of finite weights, a class is too small to hold out `validation_fraction` of it, or training
            diverges (a loss or a weight is not finite).
        ValueError
            If X has missing or infinite values.
        """
        with self._previous_fit_kept():
            # Check the input before a callback or the network sees it.
            is_weighted = sample_weight is not None
            X, y, sample_weight = self._check_rows(X, y, sample_weight)
            # Scorers of callbacks receive weights only if there are any.
            task = {"X": X, "y": y, "metadata": {"sample_weight": sample_weight} if is_weighted else None}
            classes = np.unique(y[sample_weight > 0])
            check_classes(y, classes, type(self).__name__)
            spec = self._spec(X.shape[1])
            previous = self._warm_start_weights(classes, spec)
            plan = self._plan(X, y, sample_weight, classes=classes, spec=spec, epochs=self.epochs)
            check_classes(y, np.unique(y[plan.rows]), type(self).__name__)
            context = self._init_callback_context(max_subtasks=self.epochs * self.n_members)
            context.call_on_fit_task_begin(estimator=self, **task)
            seeds = member_seeds(self._draw_seed(), self.n_members)
            starts = [Start(seed, weights) for seed, weights in zip(seeds, previous, strict=True)]
            learned = self._train(plan, starts, classes, spec, context, task)
        # Only now replace the previous fit.
        vars(self).pop("_networks", None)
        vars(self).update(learned)
        context.call_on_fit_task_end(estimator=self, **task, reconstruction_attributes={})
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
            If the columns do not match `stack_shape`, y contains an unknown label, there are not two classes, training
            diverges, parameters of the network have changed since the last call, or `class_weight` is "balanced",
            `early_stopping` is True or `schedule` is "cosine", which need all rows at once.
        ValueError
            If X has missing or infinite values, or other columns than in the previous call.
        """
        if self.class_weight == "balanced" or self.early_stopping or self.schedule != "constant":
            raise InputError(
                f"class_weight={self.class_weight!r} with early_stopping={self.early_stopping} and "
                f"schedule={self.schedule!r} needs all rows at once, which partial_fit does not have: give "
                "sample_weight instead, or use fit"
            )
        is_first = not hasattr(self, "member_weights_")
        with self._previous_fit_kept():
            X, y, sample_weight = self._check_rows(X, y, sample_weight, reset=is_first)
            classes = self._classes_of_partial_fit(y, classes, sample_weight)
            spec = self._spec(X.shape[1])
            seed = self._draw_seed()
            if is_first:
                starts = [Start(member_seed) for member_seed in member_seeds(seed, self.n_members)]
            else:
                self._check_continues(spec, [field.name for field in dataclasses.fields(spec)], "partial_fit")
                # Each call draws a new row order and new dropout masks.
                seeds = member_seeds((seed + self.n_iter_) % 2**31, self.n_members)
                starts = list(map(Start, seeds, self.member_weights_, self._optimizer_states))
            # One epoch from the current weights and states of the optimisers.
            plan = self._plan(X, y, sample_weight, classes=classes, spec=spec, epochs=1)
            learned = self._train(plan, starts, classes, spec)
        # Append to the history of the previous calls.
        if not is_first:
            learned["history_"] = {name: self.history_.get(name, []) + new for name, new in learned["history_"].items()}
            learned["n_iter_"] += self.n_iter_
        vars(self).pop("_networks", None)
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
            Probabilities in the order of `classes_`; each row sums to one. With several members, the sigmoid of the
            mean of their logits.

        Raises
        ------
        InputError
            If weights are not finite.
        """
        probabilities = self.member_probabilities(X)
        if len(probabilities) == 1:
            return probabilities[0]
        # The logit of a probability that was rounded to 0 or 1 is infinite.
        smallest = np.finfo(np.float32).eps
        positive = expit(logit(np.clip(probabilities[..., 1], smallest, 1 - smallest)).mean(axis=0))
        return np.column_stack([1.0 - positive, positive])

    def member_probabilities(self, X):
        """Predict the probabilities of both classes by each member.

        Parameters
        ----------
        X : array-like of shape (n_patients, n_features), float32
            Columns as in :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_members, n_patients, 2)
            Probabilities in the order of `classes_`; the order of the members is that of `member_weights_`.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=self._dtype(), reset=False)
        if not all(np.all(np.isfinite(array)) for weights in self.member_weights_ for array in weights):
            raise InputError(
                "the weights of the network are not all finite: its training diverged, or they were changed"
            )
        with TURNS.take(), NETWORK_POOL.borrow(self._fitted_spec) as network:
            positive = [self._predict_member(network, weights, X) for weights in self.member_weights_]
        positive = np.asarray(positive, dtype=np.float64)
        return np.stack([1.0 - positive, positive], axis=-1)

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

    def slice_attention(self, X):
        """Return how much each slice contributes to a patient's vector, if `sequence` is "attention".

        Parameters
        ----------
        X : array-like of shape (n_patients, n_features), float32
            Columns as in :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_patients, n_slices)
            Weights of the slices from feet to head, which sum to one per patient; with several members, their mean.

        Raises
        ------
        InputError
            If the network has no attention.
        """
        check_is_fitted(self)
        if self._fitted_spec.stack_shape is None or self._fitted_spec.sequence != ATTENTION:
            raise InputError(f'sequence={self._fitted_spec.sequence!r} has no attention weights; fit with "attention"')
        X = validate_data(self, X, dtype=self._dtype(), reset=False)
        with TURNS.take():
            weights = []
            for network in self.networks_:
                reader = keras.Model(network.inputs, network.get_layer(ATTENTION).output[1])
                blocks = (split_inputs(X[rows], self._fitted_spec) for rows in _row_blocks(len(X), self.batch_size))
                weights.append(np.concatenate([reader.predict_on_batch(block) for block in blocks]))
        return np.mean(weights, axis=0)

    @property
    def weights_(self):
        """Weights of the first member's network."""
        check_is_fitted(self)
        return self.member_weights_[0]

    @property
    def networks_(self):
        """Separate networks with the fitted weights, built at the first access."""
        check_is_fitted(self)
        if "_networks" not in vars(self):
            with TURNS.take():
                self._networks = [build_cnn_lstm(self._fitted_spec) for _ in self.member_weights_]
            for network, weights in zip(self._networks, self.member_weights_, strict=True):
                network.set_weights(weights)
        return self._networks

    @property
    def network_(self):
        """Separate network with the fitted weights of the first member."""
        return self.networks_[0]

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
            weights=self.member_weights_,
            states=self._optimizer_states,
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
        parameters, learned, spec, weights, states = read_classifier(
            path,
            known_parameters=cls().get_params(),
            known_learned=(*LEARNED_ATTRIBUTES, *VALIDATION_ATTRIBUTES),
        )
        try:
            classifier = cls(**parameters)
            classifier._validate_params()
            cls(**{name: getattr(spec, name) for name in SPEC_PARAMETERS})._validate_params()
        except ValueError as error:
            raise InputError(f"{path}: damaged ({error})") from error
        vars(classifier).update(learned, member_weights_=weights, _optimizer_states=states, _fitted_spec=spec)
        classifier.callbacks_ = []
        return classifier

    def __sklearn_is_fitted__(self):
        return hasattr(self, "member_weights_")

    def __getstate__(self):
        state = dict(super().__getstate__())
        # The separate networks are rebuilt from the weights at the next access.
        state.pop("_networks", None)
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
        X, y = validate_data(self, X, as_plain_labels(y), dtype=self._dtype(), reset=reset)
        check_classification_targets(y)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True, copy=True)
        # Newer versions of scikit-learn raise this error themselves, with the same message.
        if not np.any(weights):
            raise InputError("Sample weights must contain at least one non-zero number.")
        return X, y, weights

    def _classes_of_partial_fit(self, y, classes, sample_weight):
        """Return the classes of the previous call, of the argument, or of the rows."""
        name = type(self).__name__
        if hasattr(self, "classes_"):
            if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
                raise InputError(
                    f"classes={np.asarray(classes).tolist()} differ from those of the previous call, "
                    f"{self.classes_.tolist()}"
                )
            classes = self.classes_
        elif classes is None:
            classes = y[sample_weight > 0]
        classes = np.unique(classes)
        check_classes(classes, classes, name)
        if unknown := np.setdiff1d(y, classes).tolist():
            raise InputError(f"y has the unknown labels {unknown[:5]}; the classes are {classes.tolist()}")
        return classes

    def _draw_seed(self):
        return int(check_random_state(self.random_state).randint(0, 2**31 - 1))

    def _plan(self, X, y, sample_weight, *, classes, spec, epochs):
        """Return what all members have in common in training."""
        sample_weight, rows = weigh_rows(y, sample_weight, self.class_weight)
        # Equal weights need no weighted batch statistics, which take longer to compute.
        is_weighted = spec.stack_shape is not None and spec.batch_norm != "none" and np.ptp(sample_weight[rows]) > 0
        if is_weighted and self.n_devices > 1:
            raise InputError(
                f"n_devices={self.n_devices}: batch normalisation over several devices cannot use the weights of "
                'patients; train on one device or with batch_norm="none"'
            )
        if self.batch_norm_statistics == "training" and self.n_devices > 1:
            raise InputError(f'n_devices={self.n_devices} needs batch_norm_statistics="moving"')
        return TrainingPlan(
            X,
            np.searchsorted(classes, y),
            sample_weight,
            rows,
            spec=dataclasses.replace(spec, weighted=is_weighted, n_devices=self.n_devices),
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            shuffle=self.shuffle,
            augment=self.augment,
            reestimate=self.batch_norm_statistics == "training" and spec.batch_norm != "none",
            validation_fraction=self.validation_fraction if self.early_stopping else None,
            n_iter_no_change=self.n_iter_no_change,
            callbacks=self.callbacks or (),
            verbose=int(self.verbose),
        )

    def _train(self, plan, starts, classes, spec, context=None, task=None):
        """Train the members and return the learned attributes by name."""
        fitted = {"classes_": classes, "precision_": spec.precision, "_fitted_spec": spec}

        def tasks(members):
            def attributes(network, losses):
                weights = [*(member.weights for member in members), network.get_weights()]
                history = _mean_history([*(member.history for member in members), losses])
                return {**fitted, "member_weights_": weights, **_history_attributes(history)}

            return EpochTasks(self, context, task, attributes)

        with TURNS.take():
            members = train_members(plan, starts, tasks=tasks if self._has_callbacks(context) else None)
        history = _mean_history([member.history for member in members])
        return {
            **fitted,
            "member_weights_": [member.weights for member in members],
            "_optimizer_states": [member.state for member in members],
            "callbacks_": [callback for member in members for callback in member.callbacks],
            **_history_attributes(history),
        }

    def _has_callbacks(self, context):
        """Return whether callbacks of scikit-learn follow the epochs of this fit."""
        return context is not None and bool(getattr(self, "_skl_callbacks", ()))

    def _warm_start_weights(self, classes, spec):
        """Return the weights of the members of the previous fit if `warm_start`, else None for each."""
        if not (self.warm_start and hasattr(self, "member_weights_")):
            return [None] * self.n_members
        if not np.array_equal(classes, self.classes_):
            raise InputError(
                f"warm_start=True needs the classes of the previous fit, {self.classes_.tolist()}; y has the classes "
                f"{classes.tolist()}"
            )
        # The optimiser starts anew, and arithmetic and dropout do not change the weights' shapes.
        free = {"optimizer", "momentum", "precision", "dropout", "batch_norm_momentum"}
        names = [field.name for field in dataclasses.fields(spec) if field.name not in free]
        self._check_continues(spec, names, "warm_start=True")
        return self.member_weights_

    def _check_continues(self, spec, names, what):
        check_same(self._fitted_spec, spec, names, what)
        if len(self.member_weights_) != self.n_members:
            raise InputError(
                f"{what} continues the previous fit, which had n_members={len(self.member_weights_)}; it is now "
                f"{self.n_members}"
            )

    def _predict_member(self, network, weights, X):
        network.set_weights(weights)
        blocks = (split_inputs(X[rows], self._fitted_spec) for rows in _row_blocks(len(X), self.batch_size))
        return np.concatenate([np.asarray(network.predict_on_batch(block))[:, 0] for block in blocks])

    def _spec(self, n_features):
        """Return the specification of the network for X with `n_features` columns."""
        layers = {name: getattr(self, name) for name in SPEC_PARAMETERS}
        columns = {name: getattr(self, name) for name in ("stack_shape", "n_images", "n_clinical")}
        check_precision(self.precision)
        if self.precision != "auto":
            return make_spec(n_features, precision=self.precision, **columns, **layers)
        spec = make_spec(n_features, precision="float32", **columns, **layers)
        return dataclasses.replace(spec, precision=choose_precision(spec, self.batch_size))


def _history_attributes(history):
    return {"history_": history, "n_iter_": len(history["loss"])}


def _mean_history(histories):
    """Return the mean of the losses per epoch over the members that were still trained in it."""
    if len(histories) == 1:
        return histories[0]
    n_epochs = max(len(history["loss"]) for history in histories)
    return {
        name: [
            float(np.mean([history[name][epoch] for history in histories if epoch < len(history[name])]))
            for epoch in range(n_epochs)
        ]
        for name in histories[0]
    }


def _row_blocks(n_rows, block_size):
    return [slice(start, start + block_size) for start in range(0, n_rows, block_size)]
