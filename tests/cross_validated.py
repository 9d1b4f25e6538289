"""Cross-validated scores of simulated patients, by linear discriminant analysis: fast enough for many cohorts."""

import numpy as np
import pandas as pd
from scipy.special import expit, logit, ndtr
from scipy.stats import norm
from sklearn.model_selection import StratifiedKFold

from sklearn_pspd.model_selection import ModelComparison

N_FEATURES = 4


def discriminate(X, y, X_test):
    """Return probabilities, the weight of each feature, and the intercept."""
    means = [X[y == outcome].mean(axis=0) for outcome in (0, 1)]
    centred = np.vstack([X[y == outcome] - mean for outcome, mean in enumerate(means)])
    covariance = centred.T @ centred / (len(X) - 2) + 1e-3 * np.eye(X.shape[1])
    weights = np.linalg.solve(covariance, means[1] - means[0])
    intercept = logit(y.mean()) - sum(means) @ weights / 2
    return expit(X_test @ weights + intercept), weights, intercept


def true_values(weights, intercept, distance, prevalence, threshold):
    """Return what a model's metrics are on all the patients there could be, by metric and class.

    Its linear score is normal in each class: the first feature of the positives is shifted by `distance`.
    """
    scale = np.sqrt(weights @ weights)
    centres = np.array([[intercept], [intercept + distance * weights[0]]])
    score = np.linspace(centres.min() - 8 * scale, centres.max() + 8 * scale, 2001)
    above = norm.sf((score - centres) / scale)
    predicted = prevalence * above[1] + (1 - prevalence) * above[0]
    precision = prevalence * above[1] / np.maximum(predicted, 1e-300)
    prevalences = np.array([[1 - prevalence], [prevalence]])
    density = prevalences * norm.pdf((score - centres) / scale) / scale
    miss = np.stack([expit(score), 1 - expit(score)])
    false, true = norm.sf((logit(threshold) - centres[:, 0]) / scale)
    n_predicted_pspd = prevalence * true + (1 - prevalence) * false
    return {
        ("auc", ""): ndtr((centres[1, 0] - centres[0, 0]) / (np.sqrt(2) * scale)),
        ("average_precision", ""): np.trapezoid(precision[::-1], above[1, ::-1]),
        ("brier", ""): np.trapezoid((density * miss**2).sum(axis=0), score),
        ("accuracy", ""): prevalence * true + (1 - prevalence) * (1 - false),
        ("f1", "PD"): 2 * (1 - prevalence) * (1 - false) / (1 - prevalence + 1 - n_predicted_pspd),
        ("f1", "PsPD"): 2 * prevalence * true / (prevalence + n_predicted_pspd),
    }


def draw_comparison(n_negative, n_positive, distance, n_folds, seed):
    """Compare two models, each with one informative feature of its own among four.

    Returns the comparison, and the first model's true values in the mean over folds, by metric and class.
    """
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], [n_negative, n_positive])
    blocks = rng.normal(size=(2, len(y), N_FEATURES))
    blocks[:, :, 0] += distance * y
    tables, truths = [], []
    for fold, (train, test) in enumerate(
        StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(y, y), start=1
    ):
        threshold = y[train].mean()
        for model, X in zip("ab", blocks, strict=True):
            score, *line = discriminate(X[train], y[train], X[test])
            if model == "a":
                truths.append(true_values(*line, distance, y.mean(), threshold))
            columns = {"model": model, "evaluation": "cross-validation", "repeat": 1, "fold": fold, "replicate": 0}
            columns["patient_id"] = test
            tables.append(pd.DataFrame({**columns, "y_true": y[test], "y_score": score, "threshold": threshold}))
    return ModelComparison(pd.concat(tables, ignore_index=True)), pd.DataFrame(truths).mean()
