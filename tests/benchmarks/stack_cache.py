"""Time the cache of slice stacks beside joblib's, which pickles: ``python tests/benchmarks/stack_cache.py``."""

import argparse
import statistics
import tempfile
import time
from functools import partial

from joblib import Memory

from sklearn_pspd import make_cohort
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.loading.cache import open_cache
from sklearn_pspd.loading.loader import _cached, _identity
from sklearn_pspd.loading.stack import decode


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512])
    options = parser.parse_args()
    print(f"{'side (px)':>9} {'':10} {'decode and write (ms)':>22} {'read (ms)':>10} {'ratio of reads':>15}")
    for side in options.sides:
        with tempfile.TemporaryDirectory() as folder:
            measure(folder, side, options.patients, options.rounds)


def measure(folder, side, n_patients, n_rounds):
    """Print the times per patient: the first reading with each cache, and the median of the later ones."""
    cohort = make_cohort(f"{folder}/cohort", n_patients, matrix_px=(side,), n_native_slices=20, random_state=0)
    cache, settings = open_cache(f"{folder}/own"), SliceStackLoader()._settings()
    readers = {"own": partial(_cached, cache), "joblib": Memory(f"{folder}/joblib", verbose=0).cache(decode)}
    patients = [
        (row.patient_id, row.image, ("lesion_slice", float(row.lesion_slice)), settings, (_identity(row.image), ()))
        for row in cohort.itertuples()
    ]
    readers = {name: partial(read_all, read, patients) for name, read in readers.items()}
    first = {name: seconds(read) for name, read in readers.items()}
    times = {name: [] for name in readers}
    for _ in range(n_rounds):
        for name, read in readers.items():
            times[name].append(seconds(read))
    ratio = statistics.median(own / other for own, other in zip(times["own"], times["joblib"], strict=True))
    for name in readers:
        values = 1e3 * first[name] / n_patients, 1e3 * statistics.median(times[name]) / n_patients
        shown = f"{ratio:15.2f}" if name == "own" else f"{1:15}"
        print(f"{side:>9} {name:10} {values[0]:22.1f} {values[1]:10.2f} {shown}")


def read_all(read, patients):
    """Read the stacks of all patients."""
    for patient in patients:
        read(*patient)


def seconds(function):
    """Return how long a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
