"""No command writes over what it reads: refused before any work, whatever the path is called."""

import os

import pytest

from lesions.cli import command_line, outputs


@pytest.fixture
def own(tmp_path):
    """A folder with one file that a command reads."""
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "own.jpg"
    path.write_text("a photograph")
    return path


@pytest.fixture
def refused(capsys, monkeypatch):
    """Check that a command ends with 2 and a sentence, before it reads a network."""
    from lesions import inference

    def never(*_):
        raise AssertionError("the network was read before the output was checked")

    monkeypatch.setattr(inference.Classifier, "__init__", never)

    def check(*arguments):
        assert command_line.main([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "another --output" in error, error

    return check


def hard_link(own):
    path = own.parents[1] / "linked.csv"
    os.link(own, path)
    return path


def symbolic_link(own):
    path = own.parents[1] / "symbolic.csv"
    path.symlink_to(own)
    return path


def folder_link(own):
    path = own.parents[1] / "elsewhere"
    path.symlink_to(own.parent)
    return path / own.name


@pytest.mark.parametrize(
    "output",
    [
        lambda own: own,
        lambda own: own.with_name("OWN.jpg"),
        lambda own: own.parent / ".." / "in" / "own.jpg",
        hard_link,
        symbolic_link,
        folder_link,
    ],
    ids=["itself", "other case", "by a parent", "hard link", "symbolic link", "linked folder"],
)
def test_predict_never_replaces_a_photograph(own, refused, output):
    for paths in (own, own.parent):
        refused("predict", paths, "--output", output(own))
        for path in own.parents[1].glob("*.csv"):
            path.unlink()
        (own.parents[1] / "elsewhere").unlink(missing_ok=True)
    assert own.read_text() == "a photograph"


def test_predict_writes_no_table_that_looks_like_a_photograph(own, capsys):
    output = own.with_name("answers.jpg")
    assert command_line.main(["predict", str(own.parent), "--output", str(output)]) == 2
    assert "suffix of a photograph" in capsys.readouterr().err and not output.exists()


def test_predict_never_replaces_a_table_of_patients(own, refused, tmp_path):
    table = tmp_path / "patients.csv"
    table.write_text("image_id,age\nown,50\n")
    refused("predict", own, "--patients", table, "--output", table)
    assert table.read_text().endswith("own,50\n")


def test_nothing_replaces_what_belongs_to_a_data_set(demo_folder, refused):
    photograph = next(demo_folder.rglob("*.jpg"))
    table = next(demo_folder.glob("*etadata*"))
    for output in (photograph, table):
        refused("evaluate", "--data", demo_folder, "--output", output)


@pytest.mark.parametrize("command", [["predict"], ["export", "--format", "tflite"]])
def test_no_command_replaces_a_device_or_a_pipe(own, refused, tmp_path, command):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    photographs = [own] if command == ["predict"] else []
    for special in (tmp_path / "pipe", tmp_path / "null"):
        refused(*command, *photographs, "--output", special)
        assert not os.path.isfile(special)


def test_the_page_replaces_no_other_folder(own, one_sentence):
    from lesions.serving import site

    with pytest.raises(ValueError) as error:
        site.write(own.parent)
    one_sentence(error, own.parent, "another --output")
    assert own.read_text() == "a photograph"


def test_no_command_replaces_the_network(own, refused, tmp_path):
    model = tmp_path / "model.h5"
    model.write_text("a network")
    refused("predict", own, "--output", model, "--model", model)
    refused("predict", own, "--output", model, "--model", tmp_path)
    refused("export", "--format", "tflite", "--output", model, "--model", model)
    refused("export", "--format", "savedmodel", "--output", tmp_path, "--model", model)
    refused("explain", "--measure", "--output", model, "--model", model)
    assert model.read_text() == "a network"


def test_no_command_works_for_an_output_that_cannot_be_written(
    own, refused, demo_folder, tmp_path, monkeypatch
):
    (tmp_path / "here" / "folder").mkdir(parents=True)
    (tmp_path / "here" / "file").touch()
    monkeypatch.chdir(tmp_path / "here")
    os.symlink("/proc/answers.csv", "link.csv")  # where nobody can write, on Linux
    for output in (".", "folder", "file/below/a.csv", "x" * 300, "link.csv"):
        refused("predict", own, "--output", output)
        refused("evaluate", "--data", demo_folder, "--output", output)
        refused("explain", "--measure", "--data", demo_folder, "--output", output)
    refused("explain", own, "--output", "file")
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "file",
        "folder",
        "here",
        "in",
        "link.csv",
        "own.jpg",
    ]


def test_familiarity_names_its_own_way_out_before_it_reads_photographs(
    tiny_model, demo_folder, tmp_path, capsys
):
    (tmp_path / "model.h5").hardlink_to(tiny_model)
    (tmp_path / "familiarity.npz").mkdir()
    arguments = ["familiarity", "--data", str(demo_folder), "--model", str(tmp_path)]
    assert command_line.main(arguments) == 2
    printed = capsys.readouterr()
    assert "familiarity.npz cannot be written" in printed.err and "--model" in printed.err
    assert printed.out == ""


def test_explain_never_replaces_a_photograph(own, refused):
    taken = own.with_name("own_gradcam.jpg")
    taken.write_text("a photograph of this very name")
    refused("explain", own, taken, "--output", own.parent)
    assert taken.read_text() == "a photograph of this very name"


def test_training_writes_nothing_into_the_photographs(tmp_path, one_sentence):
    with pytest.raises(ValueError) as error:
        outputs.refuse_inside(tmp_path / "HAM" / "runs", tmp_path / "HAM", "--runs")
    one_sentence(error, "another --runs")
    outputs.refuse_inside(tmp_path / "HAM-runs", tmp_path / "HAM", "--runs")


def test_other_places_are_allowed(own, tmp_path):
    outputs.refuse_overwriting([tmp_path / "answers.csv", own.with_name("a.csv")], [own])
    outputs.refuse_image_in(tmp_path / "answers.jpg", [own.parent])
    outputs.refuse_image_in(own.with_name("answers.csv"), [own.parent])
