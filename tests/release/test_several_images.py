"""A released model of several images per patient."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from sklearn_pspd import CNNLSTMClassifier, make_fusion_pipeline, split_xy
from sklearn_pspd.__main__ import main
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.release import export_model, load_model, predict_patients


@pytest.fixture(scope="module")
def fitted(flair_cohort, tmp_path_factory):
    # A second further image, of the same examination.
    folder = tmp_path_factory.mktemp("earlier")
    cohort = flair_cohort.assign(earlier=[str(folder / Path(path).name) for path in flair_cohort["flair"]])
    for flair, earlier in zip(cohort["flair"], cohort["earlier"], strict=True):
        image = nib.load(flair)
        nib.save(nib.Nifti1Image(3 * np.asarray(image.dataobj), image.affine), earlier)
    X, y = split_xy(cohort)
    network = CNNLSTMClassifier(filters=(2,), lstm_units=2, dense_units=(2,), epochs=1, random_state=0)
    settings = {"n_slices": 3, "size_px": 8, "clinical": ["age_years"], "further_images": ["earlier", "flair"]}
    return make_fusion_pipeline(network, **settings).fit(X, y), X, y


@pytest.fixture(scope="module")
def folder(fitted, tmp_path_factory):
    model, X, y = fitted
    folder = tmp_path_factory.mktemp("released") / "release"
    export_model(model, folder, X=X, y=y)
    return folder


def test_a_release_knows_its_images(folder, fitted):
    model, X, _ = fitted
    released = load_model(folder)
    assert released.further_images == ("earlier", "flair")
    found = predict_patients(released, X)
    assert found["probability"].to_numpy() == pytest.approx(model.predict_proba(X)[:, 1], abs=1e-3)
    with pytest.raises(InputError, match="column flair: missing"):
        predict_patients(released, X.drop(columns="flair"))
    with pytest.raises(InputError, match="column flair is empty"):
        predict_patients(released, X.assign(flair=None))


def test_a_patient_of_the_command_line(folder, fitted, tmp_path, monkeypatch, capsys):
    model, X, _ = fitted
    monkeypatch.chdir(tmp_path)
    row = X.iloc[0]
    one = ["predict", str(folder), row["image"], "--lesion-slice", str(row["lesion_slice"])]
    one += ["--set", f"age_years={row['age_years']}"]
    assert main([*one, "--further", f"flair={row['flair']}", f"earlier={row['earlier']}"]) == 0
    found = pd.read_csv("pspd-predict/predictions.csv")
    assert found["probability"].item() == pytest.approx(model.predict_proba(X[:1])[0, 1], abs=1e-3)
    page = next(tmp_path.glob("pspd-predict/*.html")).read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3
    capsys.readouterr()
    assert main([*one, "--out", "other", "--further", f"fliar={row['flair']}"]) == 2
    assert "'fliar' is no further image of this model; it reads earlier, flair" in capsys.readouterr().err
    assert main([*one, "--out", "other"]) == 2
    assert "column earlier" in capsys.readouterr().err
