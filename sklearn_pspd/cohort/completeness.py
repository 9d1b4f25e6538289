"""What a cohort table lacks: clinical columns of the paper, and values."""

import pandas as pd

from .columns import CLINICAL_COLUMNS, OUTCOME_CODES, UNKNOWN, clinical_columns
from .problems import is_missing


def absent_columns(cohort, clinical=None):
    """Return the clinical columns of the paper that a study does not use, and why.

    Parameters
    ----------
    cohort : DataFrame
        Cohort table.
    clinical : sequence of str or ClinicalColumn, default=None
        The choice of clinical columns, as in :func:`clinical_columns`.

    Returns
    -------
    dict of str to str
        "not in the table" or "not chosen", by column.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.cohort import CLINICAL_COLUMNS, absent_columns
    >>> table = pd.DataFrame(columns=[name for name in CLINICAL_COLUMNS if name != "dose_gy"])
    >>> absent_columns(table)
    {'dose_gy': 'not in the table'}
    >>> sorted(set(absent_columns(table, ["age_years"]).values()))
    ['not chosen', 'not in the table']
    """
    chosen = {column.name for column in clinical_columns(clinical, cohort)}
    reasons = {name: "not chosen" if name in cohort.columns else "not in the table" for name in CLINICAL_COLUMNS}
    return {name: reason for name, reason in reasons.items() if name not in chosen}


def missing_counts(cohort, clinical=None):
    """Count the missing and the unknown values of the clinical columns, by outcome.

    Parameters
    ----------
    cohort : DataFrame
        Cohort table; patients without an outcome are counted as such.
    clinical : sequence of str or ClinicalColumn, default=None
        The choice of clinical columns, as in :func:`clinical_columns`.

    Returns
    -------
    DataFrame
        One row per column and outcome ("PD", "PsPD", or "" where there is none): ``column``, ``outcome``, ``patients``,
        ``missing`` (empty cells) and ``unknown`` (cells with "unknown").

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.cohort import missing_counts
    >>> table = pd.DataFrame({"age_years": [60, None, 50], "idh": ["unknown", "wildtype", "wildtype"]})
    >>> missing_counts(table.assign(outcome=["PD", "PD", "PsPD"]))
          column outcome  patients  missing  unknown
    0  age_years      PD         2        1        0
    1  age_years    PsPD         1        0        0
    2        idh      PD         2        0        1
    3        idh    PsPD         1        0        0
    """
    outcomes = cohort["outcome"] if "outcome" in cohort.columns else pd.Series(None, index=cohort.index, dtype=object)
    outcomes = pd.Series(["" if is_missing(outcome) else str(outcome) for outcome in outcomes], dtype=object)
    order = [outcome for outcome in (*OUTCOME_CODES, "") if (outcomes == outcome).any()]
    rows = []
    for column in clinical_columns(clinical, cohort):
        cells = pd.Series(list(cohort[column.name]), dtype=object)
        for outcome in order:
            of_outcome = cells[outcomes == outcome]
            n_unknown = sum(isinstance(cell, str) and cell == UNKNOWN for cell in of_outcome)
            rows.append((column.name, outcome, len(of_outcome), sum(map(is_missing, of_outcome)), n_unknown))
    return pd.DataFrame(rows, columns=["column", "outcome", "patients", "missing", "unknown"])
