"""The position of the lesion in the table: one way per patient, read, checked and drafted."""

import json

import numpy as np
import pandas as pd
import pytest

from sklearn_pspd import check_cohort, make_cohort, read_cohort
from sklearn_pspd.cohort.columns import POINT_COLUMNS, POSITION_COLUMNS, lesion_positions
from sklearn_pspd.cohort.image_files import is_markups, sidecar_of
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.intake import draft_cohort, list_series


@pytest.fixture
def cohort(cohort_folder):
    return read_cohort(cohort_folder / "cohort.csv").drop(columns="lesion_slice")


def problems_of(cohort, **cells):
    """Return the problems of the first patient with these cells; the others have a slice."""
    table = cohort.assign(lesion_slice=[None] + [4] * (len(cohort) - 1))
    for name, value in cells.items():
        table[name] = [value] + [4 if name == "lesion_slice" else None] * (len(cohort) - 1)
    try:
        check_cohort(table)
    except InputError as error:
        return [line.split(": ", 1)[1] for line in str(error).splitlines()[1:]]
    return []


@pytest.mark.parametrize(
    "cells",
    [
        {"lesion_slice": 0},
        {"lesion_instance": 12},
        {"lesion_x_mm": 1.5, "lesion_y_mm": -3.0, "lesion_z_mm": 0.0},
        {"lesion_z_mm": -4.5},
    ],
)
def test_each_way_is_admitted(cohort, cells):
    assert problems_of(cohort, **cells) == []


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        ({}, "the lesion position is missing: give one of lesion_slice, lesion_instance, a point (lesion_x_mm, "),
        ({"lesion_instance": 2.5}, "column lesion_instance holds 2.5, which is not a whole number"),
        ({"lesion_instance": -1}, "column lesion_instance holds -1, outside 0 to inf"),
        ({"lesion_x_mm": 1.0}, "the point of the lesion lacks lesion_y_mm, lesion_z_mm; give all three coordinates"),
        ({"lesion_y_mm": 1.0, "lesion_z_mm": 2.0}, "the point of the lesion lacks lesion_x_mm"),
        (
            {"lesion_x_mm": 1.0, "lesion_y_mm": "two", "lesion_z_mm": 2.0},
            "column lesion_y_mm holds 'two', which is not a number",
        ),
        (
            {"lesion_instance": 3, "lesion_z_mm": 2.0},
            "the lesion position is given more than once: lesion_instance = 3",
        ),
        (
            {"lesion_slice": 3, "lesion_x_mm": 1.0, "lesion_y_mm": 1.0, "lesion_z_mm": 2.0},
            "the lesion position is given more than once: lesion_slice = 3, lesion_x_mm = 1.0",
        ),
    ],
)
def test_contradictions_and_gaps_are_refused(cohort, cells, text):
    (problem,) = problems_of(cohort, **cells)
    assert problem.startswith(text)


def test_a_point_is_one_way_and_a_height_another():
    assert lesion_positions({"lesion_x_mm": 1, "lesion_y_mm": np.nan, "lesion_z_mm": 3}) == {
        "lesion_point": (1, None, 3)
    }
    assert lesion_positions({"lesion_x_mm": None, "lesion_z_mm": 3.0, "lesion_mask": " "}) == {"lesion_z_mm": 3.0}


def test_positions_are_read_with_decimal_commas(cohort, tmp_path):
    table = cohort.assign(age_years=cohort["age_years"], lesion_x_mm=1.5, lesion_y_mm=-20.25, lesion_z_mm=3)
    table["dose_gy"] = table["dose_gy"].map(lambda value: f"{value}".replace(".", ","))
    for name in ("lesion_x_mm", "lesion_y_mm"):
        table[name] = table[name].map(lambda value: f"{value}".replace(".", ","))
    table.to_csv(tmp_path / "cohort.csv", sep=";", index=False)
    read = read_cohort(tmp_path / "cohort.csv", decimal=",")
    assert read[list(POINT_COLUMNS)].iloc[0].tolist() == [1.5, -20.25, 3]
    read = read_cohort(
        _written(table.drop(columns=list(POINT_COLUMNS)).assign(lesion_instance=7), tmp_path), decimal=","
    )
    assert read["lesion_instance"].tolist() == [7] * len(table)


def _written(table, folder):
    table.to_csv(folder / "other.csv", sep=";", index=False)
    return folder / "other.csv"


def test_a_size_is_no_coordinate_but_another_spelling_is(cohort):
    assert check_cohort(cohort.assign(lesion_z_mm=1.0, lesion_size_mm=12.0)) is not None
    with pytest.raises(InputError, match=r"column lesion_x_mm: missing; did you mean 'Lesion_X_mm'\?"):
        check_cohort(cohort.assign(Lesion_X_mm=1.0, lesion_z_mm=1.0))


def test_a_point_of_slicer_is_a_mark_and_never_an_image(cohort, tmp_path):
    path = tmp_path / "point"
    path.write_text(json.dumps({"@schema": "x", "markups": []}))
    assert problems_of(cohort, lesion_mask=str(path)) == []
    path.write_text('{"other": 1}')
    (problem,) = problems_of(cohort, lesion_mask=str(path))
    assert "is neither a NIfTI file nor a DICOM file (text file)" in problem
    path.write_text(json.dumps({"markups": []}))
    table = cohort.assign(lesion_slice=4)
    table.loc[0, "image"] = str(path)
    with pytest.raises(InputError, match="is neither a NIfTI file nor a DICOM file"):
        check_cohort(table)


@pytest.mark.parametrize(
    ("content", "is_mark"),
    [
        (b'{"markups": []}', True),
        (b'\xef\xbb\xbf {"markups": [1], "a": 2}', True),
        (b'{"markups": {}}', False),
        (b'[{"markups": []}]', False),
        (b"{broken", False),
        (b"", False),
        (b"{" + b'"a":[' * 5000, False),
        (b'{"markups": ["\xff"]}', False),
    ],
)
def test_markups_are_recognised_by_content(tmp_path, content, is_mark):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert is_markups(path) is is_mark
    assert not is_markups(tmp_path / "absent")
    assert not is_markups(tmp_path)


def test_sidecars(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    for name in ("a.nii", "a.nii.gz", "a.hdr", "a.img", "a.NII.GZ"):
        assert sidecar_of(tmp_path / name) == str(tmp_path / "a.json")
    assert sidecar_of(tmp_path / "b.nii") is sidecar_of(tmp_path / "a.dcm") is sidecar_of(tmp_path) is None


def test_the_draft_takes_image_numbers_and_points(tmp_path):
    make_cohort(tmp_path, 1, layout="export", matrix_px=(64,), n_native_slices=12, random_state=0)
    records = pd.DataFrame({"id": ["04711001"], "nr": ["12"], "x": ["1,5"], "y": ["-2"], "z": ["3,25"]})
    series = list_series(tmp_path / "dicom")
    near = {"04711001": series["study_date"].max()}
    draft = draft_cohort(series, records, columns={"patient_id": "id", "lesion_instance": "nr"}, near=near, decimal=",")
    assert draft.cohort["lesion_instance"].tolist() == [12]
    assert "lesion_slice" not in draft.cohort
    columns = {"patient_id": "id"} | dict(zip(POINT_COLUMNS, "xyz", strict=True))
    draft = draft_cohort(series, records, columns=columns, near=near, decimal=",")
    assert draft.cohort[list(POINT_COLUMNS)].iloc[0].tolist() == [1.5, -2.0, 3.25]
    order = [name for name in draft.cohort.columns if name in POSITION_COLUMNS]
    assert order == list(POINT_COLUMNS)
