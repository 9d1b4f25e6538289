"""What a study shows, and what it does not, in sentences."""

from sklearn_pspd.plotting.number_texts import interval_text

from .cohort import image_line, size_line
from .comparison_tables import difference_text, p_value_text

ALPHA = 0.05
CHANCE = 0.5


def summary_sentences(result):
    """Say what a study shows, whether there are enough patients, and what is odd about the images.

    Parameters
    ----------
    result : StudyResult
        What :meth:`Study.run() <sklearn_pspd.study.Study.run>` returned.

    Returns
    -------
    list of str
        Those of :func:`conclusion_sentences`, then one on the sample size and, for models of images, one on these.
    """
    images = [] if result.image_checks.empty else [image_line(result.image_findings)]
    return [*conclusion_sentences(result.tables), size_line(result.sample_size), *images]


def conclusion_sentences(tables):
    """Say for each evaluation whether the first model is better than chance, and than the other models.

    Parameters
    ----------
    tables : dict of str to DataFrame
        What :meth:`ModelComparison.tables() <sklearn_pspd.model_selection.ModelComparison.tables>` returned.

    Returns
    -------
    list of str
        Sentences on the AUC of the first model, with its interval, on the highest AUC of the others, and on the paired
        tests of AUCs.
    """
    aucs = tables["comparison"].query("metric == 'auc'")
    first = aucs["model"].iloc[0]
    tests = tables["tests"]
    if len(tests):
        tests = tests[(tests["metric"] == "auc") & (tests["model_a"] == first) & tests["p_holm"].notna()]
    sentences = []
    for row in aucs[aucs["model"] == first].to_dict("records"):
        sentences.append(_chance_sentence(row))
        others = aucs[(aucs["model"] != first) & (aucs["evaluation"] == row["evaluation"])].dropna(subset="value")
        if len(others):
            sentences.append(_others_sentence(others))
        if len(tests) and len(of_evaluation := tests[tests["evaluation"] == row["evaluation"]]):
            sentences.append(_difference_sentence(row, of_evaluation))
    return sentences


def _chance_sentence(row):
    text = f"AUC of {row['model']}, {row['evaluation']}: {interval_text(row)}"
    if not row["low"] <= row["high"]:
        return text
    if row["low"] > CHANCE:
        return f"{text}; better than chance (0.5)"
    if row["high"] < CHANCE:
        return f"{text}; below chance (0.5)"
    return f"{text}; the interval includes chance (0.5)"


def _others_sentence(others):
    best = others.loc[others["value"].idxmax()]
    models = "AUC of the other model" if len(others) == 1 else f"Highest AUC of the {len(others)} other models"
    return f"{models}, {best['evaluation']}: {interval_text(best)}, {best['model']}"


def _difference_sentence(row, tests):
    """Name the models whose AUC differs, after Holm's correction; else the smallest p-value."""
    start = f"Paired tests of this AUC, {row['evaluation']}"
    p_text = f"p after Holm's correction {p_value_text(tests['p_holm'].min())}"
    different = tests[tests["p_holm"] < ALPHA].to_dict("records")
    if not different:
        return f"{start}: no difference from another model was shown (smallest {p_text}), which does not mean equality"
    parts = [
        f"{'higher' if test['difference'] > 0 else 'lower'} than that of {test['model_b']} "
        f"({difference_text(test)}; p after Holm's correction {p_value_text(test['p_holm'])})"
        for test in different
    ]
    if len(different) < len(tests):
        parts.append("no difference from the others was shown")
    return f"{start}: {'; '.join(parts)}"
