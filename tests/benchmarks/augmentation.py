"""Time of the random transforms of stacks, and its proportion of a training step.

    python tests/benchmarks/augmentation.py

Transforms and fits without transforms run alternately in one process, so that changes in machine speed affect both
equally. Medians of the wall time are printed, and the minimum of the processor time of the transforms, which other
programs affect least. The lower bound is a copy of the stacks: each pixel is read and written once. The test suite does
not run this file.
"""

import argparse
import os
import statistics
import time

from alternating import machine

N_SLICES = 9
# Recipe, rows and columns of a slice, patients per batch, batches per epoch, epochs.
CASES = (
    ("published", 256, 8, 2, 2),
    ("published", 256, 4, 2, 2),
    ("small_cohort", 256, 8, 2, 10),
    ("small_cohort", 48, 8, 8, 25),
)


def seconds_of(function):
    """Return wall and processor seconds of a call; the second are those of this thread."""
    wall, processor = time.perf_counter(), time.thread_time()
    function()
    return time.perf_counter() - wall, time.thread_time() - processor


def run_case(recipe, size_px, batch_size, n_batches, epochs, *, n_rounds):
    """Print one line: transforms and copy per patient, and a step."""
    import numpy as np

    from sklearn_pspd import StackAugmenter, make_image_pipeline

    rng = np.random.default_rng(0)
    stacks = rng.normal(size=(batch_size * n_batches, N_SLICES, size_px, size_px)).astype(np.float32)
    X, y = stacks.reshape(len(stacks), -1), np.arange(len(stacks)) % 2
    classifier = make_image_pipeline(recipe=recipe, n_slices=N_SLICES, size_px=size_px)["classifier"]
    classifier.set_params(batch_size=batch_size, epochs=epochs, augment=None, n_members=1, random_state=0)
    functions = {
        "copy": lambda: stacks[:batch_size].copy(),
        "augment": lambda: StackAugmenter().augment(stacks[:batch_size], rng),
        "fit": lambda: classifier.fit(X, y),
    }
    times = {name: [] for name in functions}
    for number in range(n_rounds + 1):
        for name, function in functions.items():
            repeats = 1 if name == "fit" else 10
            counted = [seconds_of(function) for _ in range(repeats)]
            times[name] += counted if number else []
    median = {name: statistics.median(wall for wall, _ in values) for name, values in times.items()}
    processor = min(seconds for _, seconds in times["augment"])
    step = median["fit"] / (n_batches * epochs)
    print(
        f"{recipe:12} {size_px:4} px, {batch_size} per batch: transforms {1e3 * median['augment'] / batch_size:6.2f} ms"
        f" per patient (processor at least {1e3 * processor / batch_size:.2f}), copy"
        f" {1e3 * median['copy'] / batch_size:.3f}; step {1e3 * step:7.1f} ms; {median['augment'] / step:.1%} of it"
    )


def main():
    """Print a line per case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="fits of each network (3)")
    options = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    print(machine())
    for case in CASES:
        run_case(*case, n_rounds=options.rounds)


if __name__ == "__main__":
    main()
