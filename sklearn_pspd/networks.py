"""The CNN-LSTM network: its layers, its initial weights and a process-wide pool of compiled copies."""

import contextlib
import functools
import os
import random
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from .layers import PooledConv2D, SliceLSTM, WeightedBatchNormalization, hard_sigmoid_keras2

STACK_INPUT = "stack"
CLINICAL_INPUT = "clinical"
WEIGHT_INPUT = "weight"


@dataclass(frozen=True)
class NetworkSpec:
    """Everything that shapes a compiled network; equal specifications share one compiled copy.

    The learning rate and the seed are not part of it: a compiled network takes both anew at each fit.

    Parameters
    ----------
    stack_shape : tuple of int or None
        (n_slices, height, width) of one patient's slice stack; None for no image branch.
    n_clinical : int
        Number of clinical columns; 0 for no clinical branch.
    filters : tuple of int
        Filters of the convolution blocks, in order.
    kernel_size : int
        Side of the square convolution kernels, in pixels.
    batch_norm : {"before", "after", "none"}
        Place of batch normalisation in a block: before the convolution (released script), after its ReLU (paper) or
        nowhere.
    batch_norm_momentum : float
        Momentum of the moving mean and variance that inference uses.
    pooling : {"flatten", "average"}
        How the last feature maps of a slice become one vector for the LSTM.
    lstm_units : int
        Memory cells.
    lstm_activation : {"tanh", "sigmoid"}
        Activation of the cell; "sigmoid" goes with the released script's hard-sigmoid gates.
    dense_units : tuple of int
        Dense ReLU layers after the LSTM.
    clinical_units : tuple of int
        Dense ReLU layers of the clinical branch.
    dropout : float
        Share of the fused features that is dropped while training.
    optimizer : {"sgd", "adam"}
        Rule of the weight updates.
    momentum : float
        Momentum of "sgd".
    precision : {"float32", "float64", "mixed_bfloat16"}
        Keras dtype policy of every layer.
    weighted : bool
        Whether the network reads patients' weights, by which batch normalisation counts them while training.
    n_devices : int
        Cards, or logical processors, that share each batch while training.
    """

    stack_shape: tuple[int, int, int] | None
    n_clinical: int
    filters: tuple[int, ...]
    kernel_size: int
    batch_norm: str
    batch_norm_momentum: float
    pooling: str
    lstm_units: int
    lstm_activation: str
    dense_units: tuple[int, ...]
    clinical_units: tuple[int, ...]
    dropout: float
    optimizer: str
    momentum: float
    precision: str
    weighted: bool = False
    n_devices: int = 1


def build_cnn_lstm(spec: NetworkSpec) -> keras.Model:
    """Build and compile the network of Jang et al. (2018), figure 1.

    Slices are merged with patients before the shared convolutions, which computes the same as a time-distributed
    convolution in one call.

    Parameters
    ----------
    spec : NetworkSpec
        Shapes and hyper-parameters.

    Returns
    -------
    keras.Model
        Compiled model with inputs "stack" of shape (n_patients, n_slices, height, width), "clinical" of shape
        (n_patients, n_clinical) and "weight" of shape (n_patients, 1), whichever the specification has, and one sigmoid
        output, the probability of class 1.

    Raises
    ------
    ValueError
        If the specification has neither branch, the slices are too small for the number of pooling steps, or there are
        fewer devices than asked for.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> from sklearn_pspd.networks import NetworkSpec, build_cnn_lstm
    >>> spec = NetworkSpec(
    ...     stack_shape=(3, 8, 8), n_clinical=7, filters=(2, 4), kernel_size=2, batch_norm="before",
    ...     batch_norm_momentum=0.99, pooling="flatten", lstm_units=3, lstm_activation="tanh", dense_units=(4,),
    ...     clinical_units=(4, 4), dropout=0.0, optimizer="sgd", momentum=0.0, precision="float32",
    ... )
    >>> build_cnn_lstm(spec).output_shape
    (None, 1)
    """
    with _device_scope(spec.n_devices):
        return _build(spec)


def initial_weights(network: keras.Model, seed: int) -> list[np.ndarray]:
    """Draw fresh weights for a network from one seed.

    Kernels are Glorot uniform, recurrent kernels orthogonal, biases zero but for the LSTM's unit forget bias, and
    batch normalisation starts as the identity: the Keras defaults of the released script, drawn with NumPy so that
    every backend starts from the same numbers and no global random state is read or written.

    Parameters
    ----------
    network : keras.Model
        A network of `build_cnn_lstm`.
    seed : int
        Seed of the draw.

    Returns
    -------
    list of ndarray
        In the order of ``network.weights``.
    """
    rng = np.random.default_rng(seed)
    return [_initial_weight(weight.path, tuple(weight.shape), str(weight.dtype), rng) for weight in network.weights]


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


