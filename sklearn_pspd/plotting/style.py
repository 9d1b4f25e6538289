"""Colours and lines that every display shares."""

# Okabe and Ito's colours, told apart with every common form of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", "-.", ":")
GUIDE = {"color": "0.7", "linewidth": 1}


def line_style(number):
    """Return colour and dashes of the model with this number.

    Parameters
    ----------
    number : int
        0 for the first.

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
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)]}
