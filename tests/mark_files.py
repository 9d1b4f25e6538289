"""Files that mark voxels of the synthetic head: DICOM segmentations, structure sets and points of 3D Slicer."""

import json

import numpy as np
from head_files import HEAD_AFFINE, SHAPE
from nibabel import orientations
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

SEG, LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
FRAME = "1.2.3.9"
CODES = {"axial": "SPL", "sagittal": "RIP", "coronal": "PIL", "axial_down": "IPL"}


def item(**values):
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def in_plane(mask, plane, affine=HEAD_AFFINE):
    """Return a mask (slices, rows, columns of the head) in the order of stored images, and its LPS affine."""
    code = CODES[plane]
    transform = orientations.ornt_transform(orientations.io_orientation(affine), orientations.axcodes2ornt(code))
    stored = orientations.apply_orientation(mask, transform)
    return stored, np.diag([-1, -1, 1, 1]) @ affine @ orientations.inv_ornt_aff(transform, mask.shape)


def mark_header(kind, frame=FRAME):
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = kind
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    header.Modality = "RTSTRUCT" if kind == RTSTRUCT else "SEG"
    if frame:
        header.FrameOfReferenceUID = frame
    return header


def write_segmentation(
    path, masks, *, plane="axial", affine=HEAD_AFFINE, kind="BINARY", series="1.2.3", frame=FRAME, compress=False
):
    """Write a segmentation of {name: mask}, segments numbered from 1, with the frames that are not empty, shuffled."""
    header = mark_header(LABEL_MAP if kind == "LABELMAP" else SEG, frame)
    header.SegmentationType = kind
    header.SegmentSequence = Sequence([item(SegmentNumber=n, SegmentLabel=name) for n, name in enumerate(masks, 1)])
    if series:
        header.ReferencedSeriesSequence = Sequence([item(SeriesInstanceUID=series)])
    frames = []
    for number, mask in enumerate(masks.values(), start=1):
        stored, grid = in_plane(np.asarray(mask), plane, affine)
        frames += [(number, index, plane_mask) for index, plane_mask in enumerate(stored) if plane_mask.any()]
    if kind == "LABELMAP":
        stored = sum(n * in_plane(np.asarray(mask), plane, affine)[0] for n, mask in enumerate(masks.values(), 1))
        frames = [(None, index, labels) for index, labels in enumerate(stored)]
    frames = [frames[place] for place in np.random.default_rng(4).permutation(len(frames))]
    steps = np.linalg.norm(grid[:3, :3], axis=0)
    cosines = [float(f"{value:.9g}") for value in [*(grid[:3, 2] / steps[2]), *(grid[:3, 1] / steps[1])]]
    measures = item(PixelSpacing=[float(f"{steps[1]:.9g}"), float(f"{steps[2]:.9g}")], SliceThickness=1)
    header.SharedFunctionalGroupsSequence = Sequence(
        [
            item(
                PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=cosines)]),
                PixelMeasuresSequence=Sequence([measures]),
            )
        ]
    )
    groups = []
    for number, index, _ in frames:
        place = [float(f"{value:.9g}") for value in (grid @ [index, 0, 0, 1])[:3]]
        group = item(PlanePositionSequence=Sequence([item(ImagePositionPatient=place)]))
        if number is not None:
            group.SegmentIdentificationSequence = Sequence([item(ReferencedSegmentNumber=number)])
        groups.append(group)
    header.PerFrameFunctionalGroupsSequence = Sequence(groups)
    header.NumberOfFrames = len(frames)
    header.Rows, header.Columns = frames[0][2].shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.PixelRepresentation = 0
    pixels = np.stack([values for _, _, values in frames]).astype(np.uint8)
    if kind == "BINARY":
        header.BitsAllocated = header.BitsStored = 1
        header.HighBit = 0
        packed = np.packbits(pixels.ravel(), bitorder="little").tobytes()
        header.PixelData = packed + b"\0" * (len(packed) % 2)
    else:
        header.BitsAllocated = header.BitsStored = 8
        header.HighBit = 7
        if kind == "FRACTIONAL":
            header.MaximumFractionalValue = 200
            pixels = pixels * 120
        header.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    header["PixelData"].VR = "OB"
    if compress:
        header.compress(RLELossless)
    header.save_as(path, enforce_file_format=True)
    return str(path)


def outlines(mask, plane, affine=HEAD_AFFINE):
    """Return the outline of the rectangle that a mask is in each of its planes, in LPS mm."""
    stored, grid = in_plane(np.asarray(mask), plane, affine)
    found = []
    for index, values in enumerate(stored):
        if values.any():
            rows, columns = np.nonzero(values)
            low, high = (rows.min() - 0.4, columns.min() - 0.4), (rows.max() + 0.4, columns.max() + 0.4)
            corners = [(low[0], low[1]), (low[0], high[1]), (high[0], high[1]), (high[0], low[1])]
            found.append([(grid @ [index, row, column, 1])[:3] for row, column in corners])
    return found


def write_structures(path, regions, *, series="1.2.3", frame=FRAME, kind="CLOSED_PLANAR"):
    """Write a structure set of {name: contours}, each contour a list of points in LPS mm; numbers begin at 7."""
    header = mark_header(RTSTRUCT, None)
    studies = [item(RTReferencedSeriesSequence=Sequence([item(SeriesInstanceUID=series)]))] if series else []
    header.ReferencedFrameOfReferenceSequence = Sequence([item(RTReferencedStudySequence=Sequence(studies))])
    header.StructureSetROISequence, header.ROIContourSequence = Sequence(), Sequence()
    for number, (name, contours) in enumerate(regions.items(), start=7):
        region = item(ROINumber=number, ROIName=name)
        if frame:
            region.ReferencedFrameOfReferenceUID = frame
        header.StructureSetROISequence.append(region)
        made = [
            item(ContourGeometricType=kind, ContourData=[f"{value:.6g}" for value in np.ravel(points)])
            for points in contours
        ]
        header.ROIContourSequence.append(item(ReferencedROINumber=number, ContourSequence=Sequence(made)))
    header.save_as(path, enforce_file_format=True)
    return str(path)


def write_markups(path, points, system="LPS", **values):
    """Write a list of points of 3D Slicer; `points` are dicts with a position."""
    markup = {"type": "Fiducial", "coordinateSystem": system, "coordinateUnits": "mm", "controlPoints": points} | values
    path.write_text(json.dumps({"@schema": "https://example.org/markups-schema-v1.0.3.json#", "markups": [markup]}))
    return str(path)


def box(slices, rows, columns):
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[slices, rows, columns] = 1
    return mask


def ras_of(voxel, affine=HEAD_AFFINE):
    return tuple(float(value) for value in (affine @ [*voxel, 1])[:3])
