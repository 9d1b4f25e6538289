"""Prediction of new patients by a released model, with what is known about its uncertainty."""

import re

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.model_selection.fits import score_patients
from sklearn_pspd.preprocessing import ClinicalMinMaxScaler

from .calibration import abstention_rule, calibrated_intervals
from .fitted import find_step
from .imputation import imputed_texts, imputed_value
from .patients import read_patients
from .training_ranges import ACQUISITION_TOLERANCE, BELOW, INSIDE, MISSING, UNSEEN, compare_with_ranges

NO_CLASS = "no class"
DISTANCE_COLUMNS = [
    "patient_id", "kind", "name", "value", "unit", "training", "comparison", "imputed", "consequence",
]  # fmt: skip


def predict_patients(released, patients, **reading):
    """Predict new patients by a released model.

    Parameters
    ----------
    released : ReleasedModel
        What :func:`load_model` returned.
    patients : DataFrame or path-like
        One row per patient, with ``patient_id``, the clinical columns that the model reads and, if it reads images,
        ``image`` and the position of the lesion; or the file of a cohort table. Outcomes are not needed and not read.
    **reading : dict
        Parameters of :func:`~sklearn_pspd.cohort.read_cohort` for a file: ``sep``, ``decimal``, ``encoding``,
        ``sheet``.

    Returns
    -------
    DataFrame
        One row per patient, in their order:

        - ``patient_id``.
        - ``probability`` of PsPD, and ``threshold``.
        - ``predicted_class``: "PsPD" if the probability is at least the threshold, otherwise "PD", or "no class" where
          the model abstains. ``abstains`` is missing in a model without a rule of abstention.
        - ``calibrated_low``, ``calibrated_high`` and ``calibrated``: the Venn-Abers interval of the probability and the
          value between its limits (:func:`~sklearn_pspd.statistics.venn_abers`); missing without out-of-fold scores.
        - ``n_members``, and over them ``lowest_member``, ``highest_member`` and ``sd_of_members`` of the probability;
          missing for a model that is no ensemble.
        - ``imputed``: clinical values that are missing or unknown, with what the model computes with instead, as text;
          empty if there are none.
        - ``outside_training``: values that lie outside the training ranges, as text; empty if there are none. A missing
          value is not compared.
        - ``slices``: those that were used, counted from 0 at the feet; empty without images.

    Raises
    ------
    InputError
        If a patient cannot be predicted; all problems of all patients are listed, and no patient is left out.

    See Also
    --------
    training_distance : Compares each value with the training patients.
    write_predictions : Writes a page per patient.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_pspd import compare_models, make_clinical_pipeline, make_cohort, split_xy
    >>> from sklearn_pspd.release import export_model, predict_patients
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(f"{folder}/cohort", 30, matrix_px=(48,), random_state=0))
    ...     ages = {"ages": make_clinical_pipeline(LogisticRegression(), clinical=["age_years", "sex"])}
    ...     scores = compare_models(ages, X, y, cv=3, random_state=0, keep_models=True)
    ...     released = export_model(scores.models["ages"], f"{folder}/release", X=X, y=y, comparison=scores)
    >>> patient = pd.DataFrame({"patient_id": ["new"], "age_years": [97], "sex": ["male"]})
    >>> predict_patients(released, patient)["outside_training"].item()
    'age_years 97 years (training 24 to 76)'
    """
    patients = read_patients(released, patients, **reading)
    facts = image_facts(released, patients)
    scores = score_patients(released.model, patients)
    probability = scores[0]
    table = pd.DataFrame({"patient_id": patients["patient_id"].to_numpy(), "probability": probability})
    table["threshold"] = released.threshold
    # Class, unless the model abstains.
    rule = abstention_rule(released.calibration)
    abstains = [pd.NA] * len(table) if rule is None else rule.abstains(probability)
    table["abstains"] = pd.array(abstains, dtype="boolean")
    classes = np.where(probability >= released.threshold, "PsPD", "PD")
    table["predicted_class"] = np.where(table["abstains"].fillna(False).to_numpy(bool), NO_CLASS, classes)
    # Calibrated interval, and the spread over the members of an ensemble.
    intervals = calibrated_intervals(released.calibration, probability)
    names = {"low": "calibrated_low", "high": "calibrated_high", "probability": "calibrated"}
    for column, name in names.items():
        table[name] = intervals[column].to_numpy()
    members = scores[1:]
    table["n_members"] = max(1, len(members))
    statistics = {"lowest_member": np.min, "highest_member": np.max, "sd_of_members": _sample_sd}
    for name, statistic in statistics.items():
        table[name] = statistic(members, axis=0) if len(members) else np.nan
    # Distance from the training patients.
    distance = _distance(released, patients, facts)
    rows = [distance[distance["patient_id"] == patient] for patient in table["patient_id"]]
    table["imputed"] = ["; ".join(imputed_texts(of_patient)) for of_patient in rows]
    table["outside_training"] = ["; ".join(_outside_texts(of_patient)) for of_patient in rows]
    table["slices"] = "" if facts is None else facts["slices"].to_numpy()
    return table


