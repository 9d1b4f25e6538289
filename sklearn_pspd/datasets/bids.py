"""Cohorts in the Brain Imaging Data Structure."""

from pathlib import Path
from typing import NamedTuple

from sklearn_pspd.cohort.columns import CLINICAL_CODES, CLINICAL_COLUMNS, MAY_BE_UNKNOWN, UNKNOWN
from sklearn_pspd.cohort.image_files import file_problem
from sklearn_pspd.exceptions import InputError

from ._records import (
    IMAGE_MODES,
    SEXES,
    Report,
    check_choice,
    check_codes,
    check_mappings,
    has_image,
    read_records,
    to_cohort,
)

ID_COLUMN = "participant_id"
MISSING = ("n/a", "")
COLUMNS = ("site", *CLINICAL_COLUMNS, "outcome")
CONTRAST = "gadolinium"
ENDINGS = ("nii", "nii.gz")
IMAGE_SUFFIX = ("t1w",)
MASK_SUFFIX = ("dseg", "mask")
BRAIN = "brain"


class _File(NamedTuple):
    path: Path
    entities: dict


def load_bids(
    root,
    *,
    columns=None,
    codes=None,
    images="required",
    session=None,
    entities=None,
    mask_derivative=None,
    site=None,
    return_report=False,
):
    r"""Load a data set in the Brain Imaging Data Structure, from ``participants.tsv`` and post-contrast T1 images.

    The structure is that of [1]_. Images are
    ``sub-<label>[/ses-<label>]/anat/sub-<label>[_ses-<label>][..]_ce-gadolinium[..]_T1w.nii[.gz]``, in upper or lower
    case ("ce-GADOLINIUM" is also common).

    Parameters
    ----------
    root : path-like
        Folder of the data set.
    columns : dict of str to str, default=None
        Columns of ``participants.tsv`` for the library's names, for example ``{"age_years": "age"}``. For ``site``, the
        seven clinical columns and ``outcome``, a column with the library's name is used if none is stated.
    codes : dict of str to dict, default=None
        The library's code for each text of ``sex``, ``mgmt``, ``idh`` and ``outcome``, for example
        ``{"outcome": {"TP": "PD", "PsP": "PsPD"}}``. The library's own codes, and m, f, male and female in upper or
        lower case, need not be listed; "n/a" in MGMT and IDH is "unknown".
    images : {"required", "available", "none"}, default="required"
        What happens if a participant has no image: "required" raises an error, "available" leaves the participant out
        and reports this, "none" does not look for images.
    session : str, default=None
        Label of the session to use, without "ses-"; None if each participant has one post-contrast image.
    entities : dict of str to str, default=None
        Labels of other entities of the file name, if a session has several post-contrast images: ``{"run": "1"}`` or
        ``{"acq": "mprage", "run": None}``, where None requires that the name lacks this entity. "1" also matches "01".
    mask_derivative : str, default=None
        Folder in ``derivatives`` whose ``_dseg`` or ``_mask`` file of the same participant, session and run is the
        lesion mask; files with ``desc-brain`` or ``label-brain`` are ignored. None adds no mask.
    site : str, default=None
        Name of the site for participants without one in the table; None uses the name of the folder if the table has no
        such column.
    return_report : bool, default=False
        Whether to return the findings as a table instead of issuing a warning.

    Returns
    -------
    cohort : DataFrame
        One row per participant: ``patient_id`` (with "sub-"), ``site``, the seven clinical columns and ``outcome`` if
        the table contains them, ``image`` (with images) and ``lesion_mask`` (with `mask_derivative`). Without a mask,
        add the lesion position yourself.
    report : DataFrame
        Only with `return_report`: one row per finding, with the columns patient_id, finding, column, value and
        in_cohort.

    Raises
    ------
    FileNotFoundError
        If ``participants.tsv`` does not exist.
    InputError
        If columns are missing, cells hold unknown codes, text instead of numbers, or numbers out of range, a site is
        "n/a" and `site` is not given, a participant has no image or several, the name of an image does not match its
        folder, or a folder with images has no row; all problems are listed.

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
    # Parameters.
    check_choice("images", images, IMAGE_MODES)
    check_mappings(columns=columns, codes=codes, entities=entities)
    columns, codes = columns or {}, codes or {}
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise InputError(f"columns takes the names {', '.join(COLUMNS)}; got {', '.join(map(repr, unknown))}")
    check_codes(codes, (*CLINICAL_CODES, "outcome"))
    # The table of participants.
    root = Path(root)
    report = Report(f"the BIDS data set {root}")
    path = root / "participants.tsv"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table; a BIDS data set must contain it")
    records = read_records(path, report, ID_COLUMN, columns.values(), separator="\t")
    records.refuse_repeated_ids(ID_COLUMN)
    present = {name: columns.get(name, name) for name in COLUMNS if columns.get(name, name) in records.table.columns}
    values = {name: _values(records, column, name, codes, site) for name, column in present.items()}
    # Images, joined to the rows of the table.
    found = _index_images(root, report) if images != "none" else {}
    wanted = {**({} if session is None else {"ses": session}), **(entities or {})}
    for name in sorted(set(found) - set(records.ids)):
        report.add_problem(f"{name}: has post-contrast images but no row in {path}")
    rows = []
    for number, patient_id in enumerate(records.ids):
        row = {"patient_id": patient_id, "site": site or root.resolve().name}
        row |= {name: column[number] for name, column in values.items()}
        if images == "none" or _add_image(row, root, found, wanted, mask_derivative, images, report):
            rows.append(row)
    return to_cohort(rows, report, return_report)


def _values(records, column, name, codes, site):
    if name == "site":
        return _sites(records, column, site)
    if name not in CLINICAL_CODES and name != "outcome":
        return records.clinical_numbers(column, name, missing=MISSING)
    meanings = dict.fromkeys(MISSING, UNKNOWN if name in MAY_BE_UNKNOWN else None)
    if name == "sex":
        meanings |= {spelt: code for text, code in SEXES.items() for spelt in (text, text.upper(), text.capitalize())}
    return records.library_codes(column, name, meanings | codes.get(name, {}))


def _sites(records, column, site):
    """Return the site of each participant; `site` replaces missing ones."""
    found = records.texts(column)
    for number, text in enumerate(found):
        if text in MISSING and site is None:
            records.add_problem(number, column, f"holds {text!r}; pass site= for participants without a site")
    return [site if text in MISSING else text for text in found]


def _index_images(root, report):
    """Return the post-contrast T1 images of each participant; names that do not match their folders are problems."""
    found = {}
    for path in sorted([*root.glob("sub-*/anat/*"), *root.glob("sub-*/ses-*/anat/*")]):
        entities = _entities(path, IMAGE_SUFFIX)
        if entities.get("ce", "").casefold() == CONTRAST and _belongs(path, root, entities, report):
            found.setdefault(path.relative_to(root).parts[0], []).append(_File(path, entities))
    return found


def _entities(path, suffix):
    """Return the entities of a name such as sub-01_ses-02_T1w.nii.gz; empty if it has another suffix."""
    name, _, ending = path.name.partition(".")
    *pairs, found = name.split("_")
    if found.casefold() not in suffix or ending.casefold() not in ENDINGS or not all("-" in pair for pair in pairs):
        return {}
    split = (pair.split("-", 1) for pair in pairs)
    return {key.casefold(): label for key, label in split}


def _belongs(path, root, entities, report):
    """Return whether the participant and session of a file name are those of its folders."""
    folders = dict(part.split("-", 1) for part in path.relative_to(root).parts[:-2])
    for key in ("sub", "ses"):
        if folders.get(key) != entities.get(key):
            places = [f"{key}-{of[key]}" if key in of else f"no {key}-" for of in (entities, folders)]
            report.add_problem(f"{path}: the file name has {places[0]}, its folders {places[1]}")
            return False
    return True


def _has(entities, wanted):
    """Return whether a name has these entities; numbers may have leading zeros, and None requires absence."""
    return all(_bare(entities.get(key)) == _bare(label) for key, label in wanted.items())


def _bare(label):
    text = None if label is None else str(label)
    return int(text) if text and text.isdecimal() else text


def _add_image(row, root, found, wanted, mask_derivative, images, report):
    """Add the image and its mask; return whether the participant stays in the cohort."""
    patient_id = row["patient_id"]
    files = [file for file in found.get(patient_id, []) if _has(file.entities, wanted)]
    if not files:
        asked = "".join(f", {key}-{label}" if label is not None else f", no {key}-" for key, label in wanted.items())
        report.add_missing_image(images, patient_id, f"no ce-gadolinium T1w image below {root / patient_id}{asked}")
        return False
    if len(files) > 1:
        listing = ", ".join(str(file.path.relative_to(root)) for file in files)
        report.add_problem(
            f"{patient_id}: {len(files)} post-contrast images ({listing}); select one by session= or entities="
        )
        return False
    if not has_image(report, images, patient_id, files[0].path):
        return False
    row["image"] = str(files[0].path.resolve())
    if mask_derivative is not None:
        row["lesion_mask"] = _find_mask(root / "derivatives" / mask_derivative, patient_id, files[0].entities, report)
    return True


def _find_mask(derivative, patient_id, image, report):
    """Return the lesion mask with the participant, session and run of the image; brain masks are ignored."""
    folder = derivative / patient_id / (f"ses-{image['ses']}" if "ses" in image else "") / "anat"
    masks = []
    for path in sorted(folder.glob("*")):
        entities = _entities(path, MASK_SUFFIX)
        of_brain = BRAIN in (entities.get("desc"), entities.get("label"))
        same_run = "run" not in entities or _has(entities, {"run": image.get("run")})
        if entities and not of_brain and same_run and _belongs(path, derivative, entities, report):
            masks.append(path)
    if len(masks) > 1:
        report.add_problem(f"{patient_id}: {len(masks)} masks in {folder} ({', '.join(path.name for path in masks)})")
    if not masks:
        report.add_finding(patient_id, "no mask, so the lesion position is missing", value=folder)
        return None
    if problem := file_problem(masks[0]):
        report.add_problem(f"{patient_id}: {masks[0]} {problem}")
    return str(masks[0].resolve())
