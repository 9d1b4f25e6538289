"""The network's structure, its first weights and the pool of compiled copies."""

import dataclasses

import keras
import numpy as np
import pytest

from sklearn_pspd import CNNLSTMClassifier, jang2018
from sklearn_pspd.neural_network.architecture import build_cnn_lstm, initial_weights
from sklearn_pspd.neural_network.layers import hard_sigmoid_keras2
from sklearn_pspd.neural_network.pool import NetworkPool, reset_network
from sklearn_pspd.neural_network.specification import count_weights, training_flops


def network_parameters(reading):
    parameters = jang2018(reading)
    return {name.split("__")[1]: value for name, value in parameters.items() if name.startswith("classifier__")}


def published_network(reading, stack_shape=(9, 256, 256), n_clinical=7):
    classifier = CNNLSTMClassifier(stack_shape, **network_parameters(reading))
    return build_cnn_lstm(classifier._spec(int(np.prod(stack_shape)) + n_clinical))


def small_spec(**parameters):
    classifier = CNNLSTMClassifier((3, 8, 9), **{"filters": (2, 4), "lstm_units": 3, **parameters})
    return classifier._spec(classifier.n_images * 3 * 8 * 9 + 7)


def test_released_network_has_the_published_weights_layer_by_layer():
    network = published_network("released")
    counts = {layer.name: layer.count_params() for layer in network.layers if layer.count_params()}
    assert counts == {
        "batch_norm_1": 4,
        "conv_1": 320,
        "batch_norm_2": 256,
        "conv_2": 32_896,
        "batch_norm_3": 512,
        "conv_3": 131_328,
        "lstm": 25_168_224,
        "dense_1": 800,
        "dense_2": 1_056,
        "clinical_dense_1": 32,
        "clinical_dense_2": 20,
        "head": 37,
    }


def test_paper_network_normalises_after_each_convolution_and_has_no_dense_layers_after_the_lstm():
    names = [layer.name for layer in published_network("paper", (9, 16, 16)).layers]
    order = [name for name in names if name.startswith(("conv", "batch_norm", "pool"))]
    assert order == [f"{kind}_{step}" for step in (1, 2, 3) for kind in ("conv", "batch_norm", "pool")]
    assert not any(name.startswith("dense") for name in names)


def test_average_pooling_leaves_under_a_million_weights():
    classifier = CNNLSTMClassifier(pooling="average")
    assert build_cnn_lstm(classifier._spec(9 * 256 * 256 + 7)).count_params() < 200_000


def plain_network(spec):
    """Literal translation of the paper's figure 1 in stock layers, time-distributed over slices."""
    over_slices = keras.layers.TimeDistributed
    stack, clinical = keras.Input(spec.stack_shape, name="stack"), keras.Input((spec.n_clinical,), name="clinical")
    inputs = {"stack": stack, "clinical": clinical}
    maps = keras.layers.Reshape((*spec.stack_shape, 1))(stack)
    for n_filters in spec.filters:
        convolve = keras.layers.Conv2D(n_filters, spec.kernel_size, padding="same", activation="relu")
        # Time-distributed batch normalisation would take each slice's statistics on its own.
        steps = [keras.layers.BatchNormalization(momentum=spec.batch_norm_momentum), over_slices(convolve)]
        for step in {"before": steps, "after": steps[::-1], "none": steps[1:]}[spec.batch_norm]:
            maps = step(maps)
        maps = over_slices(keras.layers.MaxPooling2D(2))(maps)
    pool = keras.layers.Flatten() if spec.pooling == "flatten" else keras.layers.GlobalAveragePooling2D()
    gates = hard_sigmoid_keras2 if spec.lstm_activation == "sigmoid" else "sigmoid"
    features = keras.layers.LSTM(spec.lstm_units, activation=spec.lstm_activation, recurrent_activation=gates)(
        over_slices(pool)(maps)
    )
    for units in spec.dense_units:
        features = keras.layers.Dense(units, activation="relu")(features)
    for units in spec.clinical_units:
        clinical = keras.layers.Dense(units, activation="relu")(clinical)
    head = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Concatenate()([features, clinical]))
    return keras.Model(inputs, head)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"batch_norm": "after", "lstm_activation": "sigmoid"},
        {"batch_norm": "none", "pooling": "average", "kernel_size": 3},
    ],
)
def test_gradients_and_moving_statistics_equal_those_of_stock_layers(parameters):
    """One step of plain gradient descent from the same weights ends at the same weights."""
    spec = small_spec(**parameters)
    network, plain = build_cnn_lstm(spec), plain_network(spec)
    rng = np.random.default_rng(0)
    start = [w + 0.1 * rng.random(w.shape, dtype=np.float32) for w in initial_weights(network, 0)]
    batch = {
        "stack": rng.normal(size=(6, 3, 8, 9)).astype(np.float32),
        "clinical": rng.random((6, 7), dtype=np.float32),
    }
    targets = np.array([[0.0], [1.0]] * 3, dtype=np.float32)
    for model in (network, plain):
        model.set_weights(start)
        model.compile(optimizer=keras.optimizers.SGD(1.0), loss="binary_crossentropy")
    np.testing.assert_allclose(network.predict_on_batch(batch), plain.predict_on_batch(batch), rtol=1e-5)
    ends = []
    for model in (network, plain):
        model.train_on_batch(batch, targets)
        ends.append([end - begin for end, begin in zip(model.get_weights(), start, strict=True)])
    for step, plain_step in zip(*ends, strict=True):
        np.testing.assert_allclose(step, plain_step, rtol=1e-4, atol=1e-4 * np.abs(plain_step).max() + 1e-7)


