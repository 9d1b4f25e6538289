"""Synthetic cohorts with a known truth, and small networks that were trained on them."""

import pytest
from inspected_cohorts import IMAGES, N_TRAIN, draw, small_network

from sklearn_pspd import make_clinical_pipeline, make_fusion_pipeline, make_image_pipeline


@pytest.fixture(scope="session")
def signal(tmp_path_factory):
    """A cohort with a strong signal in the lesion and in the interval."""
    return draw(tmp_path_factory, "signal", effect_size=2.0)


@pytest.fixture(scope="session")
def fusion(signal):
    """A network of two members, trained on the first patients of `signal`."""
    X, y = signal
    return make_fusion_pipeline(small_network(n_members=2), **IMAGES).fit(X[:N_TRAIN], y[:N_TRAIN])


@pytest.fixture(scope="session")
def image_model(signal):
    """The same without clinical columns, with one member."""
    X, y = signal
    return make_image_pipeline(small_network(epochs=60), **IMAGES).fit(X[:N_TRAIN], y[:N_TRAIN])


@pytest.fixture(scope="session")
def forest(signal):
    X, y = signal
    model = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=30)
    return model.fit(X[:N_TRAIN], y[:N_TRAIN])


@pytest.fixture(scope="session")
def shortcut_cohort(tmp_path_factory):
    """A cohort whose only signal is a mark in the skull."""
    return draw(tmp_path_factory, "shortcut", effect_size=0.0, shortcut=1.0)


@pytest.fixture(scope="session")
def shortcut_model(shortcut_cohort):
    X, y = shortcut_cohort
    network = small_network(epochs=30, pooling="flatten", learning_rate=0.003)
    return make_image_pipeline(network, **IMAGES).fit(X[:N_TRAIN], y[:N_TRAIN])


@pytest.fixture(scope="session")
def held_out(signal):
    X, y = signal
    return X[N_TRAIN:], y[N_TRAIN:]
