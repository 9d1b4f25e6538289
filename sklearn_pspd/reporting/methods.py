"""The methods paragraphs of a study, from its settings and tables."""

import pandas as pd

from sklearn_pspd.formatting import plain_text, wrapped_text
from sklearn_pspd.model_selection.folds import CROSS_VALIDATION, EXTERNAL

from .comparison import CLASSIFICATION_NOTE, INTERVAL_NOTE, design_text
from .comparison_tables import rule_name
from .models import clinical_sentence, image_sentence, model_sentences
from .text import computation_text

METRIC_NAMES = {
    "auc": "AUC",
    "auc_single_network": "AUC of a single network",
    "average_precision": "AUPRC",
    "brier": "Brier score",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
}


def methods_text(result):
    """Describe the methods of a study in plain English, from its settings.

    Parameters
    ----------
    result : StudyResult
        What :meth:`Study.run() <sklearn_pspd.study.Study.run>` returned.

    Returns
    -------
    str
        Paragraphs under headings: patients, preparation, models, validation, statistics, computation.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import Study, make_clinical_pipeline, make_cohort
    >>> from sklearn_pspd.reporting import methods_text
    >>> with TemporaryDirectory() as folder:
    ...     cohort = make_cohort(folder, 30, matrix_px=(32,), random_state=0)
    ...     forest = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=20)
    ...     result = Study(cohort, {"clinical alone": forest}, cv=2).run()
    >>> "Random forest of 20 trees" in methods_text(result)
    True
    """
    parts = []
    for heading, paragraphs in methods_paragraphs(result).items():
        parts += [heading, *(wrapped_text(paragraph) for paragraph in paragraphs), ""]
    heading = "Methods of the intervals and tests; where models differ, those of all models"
    return "\n".join([*parts, heading, plain_text(interval_methods(result.tables)), ""])


def methods_paragraphs(result):
    """Return the methods of a study by heading.

    Parameters
    ----------
    result : StudyResult
        What :meth:`Study.run() <sklearn_pspd.study.Study.run>` returned.

    Returns
    -------
    dict of str to list of str
        Paragraphs by heading; headings without any are left out.
    """
    found = {
        "Patients": _patients(result),
        "Preparation": _preparation(result),
        "Models": _models(result),
        "Validation": _validation(result),
        "Statistics": _statistics(result),
        "Computation": _computation(result.settings),
    }
    return {heading: [text for text in texts if text] for heading, texts in found.items() if any(texts)}


def _patients(result):
    by_part = {row["patients"]: row for row in result.sample_size.to_dict("records")}
    texts = [f"The models were trained on {_counted(by_part['training'])}."]
    site = result.settings.get("held_out_site")
    if "held out" in by_part:
        scored = "" if result.settings.get("score_external", True) else ", on which the models were not scored"
        texts.append(f"{_counted(by_part['held out'])} of site {site} were held out as the external set{scored}.")
    else:
        texts.append("No site was held out.")
    absent = result.missing_values[0]
    if absent:
        texts.append("Not used of the paper's clinical columns: " + ", ".join(absent) + ".")
    return [" ".join(texts)]


def _counted(row):
    return f"{row['n_patients']} patients ({row['n_pd']} with PD, {row['n_pspd']} with PsPD)"


def _preparation(result):
    models = result.settings["models"]
    return [image_sentence(models), clinical_sentence(models)]


def _models(result):
    columns = list(dict.fromkeys(result.feature_aucs["column"]))
    return [f"{name}: {text}" for name, text in model_sentences(result.settings["models"], columns).items()]


def _validation(result):
    settings = result.settings
    scores = result.tables["scores"]
    texts = []
    if (scores["evaluation"] == CROSS_VALIDATION).any():
        design = design_text(scores, CROSS_VALIDATION).split(": ")[1].split(",")[0]
        texts.append(
            f"Models were validated by cross-validation ({design}; seed {settings['random_state']}). Everything that "
            "is learned from patients was learned inside the training folds."
        )
    if (scores["evaluation"] == EXTERNAL).any():
        texts.append(
            "Models trained on all training patients were then applied to the external set without any change."
        )
    if result.controls:
        n = settings["n_permutations"]
        names = ", ".join(result.controls)
        times = "once with permuted outcomes" if n == 1 else f"with {n} permutations of the outcomes"
        texts.append(f"As a negative control the protocol was repeated {times} ({names}).")
    return [" ".join(texts)]


def _statistics(result):
    tables = result.tables
    texts = [CLASSIFICATION_NOTE, INTERVAL_NOTE]
    if len(tables["tests"]):
        texts.append(
            "Models were compared in pairs on the same patients; p-values were adjusted over the pairs of an "
            "evaluation and metric by Holm's method."
        )
    texts.append(
        "Calibration was described by slope and intercept with likelihood intervals, clinical utility by net benefit."
    )
    if "thresholds" in tables:
        rules = "; ".join(map(rule_name, tables["thresholds"]["rule"].unique()))
        texts.append(f"Thresholds were learned from out-of-fold scores by the rules: {rules}.")
    return texts


def interval_methods(tables):
    """Tabulate by which method each interval and test was computed, as the tables record it.

    Parameters
    ----------
    tables : dict of str to DataFrame
        What ``comparison.tables()`` returned.

    Returns
    -------
    DataFrame of str
        Columns evaluation, metric, interval and paired test.
    """
    rows = []
    for evaluation, values in tables["comparison"].groupby("evaluation", sort=False):
        tests = tables["tests"][tables["tests"]["evaluation"] == evaluation]
        for metric, name in METRIC_NAMES.items():
            intervals, tested = (_methods(table, metric) for table in (values, tests))
            if intervals or tested:
                rows.append([evaluation, name, intervals, tested])
    return pd.DataFrame(rows, columns=["evaluation", "metric", "95 % interval", "paired test"])


def _methods(table, metric):
    methods = table.loc[table["metric"] == metric, "method"].dropna().unique()
    return " / ".join(method for method in methods if not method.startswith("undefined"))


def _computation(settings):
    packages = ", ".join(f"{name} {version}" for name, version in settings["packages"].items())
    n_jobs = settings.get("n_jobs")
    parallel = f" Fits ran in {n_jobs} processes." if n_jobs and n_jobs != 1 else ""
    return [
        f"Software: Python {settings['python']}, {packages}. Seed {settings['random_state']}.{parallel}",
        " ".join(computation_text(settings).split()),
    ]
