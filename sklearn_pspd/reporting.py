"""The report of a study: text to read, tables to compute with, and figures."""

import math

import matplotlib.pyplot as plt
import pandas as pd

from .cohort import CLINICAL_COLUMNS
from .plotting import (
    CalibrationCurveDisplay,
    ComparisonDisplay,
    DecisionCurveDisplay,
    LadderDisplay,
    NegativeControlDisplay,
    ThresholdDisplay,
)
from .sample_size import development_sample_size, expected_auc_interval, validation_sample_size
from .table_text import plain_text

# What a study may hope for; the paper's cross-validation reached 0.72.
HOPED_FOR_AUC = 0.75

FIGURE_DPI = 120


def cohort_text(findings, characteristics, y, y_test=None, *, title=None):
    """Describe a cohort before anything is trained: leaks, patients, and what their number allows.

    Parameters
    ----------
    findings : DataFrame
        What :func:`~sklearn_pspd.model_selection.audit_leaks` returned.
    characteristics : CharacteristicsTable
        By outcome.
    y : ndarray of shape (n_patients,)
        Outcomes of the training patients, 1 = PsPD.
    y_test : ndarray, default=None
        Outcomes of the held-out patients.
    title : str, default=None
        First line, for example that the cohort is synthetic.

    Returns
    -------
    str
        Three blocks.
    """
    lines = ["Leaks: none found (patients that occur twice, features that give the outcome away)"]
    if len(findings):
        named = findings.drop(columns="sites").astype(str)
        lines = [f"Leaks: {len(findings)} to look at", plain_text(named)]
    lines += ["", "Patients by outcome", plain_text(characteristics.frame()), ""]
    return "\n".join([*([title, ""] if title else []), *lines, *_size_lines(y, y_test), ""])


def ladder_text(result):
    """Lay out a tuning as plain text.

    Parameters
    ----------
    result : LadderResult
        What :func:`~sklearn_pspd.model_selection.tune_ladder` returned.

    Returns
    -------
    str
        Chosen epochs, and the mean score of each value of each rung.
    """
    lines = ["Tuning on the training patients", f"epochs: {result.best_params['classifier__epochs']} of lowest loss"]
    for rung, rows in result.scores.groupby("rung", sort=False):
        means = rows.groupby("value", sort=False)["score"].agg(["mean", "std"])
        shown = ", ".join(f"{value} {mean:.2f} (SD {spread:.2f})" for value, mean, spread in means.itertuples())
        lines.append(f"{rung.rsplit('__', 1)[-1]}: {shown}; chosen {result.best_params[rung]}")
    return "\n".join([*lines, "The chosen values were chosen for their scores, which are therefore too good.", ""])


def controls_text(controls):
    """Lay out negative controls as plain text.

    Parameters
    ----------
    controls : dict of str to NegativeControl
        By model.

    Returns
    -------
    str
        A line a model.
    """
    first = next(iter(controls.values()))
    n = len(first.permutation_scores)
    rows = [
        {
            "": name,
            "AUC": f"{control.score:.2f}",
            "scrambled, mean": f"{control.permutation_scores.mean():.2f}",
            "p": f"{control.p_value:.2g}",
        }
        for name, control in controls.items()
    ]
    arrangements = "one arrangement" if n == 1 else f"{n} arrangements"
    lines = [f"Negative control: the same protocol on scrambled outcomes, {arrangements}, mean AUC of folds"]
    note = f"p is {first.resolution:.2g} at best with {arrangements}."
    return "\n".join([*lines, plain_text(pd.DataFrame(rows)), note, ""])


def comparison_text(comparison, *, title=None):
    """Lay out a comparison of models as plain text.

    Parameters
    ----------
    comparison : ModelComparison
        What :func:`~sklearn_pspd.model_selection.compare_models` returned.
    title : str, default=None
        First line, for example that the cohort is synthetic.

    Returns
    -------
    str
        A block for each evaluation: AUC and AUPRC with 95 % intervals, then precision, recall and F1 of each class; and
        the differences of AUCs with DeLong's paired test. Then calibration, thresholds learned from out-of-fold scores,
        and whether the external set was used before.
    """
    frame, tests = comparison.frame(), comparison.tests()
    lines = [title, ""] if title else []
    for evaluation, rows in frame.groupby("evaluation", sort=False):
        lines += [*_evaluation_lines(comparison.scores, evaluation, rows), ""]
        if len(differences := tests[(tests["evaluation"] == evaluation) & (tests["metric"] == "auc")]):
            lines += [*_difference_lines(differences), ""]
    lines += [*_calibration_lines(comparison), "", *_threshold_lines(comparison), "", *_use_lines(comparison)]
    lines.append("Calls: PsPD where its probability reaches the share of PsPD among the model's training patients.")
    lines.append("Intervals: 95 %, wider in cross-validation, whose folds share training patients (Nadeau and Bengio).")
    return "\n".join([*lines, "Research software, not a medical device.", ""])


