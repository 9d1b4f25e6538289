"""Tables for other programs."""

import builtins
import importlib.util

import docx
import openpyxl
import pandas as pd
import pytest

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.reporting import write_tables
from sklearn_pspd.reporting.table_files import PACKAGES
from sklearn_pspd.reporting.tables import report_tables


def test_every_table_is_in_every_file(six, tmp_path):
    paths = write_tables(six, tmp_path)
    assert [path.name for path in paths] == ["tables.md", "tables.tex", "tables.xlsx", "tables.docx"]
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}
    tables = report_tables(six)
    markdown = (tmp_path / "tables.md").read_text()
    latex = (tmp_path / "tables.tex").read_text()
    assert markdown.count("\n## ") == latex.count(r"\begin{tabular}") == latex.count(r"\end{table}") == len(tables)
    book = openpyxl.load_workbook(tmp_path / "tables.xlsx")
    assert book.sheetnames == list(tables)
    assert max(map(len, book.sheetnames)) <= 31
    document = docx.Document(tmp_path / "tables.docx")
    assert len(document.tables) == len(tables)
    for table, laid_out, sheet in zip(tables.values(), document.tables, book, strict=True):
        cells = [list(table.frame.columns), *table.frame.to_numpy().tolist()]
        assert [[cell.text for cell in row.cells] for row in laid_out.rows] == cells
        read = [[cell.value for cell in row] for row in sheet.iter_rows(min_row=3, max_row=2 + len(cells))]
        assert [[same(cell) for cell in row] for row in read] == [[same(cell) for cell in row] for row in cells]


def same(cell):
    """Return a cell of a sheet or of a table as a number where it is one."""
    try:
        return float(cell)
    except (TypeError, ValueError):
        return cell or ""


def test_a_cell_that_looks_like_a_formula_or_a_number_with_zeros_stays_text(quick, tmp_path):
    checks = pd.DataFrame([{"patient_id": "007", "file": "=1+1", "finding": "1e5", "severity": "12345678901234567890"}])
    write_tables(quick, tmp_path, formats=["xlsx"], image_checks=checks)
    sheet = openpyxl.load_workbook(tmp_path / "tables.xlsx")["image checks"]
    assert [cell.value for cell in sheet[4]] == ["007", "=1+1", "1e5", "12345678901234567890"]
    assert {cell.data_type for cell in sheet[4]} == {"s"}


def test_formats_are_chosen(quick, tmp_path):
    assert [path.name for path in write_tables(quick, tmp_path, formats=["tex"])] == ["tables.tex"]
    with pytest.raises(InputError, match="formats must be a list of 'md', 'tex', 'xlsx', 'docx'; got 'pdf'"):
        write_tables(quick, tmp_path, formats=["md", "pdf"])
    with pytest.raises(InputError, match="got 'md'"):
        write_tables(quick, tmp_path, formats="md")
    assert {path.name for path in tmp_path.iterdir()} == {"tables.tex"}


def test_without_the_packages(quick, tmp_path, monkeypatch):
    find, imported = importlib.util.find_spec, builtins.__import__
    absent = {package[0] for package in PACKAGES.values() if package}

    def refuse(name, *arguments, **options):
        assert name.split(".")[0] not in absent
        return imported(name, *arguments, **options)

    monkeypatch.setattr(
        "sklearn_pspd.reporting.table_files.find_spec", lambda name: None if name in absent else find(name)
    )
    monkeypatch.setattr(builtins, "__import__", refuse)
    assert [path.name for path in write_tables(quick, tmp_path)] == ["tables.md", "tables.tex"]
    with pytest.raises(InputError, match=r"tables.docx needs the package docx.*pip install sklearn-pspd\[word\]"):
        write_tables(quick, tmp_path, formats=["md", "docx"])
