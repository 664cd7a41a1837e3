"""The command line: what it writes, what it says of bad input, and its exit codes."""

import json
import re
import shutil
import subprocess
import sys
from unittest.mock import Mock

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesions import evaluation, explanation, export, inference
from lesions.classes import CODES
from lesions.cli import commands
from lesions.cli import parser as command_line
from lesions.data import demo, images
from lesions.evaluation import predictions
from lesions.networks import models, views
from lesions.study import recipes

BAD = ("zero.jpg", "truncated.jpg", "text.jpg", "one_pixel.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny untrained network, and the demo set's photographs."""
    folder = tmp_path_factory.mktemp("command line")
    models.save(models.build("cnn", 64, "random"), folder / "cnn.h5", {"temperature": 0.25})
    demo.make_demo(folder / "demo", images=60)
    return folder


@pytest.fixture
def photographs(folder):
    return folder / "demo" / demo.PARTS[0]


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


def predict(folder, output, *paths, options=()):
    """Runs predict in this process; returns the exit code."""
    arguments = ["predict", *map(str, paths), "--output", str(output), *options]
    return command_line.main([*arguments, "--model", str(folder / "cnn.h5")])


def test_rows_and_columns(folder, photographs, tmp_path, capsys):
    assert predict(folder, tmp_path / "new" / "answers.csv", photographs, options=["--no-tta"]) == 0
    table = pd.read_csv(tmp_path / "new" / "answers.csv")
    files = sorted(str(path) for path in photographs.iterdir())
    assert list(table.columns) == ["image", "predicted", *CODES, "error"]
    assert table["image"].tolist() == files
    assert table["error"].isna().all()
    assert np.allclose(table[list(CODES)].sum(axis=1), 1, atol=1e-5)
    assert (table["predicted"] == table[list(CODES)].idxmax(axis=1)).all()
    assert "Not for clinical use" in capsys.readouterr().out


def stop_after(rows, monkeypatch):
    """Makes the network answer so many photographs and then be interrupted."""
    answer = inference.predictions.predict
    seen = []

    def predict_or_stop(model, pictures, *arguments, **options):
        if sum(seen) >= rows:
            raise KeyboardInterrupt
        seen.append(len(pictures))
        return answer(model, pictures, *arguments, **options)

    monkeypatch.setattr(inference.predictions, "predict", predict_or_stop)
    return seen


def test_a_stopped_table_is_resumed_to_the_same_end(folder, photographs, tmp_path, capsys):
    quick = ["--no-tta", "--batch-size", "4"]
    whole, stopped = tmp_path / "whole.csv", tmp_path / "stopped.csv"
    assert predict(folder, whole, photographs, options=quick) == 0
    with pytest.MonkeyPatch.context() as patch:
        stop_after(8, patch)
        assert predict(folder, stopped, photographs, options=quick) == 130
    assert "--resume" in capsys.readouterr().err and not stopped.exists()
    (partial,) = tmp_path.glob("stopped.csv.*.partial")
    with open(partial, "a") as file:
        file.write("torn/line.jpg,nv,0.1")
    with pytest.MonkeyPatch.context() as patch:
        seen = stop_after(1000, patch)
        assert predict(folder, stopped, photographs, options=[*quick, "--resume"]) == 0
    assert sum(seen) == len(list(photographs.iterdir())) - 8
    assert stopped.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stopped.csv", "whole.csv"]


def test_rows_of_other_files_or_another_network_are_not_kept(folder, photographs, tmp_path):
    files = sorted(photographs.iterdir())[:8]
    output = tmp_path / "answers.csv"
    quick = ["--no-tta", "--batch-size", "2"]
    with pytest.MonkeyPatch.context() as patch:
        stop_after(4, patch)
        assert predict(folder, output, *files, options=quick) == 130
    swapped = [files[0], files[2], *files[3:]]
    assert predict(folder, output, *swapped, options=[*quick, "--resume"]) == 0
    assert pd.read_csv(output)["image"].tolist() == [str(path) for path in swapped]
    assert list(tmp_path.glob("*.partial")) == []
    with pytest.MonkeyPatch.context() as patch:
        stop_after(4, patch)
        assert predict(folder, output, *files, options=quick) == 130
    with pytest.MonkeyPatch.context() as patch:
        seen = stop_after(1000, patch)
        assert predict(folder, output, *files, options=["--resume"]) == 0
    assert sum(seen) == len(files)


@pytest.mark.slow
def test_memory_stays_flat_over_many_files(folder, photographs, tmp_path):
    psutil = pytest.importorskip("psutil")
    source = sorted(photographs.iterdir())[0]
    (tmp_path / "many").mkdir()
    for number in range(1500):
        (tmp_path / "many" / f"{number:05d}.jpg").hardlink_to(source)
    classifier = inference.Classifier(folder / "cnn.h5", tta=False)
    memory = []
    for number, row in enumerate(classifier.classify(inference.find_images([tmp_path / "many"]))):
        assert not row["error"]
        if number % 250 == 249:
            memory.append(psutil.Process().memory_info().rss / 1e6)
    assert memory[-1] - memory[1] < 40, memory


@pytest.mark.parametrize("tta", [True, False])
def test_probabilities_are_calibrated_and_averaged_over_views(folder, photographs, tmp_path, tta):
    files = sorted(photographs.iterdir())[:3]
    options = ["--batch-size", "2"] + ([] if tta else ["--no-tta"])
    assert predict(folder, tmp_path / "answers.csv", *files, options=options) == 0
    model, _ = models.load(folder / "cnn.h5")
    pictures = np.stack([images.prepare(path, 64) for path in files])
    raw = views.predict(model, pictures, tta=tta)
    expected = evaluation.apply_temperature(raw, 0.25)
    found = pd.read_csv(tmp_path / "answers.csv")[list(CODES)].to_numpy()
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(found - raw).max() > 1e-3


def test_views_change_the_answer(folder, photographs):
    pictures = np.stack([images.prepare(next(photographs.iterdir()), 64)])
    answers = [
        inference.Classifier(folder / "cnn.h5", tta).probabilities(pictures)
        for tta in (True, False)
    ]
    assert np.abs(answers[0] - answers[1]).max() > 1e-6


def test_score_on_other_photographs_is_that_of_their_predictions(
    folder, photographs, tmp_path, capsys
):
    """ISIC 2018's layout: a one-hot ground truth beside photographs without lesion ids."""
    table = pd.read_csv(folder / "demo" / "HAM10000_metadata.csv")
    truth = pd.DataFrame({"image": table["image_id"]})
    for code in CODES:
        truth[code.upper()] = (table["dx"] == code).astype(float)
    other = tmp_path / "official"
    other.mkdir()
    truth.to_csv(other / "ISIC2018_Task3_Test_GroundTruth.csv", index=False)
    for part in demo.PARTS:
        for path in (folder / "demo" / part).iterdir():
            (other / path.name).symlink_to(path)
    arguments = ["evaluate", "--data", str(other), "--model", str(folder / "cnn.h5")]
    assert command_line.main(arguments) == 0
    shown = capsys.readouterr().out
    assert predict(folder, tmp_path / "answers.csv", other) == 0
    answers = pd.read_csv(tmp_path / "answers.csv")
    stems = answers["image"].map(lambda path: path.split("/")[-1].removesuffix(".jpg"))
    true = stems.map(table.set_index("image_id")["dx"])
    recalls = [(answers["predicted"][true == code] == code).mean() for code in CODES]
    assert f"the classes it names: {np.mean(recalls):.3f}." in shown
    assert "macro_auc" in shown and "trained or chosen on" not in shown


def test_decision_heeds_the_stored_prior(folder):
    classifier = inference.Classifier(folder / "cnn.h5")
    probabilities = np.array([[0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.1]])
    assert classifier.decide(probabilities) == ["nv"]
    classifier.details["log_prior"] = np.log([0.1, 0.1, 0.1, 0.1, 0.1, 0.4, 0.1]).tolist()
    assert classifier.decide(probabilities) == ["mel"]


def test_network_with_patient_input_answers_without_one(tmp_path, photographs):
    model = models.build("cnn", 64, "random", patient=True)
    classifier = inference.Classifier(models.save(model, tmp_path / "patient.h5", {}), tta=False)
    rows = list(classifier.classify(sorted(photographs.iterdir())[:2]))
    assert [row["error"] for row in rows] == ["", ""]
    assert sum(rows[0][code] for code in CODES) == pytest.approx(1)


def test_bad_files_are_named_and_the_rest_goes_on(folder, bad, tmp_path, capsys):
    assert predict(folder, tmp_path / "answers.csv", bad, options=["--batch-size", "2"]) == 1
    assert "4 of 5 images could not be read; see the column error" in capsys.readouterr().err
    table = pd.read_csv(tmp_path / "answers.csv", keep_default_na=False).set_index("image")
    for name in BAD:
        row = table.loc[str(bad / name)]
        assert name in row["error"] and row["error"].endswith(".")
        assert row["predicted"] == "" and (row[list(CODES)] == "").all()
    row = table.loc[str(bad / "whole.JPG")]
    assert row["error"] == "" and row["predicted"] in CODES


def test_missing_file_is_a_row_with_an_error(folder, tmp_path):
    assert predict(folder, tmp_path / "answers.csv", tmp_path / "missing.jpg") == 1
    assert "missing.jpg" in pd.read_csv(tmp_path / "answers.csv")["error"][0]


def test_every_kind_of_picture_is_accepted(folder, tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (40, 50, 4), dtype=np.uint8)
    for mode, name in (("L", "grey.png"), ("RGBA", "alpha.png"), ("CMYK", "cmyk.jpg")):
        Image.fromarray(colours).convert(mode).save(tmp_path / name)
    cv2.imwrite(str(tmp_path / "deep.png"), colours[..., :3].astype(np.uint16) * 257)
    assert predict(folder, tmp_path / "answers.csv", tmp_path, options=["--no-tta"]) == 0
    assert len(pd.read_csv(tmp_path / "answers.csv")) == 4


def test_folders_are_searched_below_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a/c.JPEG", "a/.hidden.jpg", "notes.txt", "a_segmentation.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert inference.find_images(["in/notes.txt", "in"]) == [
        "in/notes.txt",
        "in/a/c.JPEG",
        "in/b.png",
    ]


def fails(capsys, arguments, *words):
    """Asserts that a command ends with 2 and one line on stderr that has all words."""
    assert command_line.main([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1, error
    for word in words:
        assert word in error


def test_failures_are_one_sentence(folder, photographs, tmp_path, capsys):
    (tmp_path / "text.h5").write_text("no model")
    (tmp_path / "empty").mkdir()
    for model, word in (("text.h5", "not an .h5 file"), ("none.h5", "lesions train")):
        arguments = ["predict", photographs, "--output", tmp_path / "a.csv"]
        fails(capsys, [*arguments, "--model", tmp_path / model], model, word)
    fails(capsys, ["predict", tmp_path / "empty", "--output", "a.csv"], "no .jpg")
    file = next(photographs.iterdir())
    arguments = ["predict", file, "--no-tta", "--model", folder / "cnn.h5", "--output"]
    fails(capsys, [*arguments, tmp_path / "empty"], "is a folder")
    fails(capsys, [*arguments, tmp_path / "text.h5" / "a.csv"], "cannot be written")
    fails(capsys, ["evaluate", tmp_path], "no run folder")
    fails(capsys, ["train", "nosuch", "--profile", "demo"], "nosuch", *models.ARCHITECTURES)
    fails(capsys, ["train", "cnn", "--set", "speed=9"], "speed=9", "dropout")
    fails(capsys, ["train", "cnn", "--data", tmp_path / "empty"], "HAM10000_metadata.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "text.h5"]


def test_no_half_written_table(folder, photographs, tmp_path, monkeypatch):
    (tmp_path / "answers.csv").write_text("old")

    for error, code in ((ValueError("stop."), 2), (KeyboardInterrupt(), 130)):
        stop = Mock(side_effect=error)
        monkeypatch.setattr(inference.predictions, "predict", stop)
        assert predict(folder, tmp_path / "answers.csv", photographs) == code
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_settings_are_typed():
    text = ["dropout=0.5", "batch_size=8", "oversampling=yes", "colour_constancy=none", "tag=a=b"]
    assert recipes.read_settings(text) == {
        "dropout": 0.5,
        "batch_size": 8,
        "oversampling": True,
        "colour_constancy": None,
        "tag": "a=b",
    }
    for wrong in ("dropout=much", "batch_size=8.5", "oversampling=maybe", "dropout"):
        with pytest.raises(ValueError, match=re.escape(wrong.split("=")[0])):
            recipes.read_settings([wrong])


def test_train_passes_the_recipe_on(folder, monkeypatch, tmp_path):
    seen = {}

    def train_or_load(config, metadata, store, runs_folder, recorded, retrain):
        seen.update(config=config, runs=runs_folder, rows=len(metadata), retrain=retrain)
        raise ValueError("enough.")

    monkeypatch.setattr(commands.training, "train_or_load", train_or_load)
    # Sixty images are too few to split, and the full demo set takes long to draw.
    monkeypatch.setattr(demo, "make_demo", lambda path: folder / "demo")
    monkeypatch.setattr(commands.data, "with_split", lambda metadata: metadata)
    monkeypatch.setenv("LESIONS_BUILD", str(tmp_path))
    options = "--profile demo --quick --seed 3 --epochs 5 --image-size 64 --set mixup=0.2".split()
    assert command_line.main(["train", "cnn", *options]) == 2
    config = seen["config"]
    assert (config.architecture, config.seed, config.epochs) == ("cnn", 3, 5)
    assert (config.image_size, config.mixup, seen["retrain"]) == (64, 0.2, False)
    assert seen["runs"] == tmp_path / "runs" / "demo-quick"


def write_run(folder, metadata, skill):
    """Writes a run folder by hand whose answers are right more often the higher the skill."""
    random = np.random.default_rng(0)
    scores = random.gamma(1, size=(len(metadata), 7))
    scores[np.arange(len(metadata)), metadata["dx"].map(CODES.index)] += skill
    folder.mkdir(parents=True)
    frame = predictions.table(metadata, scores / scores.sum(axis=1, keepdims=True))
    predictions.write_predictions(frame, folder / "predictions.csv")
    record = {"config": {"architecture": "cnn", "image_size": 64}, "seconds": 90.0}
    (folder / "config.json").write_text(json.dumps(record))
    (folder / "metrics.json").write_text("{}")


def test_evaluate_remakes_the_comparison(tmp_path, capsys):
    rows = pd.DataFrame({"dx": list(CODES) * 20})
    rows["image_id"] = rows["lesion_id"] = [f"image_{number}" for number in range(len(rows))]
    rows["split"] = ["validation", "test"] * (len(rows) // 2)
    for name, skill in (("a_worse", 0.5), ("b_better", 3.0)):
        write_run(tmp_path / name, rows, skill)
    assert command_line.main(["evaluate", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / "comparison.csv")
    assert table["run"].tolist() == ["b_better", "a_worse"]
    printed = capsys.readouterr().out
    assert printed.index("b_better") < printed.index("a_worse")
    assert f"{table['test_balanced_accuracy'][0]:.3f} [" in printed


def test_explain_writes_three_panels(folder, photographs, bad, tmp_path, capsys):
    first = sorted(photographs.iterdir())[0]
    arguments = ["explain", str(first), str(first), str(bad / "zero.jpg"), "--class", "mel"]
    arguments += ["--output", str(tmp_path / "maps"), "--model", str(folder / "cnn.h5")]
    assert command_line.main(arguments) == 1
    written = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert written == [f"{first.stem}_2_gradcam.jpg", f"{first.stem}_gradcam.jpg"]
    assert Image.open(tmp_path / "maps" / written[1]).size == (1000, 390)
    assert "1 of 3 images could not be read" in capsys.readouterr().err


def test_no_heat_map_takes_the_place_of_another(folder, photographs, tmp_path):
    first = sorted(photographs.iterdir())[0]
    paths = [tmp_path / name for name in ("a/x.jpg", "a/x_2.jpg", "b/x.jpg", "b/X.jpg")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        shutil.copy(first, path)
    arguments = ["explain", *map(str, paths), "--class", "mel"]
    arguments += ["--output", str(tmp_path / "maps"), "--model", str(folder / "cnn.h5")]
    assert command_line.main(arguments) == 0
    written = {path.name.lower() for path in (tmp_path / "maps").iterdir()}
    assert len(written) == len(paths)


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_export_is_checked_and_described(folder, tmp_path, capsys, format):
    path = tmp_path / f"model.{format}"
    arguments = ["export", "--format", format, "--output", str(path)]
    assert command_line.main([*arguments, "--model", str(folder / "cnn.h5")]) == 0
    assert "Checked: the same probabilities" in capsys.readouterr().out
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / f"model.{format}.json"]
    description = json.loads((tmp_path / f"model.{format}.json").read_text())
    assert description["classes"] == list(CODES) and description["temperature"] == 0.25


def test_lists_in_the_help_are_those_of_the_package():
    assert command_line.ARCHITECTURES == models.ARCHITECTURES
    assert command_line.METHODS == tuple(explanation.METHODS)
    assert command_line.FORMATS == export.FORMATS
    assert command_line.PRECISIONS == export.PRECISIONS


@pytest.mark.parametrize(
    "command", ["train", "predict", "evaluate", "explain", "serve", "familiarity", "export"]
)
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line.main([command, "--help"])
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    assert f"python -m lesions {command}" in text and "Not for clinical use" in text


@pytest.mark.slow
def test_help_and_evaluate_import_no_keras(tmp_path):
    code = (
        "import sys; from lesions.cli import parser as m\n"
        "try: m.main(['--help'])\nexcept SystemExit: pass\n"
        f"m.main(['evaluate', {str(tmp_path)!r}])\n"
        "print([name for name in ('keras', 'tensorflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("[]\n"), done.stderr


@pytest.mark.slow
def test_stderr_is_empty_when_all_goes_well(folder, photographs, tmp_path):
    arguments = ["predict", photographs, "--output", tmp_path / "a.csv", "--no-tta"]
    command = [sys.executable, "-m", "lesions", *arguments, "--model", folder / "cnn.h5"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
