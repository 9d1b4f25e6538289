"""Tables of a model's scores: metrics with intervals, replicates, spread of each patient's scores."""

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import (
    Estimate,
    auc_within_folds,
    average_precision_by_chance,
    calibration_intercept,
    calibration_slope,
    ensemble_auc,
    fold_level_sd,
    fold_level_share,
    replicated_auc,
    score_table,
)
from sklearn_pspd.statistics.intervals import shared_training_factor, widened_level

from .folds import CROSS_VALIDATION

WIDENED = ", widened for shared training patients"


def of_model(scores):
    """Return the rows of the model itself, which is an ensemble where there are replicates."""
    return scores[scores["replicate"] == 0]


def of_first_repeat(scores):
    """Return the rows of the model itself in the first repeat, one per patient, model and evaluation."""
    return scores[(scores["replicate"] == 0) & (scores["repeat"] <= 1)]


def replicate_scores(scores):
    """Return the scores of the single networks, one row per replicate, in the order of :func:`of_model`; None if none.

    Parameters
    ----------
    scores : DataFrame
        Scores of one model in one evaluation.

    Returns
    -------
    ndarray of shape (n_replicates, n_scorings) or None
        Probabilities of PsPD.
    """
    single = scores[scores["replicate"] > 0]
    if single.empty:
        return None
    return np.stack([part["y_score"].to_numpy() for _, part in single.groupby("replicate")])


def variance_factor(scores):
    """Return the factor by which shared training patients increase the variance; 1 on an external set."""
    n_folds, n_train, n_test = fold_sizes(scores)
    if scores["evaluation"].iloc[0] != CROSS_VALIDATION or n_folds == 1:
        return 1.0
    return shared_training_factor(n_folds, n_train, n_test)


def fold_sizes(scores):
    """Return the number of folds of a repeat, and the mean numbers of training and of test patients of a fold."""
    n_folds = scores.groupby("repeat")["fold"].nunique().max()
    n_patients = scores["patient_id"].nunique()
    n_test = n_patients / n_folds
    return n_folds, n_patients - n_test, n_test


def coverage(scores, confidence_level):
    """Return the nominal coverage that makes a plain interval as wide as shared training patients require."""
    return widened_level(confidence_level, variance_factor(scores))


def folds_of(scores):
    """Return folds and patients of the scorings, for functions that take both; neither on an external set."""
    if scores["evaluation"].iloc[0] != CROSS_VALIDATION:
        return {}
    return {"fold": scores["fold"].to_numpy(), "patient": scores["patient_id"].to_numpy()}


def mean_over_repeats(tabulate, scores):
    """Tabulate each repeat of a cross-validation, and average the numbers of the tables, limits included."""
    tables = [tabulate(part) for _, part in scores.groupby("repeat", sort=False)]
    table = tables[0].copy()
    if len(tables) > 1:
        numbers = table.select_dtypes("number").columns
        table[numbers] = np.mean([other[numbers].to_numpy(dtype=np.float64) for other in tables], axis=0)
    return table


def summarise(scores, confidence_level, random_state):
    """Summarise the scores of one model in one evaluation; see :meth:`ModelComparison.frame`."""
    model = of_model(scores)
    is_external = model["evaluation"].iloc[0] != CROSS_VALIDATION
    table = mean_over_repeats(
        lambda part: score_table(
            part["y_true"].to_numpy(),
            part["y_score"].to_numpy(),
            threshold=part["threshold"].to_numpy(),
            confidence_level=confidence_level,
            random_state=random_state,
            variance_factor=variance_factor(part),
        ),
        model,
    )
    plain = Estimate(*table.loc[table["metric"] == "auc", list(Estimate._fields)].iloc[0])
    table = table[table["metric"] != "auc"]
    rows = {"auc": plain}
    if not is_external:
        rows = _cross_validated(scores, plain, confidence_level)
        table["method"] += WIDENED
    elif (single := replicate_scores(scores)) is not None:
        outcomes_and_scores = model["y_true"].to_numpy(), model["y_score"].to_numpy()
        rows["auc"] = ensemble_auc(*outcomes_and_scores, single, confidence_level=confidence_level)
    rows |= _single_network(scores, confidence_level, is_defined=not np.isnan(rows["auc"].value))
    # Each patient once, as in the average precision of each repeat.
    outcomes = model.loc[model["repeat"] == model["repeat"].iloc[0], "y_true"]
    n_positive = int((outcomes == 1).sum())
    by_chance = average_precision_by_chance(n_positive, len(outcomes) - n_positive)
    chance = _row("average_precision_by_chance", Estimate(by_chance, np.nan, np.nan, "mean over all rankings"))
    aucs = pd.DataFrame([_row(metric, estimate) for metric, estimate in rows.items()])
    return pd.concat([aucs, table, pd.DataFrame([chance])], ignore_index=True)


