"""A process-wide pool of compiled networks, and the devices and arithmetic that they use."""

import contextlib
import functools
import os
import random
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from .architecture import NetworkSpec, build_cnn_lstm


class NetworkPool:
    """A few compiled networks, shared by every estimator of the process.

    Building and tracing a network costs seconds and, on TensorFlow, memory that is never returned; resetting its
    weights costs neither. One lock guards all of them, so that a fit or a prediction has its network for itself, also
    under threads.

    Parameters
    ----------
    max_networks : int, default=8
        The least recently used network beyond this number is dropped.
    """

    def __init__(self, max_networks: int = 8) -> None:
        self.max_networks = max_networks
        self._lock = threading.RLock()
        self._networks: OrderedDict[NetworkSpec, keras.Model] = OrderedDict()

    def __len__(self) -> int:
        return len(self._networks)

    @contextlib.contextmanager
    def borrow(self, spec: NetworkSpec) -> Iterator[keras.Model]:
        """Lend the compiled network of a specification for the length of a ``with`` block.

        Parameters
        ----------
        spec : NetworkSpec
            What to lend; built at its first use.

        Yields
        ------
        keras.Model
            With whatever weights the last borrower left in it. It must not be kept after the block.
        """
        with self._lock:
            network = self._networks.pop(spec, None)
            if network is None:
                _let_gpu_memory_grow()
                # Keras draws seeds for its initialisers, which are not used, from Python's global generator.
                state = random.getstate()
                network = build_cnn_lstm(spec)
                random.setstate(state)
            yield network
            # Only reached when the borrower succeeded: a broken or interrupted network is not lent again.
            self._networks[spec] = network
            while len(self._networks) > self.max_networks:
                self._networks.popitem(last=False)


NETWORK_POOL = NetworkPool()


def optimizer_state(network: keras.Model) -> list[np.ndarray]:
    """Copy the optimiser's momenta and counters, for :func:`reset_network`."""
    return [np.array(variable.numpy()) for variable in network.optimizer.variables]


def reset_network(
    network: keras.Model,
    weights: Sequence[np.ndarray],
    *,
    learning_rate: float,
    seed: int,
    state: Sequence[np.ndarray] | None = None,
) -> None:
    """Bring a compiled network to the start of a fit: weights, optimiser state, learning rate, dropout seed.

    Parameters
    ----------
    network : keras.Model
        A compiled network, used before or not.
    weights : sequence of ndarray
        In the order of ``network.weights``.
    learning_rate : float
        Step size of the fit to come.
    seed : int
        Seed of the dropout masks.
    state : sequence of ndarray, default=None
        State of the optimiser to go on from, as :func:`optimizer_state` gives it; None starts anew.
    """
    network.set_weights(weights)
    optimizer = network.optimizer
    if not optimizer.built:
        optimizer.build(network.trainable_variables)
    for index, variable in enumerate(optimizer.variables):
        variable.assign(np.zeros(variable.shape, dtype=variable.dtype) if state is None else state[index])
    optimizer.learning_rate = learning_rate
    for variable in network.variables:
        if variable.path.endswith("seed_generator_state"):
            variable.assign(np.array([seed % 2**32, 0], dtype=variable.dtype))
    network.stop_training = False


@functools.cache
def has_native_bfloat16() -> bool:
    """Say whether the device that TensorFlow or another backend computes on multiplies bfloat16 in hardware.

    Returns
    -------
    bool
        True on NVIDIA cards from Ampere on, and on x86 processors with AVX512-BF16 or AMX under Linux, unless
        ``TF_ENABLE_ONEDNN_OPTS=0`` keeps TensorFlow from those instructions.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        for card in tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_device_details(card).get("compute_capability", (0, 0)) >= (8, 0)
        if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
            return False
    elif keras.backend.backend() == "jax":
        import jax

        if jax.default_backend() != "cpu":
            return True
    processor = Path("/proc/cpuinfo")
    return processor.exists() and bool({"avx512_bf16", "amx_bf16"} & set(processor.read_text().split()))


@contextlib.contextmanager
def deterministic_ops() -> Iterator[None]:
    """Let TensorFlow use deterministic kernels only, and restore the process' setting afterwards."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    from tensorflow.python.framework import config

    was_enabled = config.is_op_determinism_enabled()
    config.enable_op_determinism()
    try:
        yield
    finally:
        if not was_enabled:
            config.disable_op_determinism()


@functools.cache
def _let_gpu_memory_grow():
    """Keep TensorFlow from taking a whole card, so that two workers can share it."""
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    for card in tf.config.list_physical_devices("GPU"):
        # Too late once the card is in use; then whoever used it first has decided.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(card, True)
