"""Tests of the classifier: scikit-learn's conventions, reproducibility and memory."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import cross_val_predict

from sklearn_pspd import CNNLSTMClassifier, StackAugmenter
from sklearn_pspd.exceptions import InputError

STACK_SHAPE = (3, 8, 9)
N_PIXELS = 3 * 8 * 9


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = np.array([0, 1] * 10)
    stacks = rng.normal(size=(20, N_PIXELS)) + y[:, np.newaxis]
    clinical = np.clip(rng.random((20, 7)) + 0.2 * y[:, np.newaxis], 0, 1)
    return np.hstack([stacks, clinical]).astype(np.float32), y


@pytest.fixture
def network():
    return CNNLSTMClassifier(STACK_SHAPE, filters=(2, 4), lstm_units=4, dense_units=(4,), epochs=2, random_state=0)


def test_is_a_classifier(network):
    assert is_classifier(network)
    assert network.__sklearn_tags__().classifier_tags.multi_class is False


@pytest.mark.parametrize(
    ("columns", "stack_shape"),
    [(slice(None), STACK_SHAPE), (slice(N_PIXELS), STACK_SHAPE), (slice(N_PIXELS, None), None)],
    ids=["fusion", "image", "clinical"],
)
def test_learns_from_stacks_from_clinical_features_and_from_both(data, network, columns, stack_shape):
    X, y = data
    # With four ReLU units, as published, all may be inactive from the start.
    network.set_params(stack_shape=stack_shape, epochs=60, learning_rate=0.05, momentum=0.5, clinical_units=(16, 16))
    network.fit(X[:, columns], y)
    assert network.n_iter_ == 60
    assert network.history_["loss"][-1] < network.history_["loss"][0]
    assert roc_auc_score(y, network.predict_proba(X[:, columns])[:, 1]) > 0.9


def test_probabilities_have_two_columns_for_one_row_and_for_text_labels(data, network):
    X, y = data
    names = np.array(["PD", "PsPD"])[y]
    network.fit(X, names)
    assert list(network.classes_) == ["PD", "PsPD"]
    probabilities = network.predict_proba(X)
    assert probabilities.shape == (20, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(network.predict_proba(X[:1]), probabilities[:1], atol=1e-6)
    assert set(network.predict(X)) <= {"PD", "PsPD"}
    np.testing.assert_array_equal(network.predict_proba(X), clone(network).fit(X, y).predict_proba(X))


def test_equal_seeds_give_equal_weights_also_in_another_process(data, network, tmp_path):
    X, y = data
    network.set_params(dropout=0.3)
    first = network.fit(X, y).weights_
    again = clone(network).fit(X, y).weights_
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    other = clone(network).set_params(random_state=1).fit(X, y).weights_
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    np.savez(tmp_path / "data.npz", X=X, y=y)
    (tmp_path / "network.pkl").write_bytes(pickle.dumps(clone(network)))
    code = """
import pickle, sys
from pathlib import Path
import numpy as np
folder = Path(sys.argv[1])
data = np.load(folder / "data.npz")
network = pickle.loads((folder / "network.pkl").read_bytes()).fit(data["X"], data["y"])
np.savez(folder / "weights.npz", *network.weights_)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True)
    with np.load(tmp_path / "weights.npz") as elsewhere:
        assert all(np.array_equal(a, elsewhere[name]) for a, name in zip(first, elsewhere.files, strict=True))


