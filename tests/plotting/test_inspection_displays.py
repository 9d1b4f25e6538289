"""Displays of contributions, maps, shortcuts, robustness and failures."""

import numpy as np
import pandas as pd
import pytest

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.inspection import (
    FailureCases,
    MapChecks,
    PermutationContribution,
    Robustness,
    ShapleyValues,
    ShortcutTests,
    SliceMaps,
)
from sklearn_pspd.inspection.map_checks import NO_DEPENDENCE
from sklearn_pspd.plotting import (
    ContributionDisplay,
    FailureDisplay,
    RobustnessDisplay,
    ShapleyDisplay,
    ShortcutDisplay,
    SliceMapDisplay,
)
from sklearn_pspd.plotting.slice_maps import WARNING
from sklearn_pspd.statistics import Estimate


def texts(figure):
    return " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def checks(excess=(-0.3, -0.4, -0.2)):
    return MapChecks(
        pd.DataFrame({"stage": ["output"], "similarity": [0.5], "low": [0.4], "high": [0.6]}),
        pairs=0.4,
        excess=excess,
        repeatability=None,
        curves=pd.DataFrame(),
        deletion=(1.0, 0.5, 1.5),
        insertion=(1.0, 0.5, 1.5),
        n_patients=5,
    )


def maps(n_patients=2, **changes):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(n_patients, 3, 16, 16))
    fields = {
        "method": "grad_cam",
        "values": values,
        "spread": None,
        "images": rng.normal(size=values.shape),
        "clinical": None,
        "log_odds": np.linspace(-1, 1, n_patients),
        "completeness_error": None,
        "checks": checks(),
        "patient_id": tuple(f"P{k}" for k in range(n_patients)),
        "fov_mm": 200.0,
    }
    return SliceMaps(**fields | changes)


def shapley():
    values = np.array([[0.5, -0.2, 0.1], [-1.0, 0.3, 0.0]])
    return ShapleyValues(
        values,
        np.array([-0.1, -0.1]),
        values.sum(axis=1) - 0.1,
        ("image", "age_years", "mgmt"),
        ("P0", "P1"),
        "log_odds",
    )


def comparison_columns(auc):
    return {
        "auc": auc, "low": auc - 0.1, "high": auc + 0.05, "difference": auc - 0.9, "difference_low": auc - 1.0,
        "difference_high": auc - 0.85, "p_value": 0.1, "changed": 0.1, "changed_low": 0.0, "changed_high": 0.2,
        "mean_change": 0.05,
    }  # fmt: skip


def test_contributions_have_a_row_per_group_and_state_the_auc():
    table = pd.DataFrame({"group": ["image", "dose_gy"], "drop": [0.2, 0.0], "low": [0.1, -0.1], "high": [0.3, 0.1]})
    contribution = PermutationContribution(Estimate(0.8, 0.7, 0.9, "DeLong"), table, 40)
    display = ContributionDisplay.from_contribution(contribution, title="Synthetic")
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["image", "dose (Gy)"]
    assert "0.80 (0.70 to 0.90)" in display.ax_.get_xlabel()
    pd.testing.assert_frame_equal(display.frame(), table)


def test_steps_of_one_patient_lead_from_reference_to_prediction():
    display = ShapleyDisplay.from_values(shapley(), patient_id="P1")
    ends = [line.get_xdata() for line in display.ax_.lines if line.get_marker() == "D"]
    np.testing.assert_allclose(ends[0], [-0.1, -0.8])
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["reference patients", "image", "age (years)", "MGMT", "this patient"]
    low, high = display.ax_.get_xlim()
    assert low < -1.1
    assert high > -0.1
    assert display.frame()["patient_id"].tolist() == ["P1"]
    assert len(ShapleyDisplay.from_values(shapley()).ax_.collections) >= 3
    with pytest.raises(InputError, match="there is no patient 'P9'; there are P0, P1"):
        ShapleyDisplay.from_values(shapley(), patient_id="P9")


