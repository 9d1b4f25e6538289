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

# Van Smeden's criterion was derived from models with few parameters; Riley et al. give it for at most 30.
MEAN_ABSOLUTE_ERROR = 0.05
MAX_PARAMETERS_MEAN_ABSOLUTE_ERROR = 30

# Targets for external validation: widths of 95 % intervals, such as 0.62 to 1.62, 0.6 to 1.4 and 0.7 to 0.9. The first
# is for rare outcomes; for others the proportion of PsPD shall be known to within 0.1.
WIDTH_OBSERVED_OVER_EXPECTED = 1.0
MARGIN_OBSERVED = 0.1
WIDTH_SLOPE = 0.8
WIDTH_AUC = 0.2

# Gauss-Hermite quadrature over the linear predictor; 60 nodes give six digits.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(60)


def development_sample_size(n_features, *, prevalence, auc, n_parameters=None):
    """Return the sample size for developing a new prediction model, by Riley's criteria.

    Parameters
    ----------
    n_features : int
        Candidate features, counted before any feature selection. For a neural network this gives a lower bound, because
        the network has many more weights.
    prevalence : float
        Expected prevalence of PsPD, in (0, 1).
    auc : float
        Anticipated AUC, in (0.5, 1).
    n_parameters : int, default=None
        Columns that the model receives after encoding, such as one per category and one per indicator of an unknown
        value. The criteria count these. None if each feature is one column.

    Returns
    -------
    DataFrame
        Columns ``criterion``, ``n_patients``, ``events_per_feature`` (events per variable: patients with the rarer
        outcome per parameter) and ``is_binding`` (True for the criterion that needs most patients). The last row,
        "all", is the sample size that meets all criteria.

    Raises
    ------
    InputError
        If an argument is outside its range.

    Notes
    -----
    Criteria [1]_: a shrinkage of at least 0.9, an optimism of at most 0.05 in Nagelkerke's R squared, a margin of error
    (95 % interval) of at most 0.05 for the mean risk, which depends on neither the parameters nor the AUC, and a mean
    absolute error of at most 0.05 of the predicted risks. The last one is a regression on simulated models of van
    Smeden et al. [4]_, with phi the proportion of the rarer outcome and P parameters: n = exp((-0.508 + 0.259 ln phi +
    0.504 ln P - ln 0.05) / 0.544); it is left out for more than 30 parameters. The Cox-Snell R squared is derived from
    the AUC by assuming linear predictors that are normal with equal variance in each outcome [2]_; the integral is
    computed numerically, not simulated.

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
    .. [4] van Smeden M et al. Sample size for binary logistic prediction models: beyond events per variable criteria.
       Stat Methods Med Res 28, 2455-2474 (2019).

    Examples
    --------
    The seven clinical features of Jang et al. (2018), whose training set had 59 patients:

    >>> from sklearn_pspd.statistics import development_sample_size
    >>> development_sample_size(7, prevalence=30 / 78, auc=0.75)[["criterion", "n_patients", "is_binding"]]
                 criterion  n_patients  is_binding
    0            shrinkage         320       False
    1      optimism of R^2         170       False
    2            mean risk         364       False
    3  mean absolute error         373        True
    4                  all         373       False
    """
    n_parameters = n_features if n_parameters is None else n_parameters
    for name, number in (("n_features", n_features), ("n_parameters", n_parameters)):
        if number != int(number) or number < 1:
            raise InputError(f"{name} must be a positive whole number; got {number}")
    _check_target(prevalence, auc)
    r2 = _cox_snell_r2(prevalence, auc)
    r2_max = 1 - (prevalence**prevalence * (1 - prevalence) ** (1 - prevalence)) ** 2
    sizes = {
        "shrinkage": _size_for_shrinkage(n_parameters, r2, SHRINKAGE),
        "optimism of R^2": _size_for_shrinkage(n_parameters, r2, r2 / (r2 + MARGIN * r2_max)),
        "mean risk": (normal_quantile(0.95) / MARGIN) ** 2 * prevalence * (1 - prevalence),
    }
    rarer = min(prevalence, 1 - prevalence)
    if n_parameters <= MAX_PARAMETERS_MEAN_ABSOLUTE_ERROR:
        sizes["mean absolute error"] = _size_for_mean_absolute_error(n_parameters, rarer)
    table = _size_table(sizes)
    table.insert(2, "events_per_feature", table["n_patients"] * rarer / n_parameters)
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
        Columns ``criterion``, ``n_patients`` and ``is_binding`` (True for the criterion that needs most patients). The
        last row, "all", is the sample size that meets all criteria.

    Raises
    ------
    InputError
        If an argument is outside its range.

    Notes
    -----
    Criteria [1]_: 95 % intervals for the ratio of observed to expected PsPD, of width 0.8 for the calibration slope of
    a well calibrated model, and of width `auc_width` for the AUC, with Newcombe's variance [2]_. The first has width 1,
    as for the rare outcomes of the paper, or 0.2 / `prevalence` if that is less (our choice): the proportion of PsPD
    is then known to within 0.1.
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
    width = min(WIDTH_OBSERVED_OVER_EXPECTED, 2 * MARGIN_OBSERVED / prevalence)
    log_error = math.asinh(width / 2) / z
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
    largest = max(whole.values())
    is_binding = [size == largest for size in whole.values()] + [False]
    return pd.DataFrame(
        {"criterion": [*whole, "all"], "n_patients": [*whole.values(), largest], "is_binding": is_binding}
    )


def _size_for_mean_absolute_error(n_parameters, proportion):
    log_error = -0.508 + 0.259 * math.log(proportion) + 0.504 * math.log(n_parameters) - math.log(MEAN_ABSOLUTE_ERROR)
    return math.exp(log_error / 0.544)


def _size_for_shrinkage(n_parameters, r2, shrinkage):
    return n_parameters / ((shrinkage - 1) * math.log(1 - r2 / shrinkage))


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
