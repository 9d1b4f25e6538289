"""The cohort table: reading, checks, and separation into features and outcomes."""

import difflib
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError

from .cells import (
    clinical_problem,
    did_you_mean,
    image_problem,
    outcome_problem,
    position_problem,
)
from .columns import (
    CLINICAL_COLUMNS,
    IDENTITY_COLUMNS,
    OUTCOME_CODES,
    POINT_COLUMNS,
    POSITION_COLUMNS,
    checked_further_images,
    clinical_columns,
)
from .problems import check_frame, id_problems, is_missing, joined_labels, patient_labels, raise_problems, to_number
from .table_files import find_header, read_rows, split_header

_PATH_COLUMNS = ("image", "lesion_mask")
_POSITION_NUMBERS = ("lesion_slice", "lesion_instance", *POINT_COLUMNS)
SHOWN_COLUMNS = 15
# Similarity from which on a column name is taken for a misspelt one: 'sex' and 'se', 'dose_gy' and 'dose_cgy'.
NEAR_NAMES = 0.75
# Words of the names of clinical columns that do not tell them apart.
UNITS = {"n", "years", "days", "gy"}
ADVICE_ON_MISSING = "missing='keep' admits missing numbers, which models with missing='median' or 'indicator' replace"
ADVICE_ON_ABSENT = {
    "site": "; for patients of one hospital, add the column with the same word in each row: nobody is then held out"
}


