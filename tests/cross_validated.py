"""Cross-validated scores of simulated patients, by linear discriminant analysis: fast enough for many cohorts."""

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr
from sklearn.model_selection import StratifiedKFold

from sklearn_pspd.model_selection import ModelComparison

N_FEATURES = 4


def discriminate(X, y, X_test):
    """Return probabilities, and the weight of each feature."""
    means = [X[y == outcome].mean(axis=0) for outcome in (0, 1)]
    centred = np.vstack([X[y == outcome] - mean for outcome, mean in enumerate(means)])
    covariance = centred.T @ centred / (len(X) - 2) + 1e-3 * np.eye(X.shape[1])
    weights = np.linalg.solve(covariance, means[1] - means[0])
    return expit((X_test - sum(means) / 2) @ weights), weights


def draw_comparison(n_negative, n_positive, distance, n_folds, seed):
    """Compare two models, each with one informative feature of its own among four.

    Returns the comparison, and the first model's AUC on all the patients there could be, in the mean over folds.
    """
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], [n_negative, n_positive])
    blocks = rng.normal(size=(2, len(y), N_FEATURES))
    blocks[:, :, 0] += distance * y
    tables, truths = [], []
    for fold, (train, test) in enumerate(
        StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(y, y), start=1
    ):
        for model, X in zip("ab", blocks, strict=True):
            score, weights = discriminate(X[train], y[train], X[test])
            if model == "a":
                truths.append(ndtr(distance * weights[0] / np.sqrt(2 * weights @ weights)))
            columns = {"model": model, "evaluation": "cross-validation", "fold": fold, "patient_id": test}
            tables.append(pd.DataFrame({**columns, "y_true": y[test], "y_score": score, "threshold": y[train].mean()}))
    return ModelComparison(pd.concat(tables, ignore_index=True)), np.mean(truths)
