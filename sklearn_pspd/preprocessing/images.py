"""Field of view, matrix and grey scale of slice stacks."""

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from sklearn_pspd._sklearn import Interval, StrOptions, _fit_context
from sklearn_pspd.exceptions import InputError

from .interpolation import resample_stack


class FOVNormalizer(TransformerMixin, BaseEstimator):
    """Bring slice stacks to one field of view and one matrix.

    Every slice is cropped or padded about its centre to ``fov_mm`` x ``fov_mm`` and resampled to ``size_px`` x
    ``size_px``. Cropping, padding and resampling are one linear map in mm, rows and columns each by their own
    spacing, so that nothing is rounded to whole source pixels and a lesion keeps its size.

    Parameters
    ----------
    fov_mm : float, default=200.0
        Side of the field of view in mm, as in [1]_.
    size_px : int, default=256
        Number of rows and of columns of the result, as in [1]_.
    method : {"bicubic", "bilinear", "released"}, default="bicubic"
        Interpolation kernel: Keys' cubic, a triangle, or the steps of the script released with [1]_: crop or zero pad
        to ``round(fov_mm / spacing)`` whole pixels by the row spacing, then TensorFlow's bicubic resizing without
        half-pixel centres, which shifts the image by a part of a pixel and aliases.
    antialias : bool, default=True
        Widen the kernel where pixels become larger, so that what they cannot show is averaged. ``"released"`` never
        does.
    pad_value : "minimum" or float, default="minimum"
        Grey value around the image: each slice's own minimum, or one number. ``"released"`` always pads with 0.

    See Also
    --------
    sklearn_pspd.loading.SliceStackLoader : Reads the stacks.

    Notes
    -----
    Antialiasing, the kernel and the padding by the minimum are choices of this library: zero draws a bright frame
    around an image whose background is not zero. A widened kernel is corrected so that it keeps linear ramps exactly.

    References
    ----------
    .. [1] Jang B.-S., Jeon S. H., Kim I. H., Kim I. A. Prediction of pseudoprogression versus progression using machine
       learning algorithm in glioblastoma. Scientific Reports 8, 12516 (2018).
    .. [2] Keys R. Cubic convolution interpolation for digital image processing. IEEE Transactions on Acoustics, Speech,
       and Signal Processing 29, 1153-1160 (1981).

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> from sklearn_pspd.preprocessing import FOVNormalizer
    >>> pixels = np.arange(3 * 11 * 7, dtype=np.float32).reshape(3, 11, 7)
    >>> stack = SimpleNamespace(pixels=pixels, spacing_mm=(1.0, 1.5), patient_id="P01")
    >>> images = FOVNormalizer(fov_mm=8.0, size_px=4).fit_transform([stack])
    >>> images.shape, images.dtype
    ((1, 3, 4, 4), dtype('float32'))
    """

    _parameter_constraints: ClassVar[dict] = {
        "fov_mm": [Interval(Real, 0, None, closed="neither")],
        "size_px": [Interval(Integral, 1, None, closed="left")],
        "method": [StrOptions({"bicubic", "bilinear", "released"})],
        "antialias": ["boolean"],
        "pad_value": [StrOptions({"minimum"}), Interval(Real, None, None, closed="neither")],
    }

    def __init__(self, *, fov_mm=200.0, size_px=256, method="bicubic", antialias=True, pad_value="minimum"):
        self.fov_mm = fov_mm
        self.size_px = size_px
        self.method = method
        self.antialias = antialias
        self.pad_value = pad_value

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):  # noqa: ARG002
        """Check the parameters and the stacks; nothing is learned.

        Parameters
        ----------
        X : ndarray of shape (n_patients,), dtype object, or list
            Stacks with ``pixels`` of shape (n_slices, height, width), ``spacing_mm`` and ``patient_id``.
        y : None
            Ignored.

        Returns
        -------
        self : FOVNormalizer
            The normaliser itself.
        """
        _check_slice_stacks(X)
        return self

    def transform(self, X):
        """Crop, pad and resample each stack.

        Parameters
        ----------
        X : ndarray of shape (n_patients,), dtype object, or list
            Stacks with ``pixels`` of shape (n_slices, height, width), ``spacing_mm`` and ``patient_id``; height,
            width and spacing may differ between patients.

        Returns
        -------
        images : ndarray of shape (n_patients, n_slices, size_px, size_px), dtype float32
            The resampled stacks.

        Raises
        ------
        ValueError
            If a stack has no usable spacing, non-finite pixels or another number of slices than the first, or a slice
            is constant within the field of view.
        """
        self._validate_params()
        X = _check_slice_stacks(X)
        images = np.empty((len(X), len(X[0].pixels), self.size_px, self.size_px), dtype=np.float32)
        for stack, image in zip(X, images, strict=True):
            image[:] = resample_stack(
                stack.pixels,
                stack.spacing_mm,
                fov_mm=self.fov_mm,
                size_px=self.size_px,
                method=self.method,
                antialias=self.antialias,
                pad_value=self.pad_value,
            )
            constant = np.flatnonzero(_is_constant(image, axis=(1, 2)))
            if constant.size:
                raise InputError(
                    f"patient {stack.patient_id}: slice(s) {', '.join(map(str, constant))} of the stack are constant "
                    f"within fov_mm={self.fov_mm:g}; check the image and the lesion's position"
                )
        return images

    def __sklearn_tags__(self):
        return _stack_tags(super().__sklearn_tags__(), requires_fit=False)


