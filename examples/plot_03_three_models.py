"""
The three models of the paper
=============================

*Do images and clinical features together tell pseudoprogression from progression better than either alone?*

The paper's figures 1, 3 and 4 for a synthetic cohort: the models' structure, their validation on the training site, and
their test on another site.
"""

# %%
# Structure
# ---------
# The network at full size, drawn from what Keras built. A step on two rows of noise is enough to build it. Of its 25.3
# million weights 25.2 million sit in the input of the LSTM: every pixel of the last maps has its own.

import numpy as np

from sklearn_pspd import CNNLSTMClassifier
from sklearn_pspd.plotting import NetworkDisplay

noise = np.random.default_rng(0).random((2, 9 * 256 * 256 + 7), dtype=np.float32)
full_size = CNNLSTMClassifier(epochs=1, random_state=0).fit(noise, [0, 1])
structure = NetworkDisplay.from_estimator(full_size, title="Model 1 at full size: 25,335,485 weights")

# %%
# Model 2 is the left column alone. Model 3 is a random forest of 1000 trees on the clinical features. The display's
# :meth:`~sklearn_pspd.plotting.NetworkDisplay.frame` holds the same in a table:

structure.frame().groupby("kind")["n_weights"].sum().sort_values(ascending=False).head(4).to_frame()

# %%
# Three models
# ------------
# For a cohort that is written, read and trained on in seconds, the network is smaller: it averages its last maps, and
# learns with Adam.

from tempfile import TemporaryDirectory

from sklearn_pspd import make_clinical_pipeline, make_cohort, make_fusion_pipeline, make_image_pipeline, split_xy

folder = TemporaryDirectory()
cohort = make_cohort(f"{folder.name}/cohort", 78, matrix_px=(128,), n_native_slices=12, random_state=0)
network = CNNLSTMClassifier(
    filters=(8, 16, 32), pooling="average", optimizer="adam", learning_rate=5e-3, epochs=15, random_state=0
)
images = {"size_px": 32, "memory": f"{folder.name}/cache"}
models = {
    "MRI + clinical": make_fusion_pipeline(network, **images),
    "MRI alone": make_image_pipeline(network, **images),
    "clinical alone": make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=200),
}

# %%
# Validation and external test
# ----------------------------
# :func:`~sklearn_pspd.model_selection.compare_models` scores all models on the same folds of site A; then each is
# trained on all of site A and scored once on site B.

from sklearn_pspd import compare_models
from sklearn_pspd.plotting import ComparisonDisplay
from sklearn_pspd.reporting import comparison_text

X, y = split_xy(cohort[cohort["site"] == "A"])
X_test, y_test = split_xy(cohort[cohort["site"] == "B"])
comparison = compare_models(models, X, y, cv=3, X_test=X_test, y_test=y_test, random_state=0)
display = ComparisonDisplay.from_comparison(comparison, title="Synthetic cohort")

# %%
# The intervals are the message. With as many patients as the paper had, the models can hardly be told apart, whatever
# their order: see the paired differences and their p-values below the scores.

print(comparison_text(comparison, title="Synthetic cohort: these figures say nothing about patients"))

# %%
# Each fold's curve
# -----------------
# The paper's figure 3 has a curve for each fold. scikit-learn draws them from its own cross-validation, here of model
# 3; the curves above pool the same patients' scores. A fold of some seven PsPD patients says little by itself.

import matplotlib.pyplot as plt
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay
from sklearn.model_selection import StratifiedKFold, cross_validate

folds = StratifiedKFold(3, shuffle=True, random_state=0)
results = cross_validate(models["clinical alone"], X, y, cv=folds, return_estimator=True, return_indices=True)
figure, axes = plt.subplots(1, 2, figsize=(9, 4.3), layout="constrained")
RocCurveDisplay.from_cv_results(results, X, y, ax=axes[0], plot_chance_level=True)
PrecisionRecallDisplay.from_cv_results(results, X, y, ax=axes[1], plot_chance_level=True)
for axis in axes:
    axis.legend(fontsize="small")
figure.suptitle("Synthetic cohort, clinical features alone")

# %%
# The paper's table 2, with intervals
# -----------------------------------
# The counts behind the paper's table 2 follow from its precisions and recalls. Model 1 called 6 of 8 and 8 of 11
# patients right:

from sklearn_pspd.statistics import classification_table

y_true = np.repeat([0, 1], [8, 11])
y_called = np.repeat([0, 1, 0, 1], [6, 2, 3, 8])
table = classification_table(y_true, y_called, labels=("8 patients", "11 patients"), random_state=0)
table.round(2)

# %%
# The paper's table 2 names the class with 8 patients PD, its table 1 names it PsPD: :doc:`/paper`.

folder.cleanup()
