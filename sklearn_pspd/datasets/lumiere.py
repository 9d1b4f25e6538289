"""The LUMIERE cohort of figshare."""

import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sklearn_pspd.cohort.labels import STABLE_DAYS, label_lesions

from ._records import (
    IMAGE_MODES,
    SEXES,
    Report,
    check_choice,
    find_table,
    has_image,
    largest_slice,
    read_records,
    to_cohort,
)

ADVICE = "get LUMIERE from https://doi.org/10.6084/m9.figshare.c.5904905"
SITE = "LUMIERE"
DAYS_PER_WEEK = 7
CHANGES = {"PD": "increased", "SD": "stable", "PR": "decreased", "CR": "decreased"}
SURGERY = ("Post-Op", "Post-Op/PD")
RATINGS = {rating: rating for rating in (*CHANGES, "Pre-Op", *SURGERY, "")}
UNKNOWN = dict.fromkeys(("na", "n/a", ""), "unknown")
IDH = {"wt": "wildtype", "r132h mut": "mutated", "idh1 neg, sequencing required": "unknown", **UNKNOWN}
MGMT = {"methylated": "methylated", "not methylated": "unmethylated", **UNKNOWN}
EARLY = "LessThan3Months"
MARKS = {"x": True, "X": True, "": False}
COLUMNS = ("Date", EARLY)
MASK = Path("HD-GLIO-AUTO-segmentation") / "native" / "segmentation_CT1_origspace.nii.gz"


class _Rating(NamedTuple):
    day: int
    part: int
    week: str
    rating: str
    is_early: bool


def load_lumiere(
    root,
    *,
    images="required",
    stable_days=STABLE_DAYS,
    enhancing_label=2,
    ratings=None,
    demographics=None,
    return_report=False,
):
    """Load LUMIERE: 91 patients with a RANO rating at each follow-up, labelled by their later ratings.

    **The data set [1]_ has no labels of pseudoprogression.** The first rating PD is taken as the appearance of a
    lesion, and the later ratings are passed to :func:`~sklearn_pspd.cohort.label_lesions`: PD as an increase, SD as
    stable, PR and CR as a decrease, Post-Op as an intervention. RANO rates the whole disease, not one lesion, and a
    patient without later ratings is "undetermined". Exclude these patients or use them without labels, and report
    which.

    Parameters
    ----------
    root : path-like
        Folder with the CSV files (or a folder in it) and ``Imaging``.
    images : {"required", "available", "none"}, default="required"
        What happens if a patient has no image: "required" raises an error, "available" leaves the patient out and
        reports this, "none" does not look for images.
    stable_days : int, default=120
        As in :func:`~sklearn_pspd.cohort.label_lesions`.
    enhancing_label : int, default=2
        Value of the enhancing tumour in the HD-GLIO-AUTO masks; the slice with its largest area is the lesion position.
    ratings, demographics : path-like, default=None
        The tables. None looks in `root` and the folders in it for CSV files whose names begin with
        "lumiere-expertrating" and "lumiere-demographics", in upper or lower case.
    return_report : bool, default=False
        Whether to return the findings as a table instead of issuing a warning.

    Returns
    -------
    cohort : DataFrame
        One row per patient with a rating PD: ``patient_id``, ``site``, ``age_years`` (at surgery), ``sex``, ``mgmt``,
        ``idh``, ``outcome`` ("PD", "PsPD" or "undetermined"), ``rule`` (the deciding rule), ``week`` (folder of the
        first PD), ``baseline_days`` (since the pre-operative scan, computed from the week) and ``less_than_3_months``
        (whether the table marks the first PD so). With images also ``image`` and ``lesion_slice`` (missing if there is
        no mask). The data set contains neither dose and fractions nor the date of radiotherapy, so these columns are
        absent.
    report : DataFrame
        Only with `return_report`: one row per finding, with the columns patient_id, finding, column, value and
        in_cohort.

    Raises
    ------
    FileNotFoundError
        If a table does not exist.
    InputError
        If columns are missing, a cell holds an unknown code or week, a patient has no demographics, or images are
        missing; all problems are listed.

    Warns
    -----
    CohortWarning
        Without `return_report`: the patients left out and the anomalies found.

    Notes
    -----
    White space around ratings is removed. "Post-Op/PD" counts as Post-Op and is reported; scans without a rating and
    scans with different ratings are also reported. Weeks count from the pre-operative scan. Scans of one week, such as
    week-000-1 and week-000-2, are treated as having one date (our choice): a second PD in the week of the first is not
    an increase, and different ratings in one week are contradictory and not used for the label.

    The column ``LessThan3Months`` is not documented. RANO accepts a PD less than three months after radiotherapy only
    outside the irradiated volume or after a biopsy, and the column is assumed to mark this case; no rule uses it.

    References
    ----------
    .. [1] Suter Y, Knecht U, Valenzuela W, et al. The LUMIERE dataset: longitudinal glioblastoma MRI with expert RANO
       evaluation. Scientific Data 9, 768 (2022). doi:10.1038/s41597-022-01881-7

    Examples
    --------
    >>> from sklearn_pspd.datasets import load_lumiere
    >>> load_lumiere("no-such-folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: no-such-folder: no such folder; get LUMIERE from https://doi.org/10.6084/m9.figshare.c.5904905
    """
    check_choice("images", images, IMAGE_MODES)
    report = Report("LUMIERE")
    rated = read_records(find_table(root, ratings, "lumiere-expertrating*.csv", ADVICE), report, "Patient", COLUMNS)
    people = read_records(find_table(root, demographics, "lumiere-demographics*.csv", ADVICE), report, "Patient")
    people.refuse_repeated_ids("Patient")
    rated.adopt_spelling(people)
    histories = _read_ratings(rated, report)
    known = _read_people(people, report)
    report.raise_problems()
    rows = _label(histories, known, stable_days, report)
    if images != "none":
        rows = [row for row in rows if _add_image(row, Path(root), images, enhancing_label, report)]
    return to_cohort(rows, report, return_report)


