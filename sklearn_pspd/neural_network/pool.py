"""Process-wide pool of compiled networks, and the devices and precision they use."""

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
    """Compiled networks that are shared by all estimators of the process.

    Building and tracing a network takes seconds and, with TensorFlow, memory that is never released; resetting its
    weights takes neither. A single lock protects the pool: a fit or a prediction has exclusive use of its network, also
    in threads.

    Parameters
    ----------
    max_networks : int, default=8
        Largest number of networks; if there are more, the least recently used one is removed.
    """

    def __init__(self, max_networks: int = 8) -> None:
        self.max_networks = max_networks
        self._lock = threading.RLock()
        self._networks: OrderedDict[NetworkSpec, keras.Model] = OrderedDict()

    def __len__(self) -> int:
        return len(self._networks)

    @contextlib.contextmanager
    def borrow(self, spec: NetworkSpec) -> Iterator[keras.Model]:
        """Lend the compiled network of a specification for the duration of a ``with`` block.

        Parameters
        ----------
        spec : NetworkSpec
            Specification of the network, which is built at its first use.

        Yields
        ------
        keras.Model
            The network, with the weights of its previous use. It must not be used after the block.
        """
        with self._lock:
            network = self._networks.pop(spec, None)
            if network is None:
                _let_gpu_memory_grow()
                # Keras draws seeds of its initialisers, which are not used here, from Python's global random state.
                state = random.getstate()
                network = build_cnn_lstm(spec)
                random.setstate(state)
            yield network
            # Not reached if the block raises: a network whose training failed or was interrupted is not used again.
            self._networks[spec] = network
            while len(self._networks) > self.max_networks:
                self._networks.popitem(last=False)


NETWORK_POOL = NetworkPool()


def optimizer_state(network: keras.Model) -> list[np.ndarray]:
    """Return a copy of the optimiser's momenta and counters, for :func:`reset_network`."""
    return [np.array(variable.numpy()) for variable in network.optimizer.variables]


def reset_network(
    network: keras.Model,
    weights: Sequence[np.ndarray],
    *,
    learning_rate: float,
    seed: int,
    state: Sequence[np.ndarray] | None = None,
) -> None:
    """Set a compiled network to the start of a fit: weights, optimiser state, learning rate and seed of dropout.

    Parameters
    ----------
    network : keras.Model
        A compiled network, new or used before.
    weights : sequence of ndarray
        Weights, in the order of ``network.weights``.
    learning_rate : float
        Learning rate of the fit.
    seed : int
        Seed of the dropout masks.
    state : sequence of ndarray, default=None
        Optimiser state from which to continue, as returned by :func:`optimizer_state`; None sets it to zero.
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
    """Return whether the device of the Keras backend has instructions for bfloat16 multiplication.

    Returns
    -------
    bool
        True on NVIDIA GPUs from Ampere on, and on x86 processors with AVX512-BF16 or AMX under Linux, unless
        ``TF_ENABLE_ONEDNN_OPTS=0`` prevents TensorFlow from using these instructions.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) >= (8, 0)
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
    """Restrict TensorFlow to deterministic kernels, and restore the setting of the process afterwards."""
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
    """Prevent TensorFlow from reserving all memory of a GPU, so that several processes can share it."""
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        # TensorFlow raises if the GPU is in use already; the setting made by its first user then stays.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)
