"""Metrics with intervals, paired tests, calibration, decision curves, group comparisons and sample sizes."""

from .abstention import AbstentionRule, learn_abstention
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
from .intervals import Estimate, TestResult
from .metrics import (
    average_precision,
    average_precision_by_chance,
    bootstrap_interval,
    brier_score,
    proportion,
    roc_auc,
)
from .paired_tests import corrected_resampled_ttest, delong_test, holm, mcnemar_test
from .replicates import ReplicatedAUC, ensemble_auc, ensemble_auc_test, replicated_auc, replicated_auc_test
from .sample_size import development_sample_size, expected_auc_interval, validation_sample_size
from .score_tables import classification_table, fold_table, score_table
from .venn_abers import venn_abers
from .within_folds import auc_within_folds, auc_within_folds_test, fold_level_sd, fold_level_share

__all__ = [
    "AbstentionRule",
    "CharacteristicsTable",
    "Estimate",
    "GroupTest",
    "ReplicatedAUC",
    "TestResult",
    "auc_within_folds",
    "auc_within_folds_test",
    "average_precision",
    "average_precision_by_chance",
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
    "ensemble_auc",
    "ensemble_auc_test",
    "expected_auc_interval",
    "fold_level_sd",
    "fold_level_share",
    "fold_table",
    "freeman_halton_test",
    "holm",
    "learn_abstention",
    "mcnemar_test",
    "proportion",
    "replicated_auc",
    "replicated_auc_test",
    "roc_auc",
    "score_table",
    "validation_sample_size",
    "venn_abers",
]
