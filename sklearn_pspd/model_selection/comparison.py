"""Scores of several models on the same patients: intervals, paired tests, calibration, thresholds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd

from sklearn_pspd.statistics import (
    calibration_intercept,
    calibration_slope,
    calibration_table,
    corrected_resampled_ttest,
    decision_curve,
    delong_test,
    fold_table,
    holm,
    mcnemar_test,
    score_table,
)
from sklearn_pspd.statistics.checks import check_scores
from sklearn_pspd.statistics.intervals import shared_training_factor, widened_level

from .folds import CROSS_VALIDATION, EXTERNAL
from .thresholds import THRESHOLD_RULES, threshold_table

TEST_COLUMNS = [
    "evaluation",
    "metric",
    "model_a",
    "model_b",
    "difference",
    "low",
    "high",
    "statistic",
    "p_value",
    "method",
]
WIDENED = ", widened for shared training patients"


@dataclass(frozen=True)
class ModelComparison:
    """Scores of several models on the same patients.

    Attributes
    ----------
    scores : DataFrame
        One row per model and scored patient: ``model``, ``evaluation`` ("cross-validation" or "external"), ``fold`` (0
        for external), ``patient_id``, ``y_true`` (1 = PsPD), ``y_score`` (probability of PsPD) and ``threshold``, the
        prevalence of PsPD among the patients that the scoring model was trained on.
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
        for model, of_model in by_name.items():
            is_positive, score = check_scores(y_true, of_model, pos_label)
            folds = np.zeros(len(score), dtype=np.int64) if fold is None else np.asarray(fold)
            columns = {"model": model, "evaluation": EXTERNAL if fold is None else CROSS_VALIDATION, "fold": folds}
            columns |= {"patient_id": np.arange(len(score)), "y_true": is_positive.astype(np.int64), "y_score": score}
            columns["threshold"] = _prevalence_elsewhere(is_positive, folds) if threshold is None else threshold
            tables.append(pd.DataFrame(columns))
        return cls(pd.concat(tables, ignore_index=True))

    def tables(self):
        """Compute every table of the comparison once, with its defaults.

        Returns
        -------
        dict of str to DataFrame
            By name: "comparison" (:meth:`frame`), "tests", "scores", "calibration", "calibration_curves",
            "decision_curves", "thresholds" (where there is a cross-validation), and "external_uses" and "tuned_folds"
            where they exist.
        """
        tables = {
            "comparison": self.frame(),
            "tests": self.tests(),
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

        Scores of a cross-validation are pooled over the folds. "auc_fold_mean", "average_precision_fold_mean" and
        "accuracy_fold_mean" are means over the values of the single folds, without an interval.

        Parameters
        ----------
        confidence_level : float, default=0.95
            Coverage of the intervals, in (0, 1).
        random_state : int, default=0
            Seed of the bootstrap intervals.

        Returns
        -------
        DataFrame
            Columns ``model``, ``evaluation``, ``metric``, ``class``, ``value``, ``low``, ``high``, ``method``.

        Notes
        -----
        Folds share training patients, so out-of-fold scores are not independent. Intervals of a cross-validation are
        widened as if the variance were that of Nadeau and Bengio [1]_, 1 + k / (k - 1) times the plain one for k folds.
        Those of AUPRC and F1 are then normal intervals on the logit scale, since BCa limits so far out depend on the
        outermost resamples. A simulation with linear discriminant analysis of 59 patients shows the need for it:
        DeLong's plain 95 % interval of the pooled AUC misses the true mean AUC of the folds in 14 to 16 % of cohorts
        without a signal. The widened interval misses it in 1 to 4 %, and in 0 to 1 % at an AUC of 0.73, where it is
        conservative. Widened intervals of AUPRC miss in 1 to 5 %, of the Brier score in 0 to 4 %, of accuracy and F1 in
        0 to 2 % (``python tests/benchmarks/cross_validation.py 300``).

        References
        ----------
        .. [1] Nadeau C, Bengio Y. Inference for the generalization error. Mach Learn 52, 239-281 (2003).
        """

        def summary(scores):
            table = score_table(
                scores["y_true"].to_numpy(),
                scores["y_score"].to_numpy(),
                threshold=scores["threshold"].to_numpy(),
                confidence_level=confidence_level,
                random_state=random_state,
                variance_factor=_factor(scores),
            )
            if scores["evaluation"].iloc[0] == CROSS_VALIDATION:
                table["method"] += WIDENED
                table = pd.concat([table, _fold_means(scores)], ignore_index=True)
            return table

        return self._per_model(summary)

    def tests(self, *, confidence_level=0.95):
        """Compare the models in pairs on the same patients.

        Parameters
        ----------
        confidence_level : float, default=0.95
            Coverage of the intervals, in (0, 1).

        Returns
        -------
        DataFrame
            Columns ``evaluation``, ``metric`` ("auc"; on the external set "accuracy"; in a cross-validation
            "auc_fold_mean", "average_precision_fold_mean" and "accuracy_fold_mean"), ``model_a``, ``model_b``,
            ``difference`` (a minus b), ``low``, ``high``, ``statistic``, ``p_value``, ``p_holm`` (adjusted over the
            pairs within one evaluation and metric) and ``method``.

        Notes
        -----
        On the external set AUCs are compared by DeLong's paired test, accuracies by McNemar's exact test. In a
        cross-validation the variance of DeLong's test is corrected for shared training patients as in :meth:`frame`;
        accuracies and AUCs of the folds (those with both outcomes) are compared by the corrected resampled t-test.
        Without the correction DeLong's test at the 5 % level finds two useless models different in 18 to 21 % of
        simulated cohorts of 59 patients, with it in 3 to 7 % (``python tests/benchmarks/cross_validation.py 300``). See
        :func:`~sklearn_pspd.statistics.delong_test`.
        """
        tables = [
            _paired_tests(evaluation, scores, confidence_level)
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
        return threshold_table(self.scores, rules, random_state)

    def calibration(self, *, confidence_level=0.95):
        """Estimate calibration intercept and slope of every model.

        Parameters
        ----------
        confidence_level : float, default=0.95
            Coverage of the intervals, in (0, 1); those of a cross-validation are widened as in :meth:`frame`.

        Returns
        -------
        DataFrame
            Columns ``model``, ``evaluation``, ``metric`` ("intercept" or "slope"), ``value``, ``low``, ``high``,
            ``method``; see :func:`~sklearn_pspd.statistics.calibration_slope`.
        """

        def intercept_and_slope(scores):
            level = {"confidence_level": _level(scores, confidence_level)}
            outcomes_and_risks = scores["y_true"], scores["y_score"]
            found = {
                "intercept": calibration_intercept(*outcomes_and_risks, **level),
                "slope": calibration_slope(*outcomes_and_risks, **level),
            }
            return pd.DataFrame([{"metric": metric, **estimate._asdict()} for metric, estimate in found.items()])

        return self._per_model(intercept_and_slope)

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
            level = _level(scores, confidence_level)
            return calibration_table(
                scores["y_true"], scores["y_score"], n_bins=min(n_bins, len(scores)), confidence_level=level
            )

        return self._per_model(curve)

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
            level = _level(scores, confidence_level)
            return decision_curve(scores["y_true"], scores["y_score"], thresholds=thresholds, confidence_level=level)

        return self._per_model(curve)

    def _per_model(self, tabulate):
        tables = []
        for (model, evaluation), scores in self.scores.groupby(["model", "evaluation"], sort=False):
            table = tabulate(scores)
            table.insert(0, "evaluation", evaluation)
            table.insert(0, "model", model)
            tables.append(table)
        return pd.concat(tables, ignore_index=True)


def _prevalence_elsewhere(is_positive, folds):
    """Return for each patient the prevalence in the other folds; with one fold, in all patients."""
    if len(np.unique(folds)) == 1:
        return np.full(len(folds), is_positive.mean())
    return np.array([is_positive[folds != fold].mean() for fold in folds])


def _fold_means(scores):
    """Return one row per metric: the mean over the folds that have it, without an interval."""
    rows = []
    for metric, of_folds in FOLD_METRICS.items():
        values = of_folds(scores)
        row = {"metric": metric, "class": "", "value": np.mean(values) if len(values) else np.nan}
        rows.append({**row, "low": np.nan, "high": np.nan, "method": f"mean of {len(values)} folds"})
    return pd.DataFrame(rows)


def _paired_tests(evaluation, scores, confidence_level):
    level = {"confidence_level": confidence_level}
    by_model = {model: rows.set_index("patient_id") for model, rows in scores.groupby("model", sort=False)}
    rows = []
    for (name_a, a), (name_b, b) in combinations(by_model.items(), 2):
        b = b.loc[a.index]
        y = a["y_true"].to_numpy()
        both_scores = (part["y_score"].to_numpy() for part in (a, b))
        if evaluation == CROSS_VALIDATION:
            found = {
                "auc": delong_test(y, *both_scores, variance_factor=_factor(a), **level),
                **_fold_tests(a, b, level),
            }
        else:
            predictions = [(part["y_score"] >= part["threshold"]).to_numpy() for part in (a, b)]
            found = {
                "auc": delong_test(y, *both_scores, **level),
                "accuracy": mcnemar_test(y == 1, *predictions, **level),
            }
        rows += [
            {"evaluation": evaluation, "metric": metric, "model_a": name_a, "model_b": name_b, **test._asdict()}
            for metric, test in found.items()
        ]
    table = pd.DataFrame(rows, columns=TEST_COLUMNS)
    # Cross-validation may have no test of folds, and one model none at all.
    adjusted = table.groupby("metric")["p_value"].transform(lambda p: holm(p.to_numpy())) if len(table) else []
    table.insert(table.columns.get_loc("p_value") + 1, "p_holm", adjusted)
    return table


def _fold_tests(a, b, level):
    """Compare two models by the scores of single folds, each metric over the folds that have it."""
    n_test = float(a["fold"].value_counts().mean())
    sizes = {"n_train": len(a) - n_test, "n_test": n_test}
    pairs = {metric: (of_folds(a), of_folds(b)) for metric, of_folds in FOLD_METRICS.items()}
    return {
        metric: corrected_resampled_ttest(*scores, **sizes, **level)
        for metric, scores in pairs.items()
        if len(scores[0]) > 1
    }


def _fold_accuracies(scores):
    is_right = (scores["y_score"] >= scores["threshold"]) == (scores["y_true"] == 1)
    return is_right.groupby(scores["fold"]).mean().to_numpy()


def _fold_values(metric, scores):
    """Return a metric of the folds with both outcomes."""
    table = fold_table(scores["y_true"].to_numpy(), scores["y_score"].to_numpy(), scores["fold"].to_numpy())
    values = table.loc[~table["fold"].isin(["mean", "pooled"]), metric].to_numpy(dtype=np.float64)
    return values[~np.isnan(values)]


FOLD_METRICS = {
    "auc_fold_mean": partial(_fold_values, "auc"),
    "average_precision_fold_mean": partial(_fold_values, "average_precision"),
    "accuracy_fold_mean": _fold_accuracies,
}


def _factor(scores):
    """Return the factor by which shared training patients increase the variance; 1 on an external set."""
    n_folds = scores["fold"].nunique()
    if scores["evaluation"].iloc[0] != CROSS_VALIDATION or n_folds == 1:
        return 1.0
    n_test = len(scores) / n_folds
    return shared_training_factor(n_folds, len(scores) - n_test, n_test)


def _level(scores, confidence_level):
    return widened_level(confidence_level, _factor(scores))
