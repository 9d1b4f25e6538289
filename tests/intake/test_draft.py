"""The cohort table from an export and a messy spreadsheet."""

import re
from pathlib import Path

import pandas as pd
import pytest

from sklearn_pspd import read_cohort
from sklearn_pspd.cohort import CLINICAL_COLUMNS
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.intake import choose_series, draft_cohort
from sklearn_pspd.intake.spreadsheet import parse_date, parse_number, propose_codes
from sklearn_pspd.loading import SliceStackLoader

COLUMNS = {
    "patient_id": "Pat.-Nr.", "sex": "Geschlecht", "age_years": "Alter", "mgmt": "MGMT-Status", "idh": "IDH",
    "dose_gy": "Dosis (Gy)", "n_fractions": "Fraktionen", "radiotherapy_end": "Ende RT",
    "lesion_date": "Datum Läsion", "lesion_slice": "Schicht", "outcome": "Verlauf",
}  # fmt: skip
OPTIONS = {"columns": COLUMNS, "date_order": "dmy", "decimal": ",", "encoding": "cp1252"}
CODES = {
    "sex": {"m": "male", "w": "female"},
    "mgmt": {"methyliert": "methylated", "unmethyliert": "unmethylated", "n.b.": "unknown"},
    "idh": {"Wildtyp": "wildtype", "mutiert": "mutated", "n.b.": "unknown"},
    "outcome": {"Progress": "PD", "Pseudoprogress": "PsPD"},
}


def decisions(truth):
    """Return the series that a reader would name for each patient who has one."""
    return truth[truth["is_wanted"]].groupby("patient_id")["series_uid"].first().to_dict()


def test_an_export_and_a_spreadsheet_become_the_cohort(hospital, export, tmp_path):
    """What is read, and the pixels, are those of the cohort from which both were written."""
    folder, cohort, truth = hospital
    draft = draft_cohort(
        export[2],
        folder / "records.csv",
        codes=CODES,
        ids={"4711003": "04711003"},
        decisions=decisions(truth),
        **OPTIONS,
    )
    assert draft.proposed_codes == {}
    path = draft.save(tmp_path / "study")
    written = pd.read_csv(path, dtype=str)
    assert written["lesion_slice"].str.fullmatch(r"\d+").all()
    assert written["age_years"].str.fullmatch(r"\d+").all()
    found = read_cohort(path).set_index("patient_id")
    known = truth.drop_duplicates("patient_id").set_index("patient_id")
    true = cohort.set_index("patient_id").loc[known["synthetic_id"]].set_axis(known.index)
    # One patient has no post-contrast series.
    true = true[known["trap"] != "no post-contrast series"]
    assert found.index.tolist() == true.index.tolist()
    compared = [*CLINICAL_COLUMNS, "lesion_slice", "outcome"]
    pd.testing.assert_frame_equal(found[compared], true[compared], check_dtype=False, check_column_type=False)
    loader = SliceStackLoader(n_slices=3, max_spacing_mm=10)
    untilted = known.loc[found.index, "trap"] != "tilted"
    stacks = loader.fit_transform(found[untilted].reset_index())
    for stack, expected in zip(stacks, loader.fit_transform(true[untilted].reset_index()), strict=True):
        assert (stack.pixels == expected.pixels).all()


def test_what_is_missing_or_odd_is_reported(hospital, export):
    folder, _, truth = hospital
    draft = draft_cohort(export[2], folder / "records.csv", **OPTIONS)
    traps = truth.drop_duplicates("patient_id").set_index("trap")["patient_id"]
    assert draft.cohort["patient_id"].tolist() == [
        traps["none"],
        traps["no contrast tag"],
        traps["tag on every series"],
    ]
    assert draft.cohort[["sex", "mgmt", "idh", "outcome"]].isna().all(axis=None)
    for column, words in draft.proposed_codes.items():
        assert words.items() <= CODES[column].items()
    assert set(draft.proposed_codes) == set(CODES)
    assert draft.without_images == ["4711003", "04719999"]
    assert draft.without_record == ["04711003", "QA"]
    kinds = draft.findings.groupby("finding")["patient_id"].agg(list)
    assert kinds["Ids that differ from those of the images by leading zeros, and were not matched"] == ["4711003"]
    left_out = kinds["Left out: no series was chosen"]
    assert left_out == [traps[trap] for trap in ("swapped order", "no words", "no post-contrast series", "repeated")]
    assert kinds["Remarks on the chosen series"] == [traps["no contrast tag"], traps["tag on every series"]]
    # The report says all of it.
    report = draft.report()
    for value in draft.findings["value"]:
        assert value in report
    assert "mgmt: unmethyliert, perhaps 'unmethylated' (4 patients" in report
    # And what to do about it, with the places of the series to look at.
    assert "ids={'4711003': '04711003'}" in report
    candidates = draft.series.query("patient_id in @left_out and rank <= 2")
    assert len(candidates) > len(left_out)
    for row in candidates.itertuples():
        assert f"series {row.series_number} in {row.folder} is {row.series_uid}" in report
    for argument in ("codes", "decisions"):
        assert f"in {argument}" in report


