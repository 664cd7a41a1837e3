"""The loss and the steps of a training."""

import keras
import numpy as np
import pytest

from lesions.training import losses


def test_logit_adjusted_loss_asks_a_rare_class_for_less_than_its_share():
    """Its best answer to one picture of every row is the posterior under equal frequencies."""
    counts = np.array([50, 30, 10, 4, 3, 2, 1])
    loss = losses.loss("logit_adjusted", np.repeat(np.arange(7), counts))
    labels, frequencies = np.eye(7, dtype=np.float32), counts / 100
    equal = np.full((7, 7), 1 / 7, dtype=np.float32)
    found = keras.ops.convert_to_numpy(loss(labels, equal))
    assert np.allclose(found, -np.log(frequencies), atol=1e-5)
    # Labels drawn by frequency are explained best by equal answers, worse by the frequencies.
    skewed = np.tile(frequencies.astype(np.float32), (7, 1))
    worse = keras.ops.convert_to_numpy(loss(labels, skewed))
    assert frequencies @ found < frequencies @ worse - 0.1


def test_early_layers_take_smaller_steps():
    """The first step of Adam is as long as the learning rate, whatever the gradient."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((5,)), *(keras.layers.Dense(4) for _ in range(3))])
    shares = losses.layer_shares(model, 0.01)
    assert np.allclose(shares, [0.01, 0.01, 0.1, 0.1, 1, 1])
    before = model.get_weights()
    model.compile(losses.LayerwiseAdamW(0.1, shares, weight_decay=0.0), "mse")
    random = np.random.default_rng(1)
    model.train_on_batch(random.normal(size=(8, 5)), random.normal(size=(8, 4)))
    for old, new, share in zip(before, model.get_weights(), shares, strict=True):
        assert np.abs(new - old).max() == pytest.approx(0.1 * share, rel=1e-2)