def calibration_rows(scores, confidence_level):
    """Tabulate calibration intercept and slope of one model in one evaluation."""
    level = {"confidence_level": coverage(scores, confidence_level)}
    is_external = scores["evaluation"].iloc[0] != CROSS_VALIDATION

    def intercept(part):
        return pd.DataFrame([calibration_intercept(part["y_true"], part["y_score"], **level)._asdict()])

    rows = {
        "intercept": Estimate(*mean_over_repeats(intercept, scores).iloc[0]),
        "slope": calibration_slope(scores["y_true"], scores["y_score"], **folds_of(scores), **level),
    }
    if not is_external:
        sd = fold_level_sd(scores["y_score"], scores["fold"])
        rows["fold_level_sd"] = Estimate(sd, np.nan, np.nan, "SD of the folds' levels")
    return pd.DataFrame([{"metric": metric, **estimate._asdict()} for metric, estimate in rows.items()])


def replicate_table(scores, confidence_level):
    """Describe how much the AUC depends on the training; see :meth:`ModelComparison.replicates`."""
    single, model = replicate_scores(scores), of_model(scores)
    found = _replicated(model, single, confidence_level)
    is_pspd = single >= model["threshold"].to_numpy()
    changing = float(np.mean(is_pspd.any(axis=0) & ~is_pspd.all(axis=0)))
    return pd.DataFrame([{**found._asdict(), "changing_class": changing}])


def patient_table(scores):
    """Describe how much the score of each patient depends on the training; see :meth:`ModelComparison.patients`."""
    single, model = replicate_scores(scores), of_model(scores)
    is_pspd = single >= model["threshold"].to_numpy()
    columns = {
        "y_score": model["y_score"].to_numpy(),
        "std": single.std(axis=0, ddof=1),
        "lowest": single.min(axis=0),
        "highest": single.max(axis=0),
        "classified_pspd": is_pspd.mean(axis=0),
    }
    identity = model[["repeat", "fold", "patient_id", "y_true"]].reset_index(drop=True)
    return identity.assign(**columns)


def _cross_validated(scores, pooled, confidence_level):
    """Return the AUC within folds, that of the pooled scores, and how far the levels of the folds differ."""
    model, single = of_model(scores), replicate_scores(scores)
    outcomes_and_scores = model["y_true"].to_numpy(), model["y_score"].to_numpy()
    settings = {"confidence_level": confidence_level, **folds_of(model)}
    try:
        if single is None:
            auc = auc_within_folds(*outcomes_and_scores, **settings)
        else:
            auc = ensemble_auc(*outcomes_and_scores, single, **settings)
    except InputError as refusal:
        # Patients of different folds were scored by different fits, so there is no AUC of them either.
        auc = Estimate(np.nan, np.nan, np.nan, f"undefined: {refusal}")
        pooled = auc
    share = fold_level_share(outcomes_and_scores[1], model["fold"].to_numpy())
    return {
        "auc": auc,
        "auc_pooled": pooled._replace(method=pooled.method if pooled is auc else pooled.method + WIDENED),
        "fold_level_share": Estimate(share, np.nan, np.nan, "proportion of the variance of the log odds between folds"),
    }


def _single_network(scores, confidence_level, *, is_defined):
    """Return the mean AUC of the single networks, if there are replicates."""
    single = replicate_scores(scores)
    if single is None or not is_defined:
        return {}
    found = _replicated(of_model(scores), single, confidence_level)
    return {"auc_single_network": Estimate(found.value, found.low, found.high, found.method)}


def _replicated(model, single, confidence_level):
    return replicated_auc(model["y_true"].to_numpy(), single, confidence_level=confidence_level, **folds_of(model))


def _row(metric, estimate):
    return {"metric": metric, "class": "", **estimate._asdict()}
