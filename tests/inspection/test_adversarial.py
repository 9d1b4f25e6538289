"""Attacks in physical bounds, and the patients whom a model predicts worst."""

import numpy as np
import pytest
from inspected_cohorts import N_TRAIN

from sklearn_pspd.cohort import check_cohort
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.inspection import adversarial_attack, failure_cases
from sklearn_pspd.inspection.adversarial import _Attack, _candidates, standardisation_gradient
from sklearn_pspd.inspection.opened import OpenedModel
from sklearn_pspd.inspection.perturbations import column_of
from sklearn_pspd.preprocessing import SliceStandardizer


@pytest.mark.parametrize("norm", ["unit_variance", "unit_norm"])
@pytest.mark.parametrize("scope", ["slice", "stack"])
def test_the_gradient_through_the_standardisation_equals_finite_differences(scope, norm):
    rng = np.random.default_rng(0)
    images = rng.normal(100, 20, size=(2, 3, 5, 4))
    gradient = rng.normal(size=images.shape)
    standardizer = SliceStandardizer(scope=scope, norm=norm).fit(images)
    found = standardisation_gradient(images, gradient, standardizer)

    def value(images):
        axis = (2, 3) if scope == "slice" else (1, 2, 3)
        centred = images - images.mean(axis=axis, keepdims=True)
        size = centred.std(axis=axis, keepdims=True)
        if norm == "unit_norm":
            size = np.sqrt((centred**2).sum(axis=axis, keepdims=True))
        np.testing.assert_allclose(centred / size, standardizer.transform(images), atol=1e-4)
        return (gradient * centred / size).sum()

    for place in [(0, 0, 0, 0), (1, 2, 4, 3), (0, 1, 2, 2)]:
        moved = [images.copy(), images.copy()]
        moved[0][place] += 1e-4
        moved[1][place] -= 1e-4
        assert found[place] == pytest.approx((value(moved[0]) - value(moved[1])) / 2e-4, abs=1e-6)


def test_an_attack_lowers_the_auc_the_more_the_larger_it_is(fusion, held_out):
    X, y = (part[:20] for part in held_out)
    attack = adversarial_attack(fusion, X, y, strengths=[2, 20, 200])
    table = attack.frame().set_index("strength")
    assert table.loc[0, "changed"] == 0
    assert table["auc"].is_monotonic_decreasing
    assert table.loc[200, "auc"] < 0.3
    np.testing.assert_allclose(attack.scores[0.0], fusion.predict_proba(X)[:, 1], atol=1e-5)
    moved = attack.scores[200.0].to_numpy() - attack.scores[0.0].to_numpy()
    assert (moved[y == 1] < 0).mean() > 0.9
    assert (moved[y == 0] > 0).mean() > 0.9
    assert set(attack.smallest.dropna()) <= {2.0, 20.0, 200.0}
    assert attack.transfer.shape == (2, 2)
    assert (np.diag(attack.transfer) > 0).all()
    # Bounds, whole grey steps, and the range of the image.
    opened = OpenedModel(fusion)
    images = opened.images(opened.stacks(X))
    change = attack.images - images
    assert np.abs(change).max() <= 200.001
    np.testing.assert_allclose(change, np.rint(change), atol=1e-3)
    assert (attack.images.min(axis=(1, 2, 3)) >= images.min(axis=(1, 2, 3)) - 1e-3).all()


def test_several_steps_are_no_worse_than_one_and_a_target_moves_everybody(fusion, held_out):
    X, y = (part[:16] for part in held_out)
    one, many = (
        adversarial_attack(fusion, X, y, strengths=[50], method=method).scores[50.0] for method in ("fgsm", "pgd")
    )
    gain = np.where(y == 1, one - many, many - one)
    assert gain.mean() > -0.01
    targeted = adversarial_attack(fusion, X, y, strengths=[50], target=1).scores
    assert (targeted[50.0] >= targeted[0.0] - 1e-6).mean() > 0.95


