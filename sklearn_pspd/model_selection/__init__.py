"""The protocol: comparison of models, tuning, thresholds and negative controls."""

from .audit import audit_leaks
from .comparison import ModelComparison
from .controls import NegativeControl, negative_control
from .nesting import NestedValidation, nested_cross_validate
from .thresholds import (
    LearnedThreshold,
    cost_score,
    equal_error_score,
    fixed_sensitivity_score,
    learn_threshold,
    optimistic_threshold,
    youden_score,
)
from .tuning import LadderResult, LadderSearchCV, tune_ladder
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
