"""How often intervals and tests of cross-validated AUCs are wrong, with and without the correction for shared patients.

Run it as ``python tests/benchmarks/cross_validation.py [n_cohorts]``; it simulates cohorts and takes some minutes.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cross_validated import draw_comparison

from sklearn_pspd.comparisons import delong_test
from sklearn_pspd.metrics import roc_auc
from sklearn_pspd.model_selection.comparison import _factor, _level

SETTINGS = [(n, distance, k) for n in ((37, 22), (123, 77)) for distance in (0.0, 0.5, 1.0) for k in (5, 10)]


def measure(sizes, distance, n_folds, n_cohorts):
    """Return the share of cohorts whose interval misses the mean true AUC, and whose test finds a difference."""
    estimates, truths, differences = [], [], []
    for seed in range(n_cohorts):
        comparison, truth = draw_comparison(*sizes, distance, n_folds, seed)
        a, b = (part.sort_values("patient_id") for _, part in comparison.scores.groupby("model"))
        level, factor = _level(a, 0.95), _factor(a)
        estimates.append(
            [roc_auc(a["y_true"], a["y_score"], confidence_level=confidence) for confidence in (0.95, level)]
        )
        scores = a["y_true"], a["y_score"], b["y_score"].to_numpy()
        differences.append([delong_test(*scores, variance_factor=f).p_value < 0.05 for f in (1.0, factor)])
        truths.append(truth)
    truth = np.mean(truths)
    missed = [[not low <= truth <= high for _, low, high, _ in pair] for pair in estimates]
    return truth, np.mean(missed, axis=0), np.mean(differences, axis=0)


def main(n_cohorts):
    """Print a line a setting."""
    print(f"{n_cohorts} cohorts each; two models of equal worth; in %: plain, corrected")
    print("patients  folds  AUC    interval misses  test rejects")
    for sizes, distance, n_folds in SETTINGS:
        truth, missed, rejected = measure(sizes, distance, n_folds, n_cohorts)
        cells = "  ".join(f"{100 * plain:6.1f} {100 * fixed:6.1f}  " for plain, fixed in (missed, rejected))
        print(f"{sum(sizes):8}  {n_folds:5}  {truth:.2f}  {cells}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
