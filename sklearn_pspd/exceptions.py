"""Exceptions of this library."""

__all__ = ["InputError", "UnfinishedError"]


class InputError(ValueError):
    """Invalid input, or input that would make a result wrong.

    The message states what was found, what is allowed and what to do. Any other exception,
    except for :class:`UnfinishedError`, is a defect of the library.
    """


class UnfinishedError(RuntimeError):
    """A protocol lacks fits that other processes are to add to the folder, as of a study that several share.

    Parameters
    ----------
    n_missing : int
        Number of fits that are not in the folder.

    Examples
    --------
    >>> from sklearn_pspd.exceptions import UnfinishedError
    >>> str(UnfinishedError(3))
    '3 fits are missing; other shares of the protocol have to add them'
    """

    def __init__(self, n_missing):
        super().__init__(f"{n_missing} fits are missing; other shares of the protocol have to add them")
        self.n_missing = n_missing
