"""Labels of lesions, progression or pseudoprogression, from what follow-up showed."""

import math
from datetime import date, datetime
from numbers import Number
from typing import NamedTuple

import pandas as pd

from sklearn_pspd.exceptions import InputError

from .problems import is_missing, raise_problems

STABLE_DAYS = 120
UNDETERMINED = "undetermined"

KINDS: dict[str, tuple[str, ...]] = {
    "appearance": (),
    "pathology": ("PD", "PsPD", "inconclusive"),
    "mri": ("increased", "decreased", "stable"),
    "pet": ("uptake", "no uptake", "equivocal"),
    "intervention": (),
}
FREE_RESULT = ("appearance", "intervention")

# Rule, kind of event, outcome. Of several rules that agree the first decides.
RULES = (
    ("surgically confirmed", "pathology", "PD"),
    ("pathologically proven", "pathology", "PsPD"),
    ("increased on MRI", "mri", "PD"),
    ("decreased on MRI", "mri", "PsPD"),
    ("stable on MRI", "mri", "PsPD"),
    ("uptake on PET", "pet", "PD"),
    ("no uptake on PET", "pet", "PsPD"),
)
COLUMNS = ["lesion_id", "outcome", "rule", "decided_on", "conflict", "remark"]


class _Event(NamedTuple):
    """One event; `day` is a number, `when` how to write it."""

    day: float
    when: str
    kind: str
    result: str
    date: object


def label_lesions(followup, *, stable_days=STABLE_DAYS, precedence=()):
    """Label lesions as progression or pseudoprogression by the paper's rules.

    ======================= ======== =============================================================================
    rule                    outcome  it applies where
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

    All rules are tried. If those that apply agree, the first of the table is the one that decided. If they contradict
    one another, the lesion is undetermined and ``conflict`` tells why: nothing is resolved silently.

    Parameters
    ----------
    followup : DataFrame
        One row an event, in any order, with the columns

        * ``lesion_id``: text;
        * ``date``: a date (or its ISO text, such as 2016-03-31), or a number of days from any fixed day, the same
          in all rows;
        * ``kind``: "appearance", "pathology", "mri", "pet" or "intervention";
        * ``result``: of pathology "PD", "PsPD" or "inconclusive"; of MRI, against the one before, "increased",
          "decreased" or "stable"; of PET "uptake", "no uptake" or "equivocal"; otherwise free or empty.

        A lesion has one appearance, and no event before it. An intervention is whatever may change the lesion from
        then on: surgery, re-irradiation, another drug. Pathology comes from surgery or biopsy, and counts as an
        intervention too.
    stable_days : int, default=120
        Days from the appearance after which a lesion that remained stable is pseudoprogression [1]_.
    precedence : sequence of {"pathology", "mri", "pet"}, default=()
        Kinds of events whose verdict, in this order, outranks the others where rules contradict one another;
        ``conflict`` is filled all the same. Empty as the paper names no order.

    Returns
    -------
    DataFrame
        One row a lesion, in the order of the table: ``lesion_id``, ``outcome`` ("PD", "PsPD" or "undetermined"),
        ``rule`` that decided, ``decided_on`` (date of its event), ``conflict`` (the rules that contradict one
        another, or two MRI results of one date) and ``remark`` (what did not count, and why).

    Raises
    ------
    ValueError
        If columns are missing, a date, kind or result is impossible, a lesion has no or several appearances, or an
        event lies before it. All problems are listed, with lesion, row, column and value.

    See Also
    --------
    sklearn_pspd.cohort.select_eligible : Excludes patients whose follow-up does not tell.

    Notes
    -----
    The paper [1]_ prints the rules, and that a decrease counts "before intervention"; these readings are ours:

    * Before an intervention means on an earlier date. What was seen on the same date does not count, and is remarked.
    * An increase counts after an intervention as well, and so does PET; both are remarked.
    * A decrease that is followed by an increase stays pseudoprogression, as printed, and is remarked.
    * A lesion that was stable for 120 days and increased later meets two rules, and is undetermined.
    * Two different MRI results of one date are a tie: MRI does not decide.

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
    absent = [name for name in ("lesion_id", "date", "kind", "result") if name not in followup.columns]
    if absent:
        raise InputError(f"the follow-up table has no column {', '.join(absent)}")
    problems = []
    histories = {}
    for row, (lesion, when, kind, result) in enumerate(
        zip(followup["lesion_id"], followup["date"], followup["kind"], followup["result"], strict=True), start=1
    ):
        event = _read_event(f"row {row}, lesion {lesion}", when, kind, result, problems)
        if is_missing(lesion):
            problems.append(f"row {row}: column lesion_id is empty")
        elif event is not None:
            histories.setdefault(str(lesion), []).append(event)
        else:
            histories.setdefault(str(lesion), [])
    problems += _mixed_dates(followup["date"])
    if not problems:
        problems += [line for lesion, events in histories.items() for line in _history_problems(lesion, events)]
    raise_problems("the follow-up table has", problems)
    rows = [
        {"lesion_id": lesion, **_label(sorted(events, key=lambda event: event.day), stable_days, precedence)}
        for lesion, events in histories.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _label(events, stable_days, precedence):
    """Return outcome, rule, date, conflict and remark of one lesion's events, in the order of time."""
    remarks = []
    deciding = _deciding_events(events, stable_days, remarks)
    tie = _tie(events)
    if tie:
        deciding = {rule: event for rule, event in deciding.items() if event.kind != "mri"}
    applied = [(rule, kind, outcome) for rule, kind, outcome in RULES if rule in deciding]
    outcomes = {outcome for _, _, outcome in applied}
    conflicts = [tie] if tie else []
    if len(outcomes) > 1:
        listing = " against ".join(f"{outcome}: {rule} ({deciding[rule].when})" for rule, _, outcome in applied)
        conflicts.append(listing)
        applied = _outranking(applied, precedence)
    if not applied:
        verdict = {"outcome": UNDETERMINED, "rule": "", "decided_on": None}
    else:
        rule, _, outcome = applied[0]
        verdict = {"outcome": outcome, "rule": rule, "decided_on": deciding[rule].date}
    return {**verdict, "conflict": "; ".join(conflicts), "remark": "; ".join(remarks)}


