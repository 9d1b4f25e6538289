"""Tests of the synthetic cohort."""

import hashlib
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from sklearn_pspd.cohort import CLINICAL_CODES, CLINICAL_COLUMNS, CLINICAL_RANGES, OUTCOME_CODES, read_cohort
from sklearn_pspd.datasets import make_cohort
from sklearn_pspd.datasets._anatomy import draw_head, draw_lesion, paint_lesion
from sklearn_pspd.datasets.synthetic import _apportion, _draw_patients, _draw_scans, _scan_patient
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader

# Table 1 of the paper: PD, PsPD | training site, external site.
TABLE_1 = {
    ("sex", "male"): (27, 24, 41, 10),
    ("sex", "female"): (21, 6, 18, 9),
    ("mgmt", "methylated"): (18, 15, 24, 9),
    ("mgmt", "unmethylated"): (30, 15, 35, 10),
    ("idh", "mutated"): (1, 2, 3, 0),
    ("idh", "wildtype"): (43, 26, 54, 15),
    ("idh", "unknown"): (4, 2, 2, 4),
    ("schedule", "hypofractionated"): (4, 2, 5, 1),
    ("schedule", "conventional"): (44, 28, 54, 18),
}


def draw(n_patients, effect_size=1.0, seed=0):
    table, scores = _draw_patients(n_patients, effect_size, np.random.default_rng(seed))
    return table, scores, table["outcome"].map(OUTCOME_CODES).to_numpy()


def clinical_auc(table, y):
    """Return the AUC of a logistic regression on the clinical columns, trained on one half and tested on the other."""
    numbers = table[["age_years", "dose_gy", "n_fractions"]].assign(log_days=np.log(table["interval_days"]))
    columns = pd.concat([numbers, pd.get_dummies(table[["sex", "mgmt", "idh"]])], axis=1).to_numpy(dtype=float)
    columns = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    half = len(y) // 2
    model = LogisticRegression().fit(columns[:half], y[:half])
    return roc_auc_score(y[half:], model.decision_function(columns[half:]))


def digests(folder):
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def canonical(path):
    """Return (voxels in RAS+ order, affine) of a NIfTI file."""
    image = nib.as_closest_canonical(nib.load(path))
    return np.asarray(image.dataobj), image.affine


def read_dicom(folder):
    """Return (voxels in RAS+ order, affine) of a folder of slices, from its tags alone."""
    slices = sorted((pydicom.dcmread(path) for path in Path(folder).iterdir()), key=lambda s: s.ImagePositionPatient[2])
    pixels = np.stack([s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept) for s in slices])
    first, step = slices[0], float(slices[0].PixelSpacing[0])
    assert [float(v) for v in first.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]
    heights = [float(s.ImagePositionPatient[2]) for s in slices]
    affine = np.diag([step, step, float(np.mean(np.diff(heights))), 1.0])
    affine[0, 3] = -float(first.ImagePositionPatient[0]) - (pixels.shape[2] - 1) * step
    affine[1, 3] = -float(first.ImagePositionPatient[1]) - (pixels.shape[1] - 1) * step
    affine[2, 3] = heights[0]
    return pixels.transpose(2, 1, 0)[::-1, ::-1], affine


def bright_pixels(volume, affine, centre):
    """Return the number of pixels per slice that are brighter than the brain, within 30 mm of a point in the plane."""
    x, y = (affine[axis, 3] + affine[axis, axis] * np.arange(volume.shape[axis]) for axis in (0, 1))
    near = np.hypot(x[:, None] - centre[0], y[None, :] - centre[1]) < 30
    deep = np.hypot(x[:, None] / 50, y[None, :] / 65) < 1
    return ((volume > 1.35 * np.median(volume[deep])) & (near & deep)[:, :, None]).sum(axis=(0, 1))


@pytest.fixture(scope="module")
def nifti_cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nifti")
    return make_cohort(folder, 24, matrix_px=(64, 80), random_state=3), folder


