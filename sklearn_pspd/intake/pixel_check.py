"""Pixels of two series with equal parameters: which of them shows enhancement."""

from typing import NamedTuple

import numpy as np

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading.geometry import canonical_affine, canonical_shape, canonical_spacing, read_slices
from sklearn_pspd.loading.position import open_volume

# Ratio of the bright ends from which on a series is called brighter: a choice of ours, above what noise and movement do
# to two scans with the same contrast (tests/benchmarks/series_rules.py).
LEAST_RATIO = 1.15
# Percentiles of tissue in which enhancement shows: vessels, mucosa and the lesion are few voxels.
BRIGHT_PERCENTILES = (98, 99, 99.5, 99.9)
TISSUE = 0.2  # of the 95th percentile
FEWEST_VOXELS = 1000
PIXEL_MM = 2.0
SAME_PLACE = 0.5  # of a voxel, between the grids


class Comparison(NamedTuple):
    """Comparison of the pixels of two series.

    Attributes
    ----------
    brighter : int
        0 or 1, the series that is brighter at its bright end; -1 if neither is, or they cannot be compared.
    text : str
        The ratio of the bright ends, or why they cannot be compared.
    """

    brighter: int
    text: str


def compare_series(first, second):
    """Compare two series of one study.

    Parameters
    ----------
    first, second : dict
        Rows of the series table, with equal parameters.

    Returns
    -------
    Comparison
        Which one is brighter.
    """
    if first["frame_uid"] != second["frame_uid"]:
        return Comparison(-1, "another frame of reference")
    try:
        volumes = [_open(row) for row in (first, second)]
        if not _same_grid(*volumes):
            return Comparison(-1, "another grid")
        ratio = bright_end_ratio(*map(_pixels, volumes))
    except InputError as error:
        return Comparison(-1, f"the pixels cannot be read ({error})")
    if 1 / LEAST_RATIO < ratio < LEAST_RATIO:
        return Comparison(-1, f"ratio {max(ratio, 1 / ratio):.2f}, undecided")
    return Comparison(int(ratio > 1), f"ratio {max(ratio, 1 / ratio):.2f}")


def bright_end_ratio(first, second):
    """Compare the bright ends of two volumes of the same tissue.

    Each volume is divided by the median of its tissue, so that the gain of the scanner does not matter; places are not
    compared, so that small movements do not matter. Of the percentiles 98, 99, 99.5 and 99.9 of tissue, the one that
    differs most decides, since enhancement makes few voxels much brighter.

    Parameters
    ----------
    first, second : ndarray
        Intensities, not negative.

    Returns
    -------
    float
        Bright end of the second volume relative to that of the first one: above 1 if the second one is enhanced, below
        1 if the first one is, 1 if there is too little tissue.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.intake.pixel_check import bright_end_ratio
    >>> before = np.random.default_rng(0).normal(100, 5, (20, 40, 40))
    >>> after = 1.7 * before
    >>> after[8:12, 10:20, 10:20] *= 1.6
    >>> round(float(bright_end_ratio(before, after)), 1)
    1.5
    """
    ends = [_bright_end(volume) for volume in (first, second)]
    if any(end is None for end in ends):
        return 1.0
    differences = np.log(ends[1]) - np.log(ends[0])
    return float(np.exp(differences[np.argmax(np.abs(differences))]))


def _bright_end(volume):
    """Return high percentiles of tissue relative to its median; None if there is too little tissue."""
    volume = np.asarray(volume, dtype=float)
    volume = volume[np.isfinite(volume)]
    tissue = volume[volume > TISSUE * np.percentile(volume, 95)] if volume.size else volume
    if tissue.size < FEWEST_VOXELS or np.median(tissue) <= 0:
        return None
    return np.percentile(tissue, BRIGHT_PERCENTILES) / np.median(tissue)


def _open(row):
    files = list(row["files"])
    path = files[0] if len(files) == 1 else row["folder"]
    return open_volume(path, files)


def _same_grid(first, second):
    if canonical_shape(first) != canonical_shape(second):
        return False
    affines = [canonical_affine(volume.affine, volume.shape) for volume in (first, second)]
    n_slices, height, width = canonical_shape(first)
    corners = np.array([[k, i, j, 1] for k in (0, n_slices) for i in (0, height) for j in (0, width)])
    offsets = corners @ (affines[1] - affines[0]).T[:, :3] @ np.linalg.inv(affines[0][:3, :3]).T
    return bool(np.abs(offsets).max() <= SAME_PLACE)


def _pixels(volume):
    slices = read_slices(volume, np.arange(canonical_shape(volume)[0]))
    return in_plane_average(slices, *canonical_spacing(volume)[1:])


def in_plane_average(slices, row_mm, column_mm):
    """Return slices with averaged pixels of about 2 mm, in which noise matters less."""
    rows, columns = (max(1, round(PIXEL_MM / step)) for step in (row_mm, column_mm))
    n_slices, height, width = slices.shape
    blocks = slices[:, : height // rows * rows, : width // columns * columns]
    return blocks.reshape(n_slices, height // rows, rows, width // columns, columns).mean(axis=(2, 4))
