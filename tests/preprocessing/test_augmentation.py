"""Tests of random transforms of slice stacks."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from stack_checks import make_stacks

from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.preprocessing import StackAugmenter, standardize_images
from sklearn_pspd.preprocessing.augmentation import StackTransform, change_contrast, transform_stack, warp_stack

OFF = dict.fromkeys(("mirror", "reverse", "rotation_deg", "shift_mm", "zoom", "gamma", "bias_field", "noise"), 0.0)
EVERYTHING = StackAugmenter(mirror=0.5, reverse=0.5, rotation_deg=20, shift_mm=15, zoom=0.2, bias_field=0.3, noise=0.2)
quick = settings(deadline=None, max_examples=30, derandomize=True)


def standardised(n_patients=3):
    stacks = standardize_images(make_stacks(n_patients))
    stacks.setflags(write=False)
    return stacks


def rng(seed=0):
    return np.random.default_rng(seed)


@quick
@given(seed=st.integers(0, 2**32), fov_mm=st.floats(1, 500))
def test_zero_strength_is_identity(seed, fov_mm):
    stacks = standardised()
    augmented = StackAugmenter(**OFF, fov_mm=fov_mm).augment(stacks, rng(seed))
    np.testing.assert_array_equal(augmented, stacks)
    assert not np.shares_memory(augmented, stacks)


@pytest.mark.parametrize(("name", "axis"), [("mirror", 3), ("reverse", 1)])
def test_probability_one_flips_every_patient(name, axis):
    stacks = standardised()
    flip = StackAugmenter(**OFF | {name: 1.0})
    flipped = flip.augment(stacks, rng())
    np.testing.assert_array_equal(flipped, np.flip(stacks, axis))
    np.testing.assert_array_equal(flip.augment(flipped, rng()), stacks)


def test_about_half_of_the_patients_are_mirrored():
    stacks = standardised(400)
    mirrored = StackAugmenter(**OFF | {"mirror": 0.5}).augment(stacks, rng())
    changed = (mirrored != stacks).any(axis=(1, 2, 3))
    assert 160 < changed.sum() < 240
    np.testing.assert_array_equal(mirrored[changed], stacks[changed][..., ::-1])


def test_mirror_exchanges_the_patients_left_and_right(tmp_path):
    """A bright spot in front on the patient's left, whichever way the file is stored."""
    voxels = rng().random((8, 10, 5)).astype(np.float32)
    voxels[1, 8] += 9.0  # x towards the right, y to the front
    rows = []
    for number, axes in enumerate(("RAS", "LPS")):
        image = nib.Nifti1Image(voxels, np.eye(4)).as_reoriented(
            nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axes))
        )
        nib.save(image, tmp_path / f"{axes}.nii.gz")
        rows.append({"patient_id": f"P{number}", "image": str(tmp_path / f"{axes}.nii.gz"), "lesion_slice": 2})
    stacks = np.stack([stack.pixels for stack in SliceStackLoader(n_slices=3).fit_transform(pd.DataFrame(rows))])
    assert (stacks[:, :, 1, 6] > 5).all()
    mirrored = StackAugmenter(**OFF | {"mirror": True}).augment(stacks, rng())
    assert (mirrored[:, :, 1, 1] > 5).all()
    assert (mirrored > 5).sum() == 6


@quick
@given(rows=st.integers(-5, 5), columns=st.integers(-4, 4))
def test_a_shift_of_whole_pixels_is_slicing_with_repeated_edges(rows, columns):
    stack = standardised()[0]
    row_mm, column_mm = 22.0 / 11, 22.0 / 7
    shifted = warp_stack(stack, shift_mm=(rows * row_mm, columns * column_mm), fov_mm=22.0)
    padded = np.pad(stack, ((0, 0), (5, 5), (4, 4)), mode="edge")
    expected = padded[:, 5 - rows : 16 - rows, 4 - columns : 11 - columns]
    np.testing.assert_allclose(shifted, expected, atol=1e-5)


@pytest.mark.parametrize("n_px", [8, 9])
@pytest.mark.parametrize("quarters", [-1, 1, 2, 3])
def test_quarter_turns_equal_rot90(n_px, quarters):
    square = rng().normal(size=(3, n_px, n_px)).astype(np.float32)
    turned = warp_stack(square, rotation_deg=90.0 * quarters)
    np.testing.assert_allclose(turned, np.rot90(square, quarters, axes=(1, 2)), atol=1e-5)


