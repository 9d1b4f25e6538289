"""The Burdenko-GBM-Progression cohort of The Cancer Imaging Archive."""

import math
from itertools import pairwise
from typing import NamedTuple

from sklearn_pspd.cohort.columns import POINT_COLUMNS
from sklearn_pspd.loading.errors import ImageError

from ._radiotherapy import index_series, read_contours, read_prescriptions
from ._records import IMAGE_MODES, SEXES, Report, check_choice, find_folder, find_table, read_records, to_cohort

ADVICE = (
    "get Burdenko-GBM-Progression from https://doi.org/10.7937/E1QP-D183 (the clinical table is open access, the "
    "images require a signed licence)"
)
SITE = "Burdenko"
VISITS = ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th", "10th")
DATE_FORM = "%m/%d/%y"
OUTCOMES = {"progression": "PD", "pseudo progression": "PsPD"}
ASSESSMENTS = ("response", "stable", "progression", "pseudo progression", "distant progression")
ASSESSMENT_RULES = ("first_progression", "first_followup")
CODES = {
    "IDH1/2": {"positive": "mutated", "negative": "wildtype", "": "unknown"},
    "MGMT": {"positive": "methylated", "negative": "unmethylated", "?": "unknown", "": "unknown"},
    "Sex": {**{text.upper(): code for text, code in SEXES.items() if len(text) == 1}, "": None},
}
DATE_COLUMNS = ("AnonymDate of surgery", "AnonymStart of RT", "AnonymEnd of RT")
ADULT_YEARS = 18


class _Visit(NamedTuple):
    number: int
    date: object
    assessment: str


