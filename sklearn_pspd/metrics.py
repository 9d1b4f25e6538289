"""Diagnostic metrics with intervals that hold for a handful of patients: arrays in, numbers out."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit, logit, ndtr, ndtri, stdtr, stdtrit
from scipy.stats import binom, chi2, rankdata
from sklearn.utils import check_random_state

CLASS_NAMES = ("PD", "PsPD")

# Fewer cases than this in a class: DeLong's variance itself is too uncertain (3 of 33: 88 % coverage at AUC 0.5).
MIN_CLASS_SIZE_DELONG = 5

# A variance that is zero comes out as about 1e-34.
ROUNDING = 1e-15


class Estimate(NamedTuple):
    """A value with its interval and the method that gave the interval."""

    value: float
    low: float
    high: float
    method: str


class Comparison(NamedTuple):
    """A difference, first minus second, with its interval, test statistic and two-sided p-value."""

    difference: float
    low: float
    high: float
    statistic: float
    p_value: float
    method: str


# Estimates


def roc_auc(y_true, y_score, *, confidence_level=0.95, pos_label=1):
    """Estimate the area under the receiver operating characteristic curve.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    y_score : array-like of shape (n_patients,)
        Finite; higher for the positive class.
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    Estimate
        Value in [0, 1]; method "DeLong, logit" or "Newcombe 5".

    Raises
    ------
    ValueError
        If a class is absent, `pos_label` is neither class, a score is not finite, or lengths differ.

    Notes
    -----
    The variance is DeLong's [1]_, the interval is symmetric on the logit scale [2]_. Where that variance is zero or
    undefined (an AUC of 0 or 1, constant scores) or rests on fewer than five cases of a class (ours), the interval is
    Newcombe's method 5 [3]_, which inverts a score-type test with Hanley and McNeil's variance [4]_.

    Coverage of the 95 % interval in simulations from two normal distributions of equal spread, at AUC 0.5, 0.75 and
    0.9: 97.2, 96.5 and 97.5 % for 8 and 11 patients; 95.6, 95.3 and 94.8 % for 22 and 37; 95.7, 95.2 and 94.3 % for 77
    and 123. The symmetric DeLong interval without the logit covers 92, 90 and 83 % for 8 and 11 patients, so it is not
    offered. With few cases (2 to 6) that spread twice as widely as the others, no method here holds: 76 to 94 % at AUC
    0.5.

    References
    ----------
    .. [1] DeLong ER, DeLong DM, Clarke-Pearson DL. Comparing the areas under two or more correlated receiver operating
       characteristic curves. Biometrics 44, 837-845 (1988).
    .. [2] Pepe MS. The statistical evaluation of medical tests for classification and prediction, p. 107 (2003).
    .. [3] Newcombe RG. Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2.
       Stat Med 25, 559-573 (2006).
    .. [4] Hanley JA, McNeil BJ. The meaning and use of the area under a ROC curve. Radiology 143, 29-36 (1982).

    Examples
    --------
    >>> from sklearn_pspd.metrics import roc_auc
    >>> auc = roc_auc([0, 0, 0, 0, 0, 1, 1, 1, 1, 1], [1, 2, 3, 4, 6, 5, 7, 8, 9, 10])
    >>> round(auc.value, 2), round(auc.low, 2), round(auc.high, 2), auc.method
    (0.96, 0.57, 1.0, 'DeLong, logit')
    """
    is_positive, score = _check_scores(y_true, y_score, pos_label)
    z = _normal_quantile(confidence_level)
    above, below = _placements(is_positive, score)
    auc, smallest = float(above.mean()), min(len(above), len(below))
    variance = _delong_variance(above, below) if smallest >= MIN_CLASS_SIZE_DELONG else 0.0
    if not 0 < auc < 1 or variance < ROUNDING:
        return Estimate(auc, *_newcombe_interval(auc, len(above), len(below), z), "Newcombe 5")
    half = z * np.sqrt(variance) / (auc * (1 - auc))
    low, high = expit(logit(auc) - half), expit(logit(auc) + half)
    return Estimate(auc, float(low), float(high), "DeLong, logit")


def average_precision(y_true, y_score, *, confidence_level=0.95, n_resamples=2000, random_state=None, pos_label=1):
    """Estimate the area under the precision-recall curve (AUPRC), as the step-wise average precision.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    y_score : array-like of shape (n_patients,)
        Finite; higher for the positive class.
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).
    n_resamples : int, default=2000
        Bootstrap resamples.
    random_state : int, RandomState instance or None, default=None
        Seed of the resamples.
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    Estimate
        Value in [0, 1]; by chance it is the share of the positive class. See :func:`bootstrap_interval`.

    Raises
    ------
    ValueError
        If a class is absent, `pos_label` is neither class, a score is not finite, or lengths differ.

    Notes
    -----
    Coverage of the 95 % interval at AUC 0.5, 0.75 and 0.9, simulated: 95, 96 and 98 % for 8 and 11 patients; 93, 94 and
    95 % for 22 and 37; 93, 95 and 94 % for 77 and 123. Without the small-sample quantile it is 87, 91 and 96 % for 8
    and 11; of the percentile bootstrap 81, 84 and 86 %.

    Examples
    --------
    >>> from sklearn_pspd.metrics import average_precision
    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], random_state=0).value, 2)
    0.83
    """
    return bootstrap_interval(
        "average_precision",
        y_true,
        y_score,
        n_resamples=n_resamples,
        confidence_level=confidence_level,
        random_state=random_state,
        pos_label=pos_label,
    )


def brier_score(y_true, y_prob, *, confidence_level=0.95, pos_label=1):
    """Estimate the Brier score, the mean squared error of the probabilities.

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
        Value in [0, 1], the lower the better; method "t, logit" or "Wilson".

    Raises
    ------
    ValueError
        If a class is absent, `pos_label` is neither class, a probability is outside [0, 1], or lengths differ.

    Notes
    -----
    The standard error is that of a mean over two strata, the interval is symmetric on the logit scale with Student's t
    (ours). Coverage of the 95 % interval, simulated at AUC 0.75 and 0.9: 93 and 92 % for 8 and 11 patients, 95 and 94 %
    for 22 and 37; BCa covers 90 and 88 % for 8 and 11. Where the errors do not vary within a class, or a class has one
    case, Wilson's interval is given: an error in [0, 1] varies at most like a proportion of the same mean.

    References
    ----------
    .. [1] Brier GW. Verification of forecasts expressed in terms of probability. Mon Weather Rev 78, 1-3 (1950).

    Examples
    --------
    >>> from sklearn_pspd.metrics import brier_score
    >>> round(brier_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).value, 3)
    0.158
    """
    is_positive, prob = _check_scores(y_true, y_prob, pos_label)
    if prob.min() < 0 or prob.max() > 1:
        raise ValueError(f"probabilities lie in [0, 1]; got {prob.min():g} to {prob.max():g}")
    error = (prob - is_positive) ** 2
    value, n = float(error.mean()), len(error)
    strata = [error[is_positive], error[~is_positive]]
    variance = sum(len(e) * e.var(ddof=1) for e in strata) / n**2 if min(map(len, strata)) > 1 else 0.0
    if variance < ROUNDING or not 0 < value < 1:
        return Estimate(value, *_wilson_interval(value, n, _normal_quantile(confidence_level)), "Wilson")
    half = _t_quantile(confidence_level, n - 2) * np.sqrt(variance) / (value * (1 - value))
    return Estimate(value, float(expit(logit(value) - half)), float(expit(logit(value) + half)), "t, logit")


def proportion(successes, n, *, confidence_level=0.95):
    """Estimate a proportion, such as accuracy, recall, specificity or precision.

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
        Value in [0, 1], with Wilson's score interval [1]_.

    Raises
    ------
    ValueError
        If `successes` is not between 0 and `n`, or either is not a whole number.

    References
    ----------
    .. [1] Wilson EB. Probable inference, the law of succession, and statistical inference. J Am Stat Assoc 22, 209-212
       (1927).

    Examples
    --------
    >>> from sklearn_pspd.metrics import proportion
    >>> recall = proportion(6, 8)
    >>> round(recall.low, 3), round(recall.high, 3)
    (0.409, 0.929)
    """
    if not (successes == int(successes) and n == int(n) and 0 <= successes <= n):
        raise ValueError(f"a proportion needs whole numbers, 0 <= successes <= n; got {successes} of {n}")
    z = _normal_quantile(confidence_level)
    if n == 0:
        return Estimate(float("nan"), 0.0, 1.0, "undefined: no cases")
    return Estimate(float(successes / n), *_wilson_interval(successes / n, n, z), "Wilson")


def bootstrap_interval(
    metric,
    y_true,
    y_score,
    *,
    n_resamples=2000,
    confidence_level=0.95,
    random_state=None,
    pos_label=1,
    bounds=(0.0, 1.0),
    small_sample=True,
):
    """Estimate any metric, with a bias-corrected and accelerated (BCa) bootstrap interval stratified by class.

    Parameters
    ----------
    metric : str or callable
        "roc_auc", "average_precision" or "brier" of scores; "accuracy", "specificity", "precision", "recall" or "f1" of
        predicted classes; these are computed for all resamples at once. Or ``metric(y_true, y_score) -> float``, called
        once a resample.
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    y_score : array-like of shape (n_patients,)
        Scores or predicted classes, as `metric` takes them.
    n_resamples : int, default=2000
        Bootstrap resamples, each with as many cases of either class as `y_true`.
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).
    random_state : int, RandomState instance or None, default=None
        Seed of the resamples.
    pos_label : int, str or bool, default=1
        The positive class.
    bounds : tuple of float, default=(0.0, 1.0)
        Smallest and largest value that a callable `metric` can take.
    small_sample : bool, default=True
        Replace the normal quantile z by sqrt(k / (k - 1)) times Student's t with k - 1 degrees of freedom, where k is
        the size of the smaller class. Hesterberg [3]_ proposes this for one sample and the percentile interval; its use
        here is ours.

    Returns
    -------
    Estimate
        Value and interval within `bounds`; the interval is extended to the value where it would leave it out. A value
        that is not defined is NaN, with `bounds` as its interval.

    Raises
    ------
    ValueError
        If a class is absent, `pos_label` is neither class, scores are not finite, lengths differ, the metric is unknown
        or its value lies outside `bounds`.

    Notes
    -----
    BCa [1]_ with the acceleration of several samples [2]_, from a jackknife within each class. Resamples in which the
    metric is not defined are left out. Where all resamples give one value (perfect separation, constant scores), where
    scores of one class all lie below those of the other, or where a class has one case, the bootstrap says nothing; the
    interval is then Wilson's for a proportion of that value among k cases (ours).

    For the AUC prefer :func:`roc_auc`, for the Brier score :func:`brier_score`.

    References
    ----------
    .. [1] Efron B. Better bootstrap confidence intervals. J Am Stat Assoc 82, 171-185 (1987).
    .. [2] Davison AC, Hinkley DV. Bootstrap methods and their application, section 5.3 (1997).
    .. [3] Hesterberg TC. What teachers should know about the bootstrap. Am Stat 69, 371-386 (2015).

    Examples
    --------
    >>> from sklearn_pspd.metrics import bootstrap_interval
    >>> f1 = bootstrap_interval("f1", [0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 0], random_state=0)
    >>> round(f1.value, 2), f1.method
    (0.67, 'stratified BCa bootstrap')
    """
    is_positive, score, of_weights, bounds = _check_metric(metric, y_true, y_score, pos_label, bounds)
    resampling = _Resampling(confidence_level, n_resamples, random_state, bounds, small_sample)
    says_nothing = metric == "average_precision" and _is_separated(is_positive, score)
    return _bootstrap(of_weights(is_positive, score), is_positive, resampling, says_nothing=says_nothing)


# Tables


def classification_table(
    y_true,
    y_pred,
    *,
    labels=CLASS_NAMES,
    pos_label=1,
    zero_division=np.nan,
    confidence_level=0.95,
    n_resamples=2000,
    random_state=None,
):
    """Tabulate precision, recall and F1 of both classes and their support-weighted average, as the paper's table 2.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    y_pred : array-like of shape (n_patients,)
        Predicted classes.
    labels : tuple of str, default=("PD", "PsPD")
        Names of the negative and the positive class in the table. The paper's table 2 has them the other way round
        [1]_: there, the class with 8 test patients is named PD, which table 1 names PsPD.
    pos_label : int, str or bool, default=1
        The positive class.
    zero_division : float, default=nan
        Precision of a class that is never predicted. NaN leaves the class out of the average; the paper has 0.
    confidence_level : float, default=0.95
        Coverage of the intervals, in (0, 1).
    n_resamples : int, default=2000
        Bootstrap resamples.
    random_state : int, RandomState instance or None, default=None
        Seed of the resamples.

    Returns
    -------
    DataFrame
        Three rows; columns ``class``, then ``precision``, ``recall`` and ``f1``, each followed by its ``_low`` and
        ``_high``, then ``support``. Intervals are Wilson's for the precision and recall of a class and the average
        recall, which is the accuracy; BCa without the small-sample quantile for the rest.

    Raises
    ------
    ValueError
        If a class is absent from `y_true`, `pos_label` is neither class, `y_pred` holds another class, or lengths
        differ.

    Notes
    -----
    Coverage of the F1 interval, simulated at AUC 0.5 to 0.9: 93 to 97 % for 8 and 11 patients, 94 to 96 % for more.
    Wilson's interval for precision treats the number of calls as given; if the numbers of both classes are fixed
    beforehand, it covers more than it says (98 to 99 %).

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    Model 3 of the paper, which called 18 of 19 patients alike:

    >>> import numpy as np
    >>> from sklearn_pspd.metrics import classification_table
    >>> y_true = np.repeat([0, 1], [8, 11])
    >>> y_pred = np.repeat([1, 0, 1], [8, 1, 10])
    >>> table = classification_table(y_true, y_pred, zero_division=0, random_state=0)
    >>> table[["class", "precision", "recall", "f1", "support"]].round(2)
         class  precision  recall    f1  support
    0       PD       0.00    0.00  0.00        8
    1     PsPD       0.56    0.91  0.69       11
    2  average       0.32    0.53  0.40       19
    """
    is_positive, is_called = _check_predictions(y_true, y_pred, pos_label)
    level = {"confidence_level": confidence_level}
    resampling = _Resampling(confidence_level, n_resamples, random_state, (0.0, 1.0), False)
    rows = []
    for name, true, called in ((labels[0], ~is_positive, ~is_called), (labels[1], is_positive, is_called)):
        hits, n_called, n_true = (int(mask.sum()) for mask in (true & called, called, true))
        precision = proportion(hits, n_called, **level)
        if n_called == 0:
            precision = precision._replace(value=float(zero_division))
        f1 = _bootstrap(_f1(true, called), true, resampling)
        rows.append(_table_row(name, precision, proportion(hits, n_true, **level), f1, n_true))
    average = _average_scores(is_positive, is_called, zero_division)
    precision, f1 = (_bootstrap(average(kind), is_positive, resampling) for kind in (_precision, _f1))
    accuracy = proportion(int((is_positive == is_called).sum()), len(is_positive), **level)
    return pd.DataFrame([*rows, _table_row("average", precision, accuracy, f1, len(is_positive))])


def score_table(
    y_true,
    y_score,
    *,
    threshold,
    labels=CLASS_NAMES,
    pos_label=1,
    zero_division=np.nan,
    confidence_level=0.95,
    n_resamples=2000,
    random_state=None,
):
    """Summarise one model's scores.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    y_score : array-like of shape (n_patients,)
        Probability of the positive class, in [0, 1].
    threshold : float or array-like of shape (n_patients,)
        A patient is called positive where the score reaches it; one for all, or one a patient (per fold). It must come
        from elsewhere than these patients.
    labels : tuple of str, default=("PD", "PsPD")
        Names of the negative and the positive class in the table.
    pos_label : int, str or bool, default=1
        The positive class.
    zero_division : float, default=nan
        Precision of a class that is never called.
    confidence_level : float, default=0.95
        Coverage of the intervals, in (0, 1).
    n_resamples : int, default=2000
        Bootstrap resamples, for what has no interval in closed form.
    random_state : int, RandomState instance or None, default=None
        Seed of the resamples.

    Returns
    -------
    DataFrame
        Columns ``metric``, ``class``, ``value``, ``low``, ``high``, ``method``. Metrics ``auc``,
        ``average_precision``, ``brier``, ``accuracy`` and ``specificity`` have the empty class; ``precision``,
        ``recall`` and ``f1`` have a row for each class.

    Raises
    ------
    ValueError
        If a class is absent, `pos_label` is neither class, a score or a threshold is not finite, a score is outside
        [0, 1], or lengths differ.

    Examples
    --------
    >>> from sklearn_pspd.metrics import score_table
    >>> table = score_table([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], threshold=0.5, random_state=0)
    >>> table.loc[table["metric"] == "accuracy", "value"].item()
    0.75
    """
    is_positive, score = _check_scores(y_true, y_score, pos_label)
    is_called = score >= _check_threshold(threshold, score)
    level = {"confidence_level": confidence_level}
    seeded = {"n_resamples": n_resamples, "random_state": random_state}
    rows = [
        ("auc", "", roc_auc(is_positive, score, **level)),
        ("average_precision", "", average_precision(is_positive, score, **level, **seeded)),
        ("brier", "", brier_score(is_positive, score, **level)),
        ("accuracy", "", proportion(int((is_positive == is_called).sum()), len(score), **level)),
        ("specificity", "", proportion(int((~is_positive & ~is_called).sum()), int((~is_positive).sum()), **level)),
    ]
    resampling = _Resampling(confidence_level, n_resamples, random_state, (0.0, 1.0), False)
    for name, true, called in ((labels[0], ~is_positive, ~is_called), (labels[1], is_positive, is_called)):
        hits, n_called, n_true = (int(mask.sum()) for mask in (true & called, called, true))
        precision = proportion(hits, n_called, **level)
        if n_called == 0:
            precision = precision._replace(value=float(zero_division))
        rows += [
            ("precision", name, precision),
            ("recall", name, proportion(hits, n_true, **level)),
            ("f1", name, _bootstrap(_f1(true, called), true, resampling)),
        ]
    return pd.DataFrame([{"metric": metric, "class": name, **estimate._asdict()} for metric, name, estimate in rows])


def fold_table(y_true, y_score, fold, *, pos_label=1):
    """Tabulate the AUC and AUPRC of each fold, their mean, and those of all out-of-fold scores pooled.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    y_score : array-like of shape (n_patients,)
        Out-of-fold scores, higher for the positive class.
    fold : array-like of shape (n_patients,)
        The fold in which a patient was held out.
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    DataFrame
        Columns ``fold`` (in order, then "mean" and "pooled"), ``n``, ``n_positive``, ``auc``, ``average_precision``. A
        fold with one class has NaN and stays out of the mean.

    Raises
    ------
    ValueError
        If a class is absent, `pos_label` is neither class, a score is not finite, or lengths differ.

    Notes
    -----
    The mean compares patients of one fold only; the pooled value also compares patients scored by different fits, so it
    drops where folds differ in level. The released script's "micro-average" AUPRC is neither: it is that of the last
    fold [1]_.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> from sklearn_pspd.metrics import fold_table
    >>> fold_table([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.8], [1, 1, 2, 2])
         fold  n  n_positive   auc  average_precision
    0       1  2           1  1.00           1.000000
    1       2  2           1  1.00           1.000000
    2    mean  4           2  1.00           1.000000
    3  pooled  4           2  0.75           0.833333
    """
    is_positive, score = _check_scores(y_true, y_score, pos_label)
    fold = np.asarray(fold)
    if fold.shape != score.shape:
        raise ValueError(f"fold has one entry a patient; got shape {fold.shape} for {len(score)} patients")
    rows = [_fold_row(name, is_positive[fold == name], score[fold == name]) for name in np.unique(fold)]
    pooled = _fold_row("pooled", is_positive, score)
    mean = {**pooled, "fold": "mean"}
    for metric in ("auc", "average_precision"):
        defined = [row[metric] for row in rows if not np.isnan(row[metric])]
        mean[metric] = float(np.mean(defined)) if defined else float("nan")
    return pd.DataFrame([*rows, mean, pooled])


# Comparisons


def delong_test(y_true, score_a, score_b, *, confidence_level=0.95, pos_label=1):
    """Compare the AUCs of two models on the same patients.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    score_a, score_b : array-like of shape (n_patients,)
        Scores of the two models, in one order; higher for the positive class.
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    Comparison
        AUC of a minus AUC of b, its interval within [-1, 1], z and p.

    Raises
    ------
    ValueError
        If a class has fewer than two cases, `pos_label` is neither class, a score is not finite, or lengths differ.

    Notes
    -----
    DeLong's paired test [1]_. Where its variance is zero though the AUCs differ (a perfect model against a constant
    one), Hanley and McNeil's variances [2]_ at the AUCs shrunk by half a pair are added up instead, which gives no
    credit for the pairing (ours).

    References
    ----------
    .. [1] DeLong ER, DeLong DM, Clarke-Pearson DL. Biometrics 44, 837-845 (1988).
    .. [2] Hanley JA, McNeil BJ. Radiology 143, 29-36 (1982).

    Examples
    --------
    >>> from sklearn_pspd.metrics import delong_test
    >>> y_true = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> test = delong_test(y_true, [1, 2, 3, 5, 4, 6, 7, 8], [1, 6, 3, 5, 4, 2, 7, 8])
    >>> round(test.difference, 3), round(test.p_value, 2)
    (0.25, 0.22)
    """
    is_positive, score_a = _check_scores(y_true, score_a, pos_label)
    score_b = _check_scores(y_true, score_b, pos_label)[1]
    sizes = is_positive.sum(), (~is_positive).sum()
    if min(sizes) < 2:
        raise ValueError(f"DeLong's test needs two cases of each class; got {sizes[0]} positive, {sizes[1]} negative")
    above_a, below_a = _placements(is_positive, score_a)
    above_b, below_b = _placements(is_positive, score_b)
    difference = above_a.mean() - above_b.mean()
    variance, method = _delong_variance(above_a - above_b, below_a - below_b), "DeLong, paired"
    if variance < ROUNDING:
        method = "Hanley-McNeil, unpaired"
        shrunk = [(above.mean() * np.prod(sizes) + 0.5) / (np.prod(sizes) + 1) for above in (above_a, above_b)]
        variance = sum(_hanley_mcneil_variance(auc, *sizes) for auc in shrunk)
    return _normal_comparison(difference, np.sqrt(variance), confidence_level, method)


def mcnemar_test(y_true, pred_a, pred_b, *, method="exact", confidence_level=0.95):
    """Compare the accuracies of two models on the same patients.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        True classes.
    pred_a, pred_b : array-like of shape (n_patients,)
        Predicted classes of the two models, in one order.
    method : {"exact", "mid-p", "asymptotic"}, default="exact"
        Binomial test of the patients on whom one model alone is right; its mid-p variant, less conservative [2]_; or
        the chi-squared statistic without continuity correction [1]_.
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).

    Returns
    -------
    Comparison
        Accuracy of a minus accuracy of b, with Bonett and Price's interval [3]_ within [-1, 1]; the statistic is the
        number of patients on whom a alone is right, or chi-squared. p = 1 where the models are never right alone.

    Raises
    ------
    ValueError
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
    >>> from sklearn_pspd.metrics import mcnemar_test
    >>> test = mcnemar_test([1] * 8, [1, 1, 1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0, 1, 1])
    >>> test.difference, test.statistic, test.p_value
    (0.625, 6.0, 0.125)
    """
    y_true, pred_a, pred_b = _check_labels(y_true=y_true, pred_a=pred_a, pred_b=pred_b)
    if method not in ("exact", "mid-p", "asymptotic"):
        raise ValueError(f'method is "exact", "mid-p" or "asymptotic"; got {method!r}')
    right_a, right_b = pred_a == y_true, pred_b == y_true
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    n, discordant = len(y_true), only_a + only_b
    if method == "asymptotic":
        statistic = (only_a - only_b) ** 2 / discordant if discordant else 0.0
        p_value = chi2.sf(statistic, 1)
    else:
        statistic, fewer = only_a, min(only_a, only_b)
        extra = 0.5 * binom.pmf(fewer, discordant, 0.5) if method == "mid-p" and discordant else 0.0
        p_value = min(1.0, 2 * (binom.cdf(fewer, discordant, 0.5) - extra)) if discordant else 1.0
    share_a, share_b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = _normal_quantile(confidence_level) * np.sqrt((share_a + share_b - (share_a - share_b) ** 2) / (n + 2))
    low, high = np.clip([share_a - share_b - half, share_a - share_b + half], -1, 1)
    return Comparison(
        (only_a - only_b) / n, float(low), float(high), float(statistic), float(p_value), f"McNemar, {method}"
    )


def corrected_resampled_ttest(scores_a, scores_b, *, n_train, n_test, confidence_level=0.95):
    """Compare the cross-validation scores of two models.

    Parameters
    ----------
    scores_a, scores_b : array-like of shape (n_splits,)
        Scores of the two models on the same splits, at least two.
    n_train, n_test : float
        Patients in the training and the test part of a split (mean over splits).
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).

    Returns
    -------
    Comparison
        Mean score of a minus that of b, its interval, t and p. Differences that are all equal give p = 1 if they are
        zero, else an infinite t and p = 0.

    Raises
    ------
    ValueError
        If there are fewer than two splits, lengths differ, a score is not finite, or a size is not positive.

    Notes
    -----
    Nadeau and Bengio's correction [1]_: training parts overlap, so the variance of the mean is taken as
    ``(1 / n_splits + n_test / n_train)`` times that of the differences. Repeated cross-validation enters with all its
    splits [2]_.

    References
    ----------
    .. [1] Nadeau C, Bengio Y. Inference for the generalization error. Mach Learn 52, 239-281 (2003).
    .. [2] Bouckaert RR, Frank E. Evaluating the replicability of significance tests for comparing learning algorithms.
       PAKDD, 3-12 (2004).

    Examples
    --------
    >>> from sklearn_pspd.metrics import corrected_resampled_ttest
    >>> test = corrected_resampled_ttest([0.8, 0.7, 0.9, 0.8], [0.7, 0.7, 0.7, 0.6], n_train=45, n_test=15)
    >>> round(test.difference, 3), round(test.statistic, 2), round(test.p_value, 2)
    (0.125, 1.71, 0.19)
    """
    a, b = np.asarray(scores_a, dtype=np.float64), np.asarray(scores_b, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise ValueError(f"two score lists of one length, at least 2 splits; got shapes {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a split's score is not finite; leave that split out of both lists")
    if n_train <= 0 or n_test <= 0:
        raise ValueError(f"n_train and n_test are positive; got {n_train} and {n_test}")
    difference, df = float(np.mean(a - b)), len(a) - 1
    error = np.sqrt((1 / len(a) + n_test / n_train) * np.var(a - b, ddof=1))
    if np.ptp(a - b) < 1e-12:
        error = 0.0
    half = _t_quantile(confidence_level, df) * error
    statistic = difference / error if error else np.copysign(np.inf, difference) if abs(difference) > 1e-12 else 0.0
    p_value = 2 * stdtr(df, -abs(statistic))
    method = "corrected resampled t"
    return Comparison(difference, difference - half, difference + half, float(statistic), float(p_value), method)


def holm(p_values):
    """Adjust p-values of several tests so that any false rejection has the stated probability.

    Parameters
    ----------
    p_values : array-like of shape (n_tests,)
        In [0, 1].

    Returns
    -------
    ndarray of shape (n_tests,)
        Adjusted p-values, in the order given.

    Raises
    ------
    ValueError
        If a p-value is outside [0, 1] or missing.

    References
    ----------
    .. [1] Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat 6, 65-70 (1979).

    Examples
    --------
    >>> from sklearn_pspd.metrics import holm
    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values form one list in [0, 1]; got {p}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


