"""DICOM series, radiotherapy plans and contours of one patient, identified by their headers."""

import math
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sklearn_pspd.cohort.image_files import classify_entries, folder_entries
from sklearn_pspd.loading.dicom import object_without_image, read_header
from sklearn_pspd.loading.errors import FileProblems, reading

HEADER_TAGS = [
    "SOPClassUID", "Modality", "SeriesDescription", "StudyDate", "StudyDescription", "FrameOfReferenceUID", "Rows",
    "Columns",
]  # fmt: skip
SAME_SLICE_MM = 0.01


class Series(NamedTuple):
    """A DICOM series, described by the header of the first image in its folder, or else of the first DICOM file."""

    folder: str
    files: tuple[str, ...]
    modality: str
    description: str
    study: str
    study_date: object
    frame_uid: str


class Contour(NamedTuple):
    """Centre of a contour's largest slice, in mm to the right, the front and the head, and its frame of reference."""

    x_mm: float
    y_mm: float
    z_mm: float
    frame_uid: str

    @property
    def point_mm(self):
        """The three coordinates (RAS)."""
        return self[:3]


def index_series(folder):
    """List the DICOM series below a folder, one per folder with files, in the order of the folder names.

    What is passed over, and what is an error, is as in :class:`~sklearn_pspd.loading.SliceStackLoader`; all errors are
    listed.
    """
    problems = FileProblems()
    folders = sorted({entry.parent for entry in Path(folder).resolve().rglob("*") if not entry.is_dir()})
    found = [_read_series(folder, problems) for folder in folders]
    problems.raise_any()
    return [series for series in found if series is not None]


def read_prescriptions(series):
    """Return the distinct pairs of total dose in Gy and number of fractions in the plans of a patient.

    A number is NaN if a plan states none or several.
    """
    found = []
    for file in _files_of(series, "RTPLAN"):
        with reading(file):
            plan = read_header(file)
            dose_gy = _single(plan.get("DoseReferenceSequence"), "TargetPrescriptionDose")
            fractions = _single(plan.get("FractionGroupSequence"), "NumberOfFractionsPlanned")
        found.append((dose_gy, fractions))
    return list({repr(pair): pair for pair in found}.values())


def read_contours(series, name):
    """Return the contour of a region, such as "FU_1_CE", from each structure set that contains it."""
    found = []
    for file in _files_of(series, "RTSTRUCT"):
        with reading(file):
            found += _contours_of(read_header(file), name)
    return found


def _files_of(series, modality):
    return [file for entry in series if entry.modality == modality for file in entry.files]


def _read_series(folder, problems):
    """Return the series of a folder; None if it has no DICOM file. Entries that cannot be used are problems."""
    with problems.collecting(folder):
        content = classify_entries(folder_entries(folder))
        for path, text in content.problems:
            problems.add(path, text)
        if content.dicom:
            return _describe_series(folder, content.dicom)
    return None


def _describe_series(folder, files):
    header = None
    for file in files:
        with reading(file):
            candidate = read_header(file, specific_tags=HEADER_TAGS)
        if not object_without_image(candidate):
            header = candidate
            break
        header = header or candidate
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
    centres: dict[tuple[int, float], list] = {}
    for item in structures.get("ROIContourSequence") or []:
        number = int(item.ReferencedROINumber)
        for contour in item.get("ContourSequence") or []:
            if number in frames:
                points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
                # In a tilted stack the points of one slice differ in height; their mean identifies the slice.
                z_mm = round(points[:, 2].mean() / SAME_SLICE_MM) * SAME_SLICE_MM
                slices = areas.setdefault(number, {})
                slices[z_mm] = slices.get(z_mm, 0.0) + _area_mm2(points)
                # Any mean of the points lies in their slice. DICOM's x and y run to the left and to the back.
                centres.setdefault((number, z_mm), []).append(points.mean(axis=0) * [-1, -1, 1])
    found = []
    for number, slices in areas.items():
        z_mm = min(slices, key=lambda height: (-slices[height], height))
        centre = np.round(np.mean(centres[number, z_mm], axis=0), 2) + 0.0
        found.append(Contour(*map(float, centre), frames[number]))
    return found


def _area_mm2(points):
    """Return the area that a closed polygon encloses, seen from above."""
    x, y = points[:, 0], points[:, 1]
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
