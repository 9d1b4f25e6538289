"""Tables of the metrics of one model, with one row per metric, class or fold."""

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError

from .bootstrap import (
    Resampling,
    bootstrap,
    is_separated,
    weighted_auc,
    weighted_average,
    weighted_average_precision,
    weighted_f1,
    weighted_precision,
)
from .checks import check_predictions, check_scores, check_threshold
from .intervals import widened_level
from .metrics import brier_score, proportion, roc_auc

CLASS_NAMES = ("PD", "PsPD")
CLASS_METRICS = ("precision", "recall", "f1")


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
    """Tabulate precision, recall and F1 of each class and their support-weighted average, as in the paper's table 2.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    y_pred : array-like of shape (n_patients,)
        Predicted classes.
    labels : tuple of str, default=("PD", "PsPD")
        Names of the negative and the positive class in the table. The names in the paper's table 2 are swapped [1]_:
        it gives the name PD to the class of 8 test patients, which is PsPD in table 1.
    pos_label : int, str or bool, default=1
        The positive class.
    zero_division : float, default=nan
        Precision of a class that is never predicted. NaN excludes the class from the average; the paper uses 0.
    confidence_level : float, default=0.95
        Coverage of the intervals, in (0, 1).
    n_resamples : int, default=2000
        Number of bootstrap resamples.
    random_state : int, RandomState instance or None, default=None
        Seed of the resamples.

    Returns
    -------
    DataFrame
        Three rows (the two classes and their average); columns ``class``, ``precision``, ``recall``, ``f1`` (each
        followed by its limits ``_low`` and ``_high``) and ``support``. Intervals are Wilson's for the precision and
        recall of each class and for the average recall, which is the accuracy. The others are BCa without the
        small-sample quantile.

    Raises
    ------
    InputError
        If a class is absent from `y_true`, `pos_label` is neither class, `y_pred` contains another class, or
        lengths differ.

    Notes
    -----
    Simulated coverage of the 95 % interval of F1 at an AUC of 0.5 to 0.9: 93 to 97 % for 8 and 11 patients, 94 to 96 %
    for more. Wilson's interval for the precision takes the number of positive predictions as fixed. If instead the
    sizes of both classes are fixed by design, the interval is conservative (coverage 98 to 99 %).

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    Model 3 of the paper, which predicted the same class for 18 of 19 patients:

    >>> import numpy as np
    >>> from sklearn_pspd.statistics import classification_table
    >>> y_true = np.repeat([0, 1], [8, 11])
    >>> y_pred = np.repeat([1, 0, 1], [8, 1, 10])
    >>> table = classification_table(y_true, y_pred, zero_division=0, random_state=0)
    >>> table[["class", "precision", "recall", "f1", "support"]].round(2)
         class  precision  recall    f1  support
    0       PD       0.00    0.00  0.00        8
    1     PsPD       0.56    0.91  0.69       11
    2  average       0.32    0.53  0.40       19
    """
    is_positive, is_predicted_positive = check_predictions(y_true, y_pred, pos_label)
    level = {"confidence_level": confidence_level}
    resampling = Resampling(confidence_level, n_resamples, random_state, (0.0, 1.0), False)
    rows = []
    for name, true, predicted in _masks_by_class(labels, is_positive, is_predicted_positive):
        rows.append(_table_row(name, *_class_estimates(true, predicted, zero_division, resampling), int(true.sum())))
    average = weighted_average(is_positive, is_predicted_positive, zero_division)
    precision, f1 = (
        bootstrap(average(metric), is_positive, resampling) for metric in (weighted_precision, weighted_f1)
    )
    accuracy = proportion(int((is_positive == is_predicted_positive).sum()), len(is_positive), **level)
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
    variance_factor=1.0,
):
    """Tabulate all metrics of one model with their intervals.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    y_score : array-like of shape (n_patients,)
        Probability of the positive class, in [0, 1].
    threshold : float or array-like of shape (n_patients,)
        A patient is classified as positive if the score is at least the threshold. One threshold for all patients, or
        one per patient (such as the threshold of the patient's fold). It must not be chosen on these patients.
    labels : tuple of str, default=("PD", "PsPD")
        Names of the negative and the positive class in the table.
    pos_label : int, str or bool, default=1
        The positive class.
    zero_division : float, default=nan
        Precision of a class that is never predicted.
    confidence_level : float, default=0.95
        Coverage of the intervals, in (0, 1).
    n_resamples : int, default=2000
        Number of bootstrap resamples, for metrics without an interval in closed form.
    random_state : int, RandomState instance or None, default=None
        Seed of the resamples.
    variance_factor : float, default=1.0
        Ratio of each variance to the variance with independent patients, for example in a cross-validation, where
        training sets overlap. With a ratio other than 1, the intervals of AUPRC and F1 are normal intervals on the
        logit scale with the bootstrap standard deviation, instead of BCa.

    Returns
    -------
    DataFrame
        Columns ``metric``, ``class``, ``value``, ``low``, ``high``, ``method``. Metrics ``auc``,
        ``average_precision``, ``brier``, ``accuracy`` and ``specificity`` have one row with an empty class;
        ``precision``, ``recall`` and ``f1`` have one row per class.

    Raises
    ------
    InputError
        If a class is absent, `pos_label` is neither class, a score or a threshold is not finite, a score is outside
        [0, 1], or lengths differ.

    Examples
    --------
    >>> from sklearn_pspd.statistics import score_table
    >>> table = score_table([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], threshold=0.5, random_state=0)
    >>> table.loc[table["metric"] == "accuracy", "value"].item()
    0.75
    """
    # Classes, scores and the settings of all intervals.
    is_positive, score = check_scores(y_true, y_score, pos_label)
    is_predicted_positive = score >= check_threshold(threshold, score)
    level = {"confidence_level": widened_level(confidence_level, variance_factor)}
    resampling = Resampling(confidence_level, n_resamples, random_state, (0.0, 1.0), False, variance_factor)
    # Metrics of the scores, and of both classes together.
    auprc = bootstrap(
        weighted_average_precision(is_positive, score),
        is_positive,
        resampling._replace(small_sample=True),
        is_degenerate=is_separated(is_positive, score),
    )
    rows = [
        ("auc", "", roc_auc(is_positive, score, **level)),
        ("average_precision", "", auprc),
        ("brier", "", brier_score(is_positive, score, **level)),
        ("accuracy", "", proportion(int((is_positive == is_predicted_positive).sum()), len(score), **level)),
        (
            "specificity",
            "",
            proportion(int((~is_positive & ~is_predicted_positive).sum()), int((~is_positive).sum()), **level),
        ),
    ]
    # Metrics of each class.
    for name, true, predicted in _masks_by_class(labels, is_positive, is_predicted_positive):
        estimates = _class_estimates(true, predicted, zero_division, resampling)
        rows += [(metric, name, estimate) for metric, estimate in zip(CLASS_METRICS, estimates, strict=True)]
    return pd.DataFrame([{"metric": metric, "class": name, **estimate._asdict()} for metric, name, estimate in rows])


