"""A fitted pipeline of a cohort table, opened between its steps."""

import numpy as np
from scipy.special import expit, logit
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from sklearn_pspd.cohort.problems import check_frame
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading import SliceStackLoader
from sklearn_pspd.loading.loader import further_images_of
from sklearn_pspd.preprocessing import ClinicalMinMaxScaler, FOVNormalizer, SliceStandardizer

IMAGE_STEPS = {"load": SliceStackLoader, "fov": FOVNormalizer, "standardize": SliceStandardizer}
# A network's probability that was rounded to 0 or 1 is taken for the nearest number that is neither.
SMALLEST = float(np.finfo(np.float32).eps)


class OpenedModel:
    """A fitted pipeline, whose intermediate results can be read, changed and sent on.

    The order of its methods is that of the steps: stacks as they were read, images in grey values on the grid of the
    network, standardised images, clinical columns, probabilities.

    Parameters
    ----------
    model : Pipeline, or a fitted search over one
        A pipeline of :mod:`sklearn_pspd.pipelines` or :mod:`sklearn_pspd.baselines`.

    Attributes
    ----------
    pipeline : Pipeline
        The fitted pipeline.
    classifier : estimator
        Its last step.
    images_of : Pipeline or None
        The fitted image branch.
    encoder : estimator or None
        The fitted clinical branch.
    clinical_columns : list of str
        Columns of the table that the clinical branch reads.

    Raises
    ------
    InputError
        If the model is no pipeline whose features are branches "mri" and "clinical".
    """

    def __init__(self, model):
        self.pipeline = getattr(model, "best_estimator_", model)
        features = self._features()
        if features is None:
            raise InputError(
                f"{type(model).__name__} is no pipeline of sklearn_pspd.pipelines or sklearn_pspd.baselines, with the "
                "branches 'mri' and 'clinical' and a classifier behind them; give such a pipeline, fitted"
            )
        check_is_fitted(features)
        self.classifier = self.pipeline[-1]
        branches = {name: (branch, columns) for name, branch, columns in features.transformers_}
        self.images_of = branches.get("mri", (None, None))[0]
        self.encoder, columns = branches.get("clinical", (None, []))
        self.clinical_columns = [str(name) for name in columns]

    def _features(self):
        steps = [step for _, step in getattr(self.pipeline, "steps", []) if not hasattr(step, "fit_resample")]
        if len(steps) != 2 or not isinstance(steps[0], ColumnTransformer) or not hasattr(steps[1], "predict_proba"):
            return None
        names = [name for name, _, _ in steps[0].transformers]
        return steps[0] if names in (["mri"], ["mri", "clinical"], ["clinical"]) else None

    @property
    def has_images(self):
        """Whether the model reads images."""
        return self.images_of is not None

    @property
    def further_images(self):
        """Columns of the images that the model reads beside ``image``."""
        return further_images_of([self.pipeline])

    @property
    def is_network(self):
        """Whether the classifier is a CNN-LSTM, which can be differentiated."""
        return hasattr(type(self.classifier), "networks_")

    @property
    def fov_mm(self):
        """Side of the field of view in mm."""
        return float(self._image_step("fov").fov_mm)

    @property
    def size_px(self):
        """Rows and columns of an image on the grid of the network."""
        return int(self._image_step("fov").size_px)

    @property
    def pixel_mm(self):
        """Side of a pixel on the grid of the network, in mm."""
        return self.fov_mm / self.size_px

    def require_images(self, what):
        """Refuse a model without images, or with several images per patient.

        Parameters
        ----------
        what : str
            What needs them, for the message.
        """
        if not self.has_images:
            raise InputError(f"{what} needs a model that reads images; this one reads the clinical columns only")
        for name in IMAGE_STEPS:
            self._image_step(name)
        if self.further_images:
            raise InputError(
                f"{what} needs a model of one image per patient; this one reads {', '.join(self.further_images)} as "
                "well. Contributions of all images together: permutation_contribution and shapley_values"
            )

    def require_network(self, what):
        """Refuse a model that is no network, or a backend whose gradients are not read here.

        Parameters
        ----------
        what : str
            What needs it, for the message.
        """
        if not self.is_network:
            raise InputError(f"{what} needs a CNNLSTMClassifier; the classifier is {type(self.classifier).__name__}")
        import keras

        if keras.backend.backend() != "tensorflow":
            raise InputError(f"{what} needs gradients by TensorFlow; the backend of Keras is {keras.backend.backend()}")

    def stacks(self, X):
        """Read the stacks of a table's patients.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table.

        Returns
        -------
        ndarray of shape (n_patients,), dtype object
            :class:`~sklearn_pspd.loading.SliceStack` of each patient.
        """
        check_frame(X, "X")
        return self._image_step("load").transform(X)

    def images(self, stacks):
        """Resample stacks to the grid of the network.

        Parameters
        ----------
        stacks : sequence of SliceStack
            Stacks as they were read.

        Returns
        -------
        ndarray of shape (n_patients, n_slices, height, width), dtype float32
            In grey values.
        """
        return self._image_step("fov").transform(stacks)

    def standardise(self, images):
        """Standardise images as the pipeline does.

        Parameters
        ----------
        images : ndarray of shape (n_patients, n_slices, height, width)
            In grey values.

        Returns
        -------
        ndarray of the same shape, dtype float32
            What the network sees.
        """
        return self._image_step("standardize").transform(images)

    def encode(self, X):
        """Encode and scale the clinical columns.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table.

        Returns
        -------
        ndarray of shape (n_patients, n_encoded), dtype float32
            Without clinical columns, of shape (n_patients, 0).
        """
        if self.encoder is None:
            return np.empty((len(X), 0), dtype=np.float32)
        return np.asarray(self.encoder.transform(X[self.clinical_columns]), dtype=np.float32)

    def prepare(self, X):
        """Prepare a table for the classifier.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Cohort table.

        Returns
        -------
        standardised : ndarray of shape (n_patients, n_slices, height, width) or None
            Images; None if the model reads none.
        clinical : ndarray of shape (n_patients, n_encoded)
            Encoded clinical columns.
        """
        standardised = self.standardise(self.images(self.stacks(X))) if self.has_images else None
        return standardised, self.encode(X)

    def columns_of(self, standardised, clinical):
        """Return the columns that the classifier takes.

        Parameters
        ----------
        standardised : ndarray of shape (n_patients, n_slices, height, width) or None
            Images.
        clinical : ndarray of shape (n_patients, n_encoded)
            Encoded clinical columns.

        Returns
        -------
        ndarray of shape (n_patients, n_features)
            Pixels or features of the images, then clinical columns.
        """
        if standardised is None:
            return clinical
        columns = np.asarray(standardised, dtype=np.float32)
        names = [name for name, _ in self.images_of.steps]
        for _, step in self.images_of.steps[names.index("standardize") + 1 :]:
            columns = step.transform(columns)
        return np.hstack([columns, clinical]) if clinical.shape[1] else np.asarray(columns)

    def probabilities(self, standardised, clinical):
        """Predict the probability of the second class.

        Parameters
        ----------
        standardised : ndarray of shape (n_patients, n_slices, height, width) or None
            Images.
        clinical : ndarray of shape (n_patients, n_encoded)
            Encoded clinical columns.

        Returns
        -------
        ndarray of shape (n_patients,)
            In [0, 1].
        """
        return np.asarray(self.classifier.predict_proba(self.columns_of(standardised, clinical))[:, 1], dtype=float)

    def encoded_positions(self):
        """Return the positions among the encoded columns that belong to each clinical column of the table.

        Returns
        -------
        dict of str to list of int, or None
            None if the clinical branch is of another kind, in which columns may be mixed.
        """
        if self.encoder is None:
            return {}
        steps = [step for _, step in self.encoder.steps] if isinstance(self.encoder, Pipeline) else [self.encoder]
        if not isinstance(steps[0], ClinicalMinMaxScaler) or not all(isinstance(s, StandardScaler) for s in steps[1:]):
            return None
        encoded = steps[0].encoded_names(self.clinical_columns)
        owners = [*self.clinical_columns, *(name.rsplit("_", 1)[0] for name in encoded[len(self.clinical_columns) :])]
        return {name: [j for j, owner in enumerate(owners) if owner == name] for name in self.clinical_columns}

    def _image_step(self, name):
        step = dict(getattr(self.images_of, "steps", [])).get(name)
        if not isinstance(step, IMAGE_STEPS[name]):
            raise InputError(
                f"the image branch has no step {name!r} of the kind {IMAGE_STEPS[name].__name__}, as the pipelines of "
                "sklearn_pspd.pipelines have"
            )
        return step


