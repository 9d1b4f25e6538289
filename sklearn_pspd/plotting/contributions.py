"""Contributions of image and clinical columns to the AUC, and to the predictions of single patients."""

import numpy as np

from sklearn_pspd.exceptions import InputError

from .display import Grid, PanelDisplay
from .number_texts import interval_text
from .style import COLOURS, GUIDE, wrapped

ROW_IN, HEAD_IN = 0.32, 1.0
TOWARDS = {"log_odds": "log odds", "probability": "probability"}


class ContributionDisplay(PanelDisplay):
    """By how much the AUC drops without the image or a clinical column, with intervals.

    Parameters
    ----------
    contribution : PermutationContribution
        Result of :func:`~sklearn_pspd.inspection.permutation_contribution`.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    ax_ : matplotlib.axes.Axes
        Its panel.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_pspd.inspection import permutation_contribution
    >>> from sklearn_pspd.plotting import ContributionDisplay
    >>> X = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 2)), columns=["age_years", "interval_days"])
    >>> y = (X["age_years"] > 0).to_numpy().astype(int)
    >>> contribution = permutation_contribution(LogisticRegression().fit(X, y), X, y, random_state=0)
    >>> ContributionDisplay.from_contribution(contribution).frame()["group"].tolist()
    ['age_years', 'interval_days', 'all clinical columns']
    """

    def __init__(self, *, contribution):
        self.contribution = contribution

    @classmethod
    def from_contribution(cls, contribution, *, ax=None, title=None):
        """Draw contributions.

        Parameters
        ----------
        contribution : PermutationContribution
            Result of :func:`~sklearn_pspd.inspection.permutation_contribution`.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        title : str, default=None
            Heading of the panel.

        Returns
        -------
        ContributionDisplay
            With ``figure_`` and ``ax_``.

        Raises
        ------
        InputError
            If `ax` is not one panel.
        """
        return cls(contribution=contribution).plot(ax=ax, title=title)

    def frame(self):
        """Return the contributions.

        Returns
        -------
        DataFrame
            One row per group.
        """
        return self.contribution.frame()

    def _grid(self):
        return Grid((1,), (6.0, HEAD_IN + ROW_IN * len(self.frame())))

    def _draw(self, axes):
        (ax,) = axes
        table = self.frame()
        places = np.arange(len(table))
        ax.axvline(0, zorder=0, **GUIDE)
        ax.hlines(places, table["low"], table["high"], color=COLOURS[0], linewidth=2)
        ax.plot(table["drop"], places, "o", color=COLOURS[0], markersize=6)
        ax.set_yticks(places, [wrapped(readable(name), 24) for name in table["group"]])
        auc, n_patients = self.contribution.auc, self.contribution.n_patients
        ax.set_xlabel(
            f"Drop of the AUC of {interval_text(auc._asdict())} if taken from\n"
            f"another patient, with 95 % interval; {n_patients} patients"
        )
        ax.set_ylim(len(table) - 0.5, -0.5)


