"""Words in descriptions of MRI series, in several languages: what a series is, and whether contrast was given."""

import re
import unicodedata

# Nouns for the contrast agent: English, German, French, Spanish, Italian, and names of products.
_AGENT = (
    r"contrast\w*|kontrast\w*|contraste|contrasto|km|gd|gad\w*|ce|mdc|pdc|civ|injection|injecte\w*|inj|enh\w*|c|"
    r"dotarem|artirem|magnevist|prohance|clariscan|multihance|omniscan|primovist|eovist|elucirem|vueway"
)
# Words after which "pre" and "post" mean treatment and not contrast.
_TREATMENT = r"op|ops|operativ\w*|surg\w*|resect\w*|rt|crt|radi\w*|xrt|treat\w*|therap\w*|chemo\w*|bestrahl\w*|sat\w*"
_GAP = r"[ .:/+-]*"
_WITHOUT = r"(?:without|w/o|wo|ohne|sans|senza|sin|no|non|bez|zonder|pre|before|vor|avant|antes|prima|predi|unenh\w*)"

# Names of examinations, not of series.
_BOTH = (
    r"\b(?:w ?[/+&]? ?wo|with (?:and|or) without|mit und ohne|avec et sans|con y sin|con e senza)\b"
    rf"(?:{_GAP}(?:{_AGENT})\b)?"
)

WITHOUT_CONTRAST = [
    rf"{_WITHOUT}{_GAP}(?:the |iv |i\.v\. |de |di |del )?(?:{_AGENT})",
    rf"pre(?!{_GAP}(?:{_TREATMENT})\b)",
    r"w/o|wo|without|ohne|sans|senza|nativ\w*|nativo|plain|unenhanced|nonenhanced|noncontrast\w*|precontrast\w*|pregd|"
    r"basale|baseline scan",
    r"c-",
]
WITHOUT_CONTRAST_ANYWHERE = [r"조영\s*전", r"비\s*조영", r"平扫", r"平掃", r"単純"]
WITH_CONTRAST = [
    _AGENT.replace("|c|", "|"),
    rf"post(?!{_GAP}(?:{_TREATMENT})\b)",
    rf"nach(?!{_GAP}(?:{_TREATMENT})\b)",
    rf"(?:apres|dopo|despues|after)(?!{_GAP}(?:{_TREATMENT})\b)",
    r"postcontrast\w*|postgd|postkm|post(?=t1)\w*",
    r"t1w?(?:c|ce|gd|gad|km|post|c\+)|cet1w?|cemprage",
    r"\+ ?c|c ?\+|\+ ?(?:gd|km|gad\w*)",
]
WITH_CONTRAST_ANYWHERE = [r"조영", r"造影", r"增强", r"增強"]

T1 = [
    r"t1(?!\d)\w*",
    r"st1(?!\d)\w*",
    r"cet1\w*",
    r"mp[ -]?rage\w*|mpr|bravo|f?spgr|tfl\w*|tfe\w*|vibe\w*|lava|thrive",
]
# Kinds of other weighting, which parameters of the sequence may contradict.
OTHER_WEIGHTING = {
    "T2": [r"s?t2(?!\d)\w*"],
    "FLAIR": [r"flair\w*", r"dark fluid", r"tirm\w*"],
    "proton density": [r"pd|pdw|dp"],
    "STIR": [r"stir|ciss|fiesta\w*|dir"],
}
# Kinds that are never the wanted series, whatever the parameters.
OTHER_KINDS = {
    "localizer": [
        r"loc|locs|localiz\w*|localis\w*|localizador|scout\w*|survey|pilot|3 ?plane|plan ?scan|topogram\w*|reperage|"
        r"planung|calib\w*|asset|cal|lokali\w*"
    ],
    "diffusion": [r"dwi\w*|diff\w*|adc|eadc|tracew?|dti\w*|tensor\w*|colfa|fa|b ?[01]000|isodwi"],
    "perfusion": [
        r"perf\w*|pwi|dsc|dce|p?c?asl|pasl|r?cbf|r?cbv|relcbf|mtt|tmax|ttp|ktrans|dyn\w*|twist|gbp|pbp|leakage"
    ],
    "functional": [r"fmri\w*|bold|rest|resting|epi|ep2d\w*|epirt"],
    "susceptibility": [r"swi\w*|swan|swip|minip|pha|phase|mag|venobold|t2star|field ?map\w*|b0\w*"],
    "angiography": [r"tof\w*|mra|mrv|angio\w*|inhance|phase contrast|pca"],
    "spectroscopy": [r"mrs|spectro\w*|csi|svs|press"],
    "subtraction": [r"sub|subs|subtr\w*|subtraktion|soustr\w*|sustr\w*|sottr\w*"],
    "projection": [r"mips?|projection|projected"],
    "map or overlay": [r"map|maps|t1map\w*|mask|seg|segmentation|label|overlay|fusion|roi|screen ?save|report"],
    "spine": [r"spine|hws|bws|lws|rachis|cervical|lumbar|thoracic|columna|colonna"],
}


def normalise(text):
    """Return a text in lower case, without accents, with blanks for underscores and brackets."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    text = unicodedata.normalize("NFC", "".join(letter for letter in letters if not unicodedata.combining(letter)))
    return " ".join(re.sub(r"[_<>()\[\]{},;*]", " ", text).split())


def find_words(text, patterns, anywhere=()):
    """Return the first words of a normalised text that match one of the patterns as whole words; empty if none."""
    for pattern in patterns:
        # A plus or a minus is part of a word such as "c+", and no letter.
        if found := re.search(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])", text):
            return found[0].strip()
    return next((found[0] for pattern in anywhere if (found := re.search(pattern, text))), "")


def contrast_words(text):
    """Return the words of a normalised text that speak for contrast, and those that speak against it."""
    text = re.sub(_BOTH, " ", text)
    against = find_words(text, WITHOUT_CONTRAST, WITHOUT_CONTRAST_ANYWHERE)
    # "without contrast" has the word "contrast".
    rest = text
    for pattern in WITHOUT_CONTRAST:
        rest = re.sub(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])", " ", rest)
    for pattern in (*WITHOUT_CONTRAST_ANYWHERE, "phase contrast"):
        rest = re.sub(pattern, " ", rest)
    return find_words(rest, WITH_CONTRAST, WITH_CONTRAST_ANYWHERE), against


def other_weighting(text):
    """Return which other weighting than T1 a normalised text names; empty if none.

    "T1 FLAIR" is a T1-weighted sequence.
    """
    is_t1 = bool(find_words(text, T1[:3]))
    kinds = {kind: patterns for kind, patterns in OTHER_WEIGHTING.items() if kind != "FLAIR" or not is_t1}
    return next((kind for kind, patterns in kinds.items() if find_words(text, patterns)), "")


def other_kind(text):
    """Return which kind that is never the wanted series a normalised text names; empty if none."""
    return next((kind for kind, patterns in OTHER_KINDS.items() if find_words(text, patterns)), "")
