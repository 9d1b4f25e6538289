"""A synthetic export of a hospital: many series per patient, two study dates, and a spreadsheet in German."""

from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
from pydicom.uid import (
    BasicTextSRStorage,
    ExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    MRImageStorage,
    generate_uid,
)
from pydicom.valuerep import DS

# One per patient, in turn.
EXPORT_TRAPS = (
    "none",
    "no contrast tag",
    "tilted",
    "tag on every series",
    "swapped order",
    "no words",
    "no post-contrast series",
    "repeated",
)
TILT_DEG = 8.0
N_REFORMATS = 10
FIRST_DAY = date(2016, 3, 1)
FIRST_PATIENT = 4711001
SITES = ("Nord", "Süd")
WORDS = {
    "sex": {"male": "m", "female": "w"},
    "mgmt": {"methylated": "methyliert", "unmethylated": "unmethyliert", "unknown": "n.b."},
    "idh": {"mutated": "mutiert", "wildtype": "Wildtyp", "unknown": "n.b."},
    "outcome": {"PD": "Progress", "PsPD": "Pseudoprogress"},
}


class _Vendor(NamedTuple):
    manufacturer: str
    model: str
    t1: str
    t1_post: str
    t2: str
    flair: str
    field_t: float
    ti_ms: float


VENDORS = (
    _Vendor(
        "SIEMENS", "Skyra", "t1_mpr_tra_iso", "t1_mpr_tra_iso_KM", "t2_tse_tra_5mm", "t2_tirm_tra_dark-fluid", 3, 900
    ),
    _Vendor(
        "GE MEDICAL SYSTEMS", "DISCOVERY MR750w", "3D Ax T1 BRAVO", "3D Ax T1 BRAVO +C", "Ax T2 PROPELLER",
        "Ax T2 FLAIR", 3, 450,
    ),
    _Vendor(
        "Philips Medical Systems", "Achieva", "T1W_3D_TFE nativ", "T1W_3D_TFE Gd", "T2W_TSE", "FLAIR_longTR", 1.5, 900
    ),
)  # fmt: skip


class _Series(NamedTuple):
    """One series: what it is, what its header says, and when it was acquired, in minutes after the first one."""

    kind: str
    description: str
    minutes: int
    te_ms: float
    tr_ms: float
    ti_ms: float | None = None
    flip_deg: float = 90
    sequence: str = "SE"
    variant: str = "SK"
    acquisition: str = "2D"
    image_type: str = "ORIGINAL\\PRIMARY\\M"
    agent: str | None = None
    second_te_ms: float | None = None


class _Study(NamedTuple):
    """One study of a patient, and the images that its series show."""

    number: int
    synthetic_id: str
    day: date
    vendor: _Vendor
    trap: str
    volume: np.ndarray
    affine: np.ndarray

    @property
    def entropy(self):
        """Texts from which its UIDs are made."""
        return [self.synthetic_id, f"{self.day}"]


def write_export(folder, cohort):
    """Write the export of a hospital with a messy spreadsheet; what :func:`make_cohort` does with ``layout="export"``.

    Parameters
    ----------
    folder : path-like
        Folder to write to; created if it does not exist. It must contain neither ``dicom`` nor ``records.csv``.
    cohort : DataFrame
        Table of :func:`~sklearn_pspd.datasets.make_cohort` with images of any matrix; its images become the
        post-contrast series.

    Returns
    -------
    DataFrame
        One row per series of a patient: ``patient_id`` (as in the files), ``study_date``, ``kind`` ("t1_post",
        "t1_pre", "t2", "flair", "adc", "localizer", "reformat", "subtraction", "dual_echo"), ``description``,
        ``n_files``, ``series_uid``, ``trap`` (of the patient, one of ``EXPORT_TRAPS``), ``is_wanted`` (whether it is
        the post-contrast T1 nearest to the lesion; two series of the patient "repeated" are), ``lesion_date``,
        ``lesion_slice`` and ``synthetic_id``.

    Raises
    ------
    FileExistsError
        If the folder has an export already.
    """
    folder = Path(folder).resolve()
    for name in ("dicom", "records.csv"):
        if (folder / name).exists():
            raise FileExistsError(f"{folder} already contains {name!r}; delete it or choose another folder")
    (folder / "dicom").mkdir(parents=True)
    rows, records = [], []
    for number, patient in enumerate(cohort.to_dict("records")):
        rows += _write_patient(folder / "dicom", number, patient)
        records.append(_record(number, patient))
    _write_other_files(folder / "dicom")
    _write_records(folder / "records.csv", records)
    return pd.DataFrame(rows).astype(dict.fromkeys(("study_date", "lesion_date"), "datetime64[ns]"))


