"""Tables as plain text, Markdown and LaTeX, and p-values as text."""

import math
import re
import textwrap

# Columns of a terminal and of a manuscript's appendix that printed texts fit in.
TEXT_WIDTH = 100
# No column is made narrower than this, except one whose cells are all shorter.
NARROWEST = 8

LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def plain_text(table, *, width=TEXT_WIDTH):
    """Write a table as plain text, in columns aligned with spaces.

    Parameters
    ----------
    table : DataFrame of str
        Table; each cell is one line of text.
    width : int or None, default=100
        Longest line in characters. In a table that is wider, first the headings are broken into several lines, then
        cells of words, then cells of numbers; what is in parentheses stays together as long as it can. None breaks
        nothing.

    Returns
    -------
    str
        The heading and the rows, without trailing spaces.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.formatting import plain_text
    >>> print(plain_text(pd.DataFrame({"sex": ["female", "male"], "n": ["27", "51"]})))
    sex     n
    female  27
    male    51
    """
    rows = [list(table.columns), *table.to_numpy().tolist()]
    widths = _column_widths(rows, width)
    return "\n".join(line for row in rows for line in _row_lines(row, widths))


def wrapped_text(text, *, width=TEXT_WIDTH, indent=""):
    """Break a paragraph into lines.

    Parameters
    ----------
    text : str
        One paragraph.
    width : int, default=100
        Longest line in characters.
    indent : str, default=""
        Put before each line after the first.

    Returns
    -------
    str
        The lines.

    Examples
    --------
    >>> from sklearn_pspd.formatting import wrapped_text
    >>> print(wrapped_text("AUCs are means over the folds.", width=16, indent="  "))
    AUCs are means
      over the
      folds.
    """
    return textwrap.fill(" ".join(text.split()), width, subsequent_indent=indent)


def markdown_text(table):
    r"""Write a table in Markdown.

    Parameters
    ----------
    table : DataFrame of str
        Table; special characters of Markdown are escaped.

    Returns
    -------
    str
        A table in pipe syntax.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.formatting import markdown_text
    >>> print(markdown_text(pd.DataFrame({"age_years": ["20 | 40"]})))
    | age\_years |
    | --- |
    | 20 \| 40 |
    """
    heading = [escape_markdown(name) for name in table.columns]
    rows = [[escape_markdown(cell) for cell in row] for row in table.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heading, ["---"] * len(heading), *rows))


def latex_text(table):
    r"""Write a table in LaTeX; it needs the package booktabs.

    Parameters
    ----------
    table : DataFrame of str
        Table; special characters of LaTeX are escaped.

    Returns
    -------
    str
        A ``tabular`` environment.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.formatting import latex_text
    >>> print(latex_text(pd.DataFrame({"age_years": ["20 %"]})))
    \begin{tabular}{l}
    \toprule
    age\_years \\
    \midrule
    20 \% \\
    \bottomrule
    \end{tabular}
    """
    heading, *rows = (
        " & ".join(escape_latex(cell) for cell in row) + r" \\" for row in (table.columns, *table.to_numpy().tolist())
    )
    start = rf"\begin{{tabular}}{{{'l' * table.shape[1]}}}"
    return "\n".join([start, r"\toprule", heading, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"])


def escape_markdown(text):
    r"""Escape text for Markdown and put it on one line.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        The text with a backslash before each special character.

    Examples
    --------
    >>> from sklearn_pspd.formatting import escape_markdown
    >>> print(escape_markdown("dose_gy *"))
    dose\_gy \*
    """
    return re.sub(r"([\\`*_|<>\[\]~$&#])", r"\\\1", " ".join(text.split()))


def escape_latex(text):
    r"""Escape text for LaTeX and put it on one line.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        The text with each special character replaced by its command.

    Examples
    --------
    >>> from sklearn_pspd.formatting import escape_latex
    >>> print(escape_latex("100 % & {x_1}"))
    100 \% \& \{x\_1\}
    """
    return "".join(LATEX_ESCAPES.get(character, character) for character in " ".join(text.split()))


def format_p(p_value, *, sign=False):
    """Write a p-value with three decimals.

    Parameters
    ----------
    p_value : float
        P-value in [0, 1], or NaN.
    sign : bool, default=False
        Whether to write "=" before the number, for text such as "p = 0.032".

    Returns
    -------
    str
        "< 0.001" if the p-value is smaller than that; empty for NaN.

    Examples
    --------
    >>> from sklearn_pspd.formatting import format_p
    >>> format_p(0.0319), format_p(1e-6, sign=True), format_p(0.0319, sign=True)
    ('0.032', '< 0.001', '= 0.032')
    """
    if math.isnan(p_value):
        return ""
    return "< 0.001" if p_value < 0.001 else f"{'= ' if sign else ''}{p_value:.3f}"


def _column_widths(rows, width):
    """Return the widths of the columns: as wide as their cells, or narrower if the table is wider than `width`."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    if width is None or not columns:
        return widths
    allowed = width - 2 * (len(columns) - 1)
    for floors in _narrowings(columns):
        while sum(widths) > allowed:
            number = max(range(len(widths)), key=lambda i: widths[i] if widths[i] > floors[i] else 0)
            if widths[number] <= floors[number]:
                break
            widths[number] -= 1
    return widths


def _narrowings(columns):
    """Yield the smallest widths of all columns, each time with more that may be broken."""
    cells = [max((len(cell) for cell in column[1:]), default=0) for column in columns]
    words = [max(map(_longest_part, column)) for column in columns]
    is_text = [not any(character.isdigit() for cell in column[1:] for character in cell) for column in columns]
    headings = [_longest_part(column[0]) for column in columns]
    yield [max(pair) for pair in zip(cells, headings, strict=True)]
    yield [
        word if text else max(cell, head)
        for word, text, cell, head in zip(words, is_text, cells, headings, strict=True)
    ]
    yield words
    yield [min(word, NARROWEST) for word in words]


def _longest_part(cell):
    return len(cell) - len(cell.lstrip()) + max(map(len, _words(cell)))


def _words(cell):
    """Return the parts of a cell that stay together: words, and what is in parentheses."""
    return re.findall(r"\([^()]*\)\S*|\S+", cell) or [""]


def _row_lines(row, widths):
    cells = [_cell_lines(cell, width) for cell, width in zip(row, widths, strict=True)]
    n_lines = max(map(len, cells), default=0)
    padded = [[*lines, *[""] * (n_lines - len(lines))] for lines in cells]
    for line in zip(*padded, strict=True):
        yield "  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip()


def _cell_lines(cell, width):
    """Break a cell into lines, each as far indented as the cell is."""
    if len(cell) <= width:
        return [cell]
    indent = cell[: len(cell) - len(cell.lstrip())]
    lines = []
    for part in (piece for word in _words(cell) for piece in _fitting(word, width - len(indent))):
        if lines and len(lines[-1]) + 1 + len(part) <= width:
            lines[-1] += f" {part}"
        else:
            lines.append(f"{indent}{part}")
    return lines


def _fitting(word, width):
    """Break a word that is wider than its column, at spaces if it has some."""
    return [word] if len(word) <= width else textwrap.wrap(word, width)
