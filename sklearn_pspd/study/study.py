"""The paper's study as an object: three models, one cohort table, one protocol."""

import contextlib
import math
import os
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from numbers import Integral

import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import RepeatedStratifiedKFold

from sklearn_pspd.cohort import absent_columns, clinical_columns, missing_counts, split_xy
from sklearn_pspd.cohort.problems import check_frame
from sklearn_pspd.exceptions import InputError, UnfinishedError
from sklearn_pspd.file_writing import write_table
from sklearn_pspd.loading import image_findings
from sklearn_pspd.loading.findings import NOTHING_KNOWN
from sklearn_pspd.loading.loader import further_images_of, loaders_of
from sklearn_pspd.model_selection import (
    SequentialSearchCV,
    audit_leaks,
    compare_models,
    negative_control,
    single_feature_aucs,
)
from sklearn_pspd.model_selection.folds import CROSS_VALIDATION, EXTERNAL
from sklearn_pspd.model_selection.kept_fits import fingerprint
from sklearn_pspd.persistence import installed_versions
from sklearn_pspd.pipelines import make_clinical_pipeline, n_encoded_columns
from sklearn_pspd.statistics import (
    characteristics_table,
    development_sample_size,
    expected_auc_interval,
    validation_sample_size,
)

from .folder import FILE_COLUMNS, MODELS, StudyFolder, image_contents
from .models import study_models
from .released import write_models
from .result import StudyResult

# An AUC that a study of this kind may reach; the paper's cross-validation reached 0.72.
EXPECTED_AUC = 0.75
# Folds inside each training fold that score the values of a tuning.
TUNING_FOLDS = 5
CONTACT_SHEET = "contact_sheet.html"
PACKAGES = ("sklearn_pspd", "scikit-learn", "keras", "tensorflow", "numpy", "pandas")


