"""Agreement of readers on the lesion's slice."""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import f as f_distribution

from sklearn_pspd.cohort.problems import missing_columns, normalise_ids, raise_problems
from sklearn_pspd.exceptions import InputError

from .pick_records import PICK_COLUMNS, read_picks

N_RESAMPLES = 2000
FEWEST_PATIENTS = 3


def slice_agreement(picks, *, confidence=0.95, random_state=0):
    """Compare the slices that readers picked, each pair of readers in the patients that both have picked.

    Parameters
    ----------
    picks : DataFrame or path-like
        Record of picks of two readers or more, see :func:`read_picks`. Of several picks of one reader for one patient,
        the last one counts.
    confidence : float, default=0.95
        Confidence of the intervals.
    random_state : int, default=0
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        One row per pair of readers: ``reader_1``, ``reader_2``; ``n_patients`` with a slice of both;
        ``n_cannot_tell_1`` and ``n_cannot_tell_2``, the patients whom both readers have seen and of whom the first or
        the second one could not tell; ``mean_abs_difference_mm``, the mean absolute difference along the slice normal,
        with its bootstrap interval over patients (``difference_low_mm``, ``difference_high_mm``);
        ``max_abs_difference_mm``; ``icc``, the intraclass correlation ICC(2,1) [1]_ of the position, with its interval
        [2]_ (``icc_low``, ``icc_high``).
        Intervals and ``icc`` are missing for fewer than three patients.

    Raises
    ------
    InputError
        If there are fewer than two readers, or two readers have seen different images of a patient.

    Notes
    -----
    The position is the distance of the slice from the lowest slice of the image. The intraclass correlation depends on
    how much the positions differ between the patients, and so on how far below the lesion each image begins: state the
    difference in mm beside it. Patients of whom a reader cannot tell are in neither figure.

    References
    ----------
    .. [1] Shrout PE, Fleiss JL. Intraclass correlations: uses in assessing rater reliability. Psychol Bull 86, 420-428
       (1979).
    .. [2] McGraw KO, Wong SP. Forming inferences about some intraclass correlation coefficients. Psychol Methods 1,
       30-46 (1996).

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.intake import slice_agreement
    >>> slices = {"AB": [10, 42, 25, 31], "CD": [11, 42, 23, 31]}
    >>> rows = [
    ...     {"patient_id": f"P{number}", "lesion_slice": index, "slice_spacing_mm": 1.2, "cannot_tell": False,
    ...      "reader": reader, "image_sha256": f"{number}"}
    ...     for reader, indices in slices.items() for number, index in enumerate(indices)
    ... ]
    >>> slice_agreement(pd.DataFrame(rows)).loc[0, ["n_patients", "mean_abs_difference_mm", "icc"]].round(3).tolist()
    [4.0, 0.9, 0.996]
    """
    picks = picks if isinstance(picks, pd.DataFrame) else read_picks(picks)
    needed = [name for name in PICK_COLUMNS if name not in ("lesion_z_mm", "time_utc", "in_table")]
    raise_problems("the record of picks has", missing_columns(picks, needed))
    if not 0 < confidence < 1:
        raise InputError(f"confidence must be between 0 and 1; got {confidence!r}")
    picks = picks.assign(patient=normalise_ids(picks["patient_id"]).to_numpy())
    latest = picks.drop_duplicates(["patient", "reader"], keep="last")
    readers = list(dict.fromkeys(latest["reader"]))
    if len(readers) < 2:
        raise InputError(f"the record has picks of {len(readers)} reader; agreement needs two or more")
    rows = [_pair(latest, names, confidence, random_state) for names in combinations(readers, 2)]
    raise_problems("the record of picks has", [problem for row in rows for problem in row.pop("problems")])
    return pd.DataFrame(rows)


