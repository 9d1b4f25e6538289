"""Points of ROC and precision-recall curves: of one set of scores, of each fold, and the mean over folds."""

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve


def roc_points(y_true, y_score):
    """Return the points of an ROC curve.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD, both present.
    y_score : array-like of shape (n_patients,)
        Probability of PsPD.

    Returns
    -------
    false_positive, true_positive : ndarray of shape (n_points,)
        Rates from (0, 0) to (1, 1), to be joined by straight lines; the area below is the AUC.

    Examples
    --------
    >>> from sklearn_pspd.plotting.score_curves import roc_points
    >>> [rates.tolist() for rates in roc_points([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.8])]
    [[0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0]]
    """
    false_positive, true_positive, _ = roc_curve(y_true, y_score)
    return false_positive, true_positive


def precision_recall_points(y_true, y_score):
    """Return the steps of a precision-recall curve.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD, both present.
    y_score : array-like of shape (n_patients,)
        Probability of PsPD.

    Returns
    -------
    recall, precision : ndarray of shape (n_points,)
        Recall from 0 to 1; each precision holds from the recall before up to its own (``drawstyle="steps-pre"``). The
        area below is the average precision.

    Notes
    -----
    The first precision holds from a recall of 0 on. The point of recall 0 and precision 1, which
    :func:`sklearn.metrics.precision_recall_curve` adds, belongs to no threshold and is left out.

    Examples
    --------
    >>> from sklearn_pspd.plotting.score_curves import precision_recall_points
    >>> recall, precision = precision_recall_points([0, 1, 0, 1], [0.1, 0.4, 0.8, 0.9])
    >>> recall.tolist(), precision.round(2).tolist()
    ([0.0, 0.5, 1.0], [1.0, 1.0, 0.67])
    """
    precision, recall, _ = precision_recall_curve(y_true, y_score)
    # From the highest threshold on: of several thresholds with the same recall, the first has the best precision.
    level, first = np.unique(recall[-2::-1], return_index=True)
    level, value = level[level > 0], precision[-2::-1][first[level > 0]]
    return np.concatenate([[0.0], level]), np.concatenate([value[:1], value])


def fold_curves(scores, points):
    """Return the curve of each fold in which both outcomes occur.

    Parameters
    ----------
    scores : DataFrame
        Scores of one model in a cross-validation: ``fold``, ``y_true`` and ``y_score``.
    points : callable
        :func:`roc_points` or :func:`precision_recall_points`.

    Returns
    -------
    dict of int to tuple of ndarray
        The points of each curve, by fold.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.plotting.score_curves import fold_curves, roc_points
    >>> scores = pd.DataFrame({"fold": [1, 1, 2], "y_true": [0, 1, 1], "y_score": [0.2, 0.7, 0.4]})
    >>> list(fold_curves(scores, roc_points))
    [1]
    """
    return {
        fold: points(rows["y_true"], rows["y_score"])
        for fold, rows in scores.groupby("fold")
        if rows["y_true"].nunique() == 2
    }


def mean_roc(curves):
    """Average ROC curves vertically: the mean true positive rate at each false positive rate.

    Parameters
    ----------
    curves : sequence of tuple of ndarray
        As :func:`roc_points` returns them.

    Returns
    -------
    false_positive, true_positive : ndarray of shape (n_points,)
        The mean curve on the grid of all false positive rates at which a curve bends. Each is there twice, with the
        mean below and above the step, so that the area below the mean curve is the mean of the AUCs.

    Examples
    --------
    >>> from sklearn_pspd.plotting.score_curves import mean_roc, roc_points
    >>> best, worst = roc_points([0, 1], [0.2, 0.7]), roc_points([0, 1], [0.7, 0.2])
    >>> [rates.tolist() for rates in mean_roc([best, worst])]
    [[0.0, 0.0, 1.0, 1.0], [0.0, 0.5, 0.5, 1.0]]
    """
    grid = np.unique(np.concatenate([x for x, _ in curves]))
    # Where a curve is vertical, interpolation takes the upper end; from the right to the left, it takes the lower end.
    above = np.mean([np.interp(grid, x, y) for x, y in curves], axis=0)
    below = np.mean([np.interp(-grid, -x[::-1], y[::-1]) for x, y in curves], axis=0)
    # Neither curve falls; rounding must not make their mean fall.
    return np.repeat(grid, 2), np.maximum.accumulate(np.column_stack([below, above]).ravel())


def mean_precision_recall(curves):
    """Average precision-recall curves vertically: the mean precision at each recall.

    Parameters
    ----------
    curves : sequence of tuple of ndarray
        As :func:`precision_recall_points` returns them.

    Returns
    -------
    recall, precision : ndarray of shape (n_points,)
        The steps of the mean curve on the grid of all recalls; the area below is the mean of the average precisions.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.plotting.score_curves import mean_precision_recall
    >>> curves = [(np.array([0, 1]), np.array([1, 1])), (np.array([0, 0.5, 1]), np.array([1, 1, 0.5]))]
    >>> [steps.tolist() for steps in mean_precision_recall(curves)]
    [[0.0, 0.5, 1.0], [1.0, 1.0, 0.75]]
    """
    grid = np.unique(np.concatenate([x for x, _ in curves]))
    steps = [y[np.maximum(np.searchsorted(x, grid), 1)] for x, y in curves]
    return grid, np.mean(steps, axis=0)


def curve_table(curves):
    """Tabulate curves.

    Parameters
    ----------
    curves : dict of tuple of str to tuple of ndarray
        Points by model and kind of curve.

    Returns
    -------
    DataFrame
        One row per point: ``model``, ``curve``, ``x`` and ``y``.

    Examples
    --------
    >>> from sklearn_pspd.plotting.score_curves import curve_table
    >>> curve_table({("forest", "roc"): ([0, 1], [0, 1])})
        model curve  x  y
    0  forest   roc  0  0
    1  forest   roc  1  1
    """
    tables = [pd.DataFrame({"model": model, "curve": kind, "x": x, "y": y}) for (model, kind), (x, y) in curves.items()]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["model", "curve", "x", "y"])
