"""A DenseNet's features on one scale, so that they can be rounded to whole numbers."""

from __future__ import annotations

import re

import keras
import numpy as np

from lesions import agreement

LAST_STAGE = 5


def equalise(model: keras.Model) -> keras.Model:
    """Gives every feature that a DenseNet hands on the same spread; its answers stay as they are.

    int8 has one scale for all channels of a tensor. A dense block concatenates the outputs of all
    its layers, so that channels of small spread would be rounded away beside those of large
    spread, which the batch normalisation behind them is about to scale down. Here the scaling is
    done where a channel is made, and undone in each normalisation that reads it (cross-layer
    equalisation: Nagel et al. 2019, arXiv:1906.04721).

    Args:
        model: From `models.build` or `models.load`; it stays as it is.

    Returns:
        An equal network with other weights, or the model itself where it has no dense block.
    """
    names = {layer.name for layer in model.layers}
    if "pool2_bn" not in names:  # a transition between dense blocks, which no other network has
        return model
    twin = agreement.copy(model)
    for stage in range(2, LAST_STAGE + 1):
        first = re.compile(rf"conv{stage}_block\d+_0_bn")
        blocks = [
            layer.name.removesuffix("_0_bn") for layer in twin.layers if first.fullmatch(layer.name)
        ]
        readers = [twin.get_layer(f"{block}_0_bn") for block in blocks]
        readers.append(twin.get_layer("bn" if stage == LAST_STAGE else f"pool{stage}_bn"))
        makers = ["conv1_bn" if stage == 2 else f"pool{stage - 1}_conv"]
        makers += [f"{block}_2_conv" for block in blocks]
        # The last reader sees all channels of the stage.
        scales = 1 / np.sqrt(np.asarray(readers[-1].moving_variance) + readers[-1].epsilon)
        for reader in readers:
            _undo(reader, scales)
        for name in makers:
            scales = _scale(twin.get_layer(name), scales)
    return twin


def _scale(layer, scales: np.ndarray) -> np.ndarray:
    """Scales the channels that a layer makes; gives the scales of all later channels."""
    weights = layer.get_weights()
    own = scales[: weights[0].shape[-1]]
    # A convolution without bias has its kernel alone; batch normalisation gamma, beta and more.
    for place in range(1 if isinstance(layer, keras.layers.Conv2D) else 2):
        weights[place] = weights[place] * own
    layer.set_weights(weights)
    return scales[len(own) :]


def _undo(layer: keras.layers.BatchNormalization, scales: np.ndarray) -> None:
    gamma, beta, mean, variance = layer.get_weights()
    own = scales[: len(mean)]
    variance = (variance + layer.epsilon) * own**2 - layer.epsilon
    layer.set_weights([gamma, beta, mean * own, variance])
