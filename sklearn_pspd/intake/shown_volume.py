"""Whole volumes in the loader's orientation with eight bits per pixel, for a reader to scroll through."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sklearn_pspd.cohort.image_files import folder_entries, pair_files
from sklearn_pspd.loading.errors import reading
from sklearn_pspd.loading.geometry import (
    canonical_affine,
    canonical_shape,
    canonical_spacing,
    check_geometry,
    read_slices,
)
from sklearn_pspd.loading.position import open_volume

MAX_SIDE_PX = 512
# The 256 grey values span these percentiles of the volume; values beyond them are black or white.
GREY_PERCENTILES = (0.5, 99.95)
SAMPLED = 200_000  # voxels from which the percentiles are taken


class ShownVolume(NamedTuple):
    """A volume as a reader sees it.

    Attributes
    ----------
    pixels : ndarray of shape (n_slices, height, width), dtype uint8
        Slices run feet to head, rows front to back, columns from the patient's right to the patient's left. Sides of
        more than 512 pixels are averaged to fewer.
    spacing_mm : tuple of float
        Distances between adjacent slices, rows and columns of ``pixels``.
    first_z_mm, step_z_mm : float
        z of the centre of the lowest slice in scanner coordinates, and its increase from slice to slice.
    sha256 : str
        Digest of the grid and of all pixels of the image, whatever its files are called.
    """

    pixels: np.ndarray
    spacing_mm: tuple
    first_z_mm: float
    step_z_mm: float
    sha256: str

    def height_mm(self, index):
        """Return z of the centre of a slice in scanner coordinates."""
        return self.first_z_mm + index * self.step_z_mm


def read_shown_volume(path, loader):
    """Read a whole image as the loader would.

    Parameters
    ----------
    path : str
        Image of the cohort table.
    loader : SliceStackLoader
        Its limits of tilt and pixel spacing hold.

    Returns
    -------
    ShownVolume
        All slices of the image.

    Raises
    ------
    ImageError
        If the loader would refuse the image.
    """
    with reading(path):
        volume = _open(path)
        check_geometry(path, volume, loader)
        n_slices, height, width = canonical_shape(volume)
        slices = read_slices(volume, np.arange(n_slices))
    affine = canonical_affine(volume.affine, volume.shape)
    factor = -(-max(height, width) // MAX_SIDE_PX)
    spacing = canonical_spacing(volume)
    return ShownVolume(
        pixels=_to_bytes(slices, factor),
        spacing_mm=(spacing[0], factor * spacing[1], factor * spacing[2]),
        first_z_mm=float((affine @ [0, (height - 1) / 2, (width - 1) / 2, 1])[2]),
        step_z_mm=float(affine[2, 0]),
        sha256=_digest(slices, affine),
    )


def image_sha256(path):
    """Return the digest of the grid and of all pixels of an image, as :class:`ShownVolume` has it.

    Parameters
    ----------
    path : str
        Image of the cohort table.

    Returns
    -------
    str
        The digest, also of images that the limits of a loader exclude.

    Raises
    ------
    ImageError
        If the image cannot be read.
    """
    with reading(path):
        volume = _open(path)
        slices = read_slices(volume, np.arange(canonical_shape(volume)[0]))
    return _digest(slices, canonical_affine(volume.affine, volume.shape))


def _open(path):
    return open_volume(path, folder_entries(path) if Path(path).is_dir() else pair_files(path))


def _digest(slices, affine):
    digest = hashlib.sha256(repr((slices.shape, np.round(affine, 4).tolist())).encode())
    digest.update(slices.data)
    return digest.hexdigest()


def _to_bytes(slices, factor):
    """Return slices with grey values of 0 to 255 and sides that are shorter by a factor."""
    sample = slices.ravel()[:: max(1, slices.size // SAMPLED)]
    sample = sample[np.isfinite(sample)]
    low, high = np.percentile(sample, GREY_PERCENTILES) if sample.size else (0.0, 1.0)
    scale = 255 / (high - low) if high > low else 0.0
    n_slices, height, width = slices.shape
    rows, columns = height // factor, width // factor
    shown = np.empty((n_slices, rows, columns), np.uint8)
    # Slice by slice, so that no second copy of the volume is needed.
    for index, image in enumerate(slices):
        blocks = image[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
        grey = np.nan_to_num((blocks.mean(axis=(1, 3)) - low) * scale, posinf=255, neginf=0)
        shown[index] = np.rint(np.clip(grey, 0, 255))
    return shown
