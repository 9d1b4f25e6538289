"""The command ``pspd predict``: patients from what was named on the command line, and results for the terminal."""

import contextlib
import shutil
import textwrap
from pathlib import Path

import pandas as pd

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.formatting import plain_text
from sklearn_pspd.intake import choose_series, list_series

from .files import says_network
from .model_card import STAMP, band_text
from .patients import check_patients, parse_settings, patient_from_values, read_patients
from .sentences import decimals_of, interval_text, patients_with

WIDTH = 88
CANDIDATES = 2  # of each patient and study, that are named where no series is chosen
IMAGE_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img", ".dcm", ".ima")


def without_messages(folder, workspace):
    """Return a context in which TensorFlow's start-up notices go to a file of the workspace, if there is a network."""
    if not says_network(folder):
        return contextlib.nullcontext()
    from sklearn_pspd.neural_network.messages import native_messages_to

    return native_messages_to(workspace / "tensorflow.log")


def patients_of(released, sources, *, workspace, values, patient_id, position, further=(), **reading):
    """Return the patients that a command line names.

    Parameters
    ----------
    released : ReleasedModel
        The model.
    sources : list of Path
        Cohort tables, or one image: a DICOM folder or an image file. Empty for a model that reads no images.
    workspace : Path
        An existing folder, to which a series is copied if its folder holds others.
    values : list of str
        Clinical values of one patient, such as "age_years=56".
    patient_id : str
        How results name this patient.
    position : dict of str to object
        Position of the lesion by column; None where it is not given.
    further : list of str, default=()
        Further images of one patient, such as "flair=FILE".
    **reading : dict
        Parameters of :func:`~sklearn_pspd.cohort.read_cohort` for tables; ``decimal`` also holds for `values`.

    Returns
    -------
    patients : DataFrame
        The checked table.
    notes : list of str
        What is to be known about the choice of the series.

    Raises
    ------
    InputError
        If sources, values and position do not belong together, or a patient does not suit the model.
    """
    given = {column: str(value) if isinstance(value, Path) else value for column, value in position.items()}
    given = {column: value for column, value in given.items() if value is not None}
    tables = [path for path in sources if not _is_image(path)]
    if tables:
        if len(tables) < len(sources) or values or given or further:
            raise InputError(
                "a cohort table holds all values of its patients; give it without images, --set, --further and "
                "--lesion-..."
            )
        parts = [read_patients(released, path, **reading) for path in tables]
        return pd.concat(parts, ignore_index=True), []
    if len(sources) > 1:
        raise InputError(f"{len(sources)} images are given; for several patients, give a cohort table")
    if bool(sources) != released.reads_images:
        needed = "needs the DICOM folder or NIfTI file of a patient" if not sources else "reads no images; leave it out"
        raise InputError(f"the model {released.name!r} {needed}")
    image, notes = _image(sources[0], workspace) if sources else (None, [])
    images = {"image": image, "further": parse_settings(further, what="further image", example="flair=FILE")}
    written = {"patient_id": patient_id, "decimal": reading.get("decimal", ".")}
    row = patient_from_values(released, parse_settings(values), **images, **written, **given)
    return check_patients(released, row, decimal=written["decimal"]), notes


