"""Maps on the grid of the network, brought back to the grid and the coordinates of a patient's own image."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations

from sklearn_pspd.cohort.image_files import folder_entries, pair_files
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import write_bytes
from sklearn_pspd.loading.errors import reading
from sklearn_pspd.loading.geometry import STACK_AXES, canonical_affine, canonical_shape
from sklearn_pspd.loading.position import open_volume
from sklearn_pspd.preprocessing.interpolation import positions_on_grid


class SourceGrid:
    """The grid of a patient's image file, and where the pixels of the network's grid lie on it.

    Parameters
    ----------
    stack : SliceStack
        The stack as it was read from the file; its pixels are not needed.
    fov : FOVNormalizer
        The step that resampled it.

    Attributes
    ----------
    affine : ndarray of shape (4, 4)
        From stored indices of the image to scanner coordinates in mm (RAS).
    shape : tuple of int
        Shape of the image as it is stored; of DICOM, (columns, rows, slices).
    """

    def __init__(self, stack, fov):
        volume = open_source(stack)
        self.affine, self.shape = volume.affine, tuple(int(side) for side in volume.shape)
        self._canonical = canonical_affine(volume.affine, volume.shape)
        self._sides = canonical_shape(volume)
        self._slice_indices = np.asarray(stack.slice_indices, dtype=np.float64)
        spacings = (stack.spacing_mm[0],) * 2 if fov.method == "released" else stack.spacing_mm
        self._size_px = int(fov.size_px)
        self._places = [
            positions_on_grid(n_px, spacing, fov_mm=fov.fov_mm, size_px=fov.size_px, method=fov.method)
            for n_px, spacing in zip(self._sides[1:], spacings, strict=True)
        ]

    def world_mm(self):
        """Return the scanner coordinates of the pixels of the network's grid.

        Returns
        -------
        ndarray of shape (n_slices, height, width, 3)
            x, y and z in mm (RAS).
        """
        # Positions are linear in the index, so the inverse is too.
        pixels = np.arange(self._size_px)
        axes = [self._slice_indices]
        for places in self._places:
            step = (places[-1] - places[0]) / (len(places) - 1)
            axes.append((pixels - places[0]) / step)
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        return grid @ self._canonical[:3, :3].T + self._canonical[:3, 3]

    def to_source(self, values):
        """Resample a map to the grid of the image.

        Parameters
        ----------
        values : ndarray of shape (n_slices, height, width)
            Map on the grid of the network.

        Returns
        -------
        ndarray of shape `shape`, dtype float32
            Linear interpolation; 0 outside the slices and the field of view.
        """
        step = self._slice_indices[1] - self._slice_indices[0] if len(self._slice_indices) > 1 else 1.0
        slices = (np.arange(self._sides[0]) - self._slice_indices[0]) / step
        result = np.asarray(values, dtype=np.float32)
        for axis, places in enumerate((slices, *self._places)):
            weights = _linear_weights(places, result.shape[axis])
            result = np.moveaxis(np.tensordot(weights, result, axes=(1, axis)), 0, axis)
        stored = orientations.io_orientation(self.affine)
        transform = orientations.ornt_transform(orientations.axcodes2ornt(STACK_AXES), stored)
        return np.ascontiguousarray(orientations.apply_orientation(result, transform), dtype=np.float32)

    def write(self, path, values):
        """Write a map as NIfTI on the grid of the image, so that a viewer shows it over the image.

        Parameters
        ----------
        path : path-like
            The file to write, ``.nii.gz``.
        values : ndarray of shape (n_slices, height, width)
            Map on the grid of the network.
        """
        image = nib.Nifti1Image(self.to_source(values), self.affine)
        image.set_sform(self.affine, code=1)
        image.set_qform(self.affine, code=1)
        image.header.set_xyzt_units("mm")
        write_bytes(path, gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))


def open_source(stack):
    """Open the image from which a stack was read.

    Parameters
    ----------
    stack : SliceStack
        The stack; its pixels are not needed.

    Returns
    -------
    Volume
        The image, of which nothing is read yet.

    Raises
    ------
    InputError
        If the image cannot be read any more, or has another matrix than it had.
    """
    source = Path(stack.source)
    with reading(source):
        files = folder_entries(source) if source.is_dir() else pair_files(source)
        volume = open_volume(stack.source, [str(file) for file in files])
    if canonical_shape(volume)[1:] != stack.pixels.shape[1:]:
        raise InputError(f"{source}: the image has changed since it was read; read it again")
    return volume


def _linear_weights(places, n_px):
    """Return the weights of linear interpolation, of shape (len(places), n_px); rows beyond half a pixel are zero."""
    inside = (places >= -0.5 - 1e-9) & (places <= n_px - 0.5 + 1e-9)
    limited = np.clip(places, 0, n_px - 1)
    lower = np.minimum(limited.astype(np.intp), max(n_px - 2, 0))
    fraction = limited - lower
    weights = np.zeros((len(places), n_px), dtype=np.float32)
    rows = np.arange(len(places))
    weights[rows, lower] = np.where(inside, 1 - fraction, 0)
    weights[rows, np.minimum(lower + 1, n_px - 1)] += np.where(inside, fraction, 0).astype(np.float32)
    return weights
