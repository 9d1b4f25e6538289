"""Cohorts in the Brain Imaging Data Structure."""

import re
from pathlib import Path

from sklearn_pspd.cohort import CLINICAL_CODES, CLINICAL_COLUMNS, MAY_BE_UNKNOWN, OUTCOME_CODES, UNKNOWN

from .records import IMAGE_MODES, SEXES, Report, check_choice, deliver, read_records

ID_COLUMN = "participant_id"
MISSING = ("n/a", "")
COLUMNS = ("site", *CLINICAL_COLUMNS, "outcome")
IMAGE_NAME = re.compile(r"(sub-[^_]+)(?:_(ses-[^_]+))?_(?:.*_)?ce-gadolinium_(?:.*_)?T1w\.nii(?:\.gz)?", re.IGNORECASE)


def load_bids(
    root,
    *,
    columns=None,
    codes=None,
    images="required",
    session=None,
    mask_derivative=None,
    site=None,
    return_report=False,
):
    r"""Load a data set in the Brain Imaging Data Structure [1]_, from ``participants.tsv`` and post-contrast T1 images.

    Images are ``sub-<label>[/ses-<label>]/anat/sub-<label>[_ses-<label>][..]_ce-gadolinium[..]_T1w.nii[.gz]``, in any
    letter case: "ce-GADOLINIUM" is as common.

    Parameters
    ----------
    root : path-like
        Folder of the data set.
    columns : dict of str to str, default=None
        Columns of ``participants.tsv`` by the names of the library, for example ``{"age_years": "age"}``. Those of
        ``site``, the seven clinical columns and ``outcome`` that are not named are taken where the table has them
        under the library's name.
    codes : dict of str to dict, default=None
        Meaning of each text of ``sex``, ``mgmt``, ``idh`` and ``outcome``, for example
        ``{"outcome": {"TP": "PD", "PsP": "PsPD"}}``. The library's own words, and m, f, male and female in any letter
        case, need none; "n/a" in MGMT and IDH is "unknown".
    images : {"required", "available", "none"}, default="required"
        Whether a participant without an image is an error, is left out and reported, or no image is looked for.
    session : str, default=None
        Label of the session to take, without "ses-"; None if each participant has one post-contrast image.
    mask_derivative : str, default=None
        Folder in ``derivatives`` whose ``_dseg`` or ``_mask`` of the same participant and session is the lesion's mask;
        None adds no mask.
    site : str, default=None
        Name of the site where the table has no such column; None takes the folder's name.
    return_report : bool, default=False
        Whether findings are returned as a table rather than warned of.

    Returns
    -------
    cohort : DataFrame
        One row a participant: ``patient_id`` (with "sub-"), ``site``, those of the seven clinical columns and
        ``outcome`` that the table has, with images ``image`` and with `mask_derivative` ``lesion_mask``. Without a mask
        the lesion's position is yours to add.
    report : DataFrame
        With `return_report`: findings, one row each.

    Raises
    ------
    FileNotFoundError
        If ``participants.tsv`` is not there.
    ValueError
        If columns are missing, cells hold unknown codes or no numbers, images are missing or several, or a folder
        with images has no row; all at once.

    References
    ----------
    .. [1] Gorgolewski KJ et al. The brain imaging data structure, a format for organizing and describing outputs of
       neuroimaging experiments. Scientific Data 3, 160044 (2016). doi:10.1038/sdata.2016.44

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_pspd.datasets import load_bids
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     text = "participant_id\tage\tsex\nsub-01\t62\tM\n"
    ...     written = Path(folder, "participants.tsv").write_text(text)
    ...     load_bids(folder, columns={"age_years": "age"}, images="none", site="A")
      patient_id site  age_years   sex
    0     sub-01    A       62.0  male
    """
    check_choice("images", images, IMAGE_MODES)
    root = Path(root)
    report = Report(f"the BIDS data set {root}")
    path = root / "participants.tsv"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table; a BIDS data set has one")
    columns = _check_mappings(columns or {}, codes or {})
    records = read_records(path, report, ID_COLUMN, columns.values(), separator="\t")
    records.refuse_repeated_ids(ID_COLUMN)
    present = {name: columns.get(name, name) for name in COLUMNS if columns.get(name, name) in records.table.columns}
    values = {name: _values(records, column, name, codes or {}) for name, column in present.items()}
    found = _index_images(root) if images != "none" else {}
    for name in sorted(set(found) - set(records.ids)):
        report.problem(f"{name}: has post-contrast images and no row in {path}")
    rows = []
    for number, patient_id in enumerate(records.ids):
        row = {"patient_id": patient_id, "site": site or root.resolve().name}
        row |= {name: column[number] for name, column in values.items()}
        if images == "none" or _add_image(row, root, found, session, mask_derivative, images, report):
            rows.append(row)
    return deliver(rows, report, return_report)


