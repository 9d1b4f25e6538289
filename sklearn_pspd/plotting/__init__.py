"""Displays of a study's results, in scikit-learn's manner."""

from .comparison import ComparisonDisplay
from .flow import FlowDisplay

__all__ = ["ComparisonDisplay", "FlowDisplay"]
