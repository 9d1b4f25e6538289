"""The AUC of a model on altered images, beside what the images look like."""

import numpy as np
from matplotlib.transforms import blended_transform_factory

from .display import Grid, PanelDisplay
from .number_texts import signed_text
from .slices import GREY_PERCENTILES
from .style import COLOURS, GUIDE, wrapped

ROW_IN, HEAD_IN = 0.85, 0.9


class ShortcutDisplay(PanelDisplay):
    """The AUC with intervals on original and altered images, with the middle slice of one patient for each.

    Parameters
    ----------
    tests : ShortcutTests
        Result of :func:`~sklearn_pspd.inspection.shortcut_tests`.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    ax_ : matplotlib.axes.Axes
        Its panel.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import make_cohort, split_xy
    >>> from sklearn_pspd.baselines import baseline_models
    >>> from sklearn_pspd.inspection import shortcut_tests
    >>> from sklearn_pspd.plotting import ShortcutDisplay
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(folder, 20, matrix_px=(128,), n_native_slices=10, random_state=0))
    ...     model = baseline_models(["MRI principal components"], n_slices=3, size_px=24)["MRI principal components"]
    ...     tests = shortcut_tests(model.fit(X, y), X, y, tests=["skull only"])
    >>> ShortcutDisplay.from_tests(tests).frame()["test"].tolist()
    ['original', 'skull only']
    """

    def __init__(self, *, tests):
        self.tests = tests

    @classmethod
    def from_tests(cls, tests, *, ax=None, title=None):
        """Draw shortcut tests.

        Parameters
        ----------
        tests : ShortcutTests
            Result of :func:`~sklearn_pspd.inspection.shortcut_tests`.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        title : str, default=None
            Heading of the panel.

        Returns
        -------
        ShortcutDisplay
            With ``figure_`` and ``ax_``.

        Raises
        ------
        InputError
            If `ax` is not one panel.
        """
        return cls(tests=tests).plot(ax=ax, title=title)

    def frame(self):
        """Return the results.

        Returns
        -------
        DataFrame
            One row per test.
        """
        return self.tests.frame()

    def _grid(self):
        return Grid((1,), (6.6, HEAD_IN + ROW_IN * len(self.frame())))

    def _draw(self, axes):
        (ax,) = axes
        table = self.frame()
        places = np.arange(len(table))
        ax.axvline(0.5, zorder=0, **GUIDE)
        ax.axvline(table["auc"][0], zorder=0, linestyle="--", **GUIDE)
        for place, row in zip(places, table.itertuples(), strict=True):
            colour = "0.2" if place == 0 else COLOURS[1] if row.difference_high < 0 else COLOURS[0]
            ax.hlines(place, row.low, row.high, color=colour, linewidth=2.5)
            ax.plot(row.auc, place, "o", color=colour, markersize=7)
            _draw_example(ax, self.tests.examples[row.test], place)
            if place:
                value, low, high = map(signed_text, (row.difference, row.difference_low, row.difference_high))
                difference = f"{value} ({low} to {high})"
                difference = difference.replace("-", "\N{MINUS SIGN}")
                beside = blended_transform_factory(ax.transAxes, ax.transData)
                ax.text(1.02, place, difference, transform=beside, va="center", fontsize="small")
        ax.set_yticks(places, [wrapped(name, 16) for name in table["test"]])
        # Room for the slices between names and panel.
        ax.tick_params(axis="y", pad=52, length=0)
        ax.set(xlim=(0, 1.02), ylim=(len(table) - 0.5, -0.5))
        ax.set_xlabel(
            f"AUC with 95 % interval, {len(self.tests.scores)} patients\n"
            "(right: difference from the original; orange: lower)"
        )


def _draw_example(ax, image, place):
    """Draw a small slice between the name of a test and the panel."""
    low, high = np.percentile(image, GREY_PERCENTILES)
    beside = blended_transform_factory(ax.transAxes, ax.transData)
    inset = ax.inset_axes((-0.17, place - 0.44, 0.16, 0.88), transform=beside)
    inset.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    inset.set_axis_off()
