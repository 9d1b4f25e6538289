"""Tests of the baselines as pipelines over the cohort table."""

import pickle

import nibabel as nib
import numpy as np
import pytest
from conftest import N_SLICES
from joblib import Memory
from mark_files import write_markups
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from stack_checks import make_stacks, parametrize_with_stack_checks

from sklearn_pspd import read_cohort, split_xy
from sklearn_pspd.baselines import (
    NAMES,
    RadiomicsExtractor,
    SliceEncoder,
    _InnerFolds,
    baseline_models,
    disc,
    penalised_regression,
    radiomics_features,
)
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.preprocessing import FOVNormalizer, SliceStandardizer

SIZE_PX = 24


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    return Memory(tmp_path_factory.mktemp("baselines"), verbose=0)


@pytest.fixture(scope="module")
def patients(cohort_folder):
    return split_xy(read_cohort(cohort_folder / "cohort.csv"))


@pytest.fixture
def models(memory):
    pytest.importorskip("numpyradiomics")
    models = baseline_models(NAMES, n_slices=N_SLICES, size_px=SIZE_PX, memory=memory, random_state=0)
    models["clinical forest"].set_params(classifier__n_estimators=20)
    for name in ("MRI radiomics", "MRI radiomics + clinical"):
        models[name].set_params(features__radiomics__extract__families=["firstorder"])
    return models


@pytest.fixture(scope="module")
def masked(patients, tmp_path_factory):
    """Three patients whose lesion is given by a mask, a box of 2 slices about the lesion slice."""
    X = patients[0][:3].copy()
    X["lesion_mask"] = None
    for row, (image, lesion_slice) in enumerate(zip(X["image"], X.pop("lesion_slice"), strict=True)):
        image = nib.load(image)
        labels = np.zeros(image.shape, np.uint8)
        labels[40:60, 50:80, lesion_slice : lesion_slice + 2] = 1
        labels[60:64, 50:80, lesion_slice] = 2
        path = tmp_path_factory.getbasetemp() / f"mask{row}.nii.gz"
        nib.save(nib.Nifti1Image(labels, image.affine), path)
        X.iloc[row, X.columns.get_loc("lesion_mask")] = str(path)
    return X


# ---- The pipelines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_is_an_estimator_of_the_table(name, models, patients):
    X, y = patients
    model = models[name]
    probabilities = cross_val_predict(model, X, y, cv=StratifiedKFold(2), method="predict_proba")
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    model = clone(model).fit(X, y)
    fitted = model.predict_proba(X)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(model)).predict_proba(X), fitted)
    np.testing.assert_allclose(model.predict_proba(X[::-1]), fitted[::-1], atol=1e-5)
    assert np.ptp(fitted[:, 1]) == 0 if name == "prevalence" else np.ptp(fitted[:, 1]) > 0


def test_prevalence_is_that_of_the_training_patients(models, patients):
    X, y = patients
    fitted = models["prevalence"].fit(X[:20], y[:20])
    np.testing.assert_allclose(fitted.predict_proba(X[20:])[:, 1], y[:20].mean())


@pytest.mark.parametrize("name", ["clinical ridge", "MRI principal components"])
def test_nothing_is_learned_from_other_patients(name, models, patients):
    """Scaling, components and penalty of a fit on the table without the test rows are those of the fold."""
    X, y = patients
    train, test = next(StratifiedKFold(3).split(X, y))
    (fold,) = cross_val_predict(models[name], X, y, cv=StratifiedKFold(3), method="predict_proba")[[test[0]]]
    alone = clone(models[name]).fit(X.iloc[train].reset_index(drop=True), y[train])
    np.testing.assert_allclose(alone.predict_proba(X.iloc[test[:1]])[0], fold, atol=1e-5)


def test_the_ladder_is_a_choice_of_names():
    assert list(baseline_models()) == list(NAMES[:5])
    assert list(baseline_models(["MRI radiomics", "prevalence"])) == ["MRI radiomics", "prevalence"]
    with pytest.raises(ValueError, match="no baseline is named 'nomogram', 'forest'; the names are 'prevalence', "):
        baseline_models(["nomogram", "prevalence", "forest"])
    with pytest.raises(ValueError, match="clinical"):
        baseline_models(clinical=[])


def test_only_the_chosen_clinical_columns_are_read(patients):
    X, y = patients
    for model in baseline_models(["prevalence", "clinical ridge"], clinical=["age_years", "sex"]).values():
        columns = model.fit(X.drop(columns=["mgmt", "dose_gy"]), y)["features"].get_feature_names_out()
        assert columns.tolist() == ["clinical__age_years", "clinical__sex"]


