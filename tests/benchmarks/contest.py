"""Contestants in processes of their own that take turns, so that a drift of the machine hits all alike."""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path


def work(functions):
    """Run one of a contestant's functions for each line that comes in, and answer with seconds and memory.

    Parameters
    ----------
    functions : list of callable
        What the contestant can do, by number.
    """
    before = _peak_gib()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        functions[int(line)]()
        elapsed = time.perf_counter() - started
        print(json.dumps({"seconds": elapsed, "peak_gib": _peak_gib(), "grown_gib": _peak_gib() - before}), flush=True)


class Worker:
    """A contestant in its own process.

    Parameters
    ----------
    script : str
        The benchmark; run with ``--worker`` and the arguments, it must call :func:`work`.
    name : str
        The contestant.
    arguments : list of str
        Of the worker.
    """

    def __init__(self, script, name, arguments):
        self.name, self.times, self.peak_gib, self.grown_gib = name, {}, 0.0, 0.0
        command = [sys.executable, script, "--worker", name, *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, text=True, **pipes)
        self.is_alive = bool(self.process.stdout.readline())

    def run(self, function, *, is_counted=True):
        """Run one of the functions once."""
        try:
            self.process.stdin.write(f"{function}\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            self.is_alive = False
            return
        self.peak_gib, self.grown_gib = answer["peak_gib"], answer["grown_gib"]
        if is_counted:
            self.times.setdefault(function, []).append(answer["seconds"])

    def median(self, function):
        """Return the median of the counted times in seconds."""
        return statistics.median(self.times[function])


def race(script, functions, arguments, *, n_rounds, n_warm=2):
    """Let contestants take turns.

    Parameters
    ----------
    script : str
        The benchmark.
    functions : dict of str to int
        The number of functions of each contestant.
    arguments : list of str
        Of the workers.
    n_rounds : int
        Counted runs of each function.
    n_warm : int, default=2
        Runs before those.

    Returns
    -------
    dict of str to Worker
        The contestants that lived to the end.
    """
    workers = [Worker(script, name, arguments) for name in functions]
    for turn in range(n_warm + n_rounds):
        for function in range(max(functions.values())):
            for worker in workers:
                if worker.is_alive and function < functions[worker.name]:
                    worker.run(function, is_counted=turn >= n_warm)
    for worker in workers:
        worker.process.kill()
        if not worker.is_alive:
            print(f"{worker.name}: died, of memory or of a package that is not installed")
    return {worker.name: worker for worker in workers if worker.is_alive}


def machine():
    """Describe the machine in a line."""
    model, file = platform.processor(), Path("/proc/cpuinfo")
    if file.exists():
        lines = file.read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _peak_gib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
