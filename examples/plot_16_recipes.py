"""
Recipes and baselines: does a network beat a penalised regression?
==================================================================

*The network has a high AUC. Would something simpler have had it too, and how much is due to the training recipe?*

The same patients, six models: networks trained by the recipe for small cohorts, the published network, and three
baselines that every network should be compared with. The cohort is **synthetic**: its lesions differ in rim thickness,
nodularity and size, which favours whoever can measure them. On real images the order may be another one.
"""

# %%
# Few patients to learn from, many to test
# ----------------------------------------
# The models learn from 80 patients, as many as a hospital may have, and are tested on 140 others, so that a difference
# between models can be seen.

from tempfile import TemporaryDirectory

import numpy as np

from sklearn_pspd import make_cohort, split_xy

folder = TemporaryDirectory()
cohort = make_cohort(f"{folder.name}/cohort", 220, matrix_px=(128,), n_native_slices=10, random_state=0)
X, y = split_xy(cohort)
patients = np.arange(len(X))
one_split = [(patients[:80], patients[80:])]

# %%
# Networks and baselines
# ----------------------
# ``recipe="small_cohort"`` augments the images, averages the feature maps, lets the learning rate decay, and trains
# five networks whose mean is the model. The published network is trained as in the paper, here also five times. Both
# are smaller than by default, so that this page builds within a minute. The baselines are pipelines as well: logistic
# regression with a ridge penalty on radiomics features or on the clinical columns, and the prevalence.

from sklearn_pspd import CNNLSTMClassifier, make_fusion_pipeline, make_image_pipeline
from sklearn_pspd.baselines import baseline_models

images = {"n_slices": 3, "size_px": 32, "memory": f"{folder.name}/cache"}
network = CNNLSTMClassifier(filters=(8, 16, 32), n_members=5, random_state=0)
models = {
    "MRI + clinical": make_fusion_pipeline(network, recipe="small_cohort", **images),
    "MRI alone": make_image_pipeline(network, recipe="small_cohort", **images),
    "MRI + clinical, published": make_fusion_pipeline(network, **images),
}
for name in ("MRI + clinical", "MRI alone"):
    models[name].set_params(classifier__epochs=25)
models |= baseline_models(["MRI radiomics", "clinical ridge", "prevalence"], random_state=0, **images)

# %%
# :func:`~sklearn_pspd.model_selection.compare_models` fits all of them to the same patients. Paired tests compare the
# first model with each other one.

from sklearn_pspd import compare_models

comparison = compare_models(models, X, y, cv=one_split, random_state=0)
tests = comparison.tests(reference="MRI + clinical").query("metric == 'auc'")
tests[["model_b", "difference", "low", "high", "p_value", "p_holm"]].round(3)

# %%
# The result in one picture
# -------------------------
# Small points are the five networks of a model, each trained from another seed and tested alone. Large points are the
# models: for networks the mean of the five, with a 95 % interval that holds the sampling of patients and the randomness
# of training. Blue networks are trained by the recipe for small cohorts, the orange one as published; grey models have
# no network.

import matplotlib.pyplot as plt
from sklearn.metrics import roc_auc_score

from sklearn_pspd.plotting.style import COLOURS, wrapped

table = comparison.frame().query("metric == 'auc'").set_index("model")
single = comparison.scores.query("replicate > 0").groupby(["model", "replicate"])
single = single.apply(lambda scores: roc_auc_score(scores["y_true"], scores["y_score"]), include_groups=False)

colours = {"MRI + clinical": COLOURS[0], "MRI alone": COLOURS[0], "MRI + clinical, published": COLOURS[1]}
plt.rcParams["font.size"] = 13
figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
for place, (name, row) in enumerate(table.iterrows()):
    colour = colours.get(name, "0.35")
    ax.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=4, solid_capstyle="round")
    ax.plot(row["value"], place, "o", color=colour, markersize=13)
    if name in single:
        ax.plot(single[name], np.full(5, place + 0.3), "o", color=colour, markersize=7, alpha=0.5)
    ax.annotate(f"{row['value']:.2f}", (1.02, place), xycoords=("axes fraction", "data"), va="center")
ax.axvline(0.5, color="0.7", linewidth=1, zorder=0)
ax.set_yticks(range(len(table)), [wrapped(name, 16) for name in table.index])
ax.set(xlim=(0.4, 1), ylim=(len(table) - 0.4, -0.6), xlabel="AUC on 140 patients, 95 % interval")
ax.set_title("Synthetic cohort: six models that learned from 80 patients", fontsize=13)
folder.cleanup()

# %%
# The radiomics baseline needs no seed, no graphics card and a second of training. A network that is not compared with
# it has not been shown to be worth its training; :doc:`/user_guide/recipes` has more of them, and how they were
# measured.
