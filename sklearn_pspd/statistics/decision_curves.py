"""Decision curves: net benefit of classifying by a predicted probability."""

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError

from .checks import check_probabilities
from .intervals import normal_quantile, wilson_interval


def decision_curve(y_true, y_prob, *, thresholds=None, confidence_level=0.95, pos_label=1):
    """Tabulate the net benefit of classifying patients as positive, by threshold probability.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    y_prob : array-like of shape (n_patients,)
        Probability of the positive class, in [0, 1].
    thresholds : array-like, default=None
        Threshold probabilities in (0, 1); None takes 0.05 to 0.95 in steps of 0.05.
    confidence_level : float, default=0.95
        Pointwise coverage of the intervals (at each threshold separately), in (0, 1).
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    DataFrame
        One row per threshold: ``threshold``, ``net_benefit`` with the limits ``low`` and ``high``, ``treat_all`` (net
        benefit of classifying every patient as positive; treat none = 0) and ``n_positive_predictions`` (patients whose
        probability is at least the threshold).

    Raises
    ------
    InputError
        If a class is absent, `pos_label` is neither class, a probability is outside [0, 1], lengths differ, or a
        threshold is outside (0, 1).

    Notes
    -----
    Net benefit [1]_ is the proportion of true positives minus the proportion of false positives weighted by the odds of
    the threshold. At a threshold probability of 0.2, four unnecessary treatments are considered as harmful as one
    missed treatment. The intervals take the prevalence as fixed and combine Wilson's intervals of sensitivity and false
    positive rate [2]_, so that they have a positive width even if no patient or every patient is classified as positive
    (our choice).
    Simulated coverage of the 95 % interval at an AUC of 0.75: 94 to 100 % for 19 and for 59 patients, 93 to 99 % for
    200.

    The threshold probability is a clinical decision, not a tuning parameter. Interpret the curve over the range of
    thresholds that are clinically reasonable.

    References
    ----------
    .. [1] Vickers AJ, Elkin EB. Decision curve analysis: a novel method for evaluating prediction models. Med Decis
       Making 26, 565-574 (2006).
    .. [2] Zou GY, Donner A. Construction of confidence limits about effect measures: a general approach. Stat Med 27,
       1693-1702 (2008).

    Examples
    --------
    >>> from sklearn_pspd.statistics import decision_curve
    >>> curve = decision_curve([0, 0, 0, 1, 1], [0.1, 0.4, 0.6, 0.5, 0.9], thresholds=[0.2, 0.5])
    >>> curve[["threshold", "net_benefit", "treat_all", "n_positive_predictions"]]
       threshold  net_benefit  treat_all  n_positive_predictions
    0        0.2          0.3       0.25                       4
    1        0.5          0.2      -0.20                       3
    """
    is_positive, prob = check_probabilities(y_true, y_prob, pos_label)
    thresholds = np.linspace(0.05, 0.95, 19) if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    if thresholds.ndim != 1 or not ((thresholds > 0) & (thresholds < 1)).all():
        raise InputError(f"thresholds must lie between 0 and 1; got {thresholds}")
    z = normal_quantile(confidence_level)
    return pd.DataFrame([_net_benefit_row(is_positive, prob, threshold, z) for threshold in thresholds])


def _net_benefit_row(is_positive, prob, threshold, z):
    # The tolerance is for rounding: in binary, ten steps of 0.1 do not add up to 1.
    is_predicted_positive = prob >= threshold - 1e-12
    prevalence, odds = is_positive.mean(), threshold / (1 - threshold)
    sensitivity, false_rate = is_predicted_positive[is_positive].mean(), is_predicted_positive[~is_positive].mean()
    sensitivity_low, sensitivity_high = wilson_interval(sensitivity, is_positive.sum(), z)
    false_low, false_high = wilson_interval(false_rate, (~is_positive).sum(), z)
    gain, loss = prevalence, (1 - prevalence) * odds
    value = gain * sensitivity - loss * false_rate
    return {
        "threshold": float(threshold),
        "net_benefit": float(value),
        "low": float(value - np.hypot(gain * (sensitivity - sensitivity_low), loss * (false_high - false_rate))),
        "high": float(value + np.hypot(gain * (sensitivity_high - sensitivity), loss * (false_rate - false_low))),
        "treat_all": float(gain - loss),
        "n_positive_predictions": int(is_predicted_positive.sum()),
    }
