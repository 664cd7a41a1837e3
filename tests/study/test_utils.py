"""The notebooks' front door: folders, profiles, recorded runs, durations, requirements."""

import dataclasses
import json
import re
import shutil

import pandas as pd
import pytest
import tiny

import utils
from lesions import data, training
from lesions.study import durations, opening, publishing, recipes
from lesions.study.facts.common import recorded_run
from lesions.system import hardware
from lesions.training import runs

PLATFORMS = publishing.REPOSITORY / "tests" / "platforms"


@pytest.fixture
def study(demo_metadata, demo_folder, tmp_path):
    """A study of drawn pictures."""
    dataset = data.open_dataset(demo_folder, "drawn for the tests")
    return utils.Study(dataset, demo_metadata, "demo", False, False, tmp_path, tmp_path / "scratch")


@pytest.fixture
def of_photographs(study):
    """The same, taken for photographs."""
    dataset = dataclasses.replace(study.dataset, is_demo=False)
    return dataclasses.replace(study, dataset=dataset, profile="cpu")


def test_a_mounted_demo_set_is_known_as_drawn(study):
    assert study.dataset.is_demo


def test_photographs_are_not_trained_on_unasked(of_photographs, one_sentence):
    with pytest.raises(ValueError) as error:
        of_photographs.run("cnn")
    one_sentence(error, "cnn", "RETRAIN", "minute")
    assert not (of_photographs.scratch / "stores").exists()


def test_a_recorded_run_is_loaded_without_decoding_a_picture(study, capsys, monkeypatch):
    config = tiny.SMALL
    earlier = study.scratch / "earlier"
    store = training.open_store(config, study.metadata, study.scratch)
    training.train(config, study.metadata, store, earlier)
    again = dataclasses.replace(study, scratch=study.scratch / "new")
    monkeypatch.setattr(utils, "attached_runs", lambda name: [earlier])
    run = again.train(config)
    assert run.folder.parent == earlier
    assert "Loaded the recorded run" in capsys.readouterr().out
    assert not (again.scratch / "stores").exists()
    assert [folder.parent for folder in again.all_runs()] == [earlier]
    fold = dataclasses.replace(config, fold=2, keep="last")
    training.train(fold, study.metadata, store, earlier)
    assert len(again.all_runs()) == 2  # folds are drawn from the same photographs


def test_an_interrupted_retraining_goes_on(study, capsys, monkeypatch):
    config = tiny.SMALL
    attached = study.train(config).folder.parent
    monkeypatch.setattr(utils, "attached_runs", lambda name: [attached])
    again = dataclasses.replace(study, retrain=True, build=study.build / "again")
    first = again.train(config)
    assert first.folder.parent == again.runs  # not the attached one
    capsys.readouterr()
    assert again.train(config).folder == first.folder
    assert f"remove {first.folder}" in capsys.readouterr().out
    (first.folder / "model.h5").unlink()  # a later stage could not start from it
    assert (again.train(config).folder / "model.h5").exists()


@pytest.mark.parametrize("recorded", ["cpu", "gpu"])
@pytest.mark.parametrize("gpus", [[], ["Tesla T4", "Tesla T4"]])
def test_what_is_recorded_is_shown_on_any_hardware(
    gpus, recorded, table, kaggle_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(hardware, "gpus", lambda: gpus)
    monkeypatch.setattr(opening, "MODELS", tmp_path / "models")
    folder = kaggle_folder(table)
    _, profile, metadata = opening.open_data(folder=folder)
    assert profile == ("gpu" if gpus else "cpu")
    run = training.run_name(recipes.config("resnet18", recorded), metadata)
    (tmp_path / "models" / run).mkdir(parents=True)
    for name in runs.RUN_FILES:
        (tmp_path / "models" / run / name).write_text('{"initial_weights": "random"}')
    assert opening.open_data(folder=folder, show=True)[1] == recorded
    assert opening.open_data(folder=folder)[1] == profile


def test_a_gpu_shortens_the_estimate_and_is_said_to_be_estimated(demo_metadata, monkeypatch):
    monkeypatch.setattr(hardware, "gpus", lambda: [])
    small = [recipes.config("cnn", "cpu")]
    alone = durations.estimate(small, demo_metadata)
    assert durations.estimate(small * 3, demo_metadata) == pytest.approx(3 * alone)
    rows = (demo_metadata["split"] == "train").sum()
    assert durations.estimate(small, demo_metadata, [4 * rows]) == pytest.approx(4 * alone)
    monkeypatch.setattr(hardware, "gpus", lambda: ["Tesla T4"])
    assert durations.estimate(small, demo_metadata) < alone
    assert "estimate" in durations.describe(small, demo_metadata)


def test_runs_on_a_gpu_and_on_cores_are_kept_apart(demo_metadata, monkeypatch, tmp_path):
    monkeypatch.setattr(durations, "MODELS", tmp_path / "models")
    for name, hardware_used, seconds in (("a", "2 cores of X, no GPU", 900), ("b", "1 x T4", 10)):
        (tmp_path / "models" / name).mkdir(parents=True)
        record = {
            "images": {"train": 100},
            "epochs_trained": 3,
            "config": {"image_size": 64, "architecture": "cnn"},
            "hardware": hardware_used,
            "seconds": seconds,
        }
        (tmp_path / "models" / name / "config.json").write_text(json.dumps(record))
    small = [recipes.config("cnn", "cpu")]
    found = []
    for gpus in ([], ["T4"]):
        monkeypatch.setattr(hardware, "gpus", lambda gpus=gpus: gpus)
        found.append(durations.estimate(small, demo_metadata))
        assert "recorded runs" in durations.describe(small, demo_metadata)
    assert found[0] == pytest.approx(90 * found[1])
    shutil.rmtree(tmp_path / "models")
    assert "an unknown time" in durations.describe(small, demo_metadata)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "a minute"), (200, "3 minutes"), (1500, "25 minutes"), (11_000, "3 hours")],
)
def test_durations_in_words(seconds, words):
    assert durations.round_duration(seconds) == words