def test_the_report_names_the_order_that_reads_all_dates(hospital, export):
    folder, _, _ = hospital
    report = draft_cohort(export[2], folder / "records.csv", **OPTIONS | {"date_order": "mdy"}).report()
    assert "date_order='dmy' reads all of them" in report
    assert "date_order='ymd'" not in report
    assert "the date of the lesion is not known" in report
    table = records(lesion=["31.02.2016", "1.3.16"])
    draft = draft_cohort(export[2], table, columns={"patient_id": "id", "lesion_date": "lesion"}, date_order="dmy")
    assert "(correct the cells)" in draft.report()


def test_patients_without_a_position_are_counted(hospital, export):
    folder, _, _ = hospital
    columns = {name: header for name, header in OPTIONS["columns"].items() if name != "lesion_slice"}
    draft = draft_cohort(export[2], folder / "records.csv", **OPTIONS | {"columns": columns})
    assert f"No position of the lesion: {len(draft.cohort)} patients" in draft.report()
    assert "pspd pick" not in draft_cohort(export[2], folder / "records.csv", **OPTIONS).report()


def test_pixels_decide_where_words_do_not(hospital, export):
    folder, _, truth = hospital
    (wordless,) = truth.loc[truth["trap"] == "no words", "patient_id"].unique()
    drafts = [draft_cohort(export[2], folder / "records.csv", pixels=pixels, **OPTIONS) for pixels in (False, True)]
    assert [wordless in draft.cohort["patient_id"].tolist() for draft in drafts] == [False, True]
    # The report says so to who has not asked for it, about this patient only.
    hint = "pixels=True compares the pixels of series with equal parameters"
    findings = drafts[0].findings
    assert findings.loc[findings["value"].str.contains(hint), "patient_id"].tolist() == [wordless]
    assert [hint in draft.report() for draft in drafts] == [True, False]


def test_series_that_share_a_folder_are_copied(hospital, export, tmp_path):
    folder, _, _ = hospital
    draft = draft_cohort(export[2], folder / "records.csv", codes=CODES, **OPTIONS)
    shared = draft.cohort.loc[draft.cohort["image"].isna(), "patient_id"].tolist()
    assert shared == list(draft.to_copy) == ["04711002", "04711004"]
    path = draft.save(tmp_path)
    for patient, files in draft.to_copy.items():
        (copied,) = (tmp_path / "images").glob(f"*{patient}")
        assert [file.read_bytes() for file in sorted(copied.iterdir())] == [Path(file).read_bytes() for file in files]
    assert (tmp_path / "intake.txt").read_text(encoding="utf-8") == draft.report()
    with pytest.raises(FileExistsError, match=r"already contains 'cohort\.csv'"):
        draft.save(tmp_path)
    assert path == tmp_path / "cohort.csv"


def test_any_form_of_the_spreadsheet_gives_the_same(hospital, export, tmp_path):
    folder, _, _ = hospital
    text = (folder / "records.csv").read_text(encoding="cp1252")
    lines = text.splitlines()[1:]
    table = pd.DataFrame([line.split(";") for line in lines[1:]], columns=lines[0].split(";"))
    (tmp_path / "tabs.txt").write_text("\n".join(lines).replace(";", "\t"), encoding="utf-16")
    table.to_excel(tmp_path / "book.xlsx", index=False)
    expected = draft_cohort(export[2], folder / "records.csv", codes=CODES, **OPTIONS)
    options = OPTIONS | {"encoding": None, "codes": CODES}
    for records in (table, tmp_path / "tabs.txt", tmp_path / "book.xlsx"):
        draft = draft_cohort(export[2], records, **options)
        pd.testing.assert_frame_equal(draft.cohort, expected.cohort)
        assert draft.report() == expected.report()
    # A table of series that was chosen before, and dates as dates.
    table["Datum Läsion"] = pd.to_datetime(table["Datum Läsion"], format="%d.%m.%Y")
    near = dict(zip(table["Pat.-Nr."], table["Datum Läsion"], strict=True))
    draft = draft_cohort(choose_series(export[2], near=near), table, **options)
    pd.testing.assert_frame_equal(draft.cohort, expected.cohort)


