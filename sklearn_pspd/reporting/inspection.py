"""What a model depends on, as files: text, tables and figures."""

import pandas as pd

from sklearn_pspd.file_writing import write_table, write_text
from sklearn_pspd.formatting import plain_text, wrapped_text
from sklearn_pspd.plotting import ContributionDisplay, FailureDisplay, ShortcutDisplay
from sklearn_pspd.plotting.number_texts import interval_text

from .figures import save_figure


def inspection_text(inspection):
    """Lay out what a model depends on as plain text.

    Parameters
    ----------
    inspection : ModelInspection
        What :func:`~sklearn_pspd.inspection.inspect_model` returned.

    Returns
    -------
    str
        Notes, contributions and, for a model with images, shortcut tests and confounders.
    """
    blocks = ["\n".join(map(wrapped_text, inspection.notes))] if inspection.notes else []
    auc = inspection.contribution.auc
    blocks.append(
        f"Drop of the AUC of {auc.value:.2f} (95 % interval {auc.low:.2f} to {auc.high:.2f}) if a group of columns is "
        "taken from another patient\n\n"
        + _table(inspection.contribution.frame(), {"group": "Group", ("drop", "low", "high"): "Drop (95 % interval)"})
    )
    if inspection.shortcuts is not None:
        columns = {
            "test": "Images",
            ("auc", "low", "high"): "AUC (95 % interval)",
            ("difference", "difference_low", "difference_high"): "Difference (95 % interval)",
        }
        blocks.append("AUC with altered images\n\n" + _table(inspection.shortcuts.frame(), columns))
        columns = {
            "target": "Target",
            "positive": "Predicted",
            ("auc", "low", "high"): "AUC from image features",
            ("auc_header", "header_low", "header_high"): "AUC from the file header",
        }
        blocks.append("What the image features say of other facts\n\n" + _table(inspection.confounders, columns))
    return "\n\n\n".join(blocks) + "\n"


def write_inspection(inspection, folder, *, title=None):
    """Save what a model depends on.

    Writes ``inspection.txt`` (what :func:`inspection_text` gives); ``contributions.csv``, ``failures.csv`` and, for a
    model with images, ``shortcuts.csv`` and ``confounders.csv``; and figures of the same names as PNG.

    Parameters
    ----------
    inspection : ModelInspection
        What :func:`~sklearn_pspd.inspection.inspect_model` returned.
    folder : Path
        An existing folder.
    title : str, default=None
        Heading of text and figures.
    """
    text = inspection_text(inspection)
    write_text(folder / "inspection.txt", f"{title}\n\n{text}" if title else text)
    for name, table in inspection.tables().items():
        write_table(folder / f"{name}.csv", table)
    displays = {
        "contributions": ContributionDisplay.from_contribution(inspection.contribution, title=title),
        "failures": FailureDisplay.from_failures(inspection.failures, title=title),
    }
    if inspection.shortcuts is not None:
        displays["shortcuts"] = ShortcutDisplay.from_tests(inspection.shortcuts, title=title)
    for name, display in displays.items():
        save_figure(display, folder / f"{name}.png")


def _table(table, columns):
    """Return some columns as text; three together are a value with its interval."""
    cells = {}
    for names, heading in columns.items():
        if isinstance(names, str):
            cells[heading] = table[names].astype(str)
        else:
            rows = table[list(names)].to_numpy(dtype=float)
            cells[heading] = ["" if row[0] != row[0] else _interval(*row) for row in rows]
    return plain_text(pd.DataFrame(cells))


def _interval(value, low, high):
    return interval_text({"value": value, "low": low, "high": high})
