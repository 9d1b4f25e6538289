"""Calibration: agreement between predicted and observed risk."""

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit

from sklearn_pspd.exceptions import InputError

from .checks import check_labels, check_probabilities
from .intervals import Estimate, normal_quantile, t_quantile, wilson_interval

# Log odds of 0 and 1 are infinite. Half the smallest difference between probabilities of a forest of 1000 trees.
SMALLEST_PROBABILITY = 0.0005

# In the method of a slope whose value would mislead.
NOT_ESTIMABLE = "not estimable"

# With fewer patients in a class, or an interval that spans a larger factor, a slope is not estimable.
_MIN_CLASS_SIZE_SLOPE = 20
_LARGEST_FACTOR = 4

# Slope per standard deviation of the log odds; beyond it a slope is reported as infinite.
_LARGEST_SLOPE = 1e4


def calibration_intercept(y_true, y_prob, *, confidence_level=0.95, pos_label=1):
    """Estimate the calibration intercept (calibration in the large); above 0, predicted risks are too low on average.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    y_prob : array-like of shape (n_patients,)
        Probability of the positive class, in [0, 1].
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    Estimate
        0 if the observed number of positive patients equals the predicted number, above 0 if it is larger.

    Raises
    ------
    InputError
        If a class is absent, `pos_label` is neither class, a probability is outside [0, 1], or lengths differ.

    Notes
    -----
    The intercept of a logistic regression with the predicted log odds as offset [1]_. The interval is from the
    likelihood ratio, with Student's t instead of the normal quantile (our choice). Probabilities are clipped to
    [0.0005, 0.9995]. Simulated coverage of the 95 % interval for a well calibrated model with an AUC of 0.75: 96 % for
    19 and for 59 patients, 95 % for 200.

    References
    ----------
    .. [1] Van Calster B et al. Calibration: the Achilles heel of predictive analytics. BMC Med 17, 230 (2019).

    Examples
    --------
    >>> from sklearn_pspd.statistics import calibration_intercept
    >>> calibration_intercept([0, 0, 1, 1], [0.1, 0.1, 0.2, 0.2]).value > 0
    True
    """
    is_positive, log_odds = _log_odds(y_true, y_prob, pos_label)

    def gradient(intercept):
        return np.sum(is_positive - expit(intercept + log_odds))

    def likelihood(intercept):
        return _log_likelihood(is_positive, intercept + log_odds)

    reach = 40 + np.abs(log_odds).max()
    value = brentq(gradient, -reach, reach)
    quantile = t_quantile(confidence_level, len(log_odds) - 1)
    return Estimate(value, *_likelihood_interval(likelihood, value, reach, quantile), "likelihood ratio, t")


