"""The study as an object: the split, what it finds, what it writes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from sklearn_pspd import (
    CNNLSTMClassifier,
    ModelComparison,
    Study,
    audit_leaks,
    compare_models,
    make_clinical_pipeline,
    make_image_pipeline,
    negative_control,
    paper_models,
    read_cohort,
    split_xy,
)
from sklearn_pspd.reporting import comparison_text, write_report
from sklearn_pspd.statistics import development_sample_size, expected_auc_interval, validation_sample_size


@pytest.fixture(scope="module")
def cohort(cohort_folder):
    return read_cohort(cohort_folder / "cohort.csv")


def clinical():
    return {
        "logistic": make_clinical_pipeline(LogisticRegression()),
        "age": make_clinical_pipeline(clinical=["age_years"]),
    }


@pytest.fixture(scope="module")
def written(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "new" / "folder"
    models = clinical()
    models["age"].set_params(classifier__n_estimators=5, classifier__random_state=0)
    progress = []
    study = Study(cohort, models, cv=3, n_permutations=2, title="Made up")
    return study, study.run(folder, on_progress=lambda *step: progress.append(step)), folder, progress


class Witness(ClassifierMixin, BaseEstimator):
    """Remembers whom it was fitted on."""

    fitted_on: list = []  # noqa: RUF012 - shared by clones

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.fitted_on.append(set(X["patient_id"]))
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


def test_the_smallest_site_is_held_out_and_trains_nothing(cohort):
    Witness.fitted_on.clear()
    study = Study(cohort, {"witness": Witness()}, cv=3, n_permutations=1)
    assert study.held_out_site == cohort["site"].value_counts().index[-1] == "B"
    X, y = split_xy(cohort)
    held_out = (X["site"] == "B").to_numpy()
    pd.testing.assert_frame_equal(study.X, X[~held_out])
    pd.testing.assert_frame_equal(study.X_test, X[held_out])
    np.testing.assert_array_equal(study.y, y[~held_out])
    np.testing.assert_array_equal(study.y_test, y[held_out])
    study.run()
    seen = set().union(*Witness.fitted_on)
    assert seen == set(study.X["patient_id"])
    assert len(Witness.fitted_on) == 2 * (3 + 1)  # folds and all patients, with the outcomes and with permuted ones


def test_a_site_of_ones_choice_or_none(cohort):
    chosen = Study(cohort, {"witness": Witness()}, test_site="A", cv=2)
    assert set(chosen.X_test["site"]) == {"A"}
    without = Study(cohort, {"witness": Witness()}, test_site=False, cv=2)
    assert without.X_test is without.y_test is None
    assert len(without.X) == len(cohort)
    result = without.run()
    assert set(result.comparison.scores["evaluation"]) == {"cross-validation"}
    assert list(result.models_) == ["witness"]
    assert "no site held out" in without.summary()
    one_site = Study(cohort.assign(site="A"), {"witness": Witness()}, cv=2)
    assert one_site.held_out_site is None
    assert list(one_site.characteristics()) == ["Training patients by outcome"]


def test_the_result_is_what_the_functions_give(written, cohort):
    study, result, _, _ = written
    models = dict(study.models)
    comparison = compare_models(
        models, study.X, study.y, cv=3, X_test=study.X_test, y_test=study.y_test, random_state=0
    )
    pd.testing.assert_frame_equal(result.comparison.scores, comparison.scores)
    pd.testing.assert_frame_equal(result.tables["tests"], comparison.tests())
    pd.testing.assert_frame_equal(result.tables["thresholds"], comparison.thresholds())
    external_set = {"X_test": study.X_test, "y_test": study.y_test}
    control = negative_control(models["age"], study.X, study.y, n_permutations=2, cv=3, random_state=0, **external_set)
    pd.testing.assert_frame_equal(result.controls["age"].frame(), control.frame())
    pd.testing.assert_frame_equal(result.findings, audit_leaks(study.X, study.y, X_test=study.X_test))
    external = comparison.scores.query("evaluation == 'external' and model == 'logistic'")
    released = result.models_["logistic"].predict_proba(study.X_test)[:, 1]
    np.testing.assert_array_equal(released, external["y_score"])


def test_sample_size(written):
    study, result, _, _ = written
    training, held_out = result.sample_size.to_dict("records")
    assert [training["patients"], held_out["patients"]] == ["training", "held out"]
    assert training["n_pspd"] == study.y.sum()
    assert training["events_per_variable"] == min(study.y.sum(), (1 - study.y).sum()) / 7
    required = development_sample_size(7, prevalence=study.y.mean(), auc=0.75)["n_patients"].iloc[-1]
    assert training["n_required"] == required
    required = validation_sample_size(prevalence=study.y_test.mean(), auc=0.75)["n_patients"].iloc[-1]
    assert held_out["n_required"] == required
    n_pspd = int(study.y_test.sum())
    expected = expected_auc_interval(0.75, n_pspd, len(study.y_test) - n_pspd)
    assert (held_out["auc_low"], held_out["auc_high"]) == pytest.approx(tuple(expected))


def test_report_and_files(written):
    study, result, folder, progress = written
    text = (folder / "report.txt").read_text()
    assert text == result.report()
    assert text.startswith("Made up\n\nLeakage checks")
    assert study.describe() in text
    n_training, n_held_out = len(study.y), len(study.y_test)
    assert f"training: {n_training} patients, " in text
    assert f"held out: {n_held_out} patients, " in text
    assert comparison_text(result.comparison, title="Made up") in text
    assert "2 permutations show that the protocol runs, not that it is free of leakage" in text
    assert result.report(cohort=False) == text[len(study.describe()) + 1 :]
    names = {path.name for path in folder.iterdir()}
    tables = {"comparison", "tests", "scores", "calibration", "calibration_curves", "decision_curves", "thresholds"}
    tables |= {"external_uses", "leakage", "missing_values", "negative_control", "sample_size", "single_features"}
    figures = {"comparison", "fold_curves", "confusion_matrices", "calibration", "decision_curves", "thresholds"}
    figures |= {"negative_control"}
    tables |= {"identifiers", "checklist_tripod_ai", "checklist_claim", "checklist_metrics"}
    texts = {"report", "comparison", "characteristics", "methods", "negative_control"}
    assert names == {
        "study.json",
        "fits",
        "models",
        "report.html",
        *(f"{name}.csv" for name in tables),
        *(f"{name}.png" for name in figures),
        *(f"{name}.txt" for name in texts),
    }
    for name in figures:
        assert (folder / f"{name}.png").stat().st_size > 10_000
    scores = pd.read_csv(folder / "scores.csv")
    np.testing.assert_allclose(scores["y_score"], result.comparison.scores["y_score"])
    assert progress[0] == (1, 8, "validation: logistic, fold 1 of 3")
    assert progress[-1][:2] == (2, 2)
    assert progress[-1][2].startswith("negative control, age: ")
    assert result.settings["packages"]["sklearn_pspd"]
    assert result.settings["held_out_site"] == "B"


def test_a_report_computes_no_table_again(written, tmp_path, monkeypatch):
    _, result, _, _ = written
    for name in ("frame", "tests", "thresholds", "calibration", "calibration_curves", "decision_curves"):
        monkeypatch.setattr(type(result.comparison), name, None)
    write_report(result, tmp_path)
    assert (tmp_path / "report.txt").read_text() == result.report()


def test_a_generator_of_splits_serves_validation_and_control(cohort):
    inside = cohort["site"] != "B"
    splits = StratifiedKFold(2).split(cohort[inside], cohort.loc[inside, "outcome"])
    result = Study(cohort, {"witness": Witness()}, cv=splits, n_permutations=1).run()
    assert result.comparison.scores.query("evaluation == 'cross-validation'")["fold"].nunique() == 2
    assert len(result.controls["witness"].permutation_scores) == 1


def test_repeats_of_the_folds(cohort):
    result = Study(cohort, {"witness": Witness()}, cv=3, n_repeats=2, n_permutations=1).run()
    inside = result.comparison.scores.query("evaluation == 'cross-validation'")
    assert inside.groupby("repeat")["fold"].nunique().tolist() == [3, 3]
    assert result.controls["witness"].score == 0.5
    with pytest.raises(ValueError, match="n_repeats must be a whole number of at least 1; got 0"):
        Study(cohort, cv=2, n_repeats=0)
    with pytest.raises(ValueError, match="n_repeats=2 needs cv as a number of folds"):
        Study(cohort, cv=StratifiedKFold(2), n_repeats=2)


def test_an_unreadable_image_stops_the_study_before_any_training(cohort, tmp_path):
    Witness.fitted_on.clear()
    broken = cohort.copy()
    for row in (2, 5):
        path = tmp_path / f"{row}.nii.gz"
        path.write_bytes(Path(cohort["image"].iloc[row]).read_bytes()[:1000])
        broken.loc[broken.index[row], "image"] = str(path)
    models = {"witness": Witness(), "MRI alone": make_image_pipeline(n_slices=3, size_px=8)}
    with pytest.raises(ValueError, match="images of 2 of 30 patients cannot be loaded"):
        Study(broken, models, cv=2).run()
    assert Witness.fitted_on == []


def test_scores_are_saved_before_anything_else_can_fail(cohort, tmp_path, monkeypatch):
    def fail(self):
        raise RuntimeError("a defect")

    monkeypatch.setattr(ModelComparison, "tables", fail)
    with pytest.raises(RuntimeError, match="a defect"):
        Study(cohort, {"witness": Witness()}, cv=2).run(tmp_path)
    assert len(pd.read_csv(tmp_path / "scores.csv")) == len(cohort)


def test_tuning_goes_round_the_networks_only(cohort, tmp_path):
    network = CNNLSTMClassifier(filters=(2,), lstm_units=2, epochs=2, random_state=0)
    models = paper_models(network, n_slices=3, size_px=8, memory=str(tmp_path), random_state=0)
    study = Study(cohort, models, cv=3, tune=True, random_state=0)
    with study._prepared_models() as prepared:
        kinds = {name: type(model).__name__ for name, model in prepared.items()}
        assert kinds == {
            "MRI + clinical": "SequentialSearchCV",
            "MRI alone": "SequentialSearchCV",
            "clinical alone": "CohortPipeline",
        }
        assert prepared["MRI alone"].max_epochs == 4


def test_refusals_come_before_any_fit(cohort):
    with pytest.raises(ValueError, match=r"test_site='C': no such site; the table has 'A', 'B'"):
        Study(cohort, test_site="C")
    with pytest.raises(ValueError, match=r"the training patients include \d+ with PsPD; at least 10 are needed"):
        Study(cohort)
    with pytest.raises(ValueError, match="the held-out patients include 0 with PD; at least 1"):
        Study(cohort[(cohort["site"] == "A") | (cohort["outcome"] == "PsPD")], cv=2)
    with pytest.raises(ValueError, match="at least 10 are needed"):
        Study(cohort, cv=2, tune=True)
    with pytest.raises(ValueError, match="n_permutations must be a whole number of at least 0; got -1"):
        Study(cohort, cv=2, n_permutations=-1)
    with pytest.raises(ValueError, match="no column site"):
        Study(cohort.drop(columns="site"), cv=2)
    with pytest.raises(ValueError, match="column outcome holds 'maybe'"):
        Study(cohort.assign(outcome="maybe"), cv=2)
