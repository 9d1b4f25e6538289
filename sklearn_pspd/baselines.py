"""Baselines that a network must be compared with, as pipelines by name, from prevalence to frozen image features."""

import hashlib
import inspect
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from numbers import Integral, Real
from pathlib import Path
from typing import ClassVar

import numpy as np
from joblib import Memory, Parallel, delayed
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import BaseCrossValidator, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_pspd._sklearn import HasMethods, Interval, StrOptions, _fit_context
from sklearn_pspd.cohort.columns import checked_further_images
from sklearn_pspd.cohort.image_files import NIFTI, image_format
from sklearn_pspd.cohort.problems import is_missing
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.loading.cache import open_cache
from sklearn_pspd.loading.geometry import read_slices
from sklearn_pspd.loading.nifti import open_nifti
from sklearn_pspd.pipelines import (
    CohortColumnTransformer,
    CohortPipeline,
    ImageSelector,
    _clinical_branch,
    _mri_branch,
    make_clinical_pipeline,
)
from sklearn_pspd.preprocessing import FOVNormalizer, SliceStandardizer, check_stacks
from sklearn_pspd.preprocessing.images import split_images
from sklearn_pspd.preprocessing.interpolation import resample_stack

__all__ = [
    "RadiomicsExtractor",
    "SliceEncoder",
    "baseline_models",
    "penalised_regression",
    "radiomics_features",
]

FAMILIES = ("firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm")
PENALTIES = np.logspace(-4, 2, 7)
MIXTURES = (0.1, 0.5, 0.9)
# Names in tables and figures; those of the second group run only if they are asked for.
PREVALENCE, RIDGE, ELASTIC_NET, FOREST = "prevalence", "clinical ridge", "clinical elastic net", "clinical forest"
COMPONENTS, RADIOMICS, RADIOMICS_FUSION = "MRI principal components", "MRI radiomics", "MRI radiomics + clinical"
ENCODER = "MRI frozen features"
DEFAULT_NAMES = (PREVALENCE, RIDGE, ELASTIC_NET, FOREST, COMPONENTS)
NAMES = (*DEFAULT_NAMES, RADIOMICS, RADIOMICS_FUSION, ENCODER)


