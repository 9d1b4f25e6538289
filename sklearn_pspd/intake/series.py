"""The MRI series of an export: one row per series, from the headers of its files."""

import hashlib
import json
import os
import re
import warnings
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils.parallel import Parallel, delayed

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading.header_facts import parse_time

from .headers import Image, read_files, slice_normal

SERIES_COLUMNS = (
    "patient_id", "study_date", "description", "protocol", "manufacturer", "model", "institution", "field_t",
    "modality", "sequence", "sequence_variant", "sequence_name", "acquisition_type", "acquisition_contrast", "tr_ms",
    "te_ms", "ti_ms", "flip_deg", "contrast_agent", "contrast_ingredient", "contrast_volume_ml", "contrast_start",
    "image_type",
    "body_part", "study_description", "acquired", "n_images", "n_positions", "matrix", "pixel_mm", "slice_spacing_mm",
    "slice_thickness_mm", "orientation", "tilt_deg", "varies", "n_copies", "format", "folder", "folders", "files",
    "series_number", "series_uid", "study_uid", "frame_uid",
)  # fmt: skip
BATCH = 256
AXES = ("sagittal", "coronal", "axial")
# Facts in which the images of one series may differ, and how messages name them.
COMPARED = {
    "description": "description", "te_ms": "echo time", "tr_ms": "repetition time", "ti_ms": "inversion time",
    "flip_deg": "flip angle", "image_type": "image type", "cosines": "orientation", "matrix": "matrix",
    "pixel_mm": "pixel spacing", "contrast_agent": "contrast agent",
}  # fmt: skip
SAME_COSINE = 0.01
STEP_TOLERANCE = 0.1  # as a fraction of the usual step


def list_series(root, *, on_progress=None, n_jobs=None, cache=None):
    """List the MRI series below a folder, with what their headers say about them.

    All folders below `root` are searched, whatever their names and depth. A file is an image because of its content,
    whatever its name. Pixels are not read. NIfTI files count as one series each; what converters such as dcm2niix wrote
    into the JSON file of the same name beside them is read.

    Parameters
    ----------
    root : path-like
        Folder of the export.
    on_progress : callable, default=None
        Called as files are read, with the number of files that are done, the number of all files and the folder.
    n_jobs : int, default=None
        Number of threads that read headers, which helps where files come slowly, as from a network drive. None means 1
        unless :func:`joblib.parallel_config` says otherwise, which can also ask for processes.
    cache : path-like, default=None
        File that keeps what was read, so that an interrupted search continues where it stopped, and a later one reads
        only files whose size or time of modification has changed. It contains the patient ids of the headers.

    Returns
    -------
    DataFrame
        One row per series, in the order of patient, study and time. The columns ``folders`` and ``files`` hold tuples;
        files are in the order of their position, from the feet to the head for axial slices, ``folder`` is the folder
        of all files or, if they lie in several, their common one. ``tilt_deg`` is the angle between the slices and the
        nearest plane of the patient axes (``orientation``), ``slice_spacing_mm`` the usual distance of neighbouring
        positions, ``acquired`` the date and time of the first image, ``varies`` what differs between the images of the
        series and must not. Empty text and NaN: not stated.

        ``attrs`` hold ``n_files``; ``passed_over``, the number of files of each kind that are no images;
        ``unreadable``, a list of (path, reason); and ``notes``, a list of text.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    InputError
        If `root` is not a folder.

    See Also
    --------
    choose_series : The series of each patient that the study needs.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd.datasets import make_cohort
    >>> from sklearn_pspd.intake import list_series
    >>> small = {"layout": "export", "matrix_px": (32,), "n_native_slices": 10}
    >>> with TemporaryDirectory() as folder:
    ...     written = make_cohort(folder, 1, **small, random_state=0)
    ...     series = list_series(folder)
    >>> series.loc[:, ["description", "te_ms", "orientation", "n_images"]].head(3)
             description  te_ms orientation  n_images
    0          localizer    5.0       mixed         3
    1     t1_mpr_tra_iso    2.9       axial        10
    2  t1_mpr_tra_iso_KM    2.9       axial        10
    """
    root = Path(root)
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such folder")
    if not root.is_dir():
        raise InputError(f"{root} is a file; give the folder of the export")
    root = root.resolve()
    unreadable = []
    batches = _batches(root, unreadable)
    total = sum(map(len, batches))
    groups, passed_over, done = {}, Counter(), 0
    # About values that break rules of DICOM and can be read all the same.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for batch, result in zip(batches, _read(batches, root, n_jobs, cache), strict=True):
            for facts, images in result["series"]:
                groups.setdefault(_key(facts, images[0][0]), []).append((facts, images))
            passed_over.update(result["passed_over"])
            unreadable += map(tuple, result["unreadable"])
            done += len(batch)
            if on_progress is not None:
                on_progress(done, total, str(Path(batch[0]).parent))
    rows = [_row(parts) for parts in groups.values()]
    table = pd.DataFrame(rows, columns=list(SERIES_COLUMNS))
    for column in ("study_date", "acquired"):
        table[column] = pd.to_datetime(table[column])
    table = table.sort_values(["patient_id", "study_date", "study_uid", "acquired", "series_number", "series_uid"])
    table = table.reset_index(drop=True)
    table.attrs = {
        "root": str(root),
        "n_files": total,
        "passed_over": dict(passed_over.most_common()),
        "unreadable": sorted(unreadable),
        "notes": _notes(table),
    }
    return table


