"""Files as hospitals and downloads leave them: what is an image, what is passed over, and what is refused."""

import gzip
import os
import shutil
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from head_files import (
    HEAD,
    HEAD_AFFINE,
    MIDDLE,
    SHAPE,
    assert_is_head,
    load,
    patch_nifti,
    table,
    write_dicom,
    write_nifti,
)
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader

STORED = HEAD.transpose(2, 1, 0)  # axes left, back, head
STORED_AFFINE = np.diag([-1.1, -0.9, 1.5, 1.0])
NOT_FETCHED = {
    "git-annex": b"/annex/objects/MD5E-s524288--0123456789abcdef.dcm\n",
    "git-annex link": b"../../.git/annex/objects/Xk/1Z/MD5E-s524288--01.dcm/MD5E-s524288--01.dcm",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 524288\n",
}
OBJECTS = {
    "Raw Data": "1.2.840.10008.5.1.4.1.1.66",
    "Grayscale Softcopy Presentation State": "1.2.840.10008.5.1.4.1.1.11.1",
    "Basic Text SR": "1.2.840.10008.5.1.4.1.1.88.11",
    "Key Object Selection Document": "1.2.840.10008.5.1.4.1.1.88.59",
    "Encapsulated PDF": "1.2.840.10008.5.1.4.1.1.104.1",
    "Media Storage Directory": "1.2.840.10008.1.3.10",
    "RT Structure Set": "1.2.840.10008.5.1.4.1.1.481.3",
    "DICOM object without an image": "1.3.46.670589.11.0.0.12.2",
}
OBJECTS_WITH_PIXELS = {"Segmentation": "1.2.840.10008.5.1.4.1.1.66.4", "RT Dose": "1.2.840.10008.5.1.4.1.1.481.2"}
FOREIGN = {
    "Thumbs.db": b"\xd0\xcf\x11\xe0" * 100,
    "report.pdf": b"%PDF-1.7\n" + bytes(range(256)),
    "LICENSE": b"Permission is granted\n" * 30,
    "series 2.xlsx": b"PK\x03\x04" + bytes(400),
    "notes.txt": "Gr\u00f6\u00dfe\n".encode() * 99,
    "raw.dat": bytes(range(256)) * 2,
    "empty.log": b"",
    ".DS_Store": b"\0\0\0\1Bud1" + bytes(400),
    "._0003.dcm": b"\0\5\x16\7" + bytes(400),
    "preview1.png": b"\x89PNG\r\n\x1a\n" + bytes(400),
}


def inspect(image, **columns):
    """Return the row of the quality-control table; the loader must agree with it on whether the image can be used."""
    X = table(str(image), **(columns or {"lesion_slice": [MIDDLE]}))
    row = SliceStackLoader(n_slices=5).inspect(X).iloc[0]
    if row["problem"]:
        with pytest.raises(InputError) as caught:
            SliceStackLoader(n_slices=5).transform(X)
        for text in row["problem"].split(" | "):
            assert f"  patient P00: {text}" in str(caught.value).splitlines()
    return row


def problem(image, **columns):
    return inspect(image, **columns)["problem"]


def dicom_object(uid, **values):
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = uid
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    header.SeriesInstanceUID = "1.2.3"
    for keyword, value in values.items():
        setattr(header, keyword, value)
    return header


def nifti_with_forms(path, qform, sform, qcode=1, scode=1, voxels=STORED):
    image = nib.Nifti1Image(voxels, qform)
    image.set_qform(qform, qcode)
    image.set_sform(sform, scode)
    nib.save(image, path)
    return path


# ---- what is not there, or cannot be read ----------------------------------------------------------------------------


