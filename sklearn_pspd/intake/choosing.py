"""The series of each patient that the study needs: ranked candidates, the rule that decided, and what is in doubt."""

from collections.abc import Mapping

import pandas as pd

from sklearn_pspd.cohort.problems import is_missing, normalise_ids, raise_problems
from sklearn_pspd.exceptions import InputError

from .rules import RULES, can_compare_pixels, compare_pixels, study_evidence
from .series import SERIES_COLUMNS

WANTED = ("t1_post_contrast",)
MOST_DAYS = 31
_CONTRADICTION = 3  # points for and against contrast that contradict each other
_DECLARED = ("agent", "words", "after_injection")
_RESULT_COLUMNS = (
    "rank",
    "chosen",
    "doubt",
    "remark",
    "score",
    "margin",
    "rule",
    "runner_up",
    "evidence",
    "days_from_lesion",
)
MOST_TILT_DEG = 1.0
MOST_SPACING_MM = 3.0
REFORMAT = "derived, and an original T1 series with contrast is there"
NO_SIGN = "no sign of contrast in any T1 series"
WEAK_SIGN = "only the order of acquisition, or a tag that every series has, speaks for contrast"
PIXELS_MAY_TELL = "pixels=True compares the pixels of series with equal parameters"
ONLY_CANDIDATE = "the only candidate"
BY_USER = "decided by the user"


def choose_series(series, want="t1_post_contrast", near=None, *, most_days=MOST_DAYS, decisions=None, pixels=False):
    """Rank the series of each patient by how much speaks for their being the wanted one.

    Nothing is guessed: a patient whose best candidate contradicts itself, has nothing but the order of acquisition in
    its favour, or is as good as the next one, has no chosen series and is listed as a doubt. Pixels are not read unless
    `pixels` is true.

    Parameters
    ----------
    series : DataFrame
        Table of :func:`list_series`.
    want : {"t1_post_contrast"}, default="t1_post_contrast"
        What is wanted.
    near : mapping or Series of str to date, default=None
        Date of the lesion of each patient. The series is chosen in the study nearest to it. None: in each study.
    most_days : int, default=31
        A nearest study that lies further away than this is a doubt. This limit is a choice of ours.
    decisions : mapping or Series of str to str, default=None
        ``series_uid`` by ``patient_id`` where a reader has looked at the images and decided.
    pixels : bool, default=False
        Whether the pixels of T1 series of one date with equal parameters are compared as well. The one that is brighter
        at its bright end has a sign of contrast. Files must be where they were when they were listed.

    Returns
    -------
    DataFrame
        One row per series, the candidates of a patient first. ``chosen``; ``rank`` among the candidates, missing for
        series that are excluded; ``doubt``, why the patient has no chosen series; ``remark``, what to know about a
        chosen one, such as an empty contrast tag;
        ``score``, the sum of the points of :func:`series_rules`; ``margin``, the difference from the next candidate
        (for others than the first: from the first); ``rule``, the one that decided, or why the series is excluded;
        ``runner_up``, description and UID of the next candidate; ``evidence``, all rules that apply;
        ``days_from_lesion``. The columns of `series` follow. ``attrs`` have ``doubts`` and ``remarks``, one line
        per patient, and ``pixel_checks``, one line per comparison of pixels.

    Raises
    ------
    InputError
        If columns are missing, `want` is unknown, or a decision names a series that the patient does not have.

    See Also
    --------
    series_rules : The rules and their points.
    draft_cohort : The cohort table from the chosen series and a spreadsheet.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd.datasets import make_cohort
    >>> from sklearn_pspd.intake import choose_series, list_series
    >>> small = {"layout": "export", "matrix_px": (32,), "n_native_slices": 10}
    >>> with TemporaryDirectory() as folder:
    ...     written = make_cohort(folder, 1, **small, random_state=0)
    ...     series = list_series(f"{folder}/dicom")
    >>> ranked = choose_series(series, near=dict(zip(written["patient_id"], written["lesion_date"])))
    >>> best = ranked[ranked["chosen"]].iloc[0]
    >>> print(best["description"], best["margin"], best["rule"])
    t1_mpr_tra_iso_KM 14 agent
    """
    _check(series, want, near, decisions)
    checks = [] if pixels else None
    if near is not None:
        near = dict(zip(normalise_ids(near.keys()), dict(near).values(), strict=True))
    parts = []
    for patient, of_patient in series.groupby("patient_id", sort=True, dropna=False):
        parts += _choose_for(patient, of_patient, near, most_days, checks)
    table = pd.DataFrame(parts, columns=["patient_id", "study_date", *_RESULT_COLUMNS, *SERIES_COLUMNS[2:]])
    table = table.astype({"rank": "Int64", "margin": "Int64", "days_from_lesion": "Int64", "chosen": bool})
    for patient, uid in ({} if decisions is None else decisions).items():
        _apply_decision(table, patient, uid)
    table.attrs = {"want": want, "doubts": _doubts(table), "remarks": _remarks(table), "pixel_checks": checks or []}
    return table


