"""Errors about image files, which name the file and state what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sklearn_pspd.exceptions import InputError


class ImageError(InputError):
    """An image that cannot be used; ``facts`` holds what had been read of it before the error."""

    facts: dict[str, Any] | None = None


class NoLesionError(ImageError):
    """A mask without any voxel of the lesion's label."""


@contextmanager
def reading(path) -> Iterator[None]:
    """Convert any exception of a decoder into an error that names the file."""
    try:
        yield
    except ImageError:
        raise
    except (
        Exception
    ) as error:  # on damaged input decoders raise exceptions of any type: EOFError, struct.error, KeyError
        reason = " ".join(str(error).split()) or "no reason given"
        raise ImageError(
            f"{path} cannot be read ({type(error).__name__}: {reason}); it is truncated, damaged, or in a format or "
            "compression for which no decoder is installed: export it again"
        ) from error
