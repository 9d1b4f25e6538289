"""Cells that are written into a table of somebody else: nothing else of the file changes."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_pspd.cohort.cell_writing import EditableTable
from sklearn_pspd.cohort.table_files import find_header, read_rows
from sklearn_pspd.exceptions import InputError

COLUMNS = ("patient_id", "image", "lesion_slice")


def edited(path, changes, **options):
    table = EditableTable(path, columns=COLUMNS, **options)
    for row, column, text in changes:
        table.set(row, column, text)
    table.save()
    return path.read_bytes()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"patient_id,image,lesion_slice\nP1,a,\n", b"patient_id,image,lesion_slice\nP1,a,7\n"),
        (b"patient_id,lesion_slice,image\r\nP1,3,a\r\n", b"patient_id,lesion_slice,image\r\nP1,7,a\r\n"),
        (b"patient_id;image\rP1;a", b"patient_id;image;lesion_slice\rP1;a;7"),
        (b'patient_id\timage\nP1\t"a\tb"', b'patient_id\timage\tlesion_slice\nP1\t"a\tb"\t"7"'),
        (b"patient_id,image,,\nP1,a,,\n", b"patient_id,image,,,lesion_slice\nP1,a,,,7\n"),
        (b"patient_id,lesion_slice,image,age\nP1\n", b"patient_id,lesion_slice,image,age\nP1,7\n"),
        (b'"patient_id","lesion_slice"\n"P1","" \n'[:-2] + b"\n", b'"patient_id","lesion_slice"\n"P1","7"\n'),
        ("\ufeffpatient_id,image\nP1,ä\n".encode(), "\ufeffpatient_id,image,lesion_slice\nP1,ä,7\n".encode()),
    ],
    ids=["empty cell", "full cell", "no column", "quoted neighbour", "unnamed", "short row", "quoted", "BOM"],
)
def test_one_cell_is_written_and_nothing_else(before, after, tmp_path):
    path = tmp_path / "cohort.csv"
    path.write_bytes(before)
    assert edited(path, [(2, "lesion_slice", "7")]) == after


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp949", "cp1252"])
def test_the_encoding_stays(codec, tmp_path):
    site = {"cp949": "서울", "cp1252": "Köln"}.get(codec, "서울 Köln")
    text = f"sep=;\r\nCohort\r\n\r\npatient_id;site;image\r\nP1;{site};a\r\n\r\nP2;{site};b\r\n"
    mark = b"\xfe\xff" if codec == "utf-16-be" else b""
    path = tmp_path / "cohort.csv"
    path.write_bytes(mark + text.encode(codec))
    options = {"encoding": codec} if codec.startswith("cp") else {}
    # Rows are numbered as a spreadsheet shows them, which hides the line sep=.
    found = edited(path, [(6, "lesion_slice", "9")], **options)
    assert found == mark + text.replace("image", "image;lesion_slice").replace(";a", ";a;").replace(
        ";b", ";b;9"
    ).encode(codec)


def test_what_cannot_be_written_back_is_refused(tmp_path):
    path = tmp_path / "cohort.csv"
    # Two byte sequences of ISO-2022 stand for one text.
    path.write_bytes(b"patient_id,image\n\x1b(B\x1b(BP1,a\n")
    with pytest.raises(InputError, match="cannot be changed without changing other bytes"):
        EditableTable(path, columns=COLUMNS, encoding="iso2022_jp")
    path.write_bytes(b"id,picture\nP1,a\n")
    with pytest.raises(InputError, match="no row with the names of the columns"):
        EditableTable(path, columns=COLUMNS)


def test_a_workbook_is_refused(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["patient_id", "image"])
    book.save(tmp_path / "cohort.xlsx")
    with pytest.raises(InputError, match=r"is a workbook, whose cells are not written; save its sheet as CSV"):
        EditableTable(tmp_path / "cohort.xlsx", columns=COLUMNS)


cell = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff\u200b\u200c\u200d\u2060"), max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.lists(cell, min_size=3, max_size=3), min_size=1, max_size=4),
    sep=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    number=st.integers(0, 3),
)
def test_any_table_keeps_its_other_cells(rows, sep, end, number, tmp_path_factory):
    rows = [["P", *row[1:]] for row in rows]
    lines = [["patient_id", "image", "note"], *rows]
    quoted = [['"{}"'.format(cell.replace('"', '""')) for cell in line] for line in lines]
    path = tmp_path_factory.mktemp("table") / "cohort.csv"
    path.write_bytes((end.join(sep.join(line) for line in quoted) + end).encode())
    before = read_rows(path, columns=COLUMNS, sep=sep).rows
    assert find_header(before, COLUMNS) == 0
    number = min(number, len(rows) - 1)
    edited(path, [(number + 2, "note", "7;,|")], sep=sep)
    before[number + 1][2] = "7;,|"
    assert read_rows(path, columns=COLUMNS, sep=sep).rows == before
    assert os.listdir(path.parent) == ["cohort.csv"]  # noqa: PTH208  no part of a file is left
