"""Tests of saving and loading fitted models."""

import json
import pickle
import zipfile

import keras
import numpy as np
import pytest
from imblearn.over_sampling import RandomOverSampler
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sklearn_pspd import (
    CNNLSTMClassifier,
    load_pipeline,
    make_clinical_pipeline,
    make_fusion_pipeline,
    read_cohort,
    save_pipeline,
    split_xy,
)

N_COLUMNS = 3 * 8 * 8 + 7


@pytest.fixture
def fitted(tiny_network):
    rng = np.random.default_rng(0)
    X, names = rng.random((12, N_COLUMNS), dtype=np.float32), np.array(["PD", "PsPD"] * 6)
    return tiny_network.set_params(class_weight={"PD": 1.0, "PsPD": 2.0}).fit(X, names), X


def change(path, name, content):
    """Replace a member of a zip file."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members[name] = content
    with zipfile.ZipFile(path, "w") as archive:
        for member, stored in members.items():
            archive.writestr(member, stored)


def description_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("classifier.json"))


def test_a_loaded_classifier_equals_the_saved_one(fitted, tmp_path):
    classifier, X = fitted
    classifier.save(tmp_path / "model.pspd")
    loaded = CNNLSTMClassifier.load(tmp_path / "model.pspd")
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))
    assert loaded.predict(X).tolist() == classifier.predict(X).tolist()
    assert loaded.get_params() == classifier.get_params()
    assert (loaded.history_, loaded.n_iter_, loaded.precision_) == (
        classifier.history_,
        classifier.n_iter_,
        classifier.precision_,
    )
    assert loaded.n_features_in_ == N_COLUMNS
    loaded.set_params(warm_start=True).fit(X, ["PD", "PsPD"] * 6)


def test_stored_network_opens_in_keras(fitted, tmp_path):
    classifier, X = fitted
    classifier.save(tmp_path / "model.pspd")
    with zipfile.ZipFile(tmp_path / "model.pspd") as archive:
        archive.extract("network.keras", tmp_path)
    network = keras.models.load_model(tmp_path / "network.keras", safe_mode=True)
    batch = {"stack": X[:, :-7].reshape(-1, 3, 8, 8), "clinical": X[:, -7:]}
    np.testing.assert_allclose(network.predict_on_batch(batch)[:, 0], classifier.predict_proba(X)[:, 1], rtol=1e-5)


def test_parameters_that_cannot_be_saved_are_named(fitted, tmp_path):
    classifier, _ = fitted
    with pytest.raises(ValueError, match=r"callbacks=.* cannot be saved without pickle"):
        classifier.set_params(callbacks=[keras.callbacks.TerminateOnNaN()]).save(tmp_path / "model.pspd")
    with pytest.raises(NotFittedError):
        CNNLSTMClassifier().save(tmp_path / "model.pspd")
    assert not (tmp_path / "model.pspd").exists()


class Bomb:
    def __reduce__(self):
        return print, ("the file ran code",)


def test_other_and_damaged_files_are_refused_without_executing_code(fitted, tmp_path, capsys):
    classifier, _ = fitted
    path = tmp_path / "model.pspd"

    def refused(match):
        with pytest.raises(ValueError, match=match) as caught:
            CNNLSTMClassifier.load(path)
        assert str(path) in str(caught.value)

    path.write_bytes(pickle.dumps(Bomb()))
    refused("not a file of CNNLSTMClassifier.save")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.pkl", pickle.dumps(Bomb()))
    refused("not a file of CNNLSTMClassifier.save; it contains")
    classifier.save(path)
    path.write_bytes(path.read_bytes()[:-500])
    refused("damaged")
    classifier.save(path)
    change(path, "network.keras", b"something else")
    refused("the network differs from the one that was saved")
    classifier.save(path)
    change(path, "classifier.json", b"{")
    refused("damaged")
    with pytest.raises(FileNotFoundError):
        CNNLSTMClassifier.load(tmp_path / "nowhere.pspd")
    assert "ran code" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("part", "value", "match"),
    [
        ("format", 99, "file format 99, written by sklearn_pspd .* reads format 2"),
        (
            "network",
            {"stack_shape": None, "attention": True},
            "unknown entries of the network specification: attention",
        ),
        ("parameters", {"attention": True}, "with entries unknown to this one: attention"),
        ("learned", {"predict": 1}, "with entries unknown to this one: predict"),
    ],
)
def test_files_of_other_versions_are_refused_with_the_reason(fitted, tmp_path, part, value, match):
    path = tmp_path / "model.pspd"
    fitted[0].save(path)
    change(path, "classifier.json", json.dumps({**description_of(path), part: value}).encode())
    with pytest.raises(ValueError, match=match):
        CNNLSTMClassifier.load(path)


def test_parameters_that_a_file_lacks_take_their_defaults(fitted, tmp_path):
    classifier, X = fitted
    path = tmp_path / "model.pspd"
    classifier.save(path)
    description = description_of(path)
    del description["parameters"]["dropout"]
    change(path, "classifier.json", json.dumps(description).encode())
    np.testing.assert_array_equal(CNNLSTMClassifier.load(path).predict_proba(X), classifier.predict_proba(X))


@pytest.mark.parametrize("sampler", [None, RandomOverSampler(random_state=0)])
def test_a_loaded_pipeline_equals_the_saved_one(cohort_folder, tiny_network, tmp_path, sampler):
    X, y = split_xy(read_cohort(cohort_folder / "cohort.csv"))
    pipeline = make_fusion_pipeline(tiny_network, n_slices=3, size_px=8, sampler=sampler).fit(X, y)
    save_pipeline(pipeline, tmp_path / "model.skops")
    loaded = load_pipeline(tmp_path / "model.skops")
    np.testing.assert_array_equal(loaded.predict_proba(X), pipeline.predict_proba(X))


def test_pipelines_with_other_types_are_refused(tmp_path):
    path = tmp_path / "model.skops"
    model = make_clinical_pipeline().set_params(classifier=Stranger())
    with pytest.raises(ValueError, match=r"contains types that load_pipeline refuses: .*Stranger"):
        save_pipeline(model, path)
    assert not path.exists()
    import skops.io

    skops.io.dump(model, path)
    with pytest.raises(ValueError, match=r"contains types that pipelines of this library do not use: .*Stranger"):
        load_pipeline(path)
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="not a file of save_pipeline"):
        load_pipeline(path)


class Stranger(LogisticRegression):
    pass
