"""Sample sizes, against published examples and simulated models."""

import math

import numpy as np
import pytest
from scipy.special import expit, ndtri

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import (
    calibration_slope,
    development_sample_size,
    expected_auc_interval,
    roc_auc,
    validation_sample_size,
)
from sklearn_pspd.statistics.sample_size import _cox_snell_r2, _size_for_shrinkage, _slope_variance_times_n


def draw(n_patients, prevalence, auc, rng):
    """Draw outcomes and true risks whose linear predictors are normal with equal variance in each outcome."""
    distance = math.sqrt(2) * ndtri(auc)
    y = rng.random(n_patients) < prevalence
    score = rng.normal(size=n_patients) + distance * y
    return y.astype(int), expit(np.log(prevalence / (1 - prevalence)) + distance * score - distance**2 / 2)


def test_a_published_development_size():
    """Riley et al. 2019 (Stat Med 38, 1276): 24 parameters, prevalence 17.4 %, R^2 0.288; 4.8 events per parameter."""
    prevalence, r2 = 0.174, 0.288
    r2_max = 1 - (prevalence**prevalence * (1 - prevalence) ** (1 - prevalence)) ** 2
    assert math.ceil(_size_for_shrinkage(24, r2, 0.9)) == 623
    for_optimism = math.ceil(_size_for_shrinkage(24, r2, r2 / (r2 + 0.05 * r2_max)))
    assert for_optimism == 662
    assert for_optimism * prevalence / 24 == pytest.approx(4.8, abs=0.005)


def test_the_r2_from_the_auc_equals_that_of_simulated_patients():
    rng = np.random.default_rng(0)
    for prevalence, auc in ((0.385, 0.75), (0.1, 0.85)):
        y, risk = draw(400_000, prevalence, auc, rng)
        assert roc_auc(y[:5000], risk[:5000]).value == pytest.approx(auc, abs=0.03)
        gain = np.mean(np.log(np.where(y == 1, risk, 1 - risk)))
        null = prevalence * np.log(prevalence) + (1 - prevalence) * np.log(1 - prevalence)
        assert _cox_snell_r2(prevalence, auc) == pytest.approx(1 - np.exp(-2 * (gain - null)), rel=0.03)


def test_more_features_and_weaker_models_need_more_patients():
    def needed(*arguments, **options):
        return development_sample_size(*arguments, **options)["n_patients"].iloc[-1]

    assert needed(7, prevalence=0.385, auc=0.75) == 373
    assert needed(70, prevalence=0.385, auc=0.75) > needed(14, prevalence=0.385, auc=0.75) > 600
    assert needed(14, prevalence=0.385, auc=0.65) > needed(14, prevalence=0.385, auc=0.75)
    table = development_sample_size(7, prevalence=0.385, auc=0.75)
    assert table["events_per_feature"].iloc[-1] == pytest.approx(373 * 0.385 / 7)


def test_the_binding_criterion_is_named_and_encoded_columns_count():
    table = development_sample_size(7, prevalence=22 / 59, auc=0.75)
    assert table.loc[table["is_binding"], "criterion"].tolist() == ["mean absolute error"]
    # Two of the features have an indicator of unknown values.
    encoded = development_sample_size(7, prevalence=22 / 59, auc=0.75, n_parameters=9).set_index("criterion")
    assert encoded["n_patients"].drop("all").to_dict() == {
        "shrinkage": 416,
        "optimism of R^2": 219,
        "mean risk": 360,
        "mean absolute error": 464,
    }
    assert encoded["events_per_feature"]["all"] == pytest.approx(464 * 22 / 59 / 9)
    wide = development_sample_size(31, prevalence=0.4, auc=0.75)["criterion"]
    assert "mean absolute error" not in wide.tolist()


def test_published_sizes_for_the_mean_absolute_error():
    """Of van Smeden's formula as published calculators give it: 10 parameters and 30 %, 24 parameters and 17 %."""
    for n_parameters, prevalence, size in ((10, 0.3, 461), (10, 0.7, 461), (24, 0.17, 792)):
        table = development_sample_size(n_parameters, prevalence=prevalence, auc=0.8).set_index("criterion")
        assert table["n_patients"]["mean absolute error"] == size


def test_the_observed_proportion_is_known_to_a_tenth():
    """A ratio of observed to expected of width 1 would allow 0.62 to 1.62 times a prevalence of 42 %."""
    n_patients = validation_sample_size(prevalence=0.42, auc=0.8).set_index("criterion")["n_patients"]
    error = 1.96 * math.sqrt(0.42 * 0.58 / n_patients["observed over expected"])
    assert error == pytest.approx(0.1, rel=0.02)


def test_a_published_validation_size():
    """Riley et al. 2021 (Stat Med 40, 4230): prevalence 1.8 %, AUC 0.8 with an interval of width 0.1."""
    table = validation_sample_size(prevalence=0.018, auc=0.8, auc_width=0.1).set_index("criterion")["n_patients"]
    assert table["observed over expected"] == 906  # published as 905, from a search in steps of 0.0001
    assert table["AUC"] == 4252
    assert table["all"] == 4252


def test_the_variance_of_the_calibration_slope_equals_its_formula():
    rng, n_patients, prevalence, auc = np.random.default_rng(0), 400, 0.4, 0.75
    slopes = [calibration_slope(*draw(n_patients, prevalence, auc, rng)).value for _ in range(300)]
    expected = math.sqrt(_slope_variance_times_n(prevalence, auc) / n_patients)
    assert np.std(slopes) == pytest.approx(expected, rel=0.12)


def test_the_auc_interval_has_the_target_width():
    n_patients = validation_sample_size(prevalence=0.4, auc=0.8, auc_width=0.15).set_index("criterion")["n_patients"]
    n_positive = round(0.4 * n_patients["AUC"])
    low, high = expected_auc_interval(0.8, n_positive, n_patients["AUC"] - n_positive)
    assert high - low == pytest.approx(0.15, abs=0.005)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (
            development_sample_size,
            {"n_features": 0, "prevalence": 0.4, "auc": 0.8},
            "n_features must be a positive whole",
        ),
        (
            development_sample_size,
            {"n_features": 7, "prevalence": 1.0, "auc": 0.8},
            "prevalence must lie between 0 and 1",
        ),
        (validation_sample_size, {"prevalence": 0.4, "auc": 0.5}, "auc must lie between 0.5 and 1; got 0.5"),
        (validation_sample_size, {"prevalence": 0.4, "auc": 0.8, "auc_width": 2}, "auc_width must lie between 0 and 1"),
        (
            expected_auc_interval,
            {"auc": 0.8, "n_positive": 0, "n_negative": 8},
            "each outcome must have at least one patient",
        ),
        (expected_auc_interval, {"auc": 1.8, "n_positive": 3, "n_negative": 8}, r"auc must lie in \[0, 1\]; got 1.8"),
    ],
)
def test_invalid_arguments_are_rejected(function, arguments, message):
    with pytest.raises(InputError, match=message):
        function(**arguments)
