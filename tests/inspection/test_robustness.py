"""Perturbations do what they say, and the table compares the same patients."""

import dataclasses

import numpy as np
import pytest
from inspected_cohorts import IMAGES

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.inspection import robustness
from sklearn_pspd.inspection.opened import OpenedModel
from sklearn_pspd.inspection.perturbations import (
    IMAGE_PERTURBATIONS,
    Subject,
    clinical_perturbations,
    column_of,
    ghost,
    missing_slices,
    noise,
    slice_offset,
    slice_thickness,
)
from sklearn_pspd.loading import SliceStackLoader


@pytest.fixture(scope="module")
def subject(fusion, held_out):
    opened = OpenedModel(fusion)
    stacks = opened.stacks(held_out[0][:1])
    return Subject(stacks[0], opened.images(stacks)[0], opened)


def rng():
    return np.random.default_rng(0)


def test_an_offset_reads_the_slices_above(subject, held_out):
    X = held_out[0][:1]
    middle = subject.stack.slice_indices[1]
    moved = X.drop(columns="lesion_mask").assign(lesion_slice=int(middle) + 2)
    stacks = SliceStackLoader(n_slices=3).fit_transform(moved)
    expected = subject.opened.standardise(subject.opened.images(stacks))[0]
    np.testing.assert_allclose(slice_offset(subject, 2, rng()), expected, atol=1e-5)
    np.testing.assert_allclose(slice_offset(subject, 0, rng()), subject.standardise(subject.image), atol=1e-5)
    assert slice_offset(subject, 50, rng()) is None
    assert slice_offset(subject, -50, rng()) is None


def test_thick_slices_are_means(subject):
    """With a thickness near zero nothing changes; twice the spacing is a weighted mean of neighbours."""
    np.testing.assert_allclose(slice_thickness(subject, 1e-6, rng()), subject.standardise(subject.image), atol=1e-4)
    spacing = subject.stack.slice_spacing_mm
    x = np.abs(np.linspace(-1, 1, 9))
    centre = np.mean(1 - x)
    stack = SliceStackLoader(n_slices=5).fit_transform(table_at(subject, int(subject.stack.slice_indices[1])))[0].pixels
    expected = centre * stack[1:4] + (1 - centre) / 2 * (stack[:3] + stack[2:])
    altered = subject.opened.images([dataclasses.replace(subject.stack, pixels=expected.astype(np.float32))])
    found = slice_thickness(subject, 2 * spacing, rng())
    np.testing.assert_allclose(found, subject.opened.standardise(altered)[0], atol=1e-3)


def table_at(subject, middle):
    import pandas as pd

    return pd.DataFrame({"patient_id": ["P"], "image": [subject.stack.source], "lesion_slice": [middle]})


def test_noise_is_rician_and_of_the_strength_asked_for(subject):
    flat = subject._replace(image=np.zeros((1, 200, 200), np.float32))
    flat.image[:, :, 100:] = 100.0  # standard deviation 50
    raw = noise(flat._replace(opened=AsItIs()), 0.2, rng())
    assert raw[0, :, :100].mean() == pytest.approx(10 * np.sqrt(np.pi / 2), rel=0.03)  # Rayleigh, in the background
    assert raw[0, :, 100:].std() == pytest.approx(10, rel=0.03)


def test_a_ghost_is_half_the_field_of_view_away(subject):
    image = np.zeros((1, 20, 20), np.float32)
    image[0, 3, 7] = 1.0
    found = ghost(subject._replace(image=image, opened=AsItIs()), 0.25, rng())
    assert found[0, 3, 7] == 1.0
    assert found[0, 13, 7] == pytest.approx(0.25)
    assert np.count_nonzero(found) == 2


def test_missing_slices_are_replaced_by_neighbours(subject):
    image = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    found = missing_slices(subject._replace(image=image, opened=AsItIs()), 2, rng())[:, 0, 0]
    assert len(np.unique(found)) == 3
    assert (np.abs(found - np.arange(5)) <= 2).all()
    assert missing_slices(subject, 3, rng()) is None


class AsItIs:
    fov_mm = 190.0

    def standardise(self, image):
        return image