# Checks


def _check_labels(**columns):
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1 or any(array.ndim != 1 or not len(array) for array in arrays.values()):
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"one entry a patient, in arrays of one length; got shapes {listed}")
    for name, array in arrays.items():
        if pd.isna(array).any():
            raise ValueError(f"{name} misses {int(pd.isna(array).sum())} of {len(array)} entries (NaN)")
    return list(arrays.values())


def _is_positive(y_true, pos_label):
    classes = pd.unique(pd.Series(y_true)).tolist()
    if len(classes) != 2:
        raise ValueError(f"y_true holds two classes, both at least once; got {len(classes)}: {classes[:5]}")
    if pos_label not in classes:
        raise ValueError(f"pos_label={pos_label!r} is neither of the classes {classes}")
    return y_true == pos_label


def _check_scores(y_true, y_score, pos_label):
    y_true, score = _check_labels(y_true=y_true, y_score=np.asarray(y_score, dtype=np.float64))
    if not np.isfinite(score).all():
        raise ValueError(f"y_score holds {np.count_nonzero(~np.isfinite(score))} values that are not finite")
    return _is_positive(y_true, pos_label), score


def _check_predictions(y_true, y_pred, pos_label):
    y_true, y_pred = _check_labels(y_true=y_true, y_pred=y_pred)
    is_positive = _is_positive(y_true, pos_label)
    strange = ~np.isin(y_pred, y_true)
    if strange.any():
        raise ValueError(f"y_pred holds {y_pred[strange][:5].tolist()}, which y_true does not")
    return is_positive, y_pred == pos_label


