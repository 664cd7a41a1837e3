"""The same table on other photographs is another training."""

import dataclasses
import json
import shutil

import cv2
import pytest
import tiny

from lesions import training
from lesions.data import images
from lesions.training import photographs, runs


def moved(metadata, folder, change):
    """The same rows, with every photograph changed and written to another folder."""
    folder.mkdir()
    paths = []
    for path in metadata["image_path"]:
        paths.append(str(folder / path.rpartition("/")[2]))
        if change is None:
            shutil.copyfile(path, paths[-1])
        else:
            cv2.imwrite(paths[-1], change(cv2.imread(path)))
    return metadata.assign(image_path=paths)


def thumbnail(picture):
    return cv2.resize(picture, (48, 36), interpolation=cv2.INTER_AREA)


def negative(picture):
    return 255 - picture


def test_copies_are_told_from_other_pictures(few, tmp_path):
    here = photographs.describe(few)
    copied = photographs.describe(moved(few, tmp_path / "copied", None))
    assert copied == here
    small = photographs.describe(moved(few, tmp_path / "small", thumbnail))
    assert small["digest"] != here["digest"] and photographs.look_alike(small, here)
    other = photographs.describe(moved(few, tmp_path / "other", negative))
    assert other["digest"] != here["digest"] and not photographs.look_alike(other, here)
    shuffled = few.assign(image_path=few["image_path"].to_numpy()[::-1])
    assert not photographs.look_alike(photographs.describe(shuffled), here)


def test_a_run_is_found_for_its_own_photographs(few, small_run, one_step, tmp_path, monkeypatch):
    folder = small_run(tmp_path)
    small = moved(few, tmp_path / "small", thumbnail)
    assert training.find_run(one_step, few, [tmp_path]) == folder
    assert training.find_run(one_step, moved(few, tmp_path / "copied", None), [tmp_path])
    assert training.find_run(one_step, small, [tmp_path]) is None
    # Recorded in the repository, it stands for the same pictures at any size.
    (tmp_path / "models").mkdir()
    shutil.copytree(folder, tmp_path / "models" / folder.name)
    monkeypatch.setattr(runs, "MODELS", tmp_path / "models")
    published = tmp_path / "models"
    assert training.find_run(one_step, small, [published]) == published / folder.name
    other = moved(few, tmp_path / "other", negative)
    assert training.find_run(one_step, other, [published]) is None


def test_a_run_is_found_for_its_own_patients(
    few, demo_store, small_run, one_step, tmp_path, one_sentence
):
    older = few.assign(age=few["age"] + 5)
    with_patient = dataclasses.replace(one_step, epochs=2, patient=True)
    work = tmp_path / (training.run_name(with_patient, few) + training.PARTIAL)
    tiny.begin(with_patient, few, demo_store, work)
    with pytest.raises(ValueError) as error:
        training.train(with_patient, older, demo_store, tmp_path)
    one_sentence(error, work, "other ages, sexes or sites")
    folder = training.train(with_patient, few, demo_store, tmp_path)
    assert training.find_run(with_patient, few, [tmp_path]) == folder
    assert training.find_run(with_patient, older, [tmp_path]) is None
    # A network of photographs alone, and a run that is older than this entry, are as they were.
    alone = small_run(tmp_path)
    assert training.find_run(one_step, older, [tmp_path]) == alone
    record = json.loads((folder / "config.json").read_text())
    del record["photographs"]["patients"]
    (folder / "config.json").write_text(json.dumps(record))
    assert training.find_run(with_patient, older, [tmp_path]) == folder


def test_going_on_with_other_photographs_is_refused(
    few, demo_store, config, tmp_path, one_sentence
):
    config = dataclasses.replace(config, batch_size=4)
    work = tmp_path / (training.run_name(config, few) + training.PARTIAL)
    tiny.begin(config, few, demo_store, work)
    small = moved(few, tmp_path / "small", thumbnail)
    store = images.ImageStore(small, 64, tmp_path / "stores")
    with pytest.raises(ValueError) as error:
        training.train(config, small, store, tmp_path)
    one_sentence(error, work, "other photographs", "HAM10000_DIR")
    finished = training.read_run(training.train(config, few, demo_store, tmp_path))
    assert finished.record["epochs_trained"] == 3