@pytest.fixture(scope="module")
def dicom_cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dicom")
    return make_cohort(folder, 24, matrix_px=(64, 80), image_format="dicom", random_state=3), folder


@pytest.mark.parametrize("seed", range(5))
def test_counts_at_78_are_those_of_table_1(seed):
    table, _, _ = draw(78, seed=seed)
    table["schedule"] = np.where(table["n_fractions"] < 20, "hypofractionated", "conventional")
    cells = table.value_counts(["outcome", "site"])
    assert cells.to_dict() == {("PD", "A"): 37, ("PD", "B"): 11, ("PsPD", "A"): 22, ("PsPD", "B"): 8}
    for (column, level), expected in TABLE_1.items():
        chosen = table[table[column] == level]
        found = [(chosen["outcome"] == outcome).sum() for outcome in ("PD", "PsPD")]
        found += [(chosen["site"] == site).sum() for site in ("A", "B")]
        assert tuple(found) == expected, (column, level)


def test_numbers_stay_near_those_of_the_paper():
    table, _, _ = draw(2000)
    days = table.groupby("outcome")["interval_days"].median()
    assert days["PD"] == pytest.approx(123.5, rel=0.07)
    assert days["PsPD"] == pytest.approx(82, rel=0.07)
    assert table["interval_days"].between(18, 1251).all()
    assert table["age_years"].median() == pytest.approx(55.5, abs=1)
    assert table["age_years"].agg(["min", "max"]).tolist() == [22, 77]
    for column, (lowest, highest) in CLINICAL_RANGES.items():
        assert table[column].between(lowest, highest).all()
    for column, codes in CLINICAL_CODES.items():
        assert set(table[column]) - {"unknown"} == set(codes)


@pytest.mark.parametrize("n_patients", [6, 7, 8, 12, 13, 20, 79])
@pytest.mark.parametrize("effect_size", [0.0, 1.0])
def test_every_size_has_both_outcomes_at_both_sites_and_varying_doses(n_patients, effect_size):
    table, _, _ = draw(n_patients, effect_size)
    assert len(table) == n_patients
    cells = table.value_counts(["outcome", "site"])
    assert len(cells) == 4
    assert cells.min() >= (2 if n_patients >= 8 else 1)
    assert len(set(table["dose_gy"])) > 1
    assert len(set(table["n_fractions"])) > 1


@pytest.mark.parametrize(
    ("total", "weights", "at_least"), [(6, (37, 11, 22, 8), 1), (8, (37, 11, 22, 8), 2), (0, (1, 2), 0)]
)
def test_apportioned_numbers_add_up_to_the_total(total, weights, at_least):
    counts = _apportion(total, weights, at_least)
    assert counts.sum() == total
    assert counts.min() >= at_least


def test_scores_have_the_documented_auc_and_add_up():
    table, scores, y = draw(6000)
    assert roc_auc_score(y, scores["image"]) == pytest.approx(0.90, abs=0.02)
    assert clinical_auc(table, y) == pytest.approx(0.75, abs=0.03)
    within = scores - scores.groupby(y).transform("mean")
    assert abs(within.corr().iloc[0, 1]) < 0.05
    both = roc_auc_score(y, 1.81 * scores["image"] + 0.76 * scores["interval"])
    assert both == pytest.approx(norm.cdf(np.hypot(1.81, 0.76) / np.sqrt(2)), abs=0.02)
    assert both > roc_auc_score(y, scores["image"]) + 0.01


def test_a_larger_effect_separates_more():
    aucs = [roc_auc_score(draw(3000, effect)[2], draw(3000, effect)[1]["image"]) for effect in (0.5, 1, 2)]
    assert aucs == sorted(aucs)
    assert aucs[-1] > 0.9


def test_no_effect_means_no_association():
    table, scores, y = draw(6000, effect_size=0)
    assert clinical_auc(table, y) == pytest.approx(0.5, abs=0.035)
    for score in scores:
        assert roc_auc_score(y, scores[score]) == pytest.approx(0.5, abs=0.035)
    for column in ("age_years", "interval_days", "dose_gy"):
        assert roc_auc_score(y, table[column]) == pytest.approx(0.5, abs=0.035)


