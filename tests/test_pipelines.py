"""The three pipelines under stock scikit-learn, with nothing of ours around them."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import N_SLICES, SIZE_PX
from imblearn import FunctionSampler
from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC, RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
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
from sklearn.preprocessing import OneHotEncoder

from sklearn_pspd import (
    CNNLSTMClassifier,
    FOVNormalizer,
    jang2018,
    load_pipeline,
    make_clinical_pipeline,
    make_fusion_pipeline,
    make_image_pipeline,
    paper_models,
    persistence,
    read_cohort,
    save_pipeline,
    split_xy,
)
from sklearn_pspd.cohort import CLINICAL_COLUMNS, ClinicalColumn
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.pipelines import RECIPES, CohortPipeline, n_encoded_columns
from sklearn_pspd.preprocessing import StackAugmenter


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
    fusion = make_fusion_pipeline(tiny_network, clinical=chosen, n_slices=N_SLICES, size_px=SIZE_PX, memory=memory)
    forest = make_clinical_pipeline(clinical=chosen, random_state=0).set_params(classifier__n_estimators=20)
    for pipeline in (fusion, forest):
        np.testing.assert_array_equal(
            clone(pipeline).fit(X, y).predict_proba(X), clone(pipeline).fit(spoilt, y).predict_proba(spoilt)
        )
    assert fusion.fit(X, y)["classifier"].n_features_in_ == N_SLICES * SIZE_PX**2 + 2
    assert forest.fit(X, y)["features"].get_feature_names_out().tolist() == ["clinical__mgmt", "clinical__age_years"]


@pytest.mark.parametrize(
    ("clinical", "message"),
    [
        ((), "it is empty; None selects the columns of the paper"),
        (("age_years", "age_years"), "'age_years' is there more than once"),
        (
            ["age_years", "kps"],
            "'kps' is not a column of the paper; declare it, for example ClinicalColumn\\('kps', unit=",
        ),
        ("age_years", "clinical must be a sequence of column names and ClinicalColumn; got 'age_years'"),
        ([7], "7 is neither a column name nor a ClinicalColumn"),
    ],
)
def test_a_wrong_choice_of_clinical_columns_is_refused(clinical, message):
    for make in (make_clinical_pipeline, make_fusion_pipeline, paper_models):
        with pytest.raises(InputError, match=message):
            make(clinical=clinical)


def test_the_seven_columns_are_taken_where_present(tiny_network, memory, patients):
    """A cohort in which nobody recorded the dose, and one in which everybody had the same."""
    X, y = patients
    without = X.drop(columns=["dose_gy", "n_fractions"])
    fusion = make_fusion_pipeline(tiny_network, n_slices=N_SLICES, size_px=SIZE_PX, memory=memory)
    forest = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=20)
    names = ["age_years", "sex", "mgmt", "idh", "interval_days"]
    for model in (fusion, forest):
        probabilities = clone(model).fit(without, y).predict_proba(without)
        named = clone(model).set_params(features__clinical=clone(model["features"].transformers[-1][1]))
        np.testing.assert_array_equal(probabilities, named.fit(without, y).predict_proba(without))
    assert forest.fit(without, y)["features"].get_feature_names_out().tolist() == [f"clinical__{n}" for n in names]
    constant = X.assign(dose_gy=60.0, n_fractions=30)
    assert np.isfinite(forest.fit(constant, y).predict_proba(X)).all()
    scaler = forest["features"].named_transformers_["clinical"]
    assert {"dose_gy", "n_fractions"} <= set(scaler.constant_columns_)
    with pytest.raises(InputError, match="the table has none of the clinical columns of the paper"):
        clone(forest).fit(X[["patient_id", "image"]], y)
    with pytest.raises(
        InputError, match=r"has no clinical column 'dose_gy'; did you mean 'Dose_Gy'\?; it has patient_id"
    ):
        make_clinical_pipeline(clinical=["dose_gy"]).fit(X.rename(columns={"dose_gy": "Dose_Gy"}), y)


KPS = ClinicalColumn("kps", unit="percent", range=(0, 100))
STEROIDS = ClinicalColumn("steroids", codes={"no": 0, "yes": 1}, may_be_unknown=True)


def test_declared_columns_and_missing_numbers_join(tiny_network, memory, patients, tmp_path, monkeypatch):
    X, y = patients
    rng = np.random.default_rng(0)
    X = X.assign(
        kps=rng.choice([60.0, 80.0, np.nan], len(X)), steroids=rng.choice(["no", "yes", "unknown"], len(X)), other="?"
    )
    chosen = [*CLINICAL_COLUMNS, KPS, STEROIDS]
    fusion = make_fusion_pipeline(
        tiny_network, clinical=chosen, missing="indicator", n_slices=N_SLICES, size_px=SIZE_PX, memory=memory
    )
    forest = make_clinical_pipeline(clinical=chosen, missing="median", random_state=0)
    forest.set_params(classifier__n_estimators=20)
    # One indicator for each number that may be missing: age, dose, fractions, KPS.
    n_pixels = N_SLICES * SIZE_PX**2
    assert fusion.fit(X, y)["classifier"].n_features_in_ == n_pixels + 9 + 4
    assert n_encoded_columns(clone(fusion).set_params(features__clinical__unknown="indicator"), X) == 9 + 4 + 3
    assert forest.fit(X, y)["features"].transform(X).shape == (len(X), 9)
    with pytest.raises(InputError, match=r"column 'kps': missing; missing='median' or 'indicator' replaces"):
        make_clinical_pipeline(clinical=chosen).fit(X, y)
    for model in (fusion, forest):
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert np.isfinite(cross_val_score(forest, X, y, cv=3, scoring="roc_auc", error_score="raise")).all()
    with pytest.raises(InputError, match="missing must be 'refuse', 'median' or 'indicator'; got 'mean'"):
        make_clinical_pipeline(missing="mean")
    # Types of the room of columns are those of a pipeline, too.
    monkeypatch.setattr(persistence, "PIPELINE_ROOMS", {*persistence.PIPELINE_ROOMS, "cohort"})
    save_pipeline(forest, tmp_path / "forest.skops")
    loaded = load_pipeline(tmp_path / "forest.skops")
    np.testing.assert_array_equal(loaded.predict_proba(X), forest.predict_proba(X))
    assert clone(loaded).fit(X, y)["features"].transformers[0][1].clinical == (KPS, STEROIDS)


def test_the_network_follows_the_size_and_number_of_slices(fusion, patients):
    """A natural grid: one parameter of the features, none of the network; pixels are never clinical columns."""
    X, y = patients
    fusion.set_params(classifier__epochs=1)
    grid = [{"features__mri__fov__size_px": [12]}, {"features__mri__load__n_slices": [1]}]
    search = GridSearchCV(fusion, grid, scoring="roc_auc", cv=2, error_score="raise").fit(X, y)
    best = search.best_estimator_
    shape = (3, 12, 12) if "features__mri__fov__size_px" in search.best_params_ else (1, 8, 8)
    assert best["classifier"].n_features_in_ == np.prod(shape) + 7
    inputs = {tensor.name: tensor.shape[1:] for tensor in best["classifier"].network_.inputs}
    assert inputs == {"stack": shape, "clinical": (7,)}
    assert clone(best).get_params()["classifier__stack_shape"] == shape
    # Set on the steps themselves, behind the pipeline's back.
    best["features"].set_params(mri__fov__size_px=8, mri__load__n_slices=3)
    assert best.fit(X, y)["classifier"].stack_shape == (3, 8, 8)


def test_a_shape_that_contradicts_the_features_is_refused():
    model = make_image_pipeline(n_slices=3, size_px=16, sampler=RandomUnderSampler())
    assert model.set_params(classifier__stack_shape=[3, 16, 16])["classifier"].stack_shape == (3, 16, 16)
    for shape in ((3, 32, 32), None):
        with pytest.raises(
            InputError, match=r"classifier__stack_shape=.* contradicts the features, which give \(3, 16, 16\)"
        ):
            model.set_params(classifier__stack_shape=shape)
        assert model["classifier"].stack_shape == (3, 16, 16)
    model.set_params(features__mri__fov__size_px=32, classifier__stack_shape=(3, 32, 32))
    assert model["classifier"].stack_shape == (3, 32, 32)
    replaced = model.set_params(classifier=CNNLSTMClassifier())
    assert replaced["classifier"].stack_shape == (3, 32, 32)


def test_a_second_image_branch_is_no_clinical_branch(patients):
    X, y = patients
    model = make_fusion_pipeline(n_slices=3, size_px=8)
    (mri, clinical), stacks = model["features"].transformers, model["features"].transformers[0][1]
    for transformers, remainder, message in (
        ([mri, clinical, ("flair", stacks, mri[2])], "drop", "branches 'mri', 'clinical', 'flair': the network takes"),
        (
            [clinical, mri],
            "drop",
            "branches 'clinical', 'mri': the network takes the columns of 'mri', which comes first",
        ),
        ([mri, clinical], "passthrough", "remainder='passthrough': the network would take"),
    ):
        model["features"].transformers, model["features"].remainder = transformers, remainder
        with pytest.raises(InputError, match=message):
            model.fit(X, y)
    # A classifier that makes no difference between pixels and others takes what it gets.
    model["features"].transformers, model["features"].remainder = [mri, clinical, ("flair", stacks, mri[2])], "drop"
    both = CohortPipeline([("features", model["features"]), ("classifier", LogisticRegression(C=1e-3))]).fit(X, y)
    assert both["classifier"].n_features_in_ == 2 * 3 * 8**2 + 7


def test_the_pipeline_says_how_many_clinical_columns_there_are(patients):
    """Also where the number depends on the table and on other parameters."""
    X, y = patients

    class Network(LogisticRegression):
        def __init__(self, stack_shape=None, n_clinical=None, augment=None):
            super().__init__()
            self.stack_shape, self.n_clinical, self.augment = stack_shape, n_clinical, augment

    model = make_fusion_pipeline(Network(augment=FOVNormalizer(fov_mm=5)), n_slices=3, size_px=8, fov_mm=150.0)
    assert model["classifier"].augment.fov_mm == 150
    assert model.set_params(features__mri__fov__fov_mm=180.0)["classifier"].augment.fov_mm == 180
    with pytest.raises(
        InputError, match=r"classifier__augment__fov_mm=90.0 contradicts the features, which give 180.0"
    ):
        model.set_params(classifier__augment__fov_mm=90.0)
    assert model.fit(X, y)["classifier"].n_clinical == 7
    assert model.fit(X.drop(columns=["idh", "dose_gy"]), y)["classifier"].n_clinical == 5
    model.set_params(features__clinical__unknown="indicator", features__clinical__missing="indicator")
    assert model.fit(X, y)["classifier"].n_clinical == n_encoded_columns(model, X) == 7 + 2 + 3
    assert n_encoded_columns(model["features"], X.drop(columns="mgmt")) == 6 + 1 + 3
    image = make_image_pipeline(Network(), n_slices=3, size_px=8).fit(X, y)
    assert image["classifier"].n_clinical == n_encoded_columns(image, X) == 0
    other = model.set_params(features__clinical=OneHotEncoder(handle_unknown="ignore"))
    assert other.fit(X, y)["classifier"].n_clinical is None


@pytest.mark.parametrize(
    "sampler",
    [
        SMOTE(random_state=0),
        SMOTENC(categorical_features=["patient_id", "site", "image", "sex", "mgmt", "idh"], random_state=0),
        SMOTEN(random_state=0),
        FunctionSampler(func=lambda X, y: (X.assign(age_years=X["age_years"] + 0.5), y), validate=False),
        FunctionSampler(func=lambda X, y: (X, 1 - y), validate=False),
    ],
    ids=["SMOTE", "SMOTENC", "SMOTEN", "changed values", "changed outcomes"],
)
def test_samplers_that_make_patients_are_refused(sampler, patients):
    X, y = patients
    message = (
        f"sampler: {type(sampler).__name__} (makes patients that are not in the table|cannot choose among the rows)"
    )
    for make in (make_clinical_pipeline, make_fusion_pipeline):
        with pytest.raises(InputError, match=message):
            make(sampler=sampler).fit(X, y)
    model = make_clinical_pipeline(sampler=RandomOverSampler(random_state=0)).set_params(sampler=sampler)
    with pytest.raises(InputError, match=message):
        model.fit(X, y)


@pytest.mark.parametrize(
    "sampler",
    [
        RandomUnderSampler(random_state=0),
        RandomOverSampler(random_state=0),
        FunctionSampler(func=lambda X, y: (X[::2], y[::2]), validate=False),
    ],
)
def test_samplers_that_choose_patients_are_taken(sampler, patients):
    X, y = patients
    X = X.assign(age_years=X["age_years"].where(np.arange(len(X)) > 2))
    model = make_clinical_pipeline(sampler=sampler, missing="median", random_state=0)
    assert len(model.set_params(classifier__n_estimators=5).fit(X, y).predict_proba(X)) == len(X)


def test_recipes():
    small = make_fusion_pipeline(CNNLSTMClassifier(epochs=3, lstm_units=5), recipe="small_cohort", fov_mm=150.0)
    for name, value in RECIPES["small_cohort"].items():
        assert repr(small.get_params()[name]).startswith(repr(value).rstrip("()"))
    assert small["classifier"].lstm_units == 5
    # The augmentation moves pixels by mm, and so follows the field of view.
    assert small["classifier"].augment.fov_mm == 150
    assert RECIPES["small_cohort"]["classifier__augment"].fov_mm == StackAugmenter().fov_mm == 200
    assert make_image_pipeline()["classifier"].filters == CNNLSTMClassifier().filters
    models = paper_models(recipe="small_cohort", random_state=0)
    assert [models[name]["classifier"].pooling for name in ("MRI + clinical", "MRI alone")] == ["average"] * 2
    assert models["clinical alone"]["classifier"].n_estimators == 1000
    with pytest.raises(InputError, match="recipe must be 'published' or 'small_cohort'; got 'large'"):
        make_image_pipeline(recipe="large")
    with pytest.raises(InputError, match="variant='paper' and recipe='small_cohort' set the same parameters"):
        paper_models(variant="paper", recipe="small_cohort")


def test_a_frame_of_another_package_is_refused_in_one_sentence(patients):
    X, y = patients

    class Frame:
        columns = tuple(X.columns)

        def to_pandas(self):
            return X

    with pytest.raises(
        InputError, match=r"^X must be a DataFrame of pandas; got .*Frame; convert it by to_pandas\(\)$"
    ):
        make_clinical_pipeline().fit(Frame(), y)


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


def test_a_network_of_the_clinical_columns_alone_has_no_pixels():
    model = make_clinical_pipeline(CNNLSTMClassifier(epochs=2, random_state=0))
    assert model["classifier"].stack_shape is None
    with pytest.raises(InputError, match="contradicts the features, which give None"):
        model.set_params(classifier__stack_shape=(9, 8, 8))
