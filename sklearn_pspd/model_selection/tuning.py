"""Tuning one parameter after another as the paper does, and what a tuned model is worth on patients it has not seen."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.metrics import check_scoring, log_loss
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils import _safe_indexing, check_random_state

from .folds import check_outcomes, make_splitter, warn_of_small_folds
from .tasks import Tasks

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


@dataclass(frozen=True)
class NestedValidation:
    """Inner and outer scores of a tuned model.

    Attributes
    ----------
    folds : DataFrame
        Columns ``fold``, ``n_test``, ``best_params``, ``inner_score`` (of the best setting, in the inner folds) and
        ``outer_score`` (of the model refitted with it, on patients that the tuning has not seen).
    """

    folds: pd.DataFrame

    @property
    def score(self):
        """Mean outer score: the estimate to report."""
        return float(self.folds["outer_score"].mean())

    @property
    def optimism(self):
        """How much better the inner scores of the chosen settings look, in the mean."""
        return float((self.folds["inner_score"] - self.folds["outer_score"]).mean())


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
        :class:`~sklearn_pspd.classifiers.CNNLSTMClassifier` has.
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
    cv : int or splitter, default=5
        Number of stratified, shuffled folds [1]_, or a splitter; every value is scored on the same ones.
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
        If y holds anything but 0 and 1, a class has fewer patients than there are folds, or a rung has no value.

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
    rungs = PAPER_RUNGS if rungs is None else rungs
    if empty := [name for name, values in rungs.items() if len(values) == 0]:
        raise ValueError(f"rungs without a value: {', '.join(empty)}")
    rng = check_random_state(random_state)
    splits = list(make_splitter(cv, y, int(rng.randint(2**31 - 1))).split(X, y))
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
            raise ValueError(
                f"rung {name}: a fold's score is not defined; it may hold one outcome only: use fewer folds"
            )
        best[name] = values[int(np.argmax(by_value.mean(axis=1)))]
        tables += rows
    return LadderResult(best, losses, pd.DataFrame(tables, columns=["rung", "value", "fold", "score"]))


def nested_cross_validate(search, X, y, *, cv=10, random_state=None, n_jobs=None, on_progress=None):
    """Tune inside each training fold, and score the tuned model on the fold that was held out.

    Parameters
    ----------
    search : estimator with ``best_params_`` and ``best_score_``
        For example ``GridSearchCV(pipeline, grid, scoring="roc_auc", cv=5)``; its scoring is that of the outer folds.
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table of the training site.
    y : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD.
    cv : int or splitter, default=10
        Number of stratified, shuffled outer folds, or a splitter.
    random_state : int, RandomState instance or None, default=None
        Seed of the outer folds.
    n_jobs : int, default=None
        Outer folds at once, in processes.
    on_progress : callable, default=None
        Called after each outer fold with its number, the number of all, and its description.

    Returns
    -------
    NestedValidation
        Every fold's inner and outer score and chosen parameters; ``score`` and ``optimism``.

    Raises
    ------
    ValueError
        If y holds anything but 0 and 1, or a class has fewer patients than there are folds.

    Warns
    -----
    UserWarning
        If an outer fold has fewer than five patients of a class.

    References
    ----------
    .. [1] Cawley GC, Talbot NLC. On over-fitting in model selection and subsequent selection bias in performance
       evaluation. J Mach Learn Res 11, 2079-2107 (2010).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn_pspd import nested_cross_validate
    >>> y = np.arange(60) % 2
    >>> X = np.random.default_rng(0).normal(size=(60, 3)) + y[:, np.newaxis]
    >>> search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, scoring="roc_auc", cv=3)
    >>> nested = nested_cross_validate(search, X, y, cv=4, random_state=0)
    >>> nested.folds.shape
    (4, 5)
    """
    y = check_outcomes(y, "y")
    splits = list(make_splitter(cv, y, random_state).split(X, y))
    warn_of_small_folds(splits, y, "nested_cross_validate")
    calls = [(clone(search), X, y, *split, fold) for fold, split in enumerate(splits, start=1)]
    told = [f"outer fold {fold} of {len(splits)}" for fold in range(1, len(splits) + 1)]
    rows = list(Tasks(len(splits), n_jobs, on_progress).run(_tune_and_score, calls, told))
    return NestedValidation(pd.DataFrame(rows))


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


def _tune_and_score(search, X, y, train, test, fold):
    search.fit(_safe_indexing(X, train), y[train])
    return {
        "fold": fold,
        "n_test": len(test),
        "best_params": search.best_params_,
        "inner_score": float(search.best_score_),
        "outer_score": float(search.score(_safe_indexing(X, test), y[test])),
    }
