"""Read third-party clinical tables; collect all errors and anomalies in one report."""

import fnmatch
import math
import os
import warnings
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from zipfile import BadZipFile

import pandas as pd

from sklearn_pspd.cohort.columns import (
    CLINICAL_COLUMNS,
    CLINICAL_RANGES,
    IDENTITY_COLUMNS,
    POSITION_COLUMNS,
    WHOLE_NUMBERS,
    allowed_codes,
)
from sklearn_pspd.cohort.image_files import file_problem, path_problem
from sklearn_pspd.cohort.problems import is_missing, normalise_ids, raise_problems, repeated_ids, to_number
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading.errors import ImageError, NoLesionError
from sklearn_pspd.loading.geometry import Settings
from sklearn_pspd.loading.position import middle_slice, open_volume

IMAGE_MODES = ("required", "available", "none")
REPORT_COLUMNS = ["patient_id", "finding", "column", "value", "in_cohort"]
SEXES = {"m": "male", "male": "male", "f": "female", "female": "female"}
SHOWN_PATIENTS = 8


class CohortWarning(UserWarning):
    """Anomalies that a loader found in a data set, and the patients that it left out."""


class Report:
    """The problems of a data set, which are errors, and the findings, which are only reported."""

    def __init__(self, source):
        self.source = source
        self.problems = []
        self.findings = []

    def add_problem(self, text):
        """Add an error that makes the data unusable."""
        self.problems.append(text)

    def add_finding(self, patient_id, finding, column="", value=""):
        """Add an anomaly that leaves the data usable; `finding` is the same text for every patient."""
        self.findings.append({"patient_id": patient_id, "finding": finding, "column": str(column), "value": str(value)})

    def add_missing_image(self, images, patient_id, text):
        """Add a missing image: an error if images are required, otherwise a finding."""
        if images == "required":
            self.add_problem(f'{patient_id}: {text}; images="available" leaves such patients out')
        else:
            self.add_finding(patient_id, "left out: no image", value=text)

    def raise_problems(self):
        """Raise one error that lists all problems, if there are any."""
        raise_problems(f"{self.source} has", self.problems)

    def to_frame(self, cohort):
        """Return one row per finding, with the information whether its patient is in the cohort."""
        table = pd.DataFrame(self.findings, columns=REPORT_COLUMNS[:-1])
        return table.assign(in_cohort=table["patient_id"].isin(cohort["patient_id"]).to_numpy(dtype=bool))

    def warn(self):
        """Issue one warning to the caller of the loader, with one line per kind of finding."""
        if not self.findings:
            return
        table = pd.DataFrame(self.findings)
        lines = [
            f"  {finding}: {_listing(rows['patient_id'])}" for finding, rows in table.groupby("finding", sort=False)
        ]
        text = f"{self.source} (return_report=True returns these findings as a table):\n" + "\n".join(lines)
        warnings.warn(text, CohortWarning, stacklevel=4)