def read_cohort(
    path,
    *,
    clinical=None,
    outcome="required",
    missing="refuse",
    further_images=(),
    sep=None,
    decimal=".",
    encoding=None,
    sheet=None,
    image_root=None,
):
    """Read a cohort table and check it.

    Parameters
    ----------
    path : str or Path
        A table with one row per patient and the columns of :func:`check_cohort`: delimited text (CSV) or a workbook
        (.xlsx, .xlsm, .ods). Paths in it are absolute or relative to the folder of the table. Only an empty cell is a
        missing value. Titles above the header, blank rows and blanks around column names are passed over.
    clinical : sequence of str or ClinicalColumn, default=None
        Clinical columns that are checked, see :func:`check_cohort`.
    outcome : {"required", "optional"}, default="required"
        Whether every patient must have an outcome. "optional" reads patients for a prediction.
    missing : {"refuse", "keep"}, default="refuse"
        Whether a missing number of a clinical column is an error, or is kept for the models to replace
        (``missing="median"`` or ``"indicator"`` of the pipelines).
    further_images : sequence of str, default=()
        Columns with the paths of further images of each patient, see :func:`check_cohort`.
    sep : str, default=None
        Separator of the cells of a text. None takes that with which the header has the columns of a cohort table:
        commas, semicolons, tabs or vertical bars.
    decimal : {".", ","}, default="."
        Decimal mark of numbers.
    encoding : str, default=None
        Encoding of a text. None takes UTF-8, or what the byte order mark of the file says.
    sheet : str, default=None
        Sheet of a workbook. None takes the only one with a column ``patient_id``.
    image_root : str or Path, default=None
        Folder to which relative paths refer, if the images are elsewhere than beside the table, for example on another
        machine. None takes the folder of the table.

    Returns
    -------
    DataFrame
        The table with absolute paths, otherwise unchanged: text as in the file, and numbers.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no folder `image_root`.
    InputError
        If the file is not a table, or there are problems; all of them are listed, with row, patient, column and value.

    See Also
    --------
    sklearn_pspd.cohort.absent_columns : The paper's clinical columns that a table lacks.
    sklearn_pspd.cohort.missing_counts : Missing values by column and outcome.

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
    if decimal not in (".", ","):
        raise InputError(f"decimal must be '.' or ','; got {decimal!r}")
    declared = clinical_columns(clinical)
    further = checked_further_images(further_images)
    names = (*IDENTITY_COLUMNS, *further, "outcome", *POSITION_COLUMNS, *CLINICAL_COLUMNS)
    names += tuple(column.name for column in declared)
    if not path.exists():
        raise FileNotFoundError(f"cohort table {path}: no such file")
    root = path.parent if image_root is None else Path(image_root)
    if not root.is_dir():
        raise FileNotFoundError(f"image_root {root}: no such folder")
    # The rows below the header, as text.
    found = read_rows(path, columns=("patient_id", *names), sep=sep, encoding=encoding, sheet=sheet)
    source = f"the cohort table {path}, read as {found.read_as},"
    header = find_header(found.rows, ("patient_id", *names))
    if header is None:
        raise InputError(f"{source} {_no_header(found.rows)}")
    table = split_header(found.rows, header)
    raise_problems(f"{source} has", [problem for problem in table.problems if problem.startswith("column")])
    # Numbers where the cells are numbers, and absolute paths.
    coded = {column.name for column in declared if column.is_coded}
    texts = {*IDENTITY_COLUMNS, *further, "lesion_mask", "outcome", *coded}
    numeric = {*_POSITION_NUMBERS, *(column.name for column in declared if not column.is_coded)}
    cohort = table.cells
    for column in cohort.columns.difference(list(texts)):
        cohort[column] = _numbers_where_possible(cohort[column], decimal, is_numeric=column in numeric)
    for column in cohort.columns.intersection([*_PATH_COLUMNS, *further]):
        cohort[column] = cohort[column].map(lambda value: _absolute(value, root), na_action="ignore")
    problems = _cohort_problems(cohort, clinical, outcome, missing, further, table.row_numbers)
    raise_problems(f"{source} has", table.problems + problems)
    # Names of the type that pandas gives them in other tables.
    return cohort.set_axis(list(cohort.columns), axis=1)


def check_cohort(cohort, *, clinical=None, outcome="required", missing="refuse", further_images=()):
    """Check a cohort table and report all problems in one error.

    ================= ========================================================================================
    column            meaning
    ================= ========================================================================================
    patient_id        text; unique if surrounding white space and letter case are ignored
    site              text; the hospital that treated the patient
    image             path of a NIfTI volume or of a folder with one DICOM series
    lesion_slice      axial slice that shows the lesion best, counted from 0 at the feet
    lesion_instance   or: its DICOM InstanceNumber, the image number that most viewers show
    lesion_x_mm       or: a point of the lesion in scanner coordinates (RAS): mm to the patient's right,
    lesion_y_mm       mm to the front,
    lesion_z_mm       mm towards the head; alone, the height of the slice, if slices are not tilted
    lesion_mask       or: path of a file that marks the lesion: a NIfTI mask or a DICOM segmentation on the grid of
                      the image, an RT structure set, or a point of 3D Slicer (.mrk.json)
    age_years         age at surgery, 0 to 120
    sex               "female" or "male"
    mgmt              MGMT promoter: "methylated", "unmethylated" or "unknown"
    idh               IDH: "mutated", "wildtype" or "unknown"
    dose_gy           total dose of radiotherapy in Gy, 1 to 100
    n_fractions       number of fractions, 1 to 60
    interval_days     days from the end of chemoradiotherapy to the lesion, 0 to 10000
    outcome           "PD" or "PsPD"
    ================= ========================================================================================

    Each patient has the position of the lesion in exactly one of these ways. A folder that contains exactly the slices
    to be used needs none. A table may lack clinical columns, which are then not used; `clinical` may name others.
    Further columns are ignored.

    Parameters
    ----------
    cohort : DataFrame
        One row per patient, with absolute paths.
    clinical : sequence of str or ClinicalColumn, default=None
        Clinical columns that are checked and must be there: names of the columns above, and declarations of others
        (:class:`~sklearn_pspd.cohort.ClinicalColumn`). None checks those of the paper that the table has.
    outcome : {"required", "optional"}, default="required"
        Whether every patient must have an outcome.
    missing : {"refuse", "keep"}, default="refuse"
        Whether a missing number of a clinical column is an error, or is kept for the models to replace. Without
        ``interval_days`` a lesion has no date: it may not be missing in any case.
    further_images : sequence of str, default=()
        Columns with the paths of further images of each patient, such as FLAIR, which every patient must have. They are
        registered with ``image`` and on its grid, see :class:`~sklearn_pspd.loading.SliceStackLoader`.

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
    sklearn_pspd.exceptions.InputError: the cohort table has 4 problems:
    ...
    """
    check_frame(cohort)
    further = checked_further_images(further_images)
    raise_problems("the cohort table has", _cohort_problems(cohort, clinical, outcome, missing, further))
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
        If an outcome is missing or neither "PD" nor "PsPD". A prediction needs no outcomes: models take the table
        itself.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd import split_xy
    >>> X, y = split_xy(pd.DataFrame({"patient_id": ["a", "b"], "outcome": ["PsPD", "PD"]}))
    >>> y
    array([1, 0])
    """
    check_frame(cohort)
    raise_problems("the cohort table has", _missing_columns(cohort, ("patient_id", "outcome")))
    problems = [
        f"{label}: {problem}"
        for label, outcome in zip(patient_labels(cohort), cohort["outcome"], strict=True)
        if (problem := outcome_problem(outcome))
    ]
    raise_problems("the cohort table has", problems)
    y = np.array([OUTCOME_CODES[outcome] for outcome in cohort["outcome"]], dtype=np.int64)
    X = cohort.drop(columns="outcome")
    X.index = pd.Index(cohort["patient_id"], name="patient")
    return X, y


