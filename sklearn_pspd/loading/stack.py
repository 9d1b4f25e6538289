"""The slice stack of one patient, and its decoding from image files."""

from dataclasses import dataclass
from types import NoneType
from typing import Any

import numpy as np
from nibabel import orientations

from .dicom import count_kinds
from .errors import FileError, FileProblems, ImageError
from .findings import FACT_NUMBERS, FACT_SUMMARIES, FACT_TEXTS, facts_of_header, is_allowed
from .geometry import canonical_shape, canonical_spacing, check_geometry, check_pixels, read_slices, tilt_deg
from .marks import check_mark, check_same_grid
from .position import middle_slice, open_volume, stack_indices
from .sequences import contradiction

# What a cache entry holds of a stack, and of the facts about its image; lists have items of one type.
_STACK_TYPES = {
    "spacing_mm": [float],
    "slice_spacing_mm": float,
    "patient_id": str,
    "source": str,
    "slice_indices": [float],
    "n_slices_in_source": int,
    "thickness_mm": float,
    "tilt_deg": float,
    "orientation": str,
    "further_sources": [str],
}
_FACT_TYPES = {
    "format": str,
    "n_slices_in_source": int,
    "height": int,
    "width": int,
    "slice_spacing_mm": float,
    "row_spacing_mm": float,
    "column_spacing_mm": float,
    "fov_height_mm": float,
    "fov_width_mm": float,
    "thickness_mm": float,
    "tilt_deg": float,
    "orientation": str,
    "n_passed_over": int,
    "passed_over": str,
    "further_images": str,
    **dict.fromkeys((*FACT_SUMMARIES, *FACT_TEXTS), (str, NoneType)),
    **dict.fromkeys(FACT_NUMBERS, (float, NoneType)),
}


@dataclass(frozen=True, eq=False)
class SliceStack:
    """Adjacent axial slices of one patient, in one orientation.

    Attributes
    ----------
    pixels : ndarray of shape (n_images * n_slices, height, width), dtype float32
        Slices run feet to head, rows front (anterior) to back, columns from the patient's right to the patient's left.
        The slices of a further image follow those of the image before.
    spacing_mm : tuple of float
        Distance in mm between adjacent rows, and between adjacent columns.
    slice_spacing_mm : float
        Distance in mm between adjacent slices of ``pixels``.
    patient_id : str
        The patient's ``patient_id`` in the cohort table.
    source : str
        Path of the NIfTI file, the DICOM file or the DICOM folder.
    slice_indices : tuple of float
        Position of each slice on the grid of the image, 0 at the feet; fractional if slices were interpolated.
    n_slices_in_source : int
        Number of axial slices of the image.
    thickness_mm : float
        Slice thickness from the DICOM header; NaN for NIfTI, which has no such field.
    tilt_deg : float
        Largest angle between an axis of the grid and its nearest body axis, in degrees.
    orientation : str
        Directions of the stored axes, such as ``"LAS"``; DICOM axes are in the order columns, rows, slices.
    further_sources : tuple of str
        Paths of the further images on the same grid.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.loading import SliceStack
    >>> stack = SliceStack(np.zeros((3, 11, 7), np.float32), (0.5, 1.0), 1.0, "P01", "P01.nii.gz")
    >>> stack.fov_mm
    (5.5, 7.0)
    """

    pixels: np.ndarray
    spacing_mm: tuple[float, float]
    slice_spacing_mm: float
    patient_id: str
    source: str
    slice_indices: tuple[float, ...] = ()
    n_slices_in_source: int = 0
    thickness_mm: float = float("nan")
    tilt_deg: float = 0.0
    orientation: str = ""
    further_sources: tuple[str, ...] = ()

    @property
    def n_images(self) -> int:
        """Number of images of the patient, of which the stack has the same slices."""
        return 1 + len(self.further_sources)

    @property
    def images(self) -> np.ndarray:
        """The pixels as an array of shape (n_images, n_slices, height, width)."""
        return self.pixels.reshape(self.n_images, -1, *self.pixels.shape[1:])

    @property
    def fov_mm(self) -> tuple[float, float]:
        """Height and width of a slice in mm, (n_rows * row spacing, n_columns * column spacing)."""
        return self.pixels.shape[1] * self.spacing_mm[0], self.pixels.shape[2] * self.spacing_mm[1]


def decode(patient_id, path, further, position, settings, identity):
    """Read the stack of one patient.

    ``further`` has (column, path) of each further image. ``identity`` lists (path, size, modification time) of the
    entries of the image's folder, or of its file, of the mask, of the JSON file beside the image, and of the files of
    each further image. It names the files to read, and as part of the cache key it makes a changed file be read again.
    """
    facts: dict[str, Any] = {}
    problems = FileProblems()
    try:
        with problems.collecting(path):
            volume = _open_checked(path, position, settings, [file for file, _, _ in identity[0]], facts)
            middle = middle_slice(path, volume, position, settings)
            indices = stack_indices(path, volume, middle, settings)
            pixels = read_slices(volume, indices)
            check_pixels(path, pixels, indices)
        if problems:
            # Without the image, further ones can only be opened: what is wrong with them is listed as well.
            for (_, other), (files, _) in zip(further, identity[3], strict=True):
                with problems.collecting(other):
                    open_volume(other, [file for file, _, _ in files])
            problems.raise_any()
        others, facts["further_images"] = _read_further(path, volume, further, indices, pixels, identity[3])
    except ImageError as error:
        # What had been read before the error still belongs in the quality-control table.
        error.facts = {**facts, **(error.facts or {})}
        raise
    # All checks passed: the stack, and the facts for the quality-control table.
    spacing = canonical_spacing(volume)
    stack = SliceStack(
        pixels=np.concatenate([pixels, *others]) if others else pixels,
        spacing_mm=(spacing[1], spacing[2]),
        slice_spacing_mm=settings.slice_spacing_mm or spacing[0],
        patient_id=patient_id,
        source=path,
        slice_indices=tuple(float(index) for index in indices),
        n_slices_in_source=facts["n_slices_in_source"],
        thickness_mm=volume.thickness_mm,
        tilt_deg=facts["tilt_deg"],
        orientation=facts["orientation"],
        further_sources=tuple(other for _, other in further),
    )
    return stack, facts


