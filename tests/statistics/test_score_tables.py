"""Tables of one model's metrics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from score_draws import from_counts, moderate, scored
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.statistics import classification_table, fold_table, score_table

# Table 2 of the paper, by model: for each class the numbers of negative and positive predictions, then the printed
# precision, recall and F1 of PD, PsPD and their average.
TABLE_2 = {
    "model 1": ([[6, 2], [3, 8]], [[0.67, 0.75, 0.71], [0.80, 0.73, 0.76], [0.74, 0.74, 0.74]]),
    "model 2": ([[4, 4], [4, 7]], [[0.50, 0.50, 0.50], [0.64, 0.64, 0.64], [0.58, 0.58, 0.58]]),
    "model 3": ([[0, 8], [1, 10]], [[0.00, 0.00, 0.00], [0.56, 0.91, 0.69], [0.32, 0.53, 0.40]]),
}


# Table 2


@pytest.mark.parametrize("model", TABLE_2)
def test_classification_table_reproduces_table_2(model):
    counts, printed = TABLE_2[model]
    table = classification_table(*from_counts(counts), zero_division=0, random_state=0)
    assert table[["precision", "recall", "f1"]].round(2).to_numpy().tolist() == printed
    assert table["class"].tolist() == ["PD", "PsPD", "average"]
    assert table["support"].tolist() == [8, 11, 19]


@pytest.mark.parametrize("model", TABLE_2)
def test_classification_table_intervals_contain_their_values(model):
    table = classification_table(*from_counts(TABLE_2[model][0]), zero_division=0, random_state=0)
    for metric in ("precision", "recall", "f1"):
        assert (table[f"{metric}_low"] <= table[metric]).all()
        assert (table[metric] <= table[f"{metric}_high"]).all()
        assert table[[f"{metric}_low", f"{metric}_high"]].stack().between(0, 1).all()


@pytest.mark.parametrize("zero_division", [0.0, 1.0, np.nan])
def test_classification_table_equals_scikit_learn(zero_division):
    y_true, y_pred = from_counts(TABLE_2["model 3"][0])
    y_pred[:] = 1
    table = classification_table(y_true, y_pred, zero_division=zero_division, random_state=0)
    average = precision_recall_fscore_support(y_true, y_pred, average="weighted", zero_division=zero_division)
    assert table.loc[2, ["precision", "recall", "f1"]].tolist() == pytest.approx(list(average[:3]))
    assert table.loc[0, "precision"] == pytest.approx(zero_division, nan_ok=True)
    assert table.loc[0, ["precision_low", "precision_high"]].tolist() == [0, 1]


def test_classification_table_takes_class_names():
    y_true, y_pred = (np.array(["PD", "PsPD"])[codes] for codes in from_counts(TABLE_2["model 1"][0]))
    table = classification_table(y_true, y_pred, pos_label="PsPD", random_state=0)
    assert table["recall"].round(2).tolist() == [0.75, 0.73, 0.74]


# Score and fold tables


def test_score_table_rows():
    table = score_table([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], threshold=0.5, random_state=0)
    assert table.columns.tolist() == ["metric", "class", "value", "low", "high", "method"]
    values = {(row.metric, row[2]): row.value for row in table.itertuples()}
    assert values == pytest.approx(
        {
            ("auc", ""): 0.75,
            ("average_precision", ""): 5 / 6,
            ("brier", ""): 0.158125,
            ("accuracy", ""): 0.75,
            ("specificity", ""): 1.0,
            ("precision", "PD"): 2 / 3,
            ("recall", "PD"): 1.0,
            ("f1", "PD"): 0.8,
            ("precision", "PsPD"): 1.0,
            ("recall", "PsPD"): 0.5,
            ("f1", "PsPD"): 2 / 3,
        }
    )


def test_score_table_threshold_per_patient_includes_equality():
    table = score_table([0, 1, 0, 1], [0.2, 0.2, 0.6, 0.6], threshold=[0.3, 0.2, 0.7, 0.6], random_state=0)
    assert table.set_index("metric").loc["accuracy", "value"] == 1.0


def test_score_table_with_a_class_that_is_never_predicted():
    table = score_table([0, 1, 0, 1], [0.2, 0.2, 0.6, 0.6], threshold=0.1, random_state=0)
    precision = table[(table["metric"] == "precision") & (table["class"] == "PD")].iloc[0]
    assert np.isnan(precision["value"])
    assert (precision["low"], precision["high"]) == (0, 1)


def test_fold_table_pools_all_folds():
    rng = np.random.default_rng(0)
    y_true, fold = np.arange(30) % 2, np.arange(30) % 3
    score = rng.random(30)
    table = fold_table(y_true, score, fold).set_index("fold")
    of_folds = [average_precision_score(y_true[fold == k], score[fold == k]) for k in range(3)]
    assert table.loc[[0, 1, 2], "average_precision"].tolist() == pytest.approx(of_folds)
    assert table.loc["mean", "average_precision"] == pytest.approx(np.mean(of_folds))
    assert table.loc["pooled", "average_precision"] == pytest.approx(average_precision_score(y_true, score))


def test_fold_table_excludes_folds_with_one_class_from_the_mean():
    table = fold_table([0, 1, 0, 0], [0.1, 0.4, 0.5, 0.8], ["a", "a", "b", "b"]).set_index("fold")
    assert np.isnan(table.loc["b", "auc"])
    assert table.loc["mean", "auc"] == 1.0


# Properties


@moderate
@given(scored(), st.sampled_from([0.5, 0.8, 0.95, 0.999]))
def test_intervals_are_defined_and_in_range(data, confidence_level):
    y_true, score = data
    table = score_table(y_true, score, threshold=0.5, confidence_level=confidence_level, n_resamples=50, random_state=0)
    assert table[["low", "high"]].stack().between(0, 1).all()
    defined = table[table["value"].notna()]
    assert (defined["low"] <= defined["value"]).all()
    assert (defined["value"] <= defined["high"]).all()
    assert (defined["low"] < defined["high"]).all()


# Few patients and degenerate scores


@pytest.mark.parametrize(
    ("y_true", "score"),
    [
        pytest.param([0, 0, 0, 0, 1], [0.1, 0.2, 0.6, 0.4, 0.5], id="one positive patient"),
        pytest.param([0, 1], [0.1, 0.9], id="one patient of each class"),
        pytest.param([0] * 6 + [1] * 6, np.arange(12) / 12, id="AUC 1"),
        pytest.param([1] * 6 + [0] * 6, np.arange(12) / 12, id="AUC 0"),
        pytest.param([0] * 6 + [1] * 6, [0.5] * 12, id="constant scores"),
        pytest.param([0] * 6 + [1] * 6, [0.0] * 6 + [1.0] * 6, id="perfect probabilities"),
        pytest.param([0] * 6 + [1] * 6, [1.0] * 6 + [0.0] * 6, id="inverted probabilities"),
    ],
)
def test_degenerate_scores_have_wide_intervals(y_true, score):
    table = score_table(y_true, score, threshold=0.5, random_state=0)
    assert table[["low", "high"]].stack().between(0, 1).all()
    assert (table["high"] - table["low"] > 0.1).all()


# Errors


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: score_table([0, 1], [0, 1], threshold=[0.5] * 3), "one number, or one per patient"),
        (lambda: score_table([0, 1], [0, 1], threshold=np.nan), "threshold must be finite"),
        (lambda: classification_table([0, 1], [0, 2]), r"y_pred contains \[2\]"),
        (lambda: fold_table([0, 1], [0, 1], [1]), "fold must have one entry per patient"),
    ],
)
def test_invalid_arguments_are_rejected(call, match):
    with pytest.raises(InputError, match=match):
        call()
