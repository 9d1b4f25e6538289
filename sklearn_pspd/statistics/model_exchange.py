"""The exact paired test of two AUCs that exchanges the two models' ranks within patients."""

import numpy as np
from scipy.stats import rankdata

from .fold_design import placements_within, sum_by_patient, weights_of_rows

# With fewer patients in a class, normal approximations of paired tests are replaced.
MIN_CLASS_SIZE_NORMAL = 10

# All exchanges are enumerated for up to this number of patients; for more, a random sample of them is drawn.
MAX_PATIENTS_ENUMERATED = 16
N_DRAWS = 50_000


def exchange_effects(design, score_a, score_b):
    """Return by how much the difference of two AUCs depends on which model a patient's ranks come from.

    Parameters
    ----------
    design : FoldDesign
        Folds and patients.
    score_a, score_b : ndarray of shape (n_rows,)
        Scores of the two models; only their ranks within folds are used.

    Returns
    -------
    ndarray of shape (n_patients,)
        Effects e with sum(e) = AUC of a minus AUC of b; exchanging the ranks of a patient turns the sign of its effect.

    Notes
    -----
    For a positive patient i and a negative patient j of one fold the difference of the two models' comparisons is
    linear in the signs s (1 as observed, -1 if exchanged): it is ((s_i + s_j) (W_aa - W_bb) + (s_i - s_j)
    (W_ab - W_ba)) / 2, where W_ab compares the rank of i in model a with the rank of j in model b.
    """
    rank_a, rank_b = (ranks_within(design, score) for score in (score_a, score_b))
    crossed_ab, crossed_ba = np.where(design.is_positive, (rank_a, rank_b), (rank_b, rank_a))
    own_a, own_b, across_ab, across_ba = (
        placements_within(design, rank)[1] for rank in (rank_a, rank_b, crossed_ab, crossed_ba)
    )
    sign = np.where(design.is_positive, 1, -1)
    return sum_by_patient(design, weights_of_rows(design) * (own_a - own_b + sign * (across_ab - across_ba)) / 2)


def exchange_p_value(effects):
    """Return the two-sided p-value of the observed difference among all exchanges of the two models' ranks.

    Parameters
    ----------
    effects : ndarray of shape (n_patients,)
        As returned by :func:`exchange_effects`.

    Returns
    -------
    float
        In (0, 1]. Exact for up to 16 patients, otherwise from 50 000 random exchanges (and always the same ones).
    """
    effects = effects[np.abs(effects) > 1e-12]
    observed, n = abs(effects.sum()), len(effects)
    if n <= MAX_PATIENTS_ENUMERATED:
        signs = 1 - 2 * (np.arange(2**n)[:, np.newaxis] >> np.arange(n) & 1)
        return float(np.mean(np.abs(signs @ effects) >= observed - 1e-9))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(N_DRAWS, n))
    as_extreme = np.count_nonzero(np.abs(signs @ effects) >= observed - 1e-9)
    return float((1 + as_extreme) / (1 + N_DRAWS))


def ranks_within(design, score):
    """Return the rank of each row within its fold; tied rows have their mean rank."""
    ranks = np.empty(len(score))
    for rows in design.folds:
        ranks[rows] = rankdata(score[rows])
    return ranks
