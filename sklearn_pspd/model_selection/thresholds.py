"""Rules for the threshold of a classifier, as scores to maximise on training patients.

Each is a function of true and called classes (0 = PD, 1 = PsPD) for
:class:`sklearn.model_selection.TunedThresholdClassifierCV`, which learns the threshold from out-of-fold scores of the
training site and freezes it: ``TunedThresholdClassifierCV(model, scoring=make_scorer(youden_score))``.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import proportion
from sklearn_pspd.statistics.bootstrap import draw_weights
from sklearn_pspd.statistics.checks import check_scores

from .folds import CROSS_VALIDATION, EXTERNAL

TEST_SET_RULE = "equal_error, test set"
N_RESAMPLES = 2000


class LearnedThreshold(NamedTuple):
    """A threshold, and how much it owes to the patients at hand.

    Attributes
    ----------
    value : float
        Probability of PsPD from which on PsPD is called.
    low, high : float
        Ends of the central 95 % of the thresholds learned from bootstrap resamples of the same patients.
    """

    value: float
    low: float
    high: float


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
    return float(_equal_error(*_sensitivity_and_specificity(y_true, y_pred)))


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
    return float(_youden(*_sensitivity_and_specificity(y_true, y_pred)))


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
        raise InputError(f"sensitivity lies in (0, 1]; got {sensitivity}")
    return float(_fixed_sensitivity(*_sensitivity_and_specificity(y_true, y_pred), asked=sensitivity))


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
        raise InputError(f"costs are not negative; got {cost_missed_pspd} and {cost_missed_pd}")
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    missed_pspd, missed_pd = np.mean((y_true == 1) & (y_pred == 0)), np.mean((y_true == 0) & (y_pred == 1))
    return float(-(cost_missed_pspd * missed_pspd + cost_missed_pd * missed_pd))


def learn_threshold(y_true, y_score, *, rule="equal_error", n_resamples=N_RESAMPLES, random_state=None):
    """Learn a threshold from out-of-fold scores, with its spread: how much it owes to the patients at hand.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD, both present: training patients.
    y_score : array-like of shape (n_patients,)
        Probability of PsPD, each from a model that has not seen the patient, as
        :func:`~sklearn.model_selection.cross_val_predict` gives it.
    rule : {"equal_error", "youden", "fixed_sensitivity", "cost"} or callable, default="equal_error"
        What to maximise: sensitivity nearest to specificity (the paper's rule [1]_), Youden's index, specificity at a
        sensitivity for PsPD of 0.9, or minus the mean cost with equal costs. A callable takes arrays of sensitivity,
        specificity and the share of PsPD, and returns an array.
    n_resamples : int, default=2000
        Bootstrap resamples, each with as many patients of either outcome.
    random_state : int, RandomState instance or None, default=None
        Seed of the resamples.

    Returns
    -------
    LearnedThreshold
        ``value``, halfway between two neighbouring scores, the lowest of several equally good ones; PsPD is called from
        it on. ``low`` and ``high`` hold the central 95 % of the resamples' thresholds.

    Raises
    ------
    ValueError
        If an outcome is absent, a score is not finite, lengths differ, or there is no such rule.

    Notes
    -----
    For a classifier that carries its threshold along, use
    :class:`~sklearn.model_selection.TunedThresholdClassifierCV` with the scores of this module. The spread is no
    confidence interval: a threshold that maximises has an irregular distribution.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2. The paper takes the threshold from
       the test set; see :func:`optimistic_threshold`.

    Examples
    --------
    >>> from sklearn_pspd.model_selection import learn_threshold
    >>> threshold = learn_threshold([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.5, 0.4, 0.7, 0.9], random_state=0)
    >>> round(threshold.value, 2)
    0.45
    """
    is_positive, score = check_scores(y_true, y_score, 1)
    of_rule = _RULES.get(rule, rule) if isinstance(rule, str) else rule
    if not callable(of_rule):
        raise InputError(f"rule is callable or one of {', '.join(THRESHOLD_RULES)}; got {rule!r}")
    distinct = np.unique(score)
    # From the one that calls everybody to the one that calls nobody.
    nobody = np.nextafter(distinct[-1], np.inf)
    candidates = np.concatenate([[distinct[0]], (distinct[:-1] + distinct[1:]) / 2, [nobody]])
    weights = np.vstack([np.ones(len(score)), draw_weights(is_positive, n_resamples, random_state)])
    n_positive = int(is_positive.sum())
    called = score[:, np.newaxis] >= candidates
    sensitivity = weights[:, is_positive] @ called[is_positive] / n_positive
    specificity = weights[:, ~is_positive] @ ~called[~is_positive] / (len(score) - n_positive)
    # Equal sums of other summands differ in the last digits.
    value_of_candidate = np.round(of_rule(sensitivity, specificity, is_positive.mean()), 12)
    best = candidates[np.argmax(value_of_candidate, axis=1)]
    low, high = np.quantile(best[1:], [0.025, 0.975])
    return LearnedThreshold(float(best[0]), float(low), float(high))


def threshold_table(scores, rules, random_state):
    """Learn thresholds from the out-of-fold scores of every model, and apply them.

    Parameters
    ----------
    scores : DataFrame
        The ``scores`` of a :class:`~sklearn_pspd.model_selection.ModelComparison`.
    rules : sequence of str or callable
        As in :func:`learn_threshold`.
    random_state : int
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        As :meth:`~sklearn_pspd.model_selection.ModelComparison.thresholds` describes it.
    """
    rows = []
    for model, of_model in scores.groupby("model", sort=False):
        parts = dict(iter(of_model.groupby("evaluation", sort=False)))
        inside = parts[CROSS_VALIDATION]
        for rule in rules:
            learned = learn_threshold(inside["y_true"], inside["y_score"], rule=rule, random_state=random_state)
            name = rule if isinstance(rule, str) else getattr(rule, "__name__", type(rule).__name__)
            rows += [
                _applied(model, name, learned, evaluation, part, is_optimistic=part is inside)
                for evaluation, part in parts.items()
            ]
        if (outside := parts.get(EXTERNAL)) is not None:
            value = optimistic_threshold(outside["y_true"], outside["y_score"])
            seen = LearnedThreshold(value, np.nan, np.nan)
            rows.append(_applied(model, TEST_SET_RULE, seen, EXTERNAL, outside, is_optimistic=True))
    return pd.DataFrame(rows)


def _applied(model, rule, threshold, evaluation, scores, *, is_optimistic):
    is_positive = scores["y_true"].to_numpy() == 1
    is_called = scores["y_score"].to_numpy() >= threshold.value
    row = {"model": model, "rule": rule, "threshold": threshold.value, "low": threshold.low, "high": threshold.high}
    row["evaluation"] = evaluation
    for name, right in (("sensitivity", is_called[is_positive]), ("specificity", ~is_called[~is_positive])):
        estimate = proportion(int(right.sum()), len(right))
        row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {**row, "is_optimistic": is_optimistic}


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
            raise InputError(f"y_true holds no {name}; the threshold needs patients of both classes")
    return float(np.mean(y_pred[y_true == 1] == 1)), float(np.mean(y_pred[y_true == 0] == 0))


def _equal_error(sensitivity, specificity, _=None):
    return -np.abs(sensitivity - specificity)


def _youden(sensitivity, specificity, _=None):
    return sensitivity + specificity - 1


def _fixed_sensitivity(sensitivity, specificity, _=None, *, asked=0.9):
    return np.where(sensitivity >= asked, specificity, sensitivity - asked)


def _cost(sensitivity, specificity, share_pspd):
    return -(share_pspd * (1 - sensitivity) + (1 - share_pspd) * (1 - specificity))


_RULES = {
    "equal_error": _equal_error,
    "youden": _youden,
    "fixed_sensitivity": _fixed_sensitivity,
    "cost": _cost,
}
THRESHOLD_RULES = tuple(_RULES)
