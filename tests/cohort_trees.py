"""Small trees of files in the layouts of the public cohorts."""

import nibabel as nib
import numpy as np
import pandas as pd
from dicom_trees import write_images

from sklearn_pspd.datasets.burdenko import VISITS

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def write_image(path, mask=None):
    """Write a volume of 12 x 13 x 11 voxels, or a mask; `mask` is {label: {slice: side length}}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(0).normal(100, 10, (12, 13, 11)).astype(np.float32)
    if mask is not None:
        voxels = np.zeros(voxels.shape, dtype=np.uint8)
        for label, slices in mask.items():
            for number, side in slices.items():
                voxels[2 : 2 + side, 2 + label : 3 + label, number] = label
    nib.save(nib.Nifti1Image(voxels, AFFINE), path)


UPENN_HEADER = (
    "ID,Gender,Age_at_scan_years,Survival_from_surgery_days,IDH1,MGMT,KPS,GTR_over90percent,"
    "Time_since_baseline_preop,PsP_TP_score\n"
)

UPENN = UPENN_HEADER + (
    "UPENN-GBM-00001_11,F,52.16,Not Available,Wildtype,Not Available,Not Available,Y,0,NA\n"
    "UPENN-GBM-00001_21,F,53.5,Not Available,Wildtype,Indeterminate,Not Available,Not Applicable,521,6\n"
    "UPENN-GBM-00002_21,M,40.1,Not Available,NOS/NEC,Methylated,Not Available,Not Applicable,Not Available,1\n"
    "UPENN-GBM-00003_21,M,61,Not Available,Mutated,Unmethylated,Not Available,Not Applicable,90,3\n"
    "UPENN-GBM-00004_21,M,61,Not Available,Mutated,Unmethylated,Not Available,Not Applicable,90,NA\n"
)


def write_upenn(root):
    root.mkdir(exist_ok=True)
    (root / "UPENN-GBM_clinical_info_v1.0.csv").write_text(UPENN)
    for scan in ("UPENN-GBM-00001_21", "UPENN-GBM-00002_21"):
        write_image(root / "NIfTI-files" / "images_structural" / scan / f"{scan}_T1GD.nii.gz")
    scan = "UPENN-GBM-00001_21"
    write_image(root / "images_structural_unstripped" / scan / f"{scan}_T1GD_unstripped.nii.gz")
    return root


RATING = (
    '"Rating (according to RANO, PD: Progressive disease, SD: Stable disease, PR: Partial response, CR: Complete '
    'response, Pre-Op: Pre-Operative, Post-Op: Post-Operative)"'
)

LUMIERE_HEADER = (
    f"Patient,Date,LessThan3Months,NonMeasurableLesions,{RATING},"
    '"Rating rationale (CRET: complete resection of the enhancing tumor, L: Lesion)"\n'
)

DEMOGRAPHICS_HEADER = (
    "Patient,Survival time (weeks),Sex,Age at surgery (years),IDH (WT: wild type),IDH method,MGMT qualitative,"
    "MGMT quantitative\n"
)

HISTORIES = {
    "Patient-001": [("000-1", "Pre-Op"), ("000-2", "Post-Op "), ("016", "PD"), ("024", "PR"), ("044", "PD")],
    "Patient-002": [("000", "Pre-Op"), ("001", "Post-Op"), ("010", "PD"), ("018", "PD"), ("018", "PD"), ("020", "")],
    "Patient-003": [("000", "Pre-Op"), ("012", "PD"), ("013", "Post-Op/PD"), ("020", "SD"), ("031", "SD")],
    "Patient-004": [("000", "Pre-Op"), ("012", "SD"), ("020", "CR")],
    "Patient-005": [("008", "PD"), ("020", "SD"), ("026", "SD")],
    "Patient-006": [("008", "PD"), ("020", "SD"), ("020", "PD"), ("030", "Pre-Op")],
}

DEMOGRAPHICS = (
    "Patient-001,80,male,61.5,WT,NGS,methylated,12\n"
    "Patient-002,80,female,50,wt,NGS,not methylated,na\n"
    "Patient-003,80,female,50,na,na,na,na\n"
    'Patient-004,80,male,50,R132H mut,IHC,methylated,na\n'
    'Patient-005,80,male,50,"IDH1 neg, Sequencing required",IHC,methylated,na\n'
    "Patient-006,80,male,na,R132H mut,IHC,na,na\n"
)  # fmt: skip


def write_lumiere(root, histories=HISTORIES, demographics=DEMOGRAPHICS):
    rows = [
        f"{patient},week-{week},,,{rating},text\n" for patient, ratings in histories.items() for week, rating in ratings
    ]
    root.mkdir(exist_ok=True)
    (root / "LUMIERE-ExpertRating-v202211.csv").write_text(LUMIERE_HEADER + "".join(rows))
    (root / "LUMIERE-Demographics_Pathology.csv").write_text(DEMOGRAPHICS_HEADER + demographics)
    return root


MU_TABLE = {
    "Patient_ID": ["PatientID_0003", "PatientID_0004", "PatientID_0005", "PatientID_0006", "PatientID_0007"],
    "Sex at Birth": ["Male", "Female ", "Male", "Male", "Female"],
    "Age at diagnosis": ["62", "51", "70.0", "33", "45"],
    "Primary Diagnosis": ["GBM", "GBM", "GBM", "Astrocytoma", "GBM"],
    "MGMT methylation": ["0", "1", "2", "3", "4"],
    "IDH1 mutation": ["0", "0.0", "2", "1", ""],
    "IDH2 mutation": ["0", "1", "0", "", ""],
    "Dose": ["60 Gy", "60 Gy ", "50.4 Gy", "", "40 Gy"],
    "Number of Fractions": ["30", "30.0", "28", "", "15"],
    "Number of days from Diagnosis to Radiation Therapy end date": ["100", "100", "100", "100", "100"],
    "Number of days from Diagnosis to date of First Progression ": ["190", "90", "", "400", "300"],
    "Progression": ["1", "1", "1", "0", "1"],
    "Type of 1st Progression": ["1", "0", "3", "0", "2"],
    "Number of Days from Diagnosis to 1st MRI (Timepoint_1) ": ["20", "70", "20", "20", "20"],
    "Number of Days from Diagnosis to 2nd MRI (Timepoint_2) ": ["200", "110", "", "400", "331"],
    " Number of Days from Diagnosis to 3rd MRI (Timepoint_3) ": ["260", "", "", "", ""],
    "Number of Days from Diagnosis to 4th MRI (Timepoint_4) ": [""] * 5,
    "Number of Days from Diagnosis to 5th MRI (Timepoint_5) ": [""] * 5,
    "Number of Days from Diagnosis to 6th MRI (Timepoint_6) ": [""] * 5,
}


def write_mu(root):
    root.mkdir(exist_ok=True)
    pd.DataFrame(MU_TABLE).to_csv(root / "MU-Glioma-Post_ClinicalData-July2025.csv", index=False)
    return root


HEADER = (
    ["AnonymPatientID ", " AnonymStudyDate", "Sex", "IDH1/2  ", "MGMT    "]
    + [f"Response_{visit}_fup    " for visit in VISITS]
    + ["AnonymDate of surgery", "AnonymStart of RT", "AnonymEnd of RT", "AnonymDate of topometric MRI"]
    + [f"Anonym{visit}_fup" for visit in VISITS]
    + ["AnonymDeath", "AgeAtStudyDate"]
)

TABLE = "Burdenko GBM clinical data.csv"


def line(name, *assessments, sex="M  ", idh="negative", mgmt="        ", surgery="8/1/04", end="10/30/04", age="   57"):
    """Return a row of the table; each assessment is (text, date)."""
    padded = [*assessments, *[("      ", "       ")] * (10 - len(assessments))]
    texts = [f'"{text}"  ' if "," in text else text for text, _ in padded]
    return [
        name,
        " 9/1/04",
        sex,
        idh,
        mgmt,
        *texts,
        surgery,
        "9/15/04",
        end,
        "9/1/04",
        *(date for _, date in padded),
        "",
        age,
    ]


def write_table(folder, *lines):
    folder.mkdir(exist_ok=True)
    (folder / TABLE).write_text("\n".join(", ".join(cells) for cells in [HEADER, *lines]) + "\n")
    return folder


DIRTY = (
    line("Burdenko-GBM-001", ("response  ", "11/20/04"), ("progression ", "2/3/05"), sex="F", mgmt="positive"),
    line("Burdenko-GBM-002", ("pseudo progression", "10/20/04"), ("progression", "3/1/05"), mgmt="?", idh="positive"),
    line("Burdenko-GBM-003", ("distant progression", "11/20/04"), ("response, pseudo progression", "12/30/04")),
    line("Burdenko-GBM-004", ("stable", "11/20/04"), ("", "12/24/04"), ("progression", "1/1/05"), surgery="9/30/04"),
    line("Burdenko-GBM-005", sex=" ", idh="", mgmt="", surgery="", end="", age=""),
    line(
        "Burdenko-GBM-006", ("response, distant progression", "11/20/04"), ("pseudo progression", "11/29/04"), age="8"
    ),
)


def write_released(root):
    """Write two patients whose rows and folders are in opposite orders."""
    for name, lowest_mm in (("11", 10.0), ("2", -30.0)):
        write_images(root / name, "2015-01-01", "MPRAGE", n_slices=9, lowest_mm=lowest_mm)
        for number, file in enumerate(sorted((root / name).iterdir())):
            file.rename(root / name / f"{name}_{number:04d}.dcm")
    rows = ["No,age,sex,dose,fx,days,mgmt,idh,label", "2,55,1,60,30,82,0,2,1", "11,40,0,40.05,15,120,1,0,0"]
    (root / "sample.csv").write_text("\n".join(rows))
    return root
