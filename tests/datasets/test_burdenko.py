"""The Burdenko loader on a small tree of files and on the real table."""

import numpy as np
import pandas as pd
import pytest
from cohort_trees import DIRTY, TABLE, line, write_table
from dicom_trees import PLANNING_FRAME, write_images, write_plan, write_structures
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from sklearn_pspd import ClinicalMinMaxScaler, SliceStackLoader, check_cohort, split_xy
from sklearn_pspd.datasets import CohortWarning, load_burdenko
from sklearn_pspd.exceptions import InputError


@pytest.fixture
def dirty(tmp_path):
    return write_table(tmp_path / "Burdenko-GBM-Progression", *DIRTY)


def findings(report):
    table = report.assign(short=report["patient_id"].str[-3:])
    return {finding: sorted(rows["short"]) for finding, rows in table.groupby("finding")}


def test_assessments_are_compared_as_whole_texts(dirty):
    cohort, report = load_burdenko(dirty, images="none", return_report=True)
    table = cohort.set_index(cohort["patient_id"].str[-3:]).drop(columns=["patient_id", "site"])
    assert table.index.tolist() == ["001", "002", "004", "006"]
    assert table["outcome"].tolist() == ["PD", "PsPD", "PD", "PsPD"]
    assert table["follow_up"].tolist() == [2, 1, 3, 2]
    assert table["interval_days"].tolist() == [96, -10, 63, 30]
    assert table["mgmt"].tolist() == ["methylated", "unknown", "unknown", "unknown"]
    assert table["idh"].tolist() == ["wildtype", "mutated", "wildtype", "wildtype"]
    assert table["sex"].tolist() == ["female", "male", "male", "male"]
    assert not {"image", "dose_gy", "n_fractions"} & set(table.columns)
    assert findings(report) == {
        "PsPD, but assessed as progression later": ["002"],
        "younger than 18 years": ["006"],
        "mixed assessment, not used for the outcome": ["003", "006"],
        "first follow-up before the end of radiotherapy": ["002"],
        "follow-up with a date but no assessment": ["004"],
        "interval_days below 0": ["002"],
        "left out: empty row": ["005"],
        "left out: no assessment that gives an outcome (first_progression)": ["003"],
        "surgery after the start of radiotherapy": ["004"],
    }
    assert set(report.loc[~report["in_cohort"], "patient_id"].str[-3:]) == {"003", "005"}


def test_the_first_followup_alone(dirty):
    cohort, report = load_burdenko(dirty, assessment="first_followup", images="none", return_report=True)
    assert cohort["patient_id"].str[-3:].tolist() == ["002"]
    left_out = report[report["finding"] == "left out: no assessment that gives an outcome (first_followup)"]
    assert left_out["value"].tolist()[0] == "response; progression"
    assert len(left_out) == 4


def test_without_a_report_one_warning_lists_all_findings(dirty):
    with pytest.warns(CohortWarning) as caught:
        load_burdenko(dirty, images="none")
    (warning,) = caught
    assert warning.filename == __file__
    text = str(warning.message)
    assert "first follow-up before the end of radiotherapy: 1 (Burdenko-GBM-002)" in text
    assert "mixed assessment, not used for the outcome: 2 (Burdenko-GBM-003, Burdenko-GBM-006)" in text


def test_all_errors_at_once_with_file_row_column_and_value(tmp_path):
    folder = write_table(
        tmp_path,
        line("Burdenko-GBM-001", ("Progression", "2/3/05")),
        line("Burdenko-GBM-002", ("progression", "2/30/05")),
        line("Burdenko-GBM-003", ("response, worse", "2/3/05"), sex="X", mgmt="maybe", age="old"),
        line("Burdenko-GBM-003", ("progression", "")),
        line("", ("progression", "2/3/05"), end="30.10.04", age="340"),
    )
    with pytest.raises(InputError, match="Burdenko-GBM-Progression has 11 problems") as error:
        load_burdenko(folder, images="none")
    for text in (
        f"{folder / TABLE}, row 2 (Burdenko-GBM-001), column Response_1st_fup: holds 'Progression'; it takes",
        "row 3 (Burdenko-GBM-002), column Anonym1st_fup: holds '2/30/05', which is not a date of the form %m/%d/%y",
        "row 4 (Burdenko-GBM-003), column Response_1st_fup: holds 'response, worse'",
        "row 4 (Burdenko-GBM-003), column Sex: holds 'X'",
        "row 4 (Burdenko-GBM-003), column MGMT: holds 'maybe'; it takes 'positive', 'negative', '?', ''",
        "row 4 (Burdenko-GBM-003), column AgeAtStudyDate: holds 'old', which is not a number",
        "row 5 (Burdenko-GBM-003), column Anonym1st_fup: is empty, although the assessment is 'progression'",
        "column AnonymPatientID: Burdenko-GBM-003 is in rows 4, 5",
        "row 6 (no id), column AnonymPatientID: is empty",
        "row 6 (no id), column AnonymEnd of RT: holds '30.10.04'",
        "row 6 (no id), column AgeAtStudyDate: holds '340', outside 0 to 120",
    ):
        assert text in str(error.value)


