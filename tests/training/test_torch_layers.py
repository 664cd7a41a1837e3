"""PyTorch's own kernels give what Keras' layers give."""

import pytest

pytest.importorskip("torch", reason="torch is not installed")

# Another process, because a process has one Keras backend.
COMPARE = """
import keras, numpy as np, torch
from lesions.training import torch_layers

def pieces():
    keras.utils.set_random_seed(1)
    image = keras.Input((12, 12, 3))
    tensor = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    tensor = keras.layers.BatchNormalization(momentum=0.9)(tensor)
    tensor = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(tensor)
    tensor = keras.layers.BatchNormalization(scale=False)(tensor)
    tensor = keras.layers.Conv2D(8, 3, padding="same", groups=2)(tensor)
    tensor = keras.layers.Conv2D(8, 1, strides=2, padding="valid")(tensor)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(tensor))

def results(model):
    images = np.random.default_rng(0).normal(size=(4, 12, 12, 3)).astype("float32")
    trained = model(images, training=True)
    loss = (trained * torch.arange(8)).sum()
    loss.backward()
    gradients = [weight.value.grad for weight in model.trainable_weights]
    resting = model(images, training=False)
    found = [trained, resting, *gradients, *(weight.value for weight in model.weights)]
    return [one.detach().numpy().copy() for one in found]

ours, plain = pieces(), pieces()
with torch_layers.native(ours):
    changed = [layer.name for layer in ours.layers if "call" in vars(layer)]
    assert len(changed) == 6 and not any("call" in vars(layer) for layer in plain.layers)
    native = results(ours)
for number, (one, other) in enumerate(zip(results(plain), native, strict=True)):
    print(number, one.shape, np.abs(one - other).max() / max(1e-3, np.abs(one).max()))
"""


def test_outputs_gradients_and_statistics_are_keras_own(python):
    lines = python(COMPARE, KERAS_BACKEND="torch").splitlines()
    assert len(lines) > 20
    assert max(float(line.split()[-1]) for line in lines) < 1e-4


WITHOUT_RENORM = """
import keras, numpy as np
from lesions.training import torch_layers

model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.BatchNormalization()])
vars(model.layers[-1]).pop("renorm", None)  # as in Keras 3.13
calls = [vars(layer).get("call") for layer in model.layers]
with torch_layers.native(model):
    model(np.zeros((1, 8, 8, 3), "float32"), training=True)
print(calls == [vars(layer).get("call") for layer in model.layers])
"""


def test_an_earlier_keras_is_used_too_and_nothing_stays_behind(python):
    assert python(WITHOUT_RENORM, KERAS_BACKEND="torch").split() == ["True"]
