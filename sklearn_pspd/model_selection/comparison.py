"""Scores of several models on the same patients: intervals, paired tests, calibration, thresholds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import calibration_table, decision_curve
from sklearn_pspd.statistics.checks import check_scores

from .folds import CROSS_VALIDATION, EXTERNAL
from .paired_comparisons import paired_tests
from .score_summaries import (
    calibration_rows,
    coverage,
    mean_over_repeats,
    of_model,
    patient_table,
    replicate_table,
    summarise,
)
from .thresholds import THRESHOLD_RULES, threshold_table

SCORE_COLUMNS = [
    "model",
    "evaluation",
    "repeat",
    "fold",
    "replicate",
    "patient_id",
    "y_true",
    "y_score",
    "threshold",
]
# With more models than the paper's, the report tests the first one against each of the others.
MAX_MODELS_IN_ALL_PAIRS = 3


@dataclass(frozen=True)
class ModelComparison:
    """Scores of several models on the same patients.

    Attributes
    ----------
    scores : DataFrame
        One row per model, scored patient and replicate: ``model``, ``evaluation`` ("cross-validation" or "external"),
        ``repeat`` of the cross-validation and ``fold``, which is numbered through all repeats (both 0 for external),
        ``replicate`` (0 for the model itself; an ensemble also has the scores of its members, 1 to R),
        ``patient_id``, ``y_true`` (1 = PsPD), ``y_score`` (probability of PsPD) and ``threshold``, the prevalence of
        PsPD among the patients that the scoring model was trained on.
    external_uses : DataFrame or None
        Every scoring of these external patients so far, this one last, one row per model: ``use``, ``when``, ``model``,
        ``settings`` (fingerprint of its parameters, its training patients and their columns), ``n_shared`` (patients in
        common), ``n_relabelled`` (those among them whose outcome has changed) and ``is_new_choice``. None without an
        external set.
    tuning : DataFrame or None
        One row per fit of a model that tunes itself: ``model``, ``evaluation``, ``fold``, ``best_params``,
        ``inner_score`` (of the selected values, in the folds of the tuning) and ``outer_score`` (on the patients held
        out). None if no model tunes itself.
    models : dict of str to estimator
        The models fitted on all training patients, if :func:`compare_models` was asked to keep them; else empty.
    """

    scores: pd.DataFrame
    external_uses: pd.DataFrame | None = None
    tuning: pd.DataFrame | None = None
    models: dict = field(default_factory=dict, repr=False)

    def __post_init__(self):
        if missing := [column for column in SCORE_COLUMNS if column not in self.scores]:
            raise InputError(
                f"scores lacks the columns {', '.join(missing)}; scores that were computed elsewhere go through "
                "ModelComparison.from_predictions"
            )

    @classmethod
    def from_predictions(cls, y_true, y_score, *, fold=None, threshold=None, name="model", pos_label=1):
        """Collect scores that were computed elsewhere.

        Parameters
        ----------
        y_true : array-like of shape (n_patients,)
            Two classes, both present.
        y_score : array-like of shape (n_patients,), or dict of str to array-like
            Probability of the positive class, of one model or by name of the model.
        fold : array-like of shape (n_patients,), default=None
            The fold in which each patient was held out, for scores of a cross-validation. None takes the scores for
            those of one model on patients that it was not trained on.
        threshold : float or array-like of shape (n_patients,), default=None
            A patient is classified as positive if the score reaches it. None takes the prevalence among the other folds
            or, without folds, among these patients.
        name : str, default="model"
            Name of a single model.
        pos_label : int, str or bool, default=1
            The positive class, PsPD.

        Returns
        -------
        ModelComparison
            With these scores.

        Raises
        ------
        InputError
            If a class is absent, a score is not finite, or lengths differ.

        Examples
        --------
        >>> from sklearn_pspd import ModelComparison
        >>> comparison = ModelComparison.from_predictions([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.8], name="logistic")
        >>> table = comparison.frame()
        >>> table.loc[table["metric"] == "auc", "value"].item()
        0.75
        """
        by_name = y_score if isinstance(y_score, Mapping) else {name: y_score}
        tables = []
        for model, given in by_name.items():
            is_positive, score = check_scores(y_true, given, pos_label)
            folds = np.zeros(len(score), dtype=np.int64) if fold is None else np.asarray(fold)
            columns = {"model": model, "evaluation": EXTERNAL if fold is None else CROSS_VALIDATION}
            columns |= {"repeat": int(fold is not None), "fold": folds, "replicate": 0}
            columns |= {"patient_id": np.arange(len(score)), "y_true": is_positive.astype(np.int64), "y_score": score}
            columns["threshold"] = _prevalence_elsewhere(is_positive, folds) if threshold is None else threshold
            tables.append(pd.DataFrame(columns))
        return cls(pd.concat(tables, ignore_index=True)[SCORE_COLUMNS])

    def tables(self):
        """Compute every table of the comparison once, with its defaults.

        Returns
        -------
        dict of str to DataFrame
            By name: "comparison" (:meth:`frame`), "tests" (of all pairs of up to three models, or else of the first
            model with each other one), "scores", "calibration", "calibration_curves", "decision_curves", "thresholds"
            (where there is a cross-validation), "replicates" and "patients" (where a model is an ensemble), and
            "external_uses" and "tuned_folds" where they exist.
        """
        names = list(self.scores["model"].unique())
        has_replicates = (self.scores["replicate"] > 0).any()
        tables = {
            "comparison": self.frame(),
            "tests": self.tests(reference=names[0] if len(names) > MAX_MODELS_IN_ALL_PAIRS else None),
            "replicates": self.replicates() if has_replicates else None,
            "patients": self.patients() if has_replicates else None,
            "scores": self.scores,
            "calibration": self.calibration(),
            "calibration_curves": self.calibration_curves(),
            "decision_curves": self.decision_curves(),
            "thresholds": self.thresholds() if (self.scores["evaluation"] == CROSS_VALIDATION).any() else None,
            "external_uses": self.external_uses,
            "tuned_folds": self.tuning,
        }
        return {name: table for name, table in tables.items() if table is not None}

    def frame(self, *, confidence_level=0.95, random_state=0):
        """Summarise the scores of every model.

        The AUC of a cross-validation ("auc") is the mean over its folds: it compares only patients who were scored by
        the same fit. "auc_pooled" ranks the patients of all folds together; where the levels of the folds differ,
        which "fold_level_share" shows, it compares fits rather than patients. All other metrics are those of the
        pooled predictions. With repeats, they and their limits are means over the repeats.

        Parameters
        ----------
        confidence_level : float, default=0.95
            Coverage of the intervals, in (0, 1).
        random_state : int, default=0
            Seed of the bootstrap intervals.

        Returns
        -------
        DataFrame
            Columns ``model``, ``evaluation``, ``metric``, ``class``, ``value``, ``low``, ``high``, ``method``. For an
            ensemble "auc_single_network" is the mean AUC of its members, see :meth:`replicates`.

        Notes
        -----
        Intervals of the AUC hold the sampling of patients and, for an ensemble, the randomness of its training
        (jackknife over the members). A model without replicates, such as a forest, has an interval for this one fit.

        Folds share training patients, so out-of-fold scores are not independent. Variances of a cross-validation are
        therefore 1 + k / (k - 1) times the plain ones for k folds [1]_. A fold with one outcome only has no AUC; then
        "auc" is NaN and its method says which folds these are. Simulated coverage of all these intervals is in the
        user guide.

        References
        ----------
        .. [1] Nadeau C, Bengio Y. Inference for the generalization error. Mach Learn 52, 239-281 (2003).
        """
        return self._per_model(
            partial(summarise, confidence_level=confidence_level, random_state=random_state), self.scores
        )

    def replicates(self, *, confidence_level=0.95):
        """Describe how much the AUC of each ensemble's single networks depends on the training.

        Parameters
        ----------
        confidence_level : float, default=0.95
            Coverage of the intervals, in (0, 1).

        Returns
        -------
        DataFrame
            One row per ensemble and evaluation: ``model``, ``evaluation``, ``n_replicates``, the columns of
            :func:`~sklearn_pspd.statistics.replicated_auc` and ``changing_class``, the proportion of patients whom not
            all networks classify alike.

        Raises
        ------
        InputError
            If no model is an ensemble, or a fold has one outcome only.
        """
        return self._per_model(partial(replicate_table, confidence_level=confidence_level), self._of_ensembles())

    def patients(self):
        """Describe how much the score of each patient depends on the training.

        Returns
        -------
        DataFrame
            One row per ensemble, evaluation and scoring: ``model``, ``evaluation``, ``repeat``, ``fold``,
            ``patient_id``, ``y_true``, ``y_score`` of the ensemble, and over its single networks ``std``, ``lowest``
            and ``highest`` probability and ``classified_pspd``, the proportion that classify the patient as PsPD.

        Raises
        ------
        InputError
            If no model is an ensemble.
        """
        return self._per_model(patient_table, self._of_ensembles())

    def tests(self, *, reference=None, confidence_level=0.95):
        """Compare the models in pairs on the same patients.

        Parameters
        ----------
        reference : str, default=None
            The model that is compared with each of the others; None compares all pairs.
        confidence_level : float, default=0.95
            Coverage of the intervals, in (0, 1).

        Returns
        -------
        DataFrame
            Columns ``evaluation``, ``metric`` ("auc", "accuracy" and, for ensembles, "auc_single_network"),
            ``model_a``, ``model_b``, ``difference`` (a minus b), ``low``, ``high``, ``statistic``, ``p_value``,
            ``p_holm`` (adjusted over the pairs within one evaluation and metric) and ``method``.

        Raises
        ------
        InputError
            If there is no such model, or models were not scored on the same patients in the same folds.

        Notes
        -----
        On the external set AUCs are compared by DeLong's paired test, accuracies by McNemar's exact test. In a
        cross-validation AUCs are compared within folds, with the variance corrected for shared training patients as in
        :meth:`frame`, and accuracies of the folds by the corrected resampled t-test. Tests of single networks use all
        replicates. Simulated sizes of these tests are in the user guide.
        """
        tables = [
            paired_tests(evaluation, scores, reference, confidence_level)
            for evaluation, scores in self.scores.groupby("evaluation", sort=False)
        ]
        return pd.concat(tables, ignore_index=True)

    def thresholds(self, *, rules=THRESHOLD_RULES, random_state=0):
        """Learn thresholds from the out-of-fold scores, and apply them unchanged to the external set.

        Parameters
        ----------
        rules : sequence of str or callable, default=("equal_error", "youden", "fixed_sensitivity", "cost")
            As in :func:`~sklearn_pspd.model_selection.learn_threshold`.
        random_state : int, default=0
            Seed of the bootstrap.

        Returns
        -------
        DataFrame
            One row per model, rule and evaluation: ``model``, ``rule``, ``threshold`` with its bootstrap limits ``low``
            and ``high``, ``evaluation``, ``sensitivity`` and ``specificity`` (for PsPD) each with its interval, and
            ``is_optimistic``: True where the threshold was learned from the patients to whom it is applied, as in the
            cross-validation and, under the rule "equal_error, test set", in the paper's own external test.
        """
        return threshold_table(of_model(self.scores), rules, random_state)

    def calibration(self, *, confidence_level=0.95):
        """Estimate calibration intercept and slope of every model.

        Parameters
        ----------
        confidence_level : float, default=0.95
            Coverage of the intervals, in (0, 1); those of a cross-validation are widened as in :meth:`frame`.

        Returns
        -------
        DataFrame
            Columns ``model``, ``evaluation``, ``metric``, ``value``, ``low``, ``high``, ``method``. Metrics are
            "intercept", "slope" (of a cross-validation within folds, see
            :func:`~sklearn_pspd.statistics.calibration_slope`) and, for a cross-validation, "fold_level_sd", the
            standard deviation of the folds' mean log odds.
        """
        return self._per_model(partial(calibration_rows, confidence_level=confidence_level), of_model(self.scores))

    def calibration_curves(self, *, n_bins=4, confidence_level=0.95):
        """Tabulate predicted probabilities against observed proportions of PsPD.

        Parameters
        ----------
        n_bins : int, default=4
            Groups of about equal size, at most one per patient.
        confidence_level : float, default=0.95
            Coverage of the intervals, in (0, 1).

        Returns
        -------
        DataFrame
            ``model``, ``evaluation`` and the columns of :func:`~sklearn_pspd.statistics.calibration_table`.
        """

        def curve(scores):
            # Repeats can differ in the number of groups, so their curves have no mean.
            first = scores[scores["repeat"] == scores["repeat"].iloc[0]]
            level = coverage(first, confidence_level)
            return calibration_table(
                first["y_true"], first["y_score"], n_bins=min(n_bins, len(first)), confidence_level=level
            )

        return self._per_model(curve, of_model(self.scores))

    def decision_curves(self, *, thresholds=None, confidence_level=0.95):
        """Tabulate the net benefit of every model.

        Parameters
        ----------
        thresholds : array-like, default=None
            Threshold probabilities in (0, 1); None takes 0.05 to 0.95 in steps of 0.05.
        confidence_level : float, default=0.95
            Coverage of the intervals, in (0, 1).

        Returns
        -------
        DataFrame
            ``model``, ``evaluation`` and the columns of :func:`~sklearn_pspd.statistics.decision_curve`.
        """

        def curve(scores):
            level = coverage(scores, confidence_level)
            return decision_curve(scores["y_true"], scores["y_score"], thresholds=thresholds, confidence_level=level)

        return self._per_model(partial(mean_over_repeats, curve), of_model(self.scores))

    def _of_ensembles(self):
        is_ensemble = self.scores.groupby("model")["replicate"].transform("max") > 0
        if not is_ensemble.any():
            raise InputError("no model is an ensemble, so there are no replicates of its training")
        return self.scores[is_ensemble]

    @staticmethod
    def _per_model(tabulate, scores):
        tables = []
        for (model, evaluation), part in scores.groupby(["model", "evaluation"], sort=False):
            table = tabulate(part)
            table.insert(0, "evaluation", evaluation)
            table.insert(0, "model", model)
            tables.append(table)
        return pd.concat(tables, ignore_index=True)


def _prevalence_elsewhere(is_positive, folds):
    """Return for each patient the prevalence in the other folds; with one fold, in all patients."""
    if len(np.unique(folds)) == 1:
        return np.full(len(folds), is_positive.mean())
    return np.array([is_positive[folds != fold].mean() for fold in folds])
