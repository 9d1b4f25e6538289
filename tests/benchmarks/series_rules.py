"""What each rule of choose_series is worth: on a synthetic export, on public headers, and for the pixel check.

Run ``python tests/benchmarks/series_rules.py [folder of real sample data]``. The tables are those of the user guide;
``tests/intake/test_series_rules.py`` computes the first one again.
"""

import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from sklearn_pspd import make_cohort
from sklearn_pspd.intake import SERIES_COLUMNS, choose_series, choosing, list_series, rules
from sklearn_pspd.intake.pixel_check import LEAST_RATIO, bright_end_ratio, in_plane_average
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.loading.header_facts import NUMBERS, TEXTS

N_PATIENTS = 16  # two with each difficulty
N_DRAWS = 100
NOISE = (0.02, 0.05, 0.1)  # standard deviation, relative to the usual intensity
PUBLIC = "headers/public_mr_series_headers.csv"


def outcomes(series, near, truth, *, allowed=tuple(rules.RULES), pixels=False):
    """Return how many patients have the right series, are in doubt, and have a wrong one, by some of the rules."""

    def drop(evidence):
        for item in evidence:
            for name in item.found.keys() - set(allowed):
                del item.found[name]

    def evidence_by_allowed(rows):
        evidence = [rules._series_evidence(row) for row in rows]
        drop(evidence)
        rules._demote_agents(rows, evidence)
        rules._compare_pairs(rows, evidence)
        rules._compare_perfusion(rows, evidence)
        drop(evidence)
        return evidence

    with patch.object(choosing, "study_evidence", evidence_by_allowed):
        ranked = choose_series(series, near=near, pixels=pixels)
    chosen = ranked.loc[ranked["chosen"], ["patient_id", "series_uid"]]
    right = int(chosen["series_uid"].isin(truth.loc[truth["is_wanted"], "series_uid"]).sum())
    return f"{right} / {len(near) - len(chosen)} / {len(chosen) - right}"


def evidence_of(series):
    """Return the evidence on each series, study by study, pixels included."""
    found = {}
    for _, study in series.groupby(["patient_id", "study_uid"]):
        rows = study.to_dict("records")
        evidence = rules.study_evidence(rows)
        rules.compare_pixels(rows, evidence)
        found |= {row["series_uid"]: item for row, item in zip(rows, evidence, strict=True)}
    return found


def rule_table(series, near, truth, public=None):
    """Return one row per rule: where it applies, and what becomes of the patients without it and by it alone."""
    evidence = evidence_of(series)
    kinds = truth.set_index("series_uid")["kind"]
    by_kind = {kind: kinds.index[kinds == kind] for kind in ("t1_post", "t1_pre")}
    rows = []
    for name, rule in rules.RULES.items():
        pixels = "pixels" in rule.meaning
        row = {"rule": name, "points": f"{rule.points:+d}"}
        row |= {kind: sum(name in evidence[uid].found for uid in uids) for kind, uids in by_kind.items()}
        without = [other for other in rules.RULES if other != name]
        row["without it"] = outcomes(series, near, truth, allowed=without, pixels=pixels)
        alone = [other for other, item in rules.RULES.items() if item.topic != "contrast" or other == name]
        is_contrast = rule.topic == "contrast"
        row["alone"] = outcomes(series, near, truth, allowed=alone, pixels=pixels) if is_contrast else ""
        rows.append(row | ({} if public is None else public_counts(name, public)))
    return pd.DataFrame(rows)


def exclusion_table(series, near, truth):
    """Return what became of the series of each kind: excluded with which reason, or ranked."""
    ranked = choose_series(series, near=near).merge(truth[["series_uid", "kind"]], on="series_uid")
    ranked["became"] = [
        "another study"
        if rule == "another study"
        else "candidate"
        if pd.notna(rank)
        else re.sub(r":.*| \(.*", "", rule)
        for rule, rank in zip(ranked["rule"], ranked["rank"], strict=True)
    ]
    return ranked.groupby(["kind", "became"]).size().rename("n_series").reset_index()


def public_rows(folder):
    """Return the public headers as rows of the series table; what they do not state is unknown."""
    table = pd.read_csv(folder / PUBLIC, dtype=str, keep_default_na=False)
    rows = []
    for header in table.to_dict("records"):
        row = dict.fromkeys(SERIES_COLUMNS, "") | dict.fromkeys(NUMBERS)
        # The table has neither positions nor directions, which are those of an ordinary axial series here.
        row |= {"modality": "MR", "n_positions": 160, "orientation": "axial", "tilt_deg": 0.0, "acquired": pd.NaT}
        row |= {name: header[keyword] for name, keyword in TEXTS.items() if keyword in header}
        numbers = {name: header[keyword].split("\\")[0] for name, keyword in NUMBERS.items() if keyword in header}
        row |= {name: float(text) if text not in ("", "None") else None for name, text in numbers.items()}
        row["slice_spacing_mm"] = np.nan if row.get("slice_spacing_mm") in ("", None) else row["slice_spacing_mm"]
        rows.append(row)
    return rows


