"""The paper's study as one object."""

from .models import study_models
from .preparation import prepare_study, read_study_table
from .result import StudyResult
from .study import Study

__all__ = ["Study", "StudyResult", "prepare_study", "read_study_table", "study_models"]