def to_log_odds(probability, *, is_network):
    """Return the log odds of probabilities.

    Parameters
    ----------
    probability : ndarray
        In [0, 1].
    is_network : bool
        Whether a 0 or 1 is a rounded value, as a network's is; otherwise its log odds are infinite and refused.

    Returns
    -------
    ndarray
        Finite.
    """
    if is_network:
        return logit(np.clip(probability, SMALLEST, 1 - SMALLEST))
    if np.any((probability <= 0) | (probability >= 1)):
        raise InputError(
            "the model predicts probabilities of 0 or 1, whose log odds are infinite, as forests do; use "
            'scale="probability"'
        )
    return logit(probability)


def to_scale(log_odds, scale):
    """Return log odds, or the probabilities that they stand for.

    Parameters
    ----------
    log_odds : ndarray
        Log odds of the second class.
    scale : {"log_odds", "probability"}
        The scale wanted.

    Returns
    -------
    ndarray
        On that scale.
    """
    return log_odds if scale == "log_odds" else expit(log_odds)


def check_outcomes(y, n_patients):
    """Return outcomes as an array; refuse another length.

    Parameters
    ----------
    y : array-like of shape (n_patients,)
        Outcomes.
    n_patients : int
        Number of patients of the table.

    Returns
    -------
    ndarray of shape (n_patients,)
        The outcomes.
    """
    y = np.asarray(y)
    if y.shape != (n_patients,):
        raise InputError(f"y has the shape {y.shape}; the table has {n_patients} patients")
    return y
