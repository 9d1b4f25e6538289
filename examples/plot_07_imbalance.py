"""
Class imbalance: better models, or only more PsPD?
==================================================

*PsPD is the rarer outcome. Do class weights or resampling make a better model, or only one that predicts PsPD more
often?*

The same network is trained in four ways on the same folds of a synthetic cohort with a PsPD prevalence of one in five:
without any weights, with balanced class weights, with over-sampling of PsPD, and with under-sampling of PD.
"""

# %%
# An imbalanced cohort
# --------------------
# The cohort is large, so that a difference can be detected. To train in seconds, the network is the clinical branch
# alone; the images are not read.

from tempfile import TemporaryDirectory

import pandas as pd

from sklearn_pspd import CNNLSTMClassifier, compare_models, make_clinical_pipeline, make_cohort, split_xy

folder = TemporaryDirectory()
cohort = make_cohort(f"{folder.name}/cohort", 400, effect_size=1.5, matrix_px=(32,), n_native_slices=10, random_state=0)
folder.cleanup()
common, rare = (cohort[cohort["outcome"] == outcome] for outcome in ("PD", "PsPD"))
X, y = split_xy(pd.concat([common, rare.head(len(common) // 4)]))
print(f"{len(y)} patients, {y.sum()} with PsPD")

# %%
# Where a sampler belongs
# -----------------------
# The ``sampler`` of a pipeline resamples **rows of the cohort table, inside the training fold**. Resampling before the
# split would put copies of one patient into training and test folds. Whole patients are repeated or left out. SMOTE
# would average the pixels of two brains into an image of no patient, and is not suitable here. All three pipelines take
# a ``sampler``.

from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler


def network(**options):
    """Return the clinical branch as a classifier."""
    training = {"optimizer": "adam", "learning_rate": 5e-3, "epochs": 30, "batch_size": 32, "random_state": 0}
    return CNNLSTMClassifier(stack_shape=None, clinical_units=(8, 8), **training, **options)


models = {
    "unweighted": make_clinical_pipeline(network()),
    "class weights": make_clinical_pipeline(network(class_weight="balanced")),
    "over-sampled": make_clinical_pipeline(network(), sampler=RandomOverSampler(random_state=0)),
    "under-sampled": make_clinical_pipeline(network(), sampler=RandomUnderSampler(random_state=0)),
}
comparison = compare_models(models, X, y, cv=4, random_state=0)

# %%
# Two questions
# -------------
# *Does the model rank patients better?* The AUC answers this, independently of any threshold. *Which patients does it
# classify as PsPD?* This depends on the threshold. At 0.5 the unweighted network classifies no patient as PsPD. At the
# prevalence of PsPD among the training patients, the default of this library, its sensitivity is similar to that of the
# other three at 0.5, without any resampling. The other three have higher probabilities, so that for them the prevalence
# is too low a threshold.

from sklearn_pspd.statistics import proportion, roc_auc

rows = []
for model, scores in comparison.scores.groupby("model", sort=False):
    true, score = scores["y_true"].to_numpy(), scores["y_score"].to_numpy()
    for rule, threshold in (("at 0.5", 0.5), ("at the prevalence of PsPD", y.mean())):
        predicted = score >= threshold
        rows.append(
            {
                "model": model,
                "threshold": rule,
                "AUC": roc_auc(true, score).value,
                "mean probability": score.mean(),
                "sensitivity": proportion(int(predicted[true == 1].sum()), int((true == 1).sum())).value,
                "specificity": proportion(int((~predicted[true == 0]).sum()), int((true == 0).sum())).value,
            }
        )
table = pd.DataFrame(rows)
table.round(2)

# %%
# The first figure has two points per model, one per threshold. Weights and samplers move these points along the curve,
# as another threshold does.

import matplotlib.pyplot as plt

from sklearn_pspd.plotting.style import COLOURS

plt.rcParams["font.size"] = 13
figure, ax = plt.subplots(figsize=(6.6, 4.8), layout="constrained")
for colour, (model, at) in zip(COLOURS, table.groupby("model", sort=False), strict=False):
    ax.plot(1 - at["specificity"], at["sensitivity"], color=colour, linewidth=2, label=model)
    for marker, point in zip("os", at.itertuples(), strict=True):
        ax.plot(1 - point.specificity, point.sensitivity, marker, color=colour, markersize=11)
ax.plot([0, 1], [0, 1], color="0.7", linewidth=1, zorder=0)
ax.plot([], [], "o", color="0.4", label="at 0.5")
ax.plot([], [], "s", color="0.4", label="at the prevalence")
ax.set(xlabel="1 - specificity", ylabel="sensitivity for PsPD", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
ax.set_title(f"Synthetic cohort, {y.sum()} of {len(y)} patients with PsPD", fontsize=13)
ax.legend(frameon=False, fontsize=12, loc="lower right")

# %%
# The second figure has the AUC of each model, with a 95 % interval.

figure, ax = plt.subplots(figsize=(6.6, 3), layout="constrained")
for row, (_, scores) in enumerate(comparison.scores.groupby("model", sort=False)):
    auc = roc_auc(scores["y_true"], scores["y_score"])
    ax.plot([auc.low, auc.high], [row, row], color=COLOURS[row], linewidth=4)
    ax.plot(auc.value, row, "o", color=COLOURS[row], markersize=11)
ax.axvline(0.5, color="0.7", linewidth=1)
ax.set(xlabel="AUC", xlim=(0.4, 1))
ax.set_title("Synthetic cohort: AUCs of the four ways to train", fontsize=13)
ax.set_yticks(range(len(models)), models)
ax.invert_yaxis()

# %%
# The paired tests show whether the differences between the AUCs are significant.

tests = comparison.tests()
tests[tests["metric"] == "auc"][["model_a", "model_b", "difference", "low", "high", "p_value", "p_holm"]].round(2)

# %%
# Conclusions
# -----------
# * Class weights and over-sampling have the same effect on the loss; weights need no copies.
# * Under-sampling leaves out training patients, of whom there are few already.
# * All three increase the probabilities (column *mean probability*), which are then no longer calibrated: select a
#   threshold on training patients, or recalibrate, instead of using 0.5.
# * Choose the method beforehand and report it. To select the best of four on the same folds is tuning.