class Records:
    """A table of text cells; its columns are decoded, and invalid cells are added to a report.

    Rows are numbered as in a spreadsheet: the header is row 1, and empty rows count. White space around column names
    and cells is removed.
    """

    def __init__(self, path, table, report, id_column):
        self.path = path
        self.table = table
        self.report = report
        self.ids = table[id_column].tolist()
        self.rows = table.index.tolist()
        for number, name in enumerate(self.ids):
            if is_missing(name):
                self.add_problem(number, id_column, "is empty")

    def refuse_repeated_ids(self, id_column):
        """Add a problem for each patient with more than one row."""
        for places in repeated_ids(self.ids):
            rows = ", ".join(str(self.rows[place]) for place in places)
            self.report.add_problem(f"{self.path}, column {id_column}: {self.ids[places[0]]} is in rows {rows}")

    def adopt_spelling(self, other):
        """Spell the patient ids as in another table; ids that differ only in letter case are those of one patient."""
        spellings = dict(zip(normalise_ids(other.ids), other.ids, strict=True))
        self.ids = [spellings.get(key, name) for key, name in zip(normalise_ids(self.ids), self.ids, strict=True)]

    def texts(self, column):
        """Return the cells of a column as text."""
        return self.table[column].tolist()

    def codes(self, column, meanings, *, fold=False):
        """Return the meanings of the cells, None for an invalid cell; with `fold`, letter case is ignored.

        Each cell must equal one of the keys of `meanings`, which are in lower case if `fold` is True.
        """
        found = []
        for row, text in enumerate(self.texts(column)):
            key = text.lower() if fold else text
            if key not in meanings:
                self.add_problem(row, column, f"holds {text!r}; it takes {', '.join(map(repr, meanings))}")
            found.append(meanings.get(key))
        return found

    def library_codes(self, column, name, meanings):
        """Return the codes of the library's column `name`; `meanings` maps further texts to codes."""
        own = {code: code for code in allowed_codes(name)}
        return self.codes(column, own | {str(text): code for text, code in meanings.items()})

    def numbers(self, column, *, missing=("",), low=-math.inf, high=math.inf, unit=""):
        """Return the numbers of a column, which may end in a unit; NaN for texts that mean a missing value."""
        found = []
        for row, text in enumerate(self.texts(column)):
            value = math.nan if text in missing else _number(text, unit)
            if math.isnan(value) and text not in missing:
                self.add_problem(row, column, f"holds {text!r}, which is not a number{' of ' + unit if unit else ''}")
            elif value < low or value > high:
                self.add_problem(
                    row, column, f"holds {text!r}, outside {low:g} to {high:g}{' ' + unit if unit else ''}"
                )
            found.append(value)
        return found

    def clinical_numbers(self, column, name, *, missing=("",)):
        """Return the numbers of a column within the range of the library's column `name`; otherwise as `numbers`."""
        low, high = CLINICAL_RANGES[name]
        found = self.numbers(column, missing=missing, low=low, high=high)
        for row, value in enumerate(found):
            if name in WHOLE_NUMBERS and low <= value <= high and value != round(value):
                self.add_problem(row, column, f"holds {self.texts(column)[row]!r}, which is not a whole number")
        return found

    def dates(self, column, form):
        """Return the dates of a column, None for empty cells; `form` is a format of strptime."""
        found = []
        for row, text in enumerate(self.texts(column)):
            try:
                found.append(datetime.strptime(text, form).date() if text else None)
            except ValueError:
                self.add_problem(row, column, f"holds {text!r}, which is not a date of the form {form}")
                found.append(None)
        return found

    def add_problem(self, number, column, text):
        """Add a problem of a cell; `number` is the position of the patient, from 0."""
        name = self.ids[number] or "no id"
        self.report.add_problem(f"{self.path}, row {self.rows[number]} ({name}), column {column}: {text}")


def read_records(path, report, id_column=None, columns=(), *, separator=",", sheet=None):
    """Read a text file or a sheet of a workbook; all of these columns are required.

    The ids are in `id_column`, or in the first column if it is None.
    """
    cells = _read_text(Path(path), separator, sheet).fillna("").apply(lambda column: column.astype(str).str.strip())
    cells.index += 1
    table = cells.iloc[1:].set_axis(cells.iloc[0].tolist(), axis=1) if len(cells) else cells
    table = table[(table != "").any(axis=1)]
    named = table.columns[table.columns != ""]
    for column in named[named.duplicated()].unique():
        report.add_problem(f"{path}, column {column!r}: occurs {(named == column).sum()} times")
    id_column = table.columns[0] if id_column is None else id_column
    for column in (id_column, *columns):
        if column not in table.columns:
            report.add_problem(
                f"{path}, column {column!r}: missing; the table has {', '.join(map(repr, table.columns[:12]))}"
            )
    report.raise_problems()
    return Records(path, table, report, id_column)


def find_table(root, table, pattern, advice):
    """Return the path of a table: the given one, or the only match of a pattern in `root` and the folders in it.

    The pattern is a shell pattern in lower case; letter case of file names is ignored. `advice` states where to get the
    table.
    """
    root = Path(root)
    if table is not None:
        path = root / table
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such table; {advice}")
        return path
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; {advice}")
    near = [*root.iterdir(), *(file for folder in root.iterdir() if folder.is_dir() for file in folder.iterdir())]
    found = sorted(file for file in near if not file.is_dir() and fnmatch.fnmatch(file.name.lower(), pattern))
    if not found:
        raise FileNotFoundError(f"{root}: no table with a name like {pattern} (letter case ignored); {advice}")
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise InputError(f"{root}: several tables with a name like {pattern}: {names}; give the path of one of them")
    return found[0]


def find_folder(root, name):
    """Return the folder of a patient in `root` or up to two levels below, or None."""
    parents = [Path(root)]
    for _ in range(3):
        # os.path.isdir accepts any text; Path.is_dir raises on one that is too long for a file name.
        found = next((parent / name for parent in parents if name and os.path.isdir(parent / name)), None)  # noqa: PTH112
        if found is not None:
            return found
        parents = [folder for parent in parents for folder in sorted(parent.iterdir()) if folder.is_dir()]
    return None


