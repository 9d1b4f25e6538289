"""Elements of an HTML page: tables, figures, sections."""

from html import escape

# Cells with more characters are broken into lines; a table with fewer in all is printed without breaking any; one with
# at most this number of rows is printed on one page.
LONGEST_CELL, PRINTED_CHARACTERS, ROWS_OF_A_SHORT_TABLE = 45, 105, 16
# A column whose heading has more characters is made wide enough to have it in few lines.
LONGEST_HEADING = 24


def table_element(table, *, number=None):
    """Return a table with its caption and notes, in a box that scrolls sideways where it is too wide.

    Parameters
    ----------
    table : ReportTable
        The table.
    number : int, default=None
        Number of the table in the page.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_pspd.reporting.markup import table_element
    >>> from sklearn_pspd.reporting.tables import ReportTable
    >>> element = table_element(ReportTable("Patients", pd.DataFrame({"sex": ["female"]})))
    >>> '<th scope="col">sex</th>' in element
    True
    """
    caption = f"Table {number}. {table.title}" if number else table.title
    head = "".join(_heading(table.frame.iloc[:, number]) for number in range(table.frame.shape[1]))
    rows = "\n".join(_row(cells) for cells in table.frame.to_numpy().tolist())
    kind = " ".join(name for name, applies in _classes(table).items() if applies)
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in table.notes)
    return (
        f'<div class="box" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="{kind}">'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
        f"{notes}"
    )


def _heading(column):
    """Return the heading of a column, with a class if texts are long, since narrow columns would make rows tall."""
    kind = ""
    if max(map(len, column), default=0) > LONGEST_CELL:
        kind = ' class="long"'
    elif len(str(column.name)) > LONGEST_HEADING:
        kind = ' class="headed"'
    return f'<th scope="col"{kind}>{escape(str(column.name))}</th>'


def _classes(table):
    """Return the classes of a table, by which the page lays it out on a screen and in print."""
    columns = [[str(name), *table.frame.iloc[:, number]] for number, name in enumerate(table.frame.columns)]
    widths = [max(map(len, column)) for column in columns]
    return {
        "flat": table.is_flat,
        "sortable": table.is_flat and len(table.frame) > 1,
        "prose": max(widths) > LONGEST_CELL,
        "narrow": sum(widths) <= PRINTED_CHARACTERS,
        "short": len(table.frame) <= ROWS_OF_A_SHORT_TABLE,
    }


def _row(cells):
    first, *others = cells
    texts = "".join(f"<td>{escape(text)}</td>" for text in others)
    head = f'<th scope="row">{escape(first)}</th>' if first else "<td></td>"
    return f"<tr>{head}{texts}</tr>"


def figure_element(svg, *, caption, is_wide=False):
    """Return a figure with its caption.

    Parameters
    ----------
    svg : str
        An ``svg`` or ``img`` element.
    caption : str
        Text below it.
    is_wide : bool, default=False
        Whether the figure keeps its size on a narrow screen and scrolls sideways in its box, since it would be too
        small to be read.

    Returns
    -------
    str
        HTML.
    """
    kind = "box wide" if is_wide else "box"
    label = f'tabindex="0" role="region" aria-label="{escape(caption)}"'
    return f'<figure><div class="{kind}" {label}>{svg}</div><figcaption>{escape(caption)}</figcaption></figure>'


def paragraphs(texts):
    """Return paragraphs.

    Parameters
    ----------
    texts : sequence of str
        Plain text.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> from sklearn_pspd.reporting.markup import paragraphs
    >>> paragraphs(["p < 0.05"])
    '<p>p &lt; 0.05</p>'
    """
    return "\n".join(f"<p>{escape(text)}</p>" for text in texts)


def bullets(texts):
    """Return a list.

    Parameters
    ----------
    texts : sequence of str
        Plain text.

    Returns
    -------
    str
        HTML.
    """
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def section(name, heading, content):
    """Return a section of the page.

    Parameters
    ----------
    name : str
        Its identifier, to which the table of contents leads.
    heading : str
        Plain text.
    content : sequence of str
        HTML.

    Returns
    -------
    str
        HTML; empty if there is no content.
    """
    inside = "\n".join(part for part in content if part)
    heading = escape(heading)
    return f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{heading}</h2>\n{inside}\n</section>'
