"""Missing values, patient ids, numbers in cells, and the error that lists all problems."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_pspd.cohort.problems import (
    id_problems,
    is_missing,
    missing_columns,
    normalise_ids,
    patient_labels,
    patient_names,
    raise_problems,
    repeated_ids,
    to_number,
)
from sklearn_pspd.exceptions import InputError

MISSING = [
    None,
    math.nan,
    np.float32("nan"),
    pd.NA,
    pd.NaT,
    np.datetime64("NaT", "ns"),
    "",
    " ",
    "\t\r\n",
    "\u00a0",
]


@pytest.mark.parametrize("value", MISSING, ids=repr)
def test_missing_values(value):
    assert is_missing(value) is True


@pytest.mark.parametrize(
    "value",
    [
        0,
        0.0,
        False,
        np.False_,
        "0",
        "NA",
        "nan",
        " a ",
        math.inf,
        Path(),
        np.array([math.nan]),
        np.array(math.nan),
        np.array([]),
        [],
        [None],
        pd.Series([math.nan]),
    ],
    ids=repr,
)
def test_values_that_are_not_missing(value):
    assert is_missing(value) is False


def test_ids_are_compared_without_surrounding_white_space_and_letter_case():
    ids = normalise_ids(["P1", " p1 ", "\u00a0P1", "STRASSE", "Straße", "P 1", 7, "7"])
    assert ids.tolist() == ["p1", "p1", "p1", "strasse", "strasse", "p 1", "7", "7"]
    assert ids.index.tolist() == list(range(8))


@pytest.mark.parametrize("value", MISSING, ids=repr)
def test_missing_ids_stay_missing(value):
    """Otherwise two patients without an id would be taken for one patient."""
    assert normalise_ids([value, "a"]).tolist() == [None, "a"]
    assert repeated_ids([value, "a", value]) == []


def test_ids_of_any_container_and_dtype():
    expected = ["a", "b"]
    index = pd.Index(["x", "y"])
    for ids in (("A", "B"), np.array(["A", "B"]), pd.Series(["A", "B"], index=index), pd.Categorical(["A", "B"])):
        assert normalise_ids(ids).tolist() == expected
    assert normalise_ids([]).tolist() == []


@given(st.lists(st.text(max_size=5), max_size=8))
def test_normalising_twice_changes_nothing(ids):
    once = normalise_ids(ids)
    assert normalise_ids(once).tolist() == once.tolist()


def test_repeated_ids_are_given_by_row_in_the_order_of_their_first_row():
    assert repeated_ids(["b", "a", " B", "c", "A ", "", "b"]) == [[0, 2, 6], [1, 4]]
    assert repeated_ids(["a", "b"]) == []


def test_patients_are_named_by_id_or_row():
    assert patient_names(pd.DataFrame({"patient_id": ["a", None, 3]})) == ["a", "in row 2", "3"]
    assert patient_names(pd.DataFrame({"site": ["A", "B"]})) == ["in row 1", "in row 2"]


def test_problems_of_ids():
    table = pd.DataFrame({"patient_id": ["a", " ", "A", "b", "b"]}, index=list("vwxyz"))
    assert id_problems(table) == [
        "patient in row 2: column patient_id is empty",
        "patient a: 2 rows have this patient_id, spelt 'a', 'A'; one row per patient",
        "patient b: 2 rows have this patient_id; one row per patient",
    ]
    assert id_problems(table.drop(columns="patient_id")) == []


def test_problems_of_a_table_that_was_read_name_the_rows_of_its_file():
    table = pd.DataFrame({"patient_id": ["a", None, "A"]})
    assert patient_labels(table) == ["patient a", "patient in row 2", "patient A"]
    assert patient_labels(table, [4, 5, 9]) == ["row 4, patient a", "row 5", "row 9, patient A"]
    assert id_problems(table, [4, 5, 9]) == [
        "row 5: column patient_id is empty",
        "patient a: 2 rows (4, 9) have this patient_id, spelt 'a', 'A'; one row per patient",
    ]


def test_missing_columns():
    table = pd.DataFrame({"a": [1]})
    assert missing_columns(table, ("b", "a", "c")) == ["column b: missing", "column c: missing"]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3.0),
        (np.float32(0.5), 0.5),
        (" 2.5\u00a0", 2.5),
        ("-1e3", -1000.0),
        (np.int64(7), 7.0),
        (".5", 0.5),
        ("5.", 5),
    ],
)
def test_numbers(value, number):
    assert to_number(value) == number


@pytest.mark.parametrize(
    "value",
    [
        None,
        pd.NA,
        pd.NaT,
        "",
        "80 %",
        "1,5",
        "nan",
        "inf",
        math.inf,
        True,
        np.True_,
        [1],
        "NA",
        "1_0",
        "\uff16",
        "0x10",
    ],
    ids=repr,
)
def test_values_that_are_not_numbers(value):
    assert math.isnan(to_number(value))


def test_all_problems_are_in_one_error():
    with pytest.raises(InputError) as error:
        raise_problems("the table has", ["first", "second", "third"])
    assert str(error.value) == "the table has 3 problems:\n  first\n  second\n  third"
    with pytest.raises(InputError, match=r"^the table has 1 problem:\n  first$"):
        raise_problems("the table has", ["first"])
    assert isinstance(error.value, ValueError)


def test_no_problem_is_no_error():
    assert raise_problems("the table has", []) is None


def lines_of(problems):
    with pytest.raises(InputError) as refused:
        raise_problems("the table has", problems)
    count, *lines = str(refused.value).splitlines()
    assert count == f"the table has {len(problems)} problems:"
    return [line.removeprefix("  ") for line in lines]


def test_what_many_rows_have_in_the_same_words_takes_one_line():
    rows = [2, 3, 4, 7, 9, 10]
    problems = [f"row {row}, patient P{row}: column mgmt holds 'pos'; it takes 'yes'" for row in rows]
    problems.insert(1, "row 2, patient P2: column age_years holds 400")
    problems += ["column sex: missing", "row 12: column sex is empty", "row 13: column sex is empty"]
    assert lines_of(problems) == [
        "rows 2 to 4, 7, 9, 10, patients P2, P3, P4, 3 more: column mgmt holds 'pos'; it takes 'yes'",
        *problems[1:2],
        *problems[-3:],
    ]
    values = [
        f"row {row}: column age_years holds {value!r}, no number; use decimal"
        for row, value in zip(rows, "abcabc", strict=True)
    ]
    assert lines_of(values) == ["rows 2 to 4, 7, 9, 10: column age_years holds 'a', 'b', 'c', no number; use decimal"]
    # Without numbers of rows, every patient is named; what concerns no single row is repeated as it was given.
    without = [problem.partition(", ")[2] for problem in problems[2:7]]
    assert lines_of([*without, "same", "same", "same"]) == [
        "patients P3, P4, P7, P9, P10: column mgmt holds 'pos'; it takes 'yes'",
        *["same"] * 3,
    ]


@given(
    st.lists(
        st.tuples(st.integers(2, 12), st.sampled_from(["", "A", "B: C", "row 3"]), st.sampled_from(["x: y", "z"])),
        min_size=2,
        max_size=15,
        unique=True,
    )
)
def test_no_row_is_lost_where_problems_share_a_line(found):
    problems = [f"row {row}{', patient ' * bool(name)}{name}: {text}" for row, name, text in found]
    named = []
    for line in lines_of(problems):
        numbers, text = re.match(r"rows? ([\d, to]*\d)", line).group(1), line.rpartition("z")[1] or "x: y"
        for run in numbers.split(", "):
            first, _, last = run.partition(" to ")
            named += [(row, text) for row in range(int(first), int(last or first) + 1)]
    assert set(named) == {(row, text) for row, _, text in found}
