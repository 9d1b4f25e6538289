"""NIfTI files as volumes."""

import math
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from isal import igzip
from nibabel import orientations, quaternions
from nibabel.arrayproxy import ArrayProxy

from sklearn_pspd.cohort.image_files import (
    NIFTI,
    file_problem,
    header_of_pair,
    image_format,
    is_gzip,
    is_pair,
    nifti_mark,
    read_start,
    sidecar_of,
    voxels_of_pair,
)

from .errors import FileError, FileProblems, reading
from .findings import facts_of_header
from .geometry import MAX_SPACING_MM, MIN_SPACING_MM, SAME_SIZE, Volume
from .header_facts import sidecar_facts, words_of_name

HEADERS = {
    b"n+1\0": nib.Nifti1Header,
    b"ni1\0": nib.nifti1.Nifti1PairHeader,
    b"n+2\0": nib.Nifti2Header,
    b"ni2\0": nib.nifti2.Nifti2PairHeader,
}
FOREIGN_UNITS = {1: "meters", 3: "microns"}
MAX_DEFLATE_RATIO = 1032  # the deflate format packs at most so many bytes into one
QUATERNION_TOLERANCE = 1e-3


class _Voxels(NamedTuple):
    """Where and how the voxels of a NIfTI image are stored."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    slope: float
    inter: float


def open_nifti(path, *, is_mask=False):
    """Open a NIfTI file or pair as a volume without reading its pixels.

    The voxel size of a mask is not checked against its header: a mask is used on the grid of its image only.
    """
    header, stated_mm, voxels = _read_header(path)
    shape = voxels.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    # One 3-D volume of grey values with a stated place in the scanner; all that is wrong is listed.
    problems = FileProblems()
    if len(shape) != 3 or min(shape) < 1:
        problems.add(path, f"is {len(shape)}-D, of shape {shape}; give one 3-D volume")
    if voxels.dtype.kind not in "iuf":
        problems.add(path, f"has voxels of type {voxels.dtype}; give one grey value per voxel")
    with problems.collecting(path):
        affine = _affine(path, header, stated_mm, is_mask)
    with problems.collecting(voxels.path):
        _check_length(voxels)
    facts = {} if is_mask else _facts_of(path)
    if facts.get("modality") not in (None, "", "MR"):
        problems.add(
            path, f"has modality {facts['modality']} by {facts['facts_from']}; only MR is read: give an MR image"
        )
    problems.raise_any(facts_of_header(facts))
    trailing = (0,) * (len(voxels.shape) - 3)

    # The pixels: read as far as the last slice that is needed, so that the rest of a compressed file is not unpacked.
    def read(axis, indices):
        key = [slice(None)] * 3
        key[axis] = slice(int(indices.min()), int(indices.max()) + 1)
        opener = igzip.open if is_gzip(voxels.path) else open
        with reading(voxels.path), opener(voxels.path, "rb") as file, np.errstate(over="ignore", invalid="ignore"):
            block = np.asanyarray(ArrayProxy(file, voxels[1:])[(*key, *trailing)])
        if np.array_equal(indices, np.arange(indices[0], indices[0] + len(indices))):
            return block
        return block.take(indices - indices.min(), axis)

    return Volume(shape, affine, float("nan"), "NIfTI", read, facts=facts)


def _facts_of(path):
    """Return what the JSON file beside an image says of its series; empty if there is none."""
    sidecar = sidecar_of(path)
    if sidecar is None:
        return {}
    name = Path(sidecar).name
    try:
        facts, _ = sidecar_facts(path)
    # A JSON file that cannot be read says nothing, and is no fault of the image.
    except (ValueError, OSError) as error:
        return {"facts_problem": f"{name} cannot be read ({' '.join(str(error).split())})"}
    if not any(value not in ("", None) for value in facts.values()):
        return {}
    facts["description"] = " ".join(filter(None, [facts["description"], words_of_name(path)]))
    return {**facts, "sop_class": "", "facts_from": name}


def _read_header(path):
    """Return the header of a NIfTI image, its stated voxel size, and how its voxels are stored, here or beside it."""
    if problem := file_problem(path):
        raise FileError(path, f"{problem}; give a NIfTI file, a DICOM file or a DICOM folder")
    with reading(path):
        if image_format(path) != NIFTI:
            raise FileError(path, "is not a NIfTI file")
        header_path = header_of_pair(path) or str(path)
        start = read_start(header_path)
        if not is_pair(start):
            voxels_path = str(path)
        elif (voxels_path := voxels_of_pair(header_path)) is None:
            raise FileError(path, "is the header of a NIfTI pair without its voxels (.img) beside it; copy both files")
        kind = HEADERS[nifti_mark(start)]
        start = _first_bytes(header_path, kind.sizeof_hdr)
        header = kind(start)
        # The check of the header replaces voxel sizes of 0 by 1.
        stated_mm = np.abs(np.asarray(kind(start, check=False)["pixdim"][1:4], dtype=float))
        slope, inter = header.get_slope_inter()
        offset = header.get_data_offset()
        if offset < (0 if is_pair(start) else len(start) + 4):
            raise FileError(path, f"states that its voxels begin at byte {offset}, inside its header; convert it again")
        voxels = _Voxels(
            path=voxels_path,
            shape=tuple(map(int, header.get_data_shape())),
            dtype=header.get_data_dtype(),
            offset=int(offset),
            slope=1.0 if slope is None else slope,
            inter=0.0 if inter is None else inter,
        )
    return header, stated_mm, voxels


def _first_bytes(path, n_bytes):
    with (igzip.open if is_gzip(path) else open)(path, "rb") as file:
        return file.read(n_bytes)


def _check_length(voxels):
    """Refuse a file that is shorter than its header states, before anything is allocated."""
    expected = voxels.offset + math.prod(voxels.shape) * voxels.dtype.itemsize
    found = Path(voxels.path).stat().st_size
    if is_gzip(voxels.path):
        found = _uncompressed_size(voxels.path, expected, found)
    if found < expected:
        raise FileError(voxels.path, f"is truncated: it has {found} of {expected} bytes; copy or export it again")


def _uncompressed_size(path, expected, n_packed):
    """Return the length of a gzip file's content; unpack the file only if its trailer does not state ``expected``."""
    # A length that no file of this size can have needs no unpacking.
    if expected > MAX_DEFLATE_RATIO * n_packed:
        raise FileError(
            path,
            f"states {expected} bytes, which a compressed file of {n_packed} bytes cannot hold; it is truncated or its "
            "header is damaged: copy or export it again",
        )
    with Path(path).open("rb") as file:
        file.seek(-4, 2)
        if int.from_bytes(file.read(4), "little") == expected:
            return expected
    size = 0
    with igzip.open(path, "rb") as file:
        while size < expected and (chunk := file.read(1 << 20)):
            size += len(chunk)
    return size


