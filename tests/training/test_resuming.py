"""A training that is killed goes on, and ends the same."""

import os
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lesions import classes, training
from lesions.networks import models
from lesions.system import hardware
from lesions.training import checkpoint, runs

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


def check_same_run(found, expected):
    numbers = ["loss", "val_loss", "learning_rate"]
    assert found.history["epoch"].tolist() == expected.history["epoch"].tolist()
    pd.testing.assert_frame_equal(
        found.history[numbers], expected.history[numbers], rtol=0, atol=1e-4
    )
    assert found.record["best_epoch"] == expected.record["best_epoch"]
    assert np.abs(found.predictions[CODES] - expected.predictions[CODES]).to_numpy().max() < 1e-3


def test_killed_while_writing_the_run(
    run, demo_metadata, demo_store, tmp_path, code, python, capsys, config, all_cores
):
    """Killed with everything written, but for the rename that makes the run visible."""
    kill = (
        "replace = os.replace\n"
        "def last(source, target):\n"
        "    if os.path.isdir(source):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    replace(source, target)\n"
        "os.replace = last\n"
    )
    python(code + kill + TRAIN, tmp_path, succeeds=False)
    work = tmp_path / f"{run.folder.name}.partial"
    assert set(RESULTS) < {path.name for path in work.iterdir()}
    assert training.find_run(config, demo_metadata, [tmp_path]) is None
    trained_on = hardware.describe()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    whole = training.train_or_load(config, demo_metadata, demo_store, tmp_path, tmp_path)
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
    checkpoint.write(path, checkpoint.weights_of(first))
    checkpoint.restore(checkpoint.weights_of(second), checkpoint.read(path)[0], path)
    for one, other in zip(first.weights, second.weights, strict=True):
        assert np.array_equal(one.numpy(), other.numpy()), one.path


def test_earlier_run_is_replaced_whole(tmp_path):
    work, final = tmp_path / "a.partial", tmp_path / "a"
    for folder, text in ((work, "new"), (final, "old")):
        folder.mkdir()
        (folder / "metrics.json").write_text(text)
    runs._replace_folder(work, final)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (final / "metrics.json").read_text() == "new"


def test_a_full_disk_is_named_before_a_checkpoint_is_lost(tmp_path, monkeypatch, one_sentence):
    path = tmp_path / training.CHECKPOINT
    checkpoint.write(path, {"kernel": np.ones(10)})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_500_000))
    with pytest.raises(OSError, match="disk is full") as error:
        checkpoint.write(path, {"kernel": np.ones(1_000_000)})
    one_sentence(error, path, "8.0 MB", "1.5 MB")
    assert checkpoint.read(path)[0]["kernel"].shape == (10,)
