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
