"""AUCs of models that are trained several times: intervals and tests that include the randomness of training."""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit, stdtr

from sklearn_pspd.exceptions import InputError

from .auc_intervals import MIN_CLASS_SIZE_DELONG, WITHIN_FOLDS, auc_estimate, paired_auc_test
from .calibration import SMALLEST_PROBABILITY
from .checks import check_probabilities, check_scores
from .fold_design import auc_covariance, fold_design, influences, placements_within
from .intervals import (
    ROUNDING,
    Estimate,
    TestResult,
    hanley_mcneil_variance,
    newcombe_interval,
    normal_quantile,
    t_quantile,
)
from .model_exchange import MIN_CLASS_SIZE_NORMAL, exchange_effects

# Training is left with less than this proportion of the variance of the mean.
NEGLIGIBLE = 0.1

TRAINING_LEFT_OUT = "; training variance not included"


class ReplicatedAUC(NamedTuple):
    """Mean AUC of several trainings of one model, with intervals and components of its variance.

    Attributes
    ----------
    value : float
        Mean AUC of the replicates.
    low, high : float
        Limits of the confidence interval of the expected AUC of a training.
    method : str
        Name of the method of the interval.
    lowest, highest : float
        Smallest and largest AUC of a replicate.
    new_low, new_high : float
        Limits for the AUC that one further training of the model would have in the population. NaN with one replicate.
    patients, training, interaction : float
        Proportions of the variance of the AUC of a single training that are due to the sampling of patients, to the
        randomness of training, and to their interaction (which patients a replicate happens to rank well). They sum to
        1; NaN with one replicate.
    n_replicates : int
        Number of replicates.
    n_needed : float
        Number of replicates with which training would contribute less than a tenth of the variance of the mean;
        infinite where the variance between patients is estimated as zero, NaN with one replicate.
    """

    value: float
    low: float
    high: float
    method: str
    lowest: float
    highest: float
    new_low: float
    new_high: float
    patients: float
    training: float
    interaction: float
    n_replicates: int
    n_needed: float


class _Components(NamedTuple):
    """Mean AUC of R replicates; variance of their AUCs, mean variance v and covariance c between patients."""

    aucs: np.ndarray
    between: float
    variance: float
    covariance: float

    @property
    def training(self):
        return max(0.0, self.between - self.variance + self.covariance)


