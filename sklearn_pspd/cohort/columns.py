"""Columns of a cohort table: names, units, codes and ranges."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

from sklearn_pspd.exceptions import InputError

from .problems import is_missing, raise_problems

IDENTITY_COLUMNS = ("patient_id", "site", "image")
POINT_COLUMNS = ("lesion_x_mm", "lesion_y_mm", "lesion_z_mm")
POSITION_COLUMNS = ("lesion_slice", "lesion_instance", *POINT_COLUMNS, "lesion_mask")
POSITION_WAYS = f"lesion_slice, lesion_instance, a point ({', '.join(POINT_COLUMNS)}), lesion_z_mm, lesion_mask"
OUTCOME_CODES = {"PD": 0, "PsPD": 1}
UNKNOWN = "unknown"


@dataclass(frozen=True)
class ClinicalColumn:
    """A clinical column of a cohort table: its unit and range, or its codes.

    Parameters
    ----------
    name : str
        Name of the column.
    unit : str, default=None
        Unit of its numbers, for texts.
    range : tuple of float, default=None
        The smallest and the largest number that a cell may hold. None allows any.
    codes : dict of str to float, default=None
        The texts that a cell may hold, and the number by which each is encoded, for example
        ``{"no": 0, "yes": 1}``. Categories in an order have increasing numbers; for categories without an order, write
        one column of yes and no per category. None: the column holds numbers.
    whole : bool, default=False
        Whether its numbers are whole.
    may_be_unknown : bool, default=False
        Whether a cell of a column with codes may also hold "unknown".
    may_be_missing : bool, default=True
        Whether a number may be missing where missing numbers are admitted at all (``missing="keep"`` of
        :func:`read_cohort`).

    Raises
    ------
    InputError
        If the declaration contradicts itself.

    See Also
    --------
    clinical_columns : The columns that a choice selects.

    Examples
    --------
    >>> from sklearn_pspd.cohort import ClinicalColumn
    >>> ClinicalColumn("kps", unit="percent", range=(0, 100)).is_coded
    False
    >>> steroids = ClinicalColumn("steroids", codes={"no": 0, "yes": 1}, may_be_unknown=True)
    >>> steroids.allowed
    ('no', 'yes', 'unknown')
    """

    name: str
    unit: str | None = None
    range: tuple | None = None
    codes: Mapping | None = None
    whole: bool = False
    may_be_unknown: bool = False
    may_be_missing: bool = True

    def __post_init__(self):
        if problem := self._problem():
            raise InputError(f"ClinicalColumn({self.name!r}): {problem}")

    @property
    def is_coded(self):
        """Whether the column holds texts with codes, instead of numbers."""
        return self.codes is not None

    @property
    def allowed(self):
        """The texts that a cell may hold, "unknown" included where it is allowed; none for a column of numbers."""
        return (*(self.codes or ()), *([UNKNOWN] if self.may_be_unknown else []))

    def _problem(self):
        if not isinstance(self.name, str) or not self.name or self.name != self.name.strip():
            return "name must be a text without blanks around it"
        if self.name in (*IDENTITY_COLUMNS, *POSITION_COLUMNS, "outcome"):
            return "is a column of the cohort table with another meaning"
        if self.codes is None:
            return self._problem_of_numbers()
        if self.range is not None or self.unit is not None or self.whole:
            return "has codes, so it has no unit, no range and no whole numbers"
        is_valid = isinstance(self.codes, Mapping) and all(
            isinstance(text, str) and text.strip() and self._is_finite(code) for text, code in self.codes.items()
        )
        if not is_valid or len(self.codes) < 2 or len(set(self.codes.values())) < len(self.codes):
            return "codes must map two or more texts to different numbers, for example {'no': 0, 'yes': 1}"
        if UNKNOWN in self.codes:
            return f"{UNKNOWN!r} is not a code; set may_be_unknown=True"
        return None

    def _problem_of_numbers(self):
        if self.may_be_unknown:
            return "holds numbers, which are not 'unknown' but missing; leave such cells empty"
        if self.range is None:
            return None
        is_pair = isinstance(self.range, tuple | list) and len(self.range) == 2
        if not is_pair or not all(map(self._is_finite, self.range)) or self.range[0] >= self.range[1]:
            return f"range must be two numbers, the smaller first; got {self.range!r}"
        return None

    @staticmethod
    def _is_finite(value):
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


# The seven clinical features of the paper.
PAPER_CLINICAL = (
    ClinicalColumn("age_years", unit="years", range=(0.0, 120.0)),
    ClinicalColumn("sex", codes={"female": 0, "male": 1}),
    ClinicalColumn("mgmt", codes={"unmethylated": 0, "methylated": 1}, may_be_unknown=True),
    ClinicalColumn("idh", codes={"wildtype": 0, "mutated": 1}, may_be_unknown=True),
    ClinicalColumn("dose_gy", unit="Gy", range=(1.0, 100.0)),
    ClinicalColumn("n_fractions", range=(1, 60), whole=True),
    # A patient without this interval has no lesion with a date, and so none that the study could be about.
    ClinicalColumn("interval_days", unit="days", range=(0, 10_000), whole=True, may_be_missing=False),
)
_PAPER = {column.name: column for column in PAPER_CLINICAL}

CLINICAL_COLUMNS = tuple(_PAPER)
CLINICAL_CODES = {column.name: dict(column.codes) for column in PAPER_CLINICAL if column.is_coded}
CLINICAL_RANGES = {column.name: column.range for column in PAPER_CLINICAL if not column.is_coded}
MAY_BE_UNKNOWN = tuple(column.name for column in PAPER_CLINICAL if column.may_be_unknown)
WHOLE_NUMBERS = ("lesion_slice", "lesion_instance", *(column.name for column in PAPER_CLINICAL if column.whole))


def clinical_columns(clinical=None, table=None):
    """Return the clinical columns that a choice selects, with their units, ranges and codes.

    Parameters
    ----------
    clinical : sequence of str or ClinicalColumn, default=None
        Names of columns of the paper, and declarations of others. None selects the seven of the paper.
    table : DataFrame or sequence of str, default=None
        A cohort table, or its column names: where `clinical` is None, only columns that it has are selected.

    Returns
    -------
    tuple of ClinicalColumn
        The columns in the order of the choice.

    Raises
    ------
    InputError
        If the choice is empty, has a column twice, has a name that is not declared, or declares a column of the paper
        differently.

    Examples
    --------
    >>> from sklearn_pspd.cohort import ClinicalColumn, clinical_columns
    >>> chosen = clinical_columns(["age_years", ClinicalColumn("kps", range=(0, 100))])
    >>> [column.name for column in chosen]
    ['age_years', 'kps']
    >>> clinical_columns(["kps"])
    Traceback (most recent call last):
        ...
    sklearn_pspd.exceptions.InputError: clinical has 1 problem:
      'kps' is not a column of the paper; declare it, for example ClinicalColumn('kps', unit='...', range=(0, 100)) or ClinicalColumn('kps', codes={'no': 0, 'yes': 1})
    """  # noqa: E501  the error is one line
    if clinical is None:
        present = CLINICAL_COLUMNS if table is None else list(getattr(table, "columns", table))
        return tuple(column for column in PAPER_CLINICAL if column.name in present)
    if isinstance(clinical, str | ClinicalColumn | Mapping) or not hasattr(clinical, "__iter__"):
        raise InputError(f"clinical must be a sequence of column names and ClinicalColumn; got {clinical!r}")
    given = list(clinical)
    problems = [] if given else ["it is empty; None selects the columns of the paper, make_image_pipeline none"]
    problems += [problem for item in given if (problem := _choice_problem(item))]
    names = [item.name if isinstance(item, ClinicalColumn) else item for item in given]
    problems += [f"{name!r} is there more than once" for name in dict.fromkeys(names) if names.count(name) > 1]
    raise_problems("clinical has", problems)
    return tuple(item if isinstance(item, ClinicalColumn) else _PAPER[item] for item in given)


def checked_further_images(names):
    """Return the names of the columns of further images as a tuple.

    Parameters
    ----------
    names : sequence of str
        Columns with the paths of further images of each patient.

    Returns
    -------
    tuple of str
        The names, in their order.

    Raises
    ------
    InputError
        If they are no sequence of different names, or a name is that of a column with another meaning.
    """
    if isinstance(names, str) or not hasattr(names, "__iter__"):
        raise InputError(f"further_images must be a sequence of column names, such as ['flair']; got {names!r}")
    names = tuple(names)
    taken = (*IDENTITY_COLUMNS, *POSITION_COLUMNS, *CLINICAL_COLUMNS, "outcome")
    problems = [f"{name!r} is no name of a column" for name in names if not isinstance(name, str) or not name.strip()]
    problems += [f"{name!r} is a column with another meaning" for name in names if name in taken]
    problems += [f"{name!r} is there more than once" for name in dict.fromkeys(names) if names.count(name) > 1]
    raise_problems("further_images has", problems)
    return names


def lesion_positions(cells):
    """Return the ways in which a patient's row gives the position of the lesion.

    Parameters
    ----------
    cells : mapping of str to object
        Cells of a row by column.

    Returns
    -------
    dict of str to object
        Values by way: "lesion_slice", "lesion_instance", "lesion_z_mm", "lesion_mask", and "lesion_point" with a tuple
        of three values, those that are empty as None. One of more than one entry contradicts itself.
    """
    given = {name: cells[name] for name in POSITION_COLUMNS if name in cells and not is_missing(cells[name])}
    # A height alone is a way of its own.
    if {"lesion_x_mm", "lesion_y_mm"} & set(given):
        given["lesion_point"] = tuple(given.pop(name, None) for name in POINT_COLUMNS)
    return given


def allowed_codes(column):
    """Return the codes that a column may hold, "unknown" included where it is allowed; none for other columns."""
    if column == "outcome":
        return tuple(OUTCOME_CODES)
    return _PAPER[column].allowed if column in _PAPER else ()


def _choice_problem(item):
    """Return what is wrong with one item of a choice of clinical columns, or None."""
    if isinstance(item, ClinicalColumn):
        if item.name in _PAPER and item != _PAPER[item.name]:
            return f"{item.name!r} is a column of the paper with its own unit, range and codes; use another name"
        return None
    if not isinstance(item, str):
        return f"{item!r} is neither a column name nor a ClinicalColumn"
    if item not in _PAPER:
        return (
            f"{item!r} is not a column of the paper; declare it, for example ClinicalColumn({item!r}, unit='...', "
            f"range=(0, 100)) or ClinicalColumn({item!r}, codes={{'no': 0, 'yes': 1}})"
        )
    return None
