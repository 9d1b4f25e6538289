"""The report of a study as one page that needs no other file."""

import base64
import mimetypes
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import write_bytes
from sklearn_pspd.plotting import AUCDisplay, NegativeControlDisplay, SequentialSearchDisplay

from .checklist_items import CHECKLISTS
from .checklists import checklist
from .cohort import leakage_line, sample_size_sentences
from .comparison import comparison_notes, use_notes
from .conclusion import summary_sentences
from .figures import CAPTIONS, comparison_displays, flow_display
from .limits import limit_sentences
from .markup import bullets, figure_element, paragraphs, section, table_element
from .methods import interval_methods, methods_paragraphs
from .svg import inline_svg
from .tables import TEST_NAMES, ReportTable, report_tables, table_name
from .text import search_text

DISCLAIMER = "Research software, not a medical device"
# Nothing is fetched: what a page may load is what stands in it.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/svg+xml")


def html_report(result, *, flow=None, image_checks=None, contact_sheet=None):
    """Lay out a study as one page, to be read on any screen and to be printed.

    Parameters
    ----------
    result : StudyResult
        What :meth:`Study.run() <sklearn_pspd.study.Study.run>` returned.
    flow : DataFrame, default=None
        The flow table of :func:`~sklearn_pspd.cohort.select_eligible` for the patients of the study.
    image_checks : DataFrame, default=None
        Findings of the checks of the images: ``patient_id``, ``file``, ``finding``, ``severity``.
    contact_sheet : path-like, default=None
        An image of the slices of all patients, which becomes part of the page.

    Returns
    -------
    str
        HTML that holds its figures, tables and scripts, and loads nothing. Without scripts the tables cannot be sorted;
        all else is the same.

    Raises
    ------
    InputError
        If the flow table ends with another number of patients than the study has, or `contact_sheet` is no image.

    Notes
    -----
    The page computes nothing; it shows the tables of the result. Equal results give equal pages, byte for byte.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import Study, make_clinical_pipeline, make_cohort
    >>> from sklearn_pspd.reporting import html_report
    >>> with TemporaryDirectory() as folder:
    ...     cohort = make_cohort(folder, 30, matrix_px=(32,), random_state=0)
    ...     forest = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=20)
    ...     result = Study(cohort, {"clinical alone": forest}, cv=2, title="An example").run()
    >>> page = html_report(result)
    >>> page[:15], "An example" in page
    ('<!DOCTYPE html>', True)
    """
    page = _Page(result, report_tables(result, image_checks=image_checks), flow, contact_sheet)
    sections = []
    for name, heading, contents in SECTIONS:
        if inside := [part for part in contents(page) if part]:
            sections.append((name, heading, inside))
    links = "".join(f'<li><a href="#{name}">{escape(heading)}</a></li>' for name, heading, _ in sections)
    body = "\n".join(section(*parts) for parts in sections)
    return _document(result.title, links, body)


def write_html_report(result, folder, **parts):
    """Save what :func:`html_report` gives as ``report.html``.

    Parameters
    ----------
    result : StudyResult
        What :meth:`Study.run() <sklearn_pspd.study.Study.run>` returned.
    folder : Path
        An existing folder.
    **parts : dict
        Other parameters of :func:`html_report`.
    """
    write_bytes(Path(folder, "report.html"), html_report(result, **parts).encode())


@dataclass
class _Page:
    """What the sections of a page share: the study, its tables, and the numbers of tables and figures."""

    result: object
    tables: dict
    flow: object
    contact_sheet: object
    n_tables: int = 0
    n_figures: int = 0
    displays: dict = field(default_factory=dict)

    def __post_init__(self):
        tables = self.result.tables
        self.displays = {"aucs": AUCDisplay(summary=tables["comparison"]), **comparison_displays(tables)}

    def table(self, *names):
        """Return the tables of these names that the study has."""
        return [self.laid_out(self.tables[name]) for name in names if name in self.tables]

    def laid_out(self, table):
        self.n_tables += 1
        return table_element(table, number=self.n_tables)

    def figure(self, name, draw: Callable, *, caption=None, is_wide=True):
        """Return a figure; `draw` returns its display."""
        self.n_figures += 1
        caption = caption or CAPTIONS[name]
        svg = inline_svg(draw(), name="figure-" + name.replace("_", "-"), description=caption)
        return figure_element(svg, caption=f"Figure {self.n_figures}. {caption}", is_wide=is_wide)

    def comparison_figure(self, name):
        return self.figure(name, self.displays[name].plot) if name in self.displays else ""


def _summary(page):
    result = page.result
    site = result.settings.get("held_out_site")
    held_out = "Held out" if site is None else f"Held out, site {site}"
    if not result.settings.get("score_external", True):
        held_out += ", not scored"
    names = {"training": "Training", "held out": held_out}
    sizes = [
        f"{names[row['patients']]}: {row['n_patients']} patients ({row['n_pd']} PD, {row['n_pspd']} PsPD)"
        for row in result.sample_size.to_dict("records")
    ]
    yield bullets([*sizes, *summary_sentences(result), leakage_line(result.findings)])
    yield paragraphs(use_notes(result.tables.get("external_uses")))
    note = ""
    if "replicates" in result.tables:
        note = " Thin lines with an open point: mean AUC of the single networks of an ensemble."
    yield page.figure("aucs", page.displays["aucs"].plot, caption=CAPTIONS["aucs"] + note)


