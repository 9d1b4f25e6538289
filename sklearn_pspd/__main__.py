"""The study from the command line: ``pspd`` or ``python -m sklearn_pspd``."""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from . import __version__
from .exceptions import InputError

COMMANDS = ("study", "check")
# Ctrl-C, the end of a job of a cluster, and a terminal that is closed; Windows has no SIGHUP.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def main(arguments=None):
    """Run a command; without one, the study.

    Parameters
    ----------
    arguments : list of str, default=None
        The command line; None reads that of the process.

    Returns
    -------
    int
        Exit status: 0; 2 after bad input or if a file cannot be read or written; 130 if interrupted, 143 if terminated
        and 129 if the terminal was closed (128 and the number of the signal). Temporary files, among them decoded
        images, are removed and processes ended in all of these cases.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] not in (*COMMANDS, "-h", "--help", "--version"):
        arguments.insert(0, "study")
    options = vars(_parser().parse_args(arguments))
    run, traceback = options.pop("run"), options.pop("traceback")
    received = []
    try:
        with _signals_end(received), _temporary_folder() as workspace:
            run(workspace=workspace, **options)
    except (KeyboardInterrupt, SystemExit):
        return _stopped(received)
    except Exception as error:
        # A process that ended by the same signal as this one can be missed before the signal arrives here.
        if received:
            return _stopped(received)
        if traceback or not isinstance(error, (InputError, OSError)):
            raise
        _say(f"error: {error}")
        return 2
    return 0


@contextlib.contextmanager
def _signals_end(received):
    """Let signals end the block as Ctrl-C does, once, so that what follows can clean up; their numbers are received."""

    def end(number, _):
        received.append(number)
        for each in earlier:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    # Only the main thread may set handlers. What was ignored before, as by nohup, remains so.
    is_main = threading.current_thread() is threading.main_thread()
    earlier = {number: signal.getsignal(number) for number in SIGNALS if is_main}
    earlier = {number: handler for number, handler in earlier.items() if handler not in (signal.SIG_IGN, None)}
    for number in earlier:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _temporary_folder():
    """Yield a temporary folder; after an error, the processes that use it are ended before it is removed."""
    with tempfile.TemporaryDirectory(prefix="sklearn_pspd-", ignore_cleanup_errors=True) as folder:
        try:
            yield Path(folder)
        except BaseException:
            # Only if processes were started; joblib keeps them for later fits.
            if "joblib.externals.loky" in sys.modules:
                from joblib.externals.loky import get_reusable_executor

                get_reusable_executor(reuse=True, kill_workers=True).shutdown(wait=True, kill_workers=True)
            raise


def _stopped(received):
    _say("interrupted; what was complete is in the folder of the results")
    return 128 + (received[0] if received else signal.SIGINT)


def _study(*, out, table, **options):
    from .neural_network.messages import native_messages_to
    from .study import prepare_study

    out.mkdir(parents=True, exist_ok=True)
    with native_messages_to(out / "tensorflow.log"):
        _say(f"reading {table}" if table else f"writing a synthetic cohort of {options['n_patients']} patients")
        study = prepare_study(table, results=out, **options)
        _say(f"reading {len(study.cohort)} images")
        print(study.describe())
        print(study.run(out, on_progress=_progress()).report(cohort=False))
    print(f"{study.summary()}. Results are in {out}{os.sep}")


def _check(*, table, workspace, **options):  # noqa: ARG001  every command gets a workspace
    from .study import Study, read_study_table

    cohort, columns = read_study_table(table, **options)
    print(Study(cohort, cv=2, **columns).describe())


def _parser():
    parser = argparse.ArgumentParser(
        prog="pspd",
        description="Validate and compare the three models of Jang et al. (2018) on a cohort table, or on a synthetic "
        "cohort if none is given. Research software, not a medical device.",
        epilog="Without a command, the study is run: pspd cohort.csv is short for pspd study cohort.csv.",
    )
    parser.add_argument("--version", action="version", version=f"sklearn_pspd {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    study = commands.add_parser("study", help="run the study", description=parser.description)
    check = commands.add_parser("check", help="check a cohort table and its images, without training")
    check.add_argument("table", type=Path, metavar="cohort", help="cohort table (.csv, .xlsx, .ods)")
    check.set_defaults(run=_check)
    study.set_defaults(run=_study)
    _add_study_options(study.add_argument)
    for command in (study, check):
        _add_table_options(command.add_argument)
    for command in (study, check):
        command.add_argument("--traceback", action="store_true", help="show where an error was raised")
    return parser


def _add_study_options(add):
    add(
        "table",
        nargs="?",
        type=Path,
        metavar="cohort",
        help="cohort table (.csv, .xlsx, .ods); without it, a synthetic cohort",
    )
    add("--out", type=Path, default=Path("pspd-study"), metavar="DIR", help="folder of the results (pspd-study)")
    add("--patients", dest="n_patients", type=_at_least(20), default=78, metavar="N", help="synthetic patients (78)")
    add("--test-site", metavar="SITE", help="site held out as the external set (the one with the fewest patients)")
    recipes = "training of the networks: for small cohorts, as published, or both (both)"
    add("--recipe", choices=("both", "small_cohort", "published"), default="both", help=recipes)
    members = "networks per fit, trained from different seeds (5)"
    add("--members", dest="n_members", type=_at_least(1), default=5, metavar="N", help=members)
    add("--variant", choices=("paper", "released"), help="published parameters: as printed, or of the released script")
    add("--folds", dest="cv", type=_at_least(2), metavar="N", help="folds of the cross-validation (10; synthetic 5)")
    add("--repeats", dest="n_repeats", type=_at_least(1), default=1, metavar="N", help="repeats of the folds (1)")
    add(
        "--epochs",
        type=_at_least(1),
        metavar="N",
        help="passes over the training data (of the recipe; synthetic 20)",
    )
    add("--slices", dest="n_slices", type=_odd, default=9, metavar="N", help="axial slices per patient, odd (9)")
    add("--size-px", type=_at_least(8), metavar="N", help="rows and columns of a slice (256; synthetic 32)")
    filters = "filters of the convolution blocks (of the recipe)"
    add("--filters", type=_at_least(1), nargs="+", metavar="N", help=filters)
    add("--tune", action="store_true", help="tune the networks as in the paper, inside each training fold (hours)")
    permutations = "permutations of the negative control (0; synthetic 1, as in the paper)"
    add("--permutations", dest="n_permutations", type=_at_least(0), metavar="N", help=permutations)
    add("--seed", dest="random_state", type=int, default=0, metavar="N", help="seed of everything random (0)")
    add("--jobs", dest="n_jobs", type=int, default=1, metavar="N", help="fits that run in parallel (1)")


def _add_table_options(add):
    clinical = "clinical columns (those of the paper); others as NAME:LOW..HIGH:UNIT or NAME:CODE=NUMBER,CODE=NUMBER"
    add("--clinical", nargs="+", metavar="COLUMN", help=clinical)
    missing = "missing numbers: refused, or replaced by the median of the training fold, without or with an indicator"
    add("--missing", choices=("refuse", "median", "indicator"), default="refuse", help=missing)
    add("--sep", metavar="CHAR", help="separator of the table (found from its header)")
    add("--decimal", choices=(".", ","), default=".", help="decimal mark of the table (.)")
    add("--encoding", metavar="NAME", help="encoding of the table (UTF-8)")
    add("--sheet", metavar="NAME", help="sheet of a workbook (the one that has a column patient_id)")


def _at_least(low):
    def number(text):
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is below {low}")
        return value

    return number


def _odd(text):
    value = _at_least(1)(text)
    if value % 2 == 0:
        raise argparse.ArgumentTypeError(f"{value} is even; the middle one of an odd number shows the lesion")
    return value


def _progress():
    started = time.monotonic()

    def report(done, total, detail):
        minutes, seconds = divmod(int(time.monotonic() - started), 60)
        _say(f"[{done:>{len(str(total))}}/{total}] {minutes}:{seconds:02d}  {detail}")

    return report


def _say(line):
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
