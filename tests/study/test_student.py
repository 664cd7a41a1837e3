"""What the student gained, as the pages say it."""

import json
import re
import shutil

import numpy as np
import pytest
from pages import same_numbers, shown

from lesions.evaluation import Interval, comparison, external
from lesions.study import recipes, student
from lesions.system.folders import MODELS, REPOSITORY


def test_pages_show_what_the_recorded_student_gained():
    compared = student.compare()
    same_numbers(shown("student"), student.block(compared))
    gains = compared["first"] - compared["second"]
    np.testing.assert_allclose(compared["value"], gains, atol=1e-9)
    assert (compared["low"] <= gains).all() and (gains <= compared["high"]).all()


def test_twin_and_the_network_it_went_on_from_were_not_trained_on_what_they_are_compared_on():
    (run,) = {name for one in records() if (name := one["config"].get("answers_from"))}
    twin = comparison.read_record(MODELS / run / "config.json")["config"]
    start = comparison.read_record(MODELS / twin["start"] / "config.json")["config"]
    assert twin["fold"] is not None and twin["fold"] == start["fold"]


def test_the_page_says_rightly_that_no_difference_of_the_deeper_twin_excludes_zero():
    compared = student.compare()
    for pair in (student.DEEPER_START, student.DEEPER_TWIN):
        assert all(
            Interval.of(row).zero == "includes zero" for _, row in compared.xs(pair).iterrows()
        )
    log_loss = compared.loc[(student.DEEPER_TWIN, "validation", "log_loss")]
    assert -0.001 < log_loss["value"] <= 0


def test_a_deeper_student_is_compared_with_the_other(tmp_path):
    last = comparison.read_comparison(MODELS / "comparison.csv").query("networks == 1 and ~student")
    shutil.copytree(MODELS / last["run"].iloc[0], tmp_path / last["run"].iloc[0])
    for folder in comparison.run_folders(MODELS):
        config = comparison.read_record(folder / "config.json")["config"]
        if config.get("teacher") or config.get("fold") == 0:  # or what a twin went on from
            shutil.copytree(folder, tmp_path / folder.name)
        if config.get("answers_from"):
            for name in external.SETS:
                shutil.copy(external.RECORDED / f"{name}.csv", tmp_path / folder.name)
            again = shutil.copytree(tmp_path / folder.name, tmp_path / f"z-{folder.name}")
            record = comparison.read_record(folder / "config.json") | {"parameters": 12_000_000}
            (again / "config.json").write_text(json.dumps(record))
    found = student.compare(tmp_path).xs(student.DEEPER)
    assert set(found.index.get_level_values("place")) == {"test", *external.SETS}
    assert (found["first"] > 0).all() and (found["value"] == 0).all()  # it is the same network


def test_running_says_how_long_the_best_model_takes():
    """By the pilot, the folds, the twin and the student: all its runs of folds, and itself."""
    seconds = sum(
        one["seconds"]
        for one in records()
        if (one["config"].get("fold") is not None or one["config"].get("answers_from"))
        and one["config"]["architecture"] == recipes.BEST
    )
    text = (REPOSITORY / "docs" / "running.md").read_text(encoding="utf-8")
    (hours,) = re.findall(r"about (\d+) hours of a\s+core", text)
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
