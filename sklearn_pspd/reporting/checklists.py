"""Reporting checklists with what a study can fill in."""

import re
import string

import pandas as pd

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import write_bytes
from sklearn_pspd.model_selection.folds import CROSS_VALIDATION, EXTERNAL
from sklearn_pspd.plotting.number_texts import interval_text

from .checklist_items import CHECKLISTS, NOTES, TITLES
from .cohort import LIMITS, sample_size_sentences
from .comparison import CLASSIFICATION_NOTE, ENSEMBLE_NOTE, INTERVAL_NOTE, design_text
from .limits import limit_sentences
from .methods import METRIC_NAMES, methods_paragraphs
from .models import classifier_of, parameters_of

TREATMENT = ("dose_gy", "n_fractions")
SIMPLE_MODELS = {"DummyClassifier", "LogisticRegression", "LogisticRegressionCV"}


def checklist(result, name):
    """Fill in a reporting checklist as far as a study can.

    Parameters
    ----------
    result : StudyResult
        What :meth:`Study.run() <sklearn_pspd.study.Study.run>` returned.
    name : {"tripod_ai", "claim", "metrics"}
        TRIPOD+AI of 2024, CLAIM in its update of 2024, or METRICS.

    Returns
    -------
    DataFrame of str
        One row per item: ``item`` (its number), ``topic`` (in our words), ``status``, ``text`` (the answer) and
        ``where`` (files with more). The status is "filled" if the study answers the item, "confirm" if the author has
        to confirm or complete the answer, and "open" if the author has to give it. ``attrs["title"]`` names the
        checklist, ``attrs["note"]`` says how its numbers were checked.

    Raises
    ------
    InputError
        If there is no such checklist.

    Notes
    -----
    The sheets help to complete the published forms; they do not replace them.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import Study, make_clinical_pipeline, make_cohort
    >>> from sklearn_pspd.reporting import checklist
    >>> with TemporaryDirectory() as folder:
    ...     cohort = make_cohort(folder, 30, matrix_px=(32,), random_state=0)
    ...     forest = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=20)
    ...     result = Study(cohort, {"clinical alone": forest}, cv=2).run()
    >>> sheet = checklist(result, "tripod_ai").set_index("item")
    >>> sheet.loc[["10", "17"], ["topic", "status"]].to_numpy().tolist()
    [['Sample size and its justification', 'filled'], ['Ethical approval and consent', 'open']]
    """
    if name not in CHECKLISTS:
        raise InputError(f"name must be one of {', '.join(map(repr, CHECKLISTS))}; got {name!r}")
    facts = study_facts(result)
    rows = [_filled(*item, facts) for item in CHECKLISTS[name]]
    table = pd.DataFrame(rows, columns=["item", "topic", "status", "text", "where"])
    table.attrs = {"title": TITLES[name], "note": NOTES[name]}
    return table


def write_checklists(result, folder):
    """Save the checklists: ``checklist_tripod_ai.csv``, ``checklist_claim.csv``, ``checklist_metrics.csv``.

    Parameters
    ----------
    result : StudyResult
        What :meth:`Study.run() <sklearn_pspd.study.Study.run>` returned.
    folder : Path
        An existing folder. The last row of each file says how the numbers of the items were checked.
    """
    for name in CHECKLISTS:
        table = checklist(result, name)
        note = {"item": "note", "topic": table.attrs["title"], "status": "", "text": table.attrs["note"], "where": ""}
        sheet = pd.concat([table, pd.DataFrame([note])]).to_csv(None, index=False)
        write_bytes(folder / f"checklist_{name}.csv", sheet.encode())


def _filled(item, topic, status, text, where, facts):
    """Put the facts into an answer; without one of them the item is open."""
    names = [field for _, field, _, _ in string.Formatter().parse(text) if field]
    if status == "open" or not all(facts[name] for name in names):
        return item, topic, "open", "", ""
    return item, topic, status, re.sub(r"\s+", " ", text.format(**facts)).strip(), where


def study_facts(result):
    """Say in sentences what a study knows of itself.

    Parameters
    ----------
    result : StudyResult
        What :meth:`Study.run() <sklearn_pspd.study.Study.run>` returned.

    Returns
    -------
    dict of str to str
        By name; empty where the study does not have the fact.
    """
    methods = {heading: " ".join(texts) for heading, texts in methods_paragraphs(result).items()}
    return {
        "patients": methods.get("Patients", ""),
        "preparation": methods.get("Preparation", ""),
        "described": f"Architecture, parameters and training of {', '.join(result.settings['models'])}: methods.txt.",
        "validation": methods.get("Validation", ""),
        "software": methods.get("Computation", ""),
        "limits": " ".join(limit_sentences(result)),
        "sample_size": "; ".join(sample_size_sentences(result.sample_size)) + ".",
        **_cohort_facts(result),
        **_model_facts(result),
        **_result_facts(result.tables, result.controls),
    }


