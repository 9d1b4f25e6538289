"""Scores on scrambled data beside the score on the data as they are."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from .style import COLOURS


class NegativeControlDisplay:
    """Scores of every arrangement of several negative controls.

    Parameters
    ----------
    controls : dict of str to NegativeControl
        By the name that the figure shows, for example the model's.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    ax_ : matplotlib.axes.Axes
        Its axes.
    """

    def __init__(self, *, controls):
        self.controls = controls

    @classmethod
    def from_controls(cls, controls, *, title=None, ax=None):
        """Draw negative controls.

        Parameters
        ----------
        controls : dict of str to NegativeControl
            What :func:`~sklearn_pspd.model_selection.negative_control` returned, by name.
        title : str, default=None
            Heading of the figure.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        NegativeControlDisplay
            With ``figure_`` and ``ax_``.
        """
        return cls(controls=controls).plot(title=title, ax=ax)

    def frame(self):
        """Return one row a control.

        Returns
        -------
        DataFrame
            ``name`` and the columns of :meth:`~sklearn_pspd.model_selection.NegativeControl.frame`.
        """
        tables = [control.frame().assign(name=name) for name, control in self.controls.items()]
        table = pd.concat(tables, ignore_index=True)
        return table[["name", *table.columns.drop("name")]]

    def plot(self, *, title=None, ax=None):
        """Draw the figure.

        Parameters
        ----------
        title : str, default=None
            Heading of the figure.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        NegativeControlDisplay
            Itself.
        """
        if ax is None:
            _, ax = plt.subplots(figsize=(7, 1.6 + 0.9 * len(self.controls)), layout="constrained")
        rng = np.random.default_rng(0)
        for place, control in enumerate(self.controls.values()):
            scores = control.permutation_scores
            # Spread by chance over the height, so that equal scores stay apart.
            heights = place + rng.uniform(-0.22, 0.22, size=len(scores))
            ax.plot(scores, heights, "o", color="0.55", markersize=4, label="scrambled" if place == 0 else None)
            label = "as they are" if place == 0 else None
            ax.plot([control.score] * 2, [place - 0.35, place + 0.35], color=COLOURS[1], linewidth=3, label=label)
            note = f"p = {control.p_value:.2g} (at best {control.resolution:.2g})"
            ax.text(1.01, place, note, transform=ax.get_yaxis_transform(), va="center", fontsize="small")
        ax.axvline(0.5, color="0.7", linewidth=1, zorder=0)
        ax.set_yticks(range(len(self.controls)), list(self.controls))
        ax.set(ylim=(len(self.controls) - 0.5, -0.5), xlim=(0, 1), xlabel="Mean score over folds")
        ax.legend(frameon=False, loc="lower left", fontsize="small")
        if title:
            ax.set_title(title)
        self.figure_, self.ax_ = ax.figure, ax
        return self
