"""Coverage and test size in a cross-validation: within folds, repeated, and pooled over fits of different levels.

Run it as ``OMP_NUM_THREADS=1 python tests/benchmarks/within_folds.py [n_cohorts]``; 300 cohorts take some minutes. Two
models of equal performance (linear discriminant analysis of four features each, one of which is informative) are
compared in cohorts of the sizes of the paper's sites and of a larger study. The log odds of each fit of the first model
are shifted by a normal level, as fits of networks are.
"""

import sys

import numpy as np
from joblib import Parallel, delayed
from scipy import special
from sklearn.model_selection import StratifiedKFold

from sklearn_pspd.statistics import auc_within_folds, auc_within_folds_test, delong_test, roc_auc
from sklearn_pspd.statistics.intervals import shared_training_factor, widened_level

N_FEATURES = 4
LEVEL_SD = 2.0

# Positive and negative patients, folds, repetitions.
DESIGNS = (
    (8, 11, 4, 1),
    (8, 11, 4, 5),
    (22, 37, 5, 1),
    (22, 37, 10, 1),
    (22, 37, 5, 5),
    (77, 123, 5, 1),
    (77, 123, 10, 1),
)
DISTANCES = (0.0, 0.9, 1.8)


def discriminate(X, y):
    """Return the weights of the features in a linear discriminant analysis."""
    means = [X[y == outcome].mean(axis=0) for outcome in (0, 1)]
    centred = np.vstack([X[y == outcome] - mean for outcome, mean in enumerate(means)])
    covariance = centred.T @ centred / (len(X) - 2) + 1e-3 * np.eye(X.shape[1])
    return np.linalg.solve(covariance, means[1] - means[0])


def cross_validate(y, blocks, distance, n_folds, n_repeats, rng):
    """Return patients, folds and scores of two models by row, and the first model's mean AUC in the population."""
    parts, truths = [], []
    for repeat in range(n_repeats):
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=int(rng.integers(2**31)))
        for fold, (train, test) in enumerate(splitter.split(y, y)):
            weights = [discriminate(X[train], y[train]) for X in blocks]
            a, b = (X[test] @ of_model for X, of_model in zip(blocks, weights, strict=True))
            a = a + LEVEL_SD * rng.normal()
            truths.append(special.ndtr(distance * weights[0][0] / np.sqrt(2 * weights[0] @ weights[0])))
            parts.append((test, np.full(len(test), repeat * n_folds + fold), a, b))
    return *(np.concatenate(column) for column in zip(*parts, strict=True)), np.mean(truths)


def measure(n_positive, n_negative, n_folds, n_repeats, distance, seed):
    """Return the values, limits and rejections of one cohort."""
    rng = np.random.default_rng(seed)
    y = np.repeat([1, 0], [n_positive, n_negative])
    blocks = rng.normal(size=(2, len(y), N_FEATURES))
    blocks[:, :, 0] += distance * y
    patient, fold, a, b, truth = cross_validate(y, blocks, distance, n_folds, n_repeats, rng)
    within = auc_within_folds(y[patient], a, fold, patient=patient)
    rejects = auc_within_folds_test(y[patient], a, b, fold, patient=patient).p_value < 0.05
    # Pooled scores of the first repetition.
    first = fold < n_folds
    factor = shared_training_factor(n_folds, n_folds - 1, 1)
    pooled = roc_auc(y[patient[first]], a[first], confidence_level=widened_level(0.95, factor))
    pooled_test = delong_test(y[patient[first]], a[first], b[first], variance_factor=factor)
    return truth, within[:3], pooled[:3], rejects, pooled_test.p_value < 0.05


def main(n_cohorts):
    """Print one line per design and distance of the outcomes."""
    print(
        f"{n_cohorts} cohorts per setting; levels of the first model's fits have SD {LEVEL_SD:g} on the log odds; in %"
    )
    print("covered: the mean true AUC of the fits of the same cohort, and of all cohorts; rejects: equal models")
    print(f"{'':36} {'':>5} | {'within folds':^34} | {'pooled':^34}")
    print(
        f"{'patients, folds x repetitions, true':36} {'':>5} | "
        + " | ".join(["mean  width  own  all  rejects    "] * 2)
    )
    for *design, n_folds, n_repeats in DESIGNS:
        for distance in DISTANCES:
            settings = (*design, n_folds, n_repeats, distance)
            cohorts = Parallel(n_jobs=2)(delayed(measure)(*settings, seed) for seed in range(n_cohorts))
            truth, within, pooled, *rejects = (np.array(column) for column in zip(*cohorts, strict=True))
            cells = []
            for estimates, rejected in zip((within, pooled), rejects, strict=True):
                value, low, high = estimates.T
                own, every = (100 * np.mean((low <= true) & (true <= high)) for true in (truth, truth.mean()))
                width = np.mean(high - low)
                cells.append(f"{value.mean():.3f} {width:5.2f} {own:5.1f} {every:5.1f} {100 * rejected.mean():5.1f}")
            name = f"{design[0]} + {design[1]}, {n_folds} x {n_repeats}"
            print(f"{name:20} {truth.mean():.3f} | {' | '.join(cells)}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
