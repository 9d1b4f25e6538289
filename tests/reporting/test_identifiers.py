"""Names, birth dates and paths that were planted in the files of a study."""

import json
import zipfile
from pathlib import Path

import pandas as pd
import pydicom
import pytest
from dicom_trees import write_images

from sklearn_pspd import read_cohort
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.reporting import find_identifiers, write_report, write_tables


@pytest.fixture
def cohort(tmp_path):
    """Two patients with DICOM series and one with a NIfTI file that does not exist any more."""
    people = {"P01": ("Okonkwo^Adaeze", "19600131", "4711-88"), "P02": ("P02", "", "P02")}
    for patient, (name, date, number) in people.items():
        folder = tmp_path / "images" / patient
        write_images(folder, "20200101", "T1", n_slices=2)
        for path in folder.iterdir():
            header = pydicom.dcmread(path)
            header.PatientName, header.PatientBirthDate, header.PatientID = name, date, number
            header.save_as(path)
    images = [str(tmp_path / "images" / patient) for patient in people] + [str(tmp_path / "gone.nii.gz")]
    return pd.DataFrame({"patient_id": ["P01", "P02", "P03"], "image": images})


@pytest.fixture
def results(tmp_path):
    (tmp_path / "results" / "models").mkdir(parents=True)
    return tmp_path / "results"


def found(folder, cohort=None):
    table = find_identifiers(folder, cohort)
    assert list(table.columns) == ["file", "line", "finding", "patient_id", "detail"]
    return [tuple(row) for row in table[["file", "line", "finding", "patient_id"]].to_numpy().tolist()]


def test_a_study_has_none(quick, cohort_folder, tmp_path):
    write_report(quick, tmp_path)
    write_tables(quick, tmp_path)
    assert found(tmp_path, read_cohort(cohort_folder / "cohort.csv")) == []


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("Adaeze Okonkwo", "patient name"),
        ("OKONKWO^ADAEZE", "patient name"),
        ("okonkwo, adaeze", "patient name"),
        ("Okonkwo", "part of a patient name"),
        ("born 1960-01-31", "birth date"),
        ("born 31.01.1960", "birth date"),
        ("01/31/1960", "birth date"),
        ("series_19600131_2", "birth date"),
        ("4711-88", "patient id of an image header"),
    ],
)
def test_planted_identifiers_are_found(results, cohort, text, finding):
    (results / "scores.csv").write_text(f"patient_id,y_score\nP01,0.5\n{text},0.4\n")
    rows = found(results, cohort)
    assert ("scores.csv", 3, finding, "P01") in rows
    assert all(row[1] == 3 for row in rows)
    assert text not in find_identifiers(results, cohort).to_csv()


def test_what_identifies_nobody_is_not_found(results, cohort):
    (results / "scores.csv").write_text("P01,0.5\nP02,0.4\n119600131,0\nokonkwoa,adaezes\n4711-880,14711-88\n")
    assert found(results, cohort) == []
    assert found(results) == []


@pytest.mark.parametrize(
    "path",
    [
        "/home/jane/study/cohort.csv",
        "/data/T1",
        "C:\\Users\\jane\\cohort.csv",
        "D:/data/cohort.csv",
        "\\\\server\\share\\cohort.csv",
        "file:///srv/cohort.csv",
    ],
)
def test_absolute_paths_are_found_in_every_kind_of_text(results, path):
    (results / "study.json").write_text(json.dumps({"table": path, "folds": 5}, indent=1))
    (results / "models" / "a.html").write_text(f"<p>read from {path}</p>")
    with zipfile.ZipFile(results / "models" / "b.skops", "w") as archive:
        archive.writestr("schema.json", json.dumps({"memory": path}))
    assert {row[:3] for row in found(results)} == {
        ("models/a.html", 1, "absolute path"),
        ("models/b.skops!schema.json", 1, "absolute path"),
        ("study.json", 2, "absolute path"),
    }


def test_what_is_no_path(results):
    text = "1/3, mean / max, and/or, kg/m2, ROC/AUC/F1, https://example.org/a/b, image/png\n</p></td>, 10:/5, a//b/c\n"
    (results / "report.txt").write_text(text)
    (results / "report.html").write_text('<img src="data:image/png;base64,+/home/abc+/data/x=">')
    assert found(results) == []


def test_an_id_that_is_a_name_is_found(results, cohort):
    cohort = cohort.assign(patient_id=["Okonkwo^Adaeze", "P02", "P03"])
    (results / "scores.csv").write_text("Okonkwo^Adaeze,0.5\n")
    assert ("scores.csv", 1, "patient name", "Okonkwo^Adaeze") in found(results, cohort)


@pytest.mark.parametrize(
    ("name", "text", "findings"),
    [
        ("Okonkwo^Adaeze2", "Okonkwo", ["patient name"]),
        ("UPENN-GBM-001", "UPENN GBM", []),
        ("Subject^12", "Subject 12", []),
        ("Anonymous", "Anonymous", []),
        ("Forest^Ann", "a random forest", []),
        ("Li^Bo", "Bo Li", ["patient name"]),
        ("Li^Bo", "Li, who", []),
    ],
)
def test_pseudonyms_and_words_are_no_names(results, cohort, name, text, findings):
    for path in (results.parent / "images" / "P01").iterdir():
        header = pydicom.dcmread(path)
        header.PatientName = name
        header.save_as(path)
    (results / "report.txt").write_text(text)
    assert [row[2] for row in found(results, cohort)] == findings


def test_headers_of_further_images_and_masks_are_read(results, cohort):
    """Images may be pseudonyms while a mask or a further series still has the name."""
    (results / "report.txt").write_text("Adaeze Okonkwo")
    for column in ("flair", "lesion_mask"):
        table = cohort.assign(image=cohort["image"].iloc[2], **{column: [cohort["image"].iloc[0], None, float("nan")]})
        assert [row[2] for row in found(results, table)] == ["patient name", "part of a patient name"]


@pytest.mark.parametrize("name", ["calibration.json", "forest.skops"])
def test_a_folder_that_another_process_replaces_meanwhile(results, name, monkeypatch):
    partial = results / ".models.x.part"
    partial.mkdir()
    (results / "models").rmdir()
    with zipfile.ZipFile(partial / "forest.skops", "w") as archive:
        archive.writestr("schema.json", "/home/jane/model")
    (partial / "calibration.json").write_text("/home/jane/cohort.csv")
    opened = Path.open

    def replaced(path, *arguments, **settings):
        if path == partial / name:
            partial.replace(results / "models")
        return opened(path, *arguments, **settings)

    monkeypatch.setattr(Path, "open", replaced)
    files = ["models/calibration.json", "models/forest.skops!schema.json"]
    assert [row[0] for row in found(results)] == files


def test_no_such_folder(tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        find_identifiers(tmp_path / "absent")
