"""What a series is by its header: its weighting, images that a program computed, and the stated contrast agent."""

import math
import re
from typing import NamedTuple

from .words import contrast_words, normalise

T2_TE_MS = 60.0
FLAIR_TI_MS = 1600.0
MOST_T1_TE_MS = 35.0
T2_STAR_TE_MS = 15.0
# From here on no T1-weighted gradient echo is left, at any field strength.
CLEAR_T2_STAR_TE_MS = 20.0
PROTON_DENSITY_TR_MS = 2000.0

# Kinds that contradict T1 weighting and that a loader refuses; see `contradiction`.
SEQUENCE_KINDS = (
    "T2", "FLAIR", "T2-star", "proton-density", "STIR", "diffusion", "perfusion", "functional", "angiography",
    "tagging", "echo-planar", "computed", "secondary-capture",
)  # fmt: skip
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

# Third or later part of ImageType of images that a program computed from others, and of phase images.
COMPUTED = (
    "SUBTRACT", "SUBTRACTION", "PROJECTION IMAGE", "MIP", "MINIP", "SCREEN", "ADC", "TRACE", "TRACEW", "FA", "MAP",
    "PHASE MAP", "P",
)  # fmt: skip
_TAGGED = {
    "T2": "T2", "T2_STAR": "T2-star", "FLUID_ATTENUATED": "FLAIR", "PROTON_DENSITY": "proton-density",
    "DIFFUSION": "diffusion", "PERFUSION": "perfusion", "TOF": "angiography", "FLOW_ENCODED": "angiography",
    "STIR": "STIR", "TAGGING": "tagging", "FMRI": "functional", "ASL": "perfusion",
}  # fmt: skip
_NO_AGENT = re.compile(r"none|no|non|nein|ohne.*|sans.*|without.*|w/o.*|not? .*|kein.*|nativ|0|false")
_UNSTATED = re.compile(r"n\.?/?a\.?|-+|\?+|unknown|unbekannt|inconnu")


class Weighting(NamedTuple):
    """Weighting of a sequence by its parameters.

    Attributes
    ----------
    t1 : str
        How the parameters make it T1-weighted, such as "inversion-prepared"; empty if they do not.
    other : str
        The other weighting that they have, one of ``SEQUENCE_KINDS``; empty if none.
    is_clear : bool
        Whether no T1-weighted sequence of any vendor has parameters like those of `other`.
    """

    t1: str = ""
    other: str = ""
    is_clear: bool = False


def weighting_of(facts):
    """Return the weighting of a sequence by its parameters.

    Parameters
    ----------
    facts : mapping
        Facts of a series: TR, TE, TI and flip angle (None or NaN where unknown), and the scanning sequence.

    Returns
    -------
    Weighting
        All empty if the parameters do not tell.
    """
    names = ("tr_ms", "te_ms", "ti_ms", "flip_deg")
    tr, te, ti, flip = (math.nan if facts[name] is None else facts[name] for name in names)
    # Converters write underscores for backslashes; objects with several frames have whole words.
    parts = re.split(r"[\\_ ]+", facts["sequence"].upper())
    is_gradient = any(part.startswith(("GR", "RM")) for part in parts)
    if other := _other_weighting(te, ti, parts, is_gradient):
        return other
    # Without a stated spin echo, or with inversion, it may be an inversion-prepared sequence without its TI.
    is_long = tr >= PROTON_DENSITY_TR_MS and not ti > 0
    is_plain_spin_echo = any(part.startswith("S") for part in parts) and "IR" not in parts
    if te > MOST_T1_TE_MS and is_long and is_plain_spin_echo:
        return Weighting("", "T2", True)
    # Zero is what converters write that do not know the time.
    if not 0 < te <= MOST_T1_TE_MS:
        return Weighting()
    if 300 <= ti <= 1300 and te <= 12:
        return Weighting("inversion-prepared")
    if 400 <= ti <= 1300 and tr <= 3500:
        return Weighting("T1 FLAIR")
    if is_gradient or (not any(parts) and tr <= 50):
        is_t1 = te <= 12 and ((tr <= 50 and not flip < 5) or (tr <= 500 and flip >= 50))
        return Weighting("gradient echo" if is_t1 else "")
    if 200 <= tr <= 1300:
        return Weighting("spin echo")
    return Weighting("", "proton-density", is_plain_spin_echo) if is_long else Weighting()