def _check(series, want, near, decisions):
    if want not in WANTED:
        raise InputError(f"want={want!r}; it must be one of {', '.join(map(repr, WANTED))}")
    absent = [name for name in SERIES_COLUMNS if name not in getattr(series, "columns", ())]
    raise_problems("the series table, which list_series returns, has", [f"column {name}: missing" for name in absent])
    for name, value in (("near", near), ("decisions", decisions)):
        if value is not None and not isinstance(value, Mapping | pd.Series):
            raise InputError(f"{name} must map patient ids to values; got {type(value).__name__}")
    problems = []
    for patient, date in ({} if near is None else near).items():
        if not is_missing(date) and pd.isna(pd.to_datetime(date, errors="coerce", format="ISO8601")):
            problems.append(f"patient {patient}: {date!r} is not a date; write it as 2024-01-31")
    raise_problems("near has", problems)


def _choose_for(patient, of_patient, near, most_days, checks):
    """Return the rows of one patient, ranked within each study, or only in the one nearest to the lesion."""
    studies = []
    for _, study in of_patient.groupby(["study_date", "study_uid"], sort=True, dropna=False):
        rows = study.to_dict("records")
        studies.append(list(zip(rows, study_evidence(rows), strict=True)))
    if near is None:
        # Two examinations of one day may be one visit.
        by_date = {}
        for study in studies:
            by_date.setdefault(study[0][0]["study_date"], []).extend(study)
        return [row for of_date in by_date.values() for row in _rank(of_date, checks)]
    (key,) = normalise_ids([patient])
    date = pd.to_datetime(near.get(key), format="ISO8601") if not is_missing(near.get(key)) else pd.NaT
    everything = [item for study in studies for item in study]
    days = {
        row["study_date"]: (row["study_date"].normalize() - date).days
        for row, item in everything
        if not item.exclusion and not pd.isna(row["study_date"]) and not pd.isna(date)
    }
    if not days:
        why = "the date of the lesion is not known" if pd.isna(date) else "no T1 series with a date"
        return [_row(pair, doubt=why, rule=pair[1].exclusion) for pair in everything]
    least = min(map(abs, days.values()))
    nearest = [day for day, distance in days.items() if abs(distance) == least]
    doubt = ""
    if len(nearest) > 1:
        doubt = f"studies {least} days before and after the lesion's date"
    elif least > most_days:
        doubt = f"the nearest study is {least} days from the lesion's date"
    ranked = _rank([pair for pair in everything if pair[0]["study_date"] in nearest], checks, doubt)
    others = [_row(pair, rule="another study") for pair in everything if pair[0]["study_date"] not in nearest]
    for row in [*ranked, *others]:
        if not pd.isna(row["study_date"]):
            row["days_from_lesion"] = (row["study_date"].normalize() - date).days
    return [*ranked, *others]


def _rank(pairs, checks, doubt=""):
    """Return the rows of one study, best candidate first, excluded series last; `checks` None: without pixels."""
    rows, evidence = map(list, zip(*pairs, strict=True))
    can_compare = checks is None and can_compare_pixels(rows, evidence)
    if checks is not None:
        checks += [f"patient {rows[0]['patient_id']}: {text}" for text in compare_pixels(rows, evidence)]
    pairs = _without_reformats(pairs)
    candidates = sorted((pair for pair in pairs if not pair[1].exclusion), key=lambda pair: -pair[1].score)
    excluded = [_row(pair, rule=pair[1].exclusion) for pair in pairs if pair[1].exclusion]
    if not candidates:
        for row in excluded:
            row["doubt"] = "no T1 series that could be used"
        return excluded
    best = candidates[0][1]
    runner_up = candidates[1] if len(candidates) > 1 else None
    margin = None if runner_up is None else best.score - runner_up[1].score
    doubt = "; ".join(filter(None, [doubt, *_doubts_about(best, margin, can_compare)]))
    ranked = []
    for rank, pair in enumerate(candidates, start=1):
        row = _row(pair, rank=rank, doubt=doubt, rule=ONLY_CANDIDATE)
        if runner_up is not None:
            other = runner_up if rank == 1 else candidates[0]
            row["margin"] = pair[1].score - other[1].score
            row["rule"] = _deciding_rule(pair[1], other[1])
            row["runner_up"] = f"{runner_up[0]['description']} ({runner_up[0]['series_uid']})" if rank == 1 else ""
        row["chosen"] = rank == 1 and not doubt
        row["remark"] = _remark_about(*pair) if row["chosen"] else ""
        ranked.append(row)
    return [*ranked, *excluded]


