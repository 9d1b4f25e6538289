"""How small a change, chosen against the model, makes it change its mind."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from sklearn_pspd.cohort.problems import is_missing
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics.checks import check_classes

from .network_gradients import DifferentiableNetwork
from .network_parts import network_parts
from .opened import OpenedModel, check_outcomes
from .perturbations import column_of
from .shortcuts import compare_scores

INPUTS = ("image", "clinical", "both")
METHODS = ("pgd", "fgsm")
STRENGTHS = (1, 2, 5, 10, 20)
N_PASSES = 2
STEP = 2.5  # length of a step of PGD, as a multiple of the bound divided by the number of steps


@dataclass(frozen=True, eq=False)
class AdversarialAttack:
    """Predictions after the worst change that was found within each bound.

    Attributes
    ----------
    table : DataFrame
        One row per strength, 0 first: ``strength``; ``auc`` with its interval ``low`` to ``high``, its ``difference``
        from the original with interval and ``p_value``; ``changed``, the proportion of changed classes, with its
        interval; ``mean_change`` of the probability.
    smallest : Series of shape (n_patients,)
        The smallest of the strengths that changes the predicted class, by ``patient_id``; NaN if none does.
    scores : DataFrame of shape (n_patients, n_strengths)
        Probabilities by strength.
    transfer : DataFrame or None
        By members of the ensemble: mean change of the log odds, in the direction of the attack and at the largest
        strength, of the member in the column if the images were changed against the member in the row. None with one
        member, or without images.
    images : ndarray of shape (n_patients, n_slices, height, width) or None
        Changed images in grey values, at the largest strength.
    """

    table: pd.DataFrame
    smallest: pd.Series
    scores: pd.DataFrame
    transfer: pd.DataFrame | None
    images: np.ndarray | None

    def frame(self):
        """Return the results by strength.

        Returns
        -------
        DataFrame
            A copy of ``table``.
        """
        return self.table.copy()


def adversarial_attack(
    model,
    X,
    y,
    *,
    inputs="image",
    method="pgd",
    strengths=STRENGTHS,
    change_codes=False,
    target=None,
    n_steps=10,
    threshold=0.5,
    confidence_level=0.95,
    pos_label=1,
):
    """Search for small changes that mislead a network, in the units of the images and of the clinical columns.

    Parameters
    ----------
    model : Pipeline
        A fitted pipeline that ends in a :class:`~sklearn_pspd.neural_network.CNNLSTMClassifier`.
    X : DataFrame of shape (n_patients, n_columns)
        Patients that the model was not trained on.
    y : array-like of shape (n_patients,)
        Their outcomes.
    inputs : {"image", "clinical", "both"}, default="image"
        What is changed.
    method : {"pgd", "fgsm"}, default="pgd"
        Change of the images: projected gradient descent [1]_, or one step along the sign of the gradient [2]_.
    strengths : sequence of float, default=(1, 2, 5, 10, 20)
        Bounds, positive and increasing. An image may change by so many grey steps in each pixel; a number by so many
        units of its column (years, days, Gy, fractions).
    change_codes : bool, default=False
        Whether another valid code may be written as well, such as "methylated" for "unmethylated".
    target : int, str or bool, default=None
        Class towards which all patients are moved. None moves each patient away from the own outcome.
    n_steps : int, default=10
        Steps of "pgd".
    threshold : float, default=0.5
        Probability from which a patient is classified as positive.
    confidence_level : float, default=0.95
        Coverage of the intervals, in (0, 1).
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    AdversarialAttack
        AUC and changed classes by strength, and the smallest strength that changes each patient's class.

    Raises
    ------
    InputError
        If the classifier is no network, an option is unknown, strengths are not positive and increasing, or a class is
        absent.

    See Also
    --------
    robustness : Changes that occur in practice, not chosen against the model.

    Notes
    -----
    Images change on the grid of the network, in whole grey steps of the image and within its range; the gradient is
    that of the mean log odds of the members, through the standardisation. Clinical columns are changed one after the
    other, by whole units within the range of the column, wherever this helps most; no gradient is needed for so few
    values. A stronger attack may exist: the strengths are upper limits of what is needed.

    References
    ----------
    .. [1] Madry A et al. Towards deep learning models resistant to adversarial attacks. ICLR 2018, arXiv:1706.06083.
    .. [2] Goodfellow IJ, Shlens J, Szegedy C. Explaining and harnessing adversarial examples. ICLR 2015,
       arXiv:1412.6572.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import CNNLSTMClassifier, make_cohort, make_image_pipeline, split_xy
    >>> from sklearn_pspd.inspection import adversarial_attack
    >>> network = CNNLSTMClassifier(filters=(2, 4), epochs=1, random_state=0)
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(folder, 6, matrix_px=(128,), n_native_slices=10, random_state=0))
    ...     model = make_image_pipeline(network, n_slices=3, size_px=16).fit(X, y)
    ...     attack = adversarial_attack(model, X, y, method="fgsm", strengths=[5])
    >>> attack.frame()["strength"].tolist()
    [0.0, 5.0]
    """
    opened = OpenedModel(model)
    opened.require_network("an adversarial attack")
    y = check_outcomes(y, len(X))
    is_positive = check_classes(y, pos_label)
    strengths = _check_options(opened, inputs, method, strengths, n_steps)
    upwards = ~is_positive if target is None else np.full(len(y), target == pos_label)
    direction = np.where(upwards, 1.0, -1.0)
    attack = _Attack(opened, X, direction, change_codes)
    # Scores by strength; each begins with what the smaller strength found.
    scores, images = {0.0: expit(attack.original)}, None
    for strength in strengths:
        table = attack.change_clinical(strength) if inputs != "image" else X
        if inputs != "clinical":
            images = attack.change_images(strength, opened.encode(table), 1 if method == "fgsm" else n_steps)
        scores[strength] = expit(attack.log_odds(images, opened.encode(table)))
    rows = [
        {
            "strength": strength,
            **compare_scores(y, scores[0.0], score, threshold, confidence_level, pos_label, strength == 0),
        }
        for strength, score in scores.items()
    ]
    index = pd.Index(X["patient_id"].astype(str) if "patient_id" in X else range(len(X)), name="patient_id")
    scores = pd.DataFrame(scores).set_axis(index)
    transfer = None
    if images is not None and len(attack.networks) > 1:
        transfer = attack.transfer(strengths[-1], opened.encode(X), 1 if method == "fgsm" else n_steps)
    return AdversarialAttack(pd.DataFrame(rows), _smallest(scores, threshold), scores, transfer, images)


class _Attack:
    """The patients, and changes against their predictions."""

    def __init__(self, opened, X, direction, change_codes):
        self.opened, self.X, self.direction, self.change_codes = opened, X, direction, change_codes
        self.networks = [DifferentiableNetwork(network) for network in opened.classifier.networks_]
        self.images = opened.images(opened.stacks(X)) if opened.has_images else None
        # The clinical columns are changed behind the convolutions, which are computed once.
        self._parts = network_parts(opened.classifier)
        stacks = None if self.images is None else opened.standardise(self.images)
        self._vectors = [None if stacks is None else part.encode_images(stacks) for part in self._parts]
        self.original = self._with_clinical(opened.encode(X))

    def log_odds(self, images, clinical):
        """Return the mean log odds of the members; without images, for the original ones."""
        if images is None:
            return self._with_clinical(clinical)
        stacks = self.opened.standardise(images)
        return np.mean([network.log_odds(stacks, clinical) for network in self.networks], axis=0)

    def _with_clinical(self, clinical):
        """Return the mean log odds of the members for the original images."""
        pairs = zip(self._parts, self._vectors, strict=True)
        return np.mean([part.log_odds(vectors, clinical) for part, vectors in pairs], axis=0)

    def change_images(self, strength, clinical, n_steps, networks=None):
        """Return images that differ by at most so many grey steps, as far as possible in the direction."""
        lowest, highest = (limit(self.images, axis=(1, 2, 3), keepdims=True) for limit in (np.min, np.max))
        low, high = np.maximum(self.images - strength, lowest), np.minimum(self.images + strength, highest)
        step = strength if n_steps == 1 else STEP * strength / n_steps
        sign = self.direction[:, None, None, None]
        images = self.images.copy()
        for _ in range(n_steps):
            gradient = self._image_gradient(images, clinical, networks or self.networks)
            images = np.clip(images + np.float32(step) * np.sign(sign * gradient), low, high).astype(np.float32)
        # Whole grey steps, rounded towards the original so that the bound holds.
        change = images - self.images
        return self.images + np.trunc(change + np.sign(change) * np.float32(1e-3))

    def _image_gradient(self, images, clinical, networks):
        stacks = self.opened.standardise(images)
        gradient = np.mean([network.input_gradients(stacks, clinical)[1] for network in networks], axis=0)
        return standardisation_gradient(images, gradient, self.opened.images_of["standardize"])

    def change_clinical(self, strength):
        """Return a table whose clinical columns are changed one after the other, wherever this helps most."""
        table = self.X.copy()
        encoder = self.opened.encoder
        declared = [column_of(name, getattr(encoder, "clinical", ())) for name in self.opened.clinical_columns]
        best = self.direction * self.original
        for _ in range(N_PASSES):
            for column in declared:
                for candidate in _candidates(self.X[column.name], column, strength, self.change_codes):
                    tried = table.assign(**{column.name: candidate})
                    found = self.direction * self._with_clinical(self.opened.encode(tried))
                    better = found > best + 1e-9
                    table.loc[better, column.name] = candidate[better]
                    best = np.where(better, found, best)
        return table

    def transfer(self, strength, clinical, n_steps):
        """Return the mean change of each member's log odds by images that were changed against another member."""
        stacks = self.opened.standardise(self.images)
        before = [network.log_odds(stacks, clinical) for network in self.networks]
        changes = np.empty((len(self.networks), len(self.networks)))
        for row, attacked in enumerate(self.networks):
            stacks = self.opened.standardise(self.change_images(strength, clinical, n_steps, [attacked]))
            for column, network in enumerate(self.networks):
                change = self.direction * (network.log_odds(stacks, clinical) - before[column])
                changes[row, column] = change.mean()
        names = [f"member {number}" for number in range(1, len(changes) + 1)]
        return pd.DataFrame(changes, index=pd.Index(names, name="changed against"), columns=names)


