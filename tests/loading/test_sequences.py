"""What a sequence is by its header, and which series a loader refuses."""

import pandas as pd
import pytest

from sklearn_pspd.loading.header_facts import NUMBERS, TEXTS
from sklearn_pspd.loading.sequences import SEQUENCE_KINDS, contradiction, contrast_evidence, stated_agent, weighting_of

# Post-contrast T1 as vendors write it: sequence, TR, TE, TI, flip angle, and other facts.
T1_OF_VENDORS = {
    "Siemens MPRAGE": ("GR\\IR", 1900, 2.93, 900, 9, {}),
    "Siemens MPRAGE, 7 T": ("GR\\IR", 4300, 2.27, 1050, 7, {}),
    "Siemens MPRAGE without its TI": ("GR\\IR", 2300, 2.98, None, 9, {}),
    "Siemens MP2RAGE": ("GR\\IR", 5000, 2.98, 2500, 5, {}),
    "Siemens SPACE T1": ("SE", 600, 7.2, None, 120, {}),
    "Siemens SPACE T1, long TE": ("SE", 700, 22, None, 120, {}),
    "Siemens VIBE": ("GR", 5.5, 2.5, None, 10, {}),
    "Siemens TSE": ("SE", 1100, 11, None, 150, {}),
    "Siemens T1 TIRM dark fluid": ("SE\\IR", 2000, 9, 860, 150, {}),
    "Siemens FLASH 2D": ("GR", 250, 2.5, None, 70, {}),
    "GE BRAVO": ("GR", 8.2, 3.2, 450, 12, {}),
    "GE BRAVO as research mode": ("RM", 8.5, 3.2, 450, 12, {}),
    "GE MP-RAGE": ("RM\\IR", 2217.66, 3.17, 1000, 8, {}),
    "GE Cube T1": ("SE", 600, 24, None, 90, {}),
    "GE T1 FLAIR": ("SE\\IR", 3200, 24, 1100, 111, {}),
    "GE T1 FLAIR without its TI": ("SE\\IR", 2500, 10, None, 111, {}),
    "GE SE": ("SE", 500, 22, 0, 90, {}),
    "Philips TFE": ("GR", 8.1, 3.7, None, 8, {}),
    "Philips TFE, Siemens' TR": ("GR", 2000, 3.7, 900, 8, {}),
    "Philips VISTA T1": ("SE", 500, 30, None, 90, {}),
    "Philips SE": ("SE", 350, 27, None, 90, {}),
    "Philips tagged as proton density": ("GR", 8.1, 3.7, None, 8, {"acquisition_contrast": "PROTON_DENSITY"}),
    "enhanced": ("GRADIENT", 8.2, 3.2, None, 12, {"image_type": "ORIGINAL\\PRIMARY\\T1\\NONE"}),
    "UIH": ("GR\\IR", 7.25, 3.1, 750, 10, {}),
    "low field, SE": ("SE", 450, 26, None, 90, {}),
    "low field, gradient echo": ("GR", 200, 12, None, 80, {}),
    "dcm2niix": ("GR_IR", 1900, 2.97, 900, 9, {}),
    "no sequence stated": ("", 2000, 2.9, None, 9, {}),
    "no sequence stated, SE": ("", 600, 12, None, 90, {}),
    "times unknown": ("", None, None, None, None, {}),
    "times of zero": ("GR", 0, 0, 0, 0, {}),
    "reformat": ("GR\\IR", 1900, 2.9, 900, 9, {"image_type": "DERIVED\\SECONDARY\\MPR"}),
    "filtered": ("SE", 500, 12, None, 90, {"image_type": "DERIVED\\PRIMARY\\OTHER"}),
    "magnitude, Philips": ("GR", 8, 3.6, None, 8, {"image_type": "ORIGINAL\\PRIMARY\\M_FFE\\M\\FFE"}),
}
OTHERS = {
    "T2 TSE": ("SE", 4500, 95, None, 150, {}, "T2"),
    "T2 SPACE": ("SE", 3200, 408, None, 120, {}, "T2"),
    "T2 that is called T1": ("SE", 4500, 95, None, 150, {"description": "t1 km"}, "T2"),
    "second echo of PD and T2, moderate TE": ("SE", 3000, 45, None, 90, {}, "T2"),
    "PD": ("SE", 3000, 12, None, 90, {}, "proton-density"),
    "FLAIR": ("SE\\IR", 9000, 120, 2500, 150, {}, "FLAIR"),
    "FLAIR 3D, dcm2niix": ("SE_IR", 5000, 394, 1800, 120, {}, "FLAIR"),
    "T2*": ("GR", 650, 20, None, 20, {}, "T2-star"),
    "SWI": ("GR", 28, 20, None, 15, {}, "T2-star"),
    "diffusion": ("EP", 5000, 58, None, 90, {}, "echo-planar"),
    "diffusion, dcm2niix": ("EP_SE", 5000, 58, None, 90, {}, "echo-planar"),
    "diffusion, Philips": ("SE", 8808, 58.4, None, 90, {}, "T2"),
    "ADC": ("", None, None, None, None, {"image_type": "DERIVED\\PRIMARY\\DIFFUSION\\ADC"}, "computed"),
    "enhanced diffusion": ("", None, None, None, None, {"acquisition_contrast": "DIFFUSION"}, "diffusion"),
    "enhanced T2": ("", None, None, None, None, {"image_type": "ORIGINAL\\PRIMARY\\T2\\NONE"}, "T2"),
    "perfusion": ("", None, None, None, None, {"image_type": "ORIGINAL\\PRIMARY\\PERFUSION\\NONE"}, "perfusion"),
    "subtraction": ("GR", 8, 3, None, 8, {"image_type": "DERIVED\\SECONDARY\\SUBTRACT"}, "computed"),
    "MIP": ("GR", 8, 3, None, 8, {"image_type": "DERIVED\\SECONDARY\\PROJECTION IMAGE\\MIP"}, "computed"),
    "phase": ("GR", 746, 5, None, 60, {"image_type": "ORIGINAL\\PRIMARY\\P\\ND"}, "computed"),
    "screen save": ("", None, None, None, None, {"sop_class": "1.2.840.10008.5.1.4.1.1.7"}, "secondary-capture"),
    "multi-frame": ("", None, None, None, None, {"sop_class": "1.2.840.10008.5.1.4.1.1.7.3"}, "secondary-capture"),
}


