"""Position of the lesion in a volume, and the slices around it."""

from pathlib import Path

import numpy as np

from sklearn_pspd.cohort.columns import POSITION_COLUMNS

from .dicom import is_dicom, open_dicom
from .errors import ImageError, NoLesionError
from .geometry import GRID_TOLERANCE_MM, canonical_affine, canonical_shape, canonical_spacing, read_slices
from .nifti import open_nifti


def open_volume(path, files):
    """Open a NIfTI file, a DICOM file or a DICOM folder as a volume."""
    if not Path(path).is_dir() and not is_dicom(path):
        return open_nifti(path)
    return open_dicom(path, files)


def middle_slice(path, volume, position, settings):
    """Return the index of the middle slice, 0 at the feet; it may be fractional if slices are interpolated."""
    n_slices = canonical_shape(volume)[0]
    column, value = position
    if column is None:
        if n_slices != settings.n_slices:
            raise ImageError(
                f"{path} has {n_slices} axial slices and no lesion position is given; give one of "
                f"{', '.join(POSITION_COLUMNS)}, or exactly n_slices={settings.n_slices} slices"
            )
        return n_slices // 2
    if column == "lesion_slice":
        if not 0 <= value < n_slices:
            raise ImageError(
                f"{path} has {n_slices} axial slices; lesion_slice={value:g} is outside 0..{n_slices - 1} "
                "(0 at the feet): correct it"
            )
        return int(value)
    if column == "lesion_z_mm":
        index = _index_at_height(path, volume, value)
        return index if settings.slice_spacing_mm else int(np.clip(np.floor(index + 0.5), 0, n_slices - 1))
    return _largest_lesion_slice(path, volume, value, settings.lesion_label)


def _index_at_height(path, volume, z_mm):
    n_slices, height, width = shape = canonical_shape(volume)
    affine = canonical_affine(volume.affine, volume.shape)
    first_mm = float((affine @ [0, (height - 1) / 2, (width - 1) / 2, 1])[2])
    step_mm = float(affine[2, 0])
    index = (z_mm - first_mm) / step_mm
    if not -0.5 <= index <= n_slices - 0.5:
        last_mm = first_mm + (shape[0] - 1) * step_mm
        raise ImageError(
            f"{path} has axial slices from z = {first_mm:.1f} to {last_mm:.1f} mm; lesion_z_mm={z_mm:g} is outside: "
            "correct it"
        )
    return index


def _largest_lesion_slice(path, volume, mask_path, label):
    if is_dicom(mask_path):
        raise ImageError(f"{mask_path} is a DICOM file; give lesion_mask as a NIfTI file")
    mask = open_nifti(mask_path)
    mask_affine = canonical_affine(mask.affine, mask.shape)
    affine = canonical_affine(volume.affine, volume.shape)
    shape, mask_shape = canonical_shape(volume), canonical_shape(mask)
    corners = np.array([[i, j, k, 1] for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])])
    offset_mm = np.linalg.norm((corners @ (mask_affine - affine).T)[:, :3], axis=1).max()
    if mask_shape != shape or offset_mm > GRID_TOLERANCE_MM:
        raise ImageError(
            f"{mask_path} has a different grid from {path}: {mask_shape} and {shape} (slices, rows, columns), corners "
            f"up to {offset_mm:.2f} mm apart; resample the mask onto the grid of the image"
        )
    labels = read_slices(mask, np.arange(shape[0]))
    areas = np.count_nonzero(labels == label, axis=(1, 2))
    if not areas.any():
        found = ", ".join(f"{value:g}" for value in np.unique(labels)[:10])
        raise NoLesionError(
            f"{mask_path} has no voxel of lesion_label={label}; its values are {found}: correct one of them"
        )
    return int(np.argmax(areas))


def stack_indices(path, volume, middle, settings):
    """Return the positions of the n_slices slices on the grid of the image; whole numbers need no interpolation."""
    n_available = canonical_shape(volume)[0]
    step = 1.0
    if settings.slice_spacing_mm:
        step = settings.slice_spacing_mm / canonical_spacing(volume)[0]
    half = settings.n_slices // 2
    indices = middle + step * np.arange(-half, half + 1)
    whole = np.rint(indices)
    indices = np.where(np.abs(indices - whole) < 1e-4, whole, indices)
    if indices[0] < 0 or indices[-1] > n_available - 1:
        raise ImageError(
            f"{path} has {n_available} axial slices (0..{n_available - 1}); slices {indices[0]:g}..{indices[-1]:g} "
            f"around the lesion at {middle:g} are needed: correct the position or reduce n_slices"
        )
    return indices
