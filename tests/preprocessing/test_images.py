"""Tests of field of view, matrix and grey-value scaling."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from stack_checks import make_stacks, parametrize_with_stack_checks

from sklearn_pspd.preprocessing import (
    FOVNormalizer,
    SliceStandardizer,
    StackFlattener,
    check_stacks,
    standardize_images,
)
from sklearn_pspd.preprocessing.interpolation import resample_stack

KERNELS = [("bicubic", True), ("bicubic", False), ("bilinear", True), ("bilinear", False)]
quick = settings(deadline=None, max_examples=30, derandomize=True)


def make_slices(shape=(3, 11, 7), seed=0):
    return np.random.default_rng(seed).normal(100.0, 30.0, shape).astype(np.float32)


def make_stack(pixels, spacing_mm=(1.0, 1.5), patient_id="P01"):
    return SimpleNamespace(pixels=pixels, spacing_mm=spacing_mm, patient_id=patient_id)


@parametrize_with_stack_checks(
    [
        SliceStandardizer(),
        SliceStandardizer(scope="stack", norm="unit_norm"),
        StackFlattener(),
    ]
)
def test_stack_checks(estimator, check):
    check(clone(estimator))


# ---- FOVNormalizer ---------------------------------------------------------------------------------------------------


def test_an_image_on_the_same_grid_is_unchanged():
    pixels = make_slices((2, 8, 8))
    np.testing.assert_array_equal(resample_stack(pixels, (0.5, 0.5), fov_mm=4.0, size_px=8), pixels)


@pytest.mark.parametrize(("method", "antialias"), KERNELS)
@quick
@given(
    spacing=st.tuples(st.floats(0.2, 3.0), st.floats(0.2, 3.0)),
    size_px=st.integers(2, 70),
    fraction=st.floats(0.2, 0.4),
    odd=st.integers(0, 1),
)
def test_linear_ramps_are_reproduced(method, antialias, spacing, size_px, fraction, odd):
    height, width = 64 + odd, 81
    y = (np.arange(height) - (height - 1) / 2) * spacing[0]
    x = (np.arange(width) - (width - 1) / 2) * spacing[1]
    ramp = (3.0 * y[:, None] - 2.0 * x + 5.0)[None]
    # The kernel of a large pixel reaches two pixels beyond the field of view.
    fov_mm = fraction * min(height * spacing[0], width * spacing[1]) / (1 + 4 / size_px)
    centres = (np.arange(size_px) - (size_px - 1) / 2) * fov_mm / size_px
    images = resample_stack(ramp, spacing, fov_mm=fov_mm, size_px=size_px, method=method, antialias=antialias)
    expected = 3.0 * centres[:, None] - 2.0 * centres + 5.0
    np.testing.assert_allclose(images[0], expected, atol=1e-5 * np.abs(ramp).max() + 1e-5)


@quick
@given(
    spacing=st.tuples(st.floats(0.3, 1.6), st.floats(0.3, 1.6)),
    matrix=st.tuples(st.integers(40, 90), st.integers(40, 90)),
    n_px=st.tuples(st.integers(4, 10), st.integers(4, 10)),
)
def test_a_square_keeps_its_size_in_mm(spacing, matrix, n_px):
    pixels = np.zeros((1, *matrix), dtype=np.float32)
    first = [(n - k) // 2 for n, k in zip(matrix, n_px, strict=True)]
    pixels[0, first[0] : first[0] + n_px[0], first[1] : first[1] + n_px[1]] = 1.0
    fov_mm = 1.7 * max(n * step for n, step in zip(n_px, spacing, strict=True)) + 12.0
    size_px = 48
    image = resample_stack(pixels, spacing, fov_mm=fov_mm, size_px=size_px)[0].astype(float)
    pitch = fov_mm / size_px
    area = n_px[0] * spacing[0] * n_px[1] * spacing[1]
    assert image.sum() * pitch**2 == pytest.approx(area, rel=0.05)
    centres = (np.arange(size_px) - (size_px - 1) / 2) * pitch
    for axis in (0, 1):
        profile = image.sum(axis=1 - axis)
        middle = (first[axis] + (n_px[axis] - 1) / 2 - (matrix[axis] - 1) / 2) * spacing[axis]
        assert profile @ centres / profile.sum() == pytest.approx(middle, abs=0.06 * pitch + 0.02 * spacing[axis])


@pytest.mark.parametrize(("method", "antialias"), KERNELS)
@quick
@given(
    spacing=st.tuples(st.floats(0.3, 3.0), st.floats(0.3, 3.0)),
    margin=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    size_px=st.integers(3, 40),
    pad_value=st.sampled_from(["minimum", 0.0, -7.5]),
)
def test_padding_the_source_does_not_change_the_result(method, antialias, spacing, margin, size_px, pad_value):
    pixels = make_slices()
    options = {"fov_mm": 12.0, "size_px": size_px, "method": method, "antialias": antialias, "pad_value": pad_value}
    value = pixels.min(axis=(1, 2), keepdims=True) if pad_value == "minimum" else np.float32(pad_value)
    widths = ((0, 0), (margin[0],) * 2, (margin[1],) * 2)
    padded = np.pad(pixels - value, widths) + value
    np.testing.assert_allclose(
        resample_stack(padded, spacing, **options), resample_stack(pixels, spacing, **options), atol=2e-3
    )


@quick
@given(margin=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_cropping_undoes_padding(margin):
    pixels = make_slices((2, 8, 8))
    larger = 8 + 2 * margin[0]
    padded = resample_stack(pixels, (0.5, 0.5), fov_mm=0.5 * larger, size_px=larger)
    np.testing.assert_allclose(resample_stack(padded, (0.5, 0.5), fov_mm=4.0, size_px=8), pixels, rtol=1e-6)


@pytest.mark.parametrize(("method", "antialias"), KERNELS)
@quick
@given(spacing=st.tuples(st.floats(0.2, 3.0), st.floats(0.2, 3.0)), size_px=st.integers(2, 60), seed=st.integers(0, 99))
def test_overshoot_is_limited(method, antialias, spacing, size_px, seed):
    pixels = make_slices(seed=seed)
    images = resample_stack(pixels, spacing, fov_mm=10.0, size_px=size_px, method=method, antialias=antialias)
    spread = float(np.ptp(pixels))
    # Along each axis, at most 1/8 of the weight of Keys' kernel is negative; a triangle has no negative weight.
    room = ((1 + 2 * 0.14) ** 2 - 1) / 2 * spread if method == "bicubic" else 0.01 * spread
    assert images.min() >= pixels.min() - room
    assert images.max() <= pixels.max() + room


def test_rows_and_columns_have_separate_spacings():
    pixels = make_slices((2, 12, 6))
    images = resample_stack(pixels, (0.5, 1.0), fov_mm=6.0, size_px=6, antialias=False)
    transposed = resample_stack(pixels.transpose(0, 2, 1), (1.0, 0.5), fov_mm=6.0, size_px=6, antialias=False)
    np.testing.assert_allclose(images, transposed.transpose(0, 2, 1), rtol=1e-5)
    np.testing.assert_allclose(images.mean(), pixels.mean(), rtol=0.1)


def test_cropping_is_not_rounded_to_whole_pixels():
    ramp = np.tile(np.arange(20.0, dtype=np.float32), (1, 20, 1))
    image = resample_stack(ramp, (1.0, 1.0), fov_mm=7.3, size_px=2, antialias=False)[0]
    np.testing.assert_allclose(image[0], 9.5 + np.array([-7.3 / 4, 7.3 / 4]), rtol=1e-6)


def test_antialiasing_averages_fine_stripes():
    stripes = np.tile(np.array([0.0, 8.0], dtype=np.float32), (1, 64, 32))
    options = {"fov_mm": 32.0, "size_px": 16}
    assert np.ptp(resample_stack(stripes, (1.0, 1.0), **options)) < 0.5
    assert np.ptp(resample_stack(stripes, (1.0, 1.0), antialias=False, **options)) < 1e-4  # symmetric phase
    stripes = np.tile(np.array([0.0, 8.0, 8.0], dtype=np.float32), (1, 66, 22))
    assert np.ptp(resample_stack(stripes, (1.0, 1.0), **options)) < 1.5
    assert np.ptp(resample_stack(stripes, (1.0, 1.0), antialias=False, **options)) > 5


def test_the_default_padding_is_the_minimum_of_each_slice():
    pixels = make_slices()
    images = resample_stack(pixels, (1.0, 1.0), fov_mm=40.0, size_px=40)
    np.testing.assert_allclose(images[:, 0, 0], pixels.min(axis=(1, 2)), rtol=1e-6)
    images = resample_stack(pixels, (1.0, 1.0), fov_mm=40.0, size_px=40, pad_value=-3.0)
    np.testing.assert_allclose(images[:, 0, 0], -3.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("matrix", "spacing"), [((40, 30), 1.0), ((30, 41), 0.7), ((9, 12), 1.0), ((15, 20), 1.31), ((33, 8), 0.9)]
)
def test_released_method_equals_tensorflow(matrix, spacing):
    tf = pytest.importorskip("tensorflow")
    pixels = make_slices((3, *matrix))
    n_px = round(20.0 / spacing)
    images = tf.constant(pixels[..., None])
    cropped = tf.image.resize_with_crop_or_pad(images, n_px, n_px)
    expected = tf.raw_ops.ResizeBicubic(images=cropped, size=[26, 26], align_corners=False, half_pixel_centers=False)
    result = resample_stack(pixels, (spacing, spacing), fov_mm=20.0, size_px=26, method="released")
    np.testing.assert_allclose(result, expected.numpy()[..., 0], atol=2e-4)


def test_standardisation_equals_tensorflow():
    tf = pytest.importorskip("tensorflow")
    images = make_stacks()
    images[0, 0] = 1.0 + 1e-3 * images[0, 0]  # spread below 1 / sqrt(n_pixels)
    expected = tf.image.per_image_standardization(images.reshape(-1, 11, 7)[..., None]).numpy()[..., 0]
    result = SliceStandardizer().fit_transform(images)
    np.testing.assert_allclose(result.reshape(-1, 11, 7), expected, atol=1e-4)


@pytest.mark.parametrize("as_list", [True, False])
def test_stacks_of_different_matrices(as_list):
    stacks = [make_stack(make_slices()), make_stack(make_slices((3, 9, 16)), (0.8, 0.7), "P02")]
    X = stacks
    if not as_list:
        X = np.empty(2, dtype=object)
        X[:] = stacks
    before = [stack.pixels.copy() for stack in stacks]
    images = FOVNormalizer(fov_mm=8.0, size_px=10).fit(X).transform(X)
    assert images.shape == (2, 3, 10, 10)
    assert images.dtype == np.float32
    for row, stack in enumerate(stacks):
        np.testing.assert_array_equal(stack.pixels, before[row])
        np.testing.assert_array_equal(
            images[row], resample_stack(stack.pixels, stack.spacing_mm, fov_mm=8.0, size_px=10)
        )


def test_normalizer_refuses_a_slice_that_is_constant_in_the_field_of_view():
    pixels = make_slices((3, 40, 40))
    pixels[1, 8:32, 8:32] = 7.0
    with pytest.raises(ValueError, match=r"patient P07: slice\(s\) 1 .*constant within fov_mm=6"):
        FOVNormalizer(fov_mm=6.0, size_px=8).fit_transform([make_stack(pixels, (1.0, 1.0), "P07")])


@pytest.mark.parametrize(
    ("stack", "match"),
    [
        (make_stack(make_slices(), (0.0, 1.0), "P02"), "patient P02: spacing_mm"),
        (make_stack(make_slices(), (np.nan, 1.0), "P02"), "patient P02: spacing_mm"),
        (make_stack(make_slices((4, 5, 6)), patient_id="P02"), r"patient P02: pixels have the shape \(4, 5, 6\)"),
        (make_stack(make_slices() * np.nan, patient_id="P02"), "patient P02: some pixels are not finite"),
        (make_slices(), "row 1: ndarray is not a slice stack, it has no pixels"),
    ],
)
def test_normalizer_refuses(stack, match):
    with pytest.raises(ValueError, match=match):
        FOVNormalizer().fit([make_stack(make_slices()), stack])


@pytest.mark.parametrize(("X", "match"), [([], "at least one slice stack"), (3, "sequence of slice stacks; got int")])
def test_normalizer_refuses_no_stack(X, match):
    with pytest.raises(ValueError, match=match):
        FOVNormalizer().transform(X)


@pytest.mark.parametrize(
    ("estimator", "match"),
    [
        (FOVNormalizer(fov_mm=0), "fov_mm"),
        (FOVNormalizer(size_px=2.5), "size_px"),
        (FOVNormalizer(method="nearest"), "method"),
        (FOVNormalizer(pad_value="zero"), "pad_value"),
    ],
)
def test_normalizer_parameters(estimator, match):
    with pytest.raises(ValueError, match=match):
        estimator.fit([make_stack(make_slices())])
    with pytest.raises(ValueError, match=match):
        estimator.transform([make_stack(make_slices())])


# ---- SliceStandardizer, StackFlattener, check_stacks -----------------------------------------------------------------


@pytest.mark.parametrize(("scope", "axis"), [("slice", (2, 3)), ("stack", (1, 2, 3))])
def test_standardizer_scopes_and_norms(scope, axis):
    images = make_stacks() + np.arange(4, dtype=np.float32)[:, None, None] * 100
    scaled = SliceStandardizer(scope=scope).fit_transform(images)
    np.testing.assert_allclose(scaled.mean(axis=axis), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=axis), 1, rtol=1e-5)
    scaled = SliceStandardizer(scope=scope, norm="unit_norm").fit_transform(images)
    np.testing.assert_allclose(scaled.mean(axis=axis), 0, atol=1e-6)
    np.testing.assert_allclose(np.sqrt((scaled**2).sum(axis=axis)), 1, rtol=1e-5)


@quick
@given(gain=st.floats(0.01, 1000), offset=st.floats(-1000, 1000))
def test_standardised_images_do_not_depend_on_gain_and_offset(gain, offset):
    images = make_stacks().astype(np.float64)
    np.testing.assert_allclose(
        standardize_images(images * gain + offset, norm="unit_norm"),
        standardize_images(images, norm="unit_norm"),
        atol=1e-4,
    )


@pytest.mark.parametrize("scope", ["slice", "stack"])
def test_standardizer_refuses_a_constant_slice(scope):
    images = make_stacks()
    images[2, 1] = 4.0
    with pytest.raises(ValueError, match=r"row 2, slice\(s\) 1: all pixels are equal"):
        SliceStandardizer(scope=scope).fit(images).transform(images)


def test_flattener_round_trip_is_a_view():
    stacks = make_stacks()
    flattener = StackFlattener().fit(stacks)
    rows = flattener.transform(stacks)
    assert rows.shape == (3, 4 * 11 * 7)
    assert np.shares_memory(rows, stacks)
    np.testing.assert_array_equal(flattener.inverse_transform(rows), stacks)
    with pytest.raises(ValueError, match="307 columns"):
        flattener.inverse_transform(rows[:, 1:])


def test_check_stacks_expected_shape():
    stacks = make_stacks()
    assert check_stacks(stacks, expected_shape=(4, 11, 7)) is stacks
    with pytest.raises(ValueError, match=r"\(4, 7, 11\)"):
        check_stacks(stacks, expected_shape=(4, 7, 11))
    with pytest.raises(ValueError, match="minimum of 1"):
        check_stacks(stacks[:0])