@pytest.mark.parametrize("effect_size", [0.0, 1.0])
def test_row_order_and_scans_are_independent_of_outcome_and_site(effect_size):
    table, _, y = draw(3000, effect_size)
    rows = np.arange(len(y))
    assert roc_auc_score(y, rows) == pytest.approx(0.5, abs=0.05)
    assert roc_auc_score(table["site"] == "B", rows) == pytest.approx(0.5, abs=0.05)
    scans = pd.DataFrame(map(vars, _draw_scans(table["site"], (64, 96), 25, np.random.default_rng(1))))
    for column in ("matrix_px", "fov_mm", "thickness_mm", "lesion_slice", "field_t"):
        assert roc_auc_score(y, scans[column]) == pytest.approx(0.5, abs=0.05)


def test_scans_vary_as_documented():
    scans = pd.DataFrame(map(vars, _draw_scans(["A"] * 78, (256, 512), 25, np.random.default_rng(1))))
    assert (scans["fov_mm"] == 193).sum() == 1
    assert (scans["fov_mm"] > 200).sum() == 77
    assert (scans["field_t"] == 1.5).sum() == 11
    assert scans["thickness_mm"].between(0.86, 1.5).all()
    assert scans["lesion_slice"].between(4, 20).all()
    assert 12 not in set(scans["lesion_slice"])
    assert set(scans["orientation"]) == {"RAS", "LAS", "LPS"}
    assert set(scans["matrix_px"]) == {256, 512}


def test_lesion_follows_the_image_score():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal(300)
    lesions = [draw_lesion(score, draw_head(rng), rng) for score in scores]
    for values in (
        [lesion.rim_mm for lesion in lesions],
        [lesion.radius for lesion in lesions],
        [lesion.nodules.sum() for lesion in lesions],
    ):
        assert np.corrcoef(scores, values)[0, 1] < -0.6
    diameters = 2 * np.array([lesion.radius for lesion in lesions])
    assert diameters.min() >= 15
    assert diameters.max() <= 45


def test_table_on_disk_is_the_table_returned(nifti_cohort):
    cohort, folder = nifti_cohort
    on_disk = pd.read_csv(folder / "cohort.csv", keep_default_na=False)
    assert list(cohort.columns) == ["patient_id", "site", "image", "lesion_slice", *CLINICAL_COLUMNS, "outcome"]
    assert not any(Path(image).is_absolute() for image in on_disk["image"])
    assert all(Path(image).is_absolute() for image in cohort["image"])
    pd.testing.assert_frame_equal(read_cohort(folder / "cohort.csv"), cohort)
    assert cohort["patient_id"].is_unique
    assert sorted(path.name for path in folder.iterdir()) == ["cohort.csv", "images"]
    assert sorted(map(str, (folder / "images").iterdir())) == sorted(cohort["image"])


def test_nifti_files_vary_as_documented(nifti_cohort):
    cohort, _ = nifti_cohort
    images = [nib.load(path) for path in cohort["image"]]
    assert {"".join(nib.aff2axcodes(image.affine)) for image in images} == {"RAS", "LAS", "LPS"}
    assert {image.get_data_dtype() for image in images} == {np.dtype(np.int16)}
    assert {image.shape for image in images} == {(64, 64, 25), (80, 80, 25)}
    assert all(0.86 <= round(float(image.header.get_zooms()[2]), 2) <= 1.5 for image in images)
    assert cohort["lesion_slice"].between(4, 20).all()
    fovs_mm = [image.shape[0] * image.header.get_zooms()[0] for image in images]
    assert sum(round(fov_mm) == 193 for fov_mm in fovs_mm) == 1
    assert sum(fov_mm > 200 for fov_mm in fovs_mm) == len(cohort) - 1


