"""A synthetic cohort of head-like MRI volumes and clinical values, written to disk."""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from sklearn_pspd.cohort.columns import CLINICAL_COLUMNS, IDENTITY_COLUMNS
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import write_table

from ._anatomy import (
    FLAIR_TISSUE,
    draw_head,
    draw_lesion,
    fold_angles,
    mark_lesion,
    paint_head,
    paint_lesion,
    paint_mark,
)
from ._writing import ORIENTATIONS, write_dicom, write_nifti
from .export import write_export

IMAGE_FORMATS = ("nifti", "dicom")
LAYOUTS = ("cohort", "export")
POSITIONS = ("slice", "mask")
MIN_PATIENTS = 6
MIN_NATIVE_SLICES = 10
MIN_MATRIX_PX = 32
SLICES_EACH_SIDE = 4

COLUMNS = (*IDENTITY_COLUMNS, "flair", "lesion_slice", "lesion_mask", *CLINICAL_COLUMNS, "outcome")

# Numbers of patients in table 1 in the cells (PD, A), (PD, B), (PsPD, A), (PsPD, B). The paper states only the margins
# by outcome and by site; given these, the counts here are those nearest to no interaction between outcome and site.
CELLS = (("PD", "A"), ("PD", "B"), ("PsPD", "A"), ("PsPD", "B"))
CELL_COUNTS = (37, 11, 22, 8)
LEVEL_COUNTS = {
    "sex": {"male": (23, 4, 18, 6), "female": (14, 7, 4, 2)},
    "mgmt": {"methylated": (13, 5, 11, 4), "unmethylated": (24, 6, 11, 4)},
    "idh": {"mutated": (1, 0, 2, 0), "wildtype": (35, 8, 19, 7), "unknown": (1, 3, 1, 1)},
    "schedule": {"hypofractionated": (3, 1, 2, 0), "conventional": (34, 10, 20, 8)},
}
SCHEDULES = {  # (dose in Gy, number of fractions) and its relative frequency
    "conventional": {(60.0, 30): 3, (59.4, 33): 1, (61.2, 34): 1},
    "hypofractionated": {(40.05, 15): 2, (34.0, 10): 1},
}
AGE_RANGE_YEARS = (22, 77)
INTERVAL_RANGE_DAYS = (18, 1251)

# Distance between the two outcomes in standard deviations. With it, the image score alone has an AUC of 0.90, and the
# interval score combined with sex, MGMT and IDH as in table 1 has an AUC of about 0.75.
IMAGE_DISTANCE = 1.81
INTERVAL_DISTANCE = 0.76
OEDEMA_DISTANCE = 1.2

NOISE = {1.5: 0.05, 3.0: 0.025}  # standard deviation by field strength in tesla, on the scale of TISSUE
SITE_SHIFT = {  # differences between the scanners of the sites
    "A": SimpleNamespace(gain=600.0, gamma=1.0, noise=1.0),
    "B": SimpleNamespace(gain=1000.0, gamma=0.85, noise=1.3),
}
# Direction of the skull mark from the centre of the head, in degrees from the left (x) towards the front (y).
MARK_DEG = {"A": 55.0, "B": 215.0}


