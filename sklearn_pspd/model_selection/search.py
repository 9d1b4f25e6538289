"""Search that tunes one parameter after another, as the paper does."""

from collections.abc import Iterable
from contextlib import contextmanager
from numbers import Integral
from typing import ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedShuffleSplit, check_cv
from sklearn.utils import check_random_state, indexable
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_pspd._sklearn import (
    BaseSearchCV,
    Interval,
    NoCallbackContext,
    _check_method_params,
    _fit_context,
    _safe_indexing,
)
from sklearn_pspd.exceptions import InputError

from .fits import refuse_tuned_seeds, seeded_clone
from .folds import make_splits, warn_of_small_folds
from .parallel import report_progress

PAPER_SEQUENCE = {
    "lstm_units": (18, 20, 22, 24),
    "batch_size": (6, 7, 8, 9),
    "learning_rate": (0.0001, 0.001, 0.01, 0.1),
}
VALIDATION_FRACTION = 0.2


class SequentialSearchCV(BaseSearchCV):
    """Tune the number of epochs by loss traces, then one parameter after another by cross-validation.

    The order of the paper [1]_ is epochs, memory cells, batch size, learning rate. Each step tries the values of one
    parameter and keeps the values that the earlier steps chose. As with
    :class:`~sklearn.model_selection.GridSearchCV`, the tuning becomes a part of the model:
    :func:`~sklearn_pspd.model_selection.compare_models` and :func:`~sklearn_pspd.model_selection.negative_control`
    repeat it inside each training fold, and :func:`~sklearn_pspd.model_selection.nested_cross_validate` estimates how
    optimistic its scores are.

    Parameters
    ----------
    estimator : estimator
        A classifier of two classes. For the number of epochs it is, or is a pipeline that ends in, a network with
        ``partial_fit``, ``epochs`` and ``history_``, as :class:`~sklearn_pspd.neural_network.CNNLSTMClassifier` has.
    param_sequence : dict of str to sequence, default=None
        Parameters of the estimator and the values to try, in this order. None takes those of the paper for the network
        [1]_: ``lstm_units`` (18, 20, 22, 24), ``batch_size`` (6, 7, 8, 9) and ``learning_rate`` (0.0001, 0.001, 0.01,
        0.1).
    max_epochs : int or None, default=50
        Epochs of each loss trace. None keeps the estimator's own number of epochs, if it has one.
    n_repeats : int, default=5
        Number of loss traces, each with a stratified split into 80 % training and 20 % validation patients [1]_.
    scoring : str, callable, list, tuple or dict, default="roc_auc"
        As in :class:`~sklearn.model_selection.GridSearchCV`; with several metrics, `refit` names the one that selects.
    n_jobs : int, default=None
        Number of fits that run at the same time, in processes.
    refit : bool or str, default=True
        Whether to fit the estimator with the chosen values on all patients. With several metrics, the name of the one
        that selects the values.
    cv : int, splitter or iterable, default=5
        Number of stratified, shuffled folds [1]_, a splitter or the splits themselves. Every value is scored on the
        same folds.
    verbose : int, default=0
        As in :class:`~sklearn.model_selection.GridSearchCV`.
    pre_dispatch : int or str, default="2*n_jobs"
        As in :class:`~sklearn.model_selection.GridSearchCV`.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds and of the splits of the loss traces. The estimator has its own.
    error_score : "raise" or float, default=np.nan
        Score of a fold whose fit fails. NaN ends the search with an error.
    return_train_score : bool, default=False
        Whether ``cv_results_`` holds the scores of the training patients too.

    Attributes
    ----------
    cv_results_ : dict of str to ndarray
        As in :class:`~sklearn.model_selection.GridSearchCV`, one row per value of each step, in the order of the
        search, with the tuned parameter in ``step``. Its ranks compare the values of all steps.
    losses_ : DataFrame or None
        Columns ``repeat``, ``epoch``, ``loss`` (training patients) and ``validation_loss``; None with
        ``max_epochs=None``.
    scores_ : DataFrame
        Columns ``parameter``, ``value``, ``fold`` and ``score``, from ``cv_results_``.
    best_params_ : dict of str to object
        The chosen values, epochs included.
    best_score_ : float
        Mean score over the folds of the value that the last step chose.
    best_index_ : int
        Row of that value in ``cv_results_``: the best of the last step, the first among equals.
    best_estimator_ : estimator
        Fitted with the chosen values on all patients; absent with ``refit=False``.
    refit_time_ : float
        Seconds that this fit took; absent with ``refit=False``.
    scorer_ : callable or dict of str to callable
        The metric, or the metrics by name.
    n_splits_ : int
        Number of folds.
    multimetric_ : bool
        Whether there are several metrics.
    classes_ : ndarray of shape (2,)
        The labels; absent with ``refit=False``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if ``best_estimator_`` knows them.

    Notes
    -----
    The paper chooses the number of epochs "where training and validation loss meet", which is not defined further. Here
    it is the epoch with the lowest mean validation loss over the repeats (ours). In each repeat the preparation steps
    of a pipeline are fitted on the 80 % only, and samplers resample these only. The validation loss is weighted by
    ``sample_weight`` where the scores of the folds are.

    ``best_score_`` is optimistic, because the values were selected for their scores: report the score of
    :func:`~sklearn_pspd.model_selection.nested_cross_validate` or of an external site.

    References
    ----------
    .. [1] Jang BS, Jeon SH, Kim IH, Kim IA. Prediction of pseudoprogression versus progression using machine learning
       algorithm in glioblastoma. Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd import CNNLSTMClassifier, SequentialSearchCV
    >>> y = np.arange(50) % 2
    >>> X = np.random.default_rng(0).random((50, 3)) + y[:, np.newaxis]
    >>> network = CNNLSTMClassifier(None, random_state=0)
    >>> sequence = {"learning_rate": (0.01, 0.1)}
    >>> search = SequentialSearchCV(network, sequence, max_epochs=3, n_repeats=2, random_state=0).fit(X, y)
    >>> sorted(search.best_params_)
    ['epochs', 'learning_rate']
    >>> search.losses_.shape, search.scores_.shape
    ((6, 4), (10, 4))
    >>> search.predict_proba(X).shape
    (50, 2)
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseSearchCV._parameter_constraints,
        "param_sequence": [dict, None],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "refit": ["boolean", str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator,
        param_sequence=None,
        *,
        max_epochs=50,
        n_repeats=5,
        scoring="roc_auc",
        n_jobs=None,
        refit=True,
        cv=5,
        verbose=0,
        pre_dispatch="2*n_jobs",
        random_state=None,
        error_score=np.nan,
        return_train_score=False,
    ):
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.param_sequence = param_sequence
        self.max_epochs = max_epochs
        self.n_repeats = n_repeats
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)  # the estimator is validated when it is fitted
    def fit(self, X, y=None, **params):
        """Tune, and fit the estimator with the chosen values on all patients.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_columns)
            Cohort table, or what else the estimator takes.
        y : array-like of shape (n_patients,)
            Two classes of any type, such as 0 and 1 or "PD" and "PsPD".
        **params : dict of str to object
            Parameters of the estimator's ``fit``, such as ``sample_weight`` or ``classifier__sample_weight``, and
            ``groups`` for the splitter, as in :class:`~sklearn.model_selection.GridSearchCV`.

        Returns
        -------
        SequentialSearchCV
            The fitted search.

        Raises
        ------
        InputError
            Before any fit, if the estimator is not a classifier, has no number of epochs to tune although `max_epochs`
            is given or lacks a parameter of the sequence, if a parameter has no values, if several metrics are given
            without the one that selects, if y does not have two classes, or if a class has fewer patients than there
            are folds; during the search, if the score of a fold is not defined.

        Warns
        -----
        UserWarning
            If a fold has fewer than five patients of a class.
        """
        sequence = self._check_settings()
        y = self._check_classes(y)
        X, y = indexable(X, y)
        self._search_data = {"X": X, "y": y, "sequence": sequence, "losses": None}
        try:
            super().fit(X, y, **params)
            self.losses_ = self._search_data["losses"]
        finally:
            del self._search_data
        return self

    @property
    def scores_(self):
        """Score of each value in each fold, in the order of the search."""
        check_is_fitted(self)
        metric = self.refit if self.multimetric_ else "score"
        by_fold = np.column_stack([self.cv_results_[f"split{fold}_test_{metric}"] for fold in range(self.n_splits_)])
        names = np.repeat(self.cv_results_["step"], self.n_splits_)
        candidates = [params for params in self.cv_results_["params"] for _ in range(self.n_splits_)]
        values = [params[name] for name, params in zip(names, candidates, strict=True)]
        return pd.DataFrame(
            {
                "parameter": names,
                # Of any type: a column of numbers would turn whole ones into fractions.
                "value": pd.Series(values, dtype=object),
                "fold": np.tile(np.arange(1, self.n_splits_ + 1), len(by_fold)),
                "score": by_fold.ravel(),
            }
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.array_api_support = False
        if tags.classifier_tags is not None:
            tags.classifier_tags.multi_class = False
        return tags

    def __getstate__(self):
        """Return the attributes with plain lists in place of the table of losses, which files without pickle lack."""
        state = super().__getstate__()
        if isinstance(state.get("losses_"), pd.DataFrame):
            state = {**state, "losses_": state["losses_"].to_dict("list")}
        return state

    def __setstate__(self, state):
        if isinstance(state.get("losses_"), dict):
            state = {**state, "losses_": pd.DataFrame(state["losses_"])}
        super().__setstate__(state)

    def _check_settings(self):
        """Return the values of each step; refuse what cannot be tuned, before anything is fitted."""
        kind = type(self.estimator).__name__
        if not is_classifier(self.estimator):
            raise InputError(f"{type(self).__name__} tunes classifiers; {kind} is not a classifier")
        prefix, classifier = _last_step(self.estimator)
        has_epochs = hasattr(classifier, "partial_fit") and "epochs" in classifier.get_params()
        if self.max_epochs is not None and not has_epochs:
            raise InputError(
                f"max_epochs={self.max_epochs}: the number of epochs can only be tuned for a classifier with "
                "partial_fit and the parameter epochs, such as CNNLSTMClassifier, alone or as the last step of a "
                f"pipeline; got {kind}{f' that ends in {prefix[:-2]!r}' if prefix else ''}. Set max_epochs=None to "
                "leave this step out"
            )
        if isinstance(self.scoring, list | tuple | dict) and not isinstance(self.refit, str):
            self._refuse_several_metrics()
        return self._check_sequence(prefix)

    def _check_sequence(self, prefix):
        sequence = self.param_sequence
        if sequence is None:
            sequence = {f"{prefix}{name}": values for name, values in PAPER_SEQUENCE.items()}
        if not sequence and self.max_epochs is None:
            raise InputError("there is nothing to tune: param_sequence is empty and max_epochs is None")
        for name, values in sequence.items():
            if isinstance(values, str) or not isinstance(values, Iterable):
                raise InputError(f"param_sequence must contain a list of values per parameter; {name} has {values!r}")
        sequence = {name: list(values) for name, values in sequence.items()}
        if empty := [name for name, values in sequence.items() if not values]:
            raise InputError(f"param_sequence must contain at least one value for {', '.join(empty)}")
        refuse_tuned_seeds({"the search": self})
        first_values = {name: values[0] for name, values in sequence.items()}
        try:
            clone(self.estimator).set_params(**clone(first_values, safe=False))
        except ValueError as error:
            raise InputError(f"param_sequence: {error}") from error
        return sequence

    def _check_classes(self, y):
        y = validate_data(self, X="no_validation", y=y)
        check_classification_targets(y)
        classes = np.unique(y)
        if len(classes) > 2:
            raise InputError(
                f"Only binary classification is supported. The type of the target is {type_of_target(y)}: "
                f"{len(classes)} classes, {classes[:5].tolist()}."
            )
        if len(classes) < 2:
            raise InputError(f"{type(self).__name__} needs patients of two classes; y has 1 class: {classes.tolist()}")
        return y

    def _refuse_several_metrics(self):
        raise InputError(
            f"scoring has several metrics: set refit to the name of the one that selects the values; got {self.refit}"
        )

    def _get_routed_params_for_fit(self, params):
        """Keep what scikit-learn routes to the estimator, the scorer and the splitter; the loss traces need it too."""
        self._search_data["routed"] = super()._get_routed_params_for_fit(params)
        return self._search_data["routed"]

    def _run_search(self, evaluate_candidates, *, callback_ctx=None):
        """Tune the epochs, then each parameter of the sequence with all that was chosen before."""
        # Taken from the search, which scikit-learn may send to other processes with each candidate.
        X, y, sequence, routed = (self._search_data.pop(name) for name in ("X", "y", "sequence", "routed"))
        # Both seeds are always drawn, so that the folds do not depend on `max_epochs`, nor the traces on `cv`.
        rng = check_random_state(self.random_state)
        fold_seed, trace_seed = (int(rng.randint(2**31 - 1)) for _ in range(2))
        folds = self._make_folds(X, y, fold_seed, routed.splitter.split)
        root = NoCallbackContext() if callback_ctx is None else callback_ctx
        n_tasks = (self.max_epochs is not None) + max(len(sequence), 1)
        with self._task(root, "search", max_subtasks=n_tasks) as search:
            chosen = {}
            if self.max_epochs is not None:
                with self._task(search, "loss-traces"):
                    losses = self._search_data["losses"] = self._trace_losses(X, y, trace_seed, routed)
                epochs = int(losses.groupby("epoch")["validation_loss"].mean().idxmin())
                chosen[f"{_last_step(self.estimator)[0]}epochs"] = epochs
                report_progress(f"epochs: {_count(self.n_repeats, 'loss trace')}, chosen {epochs}")
            # Without a sequence, the chosen number of epochs is scored alone.
            for name, values in (sequence or {name: [value] for name, value in chosen.items()}).items():
                n_fits = len(values) * len(folds)
                with self._task(search, "step", max_subtasks=n_fits, sequential_subtasks=False) as step:
                    results = evaluate_candidates(
                        [{**chosen, name: value} for value in values],
                        cv=_FixedFolds(folds),
                        more_results={"step": [name] * len(values)},
                        **({} if callback_ctx is None else {"callback_ctx": step}),
                    )
                chosen = self._best_of_step(results, X, y, routed.estimator.fit)
                scored = f"{_count(len(values), 'value')} scored"
                report_progress(f"{name.rsplit('__', 1)[-1]}: {scored}, chosen {chosen[name]}")

    def _make_folds(self, X, y, seed, split_params):
        codes = np.unique(y, return_inverse=True)[1]
        cv = self.cv
        if not isinstance(cv, Integral):
            # From scikit-learn 1.9 on, the base class keeps what it has read from a generator.
            splitter = check_cv(getattr(self, "_checked_cv_orig", cv), y, classifier=True)
            cv = list(splitter.split(X, y, **split_params))
        try:
            folds = make_splits(cv, X, codes, seed)
        except InputError as error:
            # Inside another cross-validation these are the patients of a training fold.
            n_patients, n_features = (*np.shape(X), 1)[:2]
            given = f"{type(self).__name__} was given {n_patients} patient(s) with {n_features} feature(s)"
            raise InputError(f"{given}: {error}") from error
        warn_of_small_folds(folds, codes, type(self).__name__)
        return folds

    def _trace_losses(self, X, y, seed, routed):
        splits = StratifiedShuffleSplit(self.n_repeats, test_size=VALIDATION_FRACTION, random_state=seed)
        traces = Parallel(n_jobs=self.n_jobs, pre_dispatch=self.pre_dispatch)(
            delayed(_loss_trace)(
                seeded_clone(self.estimator, repeat),
                X,
                y,
                train,
                test,
                max_epochs=self.max_epochs,
                fit_params=routed.estimator.fit,
                sample_weight=routed.scorer.score.get("sample_weight"),
            )
            for repeat, (train, test) in enumerate(splits.split(np.zeros(len(y)), y), start=1)
        )
        rows = [{"repeat": repeat, **row} for repeat, trace in enumerate(traces, start=1) for row in trace]
        return pd.DataFrame(rows)

    def _best_of_step(self, results, X, y, fit_params):
        """Return the parameters of the best value of the step that was evaluated last."""
        metric = self.refit if f"mean_test_{self.refit}" in results else "score"
        if f"mean_test_{metric}" not in results:
            self._refuse_several_metrics()
        is_undefined = (results["step"] == results["step"][-1]) & ~np.isfinite(results[f"mean_test_{metric}"])
        if is_undefined.any():
            params = results["params"][np.argmax(is_undefined)]
            # Where the fits fail, their error says more than the scores that it leaves undefined.
            clone(self.estimator).set_params(**clone(params, safe=False)).fit(X, y, **fit_params)
            raise InputError(
                f"{params}: the score of a fold is not defined, for example because the fold has patients of one "
                "outcome only, or of one only with a sample_weight above zero; use fewer folds"
            )
        return dict(results["params"][self._select_best_index(self.refit, metric, results)])

    @staticmethod
    def _select_best_index(refit, refit_metric, results):  # noqa: ARG004
        """Return the row of the best value of the last step, the first among equals."""
        last_step = np.flatnonzero(results["step"] == results["step"][-1])
        return last_step[np.argmax(results[f"mean_test_{refit_metric}"][last_step])]

    @contextmanager
    def _task(self, context, name, **settings):
        """Tell scikit-learn's callbacks, where there are any, when a part of the search begins and ends."""
        task = context.subcontext(task_name=name, **settings).call_on_fit_task_begin(estimator=self)
        yield task
        task.call_on_fit_task_end(estimator=self)


