"""Stratified folds, and what is said of small ones."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.model_selection import StratifiedKFold, check_cv

from sklearn_pspd._sklearn import GroupsConsumerMixin
from sklearn_pspd.exceptions import InputError

# How a patient came to be scored: by models of the other folds, or by models of all training patients.
CROSS_VALIDATION = "cross-validation"
EXTERNAL = "external"

MIN_CLASS_SIZE = 5


def check_outcomes(y, name):
    """Return outcomes as integers 0 (PD) and 1 (PsPD); refuse any other value."""
    if y is None:
        raise InputError(f"{name} is None; it holds the outcomes, 0 (PD) and 1 (PsPD)")
    y = np.asarray(y)
    if y.ndim != 1 or not np.isin(y, (0, 1)).all():
        raise InputError(f"{name} holds 0 (PD) and 1 (PsPD), one value a patient; got {np.unique(y)[:5]}, {y.ndim}-D")
    return y.astype(np.int64)


def make_splits(cv, X, y, random_state):
    """Return the training and the test rows of each fold.

    Parameters
    ----------
    cv : int, splitter or iterable
        A number gives stratified, shuffled folds.
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table.
    y : ndarray of shape (n_patients,)
        0 = PD, 1 = PsPD.
    random_state : int, RandomState instance or None
        Seed of the folds of a number.

    Returns
    -------
    list of tuple of ndarray
        Training and test rows.

    Raises
    ------
    ValueError
        If a class has fewer patients than there are folds, there are no folds, a fold trains on a patient whom it
        tests, or the splitter needs groups, of which it knows nothing here.
    """
    if isinstance(cv, GroupsConsumerMixin):
        name = type(cv).__name__
        raise InputError(f"{name} needs groups; give its splits, for example cv={name}().split(X, y, X['site'])")
    splits = list(_make_splitter(cv, y, random_state).split(X, y))
    if not splits:
        raise InputError("cv holds no splits; a generator gives them once only")
    for fold, (train, test) in enumerate(splits, start=1):
        if len(both := np.intersect1d(train, test)):
            raise InputError(
                f"cv: fold {fold} trains on patients whom it tests too: rows {', '.join(map(str, both[:5]))}"
            )
    return splits


def _make_splitter(cv, y, random_state):
    if not isinstance(cv, Integral):
        return check_cv(cv, y, classifier=True)
    counts = np.bincount(y, minlength=2)
    if counts.min() < cv:
        raise InputError(
            f"cv={cv} folds need {cv} patients of each class; there are {counts[0]} with PD (0) and {counts[1]} with "
            "PsPD (1)"
        )
    return StratifiedKFold(cv, shuffle=True, random_state=random_state)


def warn_of_small_folds(splits, y, what):
    """Warn where a test fold has so few patients of a class that its score says little."""
    smallest = min(int(np.bincount(y[test], minlength=2).min()) for _, test in splits)
    if smallest < MIN_CLASS_SIZE:
        warnings.warn(
            f"{what}: the smallest fold has {smallest} patient(s) of a class; with fewer than {MIN_CLASS_SIZE} its "
            "score jumps by tenths, so differences between settings may be chance. Use fewer folds, or repeat them",
            UserWarning,
            stacklevel=3,
        )
