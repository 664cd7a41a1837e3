"""TensorFlow Lite files: smaller weights, nearly the same answers."""

import numpy as np
import pytest

from lesions import classes, export, inference
from lesions.networks import models


@pytest.fixture(scope="module")
def model():
    return models.build("resnet18", 64, "random", seed=1)


@pytest.mark.parametrize(("precision", "share"), [("float16", 0.55), ("int8", 0.35)])
def test_smaller_weights_answer_alike(model, tmp_path, precision, share):
    details = {"classes": list(classes.CODES), "image_size": 64}
    path, checked = export.export(model, details, "tflite", tmp_path / "a.tflite", precision)
    assert checked.startswith("Checked")
    assert path.stat().st_size < share * 4 * model.count_params() + 100_000
    images = np.random.default_rng(1).uniform(0, 255, (5, 64, 64, 3)).astype(np.float32)
    found = inference.lite.LiteModel(path).predict_on_batch(images)
    assert np.abs(found - np.asarray(model(images, training=False))).max() < 2e-2


@pytest.mark.slow
def test_published_network_keeps_its_answers(best_classifier, demo_metadata, tmp_path):
    original = best_classifier
    place = tmp_path / "a.tflite"
    path, _ = export.export(original.model, original.details, "tflite", place, "int8")
    rows = demo_metadata[demo_metadata["split"] == "validation"]
    prepared = np.stack([original.prepare(one) for one in rows["image_path"]])
    table = export.compare(original, {"int8": path}, prepared, rows["label"].to_numpy(), repeats=3)
    assert table.loc["int8", "mean_difference"] < 0.005
    score = table["balanced_accuracy"]
    assert score["int8"] > score.iloc[0] - 0.05
