"""A comparison of models as text."""

import math

import numpy as np
import pandas as pd

from sklearn_pspd.formatting import plain_text
from sklearn_pspd.model_selection.folds import CROSS_VALIDATION, EXTERNAL
from sklearn_pspd.statistics.calibration import NOT_ESTIMABLE

OTHER_METRICS = (("AUPRC", "average_precision"), ("accuracy", "accuracy"), ("Brier score", "brier"))
CLASS_HEADINGS = {"precision": "precision", "recall": "recall", "f1": "F1"}
DIFFERENCES = ("auc", "auc_single_network", "accuracy")
# Above this proportion of the variance of the scores between folds, pooled figures mostly compare different fits.
LARGE_LEVEL_SHARE = 0.5
# Classes, net benefit and thresholds are laid out for as many models as the paper has; those of others are in files.
MAX_MODELS_IN_DETAIL = 3
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
        One block per evaluation: AUC of each model and, for ensembles, of their single networks; AUPRC, accuracy, Brier
        score; precision, recall and F1 of each class; all with 95 % intervals; and the paired tests. Then how much the
        results depend on the training, calibration, net benefit, thresholds learned from out-of-fold scores, the
        optimism of tuning, and whether the external set was used before.
    """
    tables = comparison.tables() if tables is None else tables
    lines = [title, ""] if title else []
    models = list(tables["comparison"]["model"].unique())
    detailed = models[:MAX_MODELS_IN_DETAIL]
    for evaluation, rows in tables["comparison"].groupby("evaluation", sort=False):
        lines += [*_evaluation_lines(tables["scores"], evaluation, rows, detailed), ""]
        lines += _level_lines(rows)
        if len(differences := tables["tests"][tables["tests"]["evaluation"] == evaluation]):
            lines += [*_difference_lines(differences), ""]
    lines += _training_lines(tables.get("replicates"))
    lines += [
        *_calibration_lines(tables["calibration"]),
        "",
        *_benefit_lines(_of(tables["decision_curves"], detailed)),
        "",
    ]
    if "thresholds" in tables:
        lines += [*_threshold_lines(_of(tables["thresholds"], detailed)), ""]
    lines += [*_tuning_lines(tables.get("tuned_folds")), *_use_lines(tables.get("external_uses"))]
    lines += [*_notes(tables), ""]
    if len(models) > len(detailed):
        lines[-1:] = [
            f"Precision, recall, F1, net benefit and thresholds are shown for the first {len(detailed)} models only.",
            "",
        ]
    return "\n".join([*lines, "Research software, not a medical device.", ""])


def _of(table, models):
    return table[table["model"].isin(models)]


def _notes(tables):
    notes = [
        "A patient is classified as PsPD if the predicted probability is at least the prevalence of PsPD in that",
        "model's training data. Sensitivity for PsPD is the recall of PsPD, specificity the recall of PD.",
        "Intervals: 95 %, wider in cross-validation, whose folds share training patients (Nadeau and Bengio).",
        "AUCs of a cross-validation are means over its folds, since scores of different fits are not comparable; all",
        "other figures pool the predictions of the folds.",
    ]
    if "replicates" in tables:
        notes += [
            "A network is trained several times from different seeds; the model is the ensemble (mean log odds). Its",
            "interval and those of a single network hold the patients and the randomness of training.",
        ]
    return notes


def _evaluation_lines(scores, evaluation, rows, detailed):
    scores = scores[scores["evaluation"] == evaluation]
    outcomes = scores.drop_duplicates("patient_id")["y_true"]
    counts = f"{(outcomes == 0).sum()} PD, {(outcomes == 1).sum()} PsPD"
    aucs, others, of_classes = [], [], []
    for model, of_model in rows.groupby("model", sort=False):
        cells = {(row["metric"], row["class"]): row for row in of_model.to_dict("records")}
        single = cells.get(("auc_single_network", ""))
        aucs.append([model, _with_interval(cells["auc", ""]), "" if single is None else _with_interval(single)])
        others.append([model, *(_with_interval(cells[metric, ""]) for _, metric in OTHER_METRICS)])
        of_classes += [
            {"": name, "class": label, **{h: _with_interval(cells[m, label]) for m, h in CLASS_HEADINGS.items()}}
            for name, label in ((model, "PD"), ("", "PsPD"))
            if model in detailed
        ]
    chance = rows.loc[rows["metric"] == "average_precision_by_chance", "value"].iloc[0]
    headings = [f"{name} (chance {chance:.2f})" if name == "AUPRC" else name for name, _ in OTHER_METRICS]
    aucs = pd.DataFrame(aucs, columns=["", "AUC", "AUC of a single network"])
    if not aucs.iloc[:, 2].any():
        aucs = aucs.iloc[:, :2]
    return [
        f"{evaluation.capitalize()}: {_design(scores, evaluation)}, {counts}",
        plain_text(aucs),
        *_undefined_lines(rows),
        "",
        plain_text(pd.DataFrame(others, columns=["", *headings])),
        "",
        plain_text(pd.DataFrame(of_classes)),
    ]


def _design(scores, evaluation):
    if evaluation != CROSS_VALIDATION:
        return "held-out site"
    n_repeats = scores["repeat"].nunique()
    n_folds = scores["fold"].nunique() // n_repeats
    return f"{n_folds} folds" if n_repeats == 1 else f"{n_repeats} repeats of {n_folds} folds"


def _undefined_lines(rows):
    """Say why there is no AUC, which is so for all models or for none."""
    auc = rows[rows["metric"] == "auc"].iloc[0]
    return [f"There is no AUC; {auc['method']}"] if math.isnan(auc["value"]) else []


def _level_lines(rows):
    """Say where the scores of different folds lie at different levels."""
    values = rows.pivot_table(index="model", columns="metric", values="value", sort=False)
    if "fold_level_share" not in values or "auc_pooled" not in values:
        return []
    lines = [
        f"{model}: {100 * row['fold_level_share']:.0f} % of the variance of the scores lies between folds;\n"
        f"  pooled over the folds its AUC would be {row['auc_pooled']:.2f}, which compares fits rather than patients"
        for model, row in values.iterrows()
        if row["fold_level_share"] > LARGE_LEVEL_SHARE and not math.isnan(row["auc_pooled"])
    ]
    return [*lines, ""] if lines else []


def _training_lines(replicates):
    """Describe how much the results depend on the seed of the training."""
    if replicates is None:
        return []
    rows = [
        {
            "": row["model"],
            "evaluation": row["evaluation"],
            "AUC from seed to seed": f"{row['lowest']:.2f} to {row['highest']:.2f}",
            **{name: _percent(row[name]) for name in ("patients", "training", "interaction")},
            "needed": f"{row['n_needed']:.0f}".replace("inf", "-").replace("nan", "-"),
            "class changes": _percent(row["changing_class"]),
        }
        for row in replicates.to_dict("records")
    ]
    n = int(replicates["n_replicates"].max())
    return [
        f"Randomness of training, from {n} networks per fit: range of the AUC, proportions of the variance of a single",
        "network's AUC, networks needed for less than a tenth of the variance of their mean AUC to be due to training,",
        "and patients whom not all networks classify alike",
        plain_text(pd.DataFrame(rows)),
        "",
    ]


def _difference_lines(tests):
    """Lay out the differences between the models in pairs, and how they were tested."""
    by_metric = {metric: tests[tests["metric"] == metric] for metric in DIFFERENCES}
    shown = {metric: rows for metric, rows in by_metric.items() if len(rows)}
    headings = {"auc": "AUC", "auc_single_network": "AUC of a single network", "accuracy": "accuracy"}
    lines = []
    for metric, rows in shown.items():
        cells = [[f"{row['model_a']} - {row['model_b']}", *_test_cells(row)] for row in rows.to_dict("records")]
        lines += [plain_text(pd.DataFrame(cells, columns=["", f"difference of {headings[metric]}", "p", "Holm"]))]
        lines += [f"Test: {method}" for method in rows["method"].unique()] + [""]
    return lines[:-1]


def _test_cells(test):
    """Return the difference with its interval, the p-value and Holm's."""
    difference = f"{test['difference']:+.2f} ({test['low']:+.2f} to {test['high']:+.2f})"
    return difference, *(_p_value(test[name]) for name in ("p_value", "p_holm"))


