"""Contributions to the AUC and to single predictions."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from inspected_cohorts import IMAGES, N_TRAIN, draw, small_network
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from sklearn_pspd import make_fusion_pipeline
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.inspection import permutation_contribution, shapley_values
from sklearn_pspd.inspection.contributions import _mixture_auc
from sklearn_pspd.inspection.mixing import PartMixer, TableMixer, make_mixer


def toy(n=30, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=["a", "b", "c"])
    X["patient_id"] = [f"P{row}" for row in range(n)]
    y = (X["a"] + 0.5 * X["a"] * X["b"] + rng.normal(size=n) > 0).astype(int).to_numpy()
    return X, y


class Interaction:
    """A model of three columns with an interaction, whose Shapley values are known by brute force."""

    classes_ = np.array([0, 1])
    feature_names_in_ = np.array(["a", "b", "c"])

    def predict_proba(self, X):
        odds = np.exp(X["a"] + X["a"] * X["b"] - 0.2 * X["b"] * X["c"])
        return np.column_stack([1 / (1 + odds), odds / (1 + odds)])


def brute_force(model, patient, background, players):
    """Average the change over all orders of replacing a reference patient's values, and over all references."""
    values = np.zeros(len(players))
    orders = list(permutations(range(len(players))))
    for _, reference in background.iterrows():
        for order in orders:
            mixed = reference.copy()
            before = logit(model.predict_proba(mixed.to_frame().T.astype(float))[0, 1])
            for player in order:
                mixed[players[player]] = patient[players[player]]
                after = logit(model.predict_proba(mixed.to_frame().T.astype(float))[0, 1])
                values[player] += (after - before) / (len(orders) * len(background))
                before = after
    return values


def test_shapley_values_equal_brute_force():
    X, _ = toy(9)
    found = shapley_values(Interaction(), X[:2], X[2:])
    for row in range(2):
        numbers = X.drop(columns="patient_id")
        expected = brute_force(Interaction(), numbers.iloc[row], numbers.iloc[2:], list(found.players))
        np.testing.assert_allclose(found.values[row], expected, atol=1e-9)


def test_shapley_values_of_columns_add_up_and_the_parts_agree_with_the_whole_pipeline(fusion, held_out):
    X = held_out[0][:4]
    background = held_out[0][2:9]  # two of the patients are among them, and are no reference for themselves
    found = shapley_values(fusion, X, background)
    assert found.players == ("image", "age_years", "sex", "mgmt", "idh", "dose_gy", "n_fractions", "interval_days")
    np.testing.assert_allclose(found.prediction, logit(fusion.predict_proba(X)[:, 1]), atol=1e-4)
    of_background = logit(fusion.predict_proba(background)[:, 1])
    np.testing.assert_allclose(found.reference[0], of_background.mean(), atol=1e-4)
    np.testing.assert_allclose(found.reference[2], of_background[1:].mean(), atol=1e-4)
    np.testing.assert_allclose(found.values.sum(axis=1), found.prediction - found.reference, atol=1e-9)
    frame = found.frame()
    np.testing.assert_allclose(frame.iloc[:, 1:-1].sum(axis=1), frame["prediction"], atol=1e-9)
    summary = found.summary()
    assert summary["proportion"].sum() == pytest.approx(1)
    assert (summary["low"] <= summary["mean_absolute"]).all()


def test_shapley_values_of_slices_add_up_and_agree_with_a_stack_of_mixed_slices(fusion, held_out):
    X, background = held_out[0][:2], held_out[0][2:4]
    found = shapley_values(fusion, X, background, players="slices")
    assert found.players == ("slice 1", "slice 2", "slice 3", "clinical")
    np.testing.assert_allclose(found.prediction, logit(fusion.predict_proba(X)[:, 1]), atol=1e-4)
    np.testing.assert_allclose(found.values.sum(axis=1), found.prediction - found.reference, atol=1e-9)
    # By hand: the clinical columns' value is the mean over coalitions of the slices.
    own, others = (fusion["features"].transform(table)[:, :1728].reshape(-1, 3, 576) for table in (X, background))
    values = own_clinical_values(fusion, X, background, own, others)
    np.testing.assert_allclose(found.values[0, 3], values, atol=1e-4)


