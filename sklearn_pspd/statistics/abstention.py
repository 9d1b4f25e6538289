"""Abstention: no class for scores near the threshold, so that errors among the others are rare enough."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from scipy.stats import beta

from sklearn_pspd.exceptions import InputError

from .checks import check_probabilities

# Distances from the threshold, in log odds, from which a class is given. They are fixed, whatever the scores are: the
# test of a distance that was chosen by the same scores would not hold.
DISTANCES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)


@dataclass(frozen=True)
class AbstentionRule:
    """When a model gives no class, and what is known about its errors otherwise.

    Attributes
    ----------
    threshold : float
        A patient is classified as positive if the probability is at least this value.
    low, high : float
        No class is given for a probability above `low` and below `high`. NaN if there is no rule.
    n_patients, n_classified, n_errors : int
        Patients from whom the rule was learned, those with a class, and those among them with a wrong one; the last two
        are 0 if there is no rule.
    error_limit : float
        Upper limit of the proportion of errors among patients with a class; NaN if there is no rule.
    max_error : float
        The largest proportion of errors that was asked for.
    confidence_level : float
        Confidence that the proportion is at most `error_limit`.
    reason : str
        Why there is no rule; empty if there is one.

    Examples
    --------
    >>> from sklearn_pspd.statistics import learn_abstention
    >>> rule = learn_abstention([0, 1] * 40, [0.1, 0.9] * 40, threshold=0.5)
    >>> rule.abstains([0.3, 0.9]).tolist()
    [False, False]
    """

    threshold: float
    low: float
    high: float
    n_patients: int
    n_classified: int
    n_errors: int
    error_limit: float
    max_error: float
    confidence_level: float
    reason: str = ""

    @property
    def exists(self):
        """Whether there is a rule."""
        return not self.reason

    def abstains(self, y_prob):
        """Say for which patients no class is given.

        Parameters
        ----------
        y_prob : array-like of shape (n_patients,)
            Predicted probabilities of the positive class.

        Returns
        -------
        ndarray of bool of shape (n_patients,)
            True where the probability lies between the limits.

        Raises
        ------
        InputError
            If there is no rule.
        """
        if not self.exists:
            raise InputError(f"there is no rule of abstention: {self.reason}")
        y_prob = np.asarray(y_prob, dtype=np.float64)
        return (y_prob > self.low) & (y_prob < self.high)


def learn_abstention(y_true, y_prob, *, threshold, max_error=0.2, confidence_level=0.9, pos_label=1):
    """Learn how close to the threshold no class must be given, so that errors among the other patients are rare enough.

    For each of eight fixed distances from the threshold in log odds, the errors among the patients beyond it are
    compared with the largest admissible proportion by an exact binomial test, with Bonferroni's correction for the
    eight tests (Learn then Test [1]_). The smallest distance that passes is the rule.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present: patients on whom the model was not trained.
    y_prob : array-like of shape (n_patients,)
        Their predicted probabilities of the positive class, in [0, 1].
    threshold : float
        A patient is classified as positive if the probability is at least this value, in (0, 1). It must not have been
        chosen by the errors of the same patients.
    max_error : float, default=0.2
        Largest admissible proportion of errors among patients with a class, in (0, 1).
    confidence_level : float, default=0.9
        Confidence that the proportion is at most `max_error`, in (0, 1).
    pos_label : int, str or bool, default=1
        The positive class, PsPD.

    Returns
    -------
    AbstentionRule
        The rule or, in ``reason``, why there is none.

    Raises
    ------
    InputError
        If a class is absent, a probability is not in [0, 1], or a number is outside its range.

    Notes
    -----
    For independent patients who are scored by one model, the probability is at least `confidence_level` that the rule's
    proportion of errors in the population is at most `max_error`, or that there is no rule. It is a proportion of all
    patients with a class, not of those with PD or PsPD separately, and it holds for patients of the same population.
    The limits are those of Clopper and Pearson.

    With the defaults, 20 patients with a class and without any error are the fewest that allow a rule.

    References
    ----------
    .. [1] Angelopoulos AN, Bates S, Candes EJ, Jordan MI, Lei L. Learn then test: calibrating predictive algorithms to
       achieve risk control. arXiv:2110.01052 (2021).

    Examples
    --------
    >>> from sklearn_pspd.statistics import learn_abstention
    >>> rule = learn_abstention([0, 1] * 40, [0.1, 0.9] * 38 + [0.6, 0.4] * 2, threshold=0.5)
    >>> rule.n_classified, rule.n_errors, round(rule.error_limit, 2)
    (80, 4, 0.13)
    >>> print(learn_abstention([0, 1] * 9, [0.1, 0.9] * 9, threshold=0.5).reason)
    too few patients: 18, and a rule needs at least 20 that are classified without an error
    """
    is_positive, prob = check_probabilities(y_true, y_prob, pos_label)
    for name, value in (("threshold", threshold), ("max_error", max_error), ("confidence_level", confidence_level)):
        if not 0 < value < 1:
            raise InputError(f"{name} must be between 0 and 1; got {value}")
    is_error = (prob >= threshold) != is_positive
    bounds = [_band(threshold, distance) for distance in DISTANCES]
    is_classified = [(prob <= low) | (prob >= high) for low, high in bounds]
    tail = (1 - confidence_level) / len(DISTANCES)
    counts = [(int(rows.sum()), int((is_error & rows).sum())) for rows in is_classified]
    limits = [_upper_limit(n_errors, n, tail) for n, n_errors in counts]
    asked = {"max_error": float(max_error), "confidence_level": float(confidence_level)}
    for (low, high), (n, n_errors), limit in zip(bounds, counts, limits, strict=True):
        if limit <= max_error:
            return AbstentionRule(float(threshold), low, high, len(prob), n, n_errors, limit, **asked)
    reason = _reason(len(prob), tail, max_error, min(limits))
    return AbstentionRule(float(threshold), math.nan, math.nan, len(prob), 0, 0, math.nan, **asked, reason=reason)


def _band(threshold, distance):
    """Return the probabilities at a distance in log odds below and above the threshold."""
    if distance == 0:
        return float(threshold), float(threshold)
    middle = logit(threshold)
    return float(expit(middle - distance)), float(expit(middle + distance))


def _upper_limit(n_errors, n, tail):
    """Return the upper limit of a proportion by Clopper and Pearson, with this probability beyond it."""
    return 1.0 if n_errors == n else float(beta.ppf(1 - tail, n_errors + 1, n - n_errors))


def _reason(n_patients, tail, max_error, best_limit):
    needed = math.ceil(math.log(tail) / math.log(1 - max_error) - 1e-9)
    if n_patients < needed:
        return (
            f"too few patients: {n_patients}, and a rule needs at least {needed} that are classified without an error"
        )
    return (
        f"no rule keeps the errors below {max_error:.0%}: the lowest upper limit of their proportion, of the "
        f"{len(DISTANCES)} rules that were tried, is {best_limit:.0%}"
    )
