"""The study of the command line: the paper's models on a cohort table, or on a synthetic cohort."""

import os
from pathlib import Path

from joblib import Memory

from sklearn_pspd.cohort import read_cohort
from sklearn_pspd.pipelines import paper_models

from .study import Study

SYNTHETIC_TITLE = "Synthetic cohort: these figures say nothing about patients"
# A small network that learns the synthetic cohort within minutes; a cohort of patients gets the sizes of the paper.
SYNTHETIC_NETWORK = {"pooling": "average", "optimizer": "adam", "learning_rate": 3e-3, "filters": (8, 16, 32)}
SYNTHETIC_DEFAULTS = {"cv": 5, "size_px": 48, "n_permutations": 1}
COHORT_DEFAULTS = {"cv": 10, "size_px": 256, "n_permutations": 0}


def prepare_study(
    table=None,
    *,
    workspace,
    results=None,
    n_patients=78,
    variant=None,
    n_slices=9,
    size_px=None,
    filters=None,
    epochs=None,
    cv=None,
    n_permutations=None,
    random_state=0,
    n_jobs=None,
    **settings,
):
    """Prepare the study of the command line: the paper's models on a cohort table, or on a synthetic cohort.

    Parameters
    ----------
    table : path-like, default=None
        The cohort table; None makes a synthetic cohort in the workspace.
    workspace : Path
        An existing folder, for the synthetic cohort and the cache of slice stacks.
    results : Path, default=None
        Folder of the results; the record of uses of the held-out patients goes there if the folder of the table cannot
        be written. None keeps no record beyond this process.
    n_patients : int, default=78
        Patients of the synthetic cohort.
    variant : {"paper", "released"}, default=None
        Published parameters, as in :func:`~sklearn_pspd.pipelines.paper_models`.
    n_slices : int, default=9
        Axial slices per patient, odd.
    size_px : int, default=None
        Rows and columns of a slice. None takes 256, for the synthetic cohort 48.
    filters : tuple of int, default=None
        Filters of the convolution blocks. None takes (64, 128, 256), for the synthetic cohort (8, 16, 32) unless there
        is a `variant`.
    epochs : int, default=None
        Passes over the training patients; None takes 25.
    cv : int, default=None
        Folds; None takes 10, for the synthetic cohort 5.
    n_permutations : int, default=None
        Permutations of the negative control; None takes none, for the synthetic cohort 1, as in the paper.
    random_state : int, default=0
        Seed of everything random.
    n_jobs : int, default=None
        Fits that run in parallel, in processes.
    **settings : dict
        Other parameters of :class:`Study`.

    Returns
    -------
    Study
        Ready to run.

    Raises
    ------
    InputError
        If the table has problems, which are listed all at once, or a parameter is outside its range.
    FileNotFoundError
        If there is no such table.
    """
    from sklearn_pspd.datasets import make_cohort

    synthetic = table is None
    defaults = SYNTHETIC_DEFAULTS if synthetic else COHORT_DEFAULTS
    size_px = defaults["size_px"] if size_px is None else size_px
    if synthetic:
        # Finer than the network's pixels, so that resampling has something to do.
        side = max(128, 2 * size_px)
        make_cohort(
            workspace / "cohort",
            n_patients,
            matrix_px=(side, side + side // 4),
            n_native_slices=n_slices + 8,
            random_state=random_state,
        )
        settings = {"title": SYNTHETIC_TITLE, **settings}
    elif results is not None:
        settings = {"external_log": _external_log(Path(table), results), **settings}
    cohort = read_cohort(workspace / "cohort" / "cohort.csv" if synthetic else table)

    # Only now, since it loads TensorFlow: a table with problems is refused at once.
    from sklearn_pspd.neural_network import CNNLSTMClassifier

    network = CNNLSTMClassifier(**(SYNTHETIC_NETWORK if synthetic else {}), random_state=random_state)
    models = paper_models(
        network,
        n_slices=n_slices,
        size_px=size_px,
        memory=Memory(workspace / "stacks", verbose=0),
        random_state=random_state,
        variant=variant,
        n_jobs=n_jobs,
    )
    chosen = {"classifier__filters": filters, "classifier__epochs": epochs}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    for model in models.values():
        model.set_params(**{name: value for name, value in chosen.items() if name in model.get_params()})
    return Study(
        cohort,
        models,
        cv=defaults["cv"] if cv is None else cv,
        n_permutations=defaults["n_permutations"] if n_permutations is None else n_permutations,
        random_state=random_state,
        n_jobs=n_jobs,
        **settings,
    )


def _external_log(table, results):
    """Return the file that records uses of the held-out patients: beside their table or, if need be, in the results."""
    log = table.with_suffix(".external_uses.jsonl")
    return log if os.access(log if log.exists() else log.parent, os.W_OK) else results / log.name
