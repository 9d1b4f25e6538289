"""Metrics on many bootstrap resamples at once, and the bootstrap interval.

A resample is a row of weights: how often each patient was drawn. Each ``weighted_*`` function takes the true classes
and the scores or predicted classes of all patients. It returns a function that maps weights of shape (n_resamples,
n_patients) to values of shape (n_resamples,), with NaN where the metric is undefined. Weights of one give the metric
itself.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri
from sklearn.utils import check_random_state

from sklearn_pspd.exceptions import InputError

from .intervals import Estimate, normal_quantile, t_quantile, wilson_interval


def weighted_auc(is_positive, score):
    """Return the area under the ROC curve as a function of weights; a tie counts as one half."""
    difference = score[is_positive][:, np.newaxis] - score[~is_positive]
    wins = (difference > 0) + 0.5 * (difference == 0)

    def of_weights(weights):
        positive, negative = weights[:, is_positive], weights[:, ~is_positive]
        return ((positive @ wins) * negative).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))

    return of_weights


def weighted_average_precision(is_positive, score):
    """Return the average precision as a function of weights."""
    order = np.argsort(-score, kind="stable")
    positive = is_positive[order].astype(np.float64)
    # Patients with tied scores all have the precision at the last of them.
    last = np.searchsorted(-score[order], -score[order], side="right") - 1

    def of_weights(weights):
        weights = weights[:, order]
        true_positives, predicted_positives = np.cumsum(weights * positive, axis=1), np.cumsum(weights, axis=1)
        precision = true_positives[:, last] / np.maximum(predicted_positives[:, last], 1)
        return (weights * positive * precision).sum(axis=1) / true_positives[:, -1]

    return of_weights


def _mean_of(value_per_patient):
    def metric(is_positive, score):
        values = value_per_patient(is_positive, score).astype(np.float64)
        return lambda weights: weights @ values / weights.sum(axis=1)

    return metric


def weighted_precision(is_positive, is_predicted_positive):
    """Return the precision as a function of weights; NaN where no patient is predicted positive."""
    predicted_positive = is_predicted_positive.astype(np.float64)
    true_positive = (is_positive & is_predicted_positive).astype(np.float64)
    return lambda weights: _ratio(weights @ true_positive, weights @ predicted_positive)


def weighted_recall(is_positive, is_predicted_positive):
    """Return the recall as a function of weights."""
    return weighted_precision(is_predicted_positive, is_positive)


def weighted_specificity(is_positive, is_predicted_positive):
    """Return the specificity as a function of weights."""
    return weighted_recall(~is_positive, ~is_predicted_positive)


def weighted_f1(is_positive, is_predicted_positive):
    """Return F1 as a function of weights."""
    total = is_positive.astype(np.float64) + is_predicted_positive
    true_positive = (is_positive & is_predicted_positive).astype(np.float64)
    return lambda weights: _ratio(2 * (weights @ true_positive), weights @ total)


def _ratio(numerator, denominator):
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)


def weighted_average(is_positive, is_predicted_positive, zero_division):
    """Return a function that averages a metric over both classes, weighted by support; NaN excludes the class."""

    def average(metric):
        of_classes = [metric(~is_positive, ~is_predicted_positive), metric(is_positive, is_predicted_positive)]

        def of_weights(weights):
            values = np.stack([of_class(weights) for of_class in of_classes])
            values = np.where(np.isnan(values), zero_division, values)
            support = np.stack([weights[:, ~is_positive].sum(axis=1), weights[:, is_positive].sum(axis=1)])
            support = np.where(np.isnan(values), 0.0, support)
            return _ratio((np.nan_to_num(values) * support).sum(axis=0), support.sum(axis=0))

        return of_weights

    return average


def by_repetition(metric, y_true):
    """Convert a metric of classes and scores into a function of weights; each patient is repeated as often as drawn."""

    def weighted_metric(_, score):
        def of_weights(weights):
            picks = [np.repeat(np.arange(len(y_true)), row.astype(np.intp)) for row in weights]
            return np.array([metric(y_true[pick], score[pick]) for pick in picks], dtype=np.float64)

        return of_weights

    return weighted_metric


SCORE_METRICS = {
    "roc_auc": weighted_auc,
    "average_precision": weighted_average_precision,
    "brier": _mean_of(lambda is_positive, prob: (prob - is_positive) ** 2),
}
PREDICTION_METRICS = {
    "accuracy": _mean_of(lambda is_positive, is_predicted_positive: is_positive == is_predicted_positive),
    "specificity": weighted_specificity,
    "precision": weighted_precision,
    "recall": weighted_recall,
    "f1": weighted_f1,
}


class Resampling(NamedTuple):
    """Settings of a bootstrap interval.

    Attributes
    ----------
    confidence_level : float
        Coverage of the interval, in (0, 1).
    n_resamples : int
        Number of bootstrap resamples, positive.
    random_state : int, RandomState instance or None
        Seed of the resamples.
    bounds : tuple of float
        Smallest and largest possible value of the metric.
    small_sample : bool
        Whether to enlarge the quantile for small classes; see
        :func:`~sklearn_pspd.statistics.bootstrap_interval`.
    variance_factor : float
        Ratio of the metric's variance to its variance over the resamples. With a ratio other than 1 the interval is a
        normal interval on the logit scale, because BCa limits that far out would depend on the most extreme resamples.
    """

    confidence_level: float
    n_resamples: int
    random_state: object
    bounds: tuple
    small_sample: bool
    variance_factor: float = 1.0


def is_separated(is_positive, score):
    """Return whether the scores of the two classes do not overlap, so that no resample can change their order."""
    positive, negative = score[is_positive], score[~is_positive]
    return positive.min() > negative.max() or positive.max() < negative.min()


def draw_weights(is_positive, n_resamples, random_state):
    """Draw bootstrap resamples stratified by class.

    Parameters
    ----------
    is_positive : ndarray of bool of shape (n_patients,)
        True for the positive class; each class is resampled separately.
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
    InputError
        If `n_resamples` is not a positive whole number.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.statistics.bootstrap import draw_weights
    >>> draw_weights(np.array([True, False, False]), 2, 0).sum(axis=1)
    array([3., 3.])
    """
    if n_resamples != int(n_resamples) or n_resamples < 1:
        raise InputError(f"n_resamples must be a positive whole number; got {n_resamples}")
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
        True for the positive class; each class is resampled separately.
    resampling : Resampling
        Number of resamples and settings of the interval.
    is_degenerate : bool, default=False
        Whether the resamples cannot reflect the uncertainty of the value, so that Wilson's interval is returned.

    Returns
    -------
    Estimate
        Value and interval; see :func:`~sklearn_pspd.statistics.bootstrap_interval`, the public function.

    Raises
    ------
    InputError
        If the value lies outside the bounds, or `n_resamples` is not a positive whole number.
    """
    # The metric itself, with every patient drawn once.
    bounds, scale = resampling.bounds, np.sqrt(resampling.variance_factor)
    value = float(of_weights(np.ones((1, len(is_positive))))[0])
    if np.isnan(value):
        return Estimate(value, *map(float, bounds), "undefined")
    if not bounds[0] <= value <= bounds[1]:
        raise InputError(f"the value of the metric, {value:g}, lies outside its bounds {bounds[0]:g} to {bounds[1]:g}")
    smallest = int(min(is_positive.sum(), (~is_positive).sum()))
    # Its values on the resamples. Rounded, because equal values differ in the last digits when summed in another order.
    weights = draw_weights(is_positive, resampling.n_resamples, resampling.random_state)
    values = np.round(of_weights(weights), 12)
    values = values[~np.isnan(values)]
    z, span = normal_quantile(resampling.confidence_level), bounds[1] - bounds[0]
    fraction = (value - bounds[0]) / span
    # A bootstrap interval where the resamples vary: BCa, or with a scaled variance a normal one on the logit scale.
    if not (is_degenerate or smallest == 1 or not len(values) or np.ptp(values) == 0):
        quantile = z
        if resampling.small_sample:
            quantile = np.sqrt(smallest / (smallest - 1)) * t_quantile(resampling.confidence_level, smallest - 1)
        if scale == 1:
            low, high = _bca_interval(np.round(value, 12), values, _acceleration(of_weights, is_positive), quantile)
            low, high = max(bounds[0], min(low, value)), min(bounds[1], max(high, value))
            # Few patients have few distinct resamples, so that both limits may be the same value.
            if high > low:
                return Estimate(value, float(low), float(high), "stratified BCa bootstrap")
        elif 0 < fraction < 1:
            half = scale * quantile * values.std() / span / (fraction * (1 - fraction))
            low, high = (float(bounds[0] + span * expit(logit(fraction) + side)) for side in (-half, half))
            return Estimate(value, low, high, "stratified bootstrap, logit")
    # Otherwise Wilson's interval, as for a proportion in the smaller class.
    low, high = (bounds[0] + span * limit for limit in wilson_interval(fraction, smallest, scale * z))
    return Estimate(value, low, high, "Wilson, smaller class")


