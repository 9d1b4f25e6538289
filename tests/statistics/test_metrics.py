"""Metrics and their intervals."""

import inspect

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from score_draws import from_counts, moderate, published_haemorrhages, scored
from sklearn.metrics import average_precision_score, roc_auc_score

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import average_precision, bootstrap_interval, brier_score, proportion, roc_auc
from sklearn_pspd.statistics.bootstrap import weighted_auc, weighted_average_precision
from sklearn_pspd.statistics.intervals import delong_variance, newcombe_interval, placements

# Negative, positive patients: the paper's external and training site, and a larger study.
SIZES = {19: (11, 8), 59: (37, 22), 200: (123, 77)}
AUCS = (0.5, 0.75, 0.9)


def simulate(n, auc, n_replicates, seed):
    """Yield scores from two normal distributions with equal variances."""
    n_negative, n_positive = SIZES[n]
    y_true = np.repeat([0, 1], [n_negative, n_positive])
    rng = np.random.default_rng(seed)
    shift = np.sqrt(2) * stats.norm.ppf(auc)
    for _ in range(n_replicates):
        yield y_true, rng.normal(size=n) + shift * y_true


def population_values(n, auc):
    """Return the average precision, and the Brier score of the true probability, in the population."""
    n_positive = SIZES[n][1]
    prevalence, shift = n_positive / n, np.sqrt(2) * stats.norm.ppf(auc)
    probabilities = (np.arange(20_000) + 0.5) / 20_000
    negative, positive = stats.norm.ppf(probabilities), stats.norm.ppf(probabilities) + shift
    true_rate, false_rate = prevalence * stats.norm.sf(positive - shift), (1 - prevalence) * stats.norm.sf(positive)
    errors = [(risk(part, shift, prevalence) - target) ** 2 for target, part in enumerate((negative, positive))]
    precision = true_rate / (true_rate + false_rate)
    return np.mean(precision), (1 - prevalence) * errors[0].mean() + prevalence * errors[1].mean()


def risk(score, shift, prevalence):
    return 1 / (1 + np.exp(-(shift * score - shift**2 / 2)) * (1 - prevalence) / prevalence)


def assert_covers(covered):
    """Check that 95 % intervals cover 92 to 98 %, within three standard errors of the simulation."""
    coverage, n = np.mean(covered), len(covered)
    assert 0.92 - 3 * np.sqrt(0.92 * 0.08 / n) < coverage < 0.98 + 3 * np.sqrt(0.98 * 0.02 / n)


# Coverage


@pytest.mark.parametrize("auc", AUCS)
@pytest.mark.parametrize(("n", "n_replicates"), [(19, 2000), (59, 1500), (200, 1000)])
def test_auc_interval_covers(n, n_replicates, auc):
    estimates = [roc_auc(y_true, score) for y_true, score in simulate(n, auc, n_replicates, seed=n)]
    assert_covers([estimate.low <= auc <= estimate.high for estimate in estimates])


@pytest.mark.parametrize("auc", AUCS)
@pytest.mark.parametrize(("n", "n_replicates"), [(19, 600), (59, 300), (200, 100)])
def test_average_precision_interval_covers(n, n_replicates, auc):
    truth = population_values(n, auc)[0]
    rng = np.random.RandomState(0)
    estimates = [
        average_precision(y_true, score, n_resamples=500, random_state=rng)
        for y_true, score in simulate(n, auc, n_replicates, seed=n)
    ]
    assert_covers([estimate.low <= truth <= estimate.high for estimate in estimates])


@pytest.mark.parametrize("auc", [0.75, 0.9])
@pytest.mark.parametrize(("n", "n_replicates"), [(19, 1500), (59, 1000), (200, 500)])
def test_brier_interval_covers(n, n_replicates, auc):
    truth, shift, prevalence = population_values(n, auc)[1], np.sqrt(2) * stats.norm.ppf(auc), SIZES[n][1] / n
    estimates = [
        brier_score(y_true, risk(score, shift, prevalence)) for y_true, score in simulate(n, auc, n_replicates, seed=n)
    ]
    assert_covers([estimate.low <= truth <= estimate.high for estimate in estimates])