@pytest.mark.parametrize("batch_norm", ["before", "after"])
def test_a_network_can_be_called_and_differentiated_with_respect_to_both_inputs(batch_norm):
    """Outside of a compiled function, as for saliency maps; against stock layers."""
    import tensorflow as tf

    spec = small_spec(batch_norm=batch_norm)
    network, plain = build_cnn_lstm(spec), plain_network(spec)
    rng = np.random.default_rng(0)
    weights = [w + 0.1 * rng.random(w.shape, dtype=np.float32) for w in initial_weights(network, 0)]
    batch = {
        "stack": tf.constant(rng.normal(size=(4, 3, 8, 9)), tf.float32),
        "clinical": tf.constant(rng.random((4, 7)), tf.float32),
    }
    gradients = []
    for model in (network, plain):
        model.set_weights(weights)
        with tf.GradientTape() as tape:
            tape.watch(batch)
            output = model(batch)
        of_weights, of_inputs = tape.gradient(output, (model.trainable_variables[0].value, batch))
        gradients.append([of_inputs["stack"].numpy(), of_inputs["clinical"].numpy(), of_weights.numpy()])
    for ours, stock in zip(*gradients, strict=True):
        assert np.abs(stock).max() > 0
        np.testing.assert_allclose(ours, stock, rtol=1e-4, atol=1e-6 * np.abs(stock).max())


def test_the_number_of_weights_is_known_without_building_the_network():
    for parameters in (
        {},
        {"batch_norm": "after", "pooling": "average", "sequence": "attention"},
        {"batch_norm": "none", "kernel_size": 3, "sequence": "mean", "dense_units": ()},
        {"n_images": 2},
    ):
        spec = small_spec(**parameters)
        assert build_cnn_lstm(spec).count_params() == count_weights(spec)
    assert training_flops(CNNLSTMClassifier()._spec(9 * 256 * 256 + 7), 8) == pytest.approx(471e9, rel=0.01)


