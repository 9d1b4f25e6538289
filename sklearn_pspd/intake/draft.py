"""The draft of a cohort table from chosen series and a spreadsheet, with a report of what is missing or odd."""

import contextlib
import filecmp
import itertools
import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from sklearn_pspd.cohort.columns import CLINICAL_RANGES, POSITION_COLUMNS, allowed_codes
from sklearn_pspd.cohort.problems import is_missing, normalise_ids, raise_problems, repeated_ids
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import write_table, write_text

from .choosing import MOST_DAYS, choose_series
from .draft_report import LEFT_OUT, OTHER_ZEROS, draft_report
from .earlier_positions import keep_positions
from .picking import table_lock
from .spreadsheet import (
    CODED_COLUMNS,
    DATE_COLUMNS,
    DATE_ORDERS,
    NUMBER_COLUMNS,
    check_codes,
    check_decimal,
    parse_date,
    parse_number,
    propose_codes,
    propose_decimal,
    read_records,
)

FINDING_COLUMNS = ("patient_id", "finding", "column", "value")
_ORDER = (
    "patient_id", "site", "image", *POSITION_COLUMNS, "age_years", "sex", "mgmt", "idh", "dose_gy", "n_fractions",
    "interval_days", "outcome", "radiotherapy_end", "lesion_date", "study_date", "description", "series_uid",
)  # fmt: skip


@dataclass(frozen=True)
class CohortDraft:
    """A draft of a cohort table.

    Attributes
    ----------
    cohort : DataFrame
        One row per patient with a chosen series and a row in the spreadsheet. What could not be decided is empty.
        ``image`` is empty where the series shares its folder with others: :meth:`save` copies its files.
    findings : DataFrame
        One row per finding: ``patient_id``, ``finding``, ``column``, ``value``.
    proposed_codes : dict
        Codes that words of the spreadsheet may mean, by column; after reading them, give them as `codes`.
    proposed_decimal : dict
        Decimal marks by which all cells of a column of numbers can be read, by column; after reading them, give them as
        `decimal`. Empty if the given one reads the columns, or no other one does. Marks that may set off thousands, as
        in 1,234, have no proposal.
    without_images : list of str
        Patients of the spreadsheet that have no series.
    without_record : list of str
        Patients with series that are not in the spreadsheet.
    series : DataFrame
        The ranked series, see :func:`choose_series`.
    to_copy : dict
        Files to copy, by ``patient_id``.
    """

    cohort: pd.DataFrame
    findings: pd.DataFrame
    proposed_codes: dict
    proposed_decimal: dict
    without_images: list
    without_record: list
    series: pd.DataFrame
    to_copy: dict = field(repr=False)

    def report(self):
        """Return all findings as text.

        Returns
        -------
        str
            One paragraph per kind of finding, with what to do about it.
        """
        return draft_report(self)

    def save(self, folder, *, overwrite=False):
        """Write ``cohort.csv`` and ``intake.txt``, and copy the series that share a folder with others.

        Parameters
        ----------
        folder : path-like
            Folder to write to; created if it does not exist. It must not contain these files or a record of picks,
            unless `overwrite` is true.
        overwrite : bool, default=False
            Whether an earlier draft in the folder is replaced. Positions of the lesion in it are kept where the image
            is the same, see Notes; all other cells are those of this draft.

        Returns
        -------
        Path
            The file ``cohort.csv``.

        Raises
        ------
        FileExistsError
            If the folder has one of these files, or images, and `overwrite` is false.
        InputError
            If the earlier table or its record of picks cannot be read; nothing is written then.

        Warns
        -----
        UserWarning
            If a position of the earlier draft is not in the new one.

        Notes
        -----
        With `overwrite`, a pick is kept, also against a position of the spreadsheet, if the image has the digest that
        is in the record of picks, ``cohort.picks.csv``. A position without a pick is kept if the image has the same
        path or the same digest, and the spreadsheet has no other position. The record is never changed, so a pick that
        is not in the table now returns with its image. ``intake.txt`` lists what was kept and what was not. Copies of
        series that are not used any more stay in the folder ``images``.
        """
        folder = Path(folder)
        for name in ("cohort.csv", "cohort.picks.csv", "intake.txt", "images"):
            if not overwrite and (folder / name).exists() and (name != "images" or self.to_copy):
                raise FileExistsError(
                    f"{folder} already contains {name!r}; save(folder, overwrite=True) replaces the draft and keeps "
                    "the positions of the lesion whose image is the same; or choose another folder"
                )
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "cohort.csv"
        # Images first and the table last: until then, an earlier table is whole and has its images.
        with _copied_images(folder, self.to_copy) as images, table_lock(path):
            of_patient = self.cohort["patient_id"].map(images)
            cohort = self.cohort.assign(image=of_patient.where(of_patient.notna(), self.cohort["image"]))
            earlier = keep_positions(cohort, path)
            write_text(folder / "intake.txt", replace(self, cohort=earlier.cohort).report() + earlier.report())
            write_table(path, _with_whole_numbers(earlier.cohort), date_format="%Y-%m-%d")
        if earlier.dropped or earlier.replaced or earlier.absent:
            warnings.warn(earlier.report().strip(), stacklevel=2)
        return path


