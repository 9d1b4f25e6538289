"""The three models of the paper as scikit-learn pipelines, and the published parameters."""

from imblearn.pipeline import Pipeline as SamplingPipeline
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline

from .classifiers import CNNLSTMClassifier
from .clinical import ClinicalMinMaxScaler
from .cohort import CLINICAL_COLUMNS, POSITION_COLUMNS
from .loading import SliceStackLoader
from .preprocessing import FOVNormalizer, SliceStandardizer, StackFlattener

MRI_COLUMNS = ("patient_id", "image", *POSITION_COLUMNS)


def make_fusion_pipeline(
    classifier=None, *, n_slices=9, size_px=256, fov_mm=200.0, sampler=None, memory=None, n_jobs=None
):
    """Make model 1 of the paper: slice stacks and clinical features, fused in one CNN-LSTM.

    Every step is learned inside the training fold. Its parameters are reached by name, for example
    ``classifier__lstm_units``, ``features__mri__load__slice_spacing_mm`` or ``features__clinical__unknown``.

    Parameters
    ----------
    classifier : CNNLSTMClassifier, default=None
        The network; None takes its defaults. Its ``stack_shape`` is set from `n_slices` and `size_px`.
    n_slices : int, default=9
        Axial slices a patient, odd; the middle one shows the lesion [1]_.
    size_px : int, default=256
        Rows and columns of a slice after resampling [1]_.
    fov_mm : float, default=200.0
        Side of the square field of view in mm [1]_.
    sampler : imbalanced-learn sampler, default=None
        Resamples patients (rows of the cohort table) of the training fold, for example
        ``RandomOverSampler(random_state=0)``. Predictions never see it.
    memory : str or joblib.Memory, default=None
        Cache of decoded slice stacks, one entry a patient, so that repeated fits read each image once. What is learned
        is never cached.
    n_jobs : int, default=None
        Processes that read images.

    Returns
    -------
    sklearn.pipeline.Pipeline, or that of imbalanced-learn with a `sampler`
        X is a cohort table without its outcome, y is 0 (PD) or 1 (PsPD).

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
    mri = _mri_branch(n_slices, size_px, fov_mm, memory, n_jobs)
    features = ColumnTransformer(
        [("mri", mri, _mri_columns), ("clinical", ClinicalMinMaxScaler(), list(CLINICAL_COLUMNS))]
    )
    return _assemble(features, _network(classifier, n_slices, size_px), sampler)


def make_image_pipeline(
    classifier=None, *, n_slices=9, size_px=256, fov_mm=200.0, sampler=None, memory=None, n_jobs=None
):
    """Make model 2 of the paper: slice stacks alone.

    Parameters
    ----------
    classifier : CNNLSTMClassifier, default=None
        As in :func:`make_fusion_pipeline`.
    n_slices : int, default=9
        As in :func:`make_fusion_pipeline`.
    size_px : int, default=256
        As in :func:`make_fusion_pipeline`.
    fov_mm : float, default=200.0
        As in :func:`make_fusion_pipeline`.
    sampler : imbalanced-learn sampler, default=None
        As in :func:`make_fusion_pipeline`.
    memory : str or joblib.Memory, default=None
        As in :func:`make_fusion_pipeline`.
    n_jobs : int, default=None
        As in :func:`make_fusion_pipeline`.

    Returns
    -------
    sklearn.pipeline.Pipeline, or that of imbalanced-learn with a `sampler`
        X is a cohort table without its outcome, y is 0 (PD) or 1 (PsPD).

    Examples
    --------
    >>> from sklearn_pspd import make_image_pipeline
    >>> [name for name, step in make_image_pipeline().steps]
    ['features', 'classifier']
    """
    features = ColumnTransformer([("mri", _mri_branch(n_slices, size_px, fov_mm, memory, n_jobs), _mri_columns)])
    return _assemble(features, _network(classifier, n_slices, size_px), sampler)


def make_clinical_pipeline(*, sampler=None, memory=None, random_state=None, n_jobs=None):
    """Make model 3 of the paper: a random forest on the clinical features, scored by its probabilities.

    Parameters
    ----------
    sampler : imbalanced-learn sampler, default=None
        As in :func:`make_fusion_pipeline`.
    memory : str or joblib.Memory, default=None
        Cache of the pipeline's fitted transformers, as in :class:`sklearn.pipeline.Pipeline`.
    random_state : int, RandomState instance or None, default=None
        Seed of the forest: 1000 trees, 2 variables tried at each split, as printed.
    n_jobs : int, default=None
        Threads that grow trees.

    Returns
    -------
    sklearn.pipeline.Pipeline, or that of imbalanced-learn with a `sampler`
        X is a cohort table without its outcome, y is 0 (PD) or 1 (PsPD).

    Examples
    --------
    >>> from sklearn_pspd import make_clinical_pipeline
    >>> make_clinical_pipeline().get_params()["classifier__n_estimators"]
    1000
    """
    features = ColumnTransformer([("clinical", ClinicalMinMaxScaler(), list(CLINICAL_COLUMNS))])
    forest = RandomForestClassifier(n_estimators=1000, max_features=2, random_state=random_state, n_jobs=n_jobs)
    return _assemble(features, forest, sampler).set_params(memory=memory)


def jang2018(reading, model="fusion"):
    """Return the published parameters of a model, in one of the two readings.

    The paper's text and the script that its authors released disagree; both are kept, by name. The leak-free protocol
    around the models is the library's in either case.

    Parameters
    ----------
    reading : {"paper", "released"}
        As printed, or as in the released script.
    model : {"fusion", "image", "clinical"}, default="fusion"
        Models 1, 2 and 3 of the paper.

    Returns
    -------
    dict of str to object
        For ``set_params`` of the pipeline of that model. The learning rate of the paper is that after tuning, 0.01; its
        network section prints 0.001.

    Raises
    ------
    ValueError
        If there is no such reading or model.

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
    if reading not in ("paper", "released"):
        raise ValueError(f"reading is 'paper' or 'released'; got {reading!r}")
    if model not in ("fusion", "image", "clinical"):
        raise ValueError(f"model is 'fusion', 'image' or 'clinical'; got {model!r}")
    released = reading == "released"
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


def _mri_branch(n_slices, size_px, fov_mm, memory, n_jobs):
    return Pipeline(
        [
            ("load", SliceStackLoader(n_slices=n_slices, memory=memory, n_jobs=n_jobs)),
            ("fov", FOVNormalizer(fov_mm=fov_mm, size_px=size_px)),
            ("standardize", SliceStandardizer()),
            ("flatten", StackFlattener()),
        ]
    )


def _mri_columns(X):
    """Name the columns that the image branch reads, whichever form of the lesion's position the table has."""
    return [column for column in MRI_COLUMNS if column in X.columns]


def _network(classifier, n_slices, size_px):
    classifier = CNNLSTMClassifier() if classifier is None else clone(classifier)
    return classifier.set_params(stack_shape=(n_slices, size_px, size_px))


def _assemble(features, classifier, sampler):
    steps = [("features", features), ("classifier", classifier)]
    if sampler is None:
        return Pipeline(steps)
    # First, so that it moves rows of the cohort table, paths and all, and never mixes pixels of two patients.
    return SamplingPipeline([("sampler", sampler), *steps])
