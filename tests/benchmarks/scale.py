"""Time and memory of the steps of a study per patient: ``python tests/benchmarks/scale.py --patients 250 1000``.

Each size runs in a process of its own. Memory is the largest one during a step, above that before the step; it should
not grow with the number of patients, except for the design matrix, which can be on disk ("memmap").
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

N_SLICES, SIZE_PX, MATRIX_PX = 9, 48, 128


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, nargs="+", default=[250, 1000])
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        study(options.patients[0])
        return
    print(f"{'patients':>8}  {'step':34} {'s':>7} {'ms per patient':>15} {'peak (MB)':>10} {'MB per patient':>15}")
    for n_patients in options.patients:
        subprocess.run([sys.executable, __file__, "--worker", "--patients", str(n_patients)], check=True)


def study(n_patients):
    """Run the steps of a study on a synthetic cohort, and print what each takes."""
    import numpy as np

    from sklearn_pspd import CNNLSTMClassifier, audit_leaks, make_cohort, make_fusion_pipeline, read_cohort, split_xy

    with tempfile.TemporaryDirectory() as folder:
        make_cohort(f"{folder}/cohort", n_patients, matrix_px=(MATRIX_PX,), n_native_slices=18, random_state=0)
        network = CNNLSTMClassifier(filters=(4, 8), lstm_units=4, epochs=2, dropout=0.0, random_state=0)
        model = make_fusion_pipeline(network, n_slices=N_SLICES, size_px=SIZE_PX, memory=f"{folder}/cache")
        features, loader = model["features"], model["features"].transformers[0][1]["load"]
        # What is loaded and traced once is not counted.
        X, y = split_xy(read_cohort(f"{folder}/cohort/cohort.csv"))
        model.fit(X.iloc[:16], np.arange(16) % 2)

        def step(name, function):
            before, started = _reset_peak(), time.perf_counter()
            result = function()
            seconds, grown = time.perf_counter() - started, _memory("VmHWM") - before
            values = f"{seconds:7.1f} {1e3 * seconds / n_patients:15.2f} {grown:10.1f} {grown / n_patients:15.3f}"
            print(f"{n_patients:>8}  {name:34} {values}", flush=True)
            return result

        step("read and check the table", lambda: read_cohort(f"{folder}/cohort/cohort.csv"))
        step("leakage checks (decode all images)", lambda: audit_leaks(X, y, loader=loader))
        step("leakage checks again (from the cache)", lambda: audit_leaks(X, y, loader=loader))
        on_disk = step("design matrix, block by block on disk", lambda: _design_on_disk(features, X, Path(folder)))
        alone = CNNLSTMClassifier(**{**network.get_params(), "stack_shape": (N_SLICES, SIZE_PX, SIZE_PX)})
        step("fit and predict from disk (memmap)", lambda: _fit_and_predict(alone, on_disk, y))
        design = step("design matrix in memory", lambda: features.fit_transform(X))
        megabytes = design.nbytes / 1e6
        print(f"{'':8}  size of the design matrix: {megabytes:.1f} MB, {megabytes / n_patients:.3f} per patient")
        step("fit and predict from memory", lambda: _fit_and_predict(alone, design, y))
        step("the pipeline: fit and predict", lambda: _fit_and_predict(model, X, y))


def _fit_and_predict(model, X, y):
    return model.fit(X, y).predict_proba(X)


def _design_on_disk(features, X, folder, n_rows=64):
    """Return the design matrix as a memory map; the scaling of the clinical columns is that of the first rows."""
    import numpy as np

    first = features.fit_transform(X.iloc[:n_rows])
    matrix = np.lib.format.open_memmap(folder / "X.npy", "w+", dtype=np.float32, shape=(len(X), first.shape[1]))
    for start in range(0, len(X), n_rows):
        rows = slice(start, start + n_rows)
        matrix[rows] = features.transform(X.iloc[rows])
    matrix.flush()
    del matrix
    return np.load(folder / "X.npy", mmap_mode="r")


def _memory(name):
    """Return a figure of the memory of this process in MB; it includes pages of mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def _reset_peak():
    """Let the peak start from the present memory, which is returned."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


if __name__ == "__main__":
    main()
