"""Time of small fits: one network and an ensemble, at the size of the default command.

    python tests/benchmarks/small_fits.py
    python tests/benchmarks/small_fits.py --compare FOLDER     # another version of the library, in FOLDER/sklearn_pspd

Each version runs in its own process, and the versions alternate, so that changes in machine speed affect all equally.
The processor is printed, medians of wall time and of processor time, their ratio to the first line, and the lower
bounds of a step: its floating point operations divided by the rate of a large matrix product, and the bytes of its
feature maps divided by the rate of a copy. The test suite does not run this file.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from alternating import machine

N_PATIENTS, N_SLICES, CLINICAL, FILTERS, EPOCHS, BATCH = 59, 9, 7, (8, 16, 32), 25, 8


def step_floor(size_px):
    """Count the operations of the convolutions of a training step, and the bytes of feature maps read and written.

    Each map is written once and read once in the forward pass, and so is its gradient: the inputs of the batch
    normalisation, of the convolution and of the pooling, and the pooled map. A step cannot do with less unless these
    operations are fused.
    """
    flops, n_bytes, channels, side, n_maps = 0, 0, 1, size_px, BATCH * N_SLICES
    for n_filters in FILTERS:
        flops += 3 * 2 * n_maps * side**2 * 4 * channels * n_filters
        values = n_maps * (2 * side**2 * channels + side**2 * n_filters + (side // 2) ** 2 * n_filters)
        n_bytes += 4 * values * 4
        channels, side = n_filters, side // 2
    return flops, n_bytes


def fit_seconds(n_members, precision, size_px):
    """Fit once untimed and once timed; return wall and processor seconds of the second fit."""
    import numpy as np

    from sklearn_pspd import CNNLSTMClassifier

    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_PATIENTS, N_SLICES * size_px**2 + CLINICAL)).astype(np.float32)
    y = np.arange(N_PATIENTS) % 2
    model = CNNLSTMClassifier(
        (N_SLICES, size_px, size_px),
        filters=FILTERS,
        pooling="average",
        optimizer="adam",
        learning_rate=0.003,
        epochs=EPOCHS,
        precision=precision,
        random_state=0,
        **({"n_members": n_members} if n_members > 1 else {}),
    )
    first = time.perf_counter()
    model.fit(X, y)
    wall, processor = time.perf_counter(), time.process_time()
    model.fit(X, y)
    return time.perf_counter() - wall, time.process_time() - processor, wall - first


def rates():
    """Return the rates of a large matrix product (operations per second) and of a copy (bytes per second)."""
    import numpy as np

    a = np.ones((2048, 2048), dtype=np.float32)
    b = np.empty_like(a)
    products, copies = [], []
    for _ in range(5):
        start = time.perf_counter()
        np.matmul(a, a, out=b)
        products.append(2 * 2048**3 / (time.perf_counter() - start))
        start = time.perf_counter()
        np.copyto(b, a)
        copies.append(2 * a.nbytes / (time.perf_counter() - start))
    return max(products), max(copies)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compare", help="folder of another version of the package")
    parser.add_argument("--size-px", type=int, default=48, help="rows and columns of a slice (48)")
    parser.add_argument("--members", type=int, default=5, help="members of the ensemble (5)")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (3)")
    parser.add_argument("--precision", default="auto", help="arithmetic of both versions (auto)")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if options.worker:
        print(json.dumps(fit_seconds(options.worker, options.precision, options.size_px)))
        return
    cases = {"one network": (1, None), f"{options.members} members": (options.members, None)}
    if options.compare:
        cases = {"one network, other version": (1, options.compare), **cases}
    seconds = {name: [] for name in cases}
    for _ in range(options.rounds):
        for name, (n_members, folder) in cases.items():
            arguments = [
                "--size-px",
                str(options.size_px),
                "--precision",
                options.precision,
                "--worker",
                str(n_members),
            ]
            environment = {**os.environ, **({"PYTHONPATH": folder} if folder else {})}
            command = [sys.executable, __file__, *arguments]
            result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            seconds[name].append(json.loads(result.stdout.splitlines()[-1]))
    print(machine())
    flops, n_bytes = step_floor(options.size_px)
    product, copy = rates()
    n_steps = EPOCHS * -(-N_PATIENTS // BATCH)
    print(f"{N_PATIENTS} patients of {N_SLICES} x {options.size_px} x {options.size_px} px, {n_steps} steps per fit")
    print(f"a step: {flops / 1e9:.2f} GFLOP, {n_bytes / 1e6:.0f} MB of maps")
    print(
        f"lower bound of a fit: {n_steps * flops / product:.2f} s by operations ({product / 1e9:.0f} GFLOP/s), ", end=""
    )
    print(f"{n_steps * n_bytes / copy:.2f} s by bytes ({copy / 1e9:.1f} GB/s)")
    medians = {
        name: [statistics.median(column) for column in zip(*results, strict=True)] for name, results in seconds.items()
    }
    base = next(iter(medians.values()))
    for name, (wall, processor, first) in medians.items():
        print(
            f"{name:28} {wall:6.2f} s ({wall / base[0]:.2f} times the first line), processor {processor:6.2f} s"
            f" ({processor / base[1]:.2f} times); first fit of the process {first:6.2f} s"
        )


if __name__ == "__main__":
    main()
