"""The tables of a study as they are printed, by name: for the page, and for files of other programs."""

from dataclasses import dataclass

import pandas as pd

from sklearn_pspd.model_selection.folds import CROSS_VALIDATION, EXTERNAL
from sklearn_pspd.plotting.number_texts import interval_text

from .comparison import (
    BENEFIT_NOTE,
    CALIBRATION_NOTE,
    NEEDED_NOTE,
    REPLICATE_NOTE,
    TUNING_NOTE,
    design_text,
    level_notes,
    threshold_note,
    threshold_remarks,
    undefined_auc,
    use_notes,
)
from .comparison_tables import (
    DIFFERENCES,
    auc_table,
    calibration_summary,
    chance_note,
    class_table,
    control_table,
    difference_table,
    last_evaluation,
    metric_table,
    net_benefit_table,
    paired_test_notes,
    replicate_table,
    threshold_summary,
    tuning_table,
)
from .text import EXTERNAL_CONTROL_NOTE, control_note

TEST_NAMES = {"auc": "AUC", "auc_single_network": "1 network", "accuracy": "accuracy"}


@dataclass(frozen=True)
class ReportTable:
    """A table of a report.

    Attributes
    ----------
    title : str
        Its caption.
    frame : DataFrame of str
        Its cells.
    notes : tuple of str
        Sentences below it.
    is_flat : bool
        Whether each row stands for itself, so that rows may be put in another order.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.reporting.tables import ReportTable
    >>> ReportTable("Patients", pd.DataFrame({"sex": ["female"], "n": ["27"]})).notes
    ()
    """

    title: str
    frame: pd.DataFrame
    notes: tuple = ()
    is_flat: bool = True


def report_tables(result, *, image_checks=None):
    """Lay out every table of a study.

    Parameters
    ----------
    result : StudyResult
        What :meth:`Study.run() <sklearn_pspd.study.Study.run>` returned.
    image_checks : DataFrame, default=None
        Findings of the checks of the images: ``patient_id``, ``file``, ``finding``, ``severity``.

    Returns
    -------
    dict of str to ReportTable
        In the order of a report. Names have at most 31 characters, so that they can name the sheets of a workbook.
    """
    tables = {
        **_cohort_tables(result),
        **_image_tables(image_checks),
        **_comparison_tables(result.tables),
        **_control_tables(result.controls),
        **_use_tables(result.tables.get("external_uses")),
    }
    return {name: table for name, table in tables.items() if len(table.frame)}


def table_name(what, evaluation):
    """Name a table of one evaluation.

    Parameters
    ----------
    what : str
        "AUC", "metrics", "classes" or "tests ..." of the metrics in ``TEST_NAMES``.
    evaluation : str
        "cross-validation" or "external".

    Returns
    -------
    str
        For example "AUC, CV".
    """
    return f"{what}, {'CV' if evaluation == CROSS_VALIDATION else evaluation}"


def _cohort_tables(result):
    absent, missing = result.missing_values
    counted = missing.groupby("column", sort=False)[["patients", "missing", "unknown"]].sum().reset_index()
    counted = counted[(counted["missing"] > 0) | (counted["unknown"] > 0)]
    unused = {"not in the study": absent, "one value only": result.constant_columns}
    unused = [[column, why, str(reason)] for why, columns in unused.items() for column, reason in columns.items()]
    features = [[row["column"], row["scored_by"], interval_text(row)] for row in _features(result.feature_aucs)]
    return {
        **{
            heading[:31]: ReportTable(heading, table.frame(), (_reasons(table),), is_flat=False)
            for heading, table in result.characteristics.items()
        },
        "missing values": ReportTable("Missing and unknown values of training patients", counted.astype(str)),
        "columns not used": ReportTable(
            "Clinical columns that are not used", pd.DataFrame(unused, columns=["column", "why", "detail"])
        ),
        "sample size": ReportTable("Sample size", _sizes(result.sample_size)),
        "leakage": ReportTable("Findings of the leakage checks", result.findings.map(_plain)),
        "single features": ReportTable(
            "AUC of each clinical column by itself, among the training patients",
            pd.DataFrame(features, columns=["column", "scored by", "AUC"]),
        ),
    }


def _features(table):
    known = table.dropna(subset="auc").rename(columns={"auc": "value"})
    return known.to_dict("records")


