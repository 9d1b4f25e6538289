"""The table of patient characteristics."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from score_draws import moderate

from sklearn_pspd import characteristics_table
from sklearn_pspd.exceptions import InputError

# Table 1 of the paper: variable, grouping column, counts by level in the two groups, and the printed p-value.
TABLE_1 = {
    "sex by outcome": ("sex", "outcome", {"male": (27, 24), "female": (21, 6)}, 0.03),
    "mgmt by outcome": ("mgmt", "outcome", {"methylated": (18, 15), "unmethylated": (30, 15)}, 0.28),
    "idh by outcome": ("idh", "outcome", {"mutated": (1, 2), "wildtype": (43, 26), "unknown": (4, 2)}, 0.73),
    "sex by site": ("sex", "site", {"male": (41, 10), "female": (18, 9)}, 0.18),
    "mgmt by site": ("mgmt", "site", {"methylated": (24, 9), "unmethylated": (35, 10)}, 0.61),
    "idh by site": ("idh", "site", {"mutated": (3, 0), "wildtype": (54, 15), "unknown": (2, 4)}, 0.04),
    "outcome by site": ("outcome", "site", {"PD": (37, 11), "PsPD": (22, 8)}, 0.71),
}
DOSE_SCHEDULE = {
    "outcome": ({"hypofractionated": (4, 2), "conventional": (44, 28)}, 0.80),
    "site": ({"hypofractionated": (5, 1), "conventional": (54, 18)}, 0.52),
}
GROUPS = {"outcome": ("PD", "PsPD"), "site": ("SNUH", "SNUBH")}


def from_counts(name, by, counts):
    """Return a cohort table with these counts, one row per patient."""
    rows = [
        (level, group)
        for level, pair in counts.items()
        for group, n in zip(GROUPS[by], pair, strict=True)
        for _ in range(n)
    ]
    return pd.DataFrame(rows, columns=[name, by])


def p_value(table):
    return table.tests["p_value"].item()


@pytest.fixture
def cohort():
    rng = np.random.default_rng(0)
    n = 40
    return pd.DataFrame(
        {
            "patient_id": [f"A{row:02d}" for row in range(n)],
            "site": np.where(np.arange(n) % 4 == 0, "south", "north"),
            "outcome": np.where(np.arange(n) % 3 == 0, "PsPD", "PD"),
            "age_years": rng.normal(55, 8, n).round(),
            "sex": rng.choice(["female", "male"], n),
            "mgmt": rng.choice(["methylated", "unmethylated"], n),
            "idh": rng.choice(["wildtype", "unknown", "mutated"], n, p=[0.8, 0.1, 0.1]),
            "dose_gy": 60.0,
            "n_fractions": 30,
            "interval_days": rng.lognormal(4.5, 1, n).round(),
        }
    )


# The paper's table 1


@pytest.mark.parametrize("row", TABLE_1)
def test_printed_counts_give_the_printed_p_value(row):
    name, by, counts, printed = TABLE_1[row]
    assert round(p_value(characteristics_table(from_counts(name, by, counts), by)), 2) == printed


@pytest.mark.parametrize("by", DOSE_SCHEDULE)
@pytest.mark.parametrize("test", ["exact", "chi-squared"])
def test_the_dose_schedule_does_not_give_its_printed_p_value(by, test):
    counts, printed = DOSE_SCHEDULE[by]
    cohort = from_counts("schedule", by, counts)
    table = characteristics_table(cohort, by, variables=["schedule"], tests={"schedule": test})
    expected = {
        ("outcome", "exact"): 1.0,
        ("site", "exact"): 1.0,
        ("outcome", "chi-squared"): 0.79,
        ("site", "chi-squared"): 0.65,
    }
    assert round(p_value(table), 2) == expected[by, test] != printed


# Contents of the table


def test_numeric_variables_are_summarised_per_group(cohort):
    cohort.loc[[0, 1, 2], "age_years"] = np.nan
    table = characteristics_table(cohort, variables=["age_years"])
    for cell in table.cells.itertuples():
        ages = cohort.loc[cohort["outcome"] == cell.group, "age_years"]
        assert (cell.n, cell.missing) == (ages.count(), ages.isna().sum())
        assert (cell.median, cell.low, cell.high) == (ages.median(), ages.min(), ages.max())
        assert (cell.mean, cell.sd) == pytest.approx((ages.mean(), ages.std()))
    assert table.tests["missing"].item() == 3


def test_missing_values_are_not_counted_as_a_level(cohort):
    cohort.loc[[0, 1, 2, 3], "sex"] = [None, np.nan, "", pd.NA]
    table = characteristics_table(cohort, variables=["sex"])
    for cell in table.cells.itertuples():
        sexes = cohort.loc[cohort["outcome"] == cell.group, "sex"]
        assert cell.count == (sexes == cell.level).sum()
        assert cell.percent == pytest.approx(100 * cell.count / cell.n)
    assert table.cells.groupby("group")["missing"].first().sum() == table.tests["missing"].item() == 4


def test_default_variables_are_the_columns_of_the_cohort(cohort):
    table = characteristics_table(cohort, by="site")
    assert table.tests["variable"].tolist() == [*cohort.columns[3:], "outcome"]
    assert table.group_sizes == {"north": 30, "south": 10}
    shown = [table.labels[name] for name in ("mgmt", "idh", "dose_gy", "n_fractions")]
    assert shown == ["MGMT promoter", "IDH", "dose (Gy)", "number of fractions"]
    reasons = table.tests.set_index("variable")["reason"]
    assert reasons["dose_gy"] == "all values are equal"
    assert reasons["interval_days"].startswith("Shapiro-Wilk rejects")
    assert reasons["idh"].startswith("smallest expected count")


def test_unknown_is_a_level_or_missing(cohort):
    n_unknown = int((cohort["idh"] == "unknown").sum())
    with_level = characteristics_table(cohort, variables=["idh"])
    without = characteristics_table(cohort, variables=["idh"], count_unknown=False)
    assert with_level.cells["level"].unique().tolist() == ["wildtype", "mutated", "unknown"]
    assert without.cells["level"].unique().tolist() == ["wildtype", "mutated"]
    assert (with_level.tests["missing"].item(), without.tests["missing"].item()) == (0, n_unknown)


def test_a_test_can_be_specified(cohort):
    specified = {"age_years": "mann-whitney", "interval_days": "t", "sex": "exact", "n_fractions": "chi-squared"}
    cohort["n_fractions"] = np.where(np.arange(40) % 5, 30, 5)
    tests = characteristics_table(cohort, variables=list(specified), tests=specified).tests
    assert tests["test"].tolist() == ["Mann-Whitney", "Student's t", "Fisher's exact", "Pearson chi-squared"]
    assert (tests["reason"] == "as specified").all()


def test_more_than_two_groups(cohort):
    cohort["site"] = np.array(["a", "b", "c"])[np.arange(40) % 3]
    tests = characteristics_table(cohort, by="site", variables=["age_years", "interval_days", "sex"]).tests
    assert tests["test"].tolist()[1:] == ["Kruskal-Wallis", "Pearson chi-squared"]
    assert tests["smd"].gt(0).all()


def test_categories_keep_their_order(cohort):
    cohort["site"] = pd.Categorical(cohort["site"], ["south", "north", "east"])
    cohort["grade"] = pd.Categorical(np.where(np.arange(40) % 2, "low", "high"), ["low", "high"])
    table = characteristics_table(cohort, by="site", variables=["grade"])
    assert list(table.group_sizes) == ["south", "north"]
    assert table.cells["level"].unique().tolist() == ["low", "high"]


@pytest.mark.parametrize("dtype", ["str", "object", "category"])
def test_dtypes_give_one_table(cohort, dtype):
    expected = characteristics_table(cohort, by="site")
    text = dict.fromkeys(("site", "outcome", "sex", "mgmt", "idh"), dtype)
    other = characteristics_table(cohort.astype({**text, "n_fractions": "Int64", "age_years": "Float64"}), by="site")
    pd.testing.assert_frame_equal(expected.tests, other.tests)
    pd.testing.assert_frame_equal(expected.frame(), other.frame())


def test_the_cohort_is_not_modified(cohort):
    before = cohort.copy()
    characteristics_table(cohort)
    pd.testing.assert_frame_equal(cohort, before)


def test_columns_without_values(cohort):
    cohort = cohort.assign(note=None, weight=np.nan, age_years=cohort["age_years"].where(cohort["outcome"] == "PD"))
    table = characteristics_table(cohort, variables=["note", "weight", "age_years"])
    assert table.tests["test"].tolist() == ["none"] * 3
    assert table.tests["reason"].tolist()[2] == "no values in PsPD"
    assert table.frame()["PsPD (n = 14)"].tolist() == [""] * len(table.frame())
    assert "weight" in str(characteristics_table(cohort, variables=["weight"]))


# Properties


@moderate
@given(st.integers(0, 2**32 - 1))
def test_order_of_patients_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    n = 25
    cohort = pd.DataFrame(
        {
            "outcome": ["PD", "PsPD", *rng.choice(["PD", "PsPD"], n - 2)],
            "age_years": np.where(rng.random(n) < 0.1, np.nan, rng.integers(20, 80, n)),
            "sex": rng.choice(["female", "male"], n),
            "idh": rng.choice(["wildtype", "mutated", "unknown"], n),
        }
    )
    table, shuffled = characteristics_table(cohort), characteristics_table(cohort.iloc[rng.permutation(n)])
    pd.testing.assert_frame_equal(table.cells, shuffled.cells)
    pd.testing.assert_frame_equal(table.tests, shuffled.tests)
    swapped = cohort.assign(outcome=cohort["outcome"].map({"PD": "PsPD", "PsPD": "PD"}))
    pd.testing.assert_frame_equal(
        table.tests[["p_value", "smd"]], characteristics_table(swapped).tests[["p_value", "smd"]]
    )


# Printed text


def test_frame_is_the_printed_layout():
    # A numeric and a categorical variable.
    cohort = from_counts(*TABLE_1["idh by outcome"][:3]).assign(age_years=50.0)
    frame = characteristics_table(cohort, labels={"idh": "IDH status"}).frame()
    assert frame.columns.tolist() == [
        "variable",
        "level",
        "PD (n = 48)",
        "PsPD (n = 30)",
        "p",
        "SMD",
        "missing",
        "test",
    ]
    # A row per numeric variable; a categorical variable has a row per level below its own.
    assert frame["variable"].tolist() == ["age (years)", "IDH status", "", "", ""]
    assert frame.loc[0, "PD (n = 48)"] == "50 (50 to 50)"
    assert frame.loc[3, ["level", "PD (n = 48)", "PsPD (n = 30)", "p"]].tolist() == [
        "mutated",
        "1 (2.1 %)",
        "2 (6.7 %)",
        "",
    ]
    assert frame.loc[1, ["p", "missing", "test"]].tolist() == ["0.731", "0", "Freeman-Halton"]


def test_plain_text_gives_the_reason_for_the_test(cohort):
    lines = str(characteristics_table(cohort, variables=["sex"], tests={"sex": "exact"})).split("\n")
    assert lines[0].split() == [
        "variable",
        "level",
        "PD",
        "(n",
        "=",
        "26)",
        "PsPD",
        "(n",
        "=",
        "14)",
        "p",
        "SMD",
        "missing",
        "test",
    ]
    assert lines[-1] == "sex: Fisher's exact, as specified"


def test_markdown_and_latex_are_escaped():
    cohort = pd.DataFrame({"site": ["a|b", "c&d_e"] * 3, "drug_%": ["x*", "#1", "~^\\", "{y}", "$", "<z>"]})
    table = characteristics_table(cohort, by="site", variables=["drug_%"])
    # Markdown: every row has the same number of unescaped bars.
    markdown = table.to_markdown()
    rows = markdown.split("\n\n")[0].split("\n")
    assert {row.replace(r"\|", "").count("|") for row in rows} == {9}
    assert r"c\&d\_e (n = 3)" in rows[0]
    assert r"x\*" in markdown
    # LaTeX: every special character is a command, and rows have the same number of columns.
    latex = table.to_latex()
    accents = r"\textasciitilde{}\textasciicircum{}\textbackslash{}"
    for text in (
        r"a\textbar{}b",
        r"c\&d\_e",
        r"drug\_\%",
        r"\#1",
        accents,
        r"\{y\}",
        r"\$",
        r"\textless{}z\textgreater{}",
    ):
        assert text in latex
    body = latex.split("\\midrule\n")[1].split("\n\\bottomrule")[0].split("\n")
    assert {row.replace(r"\&", "").count("&") for row in body} == {7}
    assert all(row.endswith(r" \\") for row in body)
    assert latex.count("{") == latex.count("}")


# Errors


def test_all_problems_are_listed_at_once(cohort):
    cohort["age_years"] = cohort["age_years"].astype(object)
    cohort.loc[3, "age_years"] = "fifty"
    cohort.loc[5, "sex"] = "Male"
    cohort.loc[7, "interval_days"] = np.inf
    cohort.loc[9, "outcome"] = None
    cohort.loc[11, "dose_gy"] = 6000.0
    cohort["volume"] = [1.5, "n/a"] * 20
    with pytest.raises(InputError, match="has 25 problems") as caught:
        characteristics_table(cohort, variables=["age_years", "sex", "interval_days", "dose_gy", "volume"])
    message, odd = str(caught.value), ", ".join(f"A{row:02d}" for row in range(1, 40, 2))
    for line in (
        "patient A03: column age_years holds 'fifty', which is not a number",
        "patient A05: column sex holds 'Male'; it takes 'female', 'male'",
        "patient A07: column interval_days holds inf, which is not finite",
        "patient A09: column outcome is empty, so the patient belongs to no group",
        "patient A11: column dose_gy holds 6000, outside 1 to 100 Gy",
        f"patients {odd}: column volume holds 'n/a', which is not a number",
    ):
        assert line in message


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"by": "hospital"}, "column hospital: missing; the columns are patient_id, site"),
        ({"variables": ["height_cm", "weight_kg"]}, r"2 problems:\n.*height_cm: missing.*\n.*weight_kg: missing"),
        (
            {"by": "outcome", "variables": ["outcome"]},
            "column outcome: defines the groups and cannot be a variable as well",
        ),
        ({"by": "age_years", "variables": ["sex"]}, "column age_years: is numeric and cannot define groups"),
        ({"by": "scanner", "variables": ["sex"]}, "must define at least two groups; it defines only one, 3T"),
        ({"variables": []}, "no variables to tabulate"),
        ({"variables": ["sex", "sex"]}, "column sex: listed more than once in variables"),
        (
            {"variables": ["sex"], "tests": {"age_years": "t"}},
            "column age_years: has a test or a label but is not one of the variables",
        ),
        (
            {"variables": ["sex"], "labels": {"age": "Age"}},
            "column age: has a test or a label but is not one of the variables",
        ),
        (
            {"variables": ["age_years"], "tests": {"age_years": "anova"}},
            "is numeric, so its test must be 't' or .*; got 'anova'",
        ),
        (
            {"variables": ["sex"], "tests": {"sex": "t"}},
            "is categorical, so its test must be 'chi-squared' or 'exact'; got 't'",
        ),
        ({"by": "arm", "variables": ["sex"]}, "column arm: contains 1 both as text and as a number"),
        ({"variables": "nothing"}, "column nothing: missing"),
    ],
)
def test_invalid_arguments_are_rejected(cohort, arguments, match):
    cohort = cohort.assign(scanner="3T", arm=pd.Series([1, "1", 2, 3] * 10, dtype=object))
    with pytest.raises(InputError, match=match):
        characteristics_table(cohort, **arguments)


def test_a_column_that_occurs_twice_is_rejected(cohort):
    twice = pd.concat([cohort, cohort[["sex"]]], axis=1)
    with pytest.raises(InputError, match="column sex: occurs 2 times"):
        characteristics_table(twice, variables=["sex"])
