"""Run implementations alternately, each in its own process: changes in machine speed then affect all equally."""

import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path


def work(functions):
    """Run one function of an implementation for each line of input, and print seconds and memory.

    Parameters
    ----------
    functions : list of callable
        Functions of the implementation, by number.
    """
    before = _peak_gib()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        functions[int(line)]()
        elapsed = time.perf_counter() - started
        print(json.dumps({"seconds": elapsed, "peak_gib": _peak_gib(), "grown_gib": _peak_gib() - before}), flush=True)


class Worker:
    """An implementation in its own process.

    Parameters
    ----------
    script : str
        The benchmark; if it is run with ``--worker`` and the arguments, it must call :func:`work`.
    name : str
        The implementation.
    arguments : list of str
        Command-line arguments of the worker.
    """

    def __init__(self, script, name, arguments):
        self.name, self.times, self.peak_gib, self.grown_gib = name, {}, 0.0, 0.0
        command = [sys.executable, script, "--worker", name, *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, text=True, **pipes)
        self.is_alive = bool(self.process.stdout.readline())

    def run(self, function, *, is_counted=True):
        """Run one function once."""
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
        """Return the median time of the counted runs, in seconds."""
        return statistics.median(self.times[function])


def run_alternately(script, functions, arguments, *, n_rounds, n_warm=2):
    """Run implementations alternately.

    Parameters
    ----------
    script : str
        The benchmark.
    functions : dict of str to int
        Number of functions of each implementation.
    arguments : list of str
        Command-line arguments of the workers.
    n_rounds : int
        Number of counted runs of each function.
    n_warm : int, default=2
        Number of runs before these, which are not counted.

    Returns
    -------
    dict of str to Worker
        The implementations that did not fail.
    """
    workers = [Worker(script, name, arguments) for name in functions]
    for number in range(n_warm + n_rounds):
        for function in range(max(functions.values())):
            for worker in workers:
                if worker.is_alive and function < functions[worker.name]:
                    worker.run(function, is_counted=number >= n_warm)
    for worker in workers:
        worker.process.kill()
        if not worker.is_alive:
            print(f"{worker.name}: failed; out of memory, or a package is not installed")
    return {worker.name: worker for worker in workers if worker.is_alive}


# Those that decide how fast networks are trained, with the names that manufacturers use.
INSTRUCTIONS = {"amx_bf16": "AMX-BF16", "avx512_bf16": "AVX512-BF16", "avx512f": "AVX-512", "avx2": "AVX2"}


def machine():
    """Describe the machine in one line: processor, instruction sets, cores, and how many programs use them."""
    file = Path("/proc/cpuinfo")
    listing = file.read_text() if file.exists() else ""
    fields = dict(re.findall(r"^([^\t:]+?)\s*: (.*)$", listing, re.MULTILINE))
    name = fields.get("model name", platform.processor() or platform.machine())
    if "cpu family" in fields:
        # Virtual machines often hide the generation in the name.
        name += f" (family {fields['cpu family']}, model {fields['model']})"
    flags = set(fields.get("flags", "").split())
    sets = [text for flag, text in INSTRUCTIONS.items() if flag in flags]
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    cores = f"{os.cpu_count()} cores"
    return ", ".join(filter(None, [name, *sets, cores, load, f"Python {platform.python_version()}"]))


def _peak_gib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
