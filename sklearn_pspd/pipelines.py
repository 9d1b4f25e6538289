"""The three models of the paper as scikit-learn pipelines, and the published parameters."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from imblearn.pipeline import Pipeline as ImbalancedPipeline
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline

from sklearn_pspd.cohort.cells import did_you_mean
from sklearn_pspd.cohort.columns import CLINICAL_COLUMNS, POSITION_COLUMNS, checked_further_images, clinical_columns
from sklearn_pspd.cohort.problems import check_frame, is_missing
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.loading.loader import image_columns
from sklearn_pspd.preprocessing import (
    ClinicalMinMaxScaler,
    FOVNormalizer,
    SliceStandardizer,
    StackAugmenter,
    StackFlattener,
    StackPipeline,
)

__all__ = [
    "ClinicalSelector",
    "CohortColumnTransformer",
    "CohortPipeline",
    "ImageSelector",
    "SamplingCohortPipeline",
    "jang2018",
    "make_clinical_pipeline",
    "make_fusion_pipeline",
    "make_image_pipeline",
    "n_encoded_columns",
    "paper_models",
]

# Names of the paper's models 1, 2 and 3 in tables and figures, and what each is called by `jang2018`.
FUSION, IMAGE, CLINICAL = "MRI + clinical", "MRI alone", "clinical alone"
MODELS = {FUSION: "fusion", IMAGE: "image", CLINICAL: "clinical"}
VARIANTS = ("paper", "released")
MISSING = ("refuse", "median", "indicator")

# Parameters of the network by recipe: as published, or what measured best on cohorts of less than 100 patients.
RECIPES = {
    "published": {},
    "small_cohort": {
        "classifier__filters": (8, 16, 32),
        "classifier__pooling": "average",
        "classifier__optimizer": "adam",
        "classifier__learning_rate": 3e-3,
        "classifier__schedule": "cosine",
        "classifier__epochs": 50,
        "classifier__augment": StackAugmenter(),
        "classifier__batch_norm_statistics": "training",
        "classifier__n_members": 5,
    },
}


class _CohortSteps:
    """What pipelines of a cohort table add to those of scikit-learn and imbalanced-learn."""

    def set_params(self, **params):
        """Set parameters of the pipeline and its steps; the network follows the stacks that the features produce.

        Parameters
        ----------
        **params : dict
            Parameters by name, for example ``features__mri__fov__size_px``.

        Returns
        -------
        self : estimator
            The pipeline.

        Raises
        ------
        InputError
            If a parameter of the network contradicts those of the features, which it follows.
        """
        super().set_params(**params)
        step = self.steps[-1][0]
        for name, value in self._follow_features().items():
            given = params.get(f"{step}__{name}", value)
            if not _are_equal(given, value):
                raise InputError(
                    f"{step}__{name}={given!r} contradicts the features, which give {value!r}; set "
                    "features__mri__load__n_slices, features__mri__load__further_images, features__mri__fov__size_px "
                    "or features__mri__fov__fov_mm instead, which the network follows"
                )
        return self

    def fit(self, X, y=None, **params):
        """Fit all steps to the patients of a cohort table.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table without its outcome.
        y : array-like of shape (n_patients,)
            0 (PD) or 1 (PsPD).
        **params : dict
            Parameters of the steps' ``fit``, as in :class:`sklearn.pipeline.Pipeline`.

        Returns
        -------
        self : estimator
            The fitted pipeline.

        Raises
        ------
        InputError
            Before any image is read: if X is no DataFrame of pandas, if the features have branches that the network
            would mistake for clinical columns, or if a sampler makes rows that are no patients of X.
        """
        if _features_of(self) is not None:
            check_frame(X, "X")
        self._follow_features(X)
        for name, step in self.steps[:-1]:
            if hasattr(step, "fit_resample"):
                _check_sampler(name, step, X, y)
        return super().fit(X, y, **params)

    def _follow_features(self, X=None):
        """Set the network's parameters that the features determine, and return those that do not depend on X."""
        network = self.steps[-1][1]
        features = _features_of(self)
        if features is not None:
            _follow_further_images(features)
        if (
            features is None
            or not hasattr(network, "get_params")
            or "stack_shape" not in network.get_params(deep=False)
        ):
            return {}
        _check_branches(features)
        known = network.get_params()
        followed = {key: value for key, value in _stack_settings(features).items() if key in known}
        n_clinical = {} if X is None or "n_clinical" not in known else {"n_clinical": n_encoded_columns(features, X)}
        network.set_params(**followed, **n_clinical)
        return followed


