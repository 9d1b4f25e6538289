"""bfloat16 and float32: AUC of the image model on a synthetic cohort, and time of a training step by size.

    python tests/benchmarks/precision.py            # AUC
    python tests/benchmarks/precision.py --sizes    # time of a step, which precision="auto" follows

The times show from how many operations per step bfloat16 is faster on this processor. The test suite does not run
this file.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedKFold, cross_val_score

from sklearn_pspd import CNNLSTMClassifier, make_cohort, make_image_pipeline, split_xy

SIZES = ((48, (8, 16, 32)), (48, (16, 32, 64)), (64, (16, 32, 64)), (48, (64, 128, 256)), (96, (64, 128, 256)))


def step_times(n_rounds=5):
    """Print the shortest time of a training step in both precisions, in alternation, from small to large networks."""
    from sklearn_pspd.neural_network.architecture import build_cnn_lstm
    from sklearn_pspd.neural_network.devices import has_native_bfloat16
    from sklearn_pspd.neural_network.specification import training_flops

    print(f"bfloat16 instructions: {has_native_bfloat16()}")
    rng = np.random.default_rng(0)
    for size_px, filters in SIZES:
        shape = (9, size_px, size_px)
        batch = {"stack": rng.normal(size=(8, *shape)).astype(np.float32)}
        targets, seconds = (np.arange(8) % 2).astype(np.float32)[:, np.newaxis], {}
        for precision in ("float32", "mixed_bfloat16"):
            classifier = CNNLSTMClassifier(shape, filters=filters, pooling="average", precision=precision)
            spec = classifier._spec(9 * size_px**2)
            network = build_cnn_lstm(spec)
            network.train_on_batch(batch, targets)
            times = []
            for _ in range(n_rounds):
                start = time.perf_counter()
                network.train_on_batch(batch, targets)
                times.append(time.perf_counter() - start)
            seconds[precision] = min(times)
        gflop = training_flops(spec, 8) / 1e9
        print(
            f"{size_px:4} px, filters {filters!s:15} {gflop:7.1f} GFLOP: float32 {1e3 * seconds['float32']:7.1f} ms, "
            f"bfloat16 {1e3 * seconds['mixed_bfloat16']:7.1f} ms"
        )


def main():
    """Print mean and standard deviation over folds for each precision, with the same folds and seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=400, help="number of synthetic patients (400)")
    parser.add_argument("--size-px", type=int, default=48, help="rows and columns of a slice (48)")
    parser.add_argument("--sizes", action="store_true", help="print the time of a training step by size instead")
    options = parser.parse_args()
    if options.sizes:
        step_times()
        return
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        cohort = make_cohort(
            Path(folder, "cohort"), options.patients, matrix_px=(128, 160), n_native_slices=17, random_state=0
        )
        X, y = split_xy(cohort)
        for precision in ("float32", "mixed_bfloat16"):
            network = CNNLSTMClassifier(
                filters=(8, 16, 32),
                pooling="average",
                optimizer="adam",
                learning_rate=0.003,
                precision=precision,
                random_state=0,
            )
            model = make_image_pipeline(network, size_px=options.size_px, memory=folder)
            aucs = cross_val_score(model, X, y, cv=folds, scoring="roc_auc")
            print(f"{precision:15} {aucs.mean():.3f}, {aucs.std(ddof=1):.3f} between folds: {aucs.round(3)}")


if __name__ == "__main__":
    main()
