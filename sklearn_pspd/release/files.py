"""The files of a release: their names, their digests, and a reading that trusts nothing of the folder."""

import hashlib
import json
import stat
from pathlib import Path

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import write_bytes

from .synthetic_patient import IMAGE_NAMES

FORMAT = 1
MANIFEST = "manifest.json"
MODEL, CARD, SCHEMA, RANGES, CALIBRATION, PATIENT = (
    "model.skops",
    "model_card.md",
    "schema.json",
    "training_ranges.json",
    "calibration.json",
    "synthetic_patient.json",
)
# Where a study puts its release, and its record, by which its folder is known.
RELEASED, STUDY = Path("models", "released"), "study.json"
SHOWN = 3
ALWAYS = (MODEL, CARD, SCHEMA, RANGES, CALIBRATION, PATIENT)


def write_files(folder, files, manifest):
    """Write the files of a release and, when they are whole, the manifest with their digests.

    Parameters
    ----------
    folder : Path
        An existing folder.
    files : dict of str to bytes
        Contents by name.
    manifest : dict
        Other entries of the manifest.
    """
    for name, content in files.items():
        write_bytes(folder / name, content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    whole = {"format": FORMAT, **manifest, "sha256": digests}
    write_bytes(folder / MANIFEST, as_json({**whole, "digest": _digest(whole)}))


def read_files(folder):
    """Read a folder of :func:`write_files` once, and check that it holds these files, unchanged, and nothing else.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    files : dict of str to bytes
        Contents by name, without the manifest.
    manifest : dict
        The manifest.
    fingerprint : str
        SHA-256 of the manifest, and so of the whole release.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    InputError
        If a file is absent, added, changed or no plain file, or the folder is of another kind or format.
    """
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: no such folder{_advice(folder)}")
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; give the folder that export_model wrote{_advice(folder)}")
    found = {entry.name: entry for entry in sorted(folder.iterdir())}
    if MANIFEST not in found:
        if advice := _advice(folder):
            raise InputError(f"{folder} is no released model{advice}")
        raise InputError(f"{folder}: not a folder of export_model, or one that was not finished; it has no {MANIFEST}")
    # A link could lead to what is no part of the release, and a device or pipe could be read without end.
    odd = [name for name, entry in found.items() if not stat.S_ISREG(entry.lstat().st_mode)]
    _refuse(folder, "what is no plain file", odd)
    stored = found[MANIFEST].read_bytes()
    manifest = _check_manifest(folder, stored)
    digests = manifest["sha256"]
    _refuse(folder, "files that are no part of the release; remove them", set(found) - {MANIFEST, *digests})
    _refuse(folder, "a manifest with files that are absent", set(digests) - set(found))
    files = {name: found[name].read_bytes() for name in digests}
    changed = [name for name, content in files.items() if hashlib.sha256(content).hexdigest() != digests[name]]
    _refuse(folder, "files that differ from those that were exported (SHA-256)", changed)
    return files, manifest, hashlib.sha256(stored).hexdigest()


def says_network(folder):
    """Return whether a manifest, which has not been checked, says that the model is a network."""
    try:
        return bool(json.loads((Path(folder) / MANIFEST).read_bytes())["arithmetic"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def as_json(values):
    """Return values as the bytes of a JSON file; numbers that are not finite are a defect."""
    return (json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def _check_manifest(folder, stored):
    """Return the manifest; the names in it must be those of a release, so that none can lead out of the folder."""
    try:
        manifest = json.loads(stored)
        found_format, digests = manifest["format"], dict(manifest["sha256"])
        known = {**manifest, "versions": dict(manifest["versions"])}
        digest = known.pop("digest")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{folder}: {MANIFEST} is damaged ({type(error).__name__}: {error})") from error
    if found_format != FORMAT:
        raise InputError(f"{folder}: releases of format {found_format!r}; this version reads format {FORMAT}")
    if digest != _digest(known):
        raise InputError(f"{folder}: {MANIFEST} is damaged; it is not the one that was exported")
    names = set(digests)
    if names - set(IMAGE_NAMES) != set(ALWAYS) or not all(isinstance(digest, str) for digest in digests.values()):
        others = ", ".join(repr(name) for name in sorted(names ^ set(ALWAYS))[:5])
        raise InputError(f"{folder}: {MANIFEST} does not name the files of a release ({others})")
    return known


def _digest(manifest):
    """Return the digest of a manifest without its own; against damage, since a forger can compute it too."""
    return hashlib.sha256(as_json(manifest)).hexdigest()


def _advice(path):
    """Return which release may be meant by a path that is none, or that a study there has not written one."""
    # The folder itself, that of a file, or as much of the path as there is.
    start = next((folder for folder in (path, *path.parents) if folder.is_dir()), path.parent)
    try:
        near = _releases_near(start)
    except OSError:
        near = []
    if near:
        shown = " or ".join(str(folder) for folder in near[:SHOWN])
        return f"; did you mean {shown}?"
    study = next((folder for folder in (start, start.parent) if (folder / STUDY).is_file()), None)
    if study is None or start not in (study, study / RELEASED.parent):
        return ""
    try:
        reason = str(json.loads((study / STUDY).read_bytes())["models"][RELEASED.name])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return f"; the study in {study} has not written its models yet: run it to its end (--resume goes on with it)"
    return "" if reason == RELEASED.as_posix() else f"; the study in {study} released none: {reason}"


def _releases_near(start):
    """Return the releases nearest to a folder: itself, where a study puts them, one level below, beside it."""
    places = (Path(RELEASED.name), RELEASED)
    below = [path for path in sorted(start.iterdir()) if path.is_dir()]
    levels = (
        [start],
        [start / place for place in places],
        [path / place for path in below for place in (Path(), *places)],
        [start.parent / place for place in places],
    )
    found = ([folder for folder in level if _is_release(folder)] for level in levels)
    return next(filter(None, found), [])


def _is_release(folder):
    """Return whether a folder has a manifest, which is not checked, of a release."""
    try:
        return {"format", "sha256", "digest"} <= set(json.loads((folder / MANIFEST).read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def _refuse(folder, what, names):
    if names:
        raise InputError(f"{folder} is refused; it has {what}: {', '.join(sorted(map(repr, names)))}")
