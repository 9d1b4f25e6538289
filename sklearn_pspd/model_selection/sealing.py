"""The record of an external set's uses: what was scored on it, and how often."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from sklearn_pspd.cohort import CLINICAL_COLUMNS

COLUMNS = ["use", "when", "model", "settings", "n_shared", "is_new_choice"]

# What changes where and how fast a model runs, but not what it learns.
_IRRELEVANT = ("memory", "n_jobs", "verbose", "pre_dispatch")

# The uses of this process, oldest first.
_USES: list[dict] = []


def record_use(models, X, y, log=None):
    """Add a scoring of external patients to the record, and return the record of these patients.

    Parameters
    ----------
    models : dict of str to estimator
        What is scored.
    X : DataFrame of shape (n_patients, n_columns)
        The external patients.
    y : ndarray of shape (n_patients,)
        Their outcomes.
    log : path-like, default=None
        File of one JSON object a use, which keeps the record beyond this process; created if missing.

    Returns
    -------
    DataFrame
        One row for each use so far and model, of any of these patients: ``use`` (from 1), ``when`` (UTC), ``model``,
        ``settings`` (a fingerprint of its parameters), ``n_shared`` (patients of then that are scored now too) and
        ``is_new_choice`` (the record had uses, but not of this model with these settings).

    Raises
    ------
    ValueError
        If the log holds something else.
    """
    log = None if log is None else Path(log)
    use = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "models": {name: _settings_of(model) for name, model in models.items()},
        "patients": sorted(_fingerprints(X, y)),
    }
    earlier = _read(log) if log is not None else []
    uses = [*earlier, *(known for known in _USES if known not in earlier)]
    _USES.append(use)
    if log is not None:
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(use) + "\n")
    return _table([*uses, use], set(use["patients"]))


def check_log(log):
    """Refuse a log that cannot be written or holds something else, before hours of training rather than after.

    Parameters
    ----------
    log : path-like
        As in :func:`record_use`.

    Raises
    ------
    ValueError
        If the log holds something else.
    FileNotFoundError
        If its folder does not exist.
    """
    log = Path(log)
    if not log.parent.is_dir():
        raise FileNotFoundError(f"external_log={str(log)!r}: the folder {log.parent} does not exist")
    _read(log)


def _table(uses, patients):
    rows, known = [], set()
    # Without ids nothing is known to be shared, but the last use is this one.
    shared = [*(use for use in uses[:-1] if patients & set(use["patients"])), uses[-1]]
    for number, use in enumerate(shared, start=1):
        choices = set(use["models"].items())
        rows += [
            {
                "use": number,
                "when": use["when"],
                "model": name,
                "settings": settings,
                "n_shared": len(patients & set(use["patients"])),
                "is_new_choice": number > 1 and (name, settings) not in known,
            }
            for name, settings in use["models"].items()
        ]
        known |= choices
    return pd.DataFrame(rows, columns=COLUMNS)


def _fingerprints(X, y):
    """Return one short hash a patient, of the id, the clinical values and the outcome: files may have moved."""
    columns = [column for column in ("patient_id", *CLINICAL_COLUMNS) if column in getattr(X, "columns", ())]
    if "patient_id" not in columns:
        return []
    rows = X[columns].astype(str).itertuples(index=False, name=None)
    return [_digest([*row, str(outcome)]) for row, outcome in zip(rows, y, strict=True)]


def _settings_of(model):
    parameters = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    relevant = {name: value for name, value in parameters.items() if name.rsplit("__", 1)[-1] not in _IRRELEVANT}
    # Steps show by their class; their own parameters have entries of their own.
    shown = [f"{name}={_show(value)}" for name, value in sorted(relevant.items())]
    return _digest([type(model).__name__, *shown])


def _show(value):
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_show, value))})"
    if callable(value) and hasattr(value, "__qualname__"):
        return value.__qualname__
    return type(value).__name__ if hasattr(value, "get_params") else repr(value)


def _digest(parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _read(log):
    if not log.exists():
        return []
    uses = []
    for number, line in enumerate(log.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            use = json.loads(line)
            uses.append({key: use[key] for key in ("when", "models", "patients")})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{log}, line {number}: not a record of an external set's use ({error!r})") from error
    return uses
