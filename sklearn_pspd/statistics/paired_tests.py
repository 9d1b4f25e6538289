"""Paired tests of two models on the same patients or splits, and Holm's adjustment."""

import numpy as np
from scipy.special import stdtr
from scipy.stats import binom, chi2

from sklearn_pspd.exceptions import InputError

from .auc_intervals import paired_auc_test
from .checks import check_labels, check_scores
from .fold_design import fold_design
from .intervals import TestResult, normal_quantile, shared_training_factor, t_quantile


def delong_test(y_true, score_a, score_b, *, variance_factor=1.0, confidence_level=0.95, pos_label=1):
    """Test whether two models differ in AUC on the same patients, by DeLong's paired test.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    score_a, score_b : array-like of shape (n_patients,)
        Scores of the two models for the same patients in the same order; higher for the positive class.
    variance_factor : float, default=1.0
        Factor by which the variance is multiplied: 1 for models evaluated on patients who were not used to train them,
        :func:`~sklearn_pspd.statistics.intervals.shared_training_factor` for out-of-fold scores of a cross-validation.
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    TestResult
        AUC of model a minus AUC of model b, its interval within [-1, 1], the z statistic and the p-value.

    Raises
    ------
    InputError
        If a class is absent, `pos_label` is neither class, a score is not finite, lengths differ, or
        `variance_factor` is not positive.

    Notes
    -----
    DeLong's paired test [1]_. With fewer than ten patients in a class, or where its variance is zero (a perfect model
    against a constant one), DeLong's variance may be far too small: for 2 and 8 patients, p-values of 1e-26 occur. The
    variance is then at least that of the difference over all exchanges of the two models' ranks within patients [2]_,
    and the p-value is the exact one over these exchanges: of all of them up to 16 patients, of 50 000 random ones (and
    always the same) beyond. The null hypothesis of that test is that the ranks of the two models are exchangeable
    within patients. With a variance factor other than 1 patients are not exchangeable independently of one another, so
    the p-value is then from the normal distribution with the larger variance.

    If two models rank all patients equally, p is 1 and the interval is from the sum of Hanley and McNeil's variances
    [3]_ of both AUCs, each shrunk towards 0.5 by adding one tied pair of patients. This ignores the pairing (our
    choice).

    References
    ----------
    .. [1] DeLong ER, DeLong DM, Clarke-Pearson DL. Biometrics 44, 837-845 (1988).
    .. [2] Bandos AI, Rockette HE, Gur D. A permutation test sensitive to differences in areas for comparing ROC curves
       from a paired design. Stat Med 24, 2873-2893 (2005).
    .. [3] Hanley JA, McNeil BJ. Radiology 143, 29-36 (1982).

    Examples
    --------
    >>> from sklearn_pspd.statistics import delong_test
    >>> y_true = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> test = delong_test(y_true, [1, 2, 3, 5, 4, 6, 7, 8], [1, 6, 3, 5, 4, 2, 7, 8])
    >>> round(test.difference, 3), round(test.p_value, 2), test.method
    (0.25, 0.5, 'exchange of models, paired')
    """
    is_positive, score_a = check_scores(y_true, score_a, pos_label)
    score_b = check_scores(y_true, score_b, pos_label)[1]
    if not variance_factor > 0:
        raise InputError(f"variance_factor must be positive; got {variance_factor}")
    design = fold_design(is_positive)._replace(factor=float(variance_factor))
    test = paired_auc_test(design, score_a, score_b, confidence_level)
    return test if variance_factor == 1 else test._replace(method=test.method + ", corrected")


def mcnemar_test(y_true, pred_a, pred_b, *, method="exact", confidence_level=0.95):
    """Test whether two models differ in accuracy on the same patients, by McNemar's test.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        True classes.
    pred_a, pred_b : array-like of shape (n_patients,)
        Predicted classes of the two models for the same patients in the same order.
    method : {"exact", "mid-p", "asymptotic"}, default="exact"
        Exact binomial test of the discordant patients (correctly classified by one model only); its mid-p variant,
        which is less conservative [2]_; or the chi-squared test without continuity correction [1]_.
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).

    Returns
    -------
    TestResult
        Accuracy of model a minus accuracy of model b, with Bonett and Price's interval [3]_ within [-1, 1]. The
        statistic is the number of patients whom only model a classifies correctly, or chi-squared. The p-value is 1 if
        no patient is discordant.

    Raises
    ------
    InputError
        If lengths differ, a class is missing (NaN), or the method is unknown.

    References
    ----------
    .. [1] McNemar Q. Psychometrika 12, 153-157 (1947).
    .. [2] Fagerland MW, Lydersen S, Laake P. The McNemar test for binary matched-pairs data. BMC Med Res Methodol 13,
       91 (2013).
    .. [3] Bonett DG, Price RM. Adjusted Wald confidence interval for a difference of binomial proportions based on
       paired data. J Educ Behav Stat 37, 479-488 (2012).

    Examples
    --------
    >>> from sklearn_pspd.statistics import mcnemar_test
    >>> test = mcnemar_test([1] * 8, [1, 1, 1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0, 1, 1])
    >>> test.difference, test.statistic, test.p_value
    (0.625, 6.0, 0.125)
    """
    y_true, pred_a, pred_b = check_labels(y_true=y_true, pred_a=pred_a, pred_b=pred_b)
    if method not in ("exact", "mid-p", "asymptotic"):
        raise InputError(f'method must be "exact", "mid-p" or "asymptotic"; got {method!r}')
    # Discordant patients.
    correct_a, correct_b = pred_a == y_true, pred_b == y_true
    only_a, only_b = int((correct_a & ~correct_b).sum()), int((~correct_a & correct_b).sum())
    n, discordant = len(y_true), only_a + only_b
    # The test.
    if method == "asymptotic":
        statistic = (only_a - only_b) ** 2 / discordant if discordant else 0.0
        p_value = chi2.sf(statistic, 1)
    else:
        statistic, fewer = only_a, min(only_a, only_b)
        p_value = min(1.0, 2 * binom.cdf(fewer, discordant, 0.5))
        if method == "mid-p" and discordant:
            # Half the probability of the observed count; with equal counts, both tails contain it.
            observed = binom.pmf(fewer, discordant, 0.5)
            p_value -= 0.5 * observed if only_a == only_b else observed
    # Bonett and Price's interval, from proportions with one discordant patient added to each.
    prop_a, prop_b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = normal_quantile(confidence_level) * np.sqrt((prop_a + prop_b - (prop_a - prop_b) ** 2) / (n + 2))
    low, high = np.clip([prop_a - prop_b - half, prop_a - prop_b + half], -1, 1)
    return TestResult(
        (only_a - only_b) / n, float(low), float(high), float(statistic), float(p_value), f"McNemar, {method}"
    )


