"""Shared fixtures and the settings of the test process."""

import os

# Before TensorFlow is imported anywhere: its notices, and float rounding that depends on the machine.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("MPLBACKEND", "agg")

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real sample data beside the checkout; tests that need it skip where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real sample data is absent")
    return folder
