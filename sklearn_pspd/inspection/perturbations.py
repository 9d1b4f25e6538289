"""What happens to images and clinical values in practice: another slice, noise, motion, a wrong code."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pandas as pd

from sklearn_pspd.cohort.columns import PAPER_CLINICAL, UNKNOWN, ClinicalColumn
from sklearn_pspd.cohort.problems import is_missing
from sklearn_pspd.loading.geometry import canonical_shape, canonical_spacing, read_slices
from sklearn_pspd.preprocessing.augmentation import StackTransform, transform_stack

from .native_space import open_source

N_SAMPLES_ACROSS = 9  # of a thicker slice


class Subject(NamedTuple):
    """One patient's images as they are, from which an altered stack is made.

    Attributes
    ----------
    stack : SliceStack
        As it was read.
    image : ndarray of shape (n_slices, height, width)
        On the grid of the network, in grey values.
    opened : OpenedModel
        The model that standardises.
    """

    stack: object
    image: np.ndarray
    opened: object

    def standardise(self, image):
        """Return an altered image standardised, of shape (n_slices, height, width)."""
        return self.opened.standardise(image[np.newaxis])[0]

    def transform(self, **parameters):
        """Return the standardised image after a transform of the augmentation."""
        return transform_stack(self.standardise(self.image), StackTransform(**parameters), fov_mm=self.opened.fov_mm)

    def read(self, pixels):
        """Return other slices of the patient's image, resampled and standardised."""
        altered = self.opened.images([dataclasses.replace(self.stack, pixels=pixels)])
        return self.opened.standardise(altered)[0]


def slice_offset(subject, strength, _):
    """Return the stack at another position; None where the image has no such slices."""
    indices = np.asarray(subject.stack.slice_indices) + strength
    volume = open_source(subject.stack)
    if indices[0] < 0 or indices[-1] > canonical_shape(volume)[0] - 1:
        return None
    return subject.read(read_slices(volume, indices))


def slice_thickness(subject, strength, _):
    """Return slices that are means over a thickness in mm, as far as the image reaches."""
    volume = open_source(subject.stack)
    last = canonical_shape(volume)[0] - 1
    reach = strength / 2 / canonical_spacing(volume)[0]
    across = np.linspace(-reach, reach, N_SAMPLES_ACROSS)
    indices = np.clip(np.add.outer(across, np.asarray(subject.stack.slice_indices)), 0, last)
    return subject.read(np.mean([read_slices(volume, row) for row in indices], axis=0, dtype=np.float32))


def missing_slices(subject, strength, rng):
    """Return the stack with slices replaced by the nearest one that is there."""
    n_slices = len(subject.image)
    if strength >= n_slices:
        return None
    gone = rng.choice(n_slices, size=int(strength), replace=False)
    left = np.setdiff1d(np.arange(n_slices), gone)
    source = left[np.abs(np.subtract.outer(np.arange(n_slices), left)).argmin(axis=1)]
    return subject.standardise(subject.image[source])


def rotation(subject, strength, rng):
    """Return the stack rotated in the plane, to one side or the other."""
    return subject.transform(rotation_deg=float(strength * rng.choice([-1, 1])))


