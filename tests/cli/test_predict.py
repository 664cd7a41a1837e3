"""The command predict: the table it writes, whatever the photographs are called, and resuming."""

import csv
import os
import shutil
import subprocess
import sys
from urllib.parse import unquote

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesions import data, evaluation, inference
from lesions.classes import CODES
from lesions.cli import answers_table, command_line
from lesions.data import images
from lesions.networks import models, views
from lesions.system.folders import REPOSITORY

BAD = ("zero.jpg", "truncated.jpg", "text.jpg", "one_pixel.png")


@pytest.fixture(scope="module")
def photographs(demo_metadata, tmp_path_factory):
    """A folder of twelve photographs."""
    folder = tmp_path_factory.mktemp("photographs")
    for path in demo_metadata["image_path"].iloc[:12]:
        shutil.copy(path, folder)  # a link elsewhere to the same file would change its times
    return folder


@pytest.fixture(scope="module")
def classifier(tiny_model):
    return inference.Classifier(tiny_model, tta=False)


@pytest.fixture
def bad(tmp_path, photographs):
    """A folder of four files that are no photographs, and one that is."""
    bad = tmp_path / "bad"
    bad.mkdir()
    whole = sorted(photographs.iterdir())[0].read_bytes()
    (bad / "zero.jpg").touch()
    (bad / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (bad / "text.jpg").write_text("not an image")
    cv2.imwrite(str(bad / "one_pixel.png"), np.zeros((1, 1, 3), np.uint8))
    (bad / "whole.JPG").write_bytes(whole)
    return bad


@pytest.fixture
def predict(tiny_model):
    """Run predict in this process; returns the exit code."""

    def run(output, *paths, options=()):
        arguments = ["predict", *map(str, paths), "--output", str(output), *options]
        return command_line.main([*arguments, "--model", str(tiny_model)])

    return run


def test_rows_and_columns(predict, photographs, tmp_path, capsys):
    assert predict(tmp_path / "new" / "answers.csv", photographs, options=["--no-tta"]) == 0
    table = pd.read_csv(tmp_path / "new" / "answers.csv")
    files = sorted(str(path) for path in photographs.iterdir())
    assert list(table.columns) == ["image", "predicted", *CODES, "warning", "error"]
    assert table["image"].tolist() == files
    assert table["error"].isna().all()
    assert np.allclose(table[list(CODES)].sum(axis=1), 1, atol=1e-5)
    assert (table["predicted"] == table[list(CODES)].idxmax(axis=1)).all()
    assert "Not for clinical use" in capsys.readouterr().out


class Interrupted:
    """A classifier that is interrupted once it has answered so many photographs."""

    def __init__(self, classifier, rows):
        self.classifier, self.rows = classifier, rows
        self.path, self.tta = classifier.path, classifier.tta

    def classify(self, paths, batch_size, patients=None):
        for number, row in enumerate(self.classifier.classify(paths, batch_size, patients)):
            if number == self.rows:
                raise KeyboardInterrupt
            yield row


class Counting:
    """A classifier that counts the photographs it answers."""

    def __init__(self, classifier):
        self.classifier, self.answered = classifier, 0
        self.path, self.tta = classifier.path, classifier.tta

    def classify(self, paths, batch_size, patients=None):
        for row in self.classifier.classify(paths, batch_size, patients):
            self.answered += 1
            yield row


@pytest.fixture
def stopped(classifier, photographs, tmp_path):
    """A table that was stopped after eight of twelve rows: its files, name, and partial file."""
    files = sorted(str(path) for path in photographs.iterdir())
    output = tmp_path / "answers.csv"
    with pytest.raises(KeyboardInterrupt):
        answers_table.write_answers(Interrupted(classifier, 8), files, output, 4)
    (partial,) = tmp_path.glob("answers.csv.*.partial")
    return files, output, partial


def resume(classifier, files, output):
    """Resume a table; returns how many photographs were answered for it."""
    counting = Counting(classifier)
    answers_table.write_answers(counting, files, output, 4, resume=True)
    assert not list(output.parent.glob("*.partial"))
    return counting.answered


def test_a_stopped_table_is_resumed_to_the_same_end(classifier, stopped, tmp_path):
    files, output, partial = stopped
    answers_table.write_answers(classifier, files, tmp_path / "whole.csv", 4)
    with open(partial, "a") as file:
        file.write("torn/line.jpg,nv,0.1")
    assert resume(classifier, files, output) == 4
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def nul_bytes(lines):
    lines[2] = bytes(len(lines[2]))
    return lines


def impossible_probability(lines):
    cells = next(csv.reader([lines[2].decode()]))
    lines[2] = lines[2].replace(cells[4].encode(), b"9.000000")
    return lines


def other_class(lines):
    cells = next(csv.reader([lines[2].decode()]))
    other = next(code for code in CODES if code != cells[1])
    lines[2] = lines[2].replace(f",{cells[1]},".encode(), f",{other},".encode())
    return lines


@pytest.mark.parametrize("damage", [nul_bytes, impossible_probability, other_class])
def test_a_damaged_row_is_computed_anew(classifier, stopped, tmp_path, damage):
    files, output, partial = stopped
    answers_table.write_answers(classifier, files, tmp_path / "whole.csv", 4)
    before = partial.read_bytes()
    partial.write_bytes(b"".join(damage(before.splitlines(keepends=True))))
    assert partial.read_bytes() != before
    assert resume(classifier, files, output) == 5
    found, expected = pd.read_csv(output), pd.read_csv(tmp_path / "whole.csv")
    pd.testing.assert_frame_equal(found, expected, atol=2e-6)  # batches of other photographs


def test_a_photograph_that_was_replaced_is_predicted_anew(classifier, photographs, tmp_path):
    files = [str(tmp_path / f"{number}.jpg") for number in range(3)]
    sources = sorted(photographs.iterdir())
    for path, source in zip(files, sources, strict=False):
        with open(path, "wb") as file:
            file.write(source.read_bytes())
    output = tmp_path / "answers.csv"
    with pytest.raises(KeyboardInterrupt):
        answers_table.write_answers(Interrupted(classifier, 2), files, output, 1)
    with open(files[0], "wb") as file:
        file.write(sources[5].read_bytes())
    assert resume(classifier, files, output) == 2
    found = pd.read_csv(output)[list(CODES)].iloc[0].to_numpy(float)
    expected = list(classifier.classify([sources[5]]))[0]
    assert np.abs(found - [expected[code] for code in CODES]).max() < 1e-5


def test_rows_of_other_files_or_views_are_not_taken(classifier, tiny_model, stopped):
    files, output, _ = stopped
    others = [files[0], files[9], *files[2:4]]
    assert resume(classifier, others, output) == 1
    assert pd.read_csv(output)["image"].tolist() == others
    with pytest.raises(KeyboardInterrupt):
        answers_table.write_answers(Interrupted(classifier, 8), files, output, 4)
    counting = Counting(inference.Classifier(tiny_model, tta=True))
    answers_table.write_answers(counting, files, output, 4, resume=True)
    assert counting.answered == len(files)


def test_rows_of_another_correction_are_not_taken(classifier, photographs, tmp_path):
    """The correction of a TensorFlow Lite network is in a file beside it."""
    files = sorted(str(path) for path in photographs.iterdir())
    output, model = tmp_path / "answers.csv", tmp_path / "model.tflite"
    model.write_bytes(b"weights")
    described = model.with_name("model.tflite.json")
    described.write_text("one correction")
    stopping, counting = Interrupted(classifier, 8), Counting(classifier)
    stopping.path = counting.path = model
    with pytest.raises(KeyboardInterrupt):
        answers_table.write_answers(stopping, files, output, 4)
    described.write_text("another")
    answers_table.write_answers(counting, files, output, 4, resume=True)
    assert counting.answered == len(files)


def test_without_resume_a_stopped_table_is_begun_anew(classifier, stopped):
    files, output, _ = stopped
    counting = Counting(classifier)
    answers_table.write_answers(counting, files, output, 4)
    assert counting.answered == len(files)


class Twice(Counting):
    """A classifier during whose work the same command is started once more."""

    def classify(self, paths, batch_size, patients=None):
        rows = super().classify(list(paths), batch_size, patients)
        for number, row in enumerate(rows):
            if number == 8:
                with pytest.raises(ValueError, match="Another command is writing"):
                    answers_table.write_answers(self.classifier, self.files, self.output, 4)
            yield row


def test_a_second_command_leaves_the_rows_of_the_first_alone(classifier, photographs, tmp_path):
    pytest.importorskip("fcntl")
    twice = Twice(classifier)
    twice.files = sorted(str(path) for path in photographs.iterdir())
    twice.output = tmp_path / "answers.csv"
    answers_table.write_answers(twice, twice.files, twice.output, 4)
    assert pd.read_csv(twice.output)["image"].tolist() == twice.files
    assert [path.name for path in tmp_path.iterdir()] == ["answers.csv"]


def test_a_program_without_stderr_predicts(predict, photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw, and after 2>&-
    assert predict(tmp_path / "answers.csv", photographs, options=["--no-tta"]) == 0


def test_nothing_is_left_where_nothing_was_answered(classifier, photographs, tmp_path):
    (tmp_path / "answers.csv").write_text("old")
    files = [str(path) for path in photographs.iterdir()]
    with pytest.raises(KeyboardInterrupt):
        answers_table.write_answers(Interrupted(classifier, 0), files, tmp_path / "answers.csv")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


NAMES = (
    b"a$b$c.jpg",
    b"=SUM(A1).jpg",
    b"+1.jpg",
    b"-photo.jpg",
    b"@home.jpg",
    b"line\nend.jpg",
    b"return\r.jpg",
    b"latin-\xe4.jpg",
    "皮肤.jpg".encode(),
    b"100%.jpg",
    b'comma, "quotes".jpg',
    b"x" * 251 + b".jpg",
)


def test_every_name_can_be_read_back(classifier, photographs, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    source = next(photographs.iterdir())
    for name in NAMES:
        os.link(source, os.path.join(os.fsencode(tmp_path), b"in", name))
    (tmp_path / "in" / "=broken.jpg").write_text("not an image")
    paths = sorted(os.listdir("."))
    answers_table.write_answers(classifier, paths, tmp_path / "answers.csv")
    table = pd.read_csv(tmp_path / "answers.csv", keep_default_na=False)
    assert [unquote(cell, errors="surrogateescape") for cell in table["image"]] == paths
    assert len((tmp_path / "answers.csv").read_bytes().splitlines()) == len(paths) + 1
    for column in ("image", "warning", "error"):
        assert not table[column].str.startswith(("=", "+", "-", "@")).any()
    assert table.set_index("image").loc["皮肤.jpg", "predicted"] in CODES


@pytest.mark.parametrize("tta", [True, False])
def test_probabilities_are_calibrated_and_averaged_over_views(
    predict, tiny_model, photographs, tmp_path, tta
):
    files = sorted(photographs.iterdir())[:3]
    options = ["--batch-size", "2"] + ([] if tta else ["--no-tta"])
    assert predict(tmp_path / "answers.csv", *files, options=options) == 0
    model, _ = models.load(tiny_model)
    pictures = np.stack([images.prepare(path, 64) for path in files])
    raw = views.predict(model, pictures, tta=tta)
    expected = evaluation.Correction(power=4.0).apply(raw)
    found = pd.read_csv(tmp_path / "answers.csv")[list(CODES)].to_numpy()
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(found - raw).max() > 1e-3


def test_bad_files_are_named_and_the_rest_goes_on(predict, bad, tmp_path, capsys):
    assert predict(tmp_path / "answers.csv", bad, options=["--batch-size", "2"]) == 1
    assert "4 of 5 photographs could not be read; see the column error" in capsys.readouterr().err
    table = pd.read_csv(tmp_path / "answers.csv", keep_default_na=False).set_index("image")
    for name in BAD:
        row = table.loc[str(bad / name)]
        assert name in row["error"] and row["error"].endswith(".")
        assert row["predicted"] == "" and (row[list(CODES)] == "").all()
    row = table.loc[str(bad / "whole.JPG")]
    assert row["error"] == "" and row["predicted"] in CODES


def test_missing_file_is_a_row_with_an_error(predict, tmp_path):
    assert predict(tmp_path / "answers.csv", tmp_path / "missing.jpg") == 1
    assert "missing.jpg" in pd.read_csv(tmp_path / "answers.csv")["error"][0]


def test_every_kind_of_picture_is_accepted(predict, tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (40, 50, 4), dtype=np.uint8)
    for mode, name in (("L", "grey.png"), ("RGBA", "alpha.png"), ("CMYK", "cmyk.jpg")):
        Image.fromarray(colours).convert(mode).save(tmp_path / name)
    cv2.imwrite(str(tmp_path / "deep.png"), colours[..., :3].astype(np.uint16) * 257)
    assert predict(tmp_path / "answers.csv", tmp_path, options=["--no-tta"]) == 0
    assert len(pd.read_csv(tmp_path / "answers.csv")) == 4


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short"])
def test_a_damaged_file_of_familiarity_is_said(tiny_model, photographs, tmp_path, capsys, content):
    (tmp_path / "model.h5").write_bytes(tiny_model.read_bytes())
    (tmp_path / "familiarity.npz").write_bytes(content)
    path = sorted(photographs.iterdir())[0]
    arguments = ["predict", path, "--output", tmp_path / "a.csv", "--model", tmp_path, "--no-tta"]
    assert command_line.main([str(argument) for argument in arguments]) == 0
    assert "familiarity.npz is not a valid" in capsys.readouterr().err


def test_without_the_file_of_familiarity_predict_says_what_it_does_not_check(
    tiny_model, photographs, tmp_path, capsys
):
    (tmp_path / "model.h5").write_bytes(tiny_model.read_bytes())
    path = sorted(photographs.iterdir())[0]
    arguments = ["predict", path, "--output", tmp_path / "a.csv", "--model", tmp_path, "--no-tta"]
    assert command_line.main([str(argument) for argument in arguments]) == 0
    said = capsys.readouterr().err
    assert "There is no familiarity.npz" in said
    assert f"familiarity --model {tmp_path / 'model.h5'}" in said


def test_heat_maps_among_the_photographs_are_left_out_and_said(
    predict, photographs, tmp_path, capsys
):
    (tmp_path / "in" / "maps").mkdir(parents=True)
    sources = sorted(photographs.iterdir())
    (tmp_path / "in" / "a.jpg").hardlink_to(sources[0])
    (tmp_path / "in" / "maps" / "a_gradcam.jpg").hardlink_to(sources[1])
    assert predict(tmp_path / "a.csv", tmp_path / "in", options=["--no-tta"]) == 0
    assert pd.read_csv(tmp_path / "a.csv")["image"].tolist() == [str(tmp_path / "in" / "a.jpg")]
    assert "Skipped 1 heat map" in capsys.readouterr().out
    assert predict(tmp_path / "a.csv", tmp_path / "in" / "maps") == 2
    named = tmp_path / "in" / "maps" / "a_gradcam.jpg"
    assert predict(tmp_path / "a.csv", named, options=["--no-tta"]) == 0


@pytest.fixture
def of_patients(patient_model, photographs, tmp_path, capsys):
    """Run predict on the network with numbers for patients; returns table, exit code, stderr."""

    def run(*options, paths=(photographs,), model=patient_model):
        output = tmp_path / "answers.csv"
        arguments = ["predict", *paths, "--output", output, "--no-tta", "--model", model, *options]
        code = command_line.main([str(argument) for argument in arguments])
        table = pd.read_csv(output, keep_default_na=False) if code == 0 else None
        return table, code, capsys.readouterr().err

    return run


def test_age_sex_and_site_of_one_photograph(of_patients, patient_model, photographs):
    path = sorted(photographs.iterdir())[0]
    alone, *_ = of_patients(paths=[path])
    given, *_ = of_patients("--age", "62,5 y", "--sex", "M", "--site", "Ear", paths=[path])
    assert "patient" not in alone.columns
    assert list(given.columns)[-3:] == ["patient", "warning", "error"]
    assert given["patient"][0] == "age 62.5, male, ear"
    classifier = inference.Classifier(patient_model)
    expected = classifier.fusion.apply(alone[list(CODES)], [62.5], ["male"], ["ear"])
    assert np.abs(given[list(CODES)].to_numpy() - expected).max() < 1e-5


def test_a_table_of_patients(of_patients, photographs, tmp_path):
    ids = [path.stem for path in sorted(photographs.iterdir())]
    table = pd.DataFrame({"image_id": ids[:4], "age": [70, None, 30, None]})
    table["localization"] = ["ear", "", None, "back"]
    table.to_csv(tmp_path / "patients.csv", sep=";", index=False)
    found, code, error = of_patients("--patients", tmp_path / "patients.csv")
    assert found["patient"].tolist() == ["age 70, ear", "", "age 30", "back", *[""] * 8]
    assert code == 0 and "does not name 8 of 12 photographs" in error
    alone, *_ = of_patients()
    changed = np.abs(found[list(CODES)] - alone[list(CODES)]).max(axis=1) > 1e-5
    assert changed.tolist() == [True, False, True, True, *[False] * 8]


def test_a_row_whose_patient_changed_is_computed_anew(patient_model, photographs, tmp_path):
    classifier = inference.Classifier(patient_model, tta=False)
    files = sorted(map(str, photographs.iterdir()))
    output, patients = tmp_path / "a.csv", dict.fromkeys(files, data.Patient(70.0))
    with pytest.raises(KeyboardInterrupt):
        stopped = Interrupted(classifier, 8)
        answers_table.write_answers(stopped, files, output, 4, patients=patients)
    patients[files[2]] = data.Patient(20.0)
    counting = Counting(classifier)
    answers_table.write_answers(counting, files, output, 4, True, patients=patients)
    assert counting.answered == 5
    assert pd.read_csv(output)["patient"].tolist() == ["age 70"] * 2 + ["age 20"] + ["age 70"] * 9


def test_patients_that_make_no_sense_are_refused(
    of_patients, tiny_model, photographs, tmp_path, one_sentence
):
    path = sorted(photographs.iterdir())[0]
    table = tmp_path / "patients.csv"
    table.write_text("image_id,age\nother,50\n")
    cases = [
        (["--age", "-1"], [path], ["'-1'"]),
        (["--sex", "x"], [path], ["'x'"]),
        (["--site", "moon"], [path], ["'moon'"]),
        (["--age", "50"], [photographs], ["12", "--patients"]),
        (["--age", "50", "--patients", table], [path], ["--patients"]),
        (["--patients", table], [path], ["names none", path.name.removesuffix(".jpg")]),
    ]
    for options, paths, words in cases:
        _, code, error = of_patients(*options, paths=paths)
        one_sentence(error.removeprefix("error: ").replace(".csv", "").replace(".jpg", ""), *words)
        assert code == 2
    _, code, error = of_patients("--age", "50", paths=[path], model=tiny_model)
    assert code == 2 and "was not fitted to age, sex and site" in error


def test_one_row_for_two_photographs_of_one_name_is_refused(of_patients, photographs, tmp_path):
    table = tmp_path / "patients.csv"
    table.write_text("image_id,age\n1,50\n")
    for folder, source in zip("ab", sorted(photographs.iterdir()), strict=False):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.jpg").hardlink_to(source)
    paths = [tmp_path / "a", tmp_path / "b"]
    _, code, error = of_patients("--patients", table, paths=paths)
    assert code == 2 and "a/1.jpg" in error and "b/1.jpg" in error
    (tmp_path / "b" / "1.jpg").unlink()
    (tmp_path / "b" / "1.jpg").hardlink_to(tmp_path / "a" / "1.jpg")
    found, *_ = of_patients("--patients", table, paths=paths)
    assert found["patient"].tolist() == ["age 50"] * 2


@pytest.mark.slow
def test_memory_stays_flat_over_many_files(classifier, photographs, tmp_path):
    psutil = pytest.importorskip("psutil")
    source = sorted(photographs.iterdir())[0]
    (tmp_path / "many").mkdir()
    for number in range(1500):
        (tmp_path / "many" / f"{number:05d}.jpg").hardlink_to(source)
    memory = []
    for number, row in enumerate(classifier.classify(inference.find_images([tmp_path / "many"]))):
        assert not row["error"]
        if number % 250 == 249:
            memory.append(psutil.Process().memory_info().rss / 1e6)
    assert memory[-1] - memory[1] < 40, memory


UNNEEDED = (
    "imblearn matplotlib seaborn papermill nbformat fastapi streamlit lesions.training "
    "lesions.study lesions.explanation lesions.figures lesions.export lesions.serving"
)
BLOCKED = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if any(name == one or name.startswith(one + ".") for one in sys.argv[1].split()):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Block())
from lesions.cli import main
raise SystemExit(main(sys.argv[2:]))
"""


@pytest.mark.slow
def test_predict_needs_no_other_room_and_says_nothing_on_stderr(tiny_model, photographs, tmp_path):
    arguments = ["predict", photographs, "--output", tmp_path / "a.csv", "--no-tta"]
    command = [sys.executable, "-c", BLOCKED, UNNEEDED, *arguments, "--model", tiny_model]
    done = subprocess.run(
        [str(part) for part in command], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(pd.read_csv(tmp_path / "a.csv")) == 12
