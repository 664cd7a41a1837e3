"""A registry of architectures, each one flat Keras graph with its preprocessing inside."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import h5py
import keras
import numpy as np
import pandas as pd
from keras import layers

from lesions import classes, data
from lesions.networks import initial_weights as initial

BRANCHES = {
    "cnn": ("cnn",),
    "resnet18": ("resnet18",),
    "resnet50": ("resnet50",),
    "densenet121": ("densenet121",),
    "densenet169": ("densenet169",),
    "efficientnetb0": ("efficientnetb0",),
    "efficientnetb3": ("efficientnetb3",),
    "cnn_densenet121": ("cnn", "densenet121"),
    "densenet121_efficientnetb3": ("densenet121", "efficientnetb3"),
}
ARCHITECTURES = tuple(BRANCHES)
MINIMUM_SIZE = 32
DETAILS = "lesions_details"
# Keras' 0.99 lags hundreds of steps behind, which is many epochs of a small dataset.
MOMENTUM = 0.9


def build(
    name: str,
    image_size: int = 128,
    weights: str = "imagenet",
    patient: bool = False,
    dropout: float = 0.3,
    seed: int = 42,
) -> keras.Model:
    """Build an architecture as one flat functional graph.

    Every network takes RGB 0-255 and ends in a float32 `Dense` named "logits" and a float32
    `Softmax` named "probabilities".

    Args:
        name: One of `ARCHITECTURES`.
        image_size: Side of the square input in pixels, at least 32.
        weights: "imagenet", "available" or "random", see `weights.load`.
        patient: Whether a second input "patient", float32 (data.PATIENT_FEATURES,), is added.
        dropout: Share of features dropped before the last layer, 0 to 1.
        seed: Seed of the random layers; sets Keras' global seed.

    Returns:
        A `keras.Model` with the inputs "image", float32 (image_size, image_size, 3), and
        "patient" where asked for, and the output float32 (7,), probabilities in the order of
        `classes.CODES`. Its attributes `initial_weights` (str) and `pretrained_layers` (list
        of layer names) say what it started from.

    Raises:
        ValueError: If the name or size is not supported or weights cannot be had.
    """
    if name not in BRANCHES:
        raise ValueError(f"Unknown architecture {name!r}; use {', '.join(ARCHITECTURES)}.")
    if image_size < MINIMUM_SIZE:
        raise ValueError(f"image_size is {image_size}; it must be at least {MINIMUM_SIZE}.")
    if weights not in ("imagenet", "available", "random"):
        raise ValueError(f"Unknown weights {weights!r}; use imagenet, available or random.")
    keras.utils.set_random_seed(seed)
    image = layers.Input((image_size, image_size, 3), name="image")
    features = []
    for branch in BRANCHES[name]:
        tensor = _BUILDERS[branch](image)
        features.append(layers.GlobalAveragePooling2D(name=f"{branch}_features")(tensor))
    inputs = [image]
    if name == "cnn":
        features = [_dense_stack(features[0], dropout)]
    if patient:
        inputs.append(layers.Input((data.PATIENT_FEATURES,), name="patient"))
        features.append(layers.Dense(32, activation="relu", name="patient_features")(inputs[1]))
    joined = layers.Concatenate(name="joined")(features) if len(features) > 1 else features[0]
    joined = layers.Dropout(dropout, name="dropout_features")(joined)
    logits = layers.Dense(len(classes.CODES), dtype="float32", name="logits")(joined)
    probabilities = layers.Softmax(dtype="float32", name="probabilities")(logits)
    model = keras.Model(inputs if patient else image, probabilities, name=name)
    _set_input_statistics(model)
    _load_initial_weights(model, name, weights)
    return model


def _load_initial_weights(model: keras.Model, name: str, weights: str) -> None:
    said, copied = [], []
    for branch in BRANCHES[name]:
        if weights == "imagenet" and branch in ("cnn", "resnet18") and len(BRANCHES[name]) > 1:
            source, names = "random", []  # the from-scratch branch of a hybrid has none
        else:
            source, names = initial.load(model, branch, weights)
        said.append(source if len(BRANCHES[name]) == 1 else f"{branch}: {source}")
        copied += names
    model.initial_weights = ", ".join(said)
    model.pretrained_layers = copied


def _convolution(tensor, filters: int, name: str, strides: int = 1, activation: bool = True):
    """3x3 convolution, batch normalisation and, where asked for, ReLU."""
    tensor = layers.Conv2D(
        filters,
        3,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(tensor)
    tensor = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn")(tensor)
    return layers.ReLU(name=f"{name}_relu")(tensor) if activation else tensor


def _imagenet_scaling(image, name: str):
    """Scale RGB 0-255 by ImageNet's mean and standard deviation, as DenseNet expects."""
    scale = (1 / (255 * initial.IMAGENET_STD)).tolist()
    offset = (-initial.IMAGENET_MEAN / initial.IMAGENET_STD).tolist()
    return layers.Rescaling(scale, offset, name=f"{name}_rescaling", dtype="float32")(image)


