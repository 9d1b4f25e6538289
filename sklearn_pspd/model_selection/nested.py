"""Nested cross-validation: the performance of a tuned model on patients that were not used to tune it."""

from dataclasses import dataclass

import pandas as pd

from sklearn_pspd._sklearn import _safe_indexing
from sklearn_pspd.exceptions import InputError

from .fits import refuse_tuned_seeds, seeded_clone
from .folds import check_outcomes, make_splits, warn_of_small_folds
from .parallel import Tasks


@dataclass(frozen=True)
class NestedValidation:
    """Inner and outer scores of a tuned model.

    Attributes
    ----------
    folds : DataFrame
        One row per outer fold: ``fold``, ``n_test``, ``best_params``, ``inner_score`` (mean score of the selected
        values over the inner folds) and ``outer_score`` (score of the model refitted with these values, on the patients
        of the outer test fold).
    """

    folds: pd.DataFrame

    @property
    def score(self):
        """Mean outer score, the estimate to report."""
        return float(self.folds["outer_score"].mean())

    @property
    def optimism(self):
        """Mean difference between the inner and the outer scores."""
        return float((self.folds["inner_score"] - self.folds["outer_score"]).mean())


def nested_cross_validate(search, X, y, *, cv=10, random_state=None, n_jobs=None, on_progress=None):
    """Tune inside each training fold, and score the tuned model on the outer test fold.

    What is tuned is not scored on the patients who tuned it [1]_.

    Parameters
    ----------
    search : estimator with ``best_params_`` and ``best_score_``
        For example ``GridSearchCV(pipeline, grid, scoring="roc_auc", cv=5)`` or
        :class:`~sklearn_pspd.model_selection.SequentialSearchCV`. The outer folds are scored by the same metric.
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table of the training site.
    y : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD.
    cv : int, splitter or iterable, default=10
        Number of stratified, shuffled outer folds, a scikit-learn splitter, or the splits themselves.
    random_state : int, RandomState instance or None, default=None
        Seed of the outer folds.
    n_jobs : int, default=None
        Number of outer folds that are fitted at the same time, in processes.
    on_progress : callable, default=None
        Called with the number of finished outer folds, the number of all outer folds and a description: after each
        outer fold and, without other processes, after each step that a
        :class:`~sklearn_pspd.model_selection.SequentialSearchCV` reports.

    Returns
    -------
    NestedValidation
        Inner score, outer score and selected values of each outer fold; ``score`` and ``optimism``.

    Raises
    ------
    InputError
        If y holds anything but 0 and 1, a class has fewer patients than there are folds, or the estimator is not a
        search that refits.

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
    if getattr(search, "refit", True) is False:
        raise InputError(f"{type(search).__name__}(refit=False) keeps no model that could be scored; set refit=True")
    refuse_tuned_seeds({"nested_cross_validate": search})
    splits = make_splits(cv, X, y, random_state)
    warn_of_small_folds(splits, y, "nested_cross_validate")
    calls = [(seeded_clone(search, fold), X, y, *split, fold) for fold, split in enumerate(splits, start=1)]
    descriptions = [f"outer fold {fold} of {len(splits)}" for fold in range(1, len(splits) + 1)]
    rows = list(Tasks(len(splits), n_jobs, on_progress).run(_tune_and_score, calls, descriptions))
    return NestedValidation(pd.DataFrame(rows))


def inner_and_outer_score(search, X_test, y_test):
    """Return the values that a fitted search selected, their score in its own folds and the score on other patients."""
    if not (hasattr(search, "best_params_") and hasattr(search, "best_score_")):
        raise InputError(f"{type(search).__name__} has no best_params_ and best_score_ once fitted: it is not a search")
    return {
        "best_params": search.best_params_,
        "inner_score": float(search.best_score_),
        "outer_score": float(search.score(X_test, y_test)),
    }


def _tune_and_score(search, X, y, train, test, fold):
    search.fit(_safe_indexing(X, train), y[train])
    scores = inner_and_outer_score(search, _safe_indexing(X, test), y[test])
    return {"fold": fold, "n_test": len(test), **scores}
