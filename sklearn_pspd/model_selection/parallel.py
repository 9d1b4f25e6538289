"""Fits in processes, one after another told as they end."""

from joblib import Parallel, delayed


class Tasks:
    """Run a protocol's fits, and tell of each that has ended.

    Parameters
    ----------
    total : int
        Number of fits of the whole protocol.
    n_jobs : int or None
        Fits at once, in processes, or on the backend of :func:`joblib.parallel_config`.
    on_progress : callable or None
        Called after each fit with its number, the number of all fits, and its description.
    """

    def __init__(self, total, n_jobs, on_progress):
        self.total, self.n_jobs, self.on_progress = total, n_jobs, on_progress
        self.done = 0

    def run(self, function, arguments, descriptions):
        """Yield the function's values in the order of its arguments.

        Parameters
        ----------
        function : callable
            Importable, so that another process finds it.
        arguments : iterable of tuple
            One call each.
        descriptions : iterable of str
            What is told of each.

        Yields
        ------
        object
            What a call returned.
        """
        results = Parallel(n_jobs=self.n_jobs, return_as="generator")(delayed(function)(*call) for call in arguments)
        for description, result in zip(descriptions, results, strict=True):
            self.done += 1
            if self.on_progress is not None:
                self.on_progress(self.done, self.total, description)
            yield result
