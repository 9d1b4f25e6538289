"""The cohort table and its checks."""

import gzip
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from sklearn_pspd import check_cohort, read_cohort, split_xy
from sklearn_pspd.cohort import CLINICAL_COLUMNS, ClinicalColumn, absent_columns, missing_counts
from sklearn_pspd.exceptions import InputError


@pytest.fixture
def cohort(cohort_folder):
    return read_cohort(cohort_folder / "cohort.csv")


def test_a_valid_table_passes_unchanged(cohort):
    before = cohort.copy(deep=True)
    assert check_cohort(cohort) is cohort
    pd.testing.assert_frame_equal(cohort, before)


def test_paths_are_relative_to_the_table(cohort_folder, cohort, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = pd.read_csv(cohort_folder / "cohort.csv")
    assert not written["image"].str.startswith("/").any()
    pd.testing.assert_frame_equal(read_cohort(cohort_folder / "cohort.csv"), cohort)


def test_images_elsewhere(cohort_folder, cohort, tmp_path):
    shutil.copy(cohort_folder / "cohort.csv", tmp_path)
    pd.testing.assert_frame_equal(read_cohort(tmp_path / "cohort.csv", image_root=cohort_folder), cohort)
    with pytest.raises(FileNotFoundError, match=r"image_root .*nowhere: no such folder"):
        read_cohort(tmp_path / "cohort.csv", image_root=tmp_path / "nowhere")


def test_all_problems_are_reported_at_once(cohort, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.nii").write_text("no image")
    (tmp_path / "short.nii.gz").write_bytes(gzip.compress(b"\0" * 400)[:15])
    bad = cohort.astype({"age_years": object, "n_fractions": object, "lesion_slice": object})
    ids = list(bad["patient_id"])
    bad.loc[0, "patient_id"] = ids[1]
    bad.loc[2, "age_years"] = 340
    bad.loc[3, "sex"] = "M"
    bad.loc[4, "mgmt"] = None
    bad.loc[5, "interval_days"] = -3
    bad.loc[6, "n_fractions"] = 30.5
    bad.loc[7, "dose_gy"] = np.nan
    bad.loc[8, "outcome"] = "progression"
    bad.loc[9, "image"] = str(tmp_path / "absent.nii.gz")
    bad.loc[10, "image"] = str(tmp_path / "empty")
    bad.loc[11, "image"] = str(tmp_path / "text.nii")
    bad.loc[12, "image"] = str(tmp_path / "short.nii.gz")
    bad.loc[13, "lesion_slice"] = np.nan
    bad.loc[14, "lesion_slice"] = -1
    bad.loc[15, "age_years"] = "60 years"
    bad.loc[16, "site"] = " "
    bad.loc[17, "patient_id"] = ""
    bad["lesion_z_mm"] = np.where(np.arange(len(bad)) == 18, 4.5, np.nan)
    with pytest.raises(InputError, match="the cohort table has 18 problems") as error:
        check_cohort(bad)
    lines = str(error.value).splitlines()[1:]
    expected = [
        (ids[1], "2 rows have this patient_id; one row per patient"),
        (ids[2], "column age_years holds 340, outside 0 to 120 years"),
        (ids[3], "column sex holds 'M'; it takes 'female', 'male'"),
        (ids[4], "column mgmt is empty"),
        (ids[5], "column interval_days holds -3, outside 0 to 10000 days"),
        (ids[6], "column n_fractions holds 30.5, which is not a whole number"),
        (ids[7], "column dose_gy is empty"),
        (ids[8], "column outcome holds 'progression'; it takes 'PD', 'PsPD'"),
        (ids[9], "absent.nii.gz' does not exist"),
        (ids[10], "empty' is an empty folder"),
        (ids[11], "text.nii' is neither a NIfTI file nor a DICOM file (text file)"),
        (ids[12], "short.nii.gz' cannot be read"),
        (ids[13], "the lesion position is missing"),
        (ids[14], "column lesion_slice holds -1"),
        (ids[15], "column age_years holds '60 years', which is not a number"),
        (ids[16], "column site is empty"),
        ("in row 18", "column patient_id is empty"),
        (ids[18], "the lesion position is given more than once"),
    ]
    assert len(lines) == len(expected)
    for patient, problem in expected:
        assert any(patient in line and problem in line for line in lines), (patient, problem, lines)


def test_missing_columns_are_reported_together(cohort):
    lacking = cohort.drop(columns=["site", "idh", "outcome"])
    message = r"has 2 problems:\n  column site: missing; for patients of one hospital, [^\n]*\n"
    message += r"  column outcome: missing; the table has 'patient_id', 'image', "
    with pytest.raises(InputError, match=message):
        check_cohort(lacking)
    message = r"(?s)column site: missing.*column idh: missing.*column outcome: missing"
    with pytest.raises(InputError, match=message):
        check_cohort(lacking, clinical=CLINICAL_COLUMNS)


def test_an_empty_table_is_refused(cohort):
    with pytest.raises(InputError, match="no patients"):
        check_cohort(cohort.iloc[:0])


def test_text_in_a_number_column_names_only_its_patient(cohort_folder, tmp_path):
    table = pd.read_csv(cohort_folder / "cohort.csv", dtype=str)
    table["image"] = [str(cohort_folder / image) for image in table["image"]]
    table.loc[3, "dose_gy"] = "60 Gy"
    table.to_csv(tmp_path / "cohort.csv", index=False)
    with pytest.raises(
        InputError, match=r"1 problem:\n  row 5, patient synthetic-........-0..: column dose_gy holds '60 Gy'"
    ):
        read_cohort(tmp_path / "cohort.csv")


def test_text_na_is_a_value_and_not_missing(cohort_folder, tmp_path):
    table = pd.read_csv(cohort_folder / "cohort.csv", dtype=str)
    table["image"] = [str(cohort_folder / image) for image in table["image"]]
    table.loc[0, "patient_id"] = "NA"
    table.to_csv(tmp_path / "cohort.csv", index=False)
    assert read_cohort(tmp_path / "cohort.csv")["patient_id"][0] == "NA"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("a,b\n1,2,3\n4\n5,6,7,8\n", r"has no row with the names of the columns .*; its first row has 'a', 'b'"),
    ],
)
def test_no_table(tmp_path, content, message):
    (tmp_path / "cohort.csv").write_text(content)
    with pytest.raises(InputError, match=rf"cohort\.csv, read as UTF-8 with commas, {message}"):
        read_cohort(tmp_path / "cohort.csv")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.csv: no such file"):
        read_cohort(tmp_path / "absent.csv")


