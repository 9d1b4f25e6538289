"""The comparison of models: the same folds, no leak, the external set untouched."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from cross_validated import draw_comparison
from joblib import parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    RepeatedStratifiedKFold,
    ShuffleSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from sklearn_pspd import (
    ClinicalMinMaxScaler,
    compare_models,
    make_clinical_pipeline,
    make_fusion_pipeline,
    read_cohort,
    split_xy,
)
from sklearn_pspd.cohort import CLINICAL_COLUMNS
from sklearn_pspd.datasets.synthetic import _draw_patients
from sklearn_pspd.model_selection import ModelComparison, external_uses
from sklearn_pspd.plotting import ComparisonDisplay
from sklearn_pspd.reporting import comparison_text, write_comparison
from sklearn_pspd.statistics import auc_within_folds, calibration_slope, decision_curve, delong_test, roc_auc


class Memoriser(ClassifierMixin, BaseEstimator):
    """Score 1 where the patient was seen while fitting."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.seen_ = set(X["patient_id"])
        return self

    def predict_proba(self, X):
        seen = X["patient_id"].isin(self.seen_).to_numpy().astype(float)
        return np.column_stack([1 - seen, seen])


class Untouchable(ClassifierMixin, BaseEstimator):
    """Fails the test that fits it."""

    def fit(self, X, y):
        raise AssertionError("fitted though the call was to be refused")

    def predict_proba(self, X):
        raise AssertionError("asked though it was never fitted")


@pytest.fixture
def patients():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3 == 0
    X = pd.DataFrame({"patient_id": [f"p{row}" for row in range(60)], "a": rng.normal(size=60) + y})
    return X, y.astype(int)


@pytest.fixture
def models():
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


def test_the_auc_is_the_mean_over_folds_and_the_rest_is_pooled(patients, models):
    X, y = patients
    comparison = compare_models(models, X, y, cv=4, random_state=0)
    frame = comparison.frame().set_index(["model", "metric", "class"])["value"]
    scores = comparison.scores[comparison.scores["model"] == "logistic"]
    assert frame["logistic", "auc_pooled", ""] == pytest.approx(roc_auc_score(scores["y_true"], scores["y_score"]))
    pooled = average_precision_score(scores["y_true"], scores["y_score"])
    assert frame["logistic", "average_precision", ""] == pytest.approx(pooled)
    by_fold = [roc_auc_score(fold["y_true"], fold["y_score"]) for _, fold in scores.groupby("fold")]
    assert frame["logistic", "auc", ""] == pytest.approx(np.mean(by_fold))
    assert frame["memory", "auc", ""] == 0.5


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


def test_refusals(patients, models, tmp_path):
    X, y = patients
    with pytest.raises(ValueError, match="in the training set too: p5, p6"):
        compare_models(models, X, y, X_test=X[5:7], y_test=y[5:7])
    with pytest.raises(ValueError, match="cv=30 folds need 30 patients of each class; there are 40"):
        compare_models(models, X, y, cv=30)
    with pytest.raises(ValueError, match="come together"):
        compare_models(models, X, y, X_test=X)
    with pytest.raises(ValueError, match="y must contain only 0"):
        compare_models(models, X, np.where(y, "PsPD", "PD"))
    with pytest.raises(ValueError, match="y is None"):
        compare_models(models, X, None)
    without_proba = {**models, "support vectors": SVC(), "distances": RidgeClassifier()}
    with pytest.raises(ValueError, match=r"models without predict_proba.*: support vectors, distances"):
        compare_models(without_proba, X, y)
    overlapping = [(np.arange(40), np.arange(38, 60))]
    with pytest.raises(ValueError, match="cv: fold 1 has patients in both its training and its test set: rows 38, 39"):
        compare_models({"unfitted": models["memory"]}, X, y, cv=overlapping)
    with pytest.raises(ValueError, match=r"cv=LeaveOneGroupOut\(\).split\(X, y, X\['site'\]\)"):
        compare_models(models, X, y, cv=LeaveOneGroupOut())
    with pytest.raises(ValueError, match="cv contains no splits"):
        compare_models(models, X, y, cv=[])
    with pytest.raises(ValueError, match="models must be a dict of at least one model"):
        compare_models([models["memory"]], X, y)
    with pytest.raises(ValueError, match="it is a folder; a file is needed"):
        compare_models(models, X, y, external_log=tmp_path)


