"""What the loader knows about the images that it reads, what it refuses for it, and what is odd about a cohort."""

import json

import numpy as np
import pandas as pd
import pytest
from head_files import HEAD_AFFINE, MIDDLE, assert_is_head, load, table, write_dicom, write_enhanced, write_nifti

from sklearn_pspd.datasets import make_cohort
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.intake import draft_cohort, list_series
from sklearn_pspd.loading import SliceStackLoader, image_findings

MPRAGE = {
    "SeriesDescription": "t1_mpr_tra_KM",
    "StudyDate": "20200301",
    "ImageType": ["ORIGINAL", "PRIMARY", "M"],
    "ScanningSequence": ["GR", "IR"],
    "MRAcquisitionType": "3D",
    "RepetitionTime": 1900,
    "EchoTime": 2.9,
    "InversionTime": 900,
    "FlipAngle": 9,
    "ContrastBolusAgent": "Gadovist",
}
T2 = {
    "SeriesDescription": "t2_tse_tra",
    "ScanningSequence": "SE",
    "MRAcquisitionType": "2D",
    "RepetitionTime": 4500,
    "EchoTime": 95,
    "InversionTime": None,
    "ContrastBolusAgent": "",
}


def write_series(folder, *, affine=HEAD_AFFINE, **values):
    def change(header, index):
        for keyword, value in {**MPRAGE, **values}.items():
            if value is not None:
                setattr(header, keyword, value)

    return write_dicom(folder, affine=affine, change=change)


def inspect(*images, **options):
    options.setdefault("n_slices", 5)
    return SliceStackLoader(**options).inspect(table(*images, lesion_slice=[MIDDLE] * len(images)))


def texts(found):
    return [tuple(row) for row in found[["patient_id", "finding", "detail", "severity"]].to_numpy()]


def test_the_table_states_what_the_header_says(tmp_path):
    (row,) = inspect(write_series(tmp_path / "a")).to_dict("records")
    shown = {name: row[name] for name in ("description", "modality", "image_type", "sequence", "acquisition_type")}
    assert list(shown.values()) == ["t1_mpr_tra_KM", "MR", "ORIGINAL\\PRIMARY\\M", "GR\\IR", "3D"]
    assert (row["tr_ms"], row["te_ms"], row["ti_ms"], row["flip_deg"]) == (1900, 2.9, 900, 9)
    assert row["study_date"] == pd.Timestamp("2020-03-01")
    assert row["weighting"] == "T1 (inversion-prepared)"
    assert row["contrast"] == "agent 'Gadovist', words 'km'"
    assert row["facts_from"] == "DICOM header"
    assert row["problem"] == ""
    assert texts(image_findings(inspect(write_series(tmp_path / "b")))) == []


def test_facts_of_an_enhanced_file_and_of_files_without_any(tmp_path):
    found = inspect(write_enhanced(tmp_path / "a.dcm"), write_dicom(tmp_path / "b"), write_nifti(tmp_path / "c.nii"))
    assert found["facts_from"].fillna("").tolist() == ["DICOM header", "DICOM header", ""]
    assert (found["problem"] == "").all()
    assert texts(image_findings(found)) == [
        (f"P{number:02d}", "nothing is known about the sequence", "", "note") for number in range(3)
    ]
    assert found["te_ms"].dtype == float


def test_values_that_break_the_rules_say_nothing_and_are_no_fault_of_the_image(tmp_path):
    path = write_series(tmp_path / "a", EchoTime="12345.5", InstanceNumber="7654321", StudyDate="20200301")
    for file in (tmp_path / "a").iterdir():
        content = file.read_bytes()
        for good, bad in ((b"12345.5", b"1x2,3.."), (b"7654321", b"seven.."), (b"20200301", b"01.03.20")):
            assert good in content
            content = content.replace(good, bad)
        file.write_bytes(content)
    assert_is_head(load(path))
    row = inspect(path).iloc[0]
    assert np.isnan(row["te_ms"])
    assert pd.isna(row["study_date"])
    assert row["description"] == "t1_mpr_tra_KM"
    with pytest.raises(InputError, match="lacks InstanceNumber in some images"):
        load(path, lesion_instance=3)


