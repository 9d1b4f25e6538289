"""Picks of the lesion's slice: what is written, and what stays as it was."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from sklearn_pspd import make_cohort, read_cohort
from sklearn_pspd.cohort import POSITION_COLUMNS
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.intake import PickingSession, read_picks, slice_agreement
from sklearn_pspd.intake.pick_records import PICK_COLUMNS
from sklearn_pspd.intake.shown_volume import read_shown_volume
from sklearn_pspd.loading import SliceStackLoader

IDS = ["P1", "P2", "P3"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three patients with images of the orientations RAS, LAS and LPS."""
    return make_cohort(tmp_path_factory.mktemp("images"), 6, matrix_px=(128,), n_native_slices=12, random_state=0)[:3]


@pytest.fixture
def table(images, tmp_path):
    """A table without positions, as a hospital may have it."""
    lines = [
        "patient_id;site;image;age_years",
        *(f"{p};Köln;{i};55,5" for p, i in zip(IDS, images["image"], strict=True)),
    ]
    path = tmp_path / "cohort.csv"
    path.write_bytes("\r\n".join([*lines, ""]).encode("cp1252"))
    return path


def session_of(table, reader="AB", **options):
    return PickingSession(table, reader=reader, encoding="cp1252", **options)


def positions(table):
    return pd.read_csv(table, sep=";", encoding="cp1252", dtype=str, index_col="patient_id")["lesion_slice"].to_dict()


def test_a_pick_changes_its_cell_and_the_record_only(table, images):
    before = table.read_bytes()
    session = session_of(table)
    assert session.patients == IDS
    assert session.pick("P2", 5) is True
    image = str(images["image"].iloc[1]).encode()
    expected = before.replace(b"age_years", b"age_years;lesion_slice").replace(b"55,5\r\n", b"55,5;\r\n")
    assert table.read_bytes() == expected.replace(image + b";55,5;", image + b";55,5;5")
    record = read_picks(session.picks_path)
    assert session.picks_path == table.with_name("cohort.picks.csv")
    assert record.columns.tolist() == list(PICK_COLUMNS)
    row = record.iloc[0]
    assert (row["patient_id"], row["lesion_slice"], row["reader"], row["cannot_tell"], row["in_table"]) == (
        "P2", 5, "AB", False, True,
    )  # fmt: skip
    assert abs(row["time_utc"] - pd.Timestamp.now("UTC")) < pd.Timedelta(minutes=5)
    assert re.fullmatch("[0-9a-f]{64}", row["image_sha256"])


def test_slices_and_heights_are_those_of_the_loader(table, images):
    """The slice that is shown under an index is the one that is loaded by this index, and by its height."""
    session = session_of(table)
    loader = SliceStackLoader(n_slices=1)
    for patient, image in zip(IDS, images["image"], strict=True):
        volume = session.volume(patient)
        for index in (0, 7):
            session.pick(patient, index)
            height = session.picks()["lesion_z_mm"].iloc[-1]
            for position in ({"lesion_slice": index}, {"lesion_z_mm": height}):
                (stack,) = loader.transform(pd.DataFrame([{"patient_id": patient, "image": image, **position}]))
                assert stack.slice_indices == (index,)
                shown = volume.pixels[index].astype(float)
                inside = (shown > 0) & (shown < 255)
                assert np.corrcoef(shown[inside], stack.pixels[0][inside])[0, 1] > 0.999
            assert volume.spacing_mm == pytest.approx((stack.slice_spacing_mm, *stack.spacing_mm), rel=0.2)


def test_a_second_reader_changes_the_record_only(table):
    session_of(table).pick("P1", 4)
    second = session_of(table, "CD")
    # The first pick is not shown before the second reader's own.
    assert second.table_slice("P1") is None
    assert second.overview()[0] == {"patient_id": "P1", "own": None, "in_table": True, "readers": ["AB"]}
    assert second.pick("P1", 6) is False
    assert second.table_slice("P1") == 4
    assert positions(table)["P1"] == "4"
    assert second.picks()["in_table"].tolist() == [True, False]
    # The first reader may think again; the second one may not withdraw what is not theirs.
    assert second.cannot_tell("P1") is False
    assert session_of(table).pick("P1", 5) is True
    assert positions(table)["P1"] == "5"
    assert session_of(table, "CD", replace=True).pick("P1", 6) is True
    assert positions(table)["P1"] == "6"
    # Now it is the second reader's.
    assert session_of(table).pick("P1", 3) is False
    assert session_of(table, "CD").pick("P1", 7) is True


def test_who_cannot_tell_withdraws_the_own_pick(table):
    session = session_of(table)
    assert session.cannot_tell("P1") is False
    assert "lesion_slice" not in table.read_text(encoding="cp1252")
    session.pick("P1", 4)
    assert session.cannot_tell("P1") is True
    assert positions(table)["P1"] != positions(table)["P1"]  # empty
    assert session.overview()[0]["own"] == "cannot tell"
    assert session.picks()["lesion_slice"].isna().tolist() == [True, False, True]
    assert session_of(table, "CD").pick("P1", 6) is True


