"""Redirection of the messages that TensorFlow's native code writes to the terminal."""

import contextlib
import logging
import os
import sys
from pathlib import Path


@contextlib.contextmanager
def native_messages_to(path):
    """Redirect to a file what native code writes to standard error, within a ``with`` block.

    Python's own standard error still reaches the terminal. File descriptor, ``sys.stderr``, environment and log levels
    are restored at the end of the block.

    Parameters
    ----------
    path : path-like
        The file; its folder exists.

    Yields
    ------
    None
    """
    logger = logging.getLogger("tensorflow")
    level, verbosity, stderr = logger.level, os.environ.get("TF_CPP_MIN_LOG_LEVEL"), sys.stderr
    stderr.flush()
    # A duplicate of the terminal outlives the redirection of descriptor 2.
    terminal = os.dup(2)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, terminal)
        if _writes_to(stderr, 2):
            sys.stderr = stack.enter_context(os.fdopen(os.dup(terminal), "w", buffering=1))
        stack.callback(setattr, sys, "stderr", stderr)
        with Path(path).open("wb") as log:
            os.dup2(log.fileno(), 2)
        stack.callback(os.dup2, terminal, 2)
        stack.callback(logger.setLevel, level)
        stack.callback(_set_environment, "TF_CPP_MIN_LOG_LEVEL", verbosity)
        logger.setLevel(logging.ERROR)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        yield


def _writes_to(stream, descriptor):
    """Return whether a stream writes to a file descriptor; that of a notebook may write elsewhere."""
    try:
        return stream.fileno() == descriptor
    except (AttributeError, OSError, ValueError):
        return False


def _set_environment(name, value):
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
