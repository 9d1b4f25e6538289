"""Images that were not fetched, foreign files and other DICOM objects in the folders of public cohorts."""

import gzip
import re
from pathlib import Path

import pytest
from cohort_trees import (
    HISTORIES,
    line,
    write_image,
    write_lumiere,
    write_mu,
    write_released,
    write_table,
    write_upenn,
)
from dicom_trees import write_images, write_object, write_plan

from sklearn_pspd import SliceStackLoader
from sklearn_pspd.datasets import (
    load_bids,
    load_burdenko,
    load_jang_layout,
    load_lumiere,
    load_mu_glioma_post,
    load_upenn_gbm,
)
from sklearn_pspd.exceptions import InputError

PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.11.1"
REPLACED = {
    "link": (None, "is a link to a file that is not there"),
    "placeholder": (b"/annex/objects/MD5E-s52--01.nii.gz\n", "is a placeholder of git-annex"),
    "empty": (b"", r"is neither a NIfTI file nor a DICOM file \(empty file\)"),
    "damaged": (gzip.compress(bytes(9999))[:20], "cannot be read"),
}


def replace(path, content):
    path.unlink()
    if content is None:
        path.symlink_to("../.git/annex/objects/absent")
    else:
        path.write_bytes(content)


def upenn(root):
    write_upenn(root)
    image = root / "NIfTI-files" / "images_structural" / "UPENN-GBM-00001_21" / "UPENN-GBM-00001_21_T1GD.nii.gz"
    return (
        "UPENN-GBM-00001",
        image,
        lambda images: load_upenn_gbm(root, pspd_scores=(1,), pd_scores=(6,), images=images, return_report=True),
    )


def lumiere(root):
    write_lumiere(root, {name: HISTORIES[name] for name in ("Patient-001", "Patient-002")})
    for name, week in (("Patient-001", "016"), ("Patient-002", "010")):
        image = root / "Imaging" / name / f"week-{week}" / "CT1.nii.gz"
        write_image(image)
    return "Patient-002", image, lambda images: load_lumiere(root, images=images, return_report=True)


def mu(root):
    write_mu(root)
    for name, timepoint in (("PatientID_0003", 2), ("PatientID_0004", 1), ("PatientID_0007", 2)):
        folder = root / name / f"Timepoint_{timepoint}"
        image = folder / f"{name}_Timepoint_{timepoint}_t1c.nii.gz"
        write_image(image)
        write_image(folder / f"{name}_Timepoint_{timepoint}_tumorMask.nii.gz", {1: {4: 5}})
    return (
        "PatientID_0007",
        image,
        lambda images: load_mu_glioma_post(
            root, enhancing_label=1, max_days_apart=31, images=images, return_report=True
        ),
    )


def bids(root):
    root.mkdir(exist_ok=True)
    (root / "participants.tsv").write_text("participant_id\tage_years\nsub-01\t50\nsub-02\t60\n")
    for name in ("sub-01", "sub-02"):
        image = root / name / "anat" / f"{name}_ce-gadolinium_T1w.nii.gz"
        write_image(image)
    return "sub-02", image, lambda images: load_bids(root, images=images, return_report=True)


@pytest.mark.parametrize("cohort_of", [upenn, lumiere, mu, bids])
@pytest.mark.parametrize("kind", REPLACED)
def test_an_image_that_is_no_image_is_reported_by_patient(tmp_path, cohort_of, kind):
    patient_id, image, read = cohort_of(tmp_path)
    content, match = REPLACED[kind]
    assert patient_id in read("available")[0]["patient_id"].tolist()
    replace(image, content)
    with pytest.raises(InputError, match=f"{patient_id}: {re.escape(str(image))} {match}"):
        read("required")
    cohort, report = read("available")
    assert len(cohort) >= 1
    assert patient_id not in cohort["patient_id"].tolist()
    (value,) = report.loc[report["patient_id"].eq(patient_id) & report["finding"].eq("left out: no image"), "value"]
    assert re.search(match, value)


@pytest.mark.parametrize("kind", REPLACED)
def test_a_mask_that_is_no_image_is_a_problem(tmp_path, kind):
    patient_id, image, read = mu(tmp_path)
    mask = image.with_name(image.name.replace("t1c", "tumorMask"))
    replace(mask, REPLACED[kind][0])
    with pytest.raises(InputError, match=f"1 problem:\n  {patient_id}: {re.escape(str(mask))} {REPLACED[kind][1]}"):
        read("available")
    bids(tmp_path / "bids")
    mask = tmp_path / "bids" / "derivatives" / "lesions" / "sub-02" / "anat" / "sub-02_dseg.nii.gz"
    write_image(mask, {1: {4: 5}})
    replace(mask, REPLACED[kind][0])
    with pytest.raises(InputError, match=f"sub-02: {re.escape(str(mask))} {REPLACED[kind][1]}"):
        load_bids(tmp_path / "bids", mask_derivative="lesions", return_report=True)