def load_burdenko(
    root,
    *,
    assessment="first_progression",
    images="required",
    table=None,
    series="CET1",
    assume_registered=False,
    return_report=False,
):
    """Load Burdenko-GBM-Progression: 180 patients with an assessment of response at up to ten follow-ups.

    The data set is described in [1]_.

    .. warning::
       **The days since radiotherapy repeat the label.** By definition, pseudoprogression is assessed early, so in this
       table the days alone separate the outcomes (AUC 0.88 in 10-fold cross-validation, compared with 0.52 for age,
       sex, MGMT and IDH). This is a consequence of how the labels were defined, not a finding about the disease.
       Exclude ``interval_days``, or report this; :func:`~sklearn_pspd.model_selection.audit_leaks` detects it.

    Parameters
    ----------
    root : path-like
        Folder of the download.
    assessment : {"first_progression", "first_followup"}, default="first_progression"
        Which follow-up determines the outcome: the first one that was assessed exactly as "progression" (PD) or "pseudo
        progression" (PsPD), or the first follow-up, if its assessment is one of these two. Other assessments, and
        mixed ones such as "response, pseudo progression", give no outcome.
    images : {"required", "available", "none"}, default="required"
        What happens if a patient has no image: "required" raises an error, "available" leaves the patient out and
        reports this, "none" does not look for images.
    table : path-like, default=None
        The clinical table as CSV. None looks in `root` and the folders in it for the file whose name begins with
        "burdenko" and contains "clinical", in upper or lower case.
    series : str, default="CET1"
        Text in the description of the post-contrast series.
    assume_registered : bool, default=False
        Whether the height of a contour is used as the lesion position in the image even if its frame of reference is
        another one. The contours were drawn on the planning CT, to which the MRI is not registered, so this is correct
        only if you have registered the images to the CT.
    return_report : bool, default=False
        Whether to return the findings as a table instead of issuing a warning.

    Returns
    -------
    cohort : DataFrame
        One row per patient with an outcome: ``patient_id``, ``site``, ``age_years`` (at the planning study), ``sex``,
        ``mgmt``, ``idh``, ``interval_days`` (end of radiotherapy to the follow-up; **negative where the dates in the
        table say so**), ``outcome`` and ``follow_up`` (number of the follow-up, 1 to 10). With images also ``image``
        (folder of the series), ``lesion_x_mm``, ``lesion_y_mm`` and ``lesion_z_mm`` (a point in the largest slice of
        the contour FU_n_CE, in mm to the right, the front and the head), ``contour_z_mm`` (its height in the frame of
        reference of the contour), ``dose_gy`` and ``n_fractions`` (from the radiotherapy
        plan); each is missing if the download does not contain it. Without images these columns are absent.
    report : DataFrame
        Only with `return_report`: one row per finding, with the columns patient_id, finding, column, value and
        in_cohort.

    Raises
    ------
    FileNotFoundError
        If the table does not exist.
    InputError
        If columns are missing, a cell holds an unknown code or an impossible date, or images are missing; all problems
        are listed.

    Warns
    -----
    CohortWarning
        Without `return_report`: the patients left out and the anomalies found.

    Notes
    -----
    The study of a follow-up is the one with the same date or, if there is none, the one described as "Control visit n";
    the latter is reported. Empty cells and "?" in MGMT and IDH are "unknown".

    References
    ----------
    .. [1] Zolotova SV, Golanov AV, Pronin IN, et al. Burdenko's Glioblastoma Progression Dataset
       (Burdenko-GBM-Progression). The Cancer Imaging Archive (2023). doi:10.7937/E1QP-D183

    Examples
    --------
    >>> from sklearn_pspd.datasets import load_burdenko
    >>> load_burdenko("no-such-folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: no-such-folder: no such folder; get Burdenko-GBM-Progression from ...
    """
    check_choice("assessment", assessment, ASSESSMENT_RULES)
    check_choice("images", images, IMAGE_MODES)
    report = Report("Burdenko-GBM-Progression")
    path = find_table(root, table, "burdenko*clinical*.csv", ADVICE)
    columns = [*CODES, *DATE_COLUMNS, "AgeAtStudyDate"]
    columns += [column for visit in VISITS for column in (_assessment_column(visit), _date_column(visit))]
    records = read_records(path, report, "AnonymPatientID", columns)
    records.refuse_repeated_ids("AnonymPatientID")
    rows = _clinical_rows(records, report, assessment)
    if images != "none":
        rows = [row for row in rows if _add_images(row, root, series, images, assume_registered, report)]
    for row in rows:
        row.pop("date")
    return to_cohort(rows, report, return_report)


def _clinical_rows(records, report, rule):
    """Return one row per patient with an outcome; report the other patients."""
    # Decode the columns.
    codes = {column: records.codes(column, meanings) for column, meanings in CODES.items()}
    ages = records.clinical_numbers("AgeAtStudyDate", "age_years")
    surgery, rt_start, rt_end = (records.dates(column, DATE_FORM) for column in DATE_COLUMNS)
    rows = []
    for number, (patient_id, visits) in enumerate(zip(records.ids, _read_visits(records), strict=True)):
        if not visits and rt_end[number] is None and codes["Sex"][number] is None:
            report.add_finding(patient_id, "left out: empty row")
            continue
        # Report anomalies, and find the follow-up that determines the outcome.
        _report_dates(patient_id, visits, surgery[number], rt_start[number], rt_end[number], report)
        _report_assessments(patient_id, visits, report)
        deciding = _deciding_visit(visits, rule)
        if deciding is None:
            report.add_finding(
                patient_id,
                f"left out: no assessment that gives an outcome ({rule})",
                value="; ".join(visit.assessment for visit in visits),
            )
            continue
        row = {
            "patient_id": patient_id,
            "site": SITE,
            "age_years": ages[number],
            "sex": codes["Sex"][number],
            "mgmt": codes["MGMT"][number],
            "idh": codes["IDH1/2"][number],
            "interval_days": _days(rt_end[number], deciding.date),
            "outcome": OUTCOMES[deciding.assessment],
            "follow_up": deciding.number,
            "date": deciding.date,
        }
        _report_row(row, visits, deciding, report)
        rows.append(row)
    return rows


