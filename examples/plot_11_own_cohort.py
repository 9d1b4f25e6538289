"""
Your own cohort: from DICOM folders and a spreadsheet to a report
=================================================================

*I have a folder of DICOM series and a spreadsheet. How do I get to a comparison of the three models?*

Four steps: write ``cohort.csv``, check it, look at what the loader reads, run the study. A **synthetic** export stands
for that of a hospital here; replace its paths by your own.
"""

# %%
# What you start with
# -------------------
# One folder per patient with **one** post-contrast T1 series as DICOM files, in any order and under any names (NIfTI
# files work as well), and a spreadsheet with the clinical values. Below, ``export`` is the :class:`pathlib.Path` of the
# folder with both.

import pandas as pd

# sphinx_gallery_start_ignore
# isort: split
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from sklearn_pspd import make_cohort

workspace = TemporaryDirectory()
export = Path(workspace.name) / "export"
_made = make_cohort(
    export, 48, image_format="dicom", matrix_px=(128,), n_native_slices=13, effect_size=1.5, random_state=3
)
shutil.move(export / "images", export / "dicom")
(export / "cohort.csv").unlink()
_sheet = pd.DataFrame(
    {
        "Hospital number": [path.rsplit("/", 1)[-1] for path in _made["image"]],
        "Centre": _made["site"].map({"A": "North", "B": "South"}),
        "Age at surgery": _made["age_years"],
        "Sex": _made["sex"].map({"male": "M", "female": "F"}),
        "MGMT": _made["mgmt"].map({"methylated": "meth", "unmethylated": "unmeth"}),
        "IDH1": _made["idh"].map({"wildtype": "WT", "mutated": "R132H", "unknown": ""}),
        "Dose (cGy)": (100 * _made["dose_gy"]).round().astype(int),
        "Fx": _made["n_fractions"],
        "End of RT": pd.Timestamp("2020-01-01") + pd.to_timedelta(range(len(_made)), unit="D"),
        "Lesion slice": _made["lesion_slice"],
        "Diagnosis": _made["outcome"].map({"PD": "true progression", "PsPD": "pseudoprogression"}),
    }
)
_sheet["Date of new lesion"] = _sheet["End of RT"] + pd.to_timedelta(_made["interval_days"], unit="D")
_sheet.to_csv(export / "patients.csv", index=False)
# sphinx_gallery_end_ignore
sheet = pd.read_csv(export / "patients.csv", parse_dates=["End of RT", "Date of new lesion"])
sheet.head(4)

# %%
folders = sorted((export / "dicom").iterdir())
print(f"{len(folders)} folders, the first with:")
print(*sorted(path.name for path in folders[0].iterdir())[:4], "...")

# %%
# Step 1: write ``cohort.csv``
# ----------------------------
# One row per patient, with these columns; :func:`~sklearn_pspd.cohort.check_cohort` lists them with their ranges.
#
# =================  =========================================================================================
# column             meaning
# =================  =========================================================================================
# ``patient_id``     any text, no two alike; no names, please
# ``site``           where the patient was treated; the smallest site is held out as the external test set
# ``image``          path of the DICOM folder or NIfTI file, absolute or from where ``cohort.csv`` lies
# ``lesion_slice``   the slice that shows the lesion best, counted from the feet, the lowest is **0**
# ``lesion_z_mm``    *or* its height in scanner coordinates, which many viewers show; *or* ``lesion_mask``
# ``age_years``      age at surgery
# ``sex``            ``female``, ``male``
# ``mgmt``           ``methylated``, ``unmethylated``, ``unknown``
# ``idh``            ``mutated``, ``wildtype``, ``unknown``
# ``dose_gy``        total dose of radiotherapy
# ``n_fractions``    number of fractions
# ``interval_days``  from the end of chemoradiotherapy to the lesion
# ``outcome``        ``PD`` (true progression) or ``PsPD`` (pseudoprogression)
# =================  =========================================================================================
#
# A folder of exactly the nine slices to be used needs no position. Translate your codes with a dictionary: a code that
# it does not contain becomes an empty cell, which the check reports.

cohort = pd.DataFrame(
    {
        "patient_id": [f"P{number:03d}" for number in range(1, len(sheet) + 1)],
        "site": sheet["Centre"],
        "image": "dicom/" + sheet["Hospital number"],
        "lesion_slice": sheet["Lesion slice"],
        "age_years": sheet["Age at surgery"],
        "sex": sheet["Sex"].map({"M": "male", "F": "female"}),
        "mgmt": sheet["MGMT"].map({"meth": "methylated", "unmeth": "unmethylated"}),
        "idh": sheet["IDH1"].map({"WT": "wildtype", "R132H": "mutated"}),
        "dose_gy": sheet["Dose (cGy)"],
        "n_fractions": sheet["Fx"],
        "interval_days": (sheet["Date of new lesion"] - sheet["End of RT"]).dt.days,
        "outcome": sheet["Diagnosis"].map({"true progression": "PD", "pseudoprogression": "PsPD"}),
    }
)
cohort.to_csv(export / "cohort.csv", index=False)

