"""Words in descriptions of series: contrast, and what the series is, in several languages."""

import pytest

from sklearn_pspd.loading.words import T1, contrast_words, find_words, normalise, other_kind, other_weighting

WITH = [
    "t1_mpr_tra_iso_KM", "T1 nach KM", "AX T1 +C", "Ax T1 C+", "SAG T1 POST", "T1W_TSE_Gd", "T1 GAD", "T1 CE", "CET1",
    "t1 post contrast", "t1c", "T1Gd", "postT1", "T1 après injection", "T1 3D GADO", "T1 con contraste", "T1 pdc",
    "T1 con CIV", "T1 dopo mdc", "T1 조영증강", "T1 조영후", "T1造影", "T1增强", "t1_mprage_sag_p2_iso+KM", "T1+gd",
    "T1 3D DOTAREM", "AX T1 ENHANCED",
]  # fmt: skip
WITHOUT = [
    "t1_mpr_nativ", "T1 ohne KM", "T1 vor KM", "AX T1 PRE", "T1 w/o", "T1 without contrast", "T1 non contrast",
    "T1 NONCONTRAST", "T1 pre Gd", "T1 sans injection", "T1 sans gado", "T1 avant gado", "T1 sin contraste",
    "T1 senza mdc", "T1 basale", "T1 조영전", "T1 비조영", "T1 平扫", "T1 plain", "T1 unenhanced", "T1 pre-contrast",
]  # fmt: skip
NEITHER = [
    "t1_mprage", "Ax T1", "T1 post op", "T1 post-RT", "T1 preop", "T1 pre-treatment", "T1 PRESAT", "T1 presto",
    "epiRT IntAsc GD55", "noPF_noPAT_noPOS", "T1 W/WO", "T1 with and without contrast", "T1 space", "T1 cervical",
    "phase contrast", "3D T1 nach OP", "T1 after surgery", "",
]  # fmt: skip


@pytest.mark.parametrize("text", WITH)
def test_for_contrast(text):
    words, against = contrast_words(normalise(text))
    assert words
    assert not against


@pytest.mark.parametrize("text", WITHOUT)
def test_against_contrast(text):
    words, against = contrast_words(normalise(text))
    assert against
    assert not words


@pytest.mark.parametrize("text", NEITHER)
def test_neither(text):
    assert contrast_words(normalise(text)) == ("", "")


def test_both_are_seen():
    assert all(contrast_words("t1 pre and post"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("3-plane loc", "localizer"), ("Localizer", "localizer"), ("SURVEY", "localizer"),
        ("ep2d_diff_ADC", "diffusion"), ("DTI_64", "diffusion"), ("rCBV", "perfusion"), ("pcasl", "perfusion"),
        ("ep2d_bold_rest", "functional"),
        ("SWI_Images", "susceptibility"), ("TOF_3D_multi-slab", "angiography"), ("t1_km_SUB", "subtraction"),
        ("<MIP Range>", "projection"), ("csi_slaser", "spectroscopy"), ("T1 map", "map or overlay"),
        ("t1_tse_sag HWS", "spine"), ("t1_mprage_iso", ""), ("T1 local shim", ""), ("T1 subject 3", ""),
        ("MPRAGE adjusted", ""),
    ],
)  # fmt: skip
def test_kinds_that_are_never_wanted(text, kind):
    assert other_kind(normalise(text)) == kind


@pytest.mark.parametrize(
    ("text", "weighting"),
    [("t2_tse", "T2"), ("T2W_FLAIR", "T2"), ("FLAIR_longTR", "FLAIR"), ("Ax T1 FLAIR", ""), ("pd+t2", "T2"),
     ("t2_tirm_tra_dark-fluid", "T2"), ("PD FS", "proton density"), ("STIR", "STIR"), ("T1 tse", ""), ("xt2y", "")],
)  # fmt: skip
def test_other_weightings(text, weighting):
    assert other_weighting(normalise(text)) == weighting


@pytest.mark.parametrize(
    ("text", "is_t1"),
    [("t1_mpr", True), ("sT1W_3D_TFE", True), ("MP-RAGE", True), ("BRAVO", True), ("IR-FSPGR", True), ("T1TSE", True),
     ("REST1 w SMS", False), ("T10", False), ("FLAIR", False), ("noT1", False)],
)  # fmt: skip
def test_t1(text, is_t1):
    assert bool(find_words(normalise(text), T1)) == is_t1
