"""What an exported folder holds, and what it must not hold."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from sklearn_pspd import ClinicalColumn, ModelComparison, make_clinical_pipeline, read_cohort
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.release import export_model, load_model, predict_patients
from sklearn_pspd.release.calibration import make_calibration

FILES = {
    "calibration.json",
    "manifest.json",
    "model.skops",
    "model_card.md",
    "schema.json",
    "synthetic_patient.json",
    "training_ranges.json",
}


def contents(folder):
    """All bytes of a release, with those inside its zip archives."""
    found = {}
    for path in folder.iterdir():
        found[path.name] = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                found |= {f"{path.name}/{name}": archive.read(name) for name in archive.namelist()}
    return found


def test_files(forest_folder, network_folder):
    assert {path.name for path in forest_folder.iterdir()} == FILES
    assert {path.name for path in network_folder.iterdir()} == {*FILES, "synthetic_patient.nii.gz"}


def test_nothing_names_a_patient_or_a_path(training, forest_folder, network_folder):
    X, _ = training
    for folder in (forest_folder, network_folder):
        for name, content in contents(folder).items():
            for text in (*X["patient_id"], *X["image"], str(folder), "/tmp/", "cache"):
                assert text.encode() not in content, f"{name} holds {text}"


def test_schema_and_ranges(training, network_folder):
    X, _ = training
    schema = json.loads((network_folder / "schema.json").read_text())
    assert [column["name"] for column in schema["clinical"]] == ["age_years", "sex", "interval_days"]
    assert schema["clinical"][0]["range"] == [0, 120]
    assert schema["clinical"][1]["codes"] == {"female": 0, "male": 1}
    assert {"n_slices": 3, "fov_mm": 200, "size_px": 8}.items() <= schema["image"].items()
    ranges = json.loads((network_folder / "training_ranges.json").read_text())
    age = ranges["clinical"]["age_years"]
    assert (age["low"], age["high"]) == (X["age_years"].min(), X["age_years"].max())
    assert age["quantiles"]["0.5"] == X["age_years"].median()
    assert "0.05" not in age["quantiles"], "2 of 40 patients lie below it"
    assert ranges["clinical"]["sex"]["seen"] == ["female", "male"]
    assert ranges["acquisition"]["height"]["low"] == 128
    assert ranges["acquisition"]["slice_spacing_mm"]["high"] < 1.6
    assert "thickness_mm" not in ranges["acquisition"], "NIfTI files do not state it"


def test_card(forest_folder, forest_scores):
    card = (forest_folder / "model_card.md").read_text()
    auc = forest_scores.frame().query("metric == 'auc'").iloc[0]
    assert f"| AUC | {auc['value']:.2f} | {auc['low']:.2f} to {auc['high']:.2f} |" in card
    for text in (
        "Research software, not a medical device",
        "40 patients: 25 with PD and 15 with PsPD",
        "## Intended use",
        "was not measured at another site",
        "scikit-learn 1.",
        "none, the model has no network",
        "There is no rule of abstention",
    ):
        assert text in card


def test_arithmetic_is_stated(network_folder):
    manifest = json.loads((network_folder / "manifest.json").read_text())
    assert manifest["arithmetic"] == "float32"
    assert manifest["tolerance"] == 1e-3
    assert "tensorflow" in manifest["versions"]
    expected = json.loads((network_folder / "synthetic_patient.json").read_text())
    assert len(expected["members"]) == 2


def test_out_of_fold_scores_are_kept_without_order(forest_folder, training, forest_scores):
    kept = json.loads((forest_folder / "calibration.json").read_text())
    assert kept["y_score"] == sorted(kept["y_score"])
    assert sum(kept["y_true"]) == training[1].sum()
    assert kept["threshold"] == pytest.approx(training[1].mean())
    assert kept["abstention"] is None


def test_a_rule_of_abstention_is_kept(training, tmp_path):
    X, y = training
    rng = np.random.default_rng(0)
    scores = expit(np.where(y == 1, 2.5, -2.5) + rng.normal(size=len(y)))
    table = ModelComparison.from_predictions(y, scores, fold=np.arange(len(y)) % 4, name="good").scores
    comparison = ModelComparison(table.assign(patient_id=X["patient_id"].to_numpy()))
    model = make_clinical_pipeline(LogisticRegression()).fit(X, y)
    released = export_model(model, tmp_path / "release", X=X, y=y, comparison=comparison, threshold=0.5)
    rule = released.calibration["abstention"]
    assert rule["n_errors"] <= 1
    assert rule["error_limit"] <= 0.2
    assert "Every patient gets a class. Of the 40 of 40 training patients with a class" in released.card
    # A threshold that was chosen by the same errors allows no rule.
    learned = make_calibration(comparison, "good", X, y, threshold="youden", max_error=0.2, confidence_level=0.9)
    assert learned["abstention"] is None
    assert "chosen by the errors of the same patients" in learned["no_abstention"]


def test_abstaining_gives_no_class(training, tmp_path):
    """Half of the scores are near the threshold and of no use, the others right."""
    X, y = pd.concat([training[0]] * 3), np.tile(training[1], 3)
    X = X.assign(patient_id=[f"P{number:03d}" for number in range(len(y))]).set_index("patient_id", drop=False)
    is_near = np.arange(len(y)) % 2 == 0
    scores = np.where(is_near, 0.5, np.where(y == 1, 0.9, 0.1))
    table = ModelComparison.from_predictions(y, scores, fold=np.zeros(len(y)) + 1, threshold=0.5, name="m").scores
    comparison = ModelComparison(table.assign(patient_id=X["patient_id"].to_numpy()))
    model = make_clinical_pipeline(LogisticRegression(C=1e-6)).fit(X, y)
    level = model.predict_proba(X)[0, 1]
    released = export_model(model, tmp_path / "release", X=X, y=y, comparison=comparison, threshold=level)
    assert released.calibration["abstention"] is not None
    predicted = predict_patients(released, X.head(2))
    assert predicted["abstains"].tolist() == [True, True]
    assert predicted["predicted_class"].tolist() == ["no class", "no class"]


def test_a_search_gives_its_best_model(training, tmp_path):
    X, y = training
    grid = {"classifier__max_depth": [1, 3]}
    model = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=5)
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    released = export_model(search, tmp_path / "release", X=X, y=y)
    np.testing.assert_array_equal(released.model.predict_proba(X), search.predict_proba(X))
    assert released.calibration["no_abstention"] == "the model was released without out-of-fold scores"
    assert "nothing is known about its performance" in released.card


def test_declared_columns(training, tmp_path):
    X, y = training
    X = X.assign(kps=np.resize([60.0, 70, 80, 90], len(X)), steroids=np.resize(["no", "yes"], len(X)))
    clinical = [
        "age_years",
        ClinicalColumn("kps", unit="percent", range=(0, 100)),
        ClinicalColumn("steroids", codes={"no": 0, "yes": 1}),
    ]
    model = make_clinical_pipeline(LogisticRegression(), clinical=clinical).fit(X, y)
    released = load_model(export_model(model, tmp_path / "release", X=X, y=y) and tmp_path / "release")
    assert [column.name for column in released.columns] == ["age_years", "kps", "steroids"]
    assert released.columns[1].range == (0, 100)
    with pytest.raises(InputError, match="patient new: column kps holds 170, outside 0 to 100 percent"):
        predict_patients(released, pd.DataFrame([{"patient_id": "new", "age_years": 5, "kps": 170, "steroids": "no"}]))


def test_text_that_nobody_declared_is_refused(training, tmp_path):
    X, y = training
    X = X.assign(ward=np.resize(["east", "west"], len(X)))
    features = ColumnTransformer([("ward", OrdinalEncoder(), ["ward"])])
    model = Pipeline([("features", features), ("classifier", LogisticRegression())]).fit(X, y)
    with pytest.raises(InputError, match="column ward: the model reads it and it holds text; declare its codes"):
        export_model(model, tmp_path / "release", X=X, y=y)
    assert not (tmp_path / "release").exists()


def test_what_does_not_belong_together_is_refused(training, forest_scores, tmp_path):
    X, y = training
    forest = forest_scores.models["forest"]
    to = {"folder": tmp_path / "release", "comparison": forest_scores}
    with pytest.raises(InputError, match=r"name='oak'; the comparison has the models 'forest': name one"):
        export_model(forest, X=X, y=y, name="oak", **to)
    with pytest.raises(InputError, match="who are not the 39 of X with the outcomes y"):
        export_model(forest, X=X.head(39), y=y[:39], **to)
    with pytest.raises(InputError, match="who are not the 40 of X with the outcomes y"):
        export_model(forest, X=X, y=1 - y, **to)
    with pytest.raises(InputError, match="X has 40 patients and y 39"):
        export_model(forest, X=X, y=y[:39], **to)
    with pytest.raises(InputError, match="threshold must be a number between 0 and 1 or one of 'prevalence'"):
        export_model(forest, X=X, y=y, threshold="best", **to)
    with pytest.raises(InputError, match="learned from out-of-fold scores; give the comparison"):
        export_model(forest, tmp_path / "release", X=X, y=y, threshold="youden")
    assert not (tmp_path / "release").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(FileExistsError, match="is not empty"):
        export_model(forest, tmp_path / "other", X=X, y=y)


def test_a_description_that_names_a_patient_is_refused(training, forest_scores, tmp_path):
    X, y = training
    name = X["patient_id"].iloc[0]
    with pytest.raises(InputError, match=f"would name 1 patient.* such as '{re.escape(name)}'"):
        export_model(forest_scores.models["forest"], tmp_path / "r", X=X, y=y, description=f"Without patient {name}.")


def test_images_that_are_gone_are_named(network_scores, training, tmp_path):
    X, y = training
    X = X.assign(image=[str(tmp_path / "gone.nii.gz"), *X["image"].iloc[1:]])
    with pytest.raises(InputError, match=f"patient {X['patient_id'].iloc[0]}"):
        export_model(network_scores.models["fusion"], tmp_path / "release", X=X, y=y)


def test_a_table_of_a_file_is_predicted_as_the_frame(training, forest_folder):
    X, _ = training
    table = Path(X["image"].iloc[0]).parents[1] / "cohort.csv"
    released = load_model(forest_folder)
    predicted = predict_patients(released, table)
    of_frame = predict_patients(released, read_cohort(table))
    pd.testing.assert_frame_equal(predicted, of_frame)
    assert len(predicted) == 40
