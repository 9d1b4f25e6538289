"""Keras layers that compute faster than the standard ones, or that have no standard counterpart."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="sklearn_pspd")
def hard_sigmoid_keras2(x):
    """Return min(1, max(0, 0.2 x + 0.5)), the hard sigmoid of Keras 2; that of Keras 3 has a different slope."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


@keras.saving.register_keras_serializable(package="sklearn_pspd")
class WeightedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation with weighted means and variances over the maps of a batch.

    Without weights it computes the same as :class:`keras.layers.BatchNormalization`. With TensorFlow it then uses a
    single fused kernel.

    Notes
    -----
    The standard layer copies bfloat16 maps to float32 and reads them six times.
    """

    def call(self, inputs, weights=None, training=None):
        """Normalise maps of shape (n_maps, height, width, n_channels); weights of shape (n_maps,) or None."""
        if training and weights is not None:
            outputs, mean, variance = self._normalise_weighted(inputs, weights)
        elif not self.synchronized and _has_fused_kernels(self.compute_dtype):
            outputs, mean, variance = self._normalise_fused(inputs, training)
        else:
            return super().call(inputs, training=training)
        # As in the standard layer, only training updates the moving averages that prediction uses.
        if training:
            self._update_moving_averages(mean, variance)
        return outputs

    def _update_moving_averages(self, mean, variance):
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            batch = ops.cast(batch, moving.dtype)
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))

    def _normalise_weighted(self, inputs, weights):
        maps = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        mean, variance = _weighted_moments(maps, weights)
        gamma, beta = (ops.cast(parameter, maps.dtype) for parameter in (self.gamma, self.beta))
        outputs = (maps - mean) * (gamma * ops.rsqrt(variance + self.epsilon)) + beta
        return ops.cast(outputs, self.compute_dtype), mean, variance

    def _normalise_fused(self, inputs, training):
        import tensorflow as tf

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(self.gamma, "float32"),
            offset=tf.cast(self.beta, "float32"),
            mean=tf.zeros((0,)) if training else tf.convert_to_tensor(self.moving_mean),
            variance=tf.zeros((0,)) if training else tf.convert_to_tensor(self.moving_variance),
            epsilon=self.epsilon,
            is_training=bool(training),
        )
        # The fused kernel returns the sample variance, with the denominator n - 1; Keras' moving average is of the
        # variance with the denominator n.
        n_values = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), "float32")
        return outputs, mean, variance * (n_values - 1) / n_values


@keras.saving.register_keras_serializable(package="sklearn_pspd")
class ImageNormalization(WeightedBatchNormalization):
    """Batch normalisation of maps of one channel, whose scale and offset are left to the convolution that follows.

    Training needs only two sums of the gradient with respect to the maps: the gradients of scale and offset. The
    convolution finds them without that gradient, which has as many values as the images.
    """

    def call(self, inputs, weights=None, training=None):
        """Return maps of mean 0 and variance 1 over the batch, scale and offset; arguments as in the base class."""
        maps = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        if not training:
            mean, variance = (ops.cast(moving, maps.dtype) for moving in (self.moving_mean, self.moving_variance))
        elif weights is not None:
            mean, variance = _weighted_moments(maps, weights)
        else:
            mean, variance = ops.moments(ops.reshape(maps, (-1, 1)), 0, synchronized=self.synchronized)
        if training:
            self._update_moving_averages(mean, variance)
        maps = (maps - mean) * ops.rsqrt(variance + self.epsilon)
        return tuple(ops.cast(values, self.compute_dtype) for values in (maps, self.gamma, self.beta))

    def compute_output_spec(self, inputs, weights=None, training=None):  # noqa: ARG002
        """Return the shapes and types of the three outputs."""
        return tuple(keras.KerasTensor(shape, dtype=self.compute_dtype) for shape in (inputs.shape, (1,), (1,)))


@keras.saving.register_keras_serializable(package="sklearn_pspd")
class PooledConv2D(keras.layers.Conv2D):
    """Convolution, followed by the maximum of each 2 x 2 square, bias and ReLU.

    Adding the bias and ReLU are monotone and the same for all pixels of a map, so they can be applied after the maximum
    with the same result. After pooling only a quarter of the pixels remain, in the forward and the backward pass.

    Parameters
    ----------
    filters, kernel_size, **kwargs
        As in :class:`keras.layers.Conv2D`. An odd last row or column is not pooled, as in
        :class:`keras.layers.MaxPooling2D`.
    """

    def call(self, inputs, scale=None, offset=None):
        """Return maps of half the height and width; inputs of one channel are scaled first, and offset.

        The inputs have shape (n_maps, height, width, n_channels), scale and offset (1,).
        """
        if scale is None:
            maps = self.convolution_op(inputs, self.kernel)
        else:
            maps = _convolve_scaled(inputs, scale, offset, self.kernel)
        # JAX needs the strides, although they are the default.
        maps = ops.max_pool(maps, 2, strides=2, data_format="channels_last")
        return ops.relu(_add_bias(maps, self.bias))

    def compute_output_shape(self, input_shape, *_):
        """Return the shape of the pooled maps."""
        n_maps, height, width, n_filters = super().compute_output_shape(input_shape)
        return n_maps, height // 2, width // 2, n_filters


@keras.saving.register_keras_serializable(package="sklearn_pspd")
class SliceLSTM(keras.layers.Layer):
    """LSTM for few slices with a long feature vector per slice; it returns the last output.

    It has the weights and the outputs of :class:`keras.layers.LSTM`. The product of inputs and kernel, which takes
    nearly all of the time, is a single matrix product for all slices, instead of one product per slice, each with its
    own copy of the kernel.

    Parameters
    ----------
    units : int
        Number of memory cells.
    activation : str, default="tanh"
        Activation of cell and output.
    recurrent_activation : str or callable, default="sigmoid"
        Activation of the gates.
    """

    def __init__(self, units, *, activation="tanh", recurrent_activation="sigmoid", **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.activation = keras.activations.get(activation)
        self.recurrent_activation = keras.activations.get(recurrent_activation)

    def build(self, input_shape):
        """Create kernel, recurrent kernel and bias, with the gates in the order input, forget, cell, output."""
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 4 * self.units))
        # The recurrence is a small computation; it keeps the precision of the weights under mixed precision.
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(self.units, 4 * self.units), autocast=False
        )
        self.bias = self.add_weight(name="bias", shape=(4 * self.units,), initializer="zeros", autocast=False)

    def call(self, inputs):
        """Process slices of shape (n_patients, n_slices, n_features) in order."""
        return self.recur(self.project(inputs))

    def project(self, inputs):
        """Return the part of all gates that depends on the inputs alone, (n_patients, n_slices, 4 * units)."""
        _, n_slices, n_features = inputs.shape
        projected = ops.matmul(ops.reshape(inputs, (-1, n_features)), self.kernel)
        return ops.reshape(ops.cast(projected, self.variable_dtype), (-1, n_slices, 4 * self.units)) + self.bias

    def recur(self, projected):
        """Return the last output from projected slices, slice by slice."""
        output = cell = ops.zeros_like(projected[:, 0, : self.units])
        for step in range(projected.shape[1]):
            gates = projected[:, step] + ops.matmul(output, self.recurrent_kernel)
            enter, forget, candidate, leave = ops.split(gates, 4, axis=-1)
            cell = self.recurrent_activation(forget) * cell + self.recurrent_activation(enter) * self.activation(
                candidate
            )
            output = self.recurrent_activation(leave) * self.activation(cell)
        return ops.cast(output, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Return (n_patients, units)."""
        return input_shape[0], self.units

    def get_config(self):
        """Return the arguments from which Keras rebuilds the layer."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "recurrent_activation": keras.activations.serialize(self.recurrent_activation),
        }


@keras.saving.register_keras_serializable(package="sklearn_pspd")
class GatedAttention(keras.layers.Layer):
    """Mean of the slices' feature vectors, weighted by gated attention [1]_; the order of the slices has no effect.

    Parameters
    ----------
    units : int
        Number of units of the attention and of its gate.

    References
    ----------
    .. [1] Ilse M, Tomczak JM, Welling M. Attention-based deep multiple instance learning. ICML 2018, arXiv:1802.04712.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        """Create the kernels and biases of attention and gate, and the kernel of the scores."""
        for name in ("value", "gate"):
            kernel = self.add_weight(name=f"{name}_kernel", shape=(input_shape[-1], self.units))
            bias = self.add_weight(name=f"{name}_bias", shape=(self.units,), initializer="zeros")
            setattr(self, f"{name}_kernel", kernel)
            setattr(self, f"{name}_bias", bias)
        # The scores have no bias, which would not change the proportions.
        self.score_kernel = self.add_weight(name="score_kernel", shape=(self.units, 1))

    def call(self, inputs):
        """Return the weighted mean of the slices and their weights, of shape (n_patients, n_slices)."""
        value = ops.tanh(ops.matmul(inputs, self.value_kernel) + self.value_bias)
        gate = ops.sigmoid(ops.matmul(inputs, self.gate_kernel) + self.gate_bias)
        scores = ops.matmul(value * gate, self.score_kernel)[..., 0]
        # The softmax is a small computation; it keeps the precision of the weights under mixed precision.
        weights = ops.softmax(ops.cast(scores, self.variable_dtype), axis=-1)
        return ops.sum(inputs * ops.cast(weights, self.compute_dtype)[..., None], axis=1), weights

    def compute_output_spec(self, inputs):
        """Return the shapes and types of both outputs."""
        n_patients, n_slices, n_features = inputs.shape
        return (
            keras.KerasTensor((n_patients, n_features), dtype=self.compute_dtype),
            keras.KerasTensor((n_patients, n_slices), dtype=self.variable_dtype),
        )

    def get_config(self):
        """Return the arguments from which Keras rebuilds the layer."""
        return {**super().get_config(), "units": self.units}


