"""How a network is trained: its phases, its rates, and what it goes on from."""

import dataclasses
import itertools
import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
import tiny
from sklearn.metrics import log_loss

from lesions import classes, evaluation, training
from lesions.data import images
from lesions.networks import models, views
from lesions.training import earlier, trainer

CODES = list(classes.CODES)
RESULTS = ["config.json", "history.csv", "metrics.json", "model.h5", "predictions.csv"]


# How it trains


def test_head_phase_leaves_pretrained_layers_alone(few, demo_store, tmp_path, one_step):
    config = dataclasses.replace(one_step, head_epochs=1, freeze_batch_norm=True)
    trainer = training.Trainer(config, few, demo_store, tmp_path)
    backbone = [layer for layer in trainer.model.layers if layer.name.startswith("tiny_")]
    trainer.model.pretrained_layers = [layer.name for layer in backbone if layer.weights]

    def values():
        return {
            variable.path: keras.ops.convert_to_numpy(variable).copy()
            for variable in trainer.model.weights
        }

    def changed(before, after):
        return {path for path in before if not np.array_equal(before[path], after[path])}

    start = values()
    trainer.start_phase("head", 1)
    trainer.train_epoch(0, 2)
    after_head = values()
    moved = changed(start, after_head)
    assert any(path.startswith("logits") for path in moved)
    assert not any(path.startswith("tiny_") for path in moved)

    trainer.start_phase("all", 1)
    trainer.train_epoch(1, 2)
    moved = changed(after_head, values())
    assert any("_conv/kernel" in path for path in moved)
    assert not any("_bn/" in path for path in moved)


def test_every_option_trains(demo_metadata, demo_store, tmp_path, config):
    config = dataclasses.replace(
        config,
        epochs=1,
        patient=True,
        oversampling=True,
        class_weighting="none",
        loss="focal",
        label_smoothing=0.1,
        mixup=0.2,
        augmentation="strong",
        freeze_batch_norm=True,
        keep="last",
        precision="bfloat16",
    )
    run = training.read_run(training.train(config, demo_metadata, demo_store, tmp_path))
    assert run.record["precision"] == "bfloat16"
    model, _ = models.load(run.folder / "model.h5")
    assert model.dtype_policy.name == "float32"
    assert {variable.dtype for variable in model.weights} <= {"float32", "uint32"}


def test_repeated_rows_get_one_and_the_same_answer(few, demo_store, tmp_path, one_step):
    """Oversampled before the split, which notebook 07 does on purpose, photographs repeat."""
    rows = pd.concat([few, few[few["split"] == "test"]], ignore_index=True)
    config = dataclasses.replace(one_step, protocol="oversampled")
    run = training.read_run(training.train(config, rows, demo_store, tmp_path))
    assert run.predictions["image_id"].tolist() == rows[rows.split != "train"]["image_id"].tolist()
    answers = run.predictions.groupby("image_id")[CODES]
    assert (answers.nunique() == 1).all(axis=None) and (answers.size() == 2).any()


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_network_of_the_epoch_that_is_kept(
    keep, few, demo_store, tmp_path, one_step, monkeypatch
):
    """At such a rate, with batch normalisation still unsettled, scores jump up and down."""
    monkeypatch.setattr(views, "images_a_step", lambda: 4)
    assert (few["split"] == "validation").sum() % 4  # so the last step is filled up
    config = dataclasses.replace(one_step, epochs=5, learning_rate=0.1, keep=keep)
    found = training.read_run(training.train(config, few, demo_store, tmp_path))
    scores, losses = found.history["val_balanced_accuracy"], found.history["val_loss"]
    assert scores.idxmax() != 4 and losses.nunique() == 5
    kept = {"best": scores.idxmax(), "last": 4}[keep]
    assert found.record["best_epoch"] == kept + 1
    rows = few[few["split"] == "validation"]
    network, _ = models.load(found.folder / "model.h5")
    answers = views.predict(
        network, demo_store.images[demo_store.rows(rows["image_id"])], tta=False
    )
    loss = log_loss(rows["label"], answers.astype(float), labels=range(7))
    assert loss == pytest.approx(losses[kept], rel=1e-3)


