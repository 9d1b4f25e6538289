"""Methods that assign a part of a prediction to each pixel of the slices, for one network."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from sklearn_pspd.exceptions import InputError

from .network_gradients import DifferentiableNetwork
from .network_parts import NetworkParts

METHODS = ("hires_cam", "grad_cam", "integrated_gradients", "smooth_grad", "occlusion")
STEPS_AT_ONCE = 8


class Prepared(NamedTuple):
    """Patients as the methods need them.

    Attributes
    ----------
    images : ndarray of shape (n_patients, n_slices, height, width)
        In grey values.
    stacks : ndarray of the same shape
        Standardised.
    clinical : ndarray of shape (n_patients, n_encoded)
        Encoded clinical columns.
    start_stack : ndarray of shape (n_slices, height, width)
        Where the path of integrated gradients begins.
    start_clinical : ndarray of shape (n_encoded,)
        The same for the clinical columns.
    standardise : callable
        Standardises images.
    pixel_mm : float
        Side of a pixel in mm.
    """

    images: np.ndarray
    stacks: np.ndarray
    clinical: np.ndarray
    start_stack: np.ndarray
    start_clinical: np.ndarray
    standardise: object
    pixel_mm: float

    def take(self, rows):
        """Return some of the patients."""
        return self._replace(images=self.images[rows], stacks=self.stacks[rows], clinical=self.clinical[rows])


class MapSettings(NamedTuple):
    """The method and its parameters; see :func:`~sklearn_pspd.inspection.slice_maps`."""

    method: str
    block: int | None = None
    n_steps: int = 64
    n_samples: int = 25
    noise: float = 0.15
    patch_mm: float = 20.0
    stride_mm: float = 10.0
    seed: int = 0


def compute_maps(network, prepared, settings):
    """Compute the maps of one network.

    Parameters
    ----------
    network : keras.Model
        With its weights.
    prepared : Prepared
        The patients.
    settings : MapSettings
        The method.

    Returns
    -------
    maps : ndarray of shape (n_patients, n_slices, height, width), dtype float32
        Positive: towards the second class, PsPD.
    of_clinical : ndarray of shape (n_patients, n_encoded) or None
        The same for the clinical columns, by methods that have it.
    """
    if settings.method in ("hires_cam", "grad_cam"):
        return _activation_maps(DifferentiableNetwork(network), prepared, settings), None
    if settings.method == "integrated_gradients":
        return integrated_gradients(DifferentiableNetwork(network), prepared, settings.n_steps)
    if settings.method == "smooth_grad":
        return _smooth_gradients(DifferentiableNetwork(network), prepared, settings)
    return _occlusion(NetworkParts(network), prepared, settings), None


def check_settings(settings, n_blocks):
    """Refuse parameters out of range; all are listed.

    Parameters
    ----------
    settings : MapSettings
        The method and its parameters.
    n_blocks : int
        Convolution blocks of the network.
    """
    problems = []
    if settings.method not in METHODS:
        problems.append(f"method must be one of {', '.join(map(repr, METHODS))}; got {settings.method!r}")
    if settings.block is not None and settings.block not in range(1, n_blocks + 1):
        problems.append(f"block={settings.block!r}; the network has the blocks 1 to {n_blocks}")
    problems += [
        f"{name} must be a positive whole number; got {getattr(settings, name)!r}"
        for name in ("n_steps", "n_samples")
        if getattr(settings, name) != int(getattr(settings, name)) or getattr(settings, name) < 1
    ]
    problems += [
        f"{name} must be positive; got {getattr(settings, name)!r}"
        for name in ("noise", "patch_mm", "stride_mm")
        if not getattr(settings, name) > 0
    ]
    if problems:
        raise InputError("; ".join(problems))


def integrated_gradients(network, prepared, n_steps):
    """Integrate gradients along the straight line from the start to each patient, for both inputs.

    Parameters
    ----------
    network : DifferentiableNetwork
        The network.
    prepared : Prepared
        The patients and the start.
    n_steps : int
        Points of the midpoint rule.

    Returns
    -------
    maps : ndarray of shape (n_patients, n_slices, height, width)
        Parts of the difference of log odds between patient and start.
    of_clinical : ndarray of shape (n_patients, n_encoded)
        The same for the clinical columns.
    """
    return path_gradients(network, prepared, (np.arange(n_steps) + 0.5) / n_steps)


def path_gradients(network, prepared, points):
    """Return the mean gradient at points of the line from the start to each patient, times its length.

    Parameters
    ----------
    network : DifferentiableNetwork
        The network.
    prepared : Prepared
        The patients and the start.
    points : ndarray of shape (n_points,)
        From 0, the start, to 1, the patient.

    Returns
    -------
    maps, of_clinical : ndarray
        As :func:`integrated_gradients`.
    """
    maps, of_clinical = np.zeros_like(prepared.stacks, dtype=np.float64), np.zeros(prepared.clinical.shape)
    of_stack = prepared.stacks - prepared.start_stack
    of_columns = prepared.clinical - prepared.start_clinical
    for row in range(len(maps)):
        for first in range(0, len(points), STEPS_AT_ONCE):
            part = np.asarray(points[first : first + STEPS_AT_ONCE], dtype=np.float32)
            stacks = prepared.start_stack + part[:, None, None, None] * of_stack[row]
            clinical = prepared.start_clinical + part[:, None] * of_columns[row]
            _, by_stack, by_clinical = network.input_gradients(stacks, clinical)
            maps[row] += by_stack.sum(axis=0) / len(points)
            of_clinical[row] += by_clinical.sum(axis=0) / len(points)
    return (maps * of_stack).astype(np.float32), of_clinical * of_columns


def _activation_maps(network, prepared, settings):
    """Return Grad-CAM or HiRes-CAM, enlarged to the grid of the network's input."""
    block = settings.block or network.n_blocks
    features, gradients = network.block_gradients(prepared.stacks, prepared.clinical, block)
    if settings.method == "grad_cam":
        gradients = gradients.mean(axis=(2, 3), keepdims=True)
    kernel_size = int(network.network.get_layer("conv_1").kernel.shape[0])
    return enlarge((features * gradients).sum(axis=-1), prepared.stacks.shape[2:], block, kernel_size)