def records(**columns):
    return pd.DataFrame({"id": ["04711001", "04711002"], **columns})


def findings_of(draft, column):
    rows = draft.findings[draft.findings["column"] == column]
    return rows[["patient_id", "finding", "value"]].to_numpy().tolist()


def test_cells_that_cannot_be_read_are_empty_and_listed(export):
    table = records(
        age=["55,5", "60.5"],
        sex=["W", "divers"],
        end=["31.02.2016", "1.3.16"],
        dose=["6000", ""],
        lesion=["12.10.2016"] * 2,
    )
    draft = draft_cohort(
        export[2],
        table,
        columns={"patient_id": "id", "age_years": "age", "sex": "sex", "radiotherapy_end": "end", "dose_gy": "dose",
                 "lesion_date": "lesion"},
        date_order="dmy",
        decimal=",",
        most_days=400,
    )  # fmt: skip
    number = "No numbers with the decimal mark ','"
    date = "No dates in the order dmy with a year of four digits"
    assert findings_of(draft, "age_years") == [["04711002", number, "60.5"]]
    assert findings_of(draft, "radiotherapy_end") == [["04711001", date, "31.02.2016"], ["04711002", date, "1.3.16"]]
    assert findings_of(draft, "dose_gy") == [
        ["04711001", "Numbers outside 1 to 100", "6000"], ["04711002", "Empty cells", ""],
    ]  # fmt: skip
    assert findings_of(draft, "sex") == [
        ["04711001", "Words without a code", "W, perhaps 'female'"], ["04711002", "Words without a code", "divers"],
    ]  # fmt: skip
    assert draft.cohort["age_years"].isna().tolist() == [False, True]
    assert draft.cohort["interval_days"].isna().all()


@pytest.mark.parametrize("decimal", [".", ",", {"age_years": "."}, {"dose_gy": ","}])
def test_columns_may_have_different_decimal_marks(export, decimal):
    table = records(age=["37,5", "1,234"], dose=["60.00", "59.4"], fractions=["30", "33"])
    options = {"columns": {"patient_id": "id", "age_years": "age", "dose_gy": "dose", "n_fractions": "fractions"}}
    draft = draft_cohort(export[2], table, decimal=decimal, **options)
    proposed = {"age_years": ",", "dose_gy": "."}
    assert draft.proposed_decimal == proposed
    advice = f"the columns have different decimal marks: decimal={proposed} reads all cells of age_years, dose_gy"
    assert advice in draft.report()
    again = draft_cohort(export[2], table, decimal=draft.proposed_decimal, **options)
    assert again.proposed_decimal == {}
    assert not again.findings["finding"].str.startswith("No numbers").any()


@pytest.mark.parametrize(
    ("cells", "decimal", "proposed", "advice"),
    [
        (["37,5", "60"], ".", {"age_years": ","}, "decimal=',' reads all cells of age_years; make sure"),
        (["37.5", "60.25"], ",", {"age_years": "."}, "decimal='.' reads all cells of age_years; make sure"),
        (["37,5", "60.5"], ".", {}, "correct the cells of age_years: no decimal mark reads all of them"),
        (["1.234,5", "60"], ",", {}, "correct the cells of age_years: no decimal mark reads all of them"),
        (["60 years", "37,5"], ",", {}, "correct the cells of age_years: no decimal mark reads all of them"),
        (["1,234", "60"], ".", {}, "the mark of 1,234 in age_years may be a decimal one or set off thousands"),
        (["1.234", "60"], ",", {}, "the mark of 1.234 in age_years may be a decimal one or set off thousands"),
        (["0,234", "60"], ".", {"age_years": ","}, "decimal=',' reads all cells of age_years; make sure"),
    ],
)
def test_a_decimal_mark_is_proposed_if_it_is_clear(export, cells, decimal, proposed, advice):
    columns = {"patient_id": "id", "age_years": "age"}
    draft = draft_cohort(export[2], records(age=cells), columns=columns, decimal=decimal)
    assert draft.proposed_decimal == proposed
    assert advice in draft.report()


