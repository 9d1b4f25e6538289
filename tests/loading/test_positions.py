"""The ways in which the lesion's position is given, against positions known by construction."""

import json

import nibabel as nib
import numpy as np
import pydicom
import pytest
from head_files import (
    HEAD,
    HEAD_AFFINE,
    MIDDLE,
    SHAPE,
    assert_is_head,
    load,
    table,
    tilt_about_x,
    write_dicom,
    write_enhanced,
    write_nifti,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mark_files import (
    FRAME,
    box,
    outlines,
    ras_of,
    write_markups,
    write_segmentation,
    write_structures,
)

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader

TILTED = tilt_about_x(HEAD_AFFINE, 7.7)
PLANES = ["axial", "axial_down", "sagittal", "coronal"]
# Largest in slice 5: a taller box around it in slices 4 to 6, more columns in slice 5.
LESION = box(slice(4, 7), slice(3, 7), slice(4, 6)) | box(slice(5, 6), slice(3, 7), slice(3, 8))


def write_series(folder, plane="axial", affine=HEAD_AFFINE, **values):
    def change(header, index):
        header.InstanceNumber = index + 1
        header.FrameOfReferenceUID = FRAME
        for keyword, value in values.items():
            setattr(header, keyword, value[index] if isinstance(value, list) else value)

    return write_dicom(folder, plane, affine=affine, change=change)


def refusal(image, **options):
    with pytest.raises(InputError) as caught:
        load(image, **options)
    return str(caught.value)


# ---- image numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("plane", "number"), [("axial", MIDDLE + 1), ("axial_down", SHAPE[0] - MIDDLE)])
@pytest.mark.parametrize("affine", [HEAD_AFFINE, TILTED], ids=["straight", "tilted"])
def test_position_as_the_image_number_of_a_viewer(tmp_path, plane, number, affine):
    assert_is_head(load(write_series(tmp_path / plane, plane, affine), lesion_instance=number))


def test_image_numbers_need_not_begin_at_1_nor_be_complete(tmp_path):
    numbers = [3, 9, 4, 100, 12, 77, 1, 2, 50, 51, 52, 53]
    path = write_series(tmp_path / "a", InstanceNumber=numbers)
    assert_is_head(load(path, lesion_instance=77))
    assert "has images 1 to 100 (InstanceNumber); lesion_instance=5 is none of them" in refusal(path, lesion_instance=5)


def test_image_numbers_that_say_nothing_are_refused(tmp_path):
    assert "is a NIfTI file, whose slices have no InstanceNumber" in refusal(
        write_nifti(tmp_path / "a.nii"), lesion_instance=3
    )
    assert "is an enhanced DICOM file, whose slices have no InstanceNumber" in refusal(
        write_enhanced(tmp_path / "e.dcm"), lesion_instance=3
    )
    repeated = write_series(tmp_path / "repeated", InstanceNumber=[1, 1, *range(3, 13)])
    assert "repeats InstanceNumber in some images" in refusal(repeated, lesion_instance=6)
    lacking = write_series(tmp_path / "lacking", InstanceNumber=[None, *range(2, 13)])
    assert "lacks InstanceNumber in some images" in refusal(lacking, lesion_instance=6)
    sagittal = write_series(tmp_path / "sagittal", "sagittal")
    assert "has images that are not axial" in refusal(sagittal, lesion_instance=6)
    assert "lesion_instance is 2.5; give a whole number" in refusal(sagittal, lesion_instance=2.5)


# ---- points ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("affine", [HEAD_AFFINE, TILTED], ids=["straight", "tilted"])
@pytest.mark.parametrize("voxel", [(MIDDLE, 0, 0), (MIDDLE, 10, 9), (MIDDLE + 0.4, 0, 9)])
def test_position_as_a_point(tmp_path, plane, affine, voxel):
    x, y, z = ras_of(voxel, affine)
    path = write_series(tmp_path / "a", plane, affine)
    assert_is_head(load(path, lesion_x_mm=x, lesion_y_mm=y, lesion_z_mm=z))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    code=st.sampled_from(["LAS", "RAS", "PSR", "IPL", "SAR"]),
    degrees=st.floats(-25, 25),
    voxel=st.tuples(st.floats(2, 9), st.floats(0, 10), st.floats(0, 9)),
)
def test_a_point_lies_in_its_slice_on_any_grid(tmp_path, code, degrees, voxel):
    affine = tilt_about_x(HEAD_AFFINE, degrees)
    x, y, z = ras_of(voxel, affine)
    path = write_nifti(tmp_path / "a.nii", code, affine=affine)
    stack = load(path, n_slices=3, lesion_x_mm=x, lesion_y_mm=y, lesion_z_mm=z)
    assert abs(stack.slice_indices[1] - voxel[0]) <= 0.5 + 1e-4
    between = load(path, n_slices=1, lesion_x_mm=x, lesion_y_mm=y, lesion_z_mm=z, slice_spacing_mm=1.0)
    assert between.slice_indices[0] == pytest.approx(voxel[0], abs=1e-3)