def replicated_auc(y_true, y_scores, *, fold=None, patient=None, confidence_level=0.95, pos_label=1):
    """Estimate the expected AUC of a model from several trainings, with an interval for patients and training.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Two classes, both present in each fold.
    y_scores : array-like of shape (n_replicates, n_rows)
        Scores of the replicates, which differ in their random seeds only; higher for the positive class.
    fold : array-like of shape (n_rows,), default=None
        As in :func:`~sklearn_pspd.statistics.auc_within_folds`; None for patients that every replicate scored with one
        fit, such as an external set.
    patient : array-like of shape (n_rows,), default=None
        As in :func:`~sklearn_pspd.statistics.auc_within_folds`.
    confidence_level : float, default=0.95
        Coverage of the intervals, in (0, 1).
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    ReplicatedAUC
        Mean, intervals, range and components of the variance. With one replicate the interval is that of
        :func:`~sklearn_pspd.statistics.auc_within_folds`, and ``method`` says that it leaves out the training.

    Raises
    ------
    InputError
        If `y_scores` is not two-dimensional, and as :func:`~sklearn_pspd.statistics.auc_within_folds`.

    Notes
    -----
    Replicates are the readers of a multi-reader study [1]_ [2]_. With the variance S of the AUCs of R replicates, and
    the mean c of DeLong's covariances of two of them, the variance of the mean is (S + R max(c, 0)) / R, with (S + R
    max(c, 0))^2 / (S^2 / (R - 1)) degrees of freedom; the interval is Student's on the logit scale. With the mean v of
    DeLong's variances, a single training has the variance components max(0, S - v + c) of training, c of patients and
    v - c of their interaction. The variance of a further training is S plus that of the mean (our choice, because S - v
    + c is zero in many samples). In a cross-validation, c and v come from placements within folds, times Nadeau and
    Bengio's factor.

    If a replicate is perfect or a class has fewer than five patients, DeLong's variance is too small. The interval is
    then Newcombe's, widened by the variance of training (our choice).

    References
    ----------
    .. [1] Obuchowski NA, Rockette HE. Hypothesis testing of diagnostic accuracy for multiple readers and multiple
       tests: an ANOVA approach with dependent observations. Commun Stat Simul Comput 24, 285-308 (1995).
    .. [2] Hillis SL. A comparison of denominator degrees of freedom methods for multiple observer ROC analysis. Stat
       Med 26, 596-619 (2007).

    Examples
    --------
    >>> from sklearn_pspd.statistics import replicated_auc
    >>> y_true = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    >>> y_scores = [[1, 2, 3, 4, 6, 5, 7, 8, 9, 10], [6, 2, 3, 4, 1, 5, 7, 8, 0, 10], [1, 2, 9, 4, 6, 5, 7, 8, 3, 10]]
    >>> auc = replicated_auc(y_true, y_scores)
    >>> round(auc.value, 2), round(auc.low, 2), round(auc.high, 2)
    (0.81, 0.47, 0.96)
    """
    design, scores = _check_replicates(y_true, y_scores, fold, patient, pos_label)
    aucs, row_influences = _replicates(design, scores)
    value, n = float(aucs.mean()), len(aucs)
    span = {"lowest": float(aucs.min()), "highest": float(aucs.max()), "n_replicates": n}
    if n == 1:
        variance = auc_covariance(design, row_influences)[0, 0]
        plain = auc_estimate(design, value, variance, normal_quantile(confidence_level))
        unknown = dict.fromkeys(("new_low", "new_high", "patients", "training", "interaction", "n_needed"), np.nan)
        return ReplicatedAUC(**plain._replace(method=plain.method + TRAINING_LEFT_OUT)._asdict(), **span, **unknown)
    parts = _components(aucs, auc_covariance(design, row_influences))
    (low, high, method), new = _intervals(design, parts, confidence_level)
    total = parts.training + parts.variance
    # Without any variance, as for constant scores, there is nothing to divide.
    shares = dict.fromkeys(("patients", "training", "interaction"), np.nan)
    if total > ROUNDING:
        covariance = min(max(parts.covariance, 0.0), parts.variance)
        shares = {"patients": covariance, "training": parts.training, "interaction": parts.variance - covariance}
        shares = {name: share / total for name, share in shares.items()}
    return ReplicatedAUC(
        value,
        low,
        high,
        f"{method}; patients and {n} trainings",
        new_low=new[0],
        new_high=new[1],
        **span,
        **shares,
        n_needed=_n_needed(parts),
    )


