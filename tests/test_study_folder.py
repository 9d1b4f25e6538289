"""The folder of a study: it goes on where it stopped, is shared, and never mixes two studies."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_pspd import CNNLSTMClassifier, SequentialSearchCV, Study, load_pipeline, make_cohort, save_pipeline
from sklearn_pspd.baselines import baseline_models
from sklearn_pspd.exceptions import InputError, UnfinishedError
from sklearn_pspd.model_selection import KeptFits, compare_models, external_uses
from sklearn_pspd.model_selection.kept_fits import fingerprint
from sklearn_pspd.pipelines import make_clinical_pipeline
from sklearn_pspd.release import load_model

SETTINGS = {"cv": 3, "n_permutations": 3, "random_state": 0}


def models():
    forest = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=5)
    logistic = make_clinical_pipeline(LogisticRegression(C=0.5))
    return {"forest": forest, "logistic": logistic}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("cohort"), 40, matrix_px=(128,), n_native_slices=10, random_state=0)


@pytest.fixture(scope="module")
def undisturbed(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(external_uses, "_USES", [])
        Study(cohort, models(), **SETTINGS).run(folder)
    return folder


@pytest.fixture(autouse=True)
def no_earlier_uses(monkeypatch):
    """Each test is the first to score the external set."""
    monkeypatch.setattr(external_uses, "_USES", [])


def tables(folder):
    """Return every table and text of a study, by name; the times at which the external set was used differ."""
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".csv", ".txt")}
    uses = pd.read_csv(folder / "external_uses.csv").drop(columns="when")
    return {**found, "external_uses.csv": uses.to_csv().encode()}


KILLED = """
import multiprocessing, os, random, signal, sys, time
import pandas as pd
sys.path.insert(0, {tests!r})
from sklearn_pspd import Study
from test_study_folder import SETTINGS, models

def run(sender, folder):
    report = lambda done, total, detail: sender.send(detail)
    Study(pd.read_pickle({table!r}), models(), **SETTINGS).run(folder, on_progress=report)
    sender.send("complete")

random.seed(3)
n_killed = 0
context = multiprocessing.get_context("fork")
while True:
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=run, args=(sender, {folder!r}))
    child.start()
    sender.close()
    # Five times, after a random number of fits and a moment more.
    fits_left, found = (random.randint(1, 3), "") if n_killed < 5 else (10**6, "")
    try:
        while fits_left and found != "complete":
            found = receiver.recv()
            fits_left -= not found.endswith("(kept)")
        receiver.poll(random.random() * 0.2)
    except EOFError:
        pass
    child.kill() if found != "complete" else None
    child.join()
    if child.exitcode == 0:
        break
    assert child.exitcode == -signal.SIGKILL, child.exitcode
    n_killed += 1
print(n_killed)
"""


def test_a_study_that_is_killed_gives_the_tables_of_an_undisturbed_one(cohort, undisturbed, tmp_path):
    table, folder = tmp_path / "table.pkl", tmp_path / "results"
    cohort.to_pickle(table)
    code = KILLED.format(tests=str(Path(__file__).parent), table=str(table), folder=str(folder))
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert killed.returncode == 0, killed.stderr
    assert int(killed.stdout) >= 3
    assert tables(folder) == tables(undisturbed)
    # What was half written when a process was killed is hidden, and nothing refers to it.
    assert all(path.name.startswith(".") for path in folder.rglob("*.part"))


def test_shares_give_together_what_one_run_gives(cohort, undisturbed, tmp_path):
    study = Study(cohort, models(), **SETTINGS)
    for number in (2, 1, 3):
        with pytest.raises(UnfinishedError, match="fits are missing") if number != 3 else nullcontext():
            study.run(tmp_path, share=(number, 3))
    assert tables(tmp_path) == tables(undisturbed)
    shutil.rmtree(tmp_path / "fits")
    with pytest.raises(UnfinishedError):
        study.run(tmp_path, share=(1, 2), resume=True)
    n_own = len(list((tmp_path / "fits").glob("*.json")))
    with pytest.raises(InputError, match=r"share=\(3, 2\)"):
        study.run(tmp_path, share=(3, 2))
    progress = []
    study.run(tmp_path, on_progress=lambda done, total, detail: progress.append(detail))
    assert sum(detail.endswith("(kept)") for detail in progress) == n_own
    # The removed fits had been used already, so that there is a second use of the external set.
    for name in ("scores.csv", "negative_control.csv", "tests.csv"):
        assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes()


def test_two_processes_in_one_folder_do_no_harm(cohort, undisturbed, tmp_path):
    table = tmp_path / "table.pkl"
    cohort.to_pickle(table)
    code = f"""
