"""DICOM series, radiotherapy plans and contours of one patient, identified by their headers."""

import math
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom

from sklearn_pspd.loading.dicom import is_dicom
from sklearn_pspd.loading.errors import reading

HEADER_TAGS = ["Modality", "SeriesDescription", "StudyDate", "StudyDescription", "FrameOfReferenceUID"]
SAME_SLICE_MM = 0.01


class Series(NamedTuple):
    """A DICOM series, described by the header of the first DICOM file in its folder."""

    folder: str
    files: tuple[str, ...]
    modality: str
    description: str
    study: str
    study_date: object
    frame_uid: str


class Contour(NamedTuple):
    """Height of the largest slice of a contour, in mm towards the head, and its frame of reference."""

    z_mm: float
    frame_uid: str


def index_series(folder):
    """List the DICOM series below a folder, one per folder with files, in the order of the folder names."""
    folders = sorted({file.parent for file in Path(folder).resolve().rglob("*") if file.is_file()})
    return [series for folder in folders if (series := _read_series(folder)) is not None]


def read_prescriptions(series):
    """Return the distinct pairs of total dose in Gy and number of fractions in the plans of a patient.

    A number is NaN if a plan states none or several.
    """
    found = []
    for file in _files_of(series, "RTPLAN"):
        with reading(file):
            plan = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            dose_gy = _single(plan.get("DoseReferenceSequence"), "TargetPrescriptionDose")
            fractions = _single(plan.get("FractionGroupSequence"), "NumberOfFractionsPlanned")
        found.append((dose_gy, fractions))
    return list({repr(pair): pair for pair in found}.values())


def read_contours(series, name):
    """Return the contour of a region, such as "FU_1_CE", from each structure set that contains it."""
    found = []
    for file in _files_of(series, "RTSTRUCT"):
        with reading(file):
            found += _contours_of(pydicom.dcmread(file, stop_before_pixels=True, force=True), name)
    return found


def _files_of(series, modality):
    return [file for entry in series if entry.modality == modality for file in entry.files]


def _read_series(folder):
    files = [str(file) for file in sorted(folder.iterdir()) if file.is_file() and is_dicom(file)]
    if not files:
        return None
    with reading(files[0]):
        header = pydicom.dcmread(files[0], stop_before_pixels=True, force=True, specific_tags=HEADER_TAGS)
    return Series(
        folder=str(folder),
        files=tuple(files),
        modality=str(header.get("Modality", "")),
        description=str(header.get("SeriesDescription", "")).strip(),
        study=str(header.get("StudyDescription", "")).strip(),
        study_date=_date(str(header.get("StudyDate", ""))),
        frame_uid=str(header.get("FrameOfReferenceUID", "")),
    )


def _date(text):
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None


def _single(sequence, keyword):
    """Return the number that is the same in all items of a sequence; NaN if there is none or they differ."""
    values = {float(item.get(keyword)) for item in sequence or [] if item.get(keyword) is not None}
    return values.pop() if len(values) == 1 else math.nan


def _contours_of(structures, name):
    frames = {
        int(item.ROINumber): str(item.get("ReferencedFrameOfReferenceUID", ""))
        for item in structures.get("StructureSetROISequence") or []
        if str(item.get("ROIName", "")).strip() == name
    }
    areas: dict[int, dict[float, float]] = {}
    for item in structures.get("ROIContourSequence") or []:
        number = int(item.ReferencedROINumber)
        for contour in item.get("ContourSequence") or []:
            if number in frames:
                points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
                # In a tilted stack the points of one slice differ in height; their mean identifies the slice.
                z_mm = round(points[:, 2].mean() / SAME_SLICE_MM) * SAME_SLICE_MM
                slices = areas.setdefault(number, {})
                slices[z_mm] = slices.get(z_mm, 0.0) + _area_mm2(points)
    return [
        Contour(round(min(slices, key=lambda z_mm: (-slices[z_mm], z_mm)), 2), frames[number])
        for number, slices in areas.items()
    ]


def _area_mm2(points):
    """Return the area that a closed polygon encloses, seen from above."""
    x, y = points[:, 0], points[:, 1]
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
