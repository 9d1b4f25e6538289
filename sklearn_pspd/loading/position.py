"""Position of the lesion in a volume, and the slices around it."""

from pathlib import Path

import numpy as np

from sklearn_pspd.cohort.columns import POSITION_COLUMNS
from sklearn_pspd.cohort.image_files import DICOM, image_format, path_problem

from .dicom import open_dicom
from .errors import FileError, NoLesionError, reading
from .geometry import GRID_TOLERANCE, canonical_affine, canonical_shape, canonical_spacing, read_slices
from .nifti import open_nifti

LABEL_TOLERANCE = 1e-3
SHOWN_VALUES = 10


def is_dicom(path):
    """Return whether a file holds DICOM data."""
    if problem := path_problem(path):
        raise FileError(path, problem)
    with reading(path):
        return image_format(path) == DICOM


def open_volume(path, files):
    """Open a NIfTI file, a DICOM file or a DICOM folder as a volume; `files` are the file or the folder's entries."""
    if not Path(path).is_dir() and not is_dicom(path):
        return open_nifti(path)
    return open_dicom(path, files)


def middle_slice(path, volume, position, settings):
    """Return the index of the middle slice, 0 at the feet; it may be fractional if slices are interpolated."""
    n_slices = canonical_shape(volume)[0]
    column, value = position
    if column is None:
        if n_slices != settings.n_slices:
            raise FileError(
                path,
                f"has {n_slices} axial slices and no lesion position is given; give one of "
                f"{', '.join(POSITION_COLUMNS)}, or exactly n_slices={settings.n_slices} slices",
            )
        return n_slices // 2
    if column == "lesion_slice":
        if not 0 <= value < n_slices:
            raise FileError(
                path,
                f"has {n_slices} axial slices; lesion_slice={value:g} is outside 0..{n_slices - 1} "
                "(0 at the feet): correct it",
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
        raise FileError(
            path,
            f"has axial slices from z = {first_mm:.1f} to {last_mm:.1f} mm; lesion_z_mm={z_mm:g} is outside: "
            "correct it",
        )
    return index


def _largest_lesion_slice(path, volume, mask_path, label):
    mask = open_mask(mask_path)
    _check_grid(path, volume, mask_path, mask)
    labels = _whole_labels(mask_path, read_slices(mask, np.arange(canonical_shape(mask)[0])))
    areas = np.count_nonzero(labels == label, axis=(1, 2))
    if not areas.any():
        raise NoLesionError(
            f"{mask_path} has no voxel of lesion_label={label}; its values are {_values_text(labels)}: correct one of "
            "them"
        )
    return int(np.argmax(areas))


def open_mask(path):
    """Open the mask of a lesion, which must be a NIfTI file."""
    if not Path(path).is_dir() and is_dicom(path):
        raise FileError(path, "is a DICOM file; give lesion_mask as a NIfTI file")
    return open_nifti(path, is_mask=True)


def _check_grid(path, volume, mask_path, mask):
    """Refuse a mask on another grid than the image; it only chooses a slice, so a part of a voxel does not matter."""
    shape, mask_shape = canonical_shape(volume), canonical_shape(mask)
    affine = canonical_affine(volume.affine, volume.shape)
    mask_affine = canonical_affine(mask.affine, mask.shape)
    corners = np.array([[i, j, k, 1] for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])])
    offsets_mm = (corners @ (mask_affine - affine).T)[:, :3]
    offsets = offsets_mm @ np.linalg.inv(affine[:3, :3]).T  # in voxels of the image
    if mask_shape != shape or np.abs(offsets).max() > GRID_TOLERANCE:
        raise FileError(
            mask_path,
            f"has a different grid from {path}: {mask_shape} and {shape} (slices, rows, columns), corners up to "
            f"{np.linalg.norm(offsets_mm, axis=1).max():.2f} mm apart; resample the mask onto the grid of the image",
        )


def _whole_labels(path, labels):
    """Return labels rounded to whole numbers; refuse others, which averaging or scaling has changed."""
    whole = np.rint(labels)
    with np.errstate(invalid="ignore"):
        is_other = np.abs(labels - whole) > LABEL_TOLERANCE
    is_other |= np.isinf(labels)
    if is_other.any():
        raise FileError(
            path,
            f"has {np.count_nonzero(is_other)} voxels whose values are no labels, such as "
            f"{_values_text(labels[is_other])}; give whole numbers, as before scaling or resampling",
        )
    return whole


def _values_text(values):
    """Return the values of a mask with all their digits, the smallest ones if there are many."""
    found = np.unique(values)
    more = f" and {len(found) - SHOWN_VALUES} others" if len(found) > SHOWN_VALUES else ""
    return ", ".join(str(value).removesuffix(".0") for value in found[:SHOWN_VALUES]) + more


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
        raise FileError(
            path,
            f"has {n_available} axial slices (0..{n_available - 1}); slices {indices[0]:g}..{indices[-1]:g} "
            f"around the lesion at {middle:g} are needed: correct the position or reduce n_slices",
        )
    return indices
