"""The table of patient characteristics by outcome or site."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sklearn_pspd.cohort.columns import (
    CLINICAL_CODES,
    CLINICAL_COLUMNS,
    CLINICAL_RANGES,
    MAY_BE_UNKNOWN,
    OUTCOME_CODES,
    UNKNOWN,
)
from sklearn_pspd.cohort.problems import is_missing, patient_names, raise_problems
from sklearn_pspd.cohort.table import _code_problem, _number_problem
from sklearn_pspd.formatting import escape_latex, escape_markdown, format_p, latex_text, markdown_text, plain_text

from .group_tests import (
    CATEGORY_TESTS,
    NUMERIC_TESTS,
    compare_counts,
    compare_numbers,
    difference_of_counts,
    difference_of_numbers,
)

CODES = {**CLINICAL_CODES, "outcome": OUTCOME_CODES}
CELL_COLUMNS = ["variable", "level", "group", "n", "missing"]
TEST_COLUMNS = ["variable", "test", "statistic", "p_value", "smd", "missing", "reason"]
UNITS = {"years": "years", "days": "days", "gy": "Gy", "mm": "mm"}


@dataclass(frozen=True)
class CharacteristicsTable:
    """Patient characteristics by group.

    Attributes
    ----------
    cells : DataFrame
        Numbers, one row for each variable, level and group: ``variable``, ``level`` (empty for a numeric variable),
        ``group``, ``n`` (patients with a value), ``missing``; then ``median``, ``low``, ``high``, ``mean`` and ``sd``
        of a numeric variable in its unit, or ``count`` and ``percent`` (of `n`) of a level.
    tests : DataFrame
        One row a variable: ``variable``, ``test``, ``statistic``, ``p_value``, ``smd`` (standardised difference, not
        negative), ``missing`` and ``reason``, why the test was taken.
    group_sizes : dict of str to int
        Patients of each group, in the order of the columns.
    labels : dict of str to str
        Shown name of each variable.
    """

    cells: pd.DataFrame
    tests: pd.DataFrame
    group_sizes: dict
    labels: dict

    def frame(self):
        """Lay the table out as it is printed.

        Returns
        -------
        DataFrame of str
            A row for each numeric variable with median (range), or a row for each categorical variable and one below it
            for each level with count (percent). Columns: ``variable``, ``level``, one a group, ``p``, ``SMD``,
            ``missing`` and ``test``, the last four filled in a variable's first row.
        """
        headings = {group: f"{group} (n = {n})" for group, n in self.group_sizes.items()}
        rows = []
        for test in self.tests.itertuples():
            cells = self.cells[self.cells["variable"] == test.variable]
            by_level = {level: part.set_index("group") for level, part in cells.groupby("level", sort=False)}
            about = {
                "p": format_p(test.p_value),
                "SMD": "" if math.isnan(test.smd) else f"{test.smd:.2f}",
                "missing": str(test.missing),
                "test": test.test,
            }
            name = self.labels[test.variable]
            if "" in by_level:
                texts = {headings[group]: _range_text(cell) for group, cell in by_level[""].iterrows()}
                rows.append({"variable": name, "level": "", **texts, **about})
                continue
            rows.append({"variable": name, **about})
            for level, part in by_level.items():
                texts = {headings[group]: _count_text(cell) for group, cell in part.iterrows()}
                rows.append({"variable": "", "level": level, **texts})
        columns = ["variable", "level", *headings.values(), "p", "SMD", "missing", "test"]
        return pd.DataFrame([dict.fromkeys(columns, "") | row for row in rows], columns=columns)

    def __str__(self):
        """Return the table in columns, and below it why each test was taken."""
        return "\n".join([plain_text(self.frame()), "", *self._reasons()])

    def to_markdown(self):
        """Return the table in Markdown, and below it a list of why each test was taken.

        Returns
        -------
        str
            Characters that mean something in Markdown are escaped.
        """
        return "\n".join([markdown_text(self.frame()), "", *(f"- {escape_markdown(line)}" for line in self._reasons())])

    def to_latex(self):
        r"""Return the table in LaTeX, for the package booktabs, and below it why each test was taken.

        Returns
        -------
        str
            A tabular and a paragraph in ``\footnotesize``; characters that mean something in LaTeX are escaped.
        """
        reasons = escape_latex("; ".join(self._reasons()))
        return "\n".join([latex_text(self.frame()), "", rf"{{\footnotesize {reasons}.\par}}"])

    def _reasons(self):
        return [f"{self.labels[test.variable]}: {test.test}, {test.reason}" for test in self.tests.itertuples()]


def characteristics_table(
    cohort, by="outcome", *, variables=None, tests=None, labels=None, count_unknown=True, random_state=0
):
    """Tabulate patient characteristics by outcome or site, as the paper's table 1.

    Parameters
    ----------
    cohort : DataFrame of shape (n_patients, n_columns)
        A cohort table; columns that are not asked for are not read.
    by : str, default="outcome"
        Column of the groups, such as "outcome" or "site": at least two, none missing.
    variables : sequence of str or None, default=None
        Columns to tabulate, in this order. None takes those of the seven clinical columns, the site and the outcome
        that the cohort has. A column of numbers is numeric, any other categorical.
    tests : dict of str to str or None, default=None
        Test of single variables: "t" (Student's; analysis of variance for more than two groups) or "mann-whitney"
        (Kruskal-Wallis) of numbers, "chi-squared" (Pearson's, without continuity correction) or "exact" (Fisher's;
        Freeman and Halton's for more than 2 x 2) of categories. One of the last two makes a column of numbers
        categorical. A variable that is not named has the test that :mod:`~sklearn_pspd.statistics.group_tests` chooses.
    labels : dict of str to str or None, default=None
        Shown names of single variables.
    count_unknown : bool, default=True
        Whether "unknown" MGMT or IDH is a level, as in the paper; otherwise it counts as missing.
    random_state : int, RandomState instance or None, default=0
        Seed of the exact test, where there are too many tables to enumerate.

    Returns
    -------
    CharacteristicsTable
        ``print`` shows it; ``frame()``, ``to_markdown()`` and ``to_latex()`` lay it out, ``cells`` and ``tests`` hold
        the numbers.

    Raises
    ------
    ValueError
        If a column is missing or occurs twice, `by` makes fewer than two groups, a test does not exist or does not suit
        its variable, or a value is not what its column takes. All problems are listed, with patient, column and value.

    Notes
    -----
    Missing values are counted and left out of their variable. Groups and levels come in the order of their codes or
    categories, or sorted.

    From the counts that the paper prints [1]_ the default tests give its p-values 0.03 (sex by outcome), 0.28 (MGMT by
    outcome), 0.73 (IDH by outcome, "unknown" counted), 0.18 (sex by site), 0.61 (MGMT by site), 0.04 (IDH by site) and
    0.71 (outcome by site). The p-values 0.80 (by outcome) and 0.52 (by site) that it prints for the dose schedule do
    not follow from its counts: Fisher's test gives 1.0 for both, chi-squared 0.79 and 0.65. The choice between t-test
    and rank test by normality is ours; the paper has the t-test throughout.

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
    sex                                                        0.486  1.15  0        Fisher
                     female  1 (25.0 %)         3 (75.0 %)
                     male    3 (75.0 %)         1 (25.0 %)
    interval (days)          127 (110 to 1251)  60 (26 to 82)  0.057  0.87  1        Mann-Whitney
    <BLANKLINE>
    sex: Fisher, smallest expected count 2.0, below 5
    interval (days): Mann-Whitney, Shapiro-Wilk rejects normality in PD (p = 0.002)
    """
    tests, names = dict(tests or {}), patient_names(cohort)
    if variables is None:
        variables = [c for c in (*CLINICAL_COLUMNS, "site", "outcome") if c in cohort.columns and c != by]
    variables = [variables] if isinstance(variables, str) else list(variables)
    raise_problems(
        "the table of characteristics has", _column_problems(cohort, by, variables, {**tests, **(labels or {})})
    )
    is_number = {name: _is_number(cohort[name], name, tests.get(name)) for name in variables}
    problems = _group_problems(cohort[by], by, names)
    for name in variables:
        problems += _value_problems(cohort[name], name, is_number[name], names)
        problems += _test_problems(name, tests.get(name), is_number[name])
    raise_problems("the table of characteristics has", problems)
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
    sizes = {group: int(mask.sum()) for group, mask in groups.items()}
    shown = {name: _label(name) for name in variables} | dict(labels or {})
    cells = pd.DataFrame(cells) if cells else pd.DataFrame(columns=CELL_COLUMNS)
    return CharacteristicsTable(cells, pd.DataFrame(results)[TEST_COLUMNS], sizes, shown)


def _summarise_numbers(column, groups, test):
    """Return a row of numbers for each group, and the test with its standardised difference."""
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
    """Return a row of counts for each level and group, and the test with its standardised difference."""
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
    """Return the values that occur, in the order of their codes or categories, or sorted."""
    present = set(column[~column.map(is_missing).to_numpy(dtype=bool)])
    if name in CODES:
        known = (*CODES[name], UNKNOWN)
    elif isinstance(column.dtype, pd.CategoricalDtype):
        known = tuple(column.cat.categories)
    else:
        known = ()
    return [level for level in known if level in present] + sorted(present - set(known), key=_sort_key)


def _sort_key(level):
    """Return numbers before text, each in its own order."""
    is_number = isinstance(level, (int, float, np.number))
    return (0, float(level), "") if is_number else (1, 0.0, str(level))


def _is_number(column, name, test):
    if test in CATEGORY_TESTS or name in CODES or isinstance(column.dtype, pd.CategoricalDtype):
        return False
    if name in CLINICAL_RANGES or test in NUMERIC_TESTS:
        return True
    values = [value for value in column if not is_missing(value)]
    return any(_number_problem(name, value, -math.inf, math.inf) is None for value in values)


def _label(name):
    """Return the name with its unit, if it ends in one, in brackets."""
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
    occurrences = cohort.columns.value_counts()
    problems = []
    for name in dict.fromkeys([by, *variables]):
        if name not in occurrences:
            problems.append(f"column {name}: missing; there are {', '.join(map(str, cohort.columns))}")
        elif occurrences[name] > 1:
            problems.append(f"column {name}: occurs {occurrences[name]} times")
    if by in variables:
        problems.append(f"column {by}: makes the groups, so it is no variable")
    problems += [f"column {name}: asked for twice" for name in dict.fromkeys(variables) if variables.count(name) > 1]
    problems += [f"column {name}: has a test or a label but is no variable" for name in named if name not in variables]
    if not variables:
        problems.append("no variable to tabulate")
    return problems


def _group_problems(column, by, names):
    if by in CLINICAL_RANGES:
        return [f"column {by}: holds numbers, which make no groups"]
    problems = _value_problems(column, by, False, names)
    missing = [name for name, value in zip(names, column, strict=True) if is_missing(value)]
    problems += [f"patient {name}: column {by} is empty, so the patient has no group" for name in missing]
    groups = _levels(column, by)
    if len(groups) < 2:
        held = f"one group, {groups[0]}" if groups else "no group"
        problems.append(f"column {by}: two groups or more are compared; it makes {held}")
    return problems


def _value_problems(column, name, is_number, names):
    low, high = CLINICAL_RANGES.get(name, (-math.inf, math.inf))
    allowed = (*CODES[name], UNKNOWN) if name in MAY_BE_UNKNOWN else CODES.get(name)
    problems = []
    for patient, value in zip(names, column, strict=True):
        if is_missing(value):
            continue
        if is_number:
            problem = _number_problem(name, value, low, high)
        else:
            problem = _code_problem(name, value, allowed) if allowed else None
        if problem:
            problems.append(f"patient {patient}: {problem}")
    if not is_number:
        texts = pd.Series([str(level) for level in _levels(column, name)], dtype=object)
        problems += [f"column {name}: holds {text} as text and as a number" for text in texts[texts.duplicated()]]
    return problems


def _test_problems(name, test, is_number):
    known = NUMERIC_TESTS if is_number else CATEGORY_TESTS
    if test is None or test in known:
        return []
    kind = "numeric" if is_number else "categorical"
    return [f"column {name}: is {kind} and tested by {' or '.join(map(repr, known))}; got {test!r}"]
