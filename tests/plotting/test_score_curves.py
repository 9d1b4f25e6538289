"""Points of curves and their means over folds, against independent computations."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from sklearn_pspd.plotting.score_curves import (
    fold_curves,
    mean_precision_recall,
    mean_roc,
    precision_recall_points,
    roc_points,
)

outcomes_and_scores = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 8).map(lambda n: n / 8)), min_size=2, max_size=12
).filter(lambda patients: len({outcome for outcome, _ in patients}) == 2)
folds = st.lists(outcomes_and_scores, min_size=1, max_size=5)


def points_of(patients, points):
    return points(*(np.array(column) for column in zip(*patients, strict=True)))


def area_of_steps(recall, precision):
    return float(np.sum(np.diff(recall) * precision[1:]))


@settings(max_examples=50, deadline=None)
@given(outcomes_and_scores)
def test_the_area_below_a_curve_is_its_metric(patients):
    y_true, y_score = zip(*patients, strict=True)
    assert auc(*points_of(patients, roc_points)) == pytest.approx(roc_auc_score(y_true, y_score))
    recall, precision = points_of(patients, precision_recall_points)
    assert recall[0] == 0
    assert recall[-1] == 1
    assert area_of_steps(recall, precision) == pytest.approx(average_precision_score(y_true, y_score))


@settings(max_examples=50, deadline=None)
@given(folds)
def test_the_area_below_a_mean_curve_is_the_mean_of_the_metrics(of_folds):
    columns = [tuple(zip(*patients, strict=True)) for patients in of_folds]
    mean = mean_roc([points_of(patients, roc_points) for patients in of_folds])
    assert auc(*mean) == pytest.approx(np.mean([roc_auc_score(*fold) for fold in columns]))
    steps = mean_precision_recall([points_of(patients, precision_recall_points) for patients in of_folds])
    expected = np.mean([average_precision_score(*fold) for fold in columns])
    assert area_of_steps(*steps) == pytest.approx(expected)


@settings(max_examples=50, deadline=None)
@given(folds)
def test_mean_curves_are_vertical_means(of_folds):
    """Between the places where a curve bends, by definition: the mean over folds of the value there."""
    curves = [points_of(patients, roc_points) for patients in of_folds]
    x, y = mean_roc(curves)
    assert (np.diff(y) >= 0).all()
    grid = np.unique(x)
    for place in (grid[:-1] + grid[1:]) / 2:
        expected = np.mean([np.interp(place, *curve) for curve in curves])
        assert np.interp(place, x, y) == pytest.approx(expected)
    steps = mean_precision_recall([points_of(patients, precision_recall_points) for patients in of_folds])
    for place in (steps[0][:-1] + steps[0][1:]) / 2:
        expected = np.mean([precision_at(place, *zip(*patients, strict=True)) for patients in of_folds])
        assert steps[1][np.flatnonzero(steps[0] >= place)[0]] == pytest.approx(expected)


def precision_at(recall, y_true, y_score):
    """Return the precision at the highest threshold with at least this recall, counted patient by patient."""
    y_true, y_score = np.array(y_true), np.array(y_score)
    for threshold in sorted(set(y_score), reverse=True):
        predicted = y_score >= threshold
        if y_true[predicted].sum() / y_true.sum() >= recall:
            return y_true[predicted].mean()
    raise AssertionError(recall)


def test_folds_with_one_outcome_have_no_curve():
    scores = pd.DataFrame({"fold": [1, 1, 2, 2, 3], "y_true": [0, 1, 1, 1, 0], "y_score": [0.2, 0.7, 0.4, 0.1, 0.3]})
    curves = fold_curves(scores, roc_points)
    assert list(curves) == [1]
    np.testing.assert_array_equal(curves[1], roc_points([0, 1], [0.2, 0.7]))
