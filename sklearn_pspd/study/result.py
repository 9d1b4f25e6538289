"""What a study found."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from sklearn_pspd.model_selection import ModelComparison, NegativeControl, SequentialSearchCV


@dataclass(frozen=True, eq=False)
class StudyResult:
    """What a study found.

    Attributes
    ----------
    comparison : ModelComparison
        Scores of every model, with intervals, paired tests, calibration and thresholds.
    tables : dict of str to DataFrame
        Every table of the comparison by name, computed once; see
        :meth:`~sklearn_pspd.model_selection.ModelComparison.tables`.
    findings : DataFrame
        Leakage checks, one row per finding.
    characteristics : dict of str to CharacteristicsTable
        Tables of patient characteristics, by heading.
    sample_size : DataFrame
        What the number of patients allows.
    feature_aucs : DataFrame
        AUC of each clinical column by itself, among the training patients.
    missing_values : tuple of dict and DataFrame
        Absent columns and missing values; see :meth:`Study.missing_values`.
    constant_columns : dict of str to object
        Clinical columns that have one value in all training patients, and this value.
    settings : dict of str to object
        Site that was held out, folds, seed, unfitted models, versions of the packages, ``arithmetic`` of the networks
        by model and the ``device`` that trained them.
    image_checks : DataFrame
        What is known about the images: one row per patient, see :meth:`Study.image_checks`; empty if no model reads
        images.
    image_findings : DataFrame
        What is odd about them, as :func:`~sklearn_pspd.loading.image_findings` gives it.
    controls : dict of str to NegativeControl
        Negative controls by model; empty if none were asked for.
    title : str or None
        Heading of texts and figures.
    """

    comparison: ModelComparison
    tables: dict[str, pd.DataFrame] = field(repr=False)
    findings: pd.DataFrame = field(repr=False)
    characteristics: dict = field(repr=False)
    sample_size: pd.DataFrame = field(repr=False)
    feature_aucs: pd.DataFrame = field(repr=False)
    missing_values: tuple = field(repr=False)
    constant_columns: dict = field(repr=False)
    settings: dict = field(repr=False)
    image_checks: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    image_findings: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    controls: dict[str, NegativeControl] = field(default_factory=dict, repr=False)
    title: str | None = None

    @property
    def models_(self):
        """The models fitted on all training patients, by name."""
        return self.comparison.models

    @property
    def tuning(self):
        """The fitted searches among the models, by name; empty without tuning."""
        return {name: model for name, model in self.models_.items() if isinstance(model, SequentialSearchCV)}

    def report(self, *, cohort=True):
        """Lay out the results as plain text.

        Parameters
        ----------
        cohort : bool, default=True
            Whether to begin with the description of the cohort.

        Returns
        -------
        str
            Text to print.
        """
        from sklearn_pspd.reporting import report_text

        return report_text(self, cohort=cohort)

    def write(self, folder):
        """Save texts, tables and figures; see :func:`~sklearn_pspd.reporting.write_report`.

        Parameters
        ----------
        folder : path-like
            An existing folder.
        """
        from sklearn_pspd.reporting import write_report

        write_report(self, Path(folder))