def _check_threshold(threshold, score):
    threshold = np.asarray(threshold, dtype=np.float64)
    if threshold.shape not in ((), score.shape):
        raise ValueError(f"threshold is one number or one a patient ({len(score)}); got shape {threshold.shape}")
    if not np.isfinite(threshold).all():
        raise ValueError("threshold is not finite; a threshold of 0 calls every patient positive")
    return threshold


def _check_metric(metric, y_true, y_score, pos_label, bounds):
    """Return class mask, scores, a maker of weighted metrics, and the metric's range."""
    if callable(metric):
        y_true, y_score = _check_labels(y_true=y_true, y_score=y_score)
        if not bounds[0] < bounds[1]:
            raise ValueError(f"bounds are the smallest and the largest value; got {bounds}")
        return _is_positive(y_true, pos_label), y_score, _by_repetition(metric, y_true), bounds
    if metric in _SCORE_METRICS:
        return *_check_scores(y_true, y_score, pos_label), _SCORE_METRICS[metric], (0.0, 1.0)
    if metric in _CALL_METRICS:
        return *_check_predictions(y_true, y_score, pos_label), _CALL_METRICS[metric], (0.0, 1.0)
    raise ValueError(f"metric is callable or one of {sorted((*_SCORE_METRICS, *_CALL_METRICS))}; got {metric!r}")


