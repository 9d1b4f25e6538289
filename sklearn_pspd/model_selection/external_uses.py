"""The record of an external set's uses: what was scored on it, and how often."""

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

from sklearn_pspd.cohort.problems import normalise_ids
from sklearn_pspd.exceptions import InputError

COLUMNS = ["use", "when", "model", "settings", "n_shared", "n_relabelled", "is_new_choice"]

# What changes where and how fast a model runs, but not what it learns.
_IRRELEVANT = ("memory", "n_jobs", "verbose", "pre_dispatch", "on_progress")

# The uses of this process, oldest first.
_USES: list[dict] = []


def record_use(models, X, y, X_test, y_test, log=None):
    """Add a scoring of external patients to the record, and return the record of these patients.

    Parameters
    ----------
    models : dict of str to estimator
        What was scored.
    X : DataFrame of shape (n_patients, n_columns)
        The training patients.
    y : ndarray of shape (n_patients,)
        Their outcomes.
    X_test : DataFrame of shape (n_external, n_columns)
        The external patients, known by their ``patient_id`` (blanks and case aside); without that column by their
        values.
    y_test : ndarray of shape (n_external,)
        Their outcomes.
    log : path-like, default=None
        File of one JSON object a use, which keeps the record beyond this process; created if missing.

    Returns
    -------
    DataFrame
        One row for each use so far and model, of any of these patients: ``use`` (from 1), ``when`` (UTC), ``model``,
        ``settings`` (a fingerprint of its parameters, its training patients and the columns of their table),
        ``n_shared`` (patients of then that are scored now too), ``n_relabelled`` (those of them with another outcome
        now) and ``is_new_choice`` (the record had uses, but none with these settings).

    Raises
    ------
    ValueError
        If the log holds something else.
    """
    log = None if log is None else Path(log)
    training = _training_of(X, y)
    use = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "models": {name: _settings_of(model, training) for name, model in models.items()},
        "patients": _fingerprints(X_test, y_test),
    }
    earlier = _read(log) if log is not None else []
    uses = [*earlier, *(known for known in _USES if known not in earlier)]
    _USES.append(use)
    if log is not None:
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(use) + "\n")
    return _table([*uses, use], use["patients"])


def check_log(log):
    """Refuse a log that cannot be written or holds something else, before hours of training rather than after.

    Parameters
    ----------
    log : path-like
        As in :func:`record_use`.

    Raises
    ------
    ValueError
        If the log is a folder or holds something else.
    FileNotFoundError
        If its folder does not exist.
    PermissionError
        If it cannot be written.
    """
    log = Path(log)
    if not log.parent.is_dir():
        raise FileNotFoundError(f"external_log={str(log)!r}: the folder {log.parent} does not exist")
    if log.is_dir():
        raise InputError(f"external_log={str(log)!r}: it is a folder; a file is needed")
    if not os.access(log if log.exists() else log.parent, os.W_OK):
        raise PermissionError(f"external_log={str(log)!r}: it cannot be written")
    _read(log)


def _table(uses, patients):
    rows, known = [], set()
    shared = [use for use in uses if patients.keys() & use["patients"].keys()]
    for number, use in enumerate(shared, start=1):
        common = patients.keys() & use["patients"].keys()
        rows += [
            {
                "use": number,
                "when": use["when"],
                "model": name,
                "settings": settings,
                "n_shared": len(common),
                "n_relabelled": sum(patients[who] != use["patients"][who] for who in common),
                "is_new_choice": number > 1 and settings not in known,
            }
            for name, settings in use["models"].items()
        ]
        known |= set(use["models"].values())
    return pd.DataFrame(rows, columns=COLUMNS)


def _fingerprints(X, y):
    """Return a short hash of each patient, and one of patient and outcome: files may move and cells be edited."""
    if "patient_id" in getattr(X, "columns", ()):
        known_by = normalise_ids(X["patient_id"]).tolist()
    else:
        known_by = [joblib.hash(list(row)) for row in np.asarray(X)]
    return {_digest([who]): _digest([who, str(outcome)]) for who, outcome in zip(known_by, y, strict=True)}


def _training_of(X, y):
    return [*map(str, getattr(X, "columns", ())), *sorted(_fingerprints(X, y).values())]


def _settings_of(model, training):
    parameters = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    relevant = {name: value for name, value in parameters.items() if name.rsplit("__", 1)[-1] not in _IRRELEVANT}
    # Steps show by their class; their own parameters have entries of their own.
    return _digest(
        [type(model).__name__, *(f"{name}={_show(value)}" for name, value in sorted(relevant.items())), *training]
    )


def _show(value):
    """Return the same text for the same value; a value that cannot be recognised, such as a lambda, is always new."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_show, value))})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_show(key)}: {_show(of_key)}' for key, of_key in value.items())}}}"
    if hasattr(value, "get_params"):
        return type(value).__name__
    try:
        return str(joblib.hash(value))
    except (pickle.PicklingError, AttributeError, TypeError):
        return uuid.uuid4().hex


def _digest(parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _read(log):
    if not log.exists():
        return []
    uses = []
    for number, line in enumerate(log.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            use = json.loads(line)
            uses.append({"when": use["when"], "models": dict(use["models"]), "patients": dict(use["patients"])})
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{log}, line {number}: not a record of an external set's use ({error!r})") from error
    return uses
