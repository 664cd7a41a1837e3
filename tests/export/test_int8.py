"""A network made ready for int8: the same answers from features between 0 and 6."""

import keras
import numpy as np
import pytest
from keras import layers

from lesions import data, export, inference
from lesions.cli import export as export_command
from lesions.export import int8
from lesions.networks import models


def spread(model):
    """Draws what batch normalisation multiplies by, so that features differ in spread."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            variance = 10 ** random.uniform(-0.5, 0.5, variance.shape)
            mean, beta = random.normal(0, 0.1, (2, *mean.shape))
            layer.set_weights([gamma, beta, mean, variance])
    return model


@pytest.fixture(scope="module")
def photographs():
    """Noise, uint8, (24, 64, 64, 3)."""
    return np.random.default_rng(1).integers(0, 256, (24, 64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("architecture", ["densenet121", "cnn", "cnn_densenet121"])
def test_answers_stay_and_features_lie_on_one_scale(architecture, photographs):
    model = spread(models.build(architecture, 64, "random", seed=1))
    before = [weight.copy() for weight in model.get_weights()]
    twin = int8.prepare(model, photographs)
    pixels = photographs.astype(np.float32)
    answers = [np.asarray(one.predict_on_batch(pixels)) for one in (model, twin)]
    moves = np.ptp(answers[0], axis=0).max()
    assert moves > 1e-4
    assert np.abs(answers[0] - answers[1]).max() < 0.1 * moves
    bounded = [layer.output for layer in twin.layers if isinstance(layer, layers.ReLU)]
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in twin.layers)
    for features in keras.Model(twin.inputs, bounded).predict(pixels, verbose=0):
        reached = features.max((0, 1, 2))
        assert features.min() == 0 and reached.max() == pytest.approx(6)
        assert np.mean(reached > 5.5) > 0.5
    assert all(map(np.array_equal, before, model.get_weights()))


def test_outlier_is_cut_off(photographs):
    model = models.build("cnn", 64, "random", seed=1)
    twin = int8.prepare(model, np.minimum(photographs, 60))
    first = keras.Model(twin.inputs, twin.get_layer("cnn_block1_1_relu").output)
    assert first.predict(np.full((1, 64, 64, 3), 255.0), verbose=0).max() == pytest.approx(6)


@pytest.mark.parametrize("architecture", ["resnet50", "efficientnetb0"])
def test_network_of_other_layers_is_left_alone(architecture, photographs):
    model = models.build(architecture, 64, "random")
    assert int8.prepare(model, photographs) is model


@pytest.mark.slow
def test_published_network_keeps_its_answers(ham10000, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    original = inference.Classifier(inference.BEST_MODEL)
    calibration = export_command.calibration_images(original, number=70)
    path, checked = export.export(
        original.model, original.details, "tflite", tmp_path / "a.tflite", "int8", calibration
    )
    assert checked.startswith("Checked")
    rows = data.with_split(data.read_metadata(ham10000))
    rows = rows[rows["split"] == "validation"].groupby("dx").head(15)
    prepared = np.stack([original.prepare(one) for one in rows["image_path"]])
    table = export.compare(original, {"int8": path}, prepared, rows["label"].to_numpy(), repeats=3)
    assert table.loc["int8", "mean_difference"] < 0.02
    score = table["balanced_accuracy"]
    assert score["int8"] > score.iloc[0] - 0.05  # of 105 photographs, three change it by 0.03