# Intervals in closed form


def _tail(confidence_level):
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level lies between 0 and 1; got {confidence_level}")
    return 0.5 + confidence_level / 2


def _normal_quantile(confidence_level):
    return float(ndtri(_tail(confidence_level)))


def _t_quantile(confidence_level, df):
    return float(stdtrit(df, _tail(confidence_level)))


def _wilson_interval(share, n, z):
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float(min(share, max(0.0, centre - half))), float(max(share, min(1.0, centre + half)))


def _placements(is_positive, score):
    """Return for each positive the share of negatives below it, for each negative that of positives above it."""
    positive, negative = score[is_positive], score[~is_positive]
    ranks = rankdata(np.concatenate([positive, negative]))
    m, n = len(positive), len(negative)
    return (ranks[:m] - rankdata(positive)) / n, 1 - (ranks[m:] - rankdata(negative)) / m


def _delong_variance(above, below):
    return float(np.var(above, ddof=1) / len(above) + np.var(below, ddof=1) / len(below))


def _hanley_mcneil_variance(auc, n_positive, n_negative):
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = (n_positive - 1) * (q1 - auc**2) + (n_negative - 1) * (q2 - auc**2)
    return (auc * (1 - auc) + spread) / (n_positive * n_negative)


def _newcombe_interval(auc, n_positive, n_negative, z):
    """Return the AUCs whose score-type test at z does not reject the observed one; class sizes enter by their mean."""
    size = (n_positive + n_negative) / 2

    def is_compatible(candidate):
        variance = _hanley_mcneil_variance(candidate, size, size) * size**2 / (n_positive * n_negative)
        return abs(auc - candidate) <= z * np.sqrt(max(0.0, variance))

    limits = []
    for outside in (0.0, 1.0):
        inside = auc
        # Bisection: compatible values form one interval around the observed AUC.
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if is_compatible(middle) else (inside, middle)
        limits.append(float(inside))
    return tuple(limits)


