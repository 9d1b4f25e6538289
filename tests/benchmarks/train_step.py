"""Time and memory of one training step and one prediction, compared with PyTorch and the published script in one run.

    python tests/benchmarks/train_step.py            # needs PyTorch: pip install torch==2.13.0

The implementations run alternately, each in its own process, one step at a time and at least five times, so that
changes in machine speed affect all equally. Medians, ratios of medians and the maximum memory of each process are
printed. So is the lower bound of the time: the floating point operations of a step divided by the rate of a large
matrix product, measured in the same rounds. The test suite does not run this file.
"""

import argparse
import math
import os
import statistics
import time
from pathlib import Path

from alternating import machine, run_alternately, work

FILTERS, KERNEL, LSTM_UNITS, CLINICAL = (64, 128, 256), 2, 24, 7
MATRIX_SIDE = 4096


def step_flops(n_patients, n_slices, size_px):
    """Count floating point operations of a training step and of a prediction.

    Counted are the convolutions and the input product of the LSTM; the backward pass takes twice as many as the forward
    pass, since it goes to both operands.
    """
    forward, channels, side = 0, 1, size_px
    for n_filters in FILTERS:
        forward += 2 * n_slices * side**2 * KERNEL**2 * channels * n_filters
        channels, side = n_filters, side // 2
    forward += 2 * n_slices * side**2 * channels * 4 * LSTM_UNITS
    return 3 * n_patients * forward, n_patients * forward


# Implementations: each returns (step, predict), or one function


def ours(shape, precision):
    import numpy as np

    from sklearn_pspd import CNNLSTMClassifier
    from sklearn_pspd.neural_network.architecture import build_cnn_lstm
    from sklearn_pspd.neural_network.devices import deterministic_ops

    stack_shape = tuple(shape[1:])
    classifier = CNNLSTMClassifier(stack_shape, precision=precision)
    network = build_cnn_lstm(classifier._spec(int(np.prod(stack_shape)) + CLINICAL))
    inputs, targets = _numpy_batch(shape)

    def step():
        with deterministic_ops():
            network.train_on_batch(inputs, targets)

    return step, lambda: network.predict_on_batch(inputs)


def time_distributed(shape):
    """The paper's script, layer by layer, in Keras 3."""
    import keras

    over_slices = keras.layers.TimeDistributed
    stack = keras.Input(tuple(shape[1:]), name="stack")
    clinical = keras.Input((CLINICAL,), name="clinical")
    inputs = {"stack": stack, "clinical": clinical}
    maps = keras.layers.Reshape((*shape[1:], 1))(stack)
    for n_filters in FILTERS:
        maps = over_slices(keras.layers.BatchNormalization())(maps)
        maps = over_slices(keras.layers.Conv2D(n_filters, KERNEL, padding="same", activation="relu"))(maps)
        maps = over_slices(keras.layers.MaxPooling2D(2))(maps)
    features = keras.layers.LSTM(LSTM_UNITS)(over_slices(keras.layers.Flatten())(maps))
    for units in (32, 32):
        features = keras.layers.Dense(units, activation="relu")(features)
    for units in (4, 4):
        clinical = keras.layers.Dense(units, activation="relu")(clinical)
    head = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Concatenate()([features, clinical]))
    network = keras.Model(inputs, head)
    network.compile(optimizer=keras.optimizers.SGD(0.01), loss="binary_crossentropy")
    batch, targets = _numpy_batch(shape)
    return lambda: network.train_on_batch(batch, targets), lambda: network.predict_on_batch(batch)


