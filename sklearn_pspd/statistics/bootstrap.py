"""Metrics of many resamples at once, and the bootstrap interval made of them.

A resample is a row of weights: how often each patient was drawn. Each ``weighted_*`` function takes the true classes
and the scores or calls of all patients and returns a function from weights of shape (n_resamples, n_patients) to values
of shape (n_resamples,); a value that is not defined is NaN. Weights of one give the metric itself.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri
from sklearn.utils import check_random_state

from sklearn_pspd.exceptions import InputError

from .intervals import Estimate, normal_quantile, t_quantile, wilson_interval


def weighted_auc(is_positive, score):
    """Return the area under the ROC curve as a function of weights; a tie counts half."""
    difference = score[is_positive][:, np.newaxis] - score[~is_positive]
    wins = (difference > 0) + 0.5 * (difference == 0)

    def of_weights(weights):
        positive, negative = weights[:, is_positive], weights[:, ~is_positive]
        return ((positive @ wins) * negative).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))

    return of_weights


def weighted_average_precision(is_positive, score):
    """Return the average precision as a function of weights."""
    order = np.argsort(-score, kind="stable")
    hit = is_positive[order].astype(np.float64)
    # Tied scores share the precision at the last of them.
    last = np.searchsorted(-score[order], -score[order], side="right") - 1

    def of_weights(weights):
        weights = weights[:, order]
        hits, calls = np.cumsum(weights * hit, axis=1), np.cumsum(weights, axis=1)
        precision = hits[:, last] / np.maximum(calls[:, last], 1)
        return (weights * hit * precision).sum(axis=1) / hits[:, -1]

    return of_weights


def _mean_of(value_of_patient):
    def metric(is_positive, score):
        values = value_of_patient(is_positive, score).astype(np.float64)
        return lambda weights: weights @ values / weights.sum(axis=1)

    return metric


def weighted_precision(is_positive, is_called):
    """Return the precision as a function of weights; NaN where nobody is called."""
    called, hit = is_called.astype(np.float64), (is_positive & is_called).astype(np.float64)
    return lambda weights: _ratio(weights @ hit, weights @ called)


def weighted_recall(is_positive, is_called):
    """Return the recall as a function of weights."""
    return weighted_precision(is_called, is_positive)


def weighted_specificity(is_positive, is_called):
    """Return the specificity as a function of weights."""
    return weighted_recall(~is_positive, ~is_called)


def weighted_f1(is_positive, is_called):
    """Return F1 as a function of weights."""
    total = is_positive.astype(np.float64) + is_called
    hit = (is_positive & is_called).astype(np.float64)
    return lambda weights: _ratio(2 * (weights @ hit), weights @ total)


def _ratio(numerator, denominator):
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)


def weighted_average(is_positive, is_called, zero_division):
    """Return a maker of support-weighted averages over both classes; NaN leaves its class out."""

    def average(kind):
        of_classes = [kind(~is_positive, ~is_called), kind(is_positive, is_called)]

        def of_weights(weights):
            values = np.stack([of_class(weights) for of_class in of_classes])
            values = np.where(np.isnan(values), zero_division, values)
            support = np.stack([weights[:, ~is_positive].sum(axis=1), weights[:, is_positive].sum(axis=1)])
            support = np.where(np.isnan(values), 0.0, support)
            return _ratio((np.nan_to_num(values) * support).sum(axis=0), support.sum(axis=0))

        return of_weights

    return average


def by_repetition(metric, y_true):
    """Turn a metric of labels and scores into one of weights, by repeating each patient as often as it was drawn."""

    def maker(_, score):
        def of_weights(weights):
            picks = [np.repeat(np.arange(len(y_true)), row.astype(np.intp)) for row in weights]
            return np.array([metric(y_true[pick], score[pick]) for pick in picks], dtype=np.float64)

        return of_weights

    return maker


SCORE_METRICS = {
    "roc_auc": weighted_auc,
    "average_precision": weighted_average_precision,
    "brier": _mean_of(lambda is_positive, prob: (prob - is_positive) ** 2),
}
CALL_METRICS = {
    "accuracy": _mean_of(lambda is_positive, is_called: is_positive == is_called),
    "specificity": weighted_specificity,
    "precision": weighted_precision,
    "recall": weighted_recall,
    "f1": weighted_f1,
}


class Resampling(NamedTuple):
    """How a bootstrap interval is to be made.

    Attributes
    ----------
    confidence_level : float
        Coverage of the interval, in (0, 1).
    n_resamples : int
        Bootstrap resamples, positive.
    random_state : int, RandomState instance or None
        Seed of the resamples.
    bounds : tuple of float
        Smallest and largest value that the metric can take.
    small_sample : bool
        Widen the quantile for few cases, as :func:`~sklearn_pspd.statistics.bootstrap_interval` says.
    variance_factor : float
        By how much the variance is larger than that of the resamples. Other than 1, the interval is a normal one on the
        logit scale: BCa limits so far out would rest on the outermost resamples.
    """

    confidence_level: float
    n_resamples: int
    random_state: object
    bounds: tuple
    small_sample: bool
    variance_factor: float = 1.0


def is_separated(is_positive, score):
    """Say whether all scores of one class lie below all of the other, so that no resample mixes their order."""
    positive, negative = score[is_positive], score[~is_positive]
    return positive.min() > negative.max() or positive.max() < negative.min()


def draw_weights(is_positive, n_resamples, random_state):
    """Draw bootstrap resamples that keep the classes' sizes.

    Parameters
    ----------
    is_positive : ndarray of bool of shape (n_patients,)
        The classes, resampled apart.
    n_resamples : int
        Number of resamples.
    random_state : int, RandomState instance or None
        Seed.

    Returns
    -------
    ndarray of shape (n_resamples, n_patients)
        How often each patient is drawn.

    Raises
    ------
    ValueError
        If `n_resamples` is not a positive whole number.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.statistics.bootstrap import draw_weights
    >>> draw_weights(np.array([True, False, False]), 2, 0).sum(axis=1)
    array([3., 3.])
    """
    if n_resamples != int(n_resamples) or n_resamples < 1:
        raise InputError(f"n_resamples is a positive whole number; got {n_resamples}")
    rng = check_random_state(random_state)
    weights = np.empty((int(n_resamples), len(is_positive)))
    for mask in (~is_positive, is_positive):
        n = int(mask.sum())
        weights[:, mask] = rng.multinomial(n, np.full(n, 1 / n), size=int(n_resamples))
    return weights


def bootstrap(of_weights, is_positive, resampling, *, is_degenerate=False):
    """Estimate a metric with its stratified BCa bootstrap interval.

    Parameters
    ----------
    of_weights : callable
        The metric as a function of weights.
    is_positive : ndarray of bool of shape (n_patients,)
        The classes, resampled apart.
    resampling : Resampling
        How many resamples, and what interval.
    is_degenerate : bool, default=False
        Whether resamples cannot show how uncertain the value is, so that Wilson's interval is given.

    Returns
    -------
    Estimate
        See :func:`~sklearn_pspd.statistics.bootstrap_interval`, the public form.

    Raises
    ------
    ValueError
        If the value lies outside the bounds, or `n_resamples` is not a positive whole number.
    """
    bounds, scale = resampling.bounds, np.sqrt(resampling.variance_factor)
    value = float(of_weights(np.ones((1, len(is_positive))))[0])
    if np.isnan(value):
        return Estimate(value, *map(float, bounds), "undefined")
    if not bounds[0] <= value <= bounds[1]:
        raise InputError(f"the metric is {value:g}, outside its bounds {bounds[0]:g} to {bounds[1]:g}")
    smallest = int(min(is_positive.sum(), (~is_positive).sum()))
    # Equal values differ in the last digits when summed in another order.
    weights = draw_weights(is_positive, resampling.n_resamples, resampling.random_state)
    values = np.round(of_weights(weights), 12)
    values = values[~np.isnan(values)]
    z, span = normal_quantile(resampling.confidence_level), bounds[1] - bounds[0]
    share = (value - bounds[0]) / span
    if not (is_degenerate or smallest == 1 or not len(values) or np.ptp(values) == 0):
        quantile = z
        if resampling.small_sample:
            quantile = np.sqrt(smallest / (smallest - 1)) * t_quantile(resampling.confidence_level, smallest - 1)
        if scale == 1:
            low, high = _bca_interval(np.round(value, 12), values, _acceleration(of_weights, is_positive), quantile)
            low, high = max(bounds[0], min(low, value)), min(bounds[1], max(high, value))
            # A handful of patients has few distinct resamples; one of them may fill the whole middle.
            if high > low:
                return Estimate(value, float(low), float(high), "stratified BCa bootstrap")
        elif 0 < share < 1:
            half = scale * quantile * values.std() / span / (share * (1 - share))
            low, high = (float(bounds[0] + span * expit(logit(share) + side)) for side in (-half, half))
            return Estimate(value, low, high, "stratified bootstrap, logit")
    low, high = (bounds[0] + span * limit for limit in wilson_interval(share, smallest, scale * z))
    return Estimate(value, low, high, "Wilson, smaller class")


def _acceleration(of_weights, is_positive):
    """Return a sixth of the skewness of the metric's influence values, over both classes."""
    left_out = np.nan_to_num(of_weights(1.0 - np.eye(len(is_positive))), nan=0.0)
    cubes = squares = 0.0
    for mask in (is_positive, ~is_positive):
        n = mask.sum()
        influence = (n - 1) * (left_out[mask].mean() - left_out[mask])
        cubes += np.sum(influence**3) / n**3
        squares += np.sum(influence**2) / n**2
    return cubes / (6 * squares**1.5) if squares > 1e-20 else 0.0


def _bca_interval(value, values, acceleration, z):
    below = (np.mean(values < value) + np.mean(values <= value)) / 2
    resolution = 0.5 / len(values)
    bias = ndtri(np.clip(below, resolution, 1 - resolution))
    shifted = bias + np.array([-z, z])
    shrink = 1 - acceleration * shifted
    # Beyond its pole the acceleration would turn a far quantile round; the limit there is the end of the distribution.
    shares = np.where(shrink > 0, ndtr(bias + shifted / np.where(shrink > 0, shrink, 1.0)), shifted > 0)
    return np.quantile(values, shares)
