"""Flow diagram of the patients of a study."""

import textwrap

from matplotlib.patches import FancyBboxPatch

from sklearn_pspd.exceptions import InputError

from .display import Grid, PanelDisplay
from .style import COLOURS

STAGES = {"records": "Records", "inclusion": "Met the inclusion criteria", "exclusion": "Eligible"}
FONT_SIZE = 10
LINE_IN = FONT_SIZE * 1.3 / 72  # height of a line of text, in inches
PADDING_IN = 0.14
GAP_IN = 0.32
MAIN_IN, SIDE_IN, BETWEEN_IN, MARGIN_IN = 2.6, 3.8, 0.3, 0.08
NUMBER_IN = 0.42  # column of the numbers of excluded patients
SIDE_CHARACTERS = 42
MAX_GROUPS = 4
_TEXT = {"va": "center_baseline", "fontsize": FONT_SIZE, "linespacing": 1.3}


class FlowDisplay(PanelDisplay):
    """Flow diagram: patients who remain at each stage, and beside it how many were excluded for which reason.

    Parameters
    ----------
    flow : DataFrame
        The flow table of :func:`~sklearn_pspd.cohort.select_eligible`.
    groups : dict of str to int
        Groups of the eligible patients, for example by outcome; empty for none.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    ax_ : matplotlib.axes.Axes
        Its panel.

    See Also
    --------
    sklearn_pspd.cohort.select_eligible : Applies the rules, and returns the flow table.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.cohort import ELIGIBILITY_RULES, select_eligible
    >>> from sklearn_pspd.plotting import FlowDisplay
    >>> kept = {rule.column: rule.wanted for rule in ELIGIBILITY_RULES}
    >>> records = pd.DataFrame([{"patient_id": "A", **kept}, {"patient_id": "B", **kept, "n_lesions": 2}])
    >>> eligible, flow = select_eligible(records)
    >>> display = FlowDisplay.from_flow(flow, groups={"PD": 1, "PsPD": 0})
    >>> display.figure_.savefig("flow.png")  # doctest: +SKIP
    """

    def __init__(self, *, flow, groups):
        self.flow = flow
        self.groups = groups

    @classmethod
    def from_flow(cls, flow, *, groups=None, ax=None, title=None):
        """Draw the flow table of an eligibility check.

        Parameters
        ----------
        flow : DataFrame
            The second result of :func:`~sklearn_pspd.cohort.select_eligible`.
        groups : dict of str to int, default=None
            Names and sizes of up to four groups of the eligible patients, for example
            ``eligible["site"].value_counts().to_dict()``. They must add up to the number of eligible patients.
        ax : matplotlib.axes.Axes, default=None
            Where to draw, at the size of these axes; None makes a figure.
        title : str, default=None
            Heading of the panel.

        Returns
        -------
        FlowDisplay
            With ``figure_`` and ``ax_``.

        Raises
        ------
        InputError
            If columns are missing, numbers do not add up, there are more than four groups, or `ax` is not one panel.
        """
        groups = {str(name): int(n) for name, n in (groups or {}).items()}
        _check(flow, groups)
        return cls(flow=flow, groups=groups).plot(ax=ax, title=title)

    def frame(self):
        """Return the flow table.

        Returns
        -------
        DataFrame
            One row per rule: stage, column, rule, excluded, left and patients.
        """
        return self.flow

    def _grid(self):
        width, height = self._size_in()
        return Grid((1,), (width + 2 * MARGIN_IN, height + 2 * MARGIN_IN))

    def _draw(self, axes):
        (ax,) = axes
        width, height = self._size_in()
        ax.set(xlim=(-MARGIN_IN, width + MARGIN_IN), ylim=(-MARGIN_IN, height + MARGIN_IN), aspect="equal")
        ax.set_axis_off()
        bottom = self._draw_stages(_boxes(self.flow), height)
        if self.groups:
            self._draw_groups(self._group_texts(), bottom, width)
        # Boxes are measured in inches; where the axes are smaller or larger, the text follows.
        ax.figure.canvas.figure.draw_without_rendering()
        scale = ax.get_window_extent().width / ax.figure.dpi / (width + 2 * MARGIN_IN)
        for text in ax.texts:
            text.set_fontsize(FONT_SIZE * scale)

    def _size_in(self):
        boxes = _boxes(self.flow)
        height = sum(_height(main) + (GAP_IN + _height(side) if side else 0) for main, side in boxes)
        if self.groups:
            height += 2 * GAP_IN + max(map(_height, self._group_texts()))
        return MAIN_IN + BETWEEN_IN + SIDE_IN, height

    def _group_texts(self):
        return [f"{name}\nn = {n}" for name, n in self.groups.items()]

    def _draw_stages(self, boxes, top):
        """Draw the column of stages with the exclusions to the right; return the position of its lower end."""
        middle = MAIN_IN / 2
        lower_end = top
        for main, side in boxes:
            if side:
                # The exclusions stand beside the arrow, the next stage below them.
                target = lower_end - GAP_IN - _height(side)
                side_middle = lower_end - GAP_IN / 2 - _height(side) / 2
                _arrow(self.ax_, (middle, lower_end), (middle, target))
                _arrow(self.ax_, (middle, side_middle), (MAIN_IN + BETWEEN_IN, side_middle))
                _exclusions(self.ax_, (MAIN_IN + BETWEEN_IN, side_middle), side)
                lower_end = target
            _box(self.ax_, (0, lower_end - _height(main) / 2), MAIN_IN, main, COLOURS[0])
            lower_end -= _height(main)
        return lower_end

    def _draw_groups(self, texts, top, width):
        box_width = min(MAIN_IN, (width + 0.2) / len(texts) - 0.2)
        first, step = box_width / 2, (width - box_width) / max(len(texts) - 1, 1)
        line = top - GAP_IN
        centres = [first + step * number for number in range(len(texts))]
        middle = MAIN_IN / 2
        self.ax_.plot([middle, middle], [top, line], color="0.3", linewidth=1)
        self.ax_.plot([min(middle, *centres), max(middle, *centres)], [line, line], color="0.3", linewidth=1)
        for centre, text in zip(centres, texts, strict=True):
            target = line - GAP_IN
            _arrow(self.ax_, (centre, line), (centre, target))
            _box(self.ax_, (centre - box_width / 2, target - _height(text) / 2), box_width, text, COLOURS[2])


