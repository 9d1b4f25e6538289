"""Shortcut tests on cohorts whose truth is planted, regions, and what image features say of other facts."""

import numpy as np
import pandas as pd
import pytest
from inspected_cohorts import N_TRAIN, draw

from sklearn_pspd.baselines import baseline_models
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.inspection import confounder_aucs, shortcut_tests
from sklearn_pspd.inspection.native_space import SourceGrid
from sklearn_pspd.inspection.opened import OpenedModel
from sklearn_pspd.inspection.regions import brain_region, fill_from_surroundings, head_region, lesion_regions


def held_out_part(cohort):
    return tuple(part[N_TRAIN:] for part in cohort)


def test_a_model_of_the_lesion_needs_the_lesion(image_model, held_out):
    found = shortcut_tests(image_model, *held_out)
    table = found.frame().set_index("test")
    assert table.loc["original", "auc"] > 0.9
    assert table.loc["lesion removed", "difference_high"] < 0
    assert table.loc["skull only", "difference_high"] < 0
    assert table.loc["lesion removed", "auc"] < 0.75
    assert table.loc["mirrored", "auc"] > 0.85
    assert table.loc["another patient's head", "auc"] > table.loc["lesion removed", "auc"]
    assert found.scores.shape == (40, 7)
    assert set(found.examples) == set(table.index)


def test_a_planted_shortcut_is_exposed(shortcut_model, shortcut_cohort):
    table = shortcut_tests(shortcut_model, *held_out_part(shortcut_cohort)).frame().set_index("test")
    assert table.loc["original", "auc"] > 0.9
    assert table.loc["lesion removed", "auc"] > 0.9
    assert table.loc["skull only", "auc"] > 0.9
    assert table.loc["brain only", "difference_high"] < 0
    assert table.loc["lesion only", "difference_high"] < 0


def test_without_lesion_nothing_of_it_is_left(signal):
    """Filled lesions are as bright as the brain around them, and nothing else is touched."""
    X, _ = signal
    model = baseline_models(["MRI principal components"], n_slices=3, size_px=64)["MRI principal components"]
    opened = OpenedModel(model.fit(X[:10], [0, 1] * 5))
    stacks = opened.stacks(X[:6])
    images, lesions = opened.images(stacks), lesion_regions(opened, X[:6], stacks)
    for stack, lesion in zip(images, lesions, strict=True):
        filled = fill_from_surroundings(stack, lesion)
        np.testing.assert_array_equal(filled[~lesion], stack[~lesion])
        brain = brain_region(stack, opened.pixel_mm) & ~lesion
        assert stack[lesion].std() > 1.3 * filled[lesion].std()
        assert np.percentile(stack[brain], 1) < filled[lesion].mean() < np.percentile(stack[brain], 99)
        # The mask is where the enhancement is.
        assert np.percentile(stack[lesion], 95) > np.percentile(stack[brain], 95)


def test_a_sphere_around_a_picked_point_is_where_the_mask_is(signal):
    X, _ = signal
    model = baseline_models(["MRI principal components"], n_slices=3, size_px=64)["MRI principal components"]
    opened = OpenedModel(model.fit(X[:10], [0, 1] * 5))
    stacks = opened.stacks(X[:4])
    masks = lesion_regions(opened, X[:4], stacks, margin_mm=0.0)
    worlds = [SourceGrid(stack, opened.images_of["fov"]).world_mm() for stack in stacks]
    centres = pd.DataFrame(
        [world[mask].mean(axis=0) for world, mask in zip(worlds, masks, strict=True)],
        columns=["x_mm", "y_mm", "z_mm"],
        index=X["patient_id"][:4],
    )
    spheres = lesion_regions(opened, X[:4], stacks, centres=centres, radius_mm=25.0)
    assert (spheres & masks).sum() > 0.95 * masks.sum()
    volume = spheres.sum() * opened.pixel_mm**2 / spheres.any(axis=(2, 3)).sum()
    assert volume == pytest.approx(np.pi * 25**2, rel=0.05)  # discs near the middle of the sphere


def test_head_and_brain_are_ellipses_of_their_size(signal):
    X, _ = signal
    model = baseline_models(["MRI principal components"], n_slices=3, size_px=96)["MRI principal components"]
    opened = OpenedModel(model.fit(X[:10], [0, 1] * 5))
    for stack in opened.images(opened.stacks(X[:5])):
        area = head_region(stack)[1].sum() * opened.pixel_mm**2
        assert area == pytest.approx(np.pi * 71 * 90, rel=0.15)  # semi-axes of about 73 and 92 mm at the equator
        assert 0.5 < brain_region(stack, opened.pixel_mm).sum() / head_region(stack).sum() < 0.8


def test_filling_continues_a_slope_and_leaves_no_hole():
    ramp = np.tile(np.arange(32.0), (1, 32, 1))
    region = np.zeros(ramp.shape, dtype=bool)
    region[0, 10:20, 12:18] = True
    filled = fill_from_surroundings(np.where(region, 999, ramp), region)
    assert np.abs(filled - ramp).max() < 4
    whole = fill_from_surroundings(ramp, np.ones_like(region))
    np.testing.assert_allclose(whole, ramp.mean(), rtol=1e-6)


def test_a_fact_that_is_the_outcome_is_in_the_features_and_one_of_the_header_is_in_the_header(
    image_model, held_out, tmp_path_factory
):
    X, y = held_out
    table = confounder_aucs(image_model, X.assign(site=np.where(y == 1, "B", "A")), y, targets=["site", "age_years"])
    table = table.set_index("target")
    assert table.loc["site", "low"] > 0.6
    assert table.loc["age_years", "low"] < 0.5
    assert table.loc["outcome", "auc"] == table.loc["site", "auc"]
    assert table.loc["outcome", "header_low"] < 0.5
    few = confounder_aucs(image_model, X.assign(site=["A"] * 3 + ["B"] * (len(X) - 3)), targets=["site"])
    assert few[["auc", "low", "auc_header"]].isna().all(axis=None)
    # Two scanners with other matrices.
    X, y = draw(tmp_path_factory, "matrices", 24, matrix_px=(128, 160))
    facts = OpenedModel(image_model).images_of["load"].inspect(X)
    table = confounder_aucs(image_model, X.assign(site=np.where(facts["width"] > 140, "new", "old")), targets=["site"])
    assert table["auc_header"][0] == 1


def test_a_lesion_that_is_not_known_in_the_plane_is_refused(image_model, held_out):
    X, y = held_out
    X = X.drop(columns="lesion_mask").assign(lesion_slice=5)
    with pytest.raises(InputError, match=r"lesion of 40 of 40 patients is not known in the plane"):
        shortcut_tests(image_model, X, y)
    table = shortcut_tests(image_model, X, y, tests=["mirrored"]).frame()
    assert table["test"].tolist() == ["original", "mirrored"]
    with pytest.raises(InputError, match="centres has no row for this patient_id"):
        shortcut_tests(image_model, X, y, centres=pd.DataFrame(columns=["x_mm", "y_mm", "z_mm"]))
    with pytest.raises(InputError, match="no test is named 'upside down'"):
        shortcut_tests(image_model, X, y, tests=["upside down"])


def test_models_without_images_are_refused(forest, held_out):
    with pytest.raises(InputError, match="needs a model that reads images"):
        shortcut_tests(forest, *held_out)
    with pytest.raises(InputError, match="lacks the column 'scanner'"):
        confounder_aucs(forest, held_out[0], targets=["scanner"])