def f1_estimates(y_true, y_pred, rng):
    return bootstrap_interval("f1", y_true, y_pred, n_resamples=500, small_sample=False, random_state=rng)


@pytest.mark.parametrize("auc", AUCS)
@pytest.mark.parametrize(("n", "n_replicates"), [(19, 600), (59, 300), (200, 150)])
def test_f1_interval_covers(n, n_replicates, auc):
    n_negative, n_positive = SIZES[n]
    shift = np.sqrt(2) * stats.norm.ppf(auc)
    recall = stats.norm.sf(-shift / 2)
    truth = 2 * n_positive * recall / (n_positive + n_positive * recall + n_negative * (1 - recall))
    rng = np.random.RandomState(0)
    estimates = [
        f1_estimates(y_true, (score >= shift / 2).astype(int), rng)
        for y_true, score in simulate(n, auc, n_replicates, seed=n)
    ]
    assert_covers([estimate.low <= truth <= estimate.high for estimate in estimates])


@pytest.mark.parametrize("n", [19, 59, 200])
@pytest.mark.parametrize("probability", [0.5, 0.75, 0.9])
def test_exact_coverage_of_the_wilson_interval(n, probability):
    intervals = [proportion(successes, n) for successes in range(n + 1)]
    covers = np.array([interval.low <= probability <= interval.high for interval in intervals])
    assert 0.92 < stats.binom.pmf(np.arange(n + 1), n, probability)[covers].sum() < 0.98


# Known answers


def test_auc_and_delong_variance_of_published_example():
    poor, grade, s100b = published_haemorrhages()
    assert roc_auc(poor, grade).value == pytest.approx(0.823678861788618, rel=1e-12)
    assert roc_auc(poor, s100b).value == pytest.approx(0.731368563685637, rel=1e-12)
    for score, variance in ((grade, 0.00146991470882363), (s100b, 0.00266868245717244)):
        above, below = placements(poor == 1, score.astype(float))
        assert delong_variance(above, below) == pytest.approx(variance, rel=1e-10)


def test_interval_of_the_papers_auc():
    """An AUC of 0.83 with 8 and 11 patients: about 0.57 to 0.95."""
    low, high = newcombe_interval(0.83, 11, 8, 1.959964)
    assert (low, high) == pytest.approx((0.57, 0.95), abs=0.02)


def test_newcombe_limits_solve_the_score_equation():
    m, n, auc, z = 8, 11, 0.8, 1.959964
    for limit in newcombe_interval(auc, m, n, z):
        size = (m + n) / 2 - 1
        variance = limit * (1 - limit) * (1 + size * (1 - limit) / (2 - limit) + size * limit / (1 + limit)) / (m * n)
        assert abs(auc - limit) == pytest.approx(z * np.sqrt(variance), rel=1e-9)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (6, 8, 0.40927543031016883, 0.9285207872478909),
        (8, 11, 0.4343546988238708, 0.9025394070997511),
        (0, 8, 0.0, 0.32440756488388034),
        (11, 11, 0.7411670330319682, 1.0),
        (1, 1, 0.2065493143772374, 1.0),
    ],
)
def test_wilson_equals_statsmodels(successes, n, low, high):
    estimate = proportion(successes, n)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-12)
    interval = stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert (estimate.low, estimate.high) == pytest.approx((interval.low, interval.high))


def test_bootstrap_equals_scipy_bca():
    rng = np.random.default_rng(2)
    y_true = np.repeat([0, 1], [16, 14])
    score = rng.normal(size=30) + y_true

    def auc(positive, negative, axis=-1):
        return (positive[..., :, np.newaxis] > negative[..., np.newaxis, :]).mean(axis=(-1, -2))

    # SciPy 1.15 has another name for the seed.
    seed = {"rng" if "rng" in inspect.signature(stats.bootstrap).parameters else "random_state": 0}
    groups = score[16:], score[:16]
    expected = stats.bootstrap(groups, auc, n_resamples=20_000, method="BCa", **seed).confidence_interval
    estimate = bootstrap_interval("roc_auc", y_true, score, n_resamples=20_000, random_state=0, small_sample=False)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=0.01)


