"""AUCs and paired tests of a cross-validation, in which only patients of the same fold are compared."""

import numpy as np
from scipy.special import logit

from sklearn_pspd.exceptions import InputError

from .auc_intervals import auc_estimate, paired_auc_test
from .calibration import SMALLEST_PROBABILITY
from .checks import check_labels, check_scores
from .fold_design import auc_covariance, fold_design, influences, placements_within
from .intervals import normal_quantile


def auc_within_folds(y_true, y_score, fold, *, patient=None, confidence_level=0.95, pos_label=1):
    """Estimate the AUC of a cross-validation as the mean over folds, with an interval.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Two classes, both present in each fold. A row is the scoring of a patient by the model of one fold.
    y_score : array-like of shape (n_rows,)
        Out-of-fold scores, finite; higher for the positive class.
    fold : array-like of shape (n_rows,) or None
        The fold in whose test set the row is; in a repeated cross-validation, with another name in each repetition.
        None for one fit that scored all rows.
    patient : array-like of shape (n_rows,), default=None
        The patient of each row, so that the rows of one patient (in several repetitions, or several lesions) are not
        taken as independent. None if each row is another patient.
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    Estimate
        Value in [0, 1]; method "DeLong, logit" or "Newcombe 5", followed by ", within folds".

    Raises
    ------
    InputError
        If a fold has one class only (leave-one-out, for example) or each fold has a single patient of a class; if a
        score is not finite, an entry is missing, or lengths differ.

    See Also
    --------
    sklearn_pspd.statistics.roc_auc : The AUC of the scores of a single fit.

    Notes
    -----
    Scores of different fits are not comparable: the AUC of the pooled scores ranks patients of different folds against
    one another, and is too low if the fits have different levels, or if a fold has fewer positive patients than the
    other folds [1]_ [2]_ [3]_. Here, the placement of a patient is the proportion of patients of the other class *of
    the same fold* that are ranked correctly against this patient. The variance is DeLong's, from placements averaged
    over the repetitions, as in the interval of LeDell et al. [4]_, but multiplied by Nadeau and Bengio's factor [5]_,
    because folds share training patients: 1 + k / (k - 1) for k folds. The interval is symmetric on the logit scale,
    and Newcombe's where the variance is zero or a class has fewer than five patients.

    With one fold, the result is that of :func:`~sklearn_pspd.statistics.roc_auc`.

    References
    ----------
    .. [1] Parker BJ, Gunter S, Bedo J. Stratification bias in low signal microarray studies. BMC Bioinformatics 8, 326
       (2007).
    .. [2] Forman G, Scholz M. Apples-to-apples in cross-validation studies. SIGKDD Explor 12, 49-57 (2010).
    .. [3] Airola A et al. An experimental comparison of cross-validation techniques for estimating the area under the
       ROC curve. Comput Stat Data Anal 55, 1828-1844 (2011).
    .. [4] LeDell E, Petersen M, van der Laan M. Computationally efficient confidence intervals for cross-validated area
       under the ROC curve estimates. Electron J Stat 9, 1583-1607 (2015).
    .. [5] Nadeau C, Bengio Y. Inference for the generalization error. Mach Learn 52, 239-281 (2003).

    Examples
    --------
    The second fold has higher scores, which does not matter within folds:

    >>> from sklearn_pspd.statistics import auc_within_folds, roc_auc
    >>> y_true = [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1]
    >>> y_score = [0.1, 0.2, 0.4, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9, 0.8, 0.9, 1.0]
    >>> auc = auc_within_folds(y_true, y_score, [1] * 6 + [2] * 6)
    >>> round(auc.value, 2), round(roc_auc(y_true, y_score).value, 2)
    (0.83, 0.67)
    """
    design, score = _check_rows(y_true, y_score, fold, patient, pos_label)
    auc, placement = placements_within(design, score)
    variance = auc_covariance(design, influences(design, placement)[np.newaxis])[0, 0]
    return auc_estimate(design, auc, variance, normal_quantile(confidence_level))


