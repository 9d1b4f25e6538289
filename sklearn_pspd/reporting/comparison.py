"""A comparison of models as text."""

import math

import pandas as pd

from sklearn_pspd.formatting import plain_text, wrapped_text
from sklearn_pspd.model_selection.folds import CROSS_VALIDATION
from sklearn_pspd.plotting.number_texts import number_text

from .comparison_tables import (
    DIFFERENCES,
    auc_table,
    calibration_summary,
    chance_note,
    class_table,
    difference_table,
    last_evaluation,
    metric_table,
    net_benefit_table,
    paired_test_notes,
    replicate_table,
    rule_name,
    threshold_summary,
    tuning_table,
)

# Above this proportion of the variance of the scores between folds, pooled figures mostly compare different fits.
LARGE_LEVEL_SHARE = 0.5
# Classes, net benefit and thresholds are laid out for as many models as the paper has; those of others are in files.
MAX_MODELS_IN_DETAIL = 3
CLASSIFICATION_NOTE = (
    "A patient is classified as PsPD if the predicted probability is at least the prevalence of PsPD in that model's "
    "training data. Sensitivity for PsPD is the recall of PsPD, specificity the recall of PD."
)
INTERVAL_NOTE = (
    "Intervals: 95 %, wider in cross-validation, whose folds share training patients (Nadeau and Bengio). AUCs of a "
    "cross-validation are means over its folds, since scores of different fits are not comparable; all other figures "
    "pool the predictions of the folds."
)
ENSEMBLE_NOTE = (
    "A network is trained several times from different seeds; the model is the ensemble (mean log odds). Its interval "
    "and those of a single network hold the patients and the randomness of training."
)
REPLICATE_NOTE = (
    "range of the AUC, proportions of the variance of a single network's AUC, networks needed for less than a tenth of "
    "the variance of their mean AUC to be due to training, and patients whom not all networks classify alike"
)
NEEDED_NOTE = (
    "The number needed counts what the seed changes for all patients alike (training), not the interaction, by which "
    "each network ranks different patients well. A 1 does not mean that one network is enough where the interaction is "
    "large or classes change."
)
CALIBRATION_NOTE = (
    "Calibration: ideal are slope 1 and intercept 0; with a slope below 1, predictions are too extreme. Slopes of a "
    "cross-validation are estimated within folds; beside them is the SD of the folds' levels (mean log odds). A slope "
    "is not estimable if an outcome has fewer than 20 patients, or if its interval is too wide."
)
BENEFIT_NOTE = "Net benefit of classifying as PsPD at a threshold probability (treat none = 0)"
TUNING_NOTE = "Tuning inside each training fold: mean score of the selected values in the inner folds and held out"


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
    lines = [wrapped_text(title), ""] if title else []
    models = list(tables["comparison"]["model"].unique())
    detailed = models[:MAX_MODELS_IN_DETAIL]
    # Each evaluation by itself.
    for evaluation, rows in tables["comparison"].groupby("evaluation", sort=False):
        lines += _evaluation_lines(tables["scores"], evaluation, rows, detailed)
        lines += _difference_lines(tables["tests"][tables["tests"]["evaluation"] == evaluation])
    # What concerns all of them.
    lines += _training_lines(tables.get("replicates"))
    lines += [wrapped_text(CALIBRATION_NOTE), _laid_out(calibration_summary(tables["calibration"])), ""]
    lines += [BENEFIT_NOTE, _laid_out(net_benefit_table(_of(tables["decision_curves"], detailed))), ""]
    if "thresholds" in tables:
        lines += _threshold_lines(_of(tables["thresholds"], detailed))
    lines += _tuning_lines(tables.get("tuned_folds"))
    lines += [*map(wrapped_text, uses), ""] if (uses := use_notes(tables.get("external_uses"))) else []
    # How to read them.
    lines += [*map(wrapped_text, comparison_notes(tables)), ""]
    if len(models) > len(detailed):
        lines += [
            f"Precision, recall, F1, net benefit and thresholds are shown for the first {len(detailed)} models only.",
            "",
        ]
    return "\n".join([*lines, "Research software, not a medical device.", ""])


def threshold_note(patients):
    """Say what the thresholds are.

    Parameters
    ----------
    patients : str
        Those to whom they are applied.

    Returns
    -------
    str
        One line.
    """
    return f"Thresholds learned from out-of-fold scores, with bootstrap limits, applied to {patients}"


def design_text(scores, evaluation):
    """Say how patients were held out.

    Parameters
    ----------
    scores : DataFrame
        The table "scores", or its rows of one evaluation.
    evaluation : str
        The evaluation.

    Returns
    -------
    str
        For example "Cross-validation: 5 folds, 37 PD, 22 PsPD".
    """
    scores = scores[scores["evaluation"] == evaluation]
    outcomes = scores.drop_duplicates("patient_id")["y_true"]
    design = "held-out site"
    if evaluation == CROSS_VALIDATION:
        n_repeats = scores["repeat"].nunique()
        n_folds = scores["fold"].nunique() // n_repeats
        design = f"{n_folds} folds" if n_repeats == 1 else f"{n_repeats} repeats of {n_folds} folds"
    return f"{evaluation.capitalize()}: {design}, {(outcomes == 0).sum()} PD, {(outcomes == 1).sum()} PsPD"


def undefined_auc(rows):
    """Say why there is no AUC, which is so for all models or for none.

    Parameters
    ----------
    rows : DataFrame
        Rows of one evaluation of the table "comparison".

    Returns
    -------
    list of str
        One sentence, or nothing.
    """
    auc = rows[rows["metric"] == "auc"].iloc[0]
    return [f"There is no AUC; {auc['method']}"] if math.isnan(auc["value"]) else []


