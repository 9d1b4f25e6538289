"""Headers of image files: the facts of a series, and the place and time of each image."""

import json
import os
import re
import stat
from operator import mul
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pydicom
from isal import igzip
from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID

from sklearn_pspd.cohort.image_files import DICOM, NIFTI, describe_start, format_of_start, placeholder_of
from sklearn_pspd.loading.dicom import object_without_image
from sklearn_pspd.loading.errors import FileError, ImageError, reading
from sklearn_pspd.loading.header_facts import (
    FACT_KEYWORDS,
    bids_entities,
    dicom_facts,
    first_number,
    found_value,
    parse_time,
    sidecar_facts,
    to_numbers,
    to_text,
    words_of_name,
)

from .scanning import scan_header

_OF_IMAGES = (
    "SOPInstanceUID", "ImagePositionPatient", "InstanceNumber", "AcquisitionDateTime", "AcquisitionDate",
    "AcquisitionTime", "ContentDate", "ContentTime",
)  # fmt: skip
_OF_SERIES = (
    *FACT_KEYWORDS, "SpecificCharacterSet", "SOPClassUID", "Rows", "Columns", "PixelSpacing", "ImageOrientationPatient",
    "NumberOfFrames", "SeriesDate", "SeriesTime", "StudyTime",
)  # fmt: skip
_SEQUENCES = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_TAGS = [*_OF_SERIES, *_OF_IMAGES, *_SEQUENCES]
_SERIES_TAGS = [tag_for_keyword(keyword) for keyword in _OF_SERIES]
_IMAGE_TAGS = {keyword: tag_for_keyword(keyword) for keyword in _OF_IMAGES}
_SCANNED = frozenset([*_SERIES_TAGS, *_IMAGE_TAGS.values()])
_N_FRAMES = tag_for_keyword("NumberOfFrames")
_GZIP = b"\x1f\x8b"
_START_BYTES = 352
_IMAGE_SUFFIXES = (".dcm", ".dicom", ".ima", ".nii", ".nii.gz")


class Image(NamedTuple):
    """One image file of a series.

    Attributes
    ----------
    path : str
        The file.
    uid : str
        SOPInstanceUID, which copies of a file have in common; empty if it has none.
    heights : list of float
        Position of each frame along the slice normal, in mm; empty if unknown.
    acquired : str
        Date and time as digits, for example "20240131101500"; empty if unknown.
    """

    path: str
    uid: str
    heights: list
    acquired: str


class _Entry(NamedTuple):
    """Images of one series with the same facts, and the normal of their slices."""

    facts: dict
    normal: list | None
    images: list


def read_files(paths, root):
    """Read the headers of files and gather those of each series.

    Parameters
    ----------
    paths : list of str
        Files.
    root : str
        Folder below which they lie; the patients of NIfTI files are named by the folders in it.

    Returns
    -------
    dict
        ``series``: list of [facts, images]; the images of a list have exactly these facts. ``passed_over``: number of
        files of each kind that are no images. ``unreadable``: list of [path, reason]. JSON can hold it.
    """
    # Entries of series by their facts, and the same entries by the bytes of their headers.
    entries, decoded = {}, {}
    passed_over, unreadable = {}, []
    for path in paths:
        try:
            with reading(path):
                what = _read_file(path, root, entries, decoded)
        except ImageError as error:
            unreadable.append([path, getattr(error, "text", str(error))])
            continue
        if what:
            passed_over[what] = passed_over.get(what, 0) + 1
    series = [[entry.facts, entry.images] for entry in entries.values()]
    return {"series": series, "passed_over": passed_over, "unreadable": unreadable}


