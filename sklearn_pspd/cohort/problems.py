"""Missing values, patient ids, numbers in cells, and one error for all problems of a table."""

import math
import re

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError

# Digits of other scripts and underscores between digits, which Python reads too, are no number of a table.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


# How the problem of one row begins; such problems share a line if at least so many are equal otherwise.
_OF_ROW = re.compile(r"(?:row (?P<row>\d+))?(?:, )?(?:patient (?P<patient>.+?))?: (?P<text>.*)", re.DOTALL)
# The value of a cell in a problem, in which it may differ from the others that share the line.
_VALUE = re.compile(r"(column .+? holds )('(?:[^'\\]|\\.)*'|\"[^\"]*\"|[^\s,;]+)(.*)", re.DOTALL)
SHARED = 3
# Of more patients than these, the numbers of the rows say who is meant.
N_NAMES = 3


def raise_problems(source_has, problems):
    """Raise one error that lists all problems, one line each; do nothing if there are none.

    A problem that several rows have in the same words, but for the value of a cell, takes one line, which names all
    these rows and values.

    Parameters
    ----------
    source_has : str
        First words of the message, for example "the cohort table has".
    problems : list of str
        The problems, each with patient or row, column and value.

    Raises
    ------
    InputError
        If there are any problems.
    """
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise InputError(f"{source_has} {count}:\n{listed_problems(problems)}")


def listed_problems(problems):
    """Return problems as text, one line each; those that several rows have, but for the value, share a line."""
    return "\n".join(f"  {problem}" for problem in _shared(problems))


def _shared(problems):
    """Return the problems, those of several rows in one text, where the first of them stood."""
    parts = [_OF_ROW.fullmatch(problem) for problem in problems]
    # The number of rows that have the problem in the same words; what is of no row, or of a row without id, is apart.
    keys = [part and (part["row"] is None, part["patient"] is None, *_around_value(part)[::2]) for part in parts]
    groups = {}
    for number, key in enumerate(keys):
        groups.setdefault(key if key and key[:2] != (True, True) else number, []).append(number)
    lines = []
    for rows in groups.values():
        if len(rows) < SHARED:
            lines += [(number, problems[number]) for number in rows]
        else:
            lines.append((rows[0], _of_rows([parts[number] for number in rows])))
    return [line for _, line in sorted(lines)]


def _of_rows(parts):
    """Return one text for equal problems of several rows."""
    start, _, end = _around_value(parts[0])
    values = ", ".join(dict.fromkeys(_around_value(part)[1] for part in parts))
    label = _joined([part["row"] for part in parts], [part["patient"] for part in parts])
    return f"{label}: {start}{values}{end}"


def _around_value(part):
    """Return the text of a problem before the value of its cell, the value, and the text behind it."""
    found = _VALUE.fullmatch(part["text"])
    return found.groups() if found else (part["text"], "", "")


def joined_labels(labels):
    """Return one text for what :func:`patient_labels` returned for several rows.

    Parameters
    ----------
    labels : list of str
        At least one.

    Returns
    -------
    str
        For example "rows 2 to 9, patients A, B, C, 5 more". Without numbers of rows, all patients are named.
    """
    parts = [_OF_ROW.fullmatch(f"{label}: ") for label in labels]
    if len(labels) < SHARED or any(part is None for part in parts):
        return "; ".join(labels)
    return _joined([part["row"] for part in parts], [part["patient"] for part in parts])


def _joined(rows, patients):
    labels = []
    if None not in rows:
        labels.append(f"rows {_ranges(sorted(set(map(int, rows))))}")
        n_others = len(patients) - N_NAMES
        patients = [*patients[:N_NAMES], f"{n_others} more"] if n_others > 1 else patients
    if None not in patients:
        labels.append(f"patients {', '.join(patients)}")
    return ", ".join(labels)


def _ranges(numbers):
    """Return sorted numbers as text, for example "2, 4 to 7, 9"."""
    runs = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a} to {b}" if b > a + 1 else f"{a}, {b}" if b > a else f"{a}" for a, b in runs)


def is_missing(value):
    """Return whether a cell is empty: None, NaN, NaT, NA, or text of white space only."""
    return bool(pd.api.types.is_scalar(value) and pd.isna(value)) or (isinstance(value, str) and not value.strip())


