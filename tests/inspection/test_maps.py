"""Maps, their known answers, and the checks that they must pass."""

import importlib.util

import nibabel as nib
import numpy as np
import pytest
from inspected_cohorts import IMAGES, N_TRAIN, small_network
from scipy.special import logit

from sklearn_pspd import make_image_pipeline
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.inspection import map_checks, slice_maps
from sklearn_pspd.inspection.map_checks import check_maps, random_weights, similarity
from sklearn_pspd.inspection.map_methods import MapSettings, Prepared, compute_maps, enlarge, path_gradients
from sklearn_pspd.inspection.network_gradients import DifferentiableNetwork
from sklearn_pspd.inspection.network_parts import NetworkParts
from sklearn_pspd.inspection.opened import OpenedModel
from sklearn_pspd.inspection.regions import head_region, lesion_regions

METHODS = ("hires_cam", "grad_cam", "integrated_gradients", "smooth_grad", "occlusion")


def prepared_of(model, X):
    opened = OpenedModel(model)
    images = opened.images(opened.stacks(X))
    stacks, clinical = opened.standardise(images), opened.encode(X)
    start = stacks[:3].mean(axis=0), clinical[:3].mean(axis=0)
    return opened, Prepared(images, stacks, clinical, *start, opened.standardise, opened.pixel_mm)


def concentration(values, region):
    """Return how much more of the absolute map lies in a region than an even map would have there."""
    sizes = np.abs(values)
    return sizes[region].sum() / sizes.sum() / region.mean()