@dataclass(frozen=True, eq=False)
class Study:
    """The study of Jang et al. (2018) on one cohort table.

    As in the paper [1]_, one site is held out. The other patients train the models, which are validated on the same
    folds, compared in pairs and scored once on the site that was held out. The negative control repeats the protocol on
    permuted outcomes: on the same folds, and trained on permuted and tested on true outcomes of the site that was held
    out.

    Parameters
    ----------
    cohort : DataFrame of shape (n_patients, n_columns)
        A checked cohort table with outcomes, as :func:`~sklearn_pspd.cohort.read_cohort` gives it.
    models : dict of str to estimator, default=None
        Classifiers of the table, by the name that tables and figures show. None takes
        :func:`~sklearn_pspd.study.study_models` with `random_state`, and a temporary cache of slice stacks.
    clinical : sequence of str or ClinicalColumn, default=None
        Clinical columns of the study, as in :func:`~sklearn_pspd.pipelines.make_fusion_pipeline`: those that the
        default models use, and that characteristics, sample size and leakage checks consider. None takes the seven of
        the paper that the table has.
    missing : {"refuse", "median", "indicator"}, default="refuse"
        What becomes of missing numbers in the default models, as in
        :class:`~sklearn_pspd.preprocessing.ClinicalMinMaxScaler`.
    further_images : sequence of str, default=()
        Columns with the paths of further images of each patient, which the default models read, as in
        :func:`~sklearn_pspd.pipelines.make_fusion_pipeline`.
    allow_sequence : bool or collection of str, default=False
        Kinds of sequence that the default models read though they are not T1-weighted, as in
        :class:`~sklearn_pspd.loading.SliceStackLoader`.
    test_site : str or False, default=None
        The site held out as the external set. None takes the one with the fewest patients, if there are several sites;
        False holds out none.
    score_external : bool, default=True
        Whether the models are scored on the external set. False, for trial runs, leaves it held out and unscored: the
        more often decisions follow a look at it, the less external it is. The same study with True takes the fits of
        the folds from the folder of the trial run.
    cv : int, splitter or iterable, default=10
        Folds of the cross-validation, as in :func:`~sklearn_pspd.model_selection.compare_models`.
    n_repeats : int, default=1
        How often the cross-validation is repeated with other folds, if `cv` is a number.
    tune : bool, default=False
        Whether the networks are tuned as in the paper, inside each training fold, by
        :class:`~sklearn_pspd.model_selection.SequentialSearchCV`. Their learning rate must be constant; without
        `models`, the networks are then the published ones only.
    n_permutations : int, default=0
        Permutations of the negative control for each model; 0 leaves it out.
    controlled : sequence of str, default=None
        Names of the models that have a negative control; None takes all.
    random_state : int, default=0
        Seed of folds, tuning and permutations, and of the models where `models` is None.
    n_jobs : int, default=None
        Fits that run in parallel, in processes.
    external_log : path-like, default=None
        File that records every use of the held-out patients beyond this process.
    title : str, default=None
        Heading of texts and figures, for example that the cohort is synthetic.

    Raises
    ------
    InputError
        If there is no such site, an outcome is missing, or a class has too few training or held-out patients.

    Notes
    -----
    The outcomes of the held-out site are counted (sample size, characteristics by site); otherwise they are used only
    to score models that were fitted before. Nothing is selected by them.

    Research software, not a medical device.

    References
    ----------
    .. [1] Jang BS et al., Sci Rep 8, 12516 (2018), doi:10.1038/s41598-018-31007-2.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import Study, make_clinical_pipeline, make_cohort
    >>> with TemporaryDirectory() as folder:
    ...     cohort = make_cohort(folder, 60, matrix_px=(32,), random_state=0)
    ...     forest = make_clinical_pipeline(random_state=0).set_params(classifier__n_estimators=20)
    ...     study = Study(cohort, {"clinical alone": forest}, cv=3)
    ...     result = study.run()
    >>> study.held_out_site, len(study.X), len(study.X_test)
    ('B', 45, 15)
    >>> sorted(result.tables)[:3]
    ['calibration', 'calibration_curves', 'comparison']
    """

    cohort: pd.DataFrame = field(repr=False)
    models: Mapping | None = field(default=None, repr=False)
    clinical: Sequence | None = None
    missing: str = "refuse"
    further_images: Sequence[str] = ()
    allow_sequence: object = False
    test_site: str | bool | None = None
    score_external: bool = True
    cv: object = 10
    n_repeats: int = 1
    tune: bool = False
    n_permutations: int = 0
    controlled: Sequence[str] | None = None
    random_state: int = 0
    n_jobs: int | None = None
    external_log: str | os.PathLike | None = None
    title: str | None = None

    def __post_init__(self):
        check_frame(self.cohort)
        if hasattr(self.cv, "__next__"):
            # A generator gives its splits once; validation and negative control both need them.
            object.__setattr__(self, "cv", list(self.cv))
        counts = self._site_counts()
        if self.held_out_site is not None and self.held_out_site not in counts:
            raise InputError(
                f"test_site={self.test_site!r}: no such site; the table has {', '.join(map(repr, counts.index))}"
            )
        for name, least in (("n_permutations", 0), ("n_repeats", 1)):
            if not isinstance(value := getattr(self, name), Integral) or value < least:
                raise InputError(f"{name} must be a whole number of at least {least}; got {value!r}")
        known = self.controlled if self.models is None else self.models
        if unknown := [name for name in self.controlled or () if name not in known]:
            raise InputError(
                f"controlled: no model {', '.join(map(repr, unknown))}; there are {', '.join(map(repr, known))}"
            )
        if self.n_repeats > 1 and not isinstance(self.cv, Integral):
            raise InputError(f"n_repeats={self.n_repeats} needs cv as a number of folds; got {self.cv!r}")
        self._check_sizes()

    @cached_property
    def held_out_site(self):
        """The site of the external set, or None."""
        counts = self._site_counts()
        if self.test_site is None:
            return counts.index[-1] if len(counts) > 1 else None
        return None if self.test_site is False else self.test_site

    @property
    def X(self):
        """Cohort table of the training patients, without outcomes."""
        return self._training[0]

    @property
    def y(self):
        """Outcomes of the training patients, 0 = PD, 1 = PsPD."""
        return self._training[1]

    @property
    def X_test(self):
        """Cohort table of the held-out patients, or None."""
        return self._held_out[0]

    @property
    def y_test(self):
        """Outcomes of the held-out patients, or None."""
        return self._held_out[1]

    def audit(self):
        """Look for leakage, once: duplicate patients, and features that reveal the outcome.

        Every image is read, and the pixels of all patients are compared. Outcomes of held-out patients are not used.

        Returns
        -------
        DataFrame
            One row per finding, as :func:`~sklearn_pspd.model_selection.audit_leaks` gives it.
        """
        return self._findings

    def image_checks(self):
        """Tabulate what is known about the images of all patients, once, and what is odd about them.

        Returns
        -------
        DataFrame
            One row per patient: ``patient_id``, ``site``, all columns of :meth:`SliceStackLoader.inspect
            <sklearn_pspd.loading.SliceStackLoader.inspect>`, and ``findings`` (several are separated by "; "), those of
            :func:`~sklearn_pspd.loading.image_findings`. Empty if no model reads images.
        """
        return self._image_checks[0]

    def characteristics(self):
        """Tabulate the patients: those of the training sites by outcome, and all by site.

        Returns
        -------
        dict of str to CharacteristicsTable
            By heading.
        """
        return self._characteristics

    def sample_size(self):
        """Tabulate what the number of patients allows.

        Returns
        -------
        DataFrame
            One row for the "training" patients and one for those "held out": ``patients``, ``n_patients``, ``n_pd``,
            ``n_pspd``, ``auc`` (the expected one), ``n_required`` (by Riley's criteria), ``criterion`` (the one that
            requires most patients), ``n_features``, ``n_parameters`` (clinical columns after encoding),
            ``events_per_variable`` (patients with the rarer outcome per parameter) and the expected 95 % interval of
            the AUC, ``auc_low`` and ``auc_high``.
        """
        names = self._clinical_names
        encoder = make_clinical_pipeline(clinical=self.clinical, missing=self.missing)["features"]
        n_parameters = n_encoded_columns(encoder, self.X) if names else 0
        rows = [_size_row("training", self.y), _size_row("held out", self.y_test)]
        sizes = pd.DataFrame([row for row in rows if row])
        prevalence = float(self.y.mean())
        tables = [
            development_sample_size(
                max(len(names), 1), n_parameters=max(n_parameters, 1), prevalence=prevalence, auc=EXPECTED_AUC
            )
        ]
        if len(sizes) > 1:
            tables.append(validation_sample_size(prevalence=float(self.y_test.mean()), auc=EXPECTED_AUC))
        sizes["n_required"] = [int(table["n_patients"].iloc[-1]) for table in tables]
        sizes["criterion"] = [table.loc[table["is_binding"], "criterion"].iloc[0] for table in tables]
        sizes["n_features"], sizes["n_parameters"] = len(names), n_parameters
        sizes["events_per_variable"] = sizes[["n_pd", "n_pspd"]].min(axis=1) / max(n_parameters, 1)
        return sizes

    def missing_values(self):
        """Tabulate what the table lacks: clinical columns of the paper, and values.

        Returns
        -------
        absent : dict of str to str
            Clinical columns of the paper that the study does not use, and why.
        counts : DataFrame
            Missing and unknown values of the clinical columns by outcome, as
            :func:`~sklearn_pspd.cohort.missing_counts` gives them.
        """
        return absent_columns(self.cohort, self.clinical), missing_counts(self._parts[0], self.clinical)

    def describe(self):
        """Describe the cohort before any model is trained: leakage checks, patients, and what their number allows.

        Returns
        -------
        str
            Text to print.
        """
        from sklearn_pspd.reporting import cohort_text

        absent, missing = self.missing_values()
        return cohort_text(
            self.audit(),
            self.characteristics(),
            self.sample_size(),
            features=self._feature_aucs,
            absent=absent,
            constant=self._constant_columns,
            missing=missing,
            images=None if self.image_checks().empty else self._image_checks[1],
            title=self.title,
        )

    def open_folder(self, folder, *, resume=False, overwrite=False, command=None):
        """Claim a folder for the results of this study, before any image is decoded or model trained.

        Parameters
        ----------
        folder : path-like
            The folder; made if missing.
        resume : bool, default=False
            Whether the folder must hold this study already.
        overwrite : bool, default=False
            Whether to remove what a study wrote there before; other files stay.
        command : str, default=None
            How the study was started, for the record.

        Returns
        -------
        StudyFolder
            The folder, whose ``study.json`` describes this study.

        Raises
        ------
        InputError
            If the folder holds another study, or none that could be resumed.
        """
        opened = StudyFolder(folder)
        images = {
            str(patient): [self._contents[str(path)] for path in paths if str(path) in self._contents]
            for patient, paths in self.cohort.set_index("patient_id")[self._file_columns].T.items()
        }
        opened.open(self._identity, resume=resume, overwrite=overwrite, command=command, images=images)
        return opened

    def run(self, folder=None, *, resume=False, overwrite=False, share=None, on_progress=None):
        """Validate and compare the models, and run the negative control.

        Parameters
        ----------
        folder : path-like, default=None
            Where the report is written, as :func:`~sklearn_pspd.reporting.write_report` does, and the slices of all
            patients, as :func:`~sklearn_pspd.reporting.write_contact_sheet` does; made if missing. Each fit is kept
            there as soon as it has ended: the same study, started again with this folder, takes what is there and goes
            on. A folder that holds another study is refused. None writes nothing.
        resume : bool, default=False
            Whether the folder must hold this study already.
        overwrite : bool, default=False
            Whether to remove what a study wrote to the folder before; other files stay.
        share : tuple of int, default=None
            (i, n) runs only every n-th fit, from the i-th on, and keeps it in the folder, so that n processes or
            machines share the study; a run without `share` then collects the results. None runs all that is missing.
        on_progress : callable, default=None
            Called after each fit with the number of fits done, the number of fits of this part, and a description.

        Returns
        -------
        StudyResult
            Scores, tables, negative controls, fitted models, settings.

        Raises
        ------
        InputError
            If a model cannot be validated, see :func:`~sklearn_pspd.model_selection.compare_models`, images cannot be
            read (every such patient is named), or the folder holds another study.
        UnfinishedError
            If fits of other shares are missing, after those of this share are kept.
        OSError
            If the folder cannot be written.
        """
        # Only here, since it imports matplotlib.
        from sklearn_pspd import reporting

        if folder is None and share is not None:
            raise InputError("share needs a folder, in which the fits of all shares are kept")
        opened = None if folder is None else self.open_folder(folder, resume=resume, overwrite=overwrite)
        kept = None if opened is None else opened.kept_fits(self._contents, share)
        # Every image is read before any training, and all problems are listed at once.
        cohort = {
            "findings": self.audit(),
            "image_checks": self.image_checks(),
            "image_findings": self._image_checks[1],
            "characteristics": self.characteristics(),
            "sample_size": self.sample_size(),
            "feature_aucs": self._feature_aucs,
            "missing_values": self.missing_values(),
            "constant_columns": self._constant_columns,
        }
        with self._prepared_models() as models:
            if share is not None:
                self._run_share(models, kept, on_progress)
            if opened is not None and (loader := _find_loader(models)):
                with opened.writing() as path:
                    findings = {"findings": _odd(self._image_checks[1]), "title": self.title}
                    reporting.write_contact_sheet(path / CONTACT_SHEET, self.cohort, loader=loader, **findings)
            comparison = self._compare(models, kept, on_progress)
            if opened is not None:
                with opened.writing() as path:
                    # Hours of training are in them: before anything else can fail.
                    write_table(path / "scores.csv", comparison.scores)
            result = StudyResult(
                comparison=comparison,
                tables=comparison.tables(),
                settings=self._settings(models) | _computation(comparison.models),
                title=self.title,
                **cohort,
            )
            if opened is not None:
                with opened.writing() as path:
                    reporting.write_report(result, path, **_page_parts(result))
            if self.n_permutations:
                aucs = result.tables["comparison"].query("metric == 'auc'").set_index(["model", "evaluation"])["value"]
                result = replace(result, controls=self._run_controls(models, aucs, kept, on_progress))
        if opened is not None:
            with opened.alone():
                self._write_last(result, opened)
        return result

    def write_contact_sheet(self, path):
        """Write the slices of all patients to one page, with what is odd about their images; nothing is trained.

        Images that cannot be loaded are on the page too, with the reason.

        Parameters
        ----------
        path : path-like
            The HTML file; its folder exists.

        Raises
        ------
        InputError
            If no model reads images.
        """
        from sklearn_pspd import reporting

        with self._prepared_models() as models:
            loader = _find_loader(models)
            if loader is None:
                raise InputError("no model of the study reads images, so that there are no slices to show")
            inspected = loader.inspect(self.cohort)
            found = image_findings(inspected, cohort=self.cohort, allow_sequence=loader.allow_sequence)
            reporting.write_contact_sheet(path, self.cohort, loader=loader, findings=_odd(found), title=self.title)

    def summary(self):
        """Say in one line who trains the models and who is held out.

        Returns
        -------
        str
            For example "59 training patients, held out: site B".
        """
        site = self.held_out_site
        held_out = f"held out: site {site}" if site is not None else "no site held out, so no external set"
        unscored = "" if self.score_external or site is None else ", not scored"
        return f"{len(self.X)} training patients, {held_out}{unscored}"

    def _write_last(self, result, opened):
        """Write what needs the whole result, and look for identifiers in all that was written."""
        from sklearn_pspd import reporting

        with opened.writing() as path:
            if result.controls:
                reporting.write_negative_controls(result.controls, path, title=self.title)
                reporting.write_text(result, path, **_page_parts(result))
        computation = {name: result.settings[name] for name in ("device", "arithmetic")}
        models = write_models(result, self, opened.folder / MODELS)
        with opened.writing() as path:
            identifiers = reporting.find_identifiers(path, self.cohort)
            write_table(path / "identifiers.csv", identifiers)
        opened.finish(**computation, models=models, n_identifiers=len(identifiers))

    def _run_share(self, models, kept, on_progress):
        """Run the fits of a share, and stop there unless they were the last ones."""
        n_missing = 0
        for run in (self._compare, partial(self._run_controls, aucs=None)):
            try:
                run(models, kept=kept, on_progress=on_progress)
            except UnfinishedError as error:
                n_missing += error.n_missing
        if n_missing:
            raise UnfinishedError(n_missing)

    def _compare(self, models, kept, on_progress):
        return compare_models(
            models,
            self.X,
            self.y,
            cv=self._folds,
            **self._external,
            keep_models=True,
            external_log=self.external_log,
            random_state=self.random_state,
            n_jobs=self._outer_jobs,
            on_progress=_described("validation: ", on_progress),
            kept=kept,
        )

    def _run_controls(self, models, aucs, kept, on_progress):
        """Repeat the protocol on permuted outcomes; the scores on the original ones are those of the comparison.

        Without them, as in a share of the study, the permutations are run only.
        """
        evaluations = [CROSS_VALIDATION, EXTERNAL] if self._external else [CROSS_VALIDATION]
        controls, n_missing = {}, 0
        for name, model in models.items():
            if not self.n_permutations or (self.controlled is not None and name not in self.controlled):
                continue
            unpermuted = [float("nan") if aucs is None else aucs[name, evaluation] for evaluation in evaluations]
            try:
                controls[name] = negative_control(
                    model,
                    self.X,
                    self.y,
                    n_permutations=self.n_permutations,
                    cv=self._folds,
                    **self._external,
                    unpermuted=tuple(unpermuted),
                    random_state=self.random_state,
                    n_jobs=self._outer_jobs,
                    on_progress=_described(f"negative control, {name}: ", on_progress),
                    kept=kept,
                )
            except UnfinishedError as error:
                n_missing += error.n_missing
        if n_missing:
            raise UnfinishedError(n_missing)
        return controls

    @property
    def _folds(self):
        """Return the folds of validation and negative control."""
        if self.n_repeats == 1:
            return self.cv
        return RepeatedStratifiedKFold(n_splits=self.cv, n_repeats=self.n_repeats, random_state=self.random_state)

    @cached_property
    def _parts(self):
        """The rows of the training patients and of the held-out ones: the split, in one place."""
        is_held_out = self.cohort["site"] == self.held_out_site
        return self.cohort[~is_held_out], None if self.held_out_site is None else self.cohort[is_held_out]

    @cached_property
    def _training(self):
        return split_xy(self._parts[0])

    @cached_property
    def _held_out(self):
        return (None, None) if self.held_out_site is None else split_xy(self._parts[1])

    @property
    def _external(self):
        """The external set as arguments of validation and negative control; none if it is not scored."""
        is_scored = self.score_external and self.X_test is not None
        return {"X_test": self.X_test, "y_test": self.y_test} if is_scored else {}

    @cached_property
    def _contents(self):
        return image_contents(self.cohort, self._file_columns)

    @cached_property
    def _file_columns(self):
        """The columns that name files."""
        with self._prepared_models() as models:
            columns = (*FILE_COLUMNS, *further_images_of(models.values()))
        return [column for column in columns if column in self.cohort]

    @cached_property
    def _identity(self):
        """What makes this study: a folder that holds results of anything else is refused."""
        with self._prepared_models() as models:
            settings = self._settings(models)
            of_models = {name: fingerprint(model)[:16] for name, model in models.items()}
        cv = settings["cv"] if isinstance(self.cv, Integral) else fingerprint(self.cv)[:16]
        columns = [name for name in self.cohort if name not in self._file_columns]
        return {
            **{
                name: settings[name]
                for name in ("held_out_site", "n_repeats", "tune", "n_permutations", "random_state")
            },
            "cv": cv,
            "controlled": None if self.controlled is None else list(self.controlled),
            "cohort": fingerprint(self.cohort[columns])[:16],
            "images": fingerprint(self.cohort[self._file_columns], self._contents)[:16],
            "clinical": self._clinical_names,
            "missing": self.missing,
            "models": of_models,
            "python": settings["python"],
            "packages": settings["packages"],
        }

    @property
    def _findings(self):
        return self._images_read[0]

    @property
    def _image_checks(self):
        return self._images_read[1:]

    @cached_property
    def _images_read(self):
        """The leakage checks, and what is known and odd about the images: what needs every image, read once."""
        with self._prepared_models() as models:
            loader = _find_loader(models)
            leaks = audit_leaks(self.X, self.y, X_test=self.X_test, loader=loader, feature_names=self._clinical_names)
            if loader is None:
                return leaks, pd.DataFrame(), pd.DataFrame()
            inspected = loader.inspect(self.cohort)
        inspected["source"] = _below_common_folder(inspected["source"])
        found = image_findings(inspected, cohort=self.cohort, allow_sequence=loader.allow_sequence)
        return leaks, _image_table(inspected, self.cohort["site"], found), found

    @property
    def _clinical_names(self):
        return [column.name for column in clinical_columns(self.clinical, self.cohort)]

    @property
    def _constant_columns(self):
        """Return the clinical columns that have one value in all training patients, and this value."""
        values = {name: self.X[name].dropna().unique() for name in self._clinical_names}
        return {name: found[0] for name, found in values.items() if len(found) == 1}

    @cached_property
    def _feature_aucs(self):
        return single_feature_aucs(self.X, self.y, feature_names=self._clinical_names)

    @cached_property
    def _characteristics(self):
        training, held_out = self._parts
        described = training if len(set(training["site"])) > 1 else training.drop(columns="site")
        variables = [*self._clinical_names, "site", "outcome"]

        def tabulate(cohort, by):
            return characteristics_table(cohort, by, variables=[v for v in variables if v in cohort and v != by])

        tables = {"Training patients by outcome": tabulate(described, "outcome")}
        if held_out is not None:
            tables["All patients by site"] = tabulate(pd.concat([training, held_out]), "site")
        return tables

    @property
    def _outer_jobs(self):
        """Return how many fits of the protocol run in parallel; a tuning runs its own fits in parallel instead."""
        return 1 if self.tune else self.n_jobs

    @contextlib.contextmanager
    def _prepared_models(self):
        """Yield the models, with the tuning around the networks; the default ones share a cache that is removed."""
        with contextlib.ExitStack() as stack:
            models = self.models
            if models is None:
                memory = stack.enter_context(tempfile.TemporaryDirectory(prefix="sklearn_pspd-"))
                models = study_models(
                    recipe="published" if self.tune else "both",
                    clinical=self.clinical,
                    missing=self.missing,
                    further_images=self.further_images,
                    allow_sequence=self.allow_sequence,
                    memory=memory,
                    random_state=self.random_state,
                    n_jobs=self.n_jobs,
                )
            yield {name: self._tuned(model) for name, model in models.items()}

    def _tuned(self, model):
        last_step = model.steps[-1][1] if hasattr(model, "steps") else model
        if not (self.tune and hasattr(last_step, "partial_fit") and "epochs" in last_step.get_params()):
            return model
        if getattr(last_step, "schedule", "constant") != "constant":
            raise InputError(
                f"tune=True chooses the number of epochs of a network with a constant learning rate; this one has "
                f"schedule={last_step.schedule!r}: tune the published networks"
            )
        return SequentialSearchCV(
            model,
            max_epochs=2 * last_step.epochs,
            cv=TUNING_FOLDS,
            random_state=self.random_state,
            n_jobs=self.n_jobs,
        )

    def _site_counts(self):
        if "site" not in self.cohort:
            raise InputError("the cohort table has no column site, by which the external set is held out")
        return self.cohort["site"].value_counts()

    def _check_sizes(self):
        """Refuse classes that are too small for the folds, before any image is read."""
        needed = self.cv if isinstance(self.cv, Integral) else 1
        if self.tune and needed > 1:
            # Each training fold is split again, by the folds of the tuning.
            needed = max(needed, math.ceil(TUNING_FOLDS * needed / (needed - 1)))
        for name, y, least in (("training", self.y, needed), ("held-out", self.y_test, 1)):
            if y is None:
                continue
            for outcome, n in (("PD", int((y == 0).sum())), ("PsPD", int((y == 1).sum()))):
                if n < least:
                    # Tuning needs more patients than the folds do.
                    folds = f" (at most cv={n})" if not self.tune and n > 1 and name == "training" else ""
                    raise InputError(
                        f"the {name} patients include {n} with {outcome}; at least {least} are needed: choose fewer "
                        f"folds{folds}, another test site, or no tuning"
                    )

    def _settings(self, models):
        return {
            "held_out_site": self.held_out_site,
            "score_external": self.score_external,
            "cv": self.cv if isinstance(self.cv, Integral) else type(self.cv).__name__,
            "n_repeats": self.n_repeats,
            "tune": self.tune,
            "n_permutations": self.n_permutations,
            "random_state": self.random_state,
            "n_jobs": self.n_jobs,
            "models": {name: clone(model) for name, model in models.items()},
            "python": platform.python_version(),
            "packages": installed_versions(PACKAGES),
        }


