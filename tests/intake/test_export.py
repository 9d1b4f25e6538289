"""The synthetic export of a hospital."""

import pytest

from sklearn_pspd import make_cohort
from sklearn_pspd.datasets.export import EXPORT_TRAPS
from sklearn_pspd.exceptions import InputError


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_images(tmp_path):
    small = {"layout": "export", "matrix_px": (32,), "n_native_slices": 10}
    tables = [make_cohort(tmp_path / f"{run}", 1, **small, random_state=run // 2) for run in range(3)]
    first, again, other = (contents(tmp_path / f"{run}") for run in range(3))
    assert first == again
    assert tables[0].equals(tables[1])
    assert not set(tables[0]["series_uid"]) & set(tables[2]["series_uid"])
    assert any(first[name] != other.get(name) for name in first)
    with pytest.raises(FileExistsError, match="already contains 'dicom'"):
        make_cohort(tmp_path / "0", 1, **small)
    with pytest.raises(InputError, match="layout='tree'; it must be one of 'cohort', 'export'"):
        make_cohort(tmp_path / "1", layout="tree")
    with pytest.raises(InputError, match="n_patients=0; at least 1"):
        make_cohort(tmp_path / "3", 0, **small)


def test_each_difficulty_is_there(hospital):
    _, cohort, truth = hospital
    assert set(truth["trap"]) == set(EXPORT_TRAPS)
    assert set(truth["synthetic_id"]) == set(cohort["patient_id"])
    assert truth["series_uid"].is_unique
    # One wanted series per patient: two of the patient "repeated", none of the one without.
    assert truth.groupby("trap")["is_wanted"].sum().to_dict() == dict.fromkeys(EXPORT_TRAPS, 1) | {
        "no post-contrast series": 0,
        "repeated": 2,
    }
