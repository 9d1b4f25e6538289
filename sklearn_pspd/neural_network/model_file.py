"""File format of fitted networks, which executes no code when it is read."""

import hashlib
import importlib.metadata
import json
import tempfile
import warnings
import zipfile
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from sklearn_pspd.exceptions import InputError

from .architecture import NetworkSpec, build_cnn_lstm

FORMAT = 1

DESCRIPTION, NETWORK = "classifier.json", "network.keras"

MAX_DESCRIPTION_BYTES = 50_000_000


def write_classifier(path, *, parameters, learned, spec, weights):
    """Write a fitted network to a zip archive of the network in the format of Keras and a JSON file with the rest.

    Parameters
    ----------
    path : path-like
        File to write.
    parameters : dict of str to object
        Hyper-parameters of the classifier.
    learned : dict of str to object
        Other learned attributes: numbers, text, and lists, dictionaries and arrays of them.
    spec : NetworkSpec
        Specification of the network.
    weights : list of ndarray
        Weights, in the order of the network's weights.

    Raises
    ------
    InputError
        If a value cannot be written without pickle.
    """
    network = build_cnn_lstm(spec)
    network.set_weights(weights)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / NETWORK
        with warnings.catch_warnings():
            # NumPy 2 warns when Keras converts TensorFlow's variables to arrays.
            warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
            network.save(file)
        stored = file.read_bytes()
    description = {
        "format": FORMAT,
        "library": f"sklearn_pspd {_version()}",
        "parameters": {name: _encode(value, name) for name, value in parameters.items()},
        "learned": {name: _encode(value, name) for name, value in learned.items()},
        "network": asdict(spec),
        "sha256": hashlib.sha256(stored).hexdigest(),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(DESCRIPTION, json.dumps(description, indent=1))
        archive.writestr(NETWORK, stored)


def read_classifier(path):
    """Read a file of :func:`write_classifier`.

    Parameters
    ----------
    path : path-like
        File to read.

    Returns
    -------
    parameters : dict of str to object
        Hyper-parameters of the classifier.
    learned : dict of str to object
        Other learned attributes.
    spec : NetworkSpec
        Specification of the network.
    weights : list of ndarray
        Weights, in the order of the network's weights.

    Raises
    ------
    InputError
        If the file was not written by :func:`write_classifier`, is damaged, or has another format version.
    FileNotFoundError
        If the file does not exist.
    """
    # Check that it is a complete file of a known format.
    description, stored = _open_archive(path)
    if description["format"] != FORMAT:
        raise InputError(
            f"{path}: file format {description['format']}, written by "
            f"{description.get('library', 'an unknown version')}; sklearn_pspd {_version()} reads format {FORMAT}"
        )
    if hashlib.sha256(stored).hexdigest() != description.get("sha256"):
        raise InputError(f"{path}: the network differs from the one that was saved (SHA-256 does not match)")
    # Rebuild the network. Only weights are loaded: the layers are built by this library, never from the file.
    try:
        spec = _decode_spec(description["network"])
        parameters, learned = (
            {name: _decode(value) for name, value in description[part].items()} for part in ("parameters", "learned")
        )
        network = build_cnn_lstm(spec)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / NETWORK
            file.write_bytes(stored)
            network.load_weights(file)
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise InputError(f"{path}: damaged, or written by another version of sklearn_pspd ({error})") from error
    return parameters, learned, spec, network.get_weights()


def _open_archive(path):
    try:
        with zipfile.ZipFile(path) as archive:
            if sorted(archive.namelist()) != sorted([DESCRIPTION, NETWORK]):
                raise InputError(f"{path}: not a file of CNNLSTMClassifier.save; it contains {archive.namelist()[:5]}")
            if archive.getinfo(DESCRIPTION).file_size > MAX_DESCRIPTION_BYTES:
                raise InputError(
                    f"{path}: not a file of CNNLSTMClassifier.save; its {DESCRIPTION} has more than "
                    f"{MAX_DESCRIPTION_BYTES} bytes"
                )
            description = json.loads(archive.read(DESCRIPTION))
            stored = archive.read(NETWORK)
    except (zipfile.BadZipFile, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a file of CNNLSTMClassifier.save, or a damaged one ({error})") from error
    if not isinstance(description, dict) or "format" not in description:
        raise InputError(f"{path}: not a file of CNNLSTMClassifier.save; its {DESCRIPTION} has no format")
    return description, stored


def _encode(value, name):
    """Return a JSON value; types that JSON does not have, such as tuples, become a dictionary with the type as key."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return _encode(value.item(), name)
    if isinstance(value, np.ndarray):
        return {"array": [_encode(item, name) for item in value.tolist()], "dtype": value.dtype.str}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_encode(item, name) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[_encode(key, name), _encode(item, name)] for key, item in value.items()]}
    raise InputError(f"{name}={value!r} cannot be saved without pickle; set it to a number, text or None")


def _decode(value):
    if not isinstance(value, dict):
        return value
    kind = next(iter(value))
    if kind == "array":
        return np.array([_decode(item) for item in value["array"]], dtype=np.dtype(value["dtype"]))
    if kind == "dict":
        return {_decode(key): _decode(item) for key, item in value["dict"]}
    items = [_decode(item) for item in value[kind]]
    return tuple(items) if kind == "tuple" else items


def _decode_spec(values):
    known = {field.name for field in fields(NetworkSpec)}
    if unknown := sorted(set(values) - known):
        raise InputError(f"unknown entries of the network specification: {', '.join(unknown)}")
    return NetworkSpec(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _version():
    return importlib.metadata.version("sklearn_pspd")