def _normal_comparison(difference, error, confidence_level, method):
    half = _normal_quantile(confidence_level) * error
    low, high = np.clip([difference - half, difference + half], -1, 1)
    statistic = difference / error
    p_value = 2 * ndtr(-abs(statistic))
    return Comparison(float(difference), float(low), float(high), float(statistic), float(p_value), method)


# Metrics of many resamples at once: weights of shape (n_resamples, n_patients) in, values of shape (n_resamples,) out


def _auc(is_positive, score):
    difference = score[is_positive][:, np.newaxis] - score[~is_positive]
    wins = (difference > 0) + 0.5 * (difference == 0)

    def of_weights(weights):
        positive, negative = weights[:, is_positive], weights[:, ~is_positive]
        return ((positive @ wins) * negative).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))

    return of_weights


def _average_precision(is_positive, score):
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


def _precision(is_positive, is_called):
    called, hit = is_called.astype(np.float64), (is_positive & is_called).astype(np.float64)
    return lambda weights: _ratio(weights @ hit, weights @ called)


def _recall(is_positive, is_called):
    return _precision(is_called, is_positive)


def _specificity(is_positive, is_called):
    return _recall(~is_positive, ~is_called)


def _f1(is_positive, is_called):
    total = is_positive.astype(np.float64) + is_called
    hit = (is_positive & is_called).astype(np.float64)
    return lambda weights: _ratio(2 * (weights @ hit), weights @ total)


