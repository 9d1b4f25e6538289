"""Tables of other hands: reading and decoding, with one report of all that is wrong or odd."""

import fnmatch
import math
import warnings
from datetime import datetime
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from sklearn_pspd.cohort import CLINICAL_COLUMNS, IDENTITY_COLUMNS, POSITION_COLUMNS
from sklearn_pspd.loading.geometry import Settings
from sklearn_pspd.loading.position import middle_slice, open_volume
from sklearn_pspd.loading.refusals import RefusedError

IMAGE_MODES = ("required", "available", "none")
REPORT_COLUMNS = ["patient_id", "finding", "column", "value", "in_cohort"]
SEXES = {"m": "male", "male": "male", "f": "female", "female": "female"}
SHOWN_PATIENTS = 8


class CohortWarning(UserWarning):
    """What a loader found odd in a public data set, and which patients it left out."""


class Report:
    """Problems, which stop a loader, and findings, which it only reports.

    Parameters
    ----------
    source : str
        Name of the data set, for messages.

    Attributes
    ----------
    problems : list of str
        What makes the table wrong; :meth:`stop` raises them all.
    findings : list of dict
        What is odd, and who was left out.
    """

    def __init__(self, source):
        self.source = source
        self.problems = []
        self.findings = []

    def problem(self, text):
        """Note something that makes the data unusable.

        Parameters
        ----------
        text : str
            File, row, column and value.
        """
        self.problems.append(text)

    def find(self, patient_id, finding, column="", value=""):
        """Note something odd that leaves the data usable.

        Parameters
        ----------
        patient_id : str
            Patient.
        finding : str
            What it is; the same words for every patient.
        column : str, default=""
            Column of the source table, or file.
        value : str, default=""
            Value, as the source has it.
        """
        self.findings.append({"patient_id": patient_id, "finding": finding, "column": str(column), "value": str(value)})

    def missing_image(self, images, patient_id, text):
        """Note that a patient's image is missing, as a problem or, where only available images are wanted, a finding.

        Parameters
        ----------
        images : {"required", "available"}
            What the user asked for.
        patient_id : str
            Patient.
        text : str
            What was looked for and where.
        """
        if images == "required":
            self.problem(f'{patient_id}: {text}; images="available" leaves such patients out')
        else:
            self.find(patient_id, "left out: no image", value=text)

    def stop(self):
        """Raise all problems at once.

        Raises
        ------
        ValueError
            One line for each problem.
        """
        if self.problems:
            count = "a problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
            listing = "\n".join(f"  {line}" for line in self.problems)
            raise ValueError(f"{self.source} has {count}:\n{listing}")

    def frame(self, cohort):
        """Return the findings as a table.

        Parameters
        ----------
        cohort : DataFrame
            The cohort that was made.

        Returns
        -------
        DataFrame
            One row a finding: patient_id, finding, column, value, and whether the patient is in the cohort.
        """
        table = pd.DataFrame(self.findings, columns=REPORT_COLUMNS[:-1])
        return table.assign(in_cohort=table["patient_id"].isin(cohort["patient_id"]).to_numpy(dtype=bool))

    def warn(self):
        """Emit the findings as one warning, one line a kind."""
        if not self.findings:
            return
        table = pd.DataFrame(self.findings)
        lines = [f"  {finding}: {_names(rows['patient_id'])}" for finding, rows in table.groupby("finding", sort=False)]
        text = f"{self.source} (return_report=True gives these findings as a table):\n" + "\n".join(lines)
        warnings.warn(text, CohortWarning, stacklevel=4)


