"""The record of picks that lies beside a cohort table."""

from pathlib import Path

import pandas as pd

from sklearn_pspd.cohort.columns import POSITION_COLUMNS
from sklearn_pspd.cohort.problems import is_missing, missing_columns, normalise_ids, raise_problems, to_number
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import write_bytes

PICK_COLUMNS = (
    "patient_id", "lesion_slice", "slice_spacing_mm", "lesion_z_mm", "cannot_tell", "reader", "time_utc",
    "image_sha256", "in_table",
)  # fmt: skip


def read_picks(path):
    r"""Read the record of picks that lies beside a cohort table.

    Parameters
    ----------
    path : path-like
        ``cohort.picks.csv`` for ``cohort.csv``.

    Returns
    -------
    DataFrame
        One row per pick, in the order of time: ``patient_id``; ``lesion_slice``, ``slice_spacing_mm`` and
        ``lesion_z_mm`` (z of the centre of the slice in scanner coordinates); ``cannot_tell``; ``reader``;
        ``time_utc``; ``image_sha256``, a digest of the grid and the pixels; ``in_table``, whether the pick was written
        to the table. A reader who picks again has several rows, of which the last one counts.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If it is no record of picks.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd.intake import read_picks
    >>> lines = [
    ...     "patient_id,lesion_slice,slice_spacing_mm,lesion_z_mm,cannot_tell,reader,time_utc,image_sha256,in_table",
    ...     "P01,12,1.0,4.5,no,AB,2024-05-17T09:30:00Z,0f,yes",
    ... ]
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "cohort.picks.csv")
    ...     _ = path.write_text("\n".join(lines))
    ...     read_picks(path).loc[:, ["patient_id", "lesion_slice", "cannot_tell", "reader"]]
      patient_id  lesion_slice  cannot_tell reader
    0        P01            12        False     AB
    """
    path = Path(path)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no record of picks ({error}); rename it to start a new one") from error
    raise_problems(f"the record of picks {path} has", missing_columns(table, PICK_COLUMNS))
    return typed_picks(table)


def typed_picks(table):
    """Return the record with numbers, truth values and times."""
    numbers = {name: pd.to_numeric(table[name], errors="coerce") for name in ("slice_spacing_mm", "lesion_z_mm")}
    typed = table.assign(
        **numbers,
        lesion_slice=pd.to_numeric(table["lesion_slice"], errors="coerce").astype("Int64"),
        cannot_tell=table["cannot_tell"] == "yes",
        in_table=table["in_table"] == "yes",
        time_utc=pd.to_datetime(table["time_utc"], utc=True, errors="coerce", format="ISO8601"),
    )
    return typed[list(PICK_COLUMNS)]


def append_pick(path, pick):
    """Add a line to the record; the lines before stay as they are."""
    lines = path.read_bytes() if path.exists() else (",".join(PICK_COLUMNS) + "\n").encode()
    if not lines.endswith(b"\n"):
        lines += b"\n"
    table = pd.DataFrame([pick], columns=PICK_COLUMNS, dtype=object)
    line = table.to_csv(None, index=False, header=False, lineterminator="\n")
    write_bytes(path, lines + line.encode())


def position_of(row):
    """Return the cells of the lesion's position that are not empty, by column."""
    return {name: str(row[name]) for name in POSITION_COLUMNS if name in row and not is_missing(row[name])}


def holder_of(picks, position):
    """Return the reader whose pick the table has; None if its position is of another origin."""
    written = picks[picks["in_table"]]
    if written.empty or set(position) != {"lesion_slice"}:
        return None
    last = written.iloc[-1]
    same = not pd.isna(last["lesion_slice"]) and to_number(position["lesion_slice"]) == last["lesion_slice"]
    return last["reader"] if same else None


def latest_pick(picks, reader):
    """Return the latest pick of a reader: a slice, "cannot tell", or None if there is none."""
    own = picks[picks["reader"] == reader]
    if own.empty:
        return None
    last = own.iloc[-1]
    return "cannot tell" if last["cannot_tell"] else int(last["lesion_slice"])


def picks_of(picks, patient_id):
    """Return the picks of one patient."""
    return picks[normalise_ids(picks["patient_id"]).to_numpy() == normalise_ids([patient_id])[0]]
