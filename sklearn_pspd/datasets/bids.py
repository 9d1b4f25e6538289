"""Cohorts in the Brain Imaging Data Structure."""

from pathlib import Path
from typing import NamedTuple

from sklearn_pspd.cohort.columns import CLINICAL_CODES, CLINICAL_COLUMNS, MAY_BE_UNKNOWN, OUTCOME_CODES, UNKNOWN
from sklearn_pspd.exceptions import InputError

from ._records import IMAGE_MODES, SEXES, Report, check_choice, check_mappings, deliver, read_records

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
    entities : dict of str to str, default=None
        Labels of other entities of the name, where a session has several post-contrast images: ``{"run": "1"}`` or
        ``{"acq": "mprage", "run": None}``, where None means that the name has no such entity. "1" is "01" too.
    mask_derivative : str, default=None
        Folder in ``derivatives`` whose ``_dseg`` or ``_mask`` of the same participant, session and run is the lesion's
        mask; masks with ``desc-brain`` or ``label-brain`` are not. None adds no mask.
    site : str, default=None
        Name of the site where the table has none; None takes the folder's name if there is no such column.
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
        If columns are missing, cells hold unknown codes, no numbers or numbers out of range, a site is "n/a" and
        `site` is not given, images are missing or several, an image's name belongs to another folder, or a folder with
        images has no row; all at once.

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
    check_mappings(columns=columns, codes=codes, entities=entities)
    root = Path(root)
    report = Report(f"the BIDS data set {root}")
    path = root / "participants.tsv"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table; a BIDS data set has one")
    columns = _check_mappings(columns or {}, codes or {})
    records = read_records(path, report, ID_COLUMN, columns.values(), separator="\t")
    records.refuse_repeated_ids(ID_COLUMN)
    present = {name: columns.get(name, name) for name in COLUMNS if columns.get(name, name) in records.table.columns}
    values = {name: _values(records, column, name, codes or {}, site) for name, column in present.items()}
    found = _index_images(root, report) if images != "none" else {}
    wanted = {**({} if session is None else {"ses": session}), **(entities or {})}
    for name in sorted(set(found) - set(records.ids)):
        report.problem(f"{name}: has post-contrast images and no row in {path}")
    rows = []
    for number, patient_id in enumerate(records.ids):
        row = {"patient_id": patient_id, "site": site or root.resolve().name}
        row |= {name: column[number] for name, column in values.items()}
        if images == "none" or _add_image(row, root, found, wanted, mask_derivative, images, report):
            rows.append(row)
    return deliver(rows, report, return_report)


def _check_mappings(columns, codes):
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise InputError(f"columns takes the names {', '.join(COLUMNS)}; got {', '.join(map(repr, unknown))}")
    for name, meanings in codes.items():
        allowed = _allowed(name)
        wrong = [code for code in meanings.values() if code not in allowed]
        if not allowed or wrong:
            named = f"{name}: {wrong[0]!r}" if allowed else repr(name)
            raise InputError(f"codes gives words of the library for sex, mgmt, idh and outcome; got {named}")
    return columns


def _allowed(name):
    if name == "outcome":
        return tuple(OUTCOME_CODES)
    return (*CLINICAL_CODES.get(name, ()), *([UNKNOWN] if name in MAY_BE_UNKNOWN else []))


def _values(records, column, name, codes, site):
    if name == "site":
        return _sites(records, column, site)
    if name not in CLINICAL_CODES and name != "outcome":
        return records.clinical_numbers(column, name, missing=MISSING)
    meanings = {code: code for code in _allowed(name)} | dict.fromkeys(
        MISSING, UNKNOWN if name in MAY_BE_UNKNOWN else None
    )
    if name == "sex":
        meanings |= {spelt: code for text, code in SEXES.items() for spelt in (text, text.upper(), text.capitalize())}
    return records.codes(column, meanings | {str(text): code for text, code in codes.get(name, {}).items()})


