"""Predictions as files: two tables, and a page per patient."""

import re
from pathlib import Path

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import write_table, write_text
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.model_selection.fits import score_patients
from sklearn_pspd.preprocessing import FOVNormalizer

from .fitted import find_step
from .page import patient_page
from .patients import read_patients
from .prediction import predict_patients, training_distance

PREDICTIONS, DISTANCE = "predictions.csv", "training_distance.csv"
# Slices are shown at least this large, in pixels.
SHOWN_PX = 192


def write_predictions(released, patients, folder, *, notes=(), **reading):
    """Predict new patients, and write two tables and one page per patient.

    Writes ``predictions.csv`` (what :func:`predict_patients` returns), ``training_distance.csv`` (what
    :func:`training_distance` returns) and for each patient an HTML page that needs no other file and no network, with
    the slices that were used, the probability on its scale, values outside the training ranges, and an excerpt of the
    model card. Pages name patients by ``patient_id`` only; nothing is taken from DICOM headers but facts of the
    acquisition.

    Parameters
    ----------
    released : ReleasedModel
        What :func:`load_model` returned.
    patients : DataFrame or path-like
        As in :func:`predict_patients`.
    folder : path-like
        Folder to write to; created if it does not exist. It must not hold the results of an earlier prediction.
    notes : sequence of str, default=()
        What else every page must say.
    **reading : dict
        As in :func:`predict_patients`.

    Returns
    -------
    DataFrame
        The predictions, with the name of each ``page``.

    Raises
    ------
    FileExistsError
        If the folder holds predictions.
    InputError
        As in :func:`predict_patients`; then nothing is written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_pspd import make_clinical_pipeline, make_cohort, split_xy
    >>> from sklearn_pspd.release import export_model, write_predictions
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(f"{folder}/cohort", 20, matrix_px=(48,), random_state=0))
    ...     model = make_clinical_pipeline(LogisticRegression(), clinical=["age_years"]).fit(X, y)
    ...     released = export_model(model, f"{folder}/release", X=X, y=y)
    ...     patient = pd.DataFrame({"patient_id": ["new"], "age_years": [50]})
    ...     written = write_predictions(released, patient, f"{folder}/predictions")
    ...     sorted(path.name for path in Path(folder, "predictions").iterdir())
    ['001-new.html', 'predictions.csv', 'training_distance.csv']
    """
    folder = Path(folder)
    if (folder / PREDICTIONS).exists():
        raise FileExistsError(f"{folder} already holds {PREDICTIONS}; choose another folder")
    if isinstance(notes, str):
        raise InputError("notes must be a sequence of texts; got one text")
    # All that can fail comes before anything is written.
    patients = read_patients(released, patients, **reading)
    predictions = predict_patients(released, patients)
    distance = training_distance(released, patients)
    names = [f"{number:03d}-{_safe(name)}.html" for number, name in enumerate(patients["patient_id"], start=1)]
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names):
        row = predictions.iloc[place]
        patient = patients.iloc[[place]]
        page = patient_page(
            released,
            row,
            distance[distance["patient_id"] == row["patient_id"]],
            members=score_patients(released.model, patient)[1:, 0],
            images=_shown(released, patient),
            notes=notes,
        )
        write_text(folder / name, page)
    predictions = predictions.assign(page=names)
    write_table(folder / DISTANCE, distance)
    write_table(folder / PREDICTIONS, predictions)
    return predictions


def _shown(released, patient):
    """Return the slices of one patient in the field of view of the model; None if it reads no images."""
    if not released.reads_images:
        return None
    stacks = find_step(released.model, SliceStackLoader).transform(patient)
    needs = released.schema["image"]
    # Of several images the first.
    if needs["fov_mm"] is None:
        return stacks[0].images[0]
    fov = FOVNormalizer(fov_mm=needs["fov_mm"], size_px=max(needs["size_px"], SHOWN_PX))
    return fov.transform(stacks)[0, : needs["n_slices"]]


def _safe(name):
    return re.sub(r"[^A-Za-z0-9-]", "_", str(name))[:60]
