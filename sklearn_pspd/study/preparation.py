"""The study of the command line: the paper's models on a cohort table, or on a synthetic cohort."""

import os
from pathlib import Path

from sklearn_pspd.cohort import ClinicalColumn, read_cohort
from sklearn_pspd.exceptions import InputError

from .models import CLINICAL, PUBLISHED, study_models
from .study import Study

SYNTHETIC_TITLE = "Synthetic cohort: these figures say nothing about patients"
# Small enough for minutes on two cores: smaller slices, fewer epochs than in the recipes, and fewer
# filters than published. A cohort of patients gets the recipe and the published network as they are.
SYNTHETIC_FILTERS = (8, 16, 32)
SYNTHETIC_DEFAULTS = {"cv": 5, "size_px": 32, "epochs": 20, "n_permutations": 1, "controlled": (CLINICAL,)}
COHORT_DEFAULTS = {"cv": 10, "size_px": 256, "epochs": None, "n_permutations": 0}


def prepare_study(
    table=None,
    *,
    workspace,
    results=None,
    n_patients=78,
    recipe="both",
    variant=None,
    n_members=5,
    clinical=None,
    missing="refuse",
    sep=None,
    decimal=".",
    encoding=None,
    sheet=None,
    image_root=None,
    n_slices=9,
    size_px=None,
    fov_mm=200.0,
    slice_spacing_mm=None,
    further_images=(),
    allow_sequence=False,
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
    recipe : {"both", "small_cohort", "published"}, default="both"
        How the networks are trained, as in :func:`study_models`; with ``tune=True``, "both" trains the published ones
        only.
    variant : {"paper", "released"}, default=None
        Published parameters, as in :func:`study_models`.
    n_members : int, default=5
        Networks that are trained from different seeds in each fit.
    clinical : sequence of str or ClinicalColumn, default=None
        Clinical columns of the study, see :class:`Study`; texts as :func:`clinical_from_text` reads them are
        declarations.
    missing : {"refuse", "median", "indicator"}, default="refuse"
        What becomes of missing numbers; "refuse" refuses a table that has any.
    sep : str, default=None
        As in :func:`~sklearn_pspd.cohort.read_cohort`.
    decimal : {".", ","}, default="."
        As in :func:`~sklearn_pspd.cohort.read_cohort`.
    encoding : str, default=None
        As in :func:`~sklearn_pspd.cohort.read_cohort`.
    sheet : str, default=None
        As in :func:`~sklearn_pspd.cohort.read_cohort`.
    image_root : str or Path, default=None
        As in :func:`~sklearn_pspd.cohort.read_cohort`.
    n_slices : int, default=9
        Axial slices per patient, odd.
    size_px : int, default=None
        Rows and columns of a slice. None takes 256, for the synthetic cohort 32.
    fov_mm : float, default=200.0
        Side of the square field of view in mm.
    slice_spacing_mm : float, default=None
        Distance in mm between adjacent slices, as in :func:`study_models`.
    further_images : sequence of str, default=()
        Columns with the paths of further images of each patient, as in :func:`study_models`.
    allow_sequence : bool or collection of str, default=False
        Kinds of sequence that are read though they are not T1-weighted, as in :func:`study_models`.
    filters : tuple of int, default=None
        Filters of the convolution blocks in all networks. None takes those of the recipe; the published network of the
        synthetic cohort has (8, 16, 32) unless there is a `variant`.
    epochs : int, default=None
        Passes over the training patients; None takes those of the recipe, for the synthetic cohort 20.
    cv : int, default=None
        Folds; None takes 10, for the synthetic cohort 5.
    n_permutations : int, default=None
        Permutations of the negative control of every model. None takes none; for the synthetic cohort one, as in the
        paper, of the clinical model only, which trains within seconds.
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
    epochs = defaults["epochs"] if epochs is None and variant is None else epochs
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
    table = workspace / "cohort" / "cohort.csv" if synthetic else table
    reading = {"sep": sep, "decimal": decimal, "encoding": encoding, "sheet": sheet, "image_root": image_root}
    reading["further_images"] = further_images
    cohort, columns = read_study_table(table, clinical=clinical, missing=missing, **reading)

    # Only now, since it loads TensorFlow: a table with problems is refused at once.
    models = study_models(
        recipe="published" if settings.get("tune") and recipe == "both" and variant is None else recipe,
        variant=variant,
        n_members=n_members,
        n_slices=n_slices,
        size_px=size_px,
        fov_mm=fov_mm,
        slice_spacing_mm=slice_spacing_mm,
        further_images=further_images,
        allow_sequence=allow_sequence,
        memory=workspace / "stacks",
        random_state=random_state,
        n_jobs=n_jobs,
        **columns,
    )
    if synthetic and PUBLISHED in models:
        models[PUBLISHED].set_params(classifier__filters=SYNTHETIC_FILTERS)
    chosen = {"classifier__filters": filters, "classifier__epochs": epochs}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    for model in models.values():
        model.set_params(**{name: value for name, value in chosen.items() if name in model.get_params()})
    return Study(
        cohort,
        models,
        controlled=defaults.get("controlled") if n_permutations is None and variant is None else None,
        cv=defaults["cv"] if cv is None else cv,
        n_permutations=defaults["n_permutations"] if n_permutations is None else n_permutations,
        random_state=random_state,
        n_jobs=n_jobs,
        **columns,
        **settings,
    )


def read_study_table(table, *, clinical=None, missing="refuse", **reading):
    """Read the cohort table of a study.

    Parameters
    ----------
    table : path-like
        The cohort table.
    clinical : sequence of str or ClinicalColumn, default=None
        As in :func:`prepare_study`.
    missing : {"refuse", "median", "indicator"}, default="refuse"
        As in :func:`prepare_study`.
    **reading : dict
        Other parameters of :func:`~sklearn_pspd.cohort.read_cohort`.

    Returns
    -------
    cohort : DataFrame
        The table.
    columns : dict of str to object
        The parameters `clinical` and `missing` of :class:`Study`.

    Raises
    ------
    InputError
        If the table has problems, which are listed all at once.
    FileNotFoundError
        If there is no such table.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import make_cohort
    >>> from sklearn_pspd.study import read_study_table
    >>> with TemporaryDirectory() as folder:
    ...     _ = make_cohort(folder, 20, matrix_px=(48,), random_state=0)
    ...     cohort, columns = read_study_table(f"{folder}/cohort.csv", clinical=["age_years", "mgmt"])
    >>> columns
    {'clinical': ['age_years', 'mgmt'], 'missing': 'refuse'}
    """
    if clinical is not None:
        clinical = [clinical_from_text(item) if isinstance(item, str) else item for item in clinical]
    kept = "refuse" if missing == "refuse" else "keep"
    return read_cohort(table, clinical=clinical, missing=kept, **reading), {"clinical": clinical, "missing": missing}


def clinical_from_text(text):
    """Read the name or the declaration of a clinical column, as it is given on the command line.

    Parameters
    ----------
    text : str
        The name of a column of the paper, such as ``"age_years"``; a number with its range and unit, such as
        ``"kps:0..100:percent"``, or without a range, ``"volume::ml"``; or codes, such as ``"steroids:no=0,yes=1"``.

    Returns
    -------
    str or ClinicalColumn
        The name, or the declared column.

    Raises
    ------
    InputError
        If the text is none of these.

    Examples
    --------
    >>> from sklearn_pspd.study.preparation import clinical_from_text
    >>> clinical_from_text("kps:0..100:percent").range
    (0.0, 100.0)
    >>> clinical_from_text("steroids:no=0,yes=1").codes
    {'no': 0.0, 'yes': 1.0}
    """
    name, *declaration = text.split(":", maxsplit=2)
    if not declaration:
        return name
    values, unit = declaration[0], declaration[1] if len(declaration) > 1 else None
    try:
        if "=" in values:
            codes = dict(item.split("=") for item in values.split(","))
            return ClinicalColumn(name, unit=unit, codes={code: float(number) for code, number in codes.items()})
        low, high = values.split("..") if values else ("-inf", "inf")
        return ClinicalColumn(name, unit=unit, range=(float(low), float(high)) if values else None)
    except ValueError as error:
        raise InputError(
            f"clinical column {text!r}: write a name of the paper, NAME:LOW..HIGH:UNIT or NAME:CODE=NUMBER,CODE=NUMBER "
            f"({error})"
        ) from error


def _external_log(table, results):
    """Return the file that records uses of the held-out patients: beside their table or, if need be, in the results."""
    log = table.with_suffix(".external_uses.jsonl")
    return log if os.access(log if log.exists() else log.parent, os.W_OK) else results / log.name
