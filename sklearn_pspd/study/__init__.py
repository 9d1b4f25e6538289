"""The paper's study as one object."""

from .preparation import prepare_study
from .result import StudyResult
from .study import Study

__all__ = ["Study", "StudyResult", "prepare_study"]
