"""Folders in the layout of the paper's released script."""

from pathlib import Path

from sklearn_pspd.cohort.columns import CLINICAL_CODES, CLINICAL_COLUMNS, MAY_BE_UNKNOWN, OUTCOME_CODES, UNKNOWN
from sklearn_pspd.exceptions import InputError

from ._records import Report, check_mappings, deliver, read_records

TABLE = "sample.csv"
N_SLICES = 9
N_COLUMNS = 1 + len(CLINICAL_COLUMNS) + 1


def load_jang_layout(root, *, labels, columns=None, codes=None, site=None, return_report=False):
    """Load a folder in the layout of the script that the paper's authors released [1]_.

    ``sample.csv`` has a header and in each row the patient's id, seven clinical values and the label; the folder
    ``<id>`` has nine slices ``<id>_0000.dcm`` to ``<id>_0008.dcm``. The released script pairs the two by the order of
    the folder's listing; here they are joined by id, and any mismatch is an error.

    Parameters
    ----------
    root : path-like
        Folder with ``sample.csv`` and the patients' folders.
    labels : dict of str to {"PD", "PsPD"}
        Meaning of each text in the label column, for example ``{"0": "PD", "1": "PsPD"}``. The script does not say
        which is which, and the paper's table 2 has its row names swapped, so there is no default.
    columns : sequence of str, default=None
        Which of the seven clinical columns of the library the second to eighth column are, in their order; None if the
        header has their names.
    codes : dict of str to dict, default=None
        Meaning of each text in ``sex``, ``mgmt`` and ``idh``, for example
        ``{"sex": {"0": "female", "1": "male"}}``; the library's own words need none.
    site : str, default=None
        Name of the site; None takes the folder's name.
    return_report : bool, default=False
        Whether findings are returned as a table rather than warned of.

    Returns
    -------
    cohort : DataFrame
        One row a patient with ``patient_id``, ``site``, ``image`` (the folder of its nine slices, which needs no
        position), the seven clinical columns and ``outcome``.
    report : DataFrame
        With `return_report`: findings, one row each.

    Raises
    ------
    FileNotFoundError
        If ``sample.csv`` is not there.
    ValueError
        If a patient has a row and no folder or the reverse, slices are missing or too many, or a cell holds an unknown
        code, no number or one out of range; all at once.

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
    FileNotFoundError: no-such-folder/sample.csv: no such table
    """
    check_mappings(labels=labels, codes=codes)
    if not labels or not set(labels.values()) <= set(OUTCOME_CODES):
        raise InputError(f"labels gives each text of the label column as 'PD' or 'PsPD'; got {labels!r}")
    root = Path(root)
    report = Report(f"{root}")
    records = _read(root / TABLE, report)
    names = _clinical_names(records, columns, report)
    report.stop()
    records.refuse_repeated_ids(records.table.columns[0])
    values = {name: _values(records, column, name, codes or {}) for name, column in names.items()}
    outcomes = records.codes(records.table.columns[-1], {str(text): outcome for text, outcome in labels.items()})
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
    return deliver(rows, report, return_report)


def _read(path, report):
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table")
    with path.open(encoding="utf-8-sig") as file:
        header = [name.strip() for name in file.readline().split(",")]
    if len(header) != N_COLUMNS:
        raise InputError(f"{path}: {N_COLUMNS} columns are expected (id, seven clinical, label); it has {len(header)}")
    return read_records(path, report, header[0])


def _clinical_names(records, columns, report):
    """Return the table's column of each clinical column."""
    found = list(records.table.columns[1:-1])
    given = found if columns is None else list(columns)
    if sorted(given) != sorted(CLINICAL_COLUMNS):
        what = f"the header names {', '.join(found)}" if columns is None else f"columns names {', '.join(given)}"
        report.problem(f"{records.path}: {what}; name them by columns=, in their order: {', '.join(CLINICAL_COLUMNS)}")
    return dict(zip(given, found, strict=False))


def _values(records, column, name, codes):
    if name not in CLINICAL_CODES:
        return records.clinical_numbers(column, name, missing=())
    own = [*CLINICAL_CODES[name], *([UNKNOWN] if name in MAY_BE_UNKNOWN else [])]
    meanings = {str(text): code for text, code in codes.get(name, {}).items()}
    wrong = [code for code in meanings.values() if code not in own]
    if wrong:
        raise InputError(f"codes: {name} is one of {', '.join(map(repr, own))}; got {wrong[0]!r}")
    return records.codes(column, {**{code: code for code in own}, **meanings})


def _match_folders(root, ids, report):
    """Note every patient whose row, folder and slices do not belong together."""
    folders = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    for patient_id in ids:
        if patient_id and patient_id not in folders:
            report.problem(f"{patient_id}: is in {TABLE} and has no folder {root / patient_id}")
    for name in sorted(folders - set(ids)):
        report.problem(f"{name}: has a folder {root / name} and no row in {TABLE}")
    for patient_id in sorted(folders & set(ids)):
        files = {path.name for path in (root / patient_id).iterdir() if path.suffix.lower() == ".dcm"}
        wanted = {f"{patient_id}_{number:04d}.dcm" for number in range(N_SLICES)}
        if files != wanted:
            missing, surplus = sorted(wanted - files), sorted(files - wanted)
            what = [f"lacks {', '.join(missing)}"] if missing else []
            what += [f"has also {', '.join(surplus)}"] if surplus else []
            report.problem(f"{patient_id}: {root / patient_id} {' and '.join(what)}")
