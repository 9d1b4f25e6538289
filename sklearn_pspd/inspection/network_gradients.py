"""Derivatives of a network's log odds with respect to its inputs and its feature maps, by TensorFlow."""

import numpy as np

BATCH_PIXELS = 2**20


class DifferentiableNetwork:
    """The log odds of one member's network as a differentiable function.

    Parameters
    ----------
    network : keras.Model
        A network of :class:`~sklearn_pspd.neural_network.CNNLSTMClassifier`, with its weights.
    """

    def __init__(self, network):
        self.network = network
        self._head = network.get_layer("head")
        self.input_names = [tensor.name for tensor in network.inputs]
        self.n_blocks = sum(layer.name.startswith("conv_") for layer in network.layers)
        self._models = {}

    def log_odds(self, stacks, clinical):
        """Return the log odds of the second class.

        Parameters
        ----------
        stacks : ndarray of shape (n_patients, n_slices, height, width) or None
            Standardised stacks.
        clinical : ndarray of shape (n_patients, n_encoded)
            Encoded clinical columns.

        Returns
        -------
        ndarray of shape (n_patients,)
            Log odds.
        """
        return self._in_batches(stacks, clinical, lambda *inputs: (self._forward(inputs)[1].numpy(),))[0]

    def input_gradients(self, stacks, clinical):
        """Return the log odds and their gradients with respect to both inputs.

        Parameters
        ----------
        stacks : ndarray of shape (n_patients, n_slices, height, width) or None
            Standardised stacks.
        clinical : ndarray of shape (n_patients, n_encoded)
            Encoded clinical columns.

        Returns
        -------
        log_odds : ndarray of shape (n_patients,)
            Log odds.
        of_stacks : ndarray of shape (n_patients, n_slices, height, width) or None
            Gradient per standardised grey value.
        of_clinical : ndarray of shape (n_patients, n_encoded)
            Gradient per encoded unit.
        """
        import tensorflow as tf

        def differentiate(*inputs):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(inputs)
                _, log_odds = self._forward(inputs)
            gradients = tape.gradient(log_odds, list(inputs))
            return (log_odds.numpy(), *(gradient.numpy() for gradient in gradients))

        log_odds, *gradients = self._in_batches(stacks, clinical, differentiate)
        by_name = dict(zip(self.input_names, gradients, strict=True))
        none = np.zeros((len(log_odds), 0), dtype=np.float32)
        return log_odds, by_name.get("stack"), by_name.get("clinical", none)

    def block_gradients(self, stacks, clinical, block):
        """Return the feature maps of a convolution block, and the gradients of the log odds with respect to them.

        Parameters
        ----------
        stacks : ndarray of shape (n_patients, n_slices, height, width)
            Standardised stacks.
        clinical : ndarray of shape (n_patients, n_encoded)
            Encoded clinical columns.
        block : int
            Number of the block, from 1.

        Returns
        -------
        features, gradients : ndarray of shape (n_patients, n_slices, block_height, block_width, n_filters)
            After convolution, ReLU and pooling.
        """
        import tensorflow as tf

        def differentiate(*inputs):
            # Watching an input records what is computed from it, feature maps included.
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(inputs)
                features, log_odds = self._forward(inputs, block)
            gradient = tape.gradient(log_odds, features)
            shape = (-1, stacks.shape[1], *features.shape[1:])
            return tuple(tf.cast(tf.reshape(part, shape), tf.float32).numpy() for part in (features, gradient))

        return self._in_batches(stacks, clinical, differentiate)

    def _forward(self, inputs, block=None):
        """Return the feature maps of a block, if asked for, and the log odds."""
        import keras
        import tensorflow as tf

        if block not in self._models:
            outputs = [] if block is None else [self._block_output(block)]
            self._models[block] = keras.Model(self.network.inputs, [*outputs, self._head.input])
        found = self._models[block](list(inputs), training=False)
        *features, fused = found if isinstance(found, list | tuple) else [found]
        kernel, bias = self._head.kernel, self._head.bias
        log_odds = tf.matmul(tf.cast(fused, kernel.dtype), tf.convert_to_tensor(kernel))[:, 0] + bias[0]
        return features[0] if features else None, log_odds

    def _block_output(self, block):
        names = {layer.name for layer in self.network.layers}
        # With normalisation after the convolution, pooling is a layer of its own.
        name = f"pool_{block}" if f"pool_{block}" in names else f"conv_{block}"
        return self.network.get_layer(name).output

    def _in_batches(self, stacks, clinical, function):
        import tensorflow as tf

        from sklearn_pspd.neural_network.devices import TURNS

        arrays = [{"stack": stacks, "clinical": clinical}[name] for name in self.input_names]
        dtype = "float64" if "float64" in str(self._head.kernel.dtype) else "float32"
        size = max(1, BATCH_PIXELS // max(1, int(np.prod(arrays[0].shape[1:]))))
        starts = range(0, len(arrays[0]), size)
        with TURNS.take():
            results = [
                function(*(tf.constant(array[start : start + size], dtype) for array in arrays)) for start in starts
            ]
        return tuple(np.concatenate(parts) for parts in zip(*results, strict=True))