def test_report_and_figure_agree_with_the_frame(patients, models, tmp_path):
    X, y = patients
    comparison = compare_models(models, X[:45], y[:45], cv=3, X_test=X[45:], y_test=y[45:], random_state=0)
    write_comparison(comparison, tmp_path, title="Made up")
    assert {path.name for path in tmp_path.iterdir()} == {
        "comparison.txt",
        "comparison.csv",
        "comparison.png",
        "confusion_matrices.png",
        "fold_curves.png",
        "scores.csv",
        "tests.csv",
        "calibration.csv",
        "calibration.png",
        "calibration_curves.csv",
        "decision_curves.csv",
        "decision_curves.png",
        "thresholds.csv",
        "thresholds.png",
        "external_uses.csv",
    }
    text = comparison_text(comparison)
    auc = comparison.frame().query("metric == 'auc' and model == 'logistic' and evaluation == 'external'").iloc[0]
    assert f"{auc['value']:.2f} ({auc['low']:.2f} to {auc['high']:.2f})" in text.split("External")[1]
    display = ComparisonDisplay.from_comparison(comparison)
    assert isinstance(display, ComparisonDisplay)
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


def test_calibration_and_net_benefit_of_each_model(patients, models):
    X, y = patients
    comparison = compare_models({"logistic": models["logistic"]}, X[:45], y[:45], cv=5, X_test=X[45:], y_test=y[45:])
    external = comparison.scores.query("evaluation == 'external'")
    row = comparison.calibration().query("evaluation == 'external' and metric == 'slope'").iloc[0]
    assert row[["value", "low", "high"]].tolist() == list(calibration_slope(y[45:], external["y_score"])[:3])
    curves = comparison.decision_curves(thresholds=[0.3]).set_index("evaluation")
    expected = decision_curve(y[45:], external["y_score"], thresholds=[0.3]).iloc[0]
    assert curves.loc["external", "net_benefit"] == expected["net_benefit"]
    assert comparison.calibration_curves(n_bins=3).groupby("evaluation")["n"].sum().to_dict() == {
        "cross-validation": 45,
        "external": 15,
    }


def test_thresholds_are_frozen_before_the_external_set(patients, models):
    X, y = patients
    model = {"logistic": models["logistic"]}
    tables = [
        compare_models(model, X[:45], y[:45], cv=5, X_test=X[45:], y_test=outcomes, random_state=0).thresholds()
        for outcomes in (y[45:], np.roll(y[45:], 1))
    ]
    learned = [table[table["rule"] != "equal_error, test set"] for table in tables]
    pd.testing.assert_series_equal(learned[0]["threshold"], learned[1]["threshold"])
    seen = [table.loc[table["rule"] == "equal_error, test set"] for table in tables]
    assert seen[0]["threshold"].item() != seen[1]["threshold"].item()
    assert all(table["is_optimistic"].all() for table in seen)
    outside = learned[0][learned[0]["evaluation"] == "external"]
    assert not outside["is_optimistic"].any()
    assert (outside["low"] <= outside["high"]).all()


@pytest.fixture
def first_use():
    """No external set was used before in this process, nor will have been afterwards."""
    external_uses._USES.clear()
    yield
    external_uses._USES.clear()


