"""NIfTI files as volumes."""

from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip
from nibabel import orientations
from nibabel.arrayproxy import ArrayProxy

from sklearn_pspd.cohort.image_files import NIFTI, image_format, is_gzip

from .errors import ImageError, reading
from .geometry import Volume


def open_nifti(path):
    """Open a NIfTI file as a volume without reading its pixels."""
    # The header: one 3-D volume of grey values with a stated place in the scanner.
    _check_nifti_content(path)
    with reading(path):
        image = nib.load(path)
        header, shape = image.header, image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise ImageError(f"{path} is {len(shape)}-D, of shape {shape}; give one 3-D volume")
    if header.get_data_dtype().kind not in "iuf":
        raise ImageError(f"{path} has voxels of type {header.get_data_dtype()}; give one grey value per voxel")
    _check_nifti_frame(path, image)
    trailing = (0,) * (len(image.shape) - 3)

    # The pixels: read as far as the last slice that is needed, so that the rest of a compressed file is not unpacked.
    def read(axis, indices):
        key = [slice(None)] * 3
        key[axis] = slice(int(indices.min()), int(indices.max()) + 1)
        stored = image.dataobj
        form = (stored.shape, stored.dtype, stored.offset, stored.slope, stored.inter)
        opener = igzip.open if is_gzip(path) else open
        with reading(path), opener(path, "rb") as file:
            block = np.asanyarray(ArrayProxy(file, form)[(*key, *trailing)])
        if np.array_equal(indices, np.arange(indices[0], indices[0] + len(indices))):
            return block
        return block.take(indices - indices.min(), axis)

    return Volume(shape, image.affine, float("nan"), "NIfTI", read)


def _check_nifti_content(path):
    """Refuse files that are not NIfTI, and files shorter than their header states."""
    with reading(path):
        compressed = is_gzip(path)
        is_nifti = image_format(path) == NIFTI
    if not is_nifti:
        raise ImageError(f"{path} is neither a NIfTI file nor a DICOM file; give one of these or a DICOM folder")
    with reading(path):
        image = nib.load(path)
        expected = int(image.dataobj.offset) + int(np.prod(image.shape)) * image.header.get_data_dtype().itemsize
        found = _uncompressed_size(path, expected) if compressed else Path(path).stat().st_size
    if found < expected:
        raise ImageError(f"{path} is truncated: it has {found} of {expected} bytes; copy or export it again")


def _uncompressed_size(path, expected):
    """Return the length of a gzip file's content; unpack the file only if its trailer does not state ``expected``."""
    with Path(path).open("rb") as file:
        file.seek(-4, 2)
        if int.from_bytes(file.read(4), "little") == expected % 2**32:
            return expected
    size = 0
    with igzip.open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            size += len(chunk)
    return size


def _check_nifti_frame(path, image):
    """Refuse a volume without orientation or voxel spacing, or whose qform and sform disagree."""
    header = image.header
    qform_code, sform_code = int(header["qform_code"]), int(header["sform_code"])
    if qform_code == 0 and sform_code == 0:
        raise ImageError(f"{path} has no orientation (qform_code and sform_code are 0); convert it again")
    if header.get_xyzt_units()[0] not in ("mm", "unknown"):
        raise ImageError(f"{path} has coordinates in {header.get_xyzt_units()[0]}s; convert them to mm")
    matrix = image.affine[:3, :3]
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(matrix)) < 1e-9:
        raise ImageError(f"{path} has no valid voxel spacing: its affine is singular; convert it again")
    if qform_code and sform_code:
        with reading(path):
            codes = ["".join(orientations.aff2axcodes(form)) for form in (header.get_qform(), header.get_sform())]
        if codes[0] != codes[1]:
            raise ImageError(
                f"{path} has two orientations, {codes[0]} in its qform and {codes[1]} in its sform; convert it again"
            )
