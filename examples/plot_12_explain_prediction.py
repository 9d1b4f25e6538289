"""
Explain a prediction: was it the image or the clinical values?
==============================================================

*Is this patient's probability due to the image or to the clinical values, and where in the image?*

This example splits one prediction into the parts of the image and of each clinical column, which add up exactly. It
then shows where in the slices the network found its evidence, with the tests that say whether to believe the map. The
cohort is **synthetic**: its signal lies in the lesion and in the interval.
"""

# %%
# A model
# -------
# A fusion network of three members, trained on two thirds of the patients; the others are new.

from tempfile import TemporaryDirectory

from sklearn_pspd import CNNLSTMClassifier, make_cohort, make_fusion_pipeline, split_xy

folder = TemporaryDirectory()
options = {"matrix_px": (128,), "n_native_slices": 10, "random_state": 0}
cohort = make_cohort(f"{folder.name}/cohort", 85, effect_size=2.0, **options)
X, y = split_xy(cohort)
network = CNNLSTMClassifier(
    filters=(4, 8),
    pooling="average",
    sequence="mean",
    optimizer="adam",
    learning_rate=0.01,
    dense_units=(8,),
    epochs=20,
    n_members=3,
    random_state=0,
)
model = make_fusion_pipeline(network, n_slices=3, size_px=40, fov_mm=190.0, memory=f"{folder.name}/cache")
model.fit(X[:60], y[:60])
X_new, y_new = X[60:], y[60:]

# %%
# What the AUC depends on
# -----------------------
# Each group of columns is taken from every other patient in turn; the image moves with the position of its lesion.

from sklearn_pspd.inspection import permutation_contribution

contribution = permutation_contribution(model, X_new, y_new, random_state=0)
print(f"AUC {contribution.auc.value:.2f} ({contribution.auc.low:.2f} to {contribution.auc.high:.2f})")
print(contribution.frame()[["group", "drop", "low", "high"]].round(2).to_string(index=False))

# %%
# One patient
# -----------
# Exact Shapley values: all 256 coalitions of the image and seven columns, for each of 20 reference patients. Then a
# map: integrated gradients from the mean of the training patients, which is tested on ten of the new patients.

from sklearn_pspd.inspection import shapley_values, slice_maps

values = shapley_values(model, X_new, X[:20])
maps = slice_maps(model, X_new, "integrated_gradients", reference=X[:60], n_steps=16)
print(maps.checks.frame().round(2).to_string(index=False))
print("Failed:", ", ".join(maps.checks.failures) or "none")

# %%
# The parts of one prediction, from the mean of the reference patients to this patient, in log odds. Orange speaks for
# PsPD, blue for PD.

import matplotlib.pyplot as plt

from sklearn_pspd.plotting import ShapleyDisplay

plt.rcParams["font.size"] = 13
patient = values.patient_id[int(values.prediction.argmin())]
figure, ax = plt.subplots(figsize=(7, 4.8), layout="constrained")
display = ShapleyDisplay.from_values(
    values, patient_id=patient, ax=ax, title="Synthetic patient: parts of a prediction"
)

# %%
# The evidence in the slices of the same patient, in the same colours: it lies in the thick, bright rim of the lesion.

from sklearn_pspd.plotting import SliceMapDisplay

display = SliceMapDisplay.from_maps(maps, patient_id=patient, title="Synthetic patient: evidence in the slices")
folder.cleanup()

# %%
# The parts describe the network, not the disease: another training of the same network may weigh the inputs
# differently, which is why its members are averaged.