def predictions_text(released, predictions, *, notes=()):
    """Lay out predictions for the terminal.

    Parameters
    ----------
    released : ReleasedModel
        The model.
    predictions : DataFrame
        What :func:`~sklearn_pspd.release.write_predictions` returned.
    notes : sequence of str, default=()
        What else is to be known.

    Returns
    -------
    str
        A table, and sentences below it.
    """
    has_interval = predictions["calibrated_low"].notna().any()
    has_members = (predictions["n_members"] > 1).any()
    rule, patients = released.calibration["abstention"], predictions["patient_id"].astype(str)
    decimals = decimals_of([row for _, row in predictions.iterrows()], rule)
    table = pd.DataFrame({"patient": patients})
    table["class"] = predictions["predicted_class"]
    table["probability of PsPD"] = predictions["probability"].map(f"{{:.{decimals}f}}".format)
    if has_interval:
        table["calibrated interval"] = _range(predictions["calibrated_low"], predictions["calibrated_high"], decimals)
    if has_members:
        table["members"] = _range(predictions["lowest_member"], predictions["highest_member"], decimals)
    lines = [f"{released.name}: {STAMP[0].lower()}{STAMP[1:]}", "", plain_text(table), ""]
    # What the prediction was computed without comes first.
    sentences = patients_with(patients, predictions["imputed"])
    of_rule = [f"PsPD from a probability of {released.threshold:.{decimals}f} on."]
    if rule is None:
        of_rule.append(f"The model never abstains: {released.calibration['no_abstention']}.")
    else:
        of_rule.append(f"{band_text(rule, decimals)}.")
    sentences.append(" ".join(of_rule))
    sentences += patients_with(patients, [interval_text(row) for _, row in predictions.iterrows()])
    for row in predictions.itertuples(index=False):
        if row.outside_training:
            sentences.append(f"{row.patient_id}, outside the training ranges: {row.outside_training}")
        if row.slices:
            sentences.append(f"{row.patient_id}, slices from the feet (0): {row.slices}")
    lines += [line for sentence in (*sentences, *notes) for line in textwrap.wrap(sentence, WIDTH)]
    return "\n".join(lines)


def _range(low, high, decimals):
    return [f"{lowest:.{decimals}f} to {highest:.{decimals}f}" for lowest, highest in zip(low, high, strict=True)]


def _is_image(path):
    return path.is_dir() or path.name.lower().endswith(IMAGE_SUFFIXES)


def _image(path, workspace):
    """Return the image of a patient, and notes; of a folder with several series, the one that the rules choose."""
    if not path.is_dir():
        return path, []
    ranked = choose_series(list_series(path))
    if ranked.empty:
        # The loader says what is wrong with the folder.
        return path, []
    chosen = ranked[ranked["chosen"]]
    if len(ranked) == 1:
        # The user named this series; what speaks against it is said.
        only = ranked.iloc[0]
        reasons = [] if only["chosen"] else [str(only["doubt"] or only["rule"])]
        reasons += [str(only["remark"])] if only["remark"] else []
        return path, [f"Series check: {reason}." for reason in reasons if reason]
    if len(chosen) != 1:
        raise InputError(_not_one_series(path, ranked))
    best = chosen.iloc[0]
    # Without the description, in which a scanner's operator may have written anything.
    note = f"Series check: series {best['series_number']} was chosen among {len(ranked)} (rule: {best['rule']})."
    if best["remark"]:
        note += f" {best['remark']}."
    folder = workspace / "series"
    folder.mkdir()
    for number, file in enumerate(best["files"]):
        shutil.copyfile(file, folder / f"{number:05d}")
    return folder, [note]


def _not_one_series(path, ranked):
    """Say why no series of a folder was chosen, and which folders hold those that may be meant."""
    chosen = ranked[ranked["chosen"]]
    lines = [f"  {doubt}" for doubt in ranked.attrs["doubts"]]
    if len(chosen):
        patients, studies = chosen["patient_id"].nunique(), chosen["study_date"].nunique()
        lines.append(f"  {len(chosen)} series were found, of {patients} patient(s) and {studies} study date(s)")
    # Those that the rules rank first; without any, no series is T1.
    for series in ranked[ranked["rank"] <= CANDIDATES].itertuples():
        date = "" if pd.isna(series.study_date) else f" of {series.study_date:%Y-%m-%d}"
        lines.append(f"  series {series.series_number}{date}, {series.description!r}, is in {series.folder}")
    return (
        f"{path} holds {len(ranked)} series, of which none can be chosen with certainty; give the folder of one study, "
        "or of the one series, of the patient:\n" + "\n".join(lines)
    )
