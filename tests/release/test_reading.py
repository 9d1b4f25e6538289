"""A folder that was changed is refused, and runs no code."""

import hashlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import skops.io
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_pspd import load_model
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.release import files as release_files
from sklearn_pspd.release import reading
from sklearn_pspd.release.synthetic_patient import TOLERANCES

NAMES = (*release_files.ALWAYS, "synthetic_patient.nii.gz", "manifest.json")


def rewrite(folder, name, content):
    """Change a file and the digest in the manifest, as a forger would."""
    (folder / name).write_bytes(content)
    change_manifest(folder, lambda manifest: manifest["sha256"].update({name: hashlib.sha256(content).hexdigest()}))


def change_manifest(folder, change):
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["digest"]
    change(manifest)
    manifest["digest"] = release_files._digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def change_json(folder, name, change):
    values = json.loads((folder / name).read_text())
    change(values)
    rewrite(folder, name, json.dumps(values).encode())


def test_an_untouched_folder_is_read(forest_folder, forest_scores, training, monkeypatch):
    """And both models are reproduced, wherever the process stands."""
    monkeypatch.chdir(forest_folder)
    released = load_model(".")
    np.testing.assert_array_equal(
        released.model.predict_proba(training[0]), forest_scores.models["forest"].predict_proba(training[0])
    )
    assert (released.name, released.n_patients, released.deviation) == ("forest", 40, 0.0)
    assert released.other_versions == ()
    assert load_model(forest_folder, fingerprint=released.fingerprint.upper()).name == "forest"
    with pytest.raises(InputError, match=r"its fingerprint is [0-9a-f]{64}, and not 0000"):
        load_model(forest_folder, fingerprint="0000")