def corrected_resampled_ttest(scores_a, scores_b, *, n_train, n_test, bounds=(-1.0, 1.0), confidence_level=0.95):
    """Test whether two models differ in their cross-validation scores, by the corrected resampled t-test.

    Parameters
    ----------
    scores_a, scores_b : array-like of shape (n_splits,)
        Scores of the two models on the same splits in the same order; at least two splits.
    n_train, n_test : float
        Patients in the training and in the test set of a split (mean over splits).
    bounds : tuple of float, default=(-1.0, 1.0)
        Smallest and largest possible difference; the interval lies within them. The default is for scores in [0, 1].
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).

    Returns
    -------
    TestResult
        Mean score of model a minus mean score of model b, its interval, the t statistic and the p-value. If all
        differences are equal, their variance is not known: the interval is `bounds`, and the p-value is that of the
        sign test, 2^(1 - n_splits), or 1 if the differences are zero.

    Raises
    ------
    InputError
        If there are fewer than two splits, lengths differ, a score is not finite, a size is not positive, or the mean
        difference lies outside `bounds`.

    Notes
    -----
    Nadeau and Bengio's correction [1]_: because the training sets overlap, the variance of the mean is the variance of
    the differences times ``1 / n_splits + n_test / n_train``. For repeated cross-validation, give the scores of all
    splits of all repetitions [2]_.

    References
    ----------
    .. [1] Nadeau C, Bengio Y. Inference for the generalization error. Mach Learn 52, 239-281 (2003).
    .. [2] Bouckaert RR, Frank E. Evaluating the replicability of significance tests for comparing learning algorithms.
       PAKDD, 3-12 (2004).

    Examples
    --------
    >>> from sklearn_pspd.statistics import corrected_resampled_ttest
    >>> test = corrected_resampled_ttest([0.8, 0.7, 0.9, 0.8], [0.7, 0.7, 0.7, 0.6], n_train=45, n_test=15)
    >>> round(test.difference, 3), round(test.statistic, 2), round(test.p_value, 2)
    (0.125, 1.71, 0.19)
    """
    a, b = np.asarray(scores_a, dtype=np.float64), np.asarray(scores_b, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise InputError(
            f"expected two lists of scores of equal length, at least 2 splits; got shapes {a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("the score of a split is not finite; exclude that split from both lists")
    if n_train <= 0 or n_test <= 0:
        raise InputError(f"n_train and n_test must be positive; got {n_train} and {n_test}")
    difference, df = float(np.mean(a - b)), len(a) - 1
    if not bounds[0] - 1e-12 <= difference <= bounds[1] + 1e-12:
        raise InputError(f"the mean difference, {difference:g}, lies outside its bounds {bounds[0]:g} to {bounds[1]:g}")
    if np.ptp(a - b) < 1e-12:
        is_zero = abs(difference) < 1e-12
        statistic, p_value = (0.0, 1.0) if is_zero else (np.copysign(np.inf, difference), 2.0 ** (1 - len(a)))
        return TestResult(difference, *map(float, bounds), float(statistic), p_value, "sign test of equal differences")
    error = np.sqrt(shared_training_factor(len(a), n_train, n_test) * np.var(a - b, ddof=1) / len(a))
    half = t_quantile(confidence_level, df) * error
    low, high = np.clip([difference - half, difference + half], *bounds)
    statistic = difference / error
    p_value = 2 * stdtr(df, -abs(statistic))
    return TestResult(difference, float(low), float(high), float(statistic), float(p_value), "corrected resampled t")


def holm(p_values):
    """Adjust p-values for multiple testing by Holm's method, which controls the family-wise error rate.

    Parameters
    ----------
    p_values : array-like of shape (n_tests,)
        P-values of the tests, in [0, 1].

    Returns
    -------
    ndarray of shape (n_tests,)
        Adjusted p-values, in the order given.

    Raises
    ------
    InputError
        If a p-value is outside [0, 1] or missing.

    References
    ----------
    .. [1] Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat 6, 65-70 (1979).

    Examples
    --------
    >>> from sklearn_pspd.statistics import holm
    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"p_values must be one list of numbers in [0, 1]; got {p}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted
