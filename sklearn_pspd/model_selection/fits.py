"""Fits of a protocol: their seeds, and what a fitted model scores."""

import copy
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.base import clone

from sklearn_pspd._sklearn import _safe_indexing
from sklearn_pspd.exceptions import InputError


def seeded_clone(model, *key):
    """Return an unfitted copy of a model whose seeds belong to one fit.

    Otherwise a number as seed gives the fits of all folds the same initial weights, so that they share their luck.

    Parameters
    ----------
    model : estimator
        Its parameters named ``random_state`` get another value, which depends on the old one and on the key; None
        stays.
    *key : int
        The fit, for example fold and permutation. An empty key leaves the seeds as they are.

    Returns
    -------
    estimator
        The copy.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn_pspd.model_selection.fits import seeded_clone
    >>> forest = RandomForestClassifier(random_state=0)
    >>> seeded_clone(forest).random_state
    0
    >>> seeded_clone(forest, 1).random_state == seeded_clone(forest, 2).random_state
    False
    """
    model = clone(model)
    if not key:
        return model
    seeds = {
        name: _seed_of_fit(value, key)
        for name, value in model.get_params(deep=True).items()
        if name.rsplit("__", 1)[-1] == "random_state" and value is not None
    }
    return model.set_params(**seeds)


def _seed_of_fit(random_state, key):
    if not isinstance(random_state, Integral):
        # A copy of a generator's state is a seed too: every fit would draw the same numbers from it.
        random_state = copy.deepcopy(random_state).randint(2**31)
    sequence = np.random.SeedSequence(int(random_state) % 2**32, spawn_key=key)
    return int(sequence.generate_state(1)[0] % 2**31)


def score_patients(model, X):
    """Score patients by a fitted model and, if it is an ensemble, by each of its members.

    Parameters
    ----------
    model : estimator
        Fitted, with ``predict_proba``.
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table.

    Returns
    -------
    ndarray of shape (1 + n_members, n_patients)
        Probabilities of PsPD: of the model, then of its members. One row without an ensemble of several members.

    Notes
    -----
    A search is scored by its best estimator, and a pipeline prepares X once for both.
    """
    inner = getattr(model, "best_estimator_", model)
    if not hasattr(inner, "steps"):
        return _with_members(inner, X)
    return _with_members(inner.steps[-1][1], inner[:-1].transform(X) if len(inner.steps) > 1 else X)


def _with_members(model, X):
    scores = model.predict_proba(X)[np.newaxis, :, 1]
    if getattr(model, "n_members", 1) == 1:
        return scores
    return np.concatenate([scores, model.member_probabilities(X)[:, :, 1]])


def score_rows(fitted, X, y, patient_ids, *, threshold, identity):
    """Score patients, as rows of the scores of a comparison.

    Parameters
    ----------
    fitted : estimator
        Fitted model.
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table.
    y : ndarray of shape (n_patients,)
        0 = PD, 1 = PsPD.
    patient_ids : array-like of shape (n_patients,)
        One id per row.
    threshold : float
        Score from which a patient is classified as PsPD.
    identity : dict of str to object
        Columns with one value: model, evaluation, repeat, fold.

    Returns
    -------
    DataFrame
        One row per replicate and patient.
    """
    scores = score_patients(fitted, X)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    **identity,
                    "replicate": replicate,
                    "patient_id": patient_ids,
                    "y_true": y,
                    "y_score": y_score,
                    "threshold": threshold,
                }
            )
            for replicate, y_score in enumerate(scores)
        ],
        ignore_index=True,
    )


def refuse_tuned_seeds(models):
    """Refuse a search over seeds, which would select the luckiest training.

    Parameters
    ----------
    models : dict of str to estimator
        Models of a protocol; any of them can be a search.

    Raises
    ------
    InputError
        If a search tries values of ``random_state``.
    """
    for name, model in models.items():
        for grid in ("param_grid", "param_distributions", "param_sequence"):
            if tuned := _tuned_seeds(getattr(model, grid, None)):
                raise InputError(
                    f"{name}: {type(model).__name__} tunes {tuned[0]}; a seed is no hyperparameter: training several "
                    "members (n_members) shows how much the result depends on it"
                )


def _tuned_seeds(grid):
    if hasattr(grid, "keys"):
        return [name for name in grid if isinstance(name, str) and name.rsplit("__", 1)[-1] == "random_state"]
    if isinstance(grid, (list, tuple)):
        return [name for part in grid for name in _tuned_seeds(part)]
    return []


def fit_on(model, X, y, rows):
    """Fit a model on some rows of a cohort table."""
    return model.fit(_safe_indexing(X, rows), y[rows])
