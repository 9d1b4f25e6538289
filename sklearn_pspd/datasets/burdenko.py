"""The Burdenko-GBM-Progression cohort of The Cancer Imaging Archive."""

import math
from itertools import pairwise
from typing import NamedTuple

from sklearn_pspd.loading.errors import ImageError

from ._radiotherapy import index_series, read_contours, read_prescriptions
from ._records import IMAGE_MODES, SEXES, Report, check_choice, deliver, find_folder, find_table, read_records

ADVICE = (
    "get Burdenko-GBM-Progression from https://doi.org/10.7937/E1QP-D183 (the clinical table is open, images need a "
    "signed licence)"
)
SITE = "Burdenko"
VISITS = ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th", "10th")
DATE_FORM = "%m/%d/%y"
OUTCOMES = {"progression": "PD", "pseudo progression": "PsPD"}
SINGLE_CALLS = ("response", "stable", "progression", "pseudo progression", "distant progression")
CALL_RULES = ("first_progression", "first_followup")
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
    call: str


def load_burdenko(
    root,
    *,
    call="first_progression",
    images="required",
    table=None,
    series="CET1",
    assume_registered=False,
    return_report=False,
):
    """Load Burdenko-GBM-Progression [1]_: 180 patients with a call of response at up to ten follow-ups.

    .. warning::
       **Days since radiotherapy repeat the label.** A call of pseudoprogression is made early by definition, so in
       this table the days alone separate the outcomes (AUC 0.88 in 10-fold cross-validation, 0.52 for age, sex, MGMT
       and IDH). That is how the label was made, and no finding about the disease. Leave ``interval_days`` out, or say
       so; :func:`~sklearn_pspd.model_selection.audit_leaks` finds it.

    Parameters
    ----------
    root : path-like
        Folder of the download.
    call : {"first_progression", "first_followup"}, default="first_progression"
        Which follow-up makes the outcome: the first whose call is exactly "progression" (PD) or "pseudo progression"
        (PsPD), or the first of all, where it is one of these. Other calls, and mixtures such as
        "response, pseudo progression", make no outcome.
    images : {"required", "available", "none"}, default="required"
        Whether a patient without an image is an error, is left out and reported, or no image is looked for.
    table : path-like, default=None
        The clinical table as CSV; None takes the one in `root` or a folder in it whose name begins with "burdenko" and
        has "clinical" in it, in any letter case.
    series : str, default="CET1"
        Text in the description of the post-contrast series.
    assume_registered : bool, default=False
        Whether contours are used as heights in the image even where their frame of reference is another one. The
        contours are drawn on the planning CT and the MRI is not registered to it, so this is right only for images
        that you have registered to the CT yourself.
    return_report : bool, default=False
        Whether findings are returned as a table rather than warned of.

    Returns
    -------
    cohort : DataFrame
        One row a patient with an outcome: ``patient_id``, ``site``, ``age_years`` (at the planning study), ``sex``,
        ``mgmt``, ``idh``, ``interval_days`` (end of radiotherapy to the follow-up; **below 0 where the table says
        so**), ``outcome`` and ``follow_up`` (number of the follow-up, 1 to 10). With images also ``image`` (folder of
        the series), ``lesion_z_mm`` (from the contour FU_n_CE, in mm towards the head), ``contour_z_mm`` (the same
        in the frame of reference of the contour), ``dose_gy`` and ``n_fractions`` (from the plan); each missing where
        the download does not have it. Without images these columns are absent.
    report : DataFrame
        With `return_report`: findings, one row each, with the columns patient_id, finding, column, value and
        in_cohort.

    Raises
    ------
    FileNotFoundError
        If the table is not there.
    ValueError
        If columns are missing, a cell holds an unknown code or an impossible date, or images are missing; all at once.

    Warns
    -----
    CohortWarning
        Without `return_report`: who was left out and what is odd, by patient.

    Notes
    -----
    The follow-up's study is the one of the same date, or failing that the one described as "Control visit n", which is
    reported. Cells of MGMT and IDH that are empty or "?" are "unknown".

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
    check_choice("call", call, CALL_RULES)
    check_choice("images", images, IMAGE_MODES)
    report = Report("Burdenko-GBM-Progression")
    path = find_table(root, table, "burdenko*clinical*.csv", ADVICE)
    columns = [*CODES, *DATE_COLUMNS, "AgeAtStudyDate"]
    columns += [column for visit in VISITS for column in (_call_column(visit), _date_column(visit))]
    records = read_records(path, report, "AnonymPatientID", columns)
    records.refuse_repeated_ids("AnonymPatientID")
    rows = _clinical_rows(records, report, call)
    if images != "none":
        rows = [row for row in rows if _add_images(row, root, series, images, assume_registered, report)]
    for row in rows:
        row.pop("date")
    return deliver(rows, report, return_report)


def _clinical_rows(records, report, call):
    """Return a row for each patient with an outcome; the others are reported."""
    codes = {column: records.codes(column, meanings) for column, meanings in CODES.items()}
    ages = records.numbers("AgeAtStudyDate", low=0, high=120)
    surgery, rt_start, rt_end = (records.dates(column, DATE_FORM) for column in DATE_COLUMNS)
    rows = []
    for number, (patient_id, visits) in enumerate(zip(records.ids, _read_visits(records), strict=True)):
        if not visits and rt_end[number] is None and codes["Sex"][number] is None:
            report.find(patient_id, "left out: empty row")
            continue
        _report_dates(patient_id, visits, surgery[number], rt_start[number], rt_end[number], report)
        _report_calls(patient_id, visits, report)
        deciding = _deciding_visit(visits, call)
        if deciding is None:
            report.find(
                patient_id,
                f"left out: no call that makes an outcome ({call})",
                value="; ".join(visit.call for visit in visits),
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
            "outcome": OUTCOMES[deciding.call],
            "follow_up": deciding.number,
            "date": deciding.date,
        }
        _report_row(row, visits, deciding, report)
        rows.append(row)
    return rows


def _read_visits(records):
    """Return each patient's follow-ups that have a date or a call."""
    dates = [records.dates(_date_column(visit), DATE_FORM) for visit in VISITS]
    texts = {text for visit in VISITS for text in records.texts(_call_column(visit)) if _is_call(text)}
    meanings = {text: text for text in (*SINGLE_CALLS, *sorted(texts - set(SINGLE_CALLS)), "")}
    calls = [records.codes(_call_column(visit), meanings) for visit in VISITS]
    table = []
    for row in range(len(records.ids)):
        visits = []
        for number, visit in enumerate(VISITS):
            date, call = dates[number][row], calls[number][row]
            if call and not records.texts(_date_column(visit))[row]:
                records.problem(row, _date_column(visit), f"is empty beside the call {call!r}")
            elif date is not None:
                visits.append(_Visit(number + 1, date, call or ""))
        table.append(visits)
    return table