def replicated_auc_test(y_true, y_scores_a, y_scores_b, *, fold=None, patient=None, confidence_level=0.95, pos_label=1):
    """Test whether two models differ in their expected AUC, from several trainings of each.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Two classes, both present in each fold.
    y_scores_a, y_scores_b : array-like of shape (n_replicates, n_rows)
        Scores of the replicates of each model for the same rows. The models may have different numbers of replicates,
        also a single one, such as a model without randomness.
    fold : array-like of shape (n_rows,), default=None
        As in :func:`replicated_auc`.
    patient : array-like of shape (n_rows,), default=None
        As in :func:`replicated_auc`.
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    TestResult
        Mean AUC of model a minus mean AUC of model b, its interval within [-1, 1], the t statistic and the p-value. If
        neither model is replicated, the test is :func:`~sklearn_pspd.statistics.auc_within_folds_test`. Where a model
        has one replicate, ``method`` says that its training variance is not included.

    Raises
    ------
    InputError
        As :func:`replicated_auc`.

    Notes
    -----
    As in :func:`replicated_auc`, with the difference of two means: the variance is S_a / R_a + S_b / R_b, since seeds
    of different models are independent, plus the covariance c_aa + c_bb - 2 c_ab between patients, in which each c is a
    mean of DeLong's covariances over pairs of different replicates. Degrees of freedom are Satterthwaite's.

    With fewer than ten patients in a class, the covariance between patients is at least the variance over exchanges of
    the models' ranks (the mean effect over pairs of replicates), as in
    :func:`~sklearn_pspd.statistics.auc_within_folds_test`.

    Examples
    --------
    >>> from sklearn_pspd.statistics import replicated_auc_test
    >>> y_true = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    >>> network = [[1, 2, 3, 4, 6, 5, 7, 8, 9, 10], [6, 2, 3, 4, 1, 5, 7, 8, 0, 10], [1, 2, 9, 4, 6, 5, 7, 8, 3, 10]]
    >>> test = replicated_auc_test(y_true, network, [[4, 2, 7, 1, 8, 5, 9, 3, 6, 0]])
    >>> round(test.difference, 2), round(test.p_value, 2)
    (0.29, 0.25)
    """
    design, scores_a = _check_replicates(y_true, y_scores_a, fold, patient, pos_label)
    scores_b = _check_replicates(y_true, y_scores_b, fold, patient, pos_label)[1]
    n_a, n_b = len(scores_a), len(scores_b)
    if n_a == n_b == 1:
        test = paired_auc_test(design, scores_a[0], scores_b[0], confidence_level)
        return test._replace(method=test.method + TRAINING_LEFT_OUT)
    # Replicates of both models together: their AUCs and the covariances between patients.
    aucs, row_influences = _replicates(design, np.concatenate([scores_a, scores_b]))
    covariances = auc_covariance(design, row_influences)
    a, b = (_components(aucs[part], covariances[part, part]) for part in (slice(n_a), slice(n_a, None)))
    patients = max(0.0, a.covariance + b.covariance - 2 * covariances[:n_a, n_a:].mean())
    method = "Obuchowski-Rockette-Hillis, paired"
    if min(design.n_positive, design.n_negative) < MIN_CLASS_SIZE_NORMAL or patients < ROUNDING:
        effects = [exchange_effects(design, score_a, score_b) for score_a in scores_a for score_b in scores_b]
        patients = max(patients, design.factor * np.sum(np.mean(effects, axis=0) ** 2))
    # The test.
    of_training = [(part.between / len(part.aucs), len(part.aucs) - 1) for part in (a, b) if len(part.aucs) > 1]
    variance = patients + sum(part for part, _ in of_training)
    if variance < ROUNDING:
        # All replicates of both models rank the patients equally.
        return paired_auc_test(design, scores_a[0], scores_b[0], confidence_level)
    df = _satterthwaite(variance, of_training)
    difference = a.aucs.mean() - b.aucs.mean()
    error = math.sqrt(variance)
    half = t_quantile(confidence_level, df) * error
    statistic = difference / error
    low, high = np.clip([difference - half, difference + half], -1, 1)
    p_value = 2 * stdtr(df, -abs(statistic))
    method += WITHIN_FOLDS if len(design.folds) > 1 else ""
    method += f"{TRAINING_LEFT_OUT} for one model" if min(n_a, n_b) == 1 else ""
    return TestResult(float(difference), float(low), float(high), float(statistic), float(p_value), method)


def ensemble_auc(y_true, y_score, member_scores, *, fold=None, patient=None, confidence_level=0.95, pos_label=1):
    """Estimate the AUC of an ensemble of trainings, with an interval for patients and training.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Two classes, both present in each fold.
    y_score : array-like of shape (n_rows,)
        Scores of the ensemble, the mean log odds of its members or a monotone function of it.
    member_scores : array-like of shape (n_members, n_rows)
        Probabilities of the positive class predicted by the members, in [0, 1].
    fold : array-like of shape (n_rows,), default=None
        As in :func:`replicated_auc`.
    patient : array-like of shape (n_rows,), default=None
        As in :func:`replicated_auc`.
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    Estimate
        AUC of the ensemble, with an interval for the expected AUC of such ensembles. With one member the interval is
        that of :func:`~sklearn_pspd.statistics.auc_within_folds`, and ``method`` says that it leaves out the training.

    Raises
    ------
    InputError
        If `member_scores` is not two-dimensional or has a value outside [0, 1], and as :func:`replicated_auc`.

    Notes
    -----
    The variance is that of :func:`~sklearn_pspd.statistics.auc_within_folds` for the fixed ensemble plus the jackknife
    variance over members: (M - 1) / M times the sum of squared deviations of the AUCs of the M ensembles that lack one
    member. The interaction of patients and training is in both parts, so that the interval is conservative.

    For a released ensemble, which is a fixed object, the interval of :func:`~sklearn_pspd.statistics.roc_auc` on
    external patients is valid; it says nothing about other ensembles trained in the same way.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.special import expit, logit
    >>> from sklearn_pspd.statistics import ensemble_auc
    >>> y_true = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    >>> members = np.array([[1, 2, 3, 4, 6, 5, 7, 8, 9, 10], [6, 2, 3, 4, 1, 5, 7, 8, 0, 10]]) / 11
    >>> auc = ensemble_auc(y_true, expit(logit(members.clip(0.01)).mean(axis=0)), members)
    >>> round(auc.value, 2), round(auc.low, 2), round(auc.high, 2)
    (0.8, 0.18, 0.99)
    """
    design, score = _check_replicates(y_true, [y_score], fold, patient, pos_label)
    _, members = _check_replicates(y_true, member_scores, fold, patient, pos_label)
    for member in members:
        check_probabilities(y_true, member, pos_label)
    n_members = len(members)
    aucs, row_influences = _replicates(design, score)
    patients = auc_covariance(design, row_influences)[0, 0]
    if n_members == 1:
        plain = auc_estimate(design, float(aucs[0]), patients, normal_quantile(confidence_level))
        return plain._replace(method=plain.method + TRAINING_LEFT_OUT)
    training = _jackknife_variance(design, members)
    quantile = t_quantile(confidence_level, _satterthwaite(patients + training, [(training, n_members - 1)]))
    low, high, method = _interval(design, float(aucs[0]), patients, training, quantile, aucs)
    return Estimate(float(aucs[0]), low, high, f"{method}; jackknife over {n_members} members")


