"""Slice stacks around the lesion, read from NIfTI and DICOM files in one orientation."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
from isal import igzip
from joblib import Parallel, delayed
from nibabel import orientations
from nibabel.arrayproxy import ArrayProxy
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_memory

from sklearn_pspd.cohort import POSITION_COLUMNS

STACK_AXES = ("S", "P", "L")  # slices feet -> head, rows front -> back, columns right -> left
STEP_TOLERANCE_MM = 0.02
STEP_TOLERANCE = 0.02  # of the slice step
LINE_TOLERANCE_MM = 0.5
GRID_TOLERANCE_MM = 0.1
MAX_SHEAR_DEG = 2.0
SIDECAR_SUFFIXES = (".bval", ".bvec", ".csv", ".html", ".ini", ".jpg", ".json", ".md", ".png", ".tsv", ".txt", ".xml")
HEADER_TAGS = [
    "SOPClassUID", "Modality", "SeriesInstanceUID", "SliceThickness", "SpacingBetweenSlices",
    "ImagePositionPatient", "ImageOrientationPatient", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames",
    "Rows", "Columns", "PixelSpacing", "BitsStored", "PixelRepresentation", "RescaleSlope", "RescaleIntercept",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class SliceStack:
    """Successive axial slices of one patient, in one orientation.

    Attributes
    ----------
    pixels : ndarray of shape (n_slices, height, width), dtype float32
        Slices run feet to head, rows front (anterior) to back, columns from the patient's right to the patient's left.
    spacing_mm : tuple of float
        Distance in mm between adjacent rows, and between adjacent columns.
    slice_spacing_mm : float
        Distance in mm between adjacent slices of ``pixels``.
    patient_id : str
        The cohort table's ``patient_id``.
    source : str
        Path of the NIfTI file, the DICOM file or the DICOM folder.
    slice_indices : tuple of float
        Position of each slice on the image's own grid, 0 at the feet; fractions where slices were interpolated.
    n_slices_in_source : int
        Number of axial slices of the image.
    thickness_mm : float
        Slice thickness that the DICOM header states; NaN for NIfTI, which has no such field.
    tilt_deg : float
        Largest angle between an axis of the grid and the body axis nearest to it.
    orientation : str
        Directions in which the stored axes run, such as ``"LAS"``; DICOM axes are ordered columns, rows, slices.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.loading import SliceStack
    >>> stack = SliceStack(np.zeros((3, 11, 7), np.float32), (0.5, 1.0), 1.0, "P01", "P01.nii.gz")
    >>> stack.fov_mm
    (5.5, 7.0)
    """

    pixels: np.ndarray
    spacing_mm: tuple[float, float]
    slice_spacing_mm: float
    patient_id: str
    source: str
    slice_indices: tuple[float, ...] = ()
    n_slices_in_source: int = 0
    thickness_mm: float = float("nan")
    tilt_deg: float = 0.0
    orientation: str = ""

    @property
    def fov_mm(self) -> tuple[float, float]:
        """Height and width of a slice in mm, (n_rows * row spacing, n_columns * column spacing)."""
        return self.pixels.shape[1] * self.spacing_mm[0], self.pixels.shape[2] * self.spacing_mm[1]


class SliceStackLoader(TransformerMixin, BaseEstimator):
    """Read the axial slices around each patient's lesion.

    ``image`` may be a NIfTI file (``.nii``, ``.nii.gz``), a folder that holds one DICOM series (a whole one, or exactly
    the slices wanted), or an enhanced (multi-frame) DICOM file; which it is shows in its content. The order and the
    direction of slices, rows and columns come from the NIfTI affine, or from the DICOM positions along the slice
    normal, never from file names. A volume that was not acquired axially is reformatted along its axis nearest to
    feet-head, without interpolation.

    The lesion's position is given per patient by exactly one of three columns, the others absent or empty:

    * ``lesion_slice``: index of the middle slice along the axial axis, **0 at the feet**;
    * ``lesion_z_mm``: scanner coordinate of the middle slice (z in mm, growing from feet to head), taken at the centre
      of the slice where the slices are tilted;
    * ``lesion_mask``: path to a NIfTI mask of the same grid, in any orientation; the slice with the largest area of
      ``lesion_label`` becomes the middle one, and of equals the one nearest to the feet.

    A patient with none of them must have an image of exactly ``n_slices`` slices.

    Parameters
    ----------
    n_slices : int, default=9
        Number of slices in a stack, odd; the middle one shows the lesion best. Nine as in [1]_.
    slice_spacing_mm : float, default=None
        Distance in mm between successive slices of a stack. ``None`` takes successive slices of the image, as in [1]_.
        A number interpolates linearly between the two nearest slices, so that a stack spans the same length in every
        patient.
    max_tilt_deg : float, default=30.0
        An image whose axes deviate more than this from the body axes is refused.
    max_spacing_mm : float, default=2.0
        An image whose axial rows or columns lie farther apart than this is refused.
    lesion_label : int, default=1
        Value of the lesion in ``lesion_mask``.
    memory : str, path or object with the joblib.Memory interface, default=None
        Where decoded stacks are kept, one entry a patient. An entry is used only while path, size and modification time
        of each of the patient's files, and all parameters, are the same; so cross-validation decodes each patient once.
    n_jobs : int, default=None
        Number of patients read at a time; see :class:`joblib.Parallel`.

    Raises
    ------
    ValueError
        From :meth:`transform`: one error that lists every patient whose images cannot be trusted, and why.

    See Also
    --------
    sklearn_pspd.preprocessing.FOVNormalizer : Brings the stacks to one field of view and matrix.

    Notes
    -----
    ``max_tilt_deg``, ``max_spacing_mm`` and the refusals are choices of this library. With ``slice_spacing_mm=None``
    the middle slice is the one nearest to ``lesion_z_mm``; with a number it lies at ``lesion_z_mm``. Slices that are
    interpolated are samples, not averages over ``slice_spacing_mm``. DICOM images must be of modality MR.

    References
    ----------
    .. [1] Jang B.-S., Jeon S. H., Kim I. H., Kim I. A. Prediction of pseudoprogression versus progression using machine
       learning algorithm in glioblastoma. Scientific Reports 8, 12516 (2018).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import nibabel as nib
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn_pspd.loading import SliceStackLoader
    >>> voxels = np.arange(7 * 11 * 6, dtype=np.float32).reshape(7, 11, 6)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "P01.nii.gz"
    ...     nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)
    ...     X = pd.DataFrame({"patient_id": ["P01"], "image": [str(path)], "lesion_slice": [2]})
    ...     stack = SliceStackLoader(n_slices=3).fit_transform(X)[0]
    >>> stack.pixels.shape
    (3, 11, 7)
    >>> stack.slice_indices
    (1.0, 2.0, 3.0)
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_slices": [Interval(Integral, 1, None, closed="left")],
        "slice_spacing_mm": [Interval(Real, 0, None, closed="neither"), None],
        "max_tilt_deg": [Interval(Real, 0, 45, closed="both")],
        "max_spacing_mm": [Interval(Real, 0, None, closed="neither")],
        "lesion_label": [Integral],
        "memory": [str, Path, HasMethods(["cache"]), None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        *,
        n_slices=9,
        slice_spacing_mm=None,
        max_tilt_deg=30.0,
        max_spacing_mm=2.0,
        lesion_label=1,
        memory=None,
        n_jobs=None,
    ):
        self.n_slices = n_slices
        self.slice_spacing_mm = slice_spacing_mm
        self.max_tilt_deg = max_tilt_deg
        self.max_spacing_mm = max_spacing_mm
        self.lesion_label = lesion_label
        self.memory = memory
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):  # noqa: ARG002
        """Check the parameters and the table's columns; nothing is learned and no file is opened.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table with ``patient_id``, ``image`` and the lesion's position.
        y : None
            Ignored.

        Returns
        -------
        self : SliceStackLoader
            The loader itself.
        """
        self._settings()
        _table_rows(X)
        return self

    def transform(self, X):
        """Read one stack per row.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table with ``patient_id``, ``image`` and the lesion's position; any row index.

        Returns
        -------
        stacks : ndarray of shape (n_patients,), dtype object
            One :class:`SliceStack` per row, in the order of the rows.

        Raises
        ------
        ValueError
            If any patient's images cannot be read or trusted; the message has one line for each.
        """
        outcomes = self._attempt_all(X)
        problems = [f"patient {pid}: {problem}" for pid, _, _, problem in outcomes if problem]
        if problems:
            listing = "\n".join(f"  {line}" for line in problems)
            raise ValueError(
                f"The images of {len(problems)} of {len(outcomes)} patients cannot be loaded "
                f"(SliceStackLoader.inspect(X) tabulates all):\n{listing}"
            )
        stacks = np.empty(len(outcomes), dtype=object)
        stacks[:] = [stack for _, stack, _, _ in outcomes]
        return stacks

    def inspect(self, X):
        """Tabulate what each patient's images are, without stopping at a bad one.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table as for :meth:`transform`.

        Returns
        -------
        table : DataFrame of shape (n_patients, 18)
            One row per patient with the index of ``X``: source, format, matrix, spacing, field of view, thickness,
            tilt, orientation code, slices used, intensity range, and ``problem`` (an empty string where the patient
            loads). What was not reached before a problem is missing.
        """
        records = []
        for patient_id, stack, facts, problem in self._attempt_all(X):
            known = _facts_of_stack(stack) if stack is not None else {}
            records.append({"patient_id": patient_id, **facts, **known, "problem": problem})
        return pd.DataFrame(records, columns=_INSPECT_COLUMNS, index=X.index)

    def _attempt_all(self, X):
        self._validate_params()
        settings = self._settings()
        memory = check_memory(str(self.memory) if isinstance(self.memory, Path) else self.memory)
        rows = _table_rows(X)
        return Parallel(n_jobs=self.n_jobs)(delayed(_attempt)(row, settings, memory) for row in rows)

    def _settings(self):
        if self.n_slices % 2 == 0:
            raise ValueError(f"n_slices must be odd, so that a stack has a middle slice; got {self.n_slices}.")
        spacing = None if self.slice_spacing_mm is None else float(self.slice_spacing_mm)
        limits = float(self.max_tilt_deg), float(self.max_spacing_mm)
        return _Settings(int(self.n_slices), spacing, *limits, int(self.lesion_label))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


