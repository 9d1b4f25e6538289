"""Clinical values that a patient lacks, and what a released model computes with instead."""

import numpy as np

from sklearn_pspd.cohort.columns import UNKNOWN
from sklearn_pspd.cohort.problems import is_missing


def imputed_value(scaler, column, value):
    """Return what a model computes with in place of a value that is missing or unknown.

    Parameters
    ----------
    scaler : ClinicalMinMaxScaler or None
        Fitted, of the model.
    column : ClinicalColumn
        The column.
    value : object
        The value of the patient.

    Returns
    -------
    str
        For example "the training median, 60 Gy"; empty if the model computes with the value itself.
    """
    if is_missing(value):
        return _in_place_of_number(scaler, column)
    if scaler is not None and value == UNKNOWN and column.name in scaler.unknown_values_:
        return _in_place_of_category(scaler, column)
    return ""


def imputed_texts(distance):
    """Return one text for each imputed value of a table of :func:`~sklearn_pspd.release.training_distance`."""
    rows = distance[distance["imputed"] != ""]
    return [
        f"{name} is {'missing' if is_missing(value) else value}: computed with {imputed}"
        for name, value, imputed in zip(rows["name"], rows["value"], rows["imputed"], strict=True)
    ]


def _in_place_of_number(scaler, column):
    median = None if scaler is None else scaler.medians_.get(column.name)
    if median is None:
        return "no value"
    if np.isnan(median):
        return "no value, as in all training patients"
    unit = f" {column.unit}" if column.unit else ""
    return f"the training median, {median:g}{unit}{_indicator(scaler, column, 'missing')}"


def _in_place_of_category(scaler, column):
    value, place = scaler.unknown_values_[column.name], list(scaler.feature_names_in_).index(column.name)
    low, high = scaler.scaled_min_[place], scaler.scaled_max_[place]
    by_code = sorted(column.codes, key=column.codes.get)
    if scaler.clip and not low <= value <= high:
        # No training patient was unknown, so that both limits are codes.
        codes = np.array([column.codes[category] for category in by_code], dtype=np.float64)
        scaled = (codes - codes[0]) / (codes[-1] - codes[0])
        nearest = by_code[np.abs(scaled - np.clip(value, low, high)).argmin()]
        return f"the code of {nearest}, the nearest one of the training patients"
    filled = "the mean code of the training patients"
    if scaler.unknown != "mean":
        filled = f"a code halfway between {by_code[0]} and {by_code[-1]}"
    return f"{filled}{_indicator(scaler, column, UNKNOWN)}"


def _indicator(scaler, column, what):
    """Say that an indicator tells the model; empty without one, or if clipping hides what no training patient had."""
    names = list(scaler.get_feature_names_out())
    name = f"{column.name}_{what}"
    tells = name in names and (not scaler.clip or scaler.scaled_max_[names.index(name)] > 0)
    return f", and an indicator that it is {what}" if tells else ""
