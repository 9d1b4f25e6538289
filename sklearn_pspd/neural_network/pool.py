"""Process-wide pool of compiled networks."""

import contextlib
import random
import threading
from collections.abc import Iterator, Sequence

import keras
import numpy as np

from .architecture import build_cnn_lstm
from .blocks import train_in_blocks
from .devices import let_gpu_memory_grow
from .specification import NetworkSpec


class NetworkPool:
    """Compiled networks that are shared by all estimators of the process.

    Building and tracing a network takes seconds and, with TensorFlow, memory that is never released; resetting its
    weights takes neither. A borrowed network belongs to its borrower alone until it is returned.

    Parameters
    ----------
    max_networks : int, default=8
        Largest number of networks that are kept; if there are more, the least recently used one is removed.
    """

    def __init__(self, max_networks: int = 8) -> None:
        self.max_networks = max_networks
        self._lock = threading.Lock()
        self._idle: list[tuple[NetworkSpec, keras.Model]] = []

    def __len__(self) -> int:
        return len(self._idle)

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
            network = self._take(spec)
        yield network
        # Not reached if the block raises: a network whose training failed or was interrupted is not used again.
        with self._lock:
            self._idle.append((spec, network))
            del self._idle[: -self.max_networks]

    def _take(self, spec):
        for place, (known, network) in enumerate(self._idle):
            if known == spec:
                del self._idle[place]
                return network
        let_gpu_memory_grow()
        # Keras draws seeds of its initialisers, which are not used here, from Python's global random state.
        state = random.getstate()
        network = build_cnn_lstm(spec)
        random.setstate(state)
        train_in_blocks(network, spec)
        return network


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
