"""What a released model needs of a patient: clinical columns with units, ranges and codes, and images."""

from dataclasses import asdict

import pandas as pd

from sklearn_pspd.cohort import PAPER_CLINICAL, POSITION_COLUMNS, ClinicalColumn
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.preprocessing import ClinicalMinMaxScaler, FOVNormalizer

from .fitted import clinical_names, find_step


def make_schema(model, X, clinical=()):
    """Describe what a fitted model needs of a patient.

    Parameters
    ----------
    model : estimator
        Fitted.
    X : DataFrame of shape (n_patients, n_columns)
        Its training patients.
    clinical : sequence of ClinicalColumn, default=()
        Declarations of columns that the model itself does not have.

    Returns
    -------
    dict
        ``clinical``, a list of columns; ``missing_numbers`` and ``outside_range``, what the model does with them;
        ``image``, what it needs of the image, or None. JSON can hold it.

    Raises
    ------
    InputError
        If a column of text is not declared.
    """
    scaler = find_step(model, ClinicalMinMaxScaler)
    declared = (*PAPER_CLINICAL, *getattr(scaler, "clinical", ()), *clinical)
    known = {column.name: column for column in declared if isinstance(column, ClinicalColumn)}
    columns = [known.get(name) or _undeclared(name, X[name]) for name in clinical_names(model, X)]
    return {
        "clinical": [_as_dict(column) for column in columns],
        "missing_numbers": "refuse" if scaler is None else scaler.missing,
        "outside_range": "clip" if scaler is not None and scaler.clip else "use",
        "image": _image(model),
    }


def read_columns(schema):
    """Return the clinical columns of a schema as :class:`~sklearn_pspd.cohort.ClinicalColumn`, in its order."""
    columns = []
    for entry in schema["clinical"]:
        limits = entry["range"]
        columns.append(ClinicalColumn(**{**entry, "range": None if limits is None else tuple(limits)}))
    return tuple(columns)


def _as_dict(column):
    values = asdict(column)
    values["codes"] = None if column.codes is None else dict(column.codes)
    return {**values, "range": None if column.range is None else list(map(float, column.range))}


def _undeclared(name, values):
    if not pd.api.types.is_numeric_dtype(values):
        raise InputError(
            f"column {name}: the model reads it and it holds text; declare its codes in clinical, for example "
            f"ClinicalColumn({name!r}, codes={{'no': 0, 'yes': 1}})"
        )
    return ClinicalColumn(name)


def _image(model):
    loader, fov = find_step(model, SliceStackLoader), find_step(model, FOVNormalizer)
    if loader is None:
        return None
    return {
        "content": "post-contrast T1-weighted MRI, axial or nearly axial, NIfTI or DICOM",
        "further_images": list(loader.further_images),
        "n_slices": int(loader.n_slices),
        "slice_spacing_mm": None if loader.slice_spacing_mm is None else float(loader.slice_spacing_mm),
        "fov_mm": None if fov is None else float(fov.fov_mm),
        "size_px": None if fov is None else int(fov.size_px),
        "max_pixel_spacing_mm": float(loader.max_spacing_mm),
        "max_tilt_deg": float(loader.max_tilt_deg),
        "position_of_lesion": list(POSITION_COLUMNS),
    }