def test_points_outside_or_incomplete_are_refused(tmp_path):
    path = write_nifti(tmp_path / "a.nii")
    x, y, z = ras_of((MIDDLE, 9, 8))
    assert "does not contain the point of the lesion, x = 99, y =" in refusal(
        path, lesion_x_mm=99.0, lesion_y_mm=y, lesion_z_mm=z
    )
    lps = refusal(path, lesion_x_mm=-x, lesion_y_mm=-y, lesion_z_mm=z)
    assert "the point with opposite signs of x and y is inside: DICOM's coordinates (LPS) have other signs" in lps
    assert "the point of the lesion lacks lesion_y_mm; give all three" in refusal(path, lesion_x_mm=x, lesion_z_mm=z)
    assert "lesion_x_mm is 'a'; give a number" in refusal(path, lesion_x_mm="a", lesion_y_mm=y, lesion_z_mm=z)


def test_exactly_one_way_is_given(tmp_path):
    path = write_nifti(tmp_path / "a.nii")
    x, y, z = ras_of((MIDDLE, 5, 5))
    text = refusal(path, lesion_x_mm=x, lesion_y_mm=y, lesion_z_mm=z, lesion_slice=5)
    assert "the lesion position is given 2 times" in text
    assert "the lesion position is given 2 times" in refusal(path, lesion_instance=5, lesion_z_mm=z)


def test_ways_may_differ_from_patient_to_patient(tmp_path):
    images = [write_series(tmp_path / name) for name in "abc"]
    x, y, z = ras_of((MIDDLE, 5, 5))
    X = table(*images, lesion_instance=[MIDDLE + 1, None, None], lesion_x_mm=[None, x, None])
    X = X.assign(lesion_y_mm=[None, y, None], lesion_z_mm=[None, z, z])
    for stack in SliceStackLoader(n_slices=5).fit_transform(X):
        assert_is_head(stack)


# ---- a height alone --------------------------------------------------------------------------------------------------


def test_a_height_alone_is_refused_where_tilt_makes_it_ambiguous(tmp_path):
    for affine in (HEAD_AFFINE, TILTED):
        # Five rows of 0.9 mm at 7.7 degrees: less than half of a step of 1.5 mm.
        path = write_series(tmp_path / f"{affine[2, 1]:.2f}", affine=affine)
        assert_is_head(load(path, lesion_z_mm=ras_of((MIDDLE, 5, 4.5), affine)[2]))
    steep = tilt_about_x(HEAD_AFFINE, 12.0)
    text = refusal(write_series(tmp_path / "c", affine=steep), lesion_z_mm=ras_of((MIDDLE, 5, 5), steep)[2])
    assert "has tilted slices (12.0 degrees)" in text
    assert f"differ by up to {4.5 * np.sin(np.radians(12)):.1f} mm" in text
    assert "give a point (lesion_x_mm, lesion_y_mm, lesion_z_mm), lesion_instance or lesion_slice" in text


