"""Loaders of the layout of the released script and of BIDS on small trees of files."""

import pytest
from cohort_trees import write_image, write_released

from sklearn_pspd import SliceStackLoader, check_cohort
from sklearn_pspd.cohort import CLINICAL_COLUMNS
from sklearn_pspd.datasets import load_bids, load_jang_layout
from sklearn_pspd.exceptions import InputError

ORDER = ("age_years", "sex", "dose_gy", "n_fractions", "interval_days", "mgmt", "idh")
LABELS = {"0": "PD", "1": "PsPD"}
CODES = {
    "sex": {"0": "female", "1": "male"},
    "mgmt": {"0": "unmethylated", "1": "methylated"},
    "idh": {"0": "wildtype", "1": "mutated", "2": "unknown"},
}


@pytest.fixture
def released(tmp_path):
    return write_released(tmp_path / "train")


def load(root, **changes):
    return load_jang_layout(root, **{"labels": LABELS, "columns": ORDER, "codes": CODES} | changes)


def test_the_released_layout_is_joined_by_id(released):
    cohort = load(released)
    assert check_cohort(cohort) is cohort
    assert cohort["patient_id"].tolist() == ["2", "11"]
    assert cohort["site"].tolist() == ["train", "train"]
    assert cohort[[*CLINICAL_COLUMNS, "outcome"]].to_numpy().tolist() == [
        [55, "male", "unmethylated", "unknown", 60, 30, 82, "PsPD"],
        [40, "female", "methylated", "wildtype", 40.05, 15, 120, "PD"],
    ]
    stacks = SliceStackLoader().fit_transform(cohort)
    assert [round(image.mean(), -3) for image in stacks[0].pixels] == list(range(0, 9000, 1000))
    turned = load(released, labels={"1": "PD", "0": "PsPD"}, site="A")
    assert turned[["site", "outcome"]].to_numpy().tolist() == [["A", "PD"], ["A", "PsPD"]]


def test_a_header_with_the_librarys_names_needs_no_order(released):
    table = (released / "sample.csv").read_text().split("\n")
    table[0] = ",".join(["id", *ORDER, "outcome"])
    (released / "sample.csv").write_text("\n".join(table))
    assert load(released, columns=None).equals(load(released))


def test_any_mismatch_of_the_released_layout_fails(released):
    with (released / "sample.csv").open("a") as file:
        file.write("\n3,55,9,sixty,30,82,0,2,maybe\n2,55,1,60,30,82,0,2,1")
    (released / "4").mkdir()
    (released / "11" / "11_0004.dcm").rename(released / "11" / "11_0009.dcm")
    with pytest.raises(InputError, match="train has 7 problems") as error:
        load(released)
    for text in (
        f"3: has a row in sample.csv but no folder {released / '3'}",
        f"4: has a folder {released / '4'} but no row in sample.csv",
        "11 lacks 11_0004.dcm and also contains 11_0009.dcm",
        "sample.csv, column No: 2 is in rows 2, 5",
        "row 4 (3), column sex: holds '9'",
        "row 4 (3), column dose: holds 'sixty', which is not a number",
        "row 4 (3), column label: holds 'maybe'; it takes '0', '1'",
    ):
        assert text in str(error.value)


def test_refusals_of_the_released_layout(released):
    with pytest.raises(
        ValueError, match=r"the header contains age, sex, dose.*pass columns= with these names in the order"
    ):
        load(released, columns=None)
    with pytest.raises(InputError, match="columns contains age_years, sex, dose_gy"):
        load(released, columns=ORDER[:3])
    with pytest.raises(InputError, match="labels must map each text of the label column to 'PD' or 'PsPD'"):
        load(released, labels={"0": "progression"})
    with pytest.raises(InputError, match=r"codes\['sex'\] takes the codes 'female', 'male'; got 'man'"):
        load(released, codes={**CODES, "sex": {"1": "man"}})
    with pytest.raises(InputError, match=r"codes takes the columns sex, mgmt, idh; got 'age_years'"):
        load(released, codes={"age_years": {"1": 1}})
    with pytest.raises(InputError, match=r"codes\['sex'\] must be a dict; got 'M'"):
        load(released, codes={"sex": "M"})
    (released / "sample.csv").write_text("id,age\n1,2\n")
    with pytest.raises(InputError, match="9 columns are required"):
        load(released)