def standardisation_gradient(images, gradient, standardizer):
    """Return the gradient with respect to grey values from that with respect to standardised values.

    Parameters
    ----------
    images : ndarray of shape (n_patients, n_slices, height, width)
        Grey values.
    gradient : ndarray of the same shape
        With respect to the standardised images.
    standardizer : SliceStandardizer
        The step that standardises.

    Returns
    -------
    ndarray of the same shape
        With respect to the grey values, at constant gradient.
    """
    axis = (2, 3) if standardizer.scope == "slice" else (1, 2, 3)
    images, gradient = images.astype(np.float64), gradient.astype(np.float64)
    n_pixels = np.prod([images.shape[k] for k in axis])
    centred = images - images.mean(axis=axis, keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=axis, keepdims=True))
    # Value = scale * centred / norm; the norm changes with the pixel, too, unless the lower limit of SD replaces it.
    scale = 1.0 if standardizer.norm == "unit_norm" else np.sqrt(n_pixels)
    direct = gradient - gradient.mean(axis=axis, keepdims=True)
    unit = centred / norm
    along = (gradient * unit).sum(axis=axis, keepdims=True)
    is_limited = (standardizer.norm == "unit_variance") & (norm < 1)
    return np.where(is_limited, direct * scale, scale * (direct - unit * along) / norm)


