"""The command line, as a user meets it."""

import errno
import json
import logging
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest

import sklearn_pspd
from sklearn_pspd import __main__ as command
from sklearn_pspd import make_cohort
from sklearn_pspd.cohort.table import ADVICE_ON_MISSING
from sklearn_pspd.model_selection import external_uses

QUICK = ["--folds", "2", "--epochs", "1", "--size-px", "8", "--filters", "2", "--slices", "3", "--members", "2"]


@pytest.fixture(autouse=True)
def no_earlier_uses(monkeypatch):
    """Commands that are called as functions share a process, but not the record of uses of external patients."""
    monkeypatch.setattr(external_uses, "_USES", [])


def run(*arguments, cwd):
    line = [sys.executable, "-m", "sklearn_pspd", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, cwd=cwd, timeout=300, check=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return folder, run(*QUICK, "--patients", 24, cwd=folder)


def test_no_argument_study(study):
    folder, result = study
    assert result.returncode == 0, result.stderr
    title = "Synthetic cohort: these figures say nothing about patients"
    assert result.stdout.startswith(title)
    assert result.stdout.count(title) == 3
    headings = (
        "Leakage checks: ",
        "Training patients by outcome",
        "All patients by site",
        "Sample size, for an AUC of 0.75",
        "Cross-validation: 2 folds",
        "External: held-out site",
        "Calibration: ideal are slope 1 and intercept 0",
        "Net benefit",
        "Thresholds learned from out-of-fold scores, with bootstrap limits, applied to the held-out site",
        "Negative control: the same protocol and folds on permuted outcomes, one permutation",
        "One permutation shows that the protocol runs, not that it is free of leakage;",
    )
    places = [result.stdout.index(heading) for heading in headings]
    assert places == sorted(places)
    frame = pd.read_csv(folder / "pspd-study" / "comparison.csv")
    networks = ["MRI + clinical", "MRI alone", "MRI + clinical, published"]
    assert frame["model"].unique().tolist() == [*networks, "clinical alone", "clinical ridge", "prevalence"]
    assert set(frame.loc[frame["metric"] == "auc_single_network", "model"]) == set(networks)
    assert set(frame["evaluation"]) == {"cross-validation", "external"}
    for name in ("comparison", "fold_curves", "confusion_matrices", "calibration", "thresholds", "negative_control"):
        assert (folder / "pspd-study" / f"{name}.png").stat().st_size > 10_000
    assert (folder / "pspd-study" / "contact_sheet.html").read_text().count("data:image/jpeg") == 24
    controls = pd.read_csv(folder / "pspd-study" / "negative_control.csv")
    assert controls[["name", "n_permutations"]].to_numpy().tolist() == [["clinical alone", 1]] * 2
    characteristics = (folder / "pspd-study" / "characteristics.txt").read_text()
    assert characteristics.startswith(title)
    assert "All patients by site" in characteristics
    assert "site" not in characteristics.split("All patients")[0].split("Training patients")[1]
    report = (folder / "pspd-study" / "report.txt").read_text()
    printed = result.stdout[: result.stdout.rindex("\n", 0, -1)].rstrip()
    assert printed == report.rstrip()
    text = result.stdout
    for metric in ("AUPRC", "accuracy", "Brier score", "precision", "recall", "F1", "McNemar, exact", "Holm"):
        assert metric in text.split("External: held-out site")[1]
    assert re.search(r"The networks were trained in float32 on .* cores.*tensorflow \d", text.replace("\n", " "))


def test_the_terminal_shows_our_lines_only(study):
    """TensorFlow's start-up notices stay out of it."""
    _, result = study
    lines = result.stderr.splitlines()
    assert lines[0] == "writing a synthetic cohort of 24 patients"
    assert lines[1] == "reading 24 images"
    assert all(line.startswith("[") for line in lines[2:]), lines
    assert lines[19].startswith("[18/18]")
    assert lines[-1].endswith("negative control, clinical alone: permutation 1 of 1")


def test_own_cohort_as_dicom(tmp_path):
    make_cohort(tmp_path / "own", 20, image_format="dicom", matrix_px=(128,), n_native_slices=10, random_state=1)
    result = run("own/cohort.csv", *QUICK, "--test-site", "A", "--folds", "9", "--out", "results", cwd=tmp_path)
    assert result.returncode == 2
    assert "the training patients include" in result.stderr
    result = run("study", "own/cohort.csv", *QUICK, "--out", "results", "--jobs", 2, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Synthetic" not in result.stdout
    assert "Negative control" not in result.stdout
    assert "held out: site B" in result.stdout
    checked = run("check", "own/cohort.csv", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.strip() == result.stdout.split("\n\nCross-validation")[0].strip()


def test_ordinary_cohorts_run(tmp_path, monkeypatch, capsys, few_trees):
    """Everybody had 60 Gy in 30 fractions, three ages are missing, KPS was recorded; and a table without doses."""
    monkeypatch.chdir(tmp_path)
    cohort = make_cohort("own", 30, matrix_px=(128,), n_native_slices=10, random_state=1)
    ordinary = cohort.assign(dose_gy=60.0, n_fractions=30, kps=[60, 70, 80, 90, 100] * 6)
    ordinary["age_years"] = ordinary["age_years"].astype(float).where(ordinary.index % 10 != 3)
    ordinary.to_csv("ordinary.csv", index=False, sep=";")
    quick = [*QUICK, "--members", "1"]
    assert command.main(["ordinary.csv", *quick]) == 2
    assert "age_years" in capsys.readouterr().err
    clinical = ["age_years", "sex", "mgmt", "dose_gy", "n_fractions", "interval_days", "kps:0..100:percent"]
    assert command.main(["ordinary.csv", *quick, "--missing", "median", "--clinical", *clinical]) == 0
    text = capsys.readouterr().out
    assert "Clinical columns of the paper that are not used: idh (not chosen)" in text
    assert "nothing can be learned: dose_gy (60.0), n_fractions (30)" in " ".join(text.split())
    assert "age_years in " in " ".join(text.split("Missing numbers of training patients")[1].splitlines()[:2])
    assert "kps" in text.split("Training patients by outcome")[1].split("Sample size")[0]
    counts = pd.read_csv("pspd-study/missing_values.csv").groupby("column")["missing"].sum()
    assert 0 < counts["age_years"] <= 3

    cohort.drop(columns=["dose_gy", "n_fractions"]).to_csv("undosed.csv", index=False)
    assert command.main(["undosed.csv", *quick, "--out", "undosed"]) == 0
    text = capsys.readouterr().out
    assert "not used: dose_gy (not in the table), n_fractions (not in the table)" in " ".join(text.split())


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_both_published_variants_run(variant, tmp_path, monkeypatch, capsys):
    fitted, n_trees = [], []
    from sklearn_pspd.study import Study

    original = Study.run

    def kept(self, *arguments, **keywords):
        forest = self.models["clinical alone"]["classifier"]
        n_trees.append(forest.n_estimators)
        forest.set_params(n_estimators=5)  # so many trees take long to save and to read
        fitted.append(original(self, *arguments, **keywords))
        return fitted[-1]

    monkeypatch.setattr(Study, "run", kept)
    monkeypatch.chdir(tmp_path)
    quick = ["--variant", variant, "--patients", "20", *QUICK, "--filters", "2", "2", "--permutations", "0"]
    assert command.main(quick) == 0
    network = fitted[0].models_["MRI alone"]["classifier"]
    assert network.lstm_activation == {"paper": "tanh", "released": "sigmoid"}[variant]
    assert (network.filters, network.epochs, network.pooling) == ([2, 2], 1, "flatten")
    assert n_trees == [{"paper": 1000, "released": 100}[variant]]
    assert fitted[0].models_["clinical alone"]["classifier"].n_estimators == 5
    assert "Cross-validation: 2 folds" in capsys.readouterr().out


def test_a_call_leaves_the_process_as_it_was(tmp_path, monkeypatch, capsys, few_trees):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)

    def state():
        settings = list(warnings.filters), dict(os.environ), logging.getLogger("tensorflow").level
        return settings, sys.stderr, os.fstat(2).st_ino, len(list(Path("/dev/fd").iterdir()))

    quick = ["--patients", "20", *QUICK, "--permutations", "0"]
    # The first calls start what a process starts once.
    assert command.main(["absent.csv"]) == 2
    assert command.main(quick) == 0
    before, first = state(), capsys.readouterr().out
    assert command.main(quick) == 0
    assert state() == before
    again = capsys.readouterr().out
    # What follows the figures counts the uses of the held-out patients, of which this is one more.
    figures = [re.split("These external patients|A patient is classified", text)[0] for text in (first, again)]
    assert figures[0] == figures[1]
    assert "Thresholds learned from out-of-fold scores" in figures[0]
    assert command.main(["absent.csv"]) == 2
    assert state() == before


def test_tuning_and_a_second_use(tmp_path, monkeypatch, capsys, few_trees):
    """In this process, with one loss trace and one parameter of two values, since those of the paper take 65 fits."""
    from sklearn_pspd.model_selection import SequentialSearchCV, search

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search, "PAPER_SEQUENCE", {"lstm_units": (2, 3)})
    monkeypatch.setitem(SequentialSearchCV.__init__.__kwdefaults__, "n_repeats", 1)
    make_cohort("own", 36, matrix_px=(128,), n_native_slices=10, random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small folds
        assert command.main(["own/cohort.csv", *QUICK, "--tune", "--out", "tuned"]) == 0
        first = capsys.readouterr()
        assert command.main(["own/cohort.csv", *QUICK, "--epochs", "2", "--out", "elsewhere"]) == 0
    second = capsys.readouterr().out
    assert "These external patients were scored" not in first.out
    assert "These external patients were scored 2 times, with 8 models or settings." in second
    assert first.out.index("Tuning on all training patients") < first.out.index("Cross-validation: 2 folds")
    assert "lstm_units: 2 0." in first.out
    assert "Tuning inside each training fold" in first.out
    assert "validation: MRI alone, fold 2 of 2: " in first.err
    scores = pd.read_csv("tuned/tuning_scores.csv")
    assert scores.groupby("value").size().to_dict() == {2: 5, 3: 5}
    for name in ("tuning", "tuning_2"):
        assert Path(f"tuned/{name}.png").stat().st_size > 10_000
    folds = pd.read_csv("tuned/tuned_folds.csv")
    assert folds.groupby("model").size().to_dict() == {"MRI + clinical": 3, "MRI alone": 3}
    assert len(Path("own/cohort.external_uses.jsonl").read_text().splitlines()) == 2
    assert len(pd.read_csv("elsewhere/external_uses.csv")) == 11


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.csv"], "error: cohort table absent.csv: no such file"),
        (["check", "absent.csv"], "error: cohort table absent.csv: no such file"),
        (["bad.csv"], "error: the cohort table bad.csv, read as UTF-8 with commas, has 3 problems"),
        (["--slices", "4"], "4 is even"),
        (["--folds", "1"], "1 is below 2"),
        (["--folds", "x"], "invalid number value: 'x'"),
        (["--variant", "both"], "invalid choice: 'both'"),
        (["--out", "bad.csv"], "error: [Errno 17] File exists: 'bad.csv'"),
    ],
)
def test_bad_input_is_status_2_and_no_traceback(tmp_path, arguments, message):
    (tmp_path / "bad.csv").write_text("patient_id\n1\n")
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["study", "--clinical", "age_years"],
        ["check", "--further-images", "flair"],
        ["study", "--allow-sequence", "FLAIR"],
        ["study", "--tables", "md"],
        ["study", "--filters", "8", "16"],
        ["predict", "model", "--set", "age_years=50"],
        ["predict", "model", "--further", "flair=flair.nii.gz"],
    ],
)
def test_a_table_is_not_lost_among_the_values_of_an_option(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("cohort.csv").touch()
    with pytest.raises(SystemExit, match="2"):
        command.main([*arguments, "cohort.csv"])
    assert "cohort.csv is a file; this option takes everything that follows as its values" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "r2", "study", "cohort.csv"], "options follow the command: pspd study --out r2 cohort.csv"),
        (["stduy", "cohort.csv"], "there is no command 'stduy'; did you mean 'study'?"),
        (["cohort.csv", "--fold", "3", "other.csv"], "unrecognized arguments: other.csv"),
    ],
)
def test_words_in_the_wrong_place(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(arguments)
    assert capsys.readouterr().err.splitlines()[-1] == f"pspd: error: {message}"


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("check", "read it with decimal=','", "read it with --decimal ,"),
        ("check", "name it, for example encoding='cp949'", "name it, for example --encoding cp949"),
        ("study", "or set allow_sequence=['FLAIR', 'T2'] if", "or set --allow-sequence FLAIR T2 if"),
        ("study", "overwrite=True removes it", "--overwrite removes it"),
        ("study", "(at most cv=3)", "(at most --folds 3)"),
        ("study", "sheet='Sheet 1'", "--sheet 'Sheet 1'"),
        ("check", ADVICE_ON_MISSING, "--missing median or --missing indicator replaces missing numbers"),
        ("study", "columns to use by clinical", "columns to use by --clinical"),
        # No option does these.
        ("predict", "set allow_sequence=['FLAIR']", "set allow_sequence=['FLAIR']"),
        ("study", "missing='keep' and n_slices=x", "missing='keep' and n_slices=x"),
        ("study", "column site='A' of site=B", "column site='A' of site=B"),
    ],
)
def test_messages_name_the_options_of_the_command(name, text, shown):
    _, commands = command._parser()
    assert command._by_options(text, commands[name]) == shown


