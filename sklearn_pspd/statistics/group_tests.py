"""Univariable tests and standardised differences between groups of patients.

The t-test, the rank tests and the chi-squared test are SciPy's. The exact test of tables larger than 2 x 2 is
implemented here, because SciPy's is a Monte Carlo test by default and is absent before version 1.15. The package
`tableone` applies Yates' correction to chi-squared, has no exact test beyond 2 x 2 and does not report why it selected
a test.
"""

import warnings
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import gammaln
from sklearn.utils import check_random_state

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.formatting import format_p

NUMERIC_TESTS = ("t", "mann-whitney")
CATEGORY_TESTS = ("chi-squared", "exact")

# Cochran's rule: with a smaller expected count, the chi-squared approximation is too inaccurate.
MIN_EXPECTED_COUNT = 5

# Shapiro-Wilk test: significance level, and group sizes for which it is defined.
NORMALITY_LEVEL = 0.05
SHAPIRO_SIZES = (3, 5000)

# Enumerating more tables than this takes seconds.
MAX_TABLES = 1_000_000

# Tables whose log probabilities differ by less than this count as equally probable.
TIE = 1e-7


class GroupTest(NamedTuple):
    """A two-sided test of one variable, and why the test was selected.

    Attributes
    ----------
    test : str
        Name of the test.
    statistic : float
        Test statistic; NaN without a test.
    p_value : float
        P-value in [0, 1]; NaN without a test.
    reason : str
        Why the test was selected.
    """

    test: str
    statistic: float
    p_value: float
    reason: str


def compare_numbers(groups, *, test=None):
    """Test whether a numeric variable differs between groups.

    Parameters
    ----------
    groups : dict of str to ndarray of shape (n_patients_in_group,)
        Finite values of at least two groups.
    test : {"t", "mann-whitney"} or None, default=None
        Student's t-test (analysis of variance for more than two groups) or the Mann-Whitney test (Kruskal-Wallis).
        None selects the t-test unless the Shapiro-Wilk test [1]_ rejects normality in a group.

    Returns
    -------
    GroupTest
        Test "none" if a group is empty or all values are equal.

    Raises
    ------
    InputError
        If the test is unknown.

    Notes
    -----
    The paper uses Student's t-test throughout [2]_; selecting the test by normality is our choice. A test selected from
    the data keeps its significance level only approximately; for a confirmatory analysis, specify the test in advance.

    References
    ----------
    .. [1] Shapiro SS, Wilk MB. An analysis of variance test for normality. Biometrika 52, 591-611 (1965).
    .. [2] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.statistics import compare_numbers
    >>> test = compare_numbers({"PD": np.array([110.0, 124, 130, 1251]), "PsPD": np.array([26.0, 60, 82, 90])})
    >>> test.test, round(test.p_value, 3), test.reason
    ('Mann-Whitney', 0.029, 'Shapiro-Wilk rejects normality in PD (p = 0.002)')
    """
    if test not in (None, *NUMERIC_TESTS):
        raise InputError(
            f"the test of a numeric variable must be {' or '.join(map(repr, NUMERIC_TESTS))}; got {test!r}"
        )
    # Groups without a test.
    samples = [np.asarray(values, dtype=np.float64) for values in groups.values()]
    empty = [name for name, values in groups.items() if len(values) == 0]
    if empty:
        return _no_test(f"no values in {', '.join(empty)}")
    if _is_constant(np.concatenate(samples)):
        return _no_test("all values are equal")
    # Choice of the test.
    chosen, reason = (test, "as specified") if test else _choose_numeric_test(groups)
    if chosen == "t":
        if all(_is_constant(values) for values in samples):
            return _no_test("no variation within any group")
        name, result = ("Student's t", stats.ttest_ind) if len(samples) == 2 else ("ANOVA", stats.f_oneway)
    else:
        name, result = ("Mann-Whitney", stats.mannwhitneyu) if len(samples) == 2 else ("Kruskal-Wallis", stats.kruskal)
    # Result of the test.
    with warnings.catch_warnings():
        # SciPy warns if one group is constant, although the pooled variance of the test is not zero.
        warnings.filterwarnings("ignore", "Precision loss occurred in moment calculation", RuntimeWarning)
        statistic, p_value = result(*samples)
    return GroupTest(name, float(statistic), float(p_value), reason)


