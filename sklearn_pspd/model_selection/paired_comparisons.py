"""Paired tests of models that were scored on the same patients."""

from itertools import combinations

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import (
    corrected_resampled_ttest,
    ensemble_auc_test,
    holm,
    mcnemar_test,
    replicated_auc_test,
)

from .folds import CROSS_VALIDATION
from .score_summaries import fold_sizes, folds_of, of_model, replicate_scores

TEST_COLUMNS = [
    "evaluation",
    "metric",
    "model_a",
    "model_b",
    "difference",
    "low",
    "high",
    "statistic",
    "p_value",
    "method",
]


def paired_tests(evaluation, scores, reference, confidence_level):
    """Compare models in pairs in one evaluation; see :meth:`ModelComparison.tests`."""
    by_model = dict(iter(scores.groupby("model", sort=False)))
    rows = []
    for name_a, name_b in _pairs(list(by_model), reference):
        found = _tests(by_model[name_a], _aligned(by_model[name_b], by_model[name_a]), confidence_level)
        rows += [
            {"evaluation": evaluation, "metric": metric, "model_a": name_a, "model_b": name_b, **test._asdict()}
            for metric, test in found.items()
        ]
    table = pd.DataFrame(rows, columns=TEST_COLUMNS)
    # Cross-validation may have no test of folds, and one model none at all.
    adjusted = table.groupby("metric")["p_value"].transform(lambda p: holm(p.to_numpy())) if len(table) else []
    table.insert(table.columns.get_loc("p_value") + 1, "p_holm", adjusted)
    return table


def _pairs(names, reference):
    if reference is None:
        return list(combinations(names, 2))
    if reference not in names:
        raise InputError(f"reference={reference!r}: no such model; there are {', '.join(map(repr, names))}")
    return [(reference, name) for name in names if name != reference]


def _aligned(b, a):
    """Return the scorings of b in the order of a, replicate by replicate."""
    order = of_model(a)[["repeat", "fold", "patient_id"]]
    parts = [order.merge(part, on=list(order), how="left") for _, part in b.groupby("replicate")]
    if any(part["y_score"].isna().any() for part in parts):
        raise InputError("models can only be compared on the same patients in the same folds")
    return pd.concat(parts, ignore_index=True)


def _tests(a, b, confidence_level):
    """Compare two models by AUC and accuracy, and by the AUC of their single networks if there are replicates."""
    level = {"confidence_level": confidence_level}
    model_a, model_b = of_model(a), of_model(b)
    y = model_a["y_true"].to_numpy()
    both = [part["y_score"].to_numpy() for part in (model_a, model_b)]
    is_external = model_a["evaluation"].iloc[0] != CROSS_VALIDATION
    found = {}
    try:
        members = [replicate_scores(part) for part in (a, b)]
        found["auc"] = ensemble_auc_test(y, *both, *members, **folds_of(model_a), **level)
        if any(part is not None for part in members):
            found["auc_single_network"] = replicated_auc_test(y, *map(_members, (a, b)), **folds_of(model_a), **level)
    except InputError:
        # Folds without both outcomes have no AUC, as the summary says.
        found = {}
    if is_external:
        predictions = [(part["y_score"] >= part["threshold"]).to_numpy() for part in (model_a, model_b)]
        found["accuracy"] = mcnemar_test(y == 1, *predictions, **level)
    elif len(set(model_a["fold"])) > 1:
        found["accuracy"] = _test_of_fold_accuracies(model_a, model_b, level)
    return found


def _members(scores):
    """Return the scores of the single networks; of a model without replicates, its own as the only one."""
    single = replicate_scores(scores)
    return of_model(scores)["y_score"].to_numpy()[np.newaxis] if single is None else single


def _test_of_fold_accuracies(a, b, level):
    _, n_train, n_test = fold_sizes(a)
    sizes = {"n_train": n_train, "n_test": n_test}
    return corrected_resampled_ttest(_fold_accuracies(a), _fold_accuracies(b), bounds=(-1, 1), **sizes, **level)


def _fold_accuracies(scores):
    is_right = (scores["y_score"] >= scores["threshold"]) == (scores["y_true"] == 1)
    return is_right.groupby(scores["fold"].to_numpy()).mean().to_numpy()
