"""The commands explain and export: what they write, and under which names."""

import json
import os
import shutil
import unicodedata

import pytest
from PIL import Image

from lesions import export, inference
from lesions.classes import CODES
from lesions.cli import command_line, explain
from lesions.export import formats
from lesions.networks import description


@pytest.fixture
def photograph(demo_metadata):
    return demo_metadata["image_path"].iloc[0]


@pytest.fixture
def explained(tiny_model, tmp_path):
    """Explain melanoma in photographs; returns the exit code."""

    def run(*paths, output=tmp_path / "maps"):
        arguments = ["explain", *map(os.fspath, paths), "--class", "mel", "--output", str(output)]
        return command_line.main([*arguments, "--model", str(tiny_model)])

    return run


def test_explain_writes_three_panels(explained, photograph, tmp_path, capsys):
    (tmp_path / "zero.jpg").touch()
    assert explained(photograph, photograph, tmp_path / "zero.jpg") == 1
    stem = os.path.basename(photograph).removesuffix(".jpg")
    written = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert written == [f"{stem}_2_gradcam.jpg", f"{stem}_gradcam.jpg"]
    assert Image.open(tmp_path / "maps" / written[1]).size == (1000, 390)
    assert "1 of 3 photographs could not be read" in capsys.readouterr().err


def test_no_heat_map_takes_the_place_of_another(tmp_path):
    paths = ["a/x.jpg", "a/x_2.jpg", "b/x.jpg", "b/X.jpg", "c/" + "皮" * 83 + ".jpg"]
    paths += ["a/\u00e4.jpg", "b/a\u0308.jpg"]  # ä in one and in two characters
    pictures = explain.picture_paths(paths, tmp_path)
    names = {unicodedata.normalize("NFC", str(picture)).casefold() for picture in pictures}
    assert len(names) == len(paths)
    assert all(len(os.fsencode(picture.name)) <= 255 for picture in pictures)


NAMES = (b"a$b_{c$.jpg", "皮肤.jpg".encode(), b"return\r\n.jpg", b"latin-\xe4.jpg")


def test_any_name_is_drawn(explained, photograph, tmp_path, recwarn):
    long = b"x" * 251 + b".jpg"
    paths = [os.path.join(os.fsencode(tmp_path), name) for name in (*NAMES, long)]
    for path in paths:
        shutil.copy(photograph, path)
    assert explained(*map(os.fsdecode, paths)) == 0
    assert len(list((tmp_path / "maps").iterdir())) == len(paths)
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_explain_skips_what_it_wrote_into_the_folder_that_it_reads(
    explained, photograph, tmp_path, capsys
):
    shutil.copy(photograph, tmp_path / "photo.jpg")
    for _ in range(2):
        assert explained(tmp_path, output=tmp_path) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["photo.jpg", "photo_gradcam.jpg"]
    assert "Skipped 1 heat map that" in capsys.readouterr().out


@pytest.fixture
def export_to(tiny_model):
    """Export the network; returns the exit code."""

    def run(format, output):
        arguments = ["export", "--format", format, "--output", os.fspath(output)]
        return command_line.main([*arguments, "--model", str(tiny_model)])

    return run


# The package of ONNX would write JSON under its name here.
PLACES = {
    "savedmodel": b"model.savedmodel",
    "onnx": b"latin-\xe9/network.json",
    "tflite": b"latin-\xe9/network.onnx",
}


@pytest.mark.parametrize("format", export.FORMATS)
def test_export_is_checked_and_described_under_any_name(export_to, tmp_path, capsys, format):
    if format == "onnx":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    path = tmp_path / os.fsdecode(PLACES[format])
    assert export_to(format, path) == 0
    assert "Checked: the same probabilities" in capsys.readouterr().out
    beside = description.beside(path)
    assert sorted(path.parent.iterdir()) == [path, beside]
    assert path.is_dir() == (format == "savedmodel")
    written = json.loads(beside.read_text())
    assert written["classes"] == list(CODES) and written["correction"]["power"] == 4.0


def place(lite_file, path):
    """Put an exported file and its description at a path."""
    path.parent.mkdir(exist_ok=True)
    shutil.copy(lite_file, path)
    shutil.copy(description.beside(lite_file), description.beside(path))


def test_a_lite_file_in_a_folder_whose_name_is_no_text_predicts(lite_file, photograph, tmp_path):
    path = tmp_path / os.fsdecode(b"latin-\xe9") / "network.tflite"
    place(lite_file, path)
    (row,) = inference.Classifier(path, tta=False).classify([photograph])
    assert row["predicted"] in CODES


@pytest.mark.parametrize("fails", [False, True])
def test_an_export_is_replaced_with_its_description_or_not_at_all(
    export_to, lite_file, tmp_path, monkeypatch, fails
):
    path = tmp_path / "network.tflite"
    place(lite_file, path)
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}

    def write(model, format, temporary, precision):
        temporary.write_bytes(b"new weights")
        if fails:
            raise ValueError("The exported network answers differently.")
        return "Checked."

    monkeypatch.setattr(formats, "_write", write)
    assert export_to("tflite", path) == (2 if fails else 0)
    after = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    assert after.keys() == before.keys() and (after == before) == fails
    if not fails:
        assert after[path.name] == b"new weights"
        described = json.loads(after["network.tflite.json"])
        assert described["digest"] == description.file_digest(path)


def test_what_an_export_cannot_replace_is_refused_before_anything_is_written(
    export_to, lite_file, tmp_path, capsys
):
    path = tmp_path / "network.tflite"
    place(lite_file, path)
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    assert export_to("savedmodel", path) == 2
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before
    (tmp_path / "other.tflite.json").mkdir()
    assert export_to("tflite", tmp_path / "other.tflite") == 2
    assert not (tmp_path / "other.tflite").exists()
    errors = capsys.readouterr().err.splitlines()
    assert "is a file, and a savedmodel is a folder" in errors[0]
    assert "other.tflite.json cannot be written (it is a folder)" in errors[1]
