"""Cache of arrays on disk, one file per entry, with a checksum and without pickle."""

import hashlib
import io
import json
import os
import struct
import warnings
from pathlib import Path

import joblib
import numpy as np
from isal import isal_zlib

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import replaced_when_whole

# An entry: magic, checksum of the rest, lengths of description and array, description (JSON), array (NumPy's format).
MAGIC = b"PSPDarray1\n"
PREFIX = struct.Struct("<III")
MAX_DESCRIPTION = 2**16
# Larger arrays are not cached, so that a forged entry cannot take more memory.
MAX_ARRAY = 2**30


class ArrayCache:
    """Arrays in files of a folder, each with a description.

    An entry that is truncated, damaged or was not written by this class counts as absent. Several processes may read
    and write one folder: an entry appears when it is whole. Entries hold numbers and text only, so that reading one
    executes no code. The checksum detects damage, not forgery: whoever can write to the folder can change pixels.

    Parameters
    ----------
    folder : path-like
        Where the entries are; made if missing.

    Raises
    ------
    OSError
        If the folder cannot be made.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from sklearn_pspd.loading.cache import ArrayCache
    >>> with TemporaryDirectory() as folder:
    ...     cache = ArrayCache(folder)
    ...     key = cache.key("P01", 3)
    ...     cache.write(key, {"patient": "P01"}, np.arange(3.0))
    ...     cache.read(key)
    ({'patient': 'P01'}, array([0., 1., 2.]))
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def key(*parts):
        """Return the name of an entry, which is different for different values.

        Parameters
        ----------
        *parts : object
            What determines the entry: text, numbers, None, and tuples of them.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()

    def read(self, key):
        """Return the description and the array of an entry.

        Parameters
        ----------
        key : str
            What :meth:`key` returned.

        Returns
        -------
        tuple of (dict, ndarray), or None
            None if there is no such entry, or it is damaged.
        """
        # Whatever a damaged or foreign file causes, the entry is made again.
        try:
            with self._path(key).open("rb", buffering=0) as file:
                return _parse(file, key)
        except Exception:
            return None

    def write(self, key, description, array):
        """Write an entry; if this fails, for example because the disk is full, a warning says so.

        Parameters
        ----------
        key : str
            What :meth:`key` returned.
        description : dict
            Text, numbers of Python or NumPy, and lists and dictionaries of them.
        array : ndarray
            Of numbers.
        """
        array = np.ascontiguousarray(array)
        text = json.dumps({"key": key, "description": description}, default=lambda number: number.item()).encode()
        if array.nbytes > MAX_ARRAY or len(text) > MAX_DESCRIPTION:
            return
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
        header = header.getvalue()
        lengths = len(text), len(header) + array.nbytes
        values = array.reshape(-1).view(np.uint8)
        checksum = _checksum(struct.pack("<II", *lengths), text, header, values)
        try:
            with replaced_when_whole(self._path(key), durable=False) as file:
                file.write(MAGIC + PREFIX.pack(checksum, *lengths) + text + header)
                file.write(values)
        except OSError as error:
            warnings.warn(f"the cache {self.folder} cannot be written ({error}); images are read again", stacklevel=2)

    def _path(self, key):
        return self.folder / f"{key}.cache"


def open_cache(memory):
    """Return the cache of the parameter `memory` of a transformer.

    Parameters
    ----------
    memory : str, path, joblib.Memory or None
        A folder, or an object that names one.

    Returns
    -------
    ArrayCache or None
        In the folder ``sklearn_pspd`` of the given one; None if no folder is given.

    Raises
    ------
    InputError
        If a memory of joblib stores its entries elsewhere than in a local folder.

    Examples
    --------
    >>> from sklearn_pspd.loading.cache import open_cache
    >>> print(open_cache(None))
    None
    """
    location = memory.location if isinstance(memory, joblib.Memory) else memory
    if location is None:
        return None
    if not isinstance(location, str | os.PathLike):
        raise InputError(f"memory must be a folder; the location of {memory!r} is not one")
    return ArrayCache(Path(location) / "sklearn_pspd")


def _parse(file, key):
    """Return description and array of an open file; raise an exception if anything is wrong with it."""
    start = file.read(len(MAGIC) + PREFIX.size)
    checksum, n_text, n_stored = PREFIX.unpack(start[len(MAGIC) :]) if start.startswith(MAGIC) else (0, 0, 0)
    # Sizes are checked before anything is allocated.
    size = os.fstat(file.fileno()).st_size
    if not 0 < n_text <= MAX_DESCRIPTION or n_stored > MAX_ARRAY + 2**16 or size != len(start) + n_text + n_stored:
        raise ValueError("not an entry of the cache")
    text, stored = bytearray(n_text), np.empty(n_stored, dtype=np.uint8)
    n_read = _fill(file, memoryview(text)) + _fill(file, memoryview(stored))
    if n_read != n_text + n_stored or _checksum(struct.pack("<II", n_text, n_stored), text, stored) != checksum:
        raise ValueError("damaged")
    entry = json.loads(text)
    if entry["key"] != key or not isinstance(entry["description"], dict):
        raise ValueError("the entry of another key")
    return entry["description"], _array(stored)


def _fill(file, view):
    """Read into a buffer; return the number of bytes that the file had."""
    n_read = 0
    while n_read < len(view) and (n := file.readinto(view[n_read:])):
        n_read += n
    return n_read


def _array(stored):
    """Return a stored array as a view; its values are aligned, since NumPy pads its header."""
    header = io.BytesIO(stored[: 2**12].tobytes())
    if np.lib.format.read_magic(header) != (1, 0):
        raise ValueError("unknown format of the array")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(header)
    values = stored[header.tell() :]
    if is_fortran or dtype.kind not in "fiu":
        raise ValueError("not an array of numbers")
    return values.view(dtype).reshape(shape)


def _checksum(*parts):
    checksum = 0
    for part in parts:
        checksum = isal_zlib.crc32(part, checksum)
    return checksum
