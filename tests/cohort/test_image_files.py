"""Image formats recognised by content, and DICOM files without preamble through check and loader."""

import gzip
import io
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
from dicom_trees import write_images
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from sklearn_pspd import SliceStackLoader, check_cohort, make_cohort
from sklearn_pspd.cohort.image_files import DICOM, NIFTI, image_format, is_gzip, lacks_preamble, read_start
from sklearn_pspd.exceptions import InputError

VOXELS = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
PREAMBLE_BYTES = 132  # 128 bytes and the letters DICM
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(400)


@pytest.fixture(scope="module")
def dicom_cohort(tmp_path_factory):
    """Two patients of a synthetic DICOM cohort, with pixels of about 5 mm."""
    folder = tmp_path_factory.mktemp("dicom")
    options = {"matrix_px": (48,), "image_format": "dicom", "n_native_slices": 12, "random_state": 0}
    return make_cohort(folder, 6, **options).head(2)


def nifti(folder, image_class, name):
    """Write a NIfTI image of a class; return the path with this name."""
    nib.save(image_class(VOXELS, np.eye(4)), folder / name)
    return folder / name


def dicom(folder, *, file_header=True, preamble=True, syntax=ExplicitVRLittleEndian):
    """Write a DICOM image with or without preamble and file header (group 0002)."""
    write_images(folder / "series", "2015-01-01", "T1", n_slices=1)
    (path,) = (folder / "series").iterdir()
    rewrite(path, file_header=file_header, preamble=preamble, syntax=syntax)
    return path


def rewrite(path, *, file_header, preamble=False, syntax=ExplicitVRLittleEndian):
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    content = io.BytesIO()
    is_implicit = syntax == ImplicitVRLittleEndian
    if file_header:
        dataset.save_as(content, enforce_file_format=True)
        path.write_bytes(content.getvalue() if preamble else content.getvalue()[PREAMBLE_BYTES:])
    else:
        body = pydicom.Dataset()
        body.update(dataset)
        body.save_as(content, implicit_vr=is_implicit, little_endian=True)
        path.write_bytes(content.getvalue())


@pytest.mark.parametrize(
    ("image_class", "saved", "name"),
    [
        (nib.Nifti1Image, "a.nii", "a.nii"),
        (nib.Nifti1Image, "a.nii.gz", "a.nii.gz"),
        (nib.Nifti2Image, "a.nii", "a.nii"),
        (nib.Nifti2Image, "a.nii.gz", "a.nii.gz"),
        (nib.Nifti1Pair, "a.img", "a.hdr"),
        (nib.Nifti2Pair, "a.img", "a.hdr"),
    ],
)
def test_nifti(tmp_path, image_class, saved, name):
    nifti(tmp_path, image_class, saved)
    path = tmp_path / name
    assert image_format(path) == NIFTI
    assert is_gzip(path) == name.endswith(".gz")
    path.rename(tmp_path / "without-suffix")
    assert image_format(str(tmp_path / "without-suffix")) == NIFTI


@pytest.mark.parametrize("image_class", [nib.Nifti1Pair, nib.Nifti2Pair])
def test_the_voxels_of_a_pair_alone_are_no_image(tmp_path, image_class):
    path = nifti(tmp_path, image_class, "a.img")
    assert image_format(path) == NIFTI
    (tmp_path / "a.hdr").unlink()
    assert image_format(path) == ""


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=["explicit", "implicit"])
@pytest.mark.parametrize(
    ("file_header", "preamble"), [(True, True), (True, False), (False, False)], ids=["part 10", "no preamble", "bare"]
)
def test_dicom(tmp_path, syntax, file_header, preamble):
    path = dicom(tmp_path, file_header=file_header, preamble=preamble, syntax=syntax)
    start = read_start(path)
    assert (start[128:132] == b"DICM") == preamble
    assert lacks_preamble(start) == (not preamble)
    assert image_format(path) == DICOM
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert image_format(path) == DICOM


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"\x08\0",
        b"\x08\0\x05",
        bytes(400),
        b"patient_id,site\nP1,A\n",
        "Größe".encode("utf-16"),
        PNG,
        b"\xff\xd8\xff\xe0" + bytes(400),
        b"%PDF-1.7\n" + bytes(400),
        b"PK\x03\x04" + bytes(400),
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(400),
        b"\x08\0" + b"\xff" * 400,
        b"\x08\0\x05\0cs\0\0" + bytes(400),
    ],
    ids=lambda content: repr(content[:8]),
)
def test_other_content(tmp_path, content):
    path = tmp_path / "a.nii"
    path.write_bytes(content)
    assert image_format(path) == ""
    path.write_bytes(gzip.compress(content))
    assert image_format(path) == ""


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes(tmp_path, seed):
    content = np.random.default_rng(seed).bytes(1000)
    (tmp_path / "a.dcm").write_bytes(content)
    assert image_format(tmp_path / "a.dcm") == ""