class Records:
    """A table of text whose columns are decoded while problems are collected.

    Rows are counted from 1 below the header. Blanks around names and cells are no part of them.

    Parameters
    ----------
    path : Path
        Where the table came from.
    table : DataFrame of str
        Trimmed.
    report : Report
        Collects the problems.
    id_column : str
        Column that names the patient.
    """

    def __init__(self, path, table, report, id_column):
        self.path = path
        self.table = table
        self.report = report
        self.ids = table[id_column].tolist()
        self._refuse_bad_ids(id_column)

    def __len__(self):
        return len(self.table)

    def _refuse_bad_ids(self, id_column):
        for row, name in enumerate(self.ids):
            if not name:
                self._problem(row, id_column, "is empty")

    def refuse_repeated_ids(self, id_column):
        """Note every patient that has more than one row.

        Parameters
        ----------
        id_column : str
            Column that names the patient.
        """
        counts = pd.Series(self.ids, dtype=object).value_counts(sort=False)
        for name in counts[counts > 1].index:
            rows = [str(row + 1) for row, other in enumerate(self.ids) if other == name]
            if name:
                self.report.problem(f"{self.path}, column {id_column}: {name} is in rows {', '.join(rows)}")

    def texts(self, column):
        """Return a column as it stands.

        Parameters
        ----------
        column : str
            Name, trimmed.

        Returns
        -------
        list of str
            Trimmed.
        """
        return self.table[column].tolist()

    def codes(self, column, meanings, *, fold=False):
        """Return what the cells of a column mean.

        Parameters
        ----------
        column : str
            Name.
        meanings : dict of str to object
            Meaning of each text that may occur, whole cells only.
        fold : bool, default=False
            Whether upper and lower case mean the same; `meanings` is then in lower case.

        Returns
        -------
        list of object
            None where the text is unknown, which is a problem.
        """
        found = []
        for row, text in enumerate(self.texts(column)):
            key = text.lower() if fold else text
            if key not in meanings:
                self._problem(row, column, f"holds {text!r}; it takes {', '.join(map(repr, meanings))}")
            found.append(meanings.get(key))
        return found

    def numbers(self, column, *, missing=("",), low=-math.inf, high=math.inf, unit=""):
        """Return a column of numbers.

        Parameters
        ----------
        column : str
            Name.
        missing : sequence of str, default=("",)
            Texts that mean that there is no number.
        low, high : float
            Range, ends included.
        unit : str, default=""
            Unit that may stand behind the number.

        Returns
        -------
        list of float
            NaN where there is no number. Other text, and a number out of range, is a problem.
        """
        found = []
        for row, text in enumerate(self.texts(column)):
            value = _number(text, unit)
            if text in missing:
                value = math.nan
            elif math.isnan(value):
                self._problem(row, column, f"holds {text!r}, which is not a number{' of ' + unit if unit else ''}")
            elif not low <= value <= high:
                self._problem(row, column, f"holds {text!r}, outside {low:g} to {high:g}{' ' + unit if unit else ''}")
            found.append(value)
        return found

    def dates(self, column, form):
        """Return a column of dates.

        Parameters
        ----------
        column : str
            Name.
        form : str
            As in :meth:`datetime.datetime.strptime`.

        Returns
        -------
        list of date or None
            None where the cell is empty. Other text is a problem.
        """
        found = []
        for row, text in enumerate(self.texts(column)):
            try:
                found.append(datetime.strptime(text, form).date() if text else None)
            except ValueError:
                self._problem(row, column, f"holds {text!r}, which is no date of the form {form}")
                found.append(None)
        return found

    def _problem(self, row, column, text):
        self.report.problem(f"{self.path}, row {row + 1} ({self.ids[row] or 'no name'}), column {column}: {text}")


def read_records(path, report, id_column, columns=(), *, separator=",", sheet=None):
    """Read a table as text.

    Parameters
    ----------
    path : Path
        Comma- or tab-separated text, or an Excel workbook (for which openpyxl must be installed).
    report : Report
        Collects the problems.
    id_column : str
        Column that names the patient.
    columns : sequence of str, default=()
        Further columns that there must be.
    separator : str, default=","
        Between cells.
    sheet : str or None, default=None
        Sheet of a workbook.

    Returns
    -------
    Records
        With trimmed names and cells.

    Raises
    ------
    ValueError
        If the file is no table, or lacks columns.
    """
    table = _read_text(Path(path), separator, sheet)
    table.columns = table.columns.astype(str).str.strip()
    table = table.fillna("").apply(lambda column: column.astype(str).str.strip())
    for column in (id_column, *columns):
        if column not in table.columns:
            report.problem(f"{path}, column {column!r}: missing; there are {', '.join(map(repr, table.columns[:12]))}")
    report.stop()
    return Records(path, table, report, id_column)


