"""Positions of the lesion in an earlier cohort table, kept where the image did not change."""

import os
from typing import NamedTuple

import pandas as pd

from sklearn_pspd.cohort.columns import IDENTITY_COLUMNS, POSITION_COLUMNS
from sklearn_pspd.cohort.problems import id_problems, is_missing, normalise_ids, raise_problems, to_number
from sklearn_pspd.cohort.table_files import find_header, read_rows, split_header
from sklearn_pspd.exceptions import InputError

from .draft_report import listing
from .pick_records import picks_of, position_of, read_picks
from .shown_volume import image_sha256

_TEXT_COLUMN = "lesion_mask"


class EarlierPositions(NamedTuple):
    """What became of the positions of an earlier table.

    Attributes
    ----------
    cohort : DataFrame
        The new table with the positions that were kept.
    kept, dropped, replaced, absent : list of str
        Patients whose position was kept; was dropped, since the image is another one or cannot be read; was typed in by
        hand or came from the spreadsheet, which has another one now; and who are not in the new table.
    """

    cohort: pd.DataFrame
    kept: list
    dropped: list
    replaced: list
    absent: list

    def report(self):
        """Return what became of the positions as text; empty if there were none."""
        parts = {
            "kept": self.kept,
            "dropped, as the image is another one or cannot be read: pick them again": self.dropped,
            "replaced by those of the spreadsheet": self.replaced,
            "of patients who are not in this draft": self.absent,
        }
        # Who has lost a position is named, however many they are.
        names = {text: listing(ids) if ids is self.kept else ", ".join(ids) for text, ids in parts.items()}
        lines = [f"  {text} ({len(ids)}): {names[text]}" for text, ids in parts.items() if ids]
        return "\n".join(["", "Positions of the lesion in the earlier table:", *lines, ""]) if lines else ""


def keep_positions(cohort, path):
    """Return a new cohort table with the positions of an earlier one, and of the record of picks beside it.

    A pick is kept if the digest of the new image is the one in the record; another position, if the image has the same
    path or the same digest as in the earlier table.

    Parameters
    ----------
    cohort : DataFrame
        The new table; relative paths of images start at the folder of `path`.
    path : Path
        The earlier table, which need not exist.

    Returns
    -------
    EarlierPositions
        The new table, and what became of each position.

    Raises
    ------
    InputError
        If the earlier table or the record cannot be read.
    """
    record = path.with_suffix(".picks.csv")
    picks = read_picks(record) if record.exists() else None
    table = _read_table(path)
    earlier = dict(zip(normalise_ids(table["patient_id"]), table.to_dict("records"), strict=True))
    # A patient whom the earlier table lacks may be in the record.
    if picks is not None:
        for name in picks["patient_id"]:
            earlier.setdefault(normalise_ids([name])[0], {"patient_id": name})
    if not earlier:
        return EarlierPositions(cohort, [], [], [], [])
    rows, found = cohort.astype(object).to_dict("records"), {name: [] for name in EarlierPositions._fields[1:]}
    of_patient = dict(zip(normalise_ids(cohort["patient_id"]), rows, strict=True))
    for key, before in earlier.items():
        position, digest = _position(before, picks)
        if not position:
            continue
        row = of_patient.get(key)
        if row is None:
            found["absent"].append(before["patient_id"])
            continue
        new = position_of(row)
        if new and digest is None:
            # Who typed it in, or read it from a spreadsheet, can correct it there.
            is_equal = {name: _value(name, text) for name, text in new.items()} == position
            found["kept" if is_equal else "replaced"].append(row["patient_id"])
            continue
        is_same = _is_same_image(path.parent, before, row, digest)
        found["kept" if is_same else "dropped"].append(row["patient_id"])
        if is_same:
            row |= dict.fromkeys(name for name in POSITION_COLUMNS if name in row) | position
    columns = list(cohort.columns)
    at = next((columns.index(name) + 1 for name in ("image", "patient_id") if name in columns), 0)
    given = [name for name in POSITION_COLUMNS if name not in columns and any(name in row for row in rows)]
    return EarlierPositions(pd.DataFrame(rows, columns=[*columns[:at], *given, *columns[at:]]), **found)


def _read_table(path):
    """Return the cells of an earlier table as text; no rows if there is none."""
    if not path.exists():
        return pd.DataFrame(columns=["patient_id", "image"])
    names = (*IDENTITY_COLUMNS, *POSITION_COLUMNS)
    rows = read_rows(path, columns=names).rows
    header = find_header(rows, names)
    if header is None:
        raise InputError(f"{path} has no row with the names of the columns ({', '.join(names)}); move it away")
    parsed = split_header(rows, header)
    raise_problems(f"{path}, whose positions are kept, has", [*parsed.problems, *id_problems(parsed.cells)])
    if "patient_id" not in parsed.cells:
        raise InputError(f"{path}, whose positions are kept, has no column patient_id; move it away")
    return parsed.cells


def _position(before, picks):
    """Return a position of the earlier table or of the record, and the digest of the image if a reader picked it."""
    position = {name: _value(name, text) for name, text in position_of(before).items()}
    if picks is not None:
        of_patient = picks_of(picks, before["patient_id"])
        written = of_patient[of_patient["in_table"]]
        if len(written) and not pd.isna(written.iloc[-1]["lesion_slice"]):
            pick = {"lesion_slice": int(written.iloc[-1]["lesion_slice"])}
            if not position or position == pick:
                return pick, written.iloc[-1]["image_sha256"]
    return position, None


def _value(column, text):
    """Return a cell of a position as number where it is one."""
    number = to_number(text)
    if column == _TEXT_COLUMN or pd.isna(number):
        return text
    return int(number) if number == int(number) else number


def _is_same_image(folder, before, row, digest):
    if is_missing(row["image"]):
        return False
    new = os.path.realpath(folder / row["image"])
    if digest is None:
        if is_missing(before.get("image")):
            return False
        old = os.path.realpath(folder / before["image"])
        if old == new:
            return True
    try:
        return image_sha256(new) == (digest or image_sha256(old))
    except InputError:
        return False