def _acceleration(of_weights, is_positive):
    """Return one sixth of the skewness of the metric's jackknife influence values, pooled over both classes."""
    left_out = np.nan_to_num(of_weights(1.0 - np.eye(len(is_positive))), nan=0.0)
    cubes = squares = 0.0
    for mask in (is_positive, ~is_positive):
        n = mask.sum()
        influence = (n - 1) * (left_out[mask].mean() - left_out[mask])
        cubes += np.sum(influence**3) / n**3
        squares += np.sum(influence**2) / n**2
    return cubes / (6 * squares**1.5) if squares > 1e-20 else 0.0


def _bca_interval(value, values, acceleration, z):
    """Return the quantiles of the resampled values at the bias-corrected and accelerated (BCa) probabilities."""
    below = (np.mean(values < value) + np.mean(values <= value)) / 2
    resolution = 0.5 / len(values)
    bias = ndtri(np.clip(below, resolution, 1 - resolution))
    shifted = bias + np.array([-z, z])
    denominator = 1 - acceleration * shifted
    # A denominator of zero or less would reverse the direction of the adjustment; the limit is then the end of the
    # bootstrap distribution.
    probabilities = np.where(
        denominator > 0, ndtr(bias + shifted / np.where(denominator > 0, denominator, 1.0)), shifted > 0
    )
    return np.quantile(values, probabilities)
