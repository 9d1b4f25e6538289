"""Tests of reading slice stacks from NIfTI and DICOM files."""

import gzip
import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
from head_files import (
    ALL_CODES,
    FIRST_MM,
    HEAD,
    HEAD_AFFINE,
    MIDDLE,
    SHAPE,
    STEPS_MM,
    assert_is_head,
    load,
    patch_nifti,
    set_pixels,
    table,
    tilt_about_x,
    write_dicom,
    write_enhanced,
    write_nifti,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)
from sklearn.base import clone
from sklearn.utils import get_tags

from sklearn_pspd.loading import SliceStack, SliceStackLoader

# ---- orientation and order -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ALL_CODES)
def test_every_nifti_orientation_gives_the_same_stack(tmp_path, code):
    stack = load(write_nifti(tmp_path / "head.nii", code))
    assert_is_head(stack)
    assert stack.orientation == code


@settings(deadline=None, max_examples=15, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    codes=st.tuples(st.sampled_from(ALL_CODES), st.sampled_from(ALL_CODES)),
    degrees=st.floats(-29, 29),
    steps=st.tuples(*[st.floats(0.3, 1.9)] * 3),
)
def test_orientation_invariance_of_any_grid(tmp_path, codes, degrees, steps):
    affine = tilt_about_x(HEAD_AFFINE @ np.diag([*steps, 1.0]), degrees)
    stacks = [load(write_nifti(tmp_path / "head.nii", code, affine=affine)) for code in codes]
    np.testing.assert_array_equal(stacks[0].pixels, stacks[1].pixels)
    np.testing.assert_array_equal(stacks[0].pixels, HEAD[MIDDLE - 2 : MIDDLE + 3])
    assert stacks[0].spacing_mm == pytest.approx(stacks[1].spacing_mm, rel=1e-5)
    assert stacks[0].tilt_deg == pytest.approx(abs(degrees), abs=1e-3)


@pytest.mark.parametrize("plane", ["axial", "axial_down", "sagittal", "coronal"])
@pytest.mark.parametrize("degrees", [0, 12])
def test_dicom_gives_the_same_stack_as_nifti(tmp_path, plane, degrees):
    affine = tilt_about_x(HEAD_AFFINE, degrees)
    stack = load(write_dicom(tmp_path / "series", plane, affine=affine))
    assert_is_head(stack)
    assert stack.thickness_mm == 2.5
    assert stack.tilt_deg == pytest.approx(degrees, abs=1e-3)
    same = load(write_nifti(tmp_path / "head.nii.gz", "RAS", affine=affine))
    np.testing.assert_array_equal(stack.pixels, same.pixels)


@settings(deadline=None, max_examples=8, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(len(HEAD))))
def test_slices_are_ordered_by_position_and_not_by_file_name(tmp_path, order):
    assert_is_head(load(write_dicom(tmp_path / "series", order=order)))


def test_enhanced_multi_frame_with_a_slope_per_frame(tmp_path):
    path = write_enhanced(tmp_path / "enhanced.dcm")
    for image in (path, str(tmp_path)):
        stack = load(image)
        expected = HEAD[3:8].astype(np.float32) * np.arange(4, 9)[:, None, None] + 2
        np.testing.assert_array_equal(stack.pixels, expected)
        assert stack.spacing_mm == pytest.approx(STEPS_MM[1:])


def test_whole_head_dicom(shared_data):
    """Unequal row and column spacing, tilted by 7.7 degrees."""
    folder = shared_data / "dicom_t1w_whole_head"
    stack = load(str(folder), lesion_slice=7, n_slices=9)
    headers = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    np.testing.assert_array_equal(stack.pixels, np.stack([h.pixel_array for h in headers[3:12]]).astype(np.float32))
    assert stack.spacing_mm == pytest.approx((2 / 3, 0.7), abs=1e-4)
    assert stack.fov_mm == pytest.approx((256.0, 191.8), abs=0.05)
    assert stack.tilt_deg == pytest.approx(7.68, abs=0.01)