class CohortPipeline(_CohortSteps, Pipeline):
    """Pipeline of a cohort table, whose network follows the stacks and clinical columns that its features produce.

    The functions that make the paper's models return it. It differs from :class:`sklearn.pipeline.Pipeline` in this:
    the parameters ``stack_shape``, ``n_images``, ``n_clinical`` and ``augment__fov_mm`` of a network that is its last
    step are set from the steps before, whenever parameters are set and before a fit. So a search over
    ``features__mri__fov__size_px`` or ``features__mri__load__n_slices`` is a search over one parameter, and pixels are
    never taken for clinical columns.

    Parameters
    ----------
    steps : list of (str, estimator)
        As in :class:`sklearn.pipeline.Pipeline`.
    transform_input : list of str, default=None
        As in :class:`sklearn.pipeline.Pipeline`.
    memory : str or joblib.Memory, default=None
        As in :class:`sklearn.pipeline.Pipeline`.
    verbose : bool, default=False
        As in :class:`sklearn.pipeline.Pipeline`.

    Attributes
    ----------
    steps : list of (str, estimator)
        The steps, fitted after a fit.

    See Also
    --------
    SamplingCohortPipeline : The same, with steps that resample patients.

    Examples
    --------
    >>> from sklearn_pspd import make_image_pipeline
    >>> model = make_image_pipeline().set_params(features__mri__fov__size_px=64, features__mri__load__n_slices=5)
    >>> model["classifier"].stack_shape
    (5, 64, 64)
    """


class SamplingCohortPipeline(_CohortSteps, ImbalancedPipeline):
    """Pipeline of a cohort table with a step that resamples patients, for example to balance the outcomes.

    It differs from the pipeline of imbalanced-learn as :class:`CohortPipeline` differs from that of scikit-learn. In
    addition, a sampler may only choose rows of the table: one that makes new ones, such as SMOTE, is refused, since an
    image or a row that mixes two patients is no patient.

    Parameters
    ----------
    steps : list of (str, estimator)
        As in :class:`imblearn.pipeline.Pipeline`.
    transform_input : list of str, default=None
        As in :class:`imblearn.pipeline.Pipeline`.
    memory : str or joblib.Memory, default=None
        As in :class:`imblearn.pipeline.Pipeline`.
    verbose : bool, default=False
        As in :class:`imblearn.pipeline.Pipeline`.

    Attributes
    ----------
    steps : list of (str, estimator)
        The steps, fitted after a fit.

    See Also
    --------
    CohortPipeline : The same without samplers.

    Examples
    --------
    >>> from imblearn.over_sampling import RandomOverSampler
    >>> from sklearn_pspd import make_clinical_pipeline
    >>> model = make_clinical_pipeline(sampler=RandomOverSampler(random_state=0))
    >>> [name for name, step in model.steps]
    ['sampler', 'features', 'classifier']
    """


@dataclass(frozen=True)
class ClinicalSelector:
    """Selects the clinical columns of a cohort table, when a pipeline is fitted.

    Parameters
    ----------
    names : tuple of str, default=None
        Names of the columns. None selects those of the paper that the table has.

    Raises
    ------
    InputError
        When called, if the table lacks one of the names or, without names, has no column of the paper.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.pipelines import ClinicalSelector
    >>> ClinicalSelector()(pd.DataFrame(columns=["patient_id", "age_years", "sex", "kps"]))
    ['age_years', 'sex']
    """

    names: tuple | None = None

    def __call__(self, X):
        """Return the names of the columns in a table.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table.

        Returns
        -------
        list of str
            The names, in the order of the choice.
        """
        has = list(X.columns)
        if self.names is None:
            present = [name for name in CLINICAL_COLUMNS if name in has]
            if not present:
                raise InputError(
                    f"the table has none of the clinical columns of the paper ({', '.join(CLINICAL_COLUMNS)}); name "
                    "those to use in clinical, or use make_image_pipeline"
                )
            return present
        if absent := [name for name in self.names if name not in has]:
            proposals = [f"{name!r}{did_you_mean(name, map(str, has))}" for name in absent]
            raise InputError(
                f"the table has no clinical column {', '.join(proposals)}; it has {', '.join(map(str, has))}"
            )
        return list(self.names)