def replace(path, content):
    path.unlink()
    if content is None:
        path.symlink_to("../.git/annex/objects/absent")
    elif content == "loop":
        path.symlink_to(path.name)
    elif content == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, "is a link to a file that is not there"),
        ("loop", "cannot be read (Too many levels of symbolic links)"),
        ("pipe", "is neither a file nor a folder"),
        *[(content, f"is a placeholder of {name.removesuffix(' link')}") for name, content in NOT_FETCHED.items()],
        (b"", "is not a DICOM file (empty file)"),
        (bytes(2000), "is not a DICOM file"),
        (b"<!DOCTYPE html>\n<title>404</title>\n", "is not a DICOM file (text file)"),
        (gzip.compress(os.urandom(3000))[:40], "cannot be read"),
        (bytes(128) + b"DICM", "is a DICOM file without an image"),
    ],
    ids=["link", "loop", "pipe", *NOT_FETCHED, "empty", "zeros", "web page", "gzip", "cut"],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".dcm", ""])
def test_a_slice_that_is_not_there_is_never_passed_over(tmp_path, content, match, suffix):
    """The three slices at the feet are gone, so that every position counted from the feet would be wrong."""
    folder = Path(write_dicom(tmp_path / "series", order=range(12)))
    for path in folder.iterdir():
        path.rename(folder / f"IM{path.stem}{suffix}")
    gone = [folder / f"IM{number:04d}{suffix}" for number in range(3)]
    for path in gone:
        replace(path, content)
    found = problem(folder)
    assert match in found
    assert all(path.name in found for path in gone)


@pytest.mark.parametrize("column", ["image", "lesion_mask"])
@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("x" * 300, "File name too long"),
        ("nul\0inside", "is no path"),
        ("head.nii/inside", "Not a directory"),
        ("absent.nii ", "absent.nii ' does not exist"),
        ("absent.nii\u00a0", r"absent.nii\xa0' does not exist"),
        ("link.nii", "link.nii' is a link to a file that is not there"),
        ("pipe.nii", "pipe.nii' is neither a file nor a folder"),
    ],
)
def test_paths_that_lead_nowhere_are_a_problem_of_their_patient(tmp_path, column, path, match):
    good = write_nifti(tmp_path / "head.nii")
    (tmp_path / "link.nii").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.nii")
    mask = write_nifti(tmp_path / "mask.nii", voxels=(np.arange(12) == MIDDLE)[:, None, None] * np.ones(SHAPE, "u1"))
    X = pd.DataFrame({"patient_id": ["P00", "P01"], "image": [good, good], "lesion_mask": [mask, mask]})
    X.loc[1, column] = f"{tmp_path}/{path}"
    problems = SliceStackLoader(n_slices=5).inspect(X)["problem"].tolist()
    assert problems[0] == ""
    assert match in problems[1]


@pytest.mark.parametrize(("name", "content"), NOT_FETCHED.items(), ids=NOT_FETCHED)
def test_a_nifti_file_that_was_not_fetched(tmp_path, name, content):
    (tmp_path / "head.nii.gz").write_bytes(content)
    assert f"is a placeholder of {name.removesuffix(' link')}" in problem(tmp_path / "head.nii.gz")


def test_problems_of_image_position_and_mask_are_listed_together(tmp_path):
    found = problem(tmp_path / "absent.nii", lesion_mask=[str(tmp_path / "absent-mask.nii")])
    assert [text.split("'")[1].rsplit("/")[-1] for text in found.split(" | ")] == ["absent.nii", "absent-mask.nii"]
    X = table(str(tmp_path / "absent.nii"), lesion_slice=["four"])
    with pytest.raises(InputError, match=r"1 of 1 patients.*\n.*absent\.nii.*\n.*lesion_slice is 'four'"):
        SliceStackLoader().transform(X)
    tilted = write_nifti(tmp_path / "coarse.nii", affine=np.diag([3.0, 3.0, 3.0, 1.0]))
    (tmp_path / "mask.nii").write_text("no mask")
    found = problem(tilted, lesion_mask=[str(tmp_path / "mask.nii")])
    assert "axial pixel spacing of 3 x 3 mm" in found
    assert "mask.nii is neither a NIfTI file nor a DICOM file (text file)" in found


@pytest.mark.parametrize("kept", [0.5, 0.999])
def test_a_truncated_slice_is_refused_also_where_the_stack_does_not_need_it(tmp_path, kept):
    folder = Path(write_dicom(tmp_path / "series", order=range(12)))
    for name in ("0000.dcm", "0011.dcm"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) - int((1 - kept) * 220) - 1])
    found = problem(folder)
    assert "0000.dcm is truncated" in found
    assert "0011.dcm" in found