_INSPECT_COLUMNS = [
    "patient_id", "source", "format", "height", "width", "n_slices_in_source", "row_spacing_mm", "column_spacing_mm",
    "slice_spacing_mm", "fov_height_mm", "fov_width_mm", "thickness_mm", "tilt_deg", "orientation", "slices",
    "intensity_min", "intensity_max", "problem",
]  # fmt: skip


class _RefusedError(ValueError):
    """An image that cannot be trusted; ``facts`` is what was known of it by then."""

    facts: dict[str, Any] | None = None


class _Settings(NamedTuple):
    n_slices: int
    slice_spacing_mm: float | None
    max_tilt_deg: float
    max_spacing_mm: float
    lesion_label: int
    decoder_version: int = 1  # part of the cache's key: raise it when the same files give other pixels


@dataclass(frozen=True)
class _Volume:
    """A grid of voxels that is read slice by slice; the affine maps stored indices to RAS mm."""

    shape: tuple[int, ...]
    affine: np.ndarray
    thickness_mm: float
    format: str
    read: Callable[[int, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Frame:
    """What the header says of one DICOM frame."""

    path: str
    index: int
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


# ---- table rows ------------------------------------------------------------------------------------------------------


def _table_rows(X):
    """List (patient_id, image, {position column: value}) of each row."""
    if not isinstance(X, pd.DataFrame):
        raise TypeError(f"X must be the cohort DataFrame with one row per patient; got {type(X).__name__}.")
    missing = [name for name in ("patient_id", "image") if name not in X.columns]
    if missing:
        raise ValueError(f"X lacks the column(s) {', '.join(missing)}; it has {', '.join(map(str, X.columns))}.")
    positions = {name: X[name].tolist() for name in POSITION_COLUMNS if name in X.columns}
    return [
        (str(pid), image, {name: values[i] for name, values in positions.items() if not _is_blank(values[i])})
        for i, (pid, image) in enumerate(zip(X["patient_id"].tolist(), X["image"].tolist(), strict=True))
    ]


def _is_blank(value):
    return bool(pd.isna(value)) or (isinstance(value, str) and not value.strip())


def _attempt(row, settings, memory):
    """Return (patient_id, stack or None, facts, problem or "") of one row, whatever its files are."""
    patient_id, image, given = row
    facts: dict[str, Any] = {}
    try:
        path = _checked_path(image, "image")
        facts["source"] = path
        position = _checked_position(given)
        with _reading(path):
            files = _image_files(path) + ([position[1]] if position[0] == "lesion_mask" else [])
            identity = tuple((str(file), *_size_and_time(file)) for file in files)
        stack, found = memory.cache(_decode)(patient_id, path, position, tuple(settings), identity)
    except _RefusedError as error:
        return patient_id, None, {**facts, **(error.facts or {})}, str(error)
    return patient_id, stack, {**facts, **found}, ""


def _checked_path(value, column):
    if _is_blank(value):
        raise _RefusedError(f"the column {column!r} is empty; give the path of a NIfTI file or a DICOM folder")
    if not isinstance(value, str | Path):
        raise _RefusedError(f"the column {column!r} has {value!r}, which is not a path")
    if not Path(value).exists():
        raise _RefusedError(f"{value} does not exist (column {column!r})")
    return str(value)


def _checked_position(given):
    """Return (column, value) of the lesion's position; (None, None) where there is none."""
    if len(given) > 1:
        found = ", ".join(f"{name}={value!r}" for name, value in given.items())
        raise _RefusedError(f"the lesion's position is given {len(given)} times ({found}); leave exactly one")
    if not given:
        return None, None
    ((column, value),) = given.items()
    if column == "lesion_mask":
        return column, _checked_path(value, column)
    if isinstance(value, bool | str) or not isinstance(value, Real) or not np.isfinite(value):
        raise _RefusedError(f"{column} is {value!r}; give a number")
    if column == "lesion_slice" and value != int(value):
        raise _RefusedError(f"lesion_slice is {value!r}; give a whole number, counted from 0 at the feet")
    return column, float(value)


def _image_files(path):
    """List the files that an image may consist of: the file itself, or a folder's files without side-cars."""
    if not Path(path).is_dir():
        return [path]
    entries = sorted(entry for entry in Path(path).iterdir() if not entry.name.startswith("."))
    files = [e for e in entries if e.is_file() and e.name != "DICOMDIR" and e.suffix.lower() not in SIDECAR_SUFFIXES]
    if not files:
        folders = [entry.name for entry in entries if entry.is_dir()]
        hint = f"; it has the folders {', '.join(folders[:5])}, name one of them" if folders else ""
        raise _RefusedError(f"{path} is a folder without image files{hint}")
    return [str(file) for file in files]


def _size_and_time(path):
    status = Path(path).stat()
    return status.st_size, status.st_mtime_ns


# ---- one patient -----------------------------------------------------------------------------------------------------


def _decode(patient_id, path, position, settings, identity):
    """Read one patient's stack. ``identity`` is there for the cache's key, and names the files."""
    settings = _Settings(*settings)
    facts: dict[str, Any] = {}
    try:
        n_masks = position[0] == "lesion_mask"
        volume = _open_volume(path, [file for file, _, _ in identity[: len(identity) - n_masks]])
        facts.update(_facts_of_volume(volume))
        _check_geometry(path, volume, settings)
        middle = _middle_slice(path, volume, position, settings)
        indices = _stack_indices(path, volume, middle, settings)
        pixels = _read_slices(volume, indices)
        _check_pixels(path, pixels, indices)
    except _RefusedError as error:
        error.facts = facts
        raise
    spacing = _canonical_spacing(volume)
    stack = SliceStack(
        pixels=pixels,
        spacing_mm=(spacing[1], spacing[2]),
        slice_spacing_mm=settings.slice_spacing_mm or spacing[0],
        patient_id=patient_id,
        source=path,
        slice_indices=tuple(float(index) for index in indices),
        n_slices_in_source=facts["n_slices_in_source"],
        thickness_mm=volume.thickness_mm,
        tilt_deg=facts["tilt_deg"],
        orientation=facts["orientation"],
    )
    return stack, facts


def _open_volume(path, files):
    if not Path(path).is_dir() and not _is_dicom(path):
        return _open_nifti(path)
    return _open_dicom(path, files)


@contextmanager
def _reading(path) -> Iterator[None]:
    """Turn whatever a decoder raises into a refusal that names the file."""
    try:
        yield
    except _RefusedError:
        raise
    except Exception as error:  # decoders raise anything on damaged input: EOFError, struct.error, KeyError ...
        reason = " ".join(str(error).split()) or "no further reason"
        raise _RefusedError(
            f"{path} cannot be read ({type(error).__name__}: {reason}); it is truncated, corrupt or in a format or "
            "compression that has no decoder here: export it again"
        ) from error


def _facts_of_volume(volume):
    shape, spacing = _canonical_shape(volume), _canonical_spacing(volume)
    return {
        "format": volume.format,
        "n_slices_in_source": shape[0],
        "height": shape[1],
        "width": shape[2],
        "slice_spacing_mm": spacing[0],
        "row_spacing_mm": spacing[1],
        "column_spacing_mm": spacing[2],
        "fov_height_mm": shape[1] * spacing[1],
        "fov_width_mm": shape[2] * spacing[2],
        "thickness_mm": volume.thickness_mm,
        "tilt_deg": _tilt_deg(volume),
        "orientation": "".join(orientations.aff2axcodes(volume.affine)),
    }


def _facts_of_stack(stack):
    return {
        "slice_spacing_mm": stack.slice_spacing_mm,
        "slices": " ".join(f"{index:g}" for index in stack.slice_indices),
        "intensity_min": float(stack.pixels.min()),
        "intensity_max": float(stack.pixels.max()),
    }


# ---- geometry --------------------------------------------------------------------------------------------------------


def _to_canonical(affine):
    """Return nibabel's orientation transform from the stored axes to (feet-head, front-back, right-left)."""
    return orientations.ornt_transform(orientations.io_orientation(affine), orientations.axcodes2ornt(STACK_AXES))


def _canonical_affine(affine, shape):
    return affine @ orientations.inv_ornt_aff(_to_canonical(affine), shape)


def _canonical_shape(volume):
    order = np.argsort(_to_canonical(volume.affine)[:, 0])
    return tuple(int(volume.shape[axis]) for axis in order)


def _canonical_spacing(volume):
    steps = np.linalg.norm(_canonical_affine(volume.affine, volume.shape)[:3, :3], axis=0)
    return tuple(float(step) for step in steps)


def _tilt_deg(volume):
    directions = _canonical_affine(volume.affine, volume.shape)[:3, :3] / np.array(_canonical_spacing(volume))
    body = np.array([[0, 0, -1], [0, -1, 0], [1, 0, 0]], dtype=float)  # columns: to the head, to the back, to the left
    cosines = np.clip(np.sum(directions * body, axis=0), -1.0, 1.0)
    return float(np.degrees(np.arccos(cosines)).max())


def _check_geometry(path, volume, settings):
    directions = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    cosines = np.abs(directions.T @ directions)[np.triu_indices(3, 1)]
    if cosines.max() > np.sin(np.radians(MAX_SHEAR_DEG)):
        raise _RefusedError(
            f"{path} has axes that are not perpendicular ({90 - np.degrees(np.arcsin(cosines.max())):.1f} degrees); "
            "resample it to a rectangular grid first"
        )
    tilt = _tilt_deg(volume)
    if tilt > settings.max_tilt_deg:
        raise _RefusedError(
            f"{path} is tilted by {tilt:.1f} degrees from the body axes; max_tilt_deg={settings.max_tilt_deg:g} was "
            "asked for: reformat the volume axially or raise max_tilt_deg"
        )
    _, height, width = _canonical_shape(volume)
    if min(height, width) < settings.n_slices:
        raise _RefusedError(
            f"{path} is {height} x {width} pixels in the axial plane, a volume of too few slices; at least "
            f"n_slices={settings.n_slices} each way were asked for: export the whole series"
        )
    _, row_mm, column_mm = _canonical_spacing(volume)
    if max(row_mm, column_mm) > settings.max_spacing_mm:
        raise _RefusedError(
            f"{path} has an axial pixel spacing of {row_mm:.3g} x {column_mm:.3g} mm; max_spacing_mm="
            f"{settings.max_spacing_mm:g} was asked for: use a finer series or raise max_spacing_mm"
        )


# ---- which slices ----------------------------------------------------------------------------------------------------


def _middle_slice(path, volume, position, settings):
    """Return the index of the middle slice, 0 at the feet; a fraction where slices are interpolated."""
    n_slices = _canonical_shape(volume)[0]
    column, value = position
    if column is None:
        if n_slices != settings.n_slices:
            raise _RefusedError(
                f"{path} has {n_slices} axial slices and no lesion position; give one of "
                f"{', '.join(POSITION_COLUMNS)}, or exactly n_slices={settings.n_slices} slices"
            )
        return n_slices // 2
    if column == "lesion_slice":
        if not 0 <= value < n_slices:
            raise _RefusedError(
                f"{path} has {n_slices} axial slices; lesion_slice={value:g} lies outside 0..{n_slices - 1} "
                "(0 at the feet)"
            )
        return int(value)
    if column == "lesion_z_mm":
        index = _index_at_height(path, volume, value)
        return index if settings.slice_spacing_mm else int(np.clip(np.floor(index + 0.5), 0, n_slices - 1))
    return _largest_lesion_slice(path, volume, value, settings.lesion_label)


def _index_at_height(path, volume, z_mm):
    n_slices, height, width = shape = _canonical_shape(volume)
    affine = _canonical_affine(volume.affine, volume.shape)
    first_mm = float((affine @ [0, (height - 1) / 2, (width - 1) / 2, 1])[2])
    step_mm = float(affine[2, 0])
    index = (z_mm - first_mm) / step_mm
    if not -0.5 <= index <= n_slices - 0.5:
        last_mm = first_mm + (shape[0] - 1) * step_mm
        raise _RefusedError(
            f"{path} has axial slices from z = {first_mm:.1f} to {last_mm:.1f} mm; lesion_z_mm={z_mm:g} lies outside"
        )
    return index


def _largest_lesion_slice(path, volume, mask_path, label):
    if _is_dicom(mask_path):
        raise _RefusedError(f"{mask_path} is a DICOM file; give lesion_mask as NIfTI")
    mask = _open_nifti(mask_path)
    mask_affine = _canonical_affine(mask.affine, mask.shape)
    affine = _canonical_affine(volume.affine, volume.shape)
    shape, mask_shape = _canonical_shape(volume), _canonical_shape(mask)
    corners = np.array([[i, j, k, 1] for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])])
    offset_mm = np.linalg.norm((corners @ (mask_affine - affine).T)[:, :3], axis=1).max()
    if mask_shape != shape or offset_mm > GRID_TOLERANCE_MM:
        raise _RefusedError(
            f"{mask_path} lies on another grid than {path}: {mask_shape} against {shape} (slices, rows, columns), "
            f"corners up to {offset_mm:.2f} mm apart; resample the mask onto the image"
        )
    labels = _read_slices(mask, np.arange(shape[0]))
    areas = np.count_nonzero(labels == label, axis=(1, 2))
    if not areas.any():
        found = ", ".join(f"{value:g}" for value in np.unique(labels)[:10])
        raise _RefusedError(f"{mask_path} has no voxel of lesion_label={label}; its values are {found}")
    return int(np.argmax(areas))


