"""Slice stacks around the lesion, read from NIfTI and DICOM files in one orientation."""

from .decoding import SliceStack
from .loader import SliceStackLoader

__all__ = ["SliceStack", "SliceStackLoader"]
