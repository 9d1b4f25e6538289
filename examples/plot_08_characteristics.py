"""
Patient characteristics: do the groups differ before any model is trained?
==========================================================================

*Do the groups differ before any model is trained, and are the paper's p-values reproduced from its counts?*

:func:`~sklearn_pspd.statistics.characteristics_table` makes a table like the paper's table 1 from any cohort table,
with the test of each variable and the reason why it was selected.
"""

# %%
# By outcome
# ----------
# A synthetic cohort of 78 patients with the counts of the paper's table 1. The images are not read.

from tempfile import TemporaryDirectory

from sklearn_pspd import characteristics_table, make_cohort

folder = TemporaryDirectory()
cohort = make_cohort(f"{folder.name}/cohort", 78, matrix_px=(32,), n_native_slices=10, random_state=0)
folder.cleanup()

by_outcome = characteristics_table(cohort, by="outcome")
by_outcome.frame()

# %%
# A printed table is followed by the reason for each test. ``to_markdown()`` and ``to_latex()`` format it for a
# manuscript.

print(by_outcome)

# %%
# By site
# -------
# The same table for the training and the test site. A difference between them means that the model is tested on another
# population.

by_site = characteristics_table(cohort, by="site")
by_site.frame().drop(columns=["missing"])

# %%
# Standardised mean differences
# -----------------------------
# With 19 test patients a large difference may have a large p-value. The standardised mean difference does not depend on
# the number of patients; groups are often considered imbalanced if it exceeds 0.2, the grey line of the figure.

import matplotlib.pyplot as plt
import numpy as np

plt.rcParams["font.size"] = 13
figure, ax = plt.subplots(figsize=(7.2, 5), layout="constrained")
variables = [name for name in by_outcome.tests["variable"] if name != "site"]
places = np.arange(len(variables))
for offset, (table, name, colour, marker) in zip(
    (-0.2, 0.2),
    ((by_outcome, "PD and PsPD", "#0072B2", "o"), (by_site, "site A and site B", "#D55E00", "s")),
    strict=True,
):
    tests = table.tests.set_index("variable").loc[variables]
    ax.plot(tests["smd"], places + offset, marker, color=colour, markersize=11, label=name)
    for place, test in zip(places + offset, tests.itertuples(), strict=True):
        text = "p < 0.001" if test.p_value < 0.001 else f"p = {test.p_value:.3f}"
        ax.annotate(text, (test.smd, place), (8, 0), textcoords="offset points", va="center", fontsize=11, color=colour)
ax.axvline(0.2, color="0.7", linewidth=1, zorder=0)
ax.set_yticks(places, [by_outcome.labels[name] for name in variables])
ax.invert_yaxis()
ax.set(
    xlabel="standardised mean difference",
    xlim=(0, None),
)
ax.set_title("Synthetic cohort: differences between groups", fontsize=13)
ax.set_xlim(right=1.2 * ax.get_xlim()[1])
figure.legend(frameon=False, loc="outside lower center", ncols=2)

# %%
# The paper's p-values
# --------------------
# :func:`~sklearn_pspd.statistics.compare_counts` takes counts, here those printed in the paper. The paper's p-values
# for sex, MGMT, IDH and outcome are reproduced; those for the dose schedule, 0.80 and 0.52, are not.

import pandas as pd

from sklearn_pspd.statistics import compare_counts

printed = {
    ("sex", "outcome"): ([[27, 21], [24, 6]], None, 0.03),
    ("MGMT", "outcome"): ([[18, 30], [15, 15]], None, 0.28),
    ("IDH", "outcome"): ([[1, 43, 4], [2, 26, 2]], None, 0.73),
    ("dose schedule", "outcome"): ([[4, 44], [2, 28]], "exact", 0.80),
    ("sex", "site"): ([[41, 18], [10, 9]], None, 0.18),
    ("MGMT", "site"): ([[24, 35], [9, 10]], None, 0.61),
    ("IDH", "site"): ([[3, 54, 2], [0, 15, 4]], None, 0.04),
    ("dose schedule", "site"): ([[5, 54], [1, 18]], "exact", 0.52),
    ("outcome", "site"): ([[37, 22], [11, 8]], None, 0.71),
}
rows = []
for (variable, by), (counts, test, paper) in printed.items():
    result = compare_counts(np.array(counts), test=test)
    rows.append(
        {"variable": variable, "by": by, "test": result.test, "p": round(result.p_value, 2), "printed p": paper}
    )
pd.DataFrame(rows)
