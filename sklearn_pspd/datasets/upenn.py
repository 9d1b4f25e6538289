"""The UPENN-GBM cohort of The Cancer Imaging Archive."""

import math
import re
from collections.abc import Collection
from pathlib import Path

from sklearn_pspd.exceptions import InputError

from ._records import (
    IMAGE_MODES,
    SEXES,
    Report,
    check_choice,
    find_table,
    first_present,
    has_image,
    read_records,
    to_cohort,
)

ADVICE = "get UPENN-GBM from https://doi.org/10.7937/TCIA.709X-DN49"
SITE = "UPENN"
SCORES = (1, 2, 3, 4, 5, 6)
MISSING = ("Not Available", "Not Applicable", "NA", "")
UNKNOWN = dict.fromkeys((*MISSING, "Indeterminate", "NOS/NEC"), "unknown")
CODES = {
    "Gender": {text.upper(): code for text, code in SEXES.items() if len(text) == 1},
    "IDH1": {"Wildtype": "wildtype", "Mutated": "mutated", **UNKNOWN},
    "MGMT": {"Methylated": "methylated", "Unmethylated": "unmethylated", **UNKNOWN},
    "PsP_TP_score": {**{str(score): score for score in SCORES}, **dict.fromkeys(MISSING)},
}
COLUMNS = (*CODES, "Age_at_scan_years", "Time_since_baseline_preop")


def load_upenn_gbm(
    root, *, pspd_scores, pd_scores, images="required", unstripped=False, table=None, return_report=False
):
    """Load the follow-ups of UPENN-GBM that were scored from pseudoprogression to true progression.

    **The direction of the scale and the cut-off are uncertain.** The table of the data set [1]_ contains scores from 1
    to 6 without a legend. Users of the data set commonly interpret 1 as pseudoprogression and 6 as true progression,
    and compare 1 and 2 with 5 and 6. Therefore there is no default: state the scores of each outcome, and report them.

    Parameters
    ----------
    root : path-like
        Folder of the download.
    pspd_scores, pd_scores : sequence of int
        Scores, 1 to 6, of pseudoprogression and of progression. Follow-ups with another score are left out and
        reported.
    images : {"required", "available", "none"}, default="required"
        What happens if a patient has no image: "required" raises an error, "available" leaves the patient out and
        reports this, "none" does not look for images.
    unstripped : bool, default=False
        Whether to use the images with the skull, from ``images_structural_unstripped``.
    table : path-like, default=None
        The clinical table. None looks in `root` and the folders in it for the CSV file whose name begins with "upenn"
        and contains "clinical", in upper or lower case.
    return_report : bool, default=False
        Whether to return the findings as a table instead of issuing a warning.

    Returns
    -------
    cohort : DataFrame
        One row per patient: ``patient_id`` (without the suffix of the scan), ``site``, ``age_years`` (at the follow-up
        scan), ``sex``, ``mgmt``, ``idh``, ``outcome``, ``scan_id``, ``score`` and ``baseline_days`` (since the
        pre-operative scan; missing in some patients). With images also ``image``. The data set contains neither dose
        and fractions, nor the days since radiotherapy, nor masks of the follow-ups, so these columns are absent. Add
        the lesion position yourself (``lesion_slice`` or ``lesion_z_mm``).
    report : DataFrame
        Only with `return_report`: one row per finding, with the columns patient_id, finding, column, value and
        in_cohort.

    Raises
    ------
    FileNotFoundError
        If the table does not exist.
    InputError
        If a score is given for both outcomes, columns are missing, cells hold unknown codes, or images are missing; all
        problems of the table are listed.

    Warns
    -----
    CohortWarning
        Without `return_report`: the patients left out and the anomalies found.

    References
    ----------
    .. [1] Bakas S, Sako C, Akbari H, et al. The University of Pennsylvania glioblastoma (UPenn-GBM) cohort: advanced
       MRI, clinical, genomics, & radiomics. Scientific Data 9, 453 (2022). doi:10.1038/s41597-022-01560-7

    Examples
    --------
    >>> from sklearn_pspd.datasets import load_upenn_gbm
    >>> load_upenn_gbm("download", pspd_scores=(1, 2), pd_scores=(2, 3))
    Traceback (most recent call last):
        ...
    sklearn_pspd.exceptions.InputError: pspd_scores and pd_scores both contain 2; each score has one outcome
    """
    check_choice("images", images, IMAGE_MODES)
    outcomes = _outcomes(pspd_scores, pd_scores)
    report = Report("UPENN-GBM")
    records = read_records(find_table(root, table, "upenn*clinical*.csv", ADVICE), report, "ID", COLUMNS)
    records.refuse_repeated_ids("ID")
    rows = _clinical_rows(records, outcomes, report)
    if images != "none":
        rows = [row for row in rows if _add_image(row, Path(root), unstripped, images, report)]
    return to_cohort(rows, report, return_report)


