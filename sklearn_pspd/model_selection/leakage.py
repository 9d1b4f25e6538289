"""Leakage that a cohort table reveals before any model is trained."""

import hashlib
import itertools

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.parallel import Parallel, delayed

from sklearn_pspd.cohort.columns import CLINICAL_COLUMNS
from sklearn_pspd.cohort.problems import check_frame, normalise_ids
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.loading.loader import unreadable_images
from sklearn_pspd.statistics import Estimate, expected_auc_interval, roc_auc
from sklearn_pspd.statistics.auc_intervals import auc_estimate
from sklearn_pspd.statistics.fold_design import auc_covariance, fold_design, influences, placements_within
from sklearn_pspd.statistics.intervals import normal_quantile

from .folds import check_outcomes

# A single clinical feature whose AUC has a lower confidence limit above this value is more likely leakage than a
# discovery: the paper's seven features together have an AUC of 0.52 on the external site.
SUSPICIOUS_AUC = 0.75

# If a feature with this AUC would not be found suspicious, the patients are too few to tell.
STRONG_AUC = 0.95

UNKNOWN_AUC = Estimate(np.nan, np.nan, np.nan, "not defined")

# Folds in which a category is scored by the outcomes of the other folds.
N_FOLDS = 5


# Columns of public tables that state the outcome, and what they are.
OUTCOME_COLUMNS = {
    "PsP_TP_score": "the score from pseudoprogression to true progression of UPENN-GBM",
    "outcome": "the outcome",
}


def audit_leaks(X, y, *, X_test=None, others=None, loader=None, feature_names=None):
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
    others : dict of str to DataFrame, default=None
        Further cohort tables by name, for example public ones: data sets share patients, so that a model that is
        trained on one has seen patients of another. Their patients are compared with all others.
    loader : SliceStackLoader, default=None
        Reads the slice stacks whose pixels are compared. None compares no pixels.
    feature_names : sequence of str, default=None
        Columns to test for revealing the outcome. None takes the clinical columns that X has.

    Returns
    -------
    DataFrame
        One row per finding; columns ``finding``, ``patients`` (their ids, comma-separated), ``sites``, ``column`` and
        ``detail``. Empty if nothing was found, and enough patients were there to find it.

    Raises
    ------
    InputError
        If y contains values other than 0 and 1, X and y differ in length, a table has no column ``patient_id``, or a
        feature is not a column of X.

    Notes
    -----
    The findings are "same patient" (ids are compared without letter case and surrounding blanks), "same image file",
    "same pixels" (equal slice stacks, also if one is mirrored along an axis), "same clinical values" (all features
    equal), "states the outcome" (a column of a public table that is known to be derived from it), "reveals the outcome"
    and "too few patients to tell". A feature reveals the outcome if its AUC alone is 1, or if the 95 % confidence
    interval of this AUC lies above 0.75 (our criterion); see :func:`single_feature_aucs`. If no feature does, and the
    patients are so few that even an AUC of 0.95 would not be found, the last finding states the largest AUC of a
    feature.

    The first four findings mean, with few exceptions, that a patient is in the table twice. "reveals the outcome"
    concerns the definition of the outcome: if the label was derived from timing, the days since radiotherapy repeat it.
    Images are read one patient at a time (per process of the loader), and only a hash of their pixels is kept.

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
    others = dict(others or {})
    for name, table in {"X": X, "X_test": X_test, **others}.items():
        if table is None:
            continue
        check_frame(table, name)
        if "patient_id" not in table:
            raise InputError(f"{name} must have a column patient_id; it has {', '.join(map(str, table.columns))}")
    if len(X) != len(y):
        raise InputError(f"X must have one row per outcome ({len(y)}); got {len(X)} rows")
    names = [name for name in CLINICAL_COLUMNS if name in X] if feature_names is None else list(feature_names)
    if absent := [name for name in names if name not in X]:
        raise InputError(f"feature_names: X has no column {', '.join(absent)}")

    # Duplicates are sought among training, external and other patients together.
    named = [table.assign(site=name) for name, table in others.items()]
    everyone = pd.concat([X, X_test, *named], ignore_index=True)
    keys = _duplicate_keys(everyone, names, loader)
    findings = [row for finding, key in keys.items() for row in _duplicates(everyone, finding, key)]

    findings += [
        {"finding": "states the outcome", "patients": "", "sites": "", "column": name, "detail": OUTCOME_COLUMNS[name]}
        for name in names
        if name in OUTCOME_COLUMNS
    ]
    # Features are tested on training patients only: the outcomes of the external site are not to be looked at.
    features = single_feature_aucs(X, y, feature_names=names)
    revealing = features[(features["low"] > SUSPICIOUS_AUC) | (features["auc"] == 1)]
    findings += [_finding("reveals the outcome", row, "") for row in revealing.itertuples()]
    n_pspd, n_pd = int(y.sum()), int((y == 0).sum())
    if names and revealing.empty and not _is_enough(n_pspd, n_pd):
        largest = next(features.dropna(subset="auc").sort_values("auc", ascending=False).itertuples(), None)
        findings.append(_finding("too few patients to tell", largest, f"{n_pspd} with PsPD, {n_pd} with PD; largest: "))
    return pd.DataFrame(findings, columns=["finding", "patients", "sites", "column", "detail"])


