"""The pilot: predictions of another clinic's set beside a run, and the choice between runs."""

import shutil

import numpy as np
import pandas as pd
import pytest

from lesions import evaluation, inference
from lesions.data import images
from lesions.networks import models
from lesions.study import pilot


@pytest.mark.parametrize("constancy", [None, "shades_of_grey"])
def test_a_run_predicts_an_external_set(constancy, demo_folder, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("EXTERNAL_DIR", str(tmp_path / "external"))
    monkeypatch.setenv("LESIONS_BUILD", str(tmp_path / "build"))
    shutil.copytree(demo_folder, tmp_path / "external" / pilot.SET)
    (tmp_path / "run").mkdir()
    model, details = models.load(tiny_model)
    details["colour_constancy"] = constancy
    models.save(model, tmp_path / "run" / "model.h5", details)
    path = pilot.predict_elsewhere(tmp_path / "run")
    found = evaluation.read_predictions(path)
    assert found["image_id"].is_unique and len(found) > 100
    row = found.iloc[5]
    photograph = next((tmp_path / "external").rglob(f"{row['image_id']}.jpg"))
    classifier = inference.Classifier(tmp_path / "run" / "model.h5", tta=False)
    prepared = images.prepare(photograph, classifier.image_size, colour_constancy=constancy)
    expected = np.asarray(classifier.model(prepared[None].astype(np.float32)))[0]
    assert row[list(evaluation.CODES)].to_numpy(float) == pytest.approx(expected, abs=1e-5)


def test_finished_runs_of_any_hardware_are_published_without_weights(
    demo_folder, demo_metadata, tiny_model, tmp_path, monkeypatch
):
    monkeypatch.setenv("EXTERNAL_DIR", str(tmp_path / "external"))
    monkeypatch.setenv("LESIONS_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(pilot, "MODELS", tmp_path / "models")
    shutil.copytree(demo_folder, tmp_path / "external" / pilot.SET)
    with pytest.raises(ValueError, match="no finished run of a fold"):
        pilot.publish(tmp_path)
    for name in ("gpu/cnn-fold0-a", "gpu/cnn-fold0-b.partial", "cpu/cnn"):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        shutil.copy(tiny_model, folder / "model.h5")
        for file in ("config.json", "metrics.json", "checkpoint.npz", "history.csv"):
            (folder / file).write_text("{}")
    (written,) = pilot.publish(tmp_path)
    assert written == tmp_path / "models" / "cnn-fold0-a"
    names = sorted(path.name for path in written.iterdir())
    assert names == ["config.json", "history.csv", "isic2017.csv", "metrics.json"]


def test_without_external_photographs_it_says_how_to_name_them(tmp_path, monkeypatch):
    monkeypatch.delenv("EXTERNAL_DIR", raising=False)
    with pytest.raises(ValueError, match="set EXTERNAL_DIR to their folder"):
        pilot.predict_elsewhere(tmp_path)


@pytest.mark.parametrize(
    ("macro_auc", "chosen"),
    [
        ((0.950, 0.949, 0.948), "scale"),
        ((0.950, 0.948, 0.946), "colour"),
        ((0.950, 0.946, 0.946), "standard"),
    ],
)
def test_the_one_that_travels_best_is_chosen_among_those_that_lose_nothing(macro_auc, chosen):
    table = pd.DataFrame(
        {"macro_auc": (*macro_auc, 0.96), "melanoma_auc": (0.70, 0.75, 0.80, 0.90)},
        index=["standard", "colour", "scale", "mixup"],  # the last was tried after the choice
    )
    assert pilot.choose(table) == chosen


@pytest.mark.parametrize("late", [0.74, 0.90])
def test_the_table_says_what_the_rule_would_have_chosen_afterwards(late):
    rows = {name: (0.95, 0.70) for name in pilot.recipes.PILOT} | {"mixup": (0.95, late)}
    rows["colour"] = (0.95, 0.75)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["macro_auc", "melanoma_auc"])
    for name in pilot.METRICS:
        table[[f"{name}_difference{end}" for end in ("", "_low", "_high")]] = 0.0
    text = pilot.block(table.assign(log_loss=0.5), None)
    assert "| mixup, after the choice |" in text and "Chosen: **colour**." in text
    assert ("would have chosen mixup" in text) == (late == 0.90)
