"""Scaling of clinical columns to [0, 1]."""

from numbers import Real

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_pspd._sklearn import StrOptions, _fit_context
from sklearn_pspd.cohort.columns import CLINICAL_CODES, MAY_BE_UNKNOWN, UNKNOWN
from sklearn_pspd.cohort.problems import is_missing
from sklearn_pspd.exceptions import InputError

MIDPOINT = 0.5
CODE_TOLERANCE = 1e-6


class ClinicalMinMaxScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Scale clinical columns to [0, 1].

    Text columns with documented codes (`sex`, `mgmt`, `idh`; see ``sklearn_pspd.cohort.CLINICAL_CODES``) are encoded as
    0 or 1 by those codes. All other columns are numeric and are scaled by the range of the training rows, as in [1]_.

    Parameters
    ----------
    unknown : {"midpoint", "mean", "indicator"}, default="midpoint"
        Scaled value of "unknown" in the columns that may contain it (`mgmt`, `idh`).

        - "midpoint": 0.5, halfway between the two codes.
        - "mean": the proportion of code 1 among the k training rows with a known code, estimated as
          (count + 0.5) / (k + 1). The added half keeps it strictly between the codes, so that "unknown" remains
          distinct from both.
        - "indicator": 0.5, and for each of these columns an additional column `<name>_unknown` of zeros and ones. The
          additional columns depend on the columns of the table, not on the rows of a fold, so that all folds have the
          same number of columns.
    clip : bool, default=True
        Whether numbers outside the range of the training rows are set to the nearest end of the range. If False, their
        scaled values are outside [0, 1].

    Attributes
    ----------
    data_min_ : ndarray of shape (`n_features_in_`,)
        Value that is scaled to 0, in the unit of the column: the minimum of the training rows, or 0 for a coded column.
    data_max_ : ndarray of shape (`n_features_in_`,)
        Value that is scaled to 1, in the unit of the column: the maximum of the training rows, or 1 for a coded column.
    unknown_values_ : dict of str to float
        Scaled value of "unknown", in (0, 1), for each column of the table that may contain it.
    n_features_in_ : int
        Number of columns seen during :meth:`fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of these columns, if X was a DataFrame whose column names are all text.

    See Also
    --------
    sklearn.preprocessing.MinMaxScaler : The same for numeric columns; it accepts constant columns.

    Notes
    -----
    The paper states that clinical features were min-max scaled; it does not describe how unknown categories were
    handled, so `unknown` is a choice of this library. "midpoint" is the default because it keeps the published seven
    columns, favours neither code and is the same in all folds. With "mean", an unknown IDH status is scaled close to
    wildtype (3 of the 72 patients of the paper with a known status are mutated). "indicator" adds a column that may be
    non-zero in very few patients.

    The range of a coded column is that of its codes, so a fold may contain a single category. A numeric column that is
    constant in the training rows has no range and is refused. Numbers given as text, and True and False within a table,
    are refused too.

    Arrays, and tables without a coded column, are min-max scaled. The output is float32.

    References
    ----------
    .. [1] B.-S. Jang, S. H. Jeon, I. H. Kim, I. A. Kim, "Prediction of pseudoprogression versus progression using
       machine learning algorithm in glioblastoma", Scientific Reports 8, 12516 (2018),
       https://doi.org/10.1038/s41598-018-31007-2

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.preprocessing import ClinicalMinMaxScaler
    >>> clinical = pd.DataFrame(
    ...     {"age_years": [40, 60, 50], "sex": ["female", "male", "male"], "idh": ["wildtype", "unknown", "mutated"]},
    ...     index=pd.Index(["A01", "A02", "A03"], name="patient"),
    ... )
    >>> scaler = ClinicalMinMaxScaler().set_output(transform="pandas").fit(clinical)
    >>> scaler.transform(clinical)  # doctest: +NORMALIZE_WHITESPACE
             age_years  sex  idh
    patient
    A01            0.0  0.0  0.0
    A02            1.0  1.0  0.5
    A03            0.5  1.0  1.0
    >>> scaler.inverse_transform(scaler.transform(clinical)).loc["A02", "idh"]
    'unknown'
    >>> ClinicalMinMaxScaler(unknown="indicator").fit(clinical).get_feature_names_out().tolist()
    ['age_years', 'sex', 'idh', 'idh_unknown']
    """

    _parameter_constraints = {  # noqa: RUF012  scikit-learn's own spelling
        "unknown": [StrOptions({"midpoint", "mean", "indicator"})],
        "clip": ["boolean"],
    }

    def __init__(self, *, unknown="midpoint", clip=True):
        self.unknown = unknown
        self.clip = clip

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):  # noqa: ARG002  scikit-learn's signature
        """Learn the range of each numeric column and the scaled values of "unknown".

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_features)
            Clinical columns: any of the seven in any order, and further numeric columns. All columns of an array are
            numeric.
        y : None
            Ignored.

        Returns
        -------
        self : ClinicalMinMaxScaler
            The fitted scaler.

        Raises
        ------
        InputError
            If a value is missing, infinite, of the wrong type or not a documented code (one error lists all of them,
            one per line, with patient and column), if a numeric column is constant, or if a column name occurs twice.
        """
        values = self._read(X, reset=True)
        coded = self._coded_positions()
        self.unknown_values_ = {
            name: _mean_code(values[:, j]) if self.unknown == "mean" else MIDPOINT
            for j, name in coded.items()
            if name in MAY_BE_UNKNOWN
        }
        _check_names_unique(self.get_feature_names_out())
        is_coded = np.isin(np.arange(self.n_features_in_), list(coded))
        # A coded column holds NaN for "unknown"; its range is the documented one.
        self.data_min_ = np.where(is_coded, 0.0, values.min(axis=0))
        self.data_max_ = np.where(is_coded, 1.0, values.max(axis=0))
        _check_ranges(self._input_names(), self.data_min_, self.data_max_, n_samples=len(values))
        return self

    def transform(self, X):
        """Scale clinical columns.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_features)
            The columns seen during :meth:`fit`, in the same order.

        Returns
        -------
        scaled : ndarray of shape (n_patients, n_features_out), dtype float32
            Scaled columns, in [0, 1] if `clip`, followed by the indicators if ``unknown="indicator"``.

        Raises
        ------
        InputError
            If a value is missing, infinite, of the wrong type or not a documented code.
        ValueError
            If the columns differ from those seen during :meth:`fit`.
        """
        check_is_fitted(self)
        values = self._read(X, reset=False)
        scaled = scale_to_unit(values, self.data_min_, self.data_max_, clip=self.clip)
        indicators = []
        for j, name in self._coded_positions().items():
            if name in MAY_BE_UNKNOWN:
                is_unknown = np.isnan(values[:, j])
                scaled[is_unknown, j] = self.unknown_values_[name]
                indicators.append(is_unknown)
        if self.unknown == "indicator":
            scaled = np.column_stack([scaled, *indicators])
        return scaled.astype(np.float32)

    def inverse_transform(self, X):
        """Convert scaled columns back to their original units and codes.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_features_out)
            Scaled columns as returned by :meth:`transform`. Indicators are redundant and are not read.

        Returns
        -------
        clinical : DataFrame or ndarray of shape (n_patients, `n_features_in_`)
            The original columns, with "unknown" where it was; an ndarray if :meth:`fit` saw no column names. Numbers
            are floats, with an error of float32 rounding of the column's range. Clipped numbers remain clipped.

        Raises
        ------
        InputError
            If the number of columns differs, or if a scaled value of a coded column corresponds to no code.
        """
        check_is_fitted(self)
        index = X.index if isinstance(X, pd.DataFrame) else None
        scaled = check_array(X, dtype=np.float64)
        names_out = self.get_feature_names_out()
        if scaled.shape[1] != len(names_out):
            columns = ", ".join(names_out)
            raise InputError(f"X has {scaled.shape[1]} columns; {len(names_out)} are needed: {columns}")
        values = scale_from_unit(scaled[:, : self.n_features_in_], self.data_min_, self.data_max_)
        if not hasattr(self, "feature_names_in_"):
            return values
        table = pd.DataFrame(values, columns=self.feature_names_in_, index=index)
        for name in self._coded_positions().values():
            table[name] = self._decode(name, table[name])
        return table

    def get_feature_names_out(self, input_features=None):
        """Return the names of the scaled columns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the columns if :meth:`fit` saw an array; otherwise, if given, the names seen during :meth:`fit`.

        Returns
        -------
        names : ndarray of str objects
            The names of the input columns, followed by `<name>_unknown` for each indicator.
        """
        names = super().get_feature_names_out(input_features)
        if self.unknown != "indicator":
            return names
        return np.append(names, [f"{name}_{UNKNOWN}" for name in self.unknown_values_]).astype(object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _read(self, X, *, reset):
        """Return X as float64 of shape (n_patients, n_features), with text encoded and "unknown" as NaN."""
        if not isinstance(X, pd.DataFrame):
            if not reset and self._coded_positions():
                columns = ", ".join(self.feature_names_in_)
                raise InputError(f"X is a {type(X).__name__}; a DataFrame with the columns {columns} is needed")
            _check_no_text(X)
            return validate_data(self, X, reset=reset, dtype="numeric").astype(np.float64)
        _check_names_unique(X.columns)
        validate_data(self, X, reset=reset, skip_check_array=True)
        if 0 in X.shape:
            raise InputError(f"X has {X.shape[0]} rows and {X.shape[1]} columns; at least one of each is required")
        return _read_table(X, self._input_names())

    def _input_names(self):
        """Return the names of the input columns; x0, x1, ... if they have none."""
        return list(super().get_feature_names_out())

    def _coded_positions(self):
        """Return {position: name} of the coded columns."""
        names = getattr(self, "feature_names_in_", [])
        return {j: name for j, name in enumerate(names) if name in CLINICAL_CODES}

    def _decode(self, name, values):
        """Return the categories to which the scaled values of one coded column correspond."""
        scaled = {category: float(code) for category, code in CLINICAL_CODES[name].items()}
        if name in self.unknown_values_:
            scaled[UNKNOWN] = self.unknown_values_[name]
        distances = np.abs(values.to_numpy()[:, None] - np.array(list(scaled.values())))
        far = np.flatnonzero(distances.min(axis=1) > CODE_TOLERANCE)
        if len(far):
            known = ", ".join(f"{value:g} ({category})" for category, value in scaled.items())
            rows = [f"{_name_row(values.index, i)}, column {name!r}: {values.iloc[i]:g}" for i in far]
            raise InputError("\n".join(f"{row} corresponds to none of {known}" for row in rows))
        return np.array(list(scaled), dtype=object)[distances.argmin(axis=1)]


def scale_to_unit(values, low, high, *, clip=True):
    """Scale the range from `low` to `high` linearly to [0, 1].

    Parameters
    ----------
    values : ndarray of shape (n_patients, n_features)
        Numbers; NaN stays NaN.
    low, high : float or ndarray of shape (n_features,)
        Values that are scaled to 0 and 1, in the unit of `values`; `low` < `high`.
    clip : bool, default=True
        Whether values outside the range are set to its nearest end.

    Returns
    -------
    scaled : ndarray of shape (n_patients, n_features)
        Scaled values, in [0, 1] if `clip`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.preprocessing import scale_to_unit
    >>> scale_to_unit(np.array([40.0, 50.0, 80.0]), 40.0, 60.0)
    array([0. , 0.5, 1. ])
    """
    scaled = (values - low) / (high - low)
    return np.clip(scaled, 0.0, 1.0) if clip else scaled


def scale_from_unit(scaled, low, high):
    """Convert values scaled to [0, 1] back to the range from `low` to `high`.

    Parameters
    ----------
    scaled : ndarray of shape (n_patients, n_features)
        Scaled values.
    low, high : float or ndarray of shape (n_features,)
        Values to which 0 and 1 are converted.

    Returns
    -------
    values : ndarray of shape (n_patients, n_features)
        Numbers in the unit of `low` and `high`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.preprocessing import scale_from_unit
    >>> scale_from_unit(np.array([0.0, 0.5]), 40.0, 60.0)
    array([40., 50.])
    """
    return low + scaled * (high - low)


def _read_table(table, names):
    """Return the cells of a table as float64, with "unknown" as NaN; raise one error that lists all invalid cells."""
    values = np.empty(table.shape, dtype=np.float64)
    problems = []
    for j, name in enumerate(names):
        column = table.iloc[:, j]
        values[:, j], faults = _read_codes(column, name) if name in CLINICAL_CODES else _read_numbers(column)
        problems += [(i, f"{_name_row(table.index, i)}, column {name!r}: {text}") for i, text in faults]
    if problems:
        lines = [line for _, line in sorted(problems, key=lambda problem: problem[0])]
        raise InputError("\n".join([f"{len(lines)} clinical value(s) cannot be used:", *lines]))
    return values


def _read_codes(column, name):
    """Return the codes of one column, NaN for "unknown", and (row position, fault) for each invalid cell."""
    codes = {category: float(code) for category, code in CLINICAL_CODES[name].items()}
    if name in MAY_BE_UNKNOWN:
        codes[UNKNOWN] = np.nan
    allowed = " or ".join(repr(category) for category in codes)
    values, faults = np.full(len(column), np.nan), []
    for i, cell in enumerate(column):
        if isinstance(cell, str) and cell in codes:
            values[i] = codes[cell]
        else:
            fault = "missing" if is_missing(cell) else f"{cell!r} is not a documented code"
            faults.append((i, f"{fault}; write {allowed}"))
    return values, faults


def _read_numbers(column):
    """Return the numbers of one column, and (row position, fault) for each cell that is not a finite number."""
    values, faults = np.full(len(column), np.nan), []
    for i, cell in enumerate(column):
        if is_missing(cell):
            faults.append((i, "missing; a number is needed"))
        elif isinstance(cell, bool | np.bool_) or not isinstance(cell, Real):
            faults.append((i, f"{cell!r} is not a number; write the number alone, in the unit of the column"))
        elif not np.isfinite(float(cell)):
            faults.append((i, f"{cell} is not finite; a finite number is needed"))
        else:
            values[i] = cell
    return values, faults


def _name_row(index, i):
    """Return how an error names row i: by patient if the index holds patients, else by row label."""
    return f"{'patient' if index.name == 'patient' else 'row'} {index[i]}"


def _mean_code(codes):
    """Return the proportion of code 1 among known codes, with half a count added so that it is strictly in (0, 1)."""
    known = codes[~np.isnan(codes)]
    return float((known.sum() + 0.5) / (len(known) + 1))


def _check_no_text(X):
    """Refuse text within an object array, because NumPy would convert "60" to a number."""
    if getattr(X, "dtype", None) == np.dtype(object) and any(isinstance(cell, str) for cell in np.ravel(X)):
        text = next(cell for cell in np.ravel(X) if isinstance(cell, str))
        raise InputError(f"X is an array with the text {text!r}; give numbers, or a DataFrame if columns are text")


def _check_names_unique(names):
    """Refuse duplicate column names."""
    repeated = pd.Index(names)[pd.Index(names).duplicated()].unique()
    if len(repeated):
        raise InputError(f"column names occur more than once: {', '.join(map(str, repeated))}; rename or drop them")


def _check_ranges(names, low, high, *, n_samples):
    """Refuse constant numeric columns; one error lists all of them."""
    lines = [
        f"column {names[j]!r} is {low[j]:g} in all training rows (n_samples = {n_samples}), so it has no range to "
        "scale by; drop the column or train on rows with different values"
        for j in np.flatnonzero(low == high)
    ]
    if lines:
        raise InputError("\n".join(lines))
