"""Predictions for mixtures of patients: the image of one, a clinical value of another."""

import numpy as np
import pandas as pd

from sklearn_pspd.cohort.problems import check_frame
from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading.loader import further_images_of, image_columns

from .network_parts import network_parts
from .opened import OpenedModel, to_log_odds

IMAGE = "image"
SCALES = ("log_odds", "probability")
BLOCK_VALUES = 2**24  # values of mixed rows that are held at once


def make_mixer(model, table, groups=None):
    """Prepare the patients of a table so that their parts can be mixed.

    Each image is decoded and, by a network, convolved once, whatever the number of mixtures.

    Parameters
    ----------
    model : estimator
        A fitted classifier of a cohort table.
    table : DataFrame of shape (n_rows, n_columns)
        Patients.
    groups : dict of str to sequence of str, default=None
        Columns that are taken from one patient together. None: the image with its position, and each clinical column
        by itself.

    Returns
    -------
    PartMixer or TableMixer
        With the method ``log_odds`` and ``probabilities`` of mixtures.

    Raises
    ------
    InputError
        If a column of a group is absent, or is in two groups.
    """
    check_frame(table, "X")
    try:
        opened = OpenedModel(model)
    except InputError:
        opened = None
    groups = _default_groups(opened, model, table) if groups is None else _check_groups(groups, table)
    blocks = None if opened is None else _part_columns(opened, groups, table)
    if blocks is None:
        return TableMixer(model, table, groups)
    return PartMixer(opened, table, groups, blocks)


