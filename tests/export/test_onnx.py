"""ONNX files: the same probabilities, class activation maps, and weights in few bits."""

import json

import numpy as np
import pytest

from lesions import classes, export
from lesions.networks import models

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
DETAILS = {"classes": list(classes.CODES), "image_size": 64}


def run(path, images):
    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"image": images}), strict=True))


@pytest.fixture(scope="module")
def network():
    """A ResNet18 whose last layer has biases."""
    model = models.build("resnet18", 64, "random", seed=1)
    kernel, bias = model.get_layer("logits").get_weights()
    bias = np.linspace(-1, 1, len(bias)).astype(np.float32)
    model.get_layer("logits").set_weights([kernel, bias])
    return model


@pytest.fixture(scope="module")
def images():
    """Noise, float32, (5, 64, 64, 3)."""
    return np.random.default_rng(1).uniform(0, 255, (5, 64, 64, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("precision", "share", "tolerance"),
    [("float32", 1.05, 1e-5), ("float16", 0.55, 2e-3), ("int8", 0.3, 2e-2)],
)
def test_probabilities_and_maps(network, images, tmp_path, precision, share, tolerance):
    path, checked = export.export(network, DETAILS, "onnx", tmp_path / "a.onnx", precision)
    assert checked.startswith("Checked")
    assert path.stat().st_size < share * 4 * network.count_params() + 100_000
    found = run(path, images)
    assert list(found) == ["probabilities", "activation_maps"]
    expected = np.asarray(network(images, training=False))
    assert np.abs(found["probabilities"] - expected).max() < tolerance
    maps = found["activation_maps"]
    assert maps.shape == (5, 2, 2, 7) and maps.dtype == np.float32
    # The mean of a map is its class's logit without the bias.
    logits = maps.mean(axis=(1, 2)) + network.get_layer("logits").get_weights()[1]
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert np.abs(odds / odds.sum(axis=1, keepdims=True) - found["probabilities"]).max() < 2e-2
    described = json.loads((tmp_path / "a.onnx.json").read_text())
    assert list(described["outputs"]) == list(found) and described["precision"] == precision
    assert "mean over the places" in described["outputs"]["activation_maps"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.onnx", "a.onnx.json"]


def test_network_with_other_layers_behind_the_pooling_has_no_maps(images, tmp_path):
    model = models.build("cnn", 64, "random")
    path, _ = export.export(model, DETAILS, "onnx", tmp_path / "a.onnx")
    assert list(run(path, images)) == ["probabilities"]
    assert list(json.loads((tmp_path / "a.onnx.json").read_text())["outputs"]) == ["probabilities"]


def test_a_different_answer_is_not_written(images, tmp_path, one_sentence):
    model = models.build("resnet18", 64, "random", seed=1)
    kernel, bias = model.get_layer("logits").get_weights()
    # Beside the first weight of a column, the others are too small for its scale.
    kernel = np.ones_like(kernel) * 0.04 * (np.arange(kernel.shape[1], dtype=np.float32) % 2)
    kernel[0] = 3000
    model.get_layer("logits").set_weights([kernel, bias])
    with pytest.raises(ValueError) as error:
        export.export(model, DETAILS, "onnx", tmp_path / "a.onnx", "float16")
    one_sentence(error, "answers differently")
    assert list(tmp_path.iterdir()) == []
