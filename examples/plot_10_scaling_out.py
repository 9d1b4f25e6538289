"""
Scaling out: what can run in parallel?
======================================

*My cohort or my protocol is too large for one core. What can run in parallel, and what fits into memory?*

A row of ``X`` consists of a path and a few numbers, so sending patients to another process takes hardly any time. Each
process reads the images that it needs.
"""

# %%
# A task
# ------
# A small version of model 2 of the paper, on synthetic patients whose images are read once and cached on disk.

from tempfile import TemporaryDirectory
from time import perf_counter

from sklearn_pspd import CNNLSTMClassifier, compare_models, make_cohort, make_image_pipeline, split_xy

network = CNNLSTMClassifier(
    filters=(8, 16), pooling="average", optimizer="adam", learning_rate=5e-3, epochs=20, random_state=0
)


def timed(X, y, folder, *, n_jobs):
    """Return how many seconds a cross-validation takes, and its AUC."""
    model = make_image_pipeline(network, size_px=32, memory=f"{folder}/cache")
    started = perf_counter()
    comparison = compare_models({"MRI alone": model}, X, y, cv=3, random_state=0, n_jobs=n_jobs)
    seconds = perf_counter() - started
    return seconds, comparison.frame().query("metric == 'auc'")["value"].item()


# %%
# The processes of a cluster import this file; the condition prevents them from running it again.

if __name__ == "__main__":
    folder = TemporaryDirectory()
    images = {"matrix_px": (128,), "n_native_slices": 12, "random_state": 0}
    cohort = make_cohort(f"{folder.name}/cohort", 30, effect_size=2.5, **images)
    X, y = split_xy(cohort)
    results = {"one process": timed(X, y, folder.name, n_jobs=1)}

# %%
# Processes on this machine
# -------------------------
# ``n_jobs`` of :func:`~sklearn_pspd.model_selection.compare_models`, of ``GridSearchCV`` and of anything else that
# scikit-learn repeats distributes fits over processes. The first fit in each process includes the import of TensorFlow,
# so short tasks gain nothing the first time. Threads do not help: fits within one process run one at a time.

if __name__ == "__main__":
    results["two processes, first call"] = timed(X, y, folder.name, n_jobs=2)
    results["two processes, again"] = timed(X, y, folder.name, n_jobs=2)

# %%
# A cluster
# ---------
# joblib can pass the same tasks to Dask, here to two workers on this machine. With ``Client("scheduler-address:8786")``
# they go to the workers of a cluster, which need access to the same files. Nothing else changes.

if __name__ == "__main__":
    import joblib
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        results["Dask, first call"] = timed(X, y, folder.name, n_jobs=2)

# %%
# All ways give the same AUC, since each estimator has its own seed. Bars are the times of the machine that built this
# page.

if __name__ == "__main__":
    import matplotlib.pyplot as plt

    plt.rcParams["font.size"] = 14
    figure, ax = plt.subplots(figsize=(7.4, 4), layout="constrained")
    bars = ax.barh(list(results), [seconds for seconds, _ in results.values()], color="#56B4E9")
    labels = [f"{seconds:.0f} s, AUC {auc:.2f}" for seconds, auc in results.values()]
    ax.bar_label(bars, labels, padding=4)
    ax.invert_yaxis()
    ax.set(xlabel="seconds for three folds")
    ax.set_title("Synthetic cohort of 30 patients: time and AUC", fontsize=14)
    ax.margins(x=0.5)

# %%
# Ray works in the same way: ``ray.util.joblib.register_ray()``, then ``joblib.parallel_config(backend="ray")``.
#
# Cohorts larger than memory
# --------------------------
# Nine slices of 256 x 256 pixels take 2.4 MB per patient, so ten thousand patients take 24 GB. The preparation of an
# image does not depend on other patients. The stacks can therefore be prepared once, block by block, and stored in an
# array on disk, from which the classifier reads one batch at a time.

if __name__ == "__main__":
    import numpy as np

    stacks = make_image_pipeline(size_px=32)["features"]
    shape = (len(X), 9 * 32 * 32)
    on_disk = np.lib.format.open_memmap(f"{folder.name}/stacks.npy", "w+", dtype=np.float32, shape=shape)
    for start in range(0, len(X), 16):
        block = slice(start, start + 16)
        on_disk[block] = stacks.fit_transform(X.iloc[block])
    on_disk.flush()

    classifier = CNNLSTMClassifier(**{**network.get_params(), "stack_shape": (9, 32, 32)})
    from_disk = classifier.fit(np.load(f"{folder.name}/stacks.npy", mmap_mode="r"), y)
    in_memory = make_image_pipeline(network, size_px=32).fit(X, y)
    difference = np.abs(from_disk.predict_proba(on_disk) - in_memory.predict_proba(X)).max()
    print(f"{on_disk.nbytes / 1e6:.1f} MB on disk; probabilities differ by {difference:g} from those of the pipeline")
    folder.cleanup()

# %%
# Clinical columns are few, and are scaled by the range of the training rows: keep them in the table, and scale them
# inside the fold. :doc:`/performance` reports how long a step takes at full size, and what limits it.
