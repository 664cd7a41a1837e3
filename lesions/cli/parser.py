"""The command line: python -m lesions train | predict | evaluate | explain | serve | ...."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap

from lesions import classes
from lesions.system.console import quiet_stderr, quiet_tensorflow

# These lists stand here too, because the modules that own them import Keras, which takes
# seconds; a test holds them together.
ARCHITECTURES = (
    "cnn",
    "resnet18",
    "resnet50",
    "densenet121",
    "densenet169",
    "efficientnetb0",
    "efficientnetb3",
    "cnn_densenet121",
    "densenet121_efficientnetb3",
)
PRECISIONS = ("float32", "float16", "int8")
METHODS = ("grad_cam", "grad_cam_plus_plus", "hires_cam")
FORMATS = ("tflite", "savedmodel", "onnx")
DEFAULT_MODEL = "models/best_model.h5 of this repository"
EPILOG = f"""examples:
  python -m lesions predict photo.jpg more_photos/ --output answers.csv
  python -m lesions train densenet121
  python -m lesions evaluate models
  python -m lesions explain photo.jpg --output heat_maps
  python -m lesions serve --port 8000
  python -m lesions export --format tflite --output skin.tflite

`python -m lesions COMMAND --help` says more about one command.
{classes.NOTICE}"""
PREDICT = f"""examples:
  python -m lesions predict photo.jpg --output answer.csv
  python -m lesions predict ward_3/ ward_4/ --output answers.csv --no-tta

Columns of the file: image (a file as you named it; an image in a folder as the folder you
named and the path inside it), predicted, the probabilities of akiec, bcc, bkl, df, mel, nv
and vasc, and error. An image that cannot be read keeps its row, with the reason in the last
column, and the command then ends with exit code 1. A command that was stopped leaves what it has
as FILE.csv.<digest>.partial, and --resume goes on from there; the digest is of the network.
{classes.NOTICE}"""


TRAIN = f"""examples:
  python -m lesions train cnn --profile demo          synthetic images, minutes, no download
  python -m lesions train densenet121 --data ~/ham10000 --epochs 12
  python -m lesions train resnet50 --set class_weighting=balanced --set augmentation=strong

Architectures: {textwrap.fill(", ".join(ARCHITECTURES), 80, subsequent_indent="  ")}.
A training that was stopped goes on where it was when the same command is given again.
{classes.NOTICE}"""
EVALUATE = f"""examples:
  python -m lesions evaluate models
  python -m lesions evaluate --data ISIC2018_Task3_Test    score best_model.h5 on other photographs

The folder holds one folder for each run, with config.json and predictions.csv. Every number is
computed anew from predictions.csv; no image, network or GPU is needed. Runs are sorted by
balanced accuracy on the validation images; [ ] is a 95% interval over lesions.

With --data nothing is compared or written: one network answers for the labelled photographs of
that folder, in any of HAM10000's layouts or ISIC 2018 Task 3's with its ground truth.
{classes.NOTICE}"""
EXPLAIN = f"""examples:
  python -m lesions explain photo.jpg --output heat_maps
  python -m lesions explain photos/ --output heat_maps --method hires_cam --class mel
  python -m lesions explain --measure --images 40 --output explanations.csv

For photo.jpg it writes photo_gradcam.jpg: the image, the heat map, and both together.
A heat map says where the network looks, not whether it is right.

With --measure it writes a table instead, from HAM10000's test photographs and lesion masks: how
well maps agree with the lesion, whether the answer rests on the pixels they name, whether they
depend on what was learned, and what else flips an answer. All test photographs take about a
quarter of an hour on two cores; --images caps every part.
{classes.NOTICE}"""
SERVE = f"""examples:
  python -m lesions serve
  curl -F file=@photo.jpg http://127.0.0.1:8000/predict
  curl -F file=@photo.jpg "http://127.0.0.1:8000/explain?target=mel" --output overlay.png

http://127.0.0.1:8000/docs describes and tries all addresses. Pictures of up to 20 MB are held
in memory only. Beyond --queue pictures the answer is 503. Ctrl-C or SIGTERM finishes what waits.
It needs `pip install -r requirements-app.txt`.
{classes.NOTICE}"""
FAMILIARITY = f"""example:
  python -m lesions familiarity

It reads photographs of HAM10000's training split, sets its thresholds on the validation split and
measures itself on the test split, on everyday pictures and on pictures out of focus. The file goes
beside the model, whose app and service warn of pictures unlike those, and serves that model only.
{classes.NOTICE}"""
EXPORT = f"""examples:
  python -m lesions export --format tflite --output skin.tflite
  python -m lesions export --format tflite --precision int8 --output skin_int8.tflite
  python -m lesions export --format savedmodel --output skin_saved_model