def test_a_pick_that_was_taken_out_of_the_table_is_open_again(table):
    session, second = session_of(table), session_of(table, "CD")
    session.pick("P1", 4)
    second.pick("P1", 6)
    table.write_bytes(table.read_bytes().replace(b"55,5;4", b"55,5;"))
    assert session.overview()[0] == {"patient_id": "P1", "own": None, "in_table": False, "readers": ["CD"]}
    # This pick never was in the table.
    assert second.overview()[0]["own"] == 6
    assert session.pick("P1", 5) is True
    assert session.overview()[0]["own"] == 5


def test_a_position_of_another_origin_stays_unless_it_is_replaced(table, images):
    height = f"{session_of(table).volume('P1').height_mm(8):.1f}".replace(".", ",")
    lines = table.read_text(encoding="cp1252").replace("age_years", "lesion_z_mm").replace("55,5", "").splitlines()
    lines[1] += height
    table.write_text("\n".join(lines) + "\n", encoding="cp1252")
    session = session_of(table, decimal=",")
    assert session.table_slice("P1") == 8
    assert session.pick("P1", 5) is False
    assert "lesion_slice" not in table.read_text(encoding="cp1252")
    assert session_of(table, replace=True).pick("P1", 5) is True
    row = pd.read_csv(table, sep=";", encoding="cp1252", dtype=str).iloc[0]
    given = [name for name in POSITION_COLUMNS if name in row and not pd.isna(row[name])]
    # A table has one position per patient.
    assert given == ["lesion_slice"]
    # A cell that somebody changed by hand is nobody's pick.
    table.write_text(table.read_text(encoding="cp1252").replace(";;5", ";;6"), encoding="cp1252")
    assert session_of(table).pick("P1", 4) is False


def test_what_others_write_meanwhile_is_kept(table):
    session = session_of(table)
    session.pick("P1", 4)
    lines = table.read_text(encoding="cp1252").splitlines()
    # Sorted by another program, with a new cell.
    table.write_text("\n".join([lines[0], lines[3], lines[2], lines[1].replace("Köln", "Bonn")]), encoding="cp1252")
    session.pick("P2", 5)
    assert positions(table) == {"P3": pytest.approx(np.nan, nan_ok=True), "P2": "5", "P1": "4"}
    assert "Bonn" in table.read_text(encoding="cp1252")
    table.write_text("\n".join(lines[:2]), encoding="cp1252")
    with pytest.raises(InputError, match="it has not one row of patient P2 any more"):
        session.pick("P2", 5)


def test_readers_at_the_same_time_lose_nothing(table):
    sessions = [session_of(table, reader) for reader in ("AB", "CD", "EF")]
    work = [(session, patient, index) for index in (3, 4, 5) for session in sessions for patient in IDS]
    with ThreadPoolExecutor(9) as pool:
        list(pool.map(lambda item: item[0].pick(*item[1:]), work))
    record = read_picks(sessions[0].picks_path)
    assert len(record) == len(work)
    written = record[record["in_table"]].groupby("patient_id").last()
    assert positions(table) == written["lesion_slice"].astype(str).to_dict()
    assert {path.name for path in table.parent.iterdir()} == {"cohort.csv", "cohort.picks.csv"}


@pytest.mark.parametrize("index", [-1, 12, 2.5, "3", True, None, float("nan")])
def test_slices_that_are_not_there_are_refused(table, index):
    before = table.read_bytes()
    with pytest.raises(InputError, match="patient P1: lesion_slice must be a whole number from 0 to 11"):
        session_of(table).pick("P1", index)
    assert table.read_bytes() == before
    assert not table.with_name("cohort.picks.csv").exists()


def test_tables_and_readers_are_checked(table, tmp_path):
    with pytest.raises(InputError, match="no patient 'P9'"):
        session_of(table).pick("P9", 3)
    for reader in ("", " ", "A\nB", None, "x" * 61):
        with pytest.raises(InputError, match="reader must be a name"):
            session_of(table, reader)
    bad = tmp_path / "bad.csv"
    bad.write_text("patient_id,image\nP1,\np1,a.nii\n,b.nii\n")
    with pytest.raises(InputError, match="has 3 problems") as error:
        PickingSession(bad, reader="AB")
    for text in ("row 2: column image is empty", "row 4: column patient_id is empty", "2 rows"):
        assert text in str(error.value)
    bad.write_text("patient_id,site\nP1,A\n")
    with pytest.raises(InputError, match="column image: missing"):
        PickingSession(bad, reader="AB")
    with pytest.raises(FileNotFoundError):
        PickingSession(tmp_path / "absent.csv", reader="AB")
    (tmp_path / "cohort.picks.csv").write_text("something\n1\n")
    with pytest.raises(InputError, match="column lesion_slice: missing"):
        session_of(table)


def test_an_interrupted_writer_is_named(table, monkeypatch):
    session = session_of(table)
    table.with_name(".cohort.csv.lock").touch()
    monkeypatch.setattr("sklearn_pspd.intake.picking.LOCK_SECONDS", 0.1)
    with pytest.raises(InputError, match=r"delete .*\.cohort\.csv\.lock if none is"):
        session.pick("P1", 3)


