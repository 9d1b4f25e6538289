"""Pixels of a pre- and a post-contrast series that nothing else tells apart."""

import numpy as np
import pandas as pd
import pytest

from sklearn_pspd.intake import choose_series
from sklearn_pspd.intake.pixel_check import LEAST_RATIO, bright_end_ratio
from sklearn_pspd.loading import SliceStackLoader


@pytest.fixture(scope="module")
def near(export):
    return export[1].groupby("patient_id")["lesion_date"].first()


@pytest.fixture(scope="module")
def ranked(export, near):
    return choose_series(export[2], near=near, pixels=True)


def patient_with(truth, trap):
    return truth.loc[truth["trap"] == trap, "patient_id"].iloc[0]


def with_changed(series, uids, **changes):
    """Return the table with other values in the rows of some series."""
    rows = [row | (changes if row["series_uid"] in uids else {}) for row in series.to_dict("records")]
    return pd.DataFrame(rows).astype(series.dtypes)


def test_pixels_decide_where_only_the_order_speaks(export, ranked):
    _, truth, _ = export
    patient = patient_with(truth, "no words")
    (best,) = ranked[ranked["chosen"] & (ranked["patient_id"] == patient)].to_dict("records")
    assert best["series_uid"] in set(truth.loc[truth["is_wanted"], "series_uid"])
    assert "brighter_of_pair" in best["evidence"]
    assert "only the pixels and the order of acquisition speak for contrast" in best["remark"]
    assert not any(patient in line for line in ranked.attrs["doubts"])
    (line,) = [line for line in ranked.attrs["pixel_checks"] if patient in line]
    assert "is brighter than" in line


def test_the_other_doubts_remain(export, ranked, near):
    _, truth, series = export
    without = choose_series(series, near=near)
    assert without.attrs["pixel_checks"] == []
    assert not without["evidence"].str.contains("of_pair \\(ratio").any()
    doubts = set(ranked.loc[ranked["doubt"] != "", "patient_id"])
    expected = {patient_with(truth, trap) for trap in ("swapped order", "no post-contrast series", "repeated")}
    assert doubts == expected | {"QA"}
    # Two series with the same contrast are told apart by nothing.
    lines = [line for line in ranked.attrs["pixel_checks"] if patient_with(truth, "repeated") in line]
    assert sum("undecided" in line for line in lines) == 1
    assert len(lines) == 3


def test_pixels_that_contradict_the_words_are_a_doubt(export, near):
    """At the scanner, the names of the two series were mixed up, and so were their tags and times."""
    _, truth, series = export
    patient = patient_with(truth, "none")
    wanted = truth[truth["is_wanted"] & (truth["patient_id"] == patient)].iloc[0]
    before = truth[(truth["kind"] == "t1_pre") & (truth["study_date"] == wanted["study_date"])]
    pair = [wanted["series_uid"], before.loc[before["patient_id"] == patient, "series_uid"].iloc[0]]
    mixed = series[series["patient_id"] == patient].set_index("series_uid", drop=False)
    columns = ["description", "protocol", "contrast_agent", "acquired"]
    mixed.loc[pair, columns] = mixed.loc[pair[::-1], columns].to_numpy()
    mixed = mixed.reset_index(drop=True)
    assert choose_series(mixed, near=near).query("chosen")["series_uid"].tolist() == [pair[1]]
    checked = choose_series(mixed, near=near, pixels=True)
    assert not checked["chosen"].any()
    assert "signs for and against contrast" in checked.attrs["doubts"][0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"frame_uid": "1.2.3"}, "another frame of reference"),
        ({"files": ("absent",), "folder": "absent"}, "the pixels cannot be read"),
    ],
)
def test_what_cannot_be_compared_is_listed_and_decides_nothing(export, near, changes, reason):
    _, truth, series = export
    patient = patient_with(truth, "no words")
    wanted = set(truth.loc[truth["is_wanted"], "series_uid"])
    series = with_changed(series[series["patient_id"] == patient], wanted, **changes)
    ranked = choose_series(series, near=near, pixels=True)
    assert not ranked["chosen"].any()
    (line,) = ranked.attrs["pixel_checks"]
    assert reason in line


def test_another_grid_is_not_compared(export, near, tmp_path):
    import pydicom

    _, truth, series = export
    patient = patient_with(truth, "no words")
    series = series[series["patient_id"] == patient]
    wanted = set(truth.loc[truth["is_wanted"], "series_uid"])
    files = []
    for file in series.loc[series["series_uid"].isin(wanted), "files"].iloc[0]:
        image = pydicom.dcmread(file)
        image.ImagePositionPatient[0] += 30
        files.append(str(tmp_path / f"{len(files)}"))
        image.save_as(files[-1])
    series = with_changed(series, wanted, files=tuple(files), folder=str(tmp_path))
    ranked = choose_series(series, near=near, pixels=True)
    assert "another grid" in ranked.attrs["pixel_checks"][0]


@pytest.mark.parametrize("name", ["brain1_image.nii.gz", "brain2_image.nii.gz", "dicom_t1w_whole_head"])
def test_noise_gain_and_movement_are_no_enhancement_and_spots_are(shared_data, name):
    """On real heads: two scans with the same contrast are not told apart; 1 % of tissue that becomes bright is seen."""
    table = pd.DataFrame([{"patient_id": name, "image": str(shared_data / name), "lesion_slice": 7}])
    (stack,) = SliceStackLoader(n_slices=15).transform(table)
    volume, rng = stack.pixels.astype(float), np.random.default_rng(0)
    tissue = volume > 0.2 * np.percentile(volume, 95)
    usual = np.median(volume[tissue])
    noisy = 1.8 * np.roll(np.abs(volume + rng.normal(0, 0.05 * usual, volume.shape)), 1, axis=2)
    assert 1 / LEAST_RATIO < bright_end_ratio(volume, noisy) < LEAST_RATIO
    spots = tissue & (rng.random(volume.shape) < 0.01)
    after = np.where(spots, 2 * np.percentile(volume[tissue], 99.9), volume)
    assert bright_end_ratio(noisy, after) > LEAST_RATIO
    assert bright_end_ratio(after, noisy) < 1 / LEAST_RATIO


def test_too_little_tissue_decides_nothing():
    assert bright_end_ratio(np.zeros((9, 4, 4)), np.ones((9, 4, 4))) == 1.0
    assert bright_end_ratio(np.full((20, 20, 20), np.nan), np.ones((20, 20, 20))) == 1.0
