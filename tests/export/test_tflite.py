"""TensorFlow Lite files: smaller weights, nearly the same answers."""

import numpy as np
import pytest

from lesions import export
from lesions.export import comparison


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
