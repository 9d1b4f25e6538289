"""Calibration and decision curves, against independent fits, simulations and counts."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, logsumexp, ndtr, ndtri
from scipy.stats import t
from sklearn.linear_model import LogisticRegression

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import calibration_intercept, calibration_slope, calibration_table, decision_curve
from sklearn_pspd.statistics.calibration import NOT_ESTIMABLE

DISTANCE = np.sqrt(2) * ndtri(0.75)


def draw(y, rng, prevalence=0.4):
    """Return true risks of patients whose scores have an AUC of 0.75."""
    return expit(logit(prevalence) + DISTANCE * (rng.normal(size=len(y)) + DISTANCE * y) - DISTANCE**2 / 2)


def test_slope_and_intercept_are_those_of_a_logistic_regression():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [37, 22])
    prob = draw(y, rng)
    fitted = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(prob)[:, np.newaxis], y)
    assert calibration_slope(y, prob).value == pytest.approx(fitted.coef_[0, 0], rel=1e-4)
    intercept = calibration_intercept(y, prob).value
    assert np.mean(expit(logit(prob) + intercept)) == pytest.approx(y.mean(), abs=1e-9)


def test_limits_are_where_the_likelihood_ratio_says():
    """Computed independently: the deviance at a limit, with the best intercept taken from a grid."""
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], [11, 8])
    prob = draw(y, rng)
    slope = calibration_slope(y, prob, confidence_level=0.9)

    def deviance(b):
        a = np.linspace(-8, 8, 20001)[:, np.newaxis] + b * logit(prob)
        return 2 * np.logaddexp(0, np.where(y == 1, -a, a)).sum(axis=1).min()

    for limit in (slope.low, slope.high):
        assert deviance(limit) - deviance(slope.value) == pytest.approx(1.7396**2, abs=1e-3)  # t, 17 degrees of freedom


def conditional_log_likelihood(slope, strata):
    """Return the log likelihood given the number of positives of each stratum, by enumerating all subsets."""
    total = 0.0
    for y, x in strata:
        sums = [x[list(subset)].sum() for subset in itertools.combinations(range(len(x)), int(y.sum()))]
        total += slope * x[y == 1].sum() - logsumexp(slope * np.array(sums))
    return total


def test_slope_within_folds_is_that_of_the_conditional_likelihood():
    rng = np.random.default_rng(0)
    fold, y = np.repeat([0, 1, 2], [9, 10, 8]), np.tile([0, 1, 0], 9)
    log_odds = rng.normal(size=27) + y + np.array([-3, 0, 2])[fold]
    strata = [(y[fold == name], log_odds[fold == name]) for name in range(3)]
    best = minimize_scalar(
        lambda slope: -conditional_log_likelihood(slope, strata),
        bounds=(-5, 5),
        method="bounded",
        options={"xatol": 1e-9},
    )
    slope = calibration_slope(y, expit(log_odds), fold=fold)
    assert slope.value == pytest.approx(best.x, abs=1e-6)
    for limit in (slope.low, slope.high):
        deviance = 2 * (-best.fun - conditional_log_likelihood(limit, strata))
        assert deviance == pytest.approx(t.ppf(0.975, 27 - 4) ** 2, rel=1e-6)
    # The pooled slope is that of the levels.
    assert calibration_slope(y, expit(log_odds)).value < 0.5 * slope.value
    # Repetitions of the same scores leave the slope, and nearly its limits, as they are.
    rows = np.tile(np.arange(27), 3)
    repeated = calibration_slope(
        y[rows], expit(log_odds[rows]), fold=fold[rows] + 10 * np.repeat(np.arange(3), 27), patient=rows
    )
    assert repeated[:3] == pytest.approx(slope[:3], rel=0.05)


def test_slopes_within_folds_have_limits_where_folds_separate_or_say_nothing():
    y, fold = np.array([0, 0, 1, 0, 1, 1, 1]), np.array([1, 1, 1, 2, 2, 2, 3])
    separated = calibration_slope(y, [0.1, 0.2, 0.3, 0.7, 0.8, 0.9, 0.5], fold=fold)
    assert separated.value == separated.high == np.inf
    constant = calibration_slope(y, np.array([0.1, 0.1, 0.1, 0.7, 0.7, 0.7, 0.5]), fold=fold)
    assert np.isnan(constant.value)
    apart = calibration_slope(y, np.full(7, 0.5), fold=np.arange(7))
    assert (apart.low, apart.high) == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("n_patients", "scale", "is_estimable"), [(19, 1, False), (59, 1, False), (400, 1, True), (59, 30, True)]
)
def test_a_slope_that_is_not_identified_says_so(n_patients, scale, is_estimable):
    rng = np.random.default_rng(0)
    y = (np.arange(n_patients) < 0.4 * n_patients).astype(int)
    slope = calibration_slope(y, expit(scale * logit(draw(y, rng))))
    assert slope.method.endswith(f"not estimable from {n_patients} patients") != is_estimable
    assert NOT_ESTIMABLE in slope.method or is_estimable


def test_overconfident_and_shifted_models_are_detected():
    rng = np.random.default_rng(0)
    y = (rng.random(3000) < 0.4).astype(int)
    prob = draw(y, rng)
    overconfident, shifted = expit(2 * logit(prob)), expit(logit(prob) - 1)
    assert calibration_slope(y, overconfident).value == pytest.approx(0.5, abs=0.05)
    assert calibration_intercept(y, shifted).value == pytest.approx(1, abs=0.12)
    assert calibration_slope(y, prob).low < 1 < calibration_slope(y, prob).high


def test_separated_and_constant_probabilities_have_limits():
    y = np.array([0, 0, 0, 1])
    separated = calibration_slope(y, [0.1, 0.2, 0.3, 0.9])
    assert separated.value == separated.high == np.inf
    assert np.isfinite(separated.low)
    reversed_ = calibration_slope(y, [0.9, 0.8, 0.7, 0.1])
    assert reversed_.value == reversed_.low == -np.inf
    tied = calibration_slope([0, 0, 1, 1], [0.1, 0.5, 0.5, 0.9])
    assert tied.value == tied.high == np.inf
    constant = calibration_slope(y, np.full(4, 0.3))
    assert np.isnan(constant.value)
    assert (constant.low, constant.high) == (-np.inf, np.inf)
    for prob in ([0, 0, 0, 1], [1, 1, 1, 0], [0, 0, 0, 0]):
        intercept = calibration_intercept(y, prob)
        assert intercept.low < intercept.value < intercept.high


@pytest.mark.parametrize(("n_patients", "n_draws"), [(19, 400), (59, 400)])
def test_intervals_cover(n_patients, n_draws):
    rng = np.random.default_rng(0)
    covered = {"intercept": [], "slope": []}
    for _ in range(n_draws):
        y = (rng.random(n_patients) < 0.4).astype(int)
        prob = draw(y, rng)
        intercept, slope = calibration_intercept(y, prob), calibration_slope(y, prob)
        covered["intercept"].append(intercept.low <= 0 <= intercept.high)
        covered["slope"].append(slope.low <= 1 <= slope.high)
    for name, inside in covered.items():
        assert 0.915 <= np.mean(inside) <= 0.985, name


def test_net_benefit_intervals_cover():
    rng = np.random.default_rng(0)
    thresholds = np.array([0.2, 0.35, 0.5, 0.65])
    for n_positive, n_negative in ((8, 11), (22, 37)):
        y = np.repeat([1, 0], [n_positive, n_negative])
        prevalence, odds = y.mean(), thresholds / (1 - thresholds)
        cut = (logit(thresholds) - logit(0.4) + DISTANCE**2 / 2) / DISTANCE
        truth = prevalence * ndtr(DISTANCE - cut) - (1 - prevalence) * odds * ndtr(-cut)
        curves = [decision_curve(y, draw(y, rng), thresholds=thresholds) for _ in range(400)]
        covered = np.mean([(curve["low"] <= truth) & (truth <= curve["high"]) for curve in curves], axis=0)
        assert (covered > 0.915).all()
        assert (covered < 0.995).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=2, max_size=25), st.integers(1, 19))
def test_net_benefit_equals_its_definition(pairs, twentieths):
    y, prob = np.array(pairs).T
    prob, threshold = prob / 20, twentieths / 20
    if len(np.unique(y)) < 2:
        return
    row = decision_curve(y, prob, thresholds=[threshold]).iloc[0]
    predicted = np.array([p >= twentieths for _, p in pairs])
    odds = twentieths / (20 - twentieths)
    expected = (np.sum(predicted & (y == 1)) - odds * np.sum(predicted & (y == 0))) / len(y)
    assert row["net_benefit"] == pytest.approx(expected)
    assert row["n_positive_predictions"] == predicted.sum()
    assert row["low"] <= row["net_benefit"] <= row["high"]
    assert row["low"] < row["high"]
    assert row["treat_all"] == pytest.approx(y.mean() - odds * (1 - y.mean()))


def test_groups_keep_equal_probabilities_together():
    y = np.tile([0, 1], 10)
    prob = np.repeat([0.1, 0.3, 0.5, 0.9], [9, 1, 5, 5])
    table = calibration_table(y, prob, n_bins=4)
    assert table["n"].sum() == 20
    assert table["predicted"].is_monotonic_increasing
    assert table["n"].iloc[0] >= 9
    assert (table["predicted"] * table["n"]).sum() == pytest.approx(prob.sum())
    assert (table["observed"] * table["n"]).sum() == pytest.approx(10)
    assert table["low"].between(0, table["observed"]).all()
    assert len(calibration_table(y, np.full(20, 0.4))) == 1
    spread = calibration_table(y, np.linspace(0.01, 0.99, 20), n_bins=4)
    assert spread["n"].tolist() == [5, 5, 5, 5]


def test_invalid_input_is_rejected():
    y = [0, 1, 1]
    with pytest.raises(InputError, match=r"probabilities must lie in \[0, 1\]; got 0.2 to 1.4"):
        calibration_slope(y, [0.2, 0.4, 1.4])
    with pytest.raises(InputError, match="thresholds must lie between 0 and 1"):
        decision_curve(y, [0.2, 0.4, 0.4], thresholds=[0.0, 0.5])
    with pytest.raises(
        InputError, match=r"n_bins must be a whole number from 1 to the number of patients \(3\); got 4"
    ):
        calibration_table(y, [0.2, 0.4, 0.4])
    with pytest.raises(InputError, match="exactly two classes; got 1"):
        calibration_intercept([1, 1, 1], [0.2, 0.4, 0.4])