def _sites(records, column, site):
    """Return the sites, and the one given where the table has none."""
    found = records.texts(column)
    for number, text in enumerate(found):
        if text in MISSING and site is None:
            records.problem(number, column, f"holds {text!r}; site= names the site of such participants")
    return [site if text in MISSING else text for text in found]


def _index_images(root, report):
    """Return the post-contrast T1 images of each participant; note names that do not belong to their folders."""
    found = {}
    for path in sorted([*root.glob("sub-*/anat/*"), *root.glob("sub-*/ses-*/anat/*")]):
        entities = _entities(path, IMAGE_SUFFIX)
        if entities.get("ce", "").casefold() == CONTRAST and _belongs(path, root, entities, report):
            found.setdefault(path.relative_to(root).parts[0], []).append(_File(path, entities))
    return found


def _entities(path, suffix):
    """Return the entities of a name such as sub-01_ses-02_T1w.nii.gz, or none if it has another suffix."""
    name, _, ending = path.name.partition(".")
    *pairs, found = name.split("_")
    if found.casefold() not in suffix or ending.casefold() not in ENDINGS or not all("-" in pair for pair in pairs):
        return {}
    split = (pair.split("-", 1) for pair in pairs)
    return {key.casefold(): label for key, label in split}


def _belongs(path, root, entities, report):
    """Say whether the participant and session of a name are those of its folders."""
    folders = dict(part.split("-", 1) for part in path.relative_to(root).parts[:-2])
    for key in ("sub", "ses"):
        if folders.get(key) != entities.get(key):
            places = [f"{key}-{of[key]}" if key in of else f"no {key}-" for of in (entities, folders)]
            report.problem(f"{path}: the name has {places[0]}, the folders {places[1]}")
            return False
    return True


def _has(entities, wanted):
    """Say whether a name has these entities; numbers may be padded, and None stands for their absence."""
    return all(_bare(entities.get(key)) == _bare(label) for key, label in wanted.items())


def _bare(label):
    text = None if label is None else str(label)
    return int(text) if text and text.isdecimal() else text


def _add_image(row, root, found, wanted, mask_derivative, images, report):
    """Add the image and its mask; say whether the participant stays."""
    patient_id = row["patient_id"]
    files = [file for file in found.get(patient_id, []) if _has(file.entities, wanted)]
    if not files:
        asked = "".join(f", {key}-{label}" if label is not None else f", no {key}-" for key, label in wanted.items())
        report.missing_image(images, patient_id, f"no ce-gadolinium T1w image below {root / patient_id}{asked}")
        return False
    if len(files) > 1:
        listing = ", ".join(str(file.path.relative_to(root)) for file in files)
        report.problem(f"{patient_id}: {len(files)} post-contrast images ({listing}); choose by session= or entities=")
        return False
    row["image"] = str(files[0].path.resolve())
    if mask_derivative is not None:
        row["lesion_mask"] = _find_mask(root / "derivatives" / mask_derivative, patient_id, files[0].entities, report)
    return True


def _find_mask(derivative, patient_id, image, report):
    """Return the mask of the image's participant, session and run; one of the brain is not of the lesion."""
    folder = derivative / patient_id / (f"ses-{image['ses']}" if "ses" in image else "") / "anat"
    masks = []
    for path in sorted(folder.glob("*")):
        entities = _entities(path, MASK_SUFFIX)
        of_brain = BRAIN in (entities.get("desc"), entities.get("label"))
        same_run = "run" not in entities or _has(entities, {"run": image.get("run")})
        if entities and not of_brain and same_run and _belongs(path, derivative, entities, report):
            masks.append(path)
    if len(masks) > 1:
        report.problem(f"{patient_id}: {len(masks)} masks in {folder} ({', '.join(path.name for path in masks)})")
    if not masks:
        report.find(patient_id, "no mask, so no position of the lesion", value=folder)
        return None
    return str(masks[0].resolve())
