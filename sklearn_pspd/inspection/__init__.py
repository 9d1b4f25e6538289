"""What a fitted model looks at: contributions, maps, shortcuts, robustness, and how easily it is fooled."""

from .contributions import PermutationContribution, permutation_contribution
from .map_checks import MapChecks
from .maps import SliceMaps, slice_maps
from .shapley import ShapleyValues, shapley_values

__all__ = [
    "MapChecks",
    "PermutationContribution",
    "ShapleyValues",
    "SliceMaps",
    "permutation_contribution",
    "shapley_values",
    "slice_maps",
]
