"""The worst-predicted patients, one row each: slice, map, contributions and facts."""

import numpy as np

from sklearn_pspd.cohort.columns import OUTCOME_CODES

from .contributions import readable
from .display import Grid, GridDisplay
from .slice_maps import MAP_PERCENTILE, NAMES, WARNING, draw_map
from .style import COLOURS, GUIDE

N_SHOWN = 6  # contributions
OUTCOMES = {code: name for name, code in OUTCOME_CODES.items()}


class FailureDisplay(GridDisplay):
    """The worst-predicted patients, one row each: middle slice, its map, contributions, and facts.

    Parameters
    ----------
    failures : FailureCases
        Result of :func:`~sklearn_pspd.inspection.failure_cases`.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_patients, 4)
        Slice, map, contributions and facts of each patient.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import make_clinical_pipeline, make_cohort, split_xy
    >>> from sklearn_pspd.inspection import failure_cases
    >>> from sklearn_pspd.plotting import FailureDisplay
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(folder, 20, matrix_px=(32,), n_native_slices=10, random_state=0))
    >>> model = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=20).fit(X, y)
    >>> FailureDisplay.from_failures(failure_cases(model, X, y, n_patients=2)).axes_.shape
    (2, 4)
    """

    def __init__(self, *, failures):
        self.failures = failures

    @classmethod
    def from_failures(cls, failures, *, axes=None, title=None):
        """Draw the worst-predicted patients.

        Parameters
        ----------
        failures : FailureCases
            Result of :func:`~sklearn_pspd.inspection.failure_cases`.
        axes : array-like of matplotlib.axes.Axes, default=None
            Where to draw, four per patient, row by row; None makes a figure.
        title : str, default=None
            Heading of the figure.

        Returns
        -------
        FailureDisplay
            With ``figure_`` and ``axes_``.

        Raises
        ------
        InputError
            If there are not as many axes as panels.
        """
        return cls(failures=failures).plot(axes=axes, title=title)

    def frame(self):
        """Return the patients.

        Returns
        -------
        DataFrame
            One row per patient.
        """
        return self.failures.frame()

    def _grid(self):
        return Grid((len(self.frame()), 4), (2.6, 2.2), n_columns=4)

    def _draw(self, axes):
        failures = self.failures
        for row, (panels, facts) in enumerate(zip(axes, self.frame().to_dict("records"), strict=True)):
            self._draw_images(panels[:2], row)
            _draw_contributions(panels[2], failures.contributions, row)
            panels[3].text(0, 1, _text(facts), va="top", fontsize=8, transform=panels[3].transAxes)
            panels[3].set_axis_off()
        if failures.images is not None:
            axes[0, 0].set_title("Middle slice", fontsize=10)
        if failures.maps is not None:
            self._title_map(axes[0, 1])
        if failures.contributions is not None:
            axes[0, 2].set_title("Shapley values", fontsize=10)

    def _draw_images(self, panels, row):
        images, maps = self.failures.images, self.failures.maps
        if images is None:
            for ax in panels:
                ax.set_axis_off()
            return
        draw_map(panels[0], images[row, images.shape[1] // 2], None, 1.0)
        if maps is None:
            panels[1].set_axis_off()
            return
        values = maps.values[row]
        # The slice in which most of the map lies.
        number = int(np.abs(values).sum(axis=(1, 2)).argmax())
        largest = np.percentile(np.abs(values[number]), MAP_PERCENTILE) or 1.0
        draw_map(panels[1], images[row, number], values[number], largest)
        panels[1].text(0.03, 0.03, f"slice {number + 1}", transform=panels[1].transAxes, fontsize=8, color="white")

    def _title_map(self, ax):
        maps = self.failures.maps
        failed = () if maps.checks is None else maps.checks.failures
        name = NAMES.get(maps.method, maps.method)
        words = "not checked" if maps.checks is None else "; ".join(failed).replace("; ", ";\n")
        ax.set_title(f"{name}\n{words}" if words else name, fontsize=10, color=WARNING if failed else "black")


def _draw_contributions(ax, contributions, row):
    if contributions is None:
        ax.set_axis_off()
        return
    values = contributions.values[row]
    order = np.argsort(-np.abs(values), kind="stable")[:N_SHOWN]
    colours = [COLOURS[1] if values[k] > 0 else COLOURS[0] for k in order]
    ax.barh(range(len(order)), values[order], color=colours)
    ax.axvline(0, **GUIDE)
    ax.set_yticks(range(len(order)), [readable(contributions.players[k]) for k in order], fontsize=8)
    ax.invert_yaxis()
    ax.tick_params(axis="x", labelsize=8)
    ax.set_xlabel({"log_odds": "log odds", "probability": "probability"}[contributions.scale], fontsize=8)


def _text(facts):
    """Return what is known of a patient, one fact per line."""
    outcome = OUTCOMES.get(facts["outcome"], facts["outcome"])
    lines = [str(facts["patient_id"]), f"{outcome}, probability of PsPD {facts['probability']:.2f}"]
    hidden = ("patient_id", "outcome", "probability", "log_loss", "height", "width", "column_spacing_mm", "format")
    lines += [
        f"{readable(name)}: {value:z.3g}" if isinstance(value, float) else f"{readable(name)}: {value}"
        for name, value in facts.items()
        if name not in hidden and value == value
    ]
    if "width" in facts:
        lines.append(f"{facts['format']}, {facts['height']} x {facts['width']}, {facts['column_spacing_mm']:.2f} mm")
    return "\n".join(lines)