@contextlib.contextmanager
def _copied_images(folder, to_copy):
    """Copy series to one folder per patient, unless such a copy is there; yield the path of each patient's images.

    Copies are removed again if the block ends with an error.
    """
    images, made = {}, []
    try:
        with tempfile.TemporaryDirectory(prefix=".draft-", dir=folder) as part:
            for number, (patient, files) in enumerate(to_copy.items(), start=1):
                # Ids may have characters that no file name can have.
                name = re.sub(r"[^A-Za-z0-9-]", "_", patient)
                alike = sorted((folder / "images").glob(f"*-{name}"))
                place = next((place for place in alike if _is_copy(place, files)), None)
                if place is None:
                    free = (folder / "images" / f"{at:03d}-{name}" for at in itertools.count(number))
                    place = next(place for place in free if not place.exists())
                    copy = Path(part, place.name)
                    copy.mkdir()
                    for at, file in enumerate(files):
                        shutil.copyfile(file, copy / f"{at:05d}")
                    place.parent.mkdir(exist_ok=True)
                    copy.rename(place)
                    made.append(place)
                images[patient] = str(place.relative_to(folder))
        yield images
    except BaseException:
        for place in made:
            shutil.rmtree(place)
        raise


def _is_copy(folder, files):
    """Return whether a folder has copies of these files, and no other ones."""
    copies = sorted(folder.iterdir())
    return len(copies) == len(files) and all(
        filecmp.cmp(copy, file, shallow=False) for copy, file in zip(copies, files, strict=True)
    )


def _with_whole_numbers(cohort):
    """Return a table that is written with whole numbers without a decimal point, also where some are missing."""
    numbers = cohort.select_dtypes(float)
    whole = [name for name in numbers if (numbers[name].dropna() % 1 == 0).all()]
    return cohort.astype(dict.fromkeys(whole, "Int64"))


