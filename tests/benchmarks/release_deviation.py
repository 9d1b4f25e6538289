"""How far the probability of a release's synthetic patient moves with threads, oneDNN and arithmetic.

python tests/benchmarks/release_deviation.py
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ENVIRONMENTS = {
    "as exported": {},
    "one thread": {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"},
    "oneDNN off": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "oneDNN off, no AVX-512": {"TF_ENABLE_ONEDNN_OPTS": "0", "NPY_DISABLE_CPU_FEATURES": "AVX512F"},
    "oneDNN, AVX2 only": {"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2"},
}
READ = (
    "import sys; from sklearn_pspd import load_model; print(f'{load_model(sys.argv[1], tolerance=1.0).deviation:.2e}')"
)


def export(folder, precision):
    """Train a small ensemble and export it."""
    from sklearn_pspd import CNNLSTMClassifier, export_model, make_cohort, make_fusion_pipeline, split_xy

    X, y = split_xy(make_cohort(folder / "cohort", 24, matrix_px=(128,), n_native_slices=17, random_state=0))
    network = CNNLSTMClassifier(
        filters=(8, 16, 32),
        pooling="average",
        optimizer="adam",
        learning_rate=3e-3,
        epochs=8,
        n_members=3,
        precision=precision,
        random_state=0,
    )
    export_model(make_fusion_pipeline(network, size_px=64).fit(X, y), folder / "release", X=X, y=y)


def main():
    """Print the deviations, one line per precision and environment."""
    for precision in ("float32", "mixed_bfloat16"):
        with TemporaryDirectory() as folder:
            export(Path(folder), precision)
            for name, variables in ENVIRONMENTS.items():
                environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **variables}
                line = [sys.executable, "-c", READ, f"{folder}/release"]
                found = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
                last = (found.stdout or found.stderr).strip().splitlines()[-1:]
                print(f"{precision:15} {name:25} {' '.join(last)}", flush=True)


if __name__ == "__main__":
    main()
