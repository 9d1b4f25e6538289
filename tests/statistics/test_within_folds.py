"""AUCs of a cross-validation within folds: known answers, properties, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from score_draws import moderate, scored
from sklearn.dummy import DummyClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, RepeatedStratifiedKFold, StratifiedKFold

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import (
    auc_within_folds,
    auc_within_folds_test,
    average_precision_by_chance,
    delong_test,
    fold_level_sd,
    fold_level_share,
    roc_auc,
)

Y = np.repeat([0, 1], [37, 22])


def folds_of(y, splitter):
    """Return patients and folds by row."""
    tests = [test for _, test in splitter.split(np.zeros(len(y)), y)]
    return np.concatenate(tests), np.repeat(np.arange(len(tests)), [len(test) for test in tests])


@moderate
@given(scored(min_class_size=2), st.data())
def test_one_fold_gives_the_auc_and_the_test_of_a_single_fit(data, other):
    y, a = data
    b = np.array(other.draw(st.permutations(a.tolist())))
    assert auc_within_folds(y, a, None) == pytest.approx(roc_auc(y, a))
    assert auc_within_folds_test(y, a, b, np.ones(len(y)))[:5] == pytest.approx(delong_test(y, a, b)[:5])


def test_the_value_is_the_mean_over_folds_whatever_the_levels():
    rng = np.random.default_rng(0)
    patient, fold = folds_of(Y, StratifiedKFold(5, shuffle=True, random_state=0))
    y, score = Y[patient], rng.normal(size=59) + Y[patient]
    expected = np.mean([roc_auc_score(y[fold == name], score[fold == name]) for name in range(5)])
    plain, shifted = (auc_within_folds(y, x, fold) for x in (score, score + 100 * fold))
    assert plain.value == pytest.approx(expected)
    assert shifted == pytest.approx(plain)
    assert roc_auc(y, score + 100 * fold).value < 0.6 < expected
    # Two models, one of which has levels.
    assert auc_within_folds_test(y, score, score + 100 * fold, fold).p_value == 1
    assert plain.method == "DeLong, logit, within folds"


def test_the_variance_is_that_of_placements_within_folds_times_the_factor():
    """For folds of equal size: DeLong's formula for placements within the folds, times 1 + 5 / 4."""
    rng = np.random.default_rng(1)
    y, fold = np.tile([0, 0, 1], 20), np.repeat(np.arange(5), 12)
    score = rng.normal(size=60) + y
    above, below = [], []
    for name in range(5):
        wins = score[(fold == name) & (y == 1)][:, np.newaxis] > score[(fold == name) & (y == 0)]
        above += wins.mean(axis=1).tolist()
        below += wins.mean(axis=0).tolist()
    auc, variance = np.mean(above), 2.25 * (np.var(above, ddof=1) / 20 + np.var(below, ddof=1) / 40)
    half = 1.959964 * np.sqrt(variance) / (auc * (1 - auc))
    estimate = auc_within_folds(y, score, fold)
    odds = [limit / (1 - limit) for limit in (estimate.low, estimate.value, estimate.high)]
    assert np.diff(np.log(odds)) == pytest.approx([half, half], rel=1e-6)


def test_repetitions_do_not_count_as_more_patients():
    rng = np.random.default_rng(2)
    patient, fold = folds_of(Y, StratifiedKFold(5, shuffle=True, random_state=0))
    score = rng.normal(size=59) + Y[patient]
    once = auc_within_folds(Y[patient], score, fold)
    rows = np.tile(np.arange(59), 3)
    again = auc_within_folds(
        Y[patient][rows], score[rows], np.concatenate([fold, fold + 5, fold + 10]), patient=patient[rows]
    )
    assert again == pytest.approx(once)
    shuffled, many = folds_of(Y, RepeatedStratifiedKFold(n_splits=5, n_repeats=4, random_state=0))
    repeated = auc_within_folds(Y[shuffled], (rng.normal(size=59) + Y)[shuffled], many, patient=shuffled)
    assert 0 < repeated.low < repeated.value < repeated.high < 1


def test_lesions_of_one_patient_are_not_independent():
    rng = np.random.default_rng(3)
    y, score = np.tile([0, 1, 1], 15), rng.normal(size=45)
    copies = {"y_true": np.repeat(y, 4), "y_score": np.repeat(score, 4), "fold": None}
    single, clustered = roc_auc(y, score), auc_within_folds(**copies, patient=np.repeat(np.arange(45), 4))
    assert clustered == pytest.approx(single)
    naive = auc_within_folds(**copies)
    assert naive.high - naive.low < 0.6 * (single.high - single.low)


