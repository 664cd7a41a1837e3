"""A network made ready for int8: every channel on a scale of its own, without its outliers."""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
from keras import layers, ops

# The end of ReLU6, which a converter joins with the convolution before it.
TOP = 6.0
# Of the extremes of a channel, photograph by photograph: what lies beyond is cut off.
QUANTILE = 0.99
# A channel that hardly ever moves is not stretched over the whole scale: this is its share.
LEAST = 0.02
_RELU = (layers.ReLU, layers.Activation)
_KNOWN = (
    *_RELU,
    layers.InputLayer,
    layers.Conv2D,
    layers.BatchNormalization,
    layers.Rescaling,
    layers.ZeroPadding2D,
    layers.MaxPooling2D,
    layers.AveragePooling2D,
    layers.GlobalAveragePooling2D,
    layers.Concatenate,
    layers.Dropout,
    layers.SpatialDropout2D,
    layers.Dense,
    layers.Softmax,
)


class _Scaled(NamedTuple):
    """A tensor of the new network: scale * tensor + offset is the old one, channel by channel."""

    tensor: keras.KerasTensor
    scale: np.ndarray
    offset: np.ndarray


class _Step(NamedTuple):
    """Convolution and normalisation in one, before it is known what its output is scaled by."""

    layer: keras.Layer
    kernel: np.ndarray
    bias: np.ndarray
    tensor: keras.KerasTensor


def prepare(model: keras.Model, photographs: np.ndarray) -> keras.Model:
    """Make a network whose features all lie between 0 and 6, each channel over its own range.

    int8 has 256 steps for all channels of a tensor together. A dense block concatenates the
    outputs of all its layers, so that a channel of small spread would be rounded away beside one
    of large spread or with rare outliers. Here each channel is scaled where it is made, which is
    undone in the next convolution (cross-layer equalisation: Nagel et al. 2019,
    arXiv:1906.04721), and cut off where one photograph in a hundred goes further.

    Args:
        model: From `models.build` or `models.load`; it stays as it is.
        photographs: uint8, (n, size, size, 3), RGB 0-255, training photographs from
            `Classifier.prepare`, a few hundred.

    Returns:
        A network of nearly the same answers, or the model itself where it has other layers than
        convolutions with ReLU, pooling and concatenation.
    """
    if not all(isinstance(layer, _KNOWN) for layer in model.layers):
        return model
    ranges = _ranges(model, photographs)
    made = {}
    for layer in model.layers:
        if isinstance(layer, layers.InputLayer):
            image = keras.Input(layer.batch_shape[1:], name=layer.name)
            made[id(layer.output)] = _Scaled(image, np.ones(1), np.zeros(1))
            continue
        sources = layer.input if isinstance(layer.input, list) else [layer.input]
        result = _follow(layer, [made[id(source)] for source in sources])
        if layer.name in ranges:
            result = _lay(result, *ranges[layer.name], layer.name)
        made[id(layer.output)] = result
    image, answer = (made[id(tensor)].tensor for tensor in (model.inputs[0], model.outputs[0]))
    return keras.Model(image, answer, name=model.name)


def _ranges(model: keras.Model, photographs: np.ndarray) -> dict[str, tuple]:
    """Find where each channel begins and how far it goes, for all that int8 will round."""
    normalised = {
        id(layer.input) for layer in model.layers if isinstance(layer, layers.BatchNormalization)
    }
    rounded = [
        layer
        for layer in model.layers
        if isinstance(layer, _RELU)
        or (isinstance(layer, layers.Conv2D) and id(layer.output) not in normalised)
    ]
    ends = [end(layer.output, (1, 2)) for layer in rounded for end in (ops.min, ops.max)]
    probe = keras.Model(model.inputs, ends)
    extremes = probe.predict(photographs.astype(np.float32), batch_size=8, verbose=0)
    ranges = {}
    for layer, low, high in zip(rounded, extremes[::2], extremes[1::2], strict=True):
        # Zero stays zero behind a ReLU, for the padding of the convolution that follows.
        low = 0.0 if isinstance(layer, _RELU) else np.quantile(low, 1 - QUANTILE, axis=0)
        width = np.quantile(high, QUANTILE, axis=0) - low
        low = np.broadcast_to(low, width.shape)
        ranges[layer.name] = low, np.maximum(width, max(LEAST * width.mean(), 1e-6))
    return ranges


def _follow(layer, sources: list):
    """Take what the sources are into account in the weights that read them."""
    source = sources[0]
    if isinstance(source, _Step):
        if isinstance(layer, layers.BatchNormalization):
            factor, shift = _affine(layer)
            kernel, bias = source.kernel * factor, source.bias * factor + shift
            return source._replace(kernel=kernel, bias=bias)
        return source  # a ReLU, which is laid with the step
    if isinstance(layer, layers.Concatenate):
        tensor = _copy(layer)([one.tensor for one in sources])
        parts = zip(*(one[1:] for one in sources), strict=True)
        return _Scaled(tensor, *(np.concatenate(part) for part in parts))
    tensor, scale, offset = source
    if isinstance(layer, layers.BatchNormalization):
        factor, shift = _affine(layer)
        kernel = (factor * scale).reshape(1, 1, 1, -1)
        return _Step(layer, kernel, factor * offset + shift, tensor)
    if isinstance(layer, (layers.Conv2D, layers.Dense)):
        kernel, *bias = map(np.asarray, layer.get_weights())
        added = (kernel * offset[:, np.newaxis]).reshape(-1, kernel.shape[-1]).sum(axis=0)
        kernel, bias = kernel * scale[:, np.newaxis], sum(bias, added)
        if isinstance(layer, layers.Conv2D):
            return _Step(layer, kernel, bias, tensor)
        twin = _copy(layer)
        result = _Scaled(twin(tensor), np.ones(1), np.zeros(1))
        twin.set_weights([kernel, bias])
        return result
    return _Scaled(_copy(layer)(tensor), scale, offset)


def _lay(step: _Step, low: np.ndarray, width: np.ndarray, name: str) -> _Scaled:
    """Make the layer of a step, whose output goes from 0 to 6, and cuts off the rest."""
    scale = width / TOP
    if isinstance(step.layer, layers.Conv2D):
        layer = _copy(step.layer, use_bias=True)
    else:
        layer = layers.DepthwiseConv2D(1, name=step.layer.name)
    tensor = layer(step.tensor)
    kernel = (step.kernel / scale).reshape(layer.kernel.shape)
    layer.set_weights([kernel, (step.bias - low) / scale])
    end = name if name != step.layer.name else f"{name}_bound"
    return _Scaled(layers.ReLU(TOP, name=end)(tensor), scale, low)


def _affine(layer: layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    gamma, beta, mean, variance = map(np.asarray, layer.get_weights())
    factor = gamma / np.sqrt(variance + layer.epsilon)
    return factor, beta - mean * factor


def _copy(layer: keras.Layer, **changes) -> keras.Layer:
    return type(layer).from_config(layer.get_config() | changes)
