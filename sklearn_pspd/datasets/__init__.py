"""Cohorts to try the library on."""

from sklearn_pspd.datasets.phantom import make_cohort

__all__ = ["make_cohort"]
