"""The command line: its help, its exit codes, and one sentence for whatever goes wrong."""

import errno
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tiny

from lesions import data, evaluation, explanation, export, inference
from lesions.classes import CODES
from lesions.cli import command_line, evaluate, explain
from lesions.cli import export as export_command
from lesions.evaluation import answering, predictions
from lesions.networks import models, views
from lesions.system.folders import REPOSITORY


@pytest.fixture
def fails(capsys):
    """Check that a command ends with 2 and one line on stderr that has all words."""

    def check(arguments, *words):
        assert command_line.main([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1, error
        for word in words:
            assert word in error

    return check


def test_failures_are_one_sentence(fails, tiny_model, demo_metadata, tmp_path):
    (tmp_path / "text.h5").write_text("no model")
    (tmp_path / "empty").mkdir()
    file = demo_metadata["image_path"].iloc[0]
    for model, word in (("text.h5", "not an .h5 file"), ("none.h5", "lesions train")):
        arguments = ["predict", file, "--output", tmp_path / "a.csv"]
        fails([*arguments, "--model", tmp_path / model], model, word)
    fails(["predict", tmp_path / "empty", "--output", "a.csv"], "no .jpg")
    arguments = ["predict", file, "--no-tta", "--model", tiny_model, "--output"]
    fails([*arguments, tmp_path / "empty"], "is a folder")
    fails([*arguments, tmp_path / "text.h5" / "a.csv"], "cannot be written")
    for folder in (tmp_path, tmp_path / "nowhere"):
        fails(["evaluate", folder], str(folder), "above the runs")
    arguments = ["export", "--format", "tflite", "--model", tiny_model, "--output"]
    fails([*arguments, tmp_path / "empty"], "empty", "name another --output")
    fails([*arguments, "/proc/skin.tflite"], "/proc/skin.tflite", "name another --output")
    arguments = ["export", "--format", "savedmodel", "--precision", "int8", "--output"]
    arguments += [tmp_path / "out", "--model", tmp_path / "text.h5"]  # which nobody reads
    fails(arguments, "int8", "leave it out for savedmodel")
    fails(["train", "nosuch", "--profile", "demo"], "nosuch", *models.ARCHITECTURES)
    fails(["train", "cnn", "--set", "speed=9"], "speed=9", "dropout")
    fails(["train", "cnn", "--data", tmp_path / "empty"], "HAM10000_metadata.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "text.h5"]


@pytest.mark.parametrize("option", ["--model", "--data", "--output"])
def test_an_empty_name_is_refused_and_no_other_taken_for_it(option, capsys):
    with pytest.raises(SystemExit) as error:
        command_line.main(["evaluate", "--data", "photographs", option, ""])
    assert error.value.code == 2
    assert f"{option}: an empty name was given" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["export", "--format", "tflite"], ["explain", "photo.jpg"], ["familiarity"]]
)
def test_a_lite_file_that_holds_no_layers_is_refused(fails, lite_file, tmp_path, arguments):
    output = [] if arguments == ["familiarity"] else ["--output", tmp_path / "out"]
    fails([*arguments, *output, "--model", lite_file], lite_file.name, ".h5 file")


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (OSError(errno.EROFS, "Read-only file system", "/repo/build"), "LESIONS_BUILD"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/a.csv"),
            "/a.csv cannot be read or written",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file", "/gone"), "/gone cannot be used"),
        (ModuleNotFoundError("No module named 'tqdm'", name="tqdm"), "package tqdm is not"),
    ],
)
def test_what_the_system_refuses_names_the_file_and_the_way_out(error, word):
    sentence = command_line._sentence(error)
    assert word in sentence and sentence.endswith(".")


