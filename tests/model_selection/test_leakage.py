"""Leakage that is found before training."""

import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from sklearn_pspd import SliceStackLoader, audit_leaks, read_cohort, split_xy
from sklearn_pspd.datasets import load_burdenko
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.model_selection.leakage import single_feature_aucs


@pytest.fixture
def patients(cohort_folder):
    return split_xy(read_cohort(cohort_folder / "cohort.csv"))


def test_a_clean_cohort_has_no_finding(patients):
    X, y = patients
    assert audit_leaks(X, y, loader=SliceStackLoader(n_slices=3)).empty


def test_a_patient_under_two_names_is_found_by_pixels(patients, tmp_path):
    X, y = patients
    copied = X.iloc[[3]].assign(patient_id="other", site="C", age_years=99, image=str(tmp_path / "copy.nii.gz"))
    shutil.copy(X["image"].iloc[3], copied["image"].iloc[0])
    X, y = pd.concat([X, copied]), np.append(y, y[3])
    assert audit_leaks(X, y).empty
    (found,) = audit_leaks(X, y, loader=SliceStackLoader(n_slices=3)).to_dict("records")
    assert found["finding"] == "same pixels"
    assert found["patients"] == f"{X['patient_id'].iloc[3]}, other"
    assert found["detail"] == "2 rows on different sites"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_patient_of_another_cohort_is_found_although_mirrored(patients, tmp_path, axis):
    X, y = patients
    image = nib.load(X["image"].iloc[3])
    # As a copy whose header was not changed with its voxels.
    nib.save(nib.Nifti1Image(np.flip(image.get_fdata(), axis), image.affine), tmp_path / "copy.nii.gz")
    slices = image.shape[2] - 1 - X["lesion_slice"].iloc[3] if axis == 2 else X["lesion_slice"].iloc[3]
    public = X.iloc[[3]].assign(patient_id="P1", age_years=99, image=str(tmp_path / "copy.nii.gz"), lesion_slice=slices)
    (found,) = audit_leaks(X, y, others={"public": public}, loader=SliceStackLoader(n_slices=3)).to_dict("records")
    assert found["finding"] == "same pixels"
    assert found["patients"] == f"{X['patient_id'].iloc[3]}, P1"
    assert "public" in found["sites"]
    with pytest.raises(ValueError, match="public must have a column patient_id"):
        audit_leaks(X, y, others={"public": public.drop(columns="patient_id")})


def test_a_column_that_states_the_outcome_is_named(patients):
    X, y = patients
    scored = X.assign(PsP_TP_score=np.where(np.arange(len(y)) % 5 == 0, 1 - y, y))
    table = audit_leaks(scored, y, feature_names=["age_years", "PsP_TP_score"])
    assert table.loc[table["column"] == "PsP_TP_score", "finding"].iloc[0] == "states the outcome"


def test_repeated_ids_files_and_values_are_found(patients):
    X, y = patients
    again = X.iloc[[0]].assign(patient_id=X["patient_id"].iloc[0].upper() + " ")
    table = audit_leaks(pd.concat([X, again]), np.append(y, y[0]))
    assert table["finding"].tolist() == ["same patient", "same image file", "same clinical values"]
    assert (table["sites"] == X["site"].iloc[0]).all()


def test_external_patients_are_compared_without_their_outcomes(patients):
    X, y = patients
    training, external = np.arange(20), np.arange(20, 30)
    X = X.assign(
        interval_days=np.where(np.arange(30) < 20, 500, 500 + 100 * y)
    )  # reveals the outcomes of external patients only
    again = pd.concat([X.iloc[external], X.iloc[[3]].assign(patient_id=" " + X["patient_id"].iloc[3])])
    table = audit_leaks(X.iloc[training], y[training], X_test=again)
    duplicates, told = table["finding"].tolist()[:3], table.iloc[3:]
    assert duplicates == ["same patient", "same image file", "same clinical values"]
    assert told["finding"].tolist() == ["too few patients to tell"]
    assert "interval_days" not in told["column"].tolist()
    with pytest.raises(ValueError, match="X_test must have a column patient_id"):
        audit_leaks(X, y, X_test=again.drop(columns="patient_id"))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_feature_that_repeats_the_outcome_is_found(patients, sign):
    X, y = patients
    revealing = X.assign(interval_days=500 + 100 * sign * y)
    table = audit_leaks(revealing, y)
    assert table[["finding", "column"]].to_numpy().tolist() == [["reveals the outcome", "interval_days"]]
    named = X.assign(mgmt=np.where(y == 1, "methylated", "unmethylated"))
    assert audit_leaks(named, y)["column"].tolist() == ["mgmt"]
    absent = X.assign(dose_gy=np.where(y == 1, np.nan, X["dose_gy"]))
    (found,) = audit_leaks(absent, y).to_dict("records")
    assert found["column"] == "dose_gy"
    assert found["detail"].startswith("AUC 1.00")
    assert found["detail"].endswith("of whether it is missing")


