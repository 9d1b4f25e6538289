"""Displays of networks, images and a study's results, in scikit-learn's manner."""

from .aucs import AUCDisplay
from .calibration import CalibrationCurveDisplay
from .comparison import ComparisonDisplay
from .confusion_matrix import ConfusionMatrixDisplay
from .contributions import ContributionDisplay, ShapleyDisplay
from .decision_curves import DecisionCurveDisplay
from .failures import FailureDisplay
from .flow import FlowDisplay
from .fold_curves import FoldCurvesDisplay
from .negative_control import NegativeControlDisplay
from .network import NetworkDisplay
from .robustness import RobustnessDisplay
from .search import SequentialSearchDisplay
from .shortcuts import ShortcutDisplay
from .slice_maps import SliceMapDisplay
from .slices import SliceStackDisplay
from .thresholds import ThresholdDisplay

__all__ = [
    "AUCDisplay",
    "CalibrationCurveDisplay",
    "ComparisonDisplay",
    "ConfusionMatrixDisplay",
    "ContributionDisplay",
    "DecisionCurveDisplay",
    "FailureDisplay",
    "FlowDisplay",
    "FoldCurvesDisplay",
    "NegativeControlDisplay",
    "NetworkDisplay",
    "RobustnessDisplay",
    "SequentialSearchDisplay",
    "ShapleyDisplay",
    "ShortcutDisplay",
    "SliceMapDisplay",
    "SliceStackDisplay",
    "ThresholdDisplay",
]
