"""Ensembles of networks: seeds, training in blocks, schedule, augmentation, and continuing a fit."""

import dataclasses
import gc
import pickle
import weakref

import keras
import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, clone

from sklearn_pspd import CNNLSTMClassifier
from sklearn_pspd.neural_network.architecture import build_cnn_lstm, initial_weights
from sklearn_pspd.neural_network.batches import split_inputs
from sklearn_pspd.neural_network.members import Start, learning_rates, member_seeds, train_member
from sklearn_pspd.neural_network.pool import reset_network

STACK_SHAPE = (3, 8, 9)
N_PIXELS = 3 * 8 * 9


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = np.array([0, 1] * 10 + [1])
    X = np.hstack([rng.normal(size=(21, N_PIXELS)) + y[:, np.newaxis], rng.random((21, 7))])
    return X.astype(np.float32), y


@pytest.fixture
def network():
    return CNNLSTMClassifier(
        STACK_SHAPE,
        filters=(2, 4),
        lstm_units=4,
        dense_units=(4,),
        epochs=2,
        optimizer="adam",
        precision="float32",
        random_state=0,
    )


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


class EachStep(keras.callbacks.Callback):
    """With a callback, a fit calls Keras once per step."""

    def __init__(self):
        super().__init__()
        self.rates = []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))


class AddNoise(BaseEstimator):
    """A stand-in for augmentation that records the stacks it has been given."""

    def augment(self, stacks, rng):
        return stacks + rng.normal(size=(len(stacks), 1, 1, 1)).astype(np.float32)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"n_members": 2},
        {"early_stopping": True, "validation_fraction": 0.3},
        {"callbacks": [keras.callbacks.Callback()]},  # Keras reads the batches one by one
    ],
)
def test_nothing_keeps_the_patients_of_a_fit(network, data, parameters):
    """Of which every fold of a study has its own copy, at full size hundreds of megabytes."""
    X, y = data[0].copy(), data[1]
    kept = weakref.ref(X)
    network.set_params(**parameters).fit(X, y)
    del X
    gc.collect()
    assert kept() is None


def test_one_member_in_blocks_has_the_weights_of_training_step_by_step(data, network):
    """Keras' own training function, on batches in the order of the seed, from the initial weights of the seed."""
    X, y = data
    network.fit(X, y)
    seed = int(np.random.RandomState(0).randint(0, 2**31 - 1))
    plain = build_cnn_lstm(network._fitted_spec)
    reset_network(plain, initial_weights(plain, seed), learning_rate=0.01, seed=seed)
    rng, rows, ones = np.random.default_rng(seed), np.arange(21), np.ones(21, np.float32)
    # Keras announces the end of an epoch before the first one, too.
    rng.permutation(rows)
    for _ in range(2):
        order = rng.permutation(rows)
        for start in range(0, 21, 8):
            batch = order[start : start + 8]
            targets = y[batch, np.newaxis].astype(np.float32)
            plain.train_on_batch(split_inputs(X[batch], network._fitted_spec), targets, sample_weight=ones[batch])
    # On some processors another compiled function gives other last digits.
    for ours, stock in zip(network.weights_, plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, stock, rtol=1e-5, atol=1e-7)
    by_step = clone(network).set_params(callbacks=[EachStep()]).fit(X, y)
    assert equal(network.weights_, by_step.weights_)
    assert network.history_ == by_step.history_


def test_each_member_equals_a_network_that_is_trained_alone(data, network):
    X, y = data
    three = clone(network).set_params(n_members=3, dropout=0.3).fit(X, y)
    two = clone(three).set_params(n_members=2).fit(X, y)
    assert all(equal(a, b) for a, b in zip(two.member_weights_, three.member_weights_, strict=False))
    assert not equal(*two.member_weights_)
    seed = three._draw_seed()
    plan = three._plan(X, y, np.ones(21), classes=np.array([0, 1]), spec=three._spec(X.shape[1]), epochs=2)
    alone = [train_member(plan, Start(member)) for member in member_seeds(seed, 3)]
    assert all(equal(a.weights, b) for a, b in zip(alone, three.member_weights_, strict=True))
    assert three.history_["loss"] == pytest.approx(np.mean([member.history["loss"] for member in alone], axis=0))
    assert member_seeds(seed, 1) == [seed]


