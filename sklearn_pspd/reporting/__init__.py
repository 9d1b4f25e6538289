"""The report of a study: a page, texts, tables, figures and checklists. It lays out numbers and computes none."""

from .checklists import checklist, write_checklists
from .cohort import cohort_text
from .comparison import comparison_text
from .contact_sheet import write_contact_sheet
from .folder import write_comparison, write_negative_controls, write_report, write_search, write_text
from .identifiers import find_identifiers
from .inspection import inspection_text, write_inspection
from .methods import methods_text
from .page import html_report, write_html_report
from .table_files import write_tables
from .text import negative_control_text, report_text, search_text

__all__ = [
    "checklist",
    "cohort_text",
    "comparison_text",
    "find_identifiers",
    "html_report",
    "inspection_text",
    "methods_text",
    "negative_control_text",
    "report_text",
    "search_text",
    "write_checklists",
    "write_comparison",
    "write_contact_sheet",
    "write_html_report",
    "write_inspection",
    "write_negative_controls",
    "write_report",
    "write_search",
    "write_tables",
    "write_text",
]
