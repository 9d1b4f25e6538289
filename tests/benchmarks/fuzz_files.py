"""Damage NIfTI and DICOM files at random: each ends in the stack of an independent reader or in a named refusal.

The files are small copies of real ones, with their headers, where the folder of sample data is given, and synthetic
ones otherwise. Run ``python tests/benchmarks/fuzz_files.py --cases 3000 --seed 3 --data FOLDER``.
"""

import argparse
import gzip
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
from nibabel import orientations
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from head_files import write_dicom, write_enhanced, write_nifti

from sklearn_pspd.cohort.image_files import file_problem
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader

N_SLICES = 3
MIDDLES = (5, 1)  # the lesion slices that are tried in an original
SMALL = (14, 13, 12)  # voxels of the copies
EXTREMES = [
    0,
    1,
    -1,
    2,
    7,
    127,
    255,
    -32768,
    32767,
    65535,
    2**31 - 1,
    -(2**31),
    np.nan,
    np.inf,
    -np.inf,
    1e-30,
    1e30,
    0.5,
]
TEXTS = [
    "",
    "0",
    "-1",
    "1e308",
    "nan",
    "x",
    "1\\2",
    "0\\0\\0",
    "1\\0\\0\\0\\1\\0",
    "65535",
    "MR",
    "CT",
    "MONOCHROME1",
    "RGB",
]
HEADER_FIELDS = [
    "dim", "pixdim", "datatype", "bitpix", "vox_offset", "scl_slope", "scl_inter", "xyzt_units", "qform_code",
    "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "srow_x", "srow_y", "srow_z", "magic",
    "sizeof_hdr",
]  # fmt: skip
TAGS = ["Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
        "PhotometricInterpretation", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope",
        "RescaleIntercept", "NumberOfFrames", "Modality", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID",
        "SliceThickness", "PixelData"]  # fmt: skip


class FuzzError(AssertionError):
    """A case that ended neither in the right stack nor in a refusal that names patient and file."""


# ---- originals -------------------------------------------------------------------------------------------------------


def write_originals(folder, data=None):
    """Write small NIfTI files and DICOM folders; return (path, lesion slice) of those that can be loaded."""
    found = []
    for code, name in (("LAS", "a.nii"), ("RPI", "b.nii.gz"), ("SAL", "c.nii")):
        found.append(write_nifti(folder / name, code))
    found += [write_dicom(folder / "axial"), write_dicom(folder / "sagittal", "sagittal")]
    (folder / "enhanced").mkdir()
    write_enhanced(folder / "enhanced" / "e.dcm")
    found.append(str(folder / "enhanced"))
    if data is not None:
        found += [_shrink_nifti(path, folder / path.name) for path in sorted(Path(data).glob("brain*_image.nii.gz"))]
        found += [_shrink_dicom(path, folder / path.name) for path in _series(Path(data))]
    loadable = ((path, middle) for path in found for middle in MIDDLES if check(path, middle) == "stack")
    return list(dict(reversed(list(loadable))).items())


def _series(data):
    traps = [path for path in sorted((data / "dicom_traps").glob("*")) if len(list(path.iterdir())) > 1]
    return [data / "dicom_t1w_whole_head", *traps]


def _shrink_nifti(path, target):
    image = nib.load(path)
    header = image.header.copy()
    voxels = np.asarray(image.dataobj)[100 : 100 + SMALL[0], 100 : 100 + SMALL[1], : SMALL[2]]
    nib.save(nib.Nifti1Image(voxels, image.affine, header), target)
    return str(target)


