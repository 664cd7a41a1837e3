"""The pilot: its runs with their predictions of other clinics, and the choice between them."""

import json
import shutil

import pandas as pd
import pytest

from lesions.evaluation import Interval, external
from lesions.study import pilot
from lesions.training import runs


def test_finished_runs_of_any_hardware_are_published_without_weights(
    demo_folder, demo_metadata, tiny_model, tmp_path, monkeypatch
):
    monkeypatch.setenv("EXTERNAL_DIR", str(tmp_path / "external"))
    monkeypatch.setenv("LESIONS_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(pilot, "MODELS", tmp_path / "models")
    for name in external.SETS:
        shutil.copytree(demo_folder, tmp_path / "external" / name)
    with pytest.raises(ValueError, match="no finished run of a fold"):
        pilot.publish(tmp_path)
    fold, student, neither = {"fold": 0}, {"answers_from": "cnn-a"}, {"fold": None}
    left = {
        "gpu/cnn-b.partial": fold,
        "demo/cnn-c": fold,
        "cpu-quick/cnn-d": fold,
        "cpu/e": neither,
    }
    for name, config in {"cpu/cnn-student": student, "gpu/cnn-a": fold, **left}.items():
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        shutil.copy(tiny_model, folder / "model.h5")
        for file in ("metrics.json", "checkpoint.npz", "history.csv"):
            (folder / file).write_text("{}")
        (folder / "config.json").write_text(json.dumps({"config": config}))
    published = pilot.publish(tmp_path)
    assert published == [tmp_path / "models" / name for name in ("cnn-student", "cnn-a")]
    for written in published:
        names = sorted(path.name for path in written.iterdir())
        assert names == ["config.json", "history.csv", "isic2017.csv", "metrics.json", "ph2.csv"]


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


def test_a_pilot_without_its_mildest_augmentation_is_named(tmp_path, monkeypatch):
    (colour,) = pilot.MODELS.glob("*-pilot-colour-*")
    shutil.copytree(colour, tmp_path / colour.name)
    monkeypatch.setattr(pilot, "MODELS", tmp_path)
    with pytest.raises(ValueError, match="no pilot run of standard"):
        pilot.compare()


@pytest.mark.parametrize("late", [0.74, 0.90])
def test_the_table_says_what_the_rule_would_have_chosen_afterwards(late):
    rows = {name: (0.95, 0.70) for name in pilot.recipes.PILOT} | {"mixup": (0.95, late)}
    rows["colour"] = (0.95, 0.75)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["macro_auc", "melanoma_auc"])
    for name in pilot.METRICS:
        table[f"{name}_difference"] = [Interval(0.0, 0.0, 0.0)] * len(table)
    text = pilot.block(table.assign(log_loss=0.5), None)
    assert "| mixup, after the choice |" in text and "Chosen: **colour**" in text
    assert ("would have chosen mixup" in text) == (late == 0.90)


def test_an_earlier_copy_keeps_its_predictions_of_other_clinics_only_of_the_same_training(tmp_path):
    run, copied = tmp_path / "build" / "run", tmp_path / "models" / "run"
    for folder in (run, copied):
        folder.mkdir(parents=True)
        (folder / "predictions.csv").write_text("the same")
    (copied / "ph2.csv").write_text("of another clinic")
    assert runs.copy_records(run, copied.parent) == copied
    assert (copied / "ph2.csv").read_text() == "of another clinic"
    (run / "predictions.csv").write_text("of another training")
    runs.copy_records(run, copied.parent)
    assert not (copied / "ph2.csv").exists()