def test_whole_head_dicom_converted_to_nifti_gives_the_same_stack(shared_data, tmp_path):
    folder = shared_data / "dicom_t1w_whole_head"
    headers = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    row, column = np.reshape(headers[0].ImageOrientationPatient, (2, 3)).astype(float)
    first, last = (np.array(headers[i].ImagePositionPatient, dtype=float) for i in (0, -1))
    row_mm, column_mm = map(float, headers[0].PixelSpacing)
    lps = np.eye(4)
    lps[:3] = np.column_stack([(last - first) / 14, column * row_mm, row * column_mm, first])
    voxels = np.stack([header.pixel_array for header in headers])
    expected = load(str(folder), lesion_slice=7, n_slices=9)
    for code in ("RAS", "LAS", "LPS"):
        path = write_nifti(tmp_path / f"{code}.nii.gz", code, voxels, np.diag([-1, -1, 1, 1]) @ lps)
        stack = load(path, lesion_slice=7, n_slices=9)
        np.testing.assert_array_equal(stack.pixels, expected.pixels)
        assert stack.spacing_mm == pytest.approx(expected.spacing_mm, rel=1e-5)


def convert_with_dcm2niix(folder, target):
    dcm2niix = pytest.importorskip("dcm2niix")
    dcm2niix.main(["-z", "n", "-b", "n", "-f", "head", "-o", str(target), str(folder)], capture_output=True)
    return target / "head.nii"


def convert_with_dicom2nifti(folder, target):
    dicom2nifti = pytest.importorskip("dicom2nifti")
    dicom2nifti.dicom_series_to_nifti(str(folder), str(target / "head.nii.gz"), reorient_nifti=True)
    return target / "head.nii.gz"


@pytest.mark.parametrize("convert", [convert_with_dcm2niix, convert_with_dicom2nifti])
def test_common_converters_give_the_same_stack(shared_data, tmp_path, convert):
    folder = shared_data / "dicom_t1w_whole_head"
    expected = load(str(folder), lesion_slice=7, n_slices=9)
    stack = load(str(convert(folder, tmp_path)), lesion_slice=7, n_slices=9)
    np.testing.assert_array_equal(stack.pixels, expected.pixels)
    assert stack.spacing_mm == pytest.approx(expected.spacing_mm, rel=1e-4)
    assert stack.slice_spacing_mm == pytest.approx(expected.slice_spacing_mm, rel=1e-3)


def test_real_nifti_with_its_mask(shared_data):
    image, mask = (str(shared_data / f"brain1_{name}.nii.gz") for name in ("image", "label"))
    stack = load(image, lesion_mask=mask, n_slices=9)
    assert stack.slice_indices == tuple(range(12, 21))
    assert stack.fov_mm == pytest.approx((200.0, 200.0))
    voxels = np.asarray(nib.load(image).dataobj)  # stored as L, A, S
    np.testing.assert_array_equal(stack.pixels, voxels[:, ::-1, 12:21].transpose(2, 1, 0).astype(np.float32))


@pytest.mark.parametrize(
    ("folder", "options", "match"),
    [
        ("generic_anatomical_002_non_isotropic", {}, r"axial pixel spacing of 4 x 6.4 mm, more than max_spacing_mm=2"),
        ("generic_anatomical_002_non_isotropic", {"max_spacing_mm": 7.0}, r"has 4 axial slices"),
        ("hyperfine_anatomical_001", {}, r"is no T1-weighted series but T2 \(TR 4000 ms, TE 194.4 ms, TI 1400 ms\)"),
        ("hyperfine_anatomical_001", {"allow_sequence": ["T2"]}, r"has 8 axial slices \(0..7\)"),
        ("philips_enhanced_anatomical_001", {}, r"256 x 8 pixels in the axial plane"),
        ("failing_sliceorientation_001", {}, r"mixes 2 orientations"),
        ("failing_slicecount_001", {}, r"256 x 2 pixels in the axial plane"),
        ("generic_compressed_rle_001", {}, r"256 x 4 pixels in the axial plane"),
        ("pydicom_MR2_shoulder_1024", {}, r"tilted by 34.7 degrees"),
    ],
)
def test_unusual_series_are_refused(shared_data, folder, options, match):
    path = str(shared_data / "dicom_traps" / folder)
    with pytest.raises(ValueError, match=f"patient P00: .*{folder}.* {match}"):
        load(path, n_slices=9, **options)


