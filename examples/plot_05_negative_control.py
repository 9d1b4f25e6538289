"""
The negative control, with a p-value
====================================

Does the protocol score above chance if there is nothing to learn?

Jang et al. (2018) permuted the outcomes of their training patients once and reported a mean AUC of 0.47. One
permutation cannot give a useful p-value: the AUC of 59 uninformative scores has a standard deviation of about 0.08.
:func:`~sklearn_pspd.model_selection.negative_control` draws many permutations, and can also permute the images or the
clinical values instead of the outcomes. The cohort in this example is **synthetic**.
"""

import tempfile

from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_pspd import (
    ClinicalMinMaxScaler,
    CNNLSTMClassifier,
    make_cohort,
    make_fusion_pipeline,
    negative_control,
    split_xy,
)
from sklearn_pspd.cohort import CLINICAL_COLUMNS
from sklearn_pspd.plotting import NegativeControlDisplay

folder = tempfile.TemporaryDirectory()
cohort = make_cohort(f"{folder.name}/cohort", 90, matrix_px=(128,), n_native_slices=12, random_state=1)
X, y = split_xy(cohort)

# %%
# Clinical features
# -----------------
# A logistic regression is fast enough for 99 permutations. ``permute="label"``, the default, permutes the outcomes, as
# in the paper.
scale = ColumnTransformer([("clinical", ClinicalMinMaxScaler(), list(CLINICAL_COLUMNS))])
clinical = make_pipeline(scale, LogisticRegression(C=10))
controls = {
    "clinical, outcomes permuted": negative_control(clinical, X, y, n_permutations=99, cv=5, random_state=0),
}

# %%
# Images and clinical features
# ----------------------------
# The network takes longer, so we use six permutations: too few for a p-value, which needs at least 19, but enough to
# see where the scores lie. In addition to the outcomes we permute the images alone and, in another control, the
# clinical values alone. The remaining score is due to the other input.
network = CNNLSTMClassifier(
    filters=(4, 8), pooling="average", optimizer="adam", learning_rate=0.005, epochs=8, random_state=0
)
fusion = make_fusion_pipeline(network, n_slices=3, size_px=20, memory=f"{folder.name}/cache")
for link, name in (("label", "outcomes"), ("image", "images"), ("clinical", "clinical values")):
    controls[f"fusion, {name} permuted"] = negative_control(
        fusion, X, y, permute=link, n_permutations=6, cv=3, random_state=0
    )

display = NegativeControlDisplay.from_controls(controls, title="Synthetic cohort of 90 patients, AUC")
print(display.frame().round(3).to_string(index=False))

# %%
# With permuted outcomes there is nothing to learn, and the grey dots lie around 0.5. With leakage in the protocol they
# would lie above.

folder.cleanup()