def facts(sequence="", tr=None, te=None, ti=None, flip=None, others=()):
    known = {**dict.fromkeys(TEXTS, ""), **dict.fromkeys(NUMBERS), "modality": "MR", "sop_class": ""}
    return known | {"sequence": sequence, "tr_ms": tr, "te_ms": te, "ti_ms": ti, "flip_deg": flip} | dict(others)


@pytest.mark.parametrize("values", T1_OF_VENDORS.values(), ids=T1_OF_VENDORS)
def test_t1_of_all_vendors_is_admitted(values):
    assert contradiction(facts(*values)) == ("", "")


@pytest.mark.parametrize(
    "name",
    [
        "Siemens MPRAGE",
        "Siemens SPACE T1, long TE",
        "GE BRAVO",
        "GE T1 FLAIR",
        "Philips TFE",
        "Philips VISTA T1",
        "UIH",
    ],
)
def test_t1_is_recognised(name):
    assert weighting_of(facts(*T1_OF_VENDORS[name])).t1


@pytest.mark.parametrize("values", OTHERS.values(), ids=OTHERS)
def test_other_sequences_are_contradictions(values):
    *values, kind = values
    found, detail = contradiction(facts(*values))
    assert (found, bool(detail)) == (kind, True)
    assert found in SEQUENCE_KINDS


@pytest.mark.parametrize(
    ("values", "agent", "denial"),
    [
        ({"contrast_agent": "Gadovist"}, "Gadovist", ""),
        ({"contrast_agent": " "}, "", ""),
        ({"contrast_agent": "n/a"}, "", ""),
        ({"contrast_agent": "None"}, "", "None"),
        ({"contrast_volume_ml": 7.5}, "7.5 ml", ""),
        ({"contrast_volume_ml": 0.0}, "", ""),
        ({"contrast_ingredient": "GADOLINIUM"}, "GADOLINIUM", ""),
    ],
)
def test_stated_agents(values, agent, denial):
    assert stated_agent(facts(others=values)) == (agent, denial)


def test_evidence_on_contrast_is_from_tags_and_words():
    assert contrast_evidence(facts(others={"description": "t1_mpr_KM", "contrast_agent": "Dotarem"})) == (
        ["agent 'Dotarem'", "words 'km'"],
        [],
    )
    assert contrast_evidence(facts(others={"protocol": "T1 nativ"})) == ([], ["words 'nativ'"])


def test_no_real_t1_is_refused(shared_data):
    """All public headers: what names T1 in its description is admitted, unless it is a secondary capture."""
    table = pd.read_csv(shared_data / "headers" / "public_mr_series_headers.csv", dtype=str, keep_default_na=False)
    refused, n_t1, n_refused = [], 0, 0
    for header in table.to_dict("records"):
        known = facts() | {name: header[keyword] for name, keyword in TEXTS.items() if keyword in header}
        for name, keyword in NUMBERS.items():
            text = header.get(keyword, "").split("\\")[0]
            known[name] = float(text) if text not in ("", "None") else None
        kind, _ = contradiction(known | {"sop_class": header["SOPClassUID"]})
        is_t1 = "t1" in known["description"].lower().replace("rest1", "") or "IR-SPGR" in known["description"]
        n_t1, n_refused = n_t1 + is_t1, n_refused + bool(kind)
        if is_t1 and kind:
            refused.append((known["description"], kind))
    assert (len(table), n_t1, n_refused) == (288, 14, 243)
    assert refused == [("T1 WM AX", "secondary-capture")]
