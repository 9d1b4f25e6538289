"""Tuning one parameter after another, as the paper does."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.metrics import check_scoring, log_loss
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_pspd._sklearn import _safe_indexing
from sklearn_pspd.exceptions import InputError

from .folds import check_outcomes, make_splits, warn_of_small_folds
from .parallel import Tasks

PAPER_RUNGS = {
    "classifier__lstm_units": (18, 20, 22, 24),
    "classifier__batch_size": (6, 7, 8, 9),
    "classifier__learning_rate": (0.0001, 0.001, 0.01, 0.1),
}
VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class LadderResult:
    """What a ladder of tunings found.

    Attributes
    ----------
    best_params : dict of str to object
        For ``set_params`` of the pipeline.
    losses : DataFrame
        Columns ``repeat``, ``epoch``, ``loss`` (training rows), ``validation_loss``.
    scores : DataFrame
        Columns ``rung`` (the parameter), ``value``, ``fold``, ``score``.
    """

    best_params: dict
    losses: pd.DataFrame
    scores: pd.DataFrame


def tune_ladder(
    pipeline,
    X,
    y,
    *,
    max_epochs=50,
    n_repeats=5,
    rungs=None,
    cv=5,
    scoring="roc_auc",
    random_state=None,
    n_jobs=None,
    on_progress=None,
):
    """Tune the number of epochs by loss traces, then one parameter after another by cross-validation.

    The paper's order [1]_: epochs, memory cells, batch size, learning rate. Each rung keeps what the rungs before it
    chose.

    Parameters
    ----------
    pipeline : Pipeline
        Its last step is named "classifier" and has ``partial_fit``, ``epochs`` and ``history_``, as
        :class:`~sklearn_pspd.neural_network.CNNLSTMClassifier` has.
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table of the training site.
    y : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD.
    max_epochs : int, default=50
        Length of the loss traces.
    n_repeats : int, default=5
        Stratified splits into 80 % that train and 20 % that do not [1]_.
    rungs : dict of str to sequence, default=None
        Parameters of the pipeline and the values to try, in order. None takes those of the paper.
    cv : int, splitter or iterable, default=5
        Number of stratified, shuffled folds [1]_, a splitter or the splits themselves; every value is scored on the
        same ones.
    scoring : str or callable, default="roc_auc"
        As in scikit-learn.
    random_state : int, RandomState instance or None, default=None
        Seed of splits and folds.
    n_jobs : int, default=None
        Fits at once, in processes.
    on_progress : callable, default=None
        Called after each fit with its number, the number of all fits, and its description.

    Returns
    -------
    LadderResult
        The chosen parameters, every loss and every fold's score.

    Raises
    ------
    ValueError
        If the pipeline does not end in such a classifier, y holds anything but 0 and 1, a class has fewer patients than
        there are folds, or a rung has no value.

    Warns
    -----
    UserWarning
        If a fold has fewer than five patients of a class.

    Notes
    -----
    The paper takes the epochs "where training and validation loss meet", which is not defined further; here it is the
    epoch of the lowest validation loss in the mean over repeats (ours). Preparation steps are fitted on the 80 % only.

    Scores of the chosen values are optimistic, since they were chosen for being high: report those of
    :func:`nested_cross_validate` or of an external site.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import Pipeline
    >>> from sklearn_pspd import CNNLSTMClassifier, tune_ladder
    >>> y = np.arange(50) % 2
    >>> X = np.random.default_rng(0).random((50, 3)) + y[:, np.newaxis]
    >>> pipeline = Pipeline([("classifier", CNNLSTMClassifier(None, learning_rate=0.1, random_state=0))])
    >>> rungs = {"classifier__learning_rate": (0.01, 0.1)}
    >>> result = tune_ladder(pipeline, X, y, max_epochs=3, n_repeats=2, rungs=rungs, random_state=0)
    >>> sorted(result.best_params)
    ['classifier__epochs', 'classifier__learning_rate']
    >>> result.losses.shape, result.scores.shape
    ((6, 4), (10, 4))
    """
    y = check_outcomes(y, "y")
    _check_pipeline(pipeline)
    rungs = PAPER_RUNGS if rungs is None else rungs
    if empty := [name for name, values in rungs.items() if len(values) == 0]:
        raise InputError(f"rungs without a value: {', '.join(empty)}")
    rng = check_random_state(random_state)
    splits = make_splits(cv, X, y, int(rng.randint(2**31 - 1)))
    warn_of_small_folds(splits, y, "tune_ladder")

    shuffles = StratifiedShuffleSplit(n_repeats, test_size=VALIDATION_SHARE, random_state=int(rng.randint(2**31 - 1)))
    n_values = sum(len(values) for values in rungs.values())
    tasks = Tasks(n_repeats + n_values * len(splits), n_jobs, on_progress)
    parts = list(shuffles.split(np.zeros(len(y)), y))
    calls = [(clone(pipeline), X, y, *part, max_epochs, repeat) for repeat, part in enumerate(parts, start=1)]
    traces = tasks.run(_trace, calls, [f"loss trace {repeat} of {n_repeats}" for repeat in range(1, n_repeats + 1)])
    losses = pd.DataFrame([row for trace in traces for row in trace])
    mean_loss = losses.groupby("epoch")["validation_loss"].mean()
    best = {"classifier__epochs": int(mean_loss.idxmin())}

    scorer, tables = check_scoring(pipeline, scoring), []
    for name, values in rungs.items():
        trials = [(value, fold, *split) for value in values for fold, split in enumerate(splits, start=1)]
        calls = [
            (clone(pipeline).set_params(**best, **{name: value}), scorer, X, y, train, test)
            for value, _, train, test in trials
        ]
        told = [f"{name}={value}, fold {fold} of {len(splits)}" for value, fold, _, _ in trials]
        found = tasks.run(_fit_and_score, calls, told)
        rows = [
            {"rung": name, "value": value, "fold": fold, "score": score}
            for (value, fold, _, _), score in zip(trials, found, strict=True)
        ]
        by_value = np.reshape([row["score"] for row in rows], (len(values), len(splits)))
        if not np.isfinite(by_value).all():
            raise InputError(
                f"rung {name}: a fold's score is not defined; it may hold one outcome only: use fewer folds"
            )
        best[name] = values[int(np.argmax(by_value.mean(axis=1)))]
        tables += rows
    return LadderResult(best, losses, pd.DataFrame(tables, columns=["rung", "value", "fold", "score"]))


class LadderSearchCV(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """A pipeline that is tuned by the paper's ladder whenever it is fitted.

    As with :class:`~sklearn.model_selection.GridSearchCV`, tuning becomes a part of the model, so that
    :func:`~sklearn_pspd.model_selection.compare_models` and :func:`~sklearn_pspd.model_selection.negative_control`
    repeat it inside each training fold, and :func:`~sklearn_pspd.model_selection.nested_cross_validate` says how
    optimistic it is.

    Parameters
    ----------
    estimator : Pipeline
        As in :func:`~sklearn_pspd.model_selection.tune_ladder`, which has the other parameters too.
    max_epochs : int, default=50
        Length of the loss traces.
    n_repeats : int, default=5
        Loss traces, each on 80 % of the rows.
    rungs : dict of str to sequence, default=None
        Parameters and the values to try, in order. None takes those of the paper.
    cv : int, splitter or iterable, default=5
        Folds that score the values.
    scoring : str or callable, default="roc_auc"
        As in scikit-learn.
    random_state : int, RandomState instance or None, default=None
        Seed of splits and folds.
    n_jobs : int, default=None
        Fits at once, in processes.
    on_progress : callable, default=None
        Called after each fit with its number, the number of all fits, and its description.

    Attributes
    ----------
    ladder_ : LadderResult
        Every loss and score of the tuning.
    best_params_ : dict of str to object
        The chosen values.
    best_score_ : float
        Mean score of the values chosen last; optimistic. NaN if there are no rungs.
    best_estimator_ : Pipeline
        Fitted with the chosen values on all rows.
    classes_ : ndarray of shape (2,)
        0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import Pipeline
    >>> from sklearn_pspd import CNNLSTMClassifier
    >>> from sklearn_pspd.model_selection import LadderSearchCV
    >>> y = np.arange(50) % 2
    >>> X = np.random.default_rng(0).random((50, 3)) + y[:, np.newaxis]
    >>> pipeline = Pipeline([("classifier", CNNLSTMClassifier(None, random_state=0))])
    >>> rungs = {"classifier__learning_rate": (0.01, 0.1)}
    >>> search = LadderSearchCV(pipeline, max_epochs=3, n_repeats=2, rungs=rungs, random_state=0).fit(X, y)
    >>> search.predict_proba(X).shape
    (50, 2)
    """

    def __init__(
        self,
        estimator,
        *,
        max_epochs=50,
        n_repeats=5,
        rungs=None,
        cv=5,
        scoring="roc_auc",
        random_state=None,
        n_jobs=None,
        on_progress=None,
    ):
        self.estimator = estimator
        self.max_epochs = max_epochs
        self.n_repeats = n_repeats
        self.rungs = rungs
        self.cv = cv
        self.scoring = scoring
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.on_progress = on_progress

    def fit(self, X, y):
        """Tune, and fit the pipeline with the chosen values on all rows.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table.
        y : array-like of shape (n_patients,)
            0 = PD, 1 = PsPD.

        Returns
        -------
        LadderSearchCV
            Itself.
        """
        settings = self.get_params(deep=False)
        self.ladder_ = tune_ladder(settings.pop("estimator"), X, y, **settings)
        self.best_params_ = self.ladder_.best_params
        scores = self.ladder_.scores
        by_rung = [
            rows["score"].to_numpy().reshape(-1, rows["fold"].nunique())
            for _, rows in scores.groupby("rung", sort=False)
        ]
        self.best_score_ = float(by_rung[-1].mean(axis=1).max()) if by_rung else np.nan
        self.best_estimator_ = clone(self.estimator).set_params(**self.best_params_).fit(X, y)
        self.classes_ = self.best_estimator_.classes_
        return self

    def predict(self, X):
        """Call each patient with the tuned pipeline.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table.

        Returns
        -------
        ndarray of shape (n_patients,)
            0 = PD, 1 = PsPD.
        """
        check_is_fitted(self)
        return self.best_estimator_.predict(X)

    def predict_proba(self, X):
        """Return probabilities of the tuned pipeline.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table.

        Returns
        -------
        ndarray of shape (n_patients, 2)
            Of PD and of PsPD.
        """
        check_is_fitted(self)
        return self.best_estimator_.predict_proba(X)

    def score(self, X, y):
        """Score the tuned pipeline as the tuning does.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table.
        y : array-like of shape (n_patients,)
            0 = PD, 1 = PsPD.

        Returns
        -------
        float
            The AUC, unless `scoring` is another.
        """
        check_is_fitted(self)
        return float(check_scoring(self.best_estimator_, self.scoring)(self.best_estimator_, X, y))


def _best_mean(rung):
    """Return the best mean over folds of a rung's scores, which come value by value."""
    return float(rung["score"].to_numpy().reshape(-1, rung["fold"].nunique()).mean(axis=1).max())


