"""Tests of the cache of slice stacks: what is decoded again, and what a damaged or planted entry can do."""

import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from head_files import HEAD, MIDDLE, assert_is_head, load, table, write_dicom, write_nifti
from isal import isal_zlib
from joblib import Memory
from sklearn.base import clone
from sklearn.model_selection import KFold

from sklearn_pspd.loading import SliceStackLoader, cache
from sklearn_pspd.loading import stack as stack_module


def count_decodings(monkeypatch):
    opened = []
    original = stack_module.open_volume

    def counted(path, files):
        opened.append(path)
        return original(path, files)

    monkeypatch.setattr(stack_module, "open_volume", counted)
    return opened


def test_ten_fold_validation_decodes_each_patient_once(tmp_path, monkeypatch):
    opened = count_decodings(monkeypatch)
    X = table(*[write_nifti(tmp_path / f"{i}.nii") for i in range(10)], lesion_slice=[MIDDLE] * 10)
    loader = SliceStackLoader(n_slices=3, memory=tmp_path / "cache")
    for train, test in KFold(10).split(X):
        clone(loader).fit_transform(X.iloc[train])
        clone(loader).fit_transform(X.iloc[test])
    assert len(opened) == 10


def test_changed_files_and_parameters_are_decoded_again(tmp_path, monkeypatch):
    opened = count_decodings(monkeypatch)
    folder = Path(write_dicom(tmp_path / "series"))
    memory = str(tmp_path / "cache")
    first = load(str(folder), memory=memory)
    assert_is_head(load(str(folder), memory=memory))
    assert len(opened) == 1
    load(str(folder), memory=memory, n_slices=3)
    load(str(folder), memory=memory, lesion_slice=6)
    assert len(opened) == 3
    file = next(iter(folder.iterdir()))
    os.utime(file, ns=(1, 1))
    load(str(folder), memory=memory)
    assert len(opened) == 4
    write_dicom(folder, voxels=HEAD + 1)
    np.testing.assert_array_equal(load(str(folder), memory=memory).pixels, first.pixels + 1)


def forge(entry, change_text=None, change_array=None):
    """Rewrite an entry of the cache with a valid checksum."""
    content = entry.read_bytes()
    n_magic = len(cache.MAGIC)
    _, n_text, _ = cache.PREFIX.unpack_from(content, n_magic)
    text, stored = content[n_magic + 12 :][:n_text], content[n_magic + 12 + n_text :]
    text, stored = (change_text or bytes)(text), (change_array or bytes)(stored)
    checksum = isal_zlib.crc32(struct.pack("<II", len(text), len(stored)) + text + stored)
    entry.write_bytes(cache.MAGIC + cache.PREFIX.pack(checksum, len(text), len(stored)) + text + stored)


def flipped(content, place):
    content = bytearray(content)
    content[place] ^= 64
    return bytes(content)


class Planted:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return print, ("the cache ran code",)


