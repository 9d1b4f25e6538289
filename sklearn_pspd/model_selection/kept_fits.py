"""Finished fits in a folder, so that an interrupted protocol goes on where it stopped."""

import hashlib
import inspect
import json
import os
from numbers import Integral
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import write_bytes
from sklearn_pspd.persistence import installed_versions, load_pipeline, save_pipeline

# Parameters that change where and how a fit runs, not what it finds.
WITHOUT_EFFECT = ("memory", "n_jobs", "verbose", "pre_dispatch", "on_progress")
# A fit of other versions can find something else.
PACKAGES = ("sklearn_pspd", "scikit-learn", "keras", "tensorflow", "numpy", "scipy")


class KeptFits:
    """Finished fits in a folder.

    Each fit is kept in a file, under a fingerprint of everything that it depends on: the model with its seeds, the rows
    of the cohort table, the images, and the versions of the packages. A protocol that is started again takes the fits
    that are there and repeats the others. A changed option changes the fingerprint, so that a fit of other settings is
    never taken.

    Parameters
    ----------
    folder : path-like
        Where fits are kept; made if missing. Several processes may share it.
    contents : dict of str to str, default=None
        Fingerprint of the content of each file that the cohort table names, by its path. Without it, files are known by
        their path.
    share : tuple of int, default=None
        (i, n): only every n-th fit is run, starting with the i-th, i from 1 to n, so that n processes share a protocol.
        None runs all.

    Raises
    ------
    InputError
        If there is no such share.

    Notes
    -----
    Fits are written to a temporary file that is renamed when it is whole, and are read without running code from them.
    A file that is damaged counts as missing. The model of a fit is kept by
    :func:`~sklearn_pspd.persistence.save_pipeline`; a fit whose model or result cannot be kept that way is repeated.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd.model_selection.kept_fits import KeptFits
    >>> from sklearn_pspd.model_selection.parallel import Tasks
    >>> def fit(value):
    ...     print(f"fitting {value}")
    ...     return value**2
    >>> with TemporaryDirectory() as folder:
    ...     for _ in range(2):
    ...         print(list(Tasks(2, None, None, KeptFits(folder)).run(fit, [(3,), (4,)], ["fold 1", "fold 2"])))
    fitting 3
    fitting 4
    [9, 16]
    [9, 16]
    """

    def __init__(self, folder, *, contents=None, share=None):
        self.folder, self.contents, self.share = Path(folder), contents or {}, share
        if share is not None and not (len(share) == 2 and 1 <= share[0] <= share[1]):
            raise InputError(f"share={share!r}: it must be (i, n) with i from 1 to n, for example (1, 4)")
        self.folder.mkdir(parents=True, exist_ok=True)

    def key(self, function, call):
        """Return the fingerprint of a fit.

        Parameters
        ----------
        function : callable
            What fits.
        call : tuple
            Its arguments.

        Returns
        -------
        str
            Name of the fit's file.
        """
        installed = installed_versions(PACKAGES)
        versions = [f"{package} {installed.get(package, '-')}" for package in PACKAGES]
        parts = [_home(function), *versions, fingerprint(call, self.contents)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def is_own(self, number):
        """Return whether the fit at a position of the protocol, counted from 0, belongs to the share of this process.

        Parameters
        ----------
        number : int
            Position of the fit.

        Returns
        -------
        bool
            Always True without shares.
        """
        return self.share is None or number % self.share[1] == self.share[0] - 1

    def read(self, key):
        """Return what a fit found.

        Parameters
        ----------
        key : str
            What :meth:`key` returned.

        Returns
        -------
        list
            With one element, what the fit returned; empty if the fit is not there.
        """
        try:
            content = json.loads((self.folder / f"{key}.json").read_bytes())
            if content["sha256"] != _digest(content["result"]):
                return []
            return [_decoded(content["result"], self._model_path(key))]
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return []

    def run(self, key, function, call):
        """Run a fit and keep what it found.

        Parameters
        ----------
        key : str
            What :meth:`key` returned.
        function : callable
            What fits.
        call : tuple
            Its arguments.

        Returns
        -------
        object
            What the function returned.
        """
        result = function(*call)
        try:
            encoded = _encoded(result, self._model_path(key))
        except (InputError, TypeError):
            # Of a kind that cannot be kept without pickle.
            return result
        write_bytes(self.folder / f"{key}.json", json.dumps({"result": encoded, "sha256": _digest(encoded)}).encode())
        return result

    def _model_path(self, key):
        return self.folder / f"{key}.skops"


def fingerprint(value, contents=None):
    """Return a text that is the same for equal values, in every process.

    Parameters
    ----------
    value : object
        Numbers, text, arrays, tables, estimators, functions, and lists, tuples and dictionaries of them.
    contents : dict of str to str, default=None
        What stands for a text, such as the fingerprint of a file for its path.

    Returns
    -------
    str
        Hexadecimal.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_pspd.model_selection.kept_fits import fingerprint
    >>> fingerprint(LogisticRegression(C=2.0)) == fingerprint(LogisticRegression(C=2.0))
    True
    >>> fingerprint(LogisticRegression(C=2.0)) == fingerprint(LogisticRegression())
    False
    """
    return _digest(_described(value, contents or {}))


def _described(value, contents):
    """Return a JSON value that describes an argument of a fit."""
    if isinstance(value, (str, os.PathLike)):
        return ["text", contents.get(os.fspath(value), os.fspath(value))]
    if value is None or isinstance(value, (bool, int, float, np.generic)):
        return ["value", type(value).__name__, repr(value.item() if isinstance(value, np.generic) else value)]
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [_described(item, contents) for item in value]
        return [type(value).__name__, *(items if isinstance(value, (list, tuple)) else sorted(items))]
    if isinstance(value, dict):
        return ["dict", *([_described(key, contents), _described(item, contents)] for key, item in value.items())]
    if isinstance(value, (pd.DataFrame, pd.Series)):
        columns = value.items() if isinstance(value, pd.DataFrame) else [(value.name, value)]
        return ["table", *([str(name), str(of.dtype), _described(of.tolist(), contents)] for name, of in columns)]
    if isinstance(value, np.ndarray) and value.dtype != object:
        return ["array", value.dtype.str, list(value.shape), hashlib.sha256(np.ascontiguousarray(value)).hexdigest()]
    if hasattr(value, "get_params") and not isinstance(value, type):
        of_model = value.get_params(deep=False).items()
        parameters = {name: item for name, item in of_model if name not in WITHOUT_EFFECT}
        return ["estimator", _home(type(value)), _described(parameters, contents)]
    if inspect.isroutine(value) or inspect.isclass(value):
        return ["function", _home(value)]
    return ["other", joblib.hash(value)]


def _home(value):
    return f"{value.__module__}.{value.__qualname__}"


def _digest(described):
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def _encoded(value, model_path):
    """Return a JSON value; a fitted model is written to a file of its own."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (Integral, float, np.floating)):
        # JSON holds Python's floats exactly.
        return int(value) if isinstance(value, Integral) else float(value)
    if isinstance(value, (list, tuple)):
        return {"kind": type(value).__name__, "items": [_encoded(item, model_path) for item in value]}
    if isinstance(value, dict):
        return {"kind": "dict", "items": [[key, _encoded(item, model_path)] for key, item in value.items()]}
    if isinstance(value, pd.DataFrame):
        columns = [[name, str(of.dtype), [_encoded(cell, None) for cell in of.tolist()]] for name, of in value.items()]
        return {"kind": "table", "columns": columns}
    if model_path is not None and hasattr(value, "get_params"):
        save_pipeline(value, model_path)
        return {"kind": "model"}
    raise TypeError(f"{type(value).__name__} cannot be kept")


def _decoded(value, model_path):
    if not isinstance(value, dict):
        return value
    kind = value["kind"]
    if kind == "model":
        return load_pipeline(model_path)
    if kind == "table":
        columns = {
            name: pd.Series([_decoded(cell, None) for cell in cells], dtype=dtype)
            for name, dtype, cells in value["columns"]
        }
        return pd.DataFrame(columns)
    if kind == "dict":
        return {key: _decoded(item, model_path) for key, item in value["items"]}
    items = [_decoded(item, model_path) for item in value["items"]]
    return tuple(items) if kind == "tuple" else items
