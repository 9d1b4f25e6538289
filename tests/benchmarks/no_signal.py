"""How often the three models are found better than chance on synthetic cohorts without a signal.

Run it as ``python tests/benchmarks/no_signal.py [n_cohorts] [effect_size]``; each cohort takes some seconds. Images,
networks and forests are small, because the protocol is evaluated, not a model.
"""

import sys
import tempfile
import time

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from sklearn_pspd import (
    CNNLSTMClassifier,
    compare_models,
    make_clinical_pipeline,
    make_cohort,
    make_fusion_pipeline,
    make_image_pipeline,
    split_xy,
)

N_PATIENTS = 78


def compare(effect_size, seed):
    """Return the intervals of the AUCs and the paired tests of one cohort."""
    with tempfile.TemporaryDirectory() as folder:
        return _compare(effect_size, seed, folder)


def _compare(effect_size, seed, folder):
    cohort = make_cohort(
        f"{folder}/cohort",
        N_PATIENTS,
        effect_size=effect_size,
        matrix_px=(128,),
        n_native_slices=10,
        random_state=seed,
    )
    network = CNNLSTMClassifier(
        filters=(4, 8), pooling="average", optimizer="adam", learning_rate=0.003, epochs=8, random_state=seed
    )
    images = {"n_slices": 3, "size_px": 16, "memory": f"{folder}/cache"}
    models = {
        "MRI + clinical": make_fusion_pipeline(network, **images),
        "MRI alone": make_image_pipeline(network, **images),
        "clinical alone": make_clinical_pipeline(random_state=seed).set_params(classifier__n_estimators=100),
    }
    is_external = cohort["site"] == "B"
    X, y = split_xy(cohort[~is_external])
    X_test, y_test = split_xy(cohort[is_external])
    comparison = compare_models(models, X, y, cv=5, X_test=X_test, y_test=y_test, random_state=seed)
    return comparison.frame().query("metric == 'auc'").assign(seed=seed), comparison.tests().assign(seed=seed)


def main(n_cohorts, effect_size):
    """Print how often intervals exclude 0.5 and tests find two models different."""
    started = time.monotonic()
    cohorts = Parallel(n_jobs=-1)(delayed(compare)(effect_size, seed) for seed in range(n_cohorts))
    seconds = (time.monotonic() - started) / n_cohorts
    print(f"effect_size={effect_size:g}: {n_cohorts} cohorts of {N_PATIENTS}, {seconds:.1f} s per cohort; in %")
    intervals, tests = (pd.concat(tables) for tables in zip(*cohorts, strict=True))
    for (evaluation, model), rows in intervals.groupby(["evaluation", "model"], sort=False):
        below, above = (100 * np.mean(side) for side in (rows["high"] < 0.5, rows["low"] > 0.5))
        auc = rows["value"].mean()
        print(f"{evaluation:16}  {model:15} mean AUC {auc:.2f}  interval below 0.5 {below:4.1f}  above {above:4.1f}")
    for (evaluation, metric), rows in tests.groupby(["evaluation", "metric"], sort=False):
        by_pair = rows.groupby(["model_a", "model_b"], sort=False)["p_value"].agg(lambda p: 100 * np.mean(p < 0.05))
        percentages = ", ".join(f"{percentage:.1f}" for percentage in by_pair)
        print(f"{evaluation:16}  {metric:27} p < 0.05: {percentages}")
    print("pairs: MRI + clinical - MRI alone, MRI + clinical - clinical alone, MRI alone - clinical alone")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)
