"""Training of several steps per call of a compiled function, on blocks of consecutive batches."""

import contextlib
import threading

import keras
import numpy as np

from .callbacks import LearningRates

MAX_BLOCK_BYTES = 8 * 2**20

# Tracing functions in several threads at once is not supported by Keras.
_tracing = threading.Lock()


def steps_per_block(spec, batch_size):
    """Return the number of training steps per block, so that a block has at most 8 MiB.

    Parameters
    ----------
    spec : NetworkSpec
        Specification of the network.
    batch_size : int
        Number of patients per step.

    Returns
    -------
    int
        At least one. It is one where Keras' own training function is used, which takes one step per call.
    """
    if not _can_train_in_blocks(spec):
        return 1
    n_values = spec.n_pixels + spec.n_clinical
    return max(1, MAX_BLOCK_BYTES // (4 * n_values * batch_size))


def train_in_blocks(network, spec):
    """Replace the training function of a compiled network by one that takes several steps per call, where possible.

    Parameters
    ----------
    network : keras.Model
        A compiled network.
    spec : NetworkSpec
        Its specification.
    """
    if _can_train_in_blocks(spec):
        # Keras' make_train_function, which fit calls, keeps a function that exists.
        network.train_function = BlockTraining(network)


class BlockTraining:
    """Training function of Keras that takes one step for each batch of a block, within one TensorFlow function.

    Each step is Keras' own ``train_step``. With a block of one batch it does the same as Keras' training function.

    Parameters
    ----------
    network : keras.Model
        The compiled network.

    Attributes
    ----------
    batch_size : int
        Number of patients per step; the last batch of a block may be smaller.
    learning_rates : ndarray or None
        Learning rate of each step of the fit; None leaves the learning rate of the optimiser.
    blocks : PatientBatches or None
        Blocks of the fit, if Keras passes their numbers; None if it passes the blocks themselves.
    """

    def __init__(self, network):
        self.network, self.batch_size, self.learning_rates, self.blocks = network, 1, None, None
        self._compiled = {}

    def __call__(self, iterator):
        """Take the steps of the next block, and return the mean loss of the epoch up to now."""
        block = iterator.get_next() if self.blocks is None else self._read(int(iterator.get_next()))
        arguments = [*block, np.int32(self.batch_size)]
        if self.learning_rates is not None:
            arguments.append(np.asarray(self.learning_rates, dtype=np.float32))
        return self._function(len(arguments))(*arguments)

    def _read(self, index):
        # As for a dataset that Keras reads, the order of each epoch is a new one, also that of the first.
        if index == 0:
            self.blocks.on_epoch_end()
        return self.blocks[index]

    def _function(self, n_arguments):
        with _tracing:
            if n_arguments not in self._compiled:
                self._compiled[n_arguments] = self._compile(has_rates=n_arguments > 4)
            return self._compiled[n_arguments]

    def _compile(self, *, has_rates):
        import tensorflow as tf

        network = self.network
        inputs = {tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in network.inputs}
        dtype = network.outputs[0].dtype
        signature = [inputs, tf.TensorSpec((None, 1), dtype), tf.TensorSpec((None,), dtype), tf.TensorSpec((), "int32")]
        if has_rates:
            signature.append(tf.TensorSpec((None,), "float32"))

        @tf.autograph.experimental.do_not_convert
        def take_steps(inputs, targets, weights, batch_size, learning_rates=None):
            n_rows = tf.shape(targets)[0]

            def step(start):
                rows = slice(start, start + batch_size)
                if learning_rates is not None:
                    rate = learning_rates[tf.cast(network.optimizer.iterations.value, "int32")]
                    network.optimizer.learning_rate.assign(rate)
                batch = {name: values[rows] for name, values in inputs.items()}
                network.train_step((batch, targets[rows], weights[rows]))
                return (start + batch_size,)

            tf.while_loop(lambda start: start < n_rows, step, (0,), parallel_iterations=1)
            return network.get_metrics_result()

        return tf.function(take_steps, input_signature=signature)


def _can_train_in_blocks(spec):
    return keras.backend.backend() == "tensorflow" and spec.n_devices == 1


@contextlib.contextmanager
def numbers_of_blocks(network, blocks):
    """Yield what Keras reads in a fit: the blocks, or only their numbers if the training function reads the blocks.

    Keras would copy each block twice, and start a thread and a generator in each epoch, which for small networks takes
    a quarter of the time of a fit. For a network of one step per block this is negligible, and Keras reads a block
    while it trains on the one before.

    Parameters
    ----------
    network : keras.Model
        A network to which :func:`train_in_blocks` was applied.
    blocks : PatientBatches
        Blocks of the fit.

    Yields
    ------
    PatientBatches or tf.data.Dataset
        The first argument of Keras' ``fit``.
    """
    training = getattr(network, "train_function", None)
    if not isinstance(training, BlockTraining) or blocks.steps_per_block == 1:
        yield blocks
        return
    import tensorflow as tf

    # Autotuning would start a thread in each epoch, and wait for its end.
    options = tf.data.Options()
    options.autotune.enabled = False
    training.blocks = blocks
    try:
        yield tf.data.Dataset.range(len(blocks)).with_options(options)
    finally:
        # The network is kept for later fits, but not the patients of this one.
        training.blocks = None


def set_steps(network, batch_size, learning_rates):
    """Set batch size and learning rates of the next fit.

    Parameters
    ----------
    network : keras.Model
        A network to which :func:`train_in_blocks` was applied.
    batch_size : int
        Number of patients per step.
    learning_rates : ndarray of shape (n_steps,) or None
        Learning rate of each step of the fit; None leaves the learning rate of the optimiser.

    Returns
    -------
    list of keras.callbacks.Callback
        Callbacks that the fit needs in addition.
    """
    training = getattr(network, "train_function", None)
    if isinstance(training, BlockTraining):
        training.batch_size, training.learning_rates = batch_size, learning_rates
        return []
    return [] if learning_rates is None else [LearningRates(learning_rates)]
