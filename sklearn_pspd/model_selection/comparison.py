"""Validation of several models on the same folds and on a held-out site."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from sklearn_pspd.calibration import calibration_intercept, calibration_slope, calibration_table, decision_curve
from sklearn_pspd.comparisons import corrected_resampled_ttest, delong_test, holm, mcnemar_test
from sklearn_pspd.intervals import shared_training_factor, widened_level
from sklearn_pspd.tables import fold_table, score_table

from .folds import check_outcomes, make_splitter
from .sealing import record_use
from .tasks import Tasks
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
CROSS_VALIDATION = "cross-validation"
EXTERNAL = "external"


@dataclass(frozen=True)
class ModelComparison:
    """Scores of several models on the same patients.

    Attributes
    ----------
    scores : DataFrame
        One row for each model and scored patient: ``model``, ``evaluation`` ("cross-validation" or "external"),
        ``fold`` (0 for external), ``patient_id``, ``y_true`` (1 = PsPD), ``y_score`` (probability of PsPD) and
        ``threshold``, the share of PsPD among the rows that the scoring model was trained on.
    external_uses : DataFrame or None
        Every scoring of these external patients so far, this one last, a row a model: ``use``, ``when``, ``model``,
        ``settings`` (fingerprint of its parameters), ``n_shared`` (patients in common) and ``is_new_choice``. None
        without an external set.
    """

    scores: pd.DataFrame
    external_uses: pd.DataFrame | None = None

    def frame(self, *, confidence_level=0.95, random_state=0):
        """Summarise the scores of every model.

        Cross-validation scores are pooled over folds, which every patient enters once; "auc_fold_mean" is the mean of
        the folds' own AUCs, without an interval.

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
        A simulation with linear discriminant analysis of 59 patients shows why: DeLong's plain 95 % interval of the
        pooled AUC misses the truth in 13 to 14 % of cohorts without a signal, the widened one in 2 to 4 %, and in 1 to
        2 % at an AUC of 0.73, where it is wider than need be (``python tests/benchmarks/cross_validation.py``).

        References
        ----------
        .. [1] Nadeau C, Bengio Y. Inference for the generalization error. Mach Learn 52, 239-281 (2003).
        """

        def summary(scores):
            table = score_table(
                scores["y_true"].to_numpy(),
                scores["y_score"].to_numpy(),
                threshold=scores["threshold"].to_numpy(),
                confidence_level=_level(scores, confidence_level),
                random_state=random_state,
            )
            if scores["evaluation"].iloc[0] == CROSS_VALIDATION:
                table["method"] += WIDENED
                table = pd.concat([table, _fold_mean(scores)], ignore_index=True)
            return table

        return self._of_each_model(summary)

    def tests(self, *, confidence_level=0.95):
        """Compare the models two by two on the same patients.

        Parameters
        ----------
        confidence_level : float, default=0.95
            Coverage of the intervals, in (0, 1).

        Returns
        -------
        DataFrame
            Columns ``evaluation``, ``metric`` ("auc", "accuracy" or "auc_fold_mean"), ``model_a``, ``model_b``,
            ``difference`` (a minus b), ``low``, ``high``, ``statistic``, ``p_value``, ``p_holm`` (adjusted over the
            pairs of one evaluation and metric) and ``method``.

        Notes
        -----
        On the external set AUCs by DeLong's paired test, accuracies by McNemar's exact one. In a cross-validation the
        variance of DeLong's test is corrected for shared training patients as in :meth:`frame`; accuracies and AUCs of
        the folds (those that hold both outcomes) are compared by the corrected resampled t-test. Without the correction
        DeLong's test at 5 % calls two useless models different in 18 to 21 % of simulated cohorts of 59, with it in 4
        to 7 % (``python tests/benchmarks/cross_validation.py``). See :mod:`sklearn_pspd.comparisons`.
        """
        tables = [
            _paired_tests(evaluation, scores, confidence_level)
            for evaluation, scores in self.scores.groupby("evaluation", sort=False)
        ]
        return pd.concat(tables, ignore_index=True)

    def thresholds(self, *, rules=THRESHOLD_RULES, random_state=0):
        """Learn thresholds from the out-of-fold scores, freeze them, and apply them to the external set.

        Parameters
        ----------
        rules : sequence of str or callable, default=("equal_error", "youden", "fixed_sensitivity", "cost")
            As in :func:`~sklearn_pspd.model_selection.learn_threshold`.
        random_state : int, default=0
            Seed of the bootstrap.

        Returns
        -------
        DataFrame
            One row for each model, rule and evaluation: ``model``, ``rule``, ``threshold`` with its bootstrap spread
            ``low`` and ``high``, ``evaluation``, ``sensitivity`` and ``specificity`` (of PsPD) each with its interval,
            and ``is_optimistic``: True where the patients scored are those that gave the threshold, as in the
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
            ``method``; see :mod:`sklearn_pspd.calibration`.
        """

        def both(scores):
            level = {"confidence_level": _level(scores, confidence_level)}
            outcomes_and_risks = scores["y_true"], scores["y_score"]
            found = {
                "intercept": calibration_intercept(*outcomes_and_risks, **level),
                "slope": calibration_slope(*outcomes_and_risks, **level),
            }
            return pd.DataFrame([{"metric": metric, **estimate._asdict()} for metric, estimate in found.items()])

        return self._of_each_model(both)

    def calibration_curves(self, *, n_bins=4, confidence_level=0.95):
        """Tabulate predicted against observed shares of PsPD.

        Parameters
        ----------
        n_bins : int, default=4
            Groups of about equal size.
        confidence_level : float, default=0.95
            Coverage of the intervals, in (0, 1).

        Returns
        -------
        DataFrame
            ``model``, ``evaluation`` and the columns of :func:`~sklearn_pspd.calibration.calibration_table`.
        """

        def curve(scores):
            level = _level(scores, confidence_level)
            return calibration_table(scores["y_true"], scores["y_score"], n_bins=n_bins, confidence_level=level)

        return self._of_each_model(curve)

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
            ``model``, ``evaluation`` and the columns of :func:`~sklearn_pspd.calibration.decision_curve`.
        """

        def curve(scores):
            level = _level(scores, confidence_level)
            return decision_curve(scores["y_true"], scores["y_score"], thresholds=thresholds, confidence_level=level)

        return self._of_each_model(curve)

    def plot(self, *, title=None):
        """Draw the curves and AUCs, as the paper's figures 3 and 4.

        Parameters
        ----------
        title : str, default=None
            Heading of the figure, for example that the cohort is synthetic.

        Returns
        -------
        ComparisonDisplay
            With ``figure_`` and ``axes_``.
        """
        # Only here, so that computing does without matplotlib.
        from sklearn_pspd.plotting import ComparisonDisplay

        return ComparisonDisplay.from_comparison(self, title=title)

    def _of_each_model(self, tabulate):
        tables = []
        for (model, evaluation), scores in self.scores.groupby(["model", "evaluation"], sort=False):
            table = tabulate(scores)
            table.insert(0, "evaluation", evaluation)
            table.insert(0, "model", model)
            tables.append(table)
        return pd.concat(tables, ignore_index=True)


