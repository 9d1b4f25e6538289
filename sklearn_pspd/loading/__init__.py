"""Reading of slice stacks around the lesion, from NIfTI and DICOM files, in one orientation."""

from .loader import SliceStackLoader
from .stack import SliceStack

__all__ = ["SliceStack", "SliceStackLoader"]