def _column(records, prefix, report):
    """Return the only column whose name begins with `prefix`; a legend follows in the name."""
    found = [column for column in records.table.columns if column.startswith(prefix)]
    if len(found) != 1:
        report.add_problem(f"{records.path}: {len(found)} columns begin with {prefix!r}; exactly one is required")
        report.raise_problems()
    return found[0]


def _read_ratings(records, report):
    """Return the ratings of each patient in chronological order, without repeated rows."""
    column = _column(records, "Rating (", report)
    cells = zip(
        records.ids, records.texts("Date"), records.codes(column, RATINGS), records.codes(EARLY, MARKS), strict=True
    )
    histories = {}
    for row, (patient_id, week, rating, is_early) in enumerate(cells):
        parts = re.fullmatch(r"week-(\d{3})(?:-(\d))?", week)
        if parts is None:
            records.add_problem(row, "Date", f"holds {week!r}, which is not of the form week-nnn or week-nnn-n")
            continue
        if rating == "":
            report.add_finding(patient_id, "scan without a rating", "Date", week)
        elif rating == "Post-Op/PD":
            report.add_finding(patient_id, "rated Post-Op/PD, treated as Post-Op", "Date", week)
        entry = _Rating(DAYS_PER_WEEK * int(parts[1]), int(parts[2] or 1), week, rating or "", bool(is_early))
        histories.setdefault(patient_id, set()).add(entry)
    histories = {patient_id: sorted(found) for patient_id, found in histories.items()}
    for patient_id, history in histories.items():
        _report_different_ratings(patient_id, history, report)
    return histories


