"""Displays of networks, images and a study's results, in scikit-learn's manner."""

from .calibration import CalibrationCurveDisplay, DecisionCurveDisplay
from .comparison import ComparisonDisplay
from .controls import NegativeControlDisplay
from .flow import FlowDisplay
from .network import NetworkDisplay
from .slices import SliceStackDisplay
from .thresholds import ThresholdDisplay
from .tuning import LadderDisplay

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
