"""Negative controls: what a whole protocol scores once a link in the data is cut."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import check_cv, cross_val_score
from sklearn.utils import check_random_state

from sklearn_pspd.cohort.columns import CLINICAL_COLUMNS
from sklearn_pspd.exceptions import InputError

from .folds import check_outcomes, make_splits
from .parallel import Tasks

SCRAMBLES = ("label", "image", "clinical", "pairing")

# Scores of the same ranking differ in the last digits when summed in another order.
ROUNDING = 1e-9


@dataclass(frozen=True)
class NegativeControl:
    """Scores of a protocol on the data and on scrambled data.

    Attributes
    ----------
    scramble : str
        The link that was cut.
    score : float
        Mean score over folds on the data as they are.
    permutation_scores : ndarray of shape (n_permutations,)
        Mean scores over folds on scrambled data.
    """

    scramble: str
    score: float
    permutation_scores: np.ndarray

    @property
    def p_value(self):
        """Share of arrangements, the true one among them, that score at least as high as the true one."""
        n_as_high = int(np.count_nonzero(self.permutation_scores >= self.score - ROUNDING))
        return (1 + n_as_high) / (1 + len(self.permutation_scores))

    @property
    def resolution(self):
        """Smallest p-value that this many permutations can give."""
        return 1 / (1 + len(self.permutation_scores))

    def frame(self):
        """Tabulate the control.

        Returns
        -------
        DataFrame
            One row; columns ``scramble``, ``score``, ``scrambled_mean``, ``scrambled_std``, ``n_permutations``,
            ``p_value`` and ``resolution``.
        """
        scores = self.permutation_scores
        row = {
            "scramble": self.scramble,
            "score": self.score,
            "scrambled_mean": scores.mean(),
            "scrambled_std": scores.std(ddof=1) if len(scores) > 1 else np.nan,
            "n_permutations": len(scores),
            "p_value": self.p_value,
            "resolution": self.resolution,
        }
        return pd.DataFrame([row])


def negative_control(
    pipeline,
    X,
    y,
    *,
    scramble="label",
    n_permutations=100,
    cv=10,
    scoring="roc_auc",
    random_state=None,
    n_jobs=None,
    on_progress=None,
):
    """Cut a link in the data many times over, and validate the whole pipeline each time.

    Whatever the pipeline does, tuning included, is done anew on the scrambled data; a protocol without a leak then
    scores as chance does.

    Parameters
    ----------
    pipeline : estimator
        The classifier, tuning and all, for example a :class:`~sklearn.model_selection.GridSearchCV` of a pipeline.
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table, as :func:`~sklearn_pspd.cohort.split_xy` gives it.
    y : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD.
    scramble : {"label", "image", "clinical", "pairing"}, default="label"
        The link to cut: of the outcome to everything else, as the paper and its script do [1]_; of the image to outcome
        and clinical values; of the clinical values to outcome and image; or of image and clinical values to each other
        among patients of one outcome, which leaves what either says of the outcome alone.
    n_permutations : int, default=100
        Arrangements to draw. The paper has one.
    cv : int, splitter or iterable, default=10
        Number of stratified, shuffled folds, a scikit-learn splitter, or the splits themselves. A number gives every
        arrangement its own folds from the same seed.
    scoring : str or callable, default="roc_auc"
        As in scikit-learn.
    random_state : int, RandomState instance or None, default=None
        Seed of arrangements and folds.
    n_jobs : int, default=None
        Arrangements at once, in processes.
    on_progress : callable, default=None
        Called after each arrangement with its number, the number of all, and its description.

    Returns
    -------
    NegativeControl
        Scores, p-value and its resolution.

    Raises
    ------
    ValueError
        If there is no such link, no arrangement is asked for, X lacks the clinical columns that are to be moved, y
        holds anything but 0 and 1, a class has fewer patients than there are folds, or a score is not defined, as the
        AUC of a fold with one outcome.

    Notes
    -----
    The p-value counts the true arrangement among the drawn ones, so it is never zero and valid for any number of them
    [2]_; equal scores, frequent with the AUC of few patients, make it err upwards. Its resolution is
    1 / (n_permutations + 1): 19 permutations can just reach 0.05.

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
    y = check_outcomes(y, "y")
    if scramble not in SCRAMBLES:
        raise InputError(f"scramble is one of {', '.join(SCRAMBLES)}; got {scramble!r}")
    if not isinstance(n_permutations, Integral) or n_permutations < 1:
        raise InputError(f"n_permutations is a whole number of at least 1; got {n_permutations!r}")
    columns = _columns_to_move(X, scramble)
    if not isinstance(cv, Integral):
        cv = check_cv(cv, y, classifier=True)  # keeps the splits of a generator
    rng = check_random_state(random_state)
    seed = int(rng.randint(2**31 - 1))
    orders = [None] + [_draw_order(y, scramble, rng) for _ in range(n_permutations)]
    calls = [(clone(pipeline), *_rearranged(X, y, scramble, columns, order), cv, scoring, seed) for order in orders]
    told = ["as they are", *(f"scrambled, {number} of {n_permutations}" for number in range(1, len(calls)))]
    scores = list(Tasks(len(calls), n_jobs, on_progress).run(_score, calls, told))
    if undefined := [what for what, score in zip(told, scores, strict=True) if not np.isfinite(score)]:
        # Not a number is never as high as the true score, and would pass for evidence.
        raise InputError(
            f"the score is not defined for {len(undefined)} of {len(scores)} arrangements (first: {undefined[0]}); a "
            "fold may hold one outcome only: use stratified folds, or fewer"
        )
    return NegativeControl(scramble, float(scores[0]), np.asarray(scores[1:], dtype=np.float64))


def _columns_to_move(X, scramble):
    if scramble == "label":
        return []
    columns = [column for column in CLINICAL_COLUMNS if column in getattr(X, "columns", ())]
    if not columns:
        raise InputError(
            f"scramble={scramble!r} parts images from clinical values; X has none of the columns "
            f"{', '.join(CLINICAL_COLUMNS)}"
        )
    return columns


def _draw_order(y, scramble, rng):
    if scramble != "pairing":
        return rng.permutation(len(y))
    order = np.arange(len(y))
    for outcome in (0, 1):
        rows = np.flatnonzero(y == outcome)
        order[rows] = rng.permutation(rows)
    return order


def _rearranged(X, y, scramble, columns, order):
    """Return table and outcomes in one arrangement; a patient's name stays with the image, and so does its cache."""
    if order is None:
        return X, y
    if columns:
        X = X.copy()
        for column in columns:
            X[column] = X[column].to_numpy()[order]
    return X, y[order] if scramble in ("label", "image") else y


def _score(pipeline, X, y, cv, scoring, seed):
    folds = make_splits(cv, X, y, seed)
    return cross_val_score(pipeline, X, y, cv=folds, scoring=scoring, error_score="raise").mean()
