"""Bases of the displays: where they draw, and the table of the numbers drawn."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.model_selection import ModelComparison
from sklearn_pspd.model_selection.folds import CROSS_VALIDATION

# In a legend, at 10 points: width of a letter, width of a line sample, height of a line of text, in inches.
LETTER_IN, SAMPLE_IN, LINE_IN = 0.08, 0.6, 0.21
MAX_SIDE_BY_SIDE = 3  # columns of a table of panels


class Grid(NamedTuple):
    """Panels of a figure.

    Attributes
    ----------
    shape : tuple of int
        Shape of the array of axes: (n_rows, n_columns) for a table of panels, (n_panels,) for a series.
    panel_in : tuple of float
        Width and height of a panel in inches, labels included.
    n_columns : int or None
        Columns side by side: of a series, by which its number of panels can be divided, and None draws it in one row;
        of a table, and None draws blocks of at most three, so that panels stay large in a page.
    share : bool
        Whether the panels have the same axes, labelled at the left and at the bottom only.
    """

    shape: tuple
    panel_in: tuple
    n_columns: int | None = None
    share: bool = False

    @property
    def n_panels(self):
        """Number of panels."""
        return int(np.prod(self.shape))


class Display(ABC):
    """A figure, and the table of the numbers drawn in it.

    A subclass stores its tables in ``__init__``, returns one of them from :meth:`frame`, says in ``_grid`` which panels
    it needs, and fills them in ``_draw``.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after it was drawn.
    axes_ : ndarray of matplotlib.axes.Axes
        Its panels.
    """

    @abstractmethod
    def frame(self):
        """Return the numbers drawn.

        Returns
        -------
        DataFrame
            The table that the figure is drawn from.
        """

    @abstractmethod
    def _grid(self):
        """Return the :class:`Grid` of panels."""

    @abstractmethod
    def _draw(self, axes):
        """Fill the panels; return the handles of a legend that they share, or None."""

    def _plot(self, axes, title):
        grid = self._grid()
        is_ours = axes is None
        self.axes_ = _make_axes(grid) if is_ours else _check_axes(axes, grid, type(self).__name__)
        self.figure_ = self.axes_.flat[0].figure
        self._set_title(title)
        handles = self._draw(self.axes_)
        if handles:
            self._add_legend(handles, is_ours)
        return self

    def _set_title(self, title):
        if title:
            self.figure_.suptitle(title)

    def _add_legend(self, handles, is_ours):
        """Place the legend below the panels of a figure of ours, where it hides no curve."""
        if not is_ours:
            self.axes_.flat[0].legend(handles=handles, frameon=False, fontsize="small")
            return
        width, height = self.figure_.get_size_inches()
        labels = [handle.get_label().split("\n") for handle in handles]
        sizes = {n: _legend_size(labels, n) for n in range(len(labels), 0, -1)}
        n_columns = next((n for n, (legend_width, _) in sizes.items() if legend_width <= width), 1)
        self.figure_.set_figheight(height + sizes[n_columns][1])
        self.figure_.legend(handles=handles, loc="outside lower center", ncols=n_columns, frameon=False)


class PanelDisplay(Display):
    """A display of one panel.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after it was drawn.
    ax_ : matplotlib.axes.Axes
        Its panel.
    axes_ : ndarray of matplotlib.axes.Axes of shape (1,)
        The same.
    """

    def plot(self, *, ax=None, title=None):
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        title : str, default=None
            Heading of the panel.

        Returns
        -------
        Display
            Itself, with ``figure_`` and ``ax_``.

        Raises
        ------
        InputError
            If `ax` is not one panel.
        """
        return self._plot(ax, title)

    @property
    def ax_(self):
        """The panel, after it was drawn."""
        return self.axes_[0]

    def _set_title(self, title):
        if title:
            self.ax_.set_title(title)


class GridDisplay(Display):
    """A display of one or several panels."""

    def plot(self, *, axes=None, title=None):
        """Draw the figure.

        Parameters
        ----------
        axes : array-like of matplotlib.axes.Axes, default=None
            Where to draw, as many as there are panels, row by row; None makes a figure.
        title : str, default=None
            Heading of the figure.

        Returns
        -------
        Display
            Itself, with ``figure_`` and ``axes_``.

        Raises
        ------
        InputError
            If there are not as many axes as panels.
        """
        return self._plot(axes, title)


