"""Exceptions of this library."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Invalid input, or input that would make a result wrong.

    The message states what was found, what is allowed and what to do. Any other exception is a defect of the library.
    """