def test_unusual_series_load_with_suitable_parameters(shared_data):
    traps = shared_data / "dicom_traps"
    stack = load(str(traps / "hyperfine_anatomical_001"), lesion_slice=4, n_slices=7, allow_sequence=True)
    assert stack.pixels.shape == (7, 138, 112)
    assert stack.slice_spacing_mm == pytest.approx(5.0)
    path = traps / "philips_enhanced_anatomical_001" / "IM-0001-0170-0001.dcm"
    stack = load(str(path), lesion_slice=100, n_slices=7)
    frames = pydicom.dcmread(path).pixel_array.astype(np.float32) * np.float32(4.25885225885225)
    assert stack.spacing_mm == pytest.approx((1.0, 1.2), abs=1e-4)
    # Row 0 of a sagittal frame is at the head, its first column in front; frames run from left to right or back.
    sagittal = frames[:, ::-1, :][:, 97:104].transpose(1, 2, 0)
    positions = [
        float(frame.PlanePositionSequence[0].ImagePositionPatient[0])
        for frame in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence
    ]
    np.testing.assert_allclose(stack.pixels, sagittal[..., np.argsort(positions)], rtol=1e-6)
    stack = load(str(traps / "generic_compressed_rle_001"), lesion_slice=100, n_slices=3, allow_sequence=["FLAIR"])
    assert stack.pixels.shape == (3, 256, 4)
    stack = load(str(traps / "generic_anatomical_002_non_isotropic"), lesion_slice=1, n_slices=3, max_spacing_mm=7.0)
    first = pydicom.dcmread(traps / "generic_anatomical_002_non_isotropic" / "001.dcm")
    expected = first.pixel_array * float(first.RescaleSlope) + float(first.RescaleIntercept)
    np.testing.assert_allclose(stack.pixels[0], expected, rtol=1e-6)
    assert stack.spacing_mm == pytest.approx((4.0, 6.4), abs=1e-4)


# ---- position of the lesion ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["RAS", "LPI", "SAL"])
def test_position_as_scanner_coordinate(tmp_path, code):
    path = write_nifti(tmp_path / "head.nii", code)
    z_mm = FIRST_MM[0] + STEPS_MM[0] * MIDDLE
    for offset in (-0.7, 0.0, 0.7):
        assert_is_head(load(path, lesion_z_mm=z_mm + offset))


def test_position_as_mask_in_another_orientation(tmp_path):
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[4, 2:4, 2:4] = 1
    mask[MIDDLE, 2:6, 2:4] = 1
    mask[7, 1:9, 1:9] = 2
    mask_path = write_nifti(tmp_path / "mask.nii.gz", "RAS", mask)
    for image in (write_nifti(tmp_path / "head.nii", "LPI"), write_dicom(tmp_path / "series", "sagittal")):
        assert_is_head(load(image, lesion_mask=mask_path))
        assert_is_head(load(image, lesion_mask=mask_path, lesion_label=2), first=5)


def test_without_a_position_the_folder_must_have_exactly_that_many_slices(tmp_path):
    def only_five(header, index):
        return 3 <= index <= 7

    folder = write_dicom(tmp_path / "P00", change=only_five)
    stack = SliceStackLoader(n_slices=5).fit_transform(table(folder))[0]
    np.testing.assert_array_equal(stack.pixels, HEAD[3:8].astype(np.float32))
    with pytest.raises(ValueError, match="has 5 axial slices and no lesion position is given"):
        SliceStackLoader(n_slices=3).transform(table(folder, lesion_slice=[np.nan]))


def test_positions_may_differ_from_row_to_row(tmp_path):
    path = write_nifti(tmp_path / "head.nii")
    z_mm = FIRST_MM[0] + STEPS_MM[0] * MIDDLE
    X = table(path, path, lesion_slice=[float(MIDDLE), np.nan], lesion_z_mm=[np.nan, z_mm], lesion_mask=[None, ""])
    for stack in SliceStackLoader(n_slices=5).fit_transform(X):
        assert_is_head(stack)


def test_slice_spacing_interpolates_along_the_axis(tmp_path):
    ramp = np.broadcast_to(np.arange(12.0)[:, None, None], SHAPE) * 10 + np.arange(10)
    path = write_nifti(tmp_path / "head.nii", "PIR", ramp.astype(np.float32))
    stack = load(path, slice_spacing_mm=2.0)
    assert stack.slice_spacing_mm == 2.0
    indices = MIDDLE + np.arange(-2, 3) * 2.0 / 1.5
    assert stack.slice_indices == pytest.approx(indices)
    np.testing.assert_allclose(stack.pixels[:, 0, 0], 10 * indices, rtol=1e-5)
    centred = load(path, slice_spacing_mm=2.0, lesion_z_mm=FIRST_MM[0] + 1.5 * 5.25)
    np.testing.assert_allclose(centred.pixels[2, 0, 0], 52.5, rtol=1e-5)
    assert_native = load(path, slice_spacing_mm=1.5)
    np.testing.assert_array_equal(assert_native.pixels, load(path).pixels)
    with pytest.raises(ValueError, match=r"slices -1\.\.11 around the lesion at 5"):
        load(path, slice_spacing_mm=4.5)