def test_the_digest_is_of_pixels_and_grid(images, tmp_path):
    import nibabel as nib

    image = nib.load(images["image"].iloc[0])
    voxels, affine = np.asarray(image.dataobj), image.affine
    turned = nib.as_closest_canonical(image)
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "same.nii")
    nib.save(nib.Nifti1Image(np.asarray(turned.dataobj), turned.affine), tmp_path / "turned.nii.gz")
    nib.save(nib.Nifti1Image(voxels, affine + np.diag([0, 0, 0.1, 0])), tmp_path / "thicker.nii")
    nib.save(nib.Nifti1Image(voxels + np.int16(1), affine), tmp_path / "brighter.nii")
    loader = SliceStackLoader()
    names = ("same.nii", "turned.nii.gz", "thicker.nii", "brighter.nii")
    same, turned, thicker, brighter = (read_shown_volume(str(tmp_path / name), loader).sha256 for name in names)
    assert same == turned == read_shown_volume(images["image"].iloc[0], loader).sha256
    assert len({same, thicker, brighter}) == 3


def test_large_matrices_are_shown_smaller_in_the_same_place(tmp_path):
    import nibabel as nib

    voxels = np.random.default_rng(0).integers(0, 100, (700, 1100, 9)).astype(np.int16)
    voxels[600, 100, 3] = 2000
    nib.save(nib.Nifti1Image(voxels, np.diag([0.3, 0.2, 1.0, 1.0])), tmp_path / "large.nii")
    volume = read_shown_volume(str(tmp_path / "large.nii"), SliceStackLoader())
    assert volume.pixels.shape == (9, 366, 233)
    assert volume.spacing_mm == pytest.approx((1.0, 0.6, 0.9))
    # Rows run to the back, columns to the left: of 1099 - 100 and 699 - 600 the third part.
    assert np.unravel_index(volume.pixels.argmax(), volume.pixels.shape) == (3, 333, 33)


def record_of(**slices):
    """Return a record in which each reader has picked the given slices, 2 mm apart; None: cannot tell."""
    rows = [
        {"patient_id": f"P{number}", "lesion_slice": index, "slice_spacing_mm": 2.0, "cannot_tell": index is None,
         "reader": reader, "image_sha256": f"{number}"}
        for reader, indices in slices.items()
        for number, index in enumerate(indices)
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"lesion_slice": "Int64"})


def test_agreement_of_two_readers():
    (row,) = slice_agreement(record_of(A=[10, 20, 30, None, 7], B=[10, 21, 28, 12, None])).to_dict("records")
    assert (row["n_patients"], row["n_cannot_tell_1"], row["n_cannot_tell_2"]) == (3, 1, 1)
    assert (row["mean_abs_difference_mm"], row["max_abs_difference_mm"]) == (2.0, 4.0)
    assert 0 <= row["difference_low_mm"] <= 2 <= row["difference_high_mm"] <= 4
    # By the two-way analysis of variance of [[20, 20], [40, 42], [60, 56]]: mean squares 724.67, 0.67, 4.67.
    assert row["icc"] == pytest.approx((724.667 - 4.667) / (724.667 + 4.667 + 2 * (0.667 - 4.667) / 3), rel=1e-4)
    assert row["icc_low"] < row["icc"] < row["icc_high"] <= 1


def test_agreement_needs_the_same_images_and_two_readers():
    picks = record_of(A=[10, 20, 30], B=[10, 21, 28], C=[1, 2, 3])
    assert slice_agreement(picks)[["reader_1", "reader_2"]].to_numpy().tolist() == [["A", "B"], ["A", "C"], ["B", "C"]]
    # The last pick of a reader counts.
    again = pd.concat([picks[:6], record_of(B=[12])])
    assert slice_agreement(again).loc[0, "max_abs_difference_mm"] == 4.0
    picks.loc[4, "image_sha256"] = "other"
    with pytest.raises(InputError, match="patient P1: A and B saw different images; one of them must pick again"):
        slice_agreement(picks)
    with pytest.raises(InputError, match="picks of 1 reader"):
        slice_agreement(record_of(A=[1, 2]))
    few = slice_agreement(record_of(A=[10, 20], B=[11, 20])).iloc[0]
    assert few["mean_abs_difference_mm"] == 1.0
    assert few[["icc", "icc_low", "difference_low_mm"]].isna().all()


def test_the_picked_table_is_a_cohort_table(images, tmp_path):
    cohort = images.drop(columns="lesion_slice")
    cohort.to_csv(tmp_path / "cohort.csv", index=False)
    session = PickingSession(tmp_path / "cohort.csv", reader="AB")
    for patient, index in zip(cohort["patient_id"], images["lesion_slice"], strict=True):
        session.pick(patient, index)
    found = read_cohort(tmp_path / "cohort.csv", clinical=["age_years"])
    assert found["lesion_slice"].tolist() == images["lesion_slice"].tolist()