class _FixedFolds:
    """The same folds at each call, whatever the splitter that they came from."""

    def __init__(self, folds):
        self.folds = folds

    def split(self, *_, **__):
        return iter(self.folds)


class _HandOver(BaseEstimator):
    """Stand-in for the last step of a pipeline, which keeps what the preparation steps hand over to it."""

    def __init__(self, classifier):
        self.classifier = classifier

    def fit(self, X, y, **fit_params):
        self.X_, self.y_, self.fit_params_ = X, y, fit_params
        return self

    def transform(self, X):
        return X

    def get_metadata_routing(self):
        """Ask for what the classifier asks for."""
        return self.classifier.get_metadata_routing()


def _loss_trace(estimator, X, y, train, test, *, max_epochs, fit_params=None, sample_weight=None):
    """Return the losses after each pass over the training rows; everything is fitted on these alone."""
    # A pipeline prepares its data itself, with its memory, samplers and fit parameters.
    estimator = clone(estimator)
    prefix, classifier = _last_step(estimator)
    hand_over = _HandOver(classifier)
    preparation = estimator.set_params(**{prefix[:-2]: hand_over}) if prefix else hand_over
    train_params = _check_method_params(X, fit_params or {}, indices=train)
    preparation.fit(_safe_indexing(X, train), y[train], **train_params)
    X_test = preparation.transform(_safe_indexing(X, test))
    test_weight = None if sample_weight is None else _safe_indexing(sample_weight, test)
    classes, rows = np.unique(y), []
    for epoch in range(1, max_epochs + 1):
        classifier.partial_fit(hand_over.X_, hand_over.y_, classes=classes, **hand_over.fit_params_)
        probabilities = classifier.predict_proba(X_test).astype(np.float64)
        validation_loss = log_loss(y[test], probabilities, labels=classes, sample_weight=test_weight)
        rows.append(
            {"epoch": epoch, "loss": classifier.history_["loss"][-1], "validation_loss": float(validation_loss)}
        )
    return rows


def _count(number, noun):
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _last_step(estimator):
    """Return the prefix of the classifier's parameters and the classifier: a pipeline's last step, or the estimator."""
    if hasattr(estimator, "steps"):
        name, classifier = estimator.steps[-1]
        return f"{name}__", classifier
    return "", estimator
