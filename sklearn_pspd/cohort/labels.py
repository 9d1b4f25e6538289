"""Labels of lesions, progression or pseudoprogression, from follow-up events."""

import math
from datetime import date, datetime
from numbers import Number
from typing import NamedTuple

import pandas as pd

from sklearn_pspd.exceptions import InputError

from .problems import is_missing, missing_columns, normalise_ids, raise_problems

STABLE_DAYS = 120
PRECEDENCE = ("pathology",)
UNDETERMINED = "undetermined"

KINDS: dict[str, tuple[str, ...]] = {
    "appearance": (),
    "pathology": ("PD", "PsPD", "inconclusive"),
    "mri": ("increased", "decreased", "stable"),
    "pet": ("uptake", "no uptake", "equivocal"),
    "intervention": (),
}
FREE_RESULT = ("appearance", "intervention")

# Rule, kind of event, outcome. Among several rules that agree, the first is stated as the deciding one.
LABEL_RULES = (
    ("surgically confirmed", "pathology", "PD"),
    ("pathologically proven", "pathology", "PsPD"),
    ("increased on MRI", "mri", "PD"),
    ("decreased on MRI", "mri", "PsPD"),
    ("stable on MRI", "mri", "PsPD"),
    ("uptake on PET", "pet", "PD"),
    ("no uptake on PET", "pet", "PsPD"),
)
EVENT_COLUMNS = ("lesion_id", "date", "kind", "result")
LABEL_COLUMNS = ["lesion_id", "outcome", "rule", "decided_on", "conflict", "remark"]


class _Event(NamedTuple):
    """A follow-up event; `day` is its number of days, `when` its date as written in messages."""

    day: float
    when: str
    kind: str
    result: str
    date: object


def label_lesions(followup, *, stable_days=STABLE_DAYS, precedence=PRECEDENCE):
    """Label lesions as progression or pseudoprogression by the paper's rules.

    ======================= ======== =============================================================================
    rule                    outcome  the rule applies if
    ======================= ======== =============================================================================
    surgically confirmed    PD       pathology found progression
    pathologically proven   PsPD     pathology found pseudoprogression
    increased on MRI        PD       the lesion increased, and did not decrease before any intervention
    decreased on MRI        PsPD     the lesion decreased before any intervention
    stable on MRI           PsPD     the lesion was stable 120 days or more after its appearance, with no change
                                     and no intervention until then
    uptake on PET           PD       uptake was significant
    no uptake on PET        PsPD     uptake was not significant
    ======================= ======== =============================================================================

    All rules are evaluated. If the rules that apply agree, the first of them in the table is the deciding rule. If
    they contradict one another, pathology decides; without pathology the outcome is "undetermined". In each case,
    ``conflict`` states the contradiction.

    Parameters
    ----------
    followup : DataFrame
        One row per event, in any order, with the columns

        * ``lesion_id``: text; surrounding white space and letter case do not distinguish lesions;
        * ``date``: a date, its ISO text such as 2016-03-31, or a number of days since a fixed day that is the same
          in all rows;
        * ``kind``: "appearance", "pathology", "mri", "pet" or "intervention";
        * ``result``: for pathology "PD", "PsPD" or "inconclusive"; for MRI, compared with the previous one,
          "increased", "decreased" or "stable"; for PET "uptake", "no uptake" or "equivocal"; otherwise any text or
          empty.

        A lesion has one appearance and no earlier event. An intervention is any treatment that may change the lesion:
        surgery, re-irradiation, another drug. A pathology result comes from surgery or biopsy, so it also counts as
        an intervention.
    stable_days : int, default=120
        Days since the appearance after which a stable lesion is pseudoprogression [1]_.
    precedence : sequence of {"pathology", "mri", "pet"}, default=("pathology",)
        Kinds of events that decide, in this order, if rules contradict one another. ``conflict`` still states the
        contradiction. The paper names pathologic confirmation as the most reliable method, and gives no order of MRI
        and PET. Empty leaves every contradiction undetermined.

    Returns
    -------
    DataFrame
        One row per lesion, in the order of the table: ``lesion_id``, ``outcome`` ("PD", "PsPD" or "undetermined"),
        ``rule`` (the deciding rule), ``decided_on`` (date of the deciding event), ``conflict`` (rules that contradict
        one another, or different MRI results on one date) and ``remark`` (events that were not counted, and why).

    Raises
    ------
    InputError
        If columns are missing, a date, kind or result is invalid, a lesion has no appearance or several, or an event
        precedes the appearance. All problems are listed, with lesion, row, column and value.

    See Also
    --------
    sklearn_pspd.cohort.select_eligible : Excludes patients with insufficient follow-up.

    Notes
    -----
    The paper [1]_ states the rules, and that a decrease counts "before intervention". The following interpretations
    are ours:

    * Before an intervention means on an earlier date. A result of the same date is not counted; ``remark`` says so.
    * An increase or a PET result after an intervention is counted; ``remark`` says so.
    * A decrease followed by an increase is pseudoprogression, as the rules state; ``remark`` mentions the increase.
    * A lesion that was stable for 120 days and increased later meets two rules, so its outcome is undetermined.
    * A lesion that increased and was then found to be pseudoprogression by surgery or biopsy meets two rules, and
      pathology decides: lesions are operated on because they grow. So does pathology of a lesion that had been stable.
    * If MRI results of one date differ, MRI is not used for the label.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.cohort import label_lesions
    >>> followup = pd.DataFrame(
    ...     [
    ...         ("A", "2016-01-04", "appearance", ""),
    ...         ("A", "2016-02-29", "mri", "increased"),
    ...         ("B", "2016-01-04", "appearance", ""),
    ...         ("B", "2016-05-03", "mri", "stable"),
    ...         ("C", "2016-01-04", "appearance", ""),
    ...         ("C", "2016-03-01", "intervention", "bevacizumab"),
    ...         ("C", "2016-04-01", "mri", "decreased"),
    ...     ],
    ...     columns=["lesion_id", "date", "kind", "result"],
    ... )
    >>> label_lesions(followup)[["lesion_id", "outcome", "rule"]]
      lesion_id       outcome              rule
    0         A            PD  increased on MRI
    1         B          PsPD     stable on MRI
    2         C  undetermined
    """
    _check_parameters(stable_days, precedence)
    raise_problems("the follow-up table has", missing_columns(followup, EVENT_COLUMNS))
    # Events of each lesion, by its first spelling.
    problems = []
    histories = {}
    names = {}
    cells = zip(normalise_ids(followup["lesion_id"]), *(followup[column] for column in EVENT_COLUMNS), strict=True)
    for row, (key, lesion, when, kind, result) in enumerate(cells, start=1):
        event = _read_event(f"row {row}, lesion {lesion}", when, kind, result, problems)
        if is_missing(lesion):
            problems.append(f"row {row}: column lesion_id is empty")
        elif event is not None:
            histories.setdefault(names.setdefault(key, str(lesion)), []).append(event)
    problems += _mixed_dates(followup["date"])
    if not problems:
        problems += [line for lesion, events in histories.items() for line in _history_problems(lesion, events)]
    raise_problems("the follow-up table has", problems)
    # The rules are applied to each lesion in chronological order.
    rows = [
        {"lesion_id": lesion, **_label(sorted(events, key=lambda event: event.day), stable_days, precedence)}
        for lesion, events in histories.items()
    ]
    return pd.DataFrame(rows, columns=LABEL_COLUMNS)


