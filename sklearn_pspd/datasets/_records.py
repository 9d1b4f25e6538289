"""Tables of other hands: reading and decoding, with one report of all that is wrong or odd."""

import fnmatch
import math
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
)
from sklearn_pspd.cohort.problems import raise_problems, repeated_ids
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading.errors import ImageError, NoLesionError
from sklearn_pspd.loading.geometry import Settings
from sklearn_pspd.loading.position import middle_slice, open_volume

IMAGE_MODES = ("required", "available", "none")
REPORT_COLUMNS = ["patient_id", "finding", "column", "value", "in_cohort"]
SEXES = {"m": "male", "male": "male", "f": "female", "female": "female"}
SHOWN_PATIENTS = 8


class CohortWarning(UserWarning):
    """What a loader found odd in a data set, and which patients it left out."""


class Report:
    """Problems, which stop a loader, and findings, which it only reports."""

    def __init__(self, source):
        self.source = source
        self.problems = []
        self.findings = []

    def problem(self, text):
        """Note something that makes the data unusable."""
        self.problems.append(text)

    def find(self, patient_id, finding, column="", value=""):
        """Note something odd that leaves the data usable; `finding` is the same text for every patient."""
        self.findings.append({"patient_id": patient_id, "finding": finding, "column": str(column), "value": str(value)})

    def missing_image(self, images, patient_id, text):
        """Note a missing image: a problem or, where only available images are wanted, a finding."""
        if images == "required":
            self.problem(f'{patient_id}: {text}; images="available" leaves such patients out')
        else:
            self.find(patient_id, "left out: no image", value=text)

    def stop(self):
        """Raise all problems at once, if there are any."""
        raise_problems(f"{self.source} has", self.problems)

    def frame(self, cohort):
        """Return the findings, one row each, and whether their patients are in the cohort."""
        table = pd.DataFrame(self.findings, columns=REPORT_COLUMNS[:-1])
        return table.assign(in_cohort=table["patient_id"].isin(cohort["patient_id"]).to_numpy(dtype=bool))

    def warn(self):
        """Emit the findings as one warning to the caller of the loader, one line a kind."""
        if not self.findings:
            return
        table = pd.DataFrame(self.findings)
        lines = [
            f"  {finding}: {_listing(rows['patient_id'])}" for finding, rows in table.groupby("finding", sort=False)
        ]
        text = f"{self.source} (return_report=True gives these findings as a table):\n" + "\n".join(lines)
        warnings.warn(text, CohortWarning, stacklevel=4)


class Records:
    """A table of text whose columns are decoded while problems are collected.

    Rows are numbered as a spreadsheet numbers them: the header is row 1, and empty rows count. Blanks around names and
    cells are no part of them.
    """

    def __init__(self, path, table, report, id_column):
        self.path = path
        self.table = table
        self.report = report
        self.ids = table[id_column].tolist()
        self.rows = table.index.tolist()
        for number, name in enumerate(self.ids):
            if not name:
                self.problem(number, id_column, "is empty")

    def refuse_repeated_ids(self, id_column):
        """Note every patient that has more than one row."""
        for places in repeated_ids(self.ids):
            rows = ", ".join(str(self.rows[place]) for place in places)
            self.report.problem(f"{self.path}, column {id_column}: {self.ids[places[0]]} is in rows {rows}")

    def texts(self, column):
        """Return the trimmed cells of a column."""
        return self.table[column].tolist()

    def codes(self, column, meanings, *, fold=False):
        """Return what whole cells mean, None where that is unknown; with `fold`, `meanings` has lower-case keys."""
        found = []
        for row, text in enumerate(self.texts(column)):
            key = text.lower() if fold else text
            if key not in meanings:
                self.problem(row, column, f"holds {text!r}; it takes {', '.join(map(repr, meanings))}")
            found.append(meanings.get(key))
        return found

    def numbers(self, column, *, missing=("",), low=-math.inf, high=math.inf, unit=""):
        """Return numbers between `low` and `high`, which may end in a unit; NaN for the texts that mean missing."""
        found = []
        for row, text in enumerate(self.texts(column)):
            value = math.nan if text in missing else _number(text, unit)
            if math.isnan(value) and text not in missing:
                self.problem(row, column, f"holds {text!r}, which is not a number{' of ' + unit if unit else ''}")
            elif value < low or value > high:
                self.problem(row, column, f"holds {text!r}, outside {low:g} to {high:g}{' ' + unit if unit else ''}")
            found.append(value)
        return found

    def clinical_numbers(self, column, name, *, missing=("",)):
        """Return numbers in the range of one of the library's columns; NaN for the texts that mean missing."""
        low, high = CLINICAL_RANGES[name]
        found = self.numbers(column, missing=missing, low=low, high=high)
        for row, value in enumerate(found):
            if name in WHOLE_NUMBERS and low <= value <= high and value != round(value):
                self.problem(row, column, f"holds {self.texts(column)[row]!r}, which is not a whole number")
        return found

    def dates(self, column, form):
        """Return dates, None for empty cells; `form` is that of strptime."""
        found = []
        for row, text in enumerate(self.texts(column)):
            try:
                found.append(datetime.strptime(text, form).date() if text else None)
            except ValueError:
                self.problem(row, column, f"holds {text!r}, which is no date of the form {form}")
                found.append(None)
        return found

    def problem(self, number, column, text):
        """Note what is wrong with a cell; `number` counts patients from 0."""
        name = self.ids[number] or "no name"
        self.report.problem(f"{self.path}, row {self.rows[number]} ({name}), column {column}: {text}")


