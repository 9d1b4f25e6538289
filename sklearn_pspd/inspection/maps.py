"""Maps of what a network's prediction depends on, per slice, with the checks that say whether to believe them."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from sklearn_pspd.exceptions import InputError

from .map_checks import MapChecks, check_maps
from .map_methods import MapSettings, Prepared, check_settings, compute_maps
from .native_space import SourceGrid
from .network_gradients import DifferentiableNetwork
from .opened import OpenedModel

MIN_CHECKED = 3


@dataclass(frozen=True, eq=False)
class SliceMaps:
    """Maps of several patients on the grid of the network.

    Attributes
    ----------
    method : str
        How they were computed.
    values : ndarray of shape (n_patients, n_slices, height, width)
        Mean over the members of the ensemble; positive towards the second class, PsPD.
    spread : ndarray of the same shape, or None
        Standard deviation over the members; None with one member.
    images : ndarray of the same shape
        The standardised slices.
    clinical : DataFrame of shape (n_patients, n_encoded), or None
        The same attribution for the encoded clinical columns, by "integrated_gradients" and "smooth_grad".
    log_odds : ndarray of shape (n_patients,)
        Predictions of the ensemble.
    completeness_error : ndarray of shape (n_patients,), or None
        Of "integrated_gradients": by how much the sum of map and clinical columns misses the difference of log odds
        between patient and start, in log odds.
    checks : MapChecks or None
        The tests of the method on this network; None if they were not run.
    patient_id : tuple of str
        Ids of the patients.
    fov_mm : float
        Side of the field of view in mm.
    """

    method: str
    values: np.ndarray
    spread: np.ndarray | None
    images: np.ndarray
    clinical: pd.DataFrame | None
    log_odds: np.ndarray
    completeness_error: np.ndarray | None
    checks: MapChecks | None
    patient_id: tuple
    fov_mm: float
    _stacks: tuple = field(repr=False, default=())
    _fov: object = field(repr=False, default=None)

    def frame(self):
        """Say how much of each map lies in which slice.

        Returns
        -------
        DataFrame
            One row per patient and slice: ``patient_id``, ``slice`` (from 1 at the feet), ``sum`` of the map,
            ``proportion`` of the absolute map of all slices, and the place of the largest absolute value,
            ``back_mm`` and ``left_mm`` from the centre of the field of view.
        """
        sizes = np.abs(self.values)
        n_patients, n_slices, height, width = sizes.shape
        totals = sizes.sum(axis=(1, 2, 3))
        peaks = sizes.reshape(n_patients, n_slices, -1).argmax(axis=2)
        rows, columns = np.unravel_index(peaks, (height, width))
        places = {
            "back_mm": (rows - (height - 1) / 2) * self.fov_mm / height,
            "left_mm": (columns - (width - 1) / 2) * self.fov_mm / width,
        }
        with np.errstate(invalid="ignore"):
            proportions = sizes.sum(axis=(2, 3)) / totals[:, np.newaxis]
        return pd.DataFrame(
            {
                "patient_id": np.repeat(list(self.patient_id), n_slices),
                "slice": np.tile(np.arange(1, n_slices + 1), n_patients),
                "sum": self.values.sum(axis=(2, 3)).ravel(),
                "proportion": proportions.ravel(),
                **{name: values.ravel() for name, values in places.items()},
            }
        )

    def write_nifti(self, folder):
        """Write each map on the grid of the patient's own image, so that any viewer shows it over the image.

        Parameters
        ----------
        folder : path-like
            An existing folder; the files are named ``<patient_id>_<method>.nii.gz``.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        InputError
            If a patient's id cannot be part of a file name, or the image has changed since it was read.
        """
        if bad := [name for name in self.patient_id if Path(str(name)).name != str(name)]:
            raise InputError(f"patient {', '.join(map(repr, bad))}: the id cannot be part of a file name; rename it")
        paths = []
        for patient_id, stack, values in zip(self.patient_id, self._stacks, self.values, strict=True):
            paths.append(Path(folder) / f"{patient_id}_{self.method}.nii.gz")
            SourceGrid(stack, self._fov).write(paths[-1], values)
        return paths


def slice_maps(
    model,
    X,
    method="hires_cam",
    *,
    block=None,
    reference=None,
    n_steps=64,
    n_samples=25,
    noise=0.15,
    patch_mm=20.0,
    stride_mm=10.0,
    check=True,
    n_checked=10,
    random_state=0,
):
    """Compute maps of what a network's prediction depends on.

    Parameters
    ----------
    model : Pipeline
        A fitted pipeline that ends in a :class:`~sklearn_pspd.neural_network.CNNLSTMClassifier`, with images.
    X : DataFrame of shape (n_patients, n_columns)
        Patients.
    method : {"hires_cam", "grad_cam", "integrated_gradients", "smooth_grad", "occlusion"}, default="hires_cam"
        - "hires_cam": feature maps of a block times the gradient of the log odds, pixel by pixel [1]_.
        - "grad_cam": the same with the gradient averaged over each slice [2]_. Negative values are kept, since they
          speak for PD.
        - "integrated_gradients": parts of the difference of log odds between the patient and the mean of `reference`,
          for the pixels and the clinical columns [3]_.
        - "smooth_grad": the mean gradient over noisy copies [4]_.
        - "occlusion": the change of the log odds if a square of `patch_mm` in one slice is replaced by the mean of what
          surrounds it.
    block : int, default=None
        Convolution block of the first two methods, from 1; None takes the last. Its pixels are 2 ** block as large as
        those of the image, which limits how finely a map can point.
    reference : DataFrame, default=None
        Patients whose mean stack and mean clinical columns are the start of integrated gradients, for example those of
        the training; needed for this method only.
    n_steps : int, default=64
        Points on the line of integrated gradients.
    n_samples : int, default=25
        Noisy copies of "smooth_grad".
    noise : float, default=0.15
        Their noise, as a multiple of the standard deviation of the slice.
    patch_mm : float, default=20.0
        Side of the squares of "occlusion" in mm.
    stride_mm : float, default=10.0
        Distance between them in mm.
    check : bool, default=True
        Whether to test the method on this network (:class:`MapChecks`), on up to `n_checked` of the patients. At least
        three are needed.
    n_checked : int, default=10
        Largest number of patients for the checks, the first of the table.
    random_state : int, default=0
        Seed of noise, random weights and random orders.

    Returns
    -------
    SliceMaps
        Mean and spread over the members of the ensemble, predictions, and the checks.

    Raises
    ------
    InputError
        If the model has no network or reads no images, a parameter is out of range, or there are too few patients for
        the checks.

    See Also
    --------
    sklearn_pspd.plotting.SliceMapDisplay : Draws a patient's map over the slices.
    shortcut_tests : Whether the model needs the lesion, which no map shows.

    Notes
    -----
    Maps explain the log odds, not the probability, which is flat where the network is certain. Common methods fail at
    least one test of trustworthiness on medical images [5]_, so a map is to be believed only as far as its checks go.

    References
    ----------
    .. [1] Draelos RL, Carin L. Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
       networks. arXiv:2011.08891 (2020).
    .. [2] Selvaraju RR et al. Grad-CAM. ICCV 2017, arXiv:1610.02391.
    .. [3] Sundararajan M, Taly A, Yan Q. Axiomatic attribution for deep networks. ICML 2017, arXiv:1703.01365.
    .. [4] Smilkov D et al. SmoothGrad. arXiv:1706.03825 (2017).
    .. [5] Arun N et al. Assessing the trustworthiness of saliency maps for localizing abnormalities in medical imaging.
       Radiology: Artificial Intelligence 3, e200267 (2021), doi:10.1148/ryai.2021200267.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_pspd import CNNLSTMClassifier, make_cohort, make_image_pipeline, split_xy
    >>> from sklearn_pspd.inspection import slice_maps
    >>> network = CNNLSTMClassifier(filters=(2, 4), epochs=1, random_state=0)
    >>> with TemporaryDirectory() as folder:
    ...     X, y = split_xy(make_cohort(folder, 6, matrix_px=(128,), n_native_slices=10, random_state=0))
    ...     model = make_image_pipeline(network, n_slices=3, size_px=16).fit(X, y)
    ...     maps = slice_maps(model, X[:2], check=False)
    >>> maps.values.shape
    (2, 3, 16, 16)
    """
    opened = OpenedModel(model)
    opened.require_images("a map")
    opened.require_network("a map")
    settings = MapSettings(method, block, n_steps, n_samples, noise, patch_mm, stride_mm, int(random_state))
    networks = opened.classifier.networks_
    check_settings(settings, DifferentiableNetwork(networks[0]).n_blocks)
    if check and len(X) < MIN_CHECKED:
        raise InputError(
            f"the checks compare maps between patients and need at least {MIN_CHECKED}; there are {len(X)}. Give more "
            "patients, or check=False"
        )
    # The patients, and the start of integrated gradients.
    stacks = opened.stacks(X)
    prepared = _prepare(opened, X, stacks, reference, method)
    # One map per member.
    found = [compute_maps(network, prepared, settings) for network in networks]
    values = np.array([maps for maps, _ in found])
    of_members = np.array([DifferentiableNetwork(n).log_odds(prepared.stacks, prepared.clinical) for n in networks])
    clinical = None if found[0][1] is None else np.mean([of_clinical for _, of_clinical in found], axis=0)
    checks = None
    if check:
        rows = slice(0, n_checked)
        checks = check_maps(opened, prepared.take(rows), settings, values[:, rows])
    return SliceMaps(
        method=method,
        values=values.mean(axis=0),
        spread=values.std(axis=0, ddof=1) if len(values) > 1 else None,
        images=prepared.stacks,
        clinical=None if clinical is None else pd.DataFrame(clinical, columns=_encoded_names(opened), index=X.index),
        log_odds=of_members.mean(axis=0),
        completeness_error=_completeness_error(networks, prepared, settings, values, clinical, of_members),
        checks=checks,
        patient_id=tuple(str(stack.patient_id) for stack in stacks),
        fov_mm=opened.fov_mm,
        _stacks=tuple(dataclasses.replace(stack, pixels=_without_pixels(stack)) for stack in stacks),
        _fov=opened.images_of["fov"],
    )


def _prepare(opened, X, stacks, reference, method):
    images = opened.images(stacks)
    start_stack, start_clinical = None, None
    if method == "integrated_gradients":
        if reference is None:
            raise InputError(
                'method="integrated_gradients" starts from the mean of reference patients; give reference, for example '
                "the training patients"
            )
        start_stack, start_clinical = (part.mean(axis=0) for part in opened.prepare(reference))
    return Prepared(
        images=images,
        stacks=opened.standardise(images),
        clinical=opened.encode(X),
        start_stack=start_stack,
        start_clinical=start_clinical,
        standardise=opened.standardise,
        pixel_mm=opened.pixel_mm,
    )


def _completeness_error(networks, prepared, settings, values, clinical, of_members):
    if settings.method != "integrated_gradients":
        return None
    start = [
        DifferentiableNetwork(network).log_odds(prepared.start_stack[np.newaxis], prepared.start_clinical[np.newaxis])
        for network in networks
    ]
    total = values.sum(axis=(2, 3, 4)).mean(axis=0) + clinical.sum(axis=1)
    return np.abs(total - (of_members - np.array(start)).mean(axis=0))


def _encoded_names(opened):
    positions = opened.encoded_positions()
    names = {}
    for column, of_column in (positions or {}).items():
        names |= {j: column if number == 0 else f"{column} ({number})" for number, j in enumerate(of_column)}
    return [names[j] for j in sorted(names)]


def _without_pixels(stack):
    """Return an array of the shape of the stack's pixels that needs no memory."""
    return np.broadcast_to(np.float32(0), stack.pixels.shape)
