"""A registry of architectures, each one flat Keras graph with its preprocessing inside."""

import keras
import numpy as np
import pandas as pd
from keras import layers

from lesions import classes, data
from lesions.networks import initial_weights as initial
from lesions.networks.description import MINIMUM_SIZE
from lesions.networks.names import ARCHITECTURES, BRANCHES

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
        weights: "imagenet", "available" or "random", see `initial_weights.load`.
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
    model = assemble(name, image_size, patient, dropout)
    _load_initial_weights(model, name, weights)
    return model


def assemble(name: str, image_size: int, patient: bool, dropout: float) -> keras.Model:
    """Make the layers of an architecture, see `build`, with random weights."""
    image = layers.Input((image_size, image_size, 3), name="image")
    features = []
    for branch in BRANCHES[name]:
        tensor = BUILDERS[branch](image)
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
    return model


def _load_initial_weights(model: keras.Model, name: str, weights: str) -> None:
    sources, copied = [], []
    for branch in BRANCHES[name]:
        if weights == "imagenet" and branch not in initial.PRETRAINED and len(BRANCHES[name]) > 1:
            source, names = "random", []  # the from-scratch branch of a hybrid has none
        else:
            source, names = initial.load(model, branch, weights)
        sources.append(source if len(BRANCHES[name]) == 1 else f"{branch}: {source}")
        copied += names
    model.initial_weights = ", ".join(sources)
    model.pretrained_layers = copied


def _convolution(
    tensor, filters: int, name: str, strides: int = 1, size: int = 3, activation: bool = True
):
    """Add convolution, batch normalisation and, where asked for, ReLU."""
    tensor = layers.Conv2D(
        filters,
        size,
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
    tensor = _convolution(tensor, 64, "resnet18_stem", strides=2, size=7)
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


def _subtract_mean(image, name: str):
    # Keras' weights expect BGR minus a mean; `initial_weights.load` turns the first kernel to RGB.
    mean = [-123.68, -116.779, -103.939]
    return layers.Rescaling(1.0, mean, name=f"{name}_rescaling", dtype="float32")(image)


def _of_keras(name: str, scaling=None):
    """Make the builder of a network of Keras' own; EfficientNet scales its input by itself."""

    def branch(image):
        tensor = scaling(image, name) if scaling else image
        constructor = getattr(keras.applications, initial.PRETRAINED[name][0])
        return constructor(include_top=False, weights=None, input_tensor=tensor).output

    return branch


BUILDERS = {
    "cnn": _cnn,
    "resnet18": _resnet18,
    "resnet50": _of_keras("resnet50", _subtract_mean),
    "densenet121": _of_keras("densenet121", _imagenet_scaling),
    "densenet169": _of_keras("densenet169", _imagenet_scaling),
    "efficientnetb0": _of_keras("efficientnetb0"),
    "efficientnetb3": _of_keras("efficientnetb3"),
}


def _set_input_statistics(model: keras.Model) -> None:
    """Set ImageNet's statistics in EfficientNet's normalisation; no file here holds them."""
    for layer in model.layers:
        if isinstance(layer, layers.Normalization):
            layer.set_weights([initial.IMAGENET_MEAN, initial.IMAGENET_STD**2, np.array(1)])
            layer.finalize_state()


def last_convolutions(model: keras.Model) -> list[str]:
    """Name the layer with the last convolutional feature map of every branch.

    It is what the branch's global pooling takes, behind pooling and dropout: for DenseNet the
    concatenation of all channels after its last ReLU, not the 32 channels of its last kernel.

    Raises:
        ValueError: If the model has no such layer.
    """
    skipped = (layers.MaxPooling2D, layers.SpatialDropout2D)
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


def gigaflops(model: keras.Model) -> float:
    """Count the operations of one image, in billions: two for every multiplication of a kernel."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.Dense):
            places = layer.output.shape[1:-1]  # of a dense layer there is one
            total += 2 * int(np.prod(layer.kernel.shape)) * int(np.prod(places))
    return total / 1e9


def summary_table(names, image_size: int) -> pd.DataFrame:
    """List the size and cost of architectures at an image size in pixels.

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
