"""AUC and changed classes against the strength of perturbations."""

import math

import numpy as np
from matplotlib.lines import Line2D

from .contributions import readable
from .display import Grid, GridDisplay
from .style import COLOURS, GUIDE

MAX_COLUMNS = 4


class RobustnessDisplay(GridDisplay):
    """AUC and proportion of changed classes against the strength of each perturbation, with intervals.

    Parameters
    ----------
    robustness : Robustness
        Result of :func:`~sklearn_pspd.inspection.robustness`.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_panels,)
        One panel per perturbation of images, and one for the clinical columns; in rows of four, the last of which may
        have empty panels.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import make_clinical_pipeline, make_cohort, split_xy
    >>> from sklearn_pspd.inspection import robustness
    >>> from sklearn_pspd.plotting import RobustnessDisplay
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(folder, 20, matrix_px=(32,), n_native_slices=10, random_state=0))
    >>> model = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=20).fit(X, y)
    >>> RobustnessDisplay.from_robustness(robustness(model, X, y)).axes_.shape
    (1,)
    """

    def __init__(self, *, robustness):
        self.robustness = robustness

    @classmethod
    def from_robustness(cls, robustness, *, axes=None, title=None):
        """Draw the results of perturbations.

        Parameters
        ----------
        robustness : Robustness
            Result of :func:`~sklearn_pspd.inspection.robustness`.
        axes : array-like of matplotlib.axes.Axes, default=None
            Where to draw, as many as ``axes_`` has; None makes a figure.
        title : str, default=None
            Heading of the figure.

        Returns
        -------
        RobustnessDisplay
            With ``figure_`` and ``axes_``.

        Raises
        ------
        InputError
            If there are not as many axes as panels.
        """
        return cls(robustness=robustness).plot(axes=axes, title=title)

    def frame(self):
        """Return the results.

        Returns
        -------
        DataFrame
            One row per perturbation and strength.
        """
        return self.robustness.frame()

    def _panels(self):
        table = self.frame()
        images = table[table["kind"] == "image"]
        panels = [images[images["perturbation"] == name] for name in images["perturbation"].unique()]
        clinical = table[table["kind"] == "clinical"]
        return [*panels, clinical] if len(clinical) else panels

    def _grid(self):
        panels = self._panels()
        if len(panels) == 1:
            is_clinical = panels[0]["kind"].iloc[0] == "clinical"
            return Grid((1,), (5.5, 1.2 + 0.28 * len(panels[0]) if is_clinical else 3.2))
        n_columns = min(len(panels), MAX_COLUMNS)
        n_rows = -(-len(panels) // n_columns)
        return Grid((n_rows * n_columns,), (2.7, 2.6), n_columns)

    def _draw(self, axes):
        original, panels = self.frame().iloc[0], self._panels()
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        for ax, rows in zip(axes[: len(panels)], panels, strict=True):
            if rows["kind"].iloc[0] == "clinical":
                _draw_clinical(ax, rows)
            else:
                _draw_strengths(ax, rows, original)
        return [
            Line2D([], [], marker="o", color=COLOURS[0], label="AUC, with 95 % interval"),
            Line2D([], [], marker="s", color=COLOURS[1], linestyle="--", label="proportion of changed classes"),
        ]


def _draw_strengths(ax, rows, original):
    strengths = np.append(rows["strength"].to_numpy(dtype=float), 0.0)
    order = np.argsort(strengths)
    for name, low, high, colour, line in (
        ("auc", "low", "high", COLOURS[0], "o-"),
        ("changed", "changed_low", "changed_high", COLOURS[1], "s--"),
    ):
        value, lower, upper = (
            np.append(rows[column].to_numpy(dtype=float), original[column])[order] for column in (name, low, high)
        )
        x = strengths[order]
        ax.fill_between(x, lower, upper, color=colour, alpha=0.15, linewidth=0)
        ax.plot(x, value, line, color=colour, markersize=4)
    ax.axhline(0.5, zorder=0, **GUIDE)
    ax.set(ylim=(-0.03, 1.03), title=rows["perturbation"].iloc[0].capitalize(), xlabel=rows["unit"].iloc[0])
    ax.title.set_fontsize(10)
    ax.xaxis.label.set_fontsize(9)
    ax.tick_params(labelsize=8)


def _draw_clinical(ax, rows):
    labels = [_clinical_label(row) for row in rows.itertuples()]
    places = np.arange(len(rows))
    for name, low, high, colour, marker, height in (
        ("auc", "low", "high", COLOURS[0], "o", -0.15),
        ("changed", "changed_low", "changed_high", COLOURS[1], "s", 0.15),
    ):
        ax.hlines(places + height, rows[low], rows[high], color=colour, linewidth=1.2)
        ax.plot(rows[name], places + height, marker, color=colour, markersize=3.5)
    ax.set_yticks(places, labels, fontsize=6 if len(ax.figure.axes) > 1 else 8)
    ax.set(xlim=(-0.03, 1.03), ylim=(len(rows) - 0.5, -0.5), title="Clinical columns")
    ax.title.set_fontsize(10)
    ax.tick_params(axis="x", labelsize=8)


def _clinical_label(row):
    name = readable(row.perturbation).split(" (")[0]
    if row.unit in ("another code", "unknown"):
        return f"{name}: {row.unit}"
    sign = "+" if row.strength > 0 else "\N{MINUS SIGN}"
    unit = "" if row.unit == "1" else f" {row.unit}"
    return f"{name} {sign}{math.fabs(row.strength):g}{unit}"
