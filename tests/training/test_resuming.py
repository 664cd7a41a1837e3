"""A training that is killed goes on, and ends the same."""

import dataclasses
import json
import os
import shutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny

from lesions import classes, training
from lesions.networks import models
from lesions.system import files, hardware
from lesions.training import checkpoint, photographs
from lesions.training.trainer import NEXT_BEST

CODES = list(classes.CODES)
RESULTS = ["config.json", "history.csv", "metrics.json", "model.h5", "predictions.csv"]


TRAIN = "training.train(config, metadata, store, sys.argv[1])\n"


def test_killed_while_training(
    run, demo_metadata, demo_store, tmp_path, code, killed_when, capsys, config
):
    work = tmp_path / f"{run.folder.name}.partial"
    killed_when((work / training.CHECKPOINT).exists, code + TRAIN, tmp_path)
    assert training.find_run(config, demo_metadata, [tmp_path]) is None
    assert not (work / "model.h5").exists()
    resumed = training.read_run(training.train(config, demo_metadata, demo_store, tmp_path))
    assert "Resuming after epoch" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == [run.folder.name]
    check_same_run(resumed, run)


def test_damaged_checkpoint_starts_over(run, demo_metadata, demo_store, tmp_path, capsys, config):
    work = tmp_path / f"{run.folder.name}.partial"
    work.mkdir()
    (work / training.CHECKPOINT).write_bytes(b"PK cut short")
    found = training.read_run(training.train(config, demo_metadata, demo_store, tmp_path))
    assert "damaged" in capsys.readouterr().out
    check_same_run(found, run)


def test_a_checkpoint_that_may_not_be_read_is_not_thrown_away(
    few, demo_store, tmp_path, config, monkeypatch
):
    work = tmp_path / (training.run_name(config, few) + training.PARTIAL)
    work.mkdir()
    (work / training.CHECKPOINT).write_bytes(b"hours of work")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(checkpoint, "read", refuse)
    with pytest.raises(PermissionError):
        training.train(config, few, demo_store, tmp_path)
    assert (work / training.CHECKPOINT).read_bytes() == b"hours of work"


def check_same_run(found, expected):
    numbers = ["loss", "val_loss", "learning_rate"]
    assert found.history["epoch"].tolist() == expected.history["epoch"].tolist()
    pd.testing.assert_frame_equal(
        found.history[numbers], expected.history[numbers], rtol=0, atol=1e-4
    )
    assert found.record["best_epoch"] == expected.record["best_epoch"]
    assert np.abs(found.predictions[CODES] - expected.predictions[CODES]).to_numpy().max() < 1e-3


class Killed(BaseException):
    """Nothing catches it: the training ends where it is raised."""


def test_killed_while_writing_the_run(
    run, demo_metadata, demo_store, tmp_path, monkeypatch, capsys, config, request
):
    """Killed with everything written, but for the rename that makes the run visible."""
    replace = os.replace

    def last(source, target):
        if os.path.isdir(source):
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(os, "replace", last)
        training.train(config, demo_metadata, demo_store, tmp_path)
    work = tmp_path / f"{run.folder.name}.partial"
    assert set(RESULTS) < {path.name for path in work.iterdir()}
    assert training.find_run(config, demo_metadata, [tmp_path]) is None
    trained_on = hardware.describe()
    if hasattr(os, "sched_setaffinity"):
        request.addfinalizer(partial(os.sched_setaffinity, 0, os.sched_getaffinity(0)))
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    whole = training.read_run(training.train(config, demo_metadata, demo_store, tmp_path))
    assert "Resuming after epoch 3" in capsys.readouterr().out
    assert sorted(path.name for path in whole.folder.iterdir()) == RESULTS
    assert [path.name for path in tmp_path.iterdir()] == [run.folder.name]
    check_same_run(whole, run)
    # The record names what the epochs were trained on, whoever made the predictions.
    assert whole.record["hardware"] == trained_on