def test_split_names_the_patients(cohort):
    X, y = split_xy(cohort)
    assert "outcome" not in X.columns
    assert list(X.index) == list(cohort["patient_id"])
    assert X.index.name == "patient"
    np.testing.assert_array_equal(y, (cohort["outcome"] == "PsPD").astype(int))


def test_a_cell_that_is_not_a_path_is_a_problem_of_its_patient(cohort):
    """A number or a text that is too long for the file system must not hide the problems of other patients."""
    bad = cohort.astype({"image": object, "lesion_slice": object})
    bad.loc[0, "image"] = 3.5
    bad.loc[1, "image"] = "x" * 300
    bad.loc[[0, 1], "lesion_slice"] = None
    with pytest.raises(InputError, match="the cohort table has 4 problems") as error:
        check_cohort(bad)
    first, second = bad["patient_id"][:2]
    assert f"patient {first}: column image holds 3.5, which is not a path" in str(error.value)
    assert re.search(f"patient {second}: column image: 'x+' cannot be read", str(error.value))
    assert str(error.value).count("the lesion position is missing") == 2


def test_split_lists_missing_columns(cohort):
    with pytest.raises(InputError, match=r"has 2 problems:\n  column patient_id: missing\n  column outcome: missing"):
        split_xy(cohort.drop(columns=["patient_id", "outcome"]))


def test_split_refuses_other_outcomes(cohort):
    cohort = cohort.assign(outcome=["stable", *cohort["outcome"][1:]])
    with pytest.raises(InputError, match=r"patient synthetic-........-001: column outcome holds 'stable'"):
        split_xy(cohort)


def test_a_row_with_more_fields_than_the_header_is_refused(tmp_path):
    """Otherwise the first column would become the index and each value would be assigned to the wrong column."""
    path = tmp_path / "cohort.csv"
    path.write_text("patient_id,site\nP1,A,lost\nP2,B,\n")
    with pytest.raises(InputError, match=r"3 problems:\n  row 2: has 3 cells, the header 2; the surplus is 'lost'\n"):
        read_cohort(path)
    path.write_text("patient_id,site\nP1,A,\n p1,B,\n")
    with pytest.raises(
        ValueError, match=r"patient P1: 2 rows \(2, 3\) have this patient_id, spelt 'P1', ' p1'; one row per patient"
    ):
        read_cohort(path)


