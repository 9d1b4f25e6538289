"""DICOM folders and files as volumes."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from sklearn_pspd.cohort.image_files import DICOM, image_format, is_gzip

from .errors import ImageError, reading
from .geometry import Volume

STEP_TOLERANCE_MM = 0.02
STEP_TOLERANCE = 0.02  # as a fraction of the slice step
LINE_TOLERANCE_MM = 0.5
HEADER_TAGS = [
    "SOPClassUID", "Modality", "SeriesInstanceUID", "SliceThickness", "SpacingBetweenSlices",
    "ImagePositionPatient", "ImageOrientationPatient", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames",
    "Rows", "Columns", "PixelSpacing", "BitsStored", "PixelRepresentation", "RescaleSlope", "RescaleIntercept",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip


@dataclass(frozen=True)
class _Frame:
    """Header values of one DICOM frame."""

    path: str
    index: int
    transfer_syntax: str
    series: str
    modality: str
    photometric: str
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    shape: tuple[int, int]
    thickness_mm: float
    step_mm: float
    slope: float
    intercept: float
    inverted_sum: int | None

    @property
    def name(self):
        name = Path(self.path).name
        return f"{name} frame {self.index}" if self.index else name


def is_dicom(path):
    """Return whether a file holds DICOM data."""
    with reading(path):
        return image_format(path) == DICOM


def open_dicom(source, files):
    """Open one series as a volume whose frames are ordered by position."""
    frames = [frame for file in files for frame in _read_headers(file)]
    _check_one_series(source, frames)
    frames, affine = _arrange_frames(source, frames)
    rows, columns = frames[0].shape
    shape = (columns, rows, len(frames))

    def read(axis, indices):
        if axis == 2:
            return _read_frames([frames[index] for index in indices]).transpose(2, 1, 0)
        return _read_frames(frames).transpose(2, 1, 0).take(indices, axis)

    kind = "enhanced DICOM" if len(files) < len(frames) else "DICOM"
    return Volume(shape, affine, frames[0].thickness_mm, kind, read)


def _read_headers(path):
    """List the frames of one DICOM file without reading its pixels."""
    if not is_dicom(path):
        raise ImageError(f"{path} is not a DICOM file; remove it from the folder or export it again")
    with reading(path):
        if is_gzip(path):
            raise ImageError(f"{path} is a DICOM file compressed with gzip; decompress it")
        # force=True only waives the 128-byte preamble: files that are not DICOM were refused above.
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=HEADER_TAGS, force=True)
        if header.get("Rows") is None or header.get("Columns") is None:
            raise ImageError(f"{path} is a DICOM file without an image; remove it from the folder")
        n_frames = int(header.get("NumberOfFrames") or 1)
        groups = list(header.get("PerFrameFunctionalGroupsSequence") or [])
        if n_frames > 1 and len(groups) != n_frames:
            raise ImageError(
                f"{path} has {n_frames} frames but positions for {len(groups)}; export it as single-frame files"
            )
        shared = list(header.get("SharedFunctionalGroupsSequence") or [])
        return [_frame(path, header, index, groups[index : index + 1] + shared) for index in range(n_frames)]


def _frame(path, header, index, groups):
    """Collect the header values of one frame: from its functional groups if they hold them, else from the file."""

    def value(sequence, keyword):
        for group in groups:
            if sequence in group and group[sequence].value and keyword in group[sequence].value[0]:
                return group[sequence].value[0].get(keyword)
        return header.get(keyword)

    def numbers(sequence, keyword):
        found = value(sequence, keyword)
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
        transfer_syntax=str(header.file_meta.get("TransferSyntaxUID") or ""),
        series=str(header.get("SeriesInstanceUID", "")),
        modality=str(header.get("Modality", "")),
        photometric=photometric if samples == 1 else f"{photometric} with {samples} samples",
        position=numbers("PlanePositionSequence", "ImagePositionPatient"),
        orientation=numbers("PlaneOrientationSequence", "ImageOrientationPatient"),
        spacing=numbers("PixelMeasuresSequence", "PixelSpacing"),
        shape=(int(header.Rows), int(header.Columns)),
        thickness_mm=number("PixelMeasuresSequence", "SliceThickness", float("nan")),
        step_mm=number("PixelMeasuresSequence", "SpacingBetweenSlices", float("nan")),
        slope=number("PixelValueTransformationSequence", "RescaleSlope", 1.0),
        intercept=number("PixelValueTransformationSequence", "RescaleIntercept", 0.0),
        inverted_sum=stored_sum if photometric == "MONOCHROME1" else None,
    )


def _check_one_series(source, frames):
    """Refuse frames unless they are greyscale MR images of one series on one grid."""
    for frame in frames:
        if frame.modality != "MR":
            raise ImageError(
                f"{frame.path} has modality {frame.modality or 'missing'}; only MR is read: give the MR series"
            )
        if frame.photometric not in ("MONOCHROME1", "MONOCHROME2"):
            raise ImageError(
                f"{frame.path} has the photometric interpretation {frame.photometric or 'missing'}; give "
                "greyscale images (MONOCHROME1 or MONOCHROME2)"
            )
        if frame.position is None or len(frame.position) != 3 or not np.isfinite(frame.position).all():
            raise ImageError(f"{frame.path} has no ImagePositionPatient; export the original series")
        if frame.orientation is None or len(frame.orientation) != 6 or not _is_orthonormal(frame.orientation):
            raise ImageError(f"{frame.path} has no valid ImageOrientationPatient; export the original series")
        if (
            frame.spacing is None
            or len(frame.spacing) != 2
            or not 0 < min(frame.spacing) <= max(frame.spacing) < np.inf
        ):
            raise ImageError(f"{frame.path} has no PixelSpacing; export the original series")
    _check_same(source, "series", [frame.series for frame in frames])
    _check_same(source, "orientations", [tuple(np.round(frame.orientation, 2) + 0.0) for frame in frames], near=frames)
    _check_same(source, "matrices", [frame.shape for frame in frames])
    _check_same(source, "pixel spacings in mm", [tuple(np.round(frame.spacing, 4)) for frame in frames])


def _is_orthonormal(orientation):
    axes = np.reshape(orientation, (2, 3))
    return np.isfinite(axes).all() and np.allclose(axes @ axes.T, np.eye(2), atol=1e-2)


def _check_same(source, what, values, near=None):
    if near is not None and np.ptp([frame.orientation for frame in near], axis=0).max() < 1e-3:
        return
    counts = Counter(values)
    if len(counts) > 1:
        listing = "; ".join(
            f"{count} of {tuple(map(float, value)) if isinstance(value, tuple) else value}"
            for value, count in counts.most_common(4)
        )
        raise ImageError(f"{source} mixes {len(counts)} {what} ({listing}); leave a single series in the folder")


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
        step = (positions[-1] - positions[0]) / (len(frames) - 1)
    else:
        step_mm = frames[0].step_mm if frames[0].step_mm > 0 else frames[0].thickness_mm
        if not step_mm > 0:
            raise ImageError(f"{source} has one slice and no slice spacing in its header; export the whole series")
        step = normal * step_mm
    row_mm, column_mm = frames[0].spacing
    affine = np.eye(4)
    affine[:3] = np.column_stack([along_row * column_mm, along_column * row_mm, step, positions[0]])
    # DICOM coordinates grow to the left and to the back (LPS), those of the affine to the right and to the front (RAS).
    return frames, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _check_steps(source, frames, distances, positions):
    """Refuse duplicate positions, unequal steps, and slices that are shifted sideways."""
    # Two frames at one position: another echo, phase or time point, or a file exported twice.
    steps = np.diff(distances)
    typical = float(np.median(steps))
    tolerance = max(STEP_TOLERANCE_MM, STEP_TOLERANCE * typical)
    repeated = np.flatnonzero(steps < min(STEP_TOLERANCE_MM, 0.5 * steps.max()))
    if steps.max() < STEP_TOLERANCE_MM or repeated.size:
        first = int(repeated[0]) if repeated.size else 0
        raise ImageError(
            f"{source} has {max(repeated.size, 1)} duplicate slice positions, such as {frames[first].name} and "
            f"{frames[first + 1].name} at {distances[first]:.2f} mm; leave a single echo, phase or time point"
        )
    # A step that deviates from the median: a slice is missing or does not belong to the series.
    uneven = np.flatnonzero(np.abs(steps - typical) > tolerance)
    if uneven.size:
        first = int(uneven[0])
        raise ImageError(
            f"{source} has unequal steps between slices: {steps[first]:.3f} mm between {frames[first].name} and "
            f"{frames[first + 1].name}, {typical:.3f} mm elsewhere; a slice is missing or surplus: export it again"
        )
    # Positions off the straight line from the first to the last slice: slices shifted within their planes.
    line = np.linspace(positions[0], positions[-1], len(positions))
    drift_mm = np.linalg.norm(positions - line, axis=1).max()
    if drift_mm > max(LINE_TOLERANCE_MM, tolerance * len(positions)):
        raise ImageError(f"{source} has slices shifted sideways by {drift_mm:.1f} mm; export the original series")


def _read_frames(frames):
    """Read frames as float32 of shape (n_frames, rows, columns), each with its own rescale slope and intercept."""
    return np.stack([_read_frame(frame) for frame in frames])


def _read_frame(frame):
    with reading(frame.path):
        stored = _stored_pixels(frame)
    if stored.shape != frame.shape:
        raise ImageError(
            f"{frame.path} has pixels of shape {stored.shape}; its header states {frame.shape}; export it again"
        )
    pixels = stored.astype(np.float64)
    if frame.inverted_sum is not None:
        pixels = frame.inverted_sum - pixels
    return (pixels * frame.slope + frame.intercept).astype(np.float32)


def _stored_pixels(frame):
    """Return the stored values of one frame, before rescaling."""
    if frame.transfer_syntax not in ("", DeflatedExplicitVRLittleEndian):
        # Reads this frame alone, also from a file without the 128-byte preamble.
        return pydicom.pixels.pixel_array(frame.path, index=frame.index, raw=True)
    dataset = pydicom.dcmread(frame.path, force=True)
    if not frame.transfer_syntax:
        # Old files may lack the file header that names the encoding of the pixels. Uncompressed pixels can be read
        # without it; compressed ones, which come in pieces of undefined total length, cannot.
        if dataset["PixelData"].is_undefined_length:
            raise ImageError(f"{frame.path} has compressed pixels but no TransferSyntaxUID; export it uncompressed")
        is_implicit, _ = dataset.original_encoding
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
    return pydicom.pixels.pixel_array(dataset, index=frame.index, raw=True)
