"""ROC and precision-recall curves of each fold of a cross-validation."""

import numpy as np
from matplotlib.lines import Line2D
from sklearn.metrics import average_precision_score

from sklearn_pspd.model_selection.score_summaries import of_model
from sklearn_pspd.statistics import fold_table

from .display import Grid, ScoreDisplay, left_panels
from .score_curves import (
    curve_table,
    fold_curves,
    mean_precision_recall,
    mean_roc,
    precision_recall_points,
    roc_points,
)
from .style import colour_of, wrapped

# By kind of curve: its points, its mean over folds, its metric, the name of that, and how points are joined.
CURVES = {
    "roc": (roc_points, mean_roc, "auc", "AUC", "default"),
    "precision_recall": (precision_recall_points, mean_precision_recall, "average_precision", "AUPRC", "steps-pre"),
}


class FoldCurvesDisplay(ScoreDisplay):
    """ROC and precision-recall curves of each fold of a cross-validation and their mean, as the paper's figure 3.

    The mean, which the paper [1]_ does not draw, is vertical: at each false positive rate the mean true positive rate,
    at each recall the mean precision. Folds in which only one outcome occurs have no curves and are left out.

    Parameters
    ----------
    scores : DataFrame
        The ``scores`` of a :class:`~sklearn_pspd.model_selection.ModelComparison`; those of an external set are not
        drawn.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    axes_ : ndarray of matplotlib.axes.Axes of shape (2, n_models)
        ROC curves above, precision-recall curves below, one column per model.

    See Also
    --------
    ComparisonDisplay : Mean ROC curves and AUCs with intervals, also of an external set.

    Notes
    -----
    The legends have the mean and the standard deviation over folds. The standard deviation is no standard error, since
    folds share training patients.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> from sklearn_pspd.plotting import FoldCurvesDisplay
    >>> y_true, y_score = [0, 1, 0, 1], [0.1, 0.4, 0.5, 0.2]
    >>> display = FoldCurvesDisplay.from_predictions(y_true, y_score, fold=[1, 1, 2, 2])
    >>> display.frame().query("curve == 'roc'")
       model curve    x    y
    0  model   roc  0.0  0.0
    1  model   roc  0.0  0.5
    2  model   roc  1.0  0.5
    3  model   roc  1.0  1.0
    """

    def __init__(self, *, scores):
        self.scores = scores

    @classmethod
    def _tables(cls, comparison):
        return {"scores": comparison.scores}

    def frame(self):
        """Return the mean curves.

        Returns
        -------
        DataFrame
            One row per point: ``model``, ``curve`` ("roc" or "precision_recall"), ``x`` (false positive rate or recall)
            and ``y`` (true positive rate or precision). Points of ROC curves are joined by straight lines; each
            precision holds from the recall before up to its own.
        """
        means = {}
        for model, scores in self._by_model():
            for kind, (points, mean, *_) in CURVES.items():
                if curves := fold_curves(scores, points):
                    means[model, kind] = mean(list(curves.values()))
        return curve_table(means)

    def _by_model(self):
        return list(of_model(self._check_folds(self.scores)).groupby("model", sort=False))

    def _grid(self):
        return Grid((len(CURVES), len(self._by_model())), (3.1, 3.8))

    def _draw(self, axes):
        means = self.frame()
        for number, (model, scores) in enumerate(self._by_model()):
            for ax, kind in zip(axes[:, number], CURVES, strict=True):
                mean = means[(means["model"] == model) & (means["curve"] == kind)]
                _draw_panel(ax, kind, scores, mean, colour_of(number))
            axes[0, number].set_title(wrapped(model, 34), fontsize="medium")
            axes[0, number].set_xlabel("1 - specificity")
            axes[1, number].set_xlabel("Recall of PsPD")
        for row, name in zip(axes, ("Sensitivity for PsPD", "Precision of PsPD"), strict=True):
            for ax in left_panels(row[np.newaxis]):
                ax.set_ylabel(name)


def _draw_panel(ax, kind, scores, mean, colour):
    points, *_, joined = CURVES[kind]
    for x, y in fold_curves(scores, points).values():
        ax.plot(x, y, color=colour, linewidth=0.8, alpha=0.4, drawstyle=joined)
    (line,) = ax.plot(mean["x"], mean["y"], color=colour, linewidth=2.5, drawstyle=joined)
    if kind == "roc":
        (guide,) = ax.plot([0, 1], [0, 1], zorder=0, linestyle=":", color="0.4", label="chance")
    else:
        prevalence = scores["y_true"].mean()
        guide = ax.axhline(prevalence, zorder=0, linestyle=":", color="0.4", label=f"prevalence {prevalence:.2f}")
    line.set_label(_mean_label(scores, kind))
    fold = Line2D([], [], color=colour, linewidth=0.8, alpha=0.6, label="one fold")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    # Below the panel, where it hides no curve.
    ax.legend(handles=[line, fold, guide], loc="upper left", bbox_to_anchor=(0, -0.18), frameon=False)


def _mean_label(scores, kind):
    _, _, metric, name, _ = CURVES[kind]
    table = fold_table(*(scores[column].to_numpy() for column in ("y_true", "y_score", "fold")))
    values = table.loc[~table["fold"].isin(["mean", "pooled"]), metric].astype(float)
    defined = values.dropna()
    spread = f" (SD {np.std(defined, ddof=1):.2f})" if len(defined) > 1 else ""
    if defined.empty:  # as with one patient per fold
        return f"none of {len(values)} folds has\nboth outcomes"
    label = f"mean of {len(defined)} of {len(values)} folds\n{name} {defined.mean():.2f}{spread}"
    if kind == "roc":
        return label
    # The AUC of a comparison is the mean over folds, too; its AUPRC is not.
    pooled = [average_precision_score(rows["y_true"], rows["y_score"]) for _, rows in scores.groupby("repeat")]
    return f"{label}\npooled over folds: {np.mean(pooled):.2f}"
