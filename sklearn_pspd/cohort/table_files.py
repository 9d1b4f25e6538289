"""Files of tables as rows of text: delimited text in any encoding, and workbooks."""

import codecs
import csv
import io
import re
import warnings
import zipfile
from dataclasses import dataclass
from datetime import datetime
from numbers import Real
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
# Rows in which the names of the columns are sought: titles and notes may stand above them.
HEADER_ROWS = 50
SHOWN_CELLS = 15
# Empty cells of an .ods file that one element repeats and that may lie between others.
MOST_EMPTY = 1000

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose mark is the beginning of this one.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OFFICE, _TABLE, _TEXT = (
    f"{{urn:oasis:names:tc:opendocument:xmlns:{part}:1.0}}" for part in ("office", "table", "text")
)
_ZIP = b"PK\x03\x04"
_FOREIGN = {
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls), or one that is protected by a password; save it as .xlsx",
    b"\x1f\x8b": "compressed by gzip; decompress it",
    b"%PDF": "a PDF document; export the table as .xlsx or CSV",
}
_MARKUP = re.compile(r"\s*<(\?xml|!doctype|html|table)", re.IGNORECASE)
SEPARATOR_LINE = re.compile(r'"?sep=(?P<sep>.)"?[,;\t|]*\n?', re.IGNORECASE)
# Invisible, and not counted as white space by str.strip.
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"


@dataclass(frozen=True)
class TableRows:
    """The rows of a table file, and how it was read.

    Attributes
    ----------
    rows : list of list of str
        The cells, as they stand in the file; blank rows are kept, so that row n of a spreadsheet is ``rows[n - 1]``.
    read_as : str
        For messages, for example "UTF-8 with commas" or "sheet 'Data'".
    sep, encoding : str or None
        Separator and encoding of a text; None for a workbook.
    """

    rows: list
    read_as: str
    sep: str | None = None
    encoding: str | None = None


@dataclass(frozen=True)
class Table:
    """A table below its header.

    Attributes
    ----------
    cells : DataFrame
        The cells as text, NaN for empty cells.
    row_numbers : list of int
        Row of the file of each row of `cells`, counted from 1 as in a spreadsheet.
    problems : list of str
        Columns that occur more than once, and rows with more cells than the header.
    """

    cells: pd.DataFrame
    row_numbers: list
    problems: list


