"""Signals to the command line: what a study that is ended leaves behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sklearn_pspd import __main__ as command

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux")

LONG = ["--patients", "24", "--folds", "2", "--epochs", "5000", "--size-px", "8", "--filters", "2", "--slices", "3"]
# The study says how to go on.
INTERRUPTED = "interrupted; what was complete is in the folder of the results: the same command goes on from there\n"


def default_signals():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def default_handlers():
    earlier = {number: signal.getsignal(number) for number in command.SIGNALS}
    default_signals()
    yield
    for number, handler in earlier.items():
        signal.signal(number, handler)


class RunningStudy:
    """A study in its own process group, with folders of its own for temporary files."""

    def __init__(self, folder, *options):
        self.folder = folder
        for name in ("temporary", "shared"):
            (folder / name).mkdir()
        places = {"TMPDIR": str(folder / "temporary"), "JOBLIB_TEMP_FOLDER": str(folder / "shared")}
        line = [sys.executable, "-m", "sklearn_pspd", *LONG, "--members", "2", *options]
        self.process = subprocess.Popen(
            line,
            cwd=folder,
            env={**os.environ, **places},
            start_new_session=True,
            # Signals that this process ignores, as after nohup, would be ignored there too.
            preexec_fn=default_signals,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until(self, condition, seconds=120):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, condition
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.05)

    def n_with_tensorflow(self):
        """Return how many processes have loaded TensorFlow while decoded images are there."""
        if not any((self.folder / "temporary").rglob("*.cache")):
            return 0
        maps = [Path(f"/proc/{number}/maps") for number in self.processes()]
        return sum("tensorflow" in path.read_text() for path in maps if path.exists())

    def processes(self):
        """Return the processes that have the folder in their environment, which children inherit."""
        found = []
        for path in Path("/proc").iterdir():
            try:
                if path.name.isdigit() and str(self.folder).encode() in (path / "environ").read_bytes():
                    found.append(int(path.name))
            except OSError:
                continue
        return found

    def left_behind(self):
        # The resource tracker of joblib ends after all that it looks after.
        end = time.monotonic() + 20
        while self.processes() and time.monotonic() < end:
            time.sleep(0.1)
        files = [path.name for name in ("temporary", "shared") for path in (self.folder / name).iterdir()]
        return files, self.processes()


@pytest.mark.parametrize(
    ("number", "whom", "status"),
    [
        (signal.SIGTERM, "process", 143),
        (signal.SIGHUP, "group", 129),
        (signal.SIGINT, "group", 130),
    ],
)
def test_a_study_with_workers_that_is_ended_leaves_nothing(tmp_path, number, whom, status):
    study = RunningStudy(tmp_path, "--jobs", "2")
    study.wait_until(lambda: study.n_with_tensorflow() == 3)  # the study and two workers
    send = os.killpg if whom == "group" else os.kill
    send(study.process.pid, number)
    _, messages = study.process.communicate(timeout=60)
    assert study.process.returncode == status, messages
    assert INTERRUPTED in messages
    assert "Traceback" not in messages
    assert study.left_behind() == ([], [])
    assert (tmp_path / "pspd-study" / "tensorflow.log").exists()


def test_a_study_without_workers_that_is_ended_leaves_nothing(tmp_path):
    study = RunningStudy(tmp_path)
    study.wait_until(study.n_with_tensorflow)
    os.kill(study.process.pid, signal.SIGTERM)
    _, messages = study.process.communicate(timeout=60)
    assert study.process.returncode == 143, messages
    assert "Traceback" not in messages
    assert study.left_behind() == ([], [])


def ended_by(number, monkeypatch):
    workspaces = []

    def run(workspace, **_):
        workspaces.append(workspace)
        (workspace / "image").write_bytes(b"pixels")
        signal.raise_signal(number)
        # A second signal does not disturb what cleans up.
        signal.raise_signal(number)

    monkeypatch.setattr(command, "_study", run)
    status = command.main([])
    assert not workspaces[0].exists()
    return status


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_status_and_handlers(number, status, monkeypatch, capsys):
    before = [signal.getsignal(each) for each in command.SIGNALS]
    assert ended_by(number, monkeypatch) == status
    assert capsys.readouterr().err == INTERRUPTED
    assert [signal.getsignal(each) for each in command.SIGNALS] == before


@pytest.mark.parametrize(
    ("arguments", "remains"), [(["pick", "t.csv"], "; every pick was written at once"), (["check", "t.csv"], "")]
)
def test_what_remains_of_other_commands(arguments, remains, monkeypatch, capsys):
    monkeypatch.setattr(command, f"_{arguments[0]}", lambda workspace, **_: signal.raise_signal(signal.SIGTERM))
    assert command.main(arguments) == 143
    assert capsys.readouterr().err == f"interrupted{remains}\n"


def test_an_error_after_a_signal_is_the_signal(monkeypatch, capsys):
    """Workers that end by the same signal make the fits fail."""

    def run(workspace, **_):
        try:
            signal.raise_signal(signal.SIGHUP)
        except SystemExit as stop:
            raise RuntimeError("a worker ended") from stop

    monkeypatch.setattr(command, "_study", run)
    assert command.main([]) == 129
    assert "interrupted" in capsys.readouterr().err


def test_signals_that_are_ignored_stay_ignored(monkeypatch, capsys):
    """As after nohup."""
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr(command, "_study", lambda workspace, **_: signal.raise_signal(signal.SIGHUP))
        assert command.main([]) == 0
    finally:
        signal.signal(signal.SIGHUP, earlier)


def test_in_a_thread_no_handler_is_set(monkeypatch):
    monkeypatch.setattr(command, "_study", lambda workspace, **_: None)
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(command.main([])))
    thread.start()
    thread.join()
    assert statuses == [0]