# %%
# Step 2: check it
# ----------------
# :func:`~sklearn_pspd.cohort.read_cohort` lists all problems at once, with patient, column and value. It finds two
# mistakes here: the dose is in cGy, and an empty IDH cell is not the same as ``unknown``.

from sklearn_pspd import read_cohort

try:
    read_cohort(export / "cohort.csv")
except ValueError as error:
    lines = str(error).splitlines()
    print(*lines[:4], f"  ... and {len(lines) - 4} more", sep="\n")

# %%

cohort["dose_gy"] = cohort["dose_gy"] / 100
cohort["idh"] = cohort["idh"].fillna("unknown")
cohort.to_csv(export / "cohort.csv", index=False)
checked = read_cohort(export / "cohort.csv")
print(pd.crosstab(checked["site"], checked["outcome"]))

# %%
# Step 3: look at what the loader reads
# -------------------------------------
# The quality-control table has one row per patient: format, spacing, field of view, orientation, the slices that are
# used, and any problem. Then look at the images of as many patients as you can: the framed slice must show the
# lesion.

from sklearn_pspd import SliceStackLoader

loader = SliceStackLoader()
quality = loader.inspect(checked)
print(f"{(quality['problem'] != '').sum()} patients with a problem")
quality[["format", "height", "row_spacing_mm", "slice_spacing_mm", "thickness_mm", "orientation", "slices"]].head(4)

# %%
import matplotlib.pyplot as plt

from sklearn_pspd.plotting import SliceStackDisplay

figure, axes = plt.subplots(3, 3, figsize=(6.5, 7), sharex=True, sharey=True, layout="constrained")
display = SliceStackDisplay.from_stack(loader.fit_transform(checked.head(1))[0], axes=axes)
figure.suptitle("Synthetic patient P001, slices from feet to head")

# %%
# Step 4: run the study
# ---------------------
# :class:`~sklearn_pspd.study.Study` holds out the site with the fewest patients and describes the cohort before any
# training: duplicate patients, features that reveal the outcome, patient characteristics, and what the number of
# patients allows.

from sklearn_pspd import CNNLSTMClassifier, Study, paper_models

network = CNNLSTMClassifier(
    filters=(8, 16), pooling="average", optimizer="adam", learning_rate=0.003, epochs=10, random_state=0
)
models = paper_models(network, size_px=32, memory=str(export / "stacks"), random_state=0)
study = Study(checked, models, cv=3, title="Synthetic cohort")
print(study.describe())

# %%
# This network is small, and is trained for a few epochs, to see that everything works. ``Study(checked)`` trains the
# recommended networks and, as a reference, the published one at full size, five networks per fit and ten folds: hours
# on two CPU cores, for the published network some 1.9 s per step (:doc:`/performance`). The paper reports a quarter of
# an hour for the ten folds of one network on a GeForce GTX 1080 Ti. In a terminal, ``python -m sklearn_pspd
# cohort.csv`` does the same; ``--recipe small_cohort`` leaves the published network out.

result = study.run(export / "pspd-study")
print(result.report(cohort=False))

# %%
# The folder has this report, figures, and tables of every metric with its interval, of the paired tests and of the
# score of every patient.

print(*sorted(path.name for path in (export / "pspd-study").iterdir()), sep="\n")

# %%
# The fitted models are in ``result.models_``, for patients to come:

new_patients = study.X_test.head(3)
result.models_["clinical alone"].predict_proba(new_patients)[:, 1].round(2)  # probability of PsPD

# %%
# sphinx_gallery_thumbnail_number = -1
from sklearn_pspd.plotting import ComparisonDisplay

display = ComparisonDisplay.from_comparison(result.comparison, title="Synthetic cohort")

# %%
# Reading it
# ----------
# * **Intervals first.** With some twenty patients in the external set an AUC of 0.8 has an interval from about 0.55 to
#   0.93. A model is better than another one if the paired test says so, not because its AUC is higher.
# * **Is it more than chance?** ``Study(..., n_permutations=99)`` repeats the same protocol on permuted outcomes; see
#   :func:`~sklearn_pspd.model_selection.negative_control`.
# * **Your own code**: ``X, y = split_xy(read_cohort("cohort.csv"))`` and the pipelines of :doc:`/user_guide/pipelines`
#   work with all of scikit-learn.
#
# Research software, not a medical device: it must not be used to make decisions about patients.

workspace.cleanup()