TSV = (
    "participant_id\tage\tsex\tmgmt\tidh\toutcome\tcentre\n"
    "sub-01\t62\tM\tmethylated\twt\tTP\tA\n"
    "sub-02\t51.5\tfemale\tn/a\tn/a\tPsP\tB\n"
)
BIDS = {
    "columns": {"age_years": "age", "site": "centre"},
    "codes": {"idh": {"wt": "wildtype"}, "outcome": {"TP": "PD", "PsP": "PsPD"}},
}


@pytest.fixture
def bids(tmp_path):
    (tmp_path / "participants.tsv").write_text(TSV)
    write_image(tmp_path / "sub-01" / "anat" / "sub-01_ce-GADOLINIUM_T1w.nii.gz")
    write_image(tmp_path / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    write_image(tmp_path / "sub-01" / "anat" / "sub-01_ce-gadolinium_T2w.nii.gz")
    for session in ("01", "02"):
        folder = tmp_path / "sub-02" / f"ses-{session}" / "anat"
        write_image(folder / f"sub-02_ses-{session}_acq-mprage_ce-gadolinium_run-1_T1w.nii.gz")
    masks = tmp_path / "derivatives" / "lesions"
    write_image(masks / "sub-01" / "anat" / "sub-01_dseg.nii.gz", {1: {5: 4}})
    write_image(masks / "sub-02" / "ses-02" / "anat" / "sub-02_ses-02_dseg.nii.gz", {1: {7: 4}})
    return tmp_path


def test_bids(bids):
    with pytest.raises(
        ValueError, match=r"sub-02: 2 post-contrast images \(sub-02.*; select one by session= or entities"
    ):
        load_bids(bids, **BIDS)
    (bids / "sub-02" / "ses-01").rename(bids / "sourcedata")
    cohort = load_bids(bids, **BIDS, mask_derivative="lesions")
    assert cohort.columns.tolist() == [
        "patient_id", "site", "image", "lesion_mask", "age_years", "sex", "mgmt", "idh", "outcome",
    ]  # fmt: skip
    assert cohort[["patient_id", "site", "age_years", "sex", "mgmt", "idh", "outcome"]].to_numpy().tolist() == [
        ["sub-01", "A", 62, "male", "methylated", "wildtype", "PD"],
        ["sub-02", "B", 51.5, "female", "unknown", "unknown", "PsPD"],
    ]
    assert cohort["image"].str.contains("ce-GADOLINIUM_T1w").tolist() == [True, False]
    stacks = SliceStackLoader(n_slices=3).fit_transform(cohort)
    assert [stack.slice_indices[1] for stack in stacks] == [5, 7]


def test_bids_sessions_and_missing_images(bids):
    with pytest.raises(InputError, match=r"sub-01: no ce-gadolinium T1w image below .*sub-01, ses-02"):
        load_bids(bids, **BIDS, session="02")
    cohort, report = load_bids(bids, **BIDS, session="02", images="available", return_report=True)
    assert cohort["patient_id"].tolist() == ["sub-02"]
    assert report["finding"].tolist() == ["left out: no image"]
    cohort, report = load_bids(
        bids, **BIDS, session="01", images="available", mask_derivative="lesions", return_report=True
    )
    assert cohort["lesion_mask"].isna().tolist() == [True]
    assert "no mask, so the lesion position is missing" in set(report["finding"])
    plain, report = load_bids(bids, **BIDS, images="none", return_report=True)
    assert "image" not in plain
    assert report.empty


def test_bids_names_and_masks(bids):
    """File names match their folders, runs can be selected, and brain masks are ignored."""
    folder, masks = bids / "sub-02" / "ses-02" / "anat", bids / "derivatives" / "lesions"
    write_image(folder / "sub-02_ses-02_acq-mprage_ce-gadolinium_run-02_T1W.nii.gz")
    wrong = bids / "sub-01" / "anat" / "sub-02_ce-gadolinium_T1w.nii.gz"
    write_image(wrong)
    with pytest.raises(InputError, match="has 2 problems") as error:
        load_bids(bids, **BIDS, images="available", session="02")
    assert f"{wrong}: the file name has sub-02, its folders sub-01" in str(error.value)
    assert "run-1_T1w.nii.gz); select one by session= or entities=" in str(error.value)
    wrong.unlink()
    brain, run = masks / "sub-02" / "ses-02" / "anat", {"run": 2}
    (brain / "sub-02_ses-02_dseg.nii.gz").unlink()
    write_image(brain / "sub-02_ses-02_desc-brain_mask.nii.gz", {1: {7: 4}})
    write_image(brain / "sub-02_ses-02_run-1_label-lesion_mask.nii.gz", {1: {7: 4}})
    choice = {"session": "02", "entities": run, "images": "available", "mask_derivative": "lesions"}
    cohort, report = load_bids(bids, **BIDS, **choice, return_report=True)
    assert cohort["image"].str.contains("run-02").tolist() == [True]
    assert cohort["lesion_mask"].isna().all()
    assert "no mask, so the lesion position is missing" in set(report["finding"])
    write_image(brain / "sub-02_ses-02_run-2_label-lesion_mask.nii.gz", {1: {7: 4}})
    cohort, _ = load_bids(bids, **BIDS, **choice, return_report=True)
    assert cohort["lesion_mask"].str.endswith("run-2_label-lesion_mask.nii.gz").tolist() == [True]
    choice["entities"] = {"acq": None}
    with pytest.raises(InputError, match="no patient is left for the cohort"):
        load_bids(bids, **BIDS, **choice)


def test_bids_ranges_and_sites(bids):
    (bids / "participants.tsv").write_text(TSV.replace("51.5", "515").replace("\tB\n", "\tn/a\n"))
    with pytest.raises(InputError, match="has 2 problems") as error:
        load_bids(bids, **BIDS, images="none")
    assert "row 3 (sub-02), column age: holds '515', outside 0 to 120" in str(error.value)
    assert "row 3 (sub-02), column centre: holds 'n/a'; pass site= for participants without a site" in str(error.value)
    (bids / "participants.tsv").write_text(TSV.replace("\tB\n", "\tn/a\n"))
    assert load_bids(bids, **BIDS, images="none", site="C")["site"].tolist() == ["A", "C"]


def test_bids_refusals(bids):
    (bids / "participants.tsv").write_text(TSV.replace("62", "old").replace("wt", "WT?").replace("sub-02", "sub-07"))
    with pytest.raises(InputError, match="has 4 problems") as error:
        load_bids(bids, **BIDS)
    for text in (
        "participants.tsv, row 2 (sub-01), column age: holds 'old', which is not a number",
        "row 2 (sub-01), column idh: holds 'WT?'",
        "sub-02: has post-contrast images but no row in",
        "sub-07: no ce-gadolinium T1w image below",
    ):
        assert text in str(error.value)
    with pytest.raises(InputError, match=r"columns takes the names site, age_years.*got 'age'"):
        load_bids(bids, columns={"age": "age"})
    with pytest.raises(InputError, match=r"codes\['idh'\] takes the codes 'wildtype', 'mutated', 'unknown'; got 'WT'"):
        load_bids(bids, codes={"idh": {"wt": "WT"}})
    with pytest.raises(InputError, match="entities must be a dict; got 'run-1'"):
        load_bids(bids, entities="run-1")
    with pytest.raises(InputError, match="column 'years': missing"):
        load_bids(bids, columns={"age_years": "years"}, images="none")
    (bids / "participants.tsv").unlink()
    with pytest.raises(FileNotFoundError, match="a BIDS data set must contain it"):
        load_bids(bids)
