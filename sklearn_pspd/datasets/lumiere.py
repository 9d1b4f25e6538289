"""The LUMIERE cohort of figshare."""

import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sklearn_pspd.cohort.labels import STABLE_DAYS, label_lesions

from ._records import IMAGE_MODES, SEXES, Report, check_choice, deliver, find_table, largest_slice, read_records

ADVICE = "get LUMIERE from https://doi.org/10.6084/m9.figshare.c.5904905"
SITE = "LUMIERE"
DAYS_A_WEEK = 7
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
    """Load LUMIERE [1]_: 91 patients with a rating by RANO at each follow-up, labelled by what the next ratings say.

    **The set has no label of pseudoprogression.** The first rating PD is taken as the appearance of a lesion, and
    :func:`~sklearn_pspd.cohort.label_lesions` reads the ratings after it: PD as an increase, SD as stable, PR and CR
    as a decrease, Post-Op as an intervention. RANO rates the whole disease rather than one lesion, and most patients
    stay "undetermined" if nothing follows; drop them or use them unlabelled, but say so.

    Parameters
    ----------
    root : path-like
        Folder with the CSV files (or a folder in it) and ``Imaging``.
    images : {"required", "available", "none"}, default="required"
        Whether a patient without an image is an error, is left out and reported, or no image is looked for.
    stable_days : int, default=120
        As in :func:`~sklearn_pspd.cohort.label_lesions`.
    enhancing_label : int, default=2
        Value of the enhancing tumour in the masks of HD-GLIO-AUTO, whose largest slice is the lesion's position.
    ratings, demographics : path-like, default=None
        The tables; None takes those whose names begin with "lumiere-expertrating" and "lumiere-demographics".
    return_report : bool, default=False
        Whether findings are returned as a table rather than warned of.

    Returns
    -------
    cohort : DataFrame
        One row a patient who was ever rated PD: ``patient_id``, ``site``, ``age_years`` (at surgery), ``sex``,
        ``mgmt``, ``idh``, ``outcome`` ("PD", "PsPD" or "undetermined"), ``rule`` (that decided), ``week`` (folder of
        the first PD), ``baseline_days`` (since the pre-operative scan, from the week) and ``less_than_3_months``
        (whether the table marks the first PD so). With images also ``image`` and ``lesion_slice`` (missing without a
        mask). The set has neither dose and fractions nor the date of radiotherapy: these columns are absent.
    report : DataFrame
        With `return_report`: findings, one row each.

    Raises
    ------
    FileNotFoundError
        If a table is not there.
    ValueError
        If columns are missing, a cell holds an unknown code or week, a patient has no demographics, or images are
        missing; all at once.

    Warns
    -----
    CohortWarning
        Without `return_report`: who was left out, and what is odd.

    Notes
    -----
    Ratings are trimmed. "Post-Op/PD" counts as Post-Op and is reported; so are scans without a rating and scans rated
    twice. Weeks count from the pre-operative scan; scans of one week, such as week-000-1 and week-000-2, have one date
    (ours): a second PD in the week of the first is no increase, and different ratings of one week contradict one
    another, so that they decide nothing.

    The table's column ``LessThan3Months`` has no legend. RANO trusts a PD less than three months after radiotherapy
    only outside the irradiated volume or after a biopsy, and that is what the mark is taken for; it enters no rule.

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
    histories = _read_ratings(rated, report)
    known = _read_people(people, report)
    report.stop()
    rows = _label(histories, known, stable_days, report)
    if images != "none":
        rows = [row for row in rows if _add_image(row, Path(root), images, enhancing_label, report)]
    return deliver(rows, report, return_report)


def _column(records, prefix, report):
    """Return the one column whose name begins so; the names carry their legend."""
    found = [column for column in records.table.columns if column.startswith(prefix)]
    if len(found) != 1:
        report.problem(f"{records.path}: {len(found)} columns begin with {prefix!r}; one is needed")
        report.stop()
    return found[0]


def _read_ratings(records, report):
    """Return each patient's ratings in the order of time; repeated rows once."""
    column = _column(records, "Rating (", report)
    cells = zip(
        records.ids, records.texts("Date"), records.codes(column, RATINGS), records.codes(EARLY, MARKS), strict=True
    )
    histories = {}
    for row, (patient_id, week, rating, is_early) in enumerate(cells):
        parts = re.fullmatch(r"week-(\d{3})(?:-(\d))?", week)
        if parts is None:
            records.problem(row, "Date", f"holds {week!r}, which is no week-nnn or week-nnn-n")
            continue
        if rating == "":
            report.find(patient_id, "scan without a rating", "Date", week)
        elif rating == "Post-Op/PD":
            report.find(patient_id, "rated Post-Op/PD, taken as Post-Op", "Date", week)
        entry = _Rating(DAYS_A_WEEK * int(parts[1]), int(parts[2] or 1), week, rating or "", bool(is_early))
        histories.setdefault(patient_id, set()).add(entry)
    for patient_id, found in histories.items():
        ratings = {}
        for entry in sorted(found):
            if entry.rating:
                ratings.setdefault(entry.week, set()).add(entry.rating)
        for week, of_scan in ratings.items():
            if len(of_scan) > 1:
                report.find(patient_id, "scan rated in two ways", "Date", f"{week}: {', '.join(sorted(of_scan))}")
    return {patient_id: sorted(found) for patient_id, found in histories.items()}


