"""Damage and forge files of classifiers, pipelines and cache entries: each ends in the same predictions or a refusal.

Damaged files (bits, lengths, edited descriptions whose hash no longer fits) must be refused, or give identical
predictions. Forged files (edited descriptions with hashes that fit) must be refused, or be read and give finite
probabilities: who can write hashes can write weights. Run
``python tests/benchmarks/fuzz_model_files.py --cases 10000``.
"""

import argparse
import hashlib
import io
import json
import os
import random
import resource
import struct
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from isal import isal_zlib

from sklearn_pspd import (
    CNNLSTMClassifier,
    load_pipeline,
    make_clinical_pipeline,
    make_cohort,
    save_pipeline,
    split_xy,
)
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.loading.cache import MAGIC, PREFIX
from sklearn_pspd.neural_network.model_file import DESCRIPTION, hash_of_description
from sklearn_pspd.persistence import HASHES

VALUES = [
    None, True, False, 0, 1, -1, 2, 3, 7, 10**6, 10**9, 2**63, 10**30, 0.5, -0.5, 1e-300, 1e300, float("nan"),
    float("inf"), "", "a", "0", "float64", "mixed_float16", "relu", "<U500000000", "V100000000", "|O", "os.system",
    [], {}, [[]], [1] * 50, ["a"], {"tuple": [1, 2]}, {"array": [0, 1], "dtype": "<i8"}, {"dict": [[1, 2]]},
    {"array": ["a"], "dtype": "<U500000000"}, {"": 1},
]  # fmt: skip


class FuzzError(AssertionError):
    """A case that ended neither in the same result nor in a refusal."""


# ---- damage ----------------------------------------------------------------------------------------------------------


def damage_bytes(content, rng):
    """Flip bits, cut, repeat, overwrite or insert bytes."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        place = rng.randrange(len(content)) if content else 0
        kind = rng.choice(["flip", "flip", "cut", "zero", "insert", "number", "swap"])
        if not content:
            break
        if kind == "flip":
            content[place] ^= 1 << rng.randrange(8)
        elif kind == "cut":
            del content[place:]
        elif kind == "zero":
            content[place : place + rng.randrange(1, 64)] = bytes(rng.randrange(1, 64))
        elif kind == "insert":
            content[place:place] = rng.randbytes(rng.randrange(1, 64))
        elif kind == "number":
            content[place : place + 4] = struct.pack("<I", rng.choice([0, 1, 2**31, 2**32 - 1]))
        else:
            other = rng.randrange(len(content))
            content[place : place + 16], content[other : other + 16] = (
                content[other : other + 16], content[place : place + 16],
            )  # fmt: skip
    return bytes(content)


def edit_json(value, rng):
    """Change one or two places of a JSON value: another value, a missing or unknown key, a deeper value."""
    for _ in range(rng.choice([1, 1, 2])):
        places = list(_places(value))
        parent, key = rng.choice(places)
        kind = rng.choice(["replace", "replace", "replace", "delete", "rename", "nest"])
        if kind == "delete":
            del parent[key]
        elif kind == "rename" and isinstance(parent, dict):
            parent[f"{key}_"] = parent.pop(key)
        elif kind == "nest":
            deep = parent[key]
            for _ in range(rng.choice([1, 10, 150])):
                deep = {"list": [deep]}
            parent[key] = deep
        else:
            old = parent[key]
            near = [old + 1, old - 1, -old] if isinstance(old, int | float) and not isinstance(old, bool) else []
            parent[key] = json.loads(json.dumps(rng.choice([*near, *VALUES])))
    return value


def _places(value):
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(entries):
        yield value, key
        yield from _places(item)


def entries_of(content):
    """Return the entries of an archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(entries, method=zipfile.ZIP_STORED):
    """Return an archive of entries, whose checksums fit."""
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stored.getvalue()


def edited(text, rng):
    """Return JSON text with changes, or text that is nested too deep to be read."""
    return b"[" * 10_000 if rng.random() < 0.01 else json.dumps(edit_json(json.loads(text), rng)).encode()


# ---- kinds of files --------------------------------------------------------------------------------------------------


class ModelFiles:
    """Files of ``CNNLSTMClassifier.save``."""

    def __init__(self, folder):
        rng = np.random.default_rng(0)
        self.X, y = rng.random((8, 3 * 8 * 8 + 2), dtype=np.float32), np.arange(8) % 2
        network = CNNLSTMClassifier(
            (3, 8, 8), filters=(2,), lstm_units=2, epochs=1, precision="float32", random_state=0
        )
        network.fit(self.X, y).save(folder / "model.pspd")
        self.path, self.expected = folder / "model.pspd", network.predict_proba(self.X)
        self.whole = self.path.read_bytes()

    def damaged(self, rng):
        if rng.random() < 0.5:
            return damage_bytes(self.whole, rng)
        entries = entries_of(self.whole)
        if rng.random() < 0.5:
            entries[DESCRIPTION] = edited(entries[DESCRIPTION], rng)
        else:
            name = rng.choice(list(entries))
            entries[name] = damage_bytes(entries[name], rng)
        return archive_of(entries, rng.choice([zipfile.ZIP_STORED] * 9 + [zipfile.ZIP_DEFLATED]))

    def forged(self, rng):
        entries = entries_of(self.whole)
        description = json.loads(entries[DESCRIPTION])
        if rng.random() < 0.3:
            name = rng.choice([name for name in entries if name != DESCRIPTION])
            entries[name] = damage_bytes(entries[name], rng)
        else:
            hashes = description.pop("sha256")
            description = edit_json(description, rng)
            description["sha256"] = hashes
        for name, content in entries.items():
            if name != DESCRIPTION:
                description["sha256"][name] = hashlib.sha256(content).hexdigest()
        description["sha256"][DESCRIPTION] = hash_of_description(description)
        entries[DESCRIPTION] = json.dumps(description).encode()
        return archive_of(entries)

    def read(self):
        return CNNLSTMClassifier.load(self.path).predict_proba(self.X)


