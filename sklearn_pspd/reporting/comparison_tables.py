"""The tables of a comparison of models as they are printed: text, with each interval beside its value."""

import math
from string import ascii_lowercase

import pandas as pd

from sklearn_pspd.model_selection.folds import CROSS_VALIDATION, EXTERNAL
from sklearn_pspd.plotting.number_texts import interval_text, number_text, signed_text

OTHER_METRICS = (("AUPRC", "average_precision"), ("accuracy", "accuracy"), ("Brier score", "brier"))
CLASS_HEADINGS = {"precision": "precision", "recall": "recall", "f1": "F1"}
DIFFERENCES = {"auc": "AUC", "auc_single_network": "AUC of a single network", "accuracy": "accuracy"}
SHOWN_THRESHOLDS = (0.25, 0.5, 0.75)


def auc_table(rows):
    """Lay out the AUC of each model and, for ensembles, of their single networks.

    Parameters
    ----------
    rows : DataFrame
        Rows of one evaluation of the table "comparison".

    Returns
    -------
    DataFrame of str
        One row per model.
    """
    table = pd.DataFrame(
        [
            [model, interval_text(cells["auc", ""]), _single(cells.get(("auc_single_network", "")))]
            for model, cells in _by_model(rows)
        ],
        columns=["model", "AUC", "AUC of a single network"],
    )
    return table if table.iloc[:, 2].any() else table.iloc[:, :2]


def metric_table(rows):
    """Lay out AUPRC, accuracy and Brier score of each model.

    Parameters
    ----------
    rows : DataFrame
        Rows of one evaluation of the table "comparison".

    Returns
    -------
    DataFrame of str
        One row per model.
    """
    chance = rows.loc[rows["metric"] == "average_precision_by_chance", "value"].iloc[0]
    headings = [f"{name} (chance {number_text(chance)})" if name == "AUPRC" else name for name, _ in OTHER_METRICS]
    cells = [
        [model, *(interval_text(cells[metric, ""]) for _, metric in OTHER_METRICS)] for model, cells in _by_model(rows)
    ]
    return pd.DataFrame(cells, columns=["model", *headings])


def chance_note(scores, rows):
    """Say what the AUPRC by chance is, which in few patients exceeds the proportion of PsPD.

    Parameters
    ----------
    scores : DataFrame
        Rows of one evaluation of the table "scores".
    rows : DataFrame
        Its rows of the table "comparison".

    Returns
    -------
    str
        One sentence; for a cross-validation another one, on what its AUPRC is.
    """
    outcomes = scores.drop_duplicates("patient_id")["y_true"]
    chance, prevalence = rows.loc[rows["metric"] == "average_precision_by_chance", "value"].iloc[0], outcomes.mean()
    text = (
        f"By chance the AUPRC (average precision) of {len(outcomes)} patients is {number_text(chance)} on average; the "
        f"proportion of PsPD is {number_text(prevalence)}."
    )
    if round(chance, 2) > round(prevalence, 2):
        text = (
            f"By chance the AUPRC (average precision) of {len(outcomes)} patients is {number_text(chance)} on average, "
            f"more than the proportion of PsPD of {number_text(prevalence)}, since it is biased upward in small "
            "samples; a model that gives all patients the same score has the latter."
        )
    if rows["evaluation"].iloc[0] == CROSS_VALIDATION:
        text += " The AUPRC is that of the pooled predictions of the folds, not the mean over the folds."
    return text


def class_table(rows):
    """Lay out precision, recall and F1 of each class.

    Parameters
    ----------
    rows : DataFrame
        Rows of one evaluation of the table "comparison".

    Returns
    -------
    DataFrame of str
        One row per model and class.
    """
    return pd.DataFrame(
        [
            {
                "model": model,
                "class": label,
                **{heading: interval_text(cells[metric, label]) for metric, heading in CLASS_HEADINGS.items()},
            }
            for model, cells in _by_model(rows)
            for label in ("PD", "PsPD")
        ]
    )