def first_present(paths):
    """Return the first path that is there, a link to a missing file included; None if there is none."""
    return next((path for path in paths if os.path.lexists(path)), None)


def has_image(report, images, patient_id, path):
    """Return whether a file is an image; otherwise report it as missing, with the reason."""
    problem = file_problem(path)
    if problem:
        report.add_missing_image(images, patient_id, f"{path} {problem}")
    return not problem


def largest_slice(report, patient_id, image, mask, label):
    """Return the axial slice, from 0 at the feet, with the largest area of a label in a mask; NaN if there is none."""
    if not os.path.lexists(mask):
        report.add_finding(patient_id, "no mask, so the lesion position is missing", value=mask)
        return math.nan
    settings = Settings(1, None, 90.0, math.inf, label)
    try:
        return middle_slice(str(image), open_volume(str(image), [str(image)]), ("lesion_mask", str(mask)), settings)
    except NoLesionError as error:
        report.add_finding(patient_id, "no enhancing voxel in the mask, so the lesion position is missing", value=error)
    except ImageError as error:
        for text in error.problems:
            report.add_problem(f"{patient_id}: {text}")
    return math.nan


def check_choice(name, value, choices):
    """Refuse a parameter that is not one of the choices."""
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}")


def check_mappings(**parameters):
    """Refuse parameters that are neither None nor a dict."""
    for name, value in parameters.items():
        if value is not None and not isinstance(value, Mapping):
            raise InputError(f"{name} must be a dict; got {value!r}")


def check_codes(codes, columns):
    """Refuse a parameter `codes` that does not map texts of these columns to the library's codes."""
    for name, meanings in codes.items():
        if name not in columns:
            raise InputError(f"codes takes the columns {', '.join(columns)}; got {name!r}")
        check_mappings(**{f"codes[{name!r}]": meanings})
        allowed = allowed_codes(name)
        wrong = [code for code in meanings.values() if code not in allowed]
        if wrong:
            raise InputError(f"codes[{name!r}] takes the codes {', '.join(map(repr, allowed))}; got {wrong[0]!r}")


def to_cohort(rows, report, return_report):
    """Return the cohort table of a loader's rows, with the library's columns first, or raise all problems.

    The findings are returned with the cohort if `return_report` is True; otherwise a warning lists them.
    """
    if not rows and not report.problems:
        report.add_problem("no patient is left for the cohort")
    report.raise_problems()
    cohort = pd.DataFrame(rows)
    known = [*IDENTITY_COLUMNS, *POSITION_COLUMNS, *CLINICAL_COLUMNS, "outcome"]
    first = [column for column in known if column in cohort.columns]
    cohort = cohort[[*first, *(column for column in cohort.columns if column not in first)]]
    for column in CLINICAL_COLUMNS:
        if column in cohort.columns:
            for name in cohort.loc[cohort[column].isna(), "patient_id"]:
                report.add_finding(name, f"{column} missing", column)
    if return_report:
        return cohort, report.to_frame(cohort)
    report.warn()
    return cohort


def _read_text(path, separator, sheet):
    if problem := path_problem(path):
        raise FileNotFoundError(f"{path}: no such table ({problem})")
    try:
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            return pd.read_excel(
                path, sheet_name=sheet or 0, header=None, dtype=str, keep_default_na=False, engine="openpyxl"
            )
        with warnings.catch_warnings():
            # If a row has more fields than the header, its values could be assigned to the wrong columns.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                path,
                sep=separator,
                header=None,
                skip_blank_lines=False,
                dtype=str,
                keep_default_na=False,
                skipinitialspace=True,
                encoding="utf-8-sig",
                index_col=False,
            )
    except ImportError as error:
        raise InputError(
            f"{path}: reading a workbook requires openpyxl; install it or save the sheet as CSV"
        ) from error
    # Errors of pandas about parsing and decoding are ValueErrors.
    except (ValueError, KeyError, BadZipFile, pd.errors.ParserWarning) as error:
        raise InputError(f"{path}: not a table ({error})") from error


def _number(text, unit):
    if unit and text.lower().endswith(unit.lower()):
        text = text[: -len(unit)].strip()
    return to_number(text)


def _listing(patients):
    names = list(dict.fromkeys(patients))
    more = f" and {len(names) - SHOWN_PATIENTS} more" if len(names) > SHOWN_PATIENTS else ""
    return f"{len(names)} ({', '.join(names[:SHOWN_PATIENTS])}{more})"
