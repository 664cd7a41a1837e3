"""What the student gained, as the pages say it."""

import re
import shutil

import numpy as np
import pytest
from pages import same_numbers, shown

from lesions.evaluation import comparison
from lesions.study import recipes, student
from lesions.system.folders import MODELS, REPOSITORY


def test_pages_show_what_the_recorded_student_gained():
    compared = student.compare()
    same_numbers(shown("student"), student.block(compared))
    gains = compared["first"] - compared["second"]
    np.testing.assert_allclose(compared["value"], gains, atol=1e-9)
    assert (compared["low"] <= gains).all() and (gains <= compared["high"]).all()


def test_twins_and_the_networks_they_went_on_from_were_not_trained_on_what_they_are_compared_on():
    twins = {name for one in records() if (name := one["config"].get("answers_from"))}
    assert len(twins) == 1
    for run in twins:
        twin = comparison.read_record(MODELS / run / "config.json")["config"]
        start = comparison.read_record(MODELS / twin["start"] / "config.json")["config"]
        assert twin["fold"] is not None and twin["fold"] == start["fold"]


def test_the_last_stage_is_named_or_missed(tmp_path):
    config = comparison.read_record(MODELS / student.last_stage() / "config.json")["config"]
    assert config["oversampling"] and config["image_size"] == 192 and not config.get("teacher")
    with pytest.raises(ValueError, match="lacks the last stage"):
        student.last_stage(tmp_path)


def test_running_says_how_long_the_best_model_takes():
    """By the pilot, the folds, the twins and the student: all its runs of folds, and itself."""
    seconds = sum(
        one["seconds"]
        for one in records()
        if (one["config"].get("fold") is not None or one["config"].get("answers_from"))
        and one["config"]["architecture"] == recipes.BEST
    )
    text = (REPOSITORY / "docs" / "running.md").read_text(encoding="utf-8")
    (hours,) = re.findall(r"one after the other, about (\d+) hours", text)
    assert seconds / 3600 == pytest.approx(int(hours), abs=0.5)


def test_pages_say_so_where_there_is_no_student(tmp_path):
    assert student.compare(tmp_path) is None
    assert student.block(None) == "No student is recorded."


def test_student_without_its_twin_is_named(tmp_path):
    for folder in comparison.run_folders(MODELS):
        if comparison.read_record(folder / "config.json")["config"].get("answers_from"):
            shutil.copytree(folder, tmp_path / folder.name)
    with pytest.raises(ValueError, match="train that run or leave the folder out"):
        student.compare(tmp_path)


def records():
    return [comparison.read_record(one / "config.json") for one in comparison.run_folders(MODELS)]
