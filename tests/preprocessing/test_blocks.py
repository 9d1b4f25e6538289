"""Preparation of images a few patients at a time."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline

from sklearn_pspd import load_pipeline, make_image_pipeline, save_pipeline
from sklearn_pspd.cohort import read_cohort
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.preprocessing import FOVNormalizer, SliceStandardizer, StackFlattener, StackPipeline, blocks


@pytest.fixture(scope="module")
def cohort(cohort_folder):
    return read_cohort(cohort_folder / "cohort.csv")


@pytest.fixture
def steps(cohort_folder, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_PATIENTS", 7)
    load = SliceStackLoader(n_slices=3, memory=cohort_folder / "cache")
    return [
        ("load", load),
        ("fov", FOVNormalizer(size_px=8)),
        ("standardize", SliceStandardizer()),
        ("flatten", StackFlattener()),
    ]


@pytest.fixture
def loaded(monkeypatch):
    sizes, original = [], SliceStackLoader.transform

    def counted(self, X):
        sizes.append(len(X))
        return original(self, X)

    monkeypatch.setattr(SliceStackLoader, "transform", counted)
    return sizes


def test_rows_are_those_of_an_ordinary_pipeline(cohort, steps, loaded):
    expected = Pipeline(steps).fit_transform(cohort)
    loaded.clear()
    pipeline = StackPipeline(steps)
    rows = pipeline.fit_transform(cohort)
    assert loaded == [1, 7, 7, 7, 7, 2]
    np.testing.assert_array_equal(rows, expected)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(pipeline.transform(cohort.iloc[3:20]), expected[3:20])
    assert pipeline.fit(cohort.iloc[5:]) is pipeline


def test_with_a_step_that_learns_it_is_an_ordinary_pipeline(cohort, steps, loaded):
    steps.append(("components", PCA(3, svd_solver="full")))
    rows = StackPipeline(steps).fit_transform(cohort)
    assert loaded == [30]
    np.testing.assert_allclose(rows, Pipeline(steps).fit_transform(cohort), rtol=1e-5, atol=1e-6)


def test_problems_of_all_blocks_are_in_one_error(cohort, steps):
    broken = cohort.copy()
    broken["image"] = broken["image"].astype(str)
    for row in (2, 9, 29):
        broken.loc[broken.index[row], "image"] = f"absent-{row}.nii"
    pipeline = StackPipeline(steps)
    for run in (pipeline.fit_transform, pipeline.fit(cohort).transform):
        with pytest.raises(InputError, match=r"The images of 3 of 30 patients") as caught:
            run(broken)
        assert all(f"absent-{row}.nii" in str(caught.value) for row in (2, 9, 29))
    with pytest.raises(InputError, match="must be odd"):
        pipeline.set_params(load__n_slices=2).fit(cohort)
    with pytest.raises(InputError, match="it is empty"):
        pipeline.set_params(load__n_slices=3).fit(cohort.iloc[:0])


def test_models_prepare_images_in_blocks_and_are_saved(cohort, tiny_network, cohort_folder, loaded, tmp_path):
    model = make_image_pipeline(tiny_network, n_slices=3, size_px=8, memory=cohort_folder / "cache")
    model.fit(cohort.drop(columns="outcome"), np.arange(30) % 2)
    assert max(loaded) <= 32
    assert isinstance(model["features"].named_transformers_["mri"], StackPipeline)
    save_pipeline(model, tmp_path / "model.skops")
    again = load_pipeline(tmp_path / "model.skops").predict_proba(cohort)
    np.testing.assert_array_equal(again, model.predict_proba(cohort))
