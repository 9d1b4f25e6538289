"""Devices, arithmetic and settings of the process under which networks are built and trained."""

import contextlib
import functools
import importlib.metadata
import os
import platform
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import keras

from sklearn_pspd.exceptions import InputError

from .specification import NetworkSpec, training_flops

BFLOAT16_FLOPS = 1e9

# The widest ones come first; kernels are chosen by them.
VECTOR_INSTRUCTIONS = {"amx_tile": "AMX", "avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "asimd": "NEON"}

# Process that uses networks; a copy of it made by fork inherits locks of threads that it does not have.
_owner_pid = None


def choose_precision(spec: NetworkSpec, batch_size: int) -> str:
    """Choose the arithmetic of a network by its size and by the device.

    Parameters
    ----------
    spec : NetworkSpec
        Specification of the network.
    batch_size : int
        Number of patients per step.

    Returns
    -------
    {"float32", "mixed_bfloat16"}
        "mixed_bfloat16" if the device has bfloat16 instructions and a training step has at least 1 GFLOP.
    """
    is_large = training_flops(spec, batch_size) >= BFLOAT16_FLOPS
    return "mixed_bfloat16" if is_large and has_native_bfloat16() else "float32"


def check_precision(precision: str) -> None:
    """Refuse an arithmetic that the backend would replace by another without a word.

    Parameters
    ----------
    precision : str
        Arithmetic of a network.

    Raises
    ------
    InputError
        If it is "float64" and JAX computes in float32.
    """
    if precision == "float64" and keras.backend.backend() == "jax":
        import jax

        if not jax.config.jax_enable_x64:
            raise InputError(
                'precision="float64" needs jax.config.update("jax_enable_x64", True); JAX would otherwise compute in '
                "float32"
            )


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
    return bool({"avx512_bf16", "amx_bf16"} & _processor()[1])


def describe_device() -> str:
    """Describe what computes networks in this process: everything that the last digits of their predictions depend on.

    Returns
    -------
    str
        Device, number of cores, vector instructions, backend and, for TensorFlow, whether oneDNN is used.

    Examples
    --------
    >>> from sklearn_pspd.neural_network.devices import describe_device
    >>> describe_device()  # doctest: +ELLIPSIS
    '... cores...'
    """
    backend = keras.backend.backend()
    details = [f"{backend} {importlib.metadata.version(backend)}"]
    if backend == "tensorflow":
        import tensorflow as tf

        if gpus := tf.config.list_physical_devices("GPU"):
            name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
            return ", ".join([f"{len(gpus)} x {name}", *details])
        details.append(f"oneDNN {'off' if os.environ.get('TF_ENABLE_ONEDNN_OPTS') == '0' else 'on'}")
        if threads := tf.config.threading.get_intra_op_parallelism_threads():
            details.append(f"{threads} threads per operation")
    model, flags = _processor()
    vectors = next((name for flag, name in VECTOR_INSTRUCTIONS.items() if flag in flags), None)
    return ", ".join(filter(None, [model, f"{_n_cores()} cores", vectors, *details]))


def n_concurrent_members(n_members: int) -> int:
    """Return how many members of an ensemble are trained at the same time: one per processor core, one on a GPU.

    Parameters
    ----------
    n_members : int
        Number of members.

    Returns
    -------
    int
        Number of threads. Only compiled TensorFlow functions leave the interpreter free for another thread.
    """
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return 1
    return min(n_members, _n_cores())


def _n_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> tuple[str, set[str]]:
    """Return the name of the processor and its instruction sets, as far as Linux lists them."""
    listing = Path("/proc/cpuinfo")
    text = listing.read_text() if listing.exists() else ""
    fields = dict(re.findall(r"^([^\t:]+?)\s*: (.*)$", text, re.MULTILINE))
    return fields.get("model name", platform.processor() or platform.machine()), set(fields.get("flags", "").split())


class Turns:
    """Context in which one fit or prediction of the process runs, under the settings that this library assumes.

    TensorFlow is restricted to deterministic kernels, and the settings of Keras that other code may have changed
    (floating-point type, dtype policy, order of image axes, eager execution) have their defaults. Everything is
    restored at the end of the outermost block. A fit may predict within its own turn; other threads wait.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0

    @contextlib.contextmanager
    def take(self) -> Iterator[None]:
        """Wait for the turn, and hold it for the duration of a ``with`` block."""
        check_process()
        with self._lock, contextlib.ExitStack() as stack:
            if self._depth == 0:
                stack.enter_context(deterministic_ops())
                stack.enter_context(default_settings())
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1


TURNS = Turns()


def check_process() -> None:
    """Remember the process that uses networks, and refuse to use them in a copy of it made by fork.

    Raises
    ------
    RuntimeError
        If the process was forked from one that had used networks. TensorFlow's threads do not exist in such a process,
        so that its first operation would wait for ever.
    """
    global _owner_pid
    if _owner_pid is None:
        _owner_pid = os.getpid()
    if _owner_pid != os.getpid():
        raise RuntimeError(
            "this process was forked from one that had already used a network, and TensorFlow cannot run in it; start "
            'processes with joblib\'s default backend ("loky") or with multiprocessing.get_context("spawn")'
        )


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


@contextlib.contextmanager
def default_settings() -> Iterator[None]:
    """Give the settings of Keras and TensorFlow that change results their defaults, and restore them afterwards."""
    config = keras.config
    with contextlib.ExitStack() as stack:
        for get, set_value, default in (
            (config.floatx, config.set_floatx, "float32"),
            (config.image_data_format, config.set_image_data_format, "channels_last"),
            (config.dtype_policy, config.set_dtype_policy, keras.DTypePolicy("float32")),
        ):
            stack.callback(set_value, get())
            set_value(default)
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            stack.callback(tf.config.run_functions_eagerly, tf.config.functions_run_eagerly())
            tf.config.run_functions_eagerly(False)
        yield


@functools.cache
def let_gpu_memory_grow() -> None:
    """Prevent TensorFlow from reserving all memory of a GPU, so that several processes can share it."""
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        # TensorFlow raises if the GPU is in use already; the setting made by its first user then stays.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)
