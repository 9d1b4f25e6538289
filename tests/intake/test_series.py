"""The list of series of an export: complete, without pixels, whatever the folders and files are called."""

import gzip
import io
import json
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.intake import SERIES_COLUMNS, choose_series, headers, list_series
from sklearn_pspd.intake.scanning import FIRST_BYTES, scan_header
from sklearn_pspd.loading import SliceStackLoader

AXIAL = [1, 0, 0, 0, 1, 0]


def header(number=0, **values):
    """Return the header of one image of 8 x 6 pixels; slices are 2 mm apart."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = MRImageStorage
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(number)])
    image.PatientID, image.Modality, image.StudyDate = "P1", "MR", "20160301"
    image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    image.SeriesDescription = "t1"
    image.ImageOrientationPatient, image.ImagePositionPatient = AXIAL, [0, 0, 2 * number]
    image.PixelSpacing, image.Rows, image.Columns = [1, 1], 8, 6
    image.EchoTime, image.InstanceNumber = 3, number + 1
    image.BitsAllocated = 16
    for keyword, value in values.items():
        setattr(image, keyword, value)
    return image


def save(path, image, syntax=ExplicitVRLittleEndian):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.file_meta.TransferSyntaxUID = syntax
    image.save_as(path, enforce_file_format=True)
    return path


def test_every_series_of_an_export_is_found(export):
    _, truth, series = export
    found = series.merge(truth, on="series_uid", suffixes=("", "_true"), validate="one_to_one")
    assert len(found) == len(truth) == len(series) - 1, "the test object is the only other series"
    for column in ("patient_id", "study_date", "description"):
        assert (found[column] == found[f"{column}_true"]).all()
    assert (found["n_images"] == found["n_files"]).all()
    assert (found["files"].map(len) == found["n_files"]).all()
    assert list(series.columns) == list(SERIES_COLUMNS)
    tilted = found["trap"].eq("tilted") & ~found["kind"].isin(["localizer", "reformat"])
    assert found.loc[tilted, "tilt_deg"].eq(8.0).all()
    assert found.loc[found["kind"] == "reformat", "orientation"].eq("coronal").all()
    assert found.loc[found["kind"] == "dual_echo", "varies"].eq("echo time, images per position").all()


def test_what_is_no_image_is_counted_and_what_is_damaged_is_listed(export):
    folder, _, series = export
    n_files = sum(path.is_file() for path in (folder / "dicom").rglob("*"))
    assert series.attrs["n_files"] == n_files
    assert series.attrs["passed_over"] == {"Media Storage Directory": 1, "Basic Text SR": 1, "text file": 1}
    ((path, reason),) = series.attrs["unreadable"]
    assert Path(path).name == "IM_DAMAGED"
    assert "truncated or damaged" in reason
    assert n_files == series["n_images"].sum() + 4


def test_the_order_of_files_is_that_of_the_loader(export):
    """Slice k of the loader, from the feet, is in file k, on tilted series, too."""
    _, truth, series = export
    for trap in ("none", "tilted"):
        uid = truth.loc[truth["is_wanted"] & (truth["trap"] == trap), "series_uid"].iloc[0]
        row = series[series["series_uid"] == uid].iloc[0]
        table = pd.DataFrame({"patient_id": ["a"], "image": [row["folder"]], "lesion_slice": [6]})
        (stack,) = SliceStackLoader(n_slices=3, max_spacing_mm=10).fit_transform(table)
        for place, file in enumerate(row["files"][5:8]):
            pixels = pydicom.dcmread(file).pixel_array
            assert sorted(np.asarray(stack.pixels[place]).ravel()) == sorted(pixels.ravel())


def test_two_threads_and_progress_give_the_same(export):
    folder, _, series = export
    calls = []
    again = list_series(folder / "dicom", n_jobs=2, on_progress=lambda *call: calls.append(call))
    pd.testing.assert_frame_equal(again, series)
    done, totals, folders = zip(*calls, strict=True)
    assert list(done) == sorted(done)
    assert {done[-1], *totals} == {series.attrs["n_files"]}
    assert all(Path(folder).is_dir() for folder in folders)


def test_an_interrupted_search_continues(tmp_path, monkeypatch):
    for number in range(6):
        save(tmp_path / "images" / f"{number // 2}" / f"{number}", header(number))
    cache, read = tmp_path / "cache", []
    original = headers.read_files

    def counted(paths, root):
        if len(read) == 2:
            raise KeyboardInterrupt
        read.append(paths)
        return original(paths, root)

    monkeypatch.setattr("sklearn_pspd.intake.series.read_files", counted)
    with pytest.raises(KeyboardInterrupt):
        list_series(tmp_path / "images", cache=cache)
    # Killed while it wrote.
    cache.write_text(cache.read_text() + '{"stamp": "ab')
    read.clear()
    series = list_series(tmp_path / "images", cache=cache)
    assert len(read) == 1
    assert series["n_images"].tolist() == [6]
    # A file that has changed is read again, others are not.
    read.clear()
    save(tmp_path / "images" / "1" / "2", header(2, SeriesInstanceUID="1.2.3.5", SeriesDescription="another one"))
    series = list_series(tmp_path / "images", cache=cache)
    assert len(read) == 1
    assert series["n_images"].tolist() == [5, 1]


@pytest.mark.parametrize(
    ("values", "varies", "n_images"),
    [
        ({"EchoTime": 90}, "echo time, images per position", 6),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "orientation", 6),
        ({"SeriesDescription": "another"}, "description, images per position", 6),
        ({"Rows": 10}, "matrix, images per position", 6),
        ({"SeriesInstanceUID": "1.2.3.5"}, "", 3),
        ({"PatientID": "P2"}, "", 3),
        ({"StudyInstanceUID": "1.2.4"}, "", 3),
    ],
)
def test_what_differs_within_a_series(tmp_path, values, varies, n_images):
    for number in range(3):
        save(tmp_path / f"{number}", header(number))
        save(tmp_path / f"{number + 3}", header(number, SOPInstanceUID=generate_uid(), **values))
    series = list_series(tmp_path)
    assert series["varies"].tolist() == [varies] * (6 // n_images)
    assert series["n_images"].tolist() == [n_images] * (6 // n_images)


def test_missing_slices_and_copies_are_seen(tmp_path):
    for number in (0, 1, 2, 5, 6):
        save(tmp_path / "a" / f"{number}", header(number))
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    (row,) = list_series(tmp_path).to_dict("records")
    assert (row["varies"], row["slice_spacing_mm"], row["n_images"], row["n_copies"]) == ("slice step", 2.0, 5, 5)
    assert len(row["files"]) == 5
    assert list_series(tmp_path).attrs["notes"] == [
        "5 files are copies of others (same SOPInstanceUID) and were left out"
    ]


def test_anonymised_uids_are_noted(tmp_path):
    for number in range(5):
        save(tmp_path / f"{number}", header(number, SeriesInstanceUID=f"1.2.3.{number}"))
    (note,) = list_series(tmp_path).attrs["notes"]
    assert "5 series 't1' of one image each" in note


def test_series_without_uid_are_those_of_folders(tmp_path):
    for folder in ("a", "b"):
        for number in range(3):
            save(tmp_path / folder / f"{number}", header(number, SeriesInstanceUID="", SOPInstanceUID=generate_uid()))
    assert list_series(tmp_path)["n_images"].tolist() == [3, 3]


def test_files_of_any_kind(tmp_path):
    """Not one of them ends the search; those that claim to be images are listed."""
    save(tmp_path / "deep" / "er" / "bild ä.dcm", header())
    (tmp_path / "x.dcm.gz").write_bytes(gzip.compress((tmp_path / "deep" / "er" / "bild ä.dcm").read_bytes()))
    claims = {
        "empty": b"",
        "text.dcm": b"hello",
        "pointer": b"version https://git-lfs.github.com/spec/v1\n",
        "broken.nii": b"\x5c\x01\0\0" + bytes(340) + b"n+1\0" + bytes(8),
        "cut.gz": gzip.compress(bytes(range(256)) * 40)[:60],
    }
    for name, content in claims.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "notes.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    series = list_series(tmp_path)
    assert series["n_images"].tolist() == [1]
    assert series["n_copies"].tolist() == [1]
    assert {Path(path).name for path, _ in series.attrs["unreadable"]} == {*claims, "link"}
    assert series.attrs["passed_over"] == {"PDF file": 1, "Finder settings": 1, "pipe or device": 1}


def test_descriptions_in_other_alphabets(tmp_path):
    save(tmp_path / "1", header(SpecificCharacterSet="ISO_IR 100", SeriesDescription="T1 nach KM größer"))
    korean = header(1, SeriesInstanceUID="1.2.3.5", SpecificCharacterSet="ISO_IR 192", SeriesDescription="T1 조영증강")
    save(tmp_path / "2", korean)
    assert set(list_series(tmp_path)["description"]) == {"T1 nach KM größer", "T1 조영증강"}


def test_nifti_with_sidecars(tmp_path):
    place = tmp_path / "sub-07" / "ses-2" / "anat"
    place.mkdir(parents=True)
    turn = np.radians(10)
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[1:3, 1:3] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    volume = nib.Nifti1Image(np.zeros((6, 8, 12), np.int16), affine @ np.diag([0.9, 0.9, 1.5, 1]))
    nib.save(volume, place / "sub-07_ses-2_ce-gadolinium_T1w.nii.gz")
    said = {"EchoTime": 0.0029, "RepetitionTime": 1.9, "InversionTime": 0.9, "FlipAngle": 9, "Manufacturer": "Siemens",
            "ImageType": ["ORIGINAL", "PRIMARY"], "AcquisitionDateTime": "2016-10-12T10:15:30.5"}  # fmt: skip
    (place / "sub-07_ses-2_ce-gadolinium_T1w.json").write_text(json.dumps(said))
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 3)), np.eye(4)), tmp_path / "bold.nii")
    series = list_series(tmp_path).set_index("patient_id")
    row = series.loc["07"]
    assert row[["te_ms", "tr_ms", "ti_ms", "n_images", "slice_spacing_mm", "orientation", "tilt_deg"]].tolist() == [
        pytest.approx(2.9), 1900.0, 900.0, 12, 1.5, "axial", 10.0,
    ]  # fmt: skip
    assert row["acquired"] == pd.Timestamp("2016-10-12 10:15:30")
    assert row["study_date"] == pd.Timestamp("2016-10-12")
    assert row["pixel_mm"] == "0.9 x 0.9"
    assert row["matrix"] == "8 x 6"
    assert "volume" in series.loc["bold", "varies"]
    ranked = choose_series(series.reset_index(), near={"07": "2016-10-10"})
    assert ranked.loc[ranked["chosen"], "patient_id"].tolist() == ["07"]
    assert ranked.loc[ranked["chosen"], "files"].iloc[0] == (str(place / "sub-07_ses-2_ce-gadolinium_T1w.nii.gz"),)
    assert series.attrs["passed_over"] == {"text file": 1}


def test_real_files(shared_data):
    series = list_series(shared_data)
    assert series.attrs["unreadable"] == []
    tilted = series[series["description"] == "anat-T1w"].iloc[0]
    assert tilted[["n_images", "tilt_deg", "slice_spacing_mm"]].tolist() == [15, 7.7, 0.667]
    enhanced = series[series["manufacturer"].str.startswith("Philips") & (series["format"] == "enhanced DICOM")].iloc[0]
    assert enhanced[["n_images", "orientation", "acquisition_contrast", "slice_spacing_mm"]].tolist() == [
        8, "sagittal", "T1", 1.2,
    ]  # fmt: skip
    mixed = series[series["folder"].str.endswith("failing_sliceorientation_001")].iloc[0]
    assert mixed["orientation"] == "mixed"


def test_a_folder_is_needed(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        list_series(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file; give the folder"):
        list_series(tmp_path / "file")
    assert len(list_series(tmp_path)) == 0


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_the_encoding_of_a_file_does_not_matter(tmp_path, syntax):
    image = header(SeriesDescription="t1 größer", SpecificCharacterSet="ISO_IR 192")
    if syntax == ExplicitVRBigEndian:
        image.file_meta.TransferSyntaxUID = syntax
    save(tmp_path / "a", image, syntax)
    (row,) = list_series(tmp_path).to_dict("records")
    assert (row["description"], row["te_ms"], row["n_positions"]) == ("t1 größer", 3.0, 1)


def test_a_file_may_lack_the_preamble(tmp_path):
    bare = Dataset()
    bare.update({element.tag: element for element in header()})
    for implicit in (True, False):
        pydicom.dcmwrite(tmp_path / f"{implicit}", bare, implicit_vr=implicit, little_endian=True)
    (row,) = list_series(tmp_path).to_dict("records")
    assert (row["description"], row["n_images"], row["n_copies"]) == ("t1", 1, 1)


def test_damaged_headers_never_end_the_search(tmp_path):
    """Each file is an image, a copy of one, passed over, or listed with a reason."""
    file = io.BytesIO()
    pydicom.dcmwrite(file, header(), enforce_file_format=True)
    rng = np.random.default_rng(0)
    for number in range(250):
        content = bytearray(file.getvalue())
        for place in rng.integers(128, len(content), rng.integers(1, 8)):
            content[place] = rng.integers(256)
        (tmp_path / f"{number}").write_bytes(content[: rng.integers(len(content) // 2, 2 * len(content))])
    series = list_series(tmp_path)
    n_files = series["files"].map(len).sum() + series["n_copies"].sum()
    n_others = sum(series.attrs["passed_over"].values()) + len(series.attrs["unreadable"])
    assert n_files + n_others == series.attrs["n_files"] == 250
    assert min(n_files, n_others) > 30
    choose_series(series)


def item(depth, values):
    inner = Dataset()
    inner.CodeMeaning = "meaning"
    if depth:
        inner.ReferencedSeriesSequence = [item(depth - 1, values)]
        inner["ReferencedSeriesSequence"].is_undefined_length = bool(values[depth % len(values)])
        inner.is_undefined_length_sequence_item = bool(values[(depth + 1) % len(values)])
    return inner


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    implicit=st.booleans(),
    depth=st.integers(0, 3),
    undefined=st.lists(st.booleans(), min_size=2, max_size=4),
    private=st.integers(0, 2 * FIRST_BYTES),
    cut=st.one_of(st.none(), st.floats(0, 1)),
)
def test_the_scan_finds_the_bytes_that_pydicom_finds(implicit, depth, undefined, private, cut):
    image = header(3)
    image.ReferencedImageSequence = [item(depth, undefined)]
    image["ReferencedImageSequence"].is_undefined_length = undefined[0]
    block = image.private_block(0x0019, "TEST", create=True)
    block.add_new(1, "OB", bytes(2 * (private // 2)))
    file = io.BytesIO()
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    pydicom.dcmwrite(file, image, enforce_file_format=True)
    content = file.getvalue()
    tags = {0x0008_0018, 0x0008_103E, 0x0018_0081, 0x0020_0032, 0x0028_0030, 0x0028_0008}
    if cut is not None:
        # Where the header is cut, the scan says nothing, or what it says of the whole one.
        part = scan_header(io.BytesIO(content[: int(cut * len(content))]), tags)
        assert part in (None, scan_header(io.BytesIO(content), tags))
        return
    found = scan_header(io.BytesIO(content), tags)
    reread = pydicom.dcmread(io.BytesIO(content))
    expected = {tag: reread.get_item(tag).value for tag in tags if tag in reread}
    assert {tag: found[tag] for tag in tags if tag in found} == expected
    assert 0x0028_0008 not in found
