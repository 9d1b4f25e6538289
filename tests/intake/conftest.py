"""A synthetic export of a hospital, whose truth is known."""

import pytest

from sklearn_pspd import make_cohort
from sklearn_pspd.datasets.export import write_export
from sklearn_pspd.intake import list_series


@pytest.fixture(scope="session")
def hospital(tmp_path_factory):
    """Folder of an export of eight patients, the cohort behind it, and the truth about its series."""
    folder = tmp_path_factory.mktemp("export")
    cohort = make_cohort(folder / "cohort", 8, matrix_px=(32,), n_native_slices=10, random_state=0)
    return folder, cohort, write_export(folder, cohort)


@pytest.fixture(scope="session")
def export(hospital):
    """Folder of the export, the truth about its series, and the list of them."""
    folder, _, truth = hospital
    return folder, truth, list_series(folder / "dicom")
