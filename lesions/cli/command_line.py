"""Choose the command, run it, and turn what goes wrong into one sentence and an exit code."""

import argparse
import errno
import os
import sys

from lesions import classes
from lesions.cli import evaluate, explain, export, familiarity, predict, serve, site, train
from lesions.system import allocator, console

COMMANDS = (train, predict, evaluate, explain, serve, site, familiarity, export)
# A disk that takes nothing, a place that belongs to others, a file where a folder should be.
UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EISDIR)
EPILOG = f"""examples:
  python -m lesions predict photo.jpg more_photos/ --output answers.csv
  python -m lesions train densenet121
  python -m lesions evaluate models
  python -m lesions explain photo.jpg --output heat_maps
  python -m lesions serve --port 8000
  python -m lesions export --format tflite --output skin.tflite

`python -m lesions COMMAND --help` describes one command.
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
    for command in COMMANDS:
        command.add_parser(commands)
    return whole


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: What follows `python -m lesions`; default the process's own arguments.

    Returns:
        Exit code: 0 done, 1 done except for images that could not be read, 2 not done (one line
        on stderr says why), 130 interrupted, 141 whoever read the output has closed it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    console.print_any_text()
    console.quiet_tensorflow()
    console.plain_warnings()
    allocator.keep_memory()
    try:
        try:
            arguments = parser().parse_args(argv)
            return arguments.run(arguments)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        console.forget_stdout()
        return 128 + 13
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {console.printable(_sentence(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _sentence(error: Exception) -> str:
    """Return one sentence on an error, with the way out."""
    if isinstance(error, ModuleNotFoundError):
        return f"The package {error.name} is not installed; `pip install -r requirements.txt`."
    if isinstance(error, UnicodeEncodeError):
        named = repr(error.object[:200])
        return f"{named} is not text in UTF-8, which is needed here; rename the file or folder."
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return (
            f"{error.filename} cannot be read or written ({error.strerror}); allow it, or choose "
            "another place by --output, --runs or LESIONS_BUILD."
        )
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be used ({error.strerror})."
    return " ".join(str(error).split())
