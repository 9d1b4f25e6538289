"""Image files recognised by their content and never by their name, and the contents of an image folder."""

import codecs
import gzip
import json
import os
import stat
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

NIFTI, DICOM = "NIfTI", "DICOM"
FOLDER = "folder"

_GZIP = b"\x1f\x8b"
_HEADER_BYTES = 352
_SINGLE, _PAIR = (b"n+1\0", b"n+2\0"), (b"ni1\0", b"ni2\0")
# Without a preamble, a DICOM file begins with a tag of group 0002 or 0008, in little-endian byte order.
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")
_LONGEST_FIRST_VALUE = 64
_LONGEST_MARKUPS = 10_000_000

# Other content that is recognised by its first bytes.
_SIGNATURES = {
    b"%PDF": "PDF file",
    b"PK\x03\x04": "ZIP archive or Office document",
    b"PK\x05\x06": "ZIP archive or Office document",
    b"\xd0\xcf\x11\xe0": "Office document or thumbnail database",
    b"{\\rtf": "text file",
    b"\x89PNG": "PNG image",
    b"\xff\xd8\xff": "JPEG image",
    b"GIF8": "GIF image",
    b"BM": "BMP image",
    b"II*\0": "TIFF image",
    b"MM\0*": "TIFF image",
    b"NRRD": "NRRD image",
    b"\x89HDF": "HDF5 file",
    b"CDF": "NetCDF file",
    b"mrtrix image": "MRtrix image",
    b"MATLAB": "MATLAB file",
    b"BZh": "bzip2 file",
    b"\xfd7zXZ": "xz file",
    b"\x28\xb5\x2f\xfd": "Zstandard file",
    b"7z\xbc\xaf": "7-Zip archive",
    b"Rar!": "RAR archive",
    b"MZ": "Windows program",
    b"\x7fELF": "program",
    b"SQLite format 3": "SQLite database",
    b"bplist00": "property list",
}  # fmt: skip
# Files that macOS adds to folders on other file systems, some of them named after an image.
_SYSTEM_FILES = {b"\0\x05\x16\x07": "AppleDouble file", b"\0\0\0\1Bud1": "Finder settings"}
# Small files that stand for an image which has not been fetched.
_GIT_LFS = b"version https://git-lfs.github.com/spec/"
_GIT_ANNEX = b"annex/objects/"
_IMAGE_SUFFIXES = frozenset({".dcm", ".dicom", ".dic", ".ima", ".nii", ".hdr", ".img"})