def _cnn(image):
    tensor = layers.Rescaling(1 / 127.5, -1.0, name="cnn_rescaling", dtype="float32")(image)
    for block, filters in enumerate((32, 64, 128, 256), start=1):
        tensor = _convolution(tensor, filters, f"cnn_block{block}_1")
        tensor = _convolution(tensor, filters, f"cnn_block{block}_2")
        tensor = layers.MaxPooling2D(name=f"cnn_block{block}_pool")(tensor)
        tensor = layers.SpatialDropout2D(0.1, name=f"cnn_block{block}_dropout")(tensor)
    return tensor


def _dense_stack(features, dropout: float):
    for units in (512, 256, 128):
        features = layers.Dense(units, activation="relu", name=f"dense_{units}")(features)
        if units > 128:
            features = layers.Dropout(dropout, name=f"dropout_{units}")(features)
    return features


def _resnet18(image):
    """ResNet18 of He et al. 2016: basic blocks of two 3x3 convolutions."""
    tensor = _imagenet_scaling(image, "resnet18")
    tensor = layers.Conv2D(
        64,
        7,
        strides=2,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name="resnet18_stem_conv",
    )(tensor)
    tensor = layers.BatchNormalization(momentum=MOMENTUM, name="resnet18_stem_bn")(tensor)
    tensor = layers.ReLU(name="resnet18_stem_relu")(tensor)
    tensor = layers.MaxPooling2D(3, strides=2, padding="same", name="resnet18_stem_pool")(tensor)
    for stage, filters in enumerate((64, 128, 256, 512), start=1):
        for block in (1, 2):
            strides = 2 if block == 1 and stage > 1 else 1
            tensor = _basic_block(tensor, filters, strides, f"resnet18_stage{stage}_block{block}")
    return tensor


def _basic_block(tensor, filters: int, strides: int, name: str):
    shortcut = tensor
    if strides > 1:
        shortcut = layers.Conv2D(
            filters, 1, strides=strides, use_bias=False, name=f"{name}_shortcut_conv"
        )(tensor)
        shortcut = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_shortcut_bn")(
            shortcut
        )
    tensor = _convolution(tensor, filters, f"{name}_1", strides)
    tensor = _convolution(tensor, filters, f"{name}_2", activation=False)
    tensor = layers.Add(name=f"{name}_add")([shortcut, tensor])
    return layers.ReLU(name=f"{name}_out")(tensor)


def _densenet(name: str):
    def branch(image):
        tensor = _imagenet_scaling(image, name)
        constructor = getattr(keras.applications, initial.PRETRAINED[name][0])
        return constructor(include_top=False, weights=None, input_tensor=tensor).output

    return branch


def _resnet50(image):
    # Keras' weights expect BGR minus a mean; `weights.load` turns the first kernel to RGB.
    tensor = layers.Rescaling(
        1.0, [-123.68, -116.779, -103.939], name="resnet50_rescaling", dtype="float32"
    )(image)
    return keras.applications.ResNet50(include_top=False, weights=None, input_tensor=tensor).output


def _efficientnet(name: str):
    def branch(image):
        # EfficientNet scales its input by itself: no rescaling in front of it.
        constructor = getattr(keras.applications, initial.PRETRAINED[name][0])
        return constructor(include_top=False, weights=None, input_tensor=image).output

    return branch


_BUILDERS = {
    "cnn": _cnn,
    "resnet18": _resnet18,
    "resnet50": _resnet50,
    "densenet121": _densenet("densenet121"),
    "densenet169": _densenet("densenet169"),
    "efficientnetb0": _efficientnet("efficientnetb0"),
    "efficientnetb3": _efficientnet("efficientnetb3"),
}


def _set_input_statistics(model: keras.Model) -> None:
    """Give EfficientNet's normalisation ImageNet's statistics, which it gets from no file here."""
    for layer in model.layers:
        if isinstance(layer, layers.Normalization):
            layer.set_weights([initial.IMAGENET_MEAN, initial.IMAGENET_STD**2, np.array(1)])
            layer.finalize_state()


