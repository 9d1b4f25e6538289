"""Loaders of UPENN-GBM, LUMIERE and MU-Glioma-Post on small trees of files."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from cohort_trees import (
    AFFINE,
    HISTORIES,
    MU_TABLE,
    UPENN_HEADER,
    write_image,
    write_lumiere,
    write_mu,
    write_upenn,
)

from sklearn_pspd import SliceStackLoader, check_cohort
from sklearn_pspd.datasets import CohortWarning, load_lumiere, load_mu_glioma_post, load_upenn_gbm
from sklearn_pspd.exceptions import InputError


def findings(report):
    return {finding: rows["patient_id"].tolist() for finding, rows in report.groupby("finding")}


@pytest.fixture
def upenn(tmp_path):
    return write_upenn(tmp_path)


def test_upenn(upenn):
    cuts = {"pspd_scores": (1, 2), "pd_scores": (5, 6)}
    cohort, report = load_upenn_gbm(upenn, **cuts, return_report=True)
    assert cohort.columns.tolist() == [
        "patient_id", "site", "image", "age_years", "sex", "mgmt", "idh", "outcome", "scan_id", "score",
        "baseline_days",
    ]  # fmt: skip
    assert cohort["patient_id"].tolist() == ["UPENN-GBM-00001", "UPENN-GBM-00002"]
    assert cohort[["sex", "mgmt", "idh", "outcome", "score"]].to_numpy().tolist() == [
        ["female", "unknown", "wildtype", "PD", 6],
        ["male", "methylated", "unknown", "PsPD", 1],
    ]
    assert cohort["image"].str.endswith("00001_21_T1GD.nii.gz").tolist() == [True, False]
    assert findings(report) == {
        "left out: score not assigned to an outcome": ["UPENN-GBM-00003"],
        "left out: follow-up without a score": ["UPENN-GBM-00004"],
        "days since baseline missing": ["UPENN-GBM-00002"],
    }
    stacks = SliceStackLoader(n_slices=3).fit_transform(cohort.assign(lesion_slice=5))
    assert stacks[0].pixels.shape == (3, 13, 12)
    turned, _ = load_upenn_gbm(upenn, pspd_scores=(6,), pd_scores=(1, 2), return_report=True)
    assert turned["outcome"].tolist() == ["PsPD", "PD"]


def test_upenn_images(upenn):
    wide = {"pspd_scores": (1, 2, 3), "pd_scores": (4, 5, 6)}
    with pytest.raises(InputError, match=r"UPENN-GBM-00003: neither .*00003_21_T1GD\.nii\.gz nor .*NIfTI-files"):
        load_upenn_gbm(upenn, **wide)
    cohort, report = load_upenn_gbm(upenn, **wide, unstripped=True, images="available", return_report=True)
    assert cohort["image"].str.contains("images_structural_unstripped").tolist() == [True]
    assert findings(report)["left out: no image"] == ["UPENN-GBM-00002", "UPENN-GBM-00003"]


def test_upenn_refusals(upenn):
    with pytest.raises(TypeError, match="pspd_scores"):
        load_upenn_gbm(upenn)
    for scores in ((), 1, "12", (0, 1)):
        with pytest.raises(InputError, match="pd_scores must contain at least one score, each from 1 to 6; got"):
            load_upenn_gbm(upenn, pspd_scores=(2,), pd_scores=scores)
    header = UPENN_HEADER.replace("MGMT", "MGMT ,MGMT")
    (upenn / "UPENN-GBM_clinical_info_v1.0.csv").write_text(header)
    with pytest.raises(InputError, match="column 'MGMT': occurs 2 times"):
        load_upenn_gbm(upenn, pspd_scores=(1,), pd_scores=(6,), images="none")
    # Row numbers include empty rows, as in a spreadsheet.
    bad = UPENN_HEADER + "\nUPENN-GBM-00001_31,Q,,x,wt,?,,,soon,7\nUPENN-GBM-00001_31,F,1,x,NA,NA,,,1,1\n"
    (upenn / "UPENN-GBM_clinical_info_v1.0.csv").write_text(bad)
    with pytest.raises(InputError, match="UPENN-GBM has 8 problems") as error:
        load_upenn_gbm(upenn, pspd_scores=(1,), pd_scores=(6,), images="none")
    for text in (
        "row 3 (UPENN-GBM-00001_31), column ID: ends in neither _11 nor _21",
        "column ID: UPENN-GBM-00001_31 is in rows 3, 4",
        "row 3 (UPENN-GBM-00001_31), column Gender: holds 'Q'",
        "column IDH1: holds 'wt'",
        "column MGMT: holds '?'",
        "column Time_since_baseline_preop: holds 'soon', which is not a number",
        "column PsP_TP_score: holds '7'",
    ):
        assert text in str(error.value)


def test_upenn_real_table(shared_data):
    parameters = {"pspd_scores": (1, 2, 3), "pd_scores": (4, 5, 6), "images": "none", "return_report": True}
    cohort, report = load_upenn_gbm(shared_data / "clinical", **parameters)
    assert cohort["score"].value_counts().sort_index().tolist() == [3, 5, 9, 9, 14, 20]
    assert cohort["patient_id"].is_unique
    assert cohort["sex"].value_counts().to_dict() == {"male": 37, "female": 23}
    assert cohort["idh"].value_counts().to_dict() == {"wildtype": 47, "unknown": 10, "mutated": 3}
    assert (cohort["mgmt"] != "unknown").sum() == 29
    assert cohort["baseline_days"].agg(["min", "max"]).tolist() == [31, 1762]
    assert len(findings(report)["days since baseline missing"]) == 8
    narrow, report = load_upenn_gbm(
        shared_data / "clinical", pspd_scores=(1, 2), pd_scores=(5, 6), images="none", return_report=True
    )
    assert narrow["outcome"].value_counts().to_dict() == {"PD": 34, "PsPD": 8}
    assert len(findings(report)["left out: score not assigned to an outcome"]) == 18


def test_lumiere_labels_come_from_the_ratings_after_the_first_pd(tmp_path):
    cohort, report = load_lumiere(write_lumiere(tmp_path), images="none", return_report=True)
    assert cohort["patient_id"].str[-3:].tolist() == ["001", "002", "003", "005", "006"]
    assert cohort["outcome"].tolist() == ["PsPD", "PD", "undetermined", "PsPD", "undetermined"]
    assert cohort["rule"].tolist() == ["decreased on MRI", "increased on MRI", "", "stable on MRI", ""]
    assert cohort["week"].tolist() == ["week-016", "week-010", "week-012", "week-008", "week-008"]
    assert cohort["baseline_days"].tolist() == [112, 70, 84, 56, 56]
    assert cohort["idh"].tolist() == ["wildtype", "wildtype", "unknown", "unknown", "mutated"]
    assert cohort["mgmt"].tolist() == ["methylated", "unmethylated", "unknown", "methylated", "unknown"]
    found = findings(report)
    assert found["left out: never rated PD"] == ["Patient-004"]
    assert found["rated Post-Op/PD, treated as Post-Op"] == ["Patient-003"]
    assert found["scan without a rating"] == ["Patient-002"]
    assert found["scan with different ratings"] == ["Patient-006"]
    assert found["contradictory ratings"] == ["Patient-006"]
    assert found["outcome undetermined"] == ["Patient-003", "Patient-006"]
    assert found["IDH negative but not sequenced, treated as unknown"] == ["Patient-005"]
    assert found["age_years missing"] == ["Patient-006"]
    strict, _ = load_lumiere(tmp_path, images="none", stable_days=127, return_report=True)
    assert strict["outcome"].tolist()[3] == "undetermined"


def test_lumiere_ratings_of_the_week_of_the_first_pd(tmp_path):
    """In that week a second PD is not an increase, another rating contradicts it, and earlier surgery is ignored."""
    histories = {
        "Patient-001": [("012-1", "PD"), ("012-1", ""), ("012-2", "PD"), ("020", "PR")],
        "Patient-002": [("012", "PD"), ("012", "SD"), ("040", "SD")],
        "Patient-003": [("012-1", "PD"), ("012-2", "SD"), ("020", "PD")],
        "Patient-004": [("012-1", "Post-Op"), ("012-2", "PD"), ("020", "PR")],
        "Patient-005": [("012-1", "PD"), ("012-2", "Post-Op"), ("020", "PR")],
        "Patient-006": [("012", "PD"), ("020-1", "SD"), ("020-2", "PD")],
    }
    write_lumiere(tmp_path, histories)
    table = tmp_path / "LUMIERE-ExpertRating-v202211.csv"
    table.write_text(table.read_text().replace("Patient-001,week-012-1,,,,", "Patient-001,week-012-1, x ,,,"))
    cohort, report = load_lumiere(tmp_path, images="none", return_report=True)
    assert cohort["outcome"].tolist() == ["PsPD", *["undetermined"] * 2, "PsPD", *["undetermined"] * 2]
    assert cohort["less_than_3_months"].tolist() == [True, *[False] * 5]
    found = findings(report)
    assert found["scan with different ratings"] == ["Patient-002"]
    assert found["contradictory ratings"] == ["Patient-002", "Patient-003", "Patient-006"]
    table.write_text(table.read_text().replace(", x ,", ",maybe,"))
    with pytest.raises(InputError, match="column LessThan3Months: holds 'maybe'; it takes 'x', 'X', ''"):
        load_lumiere(tmp_path, images="none")


def test_lumiere_tables_are_joined_whatever_the_letter_case_of_ids(tmp_path):
    histories = {"patient-001": [("016", "PD")], "Patient-001": [("024", "PR")]}
    cohort, _ = load_lumiere(write_lumiere(tmp_path, histories), images="none", return_report=True)
    assert cohort[["patient_id", "outcome"]].to_numpy().tolist() == [["Patient-001", "PsPD"]]


def test_lumiere_images(tmp_path):
    write_lumiere(tmp_path, {name: HISTORIES[name] for name in ("Patient-001", "Patient-002")})
    native = "HD-GLIO-AUTO-segmentation/native/segmentation_CT1_origspace.nii.gz"
    folder = tmp_path / "Imaging" / "Patient-001" / "week-016"
    write_image(folder / "CT1.nii.gz")
    write_image(folder / native, {1: {2: 9}, 2: {6: 4, 7: 5}})
    with pytest.raises(InputError, match=r"Patient-002: .*Patient-002/week-010/CT1\.nii\.gz does not exist"):
        load_lumiere(tmp_path)
    cohort, report = load_lumiere(tmp_path, images="available", return_report=True)
    assert cohort["lesion_slice"].tolist() == [7]
    assert findings(report)["left out: no image"] == ["Patient-002"]
    assert load_lumiere(tmp_path, images="available", enhancing_label=1, return_report=True)[0]["lesion_slice"][0] == 2
    stack = SliceStackLoader(n_slices=3).fit_transform(cohort)[0]
    assert stack.slice_indices == (6.0, 7.0, 8.0)
    _, report = load_lumiere(tmp_path, images="available", enhancing_label=3, return_report=True)
    assert "no enhancing voxel in the mask, so the lesion position is missing" in findings(report)
    nib.save(nib.Nifti1Image(np.ones((5, 5, 5), np.uint8), AFFINE), folder / native)
    with pytest.raises(InputError, match=r"Patient-001: .*grid.*\(5, 5, 5\)"):
        load_lumiere(tmp_path, images="available")
    (folder / native).unlink()
    cohort, report = load_lumiere(tmp_path, images="available", return_report=True)
    assert np.isnan(cohort["lesion_slice"][0])
    assert findings(report)["no mask, so the lesion position is missing"] == ["Patient-001"]


def test_lumiere_refusals(tmp_path):
    histories = {"Patient-001": [("8", "PD"), ("010", "progression"), ("012", "PD")], "Patient-099": [("012", "PD")]}
    write_lumiere(tmp_path, histories, "Patient-001,80,unsure,x,mutant,IHC,yes,na\n")
    with pytest.raises(InputError, match="LUMIERE has 6 problems") as error:
        load_lumiere(tmp_path, images="none")
    for text in (
        "Date: holds 'week-8', which is not of the form week-nnn",
        "holds 'progression'",
        "holds 'unsure'",
        "holds 'x'",
        "'mutant'",
    ):
        assert text in str(error.value)
    write_lumiere(tmp_path, {"Patient-099": [("012", "PD")]})
    with pytest.raises(InputError, match="Patient-099: has ratings and no row in the demographics table"):
        load_lumiere(tmp_path, images="none")
    write_lumiere(tmp_path, {"Patient-004": HISTORIES["Patient-004"]})
    with pytest.raises(InputError, match="no patient is left for the cohort"):
        load_lumiere(tmp_path, images="none")
    path = tmp_path / "LUMIERE-ExpertRating-v202211.csv"
    path.write_text(path.read_text().replace("Rating (", "Opinion ("))
    with pytest.raises(InputError, match=r"0 columns begin with 'Rating \('; exactly one is required"):
        load_lumiere(tmp_path, images="none")


@pytest.fixture
def mu(tmp_path):
    return write_mu(tmp_path)


def test_mu_has_all_seven_features_and_no_outcome(mu):
    cohort, report = load_mu_glioma_post(mu, images="none", return_report=True)
    table = cohort.set_index(cohort["patient_id"].str[-1])
    assert table.index.tolist() == ["3", "4", "5", "7"]
    assert table["dose_gy"].tolist() == [60, 60, 50.4, 40]
    assert table["n_fractions"].tolist() == [30, 30, 28, 15]
    np.testing.assert_array_equal(table["interval_days"], [90, -10, np.nan, 200])
    assert table["mgmt"].tolist() == ["unmethylated", "methylated", "unknown", "unknown"]
    assert table["idh"].tolist() == ["wildtype", "mutated", "unknown", "unknown"]
    assert table["sex"].tolist() == ["male", "female", "male", "female"]
    assert "outcome" not in table
    assert findings(report) == {
        "Progression and type of progression disagree": ["PatientID_0004"],
        "date of progression without progression": ["PatientID_0006"],
        "interval_days below 0": ["PatientID_0004"],
        "left out: no progression": ["PatientID_0006"],
        "interval_days missing": ["PatientID_0005"],
        "progression without a date": ["PatientID_0005"],
    }


@pytest.mark.parametrize(("name", "label", "slice_"), [("brain_t1c", 3, 6), ("t1c", 1, 4)])
def test_mu_images_of_the_nearest_time_point_with_each_label_convention(mu, name, label, slice_):
    for patient, timepoint in (("PatientID_0003", 2), ("PatientID_0003", 1), ("PatientID_0004", 1)):
        stem = mu / "MU-Glioma-Post" / patient / f"Timepoint_{timepoint}" / f"{patient}_Timepoint_{timepoint}"
        write_image(stem.with_name(f"{stem.name}_{name}.nii.gz"))
        write_image(stem.with_name(f"{stem.name}_tumorMask.nii.gz"), {1: {4: 5}, 3: {6: 3, 5: 2}})
    cohort, report = load_mu_glioma_post(mu, enhancing_label=label, images="available", return_report=True)
    assert cohort["patient_id"].tolist() == ["PatientID_0003", "PatientID_0004"]
    assert cohort["timepoint"].tolist() == [2, 1]
    assert cohort["lesion_slice"].tolist() == [slice_, slice_]
    assert findings(report)["left out: no image"] == ["PatientID_0005", "PatientID_0007"]
    good = cohort.iloc[[0]].assign(outcome="PD")
    assert check_cohort(good) is good
    with pytest.raises(InputError, match="PatientID_0005: no MRI within 30 days of the first progression"):
        load_mu_glioma_post(mu, enhancing_label=label)
    with pytest.raises(InputError, match=r"PatientID_0007: neither .*PatientID_0007_Timepoint_2_brain_t1c\.nii\.gz"):
        load_mu_glioma_post(mu, enhancing_label=label, max_days_apart=31)


def test_mu_refusals(mu):
    with pytest.raises(InputError, match=r"enhancing_label must be the value of the enhancing tumour .* got None"):
        load_mu_glioma_post(mu)
    bad = pd.DataFrame(MU_TABLE)
    bad.loc[0, "Dose"], bad.loc[1, "Dose"], bad.loc[2, "MGMT methylation"] = "60 cGy x", "6000 Gy", "9"
    bad.to_csv(mu / "MU-Glioma-Post_ClinicalData-July2025.csv", index=False)
    with pytest.raises(InputError, match="MU-Glioma-Post has 3 problems") as error:
        load_mu_glioma_post(mu, images="none")
    assert "row 2 (PatientID_0003), column Dose: holds '60 cGy x', which is not a number of Gy" in str(error.value)
    assert "row 3 (PatientID_0004), column Dose: holds '6000 Gy', outside 0 to 100 Gy" in str(error.value)
    assert "row 4 (PatientID_0005), column MGMT methylation: holds '9'" in str(error.value)


def test_mu_workbook(mu):
    path = mu / "MU-Glioma-Post_ClinicalData-July2025.csv"
    book = path.with_suffix(".xlsx")
    try:
        with pd.ExcelWriter(book) as writer:
            pd.DataFrame({"a": [1]}).to_excel(writer, sheet_name="Data Dictionary", index=False)
            pd.DataFrame(MU_TABLE).to_excel(writer, sheet_name="MU Glioma Post", index=False)
    except ImportError:
        book.write_bytes(b"")
        with pytest.raises(
            ValueError, match="reading a workbook requires openpyxl; install it or save the sheet as CSV"
        ):
            load_mu_glioma_post(mu, images="none", table=book.name)
        return
    expected, _ = load_mu_glioma_post(mu, images="none", table=path.name, return_report=True)
    found, _ = load_mu_glioma_post(mu, images="none", table=book.name, return_report=True)
    pd.testing.assert_frame_equal(found, expected)
    book.write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"July2025\.xlsx: not a table"):
        load_mu_glioma_post(mu, images="none", table=book.name)


def test_findings_warn_unless_they_are_returned(mu):
    with pytest.warns(CohortWarning, match=r"(?s)MU-Glioma-Post .*left out: no progression: 1 \(PatientID_0006\)"):
        load_mu_glioma_post(mu, images="none")