@dataclass(frozen=True)
class ImageSelector:
    """Selects the columns of a cohort table that the image branch reads, when a pipeline is fitted.

    Parameters
    ----------
    further_images : tuple of str, default=()
        Columns of further images.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.pipelines import ImageSelector
    >>> table = pd.DataFrame(columns=["patient_id", "site", "image", "flair", "lesion_slice", "age_years"])
    >>> ImageSelector(("flair",))(table)
    ['patient_id', 'image', 'flair', 'lesion_slice']
    """

    further_images: tuple = ()

    def __call__(self, X):
        """Return the names of the columns in a table.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table.

        Returns
        -------
        list of str
            "patient_id", "image", the further images, and the columns of the lesion's position, as far as X has them:
            what is missing is the loader's to say.
        """
        return [name for name in image_columns(self.further_images) if name in X.columns]


class CohortColumnTransformer(ColumnTransformer):
    """Column transformer of a cohort table, in which each patient may give the lesion's position in another way.

    It differs from :class:`sklearn.compose.ColumnTransformer` in this: columns of the lesion's position that a table
    lacks are added, empty, before a fit and before a prediction. So a model that was trained on a table with
    ``lesion_slice`` predicts a patient whose table has ``lesion_z_mm``, ``lesion_instance``, a point or
    ``lesion_mask``.

    Parameters
    ----------
    transformers : list of (str, estimator, columns)
        As in :class:`sklearn.compose.ColumnTransformer`.
    remainder : {"drop", "passthrough"} or estimator, default="drop"
        As in :class:`sklearn.compose.ColumnTransformer`.
    sparse_threshold : float, default=0.3
        As in :class:`sklearn.compose.ColumnTransformer`.
    n_jobs : int, default=None
        As in :class:`sklearn.compose.ColumnTransformer`.
    transformer_weights : dict, default=None
        As in :class:`sklearn.compose.ColumnTransformer`.
    verbose : bool, default=False
        As in :class:`sklearn.compose.ColumnTransformer`.
    verbose_feature_names_out : bool, str or callable, default=True
        As in :class:`sklearn.compose.ColumnTransformer`.

    See Also
    --------
    CohortPipeline : Has it as its first step.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.pipelines import CohortColumnTransformer, ImageSelector
    >>> trained_on = pd.DataFrame({"patient_id": ["P1"], "image": ["P1.nii"], "lesion_slice": [41]})
    >>> features = CohortColumnTransformer([("mri", "passthrough", ImageSelector())]).fit(trained_on)
    >>> new = pd.DataFrame({"patient_id": ["P2"], "image": ["P2.nii"], "lesion_z_mm": [12.5]})
    >>> features.transform(new)[0, :3].tolist(), 12.5 in features.transform(new)
    (['P2', 'P2.nii', None], True)
    """

    def fit_transform(self, X, y=None, **params):
        """Fit all branches to a cohort table and return the joined features.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table.
        y : array-like of shape (n_patients,), default=None
            Outcomes.
        **params : dict
            As in :class:`sklearn.compose.ColumnTransformer`.

        Returns
        -------
        ndarray of shape (n_patients, n_features)
            The features of all branches.
        """
        return super().fit_transform(_with_position_columns(X), y, **params)

    def transform(self, X, **params):
        """Return the joined features of a cohort table.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table, with the columns of the fit apart from those of the lesion's position.
        **params : dict
            As in :class:`sklearn.compose.ColumnTransformer`.

        Returns
        -------
        ndarray of shape (n_patients, n_features)
            The features of all branches.
        """
        return super().transform(_with_position_columns(X), **params)


