"""The report of a study as files: text, tables and figures."""

from sklearn_pspd import file_writing
from sklearn_pspd.file_writing import write_table
from sklearn_pspd.plotting import NegativeControlDisplay, SequentialSearchDisplay

from .checklists import write_checklists
from .comparison import comparison_text
from .figures import comparison_displays, save_figure
from .methods import methods_text
from .page import write_html_report
from .text import negative_control_text, report_text, search_text


def write_report(result, folder, **parts):
    """Save everything that a study found.

    Writes ``leakage.csv``, ``single_features.csv``, ``sample_size.csv``, ``missing_values.csv``,
    ``characteristics.txt``, ``image_checks.csv`` (what is known and odd about the images, if a model reads them), and
    what :func:`write_text`, :func:`write_comparison`, :func:`write_search` and
    :func:`write_negative_controls` write.

    Parameters
    ----------
    result : StudyResult
        What :meth:`Study.run() <sklearn_pspd.study.Study.run>` returned.
    folder : Path
        An existing folder.
    **parts : dict
        Parts of the page that the result does not hold, as in :func:`html_report`.
    """
    write_table(folder / "leakage.csv", result.findings)
    if not result.image_checks.empty:
        write_table(folder / "image_checks.csv", result.image_checks, date_format="%Y-%m-%d")
    write_table(folder / "sample_size.csv", result.sample_size)
    write_table(folder / "single_features.csv", result.feature_aucs)
    write_table(folder / "missing_values.csv", result.missing_values[1])
    characteristics = [f"{heading}\n\n{table}" for heading, table in result.characteristics.items()]
    _write_text("\n\n\n".join(characteristics), folder / "characteristics.txt", result.title)
    write_comparison(result.comparison, folder, title=result.title, tables=result.tables)
    for number, (name, search) in enumerate(result.tuning.items(), start=1):
        write_search(search, folder, name=name, title=result.title, suffix="" if number == 1 else f"_{number}")
    if result.controls:
        write_negative_controls(result.controls, folder, title=result.title)
    write_text(result, folder, **parts)


def write_text(result, folder, **parts):
    """Save what is made of the whole result.

    Writes ``report.txt`` (what :func:`report_text` gives), ``methods.txt`` (:func:`methods_text`), ``report.html``
    (:func:`html_report`) and the files of :func:`write_checklists`.

    Parameters
    ----------
    result : StudyResult
        What :meth:`Study.run() <sklearn_pspd.study.Study.run>` returned.
    folder : Path
        An existing folder.
    **parts : dict
        Parts of the page that the result does not hold, as in :func:`html_report`.
    """
    file_writing.write_text(folder / "report.txt", report_text(result))
    _write_text(methods_text(result).rstrip("\n"), folder / "methods.txt", result.title)
    write_checklists(result, folder)
    write_html_report(result, folder, **parts)


def write_comparison(comparison, folder, *, title=None, tables=None):
    """Save a comparison of models.

    Writes ``comparison.txt`` (what :func:`comparison_text` gives), ``comparison.csv`` (every metric with its interval),
    ``tests.csv`` (paired tests of the models), ``scores.csv`` (the score of every patient), ``calibration.csv``,
    ``calibration_curves.csv``, ``decision_curves.csv``, ``thresholds.csv`` and, where they exist, ``external_uses.csv``
    and ``tuned_folds.csv``; and as PNG the figures ``comparison``, ``confusion_matrices``, ``calibration``,
    ``decision_curves`` and, for a cross-validation, ``fold_curves`` and ``thresholds``.

    Parameters
    ----------
    comparison : ModelComparison
        What :func:`~sklearn_pspd.model_selection.compare_models` returned.
    folder : Path
        An existing folder.
    title : str, default=None
        Heading of text and figures.
    tables : dict of str to DataFrame, default=None
        What ``comparison.tables()`` returned, if it was called before.
    """
    tables = comparison.tables() if tables is None else tables
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table)
    file_writing.write_text(folder / "comparison.txt", comparison_text(comparison, title=title, tables=tables))
    for name, display in comparison_displays(tables).items():
        save_figure(display.plot(title=title), folder / f"{name}.png")


def write_search(search, folder, *, name=None, title=None, suffix=""):
    """Save a tuning: ``tuning.txt``, ``tuning_losses.csv``, ``tuning_scores.csv`` and ``tuning.png``.

    Parameters
    ----------
    search : SequentialSearchCV
        Fitted.
    folder : Path
        An existing folder.
    name : str, default=None
        The model that was tuned, for the heading.
    title : str, default=None
        Heading of text and figure.
    suffix : str, default=""
        Put behind ``tuning`` in the names of the files, for a second model.
    """
    stem = f"tuning{suffix}"
    _write_text(search_text(search, name=name).rstrip("\n"), folder / f"{stem}.txt", title)
    if search.losses_ is not None:
        write_table(folder / f"{stem}_losses.csv", search.losses_)
    write_table(folder / f"{stem}_scores.csv", search.scores_)
    heading = ": ".join(part for part in (title, name) if part)
    save_figure(SequentialSearchDisplay.from_estimator(search, title=heading or None), folder / f"{stem}.png")


def write_negative_controls(controls, folder, *, title=None):
    """Save negative controls: ``negative_control.txt``, ``negative_control.csv`` and ``negative_control.png``.

    Parameters
    ----------
    controls : dict of str to NegativeControl
        By model.
    folder : Path
        An existing folder.
    title : str, default=None
        Heading of text and figure.
    """
    _write_text(negative_control_text(controls).rstrip("\n"), folder / "negative_control.txt", title)
    display = NegativeControlDisplay.from_controls(controls, title=title)
    write_table(folder / "negative_control.csv", display.frame())
    save_figure(display, folder / "negative_control.png")


def _write_text(text, path, title):
    file_writing.write_text(path, f"{title}\n\n{text}\n" if title else f"{text}\n")
