"""
Quick start: how sure is a prediction?
======================================

*How do I train the paper's model on a table of patients, and how far can I trust its predictions?*

A cohort table has one row per patient: the path of the MRI, the position of the lesion, seven clinical columns and the
outcome. Without the outcome it is the ``X`` of every step, so scikit-learn's own tools work with it.
"""

# %%
# A table
# -------
# :func:`~sklearn_pspd.datasets.make_cohort` writes a synthetic cohort to disk.
# :func:`~sklearn_pspd.cohort.read_cohort` reads and checks a table of your own.

from tempfile import TemporaryDirectory

from sklearn_pspd import make_cohort, split_xy

folder = TemporaryDirectory()
options = {"matrix_px": (128,), "n_native_slices": 12, "random_state": 2}
cohort = make_cohort(f"{folder.name}/cohort", 90, effect_size=1.5, **options)
cohort.drop(columns="image").head()

# %%
# The patients of site A train the model; those of site B are new patients. ``y`` is 0 for true progression (PD) and 1
# for pseudoprogression (PsPD).

X, y = split_xy(cohort[cohort["site"] == "A"])
X_new, y_new = split_xy(cohort[cohort["site"] == "B"])
print(f"{len(y)} training patients, {y.sum()} with PsPD; {len(y_new)} new patients")

# %%
# A model
# -------
# :func:`~sklearn_pspd.pipelines.make_fusion_pipeline` makes model 1 of the paper: images and clinical features,
# prepared inside the training fold and combined in one CNN-LSTM. Without arguments it has the paper's network of 25
# million weights; this smaller one trains in seconds.

from sklearn_pspd import CNNLSTMClassifier, make_fusion_pipeline

network = CNNLSTMClassifier(
    filters=(8, 16, 32), pooling="average", optimizer="adam", learning_rate=5e-3, epochs=15, random_state=0
)
model = make_fusion_pipeline(network, size_px=32, memory=f"{folder.name}/cache")
model

# %%
# Cross-validation
# ----------------
# With five folds, every training patient has a probability from a model that was not trained on this patient. The area
# under the ROC curve of so few patients is uncertain; :func:`~sklearn_pspd.statistics.roc_auc` gives its interval. This
# is still too narrow, because folds share training patients;
# :func:`~sklearn_pspd.model_selection.compare_models` corrects it.

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
# The training patients of the five models overlap: any two models have three quarters of them in common. Where the
# models disagree about a new patient, the mean probability says little. In the figure each new patient has a point, the
# mean of the five models, and a grey bar, from the lowest to the highest of them; colours are the true outcomes.

probabilities = np.array([fitted.predict_proba(X_new)[:, 1] for fitted in result["estimator"]])

import matplotlib.pyplot as plt

plt.rcParams["font.size"] = 14
order = np.argsort(probabilities.mean(axis=0))
rank = np.arange(len(order))
figure, ax = plt.subplots(figsize=(7, 4.8), layout="constrained")
ax.vlines(rank, probabilities.min(axis=0)[order], probabilities.max(axis=0)[order], color="0.75", linewidth=6)
for outcome, name, colour, marker in ((0, "PD", "#0072B2", "o"), (1, "PsPD", "#D55E00", "D")):
    of_outcome = y_new[order] == outcome
    mean = probabilities.mean(axis=0)[order]
    ax.plot(rank[of_outcome], mean[of_outcome], marker, color=colour, markersize=10, label=name)
ax.axhline(y.mean(), color="0.5", linestyle="--", zorder=0, label="prevalence")
ax.set(xlabel="new patients of site B, by mean probability", ylabel="probability of PsPD", ylim=(0, 1), xticks=[])
ax.set_title("Synthetic patients: mean and range of five models", fontsize=14)
ax.legend(frameon=False, loc="upper left")
folder.cleanup()