def last_convolutions(model: keras.Model) -> list[str]:
    """Name the layer with the last convolutional feature map of every branch.

    It is what the branch's global pooling takes, behind pooling and dropout: for DenseNet the
    concatenation of all channels after its last ReLU, not the 32 channels of its last kernel.

    Args:
        model: From `build` or `load`.

    Returns:
        One layer name a branch.

    Raises:
        ValueError: If the model has no such layer.
    """
    skipped = (
        layers.MaxPooling2D,
        layers.AveragePooling2D,
        layers.Dropout,
        layers.SpatialDropout2D,
    )
    names = []
    for layer in model.layers:
        if isinstance(layer, layers.GlobalAveragePooling2D) and layer.name.endswith("_features"):
            source = layer.input._keras_history.operation
            while isinstance(source, skipped):
                source = source.input._keras_history.operation
            names.append(source.name)
    if not names:
        raise ValueError(f"The model {model.name!r} has no convolutional branch; name a layer.")
    return names


def rounded(weights: np.ndarray) -> np.ndarray:
    """Round weights to values that float16 holds, which take half the room in a file.

    Args:
        weights: float32, any shape; other dtypes, and weights beyond float16's 65,504, are
            returned as they are.

    Returns:
        The same shape and dtype, each value off by at most 0.05% or, near zero, by 3e-8.
    """
    weights = np.asarray(weights)
    if weights.dtype != np.float32 or np.abs(weights).max(initial=0) > np.finfo(np.float16).max:
        return weights
    return weights.astype(np.float16).astype(np.float32)


def save(model: keras.Model, path, details: dict) -> Path:
    """Write a model as `.h5`, compressed, with its class order and image size inside the file.

    Args:
        model: A float32 model from `build`.
        path: Where the file goes.
        details: JSON-ready facts to store, for example correction and initial_weights.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    details = {
        "architecture": model.name,
        "classes": list(classes.CODES),
        "image_size": int(model.inputs[0].shape[1]),
        "notice": classes.NOTICE,
        **details,
    }
    beside = path.with_name(f"{path.stem}.partial.h5")
    # Keras calls .h5 a legacy format at every save; it is this project's exchange format.
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        model.save(beside, include_optimizer=False)
    finally:
        logger.setLevel(level)
    smaller = path.with_name(f"{path.stem}.smaller.partial.h5")
    with h5py.File(beside, "r") as file, h5py.File(smaller, "w") as compressed:
        compressed.attrs.update(file.attrs)
        compressed.attrs[DETAILS] = json.dumps(details)
        file.visititems(lambda name, item: _compress(compressed, name, item))
    beside.unlink()
    os.replace(smaller, path)
    return path


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


def load(path) -> tuple[keras.Model, dict]:
    """Read a model that `save` wrote.

    Args:
        path: The `.h5` file.

    Returns:
        The model and its details: architecture, classes (list of codes), image_size (pixels),
        notice and whatever else was stored, such as correction and decision_strength.

    Raises:
        ValueError: If the file is missing or is not a model of this project.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"There is no model {path}; train one or name another file.")
    try:
        with h5py.File(path, "r") as file:
            stored = file.attrs.get(DETAILS)
    except OSError as error:
        raise ValueError(f"{path} is not an .h5 file; name a model of this project.") from error
    details = {} if stored is None else json.loads(stored)
    if not {"architecture", "classes", "image_size"} <= set(details):
        raise ValueError(
            f"{path} does not say its classes and image size, so it is not a model of this "
            "project; name one that lesions.models.save wrote."
        )
    if tuple(details["classes"]) != classes.CODES:
        raise ValueError(
            f"{path} orders its classes as {', '.join(details['classes'])}, this project as "
            f"{', '.join(classes.CODES)}; train it again."
        )
    return keras.models.load_model(path, compile=False), details


def gigaflops(model: keras.Model) -> float:
    """Count the operations of one image: two for every multiplication of a kernel.

    Args:
        model: A built model.

    Returns:
        Billions of floating-point operations in convolutions and dense layers.
    """
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            height, width = layer.output.shape[1:3]
            total += 2 * int(np.prod(layer.kernel.shape)) * height * width
        elif isinstance(layer, layers.Dense):
            total += 2 * int(np.prod(layer.kernel.shape))
    return total / 1e9


def summary_table(names=ARCHITECTURES, image_size: int = 224) -> pd.DataFrame:
    """List the size and cost of architectures.

    Args:
        names: Architectures to list.
        image_size: Side of the input in pixels.

    Returns:
        Indexed by architecture: parameters (millions), megabytes (float32 weights on disk),
        gigaflops (one image) and feature_maps (the layers that Grad-CAM reads).
    """
    rows = {}
    for name in names:
        model = build(name, image_size, weights="random")
        rows[name] = {
            "parameters": model.count_params() / 1e6,
            "megabytes": model.count_params() * 4 / 1e6,
            "gigaflops": gigaflops(model),
            "feature_maps": ", ".join(last_convolutions(model)),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("architecture")
