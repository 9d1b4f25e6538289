"""Regions of a patient's slices on the grid of the network: lesion, head and brain; and filling them."""

import numpy as np
from scipy import ndimage

from sklearn_pspd.cohort.columns import POINT_COLUMNS
from sklearn_pspd.cohort.problems import is_missing
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading.geometry import read_slices
from sklearn_pspd.loading.marks import open_mask
from sklearn_pspd.preprocessing.interpolation import resample_stack

from .native_space import SourceGrid

N_BINS = 256
# A pixel that lies by at least this part in the lesion belongs to it.
PARTIAL = 0.25


def lesion_regions(opened, X, stacks, *, centres=None, radius_mm=25.0, margin_mm=5.0):
    """Return where the lesion lies, from its mask or as a sphere around a point.

    Parameters
    ----------
    opened : OpenedModel
        The model, with images.
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table, with NIfTI masks in ``lesion_mask`` or points of the lesions, unless `centres` are given.
    stacks : sequence of SliceStack
        Their stacks.
    centres : DataFrame, default=None
        One row per patient, indexed by ``patient_id``, with ``x_mm``, ``y_mm`` and ``z_mm``: scanner coordinates (RAS)
        of the lesion's centre. None takes the points of the table, and the masks of patients without one.
    radius_mm : float, default=25.0
        Radius of the spheres in mm.
    margin_mm : float, default=5.0
        Added around a mask, in the plane.

    Returns
    -------
    ndarray of bool of shape (n_patients, n_slices, height, width)
        The regions.

    Raises
    ------
    InputError
        If a patient has neither, or the region has no pixel in the field of view; all patients are listed.
    """
    regions, problems = [], []
    for row, stack in zip(X.to_dict("records"), stacks, strict=True):
        try:
            region = _lesion_region(opened, row, stack, centres, radius_mm, margin_mm)
        except InputError as error:
            problems.append(f"  patient {stack.patient_id}: {error}")
            continue
        if not region.any():
            problems.append(f"  patient {stack.patient_id}: the lesion has no pixel in the slices of the stack")
        regions.append(region)
    if problems:
        raise InputError(
            f"the lesion of {len(problems)} of {len(X)} patients is not known in the plane of the slices:\n"
            + "\n".join(problems)
        )
    return np.array(regions)


def head_region(images):
    """Return the head: the largest bright region, with its holes filled, per slice.

    Parameters
    ----------
    images : ndarray of shape (n_slices, height, width)
        Grey values of one patient, background dark.

    Returns
    -------
    ndarray of bool of shape (n_slices, height, width)
        The head, from Otsu's threshold of the stack.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.inspection.regions import head_region
    >>> images = np.zeros((1, 9, 9))
    >>> images[0, 2:7, 2:7] = 5.0
    >>> images[0, 4, 4] = 0.0
    >>> int(head_region(images).sum())
    25
    """
    bright = images > _otsu(images)
    regions = np.zeros(images.shape, dtype=bool)
    for number, slice_ in enumerate(bright):
        # The skull is dark, so a gap in the scalp would leave the brain's surface for the head's; closing bridges it.
        closed = ndimage.binary_closing(np.pad(slice_, 2), iterations=2)[2:-2, 2:-2] | slice_
        labels, n_labels = ndimage.label(ndimage.binary_fill_holes(closed))
        if n_labels:
            sizes = ndimage.sum_labels(np.ones_like(labels), labels, np.arange(1, n_labels + 1))
            regions[number] = labels == 1 + int(np.argmax(sizes))
    return regions


def brain_region(images, pixel_mm, *, shell_mm=15.0):
    """Return what lies deeper in the head than scalp, skull and the fluid below.

    Parameters
    ----------
    images : ndarray of shape (n_slices, height, width)
        Grey values of one patient.
    pixel_mm : float
        Side of a pixel in mm.
    shell_mm : float, default=15.0
        Thickness of scalp, skull and fluid in mm.

    Returns
    -------
    ndarray of bool of shape (n_slices, height, width)
        The brain, by distance from the surface of the head; no segmentation.
    """
    depth = [ndimage.distance_transform_edt(np.pad(slice_, 1))[1:-1, 1:-1] for slice_ in head_region(images)]
    # The distance is that to the next pixel outside, of which half a pixel is outside the head.
    return (np.array(depth) - 0.5) * pixel_mm > shell_mm


