"""python -m lesions predict: photographs to a table of answers."""

import sys

from lesions import classes
from lesions.cli import outputs, patients
from lesions.cli.arguments import (
    add_command,
    add_model,
    add_output,
    add_paths,
    counted,
    importing_keras,
    positive,
    report_unreadable,
    shows_progress,
)
from lesions.system.console import printable

SUMMARY = "Write the probabilities of the seven diagnoses for photographs as a CSV table."
EPILOG = f"""examples:
  python -m lesions predict photo.jpg --output answer.csv
  python -m lesions predict photo.jpg --age 62 --sex female --site back --output answer.csv
  python -m lesions predict ward_3/ ward_4/ --output answers.csv --no-tta
  python -m lesions predict HAM10000/ --patients HAM10000_metadata.csv --output answers.csv

Columns of the file: image (a file as you named it; an image in a folder as the folder you
named and the path inside it), predicted, the probabilities of akiec, bcc, bkl, df, mel, nv
and vasc, of which the decision rule may name a rare diagnosis that is not the most probable,
warning (what speaks against believing the answer: a photograph that is tiny, blurred
or unlike those of the training), and error. An image that cannot be read keeps its row, with the
reason in the last column, and the command then ends with exit code 1.

Age, sex and site are optional and may be known in part. With them the table has a column patient,
which says what was used for the photograph; where it is empty, the photograph alone was.

Characters in file names that a table would misread (line ends, undecodable bytes, %, a leading
= + - @) are percent-encoded; Python's urllib.parse.unquote(cell, errors="surrogateescape")
returns the name.

A command that was stopped leaves its rows as FILE.csv.<digest>.partial, and --resume goes on from
there; the digest is of the network with the files beside it, and of the options that change the
rows. Photographs that changed since are predicted again.
{classes.NOTICE}"""


def add_parser(commands) -> None:
    """Describe the command."""
    command = add_command(commands, "predict", run, SUMMARY, EPILOG)
    add_paths(command)
    add_output(command, "FILE.csv", "the table to write", required=True)
    add_model(command)
    patients.add_patient(command)
    command.add_argument(
        "--no-tta",
        action="store_true",
        help="predict each photograph once, not in eight flips and turns: eight times faster and "
        "slightly less accurate",
    )
    command.add_argument(
        "--batch-size",
        type=positive,
        default=32,
        metavar="N",
        help="photographs a step (default 32); smaller needs less memory",
    )
    command.add_argument(
        "--resume",
        action="store_true",
        help="go on where the same command was stopped, by Ctrl-C or a power cut",
    )


def run(arguments) -> int:
    """Run the command; returns the exit code."""
    with importing_keras():
        from lesions import inference
        from lesions.cli import answers_table

    paths = outputs.without_heat_maps(inference.find_images(arguments.paths), arguments.paths)
    tables = [] if arguments.patients is None else [arguments.patients]
    read = [*paths, *tables, *outputs.model_files(arguments.model)]
    outputs.refuse_overwriting([arguments.output], read)
    outputs.refuse_image_in(arguments.output, arguments.paths)
    outputs.refuse_unwritable(arguments.output)
    known = patients.read(arguments, paths)
    classifier = inference.Classifier(arguments.model, tta=not arguments.no_tta)
    if known is not None:
        classifier.require_patients()
    if classifier.familiarity[1]:
        print(printable(classifier.familiarity[1]), file=sys.stderr)
    try:
        written, unreadable = answers_table.write_answers(
            classifier,
            paths,
            arguments.output,
            arguments.batch_size,
            arguments.resume,
            progress=shows_progress(),
            patients=known,
        )
    except KeyboardInterrupt:
        print("Stopped; the same command with --resume goes on from there.", file=sys.stderr)
        raise
    print(f"Wrote {printable(arguments.output)}, {counted(written)}. {classes.NOTICE}")
    return report_unreadable(unreadable, written, "see the column error")
