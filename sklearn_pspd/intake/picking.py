"""Lesion slices that readers pick: written into the cohort table, and recorded beside it."""

import contextlib
import os
import re
import threading
import time
from collections import OrderedDict
from datetime import UTC, datetime
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import clone

from sklearn_pspd.cohort.cell_writing import EditableTable
from sklearn_pspd.cohort.columns import IDENTITY_COLUMNS, POSITION_COLUMNS
from sklearn_pspd.cohort.problems import (
    id_problems,
    is_missing,
    missing_columns,
    normalise_ids,
    raise_problems,
    to_number,
)
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader

from .pick_records import (
    PICK_COLUMNS,
    append_pick,
    holder_of,
    latest_pick,
    picks_of,
    position_of,
    read_picks,
    typed_picks,
)
from .shown_volume import read_shown_volume

KEPT_VOLUMES = 3
LOCK_SECONDS = 10.0
MAX_READER = 60
_PATH_COLUMN = "lesion_mask"


class PickingSession:
    """Picks of the lesion's slice by one reader.

    Each pick is written at once: into ``lesion_slice`` of the table, and as a new line into a record beside it,
    ``cohort.picks.csv`` for ``cohort.csv``. Of the table nothing changes but the cells of the lesion's position; the
    column is added at the right if the table has none. A table holds one position per patient, so other position
    columns of the patient are emptied when a pick is written.

    A position that the table has already stays as it is, unless it is this reader's own earlier pick or `replace` is
    true; the pick is then in the record only.

    Parameters
    ----------
    table : path-like
        Cohort table as delimited text with ``patient_id`` and ``image``; it may lack everything else. Workbooks are
        refused: save the sheet as CSV.
    reader : str
        Name or initials of the reader, for the record.
    replace : bool, default=False
        Whether positions that the table has already are replaced.
    loader : SliceStackLoader, default=None
        How images are read; None takes the loader's defaults.
    sep, encoding : str, default=None
        As in :func:`~sklearn_pspd.cohort.read_cohort`.
    decimal : {".", ","}, default="."
        Decimal mark of the table.

    Attributes
    ----------
    picks_path : Path
        The record.
    patients : list of str
        The ids, in the order of the table.

    Raises
    ------
    FileNotFoundError
        If there is no such table.
    InputError
        If the table lacks a column, an id or an image path, or cannot be written; all problems are listed.

    See Also
    --------
    pick_slices : The same in the browser.
    slice_agreement : Agreement of several readers.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd.datasets import make_cohort
    >>> from sklearn_pspd.cohort import read_cohort
    >>> from sklearn_pspd.intake import PickingSession
    >>> with TemporaryDirectory() as folder:
    ...     cohort = make_cohort(folder, 6, matrix_px=(128,), n_native_slices=10, random_state=0)
    ...     cohort.drop(columns="lesion_slice").to_csv(f"{folder}/cohort.csv", index=False)
    ...     session = PickingSession(f"{folder}/cohort.csv", reader="AB")
    ...     for patient, index in zip(cohort["patient_id"], cohort["lesion_slice"]):
    ...         _ = session.pick(patient, index)
    ...     found = read_cohort(f"{folder}/cohort.csv")
    ...     record = session.picks()
    >>> (found["lesion_slice"] == cohort["lesion_slice"]).all(), len(record)
    (np.True_, 6)
    """

    def __init__(self, table, *, reader, replace=False, loader=None, sep=None, encoding=None, decimal="."):
        self.path = Path(table)
        self.reader = _checked_reader(reader)
        self.replace = replace
        self.loader = SliceStackLoader() if loader is None else loader
        self._reading = {"sep": sep, "encoding": encoding}
        self._decimal = decimal
        self.picks_path = self.path.with_suffix(".picks.csv")
        self._lock, self._decoding = threading.RLock(), threading.Lock()
        self._volumes = OrderedDict()
        read = self._table()
        raise_problems(f"the cohort table {self.path} has", _table_problems(read))
        self.patients = [str(name) for name in read.cells["patient_id"]]
        self._images = [os.path.realpath(self.path.parent / image) for image in read.cells["image"]]
        self.picks()

    def pick(self, patient_id, lesion_slice):
        """Write the slice that shows the lesion best.

        Parameters
        ----------
        patient_id : str
            A patient of the table.
        lesion_slice : int
            Index of the slice, 0 at the feet, as the loader counts.

        Returns
        -------
        bool
            Whether the table has it; otherwise it has another position, and the pick is in the record only.

        Raises
        ------
        InputError
            If there is no such patient or slice.
        """
        volume = self.volume(patient_id)
        n_slices = len(volume.pixels)
        is_number = isinstance(lesion_slice, Real) and not isinstance(lesion_slice, bool)
        if not is_number or not 0 <= lesion_slice < n_slices or lesion_slice != int(lesion_slice):
            raise InputError(
                f"patient {patient_id}: lesion_slice must be a whole number from 0 to {n_slices - 1}; got "
                f"{lesion_slice!r}"
            )
        return self._write(patient_id, int(lesion_slice), volume)

    def cannot_tell(self, patient_id):
        """Record that the reader cannot tell which slice shows the lesion best.

        An own earlier pick is removed from the table.

        Parameters
        ----------
        patient_id : str
            A patient of the table.

        Returns
        -------
        bool
            Whether a pick was removed from the table.

        Raises
        ------
        InputError
            If there is no such patient.
        """
        return self._write(patient_id, None, self.volume(patient_id))

    def picks(self):
        """Return the record of all readers, see :func:`read_picks`.

        Returns
        -------
        DataFrame
            Empty if there are no picks yet.
        """
        return (
            read_picks(self.picks_path) if self.picks_path.exists() else typed_picks(pd.DataFrame(columns=PICK_COLUMNS))
        )

    def volume(self, patient_id):
        """Return all slices of a patient; the last ones are kept.

        Parameters
        ----------
        patient_id : str
            A patient of the table.

        Returns
        -------
        ShownVolume
            The slices in the loader's orientation, with eight bits per pixel.

        Raises
        ------
        InputError
            If there is no such patient, or the image cannot be read.
        """
        path = self._images[self._number(patient_id)]
        with self._decoding:
            if path not in self._volumes:
                self._volumes[path] = read_shown_volume(path, self.loader)
            self._volumes.move_to_end(path)
            while len(self._volumes) > KEPT_VOLUMES:
                self._volumes.popitem(last=False)
            return self._volumes[path]

    def overview(self):
        """Return what is known of each patient, without the positions that others picked.

        Returns
        -------
        list of dict
            ``patient_id``; ``own``, the reader's latest pick as a slice, "cannot tell" or None, as for a pick that was
            taken out of the table; ``in_table``, whether the table has a position; ``readers``, who else has picked.
        """
        with self._lock:
            cells, picks = self._table().cells, self.picks()
        names = normalise_ids(cells["patient_id"]) if "patient_id" in cells else []
        positions = dict(zip(names, map(position_of, cells.to_dict("records")), strict=True))
        found = []
        for patient, key in zip(self.patients, normalise_ids(self.patients), strict=True):
            of_patient = picks_of(picks, patient)
            is_own = of_patient["reader"] == self.reader
            others = of_patient.loc[~is_own, "reader"]
            own, is_written = latest_pick(of_patient, self.reader), of_patient.loc[is_own, "in_table"].tail(1).any()
            # What was written and is not in the table any more was taken out, as when the image became another one.
            is_gone = isinstance(own, int) and is_written and not positions.get(key)
            found.append(
                {
                    "patient_id": patient,
                    "own": None if is_gone else own,
                    "in_table": bool(positions.get(key)),
                    "readers": list(dict.fromkeys(others)),
                }
            )
        return found

    def table_slice(self, patient_id):
        """Return the slice at the position that the table has.

        Parameters
        ----------
        patient_id : str
            A patient of the table.

        Returns
        -------
        int or None
            None if the table has no position that could be used, and also if it is another reader's pick and this
            reader has not decided yet: a second reader must not see it before.
        """
        number = self._number(patient_id)
        with self._lock:
            table, picks = self._table(), self.picks()
        of_patient = picks_of(picks, patient_id)
        position = position_of(table.cells.iloc[self._place(table, patient_id)].to_dict())
        holder = holder_of(of_patient, position)
        if not position or (holder not in (None, self.reader) and latest_pick(of_patient, self.reader) is None):
            return None
        values = {name: self._value(name, cell) for name, cell in position.items()}
        row = pd.DataFrame([{"patient_id": patient_id, "image": self._images[number]} | values])
        try:
            (stack,) = clone(self.loader).set_params(n_slices=1, slice_spacing_mm=None, memory=None).transform(row)
        except InputError:
            return None
        return int(stack.slice_indices[0])

    def _value(self, column, cell):
        if column == _PATH_COLUMN:
            return os.path.realpath(self.path.parent / cell)
        return to_number(cell.replace(",", ".") if self._decimal == "," else cell)

    def _number(self, patient_id):
        wanted = normalise_ids([patient_id])[0]
        places = np.flatnonzero(normalise_ids(self.patients).to_numpy() == wanted)
        if wanted is None or len(places) != 1:
            raise InputError(f"the table {self.path} has no patient {patient_id!r}")
        return int(places[0])

    def _table(self):
        return EditableTable(self.path, columns=(*IDENTITY_COLUMNS, *POSITION_COLUMNS), **self._reading)

    def _write(self, patient_id, lesion_slice, volume):
        """Write a pick, or that there is none, to the table where it may and to the record; both as they are now."""
        number = self._number(patient_id)
        with self._lock, table_lock(self.path):
            # The table, which another program may have changed since it was read.
            table, picks = self._table(), self.picks()
            place = self._place(table, self.patients[number])
            position = position_of(table.cells.iloc[place].to_dict())
            of_patient = picks_of(picks, patient_id)
            is_own = holder_of(of_patient, position) == self.reader
            writes = is_own or (lesion_slice is not None and (self.replace or not position))
            if writes:
                for column in position:
                    table.set(table.row_numbers[place], column, "")
                if lesion_slice is not None:
                    table.set(table.row_numbers[place], "lesion_slice", str(lesion_slice))
                table.save()
            # The record.
            pick = {
                "patient_id": self.patients[number],
                "lesion_slice": lesion_slice,
                "slice_spacing_mm": round(volume.spacing_mm[0], 4),
                "lesion_z_mm": None if lesion_slice is None else round(volume.height_mm(lesion_slice), 2),
                "cannot_tell": "yes" if lesion_slice is None else "no",
                "reader": self.reader,
                "time_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "image_sha256": volume.sha256,
                "in_table": "yes" if writes else "no",
            }
            append_pick(self.picks_path, pick)
        return writes

    def _place(self, table, patient_id):
        """Return the row of a patient in the table as it is now."""
        if "patient_id" in table.cells:
            names = normalise_ids(table.cells["patient_id"]).to_numpy()
            places = np.flatnonzero(names == normalise_ids([patient_id])[0])
            if len(places) == 1:
                return int(places[0])
        raise InputError(f"the table {self.path} was changed: it has not one row of patient {patient_id} any more")


def _checked_reader(reader):
    text = str(reader).strip() if isinstance(reader, str) else ""
    if not 0 < len(text) <= MAX_READER or re.search(r"[\x00-\x1f]", text):
        raise InputError(f"reader must be a name or initials of at most {MAX_READER} characters; got {reader!r}")
    return text


def _table_problems(table):
    cells = table.cells
    problems = list(table.problems)
    problems += missing_columns(cells, ("patient_id", "image"))
    problems += id_problems(cells, table.row_numbers)
    if "image" in cells:
        problems += [
            f"row {row}: column image is empty"
            for row, image in zip(table.row_numbers, cells["image"], strict=True)
            if is_missing(image)
        ]
    return problems if len(cells) else [*problems, "no patients"]


@contextlib.contextmanager
def table_lock(path):
    """Hold a file beside the table while it is read and written, so that two processes do not do so at once."""
    lock = path.with_name(f".{path.name}.lock")
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except FileExistsError:
            if time.monotonic() > until:
                raise InputError(
                    f"another program is writing {path}, or was interrupted while it did: delete {lock} if none is"
                ) from None
            time.sleep(0.02)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