def fill_from_surroundings(images, region):
    """Replace a region by a smooth continuation of its surroundings.

    Parameters
    ----------
    images : ndarray of shape (n_slices, height, width)
        Grey values.
    region : ndarray of bool of shape (n_slices, height, width)
        What is replaced. A slice that is replaced as a whole gets its mean.

    Returns
    -------
    ndarray of shape (n_slices, height, width), dtype float32
        Outside the region unchanged.

    Notes
    -----
    Known pixels are averaged to half the size until every pixel has a value, and the coarse values fill what the finer
    grid lacks (pull and push [1]_).

    References
    ----------
    .. [1] Gortler SJ, Grzeszczuk R, Szeliski R, Cohen MF. The lumigraph. SIGGRAPH 1996.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.inspection.regions import fill_from_surroundings
    >>> images = np.full((1, 8, 8), 3.0)
    >>> images[0, 3:5, 3:5] = 90.0
    >>> float(fill_from_surroundings(images, images > 50).max())
    3.0
    """
    images = np.asarray(images, dtype=np.float32)
    known = (~region).astype(np.float32)
    whole = ~known.any(axis=(1, 2))
    known[whole] = 1.0
    filled = np.where(region & ~whole[:, None, None], _pull_push(images * known, known), images)
    filled[whole] = images[whole].mean(axis=(1, 2), keepdims=True)
    return filled.astype(np.float32)


def _lesion_region(opened, row, stack, centres, radius_mm, margin_mm):
    centre = _centre(row, centres)
    if centre is not None:
        world = SourceGrid(stack, opened.images_of["fov"]).world_mm()
        return np.linalg.norm(world - centre, axis=-1) <= radius_mm
    path = row.get("lesion_mask")
    if is_missing(path):
        raise InputError(
            f"it has neither lesion_mask nor a point ({', '.join(POINT_COLUMNS)}); give one of them, or centres with "
            "x_mm, y_mm and z_mm of each patient"
        )
    label = opened.images_of["load"].lesion_label
    labels = read_slices(open_mask(path, label), np.asarray(stack.slice_indices))
    is_lesion = (np.rint(labels) == label).astype(np.float32)
    options = {"fov_mm": opened.fov_mm, "size_px": opened.size_px, "method": "bilinear", "pad_value": 0.0}
    region = resample_stack(is_lesion, stack.spacing_mm, **options) >= PARTIAL
    distance = [
        ndimage.distance_transform_edt(~slice_) if slice_.any() else np.full(slice_.shape, np.inf) for slice_ in region
    ]
    return np.array(distance) * opened.pixel_mm <= margin_mm


def has_region(row):
    """Return whether the table says where a lesion is in the plane of the slices: by a NIfTI mask or a point."""
    return _centre(row, None) is not None or not is_missing(row.get("lesion_mask"))


def _centre(row, centres):
    """Return the point of a lesion from the table of centres, or else from the cohort table; None without a point."""
    if centres is None:
        point = [row.get(column) for column in POINT_COLUMNS]
    elif row["patient_id"] in centres.index:
        point = centres.loc[row["patient_id"], ["x_mm", "y_mm", "z_mm"]]
    else:
        raise InputError("centres has no row for this patient_id")
    return None if any(map(is_missing, point)) else np.asarray(point, dtype=np.float64)


def _otsu(images):
    """Return the threshold between two classes of grey values with the largest variance between them."""
    low, high = np.percentile(images, (0.5, 99.5))
    counts, edges = np.histogram(np.clip(images, low, high), bins=N_BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts), counts.sum()
    sums = np.cumsum(counts * middles)
    above = total - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][np.nanargmax(np.where(above > 0, between, np.nan))])


def _pull_push(values, weights):
    """Return values with the gaps filled; `values` are multiplied by their weights, 1 where known and 0 elsewhere."""
    height, width = values.shape[1:]
    known = np.divide(values, weights, out=np.zeros_like(values), where=weights > 0)
    if (weights > 0).all() or min(height, width) == 1:
        return known
    # Pull: sums over squares of 2 x 2 pixels; an odd last row or column is a square of its own.
    pad = ((0, 0), (0, height % 2), (0, width % 2))
    coarse = [
        np.pad(array, pad).reshape(len(array), (height + 1) // 2, 2, (width + 1) // 2, 2).sum(axis=(2, 4))
        for array in (values, weights)
    ]
    scale = np.maximum(coarse[1], 1.0)
    below = _pull_push(coarse[0] / scale, coarse[1] / scale)
    # Push: what is not known here comes from the coarser grid, interpolated between its pixels.
    rows = np.clip((np.arange(height) + 0.5) / 2 - 0.5, 0, below.shape[1] - 1)
    columns = np.clip((np.arange(width) + 0.5) / 2 - 0.5, 0, below.shape[2] - 1)
    grid = np.meshgrid(rows, columns, indexing="ij")
    fine = np.array([ndimage.map_coordinates(image, grid, order=1, mode="nearest") for image in below])
    return np.where(weights > 0, known * weights + fine * (1 - weights), fine)
