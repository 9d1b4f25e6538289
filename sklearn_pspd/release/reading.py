"""Reading of a released model: refused unless the folder is whole and the arithmetic is reproduced."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.persistence import installed_versions, load_pipeline

from .files import CALIBRATION, CARD, MODEL, PATIENT, RANGES, SCHEMA, read_files
from .schema import read_columns
from .synthetic_patient import IMAGE_NAMES, score_synthetic_patient, tolerance_of


@dataclass(frozen=True, repr=False, eq=False)
class ReleasedModel:
    """A released model, as :func:`load_model` returns it.

    Attributes
    ----------
    model : estimator
        The fitted model.
    name : str
        Its name.
    n_patients : int
        Number of its training patients.
    columns : tuple of ClinicalColumn
        Clinical columns that it reads.
    schema : dict
        What it needs of a patient: the content of ``schema.json``.
    ranges : dict
        Ranges of its training patients: the content of ``training_ranges.json``.
    calibration : dict
        Threshold, out-of-fold scores and rule of abstention: the content of ``calibration.json``.
    card : str
        The model card, in Markdown.
    manifest : dict
        Versions, arithmetic, digests.
    fingerprint : str
        SHA-256 of the manifest, which stands for the whole folder.
    deviation : float
        Largest difference between the expected probabilities of the synthetic patient and those computed here.
    other_versions : tuple of str
        Packages whose version differs from that with which the model was exported.

    See Also
    --------
    predict_patients : Predict new patients.
    """

    model: object
    name: str
    n_patients: int
    columns: tuple
    schema: dict
    ranges: dict
    calibration: dict
    card: str
    manifest: dict
    fingerprint: str
    deviation: float
    other_versions: tuple = field(default=())

    def __repr__(self):
        return f"ReleasedModel({self.name!r}, {self.n_patients} training patients)"

    @property
    def reads_images(self):
        """Whether the model reads images."""
        return self.schema["image"] is not None

    @property
    def further_images(self):
        """Columns of the images that the model reads beside ``image``."""
        return tuple(self.schema["image"]["further_images"]) if self.reads_images else ()

    @property
    def threshold(self):
        """Probability from which a patient is classified as PsPD."""
        return self.calibration["threshold"]


def load_model(folder, *, fingerprint=None, tolerance=None):
    """Read a folder of :func:`export_model`, and refuse it unless it is whole and gives the expected probability here.

    Every file must have the digest of the manifest, and there must be no others. The model is read by
    :func:`~sklearn_pspd.persistence.load_pipeline`, which runs no code. Then the synthetic patient of the folder is
    scored; the probabilities of the model and of each member must be those of the export within the tolerance.

    Parameters
    ----------
    folder : path-like
        The folder.
    fingerprint : str, default=None
        SHA-256 of its ``manifest.json``, from whoever released the model. Digests within a folder show damage; only
        this shows that the folder is the one that was released.
    tolerance : float, default=None
        Largest difference of a probability of the synthetic patient. None takes 0.000001 without a network or in
        float64, 0.001 in float32, and 0.01 in bfloat16, whose numbers have 8 significant bits.

    Returns
    -------
    ReleasedModel
        The model, with all that belongs to it.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    InputError
        If the folder was changed or is of another format, the fingerprint differs, the model holds types that
        pipelines of this library do not, or a probability is not reproduced.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import make_clinical_pipeline, make_cohort, split_xy
    >>> from sklearn_pspd.release import export_model, load_model
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(f"{folder}/cohort", 20, matrix_px=(48,), random_state=0))
    ...     model = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=10).fit(X, y)
    ...     written = export_model(model, f"{folder}/release", X=X, y=y)
    ...     released = load_model(f"{folder}/release", fingerprint=written.fingerprint)
    >>> released.deviation
    0.0
    """
    folder = Path(folder)
    files, manifest, found = read_files(folder)
    if fingerprint is not None and fingerprint.strip().lower() != found:
        raise InputError(f"{folder} is refused; its fingerprint is {found}, and not {fingerprint}")
    # Content that was exported is readable; what else can be wrong with it belongs to one error.
    try:
        schema, ranges, calibration, check = (
            json.loads(files[name]) for name in (SCHEMA, RANGES, CALIBRATION, PATIENT)
        )
        columns = read_columns(schema)
        about = {"name": str(manifest["name"]), "n_patients": int(manifest["n_patients"])}
        about |= {"card": files[CARD].decode("utf-8"), "other_versions": _other_versions(manifest["versions"])}
        patient = dict(check["patient"])
        expected = np.array([check["probability"], *check["members"]], dtype=np.float64)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder}: not as export_model writes it ({type(error).__name__}: {error})") from error
    # From copies of what was checked, whatever happens to the folder meanwhile.
    with TemporaryDirectory(prefix="sklearn_pspd-") as workspace:
        for name in (MODEL, *IMAGE_NAMES):
            if name in files:
                Path(workspace, name).write_bytes(files[name])
        model = _load(folder, Path(workspace, MODEL))
        computed = _score(folder, model, patient, Path(workspace))
    deviation = _check_reproduced(folder, model, expected, computed, tolerance, about["other_versions"])
    parts = {"columns": columns, "schema": schema, "ranges": ranges, "calibration": calibration, "manifest": manifest}
    return ReleasedModel(model=model, fingerprint=found, deviation=deviation, **about, **parts)


def _load(folder, path):
    try:
        return load_pipeline(path)
    except InputError as error:
        raise InputError(f"{folder}: {str(error).replace(str(path), MODEL)}") from error


def _score(folder, model, patient, workspace):
    try:
        return np.array(score_synthetic_patient(model, patient, workspace))
    except Exception as error:
        raise InputError(
            f"{folder}: the model cannot score the synthetic patient of the release ({type(error).__name__}: {error})"
        ) from error


def _check_reproduced(folder, model, expected, computed, tolerance, other_versions):
    """Return the largest difference of a probability of the synthetic patient; refuse one beyond the tolerance."""
    tolerance = tolerance_of(model) if tolerance is None else tolerance
    if computed.shape != expected.shape:
        raise InputError(
            f"{folder} is refused; the model has {len(computed) - 1} members, and {len(expected) - 1} were released"
        )
    deviation = float(np.abs(computed - expected).max())
    # Not a number is no small difference.
    if not deviation <= tolerance:
        others = f"; versions differ: {', '.join(other_versions)}" if other_versions else ""
        raise InputError(
            f"{folder} is refused; the probability of PsPD of the synthetic patient is {computed[0]:.6f} here and was "
            f"{expected[0]:.6f} at the export (largest difference, members included, {deviation:.2g}; tolerance "
            f"{tolerance:g}){others}"
        )
    return deviation


def _other_versions(versions):
    exported = {package: number for package, number in versions.items() if package != "python"}
    installed = installed_versions(exported)
    here = {package: installed.get(package, "absent") for package in exported}
    return tuple(
        f"{package} {number} (here {here[package]})" for package, number in exported.items() if here[package] != number
    )