def fold_table(y_true, y_score, fold, *, pos_label=1):
    """Tabulate the AUC and AUPRC of each fold, their means over folds, and their values for the pooled scores.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    y_score : array-like of shape (n_patients,)
        Out-of-fold scores, higher for the positive class.
    fold : array-like of shape (n_patients,)
        The fold in whose test set the patient is.
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    DataFrame
        Columns ``fold`` (in order, then "mean" and "pooled"), ``n``, ``n_positive``, ``auc``, ``average_precision``.
        Folds with one class have NaN and are excluded from the mean.

    Raises
    ------
    InputError
        If a class is absent, `pos_label` is neither class, a score is not finite, or lengths differ.

    Notes
    -----
    The mean over folds compares only patients of the same fold. The pooled value also compares patients scored by
    different fits, so it is lower if the level of the scores differs between folds. The "micro-average" AUPRC of the
    released script is neither of them; it is the AUPRC of the last fold [1]_.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> from sklearn_pspd.statistics import fold_table
    >>> fold_table([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.8], [1, 1, 2, 2])
         fold  n  n_positive   auc  average_precision
    0       1  2           1  1.00           1.000000
    1       2  2           1  1.00           1.000000
    2    mean  4           2  1.00           1.000000
    3  pooled  4           2  0.75           0.833333
    """
    is_positive, score = check_scores(y_true, y_score, pos_label)
    fold = np.asarray(fold)
    if fold.shape != score.shape:
        raise InputError(f"fold must have one entry per patient; got shape {fold.shape} for {len(score)} patients")
    rows = [_fold_row(name, is_positive[fold == name], score[fold == name]) for name in np.unique(fold)]
    pooled = _fold_row("pooled", is_positive, score)
    mean = {**pooled, "fold": "mean"}
    for metric in ("auc", "average_precision"):
        defined = [row[metric] for row in rows if not np.isnan(row[metric])]
        mean[metric] = float(np.mean(defined)) if defined else float("nan")
    return pd.DataFrame([*rows, mean, pooled])


def _masks_by_class(labels, is_positive, is_predicted_positive):
    """Return the name of each class, and which patients are in it and are predicted to be in it."""
    return (labels[0], ~is_positive, ~is_predicted_positive), (labels[1], is_positive, is_predicted_positive)


def _class_estimates(true, predicted, zero_division, resampling):
    """Return precision, recall and F1 of one class, in the order of `CLASS_METRICS`."""
    level = {"confidence_level": widened_level(resampling.confidence_level, resampling.variance_factor)}
    n_correct, n_predicted, n_true = (int(mask.sum()) for mask in (true & predicted, predicted, true))
    precision = proportion(n_correct, n_predicted, **level)
    if n_predicted == 0:
        precision = precision._replace(value=float(zero_division))
    f1 = bootstrap(weighted_f1(true, predicted), true, resampling)
    return precision, proportion(n_correct, n_true, **level), f1


def _table_row(name, precision, recall, f1, support):
    row = {"class": name}
    for metric, estimate in zip(CLASS_METRICS, (precision, recall, f1), strict=True):
        row.update({metric: estimate.value, f"{metric}_low": estimate.low, f"{metric}_high": estimate.high})
    return {**row, "support": support}


def _fold_row(name, is_positive, score):
    n, n_positive = len(score), int(is_positive.sum())
    row = {"fold": name, "n": n, "n_positive": n_positive, "auc": float("nan"), "average_precision": float("nan")}
    if 0 < n_positive < n:
        weights = np.ones((1, n))
        row["auc"] = float(weighted_auc(is_positive, score)(weights)[0])
        row["average_precision"] = float(weighted_average_precision(is_positive, score)(weights)[0])
    return row