@pytest.mark.usefixtures("first_use")
def test_a_second_use_of_the_external_set_is_recorded(patients, models, tmp_path):
    X, y = patients
    log = tmp_path / "uses.jsonl"
    first, other = {"logistic": models["logistic"]}, {"logistic": clone(models["logistic"])}
    other["logistic"].set_params(logisticregression__C=0.1)

    def use(model, rows=slice(45, 60)):
        return compare_models(model, X[:40], y[:40], cv=5, X_test=X[rows], y_test=y[rows], external_log=log)

    once = use(first)
    assert once.external_uses[["use", "n_shared", "is_new_choice"]].to_numpy().tolist() == [[1, 15, False]]
    assert "scored" not in comparison_text(once)
    assert use({"logistic": clone(first["logistic"])}).external_uses["is_new_choice"].tolist() == [False, False]
    third = use(other, rows=slice(50, 60))
    assert third.external_uses[["use", "n_shared", "is_new_choice"]].to_numpy().tolist() == [
        [1, 10, False],
        [2, 10, False],
        [3, 10, True],
    ]
    assert "These external patients were scored 3 times, with 2 models or settings." in comparison_text(third)
    assert use(first, rows=slice(40, 45)).external_uses["use"].tolist() == [1]
    external_uses._USES.clear()  # as in another process
    assert use(other).external_uses["use"].tolist() == [1, 2, 3, 4]
    log.write_text(log.read_text() + "{}\n")
    unfitted = {"never fitted": Untouchable()}
    with pytest.raises(ValueError, match="line 6: not a record of an external set's use"):
        use(unfitted)
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        compare_models(unfitted, X, y, cv=5, external_log=tmp_path / "absent" / "uses.jsonl")


@pytest.mark.usefixtures("first_use")
def test_an_edited_table_does_not_hide_a_second_use(patients, models):
    X, y = patients
    model = {"logistic": models["logistic"]}

    def use(X_test, y_test, model=model, X=X[:40], y=y[:40]):
        return compare_models(model, X, y, cv=5, X_test=X_test, y_test=y_test).external_uses

    use(X[45:], y[45:])
    edited = X[45:].assign(a=X["a"][45:].round(3), patient_id=X["patient_id"][45:].str.upper() + " ", age_years=60)
    flipped = np.where(np.arange(15) < 2, 1 - y[45:], y[45:])
    uses = use(edited, flipped, {"renamed": model["logistic"]})
    assert uses[["use", "n_shared", "n_relabelled"]].to_numpy().tolist() == [[1, 15, 2], [2, 15, 0]]
    assert not uses["is_new_choice"].any()
    text = comparison_text(compare_models(model, X[:40], y[:40], cv=5, X_test=X[45:], y_test=y[45:]))
    assert "The outcome of 2 of them was different at an earlier use." in text
    assert use(X[45:], y[45:], X=X[1:40], y=y[1:40])["is_new_choice"].tolist()[-1]
    assert use(X[45:], y[45:], X=X[:40].assign(b=1.0))["is_new_choice"].tolist()[-1]
    nameless = X[["a"]].to_numpy()
    values = make_pipeline(LogisticRegression())
    assert use(nameless[45:], y[45:], {"m": values}, nameless[:40])["use"].tolist() == [1]
    assert use(nameless[50:], y[50:], {"m": values}, nameless[:40])["n_shared"].tolist() == [10, 10]


def test_settings_that_change_no_result_are_no_new_choice():
    def settings_of(model):
        return external_uses._settings_of(model, [])

    network = make_fusion_pipeline(size_px=8)
    same = make_fusion_pipeline(size_px=8, memory="elsewhere", n_jobs=2)
    assert settings_of(network) == settings_of(same)
    assert settings_of(network) != settings_of(make_fusion_pipeline(size_px=16))
    searches = [GridSearchCV(network, {"classifier__epochs": np.array([1, last])}, cv=3) for last in (2, 2, 3)]
    assert settings_of(searches[0]) == settings_of(searches[1]) != settings_of(searches[2])
    unnamed = FunctionTransformer(lambda X: X)
    assert settings_of(unnamed) != settings_of(unnamed)
    assert settings_of(FunctionTransformer(np.log)) == settings_of(FunctionTransformer(np.log))


def test_one_site_left_out(patients, models):
    X, y = patients
    X = X.assign(site=np.repeat(["A", "B", "C"], 20))
    splits = LeaveOneGroupOut().split(X, y, X["site"])
    scores = compare_models(models, X, y, cv=splits).scores.query("model == 'memory'")
    assert scores["fold"].nunique() == 3
    assert (scores.groupby("fold")["patient_id"].agg(set).map(len) == 20).all()
    assert scores["y_score"].eq(0).all()


