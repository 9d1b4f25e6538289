"""Printed texts: how wide they are, and how tables that are too wide are broken."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_pspd.formatting import TEXT_WIDTH, plain_text
from sklearn_pspd.reporting import comparison_text, methods_text, negative_control_text, report_text, write_report
from sklearn_pspd.reporting.conclusion import conclusion_sentences

WORDS = st.text("abcdefg 0123(+-,)", min_size=0, max_size=60).map(lambda text: " ".join(text.split()))


def longest(text):
    return max(map(len, text.splitlines()))


def test_no_line_is_longer_than_a_terminal(six, quick):
    assert six.comparison.scores["model"].nunique() == 6
    assert "replicates" in six.tables
    for text in (report_text(six), comparison_text(six.comparison), methods_text(six), methods_text(quick)):
        assert longest(text) <= TEXT_WIDTH
    assert longest(negative_control_text(quick.controls)) <= TEXT_WIDTH


def test_the_report_ends_with_what_the_comparison_shows(six, quick):
    for result in (six, quick):
        *_, heading, text = report_text(result).rpartition("\nIn short\n")
        assert heading
        joined = " ".join(text.split())
        sentences = conclusion_sentences(result.tables)
        assert len(sentences) >= 2
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
