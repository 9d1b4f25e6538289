"""Spreadsheets of hospitals: headers named by the user, dates, numbers and words in cells."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd

from sklearn_pspd.cohort.columns import CLINICAL_CODES, CLINICAL_RANGES, OUTCOME_CODES, POINT_COLUMNS, allowed_codes
from sklearn_pspd.cohort.problems import check_frame, is_missing, raise_problems, to_number
from sklearn_pspd.cohort.table_files import find_header, read_rows, split_header
from sklearn_pspd.exceptions import InputError

DATE_COLUMNS = ("radiotherapy_end", "lesion_date")
NUMBER_COLUMNS = (*CLINICAL_RANGES, "lesion_slice", "lesion_instance", *POINT_COLUMNS)
CODED_COLUMNS = (*CLINICAL_CODES, "outcome")
DATE_ORDERS = ("ymd", "dmy", "mdy")
DECIMAL_MARKS = (".", ",")
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[ T][\d:.]+)?", re.ASCII)
_DATE = re.compile(r"(\d{1,4})\s*[./ -]\s*(\d{1,2})\s*[./ -]\s*(\d{1,4})\.?", re.ASCII)
# A mark with three digits behind it may set off thousands; nothing does so before or after a zero alone.
_MAYBE_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
# Words that mean one thing only, in lower case. Positive, negative, 0 and 1 are not among them.
KNOWN_WORDS = {
    "sex": {
        "w": "female", "f": "female", "female": "female", "weiblich": "female", "frau": "female", "woman": "female",
        "femme": "female", "féminin": "female", "femminile": "female", "femenino": "female", "mujer": "female",
        "여": "female", "여자": "female", "여성": "female", "女": "female", "♀": "female",
        "male": "male", "männlich": "male", "mann": "male", "man": "male", "homme": "male", "masculin": "male",
        "maschile": "male", "masculino": "male", "hombre": "male", "h": "male", "남": "male", "남자": "male",
        "남성": "male", "男": "male", "♂": "male",
    },
    "mgmt": {
        "methyliert": "methylated", "meth": "methylated", "methylated": "methylated", "méthylé": "methylated",
        "metilado": "methylated", "metilato": "methylated", "메틸화": "methylated",
        "unmethyliert": "unmethylated", "nicht methyliert": "unmethylated", "unmeth": "unmethylated",
        "unmethylated": "unmethylated", "non-methylated": "unmethylated", "non méthylé": "unmethylated",
        "no metilado": "unmethylated", "non metilato": "unmethylated", "비메틸화": "unmethylated",
    },
    "idh": {
        "wildtyp": "wildtype", "wild type": "wildtype", "wild-type": "wildtype", "wt": "wildtype",
        "wildtype": "wildtype", "sauvage": "wildtype", "야생형": "wildtype",
        "mutiert": "mutated", "mutated": "mutated", "mutant": "mutated", "mut": "mutated", "muté": "mutated",
        "mutado": "mutated", "mutato": "mutated", "돌연변이": "mutated",
    },
    "outcome": {
        "pd": "PD", "progress": "PD", "progression": "PD", "true progression": "PD", "progrediert": "PD", "진행": "PD",
        "progresión": "PD", "progressione": "PD",
        "pspd": "PsPD", "pseudoprogress": "PsPD", "pseudoprogression": "PsPD", "pseudo progression": "PsPD",
        "pseudo-progression": "PsPD", "pseudoprogresión": "PsPD", "pseudoprogressione": "PsPD", "가성진행": "PsPD",
        "위진행": "PsPD",
    },
}  # fmt: skip
UNKNOWN_WORDS = ("n.b.", "nb", "n. b.", "unbekannt", "unknown", "n/a", "na", "nd", "n.d.", "nicht bestimmt", "inconnu",
                 "desconocido", "sconosciuto", "미상", "모름", "?", "-")  # fmt: skip


def read_records(records, columns, *, sep=None, encoding=None, sheet=None):
    """Return the mapped columns of a spreadsheet under the library's names, as text, and its row numbers.

    Parameters
    ----------
    records : DataFrame or path-like
        A table, or a file that :func:`~sklearn_pspd.cohort.read_cohort` could read.
    columns : mapping of str to str
        Header in the spreadsheet by name of a column of the library.
    sep, encoding, sheet : str, default=None
        As of :func:`~sklearn_pspd.cohort.read_cohort`.

    Returns
    -------
    table : DataFrame
        One row per row of the spreadsheet; empty cells are None, and numbers of columns of numbers stay numbers.
    row_numbers : list of int
        Row of the file, or of the table counted from 1.
    """
    _check_columns(columns)
    if isinstance(records, pd.DataFrame):
        source = "records"
        check_frame(records, source)
        table = records.reset_index(drop=True)
        row_numbers = list(range(1, len(table) + 1))
    else:
        path = Path(records)
        # The patient's column comes first: it decides which row is the header.
        headers = tuple(columns[name] for name in sorted(columns, key=lambda name: name != "patient_id"))
        found = read_rows(path, columns=headers, sep=sep, encoding=encoding, sheet=sheet)
        source = f"{path}, read as {found.read_as},"
        header = find_header(found.rows, headers)
        if header is None:
            raise InputError(f"{source} has no row with one of the headers {', '.join(map(repr, headers))}")
        parsed = split_header(found.rows, header)
        raise_problems(f"{source} has", parsed.problems)
        table, row_numbers = parsed.cells, parsed.row_numbers
    present = [str(name) for name in table.columns]
    raise_problems(
        f"{source} has",
        [
            f"column {header!r} (for {name}): missing; the table has {', '.join(map(repr, present))}"
            for name, header in columns.items()
            if header not in table.columns
        ],
    )
    # Lists, as pandas would turn None into NaN.
    cells = {
        name: [_cell(value, is_number=name in NUMBER_COLUMNS) for value in table[header]]
        for name, header in columns.items()
    }
    return pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in cells.items()}), row_numbers


def _check_columns(columns):
    if not isinstance(columns, Mapping) or "patient_id" not in columns:
        raise InputError(
            "columns must map names of this library to headers of the spreadsheet, patient_id among them, for example "
            "{'patient_id': 'Pat.-Nr.', 'sex': 'Geschlecht'}"
        )


def _cell(value, *, is_number):
    """Return a cell as text, a date as date, a number of a column of numbers as number, and an empty cell as None."""
    if is_missing(value):
        return None
    if is_number and isinstance(value, Real) and not isinstance(value, bool | np.bool_):
        return float(value)
    if isinstance(value, datetime | date | np.datetime64):
        return pd.Timestamp(value).normalize()
    if isinstance(value, float | np.floating) and value == int(value):
        return str(int(value))
    return " ".join(str(value).split())


def parse_date(value, order):
    """Return the day that a cell means, or None.

    Parameters
    ----------
    value : str or Timestamp
        A cell. A year of four digits that comes first is understood in any order; years of two digits are not.
    order : {"ymd", "dmy", "mdy"}
        Order of day, month and year.
    """
    if isinstance(value, pd.Timestamp):
        return value
    if found := _ISO.fullmatch(value):
        parts = dict(zip("ymd", found.groups(), strict=True))
    elif found := _DATE.fullmatch(value):
        first = found[1]
        parts = dict(zip("ymd" if len(first) == 4 else order, found.groups(), strict=True))
    else:
        return None
    if len(parts["y"]) != 4:
        return None
    try:
        return pd.Timestamp(year=int(parts["y"]), month=int(parts["m"]), day=int(parts["d"]))
    except ValueError:
        return None


def parse_number(text, decimal):
    """Return the number of a cell, as a text with this decimal mark or as a number; NaN if it holds none."""
    if isinstance(text, float):
        return to_number(text)
    if isinstance(text, pd.Timestamp) or (decimal == "," and "." in text):
        return np.nan
    return to_number(text.replace(",", ".") if decimal == "," else text)


def is_ambiguous(cell):
    """Return whether the mark of a cell may be a decimal one or set off thousands."""
    return bool(_MAYBE_THOUSANDS.fullmatch(cell))


def propose_decimal(table, marks):
    """Return the decimal marks that columns of numbers may have, if some cannot be read with those that are given.

    Parameters
    ----------
    table : DataFrame
        Cells, as of :func:`read_records`.
    marks : mapping of str to {".", ","}
        The decimal mark by column.

    Returns
    -------
    dict of str to {".", ","}
        The mark that reads all cells of a column, by column. A column without marks is not among them, nor is one that
        neither mark reads, or that could be read with another mark only as thousands are written.
    """
    found, is_new = {}, False
    for column in table.columns.intersection(NUMBER_COLUMNS, sort=False):
        cells = [cell for cell in table[column] if isinstance(cell, str)]
        marked = [cell for cell in cells if {".", ","} & set(cell)]
        reading = [mark for mark in DECIMAL_MARKS if all(not np.isnan(parse_number(cell, mark)) for cell in cells)]
        if marked and marks[column] in reading:
            found[column] = marks[column]
        elif marked and reading and not all(map(is_ambiguous, marked)):
            found[column], is_new = reading[0], True
    return found if is_new else {}


def check_decimal(decimal):
    """Refuse decimal marks that there are not, and columns that hold no numbers."""
    if not isinstance(decimal, Mapping):
        if decimal not in DECIMAL_MARKS:
            raise InputError(f"decimal must be '.' or ',', or a mapping of columns to them; got {decimal!r}")
        return
    problems = [
        f"{column!r} is no column of numbers; these are {', '.join(NUMBER_COLUMNS)}"
        for column in decimal
        if column not in NUMBER_COLUMNS
    ]
    problems += [
        f"{column}: {mark!r}; it must be '.' or ','" for column, mark in decimal.items() if mark not in DECIMAL_MARKS
    ]
    raise_problems("decimal has", problems)


def propose_codes(words, column):
    """Return the codes that words of a column may mean; words that could mean several things are left out.

    Parameters
    ----------
    words : iterable of str
        What the cells hold.
    column : str
        Column with codes.
    """
    words = {word.casefold(): word for word in words}
    known = dict(KNOWN_WORDS.get(column, {}))
    if column == "sex" and "m" in words:
        # "m" is "mujer" beside "h" (hombre), and "male" beside "f" or "w".
        if "h" in words and not {"f", "w"} & set(words):
            known["m"] = "female"
        elif {"f", "w"} & set(words) and "h" not in words:
            known["m"] = "male"
    if "unknown" in allowed_codes(column):
        known |= dict.fromkeys(UNKNOWN_WORDS, "unknown")
    return {word: known[folded] for folded, word in words.items() if folded in known}


def check_codes(codes):
    """Refuse maps of words to codes that the library does not have."""
    problems = []
    for column, words in codes.items():
        if column not in CODED_COLUMNS:
            problems.append(f"{column!r} has no codes; columns with codes are {', '.join(CODED_COLUMNS)}")
            continue
        allowed = tuple(OUTCOME_CODES) if column == "outcome" else allowed_codes(column)
        problems += [
            f"{column}: {word!r} -> {code!r}; it takes {', '.join(map(repr, allowed))}"
            for word, code in words.items()
            if code not in allowed
        ]
    raise_problems("codes has", problems)