def shift(subject, strength, rng):
    """Return the stack shifted in the plane, in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    return subject.transform(shift_mm=(strength * np.sin(angle), strength * np.cos(angle)))


def fov_error(subject, strength, _):
    """Return the stack as if its pixels were larger, or smaller, than they are, in percent."""
    return subject.transform(zoom=1 + strength / 100)


def noise(subject, strength, rng):
    """Return the stack with Rician noise, as a multiple of the standard deviation of the slice."""
    image = subject.image - subject.image.min()
    deviation = strength * image.std(axis=(1, 2), keepdims=True)
    real, imaginary = deviation * rng.standard_normal((2, *image.shape))
    return subject.standardise(np.hypot(image + real, imaginary).astype(np.float32))


def bias_field(subject, strength, rng):
    """Return the stack with a smooth field of brightness, by which it changes by at most this part."""
    bends = rng.uniform(-1, 1, 5)
    return subject.transform(log_bias=tuple(np.log1p(strength) * bends / np.abs(bends).sum()))


def gamma(subject, strength, rng):
    """Return the stack with another exponent of its grey values, larger or smaller by this part."""
    return subject.transform(gamma=float((1 + strength) ** rng.choice([-1, 1])))


def ghost(subject, strength, _):
    """Return the stack with a copy half the field of view away in the direction of rows, as from motion."""
    copy = np.roll(subject.image, subject.image.shape[1] // 2, axis=1)
    return subject.standardise(subject.image + np.float32(strength) * (copy - copy.min()))


class ImagePerturbation(NamedTuple):
    """A perturbation of images: its function, unit, and the strengths that are tried by default."""

    alter: object
    unit: str
    strengths: tuple


IMAGE_PERTURBATIONS = {
    "slice offset": ImagePerturbation(slice_offset, "slices", (-3, -2, -1, 1, 2, 3)),
    "rotation": ImagePerturbation(rotation, "degrees", (2, 5, 10)),
    "shift": ImagePerturbation(shift, "mm", (2, 5, 10)),
    "field of view": ImagePerturbation(fov_error, "percent", (-10, -5, 5, 10)),
    "noise": ImagePerturbation(noise, "SD of the slice", (0.05, 0.1, 0.2)),
    "bias field": ImagePerturbation(bias_field, "relative", (0.1, 0.2, 0.4)),
    "gamma": ImagePerturbation(gamma, "relative", (0.1, 0.2, 0.4)),
    "motion ghost": ImagePerturbation(ghost, "relative", (0.05, 0.1, 0.2)),
    "slice thickness": ImagePerturbation(slice_thickness, "mm", (3, 5)),
    "missing slices": ImagePerturbation(missing_slices, "slices", (1, 2)),
}

# By how much a number is off; other columns, by 1.
STEPS = {"interval_days": (-7, -1, 1, 7)}


def clinical_perturbations(columns):
    """List the errors of clinical columns.

    Parameters
    ----------
    columns : sequence of ClinicalColumn
        The columns that the model reads.

    Returns
    -------
    list of tuple
        (name of the column, unit, strength, function from the column to the altered one). The function leaves a missing
        value where the error cannot be made, or would leave the range of the column.
    """
    found = []
    for column in columns:
        if column.is_coded:
            found.append((column.name, "another code", 1, _another_code(list(column.codes))))
            if column.may_be_unknown:
                found.append((column.name, UNKNOWN, 1, _to_unknown))
        else:
            steps = STEPS.get(column.name, (-1, 1))
            found += [(column.name, column.unit or "1", step, _shifted(step, column.range)) for step in steps]
    return found


def column_of(name, declared=()):
    """Return the declaration of a clinical column; a column without one holds numbers of any size.

    Parameters
    ----------
    name : str
        Name of the column.
    declared : sequence of ClinicalColumn, default=()
        Declarations beyond those of the paper.

    Returns
    -------
    ClinicalColumn
        The declaration.
    """
    known = {column.name: column for column in (*PAPER_CLINICAL, *declared)}
    return known.get(name, ClinicalColumn(name))


def _another_code(codes):
    following = dict(zip(codes, [*codes[1:], codes[0]], strict=True))
    return lambda cells: pd.Series([following.get(cell) for cell in cells], index=cells.index, dtype=object)


def _to_unknown(cells):
    return pd.Series([None if cell == UNKNOWN else UNKNOWN for cell in cells], index=cells.index, dtype=object)


def _shifted(step, limits):
    low, high = limits or (-np.inf, np.inf)

    def shift_cells(cells):
        shifted = [
            None if is_missing(cell) or not low <= cell + step <= high else cell + step for cell in cells.tolist()
        ]
        return pd.Series(shifted, index=cells.index, dtype=object)

    return shift_cells