def _outcomes(pspd_scores, pd_scores):
    """Return the outcome of each score that is assigned to one."""
    for name, scores in (("pspd_scores", pspd_scores), ("pd_scores", pd_scores)):
        is_list = isinstance(scores, Collection) and not isinstance(scores, str)
        if not is_list or len(scores) == 0 or not set(scores) <= set(SCORES):
            raise InputError(f"{name} must contain at least one score, each from 1 to 6; got {scores!r}")
    both = sorted(set(pspd_scores) & set(pd_scores))
    if both:
        raise InputError(
            f"pspd_scores and pd_scores both contain {', '.join(map(str, both))}; each score has one outcome"
        )
    return dict.fromkeys(pspd_scores, "PsPD") | dict.fromkeys(pd_scores, "PD")


def _clinical_rows(records, outcomes, report):
    """Return one row per patient whose follow-up score is assigned to an outcome; report the other scans."""
    # Decode the columns.
    codes = {column: records.codes(column, meanings) for column, meanings in CODES.items()}
    ages = records.clinical_numbers("Age_at_scan_years", "age_years", missing=MISSING)
    days = records.numbers("Time_since_baseline_preop", missing=MISSING)
    # Keep the follow-up scans whose score is assigned to an outcome.
    rows = []
    for number, scan_id in enumerate(records.ids):
        parts = re.fullmatch(r"(.+)_(11|21)", scan_id)
        score = codes["PsP_TP_score"][number]
        if parts is None:
            records.add_problem(number, "ID", "ends in neither _11 nor _21")
        elif parts[2] == "11":
            if score is not None:
                report.add_finding(parts[1], "score of a baseline scan, not used", "PsP_TP_score", score)
        elif score not in outcomes:
            finding = (
                "left out: follow-up without a score" if score is None else "left out: score not assigned to an outcome"
            )
            report.add_finding(parts[1], finding, "PsP_TP_score", "" if score is None else score)
        else:
            if math.isnan(days[number]):
                report.add_finding(parts[1], "days since baseline missing", "Time_since_baseline_preop")
            rows.append(
                {
                    "patient_id": parts[1],
                    "site": SITE,
                    "age_years": ages[number],
                    "sex": codes["Gender"][number],
                    "mgmt": codes["MGMT"][number],
                    "idh": codes["IDH1"][number],
                    "outcome": outcomes[score],
                    "scan_id": scan_id,
                    "score": score,
                    "baseline_days": days[number],
                }
            )
    return rows


def _add_image(row, root, unstripped, images, report):
    """Add the path of the image; return whether the patient stays in the cohort."""
    folder, suffix = ("images_structural_unstripped", "_unstripped") if unstripped else ("images_structural", "")
    relative = Path(folder) / row["scan_id"] / f"{row['scan_id']}_T1GD{suffix}.nii.gz"
    tried = [root / relative, root / "NIfTI-files" / relative]
    found = first_present(tried)
    if found is None:
        report.add_missing_image(images, row["patient_id"], f"neither {tried[0]} nor {tried[1]} exists")
        return False
    if not has_image(report, images, row["patient_id"], found):
        return False
    row["image"] = str(found.resolve())
    return True
