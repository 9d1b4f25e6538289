"""Small DICOM series, plans and structure sets, as in a radiotherapy archive."""

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

RTPLAN, RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.5", "1.2.840.10008.5.1.4.1.1.481.3"
SCANNER_FRAME = "1.2.826.0.1.3680043.8.498.1"
PLANNING_FRAME = "1.2.826.0.1.3680043.8.498.2"


def write_images(
    folder, date, description, *, study="", modality="MR", frame=SCANNER_FRAME, lowest_mm=-20.0, n_slices=11
):
    """Write axial slices of 16 x 14 pixels, 2 mm apart; each pixel is 1000 times the slice number, plus noise."""
    rng = np.random.default_rng(0)
    series = generate_uid()
    for number in range(n_slices):
        header = _header(MRImageStorage if modality == "MR" else CTImageStorage, modality, date, study)
        header.SeriesInstanceUID, header.FrameOfReferenceUID = series, frame
        header.SeriesDescription = description
        header.ImagePositionPatient, header.ImageOrientationPatient = (
            [-7, -8, lowest_mm + 2 * number],
            [1, 0, 0, 0, 1, 0],
        )
        header.PixelSpacing, header.SliceThickness = [1, 1], 2
        header.Rows, header.Columns = 16, 14
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 1
        pixels = 1000 * number + rng.integers(0, 9, (16, 14))
        header.PixelData = pixels.astype("<i2").tobytes()
        _save(header, folder, f"1-{number + 1:02d}.dcm")


def write_plan(folder, date, doses_gy=(60.0,), fractions=(30,)):
    """Write a plan with one dose reference per dose and one fraction group per number of fractions."""
    header = _header(RTPLAN, "RTPLAN", date, "Radiotherapy planning")
    header.DoseReferenceSequence = [_item(TargetPrescriptionDose=dose) for dose in doses_gy]
    header.FractionGroupSequence = [_item(NumberOfFractionsPlanned=number) for number in fractions]
    _save(header, folder, "1-1.dcm")


def write_structures(folder, date, regions, frame=PLANNING_FRAME):
    """Write a structure set; `regions` is {name: [(height in mm, side length of a square), ..]}."""
    header = _header(RTSTRUCT, "RTSTRUCT", date, "Radiotherapy planning")
    header.StructureSetROISequence, header.ROIContourSequence = [], []
    for number, (name, squares) in enumerate(regions.items(), start=1):
        header.StructureSetROISequence.append(
            _item(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=frame)
        )
        contours = [
            _item(ContourData=[c for x, y in ((0, 0), (side, 0), (side, side), (0, side)) for c in (x, y, z_mm)])
            for z_mm, side in squares
        ]
        header.ROIContourSequence.append(_item(ReferencedROINumber=number, ContourSequence=contours))
    _save(header, folder, "1-1.dcm")


def write_object(path, kind, modality):
    """Write a DICOM object without an image."""
    _save(_header(kind, modality, "2015-01-01", ""), path.parent, path.name)


def _item(**values):
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _header(kind, modality, date, study):
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = kind
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    header.Modality, header.StudyDate, header.StudyDescription = modality, date.replace("-", ""), study
    return header


def _save(header, folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(folder / name, header, enforce_file_format=True)
