"""What else the image features of a model say: site, sex and age, compared with what the file headers say."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_pspd.cohort.problems import check_frame
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import auc_within_folds, auc_within_folds_test

from .network_parts import network_parts
from .opened import OpenedModel, check_outcomes

HEADER_COLUMNS = (
    "height", "width", "n_slices_in_source", "row_spacing_mm", "column_spacing_mm", "slice_spacing_mm", "fov_height_mm",
    "fov_width_mm", "thickness_mm", "tilt_deg", "format", "orientation",
)  # fmt: skip
OUTCOME = "outcome"
N_FOLDS = 5
PENALTY_C = 0.1


def confounder_aucs(model, X, y=None, *, targets=("site", "sex", "age_years"), confidence_level=0.95, random_state=0):
    """Measure how well other facts about a patient can be predicted from a model's image features.

    A network that was trained to predict the outcome and also tells the sites apart may use what differs between them.

    Parameters
    ----------
    model : Pipeline
        A fitted pipeline with images. The features are the result of a network's image branch, all members together;
        otherwise what the image branch gives the classifier.
    X : DataFrame of shape (n_patients, n_columns)
        Patients that the model was not trained on, with the columns of `targets`.
    y : array-like of shape (n_patients,), default=None
        Their outcomes. If given, the outcome is a further target: what the headers say of it, the headers give away.
    targets : sequence of str, default=("site", "sex", "age_years")
        Columns to predict. Numbers are split at their median; of several texts the most frequent one is told from the
        others.
    confidence_level : float, default=0.95
        Coverage of the intervals, in (0, 1).
    random_state : int, default=0
        Seed of the folds.

    Returns
    -------
    DataFrame
        One row per target: ``target``, ``positive`` (what is told from the rest), ``n_positive``, ``n_patients``;
        ``auc`` from the image features with its interval ``low`` to ``high``; ``auc_header`` from the facts of the file
        header alone (matrix, spacing, field of view, thickness, tilt, orientation) with ``header_low`` to
        ``header_high``; and ``difference`` of the two with ``difference_low`` to ``difference_high``. NaN where a group
        has fewer than four patients, or there is nothing to predict from.

    Raises
    ------
    InputError
        If the model reads no images, or the table lacks a target.

    See Also
    --------
    shortcut_tests : Whether the model needs the lesion.

    Notes
    -----
    A logistic regression with a ridge penalty predicts each target from standardised features, out of fold; AUCs and
    intervals are those within folds. An AUC above 0.5 shows that the information is there, not that the model uses it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import make_cohort, split_xy
    >>> from sklearn_pspd.baselines import baseline_models
    >>> from sklearn_pspd.inspection import confounder_aucs
    >>> options = {"matrix_px": (128,), "n_native_slices": 10, "random_state": 0}
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(folder, 24, **options))
    ...     model = baseline_models(["MRI principal components"], n_slices=3, size_px=24)["MRI principal components"]
    ...     table = confounder_aucs(model.fit(X, y), X, targets=["sex"])
    >>> table[["target", "positive"]].to_numpy().tolist()
    [['sex', 'male']]
    """
    check_frame(X, "X")
    if absent := [name for name in targets if name not in X.columns]:
        raise InputError(f"the table lacks the column {', '.join(map(repr, absent))}; it has {', '.join(X.columns)}")
    opened = OpenedModel(model)
    opened.require_images("a test of image features")
    image_features = _image_features(opened, X)
    header = _header_features(opened.images_of["load"].inspect(X))
    groups = {name: _split(X[name]) for name in targets}
    if y is not None:
        groups[OUTCOME] = _split(pd.Series(check_outcomes(y, len(X))))
    folds = (confidence_level, random_state)
    return pd.DataFrame([_row(name, *group, image_features, header, *folds) for name, group in groups.items()])


def _image_features(opened, X):
    standardised = opened.standardise(opened.images(opened.stacks(X)))
    if opened.is_network:
        return np.hstack([part.encode_images(standardised) for part in network_parts(opened.classifier)])
    return opened.columns_of(standardised, np.empty((len(X), 0), dtype=np.float32))


def _header_features(facts):
    """Return the facts that vary as numbers; texts become one column of zeros and ones per text."""
    columns = pd.get_dummies(facts[list(HEADER_COLUMNS)], columns=["format", "orientation"], dtype=float)
    columns = columns.astype(float).dropna(axis="columns")
    varies = (columns != columns.iloc[0]).any()
    return columns.loc[:, varies].to_numpy()


def _split(column):
    """Return who is positive, and in words what that is."""
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > 2:
        median = column.median()
        return (column > median).to_numpy(), f"above {median:g}"
    values = column.astype(str)
    most = values.value_counts().sort_index().idxmax()
    return (values == most).to_numpy(), most


def _row(name, is_positive, words, image_features, header, confidence_level, random_state):
    row = {"target": name, "positive": words, "n_positive": int(is_positive.sum()), "n_patients": len(is_positive)}
    # At least two patients of each group per fold, without which there is no variance within folds.
    n_folds = min(N_FOLDS, int(is_positive.sum()) // 2, int((~is_positive).sum()) // 2)
    scores = {}
    if n_folds > 1:
        splits = list(StratifiedKFold(n_folds, shuffle=True, random_state=random_state).split(header, is_positive))
        for columns, features in (("", image_features), ("header_", header)):
            if features.shape[1]:
                scores[columns] = _out_of_fold(features, is_positive, splits)
    level = {"confidence_level": confidence_level, "pos_label": True}
    for columns, value in (("", "auc"), ("header_", "auc_header")):
        estimate = (np.nan,) * 3
        if columns in scores:
            estimate = auc_within_folds(is_positive, *scores[columns], **level)
        row |= {value: estimate[0], f"{columns}low": estimate[1], f"{columns}high": estimate[2]}
    test = (np.nan,) * 3
    if len(scores) == 2:
        (first, fold), (second, _) = scores.values()
        test = auc_within_folds_test(is_positive, first, second, fold, **level)
    return row | dict(zip(("difference", "difference_low", "difference_high"), test[:3], strict=True))


def _out_of_fold(features, is_positive, splits):
    """Return the scores of a regression that was trained on the other folds, and the folds."""
    score, fold = np.empty(len(features)), np.empty(len(features), dtype=int)
    for number, (train, test) in enumerate(splits):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY_C, max_iter=1000))
        score[test] = model.fit(features[train], is_positive[train]).decision_function(features[test])
        fold[test] = number
    return score, fold