def _stack_indices(path, volume, middle, settings):
    """Return the n_slices positions on the image's own grid; whole numbers where no interpolation is needed."""
    n_available = _canonical_shape(volume)[0]
    step = 1.0
    if settings.slice_spacing_mm:
        step = settings.slice_spacing_mm / _canonical_spacing(volume)[0]
    half = settings.n_slices // 2
    indices = middle + step * np.arange(-half, half + 1)
    whole = np.rint(indices)
    indices = np.where(np.abs(indices - whole) < 1e-4, whole, indices)
    if indices[0] < 0 or indices[-1] > n_available - 1:
        raise _RefusedError(
            f"{path} has {n_available} axial slices (0..{n_available - 1}); slices {indices[0]:g}..{indices[-1]:g} "
            f"around the lesion at {middle:g} were asked for: correct the position or lower n_slices"
        )
    return indices


def _read_slices(volume, indices):
    """Read slices in the one orientation, float32; fractional indices blend the two nearest slices."""
    transform = _to_canonical(volume.affine)
    axis = int(np.flatnonzero(transform[:, 0] == 0)[0])
    lower = np.floor(indices).astype(int)
    native = np.union1d(lower, np.ceil(indices).astype(int))
    stored = volume.shape[axis] - 1 - native if transform[axis, 1] < 0 else native
    block = volume.read(axis, stored)
    transform[axis, 1] = 1  # the slices were already read from feet to head
    slices = orientations.apply_orientation(block, transform)
    fraction = (indices - lower).astype(np.float32)
    if not fraction.any():
        return np.ascontiguousarray(slices, dtype=np.float32)
    below = slices[np.searchsorted(native, lower)].astype(np.float32)
    above = slices[np.searchsorted(native, np.ceil(indices).astype(int))].astype(np.float32)
    return below + (above - below) * fraction[:, None, None]


