"""Cohort tables as hospitals have them: separators, encodings, titles, workbooks."""

import codecs
import unicodedata
import zipfile
from datetime import datetime

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from sklearn_pspd import read_cohort, split_xy
from sklearn_pspd.cohort import ClinicalColumn, absent_columns
from sklearn_pspd.exceptions import InputError

openpyxl = pytest.importorskip("openpyxl")

HEADER = ["patient_id", "site", "image", "lesion_slice", "age_years", "sex", "mgmt", "idh",
"dose_gy", "n_fractions", "interval_days", "outcome"]  # fmt: skip
ROWS = [
    ["007", "A", "P1.nii", "10", "51.5", "male", "unknown", "wildtype", "60", "30", "20", "PsPD"],
    ["P2", "서울", "P2.nii", "10", "52", "female", "methylated", "wildtype", "59.4", "33", "40", "PD"],
    ["P3", "A", "P3.nii", "11", "53", "male", "unmethylated", "mutated", "40.05", "15", "60", "PD"],
]


@pytest.fixture
def folder(tmp_path):
    for name in ("P1.nii", "P2.nii", "P3.nii"):
        nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)), tmp_path / name)
    return tmp_path


@pytest.fixture
def plain(folder):
    """The table as the plainest of files gives it."""
    return read(folder, text(HEADER, *ROWS))


def text(*rows, sep=",", end="\n"):
    return "".join(sep.join(row) + end for row in rows)


def read(folder, content, name="cohort.csv", **options):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_cohort(folder / name, **options)


def refusal(folder, content, **options):
    with pytest.raises(InputError) as error:
        read(folder, content, **options)
    return str(error.value)


def changed(row, column, value):
    """The rows of the table with one cell changed."""
    rows = [list(cells) for cells in ROWS]
    rows[row][HEADER.index(column)] = value
    return rows


COMMAS = "," * (len(HEADER) - 1)
DELIMITED = {
    "semicolons": (text(HEADER, *ROWS, sep=";"), {}),
    "tabs": (text(HEADER, *ROWS, sep="\t"), {}),
    "vertical bars": (text(HEADER, *ROWS, sep="|"), {}),
    "another separator": (text(HEADER, *ROWS, sep="^"), {"sep": "^"}),
    "line ends of Windows": (text(HEADER, *ROWS, end="\r\n"), {}),
    "line ends of old Macs": (text(HEADER, *ROWS, end="\r"), {}),
    "sep=,": ("sep=,\n" + text(HEADER, *ROWS), {}),
    "sep=;": ("sep=;\n" + text(HEADER, *ROWS, sep=";"), {}),
    "sep= quoted": ('"sep=;"\n' + text(HEADER, *ROWS, sep=";"), {}),
    "byte order mark": (codecs.BOM_UTF8 + text(HEADER, *ROWS).encode(), {}),
    "byte order mark and sep=": (codecs.BOM_UTF8 + b"sep=\t\n" + text(HEADER, *ROWS, sep="\t").encode(), {}),
    "Unicode text of Excel": (text(HEADER, *ROWS, sep="\t").encode("utf-16"), {}),
    "UTF-32": (text(HEADER, *ROWS).encode("utf-32"), {}),
    "cp949": (text(HEADER, *ROWS).encode("cp949"), {"encoding": "cp949"}),
    "a title": (f"Cohort of 2018; all sites{COMMAS}\n{COMMAS}\n" + text(HEADER, *ROWS), {}),
    "a title with a separator in it": ("Patients; sites; outcomes; dose\n\n" + text(HEADER, *ROWS), {}),
    "blank rows": (
        f"{COMMAS}\n\n" + text(HEADER, ROWS[0]) + f"{COMMAS}\n \n" + text(*ROWS[1:]) + f"{COMMAS}\n" * 3,
        {},
    ),
    "blanks around names": (text([f" {name}\u00a0" for name in HEADER], *ROWS), {}),
    "zero-width characters around names": (text([f"\u200b{name}\ufeff" for name in HEADER], *ROWS), {}),
    "all quoted": (text(*([f'"{cell}"' for cell in row] for row in (HEADER, *ROWS))), {}),
    "decimal commas": (
        text(HEADER, *([c.replace(".", ",") if c[0].isdigit() else c for c in row] for row in ROWS), sep=";"),
        {"decimal": ","},
    ),
    "an empty column at the end": (text([*HEADER, ""], *([*row, ""] for row in ROWS)), {}),
    "blanks around numbers": (text(HEADER, *changed(0, "dose_gy", " 60\u00a0")), {}),
}