@given(st.text(st.characters(min_codepoint=32), max_size=400))
def test_printable_text_is_not_dicom(text):
    for encoding in ("utf-8", "utf-16-be"):
        assert not lacks_preamble(text.encode(encoding, errors="replace"))


@given(st.binary(max_size=400))
def test_only_the_first_tag_decides(content):
    """Whatever follows, a file whose first tag is of another group has a preamble or is not DICOM."""
    assert not lacks_preamble(b"\x10\0" + content)
    assert lacks_preamble(b"\x08\0\x05\0CS" + content) == (len(content) >= 2)


@given(st.binary(max_size=600))
def test_at_most_a_header_is_read(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("start") / "a"
    path.write_bytes(b"x" + content)
    assert read_start(path) == (b"x" + content)[:352]
    path.write_bytes(gzip.compress(content))
    assert is_gzip(path)
    assert read_start(path) == content[:352]


def damaged_gzip():
    whole = gzip.compress(np.random.default_rng(0).bytes(2000))
    return {
        "empty": whole[:2],
        "header": whole[:10],
        "short": whole[:40],
        "garbage": whole[:10] + b"\xff" * 400,
        "method": whole[:2] + b"\x07" + whole[3:],
    }


@pytest.mark.parametrize("name", damaged_gzip())
def test_damaged_gzip_is_an_error_of_reading_and_a_problem_of_the_patient(dicom_cohort, tmp_path, name):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(damaged_gzip()[name])
    with pytest.raises((OSError, EOFError)):
        image_format(path)
    patient_id = dicom_cohort["patient_id"][1]
    with pytest.raises(InputError, match=f"1 problem:\n  patient {patient_id}: column image: .* cannot be read"):
        check_cohort(dicom_cohort.assign(image=[dicom_cohort["image"][0], str(path)]))


def test_garbage_in_gzip_is_not_an_error_of_zlib(tmp_path):
    """zlib.error is no OSError, so it would pass through every check of files that cannot be read."""
    assert not issubclass(zlib.error, OSError)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(damaged_gzip()["garbage"])
    with pytest.raises(gzip.BadGzipFile, match="damaged gzip file"):
        read_start(path)


def test_a_file_that_is_absent_or_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        image_format(tmp_path / "absent")
    with pytest.raises(OSError, match="directory"):
        image_format(tmp_path)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=["explicit", "implicit"])
@pytest.mark.parametrize("file_header", [True, False], ids=["with group 0002", "without group 0002"])
def test_series_without_preamble_pass_the_check_and_load_with_the_same_pixels(
    dicom_cohort, tmp_path, syntax, file_header
):
    folders = []
    for image in dicom_cohort["image"]:
        folder = tmp_path / Path(image).name
        folder.mkdir()
        for file in Path(image).iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
            rewrite(folder / file.name, file_header=file_header, syntax=syntax)
            assert lacks_preamble(read_start(folder / file.name))
        folders.append(str(folder))
    bare = dicom_cohort.assign(image=folders)
    assert check_cohort(bare) is bare
    loader = SliceStackLoader(max_spacing_mm=6)
    for found, expected in zip(loader.fit_transform(bare), loader.fit_transform(dicom_cohort), strict=True):
        assert expected.pixels.std() > 0
        np.testing.assert_array_equal(found.pixels, expected.pixels)
        assert found.slice_indices == expected.slice_indices
    tables = [loader.inspect(table).drop(columns="source") for table in (bare, dicom_cohort)]
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize("file_header", [True, False], ids=["with group 0002", "without group 0002"])
def test_a_single_file_without_preamble_passes_the_check(dicom_cohort, tmp_path, file_header):
    path = dicom(tmp_path, file_header=file_header, preamble=False)
    one = dicom_cohort.head(1).assign(image=str(path))
    assert check_cohort(one) is one
