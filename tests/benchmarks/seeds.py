"""How far the figures of the default command move over seeds, and whether its intervals hold their mean.

    python tests/benchmarks/seeds.py FOLDER             # ten runs of `python -m sklearn_pspd`, minutes each
    python tests/benchmarks/seeds.py FOLDER --table     # print the table of the runs that are there

Each seed draws another synthetic cohort, other folds and other networks. A run that is complete is not repeated. The
test suite does not run this file.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import pandas as pd

METRICS = {"auc": "AUC", "auc_single_network": "AUC of a single network"}


def run(folder, seed):
    """Run the default command with a seed, unless its results are there."""
    out = folder / f"seed-{seed}"
    if not (out / "comparison.csv").exists():
        command = [sys.executable, "-m", "sklearn_pspd", "--seed", str(seed), "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def table(folder):
    """Return one row per metric, model and evaluation: mean, SD and range over seeds, and how often it is held."""
    runs = pd.concat([pd.read_csv(path) for path in sorted(folder.glob("seed-*/comparison.csv"))])
    rows = []
    for (metric, evaluation, model), found in runs[runs["metric"].isin(METRICS)].groupby(
        ["metric", "evaluation", "model"], sort=False
    ):
        mean = found["value"].mean()
        held = int(((found["low"] <= mean) & (mean <= found["high"])).sum())
        rows.append(
            {
                "metric": METRICS[metric],
                "evaluation": evaluation,
                "model": model,
                "mean": f"{mean:.2f}",
                "SD": f"{found['value'].std():.2f}",
                "lowest, highest": f"{found['value'].min():.2f}, {found['value'].max():.2f}",
                "intervals that hold the mean": f"{held} of {len(found)}",
            }
        )
    return pd.DataFrame(rows).sort_values(["metric", "evaluation"], kind="stable")


def main():
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the results of the runs are")
    parser.add_argument("--seeds", type=int, default=10, help="number of runs (10)")
    parser.add_argument("--table", action="store_true", help="print the table only")
    options = parser.parse_args()
    for seed in () if options.table else range(options.seeds):
        run(options.folder, seed)
    print(table(options.folder).to_string(index=False))


if __name__ == "__main__":
    main()