def _read_visits(records):
    """Return, for each patient, the follow-ups with a date; an assessment without a date is a problem."""
    dates = [records.dates(_date_column(visit), DATE_FORM) for visit in VISITS]
    texts = {text for visit in VISITS for text in records.texts(_assessment_column(visit)) if _is_assessment(text)}
    meanings = {text: text for text in (*ASSESSMENTS, *sorted(texts - set(ASSESSMENTS)), "")}
    assessments = [records.codes(_assessment_column(visit), meanings) for visit in VISITS]
    table = []
    for row in range(len(records.ids)):
        visits = []
        for number, visit in enumerate(VISITS):
            date, assessment = dates[number][row], assessments[number][row]
            if assessment and not records.texts(_date_column(visit))[row]:
                records.add_problem(row, _date_column(visit), f"is empty, although the assessment is {assessment!r}")
            elif date is not None:
                visits.append(_Visit(number + 1, date, assessment or ""))
        table.append(visits)
    return table


def _is_assessment(text):
    """Return whether a cell holds one assessment, or several separated by commas."""
    return all(part.strip() in ASSESSMENTS for part in text.split(","))


def _deciding_visit(visits, rule):
    candidates = [visit for visit in visits if rule == "first_progression" or visit.number == 1]
    return next((visit for visit in candidates if visit.assessment in OUTCOMES), None)


def _report_dates(patient_id, visits, surgery, rt_start, rt_end, report):
    if rt_end is None:
        report.add_finding(patient_id, "no end of radiotherapy", "AnonymEnd of RT")
    elif visits and visits[0].number == 1 and visits[0].date < rt_end:
        days = _days(rt_end, visits[0].date)
        report.add_finding(
            patient_id, "first follow-up before the end of radiotherapy", "Anonym1st_fup", f"{days:g} days"
        )
    if surgery is not None and rt_start is not None and surgery > rt_start:
        report.add_finding(
            patient_id, "surgery after the start of radiotherapy", "AnonymDate of surgery", surgery.isoformat()
        )
    if rt_start is not None and rt_end is not None and rt_end < rt_start:
        report.add_finding(patient_id, "end of radiotherapy before its start", "AnonymEnd of RT", rt_end.isoformat())
    for before, after in pairwise(visits):
        if after.date <= before.date:
            column = _date_column(VISITS[after.number - 1])
            report.add_finding(patient_id, "follow-ups out of order", column, after.date.isoformat())


def _report_assessments(patient_id, visits, report):
    for visit in visits:
        column = _assessment_column(VISITS[visit.number - 1])
        if not visit.assessment:
            report.add_finding(patient_id, "follow-up with a date but no assessment", column, visit.date.isoformat())
        elif visit.assessment not in ASSESSMENTS:
            report.add_finding(patient_id, "mixed assessment, not used for the outcome", column, visit.assessment)


def _report_row(row, visits, deciding, report):
    if row["interval_days"] < 0:
        report.add_finding(row["patient_id"], "interval_days below 0", "interval_days", f"{row['interval_days']:g}")
    if row["age_years"] < ADULT_YEARS:
        report.add_finding(
            row["patient_id"], f"younger than {ADULT_YEARS} years", "AgeAtStudyDate", f"{row['age_years']:g}"
        )
    later = [visit for visit in visits if visit.number > deciding.number and visit.assessment == "progression"]
    if row["outcome"] == "PsPD" and later:
        column = _assessment_column(VISITS[later[0].number - 1])
        report.add_finding(
            row["patient_id"], "PsPD, but assessed as progression later", column, later[0].date.isoformat()
        )


