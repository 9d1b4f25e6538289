"""
A shortcut: does the network look at the lesion?
================================================

*My network has a high AUC. Does it look at the lesion?*

In this **synthetic** cohort the lesion says nothing about the outcome. Patients with PsPD have a bright mark in the
skull, as if they came from a surgeon who fixes the bone flap in another way. A network learns the mark and reaches a
perfect AUC, also on new patients of the same hospitals. Cross-validation cannot tell; the images without lesion, brain
or skull can.
"""

# %%
# A model that is right for the wrong reason
# ------------------------------------------
# :func:`~sklearn_pspd.datasets.make_cohort` plants the shortcut; ``lesion_position="mask"`` writes the masks that are
# needed to remove the lesion.

from tempfile import TemporaryDirectory

from sklearn_pspd import CNNLSTMClassifier, make_cohort, make_image_pipeline, split_xy

folder = TemporaryDirectory()
options = {"matrix_px": (128,), "n_native_slices": 10, "lesion_position": "mask", "random_state": 0}
cohort = make_cohort(f"{folder.name}/cohort", 90, effect_size=0.0, shortcut=1.0, **options)
X, y = split_xy(cohort)
network = CNNLSTMClassifier(
    filters=(4, 8), optimizer="adam", learning_rate=0.003, lstm_units=6, dense_units=(8,), epochs=25, random_state=0
)
model = make_image_pipeline(network, n_slices=3, size_px=32, memory=f"{folder.name}/cache").fit(X[:55], y[:55])
X_new, y_new = X[55:], y[55:]

# %%
# The tests
# ---------
# Without the lesion the AUC stays; the skull alone is enough; without the skull it falls.

from sklearn_pspd.inspection import shortcut_tests, slice_maps

tests = shortcut_tests(model, X_new, y_new)
print(tests.frame()[["test", "auc", "low", "high", "p_value"]].round(2).to_string(index=False))

# %%
# Each row of the figure is a test, with an altered slice of one patient. The dashed line is the original AUC, the grey
# one that of guessing. "Another patient's head" fails as well: the mark stays with the head. With a model that needs
# the lesion, the pattern is the opposite.

from sklearn_pspd.plotting import ShortcutDisplay

display = ShortcutDisplay.from_tests(tests, title="Synthetic cohort: AUC with altered images")

# %%
# Where the network looks
# -----------------------
# A map of a patient with the mark points at it, and not at the lesion, the bright ring. The circle is where the
# evidence is largest. Integrated gradients start from the mean of the patients without mark.

maps = slice_maps(
    model, X_new[y_new == 1], "integrated_gradients", reference=X[:55][y[:55] == 0], n_steps=24, n_checked=5
)

import matplotlib.pyplot as plt
import numpy as np

from sklearn_pspd.plotting.slice_maps import draw_map

# sphinx_gallery_thumbnail_number = 2
plt.rcParams["font.size"] = 14
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 4.4), layout="constrained")
values = maps.values[0, 1]
left.imshow(maps.images[0, 1], cmap="gray", vmax=np.percentile(maps.images[0, 1], 99.5))
row, column = np.unravel_index(abs(values).argmax(), values.shape)
right.plot(column, row, "o", color="#D55E00", markersize=45, markerfacecolor="none", markeredgewidth=3)
draw_map(right, maps.images[0, 1], values, abs(values).max())
left.set_title("the slice", fontsize=14)
right.set_title("what the network uses", fontsize=14)
for ax in (left, right):
    ax.set_axis_off()
figure.suptitle("A synthetic patient with PsPD", fontsize=14)
folder.cleanup()
