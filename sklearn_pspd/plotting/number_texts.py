"""Numbers and intervals as text, alike in figures, tables and reports."""

import math

from sklearn_pspd.statistics.calibration import NOT_ESTIMABLE

UNDEFINED = "undefined"


def number_text(value):
    """Write a number with two decimals, without the sign of a zero.

    Parameters
    ----------
    value : float
        Any number.

    Returns
    -------
    str
        "-" for NaN.

    Examples
    --------
    >>> from sklearn_pspd.plotting.number_texts import number_text
    >>> number_text(-0.004), number_text(float("nan"))
    ('0.00', '-')
    """
    return "-" if math.isnan(value) else f"{value:z.2f}".replace("inf", "infinite")


def signed_text(value):
    """Write a difference with its sign and two decimals.

    Parameters
    ----------
    value : float
        Any number.

    Returns
    -------
    str
        "+0.00" for zero from either side.

    Examples
    --------
    >>> from sklearn_pspd.plotting.number_texts import signed_text
    >>> signed_text(0.2), signed_text(-0.004)
    ('+0.20', '+0.00')
    """
    return f"{value:+z.2f}"


def interval_text(row):
    """Write a value with its interval, or why there is none.

    Parameters
    ----------
    row : dict or Series
        ``value``, ``low``, ``high`` and, where the value has one, ``method``.

    Returns
    -------
    str
        For example "0.83 (0.57 to 0.95)". "not estimable" alone where the method says so, and "undefined" alone for
        NaN: limits beside them would look like a result.

    Examples
    --------
    >>> from sklearn_pspd.plotting.number_texts import interval_text
    >>> interval_text({"value": 0.83, "low": 0.57, "high": 0.95})
    '0.83 (0.57 to 0.95)'
    >>> interval_text({"value": 9.0, "low": -2.0, "high": 90.0, "method": "profile likelihood, t; not estimable"})
    'not estimable'
    """
    if math.isnan(row["value"]):
        return UNDEFINED
    if NOT_ESTIMABLE in str(row.get("method")):
        return NOT_ESTIMABLE
    value, low, high = (number_text(row[name]) for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
