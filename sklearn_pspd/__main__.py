"""The study from the command line: ``pspd`` or ``python -m sklearn_pspd``."""

import argparse
import ast
import contextlib
import difflib
import os
import re
import shlex
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from . import __version__
from .exceptions import InputError, UnfinishedError

COMMANDS = ("study", "check", "pick", "predict")
# What remains of a command that is interrupted.
REMAINS = {
    "study": "; what was complete is in the folder of the results: the same command goes on from there",
    "pick": "; every pick was written at once",
}
# A setting of Python in a message, such as encoding='cp949' or sheet=2.
SETTING = r"\b{}=(\[[^\]]*\]|'[^']*'|\"[^\"]*\"|[\w.]+)"
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
    parser, commands = _parser()
    if not arguments or arguments[0] not in (*COMMANDS, "-h", "--help", "--version"):
        arguments.insert(0, "study")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(_advice_on_unknown(arguments, unknown, str(getattr(options, "table", ""))))
    options = vars(options)
    run, traceback = options.pop("run"), options.pop("traceback")
    received = []
    try:
        with _signals_end(received), _temporary_folder() as workspace:
            run(workspace=workspace, **options)
    except (KeyboardInterrupt, SystemExit):
        return _stopped(received, arguments[0])
    except Exception as error:
        # A process that ended by the same signal as this one can be missed before the signal arrives here.
        if received:
            return _stopped(received, arguments[0])
        if traceback or not isinstance(error, (InputError, OSError)):
            raise
        _say(f"error: {_by_options(str(error), commands[arguments[0]])}")
        return 2
    return 0


def _advice_on_unknown(arguments, unknown, table):
    """Say what is wrong with arguments that no option takes; `table` may be a command that was not the first word."""
    if table in COMMANDS:
        others = [word for word in arguments[1:] if word != table]
        return f"options follow the command: {shlex.join(['pspd', table, *others])}"
    text = f"unrecognized arguments: {shlex.join(unknown)}"
    meant = difflib.get_close_matches(table, COMMANDS, n=1, cutoff=0.7)
    return f"there is no command {table!r}; did you mean {meant[0]!r}?" if meant else text


def _by_options(text, command):
    """Return a message with options of the command in the place of the settings of Python that do the same."""
    from .cohort.table import ADVICE_ON_MISSING

    if any("--missing" in action.option_strings for action in command._actions):
        text = text.replace(ADVICE_ON_MISSING, "--missing median or --missing indicator replaces missing numbers")
    for action in command._actions:
        option = action.option_strings[-1] if action.option_strings else None
        if option is None or action.dest == "help":
            continue

        def as_option(match, action=action, option=option):
            try:
                value = ast.literal_eval(match[1])
            except (ValueError, SyntaxError):
                return match[0]
            if isinstance(value, bool):
                return option if value and action.nargs == 0 else match[0]
            values = [str(each) for each in (value if isinstance(value, list) else [value])]
            if action.choices is not None and not set(values) <= set(action.choices):
                return match[0]
            return f"{option} {shlex.join(values)}"

        text = re.sub(SETTING.format(action.dest), as_option, text)
        text = re.sub(rf"\bby {action.dest}\b", f"by {option}", text)
    return text


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


def _stopped(received, command):
    _say(f"interrupted{REMAINS.get(command, '')}")
    return 128 + (received[0] if received else signal.SIGINT)


def _study(*, out, table, resume, overwrite, share, tables, inspect, **options):
    from .neural_network.messages import native_messages_to
    from .study import prepare_study

    if table is None and not overwrite:
        _refuse_forgotten_table(out, resume)
    out.mkdir(parents=True, exist_ok=True)
    with native_messages_to(out / "tensorflow.log"):
        _say(f"reading {table}" if table else f"writing a synthetic cohort of {options['n_patients']} patients")
        study = prepare_study(table, results=out, **options)
        # A folder of another study is refused before the images are read.
        opened = study.open_folder(out, resume=resume, overwrite=overwrite, command=_command())
        _say(f"reading {len(study.cohort)} images")
        print(study.describe())
        try:
            result = study.run(out, share=share, on_progress=_progress())
        except UnfinishedError as error:
            print(f"Share {share[0]} of {share[1]} is complete; {error.n_missing} fits of other shares are missing.")
            return
        print(result.report(cohort=False))
        with opened.writing() as folder:
            if tables:
                from .reporting import write_tables

                write_tables(result, folder, formats=tables)
            if inspect:
                _write_inspection(study, result, folder)
    if n_identifiers := opened.read()["n_identifiers"]:
        print(f"{n_identifiers} places in the results may identify patients or folders: {out / 'identifiers.csv'}")
    print(f"{study.summary()}. Results are in {out}{os.sep}")


