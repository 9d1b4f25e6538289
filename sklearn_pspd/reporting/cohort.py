"""What a cohort is, as text: leakage checks, patients, and what their number allows."""

import textwrap

from sklearn_pspd.formatting import TEXT_WIDTH, plain_text, wrapped_text
from sklearn_pspd.loading.findings import NOTHING_KNOWN
from sklearn_pspd.plotting.number_texts import interval_text

# Findings of the leakage checks that say how much they could have found, rather than that they found something.
LIMITS = ("too few patients to tell",)
NO_IMAGE_FINDING = "Image checks: nothing odd (contrast agent, sequence, slice spacing, dates)"
# Of each finding on the images: values with a line of their own, and patients who are named in a line.
SHOWN_DETAILS, SHOWN_PATIENTS = 3, 8
# In one line on all images.
SHOWN_FINDINGS = 3


def cohort_text(
    findings,
    characteristics,
    sample_size,
    *,
    features=None,
    absent=None,
    constant=None,
    missing=None,
    images=None,
    title=None,
):
    """Describe a cohort before any model is trained.

    Parameters
    ----------
    findings : DataFrame
        What :func:`~sklearn_pspd.model_selection.audit_leaks` returned.
    characteristics : dict of str to CharacteristicsTable
        Tables of patient characteristics, by heading.
    sample_size : DataFrame
        What :meth:`Study.sample_size() <sklearn_pspd.study.Study.sample_size>` returned.
    features : DataFrame, default=None
        What :func:`~sklearn_pspd.model_selection.single_feature_aucs` returned.
    absent : dict of str to str, default=None
        Clinical columns of the paper that are not used, and why; see :func:`~sklearn_pspd.cohort.absent_columns`.
    constant : dict of str to object, default=None
        Clinical columns that have one value in all training patients, and this value.
    missing : DataFrame, default=None
        What :func:`~sklearn_pspd.cohort.missing_counts` returned.
    images : DataFrame, default=None
        What :func:`~sklearn_pspd.loading.image_findings` returned; None if no model reads images.
    title : str, default=None
        First line, for example that the cohort is synthetic.

    Returns
    -------
    str
        Leakage checks, image checks, absent columns and missing values, one block per table of characteristics, sample
        size.
    """
    found = findings[~findings["finding"].isin(LIMITS)].drop(columns="sites").astype(str)
    lines = [_paragraph(leakage_line(findings)), *([plain_text(found)] if len(found) else [])]
    if features is not None and len(known := features.dropna(subset="auc")):
        largest = known.loc[known["auc"].idxmax()]
        interval = interval_text(largest.rename({"auc": "value"}))
        lines.append(f"  largest AUC of a single feature: {interval}, {largest['column']}")
    if images is not None:
        lines += _image_lines(images)
    if absent:
        lines.append(_paragraph("Clinical columns of the paper that are not used: " + _listed(absent)))
    if constant:
        lines.append(
            _paragraph(
                "Clinical columns with one value in all training patients, from which nothing can be learned: "
                + _listed(constant)
            )
        )
    if missing is not None and missing["missing"].any():
        shown = missing.groupby("column", sort=False)[["missing", "unknown"]].sum().query("missing > 0")
        counts = [
            f"{column} in {row.missing} patient{'' if row.missing == 1 else 's'}" for column, row in shown.iterrows()
        ]
        lines.append(
            _paragraph(f"Missing numbers of training patients, replaced inside each training fold: {', '.join(counts)}")
        )
    for heading, table in characteristics.items():
        lines += ["", heading, plain_text(table.frame())]
    heading = [wrapped_text(title), ""] if title else []
    return "\n".join([*heading, *lines, "", *_size_lines(sample_size), ""])


def leakage_line(findings):
    """Say in one line what the leakage checks found, and what they could not tell.

    Parameters
    ----------
    findings : DataFrame
        What :func:`~sklearn_pspd.model_selection.audit_leaks` returned.

    Returns
    -------
    str
        For example "Leakage checks: 2 findings to look at".
    """
    is_limit = findings["finding"].isin(LIMITS)
    if n := int((~is_limit).sum()):
        return f"Leakage checks: {n} finding{'' if n == 1 else 's'} to look at"
    if is_limit.any():
        return "Leakage checks: no duplicate patients; too few patients to tell whether a feature reveals the outcome"
    return "Leakage checks: none found (duplicate patients, features that reveal the outcome)"


