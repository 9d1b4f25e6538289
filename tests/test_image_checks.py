"""What a study says about the images that it reads: in its text, its table, and on the command line."""

import itertools
from pathlib import Path

import pandas as pd
import pydicom
import pytest

from sklearn_pspd import Study, make_clinical_pipeline, make_cohort, make_fusion_pipeline, paper_models
from sklearn_pspd import __main__ as command
from sklearn_pspd.baselines import RadiomicsExtractor, baseline_models
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.study import prepare_study, study_models

N_PATIENTS = 20
T1 = {"EchoTime": 3, "RepetitionTime": 8, "FlipAngle": 12, "ScanningSequence": "GR", "MRAcquisitionType": "3D"}
T2 = {"EchoTime": 95, "RepetitionTime": 4500, "ScanningSequence": "SE", "SeriesDescription": "t2_tse"}


def state(folder, **values):
    for path in Path(folder).iterdir():
        header = pydicom.dcmread(path)
        for keyword, value in values.items():
            setattr(header, keyword, value)
        header.save_as(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Table of DICOM images: T1 with contrast, but one without, and one study before the end of radiotherapy."""
    folder = tmp_path_factory.mktemp("images")
    cohort = make_cohort(folder, N_PATIENTS, image_format="dicom", matrix_px=(128,), n_native_slices=10, random_state=1)
    for number, path in enumerate(cohort["image"]):
        agent = "" if number == 3 else "Dotarem"
        state(path, **T1, StudyDate="20200301", SeriesDescription="t1_tra", ContrastBolusAgent=agent)
    cohort["radiotherapy_end"] = ["2020-04-01" if number == 5 else "2020-01-01" for number in range(N_PATIENTS)]
    cohort.to_csv(folder / "cohort.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def cohort(folder):
    return pd.read_csv(folder / "cohort.csv")


def components(**options):
    return baseline_models(["MRI principal components"], n_slices=3, size_px=16, random_state=0, **options)


def test_findings_are_in_the_description_the_report_and_the_table(cohort, tmp_path):
    study = Study(cohort, components(memory=str(tmp_path / "cache")), cv=2)
    names = cohort["patient_id"]
    text = study.describe()
    assert "Image checks: 2 findings to look at" in text
    section = text.split("Image checks")[1]
    assert f"  no sign of contrast: 1 patient\n    't1_tra': {names[3]}\n" in section
    assert "  study date before the end of radiotherapy: 1 patient\n" in section
    assert f"    2020-03-01, radiotherapy to 2020-04-01: {names[5]}" in section
    result = study.run(tmp_path / "results")
    assert section.split("\n\n")[0] in result.report()
    table = pd.read_csv(tmp_path / "results" / "image_checks.csv")
    assert table["patient_id"].tolist() == cohort["patient_id"].tolist()
    assert table["site"].tolist() == cohort["site"].tolist()
    assert table["description"].unique().tolist() == ["t1_tra"]
    assert table["study_date"].unique().tolist() == ["2020-03-01"]
    assert table["weighting"].unique().tolist() == ["T1 (gradient echo)"]
    assert table["findings"].notna().sum() == 2
    assert table.loc[3, "findings"] == "no sign of contrast ('t1_tra')"
    assert result.image_checks.loc[3, "contrast"] == "no sign"
    assert len(result.image_findings) == 2
    assert study.image_checks().equals(result.image_checks)


def test_many_patients_are_listed_in_few_lines(cohort):
    thick = cohort.assign(lesion_date="2021-01-01")
    text = Study(thick, components(), cv=2).describe()
    lines = text.split("study date far from the lesion's: 20 patients\n")[1].splitlines()
    # Within 100 columns, so in several lines.
    listed = list(itertools.takewhile(lambda line: line.startswith("    "), lines))
    assert 1 < len(listed) <= 5
    assert " ".join(listed).endswith(" and 12 more")
    assert max(map(len, listed)) <= 100
    assert " ".join(listed).count(",") == 1 + 7


def test_a_cohort_without_headers_has_one_note(cohort_folder):
    study = Study(pd.read_csv(cohort_folder / "cohort.csv"), components(), cv=2)
    cohort = study.cohort.assign(image=[str(cohort_folder / path) for path in study.cohort["image"]])
    text = Study(cohort, components(), cv=2).describe()
    assert "Image checks: 1 finding to look at\n  nothing is known about the sequence: 30 patients\n" in text


def test_models_without_images_have_no_image_checks(cohort, tmp_path):
    forest = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=5)
    study = Study(cohort.assign(image="absent"), {"clinical": forest}, cv=2)
    assert "Image checks" not in study.describe()
    result = study.run(tmp_path)
    assert result.image_checks.empty
    assert "Image checks" not in result.report()
    assert not (tmp_path / "image_checks.csv").exists()


def test_a_site_of_t2_images_stops_the_study_and_names_all(folder, cohort, capsys, monkeypatch, tmp_path):
    """A site that was pointed at its T2 series: status 2, every patient named; allowed, it runs with a note."""
    wrong = cohort.copy()
    others = make_cohort(
        tmp_path / "t2", N_PATIENTS, image_format="dicom", matrix_px=(128,), n_native_slices=10, random_state=1
    )
    site = cohort["site"] == "B"
    for path in others.loc[site, "image"]:
        state(path, **T2)
    wrong.loc[site, "image"] = others.loc[site, "image"]
    wrong.to_csv(tmp_path / "wrong.csv", index=False)
    monkeypatch.chdir(tmp_path)
    assert command.main(["check", "wrong.csv", "--slices", "3"]) == 2
    message = capsys.readouterr().err
    assert message.count("is no T1-weighted series but T2 (TR 4500 ms, TE 95 ms) of the series 't2_tse'") == site.sum()
    assert all(f"patient {name}: " in message for name in wrong.loc[site, "patient_id"])
    assert command.main(["check", "wrong.csv", "--slices", "3", "--allow-sequence", "T2"]) == 0
    text = capsys.readouterr().out
    assert f"  T2-like: {site.sum()} patients\n    TR 4500 ms, TE 95 ms: " in text
    assert command.main(["check", "wrong.csv", "--slices", "3", "--allow-sequence", "T3"]) == 2
    assert "allow_sequence: no kind 'T3'" in capsys.readouterr().err


def test_every_maker_of_models_passes_the_parameters_on(tmp_path):
    given = {"slice_spacing_mm": 1.5, "allow_sequence": ["FLAIR"], "fov_mm": 180.0}
    models = [make_fusion_pipeline(**given), *paper_models(**given).values(), *study_models(**given).values()]
    models += baseline_models(["MRI principal components"], **given).values()
    loaders = 0
    for model in models:
        for name, value in model.get_params().items():
            if isinstance(value, SliceStackLoader):
                assert (value.slice_spacing_mm, value.allow_sequence) == (1.5, ["FLAIR"])
                assert model.get_params()[name.replace("load", "fov__fov_mm")] == 180.0
                loaders += 1
    assert loaders == 1 + 2 + 3 + 1
    extractor = RadiomicsExtractor(slice_spacing_mm=1.5, allow_sequence="FLAIR")
    assert extractor._loader().get_params()["allow_sequence"] == "FLAIR"


def test_spacing_and_field_of_view_of_the_command_line(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    options = command._parser()[0].parse_args(
        ["study", str(folder / "cohort.csv"), "--slice-spacing-mm", "0.5", "--fov-mm", "150", "--allow-sequence", "all"]
    )
    assert (options.slice_spacing_mm, options.fov_mm, options.allow_sequence) == (0.5, 150.0, True)
    study = prepare_study(
        folder / "cohort.csv",
        workspace=workspace,
        slice_spacing_mm=0.5,
        fov_mm=150.0,
        allow_sequence=True,
        n_slices=3,
        cv=2,
    )
    parameters = study.models["MRI alone"].get_params()
    assert parameters["features__mri__load__slice_spacing_mm"] == 0.5
    assert parameters["features__mri__load__allow_sequence"] is True
    assert parameters["features__mri__fov__fov_mm"] == parameters["classifier__augment__fov_mm"] == 150.0
    assert (study.image_checks()["slice_spacing_mm"] == 0.5).all()
    for option in ("--slice-spacing-mm", "--fov-mm"):
        with pytest.raises(SystemExit):
            command.main([str(folder / "cohort.csv"), option, "0"])
        assert "is not a length above 0 mm" in capsys.readouterr().err


def test_default_models_of_a_study_take_the_allowed_kinds(cohort):
    study = Study(cohort, cv=2, allow_sequence=["T9"])
    with pytest.raises(InputError, match="no kind 'T9'"):
        study.image_checks()