def burdenko(root):
    """Write one patient with the post-contrast series of the follow-up and a plan; return the two folders."""
    write_table(root, line("Burdenko-GBM-001", ("progression", "2/3/05")))
    image, plan = root / "Burdenko-GBM-001" / "1" / "CET1", root / "Burdenko-GBM-001" / "1" / "PLAN"
    write_images(image, "2005-02-03", "MR CET1")
    write_plan(plan, "2004-09-01")
    return image, plan


def test_burdenko_and_the_loader_pass_over_the_same_files(tmp_path):
    """Other objects come first in the folder, so that its first header is not that of the series."""
    image, _ = burdenko(tmp_path)
    write_object(image / "0000.dcm", PRESENTATION_STATE, "PR")
    for name in ("Thumbs.db", "LICENSE", "report.pdf"):
        (image / name).write_bytes(b"\xd0\xcf\x11\xe0" * 100)
    for file in image.glob("1-*.dcm"):
        file.write_bytes(gzip.compress(file.read_bytes()))
    cohort, _ = load_burdenko(tmp_path, return_report=True)
    assert cohort["image"].tolist() == [str(image)]
    assert cohort["dose_gy"].tolist() == [60]
    quality = SliceStackLoader(n_slices=3).inspect(cohort.assign(lesion_slice=5))
    assert quality["problem"].tolist() == [""]
    assert quality["n_passed_over"].tolist() == [4]


def test_burdenko_lists_all_files_of_a_patient_that_cannot_be_read(tmp_path):
    image, plan = burdenko(tmp_path)
    replace(plan / "1-1.dcm", None)
    replace(image / "1-01.dcm", b"")
    with pytest.raises(InputError, match="has 2 problems") as error:
        load_burdenko(tmp_path, images="available")
    assert re.search(r"Burdenko-GBM-001: .*PLAN/1-1\.dcm is a link to a file that is not there", str(error.value))
    assert re.search(r"Burdenko-GBM-001: .*CET1/1-01\.dcm is not a DICOM file \(empty file\)", str(error.value))


def test_released_layout_names_slices_that_are_not_there(tmp_path):
    write_released(tmp_path)
    replace(tmp_path / "2" / "2_0000.dcm", None)
    replace(tmp_path / "2" / "2_0001.dcm", b"")
    columns = ["age_years", "sex", "dose_gy", "n_fractions", "interval_days", "mgmt", "idh"]
    codes = {
        "sex": {"0": "female", "1": "male"},
        "mgmt": {"0": "unmethylated", "1": "methylated"},
        "idh": {"0": "wildtype", "1": "mutated", "2": "unknown"},
    }
    with pytest.raises(InputError, match="has 2 problems") as error:
        load_jang_layout(tmp_path, labels={"0": "PD", "1": "PsPD"}, columns=columns, codes=codes)
    assert "2_0000.dcm is a link to a file that is not there" in str(error.value)
    assert "2_0001.dcm is not a DICOM file (empty file)" in str(error.value)


@pytest.mark.parametrize("name", ["P[1]", "*", "P?1", "x" * 300])
def test_ids_are_no_patterns_and_may_be_longer_than_file_names(tmp_path, name):
    for folder in ("P1", "P01"):
        write_images(tmp_path / folder / "CET1", "2005-02-03", "MR CET1")
    write_table(tmp_path, line(name, ("progression", "2/3/05")))
    with pytest.raises(InputError, match=re.escape(f"no folder {name} in")):
        load_burdenko(tmp_path)
    if len(name) < 256:
        write_images(tmp_path / name / "CET1", "2005-02-03", "MR CET1")
        cohort, _ = load_burdenko(tmp_path, return_report=True)
        assert cohort["image"].tolist() == [str(Path(tmp_path / name / "CET1").resolve())]


def test_a_table_that_was_not_fetched_is_named(tmp_path):
    write_upenn(tmp_path)
    replace(tmp_path / "UPENN-GBM_clinical_info_v1.0.csv", None)
    with pytest.raises(FileNotFoundError, match=r"v1\.0\.csv: .*is a link to a file that is not there"):
        load_upenn_gbm(tmp_path, pspd_scores=(1,), pd_scores=(6,))