# Properties


@moderate
@given(scored())
def test_values_equal_scikit_learn(data):
    y_true, score = data
    assert roc_auc(y_true, score).value == pytest.approx(roc_auc_score(y_true, score))
    estimate = average_precision(y_true, score, n_resamples=20, random_state=0)
    assert estimate.value == pytest.approx(average_precision_score(y_true, score))


@moderate
@given(scored())
def test_auc_interval_is_mirrored_by_the_sign_and_invariant_to_scale(data):
    y_true, score = data
    estimate, mirrored, transformed = (
        roc_auc(y_true, score),
        roc_auc(y_true, -score),
        roc_auc(y_true, np.exp(3 * score)),
    )
    assert estimate[:3] == pytest.approx([1 - mirrored.value, 1 - mirrored.high, 1 - mirrored.low], abs=1e-9)
    assert estimate[:3] == pytest.approx(transformed[:3])
    assert roc_auc(y_true, -score, pos_label=0)[:3] == pytest.approx(estimate[:3], abs=1e-9)


@moderate
@given(scored(min_class_size=2), st.integers(0, 2**32 - 1))
def test_weighted_metrics_equal_those_of_repeated_patients(data, seed):
    y_true, score = data
    weights = np.random.default_rng(seed).integers(0, 4, (3, len(y_true)))
    assume((weights @ y_true).min() > 0)
    assume((weights @ (1 - y_true)).min() > 0)
    for weighted_metric, reference in (
        (weighted_auc, roc_auc_score),
        (weighted_average_precision, average_precision_score),
    ):
        values = weighted_metric(y_true == 1, score)(weights.astype(float))
        assert values.tolist() == pytest.approx([reference(np.repeat(y_true, w), np.repeat(score, w)) for w in weights])


@moderate
@given(st.integers(0, 40), st.integers(1, 40), st.floats(0.01, 0.99))
def test_wilson_interval_contains_the_proportion_and_is_mirrored(successes, n, confidence_level):
    successes = min(successes, n)
    estimate = proportion(successes, n, confidence_level=confidence_level)
    mirrored = proportion(n - successes, n, confidence_level=confidence_level)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert (estimate.low, estimate.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-12)


# Few patients and degenerate scores


def test_perfect_auc_interval_reaches_one_and_narrows_with_patients():
    lows = [roc_auc(np.repeat([0, 1], n), np.arange(2 * n)).low for n in (1, 5, 20, 100)]
    assert roc_auc([0, 1], [0, 1]).high == 1.0
    assert np.all(np.diff(lows) > 0)
    assert lows[-1] > 0.95


def test_auc_method_is_named():
    assert roc_auc(np.repeat([0, 1], 5), [0, 1, 2, 3, 5, 4, 6, 7, 8, 9]).method == "DeLong, logit"
    assert roc_auc(np.repeat([0, 1], [5, 4]), [0, 1, 2, 3, 5, 4, 6, 7, 8]).method == "Newcombe 5"


def test_bootstrap_is_reproducible_and_takes_callables():
    y_true = np.repeat(["PD", "PsPD"], [11, 8])
    score = np.random.default_rng(0).random(19)
    known = bootstrap_interval("roc_auc", y_true, score, n_resamples=200, random_state=0, pos_label="PsPD")
    again = bootstrap_interval("roc_auc", y_true, score, n_resamples=200, random_state=0, pos_label="PsPD")
    own = bootstrap_interval(roc_auc_score, y_true, score, n_resamples=200, random_state=0, pos_label="PsPD")
    assert known == again
    assert own[:3] == pytest.approx(known[:3])


