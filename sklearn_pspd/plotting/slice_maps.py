"""Maps of what a network's prediction depends on, over the slices of a patient."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D

from sklearn_pspd.exceptions import InputError

from .display import GridDisplay
from .slices import GREY_PERCENTILES, SliceStackDisplay
from .style import COLOURS

# From blue (towards PD) to orange (towards PsPD), transparent in the middle so that the slice is seen.
DIVERGING = LinearSegmentedColormap.from_list(
    "pd_to_pspd",
    [(*colour, alpha) for colour, alpha in (((0, 0.45, 0.7), 0.9), ((0, 0.45, 0.7), 0.0))]
    + [(*colour, alpha) for colour, alpha in (((0.9, 0.4, 0.0), 0.0), ((0.9, 0.4, 0.0), 0.9))],
)
MAP_PERCENTILE = 99.5
WARNING = "#B00020"
NAMES = {
    "hires_cam": "HiRes-CAM",
    "grad_cam": "Grad-CAM",
    "integrated_gradients": "integrated gradients",
    "smooth_grad": "SmoothGrad",
    "occlusion": "occlusion",
}


class SliceMapDisplay(GridDisplay):
    """The map of one patient over the slices, from feet to head, with the verdict of its checks.

    Orange regions speak for PsPD, blue ones for PD. A map that failed a check says so in red.

    Parameters
    ----------
    maps : SliceMaps
        Result of :func:`~sklearn_pspd.inspection.slice_maps`.
    row : int, default=0
        Row of the patient in `maps`.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_slices,)
        One panel per slice.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import CNNLSTMClassifier, make_cohort, make_image_pipeline, split_xy
    >>> from sklearn_pspd.inspection import slice_maps
    >>> from sklearn_pspd.plotting import SliceMapDisplay
    >>> network = CNNLSTMClassifier(filters=(2, 4), epochs=1, random_state=0)
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(folder, 6, matrix_px=(128,), n_native_slices=10, random_state=0))
    ...     model = make_image_pipeline(network, n_slices=3, size_px=16).fit(X, y)
    ...     maps = slice_maps(model, X[:1], check=False)
    >>> SliceMapDisplay.from_maps(maps).frame()["slice"].tolist()
    [1, 2, 3]
    """

    def __init__(self, *, maps, row=0):
        self.maps = maps
        self.row = row

    @classmethod
    def from_maps(cls, maps, *, patient_id=None, axes=None, title=None):
        """Draw the map of one patient.

        Parameters
        ----------
        maps : SliceMaps
            Result of :func:`~sklearn_pspd.inspection.slice_maps`.
        patient_id : str, default=None
            The patient; None takes the first.
        axes : array-like of matplotlib.axes.Axes, default=None
            Where to draw, one per slice; None makes a figure.
        title : str, default=None
            Heading of the figure; None names patient, method, prediction and checks.

        Returns
        -------
        SliceMapDisplay
            With ``figure_`` and ``axes_``.

        Raises
        ------
        InputError
            If there is no such patient, or there are not as many axes as slices.
        """
        ids = [str(name) for name in maps.patient_id]
        if patient_id is not None and str(patient_id) not in ids:
            raise InputError(f"there is no patient {patient_id!r}; there are {', '.join(ids)}")
        row = 0 if patient_id is None else ids.index(str(patient_id))
        return cls(maps=maps, row=row).plot(axes=axes, title=title)

    def frame(self):
        """Say how much of the map lies in which slice.

        Returns
        -------
        DataFrame
            One row per slice; see :meth:`SliceMaps.frame() <sklearn_pspd.inspection.SliceMaps.frame>`.
        """
        n_slices = self.maps.values.shape[1]
        return self.maps.frame().iloc[self.row * n_slices : (self.row + 1) * n_slices].reset_index(drop=True)

    def _slices(self):
        pixels = self.maps.images[self.row]
        spacing = (self.maps.fov_mm / pixels.shape[1], self.maps.fov_mm / pixels.shape[2])
        return SliceStackDisplay(pixels=pixels, spacing_mm=spacing)

    def _grid(self):
        return self._slices()._grid()

    def _set_title(self, title):
        maps, failures = self.maps, () if self.maps.checks is None else self.maps.checks.failures
        name, probability = NAMES.get(maps.method, maps.method), 1 / (1 + np.exp(-maps.log_odds[self.row]))
        text = title or f"{maps.patient_id[self.row]}\n{name}, probability of PsPD {probability:.2f}"
        if maps.checks is None:
            text += "\nThis map was not checked."
        heading = self.figure_.suptitle(text + "".join(f"\n{name} {words}." for words in failures), fontsize="medium")
        if failures:
            heading.set_color(WARNING)

    def _add_legend(self, handles, is_ours):
        # On axes of others, it would hide a slice.
        if is_ours:
            super()._add_legend(handles, is_ours)

    def _draw(self, axes):
        slices = self._slices()
        slices._draw(axes)
        values = self.maps.values[self.row]
        largest = np.percentile(np.abs(values), MAP_PERCENTILE) or np.abs(values).max() or 1.0
        for ax, image in zip(axes, values, strict=True):
            extent = ax.images[0].get_extent()
            ax.imshow(image, cmap=DIVERGING, vmin=-largest, vmax=largest, extent=extent, interpolation="bilinear")
        return [
            Line2D([], [], marker="s", linestyle="", markersize=9, color=COLOURS[1], label="towards PsPD"),
            Line2D([], [], marker="s", linestyle="", markersize=9, color=COLOURS[0], label="towards PD"),
        ]


def draw_map(ax, image, values, largest):
    """Draw one slice with its map, without axes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    image : ndarray of shape (height, width)
        Standardised slice.
    values : ndarray of shape (height, width) or None
        Its map; None draws the slice alone.
    largest : float
        Value of the map with the full colour.
    """
    low, high = np.percentile(image, GREY_PERCENTILES)
    ax.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    if values is not None:
        ax.imshow(values, cmap=DIVERGING, vmin=-largest, vmax=largest, interpolation="bilinear")
    ax.set_axis_off()