def read_rows(path, *, columns=(), sep=None, encoding=None, sheet=None):
    """Read the rows of a table file.

    The content decides what the file is, never its name.

    Parameters
    ----------
    path : str or Path
        Delimited text, or a workbook (.xlsx, .xlsm, .ods).
    columns : sequence of str, default=()
        Column names of tables of this kind, the most important one first. They decide the separator and the sheet
        where none is given: those with which the header has the most of them.
    sep : str, default=None
        Separator of the cells of a text, one character. None takes the one of a first line such as ``sep=;``, or
        commas, semicolons, tabs or vertical bars, whichever separates the header.
    encoding : str, default=None
        Encoding of a text. None takes UTF-8, or what the byte order mark at the beginning of the file says.
    sheet : str, default=None
        Sheet of a workbook. None takes the only one with these columns.

    Returns
    -------
    TableRows
        All rows, and how they were read.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If the file is not a table of these kinds, or an argument does not fit it.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the table in it")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    content = path.read_bytes()
    if content.startswith(_ZIP):
        if sep is not None or encoding is not None:
            raise InputError(
                f"{path} is a workbook, which has neither separator nor encoding; leave out sep and encoding"
            )
        return _rows_of_workbook(path, content, columns, sheet)
    for beginning, what in _FOREIGN.items():
        if content.startswith(beginning):
            raise InputError(f"{path} is {what}")
    if sheet is not None:
        raise InputError(f"{path} is a text, which has no sheets; leave out sheet")
    text, name = _decode(path, content, encoding)
    return _rows_of_text(path, text, name, columns, sep)


def byte_order_mark(content):
    """Return the byte order mark at the beginning of a text and the encoding it states; (b"", None) without one."""
    return next(((mark, name) for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), (b"", None))


def find_header(rows, columns):
    """Return the position of the row that has the names of the columns, or None.

    Parameters
    ----------
    rows : list of list of str
        Rows of a table file.
    columns : sequence of str
        Column names of tables of this kind, the most important one first.

    Returns
    -------
    int or None
        The first row with the most important name, otherwise the first one with the most names; None if no row of
        the first 50 has any.
    """
    scores = [_header_score(row, columns) for row in rows[:HEADER_ROWS]]
    best = max(scores, default=(False, 0))
    return scores.index(best) if best[1] else None


def split_header(rows, header):
    """Return the rows below the header as a table.

    Parameters
    ----------
    rows : list of list of str
        Rows of a table file.
    header : int
        Position of the row with the names of the columns.

    Returns
    -------
    Table
        Names without white space around them; blank rows are left out, short ones end in empty cells.
    """
    names = [clean_name(cell) for cell in rows[header]]
    below = [(number, row) for number, row in enumerate(rows, start=1) if number > header + 1 and not is_blank(row)]
    # Columns without a name and without a value are none.
    n_columns = max((at for at, name in enumerate(names, start=1) if name), default=0)
    problems = []
    cells = []
    for number, row in below:
        surplus = [cell for cell in row[n_columns:] if cell.strip()]
        if surplus:
            problems.append(
                f"row {number}: has {len(row)} cells, the header {n_columns}; the surplus is {_listing(surplus)}"
            )
        cells.append([cell if cell else np.nan for cell in row[:n_columns]] + [np.nan] * (n_columns - len(row)))
    names = names[:n_columns]
    for name in dict.fromkeys(name for name in names if name and names.count(name) > 1):
        places = [str(at) for at, other in enumerate(names, start=1) if other == name]
        problems.append(f"column {name!r}: occurs {len(places)} times, in columns {', '.join(places)} of the file")
    # Named as pandas names them.
    names = [name or f"Unnamed: {at}" for at, name in enumerate(names)]
    frame = pd.DataFrame(cells, columns=pd.Index(names, dtype=object)) if cells else pd.DataFrame(columns=names)
    return Table(frame, [number for number, _ in below], problems)


def clean_name(text):
    """Return a column name without white space and invisible characters around it."""
    return text.strip().strip(_INVISIBLE).strip()


def is_blank(row):
    """Return whether all cells of a row are empty or white space."""
    return not any(cell.strip() for cell in row)


def _header_score(row, columns):
    names = {clean_name(cell) for cell in row}
    return (bool(columns) and columns[0] in names, len(names.intersection(columns)))


def _decode(path, content, encoding):
    """Return the text of a file, and the name of its encoding."""
    stated = byte_order_mark(content)[1]
    name = encoding or stated or "utf-8"
    if encoding is None and stated is None and b"\0" in content:
        raise InputError(f"{path} is neither a text nor a workbook; save the table as .xlsx or as CSV in UTF-8")
    shown = name.upper().removesuffix("-SIG")
    try:
        text = content.decode(name)
    except LookupError as error:
        raise InputError(f"encoding={encoding!r} is no encoding of texts ({error}); for example 'cp949'") from error
    except UnicodeError as error:
        place = ""
        if isinstance(error, UnicodeDecodeError):
            line = content[: error.start].count(b"\n") + 1
            place = f": byte 0x{content[error.start]:02x} in line {line}"
        raise InputError(
            f"{path} is not encoded in {shown}{place}; name its encoding, for example encoding='cp949' for Korean or "
            "encoding='cp1252' for western Windows, or save it as CSV in UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(f"{path}, read as {shown}, holds the character NUL: it is damaged or has another encoding")
    if _MARKUP.match(text):
        raise InputError(f"{path} is HTML or XML, which some programs export as .xls; save it as .xlsx or CSV")
    return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n"), name


def _rows_of_text(path, text, encoding, columns, sep):
    if sep is not None and (not isinstance(sep, str) or len(sep) != 1 or sep in '"\n\r'):
        raise InputError(f"sep must be one character, for example ';' or '\\t'; got {sep!r}")
    shown = encoding.upper().removesuffix("-SIG")
    if stated := SEPARATOR_LINE.match(text):
        # Spreadsheets read this line and do not show it.
        text = text[stated.end() :]
        sep = sep or stated["sep"]
    candidates = [sep] if sep else list(SEPARATORS) if columns else [","]
    readings, errors = {}, {}
    for candidate in candidates:
        try:
            readings[candidate] = list(csv.reader(io.StringIO(text), delimiter=candidate, strict=True))
        except csv.Error as error:
            errors[candidate] = error
    if not readings:
        separator, error = next(iter(errors.items()))
        named = SEPARATORS.get(separator, repr(separator))
        raise InputError(f"{path}, read as {shown} with {named}, is not a table ({error})")
    # The separator with which the header has the most of the columns, then the one that gives the most cells.
    best = max(readings, key=lambda candidate: _reading_score(readings[candidate], columns))
    read_as = f"{shown} with {SEPARATORS.get(best, repr(best))}"
    return TableRows(readings[best], read_as, best, encoding)


def _reading_score(rows, columns):
    scores = [_header_score(row, columns) for row in rows[:HEADER_ROWS]]
    return max(scores, default=(False, 0)), max(map(len, rows[:HEADER_ROWS]), default=0)


def _rows_of_workbook(path, content, columns, sheet):
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = set(archive.namelist())
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: damaged workbook or zip archive ({error}); copy it again") from error
    if "xl/workbook.xml" in members:
        sheets = _open(path, content, _excel_sheets)
    elif {"mimetype", "content.xml"} <= members:
        sheets = _open(path, content, _opendocument_sheets)
    elif "xl/workbook.bin" in members:
        raise InputError(f"{path} is a binary workbook (.xlsb); save it as .xlsx")
    else:
        raise InputError(f"{path} is a zip archive and no workbook; unpack it, or save the table as .xlsx")
    name = _choose_sheet(path, sheets, columns, sheet)
    return TableRows(sheets[name], f"sheet {name!r}")


def _open(path, content, reader):
    """Return the rows of each sheet of a workbook by its name."""
    try:
        with warnings.catch_warnings():
            # About formatting and validation rules that the packages do not read.
            warnings.simplefilter("ignore")
            return reader(content)
    except ImportError as error:
        raise InputError(
            f"{path}: reading a workbook requires openpyxl; install it or save the sheet as CSV"
        ) from error
    # Whatever a damaged or encrypted file makes these packages raise.
    except Exception as error:
        raise InputError(f"{path}: damaged workbook, or one that cannot be read ({error})") from error


def _choose_sheet(path, sheets, columns, sheet):
    if sheet is not None:
        if sheet not in sheets:
            raise InputError(f"{path}: no sheet {sheet!r}; it has {', '.join(map(repr, sheets))}")
        return sheet
    scores = {
        name: max((_header_score(row, columns) for row in rows[:HEADER_ROWS]), default=(False, 0))
        for name, rows in sheets.items()
    }
    suitable = [name for name, (has_first, _) in scores.items() if has_first]
    if len(suitable) > 1:
        raise InputError(
            f"{path}: the sheets {', '.join(map(repr, suitable))} have a column {columns[0]}; name one of them, "
            f"for example sheet={suitable[0]!r}"
        )
    if suitable:
        return suitable[0]
    if not sheets:
        raise InputError(f"{path}: the workbook has no sheets with cells")
    return max(scores, key=lambda name: scores[name][1])


def _excel_sheets(content):
    import openpyxl

    values = openpyxl.load_workbook(io.BytesIO(content), data_only=True)
    formulas = openpyxl.load_workbook(io.BytesIO(content))
    return {
        sheet.title: _without_blank_end(
            [
                [_excel_text(cell, formula) for cell, formula in zip(row, formula_row, strict=True)]
                for row, formula_row in zip(sheet.iter_rows(), formulas[sheet.title].iter_rows(), strict=True)
            ]
        )
        for sheet in values.worksheets
    }


def _excel_text(cell, formula):
    """Return a cell as a spreadsheet shows it; where that is a value in another form, as a text that is no number."""
    if cell.value is None and formula.data_type == "f":
        # Written by a program that did not calculate it: not an empty cell.
        return str(formula.value)
    if isinstance(cell.value, Real) and not isinstance(cell.value, bool):
        if "%" in cell.number_format:
            return f"{100 * cell.value:g}%"
        if re.fullmatch("0+", cell.number_format) and cell.value == int(cell.value):
            # Zeros in front, as in many patient ids, are part of the format and not of the value.
            return str(int(cell.value)).zfill(len(cell.number_format))
    return _value_text(cell.value)


def _opendocument_sheets(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        tree = ET.fromstring(archive.read("content.xml"))
    return {
        table.get(f"{_TABLE}name"): _without_blank_end(_opendocument_rows(table))
        for table in tree.iter(f"{_TABLE}table")
    }


def _opendocument_rows(table):
    rows = []
    for row in table.iter(f"{_TABLE}table-row"):
        cells = []
        for cell in row:
            # Equal neighbours are stored once, and so are the empty cells up to the edge of the sheet.
            repeats = int(cell.get(f"{_TABLE}number-columns-repeated", 1))
            text = _opendocument_text(cell)
            cells += [text] * (repeats if text else min(repeats, MOST_EMPTY))
        repeats = int(row.get(f"{_TABLE}number-rows-repeated", 1))
        rows += [cells] * (min(repeats, MOST_EMPTY) if is_blank(cells) else repeats)
    return rows


def _opendocument_text(cell):
    shown = "\n".join("".join(paragraph.itertext()) for paragraph in cell.findall(f"{_TEXT}p"))
    kind = cell.get(f"{_OFFICE}value-type")
    if kind == "float":
        # Zeros in front, as in many patient ids, are part of the format and not of the value.
        return shown if re.fullmatch(r"0\d+", shown) else _value_text(float(cell.get(f"{_OFFICE}value")))
    return cell.get(f"{_OFFICE}date-value") if kind == "date" else shown


def _value_text(value):
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == datetime.min.time() else value.isoformat(" ")
    return str(value)


def _without_blank_end(rows):
    """Return the rows up to the last one with a cell: the used range of a sheet often goes on below it."""
    n_rows = max((number for number, row in enumerate(rows, start=1) if not is_blank(row)), default=0)
    return rows[:n_rows]


def _listing(cells):
    more = f" and {len(cells) - SHOWN_CELLS} more" if len(cells) > SHOWN_CELLS else ""
    return ", ".join(map(repr, cells[:SHOWN_CELLS])) + more