def _has_fused_kernels(dtype):
    """Return whether the backend has fused kernels for this dtype; TensorFlow's batch normalisation has no float64."""
    return keras.backend.backend() == "tensorflow" and dtype != "float64"


def _add_bias(maps, bias):
    bias = ops.cast(bias, maps.dtype)
    if not _has_fused_kernels(maps.dtype):
        return maps + bias
    import tensorflow as tf

    # The gradient of bias_add sums over pixels three times as fast as the gradient of a broadcast sum.
    return tf.nn.bias_add(maps, bias)


def _weighted_moments(maps, weights):
    """Return mean and variance of each channel, over all pixels of maps of which each has a weight."""
    # The weight of one pixel as a proportion of the total weight of all pixels of all maps.
    proportion = ops.reshape(ops.cast(weights, maps.dtype), (-1, 1, 1, 1))
    proportion = proportion / (ops.sum(proportion) * float(np.prod(maps.shape[1:3])))
    mean = ops.sum(proportion * maps, axis=(0, 1, 2))
    return mean, ops.sum(proportion * ops.square(maps - mean), axis=(0, 1, 2))


def _convolve_scaled(maps, scale, offset, kernel):
    """Convolve ``scale * maps + offset`` with "same" padding; the maps have one channel. It has its own gradient.

    A network is trained with respect to scale, offset and kernel. Their gradients are found together, without the
    gradient with respect to the maps, which a compiled function then does not compute.
    """
    # The sum is the value of the variable: outside of a compiled function, TensorFlow would otherwise expect that
    # gradients of variables are returned as well.
    kernel = ops.convert_to_tensor(kernel) + 0

    @ops.custom_gradient
    def convolve(maps, scale, offset, kernel):
        outputs = ops.conv(scale * maps + offset, kernel, padding="same", data_format="channels_last")

        def gradient(*args, upstream=None):
            # Keras passes the upstream gradient by position or by name, depending on the backend.
            upstream = args[0] if upstream is None else upstream
            of_parameters = _gradients_of_parameters(maps, scale, offset, kernel, upstream)
            return scale * _gradient_of_maps(kernel, upstream), *of_parameters

        return outputs, gradient

    return convolve(maps, scale, offset, kernel)


