"""The three-model study from the command line: ``python -m sklearn_pspd``."""

import argparse
import logging
import math
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from sklearn_pspd.exceptions import InputError

# The synthetic cohort gets a network that learns it within minutes; a cohort of yours the paper's.
PHANTOM_DEFAULTS = {"folds": 5, "size_px": 48, "filters": (8, 16, 32), "permutations": 1}
PHANTOM_NETWORK = {"pooling": "average", "optimizer": "adam", "learning_rate": 3e-3}
COHORT_DEFAULTS = {"folds": 10, "size_px": 256, "filters": (64, 128, 256), "permutations": 0}
SYNTHETIC_TITLE = "Synthetic cohort: these figures say nothing about patients"


def main(arguments=None):
    """Run the study.

    Parameters
    ----------
    arguments : list of str, default=None
        The command line; None reads that of the process.

    Returns
    -------
    int
        0, or 2 after bad input.
    """
    options = _parse(arguments)
    workspace = Path(tempfile.mkdtemp(prefix="sklearn_pspd-"))
    try:
        return _run(options, workspace)
    except (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError, PermissionError) as error:
        if options.traceback:
            raise
        _say(f"error: {error}")
        return 2
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def _parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m sklearn_pspd",
        description="Validate and compare the three models of Jang et al. (2018) on a cohort table, or on a synthetic "
        "cohort when none is given. Research software, not a medical device.",
    )
    add = parser.add_argument
    add("cohort", nargs="?", type=Path, help="cohort table (.csv); without it a synthetic cohort is made")
    add("--out", type=Path, default=Path("pspd-study"), metavar="DIR", help="folder of the results (pspd-study)")
    add("--patients", type=_at_least(20), default=78, metavar="N", help="patients of the synthetic cohort (78)")
    add("--test-site", metavar="SITE", help="site held out as the external set (the one with the fewest patients)")
    add("--folds", type=_at_least(2), metavar="N", help="folds of the cross-validation (10; synthetic 5)")
    add("--epochs", type=_at_least(1), default=25, metavar="N", help="passes over the training patients (25)")
    add("--slices", type=_at_least(1), default=9, metavar="N", help="axial slices a patient, odd (9)")
    add("--size-px", type=_at_least(8), metavar="N", help="rows and columns of a slice (256; synthetic 48)")
    add(
        "--filters",
        type=_at_least(1),
        nargs="+",
        metavar="N",
        help="filters of the convolution blocks (64 128 256; synthetic 8 16 32)",
    )
    add("--tune", action="store_true", help="tune networks as the paper does, inside each training fold (hours)")
    add(
        "--permutations",
        type=_at_least(0),
        metavar="N",
        help="scrambled arrangements of the negative control (0; synthetic 1, as in the paper)",
    )
    add("--seed", type=int, default=0, metavar="N", help="seed of everything random (0)")
    add("--jobs", type=int, default=1, metavar="N", help="fits at once, in processes (1)")
    add("--traceback", action="store_true", help="show where an error was raised")
    options = parser.parse_args(arguments)
    if options.slices % 2 == 0:
        parser.error(f"--slices is odd, since the middle one shows the lesion; got {options.slices}")
    for name, value in (PHANTOM_DEFAULTS if options.cohort is None else COHORT_DEFAULTS).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def _at_least(low):
    def number(text):
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is below {low}")
        return value

    return number


def _run(options, workspace):
    from sklearn_pspd.cohort.table import read_cohort, split_xy

    synthetic = options.cohort is None
    cohort = _make_phantom(options, workspace) if synthetic else read_cohort(options.cohort)
    training, external, site = _split_sites(cohort, options)
    options.out.mkdir(parents=True, exist_ok=True)
    _send_native_messages_to(options.out / "tensorflow.log")

    title = SYNTHETIC_TITLE if synthetic else None
    models = _make_models(options, workspace)
    _describe(training, external, models, options.out, title)
    X, y = split_xy(training)
    X_test, y_test = split_xy(external) if external is not None else (None, None)
    if options.tune:
        _tune(models, X, y, options, title)
    _compare(models, X, y, X_test, y_test, options, title)
    if options.permutations:
        _scramble(models, X, y, options, title)
    held_out = f", held out: site {site}" if site is not None else ", one site only, so no external set"
    print(f"{len(training)} training patients{held_out}. Results are in {options.out}{os.sep}")
    return 0


def _describe(training, external, models, folder, title):
    """Read every image once, and say what the cohort is; of held-out outcomes only the numbers are looked at."""
    import pandas as pd

    from sklearn_pspd.cohort.table import split_xy
    from sklearn_pspd.model_selection import audit_leaks
    from sklearn_pspd.reporting.text import cohort_text
    from sklearn_pspd.statistics import characteristics_table

    cohort = pd.concat([training, external])
    _say(f"reading {len(cohort)} images")
    loader = models["MRI alone"]["features"].transformers[0][1]["load"]
    X_test, y_test = split_xy(external) if external is not None else (None, None)
    findings = audit_leaks(*split_xy(training), X_test=X_test, loader=loader)
    findings.to_csv(folder / "leaks.csv", index=False)
    described = training if len(set(training["site"])) > 1 else training.drop(columns="site")
    tables = {"Training patients by outcome": characteristics_table(described)}
    if external is not None:
        tables["All patients by site"] = characteristics_table(cohort, by="site")
    (folder / "characteristics.txt").write_text(
        "\n\n\n".join([*([title] if title else []), *(f"{name}\n\n{table}" for name, table in tables.items())]) + "\n",
        encoding="utf-8",
    )
    print(cohort_text(findings, tables, split_xy(training)[1], y_test, title=title))


