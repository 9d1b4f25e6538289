"""
Quick start: from a cohort table to a prediction with its uncertainty
=====================================================================

*How do I train the paper's model on a table of patients, and how far can I trust what it says?*

A cohort table has one row a patient: the path of the MRI, the position of the lesion, seven clinical columns and the
outcome. It is ``X`` from the first line to the last, so scikit-learn's own tools do the rest.
"""

# %%
# A table
# -------
# :func:`~sklearn_pspd.datasets.make_cohort` writes a synthetic cohort to disk. A table of your own is read, and
# checked, by :func:`~sklearn_pspd.cohort.read_cohort`.

from tempfile import TemporaryDirectory

from sklearn_pspd import make_cohort, split_xy

folder = TemporaryDirectory()
cohort = make_cohort(f"{folder.name}/cohort", 60, matrix_px=(128,), n_native_slices=12, random_state=2)
cohort.drop(columns="image").head()

# %%
# Site A trains, site B is kept for the end. ``y`` is 0 for true progression (PD) and 1 for pseudoprogression (PsPD).

X, y = split_xy(cohort[cohort["site"] == "A"])
X_new, y_new = split_xy(cohort[cohort["site"] == "B"])
print(f"{len(y)} training patients, {y.sum()} with PsPD; {len(y_new)} new ones")

# %%
# A model
# -------
# :func:`~sklearn_pspd.pipelines.make_fusion_pipeline` is model 1 of the paper: images and clinical features, each
# prepared inside the training fold, fused in one CNN-LSTM. Without arguments it has the paper's network of 25 million
# weights; this smaller one trains in seconds.

from sklearn_pspd import CNNLSTMClassifier, make_fusion_pipeline

network = CNNLSTMClassifier(
    filters=(8, 16, 32), pooling="average", optimizer="adam", learning_rate=5e-3, epochs=15, random_state=0
)
model = make_fusion_pipeline(network, size_px=32, memory=f"{folder.name}/cache")
model

# %%
# What it is worth
# ----------------
# Five folds give every training patient a probability from a model that has not seen the patient. The area under the
# ROC curve of so few patients is uncertain, and :func:`~sklearn_pspd.statistics.roc_auc` says how much.

import numpy as np
from sklearn.model_selection import StratifiedKFold, cross_validate

from sklearn_pspd.statistics import roc_auc

folds = StratifiedKFold(5, shuffle=True, random_state=0)
result = cross_validate(model, X, y, cv=folds, scoring="roc_auc", return_estimator=True, return_indices=True)
held_out = np.empty(len(y))
for fitted, rows in zip(result["estimator"], result["indices"]["test"], strict=True):
    held_out[rows] = fitted.predict_proba(X.iloc[rows])[:, 1]
auc = roc_auc(y, held_out)
print(f"AUC {auc.value:.2f}, 95 % interval {auc.low:.2f} to {auc.high:.2f} ({auc.method})")

# %%
# Predictions
# -----------
# The five models of the folds differ by a fifth of their patients only. Where they disagree about a new patient, the
# mean probability means little.

probabilities = np.array([fitted.predict_proba(X_new)[:, 1] for fitted in result["estimator"]])

# sphinx_gallery_thumbnail_number = 1
import matplotlib.pyplot as plt

order = np.argsort(probabilities.mean(axis=0))
rank = np.arange(len(order))
figure, ax = plt.subplots(figsize=(7, 4.4), layout="constrained")
ax.vlines(rank, probabilities.min(axis=0)[order], probabilities.max(axis=0)[order], color="0.6", linewidth=3)
for outcome, name, colour, marker in ((0, "PD", "#0072B2", "o"), (1, "PsPD", "#D55E00", "D")):
    of_outcome = y_new[order] == outcome
    mean = probabilities.mean(axis=0)[order]
    ax.plot(rank[of_outcome], mean[of_outcome], marker, color=colour, markersize=8, label=name)
ax.axhline(y.mean(), color="0.7", linewidth=1, zorder=0)
ax.annotate("share of PsPD in training", (len(rank) - 0.6, y.mean()), (0, 4), textcoords="offset points", ha="right")
ax.set(xlabel="Patient of site B, in order of probability", ylabel="Probability of PsPD", ylim=(0, 1))
ax.set_xticks(rank, rank + 1)
ax.set_title("Synthetic cohort: mean and range of five models")
ax.legend(title="True outcome", frameon=False, loc="upper left")
folder.cleanup()
