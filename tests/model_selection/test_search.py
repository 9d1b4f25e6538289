"""The paper's ladder of tunings and nested validation."""

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline as make_sampling_pipeline
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline

from sklearn_pspd import CNNLSTMClassifier, negative_control, nested_cross_validate, tune_ladder
from sklearn_pspd.model_selection import LadderSearchCV
from sklearn_pspd.model_selection.search import PAPER_RUNGS, _trace
from sklearn_pspd.reporting import ladder_text


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


@pytest.fixture
def patients():
    y = np.arange(60) % 2
    return np.random.default_rng(0).random((60, 3)) + 0.4 * y[:, np.newaxis], y


def small_network(**parameters):
    return CNNLSTMClassifier(None, clinical_units=(8,), learning_rate=0.1, random_state=0, **parameters)


def test_ladder_keeps_every_score_and_the_best_of_each_rung(patients):
    X, y = patients
    Witness.fits.clear()
    pipeline = Pipeline([("witness", Witness()), ("classifier", small_network())])
    rungs = {"classifier__batch_size": (8, 60), "classifier__learning_rate": (1e-6, 0.1)}
    result = tune_ladder(pipeline, X, y, max_epochs=6, n_repeats=3, rungs=rungs, cv=4, random_state=0)
    assert set(Witness.fits) == {48, 45}  # 80 % of 60 for the traces, 3 of 4 folds for the rungs
    assert list(result.best_params) == ["classifier__epochs", *rungs]
    assert len(result.losses) == 18
    mean_loss = result.losses.groupby("epoch")["validation_loss"].mean()
    assert result.best_params["classifier__epochs"] == mean_loss.idxmin()
    means = result.scores.groupby(["rung", "value"])["score"].mean()
    for name in rungs:
        assert result.best_params[name] == means[name].idxmax()
    assert result.scores.groupby(["rung", "value"]).size().tolist() == [4] * 4
    again = tune_ladder(pipeline, X, y, max_epochs=6, n_repeats=3, rungs=rungs, cv=4, random_state=0)
    pd.testing.assert_frame_equal(again.scores, result.scores)


def test_the_text_writes_values_as_they_were_given(patients):
    X, y = patients
    pipeline = Pipeline([("classifier", small_network())])
    rungs = {"classifier__batch_size": (30, 60), "classifier__learning_rate": (0.0001, 0.1)}
    text = ladder_text(tune_ladder(pipeline, X, y, max_epochs=1, n_repeats=1, rungs=rungs, cv=2, random_state=0))
    assert "batch_size: 30 0." in text
    assert ", 60 0." in text
    assert "learning_rate: 0.0001 0." in text


def test_traces_see_no_row_that_is_held_out(patients):
    X, y = patients
    train, test = np.arange(48), np.arange(48, 60)
    changed = X.copy()
    changed[test] += 100
    first, second = (
        _trace(make_pipeline(small_network()), rows, y, train, test, max_epochs=3, repeat=1) for rows in (X, changed)
    )
    assert [row["loss"] for row in first] == [row["loss"] for row in second]
    assert first[0]["validation_loss"] != second[0]["validation_loss"]


def test_traces_resample_the_training_rows_only(patients):
    X, _ = patients
    y = np.tile([0, 0, 1], 20)
    pipeline = make_sampling_pipeline(RandomOverSampler(random_state=0), small_network())
    rows = _trace(pipeline, X, y, np.arange(45), np.arange(45, 60), 2, 1)
    assert [row["epoch"] for row in rows] == [1, 2]


def test_paper_rungs_are_the_papers():
    assert list(PAPER_RUNGS) == ["classifier__lstm_units", "classifier__batch_size", "classifier__learning_rate"]
    assert list(map(len, PAPER_RUNGS.values())) == [4, 4, 4]
    assert [24 in PAPER_RUNGS["classifier__lstm_units"], 8 in PAPER_RUNGS["classifier__batch_size"]] == [True, True]


