"""Random transforms of slice stacks for training."""

from numbers import Real
from typing import ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from sklearn_pspd._sklearn import Interval
from sklearn_pspd.exceptions import InputError

from .images import check_stacks

# Slices are transformed in blocks of about this size, so that their intermediate results stay in the cache.
BLOCK_PIXELS = 2**16


class StackAugmenter(BaseEstimator):
    """Draw one random transform per patient and apply it to all slices of the patient's stack.

    It is used in training only, on standardised stacks (:class:`SliceStandardizer`). Each call draws new transforms, so
    that a network which is given new ones in each epoch never sees the same stack twice. Each strength is switched off
    by 0.

    Parameters
    ----------
    mirror : float, default=0.5
        Probability of exchanging left and right, in [0, 1].
    reverse : float, default=0.0
        Probability of reversing the order of the slices (feet to head becomes head to feet), in [0, 1].
    rotation_deg : float, default=10.0
        Largest rotation in the axial plane, in degrees; the angle is uniform on both sides of 0.
    shift_mm : float, default=10.0
        Largest shift along rows and along columns, in mm; both are uniform on both sides of 0.
    zoom : float, default=0.1
        Largest relative change of size. With 0.1 the factor lies between 1 / 1.1 and 1.1, uniformly in its logarithm.
    gamma : float, default=0.2
        Largest relative change of the exponent of the grey values, which are scaled to [0, 1] per slice first. With 0.2
        the exponent lies between 1 / 1.2 and 1.2, uniformly in its logarithm.
    bias_field : float, default=0.0
        Largest relative change of brightness by a smooth field over the field of view. With 0.2 the factor, a random
        polynomial of degree 2 in its logarithm, lies between 1 / 1.2 and 1.2.
    noise : float, default=0.0
        Largest standard deviation of Gaussian noise, independent in each pixel, as a multiple of the standard deviation
        of the slice; that of a patient is uniform between 0 and this value.
    fov_mm : float, default=200.0
        Side of the square field of view of a stack in mm. With the numbers of rows and columns it gives the size of a
        pixel in mm; pixels need not be square.

    See Also
    --------
    FOVNormalizer : Resamples stacks to the field of view.
    SliceStandardizer : Standardises the slices.

    Notes
    -----
    Rotation, shift and zoom are one affine map in mm about the centre of the field of view, followed by one bilinear
    interpolation. What is moved in from outside the field of view repeats the nearest pixel of the edge: background has
    no fixed grey value in standardised slices, and nothing is wrapped round.

    Every slice keeps the mean and the standard deviation that it had, because the slices of new patients are
    standardised as well. All transforms are choices of this library; the published network was trained without any.

    For equal `rng` results are bit-identical. The numbers that are drawn do not depend on the strengths, so switching
    one transform off leaves the others as they were.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.preprocessing import StackAugmenter
    >>> stacks = np.random.default_rng(0).normal(size=(2, 9, 48, 48)).astype(np.float32)
    >>> augmented = StackAugmenter(rotation_deg=5.0, noise=0.1).augment(stacks, np.random.default_rng(1))
    >>> augmented.shape, augmented.dtype
    ((2, 9, 48, 48), dtype('float32'))
    """

    _parameter_constraints: ClassVar[dict] = {
        "mirror": [Interval(Real, 0, 1, closed="both")],
        "reverse": [Interval(Real, 0, 1, closed="both")],
        "rotation_deg": [Interval(Real, 0, 180, closed="both")],
        "shift_mm": [Interval(Real, 0, None, closed="left")],
        "zoom": [Interval(Real, 0, None, closed="left")],
        "gamma": [Interval(Real, 0, None, closed="left")],
        "bias_field": [Interval(Real, 0, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "fov_mm": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        *,
        mirror=0.5,
        reverse=0.0,
        rotation_deg=10.0,
        shift_mm=10.0,
        zoom=0.1,
        gamma=0.2,
        bias_field=0.0,
        noise=0.0,
        fov_mm=200.0,
    ):
        self.mirror = mirror
        self.reverse = reverse
        self.rotation_deg = rotation_deg
        self.shift_mm = shift_mm
        self.zoom = zoom
        self.gamma = gamma
        self.bias_field = bias_field
        self.noise = noise
        self.fov_mm = fov_mm

    def augment(self, stacks, rng):
        """Return transformed copies of stacks.

        Parameters
        ----------
        stacks : ndarray of shape (n_patients, n_slices, height, width)
            Standardised stacks; they are not changed.
        rng : numpy.random.Generator
            Source of the random numbers, which is advanced.

        Returns
        -------
        augmented : ndarray of shape (n_patients, n_slices, height, width), dtype float32
            A new array.

        Raises
        ------
        InputError
            If a parameter is out of range, `stacks` is not 4-D, or `rng` is not a Generator.
        ValueError
            If `stacks` has non-finite values or no patients.
        """
        self._validate_params()
        if not isinstance(rng, np.random.Generator):
            raise InputError(f"rng must be a numpy.random.Generator, from np.random.default_rng; got {rng!r}")
        stacks = check_stacks(stacks)
        augmented = np.empty(stacks.shape, dtype=np.float32)
        for stack, result, transform in zip(stacks, augmented, self._draw(len(stacks), rng), strict=True):
            result[:] = transform_stack(stack, transform, fov_mm=float(self.fov_mm), rng=rng)
        return augmented

    def _draw(self, n_patients, rng):
        """Draw the transforms: always the same number of random numbers, whichever strengths are 0."""
        draws = rng.random((n_patients, 2)), rng.uniform(-1, 1, (n_patients, 5)), rng.uniform(-1, 1, (n_patients, 5))
        levels = rng.random((n_patients, 2))
        for chances, signed, bends, (bias_level, noise_level) in zip(*draws, levels, strict=True):
            yield StackTransform(
                mirror=bool(chances[0] < self.mirror),
                reverse=bool(chances[1] < self.reverse),
                rotation_deg=self.rotation_deg * signed[0],
                shift_mm=(self.shift_mm * signed[1], self.shift_mm * signed[2]),
                zoom=(1 + self.zoom) ** signed[3],
                gamma=(1 + self.gamma) ** signed[4],
                log_bias=tuple(np.log1p(self.bias_field) * bias_level * bends / np.abs(bends).sum()),
                noise=self.noise * noise_level,
            )


class StackTransform(NamedTuple):
    """The transform of one patient.

    Attributes
    ----------
    mirror : bool
        Whether left and right are exchanged.
    reverse : bool
        Whether the order of the slices is reversed.
    rotation_deg : float
        Rotation in the axial plane, from the rows' direction (towards the back) to the columns' (towards the left).
    shift_mm : tuple of float
        Shift towards the back and towards the patient's left.
    zoom : float
        Factor of size.
    gamma : float
        Exponent of the grey values.
    log_bias : tuple of float
        Logarithm of the bias field: coefficients of y, x, y * x, y ** 2 and x ** 2, where y and x run from -1 to 1 over
        the field of view.
    noise : float
        Standard deviation of the noise, as a multiple of that of the slice.
    """

    mirror: bool = False
    reverse: bool = False
    rotation_deg: float = 0.0
    shift_mm: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    gamma: float = 1.0
    log_bias: tuple[float, ...] = (0.0,) * 5
    noise: float = 0.0


def transform_stack(stack, transform, *, fov_mm=200.0, rng=None):
    """Apply the transform of one patient to the patient's stack.

    Parameters
    ----------
    stack : ndarray of shape (n_slices, height, width)
        Standardised slices.
    transform : StackTransform
        The transform: first mirror and reversal, then rotation, zoom and shift, then grey values.
    fov_mm : float, default=200.0
        Side of the square field of view in mm.
    rng : numpy.random.Generator, default=None
        Source of the noise; needed only for noise.

    Returns
    -------
    transformed : ndarray of shape (n_slices, height, width)
        A view of the stack if only mirrored or reversed, otherwise a new array.
    """
    oriented = stack[::-1] if transform.reverse else stack
    is_moved = transform.rotation_deg or any(transform.shift_mm) or transform.zoom != 1
    if transform.mirror and not is_moved:
        oriented = oriented[:, :, ::-1]
    if not (is_moved or transform.gamma != 1 or any(transform.log_bias) or transform.noise):
        return oriented
    # All slices have the same neighbours. They are then transformed in blocks that fit into the processor's cache.
    neighbours = None
    if is_moved:
        neighbours = _find_neighbours(
            stack.shape[1:],
            transform.rotation_deg,
            transform.shift_mm,
            transform.zoom,
            fov_mm=fov_mm,
            mirror=transform.mirror,
        )
    transformed = np.empty(stack.shape, dtype=np.float32)
    for slices in _slice_blocks(stack.shape):
        transformed[slices] = _transform_slices(oriented[slices], transform, neighbours, rng)
    return transformed


def _transform_slices(slices, transform, neighbours, rng):
    """Move the pixels of a block of slices, change their grey values, and scale these to those of the block."""
    original = np.ascontiguousarray(slices, dtype=np.float32)
    changed = original if neighbours is None else _interpolate(original, neighbours)
    if transform.gamma != 1 or any(transform.log_bias):
        changed = change_contrast(changed, transform.gamma, transform.log_bias)
    if transform.noise:
        pixels = rng.standard_normal(changed.shape, dtype=np.float32)
        pixels *= np.float32(transform.noise) * _mean_and_std(changed)[1]
        changed = np.add(pixels, changed, out=pixels)
    return match_slices(changed, original)


def warp_stack(stack, rotation_deg=0.0, shift_mm=(0.0, 0.0), zoom=1.0, *, fov_mm=200.0):
    """Rotate, enlarge and shift all slices of a stack about the centre of the field of view.

    Parameters
    ----------
    stack : ndarray of shape (n_slices, height, width)
        Slices over a square field of view; height and width may differ.
    rotation_deg : float, default=0.0
        Rotation from the direction of the rows to that of the columns.
    shift_mm : tuple of float, default=(0.0, 0.0)
        Shift along rows and columns, towards larger indices.
    zoom : float, default=1.0
        Factor of size.
    fov_mm : float, default=200.0
        Side of the field of view in mm.

    Returns
    -------
    warped : ndarray of shape (n_slices, height, width), dtype float32
        Bilinear interpolation between the pixels; outside the field of view the nearest pixel of the edge is repeated.
    """
    neighbours = _find_neighbours(stack.shape[1:], rotation_deg, shift_mm, zoom, fov_mm=fov_mm)
    pixels = np.ascontiguousarray(stack, dtype=np.float32)
    warped = np.empty(stack.shape, dtype=np.float32)
    for slices in _slice_blocks(stack.shape):
        warped[slices] = _interpolate(pixels[slices], neighbours)
    return warped


def change_contrast(stack, gamma=1.0, log_bias=(0.0,) * 5):
    """Apply a bias field and an exponent to the grey values of each slice.

    Parameters
    ----------
    stack : ndarray of shape (n_slices, height, width)
        Slices; the darkest pixel of each has the brightness 0.
    gamma : float, default=1.0
        Exponent of the grey values, which are scaled to [0, 1] per slice.
    log_bias : tuple of float, default=(0.0, 0.0, 0.0, 0.0, 0.0)
        See :class:`StackTransform`.

    Returns
    -------
    changed : ndarray of shape (n_slices, height, width), dtype float32
        Slices with the range of brightness from 0 to 1, except for the bias field.
    """
    low = stack.min(axis=(1, 2), keepdims=True)
    brightness = stack - low
    brightness /= np.maximum(stack.max(axis=(1, 2), keepdims=True) - low, np.finfo(np.float32).tiny)
    if any(log_bias):
        y, x = (np.linspace(-1, 1, n_px, dtype=np.float32) for n_px in stack.shape[1:])
        by_y, by_x, by_both, by_y2, by_x2 = (np.float32(coefficient) for coefficient in log_bias)
        field = np.add.outer(by_y * y + by_y2 * y * y, by_x * x + by_x2 * x * x) + np.multiply.outer(by_both * y, x)
        brightness *= np.exp(field)
    if gamma != 1:
        # Logarithm and exponential are vectorised in NumPy; its power takes twice as long. Black stays black.
        with np.errstate(divide="ignore"):
            np.log(brightness, out=brightness)
        brightness *= np.float32(gamma)
        np.exp(brightness, out=brightness)
    return brightness


def match_slices(stack, reference):
    """Scale the grey values of each slice to the mean and the standard deviation of a reference's slice.

    Parameters
    ----------
    stack : ndarray of shape (n_slices, height, width), dtype float32
        Slices, which are overwritten.
    reference : ndarray of shape (n_slices, height, width)
        Slices with the means and standard deviations wanted.

    Returns
    -------
    stack : ndarray of shape (n_slices, height, width), dtype float32
        The slices given; a constant one has the mean of its reference.
    """
    mean, std = _mean_and_std(stack)
    wanted_mean, wanted_std = _mean_and_std(reference)
    scale = wanted_std / np.maximum(std, np.finfo(np.float32).tiny)
    stack *= scale
    stack += wanted_mean - mean * scale
    return stack


class _Neighbours(NamedTuple):
    """Four pixels between which each pixel of the result is interpolated, the same for all slices.

    Attributes
    ----------
    corners : tuple of ndarray
        Their indices in a flattened slice: upper left, upper right, lower left, lower right.
    right, down : ndarray
        Weights of the right two and of the lower two.
    """

    corners: tuple
    right: np.ndarray
    down: np.ndarray


def _find_neighbours(shape, rotation_deg, shift_mm, zoom, *, fov_mm, mirror=False):
    """Find the neighbours of each pixel of the result in a slice of `shape`, which is mirrored first."""
    height, width = shape
    row_mm, column_mm = fov_mm / height, fov_mm / width
    # Position in the stack of each pixel of the result, in pixels: the inverse of the map, one line per axis.
    cosine, sine = np.cos(np.radians(rotation_deg)) / zoom, np.sin(np.radians(rotation_deg)) / zoom
    rows = np.arange(height) - (height - 1) / 2 - shift_mm[0] / row_mm
    columns = np.arange(width) - (width - 1) / 2 - shift_mm[1] / column_mm
    y = np.add.outer(rows * cosine + (height - 1) / 2, columns * (sine * column_mm / row_mm))
    x = np.add.outer(rows * (-sine * row_mm / column_mm), columns * cosine + (width - 1) / 2)
    if mirror:
        x = width - 1 - x
    top, down = _lower_and_fraction(y, height)
    left, right = _lower_and_fraction(x, width)
    upper_left = (top * width + left).ravel()
    # A slice of one row or column has no other.
    column_step, row_step = int(width > 1), width * (height > 1)
    corners = tuple(upper_left + step for step in (0, column_step, row_step, row_step + column_step))
    return _Neighbours(corners, right, down)


def _lower_and_fraction(places, n_px):
    """Return the index of the lower neighbour and the weight of the upper one, for positions limited to the edge."""
    np.clip(places, 0, n_px - 1, out=places)
    lower = np.minimum(places.astype(np.intp), max(n_px - 2, 0))
    return lower, (places - lower).astype(np.float32).ravel()


def _interpolate(slices, neighbours):
    """Interpolate along columns in the upper and in the lower row, and then between the two."""
    pixels = slices.reshape(len(slices), -1)
    upper_left, upper_right, lower_left, lower_right = neighbours.corners
    upper = _between(pixels, upper_left, upper_right, neighbours.right)
    lower = _between(pixels, lower_left, lower_right, neighbours.right)
    lower -= upper
    lower *= neighbours.down
    upper += lower
    return upper.reshape(slices.shape)


def _between(pixels, first, second, fraction):
    """Interpolate between the pixels of two sets of indices, which are inside the slice ("wrap" checks none)."""
    between, difference = (np.take(pixels, index, axis=1, mode="wrap") for index in (first, second))
    difference -= between
    difference *= fraction
    between += difference
    return between


def _slice_blocks(shape):
    """Return blocks of slices of at most 256 KiB of pixels, or of one slice."""
    n_slices, height, width = shape
    size = max(1, BLOCK_PIXELS // (height * width))
    return [slice(start, start + size) for start in range(0, n_slices, size)]


def _mean_and_std(stack):
    """Return mean and standard deviation per slice, shape (n_slices, 1, 1), dtype float32."""
    flat = stack.reshape(len(stack), -1)
    mean = np.einsum("ij->i", flat) / flat.shape[1]
    mean_of_squares = np.einsum("ij,ij->i", flat, flat) / flat.shape[1]
    std = np.sqrt(np.maximum(mean_of_squares - mean**2, 0))
    return mean[:, np.newaxis, np.newaxis], std[:, np.newaxis, np.newaxis]
