"""The three models of the paper as scikit-learn pipelines, and the published parameters."""

from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline

from sklearn_pspd.cohort.columns import CLINICAL_COLUMNS, POSITION_COLUMNS
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.preprocessing import ClinicalMinMaxScaler, FOVNormalizer, SliceStandardizer, StackFlattener

__all__ = [
    "jang2018",
    "make_clinical_pipeline",
    "make_fusion_pipeline",
    "make_image_pipeline",
    "paper_models",
    "select_mri_columns",
]

MRI_COLUMNS = ("patient_id", "image", *POSITION_COLUMNS)
# Names of the paper's models 1, 2 and 3 in tables and figures, and what each is called by `jang2018`.
FUSION, IMAGE, CLINICAL = "MRI + clinical", "MRI alone", "clinical alone"
MODELS = {FUSION: "fusion", IMAGE: "image", CLINICAL: "clinical"}
VARIANTS = ("paper", "released")


def make_fusion_pipeline(
    classifier=None, *, columns=None, n_slices=9, size_px=256, fov_mm=200.0, sampler=None, memory=None, n_jobs=None
):
    """Make model 1 of the paper: slice stacks and clinical features, fused in one CNN-LSTM.

    Every step is fitted inside the training fold. Parameters of the steps are set by name, for example
    ``classifier__lstm_units``, ``features__mri__load__slice_spacing_mm`` or ``features__clinical__unknown``.

    Parameters
    ----------
    classifier : CNNLSTMClassifier, default=None
        The network; None takes its defaults. Its ``stack_shape`` is set from `n_slices` and `size_px`.
    columns : sequence of str, default=None
        Clinical columns of the cohort table to use. None takes the seven of the paper [1]_.
    n_slices : int, default=9
        Axial slices per patient, odd; the middle slice shows the lesion best [1]_.
    size_px : int, default=256
        Rows and columns of a slice after resampling [1]_.
    fov_mm : float, default=200.0
        Side of the square field of view in mm [1]_.
    sampler : imbalanced-learn sampler, default=None
        Resamples patients (rows of the cohort table) of the training fold, for example
        ``RandomOverSampler(random_state=0)``. It is not applied when predicting.
    memory : str or joblib.Memory, default=None
        Cache of decoded slice stacks, one entry per patient, so that repeated fits read each image once. Nothing that
        is learned is cached.
    n_jobs : int, default=None
        Processes that read images.

    Returns
    -------
    sklearn.pipeline.Pipeline, or that of imbalanced-learn with a `sampler`
        X is a cohort table without its outcome, y is 0 (PD) or 1 (PsPD).

    Raises
    ------
    InputError
        If `columns` is empty or names a column twice.

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
    features = ColumnTransformer([("mri", mri, select_mri_columns), _clinical_branch(columns)])
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
    mri = _mri_branch(n_slices, size_px, fov_mm, memory, n_jobs)
    features = ColumnTransformer([("mri", mri, select_mri_columns)])
    return _assemble(features, _network(classifier, n_slices, size_px), sampler)


def make_clinical_pipeline(classifier=None, *, columns=None, sampler=None, memory=None, random_state=None, n_jobs=None):
    """Make model 3 of the paper: a random forest on the clinical features.

    Parameters
    ----------
    classifier : classifier, default=None
        Any scikit-learn classifier with ``predict_proba``; it is cloned. None takes the paper's random forest: 1000
        trees, 2 features considered at each split [1]_.
    columns : sequence of str, default=None
        Clinical columns of the cohort table to use. None takes the seven of the paper [1]_.
    sampler : imbalanced-learn sampler, default=None
        As in :func:`make_fusion_pipeline`.
    memory : str or joblib.Memory, default=None
        Cache of the pipeline's fitted transformers, as in :class:`sklearn.pipeline.Pipeline`.
    random_state : int, RandomState instance or None, default=None
        Seed of the random forest. A `classifier` that is given keeps its own.
    n_jobs : int, default=None
        Threads that grow trees. A `classifier` that is given keeps its own.

    Returns
    -------
    sklearn.pipeline.Pipeline, or that of imbalanced-learn with a `sampler`
        X is a cohort table without its outcome, y is 0 (PD) or 1 (PsPD).

    Raises
    ------
    InputError
        If `columns` is empty or names a column twice.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_pspd import make_clinical_pipeline
    >>> make_clinical_pipeline().get_params()["classifier__n_estimators"]
    1000
    >>> make_clinical_pipeline(LogisticRegression(), columns=["age_years", "mgmt"])["classifier"]
    LogisticRegression()
    """
    if classifier is None:
        classifier = RandomForestClassifier(n_estimators=1000, max_features=2, random_state=random_state, n_jobs=n_jobs)
    else:
        classifier = clone(classifier)
    return _assemble(ColumnTransformer([_clinical_branch(columns)]), classifier, sampler).set_params(memory=memory)


def paper_models(
    network=None,
    *,
    columns=None,
    n_slices=9,
    size_px=256,
    fov_mm=200.0,
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
    columns : sequence of str, default=None
        Clinical columns of the cohort table to use. None takes the seven of the paper.
    n_slices : int, default=9
        As in :func:`make_fusion_pipeline`.
    size_px : int, default=256
        As in :func:`make_fusion_pipeline`.
    fov_mm : float, default=200.0
        As in :func:`make_fusion_pipeline`.
    memory : str or joblib.Memory, default=None
        Cache of decoded slice stacks, shared by the first two models.
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
        If there is no such variant, or `columns` is empty or names a column twice.

    Examples
    --------
    >>> from sklearn_pspd import paper_models
    >>> models = paper_models(size_px=64, variant="paper", random_state=0)
    >>> list(models)
    ['MRI + clinical', 'MRI alone', 'clinical alone']
    >>> models["MRI alone"]["classifier"].dense_units
    ()
    """
    if network is None:
        from .neural_network import CNNLSTMClassifier

        network = CNNLSTMClassifier(random_state=random_state)
    images = {"n_slices": n_slices, "size_px": size_px, "fov_mm": fov_mm, "memory": memory, "n_jobs": n_jobs}
    models = {
        FUSION: make_fusion_pipeline(network, columns=columns, **images),
        IMAGE: make_image_pipeline(network, **images),
        CLINICAL: make_clinical_pipeline(columns=columns, random_state=random_state, n_jobs=n_jobs),
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


def select_mri_columns(X):
    """Return the columns that the image branch reads, whichever form of the lesion's position the table has.

    Parameters
    ----------
    X : DataFrame of shape (n_patients, n_columns)
        Cohort table.

    Returns
    -------
    list of str
        "patient_id", "image" and the columns of the lesion's position that X has.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.pipelines import select_mri_columns
    >>> select_mri_columns(pd.DataFrame(columns=["patient_id", "site", "image", "lesion_slice", "age_years"]))
    ['patient_id', 'image', 'lesion_slice']
    """
    return [column for column in MRI_COLUMNS if column in X.columns]


def _mri_branch(n_slices, size_px, fov_mm, memory, n_jobs):
    return Pipeline(
        [
            ("load", SliceStackLoader(n_slices=n_slices, memory=memory, n_jobs=n_jobs)),
            ("fov", FOVNormalizer(fov_mm=fov_mm, size_px=size_px)),
            ("standardize", SliceStandardizer()),
            ("flatten", StackFlattener()),
        ]
    )


def _clinical_branch(columns):
    columns = list(CLINICAL_COLUMNS if columns is None else columns)
    if not columns or len(set(columns)) < len(columns):
        raise InputError(f"columns must list one or more clinical columns of the table, each once; got {columns}")
    return "clinical", ClinicalMinMaxScaler(), columns


def _network(classifier, n_slices, size_px):
    # Only here, so that the clinical model does without Keras.
    from .neural_network import CNNLSTMClassifier

    classifier = CNNLSTMClassifier() if classifier is None else clone(classifier)
    return classifier.set_params(stack_shape=(n_slices, size_px, size_px))


def _assemble(features, classifier, sampler):
    steps = [("features", features), ("classifier", classifier)]
    if sampler is None:
        return Pipeline(steps)
    from imblearn.pipeline import Pipeline as SamplingPipeline

    # First, so that it moves rows of the cohort table, paths and all, and never mixes pixels of two patients.
    return SamplingPipeline([("sampler", sampler), *steps])