def _shrink_dicom(folder, target):
    target.mkdir()
    for path in sorted(folder.iterdir()):
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array[..., 10 : 10 + SMALL[0], 10 : 10 + SMALL[1]]
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset["PixelData"].is_undefined_length = False
        dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
        dataset.Rows, dataset.Columns = pixels.shape[-2:]
        dataset.save_as(target / path.name, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return str(target)


# ---- damage ----------------------------------------------------------------------------------------------------------


def damage(path, rng):
    """Damage a NIfTI file or some files of a DICOM folder in place."""
    path = Path(path)
    if path.is_file():
        content = path.read_bytes()
        is_packed = content[:2] == b"\x1f\x8b"
        content = _damage_nifti(gzip.decompress(content) if is_packed else content, rng)
        content = gzip.compress(content, 1) if is_packed != (rng.random() < 0.1) else content
        path.write_bytes(_damage_bytes(content, rng, len(content)) if rng.random() < 0.1 else content)
        return
    files = sorted(path.iterdir())
    for number in rng.choice(len(files), rng.integers(1, 3)):
        _damage_dicom(files[number % len(files)], rng)
    if rng.random() < 0.1:  # one change that all files have in common
        keyword, value = rng.choice(TAGS), rng.choice(TEXTS)
        for file in files:
            _set_tag(file, keyword, value)


def _damage_bytes(content, rng, within):
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        start = int(rng.integers(0, max(1, min(within, len(content)))))
        kind = rng.integers(4)
        if kind == 0:
            content[start : start + 1] = rng.bytes(1)
        elif kind == 1:
            length = int(rng.choice([2, 4, 8]))
            content[start : start + length] = rng.choice([bytes(length), b"\xff" * length, rng.bytes(length)])[:length]
        elif kind == 2:
            del content[start : start + int(rng.integers(1, 9))]
        elif rng.random() < 0.2:
            del content[start:]
    return bytes(content)


def _damage_nifti(content, rng):
    if rng.random() < 0.4:
        return _damage_bytes(content, rng, 360)
    header = nib.Nifti1Header(content[:348], check=False)
    for _ in range(rng.integers(1, 4)):
        field = rng.choice(HEADER_FIELDS)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if header[field].ndim:
                    header[field][rng.integers(header[field].size)] = rng.choice(EXTREMES)
                elif field == "magic":
                    header[field] = rng.choice([b"ni1", b"n+2", b"", b"n+1"])
                else:
                    header[field] = rng.choice(EXTREMES)
            except (OverflowError, ValueError):  # the field cannot hold this value
                continue
    return header.binaryblock + content[348:]


def _damage_dicom(path, rng):
    if not path.is_file():
        return
    kind = rng.random()
    if kind < 0.5:
        content = path.read_bytes()
        path.write_bytes(_damage_bytes(content, rng, len(content) - 280))
    elif kind < 0.8:
        _set_tag(path, rng.choice(TAGS), rng.choice(TEXTS))
    elif kind < 0.85:
        path.unlink()
    elif kind < 0.9:
        shutil.copy(path, path.with_name(f"copy {path.name}"))
    elif kind < 0.95:
        path.write_bytes(gzip.compress(path.read_bytes()))
    else:
        path.write_bytes(rng.bytes(int(rng.integers(0, 500))))


def _set_tag(path, keyword, value):
    """Replace the value of an element by a text, or remove the element."""
    try:
        dataset = pydicom.dcmread(path, force=True)
        if value == "" and keyword in dataset:
            del dataset[keyword]
        elif keyword == "PixelData":
            dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 2]
        else:
            number = value if dataset[keyword].VR not in ("US", "SS") else int(float(value)) % 65536
            dataset[keyword].value = number.split("\\") if isinstance(number, str) and "\\" in number else number
        dataset.save_as(path)
    except Exception:  # the file is damaged already, or cannot hold this value
        return


# ---- the two readers -------------------------------------------------------------------------------------------------