class ScoreDisplay(GridDisplay):
    """A display of the scores of one or several models.

    A subclass takes tables of a :class:`~sklearn_pspd.model_selection.ModelComparison` in its constructor, and returns
    them by name from ``_tables``, whose keywords are the options of the class methods.
    """

    @classmethod
    @abstractmethod
    def _tables(cls, comparison, **options):
        """Return the arguments of the constructor."""

    @classmethod
    def from_comparison(cls, comparison, *, axes=None, title=None, **options):
        """Draw the models of a comparison.

        Parameters
        ----------
        comparison : ModelComparison
            The result of :func:`~sklearn_pspd.model_selection.compare_models`.
        axes : array-like of matplotlib.axes.Axes, default=None
            Where to draw, as many as there are panels, row by row; None makes a figure.
        title : str, default=None
            Heading of the figure, for example that the cohort is synthetic.
        **options
            Options of this display, as its class lists them.

        Returns
        -------
        ScoreDisplay
            With ``figure_`` and ``axes_``.

        Raises
        ------
        InputError
            If there are not as many axes as panels, or the display needs a cross-validation and there is none.
        """
        return cls(**cls._tables(comparison, **options)).plot(axes=axes, title=title)

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_score,
        *,
        fold=None,
        threshold=None,
        name="model",
        pos_label=1,
        axes=None,
        title=None,
        **options,
    ):
        """Draw scores that were computed elsewhere.

        Parameters
        ----------
        y_true : array-like of shape (n_patients,)
            Two classes, both present.
        y_score : array-like of shape (n_patients,), or dict of str to array-like
            Probability of the positive class, of one model or by name of the model.
        fold : array-like of shape (n_patients,), default=None
            The fold in which each patient was held out, for scores of a cross-validation. None takes the scores for
            those of one model on patients that it was not trained on.
        threshold : float or array-like of shape (n_patients,), default=None
            A patient is classified as positive if the score reaches it. None takes the prevalence, as
            :meth:`ModelComparison.from_predictions() <sklearn_pspd.model_selection.ModelComparison.from_predictions>`
            does.
        name : str, default="model"
            Name of a single model.
        pos_label : int, str or bool, default=1
            The positive class, PsPD.
        axes : array-like of matplotlib.axes.Axes, default=None
            Where to draw, as many as there are panels, row by row; None makes a figure.
        title : str, default=None
            Heading of the figure.
        **options
            Options of this display, as its class lists them.

        Returns
        -------
        ScoreDisplay
            With ``figure_`` and ``axes_``.

        Raises
        ------
        InputError
            If a class is absent, a score is not finite, lengths differ, there are not as many axes as panels, or the
            display needs folds and there are none.
        """
        comparison = ModelComparison.from_predictions(
            y_true, y_score, fold=fold, threshold=threshold, name=name, pos_label=pos_label
        )
        return cls.from_comparison(comparison, axes=axes, title=title, **options)

    @classmethod
    def from_estimator(cls, estimator, X, y, *, threshold=None, name=None, axes=None, title=None, **options):
        """Draw the scores of a fitted classifier on patients that it was not trained on.

        Parameters
        ----------
        estimator : estimator
            A fitted classifier of two classes with ``predict_proba``; the second of its ``classes_`` is the positive
            one, PsPD.
        X : array-like or DataFrame of shape (n_patients, n_columns)
            Patients that `estimator` was not trained on.
        y : array-like of shape (n_patients,)
            Their classes.
        threshold : float or array-like of shape (n_patients,), default=None
            A patient is classified as positive if the score reaches it. None takes the prevalence in `y`.
        name : str, default=None
            Name of the model; None takes the name of its class.
        axes : array-like of matplotlib.axes.Axes, default=None
            Where to draw, as many as there are panels, row by row; None makes a figure.
        title : str, default=None
            Heading of the figure.
        **options
            Options of this display, as its class lists them.

        Returns
        -------
        ScoreDisplay
            With ``figure_`` and ``axes_``.

        Raises
        ------
        InputError
            If the estimator has no ``predict_proba`` or does not separate two classes, or as in
            :meth:`from_predictions`.
        """
        model = type(estimator).__name__
        if not hasattr(estimator, "predict_proba"):
            raise InputError(f"{model} has no predict_proba, which gives the probability of PsPD")
        if len(estimator.classes_) != 2:
            raise InputError(f"{model} separates {len(estimator.classes_)} classes; two are needed, PD and PsPD")
        return cls.from_predictions(
            y,
            estimator.predict_proba(X)[:, 1],
            threshold=threshold,
            name=model if name is None else name,
            pos_label=estimator.classes_[1],
            axes=axes,
            title=title,
            **options,
        )

    @classmethod
    def _check_folds(cls, scores):
        """Return the rows of a cross-validation; refuse scores without one."""
        rows = scores[scores["evaluation"] == CROSS_VALIDATION]
        if rows.empty:
            raise InputError(
                f"{cls.__name__} needs scores of a cross-validation; from_predictions takes the fold of each patient"
            )
        return rows


