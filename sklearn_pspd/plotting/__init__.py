"""Displays of networks, images and a study's results, in scikit-learn's manner."""

from .calibration import CalibrationCurveDisplay
from .comparison import ComparisonDisplay
from .decision_curves import DecisionCurveDisplay
from .flow import FlowDisplay
from .negative_control import NegativeControlDisplay
from .network import NetworkDisplay
from .search import LadderDisplay
from .slices import SliceStackDisplay
from .thresholds import ThresholdDisplay

__all__ = [
    "CalibrationCurveDisplay",
    "ComparisonDisplay",
    "DecisionCurveDisplay",
    "FlowDisplay",
    "LadderDisplay",
    "NegativeControlDisplay",
    "NetworkDisplay",
    "SliceStackDisplay",
    "ThresholdDisplay",
]