def test_a_fit_does_not_change_global_random_states():
    """In a separate process, because the first fit of a process builds the network."""
    code = """
import random
import numpy as np, keras, tensorflow as tf
from tensorflow.python.framework import config
from sklearn_pspd import CNNLSTMClassifier
rng = np.random.default_rng(0)
X, y = rng.random((8, 7), dtype=np.float32), np.array([0, 1] * 4)
tf.random.set_seed(3)
tf.random.uniform([])
def state():
    return random.getstate(), [str(part) for part in np.random.get_state()]
before, expected = state(), None
CNNLSTMClassifier(None, epochs=1, dropout=0.5, early_stopping=True, random_state=0).fit(X, y).predict_proba(X)
assert before == state()
assert not config.is_op_determinism_enabled()
after_fit = tf.random.uniform([]).numpy()
tf.random.set_seed(3)
tf.random.uniform([])
assert after_fit == tf.random.uniform([]).numpy()
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_without_a_seed_the_global_state_of_numpy_is_used(data, network):
    X, y = data
    network.set_params(random_state=None)
    weights = []
    state = np.random.get_state()  # noqa: NPY002 - scikit-learn's convention for random_state=None
    for _ in range(2):
        np.random.seed(5)  # noqa: NPY002
        weights.append(network.fit(X, y).weights_)
    np.random.set_state(state)  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


def test_fitted_classifiers_share_a_network_but_not_weights(data, network):
    X, y = data
    one, two = clone(network).fit(X, y), clone(network).set_params(random_state=1, learning_rate=0.2).fit(X, y)
    first = one.predict_proba(X)
    assert not np.array_equal(first, two.predict_proba(X))
    np.testing.assert_array_equal(one.predict_proba(X), first)


def test_fits_in_threads_give_the_same_probabilities(data, network):
    X, y = data
    alone = [clone(network).set_params(random_state=seed).fit(X, y).predict_proba(X) for seed in range(3)]
    with ThreadPoolExecutor(3) as threads:
        together = list(
            threads.map(lambda seed: clone(network).set_params(random_state=seed).fit(X, y).predict_proba(X), range(3))
        )
    np.testing.assert_array_equal(alone, together)


def test_pickle_preserves_the_probabilities(data, network):
    X, y = data
    network.fit(X, y)
    restored = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(restored.predict_proba(X), network.predict_proba(X))
    assert not any(isinstance(value, keras.Model) for value in vars(network).values())


def test_sample_weights(data, network):
    """A row of weight zero is not used; a weight of two equals repeating the row."""
    X, y = data
    network.set_params(batch_size=64, precision="float64", shuffle=False, epochs=5)
    weights = np.ones(len(y))
    weights[3], weights[4] = 0, 2
    rows = [*range(3), 4, 4, *range(5, 20)]
    weighted = clone(network).fit(X, y, sample_weight=weights)
    repeated = clone(network).fit(X[rows], y[rows])
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-9)
    np.testing.assert_array_equal(weights[3:5], [0, 2])


def test_balanced_class_weight_equals_oversampling(data, network):
    X, y = data
    rows = [*range(0, 20, 2), 1, 3, 5, 7, 9]
    X, y = X[rows], y[rows]
    network.set_params(batch_size=64, precision="float64", shuffle=False, epochs=5)
    weighted = clone(network).set_params(class_weight="balanced").fit(X, y)
    doubled = [*range(10), *range(10, 15), *range(10, 15)]
    np.testing.assert_allclose(
        weighted.predict_proba(X), clone(network).fit(X[doubled], y[doubled]).predict_proba(X), atol=1e-9
    )


def test_early_stopping_holds_out_rows_and_keeps_the_best_weights(data, network):
    X, y = data
    network.set_params(early_stopping=True, n_iter_no_change=2, epochs=50, learning_rate=0.5, momentum=0.9)
    network.fit(X, y)
    losses = network.history_["val_loss"]
    assert network.n_iter_ == len(losses)
    assert network.n_iter_ == 50 or int(np.argmin(losses)) == network.n_iter_ - 3
    assert "val_loss" not in clone(network).set_params(early_stopping=False, epochs=1).fit(X, y).history_


def test_warm_start_continues_from_the_previous_weights(data, network):
    X, y = data
    network.set_params(warm_start=True, epochs=1, batch_norm="none")
    first = network.fit(X, y).history_["loss"][0]
    for _ in range(20):
        network.fit(X, y)
    assert network.history_["loss"][0] < first
    with pytest.raises(
        ValueError,
        match=r"warm_start=True needs the classes of the previous fit, \[0, 1\]; y has the classes \['PD', 'PsPD'\]",
    ):
        network.fit(X, np.where(y == 1, "PsPD", "PD"))


def test_input_errors(data, network):
    X, y = data
    with pytest.raises(NotFittedError):
        network.predict_proba(X)
    with pytest.raises(
        ValueError, match=r"requires 216 pixel columns, followed by clinical columns; X has 100 columns"
    ):
        network.fit(X[:, :100], y)
    with pytest.raises(ValueError, match="one class"):
        network.fit(X, np.zeros(len(y)))
    with pytest.raises(ValueError, match="Only binary classification is supported"):
        network.fit(X, np.arange(len(y)) % 3)
    with pytest.raises(ValueError, match="one class"):
        network.fit(X, y, sample_weight=y)
    with pytest.raises(ValueError, match="NaN"):
        network.fit(np.where(np.arange(len(X))[:, np.newaxis] == 3, np.nan, X), y)
    with pytest.raises(
        ValueError,
        match="needs all rows at once, which partial_fit does not have: give sample_weight instead, or use fit",
    ):
        clone(network).set_params(class_weight="balanced").partial_fit(X, y)
    with pytest.raises(ValueError, match=r"y has the unknown labels \['X'\]; the classes are \['PD', 'PsPD'\]"):
        clone(network).partial_fit(X[:2], ["PD", "X"], classes=["PD", "PsPD"])
    with pytest.raises(ValueError, match="at least one non-zero number"):
        clone(network).partial_fit(X, y, classes=[0, 1], sample_weight=np.zeros(20))
    with pytest.raises(ValueError, match="three positive numbers; it is"):
        clone(network).set_params(stack_shape=(8, 9)).fit(X, y)
    network.fit(X, y)
    with pytest.raises(ValueError, match="expecting 223 features"):
        network.predict_proba(X[:, 1:])


def test_a_fit_does_not_change_its_input(data, network):
    X, y = data
    X.flags.writeable = False
    before = X.copy()
    network.fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(X, before)


def test_repeated_fits_reuse_one_network(data, network):
    """The pool holds one compiled network for all learning rates, seeds and numbers of epochs."""
    from sklearn_pspd.neural_network.pool import NETWORK_POOL

    X, y = data
    network.fit(X, y)
    size = len(NETWORK_POOL)
    for seed in range(3):
        clone(network).set_params(random_state=seed, learning_rate=0.1 / (seed + 1), epochs=1).fit(X, y)
    assert len(NETWORK_POOL) == size


def test_partial_fit_accepts_one_class_at_a_time(data, network):
    X, y = data
    names = np.array(["PD", "PsPD"])[y]
    network.set_params(momentum=0.5, optimizer="adam")
    network.partial_fit(X[y == 0], names[y == 0], classes=["PD", "PsPD"])
    for _ in range(3):
        network.partial_fit(X, names)
    assert network.n_iter_ == len(network.history_["loss"]) == 4
    with pytest.raises(ValueError, match="differ from those of the previous call"):
        network.partial_fit(X, names, classes=["PD", "SD"])


def test_repeated_partial_fit_equals_a_fit(data, network):
    """The optimiser state is kept between calls, so that the result equals as many epochs of one fit."""
    X, y = data
    network.set_params(optimizer="adam", epochs=3, shuffle=False)
    whole, passes = clone(network).fit(X, y), clone(network)
    for _ in range(3):
        passes.partial_fit(X, y)
    np.testing.assert_array_equal(passes.predict_proba(X), whole.predict_proba(X))
    assert passes.history_["loss"] == whole.history_["loss"]


def test_an_interrupted_fit_keeps_the_previous_fit(data, network):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    X, y = data
    interrupted = clone(network).set_params(callbacks=[Interrupt()])
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(X, y)
    with pytest.raises(NotFittedError):
        interrupted.predict_proba(X)
    assert not hasattr(interrupted, "n_features_in_")
    before = network.fit(X, y).predict_proba(X)
    network.set_params(callbacks=[Interrupt()])
    with pytest.raises(KeyboardInterrupt):
        network.fit(X[:, 1:].copy()[:, :N_PIXELS], y)
    np.testing.assert_array_equal(network.predict_proba(X), before)


def test_keras_callbacks_are_copied(data, network):
    X, y = data
    stop = keras.callbacks.TerminateOnNaN()
    network.set_params(callbacks=[stop]).fit(X, y)
    assert stop.model is None


def test_callbacks_of_scikit_learn_receive_each_epoch_and_can_stop_the_fit(data, network):
    pytest.importorskip("sklearn.callback")

    class Recorder:
        def __init__(self):
            self.losses, self.aucs = [], []

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            if context.task_name == "epoch":
                self.losses.append(fitted_estimator.history_["loss"])
                self.aucs.append(roc_auc_score(y, fitted_estimator.predict_proba(X)[:, 1]))
            return len(self.losses) == 3

    X, y = data
    recorder = Recorder()
    network.set_params(epochs=9).set_callbacks(recorder)
    network.fit(X, y)
    assert recorder.losses == [network.history_["loss"][:n_epochs] for n_epochs in (1, 2, 3)]
    assert network.n_iter_ == 3
    assert recorder.aucs[-1] == roc_auc_score(y, network.predict_proba(X)[:, 1])


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("n_members", [1, 2])
def test_scoring_monitor_of_scikit_learn(data, network, n_members, is_weighted):
    """One row per epoch and member, the scores of a network of that many epochs, and one row of the fit."""
    callback = pytest.importorskip("sklearn.callback")
    X, y = data
    weights = np.linspace(1, 2, len(X)) if is_weighted else None
    monitor = callback.ScoringMonitor(scoring="neg_log_loss")
    network.set_params(epochs=2, n_members=n_members).set_callbacks(monitor).fit(X, y, sample_weight=weights)
    scores = monitor.get_logs().data_as_pandas
    assert scores["task_name"].tolist() == ["fit"] + ["epoch"] * 2 * n_members
    of_fit, *of_epochs = scores["neg_log_loss"]
    assert len(set(of_epochs)) == 2 * n_members
    assert of_fit == of_epochs[-1] == -log_loss(y, network.predict_proba(X), sample_weight=weights)
    if n_members == 1:
        shorter = CNNLSTMClassifier(**network.get_params() | {"epochs": 1}).fit(X, y, sample_weight=weights)
        assert of_epochs[0] == -log_loss(y, shorter.predict_proba(X), sample_weight=weights)


def test_progress_bar_of_scikit_learn(data, network, capsys):
    pytest.importorskip("rich")
    callback = pytest.importorskip("sklearn.callback")
    X, y = data
    network.set_callbacks(callback.ProgressBar()).fit(X, y)
    assert "CNNLSTMClassifier - fit" in capsys.readouterr().out


def test_network_and_summary(data, network):
    X, y = data
    with pytest.raises(NotFittedError):
        network.summary()
    network.set_params(precision="float32").fit(X, y)
    batch = {"stack": X[:, :N_PIXELS].reshape(-1, *STACK_SHAPE), "clinical": X[:, N_PIXELS:]}
    np.testing.assert_allclose(
        network.network_.predict_on_batch(batch)[:, 0], network.predict_proba(X)[:, 1], rtol=1e-6
    )
    assert network.network_ is network.network_
    assert network.network_ is not clone(network).fit(X, y).network_
    text = network.summary()
    assert "conv_2" in text
    assert f"{network.network_.count_params():,}" in text


def test_the_precision_used_is_an_attribute(data, network):
    X, y = data
    assert network.fit(X, y).precision_ in ("float32", "mixed_bfloat16")
    network.set_params(precision="mixed_bfloat16").fit(X, y)
    assert network.precision_ == "mixed_bfloat16"
    assert all(weights.dtype == np.float32 for weights in network.weights_)


def test_a_memory_mapped_table_is_read_in_batches(tmp_path):
    """The memory of a fit does not grow with the number of patients."""
    code = """
