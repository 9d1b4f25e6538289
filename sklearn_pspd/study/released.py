"""The fitted models of a study as files, and the model that it releases."""

import re
import shutil
import tempfile
from pathlib import Path

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.persistence import save_pipeline
from sklearn_pspd.release import export_model

RELEASED = "released"
# Another process can put its folder there between removing and replacing.
ATTEMPTS = 10


def write_models(result, study, folder):
    """Write every fitted model of a study, and a release of its first model.

    Parameters
    ----------
    result : StudyResult
        What the study found.
    study : Study
        The study.
    folder : Path
        Replaced by a folder with one ``.skops`` file per model and the folder ``released`` of
        :func:`~sklearn_pspd.release.export_model`.

    Returns
    -------
    dict of str to str
        By model, its file, or why it has none; and by "released", the folder or why there is none.
    """
    # Written beside the folder first, so that an interruption leaves the earlier one.
    folder = Path(folder)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    written, names = {}, set()
    for name, model in result.models_.items():
        file = _file_name(name, names)
        written[name] = _tried(save_pipeline, model, partial / file) or f"{folder.name}/{file}"
    released = next(iter(result.models_))
    training = {"X": study.X, "y": study.y, "comparison": result, "name": released}
    clinical = [column for column in study.clinical or () if not isinstance(column, str)]
    failed = _tried(
        export_model,
        result.models_[released],
        partial / RELEASED,
        **training,
        clinical=clinical,
        description=study.title,
    )
    written[RELEASED] = failed or f"{folder.name}/{RELEASED}"
    if failed:
        shutil.rmtree(partial / RELEASED, ignore_errors=True)
    _replace_folder(partial, folder)
    return written


def _replace_folder(partial, folder):
    """Put a whole folder in the place of another one, also if another process does the same."""
    # mkdtemp makes a folder for its owner alone.
    partial.chmod(folder.parent.stat().st_mode)
    for attempt in range(ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            partial.replace(folder)
            return
        except OSError:
            if attempt == ATTEMPTS - 1:
                raise


def _tried(write, *arguments, **settings):
    """Write, and return why it is impossible; None if it was possible."""
    try:
        write(*arguments, **settings)
    except (InputError, TypeError) as error:
        # A type that cannot be saved without pickle, as that of a model of one's own.
        return f"not saved: {str(error).splitlines()[0]}"
    return None


def _file_name(name, names):
    """Return the name of a model's file, with another number for each of those that would be equal."""
    stem = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "model"
    file, number = f"{stem}.skops", 1
    while file in names:
        number += 1
        file = f"{stem}_{number}.skops"
    names.add(file)
    return file