# ---- intensities -----------------------------------------------------------------------------------------------------


def test_nifti_slope(tmp_path):
    path = write_nifti(tmp_path / "head.nii")
    stack = load(patch_nifti(path, 112, np.array([0.5, 3.0], dtype="<f4")))
    np.testing.assert_array_equal(stack.pixels, HEAD[3:8] * 0.5 + 3.0)


def test_trailing_axes_of_length_one(tmp_path):
    nib.save(nib.Nifti1Image(HEAD.transpose(2, 1, 0)[..., None], np.diag([-1.1, -0.9, 1.5, 1])), tmp_path / "a.nii")
    assert_is_head(load(str(tmp_path / "a.nii")))


def test_rescale_is_applied_to_each_file(tmp_path):
    def change(header, index):
        header.RescaleSlope, header.RescaleIntercept = str(1 + index / 2), str(-index)

    stack = load(write_dicom(tmp_path / "series", change=change))
    expected = [HEAD[i] * (1 + i / 2) - i for i in range(3, 8)]
    np.testing.assert_allclose(stack.pixels, expected, rtol=1e-6)


@pytest.mark.parametrize("signed", [0, 1])
def test_monochrome1_is_inverted(tmp_path, signed):
    def change(header, index):
        header.PhotometricInterpretation = "MONOCHROME1"
        header.PixelRepresentation = signed
        header.BitsStored, header.HighBit = 12, 11
        header.PixelData = ((-1 if signed else 4095) - HEAD[index]).astype("<i2").tobytes()

    assert_is_head(load(write_dicom(tmp_path / "series", change=change)))


LARGER = np.kron(HEAD, np.ones((1, 8, 8), dtype=np.int16))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_transfer_syntaxes_that_pydicom_writes(tmp_path, syntax):
    if syntax == JPEG2000Lossless:
        pytest.importorskip("openjpeg")

    def change(header, index):
        header.compress(syntax, generate_instance_uid=False)

    stack = load(write_dicom(tmp_path / "series", voxels=LARGER, change=change))
    np.testing.assert_array_equal(stack.pixels, LARGER[3:8].astype(np.float32))


@pytest.mark.parametrize("name", ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless"])
def test_transfer_syntaxes_that_gdcm_writes(tmp_path, name):
    folder = write_dicom(tmp_path / "series", voxels=LARGER)
    transcode_with_gdcm(folder, name)
    np.testing.assert_array_equal(load(folder).pixels, LARGER[3:8].astype(np.float32))


def transcode_with_gdcm(folder, name):
    gdcm = pytest.importorskip("gdcm")
    for path in Path(folder).iterdir():
        reader, writer, changer = gdcm.ImageReader(), gdcm.ImageWriter(), gdcm.ImageChangeTransferSyntax()
        reader.SetFileName(str(path))
        assert reader.Read()
        changer.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
        changer.SetInput(reader.GetImage())
        assert changer.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(changer.GetOutput())
        assert writer.Write()


# ---- DICOM files without preamble or file header ---------------------------------------------------------------------

PREAMBLE_BYTES = 132  # 128 bytes and "DICM"


def write_encoded(path, syntax, kept):
    """Write the file again in a transfer syntax, with preamble and file header, the file header alone, or neither."""
    header = pydicom.dcmread(path)
    if syntax == RLELossless:
        header.compress(syntax, generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian:
        header.PixelData = np.frombuffer(header.PixelData, "<i2").astype(">i2").tobytes()
    header.file_meta.TransferSyntaxUID = syntax
    content = Dataset()
    content.update({element.tag: element for element in header})
    content.file_meta = header.file_meta
    content.save_as(
        path, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian, enforce_file_format=True
    )
    if kept != "preamble":
        n_dropped = PREAMBLE_BYTES
        if kept == "nothing":
            # The first element of the file header is its length, which counts from the end of this element.
            n_dropped += 12 + header_length(path)
        path.write_bytes(path.read_bytes()[n_dropped:])


def header_length(path):
    return int(pydicom.dcmread(path, stop_before_pixels=True).file_meta.FileMetaInformationGroupLength)


def rewrite_series(folder, syntax, kept):
    for path in Path(folder).iterdir():
        write_encoded(path, syntax, kept)
    return folder


@pytest.mark.parametrize("kept", ["preamble", "file header"])
@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless],
    ids=lambda syntax: syntax.name,
)
def test_dicom_with_a_file_header_loads_without_the_preamble(tmp_path, syntax, kept):
    assert_is_head(load(rewrite_series(write_dicom(tmp_path / "series"), syntax, kept)))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian], ids=lambda syntax: syntax.name)