def test_noise_is_not_suspected():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(50):
        X = pd.DataFrame(
            {"patient_id": np.arange(60), "age_years": rng.normal(size=60), "sex": rng.choice(list("fm"), 60)}
        )
        found += len(audit_leaks(X, rng.permutation(np.arange(60) % 2)))
    assert found == 0


def test_with_few_patients_the_largest_auc_is_told():
    """14 patients, with an interval that separates them but for one pair, whose limits say nothing."""
    y = np.repeat([0, 1], [10, 4])
    days = np.array([200, 210, 220, 230, 240, 250, 260, 270, 280, 90, 60, 70, 80, 100])
    X = pd.DataFrame({"patient_id": np.arange(14), "interval_days": days, "age_years": np.arange(14) % 5})
    (found,) = audit_leaks(X, y).to_dict("records")
    assert (found["finding"], found["column"]) == ("too few patients to tell", "interval_days")
    assert found["detail"].startswith("4 with PsPD, 10 with PD; largest: AUC 0.97 (0.")
    many = pd.concat([X] * 5).assign(patient_id=np.arange(70))
    assert set(audit_leaks(many, np.tile(y, 5))["finding"]) == {"same clinical values", "reveals the outcome"}


def test_many_rare_categories_do_not_repeat_the_outcomes():
    """Scored by their own outcomes, 40 random categories seem to reveal those of 59 patients in 4 of 5 cohorts."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [37, 22])
    aucs = []
    for _ in range(40):
        X = pd.DataFrame({"patient_id": np.arange(59), "ward": rng.integers(0, 40, 59).astype(str)})
        assert audit_leaks(X, y, feature_names=["ward"]).empty
        aucs.append(single_feature_aucs(X, y, feature_names=["ward"])["auc"].iloc[0])
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.03)
    revealing = pd.DataFrame({"patient_id": np.arange(59), "ward": np.where(y == 1, "a", rng.choice(list("bcd"), 59))})
    assert audit_leaks(revealing, y, feature_names=["ward"])["finding"].tolist() == ["reveals the outcome"]
    unique = single_feature_aucs(revealing, y, feature_names=["patient_id", "ward"]).dropna()
    assert unique["column"].tolist() == ["patient_id", "ward"]
    name = pd.DataFrame({"name": [f"patient {n}" for n in range(59)]})
    assert single_feature_aucs(name, y, feature_names=["name"])["auc"].iloc[0] == 0.5


class OneByOneLoader(SliceStackLoader):
    """Refuses to hold the stacks of several patients."""

    def transform(self, X):
        assert len(X) == 1 or X["image"].str.contains("absent").any()
        return super().transform(X)


def test_images_are_read_one_patient_at_a_time_and_all_failures_are_named(patients):
    X, y = patients
    assert audit_leaks(X, y, loader=OneByOneLoader(n_slices=3)).empty
    broken = X.assign(image=[image if row not in (3, 7) else f"absent{row}" for row, image in enumerate(X["image"])])
    with pytest.raises(InputError, match="2 of 30 patients cannot be loaded") as error:
        audit_leaks(broken, y, loader=OneByOneLoader(n_slices=3))
    assert "absent3" in str(error.value)
    assert "absent7" in str(error.value)


def test_days_since_radiotherapy_in_burdenko_repeat_the_label(shared_data):
    """115 patients whose first assessment of progression is "progression" (83) or "pseudo progression" (32)."""
    cohort, _ = load_burdenko(shared_data / "clinical", images="none", return_report=True)
    X, y = split_xy(cohort)
    assert np.bincount(y).tolist() == [83, 32]
    found = audit_leaks(X, y)
    assert found["column"].tolist() == ["interval_days"]
    assert found["detail"].iloc[0] == "AUC 0.90 (0.83 to 0.94) of this feature alone"


def test_refusals(patients):
    X, y = patients
    with pytest.raises(ValueError, match=r"one row per outcome \(29\); got 30 rows"):
        audit_leaks(X, y[1:])
    with pytest.raises(ValueError, match="X has no column lesion_volume"):
        audit_leaks(X, y, feature_names=["lesion_volume"])
    with pytest.raises(ValueError, match="loader must be a SliceStackLoader; got str"):
        audit_leaks(X, y, loader="cache")