def test_all_problems_of_a_folder_are_listed_at_once(tmp_path):
    def change(header, index):
        if index in (2, 3):
            header.Modality = "CT"
        if index == 4:
            del header.PixelSpacing
        if index == 5:
            header.SeriesInstanceUID = "1.2.4"

    folder = Path(write_dicom(tmp_path / "series", order=range(12), change=change))
    replace(folder / "0000.dcm", None)
    replace(folder / "0001.dcm", b"")
    for name in ("0100.dcm", "0101.dcm"):
        (folder / name).write_bytes(bytes(900))
    found = problem(folder).split(" | ")
    assert len(found) == 6
    for text in ("0000.dcm is a link", "0001.dcm is not a DICOM file (empty", "0100.dcm is not a DICOM file; remove",
                 "0002.dcm has modality CT", "0004.dcm has no PixelSpacing", "mixes 2 series"):  # fmt: skip
        assert sum(text in line for line in found) == 1
    assert any("the same holds for 0101.dcm (2 files)" in line for line in found)
    assert any("the same holds for 0003.dcm (2 files)" in line for line in found)


def test_an_unexpected_error_is_a_problem_of_its_patient(tmp_path, monkeypatch):
    good, bad = write_nifti(tmp_path / "good.nii"), write_nifti(tmp_path / "bad.nii")
    original = SliceStackLoader.inspect.__globals__["decode"]

    def fails(patient_id, path, *args):
        if path == bad:
            raise KeyError(6)
        return original(patient_id, path, *args)

    monkeypatch.setitem(SliceStackLoader.inspect.__globals__, "decode", fails)
    X = table(good, bad, lesion_slice=[MIDDLE] * 2)
    problems = SliceStackLoader(n_slices=5).inspect(X)["problem"].tolist()
    assert problems[0] == ""
    assert problems[1].startswith(f"{bad} cannot be read (KeyError: 6)")


# ---- content, not names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["head.nii", "head.nii.gz", "head", "head.dcm", "head.img", "head.nii.zip"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_nifti_file_of_any_name_loads(tmp_path, name, compressed):
    content = Path(write_nifti(tmp_path / "written.nii")).read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if compressed else content)
    assert_is_head(load(str(tmp_path / name)))


@pytest.mark.parametrize("image_class", [nib.Nifti1Pair, nib.Nifti2Pair])
@pytest.mark.parametrize("saved", ["head.img", "head.img.gz", "HEAD.IMG"])
def test_a_pair_loads_by_either_of_its_files(tmp_path, image_class, saved):
    nib.save(image_class(STORED, STORED_AFFINE), tmp_path / "head.img")
    for file in [tmp_path / "head.img", tmp_path / "head.hdr"]:
        target = saved.replace("img", file.suffix[1:]).replace("IMG", file.suffix[1:].upper())
        content = file.read_bytes()
        file.unlink()
        (tmp_path / target).write_bytes(gzip.compress(content) if target.endswith("gz") else content)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    for file in files:
        assert_is_head(load(str(file)))
    files[1].write_bytes(files[1].read_bytes()[:200])
    assert "truncated" in problem(files[0]), "a change of the voxels counts, whichever file is named"
    files[1].unlink()
    assert "is the header of a NIfTI pair without its voxels" in problem(files[0])


def test_other_formats_are_named(tmp_path):
    analyze = bytearray(348)
    analyze[:4] = (348).to_bytes(4, "little")
    for name, content, what in [
        ("head.nii.gz", gzip.compress(gzip.compress(Path(write_nifti(tmp_path / "a.nii")).read_bytes())), "gzip twice"),
        ("head.nrrd", b"NRRD0004\ntype: short\n\n" + bytes(400), "NRRD image"),
        ("head.nii.bz2", b"BZh91AY&SY" + bytes(400), "bzip2 file"),
        ("head.hdr", bytes(analyze), "Analyze 7.5 header"),
        ("empty.nii", b"", "empty file"),
    ]:
        (tmp_path / name).write_bytes(content)
        assert f"is neither a NIfTI file nor a DICOM file ({what}" in problem(tmp_path / name).replace(
            "file compressed by ", ""
        )