def check(path, middle):
    """Return what a case ended in, "stack" or "refused"; raise FuzzError for anything else."""
    X = pd.DataFrame({"patient_id": ["P77"], "image": [path], "lesion_slice": [middle]})
    loader = SliceStackLoader(n_slices=N_SLICES, max_spacing_mm=8.0, max_tilt_deg=45.0, allow_sequence=True)
    try:
        (stack,) = loader.transform(X)
    except InputError as error:
        lines = str(error).splitlines()[1:]
        if not lines or not all(line.startswith("  patient P77: ") and path in line for line in lines):
            raise FuzzError(f"a refusal without patient and file: {error}") from error
        return "refused"
    except Exception as error:
        raise FuzzError(f"{type(error).__name__}: {error}") from error
    if Path(path).is_file() and file_problem(path):
        raise FuzzError(f"loaded, although the check of the cohort says that it {file_problem(path)}")
    pixels, spacing = (_nifti_volume if Path(path).is_file() else _dicom_volume)(path)
    expected = pixels[middle - N_SLICES // 2 :][:N_SLICES]
    if not np.array_equal(stack.pixels, expected):
        raise FuzzError("other pixels than those of the independent reader")
    found = (stack.slice_spacing_mm, *stack.spacing_mm)
    if not np.allclose(found, spacing, rtol=1e-4, atol=1e-5):
        raise FuzzError(f"spacing {found} instead of {spacing}")
    return "stack"


def _nifti_volume(path):
    """Return the voxels (slices, rows, columns) and the spacing of a NIfTI file as nibabel reads them."""
    content = Path(path).read_bytes()
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    kind = nib.Nifti2Image if content[4:8] == b"n+2\0" else nib.Nifti1Image
    image = kind.from_bytes(content)
    with np.errstate(all="ignore"):
        voxels = np.asarray(image.dataobj).astype(np.float32)
    return _reorient(voxels.reshape(voxels.shape[:3]), image.affine)


def _dicom_volume(folder):
    """Return the same of a DICOM folder as pydicom reads its files."""
    frames = []
    for path in Path(folder).iterdir():
        content = path.read_bytes()
        source = pydicom.filebase.DicomBytesIO(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
        dataset = pydicom.dcmread(source, force=True)
        if "PixelData" in dataset and "Rows" in dataset:
            source.seek(0)
            frames += _frames(dataset, source)
    (row, column), (row_mm, column_mm) = frames[0][1].reshape(2, 3), frames[0][2]
    frames.sort(key=lambda frame: frame[0] @ np.cross(row, column))
    step = (frames[-1][0] - frames[0][0]) / max(len(frames) - 1, 1)
    affine = np.eye(4)
    affine[:3] = np.column_stack([row * column_mm, column * row_mm, step, frames[0][0]])
    return _reorient(np.stack([frame[3].T for frame in frames], axis=2), np.diag([-1, -1, 1, 1]) @ affine)


def _frames(dataset, source):
    """Return position, orientation, spacing and rescaled pixels of each frame."""
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])
    own = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    frames = []
    for number in range(max(1, len(own))):
        image = _stored_pixels(dataset, number, source)
        places = [item for group in own[number : number + 1] + shared for sequence in group for item in sequence]
        places.append(dataset)

        def value(keyword, default=None, places=places):
            return next((place[keyword].value for place in places if place.get(keyword) is not None), default)

        if dataset.PhotometricInterpretation == "MONOCHROME1":
            image = (-1 if dataset.PixelRepresentation else 2**dataset.BitsStored - 1) - image
        pixels = image * float(value("RescaleSlope", 1) or 1) + float(value("RescaleIntercept", 0) or 0)
        vectors = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
        frames.append((*(np.array(value(name), dtype=float) for name in vectors), pixels.astype(np.float32)))
    return frames


def _stored_pixels(dataset, number, source):
    """Return the pixels of one frame, all NaN if they cannot be read: the stack may not need them."""
    # The second reader does not need the type of the element, which may be damaged.
    for read in (_pixels_of_dataset, lambda *_: pydicom.pixels.pixel_array(source, index=number, raw=True)):
        try:
            return read(dataset, number).astype(float)
        except Exception:  # the reader refuses the file
            continue
    return np.full((dataset.Rows, dataset.Columns), np.nan)


def _pixels_of_dataset(dataset, number):
    """Return the pixels of one frame; the file may end, or be without a transfer syntax, where the stack allows it."""
    if "TransferSyntaxUID" not in dataset.file_meta:
        is_implicit = dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
    n_bytes = int(dataset.get("NumberOfFrames") or 1) * dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
    dataset.PixelData = dataset.PixelData.ljust(min(n_bytes, 10**7), b"\0")
    return pydicom.pixels.pixel_array(dataset, index=number)


def _reorient(voxels, affine):
    transform = orientations.ornt_transform(orientations.io_orientation(affine), orientations.axcodes2ornt("SPL"))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[np.argsort(transform[:, 0])]
    return orientations.apply_orientation(voxels, transform), spacing


# ---- runs ------------------------------------------------------------------------------------------------------------


def run(folder, n_cases, seed=0, data=None):
    """Damage copies of the originals; return the number of each ending, and the failures with their seeds."""
    folder = Path(folder)
    (folder / "originals").mkdir()
    originals = write_originals(folder / "originals", data)
    endings, failures = Counter(), []
    for case in range(n_cases):
        rng = np.random.default_rng([seed, case])
        original, middle = originals[rng.integers(len(originals))]
        original = Path(original)
        path = folder / original.name
        (shutil.copytree if original.is_dir() else shutil.copy)(original, path)
        damage(path, rng)
        try:
            endings[check(str(path), middle)] += 1
        except Exception as error:  # errors of the independent reader are failures, too
            failures.append((case, original.name, f"{type(error).__name__}: {error}"))
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return endings, failures


def main():
    """Run the cases of the command line and print the endings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", help="folder of real sample data")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    nib.imageglobals.logger.setLevel("CRITICAL")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        endings, failures = run(folder, options.cases, options.seed, options.data)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.cases} cases in {time.perf_counter() - start:.0f} s, peak memory {peak_mb:.0f} MB")
    print(", ".join(f"{count} {ending}" for ending, count in endings.most_common()), f"and {len(failures)} failures")
    for case, name, text in failures[:40]:
        print(f"  case {case} of {name}: {text[:300]}")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
