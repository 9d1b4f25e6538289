"""The CNN-LSTM: classifier, architecture, training and model files. Keras is imported at the first use of a name."""

from importlib import import_module

_HOMES = {"CNNLSTMClassifier": "classifier", "NetworkSpec": "architecture"}

__all__ = ["CNNLSTMClassifier", "NetworkSpec"]


def __getattr__(name):
    if name in _HOMES:
        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