def test_facts_of_a_sidecar(tmp_path):
    path = write_nifti(tmp_path / "sub-01_ce-gd_T1w.nii.gz")
    said = {"EchoTime": 0.0029, "RepetitionTime": 1.9, "InversionTime": 0.9, "ScanningSequence": "GR_IR"}
    said |= {"Modality": "MR", "ImageType": ["ORIGINAL", "PRIMARY", "M"], "AcquisitionDateTime": "2020-03-01T10:00:00"}
    (tmp_path / "sub-01_ce-gd_T1w.json").write_text(json.dumps(said))
    found = inspect(path)
    row = found.iloc[0]
    assert (row["te_ms"], row["ti_ms"], row["facts_from"]) == (2.9, 900, "sub-01_ce-gd_T1w.json")
    assert row["study_date"] == pd.Timestamp("2020-03-01")
    assert row["contrast"] == "words 'ce'"
    assert image_findings(found).empty
    assert_is_head(load(path))


def test_a_sidecar_of_t2_is_refused_also_after_the_stack_was_cached(tmp_path):
    path = write_nifti(tmp_path / "P00.nii")
    cache = str(tmp_path / "cache")
    assert_is_head(load(path, memory=cache))
    (tmp_path / "P00.json").write_text(json.dumps({"EchoTime": 0.095, "RepetitionTime": 4.5}))
    with pytest.raises(InputError, match=r"P00.nii is no T1-weighted series but T2 \(TR 4500 ms, TE 95 ms\)"):
        load(path, memory=cache)
    (tmp_path / "P00.json").write_text(json.dumps({"Modality": "CT"}))
    with pytest.raises(InputError, match=r"has modality CT by P00.json; only MR is read"):
        load(path, allow_sequence=True)


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b"{broken", "the JSON file beside the image cannot be read"),
        (b"[1, 2]", "the JSON file beside the image cannot be read"),
        (b"\xff\xfe\x00", "the JSON file beside the image cannot be read"),
        (b'{"colour": "red"}', "nothing is known about the sequence"),
        (b'{"EchoTime": 95, "RepetitionTime": 4500}', "nothing is known about the sequence"),
    ],
)
def test_a_json_file_that_says_nothing_is_no_fault_of_the_image(tmp_path, content, finding):
    path = write_nifti(tmp_path / "P00.nii")
    (tmp_path / "P00.json").write_bytes(content)
    assert_is_head(load(path))
    found = image_findings(inspect(path))
    assert found["finding"].iloc[0] == finding
    assert set(found["severity"]) == {"note"}


def test_another_sequence_is_refused_with_the_other_problems_of_all_patients(tmp_path):
    gap = write_dicom(
        tmp_path / "gap", change=lambda header, index: index != 4 and setattr(header, "EchoTime", 95) is None
    )
    images = [write_series(tmp_path / "t1"), write_series(tmp_path / "t2", **T2), gap]
    loader = SliceStackLoader(n_slices=5)
    with pytest.raises(InputError) as caught:
        loader.fit_transform(table(*images, lesion_slice=[MIDDLE] * 3))
    message = str(caught.value)
    assert "The images of 2 of 3 patients cannot be loaded" in message
    assert (
        f"patient P01: {images[1]} is no T1-weighted series but T2 (TR 4500 ms, TE 95 ms) of the series 't2_tse_tra'"
        in message
    )
    assert "patient P02" in message
    assert "unequal steps" in message
    assert message.count("is no T1-weighted series but T2") == 2
    inspected = inspect(*images)
    refused = image_findings(inspected).query("severity == 'refused'")
    assert texts(refused) == [
        ("P01", "T2-like", "TR 4500 ms, TE 95 ms", "refused"),
        ("P02", "T2-like", "TE 95 ms", "refused"),
    ]
    assert inspected["description"].tolist()[:2] == ["t1_mpr_tra_KM", "t2_tse_tra"]
    assert "t2_tse_tra" not in inspected["problem"].iloc[0]


