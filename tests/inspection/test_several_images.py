"""Inspection of a model of several images per patient: what it can be asked, and what is refused."""

import numpy as np
import pytest

from sklearn_pspd import CNNLSTMClassifier, make_fusion_pipeline, split_xy
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.inspection import (
    confounder_aucs,
    inspect_model,
    permutation_contribution,
    robustness,
    shapley_values,
    shortcut_tests,
    slice_maps,
)


@pytest.fixture(scope="module")
def fitted(flair_cohort):
    X, y = split_xy(flair_cohort)
    network = CNNLSTMClassifier(filters=(4,), pooling="average", epochs=1, precision="float32", random_state=0)
    model = make_fusion_pipeline(network, clinical=["age_years"], size_px=16, further_images=["flair"])
    return model.fit(X, y), X, y


def test_all_images_of_a_patient_contribute_together(fitted):
    model, X, y = fitted
    values = shapley_values(model, X[:3], X)
    assert values.players == ("image", "age_years")
    # Two players: the mean of what the image adds without and with the age, over all other patients.
    log_odds = {}
    for of_image in (False, True):
        for of_age in (False, True):
            mixed = X[1:].copy()
            if of_image:
                for column in ("image", "flair", "lesion_slice", "patient_id"):
                    mixed[column] = X[column].iloc[0]
            if of_age:
                mixed["age_years"] = X["age_years"].iloc[0]
            probability = model.predict_proba(mixed)[:, 1].astype(float)
            log_odds[of_image, of_age] = np.log(probability / (1 - probability)).mean()
    alone, last = log_odds[True, False] - log_odds[False, False], log_odds[True, True] - log_odds[False, True]
    np.testing.assert_allclose(values.values[0, 0], (alone + last) / 2, atol=1e-5)
    table = permutation_contribution(model, X, y, random_state=0).frame()
    assert set(table["group"]) == {"image", "age_years"}


@pytest.mark.parametrize("ask", [slice_maps, shortcut_tests, confounder_aucs, robustness])
def test_what_is_about_one_image_is_refused(fitted, ask):
    model, X, y = fitted
    settings = {slice_maps: (), confounder_aucs: (y,), shortcut_tests: (y,), robustness: (y,)}[ask]
    with pytest.raises(InputError, match="a model of one image per patient; this one reads flair as well"):
        ask(model, X, *settings)


def test_the_overview_says_what_it_left_out(fitted):
    model, X, y = fitted
    inspection = inspect_model(model, X, y, random_state=0)
    assert set(inspection.tables()) == {"contributions", "failures"}
    assert any("reads flair beside the image" in note for note in inspection.notes)
