"""
Stop, resume, share: must a cluster start a study from the beginning?
=====================================================================

*My study takes days. What is lost if it is interrupted, and how do several machines work on it together?*

A study that has a folder keeps each fit there as soon as it has ended. Here two tasks share the study of a
**synthetic** cohort; one of them is stopped, as by the time limit of a cluster, and started again.
"""

# %%
# A study
# -------
# Three models, four folds and an external site: 15 fits. The models are small, so that the page builds in seconds.

from pathlib import Path
from tempfile import TemporaryDirectory

from sklearn.linear_model import LogisticRegression

from sklearn_pspd import CNNLSTMClassifier, Study, make_clinical_pipeline, make_cohort, make_image_pipeline

workspace = TemporaryDirectory()
folder = Path(workspace.name)
options = {"matrix_px": (128,), "n_native_slices": 10, "random_state": 0}
cohort = make_cohort(folder / "cohort", 60, effect_size=1.5, **options)
network = CNNLSTMClassifier(
    filters=(4, 8), pooling="average", optimizer="adam", learning_rate=0.01, epochs=15, random_state=0
)
models = {
    "MRI alone": make_image_pipeline(network, n_slices=3, size_px=24, memory=folder / "cache"),
    "forest": make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=50),
    "logistic": make_clinical_pipeline(LogisticRegression(C=10.0)),
}
study = Study(cohort, models, cv=4, random_state=0, title="Synthetic cohort")

# %%
# Two tasks, and a time limit
# ---------------------------
# Each task runs its share of the fits: ``share=(1, 2)`` is the first of two. On a cluster these are two processes,
# started by ``pspd study cohort.csv --out results --task 1/2`` and ``--task 2/2``; here they run one after the other.
# ``on_progress`` is told of each fit. We write down who ran it, and stop the second task after three fits.

from sklearn_pspd.exceptions import UnfinishedError

who_ran = {}


def run(task, *, share=None, stop_after=None):
    """Run a share of the study, and note which fits it has run itself."""
    own = []

    def note(_done, _total, fit):
        if not fit.endswith("(kept)"):
            own.append(fit)
            who_ran[fit] = task
        if len(own) == stop_after:
            raise KeyboardInterrupt

    try:
        return study.run(folder / "results", share=share, on_progress=note)
    except UnfinishedError as error:
        print(f"{task}: {len(own)} fits; {error}")
    except KeyboardInterrupt:
        print(f"{task}: stopped after {len(own)} fits")


run("task 1", share=(1, 2))
run("task 2, stopped", share=(2, 2), stop_after=3)

# %%
# Go on
# -----
# The same call again takes the fits that are there and runs the others. A last run without ``share`` collects the
# results; on the command line, ``--resume``.

run("task 2, again", share=(2, 2))
result = run("collecting")
print(result.report(cohort=False).split("\n\n")[1])

# %%
# Who ran which fit
# -----------------
# No fit was run twice, and none was lost. The results are those of a study that was never stopped.

import matplotlib.pyplot as plt
from matplotlib.patches import Patch

colours = {"task 1": "#0072B2", "task 2, stopped": "#D55E00", "task 2, again": "#E69F00", "collecting": "#009E73"}
columns = ["fold 1 of 4", "fold 2 of 4", "fold 3 of 4", "fold 4 of 4", "external set"]
plt.rcParams["font.size"] = 14
figure, ax = plt.subplots(figsize=(6.6, 4.2), layout="constrained")
for row, model in enumerate(models):
    for column, part in enumerate(columns):
        task = who_ran[f"validation: {model}, {part}"]
        ax.add_patch(plt.Rectangle((column - 0.45, row - 0.42), 0.9, 0.84, color=colours[task]))
ax.set_xticks(range(5), ["fold 1", "fold 2", "fold 3", "fold 4", "external"])
ax.set_yticks(range(3), models)
ax.set(xlim=(-0.55, 4.55), ylim=(2.55, -0.55))
ax.set_title("Synthetic study: who ran which fit", fontsize=14)
ax.tick_params(length=0)
used = [Patch(color=colour, label=task) for task, colour in colours.items() if task in who_ran.values()]
figure.legend(handles=used, loc="outside lower center", ncols=3, frameon=False, columnspacing=1, handlelength=1)

# %%
# A fit is taken only if everything it depends on is the same: the model with its seeds, the rows of the table, the
# content of the images, and the versions of the packages. A folder of another study is refused
# (:doc:`/user_guide/protocol`).

workspace.cleanup()