def test_a_height_alone_is_refused_on_a_real_tilted_series(shared_data):
    """The header's z of a slice was off by centimetres without a word; a point on the slice finds it."""
    folder = shared_data / "dicom_t1w_whole_head"
    header = pydicom.dcmread(sorted(folder.iterdir())[7], stop_before_pixels=True)
    x, y, z = map(float, header.ImagePositionPatient)
    with pytest.raises(InputError, match=r"has tilted slices \(7.7 degrees\): heights .* differ by up to 20.\d mm"):
        load(str(folder), lesion_z_mm=z)
    by_number = load(str(folder), lesion_instance=int(header.InstanceNumber))
    by_point = load(str(folder), lesion_x_mm=-x, lesion_y_mm=-y, lesion_z_mm=z)
    assert by_point.slice_indices == by_number.slice_indices == (5, 6, 7, 8, 9)


# ---- DICOM segmentations ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("affine", [HEAD_AFFINE, TILTED], ids=["straight", "tilted"])
@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_a_dicom_segmentation_chooses_its_largest_slice(tmp_path, plane, affine, kind):
    image = write_series(tmp_path / "a", plane, affine)
    mask = write_segmentation(tmp_path / "mask", {"tumour": LESION}, plane=plane, affine=affine, kind=kind)
    assert_is_head(load(image, lesion_mask=mask))


def test_segments_are_named_or_numbered(tmp_path):
    image = write_series(tmp_path / "a")
    core = box(slice(6, 7), slice(2, 4), slice(2, 4))
    mask = write_segmentation(tmp_path / "mask.dcm", {"core": core, "whole": LESION}, compress=False)
    assert_is_head(load(image, lesion_mask=mask, lesion_label=1), first=4)
    assert_is_head(load(image, lesion_mask=mask, lesion_label=2))
    assert_is_head(load(image, lesion_mask=mask, lesion_label="whole"))
    assert "has no segment of lesion_label=3; it has 1 'core', 2 'whole'" in refusal(
        image, lesion_mask=mask, lesion_label=3
    )


def test_a_compressed_segmentation_and_one_in_nifti_images(tmp_path):
    mask = write_segmentation(tmp_path / "mask", {"tumour": LESION}, kind="FRACTIONAL", compress=True)
    assert_is_head(load(write_series(tmp_path / "a"), lesion_mask=mask))
    # The grid alone tells that they belong together.
    assert_is_head(load(write_nifti(tmp_path / "a.nii", "PSR"), lesion_mask=mask))


def test_segmentations_of_other_images_are_refused(tmp_path):
    image = write_series(tmp_path / "a")
    write = {"masks": {"tumour": LESION}}
    other = write_segmentation(tmp_path / "series", **write, series="1.2.4")
    assert "refers to the series 1.2.4" in refusal(image, lesion_mask=other)
    frame = write_segmentation(tmp_path / "frame", **write, frame="1.2.3.8")
    assert "refers to the frame of reference 1.2.3.8" in refusal(image, lesion_mask=frame)
    shifted = HEAD_AFFINE.copy()
    shifted[0, 3] += 0.5 * 1.1
    grid = write_segmentation(tmp_path / "grid", **write, affine=shifted)
    assert "has a different grid from" in refusal(image, lesion_mask=grid)
    far = HEAD_AFFINE.copy()
    far[2, 3] += 20 * 1.5
    assert "(pixels outside the image)" in refusal(
        image, lesion_mask=write_segmentation(tmp_path / "far", **write, affine=far)
    )
    fine = HEAD_AFFINE @ np.diag([1, 0.5, 1, 1])
    assert "has a different grid" in refusal(
        image, lesion_mask=write_segmentation(tmp_path / "fine", **write, affine=fine)
    )
    assert "is a DICOM file (MR) that is neither" in refusal(image, lesion_mask=str(next((tmp_path / "a").iterdir())))


def test_damaged_segmentations_are_refused(tmp_path):
    image = write_series(tmp_path / "a")
    path = tmp_path / "mask"
    write_segmentation(path, {"tumour": LESION})
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    assert "cannot be read" in refusal(image, lesion_mask=str(path))
    path.write_bytes(content[:600])
    assert "mask" in refusal(image, lesion_mask=str(path))


