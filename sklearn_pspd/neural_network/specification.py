"""Specification of a network: its shapes and hyper-parameters, and what follows from them without building it."""

import math
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np

from sklearn_pspd.exceptions import InputError


@dataclass(frozen=True)
class NetworkSpec:
    """Specification of a compiled network; equal specifications share one compiled network.

    Learning rate and seed are not part of it, because they are set at the start of each fit.

    Parameters
    ----------
    stack_shape : tuple of int or None
        (n_slices, height, width) of the slice stack of one image; None for a network without image branch.
    n_clinical : int
        Number of clinical columns; 0 for a network without clinical branch.
    filters : tuple of int
        Number of filters of each convolution block, in order.
    kernel_size : int
        Side length of the square convolution kernels in pixels.
    batch_norm : {"before", "after", "none"}
        Position of batch normalisation in a block: before the convolution (released script), after its ReLU (paper), or
        no batch normalisation.
    batch_norm_momentum : float
        Momentum of the moving mean and variance that are used for prediction.
    pooling : {"flatten", "average"}
        How the last feature maps of a slice are reduced to one vector for the LSTM.
    lstm_units : int
        Number of memory cells of the LSTM.
    lstm_activation : {"tanh", "sigmoid"}
        Activation of the LSTM; with "sigmoid" its gates are hard sigmoids, as in the released script.
    dense_units : tuple of int
        Units of the dense ReLU layers after the LSTM.
    clinical_units : tuple of int
        Units of the dense ReLU layers of the clinical branch.
    dropout : float
        Fraction of the fused features that is dropped during training.
    optimizer : {"sgd", "adam"}
        Optimiser.
    momentum : float
        Momentum of "sgd".
    precision : {"float32", "float64", "mixed_bfloat16"}
        Keras dtype policy of all layers.
    sequence : {"lstm", "attention", "mean"}
        How the vectors of a patient's slices become one: by an LSTM, by gated attention or by their mean.
    weighted : bool
        Whether the weights of patients are an input, which weights the statistics of batch normalisation during
        training.
    n_devices : int
        Number of GPUs, or logical CPU devices, over which each batch is divided during training.
    n_images : int
        Number of images per patient, whose stacks are the input channels of the first convolution.
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
    sequence: str = "lstm"
    weighted: bool = False
    n_devices: int = 1
    n_images: int = 1

    @property
    def n_pixels(self) -> int:
        """Number of pixel columns of a patient."""
        # math.prod does not overflow.
        return 0 if self.stack_shape is None else self.n_images * math.prod(self.stack_shape)


def make_spec(n_features, *, stack_shape, n_images=1, n_clinical=None, precision, **layers) -> NetworkSpec:
    """Specify the network for a table with `n_features` columns: first the pixels, then the clinical columns.

    Parameters
    ----------
    n_features : int
        Number of columns of X.
    stack_shape : tuple of int or None
        (n_slices, height, width); None if all columns are clinical.
    n_images : int, default=1
        Number of images per patient.
    n_clinical : int, default=None
        Number of clinical columns; None takes all that follow the pixels.
    precision : str
        Arithmetic of the network.
    **layers : object
        The other fields of :class:`NetworkSpec`.

    Returns
    -------
    NetworkSpec
        The specification, in which sequences are tuples.

    Raises
    ------
    InputError
        If a number of the shape or of units is not a positive whole number, or the columns do not fit.
    """
    # Tuples of plain numbers, so that the specification can be compared, and written to a file.
    stack_shape = None if stack_shape is None else _whole_numbers(stack_shape, "stack_shape")
    if stack_shape is not None and len(stack_shape) != 3:
        raise InputError(f"stack_shape must be (n_slices, height, width), three positive numbers; it is {stack_shape}")
    for name in ("filters", "dense_units", "clinical_units"):
        layers[name] = _whole_numbers(layers[name], name)
    images = {"stack_shape": stack_shape, "n_images": n_images}
    spec = NetworkSpec(**images, n_clinical=0, precision=precision, **layers)
    found = n_features - spec.n_pixels
    shown = f"stack_shape={stack_shape}{f', n_images={n_images}' if n_images > 1 else ''}"
    if found < 0:
        raise InputError(
            f"{shown} requires {spec.n_pixels} pixel columns, followed by clinical columns; X has {n_features} columns"
        )
    if n_clinical is not None and found != n_clinical:
        raise InputError(
            f"X has {n_features} columns, but {shown} and n_clinical={n_clinical} need {spec.n_pixels} + {n_clinical} "
            f"= {spec.n_pixels + n_clinical}; set stack_shape to the (n_slices, height, width) of the stacks, n_images "
            "to the number of images per patient, and n_clinical to the number of clinical columns"
        )
    return replace(spec, n_clinical=found)


def _whole_numbers(values, name):
    values = tuple(values)
    for value in values:
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral) or value < 1:
            raise InputError(f"{name} must contain positive whole numbers, as in (8, 16); it is {values!r}")
    return tuple(int(value) for value in values)


def training_flops(spec: NetworkSpec, batch_size: int) -> float:
    """Count the floating point operations of the convolutions in one training step.

    Parameters
    ----------
    spec : NetworkSpec
        Specification of the network.
    batch_size : int
        Number of patients per step.

    Returns
    -------
    float
        Three times those of the forward pass, since the backward pass computes the gradients of both operands.
    """
    if spec.stack_shape is None:
        return 0.0
    n_slices, height, width = spec.stack_shape
    forward, channels = 0.0, spec.n_images
    for n_filters in spec.filters:
        forward += 2.0 * n_slices * height * width * spec.kernel_size**2 * channels * n_filters
        channels, height, width = n_filters, height // 2, width // 2
    return 3.0 * batch_size * forward


def count_weights(spec: NetworkSpec) -> int:
    """Count the weights of a network without building it.

    Parameters
    ----------
    spec : NetworkSpec
        Specification of the network.

    Returns
    -------
    int
        Number of weights, those of batch normalisation included.
    """
    n_weights, n_fused = 0, 0
    if spec.stack_shape is not None:
        _, height, width = spec.stack_shape
        channels = spec.n_images
        for n_filters in spec.filters:
            normalised = {"before": channels, "after": n_filters, "none": 0}[spec.batch_norm]
            n_weights += 4 * normalised + (spec.kernel_size**2 * channels + 1) * n_filters
            channels, height, width = n_filters, height // 2, width // 2
        n_features = channels * (1 if spec.pooling == "average" else height * width)
        n_combined, n_fused = _combined_size(spec, n_features)
        n_weights += n_combined
        n_weights, n_fused = _count_dense(n_weights, n_fused, spec.dense_units)
    if spec.n_clinical:
        n_weights, n_last = _count_dense(n_weights, spec.n_clinical, spec.clinical_units)
        n_fused += n_last
    return n_weights + n_fused + 1


def _combined_size(spec, n_features):
    """Return the numbers of weights and outputs of the layer that combines the slices."""
    units = spec.lstm_units
    if spec.sequence == "lstm":
        return 4 * units * (n_features + units + 1), units
    if spec.sequence == "attention":
        return units * (2 * n_features + 3), n_features
    return 0, n_features


def _count_dense(n_weights, n_inputs, units):
    for n_units in units:
        n_weights += (n_inputs + 1) * n_units
        n_inputs = n_units
    return n_weights, n_inputs