def _read_people(records, report):
    ages = records.numbers(_column(records, "Age at surgery", report), missing=("", "na"), low=0, high=120)
    sexes = records.codes(_column(records, "Sex", report), SEXES, fold=True)
    idh_column = _column(records, "IDH (", report)
    idh = records.codes(idh_column, IDH, fold=True)
    mgmt = records.codes(_column(records, "MGMT qualitative", report), MGMT, fold=True)
    for patient_id, text in zip(records.ids, records.texts(idh_column), strict=True):
        if "sequencing" in text.lower():
            report.find(patient_id, "IDH negative but not sequenced, taken as unknown", idh_column, text)
    return {
        patient_id: {"age_years": age, "sex": sex, "mgmt": methylation, "idh": mutation}
        for patient_id, age, sex, methylation, mutation in zip(records.ids, ages, sexes, mgmt, idh, strict=True)
    }


def _label(histories, known, stable_days, report):
    """Return a row for each patient who was rated PD, with the label that the later ratings make."""
    first = {}
    for patient_id, history in histories.items():
        progressions = [entry for entry in history if entry.rating == "PD"]
        if not progressions:
            report.find(patient_id, "left out: never rated PD")
        elif patient_id not in known:
            report.problem(f"{patient_id}: has ratings and no row in the demographics table")
        else:
            first[patient_id] = progressions[0]
    if not first:
        return []
    events = [event for name, start in first.items() for event in _events(name, start, histories[name])]
    followup = pd.DataFrame(events, columns=["lesion_id", "date", "kind", "result"])
    labels = label_lesions(followup, stable_days=stable_days).set_index("lesion_id")
    rows = []
    for patient_id, start in first.items():
        label = labels.loc[patient_id]
        of_scan = [entry for entry in histories[patient_id] if entry.week == start.week]
        if label["conflict"]:
            report.find(patient_id, "ratings that contradict one another", "Rating", label["conflict"])
        if label["outcome"] == "undetermined":
            report.find(patient_id, "outcome undetermined", value=label["remark"])
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
    """List the appearance of the lesion and what the ratings from then on say of it."""
    yield patient_id, start.day, "appearance", ""
    later = [entry for entry in history if entry[:2] >= start[:2]]
    of_its_week = {entry.rating for entry in later if entry.day == start.day and entry.rating in CHANGES}
    for entry in later:
        if entry.rating in SURGERY:
            yield patient_id, entry.day, "intervention", entry.rating
        # What the week of the appearance calls PD, and nothing else, is the appearance.
        elif entry.rating in CHANGES and (entry.day > start.day or len(of_its_week) > 1):
            yield patient_id, entry.day, "mri", CHANGES[entry.rating]


def _add_image(row, root, images, label, report):
    """Add the image of the first PD and the position of the lesion; say whether the patient stays."""
    folder = root / "Imaging" / row["patient_id"] / row["week"]
    image = folder / "CT1.nii.gz"
    if not image.is_file():
        report.missing_image(images, row["patient_id"], f"{image} does not exist")
        return False
    row["image"] = str(image.resolve())
    row["lesion_slice"] = largest_slice(report, row["patient_id"], image, folder / MASK, label)
    return True
