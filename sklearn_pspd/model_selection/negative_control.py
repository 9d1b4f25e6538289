"""Negative controls: scores of the whole protocol on permuted data."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state

from sklearn_pspd._sklearn import _safe_indexing
from sklearn_pspd.cohort.columns import CLINICAL_COLUMNS, IDENTITY_COLUMNS, POSITION_COLUMNS
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading.loader import further_images_of

from .fits import fit_on, refuse_tuned_seeds, seeded_clone
from .folds import CROSS_VALIDATION, EXTERNAL, check_outcomes, make_splits
from .parallel import Tasks

PERMUTED_LINKS = ("label", "image", "clinical", "pairing")
# Fewer permutations cannot reach p = 0.05, whatever their scores are.
FEWEST_FOR_P_VALUE = 19

# Scores of the same ranking can differ in the last digits if they are summed in another order.
ROUNDING = 1e-9


@dataclass(frozen=True)
class NegativeControl:
    """Scores of a protocol on the original data and on permuted data.

    Attributes
    ----------
    permuted : str
        What was permuted: "label", "image", "clinical" or "pairing".
    score : float
        Mean score over folds on the original data.
    permutation_scores : ndarray of shape (n_permutations,)
        Mean score over folds for each permutation.
    external_score : float or None
        Score on the external set of the model trained on the original data; None without an external set.
    external_permutation_scores : ndarray of shape (n_permutations,) or None
        Scores on the external set, with its true outcomes, of the models trained on permuted data.
    """

    permuted: str
    score: float
    permutation_scores: np.ndarray
    external_score: float | None = None
    external_permutation_scores: np.ndarray | None = None

    @property
    def p_value(self):
        """Proportion of permutations, including the original data, that score at least as high as the original data.

        NaN with fewer than 19 permutations: they show that the protocol runs, not that it is free of leakage.
        """
        return _p_value(self.score, self.permutation_scores)

    @property
    def external_p_value(self):
        """The same for the scores on the external set; None without one."""
        if self.external_score is None:
            return None
        return _p_value(self.external_score, self.external_permutation_scores)

    @property
    def resolution(self):
        """Smallest possible p-value with this number of permutations."""
        return 1 / (1 + len(self.permutation_scores))

    def frame(self):
        """Tabulate the negative control.

        Returns
        -------
        DataFrame
            One row per evaluation ("cross-validation" and, with an external set, "external"); columns ``evaluation``,
            ``permuted``, ``score``, ``permuted_mean``, ``permuted_std``, ``n_permutations``, ``p_value`` and
            ``resolution``.
        """
        rows = [(CROSS_VALIDATION, self.score, self.permutation_scores, self.p_value)]
        if self.external_score is not None:
            rows.append((EXTERNAL, self.external_score, self.external_permutation_scores, self.external_p_value))
        return pd.DataFrame(
            {
                "evaluation": evaluation,
                "permuted": self.permuted,
                "score": score,
                "permuted_mean": scores.mean(),
                "permuted_std": scores.std(ddof=1) if len(scores) > 1 else np.nan,
                "n_permutations": len(scores),
                "p_value": p_value,
                "resolution": self.resolution,
            }
            for evaluation, score, scores, p_value in rows
        )


def _p_value(score, permutation_scores):
    if len(permutation_scores) < FEWEST_FOR_P_VALUE:
        return float("nan")
    n_as_high = int(np.count_nonzero(permutation_scores >= score - ROUNDING))
    return (1 + n_as_high) / (1 + len(permutation_scores))


def negative_control(
    pipeline,
    X,
    y,
    *,
    permute="label",
    n_permutations=100,
    cv=10,
    scoring="roc_auc",
    X_test=None,
    y_test=None,
    unpermuted=None,
    random_state=None,
    n_jobs=None,
    on_progress=None,
    kept=None,
):
    """Permute one part of the data repeatedly, and validate the whole pipeline on each permutation.

    Everything that the pipeline does, including tuning, is repeated on the permuted data. With permuted outcomes a
    protocol without leakage scores at chance level.

    Parameters
    ----------
    pipeline : estimator
        The classifier with its tuning, if any, for example a :class:`~sklearn.model_selection.GridSearchCV` of a
        pipeline.
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table, as :func:`~sklearn_pspd.cohort.split_xy` returns it.
    y : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD.
    permute : {"label", "image", "clinical", "pairing"}, default="label"
        What to permute. "label" permutes the outcomes and removes their association with everything else, as the paper
        and its script do [1]_. "image" removes the association of the images with outcome and clinical values.
        "clinical" removes the association of the clinical values with outcome and image. "pairing" permutes the
        clinical values among patients with the same outcome: it removes the association between image and clinical
        values, and leaves the association of each of them with the outcome.
    n_permutations : int, default=100
        Number of permutations to draw. The paper has one.
    cv : int, splitter or iterable, default=10
        Number of stratified, shuffled folds, a scikit-learn splitter, or the splits themselves. If it is a number, the
        folds are drawn for each permutation separately, from the same seed; those of the original data are the folds of
        :func:`compare_models` with this `random_state`.
    scoring : str or callable, default="roc_auc"
        As in scikit-learn.
    X_test : DataFrame, default=None
        Cohort table of the external site. Each model is also trained on all permuted patients and scored on these, with
        their true outcomes: the second half of the paper's negative control (its supplement S1B).
    y_test : array-like, default=None
        Its outcomes.
    unpermuted : float or tuple of float, default=None
        Score on the original data, if it is known from a comparison on the same folds; with an external set, this score
        and the external one. None fits the pipeline on the original data too.
    random_state : int, RandomState instance or None, default=None
        Seed of permutations and folds.
    n_jobs : int, default=None
        Number of permutations that run in parallel, in processes.
    on_progress : callable, default=None
        Called after each validation with the number of validations done, the number of all, and a description.
    kept : KeptFits, default=None
        Folder of finished fits, with which an interrupted control goes on where it stopped; see
        :class:`~sklearn_pspd.model_selection.KeptFits`. None keeps nothing.

    Returns
    -------
    NegativeControl
        Scores, p-value and its resolution.

    Raises
    ------
    InputError
        If `permute` is not one of the options, there are no permutations, X lacks the clinical columns that are to be
        permuted, y contains values other than 0 and 1, a class has fewer patients than there are folds, or a score is
        undefined, such as the AUC of a fold with one outcome only.

    See Also
    --------
    compare_models : The same folds and seeds, without permutation.

    Notes
    -----
    The p-value counts the original data as one of the permutations. It is therefore never zero, and valid for any
    number of permutations [2]_. Equal scores, which are frequent with the AUC of few patients, make it conservative.
    Its resolution is 1 / (n_permutations + 1): 19 permutations are the fewest that can reach p = 0.05.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.
    .. [2] Phipson B, Smyth GK. Permutation P-values should never be zero. Stat Appl Genet Mol Biol 9, 39 (2010).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_pspd import negative_control
    >>> y = np.arange(40) % 2
    >>> X = pd.DataFrame({"a": np.random.default_rng(0).normal(size=40) + 2 * y})
    >>> control = negative_control(LogisticRegression(), X, y, n_permutations=19, cv=4, random_state=0)
    >>> round(control.p_value, 2), round(control.resolution, 2)
    (0.05, 0.05)
    """
    # Check the input.
    y = check_outcomes(y, "y")
    if permute not in PERMUTED_LINKS:
        raise InputError(f"permute must be one of {', '.join(PERMUTED_LINKS)}; got {permute!r}")
    if not isinstance(n_permutations, Integral) or n_permutations < 1:
        raise InputError(f"n_permutations must be a whole number of at least 1; got {n_permutations!r}")
    if (X_test is None) != (y_test is None):
        raise InputError("X_test and y_test come together; one of them is None")
    refuse_tuned_seeds({"negative_control": pipeline})
    columns = _columns_to_permute(pipeline, X, permute)
    if not isinstance(cv, Integral):
        cv = check_cv(cv, y, classifier=True)  # a generator gives its splits only once
    external = None if X_test is None else (X_test, check_outcomes(y_test, "y_test"))
    known = None if unpermuted is None else np.broadcast_to(unpermuted, 1 if external is None else 2)

    # Draw all permutations in advance, so that they do not depend on n_jobs; number 0 is the original data.
    rng = check_random_state(random_state)
    # The folds of the original data are those that a comparison of models draws from this number.
    seed = random_state if isinstance(random_state, Integral) else int(rng.randint(2**31 - 1))
    orders = {0: None} if known is None else {}
    orders |= {number: _draw_order(y, permute, rng) for number in range(1, n_permutations + 1)}

    # Validate the whole pipeline on each of them.
    scorer = check_scoring(pipeline, scoring)
    calls = [
        (pipeline, number, *_permuted(X, y, permute, columns, order), cv, scorer, seed, external)
        for number, order in orders.items()
    ]
    descriptions = [f"permutation {number} of {n_permutations}" if number else "unpermuted" for number in orders]
    scores = list(Tasks(len(calls), n_jobs, on_progress, kept).run(_validate, calls, descriptions))

    # NaN is never at least as high as the original score, so it would count as evidence.
    if undefined := [name for name, found in zip(descriptions, scores, strict=True) if not np.isfinite(found).all()]:
        raise InputError(
            f"the score is undefined in {len(undefined)} of {len(scores)} validations (first: {undefined[0]}); a fold "
            "may contain one outcome only: use stratified folds, or fewer folds"
        )
    table = np.array(scores if known is None else [known, *scores], dtype=np.float64)
    (score, permuted), *of_external = [(float(column[0]), column[1:]) for column in table.T]
    return NegativeControl(permute, score, permuted, *(of_external[0] if of_external else ()))


def _columns_to_permute(pipeline, X, permute):
    if permute == "label":
        return []
    of_image = {*IDENTITY_COLUMNS, *POSITION_COLUMNS, *further_images_of([pipeline])}
    columns = [column for column in getattr(X, "columns", ()) if column not in of_image]
    if not columns:
        raise InputError(
            f"permute={permute!r} separates images from clinical values; X has no clinical columns, for example "
            f"{', '.join(CLINICAL_COLUMNS)}"
        )
    return columns


def _draw_order(y, permute, rng):
    if permute != "pairing":
        return rng.permutation(len(y))
    order = np.arange(len(y))
    for outcome in (0, 1):
        rows = np.flatnonzero(y == outcome)
        order[rows] = rng.permutation(rows)
    return order


def _permuted(X, y, permute, columns, order):
    """Permute clinical values or outcomes; patient_id stays with the image so that cached stacks remain valid.

    The images are never moved: to permute them, clinical values and outcomes are permuted together.
    """
    if order is None:
        return X, y
    if columns:
        X = X.copy()
        for column in columns:
            X[column] = X[column].to_numpy()[order]
    return X, y[order] if permute in ("label", "image") else y


def _validate(pipeline, number, X, y, cv, scorer, seed, external):
    """Return the mean score over folds and, with an external set, the score on it of a fit on all patients.

    Folds and seeds of the original data, number 0, are those of a comparison of models.
    """
    scores = []
    for fold, (train, test) in enumerate(make_splits(cv, X, y, seed), start=1):
        key = (fold, number) if number else (fold,)
        model = fit_on(seeded_clone(pipeline, *key), X, y, train)
        scores.append(scorer(model, _safe_indexing(X, test), y[test]))
    found = [np.mean(scores)]
    if external is not None:
        model = seeded_clone(pipeline, *([0, number] if number else [])).fit(X, y)
        found.append(scorer(model, *external))
    return tuple(found)