def _cohort_problems(cohort, clinical, outcome, missing, further, row_numbers=None):
    """Return all problems of a table; `row_numbers` are those of the file that it was read from."""
    if outcome not in ("required", "optional"):
        raise InputError(f"outcome must be 'required' or 'optional'; got {outcome!r}")
    if missing not in ("refuse", "keep"):
        raise InputError(f"missing must be 'refuse' or 'keep'; got {missing!r}")
    declared = clinical_columns(clinical, cohort)
    needed = [*IDENTITY_COLUMNS, *further, *(column.name for column in declared)]
    needed += ["outcome"] if outcome == "required" else []
    problems = _missing_columns(cohort, needed) + _misspelt_columns(cohort, clinical, needed)
    if len(cohort) == 0:
        problems.append("no patients")
    problems += id_problems(cohort, row_numbers)
    declared = [column for column in declared if column.name in cohort.columns]
    labels = patient_labels(cohort, row_numbers)
    for label, (_, row) in zip(labels, cohort.iterrows(), strict=True):
        problems += [f"{label}: {problem}" for problem in _row_problems(row, declared, outcome, further)]
    for column in declared:
        if not column.is_coded:
            problems += _missing_numbers(cohort[column.name], column, missing, labels)
    return problems


def _row_problems(row, declared, outcome, further):
    problems = []
    if "site" in row and is_missing(row["site"]):
        problems.append("column site is empty")
    if "image" in row:
        problems.append(image_problem("image", row["image"]))
        problems.append(position_problem(row))
    problems += [image_problem(name, row[name]) for name in further if name in row]
    # Missing numbers are listed by column, in one line.
    cells = [(column, row[column.name]) for column in declared]
    problems += [clinical_problem(column, cell) for column, cell in cells if column.is_coded or not is_missing(cell)]
    if "outcome" in row and not (outcome == "optional" and is_missing(row["outcome"])):
        problems.append(outcome_problem(row["outcome"]))
    return [problem for problem in problems if problem]


def _missing_numbers(cells, column, missing, labels):
    patients = [label for label, cell in zip(labels, cells, strict=True) if is_missing(cell)]
    if not patients or (missing == "keep" and column.may_be_missing):
        return []
    advice = ADVICE_ON_MISSING if column.may_be_missing else "it may not be missing, so these patients cannot take part"
    count = "1 patient" if len(patients) == 1 else f"{len(patients)} patients"
    return [f"column {column.name} is empty for {count} ({joined_labels(patients)}); {advice}"]


