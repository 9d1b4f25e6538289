"""What other packages, and the rest of scikit-learn, do with the three models of the paper.

The models are pipelines of the cohort table. Each test compares the result with a direct computation. Packages that are
not installed, and versions of scikit-learn that lack a function, skip the tests that need them.
"""

import inspect
import re

import numpy as np
import pytest
import sklearn
from scipy.special import logit
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay, get_scorer, log_loss, roc_auc_score
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
)

from sklearn_pspd import make_clinical_pipeline, paper_models, read_cohort, split_xy

FUSION, IMAGE, CLINICAL = "MRI + clinical", "MRI alone", "clinical alone"
# The network of the other tests, so that its compiled copy is found in the pool of the process.
N_SLICES, SIZE_PX = 3, 8


@pytest.fixture(scope="module")
def patients(cohort_folder):
    X, y = split_xy(read_cohort(cohort_folder / "cohort.csv"))
    return X[:20], y[:20]


@pytest.fixture
def models(tiny_network, cohort_folder):
    images = {"n_slices": N_SLICES, "size_px": SIZE_PX, "memory": cohort_folder / "cache"}
    models = paper_models(tiny_network, random_state=0, **images)
    models[CLINICAL].set_params(classifier__n_estimators=10)
    return models


@pytest.fixture
def fusion(models):
    return models[FUSION]


def check_probabilities(probabilities, n_patients):
    assert probabilities.shape == (n_patients, 2)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def probabilities_of(model, X):
    """Probability of PsPD; NaN is none."""
    probabilities = model.predict_proba(X)
    check_probabilities(probabilities, len(X))
    return probabilities[:, 1]


# ---- ensembles of models ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, [3.0, 1.0, 1.0]])
def test_soft_voting_averages_the_three_models(models, patients, weights):
    X, y = patients
    voting = VotingClassifier(list(models.items()), voting="soft", weights=weights).fit(X, y)
    single = [probabilities_of(clone(model).fit(X, y), X) for model in models.values()]
    np.testing.assert_allclose(probabilities_of(voting, X), np.average(single, axis=0, weights=weights), atol=1e-12)


def test_stacking_learns_from_predictions_for_held_out_patients(models, patients):
    X, y = patients
    folds = StratifiedKFold(2)
    stacking = StackingClassifier(list(models.items()), LogisticRegression(), cv=folds).fit(X, y)
    held_out = [cross_val_predict(m, X, y, cv=folds, method="predict_proba")[:, 1] for m in models.values()]
    single = [probabilities_of(clone(model).fit(X, y), X) for model in models.values()]
    final = LogisticRegression().fit(np.column_stack(held_out), y)
    np.testing.assert_allclose(stacking.transform(X), np.column_stack(single), atol=1e-12)
    np.testing.assert_allclose(
        probabilities_of(stacking, X), final.predict_proba(np.column_stack(single))[:, 1], atol=1e-12
    )


@pytest.mark.parametrize("name", [FUSION, CLINICAL])
@pytest.mark.parametrize(
    ("ensemble", "match"),
    [(BaggingClassifier, "such as BaggingClassifier, goes inside"), (AdaBoostClassifier, "support sample_weight")],
)
def test_ensembles_that_pass_arrays_or_weights_are_refused_around_a_pipeline(models, patients, name, ensemble, match):
    with pytest.raises(ValueError, match=match):
        ensemble(models[name], n_estimators=2).fit(*patients)


def test_ensembles_that_pass_arrays_or_weights_go_inside(patients):
    X, y = patients
    for ensemble in (BaggingClassifier, AdaBoostClassifier):
        inside = make_clinical_pipeline(ensemble(LogisticRegression(), n_estimators=3, random_state=0)).fit(X, y)
        columns = inside["features"].transform(X)
        expected = ensemble(LogisticRegression(), n_estimators=3, random_state=0).fit(columns, y)
        np.testing.assert_array_equal(probabilities_of(inside, X), expected.predict_proba(columns)[:, 1])


# ---- fitted models ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [FUSION, IMAGE, CLINICAL])
def test_a_frozen_model_is_not_fitted_again(models, patients, name):
    X, y = patients
    fitted = models[name].fit(X[:12], y[:12])
    expected = probabilities_of(fitted, X)
    frozen = clone(FrozenEstimator(fitted)).fit(X[12:], 1 - y[12:])
    assert frozen.estimator is fitted
    np.testing.assert_array_equal(probabilities_of(frozen, X), expected)


