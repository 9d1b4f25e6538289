"""Scores on permuted data beside the score on the original data."""

import numpy as np
import pandas as pd

from sklearn_pspd.model_selection.folds import EXTERNAL

from .display import Grid, PanelDisplay
from .style import COLOURS, GUIDE, wrapped


class NegativeControlDisplay(PanelDisplay):
    """Scores of several negative controls on the original and on permuted data.

    Parameters
    ----------
    controls : dict of str to NegativeControl
        By the name that the figure shows, for example that of the model.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    ax_ : matplotlib.axes.Axes
        Its panel.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_pspd import negative_control
    >>> from sklearn_pspd.plotting import NegativeControlDisplay
    >>> y = np.arange(40) % 2
    >>> X = np.random.default_rng(0).normal(size=(40, 1)) + 2 * y[:, np.newaxis]
    >>> control = negative_control(LogisticRegression(), X, y, n_permutations=19, cv=4, random_state=0)
    >>> display = NegativeControlDisplay.from_controls({"logistic regression": control})
    >>> display.frame()["p_value"].tolist()
    [0.05]
    """

    def __init__(self, *, controls):
        self.controls = controls

    @classmethod
    def from_controls(cls, controls, *, ax=None, title=None):
        """Draw negative controls.

        Parameters
        ----------
        controls : dict of str to NegativeControl
            Results of :func:`~sklearn_pspd.model_selection.negative_control` by name.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        title : str, default=None
            Heading of the panel.

        Returns
        -------
        NegativeControlDisplay
            With ``figure_`` and ``ax_``.

        Raises
        ------
        InputError
            If `ax` is not one panel.
        """
        return cls(controls=controls).plot(ax=ax, title=title)

    def frame(self):
        """Return one row per control and evaluation.

        Returns
        -------
        DataFrame
            ``name`` and the columns of :meth:`~sklearn_pspd.model_selection.NegativeControl.frame`.
        """
        tables = [control.frame().assign(name=name) for name, control in self.controls.items()]
        table = pd.concat(tables, ignore_index=True)
        return table[["name", *table.columns.drop("name")]]

    def _grid(self):
        return Grid((1,), (6.4, 1.1 + 0.8 * len(self.frame())))

    def _draw(self, axes):
        (ax,) = axes
        rng = np.random.default_rng(0)
        table = self.frame()
        for place, row in enumerate(table.itertuples()):
            control = self.controls[row.name]
            is_external = row.evaluation == EXTERNAL
            scores = control.external_permutation_scores if is_external else control.permutation_scores
            # Random heights keep equal scores apart.
            heights = place + rng.uniform(-0.22, 0.22, size=len(scores))
            permuted = ax.plot(scores, heights, "o", color="0.55", markersize=4, label="permuted data")
            ends = [place - 0.35, place + 0.35]
            original = ax.plot([row.score] * 2, ends, color=COLOURS[1], linewidth=3, label="original data")
            note = f"p = {row.p_value:.2g}\n(smallest possible {row.resolution:.2g})"
            if np.isnan(row.p_value):
                note = "too few permutations\nfor a p-value"
            ax.text(1.02, place, note, transform=ax.get_yaxis_transform(), va="center", fontsize="small")
        names = [
            wrapped(row.name, 20) + ("\n(external)" if row.evaluation == EXTERNAL else "") for row in table.itertuples()
        ]
        ax.set_yticks(range(len(table)), names)
        ax.set(ylim=(len(table) - 0.5, -0.5), xlabel="Score (of a cross-validation: mean over folds)")
        if ax.dataLim.x0 >= 0 and ax.dataLim.x1 <= 1:
            ax.set_xlim(0, 1)
            ax.axvline(0.5, zorder=0, **GUIDE)
        return [*permuted, *original]