def _missing_columns(cohort, needed):
    """Return one problem per column that a table lacks, the last one with the columns that it has."""
    absent = [name for name in dict.fromkeys(needed) if name not in cohort.columns]
    names = [str(name) for name in cohort.columns]
    has = f"; the table has {_listing(names)}" if names else "; the table has no columns"
    return [
        f"column {name}: missing{_proposal(name, names) or ADVICE_ON_ABSENT.get(name, '')}"
        f"{has if name == absent[-1] else ''}"
        for name in absent
    ]


def _misspelt_columns(cohort, clinical, needed):
    """Return one problem per optional column that seems to be there in another spelling, and would not be used."""
    optional = (*POSITION_COLUMNS, "outcome", *(CLINICAL_COLUMNS if clinical is None else ()))
    names = [str(name) for name in cohort.columns]
    # Those that are needed are missing anyway.
    absent = {name: _proposal(name, names) for name in optional if name not in {*names, *needed}}
    # Beside a position, a similar name such as lesion_size_mm is no other position, unless it is spelt like one.
    if set(POSITION_COLUMNS) & set(names):
        others = [name for name in names if name not in POSITION_COLUMNS]
        absent |= {name: did_you_mean(name, others) for name in POSITION_COLUMNS if name in absent}
    return [
        f"column {name}: missing{proposal} Rename it, or name the clinical columns to use by clinical"
        for name, proposal in absent.items()
        if proposal
    ]


def _proposal(name, columns):
    """Return which of the columns may be meant by a name that is missing, or nothing."""
    known = (*IDENTITY_COLUMNS, *POSITION_COLUMNS, *CLINICAL_COLUMNS, "outcome")
    others = [column for column in columns if column not in known]
    near = difflib.get_close_matches(name, others, n=1, cutoff=NEAR_NAMES)
    # "age" for age_years is not near, but has its words.
    near += [column for column in others if _words(column) == _words(name)]
    return did_you_mean(name, others) or (f"; did you mean {near[0]!r}?" if near else "")


def _words(name):
    return set(re.split(r"[\W_]+", name.casefold())) - UNITS


def _no_header(rows):
    """Return what a file without a header has instead."""
    first = next((row for row in rows if any(cell.strip() for cell in row)), None)
    if first is None:
        return "is empty"
    proposals = [f"{cell!r}{did_you_mean(cell, ('patient_id',))}" for cell in first[:SHOWN_COLUMNS]]
    return (
        "has no row with the names of the columns (patient_id, site, image, ...); its first row has "
        f"{', '.join(proposals)}"
    )


def _listing(names):
    more = f" and {len(names) - SHOWN_COLUMNS} more" if len(names) > SHOWN_COLUMNS else ""
    return ", ".join(map(repr, names[:SHOWN_COLUMNS])) + more


def _numbers_where_possible(column, decimal, *, is_numeric):
    """Return a column of text as numbers if its cells hold numbers.

    In a numeric column, cells with other text keep it, so that the check can report them. Any other column is text
    unless all of its cells are numbers without zeros in front, which may be those of an id.
    """
    texts = column.dropna().astype(str).str.strip()
    texts = texts[texts != ""]
    pointed = texts.str.replace(",", ".", regex=False) if decimal == "," else texts
    # With a decimal comma, a point is no decimal mark.
    is_number = pointed.map(to_number).notna() & ~(texts.str.contains(".", regex=False) & (decimal == ","))
    if is_numeric and not is_number.all():
        numbers = column.astype(object)
        numbers[is_number.index[is_number]] = pd.to_numeric(pointed[is_number])
        return numbers
    if not is_number.all() or (not is_numeric and (texts.empty or texts.str.match(r"0\d").any())):
        return column
    return pd.to_numeric(pointed).reindex(column.index)


def _absolute(value, folder):
    return value if is_missing(value) else os.path.realpath(folder / value)