def _batches(root, unreadable):
    """Return lists of files, none of which spans two folders, in the order of the folders."""
    batches = []

    def note(error):
        unreadable.append((str(error.filename), f"cannot be read ({error.strerror})"))

    for folder, folders, names in os.walk(root, onerror=note):
        folders.sort()
        paths = [os.path.join(folder, name) for name in sorted(names)]  # noqa: PTH118  for many files
        batches += [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    return batches


def _read(batches, root, n_jobs, cache):
    """Yield what was read of each batch, in order; batches that the cache has are not read again."""
    workers = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")
    if cache is None:
        yield from workers(delayed(read_files)(batch, str(root)) for batch in batches)
        return
    cache = Path(cache)
    known = _load_cache(cache)
    stamps = [_stamp(batch) for batch in batches]
    missing = [batch for batch, stamp in zip(batches, stamps, strict=True) if stamp not in known]
    fresh = workers(delayed(read_files)(batch, str(root)) for batch in missing)
    # An interrupted search may have left half a line.
    separator = "\n" if cache.is_file() and not cache.read_bytes().endswith(b"\n") else ""
    with cache.open("a", encoding="utf-8") as file:
        file.write(separator)
        for stamp in stamps:
            if stamp in known:
                yield known[stamp]
                continue
            result = next(fresh)
            file.write(json.dumps({"stamp": stamp, "result": result}) + "\n")
            file.flush()
            yield result


def _load_cache(cache):
    known = {}
    if cache.is_file():
        with cache.open(encoding="utf-8") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    known[entry["stamp"]] = entry["result"]
                # The last line of an interrupted search.
                except (ValueError, KeyError, TypeError):
                    continue
    return known


def _stamp(batch):
    """Return a digest of the names, sizes and times of modification of files."""
    digest = hashlib.sha256()
    for path in batch:
        try:
            status = os.stat(path)  # noqa: PTH116  for many files
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        except OSError:
            digest.update(f"{path}\0absent\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _key(facts, path):
    """Return what the images of one series have in common."""
    if facts["series_uid"]:
        return facts["patient_id"], facts["study_uid"], facts["series_uid"]
    return facts["patient_id"], facts["study_uid"], str(Path(path).parent), facts["series_number"], facts["description"]


def _row(parts):
    """Return the row of a series from the groups of its images that have the same facts."""
    facts = max(parts, key=lambda part: len(part[1]))[0]
    images, n_copies = _without_copies([Image(*image) for _, of_part in parts for image in of_part])
    heights = sorted({height for image in images for height in image.heights})
    heights = [low for low, high in pairwise([*heights, np.inf]) if high - low > 0.01]
    steps = np.diff(heights)
    step = float(np.median(steps)) if len(steps) else np.nan
    folders = tuple(dict.fromkeys(str(Path(image.path).parent) for image in images))
    orientation, tilt = _orientation(facts["cosines"])
    n_images = sum(part[0]["frames"] * len(part[1]) for part in parts) - n_copies * facts["frames"]
    varies = _differences(parts)
    if "orientation" in varies:
        orientation, tilt, step = "mixed", np.nan, np.nan
    elif len(heights) and n_images != len(heights):
        varies.append("images per position")
    elif len(steps) and np.abs(steps - step).max() > STEP_TOLERANCE * step:
        varies.append("slice step")
    known = {name: value for name, value in facts.items() if name in SERIES_COLUMNS}
    return known | {
        "study_date": parse_time(re.sub(r"\D", "", facts["study_date"])),
        "acquired": parse_time(min((image.acquired for image in images if image.acquired), default="")),
        "series_number": int(facts["series_number"]) if facts["series_number"].isdecimal() else None,
        "n_images": n_images,
        "n_positions": len(heights),
        "n_copies": n_copies,
        "matrix": " x ".join(map(str, facts["matrix"])),
        "pixel_mm": " x ".join(f"{side:.4g}" for side in facts["pixel_mm"]),
        "slice_spacing_mm": round(step, 3) if heights else np.nan,
        "orientation": orientation,
        "tilt_deg": tilt,
        "varies": ", ".join(varies),
        "folder": folders[0] if len(folders) == 1 else os.path.commonpath(folders),
        "folders": folders,
        "files": tuple(image.path for image in images),
    }


def _without_copies(images):
    """Return images in the order of their position, each once, and the number of copies left out."""
    images = sorted(images, key=lambda image: (image.heights[:1] or [0.0], image.path))
    once = {image.uid or image.path: image for image in reversed(images)}
    return list(reversed(once.values())), len(images) - len(once)


def _orientation(cosines):
    normal = slice_normal(cosines)
    if normal is None:
        return "", np.nan
    nearest = int(np.argmax(np.abs(normal)))
    return AXES[nearest], round(float(np.degrees(np.arccos(min(1.0, abs(normal[nearest]))))), 1)


def _differences(parts):
    """Return the names of facts in which images of one series differ."""
    found = list(dict.fromkeys(name for facts, _ in parts for name in facts["several"]))
    for fact, name in COMPARED.items():
        values = [facts[fact] for facts, _ in parts]
        if fact == "cosines":
            differs = any(
                len(value) != len(values[0]) or not np.allclose(value, values[0], atol=SAME_COSINE) for value in values
            )
        else:
            differs = any(value != values[0] for value in values)
        if differs and name not in found:
            found.append(name)
    return found


def _notes(table):
    """Return what is odd about the export as a whole."""
    notes = []
    single = table[table["n_images"] == 1].groupby(["folder", "description"])["series_uid"].nunique()
    notes += [
        f"{folder}: {count} series {description!r} of one image each; programs for anonymisation may have given every "
        "file a SeriesInstanceUID of its own"
        for (folder, description), count in single.items()
        if count > 3
    ]
    if copies := int(table["n_copies"].sum()):
        notes.append(f"{copies} files are copies of others (same SOPInstanceUID) and were left out")
    if nameless := int((table["patient_id"] == "").sum()):
        notes.append(f"{nameless} series have no PatientID")
    return notes