def test_a_folder_that_holds_a_nifti_file_names_it(tmp_path):
    (tmp_path / "t1ce.nii").mkdir()
    write_nifti(tmp_path / "t1ce.nii" / "00057_brain.nii")
    assert "is a folder that holds a NIfTI file; give the path of the file: 00057_brain.nii" in problem(
        tmp_path / "t1ce.nii"
    )


# ---- what is passed over, and counted --------------------------------------------------------------------------------


def test_objects_and_files_that_are_no_images_are_passed_over_and_counted(tmp_path):
    folder = Path(write_dicom(tmp_path / "series"))
    for number, uid in enumerate(OBJECTS.values()):
        dicom_object(uid).save_as(folder / f"9{number:03d}.dcm", enforce_file_format=True)
    size = {"Rows": 11, "Columns": 10, "Modality": "SEG", "NumberOfFrames": 12}
    for number, uid in enumerate(OBJECTS_WITH_PIXELS.values()):
        dicom_object(uid, **size).save_as(folder / f"8{number:03d}.dcm", enforce_file_format=True)
    for name, content in FOREIGN.items():
        (folder / name).write_bytes(content)
    (folder / "derived").mkdir()
    write_nifti(folder / "mask.nii.gz")
    assert_is_head(load(str(folder)))
    row = inspect(folder)
    assert row["problem"] == ""
    assert row["n_passed_over"] == len(OBJECTS) + len(OBJECTS_WITH_PIXELS) + len(FOREIGN) + 2
    for kind in [*OBJECTS, *OBJECTS_WITH_PIXELS, "PDF file", "folder", "NIfTI file", "AppleDouble file", "empty file"]:
        assert f"1 {kind}" in row["passed_over"]
    assert "2 text file" in row["passed_over"]


def test_nothing_is_passed_over_in_a_clean_folder_or_a_file(tmp_path):
    for image in (write_dicom(tmp_path / "series"), write_nifti(tmp_path / "head.nii")):
        row = inspect(image)
        assert (row["n_passed_over"], row["passed_over"], row["problem"]) == (0, "", "")


def test_what_was_passed_over_is_counted_also_in_a_folder_that_is_refused(tmp_path):
    folder = Path(write_dicom(tmp_path / "series", order=range(12)))
    (folder / "report.pdf").write_bytes(FOREIGN["report.pdf"])
    (folder / "0005.dcm").unlink()
    row = inspect(folder)
    assert "unequal steps" in row["problem"]
    assert (row["n_passed_over"], row["passed_over"]) == (1, "1 PDF file")


def test_a_folder_or_file_of_other_objects_is_refused_by_what_it_holds(tmp_path):
    (tmp_path / "states").mkdir()
    path = tmp_path / "states" / "PS_0001"
    dicom_object(OBJECTS["Basic Text SR"]).save_as(path, enforce_file_format=True)
    assert "has no image, only 1 Basic Text SR; give the folder of the MR series" in problem(path.parent)
    assert "is a DICOM object without an image (Basic Text SR); give the MR series" in problem(path)


def test_an_image_without_pixels_is_no_other_object(tmp_path):
    folder = Path(write_dicom(tmp_path / "series"))
    dicom_object(MRImageStorage).save_as(folder / "XX_0001", enforce_file_format=True)
    assert "XX_0001 is a DICOM file without an image" in problem(folder)


@pytest.mark.parametrize("name", ["copy.dcm", "0099.dcm.part", "0099.DCM.bak", "0099.ima", "extra.nii"])
def test_a_file_that_claims_to_be_an_image_is_refused(tmp_path, name):
    folder = Path(write_dicom(tmp_path / "series"))
    (folder / name).write_bytes(b"\xd0\xcf\x11\xe0" * 100)
    assert f"{name} is not a DICOM file (Office document or thumbnail database)" in problem(folder)


