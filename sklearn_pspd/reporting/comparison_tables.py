"""The tables of a comparison of models as they are printed: text, with each interval beside its value."""

import math

import pandas as pd

from sklearn_pspd.model_selection.folds import CROSS_VALIDATION, EXTERNAL
from sklearn_pspd.statistics.calibration import NOT_ESTIMABLE

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
            [model, interval_text(cells["auc", ""]), interval_text(cells.get(("auc_single_network", "")))]
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
    headings = [f"{name} (chance {chance:.2f})" if name == "AUPRC" else name for name, _ in OTHER_METRICS]
    cells = [
        [model, *(interval_text(cells[metric, ""]) for _, metric in OTHER_METRICS)] for model, cells in _by_model(rows)
    ]
    return pd.DataFrame(cells, columns=["model", *headings])


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
        One row per pair.
    """
    rows = [
        [
            f"{test['model_a']} - {test['model_b']}",
            difference_text(test),
            *(p_value_text(test[name]) for name in ("p_value", "p_holm")),
        ]
        for test in tests.to_dict("records")
    ]
    return pd.DataFrame(rows, columns=["models", f"difference of {DIFFERENCES[metric]}", "p", "Holm"])


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
                "AUC from seed to seed": f"{row['lowest']:.2f} to {row['highest']:.2f}",
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
                "slope": _slope(cells["slope"]),
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
        limits = "" if math.isnan(row["low"]) else f" ({row['low']:.2f} to {row['high']:.2f})"
        rows.append(
            {
                "model": row["model"],
                "rule": rule_name(row["rule"]) + (" (optimistic)" if row["is_optimistic"] else ""),
                "threshold": f"{row['threshold']:.2f}{limits}",
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
                "optimism": f"{inner - outer:+.2f}",
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
                "AUC": f"{row.score:.2f}",
                "permuted, mean": f"{row.permuted_mean:.2f}",
                "SD": "-" if math.isnan(row.permuted_std) else f"{row.permuted_std:.2f}",
                "p": "-" if math.isnan(row.p_value) else f"{row.p_value:.2g}",
            }
            for row in table.itertuples(index=False)
        ]
    )


def interval_text(row):
    """Write a value with its interval.

    Parameters
    ----------
    row : dict of str to float or None
        ``value``, ``low`` and ``high``; None for a value that a model does not have.

    Returns
    -------
    str
        For example "0.83 (0.57 to 0.95)".
    """
    if row is None:
        return ""
    return f"{number_text(row['value'])} ({number_text(row['low'])} to {number_text(row['high'])})"


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
    return f"{test['difference']:+.2f} ({test['low']:+.2f} to {test['high']:+.2f})"


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


def number_text(value):
    """Write a number with two decimals.

    Parameters
    ----------
    value : float
        Any number.

    Returns
    -------
    str
        "-" for NaN.
    """
    return "-" if math.isnan(value) else f"{value:z.2f}".replace("inf", "infinite")


def _by_model(rows):
    """Yield each model with its rows by metric and class."""
    for model, of_model in rows.groupby("model", sort=False):
        yield model, {(row["metric"], row["class"]): row for row in of_model.to_dict("records")}


def _slope(row):
    """Return the slope with its interval, or only the interval where so few patients do not identify the slope."""
    if math.isnan(row["value"]):
        return "undefined"
    if NOT_ESTIMABLE in row["method"]:
        return f"{NOT_ESTIMABLE} ({number_text(row['low'])} to {number_text(row['high'])})"
    return interval_text(row)


def _range(low, high):
    return "" if math.isnan(low) else f"{low:.2f} to {high:.2f}"


def _interval_of(row, name):
    return interval_text({"value": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]})


def _percent(value):
    return "-" if math.isnan(value) else f"{100 * value:.0f} %"
