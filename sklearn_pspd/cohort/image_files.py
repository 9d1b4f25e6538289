"""The format of an image file, recognised by its content and never by its name."""

import gzip
import zlib
from pathlib import Path

NIFTI, DICOM = "NIfTI", "DICOM"

_GZIP = b"\x1f\x8b"
_HEADER_BYTES = 352
# Without a preamble, a DICOM file begins with a tag of group 0002 or 0008, in little-endian byte order.
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")
_LONGEST_FIRST_VALUE = 64


def image_format(path):
    """Return the image format of a file.

    Parameters
    ----------
    path : str or Path
        A file.

    Returns
    -------
    {"NIfTI", "DICOM", ""}
        Format according to the first bytes of the file, decompressed if it is a gzip file; empty for any other content.

    Raises
    ------
    OSError, EOFError
        If the file cannot be read or decompressed.
    """
    start = read_start(path)
    if start[344:348] in (b"n+1\0", b"ni1\0") or start[4:8] in (b"n+2\0", b"ni2\0"):
        return NIFTI
    if start[128:132] == b"DICM" or lacks_preamble(start):
        return DICOM
    return ""


def lacks_preamble(start):
    """Return whether a file that begins with these bytes is DICOM without the 128-byte preamble.

    Parameters
    ----------
    start : bytes
        The first bytes of a file.

    Returns
    -------
    bool
        True if they begin with a tag of group 0002 or 0008 and either the two letters of its type (explicit VR) or a
        plausible length of its value (implicit VR). Old scanners and exports write such files.
    """
    if start[:2] not in _FIRST_GROUPS or len(start) < 8:
        return False
    has_type = start[4:6].isalpha() and start[4:6].isupper()
    return has_type or int.from_bytes(start[4:8], "little") <= _LONGEST_FIRST_VALUE


def is_gzip(path):
    """Return whether a file is compressed by gzip."""
    with Path(path).open("rb") as file:
        return file.read(2) == _GZIP


def read_start(path):
    """Return the first bytes of a file, as many as its format needs, decompressed if it is a gzip file.

    Parameters
    ----------
    path : str or Path
        A file.

    Returns
    -------
    bytes
        At most 352 bytes.

    Raises
    ------
    OSError, EOFError
        If the file cannot be read or decompressed.
    """
    opener = gzip.open if is_gzip(path) else open
    try:
        with opener(path, "rb") as file:
            return file.read(_HEADER_BYTES)
    except zlib.error as error:
        raise gzip.BadGzipFile(f"damaged gzip file: {error}") from error
