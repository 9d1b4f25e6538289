"""Tests and standardised differences between groups."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from score_draws import moderate

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import (
    compare_counts,
    compare_numbers,
    difference_of_counts,
    difference_of_numbers,
    freeman_halton_test,
    group_tests,
)

# Agresti A, Categorical data analysis (2002), p. 57, job satisfaction by income; Mehta CR, Patel NR, ACM Trans Math
# Softw 12, 154-161 (1986), table 6. Exact p-values as R's fisher.test documents them.
JOB_SATISFACTION = [[1, 2, 1, 0], [3, 3, 6, 1], [10, 10, 14, 9], [6, 7, 12, 11]]
MEHTA_PATEL = [
    [1, 2, 2, 1, 1, 0, 1],
    [2, 0, 0, 2, 3, 0, 0],
    [0, 1, 1, 1, 2, 7, 3],
    [1, 1, 2, 0, 0, 0, 1],
    [0, 1, 1, 1, 1, 0, 0],
]


@st.composite
def tables(draw, max_groups=3, max_levels=3, max_count=4):
    """Draw counts without an empty group or level."""
    shape = draw(st.integers(2, max_groups)), draw(st.integers(2, max_levels))
    size = math.prod(shape)
    counts = np.array(draw(st.lists(st.integers(0, max_count), min_size=size, max_size=size))).reshape(shape)
    assume(counts.any(axis=0).all())
    assume(counts.any(axis=1).all())
    return counts


samples = st.lists(st.integers(-20, 20), min_size=1, max_size=12).map(lambda values: np.array(values, dtype=float))


def exact_p(counts):
    """Return the Freeman-Halton p-value in integer arithmetic, by listing all tables with the same margins."""
    counts = np.asarray(counts)
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)

    def ways(table):
        return math.prod(
            math.factorial(int(total)) // math.prod(map(math.factorial, level))
            for total, level in zip(columns, table.T.tolist(), strict=True)
        )

    levels = [[c for c in product(*(range(r + 1) for r in rows)) if sum(c) == total] for total in columns]
    weights = [
        (ways(table), ways(table) <= ways(counts))
        for choice in product(*levels)
        if ((table := np.array(choice).T).sum(axis=1) == rows).all()
    ]
    return sum(weight for weight, counted in weights if counted) / sum(weight for weight, _ in weights)


# Known answers


@pytest.mark.parametrize("counts", [[[27, 21], [24, 6]], [[3, 1], [1, 3]], [[10, 2], [3, 15]], [[4, 44], [2, 28]]])
def test_fisher_equals_scipy(counts):
    test = freeman_halton_test(counts)
    assert test.test == "Fisher's exact"
    assert test.p_value == pytest.approx(stats.fisher_exact(counts).pvalue, rel=1e-9)


@pytest.mark.parametrize(("counts", "p_value"), [([[3, 1], [1, 3]], 0.4857), ([[2, 15], [10, 3]], 0.0005367)])
def test_fisher_of_published_examples(counts, p_value):
    """Fisher's tea tasting experiment, and his table of convictions of like-sex twins of criminals."""
    assert freeman_halton_test(counts).p_value == pytest.approx(p_value, rel=1e-3)


@pytest.mark.parametrize(("counts", "p_value"), [(JOB_SATISFACTION, 0.7827), (MEHTA_PATEL, 0.03929964)])
def test_freeman_halton_of_published_examples(counts, p_value):
    test = freeman_halton_test(counts, random_state=0)
    assert test.reason == "Monte Carlo, 100000 tables"
    assert test.p_value == pytest.approx(p_value, abs=4 * np.sqrt(p_value * (1 - p_value) / 100_000))


@pytest.mark.parametrize(
    ("counts", "p_value"),
    [([[1, 43, 4], [2, 26, 2]], 0.7311095625219736), ([[3, 54, 2], [0, 15, 4]], 0.04111983020916071)],
)
def test_freeman_halton_equals_exact_fractions(counts, p_value):
    """IDH status by outcome and by site; expected values from binomial coefficients in exact fractions."""
    assert freeman_halton_test(counts).p_value == pytest.approx(p_value, rel=1e-10)