def _ratio(numerator, denominator):
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)


def _average_scores(is_positive, is_called, zero_division):
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


def _by_repetition(metric, y_true):
    """Turn a metric of labels and scores into one of weights, by repeating each patient as often as it was drawn."""

    def maker(_, score):
        def of_weights(weights):
            picks = [np.repeat(np.arange(len(y_true)), row.astype(np.intp)) for row in weights]
            return np.array([metric(y_true[pick], score[pick]) for pick in picks], dtype=np.float64)

        return of_weights

    return maker


_SCORE_METRICS = {
    "roc_auc": _auc,
    "average_precision": _average_precision,
    "brier": _mean_of(lambda is_positive, prob: (prob - is_positive) ** 2),
}
_CALL_METRICS = {
    "accuracy": _mean_of(lambda is_positive, is_called: is_positive == is_called),
    "specificity": _specificity,
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
}


# Bootstrap


class _Resampling(NamedTuple):
    confidence_level: float
    n_resamples: int
    random_state: object
    bounds: tuple
    small_sample: bool


def _is_separated(is_positive, score):
    """Say whether all scores of one class lie below all of the other, so that no resample mixes their order."""
    positive, negative = score[is_positive], score[~is_positive]
    return positive.min() > negative.max() or positive.max() < negative.min()