@pytest.mark.parametrize(("content", "options"), DELIMITED.values(), ids=DELIMITED)
def test_delimited_text_gives_the_same_table(folder, plain, content, options):
    pd.testing.assert_frame_equal(read(folder, content, **options), plain)


def test_the_plain_table(plain):
    assert plain["patient_id"].tolist() == ["007", "P2", "P3"]
    assert plain["dose_gy"].tolist() == [60, 59.4, 40.05]
    assert [plain[name].dtype for name in ("lesion_slice", "n_fractions", "interval_days")] == [np.int64] * 3
    assert split_xy(plain)[1].tolist() == [1, 0, 0]


def workbook(path, rows, title="Data", change=lambda sheet: None):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = title
    for row in rows:
        sheet.append(row)
    change(sheet)
    book.save(path)
    return path.read_bytes()


def as_numbers(row):
    return [float(cell) if cell.replace(".", "").isdigit() and cell != "007" else cell for cell in row]


@pytest.mark.parametrize("numbers", [True, False], ids=["numbers", "numbers as text"])
@pytest.mark.parametrize("name", ["cohort.xlsx", "cohort.csv"])
def test_a_workbook_gives_the_same_table_whatever_its_name(folder, plain, numbers, name):
    rows = [["Cohort of 2018"], [], HEADER, *([as_numbers(row) if numbers else row for row in ROWS]), [], []]
    content = workbook(folder / "made.xlsx", rows)
    pd.testing.assert_frame_equal(read(folder, content, name=name), plain)


def test_what_a_cell_of_a_workbook_shows(folder, plain):
    """Zeros of a number format are part of an id; a percentage, a date, an error or a formula is no plain number."""

    def change(sheet):
        sheet["A2"].value, sheet["A2"].number_format = 7, "000"
        sheet["M1"], sheet["N1"], sheet["O1"], sheet["P1"] = "kps", "born", "flag", "bmi"
        sheet["M2"].value, sheet["M2"].number_format = 0.8, "0%"
        sheet["N2"], sheet["O2"], sheet["P2"] = datetime(1950, 3, 1), True, "=1+1"
        sheet["M3"] = "#N/A"

    cohort = read(folder, workbook(folder / "made.xlsx", [HEADER, *ROWS], change=change))
    assert cohort["patient_id"].tolist() == ["007", "P2", "P3"]
    assert cohort.loc[0, ["kps", "born", "flag", "bmi"]].tolist() == ["80%", "1950-03-01", "TRUE", "=1+1"]
    assert cohort.loc[1, "kps"] == "#N/A"
    message = refusal(folder, (folder / "cohort.csv").read_bytes(), clinical=[ClinicalColumn("kps", range=(0, 100))])
    assert "row 2, patient 007: column kps holds '80%', which is not a number" in message
    assert "row 3, patient P2: column kps holds '#N/A', which is not a number" in message