import sys
import pandas as pd
sys.path.insert(0, {str(Path(__file__).parent)!r})
from sklearn_pspd import Study
from test_study_folder import SETTINGS, models
Study(pd.read_pickle({str(table)!r}), models(), **SETTINGS).run({str(tmp_path / "results")!r})
"""
    both = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert tables(tmp_path / "results") == tables(undisturbed)


def test_a_folder_holds_one_study(cohort, tmp_path):
    of_other_people = tmp_path / "notes.txt"
    of_other_people.write_text("mine")
    with pytest.raises(InputError, match="no study to resume"):
        Study(cohort, models(), cv=2).open_folder(tmp_path, resume=True)
    Study(cohort, models(), cv=2).run(tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    changed = models()
    changed["forest"].set_params(classifier__n_estimators=6)
    other = Study(cohort.assign(age_years=cohort["age_years"] + 1), changed, cv=3, random_state=1)
    with pytest.raises(InputError) as refused:
        other.open_folder(tmp_path)
    for part in ("random_state: 0 there, 1 here", "cv: 2 there, 3 here", "cohort table changed", "'forest' has other"):
        assert part in str(refused.value)
    assert "logistic" not in str(refused.value)
    # The images are known by their content.
    with pytest.raises(InputError, match=r"another study: the images changed\. Give"):
        Study(cohort.assign(image=[*cohort["image"][1:], cohort["image"][0]]), models(), cv=2).open_folder(tmp_path)
    other.open_folder(tmp_path, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "study.json"} < written
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(InputError, match="not the record of a study"):
        other.open_folder(tmp_path)


def test_a_trial_run_leaves_the_external_set_alone_and_the_same_study_goes_on_from_it(cohort, undisturbed, tmp_path):
    study = Study(cohort, models(), **SETTINGS, score_external=False)
    assert study.summary().endswith("held out: site B, not scored")
    trial = study.run(tmp_path)
    assert set(trial.comparison.scores["evaluation"]) == {"cross-validation"}
    assert all(set(control.frame()["evaluation"]) == {"cross-validation"} for control in trial.controls.values())
    assert trial.comparison.external_uses is None
    assert not external_uses._USES
    page, text, methods = ((tmp_path / name).read_text() for name in ("report.html", "report.txt", "methods.txt"))
    assert "external set, on which the models were not scored." in " ".join(methods.split())
    assert "Held out, site B, not scored: " in page
    assert "No external set was scored, since this is a trial run" in page
    assert "External" not in text
    steps = []
    Study(cohort, models(), **SETTINGS).run(tmp_path, on_progress=lambda done, total, step: steps.append(step))
    of_folds = [step for step in steps if step.startswith("validation: ") and "fold" in step]
    assert len(of_folds) == 6
    assert all(step.endswith("(kept)") for step in of_folds)
    assert tables(tmp_path) == tables(undisturbed)


def test_the_record_says_what_was_done(undisturbed, cohort):
    record = json.loads((undisturbed / "study.json").read_bytes())
    assert record["finished"] >= record["started"]
    assert record["images"].keys() == set(cohort["patient_id"])
    assert set(record["files"]) == {path.name for path in undisturbed.iterdir() if path.is_file()} - {"study.json"}
    assert str(Path(cohort["image"].iloc[0]).parent) not in (undisturbed / "study.json").read_text()


def test_an_image_that_moved_is_the_same(cohort, tmp_path):
    Study(cohort, models(), cv=2).run(tmp_path / "results")
    moved = tmp_path / "moved"
    shutil.copytree(Path(cohort["image"].iloc[0]).parent, moved)
    elsewhere = cohort.assign(image=[str(moved / Path(path).name) for path in cohort["image"]])
    progress = []
    Study(elsewhere, models(), cv=2).run(tmp_path / "results", on_progress=lambda *step: progress.append(step[-1]))
    assert all(detail.endswith("(kept)") for detail in progress)


class Counting(LogisticRegression):
    """Counts its fits, in this process."""

    n_fits = 0

    def fit(self, X, y):
        Counting.n_fits += 1
        return super().fit(X, y)


def test_damage_is_a_missing_fit_and_another_setting_another_fit(tmp_path):
    rng = np.random.default_rng(0)
    X, y = pd.DataFrame(rng.normal(size=(30, 2)), columns=["a", "b"]), np.arange(30) % 2

    def n_fits(model=None, X=X, y=y, **settings):
        before = Counting.n_fits
        model = make_pipeline(Counting()) if model is None else model
        settings = {"cv": 3, "random_state": 0, **settings}
        scores = compare_models({"m": model}, X, y, kept=KeptFits(tmp_path), **settings).scores
        plain = compare_models({"m": model}, X, y, **settings).scores
        pd.testing.assert_frame_equal(scores, plain)
        return Counting.n_fits - before - 3

    assert n_fits() == 3
    assert n_fits() == 0
    # Everything that a fit depends on is part of its name.
    assert n_fits(make_pipeline(Counting(C=0.1))) == 3
    assert n_fits(X=X + 1e-12) == 3
    assert n_fits(y=1 - y) == 3
    assert n_fits(random_state=1) == 3
    assert n_fits() == 0
    # Cut off, changed, of another kind: fitted again.
    for damage in (lambda b: b[:-9], lambda b: b.replace(b"0.5", b"0.6"), lambda b: b"[]", lambda b: b"null"):
        for path in tmp_path.glob("*.json"):
            path.write_bytes(damage(path.read_bytes()))
        assert n_fits() == 3


def test_a_full_disk_loses_nothing_and_leaves_nothing(tmp_path, monkeypatch):
    X, y = pd.DataFrame({"a": np.arange(20.0)}), np.arange(20) % 2
    kept = KeptFits(tmp_path)
    n_synced = []

    def full(descriptor):
        n_synced.append(descriptor)
        if len(n_synced) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        compare_models({"m": LogisticRegression()}, X, y, cv=4, random_state=0, kept=kept)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.undo()
    compare_models({"m": LogisticRegression()}, X, y, cv=4, random_state=0, kept=kept)
    assert len(list(tmp_path.iterdir())) == 4


def test_fingerprints_are_those_of_other_processes():
    arguments = [
        [1, 2.5, None, True, "text", np.float32(0.1), np.arange(3), {"a": (1, [2])}, {3, 1, 2}],
        [pd.DataFrame({"a": ["x", None], "b": [1.0, np.nan]}), pd.Series([1], name="s")],
        [make_clinical_pipeline(random_state=0), make_clinical_pipeline, np.mean],
    ]
    ours = [fingerprint(value) for value in arguments]
    assert len(set(ours)) == 3
    code = """