@pytest.mark.skipif(
    "temperature" not in inspect.getsource(CalibratedClassifierCV), reason="scikit-learn 1.8 has temperature scaling"
)
@pytest.mark.parametrize("is_frozen", [True, False])
def test_temperature_scaling_divides_the_logits(fusion, patients, is_frozen):
    X, y = patients
    fitted = clone(fusion).fit(X, y)
    inner, options = (FrozenEstimator(fitted), {}) if is_frozen else (fusion, {"ensemble": False})
    calibrated = CalibratedClassifierCV(inner, method="temperature", cv=StratifiedKFold(2), **options).fit(X, y)
    (scaled,) = calibrated.calibrated_classifiers_
    np.testing.assert_allclose(
        logit(probabilities_of(calibrated, X)),
        scaled.calibrators[0].beta_ * logit(probabilities_of(fitted, X)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_thresholds_of_scikit_learn(fusion, patients):
    X, y = patients
    fitted = clone(fusion).fit(X, y)
    threshold = np.median(probabilities_of(fitted, X))
    fixed = FixedThresholdClassifier(FrozenEstimator(fitted), threshold=threshold).fit(X, y)
    np.testing.assert_array_equal(fixed.predict(X), probabilities_of(fitted, X) >= threshold)
    tuned = TunedThresholdClassifierCV(fusion, cv=2, thresholds=5).fit(X, y)
    np.testing.assert_array_equal(tuned.predict(X), probabilities_of(fitted, X) >= tuned.best_threshold_)


# ---- cross-validation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [FUSION, IMAGE, CLINICAL])
@pytest.mark.parametrize("display", [RocCurveDisplay, PrecisionRecallDisplay])
def test_curves_of_cross_validated_models(models, patients, name, display):
    if not hasattr(display, "from_cv_results"):
        pytest.skip(f"this version of scikit-learn has no {display.__name__}.from_cv_results")
    X, y = patients
    scoring = {RocCurveDisplay: "roc_auc", PrecisionRecallDisplay: "average_precision"}[display]
    results = cross_validate(models[name], X, y, cv=2, scoring=scoring, return_estimator=True, return_indices=True)
    drawn = display.from_cv_results(results, X, y)
    areas = drawn.roc_auc if display is RocCurveDisplay else drawn.average_precision
    np.testing.assert_allclose(areas, results["test_score"])


@pytest.mark.slow
def test_two_processes_predict_what_one_does(models, patients):
    X, y = patients
    for name in (FUSION, CLINICAL):
        alone, together = (
            cross_val_predict(models[name], X, y, cv=2, n_jobs=n_jobs, method="predict_proba") for n_jobs in (1, 2)
        )
        check_probabilities(alone, len(X))
        np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("name", [FUSION, CLINICAL])
def test_permutation_test_and_learning_curve(models, patients, name):
    X, y = patients
    model, options = models[name], {"cv": StratifiedKFold(2), "scoring": "roc_auc"}
    expected = cross_val_score(model, X, y, **options)
    score, permuted, p_value = permutation_test_score(model, X, y, n_permutations=3, random_state=0, **options)
    assert score == expected.mean()
    assert p_value == (1 + (permuted >= score).sum()) / 4
    sizes, _, scores = learning_curve(model, X, y, train_sizes=[8, 10], **options)
    assert sizes.tolist() == [8, 10]
    np.testing.assert_array_equal(scores[-1], expected)


# ---- searches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", ["n_samples", "classifier__epochs"])
def test_halving_searches(fusion, patients, resource):
    """The resource is patients or epochs; the best candidate is fitted to all patients, with the most epochs tried."""
    X, y = patients
    grid = {"classifier__learning_rate": [0.1, 0.01]}
    limits = {"n_samples": {"min_resources": 10}, "classifier__epochs": {"min_resources": 1, "max_resources": 2}}
    search = HalvingGridSearchCV(
        fusion, grid, cv=2, factor=2, resource=resource, scoring="neg_log_loss", random_state=0, **limits[resource]
    ).fit(X, y)
    assert search.n_resources_ == ([10, 20] if resource == "n_samples" else [1, 2])
    assert search.best_params_["classifier__learning_rate"] in grid["classifier__learning_rate"]
    assert search.n_iterations_ == 2
    best = clone(fusion).set_params(**search.best_params_).fit(X, y)
    np.testing.assert_array_equal(probabilities_of(search, X), probabilities_of(best, X))
    assert search.best_estimator_["classifier"].n_iter_ == 2


@pytest.mark.filterwarnings("ignore:OptunaSearchCV is experimental", "ignore:.*optuna:FutureWarning")
def test_search_of_optuna(fusion, patients):
    optuna = pytest.importorskip("optuna")
    integration = pytest.importorskip("optuna_integration")
    X, y = patients
    rates = optuna.distributions.FloatDistribution(1e-3, 1e-1, log=True)
    options = {"cv": StratifiedKFold(2), "scoring": "neg_log_loss"}
    search = integration.OptunaSearchCV(
        fusion, {"classifier__learning_rate": rates}, n_trials=3, random_state=0, verbose=-1, **options
    ).fit(X, y)
    best = clone(fusion).set_params(**search.best_params_)
    assert 1e-3 <= search.best_params_["classifier__learning_rate"] <= 1e-1
    assert search.best_score_ == cross_val_score(best, X, y, **options).mean()
    np.testing.assert_array_equal(probabilities_of(search, X), probabilities_of(best.fit(X, y), X))


def test_study_of_optuna_stops_trials_by_the_loss_of_an_epoch(fusion, patients):
    """A network reports each epoch by a Keras callback, and Optuna ends the trial."""
    optuna = pytest.importorskip("optuna")
    keras = pytest.importorskip("keras")
    X, y = patients

    def loss_of(trial):
        rate = trial.suggest_categorical("learning_rate", [0.001, 1e3])
        report = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: trial.report(logs["loss"], epoch))
        model = clone(fusion).set_params(classifier__learning_rate=rate, classifier__callbacks=[report])
        model.fit(X, y)
        if trial.should_prune():
            raise optuna.TrialPruned
        return log_loss(y, probabilities_of(model, X))

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        sampler=optuna.samplers.GridSampler({"learning_rate": [0.001, 1e3]}, seed=0),
        pruner=optuna.pruners.ThresholdPruner(upper=2.0),
    )
    study.optimize(loss_of, n_trials=2)
    states = {trial.params["learning_rate"]: trial.state for trial in study.trials}
    assert states == {0.001: optuna.trial.TrialState.COMPLETE, 1e3: optuna.trial.TrialState.PRUNED}
    assert set(study.trials[0].intermediate_values) == {0, 1}
    best = clone(fusion).set_params(classifier__learning_rate=0.001).fit(X, y)
    assert study.best_value == log_loss(y, probabilities_of(best, X))


