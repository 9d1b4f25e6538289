"""Venn-Abers calibration: an interval of probabilities for each new score."""

import numpy as np
import pandas as pd
from sklearn.isotonic import IsotonicRegression

from sklearn_pspd.exceptions import InputError

from .checks import check_scores


def venn_abers(y_true, y_score, new_score, *, pos_label=1):
    """Calibrate new scores by the inductive Venn-Abers predictor.

    As in [1]_, for each new score an isotonic regression of the outcomes on the scores is fitted twice: once with the
    new score as a patient of the negative class, once as one of the positive class. The two fitted values at the new
    score are the limits of the interval.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Two classes, both present: patients on whom the model was not trained.
    y_score : array-like of shape (n_patients,)
        Their scores, higher for the positive class, on any scale.
    new_score : array-like of shape (n_new,)
        Scores of new patients, on the same scale.
    pos_label : int, str or bool, default=1
        The positive class, PsPD.

    Returns
    -------
    DataFrame of shape (n_new, 3)
        ``low`` and ``high``, the limits, and ``probability``, high / (1 - low + high), the value between them that
        minimises the largest regret under the log loss.

    Raises
    ------
    InputError
        If a class is absent, a score is not finite, or lengths differ.

    Notes
    -----
    If the patients and the new one are exchangeable and scored by the same model, one of the two limits is perfectly
    calibrated. It is not a confidence interval for the probability of one patient: its width shows how much one more
    patient would change the calibration, about 1 / sqrt(n) or more with few patients.

    References
    ----------
    .. [1] Vovk V, Petej I, Fedorova V. Large-scale probabilistic predictors with and without guarantees of validity.
       NeurIPS 28, 892-900 (2015), arXiv:1511.00213.

    Examples
    --------
    >>> from sklearn_pspd.statistics import venn_abers
    >>> venn_abers([0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.6, 0.8], [0.15, 0.7]).round(2)
       low  high  probability
    0  0.0   0.5         0.33
    1  0.5   1.0         0.67
    """
    is_positive, score = check_scores(y_true, y_score, pos_label)
    new_score = np.asarray(new_score, dtype=np.float64)
    if new_score.ndim != 1 or not np.isfinite(new_score).all():
        raise InputError(f"new_score must be a list of finite numbers; got {new_score!r}")
    limits = [
        [_fitted_at(value, np.append(score, value), np.append(is_positive, outcome)) for outcome in (False, True)]
        for value in new_score
    ]
    low, high = np.reshape(np.array(limits, dtype=np.float64), (-1, 2)).T
    return pd.DataFrame({"low": low, "high": high, "probability": high / (1 - low + high)})


def _fitted_at(value, score, is_positive):
    """Return the isotonic regression of the outcomes on the scores, at one of the scores; ties are averaged."""
    regression = IsotonicRegression(y_min=0.0, y_max=1.0).fit(score, is_positive.astype(np.float64))
    return float(regression.predict([value])[0])
