"""
Tuning, as in the paper and without its optimism
================================================

Which settings should the network have, and what is a tuned network worth on patients that the tuning has not seen?

Jang et al. (2018) tuned one parameter after another: the number of epochs from loss traces, then memory cells, batch
size and learning rate by 5-fold cross-validation. :func:`~sklearn_pspd.model_selection.tune_ladder` does that. The
cohort here is **synthetic**; the network, its images and the rungs are small, so that the page builds in a minute.
"""

import tempfile

from sklearn.model_selection import GridSearchCV

from sklearn_pspd import (
    CNNLSTMClassifier,
    make_cohort,
    make_fusion_pipeline,
    nested_cross_validate,
    split_xy,
    tune_ladder,
)
from sklearn_pspd.plotting import LadderDisplay

folder = tempfile.TemporaryDirectory()
cohort = make_cohort(f"{folder.name}/cohort", 60, matrix_px=(128,), n_native_slices=12, random_state=0)
X, y = split_xy(cohort)

network = CNNLSTMClassifier(
    filters=(4, 8), pooling="average", optimizer="adam", learning_rate=0.003, epochs=15, random_state=0
)
model = make_fusion_pipeline(network, n_slices=3, size_px=20, memory=f"{folder.name}/cache")

# %%
# The ladder
# ----------
# Every split fits the whole pipeline on its training part alone. ``rungs=None`` would climb the paper's own rungs.
rungs = {"classifier__lstm_units": (8, 16), "classifier__learning_rate": (0.001, 0.01)}
ladder = tune_ladder(model, X, y, max_epochs=20, n_repeats=3, rungs=rungs, cv=3, random_state=0)
print(ladder.best_params)

display = LadderDisplay.from_ladder(ladder, title="Synthetic cohort of 60 patients")

# %%
# Thin lines are repeats, thick ones their mean; diamonds are means over folds, the green box is the value that was
# chosen. With seven or eight PsPD patients in a fold the boxes overlap: **the choice is mostly chance**, as it must
# have been with the paper's 59 patients.
#
# What the tuned network is worth
# -------------------------------
# The score of the chosen setting was chosen for being high. Nested cross-validation tunes inside each training fold,
# here with plain :class:`~sklearn.model_selection.GridSearchCV`, and scores on the fold that was held out.
# :class:`~sklearn_pspd.model_selection.LadderSearchCV` is the same with the paper's ladder.
search = GridSearchCV(
    model.set_params(classifier__epochs=10), {"classifier__learning_rate": [0.001, 0.01]}, scoring="roc_auc", cv=2
)
nested = nested_cross_validate(search, X, y, cv=3, random_state=0)
print(nested.folds[["fold", "best_params", "inner_score", "outer_score"]].to_string(index=False))
print(f"AUC on patients not seen: {nested.score:.2f}; the inner scores look better by {nested.optimism:+.2f}")

folder.cleanup()
