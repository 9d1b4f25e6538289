"""Cropping, padding and resampling of slices to one field of view, as a single linear map."""

from functools import lru_cache

import numpy as np

KEYS_A = -0.5  # the third-order accurate kernel, which reproduces parabolas
TENSORFLOW_A = -0.75
TENSORFLOW_TABLE_SIZE = 1024
BLOCK_PX = 32


def resample_stack(
    pixels, spacing_mm, *, fov_mm=200.0, size_px=256, method="bicubic", antialias=True, pad_value="minimum"
):
    """Crop or pad slices about their centre and resample them, as a single linear map.

    Parameters
    ----------
    pixels : ndarray of shape (n_slices, height, width)
        Slices of one patient.
    spacing_mm : tuple of float
        Distance in mm between adjacent rows, and between adjacent columns.
    fov_mm : float, default=200.0
        Side length of the field of view in mm.
    size_px : int, default=256
        Number of rows and of columns of the result.
    method : {"bicubic", "bilinear", "released"}, default="bicubic"
        See :class:`~sklearn_pspd.preprocessing.FOVNormalizer`.
    antialias : bool, default=True
        Widen the kernel if pixels become larger.
    pad_value : "minimum" or float, default="minimum"
        Grey value outside the image.

    Returns
    -------
    images : ndarray of shape (n_slices, size_px, size_px), dtype float32
        The resampled slices.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.preprocessing.interpolation import resample_stack
    >>> ramp = np.tile(np.arange(16.0), (1, 16, 1))
    >>> resample_stack(ramp, (1.0, 1.0), fov_mm=4.0, size_px=2)[0]
    array([[6.5, 8.5],
           [6.5, 8.5]], dtype=float32)
    """
    pixels = np.asarray(pixels, dtype=np.float32)
    # The released script converts the field of view to pixels by the row spacing alone.
    released = method == "released"
    spacings = (spacing_mm[0], spacing_mm[0]) if released else spacing_mm
    maps = [
        _axis_map(n_px, float(spacing), float(fov_mm), int(size_px), method, bool(antialias))
        for n_px, spacing in zip(pixels.shape[1:], spacings, strict=True)
    ]
    images = _apply_columns(maps[1], _apply_rows(maps[0], pixels, size_px), size_px)
    pad = pixels.min(axis=(1, 2)) if isinstance(pad_value, str) else np.full(len(pixels), pad_value, np.float32)
    if released or not np.any(pad):
        return images
    # Weights that fall outside the image belong to the padding.
    padding = 1.0 - np.outer(_weight_inside(maps[0], size_px), _weight_inside(maps[1], size_px))
    if np.abs(padding).max() > 1e-6:
        images += pad[:, None, None] * padding.astype(np.float32)
    return images