def calibration_slope(y_true, y_prob, *, fold=None, patient=None, confidence_level=0.95, pos_label=1):
    """Estimate the calibration slope; below 1, predictions are too extreme.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Two classes, both present.
    y_prob : array-like of shape (n_rows,)
        Probability of the positive class, in [0, 1].
    fold : array-like of shape (n_rows,), default=None
        The fold in whose test set the row is, in a cross-validation; in a repeated one, with another name in each
        repetition. The slope is then estimated within folds, whose levels do not matter. None for a single fit.
    patient : array-like of shape (n_rows,), default=None
        The patient of each row, so that a patient who is scored in several repetitions counts once. None if each row
        is another patient.
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    Estimate
        1 for a well calibrated model, below 1 for an overconfident one, 0 if predictions are unrelated to the outcome.
        Infinite if the probabilities separate the classes, apart from ties. NaN, with an interval from minus to plus
        infinity, if all probabilities (of each fold) are equal. ``method`` ends with "not estimable from n patients" if
        a class has fewer than 20 patients, or if the interval reaches 1 and spans a factor of more than four (or holds
        0); such a value should not be reported without its limits.

    Raises
    ------
    InputError
        If a class is absent, `pos_label` is neither class, a probability is outside [0, 1], or lengths differ.

    Notes
    -----
    The slope of a logistic regression on the predicted log odds [1]_. The interval is from the profile likelihood, with
    Student's t instead of the normal quantile (our choice). Probabilities are clipped to [0.0005, 0.9995]. Simulated
    coverage of the 95 % interval for a well calibrated model with an AUC of 0.75: 94 % for 19 patients, 95 % for 59 and
    for 200.

    With folds, the likelihood is conditional on the number of positive patients of each fold, as in a matched
    case-control study [2]_, so that no intercepts are estimated; a fold with one class does not contribute. Without the
    folds, fits at different levels would make the slope of their pooled scores too small. If patients occur in several
    repetitions, the log likelihood is divided by the number of repetitions.

    References
    ----------
    .. [1] Cox DR. Two further applications of a model for binary regression. Biometrika 45, 562-565 (1958).
    .. [2] Breslow NE, Day NE. Statistical methods in cancer research, vol. 1, chapter 7 (1980).

    Examples
    --------
    >>> from sklearn_pspd.statistics import calibration_slope
    >>> y_true, y_prob = [0, 0, 1, 0, 1, 1, 0, 1], [0.01, 0.02, 0.1, 0.2, 0.7, 0.9, 0.95, 0.99]
    >>> slope = calibration_slope(y_true, y_prob)
    >>> round(slope.value, 2), slope.low < 0.37 < slope.high, slope.method
    (0.37, True, 'profile likelihood, t; not estimable from 8 patients')
    """
    is_positive, log_odds = _log_odds(y_true, y_prob, pos_label)
    fold = np.zeros(len(log_odds)) if fold is None else fold
    patient = np.arange(len(log_odds)) if patient is None else patient
    _, fold, patient = check_labels(y_true=is_positive, fold=fold, patient=patient)
    n_patients = len(np.unique(patient))
    # Standardised log odds, so that slopes have one scale for every model.
    strata, spread = _strata(is_positive, log_odds, fold)
    if spread < 1e-9:
        return Estimate(np.nan, -np.inf, np.inf, "undefined: equal probabilities")
    is_single = len(np.unique(fold)) == 1
    gradient, likelihood = _profile_likelihood(*strata[0]) if is_single else _conditional_likelihood(strata)
    # The maximum likelihood slope. There is none if the classes are separated, even if they share the probability at
    # their border.
    above = [x[positive].min() - x[~positive].max() for positive, x in strata]
    below = [x[~positive].min() - x[positive].max() for positive, x in strata]
    if min(above) >= 0 or min(below) >= 0:
        value = np.copysign(_LARGEST_SLOPE, sum(above) - sum(below))
    else:
        value = _root(gradient)
    # Its interval, back on the scale of the log odds.
    rows_per_patient = len(log_odds) / n_patients
    quantile = t_quantile(confidence_level, max(1, n_patients - len(strata) - 1))
    low, high = _likelihood_interval(likelihood, value, _LARGEST_SLOPE, np.sqrt(rows_per_patient) * quantile)
    value, low, high = (np.copysign(np.inf, x) if abs(x) >= _LARGEST_SLOPE else x / spread for x in (value, low, high))
    method = "profile likelihood, t" if is_single else "conditional likelihood within folds, t"
    smallest = min(len(np.unique(patient[mask])) for mask in (is_positive, ~is_positive))
    if not _is_estimable(low, high, smallest):
        method += f"; {NOT_ESTIMABLE} from {n_patients} patients"
    return Estimate(float(value), float(low), float(high), method)


