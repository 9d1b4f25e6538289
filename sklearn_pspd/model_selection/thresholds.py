"""Rules for the threshold of a classifier, as scores to maximise on training patients.

Each rule is a function of true and predicted classes (0 = PD, 1 = PsPD) for
:class:`sklearn.model_selection.TunedThresholdClassifierCV`, which learns the threshold from out-of-fold scores of the
training site and then keeps it fixed: ``TunedThresholdClassifierCV(model, scoring=make_scorer(youden_score))``.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.metrics import roc_curve

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics.bootstrap import draw_weights
from sklearn_pspd.statistics.calibration import SMALLEST_PROBABILITY
from sklearn_pspd.statistics.checks import check_labels, check_scores
from sklearn_pspd.statistics.intervals import normal_quantile, wilson_interval

from .folds import CROSS_VALIDATION, EXTERNAL

TEST_SET_RULE = "equal_error, test set"
N_RESAMPLES = 2000
SENSITIVITY = 0.9


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
    """Score the negative absolute difference between sensitivity and specificity, the paper's rule.

    The paper [1]_ chose the threshold at which both are equal.

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
    """Score sensitivity plus specificity minus one, Youden's index.

    The index was proposed in [1]_.

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


def fixed_sensitivity_score(y_true, y_pred, *, sensitivity=SENSITIVITY):
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


def learn_threshold(y_true, y_score, *, patient=None, rule="equal_error", n_resamples=N_RESAMPLES, random_state=None):
    """Learn a threshold from out-of-fold scores, and estimate its sampling variability.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        0 = PD, 1 = PsPD, both present: training patients.
    y_score : array-like of shape (n_rows,)
        Scores, higher for PsPD, each predicted by a model that was not trained on the patient, as
        :func:`~sklearn.model_selection.cross_val_predict` returns them. Scores of different fits must be at one level,
        as :func:`level_scores` brings them.
    patient : array-like of shape (n_rows,), default=None
        The patient of each row, if patients are scored several times. None if each row is another patient.
    rule : {"equal_error", "youden", "fixed_sensitivity", "cost"} or callable, default="equal_error"
        What to optimise: sensitivity as close as possible to specificity (the paper's rule [1]_), Youden's index, a
        sensitivity for PsPD of at least 0.9 in new patients, or the mean cost with equal costs. A callable takes arrays
        of sensitivity and specificity and the prevalence of PsPD, and returns an array to maximise.
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
    "fixed_sensitivity" takes the k-th lowest score of the m patients with PsPD, k = floor(0.1 (m + 1)), and with fewer
    than 9 such patients classifies every patient as PsPD. The sensitivity in new patients is then at least 0.9 in the
    mean over training sets [2]_, which a threshold that reaches 0.9 in the training patients does not give. In a single
    training set it may be lower: to be 95 % certain of 0.9, none of at least 29 patients with PsPD may be missed (0.9
    to the power of 29 is 0.047).

    For a classifier that includes its threshold, use :class:`~sklearn.model_selection.TunedThresholdClassifierCV` with
    the scores of this module. The range from ``low`` to ``high`` is not a confidence interval, because the maximiser of
    a step function has a non-standard sampling distribution.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2. The paper takes the threshold from
       the test set; see :func:`optimistic_threshold`.
    .. [2] Vovk V, Gammerman A, Shafer G. Algorithmic learning in a random world (2005).

    Examples
    --------
    >>> from sklearn_pspd.model_selection import learn_threshold
    >>> threshold = learn_threshold([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.5, 0.4, 0.7, 0.9], random_state=0)
    >>> round(threshold.value, 2)
    0.45
    """
    # Check the input.
    is_positive, score = check_scores(y_true, y_score, 1)
    patient = np.arange(len(score)) if patient is None else patient
    _, patient = check_labels(y_true=is_positive, patient=patient)
    rule_value = _RULES.get(rule, rule) if isinstance(rule, str) else rule
    if not callable(rule_value):
        raise InputError(f"rule must be callable or one of {', '.join(THRESHOLD_RULES)}; got {rule!r}")

    # Weights of the rows: first of the patients as they are, then of each resample. All rows of a patient weigh one.
    _, first, codes, counts = np.unique(patient, return_index=True, return_inverse=True, return_counts=True)
    drawn = draw_weights(is_positive[first], n_resamples, random_state)
    weights = (np.vstack([np.ones(len(first)), drawn]) / counts)[:, codes]

    best = (
        _conformal_thresholds(is_positive, score, weights)
        if rule_value is _fixed_sensitivity
        else _best_candidates(is_positive, score, weights, rule_value)
    )
    low, high = np.quantile(best[1:], [0.025, 0.975])
    return LearnedThreshold(float(best[0]), float(low), float(high))


def _best_candidates(is_positive, score, weights, rule_value):
    """Return, for each row of weights, the threshold that maximises the rule."""
    # Candidates: one that classifies every patient as PsPD, those between neighbouring scores, and one that classifies
    # no patient as PsPD.
    distinct = np.unique(score)
    above_all = np.nextafter(distinct[-1], np.inf)
    candidates = np.concatenate([[distinct[0]], (distinct[:-1] + distinct[1:]) / 2, [above_all]])

    # Sensitivity and specificity of each candidate (column).
    is_predicted_pspd = score[:, np.newaxis] >= candidates
    pspd, pd_ = weights[:, is_positive], weights[:, ~is_positive]
    sensitivity = pspd @ is_predicted_pspd[is_positive] / pspd.sum(axis=1, keepdims=True)
    specificity = pd_ @ ~is_predicted_pspd[~is_positive] / pd_.sum(axis=1, keepdims=True)

    # Rounding makes equal sums of different terms equal, so that the lowest of equally good candidates is chosen.
    prevalence = pspd[0].sum() / weights[0].sum()
    values = np.round(rule_value(sensitivity, specificity, prevalence), 12)
    return candidates[np.argmax(values, axis=1)]


def _conformal_thresholds(is_positive, score, weights):
    """Return, for each row of weights, the k-th lowest score of the patients with PsPD; the lowest score if k is 0."""
    order = np.argsort(score[is_positive], kind="stable")
    reached = np.cumsum(weights[:, is_positive][:, order], axis=1)
    rank = np.floor((reached[0, -1] + 1) * (1 - SENSITIVITY) + 1e-9)
    if rank < 1:
        return np.full(len(weights), score.min())
    return score[is_positive][order][np.argmax(reached >= rank - 1e-9, axis=1)]


def level_scores(y_score, fold):
    """Bring out-of-fold probabilities of different fits to one level, without their outcomes.

    Parameters
    ----------
    y_score : array-like of shape (n_rows,)
        Out-of-fold probabilities, in [0, 1].
    fold : array-like of shape (n_rows,)
        The fold in whose test set the row is; in a repeated cross-validation, with another name in each repetition.

    Returns
    -------
    levelled : ndarray of shape (n_rows,)
        Log odds minus the level of the fold.
    levels : ndarray of shape (n_folds,)
        Level of each fold, in the order of their names: the mean log odds of its test patients.

    Raises
    ------
    InputError
        If lengths differ or an entry is missing.

    Notes
    -----
    Fits of one model on different training sets may differ in level more than patients do, especially networks; a
    threshold learned on their pooled scores separates folds rather than outcomes. In stratified folds the test sets
    have the same prevalence, so that a difference in mean is one of the fits. Probabilities are clipped to
    [0.0005, 0.9995].

    Examples
    --------
    >>> from sklearn_pspd.model_selection.thresholds import level_scores
    >>> levelled, levels = level_scores([0.1, 0.3, 0.7, 0.9], [1, 1, 2, 2])
    >>> levelled.round(2).tolist(), levels.round(2).tolist()
    ([-0.67, 0.67, -0.67, 0.67], [-1.52, 1.52])
    """
    score, fold = check_labels(y_score=np.asarray(y_score, dtype=np.float64), fold=fold)
    log_odds = logit(np.clip(score, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY))
    codes = np.unique(fold, return_inverse=True)[1]
    levels = np.bincount(codes, log_odds) / np.bincount(codes)
    return log_odds - levels[codes], levels


def threshold_table(scores, rules, random_state):
    """Learn thresholds from the out-of-fold scores of every model, and apply them to all of its scores.

    Parameters
    ----------
    scores : DataFrame
        The ``scores`` of a :class:`~sklearn_pspd.model_selection.ModelComparison`; of several trainings of a model
        (column ``replicate``), only the first is used.
    rules : sequence of str or callable
        As in :func:`learn_threshold`.
    random_state : int
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        One row per model, rule and evaluation: ``model``, ``rule``, ``threshold`` with its bootstrap limits ``low`` and
        ``high``, ``lowest_fold`` and ``highest_fold`` (what the threshold is at the level of single folds),
        ``evaluation``, ``sensitivity`` and ``specificity`` (for PsPD) each with its interval, ``is_optimistic``, and
        ``remark``, which says so if every patient is classified alike.

    Raises
    ------
    InputError
        If a model has no out-of-fold scores.

    Notes
    -----
    Thresholds are learned on log odds at one level (:func:`level_scores`), and each fold's patients are classified at
    the level of their fold. ``threshold`` is the probability at the mean level of the folds. It is applied unchanged to
    an external set, whose patients are scored by the fit on all training patients: the level of that fit is not known
    without external patients, and the mean of the folds is its estimate. How far it may be off is seen in
    ``lowest_fold`` and ``highest_fold``.
    """
    if "replicate" in scores:
        scores = scores[scores["replicate"] == 0]
    rows = []
    for model, scores_of_model in scores.groupby("model", sort=False):
        by_evaluation = dict(iter(scores_of_model.groupby("evaluation", sort=False)))
        if CROSS_VALIDATION not in by_evaluation:
            raise InputError(f"{model}: there are no scores of a cross-validation, from which thresholds are learned")
        out_of_fold = by_evaluation[CROSS_VALIDATION]
        levelled, levels = level_scores(out_of_fold["y_score"], out_of_fold["fold"])

        # Each rule learns from the out-of-fold scores; only there is the result optimistic.
        for rule in rules:
            learned = learn_threshold(
                out_of_fold["y_true"],
                levelled,
                patient=out_of_fold["patient_id"],
                rule=rule,
                random_state=random_state,
            )
            name = rule if isinstance(rule, str) else getattr(rule, "__name__", type(rule).__name__)
            at_mean_level = LearnedThreshold(*(float(expit(value + levels.mean())) for value in learned))
            of_folds = [float(expit(learned.value + level)) for level in (levels.min(), levels.max())]
            for evaluation, evaluated in by_evaluation.items():
                is_optimistic = evaluation == CROSS_VALIDATION
                is_predicted_pspd = (
                    levelled >= learned.value if is_optimistic else evaluated["y_score"] >= at_mean_level.value
                )
                row = _row(model, name, at_mean_level, of_folds, evaluation, evaluated, is_predicted_pspd)
                rows.append({**row, "is_optimistic": is_optimistic, "remark": _remark(is_predicted_pspd)})

        # The paper's rule learns from the external set that it is then applied to.
        if (external := by_evaluation.get(EXTERNAL)) is not None:
            value = optimistic_threshold(external["y_true"], external["y_score"])
            without_spread, is_predicted_pspd = LearnedThreshold(value, np.nan, np.nan), external["y_score"] >= value
            row = _row(model, TEST_SET_RULE, without_spread, (np.nan, np.nan), EXTERNAL, external, is_predicted_pspd)
            rows.append({**row, "is_optimistic": True, "remark": _remark(is_predicted_pspd)})
    return pd.DataFrame(rows)


def _row(model, rule, threshold, of_folds, evaluation, scores, is_predicted_pspd):
    """Return a threshold with its sensitivity and specificity on the scored patients."""
    is_pspd, is_predicted_pspd = scores["y_true"].to_numpy() == 1, np.asarray(is_predicted_pspd)
    row = {"model": model, "rule": rule, "threshold": threshold.value, "low": threshold.low, "high": threshold.high}
    row |= {"lowest_fold": of_folds[0], "highest_fold": of_folds[1], "evaluation": evaluation}
    for name, rows, is_correct in (
        ("sensitivity", is_pspd, is_predicted_pspd),
        ("specificity", ~is_pspd, ~is_predicted_pspd),
    ):
        # A patient who is scored several times counts once.
        n_patients, value = scores["patient_id"][rows].nunique(), float(is_correct[rows].mean())
        low, high = wilson_interval(value, n_patients, normal_quantile(0.95))
        row |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return row


def _remark(is_predicted_pspd):
    if np.all(is_predicted_pspd):
        return "classifies every patient as PsPD"
    return "" if np.any(is_predicted_pspd) else "classifies every patient as PD"


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


def _fixed_sensitivity(sensitivity, specificity, _=None, *, required=SENSITIVITY):
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
