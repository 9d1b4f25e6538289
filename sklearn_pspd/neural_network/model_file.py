"""File format of fitted networks, which executes no code when it is read."""

import hashlib
import importlib.metadata
import io
import json
import tempfile
import warnings
import zipfile
from dataclasses import asdict, fields
from pathlib import Path

import h5py
import numpy as np

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.file_writing import replaced_when_whole
from sklearn_pspd.preprocessing import StackAugmenter

from .architecture import build_cnn_lstm
from .devices import TURNS
from .pool import optimizer_state, reset_network
from .specification import NetworkSpec, count_weights, make_spec

FORMAT = 2

DESCRIPTION, STATES = "classifier.json", "optimizer.npz"

# Types of arrays in the description: truth values, whole numbers, numbers, text and Python objects such as text.
ARRAY_KINDS = "biufUO"


def write_classifier(path, *, parameters, learned, spec, weights, states):
    """Write a fitted classifier to a zip archive, of a network per member in the format of Keras and a JSON file.

    The archive is written to a temporary file in the same folder, which replaces `path` when it is whole.

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
    weights : list of list of ndarray
        Weights of each member, in the order of the network's weights.
    states : list of list of ndarray
        State of the optimiser of each member.

    Raises
    ------
    InputError
        If a value cannot be written without pickle.
    """
    # What can fail comes before the file is opened.
    description = {
        "format": FORMAT,
        "library": f"sklearn_pspd {_version()}",
        "parameters": {name: _encode(value, name) for name, value in parameters.items()},
        "learned": {name: _encode(value, name) for name, value in learned.items()},
        "network": asdict(spec),
        "n_members": len(weights),
    }
    with TURNS.take():
        network = build_cnn_lstm(spec)
        entries = {_network_name(member): _network_bytes(network, each) for member, each in enumerate(weights)}
    entries[STATES] = _state_bytes(states)
    description["sha256"] = {name: hashlib.sha256(stored).hexdigest() for name, stored in entries.items()}
    description["sha256"][DESCRIPTION] = hash_of_description(description)
    text = json.dumps(description, indent=1)
    with replaced_when_whole(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(DESCRIPTION, text)
        for name, stored in entries.items():
            archive.writestr(name, stored)


def hash_of_description(description):
    """Return the SHA-256 of a description, without the hashes that it contains.

    Parameters
    ----------
    description : dict
        What the JSON file of a classifier contains.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    text = json.dumps({name: value for name, value in description.items() if name != "sha256"})
    return hashlib.sha256(text.encode()).hexdigest()


def read_classifier(path, *, known_parameters, known_learned):
    """Read a file of :func:`write_classifier`.

    Nothing in such a file is compressed, and a network is built only if the file holds all of its weights, so that
    memory is bounded by the size of the file.

    Parameters
    ----------
    path : path-like
        File to read.
    known_parameters : iterable of str
        Names of the classifier's parameters; others are refused.
    known_learned : iterable of str
        Names of its learned attributes; others are refused.

    Returns
    -------
    parameters : dict of str to object
        Hyper-parameters of the classifier.
    learned : dict of str to object
        Other learned attributes.
    spec : NetworkSpec
        Specification of the network.
    weights : list of list of ndarray
        Weights of each member, in the order of the network's weights.
    states : list of list of ndarray
        State of the optimiser of each member.

    Raises
    ------
    InputError
        If the file was not written by :func:`write_classifier`, is damaged, or has another format version.
    FileNotFoundError
        If the file does not exist.
    """
    # All that a damaged or forged file can cause ends here: it must not matter which part of it a reader stumbles over.
    try:
        return _read(path, {*known_parameters}, {*known_learned})
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:
        raise InputError(
            f"{path}: not a file of CNNLSTMClassifier.save, or damaged, or written by another version of sklearn_pspd "
            f"({type(error).__name__}: {error})"
        ) from error


def _read(path, known_parameters, known_learned):
    description, entries = _open_archive(path)
    if description["format"] != FORMAT:
        raise InputError(
            f"file format {description['format']}, written by "
            f"{description.get('library', 'an unknown version')}; sklearn_pspd {_version()} reads format {FORMAT}"
        )
    if description["sha256"].pop(DESCRIPTION, None) != hash_of_description(description):
        raise InputError(f"{DESCRIPTION} differs from what was saved (SHA-256 does not match)")
    for name, stored in entries.items():
        if hashlib.sha256(stored).hexdigest() != description["sha256"].get(name):
            raise InputError(f"the network differs from the one that was saved (SHA-256 of {name} does not match)")
    spec = _decode_spec(description["network"])
    parameters, learned = (
        {name: _decode(value) for name, value in description[part].items()} for part in ("parameters", "learned")
    )
    if unknown := sorted(set(parameters) - known_parameters) + sorted(set(learned) - known_learned):
        raise InputError(
            f"written by another version of sklearn_pspd, with entries unknown to this one: {', '.join(unknown)}"
        )
    _check_learned(learned, spec)
    networks = [entries[_network_name(member)] for member in range(description["n_members"])]
    for stored in networks:
        _check_network(stored, spec)
    # Only weights are loaded: the layers are built by this library, never from the file.
    with TURNS.take():
        network = build_cnn_lstm(spec)
        weights = [_read_weights(network, stored) for stored in networks]
        states = _read_states(network, entries[STATES], len(networks))
    return parameters, learned, spec, weights, states


def _open_archive(path):
    with zipfile.ZipFile(path) as archive:
        found = archive.infolist()
        names = [entry.filename for entry in found]
        if DESCRIPTION not in names or len(set(names)) < len(names):
            raise InputError(f"not a file of CNNLSTMClassifier.save; it contains {names[:5]}")
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size for entry in found):
            raise InputError("not a file of CNNLSTMClassifier.save; it has compressed entries")
        description = json.loads(archive.read(DESCRIPTION))
        if not isinstance(description, dict) or "format" not in description:
            raise InputError(f"not a file of CNNLSTMClassifier.save; its {DESCRIPTION} has no format")
        expected = {DESCRIPTION, STATES, *map(_network_name, range(min(description.get("n_members", 1), len(names))))}
        if description["format"] == FORMAT and set(names) != expected:
            raise InputError(f"not a file of CNNLSTMClassifier.save; it contains {names[:5]}")
        return description, {name: archive.read(name) for name in names if name != DESCRIPTION}


def _check_learned(learned, spec):
    """Raise unless the learned attributes fit the specification."""
    classes = learned.get("classes_")
    if not isinstance(classes, np.ndarray) or classes.shape != (2,) or not classes[0] < classes[1]:
        raise InputError(f"damaged; classes_ must be two labels in ascending order, it is {classes!r}")
    # The same checks as before a fit: whole numbers, and columns that fit.
    if make_spec(learned.get("n_features_in_"), **asdict(spec)) != spec or spec.weighted or spec.n_devices != 1:
        raise InputError("damaged; the specification of the network is not one of this library")
    if learned.get("precision_") != spec.precision:
        raise InputError(f"damaged; precision_ is not that of the network, {spec.precision!r}")


def _check_network(stored, spec):
    """Raise unless a network file holds exactly the weights of its specification, uncompressed."""
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        found = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size for entry in found):
            raise InputError("damaged; the network has compressed entries")
        values = archive.read("model.weights.h5")
    arrays = []
    with h5py.File(io.BytesIO(values)) as file:
        file.visititems(lambda _, item: arrays.append(item) if isinstance(item, h5py.Dataset) else None)
        for array in arrays:
            if array.dtype.kind not in "fiu" or array.external or array.is_virtual or array.nbytes > len(values):
                raise InputError(f"damaged; {array.name} of the network is not a stored array of numbers")
        # The state of the optimiser is in another entry of the archive; seeds of dropout are not numbers of kind "f".
        weights = [array for array in arrays if array.dtype.kind == "f" and not array.name.startswith("/optimizer")]
        if sum(array.size for array in weights) != count_weights(spec):
            raise InputError("damaged; the network does not have the weights of its specification")


def _read_weights(network, stored):
    """Return the weights of a network file that was checked."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.keras"
        file.write_bytes(stored)
        network.load_weights(file)
    weights = network.get_weights()
    if not all(np.all(np.isfinite(array)) for array in weights):
        raise InputError("the weights of the network are not all finite")
    return weights


def _read_states(network, stored, n_members):
    """Return the states of the optimisers, with the shapes and types of the network's."""
    reset_network(network, network.get_weights(), learning_rate=0.0, seed=0)
    templates = optimizer_state(network)
    states = [[] for _ in range(n_members)]
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        for member, state in enumerate(states):
            for index, template in enumerate(templates):
                with archive.open(f"{member}_{index}.npy") as file:
                    state.append(_read_array(file, template))
    return states


def _read_array(file, template):
    if np.lib.format.read_magic(file) != (1, 0):
        raise InputError("damaged; the state of the optimiser has an unknown format")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    # Backends of Keras count steps in integers of different sizes.
    is_same = dtype == template.dtype or (dtype.kind == template.dtype.kind == "i")
    if shape != template.shape or not is_same or is_fortran:
        raise InputError("damaged; the state of the optimiser does not fit the network")
    n_bytes = template.size * dtype.itemsize
    array = np.frombuffer(file.read(n_bytes), dtype=dtype).reshape(shape).astype(template.dtype)
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise InputError("the state of the optimiser is not finite")
    return array


def _network_name(member):
    return "network.keras" if member == 0 else f"network_{member + 1}.keras"


def _network_bytes(network, weights):
    network.set_weights(weights)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.keras"
        with warnings.catch_warnings():
            # NumPy 2 warns when Keras converts TensorFlow's variables to arrays.
            warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
            network.save(file)
        return file.read_bytes()


def _state_bytes(states):
    stored = io.BytesIO()
    arrays = {f"{member}_{index}": array for member, state in enumerate(states) for index, array in enumerate(state)}
    np.savez(stored, **arrays)
    return stored.getvalue()


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
    if type(value) is StackAugmenter:
        return {"augmenter": _encode(value.get_params(), name)}
    raise InputError(f"{name}={value!r} cannot be saved without pickle; set it to a number, text or None")


def _decode(value):
    if not isinstance(value, dict):
        return value
    kind = next(iter(value))
    if kind == "array":
        return _decode_array(value)
    if kind == "dict":
        return {_decode(key): _decode(item) for key, item in value["dict"]}
    if kind == "augmenter":
        augmenter = StackAugmenter(**_decode(value["augmenter"]))
        augmenter._validate_params()
        return augmenter
    items = [_decode(item) for item in value[kind]]
    return tuple(items) if kind == "tuple" else items


def _decode_array(value):
    dtype = np.dtype(value["dtype"])
    items = [_decode(item) for item in value["array"]]
    if dtype.kind not in ARRAY_KINDS:
        raise InputError(f"arrays of type {dtype} are not allowed")
    if dtype.kind == "U":
        # The length of the text, not of the type, determines the memory.
        return np.array(items, dtype=str)
    if dtype.kind != "O" and dtype.itemsize > 16:
        raise InputError(f"arrays of type {dtype} are not allowed")
    return np.array(items, dtype=dtype)


def _decode_spec(values):
    known = {field.name for field in fields(NetworkSpec)}
    if unknown := sorted(set(values) - known):
        raise InputError(f"unknown entries of the network specification: {', '.join(unknown)}")
    return NetworkSpec(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _version():
    return importlib.metadata.version("sklearn_pspd")