def level_notes(rows):
    """Say where the scores of different folds lie at different levels.

    Parameters
    ----------
    rows : DataFrame
        Rows of one evaluation of the table "comparison".

    Returns
    -------
    list of str
        One sentence that names the models for which this is so, or nothing.
    """
    values = rows.pivot_table(index="model", columns="metric", values="value", sort=False)
    if "fold_level_share" not in values or "auc_pooled" not in values:
        return []
    shown = values[(values["fold_level_share"] > LARGE_LEVEL_SHARE) & values["auc_pooled"].notna()]
    if shown.empty:
        return []
    texts = list(map(number_text, shown["auc_pooled"]))
    shares = [f"{model}: {100 * share:.0f} %" for model, share in shown["fold_level_share"].items()]
    pooled = " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))
    return [
        f"{', '.join(shares)} of the variance of the scores lies between folds; pooled over the folds "
        f"{'its AUC' if len(shown) == 1 else 'their AUCs'} would be {pooled}, which compares fits rather than patients"
    ]


def threshold_remarks(shown):
    """Say which thresholds could not be learned as asked.

    Parameters
    ----------
    shown : DataFrame
        Rows of one evaluation of the table "thresholds".

    Returns
    -------
    list of str
        One line per remark, with the models and rules that it concerns.
    """
    remarks = []
    for remark, rows in shown[shown["remark"] != ""].groupby("remark", sort=False):
        models = [
            f"{model} ({', '.join(map(rule_name, of_model['rule']))})"
            for model, of_model in rows.groupby("model", sort=False)
        ]
        remarks.append(f"{remark[0].upper()}{remark[1:]}: {', '.join(models)}")
    return remarks


def use_notes(uses):
    """Say how often the external patients were scored.

    Parameters
    ----------
    uses : DataFrame or None
        The table "external_uses".

    Returns
    -------
    list of str
        Nothing after the first use.
    """
    if uses is None or (n_uses := uses["use"].max()) == 1:
        return []
    lines = [
        f"These external patients were scored {n_uses} times, with {uses['settings'].nunique()} models or settings. If "
        "one of these was selected by its scores on them, its figures are optimistic."
    ]
    if n_relabelled := uses["n_relabelled"].max():
        lines.append(f"The outcome of {n_relabelled} of them was different at an earlier use.")
    return lines


def comparison_notes(tables):
    """Say how the figures of a comparison are to be read.

    Parameters
    ----------
    tables : dict of str to DataFrame
        What ``comparison.tables()`` returned.

    Returns
    -------
    list of str
        Paragraphs.
    """
    return [CLASSIFICATION_NOTE, INTERVAL_NOTE, *([ENSEMBLE_NOTE] if "replicates" in tables else [])]


def _of(table, models):
    return table[table["model"].isin(models)]


def _laid_out(table):
    """Return a table as text, without a heading above the names of the models."""
    return plain_text(table.rename(columns={"model": "", "models": ""}))


def _grouped(table):
    """Return a table as text, with the name of each model in a line above its rows, which are indented."""
    first = table.columns[1]
    rows = []
    for model, part in table.groupby("model", sort=False):
        rows.append({first: model})
        rows += [{**row, first: f"  {row[first]}"} for row in part.drop(columns="model").to_dict("records")]
    return plain_text(pd.DataFrame(rows).fillna("").rename(columns={first: ""}))


def _class_lines(rows, detailed):
    """Return precision, recall and F1, with the name of a model in the first of its rows only."""
    table = class_table(_of(rows, detailed))
    table.loc[table["class"] == "PsPD", "model"] = ""
    return _laid_out(table)


def _evaluation_lines(scores, evaluation, rows, detailed):
    return [
        wrapped_text(design_text(scores, evaluation)),
        _laid_out(auc_table(rows)),
        *map(wrapped_text, undefined_auc(rows)),
        "",
        _laid_out(metric_table(rows)),
        wrapped_text(chance_note(scores[scores["evaluation"] == evaluation], rows), indent="  "),
        "",
        _class_lines(rows, detailed),
        "",
        *(wrapped_text(note, indent="  ") for note in level_notes(rows)),
        *([""] if level_notes(rows) else []),
    ]


def _difference_lines(tests):
    """Lay out the differences between the models in pairs, and how they were tested."""
    lines = []
    for metric in DIFFERENCES:
        rows = tests[tests["metric"] == metric]
        if len(rows):
            notes = [wrapped_text(note, indent="  ") for note in paired_test_notes(rows)]
            lines += [_laid_out(difference_table(rows, metric)), *notes, ""]
    return lines


def _training_lines(replicates):
    """Describe how much the results depend on the seed of the training."""
    if replicates is None:
        return []
    n = int(replicates["n_replicates"].max())
    heading = f"Randomness of training, from {n} networks per fit: {REPLICATE_NOTE}"
    note = wrapped_text(NEEDED_NOTE, indent="  ")
    return [wrapped_text(heading), _laid_out(replicate_table(replicates)), note, ""]


def _threshold_lines(table):
    shown, patients = last_evaluation(table)
    heading = wrapped_text(threshold_note(patients))
    remarks = [wrapped_text(remark, indent="  ") for remark in threshold_remarks(shown)]
    return [heading, _grouped(threshold_summary(shown)), *remarks, ""]


def _tuning_lines(tuned):
    return [] if tuned is None else [wrapped_text(TUNING_NOTE), _laid_out(tuning_table(tuned)), ""]
