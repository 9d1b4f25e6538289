"""The report of a study: a table to read, tables to compute with, and a figure."""

import math

from .plotting import ComparisonDisplay


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
        the differences of AUCs with DeLong's paired test.
    """
    frame, tests = comparison.frame(), comparison.tests()
    lines = [title, ""] if title else []
    for evaluation, rows in frame.groupby("evaluation", sort=False):
        lines += [*_evaluation_lines(comparison.scores, evaluation, rows), ""]
        if len(differences := tests[(tests["evaluation"] == evaluation) & (tests["metric"] == "auc")]):
            lines += [*_difference_lines(differences), ""]
    lines.append("Calls: PsPD where its probability reaches the share of PsPD among the model's training patients.")
    return "\n".join([*lines, "Intervals: 95 %. Research software, not a medical device.", ""])


def write_comparison(comparison, folder, *, title=None):
    """Save a comparison of models.

    Writes ``comparison.txt`` (what :func:`comparison_text` gives), ``comparison.csv`` (every metric with its interval),
    ``tests.csv`` (paired tests of the models), ``scores.csv`` (every patient's score) and ``comparison.png``.

    Parameters
    ----------
    comparison : ModelComparison
        What :func:`~sklearn_pspd.model_selection.compare_models` returned.
    folder : Path
        An existing folder.
    title : str, default=None
        Heading of text and figure.
    """
    (folder / "comparison.txt").write_text(comparison_text(comparison, title=title), encoding="utf-8")
    comparison.frame().to_csv(folder / "comparison.csv", index=False)
    comparison.tests().to_csv(folder / "tests.csv", index=False)
    comparison.scores.to_csv(folder / "scores.csv", index=False)
    ComparisonDisplay.from_comparison(comparison, title=title).figure_.savefig(folder / "comparison.png", dpi=120)


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
    return "   -" if math.isnan(value) else f"{value:.2f}"
