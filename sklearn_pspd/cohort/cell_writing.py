"""Single cells of a delimited text, written without any other change of the file."""

import re
from pathlib import Path

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import write_bytes

from .table_files import SEPARATOR_LINE, byte_order_mark, find_header, read_rows, split_header

# Codecs that write no byte order mark, by those that do: the mark of the file is kept as it is.
_WITHOUT_MARK = {
    (b"\xef\xbb\xbf", "utf-8-sig"): "utf-8",
    (b"\xff\xfe", "utf-16"): "utf-16-le",
    (b"\xfe\xff", "utf-16"): "utf-16-be",
    (b"\xff\xfe\0\0", "utf-32"): "utf-32-le",
    (b"\0\0\xfe\xff", "utf-32"): "utf-32-be",
}
_LINE_END = re.compile("\r\n|\n|\r")


class EditableTable:
    r"""A table in a delimited text whose cells can be set; encoding, separator, quotes and line ends stay as they are.

    Parameters
    ----------
    path : str or Path
        Delimited text with a header.
    columns : sequence of str
        Column names of tables of this kind, the most important one first.
    sep, encoding : str, default=None
        As in :func:`~sklearn_pspd.cohort.read_cohort`.

    Attributes
    ----------
    cells : DataFrame
        The cells below the header as text, NaN for empty ones, as they were when the file was read.
    row_numbers : list of int
        Row of the file of each row of `cells`, counted from 1.
    problems : list of str
        Columns that occur more than once, and rows with more cells than the header.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If the file is a workbook or no table, has no header, or cannot be written back with the bytes that it has.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd.cohort.cell_writing import EditableTable
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "cohort.csv")
    ...     _ = path.write_bytes(b'patient_id;"site";image\r\nP01;"A";a.nii\r\n')
    ...     table = EditableTable(path, columns=("patient_id",))
    ...     table.set(2, "lesion_slice", "12")
    ...     table.save()
    ...     path.read_bytes()
    b'patient_id;"site";image;lesion_slice\r\nP01;"A";a.nii;12\r\n'
    """

    def __init__(self, path, *, columns, sep=None, encoding=None):
        self.path = Path(path)
        found = read_rows(self.path, columns=columns, sep=sep, encoding=encoding)
        if found.sep is None:
            raise InputError(f"{self.path} is a workbook, whose cells are not written; save its sheet as CSV first")
        header = find_header(found.rows, columns)
        if header is None:
            raise InputError(f"{self.path} has no row with the names of the columns ({', '.join(columns)}, ...)")
        table = split_header(found.rows, header)
        self.cells, self.row_numbers, self.problems = table.cells, table.row_numbers, table.problems
        self._header, self._sep = header, found.sep
        self._places = {name: at for at, name in enumerate(self.cells.columns)}
        self._read_raw(found)

    def set(self, row_number, column, text):
        """Set one cell; a column that the table lacks is added at its right.

        Parameters
        ----------
        row_number : int
            Row of the file, one of ``row_numbers``.
        column : str
            Name of the column.
        text : str
            The new cell.
        """
        if column not in self._places:
            self._add_column(column)
        self._put(self._rows[row_number - 1], self._places[column], text)

    def save(self):
        """Replace the file, in one step, by one with the cells that were set."""
        text = self._start + "".join(self._sep.join(fields) + end for fields, end in self._rows)
        write_bytes(self.path, self._mark + text.encode(self._codec))

    def _read_raw(self, found):
        """Keep each field with its quotes, and each line with its end, so that what is not set can be written back."""
        content = self.path.read_bytes()
        self._mark = byte_order_mark(content)[0]
        self._codec = _WITHOUT_MARK.get((self._mark, found.encoding), found.encoding)
        if self._codec == found.encoding:
            self._mark = b""
        text = content[len(self._mark) :].decode(self._codec)
        self._start = ""
        if SEPARATOR_LINE.match(text):
            first = _LINE_END.search(text)
            self._start = text[: first.end()] if first else text
        self._rows = _raw_rows(text[len(self._start) :], self._sep)
        written = self._mark + text.encode(self._codec)
        if written != content or [_values(fields) for fields, _ in self._rows] != found.rows:
            raise InputError(
                f"{self.path} cannot be changed without changing other bytes of it; save it as CSV in UTF-8 first"
            )

    def _add_column(self, column):
        # Cells without a name at the right of the header are no columns; the new one comes after them.
        at = max(len(fields) for fields, _ in self._rows)
        self._put(self._rows[self._header], at, column)
        for number in self.row_numbers:
            self._put(self._rows[number - 1], at, "")
        self._places[column] = at

    def _put(self, row, at, text):
        fields, _ = row
        is_quoted = fields[-1].startswith('"') if at >= len(fields) else fields[at].startswith('"')
        fields += [""] * (at + 1 - len(fields))
        needs_quotes = any(character in text for character in (self._sep, '"', "\n", "\r"))
        fields[at] = '"{}"'.format(text.replace('"', '""')) if is_quoted or needs_quotes else text


def _raw_rows(text, sep):
    """Return ([fields with their quotes], end of line) for each line of a delimited text."""
    field = re.compile(f'"(?:[^"]|"")*"|[^{re.escape(sep)}\r\n]*')
    rows, fields, at = [], [], 0
    while at < len(text) or fields:
        found = field.match(text, at)
        fields.append(found[0])
        at = found.end()
        end = _LINE_END.match(text, at)
        if end is None and at < len(text):
            at += 1
            continue
        rows.append((fields, end[0] if end else ""))
        fields, at = [], at + (len(end[0]) if end else 0)
    return rows


def _values(fields):
    """Return the values of raw fields, as the table reader gives them."""
    if fields == [""]:
        return []
    values = []
    for raw in fields:
        value = raw[1:-1].replace('""', '"') if raw.startswith('"') else raw
        values.append(value.replace("\r\n", "\n").replace("\r", "\n"))
    return values
