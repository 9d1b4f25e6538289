"""Curves and intervals of several models."""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from .style import GUIDE, line_style


class ComparisonDisplay:
    """Receiver operating characteristic and precision-recall curves of several models, as the paper's figures 3 and 4.

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
    axes_ : ndarray of matplotlib.axes.Axes
        One row an evaluation; ROC, precision-recall, AUC with its interval.
    """

    def __init__(self, *, scores, summary):
        self.scores = scores
        self.summary = summary

    @classmethod
    def from_comparison(cls, comparison, *, title=None):
        """Draw a comparison.

        Parameters
        ----------
        comparison : ModelComparison
            What :func:`~sklearn_pspd.model_selection.compare_models` returned.
        title : str, default=None
            Heading of the figure, for example that the cohort is synthetic.

        Returns
        -------
        ComparisonDisplay
            With ``figure_`` and ``axes_``.
        """
        return cls(scores=comparison.scores, summary=comparison.frame()).plot(title=title)

    def frame(self):
        """Return the table that the figure draws its intervals from.

        Returns
        -------
        DataFrame
            Models, evaluations, metrics, values and intervals.
        """
        return self.summary

    def plot(self, *, title=None):
        """Draw the figure.

        Parameters
        ----------
        title : str, default=None
            Heading of the figure.

        Returns
        -------
        ComparisonDisplay
            Itself.
        """
        evaluations = list(self.scores["evaluation"].unique())
        figure, axes = plt.subplots(
            len(evaluations), 3, figsize=(13, 4.2 * len(evaluations)), squeeze=False, layout="constrained"
        )
        for row, evaluation in zip(axes, evaluations, strict=True):
            self._plot_evaluation(row, evaluation)
        figure.get_layout_engine().set(h_pad=0.12)
        if title:
            figure.suptitle(title)
        self.figure_, self.axes_ = figure, axes
        return self

    def _plot_evaluation(self, axes, evaluation):
        scores = self.scores[self.scores["evaluation"] == evaluation]
        models = list(scores["model"].unique())
        for number, model in enumerate(models):
            of_model = scores[scores["model"] == model]
            style = {**line_style(number), "label": model}
            _plot_roc(axes[0], of_model, style)
            _plot_precision_recall(axes[1], of_model, style)
            self._plot_interval(axes[2], number, model, evaluation, style["color"])
        patients = scores.drop_duplicates("patient_id")
        counts = f"{int((patients['y_true'] == 0).sum())} PD, {int((patients['y_true'] == 1).sum())} PsPD"
        _finish_curves(axes, f"{evaluation.capitalize()} ({counts})", np.mean(patients["y_true"]))
        axes[2].set_yticks(range(len(models)), models)
        axes[2].set_ylim(len(models) - 0.5, -0.5)

    def _plot_interval(self, axis, number, model, evaluation, colour):
        rows = self.summary
        auc = rows[(rows["model"] == model) & (rows["evaluation"] == evaluation) & (rows["metric"] == "auc")].iloc[0]
        axis.plot([auc["low"], auc["high"]], [number, number], color=colour, linewidth=2.5)
        axis.plot(auc["value"], number, "o", color=colour, markersize=8)
        axis.annotate(
            f"{auc['value']:.2f} ({auc['low']:.2f} to {auc['high']:.2f})",
            (min(max(auc["value"], 0.22), 0.78), number),  # within the axes
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
        )


def _plot_roc(axis, scores, style):
    false_positive, true_positive, _ = roc_curve(scores["y_true"], scores["y_score"])
    axis.plot(false_positive, true_positive, **style)


def _plot_precision_recall(axis, scores, style):
    precision, recall, _ = precision_recall_curve(scores["y_true"], scores["y_score"])
    axis.plot(recall, precision, drawstyle="steps-post", **style)


def _finish_curves(axes, heading, prevalence):
    axes[0].plot([0, 1], [0, 1], **GUIDE)
    axes[1].axhline(prevalence, **GUIDE)
    axes[2].axvline(0.5, **GUIDE)
    axes[0].set(xlabel="1 - specificity", ylabel="Sensitivity for PsPD", title=heading)
    axes[1].set(xlabel="Recall of PsPD", ylabel="Precision of PsPD", title="Precision and recall")
    axes[2].set(xlabel="AUC", xlim=(0, 1), title="AUC with 95 % interval")
    for axis in axes[:2]:
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes[0].legend(loc="lower right", frameon=False)
