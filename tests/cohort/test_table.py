"""The cohort table and its checks."""

import gzip
import re

import numpy as np
import pandas as pd
import pytest

from sklearn_pspd import check_cohort, read_cohort, split_xy
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
        (ids[9], "absent.nii.gz does not exist"),
        (ids[10], "empty is an empty folder"),
        (ids[11], "text.nii is neither NIfTI nor DICOM"),
        (ids[12], "short.nii.gz cannot be read"),
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
    with pytest.raises(InputError, match=r"(?s)column site: missing.*column idh: missing.*column outcome: missing"):
        check_cohort(cohort.drop(columns=["site", "idh", "outcome"]))


def test_an_empty_table_is_refused(cohort):
    with pytest.raises(InputError, match="no patients"):
        check_cohort(cohort.iloc[:0])


def test_text_in_a_number_column_names_only_its_patient(cohort_folder, tmp_path):
    table = pd.read_csv(cohort_folder / "cohort.csv", dtype=str)
    table["image"] = [str(cohort_folder / image) for image in table["image"]]
    table.loc[3, "dose_gy"] = "60 Gy"
    table.to_csv(tmp_path / "cohort.csv", index=False)
    with pytest.raises(InputError, match=r"1 problem:\n  patient synthetic-........-0..: column dose_gy holds '60 Gy'"):
        read_cohort(tmp_path / "cohort.csv")


def test_text_na_is_a_value_and_not_missing(cohort_folder, tmp_path):
    table = pd.read_csv(cohort_folder / "cohort.csv", dtype=str)
    table["image"] = [str(cohort_folder / image) for image in table["image"]]
    table.loc[0, "patient_id"] = "NA"
    table.to_csv(tmp_path / "cohort.csv", index=False)
    assert read_cohort(tmp_path / "cohort.csv")["patient_id"][0] == "NA"


@pytest.mark.parametrize("content", ["", "a,b\n1,2,3\n4\n5,6,7,8\n"])
def test_no_table(tmp_path, content):
    (tmp_path / "cohort.csv").write_text(content)
    with pytest.raises(InputError, match=r"cohort\.csv: not a comma-separated table"):
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
    assert re.search(f"patient {second}: column image: x+ cannot be read", str(error.value))
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
    with pytest.raises(InputError, match="not a comma-separated table"):
        read_cohort(path)
    path.write_text("patient_id,site\nP1,A,\n p1,B,\n")
    with pytest.raises(
        ValueError, match="patient P1: 2 rows have this patient_id, spelt 'P1', ' p1'; one row per patient"
    ):
        read_cohort(path)