def _add_images(row, root, description, images, assume_registered, report):
    """Add the contents of a patient's DICOM folder to the row; return whether the patient stays in the cohort."""
    patient_id = row["patient_id"]
    folder = find_folder(root, patient_id)
    if folder is None:
        report.add_missing_image(images, patient_id, f"no folder {patient_id} in {root} or up to two levels below")
        return False
    try:
        found = index_series(folder)
        image = _find_image(row, found, folder, description, images, report)
        if image is None:
            return False
        row["image"] = image.folder
        row["dose_gy"], row["n_fractions"] = _prescription(patient_id, found, report)
        contour, point = _lesion_point(row, found, image, assume_registered, report)
        row["contour_z_mm"] = contour
        row |= dict(zip(POINT_COLUMNS, point, strict=True))
    except ImageError as error:
        for text in error.problems:
            report.add_problem(f"{patient_id}: {text}")
        return False
    return True


def _find_image(row, found, folder, description, images, report):
    """Return the post-contrast series of the follow-up; None, and report it, if there is not exactly one."""
    patient_id, number, date = row["patient_id"], row["follow_up"], row["date"]
    # The MR series of the follow-up, by date or by description.
    scans = [series for series in found if series.modality == "MR"]
    of_visit = [series for series in scans if series.study_date == date]
    if not of_visit:
        name = f"control visit {number}"
        of_visit = [series for series in scans if series.study.lower() == name]
        for day in sorted({str(series.study_date) for series in of_visit}):
            report.add_finding(
                patient_id, "study identified by its description because its date differs", folder, f"{day}, not {date}"
            )
    # Among them the post-contrast series.
    wanted = [series for series in of_visit if description.lower() in series.description.lower()]
    if not wanted:
        seen = sorted({f"{series.study_date} {series.description}" for series in of_visit or scans})
        text = f"{folder} has no MR series {description!r} of follow-up {number} ({date}); it has {', '.join(seen[:8])}"
        report.add_missing_image(images, patient_id, text)
        return None
    if len(wanted) > 1:
        names = ", ".join(f"{series.folder} ({series.description})" for series in wanted)
        text = f"several series match {description!r} at follow-up {number}: {names}; pass a more specific series="
        report.add_problem(f"{patient_id}: {text}")
        return None
    return wanted[0]


def _prescription(patient_id, found, report):
    pairs = read_prescriptions(found)
    if len(pairs) == 1 and not any(map(math.isnan, pairs[0])):
        return pairs[0]
    if not pairs:
        report.add_finding(patient_id, "no radiotherapy plan")
        return math.nan, math.nan
    shown = "; ".join(f"{dose:g} Gy in {fractions:g} fractions" for dose, fractions in pairs)
    report.add_finding(patient_id, "radiotherapy plans without a single prescription", value=shown)
    return pairs[0] if len(pairs) == 1 else (math.nan, math.nan)


def _lesion_point(row, found, image, assume_registered, report):
    """Return the contour's height in its own frame of reference, and a point of it if that is the image's frame."""
    unknown = (math.nan,) * 3
    name = f"FU_{row['follow_up']}_CE"
    contours = list(dict.fromkeys(read_contours(found, name)))
    if len(contours) != 1:
        report.add_finding(
            row["patient_id"], "not exactly one contour of the lesion", name, f"{len(contours)} contours"
        )
        return math.nan, unknown
    contour = contours[0]
    if contour.frame_uid == image.frame_uid != "":
        return contour.z_mm, contour.point_mm
    if assume_registered:
        report.add_finding(
            row["patient_id"], "contour in another frame of reference than the image, assumed registered", name
        )
        return contour.z_mm, contour.point_mm
    report.add_finding(
        row["patient_id"], "contour in another frame of reference than the image", name, f"{contour.z_mm:g} mm"
    )
    return contour.z_mm, unknown


def _days(start, end):
    return math.nan if start is None or end is None else (end - start).days


def _assessment_column(visit):
    return f"Response_{visit}_fup"


def _date_column(visit):
    return f"Anonym{visit}_fup"
