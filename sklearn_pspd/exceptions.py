"""Errors of this library."""


class InputError(ValueError):
    """Input that would make a result wrong, or from which there is none.

    Raised on purpose, with what was found, what is allowed and what to do. Any other error is a defect of the library.
    """
