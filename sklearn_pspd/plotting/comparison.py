"""Curves and AUCs of several models."""

from matplotlib.lines import Line2D

from sklearn_pspd.model_selection.folds import CROSS_VALIDATION
from sklearn_pspd.model_selection.score_summaries import of_first_repeat, of_model

from .aucs import draw_aucs
from .display import Grid, ScoreDisplay
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
    AUCDisplay : The AUCs alone.
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
            draw_aucs(row[2], self.summary[self.summary["evaluation"] == evaluation])
            _finish(row, evaluation, patients)
        return [Line2D([], [], label=wrapped(model, 40), **line_style(number)) for number, model in enumerate(models)]


def _draw_curves(axes, scores, style):
    curves = fold_curves(scores, roc_points)
    # A fold with one outcome only has no curve, and then there is no AUC either.
    if len(curves) == len(set(scores["fold"])):
        axes[0].plot(*mean_roc(list(curves.values())), **style)
    first = of_first_repeat(scores)
    axes[1].plot(*precision_recall_points(first["y_true"], first["y_score"]), drawstyle="steps-pre", **style)


def _finish(axes, evaluation, outcomes):
    axes[0].plot([0, 1], [0, 1], zorder=0, **GUIDE)
    axes[1].axhline(outcomes.mean(), zorder=0, **GUIDE)
    mean, pooled = (", mean of folds", ", folds pooled") if evaluation == CROSS_VALIDATION else ("", "")
    counts = f"{int((outcomes == 0).sum())} PD, {int((outcomes == 1).sum())} PsPD"
    axes[0].set(xlabel="1 - specificity", ylabel="Sensitivity for PsPD", title=f"{evaluation.capitalize()}{mean}")
    axes[1].set(xlabel="Recall of PsPD", ylabel="Precision of PsPD", title=f"{counts}{pooled}")
    for ax in axes[:2]:
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
