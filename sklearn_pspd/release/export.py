"""Export of a fitted model to a folder that others can check and use."""

import platform
import re
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sklearn_pspd.cohort import check_cohort
from sklearn_pspd.cohort.problems import check_frame
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.loading.loader import further_images_of
from sklearn_pspd.model_selection.folds import check_outcomes
from sklearn_pspd.persistence import installed_versions, save_pipeline

from .calibration import PREVALENCE, make_calibration
from .files import CALIBRATION, CARD, MODEL, PATIENT, RANGES, SCHEMA, as_json, write_files
from .fitted import arithmetic_of, find_step, without_caches
from .model_card import make_card
from .reading import load_model
from .schema import make_schema, read_columns
from .synthetic_patient import IMAGE_NAMES, draw_synthetic_patient, score_synthetic_patient, tolerance_of
from .training_ranges import make_ranges

PACKAGES = ("sklearn-pspd", "scikit-learn", "imbalanced-learn", "numpy", "pandas", "skops")
NETWORK_PACKAGES = ("keras", "tensorflow")
# Shorter texts, such as "7", are in every file.
SHORTEST_ID = 4


def export_model(
    model,
    folder,
    *,
    X,
    y,
    comparison=None,
    name=None,
    threshold=PREVALENCE,
    max_error=0.2,
    confidence_level=0.9,
    clinical=(),
    description=None,
    licence=None,
):
    """Write a fitted model to a folder, with all that others need to check it and to use it.

    The folder holds ``model.skops`` (:func:`~sklearn_pspd.persistence.save_pipeline`, without caches),
    ``model_card.md``, ``schema.json`` (clinical columns with units, ranges and codes, and what images must be),
    ``training_ranges.json``, ``calibration.json`` (threshold, out-of-fold scores, rule of abstention), one synthetic
    patient with the expected probability (``synthetic_patient.json`` and, if the model reads images,
    ``synthetic_patient.nii.gz`` and those of further images), and ``manifest.json`` with the digests of these files.

    Parameters
    ----------
    model : estimator
        Fitted to X and y: a pipeline of this library, or a search, of which the best estimator is exported.
    folder : path-like
        Folder to write to; it must not exist or be empty.
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table of the training patients. Their images are read again, for the ranges of the acquisition.
    y : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD.
    comparison : ModelComparison or StudyResult, default=None
        Scores of the model in a cross-validation of X and y: for performance, calibrated intervals and abstention. None
        exports without these.
    name : str, default=None
        Name of the model; that in the comparison. None takes the only one of the comparison, or "model".
    threshold : "prevalence", float or str, default="prevalence"
        A patient is classified as PsPD if the probability is at least this value: the prevalence of PsPD in y, a
        number, or a rule of :func:`~sklearn_pspd.model_selection.learn_threshold`, learned from the out-of-fold scores.
    max_error : float, default=0.2
        As in :func:`~sklearn_pspd.statistics.learn_abstention`.
    confidence_level : float, default=0.9
        As in :func:`~sklearn_pspd.statistics.learn_abstention`.
    clinical : sequence of ClinicalColumn, default=()
        Declarations of columns that the model reads and does not have itself.
    description : str, default=None
        What the model is, in Markdown, for the card: the cohort, its period and criteria, the protocol.
    licence : str, default=None
        Terms of use, for the card.

    Returns
    -------
    ReleasedModel
        The folder as :func:`load_model` reads it, so that what was written is known to work.

    Raises
    ------
    FileExistsError
        If the folder holds anything.
    InputError
        If the model cannot be saved, the comparison does not have the model or was made with other patients, a
        parameter is outside its range, or a patient would be named in the folder.

    See Also
    --------
    load_model : Reads the folder.

    Notes
    -----
    Smallest and largest values of the training patients are those of single patients; they are in the fitted model,
    too. Quantiles are kept only where at least five patients lie beyond them, categories without their counts. Out-of-
    fold scores are kept with outcomes, sorted by score and without ids. Share the folder under the rules of the cohort.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import compare_models, make_clinical_pipeline, make_cohort, split_xy
    >>> from sklearn_pspd.release import export_model
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(f"{folder}/cohort", 20, matrix_px=(48,), random_state=0))
    ...     forest = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=10)
    ...     comparison = compare_models({"forest": forest}, X, y, cv=2, random_state=0, keep_models=True)
    ...     released = export_model(
    ...         comparison.models["forest"], f"{folder}/release", X=X, y=y, comparison=comparison
    ...     )
    >>> released
    ReleasedModel('forest', 20 training patients)
    """
    # What can be wrong comes before anything is written.
    check_frame(X, "X")
    y = check_outcomes(y, "y")
    if len(X) != len(y):
        raise InputError(f"X has {len(X)} patients and y {len(y)}; both must be the training patients")
    comparison = getattr(comparison, "comparison", comparison)
    name = _checked_name(comparison, name)
    folder = _empty_folder(folder)
    # The model, what it needs, and what is known of its training patients.
    model = without_caches(model)
    schema = make_schema(model, X, clinical)
    columns = read_columns(schema)
    ranges = make_ranges(X, columns, _facts(model, X, columns))
    calibration = make_calibration(
        comparison, name, X, y, threshold=threshold, max_error=max_error, confidence_level=confidence_level
    )
    files = {SCHEMA: as_json(schema), RANGES: as_json(ranges), CALIBRATION: as_json(calibration)}
    with TemporaryDirectory(prefix="sklearn_pspd-") as workspace:
        save_pipeline(model, Path(workspace, MODEL))
        files[MODEL] = Path(workspace, MODEL).read_bytes()
        # The synthetic patient and the probability that other machines must reproduce.
        patient = draw_synthetic_patient(model, schema, ranges, Path(workspace))
        expected = score_synthetic_patient(model, patient, Path(workspace))
        files[PATIENT] = as_json({"patient": patient, "probability": expected[0], "members": expected[1:]})
        written = [name for name in IMAGE_NAMES if Path(workspace, name).exists()]
        files |= {name: Path(workspace, name).read_bytes() for name in written}
    # The card and the manifest.
    arithmetic = arithmetic_of(model)
    installed = installed_versions(PACKAGES if arithmetic is None else PACKAGES + NETWORK_PACKAGES)
    about = {"versions": {"python": platform.python_version(), **installed}}
    about |= {"arithmetic": arithmetic}
    card = make_card(
        name,
        description,
        y=y,
        ranges=ranges,
        calibration=calibration,
        comparison=comparison,
        licence=licence,
        **about,
    )
    files[CARD] = card.encode("utf-8")
    _refuse_names(files, X, further_images_of([model]))
    about |= {"name": name, "n_patients": len(y), "n_pspd": int(y.sum()), "tolerance": tolerance_of(model)}
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder, files, {**about, "written": f"{datetime.now(UTC):%Y-%m-%d}"})
    return load_model(folder)