import numpy as np, pandas as pd
from sklearn_pspd.pipelines import make_clinical_pipeline
from sklearn_pspd.model_selection.kept_fits import fingerprint
nan = np.nan
for value in (
    [1, 2.5, None, True, "text", np.float32(0.1), np.arange(3), {"a": (1, [2])}, {3, 1, 2}],
    [pd.DataFrame({"a": ["x", None], "b": [1.0, np.nan]}), pd.Series([1], name="s")],
    [make_clinical_pipeline(random_state=0), make_clinical_pipeline, np.mean],
):
    print(fingerprint(value))
"""
    theirs = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert theirs.stdout.split() == ours


def test_a_search_is_kept_with_its_losses(tmp_path):
    y = np.arange(30) % 2
    X = np.random.default_rng(0).random((30, 3)) + y[:, np.newaxis]
    network = CNNLSTMClassifier(None, epochs=2, clinical_units=(2,))
    sequence = {"learning_rate": [0.01, 0.1]}
    search = SequentialSearchCV(network, param_sequence=sequence, max_epochs=2, cv=2, n_repeats=2, random_state=0)
    search.fit(X, y)
    save_pipeline(search, tmp_path / "search.skops")
    read = load_pipeline(tmp_path / "search.skops")
    pd.testing.assert_frame_equal(read.losses_, search.losses_)
    pd.testing.assert_frame_equal(read.scores_, search.scores_)
    np.testing.assert_array_equal(read.predict_proba(X), search.predict_proba(X))


def test_a_changed_further_image_is_another_study(tmp_path):
    cohort = make_cohort(tmp_path / "cohort", 24, flair=True, matrix_px=(128,), n_native_slices=10, random_state=0)
    components = baseline_models(["MRI principal components"], further_images=["flair"], size_px=16, random_state=0)

    def study():
        return Study(cohort, components, cv=2, random_state=0)

    study().run(tmp_path / "results")
    sheet = (tmp_path / "results" / "contact_sheet.html").read_text(encoding="utf-8")
    assert sheet.count("<figure>") == 2 * len(cohort)
    checked = pd.read_csv(tmp_path / "results" / "image_checks.csv")
    assert set(checked["further_images"]) == {"flair: unknown"}
    record = json.loads((tmp_path / "results" / "study.json").read_text(encoding="utf-8"))
    assert all(len(images) == 2 for images in record["images"].values())
    released = load_model(tmp_path / "results" / record["models"]["released"])
    assert released.further_images == ("flair",)
    shutil.copy(cohort["flair"][1], cohort["flair"][0])
    with pytest.raises(InputError, match="holds another study: the images changed"):
        study().run(tmp_path / "results")
