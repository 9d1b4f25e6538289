"""Figures as SVG that can stand in one page together."""

import io
import re
from collections import Counter
from html import escape

import matplotlib as mpl
import matplotlib.pyplot as plt

# Text stays text: smaller than outlines, and a page's readers can select and search it. The salt makes the identifiers
# within a figure, and so the file, the same in every run.
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "sklearn_pspd"}
FONTS = "'DejaVu Sans', Verdana, Arial, sans-serif"


def inline_svg(display, *, name, description):
    """Return the figure of a display as an SVG element, and close it.

    Parameters
    ----------
    display : Display
        Drawn, with a ``figure_``.
    name : str
        Put before each identifier of the figure, so that those of several figures in one page differ.
    description : str
        What the figure shows, for readers who do not see it.

    Returns
    -------
    str
        An ``svg`` element that is as wide as its place allows, up to its own size.

    Examples
    --------
    >>> from sklearn_pspd.plotting import ComparisonDisplay
    >>> from sklearn_pspd.reporting.svg import inline_svg
    >>> display = ComparisonDisplay.from_predictions([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8])
    >>> inline_svg(display, name="roc", description="ROC curve")[:35]
    '<svg id="roc" role="img" aria-label'
    """
    file = io.StringIO()
    with mpl.rc_context(SETTINGS):
        display.figure_.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    # pyplot keeps every figure that it made.
    plt.close(display.figure_)
    return _prefixed(file.getvalue(), name, description)


def _prefixed(svg, name, description):
    """Return the SVG element alone, with identifiers of its own and the description."""
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = _identified(svg, name)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"font(?:-family)?: (?:[^;\"]*?)'DejaVu Sans'[^;\"]*", _font, svg)
    # The file's own spaces between elements are not text.
    svg = re.sub(r">\s*\n\s*<", ">\n<", svg)
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()
    style = f"--own-width:{float(width):.0f}pt;max-width:var(--own-width)"
    start = (
        f'<svg id="{name}" role="img" aria-label="{escape(description)}" viewBox="0 0 {width} {height}" '
        f'style="{style}" xmlns="http://www.w3.org/2000/svg"><title>{escape(description)}</title>'
    )
    return start + svg[svg.index(">") + 1 :].rstrip()


def _identified(svg, name):
    """Put the name before each identifier; images of equal content have the same one, and get numbers."""
    seen = Counter()

    def identifier(found):
        seen[found.group(1)] += 1
        n = seen[found.group(1)]
        number = f"-{n}" if n > 1 else ""
        return f'id="{name}-{found.group(1)}{number}"'

    return re.sub(r'\bid="([^"]+)"', identifier, svg)


def _font(found):
    """Return matplotlib's declaration of a font with the fonts that a page's readers have."""
    size = re.search(r"[\d.]+px", found.group())
    return f"font: {size.group()} {FONTS}" if size else f"font-family: {FONTS}"
