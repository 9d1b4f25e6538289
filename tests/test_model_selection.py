"""The comparison of models: the same folds, no leak, the external set untouched."""

import joblib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from dask.distributed import Client, LocalCluster
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from sklearn_pspd import compare_models
from sklearn_pspd.plotting import ComparisonDisplay
from sklearn_pspd.reporting import comparison_text, write_comparison


class Memoriser(ClassifierMixin, BaseEstimator):
    """Score 1 where the patient was seen while fitting."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.seen_ = set(X["patient_id"])
        return self

    def predict_proba(self, X):
        seen = X["patient_id"].isin(self.seen_).to_numpy().astype(float)
        return np.column_stack([1 - seen, seen])


@pytest.fixture
def patients():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3 == 0
    X = pd.DataFrame({"patient_id": [f"p{row}" for row in range(60)], "a": rng.normal(size=60) + y})
    return X, y.astype(int)


@pytest.fixture
def models():
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline

    return {
        "logistic": make_pipeline(ColumnTransformer([("a", "passthrough", ["a"])]), LogisticRegression()),
        "memory": Memoriser(),
    }


def test_every_patient_is_scored_once_by_models_that_never_saw_it(patients, models):
    X, y = patients
    scores = compare_models(models, X[:45], y[:45], cv=5, X_test=X[45:], y_test=y[45:], random_state=0).scores
    assert (scores.loc[scores["model"] == "memory", "y_score"] == 0).all()
    for _, of_model in scores.groupby("model"):
        assert sorted(of_model["patient_id"]) == sorted(X["patient_id"])
        assert of_model.set_index("patient_id")["y_true"].to_dict() == dict(zip(X["patient_id"], y, strict=True))
    folds = scores.groupby("model")["fold"].apply(list)
    assert folds["logistic"] == folds["memory"]


def test_the_threshold_is_the_training_share(patients, models):
    X, y = patients
    scores = compare_models(models, X[:45], y[:45], cv=5, X_test=X[45:], y_test=y[45:], random_state=0).scores
    external = scores[scores["evaluation"] == "external"]
    assert external["threshold"].unique() == [y[:45].mean()]
    inside = scores[(scores["evaluation"] != "external") & (scores["model"] == "logistic")]
    for fold in range(1, 6):
        is_test = inside["fold"] == fold
        assert inside.loc[is_test, "threshold"].unique() == pytest.approx(inside.loc[~is_test, "y_true"].mean())


def test_frame_pools_the_folds(patients, models):
    X, y = patients
    comparison = compare_models(models, X, y, cv=4, random_state=0)
    frame = comparison.frame().set_index(["model", "metric", "class"])["value"]
    scores = comparison.scores[comparison.scores["model"] == "logistic"]
    assert frame["logistic", "auc", ""] == pytest.approx(roc_auc_score(scores["y_true"], scores["y_score"]))
    pooled = average_precision_score(scores["y_true"], scores["y_score"])
    assert frame["logistic", "average_precision", ""] == pytest.approx(pooled)
    by_fold = [roc_auc_score(fold["y_true"], fold["y_score"]) for _, fold in scores.groupby("fold")]
    assert frame["logistic", "auc_fold_mean", ""] == pytest.approx(np.mean(by_fold))


def test_processes_and_progress(patients, models):
    X, y = patients
    seen = []
    serial = compare_models(models, X, y, cv=3, random_state=0, on_progress=lambda *call: seen.append(call))
    assert [call[:2] for call in seen] == [(done, 6) for done in range(1, 7)]
    assert seen[0][2] == "logistic, fold 1 of 3"
    del models["memory"]
    parallel = compare_models(models, X, y, cv=3, random_state=0, n_jobs=2)
    expected = serial.scores[serial.scores["model"] == "logistic"].reset_index(drop=True)
    pd.testing.assert_frame_equal(parallel.scores, expected)


def test_refusals(patients, models):
    X, y = patients
    with pytest.raises(ValueError, match="in the training set too: p5, p6"):
        compare_models(models, X, y, X_test=X[5:7], y_test=y[5:7])
    with pytest.raises(ValueError, match="cv=30 folds need 30 patients of each class; there are 40"):
        compare_models(models, X, y, cv=30)
    with pytest.raises(ValueError, match="come together"):
        compare_models(models, X, y, X_test=X)
    with pytest.raises(ValueError, match="y holds 0"):
        compare_models(models, X, np.where(y, "PsPD", "PD"))


def test_report_and_figure_agree_with_the_frame(patients, models, tmp_path):
    X, y = patients
    comparison = compare_models(models, X[:45], y[:45], cv=3, X_test=X[45:], y_test=y[45:], random_state=0)
    write_comparison(comparison, tmp_path, title="Made up")
    assert {path.name for path in tmp_path.iterdir()} == {
        "comparison.txt",
        "comparison.csv",
        "comparison.png",
        "scores.csv",
        "tests.csv",
    }
    text = comparison_text(comparison)
    auc = comparison.frame().query("metric == 'auc' and model == 'logistic' and evaluation == 'external'").iloc[0]
    assert f"{auc['value']:.2f} ({auc['low']:.2f} to {auc['high']:.2f})" in text.split("External")[1]
    display = ComparisonDisplay.from_comparison(comparison)
    assert display.axes_.shape == (2, 3)
    line = display.axes_[1, 2].lines[0]
    np.testing.assert_allclose(line.get_xdata(), [auc["low"], auc["high"]])
    pd.testing.assert_frame_equal(display.frame(), comparison.frame())
    plt.close("all")


def test_models_are_tested_two_by_two(patients, models):
    X, y = patients
    comparison = compare_models(models, X, y, cv=5, X_test=X.assign(patient_id=X["patient_id"] + "x"), y_test=y)
    tests = comparison.tests()
    n_pairs = len(models) * (len(models) - 1) // 2
    assert tests.groupby(["evaluation", "metric"]).size().to_dict() == {
        ("cross-validation", "accuracy"): n_pairs,
        ("cross-validation", "auc"): n_pairs,
        ("cross-validation", "auc_fold_mean"): n_pairs,
        ("external", "accuracy"): n_pairs,
        ("external", "auc"): n_pairs,
    }
    frame = comparison.frame().set_index(["evaluation", "model", "metric"])["value"].sort_index()
    for row in tests.itertuples():
        a, b = (frame.loc[(row.evaluation, model, row.metric)] for model in (row.model_a, row.model_b))
        assert row.difference == pytest.approx(a - b)
    assert (tests["p_holm"] >= tests["p_value"]).all()


def test_one_model_has_no_tests(patients, models):
    X, y = patients
    name = next(iter(models))
    comparison = compare_models({name: models[name]}, X, y, cv=5)
    assert comparison.tests().empty
    assert "difference" not in comparison_text(comparison)


def test_a_cluster_gives_the_same_scores(patients, models):
    """Fits go wherever joblib sends them, here to Dask."""
    here = compare_models(models, *patients, cv=4, random_state=0)
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        there = compare_models(models, *patients, cv=4, random_state=0, n_jobs=2)
    pd.testing.assert_frame_equal(there.scores, here.scores)
