"""Eligibility of patients by the rules of the paper."""

from numbers import Number
from typing import NamedTuple

import numpy as np
import pandas as pd

from .problems import is_missing, patient_names, raise_problems, repeated_ids

HIGHEST_ISODOSE_PERCENT = 150
ISODOSE_PERCENT = 80.0
_YES_OR_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


class _Rule(NamedTuple):
    """A rule: who stays, and what is said of those who do not."""

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
    _Rule("exclusion", "follow_up_sufficient", True, "follow-up too short to know the outcome"),
    _Rule("exclusion", "lesion_before_chemoradiotherapy", False, "lesion before chemoradiotherapy"),
    _Rule("exclusion", "residual_lesion", False, "residual lesion after surgery"),
    _Rule("exclusion", "chemoradiotherapy_completed", True, "chemoradiotherapy not completed"),
)


def select_eligible(records, *, without=()):
    """Select the patients that the paper's inclusion and exclusion rules leave.

    The rules [1]_ are applied in the order of this table; a patient leaves at the first that fails.

    ================================= ======================================================================
    column                            who stays
    ================================= ======================================================================
    primary_glioblastoma              yes: primary glioblastoma
    gross_total_resection             yes: gross total resection of the enhancing tumour
    chemoradiotherapy                 yes: concurrent chemoradiotherapy was given
    adjuvant_temozolomide             yes: adjuvant temozolomide was given
    n_lesions                         1: number of enhancing lesions that appeared after chemoradiotherapy
    lesion_measurable                 yes: by RANO's criteria
    lesion_isodose_percent            80 or more: the highest isodose line, in percent, that holds the lesion; a
                                      fraction up to 1, or above 150, is a problem
    mri_per_protocol                  yes: the lesion was seen on MRI per institutional protocol
    follow_up_sufficient              yes: follow-up was long enough to know the lesion's nature
    lesion_before_chemoradiotherapy   no: an enhancing lesion was seen before chemoradiotherapy
    residual_lesion                   no: residual enhancement on the immediate post-operative MRI
    chemoradiotherapy_completed       yes: chemoradiotherapy was completed
    ================================= ======================================================================

    Parameters
    ----------
    records : DataFrame of shape (n_patients, n_columns)
        One row a patient: ``patient_id`` and the columns above. Yes and no are True and False, 1 and 0, or the words
        yes, no, true and false in any letter case. Other columns are left alone.
    without : sequence of str, default=()
        Columns whose rules are not applied, because they were not recorded.

    Returns
    -------
    eligible : DataFrame
        The rows that are left, unchanged, with their index.
    flow : DataFrame of shape (n_rules + 1, 6)
        One row a rule, below a first one for all records: ``stage`` ("records", "inclusion" or "exclusion"),
        ``column``, ``rule`` (what excludes), ``excluded`` and ``left`` (numbers of patients), and ``patients`` (ids
        of the excluded, comma-separated).

    Raises
    ------
    ValueError
        If columns are missing, a patient is there twice, or a cell that is needed is empty or holds something else;
        all problems are listed, with patient, column and value. Cells of patients who have left are not read.

    See Also
    --------
    sklearn_pspd.cohort.label_lesions : Whether follow-up tells the lesion's nature.
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
    rules = [rule for rule in ELIGIBILITY_RULES if rule.column not in without]
    raise_problems("the records have", _column_problems(records, rules, without))
    names = patient_names(records)
    problems = _name_problems(records["patient_id"], names)
    left = np.ones(len(records), dtype=bool)
    flow = [{"stage": "records", "column": "", "rule": "", "excluded": 0, "left": len(records), "patients": ""}]
    for rule in rules:
        stays = np.array(
            [
                not here or _stays(rule, value, name, problems)
                for here, value, name in zip(left, records[rule.column], names, strict=True)
            ],
            dtype=bool,
        )
        leaves = [name for name, here, stay in zip(names, left, stays, strict=True) if here and not stay]
        left &= stays
        flow.append(
            {
                "stage": rule.stage,
                "column": rule.column,
                "rule": rule.excluded,
                "excluded": len(leaves),
                "left": int(left.sum()),
                "patients": ", ".join(leaves),
            }
        )
    raise_problems("the records have", problems)
    return records[left], pd.DataFrame(flow)


def _stays(rule, value, name, problems):
    """Say whether a patient stays; one whose cell cannot be read stays, so that later cells are checked too."""
    if is_missing(value):
        problems.append(f"patient {name}: column {rule.column} is empty")
        return True
    if isinstance(rule.wanted, bool):
        answer = _YES_OR_NO.get(_spelling(value))
        if answer is None:
            problems.append(f"patient {name}: column {rule.column} holds {value!r}; it takes yes or no")
            return True
        return answer == rule.wanted
    number = _number(value)
    if number is None or number < 0:
        problems.append(f"patient {name}: column {rule.column} holds {value!r}, which is no number of at least 0")
        return True
    if rule.column == "lesion_isodose_percent" and (0 < number <= 1 or number > HIGHEST_ISODOSE_PERCENT):
        problems.append(f"patient {name}: column {rule.column} holds {value!r}, hardly percent of the dose")
        return True
    if rule.column == "n_lesions":
        if number != round(number):
            problems.append(f"patient {name}: column {rule.column} holds {value!r}, which is no whole number")
            return True
        return number == rule.wanted
    return number >= rule.wanted


def _spelling(value):
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, Number) and value in (0, 1):
        return str(int(value))
    return str(value).strip().lower()


def _number(value):
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _column_problems(records, rules, without):
    known = [rule.column for rule in ELIGIBILITY_RULES]
    problems = [f"without names {name!r}, which is no rule's column" for name in without if name not in known]
    problems += [
        f"column {column}: missing"
        for column in ("patient_id", *(rule.column for rule in rules))
        if column not in records.columns
    ]
    return problems


def _name_problems(ids, names):
    problems = [
        f"patient {name}: column patient_id is empty" for name, i in zip(names, ids, strict=True) if is_missing(i)
    ]
    problems += [
        f"patient {names[places[0]]}: is in {len(places)} rows; one row a patient" for places in repeated_ids(ids)
    ]
    return problems