def test_dicom_without_preamble_and_file_header_loads(tmp_path, syntax):
    folder = Path(rewrite_series(write_dicom(tmp_path / "series"), syntax, "nothing"))
    assert next(folder.iterdir()).read_bytes()[:2] == b"\x08\x00", "starts with the first element of the dataset"
    assert_is_head(load(str(folder)))


def test_dicom_with_a_preamble_but_no_transfer_syntax_loads(tmp_path):
    folder = Path(write_dicom(tmp_path / "series"))
    for path in folder.iterdir():
        header = pydicom.dcmread(path)
        del header.file_meta.TransferSyntaxUID
        header.save_as(path, implicit_vr=False, little_endian=True)
        assert path.read_bytes()[128:132] == b"DICM"
    assert_is_head(load(str(folder)))


def test_enhanced_dicom_without_a_preamble_loads(tmp_path):
    path = Path(write_enhanced(tmp_path / "enhanced.dcm"))
    expected = load(str(path))
    path.write_bytes(path.read_bytes()[PREAMBLE_BYTES:])
    np.testing.assert_array_equal(load(str(path)).pixels, expected.pixels)


def test_compressed_pixels_without_a_transfer_syntax_are_refused(tmp_path):
    """Compressed slices of this size are longer than plain ones, so that they could pass for plain pixels."""
    folder = rewrite_series(write_dicom(tmp_path / "series"), RLELossless, "nothing")
    with pytest.raises(ValueError, match=r"patient P00: .*\.dcm has compressed pixels but no TransferSyntaxUID"):
        load(folder)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"\x08\x00 are the first bytes of this text. " * 20, "is not a DICOM file"),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", "is a DICOM file without an image"),
        (b"\x02\x00\x00\x00UL\x04\x00\xff\xff", "(cannot be read|is a DICOM file without an image)"),
        (b"DICM" + bytes(400), "is not a DICOM file"),
    ],
)
def test_files_that_resemble_dicom_are_refused(tmp_path, content, match):
    folder = write_dicom(tmp_path / "series")
    (tmp_path / "series" / "other.dcm").write_bytes(content)
    with pytest.raises(ValueError, match=rf"patient P00: .*other\.dcm {match}"):
        load(folder)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("kept", ["preamble", "file header"])
def test_dicom_compressed_with_gzip_loads(tmp_path, syntax, kept):
    folder = rewrite_series(write_dicom(tmp_path / "series"), syntax, kept)
    for path in Path(folder).iterdir():
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert_is_head(load(folder))


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", ["", "  ", None, np.nan])
def test_an_empty_path_is_refused(image):
    with pytest.raises(ValueError, match="patient P00: the column 'image' is empty"):
        load(image)


def test_paths_without_an_image_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "outer" / "series").mkdir(parents=True)
    (tmp_path / "text.nii").write_text("no image at all " * 40)
    (tmp_path / "zero.nii.gz").write_bytes(b"")
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "0001.dcm").write_bytes(b"\0" * 200)
    for name, match in [
        ("absent", "absent' does not exist"),
        ("empty", "empty is a folder without image files; give the folder of a DICOM series"),
        ("outer", "outer is a folder without image files; give one of its folders series"),
        ("text.nii", "text.nii is neither a NIfTI file nor a DICOM file"),
        ("zero.nii.gz", "zero.nii.gz is neither a NIfTI file"),
        ("mixed", "0001.dcm is not a DICOM file"),
    ]:
        with pytest.raises(ValueError, match=f"patient P00: .*{match}"):
            load(str(tmp_path / name))


def test_sidecar_files_in_a_dicom_folder_are_ignored(tmp_path):
    folder = write_dicom(tmp_path / "series")
    for name in (".DS_Store", "notes.txt", "series.json"):
        (tmp_path / "series" / name).write_text("{}")
    assert_is_head(load(folder))


@pytest.mark.parametrize("kept", [0.2, 0.7, 0.99])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_truncated_nifti_file_is_refused(tmp_path, kept, suffix):
    path = Path(write_nifti(tmp_path / f"head{suffix}"))
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"patient P00: .*head.*truncated"):
        load(str(path), lesion_slice=2)


