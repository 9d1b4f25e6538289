"""The three pipelines under stock scikit-learn, with nothing of ours around them."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import N_SLICES, SIZE_PX
from imblearn.over_sampling import RandomOverSampler
from joblib import Memory
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    permutation_test_score,
)

from sklearn_pspd import (
    jang2018,
    make_clinical_pipeline,
    make_fusion_pipeline,
    make_image_pipeline,
    paper_models,
    read_cohort,
    split_xy,
)


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    return Memory(tmp_path_factory.mktemp("stacks"), verbose=0)


@pytest.fixture
def cohort(cohort_folder):
    return read_cohort(cohort_folder / "cohort.csv")


@pytest.fixture
def patients(cohort):
    return split_xy(cohort)


@pytest.fixture
def fusion(tiny_network, memory):
    return make_fusion_pipeline(tiny_network, n_slices=N_SLICES, size_px=SIZE_PX, memory=memory)


@pytest.fixture(params=["fusion", "image", "clinical"])
def pipeline(request, tiny_network, memory):
    if request.param == "clinical":
        return make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=20)
    make = make_fusion_pipeline if request.param == "fusion" else make_image_pipeline
    return make(tiny_network, n_slices=N_SLICES, size_px=SIZE_PX, memory=memory)


def test_fit_and_predict_on_the_table(pipeline, patients):
    X, y = patients
    probabilities = pipeline.fit(X, y).predict_proba(X)
    assert probabilities.shape == (len(X), 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(pipeline.predict_proba(X[:1]), probabilities[:1], atol=1e-6)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(pipeline.predict_proba(X.iloc[order]), probabilities[order], atol=1e-6)


def test_features_are_float32_pixels_then_clinical(fusion, patients):
    X, y = patients
    features = fusion.fit(X, y)["features"].transform(X)
    assert features.dtype == np.float32
    assert features.shape == (len(X), N_SLICES * SIZE_PX * SIZE_PX + 7)
    assert features[:, -7:].min() >= 0
    assert features[:, -7:].max() <= 1


def test_cross_val_score_is_stratified_and_not_nan(pipeline, patients):
    X, y = patients
    scores = cross_val_score(pipeline, X, y, scoring="roc_auc", cv=StratifiedKFold(3), error_score="raise")
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()


def test_ten_folds(tiny_network, memory, patients):
    X, y = patients
    pipeline = make_image_pipeline(tiny_network, n_slices=N_SLICES, size_px=SIZE_PX, memory=memory)
    pipeline.set_params(classifier__epochs=1)
    assert np.isfinite(cross_val_score(pipeline, X, y, scoring="roc_auc", cv=StratifiedKFold(10))).all()


def test_grid_search_over_the_papers_parameters(fusion, patients):
    X, y = patients
    grid = {
        "classifier__lstm_units": [2, 3],
        "classifier__batch_size": [4],
        "classifier__learning_rate": [0.01, 0.1],
        "classifier__epochs": [1],
    }
    search = GridSearchCV(fusion, grid, scoring="roc_auc", cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    assert search.predict_proba(X).shape == (len(X), 2)


def test_two_processes_give_the_same_folds(fusion, patients):
    X, y = patients
    serial = cross_val_predict(fusion, X, y, cv=2, method="predict_proba")
    parallel = cross_val_predict(fusion, X, y, cv=2, method="predict_proba", n_jobs=2)
    np.testing.assert_array_equal(serial, parallel)


def test_permutation_test(fusion, patients):
    X, y = patients
    fusion.set_params(classifier__epochs=1)
    score, permuted, p_value = permutation_test_score(
        fusion, X, y, scoring="roc_auc", cv=2, n_permutations=3, random_state=0
    )
    assert np.isfinite([score, *permuted]).all()
    assert p_value in (0.25, 0.5, 0.75, 1.0)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: TunedThresholdClassifierCV(model, scoring="balanced_accuracy", cv=2),
        lambda model: CalibratedClassifierCV(model, cv=2),
    ],
    ids=["threshold", "calibration"],
)
def test_meta_estimators(fusion, patients, wrap):
    X, y = patients
    assert set(wrap(fusion).fit(X, y).predict(X)) <= {0, 1}


def test_clone_pickle_and_notebook_display(pipeline, patients):
    X, y = patients
    copy = clone(pipeline)
    pipeline.fit(X, y)
    restored = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(restored.predict_proba(X), pipeline.predict_proba(X))
    np.testing.assert_array_equal(copy.fit(X, y).predict_proba(X), pipeline.predict_proba(X))
    html = pipeline._repr_html_()
    assert "features" in html
    assert len(html) < 300_000


def fitted_state(pipeline):
    """Everything that fit has learned, as arrays by name."""
    scaler = pipeline["features"].named_transformers_["clinical"]
    state = {f"scaler {name}": value for name, value in vars(scaler).items() if name.endswith("_")}
    return {**state, **{f"weight {n}": w for n, w in enumerate(pipeline["classifier"].weights_)}}


def test_no_leak_from_any_test_row(fusion, cohort, patients):
    """Whatever stands in the test rows, text, images and outcomes, nothing learned from the training rows moves."""
    X, y = patients
    train, test = next(StratifiedKFold(3).split(X, y))
    honest = cross_val_models(fusion, X, y, train, test)
    changed, changed_y = X.copy(), y.copy()
    others = X.iloc[np.roll(test, 1)]
    for column in ("image", "lesion_slice", "site"):
        changed.iloc[test, changed.columns.get_loc(column)] = others[column].to_numpy()
    changed.iloc[test, changed.columns.get_loc("age_years")] = 119.0
    changed.iloc[test, changed.columns.get_loc("interval_days")] = 9999.0
    changed.iloc[test, changed.columns.get_loc("dose_gy")] = 1.0
    changed.iloc[test, changed.columns.get_loc("idh")] = "unknown"
    changed_y[test] = 1 - changed_y[test]
    attacked = cross_val_models(fusion, changed, changed_y, train, test)
    assert honest.keys() == attacked.keys()
    for name, value in honest.items():
        np.testing.assert_array_equal(value, attacked[name], err_msg=name)


def cross_val_models(pipeline, X, y, train, test):
    from sklearn.model_selection import cross_validate

    result = cross_validate(
        pipeline, X.astype({"age_years": float, "interval_days": float}), y, cv=[(train, test)], return_estimator=True
    )
    return fitted_state(result["estimator"][0])


def test_a_sampler_moves_training_patients_only(tiny_network, memory, patients):
    X, y = patients
    keep = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:5]])
    X, y = X.iloc[keep], y[keep]
    pipeline = make_fusion_pipeline(
        tiny_network,
        n_slices=N_SLICES,
        size_px=SIZE_PX,
        sampler=RandomOverSampler(random_state=0),
        memory=memory,
    )
    assert len(pipeline.fit(X, y).predict_proba(X)) == len(X)
    counts = pipeline["sampler"].fit_resample(X, y)[1]
    assert np.bincount(counts).tolist() == [np.sum(y == 0)] * 2
    assert set(pipeline["sampler"].sample_indices_) <= set(range(len(X)))


def test_every_patient_is_decoded_once(tiny_network, tmp_path, patients, monkeypatch):
    from sklearn_pspd.loading import nifti

    X, y = patients
    memory = Memory(tmp_path, verbose=0)
    pipeline = make_image_pipeline(tiny_network, n_slices=N_SLICES, size_px=SIZE_PX, memory=memory)
    pipeline.set_params(classifier__epochs=1)
    cross_val_score(pipeline, X, y, cv=2, scoring="roc_auc")
    monkeypatch.setattr(nifti, "nib", None)
    again = cross_val_score(pipeline, X, y, cv=3, scoring="roc_auc")
    assert np.isfinite(again).all()


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_presets_fit_their_pipelines(variant):
    fusion = make_fusion_pipeline().set_params(**jang2018(variant))
    assert fusion["classifier"].batch_size == 8
    image = make_image_pipeline().set_params(**jang2018(variant, "image"))
    assert image.get_params()["classifier__epochs"] == 25
    forest = make_clinical_pipeline().set_params(**jang2018(variant, "clinical"))["classifier"]
    assert forest.n_estimators == {"paper": 1000, "released": 100}[variant]


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_presets_run(variant, cohort_folder, memory, patients):
    X, y = patients
    pipeline = make_fusion_pipeline(n_slices=3, size_px=16, memory=memory).set_params(**jang2018(variant))
    pipeline.set_params(classifier__epochs=1, classifier__filters=(2, 2, 2))
    assert np.isfinite(pipeline.fit(X, y).predict_proba(X)).all()


def test_unknown_preset():
    with pytest.raises(ValueError, match="variant must be 'paper' or 'released'; got 'code'"):
        jang2018("code")
    with pytest.raises(ValueError, match="got 'both'"):
        jang2018("paper", "both")


def test_only_the_chosen_clinical_columns_are_read(tiny_network, memory, patients):
    """The other ones may be absent, or hold anything."""
    X, y = patients
    chosen = ["mgmt", "age_years"]
    spoilt = X.assign(sex="?", dose_gy=np.nan).drop(columns=["idh", "interval_days"])
    fusion = make_fusion_pipeline(tiny_network, columns=chosen, n_slices=N_SLICES, size_px=SIZE_PX, memory=memory)
    forest = make_clinical_pipeline(columns=chosen, random_state=0).set_params(classifier__n_estimators=20)
    for pipeline in (fusion, forest):
        np.testing.assert_array_equal(
            clone(pipeline).fit(X, y).predict_proba(X), clone(pipeline).fit(spoilt, y).predict_proba(spoilt)
        )
    assert fusion.fit(X, y)["classifier"].n_features_in_ == N_SLICES * SIZE_PX**2 + 2
    assert forest.fit(X, y)["features"].get_feature_names_out().tolist() == ["clinical__mgmt", "clinical__age_years"]
    for wrong in ((), ("age_years", "age_years")):
        with pytest.raises(ValueError, match="one or more clinical columns of the table, each once; got"):
            make_clinical_pipeline(columns=wrong)


def test_the_clinical_pipeline_takes_any_classifier_and_leaves_it_alone(patients):
    X, y = patients
    given = LogisticRegression(C=0.5)
    pipeline = make_clinical_pipeline(given).fit(X, y)
    assert pipeline["classifier"].C == 0.5
    assert pipeline["classifier"] is not given
    assert not hasattr(given, "coef_")


def test_paper_models_are_the_three_pipelines(tiny_network, memory, patients):
    X, y = patients
    images = {"n_slices": N_SLICES, "size_px": SIZE_PX, "memory": memory}
    models = paper_models(tiny_network, random_state=3, **images)
    expected = {
        "MRI + clinical": make_fusion_pipeline(tiny_network, **images),
        "MRI alone": make_image_pipeline(tiny_network, **images),
        "clinical alone": make_clinical_pipeline(random_state=3),
    }
    assert list(models) == list(expected)
    for name, pipeline in expected.items():
        np.testing.assert_array_equal(
            clone(models[name]).fit(X, y).predict_proba(X), pipeline.fit(X, y).predict_proba(X), err_msg=name
        )
    assert paper_models(random_state=3)["MRI alone"]["classifier"].random_state == 3
    published = paper_models(tiny_network, variant="released", random_state=3)
    assert published["MRI + clinical"]["classifier"].filters == (64, 128, 256)
    assert published["MRI alone"]["features"].get_params()["mri__fov__method"] == "released"
    assert published["clinical alone"]["classifier"].n_estimators == 100
    with pytest.raises(ValueError, match="variant must be 'paper' or 'released'; got 'printed'"):
        paper_models(variant="printed")


def test_real_scans_through_a_fitted_fusion_pipeline(shared_data, tiny_network):
    """A whole-head NIfTI volume and a whole-head DICOM series, with made-up clinical values."""
    images = [shared_data / "brain1_image.nii.gz", shared_data / "dicom_t1w_whole_head"]
    rows = [
        {
            "patient_id": f"{name}-{copy}",
            "site": "A",
            "image": str(image),
            "lesion_slice": lesion_slice + copy,
            "age_years": 50 + copy,
            "sex": "female",
            "mgmt": "unknown",
            "idh": "wildtype",
            "dose_gy": 60.0 - copy,
            "n_fractions": 30 + copy,
            "interval_days": 90 + copy,
            "outcome": outcome,
        }
        for (name, image, lesion_slice, outcome) in zip(
            ("nifti", "dicom"), images, (13, 6), ("PD", "PsPD"), strict=True
        )
        for copy in range(3)
    ]
    X, y = split_xy(pd.DataFrame(rows))
    pipeline = make_fusion_pipeline(tiny_network, n_slices=9, size_px=32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probabilities = pipeline.fit(X, y).predict_proba(X)
    assert probabilities.shape == (6, 2)
    pixels = pipeline["features"].transform(X)[:, :-7].reshape(6, 9, 32, 32)
    np.testing.assert_allclose(pixels.mean(axis=(2, 3)), 0, atol=1e-4)
    # The head stands in the middle of the field of view, brighter than the air in its corners.
    assert (pixels[:, :, 12:20, 12:20].mean(axis=(1, 2, 3)) > pixels[:, :, :3, :3].mean(axis=(1, 2, 3))).all()