def _deciding_events(events, stable_days, remarks):
    """Return the event by which each rule applies; the rules that do not apply are absent."""
    appearance = next(event for event in events if event.kind == "appearance")
    # A pathology result comes from surgery or biopsy, which may change the lesion like any intervention.
    intervention = next((event for event in events if event.kind in ("intervention", "pathology")), None)
    found = {}
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
    scans = [event for event in events if event.kind == "mri"]
    decrease = _spontaneous_decrease(scans, intervention, remarks)
    increases = [scan for scan in scans if scan.result == "increased"]
    if decrease is not None:
        found["decreased on MRI"] = decrease
        remarks += [f"increased on {scan.when}, after the decrease" for scan in increases if scan.day > decrease.day]
    elif increases:
        found["increased on MRI"] = increases[0]
        if _is_after(increases[0], intervention):
            remarks.append(f"increased only after the intervention of {intervention.when}")
    stable = _long_stable(scans, appearance, intervention, stable_days, remarks)
    if stable is not None:
        found["stable on MRI"] = stable
    return found


def _spontaneous_decrease(scans, intervention, remarks):
    decreases = [scan for scan in scans if scan.result == "decreased"]
    spontaneous = [scan for scan in decreases if not _is_late(scan, intervention)]
    if not spontaneous and decreases:
        remarks.append(_late_remark(decreases[0], intervention))
    return spontaneous[0] if spontaneous else None


