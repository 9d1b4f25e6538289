"""Rules for the threshold, and thresholds that are learned without the test set."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer, recall_score
from sklearn.model_selection import TunedThresholdClassifierCV

from sklearn_pspd.model_selection import (
    cost_score,
    equal_error_score,
    fixed_sensitivity_score,
    learn_threshold,
    optimistic_threshold,
    youden_score,
)
from sklearn_pspd.model_selection.thresholds import THRESHOLD_RULES, level_scores, threshold_table

true_and_predicted = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=20).filter(
    lambda pairs: {true for true, _ in pairs} == {0, 1}
)


@settings(max_examples=60, deadline=None)
@given(true_and_predicted)
def test_rules_follow_sensitivity_and_specificity(pairs):
    y_true, y_pred = np.array(pairs).T
    sensitivity, specificity = (recall_score(y_true, y_pred, pos_label=label) for label in (1, 0))
    assert equal_error_score(y_true, y_pred) == pytest.approx(-abs(sensitivity - specificity))
    assert youden_score(y_true, y_pred) == pytest.approx(sensitivity + specificity - 1)
    fixed = fixed_sensitivity_score(y_true, y_pred, sensitivity=0.8)
    assert fixed == pytest.approx(specificity if sensitivity >= 0.8 else sensitivity - 0.8)
    assert cost_score(y_true, y_pred) == pytest.approx(-np.mean(y_true != y_pred))


@pytest.mark.parametrize(
    ("rule", "check"),
    [
        (make_scorer(equal_error_score), lambda se, sp: abs(se - sp) < 0.1),
        (make_scorer(youden_score), lambda se, sp: se + sp > 1.4),
        (make_scorer(fixed_sensitivity_score, sensitivity=0.95), lambda se, sp: se > 0.9 and sp > 0.3),
        (make_scorer(cost_score, cost_missed_pd=20.0), lambda se, sp: sp > 0.93 and se < 0.8),
        (make_scorer(cost_score, cost_missed_pspd=20.0), lambda se, sp: se > 0.93 and sp < 0.8),
    ],
)
def test_rules_tune_a_threshold_that_holds_for_new_patients(rule, check):
    rng = np.random.default_rng(0)
    y = (rng.random(1200) < 0.37).astype(int)
    X = rng.normal(size=(1200, 2)) + 1.2 * y[:, np.newaxis]
    model = TunedThresholdClassifierCV(LogisticRegression(), scoring=rule, cv=5).fit(X[:600], y[:600])
    y_pred = model.predict(X[600:])
    assert check(*(recall_score(y[600:], y_pred, pos_label=label) for label in (1, 0)))


def test_the_papers_threshold_balances_the_errors_of_its_own_patients_only():
    """It does so even for scores without signal; on other patients it does so only on average."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [11, 8])

    def imbalance(score, threshold):
        is_predicted_pspd = score >= threshold
        return abs(is_predicted_pspd[y == 1].mean() - (~is_predicted_pspd)[y == 0].mean())

    seen, unseen = [], []
    for _ in range(300):
        score, other = rng.random((2, 19))
        threshold = optimistic_threshold(y, score)
        seen.append(imbalance(score, threshold))
        unseen.append(imbalance(other, threshold))
    assert np.mean(seen) < 0.1
    assert np.mean(unseen) > 2 * np.mean(seen)


@pytest.mark.parametrize(
    ("rule", "score"),
    [
        ("equal_error", equal_error_score),
        ("youden", youden_score),
        ("cost", cost_score),
        (lambda sensitivity, specificity, _: sensitivity * specificity, None),
    ],
)
def test_a_learned_threshold_is_the_best_of_all(rule, score):
    rng = np.random.default_rng(0)
    for n_positive, n_negative in ((8, 11), (22, 37)):
        y = np.repeat([1, 0], [n_positive, n_negative])
        prob = np.round(rng.random(len(y)) * 0.6 + 0.3 * y, 1)  # with ties
        learned = learn_threshold(y, prob, rule=rule, n_resamples=50, random_state=0)

        def value(threshold, y=y, prob=prob):
            y_pred = (prob >= threshold).astype(int)
            return product_score(y, y_pred) if score is None else score(y, y_pred)

        best = max(value(threshold) for threshold in np.arange(0, 1, 0.01))
        assert value(learned.value) == pytest.approx(best)
        assert learned.low <= learned.high
        assert learned.value not in prob or learned.value == prob.min()


@pytest.mark.parametrize(("n_positive", "rank"), [(22, 2), (8, 0), (9, 1), (29, 3), (5, 0)])
def test_fixed_sensitivity_is_the_order_statistic_that_delivers_it(n_positive, rank):
    rng = np.random.default_rng(n_positive)
    y, score = np.repeat([1, 0], [n_positive, 37]), rng.normal(size=n_positive + 37)
    learned = learn_threshold(y, score, rule="fixed_sensitivity", n_resamples=10, random_state=0)
    expected = np.sort(score[y == 1])[rank - 1] if rank else score.min()
    assert learned.value == expected
    # The probability that a further patient with PsPD is found, by exchangeability.
    assert 1 - rank / (n_positive + 1) >= 0.9