def test_a_search_tunes_inside_each_fold_and_says_what_it_promised(patients):
    X, y = patients
    grid = {"selectkbest__k": [1, 5, 20], "logisticregression__C": [0.01, 1.0, 100.0]}
    pipeline = make_pipeline(
        ColumnTransformer([("noise", "passthrough", slice(2, None))]), SelectKBest(), LogisticRegression()
    )
    noise = pd.DataFrame(np.random.default_rng(1).normal(size=(60, 40))).add_prefix("noise")
    search = GridSearchCV(pipeline, grid, scoring="roc_auc", cv=3)
    X = pd.concat([X, noise], axis=1)
    comparison = compare_models(
        {"search": search, "plain": pipeline}, X[:45], y[:45], cv=3, X_test=X[45:], y_test=y[45:]
    )
    tuning = comparison.tuning
    assert tuning[["model", "evaluation", "fold"]].to_numpy().tolist() == [
        *(["search", "cross-validation", fold] for fold in (1, 2, 3)),
        ["search", "external", 0],
    ]
    outer = (
        comparison.frame()
        .query("model == 'search' and metric == 'auc' and evaluation == 'cross-validation'")["value"]
        .item()
    )
    inside = tuning[tuning["fold"] > 0]
    assert inside["outer_score"].mean() == pytest.approx(outer)
    assert f"{inside['inner_score'].mean() - outer:+.2f}" in comparison_text(comparison).split("Tuning inside")[1]


def test_cross_validated_models_of_no_worth_are_rarely_called_different():
    """Without the correction the test and the interval are wrong in more than 10 % of cohorts (two standard errors)."""
    plain, corrected, missed = [], [], []
    for seed in range(200):
        comparison, _ = draw_comparison(37, 22, 0.0, 5, seed)
        a, b = (part.sort_values("patient_id") for _, part in comparison.scores.groupby("model"))
        test = comparison.tests().query("metric == 'auc'").iloc[0]
        assert "within folds" in test["method"]
        corrected.append(test["p_value"] < 0.05)
        plain.append(delong_test(a["y_true"], a["y_score"], b["y_score"].to_numpy()).p_value < 0.05)
        auc = auc_within_folds(a["y_true"], a["y_score"], a["fold"])
        missed.append(not auc.low <= 0.5 <= auc.high)
    assert np.mean(plain) > 0.1
    assert np.mean(corrected) < 0.08
    assert np.mean(missed) < 0.08


def test_widened_bootstrap_limits_hardly_depend_on_the_seed():
    """BCa limits this far out are about the outermost resample; their standard deviation over seeds was 0.011."""
    comparison = ModelComparison(draw_comparison(37, 22, 1.0, 5, 1)[0].scores.query("model == 'a'"))
    tables = [comparison.frame(random_state=seed).set_index("metric") for seed in range(8)]
    limits = [table.loc[["average_precision", "f1"], ["low", "high"]].to_numpy() for table in tables]
    assert np.std(limits, axis=0).max() < 0.008


def test_intervals_of_a_cross_validation_are_the_widened_ones(patients, models):
    X, y = patients
    comparison = compare_models({"logistic": models["logistic"]}, X, y, cv=5, random_state=0)
    row = comparison.frame().query("metric == 'auc_pooled'").iloc[0]
    wide = roc_auc(
        y, comparison.scores.set_index("patient_id").loc[X["patient_id"], "y_score"], confidence_level=0.99671
    )
    assert [row["low"], row["high"]] == pytest.approx([wide.low, wide.high], abs=1e-4)
    assert row["method"] == "DeLong, logit, widened for shared training patients"


