"""Metrics, their intervals, and comparisons of models."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

from sklearn_pspd import metrics
from sklearn_pspd.metrics import (
    average_precision,
    bootstrap_interval,
    brier_score,
    classification_table,
    corrected_resampled_ttest,
    delong_test,
    fold_table,
    holm,
    mcnemar_test,
    proportion,
    roc_auc,
    score_table,
)

moderate = settings(max_examples=40, deadline=None)

# Negative, positive patients: the paper's external and training site, and a larger study.
SIZES = {19: (11, 8), 59: (37, 22), 200: (123, 77)}
AUCS = (0.5, 0.75, 0.9)

# Table 2 of the paper: true and called counts of each model as (called negative, called positive) of either class, with
# the printed precision, recall and F1 of PD, PsPD and their average.
TABLE_2 = {
    "model 1": ([[6, 2], [3, 8]], [[0.67, 0.75, 0.71], [0.80, 0.73, 0.76], [0.74, 0.74, 0.74]]),
    "model 2": ([[4, 4], [4, 7]], [[0.50, 0.50, 0.50], [0.64, 0.64, 0.64], [0.58, 0.58, 0.58]]),
    "model 3": ([[0, 8], [1, 10]], [[0.00, 0.00, 0.00], [0.56, 0.91, 0.69], [0.32, 0.53, 0.40]]),
}

# Turck N et al., Intensive Care Med 36, 107-115 (2010): WFNS grade -> S100B in 0.01 ug/l, by outcome. The example
# of Robin X et al., BMC Bioinformatics 12, 77 (2011); expected values as in that software's own tests.
S100B_GOOD = {
    1: "4 4 4 4 5 5 6 6 7 7 7 7 8 8 8 8 9 9 9 9 10 10 10 10 11 11 13 13 14 14 14 15 16 18 19 48 50",
    2: "4 7 8 8 9 9 10 10 10 11 11 13 14 15 15 15 16 17 19 43",
    3: "5 7 33",
    4: "16 17 28 32 34 38 45 47",
    5: "24 46 47 50",
}
S100B_POOR = {
    1: "7 8",
    2: "7 7 9 9 10 10 11 14 25 30 41 58",
    3: "13",
    4: "13 16 23 26 27 48 71 96",
    5: "3 12 22 32 33 35 44 44 49 52 56 70 71 74 77 82 86 207",
}


@pytest.fixture(scope="module")
def haemorrhage():
    rows = [
        (outcome, grade, int(value))
        for outcome, table in enumerate((S100B_GOOD, S100B_POOR))
        for grade, values in table.items()
        for value in values.split()
    ]
    return np.array(rows).T


@st.composite
def scored(draw, min_class_size=1, max_class_size=9):
    """Draw classes and scores with many ties, as integers that scale exactly to [0, 1]."""
    n_negative, n_positive = (draw(st.integers(min_class_size, max_class_size)) for _ in range(2))
    y_true = np.array(draw(st.permutations([0] * n_negative + [1] * n_positive)))
    levels = draw(st.integers(1, 8))
    score = draw(st.lists(st.integers(0, levels), min_size=len(y_true), max_size=len(y_true)))
    return y_true, np.array(score) / 8


def from_counts(counts):
    """Return true and predicted classes with the given confusion counts."""
    cells = np.asarray(counts).ravel()
    return np.repeat([0, 0, 1, 1], cells), np.repeat([0, 1, 0, 1], cells)


def simulate(n, auc, n_replicates, seed):
    """Yield scores of two normal distributions of equal spread."""
    n_negative, n_positive = SIZES[n]
    y_true = np.repeat([0, 1], [n_negative, n_positive])
    rng = np.random.default_rng(seed)
    shift = np.sqrt(2) * stats.norm.ppf(auc)
    for _ in range(n_replicates):
        yield y_true, rng.normal(size=n) + shift * y_true


def population_values(n, auc):
    """Return the average precision, and Brier score of the true probability, of an endless sample."""
    n_positive = SIZES[n][1]
    share, shift = n_positive / n, np.sqrt(2) * stats.norm.ppf(auc)
    shares = (np.arange(20_000) + 0.5) / 20_000
    negative, positive = stats.norm.ppf(shares), stats.norm.ppf(shares) + shift
    hits, alarms = share * stats.norm.sf(positive - shift), (1 - share) * stats.norm.sf(positive)
    errors = [(probability(part, shift, share) - target) ** 2 for target, part in enumerate((negative, positive))]
    return np.mean(hits / (hits + alarms)), (1 - share) * errors[0].mean() + share * errors[1].mean()


def probability(score, shift, share):
    return 1 / (1 + np.exp(-(shift * score - shift**2 / 2)) * (1 - share) / share)


def assert_covers(covered):
    """Check that the coverage of 95 % intervals is 92 to 98 %, give or take three standard errors of the simulation."""
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
    truth, shift, share = population_values(n, auc)[1], np.sqrt(2) * stats.norm.ppf(auc), SIZES[n][1] / n
    estimates = [
        brier_score(y_true, probability(score, shift, share))
        for y_true, score in simulate(n, auc, n_replicates, seed=n)
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
@pytest.mark.parametrize("share", [0.5, 0.75, 0.9])
def test_wilson_interval_covers_exactly_computed(n, share):
    intervals = [proportion(successes, n) for successes in range(n + 1)]
    covers = np.array([interval.low <= share <= interval.high for interval in intervals])
    assert 0.92 < stats.binom.pmf(np.arange(n + 1), n, share)[covers].sum() < 0.98


# Known answers


def test_auc_and_delong_variance_of_published_example(haemorrhage):
    poor, grade, s100b = haemorrhage
    assert roc_auc(poor, grade).value == pytest.approx(0.823678861788618, rel=1e-12)
    assert roc_auc(poor, s100b).value == pytest.approx(0.731368563685637, rel=1e-12)
    for score, variance in ((grade, 0.00146991470882363), (s100b, 0.00266868245717244)):
        placements = metrics._placements(poor == 1, score.astype(float))
        assert metrics._delong_variance(*placements) == pytest.approx(variance, rel=1e-10)


def test_delong_test_of_published_example(haemorrhage):
    poor, grade, s100b = haemorrhage
    test = delong_test(poor, grade, s100b)
    assert test.statistic == pytest.approx(2.20898359144091, rel=1e-10)
    assert test.p_value == pytest.approx(0.0271757822291882, rel=1e-10)
    assert (test.low, test.high) == pytest.approx((0.0104061769564846, 0.174214419249478), rel=1e-10)


def test_delong_test_equals_covariance_matrices():
    rng = np.random.default_rng(1)
    y_true = np.repeat([0, 1], [7, 5])
    score_a, score_b = rng.integers(0, 6, (2, 12)).astype(float)
    wins = [np.sign(s[7:, np.newaxis] - s[:7]) / 2 + 0.5 for s in (score_a, score_b)]
    covariance = np.cov([w.mean(axis=1) for w in wins]) / 5 + np.cov([w.mean(axis=0) for w in wins]) / 7
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert delong_test(y_true, score_a, score_b).statistic == pytest.approx((wins[0] - wins[1]).mean() / error)


def test_interval_of_the_papers_auc():
    """AUC 0.83 of 8 and 11 patients: about 0.57 to 0.95."""
    low, high = metrics._newcombe_interval(0.83, 11, 8, 1.959964)
    assert (low, high) == pytest.approx((0.57, 0.95), abs=0.02)


def test_newcombe_limits_solve_the_score_equation():
    m, n, auc, z = 8, 11, 0.8, 1.959964
    for limit in metrics._newcombe_interval(auc, m, n, z):
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


@pytest.mark.parametrize(
    ("counts", "exact", "chi2", "asymptotic"),
    [
        ([[30, 12], [4, 20]], 0.076812744140625, 4.0, 0.04550026389635857),
        ([[10, 3], [3, 2]], 1.0, 0.0, 1.0),
        ([[5, 9], [1, 4]], 0.021484375, 6.4, 0.01141203638600166),
    ],
)
def test_mcnemar_equals_statsmodels(counts, exact, chi2, asymptotic):
    wrong_a, wrong_b = from_counts(counts)
    y_true = np.zeros(len(wrong_a))
    assert mcnemar_test(y_true, wrong_a, wrong_b).p_value == pytest.approx(exact)
    test = mcnemar_test(y_true, wrong_a, wrong_b, method="asymptotic")
    assert (test.statistic, test.p_value) == pytest.approx((chi2, asymptotic))
    (_, only_a), (only_b, _) = counts
    assert test.difference == pytest.approx((only_a - only_b) / len(y_true))
    assert test.low < test.difference < test.high


def test_mcnemar_mid_p_of_published_example():
    """Fagerland 2013, airway hyper-responsiveness before and after transplantation: 1 against 7, mid-p 0.0391."""
    y_pred = from_counts([[1, 1], [7, 12]])
    test = mcnemar_test(np.ones(21), *y_pred, method="mid-p")
    assert round(test.p_value, 4) == 0.0391
    assert round(mcnemar_test(np.ones(21), *y_pred).p_value, 4) == 0.0703
    assert round(mcnemar_test(np.ones(21), *y_pred, method="asymptotic").p_value, 4) == 0.0339


def test_bonett_price_interval_of_published_example():
    """Fagerland 2014 prints the interval of the same data as -0.508 to -0.026, for the difference before - after."""
    before, after = from_counts([[12, 7], [1, 1]])
    test = mcnemar_test(np.ones(21), before, after)
    assert test.difference == pytest.approx(-6 / 21)
    assert sorted(np.abs([test.low, test.high])) == pytest.approx([0.013, 0.508], abs=0.02)


def test_holm_equals_statsmodels():
    adjusted = holm([0.001, 0.04, 0.03, 0.005, 0.2, 0.011])
    assert adjusted.tolist() == pytest.approx([0.006, 0.09, 0.09, 0.025, 0.2, 0.044])


def test_corrected_ttest_is_the_plain_one_without_overlap():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.1, 1, 10), rng.normal(0, 1, 10)
    plain = stats.ttest_rel(a, b)
    test = corrected_resampled_ttest(a, b, n_train=1e12, n_test=1)
    assert (test.statistic, test.p_value) == pytest.approx((plain.statistic, plain.pvalue))
    assert (test.low, test.high) == pytest.approx(tuple(plain.confidence_interval(0.95)))


def test_corrected_ttest_widens_by_the_overlap():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.1, 1, 10), rng.normal(0, 1, 10)
    plain, test = stats.ttest_rel(a, b), corrected_resampled_ttest(a, b, n_train=53, n_test=6)
    assert test.statistic == pytest.approx(plain.statistic * np.sqrt((1 / 10) / (1 / 10 + 6 / 53)))


def test_bootstrap_equals_scipy_bca():
    rng = np.random.default_rng(2)
    y_true = np.repeat([0, 1], [16, 14])
    score = rng.normal(size=30) + y_true

    def auc(positive, negative, axis=-1):
        return (positive[..., :, np.newaxis] > negative[..., np.newaxis, :]).mean(axis=(-1, -2))

    peer = stats.bootstrap((score[16:], score[:16]), auc, n_resamples=20_000, method="BCa", rng=0).confidence_interval
    estimate = bootstrap_interval("roc_auc", y_true, score, n_resamples=20_000, random_state=0, small_sample=False)
    assert (estimate.low, estimate.high) == pytest.approx((peer.low, peer.high), abs=0.01)


# Table 2


@pytest.mark.parametrize("model", TABLE_2)
def test_classification_table_reproduces_table_2(model):
    counts, printed = TABLE_2[model]
    table = classification_table(*from_counts(counts), zero_division=0, random_state=0)
    assert table[["precision", "recall", "f1"]].round(2).to_numpy().tolist() == printed
    assert table["class"].tolist() == ["PD", "PsPD", "average"]
    assert table["support"].tolist() == [8, 11, 19]


@pytest.mark.parametrize("model", TABLE_2)
def test_classification_table_intervals_hold_their_values(model):
    table = classification_table(*from_counts(TABLE_2[model][0]), zero_division=0, random_state=0)
    for metric in ("precision", "recall", "f1"):
        assert (table[f"{metric}_low"] <= table[metric]).all()
        assert (table[metric] <= table[f"{metric}_high"]).all()
        assert table[[f"{metric}_low", f"{metric}_high"]].stack().between(0, 1).all()


@pytest.mark.parametrize("zero_division", [0.0, 1.0, np.nan])
def test_classification_table_equals_scikit_learn(zero_division):
    y_true, y_pred = from_counts(TABLE_2["model 3"][0])
    y_pred[:] = 1
    table = classification_table(y_true, y_pred, zero_division=zero_division, random_state=0)
    average = precision_recall_fscore_support(y_true, y_pred, average="weighted", zero_division=zero_division)
    assert table.loc[2, ["precision", "recall", "f1"]].tolist() == pytest.approx(list(average[:3]))
    assert table.loc[0, "precision"] == pytest.approx(zero_division, nan_ok=True)
    assert table.loc[0, ["precision_low", "precision_high"]].tolist() == [0, 1]


def test_classification_table_takes_class_names():
    y_true, y_pred = (np.array(["PD", "PsPD"])[codes] for codes in from_counts(TABLE_2["model 1"][0]))
    table = classification_table(y_true, y_pred, pos_label="PsPD", random_state=0)
    assert table["recall"].round(2).tolist() == [0.75, 0.73, 0.74]


# Score and fold tables


def test_score_table_rows():
    table = score_table([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], threshold=0.5, random_state=0)
    assert table.columns.tolist() == ["metric", "class", "value", "low", "high", "method"]
    values = {(row.metric, row[2]): row.value for row in table.itertuples()}
    assert values == pytest.approx(
        {
            ("auc", ""): 0.75,
            ("average_precision", ""): 5 / 6,
            ("brier", ""): 0.158125,
            ("accuracy", ""): 0.75,
            ("specificity", ""): 1.0,
            ("precision", "PD"): 2 / 3,
            ("recall", "PD"): 1.0,
            ("f1", "PD"): 0.8,
            ("precision", "PsPD"): 1.0,
            ("recall", "PsPD"): 0.5,
            ("f1", "PsPD"): 2 / 3,
        }
    )


def test_score_table_threshold_per_patient_includes_equality():
    table = score_table([0, 1, 0, 1], [0.2, 0.2, 0.6, 0.6], threshold=[0.3, 0.2, 0.7, 0.6], random_state=0)
    assert table.set_index("metric").loc["accuracy", "value"] == 1.0


def test_score_table_without_calls_of_a_class():
    table = score_table([0, 1, 0, 1], [0.2, 0.2, 0.6, 0.6], threshold=0.1, random_state=0)
    precision = table[(table["metric"] == "precision") & (table["class"] == "PD")].iloc[0]
    assert np.isnan(precision["value"])
    assert (precision["low"], precision["high"]) == (0, 1)


def test_fold_table_pools_all_folds():
    rng = np.random.default_rng(0)
    y_true, fold = np.arange(30) % 2, np.arange(30) % 3
    score = rng.random(30)
    table = fold_table(y_true, score, fold).set_index("fold")
    of_folds = [average_precision_score(y_true[fold == k], score[fold == k]) for k in range(3)]
    assert table.loc[[0, 1, 2], "average_precision"].tolist() == pytest.approx(of_folds)
    assert table.loc["mean", "average_precision"] == pytest.approx(np.mean(of_folds))
    assert table.loc["pooled", "average_precision"] == pytest.approx(average_precision_score(y_true, score))


def test_fold_table_leaves_one_class_folds_out_of_the_mean():
    table = fold_table([0, 1, 0, 0], [0.1, 0.4, 0.5, 0.8], ["a", "a", "b", "b"]).set_index("fold")
    assert np.isnan(table.loc["b", "auc"])
    assert table.loc["mean", "auc"] == 1.0


# Properties


@moderate
@given(scored())
def test_values_equal_scikit_learn(data):
    y_true, score = data
    assert roc_auc(y_true, score).value == pytest.approx(roc_auc_score(y_true, score))
    estimate = average_precision(y_true, score, n_resamples=20, random_state=0)
    assert estimate.value == pytest.approx(average_precision_score(y_true, score))


@moderate
@given(scored(), st.sampled_from([0.5, 0.8, 0.95, 0.999]))
def test_intervals_are_defined_and_in_range(data, confidence_level):
    y_true, score = data
    table = score_table(y_true, score, threshold=0.5, confidence_level=confidence_level, n_resamples=50, random_state=0)
    assert table[["low", "high"]].stack().between(0, 1).all()
    defined = table[table["value"].notna()]
    assert (defined["low"] <= defined["value"]).all()
    assert (defined["value"] <= defined["high"]).all()
    assert (defined["low"] < defined["high"]).all()


@moderate
@given(scored())
def test_auc_interval_mirrors_and_ignores_the_scale(data):
    y_true, score = data
    estimate, mirrored, stretched = roc_auc(y_true, score), roc_auc(y_true, -score), roc_auc(y_true, np.exp(3 * score))
    assert estimate[:3] == pytest.approx([1 - mirrored.value, 1 - mirrored.high, 1 - mirrored.low], abs=1e-9)
    assert estimate[:3] == pytest.approx(stretched[:3])
    assert roc_auc(y_true, -score, pos_label=0)[:3] == pytest.approx(estimate[:3], abs=1e-9)


@moderate
@given(scored(min_class_size=2), st.integers(0, 2**32 - 1))
def test_weighted_metrics_equal_those_of_repeated_patients(data, seed):
    y_true, score = data
    weights = np.random.default_rng(seed).integers(0, 4, (3, len(y_true)))
    assume((weights @ y_true).min() > 0)
    assume((weights @ (1 - y_true)).min() > 0)
    for kernel, peer in ((metrics._auc, roc_auc_score), (metrics._average_precision, average_precision_score)):
        values = kernel(y_true == 1, score)(weights.astype(float))
        assert values.tolist() == pytest.approx([peer(np.repeat(y_true, w), np.repeat(score, w)) for w in weights])


@moderate
@given(scored(min_class_size=2), st.data())
def test_delong_test_is_antisymmetric(data, other):
    y_true, score_a = data
    score_b = np.array(other.draw(st.permutations(score_a.tolist())))
    there, back = delong_test(y_true, score_a, score_b), delong_test(y_true, score_b, score_a)
    assert there.difference == pytest.approx(-back.difference)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.p_value == pytest.approx(back.p_value)
    assert 0 <= there.p_value <= 1
    assert -1 <= there.low <= there.high <= 1


@moderate
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_lies_between_plain_and_bonferroni(p_values):
    p, adjusted = np.array(p_values), holm(p_values)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1, p * len(p)) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


@moderate
@given(st.integers(0, 40), st.integers(1, 40), st.floats(0.01, 0.99))
def test_wilson_holds_the_share_and_mirrors(successes, n, confidence_level):
    successes = min(successes, n)
    estimate = proportion(successes, n, confidence_level=confidence_level)
    mirrored = proportion(n - successes, n, confidence_level=confidence_level)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert (estimate.low, estimate.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-12)


# Few patients and degenerate scores


@pytest.mark.parametrize(
    ("y_true", "score"),
    [
        pytest.param([0, 0, 0, 0, 1], [0.1, 0.2, 0.6, 0.4, 0.5], id="one positive case"),
        pytest.param([0, 1], [0.1, 0.9], id="one case of each class"),
        pytest.param([0] * 6 + [1] * 6, np.arange(12) / 12, id="AUC 1"),
        pytest.param([1] * 6 + [0] * 6, np.arange(12) / 12, id="AUC 0"),
        pytest.param([0] * 6 + [1] * 6, [0.5] * 12, id="constant scores"),
        pytest.param([0] * 6 + [1] * 6, [0.0] * 6 + [1.0] * 6, id="perfect probabilities"),
        pytest.param([0] * 6 + [1] * 6, [1.0] * 6 + [0.0] * 6, id="inverted probabilities"),
    ],
)
def test_degenerate_scores_have_wide_intervals(y_true, score):
    table = score_table(y_true, score, threshold=0.5, random_state=0)
    assert table[["low", "high"]].stack().between(0, 1).all()
    assert (table["high"] - table["low"] > 0.1).all()


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
        lambda true, called: np.corrcoef(true, called)[0, 1], y_true, y_pred, bounds=(-1, 1), n_resamples=50
    )
    assert estimate.value == pytest.approx(1.0)
    assert -1 < estimate.low < 0.5


def test_bootstrap_leaves_undefined_resamples_out():
    y_true = np.repeat([0, 1], 6)
    y_pred = np.array([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1])
    estimate = bootstrap_interval("precision", y_true, y_pred, random_state=0)
    assert 0 <= estimate.low < 0.5 < estimate.high <= 1


@pytest.mark.parametrize("metric", ["accuracy", "specificity", "precision", "recall", "f1"])
def test_bootstrap_values_of_called_classes(metric):
    y_true, y_pred = from_counts([[6, 2], [3, 8]])
    expected = {"accuracy": 14 / 19, "specificity": 6 / 8, "precision": 8 / 10, "recall": 8 / 11, "f1": 16 / 21}
    estimate = bootstrap_interval(metric, y_true, y_pred, n_resamples=100, random_state=0)
    assert estimate.value == pytest.approx(expected[metric])


def test_bootstrap_of_an_undefined_metric():
    estimate = bootstrap_interval("precision", [0, 0, 1, 1], [0, 0, 0, 0])
    assert np.isnan(estimate.value)
    assert (estimate.low, estimate.high) == (0.0, 1.0)


def test_delong_test_without_difference_or_variance():
    y_true = np.repeat([0, 1], 6)
    same = delong_test(y_true, np.arange(12), np.arange(12))
    assert (same.difference, same.p_value) == (0.0, 1.0)
    perfect = delong_test(y_true, np.arange(12), np.zeros(12))
    assert perfect.difference == 0.5
    assert 0 < perfect.p_value < 0.05


def test_mcnemar_without_disagreement():
    for method in ("exact", "mid-p", "asymptotic"):
        test = mcnemar_test([0, 1, 1], [0, 1, 0], [0, 1, 0], method=method)
        assert (test.difference, test.p_value) == (0.0, 1.0)
        assert test.low < 0 < test.high


def test_corrected_ttest_of_equal_differences():
    assert corrected_resampled_ttest([0.5, 0.6], [0.5, 0.6], n_train=9, n_test=1).p_value == 1.0
    test = corrected_resampled_ttest([0.5, 0.6], [0.6, 0.7], n_train=9, n_test=1)
    assert (test.statistic, test.p_value) == (-np.inf, 0.0)


# Refusals


@pytest.mark.parametrize("function", [roc_auc, average_precision, brier_score])
@pytest.mark.parametrize(
    ("y_true", "score", "match"),
    [
        ([1, 1], [0.1, 0.2], "two classes, both at least once; got 1"),
        ([0, 1, 2], [0.1, 0.2, 0.3], "two classes, both at least once; got 3"),
        ([0, 1], [0.1, np.nan], r"y_score misses 1 of 2 entries"),
        ([0, 1], [0.1, np.inf], "not finite"),
        ([0, np.nan], [0.1, 0.2], "y_true misses 1 of 2"),
        ([0, 1, 1], [0.1, 0.2], r"y_true \(3,\), y_score \(2,\)"),
        ([[0, 1]], [[0.1, 0.2]], "one entry a patient"),
        ([], [], "one entry a patient"),
        (["PD", "PsPD"], [0.1, 0.2], r"pos_label=1 is neither of the classes \['PD', 'PsPD'\]"),
    ],
)
def test_bad_scores_are_refused(function, y_true, score, match):
    with pytest.raises(ValueError, match=match):
        function(y_true, score)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: brier_score([0, 1], [0.1, 1.2]), r"probabilities lie in \[0, 1\]"),
        (lambda: proportion(3, 2), "0 <= successes <= n; got 3 of 2"),
        (lambda: proportion(0.5, 2), "whole numbers"),
        (lambda: roc_auc([0, 1], [0, 1], confidence_level=95), "confidence_level lies between 0 and 1"),
        (lambda: score_table([0, 1], [0, 1], threshold=[0.5] * 3), "one number or one a patient"),
        (lambda: score_table([0, 1], [0, 1], threshold=np.nan), "threshold is not finite"),
        (lambda: classification_table([0, 1], [0, 2]), r"y_pred holds \[2\]"),
        (lambda: fold_table([0, 1], [0, 1], [1]), "fold has one entry a patient"),
        (lambda: bootstrap_interval("mcc", [0, 1], [0, 1]), "one of .* got 'mcc'"),
        (lambda: bootstrap_interval("f1", [0, 1], [0, 1], n_resamples=0), "n_resamples is a positive whole number"),
        (lambda: bootstrap_interval(lambda *_: 2.0, [0, 1], [0, 1]), "outside its bounds 0 to 1"),
        (lambda: bootstrap_interval(lambda *_: 2.0, [0, 1], [0, 1], bounds=(1, 0)), "bounds are"),
        (lambda: delong_test([0, 0, 1], [1, 2, 3], [1, 2, 3]), "two cases of each class; got 1 positive"),
        (lambda: mcnemar_test([0, 1], [0, 1], [0, 1], method="chi2"), "got 'chi2'"),
        (lambda: mcnemar_test([0, 1], [0, 1], [0]), r"pred_b \(1,\)"),
        (lambda: corrected_resampled_ttest([1], [1], n_train=9, n_test=1), "at least 2 splits"),
        (lambda: corrected_resampled_ttest([1, np.nan], [1, 2], n_train=9, n_test=1), "leave that split out"),
        (lambda: corrected_resampled_ttest([1, 2], [1, 2], n_train=0, n_test=1), "positive; got 0 and 1"),
        (lambda: holm([0.5, 1.5]), r"in \[0, 1\]"),
        (lambda: holm([0.5, np.nan]), r"in \[0, 1\]"),
    ],
)
def test_bad_arguments_are_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()
