"""Printed texts: how wide they are, and how tables that are too wide are broken."""

import re
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_pspd import ModelComparison
from sklearn_pspd.formatting import TEXT_WIDTH, plain_text
from sklearn_pspd.reporting import (
    comparison_text,
    html_report,
    methods_text,
    negative_control_text,
    report_text,
    write_report,
    write_tables,
)
from sklearn_pspd.reporting.comparison import NEEDED_NOTE, level_notes, threshold_remarks
from sklearn_pspd.reporting.comparison_tables import difference_table, paired_test_notes
from sklearn_pspd.reporting.conclusion import summary_sentences
from sklearn_pspd.reporting.tables import report_tables

WORDS = st.text("abcdefg 0123(+-,)", min_size=0, max_size=60).map(lambda text: " ".join(text.split()))


def longest(text):
    return max(map(len, text.splitlines()))


def test_no_line_is_longer_than_a_terminal(six, quick):
    assert six.comparison.scores["model"].nunique() == 6
    assert "replicates" in six.tables
    for text in (report_text(six), comparison_text(six.comparison), methods_text(six), methods_text(quick)):
        assert longest(text) <= TEXT_WIDTH
    assert longest(negative_control_text(quick.controls)) <= TEXT_WIDTH


def test_the_report_ends_with_what_the_study_shows(six, quick):
    for result in (six, quick):
        *_, heading, text = report_text(result).rpartition("\nIn short\n")
        assert heading
        joined = " ".join(text.split())
        sentences = summary_sentences(result)
        assert len(sentences) >= 5
        assert joined == " ".join([*([result.title] if result.title else []), *(f"- {one}" for one in sentences)])


def test_neither_is_one_of_a_file(six, tmp_path):
    write_report(six, tmp_path)
    texts = sorted(tmp_path.glob("*.txt"))
    assert [path.stem for path in texts] == ["characteristics", "comparison", "methods", "negative_control", "report"]
    for path in texts:
        assert longest(path.read_text()) <= TEXT_WIDTH, path.name


def test_long_names_of_models_are_broken(six):
    names = {name: f"{name}, " + "with a very long description " * 4 for name in six.settings["models"]}
    scores = six.comparison.scores.assign(model=six.comparison.scores["model"].map(names))
    assert longest(comparison_text(type(six.comparison)(scores))) <= TEXT_WIDTH


def test_intervals_stay_together_while_they_can():
    table = pd.DataFrame({"model": ["MRI + clinical, published"], "AUC": ["0.56 (0.48 to 0.60)"]})
    assert plain_text(table, width=50).splitlines()[1] == "MRI + clinical, published  0.56 (0.48 to 0.60)"
    assert plain_text(table, width=36).splitlines()[1:] == ["MRI + clinical,  0.56 (0.48 to 0.60)", "published"]
    broken = ["model      AUC", "MRI +      0.56", "clinical,  (0.48 to 0.60)", "published"]
    assert plain_text(table, width=26).splitlines() == broken


def test_headings_are_broken_before_cells():
    table = pd.DataFrame({"a": ["a long name"], "networks needed for this": ["12 of 13"]})
    broken = ["a            networks", "             needed", "             for this", "a long name  12 of 13"]
    assert plain_text(table, width=22).splitlines() == broken


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=4), st.integers(30, 120))
def test_a_table_keeps_its_words_and_fits(rows, width):
    table = pd.DataFrame(rows, columns=["first one", "second one", "third"])
    text = plain_text(table, width=width)
    assert longest(text) <= width
    letters = "".join("".join(row) for row in [list(table.columns), *rows]).replace(" ", "")
    assert sorted(text.replace(" ", "").replace("\n", "")) == sorted(letters)
    assert longest(plain_text(table, width=None)) >= longest(text) or longest(plain_text(table, width=None)) <= width


@pytest.mark.parametrize("width", [None, 100])
def test_a_table_that_fits_is_as_it_was(width):
    table = pd.DataFrame({"": ["  a"], "b c": ["1"]})
    assert plain_text(table, width=width) == "     b c\n  a  1"


def nearly_zero(result):
    """Return a result all of whose values, differences and limits are just below zero."""
    names = ["value", "low", "high", "difference", "net_benefit", "treat_all"]
    tables = {
        name: table.assign(**{column: -0.0004 for column in names if column in table and column != "threshold"})
        for name, table in result.tables.items()
        if name != "calibration_curves"
    }
    return replace(result, tables=result.tables | tables)


