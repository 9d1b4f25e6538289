"""Colours, lines and names that all displays share."""

import textwrap

# Okabe and Ito's colours, distinguishable with all common forms of colour vision deficiency.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", "-.", ":")
GUIDE = {"color": "0.7", "linewidth": 1}


def colour_of(number):
    """Return the colour of a model.

    Parameters
    ----------
    number : int
        Number of the model, 0 for the first.

    Returns
    -------
    str
        For matplotlib.

    Examples
    --------
    >>> from sklearn_pspd.plotting.style import colour_of
    >>> colour_of(1)
    '#D55E00'
    """
    return COLOURS[number % len(COLOURS)]


def line_style(number):
    """Return colour and dashes of a model.

    Parameters
    ----------
    number : int
        Number of the model, 0 for the first.

    Returns
    -------
    dict of str to str
        For ``Axes.plot``.

    Examples
    --------
    >>> from sklearn_pspd.plotting.style import line_style
    >>> line_style(1)["linestyle"]
    '--'
    """
    return {"color": colour_of(number), "linestyle": LINES[number % len(LINES)]}


def wrapped(name, n_characters):
    """Break a long name into lines of about equal length.

    Parameters
    ----------
    name : str
        For example that of a model.
    n_characters : int
        Longest line.

    Returns
    -------
    str
        With line breaks.

    Examples
    --------
    >>> from sklearn_pspd.plotting.style import wrapped
    >>> wrapped("images and clinical features", 20).split(chr(10))
    ['images and', 'clinical features']
    """

    def lines(width):
        return textwrap.wrap(str(name), width, break_long_words=False, break_on_hyphens=False)

    n_lines = len(lines(n_characters))
    width = next(width for width in range(1, n_characters + 1) if len(lines(width)) <= n_lines)
    return "\n".join(lines(width))
