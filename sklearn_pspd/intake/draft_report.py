"""The text that says what is missing or odd in a draft, and what to do about it."""

from sklearn_pspd.cohort.columns import CLINICAL_RANGES, POSITION_COLUMNS

from .spreadsheet import CODED_COLUMNS, DATE_ORDERS, is_ambiguous, parse_date

SHOWN = 10
# Findings of which one column may have a different value in every row: more values than MOST_VALUES take one line.
MANY_VALUED = ("No numbers", "No dates", "Numbers outside", "Lesion before", "Interval differs", "Study date before")
MOST_VALUES = 5
EXAMPLES = 3
OTHER_ZEROS = "Ids that differ from those of the images by leading zeros, and were not matched"
LEFT_OUT = "Left out: no series was chosen"
# What to do about a finding, by how it begins.
ADVICE = {
    "Words without a code": "give their meaning in codes; proposals are below",
    "Numbers outside": "correct the cells, or their unit",
    "Lesion before": "one of the dates is wrong",
    "Interval differs": "the interval or one of the dates is wrong",
    "Study date before": "one of the dates is wrong, or the study was chosen wrongly",
    "Site taken": "map a column to site, or give it in constants, if this is not how sites are told apart",
    LEFT_OUT: "look at these series in a viewer, and give the series_uid of the wanted one, by patient, in decisions",
}


def draft_report(draft):
    """Return all findings of a :class:`CohortDraft` as text.

    Parameters
    ----------
    draft : CohortDraft
        The draft.

    Returns
    -------
    str
        One paragraph per kind of finding, with what to do about it.
    """
    lines = [f"Draft of a cohort table: {count_of(len(draft.cohort), 'patient')}."]
    for title, ids in (
        ("In the spreadsheet, without images", draft.without_images),
        ("With images, not in the spreadsheet", draft.without_record),
    ):
        if ids:
            lines.append(f"{title}: {listing(ids)}.")
    for finding, rows in draft.findings.groupby("finding", sort=False):
        advice = _advice(finding, rows, draft.proposed_decimal)
        lines += ["", f"{finding}:", *(f"  ({text})" for text in advice), *_cells(finding, rows)]
    for column, words in draft.proposed_codes.items():
        lines += ["", f"Proposed codes of {column}, not applied: {words}"]
    has = draft.cohort.reindex(columns=list(POSITION_COLUMNS)).notna().any(axis=1)
    if not has.all():
        patients = count_of(int((~has).sum()), "patient")
        lines += ["", f"No position of the lesion: {patients}. Save the draft, and pick it by pspd pick cohort.csv."]
    return "\n".join(lines) + "\n"


def _cells(finding, rows):
    """Return the lines that say which cells have a finding."""
    lines = []
    for column, of_column in rows.groupby("column", sort=False):
        values = of_column["value"].unique()
        if finding.startswith(MANY_VALUED) and len(values) > MOST_VALUES:
            cells = f"{len(of_column)} cells, such as {'; '.join(values[:EXAMPLES])}"
            lines.append(f"  {column}: {cells} ({_patients(of_column)}; all of them are in findings)")
            continue
        # Patients with the same cell are in one line.
        for value, alike in of_column.groupby("value", sort=False):
            lines.append(f"  {': '.join(filter(None, [column, value]))} ({_patients(alike)})")
    return lines


def _patients(rows):
    patients = "patient" if len(rows) == 1 else f"{len(rows)} patients,"
    return f"{patients} {listing(rows['patient_id'].tolist())}"


def _advice(finding, rows, proposed_decimal):
    """Return what to do about a finding."""
    if finding == OTHER_ZEROS:
        of_images = [value.partition(" / ")[2] for value in rows["value"]]
        same = {name: other for name, other in zip(rows["patient_id"], of_images, strict=True) if "," not in other}
        return [f"if they are the same patients, give ids={same}"]
    if finding.startswith("No dates"):
        orders = [order for order in DATE_ORDERS if all(parse_date(cell, order) is not None for cell in rows["value"])]
        proposals = " or ".join(f"date_order={order!r}" for order in orders)
        return [f"{proposals} reads all of them; make sure that it is right" if orders else "correct the cells"]
    if finding.startswith("No numbers"):
        return _advice_on_marks(rows, proposed_decimal)
    if finding.startswith("Empty cells"):
        return _advice_on_empty_cells(set(rows["column"]))
    return [text for start, text in ADVICE.items() if finding.startswith(start)]


def _advice_on_marks(rows, proposed):
    """Return what to do about cells that the decimal mark of their column does not read."""
    columns = list(dict.fromkeys(rows["column"]))
    texts = []
    if readable := [column for column in columns if column in proposed]:
        marks = set(proposed.values())
        if len(marks) == 1:
            (mark,) = marks
            texts = [f"decimal={mark!r} reads all cells of {', '.join(readable)}; make sure that it is right"]
        else:
            texts = [
                f"the columns have different decimal marks: decimal={proposed} reads all cells of "
                f"{', '.join(proposed)}; make sure that it is right"
            ]
    for column in columns:
        cells = rows.loc[rows["column"] == column, "value"]
        if column not in proposed and all(map(is_ambiguous, cells)):
            texts.append(
                f"the mark of {cells.iloc[0]} in {column} may be a decimal one or set off thousands: name it in "
                "decimal, by column, if it is a decimal one; if not, correct the cells"
            )
        elif column not in proposed:
            texts.append(f"correct the cells of {column}: no decimal mark reads all of them")
    return texts


def _advice_on_empty_cells(columns):
    texts = ["fill them in"]
    if columns & set(CODED_COLUMNS):
        texts.append("for words, codes can say what an empty cell means")
    if columns & set(CLINICAL_RANGES):
        texts.append(
            'numbers may stay empty if the models replace them, by missing="median" or pspd study --missing median'
        )
    if columns & set(POSITION_COLUMNS):
        texts.append("positions of the lesion can be picked by pspd pick cohort.csv")
    return ["; ".join(texts)]


def count_of(number, noun):
    """Return a number and its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listing(ids):
    """Return the first ids, and how many there are more."""
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(ids[:SHOWN]) + more