def auc_within_folds_test(y_true, y_score_a, y_score_b, fold, *, patient=None, confidence_level=0.95, pos_label=1):
    """Test whether two models differ in AUC in the same cross-validation, comparing patients within folds.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Two classes, both present in each fold.
    y_score_a, y_score_b : array-like of shape (n_rows,)
        Out-of-fold scores of the two models for the same rows.
    fold : array-like of shape (n_rows,) or None
        As in :func:`auc_within_folds`.
    patient : array-like of shape (n_rows,), default=None
        As in :func:`auc_within_folds`.
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    TestResult
        Mean AUC of model a minus mean AUC of model b, its interval within [-1, 1], the z statistic and the p-value.

    Raises
    ------
    InputError
        As :func:`auc_within_folds`.

    See Also
    --------
    sklearn_pspd.statistics.delong_test : The test for the scores of single fits.

    Notes
    -----
    A z-test with the variance of :func:`auc_within_folds`, from differences of the two models' placements. DeLong's
    test of pooled scores instead favours the model whose fits have the more similar levels.

    With fewer than ten patients in a class, or where that variance is zero, the variance is at least that of the
    difference over all exchanges of the two models' ranks within patients [1]_, which cannot give a z larger than the
    square root of the number of patients. With one fold, the p-value is then the exact one over these exchanges.

    References
    ----------
    .. [1] Bandos AI, Rockette HE, Gur D. A permutation test sensitive to differences in areas for comparing ROC curves
       from a paired design. Stat Med 24, 2873-2893 (2005).

    Examples
    --------
    >>> from sklearn_pspd.statistics import auc_within_folds_test
    >>> y_true = [0, 0, 0, 1, 1, 1] * 2
    >>> a, b = [1, 2, 4, 3, 5, 6] * 2, [1, 6, 5, 2, 3, 4] * 2
    >>> test = auc_within_folds_test(y_true, a, b, [1] * 6 + [2] * 6)
    >>> round(test.difference, 2), round(test.p_value, 2)
    (0.56, 0.15)
    """
    design, score_a = _check_rows(y_true, y_score_a, fold, patient, pos_label)
    score_b = check_scores(y_true, y_score_b, pos_label)[1]
    return paired_auc_test(design, score_a, score_b, confidence_level)


def fold_level_share(y_score, fold):
    """Return the proportion of the variance of the scores' log odds that lies between folds.

    Parameters
    ----------
    y_score : array-like of shape (n_rows,)
        Out-of-fold probabilities, in [0, 1].
    fold : array-like of shape (n_rows,)
        The fold in whose test set the row is; in a repeated cross-validation, with another name in each repetition.

    Returns
    -------
    float
        In [0, 1]: 1 if the probabilities are equal within each fold but differ between folds, 0 if all are equal. With
        k folds of n patients and no difference in level it is about (k - 1) / (n - 1).

    Raises
    ------
    InputError
        If a probability is outside [0, 1], an entry is missing, or lengths differ.

    Notes
    -----
    The between-fold sum of squares over the total one. Probabilities are clipped to [0.0005, 0.9995]. Where the
    proportion is large, the fits differ in level, and pooled scores rank folds rather than patients.

    Examples
    --------
    >>> from sklearn_pspd.statistics import fold_level_share
    >>> round(fold_level_share([0.1, 0.2, 0.8, 0.9], [1, 1, 2, 2]), 2)
    0.95
    """
    log_odds, codes = _log_odds_and_folds(y_score, fold)
    means = (np.bincount(codes, log_odds) / np.bincount(codes))[codes]
    total = np.sum((log_odds - log_odds.mean()) ** 2)
    return float(min(1.0, np.sum((means - log_odds.mean()) ** 2) / total)) if total > 1e-12 else 0.0


def fold_level_sd(y_score, fold):
    """Return the standard deviation of the folds' levels, the mean log odds of their patients.

    Parameters
    ----------
    y_score : array-like of shape (n_rows,)
        Out-of-fold probabilities, in [0, 1].
    fold : array-like of shape (n_rows,)
        The fold in whose test set the row is; in a repeated cross-validation, with another name in each repetition.

    Returns
    -------
    float
        On the scale of the log odds, not negative; 0 with one fold. It complements a calibration slope within folds,
        which levels do not affect.

    Raises
    ------
    InputError
        If a probability is outside [0, 1], an entry is missing, or lengths differ.

    Examples
    --------
    >>> from sklearn_pspd.statistics import fold_level_sd
    >>> round(fold_level_sd([0.1, 0.2, 0.8, 0.9], [1, 1, 2, 2]), 2)
    2.53
    """
    log_odds, codes = _log_odds_and_folds(y_score, fold)
    levels = np.bincount(codes, log_odds) / np.bincount(codes)
    return float(levels.std(ddof=1)) if len(levels) > 1 else 0.0


def _log_odds_and_folds(y_score, fold):
    score, fold = check_labels(y_score=np.asarray(y_score, dtype=np.float64), fold=fold)
    if not (score.min() >= 0 and score.max() <= 1):
        raise InputError(f"probabilities must lie in [0, 1]; got {score.min():g} to {score.max():g}")
    log_odds = logit(np.clip(score, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY))
    return log_odds, np.unique(fold, return_inverse=True)[1]


def _check_rows(y_true, y_score, fold, patient, pos_label):
    is_positive, score = check_scores(y_true, y_score, pos_label)
    return fold_design(is_positive, fold, patient), score
