"""The MU-Glioma-Post cohort of The Cancer Imaging Archive."""

import math
from pathlib import Path

from sklearn_pspd.exceptions import InputError

from ._records import (
    IMAGE_MODES,
    SEXES,
    Report,
    check_choice,
    find_folder,
    find_table,
    first_present,
    has_image,
    largest_slice,
    read_records,
    to_cohort,
)

ADVICE = "get MU-Glioma-Post from https://doi.org/10.7937/7K9K-3C83 (its clinical data are a workbook)"
SITE = "MU"
SHEET = "MU Glioma Post"
TIMEPOINTS = ("1st", "2nd", "3rd", "4th", "5th", "6th")
RT_END = "Number of days from Diagnosis to Radiation Therapy end date"
PROGRESSION_DAY = "Number of days from Diagnosis to date of First Progression"
PROGRESSION_TYPE = "Type of 1st Progression"
MAX_DAYS_APART = 30


def _spellings(meanings):
    """Return the meanings of number codes in both spellings that a workbook produces, such as 1 and 1.0."""
    return {f"{code}{ending}": meaning for code, meaning in meanings.items() for ending in ("", ".0")}


MUTATION = {**_spellings({"0": "wildtype", "1": "mutated", "2": "unknown"}), "": "unknown"}
CODES = {
    "MGMT methylation": {
        **_spellings({"0": "unmethylated", "1": "methylated", "2": "unknown", "3": "unknown", "4": "unknown"}),
        "": "unknown",
    },
    "IDH1 mutation": MUTATION,
    "IDH2 mutation": MUTATION,
    "Progression": _spellings({"0": 0, "1": 1}),
    PROGRESSION_TYPE: {**_spellings({"0": "none", "1": "imaging", "2": "clinical", "3": "both"}), "": ""},
}


def load_mu_glioma_post(
    root, *, enhancing_label=None, images="required", max_days_apart=MAX_DAYS_APART, table=None, return_report=False
):
    """Load MU-Glioma-Post: patients who progressed after treatment, with all seven clinical features.

    **The data set [1]_ has no labels of pseudoprogression**, so there is no ``outcome``: use the cohort without labels,
    or add your own. It includes tumours other than glioblastoma; see ``diagnosis``.

    Parameters
    ----------
    root : path-like
        Folder of the download.
    enhancing_label : int, default=None
        Value of the enhancing tumour in the masks; the slice with its largest area is the lesion position. Required
        with images. Users of the data set disagree: some state 1 necrosis, 2 oedema, **3 enhancing**, 4 cavity, others
        **1 enhancing**, 2 non-enhancing, 3 oedema, 4 cavity. Inspect some masks first.
    images : {"required", "available", "none"}, default="required"
        What happens if a patient has no image: "required" raises an error, "available" leaves the patient out and
        reports this, "none" does not look for images.
    max_days_apart : int, default=30
        Largest difference in days between the MRI and the first progression (our choice).
    table : path-like, default=None
        The clinical workbook, or its sheet "MU Glioma Post" as CSV. None looks in `root` and the folders in it for the
        file whose name begins with "mu-glioma-post" and contains "clinical", in upper or lower case. Reading a workbook
        requires openpyxl.
    return_report : bool, default=False
        Whether to return the findings as a table instead of issuing a warning.

    Returns
    -------
    cohort : DataFrame
        One row per patient with ``Progression`` 1: ``patient_id``, ``site``, ``age_years`` (at diagnosis), ``sex``,
        ``mgmt``, ``idh``, ``dose_gy``, ``n_fractions``, ``interval_days`` (end of radiotherapy to the first
        progression; negative where the dates in the table say so), ``diagnosis`` and ``progression_type``. With images
        also ``image``, ``lesion_slice`` (missing if there is no mask) and ``timepoint``. Missing values are reported.
    report : DataFrame
        Only with `return_report`: one row per finding, with the columns patient_id, finding, column, value and
        in_cohort.

    Raises
    ------
    FileNotFoundError
        If the table does not exist.
    InputError
        If columns are missing, a cell holds an unknown code or a dose in a form other than "60 Gy", or images are
        missing; all problems are listed.

    Warns
    -----
    CohortWarning
        Without `return_report`: the patients left out and the anomalies found.

    Notes
    -----
    IDH is mutated if IDH1 or IDH2 is mutated; otherwise it is the status of IDH1. The image is from the time point
    nearest to the first progression, or from the earlier of two equally near time points.

    References
    ----------
    .. [1] Yaseen D, Garrett F, Gass J, et al. University of Missouri Post-operative Glioma Dataset (MU-Glioma-Post).
       The Cancer Imaging Archive (2025). doi:10.7937/7K9K-3C83

    Examples
    --------
    >>> from sklearn_pspd.datasets import load_mu_glioma_post
    >>> load_mu_glioma_post("no-such-folder", enhancing_label=3)
    Traceback (most recent call last):
        ...
    FileNotFoundError: no-such-folder: no such folder; get MU-Glioma-Post from ...
    """
    check_choice("images", images, IMAGE_MODES)
    if images != "none" and (isinstance(enhancing_label, bool) or not isinstance(enhancing_label, int)):
        raise InputError(
            "enhancing_label must be the value of the enhancing tumour in the masks; users of the data set disagree "
            f"whether it is 1 or 3, so there is no default; got {enhancing_label!r}"
        )
    report = Report("MU-Glioma-Post")
    columns = [*CODES, RT_END, PROGRESSION_DAY, "Sex at Birth", "Age at diagnosis", "Primary Diagnosis"]
    columns += ["Dose", "Number of Fractions", *(_day_column(number) for number in range(len(TIMEPOINTS)))]
    path = find_table(root, table, "mu-glioma-post*clinical*", ADVICE)
    records = read_records(path, report, "Patient_ID", columns, sheet=SHEET)
    records.refuse_repeated_ids("Patient_ID")
    rows = _clinical_rows(records, report)
    if images != "none":
        rows = [row for row in rows if _add_image(row, root, images, enhancing_label, max_days_apart, report)]
    for row in rows:
        del row["mri_days"], row["progression_day"]
    return to_cohort(rows, report, return_report)


