"""A comparison of models as text."""

import math
from itertools import zip_longest

import numpy as np
import pandas as pd

from sklearn_pspd.formatting import plain_text
from sklearn_pspd.model_selection.folds import CROSS_VALIDATION, EXTERNAL

RANKING = (
    ("AUC", "auc"),
    ("mean of folds", "auc_fold_mean"),
    ("AUPRC", "average_precision"),
    ("mean of folds", "average_precision_fold_mean"),
    ("accuracy", "accuracy"),
    ("Brier score", "brier"),
)
CLASS_HEADINGS = {"precision": "precision", "recall": "recall", "f1": "F1"}
# Of the AUC and of the accuracy, which a cross-validation tests over its folds.
DIFFERENCES = (("auc",), ("accuracy", "accuracy_fold_mean"))
SHOWN_THRESHOLDS = (0.25, 0.5, 0.75)


def comparison_text(comparison, *, title=None, tables=None):
    """Lay out a comparison of models as plain text.

    Parameters
    ----------
    comparison : ModelComparison
        What :func:`~sklearn_pspd.model_selection.compare_models` returned.
    title : str, default=None
        First line, for example that the cohort is synthetic.
    tables : dict of str to DataFrame, default=None
        What ``comparison.tables()`` returned, if it was called before.

    Returns
    -------
    str
        One block per evaluation: AUC, AUPRC, accuracy, Brier score, and precision, recall and F1 of each class, with
        95 % intervals, and the paired tests of AUCs and accuracies. Then calibration, net benefit, thresholds learned
        from out-of-fold scores, the optimism of tuning, and whether the external set was used before.
    """
    tables = comparison.tables() if tables is None else tables
    lines = [title, ""] if title else []
    for evaluation, rows in tables["comparison"].groupby("evaluation", sort=False):
        lines += [*_evaluation_lines(tables["scores"], evaluation, rows), ""]
        if len(differences := tables["tests"][tables["tests"]["evaluation"] == evaluation]):
            lines += [*_difference_lines(differences), ""]
    lines += [*_calibration_lines(tables["calibration"]), "", *_benefit_lines(tables["decision_curves"]), ""]
    if "thresholds" in tables:
        lines += [*_threshold_lines(tables["thresholds"]), ""]
    lines += [*_tuning_lines(tables.get("tuned_folds")), *_use_lines(tables.get("external_uses"))]
    lines += [
        "A patient is classified as PsPD if the predicted probability is at least the prevalence of PsPD in that",
        "model's training data. Sensitivity for PsPD is the recall of PsPD, specificity the recall of PD.",
        "Intervals: 95 %, wider in cross-validation, whose folds share training patients (Nadeau and Bengio).",
    ]
    return "\n".join([*lines, "Research software, not a medical device.", ""])


def _evaluation_lines(scores, evaluation, rows):
    patients = scores[scores["evaluation"] == evaluation].drop_duplicates("patient_id")
    counts = f"{(patients['y_true'] == 0).sum()} PD, {(patients['y_true'] == 1).sum()} PsPD"
    is_external = evaluation != CROSS_VALIDATION
    how = "held-out site" if is_external else f"{patients['fold'].nunique()} folds, pooled"
    shown = [(heading, metric) for heading, metric in RANKING if metric in set(rows["metric"])]
    ranking, of_classes = [], []
    for model, of_model in rows.groupby("model", sort=False):
        cells = {(row["metric"], row["class"]): row for row in of_model.to_dict("records")}
        ranking.append([model, *(_estimate(cells[metric, ""]) for _, metric in shown)])
        of_classes += [
            {"": name, "class": label, **{h: _estimate(cells[m, label]) for m, h in CLASS_HEADINGS.items()}}
            for name, label in ((model, "PD"), ("", "PsPD"))
        ]
    heading = f"{evaluation.capitalize()}: {how}, {counts}"
    ranking = pd.DataFrame(ranking, columns=["", *(heading for heading, _ in shown)])
    return [heading, plain_text(ranking), "", plain_text(pd.DataFrame(of_classes))]


def _difference_lines(tests):
    """Lay out the differences between the models in pairs, and how they were tested."""
    auc, accuracy = (tests[tests["metric"].isin(names)].to_dict("records") for names in DIFFERENCES)
    rows = []
    for first, second in zip_longest(auc, accuracy):
        rows.append([f"{first['model_a']} - {first['model_b']}", *_test_cells(first), *_test_cells(second)])
    columns = ["", "difference of AUC", "p", "Holm", "difference of accuracy", "p", "Holm"]
    methods = [
        f"{what}: {' or '.join(dict.fromkeys(test['method'] for test in of_metric))}"
        for what, of_metric in (("AUC", auc), ("accuracy", accuracy))
        if of_metric
    ]
    return [plain_text(pd.DataFrame(rows, columns=columns)), f"Tests: {'; '.join(methods)}"]