def test_a_gzip_file_of_several_members_loads(tmp_path):
    path = Path(write_nifti(tmp_path / "head.nii"))
    content = path.read_bytes()
    packed = tmp_path / "packed.nii.gz"
    packed.write_bytes(gzip.compress(content[:900]) + gzip.compress(content[900:]) + gzip.compress(b""))
    assert_is_head(load(str(packed)))


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_dicom_file_is_refused(tmp_path, kept):
    folder = Path(write_dicom(tmp_path / "series", order=range(12)))
    path = folder / f"{MIDDLE:04d}.dcm"
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"patient P00: .*0005\.dcm"):
        load(str(folder))


def nifti_with(tmp_path, voxels=None, affine=None, units="mm"):
    voxels = HEAD.transpose(2, 1, 0) if voxels is None else voxels
    image = nib.Nifti1Image(voxels, np.diag([-1.1, -0.9, 1.5, 1]) if affine is None else affine)
    image.header.set_xyzt_units(units)
    nib.save(image, tmp_path / "head.nii")
    return str(tmp_path / "head.nii")


def head_with(value, index=MIDDLE):
    voxels = HEAD.transpose(2, 1, 0).astype(np.float32)
    voxels[..., index] = value
    return voxels


def test_nifti_errors(tmp_path):
    shear = np.diag([-1.1, -0.9, 1.5, 1])
    shear[0, 2] = 0.3
    cases = [
        ({"voxels": np.stack([HEAD, HEAD], axis=-1)}, {}, r"is 4-D, of shape"),
        ({"voxels": HEAD[0]}, {}, r"is 2-D, of shape"),
        ({"voxels": HEAD.astype(np.complex64)}, {}, "has voxels of type complex64"),
        ({"voxels": head_with(np.nan)}, {}, "non-finite pixels in axial slice 5"),
        ({"voxels": head_with(7)}, {}, "constant value 7 in axial slice 5"),
        ({"units": "meter"}, {}, "has coordinates in meters"),
        ({"affine": shear}, {}, "axes that are not perpendicular"),
        (
            {"affine": tilt_about_x(np.diag([-1.1, -0.9, 1.5, 1]), 33)},
            {},
            "tilted by 33.0 degrees from the body axes, more than max_tilt_deg=30",
        ),
        ({"affine": np.diag([-1.1, -2.9, 1.5, 1])}, {}, "axial pixel spacing of 2.9 x 1.1 mm"),
        ({}, {"lesion_slice": 12}, r"lesion_slice=12 is outside 0\.\.11"),
        ({}, {"lesion_slice": -1}, r"lesion_slice=-1 is outside 0\.\.11"),
        ({}, {"lesion_slice": 1}, r"slices -1\.\.3 around the lesion at 1"),
        ({}, {"lesion_slice": 2.5}, "lesion_slice is 2.5; give a whole number"),
        ({}, {"lesion_slice": "four"}, "lesion_slice is 'four'; give a number"),
        ({}, {"lesion_z_mm": 17.3}, "z = 0.0 to 16.5 mm; lesion_z_mm=17.3 is outside"),
        ({}, {"lesion_z_mm": np.inf}, "lesion_z_mm is inf; give a number"),
        ({}, {"lesion_mask": "absent.nii"}, r"'absent.nii' does not exist \(column 'lesion_mask'\)"),
        ({}, {"lesion_slice": 5, "lesion_z_mm": 3.0}, "position is given 2 times"),
    ]
    for changes, options, match in cases:
        with pytest.raises(ValueError, match=f"patient P00: .*{match}"):
            load(nifti_with(tmp_path, **changes), **options)


def test_nifti_without_an_orientation_is_refused(tmp_path):
    path = patch_nifti(nifti_with(tmp_path), 252, np.zeros(2, dtype="<i2"))
    with pytest.raises(ValueError, match="has no orientation"):
        load(path)


def test_qform_and_sform_that_disagree_are_refused(tmp_path):
    image = nib.Nifti1Image(HEAD.transpose(2, 1, 0), np.diag([-1.1, -0.9, 1.5, 1]))
    image.set_sform(np.diag([1.1, -0.9, 1.5, 1]), code=1)
    image.set_qform(np.diag([-1.1, -0.9, 1.5, 1]), code=1)
    nib.save(image, tmp_path / "head.nii")
    with pytest.raises(ValueError, match="has two orientations, LPS in its qform and RPS in its sform"):
        load(str(tmp_path / "head.nii"))


