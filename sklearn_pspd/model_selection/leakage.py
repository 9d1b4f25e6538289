"""Leakage that a cohort table reveals before any model is trained."""

import hashlib

import numpy as np
import pandas as pd

from sklearn_pspd.cohort.columns import CLINICAL_COLUMNS
from sklearn_pspd.cohort.problems import normalise_ids
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.statistics import roc_auc

from .folds import check_outcomes

# A single clinical feature whose AUC has a lower confidence limit above this value is more likely leakage than a
# discovery: the paper's seven features together have an AUC of 0.52 on the external site.
SUSPICIOUS_AUC = 0.75


def audit_leaks(X, y, *, X_test=None, loader=None, feature_names=None):
    """List leakage that can be detected before training: duplicate patients, and features that reveal the outcome.

    Parameters
    ----------
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table of the training patients, as :func:`~sklearn_pspd.cohort.split_xy` returns it.
    y : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD.
    X_test : DataFrame of shape (n_external, n_columns), default=None
        Cohort table of the external site. Its patients must not be among the training patients. Its outcomes are not
        needed: features are tested on the training patients only.
    loader : SliceStackLoader, default=None
        Reads the slice stacks whose pixels are compared. None compares no pixels.
    feature_names : sequence of str, default=None
        Columns to test for revealing the outcome. None takes the clinical columns that X has.

    Returns
    -------
    DataFrame
        One row per finding; columns ``finding``, ``patients`` (their ids, comma-separated), ``sites``, ``column`` and
        ``detail``. Empty if nothing was found.

    Raises
    ------
    InputError
        If y contains values other than 0 and 1, X and y differ in length, X or X_test has no column ``patient_id``, or
        a feature is not a column of X.

    Notes
    -----
    The findings are "same patient" (ids are compared without letter case and surrounding blanks), "same image file",
    "same pixels" (equal slice stacks), "same clinical values" (all features equal), and "reveals the outcome". A
    feature reveals the outcome if its AUC alone is 1, or if the 95 % confidence interval of this AUC lies above 0.75,
    in either direction (our criterion). A category is scored by the prevalence of PsPD among its patients. Whether a
    value is missing is tested as well.

    The first four findings mean, with few exceptions, that a patient is in the table twice. The last one concerns the
    definition of the outcome: if the label was derived from timing, the days since radiotherapy repeat it.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd import audit_leaks
    >>> X = pd.DataFrame({"patient_id": ["P1", "P2", "P3", "P4", "p1 "], "interval_days": [200, 50, 210, 60, 190]})
    >>> table = audit_leaks(X, [0, 1, 0, 1, 0])
    >>> table["finding"].tolist(), table["column"].tolist()
    (['same patient', 'reveals the outcome'], ['', 'interval_days'])
    """
    # Check the input.
    y = check_outcomes(y, "y")
    for name, table in (("X", X), ("X_test", X_test)):
        if table is not None and "patient_id" not in getattr(table, "columns", ()):
            raise InputError(f"{name} must be a DataFrame with a column patient_id")
    if len(X) != len(y):
        raise InputError(f"X must have one row per outcome ({len(y)}); got {len(X)} rows")
    names = [name for name in CLINICAL_COLUMNS if name in X] if feature_names is None else list(feature_names)
    if absent := [name for name in names if name not in X]:
        raise InputError(f"feature_names: X has no column {', '.join(absent)}")

    # Duplicates are sought among training and external patients together.
    everyone = pd.concat([X, X_test], ignore_index=True)
    keys = _duplicate_keys(everyone, names, loader)
    findings = [row for finding, key in keys.items() for row in _duplicates(everyone, finding, key)]

    # Features are tested on training patients only: the outcomes of the external site are not to be looked at.
    findings += [row for name in names for row in _revealing(X[name], y)]
    return pd.DataFrame(findings, columns=["finding", "patients", "sites", "column", "detail"])


def _duplicate_keys(X, names, loader):
    """Return, by name of the finding, the values that two rows of the same patient have in common."""
    keys = {"same patient": normalise_ids(X["patient_id"])}
    if "image" in X:
        keys["same image file"] = X["image"]
    if loader is not None:
        keys["same pixels"] = _pixel_hashes(X, loader)
    if len(names) > 1:
        keys["same clinical values"] = pd.Series(list(X[names].itertuples(index=False, name=None)), index=X.index)
    return keys


def _pixel_hashes(X, loader):
    if not isinstance(loader, SliceStackLoader):
        raise InputError(f"loader must be a SliceStackLoader; got {type(loader).__name__}")
    stacks = loader.fit_transform(X)
    return pd.Series([hashlib.sha256(np.ascontiguousarray(s.pixels)).hexdigest() for s in stacks], index=X.index)


def _duplicates(X, finding, key):
    """Yield one finding for each value of the key that occurs in more than one row."""
    for code, positions in pd.Series(np.arange(len(X))).groupby(pd.factorize(key.reset_index(drop=True))[0]):
        # The code of a missing value is -1; missing values are not equal to each other.
        if code < 0 or len(positions) < 2:
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
    """Yield a finding if the values of a column reveal the outcome, and one if its missing values do."""
    # A number is its own score; a category is scored by its prevalence of PsPD.
    missing = values.isna().to_numpy()
    present = values[~missing]
    if pd.api.types.is_numeric_dtype(present.dtype):
        score = present.to_numpy(dtype=np.float64)
    else:
        score = pd.Series(y[~missing]).groupby(present.to_numpy()).transform("mean").to_numpy()

    # An AUC needs two outcomes and two different scores. Low values may reveal PsPD as well as high ones.
    tested = [("this feature alone", score, y[~missing]), ("whether it is missing", missing.astype(np.float64), y)]
    for what, feature, outcome in tested:
        if len(np.unique(outcome)) < 2 or len(np.unique(feature)) < 2:
            continue
        auc = roc_auc(outcome, feature)
        if auc.value < 0.5:
            auc = roc_auc(outcome, -feature)
        if auc.low > SUSPICIOUS_AUC or auc.value == 1:
            yield {
                "finding": "reveals the outcome",
                "patients": "",
                "sites": "",
                "column": values.name,
                "detail": f"AUC {auc.value:.2f} ({auc.low:.2f} to {auc.high:.2f}) of {what}",
            }
