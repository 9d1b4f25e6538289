"""The figure of a tuning and the tables that it is drawn from agree."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.plotting import SequentialSearchDisplay

LOSSES = pd.DataFrame(
    [{"repeat": r, "epoch": e, "loss": 1 / e, "validation_loss": r / e} for r in (1, 2) for e in (1, 2, 3)]
)
SCORES = pd.DataFrame(
    [
        {"parameter": "classifier__lstm_units", "value": value, "fold": fold, "score": value / 100 + fold / 10}
        for value in (18, 24)
        for fold in (1, 2)
    ]
)
BEST = {"classifier__epochs": 3, "classifier__lstm_units": 24}


def test_losses_and_scores():
    display = SequentialSearchDisplay(scores=SCORES, losses=LOSSES, best_params=BEST).plot(title="made up")
    assert display.axes_.shape == (2,)
    assert display.figure_.get_suptitle() == "made up"
    losses, units = display.axes_
    means = {line.get_label(): line.get_ydata() for line in losses.lines}
    np.testing.assert_allclose(means["validation"], [1.5, 0.75, 0.5])
    np.testing.assert_allclose(means["training"], [1, 1 / 2, 1 / 3])
    assert "chosen: 3" in means
    assert units.get_title() == "LSTM units"
    np.testing.assert_allclose(units.lines[-1].get_ydata(), [0.33, 0.39])
    white = [patch.get_facecolor() == (1, 1, 1, 1) for patch in units.patches]
    assert white == [True, False]
    pd.testing.assert_frame_equal(display.frame(), SCORES)


def test_given_axes():
    display = SequentialSearchDisplay(scores=SCORES, losses=None, best_params=BEST)
    figure, ax = plt.subplots()
    assert display.plot(axes=ax).axes_.tolist() == [ax]
    assert display.figure_ is figure
    with pytest.raises(InputError, match="SequentialSearchDisplay draws on one axes; got 2"):
        display.plot(axes=[ax, ax])
