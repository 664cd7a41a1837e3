"""Files appear whole or not at all."""

import errno
import os

import pytest

from lesions.system import files


def test_a_file_appears_whole_and_leaves_nothing_behind(tmp_path):
    target = tmp_path / "new" / "table.csv"
    with files.replacing(target) as temporary:
        temporary.write_text("a,b\n")
        assert temporary.suffix == ".csv" and not target.exists()
    assert target.read_text() == "a,b\n"
    assert os.listdir(target.parent) == ["table.csv"]


def test_a_device_or_a_pipe_is_never_replaced(tmp_path, one_sentence):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for special in (tmp_path / "pipe", tmp_path / "null"):
        with pytest.raises(ValueError) as error, files.replacing(special):
            raise AssertionError("the block was entered")
        one_sentence(error, special)
        assert not os.path.isfile(special)


def test_a_failure_keeps_what_was_there(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_a_folder_replaces_a_folder(tmp_path):
    for word in ("first", "second"):
        with files.replacing(tmp_path / "model") as temporary:
            temporary.mkdir()
            (temporary / word).touch()
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(tmp_path / "model") == ["second"]


def test_what_a_link_leads_to_is_replaced_and_not_the_link(tmp_path):
    (tmp_path / "answers.csv").write_text("before")
    (tmp_path / "link.csv").symlink_to(tmp_path / "answers.csv")
    with files.replacing(tmp_path / "link.csv") as temporary:
        temporary.write_text("after")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "answers.csv").read_text() == "after"


def test_the_longest_name_can_be_written(tmp_path):
    target = tmp_path / ("x" * 251 + ".csv")
    with files.replacing(target) as temporary:
        temporary.write_text("")
    assert target.exists()


def test_a_full_disk_is_told_with_the_file(tmp_path, one_sentence):
    target = tmp_path / "model.h5"
    with pytest.raises(OSError) as error, files.replacing(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    one_sentence(error, str(target))


def test_a_folder_that_cannot_be_put_in_place_leaves_the_earlier_one_whole(tmp_path, monkeypatch):
    target = tmp_path / "model"
    target.mkdir()
    (target / "first").touch()
    replace, calls = os.replace, []

    def second_fails(source, goal):
        calls.append(goal)
        if len(calls) == 2:
            raise PermissionError(errno.EACCES, "refused", str(goal))
        replace(source, goal)

    with monkeypatch.context() as patch, pytest.raises(PermissionError):
        patch.setattr(os, "replace", second_fails)
        with files.replacing(target) as temporary:
            temporary.mkdir()
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(target) == ["first"]
