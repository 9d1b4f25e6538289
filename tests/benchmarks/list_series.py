"""Time to list the series of 20,000 small DICOM files, compared with pydicom's and dcm2niix's own scans.

Run ``python tests/benchmarks/list_series.py [number of files] [folder]``. The files have 8 x 8 pixels, 160 elements
and 40 kB of private header, as those of a Siemens scanner; 160 files form a series.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from sklearn_pspd.intake import list_series

SERIES_LENGTH = 160
N_FILESET = 500  # so slow that some are enough
PRIVATE_BYTES = 40_000
ROOT_UID = "1.2.826.0.1.3680043.8.498"


def template():
    """Return the bytes of a file, with numbers of six digits that stand for what differs between files."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = MRImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = f"{ROOT_UID}.1.911111"
    image.StudyInstanceUID, image.SeriesInstanceUID = f"{ROOT_UID}.2.922222", f"{ROOT_UID}.3.933333"
    image.PatientID, image.PatientName, image.StudyID = "922222", "922222", "1"
    image.Modality, image.StudyDate, image.StudyTime = "MR", "20160301", "100000"
    image.SeriesNumber, image.InstanceNumber = 3, 944444
    image.SeriesDescription = image.ProtocolName = "t1_mpr_tra_iso_KM"
    image.Manufacturer, image.ImageType = "SIEMENS", ["ORIGINAL", "PRIMARY", "M"]
    image.ScanningSequence, image.MRAcquisitionType = ["GR", "IR"], "3D"
    image.RepetitionTime, image.EchoTime, image.InversionTime, image.FlipAngle = 1900, 2.9, 900, 9
    image.ContrastBolusAgent, image.SliceThickness = "Gadovist", 1
    image.ImageOrientationPatient, image.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-100, -100, 944444]
    image.PixelSpacing, image.Rows, image.Columns = [1, 1], 8, 8
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    for group in (0x0019, 0x0051):
        block = image.private_block(group, "BENCHMARK", create=True)
        for number in range(60):
            block.add_new(number, "LO", f"value {number}")
    image.private_block(0x0029, "BENCHMARK", create=True).add_new(1, "OB", bytes(PRIVATE_BYTES))
    image.PixelData = bytes(128)
    file = BytesIO()
    pydicom.dcmwrite(file, image, enforce_file_format=True)
    return file.getvalue()


def write(root, n_files):
    content = template()
    for number in range(n_files):
        series = number // SERIES_LENGTH
        folder = root / f"P{series // 10:06d}" / f"S{series:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        values = {b"911111": 100_000 + number, b"922222": 100_000 + series // 10, b"933333": 100_000 + series}
        values[b"944444"] = 100_000 + number % SERIES_LENGTH
        filled = content
        for placeholder, value in values.items():
            filled = filled.replace(placeholder, f"{value:06d}".encode())
        (folder / f"IM{number:06d}").write_bytes(filled)


def timed(name, function, n_files):
    start, cpu = time.perf_counter(), cpu_seconds()
    found = function()
    seconds, cpu = time.perf_counter() - start, cpu_seconds() - cpu
    print(
        f"{name:38s} {n_files:6d} files: {seconds:7.1f} s, {1e3 * seconds / n_files:6.2f} ms per file; "
        f"processor {cpu:6.1f} s, {1e3 * cpu / n_files:6.2f} ms per file; {found}",
        flush=True,
    )


def cpu_seconds():
    """Return the processor time of this process and of its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def by_pydicom(root):
    tags = ["PatientID", "SeriesInstanceUID", "SeriesDescription", "EchoTime", "ImagePositionPatient"]
    series = Counter()
    for path in root.rglob("IM*"):
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
        series[header.PatientID, header.SeriesInstanceUID] += 1
    return f"{len(series)} series"


def by_fileset(root):
    files = FileSet()
    for path in list(root.rglob("IM*"))[:N_FILESET]:
        files.add(path)
    return f"{len(files.find_values('SeriesInstanceUID'))} series"


def by_dcm2niix(root):
    # -n -1: only list the series; -d 9: any depth of folders.
    result = subprocess.run(
        ["dcm2niix", "-n", "-1", "-d", "9", "-f", "%p", str(root)], capture_output=True, text=True, check=False
    )
    return f"{result.stdout.count('t1_mpr_tra_iso_KM')} lines with a series"


def main():
    n_files = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        root = Path(folder) / "files"
        write(root, n_files)
        cache = Path(folder) / "cache"
        runs = {
            "dcm2niix -n -1 (lists series)": lambda: by_dcm2niix(root),
            "list_series": lambda: f"{len(list_series(root))} series",
            "list_series, two threads": lambda: f"{len(list_series(root, n_jobs=2))} series",
            "list_series, writes a cache": lambda: f"{len(list_series(root, cache=cache))} series",
            "list_series, from the cache": lambda: f"{len(list_series(root, cache=cache))} series",
            "pydicom.dcmread, five tags per file": lambda: by_pydicom(root),
            "pydicom.fileset.FileSet (DICOMDIR)": lambda: by_fileset(root),
        }
        for name, function in runs.items():
            timed(name, function, min(n_files, N_FILESET) if "FileSet" in name else n_files)


if __name__ == "__main__":
    main()