def _test_cells(test):
    """Return difference, p-value and Holm's, blank where a cross-validation of one fold has no test."""
    if test is None:
        return "", "", ""
    difference = f"{test['difference']:+.2f} ({test['low']:+.2f} to {test['high']:+.2f})"
    return difference, *("-" if math.isnan(test[p]) else f"{test[p]:.3f}" for p in ("p_value", "p_holm"))


def _calibration_lines(table):
    rows = []
    for (model, evaluation), part in table.groupby(["model", "evaluation"], sort=False):
        texts = {row["metric"]: _with_interval(row) for row in part.to_dict("records")}
        rows.append({"": model, "evaluation": evaluation, "slope": texts["slope"], "intercept": texts["intercept"]})
    heading = "Calibration: ideal are slope 1 and intercept 0; with a slope below 1, predictions are too extreme"
    return [heading, plain_text(pd.DataFrame(rows))]


def _benefit_lines(table):
    shown = table[np.isclose(table["threshold"].to_numpy()[:, np.newaxis], SHOWN_THRESHOLDS).any(axis=1)]
    rows = []
    for evaluation, of_evaluation in shown.groupby("evaluation", sort=False):
        for model, part in of_evaluation.groupby("model", sort=False):
            texts = map(_with_interval, part.rename(columns={"net_benefit": "value"}).to_dict("records"))
            rows.append([model, evaluation, *texts])
        rows.append(["treat all", evaluation, *map(_number, part["treat_all"])])
    heading = "Net benefit of classifying as PsPD at a threshold probability (treat none = 0)"
    return [heading, plain_text(pd.DataFrame(rows, columns=["", "evaluation", *map(str, SHOWN_THRESHOLDS)]))]


def _threshold_lines(table):
    rows = []
    for row in table[table["evaluation"] == table["evaluation"].iloc[-1]].to_dict("records"):
        limits = "" if math.isnan(row["low"]) else f" ({row['low']:.2f} to {row['high']:.2f})"
        rows.append(
            {
                "": row["model"],
                "rule": row["rule"].replace("_", " "),
                "learned from": "these patients: optimistic" if row["is_optimistic"] else "out-of-fold scores",
                "threshold": f"{row['threshold']:.2f}{limits}",
                **{name: _interval_of(row, name) for name in ("sensitivity", "specificity")},
            }
        )
    is_external = (table["evaluation"] == EXTERNAL).any()
    where = "the held-out site" if is_external else "the patients from whom they were learned"
    heading = f"Thresholds with bootstrap limits, applied to {where}; sensitivity is for PsPD"
    return [heading, plain_text(pd.DataFrame(rows))]


def _tuning_lines(tuned):
    if tuned is None:
        return []
    inside = tuned[tuned["evaluation"] == CROSS_VALIDATION]
    means = inside.groupby("model", sort=False)[["inner_score", "outer_score"]].mean()
    rows = [
        {"": model, "inner folds": _number(inner), "held out": _number(outer), "optimism": f"{inner - outer:+.2f}"}
        for model, inner, outer in means.itertuples()
    ]
    heading = "Tuning inside each training fold: mean score of the selected values in the inner folds and held out"
    return [heading, plain_text(pd.DataFrame(rows)), ""]


def _use_lines(uses):
    if uses is None or (n_uses := uses["use"].max()) == 1:
        return []
    lines = [
        f"These external patients were scored {n_uses} times, with {uses['settings'].nunique()} models or settings.",
        "If one of these was selected by its scores on them, its figures are optimistic.",
    ]
    if n_relabelled := uses["n_relabelled"].max():
        lines.append(f"The outcome of {n_relabelled} of them was different at an earlier use.")
    return [*lines, ""]


def _estimate(row):
    """Return a value with its interval; the mean of folds has none."""
    return _number(row["value"]) if row["metric"].endswith("_fold_mean") else _with_interval(row)


def _interval_of(row, name):
    return _with_interval({"value": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]})


def _with_interval(row):
    return f"{_number(row['value'])} ({_number(row['low'])} to {_number(row['high'])})"


def _number(value):
    return "   -" if math.isnan(value) else f"{value:z.2f}".replace("inf", "infinite")
