"""python -m lesions export: a network in the format of another program."""

from __future__ import annotations

from lesions import classes
from lesions.cli.arguments import add_command, add_model, importing_keras
from lesions.cli.outputs import model_files, refuse_overwriting
from lesions.system.console import quiet_stderr

# The module that owns these lists imports Keras, which takes seconds; a test compares them.
PRECISIONS = ("float32", "float16", "int8")
FORMATS = ("tflite", "savedmodel", "onnx")
CALIBRATION_IMAGES = 210
SUMMARY = "Write a network in the format of another program."
EPILOG = f"""examples:
  python -m lesions export --format tflite --output skin.tflite
  python -m lesions export --format tflite --precision int8 --output skin_int8.tflite
  python -m lesions export --format savedmodel --output skin_saved_model

With the file comes FILE.json, which names the order of the classes, the form of the input and the
correction that brings the probabilities to the class frequencies. The exported network is run on
random images and must answer as the original.
{classes.NOTICE}"""


def add_parser(commands) -> None:
    """Describe the command."""
    command = add_command(commands, "export", run, SUMMARY, EPILOG)
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
    add_model(command)


def run(arguments) -> int:
    """Run the command; returns the exit code."""
    with importing_keras():
        from lesions import data, export, inference
    model, output = arguments.model or inference.BEST_MODEL, arguments.output
    outputs = [output, f"{output}.json"]
    refuse_overwriting(outputs, model_files(model))
    needs_photographs = arguments.precision == "int8" and arguments.format == "tflite"
    if needs_photographs:
        refuse_overwriting(outputs, data.files_read(data.find_photographs(arguments.data)))
    classifier = inference.Classifier(model)
    classifier.require_keras("Exports")
    calibration = calibration_images(classifier, arguments.data) if needs_photographs else None
    with quiet_stderr():  # the converters write messages too
        path, checked = export.export(
            classifier.model,
            classifier.details,
            arguments.format,
            output,
            arguments.precision,
            calibration,
        )
    print(f"Wrote {path} and {path.name}.json. {checked} {classes.NOTICE}")
    return 0


def calibration_images(classifier, folder=None, number: int = CALIBRATION_IMAGES):
    """Prepare training photographs, as many of each class, that int8 takes its ranges from.

    Args:
        classifier: The network.
        folder: Folder of the data; None for the usual places, see `data.find_dataset`.
        number: How many at most.

    Returns:
        uint8, (n, image_size, image_size, 3), RGB 0-255.

    Raises:
        ValueError: If there are no data or a photograph is faulty.
    """
    import numpy as np

    from lesions import data

    rows = data.with_split(data.read_metadata(data.find_photographs(folder)))
    rows = rows[rows["split"] == "train"].sample(frac=1, random_state=42)
    rows = rows.groupby("dx").head(number // len(classes.CODES))
    return np.stack([classifier.prepare(path) for path in rows["image_path"]])
