"""Confidence intervals and variances in closed form."""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit
from scipy.stats import rankdata

from sklearn_pspd.exceptions import InputError

# A variance below this is zero: rounding errors leave about 1e-34.
ROUNDING = 1e-15


class Estimate(NamedTuple):
    """An estimate with its confidence interval and the method of the interval.

    Attributes
    ----------
    value : float
        The estimate; NaN where it is undefined.
    low, high : float
        Limits of the interval.
    method : str
        Name of the method of the interval.
    """

    value: float
    low: float
    high: float
    method: str


class TestResult(NamedTuple):
    """Result of a paired test: the difference of two models, its interval, the test statistic and the p-value.

    Attributes
    ----------
    difference : float
        First model minus second model.
    low, high : float
        Limits of the confidence interval of the difference.
    statistic : float
        Test statistic.
    p_value : float
        Two-sided, in [0, 1].
    method : str
        Name of the test.
    """

    difference: float
    low: float
    high: float
    statistic: float
    p_value: float
    method: str


def _tail(confidence_level):
    if not 0 < confidence_level < 1:
        raise InputError(f"confidence_level must lie between 0 and 1; got {confidence_level}")
    return 0.5 + confidence_level / 2


def normal_quantile(confidence_level):
    """Return the standard normal quantile of a two-sided interval.

    Parameters
    ----------
    confidence_level : float
        Coverage, in (0, 1).

    Returns
    -------
    float
        1.96 for 0.95.

    Raises
    ------
    InputError
        If `confidence_level` is not between 0 and 1.

    Examples
    --------
    >>> from sklearn_pspd.statistics.intervals import normal_quantile
    >>> round(normal_quantile(0.95), 2)
    1.96
    """
    return float(ndtri(_tail(confidence_level)))


def t_quantile(confidence_level, df):
    """Return Student's t quantile of a two-sided interval.

    Parameters
    ----------
    confidence_level : float
        Coverage, in (0, 1).
    df : float
        Degrees of freedom, positive.

    Returns
    -------
    float
        Larger than :func:`normal_quantile`.

    Raises
    ------
    InputError
        If `confidence_level` is not between 0 and 1.

    Examples
    --------
    >>> from sklearn_pspd.statistics.intervals import t_quantile
    >>> round(t_quantile(0.95, 17), 2)
    2.11
    """
    return float(stdtrit(df, _tail(confidence_level)))


def shared_training_factor(n_splits, n_train, n_test):
    """Return the factor by which overlapping training sets increase the variance of a mean over splits.

    Parameters
    ----------
    n_splits : int
        Number of splits.
    n_train, n_test : float
        Patients in the training and in the test set of a split (mean over splits).

    Returns
    -------
    float
        Above 1: 2.25 for five folds, 2.11 for ten.

    References
    ----------
    .. [1] Nadeau C, Bengio Y. Inference for the generalization error. Mach Learn 52, 239-281 (2003).

    Examples
    --------
    >>> from sklearn_pspd.statistics.intervals import shared_training_factor
    >>> shared_training_factor(5, 48, 12)
    2.25
    """
    return 1 + n_splits * n_test / n_train


def widened_level(confidence_level, factor):
    """Return the confidence level that widens a normal interval as much as a factor of its variance would.

    Parameters
    ----------
    confidence_level : float
        Intended coverage, in (0, 1).
    factor : float
        Factor of the variance, positive.

    Returns
    -------
    float
        Confidence level, in (0, 1).

    Raises
    ------
    InputError
        If `confidence_level` is not between 0 and 1.

    Examples
    --------
    >>> from sklearn_pspd.statistics.intervals import normal_quantile, widened_level
    >>> round(normal_quantile(widened_level(0.95, 2.25)) / normal_quantile(0.95), 3)
    1.5
    """
    return float(2 * ndtr(np.sqrt(factor) * normal_quantile(confidence_level)) - 1)


