"""Sentences about predictions that the terminal and the page share."""

import numpy as np
import pandas as pd

FEWEST_DECIMALS, MOST_DECIMALS = 2, 17
# A probability that differs less from a limit of its interval lies at this limit.
INTERVAL_TOLERANCE = 1e-6
# Of more patients than these, the number is given.
N_NAMES = 3


def decimals_of(rows, rule):
    """Return with how many decimals predictions are printed, so that each differs from threshold and limits.

    Parameters
    ----------
    rows : iterable of Series
        Rows of :func:`~sklearn_pspd.release.predict_patients`.
    rule : dict or None
        Rule of abstention of the release.

    Returns
    -------
    int
        At least 2, the same for all rows.
    """
    pairs = []
    for row in rows:
        limits = [row["threshold"], *([] if rule is None else [rule["low"], rule["high"]])]
        if interval_text(row):
            limits += [row["calibrated_low"], row["calibrated_high"]]
        pairs += [(row["probability"], limit) for limit in limits]
    # Models compute in single precision: equal numbers of it are no different values.
    pairs = [(a, b) for a, b in pairs if np.float32(a) != np.float32(b)]
    # For all rows at once, since numbers that differ with two decimals can be equal with three: 0.5448 and 0.5455.
    return next(
        decimals
        for decimals in range(FEWEST_DECIMALS, MOST_DECIMALS + 1)
        if decimals == MOST_DECIMALS or all(f"{a:.{decimals}f}" != f"{b:.{decimals}f}" for a, b in pairs)
    )


def interval_text(row):
    """Say why the probability of the model lies outside its calibrated interval; empty if it does not."""
    low, high = row["calibrated_low"], row["calibrated_high"]
    if pd.isna(low) or low - INTERVAL_TOLERANCE <= row["probability"] <= high + INTERVAL_TOLERANCE:
        return ""
    side, frequent = ("below", "more") if row["probability"] < low else ("above", "less")
    return (
        f"the probability lies {side} the calibrated interval, because among training patients with similar "
        f"out-of-fold scores PsPD was {frequent} frequent than the model predicts"
    )


def patients_with(patients, texts):
    """Return one line per text, with the patients whom it concerns; empty texts concern nobody."""
    concerned = {}
    for patient, text in zip(patients, texts, strict=True):
        if text:
            concerned.setdefault(text, []).append(str(patient))
    return [f"{_names(names)}: {text}" for text, names in concerned.items()]


def _names(names):
    if len(names) <= N_NAMES + 1:
        return ", ".join(names)
    return f"{', '.join(names[:N_NAMES])} and {len(names) - N_NAMES} more"
