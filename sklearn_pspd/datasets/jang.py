"""Cohorts in the layout of the paper's released script."""

from pathlib import Path

from sklearn_pspd.cohort.columns import CLINICAL_CODES, CLINICAL_COLUMNS, OUTCOME_CODES
from sklearn_pspd.cohort.image_files import classify_entries, folder_entries
from sklearn_pspd.exceptions import InputError

from ._records import Report, check_codes, check_mappings, read_records, to_cohort

TABLE = "sample.csv"
N_SLICES = 9
N_COLUMNS = 1 + len(CLINICAL_COLUMNS) + 1


def load_jang_layout(root, *, labels, columns=None, codes=None, site=None, return_report=False):
    """Load a folder in the layout of the script that the paper's authors released.

    The script belongs to [1]_. ``sample.csv`` has a header and, in each row, the id of a patient, seven clinical values
    and the label. The folder ``<id>`` contains nine slices, ``<id>_0000.dcm`` to ``<id>_0008.dcm``. The released script
    pairs rows and folders in the order of the directory listing; this function joins them by id, and any mismatch is an
    error.

    Parameters
    ----------
    root : path-like
        Folder with ``sample.csv`` and the folders of the patients.
    labels : dict of str to {"PD", "PsPD"}
        Outcome of each text in the label column, for example ``{"0": "PD", "1": "PsPD"}``. The script does not document
        the labels, and the row names in table 2 of the paper are swapped, so there is no default.
    columns : sequence of str, default=None
        The library's names of the second to eighth column, in the order of the table. None if the header contains
        these names.
    codes : dict of str to dict, default=None
        The library's code for each text in ``sex``, ``mgmt`` and ``idh``, for example
        ``{"sex": {"0": "female", "1": "male"}}``. The library's own codes need not be listed.
    site : str, default=None
        Name of the site; None uses the name of the folder.
    return_report : bool, default=False
        Whether to return the findings as a table instead of issuing a warning.

    Returns
    -------
    cohort : DataFrame
        One row per patient with ``patient_id``, ``site``, ``image`` (the folder with the nine slices, for which no
        lesion position is needed), the seven clinical columns and ``outcome``.
    report : DataFrame
        Only with `return_report`: one row per finding, with the columns patient_id, finding, column, value and
        in_cohort.

    Raises
    ------
    FileNotFoundError
        If ``sample.csv`` does not exist.
    InputError
        If a patient has a row but no folder, or a folder but no row, if slices are missing or unexpected, or if a cell
        holds an unknown code, text instead of a number, or a number out of range; all problems are listed.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2;
       https://github.com/bigwiz83/PsPDvsPD

    Examples
    --------
    >>> from sklearn_pspd.datasets import load_jang_layout
    >>> load_jang_layout("no-such-folder", labels={"0": "PD", "1": "PsPD"})
    Traceback (most recent call last):
        ...
    FileNotFoundError: no-such-folder/sample.csv: no such table (does not exist)
    """
    # Parameters.
    check_mappings(labels=labels, codes=codes)
    if not labels or not set(labels.values()) <= set(OUTCOME_CODES):
        raise InputError(f"labels must map each text of the label column to 'PD' or 'PsPD'; got {labels!r}")
    check_codes(codes or {}, tuple(CLINICAL_CODES))
    # The table, decoded.
    root = Path(root)
    report = Report(f"{root}")
    records = _read(root / TABLE, report)
    names = _clinical_names(records, columns, report)
    report.raise_problems()
    records.refuse_repeated_ids(records.table.columns[0])
    values = {name: _values(records, column, name, codes or {}) for name, column in names.items()}
    outcomes = records.codes(records.table.columns[-1], {str(text): outcome for text, outcome in labels.items()})
    # Rows joined to the folders with slices.
    _match_folders(root, records.ids, report)
    rows = [
        {
            "patient_id": patient_id,
            "site": site or root.resolve().name,
            "image": str((root / patient_id).resolve()),
            **{name: column[number] for name, column in values.items()},
            "outcome": outcomes[number],
        }
        for number, patient_id in enumerate(records.ids)
    ]
    return to_cohort(rows, report, return_report)


def _read(path, report):
    records = read_records(path, report)
    n_columns = len(records.table.columns)
    if n_columns != N_COLUMNS:
        raise InputError(
            f"{path}: {N_COLUMNS} columns are required (id, seven clinical columns, label); got {n_columns}"
        )
    return records


def _clinical_names(records, columns, report):
    """Return the name in the table of each of the library's clinical columns."""
    found = list(records.table.columns[1:-1])
    given = found if columns is None else list(columns)
    if sorted(given) != sorted(CLINICAL_COLUMNS):
        what = f"the header contains {', '.join(found)}" if columns is None else f"columns contains {', '.join(given)}"
        names = ", ".join(CLINICAL_COLUMNS)
        report.add_problem(f"{records.path}: {what}; pass columns= with these names in the order of the table: {names}")
    return dict(zip(given, found, strict=False))


def _values(records, column, name, codes):
    if name not in CLINICAL_CODES:
        return records.clinical_numbers(column, name, missing=())
    return records.library_codes(column, name, codes.get(name, {}))


def _match_folders(root, ids, report):
    """Add a problem for each patient whose row, folder and slices do not match."""
    folders = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    for patient_id in ids:
        if patient_id and patient_id not in folders:
            report.add_problem(f"{patient_id}: has a row in {TABLE} but no folder {root / patient_id}")
    for name in sorted(folders - set(ids)):
        report.add_problem(f"{name}: has a folder {root / name} but no row in {TABLE}")
    for patient_id in sorted(folders & set(ids)):
        files = {path.name for path in (root / patient_id).iterdir() if path.suffix.lower() == ".dcm"}
        wanted = {f"{patient_id}_{number:04d}.dcm" for number in range(N_SLICES)}
        if files != wanted:
            missing, surplus = sorted(wanted - files), sorted(files - wanted)
            what = [f"lacks {', '.join(missing)}"] if missing else []
            what += [f"also contains {', '.join(surplus)}"] if surplus else []
            report.add_problem(f"{patient_id}: {root / patient_id} {' and '.join(what)}")
        for path, text in classify_entries(folder_entries(root / patient_id)).problems:
            report.add_problem(f"{patient_id}: {path} {text}")
