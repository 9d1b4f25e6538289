"""How much predictions change by what happens to images and clinical values in practice."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics.checks import check_classes

from .opened import OpenedModel, check_outcomes
from .perturbations import IMAGE_PERTURBATIONS, Subject, clinical_perturbations, column_of
from .shortcuts import compare_scores

CLINICAL = "clinical columns"
NAMES = (*IMAGE_PERTURBATIONS, CLINICAL)
KINDS = ("image", "clinical")
COLUMNS = (
    "kind", "perturbation", "unit", "strength", "n_patients", "auc", "low", "high", "difference", "difference_low",
    "difference_high", "p_value", "changed", "changed_low", "changed_high", "mean_change",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Robustness:
    """Predictions on altered patients, compared with those on the same patients unaltered.

    Attributes
    ----------
    table : DataFrame
        One row per perturbation and strength, the unaltered patients first: ``kind`` ("image", "clinical" or "none"),
        ``perturbation``, ``unit``, ``strength``; ``n_patients`` for whom it was possible; ``auc`` with its interval
        ``low`` to ``high``; ``difference`` from the AUC of the same patients unaltered, with ``difference_low``,
        ``difference_high`` and ``p_value`` (DeLong, paired); ``changed``, the proportion of changed classes, with
        ``changed_low`` and ``changed_high``; ``mean_change``, the mean absolute change of the probability.
    """

    table: pd.DataFrame

    def frame(self):
        """Return the results.

        Returns
        -------
        DataFrame
            A copy of ``table``.
        """
        return self.table.copy()

    def largest(self):
        """Return the strength of each perturbation that changes most classes.

        Returns
        -------
        DataFrame
            One row per perturbation and unit, as in ``table``, the one that changes most first.
        """
        altered = self.table[self.table["kind"] != "none"].sort_values(["changed", "mean_change"], ascending=False)
        return altered.drop_duplicates(["perturbation", "unit"]).reset_index(drop=True)


def robustness(model, X, y, perturbations=None, *, threshold=0.5, confidence_level=0.95, random_state=0, pos_label=1):
    """Measure how predictions change by errors and variations that occur in practice.

    Parameters
    ----------
    model : Pipeline
        A fitted pipeline of a cohort table, whatever its classifier.
    X : DataFrame of shape (n_patients, n_columns)
        Patients that the model was not trained on.
    y : array-like of shape (n_patients,)
        Their outcomes.
    perturbations : sequence of str, or dict of str to sequence of float, default=None
        Names, or names with the strengths to try. None tries all that the model can notice:

        - "slice offset": the middle slice was picked so many slices too high (positive) or too low.
        - "rotation" in degrees and "shift" in mm, in the plane, in a random direction.
        - "field of view": the pixel size is wrong by so many percent.
        - "noise": Rician, as a multiple of the standard deviation of the slice.
        - "bias field" and "gamma": relative changes of brightness and contrast.
        - "motion ghost": a copy of this relative brightness, half the field of view away.
        - "slice thickness": slices that are means over so many mm.
        - "missing slices": so many slices are replaced by their neighbours.
        - "clinical columns": numbers off by one unit, the interval also by a week; another code; "unknown". It takes no
          strengths.
    threshold : float, default=0.5
        Probability from which a patient is classified as positive.
    confidence_level : float, default=0.95
        Coverage of the intervals, in (0, 1).
    random_state : int, default=0
        Seed of noise and directions.
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    Robustness
        AUC and changed classes by perturbation and strength.

    Raises
    ------
    InputError
        If a perturbation is unknown or not of this model, a strength is missing, or a class is absent.

    Notes
    -----
    Images are altered after they were read, and standardised again as the pipeline does; rotation, shift, field of
    view, bias field and gamma are those of :class:`~sklearn_pspd.preprocessing.StackAugmenter`. A network that was
    trained with them has seen them.

    Patients for whom a change is impossible, such as three slices further up where the image ends, a code where it is
    unknown, or a number that would leave its range, are left out of that row, also in the AUC that it is compared with.
    ``n_patients`` says how many remain.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import make_clinical_pipeline, make_cohort, split_xy
    >>> from sklearn_pspd.inspection import robustness
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(folder, 20, matrix_px=(32,), n_native_slices=10, random_state=0))
    >>> model = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=20).fit(X, y)
    >>> table = robustness(model, X, y).frame()
    >>> table["perturbation"].unique().tolist()[:3]
    ['none', 'age_years', 'sex']
    """
    opened = OpenedModel(model)
    y = check_outcomes(y, len(X))
    check_classes(y, pos_label)
    wanted = _wanted(opened, perturbations)
    # The patients as they are.
    stacks, images, standardised = None, None, None
    if opened.has_images:
        opened.require_images("a perturbation")
        stacks = opened.stacks(X)
        images = opened.images(stacks)
        standardised = opened.standardise(images)
    clinical = opened.encode(X)
    original = opened.probabilities(standardised, clinical)

    def row(kind, name, unit, strength, possible, score):
        facts = {"kind": kind, "perturbation": name, "unit": unit, "strength": strength, "n_patients": possible.sum()}
        return facts | _compare(y, original, score, possible, threshold, confidence_level, pos_label, name == "none")

    everybody = np.ones(len(X), dtype=bool)
    rows = [row("none", "none", "", 0.0, everybody, original)]
    # Images, one perturbation and strength at a time.
    for name, strengths in wanted.items():
        for number, strength in enumerate(strengths):
            perturbation = IMAGE_PERTURBATIONS[name]
            rng = np.random.default_rng([random_state, list(IMAGE_PERTURBATIONS).index(name), number])
            subjects = (Subject(stack, image, opened) for stack, image in zip(stacks, images, strict=True))
            altered = [perturbation.alter(subject, strength, rng) for subject in subjects]
            possible = np.array([stack is not None for stack in altered])
            filled = [kept if new is None else new for new, kept in zip(altered, standardised, strict=True)]
            score = opened.probabilities(np.array(filled), clinical)
            rows.append(row("image", name, perturbation.unit, strength, possible, score))
    # Clinical columns, one error at a time.
    for name, unit, strength, alter in _clinical_errors(opened, perturbations):
        cells = alter(X[name])
        possible = cells.notna().to_numpy()
        altered = cells.where(possible, X[name])
        changed = X.assign(
            **{name: altered.astype(X[name].dtype) if unit not in ("another code", "unknown") else altered}
        )
        score = opened.probabilities(standardised, opened.encode(changed))
        rows.append(row("clinical", name, unit, strength, possible, score))
    return Robustness(pd.DataFrame(rows, columns=list(COLUMNS)))


def _wanted(opened, perturbations):
    """Return the strengths of each perturbation of images."""
    given = NAMES if perturbations is None else perturbations
    if unknown := [name for name in given if name not in NAMES]:
        listed = ", ".join(map(repr, NAMES))
        raise InputError(f"no perturbation is named {', '.join(map(repr, unknown))}; the names are {listed}")
    of_images = [name for name in given if name != CLINICAL]
    if perturbations is None and not opened.has_images:
        return {}
    if of_images:
        opened.require_images(f"the perturbation {of_images[0]!r}")
    strengths = given if isinstance(given, dict) else {}
    wanted = {name: tuple(strengths.get(name, IMAGE_PERTURBATIONS[name].strengths)) for name in of_images}
    if empty := [name for name, values in wanted.items() if not values]:
        raise InputError(f"perturbations has no strength for {', '.join(map(repr, empty))}")
    return wanted


def _clinical_errors(opened, perturbations):
    if perturbations is not None and CLINICAL not in perturbations:
        return []
    encoder = opened.encoder[0] if hasattr(opened.encoder, "steps") else opened.encoder
    declared = getattr(encoder, "clinical", ())
    return clinical_perturbations([column_of(name, declared) for name in opened.clinical_columns])


def _compare(y, original, score, possible, threshold, confidence_level, pos_label, is_original):
    """Return the columns of the comparison; none if one outcome is absent among those for whom it is possible."""
    if len(np.unique(y[possible])) < 2:
        return {}
    return compare_scores(
        y[possible], original[possible], score[possible], threshold, confidence_level, pos_label, is_original
    )