def test_repeats_score_each_patient_once_each(patients, models):
    X, y = patients
    splitter = RepeatedStratifiedKFold(n_splits=4, n_repeats=3, random_state=0)
    comparison = compare_models(models, X, y, cv=splitter)
    logistic = comparison.scores.query("model == 'logistic'")
    assert logistic.groupby("repeat")["patient_id"].agg(set).map(len).tolist() == [60, 60, 60]
    assert logistic.groupby("repeat")["fold"].agg(set).tolist() == [{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 11, 12}]
    rows = comparison.frame().query("model == 'logistic'").set_index(["metric", "class"])
    by_fold = [roc_auc_score(fold["y_true"], fold["y_score"]) for _, fold in logistic.groupby("fold")]
    assert rows.loc[("auc", ""), "value"] == pytest.approx(np.mean(by_fold))
    once = [ModelComparison(part).frame().set_index(["metric", "class"]) for _, part in logistic.groupby("repeat")]
    for column in ("value", "low", "high"):
        expected = np.mean([table.loc[("brier", ""), column] for table in once])
        assert rows.loc[("brier", ""), column] == pytest.approx(expected)
    # More repeats of the same patients are not more patients.
    widths = [table.loc[("auc", ""), "high"] - table.loc[("auc", ""), "low"] for table in [rows, *once]]
    assert widths[0] == pytest.approx(np.mean(widths[1:]), rel=0.25)
    by_chance = [table.loc[("average_precision_by_chance", ""), "value"] for table in [rows, *once]]
    assert by_chance == pytest.approx([by_chance[1]] * 4)
    assert set(comparison.tests()["metric"]) == {"auc", "accuracy"}
    assert "3 repeats of 4 folds" in comparison_text(comparison)


def test_folds_that_test_some_patients_more_often_are_refused(patients, models):
    X, y = patients
    with pytest.raises(ValueError, match="cv tests some patients more often than others"):
        compare_models(models, X, y, cv=ShuffleSplit(n_splits=5, random_state=0))


@pytest.mark.parametrize("cv", [5, 10, KFold(4), RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0)])
def test_a_model_that_knows_nothing_gets_one_half(cv):
    X, y = pd.DataFrame({"a": np.zeros(59)}), np.random.default_rng(0).permutation(np.repeat([0, 1], [37, 22]))
    comparison = compare_models({"prevalence": DummyClassifier(strategy="prior")}, X, y, cv=cv, random_state=0)
    auc = comparison.frame().query("metric == 'auc'").iloc[0]
    assert auc["value"] == 0.5
    assert auc["low"] < 0.5 < auc["high"]


def test_folds_of_one_patient_have_no_auc(patients, models):
    X, y = patients
    models = {"logistic": models["logistic"], "prevalence": DummyClassifier()}
    comparison = compare_models(models, X[:30], y[:30], cv=LeaveOneOut())
    rows = comparison.frame().query("model == 'logistic'").set_index("metric")
    assert np.isnan(rows.loc[["auc", "auc_pooled"], "value"]).all()
    assert "one class" in rows.loc["auc", "method"]
    assert rows.loc["accuracy", "value"] > 0
    assert set(comparison.tests()["metric"]) == {"accuracy"}
    assert "no AUC" in comparison_text(comparison)
    assert len(ComparisonDisplay.from_comparison(comparison).axes_[0, 0].lines) == 1
    plt.close("all")


def test_scores_at_different_levels_are_a_finding():
    rng = np.random.default_rng(0)
    y, fold = np.arange(60) % 2, np.arange(60) // 2 % 5
    score = 1 / (1 + np.exp(-(rng.normal(size=60) + y + 4 * fold - 8)))
    comparison = ModelComparison.from_predictions(y, {"unstable": score, "steady": rng.random(60)}, fold=fold)
    table = comparison.frame().set_index(["model", "metric"])["value"]
    assert table["unstable", "auc"] > table["unstable", "auc_pooled"] + 0.1
    share = f"{100 * table['unstable', 'fold_level_share']:.0f} %"
    text = comparison_text(comparison)
    assert f"unstable: {share} of the variance of the scores lies between folds" in " ".join(text.split())
    assert "steady: " not in text


