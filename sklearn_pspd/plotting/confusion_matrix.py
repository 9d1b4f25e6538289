"""Confusion matrices of several models."""

import pandas as pd

from sklearn_pspd.model_selection.score_summaries import of_first_repeat

from .display import Grid, ScoreDisplay, left_panels, panels
from .style import wrapped

OUTCOMES = {0: "PD", 1: "PsPD"}
DARK = 0.72  # proportion from which on white text has more contrast than black


class ConfusionMatrixDisplay(ScoreDisplay):
    """Confusion matrix of each model, normalised within each true outcome, as in the paper's figure 4.

    A patient is classified as PsPD if the score is at least this patient's threshold, by default the prevalence of PsPD
    among the training patients of the model. The paper [1]_ took its threshold from the test set. Of a repeated
    cross-validation, the first repeat is counted.

    Parameters
    ----------
    scores : DataFrame
        The ``scores`` of a :class:`~sklearn_pspd.model_selection.ModelComparison`.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_evaluations, n_models)
        One row per evaluation, one column per model.

    See Also
    --------
    sklearn.metrics.ConfusionMatrixDisplay : Of one model, from predicted classes.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> from sklearn_pspd.plotting import ConfusionMatrixDisplay
    >>> y_true, y_score = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.8]
    >>> display = ConfusionMatrixDisplay.from_predictions(y_true, y_score, threshold=0.5)
    >>> display.frame()[["true", "predicted", "n", "proportion"]].round(2)
       true predicted  n  proportion
    0    PD        PD  2        0.67
    1    PD      PsPD  1        0.33
    2  PsPD        PD  1        0.33
    3  PsPD      PsPD  2        0.67
    """

    def __init__(self, *, scores):
        self.scores = scores

    @classmethod
    def _tables(cls, comparison):
        return {"scores": comparison.scores}

    def frame(self):
        """Return the cells of the matrices.

        Returns
        -------
        DataFrame
            One row per cell: ``model``, ``evaluation``, ``true`` and ``predicted`` ("PD" or "PsPD"), ``n`` (patients)
            and ``proportion`` (of the patients with this true outcome).
        """
        rows = []
        for (evaluation, model), scores in of_first_repeat(self.scores).groupby(["evaluation", "model"], sort=False):
            predicted = (scores["y_score"] >= scores["threshold"]).astype(int)
            for true, true_name in OUTCOMES.items():
                of_outcome = predicted[scores["y_true"] == true]
                for outcome, name in OUTCOMES.items():
                    is_it = of_outcome == outcome
                    rows.append((model, evaluation, true_name, name, int(is_it.sum()), is_it.mean()))
        return pd.DataFrame(rows, columns=["model", "evaluation", "true", "predicted", "n", "proportion"])

    def _grid(self):
        return Grid((self.scores["evaluation"].nunique(), self.scores["model"].nunique()), (2.6, 2.8))

    def _draw(self, axes):
        for ax, _, cells in panels(self.frame(), axes):
            _draw_matrix(ax, cells)
            model, evaluation = cells[["model", "evaluation"]].iloc[0]
            ax.set_title(f"{wrapped(model, 28)}\n{evaluation}", fontsize="medium")
        for ax in left_panels(axes):
            ax.set_ylabel("True outcome")
        for ax in axes[-1]:
            ax.set_xlabel("Predicted outcome")


def _draw_matrix(ax, cells):
    names = list(OUTCOMES.values())
    ax.imshow(cells["proportion"].to_numpy().reshape(2, 2), cmap="Blues", vmin=0, vmax=1)
    for cell in cells.itertuples():
        colour = "white" if cell.proportion >= DARK else "black"
        text = f"{cell.n}\n{100 * cell.proportion:.0f} %"
        place = names.index(cell.predicted), names.index(cell.true)
        ax.text(*place, text, ha="center", va="center", color=colour, fontsize="large")
    ax.set_xticks(range(2), names)
    ax.set_yticks(range(2), names, rotation=90, va="center")
    ax.tick_params(length=0)
