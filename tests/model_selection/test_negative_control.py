"""Negative controls: what is permuted, and p-values that are uniform if there is no signal."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, permutation_test_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_pspd import compare_models, negative_control
from sklearn_pspd.cohort import CLINICAL_COLUMNS
from sklearn_pspd.model_selection.negative_control import PERMUTED_LINKS, _columns_to_permute, _draw_order, _permuted


def make_patients(n_patients, rng, *, image=0.0, clinical=0.0):
    """Return a table with numbers in place of image paths, for a fast classifier."""
    y = rng.permutation(np.arange(n_patients) % 2)
    X = pd.DataFrame({name: rng.normal(size=n_patients) + clinical * y for name in CLINICAL_COLUMNS})
    X["image"] = rng.normal(size=n_patients) + image * y
    X["patient_id"] = [f"P{row:02d}" for row in range(n_patients)]
    return X, y


def reader(*columns):
    return make_pipeline(FunctionTransformer(pd.DataFrame.__getitem__, kw_args={"key": list(columns)}), FAST)


FAST = LinearDiscriminantAnalysis()


@pytest.mark.parametrize("permute", PERMUTED_LINKS)
def test_what_is_permuted(permute):
    rng = np.random.RandomState(0)
    X, y = make_patients(30, rng)
    before = X.copy()
    order = _draw_order(y, permute, rng)
    X_new, y_new = _permuted(X, y, permute, _columns_to_permute(None, X, permute), order)
    pd.testing.assert_frame_equal(X, before)
    assert X_new[["image", "patient_id"]].equals(X[["image", "patient_id"]])
    clinical, clinical_new = (frame[list(CLINICAL_COLUMNS)].to_numpy() for frame in (X, X_new))
    assert np.array_equal(y_new, y) == (permute in ("clinical", "pairing"))
    assert np.array_equal(clinical_new, clinical) == (permute == "label")
    if permute == "image":  # clinical values and outcomes are permuted together
        np.testing.assert_array_equal(clinical_new, clinical[order])
        np.testing.assert_array_equal(y_new, y[order])
    if permute == "pairing":
        np.testing.assert_array_equal(y[order], y)


@pytest.mark.parametrize(
    ("permute", "columns", "is_detected"),
    [
        ("label", ("image",), True),
        ("image", ("image",), True),
        ("clinical", ("image",), False),
        ("pairing", ("image",), False),
        ("clinical", CLINICAL_COLUMNS, True),
        ("image", CLINICAL_COLUMNS, False),
        ("pairing", CLINICAL_COLUMNS, False),
    ],
)
def test_only_a_permuted_input_loses_its_score(permute, columns, is_detected):
    X, y = make_patients(60, np.random.RandomState(1), image=2.0, clinical=1.0)
    control = negative_control(reader(*columns), X, y, permute=permute, n_permutations=19, cv=5, random_state=0)
    assert (control.p_value == 0.05) == is_detected
    assert control.resolution == 0.05


def test_permuted_pairing_is_detected_by_a_model_that_uses_it():
    rng = np.random.RandomState(2)
    X, y = make_patients(80, rng)
    # Image and clinical value agree in sign in PsPD only; neither is informative alone.
    X["image"] = X["age_years"] * np.where(y == 1, 1, -1) + 0.2 * rng.normal(size=80)
    product = FunctionTransformer(lambda X: (X["image"] * X["age_years"]).to_numpy()[:, np.newaxis])
    control = negative_control(
        make_pipeline(product, FAST), X, y, permute="pairing", n_permutations=19, cv=4, random_state=0
    )
    assert control.p_value == 0.05


@pytest.mark.parametrize("permute", ["label", "clinical"])
def test_p_values_are_uniform_without_signal(permute):
    rng = np.random.RandomState(3)
    p_values = []
    for _ in range(80):
        X, y = make_patients(24, rng)
        # The log loss has no ties; with the few values that the AUC can take, p-values are conservative.
        control = negative_control(
            reader("image", "age_years"),
            X,
            y,
            permute=permute,
            n_permutations=3,
            cv=2,
            scoring="neg_log_loss",
            random_state=rng,
        )
        p_values.append(np.mean(np.append(control.permutation_scores, control.score) >= control.score))
    # Four possible p-values, all equally likely.
    counts = np.bincount(np.rint(np.array(p_values) * 4).astype(int) - 1, minlength=4)
    assert stats.chisquare(counts).pvalue > 0.001


def test_a_tuned_pipeline_is_tuned_again():
    X, y = make_patients(40, np.random.RandomState(4), image=2.0)
    search = GridSearchCV(LogisticRegression(), {"C": [0.01, 1.0]}, cv=2, scoring="roc_auc")
    control = negative_control(search, X[["image"]], y, n_permutations=19, cv=2, random_state=0, n_jobs=1)
    assert control.p_value == 0.05
    frame = control.frame()
    assert frame.loc[0, ["permuted", "n_permutations", "p_value", "resolution"]].tolist() == ["label", 19, 0.05, 0.05]
    assert frame.loc[0, "permuted_mean"] == pytest.approx(0.5, abs=0.15)


def test_the_unpermuted_score_agrees_with_scikit_learn():
    X, y = make_patients(40, np.random.RandomState(5), image=1.0)
    folds = StratifiedKFold(4)
    score = permutation_test_score(FAST, X[["image"]], y, scoring="roc_auc", cv=folds, n_permutations=1)[0]
    assert negative_control(FAST, X[["image"]], y, cv=folds, n_permutations=1, random_state=0).score == pytest.approx(
        score
    )


def test_splits_from_a_generator_serve_every_permutation():
    X, y = make_patients(40, np.random.RandomState(5), image=1.0)
    folds = StratifiedKFold(4)
    given = [
        negative_control(FAST, X[["image"]], y, cv=cv, n_permutations=3, random_state=0).permutation_scores
        for cv in (folds.split(X, y), list(folds.split(X, y)))
    ]
    assert given[0].tolist() == given[1].tolist()


def test_progress_is_described():
    X, y = make_patients(40, np.random.RandomState(5), image=1.0)
    seen = []
    negative_control(
        FAST, X[["image"]], y, cv=4, n_permutations=2, random_state=0, on_progress=lambda *call: seen.append(call)
    )
    assert seen == [(1, 3, "unpermuted"), (2, 3, "permutation 1 of 2"), (3, 3, "permutation 2 of 2")]


def test_refusals():
    X, y = make_patients(20, np.random.RandomState(6))
    with pytest.raises(ValueError, match="permute must be one of label, image, clinical, pairing; got 'labels'"):
        negative_control(FAST, X, y, permute="labels")
    with pytest.raises(ValueError, match="X has no clinical columns, for example age_years"):
        negative_control(FAST, X[["image"]], y, permute="pairing")
    with pytest.raises(ValueError, match="n_permutations must be a whole number of at least 1; got 0"):
        negative_control(FAST, X, y, n_permutations=0)
    with pytest.raises(ValueError, match="cv=11 folds need 11 patients of each class"):
        negative_control(FAST, X[["image"]], y, cv=11)


@pytest.mark.filterwarnings("ignore")
def test_an_undefined_score_is_no_evidence():
    """NaN is never as high as the original score, so a useless protocol would have the smallest p-value."""
    y = np.repeat([0, 1], [52, 8])
    X = np.random.default_rng(0).normal(size=(60, 1))
    with pytest.raises(ValueError, match=r"undefined in 6 of 6 validations \(first: unpermuted\)"):
        negative_control(LogisticRegression(), X, y, cv=KFold(10), n_permutations=5, random_state=0)


def test_few_permutations_have_no_p_value():
    X, y = make_patients(40, np.random.RandomState(4), image=2.0)
    control = negative_control(FAST, X[["image"]], y, n_permutations=18, cv=2, random_state=0)
    assert np.isnan(control.p_value)
    assert control.frame()["p_value"].isna().all()


def test_trained_on_permuted_outcomes_and_tested_on_the_true_ones_of_another_site():
    X, y = make_patients(60, np.random.RandomState(6), image=2.0)
    X_test, y_test = make_patients(40, np.random.RandomState(7), image=2.0)
    sites = {"X_test": X_test[["image"]], "y_test": y_test}
    control = negative_control(FAST, X[["image"]], y, n_permutations=19, cv=3, random_state=0, **sites)
    expected = roc_auc_score(y_test, FAST.fit(X[["image"]], y).predict_proba(X_test[["image"]])[:, 1])
    assert control.external_score == pytest.approx(expected)
    # One feature ranks all patients either way round, whatever the outcomes that it was trained on.
    assert set(control.external_permutation_scores.round(9)) <= {round(expected, 9), round(1 - expected, 9)}
    assert control.frame()["evaluation"].tolist() == ["cross-validation", "external"]


def test_the_original_data_are_scored_as_a_comparison_scores_them():
    X, y = make_patients(50, np.random.RandomState(8), image=1.0)
    forest = make_pipeline(
        FunctionTransformer(pd.DataFrame.__getitem__, kw_args={"key": ["image", "age_years"]}),
        RandomForestClassifier(5, random_state=0),
    )
    comparison = compare_models({"forest": forest}, X, y, cv=3, random_state=4)
    expected = comparison.frame().query("metric == 'auc'")["value"].item()
    control = negative_control(forest, X, y, n_permutations=1, cv=3, random_state=4)
    assert control.score == pytest.approx(expected)
    known = negative_control(forest, X, y, n_permutations=1, cv=3, random_state=4, unpermuted=expected)
    assert known.score == expected
    np.testing.assert_array_equal(known.permutation_scores, control.permutation_scores)
