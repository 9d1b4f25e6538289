"""DICOM folders and files as volumes."""

import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from isal import igzip
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from sklearn_pspd.cohort.image_files import classify_entries, is_gzip

from .errors import FileError, FileProblems, ImageError, reading
from .findings import facts_of_header
from .geometry import MAX_SIDE_PX, MAX_SPACING_MM, MIN_SPACING_MM, SAME_SIZE, Volume
from .header_facts import FACT_KEYWORDS, dicom_facts, first_number, value_or_none

STEP_TOLERANCE_MM = 0.02
STEP_TOLERANCE = 0.02  # as a fraction of the slice step
LINE_TOLERANCE_MM = 0.5
SAME_SPACING = 1e-4  # relative
SAME_DIRECTION = 1e-2  # of direction cosines
MAX_POSITION_MM = 1e5
PLAIN_SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
UNKNOWN_OBJECT = "DICOM object without an image"
HEADER_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "ImageType", "Modality", "SeriesInstanceUID", "SliceThickness",
    "SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient", "SamplesPerPixel",
    "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "PixelSpacing", "BitsAllocated", "BitsStored",
    "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "InstanceNumber",
]  # fmt: skip
_FIRST_TAGS = [*HEADER_TAGS, *FACT_KEYWORDS]


@dataclass(frozen=True)
class _Frame:
    """Header values of one DICOM frame."""

    path: str
    index: int
    instance: str
    number: int | None
    is_mosaic: bool
    transfer_syntax: str
    series: str
    modality: str
    photometric: str
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    other_spacing: tuple[float, ...] | None
    shape: tuple[int, int]
    thickness_mm: float
    step_mm: float
    is_rescaled: bool
    slope: float
    intercept: float
    inverted_sum: int | None

    @property
    def name(self):
        name = Path(self.path).name
        return f"{name} frame {self.index}" if self.index else name


def open_dicom(source, files):
    """Open one series as a volume whose frames are ordered by position.

    ``files`` are the entries of the folder ``source``, or the file ``source`` alone. Everything in a folder that is no
    image and does not claim to be one is passed over, and listed in the volume.
    """
    problems = FileProblems()
    content = classify_entries(files)
    for path, text in content.problems:
        problems.add(path, text)
    frames, objects, said = _read_images(content.dicom, problems)
    passed_over = tuple(what for _, what in content.passed_over) + tuple(objects)
    facts = {
        "format": "DICOM",
        **facts_of_header(said),
        "n_passed_over": len(passed_over),
        "passed_over": count_kinds(passed_over),
    }
    if not frames:
        _refuse_without_images(source, content, objects, problems, facts)
    frames = _check_frames(frames, problems)
    _check_one_series(source, frames, problems)
    problems.raise_any(facts)
    try:
        frames, affine = _arrange_frames(source, frames)
    except ImageError as error:
        error.facts = facts
        raise
    rows, columns = frames[0].shape
    shape = (columns, rows, len(frames))

    def read(axis, indices):
        if axis == 2:
            return _read_frames([frames[index] for index in indices]).transpose(2, 1, 0)
        return _read_frames(frames).transpose(2, 1, 0).take(indices, axis)

    is_enhanced = len({frame.path for frame in frames}) < len(frames)
    kind = "enhanced DICOM" if is_enhanced else "DICOM"
    # The frames of one file have one InstanceNumber, which tells no slice from another.
    instances = () if is_enhanced else tuple(frame.number for frame in frames)
    return Volume(shape, affine, frames[0].thickness_mm, kind, read, passed_over, said, instances)


def read_header(path, **options):
    """Read the header of a DICOM file, which may lack the preamble or be compressed by gzip.

    ``options`` are those of ``pydicom.dcmread``.
    """
    return _read_header(path, **options)[0]