def _affine(path, header, stated_mm, is_mask):
    """Return the affine of the sform or, without one, of the qform; refuse contradictions between the two."""
    problems = FileProblems()
    has_qform, has_sform = int(header["qform_code"]) > 0, int(header["sform_code"]) > 0
    if not has_qform and not has_sform:
        problems.add(path, "has no orientation (qform_code and sform_code are 0); convert it again")
    if (unit := FOREIGN_UNITS.get(int(header["xyzt_units"]) & 7)) is not None:
        problems.add(path, f"has coordinates in {unit}; convert them to mm")
    qform = _qform(header, stated_mm) if has_qform else None
    sform = header.get_sform() if has_sform else None
    affine = qform if sform is None else sform
    is_regular = affine is not None and _is_regular(affine)
    if (has_qform or has_sform) and not is_regular:
        problems.add(path, "has no valid voxel spacing: its affine is singular or not finite; convert it again")
    if is_regular and has_sform and not is_mask:
        _check_forms(path, stated_mm, qform, sform, problems)
    problems.raise_any()
    return affine


def _qform(header, sizes):
    """Return the affine of the qform; None if its quaternion or its voxel sizes are invalid.

    A quaternion may be longer than 1 by a rounding error, which nibabel's own function refuses.
    """
    vector = np.array([float(header[f"quatern_{axis}"]) for axis in "bcd"])
    rest = 1 - np.sum(vector**2)
    if not (np.isfinite(vector).all() and np.isfinite(sizes).all() and rest > -QUATERNION_TOLERANCE):
        return None
    rotation = quaternions.quat2mat([math.sqrt(max(rest, 0.0)), *vector])
    qfac = -1.0 if header["pixdim"][0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * (sizes * [1.0, 1.0, qfac])
    affine[:3, 3] = [float(header[f"qoffset_{axis}"]) for axis in "xyz"]
    return affine


def _is_regular(affine):
    """Return whether an affine has three independent axes of plausible voxel size."""
    if not np.isfinite(affine).all():
        return False
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if not (sizes.min() >= MIN_SPACING_MM and sizes.max() <= MAX_SPACING_MM):
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / sizes)) > 1e-3 and np.abs(affine[:3, 3]).max() < 1e6)


def _check_forms(path, stated, qform, sform, problems):
    """Add a problem if the sform contradicts the voxel size of the header, or the orientation of the qform."""
    # The qform takes its voxel size from pixdim, which is a statement even without a qform; 0 states nothing.
    sizes = np.linalg.norm(sform[:3, :3], axis=0)
    is_stated = np.isfinite(stated) & (stated > 0)
    if (np.abs(stated - sizes) > SAME_SIZE * sizes)[is_stated].any():
        problems.add(
            path,
            f"states two voxel sizes, {_sizes_text(stated)} mm in its pixdim{' and qform' if qform is not None else ''}"
            f" and {_sizes_text(sizes)} mm in its sform; convert it again",
        )
    if qform is None or not _is_regular(qform):
        return
    codes = ["".join(orientations.aff2axcodes(form)) for form in (qform, sform)]
    if codes[0] != codes[1]:
        problems.add(
            path, f"has two orientations, {codes[0]} in its qform and {codes[1]} in its sform; convert it again"
        )


def _sizes_text(sizes):
    return " x ".join(f"{size:.4g}" for size in sizes)
