"""Arguments that several commands take, and what they print in the same words."""

import argparse
import contextlib
import os
import sys

from lesions.system import environment
from lesions.system.console import quiet_stderr
from lesions.system.folders import BEST_MODEL


def add_command(commands, name: str, run, summary: str, epilog: str) -> argparse.ArgumentParser:
    """Add a command, for which `run` returns the exit code, and return its parser."""
    layout = argparse.RawDescriptionHelpFormatter
    command = commands.add_parser(
        name, help=summary, description=summary, epilog=epilog, formatter_class=layout
    )
    command.set_defaults(run=run)
    return command


def add_model(command) -> None:
    """Add `--model`."""
    command.add_argument(
        "--model",
        type=filled,
        default=str(BEST_MODEL),
        metavar="FILE.h5",
        help="or a run folder; default: models/best_model.h5 of this repository",
    )


def add_output(command, metavar: str, help_text: str, required: bool = False) -> None:
    """Add `--output`; "~", which a shell leaves in --output=~/a, is the home folder."""
    command.add_argument("--output", required=required, type=home, metavar=metavar, help=help_text)


def add_paths(command, nargs: str = "+") -> None:
    """Add the photographs."""
    command.add_argument(
        "paths",
        nargs=nargs,
        metavar="PATH",
        help="a photograph, or a folder that is searched with all folders below it for .jpg, "
        ".jpeg and .png files",
    )


def filled(text: str) -> str:
    """Refuse an empty name, as of a shell's variable that is not set."""
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty name was given; name a file or folder")
    return text


def home(text: str) -> str:
    """Read the name of a file or folder with "~" for the home folder."""
    return os.path.expanduser(filled(text))


def positive(text: str) -> int:
    """Read a whole number above 0."""
    number = int(text) if text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


@contextlib.contextmanager
def importing_keras():
    """Check Keras' surroundings, then keep stderr quiet while a `with` block imports it."""
    environment.check_keras()
    with quiet_stderr():
        yield


def shows_progress() -> bool:
    """Return whether stderr is a terminal; under pythonw and `2>&-` there is none at all."""
    return sys.stderr is not None and sys.stderr.isatty()


def report_unreadable(unreadable: int, total: int, where: str) -> int:
    """Print how many photographs could not be read, and return the exit code."""
    if unreadable:
        print(f"{unreadable} of {counted(total)} could not be read; {where}.", file=sys.stderr)
    return int(unreadable > 0)


def counted(photographs: int) -> str:
    """Write how many photographs."""
    return "1 photograph" if photographs == 1 else f"{photographs} photographs"