@moderate
@given(tables(max_count=2))
def test_freeman_halton_equals_a_listing_of_all_tables(counts):
    assert freeman_halton_test(counts).p_value == pytest.approx(exact_p(counts), rel=1e-9)


def test_monte_carlo_agrees_with_enumeration(monkeypatch):
    counts = [[5, 4, 1], [1, 3, 6], [2, 2, 3]]
    exact = freeman_halton_test(counts)
    monkeypatch.setattr(group_tests, "MAX_TABLES", 1)
    sampled = freeman_halton_test(counts, n_resamples=20_000, random_state=0)
    assert (exact.reason, sampled.reason) == ("", "Monte Carlo, 20000 tables")
    assert sampled.p_value == pytest.approx(exact.p_value, abs=0.01)


def test_numbers_equal_scipy():
    rng = np.random.default_rng(0)
    groups = {name: rng.normal(shift, 1, 20) for name, shift in (("a", 0), ("b", 0.5), ("c", 1))}
    pair = {name: groups[name] for name in "ab"}
    for data, test, name, reference in (
        (pair, "t", "Student's t", stats.ttest_ind),
        (pair, "mann-whitney", "Mann-Whitney", stats.mannwhitneyu),
        (groups, "t", "ANOVA", stats.f_oneway),
        (groups, "mann-whitney", "Kruskal-Wallis", stats.kruskal),
    ):
        result = compare_numbers(data, test=test)
        assert result[:3] == (name, *map(float, reference(*data.values())))
        assert result.reason == "as specified"


def test_counts_equal_scipy_without_correction():
    counts = [[21, 27, 9], [16, 24, 12]]
    assert compare_counts(counts).p_value == stats.chi2_contingency(counts, correction=False).pvalue


def test_difference_of_two_levels_equals_the_binary_formula():
    p, q = 27 / 48, 24 / 30
    expected = abs(p - q) / np.sqrt((p * (1 - p) + q * (1 - q)) / 2)
    assert difference_of_counts([[27, 21], [24, 6]]) == pytest.approx(expected)


def test_difference_of_levels_equals_the_inverse_of_the_reduced_covariance():
    a, b = np.array([10, 25, 15]), np.array([20, 10, 10])
    p, q = (a / a.sum())[1:], (b / b.sum())[1:]
    covariance = (np.diag(p) - np.outer(p, p) + np.diag(q) - np.outer(q, q)) / 2
    expected = np.sqrt((p - q) @ np.linalg.inv(covariance) @ (p - q))
    assert difference_of_counts([a, b]) == pytest.approx(expected)


def test_difference_of_more_groups_is_the_largest():
    groups = [np.array([0.0, 1, 2]), np.array([1.0, 2, 3]), np.array([5.0, 6, 7])]
    assert difference_of_numbers(groups) == 5.0
    assert difference_of_counts([[9, 1], [5, 5], [1, 9]]) == difference_of_counts([[9, 1], [1, 9]])


# Selection of the test


def test_the_numeric_test_follows_normality():
    rng = np.random.default_rng(0)
    normal, skewed = rng.normal(size=30), rng.lognormal(sigma=1.5, size=30)
    assert compare_numbers({"PD": normal, "PsPD": normal + 1}).test == "Student's t"
    test = compare_numbers({"PD": normal, "PsPD": skewed})
    assert (test.test, test.reason) == ("Mann-Whitney", "Shapiro-Wilk rejects normality in PsPD (p < 0.001)")
    assert compare_numbers({"PD": normal, "PsPD": normal[:2]}).reason == "fewer than 3 values in PsPD"
    assert compare_numbers({"PD": normal, "PsPD": np.ones(5)}).reason == "all values are equal in PsPD"
    many = {"PD": np.arange(6000.0), "PsPD": np.arange(6000.0)}
    assert compare_numbers(many).reason == "more than 5000 values in each group"


