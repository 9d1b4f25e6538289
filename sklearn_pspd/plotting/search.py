"""Loss traces and rungs of a tuning, as the paper's figure 2."""

import matplotlib.pyplot as plt
import numpy as np

from .style import COLOURS


class LadderDisplay:
    """Losses by epoch, and box plots of fold scores for each value of each rung.

    Parameters
    ----------
    result : LadderResult
        What :func:`~sklearn_pspd.model_selection.tune_ladder` returned.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    axes_ : ndarray of matplotlib.axes.Axes
        The losses, then one panel a rung.
    """

    def __init__(self, *, result):
        self.result = result

    @classmethod
    def from_ladder(cls, result, *, title=None):
        """Draw a tuning.

        Parameters
        ----------
        result : LadderResult
            What :func:`~sklearn_pspd.model_selection.tune_ladder` returned.
        title : str, default=None
            Heading of the figure.

        Returns
        -------
        LadderDisplay
            With ``figure_`` and ``axes_``.
        """
        return cls(result=result).plot(title=title)

    def frame(self):
        """Return the fold scores that the box plots are drawn from.

        Returns
        -------
        DataFrame
            Columns ``rung``, ``value``, ``fold``, ``score``.
        """
        return self.result.scores

    def plot(self, *, title=None):
        """Draw the figure.

        Parameters
        ----------
        title : str, default=None
            Heading of the figure.

        Returns
        -------
        LadderDisplay
            Itself.
        """
        rungs = list(self.result.scores["rung"].unique())
        n_columns = 1 + len(rungs)
        figure, axes = plt.subplots(1, n_columns, figsize=(3.6 * n_columns, 3.8), squeeze=False, layout="constrained")
        self._plot_losses(axes[0, 0])
        for axis, rung in zip(axes[0, 1:], rungs, strict=True):
            self._plot_rung(axis, rung)
        if title:
            figure.suptitle(title)
        self.figure_, self.axes_ = figure, axes[0]
        return self

    def _plot_losses(self, axis):
        curves = (("loss", "training", COLOURS[0]), ("validation_loss", "validation", COLOURS[1]))
        for column, name, colour in curves:
            by_repeat = self.result.losses.pivot_table(index="epoch", columns="repeat", values=column)
            axis.plot(by_repeat.index, by_repeat, color=colour, linewidth=0.6, alpha=0.5)
            axis.plot(by_repeat.index, by_repeat.mean(axis=1), color=colour, linewidth=2, label=name)
        epochs = self.result.best_params["classifier__epochs"]
        axis.axvline(epochs, color="0.3", linestyle=":", label=f"chosen: {epochs}")
        axis.set(xlabel="Epoch", ylabel="Cross-entropy", title="Epochs")
        axis.legend(frameon=False, fontsize="small")

    def _plot_rung(self, axis, rung):
        scores = self.result.scores[self.result.scores["rung"] == rung]
        values = list(dict.fromkeys(scores["value"]))
        by_value = [scores.loc[scores["value"] == value, "score"].to_numpy() for value in values]
        places = np.arange(1, len(values) + 1)
        boxes = axis.boxplot(by_value, positions=places, patch_artist=True, medianprops={"color": "0"})
        for box, value in zip(boxes["boxes"], values, strict=True):
            is_best = value == self.result.best_params[rung]
            box.set(facecolor=COLOURS[2] if is_best else "white")
        axis.plot(places, [of_value.mean() for of_value in by_value], "D", color=COLOURS[0], markersize=4)
        axis.set_xticks(places, [f"{value:g}" if isinstance(value, float) else str(value) for value in values])
        name = rung.rsplit("__", 1)[-1].replace("_", " ").replace("lstm", "LSTM")
        axis.set(xlabel=name, ylabel="Score of a fold", title=name[:1].upper() + name[1:])
