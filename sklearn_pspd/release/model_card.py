"""The model card of a release, in Markdown."""

import re

import numpy as np
import pandas as pd

from sklearn_pspd.formatting import escape_markdown, markdown_text

from .training_ranges import range_text

STAMP = "Research software, not a medical device"
INTENDED_USE = (
    "Research on how pseudoprogression (PsPD) and true progression (PD) of glioblastoma can be told apart after "
    "radiotherapy, in patients who meet the criteria of the training cohort. It must not be used for decisions about "
    "patients."
)
METRICS = {
    "auc": "AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "accuracy": "accuracy",
    "specificity": "specificity",
    "recall PsPD": "sensitivity for PsPD",
    "intercept": "calibration intercept",
    "slope": "calibration slope",
}


def make_card(name, description, *, y, ranges, calibration, comparison, versions, arithmetic, licence):
    """Write the model card of a release.

    Parameters
    ----------
    name, description, licence : str
        Name of the model, what it is, and the terms under which it is given; the last two may be None.
    y : ndarray of shape (n_patients,)
        Outcomes of the training patients.
    ranges, calibration : dict
        Ranges of the training patients, and what is kept of out-of-fold scores.
    comparison : ModelComparison or None
        Its performance.
    versions : dict of str to str
        Versions of the packages.
    arithmetic : str or None
        Precision of the network.

    Returns
    -------
    str
        The card, with headings of the second level.
    """
    n_pspd = int(np.sum(y))
    heading = f"# {escape_markdown(name)}\n\n**{STAMP}.** It predicts the probability of pseudoprogression (PsPD)."
    sections = {
        "What it is": description or "A model of sklearn\\_pspd; nothing else was stated.",
        "Training patients": (
            f"{len(y)} patients: {len(y) - n_pspd} with PD and {n_pspd} with PsPD (prevalence of PsPD "
            f"{n_pspd / len(y):.0%}).\n\n{markdown_text(_ranges_table(ranges))}"
        ),
        "Performance": _performance(comparison, name),
        "Intended use": INTENDED_USE,
        "Limits": "\n".join(f"- {limit}" for limit in _limits(y, calibration, comparison)),
        "Threshold and abstention": _rules(calibration),
        "Arithmetic and versions": (
            f"Arithmetic of the network: {arithmetic or 'none, the model has no network'}. Written with "
            f"{', '.join(f'{package} {version}' for package, version in versions.items())}."
        ),
        "Terms": licence or "Not stated. Ask whoever gave you this folder before you pass it on.",
        "What this folder says about patients": (
            "The model and `training_ranges.json` contain the smallest and the largest training value of each number; "
            "each is a value of one patient. Quantiles are left out where fewer than "
            f"{ranges['smallest_group']} patients lie beyond them. `calibration.json` holds scores with outcomes, "
            "without ids and sorted by score. What can be inferred from the weights of a network is not known. There "
            "are no ids, dates, paths or images of patients; the patient in the folder is synthetic. Share the folder "
            "under the rules of the cohort."
        ),
    }
    front = ["---", "library_name: sklearn_pspd", "tags:", "- glioblastoma", "- pseudoprogression", "- mri", "---"]
    body = [f"## {title}\n\n{text}" for title, text in sections.items()]
    return "\n".join(front) + "\n\n" + "\n\n".join([heading, *body]) + "\n"


def card_section(card, title):
    """Return the text of a section of a card; empty if it has none."""
    found = re.search(rf"^## {re.escape(title)}\n\n(.*?)(?=\n\n## |\Z)", card, re.MULTILINE | re.DOTALL)
    return found.group(1).strip() if found else ""


def band_text(rule, decimals=2):
    """Say when a model with a rule of abstention gives no class."""
    if rule["low"] == rule["high"]:
        return "Every patient gets a class"
    return f"No class is given for a probability between {rule['low']:.{decimals}f} and {rule['high']:.{decimals}f}"


def _ranges_table(ranges):
    rows = []
    for kind, entries in (("clinical", ranges["clinical"]), ("acquisition", ranges["acquisition"])):
        for name, entry in entries.items():
            rows.append({"": kind, "value": name, "training range": range_text(entry), "unit": entry.get("unit") or ""})
    return pd.DataFrame(rows or [{"": "-", "value": "-", "training range": "-", "unit": "-"}])


def _performance(comparison, name):
    if comparison is None:
        return "Not given with this release: nothing is known about its performance."
    parts = [comparison.frame(), comparison.calibration()]
    table = pd.concat([part[part["model"] == name] for part in parts], ignore_index=True)
    key = [" ".join(filter(None, [row.metric, row.of_class])) for row in _named_classes(table)]
    rows = [
        {
            "evaluation": row.evaluation,
            "metric": METRICS[metric],
            "value": f"{row.value:.2f}",
            "95 % interval": "-" if pd.isna(row.low) else f"{row.low:.2f} to {row.high:.2f}",
            "method": row.method,
        }
        for metric, row in zip(key, table.itertuples(index=False), strict=True)
        if metric in METRICS
    ]
    text = markdown_text(pd.DataFrame(rows))
    uses = comparison.external_uses
    if uses is not None:
        text += f"\n\nThe external patients were scored {int(uses['use'].max())} time(s) in all, this one included."
    return text


def _named_classes(table):
    classes = table["class"].fillna("") if "class" in table else pd.Series("", index=table.index)
    return table.assign(of_class=classes).itertuples(index=False)


def _limits(y, calibration, comparison):
    evaluations = set() if comparison is None else set(comparison.scores["evaluation"])
    n = len(y)
    return [
        f"It was trained on {n} patients, {min(int(np.sum(y)), n - int(np.sum(y)))} with the rarer outcome.",
        (
            "Its performance was measured at another site, too."
            if "external" in evaluations
            else "Its performance was not measured at another site."
        ),
        f"Its probabilities refer to a prevalence of PsPD of {np.mean(y):.0%}; where it differs, they are wrong.",
        (
            "Calibrated intervals come from out-of-fold scores: they are those of models that were trained on parts of "
            "the training patients, brought to one level, and so hold approximately for the released model."
            if calibration["y_score"]
            else "It has no calibrated intervals, since it was released without out-of-fold scores."
        ),
        "For values outside the training ranges nothing is known about its errors.",
    ]


def _rules(calibration):
    text = (
        f"A patient is classified as PsPD if the probability is at least {calibration['threshold']:.3f} "
        f"({calibration['threshold_rule']})."
    )
    if (rule := calibration["abstention"]) is None:
        return f"{text} There is no rule of abstention: {calibration['no_abstention']}."
    return (
        f"{text} {band_text(rule)}. Of the {rule['n_classified']} of {rule['n_patients']} training patients with a "
        f"class {rule['n_errors']} were classified wrongly by models that had not seen them; with "
        f"{rule['confidence_level']:.0%} confidence the proportion of errors is at most {rule['error_limit']:.0%} in "
        "patients of the same population."
    )
