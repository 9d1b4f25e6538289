"""
A public table: does a feature give the outcome away?
=====================================================

The paper's model 3 is a random forest on clinical features alone. The clinical table of Burdenko-GBM-Progression is
public, so this model can be built on real patients. The table also shows how a label that is defined by timing is
revealed by a feature.

Download the table (180 patients, CC BY 4.0, https://doi.org/10.7937/E1QP-D183) and set the environment variable
``PSPD_BURDENKO`` to its folder. Without it this page runs on a **synthetic** cohort, which says nothing about patients.
Research software, not a medical device.
"""

import os
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np

from sklearn_pspd import audit_leaks, compare_models, make_clinical_pipeline, make_cohort, split_xy
from sklearn_pspd.datasets import load_burdenko
from sklearn_pspd.plotting import ComparisonDisplay

# %%
# The cohort
# ----------
# The outcome is the first assessment that is exactly "progression" or "pseudo progression". No patient is dropped
# silently: the report has one row per patient who was left out, and one per anomaly.

folder = os.environ.get("PSPD_BURDENKO")
if folder:
    name = "Burdenko"
    cohort, report = load_burdenko(folder, images="none", return_report=True)
    print(report.groupby(["finding", "in_cohort"]).size().to_string())
else:
    name = "Synthetic cohort"
    print("The Burdenko table is not here. To run this page on it:")
    print("  1. download the clinical data as CSV from https://doi.org/10.7937/E1QP-D183")
    print("  2. set the environment variable PSPD_BURDENKO to the folder that holds the file")
    print("The following results are those of a synthetic cohort and say nothing about patients.")
    with TemporaryDirectory() as images:
        cohort = make_cohort(images, 115, matrix_px=(48,), n_native_slices=10, random_state=0)

X, y = split_xy(cohort)
print(f"{name}: {len(y)} patients, {np.sum(y == 0)} PD and {np.sum(y == 1)} PsPD")

# %%
# Leakage check
# -------------
# :func:`~sklearn_pspd.model_selection.audit_leaks` tests whether a single feature reveals the outcome.

findings = audit_leaks(X, y)
revealing = findings[findings["finding"] == "reveals the outcome"]
print(revealing[["column", "detail"]].to_string(index=False) if len(revealing) else "No feature reveals the outcome.")

# %%
# In the Burdenko table the days since radiotherapy reveal it, since pseudoprogression is by definition assessed early.
# This is a consequence of how the labels were defined, not a finding about the disease. Each point of the figure is a
# patient; black bars are medians.

plt.rcParams["font.size"] = 14
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
rng = np.random.default_rng(0)
for row, colour in enumerate(("#D55E00", "#0072B2")):  # 0 = PD, 1 = PsPD
    days = X.loc[y == row, "interval_days"]
    ax.scatter(days, row + rng.uniform(-0.22, 0.22, len(days)), color=colour, alpha=0.6, edgecolor="none")
    ax.plot([days.median()] * 2, [row - 0.35, row + 0.35], color="0.1", linewidth=2)
    ax.annotate(f"median {days.median():g}", (days.median(), row - 0.37), ha="center", va="bottom")
ax.axvline(0, color="0.7", linewidth=1)
ax.set_xscale("symlog", linthresh=10)
ax.set_xticks([-10, 0, 10, 100, 1000], ["-10", "0", "10", "100", "1000"])
ax.set_yticks([0, 1], ["PD", "PsPD"])
ax.set(xlim=(-30, 2000), ylim=(1.5, -0.65), xlabel="days from radiotherapy to the lesion")
ax.set_title(f"{name}: days by outcome", fontsize=14)

# %%
# Model 3 with and without the days
# ---------------------------------
# The table has neither dose nor fractions, so model 3 uses the columns that are available. All three models are
# validated on the same five folds, and every scaler and forest is fitted to training patients only. The figure has
# their mean ROC curves, precision-recall curves and AUCs.

plt.rcParams["font.size"] = 10


def model_3(columns):
    """Make the paper's random forest on some of the clinical columns."""
    model = make_clinical_pipeline(clinical=columns, random_state=0)
    return model.set_params(classifier__max_features=min(2, len(columns)))


clinical = ["age_years", "sex", "mgmt", "idh"]
models = {
    "age, sex, MGMT, IDH": model_3(clinical),
    "the same and days": model_3([*clinical, "interval_days"]),
    "days alone": model_3(["interval_days"]),
}
comparison = compare_models(models, X, y, cv=5, random_state=0)
ComparisonDisplay.from_comparison(comparison, title=f"{name}: model 3 with and without the days since radiotherapy")
table = comparison.frame()
print(table.loc[table["metric"] == "auc", ["model", "value", "low", "high"]].round(2).to_string(index=False))

# %%
# The AUC of the second model would describe the rule that defined the labels, not the disease. Leave the days out, or
# take the outcome from the first follow-up alone (``assessment="first_followup"``).

plt.show()
