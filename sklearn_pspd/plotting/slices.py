"""The slices of a patient, side by side."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError

from .style import COLOURS

# Grey values between these percentiles of the whole stack are told apart; the rest are black and white.
GREY_PERCENTILES = (0.5, 99.8)


class SliceStackDisplay:
    """The slices of one stack in a row, from feet to head, on axes in mm.

    Images are shown as they are stored: front (anterior) at the top, the patient's right at the left. The middle slice,
    which shows the lesion best, is framed.

    Parameters
    ----------
    pixels : ndarray of shape (n_slices, height, width)
        Grey values.
    spacing_mm : tuple of float
        Distance in mm between adjacent rows, and between adjacent columns.
    slice_names : sequence of str, default=None
        Headings of the slices; None numbers them from 1.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    axes_ : ndarray of matplotlib.axes.Axes, shape (n_slices,)
        One a slice.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.plotting import SliceStackDisplay
    >>> images = np.random.default_rng(0).random((3, 16, 16))
    >>> display = SliceStackDisplay.from_images(images, fov_mm=200.0)
    >>> display.spacing_mm
    (12.5, 12.5)
    >>> display.frame()["slice"].tolist()
    ['1', '2', '3']
    """

    def __init__(self, *, pixels, spacing_mm, slice_names=None):
        self.pixels = np.asarray(pixels)
        self.spacing_mm = spacing_mm
        self.slice_names = slice_names

    @classmethod
    def from_stack(cls, stack, *, axes=None, title=None):
        """Draw a stack as it was read.

        Parameters
        ----------
        stack : SliceStack
            What :class:`~sklearn_pspd.loading.SliceStackLoader` returned for a patient. Slices are named by their
            position in the image, 0 at the feet.
        axes : sequence of matplotlib.axes.Axes, default=None
            Where to draw, one a slice; None makes a figure.
        title : str, default=None
            Heading of the figure; None takes the patient's id.

        Returns
        -------
        SliceStackDisplay
            With ``figure_`` and ``axes_``.
        """
        names = [f"{index:g}" for index in stack.slice_indices] or None
        display = cls(pixels=stack.pixels, spacing_mm=stack.spacing_mm, slice_names=names)
        return display.plot(axes=axes, title=stack.patient_id if title is None else title)

    @classmethod
    def from_images(cls, images, *, fov_mm=200.0, axes=None, title=None):
        """Draw a stack after preparation.

        Parameters
        ----------
        images : ndarray of shape (n_slices, height, width)
            One patient's images, as :class:`~sklearn_pspd.preprocessing.FOVNormalizer` or
            :class:`~sklearn_pspd.preprocessing.SliceStandardizer` return them.
        fov_mm : float, default=200.0
            Side of the field of view in mm.
        axes : sequence of matplotlib.axes.Axes, default=None
            Where to draw, one a slice; None makes a figure.
        title : str, default=None
            Heading of the figure.

        Returns
        -------
        SliceStackDisplay
            With ``figure_`` and ``axes_``.

        Raises
        ------
        ValueError
            If the images are not those of one patient.
        """
        images = np.asarray(images)
        if images.ndim != 3:
            raise InputError(f"one patient's images have the axes (n_slices, height, width); got {images.shape}")
        spacing = (fov_mm / images.shape[1], fov_mm / images.shape[2])
        return cls(pixels=images, spacing_mm=spacing).plot(axes=axes, title=title)

    def frame(self):
        """Return what the grey values of each slice are.

        Returns
        -------
        DataFrame
            Columns ``slice``, ``minimum``, ``mean``, ``sd`` and ``maximum``.
        """
        statistics = {"minimum": np.min, "mean": np.mean, "sd": np.std, "maximum": np.max}
        rows = {name: statistic(self.pixels, axis=(1, 2)) for name, statistic in statistics.items()}
        return pd.DataFrame({"slice": self._names(), **rows})

    def plot(self, *, axes=None, title=None):
        """Draw the figure.

        Parameters
        ----------
        axes : sequence of matplotlib.axes.Axes, default=None
            Where to draw, one a slice; None makes a figure.
        title : str, default=None
            Heading of the figure.

        Returns
        -------
        SliceStackDisplay
            Itself.

        Raises
        ------
        ValueError
            If there are not as many axes as slices.
        """
        n_slices = len(self.pixels)
        if axes is None:
            figure, axes = plt.subplots(
                1, n_slices, figsize=(0.6 + 1.4 * n_slices, 2.3), sharey=True, squeeze=False, layout="constrained"
            )
            figure.suptitle(title or "")
        axes = np.ravel(axes)
        if len(axes) != n_slices:
            raise InputError(f"{n_slices} slices need as many axes; got {len(axes)}")
        low, high = np.percentile(self.pixels, GREY_PERCENTILES)
        half_height, half_width = (side * step / 2 for side, step in zip(self._sides(), self.spacing_mm, strict=True))
        for ax, image, name in zip(axes, self.pixels, self._names(), strict=True):
            extent = (-half_width, half_width, half_height, -half_height)
            ax.imshow(image, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="nearest")
            ax.set_title(name, fontsize=10)
            ax.tick_params(labelsize=8)
        _frame_middle(axes[n_slices // 2])
        axes[0].set_ylabel("front to back (mm)", fontsize=8)
        lowest = [ax for ax in axes if ax.get_subplotspec() is None or ax.get_subplotspec().is_last_row()] or axes
        lowest[len(lowest) // 2].set_xlabel("right to left (mm)", fontsize=8)
        self.figure_, self.axes_ = axes[0].figure, axes
        return self

    def _sides(self):
        return self.pixels.shape[1:]

    def _names(self):
        return list(self.slice_names or (str(number) for number in range(1, len(self.pixels) + 1)))


def _frame_middle(ax):
    ax.title.set_fontweight("bold")
    for spine in ax.spines.values():
        spine.set(color=COLOURS[1], linewidth=2)
