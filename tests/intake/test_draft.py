"""The cohort table from an export and a messy spreadsheet."""

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
