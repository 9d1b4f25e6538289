"""
The negative control: is it more than chance?
=============================================

*Does the protocol score above chance if there is nothing to learn, and does my model score better than that?*

Jang et al. (2018) permuted the outcomes of their training patients once and reported a mean AUC of 0.47. One
permutation cannot give a useful p-value: the AUC of 59 uninformative scores has a standard deviation of about 0.08.
:func:`~sklearn_pspd.model_selection.negative_control` draws many permutations, and can also permute the images or the
clinical values instead of the outcomes. The cohort in this example is **synthetic**.
"""

import tempfile

import matplotlib.pyplot as plt
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
options = {"matrix_px": (128,), "n_native_slices": 12, "random_state": 1}
cohort = make_cohort(f"{folder.name}/cohort", 100, effect_size=2.0, **options)
X, y = split_xy(cohort)

# %%
# Clinical features
# -----------------
# A logistic regression is fast enough for 99 permutations. ``permute="label"``, the default, permutes the outcomes, as
# in the paper.
scale = ColumnTransformer([("clinical", ClinicalMinMaxScaler(), list(CLINICAL_COLUMNS))])
clinical = make_pipeline(scale, LogisticRegression(C=10, solver="newton-cholesky"))
controls = {
    "clinical, outcomes permuted": negative_control(clinical, X, y, n_permutations=99, cv=5, random_state=0),
}

# %%
# Images and clinical features
# ----------------------------
# The network takes longer, so we use four permutations: too few for a p-value, which needs at least 19, but enough to
# see where the scores lie. In addition to the outcomes we permute the images alone and, in another control, the
# clinical values alone. The remaining score is due to the other input.
#
# In the figure, grey points are scores on permuted data, and orange lines those on the original data.
network = CNNLSTMClassifier(
    filters=(4, 8), pooling="average", optimizer="adam", learning_rate=0.005, epochs=8, random_state=0
)
fusion = make_fusion_pipeline(network, n_slices=3, size_px=20, memory=f"{folder.name}/cache")
for link, name in (("label", "outcomes"), ("image", "images"), ("clinical", "clinical values")):
    controls[f"fusion, {name} permuted"] = negative_control(
        fusion, X, y, permute=link, n_permutations=4, cv=2, random_state=0
    )

plt.rcParams["font.size"] = 12
display = NegativeControlDisplay.from_controls(controls, title="Synthetic cohort: permuted and original data, AUC")
print(display.frame().round(3).to_string(index=False))

# %%
# With permuted outcomes there is nothing to learn, and the grey dots lie around 0.5. With leakage in the protocol they
# would lie above. The score on the original data is higher: the models have learned something.

folder.cleanup()
