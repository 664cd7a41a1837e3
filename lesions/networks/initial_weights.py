"""ImageNet weights: from Keras' download or from `$PRETRAINED_DIR`, never silently random."""

import contextlib
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np

from lesions.system.folders import named_by

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STD = np.array([0.229, 0.224, 0.225])
# Name in keras.applications and the file's name as Keras publishes it.
PRETRAINED = {
    "densenet121": ("DenseNet121", "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "densenet169": ("DenseNet169", "densenet169_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "resnet50": ("ResNet50", "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "efficientnetb0": ("EfficientNetB0", "efficientnetb0_notop.h5"),
    "efficientnetb3": ("EfficientNetB3", "efficientnetb3_notop.h5"),
}
# What Keras, h5py and HDF5 raise on damaged bytes, depending on which are hit.
DAMAGED = (
    OSError,
    LookupError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    MemoryError,
    OverflowError,
    zipfile.BadZipFile,
)
LITE0_FILE = "efficientnet_lite0_imagenet_notop.keras"


class _NotToBeHad(ValueError):
    """Weights are neither in a local folder nor can they be downloaded."""


def load(model: keras.Model, branch: str, weights: str) -> tuple[str, list[str]]:
    """Put initial weights into one branch of a freshly built model.

    Args:
        model: Flat graph that holds the branch's layers under Keras' own names.
        branch: A name of `models.ARCHITECTURES` with one branch.
        weights: "imagenet", "available" (ImageNet's where they can be had, else those of a
            related network, else random) or "random".

    Returns:
        What was loaded ("imagenet", "imagenet (densenet121 layers)", "imagenet
        (efficientnet-lite0 layers)" or "random") and the names of the layers that got it.

    Raises:
        ValueError: If ImageNet weights are asked for and cannot be had, or if a local file of
            weights is damaged, whatever was asked for.
    """
    if weights == "random" or (weights == "available" and branch not in PRETRAINED):
        return "random", []
    if branch not in PRETRAINED:
        raise ValueError(
            f"There are no ImageNet weights for {branch!r}; use weights='random' or 'available'."
        )
    try:
        return "imagenet", _copy_by_name(model, _donor(branch))
    except _NotToBeHad:
        if weights != "available":
            raise
    related = {"densenet169": _load_from_densenet121, "efficientnetb0": _load_from_lite0}
    if branch in related:
        with contextlib.suppress(_NotToBeHad):
            return related[branch](model)
    return "random", []


def _donor(branch: str) -> keras.Model:
    """Build Keras' own network with its ImageNet weights."""
    name, file_name = PRETRAINED[branch]
    constructor = getattr(keras.applications, name)
    path = _local_file(file_name)
    if path:
        try:
            h5py.File(path, "r").close()  # before the network is built, which takes seconds
            return constructor(include_top=False, weights=str(path))
        except DAMAGED as error:
            raise ValueError(_damaged(path, branch)) from error
    try:
        return constructor(include_top=False, weights="imagenet")
    except Exception as error:
        raise _NotToBeHad(
            f"The ImageNet weights of {branch} cannot be downloaded ({type(error).__name__}); put "
            f"{file_name} in a folder and name it by PRETRAINED_DIR, or choose weights='available' "
            "or 'random'."
        ) from error


def _damaged(path: Path, branch: str) -> str:
    return (
        f"{path} is damaged or does not hold the ImageNet weights of {branch}; download it again "
        "or remove it."
    )


def _local_file(file_name: str) -> Path | None:
    named = named_by("PRETRAINED_DIR")
    folder = Path(named) if named else None
    if folder and not folder.is_dir():
        raise ValueError(f"PRETRAINED_DIR is {named}, which is not a folder; correct or unset it.")
    return folder / file_name if folder and (folder / file_name).exists() else None


def learned_layers(model: keras.Model) -> list[keras.Layer]:
    """List the layers that hold what a training learns or gathers.

    EfficientNet's statistics of its input are part of the architecture: they are set when the graph
    is built, and Keras numbers the name of their layer through a whole process.
    """
    return [
        layer
        for layer in model.layers
        if layer.weights and not isinstance(layer, keras.layers.Normalization)
    ]


def _copy_by_name(model: keras.Model, donor: keras.Model) -> list[str]:
    copied = []
    for layer in learned_layers(donor):
        values = layer.get_weights()
        if layer.name == "conv1_conv" and "conv5_block3_out" in {one.name for one in donor.layers}:
            # ResNet50 was trained on BGR; turning its first kernel lets it take RGB.
            values[0] = values[0][:, :, ::-1, :]
        model.get_layer(layer.name).set_weights(values)
        copied.append(layer.name)
    return copied


def _load_from_densenet121(model: keras.Model) -> tuple[str, list[str]]:
    """Copy DenseNet121's tensors up to the first layer that DenseNet169 has alone."""
    donor = {layer.name: layer for layer in _donor("densenet121").layers}
    copied = []
    for layer in learned_layers(model):
        values = donor[layer.name].get_weights() if layer.name in donor else []
        if [value.shape for value in values] != [weight.shape for weight in layer.weights]:
            break
        layer.set_weights(values)
        copied.append(layer.name)
    return "imagenet (densenet121 layers)", copied


def _load_from_lite0(model: keras.Model) -> tuple[str, list[str]]:
    """Copy EfficientNet-Lite0's convolutions, which have B0's shapes in B0's order.

    B0 adds squeeze-and-excitation, which starts almost open, and normalises its input
    differently, which is folded into the first kernel and its batch normalisation.
    """
    path = _local_file(LITE0_FILE)
    if path is None:
        raise _NotToBeHad(f"{LITE0_FILE} is not in PRETRAINED_DIR; put it there.")
    try:
        donor = keras.models.load_model(path, compile=False)
    except DAMAGED as error:
        raise ValueError(_damaged(path, "efficientnet-lite0")) from error
    names = [layer.name for layer in learned_layers(model) if "_se_" not in layer.name]
    names = [name for name in names if name.startswith(("stem_", "block", "top_"))]
    sources = [layer for layer in donor.layers if layer.weights]
    for name, source in zip(names, sources, strict=True):
        model.get_layer(name).set_weights(source.get_weights())
    kernel = donor.get_layer("stem_conv").get_weights()[0]
    scale = 255 * IMAGENET_STD / 128
    offset = (255 * IMAGENET_MEAN - 127) / 128
    model.get_layer("stem_conv").set_weights([kernel * scale[:, None]])
    gamma, beta, mean, variance = donor.get_layer("stem_bn").get_weights()
    shift = np.einsum("hwco,c->o", kernel, offset)
    model.get_layer("stem_bn").set_weights([gamma, beta, mean - shift, variance])
    for layer in model.layers:
        if layer.name.endswith("_se_expand"):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * 0.1, np.full_like(bias, 3.0)])
    return "imagenet (efficientnet-lite0 layers)", names