def _computation(models):
    """Return the arithmetic of the fitted networks by model, and the device; nothing of both if there is no network."""
    arithmetic = {name: found for name, model in models.items() if (found := _last_attribute(model, "precision_"))}
    if not arithmetic:
        return {"arithmetic": {}, "device": None}
    from sklearn_pspd.neural_network.devices import describe_device

    return {"arithmetic": arithmetic, "device": describe_device()}


def _last_attribute(model, name):
    """Return a learned attribute of the last step of a pipeline, also of one that was tuned; None if it has none."""
    model = getattr(model, "best_estimator_", model)
    return getattr(model[-1] if hasattr(model, "steps") else model, name, None)


def _page_parts(result):
    """Return the parts of the page of a study that depend on whether images were read."""
    findings = _odd(result.image_findings)
    return {} if findings.empty else {"image_checks": findings}


def _odd(findings):
    """Return the findings without that of images without header, which concerns all patients of a NIfTI cohort."""
    return findings if findings.empty else findings[findings["finding"] != NOTHING_KNOWN]


def _size_row(name, y):
    if y is None:
        return None
    n_pspd = int(y.sum())
    row = {"patients": name, "n_patients": len(y), "n_pd": len(y) - n_pspd, "n_pspd": n_pspd, "auc": EXPECTED_AUC}
    row["auc_low"], row["auc_high"] = expected_auc_interval(EXPECTED_AUC, n_pspd, len(y) - n_pspd)
    return row


def _image_table(inspected, sites, found):
    """Return the table of images with the site of each patient, and with what is odd."""
    table = inspected.reset_index(drop=True)
    texts = found["finding"] + [f" ({detail})" if detail else "" for detail in found["detail"]]
    by_patient = texts.groupby(found["patient_id"]).agg("; ".join)
    table.insert(1, "site", sites.to_numpy())
    table["findings"] = table["patient_id"].map(by_patient).fillna("")
    return table


def _below_common_folder(paths):
    """Return paths without the folders that all have in common, which may name machines and people."""
    folders = {os.path.dirname(path) for path in paths}  # noqa: PTH120
    common = os.path.commonpath(folders) if folders else ""
    return [os.path.relpath(path, common) for path in paths]


def _find_loader(models):
    """Return the loader that reads most images of a patient, the first of several; None if no model reads images."""
    loaders = [loader for model in models.values() for loader in loaders_of(model)]
    return max(loaders, key=lambda loader: len(loader.further_images), default=None)


def _described(prefix, on_progress: Callable | None):
    if on_progress is None:
        return None
    return lambda done, total, detail: on_progress(done, total, prefix + detail)
