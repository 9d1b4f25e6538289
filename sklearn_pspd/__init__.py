"""Pseudoprogression or progression in glioblastoma: a CNN-LSTM study as scikit-learn estimators."""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "CNNLSTMClassifier": "classifiers",
    "ClinicalMinMaxScaler": "clinical",
    "CharacteristicsTable": "characteristics",
    "FOVNormalizer": "preprocessing",
    "LadderSearchCV": "model_selection",
    "ModelComparison": "model_selection",
    "SliceStackLoader": "loading",
    "SliceStandardizer": "preprocessing",
    "StackFlattener": "preprocessing",
    "audit_leaks": "model_selection",
    "characteristics_table": "characteristics",
    "check_cohort": "cohort",
    "compare_models": "model_selection",
    "jang2018": "pipelines",
    "label_lesions": "labels",
    "load_bids": "datasets",
    "load_burdenko": "datasets",
    "load_jang_layout": "datasets",
    "load_lumiere": "datasets",
    "load_mu_glioma_post": "datasets",
    "load_pipeline": "persistence",
    "load_upenn_gbm": "datasets",
    "make_clinical_pipeline": "pipelines",
    "make_cohort": "datasets",
    "make_fusion_pipeline": "pipelines",
    "make_image_pipeline": "pipelines",
    "negative_control": "model_selection",
    "nested_cross_validate": "model_selection",
    "read_cohort": "cohort",
    "save_pipeline": "persistence",
    "select_eligible": "eligibility",
    "split_xy": "cohort",
    "tune_ladder": "model_selection",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name):
    """Import a public name from its module when it is first asked for, so that this import stays light."""
    if name in _HOMES:
        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
