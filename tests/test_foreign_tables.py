"""Tables of other kinds than pandas' usual one: they give the same results, or one sentence says what to do."""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier

from sklearn_pspd import (
    CNNLSTMClassifier,
    Study,
    audit_leaks,
    characteristics_table,
    compare_models,
    make_clinical_pipeline,
    make_fusion_pipeline,
    make_image_pipeline,
    negative_control,
    read_cohort,
    split_xy,
)
from sklearn_pspd.cohort import check_cohort
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.preprocessing import ClinicalMinMaxScaler


@pytest.fixture(scope="module")
def cohort(cohort_folder):
    cohort = read_cohort(cohort_folder / "cohort.csv")
    return cohort.assign(image=cohort["image"].astype(str))


@pytest.fixture
def forest():
    return make_clinical_pipeline(RandomForestClassifier(5, random_state=0))


@pytest.fixture
def fusion(tiny_network, cohort_folder):
    return make_fusion_pipeline(tiny_network, n_slices=3, size_px=8, memory=cohort_folder / "cache")


# ---- refused in one sentence -----------------------------------------------------------------------------------------


def check_refused(function, kind, advice):
    with pytest.raises(InputError) as caught:
        function()
    text = str(caught.value)
    assert "must be a DataFrame of pandas" in text
    assert f"got {kind}; {advice}" in text
    assert "\n" not in text


def test_polars_tables_are_refused_everywhere(cohort, forest, fusion):
    polars = pytest.importorskip("polars")
    X, y = split_xy(cohort)
    fusion.fit(X, y)
    forest.fit(X, y)
    whole, rows = polars.from_pandas(cohort), polars.from_pandas(X.reset_index(drop=True))
    for function in (
        lambda: check_cohort(whole),
        lambda: split_xy(whole),
        lambda: Study(whole),
        lambda: audit_leaks(rows, y),
        lambda: audit_leaks(X, y, X_test=rows),
        lambda: SliceStackLoader(n_slices=3).fit_transform(rows),
        lambda: ClinicalMinMaxScaler().fit(rows.select("age_years", "sex")),
        lambda: fusion.fit(rows, y),
        lambda: fusion.predict(rows),
        lambda: forest.fit(rows, y),
        lambda: forest.predict(rows),
        lambda: compare_models({"forest": forest}, rows, y, cv=2),
        lambda: negative_control(forest, rows, y, cv=2, n_permutations=1),
    ):
        check_refused(function, "polars.DataFrame", "convert it by to_pandas()")


def test_arrays_are_refused_by_pipelines(cohort, forest, fusion):
    X, y = split_xy(cohort)
    for model in (forest, fusion):
        for function in (
            lambda model=model: model.fit(X.to_numpy(), y),
            lambda model=model: BaggingClassifier(model, n_estimators=2).fit(X, y),
        ):
            check_refused(function, "numpy.ndarray", "it needs named columns; an estimator that passes arrays")
    check_refused(lambda: SliceStackLoader().fit(X.to_numpy()), "numpy.ndarray", "it needs named columns")


def test_bagging_goes_inside_the_pipeline(cohort, cohort_folder, tiny_network):
    X, y = split_xy(cohort)
    bagged = make_clinical_pipeline(BaggingClassifier(RandomForestClassifier(5), n_estimators=2, random_state=0))
    assert bagged.fit(X, y).predict_proba(X).shape == (len(X), 2)
    network = BaggingClassifier(tiny_network.set_params(n_clinical=7), n_estimators=2, random_state=0)
    fusion = make_fusion_pipeline(network, n_slices=3, size_px=8, memory=cohort_folder / "cache").fit(X, y)
    assert len(fusion["classifier"].estimators_) == 2
    assert np.isfinite(fusion.predict_proba(X)).all()


def test_no_rows_are_refused(cohort, forest, fusion):
    X, y = split_xy(cohort)
    for model in (forest.fit(X, y), fusion.fit(X, y)):
        with pytest.raises(InputError, match=r"X has 0 rows|X must have at least one slice stack; it is empty"):
            model.predict(X.iloc[:0])
    with pytest.raises(ValueError, match="0 sample"):
        fusion["classifier"].predict_proba(np.empty((0, 3 * 64 + 7), np.float32))


# ---- admitted --------------------------------------------------------------------------------------------------------


def test_columns_of_pyarrow_give_the_same_results(cohort, forest, fusion):
    pytest.importorskip("pyarrow")
    arrow = cohort.convert_dtypes(dtype_backend="pyarrow")
    (X, y), (X_arrow, y_arrow) = split_xy(cohort), split_xy(check_cohort(arrow))
    np.testing.assert_array_equal(y_arrow, y)
    for model in (forest, fusion):
        expected = model.fit(X, y).predict_proba(X)
        np.testing.assert_array_equal(model.predict_proba(X_arrow), expected)
        np.testing.assert_array_equal(model.fit(X_arrow, y).predict_proba(X), expected)
    pd.testing.assert_frame_equal(audit_leaks(X_arrow, y), audit_leaks(X, y))
    assert str(characteristics_table(arrow, "outcome")) == str(characteristics_table(cohort, "outcome"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small folds
        scores = [Study(table, {"forest": forest}, cv=2).run().comparison.scores for table in (cohort, arrow)]
    pd.testing.assert_series_equal(scores[1]["y_score"], scores[0]["y_score"])


def labels():
    codes = np.arange(16) % 2
    yield pd.Series(codes, dtype="Int64"), [0, 1]
    yield pd.Series(codes, dtype="boolean"), [False, True]
    yield pd.Series(np.where(codes, "PsPD", "PD"), dtype="string"), ["PD", "PsPD"]
    if hasattr(np.dtypes, "StringDType"):
        yield np.where(codes, "PsPD", "PD").astype(np.dtypes.StringDType()), ["PD", "PsPD"]


@pytest.mark.parametrize(("y", "classes"), list(labels()), ids=lambda value: str(getattr(value, "dtype", "")) or None)
def test_labels_keep_their_type(y, classes):
    X = np.random.default_rng(0).random((16, 7), dtype=np.float32)
    network = CNNLSTMClassifier(None, epochs=1, random_state=0)
    fitted = network.fit(X, y)
    assert fitted.classes_.tolist() == classes
    assert all(type(label) is type(known) for label, known in zip(fitted.classes_.tolist(), classes, strict=True))
    assert set(fitted.predict(X).tolist()) <= set(classes)
    assert network.partial_fit(X, y).classes_.tolist() == classes
    with pytest.raises(ValueError, match=r"NaN|NA|null|missing"):
        CNNLSTMClassifier(None, epochs=1).fit(X, pd.Series([0, 1] * 7 + [0, None], dtype="Int64"))


# ---- names of columns ------------------------------------------------------------------------------------------------


def test_output_as_tables(cohort, forest, tiny_network, cohort_folder):
    """The scaled clinical columns have names; stacks and pixels have none, and are left as they are."""
    X, y = split_xy(cohort)
    expected = forest.fit(X, y).predict_proba(X)
    table = forest.set_output(transform="pandas").fit(X, y)["features"].transform(X)
    assert table.columns[0] == "clinical__age_years"
    np.testing.assert_array_equal(forest.predict_proba(X), expected)

    image = make_image_pipeline(tiny_network, n_slices=3, size_px=8, memory=cohort_folder / "cache")
    expected = image.fit(X, y).predict_proba(X)
    with sklearn.config_context(transform_output="pandas"):
        assert np.array_equal(image.fit(X, y).predict_proba(X), expected)
    with pytest.raises(ValueError, match="`set_output` is not available"):
        image.set_output(transform="pandas")