@pytest.mark.parametrize("allowed", [True, "T2", ["T2"], ("FLAIR", "T2"), {"T2"}])
def test_a_sequence_that_is_allowed_is_read_and_noted(tmp_path, allowed):
    path = write_series(tmp_path / "t2", **T2)
    assert_is_head(load(path, allow_sequence=allowed))
    found = image_findings(inspect(path, allow_sequence=allowed), allow_sequence=allowed)
    assert ("P00", "T2-like", "TR 4500 ms, TE 95 ms", "note") in texts(found)


def test_only_known_kinds_can_be_allowed(tmp_path):
    path = write_series(tmp_path / "t2", **T2)
    with pytest.raises(InputError, match="is no T1-weighted series but T2"):
        load(path, allow_sequence=["FLAIR"])
    with pytest.raises(InputError, match="allow_sequence: no kind 't2'; there are 'T2', 'FLAIR'"):
        load(path, allow_sequence="t2")


def test_a_screen_save_and_a_map_are_refused_and_a_reformat_is_noted(tmp_path):
    reformat = write_series(tmp_path / "mpr", ImageType=["DERIVED", "SECONDARY", "MPR"])
    assert texts(image_findings(inspect(reformat))) == [
        ("P00", "derived from other images", "ImageType DERIVED\\SECONDARY\\MPR", "note")
    ]
    assert_is_head(load(reformat))
    with pytest.raises(InputError, match=r"but computed \(ImageType DERIVED\\PRIMARY\\DIFFUSION\\ADC\)"):
        load(write_series(tmp_path / "adc", ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]))
    with pytest.raises(InputError, match="secondary-capture"):
        load(write_series(tmp_path / "save", SOPClassUID="1.2.840.10008.5.1.4.1.1.7"))


def test_contrast_and_words(tmp_path):
    images = [
        write_series(tmp_path / "none", SeriesDescription="t1_mpr_tra", ContrastBolusAgent=""),
        write_series(tmp_path / "native", SeriesDescription="t1 nativ", ContrastBolusAgent="none"),
        write_series(tmp_path / "words", SeriesDescription="Ax T2 +C"),
        write_series(tmp_path / "mp2rage", InversionTime=2500, RepetitionTime=5000),
    ]
    assert texts(image_findings(inspect(*images))) == [
        ("P00", "no sign of contrast", "'t1_mpr_tra'", "note"),
        ("P01", "signs against contrast", "tag 'none', words 'nativ'", "note"),
        ("P02", "the description names T2", "'Ax T2 +C'", "note"),
        ("P03", "perhaps FLAIR", "TR 5000 ms, TE 2.9 ms, TI 2500 ms", "note"),
        (
            "P03",
            "sequence differs from the other patients of the site",
            "FLAIR 3D; T1 (inversion-prepared) 3D in 3 of 4 patients",
            "note",
        ),
    ]


def test_sequences_are_compared_within_a_site(tmp_path):
    spin_echo = {"ScanningSequence": "SE", "RepetitionTime": 600, "EchoTime": 12, "InversionTime": None}
    images = [write_series(tmp_path / f"a{number}") for number in range(3)]
    images += [write_series(tmp_path / f"b{n}", **spin_echo, MRAcquisitionType="2D") for n in range(4)]
    inspected = inspect(*images)
    cohort = inspected[["patient_id"]].assign(site=["A", "A", "A", "B", "B", "B", "A"])
    assert texts(image_findings(inspected, cohort=cohort)) == [
        (
            "P06",
            "sequence differs from the other patients of the site",
            "T1 (spin echo) 2D; T1 (inversion-prepared) 3D in 3 of 4 patients",
            "note",
        )
    ]