DAMAGE = {
    "truncated": lambda whole: whole[:-1],
    "empty": lambda whole: b"",
    "longer": lambda whole: whole + b"x",
    "a flipped bit of a pixel": lambda whole: flipped(whole, -5),
    "a flipped bit of the description": lambda whole: flipped(whole, 60),
    "a flipped bit of a length": lambda whole: flipped(whole, len(cache.MAGIC) + 7),
    "a flipped bit of the magic": lambda whole: flipped(whole, 3),
    "text": lambda whole: b"PSPDarray1\nand nothing else that is of use",
    "pickle": lambda whole: pickle.dumps(Planted()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_cache_entry_is_decoded_again(tmp_path, monkeypatch, capsys, damage):
    path = write_nifti(tmp_path / "head.nii")
    load(path, memory=tmp_path / "cache")
    (entry,) = (tmp_path / "cache").rglob("*.cache")
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    opened = count_decodings(monkeypatch)
    assert_is_head(load(path, memory=tmp_path / "cache"))
    assert len(opened) == 1
    assert entry.read_bytes() == whole
    assert_is_head(load(path, memory=tmp_path / "cache"))
    assert len(opened) == 1
    assert capsys.readouterr().out == ""


FORGED = {
    "no object": {"change_text": lambda text: b"3"},
    "other names": {"change_text": lambda text: text.replace(b"facts", b"fakts")},
    "other types": {"change_text": lambda text: text.replace(b'"orientation": "', b'"orientation": 3, "x": "')},
    "text for a number": {"change_text": lambda text: text.replace(b'"tilt_deg": 0.0', b'"tilt_deg": "0"')},
    "list for a number": {"change_text": lambda text: text.replace(b'"tilt_deg": 0.0', b'"tilt_deg": [0.0]')},
    "number for a list": {"change_text": lambda text: text.replace(b'slice_indices": [', b'slice_indices": 1, "": [')},
    "deep": {"change_text": lambda text: b"[" * 60_000},
    "another key": {"change_text": lambda text: text.replace(b'"key": "', b'"key": "0')},
    "fewer slices": {"change_array": lambda stored: stored.replace(b"(5, ", b"(1, ")},
    "another type": {"change_array": lambda stored: stored.replace(b"<f4", b"<i4")},
    "objects": {"change_array": lambda stored: stored.replace(b"<f4", b"|O ")},
    "another array format": {"change_array": lambda stored: stored.replace(b"NUMPY\x01", b"NUMPY\x02")},
}


@pytest.mark.parametrize("changes", FORGED.values(), ids=FORGED)
def test_a_forged_cache_entry_is_decoded_again(tmp_path, monkeypatch, changes):
    path = write_nifti(tmp_path / "head.nii")
    load(path, memory=tmp_path / "cache")
    (entry,) = (tmp_path / "cache").rglob("*.cache")
    whole = entry.read_bytes()
    forge(entry)
    assert entry.read_bytes() == whole
    forge(entry, **changes)
    assert entry.read_bytes() != whole
    opened = count_decodings(monkeypatch)
    assert_is_head(load(path, memory=tmp_path / "cache"))
    assert len(opened) == 1


def test_a_cached_stack_equals_a_decoded_one(tmp_path):
    X = table(write_nifti(tmp_path / "head.nii"), lesion_slice=[MIDDLE])
    decoded, cached = (SliceStackLoader(n_slices=5, memory=memory) for memory in (None, tmp_path / "cache"))
    first, (again,) = cached.transform(X)[0], cached.transform(X)
    for name, value in vars(decoded.transform(X)[0]).items():
        np.testing.assert_array_equal(getattr(first, name), value)
        np.testing.assert_array_equal(getattr(again, name), value)
    assert again.pixels.dtype == np.float32
    assert again.pixels.flags.writeable
    assert again.pixels.flags.aligned
    pd.testing.assert_frame_equal(cached.inspect(X), decoded.inspect(X))


def test_memory_is_a_folder(tmp_path, monkeypatch):
    path = write_nifti(tmp_path / "head.nii")
    opened = count_decodings(monkeypatch)
    for memory in (tmp_path / "cache", str(tmp_path / "cache"), Memory(tmp_path / "cache", verbose=0)):
        assert_is_head(load(path, memory=memory))
    assert len(opened) == 1
    assert_is_head(load(path, memory=Memory(None)))
    assert len(opened) == 2
    with pytest.raises(ValueError, match="memory"):
        load(path, memory=3)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        load(path, memory=tmp_path / "file")


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch):
    path = write_nifti(tmp_path / "head.nii")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "replaced_when_whole", full)
    with pytest.warns(UserWarning, match="cannot be written .*No space left on device"):
        assert_is_head(load(path, memory=tmp_path / "cache"))


def run_loader(path, cache, *, before=""):
    """Start a process that loads a head through a cache and prints the sum of its pixels."""
    code = f"""
import sys
from pathlib import Path
import pandas as pd
from sklearn_pspd import SliceStackLoader
{before}
X = pd.DataFrame({{"patient_id": ["P00"], "image": [sys.argv[1]], "lesion_slice": [{MIDDLE}]}})
stack = SliceStackLoader(n_slices=5, memory=sys.argv[2]).fit_transform(X)[0]
print(stack.pixels.sum(dtype=float))
"""
    command = [sys.executable, "-c", code, str(path), str(cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_fill_one_cache(tmp_path):
    path = write_nifti(tmp_path / "head.nii")
    # Each waits until the other has started, so that both decode and write at the same time.
    meet = """
Path(sys.argv[2] + f".{os.getpid()}").touch()
while len(list(Path(sys.argv[2]).parent.glob("cache.*"))) < 2:
    pass
"""
    workers = [run_loader(path, tmp_path / "cache", before="import os" + meet) for _ in range(2)]
    sums = [float(worker.communicate(timeout=60)[0]) for worker in workers]
    stack = load(path, memory=str(tmp_path / "cache"), n_slices=5)
    assert sums == [stack.pixels.sum(dtype=float)] * 2
    assert len(list((tmp_path / "cache").rglob("*.cache"))) == 1


def test_a_process_killed_while_writing_leaves_a_usable_cache(tmp_path):
    path, folder = write_nifti(tmp_path / "head.nii"), tmp_path / "cache"
    die = """
import os, signal
os.replace = Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = run_loader(path, folder, before=die)
    killed.communicate(timeout=60)
    assert killed.returncode == -9
    assert [file.suffix for file in folder.rglob("*") if file.is_file()] == [".part"]
    assert_is_head(load(path, memory=str(folder)))
    assert_is_head(load(path, memory=str(folder)))
