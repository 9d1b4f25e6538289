"""A released forest and a released ensemble of tiny networks, each made once."""

import os
import shutil

import pytest

from sklearn_pspd import (
    CNNLSTMClassifier,
    compare_models,
    make_clinical_pipeline,
    make_cohort,
    make_fusion_pipeline,
    split_xy,
)
from sklearn_pspd.release import export_model


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """Training patients of a synthetic cohort."""
    folder = tmp_path_factory.mktemp("training")
    return split_xy(make_cohort(folder, 40, matrix_px=(128,), n_native_slices=10, random_state=0))


@pytest.fixture(scope="module")
def forest_scores(training):
    forest = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=25)
    return compare_models({"forest": forest}, *training, cv=4, random_state=0, keep_models=True)


@pytest.fixture(scope="module")
def forest_folder(training, forest_scores, tmp_path_factory):
    folder = tmp_path_factory.mktemp("forest") / "release"
    X, y = training
    export_model(forest_scores.models["forest"], folder, X=X, y=y, comparison=forest_scores)
    return folder


@pytest.fixture
def copied(forest_folder, tmp_path):
    """A copy of the released forest that a test may change."""
    return shutil.copytree(forest_folder, tmp_path / "copy")


@pytest.fixture(scope="module")
def network_scores(training):
    network = CNNLSTMClassifier(filters=(2,), lstm_units=2, dense_units=(2,), epochs=1, n_members=2, random_state=0)
    model = make_fusion_pipeline(network, n_slices=3, size_px=8, clinical=["age_years", "sex", "interval_days"])
    return compare_models({"fusion": model}, *training, cv=2, random_state=0, keep_models=True)


@pytest.fixture(scope="module")
def network_folder(training, network_scores, tmp_path_factory):
    folder = tmp_path_factory.mktemp("network") / "release"
    X, y = training
    cache = os.fspath(tmp_path_factory.mktemp("cache"))
    model = network_scores.models["fusion"].set_params(features__mri__load__memory=cache)
    export_model(model, folder, X=X, y=y, comparison=network_scores)
    return folder
