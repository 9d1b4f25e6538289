"""The limits of a study, from its numbers."""

from sklearn_pspd.model_selection.folds import EXTERNAL

from .cohort import LIMITS
from .comparison import use_notes
from .text import control_note


def limit_sentences(result):
    """Say what a study cannot show.

    Parameters
    ----------
    result : StudyResult
        What :meth:`Study.run() <sklearn_pspd.study.Study.run>` returned.

    Returns
    -------
    list of str
        One sentence each; the last one is that the software is not a medical device.
    """
    return [
        *_size_limits(result.sample_size),
        *_external_limits(result.tables, result.settings),
        *_protocol_limits(result),
        "Subgroups of patients and fairness between them were not examined.",
        "Research software, not a medical device.",
    ]


def _size_limits(sample_size):
    names = {"training": "training patients", "held out": "external patients"}
    return [
        f"There are {row['n_patients']} {names[row['patients']]}; Riley's criteria require {row['n_required']}."
        for row in sample_size.to_dict("records")
        if row["n_patients"] < row["n_required"]
    ]


def _external_limits(tables, settings):
    if not (tables["scores"]["evaluation"] == EXTERNAL).any():
        missing = "was held out" if settings.get("score_external", True) else "was scored, since this is a trial run"
        return [f"No external set {missing}: performance at other sites is unknown."]
    return ["The external set is one site; performance at others can differ.", *use_notes(tables.get("external_uses"))]


def _protocol_limits(result):
    limits = []
    if result.findings["finding"].isin(LIMITS).any():
        limits.append("There are too few patients to tell whether a feature reveals the outcome.")
    if not result.controls:
        limits.append("No negative control was run.")
    elif any(control.frame()["p_value"].isna().any() for control in result.controls.values()):
        limits.append(control_note(result.controls))
    with_replicates = set(result.tables["replicates"]["model"]) if "replicates" in result.tables else set()
    single = [name for name in result.tables["comparison"]["model"].unique() if name not in with_replicates]
    if single:
        limits.append(f"Intervals of {', '.join(single)} hold the sampling of patients, not the randomness of a fit.")
    return limits