@quick
@given(
    shape=st.tuples(st.integers(2, 40), st.integers(2, 40)),
    fov_mm=st.floats(50, 300),
    rotation_deg=st.floats(-180, 180),
    shift=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
    zoom=st.floats(0.5, 2),
    slope=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
)
def test_the_map_is_that_in_mm_for_pixels_of_any_shape(shape, fov_mm, rotation_deg, shift, zoom, slope):
    """A plane of grey values is reproduced by bilinear interpolation, so that its new values are known."""
    y, x = ((np.arange(n_px) - (n_px - 1) / 2) * fov_mm / n_px for n_px in shape)
    plane = np.add.outer(slope[0] * y, slope[1] * x).astype(np.float32)
    warped = warp_stack(plane[np.newaxis], rotation_deg, (shift[0] * fov_mm, shift[1] * fov_mm), zoom, fov_mm=fov_mm)
    # The pixel at p comes from the rotation by the opposite angle of (p - shift) / zoom.
    place = np.add.outer(y - shift[0] * fov_mm, 1j * (x - shift[1] * fov_mm)) / zoom
    place *= np.exp(-1j * np.radians(rotation_deg))
    inside = (abs(place.real) <= y[-1]) & (abs(place.imag) <= x[-1])
    expected = slope[0] * place.real + slope[1] * place.imag
    np.testing.assert_allclose(warped[0][inside], expected[inside], atol=1e-4 * fov_mm)


def test_a_stack_is_mirrored_before_it_is_moved():
    stack = standardised(1)[0]
    moves = {"rotation_deg": 12.0, "shift_mm": (7.0, -4.0), "zoom": 1.1}
    mirrored_first = transform_stack(stack[:, :, ::-1], StackTransform(**moves))
    np.testing.assert_allclose(transform_stack(stack, StackTransform(mirror=True, **moves)), mirrored_first, atol=1e-5)


def test_one_row_or_column_has_no_neighbour():
    for shape in ((2, 1, 6), (2, 6, 1), (2, 1, 1)):
        stack = rng().normal(size=shape).astype(np.float32)
        assert np.isfinite(warp_stack(stack, 30.0, (3.0, 4.0), 1.1)).all()


def test_all_slices_of_a_patient_and_no_two_patients_share_a_transform():
    stacks = np.repeat(np.repeat(standardised(1)[:, :1], 5, axis=1), 4, axis=0)
    augmented = clone(EVERYTHING).set_params(noise=0.0).augment(stacks, rng())
    np.testing.assert_array_equal(augmented, np.repeat(augmented[:, :1], 5, axis=1))
    for one in range(4):
        for other in range(one):
            assert abs(augmented[one] - augmented[other]).max() > 0.1


def test_equal_generators_give_equal_bits_and_calls_differ():
    stacks = standardised()
    generator = rng(3)
    first, second = EVERYTHING.augment(stacks, generator), EVERYTHING.augment(stacks, generator)
    np.testing.assert_array_equal(clone(EVERYTHING).augment(stacks.copy(), rng(3)), first)
    assert abs(first - second).max() > 0.1
    assert first.dtype == np.float32


def test_switching_one_transform_off_leaves_the_others():
    draw = {**OFF, "rotation_deg": 30.0, "zoom": 0.2, "bias_field": 0.5, "noise": 0.1}
    both = list(StackAugmenter(**draw)._draw(5, rng()))
    for name in ("rotation_deg", "zoom", "log_bias", "noise"):
        parameter = "bias_field" if name == "log_bias" else name
        less = list(StackAugmenter(**draw | {parameter: 0.0})._draw(5, rng()))
        for with_it, without in zip(both, less, strict=True):
            assert getattr(with_it, name) != getattr(without, name)
            assert with_it._replace(**{name: 0}) == without._replace(**{name: 0})


def test_slices_keep_their_mean_and_standard_deviation():
    stacks = standardised() * np.float32(3) + np.float32(2)
    augmented = EVERYTHING.augment(stacks, rng())
    np.testing.assert_allclose(augmented.mean(axis=(2, 3)), 2, atol=1e-4)
    np.testing.assert_allclose(augmented.std(axis=(2, 3)), 3, rtol=1e-4)