def calibration_table(y_true, y_prob, *, n_bins=4, confidence_level=0.95, pos_label=1):
    """Tabulate predicted and observed risk in groups of patients with similar predicted probabilities.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    y_prob : array-like of shape (n_patients,)
        Probability of the positive class, in [0, 1].
    n_bins : int, default=4
        Number of groups of about equal size. Patients with equal probabilities are in one group, so there may be fewer.
    confidence_level : float, default=0.95
        Coverage of the intervals, in (0, 1).
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    DataFrame
        One row per group, in increasing order of probability: ``predicted`` (mean probability), ``observed``
        (proportion of positive patients) with the limits ``low`` and ``high`` of Wilson's interval, and ``n``.

    Raises
    ------
    InputError
        If a class is absent, `pos_label` is neither class, a probability is outside [0, 1], lengths differ, or `n_bins`
        is below 1 or above the number of patients.

    Examples
    --------
    >>> from sklearn_pspd.statistics import calibration_table
    >>> calibration_table([0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.8], n_bins=2)[["predicted", "observed", "n"]]
       predicted  observed  n
    0        0.2  0.333333  3
    1        0.7  0.666667  3
    """
    is_positive, prob = check_probabilities(y_true, y_prob, pos_label)
    if n_bins != int(n_bins) or not 1 <= n_bins <= len(prob):
        raise InputError(f"n_bins must be a whole number from 1 to the number of patients ({len(prob)}); got {n_bins}")
    z, rank = normal_quantile(confidence_level), pd.Series(prob).rank(method="average").to_numpy() - 0.5
    group = np.minimum(rank * n_bins // len(prob), n_bins - 1)
    rows = []
    for number in np.unique(group):
        inside = group == number
        observed, n = float(is_positive[inside].mean()), int(inside.sum())
        low, high = wilson_interval(observed, n, z)
        rows.append({"predicted": prob[inside].mean(), "observed": observed, "low": low, "high": high, "n": n})
    return pd.DataFrame(rows)


def _log_odds(y_true, y_prob, pos_label):
    is_positive, prob = check_probabilities(y_true, y_prob, pos_label)
    return is_positive, logit(np.clip(prob, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY))


def _log_likelihood(is_positive, log_odds):
    return -np.sum(np.logaddexp(0, np.where(is_positive, -log_odds, log_odds)))


def _strata(is_positive, log_odds, fold):
    """Return classes and standardised log odds of each fold with both classes, and the spread within these folds."""
    strata = []
    for name in np.unique(fold):
        positive, x = is_positive[fold == name], log_odds[fold == name]
        if positive.any() and not positive.all():
            strata.append((positive, x - x.mean()))
    spread = float(np.concatenate([x for _, x in strata]).std()) if strata else 0.0
    return [(positive, x / max(spread, 1e-9)) for positive, x in strata], spread


def _is_estimable(low, high, smallest_class):
    if smallest_class < _MIN_CLASS_SIZE_SLOPE or not np.isfinite([low, high]).all():
        return False
    # An interval below 1 shows overconfidence, however wide its ratio is.
    return high < 1 or 0 < high <= _LARGEST_FACTOR * low


def _profile_likelihood(is_positive, x):
    """Return gradient and log likelihood of a slope; at each slope, the intercept has its maximum likelihood value."""

    def best_intercept(slope):
        reach = 40 + np.abs(slope * x).max()
        return brentq(lambda intercept: np.sum(is_positive - expit(intercept + slope * x)), -reach, reach)

    def gradient(slope):
        return np.sum((is_positive - expit(best_intercept(slope) + slope * x)) * x)

    def likelihood(slope):
        return _log_likelihood(is_positive, best_intercept(slope) + slope * x)

    return gradient, likelihood


def _conditional_likelihood(strata):
    """Return gradient and log likelihood of a slope, given the number of positives of each stratum."""

    def gradient(slope):
        return sum(x[positive].sum() - _subset_sums(x, positive.sum(), slope)[1] for positive, x in strata)

    def likelihood(slope):
        return sum(slope * x[positive].sum() - _subset_sums(x, positive.sum(), slope)[0] for positive, x in strata)

    return gradient, likelihood


def _subset_sums(x, size, slope):
    """Return the log of the sum of exp(slope * sum(subset)) over all subsets of x of this size, and its derivative."""
    # Elementary symmetric polynomials of exp(slope * x), one element after another: a subset of k elements either lacks
    # the new element or adds it to a subset of k - 1. Logarithms, and the mean sum of a subset, stay finite.
    logs, means = np.full(size + 1, -np.inf), np.zeros(size + 1)
    logs[0] = 0.0
    for element in x:
        added = logs[:-1] + slope * element
        combined = np.logaddexp(logs[1:], added)
        proportion = np.exp(added - np.where(np.isfinite(combined), combined, 0.0))
        means[1:] += proportion * (means[:-1] + element - means[1:])
        logs[1:] = combined
    return logs[-1], means[-1]


def _root(gradient):
    """Return the zero of a decreasing function, or the end of the scale if it has none."""
    reach = 1.0
    while reach < _LARGEST_SLOPE:
        if gradient(-reach) > 0 > gradient(reach):
            return brentq(gradient, -reach, reach)
        reach *= 4
    return np.copysign(_LARGEST_SLOPE, gradient(0.0))


def _likelihood_interval(likelihood, value, reach, quantile):
    """Return the limits of the values not rejected by a likelihood-ratio test; `value` maximises the likelihood."""
    top = likelihood(value)

    def excess(candidate):
        return 2 * (top - likelihood(candidate)) - quantile**2

    return tuple(
        value if abs(value) >= reach and np.sign(value) == sign else _limit(excess, value, sign, reach)
        for sign in (-1, 1)
    )


def _limit(excess, value, sign, reach):
    """Return the zero of `excess` on one side of the value, or the end of the scale if it has none."""
    step = 0.5
    while abs(value + sign * step) < reach or step < 1:
        if excess(value + sign * step) > 0:
            return brentq(excess, value, value + sign * step)
        step *= 2
    return sign * reach