def test_missing_table_columns_and_choices(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no table with a name like burdenko\*clinical\*\.csv.*10.7937/E1QP-D183"
    ):
        load_burdenko(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"other\.csv: no such table"):
        load_burdenko(tmp_path, table="other.csv")
    (tmp_path / TABLE).write_text("AnonymPatientID,Sex\nA,M\n")
    with pytest.raises(
        ValueError, match=r"(?s)column 'IDH1/2': missing; the table has .*column 'Anonym10th_fup': missing"
    ):
        load_burdenko(tmp_path)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / TABLE).write_text("")
    with pytest.raises(InputError, match="several tables with a name like"):
        load_burdenko(tmp_path)
    with pytest.raises(InputError, match=r"copy/Burdenko GBM clinical data.csv: not a table"):
        load_burdenko(tmp_path, table=f"copy/{TABLE}")
    with pytest.raises(
        ValueError, match="assessment must be one of 'first_progression', 'first_followup'; got 'second'"
    ):
        load_burdenko(tmp_path, assessment="second")
    with pytest.raises(InputError, match="images must be one of 'required', 'available', 'none'; got False"):
        load_burdenko(tmp_path, images=False)


def write_patient(root, name, *, visit_date="2005-02-03", study="Control visit 2", frame=PLANNING_FRAME):
    """Write the planning study with plan and contours, and two follow-ups; return the folder of the image."""
    folder = root / "manifest-1" / "Burdenko-GBM-Progression" / name
    planning = folder / "09-01-2004-NA-Radiotherapy planning 00-01357"
    write_images(planning / "2.000000-CT-07510", "2004-09-01", "CT", modality="CT", frame=PLANNING_FRAME)
    write_images(planning / "5.000000-MR CET1-07511", "2004-09-01", "MR CET1", study="Radiotherapy planning 00")
    write_plan(planning / "3.000000-RTPLAN-07507", "2004-09-01")
    regions = {
        "PTV": [(0, 90.0)],
        "FU_1_CE": [(8.0, 5.0)],
        "FU_2_CE ": [(-2.0, 10.0), (-12.0, 9.0), (-12.0, 8.0), (4.0, 11.0)],
        "FU_2_FLAIR": [(-4.0, 70.0)],
    }
    write_structures(planning / "4.000000-RTSTRUCT-07508", "2004-09-01", regions)
    early = folder / "11-20-2004-NA-Control visit 1-75776"
    write_images(early / "400.000000-MR CET1-39990", "2004-11-20", "MR CET1", study="Control visit 1")
    late = folder / f"{visit_date}-NA-{study}-75777"
    write_images(late / "400.000000-MR0T2FLAIR-39997", visit_date, "MR T2FLAIR", study=study)
    write_images(late / "500.000000-MR CET1-39998", visit_date, "MR CET1", study=study, frame=frame)
    return late / "500.000000-MR CET1-39998"


ONE = line("Burdenko-GBM-001", ("response", "11/20/04"), ("progression", "2/3/05"))


def test_images_plan_and_contour_are_found_by_their_headers(tmp_path, monkeypatch):
    image = write_patient(write_table(tmp_path / "data", ONE), "Burdenko-GBM-001")
    monkeypatch.chdir(tmp_path)
    cohort, report = load_burdenko("data", return_report=True)
    (row,) = cohort.to_dict("records")
    assert row["image"] == str(image)
    assert (row["dose_gy"], row["n_fractions"]) == (60, 30)
    # The slice with the largest area contains two squares: 81 + 64 > 121.
    assert row["lesion_z_mm"] == row["contour_z_mm"] == -12
    # Squares with sides of 9 and 8 mm from the origin to the left and the back (DICOM).
    assert row["lesion_x_mm"] == row["lesion_y_mm"] == -4.25
    assert report.empty
    assert check_cohort(cohort) is cohort
    (stack,) = SliceStackLoader(n_slices=3).fit_transform(cohort)
    assert stack.slice_indices == (3.0, 4.0, 5.0)
    assert [round(image.mean(), -3) for image in stack.pixels] == [3000, 4000, 5000]


