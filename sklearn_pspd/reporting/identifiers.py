"""A check of the files of a study for what identifies patients, or the machine that wrote them."""

import os
import re
import zipfile
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sklearn_pspd.cohort.image_files import classify_entries, folder_entries
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading.dicom import read_header

TEXTS = (".txt", ".csv", ".md", ".tex", ".html", ".svg", ".json", ".jsonl", ".log", ".yaml", ".yml")
# Archives of texts: workbooks, documents, saved models.
ARCHIVES = (".xlsx", ".docx", ".skops", ".zip")
PARTS = (*TEXTS, ".xml")
TAGS = ["PatientName", "PatientBirthDate", "PatientID"]
# Names that stand for none.
PLACEHOLDERS = {
    "anon", "anonym", "anonymous", "anonymized", "anonymised", "removed", "unknown", "none", "patient", "pat",
    "subject", "sub", "case",
}  # fmt: skip
# Shorter names are found with the other part of the name only, shorter ids not at all.
SHORTEST_NAME, SHORTEST_ID = 3, 4
# How often the files are listed again, where another process replaces them while they are read.
ATTEMPTS = 10
# A path has at least two parts below its root. What follows a letter, a digit or "<" is a unit, a ratio or an element.
# Of each pattern, texts without which it cannot match: they are found much faster, and most saved models have none.
PATHS = (
    (("/",), re.compile(r"(?<![\w<:/.\-+)])/(?:[^\s/\"'<>|,;:()]+/)+[^\s/\"'<>|,;:()]*")),
    ((":\\", ":/"), re.compile(r"(?<!\w)[A-Za-z]:(?:\\\\?|/)(?![/\\\s])[^\s\"'<>|]+")),
    (("\\\\",), re.compile(r"(?<!\\)\\\\\w[\w.$-]*\\{1,2}[^\s\"'<>|]+")),
    (("file://",), re.compile(r"\bfile://[^\s\"'<>|]+")),
)
EMBEDDED = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=]+")
ELEMENT = re.compile(r"<[^>]*>")
NAME, NAME_PART, BIRTH_DATE = "patient name", "part of a patient name", "birth date"
HEADER_ID, PATH = "patient id of an image header", "absolute path"


class _Identifier(NamedTuple):
    """What must not be found, and whom it identifies."""

    finding: str
    patient: str
    shown: str
    pattern: re.Pattern


def find_identifiers(folder, cohort=None):
    """Look for patient names, birth dates and absolute paths in the files of a study, before they are shared.

    Parameters
    ----------
    folder : path-like
        The folder of the results. Texts, tables, pages, workbooks, documents and saved models below it are read; other
        files, such as pictures, are not.
    cohort : DataFrame, default=None
        The cohort table. Name, birth date and patient id are then read from the header of the first DICOM file of each
        image and mask, in any of its columns. None looks for absolute paths only.

    Returns
    -------
    DataFrame
        One row per finding: ``file`` (below `folder`; the part of an archive behind an exclamation mark), ``line``,
        ``finding`` ("patient name", "part of a patient name", "birth date", "patient id of an image header" or
        "absolute path"), ``patient_id`` of the table, and ``detail``: the path, or the first letter of what was found.

    Raises
    ------
    InputError
        If there is no such folder.

    Notes
    -----
    The ``patient_id`` of the table is in the results by design; nothing is found where it alone stands. A family name
    that is an ordinary word can be found where it is none, a misspelt name is not found: read the findings, and look at
    pictures yourself.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd.reporting import find_identifiers
    >>> with TemporaryDirectory() as folder:
    ...     written = Path(folder, "study.json").write_text('{"table": "/home/jane/cohort.csv", "folds": 5}')
    ...     found = find_identifiers(folder)
    >>> found[["file", "line", "finding", "detail"]].to_numpy().tolist()
    [['study.json', 1, 'absolute path', '/home/jane/cohort.csv']]
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the folder of a study's results")
    known = [] if cohort is None else _identifiers(cohort)
    own_ids = [] if cohort is None else sorted(map(str, cohort["patient_id"]), key=len, reverse=True)
    for attempt in range(ATTEMPTS):
        try:
            rows = _findings(folder, known, own_ids)
            break
        except FileNotFoundError:
            # Another process replaced files of the folder meanwhile: their successors have to be read.
            if attempt == ATTEMPTS - 1:
                raise
    return pd.DataFrame(rows, columns=["file", "line", "finding", "patient_id", "detail"])


def _findings(folder, known, own_ids):
    rows = []
    for name, text in _texts(folder):
        text = EMBEDDED.sub("", text) if ";base64," in text else text
        rows += [(name, *found) for found in _paths(text)]
        rows += [(name, *found) for found in _of_patients(text, known, own_ids)]
    return rows


def _texts(folder):
    """Yield the name and the content of each text below a folder, in the order of the names."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() in TEXTS:
            yield name, path.read_text(encoding="utf-8", errors="replace")
        elif path.suffix.lower() in ARCHIVES:
            # Opened first: a file that is gone meanwhile would count as one that is no archive.
            with path.open("rb") as file:
                if zipfile.is_zipfile(file):
                    yield from _parts(name, zipfile.ZipFile(file))


