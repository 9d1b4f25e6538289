"""Missing values, patient ids, numbers in cells, and one error for all problems of a table."""

import math

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError


def raise_problems(source_has, problems):
    """Raise one error that lists all problems, one line each; do nothing if there are none.

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
        raise InputError(f"{source_has} {count}:\n" + "\n".join(f"  {problem}" for problem in problems))


def is_missing(value):
    """Return whether a cell is empty: None, NaN, NaT, NA, or text of white space only."""
    return bool(pd.api.types.is_scalar(value) and pd.isna(value)) or (isinstance(value, str) and not value.strip())


def to_number(value):
    """Return the finite number that a cell holds as number or text; NaN for anything else, truth values included."""
    if isinstance(value, (bool, np.bool_)):
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


def id_problems(table):
    """Return one problem for each missing patient id and for each id that occurs in more than one row."""
    if "patient_id" not in table.columns:
        return []
    names = patient_names(table)
    problems = [
        f"patient {name}: column patient_id is empty"
        for name, given in zip(names, table["patient_id"], strict=True)
        if is_missing(given)
    ]
    for rows in repeated_ids(table["patient_id"]):
        spellings = dict.fromkeys(repr(names[row]) for row in rows)
        also = f", spelt {', '.join(spellings)}" if len(spellings) > 1 else ""
        problems.append(f"patient {names[rows[0]]}: {len(rows)} rows have this patient_id{also}; one row per patient")
    return problems
