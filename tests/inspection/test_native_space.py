"""Maps brought back to the patient's own image: the round trip of a blob at a known place."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from head_files import tilt_about_x, write_dicom, write_nifti

from sklearn_pspd.cohort.columns import POINT_COLUMNS
from sklearn_pspd.inspection.native_space import SourceGrid
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.preprocessing import FOVNormalizer
from sklearn_pspd.preprocessing.interpolation import positions_on_grid, resample_stack

SHAPE = (14, 44, 36)  # slices, rows, columns
STEPS = (2.0, 1.5, 1.9)
AFFINE = np.array([[0, 0, -STEPS[2], 30.0], [0, -STEPS[1], 0, 25.0], [STEPS[0], 0, 0, -12.0], [0, 0, 0, 1]])
BLOB = np.array([6.0, 27.0, 11.0])  # off the middle in every direction


def blob():
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    distance_mm = np.linalg.norm((grid - BLOB) * STEPS, axis=-1)
    return (1000 * np.exp(-((distance_mm / 4) ** 2)) + np.arange(SHAPE[2])).astype(np.int16)


def centre_of_mass(values):
    weights = np.clip(values - 0.3 * values.max(), 0, None)
    grid = np.stack(np.meshgrid(*map(np.arange, values.shape), indexing="ij"), axis=-1)
    return (grid * weights[..., None]).sum(axis=(0, 1, 2)) / weights.sum()


SOURCES = {
    "LAS": lambda folder: (write_nifti(folder / "a.nii.gz", "LAS", blob(), AFFINE), AFFINE),
    "sagittal NIfTI": lambda folder: (write_nifti(folder / "a.nii.gz", "PIR", blob(), AFFINE), AFFINE),
    "coronal NIfTI": lambda folder: (write_nifti(folder / "a.nii", "RSA", blob(), AFFINE), AFFINE),
    "tilted": lambda folder: (
        write_nifti(folder / "a.nii.gz", "LPS", blob(), tilt_about_x(AFFINE, 17)),
        tilt_about_x(AFFINE, 17),
    ),
    "DICOM": lambda folder: (write_dicom(folder / "series", "axial", blob(), AFFINE), AFFINE),
    "sagittal DICOM": lambda folder: (write_dicom(folder / "series", "sagittal", blob(), AFFINE), AFFINE),
    "tilted DICOM": lambda folder: (
        write_dicom(folder / "series", "axial_down", blob(), tilt_about_x(AFFINE, -12)),
        tilt_about_x(AFFINE, -12),
    ),
}


@pytest.mark.parametrize("spacing_mm", [None, 1.7])
@pytest.mark.parametrize("method", ["bicubic", "released"])
@pytest.mark.parametrize("source", SOURCES)
def test_a_blob_lands_where_it_was_in_the_scanner(tmp_path, source, method, spacing_mm):
    image, affine = SOURCES[source](tmp_path)
    expected = (affine @ [*BLOB, 1])[:3]
    point = dict(zip(POINT_COLUMNS, (affine @ [6, 21.5, 17.5, 1])[:3], strict=True))
    X = pd.DataFrame({"patient_id": ["P"], "image": [image], **{name: [value] for name, value in point.items()}})
    (stack,) = SliceStackLoader(n_slices=7, slice_spacing_mm=spacing_mm).fit_transform(X)
    fov = FOVNormalizer(fov_mm=60.0, size_px=48, method=method)
    pixels = fov.fit_transform([stack])[0]
    grid = SourceGrid(stack, fov)
    # On the grid of the network, and on that of the image.
    place = np.unravel_index(np.argmax(pixels), pixels.shape)
    np.testing.assert_allclose(grid.world_mm()[place], expected, atol=2.0)
    grid.write(tmp_path / "map.nii.gz", pixels)
    written = nib.load(tmp_path / "map.nii.gz")
    found = (written.affine @ [*centre_of_mass(np.asarray(written.dataobj)), 1])[:3]
    np.testing.assert_allclose(found, expected, atol=0.8)
    if not image.endswith("series"):
        assert written.shape == nib.load(image).shape
        np.testing.assert_allclose(written.affine, nib.load(image).affine, atol=1e-3)


def test_outside_the_stack_a_map_is_zero_and_inside_it_is_kept(tmp_path):
    image, _ = SOURCES["LAS"](tmp_path)
    X = pd.DataFrame({"patient_id": ["P"], "image": [image], "lesion_slice": [6]})
    (stack,) = SliceStackLoader(n_slices=3).fit_transform(X)
    fov = FOVNormalizer(fov_mm=30.0, size_px=16)
    fov.fit_transform([stack])
    values = SourceGrid(stack, fov).to_source(np.ones((3, 16, 16)))
    assert sorted(np.unique(values)) == [0, 1]
    columns, rows, slices = np.nonzero(values)
    assert set(slices) == {5, 6, 7}
    assert np.ptp(rows) + 1 == pytest.approx(30 / STEPS[1], abs=1)
    assert np.ptp(columns) + 1 == pytest.approx(30 / STEPS[2], abs=1)


@pytest.mark.parametrize("method", ["bicubic", "bilinear", "released"])
@pytest.mark.parametrize(("n_px", "spacing"), [(40, 1.0), (41, 1.3), (30, 0.7)])
def test_positions_are_those_of_the_resampling(method, n_px, spacing):
    """A ramp of positions, resampled, says which position of the image lies at a pixel of the grid."""
    options = {"fov_mm": 24.0, "size_px": 16, "method": method}
    ramp = np.tile(np.arange(n_px, dtype=float), (1, n_px, 1))
    found = resample_stack(ramp, (spacing, spacing), pad_value=0.0, **options)[0, 8]
    places = positions_on_grid(n_px, spacing, **options)
    inner = [pixel for pixel in range(16) if 3 < np.interp(pixel, places, np.arange(n_px)) < n_px - 4][2:-2]
    tolerance = 0.01 if method != "released" else 0.1  # its kernel is not interpolating exactly
    np.testing.assert_allclose(found[inner], np.interp(inner, places, np.arange(n_px)), atol=tolerance)
