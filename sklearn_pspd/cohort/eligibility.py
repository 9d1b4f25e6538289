"""Eligibility of patients by the inclusion and exclusion criteria of the paper."""

from numbers import Number
from typing import NamedTuple

import numpy as np
import pandas as pd

from .problems import check_frame, id_problems, is_missing, missing_columns, patient_names, raise_problems, to_number

HIGHEST_ISODOSE_PERCENT = 150
ISODOSE_PERCENT = 80.0
_YES_OR_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


class _Rule(NamedTuple):
    """A criterion: the value that a column must hold, and the stated reason if it does not."""

    stage: str
    column: str
    wanted: object
    excluded: str


ELIGIBILITY_RULES = (
    _Rule("inclusion", "primary_glioblastoma", True, "no primary glioblastoma"),
    _Rule("inclusion", "gross_total_resection", True, "no gross total resection"),
    _Rule("inclusion", "chemoradiotherapy", True, "no concurrent chemoradiotherapy"),
    _Rule("inclusion", "adjuvant_temozolomide", True, "no adjuvant temozolomide"),
    _Rule("inclusion", "n_lesions", 1, "not exactly one enhancing lesion"),
    _Rule("inclusion", "lesion_measurable", True, "lesion not measurable"),
    _Rule("inclusion", "lesion_isodose_percent", ISODOSE_PERCENT, "lesion outside the 80 % isodose line"),
    _Rule("exclusion", "mri_per_protocol", True, "MRI not per protocol"),
    _Rule("exclusion", "follow_up_sufficient", True, "follow-up too short to determine the outcome"),
    _Rule("exclusion", "lesion_before_chemoradiotherapy", False, "lesion before chemoradiotherapy"),
    _Rule("exclusion", "residual_lesion", False, "residual lesion after surgery"),
    _Rule("exclusion", "chemoradiotherapy_completed", True, "chemoradiotherapy not completed"),
)


