"""Displays of networks, images and a study's results, in scikit-learn's manner."""

from .calibration import CalibrationCurveDisplay
from .comparison import ComparisonDisplay
from .confusion_matrix import ConfusionMatrixDisplay
from .decision_curves import DecisionCurveDisplay
from .flow import FlowDisplay
from .fold_curves import FoldCurvesDisplay
from .negative_control import NegativeControlDisplay
from .network import NetworkDisplay
from .search import SequentialSearchDisplay
from .slices import SliceStackDisplay
from .thresholds import ThresholdDisplay

__all__ = [
    "CalibrationCurveDisplay",
    "ComparisonDisplay",
    "ConfusionMatrixDisplay",
    "DecisionCurveDisplay",
    "FlowDisplay",
    "FoldCurvesDisplay",
    "NegativeControlDisplay",
    "NetworkDisplay",
    "SequentialSearchDisplay",
    "SliceStackDisplay",
    "ThresholdDisplay",
]