# ---- metadata routing ------------------------------------------------------------------------------------------------


def with_weights(model):
    model["classifier"].set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    return model


@pytest.mark.parametrize("name", [FUSION, IMAGE, CLINICAL])
def test_weights_and_groups_are_routed_through_a_search(models, patients, name):
    X, y = patients
    weights = np.random.default_rng(0).uniform(0.1, 3, len(X))
    folds = GroupKFold(2)
    parameter = "classifier__max_depth" if name == CLINICAL else "classifier__learning_rate"
    grid = {parameter: [1, 2] if name == CLINICAL else [0.1, 0.01]}
    with sklearn.config_context(enable_metadata_routing=True):
        model = with_weights(models[name])
        scoring = get_scorer("neg_log_loss").set_score_request(sample_weight=True)
        search = GridSearchCV(model, grid, cv=folds, scoring=scoring)
        search.fit(X, y, sample_weight=weights, groups=X["site"])
    for number, (train, test) in enumerate(folds.split(X, y, X["site"])):
        for candidate, params in enumerate(search.cv_results_["params"]):
            fold = clone(models[name]).set_params(**params)
            features = fold["features"].fit(X.iloc[train])
            classifier = fold["classifier"].fit(features.transform(X.iloc[train]), y[train], weights[train])
            probabilities = classifier.predict_proba(features.transform(X.iloc[test]))
            expected = -log_loss(y[test], probabilities, sample_weight=weights[test])
            found = search.cv_results_[f"split{number}_test_score"][candidate]
            assert found == pytest.approx(expected, rel=1e-6)
    best = clone(models[name]).set_params(**search.best_params_)
    unweighted = probabilities_of(clone(best).fit(X, y), X)
    weighted = probabilities_of(best.fit(X, y, classifier__sample_weight=weights), X)
    np.testing.assert_array_equal(probabilities_of(search, X), weighted)
    assert abs(weighted - unweighted).max() > 1e-4


