"""The report of studies that differ: tuned, repeated, without an external set, with findings and missing values."""

import re

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sklearn_pspd import SequentialSearchCV, Study, make_clinical_pipeline, make_image_pipeline, read_cohort
from sklearn_pspd.reporting import checklist, methods_text, write_report, write_tables
from sklearn_pspd.reporting.models import image_sentence
from sklearn_pspd.reporting.tables import report_tables


@pytest.fixture(scope="module")
def cohort(cohort_folder):
    return read_cohort(cohort_folder / "cohort.csv")


def logistic(**parameters):
    return make_clinical_pipeline(LogisticRegression(), **parameters)


def page_of(result, folder):
    write_report(result, folder)
    write_tables(result, folder)
    return (folder / "report.html").read_text()


@pytest.mark.filterwarnings("ignore:.*the smallest fold has")
def test_tuned_models(cohort, tmp_path):
    sequence = {"classifier__C": [0.1, 1.0]}
    models = {
        "in sequence": SequentialSearchCV(logistic(), sequence, max_epochs=None, cv=2, random_state=0),
        "grid": GridSearchCV(logistic(), sequence, cv=2, scoring="neg_log_loss"),
    }
    result = Study(cohort, models, cv=2).run()
    page = page_of(result, tmp_path)
    assert '<section id="tuning"' in page
    assert "Tuning of in sequence" in page
    assert "tuning" in report_tables(result)
    text = " ".join(methods_text(result).split())
    assert "Logistic regression (LogisticRegression). Tuned inside each training fold, one parameter after" in text
    assert "Tuned inside each training fold (GridSearchCV)" in text
    assert "epochs" not in text
    assert "in sequence" in checklist(result, "claim").set_index("item").loc["26", "text"]


def test_repeats_and_no_external_set(cohort, tmp_path):
    result = Study(cohort, {"logistic": logistic()}, cv=2, n_repeats=2, test_site=False).run()
    page = page_of(result, tmp_path)
    sections = re.findall(r'<section id="([^"]+)"', page)
    assert "external-uses" not in sections
    assert "2 repeats of 2 folds" in methods_text(result)
    assert "No site was held out." in methods_text(result)
    assert "performance at other sites is unknown" in page
    assert "tests AUC, CV" not in report_tables(result)


def test_findings_and_missing_values(cohort, tmp_path):
    table = cohort.copy()
    inside = table.index[table["site"] != "B"]
    table.loc[inside[1], "image"] = table.loc[inside[0], "image"]
    table.loc[inside[:3], "age_years"] = np.nan
    table["dose_gy"] = 60.0
    models = {"logistic": logistic(missing="median")}
    result = Study(table, models, missing="median", cv=2).run()
    assert len(result.findings)
    page = page_of(result, tmp_path)
    tables = report_tables(result)
    assert {"leakage", "missing values", "columns not used"} <= set(tables)
    row = tables["missing values"].frame.set_index("column").loc["age_years"]
    assert row["missing"] == "3"
    assert tables["columns not used"].frame.to_numpy().tolist() == [["dose_gy", "one value only", "60.0"]]
    assert all(str(patient) in page for patient in table.loc[inside[:2], "patient_id"])
    assert "Leakage checks: 1 finding to look at" in page
    assert "replaced by the median of the training fold" in " ".join(methods_text(result).split())


def test_a_fold_with_one_outcome(cohort, tmp_path):
    training = cohort[cohort["site"] != "B"]
    order = np.argsort(training["outcome"].to_numpy(), kind="stable")
    splits = [(np.setdiff1d(order, test), test) for test in np.array_split(order, 3)]
    result = Study(cohort, {"logistic": logistic()}, cv=splits).run()
    page = page_of(result, tmp_path)
    assert "There is no AUC; " in page
    assert "<td>undefined</td>" in page
    assert not re.search(r"(undefined|not estimable) \(", page)


def test_methods_name_every_image_of_a_patient():
    models = {"both": make_image_pipeline(further_images=["flair", "earlier"]), "one": make_image_pipeline()}
    text = image_sentence(models)
    assert "both: 9 axial slices per patient of the image and of flair and earlier, registered on one grid" in text
    assert "one: 9 axial slices per patient, adjacent slices of the image" in text
