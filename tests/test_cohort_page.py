"""The code of the user guide's page on cohorts runs."""

import re
from pathlib import Path

import pandas as pd
import pytest
from cohort_trees import DIRTY, write_image, write_lumiere, write_mu, write_released, write_table, write_upenn

from sklearn_pspd import make_cohort
from sklearn_pspd.cohort import ELIGIBILITY_RULES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "user_guide" / "cohorts.rst"


def blocks_of(page):
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", page)
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in blocks]


def test_records_become_a_cohort(tmp_path, monkeypatch, capsys):
    cohort = make_cohort(tmp_path / "synthetic", 8, matrix_px=(32,), n_native_slices=10, random_state=0)
    kept = {
        rule.column: "yes" if rule.wanted is True else "no" if rule.wanted is False else rule.wanted
        for rule in ELIGIBILITY_RULES
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
    blocks = blocks_of(page)
    assert len(blocks) == 3
    names = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["cohort"]["patient_id"].tolist() == cohort["patient_id"].tolist()[2:]
    assert names["cohort"]["outcome"].tolist() == cohort["outcome"].tolist()[2:]
    assert (tmp_path / "flow.png").stat().st_size > 10_000
    assert "increased on MRI" in capsys.readouterr().out


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """Write small trees with the folder names of the page."""
    write_table(tmp_path / "Burdenko-GBM-Progression", *DIRTY)
    write_upenn(tmp_path / "UPENN-GBM")
    write_image(write_lumiere(tmp_path / "LUMIERE") / "Imaging" / "Patient-001" / "week-016" / "CT1.nii.gz")
    stem = write_mu(tmp_path / "MU-Glioma-Post") / "MU-Glioma-Post" / "PatientID_0003" / "Timepoint_2"
    write_image(stem / "PatientID_0003_Timepoint_2_brain_t1c.nii.gz")
    write_image(stem / "PatientID_0003_Timepoint_2_tumorMask.nii.gz", {3: {6: 3}})
    write_released(tmp_path / "train")
    anat = tmp_path / "bids" / "sub-01" / "ses-followup" / "anat"
    write_image(anat / "sub-01_ses-followup_ce-gadolinium_T1w.nii.gz")
    masks = tmp_path / "bids" / "derivatives" / "lesions" / "sub-01" / "ses-followup" / "anat"
    write_image(masks / "sub-01_ses-followup_dseg.nii.gz", {1: {5: 4}})
    (tmp_path / "bids" / "participants.tsv").write_text("participant_id\tage\tdiagnosis\nsub-01\t62\tTP\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore::sklearn_pspd.datasets.CohortWarning")
def test_every_loader_reads_its_layout(downloads):
    page = PAGE.read_text(encoding="utf-8").split(".. _loaders:")[1]
    sizes = {}
    for block in blocks_of(page):
        names = {}
        exec(compile(block, str(PAGE), "exec"), names)
        (loader,) = (name for name in names if name.startswith("load_"))
        sizes[loader] = len(names["cohort"])
    assert sizes == {
        "load_burdenko": 4,
        "load_upenn_gbm": 2,
        "load_lumiere": 1,
        "load_mu_glioma_post": 1,
        "load_jang_layout": 2,
        "load_bids": 1,
    }
