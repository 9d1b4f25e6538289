"""The protocol: comparison of models, tuning, thresholds and negative controls."""

from .comparison import ModelComparison
from .kept_fits import KeptFits
from .leakage import audit_leaks, single_feature_aucs
from .negative_control import NegativeControl, negative_control
from .nested import NestedValidation, nested_cross_validate
from .search import SequentialSearchCV
from .thresholds import (
    LearnedThreshold,
    cost_score,
    equal_error_score,
    fixed_sensitivity_score,
    learn_threshold,
    level_scores,
    optimistic_threshold,
    youden_score,
)
from .validation import compare_models

__all__ = [
    "KeptFits",
    "LearnedThreshold",
    "ModelComparison",
    "NegativeControl",
    "NestedValidation",
    "SequentialSearchCV",
    "audit_leaks",
    "compare_models",
    "cost_score",
    "equal_error_score",
    "fixed_sensitivity_score",
    "learn_threshold",
    "level_scores",
    "negative_control",
    "nested_cross_validate",
    "optimistic_threshold",
    "single_feature_aucs",
    "youden_score",
]
