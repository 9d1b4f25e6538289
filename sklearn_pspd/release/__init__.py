"""A released model: its folder with card, ranges and a check of its arithmetic, and its prediction for new patients."""

from .export import export_model
from .prediction import predict_patients, training_distance
from .reading import ReleasedModel, load_model
from .results import write_predictions

__all__ = [
    "ReleasedModel",
    "export_model",
    "load_model",
    "predict_patients",
    "training_distance",
    "write_predictions",
]