def test_nested_validation_shows_the_optimism_of_choosing_among_noise():
    """Of fifty columns of noise the search keeps the best looking; patients it has not seen do not follow."""
    rng = np.random.default_rng(0)
    pipeline = make_pipeline(SelectKBest(k=1), LogisticRegression())
    optimism, scores = [], []
    for seed in range(30):
        X, y = rng.normal(size=(40, 50)), np.arange(40) % 2
        grid = {"selectkbest__k": [1, 2, 5, 10], "logisticregression__C": [0.01, 1.0, 100.0]}
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


@pytest.mark.filterwarnings("ignore:tune_ladder")
def test_a_search_climbs_the_ladder_inside_each_fold(patients):
    X, y = patients
    Witness.fits.clear()
    pipeline = Pipeline([("witness", Witness()), ("classifier", small_network())])
    settings = {"max_epochs": 4, "n_repeats": 2, "cv": 3, "random_state": 0}
    rungs = {"classifier__batch_size": (8, 60), "classifier__learning_rate": (1e-6, 0.1)}
    search = LadderSearchCV(pipeline, rungs=rungs, **settings).fit(X, y)
    ladder = tune_ladder(pipeline, X, y, rungs=rungs, **settings)
    pd.testing.assert_frame_equal(search.ladder_.scores, ladder.scores)
    assert search.best_params_ == ladder.best_params
    last = ladder.scores[ladder.scores["rung"] == "classifier__learning_rate"]
    assert search.best_score_ == pytest.approx(last.groupby("value")["score"].mean().max())
    again = clone(pipeline).set_params(**ladder.best_params).fit(X, y)
    np.testing.assert_array_equal(search.predict_proba(X), again.predict_proba(X))
    np.testing.assert_array_equal(search.predict(X), search.best_estimator_.predict(X))
    assert search.score(X, y) == roc_auc_score(y, search.predict_proba(X)[:, 1])
    assert np.isnan(LadderSearchCV(pipeline, rungs={}, **settings).fit(X, y).best_score_)

    Witness.fits.clear()
    short = LadderSearchCV(pipeline, rungs={"classifier__batch_size": (60,)}, **settings | {"n_repeats": 1})
    nested = nested_cross_validate(short, X, y, cv=2, random_state=0)
    assert set(Witness.fits) == {24, 20, 30}  # of 30: 80 %, two of three folds, and all
    assert nested.folds["best_params"].map(lambda chosen: chosen["classifier__batch_size"]).tolist() == [60, 60]
    Witness.fits.clear()
    negative_control(short, X, y, n_permutations=1, cv=2, random_state=0)
    assert Witness.fits == [24, 20, 20, 20, 30] * 4  # the tuning too is done on scrambled outcomes
    with pytest.raises(NotFittedError, match="not fitted yet"):
        clone(search).predict(X)


def test_small_folds_are_warned_of(patients):
    X, y = patients
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, scoring="roc_auc", cv=3)
    with pytest.warns(UserWarning, match=r"smallest fold has 3 patient\(s\) of a class; with fewer than 5"):
        nested_cross_validate(search, X, y, cv=10)


def test_refusals(patients):
    X, y = patients
    with pytest.raises(ValueError, match="rungs without a value: classifier__epochs"):
        tune_ladder(Pipeline([("classifier", small_network())]), X, y, rungs={"classifier__epochs": ()})
    with pytest.raises(ValueError, match=r"y holds 0 \(PD\) and 1 \(PsPD\)"):
        nested_cross_validate(GridSearchCV(LogisticRegression(), {}), X, y + 1)
    with pytest.raises(ValueError, match="LogisticRegression has no best_params_ and best_score_ once fitted"):
        nested_cross_validate(LogisticRegression(), X, y, cv=3)
    with pytest.raises(ValueError, match=r"GridSearchCV\(refit=False\) keeps no model to score"):
        nested_cross_validate(GridSearchCV(LogisticRegression(), {}, refit=False), X, y, cv=3)
    with pytest.raises(ValueError, match=r'last step "classifier" has partial_fit .*; got LogisticRegression'):
        tune_ladder(LogisticRegression(), X, y)
    with pytest.raises(ValueError, match="got Pipeline that ends in 'logisticregression'"):
        LadderSearchCV(make_pipeline(LogisticRegression())).fit(X, y)
