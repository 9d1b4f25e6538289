"""What is odd about the images of a cohort: contrast, sequence, spacing and date, as far as their headers say."""

from statistics import median_low

import numpy as np
import pandas as pd

from sklearn_pspd.cohort.problems import is_missing, normalise_ids
from sklearn_pspd.exceptions import InputError

from .header_facts import parse_time
from .sequences import (
    SEQUENCE_KINDS,
    contradiction,
    contrast_evidence,
    description_of,
    is_secondary,
    tagged_weighting,
    values_text,
    weighting_of,
)
from .words import other_kind, other_weighting

FINDING_COLUMNS = ("patient_id", "file", "finding", "detail", "severity")
REFUSED, NOTE = "refused", "note"

# Columns of the quality-control table that say what an image is, and those from which it is judged.
FACT_TEXTS = (
    "description", "protocol", "modality", "image_type", "contrast_agent", "contrast_ingredient", "sequence",
    "acquisition_type", "acquisition_contrast", "manufacturer", "model", "sop_class", "facts_from", "facts_problem",
)  # fmt: skip
# What is concluded from them.
FACT_SUMMARIES = ("study_date", "contrast", "weighting")
FACT_NUMBERS = ("tr_ms", "te_ms", "ti_ms", "flip_deg", "contrast_volume_ml", "field_t")
# Any of them says something about the sequence or the contrast agent.
_TELLING = (
    "description", "protocol", "image_type", "contrast_agent", "contrast_ingredient", "sequence",
    "acquisition_contrast", "tr_ms", "te_ms", "ti_ms",
)  # fmt: skip

# The finding of an image without header, such as a plain NIfTI file.
NOTHING_KNOWN = "nothing is known about the sequence"

FEWEST_OF_SITE = 3
MAJORITY = 0.5
SPACING_RATIO = 1.5
MOST_DAYS = 31


def image_findings(inspected, *, cohort=None, allow_sequence=False):
    """List what is odd about the images of a cohort, as far as their headers say anything.

    Parameters
    ----------
    inspected : DataFrame of shape (n_patients, n_columns)
        Table of :meth:`SliceStackLoader.inspect <sklearn_pspd.loading.SliceStackLoader.inspect>`.
    cohort : DataFrame of shape (n_patients, n_columns), default=None
        Cohort table of the same patients: ``site``, within which sequences are compared (without it, all patients are),
        and the dates ``radiotherapy_end``, ``lesion_date`` and ``study_date``, as far as it has them.
    allow_sequence : bool or collection of str, default=False
        As the loader has it: kinds of sequence that it admits.

    Returns
    -------
    DataFrame
        One row per finding: ``patient_id``, ``file`` (the image), ``finding`` (the same words for all patients),
        ``detail`` (the values) and ``severity``: "refused" if the loader refuses the image for it, else "note". Empty
        if there are none.

    Raises
    ------
    InputError
        If `inspected` is no such table.

    See Also
    --------
    sklearn_pspd.intake.choose_series : Chooses the post-contrast T1 series of each patient from an export.

    Notes
    -----
    Findings are: no sign of a contrast agent, or words against it; a sequence that is not T1-weighted by its
    parameters or tags; a description that names another sequence; images derived from others, such as reformats; a
    sequence that differs from that of most patients of the site; slices more than 1.5 times as far apart as those of
    other patients, or less; a study before the end of radiotherapy, more than 31 days from the lesion, or of another
    date than the table says. These limits are choices of this library. An image of which nothing is known, such as a
    NIfTI file without a JSON sidecar, has this as its only finding on the sequence.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import SliceStackLoader, make_cohort
    >>> from sklearn_pspd.loading import image_findings
    >>> with TemporaryDirectory() as folder:
    ...     cohort = make_cohort(folder, 12, matrix_px=(48,), random_state=0)
    ...     inspected = SliceStackLoader(n_slices=3).inspect(cohort)
    >>> image_findings(inspected, cohort=cohort)["finding"].unique().tolist()
    ['nothing is known about the sequence']
    """
    absent = [name for name in ("patient_id", "source", "te_ms") if name not in getattr(inspected, "columns", ())]
    if absent:
        raise InputError(
            f"inspected lacks the column(s) {', '.join(absent)}; give the table of SliceStackLoader.inspect"
        )
    rows = [_row_facts(row) for row in inspected.to_dict("records")]
    found = [_findings_of_one(row, allow_sequence) if row["is_read"] else [] for row in rows]
    tables = _rows_of_cohort(rows, cohort)
    for compare in (_compare_sequences, _compare_spacings, _compare_dates):
        for number, finding, detail in compare(rows, tables):
            found[number].append((finding, detail, NOTE))
    records = [
        (row["patient_id"], row["source"], *finding)
        for row, findings in zip(rows, found, strict=True)
        for finding in findings
    ]
    return pd.DataFrame(records, columns=list(FINDING_COLUMNS))


