"""Lesions whose place in the plane is a point of the cohort table."""

import pandas as pd

from sklearn_pspd.inspection.regions import has_region


def test_a_mask_or_a_point_is_a_place_in_the_plane():
    table = pd.DataFrame(
        {
            "patient_id": ["a", "b", "c", "d"],
            "lesion_mask": ["m.nii", None, None, None],
            "lesion_x_mm": [None, 1.0, 1.0, None],
            "lesion_y_mm": [None, 2.0, None, None],
            "lesion_z_mm": [None, 3.0, 3.0, None],
        }
    )
    assert [has_region(row) for row in table.to_dict("records")] == [True, True, False, False]
    assert not has_region({"lesion_slice": 3})
