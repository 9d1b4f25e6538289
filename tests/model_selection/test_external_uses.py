"""Record of external uses: how patients without an id are identified."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from sklearn_pspd.model_selection import external_uses


def test_patients_without_an_id_are_identified_by_their_values(monkeypatch):
    monkeypatch.setattr(external_uses, "_USES", [])
    y = np.arange(6) % 2
    X = pd.DataFrame({"patient_id": ["P1", None, None, "P4", np.nan, "P6"], "a": np.arange(6.0)})
    models = {"logistic": LogisticRegression()}
    external_uses.record_use(models, X[:2], y[:2], X[2:], y[2:])
    respelt = X.assign(patient_id=X["patient_id"].str.lower() + " ")
    uses = external_uses.record_use(models, X[:2], y[:2], respelt[3:], 1 - y[3:])
    assert uses[["use", "n_shared", "n_relabelled"]].to_numpy().tolist() == [[1, 3, 3], [2, 3, 0]]
    edited = X.assign(a=X["a"] + 0.5)
    uses = external_uses.record_use(models, X[:2], y[:2], edited[2:], y[2:])
    assert uses["n_shared"].tolist() == [2, 2, 4]


def test_a_renamed_patient_is_recognised_by_the_clinical_values(monkeypatch):
    monkeypatch.setattr(external_uses, "_USES", [])
    y = np.arange(8) % 2
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "patient_id": [f"P{row}" for row in range(8)],
            "age_years": rng.integers(30, 80, size=8),
            "sex": ["female", "male"] * 4,
            "mgmt": ["methylated"] * 8,
            "interval_days": rng.integers(10, 200, size=8),
        }
    )
    models = {"logistic": LogisticRegression()}
    external_uses.record_use(models, X[:2], y[:2], X[2:], y[2:])
    renamed = X.assign(patient_id=[f"case {row}" for row in range(8)])
    uses = external_uses.record_use(models, X[:2], y[:2], renamed[4:], y[4:])
    assert uses["n_shared"].tolist() == [4, 4]
    others = renamed.assign(age_years=renamed["age_years"] + 1, patient_id=renamed["patient_id"] + "b")
    assert external_uses.record_use(models, X[:2], y[:2], others[2:], y[2:])["use"].tolist() == [1]
    too_few = ["patient_id", "age_years", "sex"]
    monkeypatch.setattr(external_uses, "_USES", [])
    external_uses.record_use(models, X[:2][too_few], y[:2], X[2:][too_few], y[2:])
    uses = external_uses.record_use(models, X[:2][too_few], y[:2], renamed[2:][too_few], y[2:])
    assert uses["use"].tolist() == [1]
