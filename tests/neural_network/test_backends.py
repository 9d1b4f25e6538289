"""Other backends of Keras, where they are installed: fit, predict, save and load, and agreement with TensorFlow."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from sklearn_pspd import CNNLSTMClassifier

SETTINGS = {
    "published": {},
    "small cohorts": {
        "pooling": "average",
        "optimizer": "adam",
        "schedule": "cosine",
        "sequence": "attention",
        "batch_norm_statistics": "training",
        "n_members": 2,
    },
}

CODE = """
import json, sys
import keras
import numpy as np
from sklearn.base import clone
from sklearn_pspd import CNNLSTMClassifier
from sklearn_pspd.exceptions import InputError

folder, backend, names = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
assert keras.backend.backend() == backend
data = np.load(f"{folder}/data.npz")
X, y = data["X"], data["y"]
found = {}
for name in names:
    known = CNNLSTMClassifier.load(f"{folder}/{name}.pspd")
    found[f"loaded {name}"] = known.predict_proba(X)
    fitted = clone(known).fit(X, y)
    found[f"fitted {name}"] = fitted.predict_proba(X)
    fitted.save(f"{folder}/{name}.{backend}.pspd")
    again = CNNLSTMClassifier.load(f"{folder}/{name}.{backend}.pspd")
    assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert np.array_equal(clone(known).fit(X, y).predict_proba(X), fitted.predict_proba(X))
    assert len(fitted.history_["loss"]) == known.epochs
stepwise = clone(known).set_params(schedule="constant", n_members=1, batch_norm_statistics="moving")
assert np.isfinite(stepwise.partial_fit(X, y).partial_fit(X, y).predict_proba(X)).all()
if backend == "jax":
    try:
        clone(known).set_params(precision="float64").fit(X, y)
    except InputError as error:
        assert "jax_enable_x64" in str(error), error
    else:
        raise AssertionError("float64 was accepted")
np.savez(f"{folder}/{backend}.npz", **found)
"""


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Networks that TensorFlow trained, and their files."""
    folder = tmp_path_factory.mktemp("backends")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(16, 3 * 9 * 7 + 2)).astype(np.float32), np.arange(16) % 2
    np.savez(folder / "data.npz", X=X, y=y)
    networks = {}
    for name, settings in SETTINGS.items():
        network = CNNLSTMClassifier(
            (3, 9, 7), filters=(2, 4), lstm_units=3, epochs=3, dropout=0.0, precision="float32", random_state=0
        )
        networks[name] = network.set_params(**settings).fit(X, y)
        networks[name].save(folder / f"{name}.pspd")
    return folder, networks, X


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_backend_agrees_with_tensorflow(fitted, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")

    folder, networks, X = fitted
    line = [sys.executable, "-c", CODE, str(folder), backend, json.dumps(list(SETTINGS))]
    subprocess.run(line, env={**os.environ, "KERAS_BACKEND": backend}, check=True, timeout=400)
    found = np.load(folder / f"{backend}.npz")
    for name, network in networks.items():
        expected = network.predict_proba(X)
        np.testing.assert_allclose(found[f"loaded {name}"], expected, rtol=0, atol=1e-6)
        # Three epochs of training amplify differences of rounding.
        np.testing.assert_allclose(found[f"fitted {name}"], expected, rtol=0, atol=1e-4)
        # And back: TensorFlow reads what the other backend wrote.
        read = CNNLSTMClassifier.load(folder / f"{name}.{backend}.pspd").predict_proba(X)
        np.testing.assert_allclose(read, found[f"fitted {name}"], rtol=0, atol=1e-6)