def difference_table(tests, metric):
    """Lay out the differences between the models in pairs, with their p-values.

    Parameters
    ----------
    tests : DataFrame
        Rows of one evaluation and metric of the table "tests".
    metric : str
        A key of ``DIFFERENCES``.

    Returns
    -------
    DataFrame of str
        One row per pair; where the pairs were tested differently, with the letter of the test, as in
        :func:`paired_test_notes`.
    """
    rows = [
        [
            f"{test['model_a']} - {test['model_b']}",
            difference_text(test),
            *(p_value_text(test[name]) for name in ("p_value", "p_holm")),
        ]
        for test in tests.to_dict("records")
    ]
    table = pd.DataFrame(rows, columns=["models", f"difference of {DIFFERENCES[metric]}", "p", "Holm"])
    letters = _test_letters(tests)
    return table.assign(test=[letters[method] for method in tests["method"]]) if len(letters) > 1 else table


def paired_test_notes(tests):
    """Say how the pairs of a table of differences were tested.

    Parameters
    ----------
    tests : DataFrame
        The rows that :func:`difference_table` lays out.

    Returns
    -------
    list of str
        "Test: ..." if all pairs were tested alike, else "Test a: ...", "Test b: ..." with the letters of the rows.
    """
    letters = _test_letters(tests)
    if len(letters) == 1:
        return [f"Test: {method}" for method in letters]
    return [f"Test {letter}: {method}" for method, letter in letters.items()]


def replicate_table(replicates):
    """Lay out how much the results depend on the seed of the training.

    Parameters
    ----------
    replicates : DataFrame
        The table "replicates".

    Returns
    -------
    DataFrame of str
        One row per ensemble and evaluation.
    """
    return pd.DataFrame(
        [
            {
                "model": row["model"],
                "evaluation": row["evaluation"],
                "AUC from seed to seed": _range(row["lowest"], row["highest"]),
                **{name: _percent(row[name]) for name in ("patients", "training", "interaction")},
                "needed": f"{row['n_needed']:.0f}".replace("inf", "-").replace("nan", "-"),
                "class changes": _percent(row["changing_class"]),
            }
            for row in replicates.to_dict("records")
        ]
    )


def calibration_summary(table):
    """Lay out calibration slope and intercept of each model.

    Parameters
    ----------
    table : DataFrame
        The table "calibration".

    Returns
    -------
    DataFrame of str
        One row per model and evaluation.
    """
    rows = []
    for (model, evaluation), part in table.groupby(["model", "evaluation"], sort=False):
        cells = {row["metric"]: row for row in part.to_dict("records")}
        levels = cells.get("fold_level_sd")
        rows.append(
            {
                "model": model,
                "evaluation": evaluation,
                "slope": interval_text(cells["slope"]),
                "intercept": interval_text(cells["intercept"]),
                "SD of levels": "" if levels is None else number_text(levels["value"]),
            }
        )
    return pd.DataFrame(rows)


def net_benefit_table(table):
    """Lay out the net benefit at a few threshold probabilities.

    Parameters
    ----------
    table : DataFrame
        The table "decision_curves".

    Returns
    -------
    DataFrame of str
        One row per model and evaluation, and one per evaluation for treating all.
    """
    rows = []
    shown = table[table["threshold"].round(6).isin(SHOWN_THRESHOLDS)]
    for evaluation, of_evaluation in shown.groupby("evaluation", sort=False):
        for model, part in of_evaluation.groupby("model", sort=False):
            texts = map(interval_text, part.rename(columns={"net_benefit": "value"}).to_dict("records"))
            rows.append([model, evaluation, *texts])
        rows.append(["treat all", evaluation, *map(number_text, part["treat_all"])])
    return pd.DataFrame(rows, columns=["model", "evaluation", *map(str, SHOWN_THRESHOLDS)])


def last_evaluation(thresholds):
    """Select what the thresholds do on the patients that say most: the external ones, if there are some.

    Parameters
    ----------
    thresholds : DataFrame
        The table "thresholds".

    Returns
    -------
    rows : DataFrame
        Those of one evaluation.
    patients : str
        Who they are.
    """
    is_external = (thresholds["evaluation"] == EXTERNAL).any()
    patients = "the held-out site" if is_external else "the patients from whom they were learned"
    return thresholds[thresholds["evaluation"] == thresholds["evaluation"].iloc[-1]], patients


