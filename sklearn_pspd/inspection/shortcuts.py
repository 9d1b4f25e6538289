"""Whether a model needs the lesion: its AUC with the lesion removed, with the lesion only, without skull or brain."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import delong_test, proportion, roc_auc
from sklearn_pspd.statistics.checks import check_scores

from .opened import OpenedModel, check_outcomes, to_log_odds
from .regions import brain_region, fill_from_surroundings, head_region, lesion_regions

ORIGINAL = "original"
LESION_TESTS = ("lesion removed", "lesion only", "another patient's head")
HEAD_TESTS = ("brain only", "skull only", "mirrored")
TESTS = (*LESION_TESTS, *HEAD_TESTS)


@dataclass(frozen=True, eq=False)
class ShortcutTests:
    """Predictions on altered images, compared with those on the original ones.

    Attributes
    ----------
    table : DataFrame
        One row per test, the original first: ``test``; ``auc`` with its interval ``low`` to ``high``; ``difference``
        from the original AUC with its interval ``difference_low`` to ``difference_high`` and ``p_value`` (DeLong,
        paired); ``changed``, the proportion of patients whose predicted class changes, with ``changed_low`` and
        ``changed_high``; ``mean_change``, the mean absolute change of the probability.
    scores : DataFrame of shape (n_patients, n_tests)
        Probabilities by test, indexed by ``patient_id``.
    examples : dict of str to ndarray of shape (height, width)
        The middle slice of one patient, by test, standardised.
    """

    table: pd.DataFrame
    scores: pd.DataFrame
    examples: dict

    def frame(self):
        """Return the results.

        Returns
        -------
        DataFrame
            A copy of ``table``.
        """
        return self.table.copy()


def shortcut_tests(
    model,
    X,
    y,
    *,
    tests=TESTS,
    centres=None,
    radius_mm=25.0,
    margin_mm=5.0,
    shell_mm=15.0,
    threshold=0.5,
    confidence_level=0.95,
    random_state=0,
    pos_label=1,
):
    """Test whether a fitted model classifies by the lesion or by something else.

    Parameters
    ----------
    model : Pipeline
        A fitted pipeline with images, whatever its classifier.
    X : DataFrame of shape (n_patients, n_columns)
        Patients that the model was not trained on.
    y : array-like of shape (n_patients,)
        Their outcomes.
    tests : sequence of str, default=("lesion removed", "lesion only", "another patient's head", "brain only", \
            "skull only", "mirrored")
        - "lesion removed": the lesion is filled from its surroundings. A model that needs the lesion loses its AUC.
        - "lesion only": all but the lesion is filled from the lesion's border. Such a model keeps its AUC.
        - "another patient's head": the lesion lies in the head of another patient whose lesion is filled.
        - "brain only": scalp and skull are replaced by background. A model whose AUC falls looks at them.
        - "skull only": the brain is filled from the skull. An AUC that stays is a shortcut.
        - "mirrored": left and right are exchanged, which should change little.
    centres : DataFrame, default=None
        One row per patient, indexed by ``patient_id``: ``x_mm``, ``y_mm`` and ``z_mm`` of the lesion's centre, in
        scanner coordinates (RAS) as viewers show them. None: every patient needs a ``lesion_mask``.
    radius_mm : float, default=25.0
        Radius of the sphere around a centre in mm.
    margin_mm : float, default=5.0
        Added around a mask in mm.
    shell_mm : float, default=15.0
        Thickness of scalp, skull and fluid in mm; what lies deeper in the head is taken for brain.
    threshold : float, default=0.5
        Probability from which a patient is classified as positive.
    confidence_level : float, default=0.95
        Coverage of the intervals, in (0, 1).
    random_state : int, default=0
        Seed of the pairs of patients that exchange heads.
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    ShortcutTests
        AUC of each test, with paired differences from the original.

    Raises
    ------
    InputError
        If a test is unknown, the model reads no images, a class is absent, or a lesion is not known in the plane of the
        slices: a slice or height alone (``lesion_slice``, ``lesion_z_mm``) is not enough.

    See Also
    --------
    confounder_aucs : What else the network's image features say.
    slice_maps : Where a network looks.

    Notes
    -----
    Clinical columns are not altered. Images are altered on the grid of the network, in grey values, and then
    standardised as the pipeline does. The head is the region brighter than Otsu's threshold with its holes filled; no
    brain is segmented. For "lesion only" each slice keeps what any slice of the lesion covers, so that no slice is
    empty.

    Altered images are unlike those of the training. An AUC that falls may in part be due to that; an AUC that stays
    although the lesion is gone cannot be.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import make_cohort, split_xy
    >>> from sklearn_pspd.baselines import baseline_models
    >>> from sklearn_pspd.inspection import shortcut_tests
    >>> options = {"matrix_px": (128,), "n_native_slices": 10, "lesion_position": "mask", "random_state": 0}
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(folder, 20, **options))
    ...     model = baseline_models(["MRI principal components"], n_slices=3, size_px=24)["MRI principal components"]
    ...     found = shortcut_tests(model.fit(X, y), X, y, tests=["lesion removed", "mirrored"])
    >>> found.frame()["test"].tolist()
    ['original', 'lesion removed', 'mirrored']
    """
    if unknown := [name for name in tests if name not in TESTS]:
        raise InputError(f"no test is named {', '.join(map(repr, unknown))}; the names are {', '.join(TESTS)}")
    opened = OpenedModel(model)
    opened.require_images("a shortcut test")
    y = check_outcomes(y, len(X))
    # Grey values on the grid of the network, and the lesions.
    stacks = opened.stacks(X)
    images, clinical = opened.images(stacks), opened.encode(X)
    lesions = None
    if any(name in LESION_TESTS for name in tests):
        options = {"centres": centres, "radius_mm": radius_mm, "margin_mm": margin_mm}
        lesions = lesion_regions(opened, X, stacks, **options)
    alter = _Alterations(images, lesions, opened.pixel_mm, shell_mm, np.random.default_rng(random_state))
    # Scores, and the comparison with the original ones.
    scores, examples = {}, {}
    for name in (ORIGINAL, *tests):
        standardised = opened.standardise(alter.images(name))
        scores[name] = opened.probabilities(standardised, clinical)
        examples[name] = standardised[0, standardised.shape[1] // 2]
    table = pd.DataFrame(
        {
            "test": name,
            **compare_scores(y, scores[ORIGINAL], score, threshold, confidence_level, pos_label, name == ORIGINAL),
        }
        for name, score in scores.items()
    )
    index = pd.Index([str(stack.patient_id) for stack in stacks], name="patient_id")
    return ShortcutTests(table, pd.DataFrame(scores, index=index), examples)


def compare_scores(y, original, score, threshold, confidence_level, pos_label, is_original=False):
    """Compare the probabilities of altered patients with the original ones.

    Parameters
    ----------
    y : ndarray of shape (n_patients,)
        Outcomes.
    original, score : ndarray of shape (n_patients,)
        Probabilities of the positive class.
    threshold : float
        Probability from which a patient is classified as positive.
    confidence_level : float
        Coverage of the intervals.
    pos_label : int, str or bool
        The positive class.
    is_original : bool, default=False
        Whether both are the original scores, which have no difference to test.

    Returns
    -------
    dict of str to float
        Columns of a table: AUC, difference, proportion of changed classes, mean change.
    """
    _, score = check_scores(y, score, pos_label)
    auc = roc_auc(y, score, confidence_level=confidence_level, pos_label=pos_label)
    row = {"auc": auc.value, "low": auc.low, "high": auc.high}
    if is_original:
        test = (0.0, 0.0, 0.0, np.nan)
    else:
        found = delong_test(y, score, original, confidence_level=confidence_level, pos_label=pos_label)
        test = (found.difference, found.low, found.high, found.p_value)
    row |= dict(zip(("difference", "difference_low", "difference_high", "p_value"), test, strict=True))
    n_changed = int(((score >= threshold) != (original >= threshold)).sum())
    changed = proportion(n_changed, len(score), confidence_level=confidence_level)
    row |= {"changed": changed.value, "changed_low": changed.low, "changed_high": changed.high}
    return row | {"mean_change": float(np.abs(score - original).mean())}


class _Alterations:
    """The images of all patients, altered for each test."""

    def __init__(self, images, lesions, pixel_mm, shell_mm, rng):
        self._original, self._lesions = images, lesions
        self._pixel_mm, self._shell_mm, self._rng = pixel_mm, shell_mm, rng

    def images(self, name):
        """Return the altered images of a test, of shape (n_patients, n_slices, height, width)."""
        return {
            ORIGINAL: lambda: self._original,
            "lesion removed": self._without_lesion,
            "lesion only": self._lesion_only,
            "another patient's head": self._other_head,
            "brain only": lambda: np.array([self._brain_only(stack) for stack in self._original]),
            "skull only": lambda: np.array([self._skull_only(stack) for stack in self._original]),
            "mirrored": lambda: np.ascontiguousarray(self._original[..., ::-1]),
        }[name]()

    def _without_lesion(self):
        pairs = zip(self._original, self._lesions, strict=True)
        return np.array([fill_from_surroundings(stack, lesion) for stack, lesion in pairs])

    def _lesion_only(self):
        kept = np.broadcast_to(self._lesions.any(axis=1, keepdims=True), self._lesions.shape)
        pairs = zip(self._original, kept, strict=True)
        return np.array([fill_from_surroundings(stack, ~lesion) for stack, lesion in pairs])

    def _other_head(self):
        heads = self._without_lesion()
        # A random ring: each patient's head goes to another one.
        order = self._rng.permutation(len(heads))
        other = np.empty(len(heads), dtype=np.intp)
        other[order] = np.roll(order, 1)
        altered = []
        for stack, lesion, head in zip(self._original, self._lesions, heads[other], strict=True):
            scaled = (head - head.mean()) * (stack.std() / head.std()) + stack.mean()
            altered.append(np.where(lesion, stack, scaled).astype(np.float32))
        return np.array(altered)

    def _brain_only(self, stack):
        brain = self._brain(stack)
        background = stack.min(axis=(1, 2), keepdims=True)
        return np.where(brain, stack, background)

    def _skull_only(self, stack):
        brain, head = self._brain(stack), head_region(stack)
        # Only the skull continues into the brain, not the dark background.
        inner = fill_from_surroundings(np.where(head, stack, 0), brain | ~head)
        return np.where(brain, inner, stack)

    def _brain(self, stack):
        brain = brain_region(stack, self._pixel_mm, shell_mm=self._shell_mm)
        if not brain.any(axis=(1, 2)).all():
            raise InputError(
                f"a slice has no pixel deeper in the head than shell_mm={self._shell_mm:g}; reduce shell_mm, or leave "
                "out 'brain only' and 'skull only'"
            )
        return brain


def log_odds_of(opened, standardised, clinical):
    """Return the log odds that a model predicts for prepared patients.

    Parameters
    ----------
    opened : OpenedModel
        The model.
    standardised : ndarray of shape (n_patients, n_slices, height, width)
        Images.
    clinical : ndarray of shape (n_patients, n_encoded)
        Encoded clinical columns.

    Returns
    -------
    ndarray of shape (n_patients,)
        Log odds.
    """
    return to_log_odds(opened.probabilities(standardised, clinical), is_network=opened.is_network)