def _other_weighting(te, ti, parts, is_gradient):
    """Return a weighting that long echo or inversion times give; None if there is none."""
    if "EP" in parts:
        return Weighting("", "echo-planar", True)
    if te >= T2_TE_MS:
        return Weighting("", "FLAIR" if ti >= FLAIR_TI_MS else "T2", True)
    if ti >= FLAIR_TI_MS:
        # The second inversion time of MP2RAGE is as long.
        return Weighting("", "FLAIR", False)
    if is_gradient and te >= T2_STAR_TE_MS:
        return Weighting("", "T2-star", te >= CLEAR_T2_STAR_TE_MS)
    return None


def values_text(facts):
    """Return the times of a sequence as text, such as "TR 4500 ms, TE 95 ms"; empty if none is known."""
    shown = {"TR": facts["tr_ms"], "TE": facts["te_ms"], "TI": facts["ti_ms"]}
    return ", ".join(f"{name} {value:g} ms" for name, value in shown.items() if value is not None and value == value)


def tagged_weighting(facts):
    """Return "T1" if the header says so in a tag, and the other weighting that a tag names; one or both are empty."""
    tag = facts["acquisition_contrast"].upper()
    parts = facts["image_type"].upper().split("\\")
    if tag == "T1" or (not tag and "T1" in parts[2:]):
        return "T1", ""
    others = [name for part, name in _TAGGED.items() if part == tag or part in parts[2:]]
    return "", others[0] if others else ""


def computed_type(facts):
    """Return the part of ImageType that says that images were computed, or that they show the phase; else empty."""
    parts = facts["image_type"].upper().split("\\")
    return next((part for part in parts[2:] if part in COMPUTED), "")


def is_secondary(facts):
    """Return whether ImageType says that images were made from others, as a reformat is."""
    return facts["image_type"].upper().split("\\")[:2] == ["DERIVED", "SECONDARY"]


def contradiction(facts):
    """Return why a series clearly is no T1-weighted series of MR images.

    Words of the description do not decide it, since they are what somebody typed.

    Parameters
    ----------
    facts : mapping
        Facts of a series, with ``sop_class``, the UID of its kind of object.

    Returns
    -------
    kind : str
        One of ``SEQUENCE_KINDS``; empty if there is no clear contradiction.
    detail : str
        The values of the header that say so.
    """
    weighting = weighting_of(facts)
    tagged_t1, tagged = tagged_weighting(facts)
    if f"{facts['sop_class']}.".startswith(f"{SECONDARY_CAPTURE}."):
        return "secondary-capture", "secondary capture, such as a screen save"
    if computed_type(facts):
        return "computed", f"ImageType {facts['image_type']}"
    if weighting.is_clear and not (tagged_t1 and weighting.other == "proton-density"):
        return weighting.other, values_text(facts)
    if tagged and not weighting.t1:
        source = facts["acquisition_contrast"] and f"AcquisitionContrast {facts['acquisition_contrast']}"
        return tagged, source or f"ImageType {facts['image_type']}"
    return "", ""


def stated_agent(facts):
    """Return what the tags say of a contrast agent.

    Parameters
    ----------
    facts : mapping
        Facts of a series.

    Returns
    -------
    agent : str
        The agent, its ingredient or its volume; empty if none is stated, as in an empty tag.
    denial : str
        The words of a tag which say that there was none; empty if no tag does.
    """
    tags = (facts["contrast_agent"].strip(), facts["contrast_ingredient"].strip())
    stated = [value for value in tags if value and not _UNSTATED.fullmatch(value.casefold())]
    volume = facts["contrast_volume_ml"]
    if any(_NO_AGENT.fullmatch(value.casefold()) for value in stated):
        return "", stated[0]
    if stated:
        return stated[0], ""
    return (f"{volume:g} ml" if volume is not None and volume > 0 else ""), ""


def description_of(facts):
    """Return the description of a series, or else its protocol, as words are searched in it."""
    return normalise(facts["description"] or facts["protocol"])


def contrast_evidence(facts):
    """Return what speaks for a contrast agent, and what against it: tags and words of the description.

    Parameters
    ----------
    facts : mapping
        Facts of a series.

    Returns
    -------
    list of str, list of str
        For example ``["agent 'Gadovist'", "words 'km'"]`` and ``[]``.
    """
    agent, denial = stated_agent(facts)
    words, against = contrast_words(description_of(facts))
    speaking_for = [f"agent {agent!r}" if agent else "", f"words {words!r}" if words else ""]
    speaking_against = [f"tag {denial!r}" if denial else "", f"words {against!r}" if against else ""]
    return list(filter(None, speaking_for)), list(filter(None, speaking_against))
