"""The figures of a study, before they are drawn."""

import matplotlib.pyplot as plt
import pandas as pd

from sklearn_pspd.file_writing import replaced_when_whole
from sklearn_pspd.plotting import (
    CalibrationCurveDisplay,
    ComparisonDisplay,
    ConfusionMatrixDisplay,
    DecisionCurveDisplay,
    FlowDisplay,
    FoldCurvesDisplay,
    ThresholdDisplay,
)

FIGURE_DPI = 120

CAPTIONS = {
    "aucs": "AUCs of all models with 95 % intervals.",
    "flow": "Flow of the patients.",
    "comparison": "ROC curves, precision-recall curves and AUCs with 95 % intervals of all models.",
    "fold_curves": (
        "ROC and precision-recall curves of each fold of the cross-validation, with their mean. In the tables, the AUC "
        "is the mean over folds, and the AUPRC is that of the pooled folds."
    ),
    "confusion_matrices": "Confusion matrices of all models, as proportions of the patients with each outcome.",
    "calibration": "Observed proportion of PsPD against predicted probability, in groups of patients.",
    "decision_curves": "Net benefit of classifying patients as PsPD from a threshold probability on, by model.",
    "thresholds": "Thresholds with their sampling variability, and their sensitivity and specificity.",
    "negative_control": "Scores on permuted outcomes, and on the original outcomes.",
}


def comparison_displays(tables):
    """Make the displays of a comparison.

    Parameters
    ----------
    tables : dict of str to DataFrame
        What ``comparison.tables()`` returned.

    Returns
    -------
    dict of str to Display
        By the name of the file; ``plot`` draws them.
    """
    displays = {
        "comparison": ComparisonDisplay(scores=tables["scores"], summary=tables["comparison"]),
        "confusion_matrices": ConfusionMatrixDisplay(scores=tables["scores"]),
        "calibration": CalibrationCurveDisplay(curves=tables["calibration_curves"], summary=tables["calibration"]),
        "decision_curves": DecisionCurveDisplay(curves=tables["decision_curves"]),
    }
    if "thresholds" in tables:
        displays["fold_curves"] = FoldCurvesDisplay(scores=tables["scores"])
        displays["thresholds"] = ThresholdDisplay(thresholds=tables["thresholds"])
    return displays


def flow_display(sample_size, flow=None):
    """Draw the flow of the patients into the parts of the study.

    Parameters
    ----------
    sample_size : DataFrame
        What :meth:`Study.sample_size() <sklearn_pspd.study.Study.sample_size>` returned.
    flow : DataFrame, default=None
        The flow table of :func:`~sklearn_pspd.cohort.select_eligible`, which ends with the patients of the study. None
        begins with the patients of the table.

    Returns
    -------
    FlowDisplay
        Drawn.

    Raises
    ------
    InputError
        If the flow table ends with another number of patients.
    """
    groups = {
        f"{row['patients'].capitalize()}, {outcome}": row[f"n_{outcome.lower()}"]
        for row in sample_size.to_dict("records")
        for outcome in ("PD", "PsPD")
    }
    if flow is None:
        n_patients = int(sample_size["n_patients"].sum())
        flow = pd.DataFrame([{"stage": "Cohort table", "rule": "", "excluded": 0, "left": n_patients}])
    return FlowDisplay.from_flow(flow, groups=groups)


def save_figure(display, path):
    """Save the figure of a display as PNG, and close it.

    Parameters
    ----------
    display : Display
        Drawn.
    path : path-like
        The file; its folder exists.
    """
    with replaced_when_whole(path) as file:
        display.figure_.savefig(file, format="png", dpi=FIGURE_DPI)
    # pyplot keeps every figure that it made.
    plt.close(display.figure_)