def _candidates(cells, column, strength, change_codes):
    """Return columns with other valid values, at the ends of the bound; where there is none, the original."""
    if column.is_coded:
        texts = column.allowed if change_codes else ()
        return [pd.Series(text, index=cells.index, dtype=object) for text in texts]
    step = np.floor(strength) if column.whole or pd.api.types.is_integer_dtype(cells) else strength
    low, high = column.range or (-np.inf, np.inf)
    return [
        pd.Series(
            [
                cell if is_missing(cell) else type(cell)(np.clip(cell + sign * step, low, high))
                for cell in cells.tolist()
            ],
            index=cells.index,
            dtype=cells.dtype,
        )
        for sign in (-1, 1)
    ]


def _smallest(scores, threshold):
    changed = (scores.to_numpy() >= threshold) != (scores[[0.0]].to_numpy() >= threshold)
    first = np.where(changed.any(axis=1), changed.argmax(axis=1), -1)
    strengths = np.append(scores.columns.to_numpy(dtype=float), np.nan)
    return pd.Series(strengths[first], index=scores.index, name="smallest_strength")


def _check_options(opened, inputs, method, strengths, n_steps):
    problems = []
    if inputs not in INPUTS:
        problems.append(f"inputs must be one of {', '.join(map(repr, INPUTS))}; got {inputs!r}")
    if method not in METHODS:
        problems.append(f"method must be one of {', '.join(map(repr, METHODS))}; got {method!r}")
    values = np.asarray(strengths, dtype=float)
    if values.ndim != 1 or not len(values) or values[0] <= 0 or np.any(np.diff(values) <= 0):
        problems.append(f"strengths must be positive and increasing; got {strengths!r}")
    if n_steps != int(n_steps) or n_steps < 1:
        problems.append(f"n_steps must be a positive whole number; got {n_steps!r}")
    if inputs in ("image", "both") and not opened.has_images:
        problems.append(f"inputs={inputs!r}, but the model reads no images")
    if inputs in ("clinical", "both") and not opened.clinical_columns:
        problems.append(f"inputs={inputs!r}, but the model reads no clinical columns")
    if problems:
        raise InputError("; ".join(problems))
    if inputs in ("image", "both"):
        opened.require_images("a change of the image")
    return [float(value) for value in values]