def test_bootstrap_scales_to_the_bounds_of_a_metric():
    y_true, y_pred = from_counts([[5, 0], [0, 5]])
    estimate = bootstrap_interval(
        lambda true, predicted: np.corrcoef(true, predicted)[0, 1], y_true, y_pred, bounds=(-1, 1), n_resamples=50
    )
    assert estimate.value == pytest.approx(1.0)
    assert -1 < estimate.low < 0.5


def test_bootstrap_excludes_undefined_resamples():
    y_true = np.repeat([0, 1], 6)
    y_pred = np.array([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1])
    estimate = bootstrap_interval("precision", y_true, y_pred, random_state=0)
    assert 0 <= estimate.low < 0.5 < estimate.high <= 1


@pytest.mark.parametrize("metric", ["accuracy", "specificity", "precision", "recall", "f1"])
def test_bootstrap_values_of_predicted_classes(metric):
    y_true, y_pred = from_counts([[6, 2], [3, 8]])
    expected = {"accuracy": 14 / 19, "specificity": 6 / 8, "precision": 8 / 10, "recall": 8 / 11, "f1": 16 / 21}
    estimate = bootstrap_interval(metric, y_true, y_pred, n_resamples=100, random_state=0)
    assert estimate.value == pytest.approx(expected[metric])


def test_bootstrap_of_an_undefined_metric():
    estimate = bootstrap_interval("precision", [0, 0, 1, 1], [0, 0, 0, 0])
    assert np.isnan(estimate.value)
    assert (estimate.low, estimate.high) == (0.0, 1.0)


# Errors


@pytest.mark.parametrize("function", [roc_auc, average_precision, brier_score])
@pytest.mark.parametrize(
    ("y_true", "score", "match"),
    [
        ([1, 1], [0.1, 0.2], "exactly two classes; got 1"),
        ([0, 1, 2], [0.1, 0.2, 0.3], "exactly two classes; got 3"),
        ([0, 1], [0.1, np.nan], "y_score has 1 of 2 entries missing"),
        ([0, 1], [0.1, np.inf], "y_score has 1 of 2 values that are not finite"),
        ([0, np.nan], [0.1, 0.2], "y_true has 1 of 2 entries missing"),
        ([0, 1, 1], [0.1, 0.2], r"y_true \(3,\), y_score \(2,\)"),
        ([[0, 1]], [[0.1, 0.2]], "one entry per patient"),
        ([], [], "one entry per patient"),
        (["PD", "PsPD"], [0.1, 0.2], r"pos_label=1 is neither of the classes \['PD', 'PsPD'\]"),
    ],
)
def test_invalid_scores_are_rejected(function, y_true, score, match):
    with pytest.raises(InputError, match=match):
        function(y_true, score)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: brier_score([0, 1], [0.1, 1.2]), r"probabilities must lie in \[0, 1\]"),
        (lambda: proportion(3, 2), "0 <= successes <= n; got 3 of 2"),
        (lambda: proportion(0.5, 2), "must be whole numbers"),
        (lambda: roc_auc([0, 1], [0, 1], confidence_level=95), "confidence_level must lie between 0 and 1"),
        (lambda: bootstrap_interval("mcc", [0, 1], [0, 1]), "one of .* got 'mcc'"),
        (
            lambda: bootstrap_interval("f1", [0, 1], [0, 1], n_resamples=0),
            "n_resamples must be a positive whole number",
        ),
        (
            lambda: bootstrap_interval(lambda *_: 2.0, [0, 1], [0, 1]),
            "value of the metric, 2, lies outside its bounds 0 to 1",
        ),
        (
            lambda: bootstrap_interval(lambda *_: 2.0, [0, 1], [0, 1], bounds=(1, 0)),
            "bounds must be the smallest and the largest value",
        ),
    ],
)
def test_invalid_arguments_are_rejected(call, match):
    with pytest.raises(InputError, match=match):
        call()