def single_feature_aucs(X, y, *, feature_names=None):
    """Estimate how well each feature alone separates the outcomes.

    Parameters
    ----------
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table of the training patients.
    y : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD.
    feature_names : sequence of str, default=None
        Columns to test. None takes the clinical columns that X has.

    Returns
    -------
    DataFrame
        Two rows per feature; columns ``column``, ``scored_by`` ("this feature alone" or "whether it is missing"),
        ``auc`` with the limits ``low`` and ``high`` of its 95 % interval, and ``n_patients``. NaN where no AUC can be
        computed.

    Raises
    ------
    InputError
        If y contains values other than 0 and 1, or X and y differ in length.

    Notes
    -----
    A number is its own score, in the direction in which its AUC is at least 0.5. A category is scored by the proportion
    of PsPD among the patients of the same category in the other of five stratified folds, and by the overall proportion
    where there are none, so that many rare categories do not repeat the outcomes that they are scored by; the AUC is
    then the mean over the folds.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.model_selection.leakage import single_feature_aucs
    >>> X = pd.DataFrame({"interval_days": [200, 50, 210, 60, 190]})
    >>> table = single_feature_aucs(X, [0, 1, 0, 1, 0], feature_names=["interval_days"])
    >>> table[["column", "scored_by", "auc"]].round(2)
              column            scored_by  auc
    0  interval_days   this feature alone  1.0
    1  interval_days  whether it is missing  NaN
    """
    y = check_outcomes(y, "y")
    if len(X) != len(y):
        raise InputError(f"X must have one row per outcome ({len(y)}); got {len(X)} rows")
    names = [name for name in CLINICAL_COLUMNS if name in X] if feature_names is None else list(feature_names)
    rows = []
    for name in names:
        missing = X[name].isna().to_numpy()
        present = X[name][~missing]
        of_values = _auc_of_numbers if pd.api.types.is_numeric_dtype(present.dtype) else _auc_of_categories
        for scored_by, auc, n in (
            ("this feature alone", of_values(present.to_numpy(), y[~missing]), len(present)),
            ("whether it is missing", _auc_of_numbers(missing, y), len(y)),
        ):
            row = {"column": name, "scored_by": scored_by, "auc": auc.value, "low": auc.low, "high": auc.high}
            rows.append({**row, "n_patients": n})
    return pd.DataFrame(rows, columns=["column", "scored_by", "auc", "low", "high", "n_patients"])


def _auc_of_numbers(values, y):
    """Return the AUC in the direction in which it is at least 0.5; NaN without two outcomes and two values."""
    if len(np.unique(y)) < 2 or len(np.unique(values)) < 2:
        return UNKNOWN_AUC
    score = values.astype(np.float64)
    auc = roc_auc(y, score)
    return auc if auc.value >= 0.5 else roc_auc(y, -score)


