"""The study from the command line: ``pspd`` or ``python -m sklearn_pspd``."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from . import __version__
from .exceptions import InputError

COMMANDS = ("study", "check", "pick")


def main(arguments=None):
    """Run a command; without one, the study.

    Parameters
    ----------
    arguments : list of str, default=None
        The command line; None reads that of the process.

    Returns
    -------
    int
        Exit status: 0; 2 after bad input or if a file cannot be read or written; 130 if interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] not in (*COMMANDS, "-h", "--help", "--version"):
        arguments.insert(0, "study")
    options = vars(_parser().parse_args(arguments))
    run, traceback = options.pop("run"), options.pop("traceback")
    try:
        with tempfile.TemporaryDirectory(prefix="sklearn_pspd-", ignore_cleanup_errors=True) as workspace:
            run(workspace=Path(workspace), **options)
    except (InputError, OSError) as error:
        if traceback:
            raise
        _say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        _say("interrupted; what was complete is in the folder of the results")
        return 130
    return 0


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


def _check(*, table, contact_sheet, workspace, **options):  # noqa: ARG001  every command gets a workspace
    from .study import Study, read_study_table

    cohort, columns = read_study_table(table, **options)
    if contact_sheet is not None:
        from .reporting import write_contact_sheet

        # Before the images are checked: it shows those that can be loaded, and why others cannot.
        write_contact_sheet(contact_sheet, cohort)
        _say(f"the slices of all patients are in {contact_sheet}")
    print(Study(cohort, cv=2, **columns).describe())


def _pick(*, table, workspace, idle_minutes, **options):  # noqa: ARG001  every command gets a workspace
    from .intake import pick_slices, slice_agreement

    def ready(address):
        _say(f"Open {address} on this computer")
        _say(f"It ends when the page is closed, by Finish, or after {idle_minutes:g} minutes without input")

    picks = pick_slices(table, idle_minutes=idle_minutes, on_ready=ready, **options)
    record = table.with_suffix(".picks.csv")
    latest = picks.drop_duplicates(["patient_id", "reader"], keep="last")
    for reader, own in latest.groupby("reader", sort=False):
        print(
            f"{reader}: {(~own['cannot_tell']).sum()} slices, cannot tell {own['cannot_tell'].sum()} times ({record})"
        )
    if latest["reader"].nunique() > 1:
        print(slice_agreement(picks).to_string(index=False, float_format="{:.2f}".format))


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
    sheet = "write the slices of all patients to one HTML page, with what was found about them"
    check.add_argument("--contact-sheet", type=Path, metavar="FILE", help=sheet)
    check.set_defaults(run=_check)
    pick = commands.add_parser("pick", help="pick the lesion's slice of each patient in the browser")
    pick.add_argument(
        "table", type=Path, metavar="cohort", help="cohort table as text (.csv), with or without positions"
    )
    pick.set_defaults(run=_pick)
    study.set_defaults(run=_study)
    _add_study_options(study.add_argument)
    _add_pick_options(pick.add_argument)
    for command in (study, check):
        _add_table_options(command.add_argument)
    for command in (study, check, pick):
        _add_text_options(command.add_argument)
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
    add("--sheet", metavar="NAME", help="sheet of a workbook (the one that has a column patient_id)")


def _add_text_options(add):
    add("--sep", metavar="CHAR", help="separator of the table (found from its header)")
    add("--decimal", choices=(".", ","), default=".", help="decimal mark of the table (.)")
    add("--encoding", metavar="NAME", help="encoding of the table (UTF-8)")


def _add_pick_options(add):
    add("--reader", metavar="NAME", help="name or initials of the reader, for the record (the user of this computer)")
    add("--replace", action="store_true", help="replace positions that the table has already")
    add("--port", type=_at_least(0), default=0, metavar="N", help="port of the page (a free one)")
    add("--no-browser", dest="open_browser", action="store_false", help="do not open the page, only print its address")
    idle = "minutes without input after which it ends (30)"
    add("--idle-minutes", type=_at_least(1), default=30, metavar="N", help=idle)


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
