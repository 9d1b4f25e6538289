"""
The negative control, with a p-value
====================================

Would the same protocol find something where there is nothing?

Jang et al. (2018) scrambled the outcomes of their training patients once and reported a mean AUC of 0.47. One
arrangement cannot give a p-value: the AUC of 59 useless scores has a standard deviation of about 0.08.
:func:`~sklearn_pspd.model_selection.negative_control` draws many, and cuts other links too. The cohort here is
**synthetic**.
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
# A logistic regression is fast enough for 99 arrangements. ``scramble="label"`` moves the outcomes, as the paper does.
scale = ColumnTransformer([("clinical", ClinicalMinMaxScaler(), list(CLINICAL_COLUMNS))])
clinical = make_pipeline(scale, LogisticRegression(C=10))
controls = {
    "clinical, outcomes moved": negative_control(clinical, X, y, n_permutations=99, cv=5, random_state=0),
}

# %%
# Images and clinical features
# ----------------------------
# The network takes longer, so it gets six arrangements; its p-value can then be 0.14 at best. Besides the outcomes we
# move the images alone, and in another control the clinical values alone: what is left is what the other input says.
network = CNNLSTMClassifier(
    filters=(4, 8), pooling="average", optimizer="adam", learning_rate=0.005, epochs=8, random_state=0
)
fusion = make_fusion_pipeline(network, n_slices=3, size_px=20, memory=f"{folder.name}/cache")
for scramble, name in (("label", "outcomes"), ("image", "images"), ("clinical", "clinical values")):
    controls[f"fusion, {name} moved"] = negative_control(
        fusion, X, y, scramble=scramble, n_permutations=6, cv=3, random_state=0
    )

display = NegativeControlDisplay.from_controls(controls, title="Synthetic cohort of 90 patients, AUC")
print(display.frame().round(3).to_string(index=False))

# %%
# Moved outcomes leave nothing to learn, and the grey dots lie around 0.5. If the protocol had a leak, they would not.

folder.cleanup()