def intraclass_correlation(ratings, *, confidence=0.95):
    """Return ICC(2,1) of single ratings by the same raters, absolute agreement, two-way random effects.

    Parameters
    ----------
    ratings : array-like of shape (n_subjects, n_raters)
        No rating is missing.
    confidence : float, default=0.95
        Confidence of the interval.

    Returns
    -------
    tuple of float
        The correlation, and the limits of its interval.

    Examples
    --------
    Table 2 of Shrout and Fleiss (1979), six subjects and four judges:

    >>> from sklearn_pspd.intake.agreement import intraclass_correlation
    >>> ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    >>> [round(float(value), 3) for value in intraclass_correlation(ratings)]
    [0.29, 0.019, 0.761]
    """
    ratings = np.asarray(ratings, dtype=float)
    n, k = ratings.shape
    # Mean squares of the two-way analysis of variance: subjects, raters, error.
    mean, by_subject, by_rater = ratings.mean(), ratings.mean(axis=1), ratings.mean(axis=0)
    ms_subjects = k * np.sum((by_subject - mean) ** 2) / (n - 1)
    ms_raters = n * np.sum((by_rater - mean) ** 2) / (k - 1)
    residuals = ratings - by_subject[:, None] - by_rater + mean
    ms_error = np.sum(residuals**2) / ((n - 1) * (k - 1))
    denominator = ms_subjects + (k - 1) * ms_error + k * (ms_raters - ms_error) / n
    if denominator <= 0:
        return np.nan, np.nan, np.nan
    icc = (ms_subjects - ms_error) / denominator
    if ms_error == 0 and ms_raters == 0:
        # The readers agree in every patient.
        return icc, np.nan, np.nan
    # The limits: Satterthwaite's degrees of freedom for the raters and the error together.
    a, b = k * icc, n * (1 - icc) + k * icc * (n - 1)
    combined = (a * ms_raters + b * ms_error) ** 2
    freedom = combined / ((a * ms_raters) ** 2 / (k - 1) + (b * ms_error) ** 2 / ((n - 1) * (k - 1)))
    upper = 1 - (1 - confidence) / 2
    f_low, f_high = f_distribution.ppf(upper, n - 1, freedom), f_distribution.ppf(upper, freedom, n - 1)
    spread = k * ms_raters + (n * k - k - n) * ms_error
    low = n * (ms_subjects - f_low * ms_error) / (f_low * spread + n * ms_subjects)
    high = n * (f_high * ms_subjects - ms_error) / (spread + n * f_high * ms_subjects)
    return icc, low, high


def _pair(latest, names, confidence, random_state):
    first, second = (latest[latest["reader"] == name].set_index("patient") for name in names)
    both = [patient for patient in first.index if patient in second.index]
    first, second = first.loc[both], second.loc[both]
    differs = first["image_sha256"] != second["image_sha256"]
    told = ~(first["cannot_tell"].astype(bool) | second["cannot_tell"].astype(bool))
    positions = np.column_stack(
        [part["lesion_slice"].astype(float) * part["slice_spacing_mm"].astype(float) for part in (first, second)]
    )[told.to_numpy()]
    distances = np.abs(positions[:, 0] - positions[:, 1])
    low, high = _bootstrap_mean(distances, confidence, random_state)
    icc = (
        intraclass_correlation(positions, confidence=confidence) if len(positions) >= FEWEST_PATIENTS else [np.nan] * 3
    )
    return {
        "reader_1": names[0],
        "reader_2": names[1],
        "n_patients": len(distances),
        "n_cannot_tell_1": int(first["cannot_tell"].sum()),
        "n_cannot_tell_2": int(second["cannot_tell"].sum()),
        "mean_abs_difference_mm": distances.mean() if len(distances) else np.nan,
        "difference_low_mm": low,
        "difference_high_mm": high,
        "max_abs_difference_mm": distances.max() if len(distances) else np.nan,
        "icc": icc[0],
        "icc_low": icc[1],
        "icc_high": icc[2],
        "problems": [
            f"patient {patient}: {names[0]} and {names[1]} saw different images; one of them must pick again"
            for patient in first.loc[differs, "patient_id"]
        ],
    }


def _bootstrap_mean(values, confidence, random_state):
    """Return the percentile interval of a mean over resampled patients."""
    if len(values) < FEWEST_PATIENTS:
        return np.nan, np.nan
    rng = np.random.default_rng(random_state)
    means = values[rng.integers(len(values), size=(N_RESAMPLES, len(values)))].mean(axis=1)
    tail = 50 * (1 - confidence)
    return tuple(np.percentile(means, [tail, 100 - tail]))
