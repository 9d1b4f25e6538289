"""The series that the study needs: chosen where the evidence is clear, listed where it is not."""

import pandas as pd
import pytest

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.intake import SERIES_COLUMNS, choose_series, list_series, series_rules
from sklearn_pspd.intake.rules import study_evidence
from sklearn_pspd.loading.header_facts import NUMBERS, TEXTS

DOUBTS = {
    "swapped order": "signs for and against contrast",
    "no words": "only the order of acquisition",
    "no post-contrast series": "no sign of contrast",
    "repeated": "two series are equally good",
}
REMARKS = {
    "none": "",
    "no contrast tag": "no contrast agent stated",
    "tilted": "slices tilted by 8 degrees",
    "tag on every series": "every series of the study states a contrast agent",
}
EXCLUSIONS = {
    "localizer": "its images differ in orientation",
    "t2": "T2-like: TR 4500 ms, TE 95 ms",
    "flair": "FLAIR-like",
    "adc": "ImageType ADC",
    "dual_echo": "its images differ in echo time",
    "subtraction": "ImageType SUBTRACT",
}


@pytest.fixture(scope="module")
def dates(export):
    _, truth, _ = export
    return truth.groupby("patient_id")["lesion_date"].first()


@pytest.fixture(scope="module")
def ranked(export, dates):
    return choose_series(export[2], near=dates)


def test_the_right_series_is_chosen_or_the_patient_is_in_doubt(export, ranked):
    _, truth, _ = export
    chosen = ranked.loc[ranked["chosen"], ["patient_id", "series_uid"]]
    wanted = truth[truth["is_wanted"] & truth["trap"].isin(REMARKS)]
    assert dict(chosen.to_numpy()) == dict(wanted[["patient_id", "series_uid"]].to_numpy())
    traps = truth.drop_duplicates("patient_id").set_index("patient_id")["trap"]
    assert set(traps) == {*REMARKS, *DOUBTS}
    for patient, trap in traps.items():
        rows = ranked[ranked["patient_id"] == patient]
        best = rows[rows["rank"] == 1].iloc[0]
        if trap in DOUBTS:
            assert DOUBTS[trap] in best["doubt"]
            assert sum(patient in line and DOUBTS[trap] in line for line in ranked.attrs["doubts"]) == 1
        else:
            assert (best["doubt"], best["remark"]) == ("", REMARKS[trap])
            assert best["margin"] >= 10


def test_what_cannot_be_the_series_is_excluded_with_its_reason(export, ranked):
    _, truth, _ = export
    both = ranked.merge(truth[["series_uid", "kind", "study_date"]], on="series_uid", suffixes=("", "_true"))
    near = both[both["rule"] != "another study"]
    for kind, reason in EXCLUSIONS.items():
        rows = near[near["kind"] == kind]
        assert len(rows) == 8 - (kind == "subtraction")
        assert rows["rank"].isna().all()
        assert rows["rule"].str.startswith(reason).all(), (kind, rows["rule"].tolist())
    # Pre-contrast series are candidates, and never the first where there is contrast.
    before = near[near["kind"] == "t1_pre"].set_index("patient_id")
    assert (before["rank"] > 1).sum() == 7
    assert near.loc[near["kind"] == "reformat", "rule"].str.startswith("derived").sum() >= 6
    # The study before radiotherapy.
    assert both.loc[both["rule"] == "another study", "days_from_lesion"].max() < -31
    assert len(both[both["rule"] == "another study"]) == 24


def test_without_dates_each_study_has_its_own_series(export):
    _, truth, series = export
    ranked = choose_series(series)
    plain = truth.loc[truth["trap"] == "none", "patient_id"].iloc[0]
    chosen = ranked[ranked["chosen"] & (ranked["patient_id"] == plain)]
    assert chosen["study_date"].nunique() == len(chosen) == 2


@pytest.mark.parametrize(
    ("shift", "doubt"),
    [(0, ""), (40, "the nearest study is 40 days"), (None, "the date of the lesion is not known")],
    ids=["near", "far", "unknown"],
)
def test_the_study_must_be_near_the_lesion(export, shift, doubt):
    _, truth, series = export
    patient = truth.loc[truth["trap"] == "none", "patient_id"].iloc[0]
    series = series[series["patient_id"] == patient]
    near = {} if shift is None else {f" {patient} ": series["study_date"].max() + pd.Timedelta(days=shift)}
    ranked = choose_series(series, near=near)
    assert ranked["chosen"].any() == (doubt == "")
    assert ranked["doubt"].iloc[0].startswith(doubt)