def positions_on_grid(n_px, spacing_mm, *, fov_mm=200.0, size_px=256, method="bicubic"):
    """Return where the pixels of an image lie on the grid to which :func:`resample_stack` resamples it, along one axis.

    Parameters
    ----------
    n_px : int
        Number of pixels of the image along the axis.
    spacing_mm : float
        Distance in mm between adjacent pixels; with "released", that between adjacent rows for both axes.
    fov_mm : float, default=200.0
        Side length of the field of view in mm.
    size_px : int, default=256
        Number of pixels of the result.
    method : {"bicubic", "bilinear", "released"}, default="bicubic"
        See :class:`~sklearn_pspd.preprocessing.FOVNormalizer`.

    Returns
    -------
    ndarray of shape (n_px,)
        Positions in pixels of the result, 0 at the centre of the first one; outside -0.5 to size_px - 0.5 the image is
        cropped.

    Examples
    --------
    >>> from sklearn_pspd.preprocessing.interpolation import positions_on_grid
    >>> positions_on_grid(4, 1.0, fov_mm=8.0, size_px=4).tolist()
    [0.75, 1.25, 1.75, 2.25]
    """
    places = np.arange(n_px, dtype=np.float64)
    if method != "released":
        return (places - (n_px - 1) / 2) * (spacing_mm * size_px / fov_mm) + (size_px - 1) / 2
    n_cropped = max(round(fov_mm / spacing_mm), 1)
    first = max((n_px - n_cropped) // 2, 0) - max((n_cropped - n_px) // 2, 0)
    return (places - first) * size_px / n_cropped


@lru_cache(maxsize=128)
def _axis_map(n_px, spacing_mm, fov_mm, size_px, method, antialias):
    """Return the weights of one axis in blocks (first result pixel, first source pixel, weights).

    The weights of a result pixel are zero except near its position. Blocks of result pixels leave most zeros out, so
    that resampling is a few small matrix products.
    """
    if method == "released":
        weights = _released_weights(n_px, spacing_mm, fov_mm, size_px)
    else:
        weights = _kernel_weights(n_px, spacing_mm, fov_mm, size_px, method, antialias)
    blocks = []
    for first in range(0, size_px, BLOCK_PX):
        rows = weights[first : first + BLOCK_PX]
        used = np.flatnonzero(rows.any(axis=0))
        if used.size:
            block = np.ascontiguousarray(rows[:, used[0] : used[-1] + 1], dtype=np.float32)
            block.setflags(write=False)
            blocks.append((first, int(used[0]), block))
    return tuple(blocks)


def _kernel_weights(n_px, spacing_mm, fov_mm, size_px, method, antialias):
    """Return weights of shape (size_px, n_px); weights outside the source are dropped, without renormalisation."""
    # Centres of the result pixels in source pixels; a kernel for larger pixels is wider.
    pitch = fov_mm / size_px / spacing_mm
    width = max(1.0, pitch) if antialias else 1.0
    centres = (np.arange(size_px) - (size_px - 1) / 2) * pitch + (n_px - 1) / 2
    reach = int(np.ceil(2 * width)) + 1
    # Weights at the source pixels within reach of each centre; they sum to one.
    taps = np.floor(centres)[:, None].astype(int) + np.arange(-reach, reach + 1)
    distances = taps - centres[:, None]
    weights = _cubic(distances / width, KEYS_A) if method == "bicubic" else _triangle(distances / width)
    weights /= weights.sum(axis=1, keepdims=True)
    if width > 1:
        weights = _keep_ramps(weights, distances, _triangle(distances / width))
    # Weights of the pixels that exist; the rest is the weight of the padding.
    dense = np.zeros((size_px, n_px))
    inside = (taps >= 0) & (taps < n_px)
    dense[np.nonzero(inside)[0], taps[inside]] = weights[inside]
    return dense


def _keep_ramps(weights, distances, window):
    """Correct weights so that they sum to one and their mean position is the centre, as linear ramps require.

    The correction is ``window`` times a straight line, level + slope * distance. Its two coefficients solve a 2 x 2
    system, given by the moments of the window and by what the weights lack in sum and in mean.
    """
    moments = [(window * distances**power).sum(axis=1) for power in range(3)]
    lack_sum = 1.0 - weights.sum(axis=1)
    lack_mean = -(weights * distances).sum(axis=1)
    determinant = moments[0] * moments[2] - moments[1] ** 2
    level = (lack_sum * moments[2] - lack_mean * moments[1]) / determinant
    slope = (lack_mean * moments[0] - lack_sum * moments[1]) / determinant
    return weights + window * (level[:, None] + slope[:, None] * distances)


def _cubic(x, a):
    """Return the cubic convolution kernel of Keys with parameter ``a``."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _triangle(x):
    return np.maximum(1.0 - np.abs(x), 0.0)


def _released_weights(n_px, spacing_mm, fov_mm, size_px):
    """Return the weights of a central crop or zero pad in whole pixels and TensorFlow's legacy bicubic resizing."""
    # Positions of the result pixels in the cropped image, without half-pixel centres.
    n_cropped = max(round(fov_mm / spacing_mm), 1)
    scale = np.float32(n_cropped) / np.float32(size_px)
    places = np.arange(size_px, dtype=np.float32) * scale
    lower = np.floor(places).astype(int)
    # TensorFlow takes its kernel from a table of 1,024 steps and repeats the border pixel outside the cropped image.
    fraction = np.rint((places - lower) * np.float32(TENSORFLOW_TABLE_SIZE)) / TENSORFLOW_TABLE_SIZE
    resize = np.zeros((size_px, n_cropped))
    for tap in (-1, 0, 1, 2):
        source = np.clip(lower + tap, 0, n_cropped - 1)
        np.add.at(resize, (np.arange(size_px), source), _cubic(tap - fraction, TENSORFLOW_A))
    # The crop keeps the central pixels of a larger image, the pad surrounds a smaller one with zeros.
    crop_first = max((n_px - n_cropped) // 2, 0)
    pad_first = max((n_cropped - n_px) // 2, 0)
    n_kept = min(n_px, n_cropped)
    weights = np.zeros((size_px, n_px))
    weights[:, crop_first : crop_first + n_kept] = resize[:, pad_first : pad_first + n_kept]
    return weights


def _apply_rows(blocks, images, size_px):
    result = np.zeros((len(images), size_px, images.shape[2]), dtype=np.float32)
    for first, start, weights in blocks:
        source = images[:, start : start + weights.shape[1]]
        np.matmul(weights, source, out=result[:, first : first + len(weights)])
    return result


def _apply_columns(blocks, images, size_px):
    result = np.zeros((*images.shape[:2], size_px), dtype=np.float32)
    for first, start, weights in blocks:
        result[:, :, first : first + len(weights)] = images[:, :, start : start + weights.shape[1]] @ weights.T
    return result


def _weight_inside(blocks, size_px):
    """Return for each result pixel the sum of its weights inside the image."""
    total = np.zeros(size_px)
    for first, _, weights in blocks:
        total[first : first + len(weights)] = weights.sum(axis=1, dtype=np.float64)
    return total
