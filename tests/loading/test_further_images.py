"""Several images per patient: read from one grid, refused otherwise, and never taken for anything else."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from head_files import HEAD, MIDDLE, table, write_dicom, write_nifti
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from sklearn_pspd import (
    CNNLSTMClassifier,
    audit_leaks,
    load_pipeline,
    make_fusion_pipeline,
    make_image_pipeline,
    negative_control,
    read_cohort,
    save_pipeline,
    split_xy,
)
from sklearn_pspd.baselines import baseline_models
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader, image_findings
from sklearn_pspd.preprocessing import SliceStandardizer


@pytest.fixture(scope="module")
def folder(flair_cohort):
    return Path(flair_cohort["image"][0]).parents[1]


@pytest.fixture
def cohort(folder):
    return read_cohort(folder / "cohort.csv", further_images=["flair"])


@pytest.fixture(name="X")
def table_without_outcomes(cohort):
    return split_xy(cohort)[0]


@pytest.fixture(scope="module")
def network():
    return CNNLSTMClassifier(filters=(4,), pooling="average", epochs=1, random_state=0)


def with_flair(X, row, path):
    X = X.copy()
    X.iloc[row, X.columns.get_loc("flair")] = None if path is None else str(path)
    return X


def rewritten(path, folder, change):
    """Return the file of a changed copy of an image; `change` maps voxels and affine to others."""
    image = nib.load(path)
    voxels, affine = change(np.asarray(image.dataobj), image.affine.copy())
    copy = folder / "changed.nii.gz"
    nib.save(nib.Nifti1Image(voxels, affine), copy)
    return copy


def test_slices_of_every_image_are_those_around_the_lesion(X):
    both, first = (SliceStackLoader(further_images=names).transform(X) for names in (["flair"], ()))
    second = SliceStackLoader().transform(X.assign(image=X["flair"]))
    for stack, one, other in zip(both, first, second, strict=True):
        assert (stack.n_images, one.n_images) == (2, 1)
        np.testing.assert_array_equal(stack.images, [one.pixels, other.pixels])
        assert stack.further_sources == (other.source,)


def test_a_further_image_may_be_stored_in_another_orientation(X, tmp_path):
    def turn(voxels, affine):
        turned = nib.as_closest_canonical(nib.Nifti1Image(voxels, affine)).as_reoriented([[2, -1], [0, 1], [1, -1]])
        return np.asarray(turned.dataobj), turned.affine

    turned = with_flair(X, 0, rewritten(X["flair"].iloc[0], tmp_path, turn))
    expected, found = (SliceStackLoader(further_images=["flair"]).transform(table)[0] for table in (X, turned))
    np.testing.assert_array_equal(found.pixels, expected.pixels)


def shifted(voxels, affine):
    affine[0, 3] += 0.5 * affine[0, 0]
    return voxels, affine


def rotated(voxels, affine):
    turn = np.radians(2)
    affine[:2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]] @ affine[:2]
    return voxels, affine


def cut(voxels, affine):
    return voxels[:, :, 1:], affine


def not_finite(voxels, affine):
    voxels = voxels.astype(np.float32)
    voxels[64, 64] = np.nan
    return voxels, affine


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (shifted, "register and resample it to the grid of that image"),
        (rotated, "different grid"),
        (cut, "different grid"),
        (not_finite, "non-finite"),
    ],
)
def test_an_image_on_another_grid_is_refused(X, tmp_path, change, reason):
    wrong = with_flair(X, 2, rewritten(X["flair"].iloc[2], tmp_path, change))
    with pytest.raises(InputError, match=reason) as error:
        SliceStackLoader(further_images=["flair"]).transform(wrong)
    assert f"patient {X['patient_id'].iloc[2]}: " in str(error.value)
    assert "changed.nii.gz" in str(error.value)


def test_all_patients_with_wrong_further_images_are_listed_at_once(X, tmp_path):
    wrong = with_flair(X, 0, None)
    wrong = with_flair(wrong, 1, tmp_path / "nowhere.nii")
    wrong = with_flair(wrong, 2, X["image"].iloc[2])
    wrong = with_flair(wrong, 3, rewritten(X["flair"].iloc[3], tmp_path, shifted))
    table = SliceStackLoader(further_images=["flair"]).inspect(wrong)
    reasons = ["column 'flair' is empty", "does not exist", "same pixels as another image", "different grid"]
    for problem, reason in zip(table["problem"], reasons, strict=False):
        assert reason in problem
    assert not table["problem"].iloc[4:].any()


def test_the_problems_of_all_images_of_a_patient_are_listed_at_once(X, tmp_path):
    """Also if the first image cannot be read, with which the others are compared."""
    damaged = [tmp_path / "post.nii.gz", tmp_path / "flair.nii.gz"]
    for path in damaged:
        path.write_bytes(Path(X["image"].iloc[0]).read_bytes()[:300])
    missing = [tmp_path / "no_post.nii", tmp_path / "no_flair.nii"]
    wrong = with_flair(X, 0, damaged[1])
    wrong = with_flair(wrong, 1, missing[1])
    wrong.loc[wrong.index[:2], "image"] = [str(damaged[0]), str(missing[0])]
    table = SliceStackLoader(further_images=["flair"]).inspect(wrong)
    for problem, paths in zip(table["problem"], (damaged, missing), strict=False):
        assert all(path.name in problem for path in paths), problem
    assert not table["problem"].iloc[2:].any()


def series(folder, frame, plane="axial", voxels=HEAD, description=""):
    def change(header, index):
        header.FrameOfReferenceUID, header.SeriesDescription = frame, description
        header.SeriesInstanceUID = f"1.2.3.{len(folder.name)}"

    return write_dicom(folder, plane, voxels=voxels, change=change)


@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_dicom_images_have_one_frame_of_reference(tmp_path, plane):
    first = series(tmp_path / "post", "1.2.8")
    flair = series(tmp_path / "flair", "1.2.8", plane, 2 * HEAD, "t2_tirm_tra_dark-fluid")
    other = series(tmp_path / "other", "1.2.9", plane, 2 * HEAD)
    converted = write_nifti(tmp_path / "flair.nii.gz", voxels=2 * HEAD)
    X = table(first, first, first, lesion_slice=MIDDLE, flair=[flair, converted, other])
    loader = SliceStackLoader(n_slices=5, further_images=("flair",))
    for stack in loader.transform(X[:2]):
        np.testing.assert_array_equal(stack.images[1], 2 * stack.images[0])
    inspected = loader.inspect(X)
    assert "another frame of reference" in inspected["problem"][2]
    assert inspected["problem"][:2].tolist() == ["", ""]


def test_further_images_of_another_kind_than_at_the_rest_of_the_site_are_found(X):
    inspected = SliceStackLoader(further_images=["flair"]).inspect(X)
    inspected["further_images"] = ["flair: T1 (spin echo)", *["flair: T2"] * (len(X) - 1)]
    found = image_findings(inspected, cohort=X.assign(site="A"))
    (finding,) = found[found["finding"] == "further images differ from the other patients of the site"].itertuples()
    assert finding.patient_id == X["patient_id"].iloc[0]
    assert "flair: T2 in 15 of 16 patients" in finding.detail


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("flair", "must be a sequence"),
        (["image"], "another meaning"),
        (["lesion_mask"], "another meaning"),
        (["flair", "flair"], "more than once"),
        ([7], "no name of a column"),
    ],
)
def test_names_of_further_images_are_checked(folder, names, reason):
    with pytest.raises(InputError, match=reason):
        read_cohort(folder / "cohort.csv", further_images=names)
    with pytest.raises(InputError, match=reason):
        make_image_pipeline(further_images=names)


def test_a_table_without_the_column_or_with_wrong_paths_is_refused(folder, tmp_path):
    table = pd.read_csv(folder / "cohort.csv", dtype=str)
    table["image"] = [str(folder / path) for path in table["image"]]
    table["flair"] = ["", "gone.nii", *(str(folder / path) for path in table["flair"][2:])]
    table.to_csv(tmp_path / "cohort.csv", index=False)
    with pytest.raises(InputError, match="has 2 problems") as error:
        read_cohort(tmp_path / "cohort.csv", further_images=["flair"])
    assert "column flair is empty" in str(error.value)
    assert "gone.nii' does not exist" in str(error.value)
    with pytest.raises(InputError, match="column subtraction: missing"):
        read_cohort(folder / "cohort.csv", further_images=["subtraction"])


def test_the_cache_knows_the_further_image(X, tmp_path):
    loader = SliceStackLoader(further_images=["flair"], memory=tmp_path / "cache")
    image = rewritten(X["flair"].iloc[0], tmp_path, lambda voxels, affine: (voxels, affine))
    row = with_flair(X, 0, image).iloc[:1]
    first = loader.transform(row)[0]
    np.testing.assert_array_equal(loader.transform(row)[0].pixels, first.pixels)
    assert loader.transform(row)[0].further_sources == (str(image),)
    rewritten(X["flair"].iloc[1], tmp_path, lambda voxels, affine: (voxels, nib.load(X["flair"].iloc[0]).affine))
    os.utime(image, (1, 1))
    assert not np.array_equal(loader.transform(row)[0].pixels, first.pixels)
    assert SliceStackLoader(memory=tmp_path / "cache").transform(row)[0].n_images == 1


def test_the_whole_pipeline_follows_the_loader(cohort, network, tmp_path):
    X, y = split_xy(cohort)
    given = make_fusion_pipeline(network, size_px=16, further_images=["flair"]).fit(X, y)
    later = make_fusion_pipeline(network, size_px=16)
    later.set_params(features__mri__load__further_images=["flair"]).fit(X, y)
    assert given["classifier"].n_images == later["classifier"].n_images == 2
    assert later["features"].named_transformers_["mri"]["standardize"].n_images == 2
    np.testing.assert_array_equal(given.predict_proba(X), later.predict_proba(X))
    # What the further image holds matters, and saving changes nothing.
    exchanged = X.assign(image=X["flair"], flair=X["image"])
    assert not np.allclose(given.predict_proba(exchanged), given.predict_proba(X))
    save_pipeline(given, tmp_path / "model.skops")
    np.testing.assert_array_equal(load_pipeline(tmp_path / "model.skops").predict_proba(X), given.predict_proba(X))
    one = later.set_params(features__mri__load__further_images=())
    assert one["classifier"].n_images == 1
    with pytest.raises(InputError, match="features__mri__load__further_images"):
        one.set_params(classifier__n_images=2)


def test_each_image_is_standardised_by_itself():
    stacks = np.random.default_rng(0).normal(size=(3, 6, 5, 4)).astype(np.float32)
    stacks[:, 3:] = 100 + 10 * stacks[:, 3:]
    together = SliceStandardizer(scope="stack", n_images=2).fit_transform(stacks)
    parts = [SliceStandardizer(scope="stack").fit_transform(part) for part in (stacks[:, :3], stacks[:, 3:])]
    np.testing.assert_allclose(together, np.concatenate(parts, axis=1), rtol=1e-6)
    with pytest.raises(InputError, match="n_images=4"):
        SliceStandardizer(n_images=4).fit_transform(stacks)


def test_image_baselines_have_the_features_of_every_image(cohort, tmp_path):
    X, y = split_xy(cohort)
    names = ["MRI principal components", "MRI frozen features"]
    settings = {"size_px": 16, "n_slices": 3, "random_state": 0}
    for name in names:
        one, both = (
            baseline_models([name], further_images=further, **settings)[name].fit(X, y) for further in ((), ["flair"])
        )
        if name == "MRI frozen features":
            n_features = [model["features"].transform(X).shape[1] for model in (one, both)]
            assert n_features[1] == 2 * n_features[0]
        assert not np.allclose(one.predict_proba(X), both.predict_proba(X))


def test_radiomics_features_of_a_further_image_are_named_by_its_column(X):
    pytest.importorskip("numpyradiomics")
    settings = {"size_px": 24, "n_slices": 3}
    both = baseline_models(["MRI radiomics"], further_images=["flair"], **settings)["MRI radiomics"]
    extractor = both["features"].transformers[0][1]["extract"].fit(X)
    table = pd.DataFrame(extractor.transform(X), columns=extractor.get_feature_names_out())
    further = [name for name in table if name.startswith("flair_")]
    alone = baseline_models(["MRI radiomics"], **settings)["MRI radiomics"]["features"].transformers[0][1]["extract"]
    exchanged = alone.fit_transform(X.assign(image=X["flair"]))
    np.testing.assert_array_equal(table[further].to_numpy(), exchanged)
    assert len(further) * 2 == table.shape[1]


def test_two_patients_with_the_same_further_image_are_found(cohort, tmp_path):
    X, y = split_xy(cohort)
    # A mirrored copy of another patient's pixels, on this patient's grid.
    other = np.asarray(nib.as_closest_canonical(nib.load(X["flair"].iloc[1])).dataobj)
    image = nib.as_closest_canonical(nib.load(X["image"].iloc[0]))
    shift = int(X["lesion_slice"].iloc[1] - X["lesion_slice"].iloc[0])
    copy = np.roll(other, -shift, axis=2)[::-1]
    nib.save(nib.Nifti1Image(copy, image.affine), tmp_path / "copy.nii.gz")
    X = with_flair(X, 0, tmp_path / "copy.nii.gz")
    found = audit_leaks(X, y, loader=SliceStackLoader(n_slices=1, further_images=["flair"]))
    (finding,) = found[found["finding"] == "same pixels (flair)"].to_dict("records")
    assert finding["patients"] == ", ".join(X["patient_id"].iloc[:2])


seen = []


class Watching(ClassifierMixin, BaseEstimator):
    """Says by its parameters which images it reads, and keeps the tables that it is given."""

    def __init__(self, load=None):
        self.load = load

    def fit(self, X, y):
        seen.append(X)
        self.model_ = LogisticRegression().fit(X[["age_years"]], y)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        return self.model_.predict_proba(X[["age_years"]])


def test_permuted_clinical_values_leave_every_image_with_its_patient(cohort):
    X, y = split_xy(cohort)

    model = Watching(load=SliceStackLoader(further_images=["flair"]))
    seen.clear()
    negative_control(model, X, y, n_permutations=1, cv=2, permute="clinical", random_state=0)
    together = {(image, flair) for image, flair in zip(X["image"], X["flair"], strict=True)}
    assert all(set(zip(table["image"], table["flair"], strict=True)) <= together for table in seen)
    ages = X.set_index("image")["age_years"]
    assert any((table.set_index("image")["age_years"] != ages.loc[table["image"]]).any() for table in seen)


def test_images_of_the_command_line(folder, capsys):
    from sklearn_pspd.__main__ import main

    table = str(folder / "cohort.csv")
    assert main(["check", table, "--further-images", "flair"]) == 0
    assert "Leakage checks" in capsys.readouterr().out
    assert main(["check", table, "--further-images", "t2"]) == 2
    assert "column t2: missing" in capsys.readouterr().err
