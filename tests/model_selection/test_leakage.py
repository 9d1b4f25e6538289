"""Leakage that is found before training."""

import shutil

import numpy as np
import pandas as pd
import pytest

from sklearn_pspd import SliceStackLoader, audit_leaks, read_cohort, split_xy
from sklearn_pspd.datasets import load_burdenko


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
    assert table["finding"].tolist() == ["same patient", "same image file", "same clinical values"]
    with pytest.raises(ValueError, match="X_test must be a DataFrame with a column patient_id"):
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
