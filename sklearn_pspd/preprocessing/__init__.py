"""Preparation of slice stacks and clinical columns for a model."""

from .augmentation import StackAugmenter
from .blocks import StackPipeline
from .clinical import ClinicalMinMaxScaler, scale_from_unit, scale_to_unit
from .images import FOVNormalizer, SliceStandardizer, StackFlattener, check_stacks, standardize_images

__all__ = [
    "ClinicalMinMaxScaler",
    "FOVNormalizer",
    "SliceStandardizer",
    "StackAugmenter",
    "StackFlattener",
    "StackPipeline",
    "check_stacks",
    "scale_from_unit",
    "scale_to_unit",
    "standardize_images",
]