def ensemble_auc_test(
    y_true,
    y_score_a,
    y_score_b,
    member_scores_a=None,
    member_scores_b=None,
    *,
    fold=None,
    patient=None,
    confidence_level=0.95,
    pos_label=1,
):
    """Test whether two models differ in AUC, of which one or both are ensembles of trainings.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Two classes, both present in each fold.
    y_score_a, y_score_b : array-like of shape (n_rows,)
        Scores of the two models for the same rows, as in :func:`ensemble_auc`.
    member_scores_a, member_scores_b : array-like of shape (n_members, n_rows), default=None
        Probabilities predicted by the members of each ensemble; None for a model without members.
    fold : array-like of shape (n_rows,), default=None
        As in :func:`replicated_auc`.
    patient : array-like of shape (n_rows,), default=None
        As in :func:`replicated_auc`.
    confidence_level : float, default=0.95
        Coverage of the interval, in (0, 1).
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    TestResult
        AUC of model a minus AUC of model b, its interval within [-1, 1], the t statistic and the p-value. Without
        members it is the result of :func:`~sklearn_pspd.statistics.auc_within_folds_test`.

    Raises
    ------
    InputError
        As :func:`ensemble_auc`.

    Notes
    -----
    The variance is that of :func:`~sklearn_pspd.statistics.auc_within_folds_test` for the two fixed models plus the
    jackknife variance over the members of each ensemble, whose seeds are independent; Student's t with Satterthwaite's
    degrees of freedom. As the interval of :func:`ensemble_auc`, the test is conservative.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.special import expit, logit
    >>> from sklearn_pspd.statistics import ensemble_auc_test
    >>> y_true = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    >>> members = np.array([[1, 2, 3, 4, 6, 5, 7, 8, 9, 10], [6, 2, 3, 4, 1, 5, 7, 8, 0.1, 10]]) / 11
    >>> ensemble = expit(logit(members).mean(axis=0))
    >>> test = ensemble_auc_test(y_true, ensemble, [4, 2, 7, 1, 8, 5, 9, 3, 6, 0], members)
    >>> round(test.difference, 2), test.p_value > 0.2
    (0.28, True)
    """
    design, score_a = _check_replicates(y_true, [y_score_a], fold, patient, pos_label)
    score_b = _check_replicates(y_true, [y_score_b], fold, patient, pos_label)[1]
    plain = paired_auc_test(design, score_a[0], score_b[0], confidence_level)
    of_training = []
    for given in (member_scores_a, member_scores_b):
        if given is not None and len(given) > 1:
            members = _check_replicates(y_true, given, fold, patient, pos_label)[1]
            for member in members:
                check_probabilities(y_true, member, pos_label)
            of_training.append((_jackknife_variance(design, members), len(members) - 1))
    if not of_training:
        return plain
    # The limit that is not cut off at -1 or 1 is the one further away.
    half = max(plain.high - plain.difference, plain.difference - plain.low)
    patients = (half / normal_quantile(confidence_level)) ** 2
    variance = patients + sum(part for part, _ in of_training)
    df = _satterthwaite(variance, of_training)
    error = math.sqrt(variance)
    half = t_quantile(confidence_level, df) * error
    low, high = np.clip([plain.difference - half, plain.difference + half], -1, 1)
    statistic = plain.difference / error if error > 0 else 0.0
    p_value = max(2 * stdtr(df, -abs(statistic)), plain.p_value)
    method = f"{plain.method}; jackknife over members"
    return TestResult(plain.difference, float(low), float(high), float(statistic), float(p_value), method)