@pytest.mark.parametrize("name", IMAGE_PERTURBATIONS)
def test_a_strength_of_zero_changes_nothing_and_a_larger_one_something(subject, name):
    original = subject.standardise(subject.image)
    alter = IMAGE_PERTURBATIONS[name].alter
    strength = IMAGE_PERTURBATIONS[name].strengths[-1]
    np.testing.assert_allclose(alter(subject, 0.0, rng()), original, atol=2e-4)
    for candidate in (strength, -1):  # of offsets, one direction may be outside
        changed = alter(subject, candidate, rng())
        if changed is not None:
            break
    assert np.abs(changed - original).max() > 0.01


def test_the_table_says_what_changed_for_whom(fusion, held_out):
    X, y = held_out
    result = robustness(fusion, X, y, {"slice offset": (-4, 1), "noise": (0.0, 3.0), "clinical columns": ()})
    table = result.frame()
    probability = fusion.predict_proba(X)[:, 1]
    assert table["perturbation"].tolist()[:5] == ["none", "slice offset", "slice offset", "noise", "noise"]
    noise_rows = table[table["perturbation"] == "noise"].set_index("strength")
    assert noise_rows.loc[0.0, "changed"] == 0
    assert noise_rows.loc[0.0, "mean_change"] == pytest.approx(0, abs=1e-4)
    assert noise_rows.loc[3.0, "mean_change"] > 0.05
    offset = table[(table["perturbation"] == "slice offset") & (table["strength"] == -4)]
    assert offset["n_patients"].item() < len(X)  # slabs of ten slices end near the lesion
    # One clinical error by hand: the sex of everybody.
    other = X.assign(sex=X["sex"].map({"female": "male", "male": "female"}))
    changed = fusion.predict_proba(other)[:, 1]
    row = table[table["perturbation"] == "sex"].iloc[0]
    assert row["mean_change"] == pytest.approx(np.abs(changed - probability).mean(), abs=1e-6)
    assert row["changed"] == ((changed >= 0.5) != (probability >= 0.5)).mean()
    unknown = table[(table["perturbation"] == "idh") & (table["unit"] == "unknown")]
    assert unknown["n_patients"].item() == (X["idh"] != "unknown").sum()
    assert result.largest()["changed"].is_monotonic_decreasing


def test_every_default_runs_and_a_forest_has_clinical_rows_only(image_model, forest, held_out):
    X, y = held_out
    table = robustness(image_model, X[:16], y[:16]).frame()
    assert set(table["kind"]) == {"none", "image"}
    assert set(table["perturbation"]) == {"none", *IMAGE_PERTURBATIONS}
    table = robustness(forest, X, y).frame()
    assert set(table["kind"]) == {"none", "clinical"}
    assert table.groupby("perturbation").size()["interval_days"] == 4


def test_errors_stay_in_range_and_unknown_is_not_flipped(held_out):
    X, _ = held_out
    X = X.assign(n_fractions=1)
    errors = {
        (name, unit, strength): alter
        for name, unit, strength, alter in clinical_perturbations(
            [column_of(name) for name in ("n_fractions", "mgmt", "kps")]
        )
    }
    assert errors[("n_fractions", "1", -1)](X["n_fractions"]).isna().all()
    assert (errors[("n_fractions", "1", 1)](X["n_fractions"]) == 2).all()
    cells = X["mgmt"].copy()
    cells.iloc[0] = "unknown"
    assert errors[("mgmt", "another code", 1)](cells).isna().sum() == (cells == "unknown").sum()
    assert ("kps", "1", 1) in errors


@pytest.mark.parametrize(
    ("perturbations", "message"),
    [(["fog"], "no perturbation is named 'fog'"), ({"noise": ()}, "no strength for 'noise'")],
)
def test_unknown_perturbations_are_refused(fusion, held_out, perturbations, message):
    with pytest.raises(InputError, match=message):
        robustness(fusion, *held_out, perturbations)


def test_images_of_a_clinical_model_are_refused(forest, held_out):
    assert IMAGES["n_slices"] == 3
    with pytest.raises(InputError, match="the perturbation 'noise' needs a model that reads images"):
        robustness(forest, *held_out, ["noise"])
