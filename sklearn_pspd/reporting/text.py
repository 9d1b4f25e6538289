"""The report of a study: text to read, tables to compute with, and figures."""

import math
from itertools import zip_longest

import matplotlib.pyplot as plt
import pandas as pd

from sklearn_pspd.cohort.columns import CLINICAL_COLUMNS
from sklearn_pspd.formatting import plain_text
from sklearn_pspd.model_selection.folds import CROSS_VALIDATION
from sklearn_pspd.plotting import (
    CalibrationCurveDisplay,
    ComparisonDisplay,
    DecisionCurveDisplay,
    LadderDisplay,
    NegativeControlDisplay,
    ThresholdDisplay,
)
from sklearn_pspd.statistics import development_sample_size, expected_auc_interval, validation_sample_size

# What a study may hope for; the paper's cross-validation reached 0.72.
HOPED_FOR_AUC = 0.75

RANKING = (
    ("AUC", "auc"),
    ("folds' mean", "auc_fold_mean"),
    ("AUPRC", "average_precision"),
    ("folds' mean", "average_precision_fold_mean"),
    ("accuracy", "accuracy"),
    ("Brier score", "brier"),
)
CALL_HEADINGS = {"precision": "precision", "recall": "recall", "f1": "F1"}
# Of the AUC and of the accuracy, whose test in a cross-validation is that of its folds.
DIFFERENCES = (("auc",), ("accuracy", "accuracy_fold_mean"))
SHOWN_THRESHOLDS = (0.25, 0.5, 0.75)

FIGURE_DPI = 120


def cohort_text(findings, characteristics, y, y_test=None, *, title=None):
    """Describe a cohort before anything is trained: leaks, patients, and what their number allows.

    Parameters
    ----------
    findings : DataFrame
        What :func:`~sklearn_pspd.model_selection.audit_leaks` returned.
    characteristics : dict of str to CharacteristicsTable
        By heading.
    y : ndarray of shape (n_patients,)
        Outcomes of the training patients, 1 = PsPD.
    y_test : ndarray, default=None
        Outcomes of the held-out patients.
    title : str, default=None
        First line, for example that the cohort is synthetic.

    Returns
    -------
    str
        A block each.
    """
    lines = ["Leaks: none found (patients that occur twice, features that give the outcome away)"]
    if len(findings):
        named = findings.drop(columns="sites").astype(str)
        lines = [f"Leaks: {len(findings)} to look at", plain_text(named)]
    for heading, table in characteristics.items():
        lines += ["", heading, plain_text(table.frame())]
    lines.append("")
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
        shown = ", ".join(f"{_plain(value)} {mean:.2f} (SD {spread:.2f})" for value, mean, spread in means.itertuples())
        lines.append(f"{rung.rsplit('__', 1)[-1]}: {shown}; chosen {result.best_params[rung]}")
    return "\n".join([*lines, "The chosen values were chosen for their scores, which are therefore too good.", ""])


def _plain(value):
    """Write whole numbers as such, which a table beside fractions keeps as floats."""
    return f"{value:g}" if isinstance(value, float) else str(value)


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
    lines = [f"Negative control: the same protocol on scrambled outcomes, {arrangements}, mean AUC of its own folds"]
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
        A block for each evaluation: AUC, AUPRC, accuracy, Brier score, and precision, recall and F1 of each class, with
        95 % intervals, and the paired tests of AUCs and accuracies. Then calibration, net benefit, thresholds learned
        from out-of-fold scores, the optimism of tuning, and whether the external set was used before.
    """
    frame, tests = comparison.frame(), comparison.tests()
    lines = [title, ""] if title else []
    for evaluation, rows in frame.groupby("evaluation", sort=False):
        lines += [*_evaluation_lines(comparison.scores, evaluation, rows), ""]
        if len(differences := tests[tests["evaluation"] == evaluation]):
            lines += [*_difference_lines(differences), ""]
    lines += [*_calibration_lines(comparison), "", *_benefit_lines(comparison), "", *_threshold_lines(comparison), ""]
    lines += [*_tuning_lines(comparison), *_use_lines(comparison)]
    lines.append("Calls: PsPD where its probability reaches the share of PsPD among the model's training patients.")
    lines.append("Sensitivity for PsPD is the recall of PsPD, specificity the recall of PD.")
    lines.append("Intervals: 95 %, wider in cross-validation, whose folds share training patients (Nadeau and Bengio).")
    return "\n".join([*lines, "Research software, not a medical device.", ""])


def write_comparison(comparison, folder, *, title=None):
    """Save a comparison of models.

    Writes ``comparison.txt`` (what :func:`comparison_text` gives), ``comparison.csv`` (every metric with its interval),
    ``tests.csv`` (paired tests of the models), ``scores.csv`` (every patient's score), ``calibration.csv``,
    ``calibration_curves.csv``, ``decision_curves.csv`` and ``thresholds.csv``, where they exist ``external_uses.csv``
    and ``tuned_folds.csv``; and as PNG the figures ``comparison``, ``calibration``, ``decision_curves`` and
    ``thresholds``.

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
        "external_uses": comparison.external_uses,
        "tuned_folds": comparison.tuning,
    }
    for name, table in tables.items():
        if table is not None:
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
    table = comparison.thresholds()
    rows = []
    for row in table[table["evaluation"] == table["evaluation"].iloc[-1]].to_dict("records"):
        spread = "" if math.isnan(row["low"]) else f" ({row['low']:.2f} to {row['high']:.2f})"
        rows.append(
            {
                "": row["model"],
                "rule": row["rule"].replace("_", " "),
                "learned from": "these patients: optimistic" if row["is_optimistic"] else "out-of-fold scores",
                "threshold": f"{row['threshold']:.2f}{spread}",
                **{name: _interval_of(row, name) for name in ("sensitivity", "specificity")},
            }
        )
    where = "the held-out site" if (table["evaluation"] == "external").any() else "the patients that they came from"
    heading = f"Thresholds with bootstrap spread, applied to {where}; sensitivity is for PsPD"
    return [heading, plain_text(pd.DataFrame(rows))]