def _read_header(path, **options):
    """Return the header of a DICOM file, and how many bytes its pixels can have, infinite if this is unknown."""
    is_packed = is_gzip(path)
    with (igzip.open if is_packed else open)(path, "rb") as file:
        # force=True only waives the 128-byte preamble: the caller has recognised the file as DICOM.
        header = pydicom.dcmread(file, stop_before_pixels=True, force=True, **options)
        is_plain = header.file_meta.get("TransferSyntaxUID") in PLAIN_SYNTAXES and not is_packed
        # The pixels follow after their tag and length, and, unless it is implicit, their type.
        begin = file.tell() + (8 if header.original_encoding[0] else 12)
        return header, max(0, Path(path).stat().st_size - begin) if is_plain else math.inf


def object_without_image(header):
    """Return what a DICOM object is that holds no image by its SOP class; empty for images, and if that is unclear.

    Segmentations, parametric maps, doses and spectra have pixels but are no images of the patient.
    """
    uid = UID(str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or ""))
    name = uid.name if uid.name != uid else ""
    if name:
        return "" if re.search(r"(?<!Non-)Image Storage", name) else name.removesuffix(" Storage")
    has_size = header.get("Rows") is not None or header.get("Columns") is not None
    return UNKNOWN_OBJECT if uid and not has_size else ""


def count_kinds(kinds):
    """Return the number of entries of each kind, such as "2 PDF file, 1 folder"; empty if there are none."""
    return ", ".join(f"{count} {kind}" for kind, count in Counter(kinds).most_common())


def _read_images(paths, problems):
    """Return the frames of the images among DICOM files, what each of the other objects is, and facts of the first."""
    frames, objects, facts = [], [], {}
    for path in paths:
        with problems.collecting(path):
            # The facts are those of a series, so one of its files tells them.
            header, n_left = _read_header(path, specific_tags=HEADER_TAGS if facts else _FIRST_TAGS)
            if kind := object_without_image(header):
                objects.append(kind)
            else:
                facts = facts or _facts_of(header)
                frames += _frames_of(path, header, n_left)
    return frames, objects, facts


def _facts_of(header):
    groups = [
        (header.get(name) or [None])[0]
        for name in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
    ]
    facts = dicom_facts(header, [group for group in groups if group is not None])
    uid = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or ""
    return {**facts, "sop_class": str(uid), "facts_from": "DICOM header"}


def _refuse_without_images(source, content, objects, problems, facts):
    """Raise an error that states what a folder without images, or a file that is no image, holds instead."""
    if not Path(source).is_dir():
        if objects:
            problems.add(source, f"is a DICOM object without an image ({objects[0]}); give the MR series")
    elif objects:
        problems.add(source, f"has no image, only {count_kinds(objects)}; give the folder of the MR series")
    elif content.nifti:
        names = ", ".join(Path(path).name for path in content.nifti[:5])
        problems.add(source, f"is a folder that holds a NIfTI file; give the path of the file: {names}")
    elif content.folders and not content.problems:
        names = ", ".join(Path(path).name for path in content.folders[:5])
        problems.add(source, f"is a folder without image files; give one of its folders {names}")
    elif not content.problems and not content.dicom:
        problems.add(source, "is a folder without image files; give the folder of a DICOM series")
    problems.raise_any(facts)


def _frames_of(path, header, n_left):
    """List the frames of one DICOM image whose pixels are among the ``n_left`` bytes after its header."""
    if header.get("Rows") is None or header.get("Columns") is None:
        raise FileError(path, "is a DICOM file without an image; remove it from the folder or export it again")
    if not max(int(header.Rows), int(header.Columns)) <= MAX_SIDE_PX:
        raise FileError(
            path, f"states {header.Rows} x {header.Columns} pixels; at most {MAX_SIDE_PX} x {MAX_SIDE_PX} are read"
        )
    n_frames = int(header.get("NumberOfFrames") or 1)
    groups = list(header.get("PerFrameFunctionalGroupsSequence") or [])
    if n_frames > 1 and len(groups) != n_frames:
        raise FileError(path, f"has {n_frames} frames but positions for {len(groups)}; export it as single-frame files")
    n_bytes = n_frames * int(header.Rows) * int(header.Columns) * int(header.get("BitsAllocated") or 16) // 8
    if n_left < n_bytes:
        raise FileError(path, f"is truncated: it has {n_left} of {n_bytes} bytes of pixels; copy or export it again")
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])
    return [_frame(path, header, index, groups[index : index + 1] + shared) for index in range(n_frames)]


