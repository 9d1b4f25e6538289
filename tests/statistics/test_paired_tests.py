"""Paired tests of two models."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from score_draws import from_counts, moderate, published_haemorrhages, scored
from sklearn.metrics import roc_auc_score

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import corrected_resampled_ttest, delong_test, holm, mcnemar_test

# Known answers


def test_delong_test_of_published_example():
    poor, grade, s100b = published_haemorrhages()
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
    test = corrected_resampled_ttest(a, b, n_train=1e12, n_test=1, bounds=(-np.inf, np.inf))
    assert (test.statistic, test.p_value) == pytest.approx((plain.statistic, plain.pvalue))
    assert (test.low, test.high) == pytest.approx(tuple(plain.confidence_interval(0.95)))


def test_corrected_ttest_widens_by_the_overlap():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.1, 1, 10), rng.normal(0, 1, 10)
    plain, test = stats.ttest_rel(a, b), corrected_resampled_ttest(a, b, n_train=53, n_test=6)
    assert test.statistic == pytest.approx(plain.statistic * np.sqrt((1 / 10) / (1 / 10 + 6 / 53)))


# Properties


@moderate
@given(scored(min_class_size=2), st.data())
def test_delong_test_is_antisymmetric(data, other):
    y_true, score_a = data
    score_b = np.array(other.draw(st.permutations(score_a.tolist())))
    forward, backward = delong_test(y_true, score_a, score_b), delong_test(y_true, score_b, score_a)
    assert forward.difference == pytest.approx(-backward.difference)
    assert (forward.low, forward.high) == pytest.approx((-backward.high, -backward.low))
    assert forward.p_value == pytest.approx(backward.p_value)
    assert 0 <= forward.p_value <= 1
    assert -1 <= forward.low <= forward.high <= 1


@moderate
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_lies_between_unadjusted_and_bonferroni(p_values):
    p, adjusted = np.array(p_values), holm(p_values)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1, p * len(p)) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


# Degenerate scores


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
    test = corrected_resampled_ttest([0.5, 0.6, 0.7], [0.6, 0.7, 0.8], n_train=9, n_test=1)
    assert (test.statistic, test.p_value) == (-np.inf, 0.25)
    assert (test.low, test.high) == (-1, 1)


def test_the_interval_of_a_difference_of_accuracies_stays_within_bounds():
    test = corrected_resampled_ttest([0.2, 0.9], [0.9, 0.6], n_train=9, n_test=5)
    assert (test.low, test.high) == (-1, 1)
    assert corrected_resampled_ttest([2, 9], [9, 6], n_train=9, n_test=5, bounds=(-9, 9)).low < -1


def exchanged_differences(y, a, b):
    """Return the difference of AUCs for every exchange of the two models' ranks within patients."""
    ranks = np.stack([stats.rankdata(a), stats.rankdata(b)])
    found = []
    for picks in itertools.product([0, 1], repeat=len(y)):
        swapped = np.take_along_axis(ranks, np.stack([picks, 1 - np.array(picks)]), axis=0)
        found.append(roc_auc_score(y, swapped[0]) - roc_auc_score(y, swapped[1]))
    return np.array(found)


@pytest.mark.parametrize(("n_negative", "n_positive"), [(4, 5), (8, 2), (6, 1)])
def test_with_few_patients_the_p_value_is_that_of_all_exchanges(n_negative, n_positive):
    rng = np.random.default_rng(n_negative)
    y = np.repeat([0, 1], [n_negative, n_positive])
    a, b = rng.integers(0, 7, (2, len(y)))  # with ties
    differences = exchanged_differences(y, a + 3 * y, b)
    test = delong_test(y, a + 3 * y, b)
    assert test.difference == pytest.approx(differences[0])
    assert test.p_value == pytest.approx(np.mean(np.abs(differences) >= abs(differences[0]) - 1e-9))
    assert test.method == "exchange of models, paired"


def test_few_patients_cannot_give_an_absurd_p_value():
    """Of 8 and 2 patients, whom one model ranks perfectly and the other in reverse, DeLong's p-value is 2e-21."""
    y = np.repeat([0, 1], [8, 2])
    test = delong_test(y, np.arange(10), -np.arange(10))
    assert test.difference == 1
    assert test.p_value >= 2 / 2**10
    assert -1 <= test.low < 0.5
    corrected = delong_test(y, np.arange(10), -np.arange(10), variance_factor=2.25)
    assert abs(corrected.statistic) <= np.sqrt(10 / 2.25)
    many = delong_test(np.repeat([0, 1], [60, 9]), np.arange(69), -np.arange(69))
    assert 1e-5 < many.p_value < 1e-3


def test_delong_test_with_one_patient_in_a_class():
    test = delong_test([0, 0, 0, 0, 1], [1, 2, 3, 4, 5], [5, 4, 3, 2, 1])
    assert test.method == "exchange of models, paired"
    assert test.difference == 1
    assert -1 <= test.low < 0.5
    assert 0 < test.p_value < 1


def test_models_with_equal_ranks_have_an_interval():
    test = delong_test(np.repeat([0, 1], 20), np.arange(40), 2 * np.arange(40))
    assert (test.difference, test.p_value, test.method) == (0, 1, "Hanley-McNeil, unpaired")
    assert test.low < 0 < test.high


@pytest.mark.parametrize(
    ("only_a", "only_b", "p_value"),
    [(1, 1, 0.75), (2, 2, 1 - 0.5 * 6 / 16), (1, 7, 0.0390625), (0, 3, 0.125), (3, 0, 0.125)],
)
def test_mid_p_value_of_equal_and_unequal_counts(only_a, only_b, p_value):
    """Fagerland 2013: if the counts are equal, the mid-p-value is 1 minus half the probability of that count."""
    y_true = np.ones(only_a + only_b)
    pred_a = np.repeat([1, 0], [only_a, only_b])
    assert mcnemar_test(y_true, pred_a, 1 - pred_a, method="mid-p").p_value == pytest.approx(p_value)


# Errors


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (
            lambda: delong_test([0, 0, 1, 1], [1, 2, 3, 4], [1, 2, 3, 5], variance_factor=0),
            "variance_factor must be positive",
        ),
        (lambda: mcnemar_test([0, 1], [0, 1], [0, 1], method="chi2"), "got 'chi2'"),
        (lambda: mcnemar_test([0, 1], [0, 1], [0]), r"pred_b \(1,\)"),
        (lambda: corrected_resampled_ttest([1], [1], n_train=9, n_test=1), "at least 2 splits"),
        (lambda: corrected_resampled_ttest([1, np.nan], [1, 2], n_train=9, n_test=1), "exclude that split"),
        (lambda: corrected_resampled_ttest([1, 2], [1, 2], n_train=0, n_test=1), "must be positive; got 0 and 1"),
        (lambda: corrected_resampled_ttest([5, 9], [1, 2], n_train=9, n_test=1), "difference, 5.5, lies outside its"),
        (lambda: holm([0.5, 1.5]), r"in \[0, 1\]"),
        (lambda: holm([0.5, np.nan]), r"in \[0, 1\]"),
    ],
)
def test_invalid_arguments_are_rejected(call, match):
    with pytest.raises(InputError, match=match):
        call()
