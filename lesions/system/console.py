"""What reaches the terminal: libraries' output, warnings, progress bars, names of files."""

import contextlib
import logging
import os
import sys
import warnings


@contextlib.contextmanager
def quiet_stderr():
    """Send file descriptor 2 to nowhere inside a `with` block, for the whole process.

    TensorFlow logs from C++ while it is imported, before TF_CPP_MIN_LOG_LEVEL is heeded, and
    redirecting `sys.stderr` does not reach it. A traceback still shows, after the block.
    """
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr, as under pythonw
        yield
        return
    _flush()
    send_to_nowhere(2)
    try:
        yield
    finally:
        _flush()
        os.dup2(kept, 2)
        os.close(kept)


def quiet_tensorflow() -> None:
    """Hide TensorFlow's Python warnings, as of retracing for a last, smaller batch."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def plain_warnings() -> None:
    """Print a warning meant for people as one line, without the code that gave it."""
    warnings.formatwarning = _formatted


_usual_format = warnings.formatwarning


def _formatted(message, category, filename, lineno, line=None) -> str:
    if category is UserWarning:
        return f"warning: {printable(str(message))}\n"
    return _usual_format(message, category, filename, lineno, line)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()


def send_to_nowhere(descriptor: int) -> None:
    """Let what is written to a file descriptor of this process vanish."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def print_any_text() -> None:
    """Let `print` escape what the terminal's encoding cannot show, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's or a test's stream has none
            stream.reconfigure(errors="backslashreplace")


def forget_stdout() -> None:
    """Send stdout to nowhere, once whoever read it has gone, as after `| head`.

    Python flushes stdout once more when it ends, and would report the closed pipe again.
    """
    send_to_nowhere(sys.stdout.fileno())


def printable(text: str) -> str:
    """Escape line ends, control characters and undecodable bytes, such as file names may hold."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