class Ensemble(ClassifierMixin, BaseEstimator):
    """A classifier of the column a with members that differ by their seed."""

    def __init__(self, n_members=4, noise=0.5, random_state=0):
        self.n_members = n_members
        self.noise = noise
        self.random_state = random_state

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def member_probabilities(self, X):
        rng = np.random.default_rng(self.random_state)
        log_odds = X["a"].to_numpy() + self.noise * rng.normal(size=(self.n_members, len(X)))
        positive = 1 / (1 + np.exp(-log_odds))
        return np.stack([1 - positive, positive], axis=2)

    def predict_proba(self, X):
        return self.member_probabilities(X).mean(axis=0)


def test_an_ensemble_is_scored_member_by_member(patients, models):
    X, y = patients
    models = {"ensemble": Ensemble(), "steady": Ensemble(noise=0.0), "logistic": models["logistic"]}
    comparison = compare_models(models, X[:40], y[:40], cv=4, X_test=X[40:], y_test=y[40:], random_state=0)
    scores = comparison.scores
    assert scores.groupby("model")["replicate"].max().to_dict() == {"ensemble": 4, "steady": 4, "logistic": 0}
    external = scores.query("model == 'ensemble' and evaluation == 'external'")
    single = [roc_auc_score(part["y_true"], part["y_score"]) for _, part in external.groupby("replicate")][1:]
    replicates = comparison.replicates().set_index(["model", "evaluation"]).loc[("ensemble", "external")]
    assert replicates[["value", "lowest", "highest"]].tolist() == pytest.approx(
        [np.mean(single), np.min(single), np.max(single)]
    )
    assert replicates["n_replicates"] == 4
    assert 0 < replicates["changing_class"] < 1
    rows = comparison.frame().set_index(["model", "evaluation", "metric"])["value"]
    assert rows["ensemble", "external", "auc_single_network"] == pytest.approx(np.mean(single))
    assert ("logistic", "external", "auc_single_network") not in rows.index

    # Without differences between the members there is no training variance.
    steady = comparison.replicates().set_index(["model", "evaluation"]).loc[("steady", "external")]
    assert steady[["training", "changing_class"]].tolist() == pytest.approx([0, 0], abs=1e-9)
    spread = comparison.patients()
    assert len(spread) == 2 * 60
    assert (spread.query("model == 'steady'")["std"] == 0).all()
    one = external.query("patient_id == 'p41' and replicate > 0")["y_score"]
    row = spread.query("model == 'ensemble' and patient_id == 'p41'").iloc[0]
    assert row[["lowest", "highest"]].tolist() == [one.min(), one.max()]
    assert set(comparison.tests()["metric"]) == {"auc", "auc_single_network", "accuracy"}
    text = comparison_text(comparison)
    assert f"{np.min(single):.2f} to {np.max(single):.2f}" in text


def test_each_fold_has_its_own_seed(patients):
    X, y = patients
    comparison = compare_models({"ensemble": Ensemble()}, X, y, cv=3, random_state=0, keep_models=True)
    noise = comparison.scores.query("replicate > 0").assign(
        noise=lambda scores: (
            np.log(scores["y_score"] / (1 - scores["y_score"]))
            - scores["patient_id"].map(dict(zip(X["patient_id"], X["a"], strict=True)))
        )
    )
    first = [part["noise"].iloc[0] for _, part in noise.groupby("fold")]
    assert len(set(np.round(first, 9))) == 3
    assert comparison.models["ensemble"].random_state == 0
    again = compare_models({"ensemble": Ensemble()}, X, y, cv=3, random_state=0)
    pd.testing.assert_frame_equal(again.scores, comparison.scores)


def test_seeds_are_not_tuned(patients):
    X, y = patients
    grid = {"logisticregression__random_state": [0, 1, 2]}
    search = GridSearchCV(make_pipeline(LogisticRegression()), grid, cv=2)
    with pytest.raises(ValueError, match="lucky: GridSearchCV tunes logisticregression__random_state"):
        compare_models({"lucky": search}, X[["a"]], y, cv=3)