class SliceStandardizer(TransformerMixin, BaseEstimator):
    """Scale grey values linearly to zero mean and unit spread.

    Parameters
    ----------
    scope : {"slice", "stack"}, default="slice"
        Whether each slice has its own mean and spread, as in the script released with [1]_, or each stack.
    norm : {"unit_variance", "unit_norm"}, default="unit_variance"
        ``"unit_variance"`` is the script's meaning, (x - mean) / max(std, 1 / sqrt(n_pixels)); ``"unit_norm"`` is the
        paper's word, (x - mean) / ||x - mean||, smaller by the factor sqrt(n_pixels).

    References
    ----------
    .. [1] Jang B.-S., Jeon S. H., Kim I. H., Kim I. A. Prediction of pseudoprogression versus progression using machine
       learning algorithm in glioblastoma. Scientific Reports 8, 12516 (2018).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.preprocessing import SliceStandardizer
    >>> images = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    >>> scaled = SliceStandardizer().fit_transform(images)
    >>> bool(np.allclose(scaled.std(axis=(2, 3)), 1))
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "scope": [StrOptions({"slice", "stack"})],
        "norm": [StrOptions({"unit_variance", "unit_norm"})],
    }

    def __init__(self, *, scope="slice", norm="unit_variance"):
        self.scope = scope
        self.norm = norm

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):  # noqa: ARG002
        """Check the parameters and the images; nothing is learned.

        Parameters
        ----------
        X : ndarray of shape (n_patients, n_slices, height, width)
            Image stacks.
        y : None
            Ignored.

        Returns
        -------
        self : SliceStandardizer
            The standardiser itself.
        """
        check_stacks(X)
        return self

    def transform(self, X):
        """Scale each slice or stack by its own mean and spread.

        Parameters
        ----------
        X : ndarray of shape (n_patients, n_slices, height, width)
            Image stacks.

        Returns
        -------
        scaled : ndarray of shape (n_patients, n_slices, height, width), dtype float32
            New array; ``X`` is left as it was.

        Raises
        ------
        ValueError
            If a slice is constant.
        """
        self._validate_params()
        X = check_stacks(X)
        scaled = np.empty_like(X, order="C")
        for row, (images, result) in enumerate(zip(X, scaled, strict=True)):
            constant = np.flatnonzero(_is_constant(images, axis=(1, 2)))
            if constant.size:
                raise InputError(
                    f"row {row}, slice(s) {', '.join(map(str, constant))}: all pixels are equal, so they cannot be "
                    "scaled to unit spread; remove the patient or correct the image"
                )
            result[:] = standardize_images(images, axis=(1, 2) if self.scope == "slice" else (0, 1, 2), norm=self.norm)
        return scaled

    def __sklearn_tags__(self):
        return _stack_tags(super().__sklearn_tags__(), requires_fit=False)


class StackFlattener(TransformerMixin, BaseEstimator):
    """Lay each slice stack out as one table row.

    The last step of the image branch: it lets a stock :class:`~sklearn.compose.ColumnTransformer` join images and
    clinical values.

    Attributes
    ----------
    stack_shape_ : tuple of int
        (n_slices, height, width) seen during :meth:`fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.preprocessing import StackFlattener
    >>> stacks = np.zeros((2, 9, 8, 7), dtype=np.float32)
    >>> flattener = StackFlattener().fit(stacks)
    >>> flattener.transform(stacks).shape
    (2, 504)
    >>> flattener.inverse_transform(flattener.transform(stacks)).shape
    (2, 9, 8, 7)
    """

    def fit(self, X, y=None):  # noqa: ARG002
        """Record the shape of one stack.

        Parameters
        ----------
        X : ndarray of shape (n_patients, n_slices, height, width)
            Image stacks.
        y : None
            Ignored.

        Returns
        -------
        self : StackFlattener
            The fitted flattener.
        """
        self.stack_shape_ = check_stacks(X).shape[1:]
        return self

    def transform(self, X):
        """Lay each stack out as one row.

        Parameters
        ----------
        X : ndarray of shape (n_patients, n_slices, height, width)
            Image stacks of the shape seen during :meth:`fit`.

        Returns
        -------
        rows : ndarray of shape (n_patients, n_slices * height * width), dtype float32
            A view of ``X`` where that is contiguous float32 already.

        Raises
        ------
        ValueError
            If the stacks have another shape than during :meth:`fit`.
        """
        check_is_fitted(self)
        X = check_stacks(X, expected_shape=self.stack_shape_)
        return X.reshape(len(X), -1)

    def inverse_transform(self, X):
        """Give rows back the shape of stacks.

        Parameters
        ----------
        X : ndarray of shape (n_patients, n_slices * height * width)
            Rows as :meth:`transform` returns them.

        Returns
        -------
        stacks : ndarray of shape (n_patients, n_slices, height, width), dtype float32
            The stacks.

        Raises
        ------
        ValueError
            If the rows have another length than ``n_slices * height * width``.
        """
        check_is_fitted(self)
        X = check_array(X, dtype=np.float32)
        if X.shape[1] != np.prod(self.stack_shape_):
            raise InputError(
                f"X has {X.shape[1]} columns; stacks of shape {self.stack_shape_} have {np.prod(self.stack_shape_)}"
            )
        return X.reshape(-1, *self.stack_shape_)

    def __sklearn_tags__(self):
        return _stack_tags(super().__sklearn_tags__(), requires_fit=True)


def check_stacks(X, expected_shape=None):
    """Return image stacks as a finite 4-D float32 array.

    Parameters
    ----------
    X : array-like of shape (n_patients, n_slices, height, width)
        Image stacks.
    expected_shape : tuple of int, default=None
        (n_slices, height, width) that the stacks must have.

    Returns
    -------
    X : ndarray of shape (n_patients, n_slices, height, width), dtype float32
        The same array where it is float32 already.

    Raises
    ------
    ValueError
        If ``X`` is not 4-D, has non-finite values, no patient or another shape than expected.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.preprocessing import check_stacks
    >>> check_stacks(np.zeros((1, 3, 4, 5))).dtype
    dtype('float32')
    """
    X = check_array(X, dtype=np.float32, ensure_2d=False, allow_nd=True, input_name="X")
    if X.ndim != 4:
        raise InputError(f"X must have the axes (n_patients, n_slices, height, width); got the shape {X.shape}")
    if expected_shape is not None and X.shape[1:] != tuple(expected_shape):
        raise InputError(
            f"X has stacks of shape {X.shape[1:]}; {tuple(expected_shape)} (n_slices, height, width) was asked for"
        )
    return X


def standardize_images(images, *, axis=(-2, -1), norm="unit_variance"):
    """Scale grey values linearly to zero mean and unit variance or unit norm.

    Parameters
    ----------
    images : ndarray
        Grey values, not constant along ``axis``.
    axis : tuple of int, default=(-2, -1)
        Axes that share one mean and one spread.
    norm : {"unit_variance", "unit_norm"}, default="unit_variance"
        See :class:`SliceStandardizer`.

    Returns
    -------
    scaled : ndarray of the shape of ``images``, dtype float32
        The scaled grey values.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.preprocessing import standardize_images
    >>> standardize_images(np.array([[0.0, 2.0]]))
    array([[-1.,  1.]], dtype=float32)
    """
    images = np.asarray(images)
    mean = images.mean(axis=axis, keepdims=True, dtype=np.float64)
    centred = (images - mean).astype(np.float32)
    sum_of_squares = np.square(centred).sum(axis=axis, keepdims=True, dtype=np.float64)
    if norm == "unit_norm":
        return centred / np.sqrt(sum_of_squares).astype(np.float32)
    n_pixels = images.size / mean.size
    spread = np.maximum(np.sqrt(sum_of_squares / n_pixels), 1 / np.sqrt(n_pixels))
    return centred / spread.astype(np.float32)


def _stack_tags(tags, *, requires_fit):
    tags.requires_fit = requires_fit
    tags.no_validation = True
    tags.input_tags.two_d_array = False
    tags.transformer_tags.preserves_dtype = ["float32"]
    return tags


def _is_constant(images, axis):
    lowest, highest = images.min(axis=axis), images.max(axis=axis)
    return highest - lowest <= 1e-6 * np.maximum(np.abs(lowest), np.abs(highest))


def _check_slice_stacks(X):
    """Refuse what cannot be resampled, naming the patient."""
    if not isinstance(X, np.ndarray | list | tuple) or len(X) == 0:
        raise InputError(f"X must be a sequence of at least one slice stack; got {type(X).__name__}")
    for row, stack in enumerate(X):
        lacking = [name for name in ("pixels", "spacing_mm", "patient_id") if not hasattr(stack, name)]
        if lacking:
            raise InputError(f"row {row}: a slice stack was asked for; {type(stack).__name__} has no {lacking[0]}")
        _check_slice_stack(stack, n_slices=len(X[0].pixels))
    return X


def _check_slice_stack(stack, n_slices):
    if stack.pixels.ndim != 3 or len(stack.pixels) != n_slices:
        raise InputError(
            f"patient {stack.patient_id}: pixels have the shape {stack.pixels.shape}; ({n_slices}, height, width) was "
            "asked for, the slices of the first patient"
        )
    if len(stack.spacing_mm) != 2 or not all(np.isfinite(step) and step > 0 for step in stack.spacing_mm):
        raise InputError(f"patient {stack.patient_id}: spacing_mm={stack.spacing_mm} is not two positive numbers of mm")
    if not np.isfinite(stack.pixels).all():
        raise InputError(f"patient {stack.patient_id}: pixels are not all finite; correct the image")