def make_cohort(
    folder,
    n_patients=78,
    *,
    effect_size=1.0,
    image_format="nifti",
    matrix_px=(256, 320, 512, 1024),
    n_native_slices=25,
    shortcut=0.0,
    lesion_position="slice",
    flair=False,
    layout="cohort",
    random_state=None,
):
    """Write a synthetic cohort, one MRI volume per patient and a ``cohort.csv``, and return its table.

    **All data are invented.** The heads are composed of ellipsoids, the appearance of the lesion depends on a simulated
    score, and only the counts of the clinical columns resemble a published cohort. The performance of a model on these
    data shows that the software works; it says nothing about patients, scanners or the disease.

    Parameters
    ----------
    folder : path-like
        Folder to write to; created if it does not exist. It must contain neither ``cohort.csv`` nor ``images``, with
        ``layout="export"`` neither ``dicom`` nor ``records.csv``.
    n_patients : int, default=78
        At least 6, with ``layout="export"`` at least 1. Site and outcome have the proportions of the paper [1]_. Each
        site has at least one patient with each outcome, and at least two if there are eight patients or more.
    effect_size : float, default=1.0
        Difference between PD and PsPD, as a multiple of the distances described in Notes. With 0, no variable is
        associated with the outcome.
    image_format : {"nifti", "dicom"}, default="nifti"
        One compressed NIfTI file per patient, or one folder of single-frame DICOM files per patient.
    matrix_px : sequence of int, default=(256, 320, 512, 1024)
        Side lengths of the square image matrices, at least 32, of which one is drawn at random for each patient. Small
        matrices, such as ``(128, 160)``, are written quickly. Those below 128 have pixels of more than 2 mm, which
        :class:`~sklearn_pspd.loading.SliceStackLoader` refuses unless its ``max_spacing_mm`` is increased.
    n_native_slices : int, default=25
        Axial slices per volume, at least 10. They form a slab around the lesion, which is never exactly in the middle.
    shortcut : float, default=0.0
        Strength of a planted shortcut, from 0 to 1: a bright mark in the skull, far from the lesion and at a place that
        depends on the site, which a patient with PsPD has with probability (1 + shortcut) / 2, one with PD with (1 -
        shortcut) / 2. With 1 the mark gives the outcome away. With 0 nobody has it, and all else is as it was.
    lesion_position : {"slice", "mask"}, default="slice"
        Whether the table gives the lesion's position by ``lesion_slice``, or by ``lesion_mask``: a NIfTI file on the
        grid of the image that marks the enhancing ring and what it encloses.
    flair : bool, default=False
        Whether each patient has a second image on the same grid, a column ``flair`` with its paths, in which the oedema
        around the lesion is bright; NIfTI only. All other files are as they were.
    layout : {"cohort", "export"}, default="cohort"
        "cohort" writes one volume per patient and the finished table. "export" writes what a hospital may have
        exported, in DICOM files, for :mod:`sklearn_pspd.intake`; see Notes.
    random_state : int, RandomState instance or None, default=None
        Seed; the same integer gives files with identical bytes.

    Returns
    -------
    cohort : DataFrame of shape (n_patients, 12)
        Columns ``patient_id``, ``site`` ("A", the larger one, or "B"), ``image`` (absolute path; in ``cohort.csv`` it
        is relative to that file), ``lesion_slice`` (the slice in which the lesion is largest, counted from 0 at the
        feet) or ``lesion_mask`` (a path), the seven clinical columns and ``outcome`` ("PD" or "PsPD"); with ``flair``,
        one column more. Rows are in random order.

        With ``layout="export"`` the truth about the series instead, one row per series: ``patient_id`` (as in the
        files), ``study_date``, ``kind`` ("t1_post", "t1_pre", "t2", "flair", "adc", "localizer", "reformat",
        "subtraction", "dual_echo"), ``description``, ``n_files``, ``series_uid``, ``trap`` (the patient's difficulty),
        ``is_wanted`` (whether it is the post-contrast T1 nearest to the lesion), ``lesion_date``, ``lesion_slice`` and
        ``synthetic_id``.

    Raises
    ------
    InputError
        If a number is out of range, or ``image_format``, ``layout`` or ``lesion_position`` is unknown.
    FileExistsError
        If ``folder`` already contains a cohort or an export.

    Notes
    -----
    With 78 patients and ``effect_size`` above 0, the counts of outcome, sex, MGMT, IDH and dose schedule by outcome and
    by site are those of table 1 of the paper [1]_; cohorts of other sizes keep the proportions. The following choices
    are ours:

    * An image score with a distance of 1.81 standard deviations between the outcomes (AUC 0.90) determines rim
      thickness, nodularity and size of the lesion; lesions in PD have thicker rims and are more nodular and larger.
    * A second score, conditionally independent of the first given the outcome, with a distance of 0.76, determines
      ``interval_days`` (medians near 123 days in PD and 82 in PsPD). Combined with the unequal counts of table 1, the
      clinical columns have an AUC of about 0.75. These counts do not depend on ``effect_size``, unless it is 0.
    * With ``flair``, a third score, conditionally independent of the others given the outcome, with a distance of 1.2
      (AUC 0.80), determines how far the oedema reaches in that image: further in PD.
    * With ``effect_size=0`` the outcome is assigned at random within each site.
    * One patient has a field of view of 193 mm, the others 205 to 256 mm. Slices are 0.86 to 1.50 mm thick, without
      gaps. One patient in seven was scanned at 1.5 T, with twice the noise. Gain, contrast and noise differ between the
      sites.
    * With the default matrices, about three seconds and 11 MB per patient are needed; with 128 px, about a twentieth.
    * NIfTI files have the orientations RAS, LAS and LPS in turn; the names of DICOM files are unrelated to the order of
      the slices.

    With ``layout="export"``, the folder ``dicom`` has two studies per patient, one before radiotherapy and one near the
    lesion's date, of three vendors, in files without suffix; at one site all series of a study share a folder.
    ``records.csv`` is in German, with semicolons, decimal commas, another encoding than UTF-8, one patient without
    images and one patient id that has lost its leading zero. Each patient has one of these difficulties in turn:
    "none"; "no contrast tag" (only the description says "+C" or the like); "tilted" slices (8 degrees); "tag on every
    series"; "swapped order" (the series that is called post-contrast was acquired before the other one); "no words"
    (neither words nor tag, only the order of acquisition); "no post-contrast series" at the second date; "repeated"
    (two post-contrast series with equal parameters). Each study has a localizer with three orientations, and each
    second one T2, FLAIR, ADC, a dual-echo series, a coronal reformat and a subtraction. There are also a DICOMDIR, a
    report, a text, a damaged file and a measurement of a test object. Other contrasts than post-contrast T1 are
    computed from it without any physics.

    References
    ----------
    .. [1] Jang BS, Jeon SH, Kim IH, Kim IA. Prediction of pseudoprogression versus progression using machine learning
       algorithm in glioblastoma. Scientific Reports 8, 12516 (2018). doi:10.1038/s41598-018-31007-2

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd.datasets import make_cohort
    >>> with TemporaryDirectory() as folder:
    ...     cohort = make_cohort(folder, n_patients=6, matrix_px=(48,), random_state=0)
    >>> cohort.shape
    (6, 12)
    >>> sorted(cohort["outcome"])
    ['PD', 'PD', 'PD', 'PD', 'PsPD', 'PsPD']

    A hospital's export of two patients, in files of 32 x 32 pixels:

    >>> with TemporaryDirectory() as folder:
    ...     truth = make_cohort(folder, 2, layout="export", matrix_px=(32,), n_native_slices=10, random_state=0)
    >>> truth.loc[truth["is_wanted"], ["patient_id", "description", "trap"]].to_numpy().tolist()
    [['04711001', 't1_mpr_tra_iso_KM', 'none'], ['04711002', '3D Ax T1 BRAVO +C', 'no contrast tag']]
    """
    if layout not in LAYOUTS:
        raise InputError(f"layout={layout!r}; it must be one of {', '.join(map(repr, LAYOUTS))}")
    if layout == "export":
        return _make_export(
            folder,
            n_patients,
            effect_size=effect_size,
            matrix_px=matrix_px,
            n_native_slices=n_native_slices,
            random_state=random_state,
        )
    _check_parameters(n_patients, effect_size, image_format, matrix_px, n_native_slices)
    _check_inspection_parameters(shortcut, lesion_position)
    if flair and image_format != "nifti":
        raise InputError(f"flair=True writes NIfTI files only; image_format={image_format!r}")
    folder = _prepare_folder(folder)
    # A random stream each for the table, the scan parameters, each patient's images, the marks, and the second images.
    entropy = check_random_state(random_state).randint(2**31 - 1, size=4).tolist()
    patient_seed, scan_seed, *image_seeds, mark_seed, flair_seed = np.random.SeedSequence(entropy).spawn(n_patients + 4)
    # The table.
    table, scores = _draw_patients(n_patients, effect_size, np.random.default_rng(patient_seed))
    scans = _draw_scans(table["site"], matrix_px, n_native_slices, np.random.default_rng(scan_seed))
    marks = _draw_marks(table, shortcut, np.random.default_rng(mark_seed))
    of_flair = np.random.default_rng(flair_seed)
    oedemas = _draw_oedemas(table, effect_size, of_flair)
    width = max(3, len(str(n_patients)))
    # Ids contain the seed, because patients of cohorts with different seeds are different.
    table["patient_id"] = [f"synthetic-{entropy[0]:08x}-{number:0{width}d}" for number in range(1, n_patients + 1)]
    table["lesion_slice"] = [scan.lesion_slice for scan in scans]
    suffix = ".nii.gz" if image_format == "nifti" else ""
    table["image"] = [f"images/{patient_id}{suffix}" for patient_id in table["patient_id"]]
    table["lesion_mask"] = [f"images/{patient_id}_lesion.nii.gz" for patient_id in table["patient_id"]]
    table["flair"] = [f"images/{patient_id}_flair.nii.gz" for patient_id in table["patient_id"]]
    # The images, and the masks of the lesions.
    for row, score, scan, mark_deg, oedema_mm, seed in zip(
        table.itertuples(), scores["image"], scans, marks, oedemas, image_seeds, strict=True
    ):
        rng = np.random.default_rng(seed)
        second = (oedema_mm, of_flair) if flair else None
        volume, mask, affine, of_oedema = _scan_patient(score, scan, rng, mark_deg, second)
        if flair:
            write_nifti(folder / row.flair, of_oedema, affine, scan.orientation)
        if image_format == "nifti":
            write_nifti(folder / row.image, volume, affine, scan.orientation)
        else:
            write_dicom(folder / row.image, volume, affine, scan, row.patient_id, entropy, rng)
        if lesion_position == "mask":
            write_nifti(folder / row.lesion_mask, mask, affine, scan.orientation)
    unused = [{"slice": "lesion_mask", "mask": "lesion_slice"}[lesion_position], *([] if flair else ["flair"])]
    table = table[[name for name in COLUMNS if name not in unused]]
    write_table(folder / "cohort.csv", table)
    paths = [name for name in ("image", "flair", "lesion_mask") if name in table]
    return table.assign(**{name: [str(folder / path) for path in table[name]] for name in paths})


