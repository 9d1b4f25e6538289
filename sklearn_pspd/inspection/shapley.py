"""Exact Shapley values of a patient's prediction, of the image and clinical columns or of the slices."""

from dataclasses import dataclass
from math import factorial

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics.intervals import t_quantile

from .mixing import make_mixer, predictions
from .network_parts import network_parts
from .opened import OpenedModel, to_scale

MAX_PLAYERS = 14
BLOCK_MIXTURES = 2**16
COLUMNS, SLICES = "columns", "slices"
CLINICAL = "clinical"


@dataclass(frozen=True, eq=False)
class ShapleyValues:
    """Contributions to each patient's prediction, which add up to prediction minus reference.

    Attributes
    ----------
    values : ndarray of shape (n_patients, n_players)
        Positive: towards the second class, PsPD.
    reference : ndarray of shape (n_patients,)
        Mean prediction of the reference patients.
    prediction : ndarray of shape (n_patients,)
        Prediction of the patient.
    players : tuple of str
        The image and the clinical columns, or the slices from feet to head and "clinical".
    patient_id : tuple of str
        Ids of the patients.
    scale : {"log_odds", "probability"}
        Scale of the values.
    """

    values: np.ndarray
    reference: np.ndarray
    prediction: np.ndarray
    players: tuple
    patient_id: tuple
    scale: str

    def frame(self):
        """Return one row per patient.

        Returns
        -------
        DataFrame of shape (n_patients, n_players + 3)
            ``patient_id``, ``reference``, the value of each player, ``prediction``: from left to right they add up.
        """
        table = pd.DataFrame(self.values, columns=list(self.players))
        table.insert(0, "patient_id", list(self.patient_id))
        table.insert(1, "reference", self.reference)
        return table.assign(prediction=self.prediction)

    def summary(self, *, confidence_level=0.95):
        """Summarise the values over patients.

        Parameters
        ----------
        confidence_level : float, default=0.95
            Coverage of the intervals, in (0, 1).

        Returns
        -------
        DataFrame
            One row per player: ``player``; ``mean_absolute``, the mean absolute value, with its interval ``low`` to
            ``high`` over patients (Student's t; not below 0); ``mean``, the mean value; and ``proportion``, its part of
            the sum of the mean absolute values.
        """
        sizes = np.abs(self.values)
        mean = sizes.mean(axis=0)
        half = np.full(len(mean), np.nan)
        if len(sizes) > 1:
            half = t_quantile(confidence_level, len(sizes) - 1) * sizes.std(axis=0, ddof=1) / np.sqrt(len(sizes))
        total = mean.sum()
        return pd.DataFrame(
            {
                "player": list(self.players),
                "mean_absolute": mean,
                "low": np.maximum(mean - half, 0.0),
                "high": mean + half,
                "mean": self.values.mean(axis=0),
                "proportion": mean / total if total > 0 else np.full(len(mean), np.nan),
            }
        )


def shapley_values(model, X, background, *, players="columns", groups=None, scale="log_odds"):
    """Compute exact Shapley values of the predictions of a fitted model.

    The value of a player is the change of the prediction when the patient's part replaces that of a reference patient,
    averaged over all orders of replacing and over all reference patients [1]_.

    Parameters
    ----------
    model : estimator
        A fitted classifier of a cohort table; for ``players="slices"``, one whose classifier is a
        :class:`~sklearn_pspd.neural_network.CNNLSTMClassifier`.
    X : DataFrame of shape (n_patients, n_columns)
        Patients whose predictions are explained.
    background : DataFrame of shape (n_reference, n_columns)
        Reference patients, for example those of the training. A patient is no reference for itself, by ``patient_id``.
    players : {"columns", "slices"}, default="columns"
        "columns": the image with its position, and each clinical column. "slices": each slice, and all clinical columns
        together.
    groups : dict of str to sequence of str, default=None
        Columns that make one player, instead of those of ``players="columns"``.
    scale : {"log_odds", "probability"}, default="log_odds"
        What is explained. A forest, whose probabilities may be 0 or 1, needs "probability".

    Returns
    -------
    ShapleyValues
        Values of each patient and player.

    Raises
    ------
    InputError
        If `players` or `scale` is unknown, there are more than 14 players, a patient has no reference, or the model has
        no slices.

    See Also
    --------
    permutation_contribution : Contributions to the AUC.

    Notes
    -----
    All coalitions are evaluated: with the image and seven columns 2^8 per patient and reference, with nine slices and
    the clinical columns 2^10. Nothing is sampled. Each image is read and convolved once; what is repeated are the last
    layers.

    The reference is the marginal distribution of other patients' parts: a coalition is a mixture of two patients, which
    may be implausible where columns are related. The values describe the model, not the disease.

    References
    ----------
    .. [1] Lundberg SM, Lee SI. A unified approach to interpreting model predictions. NeurIPS 2017, arXiv:1705.07874.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_pspd.inspection import shapley_values
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"age_years": rng.normal(60, 9, 40), "interval_days": rng.normal(90, 20, 40)})
    >>> model = LogisticRegression().fit(X, X["age_years"] > 60)
    >>> values = shapley_values(model, X[:3], X[3:])
    >>> bool(np.allclose(values.values.sum(axis=1), values.prediction - values.reference))
    True
    """
    if players == COLUMNS:
        game = _ColumnGame(model, X, background, groups, scale)
    elif players == SLICES and groups is None:
        game = _SliceGame(model, X, background, scale)
    else:
        raise InputError(
            f"players={players!r} with groups={groups!r}; players is 'columns', for which groups may be given, or "
            "'slices'"
        )
    if len(game.players) > MAX_PLAYERS:
        raise InputError(
            f"there are {len(game.players)} players; at most {MAX_PLAYERS} can be computed exactly: join columns in "
            "groups"
        )
    references = _references(X, background)
    coalitions = _coalitions(len(game.players))
    weights = _shapley_weights(coalitions)
    # Mean prediction of each coalition over the reference patients; the first has nobody in it, the last all.
    worths = np.array([game.worths(row, rows, coalitions) for row, rows in enumerate(references)])
    return ShapleyValues(
        values=worths @ weights.T,
        reference=worths[:, 0],
        prediction=worths[:, -1],
        players=tuple(game.players),
        patient_id=tuple(_ids(X)),
        scale=scale,
    )


