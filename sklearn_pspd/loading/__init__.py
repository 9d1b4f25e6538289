"""Reading of slice stacks around the lesion, from NIfTI and DICOM files, in one orientation."""

from .findings import image_findings
from .loader import SliceStackLoader
from .sequences import SEQUENCE_KINDS
from .stack import SliceStack

__all__ = ["SEQUENCE_KINDS", "SliceStack", "SliceStackLoader", "image_findings"]
