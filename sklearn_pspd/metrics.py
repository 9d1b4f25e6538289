"""Diagnostic metrics with intervals that hold for a handful of patients: arrays in, numbers out."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

CLASS_NAMES = ("PD", "PsPD")


class Estimate(NamedTuple):
    """A value with its interval and the method that gave it."""

    value: float
    low: float
    high: float
    method: str


def roc_auc(y_true, y_score, *, confidence_level=0.95):
    """Estimate the area under the receiver operating characteristic curve.

    The variance is DeLong's [1]_, the interval is symmetric on the logit scale [2]_. At an AUC of 0 or 1, or with one
    patient in a class, DeLong's variance is zero or undefined; there the variance is Hanley and McNeil's [3]_ at the AUC
    shrunk half a pair towards 0.5, which keeps the interval defined, inside [0, 1] and wide.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        0 or 1, both present.
    y_score : array-like of shape (n_patients,)
        Higher for class 1.
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).

    Returns
    -------
    Estimate
        Value in [0, 1], with its interval.

    Raises
    ------
    ValueError
        If a class is absent, a score is not finite, or lengths differ.

    References
    ----------
    .. [1] DeLong ER, DeLong DM, Clarke-Pearson DL. Biometrics 44, 837-845 (1988).
    .. [2] Pepe MS. The statistical evaluation of medical tests for classification and prediction, 107 (2003).
    .. [3] Hanley JA, McNeil BJ. Radiology 143, 29-36 (1982).

    Examples
    --------
    >>> from sklearn_pspd.metrics import roc_auc
    >>> round(roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).value, 2)
    0.75
    """
    y_true, y_score = _check_scores(y_true, y_score)
    auc, variance = _delong(y_true, y_score)
    n_negative, n_positive = np.bincount(y_true, minlength=2)
    method = "DeLong, logit"
    centre = auc
    if not 0 < auc < 1 or min(n_negative, n_positive) < 2 or variance <= 0:
        n_pairs = n_negative * n_positive
        centre = (auc * n_pairs + 0.5) / (n_pairs + 1)
        variance = _hanley_mcneil_variance(centre, n_negative, n_positive)
        method = "Hanley-McNeil, logit"
    half = norm.ppf(0.5 + confidence_level / 2) * np.sqrt(variance) / (centre * (1 - centre))
    low, high = expit(logit(centre) - half), expit(logit(centre) + half)
    return Estimate(float(auc), float(min(low, auc)), float(max(high, auc)), method)


def average_precision(y_true, y_score, *, confidence_level=0.95, n_resamples=2000, random_state=None):
    """Estimate the area under the precision-recall curve, by the step-wise average precision.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        0 or 1, both present.
    y_score : array-like of shape (n_patients,)
        Higher for class 1.
    confidence_level : float, default=0.95
        Coverage of the stratified bootstrap interval, in (0, 1).
    n_resamples : int, default=2000
        Bootstrap resamples.
    random_state : int or None, default=None
        Seed of the resamples.

    Returns
    -------
    Estimate
        Value in [0, 1], with its interval.

    Examples
    --------
    >>> from sklearn_pspd.metrics import average_precision
    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], random_state=0).value, 2)
    0.83
    """
    y_true, y_score = _check_scores(y_true, y_score)
    return _stratified_bootstrap(_average_precision, y_true, y_score, confidence_level, n_resamples, random_state)


def proportion(successes, n, *, confidence_level=0.95):
    """Estimate a proportion with Wilson's interval.

    Parameters
    ----------
    successes : int
        Number of successes, 0 to n.
    n : int
        Number of trials; 0 gives NaN and the interval (0, 1).
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).

    Returns
    -------
    Estimate
        Value in [0, 1], with its interval.

    References
    ----------
    .. [1] Wilson EB. J Am Stat Assoc 22, 209-212 (1927).

    Examples
    --------
    >>> from sklearn_pspd.metrics import proportion
    >>> value, low, high, method = proportion(6, 8)
    >>> round(low, 3), round(high, 3)
    (0.409, 0.929)
    """
    if n == 0:
        return Estimate(float("nan"), 0.0, 1.0, "undefined: no cases")
    z = norm.ppf(0.5 + confidence_level / 2)
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Estimate(float(share), float(max(0.0, centre - half)), float(min(1.0, centre + half)), "Wilson")


def score_table(y_true, y_score, *, threshold, confidence_level=0.95, n_resamples=2000, random_state=None):
    """Summarise one model's scores.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD, both present.
    y_score : array-like of shape (n_patients,)
        Probability of PsPD, in [0, 1].
    threshold : float or array-like of shape (n_patients,)
        A patient is called PsPD where the score reaches it; it must come from elsewhere than these patients.
    confidence_level : float, default=0.95
        Coverage of the intervals, in (0, 1).
    n_resamples : int, default=2000
        Bootstrap resamples, for what has no interval in closed form.
    random_state : int or None, default=None
        Seed of the resamples.

    Returns
    -------
    DataFrame
        Columns ``metric``, ``class``, ``value``, ``low``, ``high``, ``method``; precision, recall and F1 have a row for
        each class. A precision without a call of that class is NaN.

    Examples
    --------
    >>> from sklearn_pspd.metrics import score_table
    >>> table = score_table([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], threshold=0.5, random_state=0)
    >>> table.loc[table["metric"] == "accuracy", "value"].item()
    0.75
    """
    y_true, y_score = _check_scores(y_true, y_score)
    y_pred = (y_score >= np.asarray(threshold)).astype(np.int64)
    level = {"confidence_level": confidence_level}
    resampling = {**level, "n_resamples": n_resamples, "random_state": random_state}
    rows = [
        ("auc", "", roc_auc(y_true, y_score, **level)),
        ("average_precision", "", average_precision(y_true, y_score, **resampling)),
        ("accuracy", "", proportion(int((y_true == y_pred).sum()), len(y_true), **level)),
    ]
    for code, name in enumerate(CLASS_NAMES):
        hits = int(((y_true == code) & (y_pred == code)).sum())
        rows.append(("precision", name, proportion(hits, int((y_pred == code).sum()), **level)))
        rows.append(("recall", name, proportion(hits, int((y_true == code).sum()), **level)))
        is_true, is_called = y_true == code, (y_pred == code).astype(np.float64)
        rows.append(("f1", name, _stratified_bootstrap(_f1, is_true.astype(np.int64), is_called, **resampling)))
    return pd.DataFrame([{"metric": metric, "class": name, **estimate._asdict()} for metric, name, estimate in rows])


def _check_scores(y_true, y_score):
    y_true, y_score = np.asarray(y_true), np.asarray(y_score, dtype=np.float64)
    if y_true.ndim != 1 or y_true.shape != y_score.shape:
        raise ValueError(f"y_true and y_score are of one length; got shapes {y_true.shape} and {y_score.shape}")
    if not np.isin(y_true, (0, 1)).all() or len(np.unique(y_true)) < 2:
        raise ValueError(f"y_true holds 0 and 1, both at least once; got {np.unique(y_true)[:5]}")
    if not np.isfinite(y_score).all():
        raise ValueError(f"y_score holds {np.count_nonzero(~np.isfinite(y_score))} values that are not finite")
    return y_true.astype(np.int64), y_score


def _delong(y_true, y_score):
    """Return the AUC and DeLong's variance, from mid-ranks."""
    positive, negative = y_score[y_true == 1], y_score[y_true == 0]
    ranks = rankdata(np.concatenate([positive, negative]))
    m, n = len(positive), len(negative)
    above_negative = (ranks[:m] - rankdata(positive)) / n
    below_positive = 1 - (ranks[m:] - rankdata(negative)) / m
    variances = [np.var(v, ddof=1) / len(v) if len(v) > 1 else 0.0 for v in (above_negative, below_positive)]
    return float(above_negative.mean()), float(sum(variances))