def draft_cohort(
    series,
    records,
    *,
    columns,
    codes=None,
    constants=None,
    ids=None,
    near=None,
    date_order="ymd",
    decimal=".",
    most_days=MOST_DAYS,
    decisions=None,
    pixels=False,
    sep=None,
    encoding=None,
    sheet=None,
):
    """Draft a cohort table from the series of an export and a spreadsheet.

    Nothing is guessed. Patients are the same if their ids are equal apart from letter case and white space around them;
    ids that differ by leading zeros are reported. Words are translated as `codes` says; for others a code may be
    proposed. Cells that cannot be read are empty in the draft, and reported.

    Parameters
    ----------
    series : DataFrame
        Table of :func:`list_series`, or of :func:`choose_series`.
    records : DataFrame or path-like
        The spreadsheet, one row per patient: a table, delimited text or a workbook.
    columns : mapping of str to str
        Header in the spreadsheet by name of a column: those of :func:`~sklearn_pspd.cohort.check_cohort`; the dates
        ``radiotherapy_end`` and ``lesion_date``, from which ``interval_days`` is computed; and any others, which are
        kept as text. ``patient_id`` is required.
    codes : mapping of str to mapping, default=None
        The library's code by word of the spreadsheet, by column, for example
        ``{"mgmt": {"unmethyliert": "unmethylated"}}``. The empty word stands for empty cells.
    constants : mapping, default=None
        Values of columns that are the same for all patients, for example ``{"dose_gy": 60, "n_fractions": 30}``.
    ids : mapping of str to str, default=None
        Id in the images by id in the spreadsheet, for patients whose ids differ.
    near : mapping of str to date, default=None
        Date near which the study of each patient is chosen. None takes ``lesion_date``, if it is mapped.
    date_order : {"ymd", "dmy", "mdy"}, default="ymd"
        Order of day, month and year in the spreadsheet.
    decimal : {".", ","} or mapping of str to {".", ","}, default="."
        Decimal mark of the spreadsheet, or of each column that has another one than ".", for example
        ``{"age_years": ","}``. Cells that a workbook or a DataFrame holds as numbers have none.
    most_days : int, default=31
        See :func:`choose_series`; not used if `series` is its table.
    decisions : mapping of str to str, default=None
        See :func:`choose_series`; not used if `series` is its table.
    pixels : bool, default=False
        See :func:`choose_series`; not used if `series` is its table.
    sep, encoding, sheet : str, default=None
        See :func:`~sklearn_pspd.cohort.read_cohort`.

    Returns
    -------
    CohortDraft
        The table, and all that is missing or odd.

    Raises
    ------
    FileNotFoundError
        If there is no such spreadsheet.
    InputError
        If the spreadsheet cannot be read, lacks a header, has a patient twice, or an argument is not valid.

    See Also
    --------
    sklearn_pspd.cohort.read_cohort : Reads and checks the finished table.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd.datasets import make_cohort
    >>> from sklearn_pspd.intake import draft_cohort, list_series
    >>> columns = {"patient_id": "Pat.-Nr.", "mgmt": "MGMT-Status", "lesion_date": "Datum Läsion"}
    >>> small = {"layout": "export", "matrix_px": (32,), "n_native_slices": 10}
    >>> with TemporaryDirectory() as folder:
    ...     written = make_cohort(folder, 3, **small, random_state=0)
    ...     draft = draft_cohort(
    ...         list_series(f"{folder}/dicom"), f"{folder}/records.csv", columns=columns, date_order="dmy",
    ...         encoding="cp1252"
    ...     )
    >>> draft.cohort["patient_id"].tolist(), draft.without_images
    (['04711001', '04711002'], ['4711003', '04719999'])
    >>> draft.proposed_codes["mgmt"]["unmethyliert"]
    'unmethylated'
    """
    codes = {} if codes is None else codes
    constants = {} if constants is None else constants
    _check_arguments(columns, codes, constants, date_order, decimal)
    table, row_numbers = read_records(records, columns, sep=sep, encoding=encoding, sheet=sheet)
    table["patient_id"] = [name if ids is None else ids.get(name, name) for name in table["patient_id"]]
    _check_ids(table, row_numbers)
    findings = []
    # Cells, column by column.
    marks = {name: decimal.get(name, ".") if isinstance(decimal, Mapping) else decimal for name in table.columns}
    proposed_decimal = propose_decimal(table, marks)
    proposed = {}
    for column in table.columns.drop("patient_id"):
        given = codes.get(column, {})
        table[column], proposed[column] = _decode(table, column, given, date_order, marks[column], findings)
    for column, value in constants.items():
        table[column] = value
    _add_interval(table, findings)
    # Series.
    ranked = _ranked(series, table, near, most_days=most_days, decisions=decisions, pixels=pixels)
    chosen = ranked[ranked["chosen"]]
    matched, without_images, without_record = _match(table, ranked, findings)
    rows, to_copy = [], {}
    for key, record in matched.items():
        row = _join(key, record, ranked, chosen, to_copy, findings)
        if row is not None:
            rows.append(row)
    names = [name for name in _ORDER if any(name in row for row in rows)]
    others = [name for name in table.columns if name not in _ORDER]
    return CohortDraft(
        cohort=pd.DataFrame(rows, columns=[*names, *others]),
        findings=pd.DataFrame(findings, columns=list(FINDING_COLUMNS)),
        proposed_codes={column: words for column, words in proposed.items() if words},
        proposed_decimal=proposed_decimal,
        without_images=without_images,
        without_record=without_record,
        series=ranked,
        to_copy=to_copy,
    )


