"""Curves and AUCs of several models."""

import numpy as np
from matplotlib.lines import Line2D

from sklearn_pspd.model_selection.folds import CROSS_VALIDATION
from sklearn_pspd.model_selection.score_summaries import of_first_repeat, of_model

from .display import Grid, ScoreDisplay
from .number_texts import interval_text
from .score_curves import fold_curves, mean_roc, precision_recall_points, roc_points
from .style import GUIDE, line_style, wrapped


class ComparisonDisplay(ScoreDisplay):
    """ROC curves, precision-recall curves and AUCs with 95 % intervals of several models.

    The ROC curve of a cross-validation is the mean over its folds, so that the area below it is the AUC; the
    precision-recall curve is that of the pooled scores, as the AUPRC is. :class:`FoldCurvesDisplay` draws the curve of
    each fold. For an ensemble, the mean AUC of its single networks is drawn below that of the ensemble.

    Parameters
    ----------
    scores : DataFrame
        The ``scores`` of a :class:`~sklearn_pspd.model_selection.ModelComparison`.
    summary : DataFrame
        Its ``frame()``.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_evaluations, 3)
        One row per evaluation: ROC curves, precision-recall curves, AUCs.

    See Also
    --------
    FoldCurvesDisplay : Curves of each fold of a cross-validation, the paper's figure 3.
    ConfusionMatrixDisplay : Confusion matrices, in the paper's figure 4.

    Examples
    --------
    >>> from sklearn_pspd.plotting import ComparisonDisplay
    >>> y_true, y_score = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.8]
    >>> table = ComparisonDisplay.from_predictions(y_true, y_score).frame()
    >>> table.loc[table["metric"] == "auc", "value"].round(2).tolist()
    [0.89]
    """

    def __init__(self, *, scores, summary):
        self.scores = scores
        self.summary = summary

    @classmethod
    def _tables(cls, comparison):
        return {"scores": comparison.scores, "summary": comparison.frame()}

    def frame(self):
        """Return the metrics of all models.

        Returns
        -------
        DataFrame
            Models, evaluations, metrics, values and intervals; those of the metric "auc" are drawn.
        """
        return self.summary

    def _grid(self):
        return Grid((self.scores["evaluation"].nunique(), 3), (3.6, 3.5))

    def _draw(self, axes):
        models = list(self.scores["model"].unique())
        for row, (evaluation, scores) in zip(axes, self.scores.groupby("evaluation", sort=False), strict=True):
            patients = scores.drop_duplicates("patient_id")["y_true"]
            for number, model in enumerate(models):
                _draw_curves(row, of_model(scores[scores["model"] == model]), line_style(number))
                self._draw_auc(row[2], number, model, evaluation)
            _finish(row, evaluation, patients, [wrapped(model, 20) for model in models])
        return [Line2D([], [], label=wrapped(model, 40), **line_style(number)) for number, model in enumerate(models)]

    def _draw_auc(self, ax, number, model, evaluation):
        rows = self.summary[(self.summary["model"] == model) & (self.summary["evaluation"] == evaluation)]
        rows = rows.set_index("metric")
        auc = rows.loc["auc"]
        colour = line_style(number)["color"]
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


def _draw_curves(axes, scores, style):
    curves = fold_curves(scores, roc_points)
    # A fold with one outcome only has no curve, and then there is no AUC either.
    if len(curves) == len(set(scores["fold"])):
        axes[0].plot(*mean_roc(list(curves.values())), **style)
    first = of_first_repeat(scores)
    axes[1].plot(*precision_recall_points(first["y_true"], first["y_score"]), drawstyle="steps-pre", **style)


def _finish(axes, evaluation, outcomes, models):
    axes[0].plot([0, 1], [0, 1], zorder=0, **GUIDE)
    axes[1].axhline(outcomes.mean(), zorder=0, **GUIDE)
    axes[2].axvline(0.5, zorder=0, **GUIDE)
    mean, pooled = (", mean of folds", ", folds pooled") if evaluation == CROSS_VALIDATION else ("", "")
    counts = f"{int((outcomes == 0).sum())} PD, {int((outcomes == 1).sum())} PsPD"
    axes[0].set(xlabel="1 - specificity", ylabel="Sensitivity for PsPD", title=f"{evaluation.capitalize()}{mean}")
    axes[1].set(xlabel="Recall of PsPD", ylabel="Precision of PsPD", title=f"{counts}{pooled}")
    # The more models there are, the more of the distance between two of them the text above an interval needs.
    top = -0.5 - 0.05 * len(models)
    axes[2].set(xlabel="AUC, with 95 % interval", xlim=(0, 1), ylim=(len(models) - 0.5, top))
    axes[2].set_yticks(range(len(models)), models)
    for ax in axes[:2]:
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