def test_repeated_rows_of_a_patient_count_once():
    rng = np.random.default_rng(0)
    y = np.repeat([1, 0], [12, 20])
    score, again = rng.normal(size=32) + y, np.repeat(np.arange(32), 4)
    for rule in THRESHOLD_RULES:
        once = learn_threshold(y, score, rule=rule, n_resamples=100, random_state=0)
        assert (
            learn_threshold(y[again], score[again], patient=again, rule=rule, n_resamples=100, random_state=0) == once
        )


def cross_validated(levels, shift=0.0):
    """Return scores of five folds at these levels of log odds and of an external set at another one."""
    rng = np.random.default_rng(0)
    y = np.tile([0, 0, 1], 40)
    fold = np.repeat(np.arange(5), 24)
    log_odds = 1.5 * rng.normal(size=120) + 2 * y + np.array(levels)[fold]
    columns = {"model": "m", "evaluation": "cross-validation", "fold": fold, "patient_id": np.arange(120), "y_true": y}
    inside = pd.DataFrame({**columns, "y_score": expit(log_odds), "replicate": 0})
    outside = inside.assign(evaluation="external", fold=0, y_score=expit(1.5 * rng.normal(size=120) + 2 * y + shift))
    other = inside.assign(replicate=1, y_score=rng.random(120))
    return pd.concat([inside, other, outside], ignore_index=True)


def test_thresholds_do_not_separate_folds():
    equal, unequal = (
        threshold_table(cross_validated(levels), ("equal_error",), 0).set_index(["rule", "evaluation"])
        for levels in ([0] * 5, [-4, -2, 0, 2, 4])
    )
    inside = ("equal_error", "cross-validation")
    assert unequal.loc[inside, "sensitivity"] == equal.loc[inside, "sensitivity"]
    assert unequal.loc[inside, "sensitivity"] > 0.65
    # What the threshold is at the level of single folds.
    assert unequal.loc[inside, "lowest_fold"] < 0.1
    assert unequal.loc[inside, "highest_fold"] > 0.9
    assert equal.loc[inside, "highest_fold"] - equal.loc[inside, "lowest_fold"] < 0.3
    pd.testing.assert_series_equal(equal.loc[inside, ["low", "high"]], unequal.loc[inside, ["low", "high"]], atol=0.05)


@pytest.mark.parametrize(
    ("shift", "remark"), [(0, ""), (30, "classifies every patient as PsPD"), (-30, "every patient as PD")]
)
def test_scores_on_one_side_of_the_threshold_are_remarked(shift, remark):
    table = threshold_table(cross_validated([0] * 5, shift), ("youden",), 0).set_index("evaluation")
    found = table.loc["external"].query("rule == 'youden'")["remark"].item()
    assert found == remark if shift >= 0 else found.endswith(remark)
    assert table.loc["cross-validation", "remark"] == ""


def test_levels_are_the_mean_log_odds_of_folds():
    levelled, levels = level_scores([0.1, 0.3, 0.7, 0.9], ["b", "b", "a", "a"])
    assert levels == pytest.approx([np.mean(logit([0.7, 0.9])), np.mean(logit([0.1, 0.3]))])
    assert levelled[:2].sum() == pytest.approx(0)
    with pytest.raises(ValueError, match=r"fold \(2,\)"):
        level_scores([0.1, 0.2, 0.3], [1, 2])


def test_a_threshold_may_classify_no_patient_as_pspd():
    y, prob = [0] * 9 + [1], np.append(np.linspace(0.2, 0.9, 9), 0.1)
    learned = learn_threshold(y, prob, rule="cost", n_resamples=10, random_state=0)
    assert not (prob >= learned.value).any()


def product_score(y, y_pred):
    return recall_score(y, y_pred) * recall_score(y, y_pred, pos_label=0)


def test_the_variability_of_a_threshold_decreases_with_the_number_of_patients():
    rng = np.random.default_rng(0)
    spreads = []
    for n_patients in (30, 3000):
        y = np.arange(n_patients) % 2
        learned = learn_threshold(y, rng.normal(size=n_patients) + y, random_state=0, n_resamples=300)
        spreads.append(learned.high - learned.low)
    assert spreads[1] < spreads[0] / 4


def test_refusals():
    with pytest.raises(ValueError, match=r"sensitivity must lie in \(0, 1\]; got 95"):
        fixed_sensitivity_score([0, 1], [0, 1], sensitivity=95)
    with pytest.raises(ValueError, match="costs must not be negative; got -1"):
        cost_score([0, 1], [0, 1], cost_missed_pspd=-1)
    with pytest.raises(ValueError, match=r"y_true contains no PsPD \(1\)"):
        youden_score([0, 0], [0, 1])
    with pytest.raises(
        ValueError, match="rule must be callable or one of equal_error, youden, fixed_sensitivity, cost"
    ):
        learn_threshold([0, 1], [0.1, 0.2], rule="best")
    external = pd.DataFrame({"model": "m", "evaluation": "external", "y_true": [0, 1], "y_score": [0.1, 0.2]})
    with pytest.raises(ValueError, match="m: there are no scores of a cross-validation"):
        threshold_table(external, THRESHOLD_RULES, 0)
    with pytest.raises(ValueError, match="two classes"):
        learn_threshold([0, 0], [0.1, 0.2])
