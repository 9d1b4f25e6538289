"""Eligibility: the criteria of the paper in their order, and the flow table."""

import numpy as np
import pandas as pd
import pytest

from sklearn_pspd import select_eligible
from sklearn_pspd.cohort import ELIGIBILITY_RULES
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.plotting import FlowDisplay

KEPT = {rule.column: rule.wanted for rule in ELIGIBILITY_RULES}
FAILING = {rule.column: not rule.wanted for rule in ELIGIBILITY_RULES} | {
    "n_lesions": 2,
    "lesion_isodose_percent": 79.9,
}


def records(*changes):
    return pd.DataFrame([{"patient_id": f"P{n}", **KEPT, **change} for n, change in enumerate(changes)])


def test_each_criterion_excludes_in_order_and_a_patient_is_excluded_once():
    columns = [rule.column for rule in ELIGIBILITY_RULES]
    failing = [{column: FAILING[column] for column in columns[n:]} for n in range(len(columns))]
    table = records({}, *failing, {}).sample(frac=1, random_state=0)
    before = table.copy()
    eligible, flow = select_eligible(table)
    pd.testing.assert_frame_equal(table, before)
    assert set(eligible["patient_id"]) == {"P0", "P13"}
    pd.testing.assert_frame_equal(eligible, table.loc[eligible.index])
    assert flow["column"].tolist() == ["", *columns]
    assert flow["patients"].tolist() == ["", *(f"P{n}" for n in range(1, 13))]
    assert flow["left"].tolist() == list(range(14, 1, -1))
    assert flow["stage"].value_counts(sort=False).to_dict() == {"records": 1, "inclusion": 7, "exclusion": 5}


@pytest.mark.parametrize(("percent", "n_left"), [(79.99, 0), (80, 1), (80.0, 1), (110, 1)])
def test_the_isodose_line_includes_its_edge(percent, n_left):
    assert len(select_eligible(records({"lesion_isodose_percent": percent}))[0]) == n_left


@pytest.mark.parametrize("yes", [True, np.True_, 1, 1.0, "yes", " Yes ", "TRUE", "1"])
@pytest.mark.parametrize("no", [False, np.False_, 0, "no", "False"])
def test_spellings_of_yes_and_no(yes, no):
    table = records({"primary_glioblastoma": yes, "residual_lesion": no}, {"primary_glioblastoma": no})
    assert select_eligible(table)[0]["patient_id"].tolist() == ["P0"]


def test_cells_of_excluded_patients_are_not_read_and_all_other_problems_are_listed():
    gone = {"primary_glioblastoma": False, **dict.fromkeys(list(KEPT)[1:])}
    assert len(select_eligible(records(gone, {}))[0]) == 1
    table = records(
        {"gross_total_resection": "partly", "residual_lesion": None},
        {"n_lesions": 1.5, "lesion_isodose_percent": "80 %"},
        {"n_lesions": True},
        {"lesion_isodose_percent": -1},
        {"lesion_isodose_percent": 0.95},
        {"lesion_isodose_percent": 6000},
    )
    table.loc[3, "patient_id"] = " p2"
    with pytest.raises(InputError, match="the records have 9 problems") as error:
        select_eligible(table)
    for line in (
        "patient P0: column gross_total_resection holds 'partly'; it takes yes or no",
        "patient P0: column residual_lesion is empty",
        "patient P1: column n_lesions holds 1.5, which is not a whole number",
        "patient P1: column lesion_isodose_percent holds '80 %', which is not a number of at least 0",
        "patient P2: column n_lesions holds True",
        "patient  p2: column lesion_isodose_percent holds -1",
        "column lesion_isodose_percent holds 0.95, a fraction of the dose or more than 150 percent of it; write 80",
        "column lesion_isodose_percent holds 6000, a fraction of the dose or more than 150 percent of it",
        "patient P2: 2 rows have this patient_id, spelt 'P2', ' p2'; one row per patient",
    ):
        assert line in str(error.value)


def test_criteria_that_were_not_recorded_are_skipped_only_by_name():
    table = records({}).drop(columns=["lesion_isodose_percent", "lesion_measurable"])
    with pytest.raises(InputError, match=r"(?s)column lesion_measurable: missing.*lesion_isodose_percent: missing"):
        select_eligible(table)
    _, flow = select_eligible(table, without=("lesion_measurable", "lesion_isodose_percent"))
    assert len(flow) == 11
    with pytest.raises(InputError, match="without names 'isodose', which is not the column of a criterion"):
        select_eligible(table, without=("isodose",))


def texts(display):
    return [text.get_text() for text in display.ax_.texts if text.get_text()]


@pytest.mark.parametrize("groups", [None, {"PD": 1, "PsPD": 1}, {"A": 2, "B": 0, "C": 0, "D": 0}])
def test_the_diagram_shows_every_number_inside_the_figure(groups):
    columns = [rule.column for rule in ELIGIBILITY_RULES]
    _, flow = select_eligible(records({}, {}, *({column: FAILING[column]} for column in columns)))
    display = FlowDisplay.from_flow(flow, groups=groups, title="Constructed records")
    assert display.frame() is flow
    shown = texts(display)
    for expected in ("Records\nn = 14", "Excluded (n = 7)", "Met the inclusion criteria\nn = 7", "Eligible\nn = 2"):
        assert expected in shown
    assert shown.count("1") == 12
    assert [f"{name}\nn = {n}" for name, n in (groups or {}).items()] == shown[len(shown) - len(groups or {}) :]
    display.figure_.canvas.draw()
    width, height = display.figure_.bbox.size
    for text in display.ax_.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height


def test_a_long_rule_is_wrapped_inside_its_box():
    flow = pd.DataFrame(
        {
            "stage": ["records", "exclusion"],
            "rule": ["", "declined the use of imaging and clinical data for research in writing"],
            "excluded": [0, 3],
            "left": [9, 6],
        }
    )
    display = FlowDisplay.from_flow(flow)
    display.figure_.canvas.draw()
    box = display.ax_.patches[1].get_window_extent()
    lines = [text for text in display.ax_.texts if "declined" in text.get_text() or "research" in text.get_text()]
    assert len(lines) == 2
    for line in lines:
        assert box.x0 < line.get_window_extent().x0
        assert line.get_window_extent().x1 < box.x1


def test_the_diagram_refuses_numbers_that_do_not_add_up():
    _, flow = select_eligible(records({}, {"primary_glioblastoma": "no"}))
    with pytest.raises(InputError, match=r"the groups hold 1 \+ 1 patients; 1 are eligible"):
        FlowDisplay.from_flow(flow, groups={"PD": 1, "PsPD": 1})
    with pytest.raises(InputError, match="no primary glioblastoma: 2 less 0 excluded is not 1"):
        FlowDisplay.from_flow(flow.assign(excluded=0))
    with pytest.raises(InputError, match="has no column stage"):
        FlowDisplay.from_flow(flow.drop(columns="stage"))
    with pytest.raises(InputError, match="no rows"):
        FlowDisplay.from_flow(flow.iloc[:0])
    with pytest.raises(InputError, match="at most 4 groups fit; got 5"):
        FlowDisplay.from_flow(flow, groups=dict.fromkeys("abcde", 0))


def test_a_frame_of_another_package_is_refused_in_one_sentence():
    class Frame:
        columns = ("patient_id",)

        def to_pandas(self):
            return pd.DataFrame()

    with pytest.raises(
        InputError, match=r"^the table of records must be a DataFrame of pandas; got .*; convert it by to"
    ):
        select_eligible(Frame())
