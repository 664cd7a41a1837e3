"""What a training leaves behind, how it is found again, and what is refused."""

import contextlib
import dataclasses
import errno
import json
import shutil

import keras
import numpy as np
import pytest

from lesions import classes, training
from lesions.evaluation import comparison
from lesions.networks import models, views
from lesions.system import hardware
from lesions.training import runs as run_folders

CODES = list(classes.CODES)
RESULTS = ["config.json", "history.csv", "metrics.json", "model.h5", "predictions.csv"]


# The run folder


def test_run_folder(run, demo_metadata, config):
    assert sorted(path.name for path in run.folder.iterdir()) == RESULTS
    assert not run.folder.with_name(f"{run.folder.name}.partial").exists()
    assert run.folder.name.startswith("tiny-64px-seed42-test-")
    assert run.record["config"] == dataclasses.asdict(config)
    assert run.record["initial_weights"] == "random" and run.record["epochs_trained"] == 3
    assert run.record["hardware"] == hardware.describe() and run.record["seconds"] > 0
    assert run.record["images"] == demo_metadata["split"].value_counts().to_dict()
    assert run.history["epoch"].tolist() == [1, 2, 3]
    assert run.history.columns.tolist() == training.HISTORY
    assert np.isfinite(run.history.drop(columns="phase").to_numpy(dtype=float)).all()


def test_run_predicts_validation_and_test_alone(run, demo_metadata):
    rows = demo_metadata[demo_metadata["split"] != "train"]
    assert run.predictions["image_id"].tolist() == rows["image_id"].tolist()
    assert run.predictions["split"].tolist() == rows["split"].tolist()
    assert run.predictions["dx"].tolist() == rows["dx"].tolist()
    assert np.allclose(run.predictions[CODES].sum(axis=1), 1)


def test_model_file_gives_the_recorded_predictions(run, demo_metadata, demo_store):
    model, details = models.load(run.folder / "model.h5")
    assert details["run"] == run.folder.name and details["image_size"] == 64
    assert details["correction"] == run.metrics["correction"]
    rows = demo_store.rows(run.predictions["image_id"][:8])
    found = views.predict(model, demo_store.images[rows])
    assert np.abs(found - run.predictions[CODES][:8].to_numpy()).max() < 1e-5


# Finding and loading


def test_find_run(run, runs, demo_metadata, tmp_path, config):
    assert training.find_run(config, demo_metadata, [tmp_path, runs]) == run.folder
    other = dataclasses.replace(config, dropout=0.31)
    assert training.find_run(other, demo_metadata, [runs]) is None
    relabelled = demo_metadata.assign(split=demo_metadata["split"].to_numpy()[::-1])
    assert training.find_run(config, relabelled, [runs]) is None
    shuffled = demo_metadata.sample(frac=1, random_state=0)
    assert training.find_run(config, shuffled, [runs]) == run.folder


@pytest.mark.parametrize("name", training.RUN_FILES)
def test_half_a_run_is_not_found(run, demo_metadata, tmp_path, name, one_sentence, config):
    half = tmp_path / run.folder.name
    half.mkdir()
    for path in run.folder.iterdir():
        if path.name != name:
            (half / path.name).write_bytes(path.read_bytes())
    assert training.find_run(config, demo_metadata, [tmp_path]) is None
    with pytest.raises(ValueError) as error:
        training.read_run(half)
    one_sentence(error, name, half)


def test_a_run_whose_record_is_incomplete_is_named(
    run, demo_metadata, tmp_path, one_sentence, config
):
    half = shutil.copytree(run.folder, tmp_path / run.folder.name)
    (half / "config.json").write_text("{}")
    with pytest.raises(ValueError) as error:
        training.find_run(config, demo_metadata, [tmp_path])
    one_sentence(error, half / "config.json", "is incomplete")


@pytest.mark.parametrize("content", ["", "epoch\n1\n", "\x00"])
def test_a_damaged_history_is_named(run, tmp_path, one_sentence, content):
    half = shutil.copytree(run.folder, tmp_path / run.folder.name)
    (half / "history.csv").write_text(content)
    with pytest.raises(ValueError) as error:
        training.read_run(half)
    one_sentence(error, half / "history.csv", "is damaged")


def test_a_recorded_run_is_loaded_and_named(run, runs, demo_metadata, capsys, config):
    before = (run.folder / "config.json").stat().st_mtime_ns
    folder = training.find_run(config, demo_metadata, [runs])
    assert training.load_run(folder, demo_metadata).folder == run.folder
    assert (run.folder / "config.json").stat().st_mtime_ns == before
    said = capsys.readouterr().out
    for word in ("recorded run", run.folder.name, run.record["date"], run.record["hardware"]):
        assert word in said
    assert said.count("epoch ") == len(run.history)
    training.load_run(folder, demo_metadata, epoch_log=False)
    said = capsys.readouterr().out
    assert "recorded run" in said and "epoch " not in said


def test_retrain_trains_again(few, demo_store, tmp_path, capsys, one_step):
    folder = training.train(one_step, few, demo_store, tmp_path)
    first = training.read_run(folder)
    (folder / "mark").touch()
    assert training.train(one_step, few, demo_store, tmp_path) == folder
    assert capsys.readouterr().out.count("Training tiny") == 2
    assert sorted(path.name for path in folder.iterdir()) == RESULTS
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    again = training.read_run(folder)
    assert np.allclose(again.predictions[CODES], first.predictions[CODES], atol=1e-4)


