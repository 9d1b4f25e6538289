"""Files that are replaced when the new one is whole: full disks, interruptions, concurrent readers and writers."""

import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sklearn_pspd
from sklearn_pspd import load_pipeline, make_clinical_pipeline, make_cohort, save_pipeline, split_xy
from sklearn_pspd.file_writing import append_line, replaced_when_whole, write_bytes, write_table, write_text
from sklearn_pspd.reporting import write_comparison

# Files in new folders, whose names nothing refers to before they are whole.
ALLOWED = {
    "file_writing.py": None,
    "datasets/_writing.py": "images of a synthetic cohort, before its table",
    "datasets/export.py": "files of a synthetic export",
    "intake/series.py": "a cache by lines, which passes over half a line",
    "neural_network/model_file.py": "a network in a temporary folder",
    "release/reading.py": "copies of a release in a temporary folder",
    "neural_network/messages.py": "the log of native messages, which grows",
}
DIRECT = re.compile(
    r"\.to_csv\((?!None)|(?<!file_writing)(?<!reporting)\.write_text\(|(?<!file_writing)\.write_bytes\("
    r"|\.savefig\((?!file\b)|\bopen\([^)]*[\"'][rb]*[wax]|\.tofile\(|np\.save"
)


def test_no_other_module_writes_files_directly():
    package = Path(sklearn_pspd.__file__).parent
    found = {}
    for path in package.rglob("*.py"):
        lines = [
            line
            for line in path.read_text(encoding="utf-8").splitlines()
            if not line.lstrip().startswith((">>>", "...", "#"))
        ]
        hits = [line.strip() for line in lines if DIRECT.search(line)]
        if hits:
            found[path.relative_to(package).as_posix()] = hits
    assert found.keys() <= ALLOWED.keys(), found
    assert ALLOWED.keys() <= found.keys()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"earlier")
    return path


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_write_leaves_the_earlier_file(path, error):
    def interrupted():
        with replaced_when_whole(path) as file:
            file.write(b"half of ")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_bytes() == b"earlier"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_replaced_keeps_its_mode(path):
    path.chmod(0o640)
    write_text(path, "later\n")
    assert path.read_bytes() == b"later\n"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_table_that_cannot_be_written_leaves_the_earlier_one(path):
    class Unwritable:
        def __str__(self):
            raise RuntimeError("no text")

    with pytest.raises(RuntimeError, match="no text"):
        write_table(path, pd.DataFrame({"a": [1, Unwritable()]}))
    assert path.read_bytes() == b"earlier"


def test_readers_see_whole_files_while_others_write(path):
    contents = [bytes([letter]) * 300_000 for letter in b"abc"]
    write_bytes(path, contents[0])
    is_done = threading.Event()

    def write():
        for number in range(60):
            write_bytes(path, contents[number % 3])

    def read():
        seen = set()
        while not is_done.is_set():
            seen.add(path.read_bytes())
        return seen

    with ThreadPoolExecutor() as pool:
        writers, reader = [pool.submit(write) for _ in range(2)], pool.submit(read)
        for writer in writers:
            writer.result()
        is_done.set()
    assert reader.result() <= set(contents)
    assert len(reader.result()) > 1
    assert list(path.parent.iterdir()) == [path]


def test_lines_of_several_threads_are_whole(tmp_path):
    path = tmp_path / "log"
    lines = [str(number) * 20_000 for number in range(8)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda line: append_line(path, line), lines * 4))
    assert sorted(path.read_text().splitlines()) == sorted(lines * 4)


def test_pipelines_are_read_while_they_are_written(tmp_path):
    X, y = split_xy(make_cohort(tmp_path / "cohort", 12, matrix_px=(32,), random_state=0))
    model = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=3).fit(X, y)
    path = tmp_path / "model.skops"
    save_pipeline(model, path)
    with ThreadPoolExecutor() as pool:
        writer = pool.submit(lambda: [save_pipeline(model, path) for _ in range(10)])
        n_read = 0
        while not writer.done() or not n_read:
            np.testing.assert_array_equal(load_pipeline(path).predict_proba(X), model.predict_proba(X))
            n_read += 1
        writer.result()


LIMITED = """
import resource, signal, sys
from pathlib import Path
from tempfile import TemporaryDirectory
import pandas as pd
from sklearn_pspd import make_clinical_pipeline, make_cohort, save_pipeline, split_xy
from sklearn_pspd.file_writing import append_line, write_table
from sklearn_pspd.loading import SliceStackLoader

folder = Path(sys.argv[1])
cohort = make_cohort(folder / "cohort", 12, matrix_px=(64,), random_state=0)
X, y = split_xy(cohort)
model = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=30).fit(X, y)
save_pipeline(model, folder / "model.skops")
write_table(folder / "scores.csv", pd.DataFrame({"a": range(10)}))
append_line(folder / "uses.jsonl", "first")
before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

# A file of more than 20 kB cannot be written from here on, as on a full disk.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
def fails(write, *arguments):
    try:
        write(*arguments)
    except OSError:
        return
    raise AssertionError(write)

fails(save_pipeline, model, folder / "model.skops")
fails(write_table, folder / "scores.csv", pd.DataFrame({"a": range(10_000)}))
fails(append_line, folder / "uses.jsonl", "x" * 30_000)
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert len(SliceStackLoader(max_spacing_mm=5, memory=folder / "cache").fit_transform(X)) == 12
assert "cannot be written" in str(caught[0].message), caught
assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
assert not [path for path in folder.rglob("*.part")]
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of the size of files")
def test_a_full_disk_destroys_nothing(tmp_path):
    subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], check=True, timeout=120)


def test_an_interrupted_report_leaves_whole_files(tmp_path, monkeypatch):
    """The figures are written like the tables: an error in the middle of one leaves no part of it."""
    from matplotlib.figure import Figure
    from sklearn.linear_model import LogisticRegression

    from sklearn_pspd import compare_models

    X, y = split_xy(make_cohort(tmp_path / "cohort", 24, matrix_px=(32,), random_state=0))
    comparison = compare_models({"logistic": make_clinical_pipeline(LogisticRegression())}, X, y, cv=2)
    results = tmp_path / "results"
    results.mkdir()
    (results / "comparison.png").write_bytes(b"earlier")

    def broken(self, file, **_):
        file.write(b"half a figure")
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(KeyboardInterrupt):
        write_comparison(comparison, results)
    assert (results / "comparison.png").read_bytes() == b"earlier"
    assert not list(results.glob(".*"))
    assert len(pd.read_csv(results / "scores.csv")) == 24