def select_eligible(records, *, without=()):
    """Select the patients who meet the paper's inclusion and exclusion criteria.

    The criteria [1]_ are applied in the order of this table. A patient is excluded at the first criterion that is not
    met.

    ================================= ======================================================================
    column                            required value
    ================================= ======================================================================
    primary_glioblastoma              yes: primary glioblastoma
    gross_total_resection             yes: gross total resection of the enhancing tumour
    chemoradiotherapy                 yes: concurrent chemoradiotherapy was given
    adjuvant_temozolomide             yes: adjuvant temozolomide was given
    n_lesions                         1: number of enhancing lesions that appeared after chemoradiotherapy
    lesion_measurable                 yes: measurable according to the RANO criteria
    lesion_isodose_percent            80 or more: the highest isodose line, in percent, that encloses the lesion;
                                      a fraction up to 1, or a value above 150, is an error
    mri_per_protocol                  yes: the lesion was seen on MRI according to the institutional protocol
    follow_up_sufficient              yes: follow-up was long enough to determine the nature of the lesion
    lesion_before_chemoradiotherapy   no: an enhancing lesion was seen before chemoradiotherapy
    residual_lesion                   no: residual enhancement on the immediate post-operative MRI
    chemoradiotherapy_completed       yes: chemoradiotherapy was completed
    ================================= ======================================================================

    Parameters
    ----------
    records : DataFrame of shape (n_patients, n_columns)
        One row per patient: ``patient_id`` and the columns above. Yes and no are True and False, 1 and 0, or the words
        yes, no, true and false in upper or lower case. Other columns are ignored.
    without : sequence of str, default=()
        Columns that were not recorded; their criteria are not applied.

    Returns
    -------
    eligible : DataFrame
        The rows of the eligible patients, unchanged, with their index.
    flow : DataFrame of shape (n_rules + 1, 6)
        One row for all records, followed by one row per criterion: ``stage`` ("records", "inclusion" or "exclusion"),
        ``column``, ``rule`` (reason for exclusion), ``excluded`` and ``left`` (numbers of patients excluded and
        remaining), and ``patients`` (ids of the excluded patients, separated by commas).

    Raises
    ------
    InputError
        If columns are missing, a patient has more than one row, or a required cell is empty or holds another value.
        All problems are listed, with patient, column and value. Cells of patients who are already excluded are not
        read.

    See Also
    --------
    sklearn_pspd.cohort.label_lesions : Labels lesions as progression or pseudoprogression.
    sklearn_pspd.plotting.FlowDisplay : Draws the flow.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.cohort import ELIGIBILITY_RULES, select_eligible
    >>> row = {rule.column: rule.wanted for rule in ELIGIBILITY_RULES}
    >>> records = pd.DataFrame([
    ...     {"patient_id": "A", **row},
    ...     {"patient_id": "B", **row, "lesion_isodose_percent": 79.9},
    ...     {"patient_id": "C", **row, "residual_lesion": "yes"},
    ... ])
    >>> eligible, flow = select_eligible(records)
    >>> eligible["patient_id"].tolist()
    ['A']
    >>> flow.loc[flow["excluded"] > 0, ["rule", "excluded", "left"]]
                                        rule  excluded  left
    7   lesion outside the 80 % isodose line         1     2
    11         residual lesion after surgery         1     1
    """
    # The criteria to apply, and problems of columns and ids.
    check_frame(records, "the table of records")
    rules = [rule for rule in ELIGIBILITY_RULES if rule.column not in without]
    raise_problems("the records have", _column_problems(records, rules, without))
    names = patient_names(records)
    problems = id_problems(records)
    # Each criterion is applied to the patients that the previous ones left.
    is_left = np.ones(len(records), dtype=bool)
    flow = [{"stage": "records", "column": "", "rule": "", "excluded": 0, "left": len(records), "patients": ""}]
    for rule in rules:
        is_kept = np.array(
            [
                not left or _meets(rule, value, name, problems)
                for left, value, name in zip(is_left, records[rule.column], names, strict=True)
            ],
            dtype=bool,
        )
        excluded = [name for name, left, kept in zip(names, is_left, is_kept, strict=True) if left and not kept]
        is_left &= is_kept
        flow.append(
            {
                "stage": rule.stage,
                "column": rule.column,
                "rule": rule.excluded,
                "excluded": len(excluded),
                "left": int(is_left.sum()),
                "patients": ", ".join(excluded),
            }
        )
    raise_problems("the records have", problems)
    return records[is_left], pd.DataFrame(flow)


def _meets(rule, value, name, problems):
    """Return whether a patient meets a criterion; True if the cell is invalid, so that later cells are checked too."""
    problem = _cell_problem(rule, value)
    if problem:
        problems.append(f"patient {name}: column {rule.column} {problem}")
        return True
    if isinstance(rule.wanted, bool):
        return _YES_OR_NO[_spelling(value)] == rule.wanted
    number = to_number(value)
    return number == rule.wanted if rule.column == "n_lesions" else number >= rule.wanted


def _cell_problem(rule, value):
    """Return what is wrong with a cell, or an empty text."""
    if is_missing(value):
        return "is empty"
    if isinstance(rule.wanted, bool):
        return "" if _spelling(value) in _YES_OR_NO else f"holds {value!r}; it takes yes or no"
    number = to_number(value)
    if not number >= 0:
        return f"holds {value!r}, which is not a number of at least 0"
    if rule.column == "lesion_isodose_percent" and (0 < number <= 1 or number > HIGHEST_ISODOSE_PERCENT):
        return (
            f"holds {value!r}, a fraction of the dose or more than {HIGHEST_ISODOSE_PERCENT} percent of it; "
            "write 80 for the 80 % isodose line"
        )
    if rule.column == "n_lesions" and number != round(number):
        return f"holds {value!r}, which is not a whole number"
    return ""


def _spelling(value):
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, Number) and value in (0, 1):
        return str(int(value))
    return str(value).strip().lower()


def _column_problems(records, rules, without):
    known = [rule.column for rule in ELIGIBILITY_RULES]
    problems = [
        f"without names {name!r}, which is not the column of a criterion" for name in without if name not in known
    ]
    return problems + missing_columns(records, ["patient_id", *(rule.column for rule in rules)])