def test_what_another_process_has_finished_meanwhile_is_not_trained_again(
    few, demo_store, small_run, tmp_path, capsys, one_step
):
    first = small_run(tmp_path)
    (first / "mark").touch()
    assert training.train(one_step, few, demo_store, tmp_path, retrain=False) == first
    assert (first / "mark").exists() and list(tmp_path.iterdir()) == [first]
    assert "Training tiny" not in capsys.readouterr().out


def test_a_lock_counts_only_while_its_folder_is_in_place(tmp_path, monkeypatch, one_sentence):
    """Between two steps of this process, another one renames the folder of the run that it made."""
    fcntl = pytest.importorskip("fcntl", reason="locks are of POSIX systems")
    work = tmp_path / "a.partial"
    work.mkdir()
    lock = fcntl.flock

    def renamed_before(file, operation):
        work.rename(tmp_path / "a")
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", renamed_before)
    for _ in ("after the file was opened", "before"):
        with pytest.raises(training.Busy) as error, run_folders._claim(work / training.LOCK):
            pass
        one_sentence(error, "just finished a")


@pytest.mark.parametrize(("code", "trains"), [(errno.ENOTSUP, True), (errno.EIO, False)])
def test_a_folder_that_knows_no_locks_is_trained_in(code, trains, tmp_path, monkeypatch):
    """Such as a drive that is mounted over a network."""
    fcntl = pytest.importorskip("fcntl", reason="locks are of POSIX systems")

    def refuse(file, operation):
        raise OSError(code, "refused")

    monkeypatch.setattr(fcntl, "flock", refuse)
    expected = contextlib.nullcontext() if trains else pytest.raises(OSError, match="refused")
    with expected, run_folders._claim(tmp_path / training.LOCK):
        assert trains


@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
def test_a_torn_file_is_named(run, config, demo_metadata, tmp_path, name, one_sentence):
    torn = tmp_path / run.folder.name
    shutil.copytree(run.folder, torn)
    (torn / name).write_text((torn / name).read_text()[:40])
    with pytest.raises(ValueError) as error:
        training.read_run(torn)
    one_sentence(error, torn / name)
    if name == "config.json":
        with pytest.raises(ValueError) as error:
            training.find_run(config, demo_metadata, [tmp_path])
        one_sentence(error, torn / name)


def test_a_run_that_waits_for_its_rename_is_not_compared(run, tmp_path):
    for name in ("a", "a.partial", ".a.replaced"):
        shutil.copytree(run.folder, tmp_path / name)
        record = json.loads((tmp_path / name / "config.json").read_text())
        record["config"]["tag"] = ""
        (tmp_path / name / "config.json").write_text(json.dumps(record))
    assert [path.name for path in comparison.run_folders(tmp_path)] == ["a"]
    (tmp_path / "a" / "config.json").write_text("{")
    with pytest.raises(ValueError, match="config.json"):
        comparison.run_folders(tmp_path)


def test_begun_from_random_it_is_not_the_run_from_imagenet(
    run, config, demo_metadata, tmp_path, pretrained_tiny
):
    """A run that asked for what was available and got random weights."""
    asked = dataclasses.replace(config, weights="available")
    name = training.run_name(asked, demo_metadata)
    shutil.copytree(run.folder, tmp_path / name)
    path = tmp_path / name / "config.json"
    record = json.loads(path.read_text())
    for began, found in (("random", None), ("imagenet", tmp_path / name)):
        path.write_text(json.dumps(record | {"initial_weights": began}))
        assert training.find_run(asked, demo_metadata, [tmp_path]) == found
    # Asked for, random weights are what it should have begun from.
    asked = dataclasses.replace(asked, weights="random")
    path.write_text(json.dumps(record | {"initial_weights": "random"}))
    (tmp_path / name).rename(tmp_path / training.run_name(asked, demo_metadata))
    assert training.find_run(asked, demo_metadata, [tmp_path])


# What is refused


def test_leak_between_splits(demo_metadata, demo_store, tmp_path, one_sentence, config):
    leaky = demo_metadata.copy()
    twice = leaky[leaky["split"] == "train"]["lesion_id"].value_counts().index[0]
    leaky.loc[leaky.index[leaky["lesion_id"] == twice][0], "split"] = "test"
    with pytest.raises(ValueError) as error:
        training.train(config, leaky, demo_store, tmp_path)
    one_sentence(error, twice, "split_by_lesion")
    assert list(tmp_path.iterdir()) == []


def test_class_absent_from_a_split(demo_metadata, demo_store, tmp_path, one_sentence, config):
    gone = demo_metadata[
        ~((demo_metadata["dx"] == "df") & (demo_metadata["split"] == "validation"))
    ]
    with pytest.raises(ValueError) as error:
        training.train(config, gone, demo_store, tmp_path)
    one_sentence(error, "'df'", "validation")


def test_class_absent_from_the_data(demo_metadata, demo_store, tmp_path, one_sentence, config):
    with pytest.raises(ValueError) as error:
        training.train(config, demo_metadata[demo_metadata["dx"] != "df"], demo_store, tmp_path)
    one_sentence(error, "df", "seven")
    assert list(tmp_path.iterdir()) == []


def test_loss_that_is_no_number(few, demo_store, tmp_path, one_sentence, one_step):
    config = dataclasses.replace(one_step, learning_rate=1e38, warmup_steps=0)
    with pytest.raises(ValueError) as error:
        training.train(config, few, demo_store, tmp_path)
    one_sentence(error, "epoch 1", "learning_rate (1e+38)", "precision float32")
    assert training.find_run(config, few, [tmp_path]) is None


def test_unknown_precision(one_sentence, config):
    with pytest.raises(ValueError) as error, hardware.precision("float8"):
        pass
    one_sentence(error, "'float8'", "bfloat16")
    with hardware.precision("bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"