@pytest.mark.parametrize("decimal", [".", ","])
def test_cells_that_are_numbers_have_no_decimal_mark(hospital, export, decimal):
    _, _, truth = hospital
    table = records(age=[37.5, 60], dose=pd.Series(["60", 6000.5], dtype=object))
    columns = {"patient_id": "id", "age_years": "age", "dose_gy": "dose"}
    draft = draft_cohort(export[2], table, columns=columns, decimal=decimal, decisions=decisions(truth))
    assert draft.cohort["age_years"].tolist() == [37.5, 60]
    assert findings_of(draft, "age_years") == []
    assert findings_of(draft, "dose_gy") == [["04711002", "Numbers outside 1 to 100", "6000.5"]]


@pytest.mark.parametrize(
    ("finding", "cells"),
    [
        ("No numbers with the decimal mark '.'", [f"{number},5" for number in range(30)]),
        ("Numbers outside 0 to 120", [f"{number}" for number in range(200, 230)]),
    ],
)
def test_one_cause_takes_one_line_per_column(export, finding, cells):
    table = pd.DataFrame({"id": [f"P{number:02d}" for number in range(30)], "age": cells, "end": "31.02.2016"})
    table["lesion"] = [f"{day:02d}.13.2016" for day in range(30)]
    columns = {"patient_id": "id", "age_years": "age", "lesion_date": "lesion", "radiotherapy_end": "end"}
    draft = draft_cohort(export[2], table, columns=columns, date_order="dmy")
    assert draft.findings.loc[draft.findings["finding"] == finding, "value"].tolist() == cells
    lines = draft.report().splitlines()
    patients = "(30 patients, P00, P01, P02, P03, P04, P05, P06, P07, P08, P09 and 20 more"
    for column, found in (("age_years", cells), ("lesion_date", table["lesion"].tolist())):
        (line,) = [line for line in lines if line.startswith(f"  {column}: ")]
        assert line == f"  {column}: 30 cells, such as {'; '.join(found[:3])} {patients}; all of them are in findings)"
    assert f"  radiotherapy_end: 31.02.2016 {patients})" in lines
    # A few are all there.
    few = draft_cohort(export[2], table[:5], columns=columns, date_order="dmy").report()
    assert all(f"age_years: {cell} (patient " in few for cell in cells[:5])


@pytest.mark.parametrize(
    ("column", "ways"),
    [
        ("age_years", ["numbers"]), ("interval_days", ["numbers"]), ("mgmt", ["words"]),
        ("lesion_slice", ["positions"]), ("lesion_date", []),
    ],
)  # fmt: skip
def test_what_can_be_done_about_empty_cells_depends_on_the_column(export, column, ways):
    report = draft_cohort(export[2], records(cells=["", None]), columns={"patient_id": "id", column: "cells"}).report()
    (advice,) = re.findall(r"Empty cells:\n  \((fill them in.*)\)\n", report)
    texts = {
        "numbers": 'numbers may stay empty if the models replace them, by missing="median" or '
        "pspd study --missing median",
        "words": "for words, codes can say what an empty cell means",
        "positions": "positions of the lesion can be picked by pspd pick cohort.csv",
    }
    assert advice == "; ".join(["fill them in", *(texts[way] for way in ways)])


def test_without_a_date_of_the_lesion_several_studies_are_a_doubt(export):
    draft = draft_cohort(export[2], records(), columns={"patient_id": "id"})
    assert draft.cohort.empty
    assert draft.findings["patient_id"].tolist() == ["04711001", "04711002"]
    assert draft.findings["value"].str.startswith("2 chosen series, of several studies; give near or lesion_date").all()