def _label(events, stable_days, precedence):
    """Return outcome, rule, date, conflict and remark of one lesion; its events are in chronological order."""
    remarks = []
    deciding = _deciding_events(events, stable_days, remarks)
    mri_conflict = _mri_conflict(events)
    if mri_conflict:
        deciding = {rule: event for rule, event in deciding.items() if event.kind != "mri"}
    applied = [(rule, kind, outcome) for rule, kind, outcome in LABEL_RULES if rule in deciding]
    outcomes = {outcome for _, _, outcome in applied}
    conflicts = [mri_conflict] if mri_conflict else []
    if len(outcomes) > 1:
        listing = " against ".join(f"{outcome}: {rule} ({deciding[rule].when})" for rule, _, outcome in applied)
        conflicts.append(listing)
        applied = _preferred(applied, precedence)
    if not applied:
        decision = {"outcome": UNDETERMINED, "rule": "", "decided_on": None}
    else:
        rule, _, outcome = applied[0]
        decision = {"outcome": outcome, "rule": rule, "decided_on": deciding[rule].date}
    return {**decision, "conflict": "; ".join(conflicts), "remark": "; ".join(remarks)}


def _deciding_events(events, stable_days, remarks):
    """Return, for each rule that applies, the event that decides it."""
    appearance = next(event for event in events if event.kind == "appearance")
    # A pathology result comes from surgery or biopsy, which may change the lesion as any intervention does.
    intervention = next((event for event in events if event.kind in ("intervention", "pathology")), None)
    found = {}
    # Pathology and PET: the first result of each kind decides.
    for rule, kind, result in (
        ("surgically confirmed", "pathology", "PD"),
        ("pathologically proven", "pathology", "PsPD"),
        ("uptake on PET", "pet", "uptake"),
        ("no uptake on PET", "pet", "no uptake"),
    ):
        first = next((event for event in events if event.kind == kind and event.result == result), None)
        if first is not None:
            found[rule] = first
            if kind == "pet" and _is_after(first, intervention):
                remarks.append(f"PET of {first.when} follows the intervention of {intervention.when}")
    # MRI: an increase counts only if there was no decrease before an intervention.
    scans = [event for event in events if event.kind == "mri"]
    decrease = _decrease_before_intervention(scans, intervention, remarks)
    increases = [scan for scan in scans if scan.result == "increased"]
    if decrease is not None:
        found["decreased on MRI"] = decrease
        remarks += [f"increased on {scan.when}, after the decrease" for scan in increases if scan.day > decrease.day]
    elif increases:
        found["increased on MRI"] = increases[0]
        if _is_after(increases[0], intervention):
            remarks.append(f"increased only after the intervention of {intervention.when}")
    # MRI: stable from the appearance for long enough.
    stable = _stable_scan(scans, appearance, intervention, stable_days, remarks)
    if stable is not None:
        found["stable on MRI"] = stable
    return found


