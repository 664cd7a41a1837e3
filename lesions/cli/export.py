"""python -m lesions export: a network in the format of another program."""

from lesions import classes
from lesions.cli.arguments import add_command, add_model, add_output, importing_keras
from lesions.cli.outputs import model_files, refuse_overwriting, refuse_unwritable
from lesions.system.console import printable, quiet_stderr

# The module that owns these lists imports Keras, which takes seconds; a test compares them.
PRECISIONS = ("float32", "float16", "int8")
FORMATS = ("tflite", "savedmodel", "onnx")
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
    add_output(command, "PATH", "the file, or the folder of a savedmodel", required=True)
    command.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=PRECISIONS[0],
        help="of a tflite or onnx file: float32 (the default), float16 for half the size, or int8 "
        "for a quarter, which answers a little differently",
    )
    add_model(command)


def run(arguments) -> int:
    """Run the command; returns the exit code."""
    with importing_keras():
        from lesions import export, inference
    output, beside = arguments.output, f"{arguments.output}.json"
    refuse_overwriting([output, beside], model_files(arguments.model))
    for path in [beside] if arguments.format == "savedmodel" else [output, beside]:
        refuse_unwritable(path)
    export.check_request(arguments.format, output, arguments.precision)  # before seconds of loading
    classifier = inference.Classifier(arguments.model)
    classifier.require_keras("Exports")
    network = classifier.model, classifier.details
    with quiet_stderr():  # the converters write messages too
        path, checked = export.export(*network, arguments.format, output, arguments.precision)
    written = printable(f"{path} and {path.name}.json")
    print(f"Wrote {written}. {checked} {classes.NOTICE}")
    return 0
