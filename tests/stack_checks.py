"""Reusable checks for transformers of 4-D image stacks."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

SHAPE = (3, 4, 11, 7)  # (n_patients, n_slices, height, width)


def make_stacks(n_patients=SHAPE[0], dtype=np.float32):
    """Return random stacks with unequal sides and no constant slice."""
    return np.random.default_rng(0).normal(50.0, 20.0, (n_patients, *SHAPE[1:])).astype(dtype)


def check_fit_returns_self(estimator):
    assert estimator.fit(make_stacks()) is estimator


def check_clone_and_params(estimator):
    estimator.fit(make_stacks())
    copy = clone(estimator)
    assert copy.get_params() == estimator.get_params()
    assert not [name for name in vars(copy) if name.endswith("_")]
    assert copy.set_params(**estimator.get_params()) is copy


def check_not_fitted(estimator):
    if not get_tags(estimator).requires_fit:
        assert estimator.transform(make_stacks()).shape == clone(estimator).fit_transform(make_stacks()).shape
        return
    with pytest.raises(NotFittedError, match="not fitted"):
        estimator.transform(make_stacks())


def check_wrong_rank(estimator):
    for wrong in (make_stacks()[0], make_stacks().reshape(3, -1), make_stacks()[None]):
        with pytest.raises(ValueError, match="n_slices, height, width"):
            clone(estimator).fit(wrong)
        with pytest.raises(ValueError, match="n_slices, height, width"):
            clone(estimator).fit(make_stacks()).transform(wrong)


def check_wrong_slice_count(estimator):
    """An estimator that learns the shape of a stack refuses stacks of another shape."""
    estimator.fit(make_stacks())
    if not get_tags(estimator).requires_fit:
        return
    with pytest.raises(ValueError, match=r"\(3, 11, 7\).*\(4, 11, 7\)"):
        estimator.transform(make_stacks()[:, :3])


def check_non_finite(estimator):
    for value in (np.nan, np.inf):
        stacks = make_stacks()
        stacks[1, 2, 3, 4] = value
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            clone(estimator).fit(stacks)
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            clone(estimator).fit(make_stacks()).transform(stacks)


def check_float32_out(estimator):
    for dtype in (np.float32, np.float64, np.int16):
        stacks = make_stacks(dtype=dtype)
        assert clone(estimator).fit(stacks).transform(stacks).dtype == np.float32


def check_input_untouched(estimator):
    stacks = make_stacks()
    stacks.setflags(write=False)
    before = stacks.copy()
    estimator.fit(stacks).transform(stacks)
    np.testing.assert_array_equal(stacks, before)


def check_one_patient_equals_its_row(estimator):
    stacks = make_stacks()
    batch = estimator.fit(stacks).transform(stacks)
    for row in range(len(stacks)):
        np.testing.assert_allclose(estimator.transform(stacks[row : row + 1])[0], batch[row], rtol=1e-6)


def check_row_order(estimator):
    stacks = make_stacks()
    order = [2, 0, 1]
    batch = estimator.fit(stacks).transform(stacks)
    np.testing.assert_allclose(estimator.transform(stacks[order]), batch[order], rtol=1e-6)


def check_memory_order(estimator):
    stacks = make_stacks()
    expected = estimator.fit(stacks).transform(stacks)
    np.testing.assert_allclose(estimator.transform(np.asfortranarray(stacks)), expected, rtol=1e-6)
    np.testing.assert_allclose(estimator.transform(stacks[:, ::-1][:, ::-1]), expected, rtol=1e-6)


def check_pickle(estimator):
    stacks = make_stacks()
    expected = estimator.fit(stacks).transform(stacks)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(estimator)).transform(stacks), expected)


def check_no_pixel_names(estimator):
    assert not hasattr(estimator, "get_feature_names_out")
    assert not get_tags(estimator).input_tags.two_d_array


STACK_CHECKS = [
    check_fit_returns_self,
    check_clone_and_params,
    check_not_fitted,
    check_wrong_rank,
    check_wrong_slice_count,
    check_non_finite,
    check_float32_out,
    check_input_untouched,
    check_one_patient_equals_its_row,
    check_row_order,
    check_memory_order,
    check_pickle,
    check_no_pixel_names,
]


def parametrize_with_stack_checks(estimators):
    """Parametrise a test over ``estimator`` and ``check``, as scikit-learn's parametrize_with_checks does."""
    cases = [
        pytest.param(clone(estimator), check, id=f"{estimator!r}-{check.__name__}")
        for estimator in estimators
        for check in STACK_CHECKS
    ]
    return pytest.mark.parametrize(("estimator", "check"), cases)