def _check_pipeline(pipeline):
    name, classifier = pipeline.steps[-1] if hasattr(pipeline, "steps") else ("", pipeline)
    if name != "classifier" or not hasattr(classifier, "partial_fit") or "epochs" not in classifier.get_params():
        raise InputError(
            'a pipeline whose last step "classifier" has partial_fit and epochs is needed, as make_fusion_pipeline() '
            f"gives it; got {type(pipeline).__name__}{f' that ends in {name!r}' if name else ''}"
        )


def _trace(pipeline, X, y, train, test, max_epochs, repeat):
    """Return the losses after each pass over the training rows; everything is fitted on those alone."""
    X_train, y_train = _safe_indexing(X, train), y[train]
    X_test = _safe_indexing(X, test)
    for _, step in pipeline.steps[:-1]:
        if hasattr(step, "fit_resample"):
            X_train, y_train = step.fit_resample(X_train, y_train)
            continue
        X_train = step.fit_transform(X_train, y_train)
        X_test = step.transform(X_test)
    classifier, rows = pipeline.steps[-1][1], []
    for epoch in range(1, max_epochs + 1):
        classifier.partial_fit(X_train, y_train)
        probabilities = classifier.predict_proba(X_test).astype(np.float64)
        rows.append(
            {
                "repeat": repeat,
                "epoch": epoch,
                "loss": classifier.history_["loss"][-1],
                "validation_loss": float(log_loss(y[test], probabilities, labels=[0, 1])),
            }
        )
    return rows


def _fit_and_score(pipeline, scorer, X, y, train, test):
    pipeline.fit(_safe_indexing(X, train), y[train])
    return float(scorer(pipeline, _safe_indexing(X, test), y[test]))