def test_a_forgotten_table_is_no_synthetic_study(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main(["--resume"]) == 2
    assert capsys.readouterr().err == "error: pspd-study: there is no study to resume; leave out --resume\n"
    study = {"format": 1, "files": [], "study": {}, "command": "pspd own.csv --out results --folds 3"}
    Path("results").mkdir()
    Path("results/study.json").write_text(json.dumps(study))
    for further in ([], ["--resume"]):
        assert command.main(["study", "--out", "results", *further]) == 2
        assert capsys.readouterr().err.endswith("give the same command: pspd own.csv --out results --folds 3\n")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["results", "study.json"]


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "scores.csv"), 2, "error: [Errno 28] No space left"),
        (OSError(errno.EROFS, "Read-only file system", "pspd-study"), 2, "error: [Errno 30] Read-only file system"),
        (KeyboardInterrupt(), 130, "interrupted; what was complete is in the folder of the results: the same command"),
    ],
)
def test_one_sentence_for_what_is_no_defect(error, status, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sklearn_pspd.study.prepare_study", lambda *args, **keywords: (_ for _ in ()).throw(error))
    assert command.main([]) == status
    lines = capsys.readouterr().err.splitlines(keepends=True)
    assert lines[-1].startswith(message)
    assert len(lines) == 2  # what it was doing, and the sentence


def test_a_defect_of_ours_shows_where_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sklearn_pspd.study.prepare_study", lambda *args, **keywords: [].index(0))
    with pytest.raises(ValueError, match="not in list"):
        command.main([])


def test_traceback_is_shown_on_demand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        command.main(["absent.csv", "--traceback"])


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


def test_help_and_version(tmp_path):
    result = run("study", "--help", cwd=tmp_path)
    assert result.returncode == 0
    for option in (
        "--patients",
        "--folds",
        "--epochs",
        "--slices",
        "--size-px",
        "--seed",
        "--jobs",
        "--out",
        "--variant",
        "--recipe",
        "--members",
        "--clinical",
        "--missing",
        "--sep",
    ):
        assert option in result.stdout
    overview = run("--help", cwd=tmp_path).stdout
    assert "study" in overview
    assert "check" in overview
    assert run("--version", cwd=tmp_path).stdout == f"sklearn_pspd {sklearn_pspd.__version__}\n"


def test_slices_are_picked_from_the_command_line(tmp_path, monkeypatch, capsys):
    """A reader, played by a thread, picks a slice; a second reader follows, and the agreement is printed."""
    import threading
    from urllib.request import Request, urlopen

    cohort = make_cohort(tmp_path, 6, matrix_px=(128,), n_native_slices=10, random_state=0)
    monkeypatch.chdir(tmp_path)
    first, second, third = cohort["patient_id"][:3]

    def post(address, route, value):
        content = json.dumps(value).encode()
        urlopen(Request(f"{address}{route}", content, {"Content-Type": "application/json"})).read()

    def read(address, slices):
        for patient, index in slices.items():
            post(address, "pick", {"patient_id": patient, "slice": index, "cannot_tell": index is None})
        post(address, "finish", {})

    def say(line):
        if line.startswith("Open http://127.0.0.1:"):
            threading.Thread(target=read, args=[line.split()[1], slices]).start()

    monkeypatch.setattr(command, "_say", say)
    before = (tmp_path / "cohort.csv").read_bytes()
    slices = {first: 3, second: 4, third: None}
    assert command.main(["pick", "cohort.csv", "--reader", "AB", "--no-browser"]) == 0
    assert "AB: 2 slices, cannot tell 1 times (cohort.picks.csv)" in capsys.readouterr().out
    # The table has positions already.
    assert (tmp_path / "cohort.csv").read_bytes() == before
    slices = {first: 4, second: 4, third: 5}
    assert command.main(["pick", "cohort.csv", "--reader", "CD", "--replace", "--no-browser"]) == 0
    assert "mean_abs_difference_mm" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "cohort.csv", index_col="patient_id")
    assert table.loc[[first, second, third], "lesion_slice"].tolist() == [4, 4, 5]
    assert command.main(["pick", "absent.csv", "--no-browser"]) == 2
