"""Field of view, matrix and grey-value scaling of slice stacks."""

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from sklearn_pspd._sklearn import Interval, StrOptions, _fit_context
from sklearn_pspd.exceptions import InputError

from .interpolation import resample_stack


class FOVNormalizer(TransformerMixin, BaseEstimator):
    """Resample slice stacks to one field of view and one matrix.

    Each slice is cropped or padded about its centre to ``fov_mm`` x ``fov_mm`` and resampled to ``size_px`` x
    ``size_px``. Cropping, padding and resampling are a single linear map in mm, with separate spacings of rows and
    columns. Nothing is rounded to whole source pixels, and a lesion keeps its size.

    Parameters
    ----------
    fov_mm : float, default=200.0
        Side length of the field of view in mm, as in [1]_.
    size_px : int, default=256
        Number of rows and of columns of the result, as in [1]_.
    method : {"bicubic", "bilinear", "released"}, default="bicubic"
        Interpolation kernel. ``"bicubic"`` is the cubic kernel of Keys [2]_, ``"bilinear"`` a triangle. ``"released"``
        reproduces the script released with [1]_: crop or zero pad to ``round(fov_mm / spacing)`` whole pixels, with the
        row spacing for both axes, followed by TensorFlow's bicubic resizing without half-pixel centres, which shifts
        the image by a fraction of a pixel and aliases.
    antialias : bool, default=True
        Widen the kernel if pixels become larger, so that detail finer than the new pixels is averaged. Without effect
        for ``"released"``.
    pad_value : "minimum" or float, default="minimum"
        Grey value outside the image: the minimum of each slice, or one number. ``"released"`` always pads with 0.

    See Also
    --------
    sklearn_pspd.loading.SliceStackLoader : Reads the stacks.

    Notes
    -----
    Antialiasing, the kernel and padding with the minimum are choices of this library: padding with zero would draw a
    frame around an image whose background is not zero. A widened kernel is corrected so that it reproduces linear ramps
    exactly.

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
            The unchanged estimator.
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
        InputError
            If a stack has no valid spacing, has non-finite pixels, has a different number of slices than the first, or
            has a slice that is constant within the field of view.
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
                    f"within fov_mm={self.fov_mm:g}; check the image and the lesion position"
                )
        return images

    def __sklearn_tags__(self):
        return _stack_tags(super().__sklearn_tags__(), requires_fit=False)


class SliceStandardizer(TransformerMixin, BaseEstimator):
    """Scale grey values linearly to zero mean and unit variance, or unit norm.

    Parameters
    ----------
    scope : {"slice", "stack"}, default="slice"
        Whether mean and variance are computed per slice, as in the script released with [1]_, or per image of a stack.
    norm : {"unit_variance", "unit_norm"}, default="unit_variance"
        ``"unit_variance"``, as in the script, is (x - mean) / max(std, 1 / sqrt(n_pixels)). ``"unit_norm"``, as in the
        text of the paper, is (x - mean) / ||x - mean||, which is smaller by the factor sqrt(n_pixels).
    n_images : int, default=1
        Number of images of each patient, whose slices follow each other in a stack.

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
        "n_images": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, *, scope="slice", norm="unit_variance", n_images=1):
        self.scope = scope
        self.norm = norm
        self.n_images = n_images

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
            The unchanged estimator.
        """
        check_stacks(X)
        return self

    def transform(self, X):
        """Standardise each slice or each stack.

        Parameters
        ----------
        X : ndarray of shape (n_patients, n_slices, height, width)
            Image stacks.

        Returns
        -------
        scaled : ndarray of shape (n_patients, n_slices, height, width), dtype float32
            The scaled grey values; ``X`` is not changed.

        Raises
        ------
        InputError
            If a slice is constant, or the slices are not those of `n_images` images.
        """
        self._validate_params()
        X = check_stacks(X)
        scaled = np.empty_like(X, order="C")
        by_image = split_images(X, self.n_images)
        for row, (images, parts, result) in enumerate(zip(X, by_image, scaled, strict=True)):
            constant = np.flatnonzero(_is_constant(images, axis=(1, 2)))
            if constant.size:
                raise InputError(
                    f"row {row}, slice(s) {', '.join(map(str, constant))}: all pixels are equal, so they cannot be "
                    "scaled to unit variance; correct the image or remove the patient"
                )
            axis = (2, 3) if self.scope == "slice" else (1, 2, 3)
            result[:] = standardize_images(parts, axis=axis, norm=self.norm).reshape(images.shape)
        return scaled

    def __sklearn_tags__(self):
        return _stack_tags(super().__sklearn_tags__(), requires_fit=False)


class StackFlattener(TransformerMixin, BaseEstimator):
    """Flatten each slice stack to one table row.

    It is the last step of the image branch, so that :class:`~sklearn.compose.ColumnTransformer` can concatenate images
    and clinical values.

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
        """Flatten each stack to one row.

        Parameters
        ----------
        X : ndarray of shape (n_patients, n_slices, height, width)
            Image stacks of the shape seen during :meth:`fit`.

        Returns
        -------
        rows : ndarray of shape (n_patients, n_slices * height * width), dtype float32
            One row per patient; a view of ``X`` if that is contiguous and float32.

        Raises
        ------
        InputError
            If the shape of the stacks differs from that seen during :meth:`fit`.
        """
        check_is_fitted(self)
        X = check_stacks(X, expected_shape=self.stack_shape_)
        return X.reshape(len(X), -1)

    def inverse_transform(self, X):
        """Reshape rows to stacks.

        Parameters
        ----------
        X : ndarray of shape (n_patients, n_slices * height * width)
            Rows as returned by :meth:`transform`.

        Returns
        -------
        stacks : ndarray of shape (n_patients, n_slices, height, width), dtype float32
            The stacks.

        Raises
        ------
        InputError
            If the number of columns is not ``n_slices * height * width``.
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
        Required (n_slices, height, width); None allows any shape.

    Returns
    -------
    X : ndarray of shape (n_patients, n_slices, height, width), dtype float32
        The same array if it is float32, otherwise a converted copy.

    Raises
    ------
    InputError
        If ``X`` is not 4-D, or the shape of the stacks is not the expected one.
    ValueError
        If ``X`` has non-finite values or no patients.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.preprocessing import check_stacks
    >>> check_stacks(np.zeros((1, 3, 4, 5))).dtype
    dtype('float32')
    """
    X = check_array(X, dtype=np.float32, ensure_2d=False, allow_nd=True, input_name="X")
    if X.ndim != 4:
        raise InputError(f"X must have the axes (n_patients, n_slices, height, width); its shape is {X.shape}")
    if expected_shape is not None and X.shape[1:] != tuple(expected_shape):
        raise InputError(
            f"X has stacks of shape {X.shape[1:]}; the shape must be {tuple(expected_shape)} (n_slices, height, width)"
        )
    return X


