"""Placements within folds, and the covariance of AUCs whose folds share training patients."""

from typing import NamedTuple

import numpy as np

from sklearn_pspd.exceptions import InputError

from .checks import check_labels
from .intervals import placements, shared_training_factor


class FoldDesign(NamedTuple):
    """Which scores may be compared with one another, and which of them belong to one patient.

    Attributes
    ----------
    is_positive : ndarray of bool of shape (n_rows,)
        True for the positive class.
    folds : list of ndarray of int
        Rows of each fold; each has both classes.
    patient : ndarray of int of shape (n_rows,)
        Code of the patient of each row, from 0.
    n_positive, n_negative : int
        Patients with at least one positive row, and with at least one negative row.
    factor : float
        Factor by which shared training patients increase variances; 1 for one fold.
    """

    is_positive: np.ndarray
    folds: list
    patient: np.ndarray
    n_positive: int
    n_negative: int
    factor: float


def fold_design(is_positive, fold=None, patient=None):
    """Check folds and patients, and return them as a design.

    Parameters
    ----------
    is_positive : ndarray of bool of shape (n_rows,)
        True for the positive class; both classes present.
    fold : array-like of shape (n_rows,), default=None
        The fold in whose test set the row is, with another name in each repetition. None for one fit that scored all
        rows.
    patient : array-like of shape (n_rows,), default=None
        The patient of each row. None if each row is another patient.

    Returns
    -------
    FoldDesign
        Rows of the folds, codes of the patients and the factor of the variance.

    Raises
    ------
    InputError
        If lengths differ, an entry is missing, a fold has one class only, or no fold has two patients of one class.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.statistics.fold_design import fold_design
    >>> design = fold_design(np.array([True, False] * 6), np.repeat([1, 2, 3], 4))
    >>> len(design.folds), design.n_positive, design.factor
    (3, 6, 2.5)
    """
    n_rows = len(is_positive)
    fold = np.zeros(n_rows, dtype=np.intp) if fold is None else fold
    patient = np.arange(n_rows) if patient is None else patient
    _, fold, patient = check_labels(y_true=is_positive, fold=fold, patient=patient)
    names, fold_codes = np.unique(fold, return_inverse=True)
    codes = np.unique(patient, return_inverse=True)[1]
    folds = [np.flatnonzero(fold_codes == code) for code in range(len(names))]
    n_positive, n_negative = (len(np.unique(codes[mask])) for mask in (is_positive, ~is_positive))
    if len(names) > 1:
        _check_folds(is_positive, folds, names, min(n_positive, n_negative))
    # The proportion of patients in the test set of a fold; the others train the model that scores them.
    held_out = np.mean([len(np.unique(codes[rows])) for rows in folds]) / (codes.max() + 1)
    factor = shared_training_factor(1 / held_out, 1 - held_out, held_out) if held_out < 1 else 1.0
    return FoldDesign(is_positive, folds, codes, n_positive, n_negative, float(factor))


def placements_within(design, score):
    """Return the mean over folds of the AUC, and the placement of each row within its fold.

    Parameters
    ----------
    design : FoldDesign
        Folds and patients.
    score : ndarray of shape (n_rows,)
        Finite; a tie counts as one half.

    Returns
    -------
    auc : float
        Mean over folds.
    placement : ndarray of shape (n_rows,)
        Proportion of patients of the other class of the fold ranked correctly against this row.
    """
    placement, aucs = np.empty(len(score)), []
    for rows in design.folds:
        is_positive = design.is_positive[rows]
        above, below = placements(is_positive, score[rows])
        placement[rows[is_positive]], placement[rows[~is_positive]] = above, below
        aucs.append(above.mean())
    return float(np.mean(aucs)), placement


def weights_of_rows(design):
    """Return the weight of each row's placement in the mean of the folds' AUCs; they sum to 1 in each class."""
    weights = np.empty(len(design.is_positive))
    for rows in design.folds:
        for of_class in (rows[design.is_positive[rows]], rows[~design.is_positive[rows]]):
            weights[of_class] = 1 / (len(design.folds) * len(of_class))
    return weights


def influences(design, placement):
    """Return the influence of each row on the mean of the folds' AUCs; they sum to 0 in each class.

    Parameters
    ----------
    design : FoldDesign
        Folds and patients.
    placement : ndarray of shape (n_rows,)
        Placements within the folds, or a difference of those of two models.

    Returns
    -------
    ndarray of shape (n_rows,)
        Placement minus the mean AUC of the folds, weighted.
    """
    weights = weights_of_rows(design)
    return weights * (placement - np.sum((weights * placement)[design.is_positive]))


def auc_covariance(design, row_influences):
    """Return the covariance matrix of several AUCs of the same patients.

    Parameters
    ----------
    design : FoldDesign
        Folds and patients.
    row_influences : ndarray of shape (n_aucs, n_rows)
        As returned by :func:`influences`, one row of the array per model or replicate.

    Returns
    -------
    ndarray of shape (n_aucs, n_aucs)
        DeLong's covariances with one fold and one row per patient; otherwise from the sums of influences of each
        patient, as for clustered data [1]_, times the factor of shared training patients.

    References
    ----------
    .. [1] Obuchowski NA. Nonparametric analysis of clustered ROC curve data. Biometrics 53, 567-578 (1997).
    """
    masks = design.is_positive, ~design.is_positive
    positive, negative = (sum_by_patient(design, np.where(mask, row_influences, 0.0)) for mask in masks)
    sizes = design.n_positive, design.n_negative, design.patient.max() + 1
    of_positive, of_negative, of_all = (size / max(size - 1, 1) for size in sizes)
    # A patient may have lesions of both classes.
    mixed = positive @ negative.T
    matrix = of_positive * positive @ positive.T + of_negative * negative @ negative.T + of_all * (mixed + mixed.T)
    return design.factor * matrix


def sum_by_patient(design, values):
    """Return the sums over the rows of each patient.

    Parameters
    ----------
    design : FoldDesign
        Folds and patients.
    values : ndarray of shape (..., n_rows)
        One value per row.

    Returns
    -------
    ndarray of shape (..., n_patients)
        The sums.
    """
    order = np.argsort(design.patient, kind="stable")
    starts = np.searchsorted(design.patient[order], np.arange(design.patient.max() + 1))
    return np.add.reduceat(values[..., order], starts, axis=-1)


def _check_folds(is_positive, folds, names, n_smallest):
    """Refuse folds in which an AUC, or its variance, is not defined."""
    counts = np.array([(is_positive[rows].sum(), (~is_positive[rows]).sum()) for rows in folds])
    one_class = names[counts.min(axis=1) == 0]
    advice = (
        f"use stratified folds, fewer than half as many as there are patients in the smaller class ({n_smallest}), or "
        "leave pairs out"
    )
    if len(one_class):
        listed = ", ".join(map(str, one_class[:10].tolist())) + (", ..." if len(one_class) > 10 else "")
        raise InputError(
            f"{len(one_class)} of {len(folds)} folds have patients of one class only (fold {listed}) and therefore no "
            f"AUC; scores of different folds come from different fits and cannot be ranked together: {advice}"
        )
    if counts.min(axis=1).max() == 1:
        raise InputError(
            f"each of the {len(folds)} folds has a single patient of a class, so that the variance between patients "
            f"cannot be estimated within folds: {advice}"
        )