def test_a_patient_in_two_rows_is_refused(patients, models):
    """Else a model could be trained on the patient that it is scored on."""
    X, y = patients
    twice = X.assign(patient_id=X["patient_id"].where(X["patient_id"] != "p3", " P4"))
    with pytest.raises(ValueError, match="X has patients in more than one row: p4"):
        compare_models({"never fitted": Untouchable()}, twice, y, cv=5)
    nobody = X.assign(patient_id=X["patient_id"].mask(X["patient_id"].isin(["p3", "p4"]), None))
    with pytest.raises(ValueError, match=r"X has 2 row\(s\) without a patient_id"):
        compare_models({"never fitted": Untouchable()}, nobody, y, cv=5)
    outside = X[50:].assign(patient_id=X["patient_id"][50:] + " ")
    with pytest.raises(ValueError, match="in the training set too: p50, p51"):
        compare_models({"never fitted": Untouchable()}, X, y, cv=5, X_test=outside, y_test=y[50:])
    with pytest.raises(ValueError, match=r"each of its 10 patients, and both outcomes; got 10 with PD \(0\) and 0"):
        compare_models({"never fitted": Untouchable()}, X[:50], y[:50], cv=5, X_test=X[50:], y_test=np.zeros(10, int))


def test_one_patient_of_a_class_in_the_external_set_is_enough(patients, models):
    X, y = patients
    rows = np.concatenate([[45], np.flatnonzero(y[46:] == 0)[:2] + 46])
    comparison = compare_models(
        {"a": models["logistic"], "b": clone(models["logistic"]).set_params(logisticregression__C=0.01)},
        X[:45], y[:45], cv=5, X_test=X.iloc[rows], y_test=y[rows], random_state=0,
    )  # fmt: skip
    text = comparison_text(comparison)
    assert "External: held-out site, 2 PD, 1 PsPD" in text
    assert comparison.calibration_curves().query("evaluation == 'external'")["n"].sum() == 6


def test_an_effect_of_zero_gives_no_model_an_edge():
    """Synthetic cohorts without a signal: intervals of the held-out site and of the folds rarely lie above 0.5."""
    above, apart, values = [], [], []
    for seed in range(60):
        table, _ = _draw_patients(78, 0.0, np.random.default_rng(seed))
        table = table.assign(patient_id=[f"null-{seed}-{row}" for row in range(78)])
        parts = [split_xy(table[table["site"] == site]) for site in ("A", "B")]
        scaled = ColumnTransformer([("clinical", ClinicalMinMaxScaler(), list(CLINICAL_COLUMNS))])
        model = {"logistic": make_pipeline(scaled, LogisticRegression(C=10))}
        scores = compare_models(
            model, *parts[0], cv=5, X_test=parts[1][0], y_test=parts[1][1], random_state=seed
        ).scores
        for _, part in scores.groupby("evaluation"):
            columns = [part[name].to_numpy() for name in ("y_true", "y_score", "fold")]
            auc = auc_within_folds(*columns)
            above.append(auc.low > 0.5)
            apart.append(not auc.low <= 0.5 <= auc.high)
            values.append(auc.value)
    assert np.mean(above) <= 0.06  # 2.5 % and two standard errors of 120 draws
    assert np.mean(apart) <= 0.09
    assert np.mean(values) == pytest.approx(0.5, abs=0.03)


def test_a_dask_cluster_scores_as_this_process_does(cohort_folder):
    """X is a table of paths, so two workers fit and search what they are sent."""
    distributed = pytest.importorskip("dask.distributed")
    X, y = split_xy(read_cohort(cohort_folder / "cohort.csv"))
    model = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=20)
    grid = GridSearchCV(model, {"classifier__max_depth": [2, None]}, scoring="roc_auc", cv=3)
    here = grid.fit(X, y).cv_results_["mean_test_score"]
    compared = compare_models({"clinical": model}, X, y, cv=3, random_state=0).scores
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        parallel_config("dask"),
    ):
        np.testing.assert_allclose(clone(grid).fit(X, y).cv_results_["mean_test_score"], here)
        there = compare_models({"clinical": model}, X, y, cv=3, random_state=0).scores
    pd.testing.assert_frame_equal(there, compared)