def _check_mappings(columns, codes):
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise ValueError(f"columns takes the names {', '.join(COLUMNS)}; got {', '.join(map(repr, unknown))}")
    for name, meanings in codes.items():
        allowed = _allowed(name)
        wrong = [code for code in meanings.values() if code not in allowed]
        if not allowed or wrong:
            named = f"{name}: {wrong[0]!r}" if allowed else repr(name)
            raise ValueError(f"codes gives words of the library for sex, mgmt, idh and outcome; got {named}")
    return columns


def _allowed(name):
    if name == "outcome":
        return tuple(OUTCOME_CODES)
    return (*CLINICAL_CODES.get(name, ()), *([UNKNOWN] if name in MAY_BE_UNKNOWN else []))


def _values(records, column, name, codes):
    if name == "site":
        return records.texts(column)
    if name not in CLINICAL_CODES and name != "outcome":
        return records.numbers(column, missing=MISSING)
    meanings = {code: code for code in _allowed(name)} | dict.fromkeys(
        MISSING, UNKNOWN if name in MAY_BE_UNKNOWN else None
    )
    if name == "sex":
        meanings |= {spelt: code for text, code in SEXES.items() for spelt in (text, text.upper(), text.capitalize())}
    return records.codes(column, meanings | {str(text): code for text, code in codes.get(name, {}).items()})


def _index_images(root):
    """Return the post-contrast T1 images of each participant, as (session or None, path)."""
    found = {}
    for path in sorted([*root.glob("sub-*/anat/*"), *root.glob("sub-*/ses-*/anat/*")]):
        parts = IMAGE_NAME.fullmatch(path.name)
        if parts:
            found.setdefault(path.relative_to(root).parts[0], []).append((parts[2], path))
    return found


def _add_image(row, root, found, session, mask_derivative, images, report):
    """Add the image and its mask; say whether the participant stays."""
    patient_id = row["patient_id"]
    wanted = [(label, path) for label, path in found.get(patient_id, []) if session in (None, (label or "")[4:])]
    if not wanted:
        where = f"{root / patient_id}{f' in session {session}' if session else ''}"
        report.missing_image(images, patient_id, f"no ce-gadolinium T1w image below {where}")
        return False
    if len(wanted) > 1:
        listing = ", ".join(str(path.relative_to(root)) for _, path in wanted)
        report.problem(f"{patient_id}: {len(wanted)} post-contrast images ({listing}); name one session=")
        return False
    label, path = wanted[0]
    row["image"] = str(path.resolve())
    if mask_derivative is not None:
        row["lesion_mask"] = _find_mask(root / "derivatives" / mask_derivative, patient_id, label, report)
    return True


def _find_mask(folder, patient_id, session, report):
    place = folder / patient_id / (session or "") / "anat"
    names = re.compile(r".*_(dseg|mask)\.nii(\.gz)?")
    masks = sorted(path for path in place.glob("*") if names.fullmatch(path.name))
    if len(masks) > 1:
        report.problem(f"{patient_id}: {len(masks)} masks in {place} ({', '.join(path.name for path in masks)})")
    if not masks:
        report.find(patient_id, "no mask, so no position of the lesion", value=place)
        return None
    return str(masks[0].resolve())
