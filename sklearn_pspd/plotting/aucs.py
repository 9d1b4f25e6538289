"""AUCs of several models with their intervals."""

import numpy as np

from .display import Grid, ScoreDisplay
from .number_texts import interval_text
from .style import GUIDE, colour_of, wrapped

ROW_IN, HEAD_IN = 0.5, 1.0  # height of a model, and of headings and labels


class AUCDisplay(ScoreDisplay):
    """AUCs of several models with 95 % intervals, one panel per evaluation.

    For an ensemble, the mean AUC of its single networks is drawn below that of the ensemble.

    Parameters
    ----------
    summary : DataFrame
        The ``frame()`` of a :class:`~sklearn_pspd.model_selection.ModelComparison`.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_evaluations,)
        One panel per evaluation.

    See Also
    --------
    ComparisonDisplay : The same panels, beside ROC and precision-recall curves.

    Examples
    --------
    >>> from sklearn_pspd.plotting import AUCDisplay
    >>> y_true, y_score = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.8]
    >>> AUCDisplay.from_predictions(y_true, y_score).frame()["value"].round(2).tolist()
    [0.89]
    """

    def __init__(self, *, summary):
        self.summary = summary

    @classmethod
    def _tables(cls, comparison):
        return {"summary": comparison.frame()}

    def frame(self):
        """Return the AUCs.

        Returns
        -------
        DataFrame
            Models, evaluations, the metrics "auc" and "auc_single_network", values and intervals.
        """
        return self.summary[self.summary["metric"].isin(["auc", "auc_single_network"])].reset_index(drop=True)

    def _grid(self):
        height = HEAD_IN + ROW_IN * self.summary["model"].nunique()
        return Grid((self.summary["evaluation"].nunique(),), (4.8, height))

    def _draw(self, axes):
        for ax, (evaluation, rows) in zip(axes, self.frame().groupby("evaluation", sort=False), strict=True):
            draw_aucs(ax, rows)
            ax.set_title(evaluation.capitalize())


def draw_aucs(ax, summary):
    """Draw the AUCs of one evaluation.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    summary : DataFrame
        Rows of one evaluation of the table of metrics.
    """
    models = list(summary["model"].unique())
    for number, model in enumerate(models):
        _draw_auc(ax, number, summary[summary["model"] == model].set_index("metric"))
    ax.axvline(0.5, zorder=0, **GUIDE)
    # The more models there are, the more of the distance between two of them the text above an interval needs.
    top = -0.5 - 0.05 * len(models)
    ax.set(xlabel="AUC, with 95 % interval", xlim=(0, 1), ylim=(len(models) - 0.5, top))
    ax.set_yticks(range(len(models)), [wrapped(model, 20) for model in models])


def _draw_auc(ax, number, rows):
    auc, colour = rows.loc["auc"], colour_of(number)
    if np.isnan(auc["value"]):
        ax.annotate("no AUC within folds", (0.5, number), ha="center", va="center")
        return
    if "auc_single_network" in rows.index:
        single = rows.loc["auc_single_network"]
        ax.plot([single["low"], single["high"]], [number + 0.2] * 2, color=colour, linewidth=1)
        ax.plot(single["value"], number + 0.2, "o", color=colour, markerfacecolor="white", markersize=5)
    ax.plot([auc["low"], auc["high"]], [number, number], color=colour, linewidth=2.5)
    ax.plot(auc["value"], number, "o", color=colour, markersize=8)
    ax.annotate(
        interval_text(auc),
        (np.clip(auc["value"], 0.3, 0.7), number),  # within the axes
        xytext=(0, 9),
        textcoords="offset points",
        ha="center",
    )