def make_fusion_pipeline(
    classifier=None,
    *,
    clinical=None,
    missing="refuse",
    recipe="published",
    n_slices=9,
    size_px=256,
    fov_mm=200.0,
    slice_spacing_mm=None,
    further_images=(),
    allow_sequence=False,
    sampler=None,
    memory=None,
    n_jobs=None,
):
    """Make model 1 of the paper: slice stacks and clinical features, fused in one CNN-LSTM.

    Every step is fitted inside the training fold. Parameters of the steps are set by name, for example
    ``classifier__lstm_units``, ``features__mri__load__slice_spacing_mm`` or ``features__clinical__unknown``.

    Parameters
    ----------
    classifier : CNNLSTMClassifier, default=None
        The network; None takes its defaults. Its ``stack_shape`` follows `n_slices` and `size_px`, also when these are
        set later.
    clinical : sequence of str or ClinicalColumn, default=None
        Clinical columns of the cohort table to use: names of those of the paper, and declarations of others
        (:class:`~sklearn_pspd.cohort.ClinicalColumn`). None takes the seven of the paper [1]_ that the table has.
    missing : {"refuse", "median", "indicator"}, default="refuse"
        What becomes of missing numbers, as in :class:`~sklearn_pspd.preprocessing.ClinicalMinMaxScaler`.
    recipe : {"published", "small_cohort"}, default="published"
        "small_cohort" sets parameters of the network for cohorts of less than 100 patients, also those that
        `classifier` has. "published" sets none.
    n_slices : int, default=9
        Axial slices per patient, odd; the middle slice shows the lesion best [1]_.
    size_px : int, default=256
        Rows and columns of a slice after resampling [1]_.
    fov_mm : float, default=200.0
        Side of the square field of view in mm [1]_.
    slice_spacing_mm : float, default=None
        Distance in mm between adjacent slices of a stack, to which slices are interpolated; None takes those of the
        image, as in the paper. Set it if slice spacings differ between patients, so that stacks span the same length.
    further_images : sequence of str, default=()
        Columns with the paths of further images of each patient, such as FLAIR, registered with ``image`` and on its
        grid, as in :class:`~sklearn_pspd.loading.SliceStackLoader`. They become channels of the network.
    allow_sequence : bool or collection of str, default=False
        Kinds of sequence that are read though they are not T1-weighted, as in
        :class:`~sklearn_pspd.loading.SliceStackLoader`.
    sampler : imbalanced-learn sampler, default=None
        Resamples patients (rows of the cohort table) of the training fold, for example
        ``RandomOverSampler(random_state=0)``. It may only choose patients, not make new ones as SMOTE does. It is not
        applied when predicting.
    memory : str, path or joblib.Memory, default=None
        Folder of a cache of decoded slice stacks, one entry per patient, so that repeated fits read each image once.
        Nothing that is learned is cached.
    n_jobs : int, default=None
        Processes that read images.

    Returns
    -------
    CohortPipeline, or SamplingCohortPipeline with a `sampler`
        X is a cohort table without its outcome, y is 0 (PD) or 1 (PsPD).

    Raises
    ------
    InputError
        If `clinical` is empty, has a column twice or one that is not declared, or there is no such recipe.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> from sklearn_pspd import CNNLSTMClassifier, make_fusion_pipeline
    >>> model = make_fusion_pipeline(CNNLSTMClassifier(epochs=5), size_px=64)
    >>> model.get_params()["classifier__stack_shape"]
    (9, 64, 64)
    """
    mri = _mri_branch(n_slices, size_px, fov_mm, slice_spacing_mm, further_images, allow_sequence, memory, n_jobs)
    features = CohortColumnTransformer([mri, _clinical_branch(clinical, missing)])
    return _assemble(features, _network(classifier), sampler, recipe)


