"""New patients as a table: from a file, from values on the command line, and checked before any model sees them."""

import re
from pathlib import Path

import pandas as pd

from sklearn_pspd.cohort import POSITION_COLUMNS, read_cohort
from sklearn_pspd.cohort.cells import clinical_problem, did_you_mean, image_problem, position_problem
from sklearn_pspd.cohort.problems import (
    check_frame,
    id_problems,
    is_missing,
    missing_columns,
    patient_labels,
    raise_problems,
    to_number,
)
from sklearn_pspd.exceptions import InputError

CLINICAL = "clinical value"
# As in "56,sex=male".
_SEVERAL = re.compile(r"[,;]\s*\w+\s*=")


def read_patients(released, patients, **reading):
    """Return new patients as a checked table.

    Parameters
    ----------
    released : ReleasedModel
        The model.
    patients : DataFrame or path-like
        A table with one row per patient, or the file of a cohort table.
    **reading : dict
        Parameters of :func:`~sklearn_pspd.cohort.read_cohort` for a file: ``sep``, ``decimal``, ``encoding``,
        ``sheet``.

    Returns
    -------
    DataFrame
        The table, whose index holds the patient ids so that errors of later steps can name patients.

    Raises
    ------
    InputError
        If a column is absent, or a cell is not as the model needs it; all problems are listed, with the patients.
    """
    if not isinstance(patients, pd.DataFrame):
        patients = read_cohort(
            patients,
            clinical=released.columns or None,
            outcome="optional",
            missing="keep",
            further_images=released.further_images,
            **reading,
        )
    return check_patients(released, patients)


def check_patients(released, patients, *, decimal=None):
    """Check a table of new patients.

    Parameters
    ----------
    released : ReleasedModel
        The model.
    patients : DataFrame of shape (n_patients, n_columns)
        The table.
    decimal : {".", ","}, default=None
        Decimal mark of values that were written on a command line, for the advice on those that are no numbers. None
        for a table of other origin.

    Returns
    -------
    DataFrame
        As of :func:`read_patients`.

    Raises
    ------
    InputError
        As of :func:`read_patients`.
    """
    check_frame(patients, "the table of patients")
    problems = missing_columns(patients, _needed_columns(released))
    problems += id_problems(patients) or _row_problems(released, patients, decimal)
    if len(patients) == 0:
        problems.append("no patients")
    given = "the table of patients" if decimal is None else "what is given for the patient"
    raise_problems(f"{given} does not suit the model {released.name!r}; it has", problems)
    return patients.set_axis(pd.Index(patients["patient_id"], name="patient"))


def patient_from_values(released, values, *, image=None, further=None, patient_id="patient", decimal=".", **position):
    """Return a table of one patient from values as they are written on a command line.

    Parameters
    ----------
    released : ReleasedModel
        The model.
    values : dict of str to str
        Clinical values by column, in its unit.
    image : path-like, default=None
        NIfTI file or DICOM folder.
    further : dict of str to path-like, default=None
        The same for each further image, by column.
    patient_id : str, default="patient"
        How results name the patient.
    decimal : {".", ","}, default="."
        Decimal mark of the values. With a comma, a point is none.
    **position : dict
        ``lesion_slice``, ``lesion_z_mm`` or another column of the lesion's position.

    Returns
    -------
    DataFrame of shape (1, n_columns)
        The table; a clinical column without a value is missing there, unless it holds numbers that may be missing.

    Raises
    ------
    InputError
        If a value or an image is given for a column that the model does not read, or is no number where one is
        needed.
    """
    names = [column.name for column in released.columns]
    reads = ", ".join(names) or "none"
    others = [
        f"{name!r} is no clinical column of this model{did_you_mean(name, names)}; it reads {reads}"
        for name in values
        if name not in names
    ]
    images = {} if image is None else {"image": image}
    images |= further or {}
    readable = ", ".join(released.further_images) or "none"
    others += [
        f"{name!r} is no further image of this model{did_you_mean(name, released.further_images)}; it reads {readable}"
        for name in further or ()
        if name not in released.further_images
    ]
    row = {"patient_id": patient_id, **{name: str(Path(path).resolve()) for name, path in images.items()}}
    row |= {name: value for name, value in position.items() if name in POSITION_COLUMNS and value is not None}
    for column in released.columns:
        if column.name not in values:
            row[column.name] = None
            continue
        given = values[column.name]
        number = given if column.is_coded else _written_number(given, decimal)
        # A text that is no number stays, so that the check of the table names it.
        row[column.name] = given if is_missing(number) else number
    raise_problems("what is given for the patient has", others)
    return pd.DataFrame([row])


def _needed_columns(released):
    images = ["image", *released.further_images] if released.reads_images else []
    return ["patient_id", *images, *(column.name for column in released.columns)]


def _row_problems(released, patients, decimal):
    """Return what is wrong with the cells that the model reads, for each patient."""
    columns = [column for column in released.columns if column.name in patients]
    keeps_missing = released.schema["missing_numbers"] != "refuse"
    problems = []
    for label, (_, row) in zip(patient_labels(patients), patients.iterrows(), strict=True):
        found = []
        if released.reads_images and "image" in patients:
            found += [image_problem("image", row["image"]), position_problem(row)]
        found += [image_problem(name, row[name]) for name in released.further_images if name in patients]
        for column in columns:
            admitted = keeps_missing and not column.is_coded and column.may_be_missing
            if is_missing(row[column.name]):
                found.append(None if admitted else f"column {column.name} is empty; give {_expected(column)}")
            else:
                problem = clinical_problem(column, row[column.name])
                if problem and decimal is not None and not column.is_coded:
                    problem = _other_decimal_mark(column, row[column.name], decimal) or problem
                found.append(problem)
        problems += [f"{label}: {problem}" for problem in found if problem]
    return problems


def _written_number(text, decimal):
    """Return the number that a text holds, NaN for none; with a decimal comma, a point is no decimal mark."""
    if decimal == ",":
        text = text.replace(".", "?").replace(",", ".")
    return to_number(text)


def _other_decimal_mark(column, value, decimal):
    """Return what is wrong with a number of the command line that has the other decimal mark, or None."""
    other = "." if decimal == "," else ","
    if not isinstance(value, str) or other not in value:
        return None
    text = value.replace(other, decimal)
    if is_missing(_written_number(text, decimal)):
        return None
    advice = f"if its comma is a decimal one, write {text} or add --decimal ,"
    if decimal == ",":
        advice = f"with --decimal , write {text}"
    return f"column {column.name} holds {value!r}, which is not a number; {advice}"


def _expected(column):
    """Return what a cell of a column may hold, as text."""
    if column.is_coded:
        return " or ".join(map(repr, column.allowed))
    limits = "a number" if column.range is None else f"a number from {column.range[0]:g} to {column.range[1]:g}"
    return f"{limits}{f' {column.unit}' if column.unit else ''}"


def parse_settings(texts, *, what=CLINICAL, example="age_years=56"):
    """Return values by column from texts such as "age_years=56"; refuse other texts, and a column given twice."""
    values = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not (name.strip() and separator and value.strip()):
            raise InputError(f"{text!r} is no {what}; write COLUMN=VALUE, for example {example}")
        if what == CLINICAL and _SEVERAL.search(value):
            raise InputError(f"{text!r} holds several values; separate them by blanks and not by commas")
        if name.strip() in values:
            raise InputError(f"{name.strip()} is given more than once")
        values[name.strip()] = value.strip()
    return values