@pytest.mark.parametrize("seed", range(4))
def test_lesion_is_centred_on_the_slice_asked_for(seed):
    (scan,) = _draw_scans(["A"], (96,), 60, np.random.default_rng(seed))
    scan.lesion_slice, scan.thickness_mm, scan.field_t = 33, 1.2, 3.0
    rng = np.random.default_rng(seed)
    lesion = draw_lesion(0.0, draw_head(rng), rng)
    volume, mask, affine, _ = _scan_patient(0.0, scan, np.random.default_rng(seed))
    lit = np.flatnonzero(bright_pixels(volume, affine, lesion.centre) >= 3)
    assert (lit[0] + lit[-1]) / 2 == pytest.approx(33, abs=1.5)
    assert (lit[-1] - lit[0]) * 1.2 == pytest.approx(2 * lesion.height, abs=6)
    voxel_mm3 = abs(np.linalg.det(affine[:3, :3]))
    ellipsoid_mm3 = 4 / 3 * np.pi * lesion.radius**2 * lesion.height
    assert mask.sum() * voxel_mm3 == pytest.approx(ellipsoid_mm3, rel=0.1)


def test_masks_mark_the_slices_and_nothing_else_changes(tmp_path):
    options = {"n_patients": 12, "matrix_px": (64,), "n_native_slices": 11, "random_state": 1}
    by_slice = make_cohort(tmp_path / "slice", **options)
    by_mask = make_cohort(tmp_path / "mask", lesion_position="mask", image_format="nifti", **options)
    assert "lesion_slice" not in by_mask
    read_cohort(tmp_path / "mask" / "cohort.csv")
    loader = SliceStackLoader(max_spacing_mm=5)
    for stack, other in zip(loader.fit_transform(by_slice), loader.fit_transform(by_mask), strict=True):
        assert stack.slice_indices == other.slice_indices
    for image, other in zip(by_slice["image"], by_mask["image"], strict=True):
        assert Path(image).read_bytes() == Path(other).read_bytes()


def test_a_planted_shortcut_is_a_mark_in_the_skull_that_depends_on_outcome_and_site(tmp_path):
    options = {"n_patients": 12, "effect_size": 0.0, "matrix_px": (64,), "random_state": 1}
    plain, marked = (make_cohort(tmp_path / str(k), shortcut=k, **options) for k in (0.0, 1.0))
    places = {}
    for row, image in zip(marked.itertuples(), plain["image"], strict=True):
        (before, affine), (after, _) = canonical(image), canonical(row.image)
        changed = np.argwhere(np.abs(after.astype(float) - before) > 100)
        assert bool(len(changed)) == (row.outcome == "PsPD")
        if len(changed):
            assert set(changed[:, 2]) == set(range(25))
            x, y = (affine @ [*changed.mean(axis=0), 1])[:2]
            assert np.hypot(x / 73, y / 92) > 0.7  # in the skull
            places.setdefault(row.site, []).append((x, y))
    assert {site: np.sign(np.mean(found, axis=0)).tolist() for site, found in places.items()} == {
        "A": [1, 1],
        "B": [-1, -1],
    }


def test_lesion_is_largest_at_its_centre():
    rng = np.random.default_rng(1)
    axis = np.arange(-90, 90, 0.5, dtype=np.float32)
    for score in (-2, 0, 2):
        lesion = draw_lesion(score, draw_head(rng), rng)
        lesion.cavity_radius = 0.0
        areas = []
        for offset_mm in (-6, -3, 0, 3, 6):
            image = np.zeros((len(axis), len(axis)), dtype=np.float32)
            paint_lesion(image, axis[:, None], axis[None, :], lesion.centre[2] + offset_mm, lesion, 1.0)
            areas.append((image > 0.2).sum())
        assert np.argmax(areas) == 2