def make_image_pipeline(
    classifier=None,
    *,
    recipe="published",
    n_slices=9,
    size_px=256,
    fov_mm=200.0,
    slice_spacing_mm=None,
    further_images=(),
    allow_sequence=False,
    sampler=None,
    memory=None,
    n_jobs=None,
):
    """Make model 2 of the paper: slice stacks alone.

    Parameters
    ----------
    classifier : CNNLSTMClassifier, default=None
        As in :func:`make_fusion_pipeline`.
    recipe : {"published", "small_cohort"}, default="published"
        As in :func:`make_fusion_pipeline`.
    n_slices : int, default=9
        As in :func:`make_fusion_pipeline`.
    size_px : int, default=256
        As in :func:`make_fusion_pipeline`.
    fov_mm : float, default=200.0
        As in :func:`make_fusion_pipeline`.
    slice_spacing_mm : float, default=None
        As in :func:`make_fusion_pipeline`.
    further_images : sequence of str, default=()
        As in :func:`make_fusion_pipeline`.
    allow_sequence : bool or collection of str, default=False
        As in :func:`make_fusion_pipeline`.
    sampler : imbalanced-learn sampler, default=None
        As in :func:`make_fusion_pipeline`.
    memory : str, path or joblib.Memory, default=None
        As in :func:`make_fusion_pipeline`.
    n_jobs : int, default=None
        As in :func:`make_fusion_pipeline`.

    Returns
    -------
    CohortPipeline, or SamplingCohortPipeline with a `sampler`
        X is a cohort table without its outcome, y is 0 (PD) or 1 (PsPD).

    Examples
    --------
    >>> from sklearn_pspd import make_image_pipeline
    >>> [name for name, step in make_image_pipeline().steps]
    ['features', 'classifier']
    """
    mri = _mri_branch(n_slices, size_px, fov_mm, slice_spacing_mm, further_images, allow_sequence, memory, n_jobs)
    features = CohortColumnTransformer([mri])
    return _assemble(features, _network(classifier), sampler, recipe)


def make_clinical_pipeline(
    classifier=None, *, clinical=None, missing="refuse", sampler=None, memory=None, random_state=None, n_jobs=None
):
    """Make model 3 of the paper: a random forest on the clinical features.

    Parameters
    ----------
    classifier : classifier, default=None
        Any scikit-learn classifier with ``predict_proba``; it is cloned. None takes the paper's random forest: 1000
        trees, 2 features considered at each split [1]_.
    clinical : sequence of str or ClinicalColumn, default=None
        As in :func:`make_fusion_pipeline`; None takes the seven of the paper [1]_ that the table has.
    missing : {"refuse", "median", "indicator"}, default="refuse"
        As in :func:`make_fusion_pipeline`.
    sampler : imbalanced-learn sampler, default=None
        As in :func:`make_fusion_pipeline`.
    memory : str or joblib.Memory, default=None
        Cache of the pipeline's fitted transformers, as in :class:`sklearn.pipeline.Pipeline`: pickle files of joblib,
        whose folder nobody else may write to.
    random_state : int, RandomState instance or None, default=None
        Seed of the random forest. A `classifier` that is given keeps its own.
    n_jobs : int, default=None
        Threads that grow trees. A `classifier` that is given keeps its own.

    Returns
    -------
    CohortPipeline, or SamplingCohortPipeline with a `sampler`
        X is a cohort table without its outcome, y is 0 (PD) or 1 (PsPD).

    Raises
    ------
    InputError
        If `clinical` is empty, has a column twice or one that is not declared.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_pspd import make_clinical_pipeline
    >>> make_clinical_pipeline().get_params()["classifier__n_estimators"]
    1000
    >>> make_clinical_pipeline(LogisticRegression(), clinical=["age_years", "mgmt"])["classifier"]
    LogisticRegression()
    """
    if classifier is None:
        classifier = RandomForestClassifier(n_estimators=1000, max_features=2, random_state=random_state, n_jobs=n_jobs)
    else:
        classifier = clone(classifier)
    features = ColumnTransformer([_clinical_branch(clinical, missing)])
    return _assemble(features, classifier, sampler).set_params(memory=memory)


