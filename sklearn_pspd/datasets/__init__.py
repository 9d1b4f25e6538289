"""A synthetic cohort, and loaders of public and local cohorts."""

from ._records import CohortWarning
from .bids import load_bids
from .burdenko import load_burdenko
from .jang import load_jang_layout
from .lumiere import load_lumiere
from .mu_glioma import load_mu_glioma_post
from .synthetic import make_cohort
from .upenn import load_upenn_gbm

__all__ = [
    "CohortWarning",
    "load_bids",
    "load_burdenko",
    "load_jang_layout",
    "load_lumiere",
    "load_mu_glioma_post",
    "load_upenn_gbm",
    "make_cohort",
]
