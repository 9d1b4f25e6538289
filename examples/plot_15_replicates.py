"""
Replicates and ensembles: is one training a result?
===================================================

*I trained my network once and its AUC is high. What would it have been with another seed?*

With a few dozen patients, networks that differ only in their random seed can have very different AUCs on the same
patients. Here one network is trained ten times; the cohort is **synthetic**.
"""

# %%
# One network, ten seeds
# ----------------------
# The published network, with fewer filters. ``n_members=10`` trains it from ten seeds in each fit; the mean of their
# log odds is the prediction. A network that is trained once is ``n_members=1``, the default.

from tempfile import TemporaryDirectory

import numpy as np

from sklearn_pspd import CNNLSTMClassifier, compare_models, make_cohort, make_fusion_pipeline, split_xy

folder = TemporaryDirectory()
options = {"matrix_px": (128,), "n_native_slices": 10, "random_state": 0}
cohort = make_cohort(f"{folder.name}/cohort", 160, effect_size=1.5, **options)
X, y = split_xy(cohort)
network = CNNLSTMClassifier(filters=(8, 16, 32), n_members=10, random_state=0)
model = make_fusion_pipeline(network, n_slices=3, size_px=32, memory=f"{folder.name}/cache")

# %%
# All ten learn from the same 60 patients and are tested on the same 100.

patients = np.arange(len(X))
comparison = compare_models({"network": model}, X, y, cv=[(patients[:60], patients[60:])], random_state=0)
folder.cleanup()

# %%
# How far the seed moves the AUC
# ------------------------------
# :meth:`~sklearn_pspd.model_selection.ModelComparison.replicates` separates the luck of training from that of the
# patients: how large the share of each in the variance of a single network's AUC is, and how many networks would make
# that of training negligible.

comparison.replicates().T

# %%
# The ensemble's AUC has an interval that holds both; "auc_single_network" is what one training can be expected to give.

table = comparison.frame()
table = table[table["metric"].isin(["auc", "auc_single_network"])]
table[["metric", "value", "low", "high", "method"]].round(2)

# %%
# Means of several networks
# -------------------------
# Each point is the AUC of the mean of so many of the ten networks, drawn at random. A single one may be lucky or not;
# the mean of several is both better and more stable. The bar is the 95 % interval of the mean of all ten.

import matplotlib.pyplot as plt
from sklearn.metrics import roc_auc_score

scores = comparison.scores.query("replicate > 0").pivot(index="patient_id", columns="replicate", values="y_score")
outcome = comparison.scores.query("replicate == 0").set_index("patient_id")["y_true"].loc[scores.index]
log_odds = np.log(scores / (1 - scores)).to_numpy()
rng = np.random.default_rng(0)
aucs = {1: [roc_auc_score(outcome, one) for one in log_odds.T]}
for n_networks in (3, 5, 8):
    subsets = [rng.choice(10, n_networks, replace=False) for _ in range(20)]
    aucs[n_networks] = [roc_auc_score(outcome, log_odds[:, subset].mean(axis=1)) for subset in subsets]
aucs[10] = [roc_auc_score(outcome, log_odds.mean(axis=1))]

plt.rcParams["font.size"] = 14
figure, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
for place, values in enumerate(aucs.values()):
    colour = "#D55E00" if place == 0 else "#0072B2"
    spread = rng.uniform(-0.15, 0.15, len(values)) if len(values) > 1 else 0
    ax.plot(np.full(len(values), place) + spread, values, "o", color=colour, markersize=9, alpha=0.6)
ax.set_xticks(range(len(aucs)), aucs)
ax.set(xlabel="networks that are averaged", ylabel="AUC on 100 patients")
ax.set_title("Synthetic cohort: one network, ten seeds", fontsize=14)
ensemble = table.set_index("metric").loc["auc"]
ax.plot([4, 4], [ensemble["low"], ensemble["high"]], color="#0072B2", linewidth=3)
for text, value, offset in (("best seed", max(aucs[1]), 8), ("worst seed", min(aucs[1]), -18)):
    ax.annotate(text, (0, value), (10, offset), textcoords="offset points", color="#D55E00")
ax.margins(y=0.15)

# %%
# To train several networks and to report the best one is to choose a seed by the test patients. Report the ensemble and
# its interval; the networks of :class:`~sklearn_pspd.study.Study` have five members unless you say otherwise.
