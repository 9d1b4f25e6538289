"""Scaling of clinical columns to [0, 1]."""

from numbers import Real

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_pspd._sklearn import StrOptions, _fit_context
from sklearn_pspd.cohort.cells import did_you_mean
from sklearn_pspd.cohort.columns import PAPER_CLINICAL, UNKNOWN, clinical_columns
from sklearn_pspd.cohort.problems import check_frame, is_missing
from sklearn_pspd.exceptions import InputError

MIDPOINT = 0.5
CODE_TOLERANCE = 1e-6
MISSING = ("refuse", "median", "indicator")


class ClinicalMinMaxScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Scale clinical columns to [0, 1].

    Text columns with documented codes (`sex`, `mgmt`, `idh`, and those declared in `clinical`) are encoded by these
    codes, and scaled by the range of the codes. All other columns are numeric and are scaled by the range of the
    training rows, as in [1]_.

    Parameters
    ----------
    unknown : {"midpoint", "mean", "indicator"}, default="midpoint"
        Scaled value of "unknown" in the columns that may contain it (`mgmt`, `idh`, and those that are declared so).

        - "midpoint": 0.5, halfway between the lowest and the highest code.
        - "mean": the mean scaled code of the k training rows with a known code, estimated as (sum + 0.5) / (k + 1);
          with two codes, their proportion. The added half keeps it strictly inside the range.
        - "indicator": 0.5, and for each of these columns an additional column `<name>_unknown` of zeros and ones. The
          additional columns depend on the columns of the table, not on the rows of a fold, so that all folds have the
          same number of columns.
    missing : {"refuse", "median", "indicator"}, default="refuse"
        What becomes of a missing number.

        - "refuse": it is an error.
        - "median": it is replaced by the median of the training rows.
        - "indicator": the same, and for each numeric column that may have missing numbers an additional column
          `<name>_missing` of zeros and ones, whatever the rows of a fold.

        `interval_days` may not be missing in any case: without it, the lesion has no date.
    clip : bool, default=True
        Whether what no training row has is set to the nearest value that training rows have: a number outside their
        range, a category that none of them has, "unknown" or a missing number if none of them has it. If False, scaled
        values may be outside [0, 1], and a model may receive values that it was not trained with.
    clinical : sequence of str or ClinicalColumn, default=()
        Declarations of columns with codes beyond those of the paper; names and numeric columns need none.

    Attributes
    ----------
    data_min_ : ndarray of shape (`n_features_in_`,)
        Value that is scaled to 0, in the unit of the column: the minimum of the training rows, or the lowest code. NaN
        if all numbers are missing.
    data_max_ : ndarray of shape (`n_features_in_`,)
        Value that is scaled to 1, in the unit of the column: the maximum of the training rows, or the highest code.
    scaled_min_ : ndarray of shape (n_features_out,)
        Smallest scaled value of the training rows; with `clip`, the smallest that :meth:`transform` returns.
    scaled_max_ : ndarray of shape (n_features_out,)
        Largest scaled value of the training rows.
    constant_columns_ : list of str
        Columns with a single value in the training rows, which therefore carry no information.
    unknown_values_ : dict of str to float
        Scaled value of "unknown", in (0, 1), for each column of the table that may contain it.
    medians_ : dict of str to float
        Median of the training rows, for each numeric column, unless `missing` is "refuse".
    n_features_in_ : int
        Number of columns seen during :meth:`fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of these columns, if X was a DataFrame whose column names are all text.

    See Also
    --------
    sklearn.preprocessing.MinMaxScaler : The same for numeric columns.
    sklearn_pspd.cohort.ClinicalColumn : Declares a column.

    Notes
    -----
    The paper states that clinical features were min-max scaled; it does not describe how unknown categories were
    handled, so `unknown` is a choice of this library. "midpoint" is the default because it keeps the published seven
    columns, favours neither code and is the same in all folds. With "mean", an unknown IDH status is scaled close to
    wildtype (3 of the 72 patients of the paper with a known status are mutated). "indicator" adds a column that may be
    non-zero in very few patients.

    A numeric column that is constant in the training rows is scaled to 0, for every patient. A column of codes with a
    single category in the training rows keeps the code of that category; with `clip`, for every patient. So a column
    without information in training cannot move a prediction. :attr:`constant_columns_` lists both kinds, without a
    warning: a fold may lack the only patient with another value.

    Numbers given as text, and True and False within a table, are refused. Arrays, and tables without a coded column,
    are min-max scaled. The output is float32.

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

    A column that the paper does not have, with its codes:

    >>> from sklearn_pspd.cohort import ClinicalColumn
    >>> resection = ClinicalColumn("resection", codes={"biopsy": 0, "partial": 1, "total": 2})
    >>> table = pd.DataFrame({"resection": ["total", "biopsy", "partial"]})
    >>> ClinicalMinMaxScaler(clinical=[resection]).fit_transform(table).ravel().tolist()
    [1.0, 0.0, 0.5]
    """

    _parameter_constraints = {  # noqa: RUF012  scikit-learn's own spelling
        "unknown": [StrOptions({"midpoint", "mean", "indicator"})],
        "missing": [StrOptions(set(MISSING))],
        "clip": ["boolean"],
        "clinical": [list, tuple],
    }

    def __init__(self, *, unknown="midpoint", missing="refuse", clip=True, clinical=()):
        self.unknown = unknown
        self.missing = missing
        self.clip = clip
        self.clinical = clinical

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):  # noqa: ARG002  scikit-learn's signature
        """Learn the range of each numeric column, and the values of what is unknown or missing.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_features)
            Clinical columns: any of the seven in any order, declared ones, and further numeric columns. All columns of
            an array are numeric.
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
            one per line, with patient and column), if a column name occurs twice, or if a declaration is wrong.
        """
        values = self._read(X, reset=True)
        names, declared = self._input_names(), self._declared()
        _check_names_unique(self.encoded_names(names))
        # The value that is scaled to 0, and that to 1.
        codes = {j: list(declared[name].codes.values()) for j, name in self._coded_positions().items()}
        known = [codes.get(j, column[~np.isnan(column)]) for j, column in enumerate(values.T)]
        self.data_min_ = np.array([min(column, default=np.nan) for column in known], dtype=np.float64)
        self.data_max_ = np.array([max(column, default=np.nan) for column in known], dtype=np.float64)
        # The values of what is unknown or missing.
        self.medians_ = {}
        if self.missing != "refuse":
            numbers = {
                name: column for j, (name, column) in enumerate(zip(names, known, strict=True)) if j not in codes
            }
            self.medians_ = {
                name: float(np.median(column)) if len(column) else np.nan for name, column in numbers.items()
            }
        self.unknown_values_ = {
            name: self._unknown_value(values[:, j], j)
            for j, name in self._coded_positions().items()
            if declared[name].may_be_unknown
        }
        # What the training rows have.
        scaled = self._scale(values)
        self.scaled_min_, self.scaled_max_ = scaled.min(axis=0), scaled.max(axis=0)
        constant = self.scaled_min_ == self.scaled_max_
        self.constant_columns_ = [name for name, is_constant in zip(names, constant, strict=False) if is_constant]
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
            Scaled columns, in [0, 1] if `clip`, followed by the indicators of "unknown" and of missing numbers.

        Raises
        ------
        InputError
            If a value is missing, infinite, of the wrong type or not a documented code.
        ValueError
            If the columns differ from those seen during :meth:`fit`.
        """
        check_is_fitted(self)
        scaled = self._scale(self._read(X, reset=False))
        if self.clip:
            scaled = np.clip(scaled, self.scaled_min_, self.scaled_max_)
        return scaled.astype(np.float32)

    def outside_training(self, X):
        """Say which values no training row has: numbers outside their range, categories that none of them has.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_patients, n_features)
            The columns seen during :meth:`fit`, in the same order.

        Returns
        -------
        DataFrame of bool of shape (n_patients, `n_features_in_`)
            True where :meth:`transform` clips the value if `clip`.
        """
        check_is_fitted(self)
        values = self._read(X, reset=False)
        names, n = self._input_names(), self.n_features_in_
        scaled = self._scale(values)[:, :n]
        is_outside = (scaled < self.scaled_min_[:n]) | (scaled > self.scaled_max_[:n])
        # Numbers are compared in their unit, since those of a constant column are all scaled to 0.
        is_number = ~np.isin(np.arange(n), list(self._coded_positions()))
        is_other = (values < self.data_min_) | (values > self.data_max_)
        index = X.index if isinstance(X, pd.DataFrame) else None
        return pd.DataFrame(np.where(is_number, is_other, is_outside), columns=names, index=index)

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
            are floats, with an error of float32 rounding of the column's range. Clipped numbers remain clipped, and
            medians remain where numbers were missing.

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
        for j, name in self._coded_positions().items():
            table[name] = self._decode(name, pd.Series(scaled[:, j], index=table.index))
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
            The names of the input columns, followed by `<name>_unknown` and `<name>_missing` for each indicator.
        """
        return np.array(self.encoded_names(super().get_feature_names_out(input_features)), dtype=object)

    def encoded_names(self, columns):
        """Return the names of the scaled columns of a table, without fitting.

        Parameters
        ----------
        columns : sequence of str
            Names of the columns of the table.

        Returns
        -------
        list of str
            These names, followed by those of the indicators: as many as the scaled table has columns.
        """
        names = [str(name) for name in columns]
        return [*names, *(f"{name}_{what}" for name, what in self._indicators(names))]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.allow_nan = self.missing != "refuse"
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _declared(self):
        """Return {name: ClinicalColumn} of the columns of the paper and the declared ones."""
        chosen = clinical_columns(self.clinical) if len(self.clinical) else ()
        return {column.name: column for column in (*PAPER_CLINICAL, *chosen)}

    def _indicators(self, names):
        """Return (column, what it indicates) of each additional column."""
        declared = self._declared()
        unknown = [name for name in names if name in declared and declared[name].may_be_unknown]
        numbers = [name for name in names if name not in declared or not declared[name].is_coded]
        missing = [name for name in numbers if name not in declared or declared[name].may_be_missing]
        return [
            *((name, UNKNOWN) for name in unknown if self.unknown == "indicator"),
            *((name, "missing") for name in missing if self.missing == "indicator"),
        ]

    def _read(self, X, *, reset):
        """Return X as float64 of shape (n_patients, n_features); "unknown" and missing numbers are NaN."""
        if hasattr(X, "to_pandas"):
            check_frame(X, "X")
        if not isinstance(X, pd.DataFrame):
            if not reset and self._coded_positions():
                columns = ", ".join(self.feature_names_in_)
                raise InputError(f"X is a {type(X).__name__}; a DataFrame with the columns {columns} is needed")
            _check_no_text(X)
            finite = True if self.missing == "refuse" else "allow-nan"
            return validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite=finite).astype(np.float64)
        _check_names_unique(X.columns)
        validate_data(self, X, reset=reset, skip_check_array=True)
        if 0 in X.shape:
            raise InputError(f"X has {X.shape[0]} rows and {X.shape[1]} columns; at least one of each is required")
        return _read_table(X, self._input_names(), self._declared(), self.missing)

    def _scale(self, values):
        """Return the scaled columns and the indicators, before clipping."""
        names = self._input_names()
        is_empty = np.isnan(values)
        filled = values.copy()
        for j, name in enumerate(names):
            if name in self.medians_:
                filled[is_empty[:, j], j] = self.medians_[name]
        # A column without a range is 0.
        has_range = self.data_max_ > self.data_min_
        low, high = np.where(has_range, self.data_min_, 0.0), np.where(has_range, self.data_max_, 1.0)
        scaled = np.where(has_range, scale_to_unit(filled, low, high, clip=False), 0.0)
        for name, value in self.unknown_values_.items():
            j = names.index(name)
            scaled[is_empty[:, j], j] = value
        indicators = [is_empty[:, names.index(name)] for name, _ in self._indicators(names)]
        return np.column_stack([scaled, *indicators])

    def _unknown_value(self, codes, j):
        """Return the scaled value of "unknown" in the column at position j."""
        if self.unknown != "mean":
            return MIDPOINT
        known = scale_to_unit(codes[~np.isnan(codes)], self.data_min_[j], self.data_max_[j])
        # Half a count is added, so that it is strictly in (0, 1).
        return float((known.sum() + 0.5) / (len(known) + 1))

    def _input_names(self):
        """Return the names of the input columns; x0, x1, ... if they have none."""
        return list(super().get_feature_names_out())

    def _coded_positions(self):
        """Return {position: name} of the coded columns."""
        names = getattr(self, "feature_names_in_", [])
        declared = self._declared()
        return {j: name for j, name in enumerate(names) if name in declared and declared[name].is_coded}

    def _decode(self, name, values):
        """Return the categories to which the scaled values of one coded column correspond."""
        codes = self._declared()[name].codes
        low, high = min(codes.values()), max(codes.values())
        scaled = {category: (code - low) / (high - low) for category, code in codes.items()}
        if name in self.unknown_values_:
            # The last one, so that a category that is scaled to the same value is found first.
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


def _read_table(table, names, declared, missing):
    """Return the cells of a table as float64, NaN where unknown or missing; one error lists all invalid cells."""
    values = np.empty(table.shape, dtype=np.float64)
    problems = []
    for j, name in enumerate(names):
        cells, column = table.iloc[:, j], declared.get(name)
        if column is not None and column.is_coded:
            values[:, j], faults = _read_codes(cells, column)
        else:
            may_be_missing = column is None or column.may_be_missing
            values[:, j], faults = _read_numbers(cells, missing, may_be_missing=may_be_missing)
        problems += [(i, f"{_name_row(table.index, i)}, column {name!r}: {text}") for i, text in faults]
    if problems:
        lines = [line for _, line in sorted(problems, key=lambda problem: problem[0])]
        raise InputError("\n".join([f"{len(lines)} clinical value(s) cannot be used:", *lines]))
    return values


def _read_codes(cells, column):
    """Return the codes of one column, NaN for "unknown", and (row position, fault) for each invalid cell."""
    codes = {category: float(code) for category, code in column.codes.items()}
    if column.may_be_unknown:
        codes[UNKNOWN] = np.nan
    allowed = " or ".join(repr(category) for category in codes)
    values, faults = np.full(len(cells), np.nan), []
    for i, cell in enumerate(cells):
        if isinstance(cell, str) and cell in codes:
            values[i] = codes[cell]
        else:
            fault = "missing" if is_missing(cell) else f"{cell!r} is not a documented code"
            faults.append((i, f"{fault}; write {allowed}{did_you_mean(cell, codes)}"))
    return values, faults


def _read_numbers(cells, missing, *, may_be_missing):
    """Return the numbers of one column, and (row position, fault) for each cell that is not a finite number."""
    values, faults = np.full(len(cells), np.nan), []
    for i, cell in enumerate(cells):
        if is_missing(cell):
            if not may_be_missing:
                faults.append((i, "missing, and this column may not be; leave the patient out"))
            elif missing == "refuse":
                faults.append((i, "missing; missing='median' or 'indicator' replaces missing numbers"))
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