def _is_call(text):
    """Say whether a cell is one of the calls, or a mixture of them with commas."""
    return all(part.strip() in SINGLE_CALLS for part in text.split(","))


def _deciding_visit(visits, call):
    candidates = [visit for visit in visits if call == "first_progression" or visit.number == 1]
    return next((visit for visit in candidates if visit.call in OUTCOMES), None)


def _report_dates(patient_id, visits, surgery, rt_start, rt_end, report):
    if rt_end is None:
        report.find(patient_id, "no end of radiotherapy", "AnonymEnd of RT")
    elif visits and visits[0].number == 1 and visits[0].date < rt_end:
        days = _days(rt_end, visits[0].date)
        report.find(patient_id, "first follow-up before the end of radiotherapy", "Anonym1st_fup", f"{days:g} days")
    if surgery is not None and rt_start is not None and surgery > rt_start:
        report.find(patient_id, "surgery after the start of radiotherapy", "AnonymDate of surgery", surgery.isoformat())
    if rt_start is not None and rt_end is not None and rt_end < rt_start:
        report.find(patient_id, "end of radiotherapy before its start", "AnonymEnd of RT", rt_end.isoformat())
    for before, after in pairwise(visits):
        if after.date <= before.date:
            column = _date_column(VISITS[after.number - 1])
            report.find(patient_id, "follow-ups out of order", column, after.date.isoformat())


def _report_calls(patient_id, visits, report):
    for visit in visits:
        column = _call_column(VISITS[visit.number - 1])
        if not visit.call:
            report.find(patient_id, "follow-up with a date but no call", column, visit.date.isoformat())
        elif visit.call not in SINGLE_CALLS:
            report.find(patient_id, "call that is a mixture, which makes no outcome", column, visit.call)


