"""The cohort table: columns, units, codes and checks."""

import math
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
    MAY_BE_UNKNOWN,
    OUTCOME_CODES,
    POSITION_COLUMNS,
    UNKNOWN,
    WHOLE_NUMBERS,
)
from .image_files import image_format
from .problems import is_missing, patient_names, raise_problems, repeated_ids

_NUMBER_COLUMNS = (*CLINICAL_RANGES, "lesion_slice", "lesion_z_mm")
_PATH_COLUMNS = ("image", "lesion_mask")


def read_cohort(path):
    """Read a cohort table and check it.

    Parameters
    ----------
    path : str or Path
        A comma-separated file, one row a patient, with the columns of :func:`check_cohort`. Paths in it are absolute or
        relative to the table's own folder. Only an empty cell means "missing".

    Returns
    -------
    DataFrame
        The table as it stands, with absolute paths.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a table, or :func:`check_cohort` finds problems, which it lists all at once.

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
            # A row with more fields than the header: its values could stand under wrong names.
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
    """Report every problem of a cohort table at once.

    ================= ========================================================================================
    column            meaning
    ================= ========================================================================================
    patient_id        text, unique also without blanks around it and letter case
    site              text; where the patient was treated
    image             path of a NIfTI volume or of a folder with one DICOM series
    lesion_slice      axial slice that shows the lesion best, counted from the feet, the lowest is 0
    lesion_z_mm       or: its height in scanner coordinates, in mm towards the head
    lesion_mask       or: path of a NIfTI mask on the image's grid
    age_years         age at surgery, 0 to 120
    sex               "female" or "male"
    mgmt              MGMT promoter: "methylated", "unmethylated" or "unknown"
    idh               IDH: "mutated", "wildtype" or "unknown"
    dose_gy           total dose of radiotherapy in Gy, 1 to 100
    n_fractions       number of fractions, 1 to 60
    interval_days     days from the end of chemoradiotherapy to the lesion, 0 to 10000
    outcome           "PD" or "PsPD"
    ================= ========================================================================================

    Exactly one of the three positions is given for each patient; a folder of exactly the slices to be used needs none.
    Other columns are left alone.

    Parameters
    ----------
    cohort : DataFrame
        One row a patient, with absolute paths.

    Returns
    -------
    DataFrame
        The same object, unchanged.

    Raises
    ------
    ValueError
        One line for each problem, with patient, column and value.

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
    problems = [
        f"column {column}: missing"
        for column in (*IDENTITY_COLUMNS, *CLINICAL_COLUMNS, "outcome")
        if column not in cohort.columns
    ]
    if len(cohort) == 0:
        problems.append("no patients")
    names = patient_names(cohort)
    problems += _identity_problems(cohort, names)
    for position, (_, row) in enumerate(cohort.iterrows()):
        problems += [f"patient {names[position]}: {problem}" for problem in _row_problems(row)]
    raise_problems("the cohort table has", problems)
    return cohort


def split_xy(cohort):
    """Split a cohort into what is known beforehand and what is to be predicted.

    Parameters
    ----------
    cohort : DataFrame
        A checked cohort table.

    Returns
    -------
    X : DataFrame
        All columns but "outcome"; the index holds the patient ids, so that later steps can name a patient.
    y : ndarray of shape (n_patients,)
        0 = PD, 1 = PsPD.

    Raises
    ------
    ValueError
        If an outcome is missing or neither "PD" nor "PsPD".

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd import split_xy
    >>> X, y = split_xy(pd.DataFrame({"patient_id": ["a", "b"], "outcome": ["PsPD", "PD"]}))
    >>> y
    array([1, 0])
    """
    if "outcome" not in cohort.columns:
        raise InputError("the cohort table has no column outcome")
    problems = [
        f"patient {name}: {problem}"
        for name, outcome in zip(patient_names(cohort), cohort["outcome"], strict=True)
        if (problem := _code_problem("outcome", outcome, OUTCOME_CODES))
    ]
    if problems:
        raise InputError("\n".join(problems))
    y = cohort["outcome"].map(OUTCOME_CODES).to_numpy(dtype=np.int64)
    X = cohort.drop(columns="outcome")
    X.index = pd.Index(cohort["patient_id"], name="patient")
    return X, y


def _numbers_where_possible(column):
    """Return numbers; where a cell holds other text, leave the text for the report."""
    if pd.api.types.is_numeric_dtype(column):
        return column
    numbers = pd.to_numeric(column, errors="coerce")
    if (numbers.isna() & column.notna()).any():
        return numbers.astype(object).where(numbers.notna() | column.isna(), column)
    return numbers


def _absolute(value, folder):
    return str((folder / value).resolve()) if str(value).strip() else value


def _identity_problems(cohort, names):
    if "patient_id" not in cohort.columns:
        return []
    problems = [
        f"patient {name}: column patient_id is empty"
        for name, given in zip(names, cohort["patient_id"], strict=True)
        if is_missing(given)
    ]
    for places in repeated_ids(cohort["patient_id"]):
        spelt = dict.fromkeys(repr(names[place]) for place in places)
        also = f", as {', '.join(spelt)}" if len(spelt) > 1 else ""
        problems.append(f"patient {names[places[0]]}: column patient_id holds it in {len(places)} rows{also}")
    return problems


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
    for column, codes in CLINICAL_CODES.items():
        if column in row:
            allowed = (*codes, UNKNOWN) if column in MAY_BE_UNKNOWN else codes
            problems.append(_code_problem(column, row[column], allowed))
    if "outcome" in row:
        problems.append(_code_problem("outcome", row["outcome"], OUTCOME_CODES))
    return [problem for problem in problems if problem]


def _position_problem(row):
    given = [column for column in POSITION_COLUMNS if column in row and not is_missing(row[column])]
    if len(given) > 1:
        return f"the lesion's position is given more than once: {', '.join(f'{c} = {row[c]}' for c in given)}"
    if not given:
        if not is_missing(row["image"]) and Path(row["image"]).is_dir():
            return None
        return f"the lesion's position is missing: give one of {', '.join(POSITION_COLUMNS)}"
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


def _code_problem(column, value, allowed):
    if is_missing(value):
        return f"column {column} is empty"
    if value not in tuple(allowed):
        return f"column {column} holds {value!r}; it takes {', '.join(repr(code) for code in allowed)}"
    return None


def _path_problem(column, value):
    if is_missing(value):
        return f"column {column} is empty"
    path = Path(value)
    try:
        if path.is_dir():
            return None if any(path.iterdir()) else f"column {column}: {path} is an empty folder"
        if not path.exists():
            return f"column {column}: {path} does not exist"
        return None if image_format(path) else f"column {column}: {path} is neither NIfTI nor DICOM"
    except (OSError, EOFError) as error:
        return f"column {column}: {path} cannot be read ({error})"