def training_distance(released, patients, **reading):
    """Compare each clinical value and each fact of the acquisition with the training patients.

    Parameters
    ----------
    released : ReleasedModel
        What :func:`load_model` returned.
    patients : DataFrame or path-like
        As in :func:`predict_patients`.
    **reading : dict
        As in :func:`predict_patients`.

    Returns
    -------
    DataFrame
        One row per patient and value: ``patient_id``, ``kind`` ("clinical" or "acquisition"), ``name``, ``value``,
        ``unit``, ``training`` (the range or the categories of the training patients), ``comparison`` ("inside",
        "below", "above", "not seen in training" or "missing"), ``imputed``, what the model computes with in place of a
        clinical value that is missing or unknown (empty for others), and ``consequence``, what the model does with a
        value that is imputed or not inside.

    Raises
    ------
    InputError
        As in :func:`predict_patients`.

    Notes
    -----
    A value inside each range can still be unlike every training patient in combination with others. Facts of the
    acquisition that no training image states are not compared; they are compared with a tolerance of 0.1 %.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_pspd import make_clinical_pipeline, make_cohort, split_xy
    >>> from sklearn_pspd.release import export_model, training_distance
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(f"{folder}/cohort", 20, matrix_px=(48,), random_state=0))
    ...     model = make_clinical_pipeline(LogisticRegression(), clinical=["age_years"]).fit(X, y)
    ...     released = export_model(model, f"{folder}/release", X=X, y=y)
    >>> row = training_distance(released, pd.DataFrame({"patient_id": ["new"], "age_years": [97]})).iloc[0]
    >>> print(row["comparison"], "|", row["training"], "|", row["consequence"])
    above | 25 to 75 | the model computes with 75
    """
    patients = read_patients(released, patients, **reading)
    return _distance(released, patients, image_facts(released, patients))


def image_facts(released, patients):
    """Return what the headers of the images say, one row per patient; None if the model reads no images.

    Raises
    ------
    InputError
        If the images of a patient cannot be used.
    """
    if not released.reads_images:
        return None
    loader = find_step(released.model, SliceStackLoader)
    facts = loader.inspect(patients)
    failed = facts[facts["problem"] != ""]
    if len(failed):
        lines = [
            f"  patient {row.patient_id}: {_without_settings(problem, loader)}"
            for row in failed.itertuples()
            for problem in row.problem.split(" | ")
        ]
        raise InputError(
            f"the images of {len(failed)} of {len(facts)} patient(s) cannot be used by the model {released.name!r}:\n"
            + "\n".join(lines)
        )
    return facts


def _without_settings(problem, loader):
    """Return a problem of an image without the advice to set the loader otherwise: that of a release is as trained."""
    settings = "|".join(loader.get_params())
    problem = re.sub(rf",? or (set|increase|reduce) ({settings})\b[^;]*", "", problem)
    return problem.replace("give the name of one as lesion_label", "give a file with only one of them")


def _distance(released, patients, facts):
    scaler = find_step(released.model, ClinicalMinMaxScaler)
    columns = {column.name: column for column in released.columns}
    rows = []
    for place, (_, values) in enumerate(patients.iterrows()):
        patient = {"patient_id": values["patient_id"]}
        for row in compare_with_ranges(values, released.ranges["clinical"]):
            imputed = imputed_value(scaler, columns[row["name"]], row["value"])
            consequence = _consequence(released, row, imputed)
            rows.append({**patient, "kind": "clinical", **row, "imputed": imputed, "consequence": consequence})
        if facts is not None:
            acquisition = released.ranges["acquisition"]
            for row in compare_with_ranges(facts.iloc[place], acquisition, tolerance=ACQUISITION_TOLERANCE):
                is_outside = row["comparison"] not in (INSIDE, MISSING)
                consequence = "unknown how this changes the prediction" if is_outside else ""
                rows.append({**patient, "kind": "acquisition", **row, "imputed": "", "consequence": consequence})
    return pd.DataFrame(rows, columns=DISTANCE_COLUMNS)


def _consequence(released, row, imputed):
    """Return what the model does with a clinical value that is imputed or not inside the training range."""
    entry, comparison = released.ranges["clinical"][row["name"]], row["comparison"]
    if imputed:
        is_new = not entry["some_missing"] if comparison == MISSING else comparison == UNSEEN
        new = f"no training patient {'lacked' if comparison == MISSING else 'had'} it; " if is_new else ""
        return f"{new}the model computes with {imputed}"
    if comparison == INSIDE:
        return ""
    if released.schema["outside_range"] != "clip":
        return "the model computes with this value, which it was not trained with"
    if comparison != UNSEEN:
        return f"the model computes with {entry['low'] if comparison == BELOW else entry['high']:g}"
    column = next(column for column in released.columns if column.name == row["name"])
    if column.is_coded and _is_between_seen(row["value"], entry["seen"], column.codes):
        return "no training patient had it; the model computes with a code between those that they had"
    return "no training patient had it; the model computes with the nearest code that they had"


def _is_between_seen(value, seen, codes):
    """Return whether a category lies between those of the training patients, as "unknown" does between two codes."""
    known = [codes[category] for category in seen if category in codes]
    if value not in codes:
        return len(known) > 1
    return bool(known) and min(known) < codes[value] < max(known)


def _outside_texts(distance):
    return map(_outside_text, distance[~distance["comparison"].isin([INSIDE, MISSING])].itertuples())


def _outside_text(row):
    value = f"{row.value:.4g}" if isinstance(row.value, float | np.floating) else row.value
    unit = f" {row.unit}" if row.unit else ""
    return f"{row.name} {value}{unit} ({'training ' + row.training if row.comparison != UNSEEN else UNSEEN})"


def _sample_sd(members, axis):
    return np.std(members, axis=axis, ddof=1)
