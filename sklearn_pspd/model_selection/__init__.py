"""The protocol: comparison of models, tuning, thresholds and negative controls."""

from .comparison import ModelComparison
from .leakage import audit_leaks
from .negative_control import NegativeControl, negative_control
from .nested import NestedValidation, nested_cross_validate
from .search import LadderResult, LadderSearchCV, tune_ladder
from .thresholds import (
    LearnedThreshold,
    cost_score,
    equal_error_score,
    fixed_sensitivity_score,
    learn_threshold,
    optimistic_threshold,
    youden_score,
)
from .validation import compare_models

__all__ = [
    "LadderResult",
    "LadderSearchCV",
    "LearnedThreshold",
    "ModelComparison",
    "NegativeControl",
    "NestedValidation",
    "audit_leaks",
    "compare_models",
    "cost_score",
    "equal_error_score",
    "fixed_sensitivity_score",
    "learn_threshold",
    "negative_control",
    "nested_cross_validate",
    "optimistic_threshold",
    "tune_ladder",
    "youden_score",
]
