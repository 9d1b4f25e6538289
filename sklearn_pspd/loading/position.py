"""Position of the lesion in a volume, and the slices around it."""

from collections import Counter
from pathlib import Path

import numpy as np

from sklearn_pspd.cohort.columns import POINT_COLUMNS, POSITION_WAYS
from sklearn_pspd.cohort.image_files import DICOM, image_format, path_problem

from .dicom import open_dicom
from .errors import FileError, ImageError, reading
from .geometry import canonical_affine, canonical_shape, canonical_spacing, index_of_point, stored_slice_axis, tilt_deg
from .marks import slice_of_mark
from .nifti import open_nifti

MOST_AMBIGUITY = 0.5  # of the step between slices


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
    way, value = position
    if way is None:
        if n_slices != settings.n_slices:
            # What the row of the table lacks, not what is wrong with the file.
            raise ImageError(
                f"the image has {n_slices} axial slices and no lesion position is given; give one of {POSITION_WAYS}, "
                f"or exactly n_slices={settings.n_slices} slices (pspd pick asks a reader for lesion_slice)"
            )
        return n_slices // 2
    if way == "lesion_slice":
        if not 0 <= value < n_slices:
            raise FileError(
                path,
                f"has {n_slices} axial slices; lesion_slice={value:g} is outside 0..{n_slices - 1} "
                "(0 at the feet): correct it",
            )
        return int(value)
    if way == "lesion_instance":
        return _slice_of_instance(path, volume, int(value))
    if way == "lesion_mask":
        marked = slice_of_mark(path, volume, value, settings)
        return _nearest(marked, n_slices, settings)
    index = _index_at_height(path, volume, value) if way == "lesion_z_mm" else index_of_point(path, volume, value)
    return _nearest(index, n_slices, settings)


def _nearest(index, n_slices, settings):
    """Return the slice nearest to an index, or the index itself if slices are interpolated."""
    return index if settings.slice_spacing_mm else int(np.clip(np.floor(index + 0.5), 0, n_slices - 1))


def _slice_of_instance(path, volume, number):
    """Return the axial slice of the image with a DICOM InstanceNumber."""
    if volume.format != "DICOM":
        article = "an" if volume.format.startswith("e") else "a"
        raise FileError(
            path,
            f"is {article} {volume.format} file, whose slices have no InstanceNumber of their own; give lesion_slice "
            "or a point instead of lesion_instance",
        )
    axis, is_reversed = stored_slice_axis(volume)
    if axis != 2:
        raise FileError(
            path,
            f"has images that are not axial, so lesion_instance={number} shows no axial slice; give a point instead",
        )
    numbers = Counter(volume.instances)
    if None in numbers or max(numbers.values()) > 1:
        which = f"{'lacks' if None in numbers else 'repeats'} InstanceNumber in some images"
        raise FileError(path, f"{which}, so that lesion_instance={number} is ambiguous; give lesion_slice or a point")
    if number not in numbers:
        raise FileError(
            path,
            f"has images {min(numbers)} to {max(numbers)} (InstanceNumber); lesion_instance={number} is none of them: "
            "correct it",
        )
    index = volume.instances.index(number)
    return len(volume.instances) - 1 - index if is_reversed else index


def _index_at_height(path, volume, z_mm):
    n_slices, height, width = canonical_shape(volume)
    affine = canonical_affine(volume.affine, volume.shape)
    first_mm = float((affine @ [0, (height - 1) / 2, (width - 1) / 2, 1])[2])
    step_mm = float(affine[2, 0])
    # A tilted slice has other heights at its edges than at its centre.
    half_range_mm = float(np.abs(affine[2, 1:3]) @ [(height - 1) / 2, (width - 1) / 2])
    if half_range_mm > MOST_AMBIGUITY * abs(step_mm):
        raise FileError(
            path,
            f"has tilted slices ({tilt_deg(volume):.1f} degrees): heights within one slice differ by up to "
            f"{half_range_mm:.1f} mm from that of its centre, more than half the step of {abs(step_mm):.2g} mm, so "
            f"that lesion_z_mm={z_mm:g} alone is ambiguous; give a point ({', '.join(POINT_COLUMNS)}), "
            "lesion_instance or lesion_slice",
        )
    index = (z_mm - first_mm) / step_mm
    if not -0.5 <= index <= n_slices - 0.5:
        last_mm = first_mm + (n_slices - 1) * step_mm
        raise FileError(
            path,
            f"has axial slices from z = {first_mm:.1f} to {last_mm:.1f} mm; lesion_z_mm={z_mm:g} is outside: "
            "correct it",
        )
    return index


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
