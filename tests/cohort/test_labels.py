"""Labels by the rules of the paper: counts, limits, contradictions."""

from datetime import date, timedelta

import pandas as pd
import pytest

from sklearn_pspd import label_lesions
from sklearn_pspd.exceptions import InputError

START = date(2016, 1, 4)


def followup(**lesions):
    """Each lesion is a list of (days after the appearance, kind, result)."""
    rows = [
        (lesion, START + timedelta(days=day), kind, result)
        for lesion, events in lesions.items()
        for day, kind, result in [(0, "appearance", ""), *events]
    ]
    return pd.DataFrame(rows, columns=["lesion_id", "date", "kind", "result"])


def label(*events, **parameters):
    return label_lesions(followup(lesion=list(events)), **parameters).iloc[0]


PAPER = {
    ("PD", "surgically confirmed"): (20, [(40, "intervention", "resection"), (40, "pathology", "PD")]),
    ("PD", "increased on MRI"): (25, [(60, "mri", "increased"), (120, "mri", "increased")]),
    ("PD", "uptake on PET"): (3, [(30, "pet", "uptake")]),
    ("PsPD", "pathologically proven"): (3, [(40, "intervention", "biopsy"), (45, "pathology", "PsPD")]),
    ("PsPD", "decreased on MRI"): (21, [(60, "mri", "stable"), (90, "mri", "decreased")]),
    ("PsPD", "stable on MRI"): (5, [(60, "mri", "stable"), (120, "mri", "stable")]),
    ("PsPD", "no uptake on PET"): (1, [(30, "pet", "no uptake")]),
}


def test_the_counts_of_the_paper_come_out():
    lesions = {}
    for count, events in PAPER.values():
        for _ in range(count):
            lesions[f"L{len(lesions)}"] = events
    table = followup(**lesions).sample(frac=1, random_state=0)
    labels = label_lesions(table)
    assert labels.value_counts(["outcome", "rule"]).to_dict() == {key: count for key, (count, _) in PAPER.items()}
    assert labels["outcome"].value_counts().to_dict() == {"PD": 48, "PsPD": 30}
    assert (labels["conflict"] == "").all()
    assert labels["lesion_id"].tolist() == list(dict.fromkeys(table["lesion_id"]))
    decided = labels.set_index("lesion_id")["decided_on"]
    assert decided["L20"] == pd.Timestamp(START + timedelta(days=60))


@pytest.mark.parametrize(("days", "outcome"), [(119, "undetermined"), (120, "PsPD"), (121, "PsPD")])
def test_stable_for_120_days(days, outcome):
    found = label((days, "mri", "stable"))
    assert found["outcome"] == outcome
    assert ("stable for 119 days, fewer than 120" in found["remark"]) == (days == 119)
    assert label((days, "mri", "stable"), stable_days=days)["outcome"] == "PsPD"


@pytest.mark.parametrize(("kind_day", "outcome"), [(59, "undetermined"), (60, "undetermined"), (61, "PsPD")])
@pytest.mark.parametrize(("day", "result"), [(60, "decreased"), (60, "stable")])
def test_before_any_intervention_means_an_earlier_date(kind_day, outcome, day, result):
    found = label((day, "mri", result), (kind_day, "intervention", "bevacizumab"), stable_days=60)
    assert found["outcome"] == outcome
    where = {59: "after the intervention", 60: "on the day of the intervention", 61: ""}[kind_day]
    assert where in found["remark"]
    assert bool(found["remark"]) == bool(where)


def test_increase_and_decrease():
    assert label((30, "mri", "increased"), (90, "mri", "decreased"))["outcome"] == "PsPD"
    late = label((30, "mri", "increased"), (40, "intervention", "surgery"), (90, "mri", "decreased"))
    assert late[["outcome", "rule"]].tolist() == ["PD", "increased on MRI"]
    assert "decreased on 2016-04-03, after the intervention of 2016-02-13: not counted" in late["remark"]
    again = label((30, "mri", "decreased"), (90, "mri", "increased"))
    assert again["outcome"] == "PsPD"
    assert again["remark"] == "increased on 2016-04-03, after the decrease"
    treated = label((10, "intervention", "surgery"), (30, "mri", "increased"), (31, "pet", "uptake"))
    assert treated["outcome"] == "PD"
    assert "increased only after the intervention" in treated["remark"]
    assert "PET of 2016-02-04 follows the intervention" in treated["remark"]


