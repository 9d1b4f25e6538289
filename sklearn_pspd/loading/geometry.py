"""Volumes of any orientation, their geometry in the body axes, and their axial slices."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from nibabel import orientations

from .errors import FileError, FileProblems

STACK_AXES = ("S", "P", "L")  # slices feet -> head, rows front -> back, columns right -> left
GRID_TOLERANCE = 0.25  # of a voxel, between the grids of an image and of its mask
MAX_SHEAR_DEG = 2.0
SAME_SIZE = 0.01  # relative difference up to which two statements of a voxel size agree
MIN_SPACING_MM, MAX_SPACING_MM = 1e-3, 1e3
MAX_SIDE_PX = 4096


class Settings(NamedTuple):
    """Parameters of the loader that decide how an image is read."""

    n_slices: int
    slice_spacing_mm: float | None
    max_tilt_deg: float
    max_spacing_mm: float
    lesion_label: int | str
    # Kinds of sequence that are admitted though they are not T1-weighted; True for all of them.
    allow_sequence: bool | tuple[str, ...] = False
    decoder_version: int = 3  # part of the cache key: increase it when the same files give different pixels


@dataclass(frozen=True)
class Volume:
    """A grid of voxels that is read slice by slice; the affine maps stored indices to RAS mm.

    ``passed_over`` states what each entry of the folder is that is no part of the volume, ``facts`` what the header
    says about the series, and ``instances`` the DICOM InstanceNumber of each stored slice.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    thickness_mm: float
    format: str
    read: Callable[[int, np.ndarray], np.ndarray]
    passed_over: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    instances: tuple[int | None, ...] = ()


def _to_canonical(affine):
    """Return nibabel's orientation transform from the stored axes to (feet-head, front-back, right-left)."""
    return orientations.ornt_transform(orientations.io_orientation(affine), orientations.axcodes2ornt(STACK_AXES))


def canonical_affine(affine, shape):
    """Return the affine of the volume with its axes reoriented to (slices, rows, columns)."""
    return affine @ orientations.inv_ornt_aff(_to_canonical(affine), shape)


def canonical_shape(volume):
    """Return the numbers of slices, rows and columns."""
    order = np.argsort(_to_canonical(volume.affine)[:, 0])
    return tuple(int(volume.shape[axis]) for axis in order)


def canonical_spacing(volume):
    """Return the distances between adjacent slices, rows and columns in mm."""
    steps = np.linalg.norm(canonical_affine(volume.affine, volume.shape)[:3, :3], axis=0)
    return tuple(float(step) for step in steps)


def stored_slice_axis(volume):
    """Return the stored axis along which axial slices lie, and whether it runs from head to feet."""
    transform = _to_canonical(volume.affine)
    axis = int(np.flatnonzero(transform[:, 0] == 0)[0])
    return axis, bool(transform[axis, 1] < 0)


def canonical_indices(volume, points_mm):
    """Return the fractional indices (slice, row, column) of points in RAS mm, of shape (n, 3)."""
    points_mm = np.asarray(points_mm, dtype=np.float64)
    inverse = np.linalg.inv(canonical_affine(volume.affine, volume.shape))
    return points_mm @ inverse[:3, :3].T + inverse[:3, 3]


def index_of_point(path, volume, point_mm):
    """Return the fractional index of the axial slice in which a point in RAS mm lies, which must be in the volume."""
    shape = canonical_shape(volume)

    def is_inside(point):
        (index,) = canonical_indices(volume, [point])
        return bool(np.all((index >= -0.5) & (index <= np.array(shape) - 0.5)))

    if not is_inside(point_mm):
        x, y, z = point_mm
        mirrored = "; the point with opposite signs of x and y is inside: DICOM's coordinates (LPS) have other signs"
        raise FileError(
            path,
            f"does not contain the point of the lesion, x = {x:g}, y = {y:g}, z = {z:g} mm to the right, the front and "
            f"the head (RAS){mirrored if is_inside((-x, -y, z)) else ''}: correct it",
        )
    return float(canonical_indices(volume, [point_mm])[0, 0])