def test_images_a_second_count_rows_where_a_batch_is_larger(
    few, demo_store, tmp_path, one_step, monkeypatch
):
    clock = SimpleNamespace(time=itertools.count().__next__)  # a step takes a second
    monkeypatch.setattr(trainer, "time", clock)
    config = dataclasses.replace(one_step, batch_size=4096)
    begun = tiny.begin(config, few, demo_store, tmp_path)
    rows = (few["split"] == "train").sum()
    assert begun.history[0]["images_per_second"] == rows


def test_learning_rate_warms_up_and_falls(few, demo_store, tmp_path, one_step):
    """A quarter of eight epochs is warm-up: half the rate after one, all of it after two."""
    config = dataclasses.replace(one_step, epochs=8, warmup_steps=10_000)
    rates = training.read_run(training.train(config, few, demo_store, tmp_path)).history[
        "learning_rate"
    ]
    assert rates[0] == pytest.approx(config.learning_rate / 2)
    assert rates[1] == pytest.approx(config.learning_rate)
    assert rates[1:].is_monotonic_decreasing
    assert rates[7] == pytest.approx(config.learning_rate / 100)


def test_a_fold_is_predicted_out_of_fold(few, demo_store, tmp_path, one_step):
    outside = few[few["split"] != "test"]
    number = outside.groupby("dx")["lesion_id"].transform(lambda ids: pd.factorize(ids)[0])
    rows = few.assign(
        fold=number.reindex(few.index, fill_value=-1)
    )  # a lesion of every class in both
    names = set()
    for fold in (0, 1):
        config = dataclasses.replace(one_step, fold=fold)
        found = training.read_run(training.train(config, rows, demo_store, tmp_path))
        names.add(found.folder.name)
        assert f"fold{fold}" in found.folder.name
        held_out = rows.loc[rows["fold"] == fold, "image_id"]
        splits = dict(iter(found.predictions.groupby("split")["image_id"]))
        assert set(splits["validation"]) == set(held_out)
        assert set(splits["test"]) == set(few.loc[few["split"] == "test", "image_id"])
        assert found.record["images"]["train"] == len(outside) - len(held_out)
    assert len({*names, training.run_name(one_step, rows)}) == 3


# Going on from an earlier run


def test_start_from_an_earlier_run_at_another_size(run, runs, few, tmp_path, one_step):
    store = images.ImageStore(few, 96, tmp_path)
    config = dataclasses.replace(
        one_step, image_size=96, learning_rate=1e-30, start=run.folder.name
    )
    later = training.read_run(training.train(config, few, store, runs))
    assert later.record["initial_weights"] == f"random, then {run.folder.name}"
    kernels = [
        models.load(one.folder / "model.h5")[0].get_layer("logits").get_weights()[0]
        for one in (run, later)
    ]
    assert np.array_equal(*kernels)


def test_start_from_another_network(run, runs, few, demo_store, one_sentence, one_step):
    config = dataclasses.replace(one_step, architecture="cnn", start=run.folder.name)
    with pytest.raises(ValueError) as error:
        training.train(config, few, demo_store, runs)
    one_sentence(error, run.folder.name, "tiny", "cnn")
    config = dataclasses.replace(one_step, patient=True, start=run.folder.name)
    with pytest.raises(ValueError) as error:
        training.train(config, few, demo_store, runs)
    one_sentence(error, run.folder.name, "age, sex and site")


def test_start_from_a_run_that_has_seen_what_is_held_out(
    run, runs, few, demo_store, one_sentence, one_step
):
    swapped = {"train": "validation", "validation": "train", "test": "test"}
    rows = few.assign(split=few["split"].map(swapped))
    config = dataclasses.replace(one_step, start=run.folder.name)
    with pytest.raises(ValueError) as error:
        training.train(config, rows, demo_store, runs)
    one_sentence(error, run.folder.name, "was trained on", "run of the same split")


def test_start_from_a_run_that_is_not_there(few, demo_store, tmp_path, one_sentence, one_step):
    config = dataclasses.replace(one_step, start="cnn-64px-seed1-nothing")
    with pytest.raises(ValueError) as error:
        training.train(config, few, demo_store, tmp_path)
    one_sentence(error, "cnn-64px-seed1-nothing", tmp_path)


# Learning from earlier runs