def test_mask_errors(tmp_path):
    image = write_nifti(tmp_path / "head.nii")
    moved = HEAD_AFFINE.copy()
    moved[0, 3] += 1.1
    ones = np.ones(SHAPE, dtype=np.uint8)
    for mask, affine, match in [
        (ones, moved, r"has a different grid .*corners up to 1\.10 mm apart"),
        (ones[1:], HEAD_AFFINE, r"has a different grid .*\(11, 11, 10\) and \(12, 11, 10\)"),
        (ones * 3, HEAD_AFFINE, "has no voxel of lesion_label=1; its values are 3"),
    ]:
        with pytest.raises(ValueError, match=f"patient P00: .*mask.nii {match}"):
            load(image, lesion_mask=write_nifti(tmp_path / "mask.nii", "RAS", mask, affine))


def drop(keyword):
    def change(header, index):
        del header[keyword]

    return change


def only_at(position, **values):
    def change(header, index):
        if index == position:
            for keyword, value in values.items():
                setattr(header, keyword, value)

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda _, index: index != 9, r"unequal steps .*3\.000 mm between .*1\.500 mm elsewhere"),
        (only_at(4, SeriesInstanceUID="1.2.4"), r"mixes 2 series \(11 of 1\.2\.3; 1 of 1\.2\.4\)"),
        (only_at(4, ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), "mixes 2 orientations"),
        (only_at(4, PixelSpacing=[1, 1]), "mixes 2 pixel spacings"),
        (only_at(4, ImagePositionPatient=[-25, -30, -15.5]), "duplicate slice positions"),
        (only_at(4, ImagePositionPatient=[-20, -30, -14]), r"shifted sideways by 5\.0 mm"),
        (only_at(4, Modality="CT"), "has modality CT; only MR is read"),
        (drop("Modality"), "has modality missing"),
        (drop("PixelSpacing"), "has no PixelSpacing"),
        (only_at(4, PixelSpacing=[0, 1]), "has no PixelSpacing"),
        (drop("ImagePositionPatient"), "has no ImagePositionPatient"),
        (drop("ImageOrientationPatient"), "has no valid ImageOrientationPatient"),
        (only_at(4, PhotometricInterpretation="RGB"), "has the photometric interpretation RGB; give greyscale images"),
        (only_at(4, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "has no valid ImageOrientationPatient"),
        (drop("PixelData"), "is truncated: it has 0 of 220 bytes of pixels"),
    ],
)
def test_dicom_errors(tmp_path, change, match):
    with pytest.raises(ValueError, match=f"patient P00: .*series.* {match}"):
        load(write_dicom(tmp_path / "series", change=change))


def test_dicom_files_of_different_matrices_are_refused(tmp_path):
    def change(header, index):
        if index == 4:
            set_pixels(header, HEAD[4][1:])

    with pytest.raises(ValueError, match=r"mixes 2 matrices"):
        load(write_dicom(tmp_path / "series", change=change))


def test_one_file_without_a_slice_spacing_is_refused(tmp_path):
    def change(header, index):
        del header.SliceThickness
        return index == 4

    with pytest.raises(ValueError, match="has one slice and no slice spacing in its header"):
        load(write_dicom(tmp_path / "series", change=change), n_slices=1, lesion_slice=0)


def test_enhanced_without_positions_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has 12 frames but positions for 11"):
        load(write_enhanced(tmp_path / "enhanced.dcm", drop=(1,)))


# ---- table, inspection and estimator ---------------------------------------------------------------------------------


def test_one_error_lists_all_patients_that_cannot_be_loaded(tmp_path):
    good = write_nifti(tmp_path / "head.nii")
    X = table(good, "", str(tmp_path / "absent"), good, lesion_slice=[MIDDLE, MIDDLE, MIDDLE, 40])
    with pytest.raises(ValueError, match="3 of 4 patients") as caught:
        SliceStackLoader(n_slices=5).fit(X).transform(X)
    lines = str(caught.value).splitlines()[1:]
    assert [line.strip()[:11] for line in lines] == ["patient P01", "patient P02", "patient P03"]


