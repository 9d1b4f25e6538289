"""Losses and scores of a tuning, as in the paper's figure 2."""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.utils.validation import check_is_fitted

from .display import Grid, GridDisplay
from .style import COLOURS


class SequentialSearchDisplay(GridDisplay):
    """Losses per epoch, and box plots of the scores of the folds for each value of each tuned parameter.

    Parameters
    ----------
    scores : DataFrame
        The ``scores_`` of a fitted :class:`~sklearn_pspd.model_selection.SequentialSearchCV`.
    losses : DataFrame or None
        Its ``losses_``; None leaves their panel out.
    best_params : dict of str to object
        Its ``best_params_``.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_panels,)
        The losses, if there are any, then one panel per parameter.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_pspd import SequentialSearchCV
    >>> from sklearn_pspd.plotting import SequentialSearchDisplay
    >>> y = np.arange(60) % 2
    >>> X = np.random.default_rng(0).normal(size=(60, 2)) + y[:, np.newaxis]
    >>> search = SequentialSearchCV(LogisticRegression(), {"C": (0.1, 1.0)}, max_epochs=None, random_state=0)
    >>> display = SequentialSearchDisplay.from_estimator(search.fit(X, y))
    >>> display.frame()["value"].unique().tolist()
    [0.1, 1.0]
    """

    def __init__(self, *, scores, losses, best_params):
        self.scores = scores
        self.losses = losses
        self.best_params = best_params

    @classmethod
    def from_estimator(cls, search, *, axes=None, title=None):
        """Draw a tuning.

        Parameters
        ----------
        search : SequentialSearchCV
            Fitted.
        axes : array-like of matplotlib.axes.Axes, default=None
            Where to draw, one for the losses, if there are any, and one per parameter; None makes a figure.
        title : str, default=None
            Heading of the figure.

        Returns
        -------
        SequentialSearchDisplay
            With ``figure_`` and ``axes_``.

        Raises
        ------
        InputError
            If there are not as many axes as panels.
        NotFittedError
            If the search is not fitted.
        """
        check_is_fitted(search)
        display = cls(scores=search.scores_, losses=search.losses_, best_params=search.best_params_)
        return display.plot(axes=axes, title=title)

    def frame(self):
        """Return the scores of the folds that the box plots are drawn from.

        Returns
        -------
        DataFrame
            Columns ``parameter``, ``value``, ``fold``, ``score``.
        """
        return self.scores

    def _grid(self):
        n_panels = (self.losses is not None) + self.scores["parameter"].nunique()
        return Grid((n_panels,), (3.8, 3.6), n_columns=2 if n_panels == 4 else None)

    def _draw(self, axes):
        remaining = list(axes)
        if self.losses is not None:
            self._draw_losses(remaining.pop(0))
        for ax, (parameter, scores) in zip(remaining, self.scores.groupby("parameter", sort=False), strict=True):
            self._draw_parameter(ax, parameter, scores)
        chosen = plt.Rectangle((0, 0), 1, 1, facecolor=COLOURS[2], edgecolor="0", label="chosen value")
        return [chosen, plt.Line2D([], [], marker="D", color=COLOURS[0], linestyle="", label="mean over folds")]

    def _draw_losses(self, ax):
        curves = (("loss", "training", COLOURS[0]), ("validation_loss", "validation", COLOURS[1]))
        for column, name, colour in curves:
            by_repeat = self.losses.pivot_table(index="epoch", columns="repeat", values=column)
            ax.plot(by_repeat.index, by_repeat, color=colour, linewidth=0.6, alpha=0.5)
            ax.plot(by_repeat.index, by_repeat.mean(axis=1), color=colour, linewidth=2, label=name)
        (epochs,) = (value for name, value in self.best_params.items() if _short(name) == "epochs")
        ax.axvline(epochs, color="0.3", linestyle=":", label=f"chosen: {epochs}")
        ax.set(xlabel="Epoch", ylabel="Cross-entropy", title="Epochs")
        ax.legend(frameon=False, fontsize="small")

    def _draw_parameter(self, ax, parameter, scores):
        # By position, since a value can be a tuple, which pandas would compare element by element.
        n_folds = scores["fold"].nunique()
        values, by_value = list(scores["value"])[::n_folds], scores["score"].to_numpy().reshape(-1, n_folds)
        places = np.arange(1, len(values) + 1)
        boxes = ax.boxplot(by_value.T, positions=places, patch_artist=True, medianprops={"color": "0"})
        for number, box in enumerate(boxes["boxes"]):
            is_chosen = number == values.index(self.best_params[parameter])
            box.set(facecolor=COLOURS[2] if is_chosen else "white")
        ax.plot(places, by_value.mean(axis=1), "D", color=COLOURS[0], markersize=4)
        ax.set_xticks(places, [f"{value:g}" if isinstance(value, float) else str(value) for value in values])
        name = _short(parameter).replace("_", " ").replace("lstm", "LSTM")
        ax.set(xlabel=name, ylabel="Score of a fold", title=name[:1].upper() + name[1:])


def _short(parameter):
    return parameter.rsplit("__", 1)[-1]
