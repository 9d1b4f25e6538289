"""Shared fixtures and the settings of the test process."""

import os

# Before TensorFlow is imported anywhere: its notices, and float rounding that depends on the machine.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("MPLBACKEND", "agg")
# Before SciPy is imported: one of scikit-learn's estimator checks is skipped without it.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

from pathlib import Path

import pytest
from sklearn.ensemble import RandomForestClassifier

from sklearn_pspd import CNNLSTMClassifier, make_cohort, pipelines

N_SLICES, SIZE_PX = 3, 8


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real sample data beside the checkout; tests that need it skip where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real sample data is absent")
    return folder


@pytest.fixture(scope="session")
def cohort_folder(tmp_path_factory):
    """A synthetic cohort of 30 patients on disk."""
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort(folder, 30, matrix_px=(128,), n_native_slices=10, random_state=0)
    return folder


@pytest.fixture(scope="session")
def flair_cohort(tmp_path_factory):
    """A synthetic cohort of 16 patients with a second image each; its files must not be changed."""
    folder = tmp_path_factory.mktemp("flair")
    return make_cohort(folder, 16, flair=True, matrix_px=(128,), n_native_slices=10, random_state=0)


@pytest.fixture
def few_trees(monkeypatch):
    """The paper's random forest has 20 trees in place of 1000, which take 10 s to be saved and read again."""

    def forest(n_estimators, **parameters):
        return RandomForestClassifier(min(n_estimators, 20), **parameters)

    monkeypatch.setattr(pipelines, "RandomForestClassifier", forest)


@pytest.fixture
def tiny_network():
    """A network for stacks of 3 slices of 8 x 8 px that trains in a moment."""
    return CNNLSTMClassifier(
        (N_SLICES, SIZE_PX, SIZE_PX), filters=(2, 4), lstm_units=4, epochs=2, dense_units=(4,), random_state=0
    )