def test_studies_before_and_after_the_lesion_at_the_same_distance_are_a_doubt(export):
    _, truth, series = export
    series = series[series["patient_id"] == truth.loc[truth["trap"] == "none", "patient_id"].iloc[0]]
    first, last = series["study_date"].min(), series["study_date"].max()
    middle = first + (last - first) / 2
    if middle != middle.normalize():
        series = series.assign(study_date=series["study_date"].where(series["study_date"] != last, last.normalize()))
        first = first - pd.Timedelta(days=1)
        series.loc[series["study_date"] < last, "study_date"] = first
        middle = first + (last - first) / 2
    ranked = choose_series(series, near={series["patient_id"].iloc[0]: middle}, most_days=1000)
    assert not ranked["chosen"].any()
    assert "before and after" in ranked["doubt"].iloc[0]


def test_a_reader_may_decide(export, ranked, dates):
    _, truth, series = export
    wanted = truth[truth["is_wanted"] & (truth["trap"] == "swapped order")].iloc[0]
    decided = choose_series(series, near=dates, decisions={wanted["patient_id"]: wanted["series_uid"]})
    row = decided[decided["chosen"] & (decided["patient_id"] == wanted["patient_id"])]
    assert row[["series_uid", "rule"]].to_numpy().tolist() == [[wanted["series_uid"], "decided by the user"]]
    assert not any(wanted["patient_id"] in line for line in decided.attrs["doubts"])
    with pytest.raises(InputError, match=r"decisions: patient 04711001 has no series '1\.2'"):
        choose_series(series, decisions={"04711001": "1.2"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"want": "t2"}, "want='t2'; it must be one of 't1_post_contrast'"),
        ({"near": "2016-01-01"}, "near must map patient ids to values; got str"),
        ({"near": {"04711001": "31.01.2016"}}, "patient 04711001: '31.01.2016' is not a date"),
    ],
)
def test_arguments_are_checked(export, options, message):
    with pytest.raises(InputError, match=message):
        choose_series(export[2], **options)
    with pytest.raises(InputError, match="column files: missing"):
        choose_series(export[2].drop(columns="files"))


def row_of(**values):
    """Return a row of the series table: an axial 3-D T1 series with nothing said about contrast."""
    row = dict.fromkeys(SERIES_COLUMNS, "") | dict.fromkeys(NUMBERS)
    row |= {"modality": "MR", "n_positions": 160, "n_images": 160, "slice_spacing_mm": 1.0, "orientation": "axial"}
    row |= {"tilt_deg": 0.0, "acquired": pd.NaT, "description": "t1_mprage", "tr_ms": 1900.0, "te_ms": 2.9}
    return row | {"ti_ms": 900.0, "flip_deg": 9.0, "sequence": "GR\\IR", "acquisition_type": "3D"} | values


@pytest.mark.parametrize(
    ("agent", "points"),
    [("", 0), (" ", 0), ("n/a", 0), ("unknown", 0), ("NONE", -4), ("No", -4), ("ohne KM", -4), ("11 ml Omniscan", 4)],
)
def test_an_empty_or_negated_tag_is_no_contrast(agent, points):
    (evidence,) = study_evidence([row_of(contrast_agent=agent)])
    assert evidence.points("contrast") == points


@pytest.mark.parametrize(("start", "points"), [("101000", 3), ("102500.00", -6), ("000000", 0), ("0", 0), ("", 0)])
def test_time_of_injection(start, points):
    (evidence,) = study_evidence([row_of(contrast_start=start, acquired=pd.Timestamp("2016-01-01 10:20"))])
    assert evidence.points("contrast") == points