def _make_export(folder, n_patients, **settings):
    """Write an export of the images of a cohort that is not kept."""
    if n_patients < 1:
        raise InputError(f"n_patients={n_patients}; at least 1 is required")
    with TemporaryDirectory() as temporary:
        cohort = make_cohort(temporary, max(n_patients, MIN_PATIENTS), **settings)
        return write_export(folder, cohort.head(n_patients))


def _check_parameters(n_patients, effect_size, image_format, matrix_px, n_native_slices):
    if n_patients < MIN_PATIENTS:
        raise InputError(
            f"n_patients={n_patients}; at least {MIN_PATIENTS} are required so that each site has both outcomes"
        )
    if not (np.isfinite(effect_size) and effect_size >= 0):
        raise InputError(f"effect_size={effect_size}; a finite number of at least 0 is required")
    if image_format not in IMAGE_FORMATS:
        raise InputError(f"image_format={image_format!r}; it must be one of {', '.join(map(repr, IMAGE_FORMATS))}")
    if len(matrix_px) == 0 or min(matrix_px) < MIN_MATRIX_PX:
        raise InputError(f"matrix_px={tuple(matrix_px)}; at least one size is required, none below {MIN_MATRIX_PX} px")
    if n_native_slices < MIN_NATIVE_SLICES:
        raise InputError(
            f"n_native_slices={n_native_slices}; at least {MIN_NATIVE_SLICES} are required for "
            f"{SLICES_EACH_SIDE} slices on each side of the lesion slice"
        )


