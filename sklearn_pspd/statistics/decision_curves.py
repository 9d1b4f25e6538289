"""Net benefit of acting on a predicted probability."""

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError

from .checks import check_probabilities
from .intervals import normal_quantile, wilson_interval


def decision_curve(y_true, y_prob, *, thresholds=None, confidence_level=0.95, pos_label=1):
    """Tabulate the net benefit of acting on a probability, at each threshold from which one would act.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present.
    y_prob : array-like of shape (n_patients,)
        Probability of the positive class, in [0, 1].
    thresholds : array-like, default=None
        Threshold probabilities in (0, 1); None takes 0.05 to 0.95 in steps of 0.05.
    confidence_level : float, default=0.95
        Coverage of the intervals, in (0, 1), at each threshold by itself.
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    DataFrame
        A row a threshold: ``threshold``, ``net_benefit`` with ``low`` and ``high``, ``treat_all`` (net benefit of
        acting on every patient; on none it is 0), ``n_called``.

    Raises
    ------
    ValueError
        If a class is absent, `pos_label` is neither class, a probability is outside [0, 1], lengths differ, or a
        threshold is outside (0, 1).

    Notes
    -----
    Net benefit [1]_ is the share of true positives minus that of false positives weighted by the odds of the threshold:
    who acts from a probability of 0.2 on holds four needless actions as bad as one missed. The intervals take the share
    of the positive class as given and put Wilson's intervals of sensitivity and false positive rate together [2]_, so
    they have a width where nobody or everybody is called (ours). Coverage of the 95 % interval, simulated at AUC 0.75:
    94 to 100 % for 19 and for 59 patients, 93 to 99 % for 200.

    A threshold is a decision of the clinic, not a thing to tune; read the curve where one could defend acting.

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
    >>> curve[["threshold", "net_benefit", "treat_all", "n_called"]]
       threshold  net_benefit  treat_all  n_called
    0        0.2          0.3       0.25         4
    1        0.5          0.2      -0.20         3
    """
    is_positive, prob = check_probabilities(y_true, y_prob, pos_label)
    thresholds = np.linspace(0.05, 0.95, 19) if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    if thresholds.ndim != 1 or not ((thresholds > 0) & (thresholds < 1)).all():
        raise InputError(f"thresholds lie between 0 and 1; got {thresholds}")
    z = normal_quantile(confidence_level)
    return pd.DataFrame([_net_benefit_row(is_positive, prob, threshold, z) for threshold in thresholds])


def _net_benefit_row(is_positive, prob, threshold, z):
    # Ten equal steps of 0.1 do not add up to 1 in binary.
    called = prob >= threshold - 1e-12
    share, odds = is_positive.mean(), threshold / (1 - threshold)
    hits, false_alarms = called[is_positive].mean(), called[~is_positive].mean()
    hits_low, hits_high = wilson_interval(hits, is_positive.sum(), z)
    false_low, false_high = wilson_interval(false_alarms, (~is_positive).sum(), z)
    gain, loss = share, (1 - share) * odds
    value = gain * hits - loss * false_alarms
    return {
        "threshold": float(threshold),
        "net_benefit": float(value),
        "low": float(value - np.hypot(gain * (hits - hits_low), loss * (false_high - false_alarms))),
        "high": float(value + np.hypot(gain * (hits_high - hits), loss * (false_alarms - false_low))),
        "treat_all": float(gain - loss),
        "n_called": int(called.sum()),
    }
