"""Displays of networks, images and patient flow: what is drawn equals the table beside it."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

from sklearn_pspd import CNNLSTMClassifier
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStack
from sklearn_pspd.plotting import FlowDisplay, NetworkDisplay, SliceStackDisplay


def rows(n_columns, n_patients=4):
    return np.random.default_rng(0).random((n_patients, n_columns), dtype=np.float32), np.arange(n_patients) % 2


def texts(ax):
    return [text.get_text() for text in ax.texts]


def overlapping(ax):
    """Return pairs of texts that are drawn over each other."""
    ax.figure.canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent()) for text in ax.texts if text.get_text()]
    return [(a, b) for i, (a, one) in enumerate(boxes) for b, other in boxes[i + 1 :] if one.overlaps(other)]


@pytest.mark.parametrize("batch_norm", ["before", "after", "none"])
@pytest.mark.parametrize("pooling", ["flatten", "average"])
def test_network_is_that_of_the_estimator(tiny_network, batch_norm, pooling):
    tiny_network.set_params(batch_norm=batch_norm, pooling=pooling, dropout=0.1)
    model = make_pipeline("passthrough", tiny_network).fit(*rows(3 * 8 * 8 + 7))
    display = NetworkDisplay.from_estimator(model, title="Model 1")
    nodes = display.frame().set_index("layer")
    assert nodes["n_weights"].sum() == sum(weight.size for weight in tiny_network.weights_)
    assert nodes.loc["fusion", "inputs"] == ["dense_1", "clinical_dense_2"]
    assert nodes.loc["lstm", "inputs"] == [pooling]
    assert nodes.loc[["stack", "conv_1", pooling, "lstm"], "repeats"].tolist() == [1, 3, 3, 1]
    last = 4 if pooling == "average" else 2 * 2 * 4
    assert nodes.loc[["stack", pooling, "head"], "output_shape"].tolist() == [(3, 8, 8), (last,), (1,)]
    drawn = texts(display.ax_)
    assert {"slice stack", "clinical features", "LSTM, 4 cells", "dropout 0.1", "dense 1, sigmoid"} <= set(drawn)
    assert sum("each of 3 slices" in text for text in drawn) == (nodes["repeats"] == 3).sum()
    assert not overlapping(display.ax_)
    assert display.ax_.get_title() == "Model 1"


@pytest.mark.parametrize(
    ("sequence", "kind"), [("attention", "gated attention, 4 units"), ("mean", "mean over slices")]
)
@pytest.mark.parametrize("n_images", [1, 2])
def test_network_with_other_sequences_and_images(tiny_network, sequence, kind, n_images):
    tiny_network.set_params(sequence=sequence, n_images=n_images, n_clinical=7)
    display = NetworkDisplay.from_estimator(tiny_network.fit(*rows(n_images * 3 * 8 * 8 + 7)))
    nodes = display.frame().set_index("layer")
    assert nodes.loc[sequence, "inputs"] == ["flatten"]
    assert nodes.loc[["batch_norm_1", "conv_1"], "inputs"].tolist() == [["stack"], ["batch_norm_1"]]
    assert nodes.loc[["batch_norm_1", sequence], "repeats"].tolist() == [3, 1]
    assert {kind, "batch normalisation"} <= set(texts(display.ax_))


def test_network_without_a_branch():
    clinical = CNNLSTMClassifier(None, epochs=1, random_state=0).fit(*rows(7))
    assert NetworkDisplay.from_estimator(clinical).frame()["layer"].tolist()[0] == "clinical"
    images = CNNLSTMClassifier((3, 8, 8), filters=(2,), epochs=1, random_state=0).fit(*rows(3 * 8 * 8))
    figure, ax = plt.subplots()
    display = NetworkDisplay.from_estimator(images, ax=ax)
    assert display.figure_ is figure
    assert display.ax_ is ax
    assert display.axes_.tolist() == [ax]
    assert "fusion" not in set(display.frame()["layer"])
    assert display.ax_.get_title() == f"{sum(weight.size for weight in images.weights_):,} weights"


def test_network_of_a_forest_is_refused():
    with pytest.raises(TypeError, match="RandomForestClassifier has none"):
        NetworkDisplay.from_estimator(make_pipeline(RandomForestClassifier()).fit(*rows(7)))


def stack():
    pixels = np.arange(3 * 11 * 7, dtype=np.float32).reshape(3, 11, 7)
    return SliceStack(pixels, (2.0, 1.0), 1.5, "P01", "P01.nii.gz", slice_indices=(4.0, 5.0, 6.0))


def test_slices_lie_on_axes_in_mm():
    display = SliceStackDisplay.from_stack(stack())
    assert [ax.get_title() for ax in display.axes_] == ["4", "5", "6"]
    image = display.axes_[1].images[0]
    assert image.get_extent() == [-3.5, 3.5, 11.0, -11.0]  # right to left 7 mm, front at the top, 22 mm deep
    np.testing.assert_array_equal(image.get_array(), stack().pixels[1])
    assert len({ax.images[0].get_clim() for ax in display.axes_}) == 1  # one grey scale for the stack
    assert "mm" in display.axes_[0].get_ylabel()
    assert "mm" in display.axes_[1].get_xlabel()
    assert display.figure_._suptitle.get_text() == "P01"


def test_prepared_images_and_axes_of_ones_own():
    images = np.random.default_rng(0).random((3, 16, 16))
    figure, axes = plt.subplots(3)
    display = SliceStackDisplay.from_images(images, fov_mm=200.0, axes=axes)
    assert display.figure_ is figure
    assert display.axes_[0].images[0].get_extent() == [-100.0, 100.0, 100.0, -100.0]
    assert [ax.get_xlabel() for ax in display.axes_] == ["", "", "right to left (mm)"]
    frame = display.frame()
    assert frame["slice"].tolist() == ["1", "2", "3"]
    np.testing.assert_allclose(frame["sd"], images.std(axis=(1, 2)))


@pytest.mark.parametrize("n_slices", [1, 3, 5, 9])
def test_slices_fill_a_grid_in_order_and_the_middle_one_is_framed(n_slices):
    display = SliceStackDisplay.from_images(np.random.default_rng(0).random((n_slices, 4, 4)))
    assert display.axes_.shape == (n_slices,)
    assert [ax.get_title() for ax in display.axes_] == [str(number + 1) for number in range(n_slices)]
    n_rows = 3 if n_slices == 9 else 1
    assert display.axes_[0].get_gridspec().get_geometry() == (n_rows, n_slices // n_rows)
    framed = [ax.spines["left"].get_linewidth() == 2 for ax in display.axes_]
    assert np.flatnonzero(framed).tolist() == [n_slices // 2]


def test_axes_of_ones_own_keep_their_figures_title():
    figure, axes = plt.subplots(1, 3)
    figure.suptitle("mine")
    SliceStackDisplay.from_stack(stack(), axes=axes)
    assert figure.get_suptitle() == "mine"
    SliceStackDisplay.from_stack(stack(), axes=list(axes), title="new")
    assert figure.get_suptitle() == "new"


@pytest.mark.parametrize(
    ("images", "axes", "message"),
    [
        (np.zeros((2, 3, 8, 8)), None, r"got \(2, 3, 8, 8\)"),
        (np.zeros((3, 8, 8)), ["ax"], "SliceStackDisplay draws on 3 axes; got 1"),
        (np.zeros((3, 8, 8)), ["ax"] * 3, "SliceStackDisplay draws on matplotlib axes; got str"),
    ],
)
def test_what_is_not_one_stack_is_refused(images, axes, message):
    with pytest.raises(InputError, match=message):
        SliceStackDisplay.from_images(images, axes=axes)


FLOW = pd.DataFrame(
    {"stage": ["records", "exclusion"], "rule": ["", "too short a follow-up"], "excluded": [0, 3], "left": [9, 6]}
)


def test_the_flow_fits_the_axes_that_are_given():
    own = FlowDisplay.from_flow(FLOW, groups={"PD": 4, "PsPD": 2}, title="mine")
    assert own.ax_.get_title() == "mine"
    figure, axes = plt.subplots(1, 2, figsize=(7, 4))
    display = FlowDisplay.from_flow(FLOW, groups={"PD": 4, "PsPD": 2}, ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert display.frame() is FLOW
    assert texts(display.ax_) == texts(own.ax_)
    # Text shrinks with the boxes.
    assert display.ax_.texts[1].get_fontsize() < 0.6 * own.ax_.texts[1].get_fontsize()
    figure.canvas.draw()
    panel = axes[1].get_window_extent()
    for text in display.ax_.texts:
        extent = text.get_window_extent()
        assert panel.x0 <= extent.x0
        assert extent.x1 <= panel.x1


def test_one_panel_is_not_drawn_on_two_axes():
    _, axes = plt.subplots(1, 2)
    with pytest.raises(InputError, match="FlowDisplay draws on one axes; got 2"):
        FlowDisplay.from_flow(FLOW, ax=axes)
