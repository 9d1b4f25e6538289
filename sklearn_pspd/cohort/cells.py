"""What is wrong with a cell of a cohort table: numbers, codes, paths, positions of the lesion."""

import difflib
import math
import os
import re
import unicodedata
from numbers import Number
from pathlib import Path

import numpy as np

from .columns import OUTCOME_CODES, POINT_COLUMNS, POSITION_COLUMNS, POSITION_WAYS, lesion_positions
from .image_files import file_problem, is_markups, path_problem
from .problems import is_missing

# Entries of a folder that are named where a path does not exist.
SHOWN_NAMES = 3
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*", re.ASCII)


def number_problem(column, value, low=-math.inf, high=math.inf, *, unit=None, whole=False):
    """Return what is wrong with a number, or None.

    Parameters
    ----------
    column : str
        Name of the column.
    value : object
        The cell.
    low, high : float
        The smallest and the largest number that the cell may hold.
    unit : str, default=None
        Unit of the range, for the text.
    whole : bool, default=False
        Whether the number must be whole.

    Returns
    -------
    str or None
        A text such as "column age_years holds 340, outside 0 to 120 years".
    """
    if is_missing(value):
        return f"column {column} is empty"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Number) or isinstance(value, complex):
        return f"column {column} holds {value!r}, which is not a number{_advice_on_number(value)}"
    if not math.isfinite(value):
        return f"column {column} holds {value}, which is not finite"
    if not low <= value <= high:
        return f"column {column} holds {value:g}, outside {low:g} to {high:g}{' ' + unit if unit else ''}"
    if whole and value != round(value):
        return f"column {column} holds {value:g}, which is not a whole number"
    return None


def code_problem(column, value, allowed):
    """Return what is wrong with a cell that must hold one of the allowed texts, or None.

    Parameters
    ----------
    column : str
        Name of the column.
    value : object
        The cell.
    allowed : sequence of str
        The texts that it may hold.

    Returns
    -------
    str or None
        A text such as "column sex holds 'Male'; it takes 'female', 'male'; did you mean 'male'?".
    """
    if is_missing(value):
        return f"column {column} is empty"
    if not isinstance(value, str) or value not in allowed:
        return (
            f"column {column} holds {value!r}; it takes {', '.join(map(repr, allowed))}{did_you_mean(value, allowed)}"
        )
    return None


def clinical_problem(column, value):
    """Return what is wrong with a cell of a clinical column that is not empty, or None.

    Parameters
    ----------
    column : ClinicalColumn
        The column.
    value : object
        The cell.

    Returns
    -------
    str or None
        As of `code_problem` and `number_problem`.
    """
    if column.is_coded:
        return code_problem(column.name, value, column.allowed)
    low, high = column.range or (-math.inf, math.inf)
    return number_problem(column.name, value, low, high, unit=column.unit, whole=column.whole)


def outcome_problem(value):
    """Return what is wrong with an outcome, or None."""
    return code_problem("outcome", value, tuple(OUTCOME_CODES))


def position_problem(row):
    """Return what is wrong with the lesion position of a patient, or None; `row` maps columns to cells."""
    given = lesion_positions(row)
    if len(given) > 1:
        shown = [column for column in POSITION_COLUMNS if column in row and not is_missing(row[column])]
        return f"the lesion position is given more than once: {', '.join(f'{c} = {row[c]}' for c in shown)}"
    if not given:
        # Path.is_dir would raise on a text that is too long for a path.
        if isinstance(row["image"], str | os.PathLike) and os.path.isdir(row["image"]):  # noqa: PTH112
            return None
        return f"the lesion position is missing: give one of {POSITION_WAYS}"
    ((way, value),) = given.items()
    if way == "lesion_mask":
        return image_problem(way, value)
    if way == "lesion_point":
        return point_problem(value)
    low = -math.inf if way == "lesion_z_mm" else 0
    return number_problem(way, value, low, unit="mm" if way == "lesion_z_mm" else None, whole=way != "lesion_z_mm")


