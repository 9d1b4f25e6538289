"""Sample sizes for the development and external validation of a prediction model, by published criteria."""

import math

import numpy as np
import pandas as pd
from scipy.special import expit, logit, ndtri

from sklearn_pspd.exceptions import InputError

from .intervals import hanley_mcneil_variance, newcombe_interval, normal_quantile

# Riley's defaults: shrinkage of at least 0.9, optimism of 0.05 in Nagelkerke's R2, mean risk within 0.05.
SHRINKAGE = 0.9
MARGIN = 0.05

# Targets for external validation: widths of 95 % intervals, such as 0.62 to 1.62, 0.6 to 1.4 and 0.7 to 0.9.
WIDTH_OBSERVED_OVER_EXPECTED = 1.0
WIDTH_SLOPE = 0.8
WIDTH_AUC = 0.2

# Gauss-Hermite quadrature over the linear predictor; 60 nodes give six digits.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(60)


def development_sample_size(n_features, *, prevalence, auc):
    """Return the sample size for developing a new prediction model, by Riley's criteria.

    Parameters
    ----------
    n_features : int
        Candidate predictor parameters, counted before any feature selection. For a neural network this gives a lower
        bound, because the network has many more weights.
    prevalence : float
        Expected prevalence of PsPD, in (0, 1).
    auc : float
        Anticipated AUC, in (0.5, 1).

    Returns
    -------
    DataFrame
        Columns ``criterion``, ``n_patients`` and ``events_per_feature`` (events per variable: patients with the rarer
        outcome per candidate parameter). The last row, "all", is the sample size that meets all criteria.

    Raises
    ------
    InputError
        If an argument is outside its range.

    Notes
    -----
    Criteria [1]_: a shrinkage of at least 0.9, an optimism of at most 0.05 in Nagelkerke's R squared, and a margin of
    error (95 % interval) of at most 0.05 for the mean risk. The Cox-Snell R squared is derived from the AUC by assuming
    linear predictors that are normal with equal variance in each outcome [2]_; the integral is computed numerically,
    not simulated.

    The criteria are for regression models. A random forest or a neural network needs more patients, by an unknown
    factor [3]_.

    References
    ----------
    .. [1] Riley RD et al. Calculating the sample size required for developing a clinical prediction model. BMJ 368,
       m441 (2020).
    .. [2] Riley RD, Van Calster B, Collins GS. A note on estimating the Cox-Snell R2 from a reported C statistic
       (AUROC) to inform sample size calculations. Stat Med 40, 859-864 (2021).
    .. [3] van der Ploeg T, Austin PC, Steyerberg EW. Modern modelling techniques are data hungry. BMC Med Res Methodol
       14, 137 (2014).

    Examples
    --------
    The seven clinical features of Jang et al. (2018), whose training set had 59 patients:

    >>> from sklearn_pspd.statistics import development_sample_size
    >>> development_sample_size(7, prevalence=30 / 78, auc=0.75)[["criterion", "n_patients"]]
             criterion  n_patients
    0        shrinkage         320
    1  optimism of R^2         170
    2        mean risk         364
    3              all         364
    """
    if n_features != int(n_features) or n_features < 1:
        raise InputError(f"n_features must be a positive whole number; got {n_features}")
    _check_target(prevalence, auc)
    r2 = _cox_snell_r2(prevalence, auc)
    r2_max = 1 - (prevalence**prevalence * (1 - prevalence) ** (1 - prevalence)) ** 2
    sizes = {
        "shrinkage": _size_for_shrinkage(n_features, r2, SHRINKAGE),
        "optimism of R^2": _size_for_shrinkage(n_features, r2, r2 / (r2 + MARGIN * r2_max)),
        "mean risk": (normal_quantile(0.95) / MARGIN) ** 2 * prevalence * (1 - prevalence),
    }
    table = _size_table(sizes)
    table["events_per_feature"] = table["n_patients"] * min(prevalence, 1 - prevalence) / n_features
    return table


