"""TensorFlow Lite files: smaller weights, nearly the same answers."""

import numpy as np
import pytest

from lesions import export
from lesions.export import comparison
from lesions.inference import lite
from lesions.networks import models


@pytest.mark.slow
def test_published_network_keeps_its_answers(best_classifier, demo_metadata, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "REPEATS", 3)
    original = best_classifier
    place = tmp_path / "a.tflite"
    path, _ = export.export(original.model, original.details, "tflite", place, "int8")
    rows = demo_metadata[demo_metadata["split"] == "validation"]
    prepared = np.stack([original.prepare(one) for one in rows["image_path"]])
    table = export.compare(original, {"int8": path}, prepared, rows["label"].to_numpy())
    assert table.loc["int8", "mean_difference"] < 0.005
    score = table["balanced_accuracy"]
    assert score["int8"] > score.iloc[0] - 0.05


def test_a_network_given_age_sex_and_site_keeps_both_inputs(tmp_path):
    path = models.save(
        models.build("cnn", 64, "random", True), tmp_path / "given.h5", {"run": "given"}
    )
    path, checked = export.export(*models.load(path), "tflite", tmp_path / "given.tflite")
    assert checked.startswith("Checked: the same probabilities")
    network, details = lite.load(path)
    assert [one.name for one in network.inputs] == ["image", "patient"] and details["patient"]