def pytorch(shape, *, bfloat16):
    """The same layers in the same order, in eager mode, channels last."""
    import torch
    from torch import nn

    torch.set_num_threads(os.cpu_count())
    n_slices, height, width = shape[1:]
    layers, channels = [], 1
    for n_filters in FILTERS:
        layers += [nn.BatchNorm2d(channels), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, n_filters, KERNEL)]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
        channels = n_filters
    n_features = channels * (height // 8) * (width // 8)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolutions = nn.Sequential(*layers)
            self.lstm = nn.LSTM(n_features, LSTM_UNITS, batch_first=True)
            self.dense = nn.Sequential(nn.Linear(LSTM_UNITS, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
            self.clinical = nn.Sequential(nn.Linear(CLINICAL, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU())
            self.head = nn.Linear(36, 1)

        def forward(self, stack, clinical):
            maps = stack.reshape(-1, 1, height, width).to(memory_format=torch.channels_last)
            slices = self.convolutions(maps).flatten(1).reshape(len(stack), n_slices, -1)
            features = self.dense(self.lstm(slices)[0][:, -1])
            return self.head(torch.cat([features, self.clinical(clinical)], 1))

    network = Network().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    batch, targets = _numpy_batch(shape)
    stack, clinical, targets = (torch.from_numpy(a) for a in (batch["stack"], batch["clinical"], targets))

    def step():
        network.train()
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            logits = network(stack, clinical)
        nn.functional.binary_cross_entropy_with_logits(logits.float(), targets).backward()
        optimizer.step()

    def predict():
        network.eval()
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            network(stack, clinical)

    return step, predict


def matrix_product(dtype):
    """Product of two large square matrices, for the lower bound of the time."""
    import tensorflow as tf

    a = tf.cast(tf.random.normal((MATRIX_SIDE, MATRIX_SIDE), seed=0), dtype)
    multiply = tf.function(lambda a: tf.reduce_max(a @ a))
    return (lambda: multiply(a).numpy(),)


def _numpy_batch(shape):
    import numpy as np

    rng = np.random.default_rng(0)
    stack, clinical = rng.normal(size=shape), rng.random((shape[0], CLINICAL))
    batch = {"stack": stack.astype(np.float32), "clinical": clinical.astype(np.float32)}
    return batch, (np.arange(shape[0]) % 2).astype(np.float32)[:, np.newaxis]


IMPLEMENTATIONS = {
    "ours, bfloat16": lambda shape: ours(shape, "mixed_bfloat16"),
    "ours, float32": lambda shape: ours(shape, "float32"),
    "PyTorch, bfloat16": lambda shape: pytorch(shape, bfloat16=True),
    "PyTorch, float32": lambda shape: pytorch(shape, bfloat16=False),
    "TimeDistributed": time_distributed,
    "product, bfloat16": lambda _: matrix_product("bfloat16"),
    "product, float32": lambda _: matrix_product("float32"),
}


def report(workers, shape):
    """Print a table of one comparison."""
    train, predict = step_flops(shape[0], shape[1], shape[2])
    peers = [worker for name, worker in workers.items() if name.startswith(("PyTorch", "TimeDistributed"))]
    # A peer that is not installed, or does not fit into the memory, is compared with nothing.
    best = {function: min((w.median(function) for w in peers), default=math.nan) for function in (0, 1)}
    what = "the better PyTorch" if len(peers) > 1 else peers[0].name if peers else "no peer; it"
    print(f"\n{shape[0]} patients of {shape[1]} x {shape[2]} x {shape[3]}; {train / 1e9:.0f} GFLOP per training step")
    print(f"{'':18} {'step':>7} {'predict':>8} {'peak':>9} {'lower bound':>22}   {what} takes")
    for name, worker in workers.items():
        if name.startswith("product"):
            rate = 2 * MATRIX_SIDE**3 / worker.median(0)
            print(f"{name:18} {rate / 1e9:.0f} GFLOP/s")
            continue
        product = workers["product, bfloat16" if "bfloat16" in name else "product, float32"]
        rate = 2 * MATRIX_SIDE**3 / product.median(0)
        bounds = [flops / rate / worker.median(function) for function, flops in ((0, train), (1, predict))]
        ratios = [best[function] / worker.median(function) for function in (0, 1)]
        print(
            f"{name:18} {worker.median(0):5.2f} s {worker.median(1):6.2f} s {worker.peak_gib:5.2f} GiB"
            f" {bounds[0]:9.0%}, predict {bounds[1]:.0%}   {ratios[0]:.2f} times, predict {ratios[1]:.2f} times"
        )


def first_steps(size_px, n_fits=3):
    """Print the times of the first and the later steps of each fit; only the first fit should include tracing."""
    import keras
    import numpy as np

    from sklearn_pspd import CNNLSTMClassifier

    class Clock(keras.callbacks.Callback):
        seconds: list = []  # noqa: RUF012  shared by the copies that each fit makes

        def on_train_batch_begin(self, batch, logs=None):
            self.started = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            self.seconds.append(time.perf_counter() - self.started)

    rng = np.random.default_rng(0)
    X = rng.random((48, 9 * size_px**2 + CLINICAL), dtype=np.float32)
    y = np.arange(48) % 2
    classifier = CNNLSTMClassifier((9, size_px, size_px), epochs=2, callbacks=[Clock()])
    print(f"\nFits of 9 x {size_px} x {size_px}: first step divided by the median of the later steps")
    for fit in range(1, n_fits + 1):
        Clock.seconds.clear()
        classifier.fit(X, y)
        first, *later = Clock.seconds
        print(f"fit {fit}: {first:.2f} s / {statistics.median(later):.2f} s = {first / statistics.median(later):.2f}")


def main():
    """Run the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="steps of each implementation (5)")
    parser.add_argument("--size-px", type=int, default=256, help="rows and columns of a slice (256)")
    parser.add_argument(
        "--literal-px", type=int, default=64, help="the same for the comparison with TimeDistributed (64)"
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=int, nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    # Suppress TensorFlow's messages.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if options.worker:
        work(IMPLEMENTATIONS[options.worker](tuple(options.shape)))
        return
    print(machine(), flush=True)
    script = str(Path(__file__).resolve())
    for size_px, absent in ((options.size_px, "TimeDistributed"), (options.literal_px, "PyTorch")):
        shape = (8, 9, size_px, size_px)
        functions = {name: 1 if "product" in name else 2 for name in IMPLEMENTATIONS if absent not in name}
        workers = run_alternately(script, functions, ["--shape", *shape], n_rounds=options.rounds)
        report(workers, shape)
    first_steps(options.literal_px)


if __name__ == "__main__":
    main()
