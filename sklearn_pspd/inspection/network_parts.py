"""A fitted CNN-LSTM in three parts: slices to vectors, vectors of slices to one per patient, and the log odds."""

import numpy as np

BATCH_VALUES = 2**22  # values of the inputs of a part that are computed at once


class NetworkParts:
    """One member's network, cut before its sequence layer and before its fusion.

    A patient's slices are encoded independently of each other, so a stack that takes slices from several patients, or
    has one changed slice, needs no further convolutions.

    Parameters
    ----------
    network : keras.Model
        A network of :class:`~sklearn_pspd.neural_network.CNNLSTMClassifier`, with its weights.
    """

    def __init__(self, network):
        import keras

        layers = {layer.name: layer for layer in network.layers}
        inputs = {tensor.name: tensor for tensor in network.inputs}
        self.head = layers["head"]
        self.n_features_image = 0
        image_vector = None
        if "stack" in inputs:
            sequence = next(layers[name] for name in ("lstm", "attention", "mean") if name in layers)
            # The products of the LSTM with its inputs are as independent as the convolutions, and much shorter.
            self._lstm = sequence if sequence.name == "lstm" else None
            combined = sequence.output if self._lstm is not None else sequence.input
            image_vector = layers["fusion"].input[0] if "fusion" in layers else self.head.input
            self._slices = keras.Model(inputs["stack"], sequence.input)
            self._combine = keras.Model(combined, image_vector)
            self.n_features_image = int(image_vector.shape[-1])
        parts = [tensor for tensor in (image_vector, inputs.get("clinical")) if tensor is not None]
        # Without clinical columns and dropout, the result of the image branch is what the last layer takes.
        is_last = len(parts) == 1 and parts[0] is self.head.input
        self._fused = None if is_last else keras.Model(parts, self.head.input)

    def encode_slices(self, stacks):
        """Encode the slices of stacks.

        Parameters
        ----------
        stacks : ndarray of shape (n_patients, n_slices, height, width)
            Standardised stacks. The number of slices is that of the network.

        Returns
        -------
        ndarray of shape (n_patients, n_slices, n_features)
            One vector per slice.
        """

        def encode(block):
            vectors = self._slices(block, training=False)
            return vectors if self._lstm is None else self._lstm.project(vectors)

        return _in_blocks(encode, [stacks])

    def combine_slices(self, slices):
        """Return one vector per patient.

        Parameters
        ----------
        slices : ndarray of shape (n_patients, n_slices, n_features)
            Vectors of :meth:`encode_slices`.

        Returns
        -------
        ndarray of shape (n_patients, n_features_image)
            The result of the image branch.
        """

        def combine(block):
            return self._combine(block if self._lstm is None else self._lstm.recur(block), training=False)

        return _in_blocks(combine, [slices])

    def encode_images(self, stacks):
        """Return the result of the image branch.

        Parameters
        ----------
        stacks : ndarray of shape (n_patients, n_slices, height, width)
            Standardised stacks.

        Returns
        -------
        ndarray of shape (n_patients, n_features_image)
            One vector per patient.
        """
        return self.combine_slices(self.encode_slices(stacks))

    def log_odds(self, image_vectors, clinical):
        """Return the log odds of the second class.

        Parameters
        ----------
        image_vectors : ndarray of shape (n_patients, n_features_image)
            Results of the image branch; ignored by a network without one.
        clinical : ndarray of shape (n_patients, n_encoded)
            Encoded clinical columns; ignored by a network without them.

        Returns
        -------
        ndarray of shape (n_patients,), dtype float64
            Log odds.
        """
        parts = [part for part in (image_vectors, clinical) if part is not None and part.shape[1]]
        fused = parts[0]
        if self._fused is not None:
            fused = _in_blocks(lambda *block: self._fused(list(block), training=False), parts)
        kernel, bias = (np.asarray(weights, dtype=np.float64) for weights in self.head.get_weights())
        return fused.astype(np.float64) @ kernel[:, 0] + bias[0]


def network_parts(classifier):
    """Cut the networks of a fitted classifier.

    Parameters
    ----------
    classifier : CNNLSTMClassifier
        Fitted.

    Returns
    -------
    list of NetworkParts
        One per member.
    """
    return [NetworkParts(network) for network in classifier.networks_]


def _in_blocks(function, arrays):
    """Apply a function of tensors to blocks of rows, and return an array."""
    import keras

    from sklearn_pspd.neural_network.devices import TURNS

    n_rows = len(arrays[0])
    size = max(1, BATCH_VALUES // max(1, sum(int(np.prod(array.shape[1:])) for array in arrays)))
    results = []
    with TURNS.take():
        for start in range(0, n_rows, size):
            block = [keras.ops.convert_to_tensor(array[start : start + size]) for array in arrays]
            result = function(*block)
            if "bfloat16" in str(result.dtype):
                result = keras.ops.cast(result, "float32")
            results.append(keras.ops.convert_to_numpy(result))
    return np.concatenate(results)