def paper_models(
    network=None,
    *,
    clinical=None,
    missing="refuse",
    recipe="published",
    n_slices=9,
    size_px=256,
    fov_mm=200.0,
    slice_spacing_mm=None,
    further_images=(),
    allow_sequence=False,
    memory=None,
    random_state=None,
    variant=None,
    n_jobs=None,
):
    """Make the three models that the paper compares, by the names that tables and figures show.

    Parameters
    ----------
    network : CNNLSTMClassifier, default=None
        The network of the first two models; None takes its defaults with `random_state`.
    clinical : sequence of str or ClinicalColumn, default=None
        As in :func:`make_fusion_pipeline`.
    missing : {"refuse", "median", "indicator"}, default="refuse"
        As in :func:`make_fusion_pipeline`.
    recipe : {"published", "small_cohort"}, default="published"
        As in :func:`make_fusion_pipeline`; not together with `variant`.
    n_slices : int, default=9
        As in :func:`make_fusion_pipeline`.
    size_px : int, default=256
        As in :func:`make_fusion_pipeline`.
    fov_mm : float, default=200.0
        As in :func:`make_fusion_pipeline`.
    slice_spacing_mm : float, default=None
        As in :func:`make_fusion_pipeline`.
    further_images : sequence of str, default=()
        As in :func:`make_fusion_pipeline`.
    allow_sequence : bool or collection of str, default=False
        As in :func:`make_fusion_pipeline`.
    memory : str, path or joblib.Memory, default=None
        Folder of a cache of decoded slice stacks, shared by the first two models.
    random_state : int, RandomState instance or None, default=None
        Seed of the random forest, and of the network unless `network` is given.
    variant : {"paper", "released"}, default=None
        Sets the published parameters of :func:`jang2018` in all three models, also those that `network` has. None
        keeps the parameters of `network` and the defaults of this library.
    n_jobs : int, default=None
        Processes that read images, and threads that grow trees.

    Returns
    -------
    dict of str to sklearn.pipeline.Pipeline
        "MRI + clinical", "MRI alone" and "clinical alone".

    Raises
    ------
    InputError
        If there is no such variant or recipe, both are given, or `clinical` is wrong as in
        :func:`make_fusion_pipeline`.

    Examples
    --------
    >>> from sklearn_pspd import paper_models
    >>> models = paper_models(size_px=64, variant="paper", random_state=0)
    >>> list(models)
    ['MRI + clinical', 'MRI alone', 'clinical alone']
    >>> models["MRI alone"]["classifier"].dense_units
    ()
    """
    if variant is not None and recipe != "published":
        raise InputError(f"variant={variant!r} and recipe={recipe!r} set the same parameters; choose one")
    if network is None:
        from .neural_network import CNNLSTMClassifier

        network = CNNLSTMClassifier(random_state=random_state)
    images = {"n_slices": n_slices, "size_px": size_px, "fov_mm": fov_mm, "slice_spacing_mm": slice_spacing_mm}
    images |= {"further_images": further_images, "allow_sequence": allow_sequence, "memory": memory, "n_jobs": n_jobs}
    columns = {"clinical": clinical, "missing": missing}
    models = {
        FUSION: make_fusion_pipeline(network, recipe=recipe, **columns, **images),
        IMAGE: make_image_pipeline(network, recipe=recipe, **images),
        CLINICAL: make_clinical_pipeline(**columns, random_state=random_state, n_jobs=n_jobs),
    }
    if variant is not None:
        for name, model in models.items():
            model.set_params(**jang2018(variant, MODELS[name]))
    return models


def jang2018(variant, model="fusion"):
    """Return the published parameters of a model, in one of two variants.

    The text of the paper and the script that its authors released differ; both are kept, by name. The leakage-free
    protocol around the models is that of this library in either case.

    Parameters
    ----------
    variant : {"paper", "released"}
        As printed in the paper, or as in the released script.
    model : {"fusion", "image", "clinical"}, default="fusion"
        Models 1, 2 and 3 of the paper.

    Returns
    -------
    dict of str to object
        For ``set_params`` of the pipeline of that model. The learning rate of the paper is that after tuning, 0.01; its
        section on the network prints 0.001.

    Raises
    ------
    InputError
        If there is no such variant or model.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> from sklearn_pspd import jang2018, make_fusion_pipeline
    >>> model = make_fusion_pipeline().set_params(**jang2018("released"))
    >>> model["classifier"].lstm_activation
    'sigmoid'
    """
    if variant not in VARIANTS:
        raise InputError(f"variant must be 'paper' or 'released'; got {variant!r}")
    if model not in MODELS.values():
        raise InputError(f"model must be 'fusion', 'image' or 'clinical'; got {model!r}")
    released = variant == "released"
    if model == "clinical":
        return {
            "classifier__n_estimators": 100 if released else 1000,
            "classifier__max_features": "sqrt" if released else 2,
        }
    return {
        "features__mri__fov__method": "released" if released else "bicubic",
        "features__mri__standardize__norm": "unit_variance" if released else "unit_norm",
        "classifier__filters": (64, 128, 256),
        "classifier__kernel_size": 2,
        "classifier__batch_norm": "before" if released else "after",
        "classifier__batch_norm_momentum": 0.99,
        "classifier__pooling": "flatten",
        "classifier__lstm_units": 24,
        "classifier__lstm_activation": "sigmoid" if released else "tanh",
        "classifier__dense_units": (32, 32) if released else (),
        "classifier__clinical_units": (4, 4),
        "classifier__optimizer": "sgd",
        "classifier__learning_rate": 0.01,
        "classifier__momentum": 0.0,
        "classifier__batch_size": 8,
        "classifier__epochs": 25,
        "classifier__shuffle": not released,
    }


