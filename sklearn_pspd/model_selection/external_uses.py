"""Record of the uses of an external set: what was scored on it, and how often."""

import hashlib
import json
import os
import pickle
import uuid
from datetime import UTC, datetime
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from sklearn_pspd.cohort.columns import CLINICAL_COLUMNS
from sklearn_pspd.cohort.problems import is_missing, normalise_ids
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import append_line

from .kept_fits import WITHOUT_EFFECT

COLUMNS = ["use", "when", "model", "settings", "n_shared", "n_relabelled", "is_new_choice"]

# Fewer clinical values can be equal by chance in two patients.
FEWEST_VALUES = 4

# The uses recorded in this process, oldest first.
_USES: list[dict] = []


def record_use(models, X, y, X_test, y_test, log=None):
    """Add one scoring of external patients to the record, and return all recorded uses of these patients.

    Parameters
    ----------
    models : dict of str to estimator
        The models that were scored, by name.
    X : DataFrame of shape (n_patients, n_columns)
        The training patients.
    y : ndarray of shape (n_patients,)
        Their outcomes.
    X_test : DataFrame of shape (n_external, n_columns)
        The external patients. They are identified by ``patient_id`` (compared without letter case and surrounding
        blanks) or, where there is none, by the values of their row; a patient with another id but the same clinical
        values, at least four of them, is the same patient renamed.
    y_test : ndarray of shape (n_external,)
        Their outcomes.
    log : path-like, default=None
        File with one JSON object per use, which keeps the record after this process has ended. It is created if
        missing.

    Returns
    -------
    DataFrame
        One row per recorded use and model, for uses that scored any of these patients: ``use`` (from 1), ``when``
        (UTC), ``model``, ``settings`` (a fingerprint of the model's parameters, its training patients and the columns
        of their table), ``n_shared`` (number of patients scored both then and now), ``n_relabelled`` (number of shared
        patients whose outcome has changed) and ``is_new_choice`` (True if there were earlier uses, but none with these
        settings).

    Raises
    ------
    InputError
        If the log contains anything but recorded uses.
    """
    # Describe this use by fingerprints: the record contains no patient data.
    log = None if log is None else Path(log)
    training = _training_fingerprints(X, y)
    use = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "models": {name: _settings_of(model, training) for name, model in models.items()},
        "patients": _patient_fingerprints(X_test, y_test),
        "clinical": _clinical_fingerprints(X_test),
    }

    # Uses of this process are in the log too if the same log was given for them.
    logged = [] if log is None else _read(log)
    earlier = [*logged, *(recorded for recorded in _USES if recorded not in logged)]

    # Record this use in the process and in the log.
    _USES.append(use)
    if log is not None:
        append_line(log, json.dumps(use))
    return _table([*earlier, use], use)


def check_log(log):
    """Check that a log can be written and contains only recorded uses, so that errors come before the training.

    Parameters
    ----------
    log : path-like
        As in :func:`record_use`.

    Raises
    ------
    InputError
        If the log is a folder or contains anything but recorded uses.
    FileNotFoundError
        If the folder of the log does not exist.
    PermissionError
        If the log cannot be written.
    """
    log = Path(log)
    if not log.parent.is_dir():
        raise FileNotFoundError(f"external_log={str(log)!r}: the folder {log.parent} does not exist")
    if log.is_dir():
        raise InputError(f"external_log={str(log)!r}: it is a folder; a file is needed")
    if not os.access(log if log.exists() else log.parent, os.W_OK):
        raise PermissionError(f"external_log={str(log)!r}: it cannot be written")
    _read(log)


def _table(uses, last):
    """Return one row per use and model, for the uses that scored any of the patients of the last one."""
    rows, known_settings, patients = [], set(), last["patients"]
    related = [use for use in uses if patients.keys() & use["patients"].keys() or _renamed(use, last)]
    for number, use in enumerate(related, start=1):
        shared = patients.keys() & use["patients"].keys()
        rows += [
            {
                "use": number,
                "when": use["when"],
                "model": name,
                "settings": settings,
                "n_shared": len(shared) + len(_renamed(use, last)),
                "n_relabelled": sum(patients[patient] != use["patients"][patient] for patient in shared),
                "is_new_choice": number > 1 and settings not in known_settings,
            }
            for name, settings in use["models"].items()
        ]
        # Models scored in one use are one choice, so they become known only after it.
        known_settings |= set(use["models"].values())
    return pd.DataFrame(rows, columns=COLUMNS)


def _patient_fingerprints(X, y):
    """Return a fingerprint of each patient with a fingerprint of patient and outcome.

    The patient alone is recognised even if the image was moved or a cell of the table was edited.
    """
    ids = normalise_ids(X["patient_id"]).tolist() if "patient_id" in getattr(X, "columns", ()) else [None] * len(X)
    names = [joblib.hash(list(row)) if name is None else name for name, row in zip(ids, np.asarray(X), strict=True)]
    return {_digest([name]): _digest([name, str(outcome)]) for name, outcome in zip(names, y, strict=True)}


def _clinical_fingerprints(X):
    """Return a fingerprint of the clinical values of each patient who has enough of them, with that of the id."""
    columns = [column for column in CLINICAL_COLUMNS if column in getattr(X, "columns", ())]
    if len(columns) < FEWEST_VALUES or "patient_id" not in X:
        return {}
    return {
        _digest(map(str, values)): _digest([name])
        for name, values in zip(normalise_ids(X["patient_id"]), X[columns].to_numpy().tolist(), strict=True)
        if name is not None and sum(not is_missing(value) for value in values) >= FEWEST_VALUES
    }


def _renamed(use, last):
    """Return the clinical fingerprints of patients who are in both uses, under different names only."""
    return {
        values
        for values in use["clinical"].keys() & last["clinical"].keys()
        if use["clinical"][values] not in last["patients"] and last["clinical"][values] not in use["patients"]
    }


def _training_fingerprints(X, y):
    return [*map(str, getattr(X, "columns", ())), *sorted(_patient_fingerprints(X, y).values())]


def _settings_of(model, training):
    parameters = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    relevant = {name: value for name, value in parameters.items() if name.rsplit("__", 1)[-1] not in WITHOUT_EFFECT}
    # Nested estimators enter by their class only, because their parameters have their own entries.
    return _digest(
        [type(model).__name__, *(f"{name}={_as_text(value)}" for name, value in sorted(relevant.items())), *training]
    )


def _as_text(value):
    """Return the same text for equal values; a value that cannot be compared, such as a lambda, is always new."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_as_text, value))})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_as_text(key)}: {_as_text(of_key)}' for key, of_key in value.items())}}}"
    if hasattr(value, "get_params"):
        return type(value).__name__
    try:
        return str(joblib.hash(value))
    except (pickle.PicklingError, AttributeError, TypeError):
        return uuid.uuid4().hex


def _digest(parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _read(log):
    """Return the uses in a log, oldest first; none if the file does not exist yet."""
    if not log.exists():
        return []
    uses = []
    for number, line in enumerate(log.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            use = json.loads(line)
            parts = {"models": dict(use["models"]), "patients": dict(use["patients"])}
            # Records of earlier versions have no clinical values.
            parts["clinical"] = dict(use.get("clinical", {}))
            uses.append({"when": use["when"], **parts})
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{log}, line {number}: not a record of an external set's use ({error!r}); give another file"
            ) from error
    return uses