def _frame(path, header, index, groups):
    """Collect the header values of one frame: from its functional groups if they hold them, else from the file."""

    def value(sequence, keyword):
        for group in groups:
            if sequence in group and group[sequence].value and keyword in group[sequence].value[0]:
                return group[sequence].value[0].get(keyword)
        return header.get(keyword)

    def numbers(found):
        return tuple(float(number) for number in found) if found else None

    def number(sequence, keyword, default):
        found = value(sequence, keyword)
        return default if found in (None, "") else float(found)

    # In MONOCHROME1 the smallest stored value is white. The inverted value is the sum of the smallest and the largest
    # possible value (-1 for signed values) minus the stored one.
    photometric = str(header.get("PhotometricInterpretation", ""))
    samples = int(header.get("SamplesPerPixel") or 1)
    stored_sum = -1 if header.get("PixelRepresentation") else 2 ** int(header.get("BitsStored") or 16) - 1
    return _Frame(
        path=path,
        index=index,
        instance=str(header.get("SOPInstanceUID", "")),
        number=None if (shown := first_number(value_or_none(header, "InstanceNumber"))) is None else int(shown),
        is_mosaic="MOSAIC" in str(header.get("ImageType", "")),
        transfer_syntax=str(header.file_meta.get("TransferSyntaxUID") or ""),
        series=str(header.get("SeriesInstanceUID", "")),
        modality=str(header.get("Modality", "")),
        photometric=photometric if samples == 1 else f"{photometric} with {samples} samples",
        position=numbers(value("PlanePositionSequence", "ImagePositionPatient")),
        orientation=numbers(value("PlaneOrientationSequence", "ImageOrientationPatient")),
        spacing=numbers(value("PixelMeasuresSequence", "PixelSpacing")),
        other_spacing=numbers(header.get("PixelSpacing")),
        shape=(int(header.Rows), int(header.Columns)),
        thickness_mm=number("PixelMeasuresSequence", "SliceThickness", float("nan")),
        step_mm=number("PixelMeasuresSequence", "SpacingBetweenSlices", float("nan")),
        is_rescaled=value("PixelValueTransformationSequence", "RescaleSlope") not in (None, ""),
        slope=number("PixelValueTransformationSequence", "RescaleSlope", 1.0),
        intercept=number("PixelValueTransformationSequence", "RescaleIntercept", 0.0),
        inverted_sum=stored_sum if photometric == "MONOCHROME1" else None,
    )


def _check_frames(frames, problems):
    """Return the frames that are greyscale MR images with a place; add a problem for each of the other files."""
    sound = []
    for frame in frames:
        texts = list(_frame_problems(frame))
        for text in texts:
            problems.add(frame.path, text)
        if not texts:
            sound.append(frame)
    return sound


def _frame_problems(frame):
    """Yield what makes one frame unusable, whatever the other frames are."""
    if frame.modality != "MR":
        yield f"has modality {frame.modality or 'missing'}; only MR is read: give the MR series"
    if frame.is_mosaic:
        yield "is a mosaic of several slices in one image; export single slices, or convert the series to NIfTI"
    if frame.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        yield (
            f"has the photometric interpretation {frame.photometric or 'missing'}; give greyscale images "
            "(MONOCHROME1 or MONOCHROME2)"
        )
    if frame.position is None or len(frame.position) != 3 or not np.abs(frame.position).max() < MAX_POSITION_MM:
        yield "has no ImagePositionPatient; export the original series"
    if frame.orientation is None or len(frame.orientation) != 6 or not _is_orthonormal(frame.orientation):
        yield "has no valid ImageOrientationPatient; export the original series"
    if not _is_spacing(frame.spacing):
        yield "has no PixelSpacing; export the original series"
    elif _is_spacing(frame.other_spacing) and not np.allclose(frame.spacing, frame.other_spacing, rtol=SAME_SIZE):
        yield (
            f"states two pixel spacings, {_numbers_text(frame.other_spacing)} mm and, in its functional groups, "
            f"{_numbers_text(frame.spacing)} mm; export it again"
        )


