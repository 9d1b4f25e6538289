"""Predicted against observed risk, and the net benefit of acting on it."""

import matplotlib.pyplot as plt
import numpy as np

from .style import COLOURS, GUIDE


class CalibrationCurveDisplay:
    """Observed against predicted shares of PsPD, one panel for each evaluation and model.

    Parameters
    ----------
    curves : DataFrame
        The ``calibration_curves()`` of a :class:`~sklearn_pspd.model_selection.ModelComparison`.
    summary : DataFrame
        Its ``calibration()``.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    axes_ : ndarray of matplotlib.axes.Axes
        One row an evaluation, one column a model.
    """

    def __init__(self, *, curves, summary):
        self.curves = curves
        self.summary = summary

    @classmethod
    def from_comparison(cls, comparison, *, n_bins=4, title=None):
        """Draw the calibration of every model.

        Parameters
        ----------
        comparison : ModelComparison
            What :func:`~sklearn_pspd.model_selection.compare_models` returned.
        n_bins : int, default=4
            Groups of about equal size.
        title : str, default=None
            Heading of the figure.

        Returns
        -------
        CalibrationCurveDisplay
            With ``figure_`` and ``axes_``.
        """
        curves = comparison.calibration_curves(n_bins=n_bins)
        return cls(curves=curves, summary=comparison.calibration()).plot(title=title)

    def frame(self):
        """Return the table that the points are drawn from.

        Returns
        -------
        DataFrame
            Predicted and observed shares with intervals.
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
        CalibrationCurveDisplay
            Itself.
        """
        evaluations, models = (list(self.curves[name].unique()) for name in ("evaluation", "model"))
        shape = len(evaluations), len(models)
        figure, axes = plt.subplots(
            *shape, figsize=(3.7 * shape[1], 3.9 * shape[0]), squeeze=False, layout="constrained"
        )
        for row, evaluation in zip(axes, evaluations, strict=True):
            for number, (axis, model) in enumerate(zip(row, models, strict=True)):
                self._plot_model(axis, evaluation, model, COLOURS[number % len(COLOURS)])
            row[0].set_ylabel("Observed share of PsPD")
        for axis in axes[-1]:
            axis.set_xlabel("Predicted probability of PsPD")
        if title:
            figure.suptitle(title)
        self.figure_, self.axes_ = figure, axes
        return self

    def _plot_model(self, axis, evaluation, model, colour):
        points = self.curves[(self.curves["model"] == model) & (self.curves["evaluation"] == evaluation)]
        below, above = points["observed"] - points["low"], points["high"] - points["observed"]
        axis.plot([0, 1], [0, 1], **GUIDE)
        axis.errorbar(points["predicted"], points["observed"], [below, above], fmt="o", color=colour, capsize=3)
        chosen = (self.summary["model"] == model) & (self.summary["evaluation"] == evaluation)
        rows = self.summary[chosen].set_index("metric")
        lines = [f"{name} {_interval_text(rows.loc[name])}" for name in ("slope", "intercept")]
        axis.text(0.5, 0.98, "\n".join(lines), transform=axis.transAxes, ha="center", va="top", fontsize="small")
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.28), title=f"{model}\n{evaluation}", yticks=np.linspace(0, 1, 6))


def _interval_text(row):
    def short(value):
        return f"{value:.1f}" if np.isfinite(value) else ("undefined" if np.isnan(value) else f"{value:+}"[:4])

    return f"{short(row['value'])} ({short(row['low'])} to {short(row['high'])})"