import os, sys
from importlib.metadata import version
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0")
import numpy as np
from sklearn_pspd import CNNLSTMClassifier

def own_mib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

n_pixels, grown = 3 * 64 * 64, []
model = CNNLSTMClassifier((3, 64, 64), filters=(2,), pooling="average", epochs=1, random_state=0)
for n_patients in (64, 64, 2048):
    X = np.memmap(sys.argv[1], dtype=np.float32, mode="w+", shape=(n_patients, n_pixels))
    X[:] = np.random.default_rng(0).random((n_patients, 1), dtype=np.float32)
    X.flush()
    X = np.memmap(sys.argv[1], dtype=np.float32, mode="r", shape=(n_patients, n_pixels))
    before = own_mib()
    model.fit(X, np.arange(n_patients) % 2).predict_proba(X)
    grown.append(own_mib() - before)
# The table has 96 MiB. TensorFlow 2.18, the oldest that is supported, needs 41 for the first large one.
assert grown[2] < (60 if version("tensorflow").startswith("2.18.") else 30), grown
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads the resident size from /proc")
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "X.dat")], check=True)


@pytest.mark.slow
def test_parallel_folds_are_bit_identical(data, network):
    X, y = data
    alone, together = (
        cross_val_predict(network, X, y, cv=2, n_jobs=n_jobs, method="predict_proba") for n_jobs in (1, 2)
    )
    np.testing.assert_array_equal(alone, together)