# Clinical columns of the study's choice

KPS = ClinicalColumn("kps", unit="percent", range=(0, 100), whole=True)
STEROIDS = ClinicalColumn("steroids", codes={"no": 0, "yes": 1}, may_be_unknown=True)


def test_a_table_may_lack_clinical_columns(cohort):
    lacking = cohort.drop(columns=["dose_gy", "n_fractions"])
    assert check_cohort(lacking) is lacking
    assert absent_columns(lacking) == {"dose_gy": "not in the table", "n_fractions": "not in the table"}
    assert absent_columns(lacking, ["age_years", "sex", "mgmt", "idh"]) == {
        "dose_gy": "not in the table",
        "n_fractions": "not in the table",
        "interval_days": "not chosen",
    }
    assert absent_columns(cohort) == {}


def test_chosen_columns_are_checked_and_others_are_not(cohort):
    extra = cohort.assign(kps=80, steroids="no", dose_gy="?").astype({"kps": object})
    chosen = ["age_years", KPS, STEROIDS]
    assert check_cohort(extra, clinical=chosen) is extra
    extra.loc[0, "kps"] = 110
    extra.loc[1, "kps"] = 72.5
    extra.loc[2, "steroids"] = "Yes"
    extra.loc[3, "steroids"] = None
    names = extra["patient_id"]
    with pytest.raises(InputError, match="has 5 problems") as error:
        check_cohort(extra.drop(columns="age_years"), clinical=chosen)
    assert str(error.value).splitlines()[1:] == [
        "  column age_years: missing; the table has " + ", ".join(map(repr, extra.columns.drop("age_years"))),
        f"  patient {names[0]}: column kps holds 110, outside 0 to 100 percent",
        f"  patient {names[1]}: column kps holds 72.5, which is not a whole number",
        f"  patient {names[2]}: column steroids holds 'Yes'; it takes 'no', 'yes', 'unknown'; did you mean 'yes'?",
        f"  patient {names[3]}: column steroids is empty",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "outcome"}, "is a column of the cohort table with another meaning"),
        ({"name": " kps"}, "name must be a text without blanks around it"),
        ({"name": "kps", "range": (100, 0)}, "range must be two numbers, the smaller first"),
        ({"name": "kps", "range": 100}, "range must be two numbers, the smaller first"),
        ({"name": "kps", "may_be_unknown": True}, "holds numbers, which are not 'unknown' but missing"),
        ({"name": "steroids", "codes": ("no", "yes")}, "codes must map two or more texts to different numbers"),
        ({"name": "steroids", "codes": {"no": 0}}, "codes must map two or more texts to different numbers"),
        ({"name": "steroids", "codes": {"no": 0, "yes": 0}}, "codes must map two or more texts to different numbers"),
        ({"name": "steroids", "codes": {"no": 0, "yes": np.nan}}, "codes must map two or more texts"),
        ({"name": "steroids", "codes": {0: 0, 1: 1}}, "codes must map two or more texts to different numbers"),
        ({"name": "steroids", "codes": {"unknown": 0, "yes": 1}}, "set may_be_unknown=True"),
        ({"name": "steroids", "codes": {"no": 0, "yes": 1}, "unit": "mg"}, "has codes, so it has no unit, no range"),
    ],
)
def test_declarations_that_contradict_themselves_are_refused(arguments, message):
    with pytest.raises(InputError, match=re.escape(f"ClinicalColumn({arguments['name']!r}): ") + ".*" + message):
        ClinicalColumn(**arguments)


# Missing numbers, and patients without an outcome


def test_missing_numbers_are_refused_in_one_line_each_or_kept(cohort):
    incomplete = cohort.astype({"interval_days": float})
    incomplete.loc[[0, 3, 5], "age_years"] = np.nan
    incomplete.loc[1, "dose_gy"] = np.nan
    names = cohort["patient_id"]
    listed = f"patients {', '.join(names[row] for row in (0, 3, 5))}"
    with pytest.raises(InputError, match="has 2 problems") as error:
        check_cohort(incomplete)
    assert f"column age_years is empty for 3 patients ({listed}); missing='keep' admits missing" in str(error.value)
    assert f"column dose_gy is empty for 1 patient (patient {names[1]}); missing='keep'" in str(error.value)
    assert check_cohort(incomplete, missing="keep") is incomplete
    incomplete.loc[2, "interval_days"] = np.nan
    with pytest.raises(
        InputError, match=r"has 1 problem:\n  column interval_days is empty for 1 .* may not be missing"
    ):
        check_cohort(incomplete, missing="keep")
    with pytest.raises(InputError, match="missing must be 'refuse' or 'keep'; got 'median'"):
        check_cohort(incomplete, missing="median")


