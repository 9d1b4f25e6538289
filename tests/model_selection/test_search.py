"""The sequential search, nested validation, and the reports of progress from inside a fit."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline as make_sampling_pipeline
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.exceptions import FitFailedWarning, NotFittedError, UndefinedMetricWarning
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, get_scorer, log_loss, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state

from sklearn_pspd import CNNLSTMClassifier, SequentialSearchCV, negative_control, nested_cross_validate
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.model_selection.fits import seeded_clone
from sklearn_pspd.model_selection.parallel import Tasks, report_progress
from sklearn_pspd.model_selection.search import PAPER_SEQUENCE, _loss_trace
from sklearn_pspd.plotting import SequentialSearchDisplay
from sklearn_pspd.reporting import search_text


class Witness(TransformerMixin, BaseEstimator):
    """Remembers how many rows each fit saw."""

    fits: list = []  # noqa: RUF012 - shared by clones

    def fit(self, X, y=None):
        self.fits.append(len(X))
        return self

    def transform(self, X):
        return X

    def __sklearn_is_fitted__(self):
        return True


class StubNetwork(ClassifierMixin, BaseEstimator):
    """A network that trains in no time: its scores are the first column, and its loss is lowest after three epochs."""

    seen: list = []  # noqa: RUF012 - shared by clones

    def __init__(self, lstm_units=24, batch_size=8, learning_rate=0.01, epochs=25):
        self.lstm_units = lstm_units
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.epochs = epochs

    def fit(self, X, y, sample_weight=None):
        return self._see("fit", X, y, sample_weight)

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        self.n_passes_ = getattr(self, "n_passes_", 0) + 1
        self.history_ = {"loss": [1 / self.n_passes_]}
        return self._see("partial_fit", X, y, sample_weight)

    def predict_proba(self, X):
        confidence = 1 / (1 + abs(getattr(self, "n_passes_", 3) - 3))
        positive = 1 / (1 + np.exp(-confidence * np.asarray(X)[:, 0]))
        return np.column_stack([1 - positive, positive])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _see(self, method, X, y, sample_weight):
        self.classes_ = np.unique(y)
        self.seen.append((method, np.asarray(X), np.asarray(y), sample_weight))
        return self


@pytest.fixture
def patients():
    y = np.arange(60) % 2
    return np.random.default_rng(0).random((60, 3)) + 0.4 * y[:, np.newaxis], y


@pytest.fixture
def signed(patients):
    """Patients whose first column is negative in most of those of class 0."""
    X, y = patients
    return X - [0.7, 0, 0], y


@pytest.fixture(autouse=True)
def _forget():
    Witness.fits.clear()
    StubNetwork.seen.clear()


def small_network(**parameters):
    return CNNLSTMClassifier(None, clinical_units=(8,), learning_rate=0.1, random_state=0, **parameters)


def logistic_search(sequence=None, **parameters):
    sequence = {"C": [0.01, 1.0], "fit_intercept": [True, False]} if sequence is None else sequence
    settings = {"max_epochs": None, "cv": 4, "random_state": 0}
    return SequentialSearchCV(LogisticRegression(), sequence, **settings | parameters)


def test_each_step_keeps_the_best_value_and_all_scores_are_kept(patients):
    X, y = patients
    pipeline = Pipeline([("witness", Witness()), ("classifier", small_network())])
    sequence = {"classifier__batch_size": (8, 60), "classifier__learning_rate": (1e-6, 0.1)}
    search = SequentialSearchCV(pipeline, sequence, max_epochs=6, n_repeats=3, cv=4, random_state=0).fit(X, y)
    # 80 % of 60 for the loss traces, three of four folds for the values, all for the chosen values.
    assert set(Witness.fits) == {48, 45, 60}
    assert Witness.fits.count(48) == 3
    assert list(search.best_params_) == ["classifier__epochs", *sequence]
    assert search.losses_.columns.tolist() == ["repeat", "epoch", "loss", "validation_loss"]
    assert len(search.losses_) == 18
    mean_loss = search.losses_.groupby("epoch")["validation_loss"].mean()
    assert search.best_params_["classifier__epochs"] == mean_loss.idxmin()
    assert search.scores_.groupby(["parameter", "value"]).size().tolist() == [4] * 4
    for name, scores in search.scores_.groupby("parameter"):
        assert search.best_params_[name] == scores.groupby("value")["score"].mean().idxmax()
    tried = search.cv_results_["params"]
    assert [params["classifier__epochs"] for params in tried] == [mean_loss.idxmin()] * 4
    assert [params.get("classifier__learning_rate") for params in tried] == [None, None, 1e-6, 0.1]
    assert {params["classifier__batch_size"] for params in tried[2:]} == {search.best_params_["classifier__batch_size"]}
    again = clone(search).fit(X, y)
    pd.testing.assert_frame_equal(again.scores_, search.scores_)
    pd.testing.assert_frame_equal(again.losses_, search.losses_)
    np.testing.assert_array_equal(again.predict_proba(X), search.predict_proba(X))
    refitted = clone(pipeline).set_params(**search.best_params_).fit(X, y)
    np.testing.assert_array_equal(search.predict_proba(X), refitted.predict_proba(X))
    np.testing.assert_array_equal(search.predict(X), search.best_estimator_.predict(X))
    assert search.score(X, y) == roc_auc_score(y, search.predict_proba(X)[:, 1])


def test_results_are_laid_out_as_those_of_a_grid_search(patients):
    X, y = patients
    search = logistic_search(return_train_score=True).fit(X, y)
    grid = GridSearchCV(LogisticRegression(), {"C": [0.01, 1.0]}, scoring="roc_auc", cv=4, return_train_score=True)
    expected = set(grid.fit(X, y).cv_results_) | {"step", "param_fit_intercept"}
    assert set(search.cv_results_) == expected
    assert {len(column) for column in search.cv_results_.values()} == {4}
    assert search.cv_results_["step"].tolist() == ["C", "C", "fit_intercept", "fit_intercept"]
    assert search.cv_results_["param_fit_intercept"].tolist() == [None, None, True, False]
    assert (search.n_splits_, search.multimetric_, search.losses_) == (4, False, None)
    assert search.refit_time_ >= 0
    assert search.classes_.tolist() == [0, 1]
    assert search.n_features_in_ == 3
    scores = search.scores_
    assert scores.columns.tolist() == ["parameter", "value", "fold", "score"]
    assert scores["value"].tolist() == [0.01] * 4 + [1.0] * 4 + [True] * 4 + [False] * 4
    assert scores["fold"].tolist() == [1, 2, 3, 4] * 4
    means = scores["score"].to_numpy().reshape(4, 4).mean(axis=1)
    np.testing.assert_allclose(means, search.cv_results_["mean_test_score"])
    assert search.best_score_ == search.cv_results_["mean_test_score"][search.best_index_] == means[2:].max()
    with pytest.raises(NotFittedError, match="not fitted yet"):
        clone(search).scores_  # noqa: B018
    with pytest.raises(NotFittedError, match="not fitted yet"):
        clone(search).predict(X)


def test_the_best_of_the_last_step_is_chosen_and_the_first_among_equals(patients):
    def score(model, X, y):
        return {100: 1.0, 50: 0.4, 60: 0.5, 70: 0.5}[model.max_iter]

    search = logistic_search({"C": [1.0, 2.0], "max_iter": [50, 60, 70]}, scoring=score).fit(*patients)
    assert search.best_index_ == 3
    assert search.best_score_ == 0.5
    assert search.best_params_ == {"C": 1.0, "max_iter": 60}


def test_a_seed_gives_the_folds_and_the_loss_traces(signed):
    """The first draw seeds the folds, the second the splits of the traces."""
    X, y = signed
    pipeline = make_pipeline(StandardScaler(), small_network())
    sequence = {"cnnlstmclassifier__batch_size": (30,)}
    search = SequentialSearchCV(pipeline, sequence, max_epochs=2, n_repeats=2, cv=3, random_state=7).fit(X, y)
    rng = check_random_state(7)
    fold_seed, trace_seed = rng.randint(2**31 - 1), rng.randint(2**31 - 1)
    tuned = clone(pipeline).set_params(**search.best_params_)
    folds = StratifiedKFold(3, shuffle=True, random_state=fold_seed)
    np.testing.assert_array_equal(search.scores_["score"], cross_val_score(tuned, X, y, scoring="roc_auc", cv=folds))
    splits = StratifiedShuffleSplit(2, test_size=0.2, random_state=trace_seed).split(X, y)
    traces = [
        _loss_trace(seeded_clone(pipeline, repeat), X, y, *split, max_epochs=2)
        for repeat, split in enumerate(splits, start=1)
    ]
    assert search.losses_.drop(columns="repeat").to_dict("records") == traces[0] + traces[1]
    assert search.losses_["repeat"].tolist() == [1, 1, 2, 2]


def test_traces_see_no_row_that_is_held_out(patients):
    X, y = patients
    train, test = np.arange(48), np.arange(48, 60)
    changed = X.copy()
    changed[test] += 100
    first, second = (
        _loss_trace(make_pipeline(StandardScaler(), small_network()), rows, y, train, test, max_epochs=3)
        for rows in (X, changed)
    )
    assert [row["loss"] for row in first] == [row["loss"] for row in second]
    assert first[0]["validation_loss"] != second[0]["validation_loss"]


def test_traces_resample_the_training_rows_only(patients):
    X, _ = patients
    y = np.tile([0, 0, 1], 20)
    pipeline = make_sampling_pipeline(Witness(), RandomOverSampler(random_state=0), StubNetwork())
    rows = _loss_trace(pipeline, X, y, np.arange(45), np.arange(45, 60), max_epochs=2)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert Witness.fits == [45]
    assert [np.bincount(of_pass).tolist() for _, _, of_pass, _ in StubNetwork.seen] == [[30, 30]] * 2
    validated = clone(pipeline).fit(X[:45], y[:45])
    validated[-1].n_passes_ = 1
    assert rows[0]["validation_loss"] == log_loss(y[45:], validated.predict_proba(X[45:]))


def test_traces_prepare_as_the_pipeline_does(signed, tmp_path):
    X, y = signed
    steps = [("scale", StandardScaler()), ("none", "passthrough"), ("classifier", StubNetwork())]
    plain, cached = Pipeline(steps[1:]), Pipeline(steps, memory=str(tmp_path))
    plain_rows = _loss_trace(plain, X, y, np.arange(40), np.arange(40, 60), max_epochs=4)
    assert np.argmin([row["validation_loss"] for row in plain_rows]) == 2
    rows = _loss_trace(cached, X, y, np.arange(40), np.arange(40, 60), max_epochs=4)
    np.testing.assert_allclose(StubNetwork.seen[-1][1], StandardScaler().fit_transform(X[:40]))
    assert [row["loss"] for row in rows] == [row["loss"] for row in plain_rows]
    assert any(tmp_path.rglob("*.pkl"))


def test_the_papers_sequence_is_the_default(signed):
    X, y = signed
    assert list(PAPER_SEQUENCE) == ["lstm_units", "batch_size", "learning_rate"]
    assert list(map(len, PAPER_SEQUENCE.values())) == [4, 4, 4]
    assert 24 in PAPER_SEQUENCE["lstm_units"]
    assert 8 in PAPER_SEQUENCE["batch_size"]
    assert 0.01 in PAPER_SEQUENCE["learning_rate"]
    for model, prefix in ((StubNetwork(), ""), (Pipeline([("net", StubNetwork())]), "net__")):
        search = SequentialSearchCV(model, n_repeats=2, max_epochs=5, random_state=0).fit(X, y)
        assert search.best_params_[f"{prefix}epochs"] == 3
        tried = search.scores_.groupby("parameter", sort=False)["value"].unique()
        assert {name: tuple(values) for name, values in tried.items()} == {
            f"{prefix}{name}": values for name, values in PAPER_SEQUENCE.items()
        }


def test_an_empty_sequence_scores_the_chosen_epochs(signed):
    X, y = signed
    search = SequentialSearchCV(StubNetwork(), {}, n_repeats=2, max_epochs=4, cv=3, random_state=0).fit(X, y)
    assert search.best_params_ == {"epochs": 3}
    assert search.scores_["parameter"].tolist() == ["epochs"] * 3
    assert search.best_score_ == pytest.approx(search.scores_["score"].mean())


@pytest.mark.parametrize("is_shuffled", [False, True])
def test_every_value_is_scored_on_the_same_folds(patients, is_shuffled):
    X, y = patients
    cv = StratifiedShuffleSplit(3, test_size=0.5) if is_shuffled else list(StratifiedKFold(3).split(X, y))
    scores = logistic_search({"C": [1.0, 1.0], "fit_intercept": [True]}, cv=cv).fit(X, y).scores_["score"]
    by_value = scores.to_numpy().reshape(3, 3)
    assert len(set(by_value[0])) > 1
    np.testing.assert_array_equal(by_value, by_value[[0, 0, 0]])
    if not is_shuffled:
        expected = cross_val_score(LogisticRegression(), X, y, scoring="roc_auc", cv=3)
        np.testing.assert_array_equal(by_value[0], expected)


def test_groups_reach_the_splitter(patients):
    X, y = patients
    groups = np.arange(60) // 2 % 5
    search = logistic_search({"C": [1.0]}, cv=GroupKFold(5)).fit(X, y, groups=groups)
    expected = cross_val_score(LogisticRegression(), X, y, scoring="roc_auc", cv=GroupKFold(5), groups=groups)
    np.testing.assert_array_equal(search.scores_["score"], expected)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = clone(search).fit(X, y, groups=groups)
    pd.testing.assert_frame_equal(routed.scores_, search.scores_)


def test_labels_may_be_text(patients):
    X, y = patients
    labels = np.where(y == 1, "PsPD", "PD")
    search = SequentialSearchCV(
        small_network(), {"learning_rate": (0.01, 0.1)}, max_epochs=2, n_repeats=1, cv=2, random_state=0
    )
    by_number, by_label = clone(search).fit(X, y), search.fit(pd.DataFrame(X, columns=list("abc")), pd.Series(labels))
    assert by_label.classes_.tolist() == ["PD", "PsPD"]
    assert by_label.feature_names_in_.tolist() == list("abc")
    pd.testing.assert_frame_equal(by_label.losses_, by_number.losses_)
    pd.testing.assert_frame_equal(by_label.scores_, by_number.scores_)
    np.testing.assert_array_equal(
        by_label.predict(pd.DataFrame(X, columns=list("abc"))) == "PsPD", by_number.predict(X)
    )


@pytest.mark.parametrize("is_routed", [False, True])
@pytest.mark.parametrize("is_pipeline", [False, True])
def test_weights_go_with_their_patients(signed, is_pipeline, is_routed):
    X, y = signed
    weights = 1 + np.arange(60.0)
    with sklearn.config_context(enable_metadata_routing=is_routed):
        network = StubNetwork().set_fit_request(sample_weight=True) if is_routed else StubNetwork()
        scoring = get_scorer("roc_auc").set_score_request(sample_weight=False) if is_routed else "roc_auc"
        model = Pipeline([("scale", Witness()), ("classifier", network)]) if is_pipeline else network
        name = "classifier__sample_weight" if is_pipeline and not is_routed else "sample_weight"
        search = SequentialSearchCV(model, n_repeats=2, max_epochs=4, cv=3, scoring=scoring, random_state=0)
        search.fit(X, y, **{name: weights})
    weight_of = {row.tobytes(): weight for row, weight in zip(X, weights, strict=True)}
    methods = [method for method, *_ in StubNetwork.seen]
    assert methods == ["partial_fit"] * 8 + ["fit"] * (12 * 3 + 1)
    for _, rows, _, seen in StubNetwork.seen:
        assert list(seen) == [weight_of[row.tobytes()] for row in rows]


def test_the_validation_loss_is_weighted_where_the_scores_are(signed):
    X, y = signed
    train, test = np.arange(40), np.arange(40, 60)
    weights = np.random.default_rng(0).random(60)
    (row,) = _loss_trace(StubNetwork(), X, y, train, test, max_epochs=1, sample_weight=weights)
    network = StubNetwork().partial_fit(X[train], y[train])
    assert row["validation_loss"] == log_loss(y[test], network.predict_proba(X[test]), sample_weight=weights[test])

    search = SequentialSearchCV(StubNetwork(), {"lstm_units": [1]}, n_repeats=1, max_epochs=1, random_state=0)
    plain = clone(search).fit(X, y).losses_["validation_loss"]
    with sklearn.config_context(enable_metadata_routing=True):
        for is_weighted in (False, True):
            scoring = get_scorer("roc_auc").set_score_request(sample_weight=is_weighted)
            search.set_params(scoring=scoring, estimator=StubNetwork().set_fit_request(sample_weight=True))
            losses = search.fit(X, y, sample_weight=weights).losses_["validation_loss"]
            assert (losses.item() == plain.item()) is not is_weighted


def test_the_network_is_trained_with_the_weights(patients):
    X, y = patients
    weights = np.where(np.arange(60) < 10, 5.0, 1.0)
    search = SequentialSearchCV(small_network(), {"batch_size": (60,)}, max_epochs=2, n_repeats=1, cv=2, random_state=0)
    search.fit(X, y, sample_weight=weights)
    expected = small_network().set_params(**search.best_params_).fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(search.predict_proba(X), expected.predict_proba(X))
    assert not np.array_equal(search.predict_proba(X), clone(search).fit(X, y).predict_proba(X))


def test_one_of_several_metrics_selects(patients):
    X, y = patients
    sequence = {"C": [1e-6, 1.0], "fit_intercept": [True]}
    search = logistic_search(sequence, scoring=["roc_auc", "accuracy"], refit="accuracy").fit(X, y)
    means = search.cv_results_["mean_test_accuracy"]
    assert search.multimetric_
    assert set(search.scorer_) == {"roc_auc", "accuracy"}
    assert search.best_params_["C"] == [1e-6, 1.0][np.argmax(means[:2])]
    assert search.best_score_ == means[2]
    np.testing.assert_allclose(search.scores_["score"].to_numpy().reshape(3, 4).mean(axis=1), means)
    assert search.score(X, y) == accuracy_score(y, search.predict(X))
    by_function = logistic_search(sequence, scoring=lambda model, X, y: {"a": 0.5, "b": model.C}, refit="b").fit(X, y)
    assert by_function.best_params_["C"] == 1.0
    with pytest.raises(InputError, match="set refit to the name of the one that selects the values; got False"):
        clone(search).set_params(refit=False).fit(X, y)
    with pytest.raises(InputError, match="set refit to the name of the one that selects the values; got True"):
        clone(by_function).set_params(refit=True).fit(X, y)


def test_without_refitting_there_are_values_but_no_model(patients):
    X, y = patients
    search = logistic_search(refit=False).fit(X, y)
    assert search.best_params_ == logistic_search().fit(X, y).best_params_
    assert len(search.scores_) == 16
    assert not hasattr(search, "best_estimator_")
    with pytest.raises(AttributeError, match="has no attribute 'predict'"):
        search.predict(X)


def test_a_search_can_be_cloned_and_pickled_and_keeps_no_data(patients):
    X, y = patients
    search = logistic_search().fit(X, y)
    assert clone(search).get_params()["C" if "C" in search.get_params() else "estimator__C"] == 1.0
    opened = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(opened.predict_proba(X), search.predict_proba(X))
    pd.testing.assert_frame_equal(opened.scores_, search.scores_)
    assert "_search_data" not in vars(search)
    failed = SequentialSearchCV(StubNetwork(), max_epochs=1, scoring=lambda model, X, y: 1 / 0, error_score="raise")
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        failed.fit(X, y)
    assert not {"_search_data", "losses_"} & set(vars(failed))
    assert not any("progress" in name for name in search.get_params())


def test_fits_in_parallel_change_nothing(signed):
    X, y = signed
    search = SequentialSearchCV(StubNetwork(), max_epochs=4, n_repeats=2, cv=3, random_state=0)
    alone = clone(search).fit(X, y)
    with joblib.parallel_config(backend="threading"):
        together = search.set_params(n_jobs=2).fit(X, y)
    pd.testing.assert_frame_equal(together.losses_, alone.losses_)
    pd.testing.assert_frame_equal(together.scores_, alone.scores_)
    assert together.best_params_ == alone.best_params_


def test_callbacks_of_scikit_learn_see_each_step(signed):
    pytest.importorskip("sklearn.callback")

    class Watcher:
        begun, ended = [], []

        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            self.begun.append((context.task_name, context.max_subtasks))

        def on_fit_task_end(self, estimator, context):
            self.ended.append(context.task_name)

        def teardown(self, estimator, context):
            pass

    X, y = signed
    search = SequentialSearchCV(StubNetwork(), {"lstm_units": (1, 2)}, max_epochs=2, n_repeats=1, cv=3)
    search.set_callbacks(Watcher()).fit(X, y)
    begun = [task for task in Watcher.begun if task[0] != "candidate-split-evaluation"]
    assert begun == [("fit", 2), ("search", 2), ("loss-traces", 0), ("step", 6), ("refit-with-best-params", 0)]
    assert len(Watcher.begun) == len(begun) + 6
    assert sorted(Watcher.ended) == sorted(name for name, _ in Watcher.begun)


def test_a_search_reports_its_steps_to_the_tasks_that_fit_it(signed):
    X, y = signed
    search = SequentialSearchCV(
        StubNetwork(), {"lstm_units": (1, 2), "epochs": (4,)}, max_epochs=5, n_repeats=2, cv=3, random_state=0
    )
    lines = []
    nested_cross_validate(search, X, y, cv=3, random_state=0, on_progress=lambda *line: lines.append(line))
    assert lines[:5] == [
        (0, 3, "outer fold 1 of 3: epochs: 2 loss traces, chosen 3"),
        (0, 3, "outer fold 1 of 3: lstm_units: 2 values scored, chosen 1"),
        (0, 3, "outer fold 1 of 3: epochs: 1 value scored, chosen 4"),
        (1, 3, "outer fold 1 of 3"),
        (1, 3, "outer fold 2 of 3: epochs: 2 loss traces, chosen 3"),
    ]
    assert len(lines) == 12
    lines.clear()
    with joblib.parallel_config(backend="threading"):
        nested_cross_validate(
            search, X, y, cv=3, random_state=0, n_jobs=2, on_progress=lambda *line: lines.append(line)
        )
    assert lines == [(fold, 3, f"outer fold {fold} of 3") for fold in (1, 2, 3)]


def test_reports_reach_the_nearest_listener_and_nobody_else():
    def inner(number):
        report_progress(f"step {number}")
        return number

    def outer(number, listener):
        return list(Tasks(1, None, listener).run(inner, [(number,)], ["inner"]))

    heard, heard_inside = [], []
    tasks = Tasks(2, None, lambda *line: heard.append(line))
    results = tasks.run(outer, [(1, None), (2, lambda *line: heard_inside.append(line))], ["first", "second"])
    assert next(results) == [1]
    report_progress("between the fits")
    assert list(results) == [[2]]
    report_progress("after them")
    assert heard == [(0, 2, "first: step 1"), (1, 2, "first"), (2, 2, "second")]
    assert heard_inside == [(0, 1, "inner: step 2"), (1, 1, "inner")]
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        list(tasks.run(inner, [(1,), (2,)], ["only one"]))


def test_the_text_writes_values_as_they_were_given(patients):
    X, y = patients
    pipeline = Pipeline([("classifier", small_network())])
    sequence = {"classifier__batch_size": (30, 60), "classifier__learning_rate": (0.0001, 0.1)}
    search = SequentialSearchCV(pipeline, sequence, max_epochs=1, n_repeats=1, cv=2, random_state=0).fit(X, y)
    text = search_text(search)
    assert "batch_size: 30 0." in text
    assert ", 60 0." in text
    assert "learning_rate: 0.0001 0." in text


def test_the_figure_shows_losses_and_scores(signed):
    sequence = {"lstm_units": (18, 24), "learning_rate": ((0.1, 0.2), (0.2, 0.3))}
    search = SequentialSearchCV(StubNetwork(), sequence, max_epochs=4, n_repeats=2, cv=2, random_state=0).fit(*signed)
    display = SequentialSearchDisplay.from_estimator(search, title="Tuning")
    assert [ax.get_title() for ax in display.axes_] == ["Epochs", "LSTM units", "Learning rate"]
    assert display.figure_.get_suptitle() == "Tuning"
    curves = {line.get_label(): line.get_ydata() for line in display.axes_[0].lines}
    mean_loss = search.losses_.groupby("epoch")["validation_loss"].mean()
    np.testing.assert_allclose(curves["validation"], mean_loss)
    assert "chosen: 3" in curves
    means = search.scores_["score"].to_numpy().reshape(4, 2).mean(axis=1)
    np.testing.assert_allclose(display.axes_[1].lines[-1].get_ydata(), means[:2])
    boxes = display.axes_[2].patches
    assert [box.get_facecolor() != (1, 1, 1, 1) for box in boxes] == [True, False]
    pd.testing.assert_frame_equal(display.frame(), search.scores_)
    without_losses = SequentialSearchDisplay.from_estimator(logistic_search().fit(*signed))
    assert [ax.get_title() for ax in without_losses.axes_] == ["C", "Fit intercept"]


def test_nested_validation_shows_the_optimism_of_choosing_among_noise():
    """Of fifty columns of noise the search keeps the best looking; patients it has not seen do not follow."""
    rng = np.random.default_rng(0)
    pipeline = make_pipeline(SelectKBest(k=1), LogisticRegression())
    optimism, scores = [], []
    for seed in range(30):
        X, y = rng.normal(size=(40, 50)), np.arange(40) % 2
        grid = {"selectkbest__k": [1, 2, 5, 10]}
        nested = nested_cross_validate(
            GridSearchCV(pipeline, grid, scoring="roc_auc", cv=3), X, y, cv=4, random_state=seed
        )
        optimism.append(nested.optimism)
        scores.append(nested.score)
    assert np.mean(scores) == pytest.approx(0.5, abs=0.1)
    assert np.mean(optimism) > 0.05


def test_nested_validation_frame(patients):
    X, y = patients
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, scoring="roc_auc", cv=3)
    nested = nested_cross_validate(search, X, y, cv=5, random_state=0)
    assert nested.folds.columns.tolist() == ["fold", "n_test", "best_params", "inner_score", "outer_score"]
    assert nested.folds["n_test"].sum() == 60
    assert nested.score == nested.folds["outer_score"].mean()


def test_a_search_tunes_inside_each_fold_and_on_permuted_outcomes(patients):
    X, y = patients
    pipeline = Pipeline([("witness", Witness()), ("classifier", small_network())])
    sequence = {"classifier__batch_size": (60,)}
    search = SequentialSearchCV(pipeline, sequence, max_epochs=4, n_repeats=1, cv=3, random_state=0)
    nested = nested_cross_validate(search, X, y, cv=2, random_state=0)
    # Of 30: 80 %, two of three folds, and all.
    assert set(Witness.fits) == {24, 20, 30}
    assert nested.folds["best_params"].map(lambda chosen: chosen["classifier__batch_size"]).tolist() == [60, 60]
    Witness.fits.clear()
    negative_control(search, X, y, n_permutations=1, cv=2, random_state=0)
    assert Witness.fits == [24, 20, 20, 20, 30] * 4


def test_small_folds_are_warned_of(patients):
    X, y = patients
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, scoring="roc_auc", cv=3)
    message = r"smallest fold has 3 patient\(s\) of a class; with fewer than 5"
    with pytest.warns(UserWarning, match=f"nested_cross_validate: the {message}"):
        nested_cross_validate(search, X, y, cv=10)
    with pytest.warns(UserWarning, match=f"SequentialSearchCV: the {message}"):
        logistic_search(cv=10).fit(X, y)


def test_refusals_of_nested_validation(patients):
    X, y = patients
    with pytest.raises(InputError, match=r"y must contain only 0 \(PD\) and 1 \(PsPD\)"):
        nested_cross_validate(GridSearchCV(LogisticRegression(), {}), X, y + 1)
    with pytest.raises(InputError, match="LogisticRegression has no best_params_ and best_score_ once fitted"):
        nested_cross_validate(LogisticRegression(), X, y, cv=3)
    with pytest.raises(InputError, match=r"GridSearchCV\(refit=False\) keeps no model that could be scored"):
        nested_cross_validate(GridSearchCV(LogisticRegression(), {}, refit=False), X, y, cv=3)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (SequentialSearchCV(LinearRegression()), "tunes classifiers; LinearRegression is not a classifier"),
        (
            SequentialSearchCV(LogisticRegression()),
            "a classifier with partial_fit and the parameter epochs.*; got LogisticRegression",
        ),
        (
            SequentialSearchCV(make_pipeline(LogisticRegression())),
            "got Pipeline that ends in 'logisticregression'. Set max_epochs=None to leave this step out",
        ),
        (
            SequentialSearchCV(StubNetwork(), {"epochs": ()}),
            "param_sequence must contain at least one value for epochs",
        ),
        (
            SequentialSearchCV(StubNetwork(), {"lstm_units": 3}),
            "must contain a list of values per parameter; lstm_units has 3",
        ),
        (
            SequentialSearchCV(StubNetwork(), {"lstm_units": "ab"}),
            "must contain a list of values per parameter; lstm_units has 'ab'",
        ),
        (SequentialSearchCV(StubNetwork(), {"cells": (3,)}), "param_sequence: Invalid parameter 'cells'"),
        (logistic_search({}), "nothing to tune: param_sequence is empty and max_epochs is None"),
        (
            logistic_search(cv=31),
            r"was given 60 patient\(s\) with 3 feature\(s\): cv=31 folds need 31 patients of each class",
        ),
        (SequentialSearchCV(StubNetwork(), scoring=["accuracy"]), "scoring has several metrics: set refit"),
        (SequentialSearchCV(StubNetwork(), max_epochs=0), "'max_epochs' parameter of SequentialSearchCV must be"),
        (SequentialSearchCV(StubNetwork(), refit=np.argmax), "'refit' parameter of SequentialSearchCV must be"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_any_fit(patients, search, message):
    with pytest.raises(ValueError, match=message):
        search.fit(*patients)
    assert not StubNetwork.seen


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (
            np.arange(60) % 3,
            "^Only binary classification is supported. The type of the target is multiclass: 3 classes",
        ),
        (np.ones(60), r"needs patients of two classes; y has 1 class: \[1.0\]"),
        (None, "requires y to be passed, but the target y is None"),
        (np.linspace(0, 1, 60), "Unknown label type: continuous"),
    ],
)
def test_outcomes_of_other_than_two_classes_are_refused(patients, y, message):
    with pytest.raises(ValueError, match=message):
        SequentialSearchCV(StubNetwork()).fit(patients[0], y)
    assert not StubNetwork.seen


@pytest.mark.filterwarnings("ignore:SequentialSearchCV", "ignore:One or more of the test scores are non-finite")
def test_undefined_scores_end_the_search(patients):
    X, y = patients
    with (
        pytest.warns(UndefinedMetricWarning, match="Only one class is present in y_true"),
        pytest.raises(InputError, match=r"{'C': 0.01}: the score of a fold is not defined.*use fewer folds"),
    ):
        logistic_search(cv=[(np.arange(40), np.arange(40, 60)), (np.arange(40), [41, 43])]).fit(X, y)
    # The error of a fit is told rather than the score that it leaves undefined.
    with (
        pytest.warns(FitFailedWarning, match="4 fits failed"),
        pytest.raises(ValueError, match="The 'C' parameter of LogisticRegression must be"),
    ):
        logistic_search({"C": [1.0, -1.0]}).fit(X, y)


def test_splits_that_test_their_training_patients_are_refused(patients):
    with pytest.raises(InputError, match="fold 1 has patients in both its training and its test set"):
        logistic_search(cv=[(np.arange(40), np.arange(30, 60))] * 2).fit(*patients)
