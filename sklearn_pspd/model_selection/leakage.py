"""Leaks that a table shows before anything is trained."""

import hashlib

import numpy as np
import pandas as pd

from sklearn_pspd.cohort.columns import CLINICAL_COLUMNS
from sklearn_pspd.cohort.problems import normalise_ids
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.statistics import roc_auc

from .folds import check_outcomes

# A clinical feature whose AUC alone is at least this, at the lower end of its interval, is more likely a leak than a
# discovery: the paper's seven features together have 0.52 on the external site.
SUSPICIOUS_AUC = 0.75


def audit_leaks(X, y, *, X_test=None, loader=None, feature_names=None):
    """List what would let a model know the answer: patients that occur twice, and features that give it away.

    Parameters
    ----------
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table of the training patients, as :func:`~sklearn_pspd.cohort.split_xy` gives it.
    y : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD.
    X_test : DataFrame of shape (n_external, n_columns), default=None
        Cohort table of the external site, whose patients must not be among the training patients either. Its outcomes
        are not asked for: features are tested on the training patients alone.
    loader : SliceStackLoader, default=None
        Reads the slice stacks whose pixels are compared; None compares no pixels.
    feature_names : sequence of str, default=None
        Columns to test for giving the outcome away; None takes the clinical columns that X has.

    Returns
    -------
    DataFrame
        One row a finding; columns ``finding``, ``patients`` (their ids, comma-separated), ``sites``, ``column`` and
        ``detail``. Empty if nothing was found.

    Raises
    ------
    ValueError
        If y holds anything but 0 and 1, lengths differ, X or X_test has no ``patient_id``, or a feature is not a
        column.

    Notes
    -----
    Findings are "same patient" (ids that differ in case and blanks at most), "same image file", "same pixels" (equal
    slice stacks), "same clinical values" (all features equal), and "gives the outcome away": the AUC of one feature
    alone is 1, or its 95 % interval lies above 0.75, in either direction (ours). A category enters by the share of PsPD
    among its patients; whether a value is missing is tested too.

    The first four mean that a patient is in the table twice, or nearly always do. The last asks how the outcome was
    defined: where the label is made from timing, the days since radiotherapy repeat it.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd import audit_leaks
    >>> X = pd.DataFrame({"patient_id": ["P1", "P2", "P3", "P4", "p1 "], "interval_days": [200, 50, 210, 60, 190]})
    >>> table = audit_leaks(X, [0, 1, 0, 1, 0])
    >>> table["finding"].tolist(), table["column"].tolist()
    (['same patient', 'gives the outcome away'], ['', 'interval_days'])
    """
    y = check_outcomes(y, "y")
    for name, part in (("X", X), ("X_test", X_test)):
        if part is not None and "patient_id" not in getattr(part, "columns", ()):
            raise InputError(f"{name} is a table with a column patient_id; there is none")
    if len(X) != len(y):
        raise InputError(f"X has a row for each of the {len(y)} outcomes; got {len(X)} rows")
    names = [name for name in CLINICAL_COLUMNS if name in X] if feature_names is None else list(feature_names)
    if absent := [name for name in names if name not in X]:
        raise InputError(f"X has no column {', '.join(absent)}")
    everyone = pd.concat([X, X_test], ignore_index=True)
    keys = _keys(everyone, names, loader)
    rows = [row for finding, key in keys.items() for row in _repeated(everyone, finding, key)]
    rows += [row for name in names for row in _revealing(X[name], y)]
    return pd.DataFrame(rows, columns=["finding", "patients", "sites", "column", "detail"])


def _keys(X, names, loader):
    """Return what two rows of one patient have in common, by what that is called."""
    keys = {"same patient": normalise_ids(X["patient_id"])}
    if "image" in X:
        keys["same image file"] = X["image"]
    if loader is not None:
        keys["same pixels"] = _pixel_keys(X, loader)
    if len(names) > 1:
        keys["same clinical values"] = pd.Series(list(X[names].itertuples(index=False, name=None)), index=X.index)
    return keys


def _pixel_keys(X, loader):
    if not isinstance(loader, SliceStackLoader):
        raise InputError(f"loader is a SliceStackLoader; got {type(loader).__name__}")
    stacks = loader.fit_transform(X)
    return pd.Series([hashlib.sha256(np.ascontiguousarray(s.pixels)).hexdigest() for s in stacks], index=X.index)


def _repeated(X, finding, key):
    """Return a row for each value of the key that several rows share."""
    for value, positions in pd.Series(np.arange(len(X))).groupby(pd.factorize(key.reset_index(drop=True))[0]):
        if value < 0 or len(positions) < 2:
            continue
        rows = X.iloc[positions.to_numpy()]
        sites = sorted(set(rows["site"].astype(str))) if "site" in X else []
        across = " on different sites" if len(sites) > 1 else ""
        yield {
            "finding": finding,
            "patients": ", ".join(rows["patient_id"].astype(str)),
            "sites": ", ".join(sites),
            "column": "",
            "detail": f"{len(rows)} rows{across}",
        }


def _revealing(values, y):
    """Return a row if the values of a column, or their absence, tell the outcome."""
    missing = values.isna().to_numpy()
    present = values[~missing]
    if pd.api.types.is_numeric_dtype(present.dtype):
        score = present.to_numpy(dtype=np.float64)
    else:
        score = pd.Series(y[~missing]).groupby(present.to_numpy()).transform("mean").to_numpy()
    tested = [("", score, y[~missing]), ("missing or not: ", missing.astype(np.float64), y)]
    for what, feature, outcome in tested:
        if len(np.unique(outcome)) < 2 or len(np.unique(feature)) < 2:
            continue
        auc = roc_auc(outcome, feature)
        if auc.value < 0.5:
            auc = roc_auc(outcome, -feature)
        if auc.low > SUSPICIOUS_AUC or auc.value == 1:
            yield {
                "finding": "gives the outcome away",
                "patients": "",
                "sites": "",
                "column": values.name,
                "detail": f"{what}AUC {auc.value:.2f} ({auc.low:.2f} to {auc.high:.2f}) alone",
            }
