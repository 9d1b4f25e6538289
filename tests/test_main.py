"""The command line, as a user meets it."""

import subprocess
import sys
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
    assert result.stdout.startswith("Synthetic cohort: these figures say nothing about patients")
    for heading in ("Cross-validation: 2 folds", "External: held-out site", "AUPRC", "precision"):
        assert heading in result.stdout
    frame = pd.read_csv(folder / "pspd-study" / "comparison.csv")
    assert set(frame["model"]) == {"MRI + clinical", "MRI alone", "clinical alone"}
    assert set(frame["evaluation"]) == {"cross-validation", "external"}
    assert (folder / "pspd-study" / "comparison.png").stat().st_size > 10_000


def test_the_terminal_shows_our_lines_only(study):
    """TensorFlow's start-up notices stay out of it."""
    _, result = study
    lines = result.stderr.splitlines()
    assert lines[0] == "writing a synthetic cohort of 24 patients"
    assert lines[1] == "reading 24 images"
    assert all(line.startswith("[") for line in lines[2:]), lines
    assert lines[-1].startswith("[  9/9]")


def test_own_cohort_as_dicom(tmp_path):
    make_cohort(tmp_path / "own", 20, image_format="dicom", matrix_px=(128,), n_native_slices=10, random_state=1)
    result = run("own/cohort.csv", *QUICK, "--test-site", "A", "--folds", "9", "--out", "results", cwd=tmp_path)
    assert result.returncode == 2
    assert "the training patients hold" in result.stderr
    result = run("own/cohort.csv", *QUICK, "--out", "results", "--jobs", 2, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Synthetic" not in result.stdout
    assert "held out: site B" in result.stdout


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
