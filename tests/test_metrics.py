"""Metrics against scikit-learn, and intervals that cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

from sklearn_pspd.metrics import average_precision, proportion, roc_auc, score_table


@st.composite
def scored_patients(draw):
    y = draw(st.lists(st.integers(0, 1), min_size=2, max_size=25).filter(lambda y: len(set(y)) == 2))
    scores = draw(st.lists(st.integers(0, 6), min_size=len(y), max_size=len(y)))
    return np.array(y), np.array(scores) / 6


@settings(max_examples=60, deadline=None)
@given(scored_patients())
def test_values_are_scikit_learns_and_intervals_hold_them(patients):
    y, scores = patients
    auc = roc_auc(y, scores)
    assert auc.value == pytest.approx(roc_auc_score(y, scores))
    precision = average_precision(y, scores, n_resamples=50, random_state=0)
    assert precision.value == pytest.approx(average_precision_score(y, scores))
    for estimate in (auc, precision):
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert auc.low < auc.high


def test_table_is_scikit_learns_class_by_class():
    rng = np.random.default_rng(0)
    y, scores = rng.integers(0, 2, 40), rng.random(40)
    table = score_table(y, scores, threshold=0.6, n_resamples=100, random_state=0).set_index(["metric", "class"])
    expected = precision_recall_fscore_support(y, scores >= 0.6)
    for code, name in enumerate(("PD", "PsPD")):
        found = [table.loc[(metric, name), "value"] for metric in ("precision", "recall", "f1")]
        np.testing.assert_allclose(found, [values[code] for values in expected[:3]])
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


def test_one_threshold_a_patient():
    table = score_table([0, 1, 0, 1], [0.3, 0.3, 0.6, 0.6], threshold=[0.4, 0.2, 0.7, 0.5], n_resamples=50)
    assert table.loc[table["metric"] == "accuracy", "value"].item() == 1


def test_precision_without_a_call_is_undefined_and_said_so():
    table = score_table([0, 1, 0], [0.1, 0.2, 0.1], threshold=0.5, n_resamples=50).set_index(["metric", "class"])
    row = table.loc[("precision", "PsPD")]
    assert np.isnan(row["value"])
    assert (row["low"], row["high"], row["method"]) == (0, 1, "undefined: no cases")


def test_perfect_and_constant_scores_keep_a_wide_interval():
    perfect = roc_auc([0] * 11 + [1] * 8, np.arange(19))
    assert perfect.value == perfect.high == 1
    assert 0.6 < perfect.low < 0.95
    constant = roc_auc([0] * 11 + [1] * 8, np.zeros(19))
    assert constant.value == 0.5
    assert constant.low < 0.3
    assert constant.high > 0.7
    one = roc_auc([0, 0, 0, 1], [0.1, 0.2, 0.3, 0.25])
    assert one.low < 0.4
    assert one.high > 0.9


def test_wilson_against_a_published_value():
    """Newcombe, Stat Med 17, 857-872 (1998), table I: 81 of 263 and 0 of 20."""
    np.testing.assert_allclose(proportion(81, 263)[1:3], (0.2553, 0.3662), atol=5e-5)
    np.testing.assert_allclose(proportion(0, 20)[1:3], (0.0, 0.1611), atol=5e-5)


@pytest.mark.parametrize("true_auc", [0.5, 0.75, 0.9])
@pytest.mark.parametrize("counts", [(11, 8), (37, 22), (120, 80)], ids=["n=19", "n=59", "n=200"])
def test_auc_intervals_cover(counts, true_auc):
    n_pd, n_pspd = counts
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], counts)
    shift = np.sqrt(2) * norm.ppf(true_auc) * y
    estimates = [roc_auc(y, rng.normal(size=n_pd + n_pspd) + shift) for _ in range(1000)]
    coverage = np.mean([e.low <= true_auc <= e.high for e in estimates])
    # Three standard errors of 1000 draws around 92 to 98 %.
    assert 0.90 <= coverage <= 0.993


def test_interval_of_the_papers_external_auc():
    """AUC 0.83 of 11 and 8 patients: about 0.57 to 0.95."""
    y = np.repeat([0, 1], (11, 8))
    rng = np.random.default_rng(0)
    draws = (roc_auc(y, rng.normal(size=19) + 1.35 * y) for _ in range(4000))
    close = [e for e in draws if abs(e.value - 0.83) < 0.006]
    assert len(close) > 20
    assert np.median([e.low for e in close]) == pytest.approx(0.57, abs=0.03)
    assert np.median([e.high for e in close]) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(
    ("y", "scores", "message"),
    [
        ([0, 0], [0.1, 0.2], "both at least once"),
        ([0, 2], [0.1, 0.2], "y_true holds 0 and 1"),
        ([0, 1], [0.1, np.nan], "1 values that are not finite"),
        ([0, 1], [0.1], "of one length"),
    ],
)
def test_refusals(y, scores, message):
    with pytest.raises(ValueError, match=message):
        roc_auc(y, scores)
