"""Thresholds, how much they owe to the patients at hand, and what they do on others."""

import matplotlib.pyplot as plt

from .style import COLOURS, GUIDE

_PANELS = (
    ("threshold", "low", "high", "Threshold, with bootstrap spread"),
    ("sensitivity", "sensitivity_low", "sensitivity_high", "Sensitivity for PsPD"),
    ("specificity", "specificity_low", "specificity_high", "Specificity"),
)


class ThresholdDisplay:
    """Thresholds of several models and rules, and the sensitivity and specificity that they reach.

    Parameters
    ----------
    thresholds : DataFrame
        The ``thresholds()`` of a :class:`~sklearn_pspd.model_selection.ModelComparison`.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    axes_ : ndarray of matplotlib.axes.Axes
        Threshold, sensitivity and specificity.
    """

    def __init__(self, *, thresholds):
        self.thresholds = thresholds

    @classmethod
    def from_comparison(cls, comparison, *, title=None):
        """Draw the thresholds of every model.

        Parameters
        ----------
        comparison : ModelComparison
            What :func:`~sklearn_pspd.model_selection.compare_models` returned.
        title : str, default=None
            Heading of the figure.

        Returns
        -------
        ThresholdDisplay
            With ``figure_`` and ``axes_``.
        """
        return cls(thresholds=comparison.thresholds()).plot(title=title)

    def frame(self):
        """Return the rows that are drawn: those of the external set, or of the cross-validation where there is none.

        Returns
        -------
        DataFrame
            Thresholds, sensitivities and specificities with intervals.
        """
        rows = self.thresholds
        return rows[rows["evaluation"] == rows["evaluation"].iloc[-1]]

    def plot(self, *, title=None):
        """Draw the figure.

        Parameters
        ----------
        title : str, default=None
            Heading of the figure.

        Returns
        -------
        ThresholdDisplay
            Itself.
        """
        rows = self.frame()
        models, rules = list(rows["model"].unique()), list(rows["rule"].unique())
        height = 1.6 + 0.2 * len(rules) * (len(models) + 1)
        figure, axes = plt.subplots(1, 3, figsize=(12.5, height), sharey=True, layout="constrained")
        for axis, panel in zip(axes, _PANELS, strict=True):
            for number, model in enumerate(models):
                shift = 0.22 * (number - (len(models) - 1) / 2)
                _plot_points(axis, rows[rows["model"] == model], rules, panel, shift, COLOURS[number % len(COLOURS)])
            axis.axvline(0.5, zorder=0, **GUIDE)
            axis.set(xlim=(-0.02, 1.02), xlabel=panel[3])
        axes[0].set_yticks(range(len(rules)), [rule.replace("_", " ") for rule in rules])
        axes[0].set_ylim(len(rules) - 0.5, -0.5)
        handles = [plt.Line2D([], [], marker="o", color=COLOURS[n % len(COLOURS)]) for n in range(len(models))]
        handles.append(plt.Line2D([], [], marker="o", color="0.3", markerfacecolor="white", linestyle=""))
        labels = [*models, "open: the threshold has seen the patients that it calls"]
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        evaluation = rows["evaluation"].iloc[0].capitalize()
        figure.suptitle(f"{title}\n{evaluation}" if title else evaluation)
        self.figure_, self.axes_ = figure, axes
        return self


def _plot_points(axis, rows, rules, panel, shift, colour):
    value, low, high, _ = panel
    for row in rows.to_dict("records"):
        place = rules.index(row["rule"]) + shift
        # Open: the patients that are called gave the threshold.
        face = "white" if row["is_optimistic"] else colour
        axis.plot([row[low], row[high]], [place, place], color=colour)
        axis.plot(row[value], place, "o", color=colour, markerfacecolor=face)
