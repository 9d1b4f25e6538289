"""Architecture and initial weights of the CNN-LSTM."""

import contextlib

import keras
import numpy as np

from sklearn_pspd.exceptions import InputError

from .layers import (
    GatedAttention,
    ImageNormalization,
    PooledConv2D,
    SliceLSTM,
    WeightedBatchNormalization,
    hard_sigmoid_keras2,
)
from .specification import NetworkSpec

STACK_INPUT = "stack"
CLINICAL_INPUT = "clinical"
WEIGHT_INPUT = "weight"
ATTENTION = "attention"

CHANNELS_LAST = "channels_last"


def build_cnn_lstm(spec: NetworkSpec) -> keras.Model:
    """Build and compile the network of Jang et al. (2018), figure 1.

    The axes of patients and slices are merged before the convolutions, so that one call computes the same as a
    time-distributed convolution.

    Parameters
    ----------
    spec : NetworkSpec
        Shapes and hyper-parameters of the network.

    Returns
    -------
    keras.Model
        Compiled network with those of the inputs "stack" of shape (n_patients, n_images * n_slices, height, width),
        with all slices of one image after those of another, "clinical" of shape (n_patients, n_clinical) and "weight"
        of shape (n_patients, 1) that the specification has. Its output is the probability of class 1.

    Raises
    ------
    InputError
        If the specification has neither branch, the slices are too small for the number of pooling steps, or there are
        fewer than ``n_devices`` devices.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> from sklearn_pspd.neural_network import NetworkSpec
    >>> from sklearn_pspd.neural_network.architecture import build_cnn_lstm
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
    """Draw the initial weights of a network.

    Kernels are Glorot uniform, recurrent kernels orthogonal and biases zero, except for the forget bias of the LSTM,
    which is one; batch normalisation starts as the identity. These are the Keras defaults used by the released script.
    They are drawn with NumPy, so that all backends start from the same numbers and no global random state is used.

    Parameters
    ----------
    network : keras.Model
        A network built by `build_cnn_lstm`.
    seed : int
        Random seed.

    Returns
    -------
    list of ndarray
        Weights, in the order of ``network.weights``.
    """
    rng = np.random.default_rng(seed)
    return [_initial_weight(weight.path, tuple(weight.shape), str(weight.dtype), rng) for weight in network.weights]


def _build(spec):
    # Inputs, and the feature vector of each branch. Mixed precision applies to hidden layers only.
    io_dtype = "float64" if spec.precision == "float64" else "float32"
    inputs, features = {}, []
    weights = keras.Input((1,), name=WEIGHT_INPUT, dtype=io_dtype) if spec.weighted else None
    if spec.stack_shape is not None:
        n_slices, *matrix = spec.stack_shape
        inputs[STACK_INPUT] = keras.Input((spec.n_images * n_slices, *matrix), name=STACK_INPUT, dtype=io_dtype)
        features.append(_stack_branch(inputs[STACK_INPUT], weights, spec))
    if spec.n_clinical:
        inputs[CLINICAL_INPUT] = keras.Input((spec.n_clinical,), name=CLINICAL_INPUT, dtype=io_dtype)
        features.append(_dense_layers(inputs[CLINICAL_INPUT], spec.clinical_units, "clinical_dense", spec.precision))
    if not inputs:
        raise InputError("the network needs slice stacks, clinical columns or both; the specification has neither")
    # Fusion, and the probability of class 1.
    fused = features[0]
    if len(features) > 1:
        fused = keras.layers.Concatenate(name="fusion", dtype=spec.precision)(features)
    if spec.dropout:
        fused = keras.layers.Dropout(spec.dropout, seed=0, name="dropout", dtype=spec.precision)(fused)
    head = keras.layers.Dense(1, activation="sigmoid", name="head", dtype=io_dtype)(fused)
    if spec.weighted:
        inputs[WEIGHT_INPUT] = weights
    # The loss of a batch is the weighted mean over its patients: divided by the sum of their weights, not their number.
    network = keras.Model(inputs, head, name="cnn_lstm")
    network.compile(
        optimizer=_make_optimizer(spec),
        loss=keras.losses.BinaryCrossentropy(reduction="mean_with_sample_weight", dtype=io_dtype),
        jit_compile=False,
        run_eagerly=False,
        auto_scale_loss=False,
    )
    return network


def _device_scope(n_devices):
    """Return a context in which a network is built for training on several devices, each with a part of each batch."""
    if n_devices == 1:
        return contextlib.nullcontext()
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"n_devices={n_devices} needs the TensorFlow backend of Keras; it is {keras.backend.backend()}"
        )
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) < n_devices:
        raise InputError(f"n_devices={n_devices}, but TensorFlow has {len(devices)}: {[d.name for d in devices]}")
    return tf.distribute.MirroredStrategy([device.name for device in devices[:n_devices]]).scope()


def _stack_branch(stack, weights, spec):
    n_slices, height, width = spec.stack_shape
    smallest = 2 ** len(spec.filters)
    if min(height, width) < smallest:
        raise InputError(
            f"slices of {height} x {width} px are too small for {len(spec.filters)} pooling steps, which need at least "
            f"{smallest} x {smallest} px; use larger slices or fewer filters"
        )
    # Convolutions of all slices of all patients at once; a slice has the weight of its patient.
    if spec.n_images > 1:
        # The same slice of the images of a patient becomes the channels of one map.
        images = keras.ops.reshape(stack, (-1, spec.n_images, n_slices, height, width))
        stack = keras.ops.transpose(images, (0, 2, 3, 4, 1))
    maps = keras.ops.reshape(stack, (-1, height, width, spec.n_images))
    if weights is not None:
        weights = keras.ops.reshape(keras.ops.repeat(weights, n_slices, axis=0), (-1,))
    for step, n_filters in enumerate(spec.filters, start=1):
        maps = _convolution_block(maps, weights, n_filters, step, spec)
    # One feature vector per slice, and one per patient.
    reduce = keras.layers.GlobalAveragePooling2D if spec.pooling == "average" else keras.layers.Flatten
    slices = reduce(data_format=CHANNELS_LAST, name=spec.pooling, dtype=spec.precision)(maps)
    sequence = keras.ops.reshape(slices, (-1, n_slices, slices.shape[-1]))
    return _dense_layers(_combine_slices(sequence, spec), spec.dense_units, "dense", spec.precision)


def _combine_slices(sequence, spec):
    """Return one vector per patient from the vectors of the slices, of shape (n_patients, n_slices, n_features)."""
    if spec.sequence == "mean":
        return keras.layers.GlobalAveragePooling1D(data_format=CHANNELS_LAST, name="mean", dtype=spec.precision)(
            sequence
        )
    if spec.sequence == "attention":
        combined, _ = GatedAttention(spec.lstm_units, name=ATTENTION, dtype=spec.precision)(sequence)
        return combined
    gates = hard_sigmoid_keras2 if spec.lstm_activation == "sigmoid" else "sigmoid"
    return SliceLSTM(
        spec.lstm_units,
        activation=spec.lstm_activation,
        recurrent_activation=gates,
        name="lstm",
        dtype=spec.precision,
    )(sequence)


def _convolution_block(maps, weights, n_filters, step, spec):
    """Return maps after convolution, ReLU, pooling and batch normalisation, in the order of the specification."""
    # The scale and offset of images of one channel are left to the convolution.
    is_image = spec.batch_norm == "before" and maps.shape[-1] == 1
    normalise = (ImageNormalization if is_image else WeightedBatchNormalization)(
        momentum=spec.batch_norm_momentum,
        synchronized=spec.n_devices > 1,
        name=f"batch_norm_{step}",
        dtype=spec.precision,
    )
    convolution = {
        "padding": "same",
        "activation": "relu",
        "data_format": CHANNELS_LAST,
        "name": f"conv_{step}",
        "dtype": spec.precision,
    }
    if spec.batch_norm == "after":
        maps = keras.layers.Conv2D(n_filters, spec.kernel_size, **convolution)(maps)
        maps = normalise(maps, weights)
        return keras.layers.MaxPooling2D(2, data_format=CHANNELS_LAST, name=f"pool_{step}", dtype=spec.precision)(maps)
    convolve = PooledConv2D(n_filters, spec.kernel_size, **convolution)
    if is_image:
        return convolve(*normalise(maps, weights))
    return convolve(normalise(maps, weights) if spec.batch_norm == "before" else maps)


def _dense_layers(features, units, name, precision):
    for step, n_units in enumerate(units, start=1):
        features = keras.layers.Dense(n_units, activation="relu", name=f"{name}_{step}", dtype=precision)(features)
    return features


def _make_optimizer(spec):
    if spec.optimizer == "adam":
        return keras.optimizers.Adam()
    return keras.optimizers.SGD(momentum=float(spec.momentum))


def _initial_weight(path, shape, dtype, rng):
    """Return the initial values of one weight array, by its name in the network."""
    name = path.rsplit("/", 1)[-1]
    if name.endswith("kernel") and name != "recurrent_kernel":
        # Glorot uniform: the limit depends on the numbers of inputs and outputs, per pixel of a convolution kernel.
        receptive = int(np.prod(shape[:-2]))
        limit = np.sqrt(6.0 / (receptive * (shape[-2] + shape[-1])))
        return ((2.0 * rng.random(shape, dtype=np.float32) - 1.0) * np.float32(limit)).astype(dtype)
    if name == "recurrent_kernel":
        return _orthogonal(shape, rng).astype(dtype)
    if name == "bias" and "lstm/" in path:
        # In the order input gate, forget gate, cell, output gate.
        n_units = shape[0] // 4
        return np.repeat([0.0, 1.0, 0.0, 0.0], n_units).astype(dtype)
    return np.full(shape, 1.0 if name in ("gamma", "moving_variance") else 0.0, dtype=dtype)


def _orthogonal(shape, rng):
    """Return a random orthogonal matrix; the signs of R's diagonal make its distribution uniform."""
    q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
    q = q * np.sign(np.diag(r))
    return q if shape[0] >= shape[1] else q.T