def test_a_map_that_fails_says_so_in_red_and_one_without_checks_too():
    good = SliceMapDisplay.from_maps(maps(), patient_id="P1")
    assert NO_DEPENDENCE not in texts(good.figure_)
    assert "Grad-CAM, probability of PsPD 0.73" in texts(good.figure_)
    assert good.axes_.shape == (3,)
    assert len(good.frame()) == 3
    assert good.frame()["patient_id"].unique().tolist() == ["P1"]
    failed = SliceMapDisplay.from_maps(maps(checks=checks(excess=(0.3, 0.2, 0.4))))
    assert f"Grad-CAM {NO_DEPENDENCE}." in texts(failed.figure_)
    assert failed.figure_._suptitle.get_color() == WARNING
    assert "was not checked" in texts(SliceMapDisplay.from_maps(maps(checks=None)).figure_)
    with pytest.raises(InputError, match="there is no patient 'X'"):
        SliceMapDisplay.from_maps(maps(), patient_id="X")


def test_colours_of_a_map_are_centred_on_zero():
    values = np.zeros((1, 3, 16, 16))
    values[0, :, 4:8, 4:8], values[0, :, 10:12, 10:12] = 3.0, -1.0
    display = SliceMapDisplay.from_maps(maps(1, values=values))
    low, high = display.axes_[0].images[1].get_clim()
    assert low == -high
    assert high == pytest.approx(3.0)


def test_shortcuts_are_drawn_with_their_slices():
    table = pd.DataFrame(
        {"test": name, **comparison_columns(auc)} for name, auc in [("original", 0.9), ("lesion removed", 0.5)]
    )
    tests = ShortcutTests(table, pd.DataFrame(index=range(20)), dict.fromkeys(table["test"], np.eye(8)))
    display = ShortcutDisplay.from_tests(tests)
    assert "20 patients" in display.ax_.get_xlabel()
    assert len(display.ax_.child_axes) == 2
    assert "\N{MINUS SIGN}0.40" in texts(display.figure_)


def robustness(names):
    rows = [("none", "none", "", 0.0)]
    rows += [("image", name, "mm", strength) for name in names for strength in (1.0, 2.0)]
    rows += [("clinical", "mgmt", "unknown", 1), ("clinical", "age_years", "years", -1)]
    return Robustness(
        pd.DataFrame(
            {
                "kind": kind,
                "perturbation": name,
                "unit": unit,
                "strength": strength,
                "n_patients": 9,
                **comparison_columns(0.8),
            }
            for kind, name, unit, strength in rows
        )
    )


@pytest.mark.parametrize(("n_names", "n_panels"), [(1, 2), (10, 12), (0, 1)])
def test_each_perturbation_has_a_panel(n_names, n_panels):
    display = RobustnessDisplay.from_robustness(robustness([f"shift {k}" for k in range(n_names)]))
    assert display.axes_.shape == (n_panels,)
    assert sum(ax.axison for ax in display.axes_) == n_names + 1
    labels = [label.get_text() for label in display.axes_[n_names].get_yticklabels()]
    assert labels == ["MGMT: unknown", "age \N{MINUS SIGN}1 years"]


def test_failures_have_a_row_per_patient_with_what_is_known():
    table = pd.DataFrame(
        {"patient_id": ["P0", "P1"], "outcome": [0, 1], "probability": [0.9, 0.2], "age_years": [50, 60]}
    )
    found = maps(checks=checks(excess=(0.3, 0.2, 0.4)))
    display = FailureDisplay.from_failures(FailureCases(table, found.images, found, shapley()))
    assert display.axes_.shape == (2, 4)
    assert "PD, probability of PsPD 0.90" in texts(display.figure_)
    assert NO_DEPENDENCE in display.axes_[0, 1].get_title()
    bare = FailureDisplay.from_failures(FailureCases(table, None, None, None))
    assert not bare.axes_[0, 0].axison