@pytest.mark.slow
def test_train_leaves_the_run_that_its_options_describe(demo_folder, tmp_path, capsys):
    options = "--profile demo --seed 3 --epochs 1 --image-size 40".split()
    options += "--set tta=no --set start= --set head_epochs=0".split()
    arguments = ["train", tiny.NAME, *options, "--data", demo_folder, "--runs", tmp_path / "runs"]
    assert command_line.main([str(argument) for argument in arguments]) == 0
    (run,) = (tmp_path / "runs").glob(f"{tiny.NAME}-40px-seed3-*/config.json")
    config = json.loads(run.read_text())["config"]
    assert (config["architecture"], config["seed"], config["epochs"]) == (tiny.NAME, 3, 1)
    assert config["tta"] is False and (config["start"], config["head_epochs"]) == ("", 0)
    assert "Balanced accuracy, test: " in capsys.readouterr().out
    made = run.stat().st_mtime_ns
    for again, word in (([], "Loaded the recorded run"), (["--retrain"], f"Training {tiny.NAME}")):
        assert command_line.main([*map(str, arguments), *again]) == 0
        assert word in capsys.readouterr().out
        assert (run.stat().st_mtime_ns == made) == (not again)
    weights = run.with_name("model.h5")
    weights.unlink()  # as in the runs that the repository holds
    assert command_line.main(list(map(str, arguments))) == 0
    printed = capsys.readouterr().out
    assert "Loaded the recorded run" in printed and "was not kept; --retrain" in printed


def write_run(folder, metadata, skill):
    """Write a run folder by hand whose answers are right more often the higher the skill."""
    random = np.random.default_rng(0)
    scores = random.gamma(1, size=(len(metadata), 7))
    scores[np.arange(len(metadata)), metadata["dx"].map(CODES.index)] += skill
    folder.mkdir(parents=True)
    frame = predictions.table(metadata, scores / scores.sum(axis=1, keepdims=True))
    predictions.write_predictions(frame, folder / "predictions.csv")
    record = {"config": {"architecture": "cnn", "image_size": 64}, "seconds": 90.0}
    (folder / "config.json").write_text(json.dumps(record))
    frequencies = answering.class_frequencies(frame)
    (folder / "metrics.json").write_text(json.dumps(answering.fit(frame, frequencies)))


def test_evaluate_remakes_the_comparison(runs, capsys):
    assert command_line.main(["evaluate", str(runs)]) == 0
    table = pd.read_csv(runs / "comparison.csv")
    runs_only = table[table["run"] != "ensemble"]["run"]
    assert runs_only.tolist() == ["b_better", "a_worse"]
    printed = capsys.readouterr().out
    assert printed.index("b_better") < printed.index("a_worse")
    assert f"{table['test_balanced_accuracy'][0]:.3f} [" in printed


def test_score_on_other_photographs_is_that_of_their_predictions(
    tiny_model, demo_metadata, tmp_path, capsys
):
    """ISIC 2018's layout: a one-hot ground truth beside photographs without lesion ids."""
    rows = demo_metadata.groupby("dx").head(3)
    truth = pd.DataFrame({"image": rows["image_id"]})
    for code in CODES:
        truth[code.upper()] = (rows["dx"] == code).astype(float)
    truth.to_csv(tmp_path / "ISIC2018_Task3_Test_GroundTruth.csv", index=False)
    for path in rows["image_path"]:
        (tmp_path / os.path.basename(path)).hardlink_to(path)
    dataset = data.open_dataset(tmp_path, "for a test")
    found = evaluate.score(tiny_model, dataset, tta=False)
    answers = inference.Classifier(tiny_model, tta=False).classify(rows["image_path"])
    predicted = np.array([answer["predicted"] for answer in answers])
    true = rows["dx"].to_numpy()
    recalls = [(predicted[true == code] == code).mean() for code in CODES]
    assert found.decided == pytest.approx(np.mean(recalls))
    assert "macro_auc" in found.table.index and found.known == 0 and found.lacking == []
    assert found.among == pytest.approx(found.decided)