def _refuse_forgotten_table(out, resume):
    """Refuse a synthetic study in the folder of a study with a table, before its cohort is written."""
    from .study.folder import StudyFolder

    record = StudyFolder(out).read() if out.is_dir() else None
    if record is None and resume:
        raise InputError(f"{out}: there is no study to resume; leave out --resume")
    if record is not None and (command := record.get("command")):
        # A command of another version may be refused.
        with contextlib.suppress(SystemExit), contextlib.redirect_stderr(None):
            arguments = shlex.split(command)[1:]
            arguments = arguments if arguments[:1] == ["study"] else ["study", *arguments]
            if _parser()[0].parse_args(arguments).table is not None:
                raise InputError(
                    f"{out} holds the study of a table; to go on with it, give the same command: {command}"
                )


def _write_inspection(study, result, folder):
    """Inspect the released model on the patients who trained it, and print and save what it depends on."""
    from .inspection import inspect_model
    from .reporting import inspection_text, write_inspection

    name, model = next(iter(result.models_.items()))
    _say(f"inspecting {name}")
    inspection = inspect_model(model, study.X, study.y, random_state=study.random_state)
    print(f"Inspection of {name}\n\n{inspection_text(inspection)}")
    write_inspection(inspection, folder, title=result.title)


def _command():
    """Return the command line for the record of the study, in which folders are no one's business."""
    return shlex.join(["pspd", *(Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:])])


def _check(*, table, contact_sheet, workspace, n_slices, fov_mm, slice_spacing_mm, **options):
    from .baselines import COMPONENTS, baseline_models
    from .study import Study, read_study_table
    from .study.preparation import COHORT_DEFAULTS

    images = {"n_slices": n_slices, "fov_mm": fov_mm, "slice_spacing_mm": slice_spacing_mm}
    images |= {"allow_sequence": options.pop("allow_sequence"), "memory": str(workspace / "stacks")}
    images["further_images"] = options["further_images"]
    cohort, columns = read_study_table(table, **options)
    # A model that reads images without a network; nothing is trained.
    study = Study(cohort, baseline_models([COMPONENTS], **columns, **images), cv=2, **columns)
    if contact_sheet is not None:
        # Before the images are checked: it shows those that can be loaded, and why others cannot.
        study.write_contact_sheet(contact_sheet)
        _say(f"the slices of all patients are in {contact_sheet}")
    print(study.describe())
    fewest = min(int((study.y == outcome).sum()) for outcome in (0, 1))
    if fewest < COHORT_DEFAULTS["cv"]:
        _say(f"{fewest} training patients have the rarer outcome: a study needs --folds {fewest} or fewer")
    _say(study.summary() if study.held_out_site is None else f"{study.summary()} (--test-site of pspd study: another)")


