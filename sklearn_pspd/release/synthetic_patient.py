"""The synthetic patient of a release, by whom its arithmetic is checked."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
import pandas as pd

from sklearn_pspd import file_writing
from sklearn_pspd.datasets import make_cohort
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.loading.loader import further_images_of
from sklearn_pspd.model_selection.fits import score_patients

from .fitted import arithmetic_of, find_step
from .schema import read_columns

# Of the image and of each further image.
MOST_IMAGES = 8
IMAGE_NAMES = ("synthetic_patient.nii.gz", *(f"synthetic_patient_{n}.nii.gz" for n in range(2, MOST_IMAGES + 1)))
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
    if loader is not None and len(loader.further_images) >= MOST_IMAGES:
        raise InputError(
            f"the model reads {1 + len(loader.further_images)} images; a release has at most {MOST_IMAGES}"
        )
    cohort, images = _draw(loader)
    patient = {"patient_id": PATIENT_ID}
    for column in read_columns(schema):
        patient[column.name] = _value(column, cohort, ranges["clinical"][column.name])
    if loader is not None:
        patient["lesion_slice"] = int(cohort["lesion_slice"])
        for name, image in zip(IMAGE_NAMES, images, strict=False):
            file_writing.write_bytes(folder / name, image)
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
    columns = ("image", *further_images_of([model]))
    images = {column: str(folder / name) for column, name in zip(columns, IMAGE_NAMES, strict=False)}
    row = {**patient, "site": PATIENT_ID, **images}
    return score_patients(model, pd.DataFrame([row]))[:, 0].astype(float).tolist()


def _draw(loader):
    """Return the row of a synthetic patient and the bytes of each image: the first one that a model can read."""
    n_native, matrix_px = FEWEST_SLICES, MATRIX_PX
    if loader is not None:
        step_mm = loader.slice_spacing_mm or 0.0
        span = loader.n_slices + math.ceil(loader.n_slices * step_mm / THINNEST_MM)
        n_native = max(FEWEST_SLICES, span + 1)
        matrix_px = max(MATRIX_PX, math.ceil(LARGEST_FOV_MM / loader.max_spacing_mm))
    while n_native <= MOST_SLICES:
        with TemporaryDirectory(prefix="sklearn_pspd-") as folder:
            table = make_cohort(
                folder, N_DRAWN, flair=True, matrix_px=(matrix_px,), n_native_slices=n_native, random_state=SEED
            )
            further = () if loader is None else loader.further_images
            of_flair = table["flair"].tolist()
            for number, name in enumerate(further):
                table[name] = [_further_image(path, number) for path in of_flair]
            fits = [True] * N_DRAWN if loader is None else loader.inspect(table)["problem"] == ""
            if any(fits):
                row = table[list(fits)].iloc[0]
                return row, [Path(row[name]).read_bytes() for name in ("image", *further)]
        n_native *= 2
    raise InputError(
        f"no synthetic image suits the loader of this model (n_slices={loader.n_slices}, "
        f"slice_spacing_mm={loader.slice_spacing_mm}, max_spacing_mm={loader.max_spacing_mm}); a release needs one"
    )


def _further_image(path, number):
    """Return the file of a further image: of the FLAIR of a synthetic patient, or of another contrast of its pixels."""
    if number == 0:
        return path
    flair = nib.load(path)
    other = Path(path).with_name(f"{number}-{Path(path).name}")
    nib.save(nib.Nifti1Image(np.asarray(flair.dataobj) // (number + 1), flair.affine), other)
    return str(other)


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