def test_a_network_is_read(network_folder, network_scores, training):
    released = load_model(network_folder)
    assert released.reads_images
    assert released.deviation <= 1e-6
    few = training[0].head(3)
    np.testing.assert_allclose(
        released.model.predict_proba(few), network_scores.models["fusion"].predict_proba(few), atol=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", ["flipped", "longer", "shorter", "empty"])
def test_a_changed_file_is_refused(name, change, network_folder, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in network_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    fingerprint = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    content = (folder / name).read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    changed = {"flipped": flipped, "longer": content + b" ", "shorter": content[:-3], "empty": b""}[change]
    (folder / name).write_bytes(changed)
    if name == "manifest.json":
        message = "format|damaged" if change != "longer" else "fingerprint"
    else:
        message = f"differ from those that were exported .*{re.escape(name)}"
    # Blanks at the end of a manifest change nothing that it says; its fingerprint differs all the same.
    with pytest.raises(InputError, match=message):
        load_model(folder, fingerprint=fingerprint if change == "longer" else None)


@pytest.mark.parametrize("name", release_files.ALWAYS)
def test_an_absent_file_is_named(copied, name):
    (copied / name).unlink()
    with pytest.raises(InputError, match=f"files that are absent: '{name}'"):
        load_model(copied)


def test_a_folder_that_was_not_finished_is_refused(copied, tmp_path):
    (copied / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"was not finished; it has no manifest\.json"):
        load_model(copied)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is a file; give the folder"):
        load_model(copied / "model.skops")


@pytest.mark.parametrize(
    "given",
    ["study", "study/models", "study/models/forest.skops", "study/models/released/model.skops", "study/report.html"]
    + ["study/fits", "study/modles/released", "study/models/relaesed", "."],
)
def test_the_release_that_is_meant_is_named(given, copied, tmp_path, monkeypatch):
    """Whatever of a study is given instead."""
    monkeypatch.chdir(tmp_path)
    for folder in ("study/models", "study/fits", "other/models"):
        (tmp_path / folder).mkdir(parents=True)
    copied.rename("study/models/released")
    for name in ("study.json", "report.html", "models/forest.skops"):
        (tmp_path / "study" / name).write_text("{}")
    # A manifest of something else is no release.
    (tmp_path / "other" / "manifest.json").write_text('{"name": "page"}')
    with pytest.raises((InputError, FileNotFoundError), match=r"; did you mean study/models/released\?$"):
        load_model(given)
    assert load_model("study/models/released").name == "forest"


def test_a_study_without_a_release_says_why(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results" / "models").mkdir(parents=True)
    record = tmp_path / "results" / "study.json"
    record.write_text('{"finished": null}')
    for given in ("results", "results/models", "results/models/released", "results/report.txt"):
        with pytest.raises((InputError, FileNotFoundError), match="study in results has not written its models"):
            load_model(given)
    record.write_text('{"models": {"forest": "models/forest.skops", "released": "it names a patient"}}')
    with pytest.raises(InputError, match="the study in results released none: it names a patient"):
        load_model("results")
    record.write_text('{"models": {"released": "models/released"}}')
    with pytest.raises(InputError, match=r"was not finished; it has no manifest\.json"):
        load_model("results")


@pytest.mark.parametrize("name", ["payload.py", ".DS_Store", "model.pkl"])
def test_an_added_file_is_refused(copied, name):
    (copied / name).write_text("raise SystemExit")
    with pytest.raises(InputError, match=f"no part of the release; remove them: '{name}'"):
        load_model(copied)


def test_what_is_no_plain_file_is_refused(copied, tmp_path):
    outside = tmp_path / "outside.md"
    (copied / "model_card.md").rename(outside)
    (copied / "model_card.md").symlink_to(outside)
    with pytest.raises(InputError, match=r"no plain file: 'model_card\.md'"):
        load_model(copied)
    (copied / "model_card.md").unlink()
    os.mkfifo(copied / "model_card.md")
    with pytest.raises(InputError, match=r"no plain file: 'model_card\.md'"):
        load_model(copied)
    (copied / "model_card.md").unlink()
    (copied / "model_card.md").mkdir()
    with pytest.raises(InputError, match=r"no plain file: 'model_card\.md'"):
        load_model(copied)


@pytest.mark.parametrize("name", ["../outside.md", "/etc/hostname", "a/b", "..", ""])
def test_names_that_lead_elsewhere_are_refused(copied, name):
    def lead_away(manifest):
        manifest["sha256"][name] = manifest["sha256"].pop("model_card.md")

    change_manifest(copied, lead_away)
    with pytest.raises(InputError, match="does not name the files of a release"):
        load_model(copied)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format=2), "releases of format 2; this version reads format 1"),
        (lambda m: m.pop("format"), "manifest.json is damaged"),
        (lambda m: m.update(sha256=[]), "does not name the files of a release"),
        (lambda m: m.update(sha256=3), "manifest.json is damaged"),
        (lambda m: m.update(versions="1.0"), "manifest.json is damaged"),
        (lambda m: m.pop("name"), "not as export_model writes it"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(copied, change, message):
    change_manifest(copied, change)
    with pytest.raises(InputError, match=message):
        load_model(copied)


def test_a_probability_that_is_not_reproduced_is_refused(copied, network_folder, tmp_path):
    change_json(copied, "synthetic_patient.json", lambda check: check.update(probability=check["probability"] + 2e-6))
    with pytest.raises(InputError, match=r"of the synthetic patient is 0\.\d+ here and was 0\.\d+ .* tolerance 1e-06"):
        load_model(copied)
    assert load_model(copied, tolerance=1e-5).deviation == pytest.approx(2e-6)
    change_manifest(copied, lambda manifest: manifest["versions"].update({"scikit-learn": "1.7.0", "torch": "2.0"}))
    with pytest.raises(
        InputError, match=r"versions differ: scikit-learn 1\.7\.0 \(here .*\), torch 2\.0 \(here absent\)"
    ):
        load_model(copied)
    folder = tmp_path / "network"
    folder.mkdir()
    for path in network_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    change_json(folder, "synthetic_patient.json", lambda check: check["members"].__setitem__(1, 0.999))
    with pytest.raises(InputError, match=r"tolerance 0\.001"):
        load_model(folder)
    change_json(folder, "synthetic_patient.json", lambda check: check["members"].pop())
    with pytest.raises(InputError, match="the model has 2 members, and 1 were released"):
        load_model(folder)


def test_not_a_number_is_no_small_difference(copied, monkeypatch):
    monkeypatch.setattr(reading, "score_synthetic_patient", lambda *_: [np.nan])
    with pytest.raises(InputError, match="is nan here"):
        load_model(copied)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("schema.json", lambda schema: schema["clinical"].append({"name": "age_years"})),
        ("schema.json", lambda schema: schema["clinical"][0].update(range=[5, 1])),
        ("schema.json", lambda schema: schema["clinical"][0].update(launch="x")),
        ("synthetic_patient.json", lambda check: check.update(patient="x")),
        ("synthetic_patient.json", lambda check: check["patient"].pop("age_years")),
        ("synthetic_patient.json", lambda check: check.update(members=None)),
    ],
)
def test_content_of_another_kind_is_refused(copied, name, change):
    change_json(copied, name, change)
    with pytest.raises(InputError, match=r"not as export_model writes it|cannot score the synthetic|range must"):
        load_model(copied)


def test_a_forged_model_runs_no_code(copied, tmp_path):
    """A model that would call a function of the operating system when it predicts, in a folder that is consistent."""
    trace = tmp_path / "trace"
    evil = FunctionTransformer(os.system)
    assert evil.transform(f"touch {trace}") == 0
    assert trace.exists(), "the test says nothing if the model is harmless"
    trace.unlink()
    rewrite(copied, "model.skops", skops.io.dumps(make_pipeline(evil)))
    with pytest.raises(InputError, match=r"model\.skops: refused; .* types that pipelines .* do not use: .*system"):
        load_model(copied)
    assert not trace.exists()


def test_a_released_forest_needs_no_tensorflow(forest_folder, tmp_path):
    """Neither does a page need matplotlib."""
    code = f"""
import sys
import pandas as pd
from sklearn_pspd.release import load_model, write_predictions
released = load_model({str(forest_folder)!r})
row = {{"patient_id": "new", "age_years": 50, "sex": "male", "mgmt": "unknown", "idh": "wildtype"}}
row |= {{"dose_gy": 60.0, "n_fractions": 30, "interval_days": 60}}
write_predictions(released, pd.DataFrame([row]), {str(tmp_path / "out")!r})
heavy = {{"tensorflow", "keras", "torch", "jax", "matplotlib"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tolerances_grow_with_the_coarseness_of_the_arithmetic():
    assert TOLERANCES["float64"] < TOLERANCES["float32"] < TOLERANCES["mixed_bfloat16"] <= 0.01