def test_after_perfusion_contrast_has_been_given():
    times = pd.to_datetime(["2016-01-01 10:00", "2016-01-01 10:10", "2016-01-01 10:20"])
    perfusion = row_of(description="ep2d_perf", sequence="EP", te_ms=30.0, acquired=times[1])
    rows = [row_of(acquired=times[0], tr_ms=1500.0), perfusion, row_of(acquired=times[2])]
    assert [item.points("contrast") for item in study_evidence(rows)] == [0, 0, 2]
    rows[1] = rows[1] | {"description": "pcasl_perfusion"}
    assert [item.points("contrast") for item in study_evidence(rows)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("values", "exclusion"),
    [
        ({"modality": "OT"}, "modality OT"),
        ({"n_positions": 8}, "8 slices"),
        ({"te_ms": 90.0, "ti_ms": None}, "T2-like"),
        ({"description": "", "te_ms": None, "tr_ms": None, "ti_ms": None}, "no sign of T1"),
        ({"acquisition_contrast": "DIFFUSION"}, "diffusion (header)"),
        ({"description": "t1 SUB post-pre"}, "subtraction"),
        ({"description": "MIP t1 km"}, "projection"),
        ({"description": "t1_tse_sag HWS"}, "spine"),
        ({"image_type": "ORIGINAL\\PRIMARY\\P\\ND"}, "ImageType P"),
        ({"description": "t1 3 plane loc"}, "localizer"),
        ({}, ""),
        ({"description": "Ax T1 FLAIR +C", "tr_ms": 2500.0, "te_ms": 10.0, "ti_ms": 860.0, "sequence": "SE\\IR"}, ""),
        ({"tr_ms": 500.0, "te_ms": 12.0, "ti_ms": None, "sequence": "SE", "acquisition_type": "2D"}, ""),
        ({"description": "", "tr_ms": 8.0, "te_ms": 3.0, "ti_ms": 450.0, "sequence": "GR"}, ""),
    ],
)
def test_exclusions(values, exclusion):
    (evidence,) = study_evidence([row_of(**values)])
    assert evidence.exclusion.startswith(exclusion)
    assert bool(evidence.exclusion) == bool(exclusion)


def test_a_description_that_contradicts_the_parameters_is_a_doubt(export):
    _, truth, series = export
    series = series[series["patient_id"] == truth.loc[truth["trap"] == "none", "patient_id"].iloc[0]].copy()
    wanted = truth.loc[truth["is_wanted"], "series_uid"].iloc[0]
    series.loc[series["series_uid"] == wanted, "description"] = "T2 tse KM"
    ranked = choose_series(series, near={series["patient_id"].iloc[0]: series["study_date"].max()})
    assert not ranked["chosen"].any()
    assert "the description says T2, the parameters T1" in ranked["doubt"].iloc[0]


def test_the_rules_are_a_table_of_what_is_counted(ranked):
    rules = series_rules().set_index("rule")
    assert set(rules["topic"]) == {"T1", "contrast", "image"}
    for evidence, score in zip(ranked["evidence"], ranked["score"], strict=True):
        names = [part.split()[1] for part in evidence.split("; ") if part]
        assert rules.loc[names, "points"].sum() == score


@pytest.fixture(scope="module")
def public_headers(shared_data):
    table = pd.read_csv(shared_data / "headers" / "public_mr_series_headers.csv", dtype=str, keep_default_na=False)
    rows = []
    for header in table.to_dict("records"):
        row = row_of(description="", acquisition_type="", sequence="")
        row |= {name: header[keyword] for name, keyword in TEXTS.items() if keyword in header}
        numbers = {name: header[keyword].split("\\")[0] for name, keyword in NUMBERS.items() if keyword in header}
        rows.append(row | {name: float(text) if text not in ("", "None") else None for name, text in numbers.items()})
    return rows


def test_rules_on_public_headers(public_headers):
    """What names T1 is admitted; echo-planar, diffusion and angiography are not; nothing is taken for contrast."""
    evidence = [study_evidence([row])[0] for row in public_headers]
    admitted = [row for row, item in zip(public_headers, evidence, strict=True) if not item.exclusion]
    names = [(row["description"] or row["protocol"]).lower() for row in admitted]
    named_t1 = [
        row for row in public_headers if "t1" in (row["description"] or row["protocol"]).lower().split("rest1")[0]
    ]
    assert sum("t1" in name for name in names) == len(named_t1) > 10
    others = ("t2", "dwi", "dti", "fmri", "epi", "bold", "tof", "asl", "mip", "loc", "b0", "field")
    assert not [name for name in names if any(word in name for word in others)]
    assert (len(public_headers), len(admitted)) == (288, 31)
    with_contrast = [row for row, item in zip(public_headers, evidence, strict=True) if item.points("contrast") > 0]
    assert {row["contrast_agent"] for row in with_contrast} == {"11 ml Omniscan"}


def test_a_real_series_is_t1_without_contrast(shared_data):
    series = list_series(shared_data / "dicom_t1w_whole_head")
    ranked = choose_series(series)
    assert ranked["tilt_deg"].tolist() == [7.7]
    assert not ranked["chosen"].any()
    assert "no sign of contrast" in ranked["doubt"].iloc[0]
