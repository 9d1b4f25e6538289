"""scikit-learn's own checks, on every estimator that takes numbers."""

import dataclasses

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_pspd import CNNLSTMClassifier
from sklearn_pspd.preprocessing import ClinicalMinMaxScaler

SCALERS = [
    ClinicalMinMaxScaler(),
    ClinicalMinMaxScaler(unknown="mean", clip=False),
    ClinicalMinMaxScaler(unknown="indicator"),
]


class ImageClassifier(CNNLSTMClassifier):
    """Takes every column for a slice of one pixel, since the checks send tables of any width."""

    def _spec(self, n_features, precision=None):
        spec = super()._spec(n_features, precision)
        return dataclasses.replace(spec, stack_shape=(n_features, 1, 1), n_clinical=0)


def checked_network(kind, stack_shape):
    """A network that learns the checks' little tables, in one batch and with the digits that they compare."""
    return kind(
        stack_shape,
        filters=(4,),
        lstm_units=8,
        dense_units=(8,),
        clinical_units=(8,),
        learning_rate=0.05,
        optimizer="adam",
        batch_size=1000,
        epochs=30,
        precision="float64",
    )


NETWORKS = [
    checked_network(CNNLSTMClassifier, None),
    checked_network(ImageClassifier, (1, 1, 1)),
    checked_network(CNNLSTMClassifier, (1, 1, 1)),
]


def checks_of(estimators):
    # scikit-learn 1.7 and 1.8 hand pytest a generator, which pytest 9 warns of; hence the list.
    mark = parametrize_with_checks(estimators)
    names, checks = mark.args
    return pytest.mark.parametrize(names, list(checks), **mark.kwargs)


@checks_of(SCALERS)
def test_scaler_passes_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@checks_of(NETWORKS)
def test_classifier_passes_scikit_learns_checks(estimator, check):
    check(estimator)