def compare_models(
    models,
    X,
    y,
    *,
    cv=10,
    X_test=None,
    y_test=None,
    external_log=None,
    random_state=None,
    n_jobs=None,
    on_progress=None,
):
    """Validate several models on the same folds, and once on an external set.

    Each fit sees the rows of its training fold and nothing else; the external set is scored by models that were trained
    on all of X. A patient is called PsPD where the probability reaches the share of PsPD among the rows that the model
    was trained on: a threshold that needs neither test rows nor a second fit (ours; the paper took one from the test
    set).

    Parameters
    ----------
    models : dict of str to estimator
        Classifiers of X with ``predict_proba``, by the name that tables and figures show.
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table of the training site(s), as :func:`~sklearn_pspd.cohort.split_xy` gives it.
    y : array-like of shape (n_patients,)
        0 = PD, 1 = PsPD.
    cv : int or splitter, default=10
        Number of stratified, shuffled folds [1]_, or a scikit-learn splitter.
    X_test : DataFrame, default=None
        Cohort table of the external site.
    y_test : array-like, default=None
        Its outcomes.
    external_log : path-like, default=None
        File that records every use of an external set, one JSON object a line, beyond this process. A second use with
        another choice of model shows in ``external_uses`` and in the report, whether there is a file or not.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds.
    n_jobs : int, default=None
        Fits at once, in processes.
    on_progress : callable, default=None
        Called after each fit with its number, the number of all fits, and its description.

    Returns
    -------
    ModelComparison
        Out-of-fold and external scores.

    Raises
    ------
    ValueError
        If a class has fewer patients than there are folds, folds share a patient, y holds anything but 0 and 1, or a
        patient is in X and in X_test.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_pspd import compare_models
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> X = pd.DataFrame({"a": rng.normal(size=40) + y, "b": rng.normal(size=40)})
    >>> comparison = compare_models({"logistic": LogisticRegression()}, X, y, cv=4, random_state=0)
    >>> comparison.scores.shape
    (40, 7)
    """
    y = check_outcomes(y, "y")
    X_test, y_test = _check_external(X, X_test, y_test)
    splits = list(make_splitter(cv, y, random_state).split(X, y))
    if len(tested := np.concatenate([test for _, test in splits])) != len(np.unique(tested)):
        raise ValueError("cv holds out a patient more than once; pooled scores need folds that share no patient")
    tasks = [(name, fold, train, test) for name in models for fold, (train, test) in enumerate(splits, start=1)]
    if X_test is not None:
        tasks += [(name, 0, np.arange(len(y)), None) for name in models]
    calls = [(clone(models[name]), name, fold, X, y, train, test, X_test, y_test) for name, fold, train, test in tasks]
    told = [f"{name}, {f'fold {fold} of {len(splits)}' if fold else 'external set'}" for name, fold, _, _ in tasks]
    scores = list(Tasks(len(calls), n_jobs, on_progress).run(_score, calls, told))
    uses = None if X_test is None else record_use(models, X_test, y_test, external_log)
    return ModelComparison(pd.concat(scores, ignore_index=True), uses)


