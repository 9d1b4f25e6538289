"""What a study reports of one fitted model: contributions, shortcut tests, and the patients that it predicts worst."""

from dataclasses import dataclass

import pandas as pd

from .confounders import confounder_aucs
from .contributions import PermutationContribution, permutation_contribution
from .failures import FailureCases, failure_cases
from .opened import OpenedModel
from .regions import has_region
from .shortcuts import HEAD_TESTS, TESTS, ShortcutTests, shortcut_tests

CONFOUNDERS = ("site", "sex", "age_years")


@dataclass(frozen=True, eq=False)
class ModelInspection:
    """What a model depends on.

    Attributes
    ----------
    contribution : PermutationContribution
        Drop of the AUC without the image or a column.
    shortcuts : ShortcutTests or None
        AUC on altered images; None if the model reads none.
    confounders : DataFrame or None
        What the image features say of other facts; None if the model reads no images.
    failures : FailureCases
        The worst-predicted patients.
    notes : tuple of str
        On which patients this was computed, and what was left out and why.
    """

    contribution: PermutationContribution
    shortcuts: ShortcutTests | None
    confounders: pd.DataFrame | None
    failures: FailureCases
    notes: tuple

    def tables(self):
        """Return the tables by name.

        Returns
        -------
        dict of str to DataFrame
            "contributions", "failures" and, for a model with images, "shortcuts" and "confounders".
        """
        tables = {"contributions": self.contribution.frame()}
        if self.shortcuts is not None:
            tables |= {"shortcuts": self.shortcuts.frame(), "confounders": self.confounders}
        return tables | {"failures": self.failures.frame()}


def inspect_model(
    model, X, y, *, trained_on_these=True, centres=None, n_failures=4, scores=None, random_state=0, pos_label=1
):
    """Inspect a fitted model by what a study reports: contributions, shortcut tests and failures.

    Parameters
    ----------
    model : Pipeline
        A fitted pipeline of a cohort table, for example the released one of a study, ``result.models_[name]``.
    X : DataFrame of shape (n_patients, n_columns)
        Patients. Those of a study's training, ``study.X``, are what there is before the external patients are looked
        at; the models of its folds are not kept.
    y : array-like of shape (n_patients,)
        Their outcomes.
    trained_on_these : bool, default=True
        Whether the model was trained on these patients, which the notes then say.
    centres : DataFrame, default=None
        Centres of the lesions; see :func:`shortcut_tests`. Without them and without masks, only the tests that do not
        need the lesion are made, and a note says so.
    n_failures : int, default=4
        Number of worst-predicted patients.
    scores : array-like of shape (n_patients,), default=None
        Probabilities by which these are chosen, for example out of fold.
    random_state : int, default=0
        Seed.
    pos_label : int, str or bool, default=1
        The positive class.

    Returns
    -------
    ModelInspection
        All results, with notes.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import make_clinical_pipeline, make_cohort, split_xy
    >>> from sklearn_pspd.inspection import inspect_model
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(folder, 20, matrix_px=(32,), n_native_slices=10, random_state=0))
    >>> model = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=20).fit(X, y)
    >>> list(inspect_model(model, X, y).tables())
    ['contributions', 'failures']
    """
    opened = OpenedModel(model)
    notes = []
    if trained_on_these:
        notes.append(
            f"These {len(X)} patients trained the model: contributions and tests describe what it has learned, not how "
            "it performs on new patients."
        )
    shortcuts = confounders = None
    if opened.further_images:
        notes.append(
            f"Shortcuts and image features were not tested: the model reads {', '.join(opened.further_images)} beside "
            "the image."
        )
    elif opened.has_images:
        tests = TESTS
        if centres is None and not all(map(has_region, X.to_dict("records"))):
            tests = HEAD_TESTS
            notes.append(
                "The lesion was neither removed nor shown alone: not every patient has a lesion_mask or a point of "
                "the lesion, and no centres were given."
            )
        shortcuts = shortcut_tests(
            model, X, y, tests=tests, centres=centres, random_state=random_state, pos_label=pos_label
        )
        targets = [name for name in CONFOUNDERS if name in X.columns]
        confounders = confounder_aucs(model, X, y, targets=targets, random_state=random_state)
    contribution = permutation_contribution(model, X, y, random_state=random_state, pos_label=pos_label)
    failures = failure_cases(model, X, y, n_patients=n_failures, background=X, scores=scores, pos_label=pos_label)
    return ModelInspection(contribution, shortcuts, confounders, failures, tuple(notes))