class ShapleyDisplay(PanelDisplay):
    """Shapley values of all patients, or how those of one patient lead from the reference to the prediction.

    Parameters
    ----------
    values : ShapleyValues
        Result of :func:`~sklearn_pspd.inspection.shapley_values`.
    patient_id : str, default=None
        The patient to draw; None draws all.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    ax_ : matplotlib.axes.Axes
        Its panel.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_pspd.inspection import shapley_values
    >>> from sklearn_pspd.plotting import ShapleyDisplay
    >>> X = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 2)), columns=["age_years", "interval_days"])
    >>> model = LogisticRegression().fit(X, X["age_years"] > 0)
    >>> ShapleyDisplay.from_values(shapley_values(model, X[:5], X[5:])).frame().shape
    (5, 5)
    """

    def __init__(self, *, values, patient_id=None):
        self.values = values
        self.patient_id = patient_id

    @classmethod
    def from_values(cls, values, *, patient_id=None, ax=None, title=None):
        """Draw Shapley values.

        Parameters
        ----------
        values : ShapleyValues
            Result of :func:`~sklearn_pspd.inspection.shapley_values`.
        patient_id : str, default=None
            The patient to draw, step by step from the reference to the prediction. None draws a dot per patient and
            player.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        title : str, default=None
            Heading of the panel.

        Returns
        -------
        ShapleyDisplay
            With ``figure_`` and ``ax_``.

        Raises
        ------
        InputError
            If there is no such patient, or `ax` is not one panel.
        """
        if patient_id is not None and patient_id not in values.patient_id:
            raise InputError(f"there is no patient {patient_id!r}; there are {', '.join(map(str, values.patient_id))}")
        return cls(values=values, patient_id=patient_id).plot(ax=ax, title=title)

    def frame(self):
        """Return the values.

        Returns
        -------
        DataFrame
            One row per patient.
        """
        table = self.values.frame()
        return table if self.patient_id is None else table[table["patient_id"] == self.patient_id]

    def _grid(self):
        n_rows = len(self.values.players) + (0 if self.patient_id is None else 2)
        return Grid((1,), (6.0, HEAD_IN + ROW_IN * n_rows))

    def _draw(self, axes):
        (ax,) = axes
        if self.patient_id is None:
            self._draw_all(ax)
        else:
            self._draw_steps(ax)

    def _draw_all(self, ax):
        summary = self.values.summary().sort_values("mean_absolute", ascending=False)
        rng = np.random.default_rng(0)
        ax.axvline(0, zorder=0, **GUIDE)
        for place, row in enumerate(summary.itertuples()):
            of_player = self.values.values[:, row.Index]
            # Random heights keep equal values apart.
            heights = place + rng.uniform(-0.2, 0.2, size=len(of_player))
            colours = np.where(of_player > 0, COLOURS[1], COLOURS[0])
            ax.scatter(of_player, heights, s=14, c=colours, alpha=0.7, linewidths=0)
            ax.plot([-row.mean_absolute, row.mean_absolute], [place, place], "|", color="0.2", markersize=16)
        ax.set_yticks(range(len(summary)), [wrapped(readable(name), 24) for name in summary["player"]])
        ax.set_ylim(len(summary) - 0.5, -0.5)
        ax.set_xlabel(
            f"Shapley value in {TOWARDS[self.values.scale]}: right towards PsPD, left towards PD\n"
            "(dot: patient; bars: mean absolute value)"
        )

    def _draw_steps(self, ax):
        row = list(self.values.patient_id).index(self.patient_id)
        values = self.values.values[row]
        order = np.argsort(-np.abs(values), kind="stable")
        ends = self.values.reference[row] + np.cumsum(values[order])
        starts = np.concatenate([[self.values.reference[row]], ends[:-1]])
        for place, (start, end) in enumerate(zip(starts, ends, strict=True), start=1):
            ax.barh(place, end - start, left=start, height=0.6, color=COLOURS[1] if end > start else COLOURS[0])
            ax.plot([end, end], [place - 0.3, place + 1.3], color="0.5", linewidth=1)
        ax.plot([starts[0]] * 2, [-0.3, 1.3], color="0.5", linewidth=1)
        last = len(values) + 1
        ax.plot([starts[0], ends[-1]], [0, last], "D", color="0.2")
        names = ["reference patients", *(readable(self.values.players[k]) for k in order), "this patient"]
        ax.set_yticks(range(last + 1), [wrapped(name, 24) for name in names])
        ax.set_ylim(last + 0.6, -0.6)
        places = np.append(starts, ends)
        pad = 0.06 * (np.ptp(places) or 1.0)
        ax.set_xlim(places.min() - pad, places.max() + pad)
        ax.set_xlabel(f"{TOWARDS[self.values.scale].capitalize()} of PsPD (orange: towards PsPD, blue: towards PD)")


def readable(name):
    """Return the name of a column as words.

    Parameters
    ----------
    name : str
        For example "age_years".

    Returns
    -------
    str
        Words.

    Examples
    --------
    >>> from sklearn_pspd.plotting.contributions import readable
    >>> readable("interval_days"), readable("mgmt"), readable("slice 1")
    ('interval (days)', 'MGMT', 'slice 1')
    """
    known = {"mgmt": "MGMT", "idh": "IDH", "n_fractions": "fractions", "image": "image", "clinical": "clinical columns"}
    if name in known:
        return known[name]
    stem, _, unit = str(name).rpartition("_")
    units = {"years": "years", "days": "days", "gy": "Gy", "mm": "mm", "deg": "degrees"}
    return f"{stem.replace('_', ' ')} ({units[unit]})" if stem and unit in units else str(name).replace("_", " ")