def test_a_contour_in_another_frame_of_reference_gives_no_lesion_position(tmp_path):
    write_patient(write_table(tmp_path / "data", ONE), "Burdenko-GBM-001", frame="1.2.3.4")
    cohort, report = load_burdenko(tmp_path / "data", return_report=True)
    assert cohort[["lesion_x_mm", "lesion_y_mm", "lesion_z_mm"]].isna().all(axis=None)
    assert cohort["contour_z_mm"][0] == -12
    assert findings(report) == {"contour in another frame of reference than the image": ["001"]}
    with pytest.raises(InputError, match="has 11 axial slices and no lesion position"):
        SliceStackLoader(n_slices=3).fit_transform(cohort)
    cohort, report = load_burdenko(tmp_path / "data", assume_registered=True, return_report=True)
    assert cohort["lesion_z_mm"][0] == -12
    assert findings(report) == {"contour in another frame of reference than the image, assumed registered": ["001"]}


def test_a_study_of_another_date_is_found_by_its_description_and_reported(tmp_path):
    image = write_patient(write_table(tmp_path / "data", ONE), "Burdenko-GBM-001", visit_date="2006-02-03")
    cohort, report = load_burdenko(tmp_path / "data", return_report=True)
    assert cohort["image"][0] == str(image)
    assert report["finding"].tolist() == ["study identified by its description because its date differs"]
    assert report["value"][0] == "2006-02-03, not 2005-02-03"


def test_plans_that_disagree_and_missing_plans_are_reported(tmp_path):
    lines = [[name, *ONE[1:]] for name in ("Burdenko-GBM-001", "Burdenko-GBM-002", "Burdenko-GBM-003")]
    root = write_table(tmp_path / "data", *lines)
    for cells in lines:
        write_patient(root, cells[0])
    plans = {cells[0]: next(root.rglob(f"{cells[0]}/*/3.000000-RTPLAN-07507")) for cells in lines}
    write_plan(plans["Burdenko-GBM-001"].with_name("RTPLAN-2"), "2004-09-01", (45.0,), (15,))
    write_plan(plans["Burdenko-GBM-002"], "2004-09-01", (60.0, 54.0), (30,))
    (plans["Burdenko-GBM-003"] / "1-1.dcm").unlink()
    cohort, report = load_burdenko(root, return_report=True)
    np.testing.assert_array_equal(cohort["dose_gy"], [np.nan] * 3)
    np.testing.assert_array_equal(cohort["n_fractions"], [np.nan, 30, np.nan])
    found = findings(report)
    assert found["radiotherapy plans without a single prescription"] == ["001", "002"]
    assert found["no radiotherapy plan"] == ["003"]
    assert found["dose_gy missing"] == ["001", "002", "003"]
    values = report.set_index("patient_id")["value"]
    assert "60 Gy in 30 fractions; 45 Gy in 15 fractions" in set(values["Burdenko-GBM-001"])


def test_missing_and_ambiguous_images(tmp_path):
    lines = [[f"Burdenko-GBM-00{number}", *ONE[1:]] for number in (1, 2, 3)]
    root = write_table(tmp_path / "data", *lines)
    write_patient(root, "Burdenko-GBM-001")
    image = write_patient(root, "Burdenko-GBM-002")
    for file in image.iterdir():
        file.unlink()
    with pytest.raises(InputError, match="has 2 problems") as error:
        load_burdenko(root)
    assert "Burdenko-GBM-002 has no MR series 'CET1' of follow-up 2 (2005-02-03); it has" in str(error.value)
    assert "MR T2FLAIR" in str(error.value)
    assert "Burdenko-GBM-003: no folder Burdenko-GBM-003 in" in str(error.value)
    cohort, report = load_burdenko(root, images="available", return_report=True)
    assert cohort["patient_id"].tolist() == ["Burdenko-GBM-001"]
    assert findings(report)["left out: no image"] == ["002", "003"]
    write_images(image.with_name("600-CET1-again"), "2005-02-03", "MR CET1 reformatted", study="Control visit 2")
    write_images(image.with_name("700-CET1-again"), "2005-02-03", "MR CET1 thin", study="Control visit 2")
    with pytest.raises(
        ValueError,
        match=r"several series match 'CET1' at follow-up 2: .*reformatted.*thin.*pass a more specific series=",
    ):
        load_burdenko(root, images="available")
    assert len(load_burdenko(root, images="available", series="cet1 thin", return_report=True)[0]) == 1