def enlarge(maps, shape, block, kernel_size):
    """Interpolate maps of a convolution block to the grid of the input, each pixel at the centre of what it sees.

    Parameters
    ----------
    maps : ndarray of shape (n_patients, n_slices, block_height, block_width)
        Maps of the block.
    shape : tuple of int
        Height and width of the input.
    block : int
        Number of the block; each halves height and width.
    kernel_size : int
        Side of the convolution kernels. An even one looks half a pixel further to the right and below, since "same"
        padding is added there.

    Returns
    -------
    ndarray of shape (n_patients, n_slices, height, width), dtype float32
        Bilinear; beyond the outermost centres the nearest value.
    """
    step = 2**block
    shift = 0.5 * (1 - kernel_size % 2) * (step - 1)
    places = [(np.arange(n_px) + 0.5 - shift) / step - 0.5 for n_px in shape]
    grid = np.meshgrid(*places, indexing="ij")
    flat = maps.reshape(-1, *maps.shape[2:])
    large = [ndimage.map_coordinates(image, grid, order=1, mode="nearest") for image in flat]
    return np.array(large, dtype=np.float32).reshape(*maps.shape[:2], *shape)


def _smooth_gradients(network, prepared, settings):
    """Return the mean gradient over noisy copies of the stack; the clinical columns are not changed."""
    rng = np.random.default_rng(settings.seed)
    maps, of_clinical = np.zeros_like(prepared.stacks, dtype=np.float64), np.zeros(prepared.clinical.shape)
    deviation = prepared.stacks.std(axis=(2, 3), keepdims=True) * settings.noise
    for _ in range(settings.n_samples):
        noise = rng.standard_normal(prepared.stacks.shape, dtype=np.float32)
        _, by_stack, by_clinical = network.input_gradients(prepared.stacks + deviation * noise, prepared.clinical)
        maps += by_stack / settings.n_samples
        of_clinical += by_clinical / settings.n_samples
    return maps.astype(np.float32), of_clinical


def _occlusion(parts, prepared, settings):
    """Return the mean change of the log odds over all patches that cover a pixel, one slice at a time."""
    size = max(1, round(settings.patch_mm / prepared.pixel_mm))
    stride = max(1, round(settings.stride_mm / prepared.pixel_mm))
    n_slices, height, width = prepared.stacks.shape[1:]
    corners = [(y, x) for y in _starts(height, size, stride) for x in _starts(width, size, stride)]
    covered = np.zeros((height, width))
    for y, x in corners:
        covered[y : y + size, x : x + size] += 1
    maps = np.zeros(prepared.stacks.shape, dtype=np.float32)
    for row, image in enumerate(prepared.images):
        slices = parts.encode_slices(prepared.stacks[row : row + 1])
        clinical = prepared.clinical[row : row + 1]
        before = parts.log_odds(parts.combine_slices(slices), clinical)[0]
        for number in range(n_slices):
            changes = before - _occluded(parts, prepared, (image, number), slices, clinical, corners, size)
            for (y, x), change in zip(corners, changes, strict=True):
                maps[row, number, y : y + size, x : x + size] += change
    return maps / covered.astype(np.float32)


def _occluded(parts, prepared, place, slices, clinical, corners, size):
    """Return the log odds with each patch of one slice replaced by the mean of the pixels around it."""
    image, number = place
    variants = np.repeat(image[number][np.newaxis], len(corners), axis=0)
    for variant, (y, x) in zip(variants, corners, strict=True):
        variant[y : y + size, x : x + size] = _ring_mean(image[number], y, x, size)
    # The network's slices are independent, so the variants of one slice are encoded in stacks of that many variants.
    n_slices = slices.shape[1]
    padded = np.concatenate([variants, np.repeat(variants[-1:], -len(variants) % n_slices, axis=0)])
    standardised = prepared.standardise(padded.reshape(-1, n_slices, *image.shape[1:]))
    encoded = parts.encode_slices(standardised).reshape(len(padded), -1)[: len(corners)]
    changed = np.repeat(slices, len(corners), axis=0)
    changed[:, number] = encoded
    return parts.log_odds(parts.combine_slices(changed), np.repeat(clinical, len(corners), axis=0))


def _ring_mean(image, y, x, size):
    """Return the mean of the frame of pixels around a patch, of half its width."""
    reach = max(1, size // 2)
    top, left = max(0, y - reach), max(0, x - reach)
    outer = image[top : y + size + reach, left : x + size + reach]
    inner = image[y : y + size, x : x + size]
    n_frame = outer.size - inner.size
    return (outer.sum(dtype=np.float64) - inner.sum(dtype=np.float64)) / n_frame if n_frame else inner.mean()


def _starts(n_px, size, stride):
    """Return where patches begin, so that every pixel is covered."""
    last = max(0, n_px - size)
    return [*range(0, last, stride), last]