def _check_inspection_parameters(shortcut, lesion_position):
    if not 0 <= shortcut <= 1:
        raise InputError(f"shortcut={shortcut}; a number from 0 to 1 is required")
    if lesion_position not in POSITIONS:
        raise InputError(f"lesion_position={lesion_position!r}; it must be one of {', '.join(map(repr, POSITIONS))}")


def _prepare_folder(folder):
    """Return the absolute path of a folder that contains no cohort yet; create it if it does not exist."""
    folder = Path(folder).resolve()
    for name in ("cohort.csv", "images"):
        if (folder / name).exists():
            raise FileExistsError(f"{folder} already contains {name!r}; delete it or choose another folder")
    (folder / "images").mkdir(parents=True)
    return folder


def _apportion(total, weights, at_least=0):
    """Return whole numbers that add up to `total`, in proportion to `weights`, by the largest remainder method."""
    exact = total * np.asarray(weights) / np.sum(weights)
    counts = np.maximum(np.floor(exact).astype(int), at_least)
    while counts.sum() != total:
        if counts.sum() < total:
            counts[np.argmax(exact - counts)] += 1
        else:
            counts[np.argmax(np.where(counts > at_least, counts - exact, -np.inf))] -= 1
    return counts


def _assign_levels(groups, weights, rng):
    """Assign levels at random within each group; `weights` maps each level to its weights in the groups."""
    levels = np.empty(len(groups), dtype=object)
    for group in np.unique(groups):
        members = rng.permutation(np.flatnonzero(groups == group))
        counts = _apportion(len(members), [weight[group] for weight in weights.values()])
        repeated = [level for level, count in zip(weights, counts, strict=True) for _ in range(count)]
        for member, level in zip(members, repeated, strict=True):
            levels[member] = level
    return levels


