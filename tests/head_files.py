"""One head of known voxels, written as NIfTI and DICOM files in any orientation, and the stack that it must give."""

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel import orientations
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from sklearn_pspd.cohort import POSITION_COLUMNS
from sklearn_pspd.loading import SliceStackLoader

# The voxels of all synthetic files: slices from feet to head, rows from front to back, columns from right to left.
SHAPE = (12, 11, 10)
STEPS_MM = (1.5, 0.9, 1.1)
HEAD = np.random.default_rng(7).integers(0, 900, SHAPE).astype(np.int16)
FIRST_MM = (-20.0, 30.0, 25.0)  # z, y, x in RAS of the first voxel
HEAD_AFFINE = np.array(
    [
        [0, 0, -STEPS_MM[2], FIRST_MM[2]],
        [0, -STEPS_MM[1], 0, FIRST_MM[1]],
        [STEPS_MM[0], 0, 0, FIRST_MM[0]],
        [0, 0, 0, 1],
    ]
)
MIDDLE = 5
ALL_CODES = ["".join(code) for order in permutations(("LR", "PA", "IS")) for code in product(*order)]


def tilt_about_x(affine, degrees):
    angle = np.radians(degrees)
    rotation = np.eye(4)
    rotation[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return rotation @ affine


def write_nifti(path, code="LAS", voxels=HEAD, affine=HEAD_AFFINE):
    transform = orientations.ornt_transform(orientations.io_orientation(affine), orientations.axcodes2ornt(code))
    stored = orientations.apply_orientation(voxels, transform)
    nib.save(nib.Nifti1Image(stored, affine @ orientations.inv_ornt_aff(transform, voxels.shape)), path)
    return str(path)


def patch_nifti(path, offset, values):
    """Overwrite header bytes directly, because nibabel would keep the header consistent."""
    content = bytearray(Path(path).read_bytes())
    content[offset : offset + values.nbytes] = values.tobytes()
    Path(path).write_bytes(content)
    return path


def mr_header(series="1.2.3"):
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = MRImageStorage
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    header.SeriesInstanceUID = series
    header.Modality = "MR"
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit = 15
    header.PixelRepresentation = 1
    return header


def set_pixels(header, pixels):
    header.Rows, header.Columns = pixels.shape[-2:]
    header.PixelData = np.ascontiguousarray(pixels, dtype="<i2").tobytes()


def write_dicom(folder, plane="axial", voxels=HEAD, affine=HEAD_AFFINE, change=None, order=None):
    """Write single-frame files with uninformative names; ``change(header, index)`` may alter or drop (False) a file."""
    folder.mkdir(parents=True, exist_ok=True)
    # Directions of the axes (slices, rows, columns) of the files.
    code = {"axial": "SPL", "sagittal": "RIP", "coronal": "PIL", "axial_down": "IPL"}[plane]
    transform = orientations.ornt_transform(orientations.io_orientation(affine), orientations.axcodes2ornt(code))
    stored = orientations.apply_orientation(voxels, transform)
    grid = np.diag([-1, -1, 1, 1]) @ affine @ orientations.inv_ornt_aff(transform, voxels.shape)
    steps = np.linalg.norm(grid[:3, :3], axis=0)
    names = np.random.default_rng(1).permutation(len(stored)) if order is None else order
    for index, pixels in enumerate(stored):
        header = mr_header()
        header.PixelSpacing = [f"{steps[1]:.9g}", f"{steps[2]:.9g}"]
        cosines = np.concatenate([grid[:3, 2] / steps[2], grid[:3, 1] / steps[1]])
        header.ImageOrientationPatient = [f"{value:.9g}" for value in cosines]
        header.ImagePositionPatient = [f"{value:.9g}" for value in (grid @ [index, 0, 0, 1])[:3]]
        header.SliceThickness = "2.5"
        set_pixels(header, pixels)
        if change is None or change(header, index) is not False:
            header.save_as(folder / f"{names[index]:04d}.dcm", enforce_file_format=True)
    return str(folder)


def write_enhanced(path, drop=()):
    header = mr_header()
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    order = np.random.default_rng(3).permutation(len(HEAD))
    frames = []
    for index in order:
        position, value = Dataset(), Dataset()
        position.ImagePositionPatient = list(np.array([-1, -1, 1]) * (HEAD_AFFINE @ [index, 0, 0, 1])[:3])
        value.RescaleSlope, value.RescaleIntercept = str(1 + index), "2"
        frame = Dataset()
        frame.PlanePositionSequence = Sequence([position])
        frame.PixelValueTransformationSequence = Sequence([value])
        frames.append(frame)
    orientation, measures, shared = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [STEPS_MM[1], STEPS_MM[2]], "2.5"
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    header.PerFrameFunctionalGroupsSequence = Sequence(frames[: len(frames) - len(drop)])
    header.NumberOfFrames = len(order)
    set_pixels(header, HEAD[order])
    header.save_as(path, enforce_file_format=True)
    return str(path)


def table(*images, **columns):
    ids = [f"P{i:02d}" for i in range(len(images))]
    return pd.DataFrame({"patient_id": ids, "image": list(images), **columns})


def load(image, **options):
    position = {name: [options.pop(name)] for name in POSITION_COLUMNS if name in options}
    options.setdefault("n_slices", 5)
    return SliceStackLoader(**options).fit_transform(table(image, **(position or {"lesion_slice": [MIDDLE]})))[0]


def assert_is_head(stack, first=MIDDLE - 2, n_slices=5):
    np.testing.assert_array_equal(stack.pixels, HEAD[first : first + n_slices].astype(np.float32))
    assert stack.pixels.dtype == np.float32
    assert stack.pixels.flags.c_contiguous
    assert stack.spacing_mm == pytest.approx(STEPS_MM[1:])
    assert stack.slice_spacing_mm == pytest.approx(STEPS_MM[0])
    assert stack.slice_indices == tuple(range(first, first + n_slices))
