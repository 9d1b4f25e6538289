"""scikit-learn's own checks, on every estimator that takes numbers."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_pspd.clinical import ClinicalMinMaxScaler

ESTIMATORS = [
    ClinicalMinMaxScaler(),
    ClinicalMinMaxScaler(unknown="mean", clip=False),
    ClinicalMinMaxScaler(unknown="indicator"),
]

# scikit-learn 1.7 and 1.8 hand pytest a generator, which pytest 9 warns of; hence the list.
mark = parametrize_with_checks(ESTIMATORS)
names, checks = mark.args


@pytest.mark.parametrize(names, list(checks), **mark.kwargs)
def test_estimator_passes_scikit_learns_checks(estimator, check):
    check(estimator)