def n_encoded_columns(model, X):
    """Return how many clinical columns a pipeline gives its classifier, without fitting.

    Parameters
    ----------
    model : Pipeline or ColumnTransformer
        A pipeline of :func:`make_fusion_pipeline` or another function of this module, or its step "features".
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table.

    Returns
    -------
    int or None
        Number of columns after encoding, with those that indicate "unknown" and missing numbers; 0 without clinical
        columns. None if the clinical branch is of another kind, whose number of columns is not known before a fit.

    Raises
    ------
    InputError
        If the table lacks a clinical column that was chosen, or has none of the paper.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd import make_clinical_pipeline
    >>> from sklearn_pspd.pipelines import n_encoded_columns
    >>> table = pd.DataFrame(columns=["patient_id", "age_years", "sex", "dose_gy"])
    >>> n_encoded_columns(make_clinical_pipeline(), table)
    3
    >>> n_encoded_columns(make_clinical_pipeline(missing="indicator"), table)
    5
    """
    features = _features_of(model) if hasattr(model, "steps") else model
    branches = {name: (branch, columns) for name, branch, columns in getattr(features, "transformers", [])}
    if "clinical" not in branches:
        return 0
    scaler, columns = branches["clinical"]
    if not isinstance(scaler, ClinicalMinMaxScaler):
        return None
    return len(scaler.encoded_names(columns(X) if callable(columns) else columns))


def _mri_branch(n_slices, size_px, fov_mm, slice_spacing_mm, further_images, allow_sequence, memory, n_jobs):
    further = checked_further_images(further_images)
    reading = {"n_slices": n_slices, "slice_spacing_mm": slice_spacing_mm, "allow_sequence": allow_sequence}
    steps = [
        ("load", SliceStackLoader(**reading, further_images=further, memory=memory, n_jobs=n_jobs)),
        ("fov", FOVNormalizer(fov_mm=fov_mm, size_px=size_px)),
        ("standardize", SliceStandardizer(n_images=1 + len(further))),
        ("flatten", StackFlattener()),
    ]
    return "mri", StackPipeline(steps), ImageSelector(further)


def _clinical_branch(clinical, missing):
    if missing not in MISSING:
        raise InputError(f"missing must be {', '.join(map(repr, MISSING[:-1]))} or {MISSING[-1]!r}; got {missing!r}")
    chosen = clinical_columns(clinical)
    selector = ClinicalSelector(None if clinical is None else tuple(column.name for column in chosen))
    declared = tuple(column for column in chosen if column.name not in CLINICAL_COLUMNS)
    return "clinical", ClinicalMinMaxScaler(missing=missing, clinical=declared), selector


def _with_position_columns(X):
    """Return a table with all columns of the lesion's position, of which those that it lacks are empty."""
    check_frame(X, "X")
    absent = [name for name in POSITION_COLUMNS if name not in X.columns]
    return X.assign(**dict.fromkeys(absent))


def _network(classifier):
    # Only here, so that the clinical model does without Keras.
    from .neural_network import CNNLSTMClassifier

    return CNNLSTMClassifier() if classifier is None else clone(classifier)


