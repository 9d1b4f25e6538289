"""Tables as plain text, Markdown and LaTeX, and p-values as text."""

import math
import re

LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def plain_text(table):
    """Write a table as plain text, in columns aligned with spaces.

    Parameters
    ----------
    table : DataFrame of str
        Table; each cell is one line of text.

    Returns
    -------
    str
        The heading and one line per row, without trailing spaces.

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
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in padded)


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
