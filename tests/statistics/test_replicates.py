"""AUCs of models that are trained several times: formulas, degenerate cases, refusals."""

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import t

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import (
    auc_within_folds,
    auc_within_folds_test,
    delong_test,
    ensemble_auc,
    ensemble_auc_test,
    replicated_auc,
    replicated_auc_test,
    roc_auc,
)

Y = np.repeat([0, 1], [37, 22])
FOLD = np.arange(59) % 5


def draw(n_replicates, seed=0, seed_sd=0.6, y=Y):
    """Return scores of trainings that differ in how well they separate the outcomes."""
    rng = np.random.default_rng(seed)
    distance = 1 + seed_sd * rng.normal(size=n_replicates)
    return distance[:, np.newaxis] * y + rng.normal(size=len(y)) + 0.7 * rng.normal(size=(n_replicates, len(y)))


def covariances(y, scores):
    """Return AUCs and DeLong's covariance matrix, from all pairs of patients."""
    wins = np.stack([s[y == 1][:, np.newaxis] > s[y == 0] for s in scores]).astype(float)
    above, below = wins.mean(axis=2), wins.mean(axis=1)
    return wins.mean(axis=(1, 2)), np.cov(above) / above.shape[1] + np.cov(below) / below.shape[1]


def test_interval_and_components_follow_obuchowski_rockette_and_hillis():
    scores, n = draw(5), 5
    aucs, matrix = covariances(Y, scores)
    between, v = aucs.var(ddof=1), np.trace(matrix) / n
    c = (matrix.sum() - np.trace(matrix)) / (n * (n - 1))
    variance = (between + n * c) / n
    df = (between + n * c) ** 2 / (between**2 / (n - 1))
    half = t.ppf(0.975, df) * np.sqrt(variance) / (aucs.mean() * (1 - aucs.mean()))
    found = replicated_auc(Y, scores)
    assert found.value == pytest.approx(aucs.mean())
    assert (found.low, found.high) == pytest.approx(tuple(expit(logit(aucs.mean()) + np.array([-half, half]))))
    assert (found.lowest, found.highest) == pytest.approx((aucs.min(), aucs.max()))
    training = between - v + c
    assert training > 0
    parts = np.array([c, training, v - c]) / (v + training)
    assert (found.patients, found.training, found.interaction) == pytest.approx(tuple(parts))
    # The number of replicates that is needed, by trying all of them.
    of_training = [(training / r) / (training / r + (v - c) / r + c) for r in range(1, 200)]
    assert found.n_needed == 1 + np.argmax(np.array(of_training) <= 0.1)
    assert found.new_low < found.low
    assert found.new_high > found.high


def test_one_replicate_falls_back_to_the_plain_interval_and_says_so():
    (scores,) = draw(1)
    found, plain = replicated_auc(Y, [scores]), roc_auc(Y, scores)
    assert found[:3] == pytest.approx(plain[:3])
    assert found.method == "DeLong, logit; training variance not included"
    assert np.isnan([found.training, found.new_low, found.n_needed]).all()
    within = auc_within_folds(Y, scores, FOLD)
    assert replicated_auc(Y, [scores], fold=FOLD)[:3] == pytest.approx(within[:3])
    assert ensemble_auc(Y, expit(scores), [expit(scores)], fold=FOLD)[:3] == pytest.approx(within[:3])


def test_equal_replicates_have_no_training_variance():
    (scores,) = draw(1)
    found = replicated_auc(Y, np.tile(scores, (4, 1)))
    assert found[:3] == pytest.approx(roc_auc(Y, scores)[:3], abs=1e-6)
    assert (found.patients, found.training, found.n_needed) == pytest.approx((1, 0, 1))


def test_more_replicates_narrow_the_interval_only_to_that_of_the_patients():
    scores = draw(60, seed_sd=1.0)
    few, many = replicated_auc(Y, scores[:3]), replicated_auc(Y, scores)
    assert many.high - many.low < few.high - few.low
    patients = roc_auc(Y, scores.mean(axis=0))
    assert many.high - many.low > 0.6 * (patients.high - patients.low)