@pytest.fixture(scope="module", params=["lstm", "attention", "mean"])
def double_network(request):
    """A network in double precision with random weights, and inputs for it."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(6, 3 * 8 * 7 + 2)), [0, 1] * 3
    network = small_network(
        stack_shape=(3, 8, 7), filters=(2, 3), precision="float64", epochs=1, sequence=request.param, batch_norm="after"
    )
    network.fit(X, y)
    return network, X[:, : 3 * 8 * 7].reshape(6, 3, 8, 7), X[:, 3 * 8 * 7 :]


def test_gradients_equal_finite_differences(double_network):
    network, stacks, clinical = double_network
    function = DifferentiableNetwork(network.network_)
    log_odds, of_stacks, of_clinical = function.input_gradients(stacks, clinical)
    np.testing.assert_allclose(log_odds, logit(network.predict_proba(np.c_[stacks.reshape(6, -1), clinical])[:, 1]))
    step = 1e-6
    for place in [(0, 1, 3, 2), (2, 0, 7, 6), (5, 2, 0, 0)]:
        moved = stacks.copy()
        moved[place] += step
        expected = (function.log_odds(moved, clinical) - log_odds)[place[0]] / step
        assert of_stacks[place] == pytest.approx(expected, abs=1e-6)
    moved = clinical + step * np.eye(2)[1]
    np.testing.assert_allclose(of_clinical[:, 1], (function.log_odds(stacks, moved) - log_odds) / step, atol=1e-6)


def test_the_parts_of_a_network_make_the_whole(double_network):
    network, stacks, clinical = double_network
    parts = NetworkParts(network.network_)
    expected = DifferentiableNetwork(network.network_).log_odds(stacks, clinical)
    np.testing.assert_allclose(parts.log_odds(parts.encode_images(stacks), clinical), expected)
    # A slice of another patient takes its vector along.
    mixed = stacks.copy()
    mixed[0, 1] = stacks[3, 1]
    slices = parts.encode_slices(stacks)
    slices[0, 1] = slices[3, 1]
    found = parts.log_odds(parts.combine_slices(slices), clinical)
    np.testing.assert_allclose(found, DifferentiableNetwork(network.network_).log_odds(mixed, clinical))


@pytest.fixture(scope="module")
def linear_head(signal):
    """A network whose log odds are a weighted mean of its last feature maps, so that HiRes-CAM is exact."""
    X, y = signal
    network = small_network(sequence="mean", dense_units=(), epochs=3)
    return make_image_pipeline(network, **IMAGES).fit(X[:20], y[:20])


def test_activation_maps_add_up_to_the_log_odds_of_a_linear_head(linear_head, held_out):
    _, prepared = prepared_of(linear_head, held_out[0][:4])
    network = DifferentiableNetwork(linear_head["classifier"].network_)
    features, gradients = network.block_gradients(prepared.stacks, prepared.clinical, 2)
    bias = float(network.network.get_layer("head").get_weights()[1][0])
    expected = network.log_odds(prepared.stacks, prepared.clinical) - bias
    np.testing.assert_allclose((features * gradients).sum(axis=(1, 2, 3, 4)), expected, rtol=1e-3, atol=1e-4)
    # Averaging gradients changes nothing where they are equal everywhere.
    maps = [compute_maps(network.network, prepared, MapSettings(name))[0] for name in ("hires_cam", "grad_cam")]
    np.testing.assert_allclose(*maps, atol=1e-5)


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_enlarged_maps_lie_over_what_the_block_sees(kernel_size):
    """A dot, sent through convolutions with equal weights, must come out where it went in."""
    network = small_network(
        stack_shape=(1, 64, 64), filters=(2, 2, 2), kernel_size=kernel_size, batch_norm="none", epochs=1
    )
    stacks = np.zeros((16, 1, 64, 64), dtype=np.float32)
    places = [(28 + k // 4, 31 + k % 4) for k in range(16)]
    for stack, (y, x) in zip(stacks, places, strict=True):
        stack[0, y, x] = 1.0
    network.fit(stacks.reshape(16, -1), [0, 1] * 8)
    keras_network = network.network_
    for layer in keras_network.layers:
        if layer.name.startswith("conv_"):
            layer.set_weights([np.ones_like(w) if w.ndim > 1 else np.zeros_like(w) for w in layer.get_weights()])
    features, _ = DifferentiableNetwork(keras_network).block_gradients(stacks, np.empty((16, 0)), 3)
    maps = enlarge(features.sum(axis=-1), (64, 64), 3, kernel_size)[:, 0]
    grid = np.arange(64)
    found = np.array([[(m.sum(axis=1 - axis) * grid).sum() / m.sum() for axis in (0, 1)] for m in maps])
    # Single dots lie between the pixels of the block; their mean over a square of 4 x 4 dots does not.
    np.testing.assert_allclose(found.mean(axis=0), np.mean(places, axis=0), atol=2.1)
    if kernel_size == 2:
        without = enlarge(features.sum(axis=-1), (64, 64), 3, 3)[:, 0]
        shifted = np.mean([(m.sum(axis=1) * grid).sum() / m.sum() for m in without])
        assert found.mean(axis=0)[0] - shifted == pytest.approx(3.5, abs=0.2)


def test_integrated_gradients_are_complete(fusion, signal):
    X, _ = signal
    maps = slice_maps(fusion, X[N_TRAIN : N_TRAIN + 4], "integrated_gradients", reference=X[:N_TRAIN], check=False)
    opened = OpenedModel(fusion)
    start = [part.mean(axis=0, keepdims=True) for part in opened.prepare(X[:N_TRAIN])]
    reference = logit(opened.probabilities(*start))
    total = maps.values.sum(axis=(1, 2, 3)) + maps.clinical.sum(axis=1).to_numpy()
    np.testing.assert_allclose(total, maps.log_odds - reference, rtol=0.03, atol=0.02)
    np.testing.assert_allclose(np.abs(total - maps.log_odds + reference), maps.completeness_error, atol=1e-3)
    np.testing.assert_allclose(maps.log_odds, logit(fusion.predict_proba(X[N_TRAIN : N_TRAIN + 4])[:, 1]), atol=1e-4)
    assert maps.clinical.columns.tolist()[0] == "age_years"
    assert maps.spread.shape == maps.values.shape


@pytest.mark.skipif(importlib.util.find_spec("saliency") is None, reason="saliency is not installed")
def test_integrated_gradients_equal_those_of_saliency(image_model, held_out):
    import saliency.core as saliency

    _, prepared = prepared_of(image_model, held_out[0][:3])
    network = DifferentiableNetwork(image_model["classifier"].network_)

    def gradients(stacks, call_model_args=None, expected_keys=None):
        none = np.empty((len(stacks), 0), dtype=np.float32)
        return {saliency.INPUT_OUTPUT_GRADIENTS: network.input_gradients(np.asarray(stacks, np.float32), none)[1]}

    expected = saliency.IntegratedGradients().GetMask(
        prepared.stacks[0], gradients, x_steps=21, x_baseline=prepared.start_stack, batch_size=7
    )
    # Its points are both ends and equal steps between them, all with the same weight.
    maps, _ = path_gradients(network, prepared.take([0]), np.linspace(0, 1, 21))
    np.testing.assert_allclose(maps[0], expected, atol=1e-5)


def test_occlusion_is_the_change_of_the_prediction_by_one_patch(image_model, held_out):
    opened, prepared = prepared_of(image_model, held_out[0][:1])
    settings = MapSettings("occlusion", patch_mm=8 * prepared.pixel_mm, stride_mm=8 * prepared.pixel_mm)
    maps, _ = compute_maps(image_model["classifier"].network_, prepared, settings)
    images = prepared.images.copy()
    frame = images[0, 1, 4:20, 4:20].sum() - images[0, 1, 8:16, 8:16].sum()
    images[0, 1, 8:16, 8:16] = frame / (16 * 16 - 8 * 8)
    before, after = (
        logit(opened.probabilities(opened.standardise(i), prepared.clinical)[0]) for i in (prepared.images, images)
    )
    np.testing.assert_allclose(maps[0, 1, 8:16, 8:16], before - after, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_maps_slices_of_new_patients(fusion, signal, method):
    X, _ = signal
    maps = slice_maps(fusion, X[-2:], method, reference=X[:5], n_steps=4, n_samples=3, check=False)
    assert maps.values.shape == (2, 3, 24, 24)
    assert np.isfinite(maps.values).all()
    assert maps.values.any()
    frame = maps.frame()
    np.testing.assert_allclose(frame.groupby("patient_id")["proportion"].sum(), 1, rtol=1e-5)
    assert (maps.clinical is not None) == (method in ("integrated_gradients", "smooth_grad"))


def test_maps_point_at_the_lesion_that_has_the_signal(image_model, held_out):
    X, _ = held_out
    opened = OpenedModel(image_model)
    region = lesion_regions(opened, X, opened.stacks(X))
    heads = np.array([head_region(images) for images in opened.images(opened.stacks(X))])
    maps = slice_maps(image_model, X, "occlusion", patch_mm=16.0, stride_mm=8.0, check=False)
    within = [np.where(head, values, 0) for head, values in zip(heads, maps.values, strict=True)]
    assert concentration(np.array(within), region) > 1.5


def test_maps_point_at_a_planted_mark(shortcut_model, shortcut_cohort):
    X, y = (part[N_TRAIN:] for part in shortcut_cohort)
    # The mark lies in the skull, at 55 degrees in site A and at 215 degrees in site B.
    is_marked = (y == 1) & (X["site"] == "A").to_numpy()
    maps = slice_maps(shortcut_model, X[is_marked], "integrated_gradients", reference=X[y == 0], check=False)
    size = maps.values.shape[-1]
    steps = (np.arange(size) - (size - 1) / 2) * IMAGES["fov_mm"] / size
    # Rows run from front to back, columns from right to left; the mark of site A is right (x > 0 in RAS) and in front.
    distance = np.hypot(steps[:, None] + 68, steps[None, :] + 37)
    near = np.broadcast_to(distance < 25, maps.values.shape)
    assert concentration(maps.values, near) > 2
    peak = np.abs(maps.values).mean(axis=(0, 1))
    assert distance[np.unravel_index(peak.argmax(), peak.shape)] < 25


def test_checks_of_a_trained_network(fusion, held_out):
    X, _ = held_out
    maps = slice_maps(fusion, X[:10], "hires_cam", check=True)
    checks = maps.checks
    stages = ["output", "dense layers", "sequence", "block 2", "block 1"]
    assert checks.randomisation["stage"].tolist() == stages
    assert set(checks.frame()["test"].str.split().str[0]) == {"similarity", "deletion", "insertion"}
    curves = checks.curves.pivot_table(index="fraction", columns=["curve", "order"], values="log_odds")
    # Nothing deleted is the patient, and all deleted is the same in every order; insertion is the other way round.
    assert curves.iloc[0]["deletion"].nunique() == 1
    np.testing.assert_allclose(curves.iloc[-1]["deletion"], curves.iloc[0]["insertion"].iloc[0], atol=1e-5)
    np.testing.assert_allclose(curves.iloc[-1]["insertion"], curves.iloc[0]["deletion"].iloc[0], atol=1e-5)
    assert checks.is_faithful


def test_a_map_that_shows_the_image_itself_fails(fusion, held_out, monkeypatch):
    """Edges of the image look convincing, and have nothing to do with the weights."""
    opened, prepared = prepared_of(fusion, held_out[0][:8])
    edges = np.abs(np.diff(prepared.stacks, axis=2, append=0)).astype(np.float32)
    monkeypatch.setattr(map_checks, "compute_maps", lambda *_: (edges, None))
    checks = check_maps(opened, prepared, MapSettings("edges"), np.array([edges, edges]))
    assert not checks.depends_on_weights
    assert map_checks.NO_DEPENDENCE in checks.failures
    assert checks.repeats  # as edges do, from training to training
    np.testing.assert_allclose(checks.randomisation["similarity"], 1.0)


def test_a_random_map_repeats_not_and_is_no_better_than_a_random_order(fusion, held_out, monkeypatch):
    opened, prepared = prepared_of(fusion, held_out[0][:12])
    rng = np.random.default_rng(0)
    monkeypatch.setattr(map_checks, "compute_maps", lambda *_: (rng.normal(size=prepared.stacks.shape), None))
    members = rng.normal(size=(2, *prepared.stacks.shape))
    checks = check_maps(opened, prepared, MapSettings("noise"), members)
    assert checks.depends_on_weights
    assert checks.repeats is False
    assert map_checks.NO_REPEATABILITY in checks.failures
    assert checks.deletion[1] <= 0 <= checks.deletion[2]
    assert checks.insertion[1] <= 0 <= checks.insertion[2]


def test_random_weights_replace_the_last_layers_only(fusion):
    network = fusion["classifier"].network_
    one = random_weights(network, 1, seed=0)
    changed = [weight.path for weight, new in zip(network.weights, one, strict=True) if not np.array_equal(weight, new)]
    assert {path.split("/")[0] for path in changed} == {"head"}
    everything = random_weights(network, 100, seed=0)
    kernels = [k for k, weight in enumerate(network.weights) if weight.path.endswith("kernel")]
    assert all(not np.array_equal(network.weights[k], everything[k]) for k in kernels)


def test_similarity_is_one_for_equal_maps_and_low_for_others():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 3, 24, 24))
    assert similarity(first, 2 * first) == pytest.approx(1)
    assert similarity(first, second) == pytest.approx(similarity(second, first))
    assert similarity(first, second) < 0.2
    assert similarity(np.zeros_like(first), np.zeros_like(first)) == pytest.approx(1)
    # Two dots in an empty field are not similar because most of the field is empty in both.
    dots = np.zeros((2, 1, 64, 64))
    dots[0, 0, 10, 10] = dots[1, 0, 50, 50] = 1.0
    assert similarity(*dots) < 0.1


def test_maps_are_written_in_the_space_of_the_patients_own_image(fusion, held_out, tmp_path):
    X = held_out[0][:2]
    maps = slice_maps(fusion, X, check=False)
    files = maps.write_nifti(tmp_path)
    for file, image, patient_id in zip(files, X["image"], X["patient_id"], strict=True):
        assert file.name == f"{patient_id}_hires_cam.nii.gz"
        written, source = nib.load(file), nib.load(image)
        assert written.shape == source.shape
        np.testing.assert_allclose(written.affine, source.affine)
        assert np.count_nonzero(np.asarray(written.dataobj).any(axis=(0, 1))) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lime"}, "method must be one of"),
        ({"block": 3}, "block=3; the network has the blocks 1 to 2"),
        ({"n_steps": 0, "noise": -1}, "n_steps must be a positive whole number; got 0; noise must be positive"),
        ({"method": "integrated_gradients"}, "give reference"),
    ],
)
def test_wrong_parameters_are_refused(fusion, held_out, options, message):
    with pytest.raises(InputError, match=message):
        slice_maps(fusion, held_out[0][:3], **options)


def test_models_without_images_or_network_and_too_few_patients_are_refused(fusion, forest, held_out):
    with pytest.raises(InputError, match="needs a model that reads images"):
        slice_maps(forest, held_out[0])
    with pytest.raises(InputError, match="need at least 3; there are 2"):
        slice_maps(fusion, held_out[0][:2])
