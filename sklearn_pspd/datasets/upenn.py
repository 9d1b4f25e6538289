"""The UPENN-GBM cohort of The Cancer Imaging Archive."""

import math
import re
from collections.abc import Collection
from pathlib import Path

from sklearn_pspd.exceptions import InputError

from ._records import IMAGE_MODES, SEXES, Report, check_choice, deliver, find_table, read_records

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
    """Load the follow-ups of UPENN-GBM [1]_ that have a score between pseudoprogression and true progression.

    **The scale's direction and its cut are not certain.** The table has the scores 1 to 6 and no legend; users of the
    set commonly read 1 as pseudoprogression and 6 as true progression, with 1 and 2 against 5 and 6. So there is no
    default: you name the scores of each outcome, and report them.

    Parameters
    ----------
    root : path-like
        Folder of the download.
    pspd_scores, pd_scores : sequence of int
        Scores, 1 to 6, that are pseudoprogression and progression. Follow-ups with another score are left out and
        reported.
    images : {"required", "available", "none"}, default="required"
        Whether a patient without an image is an error, is left out and reported, or no image is looked for.
    unstripped : bool, default=False
        Whether images with the skull are taken, from ``images_structural_unstripped``.
    table : path-like, default=None
        The clinical table; None takes the one in `root` or a folder in it whose name begins with "upenn" and has
        "clinical" in it, in any letter case.
    return_report : bool, default=False
        Whether findings are returned as a table rather than warned of.

    Returns
    -------
    cohort : DataFrame
        One row a patient: ``patient_id`` (without the suffix of the scan), ``site``, ``age_years`` (at the follow-up
        scan), ``sex``, ``mgmt``, ``idh``, ``outcome``, ``scan_id``, ``score`` and ``baseline_days`` (since the
        pre-operative scan; missing in some). With images also ``image``. The set has neither dose and fractions, nor
        the days since radiotherapy, nor masks of the follow-ups: these columns are absent, and the lesion's position
        is yours to add (``lesion_slice`` or ``lesion_z_mm``).
    report : DataFrame
        With `return_report`: findings, one row each.

    Raises
    ------
    FileNotFoundError
        If the table is not there.
    ValueError
        If scores overlap, columns are missing, cells hold unknown codes, or images are missing; all at once.

    Warns
    -----
    CohortWarning
        Without `return_report`: who was left out and what is odd.

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
    sklearn_pspd.exceptions.InputError: pspd_scores and pd_scores share 2; a score has one meaning
    """
    check_choice("images", images, IMAGE_MODES)
    outcomes = _outcomes(pspd_scores, pd_scores)
    report = Report("UPENN-GBM")
    records = read_records(find_table(root, table, "upenn*clinical*.csv", ADVICE), report, "ID", COLUMNS)
    records.refuse_repeated_ids("ID")
    rows = _clinical_rows(records, outcomes, report)
    if images != "none":
        rows = [row for row in rows if _add_image(row, Path(root), unstripped, images, report)]
    return deliver(rows, report, return_report)


def _outcomes(pspd_scores, pd_scores):
    """Return the outcome of each score that has one."""
    for name, scores in (("pspd_scores", pspd_scores), ("pd_scores", pd_scores)):
        is_list = isinstance(scores, Collection) and not isinstance(scores, str)
        if not is_list or len(scores) == 0 or not set(scores) <= set(SCORES):
            raise InputError(f"{name} lists scores from 1 to 6, at least one; got {scores!r}")
    shared = sorted(set(pspd_scores) & set(pd_scores))
    if shared:
        raise InputError(f"pspd_scores and pd_scores share {', '.join(map(str, shared))}; a score has one meaning")
    return dict.fromkeys(pspd_scores, "PsPD") | dict.fromkeys(pd_scores, "PD")


def _clinical_rows(records, outcomes, report):
    codes = {column: records.codes(column, meanings) for column, meanings in CODES.items()}
    ages = records.numbers("Age_at_scan_years", missing=MISSING, low=0, high=120)
    days = records.numbers("Time_since_baseline_preop", missing=MISSING)
    rows = []
    for number, scan_id in enumerate(records.ids):
        parts = re.fullmatch(r"(.+)_(11|21)", scan_id)
        score = codes["PsP_TP_score"][number]
        if parts is None:
            records.problem(number, "ID", "ends in neither _11 nor _21")
        elif parts[2] == "11":
            if score is not None:
                report.find(parts[1], "a baseline with a score, which is not used", "PsP_TP_score", score)
        elif score not in outcomes:
            finding = "left out: follow-up without a score" if score is None else "left out: score of no outcome"
            report.find(parts[1], finding, "PsP_TP_score", "" if score is None else score)
        else:
            if math.isnan(days[number]):
                report.find(parts[1], "no days since baseline", "Time_since_baseline_preop")
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
    """Add the image's path; say whether the patient stays."""
    folder, suffix = ("images_structural_unstripped", "_unstripped") if unstripped else ("images_structural", "")
    relative = Path(folder) / row["scan_id"] / f"{row['scan_id']}_T1GD{suffix}.nii.gz"
    tried = [root / relative, root / "NIfTI-files" / relative]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        report.missing_image(images, row["patient_id"], f"neither {tried[0]} nor {tried[1]} exists")
        return False
    row["image"] = str(found.resolve())
    return True