# ---- structure sets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("affine", [HEAD_AFFINE, TILTED], ids=["straight", "tilted"])
def test_a_structure_set_chooses_its_largest_slice(tmp_path, plane, affine):
    image = write_series(tmp_path / "a", plane, affine)
    # Taller towards slice 5: outlines of sagittal and coronal slices are rectangles, too.
    lesion = box(slice(5, 6), slice(3, 7), slice(3, 8))
    mask = write_structures(tmp_path / "mask", {"GTV": outlines(lesion, plane, affine)})
    assert_is_head(load(image, lesion_mask=mask))


def test_the_slice_with_most_voxels_inside_contours(tmp_path):
    image = write_series(tmp_path / "a")
    contours = [*outlines(box(slice(4, 7), slice(3, 7), slice(4, 6)), "axial")]
    contours[1] = outlines(box(slice(5, 6), slice(2, 9), slice(2, 9)), "axial")[0]
    assert_is_head(load(image, lesion_mask=write_structures(tmp_path / "m", {"GTV": contours})))
    # A hole makes it the smallest one.
    hole = outlines(box(slice(5, 6), slice(3, 9), slice(2, 9)), "axial")
    mask = write_structures(tmp_path / "h", {"GTV": [*contours, *hole]})
    assert load(image, lesion_mask=mask).slice_indices == (2, 3, 4, 5, 6)


def test_regions_are_chosen_by_name(tmp_path):
    image = write_series(tmp_path / "a")
    regions = {"BODY": outlines(box(slice(7, 8), slice(0, 9), slice(0, 9)), "axial")}
    regions["GTV"] = outlines(box(slice(5, 6), slice(3, 7), slice(3, 8)), "axial")
    mask = write_structures(tmp_path / "m", regions)
    text = refusal(image, lesion_mask=mask)
    assert "has 2 contoured regions for lesion_label=1; it has 7 'BODY', 8 'GTV': give the name of one" in text
    assert_is_head(load(image, lesion_mask=mask, lesion_label="GTV"))
    assert "has 0 contoured regions for lesion_label='PTV'" in refusal(image, lesion_mask=mask, lesion_label="PTV")
    assert "labels are numbers; lesion_label='GTV' is a name" in refusal(
        image, lesion_mask=write_nifti(tmp_path / "m.nii"), lesion_label="GTV"
    )


def test_structure_sets_of_other_images_are_refused(tmp_path):
    image = write_series(tmp_path / "a")
    contours = {"GTV": outlines(LESION, "axial")}
    assert "refers to the series 1.9" in refusal(
        image, lesion_mask=write_structures(tmp_path / "s", contours, series="1.9")
    )
    assert "refers to the frame of reference 1.8" in refusal(
        image, lesion_mask=write_structures(tmp_path / "f", contours, frame="1.8")
    )
    nifti = write_nifti(tmp_path / "a.nii")
    mask = write_structures(tmp_path / "m", contours)
    assert "has neither series nor frame of reference in common with" in refusal(nifti, lesion_mask=mask)
    unknown = write_structures(tmp_path / "u", contours, series=None, frame=None)
    assert "has neither series nor frame of reference in common with" in refusal(image, lesion_mask=unknown)
    assert_is_head(load(image, lesion_mask=write_structures(tmp_path / "n", contours, series=None)))
    assert_is_head(load(image, lesion_mask=write_structures(tmp_path / "o", contours, frame=None)))
    (tmp_path / "a.json").write_text(json.dumps({"SeriesInstanceUID": "1.2.3", "Modality": "MR"}))
    assert_is_head(load(nifti, lesion_mask=mask))
    between = np.array(contours["GTV"][0]) + [0, 0, 0.75]
    assert "lies in no slice" in refusal(
        image, lesion_mask=write_structures(tmp_path / "b", {"GTV": [between.tolist()]})
    )
    assert "encloses no area (POINT)" in refusal(
        image, lesion_mask=write_structures(tmp_path / "p", contours, kind="POINT")
    )
    inside_a_voxel = [[[0, 0, 0], [0.01, 0, 0], [0, 0.01, 0]]]
    inside_a_voxel = np.array(inside_a_voxel) + np.array([-1, -1, 1]) * ras_of((5, 4.5, 4.5))
    assert "has no voxel of lesion_label=1" in refusal(
        image, lesion_mask=write_structures(tmp_path / "v", {"GTV": inside_a_voxel.tolist()})
    )