def compare_counts(counts, *, test=None, n_resamples=100_000, random_state=None):
    """Test whether the distribution of a categorical variable differs between groups.

    Parameters
    ----------
    counts : array-like of int of shape (n_groups, n_levels)
        Number of patients by group and level.
    test : {"chi-squared", "exact"} or None, default=None
        Pearson's chi-squared test [1]_ without continuity correction, or :func:`freeman_halton_test`. None selects
        chi-squared unless an expected count is below 5 [2]_.
    n_resamples : int, default=100000
        Number of random tables, if there are too many tables to enumerate.
    random_state : int, RandomState instance or None, default=None
        Seed of the random tables.

    Returns
    -------
    GroupTest
        Test "none" if a group has no patients or there is only one level.

    Raises
    ------
    InputError
        If the test is unknown, or counts are not non-negative whole numbers.

    References
    ----------
    .. [1] Pearson K. Philos Mag 50, 157-175 (1900).
    .. [2] Cochran WG. Some methods for strengthening the common chi-squared tests. Biometrics 10, 417-451 (1954).

    Examples
    --------
    Sex by outcome in the paper:

    >>> from sklearn_pspd.statistics import compare_counts
    >>> test = compare_counts([[21, 27], [6, 24]])
    >>> test.test, round(test.p_value, 3), test.reason
    ('Pearson chi-squared', 0.032, 'smallest expected count 10.4 (at least 5)')
    """
    if test not in (None, *CATEGORY_TESTS):
        raise InputError(
            f"the test of a categorical variable must be {' or '.join(map(repr, CATEGORY_TESTS))}; got {test!r}"
        )
    counts = _check_counts(counts)
    if not counts.sum(axis=1).all():
        return _no_test("a group has no values")
    if counts.shape[1] < 2:
        return _no_test("only one level")
    smallest = stats.contingency.expected_freq(counts).min()
    is_sparse = smallest < MIN_EXPECTED_COUNT
    reason = f"smallest expected count {smallest:.1f} ({'below' if is_sparse else 'at least'} {MIN_EXPECTED_COUNT})"
    reason = "as specified" if test else reason
    if test == "exact" or (test is None and is_sparse):
        exact = freeman_halton_test(counts, n_resamples=n_resamples, random_state=random_state)
        return exact._replace(reason="; ".join(filter(None, [reason, exact.reason])))
    statistic, p_value, _, _ = stats.chi2_contingency(counts, correction=False)
    return GroupTest("Pearson chi-squared", float(statistic), float(p_value), reason)


