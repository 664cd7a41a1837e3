"""The command line: python -m lesions train | predict | evaluate | explain | export."""

from __future__ import annotations

import argparse
import os
import sys

from lesions import classes
from lesions.quiet import quiet_stderr

DEFAULT_MODEL = "models/best_model.h5 of this repository"
EPILOG = f"""examples:
  python -m lesions predict photo.jpg more_photos/ --output answers.csv
  python -m lesions train densenet121
  python -m lesions evaluate models
  python -m lesions explain photo.jpg --output heat_maps
  python -m lesions export --format tflite --output skin.tflite

`python -m lesions COMMAND --help` says more about one command.
{classes.NOTICE}"""
PREDICT = f"""examples:
  python -m lesions predict photo.jpg --output answer.csv
  python -m lesions predict ward_3/ ward_4/ --output answers.csv --no-tta

Columns of the file: image (a file as you named it; an image in a folder as the folder you
named and the path inside it), predicted, the probabilities of akiec, bcc, bkl, df, mel, nv
and vasc, and error. An image that cannot be read keeps its row, with the reason in the last
column, and the command then ends with exit code 1.
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
    for add in (_add_predict,):
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
    command.add_argument("--model", metavar="FILE.h5", help=f"default: {DEFAULT_MODEL}")


def _add_predict(commands) -> None:
    summary = "Write the probabilities of the seven diagnoses for photographs as a CSV table."
    command = _command(commands, "predict", _predict, summary, PREDICT)
    command.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a photograph, or a folder that is searched with all folders below it for .jpg, "
        ".jpeg and .png files",
    )
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


def _positive(text: str) -> int:
    number = int(text) if text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def _predict(arguments) -> int:
    with quiet_stderr():
        from lesions import inference
    from tqdm import tqdm

    paths = inference.find_images(arguments.paths)
    classifier = inference.Classifier(
        arguments.model or inference.BEST_MODEL, tta=not arguments.no_tta
    )
    rows = classifier.classify(paths, arguments.batch_size)
    bar = tqdm(rows, total=len(paths), unit="images", disable=not sys.stderr.isatty())
    written, faulty = inference.write_table(bar, arguments.output)
    print(f"Wrote {arguments.output}, {written} images. {classes.NOTICE}")
    return _report(faulty, written, "see the column error")


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
    try:
        return arguments.run(arguments)
    except ValueError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
