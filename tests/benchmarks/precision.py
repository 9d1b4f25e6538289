"""Cross-validated AUC of the image model in bfloat16 and in float32, on a synthetic cohort.

Run it as ``python tests/benchmarks/precision.py``.
"""

import argparse
import tempfile
from pathlib import Path

from sklearn.model_selection import StratifiedKFold, cross_val_score

from sklearn_pspd import CNNLSTMClassifier, make_cohort, make_image_pipeline, split_xy


def main():
    """Print mean and standard deviation over folds for each precision, with the same folds and seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=400, help="number of synthetic patients (400)")
    parser.add_argument("--size-px", type=int, default=48, help="rows and columns of a slice (48)")
    options = parser.parse_args()
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