@pytest.mark.parametrize("l1_ratios", [(0.0,), (0.1, 0.9)])
def test_the_penalty_is_chosen_within_the_training_rows(l1_ratios):
    """With a signal the penalty is weak, without one it is so strong that nothing is left."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 5))
    signal = penalised_regression(l1_ratios, random_state=0).fit(X, (X[:, 0] > 0).astype(int))
    noise = penalised_regression(l1_ratios, random_state=0).fit(X, rng.permutation(80) % 2)
    assert abs(signal.coef_[0, 0]) > 3 * abs(signal.coef_[0, 1:]).max()
    assert abs(noise.coef_).max() < 0.2 < abs(signal.coef_).max()


def test_ridge_equals_logistic_regression_with_the_chosen_penalty():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 4))
    y = (X[:, 0] + rng.normal(size=60) > 0).astype(int)
    chosen = penalised_regression(random_state=0).fit(X, y)
    expected = LogisticRegression(C=np.ravel(chosen.C_)[0]).fit(X, y)
    np.testing.assert_allclose(chosen.predict_proba(X), expected.predict_proba(X), atol=1e-3)


@pytest.mark.parametrize(("n_rare", "n_folds"), [(2, 2), (3, 3), (5, 5), (9, 5)])
def test_inner_folds_have_both_classes(n_rare, n_folds):
    y = np.repeat([1, 0], [n_rare, 20])
    folds = list(_InnerFolds(random_state=0).split(y, y))
    assert len(folds) == n_folds
    assert all(set(y[rows]) == {0, 1} for fold in folds for rows in fold)
    X = np.random.default_rng(0).normal(size=(len(y), 3))
    assert np.isfinite(penalised_regression(random_state=0).fit(X, y).predict_proba(X)).all()


# ---- Radiomics -------------------------------------------------------------------------------------------------------


def test_features_are_those_of_the_region():
    pytest.importorskip("numpyradiomics")
    images = np.random.default_rng(0).normal(size=(3, 9, 9))
    region = np.zeros(images.shape, bool)
    region[1:, 2:7, 3:8] = True
    values = images[region]
    found = radiomics_features(images, region, (2.0, 0.5, 0.5), families=["firstorder", "shape"])
    assert found["firstorder_Mean"] == pytest.approx(values.mean())
    assert found["firstorder_90Percentile"] == pytest.approx(np.percentile(values, 90))
    assert found["shape_VoxelVolume"] == pytest.approx(region.sum() * 0.5)
    outside = images + 50 * ~region
    assert radiomics_features(outside, region, families=["firstorder", "glcm"]) == pytest.approx(
        radiomics_features(images, region, families=["firstorder", "glcm"])
    )


def test_the_disc_lies_about_the_centre():
    for size_px in (24, 25):
        found = disc(size_px, 9)
        assert found.sum() == pytest.approx(np.pi * 81, rel=0.05)
        np.testing.assert_array_equal(found, np.rot90(found))
        assert disc(size_px, 0.1).any()


def test_masks_are_resampled_with_the_image(masked):
    pytest.importorskip("numpyradiomics")
    extractor = RadiomicsExtractor(families=["firstorder"], n_slices=3, size_px=100).fit(masked)
    assert extractor.region_ == "mask"
    features = dict(zip(extractor.get_feature_names_out(), extractor.transform(masked).T, strict=True))
    stacks = SliceStackLoader(n_slices=3).fit_transform(masked)
    images = SliceStandardizer().fit_transform(FOVNormalizer(size_px=100).fit_transform(stacks))
    for row, stack in enumerate(stacks):
        # 20 x 30 voxels of label 1, in the two slices of the three in which the lesion lies.
        slice_mm2 = 20 * 30 * np.prod(stack.spacing_mm)
        n_inside = sum(index >= stack.slice_indices[1] for index in stack.slice_indices)
        assert n_inside == 2
        volume = features["shape_VoxelVolume"][row]
        assert volume == pytest.approx(n_inside * slice_mm2 * stack.slice_spacing_mm, rel=0.1)
        assert images[row].min() < features["firstorder_Mean"][row] < images[row].max()


def test_masks_of_some_patients_are_no_masks(masked, patients, tmp_path):
    pytest.importorskip("numpyradiomics")
    mixed = masked.copy()
    mixed["lesion_slice"] = [np.nan, *patients[0]["lesion_slice"][1:3]]
    mixed.iloc[1:, mixed.columns.get_loc("lesion_mask")] = None
    small = RadiomicsExtractor(families=["firstorder"], n_slices=3, size_px=24)
    assert clone(small).fit(mixed).region_ == "disc"
    without = (
        f"no lesion_mask in NIfTI is given for patient.s. {mixed['patient_id'].iloc[1]}, {mixed['patient_id'].iloc[2]}"
    )
    with pytest.raises(ValueError, match=without):
        clone(small).fit(masked).transform(mixed)
    with pytest.raises(ValueError, match=without):
        clone(small).set_params(region="mask").fit(mixed[1:])
    # A point that marks the lesion has no voxels inside which features could be measured.
    image = nib.load(masked["image"].iloc[0])
    middle = image.affine @ [*(size // 2 for size in image.shape), 1]
    write_markups(tmp_path / "point", [{"position": middle[:3].tolist()}], "RAS")
    marked = masked.assign(lesion_mask=str(tmp_path / "point"))
    assert clone(small).fit(marked).region_ == "disc"
    with pytest.raises(ValueError, match="no lesion_mask in NIfTI"):
        clone(small).set_params(region="mask").fit(marked)
    with pytest.raises(ValueError, match=r"the lesion of .*mask0.nii.gz covers no pixel of 0.333 mm within fov_mm=8"):
        clone(small).set_params(fov_mm=8).fit(masked)
    with pytest.raises(ValueError, match=r"families must list one or more of firstorder, .*got \['edges'\]"):
        RadiomicsExtractor(families=["edges"]).fit(masked)


# ---- Frozen features -------------------------------------------------------------------------------------------------


@parametrize_with_stack_checks([SliceEncoder(random_state=0)])
def test_encoder_stack_checks(estimator, check):
    # It has names, of few columns; and sums of a convolution may be rounded differently in batches of other sizes.
    if check.__name__ not in ("check_no_pixel_names", "check_one_patient_equals_its_row"):
        check(clone(estimator))


def passing_network():
    """A network that returns its images, of any size and with three channels."""
    import keras

    return keras.Sequential([keras.Input((None, None, 3)), keras.layers.Identity()])


def test_encoder_reduces_maps_and_slices():
    stacks = make_stacks()
    mean = SliceEncoder(passing_network, scale=2.0, batch_size=5).fit_transform(stacks)
    per_slice = 2 * stacks.mean(axis=(2, 3))
    expected = np.repeat([per_slice.mean(axis=1), per_slice.max(axis=1)], 3, axis=0).T
    np.testing.assert_allclose(mean, expected, rtol=1e-5)
    largest = SliceEncoder(passing_network, pooling="max").fit_transform(stacks)
    np.testing.assert_allclose(largest[:, -1], stacks.max(axis=(1, 2, 3)), rtol=1e-6)
    names = SliceEncoder(passing_network).fit(stacks).get_feature_names_out()
    assert names.tolist() == [f"sliceencoder{number}" for number in range(6)]


def test_encoder_takes_a_model_a_path_or_a_function(tmp_path):
    stacks = make_stacks()
    network = passing_network()
    network.save(tmp_path / "network.keras")
    expected = SliceEncoder(passing_network).fit_transform(stacks)
    for given in (network, tmp_path / "network.keras", str(tmp_path / "network.keras")):
        np.testing.assert_array_equal(clone(SliceEncoder(given)).fit_transform(stacks), expected)
    random = SliceEncoder(random_state=1).fit_transform(stacks)
    np.testing.assert_array_equal(SliceEncoder(random_state=1).fit_transform(stacks), random)
    assert abs(SliceEncoder(random_state=2).fit_transform(stacks) - random).max() > 0.1


def test_encoder_refuses_other_networks():
    import keras

    fixed = keras.Sequential([keras.Input((7, 11, 1)), keras.layers.Identity()])
    with pytest.raises(ValueError, match=r"takes images of 7 x 11 pixels, the slices have 11 x 7; set size_px"):
        SliceEncoder(fixed).fit(make_stacks())
    with pytest.raises(ValueError, match=r"input of shape \(None, 4\); one input"):
        SliceEncoder(keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])).fit(make_stacks())
    volumes = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Lambda(lambda x: x[:, None])])
    with pytest.raises(ValueError, match=r"returns an array of shape \(4, 1, 11, 7, 1\)"):
        SliceEncoder(volumes).fit(make_stacks())
