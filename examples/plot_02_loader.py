"""
The loader: which pixels does the network see?
==============================================

*Which pixels are the input of the network, and how do I check that they are the right ones?*

:class:`~sklearn_pspd.loading.SliceStackLoader` finds the slices around the lesion from the geometry in the image files,
never from their names. Two further steps bring all patients to the same field of view, matrix and grey scale.
"""

# %%
# Image files
# -----------
# Like a multi-centre cohort, the synthetic cohort has several matrices and fields of view, images stored in three
# orientations, and slices of 0.86 to 1.5 mm. The field of view of one patient, 193 mm, is smaller than the 200 mm to
# which the paper crops.

from tempfile import TemporaryDirectory

from sklearn_pspd import SliceStackLoader, make_cohort

folder = TemporaryDirectory()
cohort = make_cohort(f"{folder.name}/cohort", 8, matrix_px=(192, 320), n_native_slices=16, random_state=4)

# %%
# Quality-control table
# ---------------------
# :meth:`~sklearn_pspd.loading.SliceStackLoader.inspect` reads every patient and tabulates what it found. Look at this
# table before any training. Here the cohort table has two mistakes: one lesion position lies beyond the last slice, and
# one path does not exist.

X = cohort.drop(columns="outcome").set_index("patient_id", drop=False)
X.loc[X.index[2], "lesion_slice"] = 40
X.loc[X.index[5], "image"] = "elsewhere/scan.nii.gz"

quality = SliceStackLoader().inspect(X)
shown = ["height", "width", "row_spacing_mm", "fov_height_mm", "slice_spacing_mm", "orientation", "slices"]
quality[shown].round(2)

# %%
# The column ``problem`` says what to correct. No patient is dropped and no value is guessed: loading this table would
# raise one error that lists both problems.

for patient, problem in quality["problem"].items():
    if problem:
        print(f"{patient}: {problem.replace(folder.name, '...')}")

# %%
# Before and after
# ----------------
# After correction, one stack is nine slices from feet to head. Rows run from front to back and columns from the
# patient's right to the patient's left, whatever their order in the file. The middle slice, framed, shows the lesion
# best.

from sklearn_pspd.plotting import SliceStackDisplay

X = cohort.drop(columns="outcome").set_index("patient_id", drop=False)
stacks = SliceStackLoader().fit_transform(X)
small = min(stacks, key=lambda stack: stack.fov_mm[0])
display = SliceStackDisplay.from_stack(small, title=f"{small.patient_id} as read, {small.fov_mm[0]:.0f} mm wide")

# %%
# :class:`~sklearn_pspd.preprocessing.FOVNormalizer` crops or pads to 200 mm about the centre and resamples to 256
# pixels in one step; :class:`~sklearn_pspd.preprocessing.SliceStandardizer` scales every slice to zero mean and unit
# variance.

from sklearn_pspd import FOVNormalizer, SliceStandardizer

images = FOVNormalizer(fov_mm=200.0, size_px=256).fit_transform(stacks)
images = SliceStandardizer().fit_transform(images)
at = [stack.patient_id for stack in stacks].index(small.patient_id)
display = SliceStackDisplay.from_images(images[at], fov_mm=200.0, title=f"{small.patient_id} as input of the network")

# %%
# All patients, one scale
# -----------------------
# Before preparation, the size of a lesion in pixels depends on the scanner; afterwards a pixel is 0.78 mm in all
# patients. The middle slices of three patients, above as stored, below as prepared:

import matplotlib.pyplot as plt

plt.rcParams["font.size"] = 13
figure, axes = plt.subplots(2, 3, figsize=(7, 5.2), layout="constrained")
for column, (stack, image) in enumerate(zip(stacks[:3], images[:3], strict=True)):
    above, below = axes[:, column]
    above.imshow(stack.pixels[4], cmap="gray")
    above.set_title(f"{stack.pixels.shape[1]} px, {stack.fov_mm[0]:.0f} mm", fontsize=13)
    below.imshow(image[4], cmap="gray", extent=(-100, 100, 100, -100))
    for ax in (above, below):
        ax.tick_params(labelsize=10)
axes[0, 0].set_ylabel("stored (pixels)")
axes[1, 0].set_ylabel("prepared (mm)")
figure.suptitle("Slices of three synthetic patients: stored, and prepared for the network", fontsize=13)
# sphinx_gallery_thumbnail_number = 3
folder.cleanup()