def _build(spec):
    io_dtype = "float64" if spec.precision == "float64" else "float32"
    inputs, features = {}, []
    weights = keras.Input((1,), name=WEIGHT_INPUT, dtype=io_dtype) if spec.weighted else None
    if spec.stack_shape is not None:
        inputs[STACK_INPUT] = keras.Input(spec.stack_shape, name=STACK_INPUT, dtype=io_dtype)
        features.append(_stack_branch(inputs[STACK_INPUT], weights, spec))
    if spec.n_clinical:
        inputs[CLINICAL_INPUT] = keras.Input((spec.n_clinical,), name=CLINICAL_INPUT, dtype=io_dtype)
        features.append(_dense_layers(inputs[CLINICAL_INPUT], spec.clinical_units, "clinical_dense", spec.precision))
    if not inputs:
        raise ValueError("the network needs slice stacks, clinical columns or both; neither was given")
    fused = features[0]
    if len(features) > 1:
        fused = keras.layers.Concatenate(name="fusion", dtype=spec.precision)(features)
    if spec.dropout:
        fused = keras.layers.Dropout(spec.dropout, seed=0, name="dropout", dtype=spec.precision)(fused)
    head = keras.layers.Dense(1, activation="sigmoid", name="head", dtype=io_dtype)(fused)
    if spec.weighted:
        inputs[WEIGHT_INPUT] = weights
    network = keras.Model(inputs, head, name="cnn_lstm")
    network.compile(
        optimizer=_make_optimizer(spec),
        loss=keras.losses.BinaryCrossentropy(reduction="mean_with_sample_weight", dtype=io_dtype),
        jit_compile=False,
    )
    return network


def _device_scope(n_devices):
    """Let what is built inside live on several devices, with a part of each batch on each of them."""
    if n_devices == 1:
        return contextlib.nullcontext()
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"n_devices={n_devices} needs Keras' TensorFlow backend; this is {keras.backend.backend()}")
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) < n_devices:
        raise ValueError(f"n_devices={n_devices}, but TensorFlow sees {len(devices)}: {[d.name for d in devices]}")
    return tf.distribute.MirroredStrategy([device.name for device in devices[:n_devices]]).scope()


def _stack_branch(stack, weights, spec):
    n_slices, height, width = spec.stack_shape
    smallest = 2 ** len(spec.filters)
    if min(height, width) < smallest and spec.stack_shape[1:] != (1, 1):
        raise ValueError(
            f"slices of {height} x {width} px are too small for {len(spec.filters)} pooling steps; "
            f"they need at least {smallest} x {smallest} px, or fewer filters"
        )
    maps = keras.ops.reshape(stack, (-1, height, width, 1))
    if weights is not None:
        weights = keras.ops.reshape(keras.ops.repeat(weights, n_slices, axis=0), (-1,))
    for step, n_filters in enumerate(spec.filters, start=1):
        maps = _convolution_block(maps, weights, n_filters, step, spec)
    if spec.pooling == "average":
        slices = keras.layers.GlobalAveragePooling2D(name="average", dtype=spec.precision)(maps)
    else:
        slices = keras.layers.Flatten(name="flatten", dtype=spec.precision)(maps)
    sequence = keras.ops.reshape(slices, (-1, n_slices, slices.shape[-1]))
    gates = hard_sigmoid_keras2 if spec.lstm_activation == "sigmoid" else "sigmoid"
    memory = SliceLSTM(
        spec.lstm_units,
        activation=spec.lstm_activation,
        recurrent_activation=gates,
        name="lstm",
        dtype=spec.precision,
    )(sequence)
    return _dense_layers(memory, spec.dense_units, "dense", spec.precision)


def _convolution_block(maps, weights, n_filters, step, spec):
    normalise = WeightedBatchNormalization(
        momentum=spec.batch_norm_momentum,
        synchronized=spec.n_devices > 1,
        name=f"batch_norm_{step}",
        dtype=spec.precision,
    )
    # "same" padding leaves a single pixel as it is, which lets estimator checks send plain tables through this branch.
    pool_padding = "same" if spec.stack_shape[1:] == (1, 1) else "valid"
    convolution = {"padding": "same", "activation": "relu", "name": f"conv_{step}", "dtype": spec.precision}
    if spec.batch_norm == "after":
        maps = keras.layers.Conv2D(n_filters, spec.kernel_size, **convolution)(maps)
        maps = normalise(maps, weights)
        return keras.layers.MaxPooling2D(2, padding=pool_padding, name=f"pool_{step}", dtype=spec.precision)(maps)
    if spec.batch_norm == "before":
        maps = normalise(maps, weights)
    return PooledConv2D(n_filters, spec.kernel_size, pool_padding=pool_padding, **convolution)(maps)


def _dense_layers(features, units, name, precision):
    for step, n_units in enumerate(units, start=1):
        features = keras.layers.Dense(n_units, activation="relu", name=f"{name}_{step}", dtype=precision)(features)
    return features


def _make_optimizer(spec):
    if spec.optimizer == "adam":
        return keras.optimizers.Adam()
    return keras.optimizers.SGD(momentum=float(spec.momentum))


def _initial_weight(path, shape, dtype, rng):
    name = path.rsplit("/", 1)[-1]
    if name == "kernel":
        receptive = int(np.prod(shape[:-2]))
        limit = np.sqrt(6.0 / (receptive * (shape[-2] + shape[-1])))
        return ((2.0 * rng.random(shape, dtype=np.float32) - 1.0) * np.float32(limit)).astype(dtype)
    if name == "recurrent_kernel":
        return _orthogonal(shape, rng).astype(dtype)
    if name == "bias" and "lstm/" in path:
        n_units = shape[0] // 4
        return np.repeat([0.0, 1.0, 0.0, 0.0], n_units).astype(dtype)
    return np.full(shape, 1.0 if name in ("gamma", "moving_variance") else 0.0, dtype=dtype)


def _orthogonal(shape, rng):
    q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
    q = q * np.sign(np.diag(r))
    return q if shape[0] >= shape[1] else q.T