def _check_arguments(columns, codes, constants, date_order, decimal):
    if date_order not in DATE_ORDERS:
        raise InputError(f"date_order={date_order!r}; it must be one of {', '.join(map(repr, DATE_ORDERS))}")
    check_decimal(decimal)
    for name, value in (("codes", codes), ("constants", constants)):
        if not isinstance(value, Mapping):
            raise InputError(f"{name} must be a mapping by column; got {type(value).__name__}")
    check_codes(codes)
    problems = [f"{name} is in columns, too" for name in constants if name in columns]
    problems += [f"{name} differs between patients" for name in ("patient_id", "image") if name in constants]
    raise_problems("constants has", problems)


def _check_ids(table, row_numbers):
    problems = [
        f"row {row}: column patient_id is empty"
        for row, name in zip(row_numbers, table["patient_id"], strict=True)
        if is_missing(name)
    ]
    for places in repeated_ids(table["patient_id"]):
        rows = ", ".join(str(row_numbers[place]) for place in places)
        problems.append(f"patient {table['patient_id'].iloc[places[0]]}: rows {rows}; one row per patient")
    raise_problems("the spreadsheet has", problems)


def _decode(table, column, codes, date_order, decimal, findings):
    """Return the cells of a column as the library has them, and proposed codes."""
    cells = table[column]
    if column in CODED_COLUMNS:
        return _decode_words(table["patient_id"], cells, column, codes, findings)
    if column not in (*NUMBER_COLUMNS, *DATE_COLUMNS):
        return cells, {}
    decoded = []
    for patient, cell in zip(table["patient_id"], cells, strict=True):
        if cell is None:
            value = None
            _add(findings, patient, "Empty cells", column)
        elif column in DATE_COLUMNS:
            value = parse_date(cell, date_order)
            if value is None:
                _add(findings, patient, f"No dates in the order {date_order} with a year of four digits", column, cell)
        else:
            value = parse_number(cell, decimal)
            low, high = CLINICAL_RANGES.get(column, (None, None))
            if pd.isna(value):
                value = None
                _add(findings, patient, f"No numbers with the decimal mark {decimal!r}", column, cell)
            elif low is not None and not low <= value <= high:
                _add(findings, patient, f"Numbers outside {low:g} to {high:g}", column, cell)
        decoded.append(value)
    return pd.Series(decoded, index=cells.index, dtype=object), {}


def _decode_words(patients, cells, column, codes, findings):
    allowed = allowed_codes(column)
    meanings = {code.casefold(): code for code in allowed} | {word.casefold(): code for word, code in codes.items()}
    words = dict.fromkeys(str(cell) for cell in cells if cell is not None)
    proposed = propose_codes([word for word in words if word.casefold() not in meanings], column)
    decoded = []
    for patient, cell in zip(patients, cells, strict=True):
        word = "" if cell is None else str(cell)
        decoded.append(meanings.get(word.casefold()))
        if decoded[-1] is None:
            proposal = f", perhaps {proposed[word]!r}" if word in proposed else ""
            _add(findings, patient, "Words without a code" if word else "Empty cells", column, f"{word}{proposal}")
    return pd.Series(decoded, index=cells.index, dtype=object), proposed


def _add(findings, patient, finding, column="", value=""):
    text = f"{value:g}" if isinstance(value, float) else str(value)
    findings.append({"patient_id": patient, "finding": finding, "column": column, "value": text})


