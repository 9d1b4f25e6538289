"""Rules for the threshold of a classifier, as scores to maximise on training patients.

Each rule is a function of true and predicted classes (0 = PD, 1 = PsPD) for
:class:`sklearn.model_selection.TunedThresholdClassifierCV`, which learns the threshold from out-of-fold scores of the
training site and then keeps it fixed: ``TunedThresholdClassifierCV(model, scoring=make_scorer(youden_score))``.
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
    """A threshold with its sampling variability.

    Attributes
    ----------
    value : float
        A patient is classified as PsPD if the predicted probability of PsPD is at least this value.
    low, high : float
        Limits of the central 95 % of the thresholds learned from bootstrap resamples of the same patients.
    """

    value: float
    low: float
    high: float


def equal_error_score(y_true, y_pred):
    """Score the negative absolute difference between sensitivity and specificity, the paper's rule [1]_.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_patients,)
        True and predicted classes, 0 and 1.

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
        True and predicted classes, 0 and 1.

    Returns
    -------
    float
        In [-1, 1]; 0 for a prediction by chance.

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
    """Score the specificity if the sensitivity for PsPD is high enough, otherwise how far it falls short.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_patients,)
        True and predicted classes, 0 and 1.
    sensitivity : float, default=0.9
        Required sensitivity for PsPD, in (0, 1].

    Returns
    -------
    float
        In [-1, 1]; negative if the sensitivity is below the required one.

    Raises
    ------
    InputError
        If the required sensitivity is not in (0, 1], or y_true lacks a class.

    Examples
    --------
    >>> from sklearn.metrics import make_scorer
    >>> from sklearn_pspd.model_selection import fixed_sensitivity_score
    >>> scorer = make_scorer(fixed_sensitivity_score, sensitivity=0.95)
    >>> fixed_sensitivity_score([0, 0, 1, 1], [0, 1, 1, 1])
    0.5
    """
    if not 0 < sensitivity <= 1:
        raise InputError(f"sensitivity must lie in (0, 1]; got {sensitivity}")
    return float(_fixed_sensitivity(*_sensitivity_and_specificity(y_true, y_pred), required=sensitivity))


def cost_score(y_true, y_pred, *, cost_missed_pspd=1.0, cost_missed_pd=1.0):
    """Score the negative mean cost of misclassification per patient.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_patients,)
        True and predicted classes, 0 and 1.
    cost_missed_pspd : float, default=1.0
        Cost of a patient with PsPD classified as PD, whose effective therapy may be stopped.
    cost_missed_pd : float, default=1.0
        Cost of a patient with PD classified as PsPD, whose change of therapy may be delayed.

    Returns
    -------
    float
        At most 0.

    Raises
    ------
    InputError
        If a cost is negative.

    Examples
    --------
    >>> from sklearn_pspd.model_selection import cost_score
    >>> cost_score([0, 0, 1, 1], [0, 1, 1, 1], cost_missed_pd=4.0)
    -1.0
    """
    if min(cost_missed_pspd, cost_missed_pd) < 0:
        raise InputError(f"costs must not be negative; got {cost_missed_pspd} and {cost_missed_pd}")
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    missed_pspd, missed_pd = np.mean((y_true == 1) & (y_pred == 0)), np.mean((y_true == 0) & (y_pred == 1))
    return float(-(cost_missed_pspd * missed_pspd + cost_missed_pd * missed_pd))