def test_weights_that_nobody_requested_are_refused(fusion, patients):
    X, y = patients
    with (
        sklearn.config_context(enable_metadata_routing=True),
        pytest.raises(ValueError, match=re.escape("[sample_weight] are passed but are not explicitly set")),
    ):
        fusion.fit(X, y, sample_weight=np.ones(len(X)))


# ---- callbacks of scikit-learn ---------------------------------------------------------------------------------------


def test_scores_and_progress_of_a_search(fusion, patients, capsys):
    callback = pytest.importorskip("sklearn.callback")
    X, y = patients
    monitor = callback.ScoringMonitor(scoring="roc_auc")
    fusion["classifier"].set_callbacks(monitor)
    search = GridSearchCV(fusion, {"classifier__learning_rate": [0.1, 0.01]}, cv=2)
    if hasattr(search, "set_callbacks") and pytest.importorskip("rich"):
        search.set_callbacks(callback.ProgressBar())
    search.fit(X, y)
    scores = monitor.get_logs().data_as_pandas
    # Two candidates on two folds and the final fit: two epochs and the end of the fit for each.
    assert scores["task_name"].value_counts().to_dict() == {"epoch": 10, "fit": 5}
    assert scores["roc_auc"].between(0, 1).all()
    # The rows are ordered by their place in the search, whose second task is the final fit.
    final = scores[[path[1] == 1 for path in scores["task_id_path"]]]
    assert final["task_name"].tolist() == ["fit", "epoch", "epoch"]
    assert final["roc_auc"].iloc[-1] == final["roc_auc"].iloc[0] == roc_auc_score(y, probabilities_of(search, X))
    assert "GridSearchCV - fit" in capsys.readouterr().out


# ---- pages and reports -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [FUSION, IMAGE, CLINICAL])
def test_diagram_in_a_notebook(models, patients, name):
    for model in (models[name], models[name].fit(*patients)):
        diagram = model._repr_html_()
        for step in ("CohortPipeline", "ColumnTransformer", type(model["classifier"]).__name__):
            assert step in diagram
        assert ("SliceStackLoader" in diagram) is (name != CLINICAL)


@pytest.mark.parametrize("name", [FUSION, CLINICAL])
def test_model_card_of_skops(models, patients, tmp_path, name):
    from skops.card import Card

    X, y = patients
    model = models[name].fit(X, y)
    auc = roc_auc_score(y, probabilities_of(model, X))
    Card(model).add_metrics(roc_auc=auc).save(tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text()
    rows = dict(re.findall(r"^\|\s*(\w+)\s*\|\s*(.*?)\s*\|$", text, re.MULTILINE))
    assert float(rows["roc_auc"]) == pytest.approx(auc, abs=1e-3)
    assert rows["classifier__random_state"] == "0"
    assert {key for key in model.get_params() if key.startswith("classifier__")} < set(rows)


@pytest.fixture
def skore():
    """The package, whose own dependencies may warn when they are imported or drawn."""
    return pytest.importorskip("skore")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [FUSION, IMAGE, CLINICAL])
def test_cross_validation_report_of_skore(skore, models, patients, name):
    X, y = patients
    folds = StratifiedKFold(2)
    report = skore.evaluate(models[name], X, y, splitter=folds)
    assert isinstance(report, skore.CrossValidationReport)
    expected = cross_val_score(models[name], X, y, cv=folds, scoring="roc_auc")
    assert [one.metrics.roc_auc() for one in report.reports_] == pytest.approx(expected)
    assert report.metrics.summarize().frame().loc["roc_auc"].iloc[0] == pytest.approx(expected.mean())


@pytest.mark.filterwarnings("ignore")
def test_reports_of_skore(skore, models, patients):
    X, y = patients
    fitted = clone(models[FUSION]).fit(X, y)
    prefit = skore.evaluate(fitted, X, y, splitter="prefit")
    assert prefit.metrics.roc_auc() == roc_auc_score(y, probabilities_of(fitted, X))
    np.testing.assert_array_equal(prefit.estimator_.predict_proba(X), fitted.predict_proba(X))
    comparison = skore.evaluate({FUSION: models[FUSION], CLINICAL: models[CLINICAL]}, X, y, splitter=2)
    assert isinstance(comparison, skore.ComparisonReport)
    assert set(comparison.reports_) == {FUSION, CLINICAL}
    assert comparison.metrics.summarize().frame().loc["roc_auc"].between(0, 1).all()
