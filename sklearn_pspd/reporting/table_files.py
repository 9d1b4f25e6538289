"""The tables of a study as files of other programs: Markdown, LaTeX, Excel, Word."""

import io
import re
from importlib.util import find_spec
from pathlib import Path

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import write_bytes
from sklearn_pspd.formatting import escape_latex, escape_markdown, latex_text, markdown_text

from .tables import report_tables

# The package that each format needs beyond those of this library, and the extra that installs it.
PACKAGES = {"md": None, "tex": None, "xlsx": ("openpyxl", "excel"), "docx": ("docx", "word")}
FORMATS = tuple(PACKAGES)
WIDEST_COLUMN = 60  # characters, of a sheet
# What is a number in a sheet. Names of patients such as 007 stay text, and so do more digits than a sheet keeps.
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
MAX_DIGITS = 15
DISCLAIMER = "Research software, not a medical device."


def write_tables(result, folder, *, formats=None, image_checks=None):
    """Save the tables of a study for manuscripts: ``tables.md``, ``tables.tex``, ``tables.xlsx``, ``tables.docx``.

    Parameters
    ----------
    result : StudyResult
        What :meth:`Study.run() <sklearn_pspd.study.Study.run>` returned.
    folder : path-like
        An existing folder.
    formats : sequence of {"md", "tex", "xlsx", "docx"}, default=None
        The files to write; "xlsx" has one sheet per table and needs ``pip install sklearn-pspd[excel]``, "docx" needs
        ``pip install sklearn-pspd[word]``. None writes those whose packages are installed.
    image_checks : DataFrame, default=None
        Findings of the checks of the images: ``patient_id``, ``file``, ``finding``, ``severity``.

    Returns
    -------
    list of Path
        The files, in the order of `formats`.

    Raises
    ------
    InputError
        If there is no such format, or its package is not installed.
    OSError
        If a file cannot be written; an earlier one is then as it was.

    Notes
    -----
    The tables are those of ``report.txt`` and ``report.html``, with the classes, net benefit and thresholds of all
    models. The numbers with all digits are in the CSV files. LaTeX needs the package booktabs.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import Study, make_clinical_pipeline, make_cohort
    >>> from sklearn_pspd.reporting import write_tables
    >>> with TemporaryDirectory() as folder:
    ...     cohort = make_cohort(folder, 30, matrix_px=(32,), random_state=0)
    ...     forest = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=20)
    ...     result = Study(cohort, {"clinical alone": forest}, cv=2).run()
    ...     written = write_tables(result, folder, formats=["md", "tex"])
    ...     first_line = written[0].read_text().splitlines()[0]
    >>> [path.name for path in written], first_line
    (['tables.md', 'tables.tex'], '# Tables')
    """
    if formats is None:
        formats = [name for name, package in PACKAGES.items() if package is None or find_spec(package[0])]
    _check(formats)
    tables = report_tables(result, image_checks=image_checks)
    writers = {"md": _markdown, "tex": _latex, "xlsx": _workbook, "docx": _document}
    paths = []
    for name in formats:
        content = writers[name](tables, result.title)
        paths.append(Path(folder, f"tables.{name}"))
        write_bytes(paths[-1], content)
    return paths


def _check(formats):
    if isinstance(formats, str) or (unknown := [name for name in formats if name not in PACKAGES]):
        given = repr(formats) if isinstance(formats, str) else ", ".join(map(repr, unknown))
        raise InputError(f"formats must be a list of {', '.join(map(repr, PACKAGES))}; got {given}")
    for name in formats:
        if PACKAGES[name] and not find_spec(PACKAGES[name][0]):
            package, extra = PACKAGES[name]
            raise InputError(
                f"tables.{name} needs the package {package}, which is not installed: pip install sklearn-pspd[{extra}]"
            )


def _markdown(tables, title):
    parts = ["# Tables", *([escape_markdown(title)] if title else [])]
    for table in tables.values():
        notes = [escape_markdown(note) for note in table.notes]
        parts += [f"## {escape_markdown(table.title)}", markdown_text(table.frame), *notes]
    return "\n\n".join([*parts, DISCLAIMER, ""]).encode()


def _latex(tables, title):
    parts = ["% Needs \\usepackage{booktabs}.", *([f"% {' '.join(title.split())}"] if title else [])]
    for table in tables.values():
        notes = rf"\par\footnotesize {escape_latex(' '.join(table.notes))}" if table.notes else ""
        parts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    rf"\caption{{{escape_latex(table.title)}}}",
                    latex_text(table.frame),
                    *([notes] if notes else []),
                    r"\end{table}",
                ]
            )
        )
    return "\n\n".join([*parts, f"% {DISCLAIMER}", ""]).encode()


def _workbook(tables, title):
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    for name, table in tables.items():
        _fill_sheet(book.create_sheet(name), table, [line for line in (title, table.title) if line])
    return _saved(book.save)


def _fill_sheet(sheet, table, headings):
    """Write captions, the table and its notes; the headings of the columns stay in sight."""
    from openpyxl.styles import Font

    cells = [[str(column) for column in table.frame.columns], *table.frame.to_numpy().tolist()]
    rows = [*([line] for line in headings), *cells, [], *([note] for note in table.notes), [DISCLAIMER]]
    for number, row in enumerate(rows, start=1):
        for position, text in enumerate(row, start=1):
            _write_cell(sheet.cell(number, position), text)
            if number <= len(headings) + 1:
                sheet.cell(number, position).font = Font(bold=True)
    sheet.freeze_panes = f"A{len(headings) + 2}"
    for position, column in enumerate(zip(*cells, strict=True), start=1):
        letter = sheet.cell(1, position).column_letter
        sheet.column_dimensions[letter].width = min(max(map(len, column)), WIDEST_COLUMN) + 2


def _write_cell(cell, text):
    """Write a number as such, with its decimals, and anything else as text, also if it begins like a formula."""
    if NUMBER.fullmatch(text) and len(text) <= MAX_DIGITS:
        whole, _, decimals = text.partition(".")
        cell.value = float(text) if decimals else int(whole)
        cell.number_format = f"0.{'0' * len(decimals)}" if decimals else "0"
        return
    cell.value = text
    cell.data_type = "s"


def _document(tables, title):
    from docx import Document
    from docx.enum.section import WD_ORIENT
    from docx.shared import Pt

    document = Document()
    section = document.sections[0]
    section.orientation = WD_ORIENT.LANDSCAPE
    section.page_width, section.page_height = section.page_height, section.page_width
    document.styles["Normal"].font.size = Pt(9)
    document.add_heading("Tables", level=1)
    if title:
        document.add_paragraph(title)
    for number, table in enumerate(tables.values(), start=1):
        document.add_heading(f"Table {number}. {table.title}", level=2)
        _add_table(document, table.frame)
        for note in table.notes:
            document.add_paragraph(note)
    document.add_paragraph(DISCLAIMER)
    return _saved(document.save)


def _add_table(document, frame):
    laid_out = document.add_table(rows=1, cols=frame.shape[1], style="Light List")
    for cell, name in zip(laid_out.rows[0].cells, frame.columns, strict=True):
        cell.text = str(name)
    for row in frame.to_numpy().tolist():
        for cell, text in zip(laid_out.add_row().cells, row, strict=True):
            cell.text = text


def _saved(save):
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()
