"""Displays: what is drawn equals the table beside it."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

from sklearn_pspd import CNNLSTMClassifier
from sklearn_pspd.loading import SliceStack
from sklearn_pspd.plotting import NetworkDisplay, SliceStackDisplay


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


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


def test_network_without_a_branch():
    clinical = CNNLSTMClassifier(None, epochs=1, random_state=0).fit(*rows(7))
    assert NetworkDisplay.from_estimator(clinical).frame()["layer"].tolist()[0] == "clinical"
    images = CNNLSTMClassifier((3, 8, 8), filters=(2,), epochs=1, random_state=0).fit(*rows(3 * 8 * 8))
    figure, ax = plt.subplots()
    display = NetworkDisplay.from_estimator(images, ax=ax)
    assert display.figure_ is figure
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


@pytest.mark.parametrize(
    ("images", "axes", "message"),
    [
        (np.zeros((2, 3, 8, 8)), None, r"got \(2, 3, 8, 8\)"),
        (np.zeros((3, 8, 8)), [SimpleNamespace()], "3 slices need as many axes; got 1"),
    ],
)
def test_what_is_not_one_stack_is_refused(images, axes, message):
    with pytest.raises(ValueError, match=message):
        SliceStackDisplay.from_images(images, axes=axes)
