"""Validation of several models on the same folds and on a held-out site."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sklearn_pspd._sklearn import _safe_indexing
from sklearn_pspd.cohort.problems import normalise_ids
from sklearn_pspd.exceptions import InputError

from .comparison import ModelComparison
from .external_uses import check_log, record_use
from .fits import fit_on, refuse_tuned_seeds, score_rows, seeded_clone
from .folds import CROSS_VALIDATION, EXTERNAL, check_outcomes, make_splits, number_repeats
from .nested import inner_and_outer_score
from .parallel import Tasks


def compare_models(
    models,
    X,
    y,
    *,
    cv=10,
    X_test=None,
    y_test=None,
    keep_models=False,
    external_log=None,
    random_state=None,
    n_jobs=None,
    on_progress=None,
    kept=None,
):
    """Validate several models on the same folds, and once on an external set.

    Each fit is given the rows of its training fold only; the external set is scored by models that were trained on all
    of X. A patient is classified as PsPD if the predicted probability is at least the prevalence of PsPD among the
    patients that the model was trained on. This threshold needs neither test rows nor a second fit (ours; the paper
    took one from the test set).

    A model whose last step has several members (``n_members`` of the network) is scored as an ensemble and member by
    member. Each fold gives the models' seeds other values, so that the fits of different folds do not start from the
    same initial weights; the fit on all of X keeps the seeds of the models.

    Parameters
    ----------
    models : dict of str to estimator
        Classifiers of X with ``predict_proba``, by the name that tables and figures show. A search, such as
        :class:`~sklearn.model_selection.GridSearchCV`, tunes inside each training fold.
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table of the training site(s), as :func:`~sklearn_pspd.cohort.split_xy` gives it.
    y : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD.
    cv : int, splitter or iterable, default=10
        Number of stratified, shuffled folds [1]_, a scikit-learn splitter, or the splits themselves, for example
        ``LeaveOneGroupOut().split(X, y, X["site"])``. Each repeat of a repeated cross-validation, such as
        :class:`~sklearn.model_selection.RepeatedStratifiedKFold`, must test each patient once.
    X_test : DataFrame, default=None
        Cohort table of the external site.
    y_test : array-like, default=None
        Its outcomes.
    keep_models : bool, default=False
        Whether to return the models fitted on all of X. Without an external set this takes one more fit per model.
    external_log : path-like, default=None
        File that records every use of an external set, one JSON object per line, beyond this process. A second use with
        another choice of model shows in ``external_uses`` and in the report, whether there is a file or not.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds.
    n_jobs : int, default=None
        Fits that run in parallel, in processes.
    on_progress : callable, default=None
        Called after each fit with the number of fits done, the number of all fits, and a description.
    kept : KeptFits, default=None
        Folder of finished fits, with which an interrupted comparison goes on where it stopped; see
        :class:`~sklearn_pspd.model_selection.KeptFits`. None keeps nothing.

    Returns
    -------
    ModelComparison
        Out-of-fold and external scores, the record of uses of the external set, what searches selected and, with
        `keep_models`, the models fitted on all of X.

    Raises
    ------
    InputError
        If there is no model, one has no ``predict_proba`` or tunes its seed, a class has fewer patients than there are
        folds, repeats do not test the same patients, a patient is used to train the model that scores this patient, y
        holds anything but 0 and 1, a patient is in two rows, or in X and in X_test (ids are compared without blanks and
        letter case), the external set lacks an outcome, or the log holds something else.
    FileNotFoundError
        If the folder of the log does not exist.
    PermissionError
        If the log cannot be written.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_pspd import compare_models
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> X = pd.DataFrame({"a": rng.normal(size=40) + y, "b": rng.normal(size=40)})
    >>> comparison = compare_models({"logistic": LogisticRegression()}, X, y, cv=4, random_state=0)
    >>> comparison.scores.shape
    (40, 9)
    """
    # Refuse what would make a result wrong, before hours of training.
    _check_models(models)
    y = check_outcomes(y, "y")
    _check_ids(X, "X")
    X_test, y_test = _check_external(X, X_test, y_test)
    if external_log is not None:
        check_log(external_log)
    splits = make_splits(cv, X, y, random_state)
    repeats = number_repeats(splits)

    # One task per model and fold; fold 0 stands for a fit on all of X.
    tasks = [(name, fold, train, test) for name in models for fold, (train, test) in enumerate(splits, start=1)]
    if X_test is not None or keep_models:
        tasks += [(name, 0, np.arange(len(y)), None) for name in models]
    calls = []
    for name, fold, train, test in tasks:
        fit = {"model": name, "evaluation": CROSS_VALIDATION if fold else EXTERNAL}
        fit |= {"repeat": repeats[fold - 1] if fold else 0, "fold": fold}
        model = seeded_clone(models[name], *([fold] if fold else []))
        # Without an external set, which it does not need, a fold's kept fit serves with any.
        external = (None, None) if fold else (X_test, y_test)
        calls.append((model, fit, X, y, train, test, *external, keep_models))
    what_for = "external set" if X_test is not None else "all patients"
    descriptions = [f"{name}, {f'fold {fold} of {len(splits)}' if fold else what_for}" for name, fold, _, _ in tasks]
    results = list(Tasks(len(calls), n_jobs, on_progress, kept).run(_fit_and_score, calls, descriptions))

    # Collect the scores, what searches selected, and the fitted models.
    scores = pd.concat([scored for scored, _, _ in results if scored is not None], ignore_index=True)
    tuned = [selected for _, selected, _ in results if selected]
    fitted = {name: model for (name, *_), (_, _, model) in zip(tasks, results, strict=True) if model is not None}
    uses = None if X_test is None else _record_use(kept, models, X, y, X_test, y_test, external_log)
    return ModelComparison(scores, uses, pd.DataFrame(tuned) if tuned else None, fitted)


def _record_use(kept, *use):
    """Record the use of an external set; a comparison that goes on where it stopped uses it once."""
    if kept is None:
        return record_use(*use)
    key = kept.key(record_use, use)
    recorded = kept.read(key)
    return recorded[0] if recorded else kept.run(key, record_use, use)


def _check_models(models):
    if not isinstance(models, Mapping) or not models:
        raise InputError(f"models must be a dict of at least one model by its name; got {models!r}")
    if without_proba := [name for name, model in models.items() if not hasattr(model, "predict_proba")]:
        raise InputError(
            f"models without predict_proba, which gives the probability of PsPD: {', '.join(without_proba)}"
        )
    refuse_tuned_seeds(models)


def _check_external(X, X_test, y_test):
    if (X_test is None) != (y_test is None):
        raise InputError("X_test and y_test come together; one of them is None")
    if X_test is None:
        return None, None
    y_test = check_outcomes(y_test, "y_test")
    if len(X_test) != len(y_test) or len(np.unique(y_test)) < 2:
        raise InputError(
            f"the external set needs an outcome for each of its {len(X_test)} patients, and both outcomes; got "
            f"{int((y_test == 0).sum())} with PD (0) and {int((y_test == 1).sum())} with PsPD (1)"
        )
    _check_ids(X_test, "X_test")
    shared = set(normalise_ids(_patient_ids(X))) & set(normalise_ids(_patient_ids(X_test)))
    if shared and "patient_id" in getattr(X, "columns", ()):
        raise InputError(f"patients of the external set are in the training set too: {', '.join(sorted(shared))}")
    return X_test, y_test


def _check_ids(X, name):
    """Refuse rows without an id, and a patient in two rows: one could train the model that scores the other."""
    ids = normalise_ids(_patient_ids(X))
    if ids.isna().any():
        raise InputError(f"{name} has {int(ids.isna().sum())} row(s) without a patient_id; give each patient one")
    if repeated := sorted(set(ids[ids.duplicated()])):
        raise InputError(
            f"{name} has patients in more than one row: {', '.join(repeated)}; give each patient one row, for example "
            "that of the first lesion"
        )


def _patient_ids(X):
    if "patient_id" in getattr(X, "columns", ()):
        return X["patient_id"].to_numpy()
    return np.asarray(getattr(X, "index", range(len(X))))


def _fit_and_score(model, fit, X, y, train, test, X_test, y_test, keep_model):
    """Return the scores of one fit, what it selected if it is a search, and the model if it is to be kept."""
    fit_on(model, X, y, train)
    kept = model if keep_model and not fit["fold"] else None
    if fit["fold"]:
        X_test, y_test = _safe_indexing(X, test), y[test]
    elif X_test is None:
        return None, None, kept
    scores = score_rows(model, X_test, y_test, _patient_ids(X_test), threshold=y[train].mean(), identity=fit)
    is_search = hasattr(model, "best_params_") and hasattr(model, "best_score_")
    return scores, {**fit, **inner_and_outer_score(model, X_test, y_test)} if is_search else None, kept
