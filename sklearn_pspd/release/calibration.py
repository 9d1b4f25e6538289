"""What a release keeps of the out-of-fold scores: threshold, calibration and rule of abstention."""

from dataclasses import asdict
from numbers import Real

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from sklearn_pspd.cohort.problems import normalise_ids
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.model_selection.folds import CROSS_VALIDATION
from sklearn_pspd.model_selection.thresholds import THRESHOLD_RULES, level_scores
from sklearn_pspd.statistics import AbstentionRule, learn_abstention, venn_abers
from sklearn_pspd.statistics.calibration import SMALLEST_PROBABILITY

PREVALENCE = "prevalence"
NO_SCORES = "the model was released without out-of-fold scores"


def make_calibration(comparison, name, X, y, *, threshold, max_error, confidence_level):
    """Keep what predictions need of the out-of-fold scores, without patient ids and sorted by score.

    Parameters
    ----------
    comparison : ModelComparison or None
        Scores of the model.
    name : str
        The model.
    X : DataFrame of shape (n_patients, n_columns)
        Training patients.
    y : ndarray of shape (n_patients,)
        0 = PD, 1 = PsPD.
    threshold : "prevalence", float or name of a rule
        See :func:`~sklearn_pspd.release.export_model`.
    max_error, confidence_level : float
        As in :func:`~sklearn_pspd.statistics.learn_abstention`.

    Returns
    -------
    dict
        ``threshold``, ``threshold_rule``, ``y_true``, ``y_score`` and ``abstention``. JSON can hold it.
    """
    scores = None if comparison is None else _out_of_fold(comparison, name, X, y)
    value, rule = _threshold(threshold, comparison, scores, name, y)
    kept = {"threshold": value, "threshold_rule": rule, "y_true": [], "y_score": [], "abstention": None}
    if scores is None:
        return {**kept, "no_abstention": NO_SCORES}
    kept["y_true"], kept["y_score"] = scores["y_true"].tolist(), scores["y_score"].tolist()
    if rule in THRESHOLD_RULES:
        return {**kept, "no_abstention": f"the threshold was chosen by the errors of the same patients ({rule})"}
    found = learn_abstention(
        scores["y_true"], scores["y_score"], threshold=value, max_error=max_error, confidence_level=confidence_level
    )
    return {**kept, "abstention": asdict(found) if found.exists else None, "no_abstention": found.reason}


def abstention_rule(calibration):
    """Return the rule of abstention of a release, or None."""
    kept = calibration["abstention"]
    return None if kept is None else AbstentionRule(**kept)


def calibrated_intervals(calibration, y_prob):
    """Return the Venn-Abers intervals of new probabilities; NaN in a release without out-of-fold scores."""
    if not calibration["y_score"]:
        return pd.DataFrame(np.nan, index=range(len(y_prob)), columns=["low", "high", "probability"])
    return venn_abers(calibration["y_true"], *(_log_odds(values) for values in (calibration["y_score"], y_prob)))


def _out_of_fold(comparison, name, X, y):
    """Return one row per training patient, with folds at one level; None without a cross-validation."""
    scores = comparison.scores
    rows = scores[(scores["model"] == name) & (scores["evaluation"] == CROSS_VALIDATION) & (scores["replicate"] == 0)]
    if rows.empty:
        return None
    levelled, levels = level_scores(rows["y_score"], rows["fold"])
    rows = rows.assign(log_odds=levelled + levels.mean(), patient=normalise_ids(rows["patient_id"]).to_numpy())
    by_patient = rows.groupby("patient").agg({"y_true": "first", "log_odds": "mean"})
    # The scores must be those of the patients that the model was trained on.
    outcomes = pd.Series(np.asarray(y), index=normalise_ids(X["patient_id"]).to_numpy())
    if set(outcomes.index) != set(by_patient.index) or not by_patient["y_true"].eq(outcomes[by_patient.index]).all():
        raise InputError(
            f"{name}: the cross-validation of the comparison scored {len(by_patient)} patients, who are not the "
            f"{len(outcomes)} of X with the outcomes y; give X and y of this comparison"
        )
    by_patient = by_patient.sort_values(["log_odds", "y_true"])
    return by_patient.assign(y_score=expit(by_patient["log_odds"]).round(6)).reset_index(drop=True)


def _threshold(threshold, comparison, scores, name, y):
    """Return the threshold and the name of its rule."""
    if isinstance(threshold, Real) and not isinstance(threshold, bool):
        if not 0 < threshold < 1:
            raise InputError(f"threshold must be between 0 and 1; got {threshold}")
        return float(threshold), "given"
    if threshold == PREVALENCE:
        return float(np.mean(y)), PREVALENCE
    if threshold not in THRESHOLD_RULES:
        allowed = ", ".join(map(repr, (PREVALENCE, *THRESHOLD_RULES)))
        raise InputError(f"threshold must be a number between 0 and 1 or one of {allowed}; got {threshold!r}")
    if scores is None:
        raise InputError(f"threshold={threshold!r} is learned from out-of-fold scores; give the comparison")
    table = comparison.thresholds(rules=(threshold,))
    of_model = table[(table["model"] == name) & (table["evaluation"] == CROSS_VALIDATION)]
    return float(of_model["threshold"].iloc[0]), threshold


def _log_odds(values):
    return logit(np.clip(np.asarray(values, dtype=np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY))