def _check_pixels(path, pixels, indices):
    for index, image in zip(indices, pixels, strict=True):
        n_bad = image.size - np.count_nonzero(np.isfinite(image))
        if n_bad:
            raise _RefusedError(f"{path} has {n_bad} non-finite pixels in axial slice {index:g}; export it again")
        if image.min() == image.max():
            raise _RefusedError(
                f"{path} has the constant value {image.flat[0]:g} in axial slice {index:g}; check the lesion's position"
            )


# ---- NIfTI -----------------------------------------------------------------------------------------------------------


def _open_nifti(path):
    _check_nifti_content(path)
    with _reading(path):
        image = nib.load(path)
        header, shape = image.header, image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise _RefusedError(f"{path} is a {len(shape)}-D volume of shape {shape}; give one 3-D volume")
    if header.get_data_dtype().kind not in "iuf":
        raise _RefusedError(f"{path} holds pixels of type {header.get_data_dtype()}; give one grey value per voxel")
    _check_nifti_frame(path, image)
    trailing = (0,) * (len(image.shape) - 3)

    def read(axis, indices):
        key = [slice(None)] * 3
        key[axis] = slice(int(indices.min()), int(indices.max()) + 1)
        stored = image.dataobj
        form = (stored.shape, stored.dtype, stored.offset, stored.slope, stored.inter)
        opener = igzip.open if _starts_as_gzip(path) else open
        with _reading(path), opener(path, "rb") as file:
            block = np.asanyarray(ArrayProxy(file, form)[(*key, *trailing)])
        if np.array_equal(indices, np.arange(indices[0], indices[0] + len(indices))):
            return block
        return block.take(indices - indices.min(), axis)

    return _Volume(shape, image.affine, float("nan"), "NIfTI", read)


