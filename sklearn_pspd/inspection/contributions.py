"""How much a model's discrimination depends on the image and on each clinical column."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import Estimate, roc_auc
from sklearn_pspd.statistics.bootstrap import Resampling, bootstrap
from sklearn_pspd.statistics.checks import check_scores
from sklearn_pspd.statistics.intervals import normal_quantile, wilson_interval

from .mixing import IMAGE, make_mixer, predictions
from .opened import check_outcomes

CLINICAL = "all clinical columns"
RESAMPLES_AT_ONCE = 50
SMALL_CLASS = "Wilson, smaller class"
# Differences of probabilities below this are rounding errors.
SAME = 1e-9


@dataclass(frozen=True, eq=False)
class PermutationContribution:
    """The AUC of a model, and by how much it drops if a group of columns is taken from other patients.

    Attributes
    ----------
    auc : Estimate
        AUC on the patients as they are.
    table : DataFrame of shape (n_groups, 7)
        ``group``, ``drop`` (AUC minus that with the group's values of other patients), its interval ``low`` to
        ``high``, ``auc_without`` (the AUC that remains), ``mean_change`` (mean absolute change of the log odds or
        probability) and ``method`` of the interval.
    n_patients : int
        Number of patients.
    """

    auc: Estimate
    table: pd.DataFrame
    n_patients: int

    def frame(self):
        """Return the contributions.

        Returns
        -------
        DataFrame
            A copy of ``table``.
        """
        return self.table.copy()


def permutation_contribution(
    model,
    X,
    y,
    *,
    groups=None,
    n_donors=None,
    scale="probability",
    confidence_level=0.95,
    n_resamples=1000,
    random_state=None,
    pos_label=1,
):
    """Measure how much the AUC of a fitted model drops if a group of columns is taken from other patients.

    Parameters
    ----------
    model : estimator
        A fitted classifier of a cohort table, of any kind.
    X : DataFrame of shape (n_patients, n_columns)
        Patients that the model was not trained on. On training patients the contributions are those to the fit.
    y : array-like of shape (n_patients,)
        Their outcomes.
    groups : dict of str to sequence of str, default=None
        Columns that are exchanged together. None: the image with the position of its lesion, each clinical column by
        itself, and all clinical columns together.
    n_donors : int, default=None
        Number of other patients, drawn at random, from whom each patient takes a group's values. None takes all others,
        so that the result depends on no random numbers except those of the interval.
    scale : {"probability", "log_odds"}, default="probability"
        Scale of ``mean_change``. The AUC is the same on both.
    confidence_level : float, default=0.95
        Coverage of the intervals, in (0, 1).
    n_resamples : int, default=1000
        Number of bootstrap resamples of an interval.
    random_state : int, RandomState instance or None, default=None
        Seed of the intervals and of the donors.
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    PermutationContribution
        AUC, and the drop of each group with its interval.

    Raises
    ------
    InputError
        If a class is absent, `groups` names an absent column, forgets one that the model reads or separates an image
        from its position, or `n_donors` is not between 1 and the number of other patients.

    See Also
    --------
    shapley_values : Contributions to the prediction of each patient.

    Notes
    -----
    Permutation importance draws permutations at random. Here each patient takes the group's values of every other one,
    which is the mean over all permutations without a fixed point, up to the dependence between the patients of one
    permutation. Each image is read once and, by a network, convolved once.

    The interval is a stratified bootstrap of the patients, who are resampled as recipients and as donors at once; both
    AUCs are computed on the same resample, so that it is paired. It holds the model fixed: another training would give
    other contributions. A group on which no prediction depends has the drop 0, without an interval; one that changes
    predictions but no ranks has Wilson's upper limit for 0 of the patients of the smaller class, on both sides.

    A drop near zero does not mean that a column is unrelated to the outcome, only that this model's ranking of patients
    does without it; two columns that say the same can both have a drop near zero. The exchanged patients are mixtures,
    such as the image of one and the MGMT status of another, which may be implausible.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_pspd.inspection import permutation_contribution
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> X = pd.DataFrame({"age_years": 60 + 8 * y + rng.normal(0, 5, 60), "interval_days": rng.normal(90, 9, 60)})
    >>> model = LogisticRegression().fit(X, y)
    >>> found = permutation_contribution(model, X, y, random_state=0).frame().set_index("group")
    >>> bool(found.loc["age_years", "low"] > 0), bool(found.loc["interval_days", "low"] > 0)
    (True, False)
    """
    y = check_outcomes(y, len(X))
    mixer = make_mixer(model, X, groups)
    n_patients, names = len(X), list(mixer.groups)
    itself = np.tile(np.arange(n_patients)[:, np.newaxis], (1, len(names)))
    original = predictions(mixer, itself, scale)
    is_positive, original = check_scores(y, original, pos_label)
    exchanged = {name: [position] for position, name in enumerate(names)}
    of_clinical = [position for position, name in enumerate(names) if name != IMAGE]
    if groups is None and len(of_clinical) > 1:
        exchanged[CLINICAL] = of_clinical
    rng = check_random_state(random_state)
    donors = _choose_donors(n_patients, n_donors, rng)
    seed = int(rng.randint(2**31 - 1))
    resampling = Resampling(confidence_level, n_resamples, seed, (-1.0, 1.0), small_sample=True)
    rows = []
    for name, positions in exchanged.items():
        sources = np.repeat(itself, donors.shape[1], axis=0)
        sources[:, positions] = donors.reshape(-1, 1)
        scores = predictions(mixer, sources, scale).reshape(donors.shape)
        rows.append({"group": name, **_drop(is_positive, original, scores, donors, resampling)})
    auc = roc_auc(y, original, confidence_level=confidence_level, pos_label=pos_label)
    return PermutationContribution(auc, pd.DataFrame(rows), n_patients)


def _choose_donors(n_patients, n_donors, rng):
    """Return the other patients from whom each takes values, of shape (n_patients, n_donors)."""
    others = np.array([np.delete(np.arange(n_patients), patient) for patient in range(n_patients)])
    if n_donors is None:
        return others
    if n_donors != int(n_donors) or not 1 <= n_donors <= n_patients - 1:
        raise InputError(f"n_donors={n_donors}; a whole number from 1 to {n_patients - 1} is needed")
    return np.array([rng.choice(row, size=int(n_donors), replace=False) for row in others])


def _drop(is_positive, original, scores, donors, resampling):
    """Return the drop of the AUC with its interval, and the mean change of predictions."""
    changes = np.abs(scores - original[:, np.newaxis])
    if changes.max() < SAME:
        auc = roc_auc(is_positive, original, pos_label=True).value
        estimate = Estimate(0.0, 0.0, 0.0, "no prediction depends on it")
    else:
        of_original = _mixture_auc(is_positive, original[:, np.newaxis], None)
        of_exchanged = _mixture_auc(is_positive, scores, donors)
        estimate = bootstrap(lambda weights: of_original(weights) - of_exchanged(weights), is_positive, resampling)
        if estimate.method == SMALL_CLASS and abs(estimate.value) < SAME:
            # No resample can show a change of ranks; at most this part of the smaller class may have one.
            smallest = int(min(is_positive.sum(), (~is_positive).sum()))
            limit = wilson_interval(0.0, smallest, normal_quantile(resampling.confidence_level))[1]
            estimate = Estimate(0.0, -limit, limit, "Wilson, no rank changes")
        auc = float(of_exchanged(np.ones((1, len(original))))[0])
    return {
        "drop": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "auc_without": auc,
        "mean_change": float(changes.mean()),
        "method": estimate.method,
    }


def _mixture_auc(is_positive, scores, donors):
    """Return the AUC over all mixtures as a function of weights of the patients, of shape (n_resamples, n_patients).

    A mixture weighs as much as its recipient times its donor; without donors, as its recipient. A resample of which no
    donor was drawn for a recipient gives that recipient no weight.
    """
    n_patients, n_scores = scores.shape
    recipient = np.repeat(np.arange(n_patients), n_scores)
    flat = scores.ravel()
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    # Number of mixtures with a lower score, and with a lower or equal one.
    lower, upper = np.searchsorted(ordered, ordered, "left"), np.searchsorted(ordered, ordered, "right")
    positive = is_positive[recipient][order]

    def of_block(weights):
        mixed = weights[:, recipient]
        if donors is not None:
            of_donors = weights[:, donors]
            totals = of_donors.sum(axis=2, keepdims=True)
            of_donors = np.divide(of_donors, totals, out=np.zeros_like(of_donors), where=totals > 0)
            mixed = mixed * of_donors.reshape(len(weights), -1)
        mixed = mixed[:, order]
        negative = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(mixed * ~positive, axis=1)], axis=1)
        wins = (mixed * positive * (negative[:, lower] + negative[:, upper]) / 2).sum(axis=1)
        pairs = (mixed * positive).sum(axis=1) * negative[:, -1]
        return np.divide(wins, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)

    def of_weights(weights):
        blocks = range(0, len(weights), RESAMPLES_AT_ONCE)
        return np.concatenate([of_block(weights[start : start + RESAMPLES_AT_ONCE]) for start in blocks])

    return of_weights
