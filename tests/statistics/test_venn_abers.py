"""Venn-Abers calibration against another implementation, and by its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import venn_abers


def isotonic_at(scores, outcomes, place):
    """The isotonic regression by its min-max formula, over groups of patients with equal scores."""
    levels = np.unique(scores)
    at = int(np.searchsorted(levels, place))
    between = {
        (low, high): outcomes[(scores >= levels[low]) & (scores <= levels[high])].mean()
        for low in range(at + 1)
        for high in range(at, len(levels))
    }
    return max(min(between[low, high] for high in range(at, len(levels))) for low in range(at + 1))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=12).filter(
        lambda rows: len({outcome for _, outcome in rows}) == 2
    ),
    st.integers(-1, 9),
)
def test_limits_are_those_of_the_definition(rows, new):
    scores = np.array([score for score, _ in rows], dtype=float)
    outcomes = np.array([outcome for _, outcome in rows], dtype=float)
    found = venn_abers(outcomes, scores, [new]).iloc[0]
    for name, outcome in (("low", 0.0), ("high", 1.0)):
        expected = isotonic_at(np.append(scores, new), np.append(outcomes, outcome), new)
        assert found[name] == pytest.approx(expected, abs=1e-9)
    assert found["low"] <= found["probability"] <= found["high"]


def test_limits_are_those_of_the_package_venn_abers():
    peer = pytest.importorskip("venn_abers")
    rng = np.random.default_rng(0)
    outcomes = np.arange(80) % 2
    scores = np.round(rng.normal(size=80) + outcomes, 2) / 10 + 0.5
    new = np.round(np.linspace(scores.min() - 0.05, scores.max() + 0.05, 41), 3)
    calibrator = peer.VennAbers()
    calibrator.fit(np.column_stack([1 - scores, scores]), outcomes)
    merged, limits = calibrator.predict_proba(np.column_stack([1 - new, new]))
    found = venn_abers(outcomes, scores, new)
    np.testing.assert_allclose(found[["low", "high"]], limits, atol=1e-6)
    np.testing.assert_allclose(found["probability"], merged[:, 1], atol=1e-6)


def test_one_of_the_limits_is_calibrated():
    """Over many data sets, the limit that belongs to the true outcome of the new patient is right in the mean."""
    rng = np.random.default_rng(1)
    chosen, happened = [], []
    for _ in range(400):
        outcomes = rng.permutation(np.arange(31) % 2)
        scores = outcomes + rng.normal(size=31)
        found = venn_abers(outcomes[:-1], scores[:-1], scores[-1:]).iloc[0]
        chosen.append(found["high"] if outcomes[-1] else found["low"])
        happened.append(outcomes[-1])
    chosen, happened = np.array(chosen), np.array(happened)
    for low, high in ((0, 0.5), (0.5, 1.01)):
        of_bin = (chosen >= low) & (chosen < high)
        assert happened[of_bin].mean() == pytest.approx(chosen[of_bin].mean(), abs=0.08)


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(InputError, match="new_score must be a list of finite numbers"):
        venn_abers([0, 1], [0.1, 0.2], [np.nan])
    with pytest.raises(InputError, match="two classes"):
        venn_abers([1, 1], [0.1, 0.2], [0.1])