def freeman_halton_test(counts, *, n_resamples=100_000, random_state=None):
    """Test independence exactly: Fisher's test of 2 x 2 tables and Freeman and Halton's extension to larger tables.

    Parameters
    ----------
    counts : array-like of int of shape (n_groups, n_levels)
        Number of patients by group and level.
    n_resamples : int, default=100000
        Number of random tables with the same margins, used if there are more than a million tables to enumerate.
    random_state : int, RandomState instance or None, default=None
        Seed of the random tables.

    Returns
    -------
    GroupTest
        Test "Fisher's exact" or "Freeman-Halton"; the statistic is the probability of the observed table. The reason is
        empty or, for a Monte Carlo p-value, states the number of random tables.

    Raises
    ------
    InputError
        If counts are not non-negative whole numbers.

    Notes
    -----
    The p-value is the total probability, given the margins, of all tables that are at most as probable as the observed
    table [1]_.

    References
    ----------
    .. [1] Freeman GH, Halton JH. Note on an exact treatment of contingency, goodness of fit and other problems of
       significance. Biometrika 38, 141-149 (1951).

    Examples
    --------
    IDH status (mutated, wild type, unknown) by outcome in the paper:

    >>> from sklearn_pspd.statistics import freeman_halton_test
    >>> round(freeman_halton_test([[1, 43, 4], [2, 26, 2]]).p_value, 4)
    0.7311
    """
    counts = _check_counts(counts)
    counts = counts[counts.any(axis=1)]
    name = "Fisher's exact" if counts.shape == (2, 2) else "Freeman-Halton"
    if min(counts.shape) < 2:
        return GroupTest(name, 1.0, 1.0, "")
    # Log probability of the observed table, given the margins.
    constant = gammaln(counts.sum(axis=0) + 1).sum() + gammaln(counts.sum(axis=1) + 1).sum() - gammaln(counts.sum() + 1)
    observed = constant - gammaln(counts + 1).sum()
    # Total probability of the tables that are at most as probable: all tables, or random ones if there are too many.
    log_weights = _enumerate_tables(counts)
    if log_weights is not None:
        log_p = constant + log_weights
        p_value, reason = np.exp(log_p[log_p <= observed + TIE]).sum(), ""
    else:
        rng = check_random_state(random_state)
        tables = stats.random_table(counts.sum(axis=1), counts.sum(axis=0), seed=rng).rvs(n_resamples)
        log_p = constant - gammaln(tables + 1).sum(axis=(1, 2))
        p_value = (1 + np.count_nonzero(log_p <= observed + TIE)) / (1 + n_resamples)
        reason = f"Monte Carlo, {n_resamples} tables"
    return GroupTest(name, float(np.exp(observed)), float(min(1.0, p_value)), reason)


def difference_of_numbers(groups):
    """Return the standardised mean difference between groups.

    Parameters
    ----------
    groups : list of ndarray of shape (n_patients_in_group,)
        Values of at least two groups.

    Returns
    -------
    float
        Absolute difference of the means divided by the root mean square of the two standard deviations [1]_; with more
        than two groups, the largest of all pairs. Infinite if the means differ and neither group varies. NaN if a group
        has fewer than two values.

    References
    ----------
    .. [1] Austin PC. Balance diagnostics for comparing the distribution of baseline covariates. Stat Med 28, 3083-3107
       (2009).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.statistics import difference_of_numbers
    >>> difference_of_numbers([np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])])
    1.0
    """
    return _largest_difference(groups, _difference_of_two_means)


def difference_of_counts(counts):
    """Return the standardised difference of a categorical variable between groups.

    Parameters
    ----------
    counts : array-like of int of shape (n_groups, n_levels)
        Number of patients by group and level.

    Returns
    -------
    float
        Mahalanobis distance of the proportions of all levels, with the mean of the two groups' multinomial covariances
        [1]_; with more than two groups, the largest of all pairs. For two levels with proportions p and q it is
        ``abs(p - q) / sqrt((p * (1 - p) + q * (1 - q)) / 2)``. Infinite if the groups have no level in common. NaN if a
        group has no patients.

    References
    ----------
    .. [1] Yang D, Dalton JE. A unified approach to measuring the effect size between two groups using SAS. SAS Global
       Forum 2012, paper 335.

    Examples
    --------
    >>> from sklearn_pspd.statistics import difference_of_counts
    >>> round(difference_of_counts([[21, 27], [6, 24]]), 2)
    0.53
    """
    return _largest_difference(list(_check_counts(counts)), _difference_of_two_distributions)


def _largest_difference(groups, difference):
    return float(np.max([difference(a, b) for a, b in combinations(groups, 2)]))


def _difference_of_two_means(a, b):
    if min(len(a), len(b)) < 2:
        return np.nan
    difference = abs(np.mean(a) - np.mean(b))
    if _is_constant(a) and _is_constant(b):
        return 0.0 if _is_constant(np.concatenate([a, b])) else np.inf
    return difference / np.sqrt((np.var(a, ddof=1) + np.var(b, ddof=1)) / 2)


