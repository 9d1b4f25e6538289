"""Tests of scaling of clinical columns."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError

from sklearn_pspd.cohort import CLINICAL_CODES, CLINICAL_COLUMNS, ClinicalColumn
from sklearn_pspd.cohort.columns import MAY_BE_UNKNOWN, UNKNOWN
from sklearn_pspd.preprocessing import ClinicalMinMaxScaler, scale_from_unit, scale_to_unit

NUMERIC_COLUMNS = [name for name in CLINICAL_COLUMNS if name not in CLINICAL_CODES]
MODES = ["midpoint", "mean", "indicator"]

moderate = settings(max_examples=40, deadline=None)


@pytest.fixture
def clinical():
    return pd.DataFrame(
        {
            "age_years": [40.0, 60.0, 55.0, 72.5],
            "sex": ["female", "male", "male", "female"],
            "mgmt": ["methylated", "unknown", "unmethylated", "unmethylated"],
            "idh": ["wildtype", "wildtype", "unknown", "wildtype"],
            "dose_gy": [60.0, 40.0, 60.0, 59.4],
            "n_fractions": [30, 15, 30, 33],
            "interval_days": [18, 124, 82, 1251],
        },
        index=pd.Index(["A01", "A02", "A03", "A04"], name="patient"),
    )


@st.composite
def clinical_tables(draw, min_rows=2, max_rows=6):
    """Draw a valid table whose first two rows give each numeric column a range."""
    n = draw(st.integers(min_rows, max_rows))
    columns = {}
    for name in draw(st.permutations(CLINICAL_COLUMNS)):
        if name in CLINICAL_CODES:
            categories = [*CLINICAL_CODES[name], *([UNKNOWN] if name in MAY_BE_UNKNOWN else [])]
            columns[name] = draw(st.lists(st.sampled_from(categories), min_size=n, max_size=n))
        else:
            columns[name] = draw(st.lists(st.floats(0, 10_000), min_size=n, max_size=n))
            columns[name][:2] = [columns[name][0], columns[name][0] + draw(st.floats(0.5, 100))]
    return pd.DataFrame(columns, index=pd.Index([f"P{i}" for i in range(n)], name="patient"))


def learned(scaler):
    return [scaler.data_min_.tolist(), scaler.data_max_.tolist(), scaler.unknown_values_]


# Arithmetic


@moderate
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.lists(st.floats(-1e7, 1e7), min_size=1))
def test_scale_to_unit_keeps_order_and_range(low, spread, values):
    scaled = scale_to_unit(np.sort(values), low, low + spread)
    assert np.all((scaled >= 0) & (scaled <= 1))
    assert np.all(np.diff(scaled) >= 0)


def test_scale_to_unit_by_hand():
    values = np.array([[30.0, 7.0], [45.0, 9.0], [70.0, np.nan]])
    low, high = np.array([40.0, 7.0]), np.array([60.0, 9.0])
    np.testing.assert_array_equal(scale_to_unit(values, low, high), [[0, 0], [0.25, 1], [1, np.nan]])
    np.testing.assert_array_equal(scale_to_unit(values, low, high, clip=False)[:, 0], [-0.5, 0.25, 1.5])


@moderate
@given(st.floats(-1e6, 1e6), st.floats(1, 1e6), st.floats(-1, 2))
def test_scale_from_unit_undoes_scale_to_unit(low, spread, unit):
    value = scale_from_unit(np.array([unit]), low, low + spread)
    assert scale_to_unit(value, low, low + spread, clip=False) == pytest.approx(unit, abs=1e-8)


# Tables


def test_codes_and_ranges_by_hand(clinical):
    scaled = ClinicalMinMaxScaler().fit_transform(clinical)
    assert scaled.dtype == np.float32
    expected = {
        "age_years": [0, 20 / 32.5, 15 / 32.5, 1],
        "sex": [0, 1, 1, 0],
        "mgmt": [1, 0.5, 0, 0],
        "idh": [0, 0, 0.5, 0],
        "dose_gy": [1, 0, 1, 0.97],
        "n_fractions": [15 / 18, 0, 15 / 18, 1],
        "interval_days": [0, 106 / 1233, 64 / 1233, 1],
    }
    np.testing.assert_allclose(scaled, np.column_stack(list(expected.values())), rtol=1e-6)


@moderate
@given(clinical_tables(), st.sampled_from(MODES))
def test_training_rows_lie_in_the_unit_range(table, unknown):
    scaled = ClinicalMinMaxScaler(unknown=unknown).fit_transform(table)
    assert scaled.dtype == np.float32
    assert scaled.shape == (len(table), 9 if unknown == "indicator" else 7)
    assert scaled.min() >= 0
    assert scaled.max() <= 1


@moderate
@given(clinical_tables(), st.sampled_from(MODES))
def test_inverse_transform_restores_the_table(table, unknown):
    scaler = ClinicalMinMaxScaler(unknown=unknown).set_output(transform="pandas").fit(table)
    restored = scaler.inverse_transform(scaler.transform(table))
    assert list(restored.columns) == list(table.columns)
    assert restored.index.equals(table.index)
    for name in CLINICAL_CODES:
        assert restored[name].tolist() == table[name].tolist()
    for name in NUMERIC_COLUMNS:
        spread = table[name].max() - table[name].min()
        np.testing.assert_allclose(restored[name], table[name], rtol=0, atol=1e-6 * spread)


@moderate
@given(clinical_tables(), st.sampled_from(MODES), st.data())
def test_one_patient_equals_its_row_of_a_batch(table, unknown, data):
    scaler = ClinicalMinMaxScaler(unknown=unknown).fit(table)
    i = data.draw(st.integers(0, len(table) - 1))
    np.testing.assert_array_equal(scaler.transform(table.iloc[[i]])[0], scaler.transform(table)[i])


@moderate
@given(clinical_tables(), clinical_tables(), st.sampled_from(MODES))
def test_only_training_rows_are_learned(train, test, unknown):
    scaler = ClinicalMinMaxScaler(unknown=unknown).fit(train)
    before, scaled = pickle.dumps(scaler), scaler.transform(train)
    attributes = learned(scaler)
    test_scaled = scaler.transform(test[train.columns])
    assert np.all((test_scaled >= 0) & (test_scaled <= 1))
    assert learned(scaler) == attributes
    assert pickle.dumps(scaler) == before
    np.testing.assert_array_equal(scaler.transform(train), scaled)


@moderate
@given(clinical_tables(min_rows=3))
def test_row_order_does_not_matter(table):
    reversed_rows = table.iloc[::-1]
    for unknown in MODES:
        scaler = ClinicalMinMaxScaler(unknown=unknown).fit(table)
        again = ClinicalMinMaxScaler(unknown=unknown).fit(reversed_rows)
        assert learned(scaler) == learned(again)
        np.testing.assert_array_equal(scaler.transform(table)[::-1], again.transform(reversed_rows))


def test_clip(clinical):
    scaler = ClinicalMinMaxScaler().fit(clinical)
    older = clinical.iloc[[0]].assign(age_years=105.0, interval_days=0)
    assert scaler.transform(older)[0, [0, 6]].tolist() == [1, 0]
    wide = ClinicalMinMaxScaler(clip=False).fit(clinical)
    assert wide.transform(older)[0, [0, 6]] == pytest.approx([2, -18 / 1233])
    assert wide.inverse_transform(wide.transform(older))["age_years"].tolist() == pytest.approx([105.0])
    assert scaler.inverse_transform(scaler.transform(older))["age_years"].tolist() == [72.5]


def test_a_fold_with_one_category_uses_the_documented_codes(clinical):
    men = clinical[clinical["sex"] == "male"].drop(columns=["mgmt"]).assign(idh="mutated")
    scaled = ClinicalMinMaxScaler().set_output(transform="pandas").fit_transform(men)
    assert scaled["sex"].tolist() == [1, 1]
    assert scaled["idh"].tolist() == [1, 1]


def test_unknown_as_learned_mean(clinical):
    scaler = ClinicalMinMaxScaler(unknown="mean").set_output(transform="pandas").fit(clinical)
    # One of three known MGMT states has code 1, none of three known IDH states: (1 + 0.5) / 4 and (0 + 0.5) / 4.
    assert scaler.unknown_values_ == {"mgmt": 0.375, "idh": 0.125}
    scaled = scaler.transform(clinical)
    assert scaled.loc["A02", "mgmt"] == 0.375
    assert scaled.loc["A03", "idh"] == 0.125
    none_known = scaler.fit(clinical.assign(idh="unknown"))
    assert none_known.unknown_values_["idh"] == 0.5


def test_unknown_as_indicator(clinical):
    scaler = ClinicalMinMaxScaler(unknown="indicator").set_output(transform="pandas").fit(clinical)
    scaled = scaler.transform(clinical)
    assert scaled.columns.tolist() == [*CLINICAL_COLUMNS, "mgmt_unknown", "idh_unknown"]
    assert scaled["mgmt_unknown"].tolist() == [0, 1, 0, 0]
    assert scaled["idh_unknown"].tolist() == [0, 0, 1, 0]
    assert scaled.loc["A02", "mgmt"] == 0.5
    assert (scaled.dtypes == np.float32).all()


def test_indicators_depend_on_the_columns_and_not_on_the_rows(clinical):
    all_known = clinical.iloc[[0, 3]].drop(columns="mgmt")
    scaler = ClinicalMinMaxScaler(unknown="indicator").fit(all_known)
    assert scaler.get_feature_names_out().tolist() == [*all_known.columns, "idh_unknown"]
    assert scaler.transform(all_known)[:, -1].tolist() == [0, 0]
    unknown = clinical.iloc[[2]].drop(columns="mgmt")
    assert scaler.set_params(clip=False).transform(unknown)[0, -1] == 1
    # No training row has an unknown status, so with clipping its indicator is as that of the training rows.
    assert scaler.set_params(clip=True).transform(unknown)[0, -1] == 0


def test_further_numeric_columns_are_scaled(clinical):
    extra = clinical.assign(volume_ml=[10, 20, 30, 20])
    scaled = ClinicalMinMaxScaler().set_output(transform="pandas").fit_transform(extra)
    assert scaled["volume_ml"].tolist() == [0, 0.5, 1, 0.5]


@pytest.mark.parametrize("dtype", ["int64", "float32", "Int64", "Float64", "object"])
def test_numeric_dtypes(dtype):
    table = pd.DataFrame({"interval_days": pd.Series([10, 20, 30]).astype(dtype)})
    assert ClinicalMinMaxScaler().fit_transform(table).tolist() == [[0], [0.5], [1]]


@pytest.mark.parametrize("dtype", ["object", "string", "category"])
def test_text_dtypes(dtype):
    table = pd.DataFrame({"idh": pd.Series(["mutated", "unknown", "wildtype"]).astype(dtype)})
    assert ClinicalMinMaxScaler().fit_transform(table).tolist() == [[1], [0.5], [0]]


def test_input_is_untouched_and_clone_and_pickle_agree(clinical):
    original = clinical.copy(deep=True)
    scaler = ClinicalMinMaxScaler(unknown="mean", clip=False)
    scaled = scaler.fit_transform(clinical)
    pd.testing.assert_frame_equal(clinical, original)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(scaler)).transform(clinical), scaled)
    copy = clone(scaler)
    assert copy.get_params() == {"unknown": "mean", "missing": "refuse", "clip": False, "clinical": ()}
    with pytest.raises(NotFittedError, match="not fitted"):
        copy.transform(clinical)
    with pytest.raises(NotFittedError, match="not fitted"):
        copy.inverse_transform(scaled)


@pytest.mark.parametrize(("unknown", "width"), [("midpoint", 7), ("indicator", 9)])
def test_within_a_column_transformer(clinical, unknown, width):
    cohort = clinical.assign(site="A", image="a.nii.gz").iloc[:, ::-1]
    join = ColumnTransformer([("clinical", ClinicalMinMaxScaler(unknown=unknown), list(CLINICAL_COLUMNS))])
    scaled = join.fit_transform(cohort)
    assert scaled.shape == (4, width)
    assert scaled.dtype == np.float32
    assert join.get_feature_names_out()[0] == "clinical__age_years"
    np.testing.assert_array_equal(scaled, ClinicalMinMaxScaler(unknown=unknown).fit_transform(clinical))


# Constant columns, and what no training row has


def test_a_constant_number_is_0_for_every_patient_and_is_named(clinical):
    """Everybody had 60 Gy in 30 fractions: the other columns are scaled as without these two."""
    constant = clinical.assign(dose_gy=60.0, n_fractions=30)
    scaler = ClinicalMinMaxScaler().set_output(transform="pandas").fit(constant)
    assert scaler.constant_columns_ == ["dose_gy", "n_fractions"]
    scaled = scaler.transform(clinical)
    assert scaled[["dose_gy", "n_fractions"]].to_numpy().tolist() == [[0, 0]] * 4
    others = ["age_years", "sex", "mgmt", "idh", "interval_days"]
    pd.testing.assert_frame_equal(
        scaled[others], ClinicalMinMaxScaler().set_output(transform="pandas").fit_transform(clinical[others])
    )
    assert scaler.inverse_transform(scaler.transform(constant))["dose_gy"].tolist() == [60] * 4
    assert scaler.outside_training(clinical)["dose_gy"].tolist() == [False, True, False, True]
    assert scaler.set_params(clip=False).transform(clinical)["dose_gy"].tolist() == [0] * 4
    array = ClinicalMinMaxScaler().fit(np.array([[1, 3], [2, 3]]))
    assert array.constant_columns_ == ["x1"]
    assert array.transform(np.array([[2, 9]])).tolist() == [[1, 0]]


def test_a_category_that_no_training_row_has_is_set_to_the_nearest_one(clinical):
    """Otherwise a weight that was never trained would move a prediction."""
    train = clinical.assign(sex="male", mgmt="methylated", idh=["wildtype", "unknown", "wildtype", "wildtype"])
    scaler = ClinicalMinMaxScaler().set_output(transform="pandas").fit(train)
    assert scaler.constant_columns_ == ["sex", "mgmt"]
    other = clinical.iloc[[0]].assign(sex="female", mgmt="unknown", idh="mutated")
    assert scaler.transform(other)[["sex", "mgmt", "idh"]].to_numpy().tolist() == [[1, 1, 0.5]]
    assert scaler.outside_training(other)[["sex", "mgmt", "idh", "age_years"]].to_numpy().tolist() == [
        [True, True, True, False]
    ]
    unclipped = scaler.set_params(clip=False).transform(other)
    assert unclipped[["sex", "mgmt", "idh"]].to_numpy().tolist() == [[0, 0.5, 1]]


@moderate
@given(clinical_tables(), clinical_tables(), st.sampled_from(MODES), st.sampled_from(["median", "indicator"]))
def test_clipped_values_lie_in_the_range_of_the_training_rows(train, test, unknown, missing):
    scaler = ClinicalMinMaxScaler(unknown=unknown, missing=missing).fit(train)
    of_train, of_test = scaler.transform(train), scaler.transform(test[train.columns])
    assert (of_test >= of_train.min(axis=0)).all()
    assert (of_test <= of_train.max(axis=0)).all()
    assert scaler.outside_training(train).to_numpy().sum() == 0


# Missing numbers


@pytest.fixture
def incomplete(clinical):
    return clinical.assign(age_years=[40.0, np.nan, 55.0, 72.5], n_fractions=pd.array([30, 15, None, 33], "Int64"))


def test_missing_numbers_are_refused_with_the_option_named(incomplete):
    scaler = ClinicalMinMaxScaler().fit(incomplete.iloc[[0, 3]])
    message = r"2 clinical.*\npatient A02, column 'age_years': missing; missing='median' or 'indicator' replaces"
    for use in (ClinicalMinMaxScaler().fit, scaler.transform):
        with pytest.raises(ValueError, match=message):
            use(incomplete)


def test_medians_are_those_of_the_training_rows(clinical, incomplete):
    scaler = ClinicalMinMaxScaler(missing="median").set_output(transform="pandas").fit(incomplete)
    assert scaler.medians_ == {"age_years": 55, "dose_gy": 59.7, "n_fractions": 30, "interval_days": 103}
    pd.testing.assert_frame_equal(
        scaler.transform(incomplete), scaler.transform(clinical.assign(age_years=[40, 55, 55, 72.5]))
    )
    before = pickle.dumps(scaler)
    scaler.transform(clinical.assign(age_years=np.nan))
    assert pickle.dumps(scaler) == before


def test_indicators_of_missing_numbers_are_the_same_in_all_folds(clinical, incomplete):
    scaler = ClinicalMinMaxScaler(missing="indicator", unknown="indicator").set_output(transform="pandas")
    scaled = scaler.fit_transform(incomplete)
    added = ["mgmt_unknown", "idh_unknown", "age_years_missing", "dose_gy_missing", "n_fractions_missing"]
    assert scaled.columns.tolist() == [*CLINICAL_COLUMNS, *added]
    assert scaler.encoded_names(CLINICAL_COLUMNS) == [*CLINICAL_COLUMNS, *added]
    assert scaled["age_years_missing"].tolist() == [0, 1, 0, 0]
    assert scaled["n_fractions_missing"].tolist() == [0, 0, 1, 0]
    assert scaler.fit_transform(clinical).shape == scaled.shape
    restored = scaler.fit(incomplete).inverse_transform(scaled)
    assert restored["age_years"].tolist() == pytest.approx([40, 55, 55, 72.5])


def test_a_column_of_missing_numbers_only_is_constant(incomplete):
    empty = incomplete.assign(dose_gy=np.nan)
    scaler = ClinicalMinMaxScaler(missing="median").fit(empty)
    assert scaler.constant_columns_ == ["dose_gy"]
    assert scaler.transform(incomplete)[:, 4].tolist() == [0, 0, 0, 0]


def test_the_interval_may_not_be_missing(clinical):
    with pytest.raises(
        ValueError, match=r"A03, column 'interval_days': missing, and this column may not be; leave the"
    ):
        ClinicalMinMaxScaler(missing="median").fit(clinical.assign(interval_days=[1, 2, np.nan, 3]))


def test_missing_numbers_of_an_array():
    scaler = ClinicalMinMaxScaler(missing="indicator").fit(np.array([[1, 2], [np.nan, 4], [3, 6]]))
    assert scaler.transform(np.array([[2, np.nan]])).tolist() == [[0.5, 0.5, 0, 0]]
    assert scaler.get_feature_names_out().tolist() == ["x0", "x1", "x0_missing", "x1_missing"]
    with pytest.raises(ValueError, match="infinity"):
        scaler.transform(np.array([[np.inf, 1]]))


# Declared columns

STEROIDS = ClinicalColumn("steroids", codes={"no": 0, "yes": 1}, may_be_unknown=True)
RESECTION = ClinicalColumn("resection", codes={"biopsy": 1, "partial": 2, "total": 5})


def test_declared_columns_are_encoded_by_their_codes(clinical):
    extra = clinical.assign(
        steroids=["yes", "no", "unknown", "no"],
        kps=[60, 80, 70, 100],
        resection=["total", "partial", "biopsy", "total"],
    )
    scaler = ClinicalMinMaxScaler(clinical=["age_years", STEROIDS, RESECTION], unknown="indicator")
    scaled = scaler.set_output(transform="pandas").fit_transform(extra)
    assert scaled["steroids"].tolist() == [1, 0, 0.5, 0]
    assert scaled["steroids_unknown"].tolist() == [0, 0, 1, 0]
    assert scaled["kps"].tolist() == [0, 0.5, 0.25, 1]
    assert scaled["resection"].tolist() == [1, 0.25, 0, 1]
    restored = scaler.inverse_transform(scaled)
    for name in ("steroids", "resection"):
        assert restored[name].tolist() == extra[name].tolist()
    with pytest.raises(ValueError, match=r"A01, column 'steroids': 'Yes' is not a documented code; .* mean 'yes'\?\n"):
        scaler.fit(extra.assign(steroids="Yes"))
    with pytest.raises(ValueError, match="'dose_gy' is a column of the paper with its own unit, range and codes"):
        ClinicalMinMaxScaler(clinical=[ClinicalColumn("dose_gy", unit="cGy")]).fit(extra)
    copy = clone(scaler)
    assert copy.get_params() == scaler.get_params()
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(copy)).fit_transform(extra), scaled)


def test_frames_of_other_packages_are_refused_in_one_sentence(clinical):
    class Frame:
        columns = ("age_years",)

        def to_pandas(self):
            return clinical

    with pytest.raises(
        ValueError, match=r"^X must be a DataFrame of pandas; got .*Frame; convert it by to_pandas\(\)$"
    ):
        ClinicalMinMaxScaler().fit(Frame())


# Arrays


def test_array_is_scaled_by_plain_min_max():
    values = np.array([[40, 1], [60, 5], [45, 2]])
    scaler = ClinicalMinMaxScaler(unknown="indicator").fit(values)
    scaled = scaler.transform(values)
    np.testing.assert_array_equal(scaled, np.array([[0, 0], [1, 1], [0.25, 0.25]], dtype=np.float32))
    restored = scaler.inverse_transform(scaled)
    assert isinstance(restored, np.ndarray)
    np.testing.assert_array_equal(restored, values)
    assert scaler.get_feature_names_out().tolist() == ["x0", "x1"]


# Errors


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (
            "sex",
            "Male",
            r"A02, column 'sex': 'Male' is not a documented code; write 'female' or 'male'; did you mean 'male'\?$",
        ),
        ("sex", "unknown", r"column 'sex': 'unknown' is not a documented code; write 'female' or 'male'$"),
        ("sex", 1, r"patient A02, column 'sex': 1 is not a documented code"),
        ("sex", None, r"patient A02, column 'sex': missing; write 'female' or 'male'$"),
        ("mgmt", np.nan, r"column 'mgmt': missing; write 'unmethylated' or 'methylated' or 'unknown'$"),
        ("idh", "mutant", r"column 'idh': 'mutant' is not a documented code; write .* or 'unknown'$"),
        ("age_years", np.nan, r"patient A02, column 'age_years': missing"),
        ("dose_gy", "60 Gy", r"patient A02, column 'dose_gy': '60 Gy' is not a number"),
        ("dose_gy", "60", r"patient A02, column 'dose_gy': '60' is not a number"),
        ("n_fractions", pd.NA, r"patient A02, column 'n_fractions': missing"),
        ("n_fractions", True, r"patient A02, column 'n_fractions': True is not a number"),
        ("interval_days", np.inf, r"patient A02, column 'interval_days': inf is not finite"),
        ("interval_days", pd.Timedelta(days=3), r"column 'interval_days': Timedelta\('3 days 00:00:00'\) is not a"),
    ],
)
def test_refused_values_name_patient_column_and_value(clinical, column, value, message):
    scaler = ClinicalMinMaxScaler().fit(clinical)
    spoilt = clinical.astype({column: object})
    spoilt.loc["A02", column] = value
    with pytest.raises(ValueError, match=message):
        ClinicalMinMaxScaler().fit(spoilt)
    with pytest.raises(ValueError, match=message):
        scaler.transform(spoilt)


def test_all_problems_are_listed_by_patient(clinical):
    spoilt = clinical.astype(object)
    spoilt.loc["A04", "age_years"] = "old"
    spoilt.loc["A01", "idh"] = "?"
    spoilt.loc["A01", "dose_gy"] = None
    with pytest.raises(ValueError, match=r"^3 clinical value\(s\) cannot be used:\n") as caught:
        ClinicalMinMaxScaler().fit(spoilt)
    lines = str(caught.value).splitlines()[1:]
    assert [line.partition(":")[0] for line in lines] == [
        "patient A01, column 'idh'",
        "patient A01, column 'dose_gy'",
        "patient A04, column 'age_years'",
    ]


def test_rows_of_an_unnamed_index_are_named_by_label(clinical):
    with pytest.raises(ValueError, match=r"row 1, column 'sex': 'm' is"):
        ClinicalMinMaxScaler().fit(clinical.reset_index(drop=True).assign(sex=["male", "m", "male", "male"]))


def test_columns_must_be_those_of_fit(clinical):
    scaler = ClinicalMinMaxScaler().fit(clinical)
    with pytest.raises(ValueError, match=r"(?s)feature names.*dose_gy"):
        scaler.transform(clinical.drop(columns="dose_gy"))
    with pytest.raises(ValueError, match="same order"):
        scaler.transform(clinical.iloc[:, ::-1])
    with pytest.raises(ValueError, match=r"(?s)unseen at fit time.*volume_ml"):
        scaler.transform(clinical.assign(volume_ml=1.0))
    with pytest.raises(ValueError, match=r"X is a ndarray; a DataFrame with the columns age_years.* is needed"):
        scaler.transform(clinical.to_numpy())


def test_text_within_an_array_is_refused():
    with pytest.raises(ValueError, match="array with the text '60'"):
        ClinicalMinMaxScaler().fit(np.array([[40, "60"], [50, 61]], dtype=object))


def test_names_must_be_unique(clinical):
    with pytest.raises(ValueError, match="occur more than once: sex"):
        ClinicalMinMaxScaler().fit(clinical[["age_years", "sex", "sex"]])
    with pytest.raises(ValueError, match="occur more than once: idh_unknown"):
        ClinicalMinMaxScaler(unknown="indicator").fit(clinical.assign(idh_unknown=[0, 0, 1, 0]))


def test_empty_table_is_refused(clinical):
    with pytest.raises(ValueError, match="X has 0 rows and 7 columns"):
        ClinicalMinMaxScaler().fit(clinical.iloc[:0])


def test_inverse_transform_refuses_values_that_correspond_to_no_code(clinical):
    scaler = ClinicalMinMaxScaler().set_output(transform="pandas").fit(clinical)
    scaled = scaler.transform(clinical)
    scaled.loc["A03", "sex"] = 0.5
    with pytest.raises(
        ValueError, match=r"^patient A03, column 'sex': 0.5 corresponds to none of 0 \(female\), 1 \(male\)$"
    ):
        scaler.inverse_transform(scaled)
    with pytest.raises(ValueError, match="X has 6 columns; 7 are needed: age_years"):
        scaler.inverse_transform(scaled.iloc[:, :6])


@pytest.mark.parametrize("parameters", [{"unknown": "mode"}, {"clip": "yes"}, {"missing": "mean"}, {"clinical": None}])
def test_parameters_are_checked(clinical, parameters):
    with pytest.raises(ValueError, match=f"The '{next(iter(parameters))}' parameter"):
        ClinicalMinMaxScaler(**parameters).fit(clinical)