def write_comparison(comparison, folder, *, title=None):
    """Save a comparison of models.

    Writes ``comparison.txt`` (what :func:`comparison_text` gives), ``comparison.csv`` (every metric with its interval),
    ``tests.csv`` (paired tests of the models), ``scores.csv`` (every patient's score), ``calibration.csv``,
    ``calibration_curves.csv``, ``decision_curves.csv`` and ``thresholds.csv``; and as PNG the figures ``comparison``,
    ``calibration``, ``decision_curves`` and ``thresholds``.

    Parameters
    ----------
    comparison : ModelComparison
        What :func:`~sklearn_pspd.model_selection.compare_models` returned.
    folder : Path
        An existing folder.
    title : str, default=None
        Heading of text and figures.
    """
    (folder / "comparison.txt").write_text(comparison_text(comparison, title=title), encoding="utf-8")
    tables = {
        "comparison": comparison.frame(),
        "tests": comparison.tests(),
        "scores": comparison.scores,
        "calibration": comparison.calibration(),
        "calibration_curves": comparison.calibration_curves(),
        "decision_curves": comparison.decision_curves(),
        "thresholds": comparison.thresholds(),
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    displays = {
        "comparison": ComparisonDisplay,
        "calibration": CalibrationCurveDisplay,
        "decision_curves": DecisionCurveDisplay,
        "thresholds": ThresholdDisplay,
    }
    for name, display in displays.items():
        _save(display.from_comparison(comparison, title=title), folder / f"{name}.png")


def write_ladder(result, folder, *, title=None):
    """Save a tuning: ``tuning.txt``, ``tuning_losses.csv``, ``tuning_scores.csv`` and ``tuning.png``.

    Parameters
    ----------
    result : LadderResult
        What :func:`~sklearn_pspd.model_selection.tune_ladder` returned.
    folder : Path
        An existing folder.
    title : str, default=None
        Heading of text and figure.
    """
    heading = f"{title}\n\n" if title else ""
    (folder / "tuning.txt").write_text(heading + ladder_text(result), encoding="utf-8")
    result.losses.to_csv(folder / "tuning_losses.csv", index=False)
    result.scores.to_csv(folder / "tuning_scores.csv", index=False)
    _save(LadderDisplay.from_ladder(result, title=title), folder / "tuning.png")


def write_controls(controls, folder, *, title=None):
    """Save negative controls: ``negative_control.csv`` and ``negative_control.png``.

    Parameters
    ----------
    controls : dict of str to NegativeControl
        By model.
    folder : Path
        An existing folder.
    title : str, default=None
        Heading of the figure.
    """
    display = NegativeControlDisplay.from_controls(controls, title=title)
    display.frame().to_csv(folder / "negative_control.csv", index=False)
    _save(display, folder / "negative_control.png")


def _save(display, path):
    display.figure_.savefig(path, dpi=FIGURE_DPI)
    # pyplot keeps every figure that it made.
    plt.close(display.figure_)


def _size_lines(y, y_test):
    n_features, n_pspd, share = len(CLINICAL_COLUMNS), int(y.sum()), float(y.mean())
    needed = development_sample_size(n_features, prevalence=share, auc=HOPED_FOR_AUC)["n_patients"].iloc[-1]
    per_feature = min(n_pspd, len(y) - n_pspd) / n_features
    lines = [
        f"Sample size, for an AUC of {HOPED_FOR_AUC}",
        f"training: {len(y)} patients, {per_feature:.1f} of the rarer outcome a clinical feature;",
        f"  Riley's criteria ask for {needed} patients with {n_features} features, and networks for more",
    ]
    if y_test is not None:
        n_pspd, share = int(y_test.sum()), float(y_test.mean())
        low, high = expected_auc_interval(HOPED_FOR_AUC, n_pspd, len(y_test) - n_pspd)
        needed = validation_sample_size(prevalence=share, auc=HOPED_FOR_AUC)["n_patients"].iloc[-1]
        lines += [
            f"held out: {len(y_test)} patients, whose AUC will have an interval of about {low:.2f} to {high:.2f};",
            f"  Riley's criteria ask for {needed} patients",
        ]
    return lines


def _calibration_lines(comparison):
    rows = []
    for (model, evaluation), part in comparison.calibration().groupby(["model", "evaluation"], sort=False):
        texts = {row["metric"]: _with_interval(row) for row in part.to_dict("records")}
        rows.append({"": model, "evaluation": evaluation, "slope": texts["slope"], "intercept": texts["intercept"]})
    heading = "Calibration: slope 1 and intercept 0 are perfect; a slope below 1 is overconfident"
    return [heading, plain_text(pd.DataFrame(rows))]


def _threshold_lines(comparison):
    table = comparison.thresholds(rules=("equal_error",))
    rows = []
    for row in table[table["evaluation"] == table["evaluation"].iloc[-1]].to_dict("records"):
        spread = "" if math.isnan(row["low"]) else f" ({row['low']:.2f} to {row['high']:.2f})"
        rows.append(
            {
                "": row["model"],
                "learned from": "these patients: optimistic" if row["is_optimistic"] else "out-of-fold scores",
                "threshold": f"{row['threshold']:.2f}{spread}",
                **{name: _interval_of(row, name) for name in ("sensitivity", "specificity")},
            }
        )
    where = "the held-out site" if (table["evaluation"] == "external").any() else "the patients that they came from"
    heading = f"Thresholds at equal error with bootstrap spread, applied to {where}; sensitivity is for PsPD"
    return [heading, plain_text(pd.DataFrame(rows))]


def _use_lines(comparison):
    uses = comparison.external_uses
    if uses is None or (n_uses := uses["use"].max()) == 1:
        return []
    n_choices = len(uses[["model", "settings"]].drop_duplicates())
    return [
        f"These external patients were scored {n_uses} times, with {n_choices} models or settings. To the extent that "
        "one was chosen by them, their figures are too good.",
        "",
    ]


def _interval_of(row, name):
    return _with_interval({"value": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]})