def _read_file(path, root, entries, decoded):
    """Add an image to the entry of its series; return what a file is that is no image."""
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return "pipe or device"
        start = file.read(_START_BYTES)
        file.seek(0)
        stream = file
        if start.startswith(_GZIP):
            stream = igzip.open(file)
            start = stream.read(_START_BYTES)
            stream.seek(0)
        kind = format_of_start(start)
        if kind == DICOM:
            return _read_dicom(path, stream, entries, decoded)
    if kind == NIFTI:
        facts, image = read_nifti(path, root)
        _entry(entries, facts).images.append(image)
        return ""
    what = describe_start(start) or "file of unknown content"
    if placeholder := placeholder_of(start):
        raise FileError(path, f"is a placeholder of {placeholder} for a file that was not fetched; fetch it")
    name = Path(path).name.lower()
    claims_to_be_image = name.endswith(_IMAGE_SUFFIXES) or ("." not in name and what == "empty file")
    if claims_to_be_image and not name.startswith("."):
        raise FileError(path, f"is no image ({what}); export it again")
    return "voxels of a NIfTI pair" if name.endswith((".img", ".img.gz")) else what


def _open_at_once(path, flags):
    """Open a file without waiting for what a pipe may never bring."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_dicom(path, stream, entries, decoded):
    # Decoding is what takes the time, so facts are decoded once for all images in which they have the same bytes.
    found = scan_header(stream, _SCANNED)
    key = None
    if found is not None and _N_FRAMES not in found:
        key = tuple(map(found.get, _SERIES_TAGS))
        if key in decoded:
            values = {name: _decoded(found.get(tag)) for name, tag in _IMAGE_TAGS.items()}
            decoded[key].images.append(_image(path, decoded[key], values, [values["ImagePositionPatient"]]))
            return ""
    stream.seek(0)
    header = pydicom.dcmread(stream, stop_before_pixels=True, force=True, specific_tags=_TAGS)
    has_size = header.get("Rows") is not None and header.get("Columns") is not None
    stated = UID(str(header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID") or ""))
    if not has_size and ("Image Storage" in stated.name or not stated):
        raise FileError(path, "states no size of its image; it is truncated or damaged: export it again")
    if what := object_without_image(header):
        return what
    frames = _frames(header)
    values = {name: to_text(header.get(name)) for name in _IMAGE_TAGS}
    positions = [to_text(found_value(header, "ImagePositionPatient", frame)) for frame in frames or [[]]]
    entry = _entry(entries, _facts_of(header, frames))
    if key is not None:
        decoded[key] = entry
    entry.images.append(_image(path, entry, values, positions))
    return ""


def _entry(entries, facts):
    """Return the entry of a series with these facts, a new one if there is none."""
    key = json.dumps(facts)
    if key not in entries:
        entries[key] = _Entry(facts, slice_normal(facts["cosines"]), [])
    return entries[key]


def _image(path, entry, values, positions):
    heights = []
    for text in positions if entry.normal is not None else []:
        place = [first_number(part) for part in text.split("\\")]
        if len(place) == 3 and None not in place:
            heights.append(round(sum(map(mul, place, entry.normal)), 3))
    return Image(path, values["SOPInstanceUID"], heights, _acquired(values, entry.facts))


def _decoded(value):
    """Return the text of bytes of which the standard allows only characters of ASCII."""
    return "" if value is None else value.decode("ascii", "replace").strip("\0 ")


def _frames(header):
    """Return the functional groups of each frame, its own first; empty for an image of one frame per file."""
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])
    return [[group, *shared] for group in header.get("PerFrameFunctionalGroupsSequence") or []]


def _facts_of(header, frames):
    groups = frames[0] if frames else []
    facts = dicom_facts(header, groups)
    cosines = {
        tuple(round(c, 4) for c in to_numbers(found_value(header, "ImageOrientationPatient", g))) for g in frames
    }
    own = [round(c, 4) for c in to_numbers(found_value(header, "ImageOrientationPatient", groups))]
    echoes = {first_number(found_value(header, "EchoTime", frame)) for frame in frames}
    facts |= {
        "format": "enhanced DICOM" if frames else "DICOM",
        "cosines": own,
        "pixel_mm": to_numbers(found_value(header, "PixelSpacing", groups)),
        "matrix": [int(header.Rows), int(header.Columns)],
        "frames": len(frames) or int(header.get("NumberOfFrames") or 1),
        "series_time": _digits(header.get("SeriesDate") or header.get("StudyDate"), header.get("SeriesTime")),
        "several": [
            name for name, values in (("orientation", cosines), ("echo time", echoes)) if frames and len(values) > 1
        ],
    }
    return facts


def _cosines(header, groups):
    return [round(cosine, 4) for cosine in to_numbers(found_value(header, "ImageOrientationPatient", groups))]


def read_nifti(path, root):
    """Return the facts and the image of a NIfTI file, from its header and the JSON file of the same name beside it.

    Parameters
    ----------
    path : str
        The file.
    root : str
        Folder below which it lies.

    Returns
    -------
    facts : dict
        As of a DICOM file. The patient is that of the JSON file or, if it names none, the one of the BIDS entity
        "sub", or else the name of the folder in `root`.
    image : Image
        The file.
    """
    volume = nib.load(path)
    facts, acquired = sidecar_facts(path)
    inside = Path(path).relative_to(root)
    entities = bids_entities(inside)
    stem = re.sub(r"\.(nii|hdr)(\.gz)?$", "", Path(path).name, flags=re.IGNORECASE)
    folder = inside.parts[0] if len(inside.parts) > 1 else stem
    facts["patient_id"] = facts["patient_id"] or entities.get("sub") or folder
    facts["study_uid"] = facts["study_uid"] or entities.get("ses") or inside.parent.as_posix()
    # Conversion may write several files per series, such as one per echo.
    facts["series_uid"] = inside.as_posix()
    facts["description"] = " ".join(filter(None, [facts["description"], words_of_name(path)]))
    facts["modality"] = facts["modality"] or "MR"
    axes = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    shape = [*map(int, volume.shape), 1][:4]
    zooms = [round(float(side), 4) for side in volume.header.get_zooms()[:3]]
    n_volumes = int(np.prod(volume.shape[3:])) if len(volume.shape) > 3 else 1
    # DICOM's patient axes point left and backwards.
    to_dicom = np.array([-1, -1, 1])
    facts |= {
        "format": "NIfTI",
        "cosines": [round(float(c), 4) for c in [*(axes[:, 0] * to_dicom), *(axes[:, 1] * to_dicom)]],
        "pixel_mm": zooms[1::-1],
        "matrix": [shape[1], shape[0]],
        "frames": shape[2] * n_volumes,
        "series_time": re.sub(r"\D", "", acquired.partition(".")[0])[:14],
        "several": ["volume"] if n_volumes > 1 else [],
    }
    heights = [round(step * zooms[2], 3) for step in range(shape[2])]
    return facts, Image(str(path), "", heights, facts["series_time"])


def slice_normal(cosines):
    """Return the unit normal of slices in the patient axes of DICOM, towards the head, the back or the left; or None.

    Parameters
    ----------
    cosines : sequence of float
        ImageOrientationPatient.
    """
    if len(cosines) != 6:
        return None
    normal = np.cross(cosines[:3], cosines[3:])
    length = np.linalg.norm(normal)
    if not np.isfinite(length) or length < 0.5:
        return None
    return (normal / length * np.sign(normal[np.argmax(np.abs(normal))])).tolist()


def _acquired(values, facts):
    stated = re.sub(r"\D", "", values["AcquisitionDateTime"].partition(".")[0])[:14]
    if len(stated) > 8 and parse_time(stated):
        return stated
    date = values["AcquisitionDate"] or values["ContentDate"] or facts["study_date"]
    return _digits(date, values["AcquisitionTime"] or values["ContentTime"]) or facts["series_time"]


def _digits(date, time):
    """Return a date and a time of day of DICOM as digits; empty unless both are there."""
    date, time = re.sub(r"\D", "", to_text(date)), re.sub(r"\D", "", to_text(time).partition(".")[0])
    return date[:8] + time[:6] if len(date) >= 8 and len(time) >= 4 else ""