def test_large_slices_keep_them_as_exactly():
    """Sums of many pixels in float32."""
    stacks = standardize_images(rng().normal(size=(2, 9, 256, 256)))
    augmented = StackAugmenter(bias_field=0.3, noise=0.1).augment(stacks, rng())
    for moment in (np.mean, np.std):
        expected, found = (moment(array, axis=(2, 3), dtype=np.float64) for array in (stacks, augmented))
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_slices_that_are_transformed_in_blocks_equal_single_ones():
    """A stack of large slices takes several blocks; each slice is what it is alone, also in the noise that follows."""
    stack = standardised(1)[0, :1].repeat(30, axis=1).repeat(40, axis=2) * np.arange(1, 4, dtype=np.float32).reshape(
        3, 1, 1
    )
    change = StackTransform(
        mirror=True, reverse=True, rotation_deg=20.0, shift_mm=(5.0, -8.0), zoom=1.1, gamma=0.8, log_bias=(0.1,) * 5
    )
    together = transform_stack(stack, change)
    alone = [transform_stack(one[np.newaxis], change)[0] for one in stack[::-1]]
    np.testing.assert_array_equal(together, alone)
    noisy = transform_stack(stack, change._replace(noise=0.1), rng=rng(5))
    draws = rng(5)
    alone = [transform_stack(one[np.newaxis], change._replace(noise=0.1), rng=draws)[0] for one in stack[::-1]]
    np.testing.assert_array_equal(noisy, alone)


@quick
@given(gamma=st.floats(0.01, 20))
def test_gamma_keeps_the_order_of_grey_values(gamma):
    stack = standardised()[0]
    changed = change_contrast(stack, gamma)
    brightness = (stack - stack.min(axis=(1, 2), keepdims=True)) / np.ptp(stack, axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(changed, brightness**gamma, rtol=1e-4, atol=1e-6)


@quick
@given(bias_field=st.floats(0.01, 2), seed=st.integers(0, 99))
def test_the_bias_field_is_smooth_and_within_its_bounds(bias_field, seed):
    (transform,) = StackAugmenter(**OFF | {"bias_field": bias_field})._draw(1, rng(seed))
    stack = rng().random((2, 21, 17)).astype(np.float32)
    stack[:, 10, 8], stack[:, 0, 0] = 1.0, 0.0
    change = change_contrast(stack, log_bias=transform.log_bias)[:, 1:] / stack[:, 1:]
    assert change.max() <= (1 + bias_field) * 1.0001
    assert change.min() >= 0.9999 / (1 + bias_field)
    # A polynomial of degree 2: third differences vanish.
    assert abs(np.diff(np.log(change[0].astype(float)), 3, axis=0)).max() < 1e-5


def test_noise_has_the_standard_deviation_that_was_asked_for():
    stack = standardize_images(rng().normal(size=(4, 64, 64)))
    noisy = transform_stack(stack, StackTransform(noise=0.5), rng=rng(1))
    # Scaling the sum back to a standard deviation of 1 divides it by sqrt(1 + 0.5 ** 2).
    added = noisy * np.sqrt(1.25) - stack
    assert added.std() == pytest.approx(0.5, rel=0.05)
    assert abs(np.corrcoef(added.reshape(4, -1)) - np.eye(4)).max() < 0.1


def test_strengths_are_parameters_to_tune():
    augmenter = clone(StackAugmenter(rotation_deg=5)).set_params(shift_mm=3)
    assert augmenter.get_params()["rotation_deg"] == 5
    assert repr(augmenter) == "StackAugmenter(rotation_deg=5, shift_mm=3)"


@pytest.mark.parametrize(
    ("parameters", "stacks", "generator", "match"),
    [
        ({"mirror": 1.5}, make_stacks(), rng(), "'mirror' parameter"),
        ({"rotation_deg": -1}, make_stacks(), rng(), "'rotation_deg' parameter"),
        ({"shift_mm": "wide"}, make_stacks(), rng(), "'shift_mm' parameter"),
        ({"fov_mm": 0}, make_stacks(), rng(), "'fov_mm' parameter"),
        ({}, make_stacks()[0], rng(), "n_slices, height, width"),
        ({}, make_stacks() * np.nan, rng(), "NaN"),
        ({}, make_stacks(), 0, "rng must be a numpy.random.Generator.*got 0"),
        ({}, make_stacks(), np.random.RandomState(0), "rng must be a numpy.random.Generator"),
    ],
)
def test_refusals(parameters, stacks, generator, match):
    with pytest.raises(ValueError, match=match):
        StackAugmenter(**parameters).augment(stacks, generator)