def _check_nifti_content(path):
    """Refuse what is no NIfTI file, and one that is shorter than its header says."""
    with _reading(path):
        compressed = _starts_as_gzip(path)
        opener = igzip.open if compressed else open
        with opener(path, "rb") as file:
            start = file.read(352)
    if start[344:348] not in (b"n+1\0", b"ni1\0") and start[4:8] not in (b"n+2\0", b"ni2\0"):
        raise _RefusedError(f"{path} is neither a NIfTI file nor a DICOM file; give one of these or a DICOM folder")
    with _reading(path):
        image = nib.load(path)
        expected = int(image.dataobj.offset) + int(np.prod(image.shape)) * image.header.get_data_dtype().itemsize
        found = _uncompressed_size(path, expected) if compressed else Path(path).stat().st_size
    if found < expected:
        raise _RefusedError(f"{path} is truncated: {found} of {expected} bytes are there; copy or export it again")


def _starts_as_gzip(path):
    with Path(path).open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _uncompressed_size(path, expected):
    """Return the length of a gzip file's content, unpacked only where its trailer does not confirm ``expected``."""
    with Path(path).open("rb") as file:
        file.seek(-4, 2)
        if int.from_bytes(file.read(4), "little") == expected % 2**32:
            return expected
    size = 0
    with igzip.open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            size += len(chunk)
    return size


