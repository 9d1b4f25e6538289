"""Evidence that a series is post-contrast T1: rules, their points, and what they find in a row of the series table."""

import math
import re
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from sklearn_pspd.loading.sequences import (
    computed_type,
    description_of,
    stated_agent,
    tagged_weighting,
    values_text,
    weighting_of,
)
from sklearn_pspd.loading.words import T1, contrast_words, find_words, normalise, other_kind, other_weighting

from .pixel_check import compare_series


class Rule(NamedTuple):
    """A rule: what it is about, its points, and what it looks at."""

    topic: str
    points: int
    meaning: str


RULES = {
    "t1_tag": Rule("T1", 3, "the header says that the contrast is T1 (AcquisitionContrast, ImageType of some vendors)"),
    "t1_parameters": Rule("T1", 3, "TR, TE, TI and flip angle are those of a T1-weighted sequence"),
    "t1_words": Rule("T1", 2, "the description names T1 or a sequence that is T1-weighted"),
    "other_words": Rule("T1", -6, "the description names another weighting, such as T2; the parameters do not"),
    "agent": Rule("contrast", 4, "a contrast agent, its ingredient or its volume is stated; an empty tag is none"),
    "agent_everywhere": Rule("contrast", 1, "the same, but every series of the study states it"),
    "agent_none": Rule("contrast", -4, "the tag of the contrast agent says that there was none"),
    "words": Rule("contrast", 4, "words of the description for contrast, such as KM, Gd, +C, post, apres, mdc"),
    "words_against": Rule("contrast", -6, "words of the description against it, such as nativ, pre, w/o, sans"),
    "after_injection": Rule("contrast", 3, "acquired after the stated time of the injection"),
    "before_injection": Rule("contrast", -6, "acquired before the stated time of the injection"),
    "later_of_pair": Rule("contrast", 3, "acquired after a series with equal parameters, which nothing declares"),
    "earlier_of_pair": Rule("contrast", -3, "acquired before a series with equal parameters"),
    "brighter_of_pair": Rule(
        "contrast", 4, "brighter at the bright end than a series with equal parameters (only with pixels=True)"
    ),
    "darker_of_pair": Rule("contrast", -4, "darker there than a series with equal parameters (only with pixels=True)"),
    "after_perfusion": Rule("contrast", 2, "acquired after a perfusion series with contrast agent of the same study"),
    "three_d": Rule("image", 2, "3-D acquisition"),
    "thin": Rule("image", 1, "slice spacing of at most 2 mm"),
    "axial": Rule("image", 1, "axial slices"),
    "processed": Rule("image", -1, "ImageType is DERIVED\\PRIMARY, such as filtered"),
    "derived": Rule("image", -5, "ImageType is DERIVED\\SECONDARY, such as a reformat"),
}
FEWEST_SLICES = 9
THIN_MM = 2.0
SAME = 0.02  # relative difference of parameters of a pair


class Evidence(NamedTuple):
    """What speaks for and against a series.

    Attributes
    ----------
    found : dict of str to str
        Rules that apply, and what they found.
    exclusion : str
        Why the series cannot be the wanted one; empty if it can.
    """

    found: dict
    exclusion: str

    @property
    def score(self):
        """Sum of the points."""
        return sum(RULES[name].points for name in self.found)

    @property
    def text(self):
        """The rules with their points and what they found, the weightiest first."""
        ordered = sorted(self.found, key=lambda name: -abs(RULES[name].points))
        return "; ".join(f"{RULES[name].points:+d} {name} ({self.found[name]})" for name in ordered)

    def points(self, topic, *, sign=0):
        """Return the points of one topic, all of them or only those of one sign."""
        points = [RULES[name].points for name in self.found if RULES[name].topic == topic]
        return sum(value for value in points if not sign or np.sign(value) == sign)


def series_rules():
    """Return the rules of :func:`choose_series` with their points.

    Returns
    -------
    DataFrame
        One row per rule: ``rule``, ``topic`` ("T1", "contrast" or "image"), ``points`` and ``meaning``.

    Examples
    --------
    >>> from sklearn_pspd.intake import series_rules
    >>> series_rules().loc[:, ["rule", "points"]].head(2)
                rule  points
    0         t1_tag       3
    1  t1_parameters       3
    """
    return pd.DataFrame([{"rule": name, **rule._asdict()} for name, rule in RULES.items()])


