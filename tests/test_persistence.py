"""Tests of saving and loading fitted models."""

import hashlib
import io
import json
import pickle
import tracemalloc
import zipfile

import keras
import numpy as np
import pytest
from imblearn.over_sampling import RandomOverSampler
from joblib import Memory
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sklearn_pspd import (
    CNNLSTMClassifier,
    load_pipeline,
    make_clinical_pipeline,
    make_cohort,
    make_fusion_pipeline,
    read_cohort,
    save_pipeline,
    split_xy,
)
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.neural_network.model_file import hash_of_description

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


def change_description(path, **parts):
    """Change parts of the description of a classifier, whose hash then fits."""
    description = {**description_of(path), **parts}
    description["sha256"]["classifier.json"] = hash_of_description(description)
    change(path, "classifier.json", json.dumps(description).encode())


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
    change_description(path, **{part: value})
    with pytest.raises(ValueError, match=match):
        CNNLSTMClassifier.load(path)


def test_parameters_that_a_file_lacks_take_their_defaults(fitted, tmp_path):
    classifier, X = fitted
    path = tmp_path / "model.pspd"
    classifier.save(path)
    parameters = description_of(path)["parameters"]
    del parameters["dropout"]
    change_description(path, parameters=parameters)
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


@pytest.fixture(scope="module")
def saved_forest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forest")
    X, y = split_xy(make_cohort(folder / "cohort", 12, matrix_px=(32,), random_state=0))
    model = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=3).fit(X, y)
    save_pipeline(model, folder / "model.skops")
    return folder / "model.skops", model, X


def entries_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def forge(entries, path, method=zipfile.ZIP_STORED):
    """Write a pipeline's file with hashes that fit its entries."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in entries.items()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
        archive.writestr("sklearn_pspd.json", json.dumps({"library": "forged", "sha256": hashes}))
    return path


def test_caches_are_not_in_the_file_and_not_taken_from_one(cohort_folder, tiny_network, tmp_path):
    X, y = split_xy(read_cohort(cohort_folder / "cohort.csv"))
    memory = Memory(tmp_path / "cache", verbose=0)
    pipeline = make_fusion_pipeline(tiny_network, n_slices=3, size_px=8, memory=memory).fit(X, y)
    save_pipeline(pipeline, tmp_path / "model.skops")
    assert pipeline.get_params()["features__mri__load__memory"] is memory
    assert pipeline["features"].named_transformers_["mri"]["load"].memory.location == tmp_path / "cache"
    assert str(tmp_path) not in entries_of(tmp_path / "model.skops")["schema.json"].decode()

    # A file that names a folder, as one of an earlier version or of somebody else.
    import skops.io

    pipeline.set_params(features__mri__load__memory=str(tmp_path / "theirs")).fit(X, y)
    skops.io.dump(pipeline, tmp_path / "plain.skops")
    loaded = load_pipeline(forge(entries_of(tmp_path / "plain.skops"), tmp_path / "theirs.skops"))
    assert loaded.get_params()["features__mri__load__memory"] is None
    assert loaded["features"].named_transformers_["mri"]["load"].memory is None
    np.testing.assert_array_equal(loaded.predict_proba(X), pipeline.predict_proba(X))


def nested(depth):
    return b'{"a":' * depth + b"1" + b"}" * depth


SKOPS_FORGERIES = {
    "deep schema": {"schema.json": nested(100_000)},
    "schema as text": {"schema.json": b'"text"'},
    "empty schema": {"schema.json": b"{}"},
    "schema that is no JSON": {"schema.json": b"\xff{"},
    "array that claims more values": "<i8",
}


@pytest.mark.parametrize("name", SKOPS_FORGERIES)
def test_a_forged_pipeline_is_one_error(saved_forest, tmp_path, name):
    path, _, _ = saved_forest
    entries = entries_of(path)
    del entries["sklearn_pspd.json"]
    if isinstance(SKOPS_FORGERIES[name], dict):
        entries |= SKOPS_FORGERIES[name]
    else:
        huge = io.BytesIO()
        np.lib.format.write_array_header_1_0(huge, {"descr": "<i8", "fortran_order": False, "shape": (10**12,)})
        entries |= {array: huge.getvalue() for array in entries if array.endswith(".npy")}
    with pytest.raises(InputError, match=r"forged\.skops: "):
        load_pipeline(forge(entries, tmp_path / "forged.skops"))


def test_damaged_and_compressed_pipelines_are_one_error(saved_forest, tmp_path):
    whole, path = saved_forest[0].read_bytes(), tmp_path / "forged.skops"
    entries = entries_of(saved_forest[0])
    for content in (b"", b"text", whole[:-30], whole[: len(whole) // 2], whole[:200] + b"\0" * 40 + whole[240:]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"forged\.skops: "):
            load_pipeline(path)
    changed = {**entries, "schema.json": entries["schema.json"].replace(b'\\"gini\\"', b'\\"entropy\\"')}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in changed.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match="differ from those that were saved"):
        load_pipeline(path)
    del entries["sklearn_pspd.json"]
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        with pytest.raises(InputError, match="compressed entries"):
            load_pipeline(forge({**entries, "schema.json": bytes(10**7)}, path, method))
    with pytest.raises(InputError, match="it contains"):
        load_pipeline(forge({"a": b""}, path))
    # An archive within the archive, as sparse matrices are.
    bomb = io.BytesIO()
    with (
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as inner,
        inner.open("data.npy", "w", force_zip64=True) as file,
    ):
        for _ in range(300):
            file.write(bytes(2**20))
    with pytest.raises(InputError, match="sparse matrices take more than 256 MB"):
        load_pipeline(forge({**entries, "1.npz": bomb.getvalue()}, path))


def test_memory_of_loading_is_bounded(saved_forest, tmp_path):
    """Compressed entries that would unpack to gigabytes are refused before they are read."""
    path = tmp_path / "bomb.skops"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("schema.json", "w") as file:
        for _ in range(500):
            file.write(b"[" * 2**20)
    assert path.stat().st_size < 10**6
    tracemalloc.start()
    with pytest.raises(InputError, match="compressed"):
        load_pipeline(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


def test_a_tree_that_leads_in_a_circle_is_refused(saved_forest):
    from sklearn_pspd.persistence import _check_tree

    tree = saved_forest[1]["classifier"].estimators_[0].tree_
    _check_tree(tree)
    for place, value in (("left_child", 0), ("right_child", tree.node_count), ("feature", 99), ("feature", -1)):
        changed = type(tree)(tree.n_features, np.array([2]), 1)
        state = tree.__getstate__()
        state["nodes"] = state["nodes"].copy()
        state["nodes"][0][place] = value
        changed.__setstate__(state)
        with pytest.raises(InputError, match="nodes that do not exist"):
            _check_tree(changed)