def test_levels_of_fits_do_not_matter_within_folds():
    scores = draw(4)
    shifted = scores + 50 * np.random.default_rng(1).normal(size=(4, 5))[:, FOLD]
    assert replicated_auc(Y, shifted, fold=FOLD)[:3] == pytest.approx(replicated_auc(Y, scores, fold=FOLD)[:3])
    plain = replicated_auc(Y, scores)
    within = replicated_auc(Y, scores, fold=FOLD)
    assert within.high - within.low > plain.high - plain.low
    test = replicated_auc_test(Y, shifted, draw(3, seed=7), fold=FOLD)
    assert test[:5] == pytest.approx(replicated_auc_test(Y, scores, draw(3, seed=7), fold=FOLD)[:5])
    assert test.method == "Obuchowski-Rockette-Hillis, paired, within folds"


def test_perfect_and_constant_replicates_have_honest_intervals():
    y = np.repeat([0, 1], [11, 8])
    perfect = replicated_auc(y, [y, 2 * y, y - 1.0])
    assert perfect[:3] == pytest.approx(roc_auc(y, y)[:3])
    nearly = replicated_auc(y, [y, y, y + np.where(np.arange(19) == 0, 2.0, 0)])
    assert nearly.low < roc_auc(y, y).low
    constant = replicated_auc(y, np.zeros((3, 19)))
    assert constant[:3] == pytest.approx(roc_auc(y, np.zeros(19))[:3])
    assert np.isnan(constant.patients)


def test_paired_test_of_two_replicated_models():
    a, b = draw(5), draw(5, seed=5)
    forward, backward = replicated_auc_test(Y, a, b), replicated_auc_test(Y, b, a)
    assert forward.difference == pytest.approx(np.mean(covariances(Y, a)[0]) - np.mean(covariances(Y, b)[0]))
    assert forward[:3] == pytest.approx((-backward.difference, -backward.high, -backward.low))
    assert forward.p_value == pytest.approx(backward.p_value)
    # Variance and degrees of freedom by the formula.
    aucs, matrix = covariances(Y, np.concatenate([a, b]))
    off = ~np.eye(5, dtype=bool)
    patients = matrix[:5, :5][off].mean() + matrix[5:, 5:][off].mean() - 2 * matrix[:5, 5:].mean()
    between = [aucs[part].var(ddof=1) / 5 for part in (slice(5), slice(5, 10))]
    variance = patients + sum(between)
    df = variance**2 / sum(part**2 / 4 for part in between)
    assert forward.statistic == pytest.approx(forward.difference / np.sqrt(variance))
    assert forward.p_value == pytest.approx(2 * t.sf(abs(forward.statistic), df))


def test_a_model_that_is_not_replicated_is_compared_with_one_that_is():
    a, (b,) = draw(5), draw(1, seed=9)
    test = replicated_auc_test(Y, a, [b])
    assert test.method == "Obuchowski-Rockette-Hillis, paired; training variance not included for one model"
    assert -1 <= test.low < test.difference < test.high <= 1
    # With replicates that hardly differ, the test is DeLong's.
    alike = a[0] + 1e-9 * np.arange(3)[:, np.newaxis] * np.arange(59)
    delong = delong_test(Y, a[0], b)
    assert replicated_auc_test(Y, alike, [b]).p_value == pytest.approx(delong.p_value, rel=1e-3)
    single = replicated_auc_test(Y, a[:1], [b], fold=FOLD)
    assert single[:5] == pytest.approx(auc_within_folds_test(Y, a[0], b, FOLD)[:5])
    assert single.method.endswith("training variance not included")


def test_few_patients_cannot_give_an_absurd_p_value():
    y = np.repeat([0, 1], [8, 2])
    rng = np.random.default_rng(0)
    up, down = (sign * np.arange(10) + 1e-3 * rng.normal(size=(5, 10)) for sign in (1, -1))
    test = replicated_auc_test(y, up, down)
    assert test.difference == 1
    assert abs(test.statistic) <= np.sqrt(10)
    assert test.p_value > 0.001


def test_models_that_rank_equally_have_an_interval():
    test = replicated_auc_test(Y, np.zeros((3, 59)), np.zeros((2, 59)))
    assert (test.difference, test.p_value, test.method) == (0, 1, "Hanley-McNeil, unpaired")
    assert test.low < 0 < test.high