def image_line(images):
    """Say in one line what is odd about the images.

    Parameters
    ----------
    images : DataFrame
        What :func:`~sklearn_pspd.loading.image_findings` returned.

    Returns
    -------
    str
        For example "Image checks: no sign of contrast: 4 patients".
    """
    if not len(images):
        return NO_IMAGE_FINDING
    kinds = sorted(images.groupby("finding", sort=False), key=lambda kind: -kind[1]["patient_id"].nunique())
    texts = [_found(finding, rows) for finding, rows in kinds[:SHOWN_FINDINGS]]
    if n_others := len(kinds) - len(texts):
        texts.append(f"{n_others} other finding{'' if n_others == 1 else 's'}")
    return f"Image checks: {'; '.join(texts)}"


def size_line(sample_size):
    """Say in one line how many patients there are, and how many are required.

    Parameters
    ----------
    sample_size : DataFrame
        What :meth:`Study.sample_size() <sklearn_pspd.study.Study.sample_size>` returned.

    Returns
    -------
    str
        For example "Sample size: Riley's criteria require 404 training patients (there are 11)".
    """
    names = {"training": "training", "held out": "held-out"}
    parts = [
        f"{row['n_required']} {names[row['patients']]} patients (there are {row['n_patients']})"
        for row in sample_size.to_dict("records")
    ]
    return f"Sample size: Riley's criteria require {' and '.join(parts)}"


def _found(finding, rows):
    n = rows["patient_id"].nunique()
    return f"{finding}: {n} patient{'' if n == 1 else 's'}"


def _paragraph(text):
    return wrapped_text(text, indent="  ")


def _image_lines(images):
    """Return one line per finding on the images, and below it the patients by what was found, in few lines."""
    kinds = images.groupby("finding", sort=False)
    if not len(images):
        return [NO_IMAGE_FINDING]
    lines = [f"Image checks: {len(kinds)} finding{'' if len(kinds) == 1 else 's'} to look at"]
    for finding, of_kind in kinds:
        lines.append(f"  {_found(finding, of_kind)}")
        groups = sorted(of_kind.groupby("detail", sort=False), key=lambda group: -len(group[1]))
        if finding == NOTHING_KNOWN:
            # Of most cohorts of NIfTI files: a list of all patients would say no more.
            continue
        for detail, rows in groups[:SHOWN_DETAILS]:
            lines.append(_indented(f"{f'{detail}: ' if detail else ''}{_patients(rows['patient_id'])}"))
        if rest := groups[SHOWN_DETAILS:]:
            others = [patient for _, rows in rest for patient in rows["patient_id"]]
            lines.append(_indented(f"{len(rest)} other values: {_patients(others)}"))
    return lines


def _indented(text):
    return textwrap.fill(text, TEXT_WIDTH, initial_indent="    ", subsequent_indent="      ")


def _patients(names):
    names = [str(name) for name in names]
    more = f" and {len(names) - SHOWN_PATIENTS} more" if len(names) > SHOWN_PATIENTS else ""
    return ", ".join(names[:SHOWN_PATIENTS]) + more


def _listed(reasons):
    return ", ".join(f"{column} ({reason})" for column, reason in reasons.items())


def _size_lines(sample_size):
    training = sample_size.iloc[0]
    return [
        f"Sample size, for an AUC of {training['auc']:g}",
        *(_paragraph(text) for text in sample_size_sentences(sample_size)),
    ]


def sample_size_sentences(sample_size):
    """Say what the number of patients allows.

    Parameters
    ----------
    sample_size : DataFrame
        What :meth:`Study.sample_size() <sklearn_pspd.study.Study.sample_size>` returned.

    Returns
    -------
    list of str
        A sentence on the training patients and, where some are held out, one on them.
    """
    by_part = {row["patients"]: row for row in sample_size.to_dict("records")}
    training = by_part["training"]
    sentences = [
        f"training: {training['n_patients']} patients, {training['events_per_variable']:.1f} events per variable "
        "(patients with the rarer outcome, per encoded clinical column); Riley's criteria require "
        f"{training['n_required']} patients for {training['n_parameters']} columns (binding criterion: "
        f"{training['criterion']}), and more for networks"
    ]
    if held_out := by_part.get("held out"):
        sentences.append(
            f"held out: {held_out['n_patients']} patients, for whom a 95 % interval of the AUC of about "
            f"{held_out['auc_low']:.2f} to {held_out['auc_high']:.2f} is expected; Riley's criteria require "
            f"{held_out['n_required']} patients (binding criterion: {held_out['criterion']})"
        )
    return sentences
