"""A draft that is saved again: picked positions stay where the image is the same, and the record always."""

import warnings

import pandas as pd
import pytest

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.intake import PickingSession, draft_cohort
from sklearn_pspd.intake.earlier_positions import EarlierPositions
from sklearn_pspd.loading import SliceStackLoader

COLUMNS = {
    "patient_id": "Pat.-Nr.", "mgmt": "MGMT-Status", "radiotherapy_end": "Ende RT", "lesion_date": "Datum Läsion",
}  # fmt: skip
WITH_SLICES = COLUMNS | {"lesion_slice": "Schicht"}
CODES = {"mgmt": {"methyliert": "methylated", "unmethyliert": "unmethylated", "n.b.": "unknown"}}


def decisions(truth):
    """Return the series that a reader would name for each patient who has one."""
    return truth[truth["is_wanted"]].groupby("patient_id")["series_uid"].first().to_dict()


def draft_of(hospital, export, *, codes=CODES, columns=COLUMNS, **changed):
    """Return a draft in which a reader has decided for all patients, but for those in `changed` in another way."""
    folder, _, truth = hospital
    decided = {patient: uid for patient, uid in (decisions(truth) | changed).items() if uid is not None}
    options = {"columns": columns, "codes": codes, "date_order": "dmy", "encoding": "cp1252"}
    return draft_cohort(export[2], folder / "records.csv", decisions=decided, **options)


def session_of(path, **options):
    """Return a session in which the coarse images of the export can be picked."""
    return PickingSession(path, reader="AB", loader=SliceStackLoader(max_spacing_mm=10), **options)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def slices(path):
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return dict(zip(table["patient_id"], table["lesion_slice"], strict=True))


def other_series(export, patient):
    """Return another series of a patient that could be loaded."""
    _, truth, series = export
    usable = series.query("patient_id == @patient and modality == 'MR' and n_positions >= 9 and varies == ''")
    return next(uid for uid in usable["series_uid"] if uid != decisions(truth)[patient])


@pytest.fixture
def picked(hospital, export, tmp_path):
    """A draft with words without a code that was saved, and in which a reader has picked a slice of each patient."""
    path = draft_of(hospital, export, codes={}).save(tmp_path / "study")
    session = session_of(path)
    for number, patient in enumerate(session.patients):
        session.pick(patient, number % 5 + 2)
    return path


def test_a_correction_keeps_the_picks(hospital, export, picked):
    draft, before, record = draft_of(hospital, export), slices(picked), picked.with_suffix(".picks.csv").read_bytes()
    untouched = contents(picked.parent)
    with pytest.raises(
        FileExistsError, match=r"already contains 'cohort\.csv'; save\(folder, overwrite=True\) replaces"
    ):
        draft.save(picked.parent)
    assert contents(picked.parent) == untouched
    assert draft.save(picked.parent, overwrite=True) == picked
    assert slices(picked) == before
    assert "" not in before.values()
    assert pd.read_csv(picked)["mgmt"].notna().all()
    after = contents(picked.parent)
    assert picked.with_suffix(".picks.csv").read_bytes() == record
    # Copies of series that are there are used.
    assert untouched.keys() == after.keys()
    text = (picked.parent / "intake.txt").read_text(encoding="utf-8")
    assert f"Positions of the lesion in the earlier table:\n  kept ({len(before)}): {', '.join(before)}\n" in text
    assert "No position of the lesion" not in text
    # Dates, and numbers without a decimal point, as in a first draft.
    first = pd.read_csv(draft.save(picked.parent / "first"), dtype=str).drop(columns=["lesion_slice", "image"])
    again = pd.read_csv(picked, dtype=str).drop(columns=["lesion_slice", "image"])
    pd.testing.assert_frame_equal(again, first)
    # The reader goes on as before.
    session = session_of(picked)
    assert [str(row["own"]) for row in session.overview()] == list(before.values())