def weighting_text(facts):
    """Return what a sequence is by parameters and tags, such as "T1 (gradient echo)" or "T2"; empty if unknown."""
    t1, other, _ = weighting_of(facts)
    tagged_t1, tagged = tagged_weighting(facts)
    if t1:
        return f"T1 ({t1})"
    return other or tagged_t1 or tagged


def facts_of_header(facts):
    """Return the columns of the quality-control table that a header fills; None where nothing is known."""
    shown = dict.fromkeys(FACT_SUMMARIES) | {name: facts.get(name) for name in (*FACT_TEXTS, *FACT_NUMBERS)}
    if not facts.get("facts_from"):
        return shown
    speaking_for, against = contrast_evidence(facts)
    contrast = ", ".join([*speaking_for, *(f"against it: {sign}" for sign in against)])
    date = parse_time(facts["study_date"])
    date = None if date is None else date.isoformat()
    return shown | {"study_date": date, "contrast": contrast or "no sign", "weighting": weighting_text(facts)}


def is_allowed(kind, allow_sequence):
    """Return whether a loader admits a kind of sequence."""
    return allow_sequence is True or (allow_sequence is not False and kind in allow_sequence)


def checked_kinds(allow_sequence):
    """Return the kinds that a parameter `allow_sequence` admits: True, False, or a tuple of kinds.

    Raises
    ------
    InputError
        If there is no such kind.
    """
    if isinstance(allow_sequence, bool | np.bool_):
        return bool(allow_sequence)
    kinds = (allow_sequence,) if isinstance(allow_sequence, str) else tuple(allow_sequence)
    if unknown := [kind for kind in kinds if kind not in SEQUENCE_KINDS]:
        raise InputError(
            f"allow_sequence: no kind {', '.join(map(repr, unknown))}; there are {', '.join(map(repr, SEQUENCE_KINDS))}"
        )
    return tuple(sorted(set(kinds)))


def _row_facts(row):
    """Return a row of the quality-control table with empty texts, and None for numbers, where nothing is known."""
    facts = {name: "" if is_missing(row.get(name)) else str(row[name]) for name in FACT_TEXTS}
    facts |= {name: None if is_missing(row.get(name)) else float(row[name]) for name in FACT_NUMBERS}
    source = "" if is_missing(row["source"]) else str(row["source"])
    n_slices = 0 if is_missing(row.get("slices")) else len(str(row["slices"]).split())
    spacing = row.get("slice_spacing_mm")
    return facts | {
        "patient_id": row["patient_id"],
        "source": source,
        # Facts of a file that could not be opened are not known to be absent.
        "is_read": bool(facts["facts_from"]) or not is_missing(row.get("height")),
        "is_known": any(facts[name] not in ("", None) for name in _TELLING),
        "n_slices": n_slices,
        "further_images": "" if is_missing(row.get("further_images")) else str(row["further_images"]),
        "spacing_mm": np.nan if is_missing(spacing) else float(spacing),
        "study_date": pd.NaT if is_missing(row.get("study_date")) else pd.Timestamp(row["study_date"]),
    }


def _findings_of_one(facts, allow_sequence):
    """Return (finding, detail, severity) of one image by itself."""
    found = []
    if facts["facts_problem"]:
        found.append(("the JSON file beside the image cannot be read", facts["facts_problem"], NOTE))
    if facts["modality"] not in ("", "MR"):
        found.append(("not MR", f"modality {facts['modality']}", REFUSED))
    if not facts["is_known"]:
        return [*found, (NOTHING_KNOWN, "", NOTE)]
    return found + _contrast_findings(facts) + _sequence_findings(facts, allow_sequence)


def _contrast_findings(facts):
    speaking_for, against = contrast_evidence(facts)
    if against:
        both = f"{', '.join(against)}; for it: {', '.join(speaking_for)}" if speaking_for else ", ".join(against)
        return [("signs against contrast", both, NOTE)]
    return [] if speaking_for else [("no sign of contrast", _description(facts), NOTE)]


