"""Refusals: diverged fits, foreign settings of the process, weights of classes, damaged files, forked processes."""

import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from sklearn_pspd import CNNLSTMClassifier
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.neural_network.model_file import hash_of_description

N_PIXELS = 3 * 8 * 8


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = np.array([0, 1] * 8)
    return np.hstack([rng.normal(size=(16, N_PIXELS)), rng.random((16, 7))]).astype(np.float32), y


@pytest.fixture
def network():
    return CNNLSTMClassifier(
        (3, 8, 8), filters=(2, 4), lstm_units=4, dense_units=(4,), epochs=2, precision="float32", random_state=0
    )


def test_a_diverged_fit_is_an_error_and_wins_no_search(data, network):
    X, y = data
    diverged = clone(network).set_params(learning_rate=1e30)
    with pytest.raises(
        InputError, match=r"loss was not finite in epoch \d of 2 \(learning_rate=1e\+30, precision='float32'"
    ):
        diverged.fit(X, y)
    with pytest.raises(NotFittedError):
        diverged.predict(X)
    with pytest.raises(InputError, match="training diverged"):
        clone(diverged).partial_fit(X, y).partial_fit(X, y)
    with pytest.warns(Warning, match="training diverged|non-finite"):
        search = GridSearchCV(network, {"learning_rate": [1e-3, 1e30]}, cv=2).fit(X, np.array([0] * 10 + [1] * 6))
    assert search.best_params_ == {"learning_rate": 1e-3}


def test_weights_that_are_not_finite_do_not_predict(data, network, tmp_path):
    X, y = data
    network.fit(X, y)
    network.weights_[0][...] = np.nan
    with pytest.raises(InputError, match="not all finite"):
        network.predict(X)
    network.save(tmp_path / "model")
    with pytest.raises(InputError, match="not all finite"):
        CNNLSTMClassifier.load(tmp_path / "model")


def test_settings_of_the_process_change_nothing():
    """All at once, before a network is built again, in a separate process."""
    code = """
import os
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0")
import keras, numpy as np, tensorflow as tf
from sklearn_pspd import CNNLSTMClassifier
from sklearn_pspd.neural_network.pool import NETWORK_POOL
rng = np.random.default_rng(0)
X, y = rng.normal(size=(12, 3 * 8 * 8 + 7)).astype(np.float32), np.arange(12) % 2
model = CNNLSTMClassifier((3, 8, 8), filters=(2, 4), lstm_units=4, epochs=2, precision="float32", random_state=0)
expected = model.fit(X, y).predict_proba(X)
NETWORK_POOL._idle.clear()
keras.config.set_dtype_policy("mixed_float16")
keras.config.set_floatx("float16")
keras.config.set_image_data_format("channels_first")
tf.config.run_functions_eagerly(True)
assert np.array_equal(model.fit(X, y).predict_proba(X), expected)
assert keras.config.dtype_policy().name == "mixed_float16"
assert (keras.config.floatx(), keras.config.image_data_format()) == ("float16", "channels_first")
assert tf.config.functions_run_eagerly()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({0: np.nan, 1: 2}, "finite weights that are not negative"),
        ({0: -1, 1: 2}, "finite weights that are not negative"),
        ({0: np.inf, 1: 2}, "finite weights that are not negative"),
        ({0: 0, 1: 0}, "gives all patients a weight of zero"),
    ],
)
def test_weights_of_classes_are_checked(data, network, weights, message):
    with pytest.raises(InputError, match=message):
        network.set_params(class_weight=weights).fit(*data)


def test_only_ratios_of_weights_have_an_effect(data, network):
    X, y = data
    weights = np.linspace(1, 2, 16)
    expected = network.fit(X, y, sample_weight=weights).predict_proba(X)
    scaled = clone(network).fit(X, y, sample_weight=weights * 1e-40).predict_proba(X)
    np.testing.assert_allclose(scaled, expected, rtol=1e-5)
    tiny = clone(network).set_params(class_weight={0: 1e-60, 1: 1e-60}).fit(X, y)
    np.testing.assert_array_equal(tiny.predict_proba(X), clone(network).fit(X, y).predict_proba(X))


def test_callbacks_keep_what_they_recorded(data, network):
    class Losses(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.losses = []

        def on_epoch_end(self, epoch, logs=None):
            self.losses.append(logs["loss"])

    network.set_params(callbacks=[Losses()]).fit(*data)
    assert network.callbacks_[0].losses == network.history_["loss"]
    assert network.callbacks_[0].model is None
    assert network.callbacks[0].losses == []


def test_too_few_rows_to_hold_out(data, network):
    X, y = data
    with pytest.raises(InputError, match=r"validation_fraction=0.05 of 16 patients, \[8, 8\] per class"):
        network.set_params(early_stopping=True, validation_fraction=0.05).fit(X, y)


def test_a_forked_process_is_refused():
    code = """