def read_records(path, report, id_column, columns=(), *, separator=",", sheet=None):
    """Read a text file, or a sheet of a workbook, that has these columns."""
    cells = _read_text(Path(path), separator, sheet).fillna("").apply(lambda column: column.astype(str).str.strip())
    cells.index += 1
    table = cells.iloc[1:].set_axis(cells.iloc[0].tolist(), axis=1) if len(cells) else cells
    table = table[(table != "").any(axis=1)]
    named = table.columns[table.columns != ""]
    for column in named[named.duplicated()].unique():
        report.problem(f"{path}, column {column!r}: is there {(named == column).sum()} times")
    for column in (id_column, *columns):
        if column not in table.columns:
            report.problem(f"{path}, column {column!r}: missing; there are {', '.join(map(repr, table.columns[:12]))}")
    report.stop()
    return Records(path, table, report, id_column)


def find_table(root, table, pattern, advice):
    """Return the path of a table: the one given, or the one in `root` or a folder in it whose name has a pattern.

    The pattern is a shell's, in lower case, for names in any letter case; `advice` says where to get the table.
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
    found = sorted(file for file in near if file.is_file() and fnmatch.fnmatch(file.name.lower(), pattern))
    if not found:
        raise FileNotFoundError(f"{root}: no table named like {pattern}, in any letter case; {advice}")
    if len(found) > 1:
        raise InputError(f"{root}: several tables named like {pattern}: {', '.join(map(str, found))}; name one")
    return found[0]


def find_folder(root, name):
    """Return a patient's folder in `root` or up to two folders further down, or None."""
    for depth in ("", "*/", "*/*/"):
        for folder in sorted(Path(root).glob(depth + name)):
            if folder.is_dir():
                return folder
    return None


def largest_slice(report, patient_id, image, mask, label):
    """Return the axial slice, 0 at the feet, in which a mask's label is largest; NaN where there is none."""
    if not mask.is_file():
        report.find(patient_id, "no mask, so no position of the lesion", value=mask)
        return math.nan
    settings = Settings(1, None, 90.0, math.inf, label)
    try:
        return middle_slice(str(image), open_volume(str(image), [str(image)]), ("lesion_mask", str(mask)), settings)
    except NoLesionError as error:
        report.find(patient_id, "mask without the enhancing label, so no position of the lesion", value=error)
    except ImageError as error:
        report.problem(f"{patient_id}: {error}")
    return math.nan


def check_choice(name, value, choices):
    """Refuse a parameter that is none of the choices."""
    if value not in choices:
        raise InputError(f"{name} is one of {', '.join(map(repr, choices))}; got {value!r}")


def check_mappings(**parameters):
    """Refuse parameters that are neither None nor a dict."""
    for name, value in parameters.items():
        if value is not None and not isinstance(value, Mapping):
            raise InputError(f"{name} is a dict; got {value!r}")


def deliver(rows, report, return_report):
    """Return the cohort of a loader's rows, the library's columns first, or raise all problems.

    Findings are warned of or, with `return_report`, returned beside the cohort.
    """
    if not rows and not report.problems:
        report.problem("no patient is left for the cohort")
    report.stop()
    cohort = pd.DataFrame(rows)
    known = [*IDENTITY_COLUMNS, *POSITION_COLUMNS, *CLINICAL_COLUMNS, "outcome"]
    first = [column for column in known if column in cohort.columns]
    cohort = cohort[[*first, *(column for column in cohort.columns if column not in first)]]
    for column in CLINICAL_COLUMNS:
        if column in cohort.columns:
            for name in cohort.loc[cohort[column].isna(), "patient_id"]:
                report.find(name, f"no {column}", column)
    if return_report:
        return cohort, report.frame(cohort)
    report.warn()
    return cohort


def _read_text(path, separator, sheet):
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table")
    try:
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            return pd.read_excel(
                path, sheet_name=sheet or 0, header=None, dtype=str, keep_default_na=False, engine="openpyxl"
            )
        with warnings.catch_warnings():
            # A row with more fields than the header: its values could stand under wrong names.
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
        raise InputError(f"{path}: workbooks need openpyxl; install it or save the sheet as CSV") from error
    except (
        ValueError,
        KeyError,
        BadZipFile,
        pd.errors.ParserWarning,
    ) as error:  # pandas' errors of parsing and of decoding are ValueErrors
        raise InputError(f"{path}: not a table ({error})") from error


def _number(text, unit):
    if unit and text.lower().endswith(unit.lower()):
        text = text[: -len(unit)].strip()
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _listing(patients):
    names = list(dict.fromkeys(patients))
    more = f" and {len(names) - SHOWN_PATIENTS} more" if len(names) > SHOWN_PATIENTS else ""
    return f"{len(names)} ({', '.join(names[:SHOWN_PATIENTS])}{more})"