def _evaluation_lines(scores, evaluation, rows):
    patients = scores[scores["evaluation"] == evaluation].drop_duplicates("patient_id")
    n_folds = patients["fold"].nunique()
    counts = f"{(patients['y_true'] == 0).sum()} PD, {(patients['y_true'] == 1).sum()} PsPD"
    how = f"{n_folds} folds, pooled" if patients["fold"].iloc[0] else "held-out site"
    width = max(len(model) for model in rows["model"])
    per_class = "precision  recall     F1"
    head = f"{'':{width}}  {'AUC':^19}  {'AUPRC':^19}  {per_class:^24}  {per_class:^24}"
    over = f"{'':{width}}  {'':19}  {'':19}  {'PD':^24}  {'PsPD':^24}"
    lines = [f"{evaluation.capitalize()}: {how}, {counts}", over.rstrip(), head.rstrip()]
    return lines + [_model_line(model, of_model, width) for model, of_model in rows.groupby("model", sort=False)]


def _difference_lines(tests):
    names = [f"{row.model_a} - {row.model_b}" for row in tests.itertuples()]
    width = max(map(len, names))
    lines = [f"{'':{width}}  difference of AUCs    p (DeLong, paired)  p (Holm)"]
    for name, row in zip(names, tests.itertuples(), strict=True):
        interval = f"{row.difference:+.2f} ({row.low:+.2f} to {row.high:+.2f})"
        lines.append(f"{name:{width}}  {interval:20}  {row.p_value:18.3f}  {row.p_holm:8.3f}")
    return lines


def _model_line(model, rows, width):
    cells = {(row["metric"], row["class"]): row for _, row in rows.iterrows()}
    line = f"{model:{width}}  {_with_interval(cells['auc', ''])}  {_with_interval(cells['average_precision', ''])}"
    for name in ("PD", "PsPD"):
        precision, recall, f1 = (_number(cells[metric, name]["value"]) for metric in ("precision", "recall", "f1"))
        line += f"  {precision:>9}  {recall:>6}  {f1:>5}"
    return line


def _with_interval(row):
    return f"{_number(row['value'])} ({_number(row['low'])} to {_number(row['high'])})"


def _number(value):
    return "   -" if math.isnan(value) else f"{value:z.2f}".replace("inf", "infinite")