def _sequence_findings(facts, allow_sequence):
    found = []
    kind, detail = contradiction(facts)
    weighting = weighting_of(facts)
    tagged_t1, tagged = tagged_weighting(facts)
    if kind:
        found.append((_kind_text(kind), detail, NOTE if is_allowed(kind, allow_sequence) else REFUSED))
    elif weighting.other:
        found.append((f"perhaps {weighting.other}", values_text(facts), NOTE))
    elif tagged:
        found.append((f"perhaps {tagged}", f"so a tag; by its parameters T1 ({values_text(facts)})", NOTE))
    elif facts["te_ms"] is not None and not weighting.t1 and not tagged_t1:
        found.append(("not recognised as T1-weighted", values_text(facts), NOTE))
    text = description_of(facts)
    if not kind and (named := other_weighting(text) or other_kind(text)):
        found.append((f"the description names {named}", _description(facts), NOTE))
    if not kind and is_secondary(facts):
        found.append(("derived from other images", f"ImageType {facts['image_type']}", NOTE))
    return found


def _kind_text(kind):
    return {"computed": "computed or phase image", "secondary-capture": "secondary capture"}.get(kind, f"{kind}-like")


def _description(facts):
    return repr(facts["description"] or facts["protocol"]) if facts["description"] or facts["protocol"] else ""


def _rows_of_cohort(rows, cohort):
    """Return the row of the cohort table of each patient; empty where there is none."""
    if cohort is None:
        return [{}] * len(rows)
    by_patient = dict(zip(normalise_ids(cohort["patient_id"]), cohort.to_dict("records"), strict=True))
    return [by_patient.get(key, {}) for key in normalise_ids([row["patient_id"] for row in rows])]


def _compare_sequences(rows, tables):
    """Yield the patients whose kinds of images differ from those of most patients of their site."""
    kinds = [" ".join(filter(None, [weighting_text(row), row["acquisition_type"].upper()])) for row in rows]
    for number, detail in _unusual_at_site(kinds, tables):
        yield number, "sequence differs from the other patients of the site", detail
    for number, detail in _unusual_at_site([row["further_images"] for row in rows], tables):
        yield number, "further images differ from the other patients of the site", detail


def _unusual_at_site(kinds, tables):
    """Yield the patients whose kind is not that of most patients of their site, and what that is."""
    sites = {}
    for number, (kind, patient) in enumerate(zip(kinds, tables, strict=True)):
        if kind:
            sites.setdefault(patient.get("site"), {}).setdefault(kind, []).append(number)
    for of_site in sites.values():
        total = sum(map(len, of_site.values()))
        usual = max(of_site, key=lambda kind: len(of_site[kind]))
        if total < FEWEST_OF_SITE or len(of_site[usual]) <= MAJORITY * total:
            continue
        for kind, numbers in of_site.items():
            for number in numbers if kind != usual else ():
                yield number, f"{kind}; {usual} in {len(of_site[usual])} of {total} patients"


def _compare_spacings(rows, tables):  # noqa: ARG001  all comparisons have the same arguments
    """Yield the patients whose slices are much further apart than those of others, or much closer."""
    known = [row["spacing_mm"] for row in rows if row["spacing_mm"] > 0]
    if len(known) < 2:
        return
    usual = median_low(known)
    for number, row in enumerate(rows):
        spacing = row["spacing_mm"]
        if spacing > 0 and max(spacing / usual, usual / spacing) > SPACING_RATIO:
            n = row["n_slices"]
            spans = f": {n} slices span {(n - 1) * spacing:.0f} mm against {(n - 1) * usual:.0f}" if n > 1 else ""
            yield (
                number,
                "slice spacing differs from the other patients",
                f"{spacing:.2g} mm, others {usual:.2g}{spans}",
            )


def _compare_dates(rows, tables):
    """Yield the patients whose study has another date than their row of the cohort table allows."""
    for number, (row, patient) in enumerate(zip(rows, tables, strict=True)):
        date = row["study_date"]
        if pd.isna(date):
            continue
        end, lesion, stated = (_date(patient.get(name)) for name in ("radiotherapy_end", "lesion_date", "study_date"))
        if date < end:
            yield (
                number,
                "study date before the end of radiotherapy",
                f"{date:%Y-%m-%d}, radiotherapy to {end:%Y-%m-%d}",
            )
        if not pd.isna(lesion) and abs((date - lesion).days) > MOST_DAYS:
            yield number, "study date far from the lesion's", f"{date:%Y-%m-%d}, lesion of {lesion:%Y-%m-%d}"
        if not pd.isna(stated) and date != stated:
            yield number, "study date differs from the table", f"{date:%Y-%m-%d}, table {stated:%Y-%m-%d}"


def _date(value):
    if is_missing(value):
        return pd.NaT
    date = pd.to_datetime(value, errors="coerce", format="ISO8601" if isinstance(value, str) else None)
    return date if pd.isna(date) else date.normalize()