def _check_nifti_frame(path, image):
    """Refuse a volume whose place in the scanner is not stated, or stated in two ways that disagree."""
    header = image.header
    qform_code, sform_code = int(header["qform_code"]), int(header["sform_code"])
    if qform_code == 0 and sform_code == 0:
        raise _RefusedError(f"{path} states no orientation (qform_code and sform_code are 0); convert it again")
    if header.get_xyzt_units()[0] not in ("mm", "unknown"):
        raise _RefusedError(f"{path} is in {header.get_xyzt_units()[0]}s; give it in mm")
    matrix = image.affine[:3, :3]
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(matrix)) < 1e-9:
        raise _RefusedError(f"{path} states no voxel spacing: its affine is singular; convert it again")
    if qform_code and sform_code:
        with _reading(path):
            codes = ["".join(orientations.aff2axcodes(form)) for form in (header.get_qform(), header.get_sform())]
        if codes[0] != codes[1]:
            raise _RefusedError(
                f"{path} states two orientations, {codes[0]} in its qform and {codes[1]} in its sform; make them agree"
            )


# ---- DICOM -----------------------------------------------------------------------------------------------------------


def _is_dicom(path):
    with _reading(path), Path(path).open("rb") as file:
        file.seek(128)
        return file.read(4) == b"DICM"