def test_the_recorded_run_is_estimated_at_about_what_it_took():
    config = recipes.config("resnet50", "cpu")
    run = recorded_run(config)
    rows = pd.DataFrame({"split": ["train"] * run.record["images"]["train"]})
    found = durations.estimate([config], rows)
    if hardware.gpus():
        found *= durations.GPU_SPEEDUP
    assert found == pytest.approx(run.record["seconds"], rel=1.0)


def test_kaggle_keeps_runs_and_not_stores(monkeypatch, tmp_path):
    monkeypatch.delenv("LESIONS_BUILD", raising=False)
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    monkeypatch.setattr(utils, "REPOSITORY", utils.Path("/tmp/study").resolve())
    monkeypatch.chdir(tmp_path)
    assert utils.results_folder() == tmp_path / "build"
    assert tmp_path not in utils.scratch_folder().parents


def test_there_is_a_folder_to_write_to_where_nothing_was_made(
    table, kaggle_folder, tmp_path, monkeypatch
):
    """Notebook 09 alone, with photographs and the recorded model, writes without training."""
    monkeypatch.setenv("HAM10000_DIR", str(kaggle_folder(table)))
    monkeypatch.setenv("LESIONS_BUILD", str(tmp_path / "new" / "build"))
    study = utils.open_study("cpu")
    assert not study.dataset.is_demo and study.build == tmp_path / "new" / "build"
    assert study.build.is_dir()


def test_a_published_notebook_names_the_folder_of_the_data_without_its_path():
    for folder in ("ham10000", "archive (1)/ham10000", "ham10000 (1)"):
        shown = utils._short(f"/data/{folder} (named by HAM10000_DIR)")
        assert shown == f"{folder.split('/')[-1]} (named by HAM10000_DIR)"


def test_only_a_download_that_failed_is_called_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LESIONS_BUILD", str(tmp_path / "file" / "build"))
    with pytest.raises(OSError, match="file"):
        utils.open_study("demo")
    assert "downloaded" not in capsys.readouterr().out


def bounds(text):
    return dict(re.findall(r"^([\w-]+)>=([\d.]+)", text, re.MULTILINE))


def test_lower_bounds_are_what_the_platforms_have():
    lists = [(PLATFORMS / f"{name}.txt").read_text() for name in ("kaggle", "colab")]
    versions = [dict(re.findall(r"^([\w-]+)==([\d.]+)", text, re.MULTILINE)) for text in lists]
    required = bounds((publishing.REPOSITORY / "requirements.txt").read_text())
    assert set(utils.NEEDED.values()) <= set(required)
    for package in set(required) & set(versions[0]):
        lowest = min((found[package] for found in versions), key=as_numbers)
        places = len(as_numbers(required[package]))
        assert as_numbers(required[package]) == as_numbers(lowest)[:places], package
    assert not {"jupyter", "papermill"} & set(utils.NEEDED.values())


def as_numbers(version):
    return [int(part) for part in version.split(".")]


def test_every_platform_has_what_a_notebook_needs():
    for name in ("kaggle", "colab"):
        listed = (PLATFORMS / f"{name}.txt").read_text()
        for package in utils.NEEDED.values():
            assert f"\n{package}==" in listed, f"{name} lacks {package}"


def test_retraining_leaves_the_recorded_runs_out_of_the_comparison(study, monkeypatch):
    run = study.train(tiny.SMALL)
    monkeypatch.setattr(utils.Study, "recorded", run.folder.parent)
    other = dataclasses.replace(study, build=study.build / "again")
    assert other.all_runs() == [run.folder]
    assert dataclasses.replace(other, retrain=True).all_runs() == []