def _report_different_ratings(patient_id, history, report):
    ratings = {}
    for entry in history:
        if entry.rating:
            ratings.setdefault(entry.week, set()).add(entry.rating)
    for week, of_scan in ratings.items():
        if len(of_scan) > 1:
            listing = ", ".join(sorted(of_scan))
            report.add_finding(patient_id, "scan with different ratings", "Date", f"{week}: {listing}")


def _read_people(records, report):
    ages = records.clinical_numbers(_column(records, "Age at surgery", report), "age_years", missing=("", "na"))
    sexes = records.codes(_column(records, "Sex", report), SEXES, fold=True)
    idh_column = _column(records, "IDH (", report)
    idh = records.codes(idh_column, IDH, fold=True)
    mgmt = records.codes(_column(records, "MGMT qualitative", report), MGMT, fold=True)
    for patient_id, text in zip(records.ids, records.texts(idh_column), strict=True):
        if "sequencing" in text.lower():
            report.add_finding(patient_id, "IDH negative but not sequenced, treated as unknown", idh_column, text)
    return {
        patient_id: {"age_years": age, "sex": sex, "mgmt": methylation, "idh": mutation}
        for patient_id, age, sex, methylation, mutation in zip(records.ids, ages, sexes, mgmt, idh, strict=True)
    }


def _label(histories, known, stable_days, report):
    """Return one row per patient with a rating PD, with the label from the later ratings."""
    # The first PD of each patient.
    first = {}
    for patient_id, history in histories.items():
        progressions = [entry for entry in history if entry.rating == "PD"]
        if not progressions:
            report.add_finding(patient_id, "left out: never rated PD")
        elif patient_id not in known:
            report.add_problem(f"{patient_id}: has ratings and no row in the demographics table")
        else:
            first[patient_id] = progressions[0]
    if not first:
        return []
    # Labels from the ratings since then.
    events = [event for name, start in first.items() for event in _events(name, start, histories[name])]
    followup = pd.DataFrame(events, columns=["lesion_id", "date", "kind", "result"])
    labels = label_lesions(followup, stable_days=stable_days).set_index("lesion_id")
    # One row per patient; contradictions and undetermined outcomes are reported.
    rows = []
    for patient_id, start in first.items():
        label = labels.loc[patient_id]
        of_scan = [entry for entry in histories[patient_id] if entry.week == start.week]
        if label["conflict"]:
            report.add_finding(patient_id, "contradictory ratings", "Rating", label["conflict"])
        if label["outcome"] == "undetermined":
            report.add_finding(patient_id, "outcome undetermined", value=label["remark"])
        rows.append(
            {
                "patient_id": patient_id,
                "site": SITE,
                **known[patient_id],
                "outcome": label["outcome"],
                "rule": label["rule"],
                "week": start.week,
                "baseline_days": start.day,
                "less_than_3_months": any(entry.is_early for entry in of_scan),
            }
        )
    return rows


def _events(patient_id, start, history):
    """Yield the appearance of the lesion and the follow-up events that the ratings since then describe."""
    yield patient_id, start.day, "appearance", ""
    later = [entry for entry in history if entry[:2] >= start[:2]]
    ratings_of_week = {entry.rating for entry in later if entry.day == start.day and entry.rating in CHANGES}
    for entry in later:
        if entry.rating in SURGERY:
            yield patient_id, entry.day, "intervention", entry.rating
        # In the week of the appearance, a rating PD is the appearance itself unless another rating contradicts it.
        elif entry.rating in CHANGES and (entry.day > start.day or len(ratings_of_week) > 1):
            yield patient_id, entry.day, "mri", CHANGES[entry.rating]


def _add_image(row, root, images, label, report):
    """Add the image of the first PD and the lesion position; return whether the patient stays in the cohort."""
    folder = root / "Imaging" / row["patient_id"] / row["week"]
    image = folder / "CT1.nii.gz"
    if not has_image(report, images, row["patient_id"], image):
        return False
    row["image"] = str(image.resolve())
    row["lesion_slice"] = largest_slice(report, row["patient_id"], image, folder / MASK, label)
    return True