def _bootstrap(of_weights, is_positive, resampling, *, says_nothing=False):
    z, bounds = _normal_quantile(resampling.confidence_level), resampling.bounds
    value = float(of_weights(np.ones((1, len(is_positive))))[0])
    if np.isnan(value):
        return Estimate(value, *map(float, bounds), "undefined")
    if not bounds[0] <= value <= bounds[1]:
        raise ValueError(f"the metric is {value:g}, outside its bounds {bounds[0]:g} to {bounds[1]:g}")
    smallest = int(min(is_positive.sum(), (~is_positive).sum()))
    # Equal values differ in the last digits when summed in another order.
    values = np.round(of_weights(_resample(is_positive, resampling)), 12)
    values = values[~np.isnan(values)]
    if says_nothing or smallest == 1 or not len(values) or np.ptp(values) == 0:
        low, high = _wilson_interval((value - bounds[0]) / (bounds[1] - bounds[0]), smallest, z)
        low, high = (bounds[0] + (bounds[1] - bounds[0]) * limit for limit in (low, high))
        return Estimate(value, low, high, "Wilson, smaller class")
    if resampling.small_sample:
        z = np.sqrt(smallest / (smallest - 1)) * _t_quantile(resampling.confidence_level, smallest - 1)
    low, high = _bca_interval(np.round(value, 12), values, _acceleration(of_weights, is_positive), z)
    low, high = max(bounds[0], min(low, value)), min(bounds[1], max(high, value))
    return Estimate(value, float(low), float(high), "stratified BCa bootstrap")


