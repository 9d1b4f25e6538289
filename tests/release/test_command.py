"""The command ``pspd predict``, from a DICOM folder to a page."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pydicom
import pytest

from sklearn_pspd import __main__ as command
from sklearn_pspd import export_model, load_model, make_clinical_pipeline, make_cohort

VALUES = ["age_years=56", "sex=male", "interval_days=60"]


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """The row of a new patient with a DICOM folder."""
    folder = tmp_path_factory.mktemp("export")
    made = make_cohort(folder, 6, image_format="dicom", matrix_px=(128,), n_native_slices=10, random_state=3)
    return made.iloc[0]


@pytest.fixture(scope="module")
def median_folder(training, tmp_path_factory):
    """A released clinical model that takes medians for missing numbers."""
    X, y = training
    X = X.assign(dose_gy=60.0)
    forest = make_clinical_pipeline(missing="median", random_state=0).set_params(classifier__n_estimators=5)
    folder = tmp_path_factory.mktemp("median") / "release"
    export_model(forest.fit(X, y), folder, X=X, y=y)
    return folder


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


def test_a_decimal_mark_holds_for_values_too(forest_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    others = ["sex=male", "mgmt=methylated", "idh=wildtype", "n_fractions=30", "interval_days=60"]
    assert predict(forest_folder, "--set", *others, "dose_gy=59.4", "age_years=48.5", "--out", "point") == 0
    values = ["dose_gy=59,4", "age_years=48,5"]
    assert predict(forest_folder, "--set", *others, *values, "--decimal", ",", "--out", "comma") == 0
    point, comma = (pd.read_csv(f"{folder}/training_distance.csv") for folder in ("point", "comma"))
    pd.testing.assert_frame_equal(point, comma)
    capsys.readouterr()


def test_a_value_that_is_left_out_is_said(median_folder, training, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    values = [*VALUES, "mgmt=unknown", "idh=wildtype", "n_fractions=30"]
    assert predict(median_folder, "--set", *values, "--id", "P7") == 0
    said = "dose_gy is missing: computed with the training median, 60 Gy"
    assert said in " ".join(capsys.readouterr().out.split())
    row = pd.read_csv("pspd-predict/predictions.csv").iloc[0]
    assert row["imputed"].split("; ")[1:] == [said]
    assert row["imputed"].startswith("mgmt is unknown: computed with a code halfway between")
    page = Path("pspd-predict/001-P7.html").read_text(encoding="utf-8")
    assert page.index(said) < page.index("<svg")
    # A table with an empty cell says the same as a value that is left out.
    given = dict(value.split("=") for value in values)
    training[0].head(2).assign(**given, dose_gy=["", 60]).to_csv("new.csv", index=False)
    assert predict(median_folder, "new.csv", "--out", "table") == 0
    assert said in " ".join(capsys.readouterr().out.split())
    assert pd.read_csv("table/predictions.csv")["imputed"].tolist() == [row["imputed"], row["imputed"].split("; ")[0]]


def test_no_image_is_refused_with_advice_to_change_the_model(network_folder, patient, tmp_path, monkeypatch, capsys):
    """Settings of the loader, of which messages of a training advise to change one, are those of the release."""
    monkeypatch.chdir(tmp_path)
    flair = Path(shutil.copytree(patient["image"], "flair"))
    for path in flair.iterdir():
        header = pydicom.dcmread(path)
        header.RepetitionTime, header.EchoTime, header.InversionTime = 9000, 120, 2500
        header.ScanningSequence, header.SequenceVariant = ["SE", "IR"], "SK"
        header.save_as(path)
    coarse = make_cohort("coarse", 6, matrix_px=(100,), n_native_slices=10, random_state=3).iloc[0]["image"]
    last = len(list(flair.iterdir())) - 1
    cases = {
        (flair, 4): "give the post-contrast T1 series",
        (coarse, 4): "use a finer series",
        (patient["image"], last): "are needed: correct the position",
    }
    settings = load_model(network_folder).model["features"].get_params()
    names = [name.removeprefix("mri__load__") for name in settings if name.startswith("mri__load__")]
    assert {"allow_sequence", "max_spacing_mm", "n_slices"} <= set(names)
    for (image, lesion_slice), advice in cases.items():
        assert predict(network_folder, image, "--lesion-slice", lesion_slice, "--set", *VALUES) == 2
        error = capsys.readouterr().err
        assert error.endswith(f"{advice}\n")
        assert not [name for name in names if re.search(rf"(set|increase|reduce|as) {name}\\b", error)]
        assert "SliceStackLoader" not in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "age_years=old", *VALUES[1:]], "column age_years holds 'old', which is not a number"),
        (["--set", *VALUES[:2]], "column interval_days is empty; give a number from 0 to 10000 days"),
        (["--set", *VALUES, "Sex=male"], "'Sex' is no clinical column of this model; did you mean 'sex'?"),
        (["--set", *VALUES, "sex=female"], "sex is given more than once"),
        (
            ["--set", "age_years=48,5", *VALUES[1:]],
            "not a number; if its comma is a decimal one, write 48.5",
        ),
        (["--set", "age_years=48.5", *VALUES[1:], "--decimal", ","], "not a number; with --decimal , write 48,5"),
        (["--set", "age_years=1.048,5", *VALUES[1:], "--decimal", ","], "holds '1.048,5', which is not a number\n"),
        (["--set", "age_years=1,048,5", *VALUES[1:]], "holds '1,048,5', which is not a number\n"),
        (["--set", "age_years=48,sex=male"], "'age_years=48,sex=male' holds several values; separate them by blanks"),
        (["--set", "age_years", *VALUES[1:]], "write COLUMN=VALUE, for example age_years=56"),
        (["--set", *VALUES, "--lesion-z-mm", "3"], "the lesion position is given more than once"),
    ],
)
def test_what_is_wrong_ends_in_one_message(arguments, message, network_folder, patient, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert predict(network_folder, patient["image"], "--lesion-slice", 5, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "the table" not in error
    assert not (tmp_path / "pspd-predict").exists()


def test_a_tampered_folder_is_refused(forest_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(forest_folder, tmp_path / "copy")
    (folder / "schema.json").write_text("{}")
    assert predict(folder, "--set", *VALUES) == 2
    assert "error: " in capsys.readouterr().err
    assert predict(forest_folder, folder, "--set", *VALUES) == 2
    assert "the model 'forest' reads no images; leave it out" in capsys.readouterr().err