@pytest.mark.parametrize("batch_norm", ["before", "after"])
def test_weights_count_patients_as_repeating_them_does(batch_norm):
    rng = np.random.default_rng(0)
    weights = np.array([1, 3, 2, 1])
    stacks, clinical, targets = (
        rng.normal(size=(4, 3, 8, 9)),
        rng.random((4, 7)),
        np.array([[0.0], [1.0], [1.0], [0.0]]),
    )
    ends = []
    for rows, is_weighted in ((np.repeat(np.arange(4), weights), False), (np.arange(4), True)):
        network = build_cnn_lstm(
            dataclasses.replace(small_spec(batch_norm=batch_norm, precision="float64"), weighted=is_weighted)
        )
        reset_network(network, initial_weights(network, 0), learning_rate=0.5, seed=0)
        batch = {"stack": stacks[rows], "clinical": clinical[rows]}
        if is_weighted:
            batch["weight"] = weights[:, np.newaxis].astype(np.float64)
        for _ in range(2):
            network.train_on_batch(batch, targets[rows], sample_weight=weights * 1.0 if is_weighted else None)
        ends.append(network.get_weights())
    for repeated, weighted in zip(*ends, strict=True):
        np.testing.assert_allclose(weighted, repeated, rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_network_file_opens_in_keras(tmp_path):
    network = build_cnn_lstm(small_spec(lstm_activation="sigmoid"))
    network.save(tmp_path / "network.keras")
    rng = np.random.default_rng(0)
    batch = {"stack": rng.normal(size=(2, 3, 8, 9)), "clinical": rng.random((2, 7))}
    opened = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(opened.predict_on_batch(batch), network.predict_on_batch(batch))


def test_initial_weights_follow_the_seed_and_the_published_rules():
    network = build_cnn_lstm(small_spec())
    first, again, other = (initial_weights(network, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    weights = {w.path.removeprefix("cnn_lstm/"): value for w, value in zip(network.weights, first, strict=True)}
    convolution = weights["conv_2/kernel"]
    assert np.abs(convolution).max() <= np.sqrt(6 / (4 * (2 + 4)))
    recurrent = next(value for path, value in weights.items() if path.endswith("recurrent_kernel"))
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(3), atol=1e-6)
    forget = next(value for path, value in weights.items() if "lstm/" in path and path.endswith("bias"))
    np.testing.assert_array_equal(forget, np.repeat([0, 1, 0, 0], 3))


def test_hard_sigmoid_is_that_of_keras_2():
    x = np.array([-3.0, -2.5, 0.0, 1.0, 2.5, 3.0], dtype=np.float32)
    np.testing.assert_allclose(hard_sigmoid_keras2(x), [0, 0, 0.5, 0.7, 1, 1], atol=1e-6)


def test_slices_too_small_for_the_pooling_steps():
    with pytest.raises(ValueError, match="slices of 8 x 9 px are too small for 4 pooling steps"):
        build_cnn_lstm(small_spec(filters=(2, 2, 2, 2)))
    with pytest.raises(ValueError, match="slices of 1 x 1 px are too small for 1 pooling steps"):
        build_cnn_lstm(CNNLSTMClassifier((3, 1, 1), filters=(2,))._spec(3 + 7))


def test_reset_forgets_the_last_fit():
    network = build_cnn_lstm(small_spec(momentum=0.9))
    weights = initial_weights(network, 0)
    rng = np.random.default_rng(0)
    batch = {"stack": rng.normal(size=(4, 3, 8, 9)).astype(np.float32), "clinical": np.zeros((4, 7), np.float32)}
    results = []
    for _ in range(2):
        reset_network(network, weights, learning_rate=0.5, seed=0)
        for _ in range(2):
            network.train_on_batch(batch, np.array([[0], [1], [0], [1]]))
        results.append(network.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))
    assert float(network.optimizer.learning_rate) == 0.5


def test_pool_lends_one_copy_and_drops_the_oldest():
    pool = NetworkPool(max_networks=2)
    specs = [small_spec(lstm_units=units) for units in (2, 3, 4)]
    with pool.borrow(specs[0]) as first:
        pass
    with pool.borrow(specs[0]) as second, pool.borrow(specs[0]) as nested:
        assert second is first
        assert nested is not first
    for spec in specs[1:]:
        with pool.borrow(spec):
            pass
    assert len(pool) == 2
    with pool.borrow(specs[0]) as rebuilt:
        assert rebuilt is not first


def test_pool_does_not_lend_a_network_that_failed():
    pool = NetworkPool()
    with pytest.raises(KeyboardInterrupt), pool.borrow(small_spec()):
        raise KeyboardInterrupt
    assert len(pool) == 0


@pytest.mark.parametrize("channel", [0, 1])
def test_images_of_a_patient_are_channels_of_the_same_slice(channel):
    """A network whose kernels ignore one of two images predicts like a network of the other image alone."""
    rng = np.random.default_rng(channel)
    one, two = (
        build_cnn_lstm(small_spec(n_images=n_images, batch_norm="none", precision="float64")) for n_images in (1, 2)
    )
    weights = initial_weights(one, 3)
    first = next(i for i, weight in enumerate(one.weights) if weight.path == "conv_1/kernel")
    kernels = np.zeros((2, 2, 2, 2))
    kernels[:, :, [channel]] = weights[first]
    one.set_weights(weights)
    two.set_weights([*weights[:first], kernels, *weights[first + 1 :]])
    stacks, clinical = rng.normal(size=(5, 6, 8, 9)), rng.random((5, 7))
    images = stacks[:, 3 * channel : 3 * channel + 3]
    np.testing.assert_allclose(
        two.predict_on_batch({"stack": stacks, "clinical": clinical}),
        one.predict_on_batch({"stack": images, "clinical": clinical}),
        atol=1e-14,
    )