def test_a_fit_writes_no_files(data, network, tmp_path, monkeypatch):
    X, y = data
    monkeypatch.chdir(tmp_path)
    network.set_params(early_stopping=True).fit(X, y).predict_proba(X)
    assert not list(tmp_path.iterdir())


def test_gpu_memory_is_not_reserved(monkeypatch):
    import tensorflow as tf

    from sklearn_pspd.neural_network import devices

    grown = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["GPU 0", "GPU 1"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, enable: grown.append((gpu, enable)))
    devices.let_gpu_memory_grow.__wrapped__()
    assert grown == [("GPU 0", True), ("GPU 1", True)]


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (9, 0)])
def test_bfloat16_from_ampere_on(monkeypatch, capability):
    import tensorflow as tf

    from sklearn_pspd.neural_network import devices

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["GPU"])
    details = {"compute_capability": capability}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    assert devices.has_native_bfloat16.__wrapped__() == (capability >= (8, 0))


@pytest.mark.parametrize("batch_norm", ["before", "none"])
def test_two_devices_learn_the_same_as_one(batch_norm):
    code = """
import os, sys
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0")
import numpy as np, tensorflow as tf
half = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [half, half])
from sklearn_pspd import CNNLSTMClassifier

rng = np.random.default_rng(0)
X, y = rng.random((20, 3 * 8 * 8 + 7)), np.arange(20) % 2
model = CNNLSTMClassifier(
    (3, 8, 8), filters=(4,), batch_norm=sys.argv[1], epochs=3, precision="float64", random_state=0
)
one = model.fit(X, y).weights_
two = model.set_params(n_devices=2).fit(X, y).weights_
assert max(np.abs(a - b).max() for a, b in zip(one, two)) < 1e-12
assert model.predict_proba(X).shape == (20, 2)
try:
    model.set_params(n_devices=3).fit(X, y)
except ValueError as error:
    assert "n_devices=3, but TensorFlow has 2" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code, batch_norm], check=True)


@pytest.mark.slow
def test_memory_does_not_grow_over_fifty_fits():
    code = """
