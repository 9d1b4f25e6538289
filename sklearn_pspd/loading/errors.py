"""Errors about image files, which name the file and say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sklearn_pspd.exceptions import InputError


class ImageError(InputError):
    """An image that cannot be trusted; ``facts`` is what was known of it by then."""

    facts: dict[str, Any] | None = None


class NoLesionError(ImageError):
    """A mask without a voxel of the lesion's label."""


@contextmanager
def reading(path) -> Iterator[None]:
    """Turn whatever a decoder raises into a refusal that names the file."""
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # decoders raise anything on damaged input: EOFError, struct.error, KeyError ...
        reason = " ".join(str(error).split()) or "no further reason"
        raise ImageError(
            f"{path} cannot be read ({type(error).__name__}: {reason}); it is truncated, corrupt or in a format or "
            "compression that has no decoder here: export it again"
        ) from error