def tilt_deg(volume):
    """Return the largest angle between an axis of the volume and the corresponding body axis, in degrees."""
    directions = canonical_affine(volume.affine, volume.shape)[:3, :3] / np.array(canonical_spacing(volume))
    body = np.array([[0, 0, -1], [0, -1, 0], [1, 0, 0]], dtype=float)  # columns: towards head, back, left
    cosines = np.clip(np.sum(directions * body, axis=0), -1.0, 1.0)
    return float(np.degrees(np.arccos(cosines)).max())


def check_geometry(path, volume, settings):
    """Refuse a volume that is sheared, tilted or too coarse in the axial plane; everything is listed."""
    problems = FileProblems()
    # Shear: axes of the grid that are not perpendicular to each other.
    directions = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    cosines = np.abs(directions.T @ directions)[np.triu_indices(3, 1)]
    if cosines.max() > np.sin(np.radians(MAX_SHEAR_DEG)):
        problems.add(
            path,
            f"has axes that are not perpendicular ({90 - np.degrees(np.arcsin(cosines.max())):.1f} degrees); resample "
            "it to a rectangular grid first",
        )
    # Tilt: a grid that is rotated against the body axes.
    tilt = tilt_deg(volume)
    if tilt > settings.max_tilt_deg:
        problems.add(
            path,
            f"is tilted by {tilt:.1f} degrees from the body axes, more than max_tilt_deg={settings.max_tilt_deg:g}; "
            "reformat the volume axially or increase max_tilt_deg",
        )
    # Too few, too many or too coarse pixels in the axial plane, as in a volume of a few thick sagittal slices.
    _, height, width = canonical_shape(volume)
    if min(height, width) < settings.n_slices:
        problems.add(
            path,
            f"is {height} x {width} pixels in the axial plane, fewer than n_slices={settings.n_slices}, as if slices "
            "were missing; export the whole series",
        )
    if max(height, width) > MAX_SIDE_PX:
        problems.add(
            path, f"is {height} x {width} pixels in the axial plane; at most {MAX_SIDE_PX} x {MAX_SIDE_PX} are read"
        )
    _, row_mm, column_mm = canonical_spacing(volume)
    if max(row_mm, column_mm) > settings.max_spacing_mm:
        problems.add(
            path,
            f"has an axial pixel spacing of {row_mm:.3g} x {column_mm:.3g} mm, more than "
            f"max_spacing_mm={settings.max_spacing_mm:g}; use a finer series or increase max_spacing_mm",
        )
    problems.raise_any()


def read_slices(volume, indices):
    """Read axial slices as float32; at a fractional index, interpolate linearly between the two nearest slices."""
    # Read only the stored slices that are needed, in the order from feet to head.
    transform = _to_canonical(volume.affine)
    axis, is_reversed = stored_slice_axis(volume)
    lower = np.floor(indices).astype(int)
    native = np.union1d(lower, np.ceil(indices).astype(int))
    stored = volume.shape[axis] - 1 - native if is_reversed else native
    block = volume.read(axis, stored)
    # Reorient rows and columns; the slices are in order already, so their axis must not be flipped again.
    transform[axis, 1] = 1
    slices = orientations.apply_orientation(block, transform)
    with np.errstate(over="ignore"):  # check_pixels refuses values that float32 cannot hold
        slices = np.ascontiguousarray(slices, dtype=np.float32)
    # Interpolate where an index lies between two slices.
    fraction = (indices - lower).astype(np.float32)
    if not fraction.any():
        return slices
    below = slices[np.searchsorted(native, lower)]
    above = slices[np.searchsorted(native, np.ceil(indices).astype(int))]
    with np.errstate(over="ignore", invalid="ignore"):
        return below + (above - below) * fraction[:, None, None]


def check_pixels(path, pixels, indices):
    """Refuse slices with non-finite or constant pixels; all of them are listed."""
    problems = FileProblems()
    for index, image in zip(indices, pixels, strict=True):
        n_bad = image.size - np.count_nonzero(np.isfinite(image))
        if n_bad:
            problems.add(path, f"has {n_bad} non-finite pixels in axial slice {index:g}; export it again")
        elif image.min() == image.max():
            problems.add(
                path, f"has the constant value {image.flat[0]:g} in axial slice {index:g}; check the lesion position"
            )
    problems.raise_any()