def _long_stable(scans, appearance, intervention, stable_days, remarks):
    """Return the first scan that shows the lesion unchanged for long enough."""
    longest = None
    for scan in scans:
        if scan.result != "stable":
            break
        longest = scan
        if scan.day - appearance.day >= stable_days:
            if _is_late(scan, intervention):
                remarks.append(_late_remark(scan, intervention))
                return None
            return scan
    if longest is not None:
        days = longest.day - appearance.day
        remarks.append(f"known to be stable for {days:g} days, fewer than {stable_days}")
    return None


def _is_late(event, intervention):
    return intervention is not None and event.day >= intervention.day


def _is_after(event, intervention):
    return intervention is not None and event.day > intervention.day


def _late_remark(scan, intervention):
    where = "on the day of" if scan.day == intervention.day else "after"
    return f"{scan.result} on {scan.when}, {where} the intervention of {intervention.when}: not counted"


def _tie(events):
    """Return what is contradictory in the MRI results of one date, or an empty text."""
    results = {}
    for event in events:
        if event.kind == "mri":
            results.setdefault(event.day, {})[event.result] = event.when
    ties = [f"MRI of {next(iter(found.values()))}: {' and '.join(sorted(found))}" for found in results.values()
            if len(found) > 1]  # fmt: skip
    return "; ".join(ties)


def _outranking(applied, precedence):
    """Return the applied rules of the first kind in `precedence` that has a verdict; none if it contradicts itself."""
    for kind in precedence:
        verdicts = [entry for entry in applied if entry[1] == kind]
        if verdicts:
            return verdicts if len({outcome for _, _, outcome in verdicts}) == 1 else []
    return []


def _read_event(name, when, kind, result, problems):
    """Return the event, or None if its cells make none."""
    before = len(problems)
    day, text, value = _read_date(when)
    if day is None:
        shown = "empty" if is_missing(when) or when is pd.NaT else f"{when!r}, neither a date nor a number of days"
        problems.append(f"{name}, column date: {shown}")
    kind = "" if is_missing(kind) else str(kind).strip()
    result = "" if is_missing(result) else str(result).strip()
    if kind not in KINDS:
        problems.append(f"{name}, column kind: {kind!r}; it takes {', '.join(map(repr, KINDS))}")
    elif kind not in FREE_RESULT and result not in KINDS[kind]:
        problems.append(f"{name}, column result: {result!r}; of {kind} it is {', '.join(map(repr, KINDS[kind]))}")
    return _Event(day, text, kind, result, value) if len(problems) == before else None


def _read_date(value):
    """Return (number of days, text, date as given to the result), or Nones."""
    if is_missing(value) or value is pd.NaT or isinstance(value, bool):
        return None, None, None
    if isinstance(value, Number) and 19_000_101 <= value <= 21_001_231:
        return None, None, None  # a date such as 20160104, which counts no days
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
    return ["column date: mixes dates and numbers of days"] if any(numbers) and not all(numbers) else []


def _history_problems(lesion, events):
    appearances = [event for event in events if event.kind == "appearance"]
    if len(appearances) != 1:
        dates = f" ({', '.join(event.when for event in appearances)})" if appearances else ""
        return [f"lesion {lesion}: {len(appearances)} appearances{dates}; one is needed"]
    start = appearances[0]
    return [
        f"lesion {lesion}: {event.kind} of {event.when} lies before the appearance of {start.when}"
        for event in events
        if event.day < start.day
    ]


def _check_parameters(stable_days, precedence):
    if isinstance(stable_days, bool) or not isinstance(stable_days, Number) or not 0 < stable_days < math.inf:
        raise InputError(f"stable_days is a number of days above 0; got {stable_days!r}")
    unknown = [kind for kind in precedence if kind not in ("pathology", "mri", "pet")]
    if isinstance(precedence, str) or unknown:
        raise InputError(f"precedence lists kinds out of 'pathology', 'mri', 'pet'; got {precedence!r}")