def _score(model, name, fold, X, y, train, test, X_test, y_test):
    model.fit(_safe_indexing(X, train), y[train])
    if fold:
        X_test, y_test = _safe_indexing(X, test), y[test]
    return pd.DataFrame(
        {
            "model": name,
            "evaluation": CROSS_VALIDATION if fold else EXTERNAL,
            "fold": fold,
            "patient_id": _patient_ids(X_test),
            "y_true": y_test,
            "y_score": model.predict_proba(X_test)[:, 1],
            "threshold": y[train].mean(),
        }
    )


def _fold_mean(scores):
    table = fold_table(scores["y_true"], scores["y_score"], scores["fold"]).set_index("fold")
    value, n_folds = table.loc["mean", "auc"], table["auc"].drop(["mean", "pooled"]).count()
    row = {"metric": "auc_fold_mean", "class": "", "value": value, "low": np.nan, "high": np.nan}
    return pd.DataFrame([{**row, "method": f"mean of {n_folds} folds"}])


def _paired_tests(evaluation, scores, confidence_level):
    level = {"confidence_level": confidence_level}
    by_model = {model: rows.set_index("patient_id") for model, rows in scores.groupby("model", sort=False)}
    rows = []
    for (name_a, a), (name_b, b) in combinations(by_model.items(), 2):
        b = b.loc[a.index]
        y = a["y_true"].to_numpy()
        scores_of_both = (part["y_score"].to_numpy() for part in (a, b))
        if evaluation == CROSS_VALIDATION:
            found = {
                "auc": delong_test(y, *scores_of_both, variance_factor=_factor(a), **level),
                **_fold_tests(a, b, level),
            }
        else:
            calls = [(part["y_score"] >= part["threshold"]).to_numpy() for part in (a, b)]
            found = {"auc": delong_test(y, *scores_of_both, **level), "accuracy": mcnemar_test(y == 1, *calls, **level)}
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
    """Compare two models by their folds' scores, each metric over the folds that have it."""
    n_test = float(a["fold"].value_counts().mean())
    sizes = {"n_train": len(a) - n_test, "n_test": n_test}
    pairs = {"accuracy": (_fold_accuracies(a), _fold_accuracies(b)), "auc_fold_mean": (_fold_aucs(a), _fold_aucs(b))}
    return {
        metric: corrected_resampled_ttest(*scores, **sizes, **level)
        for metric, scores in pairs.items()
        if len(scores[0]) > 1
    }


def _fold_accuracies(scores):
    is_right = (scores["y_score"] >= scores["threshold"]) == (scores["y_true"] == 1)
    return is_right.groupby(scores["fold"]).mean().to_numpy()


def _fold_aucs(scores):
    """Return the AUCs of the folds that hold both outcomes."""
    table = fold_table(scores["y_true"].to_numpy(), scores["y_score"].to_numpy(), scores["fold"].to_numpy())
    aucs = table.loc[~table["fold"].isin(["mean", "pooled"]), "auc"].to_numpy(dtype=np.float64)
    return aucs[~np.isnan(aucs)]


def _factor(scores):
    """Return the factor of the variance that shared training patients make; 1 on an external set."""
    n_folds = scores["fold"].nunique()
    if scores["evaluation"].iloc[0] != CROSS_VALIDATION or n_folds == 1:
        return 1.0
    n_test = len(scores) / n_folds
    return shared_training_factor(n_folds, len(scores) - n_test, n_test)


def _level(scores, confidence_level):
    return widened_level(confidence_level, _factor(scores))


def _check_external(X, X_test, y_test):
    if (X_test is None) != (y_test is None):
        raise ValueError("X_test and y_test come together; one of them is None")
    if X_test is None:
        return None, None
    shared = set(_patient_ids(X)) & set(_patient_ids(X_test))
    if shared and "patient_id" in X:
        raise ValueError(f"patients of the external set are in the training set too: {', '.join(sorted(shared))}")
    return X_test, check_outcomes(y_test, "y_test")


def _patient_ids(X):
    return X["patient_id"].to_numpy() if "patient_id" in X else X.index.to_numpy()
