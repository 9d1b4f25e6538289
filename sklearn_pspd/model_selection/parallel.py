"""Parallel fits that report their progress."""

from contextlib import contextmanager
from contextvars import ContextVar

from sklearn.utils.parallel import Parallel, delayed

from sklearn_pspd.exceptions import UnfinishedError

_listener = ContextVar("listener", default=None)


class Tasks:
    """Run fits in parallel and report each one as it finishes.

    A fit that runs in the process of its `Tasks` can report its own steps by :func:`report_progress`, for example a
    tuning inside a fold. Fits in other processes or threads report nothing until they have finished.

    Parameters
    ----------
    total : int
        Number of all fits, over all calls of :meth:`run`.
    n_jobs : int or None
        Number of fits that run at the same time, in processes or on the backend of :func:`joblib.parallel_config`.
    on_progress : callable or None
        Called with the number of finished fits, the number of all fits and a description: after each fit with that of
        the fit, and for each step that a fit reports with ``"<description of the fit>: <step>"``.
    kept : KeptFits, default=None
        Folder of finished fits: those that it has are not repeated, and the others are added to it.

    Examples
    --------
    >>> from sklearn_pspd.model_selection.parallel import Tasks, report_progress
    >>> def fit(value):
    ...     report_progress("first half done")
    ...     return value**2
    >>> def show(done, total, description):
    ...     print(f"{done} of {total} done; {description}")
    >>> list(Tasks(2, None, show).run(fit, [(3,), (4,)], ["fold 1", "fold 2"]))
    0 of 2 done; fold 1: first half done
    1 of 2 done; fold 1
    1 of 2 done; fold 2: first half done
    2 of 2 done; fold 2
    [9, 16]
    """

    def __init__(self, total, n_jobs, on_progress, kept=None):
        self.total, self.n_jobs, self.on_progress, self.kept = total, n_jobs, on_progress, kept
        self.done = 0

    def run(self, function, arguments, descriptions):
        """Yield the results of the function in the order of its arguments.

        Parameters
        ----------
        function : callable
            Importable, so that other processes find it.
        arguments : iterable of tuple
            Arguments of each fit.
        descriptions : iterable of str
            Description of each fit, for `on_progress`.

        Yields
        ------
        object
            The result of one fit.

        Raises
        ------
        UnfinishedError
            If fits of other shares of the protocol are missing, after those of this share.
        """
        fits = list(zip(arguments, descriptions, strict=True))
        if self.kept is None:
            yield from self._run([(function, call) for call, _ in fits], [description for _, description in fits])
        else:
            yield from self._run_missing(function, fits)

    def _run_missing(self, function, fits):
        """Yield the results of all fits, of which only those of this share that are not kept yet are run."""
        keys = [self.kept.key(function, call) for call, _ in fits]
        found = {number: result for number, key in enumerate(keys) for result in self.kept.read(key)}
        own = [number for number in range(len(fits)) if number not in found and self.kept.is_own(number)]
        for number in found:
            self._report(f"{fits[number][1]} (kept)")
        results = self._run(
            [(self.kept.run, (keys[number], function, fits[number][0])) for number in own],
            [fits[number][1] for number in own],
        )
        found |= dict(zip(own, results, strict=True))
        # Other processes may have finished theirs in the meantime.
        left = [number for number in range(len(fits)) if number not in found]
        found |= {number: result for number in left for result in self.kept.read(keys[number])}
        if len(found) < len(fits):
            raise UnfinishedError(len(fits) - len(found))
        yield from (found[number] for number in range(len(fits)))

    def _run(self, calls, descriptions):
        results = Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(function)(*call) for function, call in calls
        )
        for description in descriptions:
            # Without other processes, this is where the fit runs.
            with self._listening(description):
                result = next(results)
            self._report(description)
            yield result

    def _report(self, description):
        self.done += 1
        if self.on_progress is not None:
            self.on_progress(self.done, self.total, description)

    @contextmanager
    def _listening(self, description):
        """Pass on what the running fit reports; without a listener of our own, the outer one keeps listening."""
        if self.on_progress is None:
            yield
            return
        token = _listener.set(lambda step: self.on_progress(self.done, self.total, f"{description}: {step}"))
        try:
            yield
        finally:
            _listener.reset(token)


def report_progress(step):
    """Report a step of the running fit to the listener of its `Tasks`, if there is one in this process.

    Parameters
    ----------
    step : str
        What has been done, for example ``"learning_rate: 4 values scored, chosen 0.01"``.
    """
    listener = _listener.get()
    if listener is not None:
        listener(step)
