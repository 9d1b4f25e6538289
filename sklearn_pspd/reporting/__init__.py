"""The report of a study: text to read, tables to compute with, and figures. It lays out numbers and computes none."""

from .cohort import cohort_text
from .comparison import comparison_text
from .folder import write_comparison, write_negative_controls, write_report, write_search, write_text
from .inspection import inspection_text, write_inspection
from .text import negative_control_text, report_text, search_text

__all__ = [
    "cohort_text",
    "comparison_text",
    "inspection_text",
    "negative_control_text",
    "report_text",
    "search_text",
    "write_comparison",
    "write_inspection",
    "write_negative_controls",
    "write_report",
    "write_search",
    "write_text",
]