def _assemble(features, classifier, sampler, recipe="published"):
    if recipe not in RECIPES:
        raise InputError(f"recipe must be {' or '.join(map(repr, RECIPES))}; got {recipe!r}")
    steps = [("features", features), ("classifier", classifier)]
    # A sampler is first, so that it moves rows of the cohort table, paths and all, and never mixes pixels.
    pipeline = CohortPipeline(steps) if sampler is None else SamplingCohortPipeline([("sampler", sampler), *steps])
    # Copies, so that the field of view of one pipeline's augmentation is not that of another.
    return pipeline.set_params(**{name: clone(value, safe=False) for name, value in RECIPES[recipe].items()})


def _features_of(pipeline):
    """Return the step that joins the branches of a pipeline of ours, or None if it has another form."""
    features = dict(pipeline.steps[:-1]).get("features")
    return features if isinstance(features, ColumnTransformer) else None


def _stack_settings(features):
    """Return the parameters of a network that the steps of the image branch, or its absence, determine."""
    branches = {name: branch for name, branch, _ in features.transformers}
    if "mri" not in branches:
        return {"stack_shape": None, "n_images": 1}
    mri = branches["mri"]
    steps = [step for _, step in getattr(mri, "steps", [])]
    load = next((step for step in steps if isinstance(step, SliceStackLoader)), None)
    fov = next((step for step in steps if isinstance(step, FOVNormalizer)), None)
    if load is None or fov is None:
        return {}
    return {
        "stack_shape": (load.n_slices, fov.size_px, fov.size_px),
        "n_images": 1 + len(load.further_images),
        "augment__fov_mm": fov.fov_mm,
    }


def _follow_further_images(features):
    """Let the columns of the image branch, and its later steps, follow the further images that its first step reads."""
    for number, (name, branch, columns) in enumerate(features.transformers):
        steps = [step for _, step in getattr(branch, "steps", [])]
        if not isinstance(columns, ImageSelector) or not hasattr(steps[0], "further_images"):
            continue
        further = checked_further_images(steps[0].further_images)
        features.transformers[number] = name, branch, ImageSelector(further)
        for step in steps[1:]:
            if hasattr(step, "n_images"):
                step.set_params(n_images=1 + len(further))


def _check_branches(features):
    """Refuse features that a network would mistake: it takes the first columns for pixels, the others for clinical."""
    names = [name for name, _, _ in features.transformers]
    if names not in (["mri"], ["mri", "clinical"], ["clinical"]):
        raise InputError(
            f"features has the branches {', '.join(map(repr, names))}: the network takes the columns of 'mri', which "
            "comes first, for pixels and those of 'clinical' for clinical columns; leave out other branches"
        )
    if features.remainder != "drop":
        raise InputError(
            f"features has remainder={features.remainder!r}: the network would take the remaining columns for clinical "
            "ones; name them in clinical"
        )


def _check_sampler(name, sampler, X, y):
    """Refuse a sampler that does not choose among the patients, by what it does to the table."""
    kind = type(sampler).__name__
    advice = "use one that repeats or leaves out patients, for example RandomOverSampler or RandomUnderSampler"
    try:
        rows, outcomes = clone(sampler).fit_resample(X, y)
    except Exception as error:
        raise InputError(
            f"{name}: {kind} cannot choose among the rows of a cohort table ({error}); {advice}"
        ) from error
    patients = set(_row_keys(X, y))
    n_made = sum(key not in patients for key in _row_keys(pd.DataFrame(rows, columns=X.columns), outcomes))
    if n_made:
        raise InputError(f"{name}: {kind} makes patients that are not in the table ({n_made} rows); {advice}")


def _row_keys(X, y):
    """Return the rows of a table with their outcomes, comparable by value; missing values are equal."""
    rows = X.itertuples(index=False, name=None)
    keys = [tuple(None if is_missing(cell) else cell for cell in row) for row in rows]
    return list(zip(keys, np.asarray(y).tolist(), strict=True))


def _are_equal(given, value):
    """Return whether two values of a parameter are the same, tuples and lists alike."""
    return tuple(given) == value if isinstance(given, list) else given == value