# ---- points of 3D Slicer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["LPS", "RAS"])
@pytest.mark.parametrize("affine", [HEAD_AFFINE, TILTED], ids=["straight", "tilted"])
def test_a_point_of_slicer(tmp_path, system, affine):
    sign = np.array([-1, -1, 1]) if system == "LPS" else 1
    point = {"position": (np.array(ras_of((MIDDLE, 1, 8), affine)) * sign).tolist(), "positionStatus": "defined"}
    undefined = {"position": [0, 0, 0], "positionStatus": "undefined"}
    # Its name says nothing, its content does.
    mask = write_markups(tmp_path / "point.txt", [undefined, point], system)
    assert_is_head(load(write_series(tmp_path / "a", affine=affine), lesion_mask=mask))
    assert_is_head(load(write_nifti(tmp_path / "a.nii", affine=affine), lesion_mask=mask))


def test_several_points_need_a_selected_one(tmp_path):
    image = write_series(tmp_path / "a")
    points = [{"label": f"F-{n}", "position": ras_of((n, 5, 5))} for n in (3, MIDDLE)]
    path = tmp_path / "p.mrk.json"
    assert "has 2 points ('F-3', 'F-5'); leave the one" in refusal(
        image, lesion_mask=write_markups(path, points, "RAS")
    )
    points[0]["selected"] = False
    assert_is_head(load(image, lesion_mask=write_markups(path, points, "RAS")))
    assert "has 0 points" in refusal(image, lesion_mask=write_markups(path, [], "RAS"))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"type": "Line"}, "has markups of type 'Line'; give a list of points"),
        ({"coordinateSystem": None}, "states the coordinate system None; it must be one of RAS, LPS"),
        ({"coordinateUnits": "cm"}, "states coordinates in 'cm'; give mm"),
        ({"controlPoints": [{"position": [1, 2]}]}, "has the position [1, 2] in point 1; give three numbers"),
        ({"controlPoints": [{"position": [1, 2, 900]}]}, "does not contain the point of the lesion"),
    ],
)
def test_points_that_are_unclear_are_refused(tmp_path, values, text):
    path = write_markups(tmp_path / "p.json", [{"position": [0, 0, 0]}], **values)
    assert text in refusal(write_nifti(tmp_path / "a.nii"), lesion_mask=path)


def test_other_json_is_no_mark(tmp_path):
    path = tmp_path / "p.mrk.json"
    path.write_text('{"colour": "red"}')
    assert "is neither a NIfTI file nor a DICOM file (text file); give a NIfTI mask" in refusal(
        write_nifti(tmp_path / "a.nii"), lesion_mask=str(path)
    )


def test_a_mark_that_changes_is_read_again(tmp_path):
    image, cache = write_nifti(tmp_path / "a.nii"), str(tmp_path / "cache")
    path = tmp_path / "p.json"
    for voxel in (MIDDLE, 4, MIDDLE):
        write_markups(path, [{"position": ras_of((voxel, 5, 5))}], "RAS", note="x" * voxel)
        assert load(image, lesion_mask=str(path), memory=cache).slice_indices[2] == voxel


def test_nifti_masks_are_as_before(tmp_path):
    mask = tmp_path / "m.nii"
    nib.save(nib.Nifti1Image(LESION, HEAD_AFFINE), mask)
    assert_is_head(load(write_nifti(tmp_path / "a.nii", "PSR"), lesion_mask=str(mask)))
    assert HEAD.shape == LESION.shape