def to_number(value):
    """Return the finite number that a cell holds as number or text; NaN for anything else, truth values included."""
    if isinstance(value, (bool, np.bool_)):
        return math.nan
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def missing_columns(table, columns):
    """Return one problem for each of the columns that a table lacks."""
    return [f"column {column}: missing" for column in columns if column not in table.columns]


def normalise_ids(ids):
    """Return patient ids without surrounding white space and letter case, in which copies of one id may differ.

    Parameters
    ----------
    ids : iterable
        Ids of any type.

    Returns
    -------
    Series of dtype object
        Comparable ids in the given order, numbered from 0; None where an id is missing.
    """
    return pd.Series([None if is_missing(name) else str(name).strip().casefold() for name in ids], dtype=object)


def repeated_ids(ids):
    """Return the row numbers, from 0, of each patient id that occurs more than once; missing ids are not compared."""
    normal = normalise_ids(ids)
    groups = normal.groupby(normal, sort=False).groups.values()
    return [list(rows) for rows in groups if len(rows) > 1]


def patient_names(table):
    """Return how error messages name the patient of each row: by id or, if it is missing, by row number from 1."""
    if "patient_id" not in table.columns:
        return [f"in row {row}" for row in range(1, len(table) + 1)]
    return [f"in row {row}" if is_missing(name) else str(name) for row, name in enumerate(table["patient_id"], start=1)]


def patient_labels(table, row_numbers=None):
    """Return the words with which a problem of each row begins.

    Parameters
    ----------
    table : DataFrame
        Table with or without a column ``patient_id``.
    row_numbers : list of int, default=None
        Row of the file from which each row was read. None: the table was not read from a file.

    Returns
    -------
    list of str
        For example "patient P1"; with `row_numbers`, "row 5, patient P1", or "row 5" if the id is missing.
    """
    if row_numbers is None:
        return [f"patient {name}" for name in patient_names(table)]
    ids = table["patient_id"] if "patient_id" in table.columns else [None] * len(table)
    return [
        f"row {row}" if is_missing(name) else f"row {row}, patient {name}"
        for row, name in zip(row_numbers, ids, strict=True)
    ]


def id_problems(table, row_numbers=None):
    """Return one problem for each missing patient id and for each id that occurs in more than one row."""
    if "patient_id" not in table.columns:
        return []
    names = patient_names(table)
    problems = [
        f"{label}: column patient_id is empty"
        for label, given in zip(patient_labels(table, row_numbers), table["patient_id"], strict=True)
        if is_missing(given)
    ]
    for rows in repeated_ids(table["patient_id"]):
        spellings = dict.fromkeys(repr(names[row]) for row in rows)
        also = f", spelt {', '.join(spellings)}" if len(spellings) > 1 else ""
        which = "" if row_numbers is None else f" ({', '.join(str(row_numbers[row]) for row in rows)})"
        problems.append(
            f"patient {names[rows[0]]}: {len(rows)} rows{which} have this patient_id{also}; one row per patient"
        )
    return problems


def check_frame(table, name="the cohort table"):
    """Refuse a table that is no DataFrame of pandas, or that has a column twice.

    Parameters
    ----------
    table : object
        What was given.
    name : str, default="the cohort table"
        How the message names it.

    Raises
    ------
    InputError
        If the table is of another package, has several levels of column names, or a column name twice.
    """
    if not isinstance(table, pd.DataFrame):
        kind = f"{type(table).__module__.partition('.')[0]}.{type(table).__name__}"
        advice = "convert it by to_pandas()" if hasattr(table, "to_pandas") else "it needs named columns"
        if isinstance(table, np.ndarray):
            advice += "; an estimator that passes arrays, such as BaggingClassifier, goes inside the pipeline"
        raise InputError(f"{name} must be a DataFrame of pandas; got {kind}; {advice}")
    if table.columns.nlevels > 1:
        raise InputError(f"{name} has {table.columns.nlevels} levels of column names; it must have one")
    repeated = table.columns[table.columns.duplicated()].unique()
    raise_problems(
        f"{name} has", [f"column {column!r}: occurs {(table.columns == column).sum()} times" for column in repeated]
    )
