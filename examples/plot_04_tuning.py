"""
Tuning: how good is a tuned network on other patients?
======================================================

*Which values should the parameters of the network have, and how well does a tuned network classify patients that were
not used to tune it?*

Jang et al. (2018) tuned one parameter after another: the number of epochs by loss traces, then memory cells, batch size
and learning rate by five-fold cross-validation. :class:`~sklearn_pspd.model_selection.SequentialSearchCV` does the
same, as a search like :class:`~sklearn.model_selection.GridSearchCV`. The cohort here is **synthetic**; the network,
its images and the lists of values are small, so that the page builds in a minute.
"""

import tempfile

from sklearn.model_selection import GridSearchCV

from sklearn_pspd import (
    CNNLSTMClassifier,
    SequentialSearchCV,
    make_cohort,
    make_fusion_pipeline,
    nested_cross_validate,
    split_xy,
)
from sklearn_pspd.plotting import SequentialSearchDisplay
from sklearn_pspd.reporting import search_text

folder = tempfile.TemporaryDirectory()
options = {"matrix_px": (128,), "n_native_slices": 12, "random_state": 0}
cohort = make_cohort(f"{folder.name}/cohort", 90, effect_size=1.5, **options)
X, y = split_xy(cohort)

network = CNNLSTMClassifier(
    filters=(4, 8), pooling="average", optimizer="adam", learning_rate=0.01, epochs=15, random_state=0
)
model = make_fusion_pipeline(network, n_slices=3, size_px=20, memory=f"{folder.name}/cache")

# %%
# One parameter after another
# ---------------------------
# Each fit of the search prepares its training patients anew: the images and clinical values of the validation patients
# have no influence. Without a sequence, the search would try the values of the paper.
sequence = {"classifier__lstm_units": (8, 16), "classifier__learning_rate": (0.001, 0.01)}
search = SequentialSearchCV(model, sequence, max_epochs=12, n_repeats=2, cv=3, random_state=0)
search.fit(X, y)
print(search_text(search))

# %%
# Thin lines are single repeats, thick lines their mean. Diamonds are means over the folds, and the green box is the
# chosen value. Where boxes overlap, **the choice is mostly due to chance**, as it must have been for most parameters
# with the 59 patients of the paper.

display = SequentialSearchDisplay.from_estimator(search, title="Synthetic cohort: one parameter after another")

# %%
# Performance of the tuned network
# --------------------------------
# The score of the chosen values is optimistic, because they were chosen for it. Nested cross-validation tunes inside
# each training fold and scores the tuned model on the fold that was held out. Any search can be nested, here a plain
# :class:`~sklearn.model_selection.GridSearchCV`, which needs fewer fits. With three outer folds the estimated optimism
# is itself imprecise.
grid = GridSearchCV(
    model.set_params(classifier__epochs=8), {"classifier__learning_rate": [0.001, 0.01]}, scoring="roc_auc", cv=2
)
nested = nested_cross_validate(grid, X, y, cv=3, random_state=0)
print(nested.folds[["fold", "best_params", "inner_score", "outer_score"]].to_string(index=False))
print(f"AUC on patients held out: {nested.score:.2f}; mean optimism of the inner scores: {nested.optimism:+.3f}")

# %%
# Each line is an outer fold: on the left the score by which the values were chosen, on the right the score of the tuned
# network on the patients that were held out. Where lines fall, the tuning was optimistic. They may rise, too: inside
# the tuning, networks learn from half of the patients that the tuned network learns from. That they differ shows how
# little one fold says.

import matplotlib.pyplot as plt

plt.rcParams["font.size"] = 14
figure, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
for fold in nested.folds.itertuples():
    ax.plot([0, 1], [fold.inner_score, fold.outer_score], "o-", color="#0072B2", linewidth=3, markersize=12)
ax.axhline(0.5, color="0.7", zorder=0)
ax.set_xticks([0, 1], ["score of the tuning", "held-out patients"])
ax.set(xlim=(-0.3, 1.3), ylim=(0.4, 1), ylabel="AUC")
ax.set_title("Synthetic cohort: tuned in three outer folds", fontsize=14)
# sphinx_gallery_thumbnail_number = 2
folder.cleanup()