def panels(table, axes):
    """Go through a table of panels, one row per evaluation and one column per model.

    Parameters
    ----------
    table : DataFrame
        With the columns ``model`` and ``evaluation``.
    axes : ndarray of matplotlib.axes.Axes of shape (n_evaluations, n_models)
        The panels.

    Yields
    ------
    ax : matplotlib.axes.Axes
        A panel.
    number : int
        Number of its model, 0 for the first.
    rows : DataFrame
        The part of the table that belongs into the panel.
    """
    models = list(table["model"].unique())
    for row, evaluation in zip(axes, table["evaluation"].unique(), strict=True):
        for number, (ax, model) in enumerate(zip(row, models, strict=True)):
            yield ax, number, table[(table["model"] == model) & (table["evaluation"] == evaluation)]


def columns_per_block(n_columns):
    """Return how many columns of a table of panels are drawn side by side.

    Parameters
    ----------
    n_columns : int
        Columns of the table.

    Returns
    -------
    int
        At most three; blocks are as equal as they can be.

    Examples
    --------
    >>> from sklearn_pspd.plotting.display import columns_per_block
    >>> [columns_per_block(n_columns) for n_columns in (1, 3, 4, 5, 6)]
    [1, 3, 2, 3, 3]
    """
    n_blocks = -(-n_columns // MAX_SIDE_BY_SIDE)
    return -(-n_columns // n_blocks)


def left_panels(axes):
    """Return the panels of a table of panels that begin a row.

    Parameters
    ----------
    axes : ndarray of matplotlib.axes.Axes of shape (n_rows, n_columns)
        The panels.

    Returns
    -------
    list of matplotlib.axes.Axes
        Those at the left of each block.
    """
    return axes[:, :: columns_per_block(axes.shape[1])].ravel().tolist()


def _legend_size(labels, n_columns):
    """Return width and height in inches of a legend of these lines, which is filled column by column."""
    columns = [[labels[number] for number in column] for column in np.array_split(range(len(labels)), n_columns)]
    width = sum(SAMPLE_IN + LETTER_IN * max(len(line) for label in column for line in label) for column in columns)
    return width, LINE_IN * max(sum(map(len, column)) for column in columns)


def _make_axes(grid):
    is_table = len(grid.shape) == 2
    n_columns = grid.n_columns or (columns_per_block(grid.shape[1]) if is_table else grid.n_panels)
    n_blocks = -(-grid.shape[1] // n_columns) if is_table else 1
    n_rows = n_blocks * grid.shape[0] if is_table else grid.n_panels // n_columns
    size = (n_columns * grid.panel_in[0], n_rows * grid.panel_in[1])
    shared = {"sharex": grid.share, "sharey": grid.share}
    _, axes = plt.subplots(n_rows, n_columns, figsize=size, squeeze=False, layout="constrained", **shared)
    if not is_table:
        return axes.reshape(grid.shape)
    side_by_side = np.hstack(np.split(axes, n_blocks))
    for ax in side_by_side[:, grid.shape[1] :].flat:
        ax.remove()
    return side_by_side[:, : grid.shape[1]]


def _check_axes(axes, grid, display):
    given = np.asarray(axes, dtype=object).ravel()
    if len(given) != grid.n_panels:
        wanted = f"{grid.n_panels} axes" if grid.n_panels > 1 else "one axes"
        rows = f" ({grid.shape[0]} rows of {grid.shape[1]})" if len(grid.shape) == 2 and grid.n_panels > 1 else ""
        raise InputError(f"{display} draws on {wanted}{rows}; got {len(given)}")
    if strangers := [type(ax).__name__ for ax in given if not isinstance(ax, Axes)]:
        raise InputError(f"{display} draws on matplotlib axes; got {strangers[0]}")
    return given.reshape(grid.shape)
