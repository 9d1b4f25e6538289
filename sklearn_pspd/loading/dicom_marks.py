"""Lesions marked in DICOM: segmentations (SEG) and structure sets of radiotherapy (RTSTRUCT)."""

from dataclasses import dataclass

import numpy as np
import pydicom
from isal import igzip

from sklearn_pspd.cohort.image_files import is_gzip

from .dicom import read_header
from .errors import FileError, NoLesionError
from .geometry import GRID_TOLERANCE, canonical_indices, canonical_shape
from .header_facts import found_value, to_numbers

_BINARY_OR_FRACTIONAL, _LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"
SEGMENTATIONS = (_BINARY_OR_FRACTIONAL, _LABEL_MAP)
STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
CLOSED = ("", "CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_TO_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class DicomSegmentation:
    """One segment of a DICOM segmentation."""

    path: str
    number: int
    header: pydicom.Dataset

    def areas(self, image, volume):
        """Return the number of voxels of the segment in each axial slice of an image.

        Parameters
        ----------
        image : str
            The image, for messages.
        volume : Volume
            Its volume, on whose grid the segmentation must be.

        Returns
        -------
        ndarray of shape (n_slices,)
            Numbers of voxels, slices from feet to head.
        """
        series = [item.get("SeriesInstanceUID") for item in self.header.get("ReferencedSeriesSequence") or []]
        _check_reference(self.path, image, volume, self.header.get("FrameOfReferenceUID"), series)
        shape = canonical_shape(volume)
        areas = np.zeros(shape[0], dtype=np.int64)
        for groups, mask in self._frames():
            rows, columns = np.nonzero(mask)
            if len(rows):
                voxels = self._voxels(image, volume, groups, rows, columns)
                areas += np.bincount(voxels[:, 0], minlength=shape[0])
        return areas

    def _frames(self):
        """Yield the functional groups and the mask of each frame of the segment."""
        shared = list(self.header.get("SharedFunctionalGroupsSequence") or [])
        groups = [[own, *shared] for own in self.header.get("PerFrameFunctionalGroupsSequence") or []]
        with (igzip.open if is_gzip(self.path) else open)(self.path, "rb") as file:
            stored = pydicom.dcmread(file, force=True).pixel_array
        stored = stored.reshape(-1, *stored.shape[-2:])
        if len(stored) != len(groups):
            raise FileError(self.path, f"has {len(stored)} frames but positions for {len(groups)}; export it again")
        is_map = self.header.SOPClassUID == _LABEL_MAP
        highest = int(self.header.get("MaximumFractionalValue") or 1)
        for own, pixels in zip(groups, stored, strict=True):
            if is_map:
                yield own, pixels == self.number
            elif int(found_value(self.header, "ReferencedSegmentNumber", own)) == self.number:
                # Fractional segments state probability or occupancy; half of it is lesion.
                yield own, 2 * pixels.astype(np.int64) >= highest if highest > 1 else pixels > 0

    def _voxels(self, image, volume, groups, rows, columns):
        """Return the voxels (slice, row, column) of the image that pixels of a frame are."""
        position, cosines, spacing = (
            np.array(to_numbers(found_value(self.header, name, groups)))
            for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
        )
        if (len(position), len(cosines), len(spacing)) != (3, 6, 2):
            raise FileError(self.path, "has frames without position, orientation or pixel spacing; export it again")
        places = position + np.outer(columns * spacing[1], cosines[:3]) + np.outer(rows * spacing[0], cosines[3:])
        indices = canonical_indices(volume, places * _TO_RAS)
        voxels = np.rint(indices).astype(np.int64)
        offset = float(np.abs(indices - voxels).max())
        is_inside = bool(np.all((voxels >= 0) & (voxels < canonical_shape(volume))))
        # Neighbouring pixels must be neighbouring voxels, too.
        is_same_grid = len(np.unique(voxels, axis=0)) == len(voxels)
        if offset > GRID_TOLERANCE or not is_inside or not is_same_grid:
            how = f"up to {offset:.2f} voxels off" if is_inside else "outside the image"
            raise FileError(
                self.path,
                f"has a different grid from {image} (pixels {how}); give the segmentation of that series, or "
                "resample it",
            )
        return voxels


@dataclass(frozen=True)
class Structure:
    """One region of a structure set: its contours in patient coordinates of DICOM, and what they refer to."""

    path: str
    name: str
    contours: list
    frame_uid: str
    series: list

    def areas(self, image, volume):
        """Return the number of voxels inside the contours in each axial slice of an image.

        Parameters
        ----------
        image : str
            The image, for messages.
        volume : Volume
            Its volume, in whose slices the contours must lie.

        Returns
        -------
        ndarray of shape (n_slices,)
            Numbers of voxels, slices from feet to head.
        """
        _check_reference(self.path, image, volume, self.frame_uid, self.series)
        # Unlike a segmentation, contours have no grid that would tell.
        of_series = [uid for uid in self.series if uid and uid == volume.facts.get("series_uid")]
        if not of_series and not (self.frame_uid and self.frame_uid == volume.facts.get("frame_uid")):
            raise FileError(
                self.path,
                f"is a structure set that has neither series nor frame of reference in common with {image}, so that "
                "they may not belong together; give the series on which it was drawn, a NIfTI mask or a point",
            )
        inverse = np.linalg.inv(volume.affine)
        masks = {}
        for contour in self.contours:
            indices = (contour * _TO_RAS) @ inverse[:3, :3].T + inverse[:3, 3]
            axis, number = self._plane(image, volume, indices)
            others = [other for other in range(3) if other != axis]
            inside = _inside(indices[:, others], [volume.shape[other] for other in others])
            # A contour within another one is a hole.
            key = axis, number
            masks[key] = masks[key] ^ inside if key in masks else inside
        return self._count(volume, masks)

    def _plane(self, image, volume, indices):
        """Return the stored axis that is normal to a contour, and the slice along it in which the contour lies."""
        axis = int(np.argmin(np.ptp(indices, axis=0)))
        number = round(float(indices[:, axis].mean()))
        offset = float(np.abs(indices[:, axis] - number).max())
        if offset > GRID_TOLERANCE or not 0 <= number < volume.shape[axis]:
            raise FileError(
                self.path,
                f"has a contour of {self.name!r} that lies in no slice of {image} ({offset:.2f} slices off); give the "
                "series on which it was drawn",
            )
        return axis, number

    def _count(self, volume, masks):
        areas = np.zeros(canonical_shape(volume)[0], dtype=np.int64)
        for (axis, number), mask in masks.items():
            stored = np.insert(np.argwhere(mask), axis, number, axis=1)
            places = stored @ volume.affine[:3, :3].T + volume.affine[:3, 3]
            slices = np.rint(canonical_indices(volume, places)[:, 0]).astype(np.int64)
            areas += np.bincount(slices, minlength=len(areas))
        return areas


def open_segmentation(path, label):
    """Return the segment of a DICOM segmentation that has a number or a name.

    Parameters
    ----------
    path : str
        The file.
    label : int or str
        Number or name of the segment.
    """
    header = read_header(path)
    segments = {
        int(item.SegmentNumber): str(item.get("SegmentLabel", "")).strip()
        for item in header.get("SegmentSequence") or []
    }
    numbers = [number for number, name in segments.items() if label in (number, name)]
    if len(numbers) != 1:
        raise NoLesionError(
            f"{path} has {'several segments' if numbers else 'no segment'} of lesion_label={label!r}; it has "
            f"{_listing(segments)}: correct one of them"
        )
    return DicomSegmentation(str(path), numbers[0], header)


def open_structures(path, label):
    """Return the region of a structure set that has a name; with a number as label, its only region.

    Parameters
    ----------
    path : str
        The file.
    label : int or str
        Name of the region, or a number.
    """
    header = read_header(path)
    contours = {
        int(item.ReferencedROINumber): list(item.ContourSequence)
        for item in header.get("ROIContourSequence") or []
        if item.get("ContourSequence")
    }
    regions = {int(item.ROINumber): item for item in header.get("StructureSetROISequence") or []}
    names = {number: str(regions[number].get("ROIName", "")).strip() for number in contours if number in regions}
    numbers = [number for number, name in names.items() if not isinstance(label, str) or name == label]
    if len(numbers) != 1:
        advice = "give the name of one as lesion_label" if numbers else "correct one of them"
        raise NoLesionError(
            f"{path} has {len(numbers)} contoured regions for lesion_label={label!r}; it has {_listing(names)}: "
            f"{advice}"
        )
    (number,) = numbers
    return Structure(
        path=str(path),
        name=names[number],
        contours=[_points(path, names[number], contour) for contour in contours[number]],
        frame_uid=str(regions[number].get("ReferencedFrameOfReferenceUID", "")),
        series=_series_of(header),
    )


def _points(path, name, contour):
    kind = str(contour.get("ContourGeometricType", ""))
    points = np.array(to_numbers(contour.get("ContourData")))
    if kind not in CLOSED or len(points) < 9 or len(points) % 3 or not np.isfinite(points).all():
        raise FileError(
            path, f"has a contour of {name!r} that encloses no area ({kind or 'too few points'}); give closed contours"
        )
    return points.reshape(-1, 3)


def _series_of(header):
    """Return the UIDs of the series on which contours were drawn."""
    return [
        str(series.get("SeriesInstanceUID", ""))
        for frame in header.get("ReferencedFrameOfReferenceSequence") or []
        for study in frame.get("RTReferencedStudySequence") or []
        for series in study.get("RTReferencedSeriesSequence") or []
    ]


def _check_reference(path, image, volume, frame_uid, series):
    """Refuse what refers to another frame of reference or to other series than those of the image."""
    frame_uid, own_frame = str(frame_uid or ""), volume.facts.get("frame_uid", "")
    series, own_series = [str(uid) for uid in series if uid], volume.facts.get("series_uid", "")
    if frame_uid and own_frame and frame_uid != own_frame:
        raise FileError(
            path,
            f"refers to the frame of reference {frame_uid}, {image} has {own_frame}; give what was drawn on it",
        )
    if series and own_series and own_series not in series:
        raise FileError(
            path,
            f"refers to the series {', '.join(series)}, {image} is {own_series}; give what was drawn on it",
        )


def _inside(points, shape):
    """Return which pixels have their centre inside a closed polygon, by the even-odd rule.

    ``points`` are pairs of fractional indices along the two axes of the mask.
    """
    mask = np.zeros(shape, dtype=bool)
    ends = np.roll(points, -1, axis=0)
    first = max(int(np.ceil(points[:, 0].min())), 0)
    last = min(int(np.floor(points[:, 0].max())), shape[0] - 1)
    places = np.arange(shape[1])
    for line in range(first, last + 1):
        crosses = (points[:, 0] <= line) != (ends[:, 0] <= line)
        begin, end = points[crosses], ends[crosses]
        at = begin[:, 1] + (line - begin[:, 0]) * (end[:, 1] - begin[:, 1]) / (end[:, 0] - begin[:, 0])
        # A pixel is inside if an odd number of edges lies before it.
        mask[line] = np.searchsorted(np.sort(at), places, side="right") % 2 == 1
    return mask


def _listing(names):
    return ", ".join(f"{number} {name!r}" for number, name in names.items()) or "none"
