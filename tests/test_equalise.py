"""Equalisation: the same answers from features of one scale."""

import numpy as np
import pytest

from lesions import equalise, models


@pytest.fixture(scope="module")
def densenet():
    """DenseNet121 whose features differ in spread by a factor of ten."""
    model = models.build("densenet121", 64, "random", seed=1)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("_bn") or layer.name == "bn":
            gamma, beta, mean, variance = layer.get_weights()
            variance = 10 ** random.uniform(-0.5, 0.5, variance.shape)
            layer.set_weights([gamma, random.normal(0, 0.1, beta.shape), mean, variance])
    return model


def test_answers_stay_and_features_get_one_spread(densenet):
    before = [weight.copy() for weight in densenet.get_weights()]
    twin = equalise.equalise(densenet)
    pixels = np.random.default_rng(1).uniform(0, 255, (4, 64, 64, 3)).astype(np.float32)
    answers = [np.asarray(one.predict_on_batch(pixels)) for one in (densenet, twin)]
    assert np.ptp(answers[0], axis=0).max() > 1e-4
    assert np.abs(answers[0] - answers[1]).max() < 1e-5
    for name in ("pool2_bn", "pool3_bn", "pool4_bn", "bn"):
        assert np.allclose(twin.get_layer(name).get_weights()[3], 1, atol=1e-4)
    assert all(map(np.array_equal, before, densenet.get_weights()))


@pytest.mark.parametrize("architecture", ["cnn", "resnet50"])
def test_network_without_dense_blocks_is_left_alone(architecture):
    model = models.build(architecture, 64, "random")
    assert equalise.equalise(model) is model