def _clinical_rows(records, report):
    """Return one row per patient with progression; report the other patients."""
    # Decode the columns.
    codes = {column: records.codes(column, meanings) for column, meanings in CODES.items()}
    sexes = records.codes("Sex at Birth", SEXES, fold=True)
    ages = records.clinical_numbers("Age at diagnosis", "age_years")
    doses = records.numbers("Dose", low=0, high=100, unit="Gy")
    fractions = records.numbers("Number of Fractions", low=0, high=60)
    rt_end, progression = records.numbers(RT_END), records.numbers(PROGRESSION_DAY)
    mri_days = [records.numbers(_day_column(number)) for number in range(len(TIMEPOINTS))]
    # Report contradictions, and keep the patients with progression.
    rows = []
    for number, patient_id in enumerate(records.ids):
        progressed = codes["Progression"][number]
        _report_progression(patient_id, progressed, codes[PROGRESSION_TYPE][number], progression[number], report)
        if not progressed:
            report.add_finding(patient_id, "left out: no progression", "Progression")
            continue
        row = {
            "patient_id": patient_id,
            "site": SITE,
            "age_years": ages[number],
            "sex": sexes[number],
            "mgmt": codes["MGMT methylation"][number],
            "idh": _idh(codes["IDH1 mutation"][number], codes["IDH2 mutation"][number]),
            "dose_gy": doses[number],
            "n_fractions": fractions[number],
            "interval_days": progression[number] - rt_end[number],
            "diagnosis": records.texts("Primary Diagnosis")[number],
            "progression_type": codes[PROGRESSION_TYPE][number],
            "progression_day": progression[number],
            "mri_days": [days[number] for days in mri_days],
        }
        if row["interval_days"] < 0:
            report.add_finding(patient_id, "interval_days below 0", "interval_days", f"{row['interval_days']:g}")
        rows.append(row)
    return rows


def _report_progression(patient_id, progressed, kind, day, report):
    """Report contradictions between the three columns about progression."""
    if kind and bool(progressed) != (kind != "none"):
        report.add_finding(patient_id, "Progression and type of progression disagree", PROGRESSION_TYPE, kind)
    if progressed and math.isnan(day):
        report.add_finding(patient_id, "progression without a date", PROGRESSION_DAY)
    if progressed == 0 and not math.isnan(day):
        report.add_finding(patient_id, "date of progression without progression", PROGRESSION_DAY, f"{day:g}")


def _idh(first, second):
    return "mutated" if "mutated" in (first, second) else first


def _add_image(row, root, images, label, max_days_apart, report):
    """Add the image nearest to the progression and the lesion position; return whether the patient stays."""
    patient_id = row["patient_id"]
    apart = [abs(day - row["progression_day"]) for day in row["mri_days"]]
    near = [(days, number + 1) for number, days in enumerate(apart) if days <= max_days_apart]
    if not near:
        text = f"no MRI within {max_days_apart} days of the first progression"
        report.add_missing_image(images, patient_id, text)
        return False
    row["timepoint"] = min(near)[1]
    folder = find_folder(root, patient_id)
    stem = f"{patient_id}_Timepoint_{row['timepoint']}"
    place = Path(folder or Path(root) / patient_id) / f"Timepoint_{row['timepoint']}"
    tried = [place / f"{stem}_brain_t1c.nii.gz", place / f"{stem}_t1c.nii.gz"]
    image = first_present(tried)
    if image is None:
        report.add_missing_image(images, patient_id, f"neither {tried[0]} nor {tried[1].name} exists")
        return False
    if not has_image(report, images, patient_id, image):
        return False
    row["image"] = str(image.resolve())
    row["lesion_slice"] = largest_slice(report, patient_id, image, place / f"{stem}_tumorMask.nii.gz", label)
    return True


def _day_column(number):
    return f"Number of Days from Diagnosis to {TIMEPOINTS[number]} MRI (Timepoint_{number + 1})"