def _hanley_mcneil_variance(auc, n_negative, n_positive):
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = (n_positive - 1) * (q1 - auc**2) + (n_negative - 1) * (q2 - auc**2)
    return (auc * (1 - auc) + spread) / (n_positive * n_negative)


def _stratified_bootstrap(metric, y_true, y_score, confidence_level, n_resamples, random_state):
    """Return the metric with its percentile interval over resamples within each class."""
    rng = np.random.default_rng(random_state)
    resamples = np.concatenate(
        [rng.choice(np.flatnonzero(y_true == code), (n_resamples, (y_true == code).sum())) for code in (0, 1)], axis=1
    )
    values = metric(y_true[resamples], y_score[resamples])
    tail = (1 - confidence_level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    value = float(metric(y_true[np.newaxis], y_score[np.newaxis])[0])
    return Estimate(value, float(min(low, value)), float(max(high, value)), "stratified percentile bootstrap")


def _average_precision(y_true, y_score):
    """Return the average precision of each row; tied scores share the precision of the last of them."""
    order = np.argsort(-y_score, axis=1, kind="stable")
    score = np.take_along_axis(y_score, order, axis=1)
    hit = np.take_along_axis(y_true, order, axis=1)
    precision = np.cumsum(hit, axis=1) / np.arange(1, hit.shape[1] + 1)
    is_last = np.append(score[:, 1:] != score[:, :-1], np.ones((len(score), 1), dtype=bool), axis=1)
    positions = np.where(is_last, np.arange(hit.shape[1]), hit.shape[1])
    last = np.minimum.accumulate(positions[:, ::-1], axis=1)[:, ::-1]
    return np.sum(hit * np.take_along_axis(precision, last, axis=1), axis=1) / hit.sum(axis=1)


def _f1(y_true, y_pred):
    hits = np.sum(y_true * y_pred, axis=1)
    return 2 * hits / (y_true.sum(axis=1) + y_pred.sum(axis=1))
