"""
A second image: does FLAIR help?
================================

*My patients have more than the post-contrast T1. How do I use it, and does it help?*

Further images of a patient, such as FLAIR, an earlier examination or a subtraction, are registered with the
post-contrast T1, resampled to its grid, and named in ``further_images``; they become channels of the network. Whether
they help is a question of a paired comparison on the same patients and folds. **The cohort is synthetic**: its FLAIR
was drawn so that it tells more about the outcome.
"""

# %%
# Data
# ----
# ``flair=True`` writes a second image per patient, in a column ``flair``. The loader reads the same slices of both, and
# refuses a second image on another grid.

from tempfile import TemporaryDirectory

from sklearn_pspd import make_cohort, split_xy
from sklearn_pspd.loading import SliceStackLoader

folder = TemporaryDirectory()
cohort = make_cohort(f"{folder.name}/cohort", 110, flair=True, matrix_px=(128,), n_native_slices=10, random_state=1)
X, y = split_xy(cohort)
loader = SliceStackLoader(n_slices=3, further_images=["flair"])
(stack,) = loader.fit_transform(X[:1])
print(stack.images.shape, "images, slices, rows, columns")

# %%
# Two models
# ----------
# Two networks that differ only in what they read. The number of input channels follows the loader.

from sklearn_pspd import CNNLSTMClassifier, compare_models, make_image_pipeline

network = CNNLSTMClassifier(
    filters=(8, 16),
    pooling="average",
    lstm_units=8,
    dense_units=(),
    optimizer="adam",
    learning_rate=5e-3,
    schedule="cosine",
    epochs=30,
    batch_norm_statistics="training",
    n_members=2,
    random_state=0,
)
images = {"n_slices": 3, "size_px": 32, "memory": f"{folder.name}/cache"}
models = {
    "T1 and FLAIR": make_image_pipeline(network, further_images=["flair"], **images),
    "T1 alone": make_image_pipeline(network, **images),
}
print({name: model["classifier"].n_images for name, model in models.items()})
comparison = compare_models(models, X, y, cv=4, random_state=0)
# %%
# Result
# ------
# The AUC with FLAIR is higher, and 110 patients are too few to tell: the interval of the difference contains 0. The
# figure shows the middle slice of one patient, and the AUCs with their intervals.

auc = comparison.frame().query("metric == 'auc'").set_index("model")
difference = comparison.tests().query("metric == 'auc'").iloc[0]
print(f"difference of AUC {difference.difference:+.2f} ({difference.low:+.2f} to {difference.high:+.2f})")

# %%

import matplotlib.pyplot as plt

plt.rcParams["font.size"] = 13
figure = plt.figure(figsize=(6.8, 4.4), layout="constrained")
grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.9))
for row, (slices, name) in enumerate(zip(stack.images, ("post-contrast T1", "FLAIR"), strict=True)):
    ax = figure.add_subplot(grid[row, 0])
    ax.imshow(slices[1], cmap="gray")
    ax.set_title(name, fontsize=13)
    ax.set_axis_off()
ax = figure.add_subplot(grid[:, 1])
for row, name in enumerate(models):
    ax.plot([auc["low"][name], auc["high"][name]], [row, row], linewidth=4, solid_capstyle="round")
    ax.plot(auc["value"][name], row, "o", markersize=12, color="black")
ax.set_yticks(range(len(models)), [name.replace(" ", "\n", 1) for name in models])
ax.set(xlim=(0.5, 1), ylim=(1.6, -0.6), xlabel="AUC, 95 % interval")
ax.set_title("Synthetic cohort: one image or two", fontsize=13)
plt.show()

folder.cleanup()
