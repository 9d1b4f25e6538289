"""Rules for the threshold of a classifier, as scores to maximise on training patients.

Each is a function of true and called classes (0 = PD, 1 = PsPD) for
:class:`sklearn.model_selection.TunedThresholdClassifierCV`, which learns the threshold from out-of-fold scores of the
training site and freezes it: ``TunedThresholdClassifierCV(model, scoring=make_scorer(youden_score))``.
"""

import numpy as np
from sklearn.metrics import roc_curve


def equal_error_score(y_true, y_pred):
    """Score how close sensitivity and specificity are: minus their distance, the paper's rule [1]_.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_patients,)
        True and called classes, 0 and 1.

    Returns
    -------
    float
        In [-1, 0].

    Notes
    -----
    The paper applies the rule to the test set; see :func:`optimistic_threshold`.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> from sklearn_pspd.model_selection import equal_error_score
    >>> equal_error_score([0, 0, 1, 1], [0, 1, 1, 1])
    -0.5
    """
    sensitivity, specificity = _sensitivity_and_specificity(y_true, y_pred)
    return -abs(sensitivity - specificity)


def youden_score(y_true, y_pred):
    """Score sensitivity plus specificity minus one, Youden's index [1]_.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_patients,)
        True and called classes, 0 and 1.

    Returns
    -------
    float
        In [-1, 1]; 0 by chance.

    References
    ----------
    .. [1] Youden WJ. Index for rating diagnostic tests. Cancer 3, 32-35 (1950).

    Examples
    --------
    >>> from sklearn_pspd.model_selection import youden_score
    >>> youden_score([0, 0, 1, 1], [0, 1, 1, 1])
    0.5
    """
    sensitivity, specificity = _sensitivity_and_specificity(y_true, y_pred)
    return sensitivity + specificity - 1


def fixed_sensitivity_score(y_true, y_pred, *, sensitivity=0.9):
    """Score the specificity where the sensitivity for PsPD is at least as asked; below, the shortfall.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_patients,)
        True and called classes, 0 and 1.
    sensitivity : float, default=0.9
        In (0, 1].

    Returns
    -------
    float
        In [-1, 1].

    Raises
    ------
    ValueError
        If the sensitivity asked for is not in (0, 1].

    Examples
    --------
    >>> from sklearn.metrics import make_scorer
    >>> from sklearn_pspd.model_selection import fixed_sensitivity_score
    >>> scorer = make_scorer(fixed_sensitivity_score, sensitivity=0.95)
    >>> fixed_sensitivity_score([0, 0, 1, 1], [0, 1, 1, 1])
    0.5
    """
    if not 0 < sensitivity <= 1:
        raise ValueError(f"sensitivity lies in (0, 1]; got {sensitivity}")
    reached, specificity = _sensitivity_and_specificity(y_true, y_pred)
    return specificity if reached >= sensitivity else reached - sensitivity


def cost_score(y_true, y_pred, *, cost_missed_pspd=1.0, cost_missed_pd=1.0):
    """Score minus the mean cost of wrong calls.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_patients,)
        True and called classes, 0 and 1.
    cost_missed_pspd : float, default=1.0
        Of a patient with PsPD called PD, who may lose a therapy that works.
    cost_missed_pd : float, default=1.0
        Of a patient with PD called PsPD, whose change of therapy may come late.

    Returns
    -------
    float
        At most 0.

    Raises
    ------
    ValueError
        If a cost is negative.

    Examples
    --------
    >>> from sklearn_pspd.model_selection import cost_score
    >>> cost_score([0, 0, 1, 1], [0, 1, 1, 1], cost_missed_pd=4.0)
    -1.0
    """
    if min(cost_missed_pspd, cost_missed_pd) < 0:
        raise ValueError(f"costs are not negative; got {cost_missed_pspd} and {cost_missed_pd}")
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    missed_pspd, missed_pd = np.mean((y_true == 1) & (y_pred == 0)), np.mean((y_true == 0) & (y_pred == 1))
    return float(-(cost_missed_pspd * missed_pspd + cost_missed_pd * missed_pd))


def optimistic_threshold(y_true, y_score):
    """Find the paper's threshold on the very patients that are to be called: **optimistic, for reproduction only**.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD, both present.
    y_score : array-like of shape (n_patients,)
        Probability of PsPD.

    Returns
    -------
    float
        The score of a patient at which sensitivity and specificity are nearest to each other.

    Notes
    -----
    A threshold from the test set has seen its outcomes: sensitivity and specificity at it are too good. Learn it from
    training patients instead, with :class:`~sklearn.model_selection.TunedThresholdClassifierCV`.

    Examples
    --------
    >>> from sklearn_pspd.model_selection import optimistic_threshold
    >>> optimistic_threshold([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.4
    """
    false_positive, true_positive, thresholds = roc_curve(y_true, y_score, drop_intermediate=False)
    distance = np.abs(true_positive - (1 - false_positive))
    # The first point calls nobody, at a threshold of infinity.
    return float(thresholds[1 + np.argmin(distance[1:])])


def _sensitivity_and_specificity(y_true, y_pred):
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    for outcome, name in ((0, "PD (0)"), (1, "PsPD (1)")):
        if not np.any(y_true == outcome):
            raise ValueError(f"y_true holds no {name}; the threshold needs patients of both classes")
    return float(np.mean(y_pred[y_true == 1] == 1)), float(np.mean(y_pred[y_true == 0] == 0))
