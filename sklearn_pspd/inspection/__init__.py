"""What a fitted model looks at: contributions, maps, shortcuts, robustness, and how easily it is fooled."""

from .confounders import confounder_aucs
from .contributions import PermutationContribution, permutation_contribution
from .map_checks import MapChecks
from .maps import SliceMaps, slice_maps
from .robustness import Robustness, robustness
from .shapley import ShapleyValues, shapley_values
from .shortcuts import ShortcutTests, shortcut_tests

__all__ = [
    "MapChecks",
    "PermutationContribution",
    "Robustness",
    "ShapleyValues",
    "ShortcutTests",
    "SliceMaps",
    "confounder_aucs",
    "permutation_contribution",
    "robustness",
    "shapley_values",
    "shortcut_tests",
    "slice_maps",
]