def _reasons(table):
    reasons = [f"{table.labels[test.variable]}: {test.test}, {test.reason}" for test in table.tests.itertuples()]
    return "Median (range) or number (percent). Tests: " + "; ".join(reasons) + "."


def _sizes(sample_size):
    rows = [
        {
            "patients": row["patients"],
            "n": str(row["n_patients"]),
            "PD": str(row["n_pd"]),
            "PsPD": str(row["n_pspd"]),
            "required": str(row["n_required"]),
            "binding criterion": row["criterion"],
            "events per variable": f"{row['events_per_variable']:.1f}",
            f"95 % interval expected of an AUC of {row['auc']:g}": f"{row['auc_low']:.2f} to {row['auc_high']:.2f}",
        }
        for row in sample_size.to_dict("records")
    ]
    return pd.DataFrame(rows)


def _image_tables(image_checks):
    if image_checks is None:
        return {}
    return {"image checks": ReportTable("Findings of the checks of the images", image_checks.map(_plain))}


def _comparison_tables(tables):
    found = {}
    for evaluation, rows in tables["comparison"].groupby("evaluation", sort=False):
        design = design_text(tables["scores"], evaluation)
        notes = (*undefined_auc(rows), *level_notes(rows))
        found[table_name("AUC", evaluation)] = ReportTable(f"AUC. {design}", auc_table(rows), notes)
        found[table_name("metrics", evaluation)] = ReportTable(
            f"Other metrics. {design}",
            metric_table(rows),
            (chance_note(tables["scores"].query("evaluation == @evaluation"), rows),),
        )
        found[table_name("classes", evaluation)] = ReportTable(f"Classes. {design}", class_table(rows))
        found |= _test_tables(tables["tests"], evaluation)
    return found | _whole_tables(tables)


def _test_tables(tests, evaluation):
    found = {}
    for metric, name in TEST_NAMES.items():
        rows = tests[(tests["evaluation"] == evaluation) & (tests["metric"] == metric)]
        if len(rows):
            notes = tuple(f"{note}." for note in paired_test_notes(rows))
            title = f"Paired tests, {evaluation}: {DIFFERENCES[metric]}"
            found[table_name(f"tests {name}", evaluation)] = ReportTable(title, difference_table(rows, metric), notes)
    return found


def _whole_tables(tables):
    """Return the tables that hold all evaluations."""
    found = {}
    if "replicates" in tables:
        n = int(tables["replicates"]["n_replicates"].max())
        title = f"Randomness of training, from {n} networks per fit"
        note = f"{REPLICATE_NOTE[0].upper()}{REPLICATE_NOTE[1:]}."
        found["replicates"] = ReportTable(title, replicate_table(tables["replicates"]), (note, NEEDED_NOTE))
    found["calibration"] = ReportTable("Calibration", calibration_summary(tables["calibration"]), (CALIBRATION_NOTE,))
    found["net benefit"] = ReportTable(BENEFIT_NOTE, net_benefit_table(tables["decision_curves"]))
    if "thresholds" in tables:
        shown, patients = last_evaluation(tables["thresholds"])
        notes = tuple(threshold_remarks(shown))
        found["thresholds"] = ReportTable(threshold_note(patients), threshold_summary(shown), notes)
    if "tuned_folds" in tables:
        found["tuning"] = ReportTable(TUNING_NOTE, tuning_table(tables["tuned_folds"]))
    return found


def _control_tables(controls):
    if not controls:
        return {}
    table = control_table(controls)
    notes = (EXTERNAL_CONTROL_NOTE + ".", control_note(controls))
    title = "Negative control: the same protocol and folds on permuted outcomes"
    notes = notes if EXTERNAL in set(table["evaluation"]) else notes[1:]
    return {"negative control": ReportTable(title, table, notes)}


def _use_tables(uses):
    if uses is None:
        return {}
    headings = {"n_shared": "patients shared", "n_relabelled": "outcome changed", "is_new_choice": "new choice"}
    table = uses.map(_plain).rename(columns=headings)
    return {"external uses": ReportTable("Uses of the external patients so far", table, tuple(use_notes(uses)))}


def _plain(value):
    """Write a cell of any kind as text."""
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None or value != value else str(value)