class _ColumnGame:
    """Players are groups of columns of the table."""

    def __init__(self, model, X, background, groups, scale):
        self._n_patients, self._scale = len(X), scale
        names = [name for name in X.columns if name in background.columns]
        both = _stacked(X[names], background[names])
        self._mixer = make_mixer(model, both, groups)
        self.players = list(self._mixer.groups)

    def worths(self, row, references, coalitions):
        """Return the mean prediction of each coalition; `references` are rows of the background."""
        own = np.array(row)
        other = self._n_patients + references
        sources = np.where(coalitions[:, np.newaxis], own, other[np.newaxis, :, np.newaxis])
        values = predictions(self._mixer, sources.reshape(-1, len(self.players)), self._scale)
        return values.reshape(len(coalitions), -1).mean(axis=1)


class _SliceGame:
    """Players are the slices, and all clinical columns together."""

    def __init__(self, model, X, background, scale):
        opened = OpenedModel(model)
        opened.require_images('players="slices"')
        if not opened.is_network:
            raise InputError(f'players="slices" needs a CNNLSTMClassifier, not {type(opened.classifier).__name__}')
        if scale not in ("log_odds", "probability"):
            raise InputError(f"scale must be 'log_odds' or 'probability'; got {scale!r}")
        self._n_patients, self._scale = len(X), scale
        self._parts = network_parts(opened.classifier)
        prepared = [opened.prepare(table) for table in (X, background)]
        stacks, self._clinical = (np.concatenate(parts) for parts in zip(*prepared, strict=True))
        self._slices = [part.encode_slices(stacks) for part in self._parts]
        n_slices = stacks.shape[1]
        self.players = [f"slice {number}" for number in range(1, n_slices + 1)]
        self.players += [CLINICAL] if self._clinical.shape[1] else []

    def worths(self, row, references, coalitions):
        n_slices = self._slices[0].shape[1]
        other = self._n_patients + references
        sources = np.where(coalitions[:, np.newaxis], row, other[np.newaxis, :, np.newaxis])
        sources = sources.reshape(-1, len(self.players))
        # Clinical columns do not change the slices, so each mixture of slices is combined once.
        mixtures, inverse = np.unique(sources[:, :n_slices], axis=0, return_inverse=True)
        clinical = (
            self._clinical[sources[:, n_slices]] if sources.shape[1] > n_slices else self._clinical[sources[:, 0]]
        )
        log_odds = []
        for part, slices in zip(self._parts, self._slices, strict=True):
            blocks = range(0, len(mixtures), BLOCK_MIXTURES // n_slices)
            vectors = [
                part.combine_slices(slices[mixtures[start : start + BLOCK_MIXTURES // n_slices], np.arange(n_slices)])
                for start in blocks
            ]
            log_odds.append(part.log_odds(np.concatenate(vectors)[inverse.ravel()], clinical))
        values = to_scale(np.mean(log_odds, axis=0), self._scale)
        return values.reshape(len(coalitions), -1).mean(axis=1)


def _coalitions(n_players):
    """Return all coalitions, of shape (2 ** n_players, n_players); the first is empty, the last complete."""
    numbers = np.arange(2**n_players)
    return (numbers[:, np.newaxis] >> np.arange(n_players)) & 1 == 1


def _shapley_weights(coalitions):
    """Return the weight of each coalition's worth in each player's value, of shape (n_players, n_coalitions).

    A coalition with the player counts with the weight of the coalition without it, which is the proportion of orders in
    which exactly these players come before.
    """
    n_players = coalitions.shape[1]
    weights = np.empty((n_players, len(coalitions)))
    sizes = coalitions.sum(axis=1)
    of_size = [factorial(size) * factorial(n_players - size - 1) / factorial(n_players) for size in range(n_players)]
    for player in range(n_players):
        has = coalitions[:, player]
        weights[player] = np.where(has, 1.0, -1.0) * np.array(of_size)[np.where(has, sizes - 1, sizes)]
    return weights


def _references(X, background):
    """Return the rows of the background for each patient: all that are not the patient."""
    ids = _ids(background)
    references = [
        np.array([row for row, other in enumerate(ids) if other is None or other != patient], dtype=np.intp)
        for patient in _ids(X)
    ]
    if alone := [str(patient) for patient, rows in zip(_ids(X), references, strict=True) if not len(rows)]:
        raise InputError(f"patient {', '.join(alone)}: the background has no other patient; give one with others")
    return references


def _ids(table):
    return table["patient_id"].tolist() if "patient_id" in table.columns else [None] * len(table)


def _stacked(X, background):
    return pd.concat([X, background], ignore_index=True)