def test_a_hidden_file_that_holds_an_image_is_an_image(tmp_path):
    """A transfer that was interrupted leaves an image under a hidden name."""
    folder = Path(write_dicom(tmp_path / "series", order=range(12)))
    (folder / "0000.dcm").rename(folder / ".0000.dcm.Xk3f2a")
    assert_is_head(load(str(folder)))


# ---- contradictory and nearly equal statements -----------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1 / 1.9, 0.98, 1.02, 1.9])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("qcode", [0, 1])
def test_contradictory_voxel_sizes_are_refused(tmp_path, factor, axis, qcode):
    other = STORED_AFFINE.copy()
    other[axis, axis] *= factor
    path = nifti_with_forms(tmp_path / "head.nii", other, STORED_AFFINE, qcode=1)
    patch_nifti(path, 252, np.array([qcode], "<i2"))
    found = problem(path)
    sizes = " x ".join(f"{abs(size):.4g}" for size in np.diag(other)[:3])
    assert f"states two voxel sizes, {sizes} mm in its pixdim" in found
    assert "1.1 x 0.9 x 1.5 mm in its sform" in found


def test_voxel_sizes_that_agree_within_one_percent_or_are_not_stated_load(tmp_path):
    near = STORED_AFFINE * np.array([1.005, 0.995, 1.005, 1])
    assert_is_head(load(str(nifti_with_forms(tmp_path / "near.nii", near, STORED_AFFINE))))
    path = nifti_with_forms(tmp_path / "zero.nii", STORED_AFFINE, STORED_AFFINE)
    patch_nifti(path, 80, np.zeros(3, "<f4"))
    patch_nifti(path, 252, np.array([0], "<i2"))
    assert_is_head(load(str(path)))


def test_a_sform_without_a_code_is_no_statement(tmp_path):
    path = nifti_with_forms(tmp_path / "head.nii", STORED_AFFINE, np.diag([3.0, 3.0, 3.0, 1.0]), scode=0)
    assert_is_head(load(str(path)))


@pytest.mark.parametrize("length", [1.0000003, 1.00001, np.nan, 7.0])
def test_a_sound_sform_suffices_when_the_qform_is_broken(tmp_path, length):
    path = nifti_with_forms(tmp_path / "head.nii", STORED_AFFINE, STORED_AFFINE)
    patch_nifti(path, 256, np.array([0, 0, length], "<f4"))
    assert_is_head(load(str(path)))
    patch_nifti(path, 254, np.array([0], "<i2"))  # without the sform, only a rounding error is accepted
    if abs(length - 1) < 1e-4:
        assert_is_head(load(str(path)))
    else:
        assert "has no valid voxel spacing" in problem(path)


@pytest.mark.parametrize("units", range(8))
def test_units_that_the_standard_does_not_define_are_unknown(tmp_path, units):
    path = patch_nifti(write_nifti(tmp_path / "head.nii"), 123, np.array([units], "u1"))
    if units in (1, 3):
        assert "has coordinates in m" in problem(path)
    else:
        assert_is_head(load(path))


@pytest.mark.parametrize("values", [("0.9", "0.90001"), ("0.89995", "0.90004"), ("0.65625", "0.656251")])
def test_spacings_within_a_ten_thousandth_are_equal(tmp_path, values):
    def change(header, index):
        header.PixelSpacing = [values[index % 2], "1.1"]

    stack = load(write_dicom(tmp_path / "series", change=change))
    np.testing.assert_array_equal(stack.pixels, HEAD[3:8])


def test_spacings_and_orientations_that_differ_are_refused(tmp_path):
    def change(header, index):
        header.PixelSpacing = ["0.9", "0.9003" if index % 2 else "0.9"]
        if index % 3 == 0:
            header.ImageOrientationPatient = [1, 0, 0, 0, 0.9992, 0.04]

    found = problem(write_dicom(tmp_path / "series", order=range(12), change=change))
    assert "mixes 2 pixel spacings in mm (6 of 0.9 x 0.9; 6 of 0.9 x 0.9003)" in found
    assert "mixes 2 orientations" in found