def test_series_without_preamble_are_found(tmp_path):
    image = write_patient(write_table(tmp_path / "data", ONE), "Burdenko-GBM-001")
    expected = load_burdenko(tmp_path / "data")
    for file in (tmp_path / "data").rglob("*.dcm"):
        file.write_bytes(file.read_bytes()[132:])
    cohort = load_burdenko(tmp_path / "data")
    assert cohort["image"].tolist() == [str(image)]
    pd.testing.assert_frame_equal(cohort, expected)


def test_damaged_files_are_problems_of_their_patients(tmp_path):
    lines = [[f"Burdenko-GBM-00{number}", *ONE[1:]] for number in (1, 2)]
    root = write_table(tmp_path / "data", *lines)
    for cells in lines:
        write_patient(root, cells[0])
        (plan,) = root.rglob(f"{cells[0]}/*/3.000000-RTPLAN-07507/1-1.dcm")
        plan.write_bytes(plan.read_bytes()[:-20])
    with pytest.raises(InputError, match="has 2 problems") as error:
        load_burdenko(root, images="available")
    for cells in lines:
        assert f"{cells[0]}: " in str(error.value)
    assert str(error.value).count("RTPLAN-07507/1-1.dcm cannot be read") == 2


@pytest.fixture(scope="module")
def real(shared_data):
    return shared_data / "clinical"


@pytest.mark.parametrize(
    ("assessment", "counts"),
    [("first_progression", {"PD": 83, "PsPD": 32}), ("first_followup", {"PsPD": 31, "PD": 20})],
)
def test_the_real_table(real, assessment, counts):
    cohort, report = load_burdenko(real, assessment=assessment, images="none", return_report=True)
    assert cohort["outcome"].value_counts().to_dict() == counts
    found = findings(report)
    assert len(found["first follow-up before the end of radiotherapy"]) == 23
    assert found["follow-up with a date but no assessment"] == ["008", "010", "010", "022", "140", "165"]
    assert found["surgery after the start of radiotherapy"] == ["008", "027"]
    assert found["left out: empty row"] == ["045", "063"]
    left_out = report["finding"].str.startswith("left out")
    assert len(cohort) + left_out.sum() == 180
    assert not report.loc[left_out, "in_cohort"].any()
    assert len(found["PsPD, but assessed as progression later"]) == (13 if assessment == "first_progression" else 12)
    days = cohort.groupby("outcome")["interval_days"].median()
    if assessment == "first_progression":
        assert days.to_dict() == {"PD": 132, "PsPD": 19.5}


def test_days_since_radiotherapy_repeat_the_label_of_the_real_table(real):
    """Age, sex, MGMT and IDH have an AUC near 0.52; with the days, the AUC is 0.89; the days alone have 0.88."""
    cohort, _ = load_burdenko(real, images="none", return_report=True)
    X, y = split_xy(cohort)
    features = ["age_years", "sex", "mgmt", "idh"]
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    aucs = []
    for columns in (features, [*features, "interval_days"], ["interval_days"]):
        forest = RandomForestClassifier(100, random_state=0)
        model = make_pipeline(ClinicalMinMaxScaler(), forest)
        scores = cross_val_predict(model, X[columns], y, cv=folds, method="predict_proba")[:, 1]
        aucs.append(roc_auc_score(y, scores))
    assert aucs == pytest.approx([0.52, 0.89, 0.88], abs=0.06)


def test_the_padded_table_is_read_whole(real):
    raw = pd.read_csv(real / "Burdenko-GBM-clinical-data.padded-copy.csv", skipinitialspace=True)
    assert raw.shape == (180, 31)
    cohort, _ = load_burdenko(real, images="none", return_report=True)
    assert cohort["patient_id"].isin(raw.iloc[:, 0].str.strip()).all()
    assert cohort["patient_id"].is_unique
