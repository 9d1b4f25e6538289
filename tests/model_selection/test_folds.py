"""Splits: which splitters are accepted, and which are refused."""

import numpy as np
import pandas as pd
import pytest
from sklearn import model_selection
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    LeaveOneGroupOut,
    LeavePGroupsOut,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    StratifiedGroupKFold,
    StratifiedKFold,
)

from sklearn_pspd._sklearn import GroupsConsumerMixin
from sklearn_pspd.model_selection.folds import check_outcomes, make_splits, warn_of_small_folds

Y = np.arange(40) % 2
X = pd.DataFrame({"a": np.arange(40), "site": np.repeat(list("ABCD"), 10)})


class EverySecondSite(LeavePGroupsOut):
    """A splitter of a user, which inherits from one that consumes groups."""

    def __init__(self):
        super().__init__(n_groups=2)


GROUP_SPLITTERS = [
    GroupKFold(3),
    StratifiedGroupKFold(3, shuffle=True, random_state=0),
    LeaveOneGroupOut(),
    LeavePGroupsOut(2),
    GroupShuffleSplit(3, random_state=0),
    EverySecondSite(),
]


@pytest.mark.parametrize("cv", GROUP_SPLITTERS, ids=lambda cv: type(cv).__name__)
def test_splitters_that_require_groups_are_refused_and_their_splits_accepted(cv):
    name = type(cv).__name__
    with pytest.raises(ValueError, match=rf"^{name} requires groups; give its splits instead, .* cv={name}\(") as info:
        make_splits(cv, X, Y, 0)
    # The expression that the message suggests gives the splits of this splitter.
    suggested = eval(str(info.value).rsplit("cv=", 1)[1], {**globals(), "y": Y})
    expected = list(cv.split(X, Y, X["site"]))
    for split, (train, test) in zip(make_splits(suggested, X, Y, 0), expected, strict=True):
        np.testing.assert_array_equal(split[0], train)
        np.testing.assert_array_equal(split[1], test)


def test_every_splitter_of_scikit_learn_that_consumes_groups_is_tested():
    public = [value for name, value in vars(model_selection).items() if not name.startswith("_")]
    consumers = {value for value in public if isinstance(value, type) and issubclass(value, GroupsConsumerMixin)}
    assert consumers == {type(cv) for cv in GROUP_SPLITTERS} - {EverySecondSite}


class Halves:
    """A splitter of a user, which follows the protocol without inheriting from scikit-learn."""

    def split(self, X, y=None, groups=None):
        yield np.arange(20), np.arange(20, 40)

    def get_n_splits(self, X=None, y=None, groups=None):
        return 1


@pytest.mark.parametrize(
    ("cv", "n_splits"),
    [
        (4, 4),
        (StratifiedKFold(5), 5),
        (PredefinedSplit(np.arange(40) % 3), 3),
        (RepeatedStratifiedKFold(n_splits=4, n_repeats=2, random_state=0), 8),
        (Halves(), 1),
        ([(np.arange(20), np.arange(20, 40))], 1),
    ],
)
def test_other_splitters_are_accepted(cv, n_splits):
    assert len(make_splits(cv, X, Y, 0)) == n_splits


def test_a_generator_is_accepted_once():
    splits = StratifiedKFold(5).split(X, Y)
    assert len(make_splits(splits, X, Y, 0)) == 5
    with pytest.raises(ValueError, match="cv contains no splits; a generator gives its splits only once"):
        make_splits(splits, X, Y, 0)


def test_patients_in_the_training_and_the_test_set_of_one_fold_are_refused():
    overlapping = [(np.arange(20), np.arange(20, 40)), (np.arange(22), np.arange(20, 40))]
    with pytest.raises(ValueError, match="fold 2 has patients in both its training and its test set: rows 20, 21"):
        make_splits(overlapping, X, Y, 0)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (None, "y is None; it must contain the outcomes"),
        (
            ["PD", "PsPD"],
            r"y must contain only 0 \(PD\) and 1 \(PsPD\), one value per patient; got \['PD' 'PsPD'\], 1-D",
        ),
        ([[0, 1]], r"one value per patient; got \[0 1\], 2-D"),
    ],
)
def test_outcomes_are_checked(y, match):
    with pytest.raises(ValueError, match=match):
        check_outcomes(y, "y")


def test_only_small_folds_are_warned_of():
    y = np.repeat([0, 1], [30, 10])
    warn_of_small_folds(make_splits(2, X, y, 0), y, "search")
    with pytest.warns(
        UserWarning, match=r"^search: the smallest fold has 2 patient\(s\) of a class; with fewer than 5"
    ):
        warn_of_small_folds(make_splits(5, X, y, 0), y, "search")