# The forward pass is output[y, x, f] = sum over i, j of inputs[y + i, x + j] * kernel[i, j, f], with the padded inputs
# scale * maps + offset inside of the image, and 0 outside. A tap is one position (i, j) of the kernel. With an odd
# number of padding pixels, "same" puts the extra one after the maps.


def _padding(size):
    return (size - 1) // 2, size // 2


def _gradients_of_parameters(maps, scale, offset, kernel, upstream):
    """Return the gradients with respect to scale, offset and kernel.

    With the sums of_maps[i, j, f] = sum over y, x of maps[y + i, x + j] * upstream[y, x, f], and of_ones, the same with
    1 inside of the image, all three are small sums: kernel, scale * of_maps + offset * of_ones; scale, the sum of
    kernel * of_maps; offset, the sum of kernel * of_ones.
    """
    size, _, _, n_filters = kernel.shape
    _, height, width, _ = maps.shape
    taps = [(i, j) for i in range(size) for j in range(size)]
    padding = ((0, 0), _padding(size), _padding(size))
    padded, ones = ops.pad(maps[..., 0], padding), ops.pad(ops.ones_like(maps[..., 0]), padding)
    shifted = ops.stack([image[:, i : i + height, j : j + width] for image in (padded, ones) for i, j in taps], axis=1)
    # For each image a product of its shifted maps (2 taps x pixels) and the upstream gradient (pixels x filters). The
    # sum over images is taken in at least float32.
    sums = ops.matmul(
        ops.reshape(shifted, (-1, 2 * len(taps), height * width)),
        ops.reshape(upstream, (-1, height * width, n_filters)),
    )
    sums = ops.sum(ops.cast(sums, keras.backend.result_type(maps.dtype, "float32")), axis=0)
    of_maps, of_ones = (ops.reshape(half, kernel.shape) for half in ops.split(sums, 2))
    scale, offset, weights = (ops.cast(values, sums.dtype) for values in (scale, offset, kernel))
    gradients = [ops.sum(weights * of_maps)[None], ops.sum(weights * of_ones)[None], scale * of_maps + offset * of_ones]
    return [ops.cast(gradient, kernel.dtype) for gradient in gradients]


def _gradient_of_maps(kernel, upstream):
    """Return the gradient with respect to the inputs, without their scale.

    It is d inputs[y, x] = sum over i, j, f of upstream[y - i + before, x - j + before, f] * kernel[i, j, f]. With a
    single input channel it is a convolution of many channels into one, which the convolution library computes at a
    fraction of the memory bandwidth. The sum over f is a matrix product, which gives one image per tap; these images
    are shifted by their taps and added.
    """
    size, _, _, n_filters = kernel.shape
    _, height, width, _ = upstream.shape
    before, after = _padding(size)
    per_tap = ops.matmul(upstream, ops.transpose(ops.reshape(kernel, (size**2, n_filters))))
    per_tap = ops.pad(per_tap, ((0, 0), (after, before), (after, before), (0, 0)))
    taps = enumerate((i, j) for i in range(size) for j in range(size))
    return sum(
        per_tap[:, size - 1 - i : size - 1 - i + height, size - 1 - j : size - 1 - j + width, k : k + 1]
        for k, (i, j) in taps
    )