def baseline_models(
    names=DEFAULT_NAMES,
    *,
    clinical=None,
    missing="refuse",
    n_slices=9,
    size_px=256,
    fov_mm=200.0,
    slice_spacing_mm=None,
    further_images=(),
    allow_sequence=False,
    encoder=None,
    memory=None,
    random_state=None,
    n_jobs=None,
):
    """Make the baselines by the names that tables and figures show, from the simplest to the most expensive.

    Everything is learned inside the training fold: scaling, principal components, and the strength of the penalties by
    an inner cross-validation of the log loss.

    Parameters
    ----------
    names : sequence of str, default=("prevalence", "clinical ridge", "clinical elastic net", "clinical forest", \
            "MRI principal components")
        The baselines to make. "MRI radiomics" and "MRI radiomics + clinical" need
        ``pip install sklearn-pspd[radiomics]``; "MRI frozen features" loads Keras.
    clinical : sequence of str or ClinicalColumn, default=None
        Clinical columns of the cohort table to use, as in :func:`~sklearn_pspd.pipelines.make_clinical_pipeline`.
    missing : {"refuse", "median", "indicator"}, default="refuse"
        What becomes of missing numbers, as in :class:`~sklearn_pspd.preprocessing.ClinicalMinMaxScaler`.
    n_slices : int, default=9
        Axial slices per patient, odd.
    size_px : int, default=256
        Rows and columns of a slice after resampling.
    fov_mm : float, default=200.0
        Side of the square field of view in mm.
    slice_spacing_mm : float, default=None
        As in :class:`~sklearn_pspd.loading.SliceStackLoader`.
    further_images : sequence of str, default=()
        As in :class:`~sklearn_pspd.loading.SliceStackLoader`. The image models then have the features of every image.
    allow_sequence : bool or collection of str, default=False
        As in :class:`~sklearn_pspd.loading.SliceStackLoader`.
    encoder : SliceEncoder, default=None
        Encoder of the frozen features; None takes its defaults, with `random_state`.
    memory : str, path or joblib.Memory, default=None
        Folder of a cache of decoded slice stacks and radiomics features. Nothing that is learned is cached.
    random_state : int, RandomState instance or None, default=None
        Seed of the inner folds, of the random forest, and of the default encoder.
    n_jobs : int, default=None
        Processes that read images and extract features, and threads that grow trees.

    Returns
    -------
    dict of str to sklearn.pipeline.Pipeline
        X is a cohort table without its outcome, y is 0 (PD) or 1 (PsPD).

    Raises
    ------
    InputError
        If a name is unknown, or `clinical` is empty, has a column twice or one that is not declared.

    Notes
    -----
    ====================================  ==========================================================================
    "prevalence"                          the proportion of PsPD in the training fold, for every patient
    "clinical ridge"                      clinical columns, scaled to [0, 1]; logistic regression with a ridge penalty
    "clinical elastic net"                the same with an elastic-net penalty
    "clinical forest"                     the paper's random forest: 1000 trees, 2 features considered at each split
    "MRI principal components"            components with 70 % of the variance of the pixels; ridge
    "MRI radiomics"                       :class:`RadiomicsExtractor`; ridge
    "MRI radiomics + clinical"            the same with the clinical columns; ridge
    "MRI frozen features"                 :class:`SliceEncoder`; ridge
    ====================================  ==========================================================================

    Examples
    --------
    >>> from sklearn_pspd.baselines import baseline_models
    >>> list(baseline_models(["prevalence", "clinical ridge"], random_state=0))
    ['prevalence', 'clinical ridge']
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        listed = ", ".join(map(repr, NAMES))
        raise InputError(f"no baseline is named {', '.join(map(repr, unknown))}; the names are {listed}")
    images = {"n_slices": n_slices, "size_px": size_px, "fov_mm": fov_mm, "slice_spacing_mm": slice_spacing_mm}
    images |= {"further_images": checked_further_images(further_images), "allow_sequence": allow_sequence}
    images |= {"memory": memory, "n_jobs": n_jobs}
    columns = {"clinical": clinical, "missing": missing}
    makers = {
        PREVALENCE: lambda: make_clinical_pipeline(DummyClassifier(strategy="prior"), **columns),
        RIDGE: lambda: make_clinical_pipeline(penalised_regression(random_state=random_state), **columns),
        ELASTIC_NET: lambda: make_clinical_pipeline(
            penalised_regression(MIXTURES, random_state=random_state), **columns
        ),
        FOREST: lambda: make_clinical_pipeline(random_state=random_state, n_jobs=n_jobs, **columns),
        COMPONENTS: lambda: _make_components(images, random_state),
        RADIOMICS: lambda: _make_image_model([_radiomics_branch(images)], random_state),
        RADIOMICS_FUSION: lambda: _make_image_model(
            [_radiomics_branch(images), _scaled_clinical_branch(**columns)], random_state
        ),
        ENCODER: lambda: _make_encoded(images, encoder, random_state),
    }
    return {name: makers[name]() for name in names}


def penalised_regression(l1_ratios=(0.0,), *, random_state=None):
    """Make a logistic regression whose penalty is chosen by the log loss of an inner, stratified cross-validation.

    Parameters
    ----------
    l1_ratios : sequence of float, default=(0.0,)
        Proportions of the lasso penalty to choose from, in [0, 1]; with 0 alone the penalty is that of ridge
        regression.
    random_state : int, RandomState instance or None, default=None
        Seed of the inner folds and of the solver.

    Returns
    -------
    sklearn.linear_model.LogisticRegressionCV
        Five inner folds, or fewer if the rarer class has fewer patients.

    Examples
    --------
    >>> from sklearn_pspd.baselines import penalised_regression
    >>> penalised_regression().solver, penalised_regression((0.1, 0.5)).solver
    ('lbfgs', 'saga')
    """
    is_ridge = not np.any(l1_ratios)
    # scikit-learn 1.8 derives the penalty from the ratios, and warns of each parameter that is left to change its
    # default; 1.7 does not know one of them.
    if "use_legacy_attributes" in inspect.signature(LogisticRegressionCV).parameters:
        penalty = {"l1_ratios": tuple(l1_ratios), "use_legacy_attributes": False}
    else:
        penalty = {} if is_ridge else {"penalty": "elasticnet", "l1_ratios": tuple(l1_ratios)}
    return LogisticRegressionCV(
        Cs=PENALTIES,
        cv=_InnerFolds(random_state=random_state),
        scoring="neg_log_loss",
        solver="lbfgs" if is_ridge else "saga",
        tol=1e-4 if is_ridge else 1e-3,
        max_iter=10_000,
        random_state=random_state,
        **penalty,
    )


class RadiomicsExtractor(TransformerMixin, BaseEstimator):
    """Extract radiomics features from the slices around each patient's lesion.

    First-order and texture features of the standardised slices, by the formulas of PyRadiomics [1]_ as implemented in
    numpyradiomics, which is installed by ``pip install sklearn-pspd[radiomics]``.

    Parameters
    ----------
    region : {"auto", "mask", "disc"}, default="auto"
        Where features are measured. "mask": in the voxels of ``lesion_mask`` that have the label of the lesion, with
        features of their shape; every patient needs a NIfTI mask. "disc": in a disc about the centre of the field of
        view, in each slice. "auto": "mask" if every patient of the training fold has a NIfTI mask, otherwise "disc" for
        every patient, because features of masks and of discs are not comparable.
    radius_mm : float, default=60.0
        Radius of the disc in mm; 60 mm contain most of the brain and none of the skull. The centre is that of the
        image, since the table does not give the lesion's position within its slice.
    families : sequence of str, default=("firstorder", "glcm", "glszm")
        Families of features, of "firstorder", "glcm", "gldm", "glrlm", "glszm" and "ngtdm".
    n_bins : int, default=32
        Number of grey levels of the textures, from the darkest to the brightest pixel of the region.
    lesion_label : int, default=1
        Value of the lesion in ``lesion_mask``.
    n_slices : int, default=9
        Axial slices per patient, odd.
    size_px : int, default=256
        Rows and columns of a slice after resampling.
    fov_mm : float, default=200.0
        Side of the square field of view in mm.
    slice_spacing_mm : float, default=None
        As in :class:`~sklearn_pspd.loading.SliceStackLoader`.
    further_images : sequence of str, default=()
        As in :class:`~sklearn_pspd.loading.SliceStackLoader`. The names of their features begin with that of the
        column.
    allow_sequence : bool or collection of str, default=False
        As in :class:`~sklearn_pspd.loading.SliceStackLoader`.
    memory : str, path or joblib.Memory, default=None
        Folder of a cache of decoded slice stacks, and of the features of each patient, as in
        :class:`~sklearn_pspd.loading.SliceStackLoader`.
    n_jobs : int, default=None
        Processes that read images and extract features.

    Attributes
    ----------
    region_ : {"mask", "disc"}
        The region that is used.
    feature_names_ : ndarray of shape (n_features,)
        Names of the features, such as "glcm_Contrast".

    References
    ----------
    .. [1] van Griethuysen JJM et al., Computational radiomics system to decode the radiographic phenotype. Cancer
       Research 77, e104-e107 (2017), doi:10.1158/0008-5472.CAN-17-0339.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import make_cohort
    >>> from sklearn_pspd.baselines import RadiomicsExtractor
    >>> with TemporaryDirectory() as folder:
    ...     cohort = make_cohort(folder, n_patients=6, matrix_px=(128,), n_native_slices=10, random_state=0)
    ...     extractor = RadiomicsExtractor(families=["firstorder"], n_slices=3, size_px=48).fit(cohort)
    ...     features = extractor.transform(cohort)
    >>> features.shape, str(extractor.feature_names_[0])
    ((6, 24), 'firstorder_Entropy')
    """

    _parameter_constraints: ClassVar[dict] = {
        "region": [StrOptions({"auto", "mask", "disc"})],
        "radius_mm": [Interval(Real, 0, None, closed="neither")],
        "families": ["array-like"],
        "n_bins": [Interval(Integral, 2, None, closed="left")],
        "lesion_label": [Integral],
        "n_slices": [Interval(Integral, 1, None, closed="left")],
        "size_px": [Interval(Integral, 1, None, closed="left")],
        "fov_mm": [Interval(Real, 0, None, closed="neither")],
        "slice_spacing_mm": [Interval(Real, 0, None, closed="neither"), None],
        "further_images": [tuple, list],
        "allow_sequence": ["boolean", str, tuple, list, set, frozenset],
        "memory": [str, Path, Memory, None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        *,
        region="auto",
        radius_mm=60.0,
        families=("firstorder", "glcm", "glszm"),
        n_bins=32,
        lesion_label=1,
        n_slices=9,
        size_px=256,
        fov_mm=200.0,
        slice_spacing_mm=None,
        further_images=(),
        allow_sequence=False,
        memory=None,
        n_jobs=None,
    ):
        self.region = region
        self.radius_mm = radius_mm
        self.families = families
        self.n_bins = n_bins
        self.lesion_label = lesion_label
        self.n_slices = n_slices
        self.size_px = size_px
        self.fov_mm = fov_mm
        self.slice_spacing_mm = slice_spacing_mm
        self.further_images = further_images
        self.allow_sequence = allow_sequence
        self.memory = memory
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):  # noqa: ARG002
        """Choose the region, and find the names of the features.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table with ``patient_id``, ``image`` and the position of the lesion.
        y : None
            Ignored.

        Returns
        -------
        self : RadiomicsExtractor
            The fitted extractor.

        Raises
        ------
        InputError
            If a family is unknown, or a mask is needed and missing.
        """
        unknown = [family for family in self.families if family not in FAMILIES]
        if unknown or not len(self.families):
            raise InputError(f"families must list one or more of {', '.join(FAMILIES)}; got {list(self.families)}")
        self._loader().fit(X)
        self.region_ = self.region
        if self.region == "auto":
            self.region_ = "disc" if _patients_without_mask(X) else "mask"
        self._check_masks(X)
        self.feature_names_ = np.array(list(self._features(X[:1])[0]), dtype=object)
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        """Extract the features of each patient.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table as for :meth:`fit`.

        Returns
        -------
        features : ndarray of shape (n_patients, n_features), dtype float32
            One row per patient.

        Raises
        ------
        InputError
            If an image cannot be used, a mask is needed and missing or has no voxel in the field of view, or a feature
            is not finite; the message names the patients.
        """
        check_is_fitted(self)
        self._check_masks(X)
        found = self._features(X)
        features = np.array([[row[name] for name in self.feature_names_] for row in found], dtype=np.float32)
        bad = [
            f"patient {patient_id}: {', '.join(self.feature_names_[~np.isfinite(row)])}"
            for patient_id, row in zip(X["patient_id"], features, strict=True)
            if not np.isfinite(row).all()
        ]
        if bad:
            raise InputError("\n".join(["radiomics features are not finite; enlarge the region:", *bad]))
        return features

    def get_feature_names_out(self, input_features=None):  # noqa: ARG002
        """Return the names of the features.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects
            Family and name of each feature.
        """
        check_is_fitted(self)
        return self.feature_names_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _loader(self):
        settings = {"n_slices": self.n_slices, "lesion_label": self.lesion_label}
        settings |= {"slice_spacing_mm": self.slice_spacing_mm, "allow_sequence": self.allow_sequence}
        settings |= {"further_images": self.further_images, "memory": self.memory, "n_jobs": self.n_jobs}
        return SliceStackLoader(**settings)

    def _check_masks(self, X):
        without = _patients_without_mask(X)
        if self.region_ == "mask" and without:
            raise InputError(
                f"no lesion_mask in NIfTI is given for patient(s) {', '.join(without)}; give one, or set region='disc'"
            )

    def _features(self, X):
        """Return one dict of features per patient."""
        stacks = self._loader().transform(X)
        images = FOVNormalizer(fov_mm=self.fov_mm, size_px=self.size_px).transform(stacks)
        images = SliceStandardizer().transform(images)
        images = split_images(images, 1 + len(self.further_images))
        regions = self._regions(X, stacks)
        found = self._features_of_image(stacks, images[:, 0], regions, self._families())
        for number, name in enumerate(self.further_images, start=1):
            own = images[:, number]
            further = self._features_of_image(stacks, own, regions, tuple(self.families))
            for row, features in zip(found, further, strict=True):
                row |= {f"{name}_{feature}": value for feature, value in features.items()}
        return found

    def _families(self):
        return (*self.families, "shape") if self.region_ == "mask" else tuple(self.families)

    def _regions(self, X, stacks):
        masks = X["lesion_mask"] if self.region_ == "mask" else [None] * len(stacks)
        return [self._region(stack, mask) for stack, mask in zip(stacks, masks, strict=True)]

    def _features_of_image(self, stacks, images, regions, families):
        cache = open_cache(self.memory)
        return Parallel(n_jobs=self.n_jobs)(
            delayed(_cached_features)(
                cache, image, region, self._spacing_mm(stack), families=families, n_bins=self.n_bins
            )
            for stack, image, region in zip(stacks, images, regions, strict=True)
        )

    def _region(self, stack, mask):
        """Return the region of one patient, bool of shape (n_slices, size_px, size_px)."""
        shape = (self.n_slices, self.size_px, self.size_px)
        if mask is None:
            return np.broadcast_to(disc(self.size_px, self.radius_mm * self.size_px / self.fov_mm), shape)
        # The mask is on the grid of the image, as the loader has checked; labels are not interpolated across slices.
        labels = read_slices(open_nifti(mask), np.rint(stack.slice_indices))
        proportion = resample_stack(
            labels == self.lesion_label,
            stack.spacing_mm,
            fov_mm=self.fov_mm,
            size_px=self.size_px,
            method="bilinear",
            pad_value=0.0,
        )
        region = proportion >= 0.5
        if not region.any():
            raise InputError(
                f"patient {stack.patient_id}: the lesion of {mask} covers no pixel of {self.fov_mm / self.size_px:.3g} "
                f"mm within fov_mm={self.fov_mm:g}; increase size_px, or set region='disc'"
            )
        return region

    def _spacing_mm(self, stack):
        return (float(stack.slice_spacing_mm), self.fov_mm / self.size_px, self.fov_mm / self.size_px)


def _cached_features(cache, images, region, spacing_mm, *, families, n_bins):
    """Return the features of one patient, from the cache if they are there."""
    if cache is None or find_spec("numpyradiomics") is None:
        return radiomics_features(images, region, spacing_mm, families=families, n_bins=n_bins)
    digest = hashlib.sha256(np.ascontiguousarray(images))
    digest.update(np.ascontiguousarray(region))
    settings = images.shape, images.dtype.str, spacing_mm, families, n_bins, version("numpyradiomics")
    key = cache.key("radiomics", digest.hexdigest(), settings)
    if (entry := cache.read(key)) is not None and len(entry[0].get("names", ())) == entry[1].size:
        return dict(zip(entry[0]["names"], entry[1].tolist(), strict=True))
    found = radiomics_features(images, region, spacing_mm, families=families, n_bins=n_bins)
    cache.write(key, {"names": list(found)}, np.array(list(found.values()), dtype=np.float64))
    return found


def radiomics_features(
    images, region, spacing_mm=(1.0, 1.0, 1.0), *, families=("firstorder", "glcm", "glszm"), n_bins=32
):
    """Compute radiomics features of one patient with numpyradiomics.

    Parameters
    ----------
    images : ndarray of shape (n_slices, height, width)
        Grey values.
    region : ndarray of bool, of shape (n_slices, height, width)
        Pixels to measure.
    spacing_mm : tuple of float, default=(1.0, 1.0, 1.0)
        Distances between slices, rows and columns in mm; features of the shape need them.
    families : sequence of str, default=("firstorder", "glcm", "glszm")
        Families of features; "shape" is that of the region.
    n_bins : int, default=32
        Number of grey levels.

    Returns
    -------
    dict of str to float
        Features by name, such as "glcm_Contrast".

    Raises
    ------
    ImportError
        If numpyradiomics is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.baselines import radiomics_features
    >>> images = np.arange(27.0).reshape(3, 3, 3)
    >>> float(radiomics_features(images, images >= 9, families=["firstorder"])["firstorder_Mean"])
    17.5
    """
    try:
        import numpyradiomics
    except ImportError as error:
        raise ImportError("radiomics features need numpyradiomics: pip install sklearn-pspd[radiomics]") from error
    images, region = np.asarray(images, dtype=np.float64), np.asarray(region, dtype=np.uint8)
    features = {}
    for family in families:
        if family == "shape":
            values = numpyradiomics.shape(region, spacing=spacing_mm, extend=False)
        else:
            values = getattr(numpyradiomics, family)(images, region, binCount=n_bins)
        features |= {f"{family}_{name}": float(value) for name, value in values.items()}
    return features


class SliceEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turn each slice into a vector by a frozen Keras network, and each patient into one row.

    Nothing is trained. The vectors of a patient's slices are reduced to their mean and their maximum.

    Parameters
    ----------
    network : keras.Model, path, callable or None, default=None
        Takes images of shape (n, height, width, n_channels) and returns feature maps or vectors: a Keras model, the
        path of a saved one (``.keras``), or a function without arguments that returns one. A path or a function is
        better in a cross-validation, since scikit-learn copies parameters, weights included; it is called once per
        process. None takes a small network with random weights, seeded by `random_state`.
    scale : float, default=1.0
        Factor of the standardised grey values, as the network expects them: about 60 for a VGG that was trained on
        images of 0 to 255 minus their mean, about 0.5 for networks that were trained on [-1, 1].
    pooling : {"average", "max"}, default="average"
        How feature maps are reduced to one vector.
    batch_size : int, default=64
        Number of slices per call of the network.
    n_images : int, default=1
        Number of images of each patient, whose slices follow each other in a stack; each is reduced by itself.
    random_state : int, RandomState instance or None, default=None
        Seed of the random network.

    Attributes
    ----------
    stack_shape_ : tuple of int
        (n_slices, height, width) seen during :meth:`fit`.
    seed_ : int or None
        Seed of the random network that was used.

    Notes
    -----
    A network with one input channel receives the slices as they are, one with three receives them three times.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd.baselines import SliceEncoder
    >>> stacks = np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32)
    >>> SliceEncoder(random_state=0).fit_transform(stacks).shape
    (4, 128)
    """

    _parameter_constraints: ClassVar[dict] = {
        "network": [HasMethods(["get_weights"]), str, Path, callable, None],
        "scale": [Interval(Real, 0, None, closed="neither")],
        "pooling": [StrOptions({"average", "max"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "n_images": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, network=None, *, scale=1.0, pooling="average", batch_size=64, n_images=1, random_state=None):
        self.network = network
        self.scale = scale
        self.pooling = pooling
        self.batch_size = batch_size
        self.n_images = n_images
        self.random_state = random_state

    # The network is a model, not an estimator whose parameters are checked.
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):  # noqa: ARG002
        """Record the shape of the stacks, and draw the seed of a random network.

        Parameters
        ----------
        X : ndarray of shape (n_patients, n_slices, height, width)
            Standardised stacks.
        y : None
            Ignored.

        Returns
        -------
        self : SliceEncoder
            The encoder itself.

        Raises
        ------
        InputError
            If the network does not take such slices, or returns neither maps nor vectors.
        """
        X = check_stacks(X)
        split_images(X, self.n_images)
        self.stack_shape_ = X.shape[1:]
        self.seed_ = None
        if self.network is None:
            self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        self._n_features_out = self._encode(X[:1]).shape[1]
        return self

    def transform(self, X):
        """Encode each patient.

        Parameters
        ----------
        X : ndarray of shape (n_patients, n_slices, height, width)
            Standardised stacks of the shape seen during :meth:`fit`.

        Returns
        -------
        features : ndarray of shape (n_patients, n_features), dtype float32
            Of each image the mean over its slices, then the maximum over its slices.

        Raises
        ------
        InputError
            If the shape of the stacks differs from that seen during :meth:`fit`.
        """
        check_is_fitted(self)
        return self._encode(check_stacks(X, expected_shape=self.stack_shape_))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _encode(self, X):
        import keras

        network = self._network()
        slices = X.reshape(-1, *X.shape[2:], 1) * np.float32(self.scale)
        n_channels = _input_channels(network, slices.shape[1:3])
        vectors = []
        for first in range(0, len(slices), self.batch_size):
            batch = np.repeat(slices[first : first + self.batch_size], n_channels, axis=-1)
            output = network(keras.ops.convert_to_tensor(batch), training=False)
            vectors.append(_pool(np.asarray(keras.ops.convert_to_numpy(output), dtype=np.float32), self.pooling))
        vectors = np.concatenate(vectors).reshape(len(X), self.n_images, X.shape[1] // self.n_images, -1)
        return np.concatenate([vectors.mean(axis=2), vectors.max(axis=2)], axis=2).reshape(len(X), -1)

    def _network(self):
        if self.network is None:
            return _random_network(self.seed_)
        if isinstance(self.network, str | Path):
            return _saved_network(str(self.network))
        return self.network if hasattr(self.network, "get_weights") else _made_network(self.network)


def disc(size_px, radius_px):
    """Return a disc about the centre of a square image.

    Parameters
    ----------
    size_px : int
        Rows and columns of the image.
    radius_px : float
        Radius in pixels.

    Returns
    -------
    disc : ndarray of bool, of shape (size_px, size_px)
        Pixels whose centre lies within the radius; at least those nearest to the centre.
    """
    places = np.arange(size_px) - (size_px - 1) / 2
    return np.add.outer(places**2, places**2) <= max(radius_px, 0.75) ** 2


class _InnerFolds(BaseCrossValidator):
    """Shuffled stratified folds: five, or as many as the rarer class has patients, so that each has both classes."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None):  # noqa: ARG002
        return 5 if y is None else int(np.clip(np.unique(y, return_counts=True)[1].min(), 2, 5))

    def split(self, X, y=None, groups=None):  # noqa: ARG002
        folds = StratifiedKFold(self.get_n_splits(y=y), shuffle=True, random_state=self.random_state)
        return folds.split(X, y)


def _make_image_model(branches, random_state):
    classifier = penalised_regression(random_state=random_state)
    return CohortPipeline([("features", CohortColumnTransformer(branches)), ("classifier", classifier)])


def _make_components(images, random_state):
    name, mri, columns = _mri_branch(**images)
    # A tenth of the components has most of the variance; scaled to unit variance they share one penalty.
    mri.steps.append(("components", PCA(0.7, whiten=True, svd_solver="full")))
    return _make_image_model([(name, mri, columns)], random_state)


def _make_encoded(images, encoder, random_state):
    encoder = SliceEncoder(random_state=random_state) if encoder is None else encoder
    if images["further_images"]:
        encoder = clone(encoder).set_params(n_images=1 + len(images["further_images"]))
    name, mri, columns = _mri_branch(**images)
    mri.steps[-1:] = [("encode", encoder), ("scale", StandardScaler())]
    return _make_image_model([(name, mri, columns)], random_state)


def _radiomics_branch(images):
    steps = [("extract", RadiomicsExtractor(**images)), ("scale", StandardScaler())]
    return "radiomics", Pipeline(steps), ImageSelector(images["further_images"])


def _scaled_clinical_branch(clinical, missing):
    # One penalty for features and clinical columns, so all have unit variance.
    name, scaler, columns = _clinical_branch(clinical, missing)
    return name, Pipeline([("encode", scaler), ("scale", StandardScaler())]), columns


def _patients_without_mask(X):
    masks = X["lesion_mask"] if "lesion_mask" in X else [None] * len(X)
    return [str(patient) for patient, mask in zip(X["patient_id"], masks, strict=True) if not _has_voxels(mask)]


def _has_voxels(mask):
    """Return whether a file that marks the lesion is a NIfTI mask, inside which features can be measured."""
    if is_missing(mask):
        return False
    try:
        return image_format(mask) == NIFTI
    except (OSError, EOFError):
        # A file that cannot be read is an error of the loader, which names it.
        return True


@lru_cache(maxsize=4)
def _random_network(seed):
    import keras

    steps = [keras.Input((None, None, 1))]
    for number, n_filters in enumerate((16, 32, 64)):
        draw = keras.initializers.HeNormal(seed=seed + number)
        steps += [
            keras.layers.Conv2D(n_filters, 3, padding="same", activation="relu", kernel_initializer=draw),
            keras.layers.AveragePooling2D(2, padding="same"),
        ]
    return keras.Sequential(steps)


@lru_cache(maxsize=4)
def _saved_network(path):
    import keras

    return keras.saving.load_model(path, compile=False)


@lru_cache(maxsize=4)
def _made_network(make):
    return make()


def _input_channels(network, size):
    """Return the number of channels that a network takes, after a check that it takes one image of this size."""
    shape = network.input_shape if getattr(network, "built", True) else None
    if shape is None:
        return 3
    if not (isinstance(shape, tuple) and len(shape) == 4 and shape[3] in (1, 3)):
        raise InputError(
            f"the network takes input of shape {shape}; one input (n, height, width, 1 or 3 channels) is needed"
        )
    if any(wanted not in (None, found) for wanted, found in zip(shape[1:3], size, strict=True)):
        raise InputError(
            f"the network takes images of {shape[1]} x {shape[2]} pixels, the slices have {size[0]} x {size[1]}; set "
            "size_px, or build the network without a fixed size"
        )
    return shape[3]


def _pool(output, pooling):
    """Return one vector per slice from feature maps (n, height, width, n_features) or vectors (n, n_features)."""
    if output.ndim == 4:
        return output.mean(axis=(1, 2)) if pooling == "average" else output.max(axis=(1, 2))
    if output.ndim != 2:
        raise InputError(
            f"the network returns an array of shape {output.shape}; feature maps (n, height, width, n_features) or "
            "vectors (n, n_features) are needed"
        )
    return output
