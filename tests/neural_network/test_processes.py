"""Fits in forked processes, and fits that are interrupted."""

import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")

SETUP = """
import multiprocessing, os, sys
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0")
import joblib
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict
from sklearn_pspd import CNNLSTMClassifier
model = CNNLSTMClassifier((3, 8, 8), filters=(2,), lstm_units=2, epochs=1, precision="float32", random_state=0)
X, y = np.random.default_rng(0).random((8, 3 * 8 * 8 + 7), dtype=np.float32), np.arange(8) % 2
REMEDY = "forked", 'backend ("loky")', 'get_context("spawn")'

def message_of(function):
    try:
        function()
    except RuntimeError as error:
        return str(error)
    return ""
"""

AFTER_A_FIT = """
model.fit(X, y)

def in_workers():
    with joblib.parallel_config(backend="multiprocessing", n_jobs=2):
        cross_val_predict(clone(model), X, y, cv=2)

def child(pipe):
    pipe.send([message_of(lambda: clone(model).fit(X, y)), message_of(lambda: clone(model).partial_fit(X, y)),
               message_of(lambda: model.predict_proba(X)), message_of(lambda: model.save(os.devnull + "x"))])

found = [message_of(in_workers)]
ours, theirs = multiprocessing.Pipe()
process = multiprocessing.get_context("fork").Process(target=child, args=(theirs,))
process.start()
assert ours.poll(60)
found += ours.recv()
process.join()
for text in found:
    assert all(part in text for part in REMEDY), found
with joblib.parallel_config(backend="loky", n_jobs=2):
    assert len(cross_val_predict(clone(model), X, y, cv=2)) == 8
"""

BEFORE_ANY_FIT = """
with joblib.parallel_config(backend="multiprocessing", n_jobs=2):
    assert len(cross_val_predict(clone(model), X, y, cv=2)) == 8
assert len(model.fit(X, y).predict(X)) == 8
"""


@pytest.mark.parametrize("code", [AFTER_A_FIT, BEFORE_ANY_FIT], ids=["after a fit", "before any fit"])
def test_forked_processes(code):
    subprocess.run([sys.executable, "-c", SETUP + code], check=True, timeout=240)


def test_members_end_with_their_epoch_when_one_fails(monkeypatch):
    """Two members train in threads; the second does not go on to its last epoch after an error of the first."""
    from sklearn_pspd import CNNLSTMClassifier
    from sklearn_pspd.neural_network import callbacks, members

    failed, epochs_after = [], []

    class Failing(callbacks.StopWhenOver):
        def on_epoch_end(self, epoch, logs=None):
            if failed:
                epochs_after.append(epoch)
            elif epoch == 3:
                failed.append(epoch)
                raise OSError("no more disk")
            super().on_epoch_end(epoch, logs)

    monkeypatch.setattr(members, "n_concurrent_members", lambda n_members: 2)
    monkeypatch.setattr(members, "StopWhenOver", Failing)
    X, y = np.random.default_rng(0).random((8, 3 * 8 * 8 + 7), dtype=np.float32), np.arange(8) % 2
    network = CNNLSTMClassifier((3, 8, 8), filters=(2,), lstm_units=2, epochs=2000, n_members=2, random_state=0)
    with pytest.raises(OSError, match="no more disk"):
        network.fit(X, y)
    assert len(epochs_after) < 1000
    assert not hasattr(network, "weights_")
