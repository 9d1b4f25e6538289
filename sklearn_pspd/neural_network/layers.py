"""Layers of the network that the stock ones do slowly or cannot do."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="sklearn_pspd")
def hard_sigmoid_keras2(x):
    """Return min(1, max(0, 0.2 x + 0.5)), the hard sigmoid of Keras 2; Keras 3 has another slope."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


@keras.saving.register_keras_serializable(package="sklearn_pspd")
class WeightedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation whose statistics count each map as often as its weight says.

    Without weights it computes what :class:`keras.layers.BatchNormalization` does, in one fused pass over the maps
    where the backend has one.

    Notes
    -----
    The stock layer copies bfloat16 maps to float32 and reads them six times.
    """

    def call(self, inputs, weights=None, training=None):
        """Normalise maps of shape (n_maps, height, width, n_channels); weights of shape (n_maps,) or None."""
        if training and weights is not None:
            outputs, mean, variance = self._normalise_weighted(inputs, weights)
        elif not self.synchronized and _has_fused_kernels(self.compute_dtype):
            outputs, mean, variance = self._normalise_fused(inputs, training)
        else:
            return super().call(inputs, training=training)
        if not training:
            return outputs
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            batch = ops.cast(batch, moving.dtype)
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs

    def _normalise_weighted(self, inputs, weights):
        maps = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        share = ops.reshape(ops.cast(weights, maps.dtype), (-1, 1, 1, 1))
        share = share / (ops.sum(share) * float(np.prod(inputs.shape[1:3])))
        mean = ops.sum(share * maps, axis=(0, 1, 2))
        variance = ops.sum(share * ops.square(maps - mean), axis=(0, 1, 2))
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
        # The fused kernel gives the sample variance, n - 1 in the denominator; Keras keeps the population's.
        n_values = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), "float32")
        return outputs, mean, variance * (n_values - 1) / n_values


@keras.saving.register_keras_serializable(package="sklearn_pspd")
class PooledConv2D(keras.layers.Conv2D):
    """Convolution, then the maximum of each 2 x 2 square, then bias and ReLU.

    Bias and ReLU are monotone and the same at every pixel, so they commute with the maximum; after it they have a
    quarter of the pixels to do, forth and back.

    Parameters
    ----------
    filters, kernel_size, **kwargs
        As in :class:`keras.layers.Conv2D`.
    pool_padding : {"valid", "same"}, default="valid"
        What happens to an odd last row or column: it is left out, or pooled with nothing.
    """

    def __init__(self, filters, kernel_size, *, pool_padding="valid", **kwargs):
        super().__init__(filters, kernel_size, **kwargs)
        self.pool_padding = pool_padding

    def call(self, inputs):
        """Return maps of half the height and width."""
        convolve = _convolve_one_channel if inputs.shape[-1] == 1 else self.convolution_op
        maps = ops.max_pool(convolve(inputs, self.kernel), 2, padding=self.pool_padding)
        return ops.relu(_add_bias(maps, self.bias))

    def compute_output_shape(self, input_shape):
        """Return the shape after pooling."""
        n_maps, height, width, n_filters = super().compute_output_shape(input_shape)
        up = 1 if self.pool_padding == "same" else 0
        return n_maps, (height + up) // 2, (width + up) // 2, n_filters

    def get_config(self):
        """Return what rebuilds the layer."""
        return {**super().get_config(), "pool_padding": self.pool_padding}


@keras.saving.register_keras_serializable(package="sklearn_pspd")
class SliceLSTM(keras.layers.Layer):
    """LSTM over a few slices with a long vector each, which returns its last output.

    The same weights and numbers as :class:`keras.layers.LSTM`; but the product of inputs and kernel, nearly all of the
    work, is one matrix product for all slices instead of one a slice, each with its own copy of the kernel.

    Parameters
    ----------
    units : int
        Memory cells.
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
        """Add kernel, recurrent kernel and bias, with the gates in the order input, forget, cell, output."""
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 4 * self.units))
        # The recurrence is small: it stays in the precision of the weights.
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(self.units, 4 * self.units), autocast=False
        )
        self.bias = self.add_weight(name="bias", shape=(4 * self.units,), initializer="zeros", autocast=False)

    def call(self, inputs):
        """Read slices of shape (n_patients, n_slices, n_features) in order."""
        _, n_slices, n_features = inputs.shape
        projected = ops.matmul(ops.reshape(inputs, (-1, n_features)), self.kernel)
        projected = ops.reshape(ops.cast(projected, self.variable_dtype), (-1, n_slices, 4 * self.units)) + self.bias
        output = cell = ops.zeros_like(projected[:, 0, : self.units])
        for step in range(n_slices):
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
        """Return what rebuilds the layer."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "recurrent_activation": keras.activations.serialize(self.recurrent_activation),
        }


def _has_fused_kernels(dtype):
    return keras.backend.backend() == "tensorflow" and dtype != "float64"


def _add_bias(maps, bias):
    bias = ops.cast(bias, maps.dtype)
    if not _has_fused_kernels(maps.dtype):
        return maps + bias
    import tensorflow as tf

    # Its gradient sums over pixels three times as fast as that of a broadcast sum.
    return tf.nn.bias_add(maps, bias)


def _convolve_one_channel(maps, kernel):
    """Convolve maps of one channel, zero-padded at the bottom and the right as "same" padding does.

    The gradient with respect to the maps is a matrix product and a few shifts: the convolution library computes that of
    many channels into one at a fraction of the speed of memory.
    """
    kernel = ops.convert_to_tensor(kernel)

    @ops.custom_gradient
    def convolve(maps, kernel):
        outputs = ops.conv(maps, kernel, padding="same")

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            return _one_channel_gradients(maps, kernel, upstream)

        return outputs, gradient

    return convolve(maps, kernel)


def _one_channel_gradients(maps, kernel, upstream):
    size, _, _, n_filters = kernel.shape
    _, height, width, _ = maps.shape
    # "same" puts the odd pixel of padding after the maps.
    before, after = (size - 1) // 2, size // 2
    padded = ops.pad(maps[..., 0], ((0, 0), (before, after), (before, after)))
    taps = [(i, j) for i in range(size) for j in range(size)]
    shifted = ops.stack([padded[:, i : i + height, j : j + width] for i, j in taps], axis=1)
    upstream = ops.reshape(upstream, (-1, height * width, n_filters))
    of_kernel = ops.matmul(ops.reshape(shifted, (-1, len(taps), height * width)), upstream)
    of_kernel = ops.sum(ops.cast(of_kernel, keras.backend.result_type(maps.dtype, "float32")), axis=0)
    of_kernel = ops.cast(ops.reshape(of_kernel, kernel.shape), kernel.dtype)
    # What each output pixel sends back to the pixel under each tap, moved there.
    sent = ops.matmul(upstream, ops.transpose(ops.reshape(kernel, (len(taps), n_filters))))
    sent = ops.pad(
        ops.reshape(sent, (-1, height, width, len(taps))), ((0, 0), (after, before), (after, before), (0, 0))
    )
    of_maps = sum(
        sent[:, size - 1 - i : size - 1 - i + height, size - 1 - j : size - 1 - j + width, k]
        for k, (i, j) in enumerate(taps)
    )
    return of_maps[..., None], of_kernel