def test_the_pick_of_another_image_is_dropped_and_returns_with_its_image(hospital, export, picked):
    before, record = slices(picked), picked.with_suffix(".picks.csv").read_bytes()
    changed, absent = "04711001", "04711005"
    draft = draft_of(hospital, export, **{changed: other_series(export, changed), absent: None})
    with pytest.warns(
        UserWarning, match=r"dropped, as the image is another one .*pick them again \(1\): 04711001"
    ) as told:
        draft.save(picked.parent, overwrite=True)
    assert "of patients who are not in this draft (1): 04711005" in str(told[0].message)
    assert slices(picked) == {name: "" if name == changed else at for name, at in before.items() if name != absent}
    assert picked.with_suffix(".picks.csv").read_bytes() == record
    # The page shows the patient as open.
    own = {row["patient_id"]: row["own"] for row in session_of(picked).overview()}
    assert [name for name, slice_ in own.items() if slice_ is None] == [changed]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draft_of(hospital, export).save(picked.parent, overwrite=True)
    assert slices(picked) == before
    # Also if somebody has deleted the table.
    picked.unlink()
    with pytest.raises(FileExistsError, match=r"already contains 'cohort\.picks\.csv'"):
        draft_of(hospital, export).save(picked.parent)
    draft_of(hospital, export).save(picked.parent, overwrite=True)
    assert slices(picked) == before


def test_pixels_and_not_paths_say_whether_an_image_is_the_same(hospital, export, picked, monkeypatch):
    before = slices(picked)
    monkeypatch.setattr("sklearn_pspd.intake.earlier_positions.image_sha256", lambda path: "of other pixels")
    with pytest.warns(UserWarning, match=rf"pick them again \({len(before)}\): {', '.join(before)}$"):
        draft_of(hospital, export).save(picked.parent, overwrite=True)
    assert set(slices(picked).values()) == {""}


def test_who_cannot_tell_has_no_position_afterwards(hospital, export, picked):
    session_of(picked).cannot_tell("04711001")
    before = slices(picked)
    draft_of(hospital, export).save(picked.parent, overwrite=True)
    assert slices(picked) == before
    assert before["04711001"] == ""


def test_positions_of_the_spreadsheet_are_corrected_there_and_picks_are_not(hospital, export, tmp_path):
    first = draft_of(hospital, export, columns=WITH_SLICES)
    path = first.save(tmp_path)
    of_spreadsheet = slices(path)
    kept, typed, *_ = of_spreadsheet
    expected = of_spreadsheet | {kept: str(int(of_spreadsheet[kept]) + 1)}
    session_of(path, replace=True).pick(kept, int(of_spreadsheet[kept]) + 1)
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[table["patient_id"] == typed, "lesion_slice"] = str(int(of_spreadsheet[typed]) + 1)
    table.to_csv(path, index=False, sep=";", encoding="utf-8-sig")
    with pytest.warns(UserWarning, match=rf"replaced by those of the spreadsheet \(1\): {typed}"):
        first.save(tmp_path, overwrite=True)
    assert slices(path) == expected
    # Without a column in the spreadsheet, what was typed in by hand stays.
    without = draft_of(hospital, export)
    without.save(tmp_path, overwrite=True)
    assert slices(path) == expected
    table = pd.read_csv(path, dtype=str, keep_default_na=False).rename(columns={"lesion_slice": "lesion_z_mm"})
    table.assign(lesion_z_mm="12.5").to_csv(path, index=False)
    without.save(tmp_path, overwrite=True)
    assert set(pd.read_csv(path)["lesion_z_mm"]) == {12.5}
    assert set(slices(path).values()) == {""}


def test_an_earlier_table_that_cannot_be_read_stays_with_all_files(hospital, export, picked):
    draft = draft_of(hospital, export, **{"04711001": other_series(export, "04711001")})
    picked.write_text("name;age\nA;1\n")
    before = contents(picked.parent)
    with pytest.raises(InputError, match=r"cohort\.csv has no row with the names of the columns"):
        draft.save(picked.parent, overwrite=True)
    assert contents(picked.parent) == before
    picked.write_text("patient_id,image\nA,1\na,2\n")
    with pytest.raises(InputError, match="one row per patient"):
        draft.save(picked.parent, overwrite=True)


def test_everybody_who_lost_a_position_is_named():
    ids = [f"P{number}" for number in range(12)]
    kept, lost = f"kept (12): {', '.join(ids[:10])} and 2 more\n", f"(12): {', '.join(ids)}\n"
    for place in range(4):
        groups = [ids if number == place else [] for number in range(4)]
        assert EarlierPositions(pd.DataFrame(), *groups).report().endswith(lost if place else kept)


def test_overwriting_an_empty_folder_is_a_first_draft(hospital, export, tmp_path):
    draft = draft_of(hospital, export)
    first, second = draft.save(tmp_path / "first"), draft.save(tmp_path / "second", overwrite=True)
    assert contents(first.parent) == contents(second.parent)
    assert (first.parent / "intake.txt").read_text(encoding="utf-8") == draft.report()
