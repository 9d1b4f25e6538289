"""Displays of a study's results, in scikit-learn's manner."""

from .comparison import ComparisonDisplay

__all__ = ["ComparisonDisplay"]
