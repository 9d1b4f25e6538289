"""Coverage and test size where models are trained several times, and of paired tests with few patients.

Run it as ``OMP_NUM_THREADS=1 python tests/benchmarks/replicates.py [n_draws]``; 1000 draws take some minutes. The
scores are drawn from normal distributions, so that the AUC of every training is known.
"""

import sys

import numpy as np
from joblib import Parallel, delayed
from scipy import special
from scipy.optimize import brentq
from scipy.stats import norm

from sklearn_pspd.statistics import delong_test, ensemble_auc, replicated_auc, replicated_auc_test, roc_auc

# Positive and negative patients: the paper's external and training site.
SIZES = ((8, 11), (22, 37))
AUCS = (0.5, 0.75, 0.9)
SEED_SDS = (0.0, 0.06, 0.12)
N_REPLICATES = 5

# Correlation of two trainings' scores of one patient, given the outcome.
CORRELATION = 0.6


def probit_normal(mean, sd):
    """Return mean and standard deviation of a normal variable whose distribution function has this mean and SD."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)

    def excess(spread):
        aucs = norm.cdf(norm.ppf(mean) * np.sqrt(1 + spread**2) + spread * nodes)
        return np.sqrt(weights @ (aucs - mean) ** 2 / weights.sum()) - sd

    spread = brentq(excess, 0, 5) if sd else 0.0
    return norm.ppf(mean) * np.sqrt(1 + spread**2), spread


def draw_distances(law, n_replicates, rng):
    """Draw by how many SDs trainings separate the outcomes; the AUC is the normal distribution function of distance."""
    centre, spread = law
    return centre + spread * rng.normal(size=n_replicates)


def draw_scores(y, distances, patient, rng):
    """Return scores of shape (n_replicates, n_patients); `patient` is common to all replicates."""
    noise = np.sqrt(CORRELATION) * patient + np.sqrt(1 - CORRELATION) * rng.normal(size=(len(distances), len(y)))
    return np.sqrt(2) * distances[:, np.newaxis] * y + noise


def expected_ensemble_auc(law):
    """Return the mean AUC, in the population, of ensembles of the mean score."""
    distances = draw_distances(law, (50_000, N_REPLICATES), np.random.default_rng(0)).mean(axis=1)
    return np.mean(special.ndtr(distances / np.sqrt(CORRELATION + (1 - CORRELATION) / N_REPLICATES)))


def cover(sizes, mean, law, target, seed):
    """Return which intervals of one draw hold what they are for."""
    rng = np.random.default_rng(seed)
    y = np.repeat([1, 0], sizes)
    distances = draw_distances(law, N_REPLICATES + 1, rng)
    scores = draw_scores(y, distances[1:], rng.normal(size=len(y)), rng)
    found, first = replicated_auc(y, scores), roc_auc(y, scores[0])
    ensemble = ensemble_auc(y, special.expit(scores.mean(axis=0)), special.expit(scores))
    return [
        found.low <= mean <= found.high,
        found.new_low <= special.ndtr(distances[0]) <= found.new_high,
        ensemble.low <= target <= ensemble.high,
        first.low <= mean <= first.high,
    ]


def reject(sizes, mean, law, seed):
    """Return which tests of one draw find two models with equal expected AUCs different at the 5 % level."""
    rng = np.random.default_rng(seed)
    y = np.repeat([1, 0], sizes)
    common, own_a, own_b = rng.normal(size=(3, len(y)))
    patients = np.sqrt(0.5) * common + np.sqrt(0.5) * np.stack([own_a, own_b])
    a, b = (draw_scores(y, draw_distances(law, N_REPLICATES, rng), patient, rng) for patient in patients)
    single = draw_scores(y, norm.ppf([mean]), patients[1], rng)
    tests = (replicated_auc_test(y, a, b), replicated_auc_test(y, a, single), delong_test(y, a[0], b[0]))
    return [test.p_value < 0.05 for test in tests]


def reject_few(sizes, mean, kind, seed):
    """Return whether the paired test of two single fits rejects, for two equal AUCs of this kind."""
    rng = np.random.default_rng(seed)
    y = np.repeat([1, 0], sizes)
    distance = np.sqrt(2) * norm.ppf(mean)
    a = distance * y + rng.normal(size=len(y))
    b = {
        "independent": distance * y + rng.normal(size=len(y)),
        "twice the spread of PsPD": distance * np.sqrt(2.5) * y + np.where(y, 2, 1) * rng.normal(size=len(y)),
        "two levels": distance * y + rng.normal(size=len(y)) > distance / 2,
    }[kind]
    # The AUC of a score with two levels, as of a classifier, is lower; the other model is made equal to it.
    if kind == "two levels":
        equal = np.sqrt(2) * norm.ppf(norm.cdf(distance / 2))
        a += (equal - distance) * y
    return delong_test(y, a, b).p_value < 0.05


def percentages(function, n_draws, *arguments):
    """Return in how many percent of the draws each of the values that `function` returns is true."""
    draws = Parallel(n_jobs=2)(delayed(function)(*arguments, seed) for seed in range(n_draws))
    return 100 * np.mean(draws, axis=0)


def main(n_draws):
    """Print coverage of the intervals, then the size of the tests."""
    print(f"{n_draws} draws per setting, {N_REPLICATES} replicates; 95 % intervals, tests at the 5 % level; in %")
    print("coverage: mean of replicates, one further training, ensemble; the interval of one training for the mean")
    for sizes in SIZES:
        for mean in AUCS:
            for sd in SEED_SDS:
                law = probit_normal(mean, sd)
                row = percentages(cover, n_draws, sizes, mean, law, expected_ensemble_auc(law))
                name = f"{sizes[0]} + {sizes[1]}, AUC {mean:.2f}, SD {sd:.2f}"
                print(f"{name:30} {' '.join(f'{value:5.1f}' for value in row)}", flush=True)
    print("rejections: replicates against replicates, replicates against a single fit, DeLong's test of one training")
    for sizes in SIZES:
        for mean in AUCS:
            for sd in SEED_SDS:
                row = percentages(reject, n_draws, sizes, mean, probit_normal(mean, sd))
                name = f"{sizes[0]} + {sizes[1]}, AUC {mean:.2f}, SD {sd:.2f}"
                print(f"{name:30} {' '.join(f'{value:5.1f}' for value in row)}", flush=True)
    print("rejections: two fits without training variance")
    for sizes in ((2, 8), (4, 12), (8, 11), (9, 40)):
        for kind in ("independent", "twice the spread of PsPD", "two levels"):
            row = [percentages(reject_few, n_draws, sizes, mean, kind) for mean in AUCS]
            print(f"{sizes[0]} + {sizes[1]}, {kind:30} {' '.join(f'{value:5.1f}' for value in row)}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
