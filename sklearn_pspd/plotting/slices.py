"""The slices of a patient, side by side."""

import math

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError

from .display import Grid, GridDisplay
from .style import COLOURS

# The grey scale spans these percentiles of the whole stack; values beyond them are black or white.
GREY_PERCENTILES = (0.5, 99.8)


class SliceStackDisplay(GridDisplay):
    """The slices of one stack from feet to head, row by row, on axes in mm.

    Images are shown as they are stored: front (anterior) at the top, the patient's right at the left. The middle slice,
    which shows the lesion best, is framed. Nine slices are drawn in three rows of three.

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
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_slices,)
        One panel per slice.

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
    def from_stack(cls, stack, *, image=0, axes=None, title=None):
        """Draw a stack as it was read.

        Parameters
        ----------
        stack : SliceStack
            One patient's result of :class:`~sklearn_pspd.loading.SliceStackLoader`. Slices are named by their position
            in the image, 0 at the feet.
        image : int, default=0
            Which image of the patient: 0 is that of the column ``image``, 1 the first further one.
        axes : array-like of matplotlib.axes.Axes, default=None
            Where to draw, one per slice; None makes a figure.
        title : str, default=None
            Heading of the figure; None takes the patient's id for a figure that is made.

        Returns
        -------
        SliceStackDisplay
            With ``figure_`` and ``axes_``.

        Raises
        ------
        InputError
            If there are not as many axes as slices, or there is no such image.
        """
        if not 0 <= image < stack.n_images:
            raise InputError(f"image={image}: the stack has {stack.n_images} image(s), counted from 0")
        names = [f"{index:g}" for index in stack.slice_indices] or None
        if title is None and axes is None:
            title = stack.patient_id
        display = cls(pixels=stack.images[image], spacing_mm=stack.spacing_mm, slice_names=names)
        return display.plot(axes=axes, title=title)

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
        axes : array-like of matplotlib.axes.Axes, default=None
            Where to draw, one per slice; None makes a figure.
        title : str, default=None
            Heading of the figure.

        Returns
        -------
        SliceStackDisplay
            With ``figure_`` and ``axes_``.

        Raises
        ------
        InputError
            If the images are not those of one patient, or there are not as many axes as slices.
        """
        images = np.asarray(images)
        if images.ndim != 3:
            raise InputError(f"one patient's images have the axes (n_slices, height, width); got {images.shape}")
        spacing = (fov_mm / images.shape[1], fov_mm / images.shape[2])
        return cls(pixels=images, spacing_mm=spacing).plot(axes=axes, title=title)

    def frame(self):
        """Summarise the grey values of each slice.

        Returns
        -------
        DataFrame
            One row per slice: ``slice``, ``minimum``, ``mean``, ``sd`` and ``maximum``.
        """
        statistics = {"minimum": np.min, "mean": np.mean, "sd": np.std, "maximum": np.max}
        rows = {name: statistic(self.pixels, axis=(1, 2)) for name, statistic in statistics.items()}
        return pd.DataFrame({"slice": self._names(), **rows})

    def _grid(self):
        n_slices = len(self.pixels)
        height, width = self._extent_mm()
        # Few slices stand in one row; more in a grid that they fill, as square as their number allows.
        n_columns = n_slices if n_slices <= 4 else _smallest_divisor(n_slices, math.isqrt(n_slices - 1) + 1)
        labels_in = 0.3 + 0.6 * n_columns / n_slices
        return Grid((n_slices,), (1.75, labels_in + 1.3 * height / width), n_columns, share=True)

    def _draw(self, axes):
        low, high = np.percentile(self.pixels, GREY_PERCENTILES)
        half_height, half_width = (side / 2 for side in self._extent_mm())
        for ax, image, name in zip(axes, self.pixels, self._names(), strict=True):
            extent = (-half_width, half_width, half_height, -half_height)
            ax.imshow(image, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="nearest")
            ax.set_title(name, fontsize=10)
            ax.tick_params(labelsize=8)
        _frame_middle(axes[len(axes) // 2])
        places = [(ax, ax.get_subplotspec()) for ax in axes]
        first_column = [ax for ax, place in places if place is None or place.is_first_col()] or axes
        last_row = [ax for ax, place in places if place is None or place.is_last_row()] or axes
        first_column[len(first_column) // 2].set_ylabel("front to back (mm)", fontsize=9)
        last_row[len(last_row) // 2].set_xlabel("right to left (mm)", fontsize=9)

    def _extent_mm(self):
        return tuple(n * step for n, step in zip(self.pixels.shape[1:], self.spacing_mm, strict=True))

    def _names(self):
        return list(self.slice_names or (str(number) for number in range(1, len(self.pixels) + 1)))


def _frame_middle(ax):
    ax.title.set_fontweight("bold")
    for spine in ax.spines.values():
        spine.set(color=COLOURS[1], linewidth=2)


def _smallest_divisor(n, at_least):
    return next(divisor for divisor in range(at_least, n + 1) if n % divisor == 0)