def find_table(root, table, pattern, advice):
    """Return the path of a data set's table.

    Parameters
    ----------
    root : path-like
        Folder of the data set.
    table : path-like or None
        The table, absolute or relative to `root`; None looks for it in `root` and the folders in it.
    pattern : str
        Shell pattern of its name, in lower case.
    advice : str
        Where to get it.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If there are several.
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
        raise ValueError(
            f"{root}: several tables named like {pattern} ({', '.join(map(str, found))}); name one: table="
        )
    return found[0]


def find_folder(root, name):
    """Return the folder of a patient, in the data set's folder or up to two folders further down.

    Parameters
    ----------
    root : path-like
        Folder of the data set.
    name : str
        Name of the patient's folder.

    Returns
    -------
    Path or None
        None if there is none.
    """
    for depth in ("", "*/", "*/*/"):
        for folder in sorted(Path(root).glob(depth + name)):
            if folder.is_dir():
                return folder
    return None


def largest_slice(report, patient_id, image, mask, label):
    """Return the axial slice of an image in which a mask's label is largest.

    Parameters
    ----------
    report : Report
        Gets a finding where there is no mask or no voxel of the label, and a problem where the mask does not fit.
    patient_id : str
        Patient.
    image, mask : Path
        NIfTI files on one grid.
    label : int
        Value of the enhancing lesion.

    Returns
    -------
    int or float
        0 at the feet; NaN where there is none.
    """
    if not mask.is_file():
        report.find(patient_id, "no mask, so no position of the lesion", value=mask)
        return math.nan
    settings = Settings(1, None, 90.0, math.inf, label)
    try:
        return middle_slice(str(image), open_volume(str(image), [str(image)]), ("lesion_mask", str(mask)), settings)
    except RefusedError as error:
        if "has no voxel of lesion_label" in str(error):
            report.find(patient_id, "mask without the enhancing label, so no position of the lesion", value=error)
        else:
            report.problem(f"{patient_id}: {error}")
        return math.nan


def check_choice(name, value, choices):
    """Refuse a parameter that is none of the choices.

    Parameters
    ----------
    name : str
        Parameter.
    value : object
        What was given.
    choices : sequence of str
        What may be given.

    Raises
    ------
    ValueError
        If `value` is not among them.
    """
    if value not in choices:
        raise ValueError(f"{name} is one of {', '.join(map(repr, choices))}; got {value!r}")


def deliver(rows, report, return_report):
    """Make the cohort table of a loader's rows, or raise all problems.

    Parameters
    ----------
    rows : list of dict
        One a patient.
    report : Report
        Problems and findings.
    return_report : bool
        Whether findings are returned rather than warned of.

    Returns
    -------
    DataFrame or (DataFrame, DataFrame)
        Cohort, with the library's columns first; with `return_report` the findings too.
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
            return pd.read_excel(path, sheet_name=sheet or 0, dtype=str, keep_default_na=False, engine="openpyxl")
        return pd.read_csv(
            path, sep=separator, dtype=str, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig"
        )
    except ImportError as error:
        raise ValueError(f"{path}: workbooks need openpyxl; install it or save the sheet as CSV") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, KeyError, BadZipFile) as error:
        raise ValueError(f"{path}: not a table ({error})") from error


def _number(text, unit):
    if unit and text.lower().endswith(unit.lower()):
        text = text[: -len(unit)].strip()
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if np.isfinite(value) else math.nan


def _names(patients):
    names = list(dict.fromkeys(patients))
    more = f" and {len(names) - SHOWN_PATIENTS} more" if len(names) > SHOWN_PATIENTS else ""
    return f"{len(names)} ({', '.join(names[:SHOWN_PATIENTS])}{more})"