class PipelineFiles:
    """Files of ``save_pipeline``."""

    def __init__(self, folder):
        self.X, y = split_xy(make_cohort(folder / "cohort", 12, matrix_px=(32,), random_state=0))
        model = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=2).fit(self.X, y)
        self.path, self.expected = folder / "model.skops", model.predict_proba(self.X)
        save_pipeline(model, self.path)
        self.whole = self.path.read_bytes()

    def damaged(self, rng):
        if rng.random() < 0.5:
            return damage_bytes(self.whole, rng)
        entries = entries_of(self.whole)
        if rng.random() < 0.7:
            entries["schema.json"] = edited(entries["schema.json"], rng)
        else:
            name = rng.choice(list(entries))
            entries[name] = damage_bytes(entries[name], rng)
        return archive_of(entries)

    def forged(self, rng):
        entries = entries_of(self.whole)
        del entries[HASHES]
        if rng.random() < 0.3:
            name = rng.choice(list(entries))
            entries[name] = damage_bytes(entries[name], rng)
        else:
            entries["schema.json"] = edited(entries["schema.json"], rng)
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in entries.items()}
        return archive_of({**entries, HASHES: json.dumps({"library": "forged", "sha256": hashes}).encode()})

    def read(self, *, predict=True):
        model = load_pipeline(self.path)
        return model.predict_proba(self.X) if predict else None


class CacheEntries:
    """Entries of the cache of slice stacks."""

    def __init__(self, folder):
        cohort = make_cohort(folder / "images", 6, matrix_px=(32,), n_native_slices=10, random_state=0)
        self.X = cohort.iloc[:1]
        self.loader = SliceStackLoader(n_slices=3, max_spacing_mm=20, memory=folder / "cache")
        self.expected = self.loader.fit_transform(self.X)[0].pixels
        (self.path,) = (folder / "cache").rglob("*.cache")
        self.whole = self.path.read_bytes()

    def damaged(self, rng):
        return damage_bytes(self.whole, rng)

    def forged(self, rng):
        start = len(MAGIC) + PREFIX.size
        _, n_text, _ = PREFIX.unpack_from(self.whole, len(MAGIC))
        text, stored = self.whole[start : start + n_text], self.whole[start + n_text :]
        if rng.random() < 0.7:
            text = edited(text, rng)
        else:
            # The header of the array: its pixels are anybody's who can write a checksum.
            stored = damage_bytes(stored[:128], rng) + stored[128:]
        checksum = isal_zlib.crc32(struct.pack("<II", len(text), len(stored)) + text + stored)
        return MAGIC + PREFIX.pack(checksum, len(text), len(stored)) + text + stored

    def read(self):
        return self.loader.transform(self.X)[0].pixels


# ---- run -------------------------------------------------------------------------------------------------------------


def run_case(kind, rng):
    """Damage or forge one file and read it; return what came of it."""
    is_forged = rng.random() < 0.4
    kind.path.write_bytes(kind.forged(rng) if is_forged else kind.damaged(rng))
    try:
        # scikit-learn's own code predicts with a forest; a forged one is only read.
        found = kind.read(predict=False) if is_forged and isinstance(kind, PipelineFiles) else kind.read()
    except ValueError:
        if isinstance(kind, CacheEntries):
            raise FuzzError("a cache entry is made again, never refused") from None
        return "forged: refused" if is_forged else "damaged: refused"
    if found is None:
        return "forged: read"
    if np.array_equal(found, kind.expected):
        return "forged: same result" if is_forged else "damaged: same result"
    if is_forged and isinstance(kind, ModelFiles) and np.all(np.isfinite(found)):
        return "forged: another network"
    if is_forged and isinstance(kind, CacheEntries) and found.dtype == np.float32 and found.ndim == 3:
        return "forged: other pixels"
    raise FuzzError(f"{type(kind).__name__}: another result of a damaged file")


def peak_mb():
    """Return the largest memory of the process up to now."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=["ModelFiles", "PipelineFiles", "CacheEntries"])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kinds = [globals()[name](Path(folder)) for name in options.kinds]
        for kind in kinds:
            assert np.array_equal(kind.read(), kind.expected)
        baseline, started, failures, n_cases = peak_mb(), time.monotonic(), [], 0
        counts = {type(kind).__name__: Counter() for kind in kinds}
        warnings.simplefilter("ignore")  # of scikit-learn and NumPy, about versions that a forged file claims
        for case in range(options.cases):
            if time.monotonic() - started > options.seconds:
                break
            kind, n_cases = kinds[case % len(kinds)], case + 1
            try:
                counts[type(kind).__name__][run_case(kind, random.Random(f"{options.seed} {case}"))] += 1
            except Exception as error:
                failures.append(f"case {case}, {type(kind).__name__}: {type(error).__name__}: {str(error)[:200]}")
                print(failures[-1], flush=True)
    for name, found in counts.items():
        print(f"{name}: " + ", ".join(f"{number} {outcome}" for outcome, number in sorted(found.items())))
    print(
        f"{n_cases} cases in {time.monotonic() - started:.0f} s, {len(failures)} failures; peak memory "
        f"{peak_mb() - baseline:.0f} MB above the {baseline:.0f} MB at the start"
    )
    return 1 if failures or peak_mb() - baseline > 500 else 0


if __name__ == "__main__":
    sys.exit(main())
