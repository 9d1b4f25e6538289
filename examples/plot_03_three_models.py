"""
The three models of the paper: are images and clinical features better together?
================================================================================

*Do images and clinical features together distinguish pseudoprogression from progression better than either alone?*

The paper's figures 1, 3 and 4 for a synthetic cohort: the structure of the models, their validation on the training
site, and their test on another site. Each figure is described in the text above it.
"""

# %%
# Structure
# ---------
# The network at full size, drawn from the layers that Keras built. One training step on two rows of noise builds it. Of
# its 25.3 million weights, 25.2 million connect the pixels of the last feature maps to the LSTM.

import numpy as np

from sklearn_pspd import CNNLSTMClassifier
from sklearn_pspd.plotting import NetworkDisplay

noise = np.random.default_rng(0).random((2, 9 * 256 * 256 + 7), dtype=np.float32)
full_size = CNNLSTMClassifier(epochs=1, random_state=0).fit(noise, [0, 1])
structure = NetworkDisplay.from_estimator(full_size, title="Model 1 at full size: 25,335,485 weights")

# %%
# Model 2 is the left column alone. Model 3 is a random forest of 1000 trees on the clinical features.
# :meth:`~sklearn_pspd.plotting.NetworkDisplay.frame` returns the same as a table:

structure.frame().groupby("kind")["n_weights"].sum().sort_values(ascending=False).head(4).to_frame()

# %%
# Three models
# ------------
# :func:`~sklearn_pspd.pipelines.paper_models` makes the three models. Here the network is smaller, so that it trains in
# seconds: it averages its last feature maps, reads three slices instead of nine, and is trained with Adam. The cohort
# has 200 patients, more than twice as many as the paper's, so that there is a difference to be seen.

from tempfile import TemporaryDirectory

from sklearn_pspd import make_cohort, paper_models, split_xy

folder = TemporaryDirectory()
cohort = make_cohort(f"{folder.name}/cohort", 200, matrix_px=(128,), n_native_slices=12, random_state=0)
network = CNNLSTMClassifier(
    filters=(8, 16, 32), pooling="average", optimizer="adam", learning_rate=5e-3, epochs=15, random_state=0
)
models = paper_models(network, n_slices=3, size_px=32, memory=f"{folder.name}/cache", random_state=0)
models["clinical alone"].set_params(classifier__n_estimators=200)

# %%
# Validation and external test
# ----------------------------
# :func:`~sklearn_pspd.model_selection.compare_models` validates all models on the same folds of site A. Then each model
# is trained on all of site A and scored once on site B.

from sklearn_pspd import compare_models
from sklearn_pspd.reporting import comparison_text

X, y = split_xy(cohort[cohort["site"] == "A"])
X_test, y_test = split_xy(cohort[cohort["site"] == "B"])
comparison = compare_models(models, X, y, cv=3, X_test=X_test, y_test=y_test, random_state=0)

# %%
# The answer for these patients: the AUCs on site B, whose patients trained no model, with 95 % intervals. Look at the
# intervals first, then at the paired differences and their p-values in the table below.

import matplotlib.pyplot as plt

table = comparison.frame().query("metric == 'auc' and evaluation == 'external'").set_index("model")
plt.rcParams["font.size"] = 14
figure, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for place, (row, colour) in enumerate(zip(table.itertuples(), ("#0072B2", "#D55E00", "#009E73"), strict=True)):
    ax.plot([row.low, row.high], [place, place], color=colour, linewidth=5, solid_capstyle="round")
    ax.plot(row.value, place, "o", color=colour, markersize=15)
ax.axvline(0.5, color="0.7", zorder=0)
ax.set_yticks(range(len(table)), table.index)
ax.set(xlim=(0.3, 1), ylim=(2.6, -0.6), xlabel=f"AUC on {len(y_test)} patients of another site")
ax.set_title("Synthetic cohort: the three models of the paper", fontsize=14)

# %%
print(comparison_text(comparison, title="Synthetic cohort: these figures say nothing about patients"))

# %%
# Curves
# ------
# One row per evaluation: mean ROC curves, precision-recall curves, AUCs.

from sklearn_pspd.plotting import ComparisonDisplay

plt.rcParams["font.size"] = 10
display = ComparisonDisplay.from_comparison(comparison, title="Synthetic cohort: curves and AUCs of the three models")

# %%
# The paper's figure 3 has one curve per fold; the ROC curves above are their means. A single fold says
# little by itself.

from sklearn_pspd.plotting import ConfusionMatrixDisplay, FoldCurvesDisplay

folds = FoldCurvesDisplay.from_comparison(comparison, title="Synthetic cohort: curves of each fold")

# %%
# Confusion matrices
# ------------------
# As in the paper's figure 4, normalised within each true outcome. The threshold is not selected on these patients: it
# is the prevalence of PsPD in the training data of each model.

# sphinx_gallery_thumbnail_number = 2
matrices = ConfusionMatrixDisplay.from_comparison(comparison, title="Synthetic cohort: confusion matrices")

# %%
# The paper's table 2, with intervals
# -----------------------------------
# The counts of the paper's table 2 follow from its precisions and recalls. Model 1 classified 6 of 8 and 8 of 11
# patients correctly:

from sklearn_pspd.statistics import classification_table

y_true = np.repeat([0, 1], [8, 11])
y_pred = np.repeat([0, 1, 0, 1], [6, 2, 3, 8])
table = classification_table(y_true, y_pred, labels=("8 patients", "11 patients"), random_state=0)
table.round(2)

# %%
# The class of 8 patients is named PD in the paper's table 2, and PsPD in its table 1: :doc:`/paper`.

folder.cleanup()