def _draw_patients(n_patients, effect_size, rng):
    """Return a table of sites, outcomes and clinical values, and one of both scores; patients are in random order."""
    cells = np.repeat(np.arange(4), _apportion(n_patients, CELL_COUNTS, at_least=min(2, n_patients // 4)))
    cells = rng.permutation(cells)
    groups, level_counts = cells, LEVEL_COUNTS
    if effect_size == 0:  # the same counts by site, regardless of the outcome
        groups = cells % 2
        level_counts = {
            column: {level: np.reshape(counts, (2, 2)).sum(axis=0) for level, counts in levels.items()}
            for column, levels in LEVEL_COUNTS.items()
        }
    side = np.where(cells >= 2, 0.5, -0.5) * effect_size
    scores = {"image": side * IMAGE_DISTANCE, "interval": side * INTERVAL_DISTANCE}
    scores = pd.DataFrame(scores) + rng.standard_normal((n_patients, 2))
    table = pd.DataFrame({column: _assign_levels(groups, levels, rng) for column, levels in level_counts.items()})
    table[["dose_gy", "n_fractions"]] = _draw_doses(table.pop("schedule"), cells % 2, rng)
    table["n_fractions"] = table["n_fractions"].astype(int)
    table["age_years"] = _draw_ages(n_patients, rng)
    table["interval_days"] = _interval_days(scores["interval"].to_numpy())
    table["outcome"] = [CELLS[cell][0] for cell in cells]
    table["site"] = [CELLS[cell][1] for cell in cells]
    return table, scores


def _draw_doses(schedules, sites, rng):
    """Return dose and number of fractions, shape (n_patients, 2), assigned within each schedule and site."""
    doses = np.empty((len(schedules), 2))
    for schedule, frequencies in SCHEDULES.items():
        members = np.flatnonzero(schedules == schedule)
        weights = {dose: (frequency, frequency) for dose, frequency in frequencies.items()}
        doses[members] = np.array(list(_assign_levels(sites[members], weights, rng)), dtype=float).reshape(-1, 2)
    return doses


def _draw_ages(n_patients, rng):
    """Return ages in whole years with a median of about 55.5, independent of the outcome."""
    lowest, highest = AGE_RANGE_YEARS
    middle = (55.5 - lowest) / (highest - lowest)
    rank = 2 * (np.arange(n_patients) + 0.5) / n_patients - 1  # from -1 to 1, with 0 at the median
    # The cubic term makes extreme ages rarer than ages near the median.
    position = 0.55 * rank + 0.45 * rank**3
    years = lowest + (highest - lowest) * (middle + np.where(position < 0, middle, 1 - middle) * position)
    return rng.permutation(np.rint(years).astype(int))


def _interval_days(score):
    """Return days that decrease with the score: 123.5 at the median of PD, 82 at the median of PsPD, right-skewed."""
    days = 100.6 * np.exp(-(0.531 * score + 0.057 * score**3))
    return np.rint(np.clip(days, *INTERVAL_RANGE_DAYS)).astype(int)


def _draw_scans(sites, matrix_px, n_native_slices, rng):
    """Return the scan parameters of each patient, drawn independently of the outcome."""
    n_patients = len(sites)
    fov_mm = rng.integers(205, 257, size=n_patients)
    fov_mm[rng.integers(n_patients)] = 193
    low_field = rng.permutation(n_patients) < _apportion(n_patients, (11, 67))[0]
    middle = (n_native_slices - 1) / 2
    positions = [k for k in range(SLICES_EACH_SIDE, n_native_slices - SLICES_EACH_SIDE) if k != middle]
    return [
        SimpleNamespace(
            site=site,
            matrix_px=int(rng.choice(matrix_px)),
            fov_mm=float(fov_mm[i]),
            thickness_mm=round(float(np.clip(rng.normal(1.0, 0.15), 0.86, 1.5)), 2),
            n_slices=n_native_slices,
            lesion_slice=int(rng.choice(positions)),
            orientation=list(ORIENTATIONS)[i % len(ORIENTATIONS)],
            field_t=1.5 if low_field[i] else 3.0,
        )
        for i, site in enumerate(sites)
    ]


def _draw_marks(table, shortcut, rng):
    """Return the direction of each patient's mark in the skull, None without one."""
    probability = 0.5 + np.where(table["outcome"] == "PsPD", 0.5, -0.5) * shortcut
    has_mark = (rng.random(len(table)) < probability) & (shortcut > 0)
    return [MARK_DEG[site] if is_marked else None for site, is_marked in zip(table["site"], has_mark, strict=True)]


def _draw_oedemas(table, effect_size, rng):
    """Return how far each patient's oedema reaches beyond the enhancing ring in the second image, in mm."""
    side = np.where(table["outcome"] == "PD", 0.5, -0.5) * OEDEMA_DISTANCE * effect_size
    return np.clip(9 + 4 * (side + rng.standard_normal(len(table))), 2, 25)


def _scan_patient(score, scan, rng, mark_deg=None, second=None):
    """Return an int16 volume in RAS+ order, shape (matrix, matrix, n_slices), the lesion's mask, and their affine.

    Last comes the second image, for which `second` has the reach of the oedema and a random stream; None without.
    """
    # Anatomy, and the coordinates of the voxels in mm.
    head = draw_head(rng)
    lesion = draw_lesion(score, head, rng)
    spacing_mm = scan.fov_mm / scan.matrix_px
    corner = rng.uniform(-3, 3, 2) - (scan.matrix_px - 1) / 2 * spacing_mm
    x = (corner[0] + np.arange(scan.matrix_px) * spacing_mm).astype(np.float32)[:, None]
    y = (corner[1] + np.arange(scan.matrix_px) * spacing_mm).astype(np.float32)[None, :]
    z = lesion.centre[2] + (np.arange(scan.n_slices) - scan.lesion_slice) * scan.thickness_mm
    # Properties of the scanner and of this scan.
    blur_mm = max(spacing_mm, 1.0)  # partial-volume effect
    scanner = SITE_SHIFT[scan.site]
    gain = scanner.gain * np.exp(rng.normal(0, 0.15))
    noise = NOISE[scan.field_t] * scanner.noise
    slopes = rng.normal(0, 0.12, 5)
    angles = fold_angles(x, y, head)
    # Slices, with bias field and Rician noise.
    volume = np.empty((scan.matrix_px, scan.matrix_px, scan.n_slices), dtype=np.int16)
    mask = np.zeros(volume.shape, dtype=np.int16)
    other = None if second is None else np.empty(volume.shape, dtype=np.int16)
    # The pixels of neighbouring slices may be more by chance; the mask is largest where the lesion is.
    middle = scan.lesion_slice
    n_largest = mark_lesion(mask[:, :, middle], x, y, z[middle], lesion)
    for k, height in enumerate(z):
        image = paint_head(x, y, height, head, angles, blur_mm)
        paint_lesion(image, x, y, height, lesion, blur_mm)
        if k != middle:
            mark_lesion(mask[:, :, k], x, y, height, lesion, n_largest - 1)
        if mark_deg is not None:
            paint_mark(image, x, y, height, head, mark_deg, blur_mm)
        bias = _bias(x / 100, y / 100, height / 100, slopes)
        volume[:, :, k] = _acquire(image**scanner.gamma * bias, gain, noise, rng)
        if second is not None:
            image = paint_head(x, y, height, head, angles, blur_mm, FLAIR_TISSUE)
            paint_lesion(image, x, y, height, lesion, blur_mm, FLAIR_TISSUE, second[0])
            other[:, :, k] = _acquire(image**scanner.gamma * bias, gain, noise, second[1])
    affine = np.diag([spacing_mm, spacing_mm, scan.thickness_mm, 1.0])
    affine[:3, 3] = (*corner, z[0])
    return volume, mask, affine, other


def _acquire(image, gain, noise, rng):
    """Return a slice in grey values, with Rician noise."""
    real, imaginary = noise * rng.standard_normal((2, *image.shape), dtype=np.float32)
    return np.rint(np.clip(gain * np.hypot(image + real, imaginary), 0, 8000))


def _bias(x, y, z, slopes):
    """Return the smooth bias field of the coil, the exponential of a quadratic polynomial, so always positive."""
    a, b, c, d, e = (np.float32(slope) for slope in slopes)
    return np.exp(x * a + d * x**2) * np.exp(y * b + e * y**2) * np.float32(np.exp(c * z))
