"""Columns of a cohort table: names, units, codes and ranges."""

IDENTITY_COLUMNS = ("patient_id", "site", "image")
POSITION_COLUMNS = ("lesion_slice", "lesion_z_mm", "lesion_mask")
CLINICAL_COLUMNS = ("age_years", "sex", "mgmt", "idh", "dose_gy", "n_fractions", "interval_days")

CLINICAL_CODES = {
    "sex": {"female": 0, "male": 1},
    "mgmt": {"unmethylated": 0, "methylated": 1},
    "idh": {"wildtype": 0, "mutated": 1},
}

UNKNOWN = "unknown"
MAY_BE_UNKNOWN = ("mgmt", "idh")

CLINICAL_RANGES = {
    "age_years": (0.0, 120.0),
    "dose_gy": (1.0, 100.0),
    "n_fractions": (1, 60),
    "interval_days": (0, 10_000),
}
WHOLE_NUMBERS = ("lesion_slice", "n_fractions", "interval_days")

OUTCOME_CODES = {"PD": 0, "PsPD": 1}


def allowed_codes(column):
    """Return the codes that a column may hold, "unknown" included where it is allowed; none for other columns."""
    if column == "outcome":
        return tuple(OUTCOME_CODES)
    return (*CLINICAL_CODES.get(column, ()), *([UNKNOWN] if column in MAY_BE_UNKNOWN else []))