def entry_of_stack(stack, facts):
    """Return what :func:`decode` found as the description and the array of a cache entry."""
    fields = {name: getattr(stack, name) for name in _STACK_TYPES}
    return {"stack": fields, "facts": facts}, stack.pixels


def stack_of_entry(description, pixels, n_slices):
    """Return what :func:`decode` found from a cache entry; None if it holds anything else."""
    parts = description.get("stack"), description.get("facts")
    types = pixels.dtype == np.float32 and pixels.ndim == 3 and len(pixels) == n_slices
    if not types or not _has_types(parts[0], _STACK_TYPES) or not _has_types(parts[1], _FACT_TYPES):
        return None
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in parts[0].items()}
    return SliceStack(pixels, **fields), parts[1]


def _has_types(values, types):
    if not isinstance(values, dict) or values.keys() != types.keys():
        return False
    return all(_has_type(value, types[name]) for name, value in values.items())


def _has_type(value, kind):
    if isinstance(kind, list):
        return isinstance(value, list) and all(_has_type(item, kind[0]) for item in value)
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return type(value) in kinds or (float in kinds and type(value) is int)


def _open_checked(path, position, settings, files, facts):
    """Return the volume of an image and add its facts; problems of image and mask are listed together."""
    problems = FileProblems()
    volume = None
    with problems.collecting(path):
        volume = open_volume(path, files)
        facts.update(_facts_of_volume(volume))
        check_geometry(path, volume, settings)
    with problems.collecting(path):
        check_sequence(path, {**problems.facts, **facts}, settings)
    if position[0] == "lesion_mask":
        with problems.collecting(position[1]):
            check_mark(position[1], settings)
    problems.raise_any()
    return volume


def _read_further(path, volume, further, indices, pixels, identities):
    """Return the same slices of each further image, and what kinds of image these are; all problems are listed."""
    problems, read, kinds = FileProblems(), [], []
    for (column, other), (files, _) in zip(further, identities, strict=True):
        with problems.collecting(other):
            opened = open_volume(other, [file for file, _, _ in files])
            _check_registered(path, volume, other, opened)
            slices = read_slices(opened, indices)
            check_pixels(other, slices, indices)
            if any(np.array_equal(slices, known) for known in (pixels, *read)):
                raise FileError(other, f"has the same pixels as another image of the patient; correct {column!r}")
            read.append(slices)
            kinds.append(f"{column}: {facts_of_header(opened.facts)['weighting'] or 'unknown'}")
    problems.raise_any()
    return read, "; ".join(kinds)


def _check_registered(path, volume, other, opened):
    """Refuse a further image on another grid, or with coordinates that those of the first do not correspond to."""
    check_same_grid(path, volume, other, opened, advice="register and resample it to the grid of that image")
    frames = volume.facts.get("frame_uid"), opened.facts.get("frame_uid")
    if all(frames) and frames[0] != frames[1]:
        raise FileError(
            other,
            f"has another frame of reference than {path}, so that equal coordinates are not the same place; register "
            "it to that image",
        )


def check_sequence(path, facts, settings):
    """Refuse images that clearly are not T1-weighted MR images, unless their kind is allowed."""
    if not facts.get("facts_from"):
        return
    kind, detail = contradiction(facts)
    if kind and not is_allowed(kind, settings.allow_sequence):
        name = f" of the series {facts['description']!r}" if facts["description"] else ""
        raise FileError(
            path,
            f"is no T1-weighted series but {kind} ({detail}){name}; give the post-contrast T1 series, or set "
            f"allow_sequence=[{kind!r}] if it is the wanted one",
        )


def _facts_of_volume(volume):
    shape, spacing = canonical_shape(volume), canonical_spacing(volume)
    return {
        "format": volume.format,
        "n_slices_in_source": shape[0],
        "height": shape[1],
        "width": shape[2],
        "slice_spacing_mm": spacing[0],
        "row_spacing_mm": spacing[1],
        "column_spacing_mm": spacing[2],
        "fov_height_mm": shape[1] * spacing[1],
        "fov_width_mm": shape[2] * spacing[2],
        "thickness_mm": volume.thickness_mm,
        "tilt_deg": tilt_deg(volume),
        "orientation": "".join(orientations.aff2axcodes(volume.affine)),
        "n_passed_over": len(volume.passed_over),
        "passed_over": count_kinds(volume.passed_over),
        **facts_of_header(volume.facts),
    }


def facts_of_stack(stack):
    """Return the columns of the quality-control table that a decoded stack adds."""
    return {
        "slice_spacing_mm": stack.slice_spacing_mm,
        "slices": " ".join(f"{index:g}" for index in stack.slice_indices),
        "intensity_min": float(stack.pixels.min()),
        "intensity_max": float(stack.pixels.max()),
    }
