"""Files that mark the lesion, and the axial slice that they mark: NIfTI masks, DICOM objects, points of 3D Slicer."""

from pathlib import Path

import numpy as np

from sklearn_pspd.cohort.image_files import DICOM, file_problem, image_format, path_problem, read_markups

from .dicom import read_header
from .dicom_marks import SEGMENTATIONS, STRUCTURES, open_segmentation, open_structures
from .errors import FileError, NoLesionError, reading
from .geometry import GRID_TOLERANCE, Volume, canonical_affine, canonical_shape, index_of_point, read_slices
from .nifti import open_nifti

LABEL_TOLERANCE = 1e-3
SHOWN_VALUES = 10
KINDS = "a NIfTI mask, a DICOM segmentation, an RT structure set, or a point of 3D Slicer (.mrk.json)"
_TO_RAS = {"RAS": (1, 1, 1), "LPS": (-1, -1, 1)}


def check_mark(path, settings):
    """Refuse a file that marks no lesion, as far as it can be told without the image."""
    _open_mark(path, settings.lesion_label)


def slice_of_mark(path, volume, mark_path, settings):
    """Return the axial slice of an image that a file marks, 0 at the feet.

    Parameters
    ----------
    path : str
        The image.
    volume : Volume
        Its volume.
    mark_path : str
        File that marks the lesion.
    settings : Settings
        Settings of the loader, with the label of the lesion.

    Returns
    -------
    float
        Index of the slice; that of a point may be fractional.
    """
    label = settings.lesion_label
    mark = _open_mark(mark_path, label)
    if isinstance(mark, tuple):
        return index_of_point(path, volume, mark)
    is_nifti = isinstance(mark, Volume)
    areas = _areas_of_nifti(path, volume, mark_path, mark, label) if is_nifti else mark.areas(path, volume)
    if not areas.any():
        raise NoLesionError(f"{mark_path} has no voxel of lesion_label={label!r}: correct one of them")
    return int(np.argmax(areas))


def open_mask(path, label):
    """Open the NIfTI mask of a lesion; other files that mark one say nothing about the plane of the slices."""
    mark = _open_mark(path, label)
    if not isinstance(mark, Volume):
        raise FileError(path, "is no NIfTI mask")
    return mark


def _open_mark(path, label):
    """Return a NIfTI mask as a volume, a DICOM object with its areas, or a point in RAS mm."""
    if problem := path_problem(path):
        raise FileError(path, problem)
    markups = None if Path(path).is_dir() else read_markups(path)
    if markups is not None:
        return _point_of(path, markups)
    if problem := file_problem(path):
        raise FileError(path, f"{problem}; give {KINDS}")
    with reading(path):
        if image_format(path) != DICOM:
            return _open_nifti_mask(path, label)
        kind = read_header(path, specific_tags=["SOPClassUID", "Modality"])
    uid = str(kind.get("SOPClassUID") or kind.file_meta.get("MediaStorageSOPClassUID") or "")
    if uid in SEGMENTATIONS:
        return open_segmentation(path, label)
    if uid == STRUCTURES:
        return open_structures(path, label)
    what = kind.get("Modality") or "no modality"
    raise FileError(path, f"is a DICOM file ({what}) that is neither a segmentation nor a structure set; give {KINDS}")


def _open_nifti_mask(path, label):
    if isinstance(label, str):
        raise FileError(path, f"is a NIfTI mask, whose labels are numbers; lesion_label={label!r} is a name")
    return open_nifti(path, is_mask=True)


def _areas_of_nifti(path, volume, mask_path, mask, label):
    """Return the number of voxels of the lesion in each axial slice."""
    check_same_grid(path, volume, mask_path, mask, advice="resample the mask to the grid of that image")
    labels = _whole_labels(mask_path, read_slices(mask, np.arange(canonical_shape(mask)[0])))
    areas = np.count_nonzero(labels == label, axis=(1, 2))
    if not areas.any():
        raise NoLesionError(
            f"{mask_path} has no voxel of lesion_label={label}; its values are {_values_text(labels)}: correct one of "
            "them"
        )
    return areas


def check_same_grid(path, volume, other_path, other, *, advice):
    """Refuse a mask or a further image on another grid than the image, up to a part of a voxel."""
    shape, other_shape = canonical_shape(volume), canonical_shape(other)
    affine = canonical_affine(volume.affine, volume.shape)
    other_affine = canonical_affine(other.affine, other.shape)
    corners = np.array([[i, j, k, 1] for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])])
    offsets_mm = (corners @ (other_affine - affine).T)[:, :3]
    offsets = offsets_mm @ np.linalg.inv(affine[:3, :3]).T  # in voxels of the image
    if other_shape != shape or np.abs(offsets).max() > GRID_TOLERANCE:
        raise FileError(
            other_path,
            f"has a different grid from {path}: {other_shape} and {shape} (slices, rows, columns), corners up to "
            f"{np.linalg.norm(offsets_mm, axis=1).max():.2f} mm apart; {advice}",
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


def _point_of(path, markups):
    """Return the only point of a file of 3D Slicer in RAS mm; of several, the only one that is selected."""
    points = []
    for markup in markups:
        points += _points_of_list(path, markup)
    if len(points) > 1 and sum(point["selected"] for point in points) == 1:
        points = [point for point in points if point["selected"]]
    if len(points) != 1:
        names = ", ".join(point["name"] for point in points[:SHOWN_VALUES])
        raise FileError(
            path,
            f"has {len(points)} points{f' ({names})' if names else ''}; leave the one that marks the lesion, or select "
            "only that one",
        )
    return points[0]["position"]


def _points_of_list(path, markup):
    """Return the points of one list that are placed, with name, position in RAS mm and whether each is selected."""
    kind = markup.get("type") if isinstance(markup, dict) else None
    if kind != "Fiducial":
        raise FileError(path, f"has markups of type {kind!r}; give a list of points (type 'Fiducial')")
    system, unit = markup.get("coordinateSystem"), markup.get("coordinateUnits", "mm")
    if system not in _TO_RAS:
        raise FileError(path, f"states the coordinate system {system!r}; it must be one of {', '.join(_TO_RAS)}")
    if unit not in ("mm", ["UCUM", "mm", "millimeter"]):
        raise FileError(path, f"states coordinates in {unit!r}; give mm")
    found = []
    for number, point in enumerate(markup.get("controlPoints") or [], start=1):
        if point.get("positionStatus", "defined") != "defined":
            continue
        position = np.array(point.get("position"), dtype=np.float64)
        if position.shape != (3,) or not np.isfinite(position).all():
            raise FileError(path, f"has the position {point.get('position')!r} in point {number}; give three numbers")
        name = repr(point.get("label") or point.get("id") or number)
        position = tuple(float(value) for value in position * _TO_RAS[system])
        found.append({"name": name, "position": position, "selected": bool(point.get("selected", True))})
    return found