def wilson_interval(proportion, n, z):
    """Return Wilson's score interval of a proportion.

    Parameters
    ----------
    proportion : float
        Observed proportion, in [0, 1].
    n : int
        Number of trials, positive.
    z : float
        Normal quantile of the interval.

    Returns
    -------
    tuple of float
        Limits in [0, 1], with the proportion between them.

    References
    ----------
    .. [1] Wilson EB. J Am Stat Assoc 22, 209-212 (1927).

    Examples
    --------
    >>> from sklearn_pspd.statistics.intervals import wilson_interval
    >>> low, high = wilson_interval(1.0, 8, 1.96)
    >>> round(low, 2), high
    (0.68, 1.0)
    """
    centre = (proportion + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(proportion * (1 - proportion) / n + z**2 / (4 * n**2))
    return float(min(proportion, max(0.0, centre - half))), float(max(proportion, min(1.0, centre + half)))


def placements(is_positive, score):
    """Return, for each patient, the proportion of patients of the other class ranked correctly against that patient.

    Parameters
    ----------
    is_positive : ndarray of bool of shape (n_patients,)
        True for the positive class; both classes present.
    score : ndarray of shape (n_patients,)
        Finite; a tie counts as one half.

    Returns
    -------
    above, below : ndarray of shape (n_positive,) and (n_negative,)
        For each positive patient the proportion of negative patients with a lower score, and for each negative patient
        the proportion of positive patients with a higher score. The mean of each is the AUC.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.statistics.intervals import placements
    >>> above, below = placements(np.array([False, False, True]), np.array([0.1, 0.4, 0.3]))
    >>> above.tolist(), below.tolist()
    ([0.5], [1.0, 0.0])
    """
    positive, negative = score[is_positive], score[~is_positive]
    ranks = rankdata(np.concatenate([positive, negative]))
    m, n = len(positive), len(negative)
    return (ranks[:m] - rankdata(positive)) / n, 1 - (ranks[m:] - rankdata(negative)) / m


def delong_variance(above, below):
    """Return DeLong's variance of an AUC or, from differences of placements, of a difference of AUCs.

    Parameters
    ----------
    above, below : ndarray of shape (n_positive,) and (n_negative,)
        As returned by :func:`placements`, or differences of two such arrays; at least two patients of each class.

    Returns
    -------
    float
        Variance, not negative.

    References
    ----------
    .. [1] DeLong ER, DeLong DM, Clarke-Pearson DL. Biometrics 44, 837-845 (1988).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.statistics.intervals import delong_variance
    >>> delong_variance(np.array([1.0, 0.5]), np.array([1.0, 0.5]))
    0.125
    """
    return float(np.var(above, ddof=1) / len(above) + np.var(below, ddof=1) / len(below))


def hanley_mcneil_variance(auc, n_positive, n_negative):
    """Return Hanley and McNeil's variance of an AUC, which needs no scores.

    Parameters
    ----------
    auc : float
        Observed or expected AUC, in [0, 1].
    n_positive, n_negative : float
        Patients of each class, at least one.

    Returns
    -------
    float
        Variance, not negative.

    References
    ----------
    .. [1] Hanley JA, McNeil BJ. Radiology 143, 29-36 (1982).

    Examples
    --------
    >>> from sklearn_pspd.statistics.intervals import hanley_mcneil_variance
    >>> round(hanley_mcneil_variance(0.83, 8, 11) ** 0.5, 2)
    0.1
    """
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = (n_positive - 1) * (q1 - auc**2) + (n_negative - 1) * (q2 - auc**2)
    return (auc * (1 - auc) + spread) / (n_positive * n_negative)


def newcombe_interval(auc, n_positive, n_negative, z):
    """Return Newcombe's interval of an AUC, which inverts a score-type test.

    Parameters
    ----------
    auc : float
        Observed AUC, in [0, 1].
    n_positive, n_negative : int
        Patients of each class, at least one; part of the variance uses their mean (method 5).
    z : float
        Normal quantile of the interval.

    Returns
    -------
    tuple of float
        Limits in [0, 1], with the AUC between them.

    References
    ----------
    .. [1] Newcombe RG. Stat Med 25, 559-573 (2006), method 5.

    Examples
    --------
    The interval of the paper's AUC in its 19 external patients:

    >>> from sklearn_pspd.statistics.intervals import newcombe_interval
    >>> [round(limit, 2) for limit in newcombe_interval(0.83, 8, 11, 1.96)]
    [0.56, 0.94]
    """
    size = (n_positive + n_negative) / 2

    def is_compatible(candidate):
        variance = hanley_mcneil_variance(candidate, size, size) * size**2 / (n_positive * n_negative)
        return abs(auc - candidate) <= z * np.sqrt(max(0.0, variance))

    limits = []
    for outside in (0.0, 1.0):
        inside = auc
        # Bisection is sufficient: the AUCs that the test does not reject form one interval around the observed AUC.
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if is_compatible(middle) else (inside, middle)
        limits.append(float(inside))
    return tuple(limits)
