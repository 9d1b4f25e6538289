"""What a missing value is, which patient ids are equal, and one error for all problems."""

import pandas as pd

from sklearn_pspd.exceptions import InputError


def raise_problems(source_has, problems):
    """Raise all problems at once, one line each, if there are any."""
    if problems:
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise InputError(f"{source_has} {count}:\n" + "\n".join(f"  {problem}" for problem in problems))


def is_missing(value):
    """Say whether a cell is empty: None, NaN, NaT, NA or text of blanks."""
    return bool(pd.api.types.is_scalar(value) and pd.isna(value)) or (isinstance(value, str) and not value.strip())


def normalise_ids(ids):
    """Return ids without what a spreadsheet may do to them: blanks around them and their letter case."""
    return pd.Series(list(ids), dtype=object).astype(str).str.strip().str.casefold()


def repeated_ids(ids):
    """Return the places of each patient who is there more than once, blanks and case aside; empty ids are nobody's."""
    bare = normalise_ids("" if is_missing(name) else name for name in ids)
    places = bare[bare != ""].groupby(bare, sort=False).groups.values()
    return [list(of_patient) for of_patient in places if len(of_patient) > 1]


def patient_names(cohort):
    """Return how errors call each patient of a table: by id or, where there is none, by row."""
    if "patient_id" not in cohort.columns:
        return [f"in row {row}" for row in range(1, len(cohort) + 1)]
    return [
        f"in row {row}" if is_missing(name) else str(name) for row, name in enumerate(cohort["patient_id"], start=1)
    ]
