"""
Your own cohort: how do I get from an export folder to a report?
================================================================

*I have DICOM files as the hospital exported them, and a spreadsheet. How do I get to a comparison of the models?*

Six steps: list the series, choose one per patient, join the spreadsheet, check the table, look at the images, run the
study. A **synthetic** export stands for that of a hospital here, with a clear difference between the outcomes; replace
its paths by your own.
"""

# %%
# What you start with
# -------------------
# A folder with everything that was exported: two examinations per patient, up to ten series each, files without suffix,
# three vendors, folders that mix series. And a German spreadsheet with semicolons, decimal commas and dates such as
# 12.10.2016. Below, ``hospital`` is the :class:`pathlib.Path` of the folder with both.

# sphinx_gallery_start_ignore
from pathlib import Path
from tempfile import TemporaryDirectory

from sklearn_pspd import make_cohort

workspace = TemporaryDirectory()
hospital = Path(workspace.name) / "hospital"
_truth = make_cohort(
    hospital, 44, layout="export", matrix_px=(128,), n_native_slices=10, effect_size=1.5, random_state=1
)
_wanted = _truth[_truth["is_wanted"]].drop_duplicates("patient_id")
_by_eye = dict(zip(_wanted["patient_id"], _wanted["series_uid"], strict=True))
# sphinx_gallery_end_ignore
print(*(hospital / "records.csv").read_text(encoding="cp1252").splitlines()[:5], sep="\n")

# %%
# Step 1: list the series
# -----------------------
# :func:`~sklearn_pspd.intake.list_series` reads the headers of all files, whatever their names and folders.

from sklearn_pspd import list_series

series = list_series(hospital / "dicom")
print(series.attrs["n_files"], "files,", len(series), "series; passed over:", series.attrs["passed_over"])
series[["patient_id", "study_date", "description", "te_ms", "orientation", "n_images", "varies"]].head(8)

# %%
# Step 2: choose one series per patient
# -------------------------------------
# :func:`~sklearn_pspd.intake.draft_cohort` joins the spreadsheet, and chooses the post-contrast T1 series nearest to
# the date of the lesion (:func:`~sklearn_pspd.intake.choose_series`). It is told which column is which, and guesses
# nothing: its report says what is missing. Ask how a spreadsheet counts slices: those of this one are counted as
# ``lesion_slice`` is, from 0 at the feet; a number that was read from a viewer is ``lesion_instance``.

from sklearn_pspd import draft_cohort

spreadsheet = {
    "columns": {
        "patient_id": "Pat.-Nr.",
        "sex": "Geschlecht",
        "age_years": "Alter",
        "mgmt": "MGMT-Status",
        "idh": "IDH",
        "dose_gy": "Dosis (Gy)",
        "n_fractions": "Fraktionen",
        "radiotherapy_end": "Ende RT",
        "lesion_date": "Datum Läsion",
        "lesion_slice": "Schicht",
        "outcome": "Verlauf",
    },
    "date_order": "dmy",
    "decimal": ",",
    "encoding": "cp1252",
}
draft = draft_cohort(series, hospital / "records.csv", **spreadsheet)
print(draft.report())

# %%
# Step 3: settle what is in doubt
# -------------------------------
# Read the proposed codes before you state them. Look at the series of the patients in doubt, and write down which one
# it is; ``by_eye`` is the dictionary of a reader who did so, ``series_uid`` by ``patient_id``. One id has lost its
# zero in front.

# sphinx_gallery_start_ignore
by_eye = _by_eye
# sphinx_gallery_end_ignore
codes = draft.proposed_codes
print(codes)
draft = draft_cohort(
    series, hospital / "records.csv", codes=codes, ids={"4711003": "04711003"}, decisions=by_eye, **spreadsheet
)
table = draft.save(hospital / "study")
print(*table.read_text(encoding="utf-8").splitlines()[:3], sep="\n")

# %%
# Where the spreadsheet has no slice of the lesion, a reader picks it in the browser, by ``pspd pick cohort.csv``; it is
# written to the table at once (:doc:`/user_guide/intake`).
#
# Step 4: check the table
# -----------------------
# :func:`~sklearn_pspd.cohort.read_cohort` lists all problems at once, with patient, column and value.
# :func:`~sklearn_pspd.cohort.check_cohort` lists the columns with their ranges.

import pandas as pd

from sklearn_pspd import read_cohort

checked = read_cohort(table)
print(pd.crosstab(checked["site"], checked["outcome"]))