def _predict(*, workspace, model, sources, out, values, further, patient_id, **options):
    from .release import load_model, write_predictions
    from .release.command import patients_of, predictions_text, without_messages

    reading = {name: options.pop(name) for name in ("sep", "decimal", "encoding", "sheet", "image_root")}
    of_one = {"values": values, "further": further, "patient_id": patient_id, "position": options}
    with without_messages(model, workspace):
        released = load_model(model)
        patients, notes = patients_of(released, sources, workspace=workspace, **of_one, **reading)
        predictions = write_predictions(released, patients, out, notes=notes)
    print(predictions_text(released, predictions, notes=notes))
    print(f"Tables and one page per patient are in {out}{os.sep}")


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
        description="Validate and compare the models of Jang et al. (2018), networks that are trained for small "
        "cohorts, and baselines, on a cohort table, or on a synthetic cohort if none is given. Research software, not "
        "a medical device.",
        epilog="Without a command, the study is run: pspd cohort.csv is short for pspd study cohort.csv.",
    )
    parser.add_argument("--version", action="version", version=f"sklearn_pspd {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    usage = "pspd study [cohort] [options]"
    study = commands.add_parser("study", help="run the study", description=parser.description, usage=usage)
    check = commands.add_parser(
        "check",
        usage="pspd check cohort [options]",
        help="check a cohort table and its images, without training",
        description="Check a cohort table and its images without training: problems, leakage, patients, and what their "
        "number allows. The same site is held out as in a study.",
    )
    check.add_argument("table", type=Path, metavar="cohort", help="cohort table (.csv, .xlsx, .ods)")
    sheet = "write the slices of all patients to one HTML page, with what was found about them"
    check.add_argument("--contact-sheet", type=Path, metavar="FILE", help=sheet)
    check.set_defaults(run=_check)
    pick = commands.add_parser(
        "pick",
        usage="pspd pick cohort [options]",
        help="pick the lesion's slice of each patient in the browser",
        description="Pick the slice that shows the lesion of each patient best, in a page of this computer's browser. "
        "Each pick is written at once: to lesion_slice of the table, and to a record beside it (.picks.csv).",
    )
    pick.add_argument(
        "table", type=Path, metavar="cohort", help="cohort table as text (.csv), with or without positions"
    )
    pick.set_defaults(run=_pick)
    study.set_defaults(run=_study)
    predict = commands.add_parser(
        "predict",
        usage="pspd predict model [patients] [options]",
        help="predict new patients by a released model",
        description="Predict new patients by a released model: those of a cohort table, or one patient from the DICOM "
        "folder of one study, the clinical values and the position of the lesion. Research software, not a medical "
        "device.",
        epilog="Example: pspd predict results/models/released dicom/study --lesion-slice 41 --set age_years=56",
    )
    predict.set_defaults(run=_predict)
    _add_predict_options(predict.add_argument)
    _add_study_options(study.add_argument)
    _add_pick_options(pick.add_argument)
    for command in (study, check):
        _add_image_options(command.add_argument)
        _add_table_options(command.add_argument)
    _add_text_options(pick.add_argument)
    for command in (study, check, pick, predict):
        command.add_argument("--traceback", action="store_true", help="show where an error was raised")
    return parser, dict(zip(COMMANDS, (study, check, pick, predict), strict=True))


def _add_study_options(add):
    add(
        "table",
        nargs="?",
        type=Path,
        metavar="cohort",
        help="cohort table (.csv, .xlsx, .ods); without it, a synthetic cohort",
    )
    add("--out", type=Path, default=Path("pspd-study"), metavar="DIR", help="folder of the results (pspd-study)")
    inspect = (
        "contributions, shortcut tests and worst-predicted patients of the released model, on its training patients"
    )
    add("--inspect", action="store_true", help=inspect)
    tables = "tables of the report for manuscripts, in these formats (none)"
    add("--tables", **SEVERAL, choices=("md", "tex", "xlsx", "docx"), default=[], metavar="FORMAT", help=tables)
    add("--resume", action="store_true", help="refuse to begin: the study in the folder of the results must be there")
    add("--overwrite", action="store_true", help="remove what a study wrote to the folder of the results before")
    shares = "run the I-th of N shares of the fits, for array jobs; run without it afterwards to collect the results"
    add("--task", dest="share", type=_share, metavar="I/N", help=shares)
    add("--patients", dest="n_patients", type=_at_least(20), default=78, metavar="N", help="synthetic patients (78)")
    add("--test-site", metavar="SITE", help="site held out as the external set (the one with the fewest patients)")
    trial = "for trial runs: hold the site out, but do not score on it; without this option, the same study then does"
    add("--no-external-scores", dest="score_external", action="store_false", help=trial)
    recipes = "training of the networks: for small cohorts, as published, or both (both)"
    add("--recipe", choices=("both", "small_cohort", "published"), default="both", help=recipes)
    members = "networks per fit, trained from different seeds (5)"
    add("--members", dest="n_members", type=_at_least(1), default=5, metavar="N", help=members)
    variant = "published parameters: as printed in the paper, or of the script that its authors released (as printed)"
    add("--variant", choices=("paper", "released"), help=variant)
    add("--folds", dest="cv", type=_at_least(2), metavar="N", help="folds of the cross-validation (10; synthetic 5)")
    add("--repeats", dest="n_repeats", type=_at_least(1), default=1, metavar="N", help="repeats of the folds (1)")
    add(
        "--epochs",
        type=_at_least(1),
        metavar="N",
        help="passes over the training data (of the recipe; synthetic 20)",
    )
    add("--size-px", type=_at_least(8), metavar="N", help="rows and columns of a slice (256; synthetic 32)")
    filters = "filters of the convolution blocks (of the recipe)"
    add("--filters", **SEVERAL | {"type": _filter}, metavar="N", help=filters)
    add("--tune", action="store_true", help="tune the networks as in the paper, inside each training fold (hours)")
    permutations = "permutations of the negative control (0; synthetic 1, as in the paper)"
    add("--permutations", dest="n_permutations", type=_at_least(0), metavar="N", help=permutations)
    add("--seed", dest="random_state", type=int, default=0, metavar="N", help="seed of everything random (0)")
    add("--jobs", dest="n_jobs", type=int, default=1, metavar="N", help="fits that run in parallel (1)")


def _add_image_options(add):
    add("--slices", dest="n_slices", type=_odd, default=9, metavar="N", help="axial slices per patient, odd (9)")
    spacing = "interpolate slices to this distance, so that all stacks span the same length (slices of the image)"
    add("--slice-spacing-mm", type=_above_zero, metavar="MM", help=spacing)
    fov = "side of the square field of view (200)"
    add("--fov-mm", type=_above_zero, default=200.0, metavar="MM", help=fov)
    allowed = "kinds of sequence that are read though they are not T1-weighted, for example FLAIR; all for any"
    further = "columns of further images of each patient, on the grid of the image; they become channels"
    add("--further-images", **SEVERAL, default=(), metavar="COLUMN", help=further)
    add("--allow-sequence", **SEVERAL, action=_Kinds, default=False, metavar="KIND", help=allowed)


def _add_predict_options(add):
    add("model", type=Path, help="folder of a released model: models/released of a study, or what export_model wrote")
    sources = "cohort table (.csv, .xlsx, .ods), or the DICOM folder or NIfTI file of one patient"
    add("sources", nargs="*", type=Path, metavar="patients", help=f"{sources}; none for a clinical model")
    add("--out", type=Path, default=Path("pspd-predict"), metavar="DIR", help="folder of the results (pspd-predict)")
    add("--set", dest="values", **SEVERAL, default=[], metavar="COLUMN=VALUE", help="clinical values of one patient")
    further = "further images of one patient, if the model reads any"
    add("--further", **SEVERAL, default=[], metavar="COLUMN=FILE", help=further)
    add("--id", dest="patient_id", default="new", metavar="ID", help="how results name one patient (new)")
    add("--lesion-slice", type=int, metavar="N", help="axial slice that shows the lesion best, 0 at the feet")
    instance = "or the number of this image in its series, which DICOM viewers show (InstanceNumber)"
    add("--lesion-instance", type=int, metavar="N", help=instance)
    add("--lesion-z-mm", type=float, metavar="Z", help="or its height in scanner coordinates, in mm towards the head")
    add("--lesion-mask", type=Path, metavar="FILE", help="or a NIfTI mask of the lesion on the grid of the image")
    _add_reading_options(add)


def _add_table_options(add):
    clinical = "clinical columns (those of the paper); others as NAME:LOW..HIGH:UNIT or NAME:CODE=NUMBER,CODE=NUMBER"
    add("--clinical", **SEVERAL, metavar="COLUMN", help=clinical)
    missing = "missing numbers: refused, or replaced by the median of the training fold, without or with an indicator"
    add("--missing", choices=("refuse", "median", "indicator"), default="refuse", help=missing)
    _add_reading_options(add)


def _add_reading_options(add):
    _add_text_options(add)
    add("--image-root", type=Path, metavar="DIR", help="folder to which paths of the table refer (that of the table)")
    add("--sheet", metavar="NAME", help="sheet of a workbook (the one that has a column patient_id)")


def _add_text_options(add):
    add("--sep", metavar="CHAR", help="separator of the table (found from its header)")
    add("--decimal", choices=(".", ","), default=".", metavar="MARK", help="decimal mark of numbers, . or , (.)")
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


def _one_of_several(text):
    """Check a value of an option that takes everything that follows, so that a table would be lost among the values."""
    if Path(text).is_file():
        raise argparse.ArgumentTypeError(
            f"{text} is a file; this option takes everything that follows as its values, so put the file before it"
        )
    return text


SEVERAL = {"nargs": "+", "type": _one_of_several}


def _filter(text):
    return _at_least(1)(_one_of_several(text))


def _share(text):
    number, slash, total = text.partition("/")
    if not (slash and number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total)):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with I from 1 to N, for example 1/4")
    return int(number), int(total)


class _Kinds(argparse.Action):
    """Kinds of sequence; "all" stands for every one of them."""

    def __call__(self, parser, namespace, values, option_string=None):  # noqa: ARG002
        setattr(namespace, self.dest, True if "all" in values else values)


def _above_zero(text):
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{value:g} is not a length above 0 mm")
    return value


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
