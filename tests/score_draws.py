"""Scores, counts and published data that the tests of metrics, paired tests and tables share."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

moderate = settings(max_examples=40, deadline=None)

# Turck N et al., Intensive Care Med 36, 107-115 (2010): WFNS grade -> S100B in 0.01 ug/l, by outcome. The example
# of Robin X et al., BMC Bioinformatics 12, 77 (2011); expected values as in that software's own tests.
S100B_GOOD = {
    1: "4 4 4 4 5 5 6 6 7 7 7 7 8 8 8 8 9 9 9 9 10 10 10 10 11 11 13 13 14 14 14 15 16 18 19 48 50",
    2: "4 7 8 8 9 9 10 10 10 11 11 13 14 15 15 15 16 17 19 43",
    3: "5 7 33",
    4: "16 17 28 32 34 38 45 47",
    5: "24 46 47 50",
}
S100B_POOR = {
    1: "7 8",
    2: "7 7 9 9 10 10 11 14 25 30 41 58",
    3: "13",
    4: "13 16 23 26 27 48 71 96",
    5: "3 12 22 32 33 35 44 44 49 52 56 70 71 74 77 82 86 207",
}


def published_haemorrhages():
    """Return outcome (1 = poor), WFNS grade and S100B, one entry per published patient."""
    rows = [
        (outcome, grade, int(value))
        for outcome, table in enumerate((S100B_GOOD, S100B_POOR))
        for grade, values in table.items()
        for value in values.split()
    ]
    return np.array(rows).T


@st.composite
def scored(draw, min_class_size=1, max_class_size=9):
    """Draw classes and scores with many ties: multiples of 1/8, which are exact in binary."""
    n_negative, n_positive = (draw(st.integers(min_class_size, max_class_size)) for _ in range(2))
    y_true = np.array(draw(st.permutations([0] * n_negative + [1] * n_positive)))
    levels = draw(st.integers(1, 8))
    score = draw(st.lists(st.integers(0, levels), min_size=len(y_true), max_size=len(y_true)))
    return y_true, np.array(score) / 8


def from_counts(counts):
    """Return true and predicted classes with the given confusion counts."""
    cells = np.asarray(counts).ravel()
    return np.repeat([0, 0, 1, 1], cells), np.repeat([0, 1, 0, 1], cells)
