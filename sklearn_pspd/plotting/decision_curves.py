"""Net benefit of classifying patients by a model's probability."""

from .display import Grid, ScoreDisplay
from .style import line_style, wrapped


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
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_evaluations,)
        One panel per evaluation.

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
        return Grid((self.curves["evaluation"].nunique(),), (4.8, 3.7))

    def _draw(self, axes):
        for ax, (evaluation, curves) in zip(axes, self.curves.groupby("evaluation", sort=False), strict=True):
            handles = _draw_curves(ax, curves)
            ax.set(title=evaluation.capitalize(), xlabel="Threshold probability of PsPD")
        axes[0].set_ylabel("Net benefit, with 95 % interval")
        return handles


def _draw_curves(ax, curves):
    handles = []
    for number, (model, rows) in enumerate(curves.groupby("model", sort=False)):
        style = line_style(number)
        handles += ax.plot(rows["threshold"], rows["net_benefit"], label=wrapped(model, 40), **style)
        ax.fill_between(rows["threshold"], rows["low"], rows["high"], color=style["color"], alpha=0.12, lw=0)
    handles += ax.plot(rows["threshold"], rows["treat_all"], color="0.45", linewidth=1, label="all classified as PsPD")
    handles.append(ax.axhline(0, color="0", linewidth=1, label="none classified as PsPD"))
    top = rows["treat_all"].max()
    ax.set(xlim=(0, 1), ylim=(-0.6 * top, 1.6 * top))
    return handles