import os
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0")
import numpy as np
from sklearn_pspd import CNNLSTMClassifier

def resident_mib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024

rng = np.random.default_rng(0)
X, y = rng.random((24, 3 * 16 * 16 + 7), dtype=np.float32), np.arange(24) % 2
sizes = []
for fit in range(52):
    model = CNNLSTMClassifier((3, 16, 16), filters=(4, 8), lstm_units=4 + 4 * (fit % 2), epochs=2, random_state=fit)
    model.fit(X, y).predict_proba(X)
    sizes.append(resident_mib())
assert sizes[-1] < 1.1 * sizes[1], sizes
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads the resident size from /proc")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_several_images_per_patient(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(12) % 2
    X = rng.normal(size=(12, 2 * 3 * 8 * 8 + 7)).astype(np.float32)
    augment = StackAugmenter(fov_mm=80.0)
    model = CNNLSTMClassifier(
        (3, 8, 8), n_images=2, n_clinical=7, filters=(2, 4), lstm_units=4, epochs=2, augment=augment, random_state=0
    ).fit(X, y)
    model.save(tmp_path / "model")
    read = CNNLSTMClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(read.predict_proba(X), model.predict_proba(X))
    assert repr(read.augment) == repr(augment)
    with pytest.raises(InputError, match=r"n_images=2 requires 384 pixel columns"):
        model.fit(X[:, 192:], y)