class FolderContent(NamedTuple):
    """Entries of a folder, by what they are.

    Attributes
    ----------
    dicom : list of str
        Paths of the files whose content is DICOM.
    nifti : list of str
        Paths of the files whose content is NIfTI.
    folders : list of str
        Paths of the folders.
    passed_over : list of tuple of str
        (path, what it is) of each entry that is no image and does not claim to be one, folders and NIfTI files beside
        DICOM files included.
    problems : list of tuple of str
        (path, text) of each entry that cannot be read, or that claims to be an image and is not.
    """

    dicom: list[str]
    nifti: list[str]
    folders: list[str]
    passed_over: list[tuple[str, str]]
    problems: list[tuple[str, str]]


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
        The voxels of a NIfTI pair (``.img``) have no mark of their own: they are NIfTI if their header lies beside
        them.

    Raises
    ------
    OSError, EOFError
        If the file cannot be read or decompressed.
    """
    found = format_of_start(read_start(path))
    return found if found or header_of_pair(path) is None else NIFTI


def format_of_start(start):
    """Return the image format of a file that begins with these bytes, as :func:`image_format`."""
    if nifti_mark(start) in (*_SINGLE, *_PAIR):
        return NIFTI
    if start[128:132] == b"DICM" or lacks_preamble(start):
        return DICOM
    return ""


def nifti_mark(start):
    """Return the four bytes that mark a NIfTI header; they are no mark if the file is not NIfTI."""
    second = start[4:8]
    return second if second in (b"n+2\0", b"ni2\0") else start[344:348]


def is_pair(start):
    """Return whether a file that begins with these bytes is the header of a NIfTI pair (``.hdr`` and ``.img``)."""
    return nifti_mark(start) in _PAIR


def header_of_pair(path):
    """Return the path of the NIfTI header that belongs to a file ``.img`` or ``.img.gz``; None if there is none."""
    for header in _partners(path, ".img", ".hdr"):
        try:
            if is_pair(read_start(header)):
                return header
        except (OSError, EOFError):
            continue
    return None


def voxels_of_pair(path):
    """Return the path of the file ``.img`` or ``.img.gz`` that belongs to a NIfTI header ``.hdr``; None if absent."""
    return next(iter(_partners(path, ".hdr", ".img")), None)


def pair_files(path):
    """Return the files that may belong to one image: the path itself and, beside ``.hdr`` or ``.img``, its partner."""
    return [str(path), *_partners(path, ".hdr", ".img"), *_partners(path, ".img", ".hdr")]


def sidecar_of(path):
    """Return the JSON file beside a NIfTI file whose names differ in their suffix only; None if there is none."""
    stem = next((stem for suffix in (".nii", ".hdr", ".img") if (stem := _stem(Path(path).name, suffix))), None)
    if stem is None:
        return None
    sidecar = Path(path).with_name(f"{stem}.json")
    return str(sidecar) if sidecar.is_file() else None


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
    with _open(path) as file:
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
    with _open(path) as file:
        start = file.read(_HEADER_BYTES)
        if start[:2] != _GZIP:
            return start
        file.seek(0)
        try:
            with gzip.open(file) as unpacked:
                return unpacked.read(_HEADER_BYTES)
        except zlib.error as error:
            raise gzip.BadGzipFile(f"damaged gzip file: {error}") from error


def describe_start(start):
    """Return what a file is that begins with these bytes and is neither NIfTI nor DICOM; empty if unknown."""
    if not start:
        return "empty file"
    for known in (_SYSTEM_FILES, _SIGNATURES):
        for mark, name in known.items():
            if start.startswith(mark):
                return name
    if start.startswith(_GZIP):
        return "file compressed by gzip twice"
    if 348 in (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")):
        return "Analyze 7.5 header, which states no orientation"
    return "text file" if _is_text(start) else ""


def placeholder_of(start):
    """Return which program's placeholder begins with these bytes, such as "Git LFS"; empty if none."""
    if start.startswith(_GIT_LFS):
        return "Git LFS"
    return "git-annex" if _GIT_ANNEX in start and _is_text(start) else ""