def test_the_categorical_test_follows_the_smallest_expected_count():
    assert compare_counts([[5, 5], [5, 5]]).test == "Pearson chi-squared"
    assert compare_counts([[5, 5], [4, 5]]).test == "Fisher's exact"
    assert compare_counts([[5, 5, 1], [5, 5, 1]]).test == "Freeman-Halton"
    assert compare_counts([[5, 5], [4, 5]], test="chi-squared").reason == "as specified"


# Properties


@moderate
@given(tables(), st.data())
def test_order_of_groups_and_levels_changes_nothing(counts, orders):
    rows, columns = (orders.draw(st.permutations(range(size))) for size in counts.shape)
    other = counts[rows][:, columns]
    for test in ("chi-squared", "exact"):
        forward, backward = compare_counts(counts, test=test), compare_counts(other, test=test)
        assert forward.p_value == pytest.approx(backward.p_value)
        assert 0 < forward.p_value <= 1
    assert difference_of_counts(counts) == pytest.approx(difference_of_counts(other), abs=1e-6)


@moderate
@given(samples, samples, st.sampled_from([None, "t", "mann-whitney"]))
def test_swapping_numeric_groups_changes_nothing(a, b, test):
    forward, backward = compare_numbers({"a": a, "b": b}, test=test), compare_numbers({"b": b, "a": a}, test=test)
    assert forward.test == backward.test
    assert forward.p_value == pytest.approx(backward.p_value, nan_ok=True)
    assert difference_of_numbers([a, b]) == difference_of_numbers([b, a]) or min(len(a), len(b)) < 2


# Degenerate groups


def test_variables_without_a_test():
    nothing = np.array([])
    assert compare_numbers({"PD": np.ones(3), "PsPD": nothing}).reason == "no values in PsPD"
    assert compare_numbers({"PD": np.ones(3), "PsPD": np.ones(2)}).reason == "all values are equal"
    assert compare_numbers({"PD": np.ones(3), "PsPD": np.zeros(2)}, test="t").reason == "no variation within any group"
    assert compare_numbers({"PD": np.array([60.0]), "PsPD": np.array([40.0, 50.0])}).p_value == pytest.approx(2 / 3)
    assert compare_counts([[3, 0], [4, 0]]).reason == "only one level"
    assert compare_counts([[3, 2], [0, 0]])[0::3] == ("none", "a group has no values")
    assert freeman_halton_test([[3, 2], [0, 0]]).p_value == 1.0


def test_differences_without_variation():
    assert difference_of_numbers([np.ones(3), np.ones(2)]) == 0
    assert difference_of_numbers([np.ones(3), np.zeros(2)]) == np.inf
    assert np.isnan(difference_of_numbers([np.ones(3), np.zeros(1)]))
    assert difference_of_counts([[3, 0], [0, 4]]) == np.inf
    assert difference_of_counts([[3, 0], [4, 0]]) == 0
    assert np.isnan(difference_of_counts([[3, 1], [0, 0]]))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (
            lambda: compare_numbers({"a": np.ones(2), "b": np.ones(2)}, test="exact"),
            "'t' or 'mann-whitney'; got 'exact'",
        ),
        (lambda: compare_counts([[1, 2], [3, 4]], test="t"), "'chi-squared' or 'exact'; got 't'"),
        (lambda: compare_counts([1, 2]), r"n_groups x n_levels; got shape \(2,\)"),
        (lambda: compare_counts([["1", "2"]]), "n_groups x n_levels"),
        (lambda: freeman_halton_test([[1, -2], [3, 4]]), "non-negative whole numbers"),
        (lambda: freeman_halton_test([[1, 0.5], [3, 4]]), "non-negative whole numbers"),
    ],
)
def test_invalid_arguments_are_rejected(call, match):
    with pytest.raises(InputError, match=match):
        call()
