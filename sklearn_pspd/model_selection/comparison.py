"""Validation of several models on the same folds and on a held-out site."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from sklearn_pspd.calibration import calibration_intercept, calibration_slope, calibration_table, decision_curve
from sklearn_pspd.comparisons import corrected_resampled_ttest, delong_test, holm, mcnemar_test
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
        the folds' own AUCs, without an interval, since folds share their training rows.

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
        """

        def summary(scores):
            table = score_table(
                scores["y_true"].to_numpy(),
                scores["y_score"].to_numpy(),
                threshold=scores["threshold"].to_numpy(),
                confidence_level=confidence_level,
                random_state=random_state,
            )
            if scores["evaluation"].iloc[0] == CROSS_VALIDATION:
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
        AUCs by DeLong's paired test, accuracies by McNemar's exact one, fold AUCs of a cross-validation by the
        corrected resampled t-test, over the folds that hold both outcomes. The first two take the out-of-fold scores of
        a cross-validation for independent, which they are not quite: folds share training patients. See
        :mod:`sklearn_pspd.comparisons`.
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
            Coverage of the intervals, in (0, 1).

        Returns
        -------
        DataFrame
            Columns ``model``, ``evaluation``, ``metric`` ("intercept" or "slope"), ``value``, ``low``, ``high``,
            ``method``; see :mod:`sklearn_pspd.calibration`.
        """
        level = {"confidence_level": confidence_level}

        def both(scores):
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
        options = {"n_bins": n_bins, "confidence_level": confidence_level}
        return self._of_each_model(lambda scores: calibration_table(scores["y_true"], scores["y_score"], **options))

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
        options = {"thresholds": thresholds, "confidence_level": confidence_level}
        return self._of_each_model(lambda scores: decision_curve(scores["y_true"], scores["y_score"], **options))

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
        If a class has fewer patients than there are folds, y holds anything but 0 and 1, or a patient is in X and in
        X_test.

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
        calls = [(part["y_score"] >= part["threshold"]).to_numpy() for part in (a, b)]
        found = {
            "auc": delong_test(y, a["y_score"].to_numpy(), b["y_score"].to_numpy(), **level),
            "accuracy": mcnemar_test(y == 1, *calls, **level),
        }
        if evaluation == CROSS_VALIDATION and (folds := _fold_aucs(a, b)) is not None:
            sizes = a["fold"].value_counts()
            n_test = float(sizes.mean())
            found["auc_fold_mean"] = corrected_resampled_ttest(*folds, n_train=len(a) - n_test, n_test=n_test, **level)
        rows += [
            {"evaluation": evaluation, "metric": metric, "model_a": name_a, "model_b": name_b, **test._asdict()}
            for metric, test in found.items()
        ]
    table = pd.DataFrame(rows, columns=TEST_COLUMNS)
    # Cross-validation may have no test of folds, and one model none at all.
    adjusted = table.groupby("metric")["p_value"].transform(lambda p: holm(p.to_numpy())) if len(table) else []
    table.insert(table.columns.get_loc("p_value") + 1, "p_holm", adjusted)
    return table


def _fold_aucs(a, b):
    """Return both models' AUCs in the folds that hold both outcomes, None for fewer than two such folds."""
    aucs = []
    for part in (a, b):
        table = fold_table(part["y_true"].to_numpy(), part["y_score"].to_numpy(), part["fold"].to_numpy())
        of_folds = table.loc[~table["fold"].isin(["mean", "pooled"]), "auc"].to_numpy(dtype=np.float64)
        aucs.append(of_folds[~np.isnan(of_folds)])
    return aucs if len(aucs[0]) > 1 else None


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
