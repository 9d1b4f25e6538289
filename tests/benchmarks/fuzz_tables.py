"""Fuzz of cohort tables: mutated bytes end in a table or in an error that names the file, never in another exception.

Run it as ``python tests/benchmarks/fuzz_tables.py [n_cases] [seed]``; 10,000 cases take some minutes.
"""

import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np

from sklearn_pspd import read_cohort
from sklearn_pspd.exceptions import InputError

HEADER = "patient_id,site,image,lesion_slice,age_years,sex,mgmt,idh,dose_gy,n_fractions,interval_days,outcome"
ROWS = (
    "001,Bern,P1.nii,2,61,female,methylated,wildtype,60,30,45,PD",
    "002,Bern,P2.nii,3,58.5,male,unknown,unknown,60,30,120,PsPD",
    "003,Genf,P3.nii,1,70,male,unmethylated,mutated,40.05,15,33,PD",
)
TOKENS = [
    *(b",", b";", b"\t", b'"', b"'", b"\n", b"\r", b"\0", b"=", b" ", b"\xc2\xa0", b"\xef\xbb\xbf", b"\xff", b"<"),
    *(b"unknown", b"patient_id", b"outcome", b"1e999", b"-", b"1", b"60", b"NaN", b"sep=;\n", b"PK\x03\x04", b"../"),
]
OPTIONS = [
    *[{}] * 6,
    {"outcome": "optional", "missing": "keep"},
    {"decimal": ","},
    {"encoding": "latin-1"},
    {"sep": ";"},
]


def originals():
    """Return sound tables as bytes: separators, encodings, byte order marks, quotes, titles."""
    text = "\n".join((HEADER, *ROWS)) + "\n"
    quoted = text.replace(",", '","').replace("\n", '"\n"').removesuffix('"')
    texts = [text, text.replace(",", ";"), text.replace(",", "\t"), f'"{quoted}', f"Export\n\n{text}\n\n"]
    return [table.encode(code) for table in texts for code in ("utf-8", "utf-8-sig", "utf-16", "latin-1")]


def mutate(content, rng):
    """Return bytes with one to eight insertions, deletions, replacements or repetitions."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 3, 8])):
        place = int(rng.integers(len(content) + 1))
        match rng.integers(5):
            case 0:
                content[place:place] = TOKENS[rng.integers(len(TOKENS))]
            case 1:
                del content[place : place + rng.choice([1, 3, 20, 200])]
            case 2:
                content[place : place + 1] = bytes([rng.integers(256)])
            case 3:
                other = int(rng.integers(len(content) + 1))
                content[place:place] = content[other : other + rng.choice([1, 10, 80])]
            case _:
                content[place : place + 4] = TOKENS[rng.integers(len(TOKENS))]
    return bytes(content)


def outcome_of(path, options):
    """Return how the reading of one table ended."""
    try:
        read_cohort(path, **options)
    except InputError as error:
        return "refused" if path.name in str(error) else "refused without the name of the file"
    except Exception:
        traceback.print_exc()
        return "another exception"
    return "read"


def main(n_cases, seed):
    """Print how many tables were read, refused, or ended otherwise."""
    rng, counts = np.random.default_rng(seed), Counter()
    tables = originals()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("P1.nii", "P2.nii", "P3.nii"):
            nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 4), np.int16), np.eye(4)), Path(folder, name))
        path = Path(folder, "cohort.csv")
        for _ in range(n_cases):
            path.write_bytes(mutate(tables[rng.integers(len(tables))], rng))
            counts[outcome_of(path, OPTIONS[rng.integers(len(OPTIONS))])] += 1
    print(f"{n_cases} tables, seed {seed}: {dict(counts)}")


if __name__ == "__main__":
    main(*(int(argument) for argument in (sys.argv[1:] + ["10000", "0"][len(sys.argv) - 1 :])))
