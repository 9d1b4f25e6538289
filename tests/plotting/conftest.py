"""Figures are closed after each test."""

import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def _close_figures():
    assert not plt.get_fignums(), "an earlier test left a figure open"
    yield
    plt.close("all")