def _checked_name(comparison, name):
    """Return the name of the model, which a comparison must have."""
    if comparison is None:
        return name or "model"
    names = list(comparison.scores["model"].unique())
    if name is None and len(names) == 1:
        return names[0]
    if name not in names:
        raise InputError(f"name={name!r}; the comparison has the models {', '.join(map(repr, names))}: name one")
    return name


def _empty_folder(folder):
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is not empty; delete it or choose another folder")
    return folder


def _facts(model, X, columns):
    """Return what the headers of the training images say; None if the model reads none."""
    loader = find_step(model, SliceStackLoader)
    if loader is None:
        return None
    further = loader.further_images
    check_cohort(X, clinical=columns or None, outcome="optional", missing="keep", further_images=further)
    facts = loader.inspect(X)
    if unreadable := [f"patient {row.patient_id}: {row.problem}" for row in facts.itertuples() if row.problem]:
        raise InputError("training images cannot be read again:\n  " + "\n  ".join(unreadable))
    return facts


def _refuse_names(files, X, further):
    """Refuse a release in which the id or an image path of a patient can be read, whatever wrote it there."""
    columns = [name for name in ("patient_id", "image", *further, "lesion_mask") if name in X]
    texts = {str(value) for column in columns for value in X[column]}
    texts = {text for text in texts if len(text) >= SHORTEST_ID and text not in ("None", "nan")}
    named = sorted(text for text in texts if any(_is_named(text, name, content) for name, content in files.items()))
    if named:
        raise InputError(
            f"the release would name {len(named)} patient(s) or their files, such as {named[0]!r}: the model, the "
            "description or a column holds these texts"
        )


def _is_named(text, name, content):
    """Return whether a file has a text: as a value of JSON or, in the card, as a word that is no short number."""
    if name == CARD and not (text.isdigit() and len(text) <= SHORTEST_ID):
        return re.search(rf"(?<!\w){re.escape(text)}(?!\w)", content.decode("utf-8")) is not None
    return f'"{text}"'.encode() in content
