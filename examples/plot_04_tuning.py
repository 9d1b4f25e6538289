"""
Tuning, as in the paper and without its optimism
================================================

Which values should the parameters of the network have, and how well does a tuned network classify patients that were
not used to tune it?

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
cohort = make_cohort(f"{folder.name}/cohort", 60, matrix_px=(128,), n_native_slices=12, random_state=0)
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

display = SequentialSearchDisplay.from_estimator(search, title="Synthetic cohort of 60 patients")

# %%
# Thin lines are single repeats, thick lines their mean. Diamonds are means over the folds, and the green box is the
# chosen value. With seven or eight PsPD patients per fold the boxes overlap: **the choice is mostly due to chance**, as
# it must have been with the 59 patients of the paper.
#
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

folder.cleanup()