def _report_row(row, visits, deciding, report):
    if row["interval_days"] < 0:
        report.find(row["patient_id"], "interval_days below 0", "interval_days", f"{row['interval_days']:g}")
    if row["age_years"] < ADULT_YEARS:
        report.find(row["patient_id"], "a child", "AgeAtStudyDate", f"{row['age_years']:g}")
    later = [visit for visit in visits if visit.number > deciding.number and visit.call == "progression"]
    if row["outcome"] == "PsPD" and later:
        column = _call_column(VISITS[later[0].number - 1])
        report.find(row["patient_id"], "PsPD, but progression is called later", column, later[0].date.isoformat())


def _add_images(row, root, description, images, assume_registered, report):
    """Add what the patient's DICOM folder has to the row; say whether the patient stays."""
    patient_id = row["patient_id"]
    folder = find_folder(root, patient_id)
    if folder is None:
        report.missing_image(images, patient_id, f"no folder {patient_id} in {root} or up to two folders further down")
        return False
    try:
        found = index_series(folder)
        image = _find_image(row, found, folder, description, images, report)
        if image is None:
            return False
        row["image"] = image.folder
        row["dose_gy"], row["n_fractions"] = _prescription(patient_id, found, report)
        row["contour_z_mm"], row["lesion_z_mm"] = _lesion_height(row, found, image, assume_registered, report)
    except ImageError as error:
        report.problem(f"{patient_id}: {error}")
        return False
    return True


def _find_image(row, found, folder, description, images, report):
    patient_id, number, date = row["patient_id"], row["follow_up"], row["date"]
    scans = [series for series in found if series.modality == "MR"]
    of_visit = [series for series in scans if series.study_date == date]
    if not of_visit:
        name = f"control visit {number}"
        of_visit = [series for series in scans if series.study.lower() == name]
        for day in sorted({str(series.study_date) for series in of_visit}):
            report.find(patient_id, "study found by its description, as its date differs", folder, f"{day}, not {date}")
    wanted = [series for series in of_visit if description.lower() in series.description.lower()]
    if not wanted:
        seen = sorted({f"{series.study_date} {series.description}" for series in of_visit or scans})
        text = f"{folder} has no MR series {description!r} of follow-up {number} ({date}); it has {', '.join(seen[:8])}"
        report.missing_image(images, patient_id, text)
        return None
    if len(wanted) > 1:
        names = ", ".join(f"{series.folder} ({series.description})" for series in wanted)
        report.problem(f"{patient_id}: several series {description!r} of follow-up {number}: {names}; narrow series=")
        return None
    return wanted[0]


def _prescription(patient_id, found, report):
    pairs = read_prescriptions(found)
    if len(pairs) == 1 and not any(map(math.isnan, pairs[0])):
        return pairs[0]
    if not pairs:
        report.find(patient_id, "no radiotherapy plan")
        return math.nan, math.nan
    shown = "; ".join(f"{dose:g} Gy in {fractions:g} fractions" for dose, fractions in pairs)
    report.find(patient_id, "radiotherapy plans that state no or no single prescription", value=shown)
    return pairs[0] if len(pairs) == 1 else (math.nan, math.nan)


def _lesion_height(row, found, image, assume_registered, report):
    """Return the contour's height in its own frame of reference and, if that is the image's, in the image."""
    name = f"FU_{row['follow_up']}_CE"
    contours = list(dict.fromkeys(read_contours(found, name)))
    if len(contours) != 1:
        shown = f"{len(contours)} contours" if contours else ""
        report.find(row["patient_id"], "no single contour of the lesion", name, shown)
        return math.nan, math.nan
    contour = contours[0]
    if contour.frame_uid == image.frame_uid != "":
        return contour.z_mm, contour.z_mm
    if assume_registered:
        report.find(row["patient_id"], "contour in another frame of reference, taken as registered", name)
        return contour.z_mm, contour.z_mm
    report.find(row["patient_id"], "contour in another frame of reference than the image", name, f"{contour.z_mm:g} mm")
    return contour.z_mm, math.nan


def _days(start, end):
    return math.nan if start is None or end is None else (end - start).days


def _call_column(visit):
    return f"Response_{visit}_fup"


def _date_column(visit):
    return f"Anonym{visit}_fup"