def test_the_sheet_with_the_patients_is_read(folder, plain):
    book = openpyxl.Workbook()
    book.active.append(["Read me"])
    for title in ("Data", "Old"):
        sheet = book.create_sheet(title)
        for row in [HEADER, *ROWS]:
            sheet.append(row)
    book.save(folder / "two.xlsx")
    content = (folder / "two.xlsx").read_bytes()
    assert "the sheets 'Data', 'Old' have a column patient_id; name one of them, for example sheet='Data'" in refusal(
        folder, content
    )
    assert "no sheet 'Alt'; it has 'Sheet', 'Data', 'Old'" in refusal(folder, content, sheet="Alt")
    pd.testing.assert_frame_equal(read(folder, content, sheet="Old"), plain)
    del book["Old"]
    book.save(folder / "one.xlsx")
    pd.testing.assert_frame_equal(read_cohort(folder / "one.xlsx"), plain)


NAMESPACES = " ".join(
    f'xmlns:{part}="urn:oasis:names:tc:opendocument:xmlns:{part}:1.0"' for part in ("office", "table", "text")
)


def opendocument(path, rows):
    """An .ods file as LibreOffice writes it: values beside what is shown, repeated cells and rows stored once."""

    def cell(value):
        if value == "":
            return "<table:table-cell/>"
        if value.replace(".", "").isdigit():
            shown = value if value == "007" else value.replace(".", ",")
            return (
                f'<table:table-cell office:value-type="float" office:value="{float(value)}"><office:annotation>'
                f"<text:p>a note</text:p></office:annotation><text:p>{shown}</text:p></table:table-cell>"
            )
        return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'

    edge = '<table:table-cell table:number-columns-repeated="16000"/>'
    body = "".join(f"<table:table-row>{''.join(map(cell, row))}{edge}</table:table-row>" for row in rows)
    blank = '<table:table-row table:number-rows-repeated="1048000"><table:table-cell/></table:table-row>'
    content = (
        f"<office:document-content {NAMESPACES}><office:body><office:spreadsheet>"
        f'<table:table table:name="Data">{body}{blank}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", content)
    return path.read_bytes()


def test_an_opendocument_sheet_gives_the_same_table(folder, plain):
    content = opendocument(folder / "made.ods", [["Cohort"], [""], HEADER, *ROWS])
    pd.testing.assert_frame_equal(read(folder, content), plain)


FOREIGN = {
    "old workbook": (
        b"\xd0\xcf\x11\xe0" + b"\0" * 600,
        {},
        "an old Excel workbook (.xls), or one that is protected by",
    ),
    "gzip": (b"\x1f\x8b\x08" + b"\0" * 50, {}, "compressed by gzip; decompress it"),
    "PDF": (b"%PDF-1.7\n", {}, "a PDF document"),
    "HTML": (b"  <html><table><tr><td>patient_id</td></tr></table>", {}, "is HTML or XML, which some programs export"),
    "zero in another encoding": (
        text(HEADER, ROWS[0]).encode("utf-16-le"),
        {"encoding": "latin-1"},
        "holds the character NUL",
    ),
    "zeros": (b"abc\0\0\0\0def", {}, "is neither a text nor a workbook"),
    "damaged workbook": (b"PK\x03\x04" + b"x" * 300, {}, "damaged workbook or zip archive"),
    "no UTF-8": (
        text(HEADER, *ROWS).encode("cp949"),
        {},
        "is not encoded in UTF-8: byte 0xbc in line 3; name its encoding",
    ),
    "other encoding": (
        text(HEADER, *ROWS).encode(),
        {"encoding": "ascii"},
        "is not encoded in ASCII: byte 0xec in line 3",
    ),
    "no encoding": (text(HEADER, *ROWS), {"encoding": "utf-9"}, "encoding='utf-9' is no encoding of texts"),
    "no text encoding": (text(HEADER, *ROWS), {"encoding": "hex"}, "encoding='hex' is no encoding of texts"),
    "two characters": (text(HEADER, *ROWS), {"sep": ", "}, "sep must be one character"),
    "decimal": (text(HEADER, *ROWS), {"decimal": ";"}, "decimal must be '.' or ','; got ';'"),
    "sheet of a text": (text(HEADER, *ROWS), {"sheet": "Data"}, "is a text, which has no sheets"),
    "open quote": (text(HEADER, ['"007', *ROWS[0][1:]]), {}, "is not a table (unexpected end of data)"),
    "wrong separator": (text(HEADER, *ROWS), {"sep": ";"}, "read as UTF-8 with semicolons, has no row with the names"),
    "one level of names": (
        text(["ID", "Patient-ID"], ["1", "2"]),
        {},
        "its first row has 'ID', 'Patient-ID'; did you mean",
    ),
    "longer row": (
        text(HEADER, [*ROWS[0], "PD"], *ROWS[1:]),
        {},
        "row 2: has 13 cells, the header 12; the surplus is 'PD'",
    ),
    "column twice": (
        text([*HEADER, "outcome "], *([*row, "PD"] for row in ROWS)),
        {},
        "column 'outcome': occurs 2 times, in columns 12, 13 of the file",
    ),
}


@pytest.mark.parametrize(("content", "options", "message"), FOREIGN.values(), ids=FOREIGN)
def test_refusals_say_what_was_found(folder, content, options, message):
    found = refusal(folder, content, **options)
    assert message in found
    assert "cohort.csv" in found or options


def test_other_containers_are_refused(folder):
    for name, member in (("book.xlsb", "xl/workbook.bin"), ("images.zip", "P1.nii")):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr(member, "x")
        with pytest.raises(InputError, match=r"binary workbook|zip archive and no workbook"):
            read_cohort(folder / name)
    with pytest.raises(InputError, match="workbook, which has neither separator nor encoding"):
        read(folder, workbook(folder / "made.xlsx", [HEADER, *ROWS]), encoding="cp949")
    with pytest.raises(InputError, match="is a folder; name the table in it"):
        read_cohort(folder)
    with pytest.raises(FileNotFoundError, match=r"cohort table .*absent.xlsx: no such file"):
        read_cohort(folder / "absent.xlsx")


CELLS = {
    "decimal comma": (
        "dose_gy",
        '"59,4"',
        "holds '59,4', which is not a number; if the commas of the table are decimal",
    ),
    "unit": ("dose_gy", "60 Gy", "holds '60 Gy', which is not a number"),
    "underscore": ("dose_gy", "6_0", "holds '6_0', which is not a number"),
    "digits of another script": ("dose_gy", "\uff16\uff10", "holds '\uff16\uff10', which is not a number"),
    "infinity": ("dose_gy", "inf", "holds 'inf', which is not a number"),
    "NA": ("dose_gy", "NA", "holds 'NA', which is not a number"),
    "letter case": (
        "mgmt",
        "Methylated",
        "it takes 'unmethylated', 'methylated', 'unknown'; did you mean 'methylated'?",
    ),
    "blank": ("outcome", "PsPD ", "holds 'PsPD '; it takes 'PD', 'PsPD'; did you mean 'PsPD'?"),
    "hyphen": ("idh", "wild-type", "did you mean 'wildtype'?"),
    "range": ("dose_gy", "6000", "holds 6000, outside 1 to 100 Gy"),
    "blank after a path": (
        "image",
        "P2.nii ",
        "P2.nii ' does not exist; '{folder}' has 'P2.nii', which differs in blanks around",
    ),
    "no-break space": (
        "image",
        "P2.nii\u00a0",
        r"P2.nii\xa0' does not exist; '{folder}' has 'P2.nii', which differs in blanks",
    ),
    "case of a path": (
        "image",
        "p2.NII",
        "p2.NII' does not exist; '{folder}' has 'P2.nii', which differs in upper and lower case",
    ),
    "backslashes": ("image", "..\\P2.nii", "does not exist; it has backslashes: separate folders by '/'"),
}


@pytest.mark.parametrize(("column", "value", "message"), CELLS.values(), ids=CELLS)
def test_a_wrong_cell_is_named_and_explained(folder, column, value, message):
    found = refusal(folder, text(HEADER, *changed(1, column, value)))
    assert found.count("\n") == 1, found
    assert "cohort.csv, read as UTF-8 with commas, has 1 problem:\n  row 3, patient P2: column " in found
    assert message.format(folder=folder) in found
    # "not methylated" is near to the wrong one of two codes: no proposal.
    assert "did you mean" not in refusal(folder, text(HEADER, *changed(1, "mgmt", "not methylated")))


def test_unicode_twins_of_a_path_are_explained(folder):
    written, stored = (unicodedata.normalize(form, "환자.nii") for form in ("NFC", "NFD"))
    (folder / "P2.nii").rename(folder / stored)
    found = refusal(folder, text(HEADER, *changed(1, "image", written)))
    assert "which differs in the Unicode form of its letters" in found
    assert read(folder, text(HEADER, *changed(1, "image", stored))).shape == (3, 12)


def test_points_are_no_decimal_marks_beside_decimal_commas(folder):
    found = refusal(folder, text(HEADER, *ROWS, sep=";"), decimal=",")
    assert "row 2, patient 007: column age_years holds '51.5', which is not a number" in found
    assert found.count("which is not a number") == 3


def test_all_problems_of_a_file_are_listed_by_row(folder):
    rows = [list(row) for row in ROWS]
    rows[0][4], rows[1][4], rows[2][0], rows[2][6] = "", "", "", ""
    found = refusal(folder, "A title\n\n" + text(HEADER, *rows[:2]) + "\n" + text(rows[2]))
    assert found.splitlines()[1:] == [
        "  row 7: column patient_id is empty",
        "  row 7: column mgmt is empty",
        "  column age_years is empty for 2 patients (row 4, patient 007; row 5, patient P2); missing='keep' admits "
        "missing numbers, which models with missing='median' or 'indicator' replace",
    ]
    assert "patient P2: 2 rows (3, 4) have this patient_id" in refusal(
        folder, text(HEADER, *changed(2, "patient_id", "P2"))
    )


SPELLINGS = {
    "dose_gy": ["Dose_Gy", "dose gy", "dose_cgy"],
    "sex": ["Sex", "sexe"],
    "age_years": ["age", "Age (years)", "age_yrs"],
    "n_fractions": ["n_factions", "N-Fractions"],
    "lesion_slice": ["lesion slice", "lesion_slices"],
    "outcome": ["Outcome", "outcomes"],
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_column_in_another_spelling_is_not_passed_over(folder, name):
    """Columns may be absent, so a misspelt one would be lost without a word."""
    for spelling in SPELLINGS[name]:
        header = [spelling if column == name else column for column in HEADER]
        for options in ({}, {"outcome": "optional"}):
            found = refusal(folder, text(header, *ROWS), **options)
            assert f"column {name}: missing; did you mean {spelling!r}?" in found
            assert found.count(f"column {name}:") == 1


def test_other_columns_are_no_misspelt_ones(folder):
    extra = ["sexual_history", "dose_per_fraction", "mgmt_method", "age_group", "idh_test"]
    kept = [at for at, name in enumerate(HEADER) if name not in ("sex", "dose_gy", "mgmt", "age_years", "idh")]
    cohort = read(
        folder, text([HEADER[at] for at in kept] + extra, *([row[at] for at in kept] + ["?"] * 5 for row in ROWS))
    )
    assert list(absent_columns(cohort)) == ["age_years", "sex", "mgmt", "idh", "dose_gy"]


def test_columns_of_numbers_with_zeros_in_front_stay_text(folder):
    extra = text(
        [*HEADER, "record", "kps"],
        *([*row, number, "80"] for row, number in zip(ROWS, ("0471", "12", "7"), strict=True)),
    )
    cohort = read(folder, extra)
    assert cohort["record"].tolist() == ["0471", "12", "7"]
    assert cohort["kps"].tolist() == [80, 80, 80]