def path_problem(path):
    """Return why a file or folder cannot be opened, without its name; empty if nothing speaks against it.

    Parameters
    ----------
    path : str or Path
        Any text; nothing is raised for one that no file system can hold.

    Returns
    -------
    str
        For example "does not exist" or "is a link to a file that is not there; fetch or copy that file".
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  Path.stat refuses some texts
    except FileNotFoundError:
        return _absence(path)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except ValueError as error:
        return f"is no path ({error})"
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "is neither a file nor a folder"


def is_markups(path):
    """Return whether a file holds markups of 3D Slicer, such as points, by its content.

    Parameters
    ----------
    path : str or Path
        Any path.

    Returns
    -------
    bool
        True if the file is a JSON object with a list ``markups``, and is no longer than a file of points can be.
    """
    return read_markups(path) is not None


def read_markups(path):
    """Return the list ``markups`` of a file of 3D Slicer; None if the file is none."""
    try:
        start = read_start(path).lstrip(b"\xef\xbb\xbf\r\n\t ")
        if not start.startswith(b"{") or Path(path).stat().st_size > _LONGEST_MARKUPS:
            return None
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, EOFError, ValueError, RecursionError):
        return None
    markups = content.get("markups") if isinstance(content, dict) else None
    return markups if isinstance(markups, list) else None


def file_problem(path):
    """Return why a path does not lead to a NIfTI or DICOM file, without its name; empty if it does.

    Parameters
    ----------
    path : str or Path
        Any text.

    Returns
    -------
    str
        For example "does not exist", "is a folder" or "is neither a NIfTI file nor a DICOM file (PDF file)".
    """
    problem = path_problem(path)
    if problem or Path(path).is_dir():
        return problem or "is a folder"
    try:
        start = read_start(path)
        if format_of_start(start) or header_of_pair(path) is not None:
            return ""
    except (OSError, EOFError) as error:
        return f"cannot be read ({error})"
    if placeholder := placeholder_of(start):
        return f"is a placeholder of {placeholder} for a file that was not fetched; fetch it"
    what = describe_start(start)
    return f"is neither a NIfTI file nor a DICOM file{f' ({what})' if what else ''}"


def folder_entries(folder):
    """Return the paths of everything in a folder, in the order of their names."""
    return sorted(str(entry) for entry in Path(folder).iterdir())


def classify_entries(paths: Iterable[str]) -> FolderContent:
    """Sort the entries of an image folder by what they are.

    A file is an image because of its content, whatever its name. Any other file is passed over unless it claims to be
    an image: by an image's suffix anywhere in its name, by the suffix of the folder's images together with a digit, or
    by a digit in a name without suffix if the content is unknown. A claim that is not met, a link to a file that is not
    there, a placeholder, and what cannot be read are problems.

    Parameters
    ----------
    paths : iterable of str
        The entries, as from :func:`folder_entries`.

    Returns
    -------
    FolderContent
        The entries by kind.
    """
    content = FolderContent([], [], [], [], [])
    others = []
    for path in paths:
        if problem := path_problem(path):
            content.problems.append((path, problem))
        elif os.path.isdir(path):  # noqa: PTH112
            content.folders.append(path)
            content.passed_over.append((path, FOLDER))
        else:
            _classify_file(path, content, others)
    suffixes = {_suffix(path) for path in content.dicom}
    for path, what in others:
        if _claims_to_be_image(path, what, suffixes):
            is_a = f"is not a DICOM file ({what})" if what else "is not a DICOM file"
            content.problems.append((path, f"{is_a}; remove it from the folder or export it again"))
        else:
            content.passed_over.append((path, what or "file of unknown content"))
    if content.dicom:
        content.passed_over.extend((path, "NIfTI file") for path in content.nifti)
    return content


def _classify_file(path, content, others):
    """Add a file to the content of its folder, or to the files that are neither DICOM nor NIfTI."""
    try:
        start = read_start(path)
        found = format_of_start(start) or (NIFTI if header_of_pair(path) is not None else "")
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        content.problems.append((path, f"cannot be read ({reason}); copy or export it again"))
        return
    if found:
        (content.dicom if found == DICOM else content.nifti).append(path)
    elif placeholder := placeholder_of(start) or ("iCloud" if path.endswith(".icloud") else ""):
        content.problems.append((path, f"is a placeholder of {placeholder} for a file that was not fetched; fetch it"))
    elif any(start.startswith(mark) for mark in _SYSTEM_FILES):
        content.passed_over.append((path, describe_start(start)))
    else:
        others.append((path, describe_start(start)))


def _claims_to_be_image(path, what, image_suffixes):
    """Return whether the name of a file that is neither DICOM nor NIfTI claims that it is an image."""
    name, suffix = Path(path).name, _suffix(path)
    has_digit = any(letter.isdigit() for letter in name)
    if _IMAGE_SUFFIXES & {f".{part}" for part in name.lower().split(".")[1:]}:
        return True
    is_named_like_images = suffix in image_suffixes or (suffix == "" and what in ("", "empty file"))
    return has_digit and is_named_like_images


def _suffix(path):
    """Return the suffix of a file name in lower case; empty for the last number of a name such as 1.2.840.5."""
    suffix = Path(path).suffix.lower()
    return "" if any(letter.isdigit() for letter in suffix) else suffix


def _is_text(start):
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    try:
        # The first bytes may end within a character, which this decoder allows.
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter in "\t\n\r\f" for letter in text)


def _absence(path):
    if os.path.islink(path):  # noqa: PTH114
        return "is a link to a file that is not there; fetch or copy that file"
    return "does not exist"


def _open(path):
    """Open a file for reading; refuse pipes and devices, from which reading could take forever."""
    if not stat.S_ISREG(mode := Path(path).stat().st_mode) and not stat.S_ISDIR(mode):
        raise OSError(f"{path} is not a regular file")
    return Path(path).open("rb")


def _partners(path, suffix, partner):
    """Return the files beside a file with `suffix` (or suffix.gz) whose names differ from it only in their suffix."""
    path = Path(path)
    stem = _stem(path.name, suffix)
    if stem is None:
        return []
    try:
        return sorted(str(entry) for entry in path.parent.iterdir() if _stem(entry.name, partner) == stem)
    except OSError:
        return []


def _stem(name, suffix):
    """Return a file name without `suffix` or suffix.gz, in any letter case; None if it has neither."""
    for ending in (suffix, f"{suffix}.gz"):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return None