def own_clinical_values(fusion, X, background, own, others):
    clinical, other = (fusion["features"].transform(table)[:, 1728:] for table in (X, background))
    total = 0.0
    for code in range(8):
        members = [bool(code >> k & 1) for k in range(3)]
        weight = {0: 1 / 4, 1: 1 / 12, 2: 1 / 12, 3: 1 / 4}[sum(members)]
        for reference in range(2):
            stack = np.array([own[0, k] if members[k] else others[reference, k] for k in range(3)]).ravel()
            rows = np.array([np.r_[stack, clinical[0]], np.r_[stack, other[reference]]], dtype=np.float32)
            with_own, without = logit(fusion["classifier"].predict_proba(rows)[:, 1])
            total += weight * (with_own - without) / 2
    return total


def test_a_forest_is_explained_on_the_scale_of_probabilities(forest, held_out):
    X, y = held_out
    values = shapley_values(forest, X[:3], X[3:12], scale="probability")
    np.testing.assert_allclose(values.prediction, forest.predict_proba(X[:3])[:, 1], atol=1e-9)
    assert "image" not in values.players
    with pytest.raises(InputError, match=r"probabilities of 0 or 1.*scale=\"probability\""):
        shapley_values(forest, X, X)
    drops = permutation_contribution(forest, X, y, random_state=0).frame().set_index("group")["drop"]
    assert drops["interval_days"] == drops.drop("all clinical columns").max()


def test_parts_and_table_give_the_same_mixtures(fusion, forest, held_out):
    X = held_out[0][:4]
    for model in (fusion, forest):
        mixer = make_mixer(model, X)
        assert isinstance(mixer, PartMixer)
        sources = np.random.default_rng(0).integers(4, size=(6, len(mixer.groups)))
        expected = TableMixer(model, X, mixer.groups).probabilities(sources)
        np.testing.assert_allclose(mixer.probabilities(sources), expected, atol=1e-5)


def test_the_signal_of_the_image_is_found(fusion, held_out):
    found = permutation_contribution(fusion, *held_out, random_state=0)
    table = found.frame().set_index("group")
    assert found.auc.value == pytest.approx(roc_auc_score(held_out[1], fusion.predict_proba(held_out[0])[:, 1]))
    assert table.loc["image", "low"] > 0
    assert table["drop"].idxmax() == "image"
    np.testing.assert_allclose(table["drop"] + table["auc_without"], found.auc.value, atol=1e-9)


def test_an_image_that_says_nothing_contributes_nothing(tmp_path_factory):
    """The images are those of other patients, so only the clinical columns have a signal, which 100 patients show."""
    X, y = draw(tmp_path_factory, "images_of_others", N_TRAIN + 100, effect_size=2.0)
    order = np.random.default_rng(1).permutation(len(X))
    X[["image", "lesion_mask"]] = X[["image", "lesion_mask"]].to_numpy()[order]
    network = small_network(epochs=40, learning_rate=0.02, pooling="average")
    model = make_fusion_pipeline(network, **IMAGES).fit(X[:N_TRAIN], y[:N_TRAIN])
    table = permutation_contribution(model, X[N_TRAIN:], y[N_TRAIN:], random_state=0).frame().set_index("group")
    assert table.loc["image", "low"] <= 0 <= table.loc["image", "high"]
    assert table.loc["image", "drop"] < 0.1
    assert table.loc["all clinical columns", "low"] > 0
    assert table.loc["all clinical columns", "drop"] > 0.2


def test_without_any_effect_every_interval_holds_zero():
    rng = np.random.default_rng(5)
    X = pd.DataFrame(rng.normal(size=(160, 3)), columns=list("abc"))
    y = np.arange(160) % 2
    model = LogisticRegression().fit(X[:80], y[:80])
    table = permutation_contribution(model, X[80:], y[80:], random_state=0).frame()
    assert ((table["low"] <= 0) & (table["high"] >= 0)).all()