def test_stable_means_no_change_before():
    assert label((60, "mri", "increased"), (130, "mri", "stable"))["rule"] == "increased on MRI"
    found = label((130, "mri", "stable"), (200, "mri", "increased"))
    assert found["outcome"] == "undetermined"
    assert found["conflict"] == "PD: increased on MRI (2016-07-22) against PsPD: stable on MRI (2016-05-13)"


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        ([(20, "mri", "increased"), (30, "pathology", "PsPD")], "PsPD"),
        ([(130, "mri", "stable"), (200, "pathology", "PD")], "PD"),
        ([(20, "mri", "decreased"), (25, "pet", "no uptake"), (30, "pathology", "PD")], "PD"),
        ([(20, "mri", "increased"), (30, "pathology", "inconclusive")], "PD"),
        ([(20, "mri", "increased"), (30, "pet", "no uptake")], "undetermined"),
        ([(30, "pathology", "PD"), (31, "pathology", "PsPD")], "undetermined"),
    ],
)
def test_pathology_decides_contradictions(events, outcome):
    found = label(*events)
    assert found["outcome"] == outcome
    assert bool(found["conflict"]) == (len(events) > 1 and ("inconclusive" not in events[1]))


def test_contradictions_are_reported_and_resolved_in_the_order_given():
    events = [(30, "pathology", "PD"), (20, "mri", "decreased"), (25, "pet", "no uptake")]
    found = label(*events, precedence=())
    assert found[["outcome", "rule"]].tolist() == ["undetermined", ""]
    assert pd.isna(found["decided_on"])
    assert "PD: surgically confirmed (2016-02-03) against PsPD: decreased on MRI (2016-01-24)" in found["conflict"]
    overruled = label(*events, precedence=("pathology",))
    assert overruled[["outcome", "rule"]].tolist() == ["PD", "surgically confirmed"]
    assert overruled["conflict"] == found["conflict"]
    assert label(*events, precedence=("mri", "pathology"))["outcome"] == "PsPD"
    torn = label((30, "pathology", "PD"), (31, "pathology", "PsPD"), (40, "pet", "uptake"), precedence=("pathology",))
    assert torn["outcome"] == "undetermined"
    agreeing = label((20, "mri", "increased"), (30, "pathology", "PD"))
    assert agreeing[["outcome", "rule", "conflict"]].tolist() == ["PD", "surgically confirmed", ""]


def test_mri_with_different_results_on_one_date_is_not_used():
    found = label((30, "mri", "decreased"), (30, "mri", "increased"))
    assert found[["outcome", "conflict"]].tolist() == ["undetermined", "MRI of 2016-02-03: decreased and increased"]
    assert label((30, "mri", "decreased"), (30, "mri", "increased"), (40, "pet", "uptake"))["outcome"] == "PD"
    assert label((30, "mri", "decreased"), (30, "mri", "decreased"))["conflict"] == ""


def test_white_space_and_letter_case_do_not_distinguish_lesions():
    table = followup(A=[(30, "mri", "increased")])
    table["lesion_id"] = ["P1", " p1 "]
    assert label_lesions(table)[["lesion_id", "outcome"]].to_numpy().tolist() == [["P1", "PD"]]


@pytest.mark.parametrize(
    "events", [[], [(30, "pathology", "inconclusive")], [(30, "pet", "equivocal")], [(9, "intervention", "")]]
)
def test_events_that_do_not_determine_the_outcome(events):
    assert label(*events)["outcome"] == "undetermined"