def test_the_probability_of_an_ensemble_is_the_sigmoid_of_the_mean_logit(data, network):
    X, y = data
    ensemble = clone(network).set_params(n_members=3).fit(X, y)
    members = ensemble.member_probabilities(X)
    assert members.shape == (3, 21, 2)
    probabilities = ensemble.predict_proba(X)
    np.testing.assert_allclose(probabilities[:, 1], expit(logit(members[:, :, 1]).mean(axis=0)), rtol=1e-12)
    for member, separate in zip(members, ensemble.networks_, strict=True):
        batch = split_inputs(X, ensemble._fitted_spec)
        np.testing.assert_allclose(separate.predict_on_batch(batch)[:, 0], member[:, 1], rtol=1e-5)
    one = network.fit(X, y)
    np.testing.assert_array_equal(one.member_probabilities(X), one.predict_proba(X)[np.newaxis])


def test_state_survives_pickle_and_file_and_training_continues_alike(data, network, tmp_path):
    X, y = data
    network.set_params(n_members=2, shuffle=False, epochs=3)
    whole = clone(network).fit(X, y)
    passes = clone(network).set_params(epochs=1).fit(X, y)
    passes.save(tmp_path / "model")
    copies = [passes, pickle.loads(pickle.dumps(passes)), CNNLSTMClassifier.load(tmp_path / "model")]
    for copy in copies:
        np.testing.assert_array_equal(copy.predict_proba(X), passes.predict_proba(X))
    for copy in copies:
        copy.partial_fit(X, y).partial_fit(X, y)
        assert all(equal(a, b) for a, b in zip(copy.member_weights_, whole.member_weights_, strict=True))
    assert copies[-1].history_["loss"] == pytest.approx(whole.history_["loss"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "sgd"}, "optimizer was 'adam' and is 'sgd'"),
        ({"filters": (2, 3)}, r"filters was \(2, 4\) and is \(2, 3\)"),
        ({"n_members": 2}, "had n_members=1; it is now 2"),
    ],
)
def test_a_changed_network_does_not_continue(data, network, change, message):
    X, y = data
    before = network.fit(X, y).predict_proba(X)
    network.set_params(**change)
    with pytest.raises(ValueError, match=f"partial_fit continues the previous fit, .*{message}"):
        network.partial_fit(X, y)
    if "optimizer" not in change:
        with pytest.raises(ValueError, match=f"warm_start=True continues the previous fit, .*{message}"):
            network.set_params(warm_start=True).fit(X, y)
    np.testing.assert_array_equal(network.predict_proba(X), before)


def test_cosine_schedule(data, network):
    X, y = data
    stepwise = clone(network).set_params(schedule="cosine", callbacks=[EachStep()]).fit(X, y)
    expected = 0.01 * (1 + np.cos(np.pi * np.arange(6) / 6)) / 2
    np.testing.assert_allclose(stepwise.callbacks_[0].rates, expected, rtol=1e-6)
    in_blocks = clone(stepwise).set_params(callbacks=None).fit(X, y)
    assert equal(in_blocks.weights_, stepwise.weights_)
    plan = stepwise._plan(X, y, np.ones(21), classes=np.array([0, 1]), spec=stepwise._fitted_spec, epochs=2)
    np.testing.assert_allclose(learning_rates(plan, 21), expected)
    assert learning_rates(dataclasses.replace(plan, schedule="constant"), 21) is None
    with pytest.raises(ValueError, match="schedule='cosine' needs all rows at once"):
        clone(stepwise).partial_fit(X, y)


