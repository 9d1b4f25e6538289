"""The cohort table: reading, checks, and separation into features and outcomes."""

import math
import os
import warnings
from numbers import Number
from pathlib import Path

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError

from .columns import (
    CLINICAL_CODES,
    CLINICAL_COLUMNS,
    CLINICAL_RANGES,
    IDENTITY_COLUMNS,
    OUTCOME_CODES,
    POSITION_COLUMNS,
    WHOLE_NUMBERS,
    allowed_codes,
)
from .image_files import image_format
from .problems import id_problems, is_missing, missing_columns, patient_names, raise_problems

_NUMBER_COLUMNS = (*CLINICAL_RANGES, "lesion_slice", "lesion_z_mm")
_PATH_COLUMNS = ("image", "lesion_mask")


def read_cohort(path):
    """Read a cohort table and check it.

    Parameters
    ----------
    path : str or Path
        A comma-separated file with one row per patient and the columns of :func:`check_cohort`. Paths in it are
        absolute or relative to the folder of the table. Only an empty cell is a missing value.

    Returns
    -------
    DataFrame
        The table with absolute paths, otherwise unchanged.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If the file is not a table, or :func:`check_cohort` finds problems; all of them are listed.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn_pspd import make_cohort, read_cohort
    >>> folder = tempfile.TemporaryDirectory()
    >>> written = make_cohort(folder.name, n_patients=20, matrix_px=(48,), random_state=0)
    >>> read_cohort(f"{folder.name}/cohort.csv").shape
    (20, 12)
    >>> folder.cleanup()
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"cohort table {path}: no such file")
    texts = dict.fromkeys((*IDENTITY_COLUMNS, *CLINICAL_CODES, "lesion_mask", "outcome"), "str")
    try:
        with warnings.catch_warnings():
            # If a row has more fields than the header, its values could be assigned to the wrong columns.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            cohort = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""], index_col=False)
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"cohort table {path}: not a comma-separated table ({error})") from error
    for column in cohort.columns.intersection(_NUMBER_COLUMNS):
        cohort[column] = _numbers_where_possible(cohort[column])
    for column in cohort.columns.intersection(_PATH_COLUMNS):
        cohort[column] = cohort[column].map(lambda value: _absolute(value, path.parent), na_action="ignore")
    check_cohort(cohort)
    return cohort


def check_cohort(cohort):
    """Check a cohort table and report all problems in one error.

    ================= ========================================================================================
    column            meaning
    ================= ========================================================================================
    patient_id        text; unique if surrounding white space and letter case are ignored
    site              text; the hospital that treated the patient
    image             path of a NIfTI volume or of a folder with one DICOM series
    lesion_slice      axial slice that shows the lesion best, counted from 0 at the feet
    lesion_z_mm       or: height of that slice in scanner coordinates, in mm towards the head
    lesion_mask       or: path of a NIfTI mask on the grid of the image
    age_years         age at surgery, 0 to 120
    sex               "female" or "male"
    mgmt              MGMT promoter: "methylated", "unmethylated" or "unknown"
    idh               IDH: "mutated", "wildtype" or "unknown"
    dose_gy           total dose of radiotherapy in Gy, 1 to 100
    n_fractions       number of fractions, 1 to 60
    interval_days     days from the end of chemoradiotherapy to the lesion, 0 to 10000
    outcome           "PD" or "PsPD"
    ================= ========================================================================================

    Each patient has exactly one of the three lesion positions. A folder that contains exactly the slices to be used
    needs none. Other columns are ignored.

    Parameters
    ----------
    cohort : DataFrame
        One row per patient, with absolute paths.

    Returns
    -------
    DataFrame
        The same object, unchanged.

    Raises
    ------
    InputError
        If there are problems; the message has one line per problem, with patient, column and value.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd import check_cohort
    >>> check_cohort(pd.DataFrame({"patient_id": ["a", "a"]}))
    Traceback (most recent call last):
        ...
    sklearn_pspd.exceptions.InputError: the cohort table has 11 problems:
    ...
    """
    problems = missing_columns(cohort, (*IDENTITY_COLUMNS, *CLINICAL_COLUMNS, "outcome"))
    if len(cohort) == 0:
        problems.append("no patients")
    problems += id_problems(cohort)
    for name, (_, row) in zip(patient_names(cohort), cohort.iterrows(), strict=True):
        problems += [f"patient {name}: {problem}" for problem in _row_problems(row)]
    raise_problems("the cohort table has", problems)
    return cohort


def split_xy(cohort):
    """Split a cohort table into the features X and the outcomes y.

    Parameters
    ----------
    cohort : DataFrame
        A checked cohort table.

    Returns
    -------
    X : DataFrame
        All columns except "outcome"; the index holds the patient ids, so that errors of later steps can name patients.
    y : ndarray of shape (n_patients,)
        0 = PD, 1 = PsPD.

    Raises
    ------
    InputError
        If an outcome is missing or neither "PD" nor "PsPD".

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd import split_xy
    >>> X, y = split_xy(pd.DataFrame({"patient_id": ["a", "b"], "outcome": ["PsPD", "PD"]}))
    >>> y
    array([1, 0])
    """
    raise_problems("the cohort table has", missing_columns(cohort, ("patient_id", "outcome")))
    problems = [
        f"patient {name}: {problem}"
        for name, outcome in zip(patient_names(cohort), cohort["outcome"], strict=True)
        if (problem := _code_problem("outcome", outcome))
    ]
    raise_problems("the cohort table has", problems)
    y = cohort["outcome"].map(OUTCOME_CODES).to_numpy(dtype=np.int64)
    X = cohort.drop(columns="outcome")
    X.index = pd.Index(cohort["patient_id"], name="patient")
    return X, y


def _numbers_where_possible(column):
    """Return a column as numbers; cells with other text keep it, so that the check can report them."""
    if pd.api.types.is_numeric_dtype(column):
        return column
    numbers = pd.to_numeric(column, errors="coerce")
    if (numbers.isna() & column.notna()).any():
        return numbers.astype(object).where(numbers.notna() | column.isna(), column)
    return numbers


def _absolute(value, folder):
    return value if is_missing(value) else str((folder / value).resolve())


def _row_problems(row):
    problems = []
    if "site" in row and is_missing(row["site"]):
        problems.append("column site is empty")
    if "image" in row:
        problems.append(_path_problem("image", row["image"]))
        problems.append(_position_problem(row))
    for column, (low, high) in CLINICAL_RANGES.items():
        if column in row:
            problems.append(_number_problem(column, row[column], low, high))
    problems += [_code_problem(column, row[column]) for column in (*CLINICAL_CODES, "outcome") if column in row]
    return [problem for problem in problems if problem]


def _position_problem(row):
    given = [column for column in POSITION_COLUMNS if column in row and not is_missing(row[column])]
    if len(given) > 1:
        return f"the lesion position is given more than once: {', '.join(f'{c} = {row[c]}' for c in given)}"
    if not given:
        # Path.is_dir would raise on a text that is too long for a path.
        if isinstance(row["image"], str | os.PathLike) and os.path.isdir(row["image"]):  # noqa: PTH112
            return None
        return f"the lesion position is missing: give one of {', '.join(POSITION_COLUMNS)}"
    if given == ["lesion_slice"]:
        return _number_problem("lesion_slice", row["lesion_slice"], 0, math.inf)
    if given == ["lesion_z_mm"]:
        return _number_problem("lesion_z_mm", row["lesion_z_mm"], -math.inf, math.inf)
    return _path_problem("lesion_mask", row["lesion_mask"])


def _number_problem(column, value, low, high):
    if is_missing(value):
        return f"column {column} is empty"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Number):
        return f"column {column} holds {value!r}, which is not a number"
    if not math.isfinite(value):
        return f"column {column} holds {value}, which is not finite"
    if not low <= value <= high:
        unit = column.rsplit("_", 1)[-1] if column.endswith(("_years", "_gy", "_days", "_mm")) else ""
        return f"column {column} holds {value:g}, outside {low:g} to {high:g}{' ' + unit if unit else ''}"
    if column in WHOLE_NUMBERS and value != round(value):
        return f"column {column} holds {value:g}, which is not a whole number"
    return None


def _code_problem(column, value):
    if is_missing(value):
        return f"column {column} is empty"
    allowed = allowed_codes(column)
    if value not in allowed:
        return f"column {column} holds {value!r}; it takes {', '.join(repr(code) for code in allowed)}"
    return None


def _path_problem(column, value):
    if is_missing(value):
        return f"column {column} is empty"
    if not isinstance(value, str | os.PathLike):
        return f"column {column} holds {value!r}, which is not a path"
    path = Path(value)
    try:
        if path.is_dir():
            return None if any(path.iterdir()) else f"column {column}: {path} is an empty folder"
        if not path.exists():
            return f"column {column}: {path} does not exist"
        return None if image_format(path) else f"column {column}: {path} is neither NIfTI nor DICOM"
    except (OSError, EOFError) as error:
        return f"column {column}: {path} cannot be read ({error})"