def _tune(models, X, y, options, title):
    """Tune model 1 on all training patients, to show its values; from then on every fit of a network tunes."""
    from sklearn_pspd.model_selection import LadderSearchCV, tune_ladder
    from sklearn_pspd.reporting.text import ladder_text, write_ladder

    settings = {"max_epochs": 2 * options.epochs, "random_state": options.seed, "n_jobs": options.jobs}
    ladder = tune_ladder(models["MRI + clinical"], X, y, on_progress=_progress("tuning"), **settings)
    for name in ("MRI + clinical", "MRI alone"):
        progress = _progress(f"tuning inside a fold, {name}")
        models[name] = LadderSearchCV(models[name], on_progress=progress, **settings)
    print(ladder_text(ladder))
    write_ladder(ladder, options.out, title=title)


def _compare(models, X, y, X_test, y_test, options, title):
    from sklearn_pspd.model_selection import compare_models
    from sklearn_pspd.reporting.text import comparison_text, write_comparison

    comparison = compare_models(
        models,
        X,
        y,
        cv=options.folds,
        X_test=X_test,
        y_test=y_test,
        external_log=_external_log(options),
        random_state=options.seed,
        n_jobs=_outer_jobs(options),
        on_progress=_progress("validation"),
    )
    # Hours of training are in it: before anything else can fail.
    comparison.scores.to_csv(options.out / "scores.csv", index=False)
    print(comparison_text(comparison, title=title))
    write_comparison(comparison, options.out, title=title)


def _external_log(options):
    """Return the file that remembers uses of the held-out patients, beside their table; None for synthetic ones."""
    if options.cohort is None:
        return None
    log = options.cohort.with_suffix(".external_uses.jsonl")
    if os.access(log if log.exists() else log.parent, os.W_OK):
        return log
    _say(f"{log} cannot be written; uses of the held-out patients are remembered in {options.out} only")
    return options.out / log.name


def _outer_jobs(options):
    """Return how many fits of the protocol go at once; a tuning spreads its own fits over the processes instead."""
    return 1 if options.tune else options.jobs


def _scramble(models, X, y, options, title):
    from sklearn_pspd.model_selection import negative_control
    from sklearn_pspd.reporting.text import controls_text, write_controls

    controls = {
        name: negative_control(
            model,
            X,
            y,
            n_permutations=options.permutations,
            cv=options.folds,
            random_state=options.seed,
            n_jobs=_outer_jobs(options),
            on_progress=_progress(f"negative control, {name}"),
        )
        for name, model in models.items()
    }
    print(controls_text(controls))
    write_controls(controls, options.out, title=title)


def _progress(what):
    started = time.monotonic()

    def report(done, total, detail):
        minutes, seconds = divmod(int(time.monotonic() - started), 60)
        _say(f"[{done:>{len(str(total))}}/{total}] {minutes}:{seconds:02d}  {what}: {detail}")

    return report


def _make_phantom(options, workspace):
    from sklearn_pspd.cohort.table import read_cohort
    from sklearn_pspd.datasets import make_cohort

    _say(f"writing a synthetic cohort of {options.patients} patients")
    # Finer than the network's pixels, so that resampling has something to do.
    side = max(128, 2 * options.size_px)
    make_cohort(
        workspace / "cohort",
        options.patients,
        matrix_px=(side, side + side // 4),
        n_native_slices=options.slices + 8,
        random_state=options.seed,
    )
    return read_cohort(workspace / "cohort" / "cohort.csv")


def _split_sites(cohort, options):
    counts = cohort["site"].value_counts()
    site = options.test_site
    if site is None and len(counts) > 1:
        site = counts.index[-1]
    if site is not None and site not in counts.index:
        raise InputError(f"--test-site {site}: no such site; the table has {', '.join(map(repr, counts.index))}")
    is_external = cohort["site"] == site
    training, external = cohort[~is_external], cohort[is_external] if site is not None else None
    # A tuning has five folds of its own inside the others.
    in_training = math.ceil(5 * options.folds / (options.folds - 1)) if options.tune else options.folds
    for name, part, needed in (("training", training, max(options.folds, in_training)), ("held-out", external, 1)):
        few = [] if part is None else [c for c in ("PD", "PsPD") if (part["outcome"] == c).sum() < needed]
        if few:
            raise InputError(
                f"the {name} patients hold {(part['outcome'] == few[0]).sum()} with {few[0]}; at least {needed} are "
                "needed (see --folds, --tune and --test-site)"
            )
    return training, external, site


def _make_models(options, workspace):
    from joblib import Memory

    from sklearn_pspd.neural_network.classifier import CNNLSTMClassifier
    from sklearn_pspd.pipelines import make_clinical_pipeline, make_fusion_pipeline, make_image_pipeline

    network = CNNLSTMClassifier(filters=options.filters, epochs=options.epochs, random_state=options.seed)
    if options.cohort is None:
        network.set_params(**PHANTOM_NETWORK)
    images = {
        "n_slices": options.slices,
        "size_px": options.size_px,
        "memory": Memory(workspace / "stacks", verbose=0),
        "n_jobs": options.jobs,
    }
    return {
        "MRI + clinical": make_fusion_pipeline(network, **images),
        "MRI alone": make_image_pipeline(network, **images),
        "clinical alone": make_clinical_pipeline(random_state=options.seed),
    }


def _send_native_messages_to(path):
    """Keep the terminal for our own lines: what TensorFlow's C++ code writes to stderr goes to a file."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if sys.stderr is not sys.__stderr__:  # already done, or captured by a test
        return
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    with path.open("wb") as log:
        os.dup2(log.fileno(), 2)


def _say(line):
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