class PartMixer:
    """Mixtures of prepared parts: results of the image branch and encoded clinical columns.

    Parameters
    ----------
    opened : OpenedModel
        The model.
    table : DataFrame of shape (n_rows, n_columns)
        Patients.
    groups : dict of str to list of str
        Columns that belong together.
    blocks : dict of str to (bool, list of int)
        For each group, whether it has the image, and its encoded clinical columns.
    """

    def __init__(self, opened, table, groups, blocks):
        self.opened, self.groups, self._blocks = opened, groups, blocks
        standardised, self._clinical = opened.prepare(table)
        self._network_parts = network_parts(opened.classifier) if opened.is_network else None
        if not opened.has_images:
            self._images = None
        elif self._network_parts:
            # One vector per member and row.
            self._images = np.stack([part.encode_images(standardised) for part in self._network_parts])
        else:
            none = np.empty((len(table), 0), dtype=np.float32)
            self._images = opened.columns_of(standardised, none)[np.newaxis]

    def probabilities(self, sources):
        """Predict the probability of the second class for mixtures.

        Parameters
        ----------
        sources : ndarray of int of shape (n_mixtures, n_groups)
            For each group, the row of the table from which it is taken.

        Returns
        -------
        ndarray of shape (n_mixtures,)
            Probabilities.
        """
        if self._network_parts:
            return 1 / (1 + np.exp(-self.log_odds(sources)))
        return self._in_blocks(sources, self._classify)

    def log_odds(self, sources):
        """Predict the log odds of the second class for mixtures.

        Parameters
        ----------
        sources : ndarray of int of shape (n_mixtures, n_groups)
            For each group, the row of the table from which it is taken.

        Returns
        -------
        ndarray of shape (n_mixtures,)
            Log odds; of several members, their mean.
        """
        if self._network_parts:
            return self._in_blocks(sources, self._network_log_odds)
        return to_log_odds(self.probabilities(sources), is_network=False)

    def _network_log_odds(self, images, clinical):
        of_members = [None] * len(self._network_parts) if images is None else images
        pairs = zip(self._network_parts, of_members, strict=True)
        return np.mean([part.log_odds(vectors, clinical) for part, vectors in pairs], axis=0)

    def _classify(self, images, clinical):
        columns = clinical if images is None else np.hstack([images[0], clinical])
        return self.opened.classifier.predict_proba(columns)[:, 1]

    def _in_blocks(self, sources, predict):
        unique, inverse = np.unique(np.asarray(sources), axis=0, return_inverse=True)
        width = self._clinical.shape[1] + (0 if self._images is None else self._images.shape[0] * self._images.shape[2])
        size = max(1, BLOCK_VALUES // max(1, width))
        values = [predict(*self._mix(unique[start : start + size])) for start in range(0, len(unique), size)]
        return np.concatenate(values)[inverse.ravel()]

    def _mix(self, sources):
        images, clinical = None, np.empty((len(sources), self._clinical.shape[1]), dtype=np.float32)
        for rows, (has_image, positions) in zip(sources.T, self._blocks.values(), strict=True):
            if has_image:
                images = self._images[:, rows]
            if positions:
                clinical[:, positions] = self._clinical[np.ix_(rows, positions)]
        return images, clinical


class TableMixer:
    """Mixtures of rows of the table, for a model of any kind; each is predicted by the model itself.

    Parameters
    ----------
    model : estimator
        A fitted classifier with ``predict_proba``.
    table : DataFrame of shape (n_rows, n_columns)
        Patients.
    groups : dict of str to list of str
        Columns that belong together.
    """

    def __init__(self, model, table, groups):
        self.model, self.table, self.groups = model, table.reset_index(drop=True), groups

    def probabilities(self, sources):
        """Predict the probability of the second class; see :meth:`PartMixer.probabilities`."""
        unique, inverse = np.unique(np.asarray(sources), axis=0, return_inverse=True)
        columns = {}
        for rows, names in zip(unique.T, self.groups.values(), strict=True):
            columns |= {name: self.table[name].take(rows).reset_index(drop=True) for name in names}
        # What is in no group stays that of the first group's patient, and has no effect on the model.
        rest = self.table[[name for name in self.table.columns if name not in columns]].take(unique[:, 0])
        mixed = pd.concat([rest.reset_index(drop=True), pd.DataFrame(columns)], axis=1)[list(self.table.columns)]
        return np.asarray(self.model.predict_proba(mixed)[:, 1], dtype=float)[inverse.ravel()]

    def log_odds(self, sources):
        """Predict the log odds of the second class; see :meth:`PartMixer.log_odds`."""
        return to_log_odds(self.probabilities(sources), is_network=False)


def predictions(mixer, sources, scale):
    """Predict mixtures on a scale.

    Parameters
    ----------
    mixer : PartMixer or TableMixer
        The prepared patients.
    sources : ndarray of int of shape (n_mixtures, n_groups)
        For each group, the row of the table from which it is taken.
    scale : {"log_odds", "probability"}
        The scale.

    Returns
    -------
    ndarray of shape (n_mixtures,)
        Predictions.
    """
    if scale not in SCALES:
        raise InputError(f"scale must be one of {', '.join(map(repr, SCALES))}; got {scale!r}")
    return mixer.log_odds(sources) if scale == "log_odds" else mixer.probabilities(sources)


def _default_groups(opened, model, table):
    image = [name for name in image_columns(further_images_of([model])) if name in table.columns]
    if opened is not None:
        groups = {IMAGE: image} if opened.has_images else {}
        return groups | {name: [name] for name in opened.clinical_columns}
    # A classifier of any columns, for example one of scikit-learn on a table of numbers.
    names = [str(name) for name in getattr(model, "feature_names_in_", table.columns)]
    groups = {IMAGE: image} if "image" in names else {}
    return groups | {name: [name] for name in names if name not in (*image, "site")}


def _check_groups(groups, table):
    groups = {str(name): [columns] if isinstance(columns, str) else list(columns) for name, columns in groups.items()}
    given = [column for columns in groups.values() for column in columns]
    if absent := [column for column in given if column not in table.columns]:
        raise InputError(f"groups has {', '.join(map(repr, absent))}, which the table lacks")
    if twice := sorted({column for column in given if given.count(column) > 1}):
        raise InputError(f"groups has {', '.join(map(repr, twice))} more than once; each column has one patient")
    return groups


def _part_columns(opened, groups, table):
    """Return for each group whether it has the image and which encoded columns; None if parts cannot be separated."""
    positions = opened.encoded_positions()
    if positions is None:
        return None
    further = further_images_of([opened.pipeline])
    image = {name for name in image_columns(further) if name in table.columns} - {"patient_id"}
    blocks = {}
    for name, columns in groups.items():
        of_image = image & set(columns)
        if of_image and of_image != image:
            absent = ", ".join(sorted(image - of_image))
            raise InputError(f"the group {name!r} separates the image from its position; add {absent}")
        blocks[name] = (bool(of_image), [j for column in columns for j in positions.get(column, [])])
    used = [column for columns in groups.values() for column in columns]
    forgotten = [name for name in opened.clinical_columns if name not in used]
    forgotten += sorted(image - set(used)) if opened.has_images else []
    if forgotten:
        raise InputError(f"groups lacks {', '.join(map(repr, forgotten))}, which the model reads; add a group for it")
    return blocks