def test_intervals_cover_the_drop_of_the_population():
    """Coverage over cohorts; the truth is the drop in a large sample of the population."""
    X, y = toy(400)
    model = LogisticRegression().fit(X[["a", "b", "c"]], y)
    large, outcomes = toy(1500, seed=99)
    truth = permutation_contribution(model, large[["a", "b", "c"]], outcomes, n_donors=5, n_resamples=10).frame()
    truth = truth.set_index("group")["drop"]
    hits = []
    for seed in range(40):
        X, y = toy(40, seed=1000 + seed)
        found = permutation_contribution(model, X[["a", "b", "c"]], y, n_resamples=150, random_state=0).frame()
        found = found.set_index("group")
        hits.append([found.loc[name, "low"] <= truth[name] <= found.loc[name, "high"] for name in ("a", "b")])
    assert (np.mean(hits, axis=0) >= 0.85).all()


def test_a_column_that_the_model_ignores_has_no_drop_and_no_interval():
    X, y = toy()
    model = LogisticRegression().fit(X[["a", "b"]], y)
    groups = {"a": "a", "b": "b", "other": ["c", "patient_id"]}

    class Ignoring:
        def predict_proba(self, table):
            return model.predict_proba(table[["a", "b"]])

    table = permutation_contribution(Ignoring(), X, y, groups=groups, random_state=0).frame().set_index("group")
    assert table.loc["other", ["drop", "low", "high"]].tolist() == [0, 0, 0]
    assert table.loc["other", "method"] == "no prediction depends on it"


def test_a_column_that_changes_no_ranks_has_a_narrow_interval_around_zero():
    X, _ = toy()
    y = (X["a"] > 0).astype(int).to_numpy()

    class AlmostIgnoring:
        def predict_proba(self, table):
            score = 1 / (1 + np.exp(-5 * np.sign(table["a"]) - 0.01 * table["b"]))
            return np.column_stack([1 - score, score])

    groups = {"a": "a", "b": "b", "rest": ["c", "patient_id"]}
    table = permutation_contribution(AlmostIgnoring(), X, y, groups=groups, random_state=0).frame().set_index("group")
    assert table.loc["b", "drop"] == 0
    assert table.loc["b", "mean_change"] > 0
    assert 0 < table.loc["b", "high"] < 0.3
    assert table.loc["b", "low"] == -table.loc["b", "high"]


def test_the_auc_of_mixtures_is_that_of_repeated_patients():
    rng = np.random.default_rng(0)
    is_positive = np.array([True, False, True, False, False])
    scores = rng.integers(4, size=(5, 4)).astype(float)
    donors = np.array([np.delete(np.arange(5), row) for row in range(5)])
    weights = np.array([[1.0, 2, 1, 0, 1]])
    found = _mixture_auc(is_positive, scores, donors)(weights)[0]
    mixed = weights[0][donors] / weights[0][donors].sum(axis=1, keepdims=True) * weights[0][:, None]
    expected = roc_auc_score(np.repeat(is_positive, 4), scores.ravel(), sample_weight=mixed.ravel())
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": {"x": ["nowhere"]}}, "groups has 'nowhere', which the table lacks"),
        ({"groups": {"x": ["sex"], "y": ["sex"]}}, "groups has 'sex' more than once"),
        ({"groups": {"x": ["sex"]}}, "groups lacks 'age_years'"),
        ({"groups": {"x": ["image"]}}, "separates the image from its position; add lesion_mask"),
        ({"n_donors": 0}, "n_donors=0; a whole number from 1 to 39"),
        ({"scale": "logits"}, "scale must be one of"),
    ],
)
def test_what_makes_no_sense_is_refused(fusion, held_out, options, message):
    with pytest.raises(InputError, match=message):
        permutation_contribution(fusion, *held_out, **options)


def test_shapley_values_refuse_what_they_cannot_compute(fusion, forest, held_out):
    X, _ = held_out
    with pytest.raises(InputError, match="the background has no other patient"):
        shapley_values(fusion, X[:1], X[:1])
    with pytest.raises(InputError, match="needs a model that reads images"):
        shapley_values(forest, X[:1], X, players="slices")
    with pytest.raises(InputError, match="players='pixels'"):
        shapley_values(fusion, X[:1], X, players="pixels")
