"""Figures and the tables that they are drawn from agree."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from sklearn_pspd import compare_models, negative_control
from sklearn_pspd.model_selection import LadderResult
from sklearn_pspd.plotting import (
    CalibrationCurveDisplay,
    DecisionCurveDisplay,
    LadderDisplay,
    NegativeControlDisplay,
    ThresholdDisplay,
)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def comparison():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = pd.DataFrame({"a": rng.normal(size=60) + y, "b": rng.normal(size=60)})
    models = {"weak": LogisticRegression(C=0.01), "strong": LogisticRegression()}
    return compare_models(models, X[:40], y[:40], cv=4, X_test=X[40:], y_test=y[40:], random_state=0)


def test_calibration(comparison):
    display = CalibrationCurveDisplay.from_comparison(comparison, n_bins=3, title="made up")
    assert display.axes_.shape == (2, 2)
    points = display.frame().query("model == 'strong' and evaluation == 'external'")
    drawn = display.axes_[1, 1].containers[0].lines[0]
    np.testing.assert_allclose(drawn.get_xydata(), points[["predicted", "observed"]])
    slope = comparison.calibration().query("model == 'strong' and evaluation == 'external' and metric == 'slope'")
    assert f"slope {slope['value'].item():.1f}" in display.axes_[1, 1].texts[0].get_text()
    assert display.figure_.get_suptitle() == "made up"


def test_decision_curves(comparison):
    display = DecisionCurveDisplay.from_comparison(comparison, thresholds=[0.2, 0.4, 0.6])
    rows = display.frame().query("model == 'weak' and evaluation == 'cross-validation'")
    labels = [text.get_text() for text in display.axes_[0, 0].get_legend().get_texts()]
    assert labels == ["weak", "strong", "act on all", "act on none"]
    np.testing.assert_allclose(display.axes_[0, 0].lines[0].get_ydata(), rows["net_benefit"])


def test_thresholds(comparison):
    display = ThresholdDisplay.from_comparison(comparison)
    rows = display.frame()
    assert (rows["evaluation"] == "external").all()
    drawn = [line for line in display.axes_[1].lines if line.get_marker() == "o"]
    assert sorted(line.get_xdata()[0] for line in drawn) == sorted(rows["sensitivity"])
    is_open = [line.get_markerfacecolor() == "white" for line in drawn]
    assert sum(is_open) == rows["is_optimistic"].sum() == 2


def test_ladder():
    losses = pd.DataFrame(
        [{"repeat": r, "epoch": e, "loss": 1 / e, "validation_loss": r / e} for r in (1, 2) for e in (1, 2, 3)]
    )
    scores = pd.DataFrame(
        [
            {"rung": "classifier__lstm_units", "value": value, "fold": fold, "score": value / 100 + fold / 10}
            for value in (18, 24)
            for fold in (1, 2)
        ]
    )
    result = LadderResult({"classifier__epochs": 3, "classifier__lstm_units": 24}, losses, scores)
    display = LadderDisplay.from_ladder(result)
    assert display.axes_[1].get_title() == "LSTM units"
    np.testing.assert_allclose(display.axes_[1].lines[-1].get_ydata(), [0.33, 0.39])
    means = {line.get_label(): line.get_ydata() for line in display.axes_[0].lines}
    np.testing.assert_allclose(means["validation"], [1.5, 0.75, 0.5])
    assert "chosen: 3" in means
    pd.testing.assert_frame_equal(display.frame(), scores)


def test_negative_controls():
    y = np.arange(40) % 2
    X = np.random.default_rng(0).normal(size=(40, 1)) + 2 * y[:, np.newaxis]
    control = negative_control(LogisticRegression(), X, y, n_permutations=9, cv=4, random_state=0)
    _, axis = plt.subplots()
    display = NegativeControlDisplay.from_controls({"a": control, "b": control}, ax=axis)
    assert display.ax_ is axis
    assert display.frame()["name"].tolist() == ["a", "b"]
    np.testing.assert_allclose(axis.lines[0].get_xdata(), control.permutation_scores)
    assert axis.lines[1].get_xdata()[0] == control.score
    assert "p = 0.1 (at best 0.1)" in [text.get_text() for text in axis.texts]
