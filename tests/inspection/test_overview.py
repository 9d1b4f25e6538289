"""What a study reports of one model, as an object and as files."""

import pandas as pd
import pytest

from sklearn_pspd.baselines import baseline_models
from sklearn_pspd.inspection import inspect_model
from sklearn_pspd.inspection.opened import OpenedModel
from sklearn_pspd.reporting import inspection_text, write_inspection


def test_a_fusion_model_is_inspected_and_written(fusion, held_out, tmp_path):
    X, y = held_out
    inspection = inspect_model(fusion, X[:16], y[:16], trained_on_these=False, n_failures=3)
    assert inspection.notes == ()
    assert list(inspection.tables()) == ["contributions", "shortcuts", "confounders", "failures"]
    assert "lesion removed" in inspection_text(inspection)
    write_inspection(inspection, tmp_path, title="Synthetic")
    names = ["contributions", "shortcuts", "confounders", "failures"]
    expected = {"inspection.txt", *(f"{name}.csv" for name in names)}
    expected |= {f"{name}.png" for name in names if name != "confounders"}
    assert {path.name for path in tmp_path.iterdir()} == expected
    written = pd.read_csv(tmp_path / "contributions.csv")
    assert written["drop"].tolist() == pytest.approx(inspection.contribution.table["drop"].tolist())
    assert (tmp_path / "inspection.txt").read_text().startswith("Synthetic\n\nDrop of the AUC")


def test_what_was_left_out_is_said(image_model, forest, held_out):
    X, y = held_out
    middles = [int(stack.slice_indices[1]) for stack in OpenedModel(image_model).stacks(X[:16])]
    X_slice = X[:16].drop(columns="lesion_mask").assign(lesion_slice=middles)
    name = "MRI principal components"
    components = baseline_models([name], n_slices=3, size_px=24)[name].fit(X_slice, y[:16])
    inspection = inspect_model(components, X_slice, y[:16])
    assert "trained the model" in inspection.notes[0]
    assert "neither removed nor shown alone" in inspection.notes[1]
    assert inspection.shortcuts.frame()["test"].tolist() == ["original", "brain only", "skull only", "mirrored"]
    of_forest = inspect_model(forest, X, y)
    assert of_forest.shortcuts is None
    assert "altered images" not in inspection_text(of_forest)
