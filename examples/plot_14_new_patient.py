"""
The next patient: what may I conclude from a prediction?
========================================================

*My study is finished. How do I apply its model to a new patient, and what may I conclude?*

Export the model to a folder, read the folder where the patient is, and predict. The patients here are **synthetic**:
the figures show what the library says, and nothing about pseudoprogression. Research software, not a medical device.
"""

# %%
# Release a model
# ---------------
# A model of the clinical values, validated by cross-validation. ``export_model`` writes a folder with the model, a
# model card, the ranges of its training patients, and a synthetic patient by whom others can check its arithmetic.

from pathlib import Path
from tempfile import TemporaryDirectory

from sklearn.linear_model import LogisticRegression

from sklearn_pspd import (
    compare_models,
    export_model,
    load_model,
    make_clinical_pipeline,
    make_cohort,
    predict_patients,
    split_xy,
)

workspace = TemporaryDirectory()
folder = Path(workspace.name)
X, y = split_xy(make_cohort(folder / "cohort", 150, effect_size=2.5, matrix_px=(48,), random_state=0))
models = {"clinical": make_clinical_pipeline(LogisticRegression(C=10.0))}
comparison = compare_models(models, X, y, cv=10, random_state=0, keep_models=True)
export_model(comparison.models["clinical"], folder / "release", X=X, y=y, comparison=comparison, max_error=0.25)
print(*sorted(path.name for path in (folder / "release").iterdir()), sep="\n")

# %%
# Read it elsewhere
# -----------------
# The folder is refused if a file was changed, or if the synthetic patient has another probability on this machine.

released = load_model(folder / "release")
rule = released.calibration["abstention"]
print(f"largest difference of a probability from the export: {released.deviation:g}")
print(f"threshold {released.threshold:.2f}; no class from {rule['low']:.2f} to {rule['high']:.2f}")

# %%
# Three new patients
# ------------------
# They need no outcome. The third is older than every training patient, and it is said.

new = X.head(3).drop(columns=["site", "image", "lesion_slice"]).assign(patient_id=["A", "B", "C"], mgmt="methylated")
new = new.assign(interval_days=[25, 80, 400], age_years=[50, 55, 88], idh="wildtype")
predictions = predict_patients(released, new)
predictions[["patient_id", "probability", "predicted_class", "calibrated_low", "calibrated_high", "outside_training"]]

# %%
# What is known about each of them
# --------------------------------
# Points are the model's probabilities, bars the calibrated intervals (Venn-Abers), and in the grey band the model gives
# no class, since too many of the training patients there were classified wrongly.

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
ax.axvspan(rule["low"], rule["high"], color="0.85", label="no class")
ax.axvline(released.threshold, color="0.3", linestyle="--", linewidth=2)
for place, row in enumerate(predictions.itertuples()):
    ax.plot([row.calibrated_low, row.calibrated_high], [place, place], color="C0", linewidth=9, alpha=0.6)
    ax.plot(row.probability, place, "D", color="C1", markersize=13, markeredgecolor="white")
labels = [f"{row.patient_id}: {row.predicted_class}" for row in predictions.itertuples()]
ax.set_yticks(range(3), labels, fontsize=16)
ax.set(xlim=(0, 1), ylim=(2.6, -0.6))
ax.set_xlabel("probability of PsPD", fontsize=15)
ax.set_title("Three synthetic patients, and what the model says", fontsize=14)
ax.tick_params(axis="x", labelsize=13)

# %%
# ``pspd predict release patients.csv`` does the same from the command line, with one page per patient; for a model that
# reads images it takes a DICOM folder. :doc:`/user_guide/release` has the details.

workspace.cleanup()