def _decrease_before_intervention(scans, intervention, remarks):
    """Return the first scan with a decrease before any intervention, or None."""
    decreases = [scan for scan in scans if scan.result == "decreased"]
    counted = [scan for scan in decreases if not _is_too_late(scan, intervention)]
    if not counted and decreases:
        remarks.append(_too_late_remark(decreases[0], intervention))
    return counted[0] if counted else None


def _stable_scan(scans, appearance, intervention, stable_days, remarks):
    """Return the first scan that shows the lesion stable for at least `stable_days`, or None."""
    last_stable = None
    for scan in scans:
        if scan.result != "stable":
            break
        last_stable = scan
        if scan.day - appearance.day >= stable_days:
            if _is_too_late(scan, intervention):
                remarks.append(_too_late_remark(scan, intervention))
                return None
            return scan
    if last_stable is not None:
        days = last_stable.day - appearance.day
        remarks.append(f"known to be stable for {days:g} days, fewer than {stable_days}")
    return None


def _is_too_late(event, intervention):
    return intervention is not None and event.day >= intervention.day


def _is_after(event, intervention):
    return intervention is not None and event.day > intervention.day


def _too_late_remark(scan, intervention):
    where = "on the day of" if scan.day == intervention.day else "after"
    return f"{scan.result} on {scan.when}, {where} the intervention of {intervention.when}: not counted"


def _mri_conflict(events):
    """Return the different MRI results of one date as text; empty if there are none."""
    results = {}
    for event in events:
        if event.kind == "mri":
            results.setdefault(event.day, {})[event.result] = event.when
    return "; ".join(
        f"MRI of {next(iter(found.values()))}: {' and '.join(sorted(found))}"
        for found in results.values()
        if len(found) > 1
    )


def _preferred(applied, precedence):
    """Return the rules of the first kind in `precedence` for which any applies; none if these rules disagree."""
    for kind in precedence:
        of_kind = [entry for entry in applied if entry[1] == kind]
        if of_kind:
            return of_kind if len({outcome for _, _, outcome in of_kind}) == 1 else []
    return []


def _read_event(name, when, kind, result, problems):
    """Return the event of a row, or None if its cells are invalid."""
    before = len(problems)
    day, text, value = _read_date(when)
    if day is None:
        found = "is empty" if is_missing(when) else f"holds {when!r}, which is neither a date nor a number of days"
        problems.append(f"{name}, column date: {found}")
    kind = "" if is_missing(kind) else str(kind).strip()
    result = "" if is_missing(result) else str(result).strip()
    if kind not in KINDS:
        problems.append(f"{name}, column kind: holds {kind!r}; it takes {', '.join(map(repr, KINDS))}")
    elif kind not in FREE_RESULT and result not in KINDS[kind]:
        allowed = ", ".join(map(repr, KINDS[kind]))
        problems.append(f"{name}, column result: holds {result!r}; for {kind} it takes {allowed}")
    return _Event(day, text, kind, result, value) if len(problems) == before else None


def _read_date(value):
    """Return the number of days, the text for messages and the date for the result; None for each if invalid."""
    if is_missing(value) or isinstance(value, bool):
        return None, None, None
    if isinstance(value, Number) and 19_000_101 <= value <= 21_001_231:
        return None, None, None  # a date such as 20160104, not a number of days
    if isinstance(value, Number):
        return (float(value), f"day {value:g}", value) if math.isfinite(value) else (None, None, None)
    try:
        found = value.date() if isinstance(value, datetime) else value
        found = found if isinstance(found, date) else date.fromisoformat(str(value).strip())
    except ValueError:
        return None, None, None
    return float(found.toordinal()), found.isoformat(), pd.Timestamp(found)


def _mixed_dates(column):
    numbers = [isinstance(value, Number) for value in column if not is_missing(value)]
    return ["column date: holds both dates and numbers of days"] if any(numbers) and not all(numbers) else []


def _history_problems(lesion, events):
    appearances = [event for event in events if event.kind == "appearance"]
    if len(appearances) != 1:
        dates = f" ({', '.join(event.when for event in appearances)})" if appearances else ""
        return [f"lesion {lesion}: {len(appearances)} appearances{dates}; exactly one is required"]
    start = appearances[0]
    return [
        f"lesion {lesion}: {event.kind} of {event.when} precedes the appearance of {start.when}"
        for event in events
        if event.day < start.day
    ]


def _check_parameters(stable_days, precedence):
    if isinstance(stable_days, bool) or not isinstance(stable_days, Number) or not 0 < stable_days < math.inf:
        raise InputError(f"stable_days must be a number of days above 0; got {stable_days!r}")
    unknown = [kind for kind in precedence if kind not in ("pathology", "mri", "pet")]
    if isinstance(precedence, str) or unknown:
        raise InputError(f"precedence must be a sequence of 'pathology', 'mri' or 'pet'; got {precedence!r}")