Beside the file, FILE.json says the order of the classes, the form of the input and the
temperature that calibrates the probabilities. The exported network is run on random images
and must answer as the original.
{classes.NOTICE}"""


def parser() -> argparse.ArgumentParser:
    """Describe all commands; imports neither Keras nor TensorFlow."""
    whole = argparse.ArgumentParser(
        prog="python -m lesions",
        description="Classify dermatoscopic photographs of skin lesions into the seven diagnoses "
        "of HAM10000: train networks, use them, and look at what they do.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (
        _add_train,
        _add_predict,
        _add_evaluate,
        _add_explain,
        _add_serve,
        _add_familiarity,
        _add_export,
    ):
        add(commands)
    return whole


def _command(commands, name: str, run, summary: str, epilog: str) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def _add_model(command) -> None:
    command.add_argument(
        "--model", metavar="FILE.h5", help=f"or a run folder; default: {DEFAULT_MODEL}"
    )


def _add_paths(command, nargs: str = "+") -> None:
    command.add_argument(
        "paths",
        nargs=nargs,
        metavar="PATH",
        help="a photograph, or a folder that is searched with all folders below it for .jpg, "
        ".jpeg and .png files",
    )


def _add_train(commands) -> None:
    summary = "Train one network and leave a run folder: model, history, predictions, metrics."
    command = _command(commands, "train", _train, summary, TRAIN)
    add = command.add_argument
    add("architecture", metavar="ARCHITECTURE", help="which network, see below")
    add(
        "--profile",
        choices=("auto", "demo", "cpu", "gpu"),
        default="auto",
        help="image size and length of the training; auto (the default) takes what the data and "
        "the machine allow",
    )
    add("--quick", action="store_true", help="two epochs on a sample, to see everything work")
    add("--seed", type=int, metavar="N", help="of initial weights, order and augmentation")
    add("--epochs", type=_positive, metavar="N", help="epochs in which all layers learn")
    add("--image-size", type=_positive, metavar="N", help="side of the input in pixels")
    add("--data", metavar="FOLDER", help="where HAM10000 lies; default: the usual places")
    add("--runs", metavar="FOLDER", help="where the run folder goes; default: build/runs/PROFILE")
    add("--retrain", action="store_true", help="train even if --runs holds this very run")
    add(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="another field of the recipe, for example dropout=0.5; may be repeated, and a wrong "
        "FIELD lists them all",
    )


def _add_predict(commands) -> None:
    summary = "Write the probabilities of the seven diagnoses for photographs as a CSV table."
    command = _command(commands, "predict", _predict, summary, PREDICT)
    _add_paths(command)
    command.add_argument("--output", required=True, metavar="FILE.csv", help="the table to write")
    _add_model(command)
    command.add_argument(
        "--no-tta",
        action="store_true",
        help="look at each photograph once, not in eight flips and turns: eight times faster and "
        "slightly less accurate",
    )
    command.add_argument(
        "--batch-size",
        type=_positive,
        default=32,
        metavar="N",
        help="photographs a step (default 32); smaller needs less memory",
    )
    command.add_argument(
        "--resume",
        action="store_true",
        help="go on where the same command was stopped, by Ctrl-C or a power cut",
    )


def _add_evaluate(commands) -> None:
    summary = "Compare trained networks and write the table as comparison.csv beside them."
    command = _command(commands, "evaluate", _evaluate, summary, EVALUATE)
    command.add_argument(
        "folder", nargs="?", default="models", metavar="FOLDER", help="default: models"
    )
    command.add_argument(
        "--data", metavar="PHOTOS", help="labelled photographs to score one network on instead"
    )
    _add_model(command)


def _add_explain(commands) -> None:
    summary = "Draw heat maps of what in a photograph speaks for a diagnosis."
    command = _command(commands, "explain", _explain, summary, EXPLAIN)
    _add_paths(command, "*")
    add = command.add_argument
    add(
        "--output",
        metavar="PATH",
        help="the folder of the pictures; with --measure the table, default: "
        "models/explanations.csv of this repository",
    )
    _add_model(command)
    add("--method", choices=METHODS, default=METHODS[0], help=f"default: {METHODS[0]}")
    add(
        "--class",
        dest="target",
        choices=classes.CODES,
        help="the diagnosis to explain; default: the predicted one",
    )
    add("--measure", action="store_true", help="measure the maps on the test split instead")
    add("--images", type=_positive, metavar="N", help="with --measure: at most N test photographs")
    add("--data", metavar="FOLDER", help="with --measure: HAM10000; default: the usual places")


def _add_serve(commands) -> None:
    summary = "Answer pictures that are sent over the network."
    command = _command(commands, "serve", _serve, summary, SERVE)
    add = command.add_argument
    add("--host", default="127.0.0.1", help="default: 127.0.0.1, this computer only")
    add("--port", type=_positive, default=8000, metavar="N", help="default: 8000")
    add(
        "--queue",
        type=_positive,
        default=64,
        metavar="N",
        help="pictures that may be answered and wait at a time (default 64)",
    )
    _add_model(command)


def _add_familiarity(commands) -> None:
    summary = "Learn what photographs like those of the training look like to a network."
    command = _command(commands, "familiarity", _familiarity, summary, FAMILIARITY)
    add = command.add_argument
    add("--data", metavar="FOLDER", help="where HAM10000 lies; default: the usual places")
    add("--per-class", type=_positive, default=150, metavar="N", help=argparse.SUPPRESS)
    _add_model(command)


def _add_export(commands) -> None:
    summary = "Write a network in the format of another program."
    command = _command(commands, "export", _export, summary, EXPORT)
    command.add_argument("--format", required=True, choices=FORMATS, help="which format")
    command.add_argument(
        "--output", required=True, metavar="PATH", help="the file, or the folder of a savedmodel"
    )
    command.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=PRECISIONS[0],
        help="of a tflite or onnx file: float32 (the default), float16 for half the size, or int8 "
        "for a quarter, which answers a little differently; for tflite it is calibrated on "
        "training photographs",
    )
    command.add_argument(
        "--data", metavar="FOLDER", help="where HAM10000 lies, for int8; default: the usual places"
    )
    _add_model(command)


def _positive(text: str) -> int:
    number = int(text) if text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def _train(arguments) -> int:
    with quiet_stderr():
        from lesions.cli import commands
        from lesions.study import recipes
    changes = recipes.read_settings(arguments.set)
    for name in ("seed", "epochs", "image_size"):
        if getattr(arguments, name) is not None:
            changes[name] = getattr(arguments, name)
    run = commands.train(
        arguments.architecture,
        arguments.profile,
        arguments.quick,
        arguments.data,
        arguments.runs,
        arguments.retrain,
        **changes,
    )
    for split in ("validation", "test"):
        print(f"Balanced accuracy, {split}: {run.metrics[split]['balanced_accuracy']:.3f}")
    print(f"Model: {run.folder / 'model.h5'}. {classes.NOTICE}")
    return 0


def _predict(arguments) -> int:
    with quiet_stderr():
        from lesions import inference
        from lesions.cli import commands

    paths = inference.find_images(arguments.paths)
    model = arguments.model or inference.BEST_MODEL
    classifier = inference.Classifier(model, tta=not arguments.no_tta)
    try:
        written, faulty = commands.write_answers(
            classifier,
            paths,
            arguments.output,
            arguments.batch_size,
            arguments.resume,
            progress=sys.stderr.isatty(),
        )
    except KeyboardInterrupt:
        print("Stopped; the same command with --resume goes on from there.", file=sys.stderr)
        raise
    print(f"Wrote {arguments.output}, {written} images. {classes.NOTICE}")
    return _report(faulty, written, "see the column error")


def _score(arguments) -> int:
    with quiet_stderr():
        from lesions import inference
        from lesions.cli import commands
    model = arguments.model or inference.BEST_MODEL
    table, decided, known = commands.score(model, arguments.data)
    print(table.round(3).to_string())
    print(f"Balanced accuracy of the classes it names: {decided:.3f}.")
    if known:
        print(f"{known} of these photographs were trained or chosen on: this is no test of it.")
    print(classes.NOTICE)
    return 0


def _evaluate(arguments) -> int:
    from pathlib import Path

    if arguments.data:
        return _score(arguments)

    from lesions.evaluation import comparison

    table = comparison.compare(comparison.run_folders(arguments.folder))
    path = comparison.write_comparison(table, Path(arguments.folder) / "comparison.csv")
    columns = {
        "run": table["run"],
        "validation": table["validation_balanced_accuracy"].map("{:.3f}".format),
        "test balanced accuracy": [
            f"{value:.3f} [{low:.3f}, {high:.3f}]"
            for value, low, high in table.filter(regex="^test_balanced_accuracy").to_numpy()
        ],
        "macro AUC": table["test_macro_auc"].map("{:.3f}".format),
        "macro F1": table["test_macro_f1"].map("{:.3f}".format),
        "minutes": table["minutes"].map("{:.1f}".format),
    }
    print(table.__class__(columns).to_string(index=False))
    print(f"Wrote {path}. {classes.NOTICE}")
    return 0


def _explain(arguments) -> int:
    if arguments.measure:
        return _measure(arguments)
    if not arguments.paths or not arguments.output:
        raise ValueError(
            "explain needs photographs and --output FOLDER; name both, or measure by --measure."
        )
    if arguments.images or arguments.data:
        raise ValueError("--images and --data belong to --measure; add it or leave them out.")
    with quiet_stderr():
        from lesions import inference
        from lesions.cli import commands

    paths = inference.find_images(arguments.paths)
    classifier = inference.Classifier(arguments.model or inference.BEST_MODEL)
    faulty = 0
    for picture, error in commands.write_heat_maps(
        classifier, paths, arguments.output, arguments.method, arguments.target
    ):
        print(error or f"Wrote {picture}", file=sys.stderr if error else sys.stdout)
        faulty += bool(error)
    print(classes.NOTICE)
    return _report(faulty, len(paths), "see above")


def _serve(arguments) -> int:
    with quiet_stderr():
        from lesions import inference
        from lesions.serving import answers
    try:
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401

        from lesions.serving import service
    except ImportError as error:
        raise ValueError(
            f"The service needs the package {error.name}; get it by "
            "`pip install -r requirements-app.txt`."
        ) from error
    desk = answers.AnswerDesk(arguments.model or inference.BEST_MODEL)
    print(f"Serving on http://{arguments.host}:{arguments.port}/docs. {classes.NOTICE}", flush=True)
    service.serve(desk, arguments.host, arguments.port, arguments.queue)
    return 0


def _familiarity(arguments) -> int:
    with quiet_stderr():
        from lesions import data, inference
        from lesions.inference import familiarity
    classifier = inference.Classifier(arguments.model or inference.BEST_MODEL)
    dataset = data.find_photographs(arguments.data)
    print(f"Data: {dataset.source}.")
    metadata = data.with_split(data.read_metadata(dataset))
    fitted = familiarity.fit(classifier, metadata, arguments.per_class)
    path = fitted.save(classifier.path.with_name(familiarity.FILE))
    found = fitted.measured
    print(
        f"{found['other_images']} everyday pictures against {found['test_images']} test "
        f"photographs: AUC {found['unlike_auc']:.3f}, {found['unlike_found']:.0%} of them found, "
        f"{found['unlike_false']:.1%} false alarms.\n"
        f"The same test photographs out of focus: AUC {found['blurred_auc']:.3f}, "
        f"{found['blurred_found']:.0%} found, {found['blurred_false']:.1%} false alarms."
    )
    print(f"Wrote {path}, for {fitted.model}. {classes.NOTICE}")
    return 0


def _measure(arguments) -> int:
    if arguments.paths or arguments.target or arguments.method != METHODS[0]:
        raise ValueError(
            "explain --measure takes HAM10000's test photographs and all methods; leave the "
            "paths, --class and --method out."
        )
    with quiet_stderr():
        from lesions import inference
        from lesions.cli import commands
    path = commands.measure_explanations(
        arguments.model or inference.BEST_MODEL, arguments.output, arguments.images, arguments.data
    )
    print(f"Wrote {path}. {classes.NOTICE}")
    return 0


def _export(arguments) -> int:
    with quiet_stderr():
        from lesions import export, inference
        from lesions.cli import commands
    classifier = inference.Classifier(arguments.model or inference.BEST_MODEL)
    calibration = None
    if arguments.precision == "int8" and arguments.format == "tflite":
        calibration = commands.calibration_images(classifier, arguments.data)
    with quiet_stderr():  # the converters chat too
        path, checked = export.export(
            classifier.model,
            classifier.details,
            arguments.format,
            arguments.output,
            arguments.precision,
            calibration,
        )
    print(f"Wrote {path} and {path.name}.json. {checked} {classes.NOTICE}")
    return 0


def _report(faulty: int, total: int, where: str) -> int:
    """Say how many images could not be read, and give the exit code."""
    if faulty:
        print(f"{faulty} of {total} images could not be read; {where}", file=sys.stderr)
    return 1 if faulty else 0


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: What stands behind `python -m lesions`; default the process's own.

    Returns:
        Exit code: 0 done, 1 done but for images that could not be read, 2 not done (one line
        on stderr says why), 130 interrupted.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = parser().parse_args(argv)
    quiet_tensorflow()
    try:
        return arguments.run(arguments)
    except (ValueError, OSError) as error:  # a full disk is no reason for a traceback
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
