"""
Class imbalance: weights against samplers
=========================================

*PsPD is the rarer outcome. Does weighting or resampling make a better model, or only a more generous one?*

Four ways to train the same network on the same folds of a synthetic cohort with one PsPD in five: as it is, with
balanced class weights, with PsPD drawn repeatedly, and with PD drawn sparingly.
"""

# %%
# An imbalanced cohort
# --------------------
# Many patients, so that a difference can show. To train on them in seconds, the network here is the clinical branch
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
# The ``sampler`` of a pipeline resamples **rows of the cohort table, inside the training fold**. Outside the folds it
# would put copies of one patient on both sides of a split. Whole patients are repeated or left out: SMOTE would
# cross-fade the pixels of two brains into one that no scanner has seen, and it has no place here. All three pipelines
# take a ``sampler``.

from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler


def network(**options):
    """Return the clinical branch as a classifier."""
    training = {"optimizer": "adam", "learning_rate": 5e-3, "epochs": 30, "batch_size": 32, "random_state": 0}
    return CNNLSTMClassifier(stack_shape=None, clinical_units=(8, 8), **training, **options)


models = {
    "as it is": make_clinical_pipeline().set_params(classifier=network()),
    "class weights": make_clinical_pipeline().set_params(classifier=network(class_weight="balanced")),
    "over-sampled": make_clinical_pipeline(sampler=RandomOverSampler(random_state=0)).set_params(classifier=network()),
    "under-sampled": make_clinical_pipeline(sampler=RandomUnderSampler(random_state=0)).set_params(
        classifier=network()
    ),
}
comparison = compare_models(models, X, y, cv=4, random_state=0)

# %%
# Two questions
# -------------
# *Does it rank patients better?* That is the AUC, which no threshold enters. *Whom does it call PsPD?* That is a matter
# of the threshold. At 0.5 the network as it is calls nobody. At the share of PsPD among its training patients, the
# library's default, it does what the treated ones do at 0.5, and costs nothing. For those, whose probabilities have
# been shifted upwards, that share is too low a threshold.

from sklearn_pspd.statistics import proportion, roc_auc

rows = []
for model, scores in comparison.scores.groupby("model", sort=False):
    true, score = scores["y_true"].to_numpy(), scores["y_score"].to_numpy()
    for rule, threshold in (("at 0.5", 0.5), ("at the share of PsPD", y.mean())):
        called = score >= threshold
        rows.append(
            {
                "model": model,
                "threshold": rule,
                "AUC": roc_auc(true, score).value,
                "mean probability": score.mean(),
                "sensitivity": proportion(int(called[true == 1].sum()), int((true == 1).sum())).value,
                "specificity": proportion(int((~called[true == 0]).sum()), int((true == 0).sum())).value,
            }
        )
table = pd.DataFrame(rows)
table.round(2)

# %%

# sphinx_gallery_thumbnail_number = 1
import matplotlib.pyplot as plt

from sklearn_pspd.plotting.style import COLOURS

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
names = list(models)
for row, (model, scores) in enumerate(comparison.scores.groupby("model", sort=False)):
    auc = roc_auc(scores["y_true"], scores["y_score"])
    left.plot([auc.low, auc.high], [row, row], color=COLOURS[row], linewidth=2.5)
    left.plot(auc.value, row, "o", color=COLOURS[row], markersize=8)
    at = table[table["model"] == model]
    right.plot(1 - at["specificity"], at["sensitivity"], color=COLOURS[row], linewidth=1)
    for marker, point in zip("os", at.itertuples(), strict=True):
        right.plot(1 - point.specificity, point.sensitivity, marker, color=COLOURS[row], markersize=8)
    right.plot([], [], color=COLOURS[row], label=model)
left.axvline(0.5, color="0.7", linewidth=1)
left.set(xlabel="AUC with 95 % interval", xlim=(0, 1), title="Ranking")
left.set_yticks(range(len(names)), names)
left.invert_yaxis()
right.plot([0, 1], [0, 1], color="0.7", linewidth=1, zorder=0)
right.plot([], [], "o", color="0.4", label="at 0.5")
right.plot([], [], "s", color="0.4", label="at the share of PsPD")
right.set(
    xlabel="1 - specificity", ylabel="Sensitivity for PsPD", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title="Calls"
)
right.legend(frameon=False, fontsize=8, loc="lower right")
figure.suptitle(f"Synthetic cohort, {len(y)} patients, {y.sum()} with PsPD")

# %%
# The tests of the pairs say whether any difference in ranking is more than luck.

tests = comparison.tests()
tests[tests["metric"] == "auc"][["model_a", "model_b", "difference", "low", "high", "p_value", "p_holm"]].round(2)

# %%
# What to take from it
# --------------------
# * Weights and over-sampling do the same to the loss; weights need no copies.
# * Under-sampling throws patients away, of which there are too few already.
# * All three shift the probabilities upwards (column *mean probability*), so they are no longer probabilities: choose a
#   threshold on training patients, or calibrate, rather than trust 0.5.
# * Report the way that was chosen beforehand. Choosing the best of four on the same folds is tuning.
