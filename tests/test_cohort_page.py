"""The road of the user guide from hospital records to the cohort table, run as a reader would."""

import re
from pathlib import Path

import pandas as pd

from sklearn_pspd import make_cohort
from sklearn_pspd.eligibility import RULES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "user_guide" / "cohorts.rst"


def test_records_become_a_cohort(tmp_path, monkeypatch, capsys):
    cohort = make_cohort(tmp_path / "phantom", 8, matrix_px=(32,), n_native_slices=10, random_state=0)
    kept = {
        rule.column: "yes" if rule.wanted is True else "no" if rule.wanted is False else rule.wanted for rule in RULES
    }
    records = cohort.drop(columns="outcome").assign(**kept)
    records.loc[0, "residual_lesion"] = "yes"
    records.to_csv(tmp_path / "records.csv", index=False)
    events = []
    for number, (name, outcome) in enumerate(zip(cohort["patient_id"], cohort["outcome"], strict=True)):
        events.append((name, "2016-01-04", "appearance", ""))
        if number != 1:
            events.append((name, "2016-03-01", "mri", "increased" if outcome == "PD" else "decreased"))
    followup = pd.DataFrame(events, columns=["lesion_id", "date", "kind", "result"])
    followup.to_csv(tmp_path / "followup.csv", index=False)

    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text(encoding="utf-8").split(".. _loaders:")[0]
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", page)
    assert len(blocks) == 3
    names = {}
    for block in blocks:
        exec(compile(re.sub(r"^   ", "", block, flags=re.MULTILINE), str(PAGE), "exec"), names)
    assert names["cohort"]["patient_id"].tolist() == cohort["patient_id"].tolist()[2:]
    assert names["cohort"]["outcome"].tolist() == cohort["outcome"].tolist()[2:]
    assert (tmp_path / "flow.png").stat().st_size > 10_000
    assert "increased on MRI" in capsys.readouterr().out


def test_every_code_block_is_python():
    for block in re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", PAGE.read_text(encoding="utf-8")):
        compile(re.sub(r"^   ", "", block, flags=re.MULTILINE), str(PAGE), "exec")