def test_missing_values_are_counted_by_outcome(cohort):
    table = cohort.astype({"outcome": object})
    table.loc[0, "outcome"] = None
    table["age_years"] = table["age_years"].where(table["outcome"].eq("PD"))
    table["idh"] = "unknown"
    counts = missing_counts(table, ["age_years", "idh"])
    n_pd, n_pspd = (int(table["outcome"].eq(outcome).sum()) for outcome in ("PD", "PsPD"))
    assert counts.to_numpy().tolist() == [
        ["age_years", "PD", n_pd, 0, 0],
        ["age_years", "PsPD", n_pspd, n_pspd, 0],
        ["age_years", "", 1, 1, 0],
        ["idh", "PD", n_pd, 0, n_pd],
        ["idh", "PsPD", n_pspd, 0, n_pspd],
        ["idh", "", 1, 0, 1],
    ]
    assert missing_counts(cohort)["missing"].sum() == 0
    assert missing_counts(cohort.drop(columns="outcome"))["outcome"].tolist() == [""] * 7


def test_a_prediction_needs_no_outcomes(cohort_folder, cohort, tmp_path):
    table = pd.read_csv(cohort_folder / "cohort.csv", dtype=str)
    table["image"] = [str(cohort_folder / image) for image in table["image"]]
    table.drop(columns="outcome").to_csv(tmp_path / "new.csv", index=False)
    new = read_cohort(tmp_path / "new.csv", outcome="optional")
    pd.testing.assert_frame_equal(new, cohort.drop(columns="outcome"))
    table.loc[[1, 4], "outcome"] = ""
    table.to_csv(tmp_path / "some.csv", index=False)
    some = read_cohort(tmp_path / "some.csv", outcome="optional")
    assert some["outcome"].isna().sum() == 2
    with pytest.raises(InputError, match=r"has 2 problems:\n  row 3, .*: column outcome is empty\n  row 6, "):
        read_cohort(tmp_path / "some.csv")
    message = rf"has 2 problems:\n  patient {cohort['patient_id'][1]}: column outcome is empty\n  patient "
    with pytest.raises(InputError, match=message):
        split_xy(some)
    table.loc[1, "outcome"] = "?"
    table.to_csv(tmp_path / "some.csv", index=False)
    with pytest.raises(InputError, match=r"has 1 problem:\n  row 3, .*: column outcome holds '\?'"):
        read_cohort(tmp_path / "some.csv", outcome="optional")
    with pytest.raises(InputError, match="outcome must be 'required' or 'optional'; got None"):
        check_cohort(cohort, outcome=None)


# Frames of other kinds


def test_a_frame_that_is_none_of_pandas_is_refused_in_one_sentence(cohort):
    class Frame:
        def to_pandas(self):
            return cohort

    for table, kind in (
        (Frame(), r".*\.Frame; convert it by to_pandas\(\)"),
        ({"patient_id": ["a"]}, "builtins.dict;"),
    ):
        for use in (check_cohort, split_xy):
            with pytest.raises(InputError, match=f"^the cohort table must be a DataFrame of pandas; got {kind}"):
                use(table)


def test_a_frame_with_a_column_twice_is_refused(cohort):
    twice = pd.concat([cohort, cohort[["outcome", "sex"]]], axis=1)
    for use in (check_cohort, split_xy):
        with pytest.raises(
            InputError, match=r"2 problems:\n  column 'outcome': occurs 2 times\n  column 'sex': occurs 2"
        ):
            use(twice)
    with pytest.raises(InputError, match="has 2 levels of column names"):
        check_cohort(pd.concat({"a": cohort}, axis=1))


@pytest.mark.parametrize("dtype", ["object", "category"])
def test_dtypes_of_text_columns_make_no_difference(cohort, dtype):
    texts = ["patient_id", "site", "image", "sex", "mgmt", "idh", "outcome"]
    other = cohort.astype(dict.fromkeys(texts, dtype))
    assert check_cohort(other) is other
    np.testing.assert_array_equal(split_xy(other)[1], split_xy(cohort)[1])
    numbers = cohort.convert_dtypes()
    assert check_cohort(numbers) is numbers