import os, sys
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0")
import numpy as np
from sklearn_pspd import CNNLSTMClassifier
model = CNNLSTMClassifier(None, epochs=1, random_state=0)
X, y = np.random.default_rng(0).random((8, 7)), np.arange(8) % 2
model.fit(X, y)
child = os.fork()
if child == 0:
    try:
        model.predict(X)
    except RuntimeError as error:
        os._exit(7 if "forked" in str(error) and "loky" in str(error) else 1)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""
    if not hasattr(sys, "getswitchinterval") or sys.platform == "win32":
        pytest.skip("needs fork")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filters": ("a",)}, r"filters must contain positive whole numbers, .*\('a',\)"),
        ({"filters": [(2, 2)]}, r"filters must contain positive whole numbers, .*\(2, 2\)"),
        ({"filters": (2.0, 4.0)}, "filters must contain positive whole numbers"),
        ({"filters": (True,)}, "filters must contain positive whole numbers"),
        ({"stack_shape": (2**31,) * 3}, r"requires 9903520314283042199192993792 pixel columns"),
        ({"stack_shape": (3.7, 8, 8)}, "stack_shape must contain positive whole numbers"),
        ({"stack_shape": (3, 8)}, "three positive numbers"),
    ],
)
def test_sizes_are_checked_before_a_network_is_built(data, network, changes, message):
    with pytest.raises(InputError, match=message):
        network.set_params(**changes).fit(*data)


# Files


@pytest.fixture(scope="module")
def saved(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.pspd"
    network = CNNLSTMClassifier((3, 8, 8), filters=(2, 4), lstm_units=4, dense_units=(4,), epochs=1, random_state=0)
    network.fit(*data).save(path)
    return path


def rewrite(source, target, change_description=None, **entries):
    """Copy a model file with changes to its description, whose hash then fits, or to whole entries."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as changed:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "classifier.json" and change_description:
                description = json.loads(content)
                change_description(description)
                if isinstance(description["sha256"], dict):
                    description["sha256"]["classifier.json"] = hash_of_description(description)
                content = json.dumps(description).encode()
            changed.writestr(name, entries.get(name, content))
    return target


def put(value, *keys):
    def change(description):
        for key in keys[:-1]:
            description = description[key]
        description[keys[-1]] = value

    return change


FORGERIES = {
    "three classes": put({"array": [0, 1, 2], "dtype": "<i8"}, "learned", "classes_"),
    "classes in the wrong order": put({"array": [1, 0], "dtype": "<i8"}, "learned", "classes_"),
    "classes as text": put("ab", "learned", "classes_"),
    "huge text type with one entry": put({"array": ["a"], "dtype": "<U500000000"}, "learned", "classes_"),
    "structured type": put({"array": [0, 1], "dtype": "V100000000"}, "learned", "classes_"),
    "empty dictionary": put({}, "learned", "classes_"),
    "huge filters": put([100000, 100000], "network", "filters"),
    "3000 layers": put([1] * 3000, "network", "dense_units"),
    "unknown batch norm": put("junk", "network", "batch_norm"),
    "unknown activation": put("relu", "network", "lstm_activation"),
    "unknown precision": put("mixed_float16", "network", "precision"),
    "another precision than the network's": put("float64", "learned", "precision_"),
    "unknown field": put(1, "network", "layers"),
    "missing network": lambda description: description.pop("network"),
    "wrong number of columns": put(5, "learned", "n_features_in_"),
    "batch size of zero": put(0, "parameters", "batch_size"),
    "batch size as text": put("8", "parameters", "batch_size"),
    "members that are not there": put(10**9, "n_members"),
    "no members": put(0, "n_members"),
    "negative members": put(-1, "n_members"),
    "members as text": put("1", "n_members"),
    "hash of another type": put(3, "sha256"),
    "weighted network": put("yes", "network", "weighted"),
    "devices": put(10**6, "network", "n_devices"),
}


@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_description_is_refused(saved, tmp_path, change):
    with pytest.raises(InputError, match=r"forged\.pspd: "):
        CNNLSTMClassifier.load(rewrite(saved, tmp_path / "forged.pspd", change))


def test_an_edited_description_is_refused(saved, tmp_path):
    with zipfile.ZipFile(saved) as archive:
        text = archive.read("classifier.json")
    edited = text.replace(b'"epochs": 1', b'"epochs": 2')
    assert edited != text
    with pytest.raises(InputError, match=r"edited\.pspd: classifier\.json differs from what was saved"):
        CNNLSTMClassifier.load(rewrite(saved, tmp_path / "edited.pspd", **{"classifier.json": edited}))


def test_deep_compressed_and_broken_files_are_refused(saved, tmp_path):
    with zipfile.ZipFile(saved) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    whole, path = saved.read_bytes(), tmp_path / "forged.pspd"
    contents = [whole[: len(whole) // 2], b"", b"text", whole[:100] + b"\0" * 50 + whole[150:]]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"forged\.pspd: "):
            CNNLSTMClassifier.load(path)
    for replaced in (b"[" * 100_000, b"\xff", b"3", b"{}", b'{"format": 2}', b'{"format": 1, "library": "old"}'):
        rewrite(saved, path, **{"classifier.json": replaced})
        with pytest.raises(InputError, match=r"forged\.pspd: "):
            CNNLSTMClassifier.load(path)
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in entries.items():
                archive.writestr(name, content)
        with pytest.raises(InputError, match="compressed entries"):
            CNNLSTMClassifier.load(path)


def test_a_refused_or_interrupted_save_leaves_the_old_file(saved, data, tmp_path, monkeypatch):
    path = tmp_path / "model.pspd"
    path.write_bytes(saved.read_bytes())
    network = CNNLSTMClassifier.load(path)
    with pytest.raises(InputError, match="callbacks"):
        clone(network).set_params(callbacks=[keras.callbacks.History()]).fit(*data).save(path)

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(KeyboardInterrupt):
        network.save(path)
    assert path.read_bytes() == saved.read_bytes()
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.pspd"]