def _patient_id(number):
    return f"{FIRST_PATIENT + number:08d}"


def _dates(number, interval_days):
    """Return the dates of the first study, the end of radiotherapy, the lesion and the second study."""
    first = FIRST_DAY + timedelta(days=11 * number)
    end = first + timedelta(days=70)
    lesion = end + timedelta(days=int(interval_days))
    return first, end, lesion, lesion + timedelta(days=number % 4)


def _write_patient(folder, number, patient):
    image = nib.as_closest_canonical(nib.load(patient["image"]))
    trap, vendor = EXPORT_TRAPS[number % len(EXPORT_TRAPS)], VENDORS[number % len(VENDORS)]
    first, _, lesion, second = _dates(number, patient["interval_days"])
    rows = []
    for is_second, day in ((False, first), (True, second)):
        study = _Study(number, patient["patient_id"], day, vendor, trap, np.asarray(image.dataobj), image.affine)
        place = folder / _patient_id(number) / f"{day:%Y%m%d}"
        n_before = 0
        for order, series in enumerate(_study_series(vendor, is_second, trap), start=1):
            # At one site all series of a study are in one folder.
            target = place if number % 2 else place / f"SE{order:04d}"
            uid, n_files = _write_series(target, n_before, study, order, series)
            n_before += n_files if number % 2 else 0
            rows.append(
                {
                    "patient_id": _patient_id(number),
                    "study_date": day,
                    "kind": series.kind,
                    "description": series.description,
                    "n_files": n_files,
                    "series_uid": uid,
                    "trap": trap,
                    "is_wanted": is_second and series.kind == "t1_post",
                    "lesion_date": lesion,
                    "lesion_slice": patient["lesion_slice"],
                    "synthetic_id": patient["patient_id"],
                }
            )
    return rows


def _study_series(vendor, is_second, trap):
    """Return the series of a study in the order of their numbers."""
    tag = "" if trap in ("no contrast tag", "no words") else "Gadovist"
    everywhere = "Gadovist" if trap == "tag on every series" else None
    t1 = {"te_ms": 2.9, "tr_ms": 1900, "ti_ms": vendor.ti_ms, "flip_deg": 9, "sequence": "GR\\IR", "variant": "SP\\MP"}
    t1["acquisition"] = "3D"
    plain = vendor.t1.removesuffix(" nativ")
    pre_name, post_name = (plain, plain) if trap == "no words" else (vendor.t1, vendor.t1_post)
    before, after = (12, 2) if trap == "swapped order" else (2, 12)
    pre = _Series("t1_pre", pre_name, before, agent=everywhere, **t1)
    post = _Series("t1_post", post_name, after, agent=tag, **t1)
    found = [_Series("localizer", "localizer", 0, 5, 20, flip_deg=40, sequence="GR", agent=everywhere), pre]
    if is_second:
        derived = {"sequence": "GR\\IR", "acquisition": "3D", "ti_ms": vendor.ti_ms, "flip_deg": 9, "agent": tag}
        found += [
            _Series("t2", vendor.t2, 4, 95, 4500, agent=everywhere),
            _Series("flair", vendor.flair, 6, 120, 9000, 2500, sequence="SE\\IR", agent=everywhere),
            _Series(
                "adc", "ep2d_diff_ADC", 8, 80, 5000, sequence="EP", image_type="DERIVED\\PRIMARY\\DIFFUSION\\ADC",
                agent=everywhere,
            ),
            _Series("dual_echo", "pd+t2_tse_tra", 9, 12, 3000, agent=everywhere, second_te_ms=90),
        ]  # fmt: skip
        if trap == "no post-contrast series":
            return found
        derived_type = "DERIVED\\SECONDARY\\MPR"
        found += [
            post,
            _Series("reformat", f"{post_name} MPR cor", 12, 2.9, 1900, image_type=derived_type, **derived),
            _Series("subtraction", "T1 SUB", 13, 2.9, 1900, image_type="DERIVED\\SECONDARY\\SUBTRACT", **derived),
        ]
        if trap == "repeated":
            found.append(post._replace(minutes=16))
        return found
    return [*found, post]


