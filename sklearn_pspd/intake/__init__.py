"""From an export folder and a spreadsheet to the cohort table."""

from .choosing import choose_series
from .draft import CohortDraft, draft_cohort
from .rules import series_rules
from .series import SERIES_COLUMNS, list_series

__all__ = ["SERIES_COLUMNS", "CohortDraft", "choose_series", "draft_cohort", "list_series", "series_rules"]
