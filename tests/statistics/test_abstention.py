"""Rules of abstention: their guarantee by simulation, and their guard for few patients."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import learn_abstention


def draw(rng, n, distance):
    """Outcomes, and probabilities of a calibrated model that separates them by this distance."""
    outcomes = rng.random(n) < 0.4
    scores = rng.normal(size=n) + distance * outcomes
    return outcomes.astype(int), expit(distance * scores - distance**2 / 2 + np.log(0.4 / 0.6))


def test_the_guarantee_holds():
    """The proportion of data sets whose rule has more errors in the population is at most one minus the confidence."""
    rng = np.random.default_rng(0)
    n_rules = n_broken = 0
    truth, population = draw(rng, 200_000, 1.4)
    is_error = (population >= 0.4) != (truth == 1)
    for _ in range(400):
        rule = learn_abstention(*draw(rng, 90, 1.4), threshold=0.4, max_error=0.2, confidence_level=0.8)
        if rule.exists:
            n_rules += 1
            n_broken += is_error[~rule.abstains(population)].mean() > 0.2
    assert n_rules > 100, "the simulation says nothing if there is no rule"
    assert n_broken / 400 <= 0.2


def test_the_guarantee_holds_where_nothing_can_be_learned():
    """Every distance has exactly the error that is just not admitted, so that each rule is a false one."""
    rng = np.random.default_rng(1)
    n_draws = 1500
    rules = [
        learn_abstention(rng.permutation(np.arange(60) % 2), expit(rng.normal(size=60)), threshold=0.5, max_error=0.499)
        for _ in range(n_draws)
    ]
    n_broken = sum(rule.exists for rule in rules)
    assert 0 < n_broken < binom.ppf(0.999, n_draws, 0.1)


def test_the_rule_is_the_one_with_the_least_abstention():
    y_true = np.repeat([0, 1], 100)
    y_prob = np.where(y_true == 1, 0.8, 0.2)
    y_prob[:40], y_prob[100:140] = 0.55, 0.45  # wrong, close to the threshold
    rule = learn_abstention(y_true, y_prob, threshold=0.5)
    assert (rule.n_classified, rule.n_errors) == (120, 0)
    assert rule.low == pytest.approx(expit(-0.25))
    assert rule.abstains([0.43, 0.45, 0.5, 0.55, 0.57]).tolist() == [False, True, True, True, False]
    assert learn_abstention(y_true, y_true * 0.6 + 0.2, threshold=0.5).n_classified == 200


@pytest.mark.parametrize(("n", "exists"), [(18, False), (20, True)])
def test_few_patients(n, exists):
    rule = learn_abstention([0, 1] * (n // 2), [0.01, 0.99] * (n // 2), threshold=0.5)
    assert rule.exists == exists
    if not exists:
        assert rule.reason.startswith("too few patients: 18, and a rule needs at least 20")
        with pytest.raises(InputError, match="there is no rule of abstention: too few patients"):
            rule.abstains([0.5])


def test_a_model_without_merit_has_no_rule():
    rule = learn_abstention([0, 1] * 100, [0.3, 0.31, 0.31, 0.3] * 50, threshold=0.305)
    assert rule.reason.startswith("no rule keeps the errors below 20%: the lowest upper limit of their proportion")


def test_numbers_outside_their_range_are_refused():
    for name, value in (("threshold", 0.0), ("max_error", 1.0), ("confidence_level", 1.5)):
        settings = {"threshold": 0.5, name: value}
        with pytest.raises(InputError, match=f"{name} must be between 0 and 1"):
            learn_abstention([0, 1], [0.1, 0.9], **settings)