def test_every_photograph_is_scored_with_its_own_patient(demo_metadata, tmp_path):
    model = models.build("cnn", 64, "random", patient=True, seed=4)
    path = models.save(model, tmp_path / "model.h5", {})
    classifier = inference.Classifier(path, tta=False)
    rows = demo_metadata.groupby("dx").head(12)
    assert len(rows) > 64  # more than the photographs that are read at a time
    pictures = np.stack([classifier.prepare(one) for one in rows["image_path"]])
    known = data.patient_features(rows)
    expected = views.predict(classifier.model, pictures, False, known)
    others = views.predict(classifier.model, pictures, False, known[::-1])
    assert np.abs(expected - others).max() > 1e-3
    found = evaluate._predict(classifier, rows)  # stderr is no terminal here
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_set_that_lacks_classes_is_scored_and_its_predictions_are_kept(
    tiny_model, demo_metadata, tmp_path, capsys, fails
):
    """A clinic's own folder: a metadata.csv of two diagnoses, without lesion ids."""
    rows = demo_metadata[demo_metadata["dx"].isin(["mel", "nv"])].groupby("dx").head(4)
    rows[["image_id", "dx"]].to_csv(tmp_path / "metadata.csv", index=False)
    for path in rows["image_path"]:
        (tmp_path / os.path.basename(path)).hardlink_to(path)
    output = tmp_path / "kept.csv"
    command = ["evaluate", "--data", tmp_path, "--model", tiny_model, "--no-tta"]
    with pytest.warns(UserWarning, match="lesion_id"):
        assert command_line.main([*map(str, command), "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "No photograph here shows akiec, bcc, bkl, df, vasc;" in printed
    kept = evaluation.read_predictions(output)
    assert sorted(kept["image_id"]) == sorted(rows["image_id"])
    classifier = inference.Classifier(tiny_model, tta=False)
    answers = evaluation.answer(kept, classifier.details)
    recalls = [(part["predicted"] == code).mean() for code, part in answers.groupby("dx")]
    assert f"decision rule: {np.mean(recalls):.3f}." in printed
    among = evaluation.answer_among(kept, classifier.details, ["mel", "nv"])
    recalls = [(part["predicted"] == code).mean() for code, part in among.groupby("dx")]
    assert f"only the classes that are there: {np.mean(recalls):.3f}." in printed
    assert "melanoma_auc" in printed
    paths = rows.set_index("image_id").loc[kept["image_id"], "image_path"]
    direct = pd.DataFrame(classifier.classify(paths))[list(CODES)].to_numpy(float)
    assert np.abs(answers[list(CODES)].to_numpy() - direct).max() < 1e-4
    fails([*command, "--output", tmp_path / "metadata.csv"], "metadata.csv", "reads")


def test_warnings_are_sentences_and_not_code(demo_metadata, tmp_path):
    """The ISIC Archive's table, whose rows without a class are left out with a word."""
    rows = demo_metadata[demo_metadata["dx"].isin(["mel", "nv"])].groupby("dx").head(2)
    names = ["melanoma" if code == "mel" else "nevus" for code in rows["dx"]]
    table = pd.DataFrame({"isic_id": rows["image_id"], "diagnosis": names})
    table.loc[table.index[0], "diagnosis"] = "squamous cell carcinoma"
    table.to_csv(tmp_path / "metadata.csv", index=False)
    for path in rows["image_path"]:
        (tmp_path / os.path.basename(path)).hardlink_to(path)
    code = (
        "from lesions.system import console; console.plain_warnings();"
        "from lesions import data;"
        f"data.read_metadata(data.open_dataset({str(tmp_path)!r}, 'named'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert done.returncode == 0 and len(lines) == 2
    assert all(line.startswith("warning: metadata.csv") for line in lines)
    assert "1 of 4 rows are left out" in lines[0] and "squamous cell carcinoma" in lines[0]


def test_options_of_a_score_need_photographs(fails, runs):
    fails(["evaluate", runs, "--output", "kept.csv"], "--data")
    fails(["evaluate", runs, "--no-tta"], "--data")
    fails(["evaluate", runs, "--model", "model.h5"], "--data")
    fails(["evaluate", runs, "--data", runs], "--data", "leave one of them out")


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "a.jpg", "--output=~/a"],
        ["explain", "a.jpg", "--output=~/a"],
        ["export", "--format=onnx", "--output=~/a"],
        ["evaluate", "--data=b", "--output=~/a"],
        ["train", "cnn", "--runs=~/a"],
    ],
)
def test_a_home_folder_that_the_shell_leaves_is_found(arguments):
    parsed = command_line.parser().parse_args(arguments)
    named = parsed.runs if arguments[0] == "train" else parsed.output
    assert named == os.path.expanduser("~/a") != "~/a"