@pytest.mark.parametrize("limit", [0.0049, 0.0051])
def test_orientations_are_compared_with_each_other_and_not_with_rounded_ones(tmp_path, limit):
    def change(header, index):
        header.ImageOrientationPatient = [1, 0, 0, 0, 1, limit if index % 2 else 0.005]

    assert load(write_dicom(tmp_path / "series", change=change)).tilt_deg < 0.5


def test_the_same_image_twice(tmp_path):
    folder = Path(write_dicom(tmp_path / "series", order=range(12)))
    shutil.copy(folder / "0004.dcm", folder / "0004 (1).dcm")
    found = problem(folder)
    assert "has the same image twice" in found
    assert "0004 (1).dcm and 0004.dcm" in found
    assert "echo" not in found


def test_one_sop_instance_uid_in_all_files_is_no_copy(tmp_path):
    def change(header, index):
        header.SOPInstanceUID = "1.2.3.4"

    assert_is_head(load(write_dicom(tmp_path / "series", change=change)))


def test_a_series_uid_for_each_file(tmp_path):
    def change(header, index):
        header.SeriesInstanceUID = f"1.2.3.{index}"

    found = problem(write_dicom(tmp_path / "series", change=change))
    assert "has a SeriesInstanceUID of its own in each of its 12 files" in found


def test_a_rescale_slope_in_some_images_only_is_refused(tmp_path):
    def change(header, index):
        if index != 7:
            header.RescaleSlope, header.RescaleIntercept = "2", "1"

    found = problem(write_dicom(tmp_path / "series", change=change))
    assert "states a RescaleSlope in 11 of 12 images only" in found


def test_a_mosaic_is_refused_for_what_it_is(tmp_path):
    def change(header, index):
        header.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
        return index == MIDDLE

    folder = write_dicom(tmp_path / "series", change=change)
    quality = SliceStackLoader(n_slices=1).inspect(table(folder, lesion_slice=[0]))
    assert "is a mosaic of several slices in one image" in quality["problem"][0]


def test_a_spacing_between_slices_that_gdcm_fills_in_is_no_contradiction(tmp_path):
    def change(header, index):
        header.SpacingBetweenSlices = 1

    assert_is_head(load(write_dicom(tmp_path / "series", change=change)))


# ---- masks -----------------------------------------------------------------------------------------------------------


def mask_of(tmp_path, change, dtype="float32", affine=HEAD_AFFINE):
    """Write a mask that is largest on the middle slice, and small on slice 8 with exact values."""
    voxels = np.zeros(SHAPE, dtype)
    voxels[MIDDLE, 2:8, 2:8] = 1
    voxels = np.asarray(change(voxels), dtype)
    voxels[8, 2:4, 2:4] = 1
    return write_nifti(tmp_path / "mask.nii", "RAS", voxels, affine)


@pytest.mark.parametrize("factor", [0.99999, 1.00001, 0.9999999, 0.9991, 1.0009])
def test_labels_near_whole_numbers_are_rounded(tmp_path, factor):
    image = write_nifti(tmp_path / "head.nii")
    assert_is_head(load(image, lesion_mask=mask_of(tmp_path, lambda voxels: voxels * np.float32(factor))))


def test_missing_values_outside_the_lesion_are_no_label(tmp_path):
    image = write_nifti(tmp_path / "head.nii")
    assert_is_head(load(image, lesion_mask=mask_of(tmp_path, lambda voxels: np.where(voxels, voxels, np.nan))))


@pytest.mark.parametrize(("value", "shown"), [(0.998, "0.998"), (0.9882353, "0.9882353"), (2.0235, "2.0235"),
                                              (np.inf, "inf")])  # fmt: skip
def test_other_labels_are_refused_with_their_values_in_full(tmp_path, value, shown):
    mask = mask_of(tmp_path, lambda voxels: voxels * np.float32(value) if np.isfinite(value) else np.where(
        voxels, value, 0))  # fmt: skip
    found = problem(write_nifti(tmp_path / "head.nii"), lesion_mask=[mask])
    assert f"mask.nii has 36 voxels whose values are no labels, such as {shown};" in found