def _is_spacing(values):
    if values is None or len(values) != 2:
        return False
    return MIN_SPACING_MM <= min(values) <= max(values) <= MAX_SPACING_MM


def _is_orthonormal(orientation):
    axes = np.reshape(orientation, (2, 3))
    return bool(np.abs(axes).max() < 2 and np.allclose(axes @ axes.T, np.eye(2), atol=1e-2))


def _check_one_series(source, frames, problems):
    """Add a problem for each property in which the frames of one series must not differ."""
    if not frames:
        return
    series = Counter(frame.series for frame in frames)
    n_files = len({frame.path for frame in frames})
    if 2 < len(series) == n_files:
        problems.add(
            source,
            f"has a SeriesInstanceUID of its own in each of its {n_files} files, as some programs for anonymisation "
            "write it; give one UID to the files of one series",
        )
    else:
        _check_same(source, "series", series, problems)
    _check_same(source, "matrices", Counter(frame.shape for frame in frames), problems)
    orientations = _group([frame.orientation for frame in frames], SAME_DIRECTION, 0.0)
    _check_same(source, "orientations", orientations, problems)
    n_rescaled = sum(frame.is_rescaled for frame in frames)
    if 0 < n_rescaled < len(frames):
        problems.add(
            source, f"states a RescaleSlope in {n_rescaled} of {len(frames)} images only; export the original series"
        )
    spacings = _group([frame.spacing for frame in frames], 0.0, SAME_SPACING)
    _check_same(source, "pixel spacings in mm", spacings, problems)


def _group(values, absolute, relative):
    """Count vectors in groups; a vector joins the first group whose first vector it equals within a tolerance."""
    counts = {}
    for value, count in Counter(values).items():
        near = (first for first in counts if np.allclose(value, first, atol=absolute, rtol=relative))
        first = next(near, value)
        counts[first] = counts.get(first, 0) + count
    return Counter(counts)


def _check_same(source, what, counts, problems):
    if len(counts) > 1:
        listing = "; ".join(
            f"{count} of {_numbers_text(value) if isinstance(value, tuple) else value}"
            for value, count in counts.most_common(4)
        )
        problems.add(source, f"mixes {len(counts)} {what} ({listing}); leave a single series in the folder")


def _numbers_text(values):
    return " x ".join(f"{value:.10g}" for value in values) if len(values) == 2 else str(tuple(values))


def _arrange_frames(source, frames):
    """Order frames along the slice normal; return them with the RAS affine of the axes (columns, rows, slices)."""
    along_row, along_column = np.reshape(frames[0].orientation, (2, 3))
    normal = np.cross(along_row, along_column)
    normal /= np.linalg.norm(normal)
    distances = np.array([np.dot(frame.position, normal) for frame in frames])
    order = np.argsort(distances, kind="stable")
    frames = [frames[index] for index in order]
    positions = np.array([frame.position for frame in frames])
    if len(frames) > 1:
        _check_steps(source, frames, distances[order], positions)
        # SpacingBetweenSlices is no second statement of this step: some scanners write the gap between slices into it,
        # and GDCM writes 1 into files that lack it.
        step = (positions[-1] - positions[0]) / (len(frames) - 1)
    else:
        step_mm = frames[0].step_mm if frames[0].step_mm > 0 else frames[0].thickness_mm
        if not MIN_SPACING_MM <= step_mm <= MAX_SPACING_MM:
            raise FileError(source, "has one slice and no slice spacing in its header; export the whole series")
        step = normal * step_mm
    row_mm, column_mm = frames[0].spacing
    affine = np.eye(4)
    affine[:3] = np.column_stack([along_row * column_mm, along_column * row_mm, step, positions[0]])
    # DICOM coordinates grow to the left and to the back (LPS), those of the affine to the right and to the front (RAS).
    return frames, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _check_steps(source, frames, distances, positions):
    """Refuse duplicate positions, unequal steps, and slices that are shifted sideways."""
    # Two frames at one position: one image twice, or another echo, phase or time point.
    steps = np.diff(distances)
    typical = float(np.median(steps))
    tolerance = max(STEP_TOLERANCE_MM, STEP_TOLERANCE * typical)
    repeated = np.flatnonzero(steps < min(STEP_TOLERANCE_MM, 0.5 * steps.max()))
    if steps.max() < STEP_TOLERANCE_MM or repeated.size:
        _refuse_repeated(source, frames, distances, repeated if repeated.size else np.arange(len(steps)))
    # A step that deviates from the median: a slice is missing or does not belong to the series.
    uneven = np.flatnonzero(np.abs(steps - typical) > tolerance)
    if uneven.size:
        first = int(uneven[0])
        raise FileError(
            source,
            f"has unequal steps between slices: {steps[first]:.3f} mm between {frames[first].name} and "
            f"{frames[first + 1].name}, {typical:.3f} mm elsewhere; a slice is missing or surplus: export it again",
        )
    # Positions off the straight line from the first to the last slice: slices shifted within their planes.
    line = np.linspace(positions[0], positions[-1], len(positions))
    drift_mm = np.linalg.norm(positions - line, axis=1).max()
    if drift_mm > max(LINE_TOLERANCE_MM, tolerance * len(positions)):
        raise FileError(source, f"has slices shifted sideways by {drift_mm:.1f} mm; export the original series")


