"""Fitted pipelines in files that run no code when they are read."""

import zipfile
from importlib import import_module
from inspect import isclass
from pathlib import Path

from sklearn_pspd.exceptions import InputError

__all__ = ["load_pipeline", "save_pipeline"]

# Rooms whose classes a pipeline of this library may hold: those that their `__all__` lists.
PIPELINE_ROOMS = ("baselines", "cohort", "loading", "model_selection", "neural_network", "pipelines", "preprocessing")

# Types of other packages that skops does not trust by itself.
TRUSTED_OTHERS = (
    "imblearn.over_sampling._random_over_sampler.RandomOverSampler",
    "imblearn.pipeline.Pipeline",
    "imblearn.under_sampling._prototype_selection._random_under_sampler.RandomUnderSampler",
    "numpy.dtype",
    "sklearn_pspd.baselines._InnerFolds",
    # What a fitted search holds: splitters, and scorers of metrics, which compute and do nothing else.
    *(
        f"sklearn.metrics.{metric}"
        for metric in (
            "_classification.accuracy_score",
            "_classification.balanced_accuracy_score",
            "_classification.brier_score_loss",
            "_classification.f1_score",
            "_classification.log_loss",
            "_ranking.average_precision_score",
            "_ranking.roc_auc_score",
            "_scorer._Scorer",
        )
    ),
    *(
        f"sklearn.model_selection._split.{splitter}"
        for splitter in ("KFold", "RepeatedStratifiedKFold", "StratifiedKFold", "StratifiedShuffleSplit")
    ),
    "sklearn.tree._tree.Tree",
)


def save_pipeline(pipeline, path):
    """Write a fitted pipeline, or any estimator of this library, to a file without pickle.

    Parameters
    ----------
    pipeline : estimator
        Fitted, for example one that :func:`~sklearn_pspd.pipelines.make_fusion_pipeline` made. Caches are not part of
        the file: set a `memory` that is not a path to None before.
    path : path-like
        The file to write, usually ``.skops``.

    Raises
    ------
    InputError
        If the pipeline contains types that :func:`load_pipeline` would refuse; they are listed.

    See Also
    --------
    CNNLSTMClassifier.save : The network alone, in Keras' own format.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import load_pipeline, make_cohort, make_clinical_pipeline, save_pipeline, split_xy
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(folder, 12, matrix_px=(32,), random_state=0))
    ...     model = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=5).fit(X, y)
    ...     save_pipeline(model, Path(folder, "model.skops"))
    ...     bool((load_pipeline(Path(folder, "model.skops")).predict(X) == model.predict(X)).all())
    True
    """
    import skops.io

    content = skops.io.dumps(pipeline)
    if foreign := _foreign_types(skops.io.get_untrusted_types(data=content)):
        raise InputError(f"{path}: the pipeline contains types that load_pipeline refuses: {', '.join(foreign)}")
    Path(path).write_bytes(content)


def load_pipeline(path):
    """Read a file that :func:`save_pipeline` wrote.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    estimator
        The fitted pipeline.

    Raises
    ------
    InputError
        If the file is not of this kind, is damaged, contains types of other packages than scikit-learn, NumPy and this
        library, or was written by a version that this one cannot read. No code in it is run.
    FileNotFoundError
        If there is no such file.
    """
    import skops.io

    content = Path(path).read_bytes()
    try:
        types = skops.io.get_untrusted_types(data=content)
        foreign = _foreign_types(types)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a file of save_pipeline, or damaged ({error})") from error
    if foreign:
        raise InputError(
            f"{path}: refused; it contains types that pipelines of this library do not use: {', '.join(foreign)}"
        )
    try:
        return skops.io.loads(content, trusted=types)
    except Exception as error:
        raise InputError(f"{path}: damaged, or written by another version ({error})") from error


def _foreign_types(types):
    """Return those of the types that skops does not trust by itself and this library does not use."""
    return sorted(name for name in types if not _is_trusted(name))


def _is_trusted(name):
    """Return whether a type is one of the listed others, or public in a room whose objects pipelines of ours hold.

    Of functions only the selector of image columns is one; the others could be called with what a file chooses.
    """
    if name in TRUSTED_OTHERS:
        return True
    package, _, path = name.partition(".")
    room, public = path.split(".")[0], name.rpartition(".")[2]
    if package != "sklearn_pspd" or room not in PIPELINE_ROOMS:
        return False
    home = import_module(f"sklearn_pspd.{room}")
    if public not in home.__all__:
        return False
    value = getattr(home, public)
    return f"{value.__module__}.{value.__qualname__}" == name and (isclass(value) or public == "select_mri_columns")