def _cohort(page):
    result = page.result
    yield page.figure("flow", lambda: flow_display(result.sample_size, page.flow))
    yield from page.table(*(heading[:31] for heading in result.characteristics))
    yield from page.table("missing values", "columns not used", "sample size")
    yield bullets([text[0].upper() + text[1:] + "." for text in sample_size_sentences(result.sample_size)])


def _images(page):
    yield from page.table("image checks")
    if page.contact_sheet is not None:
        page.n_figures += 1
        caption = f"Figure {page.n_figures}. Slices of all patients."
        yield figure_element(_image_element(page.contact_sheet), caption=caption)


def _leakage(page):
    yield paragraphs([f"{leakage_line(page.result.findings)}."])
    yield from page.table("leakage", "single features")


def _methods(page):
    for heading, texts in methods_paragraphs(page.result).items():
        yield f"<h3>{escape(heading)}</h3>\n{paragraphs(texts)}"
    title = "Methods of the intervals and tests; where models differ, those of all models"
    yield page.laid_out(ReportTable(title, interval_methods(page.result.tables)))


def _results(page):
    tests = [f"tests {name}" for name in TEST_NAMES.values()]
    for evaluation in page.result.tables["comparison"]["evaluation"].unique():
        yield f"<h3>{escape(evaluation.capitalize())}</h3>"
        yield from page.table(*(table_name(what, evaluation) for what in ("AUC", "metrics", "classes", *tests)))
    yield "<h3>Curves and confusion matrices</h3>"
    for name in ("comparison", "fold_curves", "confusion_matrices"):
        yield page.comparison_figure(name)
    yield "<h3>Reading the results</h3>" + paragraphs(comparison_notes(page.result.tables))


def _replicates(page):
    yield from page.table("replicates")


def _calibration(page):
    yield from page.table("calibration")
    yield page.comparison_figure("calibration")


def _net_benefit(page):
    yield from page.table("net benefit")
    yield page.comparison_figure("decision_curves")


def _thresholds(page):
    if "thresholds" in page.tables:
        yield from page.table("thresholds")
        yield page.comparison_figure("thresholds")


def _tuning(page):
    yield from page.table("tuning")
    for number, (name, search) in enumerate(page.result.tuning.items(), start=1):
        lines = search_text(search, name=name).strip().split("\n")
        yield f"<h3>{escape(name)}</h3>" + bullets(lines)
        caption = f"Tuning of {name}: losses by epoch and scores of the values."
        draw = lambda search=search: SequentialSearchDisplay.from_estimator(search)  # noqa: E731
        yield page.figure(f"tuning-{number}", draw, caption=caption)


def _control(page):
    yield from page.table("negative control")
    if page.result.controls:
        controls = page.result.controls
        yield page.figure("negative_control", lambda: NegativeControlDisplay.from_controls(controls))


def _uses(page):
    yield from page.table("external uses")


def _limits(page):
    yield bullets(limit_sentences(page.result))


def _checklists(page):
    yield paragraphs(
        [
            "Filled: the study answers the item. Confirm: the author has to confirm or complete the answer. Open: the "
            "author has to give it."
        ]
    )
    for name in CHECKLISTS:
        sheet = checklist(page.result, name)
        counts = ", ".join(f"{(sheet['status'] == status).sum()} {status}" for status in ("filled", "confirm", "open"))
        title = sheet.attrs["title"]
        table = table_element(ReportTable("Items, and what the study says of them", sheet, (sheet.attrs["note"],)))
        heading = f"{title}; {counts}"
        yield f'<details><summary>{escape(heading)}</summary><div class="checklist">{table}</div></details>'


SECTIONS = (
    ("summary", "Summary", _summary),
    ("cohort", "Patients", _cohort),
    ("images", "Images", _images),
    ("leakage", "Leakage checks", _leakage),
    ("methods", "Methods", _methods),
    ("results", "Results", _results),
    ("replicates", "Randomness of training", _replicates),
    ("calibration", "Calibration", _calibration),
    ("net-benefit", "Net benefit", _net_benefit),
    ("thresholds", "Thresholds", _thresholds),
    ("tuning", "Tuning", _tuning),
    ("negative-control", "Negative control", _control),
    ("external-uses", "Use of the external patients", _uses),
    ("limits", "Limits", _limits),
    ("checklists", "Reporting checklists", _checklists),
)


def _image_element(path):
    kind = mimetypes.guess_type(str(path))[0]
    if kind not in IMAGE_TYPES:
        raise InputError(f"contact_sheet={str(path)!r} is no image; give a file of type .png, .jpg, .webp or .svg")
    content = base64.b64encode(Path(path).read_bytes()).decode()
    return f'<img src="data:{kind};base64,{content}" alt="Slices of all patients">'


def _document(title, links, body):
    here = files("sklearn_pspd.reporting")
    style, script = ((here / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    heading = "Pseudoprogression or progression of glioblastoma: report of a study"
    banner = f'<p class="banner">{escape(title)}</p>' if title else ""
    name = f"{title}: {heading}" if title else heading
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(name)}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#summary">Skip to the summary</a>
<div class="page">
<header>
<h1>{escape(heading)}</h1>
{banner}
<p class="stamp">{DISCLAIMER}.</p>
</header>
<nav aria-label="Contents"><ol>{links}</ol></nav>
<main>
{body}
</main>
<footer><p>{DISCLAIMER}. Written by sklearn_pspd.</p></footer>
</div>
<script>
{script}</script>
</body>
</html>
"""
