"""The patients whom a model predicts worst, with everything that may explain why."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics.checks import check_classes

from .maps import SliceMaps, slice_maps
from .opened import OpenedModel, check_outcomes
from .shapley import ShapleyValues, shapley_values

FACTS = (
    "format",
    "width",
    "height",
    "column_spacing_mm",
    "slice_spacing_mm",
    "thickness_mm",
    "tilt_deg",
    "orientation",
)
SMALLEST_PROBABILITY = 1e-7


@dataclass(frozen=True, eq=False)
class FailureCases:
    """The worst-predicted patients, the worst first.

    Attributes
    ----------
    table : DataFrame
        One row per patient: ``patient_id``, ``outcome``, ``probability`` of the positive class, ``log_loss``, the
        clinical columns that the model reads, and facts of the image file.
    images : ndarray of shape (n_patients, n_slices, height, width) or None
        Standardised slices; None if the model reads no images.
    maps : SliceMaps or None
        Maps of these patients; None without a network.
    contributions : ShapleyValues or None
        Shapley values of these patients; None without reference patients.
    """

    table: pd.DataFrame
    images: np.ndarray | None
    maps: SliceMaps | None
    contributions: ShapleyValues | None

    def frame(self):
        """Return the patients.

        Returns
        -------
        DataFrame
            A copy of ``table``.
        """
        return self.table.copy()


def failure_cases(
    model, X, y, *, n_patients=4, background=None, method="hires_cam", scores=None, pos_label=1, **map_options
):
    """Collect the patients whom a fitted model predicts worst.

    Parameters
    ----------
    model : Pipeline
        A fitted pipeline of a cohort table.
    X : DataFrame of shape (n_patients, n_columns)
        Patients.
    y : array-like of shape (n_patients,)
        Their outcomes.
    n_patients : int, default=4
        Number of patients, or all if there are fewer.
    background : DataFrame, default=None
        Reference patients of the Shapley values; None leaves these out.
    method : str, default="hires_cam"
        Method of the maps; see :func:`slice_maps`.
    scores : array-like of shape (n_patients,), default=None
        Probabilities by which patients are chosen, for example out of fold; None takes those of `model`. Maps and
        contributions are always those of `model`.
    pos_label : int, str or bool, default=1
        The positive class.
    **map_options : object
        Parameters of :func:`slice_maps`. The checks of the maps are run on the patients that are shown.

    Returns
    -------
    FailureCases
        The patients with the largest log loss.

    Raises
    ------
    InputError
        If a class is absent, `n_patients` is not positive, or a score is outside [0, 1].

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import make_clinical_pipeline, make_cohort, split_xy
    >>> from sklearn_pspd.inspection import failure_cases
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(folder, 20, matrix_px=(32,), n_native_slices=10, random_state=0))
    >>> model = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=20).fit(X, y)
    >>> failure_cases(model, X, y, n_patients=2).frame().shape
    (2, 11)
    """
    opened = OpenedModel(model)
    y = check_outcomes(y, len(X))
    is_positive = check_classes(y, pos_label)
    if n_patients != int(n_patients) or n_patients < 1:
        raise InputError(f"n_patients must be a positive whole number; got {n_patients!r}")
    probability = np.asarray(model.predict_proba(X)[:, 1] if scores is None else scores, dtype=float)
    if probability.shape != (len(X),) or not ((probability >= 0) & (probability <= 1)).all():
        raise InputError("scores must be one probability in [0, 1] per patient")
    # The largest losses first.
    of_outcome = np.clip(np.where(is_positive, probability, 1 - probability), SMALLEST_PROBABILITY, 1)
    worst = np.argsort(of_outcome, kind="stable")[: int(n_patients)]
    chosen = X.iloc[worst]
    table = pd.DataFrame({"patient_id": chosen["patient_id"].astype(str).to_numpy(), "outcome": y[worst]})
    table["probability"], table["log_loss"] = probability[worst], -np.log(of_outcome[worst])
    for name in opened.clinical_columns:
        table[name] = chosen[name].to_numpy()
    # Images, maps and contributions.
    images, maps = None, None
    if opened.has_images:
        facts = opened.images_of["load"].inspect(chosen)
        table = pd.concat([table, facts[list(FACTS)].reset_index(drop=True)], axis=1)
        if opened.is_network and not opened.further_images:
            maps = slice_maps(model, chosen, method, **{"check": len(chosen) >= 3, **map_options})
            images = maps.images
        else:
            # Of several images the first, which the table and the figures are about.
            images = opened.prepare(chosen)[0][:, : opened.images_of["load"].n_slices]
    contributions = None
    if background is not None:
        scale = "log_odds" if opened.is_network else "probability"
        contributions = shapley_values(model, chosen, background, scale=scale)
    return FailureCases(table, images, maps, contributions)
