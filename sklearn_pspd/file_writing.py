"""Files that are replaced when their successor is whole."""

import contextlib
import os
import tempfile
from pathlib import Path


@contextlib.contextmanager
def replaced_when_whole(path):
    """Write a file beside `path`, which replaces it when the ``with`` block ends without an error.

    Parameters
    ----------
    path : path-like
        The file to write or to replace; its folder exists.

    Yields
    ------
    file object
        The temporary file, in the same folder, open for writing bytes.

    Raises
    ------
    OSError
        If the file cannot be written; the earlier file, if there is one, is as it was.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd.file_writing import replaced_when_whole
    >>> with TemporaryDirectory() as folder:
    ...     with replaced_when_whole(Path(folder, "scores.csv")) as file:
    ...         written = file.write(b"patient_id,y_score")
    ...     Path(folder, "scores.csv").read_text()
    'patient_id,y_score'
    """
    path = Path(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes the file readable by its owner alone; a file that is replaced keeps its mode.
        Path(name).chmod(path.stat().st_mode if path.exists() else 0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
