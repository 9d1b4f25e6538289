"""What headers say about a series: its description, date, contrast agent and sequence, from DICOM and JSON sidecars."""

import json
import math
import re
import warnings
from datetime import datetime
from pathlib import Path

import pydicom

from sklearn_pspd.cohort.image_files import sidecar_of

# Facts that are the same in all images of a series, by the attribute of DICOM that states them.
TEXTS = {
    "patient_id": "PatientID",
    "study_uid": "StudyInstanceUID",
    "series_uid": "SeriesInstanceUID",
    "frame_uid": "FrameOfReferenceUID",
    "study_date": "StudyDate",
    "study_description": "StudyDescription",
    "series_number": "SeriesNumber",
    "description": "SeriesDescription",
    "protocol": "ProtocolName",
    "institution": "InstitutionName",
    "manufacturer": "Manufacturer",
    "model": "ManufacturerModelName",
    "modality": "Modality",
    "image_type": "ImageType",
    "sequence": "ScanningSequence",
    "sequence_variant": "SequenceVariant",
    "sequence_name": "SequenceName",
    "acquisition_type": "MRAcquisitionType",
    "acquisition_contrast": "AcquisitionContrast",
    "contrast_agent": "ContrastBolusAgent",
    "contrast_ingredient": "ContrastBolusIngredient",
    "contrast_start": "ContrastBolusStartTime",
    "body_part": "BodyPartExamined",
}
NUMBERS = {
    "field_t": "MagneticFieldStrength",
    "tr_ms": "RepetitionTime",
    "te_ms": "EchoTime",
    "ti_ms": "InversionTime",
    "flip_deg": "FlipAngle",
    "contrast_volume_ml": "ContrastBolusVolume",
    "slice_thickness_mm": "SliceThickness",
}
# Names of the same facts in objects with several frames, which have them in sequences.
OTHER_KEYWORDS = {
    "SequenceName": "PulseSequenceName",
    "ScanningSequence": "EchoPulseSequence",
    "EchoTime": "EffectiveEchoTime",
    "InversionTime": "InversionTimes",
    "ContrastBolusIngredient": "ContrastBolusIngredientCodeSequence",
}
FACT_KEYWORDS = (*TEXTS.values(), *NUMBERS.values(), *OTHER_KEYWORDS.values(), "ContrastBolusAgentSequence")
LONGEST_ECHO_S = 1.0
_SIDECAR_MS = ("tr_ms", "te_ms", "ti_ms")
_ENTITY = re.compile(r"(?:^|[_/])(sub|ses)-([A-Za-z0-9]+)")
_GIVEN_DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)")


def found_value(header, keyword, groups):
    """Return a value of the header itself or, if it has none, of the first of the functional groups that has one.

    Parameters
    ----------
    header : pydicom.Dataset
        Header of a DICOM file.
    keyword : str
        Name of an attribute; its other name in objects with several frames is tried, too.
    groups : list of pydicom.Dataset
        Functional groups of a frame, the frame's own first.
    """
    for name in (keyword, OTHER_KEYWORDS.get(keyword)):
        if name is None:
            continue
        value = value_or_none(header, name)
        if value not in (None, ""):
            return value
        for group in groups:
            for element in group:
                if element.VR == "SQ" and element.value and value_or_none(element.value[0], name) not in (None, ""):
                    return element.value[0].get(name)
    return None


