"""The table of patient characteristics by outcome or site."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sklearn_pspd.cohort.cells import code_problem, number_problem
from sklearn_pspd.cohort.columns import (
    CLINICAL_COLUMNS,
    CLINICAL_RANGES,
    MAY_BE_UNKNOWN,
    PAPER_CLINICAL,
    UNKNOWN,
    WHOLE_NUMBERS,
    allowed_codes,
)
from sklearn_pspd.cohort.problems import is_missing, patient_names, raise_problems
from sklearn_pspd.formatting import (
    escape_latex,
    escape_markdown,
    format_p,
    latex_text,
    markdown_text,
    plain_text,
    wrapped_text,
)

from .group_tests import (
    CATEGORY_TESTS,
    NUMERIC_TESTS,
    compare_counts,
    compare_numbers,
    difference_of_counts,
    difference_of_numbers,
)

CELL_COLUMNS = ["variable", "level", "group", "n", "missing"]
TEST_COLUMNS = ["variable", "test", "statistic", "p_value", "smd", "missing", "reason"]
LABELS = {"mgmt": "MGMT promoter", "idh": "IDH", "n_fractions": "number of fractions"}
UNITS = {"years": "years", "days": "days", "gy": "Gy", "mm": "mm"}


@dataclass(frozen=True)
class CharacteristicsTable:
    """Patient characteristics by group.

    Attributes
    ----------
    cells : DataFrame
        The numbers, one row per variable, level and group: ``variable``, ``level`` (empty for a numeric variable),
        ``group``, ``n`` (patients with a value), ``missing``; then ``median``, ``low`` (minimum), ``high`` (maximum),
        ``mean`` and ``sd`` of a numeric variable in its unit, or ``count`` and ``percent`` (of `n`) of a level.
    tests : DataFrame
        One row per variable: ``variable``, ``test``, ``statistic``, ``p_value``, ``smd`` (standardised mean difference,
        not negative), ``missing`` and ``reason`` (why the test was selected).
    group_sizes : dict of str to int
        Number of patients per group, in the order of the columns.
    labels : dict of str to str
        Displayed name of each variable.
    """

    cells: pd.DataFrame
    tests: pd.DataFrame
    group_sizes: dict
    labels: dict

    def frame(self):
        """Return the table as it is printed.

        Returns
        -------
        DataFrame of str
            One row per numeric variable with median (range). A categorical variable has one row, and below it one row
            per level with count (percent). Columns: ``variable``, ``level``, one column per group, ``p``, ``SMD``
            (standardised mean difference), ``missing`` and ``test``; the last four are filled in the first row of a
            variable.
        """
        headings = {group: f"{group} (n = {n})" for group, n in self.group_sizes.items()}
        rows = []
        for test in self.tests.itertuples():
            cells = self.cells[self.cells["variable"] == test.variable]
            by_level = {level: part.set_index("group") for level, part in cells.groupby("level", sort=False)}
            # The test, in the first row of the variable.
            result = {
                "p": format_p(test.p_value),
                "SMD": "" if math.isnan(test.smd) else f"{test.smd:.2f}",
                "missing": str(test.missing),
                "test": test.test,
            }
            # A numeric variable has one row, a categorical one a row per level below its name.
            name = self.labels[test.variable]
            if "" in by_level:
                texts = {headings[group]: _range_text(cell) for group, cell in by_level[""].iterrows()}
                rows.append({"variable": name, "level": "", **texts, **result})
                continue
            rows.append({"variable": name, **result})
            for level, part in by_level.items():
                texts = {headings[group]: _count_text(cell) for group, cell in part.iterrows()}
                rows.append({"variable": "", "level": level, **texts})
        columns = ["variable", "level", *headings.values(), "p", "SMD", "missing", "test"]
        return pd.DataFrame([dict.fromkeys(columns, "") | row for row in rows], columns=columns)

    def __str__(self):
        """Return the table as plain text, followed by the reason for each test."""
        reasons = (wrapped_text(reason, indent="  ") for reason in self._reasons())
        return "\n".join([plain_text(self.frame()), "", *reasons])

    def to_markdown(self):
        """Return the table in Markdown, followed by a list with the reason for each test.

        Returns
        -------
        str
            Markdown; special characters are escaped.
        """
        return "\n".join([markdown_text(self.frame()), "", *(f"- {escape_markdown(line)}" for line in self._reasons())])

    def to_latex(self):
        r"""Return the table in LaTeX, followed by the reason for each test; it needs the package booktabs.

        Returns
        -------
        str
            A ``tabular`` environment and a paragraph in ``\footnotesize``; special characters are escaped.
        """
        reasons = escape_latex("; ".join(self._reasons()))
        return "\n".join([latex_text(self.frame()), "", rf"{{\footnotesize {reasons}.\par}}"])

    def _reasons(self):
        return [f"{self.labels[test.variable]}: {test.test}, {test.reason}" for test in self.tests.itertuples()]


def characteristics_table(
    cohort, by="outcome", *, variables=None, tests=None, labels=None, count_unknown=True, random_state=0
):
    """Tabulate patient characteristics by outcome or site, as in the paper's table 1.

    Parameters
    ----------
    cohort : DataFrame of shape (n_patients, n_columns)
        A cohort table, one row per patient; other columns than `by` and `variables` are not read.
    by : str, default="outcome"
        Column that defines the groups, such as "outcome" or "site": at least two groups, no missing values.
    variables : sequence of str or None, default=None
        Columns to tabulate, in this order. None selects the seven clinical columns, the site and the outcome, as far as
        the cohort has them. A column of numbers is a numeric variable, any other column a categorical variable.
    tests : dict of str to str or None, default=None
        Tests by variable. For a numeric variable, "t" (Student's t-test; analysis of variance for more than two groups)
        or "mann-whitney" (Kruskal-Wallis test for more than two groups). For a categorical variable, "chi-squared"
        (Pearson's, without continuity correction) or "exact" (Fisher's; Freeman and Halton's for tables larger than
        2 x 2); these two also make a column of numbers categorical. Other variables have the test that
        :func:`~sklearn_pspd.statistics.compare_numbers` or :func:`~sklearn_pspd.statistics.compare_counts` selects.
    labels : dict of str to str or None, default=None
        Displayed names by variable; None derives them from the column names.
    count_unknown : bool, default=True
        Whether "unknown" MGMT or IDH status is a level, as in the paper; otherwise it is treated as missing.
    random_state : int, RandomState instance or None, default=0
        Seed of the exact test, used if there are too many tables to enumerate.

    Returns
    -------
    CharacteristicsTable
        ``print`` displays the table. ``frame()``, ``to_markdown()`` and ``to_latex()`` format it; ``cells`` and
        ``tests`` contain the numbers.

    Raises
    ------
    InputError
        If a column is missing or occurs twice, `by` defines fewer than two groups, a test does not exist or does not
        suit its variable, or a value is not allowed in its column. All problems are listed, with patient, column and
        value.

    Notes
    -----
    Missing values are counted and excluded from the summary of their variable. Groups and levels are in the order of
    their codes or categories, otherwise sorted.

    From the counts printed in the paper [1]_, the default tests reproduce its p-values 0.03 (sex by outcome), 0.28
    (MGMT by outcome), 0.73 (IDH by outcome, "unknown" counted), 0.18 (sex by site), 0.61 (MGMT by site), 0.04 (IDH by
    site) and 0.71 (outcome by site). The p-values printed for the dose schedule, 0.80 (by outcome) and 0.52 (by site),
    are not reproduced from its counts: Fisher's test gives 1.0 for both, the chi-squared test 0.79 and 0.65. Selecting
    the t-test or the rank test by normality is our choice; the paper uses the t-test throughout.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd import characteristics_table
    >>> cohort = pd.DataFrame({
    ...     "outcome": ["PD"] * 4 + ["PsPD"] * 4,
    ...     "sex": ["male", "female", "male", "male", "female", "female", "female", "male"],
    ...     "interval_days": [110, 124, 130, 1251, 26, 60, 82, None],
    ... })
    >>> print(characteristics_table(cohort))
    variable         level   PD (n = 4)         PsPD (n = 4)   p      SMD   missing  test
    sex                                                        0.486  1.15  0        Fisher's exact
                     female  1 (25.0 %)         3 (75.0 %)
                     male    3 (75.0 %)         1 (25.0 %)
    interval (days)          127 (110 to 1251)  60 (26 to 82)  0.057  0.87  1        Mann-Whitney
    <BLANKLINE>
    sex: Fisher's exact, smallest expected count 2.0 (below 5)
    interval (days): Mann-Whitney, Shapiro-Wilk rejects normality in PD (p = 0.002)
    """
    # What to tabulate.
    tests, names = dict(tests or {}), patient_names(cohort)
    if variables is None:
        variables = [c for c in (*CLINICAL_COLUMNS, "site", "outcome") if c in cohort.columns and c != by]
    variables = [variables] if isinstance(variables, str) else list(variables)
    # All problems of the columns, then all problems of the values, are reported at once.
    raise_problems(
        "the table of characteristics has", _column_problems(cohort, by, variables, {**tests, **(labels or {})})
    )
    is_number = {name: _is_number(cohort[name], name, tests.get(name)) for name in variables}
    problems = _group_problems(cohort[by], by, names)
    for name in variables:
        problems += _value_problems(cohort[name], name, is_number[name], names)
        problems += _test_problems(name, tests.get(name), is_number[name])
    raise_problems("the table of characteristics has", problems)
    # Summary and test of each variable.
    groups = {str(level): (cohort[by] == level).to_numpy(dtype=bool) for level in _levels(cohort[by], by)}
    cells, results = [], []
    for name in variables:
        column = cohort[name].mask(cohort[name].map(is_missing).to_numpy(dtype=bool))
        if name in MAY_BE_UNKNOWN and not count_unknown:
            column = column.mask(column == UNKNOWN)
        if is_number[name]:
            parts, result = _summarise_numbers(column, groups, tests.get(name))
        else:
            parts, result = _summarise_levels(column, name, groups, tests.get(name), random_state)
        cells += [{"variable": name, **part} for part in parts]
        results.append({"variable": name, **result, "missing": int(column.isna().sum())})
    # The result, with displayed names.
    sizes = {group: int(mask.sum()) for group, mask in groups.items()}
    shown = {name: _label(name) for name in variables} | dict(labels or {})
    cells = pd.DataFrame(cells) if cells else pd.DataFrame(columns=CELL_COLUMNS)
    return CharacteristicsTable(cells, pd.DataFrame(results)[TEST_COLUMNS], sizes, shown)


def _summarise_numbers(column, groups, test):
    """Return the summary of a numeric variable, one row per group, and its test."""
    samples = {group: column[mask].dropna().to_numpy(dtype=np.float64) for group, mask in groups.items()}
    cells = [
        {"level": "", "group": group, **_spread(samples[group]), "missing": int(mask.sum()) - len(samples[group])}
        for group, mask in groups.items()
    ]
    return cells, {
        **compare_numbers(samples, test=test)._asdict(),
        "smd": difference_of_numbers(list(samples.values())),
    }


def _spread(values):
    if not len(values):
        return {"n": 0} | dict.fromkeys(("median", "low", "high", "mean", "sd"), np.nan)
    return {
        "n": len(values),
        "median": np.median(values),
        "low": values.min(),
        "high": values.max(),
        "mean": values.mean(),
        "sd": values.std(ddof=1) if len(values) > 1 else np.nan,
    }


def _summarise_levels(column, name, groups, test, random_state):
    """Return the counts of a categorical variable, one row per level and group, and its test."""
    levels = _levels(column, name)
    counts = np.array([[int((column[mask] == level).sum()) for level in levels] for mask in groups.values()])
    counts = counts.reshape(len(groups), len(levels))
    n = counts.sum(axis=1)
    percent = 100 * counts / np.where(n, n, np.nan)[:, np.newaxis]
    cells = [
        {
            "level": str(level),
            "group": group,
            "n": int(n[row]),
            "missing": int(mask.sum() - n[row]),
            "count": int(counts[row, at]),
            "percent": percent[row, at],
        }
        for at, level in enumerate(levels)
        for row, (group, mask) in enumerate(groups.items())
    ]
    result = compare_counts(counts, test=test, random_state=random_state)
    return cells, {**result._asdict(), "smd": difference_of_counts(counts)}


def _levels(column, name):
    """Return the levels that occur, in the order of their codes or categories, otherwise sorted."""
    present = set(column[~column.map(is_missing).to_numpy(dtype=bool)])
    known = allowed_codes(name)
    if not known and isinstance(column.dtype, pd.CategoricalDtype):
        known = tuple(column.cat.categories)
    return [level for level in known if level in present] + sorted(present - set(known), key=_sort_key)


def _sort_key(level):
    """Return a key that sorts numbers before text."""
    is_number = isinstance(level, (int, float, np.number))
    return (0, float(level), "") if is_number else (1, 0.0, str(level))


def _is_number(column, name, test):
    if test in CATEGORY_TESTS or allowed_codes(name) or isinstance(column.dtype, pd.CategoricalDtype):
        return False
    if name in CLINICAL_RANGES or test in NUMERIC_TESTS:
        return True
    values = [value for value in column if not is_missing(value)]
    return any(number_problem(name, value, -math.inf, math.inf) is None for value in values)


def _label(name):
    """Return the displayed name of a variable; a unit at the end of the column name is put in parentheses."""
    if name in LABELS:
        return LABELS[name]
    stem, _, unit = name.rpartition("_")
    return f"{stem} ({UNITS[unit]})" if stem and unit in UNITS else name


def _range_text(cell):
    if cell["n"] == 0:
        return ""
    median, low, high = (_number_text(cell[column]) for column in ("median", "low", "high"))
    return f"{median} ({low} to {high})"


def _count_text(cell):
    return f"{cell['count']:.0f} ({cell['percent']:.1f} %)" if cell["n"] else ""


def _number_text(value):
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _column_problems(cohort, by, variables, named):
    # Columns that are absent or repeated.
    occurrences = cohort.columns.value_counts()
    problems = []
    for name in dict.fromkeys([by, *variables]):
        if name not in occurrences:
            problems.append(f"column {name}: missing; the columns are {', '.join(map(str, cohort.columns))}")
        elif occurrences[name] > 1:
            problems.append(f"column {name}: occurs {occurrences[name]} times")
    # Arguments that contradict each other.
    if by in variables:
        problems.append(f"column {by}: defines the groups and cannot be a variable as well")
    problems += [
        f"column {name}: listed more than once in variables"
        for name in dict.fromkeys(variables)
        if variables.count(name) > 1
    ]
    problems += [
        f"column {name}: has a test or a label but is not one of the variables"
        for name in named
        if name not in variables
    ]
    if not variables:
        problems.append("no variables to tabulate")
    return problems


def _group_problems(column, by, names):
    if by in CLINICAL_RANGES:
        return [f"column {by}: is numeric and cannot define groups"]
    problems = _value_problems(column, by, False, names)
    missing = [name for name, value in zip(names, column, strict=True) if is_missing(value)]
    problems += [f"patient {name}: column {by} is empty, so the patient belongs to no group" for name in missing]
    groups = _levels(column, by)
    if len(groups) < 2:
        found = f"only one, {groups[0]}" if groups else "none"
        problems.append(f"column {by}: must define at least two groups; it defines {found}")
    return problems


def _value_problems(column, name, is_number, names):
    low, high = CLINICAL_RANGES.get(name, (-math.inf, math.inf))
    unit = next((column.unit for column in PAPER_CLINICAL if column.name == name), None)
    allowed = allowed_codes(name)
    problems = []
    for patient, value in zip(names, column, strict=True):
        if is_missing(value):
            continue
        if is_number:
            problem = number_problem(name, value, low, high, unit=unit, whole=name in WHOLE_NUMBERS)
        else:
            problem = code_problem(name, value, allowed) if allowed else None
        if problem:
            problems.append(f"patient {patient}: {problem}")
    if not is_number:
        texts = pd.Series([str(level) for level in _levels(column, name)], dtype=object)
        problems += [
            f"column {name}: contains {text} both as text and as a number" for text in texts[texts.duplicated()]
        ]
    return problems


def _test_problems(name, test, is_number):
    known = NUMERIC_TESTS if is_number else CATEGORY_TESTS
    if test is None or test in known:
        return []
    kind = "numeric" if is_number else "categorical"
    return [f"column {name}: is {kind}, so its test must be {' or '.join(map(repr, known))}; got {test!r}"]
