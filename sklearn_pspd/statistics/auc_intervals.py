"""The interval of an AUC and the paired test of two, from placements within folds."""

import numpy as np
from scipy.special import expit, logit, ndtr

from .fold_design import auc_covariance, influences, placements_within
from .intervals import ROUNDING, Estimate, TestResult, hanley_mcneil_variance, newcombe_interval, normal_quantile
from .model_exchange import MIN_CLASS_SIZE_NORMAL, exchange_effects, exchange_p_value

# With fewer patients in a class, DeLong's variance is too imprecise (3 of 33 patients: 88 % coverage at AUC 0.5).
MIN_CLASS_SIZE_DELONG = 5

WITHIN_FOLDS = ", within folds"


def auc_estimate(design, auc, variance, quantile):
    """Return an AUC with its interval: on the logit scale, or Newcombe's where the variance is not informative.

    Parameters
    ----------
    design : FoldDesign
        Folds and patients.
    auc, variance : float
        The AUC and its variance.
    quantile : float
        Quantile of the interval.

    Returns
    -------
    Estimate
        Value and interval.
    """
    suffix = WITHIN_FOLDS if len(design.folds) > 1 else ""
    sizes = design.n_positive, design.n_negative
    if not 0 < auc < 1 or variance < ROUNDING or min(sizes) < MIN_CLASS_SIZE_DELONG:
        low, high = newcombe_interval(auc, *sizes, np.sqrt(design.factor) * quantile)
        return Estimate(auc, low, high, "Newcombe 5" + suffix)
    half = quantile * np.sqrt(variance) / (auc * (1 - auc))
    low, high = expit(logit(auc) - half), expit(logit(auc) + half)
    return Estimate(auc, float(low), float(high), "DeLong, logit" + suffix)


def paired_auc_test(design, score_a, score_b, confidence_level):
    """Return the test of the difference of two models' AUCs within folds.

    Parameters
    ----------
    design : FoldDesign
        Folds and patients.
    score_a, score_b : ndarray of shape (n_rows,)
        Scores of the two models.
    confidence_level : float
        Coverage of the interval.

    Returns
    -------
    TestResult
        As :func:`auc_within_folds_test` describes.
    """
    (auc_a, placement_a), (auc_b, placement_b) = (placements_within(design, score) for score in (score_a, score_b))
    difference = auc_a - auc_b
    variance = auc_covariance(design, influences(design, placement_a - placement_b)[np.newaxis])[0, 0]
    method, p_value = "DeLong, paired", None
    # With few patients of a class DeLong's variance may be far too small, and zero with one.
    sizes = design.n_positive, design.n_negative
    if min(sizes) < MIN_CLASS_SIZE_NORMAL or variance < ROUNDING:
        method = "exchange of models, paired"
        effects = exchange_effects(design, score_a, score_b)
        variance = max(variance, design.factor * np.sum(effects**2))
        # The exchanges are independent between patients only if one fit scored them all.
        p_value = exchange_p_value(effects) if design.factor == 1 else None
    # Equal ranks: the variances of two separate AUCs, each shrunk towards 0.5 by one tied pair of patients.
    if variance < ROUNDING:
        n_pairs = np.prod(sizes)
        shrunk = [(auc * n_pairs + 0.5) / (n_pairs + 1) for auc in (auc_a, auc_b)]
        variance = design.factor * sum(hanley_mcneil_variance(auc, *sizes) for auc in shrunk)
        method = "Hanley-McNeil, unpaired"
    # The test.
    error = np.sqrt(variance)
    half = normal_quantile(confidence_level) * error
    statistic = difference / error
    p_value = 2 * ndtr(-abs(statistic)) if p_value is None else p_value
    low, high = np.clip([difference - half, difference + half], -1, 1)
    method += WITHIN_FOLDS if len(design.folds) > 1 else ""
    return TestResult(float(difference), float(low), float(high), float(statistic), float(p_value), method)