def _add_interval(table, findings):
    """Compute the interval from the dates; where the spreadsheet has it as well, report differences."""
    if not set(DATE_COLUMNS) <= set(table.columns):
        return
    intervals = []
    for row in table.to_dict("records"):
        dates = [row[name] for name in DATE_COLUMNS]
        days = None if any(map(is_missing, dates)) else (dates[1] - dates[0]).days
        stated = row.get("interval_days")
        if days is not None and days < 0:
            _add(findings, row["patient_id"], "Lesion before the end of radiotherapy", "interval_days", f"{days} days")
        if days is not None and not is_missing(stated) and stated != days:
            difference = f"{stated:g}, not {days}"
            _add(findings, row["patient_id"], "Interval differs from the dates", "interval_days", difference)
        intervals.append(days if is_missing(stated) else stated)
    table["interval_days"] = pd.Series(intervals, index=table.index, dtype=object)


def _ranked(series, table, near, **choosing):
    if "chosen" in getattr(series, "columns", ()):
        return series
    if near is None and "lesion_date" in table.columns:
        near = {
            patient: day
            for patient, day in zip(table["patient_id"], table["lesion_date"], strict=True)
            if not is_missing(day)
        }
    return choose_series(series, near=near, **choosing)


def _match(table, ranked, findings):
    """Return records by comparable id of the patients on both sides, and the ids that are on one side only."""
    records = dict(zip(normalise_ids(table["patient_id"]), table.to_dict("records"), strict=True))
    names = ranked["patient_id"].drop_duplicates()
    imaged = dict(zip(normalise_ids(names), names, strict=True))
    without_zeros = {}
    for key, name in imaged.items():
        without_zeros.setdefault((key or "").lstrip("0"), []).append(name)
    for key, record in records.items():
        similar = without_zeros.get(key.lstrip("0"), []) if key not in imaged else []
        if similar:
            _add(
                findings,
                record["patient_id"],
                OTHER_ZEROS,
                "patient_id",
                f"{record['patient_id']} / {', '.join(similar)}",
            )
    matched = {key: record for key, record in records.items() if key in imaged}
    return (
        matched,
        [record["patient_id"] for key, record in records.items() if key not in imaged],
        [name if name else "(no PatientID)" for key, name in imaged.items() if key not in records],
    )


def _join(key, record, ranked, chosen, to_copy, findings):
    """Return the row of a patient with a chosen series; None if there is none."""
    patient = record["patient_id"]
    is_patient = normalise_ids(chosen["patient_id"]).to_numpy() == key
    own = chosen[is_patient]
    if len(own) != 1:
        every = ranked[normalise_ids(ranked["patient_id"]).to_numpy() == key]
        doubt = next(filter(None, every["doubt"]), "no chosen series")
        text = f"{len(own)} chosen series, of several studies; give near or lesion_date" if len(own) > 1 else doubt
        candidates = every[every["rank"] <= 2] if len(own) == 0 else own
        for series in candidates.itertuples():
            number = "" if pd.isna(series.series_number) else f", series {series.series_number:g}"
            text += f"; {series.description!r}{number} in {series.folder} is {series.series_uid}"
        _add(findings, patient, LEFT_OUT, "image", text)
        return None
    best = own.iloc[0]
    row = record | {name: best[name] for name in ("study_date", "description", "series_uid")}
    if best["remark"]:
        _add(findings, patient, "Remarks on the chosen series", "image", best["remark"])
    end = row.get("radiotherapy_end")
    if not is_missing(end) and not pd.isna(best["study_date"]) and best["study_date"] < end:
        _add(findings, patient, "Study date before the end of radiotherapy", "image", f"{best['study_date']:%Y-%m-%d}")
    if "site" not in row:
        row["site"] = best["institution"] or None
        stated = row["site"] or "not stated"
        _add(findings, patient, "Site taken from InstitutionName of the images", "site", stated)
    if not any(name in row for name in POSITION_COLUMNS):
        row["lesion_slice"] = None
    row["image"] = _image_path(best, ranked)
    if row["image"] is None:
        to_copy[patient] = best["files"]
    return row


def _image_path(best, ranked):
    """Return what the loader can open: the file, or the folder if no other series is in it; None if it is."""
    if len(best["files"]) == 1 and best["format"] != "DICOM":
        return best["files"][0]
    folder = best["folder"]
    others = ranked.loc[ranked["series_uid"] != best["series_uid"], "folders"]
    if len(best["folders"]) > 1 or best["n_copies"] or any(folder in folders for folders in others):
        return None
    return folder