def _jackknife_variance(design, members):
    """Return the variance of an ensemble's AUC over trainings, from the ensembles that lack one member."""
    n_members = len(members)
    log_odds = logit(np.clip(members, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY))
    left_out = np.array([placements_within(design, log_odds.sum(axis=0) - member)[0] for member in log_odds])
    return (n_members - 1) ** 2 / n_members * left_out.var(ddof=1)


def _check_replicates(y_true, y_scores, fold, patient, pos_label):
    """Return the design, and the scores with shape (n_replicates, n_rows)."""
    scores = np.asarray(y_scores, dtype=np.float64)
    if scores.ndim != 2 or not len(scores):
        raise InputError(f"expected scores of shape (n_replicates, n_rows); got {scores.shape}")
    # The sum of a row's scores is finite where all of them are.
    is_positive, _ = check_scores(y_true, scores.sum(axis=0), pos_label)
    return fold_design(is_positive, fold, patient), scores


def _replicates(design, scores):
    """Return the AUC of each replicate and the influences of the rows on it."""
    found = [placements_within(design, score) for score in scores]
    return np.array([auc for auc, _ in found]), np.array([influences(design, placement) for _, placement in found])


def _components(aucs, covariances):
    """Return the components of the variance of one model's AUC; with one replicate, only the part of the patients."""
    n = len(aucs)
    variance = float(np.trace(covariances)) / n
    if n == 1:
        return _Components(aucs, 0.0, variance, variance)
    covariance = float(covariances.sum() - np.trace(covariances)) / (n * (n - 1))
    return _Components(aucs, float(aucs.var(ddof=1)), variance, covariance)


def _satterthwaite(variance, parts):
    """Return the degrees of freedom of a variance whose parts (variance, degrees of freedom) are estimated."""
    uncertain = sum(part**2 / df for part, df in parts)
    return variance**2 / uncertain if uncertain > 0 else np.inf


def _intervals(design, parts, confidence_level):
    """Return limits and method for the mean of the replicates, and for one further training."""
    n, patients, found = len(parts.aucs), max(parts.covariance, 0.0), []
    for training in (parts.between / n, parts.between / n + parts.between):
        quantile = t_quantile(confidence_level, _satterthwaite(patients + training, [(training, n - 1)]))
        found.append(_interval(design, float(parts.aucs.mean()), patients, training, quantile, parts.aucs))
    return found


def _interval(design, value, patients, training, quantile, aucs):
    """Return limits and method for an AUC with these variances of patients and of training."""
    suffix = WITHIN_FOLDS if len(design.folds) > 1 else ""
    sizes = design.n_positive, design.n_negative
    variance = patients + training
    if min(sizes) < MIN_CLASS_SIZE_DELONG or not 0 < aucs.min() <= aucs.max() < 1 or variance < ROUNDING:
        of_patients = design.factor * hanley_mcneil_variance(value, *sizes)
        widening = design.factor * (1 + (training / of_patients if of_patients > 0 else 0.0))
        return *newcombe_interval(value, *sizes, np.sqrt(widening) * quantile), "Newcombe 5, t" + suffix
    half = quantile * math.sqrt(variance) / (value * (1 - value))
    low, high = expit(logit(value) - half), expit(logit(value) + half)
    return float(low), float(high), "t, logit" + suffix


def _n_needed(parts):
    """Return the number of replicates that leaves training with less than a tenth of the variance of the mean."""
    covariance = max(parts.covariance, 0.0)
    interaction = max(parts.variance - covariance, 0.0)
    # training / R <= 0.1 (training / R + interaction / R + covariance), solved for R.
    numerator = (1 - NEGLIGIBLE) * parts.training - NEGLIGIBLE * interaction
    if numerator <= 0:
        return 1.0
    return float(max(1, math.ceil(numerator / (NEGLIGIBLE * covariance)))) if covariance > 0 else math.inf