def test_weights_fit_a_network_that_is_built_later_in_the_same_process(tmp_path):
    # Keras numbers the layer of EfficientNet that normalises the input.
    first, second = (models.build("efficientnetb0", 32, "random", seed=seed) for seed in (1, 2))
    path = tmp_path / "best.npz"
    checkpoint.write(path, checkpoint.weights_of(first), {})
    checkpoint.restore(checkpoint.weights_of(second), checkpoint.read(path)[0], path)
    for one, other in zip(first.weights, second.weights, strict=True):
        assert np.array_equal(one.numpy(), other.numpy()), one.path


def test_the_best_network_is_that_of_the_checkpoint(few, demo_store, config, tmp_path):
    """Killed between the files of an epoch, it goes on with those of the epoch before, or of it."""
    config = dataclasses.replace(config, batch_size=4, keep="last")
    trainer = tiny.begin(config, few, demo_store, tmp_path)
    first = checkpoint.read(tmp_path / training.BEST)[0]
    trainer.train_epoch(1, 3)
    for kept in (training.BEST, NEXT_BEST):
        (tmp_path / training.BEST).rename(tmp_path / kept)
        assert training.Trainer(config, few, demo_store, tmp_path).best_epoch == 1
        found = checkpoint.read(tmp_path / training.BEST)[0]
        assert all(np.array_equal(found[name], values) for name, values in first.items())
        assert not (tmp_path / NEXT_BEST).exists()


def test_begun_from_random_it_starts_over_once_imagenets_weights_are_here(
    few, demo_store, one_step, tmp_path, pretrained_tiny, capsys
):
    asked = dataclasses.replace(one_step, weights="available")
    state = {
        "best_epoch": 1,
        "initial_weights": "random",
        "photographs": photographs.describe(few),
    }
    for name in (training.CHECKPOINT, training.BEST):
        checkpoint.write(tmp_path / name, {}, state)
    trainer = training.Trainer(asked, few, demo_store, tmp_path)
    assert "starts over" in capsys.readouterr().out
    assert trainer.model.initial_weights == "imagenet" and trainer.history == []


def test_what_went_on_from_a_run_that_was_trained_again_starts_over(
    few, demo_store, one_step, small_run, tmp_path, capsys
):
    first = small_run(tmp_path)
    config = dataclasses.replace(one_step, epochs=2, start=first.name)
    work = tmp_path / (training.run_name(config, few) + training.PARTIAL)
    tiny.begin(config, few, demo_store, work)
    assert len(training.Trainer(config, few, demo_store, work).history) == 1
    record = json.loads((first / "config.json").read_text())
    again = json.dumps(record | {"initial_weights": "imagenet"})
    (first / "config.json").write_text(again)
    assert training.Trainer(config, few, demo_store, work).history == []
    assert "starts over" in capsys.readouterr().out
    (first / "config.json").write_text(json.dumps(record))
    second = training.train(config, few, demo_store, tmp_path)
    assert training.find_run(config, few, [tmp_path]) == second
    (first / "config.json").write_text(again)
    assert training.find_run(config, few, [tmp_path]) is None


def test_earlier_run_is_replaced_whole(tmp_path):
    work, final = tmp_path / "a.partial", tmp_path / "a"
    for folder, text in ((work, "new"), (final, "old")):
        folder.mkdir()
        (folder / "metrics.json").write_text(text)
    files.replace_folder(work, final)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (final / "metrics.json").read_text() == "new"


def test_a_full_disk_is_named_before_a_checkpoint_is_lost(tmp_path, monkeypatch, one_sentence):
    path = tmp_path / training.CHECKPOINT
    checkpoint.write(path, {"kernel": np.ones(10)}, {})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_500_000))
    with pytest.raises(OSError, match="disk is full") as error:
        checkpoint.write(path, {"kernel": np.ones(1_000_000)}, {})
    one_sentence(error, path, "8.0 MB", "1.5 MB")
    assert checkpoint.read(path)[0]["kernel"].shape == (10,)
