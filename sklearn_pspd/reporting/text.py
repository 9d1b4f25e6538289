"""The report of a study as plain text."""

from sklearn_pspd.formatting import plain_text, wrapped_text
from sklearn_pspd.model_selection.folds import EXTERNAL
from sklearn_pspd.model_selection.negative_control import FEWEST_FOR_P_VALUE
from sklearn_pspd.plotting.number_texts import number_text

from .cohort import cohort_text
from .comparison import comparison_text, use_notes
from .comparison_tables import control_table
from .conclusion import summary_sentences

EXTERNAL_CONTROL_NOTE = (
    "External: models trained on permuted outcomes, tested on the true outcomes of the held-out site"
)


def report_text(result, *, cohort=True):
    """Lay out the results of a study as plain text.

    Parameters
    ----------
    result : StudyResult
        What :meth:`Study.run() <sklearn_pspd.study.Study.run>` returned.
    cohort : bool, default=True
        Whether to begin with the description of the cohort.

    Returns
    -------
    str
        The cohort, the tuning, the comparison of the models and the negative controls, as far as they were asked for;
        last, in a few sentences, what the comparison shows, and what the patients and images allow.
    """
    blocks = []
    if cohort:
        absent, missing = result.missing_values
        tables = result.findings, result.characteristics, result.sample_size
        details = {"features": result.feature_aucs, "absent": absent, "missing": missing}
        details["constant"] = result.constant_columns
        details["images"] = None if result.image_checks.empty else result.image_findings
        blocks.append(cohort_text(*tables, **details, title=result.title))
    blocks += [search_text(search, name=name) for name, search in result.tuning.items()]
    blocks.append(comparison_text(result.comparison, title=result.title, tables=result.tables))
    if result.controls:
        blocks.append(negative_control_text(result.controls))
    blocks += [text] if (text := computation_text(result.settings)) else []
    blocks.append(_conclusion_text(result))
    return "\n".join(blocks)


def _conclusion_text(result):
    notes = [*summary_sentences(result), *use_notes(result.tables.get("external_uses"))]
    heading = ["In short", *([result.title] if result.title else [])]
    return "\n".join([*heading, *(wrapped_text(f"- {note}", indent="  ") for note in notes), ""])


def computation_text(settings):
    """Say by what arithmetic and on what device networks were trained.

    Parameters
    ----------
    settings : dict of str to object
        Settings of a :class:`~sklearn_pspd.study.StudyResult`.

    Returns
    -------
    str
        Two sentences; empty without networks.
    """
    if not settings.get("device"):
        return ""
    arithmetic = ", ".join(sorted(set(settings["arithmetic"].values())))
    text = (
        f"The networks were trained in {arithmetic} on {settings['device']}. The same seed gives the same figures on "
        "the same processor, number of threads and versions; elsewhere they vary as from seed to seed."
    )
    return wrapped_text(text) + "\n"


def search_text(search, *, name=None):
    """Lay out a tuning as plain text.

    Parameters
    ----------
    search : SequentialSearchCV
        Fitted.
    name : str, default=None
        The model that was tuned, for the heading.

    Returns
    -------
    str
        Selected number of epochs, and the mean score of each value of each parameter.
    """
    lines = [f"Tuning on all training patients{f': {name}' if name else ''}"]
    epochs = {parameter: value for parameter, value in search.best_params_.items() if _short(parameter) == "epochs"}
    lines += [f"epochs: {value}, at the lowest mean validation loss" for value in epochs.values()]
    for parameter, rows in search.scores_.groupby("parameter", sort=False):
        # By position, since a value can be a list, which pandas cannot group.
        n_folds = rows["fold"].nunique()
        of_values = rows["score"].to_numpy().reshape(-1, n_folds)
        shown = ", ".join(
            f"{_plain(value)} {number_text(scores.mean())} (SD {number_text(scores.std(ddof=1))})"
            for value, scores in zip(rows["value"].iloc[::n_folds], of_values, strict=True)
        )
        chosen = f"{_short(parameter)}: {shown}; chosen {_plain(search.best_params_[parameter])}"
        lines.append(wrapped_text(chosen, indent="  "))
    return "\n".join([*lines, "These scores are optimistic: the values were selected because they scored best.", ""])


def negative_control_text(controls):
    """Lay out negative controls as plain text.

    Parameters
    ----------
    controls : dict of str to NegativeControl
        By model.

    Returns
    -------
    str
        One line per model and evaluation.
    """
    frames = [control.frame() for control in controls.values()]
    table = control_table(controls)
    lines = [f"Negative control: the same protocol and folds on permuted outcomes, {_permutations(frames[0])}"]
    if (table["evaluation"] == EXTERNAL).any():
        lines.append(EXTERNAL_CONTROL_NOTE)
    laid_out = plain_text(table.rename(columns={"model": ""}))
    return "\n".join([*lines, laid_out, wrapped_text(control_note(controls)), ""])


def control_note(controls):
    """Say what negative controls can show.

    Parameters
    ----------
    controls : dict of str to NegativeControl
        By model.

    Returns
    -------
    str
        One sentence.
    """
    frames = [control.frame() for control in controls.values()]
    permutations = _permutations(frames[0])
    if any(frame["p_value"].isna().any() for frame in frames):
        verb = "shows" if permutations == "one permutation" else "show"
        return (
            f"{permutations.capitalize()} {verb} that the protocol runs, not that it is free of leakage; a p-value "
            f"needs at least {FEWEST_FOR_P_VALUE}."
        )
    return f"With {permutations} the smallest possible p-value is {frames[0]['resolution'].iloc[0]:.2g}."


def _permutations(frame):
    n = int(frame["n_permutations"].iloc[0])
    return "one permutation" if n == 1 else f"{n} permutations"


def _short(parameter):
    return parameter.rsplit("__", 1)[-1]


def _plain(value):
    """Write whole numbers as such, which a table with fractions keeps as floats."""
    return f"{value:zg}" if isinstance(value, float) else str(value)
