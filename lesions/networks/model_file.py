"""The `.h5` files of trained networks, which every Keras from 3.10 on reads."""

import hashlib
import io
import json
import logging
from pathlib import Path

import h5py
import keras
import numpy as np

from lesions import classes
from lesions.evaluation import Correction
from lesions.networks import architectures, description
from lesions.networks.initial_weights import DAMAGED, learned_layers
from lesions.system import files

DETAILS = "lesions_details"
# Settings that Keras wrote after version 3.10, which older constructors refuse. None of them is
# set by this project, so nothing is lost with them.
NEWER_SETTINGS = ("input_axes", "output_axes", "quantization_config")
NEWER_SETTINGS += ("renorm", "renorm_clipping", "renorm_momentum")
# The format of 2017, which takes a tenth less room than the first one and has checksums.
HDF5 = ("v110", "v110")


def rounded(weights: np.ndarray) -> np.ndarray:
    """Round float32 weights to values that float16 holds, which take half the room in a file.

    Each value is off by at most 0.05% or, near zero, by 3e-8. Other dtypes, and weights beyond
    float16's 65,504, are returned as they are.
    """
    if weights.dtype != np.float32 or np.abs(weights).max(initial=0) > np.finfo(np.float16).max:
        return weights
    return weights.astype(np.float16).astype(np.float32)


def save(model: keras.Model, path, details: dict) -> Path:
    """Write a network as `.h5`, compressed, with all that is needed to use it inside the file.

    Weights that float16 holds exactly, see `rounded`, are stored in 16 bits.

    Args:
        model: A float32 network from `architectures.build` or `load`.
        path: Where the file goes; it is returned.
        details: JSON-ready facts to store, for example correction and decision_strength.
    """
    details = {
        "correction": Correction().to_details(),
        "decision_strength": 0.0,
        **details,
        "architecture": model.name,
        "classes": list(classes.CODES),
        "image_size": int(model.inputs[0].shape[1]),
        "patient": len(model.inputs) > 1,
        "dropout": float(model.get_layer("dropout_features").rate),
        "digest": digest({one.name: one.get_weights() for one in model.layers if one.weights}),
        "notice": classes.NOTICE,
    }
    # Keras calls .h5 a legacy format at every save; it is this project's exchange format.
    logger = logging.getLogger("absl")
    level = logger.level
    with files.replacing(path) as temporary:
        logger.setLevel(logging.ERROR)
        try:
            model.save(temporary, include_optimizer=False)
        except RuntimeError as error:  # what h5py makes of a full disk
            raise OSError(f"{path} cannot be written ({error}); is the disk full?") from error
        finally:
            logger.setLevel(level)
        whole, small = io.BytesIO(temporary.read_bytes()), io.BytesIO()
        with h5py.File(whole, "r") as file, h5py.File(small, "w", libver=HDF5) as compressed:
            compressed.attrs.update(file.attrs)
            compressed.attrs["model_config"] = _for_older_keras(file.attrs["model_config"])
            compressed.attrs[DETAILS] = json.dumps(details)
            file.visititems(lambda name, item: _compress(compressed, name, item))
        temporary.write_bytes(small.getvalue())
    return Path(path)


def _for_older_keras(stored: str) -> str:
    """Drop `NEWER_SETTINGS` from the settings of all layers."""
    settings = json.loads(
        stored,
        object_hook=lambda one: {name: one[name] for name in one if name not in NEWER_SETTINGS},
    )
    return json.dumps(settings)


def _compress(target: h5py.File, name: str, item) -> None:
    """Copy one group or dataset of a file, zipped, in 16 bits where that loses nothing."""
    if isinstance(item, h5py.Dataset):
        values = item[()]
        if values.dtype == np.float32:
            with np.errstate(over="ignore"):
                half = values.astype(np.float16)
            values = half if np.array_equal(half, values) else values
        zipped = {"compression": "gzip", "shuffle": True} if item.ndim else {}
        copy = target.create_dataset(name, data=values, **zipped)
    else:
        copy = target.create_group(name)
    copy.attrs.update(item.attrs)


def digest(weights: dict[str, list[np.ndarray]]) -> str:
    """Compute the SHA-256 of weights, layer name to arrays, whatever their stored precision."""
    found = hashlib.sha256()
    for name in sorted(weights):
        for values in weights[name]:
            values = np.asarray(values)
            found.update(f"{name} {values.shape}".encode())
            found.update(np.ascontiguousarray(values, np.float32).tobytes())
    return found.hexdigest()


def read_details(path) -> dict:
    """Read what is stored with a network, without its weights; as `load`."""
    try:
        with h5py.File(path, "r") as file:
            stored = file.attrs.get(DETAILS, "{}")
    except DAMAGED as error:
        raise ValueError(
            f"{path} is missing, damaged or not an .h5 file; name a model of this project."
        ) from error
    return description.parse(stored, path)


def read_weights(path) -> dict[str, list[np.ndarray]]:
    """Read the weights of a network: layer name to arrays, in the layer's own order."""
    try:
        with h5py.File(path, "r") as file:
            groups = file["model_weights"]
            return {
                layer: [groups[layer][name][()] for name in groups[layer].attrs["weight_names"]]
                for layer in groups
                if len(groups[layer].attrs.get("weight_names", ()))
            }
    except DAMAGED as error:
        raise ValueError(
            f"The weights in {path} are damaged; copy or download the file again."
        ) from error


def load(path) -> tuple[keras.Model, dict]:
    """Read a network that `save` wrote.

    The layers are made anew from the details, and only the weights are taken from the file, so
    that it does not matter which Keras wrote it.

    Args:
        path: The `.h5` file.

    Returns:
        The network and its details, see `description.parse`.

    Raises:
        ValueError: If the file is missing or damaged or is not a network of this project.
    """
    details, weights = read_checked(path)
    shape = (details[name] for name in ("architecture", "image_size", "patient", "dropout"))
    model = architectures.assemble(*shape)
    assign(model, weights, path)
    return model, details


def read_checked(path) -> tuple[dict, dict[str, list[np.ndarray]]]:
    """Read the details and the weights of a network, which must be those saved; as `load`."""
    details, weights = read_details(path), read_weights(path)
    if digest(weights) != details["digest"]:
        raise ValueError(
            f"The weights in {path} are not those that were saved; copy or download the file again."
        )
    if not all(np.isfinite(one).all() for values in weights.values() for one in values):
        raise ValueError(
            f"{path} holds weights that are not numbers, as a training that diverged leaves them; "
            "train the network again."
        )
    return details, weights


def assign(model: keras.Model, weights: dict[str, list[np.ndarray]], path) -> None:
    """Set the weights that `read_weights` read from a path in all layers, by their names.

    Raises:
        ValueError: If a layer has no weights there, or weights of other shapes.
    """
    for layer in learned_layers(model):
        values = weights.get(layer.name, ())
        if [value.shape for value in values] != [one.shape for one in layer.weights]:
            raise ValueError(
                f"{path} has no weights that fit the layer {layer.name} of {model.name}; it holds "
                "another network, so train or export it again."
            )
        layer.set_weights(values)