def _refuse_repeated(source, frames, distances, repeated):
    """Raise an error about pairs of frames at one position, with what their identifiers say about the reason."""
    pairs = [(frames[index], frames[index + 1]) for index in repeated]
    twice = [(a, b) for a, b in pairs if a.instance and a.instance == b.instance and a.path != b.path]
    if twice:
        listing = ", ".join(f"{a.name} and {b.name}" for a, b in twice[:6])
        more = f" and {len(twice) - 6} more pairs" if len(twice) > 6 else ""
        raise FileError(
            source, f"has the same image twice, by the same SOPInstanceUID: {listing}{more}; remove the copies"
        )
    first, second = pairs[0]
    raise FileError(
        source,
        f"has {len(pairs)} duplicate slice positions, such as {first.name} and {second.name} at "
        f"{distances[repeated[0]]:.2f} mm; leave a single echo, phase or time point",
    )


def _read_frames(frames):
    """Read frames as float32 of shape (n_frames, rows, columns), each with its own rescale slope and intercept."""
    return np.stack([_read_frame(frame) for frame in frames])


def _read_frame(frame):
    with reading(frame.path):
        stored = _stored_pixels(frame)
        if stored.shape != frame.shape:
            raise FileError(
                frame.path,
                f"has pixels of shape {stored.shape}; its header states {frame.shape}; export it again",
            )
        pixels = stored.astype(np.float64)
        if frame.inverted_sum is not None:
            pixels = frame.inverted_sum - pixels
        return (pixels * frame.slope + frame.intercept).astype(np.float32)


def _stored_pixels(frame):
    """Return the stored values of one frame, before rescaling."""
    if is_gzip(frame.path):
        with igzip.open(frame.path, "rb") as file:
            return _stored_pixels_of(file, frame)
    return _stored_pixels_of(frame.path, frame)


def _stored_pixels_of(file, frame):
    if frame.transfer_syntax not in ("", DeflatedExplicitVRLittleEndian):
        # Reads this frame alone, also from a file without the 128-byte preamble.
        return pydicom.pixels.pixel_array(file, index=frame.index, raw=True)
    dataset = pydicom.dcmread(file, force=True)
    if not frame.transfer_syntax:
        # Old files may lack the file header that names the encoding of the pixels. Uncompressed pixels can be read
        # without it; compressed ones, which come in pieces of undefined total length, cannot.
        if dataset["PixelData"].is_undefined_length:
            raise FileError(frame.path, "has compressed pixels but no TransferSyntaxUID; export it uncompressed")
        is_implicit, _ = dataset.original_encoding
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
    return pydicom.pixels.pixel_array(dataset, index=frame.index, raw=True)