def _resample(is_positive, resampling):
    """Return how often each patient is drawn, shape (n_resamples, n_patients), with the classes' sizes kept."""
    n_resamples = resampling.n_resamples
    if n_resamples != int(n_resamples) or n_resamples < 1:
        raise ValueError(f"n_resamples is a positive whole number; got {n_resamples}")
    rng = check_random_state(resampling.random_state)
    weights = np.empty((int(n_resamples), len(is_positive)))
    for mask in (~is_positive, is_positive):
        n = int(mask.sum())
        weights[:, mask] = rng.multinomial(n, np.full(n, 1 / n), size=int(n_resamples))
    return weights


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


# Rows


def _table_row(name, precision, recall, f1, support):
    row = {"class": name}
    for metric, estimate in (("precision", precision), ("recall", recall), ("f1", f1)):
        row.update({metric: estimate.value, f"{metric}_low": estimate.low, f"{metric}_high": estimate.high})
    return {**row, "support": support}


def _fold_row(name, is_positive, score):
    n, n_positive = len(score), int(is_positive.sum())
    row = {"fold": name, "n": n, "n_positive": n_positive, "auc": float("nan"), "average_precision": float("nan")}
    if 0 < n_positive < n:
        one = np.ones((1, n))
        row["auc"] = float(_auc(is_positive, score)(one)[0])
        row["average_precision"] = float(_average_precision(is_positive, score)(one)[0])
    return row
