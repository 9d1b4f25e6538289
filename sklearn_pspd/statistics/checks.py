"""Checks of classes, scores and predictions, one entry per patient."""

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError


def check_labels(**columns):
    """Check that all columns have one entry per patient, none of them missing, and return them as arrays.

    Parameters
    ----------
    **columns : array-like of shape (n_patients,)
        Columns; errors show the names of the arguments.

    Returns
    -------
    list of ndarray
        In the order given.

    Raises
    ------
    InputError
        If lengths differ, a column is empty or not one-dimensional, or an entry is missing.

    Examples
    --------
    >>> from sklearn_pspd.statistics.checks import check_labels
    >>> check_labels(y_true=[0, 1], y_pred=[0])
    Traceback (most recent call last):
        ...
    sklearn_pspd.exceptions.InputError: expected one entry per patient, ...; got y_true (2,), y_pred (1,)
    """
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1 or any(array.ndim != 1 or not len(array) for array in arrays.values()):
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError(f"expected one entry per patient, in one-dimensional arrays of equal length; got {listed}")
    for name, array in arrays.items():
        if pd.isna(array).any():
            raise InputError(f"{name} has {int(pd.isna(array).sum())} of {len(array)} entries missing (NaN)")
    return list(arrays.values())


def check_classes(y_true, pos_label):
    """Check that there are two classes and that `pos_label` is one of them, and return which patients are positive.

    Parameters
    ----------
    y_true : ndarray of shape (n_patients,)
        Classes, none missing.
    pos_label : int, str or bool
        The positive class.

    Returns
    -------
    ndarray of bool of shape (n_patients,)
        True for the positive class.

    Raises
    ------
    InputError
        If a class is absent or `pos_label` is neither class.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.statistics.checks import check_classes
    >>> check_classes(np.array(["PD", "PsPD"]), "PsPD").tolist()
    [False, True]
    """
    classes = pd.unique(pd.Series(y_true)).tolist()
    if len(classes) != 2:
        raise InputError(f"y_true must contain exactly two classes; got {len(classes)}: {classes[:5]}")
    if pos_label not in classes:
        raise InputError(f"pos_label={pos_label!r} is neither of the classes {classes}")
    return y_true == pos_label


def check_scores(y_true, y_score, pos_label):
    """Check classes and scores, and return which patients are positive and the scores as float64.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    y_score : array-like of shape (n_patients,)
        Finite numbers.
    pos_label : int, str or bool
        The positive class.

    Returns
    -------
    is_positive : ndarray of bool of shape (n_patients,)
        True for the positive class.
    score : ndarray of shape (n_patients,)
        The scores.

    Raises
    ------
    InputError
        If a class is absent, `pos_label` is neither class, a score is not finite, or lengths differ.

    Examples
    --------
    >>> from sklearn_pspd.statistics.checks import check_scores
    >>> is_positive, score = check_scores([0, 1], [0.2, 0.7], 1)
    >>> is_positive.tolist(), score.tolist()
    ([False, True], [0.2, 0.7])
    """
    y_true, score = check_labels(y_true=y_true, y_score=np.asarray(y_score, dtype=np.float64))
    if not np.isfinite(score).all():
        raise InputError(
            f"y_score has {np.count_nonzero(~np.isfinite(score))} of {len(score)} values that are not finite"
        )
    return check_classes(y_true, pos_label), score


def check_probabilities(y_true, y_prob, pos_label):
    """Check classes and probabilities, and return which patients are positive and the probabilities as float64.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    y_prob : array-like of shape (n_patients,)
        Probability of the positive class, in [0, 1].
    pos_label : int, str or bool
        The positive class.

    Returns
    -------
    is_positive : ndarray of bool of shape (n_patients,)
        True for the positive class.
    prob : ndarray of shape (n_patients,)
        The probabilities.

    Raises
    ------
    InputError
        If a class is absent, `pos_label` is neither class, a probability is outside [0, 1], or lengths differ.

    Examples
    --------
    >>> from sklearn_pspd.statistics.checks import check_probabilities
    >>> check_probabilities([0, 1], [0.2, 1.7], 1)
    Traceback (most recent call last):
        ...
    sklearn_pspd.exceptions.InputError: probabilities must lie in [0, 1]; got 0.2 to 1.7
    """
    is_positive, prob = check_scores(y_true, y_prob, pos_label)
    if prob.min() < 0 or prob.max() > 1:
        raise InputError(f"probabilities must lie in [0, 1]; got {prob.min():g} to {prob.max():g}")
    return is_positive, prob


def check_predictions(y_true, y_pred, pos_label):
    """Check classes and predictions, and return which patients are positive and which are predicted positive.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    y_pred : array-like of shape (n_patients,)
        Predicted classes, among those of `y_true`.
    pos_label : int, str or bool
        The positive class.

    Returns
    -------
    is_positive, is_predicted_positive : ndarray of bool of shape (n_patients,)
        True for the positive class.

    Raises
    ------
    InputError
        If a class is absent, `pos_label` is neither class, `y_pred` contains another class, or lengths differ.

    Examples
    --------
    >>> from sklearn_pspd.statistics.checks import check_predictions
    >>> [mask.tolist() for mask in check_predictions(["PD", "PsPD"], ["PD", "PD"], "PsPD")]
    [[False, True], [False, False]]
    """
    y_true, y_pred = check_labels(y_true=y_true, y_pred=y_pred)
    is_positive = check_classes(y_true, pos_label)
    unknown = ~np.isin(y_pred, y_true)
    if unknown.any():
        raise InputError(f"y_pred contains {y_pred[unknown][:5].tolist()}, which do not occur in y_true")
    return is_positive, y_pred == pos_label


def check_threshold(threshold, score):
    """Check a threshold and return it as float64.

    Parameters
    ----------
    threshold : float or array-like of shape (n_patients,)
        One threshold for all patients, or one per patient; finite.
    score : ndarray of shape (n_patients,)
        The scores to which it applies.

    Returns
    -------
    ndarray of shape () or (n_patients,)
        The threshold.

    Raises
    ------
    InputError
        If the threshold has another shape or is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.statistics.checks import check_threshold
    >>> float(check_threshold(0.5, np.array([0.2, 0.7])))
    0.5
    """
    threshold = np.asarray(threshold, dtype=np.float64)
    if threshold.shape not in ((), score.shape):
        raise InputError(
            f"threshold must be one number, or one per patient ({len(score)}); got shape {threshold.shape}"
        )
    if not np.isfinite(threshold).all():
        raise InputError("threshold must be finite; to classify every patient as positive, set it to 0")
    return threshold
