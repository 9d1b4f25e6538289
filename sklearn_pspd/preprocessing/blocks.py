"""Preparation of images a few patients at a time."""

import numpy as np
from sklearn.pipeline import Pipeline

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.loading.loader import unreadable_images

from .images import FOVNormalizer, SliceStandardizer, StackFlattener

BLOCK_PATIENTS = 32


class StackPipeline(Pipeline):
    """Pipeline from the cohort table to rows of pixels, which has the images of a few patients in memory at a time.

    It gives the same rows as :class:`sklearn.pipeline.Pipeline`. Memory is that of the rows and of the stacks of 32
    patients, since none of its steps learns from one patient what it applies to another. With any other step, such as
    principal components, it is an ordinary pipeline, which has the stacks of all patients in memory.

    Parameters
    ----------
    steps : list of (str, transformer)
        A :class:`~sklearn_pspd.loading.SliceStackLoader`, then any of
        :class:`~sklearn_pspd.preprocessing.FOVNormalizer`, :class:`~sklearn_pspd.preprocessing.SliceStandardizer` and
        :class:`~sklearn_pspd.preprocessing.StackFlattener`.
    transform_input : list of str, default=None
        As in :class:`sklearn.pipeline.Pipeline`.
    memory : str or joblib.Memory, default=None
        As in :class:`sklearn.pipeline.Pipeline`.
    verbose : bool, default=False
        As in :class:`sklearn.pipeline.Pipeline`.

    Attributes
    ----------
    steps : list of (str, transformer)
        The steps, fitted after a fit.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import make_cohort
    >>> from sklearn_pspd.loading import SliceStackLoader
    >>> from sklearn_pspd.preprocessing import FOVNormalizer, StackFlattener, StackPipeline
    >>> load, fov = SliceStackLoader(n_slices=3), FOVNormalizer(size_px=8)
    >>> steps = [("load", load), ("fov", fov), ("flatten", StackFlattener())]
    >>> with TemporaryDirectory() as folder:
    ...     cohort = make_cohort(folder, n_patients=6, matrix_px=(128,), n_native_slices=10, random_state=0)
    ...     StackPipeline(steps).fit_transform(cohort).shape
    (6, 192)
    """

    def fit(self, X, y=None, **params):
        """Check the parameters and the first image; the steps learn nothing else.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table.
        y : array-like, default=None
            Ignored, unless there are other steps.
        **params : dict
            As in :class:`sklearn.pipeline.Pipeline`.

        Returns
        -------
        self : StackPipeline
            The fitted pipeline.
        """
        if not self._can_do_blocks(X):
            return super().fit(X, y, **params)
        return self._naming_all(X, lambda: super(StackPipeline, self).fit(X.iloc[:1], None, **params))

    def fit_transform(self, X, y=None, **params):
        """Fit, and prepare the rows of all patients.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table.
        y : array-like, default=None
            Ignored, unless there are other steps.
        **params : dict
            As in :class:`sklearn.pipeline.Pipeline`.

        Returns
        -------
        ndarray of shape (n_patients, n_pixels), dtype float32
            One row per patient.

        Raises
        ------
        InputError
            If images cannot be used; all patients are listed.
        """
        if not self._can_do_blocks(X):
            return super().fit_transform(X, y, **params)
        return self.fit(X, y, **params).transform(X)

    def transform(self, X, **params):
        """Prepare the rows of all patients.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table.
        **params : dict
            As in :class:`sklearn.pipeline.Pipeline`.

        Returns
        -------
        ndarray of shape (n_patients, n_pixels), dtype float32
            One row per patient.

        Raises
        ------
        InputError
            If images cannot be used; all patients are listed.
        """
        if not self._can_do_blocks(X):
            return super().transform(X, **params)
        return self._naming_all(X, lambda: self._rows(X, super(StackPipeline, self).transform, params))

    def _rows(self, X, transform, params):
        rows = None
        for start in range(0, len(X), BLOCK_PATIENTS):
            block = transform(X.iloc[start : start + BLOCK_PATIENTS], **params)
            if rows is None:
                rows = np.empty((len(X), *block.shape[1:]), dtype=block.dtype)
            rows[start : start + len(block)] = block
        return rows

    def _naming_all(self, X, function):
        """Run a function; if the images of a block are refused, say of all patients which ones cannot be used."""
        try:
            return function()
        except InputError:
            loader, problems = self.steps[0][1], []
            for start in range(0, len(X), BLOCK_PATIENTS):
                problems += loader.inspect(X.iloc[start : start + BLOCK_PATIENTS])["problem"].tolist()
            if any(problems):
                raise unreadable_images(X, [text.split(" | ") if text else [] for text in problems]) from None
            raise

    def _can_do_blocks(self, X):
        """Return whether no step learns from the patients, and X has rows to take a few of."""
        steps = [step for _, step in self.steps]
        others = (FOVNormalizer, SliceStandardizer, StackFlattener)
        known = isinstance(steps[0], SliceStackLoader) and all(isinstance(step, others) for step in steps[1:])
        return known and isinstance(steps[-1], StackFlattener) and hasattr(X, "iloc") and len(X) > 0