def _parts(name, archive):
    """Yield the name and the content of each text of an archive."""
    for part in archive.namelist():
        if part.lower().endswith(PARTS) or "." not in part:
            text = archive.read(part).decode("utf-8", errors="replace")
            # Elements of Office documents name other parts of the document by absolute paths.
            yield f"{name}!{part}", ELEMENT.sub(" ", text) if part.lower().endswith(".xml") else text


def _paths(text):
    found = []
    for place, (needed, pattern) in enumerate(PATHS):
        if any(part in text for part in needed):
            found += [(number, place, match) for number, match in _matches(pattern, text)]
    for number, _, match in sorted(found, key=lambda item: item[:2]):
        yield number, PATH, "", match.group()


def _matches(pattern, text):
    """Yield the line of each match, counted from 1, and the match; a saved model may have a million lines."""
    number, counted = 1, 0
    for match in pattern.finditer(text):
        number += text.count("\n", counted, match.start())
        counted = match.start()
        yield number, match


def _of_patients(text, known, own_ids):
    """Yield what identifies patients; names first, and no part of a name where all of it was found."""
    # Names are looked for in ids too: an id that is a name is a finding.
    names = [identifier for identifier in known if identifier.finding in (NAME, NAME_PART)]
    numbers = [identifier for identifier in known if identifier.finding not in (NAME, NAME_PART)]
    without_ids = text
    for own in own_ids:
        without_ids = without_ids.replace(own, " " * len(own))
    for content, identifiers in ((text, names), (without_ids, numbers)):
        for identifier in identifiers:
            # One finding per line.
            for number in dict.fromkeys(number for number, _ in _matches(identifier.pattern, content)):
                yield number, identifier.finding, identifier.patient, identifier.shown


def _identifiers(cohort):
    """Return what the headers of the images and masks of a cohort hold: of every file and folder in any column."""
    found = {}
    for column in cohort.columns.drop("patient_id"):
        for patient, cell in zip(cohort["patient_id"].astype(str), cohort[column], strict=True):
            if isinstance(cell, str | os.PathLike) and (header := _first_header(os.fspath(cell))) is not None:
                for identifier in _of_header(patient, header):
                    found.setdefault((identifier.finding, identifier.pattern.pattern), identifier)
    return list(found.values())


def _first_header(image):
    """Return the identifying part of the header of an image's first DICOM file; None if it has none."""
    paths = folder_entries(image) if os.path.isdir(image) else [image] if os.path.isfile(image) else []  # noqa: PTH112, PTH113
    dicom = classify_entries(paths).dicom
    return read_header(sorted(dicom)[0], specific_tags=TAGS) if dicom else None


def _of_header(patient, header):
    name = str(header.get("PatientName") or "")
    yield from _of_name(patient, name)
    date = str(header.get("PatientBirthDate") or "")
    if re.fullmatch(r"\d{8}", date):
        yield _Identifier(BIRTH_DATE, patient, f"{date[0]}...", _date_pattern(date))
    number = str(header.get("PatientID") or "").strip()
    is_known = number == patient or number.lower() in PLACEHOLDERS
    if len(number) >= SHORTEST_ID and not is_known and number != name:
        yield _Identifier(HEADER_ID, patient, f"{number[0]}...", _word_pattern(re.escape(number)))


def _of_name(patient, name):
    """Yield the whole name in either order, and the family name by itself."""
    # Without the separator of a person's names, a name with a digit is a pseudonym, which may be the patient's id.
    if "^" not in name and any(character.isdigit() for character in name):
        return
    parts = [part for part in re.split(r"[\^=,\s_]+", name) if len(part) > 1 and not re.search(r"\d", part)]
    parts = [part for part in parts if part.lower() not in PLACEHOLDERS]
    if not parts:
        return
    shown = f"{parts[0][0]}..."
    if len(parts) > 1:
        between = r"[\s,;^_.\-]+"
        orders = (parts[:2], parts[1::-1])
        pattern = "|".join(between.join(map(re.escape, order)) for order in orders)
        yield _Identifier(NAME, patient, shown, re.compile(rf"(?<![^\W_])(?:{pattern})(?![^\W_])", re.IGNORECASE))
    if len(parts[0]) < SHORTEST_NAME:
        return
    # By itself a name is only told from a word by its capitals.
    spellings = {parts[0].upper(), parts[0].title()}
    alone = "|".join(re.escape(spelling) for spelling in sorted(spellings))
    yield _Identifier(NAME_PART if len(parts) > 1 else NAME, patient, shown, _word_pattern(alone))


def _date_pattern(date):
    year, month, day = date[:4], date[4:6], date[6:]
    written = [date, f"{year}-{month}-{day}", f"{year}/{month}/{day}"]
    for mark in "./-":
        written += [mark.join((day, month, year)), mark.join((month, day, year))]
    alternatives = "|".join(map(re.escape, written))
    return re.compile(rf"(?<!\d)(?:{alternatives})(?!\d)")


def _word_pattern(pattern):
    return re.compile(rf"(?<![^\W_])(?:{pattern})(?![^\W_])")
