"""Net benefit of acting on a model's probability."""

import matplotlib.pyplot as plt

from .style import line_style


class DecisionCurveDisplay:
    """Net benefit of acting on a model's probability of PsPD, one panel an evaluation.

    Parameters
    ----------
    curves : DataFrame
        The ``decision_curves()`` of a :class:`~sklearn_pspd.model_selection.ModelComparison`.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    axes_ : ndarray of matplotlib.axes.Axes
        One row, one column an evaluation.
    """

    def __init__(self, *, curves):
        self.curves = curves

    @classmethod
    def from_comparison(cls, comparison, *, thresholds=None, title=None):
        """Draw the net benefit of every model.

        Parameters
        ----------
        comparison : ModelComparison
            What :func:`~sklearn_pspd.model_selection.compare_models` returned.
        thresholds : array-like, default=None
            Threshold probabilities in (0, 1); None takes 0.05 to 0.95 in steps of 0.05.
        title : str, default=None
            Heading of the figure.

        Returns
        -------
        DecisionCurveDisplay
            With ``figure_`` and ``axes_``.
        """
        return cls(curves=comparison.decision_curves(thresholds=thresholds)).plot(title=title)

    def frame(self):
        """Return the table that the curves are drawn from.

        Returns
        -------
        DataFrame
            Net benefits with intervals.
        """
        return self.curves

    def plot(self, *, title=None):
        """Draw the figure.

        Parameters
        ----------
        title : str, default=None
            Heading of the figure.

        Returns
        -------
        DecisionCurveDisplay
            Itself.
        """
        evaluations = list(self.curves["evaluation"].unique())
        figure, axes = plt.subplots(
            1, len(evaluations), figsize=(6.2 * len(evaluations), 4.4), squeeze=False, layout="constrained"
        )
        for axis, evaluation in zip(axes[0], evaluations, strict=True):
            self._plot_evaluation(axis, evaluation)
        axes[0, 0].set_ylabel("Net benefit, with 95 % interval")
        axes[0, 0].legend(frameon=False)
        if title:
            figure.suptitle(title)
        self.figure_, self.axes_ = figure, axes
        return self

    def _plot_evaluation(self, axis, evaluation):
        curves = self.curves[self.curves["evaluation"] == evaluation]
        for number, (model, rows) in enumerate(curves.groupby("model", sort=False)):
            style = line_style(number)
            axis.plot(rows["threshold"], rows["net_benefit"], label=model, **style)
            axis.fill_between(rows["threshold"], rows["low"], rows["high"], color=style["color"], alpha=0.12, lw=0)
        axis.plot(rows["threshold"], rows["treat_all"], label="act on all", color="0.45", linewidth=1)
        axis.axhline(0, label="act on none", color="0", linewidth=1)
        top = rows["treat_all"].max()
        axis.set(
            xlim=(0, 1),
            ylim=(-0.6 * top, 1.6 * top),
            xlabel="Probability of PsPD from which one would act",
            title=evaluation.capitalize(),
        )