def _cohort_facts(result):
    columns = list(dict.fromkeys(result.feature_aucs["column"]))
    by_site = result.characteristics.get("All patients by site")
    sites = ", ".join(f"{site} (n = {n})" for site, n in by_site.group_sizes.items()) if by_site else ""
    n_missing = int(result.missing_values[1]["missing"].sum())
    found = result.findings[~result.findings["finding"].isin(LIMITS)]
    leaks = f"{len(found)} findings of the leakage checks" if len(found) else "no finding of the leakage checks"
    return {
        "columns": f"Clinical columns of the study: {', '.join(columns)}." if columns else "",
        "sites": f"Sites: {sites}." if sites else "",
        "several_sites": f"Sites: {sites}." if sites else "",
        "by_site": "Characteristics of all patients are tabulated by site, with tests." if by_site else "",
        "characteristics": f"Tabulated: {'; '.join(heading.lower() for heading in result.characteristics)}.",
        "treatment": _if(set(TREATMENT) <= set(columns), "Radiotherapy dose and number of fractions are tabulated."),
        "missing": (
            f"Missing numbers of training patients: {n_missing}."
            + (" They were replaced inside each training fold." if n_missing else " No patient was left out.")
        ),
        "disjoint": f"Partitions are disjoint at the level of patients; duplicate images were looked for: {leaks}.",
    }


def _model_facts(result):
    models = result.settings["models"]
    kinds = {name: type(classifier_of(model)).__name__ for name, model in models.items()}
    networks = [name for name, kind in kinds.items() if kind == "CNNLSTMClassifier"]
    parameters = {name: parameters_of(model) for name, model in models.items()}
    with_images = [name for name, found in parameters.items() if any("__mri" in key for key in found)]
    simple = [name for name, kind in kinds.items() if kind in SIMPLE_MODELS]
    without_images = [name for name in models if name not in with_images and kinds[name] != "DummyClassifier"]
    weighted = [name for name, found in parameters.items() if found.get("classifier__class_weight")]
    sampled = [name for name, found in parameters.items() if "sampler" in found]
    ensembles = [name for name, found in parameters.items() if (found.get("classifier__n_members") or 1) > 1]
    n_images = {found.get("classifier__n_images", 1) for name, found in parameters.items() if name in with_images}
    images = [text for text in methods_paragraphs(result).get("Preparation", []) if "slices" in text]
    tuned = ", ".join(result.tuning)
    steps = {type(value).__name__ for found in parameters.values() for value in found.values()}
    return {
        "goal": f"Development and evaluation of models that tell PsPD from PD: {', '.join(models)}.",
        "technology": _if(networks, f"Deep learning (CNN-LSTM): {', '.join(networks)}."),
        "images": " ".join(images),
        "imbalance": (
            f"Class weights: {', '.join(weighted) or 'none'}; resampling of patients: {', '.join(sampled) or 'none'}."
        ),
        "initialisation": _if(networks, "Networks start from random weights, drawn from the seed."),
        "selection": f"Tuned inside each training fold: {tuned}." if tuned else "No model was selected by its scores.",
        "ensembles": f"{ENSEMBLE_NOTE} Ensembles: {', '.join(ensembles)}." if ensembles else "No model is an ensemble.",
        "prediction": "Predictions are predict_proba of the fitted pipelines, which save_pipeline writes to files.",
        "one_image": _if(n_images == {1}, "One kind of image was used."),
        "without_images": _if(with_images and without_images, f"Models without images: {', '.join(without_images)}."),
        "simple": _if(simple, f"Simple models: {', '.join(simple)}."),
        "radiomics": _if("RadiomicsExtractor" not in steps, "No hand-crafted features were used."),
    }


def _if(condition, text):
    return text if condition else ""


def _result_facts(tables, controls):
    scores, summary = tables["scores"], tables["comparison"]
    evaluations = set(scores["evaluation"])
    first = summary["model"].iloc[0]
    aucs = summary[(summary["model"] == first) & (summary["metric"] == "auc")]
    performance = "; ".join(f"{row['evaluation']} {interval_text(row)}" for row in aucs.to_dict("records"))
    measured = [name for metric, name in METRIC_NAMES.items() if metric in set(summary["metric"])]
    rules = " Thresholds were learned from out-of-fold scores." if "thresholds" in tables else ""
    replicates = "The spread over networks from different seeds is reported." if "replicates" in tables else ""
    control = f"Negative control on permuted outcomes: {', '.join(controls)}." if controls else ""
    return {
        "internal": _design(scores, CROSS_VALIDATION) if CROSS_VALIDATION in evaluations else "",
        "external": _design(scores, EXTERNAL) if EXTERNAL in evaluations else "",
        "performance": f"AUC of {first}: {performance}. All models are tabulated; no subgroups were examined.",
        "statistics": f"{', '.join(measured)}; calibration slope and intercept; net benefit; curves of them.",
        "uncertainty": INTERVAL_NOTE,
        "calibration": "Calibration slope, intercept and curves of every model.",
        "output": f"The output is the probability of PsPD. {CLASSIFICATION_NOTE}{rules}",
        "failures": "Confusion matrices of every model, and the score of each patient (scores.csv).",
        "replicates": replicates,
        "robustness": f"{replicates} {control}".strip(),
    }


def _design(scores, evaluation):
    return f"{design_text(scores, evaluation)}."
