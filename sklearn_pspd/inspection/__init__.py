"""What a fitted model looks at: contributions, maps, shortcuts, robustness, and how easily it is fooled."""

from .adversarial import AdversarialAttack, adversarial_attack
from .confounders import confounder_aucs
from .contributions import PermutationContribution, permutation_contribution
from .failures import FailureCases, failure_cases
from .map_checks import MapChecks
from .maps import SliceMaps, slice_maps
from .overview import ModelInspection, inspect_model
from .robustness import Robustness, robustness
from .shapley import ShapleyValues, shapley_values
from .shortcuts import ShortcutTests, shortcut_tests

__all__ = [
    "AdversarialAttack",
    "FailureCases",
    "MapChecks",
    "ModelInspection",
    "PermutationContribution",
    "Robustness",
    "ShapleyValues",
    "ShortcutTests",
    "SliceMaps",
    "adversarial_attack",
    "confounder_aucs",
    "failure_cases",
    "inspect_model",
    "permutation_contribution",
    "robustness",
    "shapley_values",
    "shortcut_tests",
    "slice_maps",
]