def point_problem(point):
    """Return what is wrong with the three coordinates of a point in mm, or None; those that are empty are None."""
    absent = [name for name, value in zip(POINT_COLUMNS, point, strict=True) if value is None]
    if absent:
        return f"the point of the lesion lacks {', '.join(absent)}; give all three coordinates, or lesion_z_mm alone"
    problems = [number_problem(name, value, unit="mm") for name, value in zip(POINT_COLUMNS, point, strict=True)]
    return next(filter(None, problems), None)


def image_problem(column, value):
    """Return what is wrong with the path of an image or mask, or None.

    Parameters
    ----------
    column : str
        Name of the column.
    value : object
        The cell.

    Returns
    -------
    str or None
        The path is shown by its `repr`, in which blanks at its ends are visible.
    """
    if is_missing(value):
        return f"column {column} is empty"
    if not isinstance(value, str | os.PathLike):
        return f"column {column} holds {value!r}, which is not a path"
    problem = path_problem(value)
    if problem:
        problem += _advice_on_path(Path(value))
    else:
        problem = _folder_problem(value) if os.path.isdir(value) else file_problem(value)  # noqa: PTH112
        if problem and column == "lesion_mask" and is_markups(value):
            problem = ""
    return f"column {column}: {str(value)!r} {problem}" if problem else None


def did_you_mean(value, allowed):
    """Return a proposal that differs from a value in letter case, blanks, hyphens and underscores only, or nothing.

    Parameters
    ----------
    value : object
        What was found.
    allowed : iterable of str
        What is allowed.

    Returns
    -------
    str
        For example "; did you mean 'methylated'?", or an empty text.
    """
    near = [
        text for text in allowed if isinstance(value, str) and spelling(value) and spelling(text) == spelling(value)
    ]
    return f"; did you mean {near[0]!r}?" if near else ""


def spelling(text):
    """Return a text without letter case, white space, punctuation and Unicode variants of its characters."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", text)).casefold()


def _advice_on_number(value):
    if isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value):
        return "; if the commas of the table are decimal ones, read it with decimal=','"
    return ""


def _folder_problem(path):
    try:
        return "" if any(Path(path).iterdir()) else "is an empty folder"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"


def _advice_on_path(path):
    """Return which entry of the file system a path that does not exist may mean, and in what the two differ."""
    try:
        # The first part of the path that is not there, and what its folder has instead.
        missing = next((part for part in reversed([path, *path.parents]) if not os.path.lexists(part)), None)
        names = [] if missing is None else sorted(entry.name for entry in missing.parent.iterdir())
    except OSError:
        return ""
    for name in names:
        if spelling_of_path(name) == spelling_of_path(missing.name):
            difference = _path_difference(missing.name, name)
            return f"; {str(missing.parent)!r} has {name!r}, which differs in {difference}"
    if missing is None:
        return ""
    if "\\" in path.name and os.sep == "/":
        return "; it has backslashes: separate folders by '/'"
    near = difflib.get_close_matches(missing.name, names, n=SHOWN_NAMES)
    shown = ", ".join(map(repr, near or names[:SHOWN_NAMES])) or "nothing"
    more = "" if near or len(names) <= SHOWN_NAMES else f" and {len(names) - SHOWN_NAMES} more"
    return f"; {str(missing.parent)!r} has {shown}{more}"


def spelling_of_path(name):
    """Return a file name with composed letters, without letter case and white space around it."""
    return unicodedata.normalize("NFC", name.replace("\u00a0", " ")).strip().casefold()


def _path_difference(written, found):
    if unicodedata.normalize("NFC", written) == unicodedata.normalize("NFC", found):
        return "the Unicode form of its letters (composed or decomposed), which no screen shows"
    if written.strip() == found.strip():
        return "blanks around the name"
    if written.casefold() == found.casefold():
        return "upper and lower case"
    return "blanks, letter case or the Unicode form of its letters"