def test_dates_that_contradict_each_other_are_listed(export):
    _, truth, series = export
    study = truth.loc[truth["is_wanted"], "study_date"].iloc[0]
    days = [study + pd.Timedelta(days=shift) for shift in (0, 5)]
    table = pd.DataFrame({"id": [truth["patient_id"].iloc[0]], "lesion": days[:1], "end": days[1:], "days": [12]})
    columns = {"patient_id": "id", "lesion_date": "lesion", "radiotherapy_end": "end", "interval_days": "days"}
    draft = draft_cohort(series, table, columns=columns, constants={"site": "North", "dose_gy": 60})
    assert [finding for _, finding, _ in findings_of(draft, "interval_days")] == [
        "Lesion before the end of radiotherapy", "Interval differs from the dates",
    ]  # fmt: skip
    assert [finding for _, finding, _ in findings_of(draft, "image")] == ["Study date before the end of radiotherapy"]
    assert draft.cohort[["site", "dose_gy", "interval_days"]].to_numpy().tolist() == [["North", 60, 12]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"sex": "sex"}}, "columns must map names of this library"),
        (
            {"columns": {"patient_id": "id", "sex": "Sex"}},
            r"column 'Sex' \(for sex\): missing; the table has 'id', 'sex'",
        ),
        ({"date_order": "ydm"}, "date_order='ydm'; it must be one of 'ymd', 'dmy', 'mdy'"),
        ({"decimal": ";"}, "decimal must be"),
        ({"decimal": {"Alter": ","}}, "'Alter' is no column of numbers; these are age_years"),
        ({"decimal": {"age_years": ";"}}, "age_years: ';'; it must be '.' or ','"),
        ({"codes": {"sex": {"x": "other"}}}, "sex: 'x' -> 'other'; it takes 'female', 'male'"),
        ({"codes": {"age": {}}}, "'age' has no codes"),
        ({"constants": {"sex": "male"}}, "sex is in columns, too"),
        ({"table": [" 04711001", "04711001 "]}, "patient 04711001: rows 1, 2; one row per patient"),
        ({"table": ["", "b"]}, "row 1: column patient_id is empty"),
        ({"ids": {"04711002": "04711001"}}, "patient 04711001: rows 1, 2; one row per patient"),
    ],
)
def test_arguments_are_checked(export, options, message):
    table = records(sex=["m", "w"])
    if "table" in options:
        table["id"] = options.pop("table")
    options = {"columns": {"patient_id": "id", "sex": "sex"}} | options
    with pytest.raises(InputError, match=message):
        draft_cohort(export[2], table, **options)


@pytest.mark.parametrize(
    ("text", "order", "day"),
    [
        ("01.03.2016", "dmy", "2016-03-01"), ("1/3/2016", "mdy", "2016-01-03"), ("2016-03-01", "dmy", "2016-03-01"),
        ("2016-03-01 00:00:00", "mdy", "2016-03-01"), ("2016. 3. 1.", "dmy", "2016-03-01"), ("1.3.16", "dmy", None),
        ("31.02.2016", "dmy", None), ("13/25/2016", "mdy", None), ("March 2016", "dmy", None), ("42430", "dmy", None),
    ],
)  # fmt: skip
def test_dates(text, order, day):
    assert parse_date(text, order) == (None if day is None else pd.Timestamp(day))


@pytest.mark.parametrize(
    ("text", "decimal", "number"),
    [("59,4", ",", 59.4), ("59.4", ".", 59.4), ("59,4", ".", None), ("59.4", ",", None), ("1.234,5", ",", None),
     ("60 Gy", ".", None), ("60", ",", 60)],
)  # fmt: skip
def test_numbers(text, decimal, number):
    found = parse_number(text, decimal)
    assert found == number or (number is None and found != found)


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        ({"m", "w"}, {"m": "male", "w": "female"}), ({"M", "F"}, {"M": "male", "F": "female"}),
        ({"H", "M"}, {"H": "male", "M": "female"}), ({"m"}, {}), ({"h", "f"}, {"h": "male", "f": "female"}),
        ({"m", "h", "f"}, {"h": "male", "f": "female"}), ({"1", "2"}, {}),
        ({"남", "여"}, {"남": "male", "여": "female"}),
    ],
)  # fmt: skip
def test_proposals_for_sex_depend_on_all_words(words, codes):
    assert propose_codes(words, "sex") == codes


def test_ambiguous_words_have_no_proposal():
    assert propose_codes({"positive", "negativ", "1", "ja", "?"}, "mgmt") == {"?": "unknown"}
    assert propose_codes({"?", "stabil"}, "outcome") == {}
