"""Fitted pipelines in files that run no code when they are read."""

import copy
import hashlib
import io
import json
import zipfile
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from inspect import isclass
from pathlib import Path

import numpy as np

from sklearn_pspd._sklearn import Tree
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import write_bytes

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

# Entry of the file with the SHA-256 of the others.
HASHES = "sklearn_pspd.json"
# Sparse matrices are archives within the archive, and compressed; what they may hold in all.
MAX_COMPRESSED = 2**28


def save_pipeline(pipeline, path):
    """Write a fitted pipeline, or any estimator of this library, to a file without pickle.

    Parameters
    ----------
    pipeline : estimator
        Fitted, for example one that :func:`~sklearn_pspd.pipelines.make_fusion_pipeline` made. Caches are not part of
        the file: every ``memory`` in it is None.
    path : path-like
        The file to write, usually ``.skops``. It is replaced when the new one is whole.

    Raises
    ------
    InputError
        If the pipeline contains types that :func:`load_pipeline` would refuse; they are listed.
    OSError
        If the file cannot be written; the earlier file, if there is one, is as it was.

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

    pipeline = copy.deepcopy(pipeline)
    _visit(pipeline)
    content = skops.io.dumps(pipeline)
    if foreign := _foreign_types(skops.io.get_untrusted_types(data=content)):
        raise InputError(f"{path}: the pipeline contains types that load_pipeline refuses: {', '.join(foreign)}")
    content = _with_hashes(content)
    write_bytes(path, content)


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
    content = Path(path).read_bytes()
    # Whatever a damaged, foreign or forged file causes ends here, in one error.
    try:
        return _load(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:
        raise InputError(
            f"{path}: not a file of save_pipeline, or damaged, or written by another version "
            f"({type(error).__name__}: {error})"
        ) from error


def _load(content):
    import skops.io

    hashes = _checked_hashes(content)
    types = skops.io.get_untrusted_types(data=content)
    if foreign := _foreign_types(types):
        raise InputError(f"refused; it contains types that pipelines of this library do not use: {', '.join(foreign)}")
    if hashes is None:
        raise InputError("not a file of save_pipeline; it has no hashes of its entries")
    pipeline = skops.io.loads(content, trusted=types)
    # A folder that the file names could belong to its author.
    _visit(pipeline)
    return pipeline


def _with_hashes(content):
    """Return an archive with one more entry, the SHA-256 of each other entry."""
    archive = io.BytesIO(content)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as file:
        hashes = {name: hashlib.sha256(file.read(name)).hexdigest() for name in file.namelist()}
        description = {"library": f"sklearn_pspd {version('sklearn_pspd')}", "sha256": hashes}
        file.writestr(HASHES, json.dumps(description, indent=1))
    return archive.getvalue()


def _checked_hashes(content):
    """Check that no entry needs more memory than the file has bytes, and the hashes; return these, None if absent."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        found = archive.infolist()
        names = {entry.filename for entry in found}
        if len(names) < len(found) or "schema.json" not in names:
            raise InputError(f"not a file of save_pipeline; it contains {[entry.filename for entry in found[:5]]}")
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size for entry in found):
            raise InputError("not a file of save_pipeline; it has compressed entries")
        if sum(entry.file_size for entry in found) > len(content):
            raise InputError("damaged; its entries overlap")
        stored = {name: archive.read(name) for name in names}
    if sum(map(_unpacked_size, stored.values())) > MAX_COMPRESSED:
        raise InputError(f"its sparse matrices take more than {MAX_COMPRESSED >> 20} MB")
    if HASHES not in stored:
        return None
    hashes = json.loads(stored.pop(HASHES))["sha256"]
    if hashes != {name: hashlib.sha256(entry).hexdigest() for name, entry in stored.items()}:
        raise InputError("damaged; its entries differ from those that were saved (SHA-256)")
    return hashes


def _unpacked_size(stored):
    """Return how many bytes an archive within the archive holds; 0 for other entries."""
    if not zipfile.is_zipfile(io.BytesIO(stored)):
        return 0
    with zipfile.ZipFile(io.BytesIO(stored)) as inner:
        return sum(entry.file_size for entry in inner.infolist())


def _visit(pipeline):
    """Remove the caches of all estimators in a pipeline, and check its trees."""
    seen, waiting = set(), [pipeline]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tree):
            _check_tree(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype == object):
            waiting.extend(value)
        elif hasattr(value, "__dict__") and not isclass(value):
            if hasattr(value, "get_params") and getattr(value, "memory", None) is not None:
                value.memory = None
            waiting.extend(vars(value).values())


def _check_tree(tree):
    """Refuse a decision tree that leads in a circle, or out of its arrays."""
    children = np.stack([tree.children_left, tree.children_right])
    is_leaf = children[0] == -1
    nodes = np.arange(tree.node_count)
    inner = children[:, ~is_leaf]
    if (
        np.any(children[1, is_leaf] != -1)
        or np.any(inner <= nodes[~is_leaf])
        or np.any(inner >= tree.node_count)
        or np.any((tree.feature[~is_leaf] < 0) | (tree.feature[~is_leaf] >= tree.n_features))
    ):
        raise InputError("damaged; a decision tree has nodes that do not exist")


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
    return f"{value.__module__}.{value.__qualname__}" == name and isclass(value)


def installed_versions(packages):
    """Return the versions of packages by name; those that are not installed are left out.

    Parameters
    ----------
    packages : iterable of str
        Names of distributions.

    Returns
    -------
    dict of str to str
        In the order of `packages`.
    """
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
