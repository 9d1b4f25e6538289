"""The code of the pages on cohorts runs: that of the user guide, and the walk from an export folder to the report."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from cohort_trees import DIRTY, write_image, write_lumiere, write_mu, write_released, write_table, write_upenn

from sklearn_pspd import make_cohort
from sklearn_pspd.cohort import ELIGIBILITY_RULES

OWN = Path(__file__).resolve().parents[1] / "examples" / "plot_11_own_cohort.py"
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:sklearn_pspd")
def test_an_export_folder_and_a_spreadsheet_become_a_report(capsys, tmp_path, monkeypatch, few_trees):
    """Every line of "Your own cohort" runs, and what it finds is the truth behind the synthetic export."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names = {"__name__": "__main__"}
    *code, last = OWN.read_text(encoding="utf-8").rsplit("\nworkspace.cleanup()", 1)
    exec(compile(code[0], str(OWN), "exec"), names)
    plt.close("all")
    truth, hospital = names["_truth"], names["hospital"]
    kept = {path.name for path in (hospital / "pspd-study").iterdir()}
    wanted = truth[truth["is_wanted"]].groupby("patient_id")["series_uid"].agg(set)
    checked = names["checked"].set_index("patient_id")
    assert set(checked.index) == set(wanted.index)
    assert all(checked.loc[patient, "series_uid"] in uids for patient, uids in wanted.items())
    slices = truth.drop_duplicates("patient_id").set_index("patient_id")["lesion_slice"]
    assert (checked["lesion_slice"] == slices[checked.index]).all()
    # What was planted was reported before the reader decided.
    printed = capsys.readouterr().out
    for trap, text in (
        ("swapped order", "signs for and against contrast"),
        ("no words", "only the order of acquisition"),
        ("no post-contrast series", "no sign of contrast"),
        ("repeated", "two series are equally good"),
        ("no contrast tag", "no contrast agent stated"),
        ("tilted", "slices tilted by 8 degrees"),
        ("tag on every series", "every series of the study states a contrast agent"),
    ):
        assert (truth["trap"] == trap).any()
        assert text in printed
    assert "0 patients with a problem" in printed
    assert {"report.txt", "contact_sheet.html", "comparison.csv"} <= kept
    sheet = (hospital / "pspd-study" / "contact_sheet.html").read_text(encoding="utf-8")
    assert sheet.count("data:image/jpeg") == len(checked)
    assert "AUC" in printed.split("Cross-validation")[1]
    assert last.strip() == ""
    names["workspace"].cleanup()