def validation_sample_size(*, prevalence, auc, auc_width=WIDTH_AUC):
    """Return the sample size for an external validation with precise estimates, by Riley's criteria.

    Parameters
    ----------
    prevalence : float
        Expected prevalence of PsPD, in (0, 1).
    auc : float
        Expected AUC, in (0.5, 1).
    auc_width : float, default=0.2
        Target width of the 95 % interval of the AUC, in (0, 1).

    Returns
    -------
    DataFrame
        Columns ``criterion`` and ``n_patients``. The last row, "all", is the sample size that meets all criteria.

    Raises
    ------
    InputError
        If an argument is outside its range.

    Notes
    -----
    Criteria [1]_: 95 % intervals of width 1 for the ratio of observed to expected PsPD, of width 0.8 for the
    calibration slope of a well calibrated model, and of width `auc_width` for the AUC, with Newcombe's variance [2]_.
    Linear predictors are assumed to be normal with equal variance in each outcome.

    References
    ----------
    .. [1] Riley RD et al. Minimum sample size for external validation of a clinical prediction model with a binary
       outcome. Stat Med 40, 4230-4251 (2021).
    .. [2] Newcombe RG. Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2.
       Stat Med 25, 559-573 (2006).

    Examples
    --------
    >>> from sklearn_pspd.statistics import validation_sample_size
    >>> table = validation_sample_size(prevalence=8 / 19, auc=0.8)
    >>> table.loc[table["criterion"] == "AUC", "n_patients"].item()
    79
    """
    _check_target(prevalence, auc)
    if not 0 < auc_width < 1:
        raise InputError(f"auc_width must lie between 0 and 1; got {auc_width}")
    z = normal_quantile(0.95)
    # The interval of the ratio is symmetric on the log scale.
    log_error = math.asinh(WIDTH_OBSERVED_OVER_EXPECTED / 2) / z
    sizes = {
        "observed over expected": (1 - prevalence) / prevalence / log_error**2,
        "calibration slope": _slope_variance_times_n(prevalence, auc) * (2 * z / WIDTH_SLOPE) ** 2,
        "AUC": _size_for_auc_width(prevalence, auc, auc_width / (2 * z)),
    }
    return _size_table(sizes)


def expected_auc_interval(auc, n_positive, n_negative, *, confidence_level=0.95):
    """Return the interval to expect for an AUC, given the numbers of patients.

    Parameters
    ----------
    auc : float
        Expected AUC, in [0, 1].
    n_positive, n_negative : int
        Patients with each outcome, at least one.
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).

    Returns
    -------
    tuple of float
        Limits in [0, 1], by Newcombe's method 5 [1]_.

    Raises
    ------
    InputError
        If an argument is outside its range.

    References
    ----------
    .. [1] Newcombe RG. Stat Med 25, 559-573 (2006).

    Examples
    --------
    The external test set of Jang et al. (2018):

    >>> from sklearn_pspd.statistics import expected_auc_interval
    >>> [round(limit, 2) for limit in expected_auc_interval(0.83, 8, 11)]
    [0.56, 0.94]
    """
    if not 0 <= auc <= 1:
        raise InputError(f"auc must lie in [0, 1]; got {auc}")
    if min(n_positive, n_negative) < 1:
        raise InputError(f"each outcome must have at least one patient; got {n_positive} and {n_negative}")
    return newcombe_interval(auc, n_positive, n_negative, normal_quantile(confidence_level))


def _check_target(prevalence, auc):
    if not 0 < prevalence < 1:
        raise InputError(f"prevalence must lie between 0 and 1; got {prevalence}")
    if not 0.5 < auc < 1:
        raise InputError(f"auc must lie between 0.5 and 1; got {auc}")


def _size_table(sizes):
    whole = {criterion: math.ceil(size - 1e-9) for criterion, size in sizes.items()}
    whole["all"] = max(whole.values())
    return pd.DataFrame({"criterion": list(whole), "n_patients": list(whole.values())})


def _size_for_shrinkage(n_features, r2, shrinkage):
    return n_features / ((shrinkage - 1) * math.log(1 - r2 / shrinkage))


def _linear_predictor(prevalence, auc):
    """Return log odds and quadrature weights of a mixture of two normals, one per outcome, separated by the AUC."""
    distance = math.sqrt(2) * ndtri(auc)
    scores = np.concatenate([_NODES, _NODES + distance])
    density = _WEIGHTS / _WEIGHTS.sum()
    weights = np.concatenate([(1 - prevalence) * density, prevalence * density])
    # By Bayes' theorem, log odds are linear in the score if the variances are equal.
    return logit(prevalence) + distance * scores - distance**2 / 2, weights


def _cox_snell_r2(prevalence, auc):
    log_odds, weights = _linear_predictor(prevalence, auc)
    risk = expit(log_odds)
    explained = np.sum(weights * (risk * np.log(risk) + (1 - risk) * np.log1p(-risk)))
    unexplained = prevalence * math.log(prevalence) + (1 - prevalence) * math.log(1 - prevalence)
    return 1 - math.exp(-2 * (explained - unexplained))


def _slope_variance_times_n(prevalence, auc):
    """Return n times the variance of the calibration slope of a well calibrated model, from Fisher's information."""
    log_odds, weights = _linear_predictor(prevalence, auc)
    spread = weights * expit(log_odds) * expit(-log_odds)
    intercept, cross, slope = (np.sum(spread * log_odds**power) for power in (0, 1, 2))
    return intercept / (intercept * slope - cross**2)


def _size_for_auc_width(prevalence, auc, standard_error):
    """Return the smallest number of patients with at most this standard error, which decreases with their number."""

    def is_enough(size):
        variance = hanley_mcneil_variance(auc, size / 2, size / 2) / (4 * prevalence * (1 - prevalence))
        return variance <= standard_error**2

    # Doubling finds an upper bound, bisection the smallest number.
    size = 1
    while not is_enough(size):
        size *= 2
    low = size // 2
    while size - low > 1:
        middle = (low + size) // 2
        low, size = (low, middle) if is_enough(middle) else (middle, size)
    return size
