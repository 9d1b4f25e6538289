"""The folder of a study: what it holds, and whether a run may go on in it."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from sklearn_pspd.cohort.image_files import folder_entries, pair_files
from sklearn_pspd.cohort.problems import is_missing
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import write_bytes
from sklearn_pspd.model_selection import KeptFits

RECORD, FITS, MODELS = "study.json", "fits", "models"
FORMAT = 1
# Columns of the cohort table that name files.
FILE_COLUMNS = ("image", "lesion_mask")
# Differences that are named by what they concern, because fingerprints say nothing to a reader.
OF_FINGERPRINTS = {"cohort": "the cohort table", "images": "the images"}


class StudyFolder:
    """The folder of a study.

    ``study.json`` says which study the folder belongs to, ``fits`` has its finished fits. A folder is used for one
    study: for another cohort, other models or other settings it is refused, so that results are never mixed.

    Parameters
    ----------
    folder : path-like
        The folder; made if missing.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd.study.folder import StudyFolder
    >>> with TemporaryDirectory() as folder:
    ...     StudyFolder(folder).open({"seed": 0})
    ...     StudyFolder(folder).open({"seed": 1})
    Traceback (most recent call last):
    ...
    sklearn_pspd.exceptions.InputError: ...holds another study: seed: 0 there, 1 here...
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def open(self, identity, *, resume=False, overwrite=False, **details):
        """Claim the folder for a study, or go on with the same study.

        Parameters
        ----------
        identity : dict of str to object
            What makes it this study; values that JSON holds.
        resume : bool, default=False
            Whether the folder must hold this study already.
        overwrite : bool, default=False
            Whether to remove what a study wrote there before.
        **details : object
            What else the record says of the study; values that JSON holds.

        Raises
        ------
        InputError
            If the folder holds another study, or none that could be resumed.
        """
        record = self.read()
        if overwrite and record:
            self._remove(record)
            record = None
        if record is None:
            if resume:
                raise InputError(f"{self.folder}: there is no study to resume; leave out the option")
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self._write({"format": FORMAT, "started": now, "finished": None, "files": [], "study": identity, **details})
            return
        # A round trip, since JSON knows no tuples.
        if differences := _differences(record["study"], json.loads(json.dumps(identity))):
            raise InputError(
                f"{self.folder} holds another study: {'; '.join(differences)}. Give another folder for the results; "
                "overwrite=True removes that study"
            )

    def kept_fits(self, contents, share=None):
        """Return the finished fits of the study.

        Parameters
        ----------
        contents : dict of str to str
            As in :class:`~sklearn_pspd.model_selection.KeptFits`.
        share : tuple of int, default=None
            As in :class:`~sklearn_pspd.model_selection.KeptFits`.

        Returns
        -------
        KeptFits
            In the folder ``fits``.
        """
        return KeptFits(self.folder / FITS, contents=contents, share=share)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Path]:
        """Remember the files that are written to the folder in a ``with`` block, so that they can be overwritten.

        Yields
        ------
        Path
            The folder.
        """
        before = self._stamps()
        yield self.folder
        written = {name for name, stamp in self._stamps().items() if before.get(name) != stamp}
        record = self.read()
        self._write({**record, "files": sorted({*record["files"], *written})})

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let other processes that write to the same study wait, in a ``with`` block, until this one has written.

        Where the file system has no locks, nobody waits: files are replaced whole all the same.
        """
        with contextlib.ExitStack() as locked:
            # Windows neither has the module nor opens folders; some network drives have no locks.
            with contextlib.suppress(ImportError, OSError):
                import fcntl

                descriptor = os.open(self.folder, os.O_RDONLY)
                locked.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    def finish(self, **details):
        """Say in the record that the study is complete.

        Parameters
        ----------
        **details : object
            What else the record says from now on.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._write({**self.read(), "finished": now, **details})

    def read(self):
        """Return the record of the study.

        Returns
        -------
        dict or None
            None if there is none.

        Raises
        ------
        InputError
            If the file is not such a record.
        """
        path = self.folder / RECORD
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_bytes())
            if record["format"] != FORMAT or not isinstance(record["study"], Mapping):
                raise ValueError(f"format {record['format']}")
            return {**record, "files": list(record["files"])}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: not the record of a study, or of another version ({error}); give another folder"
            ) from error

    def _write(self, record):
        write_bytes(self.folder / RECORD, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())

    def _stamps(self):
        stamps = {}
        for path in self.folder.iterdir():
            if path.is_file() and path.name != RECORD and path.suffix != ".part":
                # Another process may replace it at this moment.
                with contextlib.suppress(FileNotFoundError):
                    stamps[path.name] = path.stat().st_mtime_ns
        return stamps

    def _remove(self, record):
        """Remove what the study wrote, and nothing else; the record goes last."""
        for name in record["files"]:
            # A name only: the record may have been edited.
            (self.folder / Path(name).name).unlink(missing_ok=True)
        for name in (FITS, MODELS):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / RECORD).unlink()


def image_contents(cohort, columns):
    """Return the fingerprint of the content of every image and mask.

    Parameters
    ----------
    cohort : DataFrame of shape (n_patients, n_columns)
        Cohort table.
    columns : sequence of str
        Its columns that name files.

    Returns
    -------
    dict of str to str
        SHA-256, by path as the table has it. A file that cannot be read is left out; reading it is refused later, with
        the patient's name.
    """
    paths = {str(path) for column in columns for path in cohort[column] if not is_missing(path)}
    contents = {}
    for path in sorted(paths):
        with contextlib.suppress(OSError):
            contents[path] = _content(path)
    return contents


def _content(path):
    files = folder_entries(path) if Path(path).is_dir() else pair_files(path)
    found = hashlib.sha256()
    for file in files:
        if Path(file).is_file():
            # The name within the folder, so that an image can be moved with its folder.
            found.update(f"{Path(file).name if len(files) > 1 else ''}\0".encode())
            with Path(file).open("rb") as content:
                found.update(hashlib.file_digest(content, "sha256").digest())
    return found.hexdigest()


def _differences(there, here, prefix=""):
    """Return in words how two identities differ."""
    found = []
    for name in dict.fromkeys([*there, *here]):
        before, now = there.get(name), here.get(name)
        if before == now:
            continue
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            found += _differences(before, now, f"{prefix}{name}: ")
        elif name in OF_FINGERPRINTS:
            found.append(f"{OF_FINGERPRINTS[name]} changed")
        elif prefix.startswith("models"):
            of_one = "not in that study" if before is None else "only in that study"
            found.append(f"{prefix}{name!r} {of_one if None in (before, now) else 'has other settings'}")
        else:
            found.append(f"{prefix}{name}: {before} there, {now} here")
    return found
