"""Predictions of new patients: probabilities, spread, ranges, and the pages with them."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from sklearn_pspd import export_model, load_model, make_clinical_pipeline, make_cohort, predict_patients
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.release import training_distance, write_predictions
from sklearn_pspd.release.command import predictions_text
from sklearn_pspd.release.prediction import _without_settings
from sklearn_pspd.release.sentences import decimals_of, interval_text, patients_with
from sklearn_pspd.statistics import venn_abers

PATIENT = {
    "patient_id": "new",
    "age_years": 50,
    "sex": "male",
    "mgmt": "methylated",
    "idh": "wildtype",
    "dose_gy": 60.0,
    "n_fractions": 30,
    "interval_days": 60,
}


@pytest.fixture(scope="module")
def forest(forest_folder):
    return load_model(forest_folder)


@pytest.fixture(scope="module")
def ensemble(network_folder):
    return load_model(network_folder)


@pytest.fixture(scope="module")
def newcomers(tmp_path_factory):
    """New patients with DICOM folders, in a larger matrix than the training patients have."""
    folder = tmp_path_factory.mktemp("new")
    made = make_cohort(folder, 6, image_format="dicom", matrix_px=(160,), n_native_slices=10, random_state=9)
    return made.drop(columns=["outcome", "site"]).head(2)


def test_a_clinical_model(forest):
    row = predict_patients(forest, pd.DataFrame([PATIENT])).iloc[0]
    probability = forest.model.predict_proba(pd.DataFrame([PATIENT]))[0, 1]
    assert row["probability"] == probability
    assert row["predicted_class"] == ("PsPD" if probability >= forest.threshold else "PD")
    assert (row["outside_training"], row["slices"], row["n_members"]) == ("", "", 1)
    assert row["abstains"] is pd.NA
    kept = forest.calibration
    logit = np.log(np.array([*kept["y_score"], probability]) / (1 - np.array([*kept["y_score"], probability])))
    expected = venn_abers(kept["y_true"], logit[:-1], logit[-1:]).iloc[0]
    assert (row["calibrated_low"], row["calibrated_high"]) == pytest.approx((expected["low"], expected["high"]))


def test_an_ensemble(ensemble, newcomers):
    table = predict_patients(ensemble, newcomers)
    assert table["patient_id"].tolist() == newcomers["patient_id"].tolist()
    members = ensemble.model["classifier"].member_probabilities(ensemble.model[:-1].transform(newcomers))[:, :, 1]
    np.testing.assert_allclose(table["lowest_member"], members.min(axis=0), atol=1e-6)
    np.testing.assert_allclose(table["highest_member"], members.max(axis=0), atol=1e-6)
    np.testing.assert_allclose(table["sd_of_members"], members.std(axis=0, ddof=1), atol=1e-6)
    assert (table["n_members"] == 2).all()
    for slices, middle in zip(table["slices"], newcomers["lesion_slice"], strict=True):
        assert [int(number) for number in slices.split()] == [middle - 1, middle, middle + 1]
    assert table["outside_training"].str.contains(r"height 160 px \(training 128\)").all()


def test_values_outside_the_training_ranges_are_said(forest, training):
    highest = training[0]["age_years"].max()
    old = pd.DataFrame([{**PATIENT, "age_years": 97}, {**PATIENT, "patient_id": "edge", "age_years": highest}])
    distance = training_distance(forest, old).set_index(["patient_id", "name"])
    row = distance.loc[("new", "age_years")]
    assert (row["comparison"], row["consequence"]) == ("above", f"the model computes with {highest}")
    assert distance.loc[("edge", "age_years"), "comparison"] == "inside"
    table = predict_patients(forest, old)
    assert table["outside_training"].tolist()[0].startswith("age_years 97 years (training ")
    assert table["outside_training"].tolist()[1] == ""
    # What is said is what happens.
    clipped = predict_patients(forest, pd.DataFrame([{**PATIENT, "age_years": highest}]))
    assert table["probability"].iloc[0] == clipped["probability"].iloc[0]


def test_a_category_that_no_training_patient_had(training, tmp_path):
    X, y = training
    wild = (X["idh"] == "wildtype").to_numpy()
    model = make_clinical_pipeline(LogisticRegression(), missing="median").fit(X[wild], y[wild])
    released = export_model(model, tmp_path / "release", X=X[wild], y=y[wild])
    mutated = pd.DataFrame([{**PATIENT, "idh": "mutated", "age_years": None}])
    distance = training_distance(released, mutated).set_index("name")
    assert distance.loc["idh", "comparison"] == "not seen in training"
    imputed = f"the training median, {X['age_years'][wild].median():g} years"
    assert distance.loc["age_years", ["comparison", "imputed", "consequence"]].tolist() == [
        "missing",
        imputed,
        f"no training patient lacked it; the model computes with {imputed}",
    ]
    assert distance.loc["idh", "consequence"].endswith("computes with the nearest code that they had")
    unknown = training_distance(released, mutated.assign(mgmt="unknown")).set_index("name")
    halfway = "a code halfway between unmethylated and methylated"
    assert unknown.loc["mgmt", "consequence"].endswith(f"computes with {halfway}")
    page = write_predictions(released, mutated, tmp_path / "out")["page"].item()
    assert "No training patient had idh mutated (training: wildtype)" in (tmp_path / "out" / page).read_text()
    assert predict_patients(released, mutated)["outside_training"].item() == "idh mutated (not seen in training)"


@pytest.fixture(scope="module")
def with_gaps(training):
    """Training patients of whom some lack the dose; nobody lacks another number."""
    X, y = training
    return X.assign(dose_gy=X["dose_gy"].where(np.arange(len(X)) % 5 != 0)), y


@pytest.mark.parametrize("missing", ["median", "indicator"])
@pytest.mark.parametrize("empty", [None, np.nan, pd.NA, ""])
def test_a_forgotten_value_is_said_wherever_a_result_is_read(missing, empty, with_gaps, tmp_path):
    """Also where training patients lacked it, so that it is nothing new to the model."""
    X, y = with_gaps
    model = make_clinical_pipeline(LogisticRegression(), missing=missing).fit(X, y)
    released = export_model(model, tmp_path / "release", X=X, y=y)
    patients = [{**PATIENT, "dose_gy": empty}, {**PATIENT, "patient_id": "given"}]
    patients += [{**PATIENT, "patient_id": name, "n_fractions": empty} for name in "ABCDE"]
    written = write_predictions(released, pd.DataFrame(patients), tmp_path / "out")
    # Clipping hides an indicator that no training patient had.
    tells = ", and an indicator that it is missing" if missing == "indicator" else ""
    dose = f"dose_gy is missing: computed with the training median, {X['dose_gy'].median():g} Gy{tells}"
    fractions = f"n_fractions is missing: computed with the training median, {X['n_fractions'].median():g}"
    assert written["imputed"].tolist() == [dose, "", *[fractions] * 5]
    assert (written["outside_training"] == "").all()
    # What is said is what happens: without an indicator, the same probability as with the value that is named.
    named = predict_patients(released, pd.DataFrame([{**PATIENT, "dose_gy": X["dose_gy"].median()}]))
    difference = abs(named["probability"].item() - written["probability"].iloc[0])
    assert (difference < 1e-6) if missing == "median" else (difference > 0.01)
    pages = [(tmp_path / "out" / page).read_text() for page in written["page"]]
    assert pages[0].index(dose) < pages[0].index("<svg")
    assert "No known value lies outside the training ranges; not known: dose_gy." in pages[0]
    assert "No value lies outside" not in pages[0]
    assert "No value lies outside the training ranges." in pages[1]
    printed = " ".join(predictions_text(released, written).split())
    assert f"new: {dose} A, B, C and 2 more: {fractions} PsPD from" in printed


def test_a_number_that_no_training_patient_had_is_computed_without(training, tmp_path):
    X, y = training
    empty = X.assign(dose_gy=np.nan)
    model = make_clinical_pipeline(LogisticRegression(), missing="median").fit(empty, y)
    released = export_model(model, tmp_path / "release", X=empty, y=y)
    found = predict_patients(released, pd.DataFrame([{**PATIENT, "dose_gy": None}]))
    assert found["imputed"].item() == "dose_gy is missing: computed with no value, as in all training patients"


@pytest.mark.parametrize(
    ("unknown", "expected"),
    [
        ("midpoint", "a code halfway between wildtype and mutated"),
        ("mean", "the mean code of the training patients"),
        ("indicator", "a code halfway between wildtype and mutated, and an indicator that it is unknown"),
    ],
)
def test_an_unknown_category_is_said_with_what_the_model_computes_with(unknown, expected, training, tmp_path):
    X, y = training
    X = X.assign(idh=np.resize(["unknown", "mutated", "wildtype"], len(X)))
    model = make_clinical_pipeline(LogisticRegression()).set_params(features__clinical__unknown=unknown).fit(X, y)
    released = export_model(model, tmp_path / "release", X=X, y=y)
    found = training_distance(released, pd.DataFrame([{**PATIENT, "idh": "unknown"}])).set_index("name").loc["idh"]
    assert (found["comparison"], found["imputed"]) == ("inside", expected)
    assert found["consequence"] == f"the model computes with {expected}"


def test_an_unknown_category_is_clipped_to_the_only_code_of_the_training(training, tmp_path):
    X, y = training
    X = X.assign(idh="wildtype")
    model = make_clinical_pipeline(LogisticRegression()).fit(X, y)
    released = export_model(model, tmp_path / "release", X=X, y=y)
    found = predict_patients(released, pd.DataFrame([{**PATIENT, "idh": "unknown"}])).iloc[0]
    nearest = "the code of wildtype, the nearest one of the training patients"
    assert found["imputed"] == f"idh is unknown: computed with {nearest}"
    assert found["outside_training"] == "idh unknown (not seen in training)"


def test_all_problems_name_their_patients(forest, ensemble):
    bad = [
        {**PATIENT, "patient_id": "A", "age_years": None},
        {**PATIENT, "patient_id": "B", "sex": "Male"},
        {**PATIENT, "patient_id": "C", "dose_gy": 6000.0},
    ]
    with pytest.raises(InputError) as raised:
        predict_patients(forest, pd.DataFrame(bad))
    text = str(raised.value)
    assert "has 3 problems" in text
    assert "patient A: column age_years is empty; give a number from 0 to 120 years" in text
    assert "patient B: column sex holds 'Male'; it takes 'female', 'male'; did you mean 'male'?" in text
    assert "patient C: column dose_gy holds 6000, outside 1 to 100 Gy" in text
    with pytest.raises(InputError, match=r"column mgmt: missing"):
        predict_patients(forest, pd.DataFrame([PATIENT]).drop(columns="mgmt"))
    with pytest.raises(InputError, match="2 rows have this patient_id"):
        predict_patients(forest, pd.DataFrame([PATIENT, PATIENT]))
    with pytest.raises(InputError, match=r"patient new: column image: '/gone\.nii\.gz' does not exist"):
        predict_patients(ensemble, pd.DataFrame([{**PATIENT, "image": "/gone.nii.gz", "lesion_slice": 3}]))
    with pytest.raises(InputError, match="no patients"):
        predict_patients(forest, pd.DataFrame([PATIENT]).head(0))


def test_an_image_that_cannot_be_used_is_named(ensemble, newcomers):
    edge = newcomers.assign(lesion_slice=[0, 4])
    with pytest.raises(InputError, match=f"patient {newcomers['patient_id'].iloc[0]}.*slices -1..1"):
        predict_patients(ensemble, edge)


@pytest.mark.parametrize(
    ("probability", "others", "rule", "shown"),
    [
        (0.5549, {}, None, "0.555"),
        (0.54, {}, None, "0.54"),
        (0.545454, {}, None, "0.545454"),
        (6 / 11, {}, None, "0.55"),
        (0.4449, {}, {"low": 0.4401, "high": 0.65}, "0.445"),
        (0.6651, {"calibrated_low": 0.6667, "calibrated_high": 1.0}, None, "0.665"),
        (0.6651, {"calibrated_low": 0.6649, "calibrated_high": 1.0}, None, "0.67"),
    ],
)
def test_decimals_tell_a_probability_from_what_it_is_compared_with(probability, others, rule, shown):
    row = {"probability": probability, "threshold": 6 / 11, "calibrated_low": None, "calibrated_high": None, **others}
    assert f"{probability:.{decimals_of([pd.Series(row)], rule)}f}" == shown


def test_decimals_of_several_patients_tell_each_from_the_threshold():
    """Though one needs two, another three, and with three the first is equal to the threshold."""
    of_all = {"threshold": 6 / 11, "calibrated_low": None, "calibrated_high": None}
    rows = [pd.Series({"probability": probability, **of_all}) for probability in (0.5448, 0.5541)]
    assert [decimals_of([row], None) for row in rows] == [2, 3]
    assert decimals_of(rows, None) == 4


def test_threshold_and_interval_are_told_apart_from_the_probability(forest, tmp_path):
    """In the terminal and on the page, with the reason why an interval lies elsewhere."""
    patient = pd.DataFrame([PATIENT])
    probability = predict_patients(forest, patient)["probability"].item()
    near = {**forest.calibration, "threshold": probability - 0.0004}
    # All training patients with this score had PsPD, then all had PD; another one has the other outcome.
    for outcome, side, frequent in ((1, "below", "more"), (0, "above", "less")):
        scores = {"y_true": [outcome] * 40 + [1 - outcome], "y_score": [probability] * 40 + [1.0 - outcome]}
        released = replace(forest, calibration={**near, **scores})
        written = write_predictions(released, patient, tmp_path / side)
        printed = " ".join(predictions_text(released, written).split())
        page = Page((tmp_path / side / written["page"].item()).read_text()).text
        decimals = decimals_of([written.iloc[0]], None)
        shown, threshold = f"{probability:.{decimals}f}", f"{near['threshold']:.{decimals}f}"
        assert shown > threshold
        assert f"new PsPD {shown} " in printed
        assert f"PsPD from a probability of {threshold} on." in printed
        assert f"probability of PsPD {shown}" in page
        assert f"threshold {threshold}" in page
        reason = (
            f"he probability lies {side} the calibrated interval, because among training patients with similar "
            f"out-of-fold scores PsPD was {frequent} frequent than the model predicts"
        )
        assert f"new: t{reason}" in printed
        assert f"T{reason}." in page
    inside = pd.Series({"probability": 0.5, "calibrated_low": 0.5, "calibrated_high": 0.6})
    assert interval_text(inside) == ""


def test_patients_share_a_sentence():
    assert patients_with(["A", "B", "C"], ["x", "", "x"]) == ["A, C: x"]
    assert patients_with("ABCD", "xxxx") == ["A, B, C, D: x"]
    assert patients_with("ABCDE", "xxxxx") == ["A, B, C and 2 more: x"]


@pytest.mark.parametrize(
    ("problem", "shown"),
    [
        ("more than max_tilt_deg=30; reformat it or increase max_tilt_deg", "max_tilt_deg=30; reformat it"),
        (
            "give T1, or set allow_sequence=['T2'] if it is wanted; the same holds for b",
            "T1; the same holds for b",
        ),
        ("it has a, b: give the name of one as lesion_label", "it has a, b: give a file with only one of them"),
    ],
)
def test_advice_to_set_the_loader_is_dropped(problem, shown):
    assert _without_settings(problem, SliceStackLoader()).endswith(shown)


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(text)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "rect", "line", "circle", "polygon"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)


def test_the_page_of_a_patient(ensemble, newcomers, tmp_path):
    written = write_predictions(ensemble, newcomers, tmp_path, notes=["Series check: <none>."])
    raw = (tmp_path / written["page"].iloc[0]).read_text(encoding="utf-8")
    page, row = Page(raw), written.iloc[0]
    assert page.open == [], "an element was not closed"
    assert page.text.count("Research software, not a medical device") >= 2
    assert f"probability of PsPD {row['probability']:.2f}" in page.text
    assert f"{row['lowest_member']:.2f} to {row['highest_member']:.2f}" in page.text
    assert f"Calibrated interval (Venn-Abers): {row['calibrated_low']:.2f} to {row['calibrated_high']:.2f}" in page.text
    assert "The model never abstains: no rule keeps the errors below 20%" in page.text
    assert "height is outside the training range (160 px; training 128)" in page.text
    assert "Series check: <none>." in page.text
    assert "decisions about patients" in page.text
    # The slices that were used, as pictures of the field of view.
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 3
    pictures = [
        matplotlib.image.imread(io.BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,"))))
        for source in sources
    ]
    assert {picture.shape[:2] for picture in pictures} == {(192, 192)}
    assert all(picture.std() > 0.05 for picture in pictures)
    assert not np.array_equal(pictures[0], pictures[1])
    # Nothing is fetched from elsewhere, and nothing runs.
    assert not re.search(r"https?://|<script|<link|@import|url\(", raw)
    members = [attributes for tag, attributes in page.tags if attributes.get("class") == "member"]
    assert len(members) == 2


def test_texts_of_others_are_escaped(forest_folder, tmp_path):
    released = load_model(forest_folder)
    odd = '<img src=x onerror="alert(1)">'
    card = released.card.replace("Research on how", odd)
    released = replace(released, name=odd, card=card)
    written = write_predictions(released, pd.DataFrame([{**PATIENT, "patient_id": odd}]), tmp_path / "out", notes=[odd])
    raw = (tmp_path / "out" / written["page"].item()).read_text()
    assert "onerror" in raw
    assert "<img" not in raw
    assert re.fullmatch(r"001-[A-Za-z0-9_-]+\.html", written["page"].item())


def test_nothing_of_the_headers_names_the_patient(ensemble, newcomers, tmp_path):
    renamed = newcomers.assign(patient_id=["P1", "P2"])
    write_predictions(ensemble, renamed, tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        for secret in (*newcomers["patient_id"], *newcomers["image"]):
            assert secret.encode() not in content, path.name


def test_earlier_results_are_kept(forest, tmp_path):
    patient = pd.DataFrame([PATIENT])
    first = write_predictions(forest, patient, tmp_path)
    with pytest.raises(FileExistsError, match=r"already holds predictions\.csv"):
        write_predictions(forest, patient, tmp_path)
    with pytest.raises(InputError, match="column age_years is empty"):
        write_predictions(forest, patient.assign(age_years=None), tmp_path / "bad")
    assert not (tmp_path / "bad").exists()
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "predictions.csv")[["probability", "threshold"]], first[["probability", "threshold"]]
    )