def test_the_interval_of_an_ensemble_adds_the_jackknife_over_members():
    members = expit(draw(5))
    ensemble = expit(logit(members).mean(axis=0))
    found, plain = ensemble_auc(Y, ensemble, members), roc_auc(Y, ensemble)
    assert found.value == plain.value
    left_out = [roc_auc(Y, logit(np.delete(members, m, axis=0)).mean(axis=0)).value for m in range(5)]
    jackknife = 4 / 5 * np.sum((np.array(left_out) - np.mean(left_out)) ** 2)
    slope = plain.value * (1 - plain.value)
    patients = ((logit(plain.high) - logit(plain.value)) * slope / 1.959964) ** 2
    df = (patients + jackknife) ** 2 / (jackknife**2 / 4)
    half = t.ppf(0.975, df) * np.sqrt(patients + jackknife) / slope
    assert logit(found.high) - logit(found.value) == pytest.approx(half, rel=1e-5)
    assert found.method == "t, logit; jackknife over 5 members"
    alike = ensemble_auc(Y, members[0], np.tile(members[0], (3, 1)))
    assert alike[:3] == pytest.approx(roc_auc(Y, members[0])[:3])


def test_the_test_of_an_ensemble_adds_the_jackknife_over_the_members_of_both():
    members_a, members_b = expit(draw(5)), expit(draw(4, seed=1))
    a, b = (expit(logit(members).mean(axis=0)) for members in (members_a, members_b))
    found, plain = ensemble_auc_test(Y, a, b, members_a, members_b, fold=FOLD), auc_within_folds_test(Y, a, b, FOLD)
    assert found.difference == plain.difference
    variances = [((plain.high - plain.low) / 2 / 1.959964) ** 2]
    for members in (members_a, members_b):
        n = len(members)
        left_out = [
            auc_within_folds(Y, logit(np.delete(members, m, axis=0)).mean(axis=0), FOLD).value for m in range(n)
        ]
        variances.append((n - 1) / n * np.sum((np.array(left_out) - np.mean(left_out)) ** 2))
    df = sum(variances) ** 2 / (variances[1] ** 2 / 4 + variances[2] ** 2 / 3)
    assert found.statistic == pytest.approx(found.difference / np.sqrt(sum(variances)), rel=1e-5)
    assert found.p_value == pytest.approx(2 * t.sf(abs(found.statistic), df), rel=1e-4)
    assert found.high - found.low == pytest.approx(2 * t.ppf(0.975, df) * np.sqrt(sum(variances)), rel=1e-5)
    assert ensemble_auc_test(Y, a, b, fold=FOLD) == plain
    assert ensemble_auc_test(Y, a, b, members_a, None).p_value > delong_test(Y, a, b).p_value


def test_ensembles_of_equal_worth_are_rarely_called_different():
    """Two ensembles of a steady and of an unsteady training, on cohorts without a difference between them."""
    rejected = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        truth = Y + rng.normal(size=59)
        steady, unsteady = (truth + sd * rng.normal(size=(5, 59)) for sd in (0.5, 1.0))
        # What the members of a training have in common differs from model to model, but not its worth.
        steady += np.sqrt(0.15) * rng.normal(size=59)
        a, b = expit(steady), expit(unsteady)
        test = ensemble_auc_test(Y, expit(steady.mean(axis=0)), expit(unsteady.mean(axis=0)), a, b)
        rejected.append(test.p_value < 0.05)
    assert np.mean(rejected) < 0.08


def test_refusals():
    with pytest.raises(InputError, match=r"expected scores of shape \(n_replicates, n_rows\); got \(59,\)"):
        replicated_auc(Y, draw(1)[0])
    with pytest.raises(InputError, match="2 of 59 values that are not finite"):
        replicated_auc(Y, np.where(np.isin(np.arange(59), (3, 5)), np.inf, draw(3)))
    with pytest.raises(InputError, match=r"probabilities must lie in \[0, 1\]"):
        ensemble_auc(Y, draw(1)[0], draw(3))
    with pytest.raises(InputError, match="folds have patients of one class only"):
        replicated_auc(Y, draw(3), fold=np.arange(59))
    with pytest.raises(InputError, match=r"y_true \(59,\), y_score \(58,\)"):
        replicated_auc_test(Y, draw(3), draw(3)[:, 1:])
