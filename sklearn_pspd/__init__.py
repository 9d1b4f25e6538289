"""Pseudoprogression or progression in glioblastoma: a CNN-LSTM study as scikit-learn estimators."""

from importlib import import_module

__version__ = "0.1.0"

# The rooms of the library, and what each gives to a study script; everything else is imported from its room.
_ROOMS = {
    # The cohort table: columns, checks, eligibility of patients, labels of lesions.
    "cohort": ("ClinicalColumn", "check_cohort", "label_lesions", "read_cohort", "select_eligible", "split_xy"),
    # From a hospital's export and a spreadsheet to the cohort table.
    "intake": ("choose_series", "draft_cohort", "list_series"),
    # Cohorts of others, and synthetic ones.
    "datasets": (
        "load_bids",
        "load_burdenko",
        "load_jang_layout",
        "load_lumiere",
        "load_mu_glioma_post",
        "load_upenn_gbm",
        "make_cohort",
    ),
    # From rows of the table to slice stacks.
    "loading": ("SliceStackLoader",),
    # From slice stacks and clinical columns to numbers.
    "preprocessing": (
        "ClinicalMinMaxScaler",
        "FOVNormalizer",
        "SliceStandardizer",
        "StackAugmenter",
        "StackFlattener",
    ),
    # The CNN-LSTM and its training; nothing else needs Keras.
    "neural_network": ("CNNLSTMClassifier",),
    # The three models of the paper, and its published parameters.
    "pipelines": (
        "jang2018",
        "make_clinical_pipeline",
        "make_fusion_pipeline",
        "make_image_pipeline",
        "paper_models",
    ),
    # What networks must be compared with, from the prevalence to radiomics.
    "baselines": ("baseline_models",),
    # What a fitted model looks at.
    "inspection": ("permutation_contribution", "robustness", "shapley_values", "shortcut_tests", "slice_maps"),
    # The paper's study as one object.
    "study": ("Study", "StudyResult"),
    # Fitted pipelines in files.
    "persistence": ("load_pipeline", "save_pipeline"),
    # A fitted model in a folder for others, and its prediction for new patients.
    "release": ("export_model", "load_model", "predict_patients"),
    # Numbers about scores, groups of patients and sample sizes.
    "statistics": ("CharacteristicsTable", "characteristics_table"),
    # The protocol: validation, comparison, tuning, thresholds, negative control, leakage checks.
    "model_selection": (
        "ModelComparison",
        "SequentialSearchCV",
        "audit_leaks",
        "compare_models",
        "negative_control",
        "nested_cross_validate",
    ),
}
_HOMES = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name):
    """Import a public name from its room when it is first asked for, so that this import stays light."""
    if name in _HOMES:
        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
