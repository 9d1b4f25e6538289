"""The cohort table: its columns, checks, eligibility of patients and labels of lesions."""

from .columns import (
    CLINICAL_CODES,
    CLINICAL_COLUMNS,
    CLINICAL_RANGES,
    IDENTITY_COLUMNS,
    OUTCOME_CODES,
    PAPER_CLINICAL,
    POINT_COLUMNS,
    POSITION_COLUMNS,
    ClinicalColumn,
    clinical_columns,
)
from .completeness import absent_columns, missing_counts
from .eligibility import ELIGIBILITY_RULES, select_eligible
from .labels import label_lesions
from .table import check_cohort, read_cohort, split_xy

__all__ = [
    "CLINICAL_CODES",
    "CLINICAL_COLUMNS",
    "CLINICAL_RANGES",
    "ELIGIBILITY_RULES",
    "IDENTITY_COLUMNS",
    "OUTCOME_CODES",
    "PAPER_CLINICAL",
    "POINT_COLUMNS",
    "POSITION_COLUMNS",
    "ClinicalColumn",
    "absent_columns",
    "check_cohort",
    "clinical_columns",
    "label_lesions",
    "missing_counts",
    "read_cohort",
    "select_eligible",
    "split_xy",
]