def _without_reformats(pairs):
    """Exclude derived T1 series of a study that has an original one with contrast: they show the same."""
    originals = [
        item for _, item in pairs if not item.exclusion and "derived" not in item.found and item.points("contrast") > 0
    ]
    if not originals:
        return pairs
    return [
        (row, item._replace(exclusion=REFORMAT) if "derived" in item.found and not item.exclusion else item)
        for row, item in pairs
    ]


def _doubts_about(best, margin, can_compare):
    """Return what is in doubt about the best candidate, and whether pixels may tell; empty if nothing is."""
    speaking_for, against = best.points("contrast", sign=1), best.points("contrast", sign=-1)
    doubts = []
    if speaking_for >= _CONTRADICTION and against <= -_CONTRADICTION:
        doubts.append("signs for and against contrast")
    elif speaking_for + against <= 0:
        doubts.append(NO_SIGN)
    elif not {*_DECLARED, "brighter_of_pair"} & set(best.found):
        doubts.append(WEAK_SIGN)
    if "other_words" in best.found:
        doubts.append(f"the description says {best.found['other_words']}, the parameters T1")
    if "derived" in best.found:
        doubts.append("only a derived series is there")
    if margin == 0:
        doubts.append("two series are equally good")
    if can_compare and {NO_SIGN, WEAK_SIGN} & set(doubts):
        doubts.append(PIXELS_MAY_TELL)
    return doubts


def _remark_about(row, item):
    """Return what to know about a chosen series."""
    remarks = []
    if "agent_everywhere" in item.found:
        remarks.append("every series of the study states a contrast agent")
    elif "agent" not in item.found:
        remarks.append("no contrast agent stated")
    if not set(_DECLARED) & set(item.found):
        remarks.append("only the pixels and the order of acquisition speak for contrast")
    if row["tilt_deg"] > MOST_TILT_DEG:
        remarks.append(f"slices tilted by {row['tilt_deg']:g} degrees")
    if row["orientation"] != "axial":
        remarks.append(f"{row['orientation']} slices")
    if row["slice_spacing_mm"] > MOST_SPACING_MM:
        remarks.append(f"slice spacing {row['slice_spacing_mm']:g} mm")
    if row["varies"]:
        remarks.append(f"its images differ in {row['varies']}")
    return "; ".join(remarks)


def _deciding_rule(item, other):
    """Return the rule with the largest difference in points between two series; empty if they are equal."""
    differences = {
        name: RULES[name].points * ((name in item.found) - (name in other.found))
        for name in RULES
        if (name in item.found) != (name in other.found)
    }
    if not differences:
        return ""
    ahead = item.score >= other.score
    return max(differences, key=lambda name: differences[name] if ahead else -differences[name])


def _row(pair, **values):
    row, item = pair
    empty = {"rank": None, "chosen": False, "doubt": "", "remark": "", "margin": None, "rule": "", "runner_up": ""}
    return row | empty | {"score": item.score, "evidence": item.text, "days_from_lesion": None} | values


def _apply_decision(table, patient, uid):
    is_patient = normalise_ids(table["patient_id"]).to_numpy() == normalise_ids([patient])[0]
    is_series = is_patient & (table["series_uid"] == uid).to_numpy()
    if is_series.sum() != 1:
        raise InputError(f"decisions: patient {patient} has no series {uid!r}; take both from the table of series")
    table.loc[is_patient, ["chosen", "doubt"]] = [False, ""]
    table.loc[is_series, ["chosen", "rule"]] = [True, BY_USER]


def _remarks(table):
    remarked = table[table["remark"] != ""]
    return [
        f"patient {patient}: {remark}"
        for patient, remark in zip(remarked["patient_id"], remarked["remark"], strict=True)
    ]


def _doubts(table):
    """Return one line per patient and doubt, with the candidates that are in question."""
    lines = []
    in_doubt = table[table["doubt"] != ""]
    for (patient, doubt), rows in in_doubt.groupby(["patient_id", "doubt"], sort=False):
        shown = rows[rows["rank"] <= 2] if rows["rank"].notna().any() else rows.head(0)
        names = ", ".join(
            f"{name!r} of {date:%Y-%m-%d}" if not pd.isna(date) else repr(name)
            for name, date in zip(shown["description"], shown["study_date"], strict=True)
        )
        lines.append(f"patient {patient}: {doubt}{f': {names}' if names else ''}")
    return lines
