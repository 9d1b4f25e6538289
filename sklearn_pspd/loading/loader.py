"""Transformer from the rows of a cohort table to slice stacks."""

import stat
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from joblib import Memory, Parallel, delayed
from sklearn.base import BaseEstimator, TransformerMixin

from sklearn_pspd._sklearn import Interval, _fit_context
from sklearn_pspd.cohort.cells import point_problem
from sklearn_pspd.cohort.columns import POINT_COLUMNS, POSITION_COLUMNS, checked_further_images, lesion_positions
from sklearn_pspd.cohort.image_files import folder_entries, pair_files, path_problem, sidecar_of
from sklearn_pspd.cohort.problems import check_frame, is_missing, listed_problems
from sklearn_pspd.exceptions import InputError

from .cache import open_cache
from .errors import FileProblems, ImageError, printable, reading
from .findings import FACT_NUMBERS, FACT_TEXTS, checked_kinds
from .geometry import Settings
from .stack import decode, entry_of_stack, facts_of_stack, stack_of_entry

_INSPECT_COLUMNS = [
    "patient_id", "source", "format", "height", "width", "n_slices_in_source", "row_spacing_mm", "column_spacing_mm",
    "slice_spacing_mm", "fov_height_mm", "fov_width_mm", "thickness_mm", "tilt_deg", "orientation", "slices",
    "intensity_min", "intensity_max", "study_date", "weighting", "contrast", *FACT_TEXTS, *FACT_NUMBERS,
    "further_images", "n_passed_over", "passed_over", "problem",
]  # fmt: skip