def test_labels_are_half_of_what_teachers_predict_out_of_fold(run, runs, few, one_sentence):
    rows = few[few["split"] == "validation"]
    found = earlier.soft_labels(run.folder.name, rows, runs)
    frame = run.predictions.set_index("image_id").loc[rows["image_id"]]
    answers = evaluation.Correction.from_details(run.metrics["correction"]).apply(
        frame[CODES].to_numpy()
    )
    expected = (answers + np.eye(7)[rows["label"]]) / 2
    assert found.dtype == np.float32 and np.abs(found - expected).max() < 1e-5
    twice = earlier.soft_labels(f"{run.folder.name}+{run.folder.name}", rows, runs)
    assert np.abs(found - twice).max() < 1e-6
    torn = runs.parent / "torn" / run.folder.name
    shutil.copytree(run.folder, torn)
    (torn / "metrics.json").write_text('{"correction": ')
    with pytest.raises(ValueError) as error:
        earlier.soft_labels(run.folder.name, rows, torn.parent)
    one_sentence(error, torn / "metrics.json")
    # What a teacher was trained on, it would only repeat; test rows are nobody's to learn from.
    for split in ("train", "test"):
        with pytest.raises(ValueError) as error:
            earlier.soft_labels(run.folder.name, few[few["split"] == split], runs)
        one_sentence(error, run.folder.name, "out-of-fold")


def test_a_network_of_all_rows_answers_by_what_another_held_out(
    few, demo_store, small_run, tmp_path, one_step, one_sentence
):
    first = training.read_run(small_run(tmp_path))
    config = dataclasses.replace(one_step, keep="last", answers_from=first.folder.name)
    run = training.read_run(training.train(config, few, demo_store, tmp_path))
    assert run.record["images"] == {
        "train": int((few["split"] != "test").sum()),
        "test": int((few["split"] == "test").sum()),
    }
    assert run.history["val_loss"].isna().all()
    mine, others = (evaluation.rows_of(one.predictions, "validation") for one in (run, first))
    assert mine.reset_index(drop=True).equals(others.reset_index(drop=True))
    assert run.metrics["correction"] == first.metrics["correction"]
    tested, before = (evaluation.rows_of(one.predictions, "test") for one in (run, first))
    assert not tested["mel"].equals(before["mel"])
    with pytest.raises(training.StartMissing) as error:
        config = dataclasses.replace(config, answers_from="nobody")
        training.train(config, few, demo_store, tmp_path)
    one_sentence(error, "'nobody'")
    config = dataclasses.replace(config, answers_from=first.folder.name)
    with pytest.raises(ValueError) as error:
        training.train(dataclasses.replace(config, dropout=0.4), few, demo_store, tmp_path)
    one_sentence(error, first.folder.name, "dropout", 0.4, 0.3)
    moved = few.assign(split=few["split"].map({"train": "train"}).fillna("test"))
    with pytest.raises(ValueError) as error:
        training.train(config, moved, demo_store, tmp_path)
    one_sentence(error, first.folder.name, "is not trained on")
    assert not list(tmp_path.glob("*.partial/checkpoint.npz"))  # nothing was trained for it


def test_learning_from_a_teacher(few, demo_store, small_run, tmp_path, one_step, one_sentence):
    teacher = small_run(tmp_path).name
    # The student is trained on what the teacher held out.
    swapped = {"train": "validation", "validation": "train", "test": "test"}
    rows = few.assign(split=few["split"].map(swapped))
    config = dataclasses.replace(one_step, teacher=teacher, mixup=0.2)
    taught = training.read_run(training.train(config, rows, demo_store, tmp_path))
    alone = dataclasses.replace(config, teacher="")
    plain = training.read_run(training.train(alone, rows, demo_store, tmp_path))
    assert taught.history["loss"][0] != plain.history["loss"][0]
    with pytest.raises(training.StartMissing) as error:
        training.train(dataclasses.replace(config, teacher="nobody"), rows, demo_store, tmp_path)
    one_sentence(error, "nobody", tmp_path)


def test_without_test_time_augmentation_the_photograph_as_it_is_is_predicted(
    few, demo_store, tmp_path, one_step
):
    config = dataclasses.replace(one_step, tta=False)
    run = training.read_run(training.train(config, few, demo_store, tmp_path))
    model, _ = models.load(run.folder / "model.h5")
    test = evaluation.rows_of(run.predictions, "test")
    images = demo_store.images[demo_store.rows(test["image_id"])]
    once, eight = (views.predict(model, images, tta) for tta in (False, True))
    np.testing.assert_allclose(test[CODES], once, atol=2e-5)
    assert np.abs(eight - once).max() > 1e-3
