"""Refusals of image files, which name the file and say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class RefusedError(ValueError):
    """An image that cannot be trusted; ``facts`` is what was known of it by then."""

    facts: dict[str, Any] | None = None


@contextmanager
def reading(path) -> Iterator[None]:
    """Turn whatever a decoder raises into a refusal that names the file."""
    try:
        yield
    except RefusedError:
        raise
    except Exception as error:  # decoders raise anything on damaged input: EOFError, struct.error, KeyError ...
        reason = " ".join(str(error).split()) or "no further reason"
        raise RefusedError(
            f"{path} cannot be read ({type(error).__name__}: {reason}); it is truncated, corrupt or in a format or "
            "compression that has no decoder here: export it again"
        ) from error
