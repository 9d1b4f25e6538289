"""Reporting checklists: their numbers, and what a study fills in."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.reporting import checklist, write_checklists
from sklearn_pspd.reporting.checklist_items import CHECKLISTS


def test_the_numbers_of_the_items():
    numbers = {name: [item[0] for item in items] for name, items in CHECKLISTS.items()}
    assert {name: len(items) for name, items in numbers.items()} == {"tripod_ai": 52, "claim": 44, "metrics": 30}
    assert {re.sub(r"\D", "", number) for number in numbers["tripod_ai"]} == {str(n) for n in range(1, 28)}
    assert numbers["claim"] == [str(n) for n in range(1, 45)]
    assert numbers["metrics"] == [str(n) for n in range(1, 31)]
    assert all(len(set(items)) == len(items) for items in numbers.values())
    weights = [float(re.search(r"0\.\d{4}", item[1]).group()) for item in CHECKLISTS["metrics"]]
    assert sum(weights) == pytest.approx(1)


@pytest.mark.parametrize("name", CHECKLISTS)
def test_open_items_have_no_answer_and_the_others_have_one(six, name):
    sheet = checklist(six, name)
    assert list(sheet.columns) == ["item", "topic", "status", "text", "where"]
    assert set(sheet["status"]) == {"filled", "confirm", "open"}
    assert ((sheet["text"] == "") == (sheet["status"] == "open")).all()
    assert not sheet["text"].str.contains(r"[{}]|  ").any()
    assert sheet.attrs["note"]


def test_answers_come_from_the_study(six, quick):
    sheet = checklist(six, "claim").set_index("item")
    n_training, n_held_out = six.sample_size["n_patients"]
    assert f"{n_training} patients" in sheet.loc["21", "text"]
    assert "MRI + clinical" in sheet.loc["1", "text"]
    assert "External: held-out site" in sheet.loc["33", "text"]
    assert "MRI alone" in sheet.loc["27", "text"]
    without = checklist(quick, "claim").set_index("item")
    assert without.loc["1", "status"] == without.loc["24", "status"] == "open"
    assert without.loc["27", "text"] == "No model is an ensemble."
    assert n_held_out > 0


def test_what_a_study_lacks_is_open(quick):
    inside = quick.comparison.scores.query("evaluation == 'cross-validation'")
    comparison = type(quick.comparison)(inside)
    by_outcome = {"Training patients by outcome": quick.characteristics["Training patients by outcome"]}
    alone = replace(
        quick,
        comparison=comparison,
        tables=comparison.tables(),
        characteristics=by_outcome,
        controls={},
        sample_size=quick.sample_size.iloc[:1],
        settings=quick.settings | {"held_out_site": None},
    )
    with_site, without = (checklist(result, "tripod_ai").set_index("item")["status"] for result in (quick, alone))
    assert with_site[["16", "20c", "23b"]].tolist() == ["confirm", "filled", "confirm"]
    assert without[["16", "20c", "23b"]].tolist() == ["open"] * 3
    limits = checklist(alone, "claim").set_index("item").loc["40", "text"]
    assert "performance at other sites is unknown" in limits
    assert "No negative control was run." in limits


def test_no_such_checklist(quick):
    with pytest.raises(InputError, match="name must be one of 'tripod_ai', 'claim', 'metrics'; got 'stard'"):
        checklist(quick, "stard")


def test_files(quick, tmp_path):
    write_checklists(quick, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"checklist_{name}.csv" for name in CHECKLISTS}
    read = pd.read_csv(tmp_path / "checklist_claim.csv", dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(read.iloc[:-1], checklist(quick, "claim"), check_dtype=False)
    assert read["item"].iloc[-1] == "note"
    assert "not with the journal's own form" in read["text"].iloc[-1]