def _difference_of_two_distributions(a, b):
    if not (a.sum() and b.sum()):
        return np.nan
    p, q = a / a.sum(), b / b.sum()
    difference = p - q
    covariance = (np.diag(p) - np.outer(p, p) + np.diag(q) - np.outer(q, q)) / 2
    # Proportions sum to one, so the matrix is singular. Unlike the inverse without one level, the pseudoinverse does
    # not depend on the order of the levels. The tolerance has another name in NumPy 1 than in NumPy 2.
    solution = np.linalg.pinv(covariance, 1e-12, hermitian=True) @ difference
    if not np.allclose(covariance @ solution, difference, atol=1e-9):
        return np.inf
    return np.sqrt(max(0.0, difference @ solution))


def _choose_numeric_test(groups):
    smallest, largest = SHAPIRO_SIZES
    for name, values in groups.items():
        if len(values) < smallest:
            return "mann-whitney", f"fewer than {smallest} values in {name}"
        if _is_constant(values):
            return "mann-whitney", f"all values are equal in {name}"
    tested = {name: values for name, values in groups.items() if len(values) <= largest}
    p_values = {name: float(stats.shapiro(values).pvalue) for name, values in tested.items()}
    rejected = [name for name, p_value in p_values.items() if p_value < NORMALITY_LEVEL]
    if rejected:
        listed = " and ".join(f"{name} (p {format_p(p_values[name], sign=True)})" for name in rejected)
        return "mann-whitney", f"Shapiro-Wilk rejects normality in {listed}"
    if not tested:
        return "t", f"more than {largest} values in each group"
    lowest = format_p(min(p_values.values()), sign=True)
    return "t", f"Shapiro-Wilk does not reject normality in any group (smallest p {lowest})"


def _enumerate_tables(counts):
    """Return minus the sum of log factorials of each table with the same margins; None if there are too many."""
    # The last level is determined by the others. Making it the largest keeps the number of partial tables small.
    levels = np.sort(counts.sum(axis=0))
    remaining, log_weights = counts.sum(axis=1)[np.newaxis], np.zeros(1)
    for total in levels[:-1]:
        n_groups = remaining.shape[1]
        if len(remaining) * comb(int(total) + n_groups - 1, n_groups - 1) > MAX_TABLES:
            return None
        parts = _compositions(int(total), n_groups)
        left = remaining[:, np.newaxis] - parts
        fits = (left >= 0).all(axis=2)
        log_weights = (log_weights[:, np.newaxis] - gammaln(parts + 1).sum(axis=1))[fits]
        remaining = left[fits]
    return log_weights - gammaln(remaining + 1).sum(axis=1)


def _compositions(total, n_parts):
    """Return all ways to write a total as an ordered sum of non-negative integers, of shape (n_ways, n_parts)."""
    # Stars and bars: n_parts - 1 bars in total + n_parts - 1 positions; a part is the number of positions between bars.
    bars = np.array(list(combinations(range(total + n_parts - 1), n_parts - 1))).reshape(-1, n_parts - 1)
    edges = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, total + n_parts - 1)))
    return np.diff(edges, axis=1) - 1


def _check_counts(counts):
    """Check counts and return them as integers, without levels that occur in no group."""
    counts = np.asarray(counts)
    if counts.ndim != 2 or not np.issubdtype(counts.dtype, np.number):
        raise InputError(
            f"counts must be a numeric table of n_groups x n_levels; got shape {counts.shape}, {counts.dtype}"
        )
    if not (np.isfinite(counts).all() and (counts >= 0).all() and (counts == np.round(counts)).all()):
        raise InputError(f"counts must be non-negative whole numbers; got {counts.tolist()}")
    return counts[:, counts.any(axis=0)].astype(np.int64)


def _is_constant(values):
    return np.ptp(values) <= 1e-12 * np.max(np.abs(values))


def _no_test(reason):
    return GroupTest("none", float("nan"), float("nan"), reason)