def learn_threshold(y_true, y_score, *, rule="equal_error", n_resamples=N_RESAMPLES, random_state=None):
    """Learn a threshold from out-of-fold scores, and estimate its sampling variability.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD, both present: training patients.
    y_score : array-like of shape (n_patients,)
        Probability of PsPD, each predicted by a model that was not trained on the patient, as
        :func:`~sklearn.model_selection.cross_val_predict` returns it.
    rule : {"equal_error", "youden", "fixed_sensitivity", "cost"} or callable, default="equal_error"
        What to optimise: sensitivity as close as possible to specificity (the paper's rule [1]_), Youden's index, the
        specificity at a sensitivity for PsPD of at least 0.9, or the mean cost with equal costs. A callable takes
        arrays of sensitivity and specificity and the prevalence of PsPD, and returns an array to maximise.
    n_resamples : int, default=2000
        Number of bootstrap resamples, each with as many patients of each outcome as there are.
    random_state : int, RandomState instance or None, default=None
        Seed of the resamples.

    Returns
    -------
    LearnedThreshold
        A patient is classified as PsPD if the score is at least ``value``, which lies halfway between two neighbouring
        scores unless all patients or none are classified as PsPD. Of equally good thresholds it is the lowest. ``low``
        and ``high`` are the limits of the central 95 % of the thresholds of the resamples.

    Raises
    ------
    InputError
        If an outcome is absent, a score is not finite, lengths differ, or the rule is unknown.

    Notes
    -----
    For a classifier that includes its threshold, use :class:`~sklearn.model_selection.TunedThresholdClassifierCV` with
    the scores of this module. The range from ``low`` to ``high`` is not a confidence interval, because the maximiser of
    a step function has a non-standard sampling distribution.

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
    # Check the input.
    is_positive, score = check_scores(y_true, y_score, 1)
    rule_value = _RULES.get(rule, rule) if isinstance(rule, str) else rule
    if not callable(rule_value):
        raise InputError(f"rule must be callable or one of {', '.join(THRESHOLD_RULES)}; got {rule!r}")

    # Candidates: one that classifies every patient as PsPD, those between neighbouring scores, and one that classifies
    # no patient as PsPD.
    distinct = np.unique(score)
    above_all = np.nextafter(distinct[-1], np.inf)
    candidates = np.concatenate([[distinct[0]], (distinct[:-1] + distinct[1:]) / 2, [above_all]])

    # Sensitivity and specificity of each candidate (column), for the patients (first row) and for each resample.
    weights = np.vstack([np.ones(len(score)), draw_weights(is_positive, n_resamples, random_state)])
    n_positive = int(is_positive.sum())
    is_predicted_pspd = score[:, np.newaxis] >= candidates
    sensitivity = weights[:, is_positive] @ is_predicted_pspd[is_positive] / n_positive
    specificity = weights[:, ~is_positive] @ ~is_predicted_pspd[~is_positive] / (len(score) - n_positive)

    # The best candidate of each row. Rounding makes equal sums of different terms equal, so that the lowest one is
    # chosen.
    values = np.round(rule_value(sensitivity, specificity, is_positive.mean()), 12)
    best = candidates[np.argmax(values, axis=1)]
    low, high = np.quantile(best[1:], [0.025, 0.975])
    return LearnedThreshold(float(best[0]), float(low), float(high))


def threshold_table(scores, rules, random_state):
    """Learn thresholds from the out-of-fold scores of every model, and apply them to all of its scores.

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
        One row per model, rule and evaluation, described in
        :meth:`~sklearn_pspd.model_selection.ModelComparison.thresholds`.

    Raises
    ------
    InputError
        If a model has no out-of-fold scores.
    """
    rows = []
    for model, scores_of_model in scores.groupby("model", sort=False):
        by_evaluation = dict(iter(scores_of_model.groupby("evaluation", sort=False)))
        if CROSS_VALIDATION not in by_evaluation:
            raise InputError(f"{model}: there are no scores of a cross-validation, from which thresholds are learned")
        out_of_fold = by_evaluation[CROSS_VALIDATION]

        # Each rule learns from the out-of-fold scores; only there is the result optimistic.
        for rule in rules:
            learned = learn_threshold(
                out_of_fold["y_true"], out_of_fold["y_score"], rule=rule, random_state=random_state
            )
            name = rule if isinstance(rule, str) else getattr(rule, "__name__", type(rule).__name__)
            rows += [
                _row(model, name, learned, evaluation, evaluated, is_optimistic=evaluated is out_of_fold)
                for evaluation, evaluated in by_evaluation.items()
            ]

        # The paper's rule learns from the external set that it is then applied to.
        if (external := by_evaluation.get(EXTERNAL)) is not None:
            value = optimistic_threshold(external["y_true"], external["y_score"])
            without_spread = LearnedThreshold(value, np.nan, np.nan)
            rows.append(_row(model, TEST_SET_RULE, without_spread, EXTERNAL, external, is_optimistic=True))
    return pd.DataFrame(rows)


def _row(model, rule, threshold, evaluation, scores, *, is_optimistic):
    """Return a threshold with its sensitivity and specificity on the scored patients."""
    is_pspd = scores["y_true"].to_numpy() == 1
    is_predicted_pspd = scores["y_score"].to_numpy() >= threshold.value
    is_correct = {"sensitivity": is_predicted_pspd[is_pspd], "specificity": ~is_predicted_pspd[~is_pspd]}
    row = {"model": model, "rule": rule, "threshold": threshold.value, "low": threshold.low, "high": threshold.high}
    row["evaluation"] = evaluation
    for name, correct in is_correct.items():
        estimate = proportion(int(correct.sum()), len(correct))
        row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {**row, "is_optimistic": is_optimistic}


def optimistic_threshold(y_true, y_score):
    """Find the paper's threshold on the patients that it is then applied to: **optimistic, for reproduction only**.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD, both present.
    y_score : array-like of shape (n_patients,)
        Probability of PsPD.

    Returns
    -------
    float
        The score of a patient at which sensitivity and specificity are closest to each other.

    Notes
    -----
    A threshold that is chosen with the outcomes of the test set makes sensitivity and specificity on this test set
    optimistic. Learn it from training patients instead, with
    :class:`~sklearn.model_selection.TunedThresholdClassifierCV`.

    Examples
    --------
    >>> from sklearn_pspd.model_selection import optimistic_threshold
    >>> optimistic_threshold([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.4
    """
    false_positive, true_positive, thresholds = roc_curve(y_true, y_score, drop_intermediate=False)
    distance = np.abs(true_positive - (1 - false_positive))
    # The first point, with a threshold of infinity, classifies no patient as PsPD.
    return float(thresholds[1 + np.argmin(distance[1:])])


def _sensitivity_and_specificity(y_true, y_pred):
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    for outcome, name in ((0, "PD (0)"), (1, "PsPD (1)")):
        if not np.any(y_true == outcome):
            raise InputError(f"y_true contains no {name}; a threshold requires patients of both classes")
    return float(np.mean(y_pred[y_true == 1] == 1)), float(np.mean(y_pred[y_true == 0] == 0))


def _equal_error(sensitivity, specificity, _=None):
    return -np.abs(sensitivity - specificity)


def _youden(sensitivity, specificity, _=None):
    return sensitivity + specificity - 1


def _fixed_sensitivity(sensitivity, specificity, _=None, *, required=0.9):
    return np.where(sensitivity >= required, specificity, sensitivity - required)


def _cost(sensitivity, specificity, prevalence):
    return -(prevalence * (1 - sensitivity) + (1 - prevalence) * (1 - specificity))


_RULES = {
    "equal_error": _equal_error,
    "youden": _youden,
    "fixed_sensitivity": _fixed_sensitivity,
    "cost": _cost,
}
THRESHOLD_RULES = tuple(_RULES)