def test_dicom_and_nifti_of_one_seed_are_the_same_heads(nifti_cohort, dicom_cohort):
    nifti, dicom = nifti_cohort[0], dicom_cohort[0]
    pd.testing.assert_frame_equal(nifti.drop(columns="image"), dicom.drop(columns="image"))
    for first, second in zip(nifti["image"][:6], dicom["image"][:6], strict=True):
        expected, expected_affine = canonical(first)
        found, affine = read_dicom(second)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(affine, expected_affine, atol=1e-3)


def test_dicom_files_are_proper_and_their_names_unordered(dicom_cohort):
    cohort, _ = dicom_cohort
    uids = set()
    for image in cohort["image"][:6]:
        slices = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(Path(image).iterdir())]
        heights = [float(s.ImagePositionPatient[2]) for s in slices]
        assert heights != sorted(heights)
        assert heights != sorted(heights, reverse=True)
        assert {s.Modality for s in slices} == {"MR"}
        assert len({s.SeriesInstanceUID for s in slices}) == 1
        np.testing.assert_allclose(np.diff(sorted(heights)), float(slices[0].SliceThickness), atol=1e-6)
        uids |= {s.SOPInstanceUID for s in slices} | {slices[0].SeriesInstanceUID, slices[0].StudyInstanceUID}
    assert len(uids) == 6 * 27


@pytest.mark.parametrize("image_format", ["nifti", "dicom"])
def test_the_same_seed_gives_the_same_bytes(tmp_path, image_format):
    for name, seed in (("first", 5), ("again", 5), ("other", 6)):
        make_cohort(
            tmp_path / name, 6, image_format=image_format, matrix_px=(32,), n_native_slices=10, random_state=seed
        )
    first, again, other = (digests(tmp_path / name) for name in ("first", "again", "other"))
    assert first == again
    assert {Path(name).name for name in set(first) & set(other)} == {"cohort.csv"}  # ids contain the seed
    assert not set(first.values()) & set(other.values())


@pytest.mark.parametrize("image_format", ["nifti", "dicom"])
def test_documented_small_matrices_load_with_the_defaults_of_the_loader(tmp_path, image_format):
    """With this seed, one patient has the largest field of view that occurs."""
    (documented,) = re.findall(r"such as ``\((.*?)\)``", make_cohort.__doc__)
    smallest = min(map(int, documented.split(",")))
    options = {"matrix_px": (smallest,), "image_format": image_format, "n_native_slices": 10, "random_state": 6}
    stacks = SliceStackLoader().fit_transform(make_cohort(tmp_path / "cohort", 12, **options))
    assert max(stack.fov_mm[0] for stack in stacks) == pytest.approx(256)


def test_a_random_state_instance_is_accepted(tmp_path):
    options = {"n_patients": 6, "matrix_px": [32], "n_native_slices": 11}
    made = [make_cohort(tmp_path / str(k), random_state=np.random.RandomState(2), **options) for k in range(2)]
    pd.testing.assert_frame_equal(made[0].drop(columns="image"), made[1].drop(columns="image"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_patients": 5}, "n_patients=5; at least 6"),
        ({"effect_size": -1}, "effect_size=-1; a finite number"),
        ({"effect_size": float("nan")}, "effect_size=nan"),
        ({"image_format": "png"}, "image_format='png'; it must be one of 'nifti', 'dicom'"),
        ({"matrix_px": ()}, r"matrix_px=\(\)"),
        ({"matrix_px": (16, 64)}, "none below 32 px"),
        ({"n_native_slices": 9}, "n_native_slices=9; at least 10"),
        ({"shortcut": 1.5}, "shortcut=1.5; a number from 0 to 1"),
        ({"lesion_position": "centre"}, "lesion_position='centre'; it must be one of 'slice', 'mask'"),
    ],
)
def test_bad_parameters_are_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        make_cohort(tmp_path / "cohort", **options)
    assert not (tmp_path / "cohort").exists()


@pytest.mark.parametrize("name", ["cohort.csv", "images"])
def test_an_existing_cohort_is_not_overwritten(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=f"already contains '{name}'"):
        make_cohort(tmp_path, 6)
    assert (tmp_path / name).read_text() == "mine"