def test_clinical_values_stay_valid_and_within_the_bound(fusion, held_out):
    X, y = (part[:16] for part in held_out)
    opened = OpenedModel(fusion)
    direction = np.where(y == 1, -1.0, 1.0)
    changed = _Attack(opened, X, direction, change_codes=True).change_clinical(3)
    for name in ("age_years", "interval_days", "n_fractions"):
        assert np.abs(changed[name] - X[name]).max() <= 3
        assert changed[name].dtype == X[name].dtype
    assert np.abs(changed["dose_gy"] - X["dose_gy"]).max() <= 3
    # A value that is not allowed would be refused.
    check_cohort(changed.assign(outcome=np.where(y == 1, "PsPD", "PD")))
    kept = _Attack(opened, X, direction, change_codes=False).change_clinical(3)
    assert (kept[["sex", "mgmt", "idh"]] == X[["sex", "mgmt", "idh"]]).all(axis=None)
    table = adversarial_attack(fusion, X, y, inputs="clinical", strengths=[1, 60], change_codes=True).frame()
    assert table["auc"].is_monotonic_decreasing
    both = adversarial_attack(fusion, X, y, inputs="both", strengths=[60], change_codes=True)
    assert both.frame()["auc"].iloc[-1] <= table["auc"].iloc[-1] + 1e-9


def test_candidates_of_missing_and_bounded_values():
    import pandas as pd

    down, up = _candidates(pd.Series([2.0, None, 59.0]), column_of("n_fractions"), 2.5, change_codes=False)
    assert down.tolist()[::2] == [1.0, 57.0]
    assert up.tolist()[::2] == [4.0, 60.0]
    assert np.isnan(down[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"inputs": "pixels", "strengths": [2, 1]},
            "inputs must be one of .*; strengths must be positive and increasing",
        ),
        ({"method": "cw"}, "method must be one of"),
        ({"strengths": [0, 1]}, "strengths must be positive"),
        ({"n_steps": 0}, "n_steps must be a positive whole number"),
    ],
)
def test_wrong_options_are_refused(fusion, held_out, options, message):
    with pytest.raises(InputError, match=message):
        adversarial_attack(fusion, *held_out, **options)


def test_a_forest_and_missing_inputs_are_refused(forest, image_model, held_out):
    with pytest.raises(InputError, match="needs a CNNLSTMClassifier"):
        adversarial_attack(forest, *held_out)
    with pytest.raises(InputError, match="reads no clinical columns"):
        adversarial_attack(image_model, *held_out, inputs="both")


def test_failures_are_the_patients_with_the_largest_loss(fusion, signal, held_out):
    X, y = held_out
    failures = failure_cases(fusion, X, y, n_patients=3, background=signal[0][:N_TRAIN][:5])
    probability = fusion.predict_proba(X)[:, 1]
    loss = -np.log(np.where(y == 1, probability, 1 - probability))
    expected = X["patient_id"].to_numpy()[np.argsort(-loss)[:3]]
    assert failures.frame()["patient_id"].tolist() == expected.tolist()
    np.testing.assert_allclose(failures.frame()["log_loss"], np.sort(loss)[::-1][:3])
    assert failures.maps.patient_id == tuple(expected)
    assert failures.contributions.patient_id == tuple(expected)
    assert {"age_years", "thickness_mm", "orientation"} <= set(failures.frame())
    # Scores of another evaluation choose other patients.
    scores = np.where(y == 1, 0.9, 0.1)
    scores[7] = 1 - scores[7]
    chosen = failure_cases(fusion, X, y, n_patients=1, scores=scores, check=False).frame()
    assert chosen["patient_id"].item() == X["patient_id"].iloc[7]


def test_wrong_scores_and_numbers_are_refused(forest, held_out):
    with pytest.raises(InputError, match="n_patients must be a positive whole number; got 0"):
        failure_cases(forest, *held_out, n_patients=0)
    with pytest.raises(InputError, match="one probability in"):
        failure_cases(forest, *held_out, scores=[0.5])
