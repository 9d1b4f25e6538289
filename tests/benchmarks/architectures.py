"""Memory of many architectures in one process: ``python tests/benchmarks/architectures.py --architectures 30``.

TensorFlow does not release all memory of a network that is built and traced. The pool of this library keeps up to eight
networks. Printed is the memory after each tenth architecture, above that after the first.
"""

import argparse
import gc
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from sklearn_pspd import CNNLSTMClassifier


def resident_mb():
    """Return the memory of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architectures", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=2, help="fits of each architecture")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    X, y = rng.random((16, 3 * 8 * 8 + 7), dtype=np.float32), np.arange(16) % 2
    start = None
    for number in range(options.architectures):
        network = CNNLSTMClassifier((3, 8, 8), filters=(2, 4), lstm_units=2 + number, epochs=1, random_state=0)
        for _ in range(options.repeats):
            network.fit(X, y).predict_proba(X)
        del network
        gc.collect()
        start = resident_mb() if start is None else start
        if number % 10 == 9 or number == options.architectures - 1:
            grown = resident_mb() - start
            print(f"{number + 1} architectures: {grown:.0f} MB more than the first, {grown / number:.1f} MB each")


if __name__ == "__main__":
    main()
