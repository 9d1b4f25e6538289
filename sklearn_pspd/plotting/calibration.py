"""Predicted against observed risk of PsPD."""

from .display import Grid, ScoreDisplay, left_panels, panels
from .number_texts import interval_text
from .style import GUIDE, colour_of, wrapped


class CalibrationCurveDisplay(ScoreDisplay):
    """Observed proportion of PsPD against its predicted probability, in groups of patients with similar prediction.

    The class methods take the option ``n_bins`` (int, default=4): the number of groups of about equal size.

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
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_evaluations, n_models)
        One row per evaluation, one column per model.

    Examples
    --------
    >>> from sklearn_pspd.plotting import CalibrationCurveDisplay
    >>> y_true, y_score = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.8]
    >>> display = CalibrationCurveDisplay.from_predictions(y_true, y_score, n_bins=2)
    >>> display.frame()["observed"].round(2).tolist()
    [0.33, 0.67]
    """

    def __init__(self, *, curves, summary):
        self.curves = curves
        self.summary = summary

    @classmethod
    def _tables(cls, comparison, *, n_bins=4):
        return {"curves": comparison.calibration_curves(n_bins=n_bins), "summary": comparison.calibration()}

    def frame(self):
        """Return the groups of patients.

        Returns
        -------
        DataFrame
            One row per model, evaluation and group: predicted probability, observed proportion with its interval, and
            number of patients.
        """
        return self.curves

    def _grid(self):
        return Grid((self.curves["evaluation"].nunique(), self.curves["model"].nunique()), (3.2, 3.7))

    def _draw(self, axes):
        for ax, number, points in panels(self.curves, axes):
            below, above = points["observed"] - points["low"], points["high"] - points["observed"]
            ax.plot([0, 1], [0, 1], **GUIDE)
            ax.errorbar(
                points["predicted"], points["observed"], [below, above], fmt="o", color=colour_of(number), capsize=3
            )
            ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
            ax.set_title(self._heading(*points[["model", "evaluation"]].iloc[0]), fontsize="medium")
        for ax in left_panels(axes):
            ax.set_ylabel("Observed proportion of PsPD")
        for ax in axes[-1]:
            ax.set_xlabel("Predicted probability of PsPD")

    def _heading(self, model, evaluation):
        is_here = (self.summary["model"] == model) & (self.summary["evaluation"] == evaluation)
        rows = self.summary[is_here].set_index("metric")
        numbers = [f"{name} {interval_text(rows.loc[name])}" for name in ("slope", "intercept")]
        return "\n".join([wrapped(model, 34), evaluation, *numbers])
