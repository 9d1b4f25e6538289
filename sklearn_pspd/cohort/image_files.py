"""What kind of image a file holds, by its content; never by its name."""

import gzip
from pathlib import Path

NIFTI, DICOM = "NIfTI", "DICOM"

_GZIP = b"\x1f\x8b"
_HEADER_BYTES = 352
# The first tag of a DICOM file without preamble is of group 0002 or 0008, in little-endian order.
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")


def image_format(path):
    """Return what kind of image a file holds.

    Parameters
    ----------
    path : str or Path
        A file.

    Returns
    -------
    {"NIfTI", "DICOM", ""}
        By the first bytes of the file, unpacked where it is compressed by gzip; empty for anything else.

    Raises
    ------
    OSError, EOFError
        If the file cannot be read or unpacked.
    """
    start = read_start(path)
    if start[344:348] in (b"n+1\0", b"ni1\0") or start[4:8] in (b"n+2\0", b"ni2\0"):
        return NIFTI
    if start[128:132] == b"DICM" or lacks_preamble(start):
        return DICOM
    return ""


def lacks_preamble(start):
    """Say whether the first bytes are those of a DICOM file without its 128-byte preamble, as old scanners wrote it."""
    if start[:2] not in _FIRST_GROUPS or len(start) < 8:
        return False
    # Then come an element number, and the two letters of a type or the length of a short value.
    has_type = start[4:6].isalpha() and start[4:6].isupper()
    return has_type or int.from_bytes(start[4:8], "little") <= 64


def is_gzip(path):
    """Say whether a file is compressed by gzip."""
    with Path(path).open("rb") as file:
        return file.read(2) == _GZIP


def read_start(path):
    """Return the first bytes of a file, unpacked where it is compressed by gzip."""
    opener = gzip.open if is_gzip(path) else open
    with opener(path, "rb") as file:
        return file.read(_HEADER_BYTES)