def _auc_of_categories(values, y):
    """Return the mean AUC over folds of categories that are scored by the other folds; NaN with too few patients."""
    n_folds = min(N_FOLDS, int(np.bincount(y, minlength=2).min()) // 2)
    if n_folds < 2 or len(pd.unique(values)) < 2:
        return UNKNOWN_AUC
    score, fold = np.empty(len(y)), np.empty(len(y), dtype=np.intp)
    for number, (others, own) in enumerate(StratifiedKFold(n_folds, shuffle=True, random_state=0).split(y, y)):
        prevalence = y[others].mean()
        counts = pd.Series(y[others]).groupby(values[others]).agg(["sum", "size"])
        # Shrunk towards the prevalence by one patient, so that a rare category is not certain.
        learned = (counts["sum"] + prevalence) / (counts["size"] + 1)
        score[own] = pd.Series(values[own]).map(learned).fillna(prevalence).to_numpy()
        fold[own] = number
    # The scores hardly depend on which patients are left out, so that their variance is that of separate patients.
    design = fold_design(y == 1, fold)._replace(factor=1.0)
    auc, placement = placements_within(design, score)
    variance = auc_covariance(design, influences(design, placement)[np.newaxis])[0, 0]
    return auc_estimate(design, auc, variance, normal_quantile(0.95))


def _is_enough(n_pspd, n_pd):
    """Return whether a feature with a large AUC would be found suspicious among so many patients."""
    return min(n_pspd, n_pd) > 0 and expected_auc_interval(STRONG_AUC, n_pspd, n_pd)[0] > SUSPICIOUS_AUC


def _finding(finding, feature, before):
    """Return a finding about a feature, a row of the table of single features; None if no feature could be tested."""
    row = {"finding": finding, "patients": "", "sites": "", "column": "" if feature is None else feature.column}
    if feature is None:
        return {**row, "detail": f"{before}no feature could be tested"}
    auc = f"AUC {feature.auc:.2f} ({feature.low:.2f} to {feature.high:.2f}) of {feature.scored_by}"
    return {**row, "detail": before + auc}


def _duplicate_keys(X, names, loader):
    """Return, by name of the finding, the values that two rows of the same patient have in common."""
    keys = {"same patient": normalise_ids(X["patient_id"])}
    if "image" in X:
        keys["same image file"] = X["image"]
    if loader is not None:
        further = loader.further_images if isinstance(loader, SliceStackLoader) else ()
        hashes = _pixel_hashes(X, loader)
        keys["same pixels"] = hashes.str[0]
        for number, name in enumerate(further, start=1):
            keys[f"same image file ({name})"] = X[name]
            keys[f"same pixels ({name})"] = hashes.str[number]
    if len(names) > 1:
        keys["same clinical values"] = pd.Series(list(X[names].itertuples(index=False, name=None)), index=X.index)
    return keys


def _pixel_hashes(X, loader):
    """Return a hash of the slices of each image, by patient; one error names all images that cannot be loaded."""
    if not isinstance(loader, SliceStackLoader):
        raise InputError(f"loader must be a SliceStackLoader; got {type(loader).__name__}")
    single = clone(loader).set_params(n_jobs=None)
    hashes = Parallel(n_jobs=loader.n_jobs)(delayed(_pixel_hash)(X.iloc[[row]], single) for row in range(len(X)))
    if any(found is None for found in hashes):
        problems = [
            [] if found else single.inspect(X.iloc[[row]])["problem"].iloc[0].split(" | ")
            for row, found in enumerate(hashes)
        ]
        raise unreadable_images(X, problems)
    return pd.Series(hashes, index=X.index)


def _pixel_hash(row, loader):
    """Return the hash of the slices of each image of a patient, or None if the images cannot be loaded."""
    try:
        (stack,) = loader.fit_transform(row)
    except InputError:
        return None
    return tuple(map(_hash_of_mirrored, stack.images))


def _hash_of_mirrored(pixels):
    """Return the hash that a stack and its mirror images share: public copies are stored in several orientations."""
    mirrored = (np.flip(pixels, axes) for n in range(4) for axes in itertools.combinations(range(3), n))
    return min(hashlib.sha256(np.ascontiguousarray(copy)).hexdigest() for copy in mirrored)


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