def public_counts(name, public):
    """Return how many public series a rule applies to, by whether their description names T1."""
    if name in ("thin", "axial"):
        return {"public T1": "", "public others": ""}
    counts = {"public T1": 0, "public others": 0}
    for row in public:
        text = (row["description"] or row["protocol"]).lower().split("rest1")[0]
        applies = name in rules.study_evidence([row])[0].found
        counts["public T1" if "t1" in text else "public others"] += applies
    return counts


def scanned(volume, rng):
    """Return a volume as another scan might show it: with noise and a gain of its own, moved by up to a pixel."""
    usual = np.median(volume[volume > 0.15 * np.percentile(volume, 99)])
    noisy = np.abs(volume + rng.normal(0, rng.choice(NOISE) * usual, volume.shape)) * rng.uniform(0.5, 2)
    return np.roll(noisy, (rng.integers(-1, 2), rng.integers(-1, 2)), axis=(1, 2))


def enhanced(volume, percent, rng):
    """Return a volume in which some per cent of tissue, in spots of a few voxels, have 2.3 times the usual value."""
    tissue = volume > 0.2 * np.percentile(volume, 95)
    field = gaussian_filter(rng.normal(size=volume.shape), (1, 3, 3))
    spots = tissue & (field > np.percentile(field[tissue], 100 - percent))
    return np.where(spots, 2.3 * np.median(volume[tissue]), volume)


def print_verdicts(what, pairs, spacing_mm, rng):
    """Print in how many pairs the second, neither and the first volume is called brighter."""
    scans = [[in_plane_average(scanned(volume, rng), *spacing_mm) for volume in pair] for pair in pairs]
    ratios = np.array([bright_end_ratio(*pair) for pair in scans])
    second, first = int((ratios >= LEAST_RATIO).sum()), int((ratios <= 1 / LEAST_RATIO).sum())
    print(f"{what:46s} second brighter {second:3d}, undecided {len(ratios) - first - second:3d}, first {first:3d}")


def pixel_table(folder, shared, rng):
    """Print what the pixel check says of scans that differ by enhancement, and of scans that do not."""
    cohort = make_cohort(folder / "pixels", 20, matrix_px=(128,), n_native_slices=12, random_state=1)
    volumes = [stack.pixels for stack in SliceStackLoader().fit_transform(cohort)]
    spacing = (1.8, 1.8)
    print_verdicts("synthetic, the same contrast twice", [(v, v) for v in volumes for _ in range(5)], spacing, rng)
    pairs = [(np.minimum(v, np.percentile(v, 97)), v) for v in volumes for _ in range(5)]
    print_verdicts("synthetic, before and after contrast", pairs, spacing, rng)
    images = {} if shared is None else {"brain1": 12, "brain2": 11, "whole head": 7}
    for name, middle in images.items():
        path = "dicom_t1w_whole_head" if name == "whole head" else f"{name}_image.nii.gz"
        table = pd.DataFrame([{"patient_id": name, "image": str(shared / path), "lesion_slice": middle}])
        (stack,) = SliceStackLoader(n_slices=15).transform(table)
        volume = stack.pixels
        print_verdicts(f"{name}, the same contrast twice", [(volume, volume)] * N_DRAWS, stack.spacing_mm, rng)
        pairs = [(volume, enhanced(volume, 1, rng)) for _ in range(N_DRAWS)]
        print_verdicts(f"{name}, 1 % of tissue made bright", pairs, stack.spacing_mm, rng)


def synthetic_export(folder):
    """Return the series of a synthetic export, the dates of the lesions, and the truth."""
    small = {"layout": "export", "matrix_px": (32,), "n_native_slices": 10}
    truth = make_cohort(folder, N_PATIENTS, **small, random_state=0)
    return list_series(folder / "dicom"), truth.groupby("patient_id")["lesion_date"].first(), truth


def main():
    shared = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    public = None if shared is None else public_rows(shared)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        export = synthetic_export(folder / "export")
        print("all rules: right / doubt / wrong =", outcomes(*export), "; with pixels", outcomes(*export, pixels=True))
        print(rule_table(*export, public).to_csv(index=False))
        print(exclusion_table(*export).to_string(index=False))
        pixel_table(folder, shared, np.random.default_rng(0))
    if public is not None:
        admitted = [row for row in public if not rules.study_evidence([row])[0].exclusion]
        print(len(public), "public series,", len(admitted), "admitted as T1")


if __name__ == "__main__":
    main()
