"""The CNN-LSTM: classifier, architecture, training and model files. Keras is imported at the first use of a name."""

import os
from importlib import import_module

# TensorFlow switches oneDNN on by itself on processors with AVX-512 only; without it a small network trains several
# times more slowly on others. Read when TensorFlow is imported, and only if nothing else was set.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

_HOMES = {"CNNLSTMClassifier": "classifier", "NetworkSpec": "specification"}

__all__ = ["CNNLSTMClassifier", "NetworkSpec"]


def __getattr__(name):
    if name in _HOMES:
        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