def study_evidence(rows):
    """Return the evidence on each series of one study.

    Parameters
    ----------
    rows : list of dict
        Rows of the series table.

    Returns
    -------
    list of Evidence
        In the order of the rows.
    """
    evidence = [_series_evidence(row) for row in rows]
    _demote_agents(rows, evidence)
    _compare_pairs(rows, evidence)
    _compare_perfusion(rows, evidence)
    return evidence


def _series_evidence(row):
    text = description_of(row)
    weighting, other, _ = weighting_of(row)
    tagged, other_tagged = tagged_weighting(row)
    named = other_weighting(text)
    exclusion = (
        _unusable(row)
        or (f"{kind} (description)" if (kind := other_kind(text)) else "")
        or (f"{other_tagged} (header)" if other_tagged else "")
        or (f"{other}-like: {values_text(row)}" if other else "")
        or (f"{named} (description)" if named and not weighting and not tagged else "")
    )
    found = {}
    if tagged:
        found["t1_tag"] = tagged
    if weighting:
        found["t1_parameters"] = f"{weighting}: {values_text(row)}"
    if word := find_words(text, T1):
        found["t1_words"] = repr(word)
    if named:
        found["other_words"] = named
    found |= _contrast(row, text) | _image(row)
    if not exclusion and not {"t1_tag", "t1_parameters", "t1_words"} & set(found):
        exclusion = "no sign of T1 weighting"
    return Evidence(found, exclusion)


def _unusable(row):
    """Return why the images of a series cannot be used, whatever they show."""
    if row["modality"] != "MR":
        return f"modality {row['modality'] or 'not stated'}"
    if computed := computed_type(row):
        return f"ImageType {computed}"
    if row["varies"] and row["varies"] != "slice step":
        return f"its images differ in {row['varies']}"
    if row["n_positions"] < FEWEST_SLICES:
        return f"{row['n_positions']} slices"
    return ""


def _contrast(row, text):
    found = {}
    agent, denial = stated_agent(row)
    if denial:
        found["agent_none"] = repr(denial)
    elif agent:
        found["agent"] = repr(agent)
    words, against = contrast_words(text)
    if words:
        found["words"] = repr(words)
    if against:
        found["words_against"] = repr(against)
    start = re.sub(r"\D", "", row["contrast_start"].partition(".")[0]).ljust(6, "0")
    # Zero is what scanners write that do not know the time.
    if int(start) and len(start) == 6 and not pd.isna(row["acquired"]):
        name = "after_injection" if f"{row['acquired']:%H%M%S}" >= start else "before_injection"
        found[name] = f"{start[:2]}:{start[2:4]}"
    return found


def _image(row):
    found = {}
    kinds = row["image_type"].upper().split("\\")[:2]
    if row["acquisition_type"].upper() == "3D":
        found["three_d"] = "3D"
    if row["slice_spacing_mm"] <= THIN_MM:
        found["thin"] = f"{row['slice_spacing_mm']:g} mm"
    if row["orientation"] == "axial":
        found["axial"] = f"tilt {row['tilt_deg']:g} degrees"
    if kinds[:1] == ["DERIVED"]:
        found["derived" if "SECONDARY" in kinds else "processed"] = "\\".join(kinds)
    return found


def is_declared(evidence):
    """Return whether words or a tag of this series, not of every series, say that contrast was given."""
    return bool({"agent", "words", "after_injection"} & set(evidence.found))


def _demote_agents(rows, evidence):
    """Count the tag little where every series of a study has it: it was set for the whole examination."""
    if len(rows) > 2 and all("agent" in item.found for item in evidence):
        for item in evidence:
            item.found["agent_everywhere"] = item.found.pop("agent")