def test_a_label_that_is_absent_is_told_from_values_that_look_like_it(tmp_path):
    mask = mask_of(tmp_path, lambda voxels: voxels)
    X = table(write_nifti(tmp_path / "head.nii"), lesion_mask=[mask])
    assert (
        "no voxel of lesion_label=2; its values are 0, 1:" in SliceStackLoader(lesion_label=2).inspect(X)["problem"][0]
    )


def test_the_grid_of_a_mask_may_differ_by_a_part_of_a_voxel(tmp_path):
    """A mask only chooses a slice."""
    image = write_nifti(tmp_path / "head.nii")
    for shift, is_same in ((0.2, True), (0.4, False)):
        affine = HEAD_AFFINE.copy()
        affine[2, 3] += shift * 1.5
        mask = mask_of(tmp_path, lambda voxels: voxels, affine=affine)
        if is_same:
            assert_is_head(load(image, lesion_mask=mask))
        else:
            assert "has a different grid" in problem(image, lesion_mask=[mask])


def test_the_voxel_size_of_a_mask_is_that_of_its_grid(tmp_path):
    image = write_nifti(tmp_path / "head.nii")
    mask = mask_of(tmp_path, lambda voxels: voxels)
    patch_nifti(mask, 80, np.array([5, 5, 5], "<f4"))
    assert_is_head(load(image, lesion_mask=mask))


def test_a_mask_that_is_a_folder_or_dicom_is_refused(tmp_path):
    image, folder = write_nifti(tmp_path / "head.nii"), write_dicom(tmp_path / "series")
    assert "series is a folder; give" in problem(image, lesion_mask=[folder])
    file = next(Path(folder).iterdir())
    text = f"{file.name} is a DICOM file (MR) that is neither a segmentation nor a structure set"
    assert text in problem(image, lesion_mask=[str(file)])


# ---- headers that lie ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("offset", "values"),
    [
        (40, np.array([3, 32767, 32767, 32767], "<i2")),
        (40, np.array([7, 32767, 32767, 32767, 32767, 32767, 32767, 32767], "<i2")),
        (40, np.array([3, 32767, 32767, 12], "<i2")),
        (108, np.array([2**40], "<f4")),
        (108, np.array([0], "<f4")),
    ],
)
def test_a_header_that_states_more_than_its_file_holds_is_refused_before_anything_is_allocated(
    tmp_path, suffix, offset, values
):
    path = Path(write_nifti(tmp_path / "head.nii"))
    patch_nifti(path, offset, values)
    if suffix == ".nii.gz":
        path = path.rename(tmp_path / "head.nii.gz")
        path.write_bytes(gzip.compress(path.read_bytes()))
    tracemalloc.start()
    found = problem(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(path) in found
    assert peak < 20e6


@pytest.mark.parametrize("values", [{"Rows": 65535, "Columns": 65535}, {"NumberOfFrames": "2000000000"}])
def test_a_dicom_header_that_states_more_than_its_file_holds_is_refused(tmp_path, values):
    def change(header, index):
        for keyword, value in values.items():
            setattr(header, keyword, value)

    folder = write_dicom(tmp_path / "series", change=change)
    tracemalloc.start()
    found = problem(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "states 65535 x 65535 pixels" in found or "has 2000000000 frames but positions for 0" in found
    assert peak < 20e6


def test_a_problem_is_one_line_whatever_a_header_holds(tmp_path):
    folder = write_dicom(tmp_path / "series", order=range(12))
    damaged = tmp_path / "series" / "0001.dcm"
    content = damaged.read_bytes()
    assert content.count(b"MONOCHROME2 ") == 1
    damaged.write_bytes(content.replace(b"MONOCHROME2 ", b"MONOCHROME2\n"))
    found = problem(folder)
    assert "MONOCHROME2\\n;" in found
    assert found.isprintable()
    with pytest.raises(InputError, match="cannot be loaded") as error:
        load(folder, lesion_slice=MIDDLE)
    assert all(line.startswith("  patient") for line in str(error.value).splitlines()[1:])