class SliceStackLoader(TransformerMixin, BaseEstimator):
    """Read the axial slices around each patient's lesion.

    ``image`` is the path of a NIfTI file (``.nii``, ``.nii.gz``) or pair (``.hdr`` and ``.img``), of a folder with one
    DICOM series (the whole series, or exactly the slices of the stack), or of an enhanced (multi-frame) DICOM file. Its
    format is recognised by its content. In a DICOM folder, other DICOM objects and foreign files are passed over, and
    counted by :meth:`inspect`; what claims to be an image and is not is an error.

    The order and the direction of slices, rows and columns come from the NIfTI affine, or from the DICOM positions
    along the slice normal, never from file names. A volume that was not acquired axially is reformatted along its axis
    nearest to feet-head, without interpolation.

    The position of the lesion is given for each patient in exactly one of these ways; other columns are absent or
    empty:

    * ``lesion_slice``: index of the middle slice along the axial axis, **0 at the feet**;
    * ``lesion_instance``: DICOM InstanceNumber of the middle slice, the image number that most viewers show. It is
      refused for NIfTI and multi-frame files, for series that are not axial, and if two images have the same number;
    * ``lesion_x_mm``, ``lesion_y_mm`` and ``lesion_z_mm``: a point of the lesion in scanner coordinates in mm, **to the
      right, to the front and to the head (RAS)**, as NIfTI and most research viewers state them. DICOM's coordinates
      (LPS) have the opposite signs of x and y. The middle slice is the one that the point lies in;
    * ``lesion_z_mm`` alone: height of the middle slice in the same coordinates. In tilted slices it is ambiguous, as a
      slice has other heights in front than at the back; it is refused if they differ from the height of the centre by
      more than half a slice;
    * ``lesion_mask``: path of a file that marks the lesion. What it is depends on its content:

      - a NIfTI mask on the same grid, in any orientation. Values within 0.001 of whole numbers are rounded; missing
        values (NaN) are no lesion; others are refused;
      - a DICOM segmentation (SEG) on the same grid, or an RT structure set (RTSTRUCT) whose contours lie in slices of
        the series; both are refused if they refer to another series or frame of reference;
      - a point of 3D Slicer (``.mrk.json``), in the coordinates that the file states; of several, the only one that is
        selected.

      The slice with the largest area of ``lesion_label`` is the middle slice; of several with the same area, the one
      nearest to the feet.

    If none of them is given, the image must have exactly ``n_slices`` slices.

    ``further_images`` names columns with the paths of further images of each patient, such as FLAIR, an earlier
    examination or a subtraction image, of any sequence. They must be registered with ``image`` and resampled to its
    grid, in any orientation and file format, and are refused otherwise: if grids differ, or if both files are DICOM and
    state different frames of reference. The same slices of each are read.

    Parameters
    ----------
    n_slices : int, default=9
        Number of slices per stack, odd; the middle slice shows the lesion best. Nine as in [1]_.
    slice_spacing_mm : float, default=None
        Distance in mm between adjacent slices of a stack. ``None`` takes adjacent slices of the image, as in [1]_. With
        a number, slices are interpolated linearly between the two nearest ones, so that stacks span the same length in
        all patients.
    max_tilt_deg : float, default=30.0
        Largest angle in degrees between the axes of an image and the body axes; an image with a larger one is refused.
    max_spacing_mm : float, default=2.0
        Largest distance in mm between adjacent axial rows or columns; an image with a larger one is refused.
    further_images : tuple of str, default=()
        Columns with the paths of further images of each patient.
    lesion_label : int or str, default=1
        Value of the lesion in a NIfTI mask; number, or name, of the segment in a DICOM segmentation; name of the region
        in a structure set, whose numbers mean nothing: a number takes the only region, and is refused if there are
        several.
    allow_sequence : bool or collection of str, default=False
        Kinds of sequence that ``image`` may have though they are not T1-weighted, for example ``["FLAIR"]`` for a study
        of FLAIR images; True allows all of them. The kinds are ``SEQUENCE_KINDS`` of :mod:`sklearn_pspd.loading`.
        Images of another modality than MR are refused in any case.
    memory : str, path or joblib.Memory, default=None
        Folder of a cache of decoded stacks, with one entry per patient; of a :class:`joblib.Memory`, its folder is
        used. An entry is reused as long as all parameters, and the path, size and modification time of each of the
        patient's files, are unchanged. A cross-validation thus decodes each patient once. Entries hold no code, and a
        damaged one is made again; but whoever can write to the folder can change images, so that it must be private.
    n_jobs : int, default=None
        Number of patients read in parallel; see :class:`joblib.Parallel`.

    Raises
    ------
    InputError
        By :meth:`transform`: one error that lists all patients whose images cannot be used, with all reasons.

    See Also
    --------
    sklearn_pspd.preprocessing.FOVNormalizer : Resamples the stacks to one field of view and matrix.

    Notes
    -----
    ``max_tilt_deg``, ``max_spacing_mm`` and the other checks are choices of this library. Two statements of a voxel
    size in one header may differ by 1 %, and the grid of a mask or of a further image from that of the image by a
    quarter of a voxel. With
    ``slice_spacing_mm=None`` the middle slice is the one nearest to a point or to ``lesion_z_mm``; with a number it
    lies exactly there. Interpolated slices are samples, not averages over ``slice_spacing_mm``. DICOM images must be of
    modality MR.

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
        "further_images": [tuple, list],
        "lesion_label": [Integral, str],
        "allow_sequence": ["boolean", str, tuple, list, set, frozenset],
        "memory": [str, Path, Memory, None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        *,
        n_slices=9,
        slice_spacing_mm=None,
        max_tilt_deg=30.0,
        max_spacing_mm=2.0,
        further_images=(),
        lesion_label=1,
        allow_sequence=False,
        memory=None,
        n_jobs=None,
    ):
        self.n_slices = n_slices
        self.slice_spacing_mm = slice_spacing_mm
        self.max_tilt_deg = max_tilt_deg
        self.max_spacing_mm = max_spacing_mm
        self.further_images = further_images
        self.lesion_label = lesion_label
        self.allow_sequence = allow_sequence
        self.memory = memory
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):  # noqa: ARG002
        """Check the parameters and the columns of the table; nothing is learned and no file is opened.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table with ``patient_id``, ``image`` and the position of the lesion.
        y : None
            Ignored.

        Returns
        -------
        self : SliceStackLoader
            The loader itself.
        """
        self._settings()
        _table_rows(X, self._further())
        return self

    def transform(self, X):
        """Read one stack per row.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table with ``patient_id``, ``image`` and the position of the lesion; any row index.

        Returns
        -------
        stacks : ndarray of shape (n_patients,), dtype object
            One :class:`SliceStack` per row, in the order of the rows.

        Raises
        ------
        InputError
            If the images of any patient cannot be used; the message has one line per problem.
        """
        outcomes = self._attempt_all(X)
        problems = [found for _, _, _, found in outcomes]
        if any(problems):
            raise unreadable_images(X, problems)
        stacks = np.empty(len(outcomes), dtype=object)
        stacks[:] = [stack for _, stack, _, _ in outcomes]
        return stacks

    def inspect(self, X):
        """Tabulate the properties of each patient's images, also if some cannot be loaded.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table as for :meth:`transform`.

        Returns
        -------
        table : DataFrame of shape (n_patients, n_columns)
            One row per patient, with the index of ``X``: source, format, matrix, spacing, field of view, thickness,
            tilt, orientation code, slices used, intensity range; what the DICOM header, or the JSON file that dcm2niix
            or BIDS put beside a NIfTI file, says: ``study_date``, ``weighting`` (by parameters and tags, such as
            "T1 (gradient echo)"), ``contrast`` (what speaks for a contrast agent), ``description``, ``protocol``,
            ``modality``, ``image_type``, ``sequence``, ``tr_ms``, ``te_ms``, ``ti_ms``, ``flip_deg`` and others,
            ``facts_from`` (where they are from) and ``facts_problem``; the number of entries of the folder that were
            passed over (``n_passed_over``) and what they are (``passed_over``), the weighting of each further image
            (``further_images``), and ``problem`` (empty if the images
            can be loaded; several problems are separated by " | "). Properties that are not stated, or had not been
            read when a problem was found, are missing.

        See Also
        --------
        image_findings : What is odd about the images of this table.
        """
        records = []
        for patient_id, stack, facts, problems in self._attempt_all(X):
            known = facts_of_stack(stack) if stack is not None else {}
            records.append({"patient_id": patient_id, **facts, **known, "problem": " | ".join(problems)})
        table = pd.DataFrame(records, columns=_INSPECT_COLUMNS, index=X.index)
        table["study_date"] = pd.to_datetime(table["study_date"])
        # Of numbers only, also where nothing is known.
        return table.astype(dict.fromkeys(FACT_NUMBERS, float))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _attempt_all(self, X):
        self._validate_params()
        settings = self._settings()
        rows = _table_rows(X, self._further())
        cache = open_cache(self.memory)
        return Parallel(n_jobs=self.n_jobs)(delayed(_attempt)(row, settings, cache) for row in rows)

    def _further(self):
        return checked_further_images(self.further_images)

    def _settings(self):
        if self.n_slices % 2 == 0:
            raise InputError(f"n_slices must be odd, so that a stack has a middle slice; got {self.n_slices}")
        spacing = None if self.slice_spacing_mm is None else float(self.slice_spacing_mm)
        limits = float(self.max_tilt_deg), float(self.max_spacing_mm)
        label = self.lesion_label if isinstance(self.lesion_label, str) else int(self.lesion_label)
        return Settings(int(self.n_slices), spacing, *limits, label, checked_kinds(self.allow_sequence))


def unreadable_images(X, problems):
    """Return the error that lists the patients whose images cannot be used.

    Parameters
    ----------
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table.
    problems : list of sequence of str
        Problems of each patient; none if the images can be used.

    Returns
    -------
    InputError
        To be raised.
    """
    lines = [
        f"patient {patient_id}: {text}"
        for patient_id, found in zip(X["patient_id"], problems, strict=True)
        for text in found
    ]
    n_failed = sum(bool(found) for found in problems)
    return InputError(f"The images of {n_failed} of {len(X)} patients cannot be loaded:\n{listed_problems(lines)}")


def image_columns(further_images=()):
    """Return the columns of a cohort table that a loader with these further images reads."""
    return "patient_id", "image", *further_images, *POSITION_COLUMNS


def loaders_of(model):
    """Return the loaders among the parameters of a model, in their order; none if it reads no images."""
    parameters = model.get_params() if hasattr(model, "get_params") else {}
    return [value for value in parameters.values() if isinstance(value, SliceStackLoader)]


def further_images_of(models):
    """Return the columns of further images that any step of any of the models reads."""
    parameters = [model.get_params() if hasattr(model, "get_params") else {} for model in models]
    read = [values for of_model in parameters for name, values in of_model.items() if _last(name) == "further_images"]
    return tuple(dict.fromkeys(name for names in read for name in names))


def _last(name):
    return name.rsplit("__", 1)[-1]


def _table_rows(X, further):
    """Return (patient_id, image, ((column, further image), ...), {position column: value}) for each row."""
    check_frame(X, "X")
    missing = [name for name in ("patient_id", "image", *further) if name not in X.columns]
    if missing:
        raise InputError(f"X lacks the column(s) {', '.join(missing)}; it has {', '.join(map(str, X.columns))}")
    positions = {name: X[name].tolist() for name in POSITION_COLUMNS if name in X.columns}
    others = {name: X[name].tolist() for name in further}
    return [
        (
            str(pid),
            image,
            tuple((name, values[i]) for name, values in others.items()),
            {name: values[i] for name, values in positions.items() if not is_missing(values[i])},
        )
        for i, (pid, image) in enumerate(zip(X["patient_id"].tolist(), X["image"].tolist(), strict=True))
    ]


def _attempt(row, settings, cache):
    """Return (patient_id, stack or None, facts, problems) for one row."""
    patient_id, image, others, given = row
    facts: dict[str, Any] = {}
    problems = FileProblems()
    try:
        # Problems of the image's path and of the position are listed together.
        path, further, position = None, [], (None, None)
        with problems.collecting(image):
            path = _checked_path(image, "image")
            facts["source"] = path
        for column, other in others:
            with problems.collecting(other):
                further.append((column, _checked_path(other, column)))
        with problems.collecting(given.get("lesion_mask", image)):
            position = _checked_position(given)
        problems.raise_any()
        with reading(path):
            identity = _identities(path, further, position)
            stack, found = _cached(cache, patient_id, path, tuple(further), position, settings, identity)
    except ImageError as error:
        return patient_id, None, {**facts, **(error.facts or {})}, tuple(map(printable, error.problems))
    return patient_id, stack, {**facts, **found}, ()


def _identities(path, further, position):
    """Return what :func:`decode` takes as `identity`; all files that are missing are listed together."""
    problems = FileProblems()
    of_image, of_mask, of_further = None, (), []
    with problems.collecting(path):
        of_image = _identity(path), _identity_of_sidecar(path)
    if position[0] == "lesion_mask":
        with problems.collecting(position[1]):
            of_mask = _identity(position[1])
    for _, other in further:
        with problems.collecting(other):
            of_further.append((_identity(other), _identity_of_sidecar(other)))
    problems.raise_any()
    files, sidecar = of_image
    return files, of_mask, sidecar, tuple(of_further)


def _cached(cache, patient_id, path, further, position, settings, identity):
    """Return the stack and the facts of one patient, from the cache if they are there."""
    if cache is None:
        return decode(patient_id, path, further, position, settings, identity)
    key = cache.key(patient_id, path, further, position, tuple(settings), identity)
    entry = cache.read(key)
    found = None if entry is None else stack_of_entry(*entry, settings.n_slices * (1 + len(further)))
    if found is None:
        found = decode(patient_id, path, further, position, settings, identity)
        cache.write(key, *entry_of_stack(*found))
    return found


def _checked_path(value, column):
    if is_missing(value):
        raise ImageError(f"the column {column!r} is empty; give the path of a NIfTI file or a DICOM folder")
    if not isinstance(value, str | Path):
        raise ImageError(f"the column {column!r} has {value!r}, which is not a path; give the path of an image file")
    if problem := path_problem(value):
        raise ImageError(f"{str(value)!r} {problem} (column {column!r}); correct the path")
    return str(value)


def _checked_position(given):
    """Return (way, value) of the lesion position, (None, None) if none is given."""
    ways = lesion_positions(given)
    if len(ways) > 1:
        found = ", ".join(f"{name}={value!r}" for name, value in given.items())
        raise ImageError(f"the lesion position is given {len(ways)} times ({found}); leave exactly one")
    if not ways:
        return None, None
    ((way, value),) = ways.items()
    if way == "lesion_mask":
        return way, _checked_path(value, way)
    if way == "lesion_point":
        if None in value:
            raise ImageError(point_problem(value))
        return way, tuple(map(_checked_number, POINT_COLUMNS, value))
    number = _checked_number(way, value)
    if way == "lesion_slice" and number != int(number):
        raise ImageError(f"lesion_slice is {value!r}; give a whole number, counted from 0 at the feet")
    if way == "lesion_instance" and number != int(number):
        raise ImageError(f"lesion_instance is {value!r}; give a whole number, the DICOM InstanceNumber of the image")
    return way, number


def _checked_number(column, value):
    if isinstance(value, bool | str) or not isinstance(value, Real) or not np.isfinite(value):
        raise ImageError(f"{column} is {value!r}; give a number")
    return float(value)


def _identity(path):
    """Return (path, size, modification time) of each entry of a folder, or of the files of one image."""
    files = folder_entries(path) if Path(path).is_dir() else pair_files(path)
    return tuple((file, *_size_and_time(file)) for file in files)


def _identity_of_sidecar(path):
    sidecar = sidecar_of(path)
    return () if sidecar is None else _identity(sidecar)


def _size_and_time(path):
    """Return size and modification time of a file, -1 for a folder, -2 for what cannot be opened."""
    try:
        status = Path(path).stat()
    except OSError:
        return -2, -2
    return (-1, -1) if stat.S_ISDIR(status.st_mode) else (status.st_size, status.st_mtime_ns)