def _boxes(flow):
    """Return the texts of (stage, exclusions before it) from the first stage to the last."""
    boxes = []
    for stage, rules in flow.groupby("stage", sort=False):
        main = f"{STAGES.get(str(stage), str(stage))}\nn = {rules['left'].iloc[-1]}"
        excluded = rules[rules["rule"] != ""]
        lines = [f"\tExcluded (n = {excluded['excluded'].sum()})"] if len(excluded) else []
        for rule, n in zip(excluded["rule"], excluded["excluded"], strict=True):
            first, *more = textwrap.wrap(str(rule), SIDE_CHARACTERS)
            lines += [f"{n}\t{first}", *(f"\t{line}" for line in more)]
        boxes.append((main, "\n".join(lines)))
    return boxes


def _height(text):
    return (text.count("\n") + 1) * LINE_IN + 2 * PADDING_IN if text else 0.0


def _box(ax, left_middle, width, text, colour):
    _outline(ax, left_middle, width, _height(text), colour)
    ax.text(left_middle[0] + width / 2, left_middle[1], text, ha="center", **_TEXT)


def _exclusions(ax, left_middle, text):
    """Draw the box of exclusions: numbers flush right in one column, rules flush left in the next."""
    left, middle = left_middle
    _outline(ax, left_middle, SIDE_IN, _height(text), COLOURS[1])
    top = middle + _height(text) / 2 - PADDING_IN
    for number, line in enumerate(text.split("\n")):
        count, rule = line.split("\t")
        height = top - (number + 0.5) * LINE_IN
        indent = NUMBER_IN + 0.1 if number else 0.0
        ax.text(left + PADDING_IN + NUMBER_IN, height, count, ha="right", **_TEXT)
        ax.text(left + PADDING_IN + indent, height, rule, ha="left", **_TEXT)


def _outline(ax, left_middle, width, height, colour):
    left, middle = left_middle
    outline = FancyBboxPatch(
        (left, middle - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.06", facecolor="white",
        edgecolor=colour, linewidth=1.5,
    )  # fmt: skip
    ax.add_patch(outline)


def _arrow(ax, start, end):
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0})


def _check(flow, groups):
    absent = [name for name in ("stage", "rule", "excluded", "left") if name not in flow.columns]
    if absent:
        raise InputError(f"the flow table has no column {', '.join(absent)}; give what select_eligible returns")
    if len(flow) == 0:
        raise InputError("the flow table has no rows")
    for before, after in zip(flow["left"].iloc[:-1], flow.iloc[1:].itertuples(), strict=True):
        if before - after.excluded != after.left:
            raise InputError(f"{after.rule}: {before} less {after.excluded} excluded is not {after.left}")
    if len(groups) > MAX_GROUPS:
        raise InputError(f"at most {MAX_GROUPS} groups fit; got {len(groups)}")
    if groups and sum(groups.values()) != flow["left"].iloc[-1]:
        total = " + ".join(map(str, groups.values()))
        raise InputError(f"the groups hold {total} patients; {flow['left'].iloc[-1]} are eligible")