def threshold_summary(shown):
    """Lay out thresholds with sensitivity and specificity.

    Parameters
    ----------
    shown : DataFrame
        Rows of one evaluation of the table "thresholds".

    Returns
    -------
    DataFrame of str
        One row per model and rule.
    """
    rows = []
    for row in shown.to_dict("records"):
        limits = "" if math.isnan(row["low"]) else f" ({_range(row['low'], row['high'])})"
        rows.append(
            {
                "model": row["model"],
                "rule": rule_name(row["rule"]) + (" (optimistic)" if row["is_optimistic"] else ""),
                "threshold": f"{number_text(row['threshold'])}{limits}",
                "at folds' levels": _range(row["lowest_fold"], row["highest_fold"]),
                **{name: _interval_of(row, name) for name in ("sensitivity", "specificity")},
            }
        )
    return pd.DataFrame(rows)


def rule_name(rule):
    """Write the name of a rule for thresholds as words.

    Parameters
    ----------
    rule : str
        As in the table "thresholds".

    Returns
    -------
    str
        For example "fixed sensitivity".
    """
    return {"youden": "Youden"}.get(rule, rule.replace("_", " "))


def tuning_table(tuned):
    """Lay out the scores of the selected values in the inner folds and held out.

    Parameters
    ----------
    tuned : DataFrame
        The table "tuned_folds".

    Returns
    -------
    DataFrame of str
        One row per model.
    """
    inside = tuned[tuned["evaluation"] == CROSS_VALIDATION]
    means = inside.groupby("model", sort=False)[["inner_score", "outer_score"]].mean()
    return pd.DataFrame(
        [
            {
                "model": model,
                "inner folds": number_text(inner),
                "held out": number_text(outer),
                "optimism": signed_text(inner - outer),
            }
            for model, inner, outer in means.itertuples()
        ]
    )


def control_table(controls):
    """Lay out negative controls.

    Parameters
    ----------
    controls : dict of str to NegativeControl
        By model.

    Returns
    -------
    DataFrame of str
        One row per model and evaluation.
    """
    table = pd.concat([control.frame().assign(name=name) for name, control in controls.items()], ignore_index=True)
    return pd.DataFrame(
        [
            {
                "model": row.name,
                "evaluation": row.evaluation,
                "AUC": number_text(row.score),
                "permuted, mean": number_text(row.permuted_mean),
                "SD": number_text(row.permuted_std),
                "p": "-" if math.isnan(row.p_value) else f"{row.p_value:.2g}",
            }
            for row in table.itertuples(index=False)
        ]
    )


def difference_text(test):
    """Write a difference with its interval.

    Parameters
    ----------
    test : dict of str to float
        ``difference``, ``low`` and ``high``.

    Returns
    -------
    str
        For example "+0.20 (-0.11 to +0.51)".
    """
    difference, low, high = (signed_text(test[name]) for name in ("difference", "low", "high"))
    return f"{difference} ({low} to {high})"


def p_value_text(p):
    """Write a p-value with three decimals.

    Parameters
    ----------
    p : float
        The p-value; NaN if there is none.

    Returns
    -------
    str
        For example "0.115", "<0.001" or "-".
    """
    if math.isnan(p):
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _by_model(rows):
    """Yield each model with its rows by metric and class."""
    for model, of_model in rows.groupby("model", sort=False):
        yield model, {(row["metric"], row["class"]): row for row in of_model.to_dict("records")}


def _test_letters(tests):
    """Return a letter for each test, in the order in which they appear."""
    return dict(zip(tests["method"].unique(), ascii_lowercase, strict=False))


def _single(row):
    return "" if row is None else interval_text(row)


def _range(low, high):
    return "" if math.isnan(low) else f"{number_text(low)} to {number_text(high)}"


def _interval_of(row, name):
    return interval_text({"value": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]})


def _percent(value):
    return "-" if math.isnan(value) else f"{100 * value:.0f} %"
