"""Ranges of the training patients, and how a new patient compares with them."""

import math

import numpy as np
import pandas as pd

from sklearn_pspd.cohort.problems import is_missing

# What is known of an image, with its unit; the loader's table may lack some.
ACQUISITION_NUMBERS = {
    "height": "px",
    "width": "px",
    "row_spacing_mm": "mm",
    "column_spacing_mm": "mm",
    "slice_spacing_mm": "mm",
    "fov_height_mm": "mm",
    "fov_width_mm": "mm",
    "thickness_mm": "mm",
    "tilt_deg": "degrees",
    "field_t": "tesla",
}
ACQUISITION_CATEGORIES = ("manufacturer", "weighting", "contrast")
# Facts of an image are measured: a spacing of 0.8594 mm is one of 0.859375 mm.
ACQUISITION_TOLERANCE = 1e-3

# A quantile is kept only if at least this many patients lie on each side of it.
SMALLEST_GROUP = 5
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
INSIDE, BELOW, ABOVE, UNSEEN, MISSING = "inside", "below", "above", "not seen in training", "missing"


def make_ranges(X, columns, facts):
    """Summarise the training patients, without counts of categories and without quantiles of few patients.

    Parameters
    ----------
    X : DataFrame of shape (n_patients, n_columns)
        Training patients.
    columns : sequence of ClinicalColumn
        Clinical columns that the model reads.
    facts : DataFrame or None
        What :meth:`~sklearn_pspd.loading.SliceStackLoader.inspect` says of their images.

    Returns
    -------
    dict
        ``clinical`` and ``acquisition``, by name. Of numbers: ``low``, ``high``, ``quantiles`` and ``unit``; of
        categories: ``seen``. JSON can hold it.
    """
    clinical = {
        column.name: _categories(X[column.name]) if column.is_coded else _numbers(X[column.name], column.unit)
        for column in columns
    }
    acquisition = {}
    if facts is not None:
        numbers = {name: unit for name, unit in ACQUISITION_NUMBERS.items() if name in facts}
        acquisition |= {name: _numbers(facts[name], unit) for name, unit in numbers.items()}
        acquisition |= {name: _categories(facts[name]) for name in ACQUISITION_CATEGORIES if name in facts}
    # A fact that no training image states tells nothing about a new one.
    acquisition = {name: entry for name, entry in acquisition.items() if _is_known(entry)}
    return {"smallest_group": SMALLEST_GROUP, "clinical": clinical, "acquisition": acquisition}


def compare_with_ranges(values, ranges, tolerance=0.0):
    """Compare the values of one patient with the ranges of the training patients.

    Parameters
    ----------
    values : mapping of str to object
        Values by name.
    ranges : dict
        "clinical" or "acquisition" of :func:`make_ranges`.
    tolerance : float, default=0.0
        Relative tolerance of numbers.

    Returns
    -------
    list of dict
        Per name: ``name``, ``value``, ``unit``, ``training`` (text) and ``comparison`` ("inside", "below", "above",
        "not seen in training" or "missing").
    """
    rows = []
    for name, entry in ranges.items():
        value = values.get(name)
        row = {"name": name, "value": None if is_missing(value) else value, "unit": entry.get("unit") or ""}
        row |= {"training": range_text(entry), "comparison": _compare(value, entry, tolerance)}
        rows.append(row)
    return rows


def range_text(entry):
    """Return a range of the training patients as text."""
    if "seen" in entry:
        return ", ".join(entry["seen"])
    if entry["low"] is None:
        return "no value"
    same = entry["low"] == entry["high"]
    return f"{entry['low']:.4g}" if same else f"{entry['low']:.4g} to {entry['high']:.4g}"


def _compare(value, entry, tolerance):
    if is_missing(value):
        return MISSING
    if "seen" in entry:
        return INSIDE if value in entry["seen"] else UNSEEN
    if entry["low"] is None:
        return UNSEEN
    if value < entry["low"] - tolerance * abs(entry["low"]):
        return BELOW
    return ABOVE if value > entry["high"] + tolerance * abs(entry["high"]) else INSIDE


def _numbers(values, unit):
    known = np.array([float(value) for value in values if not is_missing(value)])
    quantiles = {
        f"{q:g}": _rounded(float(np.quantile(known, q)))
        for q in QUANTILES
        if math.floor(len(known) * min(q, 1 - q) + 1e-9) >= SMALLEST_GROUP
    }
    limits = {"low": float(known.min()), "high": float(known.max())} if len(known) else {"low": None, "high": None}
    return {**limits, "quantiles": quantiles, "unit": unit, "some_missing": len(known) < len(values)}


def _rounded(value, digits=4):
    """Return a number with this many significant digits."""
    return float(f"{value:.{digits}g}")


def _categories(values):
    seen = {str(value) for value in values if not is_missing(value)}
    return {"seen": sorted(seen), "some_missing": bool(pd.Series(list(values)).map(is_missing).any())}


def _is_known(entry):
    return bool(entry.get("seen")) or entry.get("low") is not None