def test_no_zero_has_a_sign(six, tmp_path):
    result = nearly_zero(six)
    texts = [report_text(result), html_report(result)]
    write_tables(result, tmp_path, formats=["md", "tex"])
    texts += [path.read_text() for path in tmp_path.iterdir()]
    for text in texts:
        shown = re.sub("<(style|script).*?</\\1>|<[^>]*>", " ", text, flags=re.DOTALL)
        assert "+0.00 (+0.00 to +0.00)" in shown
        assert re.findall("(?<!\\w)[-\N{MINUS SIGN}]0(?:\\.0+)?(?![.\\d])", shown) == []


def test_what_is_not_estimable_has_no_limits(six):
    tables = dict(six.tables)
    calibration = tables["calibration"]
    tables["calibration"] = calibration.assign(method=calibration["method"] + "; not estimable from 9 patients")
    text = comparison_text(six.comparison, tables=tables)
    assert "not estimable" in text
    assert "not estimable (" not in text


def test_tests_of_one_table_are_told_apart(six):
    tests = six.tables["tests"].query("evaluation == 'external' and metric == 'auc'").reset_index(drop=True)
    assert list(difference_table(tests, "auc"))[-1] == "Holm"
    alike = tests.assign(method="McNemar, exact")
    assert paired_test_notes(alike) == ["Test: McNemar, exact"]
    assert "test" not in difference_table(alike, "auc")
    alike.loc[1, "method"] = "sign test"
    assert paired_test_notes(alike) == ["Test a: McNemar, exact", "Test b: sign test"]
    assert difference_table(alike, "auc")["test"].tolist() == ["a", "b", *"a" * (len(alike) - 2)]


def test_every_test_has_its_letter_in_text_page_and_files(six, tmp_path):
    tests = six.tables["tests"].copy()
    tests.loc[tests.groupby(["evaluation", "metric"]).cumcount() == 1, "method"] = "quite another test"
    result = replace(six, tables=six.tables | {"tests": tests})
    write_tables(result, tmp_path, formats=["md", "tex"])
    n_tables = tests.groupby(["evaluation", "metric"]).ngroups
    for text in (report_text(result), html_report(result), *(path.read_text() for path in tmp_path.iterdir())):
        assert len(re.findall("Test b: quite another test", text)) >= 6
        assert "Test: " not in text
    shown = {name: table.frame for name, table in report_tables(result).items() if name.startswith("tests ")}
    assert len(shown) == n_tables
    assert all(frame["test"].tolist()[:2] == ["a", "b"] for frame in shown.values())


def test_the_auprc_by_chance_is_explained():
    y_true = [0] * 12 + [1] * 3
    comparison = ModelComparison.from_predictions(y_true, {"same": [0.3] * 15, "other": [i / 20 for i in range(15)]})
    text = " ".join(comparison_text(comparison).split())
    assert "AUPRC (chance 0.33)" in text
    assert "of 15 patients is 0.33 on average, more than the proportion of PsPD of 0.20, since" in text
    assert "pooled predictions of the folds, not the mean" not in text
    many = ModelComparison.from_predictions([0, 1] * 1000, [i / 2000 for i in range(2000)])
    text = " ".join(comparison_text(many).split())
    assert "of 2000 patients is 0.50 on average; the proportion of PsPD is 0.50." in text


def test_one_network_is_not_called_enough(six):
    text = " ".join(report_text(six).split())
    assert "A 1 does not mean that one network is enough where the interaction is large or classes change" in text
    assert NEEDED_NOTE in html_report(six)


def test_remarks_that_say_the_same_are_one_line(six):
    thresholds = six.tables["thresholds"]
    is_last = thresholds["evaluation"] == thresholds["evaluation"].iloc[-1]
    shown = thresholds[is_last].assign(remark="classifies every patient as PD")
    (line,) = threshold_remarks(shown)
    first = shown["model"].iloc[0]
    assert line.startswith(f"Classifies every patient as PD: {first} (equal error, Youden, ")
    assert all(model in line for model in shown["model"])
    assert threshold_remarks(shown.assign(remark="")) == []


def test_folds_at_different_levels_are_one_sentence(six):
    rows = six.tables["comparison"].query("evaluation == 'cross-validation'").copy()
    assert len(level_notes(rows.assign(value=0.9))) == 1
    (note,) = level_notes(rows.assign(value=0.9))
    assert note.count("90 %") == rows["model"].nunique()
    assert level_notes(rows.assign(value=0.1)) == []