def test_a_port_that_is_taken_is_named_before_the_network_is_read(fails):
    pytest.importorskip("uvicorn")
    pytest.importorskip("python_multipart")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        fails(["serve", "--port", port], str(port), "--port")
    fails(["serve", "--port", 70_000], "70000", "--port")
    fails(["serve", "--host", "ä..b"], "ä..b", "--host")


def test_a_run_without_its_seconds_is_listed(demo_metadata, tmp_path, capsys):
    metadata = demo_metadata[demo_metadata["split"] != "train"]
    write_run(tmp_path / "old", metadata, skill=2)
    record = {"config": {"architecture": "cnn", "image_size": 64}}
    (tmp_path / "old" / "config.json").write_text(json.dumps(record))
    assert command_line.main(["evaluate", str(tmp_path)]) == 0
    assert "old" in capsys.readouterr().out


def test_lists_in_the_help_are_those_of_the_package():
    assert explain.METHODS == tuple(explanation.METHODS)
    assert export_command.FORMATS == export.FORMATS
    assert export_command.PRECISIONS == export.PRECISIONS


@pytest.mark.parametrize(
    "command", ["train", "predict", "evaluate", "explain", "serve", "site", "familiarity", "export"]
)
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line.main([command, "--help"])
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    assert f"python -m lesions {command}" in text and "Not for clinical use" in text


def run(*arguments, stdout=subprocess.PIPE, **environment):
    """Run a command as its own process."""
    command = [sys.executable, "-m", "lesions", *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of two runs, under a name that not every terminal can show."""
    folder = tmp_path_factory.mktemp("runs") / "Häute\n皮肤"
    rows = pd.DataFrame({"dx": list(CODES) * 20})
    rows["image_id"] = rows["lesion_id"] = [f"image_{number}" for number in range(len(rows))]
    rows["split"] = ["validation", "test"] * (len(rows) // 2)
    for name, skill in (("a_worse", 0.5), ("b_better", 3.0)):
        write_run(folder / name, rows, skill)
    return folder


@pytest.mark.parametrize("arguments", [["--help"], ["evaluate"]])
def test_a_closed_pipe_is_no_traceback(runs, arguments):
    read, write = os.pipe()
    os.close(read)
    folders = [runs] if arguments == ["evaluate"] else []
    done = run(*arguments, *folders, stdout=write)
    os.close(write)
    assert done.stderr == "" and done.returncode == (141 if folders else 0)


def test_a_terminal_that_is_not_utf_8_shows_any_name(runs):
    done = run("evaluate", runs, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert r"H\xe4ute" in done.stdout


@pytest.mark.parametrize(
    ("command", "backend"), [("predict .", "nonsense"), ("predict .", "openvino"), ("site", "none")]
)
def test_a_backend_that_cannot_be_used_is_named(tmp_path, command, backend):
    done = run(*command.split(), "--output", tmp_path / "a.csv", KERAS_BACKEND=backend)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert backend in done.stderr and "KERAS_BACKEND" in done.stderr


def test_the_study_checks_the_backend_too():
    command = [sys.executable, "-m", "lesions.study", "train"]
    environment = {**os.environ, "KERAS_BACKEND": "nonsense"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and done.stderr.count("\n") == 1, done.stderr
    assert "nonsense" in done.stderr


def test_channels_first_in_the_settings_of_keras_is_refused(tmp_path):
    (tmp_path / "keras.json").write_text('{"image_data_format": "channels_first"}')
    done = run("predict", tmp_path, "--output", tmp_path / "a.csv", KERAS_HOME=str(tmp_path))
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "channels_last" in done.stderr


@pytest.mark.slow
def test_help_and_evaluate_import_no_keras(tmp_path):
    code = (
        "import sys; from lesions.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"main(['evaluate', {str(tmp_path)!r}])\n"
        "print([name for name in ('keras', 'tensorflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("[]\n"), done.stderr
