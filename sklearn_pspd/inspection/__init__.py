"""What a fitted model looks at: contributions, maps, shortcuts, robustness, and how easily it is fooled."""

from .contributions import PermutationContribution, permutation_contribution
from .shapley import ShapleyValues, shapley_values

__all__ = [
    "PermutationContribution",
    "ShapleyValues",
    "permutation_contribution",
    "shapley_values",
]
