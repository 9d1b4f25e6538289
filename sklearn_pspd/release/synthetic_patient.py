"""The synthetic patient of a release, by whom its arithmetic is checked."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from sklearn_pspd import file_writing
from sklearn_pspd.datasets import make_cohort
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.model_selection.fits import score_patients

from .fitted import arithmetic_of, find_step
from .schema import read_columns

IMAGE_NAME = "synthetic_patient.nii.gz"
PATIENT_ID = "synthetic"
SEED = 20180821
N_DRAWN = 6
# The largest field of view of a synthetic patient, and the thinnest slice, in mm.
LARGEST_FOV_MM, THINNEST_MM = 256, 0.86
MATRIX_PX, FEWEST_SLICES, MOST_SLICES = 128, 10, 640

# Largest difference of a probability. Of networks: other processors, numbers of threads and versions sum in another
# order, GPUs may round factors of float32 to 11 significant bits, and bfloat16 has 8. A forest has no such excuse.
TOLERANCES = {None: 1e-6, "float64": 1e-6, "float32": 1e-3, "mixed_bfloat16": 1e-2}


def tolerance_of(model):
    """Return how much the probability of the synthetic patient may differ on another machine."""
    return TOLERANCES[arithmetic_of(model)]


def draw_synthetic_patient(model, schema, ranges, folder):
    """Make a synthetic patient whom a model can score.

    Parameters
    ----------
    model : estimator
        Fitted.
    schema : dict
        What it needs, see :func:`~sklearn_pspd.release.schema.make_schema`.
    ranges : dict
        Ranges of the training patients, from whose middle come values of columns that a synthetic cohort does not have.
    folder : Path
        An existing folder, in which the image is written if the model needs one.

    Returns
    -------
    dict
        Values of the patient by column, without those of paths. JSON can hold it.

    Raises
    ------
    InputError
        If no synthetic image fits the requirements of the model.
    """
    loader = find_step(model, SliceStackLoader)
    cohort, image = _draw(loader)
    patient = {"patient_id": PATIENT_ID}
    for column in read_columns(schema):
        patient[column.name] = _value(column, cohort, ranges["clinical"][column.name])
    if loader is not None:
        patient["lesion_slice"] = int(cohort["lesion_slice"])
        file_writing.write_bytes(folder / IMAGE_NAME, image)
    return patient


def score_synthetic_patient(model, patient, folder):
    """Score the synthetic patient.

    Parameters
    ----------
    model : estimator
        Fitted.
    patient : dict
        As :func:`draw_synthetic_patient` returns it.
    folder : Path
        The folder with its image, if there is one.

    Returns
    -------
    list of float
        Probability of PsPD by the model, then by each member of an ensemble.
    """
    row = {**patient, "site": PATIENT_ID, "image": str(folder / IMAGE_NAME)}
    return score_patients(model, pd.DataFrame([row]))[:, 0].astype(float).tolist()


def _draw(loader):
    """Return the row of a synthetic patient and the bytes of the image: the first one that a model can read."""
    n_native, matrix_px = FEWEST_SLICES, MATRIX_PX
    if loader is not None:
        step_mm = loader.slice_spacing_mm or 0.0
        span = loader.n_slices + math.ceil(loader.n_slices * step_mm / THINNEST_MM)
        n_native = max(FEWEST_SLICES, span + 1)
        matrix_px = max(MATRIX_PX, math.ceil(LARGEST_FOV_MM / loader.max_spacing_mm))
    while n_native <= MOST_SLICES:
        with TemporaryDirectory(prefix="sklearn_pspd-") as folder:
            table = make_cohort(folder, N_DRAWN, matrix_px=(matrix_px,), n_native_slices=n_native, random_state=SEED)
            fits = [True] * N_DRAWN if loader is None else loader.inspect(table)["problem"] == ""
            if any(fits):
                row = table[list(fits)].iloc[0]
                return row, Path(row["image"]).read_bytes()
        n_native *= 2
    raise InputError(
        f"no synthetic image suits the loader of this model (n_slices={loader.n_slices}, "
        f"slice_spacing_mm={loader.slice_spacing_mm}, max_spacing_mm={loader.max_spacing_mm}); a release needs one"
    )


def _value(column, row, entry):
    """Return the value of a synthetic patient in a clinical column."""
    if column.name in row:
        value = row[column.name]
        return value if column.is_coded else float(value)
    if column.is_coded:
        return column.allowed[0]
    if entry["low"] is None:
        return None
    middle = (entry["low"] + entry["high"]) / 2
    return float(round(middle)) if column.whole else middle