def _calibration_lines(table):
    rows = []
    for (model, evaluation), part in table.groupby(["model", "evaluation"], sort=False):
        cells = {row["metric"]: row for row in part.to_dict("records")}
        levels = cells.get("fold_level_sd")
        rows.append(
            {
                "": model,
                "evaluation": evaluation,
                "slope": _slope(cells["slope"]),
                "intercept": _with_interval(cells["intercept"]),
                "SD of levels": "" if levels is None else _number(levels["value"]),
            }
        )
    return [
        "Calibration: ideal are slope 1 and intercept 0; with a slope below 1, predictions are too extreme. Slopes of",
        "a cross-validation are estimated within folds; beside them is the SD of the folds' levels (mean log odds).",
        plain_text(pd.DataFrame(rows)),
    ]


def _slope(row):
    """Return the slope with its interval, or only the interval where so few patients do not identify the slope."""
    if NOT_ESTIMABLE not in row["method"]:
        return _with_interval(row)
    return f"{NOT_ESTIMABLE} ({_number(row['low'])} to {_number(row['high'])})"


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
    shown = table[table["evaluation"] == table["evaluation"].iloc[-1]]
    for row in shown.to_dict("records"):
        limits = "" if math.isnan(row["low"]) else f" ({row['low']:.2f} to {row['high']:.2f})"
        rows.append(
            {
                "": row["model"],
                "rule": row["rule"].replace("_", " ") + (" (optimistic)" if row["is_optimistic"] else ""),
                "threshold": f"{row['threshold']:.2f}{limits}",
                "at folds' levels": _range(row["lowest_fold"], row["highest_fold"]),
                **{name: _interval_of(row, name) for name in ("sensitivity", "specificity")},
            }
        )
    is_external = (table["evaluation"] == EXTERNAL).any()
    where = "the held-out site" if is_external else "the patients from whom they were learned"
    heading = f"Thresholds learned from out-of-fold scores, with bootstrap limits, applied to {where}"
    remarks = [f"{row.model}, {row.rule.replace('_', ' ')}: {row.remark}" for row in shown.itertuples() if row.remark]
    return [heading, plain_text(pd.DataFrame(rows)), *remarks]


def _range(low, high):
    return "" if math.isnan(low) else f"{low:.2f} to {high:.2f}"


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


def _interval_of(row, name):
    return _with_interval({"value": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]})


def _with_interval(row):
    return f"{_number(row['value'])} ({_number(row['low'])} to {_number(row['high'])})"


def _p_value(p):
    if math.isnan(p):
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _percent(value):
    return "-" if math.isnan(value) else f"{100 * value:.0f} %"


def _number(value):
    return "   -" if math.isnan(value) else f"{value:z.2f}".replace("inf", "infinite")
