"""Error rates of the intervals of all metrics of a cross-validation, with and without the correction.

Run it as ``python tests/benchmarks/cross_validation.py [n_cohorts]``. It simulates cohorts, which takes ten minutes.
All fits have one level here; ``within_folds.py`` measures AUCs where they do not. "plain" are the pooled scores as if
they were those of separate patients; "corrected" is what :meth:`ModelComparison.frame` gives.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cross_validated import draw_comparison
from joblib import Parallel, delayed

from sklearn_pspd.model_selection import ModelComparison
from sklearn_pspd.statistics import auc_within_folds_test, delong_test, score_table

SETTINGS = [(n, distance, k) for n in ((37, 22), (123, 77)) for distance in (0.0, 0.5, 1.0) for k in (5, 10)]


def measure(sizes, distance, n_folds, n_cohorts):
    """Return, by metric, the mean true value and the percentage of intervals that miss it; and of tests that reject.

    "own" is the mean true value over the folds of the same cohort, "mean" is the mean over all cohorts.
    """
    cohorts = Parallel(n_jobs=-1)(delayed(_one)(*sizes, distance, n_folds, seed) for seed in range(n_cohorts))
    truths, plain, corrected, rejected = zip(*cohorts, strict=True)
    found = pd.DataFrame({"true": pd.concat(truths, axis=1).mean(axis=1)})
    for target, true in (("own", np.stack(truths)), ("mean", found["true"].to_numpy())):
        for name, limits in (("plain", plain), ("corrected", corrected)):
            low, high = np.moveaxis(np.stack(limits), 2, 0)
            found[f"{name}, {target}"] = 100 * ((low > true) | (high < true)).mean(axis=0)
    return found, 100 * np.mean(rejected, axis=0)


def _one(n_negative, n_positive, distance, n_folds, seed):
    """Return true values, plain and corrected intervals, and whether the two tests reject, for one cohort."""
    comparison, truth = draw_comparison(n_negative, n_positive, distance, n_folds, seed)
    a, b = (part.sort_values("patient_id") for _, part in comparison.scores.groupby("model"))
    plain = score_table(a["y_true"], a["y_score"], threshold=a["threshold"], random_state=0)
    tables = (plain, ModelComparison(a).frame())
    limits = [table.set_index(["metric", "class"]).loc[truth.index, ["low", "high"]].to_numpy() for table in tables]
    scores = a["y_true"], a["y_score"], b["y_score"].to_numpy()
    tests = delong_test(*scores), auc_within_folds_test(*scores, a["fold"])
    return truth, *limits, [test.p_value < 0.05 for test in tests]


def main(n_cohorts):
    """Print one block per setting."""
    print(f"{n_cohorts} cohorts per setting; two models with equal performance; in %")
    print("missed: plain and corrected, true value of the same folds; plain and corrected, mean over all cohorts")
    for sizes, distance, n_folds in SETTINGS:
        found, rejected = measure(sizes, distance, n_folds, n_cohorts)
        tests = f"pooled DeLong's test rejects {rejected[0]:.1f}, test within folds {rejected[1]:.1f}"
        print(f"\n{sum(sizes)} patients, {n_folds} folds; {tests}")
        for (metric, of_class), row in found.iterrows():
            name = f"{metric} {of_class}"
            missed = " ".join(f"{row[column]:5.1f}" for column in found.columns[1:])
            print(f"{name:18} true {row['true']:.2f}  missed {missed}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