def value_or_none(header, name):
    """Return a value of a header; None if there is none, or if it breaks the rules of DICOM so that it says nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return header.get(name)
    # The conversions of pydicom raise exceptions of many types.
    except Exception:
        return None


def dicom_facts(header, groups=()):
    """Return the facts ``TEXTS`` and ``NUMBERS`` of one image; what is not stated is empty, or None.

    Parameters
    ----------
    header : pydicom.Dataset
        Header of a DICOM file, with the attributes ``FACT_KEYWORDS``.
    groups : list of pydicom.Dataset
        Functional groups of a frame, the frame's own first; empty for an image of one frame per file.
    """
    facts = {name: to_text(found_value(header, keyword, groups)) for name, keyword in TEXTS.items()}
    facts |= {name: first_number(found_value(header, keyword, groups)) for name, keyword in NUMBERS.items()}
    agents = list(header.get("ContrastBolusAgentSequence") or [])
    if agents and not facts["contrast_agent"]:
        facts["contrast_agent"] = to_text(agents[0].get("ContrastBolusAgent") or agents[0].get("CodeMeaning"))
    # Coded ingredients are a sequence, the text of which is their meaning.
    ingredients = header.get("ContrastBolusIngredientCodeSequence")
    if ingredients and "ContrastBolusIngredient" not in header:
        facts["contrast_ingredient"] = to_text(ingredients[0].get("CodeMeaning"))
    return facts


def sidecar_facts(path):
    """Return the facts that the JSON file of the same name beside a NIfTI file states, as dcm2niix and BIDS write it.

    Parameters
    ----------
    path : str or Path
        The NIfTI file.

    Returns
    -------
    facts : dict
        As of `dicom_facts`; all of them are empty, or None, without such a file. Times that are not in seconds are
        None.
    acquired : str
        Date and time as the JSON file states them; empty if it does not.

    Raises
    ------
    ValueError
        If the file is not JSON, or has no object.
    """
    sidecar = sidecar_of(path)
    said = {}
    if sidecar is not None:
        said = json.loads(Path(sidecar).read_text(encoding="utf-8"))
        if not isinstance(said, dict):
            raise ValueError(f"it holds a {type(said).__name__}, no object")
    facts = {name: to_text(said.get(keyword)) for name, keyword in TEXTS.items()}
    facts |= {name: first_number(said.get(keyword)) for name, keyword in NUMBERS.items()}
    # No echo time is as long as a second, so such a file has not kept to the unit.
    is_in_seconds = facts["te_ms"] is None or facts["te_ms"] < LONGEST_ECHO_S
    for name in _SIDECAR_MS:
        facts[name] = 1000 * facts[name] if is_in_seconds and facts[name] is not None else None
    acquired = to_text(said.get("AcquisitionDateTime"))
    day = _GIVEN_DATE.match(facts["study_date"] or acquired)
    facts["study_date"] = "".join(day.groups()) if day else ""
    return facts, acquired


def words_of_name(path):
    """Return the name of a NIfTI file without suffix, subject and session: BIDS states in it what an image is."""
    stem = re.sub(r"\.(nii|hdr|img)(\.gz)?$", "", Path(path).name, flags=re.IGNORECASE)
    return _ENTITY.sub("", stem).strip("_")


def bids_entities(path):
    """Return the subject and the session that a path of BIDS states, by "sub" and "ses"."""
    return dict(_ENTITY.findall(Path(path).as_posix()))


def parse_time(digits):
    """Return the moment that digits such as "20240131101500" mean, or None; hours and the rest may be missing."""
    for form, length in (("%Y%m%d%H%M%S", 14), ("%Y%m%d%H%M", 12), ("%Y%m%d%H", 10), ("%Y%m%d", 8)):
        if len(digits) >= length:
            try:
                return datetime.strptime(digits[:length], form)
            except ValueError:
                return None
    return None


def to_text(value):
    """Return a value of a header as text; the parts of several values are joined by backslashes."""
    if value is None:
        return ""
    if isinstance(value, pydicom.Sequence):
        return to_text(value[0].get("CodeMeaning")) if value else ""
    if isinstance(value, list | tuple | pydicom.multival.MultiValue):
        return "\\".join(str(part).strip() for part in value)
    return " ".join(str(value).replace("\0", " ").split())


def to_numbers(value):
    """Return a value of a header as a list of numbers; empty if it holds none."""
    if value is None or isinstance(value, str | pydicom.Sequence):
        return []
    try:
        return [float(number) for number in value]
    except (TypeError, ValueError):
        return []


def first_number(value):
    """Return a finite number, the first one of several; None if there is none."""
    if isinstance(value, list | tuple | pydicom.multival.MultiValue):
        value = value[0] if value else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
