"""The command line, as a user meets it."""

import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest

from sklearn_pspd import make_cohort

QUICK = ["--folds", "2", "--epochs", "1", "--size-px", "8", "--filters", "2", "--slices", "3"]


def run(*arguments, cwd):
    command = [sys.executable, "-m", "sklearn_pspd", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300, check=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return folder, run(*QUICK, "--patients", 24, cwd=folder)


def test_no_argument_study(study):
    folder, result = study
    assert result.returncode == 0, result.stderr
    title = "Synthetic cohort: these figures say nothing about patients"
    assert result.stdout.startswith(title)
    assert result.stdout.count(title) == 2
    headings = (
        "Leaks: none found",
        "Training patients by outcome",
        "All patients by site",
        "Sample size, for an AUC of 0.75",
        "Cross-validation: 2 folds",
        "External: held-out site",
        "Calibration: slope 1",
        "Net benefit",
        "Thresholds with bootstrap spread, applied to the held-out site",
        "Negative control: the same protocol on scrambled outcomes, one arrangement",
        "p is 0.5 at best with one arrangement.",
    )
    places = [result.stdout.index(heading) for heading in headings]
    assert places == sorted(places)
    frame = pd.read_csv(folder / "pspd-study" / "comparison.csv")
    assert set(frame["model"]) == {"MRI + clinical", "MRI alone", "clinical alone"}
    assert set(frame["evaluation"]) == {"cross-validation", "external"}
    for name in ("comparison", "calibration", "decision_curves", "thresholds", "negative_control"):
        assert (folder / "pspd-study" / f"{name}.png").stat().st_size > 10_000
    controls = pd.read_csv(folder / "pspd-study" / "negative_control.csv")
    assert controls["n_permutations"].tolist() == [1, 1, 1]
    characteristics = (folder / "pspd-study" / "characteristics.txt").read_text()
    assert characteristics.startswith(title)
    assert "All patients by site" in characteristics
    assert "site" not in characteristics.split("All patients")[0].split("Training patients")[1]
    text = result.stdout
    for metric in ("AUPRC", "accuracy", "Brier score", "precision", "recall", "F1", "McNemar, exact", "Holm"):
        assert metric in text.split("External: held-out site")[1]


def test_the_terminal_shows_our_lines_only(study):
    """TensorFlow's start-up notices stay out of it."""
    _, result = study
    lines = result.stderr.splitlines()
    assert lines[0] == "writing a synthetic cohort of 24 patients"
    assert lines[1] == "reading 24 images"
    assert all(line.startswith("[") for line in lines[2:]), lines
    assert lines[10].startswith("[9/9]")
    assert lines[-1].endswith("negative control, clinical alone: scrambled, 1 of 1")


def test_own_cohort_as_dicom(tmp_path):
    make_cohort(tmp_path / "own", 20, image_format="dicom", matrix_px=(128,), n_native_slices=10, random_state=1)
    result = run("own/cohort.csv", *QUICK, "--test-site", "A", "--folds", "9", "--out", "results", cwd=tmp_path)
    assert result.returncode == 2
    assert "the training patients hold" in result.stderr
    result = run("own/cohort.csv", *QUICK, "--out", "results", "--jobs", 2, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Synthetic" not in result.stdout
    assert "Negative control" not in result.stdout
    assert "held out: site B" in result.stdout


def test_tuning_and_a_second_use(tmp_path, monkeypatch, capsys):
    """In this process, with one loss trace and one rung of two values, since those of the paper take 65 fits."""
    from sklearn_pspd import __main__ as command
    from sklearn_pspd.model_selection import tuning

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tuning, "PAPER_RUNGS", {"classifier__lstm_units": (2, 3)})
    for tuner in (tuning.tune_ladder, tuning.LadderSearchCV.__init__):
        monkeypatch.setitem(tuner.__kwdefaults__, "n_repeats", 1)
    monkeypatch.setattr(command, "_send_native_messages_to", lambda path: None)
    make_cohort("own", 36, matrix_px=(128,), n_native_slices=10, random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small folds
        assert command.main(["own/cohort.csv", *QUICK, "--tune", "--out", "tuned"]) == 0
        first = capsys.readouterr()
        assert command.main(["own/cohort.csv", *QUICK, "--epochs", "2", "--out", "elsewhere"]) == 0
    second = capsys.readouterr().out
    assert "These external patients were scored" not in first.out
    assert "These external patients were scored 2 times, with 5 models or settings." in second
    assert first.out.index("Tuning on the training patients") < first.out.index("Cross-validation: 2 folds")
    assert "lstm_units: 2 0." in first.out
    assert "Tuning inside each training fold" in first.out
    assert "tuning inside a fold, MRI alone: classifier__lstm_units=3, fold 5 of 5" in first.err
    scores = pd.read_csv("tuned/tuning_scores.csv")
    assert scores.groupby("value").size().to_dict() == {2: 5, 3: 5}
    assert Path("tuned/tuning.png").stat().st_size > 10_000
    folds = pd.read_csv("tuned/tuned_folds.csv")
    assert folds.groupby("model").size().to_dict() == {"MRI + clinical": 3, "MRI alone": 3}
    assert len(Path("own/cohort.external_uses.jsonl").read_text().splitlines()) == 2
    assert len(pd.read_csv("elsewhere/external_uses.csv")) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.csv"], "error: cohort table absent.csv: no such file"),
        (["bad.csv"], "error: the cohort table has 10 problems:"),
        (["--slices", "4"], "--slices is odd"),
        (["--folds", "1"], "1 is below 2"),
        (["--folds", "x"], "invalid number value: 'x'"),
    ],
)
def test_bad_input_is_status_2_and_no_traceback(tmp_path, arguments, message):
    (tmp_path / "bad.csv").write_text("patient_id\n1\n")
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unreadable_image_names_its_patient(tmp_path):
    cohort = make_cohort(tmp_path / "own", 20, matrix_px=(128,), n_native_slices=10, random_state=1)
    image = tmp_path / "own" / "broken.nii.gz"
    whole = Path(cohort["image"][3]).read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    cohort.loc[3, "image"] = str(image)
    cohort.to_csv(tmp_path / "cohort.csv", index=False)
    result = run("cohort.csv", *QUICK, cwd=tmp_path)
    assert result.returncode == 2
    assert f"patient {cohort['patient_id'][3]}: {image}" in result.stderr
    assert "Traceback" not in result.stderr


def test_help_has_one_line_an_option(tmp_path):
    result = run("--help", cwd=tmp_path)
    assert result.returncode == 0
    for option in ("--patients", "--folds", "--epochs", "--slices", "--size-px", "--seed", "--jobs", "--out"):
        assert option in result.stdout