def test_thick_slices_among_thin_ones(tmp_path):
    affines = [HEAD_AFFINE @ np.diag([step, 1, 1, 1]) for step in (1, 1.2, 6.5 / 1.5)]
    inspected = inspect(*[write_series(tmp_path / f"{n}", affine=affine) for n, affine in enumerate(affines)])
    (found,) = texts(image_findings(inspected))
    assert found[:2] == ("P02", "slice spacing differs from the other patients")
    assert found[2] == "6.5 mm, others 1.8: 5 slices span 26 mm against 7"
    images = [write_series(tmp_path / f"even{n}", affine=affine) for n, affine in enumerate(affines)]
    assert image_findings(inspect(*images, slice_spacing_mm=1.5)).empty


def test_dates_of_the_table(tmp_path):
    inspected = inspect(*[write_series(tmp_path / f"{number}") for number in range(4)])
    cohort = inspected[["patient_id"]].assign(
        radiotherapy_end=["2020-03-02", "2020-02-01", None, "not a date"],
        lesion_date=["2020-03-01", "2020-05-01", None, pd.Timestamp("2020-03-01")],
        study_date=["2020-03-01", "2020-03-01", "2020-03-02", None],
    )
    assert texts(image_findings(inspected, cohort=cohort)) == [
        ("P00", "study date before the end of radiotherapy", "2020-03-01, radiotherapy to 2020-03-02", "note"),
        ("P01", "study date far from the lesion's", "2020-03-01, lesion of 2020-05-01", "note"),
        ("P02", "study date differs from the table", "2020-03-01, table 2020-03-02", "note"),
    ]


def test_findings_need_the_table_of_the_loader():
    with pytest.raises(InputError, match=r"inspected lacks the column\(s\) source, te_ms"):
        image_findings(pd.DataFrame({"patient_id": ["a"]}))


def test_a_patient_who_cannot_be_read_has_no_findings_but_a_problem(tmp_path):
    inspected = inspect(write_series(tmp_path / "a"), str(tmp_path / "absent"))
    assert image_findings(inspected).empty
    assert inspected["problem"].iloc[1]


def test_planted_traps_of_a_synthetic_export_are_found(tmp_path):
    """A hospital's export: the wanted series has no finding on its sequence, T2, FLAIR and maps are refused."""
    truth = make_cohort(tmp_path, 1, layout="export", matrix_px=(64,), n_native_slices=12, random_state=0)
    series = list_series(tmp_path / "dicom").set_index("series_uid")
    loader = SliceStackLoader(n_slices=3, max_spacing_mm=5)
    severities = {}
    for row in truth[truth["study_date"] == truth["study_date"].max()].itertuples():
        if row.kind in ("localizer", "reformat", "dual_echo"):
            continue
        X = pd.DataFrame({"patient_id": ["a"], "image": [series.loc[row.series_uid, "folder"]], "lesion_slice": [5]})
        found = image_findings(loader.inspect(X))
        severities[row.kind] = dict(zip(found["finding"], found["severity"], strict=True))
    assert severities["t1_post"] == {}
    assert severities["t1_pre"] == {"no sign of contrast": "note"}
    assert severities["t2"]["T2-like"] == severities["flair"]["FLAIR-like"] == "refused"
    assert severities["adc"]["computed or phase image"] == "refused"
    assert severities["subtraction"]["computed or phase image"] == "refused"


def test_dates_that_the_draft_writes_are_checked(tmp_path):
    """The study before radiotherapy, chosen by mistake, is found by the dates that `draft_cohort` keeps."""
    truth = make_cohort(tmp_path, 1, layout="export", matrix_px=(64,), n_native_slices=12, random_state=0)
    first = truth[(truth["kind"] == "t1_post")].iloc[0]
    columns = {"patient_id": "Pat.-Nr.", "radiotherapy_end": "Ende RT", "lesion_date": "Datum Läsion"}
    draft = draft_cohort(
        list_series(tmp_path / "dicom"),
        tmp_path / "records.csv",
        columns=columns,
        date_order="dmy",
        encoding="cp1252",
        near={first["patient_id"]: first["study_date"]},
    )
    cohort = draft.cohort.assign(lesion_slice=5)
    found = image_findings(SliceStackLoader(n_slices=3).inspect(cohort), cohort=cohort)
    assert "study date before the end of radiotherapy" in found["finding"].tolist()
