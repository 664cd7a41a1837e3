"""Convolution and batch normalisation by PyTorch's own kernels, where Keras runs on PyTorch.

Keras spells batch normalisation out in a dozen float32 steps and copies every picture between
two memory layouts before a convolution. PyTorch has one kernel for each, in bfloat16 too, which
takes a third off the training time of a DenseNet (see benchmarks/README.md).
"""

import contextlib
import functools

import keras
from keras import layers


@contextlib.contextmanager
def native(model: keras.Model):
    """Let the layers of one network use PyTorch's kernels inside a `with` block.

    These are its convolutions and batch normalisations. Outputs, gradients and moving statistics
    are Keras' own to rounding. Layers that PyTorch has no single kernel for (a border and strides
    together, groups, dilation) are left to Keras; on other backends nothing is changed.
    """
    kernels = {layers.Conv2D: _convolve, layers.BatchNormalization: _normalise}
    changed = []
    if keras.backend.backend() == "torch":
        changed = [layer for layer in model.layers if type(layer) in kernels]
    for layer in changed:
        layer.call = _on_tensors(layer, kernels[type(layer)], layer.call)
    try:
        yield
    finally:
        for layer in changed:
            del layer.call  # that of its class takes over again


def _on_tensors(layer, fast, original):
    @functools.wraps(original)  # Keras reads from the signature whether to pass `training`
    def call(inputs, *args, **kwargs):
        # Graphs are built on symbolic tensors and on PyTorch's "meta" device, which hold no data.
        symbolic = not hasattr(inputs, "device") or inputs.device.type == "meta"
        plain = not symbolic and inputs.ndim == 4
        result = fast(layer, inputs, *args, **kwargs) if plain else None
        return original(inputs, *args, **kwargs) if result is None else result

    return call


def _channels_first(images):
    """View (n, height, width, channels) as (n, channels, height, width) without a copy."""
    import torch

    # The memory stays as it is: this is what PyTorch calls channels_last.
    return images.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def _convolve(layer: layers.Conv2D, inputs):
    from torch.nn import functional

    same = layer.padding == "same"
    padding = [side // 2 for side in layer.kernel_size] if same else 0
    # A kernel of one pixel needs no border whatever its stride.
    bordered = same and set(layer.kernel_size) != {1}
    odd = all(side % 2 for side in layer.kernel_size)
    if bordered and (set(layer.strides) != {1} or not odd):
        return None
    if layer.groups != 1 or set(layer.dilation_rate) != {1}:
        return None
    kernel = layer.kernel.value.permute(3, 2, 0, 1)
    bias = layer.bias.value.to(inputs.dtype) if layer.use_bias else None
    outputs = functional.conv2d(
        _channels_first(inputs), kernel.to(inputs.dtype), bias, layer.strides, padding
    )
    return layer.activation(outputs.permute(0, 2, 3, 1))


def _normalise(layer: layers.BatchNormalization, inputs, training=None, mask=None):
    import torch

    renorm = getattr(layer, "renorm", False)  # Keras before 3.14 does not know it
    if layer.axis not in (3, -1) or renorm or layer.synchronized or mask is not None:
        return None
    images = _channels_first(inputs)
    means, variances = layer.moving_mean.value, layer.moving_variance.value
    gamma = layer.gamma.value if layer.scale else torch.ones_like(means)
    beta = layer.beta.value if layer.center else torch.zeros_like(means)
    if not (training and layer.trainable):
        outputs = torch.nn.functional.batch_norm(
            images, means, variances, gamma, beta, eps=layer.epsilon
        )
        return outputs.permute(0, 2, 3, 1)
    outputs, mean, inverse = torch.native_batch_norm(
        images, gamma, beta, None, None, True, 0.0, layer.epsilon
    )
    with torch.no_grad():
        variance = inverse.pow(-2) - layer.epsilon
        for moving, value in ((means, mean), (variances, variance)):
            moving.lerp_(value.to(moving.dtype), 1 - layer.momentum)
    return outputs.permute(0, 2, 3, 1)