def split_images(X, n_images):
    """Tell apart the slices of several images per patient, which follow each other in a stack.

    Parameters
    ----------
    X : ndarray of shape (n_patients, n_images * n_slices, height, width)
        Image stacks.
    n_images : int
        Number of images of each patient.

    Returns
    -------
    X : ndarray of shape (n_patients, n_images, n_slices, height, width)
        The stacks, as a view where that is possible.

    Raises
    ------
    InputError
        If the slices are not those of so many images.
    """
    if X.shape[1] % n_images:
        raise InputError(f"X has {X.shape[1]} slices per patient, which are not those of n_images={n_images}")
    return X.reshape(len(X), n_images, -1, *X.shape[2:])


def standardize_images(images, *, axis=(-2, -1), norm="unit_variance"):
    """Scale grey values linearly to zero mean and unit variance or unit norm.

    Parameters
    ----------
    images : ndarray
        Grey values, not constant along ``axis``.
    axis : tuple of int, default=(-2, -1)
        Axes over which mean and variance are computed.
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
    # Means and sums in float64: 65,536 pixels per slice would lose digits in float32.
    mean = images.mean(axis=axis, keepdims=True, dtype=np.float64)
    centred = (images - mean).astype(np.float32)
    sum_of_squares = np.square(centred).sum(axis=axis, keepdims=True, dtype=np.float64)
    if norm == "unit_norm":
        return centred / np.sqrt(sum_of_squares).astype(np.float32)
    # The lower limit of the standard deviation is that of TensorFlow's per_image_standardization.
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
    """Refuse stacks that cannot be resampled; the error names the patient."""
    if not isinstance(X, np.ndarray | list | tuple):
        raise InputError(f"X must be a sequence of slice stacks; got {type(X).__name__}")
    if len(X) == 0:
        raise InputError("X must have at least one slice stack; it is empty")
    for row, stack in enumerate(X):
        lacking = [name for name in ("pixels", "spacing_mm", "patient_id") if not hasattr(stack, name)]
        if lacking:
            raise InputError(f"row {row}: {type(stack).__name__} is not a slice stack, it has no {lacking[0]}")
        _check_slice_stack(stack, n_slices=len(X[0].pixels))
    return X


def _check_slice_stack(stack, n_slices):
    if stack.pixels.ndim != 3 or len(stack.pixels) != n_slices:
        raise InputError(
            f"patient {stack.patient_id}: pixels have the shape {stack.pixels.shape}; it must be ({n_slices}, height, "
            "width), with as many slices as the first patient has"
        )
    if len(stack.spacing_mm) != 2 or not all(np.isfinite(step) and step > 0 for step in stack.spacing_mm):
        raise InputError(
            f"patient {stack.patient_id}: spacing_mm={stack.spacing_mm}; it must be two positive numbers in mm"
        )
    if not np.isfinite(stack.pixels).all():
        raise InputError(f"patient {stack.patient_id}: some pixels are not finite; correct the image")
