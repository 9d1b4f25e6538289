"""Errors about image files, which name the file and state what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sklearn_pspd.exceptions import InputError

SHOWN_FILES = 12


class ImageError(InputError):
    """An image that cannot be used.

    ``problems`` lists its problems, one text each; ``facts`` holds what had been read of it before the error.
    """

    facts: dict[str, Any] | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems, one text each."""
        return self.args

    def __str__(self) -> str:
        return " | ".join(self.args)


class FileError(ImageError):
    """A file that cannot be used; ``text`` states why, without the path."""

    def __init__(self, path, text):
        super().__init__(path, text)
        self.path, self.text = str(path), text

    @property
    def problems(self) -> tuple[str, ...]:
        """The only problem of the file."""
        return (f"{self.path} {self.text}",)

    def __str__(self) -> str:
        return f"{self.path} {self.text}"


class NoLesionError(ImageError):
    """A mask without any voxel of the lesion's label."""


class FileProblems:
    """Problems of the files of one image; files with the same problem are listed together."""

    def __init__(self):
        self._paths: dict[str, list[str]] = {}
        self._others: list[str] = []
        self._facts: dict[str, Any] = {}

    def __bool__(self):
        return bool(self._paths or self._others)

    @property
    def facts(self) -> dict[str, Any]:
        """What had been read before the errors that were collected."""
        return self._facts

    def add(self, path, text):
        """Add a problem of a file; `text` states it without the path."""
        self._paths.setdefault(text, []).append(str(path))

    @contextmanager
    def collecting(self, path) -> Iterator[None]:
        """Add any error of reading a file to the problems, and go on."""
        try:
            with reading(path):
                yield
        except ImageError as error:
            self._facts |= error.facts or {}
            if isinstance(error, FileError):
                self.add(error.path, error.text)
            else:
                self._others += error.problems

    def raise_any(self, facts=None):
        """Raise one error with all problems, if there are any."""
        problems = [_join(text, paths) for text, paths in self._paths.items()] + self._others
        if problems:
            error = ImageError(*problems)
            error.facts = {**self._facts, **(facts or {})}
            raise error


@contextmanager
def reading(path) -> Iterator[None]:
    """Convert any exception of a decoder into an error that names the file."""
    try:
        yield
    except ImageError:
        raise
    # On damaged input decoders raise exceptions of any type: EOFError, struct.error, KeyError.
    except Exception as error:
        # Only errors of the file system have a message of their own, such as "Permission denied".
        if isinstance(error, OSError) and error.strerror:
            raise FileError(path, f"cannot be read ({error.strerror})") from error
        reason = " ".join(str(error).split()) or "no reason given"
        raise FileError(
            path,
            f"cannot be read ({type(error).__name__}: {reason}); it is truncated, damaged, or in a format or "
            "compression for which no decoder is installed: export it again",
        ) from error


def printable(text):
    """Return a text in one line: values of a header and names of files may hold line breaks and control characters."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _join(text, paths):
    """Return the problem of the first file, and the names of the other files that have it, too."""
    names = [Path(path).name for path in paths[1:]]
    if not names:
        return f"{paths[0]} {text}"
    more = f" and {len(names) - SHOWN_FILES} more" if len(names) > SHOWN_FILES else ""
    return f"{paths[0]} {text}; the same holds for {', '.join(names[:SHOWN_FILES])}{more} ({len(paths)} files)"
