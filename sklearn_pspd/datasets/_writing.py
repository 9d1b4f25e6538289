"""Writers of the images of the synthetic cohort: NIfTI volumes and folders of DICOM slices."""

import gzip

import nibabel as nib
import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import DS

ORIENTATIONS = {"RAS": (1, 1), "LAS": (-1, 1), "LPS": (-1, -1)}  # signs of the first two voxel axes in RAS+ space
RESCALE_SLOPE, RESCALE_INTERCEPT = 0.5, -64.0


def write_nifti(path, volume, affine, orientation):
    """Write a RAS+ volume in another orientation; its affine is adapted, so that world coordinates do not change."""
    for axis, sign in enumerate(ORIENTATIONS[orientation]):
        if sign < 0:
            mirror = np.eye(4)
            mirror[axis, axis], mirror[axis, 3] = -1, volume.shape[axis] - 1
            volume, affine = np.flip(volume, axis), affine @ mirror
    image = nib.Nifti1Image(volume, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))


def write_dicom(folder, volume, affine, scan, patient_id, entropy, rng):
    """Write a RAS+ volume as one file per slice, with names in random order."""
    folder.mkdir()
    series = [*map(str, entropy), patient_id]
    # The patient axes of DICOM point left and backwards, so both in-plane axes are reversed.
    last = affine @ [volume.shape[0] - 1, volume.shape[1] - 1, 0, 1]
    names = rng.permutation(volume.shape[2]) + 1
    for k, name in enumerate(names):
        pixels = (volume[::-1, ::-1, k].T - RESCALE_INTERCEPT) / RESCALE_SLOPE
        dataset = _dicom_header(scan, patient_id, series)
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[*series, "slice", str(k)])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.InstanceNumber = volume.shape[2] - k
        position = (-last[0], -last[1], last[2] + k * scan.thickness_mm)
        dataset.ImagePositionPatient = [DS(float(value), auto_format=True) for value in position]
        dataset.PixelData = np.ascontiguousarray(pixels.astype("<i2")).tobytes()
        dataset.save_as(folder / f"{name:05d}.dcm", enforce_file_format=True)


def _dicom_header(scan, patient_id, series):
    """Return the part of the header that is the same in all slices of a patient."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = MRImageStorage
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(dataset, keyword, generate_uid(entropy_srcs=[*series, keyword]))
    dataset.PatientID = dataset.PatientName = patient_id
    dataset.Modality = "MR"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.SeriesDescription = "Synthetic T1 after contrast"
    dataset.MagneticFieldStrength = scan.field_t
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [DS(scan.fov_mm / scan.matrix_px, auto_format=True)] * 2
    dataset.SliceThickness = dataset.SpacingBetweenSlices = scan.thickness_mm
    dataset.Rows = dataset.Columns = scan.matrix_px
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = RESCALE_SLOPE, RESCALE_INTERCEPT, "US"
    return dataset
