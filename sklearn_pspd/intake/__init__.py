"""From an export folder and a spreadsheet to the cohort table."""

from .agreement import slice_agreement
from .choosing import choose_series
from .draft import CohortDraft, draft_cohort
from .pick_records import read_picks
from .picking import PickingSession
from .picking_server import pick_slices
from .rules import series_rules
from .series import SERIES_COLUMNS, list_series

__all__ = [
    "SERIES_COLUMNS",
    "CohortDraft",
    "PickingSession",
    "choose_series",
    "draft_cohort",
    "list_series",
    "pick_slices",
    "read_picks",
    "series_rules",
    "slice_agreement",
]
