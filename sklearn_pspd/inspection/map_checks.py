"""Tests of maps: dependence on the trained weights, repeatability over trainings, deletion and insertion."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import ndimage

from sklearn_pspd.statistics.intervals import t_quantile

from .map_methods import compute_maps
from .network_gradients import DifferentiableNetwork
from .regions import head_region

N_RANDOM_WEIGHTS = 5
N_RANDOM_ORDERS = 5
COARSE_STEPS = 12
N_PAIRS = 50
PATCH_MM = 12.0
FRACTIONS = np.linspace(0, 1, 11)
WINDOW_PX = 7
SCALE_PERCENTILE = 99.0
EMPTY = 0.02
LEVEL = 0.95
NO_DEPENDENCE = "does not depend on the trained weights"
NO_FAITHFULNESS = "is not shown to point at what moves the prediction"
NO_REPEATABILITY = "is not shown to repeat from training to training"


@dataclass(frozen=True, eq=False)
class MapChecks:
    """Tests of a method of maps on one network, with 95 % intervals over patients.

    Attributes
    ----------
    randomisation : DataFrame
        One row per stage of cascading randomisation [1]_, from the output of the network to its input: the ``stage``
        that was given random weights last, and the ``similarity`` of the maps before and after with its interval
        ``low`` to ``high``. The last stage, in which no weight is a trained one, is drawn five times.
    pairs : float
        Mean similarity of maps of different patients by the trained network, the baseline of all similarities [2]_.
    excess : tuple of float
        Similarity to the maps of networks with random weights minus that of pairs: mean and interval.
    repeatability : tuple of float or None
        Similarity of one patient's maps by two members of the ensemble minus that of pairs: mean and interval; None
        with one member.
    curves : DataFrame
        Log odds of the predicted class when patches of 12 mm within the head are deleted, or inserted, in the order of
        the map and in random order: ``curve``, ``order``, ``fraction`` of the patches, ``log_odds``.
    deletion, insertion : tuple of float
        Area between the two curves, by which the order of the map is better than a random one: mean and interval.
    n_patients : int
        Number of patients.

    Notes
    -----
    Similarity is the structural similarity of the absolute maps where either is not empty, each scaled to its 99th
    percentile. A map fails if it resembles the maps of untrained networks more than the maps of other patients, with
    the whole interval. It is not shown to repeat, or to point at what moves the prediction, unless the whole interval
    says so; with few patients that may be for want of patients.

    References
    ----------
    .. [1] Adebayo J et al. Sanity checks for saliency maps. NeurIPS 2018, arXiv:1810.03292.
    .. [2] Arun N et al. Radiology: Artificial Intelligence 3, e200267 (2021), doi:10.1148/ryai.2021200267.
    """

    randomisation: pd.DataFrame
    pairs: float
    excess: tuple
    repeatability: tuple | None
    curves: pd.DataFrame
    deletion: tuple
    insertion: tuple
    n_patients: int

    @property
    def depends_on_weights(self):
        """Whether the map is no more similar to those of random weights than maps of two patients are."""
        return not self.excess[1] > 0

    @property
    def repeats(self):
        """Whether members of the ensemble give similar maps; None if there is one member."""
        return None if self.repeatability is None else bool(self.repeatability[1] > 0)

    @property
    def is_faithful(self):
        """Whether deletion or insertion in the order of the map is better than in random order."""
        return bool(self.deletion[1] > 0 or self.insertion[1] > 0)

    @property
    def failures(self):
        """The failed tests, as words for a figure; empty if none failed."""
        failed = [
            (not self.depends_on_weights, NO_DEPENDENCE),
            (self.repeats is False, NO_REPEATABILITY),
            (not self.is_faithful, NO_FAITHFULNESS),
        ]
        return tuple(words for has_failed, words in failed if has_failed)

    def frame(self):
        """Tabulate the tests.

        Returns
        -------
        DataFrame
            One row per test: ``test``, ``value`` with its interval ``low`` to ``high``, and ``passed``.
        """
        rows = [("similarity to random weights, minus pairs of patients", self.excess, self.depends_on_weights)]
        if self.repeatability is not None:
            rows.append(("similarity between members, minus pairs of patients", self.repeatability, self.repeats))
        rows += [
            ("deletion in the order of the map, better than random by", self.deletion, self.deletion[1] > 0),
            ("insertion in the order of the map, better than random by", self.insertion, self.insertion[1] > 0),
        ]
        return pd.DataFrame(
            [
                {"test": test, "value": value, "low": low, "high": high, "passed": bool(passed)}
                for test, (value, low, high), passed in rows
            ]
        )


def check_maps(opened, prepared, settings, member_values):
    """Test maps of a network.

    Parameters
    ----------
    opened : OpenedModel
        The model.
    prepared : Prepared
        The patients, at least three.
    settings : MapSettings
        The method.
    member_values : ndarray of shape (n_members, n_patients, n_slices, height, width)
        Their maps by each member.

    Returns
    -------
    MapChecks
        The tests.
    """
    rng = np.random.default_rng(settings.seed)
    trained = member_values[0]
    # Baseline: maps of different patients by the trained network.
    of_pairs = _similarity_of_pairs(trained, rng)
    stages, final = _randomise(opened.classifier, prepared, settings, trained)
    repeatability = None
    if len(member_values) > 1:
        between = [
            [similarity(first, second) for first, second in zip(member_values[a], member_values[b], strict=True)]
            for a, b in combinations(range(len(member_values)), 2)
        ]
        repeatability = _mean_and_interval(np.mean(between, axis=0) - of_pairs)
    curves, deletion, insertion = _deletion_and_insertion(opened.classifier, prepared, member_values.mean(axis=0), rng)
    return MapChecks(
        randomisation=stages,
        pairs=float(of_pairs.mean()),
        excess=_mean_and_interval(final - of_pairs),
        repeatability=repeatability,
        curves=curves,
        deletion=_mean_and_interval(deletion),
        insertion=_mean_and_interval(insertion),
        n_patients=len(trained),
    )


def similarity(first, second):
    """Return the mean structural similarity of two maps.

    Parameters
    ----------
    first, second : ndarray of shape (n_slices, height, width)
        Maps; their absolute values are scaled to the 99th percentile.

    Returns
    -------
    float
        1 for equal maps; near 0 for unrelated ones. Places where both are empty do not count.

    References
    ----------
    .. [1] Wang Z et al. Image quality assessment: from error visibility to structural similarity. IEEE Transactions on
       Image Processing 13, 600-612 (2004).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.inspection.map_checks import similarity
    >>> values = np.random.default_rng(0).normal(size=(2, 16, 16))
    >>> round(similarity(values, -3 * values), 6), bool(similarity(values, values[:, ::-1]) < 0.3)
    (1.0, True)
    """
    a, b = (_scaled(np.abs(np.asarray(values, dtype=np.float64))) for values in (first, second))
    size = (1, WINDOW_PX, WINDOW_PX)

    def smooth(values):
        return ndimage.uniform_filter(values, size)

    mean_a, mean_b = smooth(a), smooth(b)
    variance_a, variance_b = smooth(a * a) - mean_a**2, smooth(b * b) - mean_b**2
    covariance = smooth(a * b) - mean_a * mean_b
    # The constants of the paper, for values from 0 to 1.
    c1, c2 = 0.01**2, 0.03**2
    index = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    index /= (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    # Where both maps are empty, as outside the head, they agree about nothing.
    matters = mean_a + mean_b > EMPTY
    return float(index[matters].mean()) if matters.any() else 1.0


def random_weights(network, n_stages, seed):
    """Return the weights of a network whose last layers are given new initial weights.

    Parameters
    ----------
    network : keras.Model
        The trained network.
    n_stages : int
        Number of stages, counted from the output, that lose what they learned: the output, the dense layers, the
        sequence layer, and the convolution blocks from the last to the first.
    seed : int
        Seed of the weights.

    Returns
    -------
    list of ndarray
        In the order of ``network.weights``.
    """
    from sklearn_pspd.neural_network.architecture import initial_weights

    fresh = initial_weights(network, seed)
    lost = {name for _, names in _stages(network)[:n_stages] for name in names}
    owners = {id(weight): layer.name for layer in network.layers for weight in layer.weights}
    pairs = zip(network.weights, fresh, strict=True)
    return [new if owners[id(weight)] in lost else np.asarray(weight) for weight, new in pairs]


def _stages(network):
    """Return (name of the stage, names of its layers with weights) from the output to the input."""
    stages = {}
    for layer in reversed(network.layers):
        if layer.weights:
            stages.setdefault(_stage_of(layer.name), []).append(layer.name)
    blocks = sorted((name for name in stages if name.startswith("block")), reverse=True)
    order = ["output", "dense layers", "sequence", *blocks]
    return [(name, stages[name]) for name in order if name in stages]


def _stage_of(name):
    if name.startswith(("conv_", "batch_norm_")):
        return f"block {name.rsplit('_', 1)[1]}"
    return {"head": "output", "lstm": "sequence", "attention": "sequence"}.get(name, "dense layers")


def _randomise(classifier, prepared, settings, trained):
    """Return the table of the cascade, and the similarity per patient to maps of wholly random networks."""
    from sklearn_pspd.neural_network.architecture import build_cnn_lstm

    network = classifier.networks_[0]
    scratch = build_cnn_lstm(classifier._fitted_spec)
    # Random networks need no fine integrals, and only the last stage decides.
    coarse = settings._replace(
        n_steps=min(settings.n_steps, COARSE_STEPS), n_samples=min(settings.n_samples, COARSE_STEPS)
    )
    stages = _stages(network)
    rows, of_patients = [], None
    for n_stages, (name, _) in enumerate(stages, start=1):
        found = []
        for seed in range(N_RANDOM_WEIGHTS if n_stages == len(stages) else 1):
            scratch.set_weights(random_weights(network, n_stages, settings.seed + seed))
            maps, _ = compute_maps(scratch, prepared, coarse)
            found.append([similarity(before, after) for before, after in zip(trained, maps, strict=True)])
        of_patients = np.mean(found, axis=0)
        value, low, high = _mean_and_interval(of_patients)
        rows.append({"stage": name, "similarity": value, "low": low, "high": high})
    return pd.DataFrame(rows), of_patients


def _similarity_of_pairs(maps, rng):
    """Return for each patient the mean similarity of the map to those of other patients, up to 50 pairs in all."""
    n_patients = len(maps)
    pairs = list(combinations(range(n_patients), 2))
    if len(pairs) > N_PAIRS:
        # Each patient in as many pairs as the others: neighbours on random circles.
        pairs = []
        while len(pairs) < N_PAIRS:
            order = rng.permutation(n_patients)
            pairs += list(zip(order, np.roll(order, 1), strict=True))
    found = [[] for _ in range(n_patients)]
    for a, b in pairs:
        value = similarity(maps[a], maps[b])
        found[a].append(value)
        found[b].append(value)
    return np.array([np.mean(values) for values in found])


def _deletion_and_insertion(classifier, prepared, maps, rng):
    """Return the mean curves, and per patient the areas by which the order of the map is better than a random one."""
    networks = [DifferentiableNetwork(network) for network in classifier.networks_]
    size = max(1, round(PATCH_MM / prepared.pixel_mm))
    sums, areas = {}, {"deletion": [], "insertion": []}
    for row, stack in enumerate(prepared.stacks):
        patches = _patches(prepared.images[row], size)
        clinical = prepared.clinical[row : row + 1]
        direction = 1.0 if np.mean([n.log_odds(stack[np.newaxis], clinical)[0] for n in networks]) > 0 else -1.0
        evidence = np.array([direction * maps[row][patch].sum() for patch in patches])
        orders = [
            np.argsort(-evidence, kind="stable"),
            *(rng.permutation(len(patches)) for _ in range(N_RANDOM_ORDERS)),
        ]
        for curve in areas:
            # A patch that is deleted has the mean grey value of its slice, which is 0.
            variants = np.concatenate([_variants(stack, patches, order, curve) for order in orders])
            repeated = np.repeat(clinical, len(variants), axis=0)
            values = direction * np.mean([network.log_odds(variants, repeated) for network in networks], axis=0)
            values = values.reshape(len(orders), len(FRACTIONS))
            by_map, by_chance = values[0], values[1:].mean(axis=0)
            sums.setdefault((curve, "map"), []).append(by_map)
            sums.setdefault((curve, "random"), []).append(by_chance)
            gain = by_chance - by_map if curve == "deletion" else by_map - by_chance
            areas[curve].append(np.trapezoid(gain, FRACTIONS))
    curves = pd.concat(
        [
            pd.DataFrame({"curve": curve, "order": order, "fraction": FRACTIONS, "log_odds": np.mean(values, axis=0)})
            for (curve, order), values in sums.items()
        ],
        ignore_index=True,
    )
    return curves, np.array(areas["deletion"]), np.array(areas["insertion"])


def _patches(images, size):
    """Return the squares that lie in the head, each as an index of the stack."""
    head = head_region(images)
    _, height, width = images.shape
    return [
        (number, slice(y, y + size), slice(x, x + size))
        for number, slice_ in enumerate(head)
        for y in range(0, height, size)
        for x in range(0, width, size)
        if slice_[y : y + size, x : x + size].mean() > 0.5
    ]


def _variants(stack, patches, order, curve):
    """Return the stack with the first patches of an order deleted, or inserted into an empty head, at each fraction."""
    variants = []
    for fraction in FRACTIONS:
        n_changed = round(fraction * len(patches))
        removed = order[:n_changed] if curve == "deletion" else order[n_changed:]
        variant = stack.copy()
        for patch in removed:
            variant[patches[patch]] = 0.0
        variants.append(variant)
    return np.array(variants)


def _mean_and_interval(values):
    """Return the mean over patients and its interval by Student's t."""
    values = np.asarray(values, dtype=np.float64)
    half = t_quantile(LEVEL, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def _scaled(values):
    """Return a map between 0 and 1; few extreme pixels would otherwise make any two maps look alike, and empty."""
    largest = np.percentile(values, SCALE_PERCENTILE) or values.max()
    return np.clip(values / largest, 0, 1) if largest > 0 else values
