"""The report of a study: text to read, tables to compute with, and figures. It computes nothing."""

from .text import (
    cohort_text,
    comparison_text,
    controls_text,
    ladder_text,
    write_comparison,
    write_controls,
    write_ladder,
)

__all__ = [
    "cohort_text",
    "comparison_text",
    "controls_text",
    "ladder_text",
    "write_comparison",
    "write_controls",
    "write_ladder",
]
