"""Net benefit of classifying patients by a model's probability."""

import numpy as np
from matplotlib.lines import Line2D

from .display import Grid, ScoreDisplay, left_panels, panels
from .style import colour_of, wrapped

OTHERS = {"color": "0.7", "linewidth": 0.8}
TREAT_ALL = {"color": "0.35", "linewidth": 1, "linestyle": "--"}
TREAT_NONE = {"color": "0", "linewidth": 1}


class DecisionCurveDisplay(ScoreDisplay):
    """Net benefit of classifying patients as PsPD at each threshold probability, with 95 % intervals.

    The class methods take the option ``thresholds`` (array-like, default=None): threshold probabilities in (0, 1); None
    takes 0.05 to 0.95 in steps of 0.05.

    Parameters
    ----------
    curves : DataFrame
        The ``decision_curves()`` of a :class:`~sklearn_pspd.model_selection.ModelComparison`.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_evaluations, n_models)
        One row per evaluation, one column per model.

    Examples
    --------
    >>> from sklearn_pspd.plotting import DecisionCurveDisplay
    >>> y_true, y_score = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.8]
    >>> display = DecisionCurveDisplay.from_predictions(y_true, y_score, thresholds=[0.25, 0.5])
    >>> display.frame()["net_benefit"].round(2).tolist()
    [0.44, 0.17]
    """

    def __init__(self, *, curves):
        self.curves = curves

    @classmethod
    def _tables(cls, comparison, *, thresholds=None):
        return {"curves": comparison.decision_curves(thresholds=thresholds)}

    def frame(self):
        """Return the curves.

        Returns
        -------
        DataFrame
            One row per model, evaluation and threshold probability: net benefit with its interval, and the net benefit
            of classifying all patients as PsPD.
        """
        return self.curves

    def _grid(self):
        return Grid((self.curves["evaluation"].nunique(), self.curves["model"].nunique()), (3.2, 3.1))

    def _draw(self, axes):
        depths = [_draw_panel(ax, number, rows, self._others(rows)) for ax, number, rows in panels(self.curves, axes)]
        for ax in left_panels(axes):
            ax.set_ylabel("Net benefit")
        for ax in axes[-1]:
            ax.set_xlabel("Threshold probability of PsPD")
        handles = [
            Line2D([], [], color="0.25", linewidth=2, label="model, with 95 % interval"),
            *([Line2D([], [], **OTHERS, label="other models")] if axes.shape[1] > 1 else []),
            Line2D([], [], **TREAT_ALL, label="all classified as PsPD"),
            Line2D([], [], **TREAT_NONE, label="none classified as PsPD"),
        ]
        if any(depths):
            handles.append(Line2D([], [], color="0.25", marker="v", linestyle="", label="model below the panel"))
        return handles

    def _others(self, rows):
        """Return the curves of the other models in the same evaluation."""
        same = self.curves[self.curves["evaluation"] == rows["evaluation"].iloc[0]]
        return same[same["model"] != rows["model"].iloc[0]]


def _draw_panel(ax, number, rows, others):
    """Draw a model before the others; return whether its curve leaves the panel."""
    for _, curve in others.groupby("model", sort=False):
        ax.plot(curve["threshold"], curve["net_benefit"], **OTHERS)
    ax.plot(rows["threshold"], rows["treat_all"], **TREAT_ALL)
    ax.axhline(0, **TREAT_NONE)
    colour = colour_of(number)
    ax.fill_between(rows["threshold"], rows["low"], rows["high"], color=colour, alpha=0.2, lw=0)
    ax.plot(rows["threshold"], rows["net_benefit"], color=colour, linewidth=2)
    # The largest benefit that there can be is the prevalence. A model that is as harmful needs no figure of its harm,
    # which would leave no room for the benefit of the others.
    top = rows["treat_all"].max()
    below = rows[rows["net_benefit"] < -top]
    ax.plot(below["threshold"], np.full(len(below), -0.95 * top), "v", color=colour, markersize=4)
    ax.set(xlim=(0, 1), ylim=(-top, 1.6 * top))
    ax.set_title(f"{wrapped(rows['model'].iloc[0], 34)}\n{rows['evaluation'].iloc[0]}", fontsize="medium")
    return len(below) > 0