@pytest.mark.parametrize("splitter", [StratifiedKFold(5), KFold(3, shuffle=True, random_state=0)])
def test_a_model_that_knows_nothing_has_an_auc_of_one_half(splitter):
    score, fold = np.empty(59), np.empty(59)
    for number, (train, test) in enumerate(splitter.split(Y, Y)):
        model = DummyClassifier(strategy="prior").fit(train[:, np.newaxis], Y[train])
        score[test], fold[test] = model.predict_proba(test[:, np.newaxis])[:, 1], number
    estimate = auc_within_folds(Y, score, fold)
    assert estimate.value == 0.5
    assert estimate.low < 0.4
    assert estimate.high > 0.6


def test_a_perfect_model_has_an_interval_wider_than_on_separate_patients():
    fold = np.arange(60) % 5
    y = np.repeat([0, 1], 30)
    perfect, single = auc_within_folds(y, y, fold), roc_auc(y, y)
    assert (perfect.value, perfect.high, perfect.method) == (1.0, 1.0, "Newcombe 5, within folds")
    assert perfect.low < single.low
    assert auc_within_folds(y, 1 - y, fold)[:3] == pytest.approx((0, 0, 1 - perfect.low))


def test_folds_without_an_auc_are_refused_by_name():
    y = np.repeat([0, 1], [6, 3])
    with pytest.raises(InputError, match=r"9 of 9 folds have patients of one class only \(fold 0, 1, 2"):
        auc_within_folds(y, np.arange(9), np.arange(9))
    with pytest.raises(InputError, match=r"1 of 2 folds have patients of one class only \(fold b\)"):
        auc_within_folds_test(y, np.arange(9), np.arange(9), np.repeat(["b", "a"], [5, 4]))
    with pytest.raises(InputError, match="each of the 3 folds has a single patient of a class"):
        auc_within_folds(y, np.arange(9), np.arange(9) % 3)
    with pytest.raises(InputError, match="fold has 1 of 9 entries missing"):
        auc_within_folds(y, np.arange(9), [np.nan, *range(8)])
    with pytest.raises(InputError, match=r"patient \(2,\)"):
        auc_within_folds(y, np.arange(9), np.arange(9) % 2, patient=[1, 2])


def test_levels_of_folds():
    rng = np.random.default_rng(0)
    fold = np.repeat(np.arange(5), 12)
    noise, levels = rng.normal(size=60), np.array([0.7, -4, 0.6, 2.6, 0])[fold]
    share = [fold_level_share(1 / (1 + np.exp(-x)), fold) for x in (noise, noise + levels, levels)]
    assert share[0] < 0.2
    assert 0.7 < share[1] < 0.95
    assert share[2] == pytest.approx(1)
    assert fold_level_share(np.full(60, 0.3), fold) == 0
    assert fold_level_sd(1 / (1 + np.exp(-levels)), fold) == pytest.approx(np.std([0.7, -4, 0.6, 2.6, 0], ddof=1))
    assert fold_level_sd(np.full(60, 0.3), np.ones(60)) == 0
    with pytest.raises(InputError, match=r"probabilities must lie in \[0, 1\]; got 0 to 5"):
        fold_level_share([0, 5], [1, 2])


@pytest.mark.parametrize(("n_positive", "n_negative"), [(1, 1), (2, 4), (4, 8), (8, 11)])
def test_average_precision_by_chance_is_the_mean_over_orders(n_positive, n_negative):
    n, m = n_positive + n_negative, n_positive
    rng = np.random.default_rng(0)
    is_positive = rng.permuted(np.tile(np.arange(n) < m, (20_000, 1)), axis=1)
    precision = np.cumsum(is_positive, axis=1) / np.arange(1, n + 1)
    simulated = (precision * is_positive).sum(axis=1) / m
    assert average_precision_by_chance(m, n_negative) == pytest.approx(simulated.mean(), abs=0.005)


def test_published_chance_levels_of_the_average_precision():
    found = [round(average_precision_by_chance(m, n), 2) for m, n in ((8, 11), (22, 37), (4, 8), (2, 4))]
    assert found == [0.5, 0.41, 0.46, 0.53]
    with pytest.raises(InputError, match="each class must have at least one patient; got 0 and 3"):
        average_precision_by_chance(0, 3)