def test_augmentation_is_new_per_epoch_and_member_and_absent_from_prediction(data, network):
    from sklearn_pspd.neural_network.batches import PatientBatches

    X, y = data
    network.set_params(augment=AddNoise(), n_members=2)
    in_blocks = clone(network).fit(X, y)
    stepwise = clone(network).set_params(callbacks=[EachStep()]).fit(X, y)
    assert all(equal(a, b) for a, b in zip(in_blocks.member_weights_, stepwise.member_weights_, strict=True))
    np.testing.assert_array_equal(in_blocks.predict_proba(X), in_blocks.predict_proba(X))
    plain = clone(network).set_params(augment=None).fit(X, y)
    assert not equal(plain.weights_, in_blocks.weights_)
    options = {"rows": np.arange(21), "batch_size": 8, "spec": in_blocks._fitted_spec, "augment": AddNoise()}
    batches = PatientBatches(X, y, np.ones(21), seed=1, steps_per_block=3, **options)
    first, again = batches[0][0]["stack"], batches[0][0]["stack"]
    np.testing.assert_array_equal(first, again)
    batches.on_epoch_end()
    assert not np.array_equal(batches[0][0]["stack"], first)
    other = PatientBatches(X, y, np.ones(21), seed=2, steps_per_block=3, **options)[0][0]["stack"]
    assert not np.array_equal(other, first)


def test_statistics_of_all_training_rows_replace_the_moving_averages(data, network):
    X, y = data
    network.set_params(batch_norm_statistics="training", augment=AddNoise(), n_members=2).fit(X, y)
    stacks = X[:, :N_PIXELS].astype(np.float64)
    for weights, model in zip(network.member_weights_, network.networks_, strict=True):
        by_path = {weight.path: value for weight, value in zip(model.weights, weights, strict=True)}
        assert by_path["batch_norm_1/moving_mean"] == pytest.approx(stacks.mean(), rel=1e-4)
        assert by_path["batch_norm_1/moving_variance"] == pytest.approx(stacks.var(), rel=1e-4)
    plain = clone(network).set_params(batch_norm_statistics="moving").fit(X, y)
    changed = [
        weight.path
        for weight, one, other in zip(model.weights, plain.member_weights_[1], weights, strict=True)
        if not np.array_equal(one, other)
    ]
    assert changed
    assert all("moving" in path for path in changed)


def test_attention_weights_of_the_slices(data, network):
    X, y = data
    network.set_params(sequence="attention", n_members=2, epochs=5).fit(X, y)
    weights = network.slice_attention(X)
    assert weights.shape == (21, 3)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    assert np.ptp(weights) > 0
    reversed_slices = np.hstack([X[:, :N_PIXELS].reshape(21, *STACK_SHAPE)[:, ::-1].reshape(21, -1), X[:, N_PIXELS:]])
    np.testing.assert_allclose(network.slice_attention(reversed_slices)[:, ::-1], weights, rtol=1e-4)
    np.testing.assert_allclose(network.predict_proba(reversed_slices), network.predict_proba(X), atol=1e-5)
    with pytest.raises(ValueError, match="sequence='lstm' has no attention weights"):
        clone(network).set_params(sequence="lstm", epochs=1).fit(X, y).slice_attention(X)


def test_a_table_of_another_width_is_refused(data, network):
    X, y = data
    network.set_params(n_clinical=7).fit(X, y)
    wider = clone(network).set_params(stack_shape=(3, 8, 8))
    with pytest.raises(
        ValueError, match=r"X has 223 columns, but stack_shape=\(3, 8, 8\) and n_clinical=7 need 192 \+ 7"
    ):
        wider.fit(X, y)
    with pytest.raises(ValueError, match="n_clinical=0 need 216"):
        clone(network).set_params(n_clinical=0).fit(X, y)
    for filters in ((2.0, 4.0), ("a",), [(2, 2)], (True,), (0,)):
        with pytest.raises(ValueError, match="filters must contain positive whole numbers"):
            clone(network).set_params(filters=filters).fit(X, y)
    with pytest.raises(ValueError, match="stack_shape must contain positive whole numbers"):
        clone(network).set_params(stack_shape=(3.7, 8, 8)).fit(X, y)
    assert clone(network).set_params(filters=np.array([2, 4])).fit(X, y)._fitted_spec.filters == (2, 4)