def _open_dicom(source, files):
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
    return _Volume(shape, affine, frames[0].thickness_mm, kind, read)


def _read_headers(path):
    """List the frames of one DICOM file; its pixels are not read."""
    if not _is_dicom(path):
        raise _RefusedError(f"{path} is no DICOM file (no DICM mark); remove it from the folder or export it again")
    with _reading(path):
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=HEADER_TAGS)
        if header.get("Rows") is None or header.get("Columns") is None:
            raise _RefusedError(f"{path} is a DICOM file without an image; remove it from the folder")
        n_frames = int(header.get("NumberOfFrames") or 1)
        groups = list(header.get("PerFrameFunctionalGroupsSequence") or [])
        if n_frames > 1 and len(groups) != n_frames:
            raise _RefusedError(
                f"{path} has {n_frames} frames and positions for {len(groups)}; export it as single-frame files"
            )
        shared = list(header.get("SharedFunctionalGroupsSequence") or [])
        return [_frame(path, header, index, groups[index : index + 1] + shared) for index in range(n_frames)]


def _frame(path, header, index, groups):
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

    photometric = str(header.get("PhotometricInterpretation", ""))
    samples = int(header.get("SamplesPerPixel") or 1)
    stored_sum = -1 if header.get("PixelRepresentation") else 2 ** int(header.get("BitsStored") or 16) - 1
    return _Frame(
        path=path,
        index=index,
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
    """Refuse frames that are not grey MR images of one series on one grid."""
    for frame in frames:
        if frame.modality != "MR":
            raise _RefusedError(f"{frame.path} has the modality {frame.modality or 'missing'}; MR was asked for")
        if frame.photometric not in ("MONOCHROME1", "MONOCHROME2"):
            raise _RefusedError(f"{frame.path} is in colour ({frame.photometric or 'not stated'}); give grey images")
        if frame.position is None or len(frame.position) != 3 or not np.isfinite(frame.position).all():
            raise _RefusedError(f"{frame.path} has no ImagePositionPatient; export the original series")
        if frame.orientation is None or len(frame.orientation) != 6 or not _is_orthonormal(frame.orientation):
            raise _RefusedError(f"{frame.path} has no valid ImageOrientationPatient; export the original series")
        if (
            frame.spacing is None
            or len(frame.spacing) != 2
            or not 0 < min(frame.spacing) <= max(frame.spacing) < np.inf
        ):
            raise _RefusedError(f"{frame.path} has no PixelSpacing; export the original series")
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
        raise _RefusedError(f"{source} mixes {len(counts)} {what} ({listing}); leave one series in the folder")


def _arrange_frames(source, frames):
    """Order frames along the slice normal and return them with the RAS affine of (columns, rows, slices)."""
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
            raise _RefusedError(f"{source} has one slice and states no slice spacing; export the whole series")
        step = normal * step_mm
    row_mm, column_mm = frames[0].spacing
    affine = np.eye(4)
    affine[:3] = np.column_stack([along_row * column_mm, along_column * row_mm, step, positions[0]])
    return frames, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _check_steps(source, frames, distances, positions):
    """Refuse duplicate positions, unequal steps, and slices that do not lie behind one another."""
    steps = np.diff(distances)
    typical = float(np.median(steps))
    tolerance = max(STEP_TOLERANCE_MM, STEP_TOLERANCE * typical)
    repeated = np.flatnonzero(steps < min(STEP_TOLERANCE_MM, 0.5 * steps.max()))
    if steps.max() < STEP_TOLERANCE_MM or repeated.size:
        first = int(repeated[0]) if repeated.size else 0
        raise _RefusedError(
            f"{source} has {max(repeated.size, 1)} duplicate slice positions, such as {frames[first].name} and "
            f"{frames[first + 1].name} at {distances[first]:.2f} mm; leave one echo, phase or time point"
        )
    uneven = np.flatnonzero(np.abs(steps - typical) > tolerance)
    if uneven.size:
        first = int(uneven[0])
        raise _RefusedError(
            f"{source} has unequal steps between slices: {steps[first]:.3f} mm between {frames[first].name} and "
            f"{frames[first + 1].name}, {typical:.3f} mm elsewhere; a slice is missing or too many: export all again"
        )
    line = np.linspace(positions[0], positions[-1], len(positions))
    drift_mm = np.linalg.norm(positions - line, axis=1).max()
    if drift_mm > max(LINE_TOLERANCE_MM, tolerance * len(positions)):
        raise _RefusedError(f"{source} has slices shifted sideways by {drift_mm:.1f} mm; export the original series")


def _read_frames(frames):
    """Read frames as float32 of shape (n_frames, rows, columns), rescaled file by file."""
    return np.stack([_read_frame(frame) for frame in frames])


def _read_frame(frame):
    with _reading(frame.path):
        stored = pydicom.pixels.pixel_array(frame.path, index=frame.index, raw=True)
    if stored.shape != frame.shape:
        raise _RefusedError(f"{frame.path} has pixels of shape {stored.shape}; its header says {frame.shape}")
    pixels = stored.astype(np.float64)
    if frame.inverted_sum is not None:
        pixels = frame.inverted_sum - pixels
    return (pixels * frame.slope + frame.intercept).astype(np.float32)