def _write_series(folder, n_before, study, order, series):
    """Write one series; return its SeriesInstanceUID and its number of files."""
    folder.mkdir(parents=True, exist_ok=True)
    header = _header(study, order, series)
    column_mm, row_mm, slice_mm = np.diag(study.affine)[:3]
    sides = (slice_mm, column_mm) if series.kind == "reformat" else (row_mm, column_mm)
    header.PixelSpacing = [DS(float(side), auto_format=True) for side in sides]
    header.SliceThickness = DS(float(row_mm if series.kind == "reformat" else slice_mm), auto_format=True)
    places = _places(series, study.volume, study.affine, TILT_DEG if study.trap == "tilted" else 0.0)
    rng = np.random.default_rng([study.number, study.day.toordinal(), order])
    names = n_before + rng.permutation(len(places)) + 1
    for name, (index, cosines, position, te_ms, pixels) in zip(names, places, strict=True):
        header.SOPInstanceUID = generate_uid(entropy_srcs=[*study.entropy, str(order), str(index)])
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.InstanceNumber = index + 1
        header.EchoTime = te_ms
        header.ImageOrientationPatient = [DS(float(value), auto_format=True) for value in cosines]
        header.ImagePositionPatient = [DS(float(value), auto_format=True) for value in position]
        header.Rows, header.Columns = pixels.shape
        header.PixelData = np.ascontiguousarray(pixels.astype("<i2")).tobytes()
        header.save_as(folder / f"IM{name:05d}", enforce_file_format=True)
    return str(header.SeriesInstanceUID), len(places)


