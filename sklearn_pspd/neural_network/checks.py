"""Checks of rows, classes and weights of patients before a fit."""

import numpy as np
import pandas as pd
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import type_of_target

from sklearn_pspd.exceptions import InputError


def as_plain_labels(y):
    """Return labels in a type that scikit-learn keeps: whole numbers stay whole numbers.

    Parameters
    ----------
    y : array-like of shape (n_patients,)
        Labels.

    Returns
    -------
    array-like
        An array of integers or Python strings if `y` is nullable in pandas (``Int64``, ``boolean``, pyarrow) or has
        NumPy's ``StringDType``; otherwise `y`. Missing labels are left to scikit-learn, which refuses them.
    """
    kind = getattr(getattr(y, "dtype", None), "kind", None)
    if kind == "T":
        return np.array(y.tolist(), dtype=object)
    if isinstance(y, pd.Series) and pd.api.types.is_extension_array_dtype(y.dtype) and not y.isna().any():
        if pd.api.types.is_bool_dtype(y.dtype):
            return y.to_numpy(dtype=bool)
        if pd.api.types.is_integer_dtype(y.dtype):
            return y.to_numpy(dtype=np.int64)
    return y


def check_classes(y, classes, estimator_name):
    """Raise unless there are two classes.

    Parameters
    ----------
    y : ndarray of shape (n_patients,)
        Labels.
    classes : ndarray
        Their distinct values.
    estimator_name : str
        Name of the classifier, for the error.

    Raises
    ------
    InputError
        If there are not two classes.
    """
    if len(classes) > 2:
        raise InputError(
            f"Only binary classification is supported. The type of the target is {type_of_target(y)}: "
            f"{len(classes)} classes, {classes[:5].tolist()}."
        )
    if len(classes) < 2:
        raise InputError(
            f"{estimator_name} needs two classes; y (rows with a sample_weight above zero) has one class: "
            f"{classes.tolist()}"
        )


def weigh_rows(y, sample_weight, class_weight):
    """Return the weights of the rows in training, the largest of which is 1, and the rows that take part.

    Parameters
    ----------
    y : ndarray of shape (n_patients,)
        Labels.
    sample_weight : ndarray of shape (n_patients,)
        Weights of the patients, at least one of them above zero.
    class_weight : dict, "balanced" or None
        Weights of the classes. Those of "balanced" are computed from the rows with a weight above zero.

    Returns
    -------
    sample_weight : ndarray of shape (n_patients,)
        Weights, divided by the largest. The loss is a weighted mean, so that only ratios have an effect.
    rows : ndarray of int
        Rows with a weight above zero.

    Raises
    ------
    InputError
        If `class_weight` has a weight that is negative or not finite, or leaves no row.
    """
    rows = np.flatnonzero(sample_weight > 0)
    if class_weight is not None:
        by_class = compute_sample_weight(class_weight, y[rows])
        if not (np.all(np.isfinite(by_class)) and np.all(by_class >= 0)):
            raise InputError(f"class_weight={class_weight!r} must have finite weights that are not negative")
        sample_weight = sample_weight.copy()
        sample_weight[rows] *= by_class
        rows = np.flatnonzero(sample_weight > 0)
        if not len(rows):
            raise InputError(f"class_weight={class_weight!r} gives all patients a weight of zero")
    return sample_weight / sample_weight.max(), rows


def check_same(before, now, names, what):
    """Raise if fields of a network specification changed since the previous fit.

    Parameters
    ----------
    before, now : NetworkSpec
        Specification of the previous fit, and that of the parameters as they are set now.
    names : iterable of str
        Fields that must be equal.
    what : str
        What needs them to be equal, for the error.

    Raises
    ------
    InputError
        If one differs.
    """
    changed = [
        f"{name} was {getattr(before, name)!r} and is {getattr(now, name)!r}"
        for name in names
        if getattr(before, name) != getattr(now, name)
    ]
    if changed:
        raise InputError(
            f"{what} continues the previous fit, but parameters have changed: {'; '.join(changed)}. Set them back, or "
            "fit a new classifier"
        )