def test_inspect_also_tabulates_patients_that_cannot_be_loaded(tmp_path):
    good = write_nifti(tmp_path / "head.nii", "RAS")
    X = table(good, "", good, write_dicom(tmp_path / "series"), lesion_slice=[MIDDLE, MIDDLE, 40, MIDDLE])
    X.index = [7, 7, "a", None]
    before = X.copy()
    report = SliceStackLoader(n_slices=5).inspect(X)
    pd.testing.assert_frame_equal(X, before)
    assert list(report["patient_id"]) == ["P00", "P01", "P02", "P03"]
    assert list(report["problem"] == "") == [True, False, False, True]
    assert list(report.index[:3]) == [7, 7, "a"]
    first = report.iloc[0]
    assert (first["source"], first["format"], first["orientation"]) == (good, "NIfTI", "RAS")
    assert (first["height"], first["width"], first["n_slices_in_source"]) == (11, 10, 12)
    assert first["slices"] == "3 4 5 6 7"
    assert first["fov_height_mm"] == pytest.approx(9.9)
    assert (first["intensity_min"], first["intensity_max"]) == (HEAD[3:8].min(), HEAD[3:8].max())
    assert report.iloc[2]["n_slices_in_source"] == 12, "facts that were read before the problem are kept"
    assert report.iloc[3]["thickness_mm"] == 2.5


def test_any_row_index_and_row_selection(tmp_path):
    paths = [write_nifti(tmp_path / f"{i}.nii", voxels=HEAD + i) for i in range(4)]
    X = table(*paths, lesion_slice=[MIDDLE] * 4).set_axis(["d", "c", "b", "a"])
    stacks = SliceStackLoader(n_slices=3).fit_transform(X.iloc[[2, 0]])
    assert stacks.shape == (2,)
    assert stacks.dtype == object
    assert [stack.patient_id for stack in stacks] == ["P02", "P00"]
    np.testing.assert_array_equal(stacks[0].pixels, HEAD[4:7] + 2.0)


def test_n_jobs_gives_the_same_stacks(tmp_path):
    X = table(*[write_nifti(tmp_path / f"{i}.nii", voxels=HEAD + i) for i in range(3)], lesion_slice=[MIDDLE] * 3)
    one, two = (SliceStackLoader(n_slices=3, n_jobs=n).fit_transform(X) for n in (1, 2))
    for left, right in zip(one, two, strict=True):
        np.testing.assert_array_equal(left.pixels, right.pixels)


def test_pixels_are_read_only_from_the_files_of_the_stack(tmp_path, monkeypatch):
    read = []
    original = pydicom.pixels.pixel_array
    monkeypatch.setattr(pydicom.pixels, "pixel_array", lambda path, **kw: read.append(path) or original(path, **kw))
    load(write_dicom(tmp_path / "series"), n_slices=3)
    assert len(read) == 3


def test_estimator_conventions(tmp_path):
    loader = SliceStackLoader(n_slices=5, memory=str(tmp_path / "cache"), n_jobs=1)
    assert clone(loader).get_params() == loader.get_params()
    assert loader.set_params(n_slices=3).n_slices == 3
    assert not hasattr(loader, "get_feature_names_out")
    tags = get_tags(loader)
    assert not tags.requires_fit
    assert not tags.input_tags.two_d_array
    X = table(write_nifti(tmp_path / "head.nii"), lesion_slice=[MIDDLE])
    assert loader.fit(X) is loader
    (stack,) = pickle.loads(pickle.dumps(loader)).transform(X)
    assert isinstance(pickle.loads(pickle.dumps(stack)), SliceStack)
    with pytest.raises(AttributeError, match="cannot assign"):
        stack.source = "elsewhere"


@pytest.mark.parametrize(
    ("options", "match"),
    [({"n_slices": 4}, "must be odd"), ({"n_slices": 0}, "n_slices"), ({"max_tilt_deg": 60}, "max_tilt_deg"),
     ({"slice_spacing_mm": 0}, "slice_spacing_mm"), ({"lesion_label": 1.5}, "lesion_label")],
)  # fmt: skip
def test_parameters_are_checked(options, match):
    with pytest.raises(ValueError, match=match):
        SliceStackLoader(**options).fit(table("a"))
    with pytest.raises(ValueError, match=match):
        SliceStackLoader(**options).transform(table("a"))


def test_the_table_is_checked():
    with pytest.raises(ValueError, match=r"X must be a DataFrame of pandas; got numpy\.ndarray; it needs"):
        SliceStackLoader().fit(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"lacks the column\(s\) image"):
        SliceStackLoader().fit(pd.DataFrame({"patient_id": ["P00"]}))
