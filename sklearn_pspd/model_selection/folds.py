"""Stratified folds, checks of outcomes and splits, and a warning about small folds."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.model_selection import StratifiedKFold, check_cv

from sklearn_pspd._sklearn import GroupsConsumerMixin
from sklearn_pspd.exceptions import InputError

# Patients are scored by models trained on the other folds, or by models trained on all training patients.
CROSS_VALIDATION = "cross-validation"
EXTERNAL = "external"

MIN_CLASS_SIZE = 5


def check_outcomes(y, name):
    """Return outcomes as integers 0 (PD) and 1 (PsPD); refuse any other value."""
    if y is None:
        raise InputError(f"{name} is None; it must contain the outcomes, 0 (PD) and 1 (PsPD), one value per patient")
    y = np.asarray(y)
    if y.ndim != 1 or not np.isin(y, (0, 1)).all():
        raise InputError(
            f"{name} must contain only 0 (PD) and 1 (PsPD), one value per patient; got {np.unique(y)[:5]}, {y.ndim}-D"
        )
    return y.astype(np.int64)


def make_splits(cv, X, y, random_state):
    """Return the training and the test rows of each fold.

    Parameters
    ----------
    cv : int, splitter or iterable
        Number of stratified, shuffled folds, a scikit-learn splitter, or the splits themselves.
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table.
    y : ndarray of shape (n_patients,)
        0 = PD, 1 = PsPD.
    random_state : int, RandomState instance or None
        Seed of the folds if `cv` is a number.

    Returns
    -------
    list of tuple of ndarray
        Training and test rows.

    Raises
    ------
    InputError
        If a class has fewer patients than there are folds, there are no folds, a patient is in the training and the
        test set of one fold, or the splitter requires groups, which are not passed to it here.
    """
    # A splitter that consumes groups is refused by its class, before it can fail or ignore them.
    if isinstance(cv, GroupsConsumerMixin):
        raise InputError(
            f"{type(cv).__name__} requires groups; give its splits instead, for example "
            f"cv={cv!r}.split(X, y, X['site'])"
        )

    # A list, because a generator gives its splits only once and every model needs them.
    splits = list(_make_splitter(cv, y, random_state).split(X, y))
    if not splits:
        raise InputError("cv contains no splits; a generator gives its splits only once")

    # A model must not be tested on patients that it was trained on.
    for fold, (train, test) in enumerate(splits, start=1):
        if len(both := np.intersect1d(train, test)):
            raise InputError(
                f"cv: fold {fold} has patients in both its training and its test set: "
                f"rows {', '.join(map(str, both[:5]))}"
            )
    return splits


def number_repeats(splits):
    """Return for each fold of a cross-validation which repeat it belongs to, counted from one.

    Parameters
    ----------
    splits : list of tuple of ndarray
        Training and test rows, as :func:`make_splits` returns them.

    Returns
    -------
    list of int
        A repeat ends where a patient is tested again.

    Raises
    ------
    InputError
        If the repeats do not test the same patients, once each.
    """
    repeats, tested = [], [set()]
    for _, test in splits:
        rows = set(np.asarray(test).tolist())
        if rows & tested[-1]:
            tested.append(set())
        tested[-1] |= rows
        repeats.append(len(tested))
    if any(rows != tested[0] for rows in tested):
        raise InputError(
            "cv tests some patients more often than others; use folds that test each patient once, or repeats of such "
            "folds, for example RepeatedStratifiedKFold"
        )
    return repeats


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
    """Warn if a test fold has so few patients of one class that its score is too imprecise to be useful."""
    smallest = min(int(np.bincount(y[test], minlength=2).min()) for _, test in splits)
    if smallest < MIN_CLASS_SIZE:
        warnings.warn(
            f"{what}: the smallest fold has {smallest} patient(s) of a class; with fewer than {MIN_CLASS_SIZE} its "
            "score can change by tenths if one patient is ranked differently, so differences between settings may be "
            "due to chance. Use fewer folds, or repeat them",
            UserWarning,
            stacklevel=3,
        )