# %%
# Step 5: look at what the loader reads
# -------------------------------------
# The quality-control table has one row per patient: format, spacing, field of view, orientation, the slices that are
# used, and any problem. The contact sheet shows the slices of all patients on one page: the framed slice must show the
# lesion. Below, that of one patient.

from sklearn_pspd import SliceStackLoader
from sklearn_pspd.reporting import write_contact_sheet

loader = SliceStackLoader()
quality = loader.inspect(checked)
print(f"{(quality['problem'] != '').sum()} patients with a problem")
write_contact_sheet(hospital / "contact_sheet.html", checked, loader=loader, title="Synthetic cohort")
quality[["format", "height", "row_spacing_mm", "slice_spacing_mm", "tilt_deg", "orientation", "slices"]].head(4)

# %%
import matplotlib.pyplot as plt

from sklearn_pspd.plotting import SliceStackDisplay

figure, axes = plt.subplots(3, 3, figsize=(6.5, 7), sharex=True, sharey=True, layout="constrained")
display = SliceStackDisplay.from_stack(loader.fit_transform(checked.head(1))[0], axes=axes)
figure.suptitle("A synthetic patient, slices from feet to head")
# sphinx_gallery_thumbnail_number = 2

# %%
# Step 6: run the study
# ---------------------
# :class:`~sklearn_pspd.study.Study` holds out the site with the fewest patients and describes the cohort before any
# training: duplicate patients, features that reveal the outcome, patient characteristics, and what the number of
# patients allows.

from sklearn_pspd import CNNLSTMClassifier, Study, make_fusion_pipeline
from sklearn_pspd.baselines import baseline_models

images = {"n_slices": 3, "size_px": 32, "memory": hospital / "stacks"}
network = make_fusion_pipeline(CNNLSTMClassifier(random_state=0), recipe="small_cohort", **images)
models = {"MRI + clinical": network.set_params(classifier__epochs=12)}
models |= baseline_models(["MRI radiomics", "clinical ridge", "prevalence"], random_state=0, **images)
study = Study(checked, models, cv=3, title="Synthetic cohort")
print(study.describe())

# %%
# Here is one network that sees small images and is trained for fewer epochs than by default, and three baselines, so
# that this page builds within a minute. ``Study(checked)`` trains both recommended networks and, as a reference, the
# published one at full size, five networks per fit and ten folds: hours on two CPU cores, for the published network
# some 1.9 s per step (:doc:`/performance`). The paper reports a quarter of an hour for the ten folds of one network on
# a GeForce GTX 1080 Ti. In a terminal, ``pspd study cohort.csv`` does the same; ``--recipe small_cohort`` leaves the
# published network out.

result = study.run(hospital / "pspd-study")
print(result.report(cohort=False))

# %%
# The AUCs on the site that was held out, with 95 % intervals: the points that a reader looks for first. Each interval
# holds the sampling of patients and, for the networks, the randomness of training.

plt.rcParams["font.size"] = 14
table = result.comparison.frame().query("metric == 'auc' and evaluation == 'external'")
figure, ax = plt.subplots(figsize=(6.6, 4.2), layout="constrained")
for place, row in enumerate(table.itertuples()):
    colour = "#0072B2" if row.model.startswith("MRI") else "0.4"
    ax.plot([row.low, row.high], [place, place], color=colour, linewidth=5, solid_capstyle="round")
    ax.plot(row.value, place, "o", color=colour, markersize=14, clip_on=False)
ax.axvline(0.5, color="0.7", zorder=0)
ax.set_yticks(range(len(table)), table["model"])
ax.set(xlim=(0, 1), ylim=(len(table) - 0.4, -0.6), xlabel=f"AUC on the {len(study.y_test)} patients of the other site")
ax.set_title("Synthetic cohort: from the export to this result", fontsize=14)

# %%
# The folder has the report as text and as one page to read and to print (``report.html``), figures, tables of every
# metric with its interval, of the paired tests and of the score of every patient, and the fitted models.

print(*sorted(path.name for path in (hospital / "pspd-study").iterdir()), sep="\n")

# %%
# The fitted models are in ``result.models_``, for patients to come. The folder ``models/released`` has the first one,
# for ``pspd predict`` (:ref:`sphx_glr_auto_examples_plot_14_new_patient.py`):

new_patients = study.X_test.head(3)
result.models_["MRI + clinical"].predict_proba(new_patients)[:, 1].round(2)  # probability of PsPD

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