def _use_lines(comparison):
    uses = comparison.external_uses
    if uses is None or (n_uses := uses["use"].max()) == 1:
        return []
    lines = [
        f"These external patients were scored {n_uses} times, with {uses['settings'].nunique()} models or settings. To "
        "the extent that one was chosen by them, their figures are too good."
    ]
    if n_relabelled := uses["n_relabelled"].max():
        lines.append(f"Of {n_relabelled} of them the outcome was another at an earlier time.")
    return [*lines, ""]


def _interval_of(row, name):
    return _with_interval({"value": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]})


def _evaluation_lines(scores, evaluation, rows):
    patients = scores[scores["evaluation"] == evaluation].drop_duplicates("patient_id")
    counts = f"{(patients['y_true'] == 0).sum()} PD, {(patients['y_true'] == 1).sum()} PsPD"
    is_external = evaluation != CROSS_VALIDATION
    how = "held-out site" if is_external else f"{patients['fold'].nunique()} folds, pooled"
    shown = [(heading, metric) for heading, metric in RANKING if metric in set(rows["metric"])]
    ranking, calls = [], []
    for model, of_model in rows.groupby("model", sort=False):
        cells = {(row["metric"], row["class"]): row for row in of_model.to_dict("records")}
        ranking.append([model, *(_estimate(cells[metric, ""]) for _, metric in shown)])
        calls += [
            {"": name, "class": label, **{h: _estimate(cells[m, label]) for m, h in CALL_HEADINGS.items()}}
            for name, label in ((model, "PD"), ("", "PsPD"))
        ]
    heading = f"{evaluation.capitalize()}: {how}, {counts}"
    ranking = pd.DataFrame(ranking, columns=["", *(heading for heading, _ in shown)])
    return [heading, plain_text(ranking), "", plain_text(pd.DataFrame(calls))]


def _estimate(row):
    """Return a value with its interval; the mean of folds has none."""
    return _number(row["value"]) if row["metric"].endswith("_fold_mean") else _with_interval(row)


def _difference_lines(tests):
    """Lay out the differences of each two models, and how they were tested."""
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


def _benefit_lines(comparison):
    table = comparison.decision_curves(thresholds=SHOWN_THRESHOLDS)
    rows = []
    for evaluation, of_evaluation in table.groupby("evaluation", sort=False):
        for model, part in of_evaluation.groupby("model", sort=False):
            texts = map(_with_interval, part.rename(columns={"net_benefit": "value"}).to_dict("records"))
            rows.append([model, evaluation, *texts])
        rows.append(["PsPD for all", evaluation, *map(_number, part["treat_all"])])
    heading = "Net benefit of calling PsPD from a probability on; of calling nobody it is 0"
    return [heading, plain_text(pd.DataFrame(rows, columns=["", "evaluation", *map(str, SHOWN_THRESHOLDS)]))]


def _tuning_lines(comparison):
    if comparison.tuning is None:
        return []
    inside = comparison.tuning[comparison.tuning["evaluation"] == CROSS_VALIDATION]
    means = inside.groupby("model", sort=False)[["inner_score", "outer_score"]].mean()
    rows = [
        {"": model, "tuning folds": _number(inner), "held out": _number(outer), "optimism": f"{inner - outer:+.2f}"}
        for model, inner, outer in means.itertuples()
    ]
    heading = "Tuning inside each training fold: mean score of the chosen values in the tuning's folds and held out"
    return [heading, plain_text(pd.DataFrame(rows)), ""]


def _with_interval(row):
    return f"{_number(row['value'])} ({_number(row['low'])} to {_number(row['high'])})"


def _number(value):
    return "   -" if math.isnan(value) else f"{value:z.2f}".replace("inf", "infinite")
