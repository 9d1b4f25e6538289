"""Displays of networks, images and a study's results, in scikit-learn's manner."""

from .comparison import ComparisonDisplay
from .network import NetworkDisplay
from .slices import SliceStackDisplay

__all__ = ["ComparisonDisplay", "NetworkDisplay", "SliceStackDisplay"]
