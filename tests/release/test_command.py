"""The command ``pspd predict``, from a DICOM folder to a page."""

import shutil
from pathlib import Path

import pandas as pd
import pydicom
import pytest

from sklearn_pspd import __main__ as command
from sklearn_pspd import make_cohort

VALUES = ["age_years=56", "sex=male", "interval_days=60"]


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """The row of a new patient with a DICOM folder."""
    folder = tmp_path_factory.mktemp("export")
    made = make_cohort(folder, 6, image_format="dicom", matrix_px=(128,), n_native_slices=10, random_state=3)
    return made.iloc[0]


def predict(*arguments):
    return command.main(["predict", *map(str, arguments)])


def test_from_a_dicom_folder_to_a_page(network_folder, patient, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    where = ["--lesion-slice", patient["lesion_slice"]]
    assert predict(network_folder, patient["image"], *where, "--set", *VALUES, "--id", "P7") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("fusion: research software, not a medical device")
    assert all(len(line) <= 100 for line in printed.splitlines())
    table = pd.read_csv("pspd-predict/predictions.csv")
    assert table["patient_id"].tolist() == ["P7"]
    assert f"{table['probability'].item():.2f}" in printed
    page = (tmp_path / "pspd-predict" / "001-P7.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3
    assert "Series check" in page
    for path in (tmp_path / "pspd-predict").iterdir():
        assert patient["patient_id"].encode() not in path.read_bytes(), "the id of the header is in a result"
        assert b"/tmp" not in path.read_bytes()
    # The results of one patient are not mixed with those of another.
    assert predict(network_folder, patient["image"], *where, "--set", *VALUES) == 2
    assert "already holds predictions.csv" in capsys.readouterr().err


def test_the_position_is_given_as_in_no_training_patient(network_folder, patient, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in Path(patient["image"]).iterdir()]
    headers.sort(key=lambda header: header.ImagePositionPatient[2])
    middle = headers[int(patient["lesion_slice"])]
    ways = {"slice": patient["lesion_slice"], "instance": middle.InstanceNumber, "z-mm": middle.ImagePositionPatient[2]}
    for way, value in ways.items():
        where = f"--lesion-{way}={value}"
        assert predict(network_folder, patient["image"], where, "--set", *VALUES, "--out", way) == 0
    by_slice, *others = (pd.read_csv(f"{way}/predictions.csv") for way in ways)
    for other in others:
        pd.testing.assert_frame_equal(by_slice, other)
    capsys.readouterr()
    assert predict(network_folder, patient["image"], "--set", *VALUES, "--out", "none") == 2
    assert "no lesion position is given" in capsys.readouterr().err


def test_a_series_is_chosen_among_others(network_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_cohort("export", 1, layout="export", matrix_px=(128,), n_native_slices=12, random_state=0)
    folder = next(path for path in (tmp_path / "export" / "dicom").iterdir() if path.is_dir())
    studies = [path for path in folder.iterdir() if path.is_dir()]
    rc = predict(network_folder, studies[-1] if studies else folder, "--lesion-slice", 4, "--set", *VALUES)
    shown = capsys.readouterr()
    assert rc == 0, shown.err
    assert "was chosen among" in shown.out.replace("\n", " ")


def test_a_folder_of_several_studies_is_refused_with_the_folders_to_give(network_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_cohort("export", 1, layout="export", matrix_px=(128,), n_native_slices=12, random_state=0)
    folder = next(path for path in Path("export/dicom").iterdir() if path.is_dir())
    for given in (folder, Path("export/dicom")):
        assert predict(network_folder, given, "--lesion-slice", 4, "--set", *VALUES) == 2
        error = capsys.readouterr().err
        assert "give the folder of one study" in error
        named = [line.rpartition(" is in ")[2] for line in error.splitlines() if " is in " in line]
        assert {Path(name).parent for name in named} == {path.resolve() for path in folder.iterdir()}
    assert predict(network_folder, named[0], "--lesion-slice", 4, "--set", *VALUES) == 0


def test_a_table_of_patients(forest_folder, training, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    X, _ = training
    X.head(3).to_csv("new.csv", index=False, sep=";")
    assert predict(forest_folder, "new.csv", "--out", "results") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in X["patient_id"].head(3))
    assert len(list((tmp_path / "results").glob("*.html"))) == 3


def test_a_clinical_model_needs_no_image(forest_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    values = [*VALUES, "mgmt=methylated", "idh=wildtype", "dose_gy=60", "n_fractions=30"]
    assert predict(forest_folder, "--set", *values, "--out", "one") == 0
    assert "\nnew " in capsys.readouterr().out
    assert (tmp_path / "one" / "001-new.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "age_years=old", *VALUES[1:]], "column age_years holds 'old', which is not a number"),
        (["--set", *VALUES[:2]], "column interval_days is empty; give a number from 0 to 10000 days"),
        (["--set", *VALUES, "Sex=male"], "'Sex' is no clinical column of this model; did you mean 'sex'?"),
        (["--set", *VALUES, "sex=female"], "sex is given more than once"),
        (["--set", "age_years", *VALUES[1:]], "write COLUMN=VALUE, for example age_years=56"),
        (["--set", *VALUES, "--lesion-z-mm", "3"], "the lesion position is given more than once"),
    ],
)
def test_what_is_wrong_ends_in_one_message(arguments, message, network_folder, patient, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert predict(network_folder, patient["image"], "--lesion-slice", 5, *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "pspd-predict").exists()


def test_a_tampered_folder_is_refused(forest_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(forest_folder, tmp_path / "copy")
    (folder / "schema.json").write_text("{}")
    assert predict(folder, "--set", *VALUES) == 2
    assert "error: " in capsys.readouterr().err
    assert predict(forest_folder, folder, "--set", *VALUES) == 2
    assert "the model 'forest' reads no images; leave it out" in capsys.readouterr().err
