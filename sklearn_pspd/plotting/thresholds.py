"""Thresholds with their sampling variability, and their sensitivity and specificity on other patients."""

from matplotlib.lines import Line2D

from .display import Grid, ScoreDisplay
from .style import GUIDE, colour_of, wrapped

PANELS = (
    ("threshold", "low", "high", "Threshold"),
    ("sensitivity", "sensitivity_low", "sensitivity_high", "Sensitivity for PsPD"),
    ("specificity", "specificity_low", "specificity_high", "Specificity"),
)
HEIGHT_IN, HEAD_IN = 0.2, 1.1  # of a row, and of headings and labels


class ThresholdDisplay(ScoreDisplay):
    """Thresholds of several models and rules with their sampling variability, and their sensitivity and specificity.

    Parameters
    ----------
    thresholds : DataFrame
        The ``thresholds()`` of a :class:`~sklearn_pspd.model_selection.ModelComparison`.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    axes_ : ndarray of matplotlib.axes.Axes of shape (3,)
        Threshold, sensitivity and specificity.

    Examples
    --------
    >>> from sklearn_pspd.plotting import ThresholdDisplay
    >>> y_true, y_score = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.8]
    >>> display = ThresholdDisplay.from_predictions(y_true, y_score, fold=[1, 2, 1, 2, 1, 2])
    >>> display.frame().set_index("rule")["threshold"].round(2)["youden"].item()
    0.25
    """

    def __init__(self, *, thresholds):
        self.thresholds = thresholds

    @classmethod
    def _tables(cls, comparison):
        cls._check_folds(comparison.scores)
        return {"thresholds": comparison.thresholds()}

    def frame(self):
        """Return the thresholds on the external set or, without one, in the cross-validation.

        Returns
        -------
        DataFrame
            One row per model and rule: threshold, sensitivity and specificity, each with its interval.
        """
        rows = self.thresholds
        return rows[rows["evaluation"] == rows["evaluation"].iloc[-1]]

    def _grid(self):
        rows = self.frame()
        height = HEAD_IN + HEIGHT_IN * rows["rule"].nunique() * (rows["model"].nunique() + 1)
        return Grid((len(PANELS),), (3.2, height), share=True)

    def _draw(self, axes):
        rows = self.frame()
        models, rules = list(rows["model"].unique()), list(rows["rule"].unique())
        for ax, panel in zip(axes, PANELS, strict=True):
            for number, model in enumerate(models):
                shift = (number - (len(models) - 1) / 2) / (len(models) + 1)
                _draw_points(ax, rows[rows["model"] == model], rules, panel, shift, colour_of(number))
            ax.axvline(0.5, zorder=0, **GUIDE)
            ax.set(xlim=(-0.05, 1.05), title=panel[3])
        axes[0].set_xlabel("Probability of PsPD, with\ncentral 95 % of bootstrap samples")
        for ax in axes[1:]:
            ax.set_xlabel(f"{rows['evaluation'].iloc[0].capitalize()}, with 95 % interval")
        names = [wrapped(rule.replace("_", " ").replace("youden", "Youden"), 22) for rule in rules]
        axes[0].set_yticks(range(len(rules)), names)
        axes[0].set_ylim(len(rules) - 0.5, -0.5)
        return _handles(models)


def _draw_points(ax, rows, rules, panel, shift, colour):
    value, low, high, _ = panel
    for row in rows.to_dict("records"):
        place = rules.index(row["rule"]) + shift
        face = "white" if row["is_optimistic"] else colour
        ax.plot([row[low], row[high]], [place, place], color=colour)
        ax.plot(row[value], place, "o", color=colour, markerfacecolor=face)


def _handles(models):
    handles = [
        Line2D([], [], marker="o", color=colour_of(number), label=wrapped(model, 40))
        for number, model in enumerate(models)
    ]
    label = "open: threshold learned from the same patients"
    return [*handles, Line2D([], [], marker="o", color="0.3", markerfacecolor="white", linestyle="", label=label)]
