"""Files that are replaced when their successor is whole."""

import contextlib
import os
import tempfile
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def replaced_when_whole(path, *, durable=True):
    """Write a file beside `path`, which replaces it when the ``with`` block ends without an error.

    Parameters
    ----------
    path : path-like
        The file to write or to replace; its folder exists.
    durable : bool, default=True
        Whether to wait until the disk has the file, so that it is whole after a power failure too. Without it, writing
        is faster, for files that can be made again and whose damage is noticed.

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
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        # mkstemp makes the file readable by its owner alone; a file that is replaced keeps its mode.
        Path(name).chmod(path.stat().st_mode if path.exists() else 0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_bytes(path, content):
    """Write a file, or replace it when the new one is whole.

    Parameters
    ----------
    path : path-like
        The file; its folder exists.
    content : bytes
        What it will contain.

    Raises
    ------
    OSError
        If the file cannot be written; the earlier file, if there is one, is as it was.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd.file_writing import write_bytes
    >>> with TemporaryDirectory() as folder:
    ...     write_bytes(Path(folder, "model"), b"whole")
    ...     Path(folder, "model").read_bytes()
    b'whole'
    """
    with replaced_when_whole(path) as file:
        file.write(content)


def write_text(path, text):
    """Write a text file in UTF-8, or replace it when the new one is whole.

    Parameters
    ----------
    path : path-like
        The file; its folder exists.
    text : str
        What it will contain, with the line ends that it has.

    Raises
    ------
    OSError
        If the file cannot be written; the earlier file, if there is one, is as it was.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd.file_writing import write_text
    >>> with TemporaryDirectory() as folder:
    ...     write_text(Path(folder, "report.txt"), "59 patients")
    ...     Path(folder, "report.txt").read_text()
    '59 patients'
    """
    write_bytes(path, text.encode("utf-8"))


def write_table(path, table, **options):
    r"""Write a table as comma-separated text, or replace the file when the new one is whole.

    Parameters
    ----------
    path : path-like
        The file; its folder exists.
    table : DataFrame
        The table; its index is not written.
    **options : dict
        Other parameters of :meth:`pandas.DataFrame.to_csv`.

    Raises
    ------
    OSError
        If the file cannot be written; the earlier file, if there is one, is as it was.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import pandas as pd
    >>> from sklearn_pspd.file_writing import write_table
    >>> with TemporaryDirectory() as folder:
    ...     write_table(Path(folder, "scores.csv"), pd.DataFrame({"y_score": [0.25]}))
    ...     Path(folder, "scores.csv").read_bytes()
    b'y_score\n0.25\n'
    """
    write_text(path, table.to_csv(None, index=False, lineterminator="\n", **options))


def append_line(path, line):
    """Append a line to a text file in UTF-8: the whole line, or nothing.

    Processes that append to one file at the same time wait for each other.

    Parameters
    ----------
    path : path-like
        The file, which is made if it does not exist; its folder exists.
    line : str
        The line, without its end.

    Raises
    ------
    OSError
        If the line cannot be written; the file is as it was.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd.file_writing import append_line
    >>> with TemporaryDirectory() as folder:
    ...     append_line(Path(folder, "uses.jsonl"), "{}")
    ...     append_line(Path(folder, "uses.jsonl"), "[]")
    ...     Path(folder, "uses.jsonl").read_text().split()
    ['{}', '[]']
    """
    # Unbuffered, so that nothing is written after an error, when the file is closed.
    with Path(path).open("ab", buffering=0) as file:
        if fcntl is not None:
            # Released when the file is closed.
            fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file.fileno()).st_size
        try:
            content = memoryview(f"{line}\n".encode())
            while len(content):
                content = content[file.write(content) :]
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(size)
            raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