def test_days_and_text_dates_give_the_same_labels():
    dated = followup(**{f"L{n}": events for n, (_, events) in enumerate(PAPER.values())})
    text = dated.assign(date=dated["date"].astype(str))
    days = dated.assign(date=[(day - START).days for day in dated["date"]])
    stamps = dated.assign(date=pd.to_datetime(dated["date"]))
    expected = label_lesions(dated)
    pd.testing.assert_frame_equal(label_lesions(text), expected)
    pd.testing.assert_frame_equal(label_lesions(stamps), expected)
    numbered = label_lesions(days)
    assert numbered["rule"].tolist() == expected["rule"].tolist()
    assert numbered["decided_on"].tolist() == [40, 60, 30, 45, 90, 120, 30]


def test_all_problems_are_reported_at_once():
    rows = [
        ("A", "2016-02-30", "appearance", ""),
        ("A", "2016-03-01", "MRI", "increased"),
        ("B", "2016-03-01", "mri", "bigger"),
        ("", "2016-03-01", "pet", "uptake"),
        ("C", None, "pet", ""),
    ]
    table = pd.DataFrame(rows, columns=["lesion_id", "date", "kind", "result"])
    with pytest.raises(InputError, match="the follow-up table has 6 problems") as error:
        label_lesions(table)
    for line in (
        "row 1, lesion A, column date: holds '2016-02-30', which is neither a date nor a number of days",
        "row 2, lesion A, column kind: holds 'MRI'; it takes 'appearance', 'pathology', 'mri', 'pet', 'intervention'",
        "row 3, lesion B, column result: holds 'bigger'; for mri it takes 'increased', 'decreased', 'stable'",
        "row 4: column lesion_id is empty",
        "row 5, lesion C, column date: is empty",
        "row 5, lesion C, column result: holds ''",
    ):
        assert line in str(error.value)


def test_impossible_histories_are_refused():
    twice = followup(A=[(5, "appearance", "")], B=[(-3, "pet", "uptake"), (-9, "intervention", "surgery")])
    with pytest.raises(InputError, match="has 3 problems") as error:
        label_lesions(twice)
    assert "lesion A: 2 appearances (2016-01-04, 2016-01-09); exactly one is required" in str(error.value)
    assert "lesion B: pet of 2016-01-01 precedes the appearance of 2016-01-04" in str(error.value)
    orphan = followup(A=[(5, "pet", "uptake")]).iloc[1:]
    with pytest.raises(InputError, match="lesion A: 0 appearances; exactly one is required"):
        label_lesions(orphan)
    mixed = pd.concat([followup(A=[]), followup(B=[]).assign(date=3)])
    with pytest.raises(InputError, match="column date: holds both dates and numbers of days"):
        label_lesions(mixed)


def test_refused_parameters_and_columns():
    with pytest.raises(InputError, match=r"has 2 problems:\n  column kind: missing\n  column result: missing"):
        label_lesions(followup(A=[])[["lesion_id", "date"]])
    with pytest.raises(InputError, match="stable_days must be a number of days above 0; got 0"):
        label(stable_days=0)
    with pytest.raises(InputError, match="precedence must be a sequence of 'pathology', 'mri' or 'pet'; got 'mri'"):
        label(precedence="mri")


def test_a_decrease_after_surgery_or_biopsy_is_not_counted():
    """A decrease after resection or biopsy is not spontaneous."""
    rows = [("A", 0, "appearance", ""), ("A", 30, "pathology", "inconclusive"), ("A", 60, "mri", "decreased")]
    rows += [("B", 0, "appearance", ""), ("B", 30, "pathology", "PD"), ("B", 60, "mri", "decreased")]
    labels = label_lesions(pd.DataFrame(rows, columns=["lesion_id", "date", "kind", "result"]))
    assert labels["outcome"].tolist() == ["undetermined", "PD"]
    assert labels["rule"].tolist() == ["", "surgically confirmed"]
    assert labels["remark"].str.contains("decreased on day 60, after the intervention of day 30").all()


def test_dates_without_dashes_are_not_numbers_of_days():
    rows = [("A", 20160104, "appearance", ""), ("A", 20160305, "mri", "stable")]
    with pytest.raises(InputError, match="row 2, lesion A, column date: holds 20160305, which is neither a date nor"):
        label_lesions(pd.DataFrame(rows, columns=["lesion_id", "date", "kind", "result"]))