def _places(series, volume, affine, tilt_deg):
    """Return number, direction cosines, position, echo time and pixels of each image of a series."""
    turn = np.radians(tilt_deg)
    axes = np.array([[1, 0, 0], [0, np.cos(turn), np.sin(turn)], [0, -np.sin(turn), np.cos(turn)]])
    # The patient axes of DICOM point left and backwards, so both in-plane axes are reversed.
    last = affine @ [volume.shape[0] - 1, volume.shape[1] - 1, 0, 1]
    corner = np.array([-last[0], -last[1], last[2]])
    shown = _weighted(volume, series.kind)[::-1, ::-1]
    if series.kind == "localizer":
        middle = shown[:, :, shown.shape[2] // 2].T
        planes = ((0, 1), (1, 2), (0, 2))
        eye = np.eye(3)
        return [(k, [*eye[a], *eye[b]], corner, series.te_ms, middle) for k, (a, b) in enumerate(planes)]
    if series.kind == "reformat":
        # Coronal planes, from the front to the back.
        step = affine[1, 1]
        cosines, direction = [1, 0, 0, 0, 0, -1], np.array([0.0, step, 0.0])
        middle = shown.shape[1] // 2
        chosen = range(middle - N_REFORMATS // 2, middle + N_REFORMATS // 2)
        top = corner + [0, 0, (shown.shape[2] - 1) * affine[2, 2]]
        return [(k, cosines, top + k * direction, series.te_ms, shown[:, k, ::-1].T) for k in chosen]
    cosines, direction = [*axes[0], *axes[1]], axes[2] * affine[2, 2]
    # One axial slice of the head's height comes first, as numbered by most scanners from the feet.
    echoes = [series.te_ms] + ([series.second_te_ms] if series.second_te_ms else [])
    return [
        (echo * shown.shape[2] + k, cosines, corner + k * direction, te_ms, shown[:, :, k].T)
        for echo, te_ms in enumerate(echoes)
        for k in range(shown.shape[2])
    ]


def _weighted(volume, kind):
    """Return the volume, which is post-contrast T1, as another sequence might show it; no physics."""
    if kind in ("t1_post", "reformat"):
        return volume
    ordinary = np.percentile(volume, 97)
    before = np.minimum(volume, ordinary)
    if kind == "subtraction":
        return volume - before
    return before if kind == "t1_pre" else np.where(before > 0.1 * ordinary, ordinary - 0.6 * before, 0)


def _header(study, order, series):
    vendor, day = study.vendor, study.day
    header = _object(MRImageStorage, "MR", _patient_id(study.number), f"{day:%Y%m%d}")
    header.StudyInstanceUID = generate_uid(entropy_srcs=study.entropy)
    header.SeriesInstanceUID = generate_uid(entropy_srcs=[*study.entropy, str(order)])
    header.FrameOfReferenceUID = generate_uid(entropy_srcs=[*study.entropy, "frame"])
    header.InstitutionName = SITES[study.number % len(SITES)]
    header.Manufacturer, header.ManufacturerModelName = vendor.manufacturer, vendor.model
    header.MagneticFieldStrength = vendor.field_t
    header.SeriesNumber, header.SeriesDescription, header.ProtocolName = order, series.description, series.description
    header.StudyTime = "100000"
    header.AcquisitionDate, header.AcquisitionTime = f"{day:%Y%m%d}", f"10{series.minutes:02d}00"
    header.ImageType = series.image_type.split("\\")
    header.ScanningSequence, header.SequenceVariant = series.sequence.split("\\"), series.variant.split("\\")
    header.MRAcquisitionType, header.RepetitionTime, header.FlipAngle = (
        series.acquisition,
        series.tr_ms,
        series.flip_deg,
    )
    if series.ti_ms is not None:
        header.InversionTime = series.ti_ms
    if series.agent is not None:
        header.ContrastBolusAgent = series.agent
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 1
    return header


def _object(kind, modality, patient_id, day):
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = kind
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid(
        entropy_srcs=[kind, patient_id, day]
    )
    header.SpecificCharacterSet = "ISO_IR 192"
    header.PatientID = header.PatientName = patient_id
    header.Modality, header.StudyDate = modality, day
    return header


def _write_other_files(folder):
    """Write what is no image of a patient: an index, a report, a text, a damaged file and a test object."""
    day = f"{FIRST_DAY:%Y%m%d}"
    _object(MediaStorageDirectoryStorage, "", "", day).save_as(folder / "DICOMDIR", enforce_file_format=True)
    _object(BasicTextSRStorage, "SR", _patient_id(0), day).save_as(folder / "SR00001", enforce_file_format=True)
    (folder / "README.TXT").write_text("Images for research.\n", encoding="utf-8")
    series = _Series("localizer", "localizer", 0, 5, 20, flip_deg=40, sequence="GR")
    (folder / "QA").mkdir()
    header = _header(_Study(0, "QA", FIRST_DAY, VENDORS[0], "none", np.empty(0), np.eye(4)), 1, series)
    header.PatientID = header.PatientName = "QA"
    header.EchoTime, header.PixelSpacing, header.SliceThickness = 5, [1, 1], 1
    header.ImageOrientationPatient, header.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    header.Rows = header.Columns = 8
    header.PixelData = bytes(128)
    header.save_as(folder / "QA" / "IM00001", enforce_file_format=True)
    content = (folder / "QA" / "IM00001").read_bytes()
    # Cut within an element of the header.
    (folder / "IM_DAMAGED").write_bytes(content[:420])


def _record(number, patient):
    """Return the row of a patient in the spreadsheet."""
    _, end, lesion, _ = _dates(number, patient["interval_days"])
    words = {column: WORDS[column][patient[column]] for column in WORDS}
    return {
        # A spreadsheet program has taken this id for a number.
        "Pat.-Nr.": _patient_id(number).lstrip("0") if number == 2 else _patient_id(number),
        "Geschlecht": words["sex"],
        "Alter": f"{patient['age_years']}",
        "MGMT-Status": words["mgmt"],
        "IDH": words["idh"],
        "Dosis (Gy)": f"{patient['dose_gy']:.2f}".replace(".", ","),
        "Fraktionen": f"{patient['n_fractions']}",
        "Ende RT": f"{end:%d.%m.%Y}",
        "Datum Läsion": f"{lesion:%d.%m.%Y}",
        "Schicht": f"{patient['lesion_slice']}",
        "Verlauf": words["outcome"],
    }


def _write_records(path, records):
    """Write the spreadsheet, with a title and one patient without images."""
    records = [*records, records[0] | {"Pat.-Nr.": "04719999"}]
    lines = ["Studie Pseudoprogress;;", ";".join(records[0]), *(";".join(record.values()) for record in records)]
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode("cp1252"))
