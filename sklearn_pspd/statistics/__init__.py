"""Metrics with intervals, paired tests, calibration, decision curves, group comparisons and sample sizes."""

from .calibration import calibration_intercept, calibration_slope, calibration_table
from .characteristics import CharacteristicsTable, characteristics_table
from .decision_curves import decision_curve
from .group_tests import (
    GroupTest,
    compare_counts,
    compare_numbers,
    difference_of_counts,
    difference_of_numbers,
    freeman_halton_test,
)
from .intervals import Estimate
from .metrics import average_precision, bootstrap_interval, brier_score, proportion, roc_auc
from .paired_tests import TestResult, corrected_resampled_ttest, delong_test, holm, mcnemar_test
from .sample_size import development_sample_size, expected_auc_interval, validation_sample_size
from .score_tables import classification_table, fold_table, score_table

__all__ = [
    "CharacteristicsTable",
    "Estimate",
    "GroupTest",
    "TestResult",
    "average_precision",
    "bootstrap_interval",
    "brier_score",
    "calibration_intercept",
    "calibration_slope",
    "calibration_table",
    "characteristics_table",
    "classification_table",
    "compare_counts",
    "compare_numbers",
    "corrected_resampled_ttest",
    "decision_curve",
    "delong_test",
    "development_sample_size",
    "difference_of_counts",
    "difference_of_numbers",
    "expected_auc_interval",
    "fold_table",
    "freeman_halton_test",
    "holm",
    "mcnemar_test",
    "proportion",
    "roc_auc",
    "score_table",
    "validation_sample_size",
]
