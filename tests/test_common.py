"""scikit-learn's own checks, on every estimator that takes numbers."""

import dataclasses

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_pspd import CNNLSTMClassifier, SequentialSearchCV
from sklearn_pspd.preprocessing import ClinicalMinMaxScaler

SCALERS = [
    ClinicalMinMaxScaler(),
    ClinicalMinMaxScaler(unknown="mean", clip=False),
    ClinicalMinMaxScaler(unknown="indicator"),
    ClinicalMinMaxScaler(missing="indicator"),
    ClinicalMinMaxScaler(clip=False, missing="median"),
]


class FusionClassifier(CNNLSTMClassifier):
    """Takes the first column for a slice of 2 x 2 equal pixels and the others for clinical ones."""

    def _check_rows(self, X, y, sample_weight, *, reset=True):
        X, y, sample_weight = super()._check_rows(X, y, sample_weight, reset=reset)
        return self._draw(X), y, sample_weight

    def predict_proba(self, X):
        check_is_fitted(self)
        X = self._draw(validate_data(self, X, dtype=self._dtype(), reset=False))
        network = clone(self)
        network.__class__ = CNNLSTMClassifier
        vars(network).update(vars(self), n_features_in_=X.shape[1])
        vars(network).pop("feature_names_in_", None)
        return network.predict_proba(X)

    def _draw(self, X):
        return np.repeat(X, [4] + [1] * (X.shape[1] - 1), axis=1)


class ImageClassifier(FusionClassifier):
    """Takes every column for such a slice, since the checks send tables of any width."""

    def _spec(self, n_features):
        spec = super()._spec(n_features)
        return dataclasses.replace(spec, stack_shape=(n_features // 4, 2, 2), n_clinical=0)

    def _draw(self, X):
        return np.repeat(X, 4, axis=1)


def checked_network(kind, stack_shape, **parameters):
    """A network that learns the checks' little tables, in one batch and with the digits that they compare."""
    settings = {
        "filters": (4,),
        "lstm_units": 8,
        "dense_units": (8,),
        "clinical_units": (8,),
        "learning_rate": 0.05,
        "optimizer": "adam",
        "batch_size": 1000,
        "epochs": 30,
        "precision": "float64",
    }
    return kind(stack_shape, **settings | parameters)


NETWORKS = [
    checked_network(CNNLSTMClassifier, None),
    checked_network(ImageClassifier, (1, 2, 2)),
    checked_network(FusionClassifier, (1, 2, 2)),
]

SEARCHES = [
    SequentialSearchCV(LogisticRegression(), {"C": [0.1, 1.0], "fit_intercept": [True]}, max_epochs=None, cv=2),
    # Small batches, since three epochs have to do.
    SequentialSearchCV(
        checked_network(CNNLSTMClassifier, None, batch_size=4, random_state=0),
        {"learning_rate": [0.05]},
        max_epochs=3,
        n_repeats=1,
        cv=2,
    ),
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


@pytest.mark.slow
@pytest.mark.filterwarnings(
    # Of a few patients, and of the data with errors that the checks send.
    "ignore:SequentialSearchCV. the smallest fold has",
    "ignore:Scoring failed",
    "ignore:One or more of the test scores are non-finite",
    "ignore::sklearn.exceptions.FitFailedWarning",
)
@checks_of(SEARCHES)
def test_search_passes_scikit_learns_checks(estimator, check):
    check(estimator)