def compare_pixels(rows, evidence):
    """Compare the pixels of T1 series with equal parameters, and add what was found to the evidence.

    Parameters
    ----------
    rows : list of dict
        Rows of the series table, of one date.
    evidence : list of Evidence
        What is known of each.

    Returns
    -------
    list of str
        One text per comparison.
    """
    texts = []
    for group in _equal_groups(rows, evidence):
        is_brighter, is_darker = {}, {}
        for pair in combinations(group, 2):
            names = [repr(rows[number]["description"]) for number in pair]
            found = compare_series(*(rows[number] for number in pair))
            if found.brighter < 0:
                texts.append(f"{names[0]} and {names[1]}: {found.text}")
                continue
            texts.append(f"{names[found.brighter]} is brighter than {names[1 - found.brighter]}: {found.text}")
            is_brighter.setdefault(pair[found.brighter], found.text)
            is_darker.setdefault(pair[1 - found.brighter], found.text)
        # One that is brighter than a second and darker than a third one proves nothing.
        for number in is_brighter.keys() - is_darker.keys():
            evidence[number].found["brighter_of_pair"] = is_brighter[number]
        for number in is_darker.keys() - is_brighter.keys():
            evidence[number].found["darker_of_pair"] = is_darker[number]
    return texts


def can_compare_pixels(rows, evidence):
    """Return whether any two series are such as :func:`compare_pixels` compares, as far as headers tell."""
    return any(
        rows[first]["frame_uid"] == rows[second]["frame_uid"]
        for group in _equal_groups(rows, evidence)
        for first, second in combinations(group, 2)
    )


def _equal_groups(rows, evidence):
    """Return the numbers of T1 series with equal parameters, by group."""
    usable = [number for number, item in enumerate(evidence) if not item.exclusion and "derived" not in item.found]
    groups = []
    while usable:
        first, *others = usable
        groups.append([first, *(number for number in others if _are_equal(rows[first], rows[number]))])
        usable = [number for number in usable if number not in groups[-1]]
    return groups


def _compare_pairs(rows, evidence):
    """Compare the order in which T1 series with equal parameters were acquired."""
    for group in _equal_groups(rows, evidence):
        times = {number: rows[number]["acquired"] for number in group if not pd.isna(rows[number]["acquired"])}
        if len(set(times.values())) > 1:
            _judge_order(times, evidence)


def _judge_order(times, evidence):
    declared = {number for number in times if is_declared(evidence[number])}
    if not declared:
        for number, time in times.items():
            name = "earlier_of_pair" if time == min(times.values()) else "later_of_pair"
            evidence[number].found[name] = f"{time:%H:%M}"
        return
    others = [times[number] for number in times if number not in declared]
    if not others:
        return
    for number, time in times.items():
        if number in declared:
            name = "earlier_of_pair" if time < max(others) else "later_of_pair"
        elif time < min(times[other] for other in declared):
            name = "earlier_of_pair"
        else:
            continue
        evidence[number].found[name] = f"{time:%H:%M}"


def _are_equal(row, other):
    texts = ("matrix", "orientation", "acquisition_type", "sequence")
    if any(row[name] != other[name] for name in texts):
        return False
    numbers = ("tr_ms", "te_ms", "ti_ms", "flip_deg", "slice_spacing_mm")
    pairs = [[math.nan if value[name] is None else value[name] for value in (row, other)] for name in numbers]
    # Without any parameter nothing is known to be equal.
    return bool(np.isfinite(pairs[1][0])) and all(np.isclose(*pair, rtol=SAME, equal_nan=True) for pair in pairs)


def _compare_perfusion(rows, evidence):
    """Note the T1 series that were acquired after a perfusion series, unless that needed no contrast agent."""
    starts = []
    for row in rows:
        text = normalise(row["description"] or row["protocol"])
        needs_agent = find_words(text, [r"perf\w*|pwi|dsc|dce|twist"]) and not find_words(text, [r"p?c?asl|pasl"])
        if needs_agent and "ASL" not in row["image_type"].upper() and not pd.isna(row["acquired"]):
            starts.append(row["acquired"])
    for row, item in zip(rows, evidence, strict=True):
        if starts and not pd.isna(row["acquired"]) and row["acquired"] > min(starts):
            item.found["after_perfusion"] = f"{min(starts):%H:%M}"
